/*
 * chat: one chat completion on its way: admission, the provider's call, the answer. What chat*.c share; chat_handle
 * (routes.h) is the door.
 *
 * The connection's thread opens the admission and sleeps. Admission's answer comes to a callback of the bus, which
 * opens the provider's call right there; a stream is written by callbacks, too. The thread is woken once: when all is
 * over, or when the socket of a stream is full. Fields after `lock below` are guarded by the connection's lock; the
 * others change hands with the call itself.
 */
#ifndef GATEWAY_CHAT_H
#define GATEWAY_CHAT_H

#include "gateway/chat_request.h"
#include "gateway/request.h"
#include "gateway/stream.h"

#define CHAT_ADMIT_MS 5000u /* admission takes microseconds; the bus waits 2 s for a restarting authsvc */
#define CHAT_ANSWER_MAX (16u * 1024u * 1024u) /* bytes of an answer that is not streamed */
#define CHAT_KEEP_ALIVE_MS 10000u /* a silent stream gets a comment this often */
#define CHAT_STALL_MS 30000u /* a client that takes nothing of a stream for so long is gone */
#define CHAT_ATTEMPTS 2u /* a call that no instance took is offered once more */
#define CHAT_ENDPOINT "chat.completions"

struct chat {
    struct gateway *gw;
    struct conn *conn;
    struct request *r;
    struct chat_request ask;
    uint8_t digest[LIMIT_DIGEST];
    uint64_t created_ms, began_ms, first_ms; /* wall; monotonic; of the first byte for the client */

    /* from admission */
    struct admit_rep admitted; /* its memory is the request's arena */
    struct rate_limits limits; /* also of a refusal; has = 0: none */

    /* from the provider */
    struct response_head head;
    struct completion_rep result;
    struct buf answer; /* the body, or the end of a stream that is held back */
    uint64_t window; /* bytes gathered since credit was returned */

    /* lock below */
    bool has_head, has_result, streaming;
    bool over; /* the last callback is through: the thread may go on */
    bool gone; /* the client left while we worked */
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
void chat_gone(struct conn *conn, uint32_t generation); /* the watcher: the client of this connection left */
void chat_keep_alive(struct conn *conn, uint64_t now_ms); /* the watcher: say something on a silent stream */
void chat_cancel_all(struct gateway *gw); /* the drain is over */

/* chat_headers.c: header lines of an answer. */
void chat_limit_lines(const struct rate_limits *limits, struct buf *out);
void chat_answer_lines(const struct chat *c, struct buf *out);
void chat_go_duration(uint64_t ms, char *to,
                      size_t size); /* 12ms 2.1s 6m0s 1h2m3s, as OpenAI's reset headers have it */
bool chat_cost(const struct chat *c, int64_t *ret_nano);

#endif
