/*
 * The relay: how a call is made to a provider that is reached over HTTP, whatever it speaks. It carries out the plan of
 * the adapter: the client's bytes go out as they came, or through translators; what comes back is read (usage, text,
 * errors), and passed on as it is, or through the same translators backwards.
 *
 * Nothing of a stream goes to the client before its first token: until then another route can still take over.
 *
 *   relay.c         an attempt: request, transfer, answers that are not streamed
 *   relay_stream.c  streamed answers
 *   relay_error.c   errors, and what can be done about them
 *   relay_local.c   answers that are made here, without a provider
 */
#ifndef PROVIDERSVC_RELAY_H
#define PROVIDERSVC_RELAY_H

#include "providersvc/adapter.h"

struct relay;

/* An answer that is made here, in an upstream's place: of the plan's upstream dialect, whole or as a stream. */
struct local_piece {
    uint64_t wait_ms; /* before the next one */
    bool last;
};

struct local_source {
    size_t state_size; /* of one attempt, zeroed */
    /* body: as upstream would get it; lives as long as the attempt. Not ST_OK: err is set. */
    enum status (*begin)(const struct completion *c, void *state, struct slice body, struct err *err);
    /* Appends the next piece; nothing only where there is something to wait for. */
    enum status (*next)(void *state, struct buf *out, struct local_piece *ret);
    void (*fini)(void *state); /* safe on a zeroed one */
};

enum status relay_start(struct completion *c);
void relay_stop(struct completion *c);
void relay_resume(struct completion *c);
void relay_wake(struct completion *c);
void relay_pushed(struct completion *c);
void relay_fini(struct completion *c);

#define RELAY_STATE_SIZE 4096u /* of struct relay, checked where that is known */
#define RELAY                                                                                                          \
    .state_size = RELAY_STATE_SIZE, .start = relay_start, .stop = relay_stop, .resume = relay_resume,                  \
    .wake = relay_wake, .pushed = relay_pushed, .fini = relay_fini

#endif
