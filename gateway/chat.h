/*
 * chat: one chat completion on its way: admission, the provider's call, the answer. What chat*.c share; chat_handle
 * (routes.h) is the door.
 *
 * The connection's thread opens the admission and sleeps on its socket. Admission's answer comes to a callback of the
 * bus, which opens the provider's call right there; the answer, plain or streamed, is written by callbacks, too. So
 * nobody wakes the thread: the client's next request does. It is woken only where callbacks cannot go on: the socket
 * is full, the answer is an error of ours, the connection is to be closed. Fields after `lock below` are guarded by the
 * connection's lock; the others change hands with the call itself.
 */
#ifndef GATEWAY_CHAT_H
#define GATEWAY_CHAT_H

#include "gateway/chat_request.h"
#include "gateway/idempotency.h"
#include "gateway/request.h"
#include "gateway/stream.h"
#include "proto/endpoints.h"

#define CHAT_ADMIT_MS 5000u /* admission takes microseconds; the bus waits 2 s for a restarting authsvc */
#define CHAT_ANSWER_MAX (16u * 1024u * 1024u) /* bytes of an answer that is not streamed */
#define CHAT_KEEP_ALIVE_MS 10000u /* a silent stream gets a comment this often */
#define CHAT_STALL_MS 30000u /* a client that takes nothing of a stream for so long is gone */
#define CHAT_IDLE_MS 60000u /* a connection waits so long for its next request */
#define CHAT_MANY 16u /* with so many requests under way none of them is hurried over the bus */
#define CHAT_ATTEMPTS 2u /* a call that no instance took is offered once more */
#define CHAT_ADMISSIONS 2u /* so is an admission whose authsvc was lost: its id makes it the same one */
#define CHAT_ENDPOINT ENDPOINT_CHAT

struct chat {
    struct gateway *gw;
    struct conn *conn;
    struct request *r;
    struct chat_request ask;
    uint8_t digest[LIMIT_DIGEST];
    uint64_t created_ms, began_ms, first_ms; /* wall; monotonic; of the first byte for the client */

    /* from admission */
    unsigned admissions; /* asked for, up to CHAT_ADMISSIONS */
    struct admit_rep admitted; /* its memory is the request's arena */
    struct rate_limits limits; /* also of a refusal; has = 0: none */

    /* from the provider */
    struct response_head head;
    struct completion_rep result;
    struct buf answer; /* the body of a plain answer, or the error that ends a stream */
    uint64_t window; /* bytes gathered since credit was returned */
    bool voided; /* admitted, and nobody began it */
    struct idempotency keep; /* of a call with an Idempotency-Key */

    /* lock below */
    bool has_head, has_result, streaming;
    bool holding; /* admitted, and not known to have ended: credit is held for it */
    bool over; /* the last callback is through: the thread may go on */
    bool settled; /* answered, logged and counted by a callback: nothing is left for the thread */
    bool wake_me; /* the thread does not see the client's next request: wake it when all is over */
    bool gone; /* the client left while we worked */
    bool runs_on; /* although the client left: its answer is kept for whoever repeats the call */
    uint64_t settled_ms;
    unsigned openers; /* callbacks that are opening a call: the thread waits for them, too */
    unsigned attempt, opened; /* 1 … CHAT_ATTEMPTS; the one that is open, 0 = none */
    struct xchg_id ids[CHAT_ATTEMPTS]; /* written by the bus before an attempt's first callback */
    bool held_done; /* the closing event waits until the call has ended */
    enum status st;
    struct err err;
    struct stream stream;
};

/* chat_call.c: what callbacks do. chat_begin opens the admission; afterwards wait for over and openers == 0. */
enum status chat_begin(struct chat *c, struct err *err);
void chat_left(struct chat *c); /* the client left; under the lock, which it lets go for a moment */
void chat_keep_alive(struct conn *conn, uint64_t now_ms); /* the ticker: say something on a silent stream */
void chat_cancel_all(struct gateway *gw); /* the drain is over */
uint64_t chat_remaining_ms(const struct chat *c); /* of CALL_TIMEOUT_MS, 1 at least */

/* chat_end.c: the last steps, by the closing callback or by the thread. */
bool chat_answer_plain(struct chat *c); /* under the lock; as stream_put */
bool chat_can_settle(const struct chat *c); /* under the lock: may the callback settle it, the thread sleeping on? */

/* chat_kept.c: what becomes of a call with an Idempotency-Key. */
void chat_keep(
    struct chat *c); /* by the thread, when the last callback is through: kept, forgotten, or left to its bill */
/* Is its answer the thread's to write? An error is forgotten before its client can know of it and try something else.
 */
bool chat_keeps_back(const struct chat *c);

/* What is said of a call when it is over; it outlives the call. */
struct chat_note {
    struct gateway *gw;
    const struct route *route;
    char id[ID_TEXT_SIZE], model[LIMIT_MODEL + 1];
    bool stream, answered; /* answered: a byte came from the provider, first_ms says when */
    int status;
    enum status outcome;
    uint64_t began_ns, ms, first_ms, bytes;
};
void chat_take_note(struct chat *c, struct chat_note *ret);
void chat_log(const struct chat_note *n);

/* chat_headers.c: header lines of an answer. */
void chat_limit_lines(const struct rate_limits *limits, struct buf *out);
void chat_answer_lines(const struct chat *c, struct buf *out);
void chat_go_duration(uint64_t ms, char *to,
                      size_t size); /* 12ms 2.1s 6m0s 1h2m3s, as OpenAI's reset headers have it */
bool chat_cost(const struct chat *c, int64_t *ret_nano);

#endif
