/*
 * The bytes of a batch: a fixed header, then frames. Pure functions over bytes, fuzzed by tests/fuzz/fuzz_frames.c.
 * All numbers are little-endian. A batch is checked whole (frame_check) before any frame of it is used; afterwards
 * frame_next cannot fail. Knows nothing of calls being open, of nng or of what payloads mean.
 */
#ifndef SERVICES_BUS_FRAME_H
#define SERVICES_BUS_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/wire.h"

#define FRAME_MAGIC 0x3142524fu /* "ORB1": the last byte is the version of this layout */
#define FRAME_MAGIC_SEALED 0x3153524fu /* "ORS1": the same, its frames sealed (cipher.h) */
#define FRAME_MAGIC_REFUSED 0x5842524fu /* "ORBX": of every version to come, see frame_refusal_write */
#define FRAME_BATCH_SIZE 32u /* bytes of a batch's header */
#define FRAME_HEAD_SIZE 28u /* bytes of a frame's header */

enum frame_side { FRAME_BY_CLIENT, FRAME_BY_SERVER }; /* who wrote the batch */

enum frame_flag {
    FRAME_HELLO = 1u, /* of a client's first batch: answer at once */
    FRAME_DRAINING = 2u, /* of a server's batch: give new calls to another instance */
};
#define FRAME_FLAGS (FRAME_HELLO | FRAME_DRAINING)

enum frame_kind {
    FRAME_OPEN = 1, /* client: type = method, a = remaining ms, b = window, payload = request */
    FRAME_TELL = 2, /* client: one way; call = 0, type = method, payload = request */
    FRAME_CANCEL = 3, /* client */
    FRAME_WINDOW = 4, /* client: a = bytes taken by the reader */
    FRAME_DATA = 5, /* server: type = message type or 0, payload */
    FRAME_END = 6, /* server: type = status, payload = reply or fault */
    FRAME_PUSH = 7, /* client: type = message type or 0, payload; of a call that is open */
};

/* Why a server does not speak with who greets it, and what it then says instead of an answer. */
enum frame_refusal {
    FRAME_ACCEPTED = 0,
    FRAME_REFUSED_PLAIN = 1, /* the other has no BUS_SECRET, we have */
    FRAME_REFUSED_SEALED = 2, /* the other has one, we have not */
    FRAME_REFUSED_SECRET = 3, /* the two differ */
    FRAME_REFUSED_VERSION = 4, /* the other's layout is of another version */
    FRAME_REFUSALS
};

struct frame_batch {
    bool sealed;
    uint32_t flags;
    uint32_t seq; /* from 0, in each direction of one connection */
    uint32_t ack; /* batches of the other side that were taken so far */
    uint64_t instance; /* who wrote it */
    uint64_t mark; /* client: random, one for each connection; server: its boot */
};

struct frame {
    uint8_t kind;
    uint16_t type;
    uint32_t a, b;
    uint64_t call;
    struct slice payload; /* points into the batch */
};

void frame_batch_write(unsigned char to[FRAME_BATCH_SIZE], const struct frame_batch *b);
void frame_head_write(unsigned char to[FRAME_HEAD_SIZE], const struct frame *f);

/* Is this a batch that `side` may write? Fills *ret_batch, *ret_frames (what frame_next walks) and *ret_n (how many).
 */
bool frame_check(struct slice bytes, enum frame_side side, struct frame_batch *ret_batch, struct slice *ret_frames,
                 size_t *ret_n);

/* The two halves of frame_check: the head of a batch, sealed or not, and the frames of one that is open. */
bool frame_head_read(struct slice bytes, struct frame_batch *ret);
bool frame_frames_check(struct slice frames, enum frame_side side, size_t *ret_n);

/* A refusal has a batch's size, and no secret in it: anybody can say it, which does no more than to cut the connection.
 */
void frame_refusal_write(unsigned char to[FRAME_BATCH_SIZE], enum frame_refusal why);
enum frame_refusal frame_refusal_read(struct slice bytes); /* FRAME_ACCEPTED: it is none */
/* Are these the bytes of a router's bus that we cannot speak with (sealed: we have a secret), and why? FRAME_ACCEPTED:
 * nothing known. */
enum frame_refusal frame_stranger(struct slice bytes, bool sealed);

/* Takes the next frame from frames that frame_check (or frame_frames_check) has passed. false = that was all. */
bool frame_next(struct slice *frames, struct frame *ret);

#endif
