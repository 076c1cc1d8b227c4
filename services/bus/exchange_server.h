/*
 * What the server half of exchange shares among its files. Nobody else includes this.
 *
 *   exchange_server.c   the socket, its contexts, the server's own thread, new and free
 *   exchange_session.c  one connected client: its batches in order, answers out, its loss
 *   exchange_call.c     an open call: what a service may do with it
 *
 * A session is one nng pipe. It is kept by the server's list until the pipe is gone, by each of its open calls until
 * xchg_end, and by whoever works on it; a call may therefore be ended after its client, and after the server, are gone.
 * Lock order: server, then session. No lock is held over a callback. Handlers and events of a session run in its
 * strand, one thread at a time.
 */
#ifndef SERVICES_BUS_EXCHANGE_SERVER_H
#define SERVICES_BUS_EXCHANGE_SERVER_H

#include <pthread.h>
#include <stdatomic.h>

#include "services/bus/exchange.h"
#include "services/bus/outq.h"
#include "services/bus/transport.h"
#include "services/bus/wheel.h"

#define SERVER_CONTEXTS_FIRST 16u /* REP contexts at the start */
#define SERVER_CONTEXTS_SPARE 8u /* so many are always receiving; more are opened when fewer are left … */
#define SERVER_CONTEXTS_MAX 8192u /* … up to this */
#define SERVER_SESSIONS_MAX (SERVER_CONTEXTS_MAX / (XCHG_CONTEXTS + 1u)) /* further clients are turned away */
#define SERVER_GRACE_MS 500u /* a call is cancelled so long after its deadline, should the client not have said so */
#define SERVER_WINDOW_MAX (16u * 1024u * 1024u)
#define SERVER_TICK_MS 50u /* of deadlines while calls are open */
#define SERVER_IDLE_TICK_MS 500u
#define SERVER_LINGER_MS 1000u /* a server that is freed waits so long for its last answers to be taken */
#define SERVER_PIPE_BUCKETS 256u
#define SESSION_HOLD 1u /* requests of a client that are kept waiting */
#define SESSION_FLUSH_FRAMES 256u /* answers gathered in the strand before they go */
#define SESSION_BUCKETS_FIRST 64u

struct session;

struct xchg_call {
    struct wheel_item timer; /* first member */
    struct session *session;
    struct xchg_call *hash_next;
    uint64_t id; /* 0 = one way */
    uint64_t deadline_ms;
    int64_t room;
    uint32_t window;
    bool cancelled; /* nobody reads */
    bool unread; /* and nobody wants its end either: the client has given it up */
    bool starved; /* xchg_send said that there is no room */
    struct xchg_call_events events;
    void *ctx;
    uint64_t tag;
};

struct sctx {
    struct xchg_server *server;
    nng_ctx ctx;
    nng_aio *recv;
    nng_aio *send; /* no callback: when nng is done with it is looked up later */
    nng_msg *msg; /* the request, until its turn; checked, and read as: */
    struct frame_batch head;
    struct slice frames;
    uint64_t held_ms;
    struct sctx *next; /* of all, or of those whose send nng has not finished */
    struct sctx *next_unsent;
};

struct session {
    pthread_mutex_t lock;
    struct xchg_server *server; /* NULL when the server is gone */
    atomic_uint refs;
    struct session *prev, *next; /* the server's list; only its worker takes out */
    struct session *hash_next; /* by pipe */
    bool listed; /* under the server's lock, as those three */
    uint32_t pipe;

    uint64_t mark, instance; /* of the client, from its first batch */
    bool begun, lost, buried, running, answer_now;
    unsigned sending; /* threads that are handing an answer to nng */
    bool refused; /* told that we do not speak with it; anything more costs it the connection */
    uint64_t recv_seq, send_seq; /* their lower halves go over the wire */
    struct cipher_session keys; /* of this connection, since its hello */
    uint32_t taken; /* of our answers by the client, as it said last */
    uint32_t told_seq; /* how many it must have taken to know that we drain; valid with told_drain */
    uint32_t close_seq; /* how many it must have taken before we may close; valid with closing */
    bool told_drain, closing;
    uint64_t heard_ms;
    struct sctx *got[XCHG_CONTEXTS]; /* by seq */
    struct sctx *held[XCHG_CONTEXTS + 1];
    unsigned n_held;
    struct outq out;
    unsigned out_frames;
    bool gathered; /* in a thread's list (xchg_gather_begin), which holds a reference */
    struct session *next_gathered;
    struct wheel wheel;
    struct xchg_call **buckets;
    unsigned n_buckets, n_calls;
};

struct xchg_server {
    struct xchg_server_options options;
    const struct cipher *cipher; /* NULL = in the clear */
    nng_socket sock;
    bool open;
    atomic_bool draining, closing;
    atomic_uint receiving; /* contexts that wait for a request */

    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool work;
    struct sctx *contexts;
    unsigned n_contexts;
    struct sctx *unsent; /* contexts whose answer nng has not finished sending */
    struct session *sessions;
    struct session *by_pipe[SERVER_PIPE_BUCKETS];
    unsigned n_sessions;
    pthread_t worker;
    bool has_worker;
    atomic_uint open_calls;

    struct {
        atomic_uint_fast64_t batches_sent, frames_sent, batches_received, frames_received, malformed, lost;
    } stats;
};

#define SERVER_COUNT(s, what, n) atomic_fetch_add_explicit(&(s)->stats.what, n, memory_order_relaxed)

/* exchange_server.c */
struct session *server_find(struct xchg_server *srv, uint32_t pipe); /* with a reference, or NULL */
void server_receive(struct sctx *x); /* it waits for the next request */
void server_unsent(struct sctx *x); /* as soon as nng is done with it */
void server_wake(struct xchg_server *srv);

/* exchange_session.c */
struct session *session_new(struct xchg_server *srv, uint32_t pipe);
void session_unref(struct session *s);
void session_request(struct session *s, struct sctx *x); /* a batch came in */
void session_strand(struct session *s); /* locked, but not over callbacks */
void session_flush(struct session *s); /* locked, but not while nng works */
void session_lose(struct session *s); /* locked; the strand does the rest */
void session_check(struct session *s, uint64_t now_ms, uint64_t *next_ms);
bool session_owes(struct session *s); /* the server closes soon: is there an answer that the client has yet to take? */
void session_detach(struct session *s); /* the server goes away */

/* exchange_call.c */
struct xchg_call *call_find(struct session *s, uint64_t id);
enum status call_new(struct session *s, const struct frame *f, struct xchg_call **ret); /* locked */
void call_unlink(struct session *s, struct xchg_call *x); /* locked */

#endif
