/*
 * batch_file: what a batch of a file can use, read while the file passes. Its lines are JSON objects {custom_id,
 * method, url, body}; a body is read as if it had come alone to the surface that the url names.
 *
 * Any file may be fed: at the first line that cannot be a batch's nothing more is read, and why is remembered. Whether
 * that matters the caller knows when the form is through: its purpose may come last.
 *
 * No I/O; the same result however the bytes are cut. Holds one line at most, and all files together BATCH_HELD_MAX.
 */
#ifndef GATEWAY_BATCH_FILE_H
#define GATEWAY_BATCH_FILE_H

#include <stdatomic.h>

#include "gateway/call_request.h"
#include "gateway/gate.h"

#define BATCH_LINES_MAX 50000u /* requests of one file: OpenAI's limit */
#define BATCH_HELD_MAX (UINT64_C(256) * 1024 * 1024) /* bytes of lines that have begun, of all files at once */

struct batch_file {
    struct arena *arena; /* for what outlives its line: the model, the objects */
    struct arena scratch; /* of the line that is read */
    struct buf line; /* what has come of one that has not ended */
    _Atomic uint64_t *all; /* bytes held by all files, these included */
    uint64_t held;
    struct gate *parsing; /* what large lines pass to be parsed; NULL = none, as batch_file_begin leaves it */
    uint64_t n_lines; /* read, blank ones included */
    struct err err; /* not ST_OK: nothing more is read, and the worth is none */
    struct batch_worth worth;
    struct call_request named; /* its objects: those that the lines name, CALL_OBJECTS_MAX at most */
};

/* line_max: bytes of a line. The arena and all live as long as it does. Allocates nothing yet. */
void batch_file_begin(struct batch_file *b, struct arena *a, size_t line_max, _Atomic uint64_t *all);
void batch_file_feed(struct batch_file *b, struct slice bytes);
/* The file is through. b->err.status: ST_OK, and b->worth holds; ST_BAD_REQUEST, naming the part file and the line;
 * ST_UNAVAILABLE, ST_NO_MEMORY. Frees what is not the arena's. */
void batch_file_end(struct batch_file *b);
void batch_file_fini(struct batch_file *b); /* zeroed or ended is fine */

#endif
