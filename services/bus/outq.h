/*
 * Frames on their way out: written straight into the nng messages that will carry them, so a payload is copied once.
 * A batch is closed at OUTQ_BATCH bytes, so that small frames do not wait long behind large ones; the whole queue is
 * bounded by OUTQ_MAX. Not thread-safe: its session or link locks it.
 */
#ifndef SERVICES_BUS_OUTQ_H
#define SERVICES_BUS_OUTQ_H

#include <nng/nng.h>

#include "proto/status.h"
#include "services/bus/cipher.h"
#include "services/bus/frame.h"

#define OUTQ_BATCH (256u * 1024u) /* bytes after which a further frame begins another batch */
#define OUTQ_MAX (256u * 1024u * 1024u) /* bytes of frames with a payload that may wait for one peer */
#define OUTQ_TRAILER 64u /* bytes after the frames for which every batch has room: outq_seal writes no further */
#define OUTQ_SPARE (16u * 1024u * 1024u) /* and of those without one beyond that: ends, cancels, windows */

struct outq_node;
struct outq {
    struct outq_node *first, *last; /* closed batches, oldest first */
    nng_msg *open; /* the batch being written, or NULL */
    size_t open_cap; /* bytes reserved in it */
    size_t open_frames;
    size_t bytes; /* of all */
    size_t n; /* batches, the open one included */
};

/* Copies the payload. ST_TOO_LARGE: the frame fits no batch; ST_UNAVAILABLE: OUTQ_MAX is reached; ST_NO_MEMORY. */
enum status outq_add(struct outq *q, const struct frame *f);
/* The oldest batch, its header still to be written by outq_head, now the caller's; NULL when there is none. */
nng_msg *outq_take(struct outq *q, size_t *ret_frames);
nng_msg *outq_empty_batch(void); /* a batch without frames; NULL = no memory */
void outq_head(nng_msg *batch, const struct frame_batch *head);
/* Seals the frames of a batch that has its head; `greeting` (CIPHER_PUBLIC bytes, or NULL) goes in the clear before the
 * tag. */
void outq_seal(nng_msg *batch, const unsigned char key[CIPHER_KEY], uint64_t number, const unsigned char *greeting);
/* The other way, in place: *frames is what lies between head and `trailer` bytes before the tag. false: it does not
 * open. */
bool outq_open(nng_msg *batch, const unsigned char key[CIPHER_KEY], uint64_t number, size_t trailer,
               struct slice *ret_frames);
void outq_clear(struct outq *q); /* frees everything */

#endif
