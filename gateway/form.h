/*
 * form: what the gateway keeps of a multipart body while it passes: the few small parts that say what the call is. The
 * parts' bytes themselves are not changed, nor kept here (spool.h).
 */
#ifndef GATEWAY_FORM_H
#define GATEWAY_FORM_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/limits.h"
#include "proto/wire.h"

/* clang-format off */
/* name of the part, member, bytes of its value that are kept at most */
#define FORM_PARTS(P)                                                                                                  \
    P("model",           FORM_MODEL,           256)                                                                    \
    P("stream",          FORM_STREAM,          8)                                                                      \
    P("response_format", FORM_RESPONSE_FORMAT, 32)                                                                     \
    P("n",               FORM_N,               16)                                                                     \
    P("purpose",         FORM_PURPOSE,         64)                                                                     \
    P("file_id",         FORM_FILE_ID,         LIMIT_OBJECT_ID + 1)                                                    \
    P("input_fidelity",  FORM_INPUT_FIDELITY,  8)                                                                      \
    P("prompt",          FORM_PROMPT,          4096)
/* clang-format on */

#define FORM_PART_ENUM(name, id, max) id,
enum form_part { FORM_PARTS(FORM_PART_ENUM) FORM_PARTS_N };

#define FORM_PART_SUM(name, id, max) +(max)
#define FORM_KEPT_MAX (0 FORM_PARTS(FORM_PART_SUM))

struct form {
    struct {
        bool seen;
        uint64_t at, bytes; /* of the value in the body; bytes may be more than were kept */
        struct slice kept;
    } part[FORM_PARTS_N];
    uint64_t bytes; /* of the body */
    uint64_t file_bytes; /* of parts with a filename */
    unsigned files;
    unsigned named_file; /* parts of that name, with a filename or without */
};

#endif
