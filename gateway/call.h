/*
 * call: one call of an API on its way: admission, the provider's call, the answer. What call*.c share; call_handle
 * (routes.h) is the door. Which API it is of says its surface (surfaces.h); the way is the same for all.
 *
 * The connection's thread opens the admission and sleeps on its socket. Admission's answer comes to a callback of the
 * bus, which opens the provider's call right there; the answer, plain or streamed, is written by callbacks, too. So
 * nobody wakes the thread: the client's next request does. It is woken only where callbacks cannot go on: the socket
 * is full, the answer is an error of ours, the connection is to be closed. Fields after `lock below` are guarded by the
 * connection's lock; the others change hands with the call itself.
 */
#ifndef GATEWAY_CALL_H
#define GATEWAY_CALL_H

#include "gateway/idempotency.h"
#include "gateway/request.h"
#include "gateway/stream.h"
#include "gateway/surfaces.h"
#include "gateway/upload.h"

#define CALL_ADMIT_MS 5000u /* admission takes microseconds; the bus waits 2 s for a restarting authsvc */
#define CALL_GATHER_MAX (4u * 1024u * 1024u) /* bytes of an answer that is sent whole; what is longer is passed on */
#define CALL_KEEP_ALIVE_MS 10000u /* a silent stream gets a comment this often, before its first byte, too */
#define CALL_STALL_MS 30000u /* a client that takes nothing of a stream for so long is gone */
#define CALL_IDLE_MS 60000u /* a connection waits so long for its next request */
#define CALL_MANY 16u /* with so many requests under way none of them is hurried over the bus */
#define CALL_ATTEMPTS 2u /* a call that no instance took is offered once more */
#define CALL_WANTS_MAX 4u /* stretches of an upload that a provider may wait for at once */
#define CALL_ADMISSIONS 2u /* so is an admission whose authsvc was lost: its id makes it the same one */

/* How an answer goes to the client. */
enum call_mode {
    CALL_WHOLE, /* gathered, then written at once: JSON, errors */
    CALL_EVENTS, /* server-sent events, as they come */
    CALL_BYTES, /* anything else, as it comes */
};

struct call {
    struct gateway *gw;
    struct conn *conn;
    struct request *r;
    const struct surface *surface;
    struct call_request ask;
    struct upload *upload; /* a body that is not kept in memory; NULL = it is in r->body */
    struct slice provider; /* who keeps what the call is about; empty = anybody will do */
    struct batch_worth worth; /* of a file for a batch that is sent, or that one is made of; no requests: of none */
    struct slice path; /* for upstream; empty = the endpoint's own */
    const struct http_header *headers; /* for upstream */
    size_t n_headers;
    uint64_t max_price_has; /* bits of admit_req: a price that is given */
    int64_t max_input_pico, max_output_pico;
    uint8_t digest[LIMIT_DIGEST];
    uint64_t created_ms, began_ms, first_ms; /* wall; monotonic; of the provider's first byte */

    /* from admission */
    unsigned admissions; /* asked for, up to CALL_ADMISSIONS */
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
    enum call_mode mode;
    bool has_head, has_result;
    bool early; /* a silent stream: the head of its answer went out before the provider's */
    bool folded; /* early, and the provider's answer is no stream: it becomes an event */
    bool holding; /* admitted, and not known to have ended: credit is held for it */
    bool over; /* the last callback is through: the thread may go on */
    bool settled; /* answered, logged and counted by a callback: nothing is left for the thread */
    bool wake_me; /* the thread does not see the client's next request: wake it when all is over */
    bool gone; /* the client left while we worked */
    bool runs_on; /* although the client left: its answer is kept for whoever repeats the call */
    uint64_t settled_ms;
    unsigned openers; /* callbacks that are opening a call: the thread waits for them, too */
    unsigned attempt, opened; /* 1 … CALL_ATTEMPTS; the one that is open, 0 = none */
    struct xchg_id ids[CALL_ATTEMPTS]; /* written by the bus before an attempt's first callback */
    struct upload_want wants[CALL_WANTS_MAX]; /* of the upload: what the provider waits for */
    unsigned n_wants;
    struct closing closing;
    struct slice held; /* the closing event, or its end: waits until the call has ended; a constant */
    enum status st;
    struct err err;
    struct stream stream;
};

/* call_objects.c: by the thread, which waits. Who keeps the objects that the request names, if they are the caller's;
 * and what a batch of the one can use, when one is to be made. ST_NOT_FOUND and ST_BAD_REQUEST name the object;
 * ST_UNAVAILABLE. */
enum status call_find_objects(struct call *c, struct err *err);

/* call_upload.c: by the thread, but for call_want_upload. */
bool call_has_upload(const struct call *c); /* is the request's body one? */
/* Of a form that is a file: if it is for a batch, what that can use. ST_BAD_REQUEST: for none. */
enum status call_take_file(struct call *c, struct err *err);
void call_want_upload(struct call *c, struct slice bytes); /* under the lock: the provider asks for more */
void call_help_upload(struct call *c); /* under the lock, which it lets go: gives it what it asks for */

/* call_bus.c: what callbacks do. call_begin opens the admission; afterwards wait for over and openers == 0. */
enum status call_begin(struct call *c, struct err *err);
void call_left(struct call *c); /* the client left; under the lock, which it lets go for a moment */
void call_cancel_all(struct gateway *gw); /* the drain is over */
uint64_t call_remaining_ms(const struct call *c); /* of CALL_TIMEOUT_MS, 1 at least */

/* call_stream.c: the answer as it comes. All under the lock; those that return a bool as stream_put. */
void call_take_head(struct call *c, struct slice bytes);
bool call_take_bytes(struct call *c, struct slice bytes);
uint32_t call_credit(struct call *c); /* what of the window can be returned now */
bool call_end_stream(struct call *c);
void call_keep_alive(struct conn *conn, uint64_t now_ms); /* the ticker, without the lock: say something */

/* call_end.c: the last steps, by the closing callback or by the thread. */
bool call_answer_plain(struct call *c); /* under the lock; as stream_put */
bool call_can_settle(const struct call *c); /* under the lock: may the callback settle it, the thread sleeping on? */

/* call_kept.c: what becomes of a call with an Idempotency-Key. */
void call_keep(
    struct call *c); /* by the thread, when the last callback is through: kept, forgotten, or left to its bill */
/* Is its answer the thread's to write? An error is forgotten before its client can know of it and try something else.
 */
bool call_keeps_back(const struct call *c);

/* What is said of a call when it is over; it outlives the call. */
struct call_note {
    struct gateway *gw;
    const struct route *route;
    const char *endpoint;
    char id[ID_TEXT_SIZE], model[LIMIT_MODEL + 1];
    bool stream, answered; /* answered: a byte came from the provider, first_ms says when */
    int status;
    enum status outcome;
    uint64_t began_ns, ms, first_ms, bytes;
};
void call_take_note(struct call *c, struct call_note *ret);
void call_log(const struct call_note *n);

/* call_headers.c: header lines of a request and of an answer. */
enum status call_read_max_price(struct call *c, struct err *err); /* x-router-max-price */
void call_limit_lines(const struct rate_limits *limits, struct buf *out);
void call_answer_lines(const struct call *c, struct buf *out);
void call_go_duration(uint64_t ms, char *to,
                      size_t size); /*/* 12ms 2.1s 6m0s 1h2m3s, as OpenAI's reset headers have it */
bool call_cost(const struct call *c, int64_t *ret_nano);

#endif
