/*
 * What the client half of exchange shares among its files. Nobody else includes this.
 *
 *   exchange_client.c  the calls of exchange.h: open, tell, cancel, window, new, free
 *   exchange_calls.c   the table of open calls
 *   exchange_link.c    the connection to one server instance: its sockets, batches out
 *   exchange_strand.c  what comes back on it: frames, endings, its loss
 *   exchange_wait.c    the client's own thread: deadlines, calls that wait for an instance, liveness
 *   exchange_gather.c  frames that wait for others, so as to travel together
 *   exchange_names.c   the url: a list, or a name that is looked up again and again
 *
 * A call belongs to a link, or to nobody while it waits for one. Whoever changes a call holds the lock of its owner:
 * the link's lock, or the client's for a waiting call. Lock order: client, then link. No lock is held over a callback.
 * All callbacks of a link's calls come from its strand: one thread at a time, whichever has something for it.
 */
#ifndef SERVICES_BUS_EXCHANGE_CLIENT_H
#define SERVICES_BUS_EXCHANGE_CLIENT_H

#include <pthread.h>
#include <stdatomic.h>

#include "services/bus/exchange.h"
#include "services/bus/outq.h"
#include "services/bus/transport.h"
#include "services/bus/wheel.h"

#define CALLS_CHUNK 256u
#define CALLS_SHARDS 8u
#define CLIENT_WINDOW_MAX (16u * 1024u * 1024u)
#define CLIENT_HOUSEKEEPING_MS 500u
#define CLIENT_LINGER_MS 500u /* a client that is freed waits so long for its last frames to be taken */
#define LINK_REORDER XCHG_CONTEXTS
#define LINK_CUT_HELLOS 5u /* so many in a row: not a restart, but somebody who does not understand us */

struct xlink;

/* One open call; a slot of the table, used again and again. */
struct xcall {
    struct wheel_item timer; /* in its link's wheel; first member */
    _Atomic uint64_t id; /* 0 = not open */
    struct xlink *_Atomic owner;
    struct xcall *next; /* in a list of calls to end, of waiting calls, or of free slots */
    const struct xchg_events *events;
    void *ctx;
    uint64_t avoid, only, opened_ms, deadline_ms;
    uint32_t slot, generation, shard;
    uint32_t window, taken; /* taken: read but not yet told to the server */
    enum status ending; /* not ST_OK: to be ended with this by its owner's thread */
    bool patient;
    uint16_t method;
    char *payload; /* of a waiting call; its own */
    size_t payload_n;
};

struct calls {
    struct {
        pthread_mutex_t lock;
        struct xcall *free;
    } shard[CALLS_SHARDS];
    pthread_mutex_t grow_lock;
    struct xcall *_Atomic chunks[XCHG_CALLS_MAX / CALLS_CHUNK];
    unsigned n_chunks;
    atomic_uint turn;
};

enum lctx_state { LCTX_FREE, LCTX_SENT, LCTX_ANSWERED };

struct lctx {
    struct xlink *link;
    nng_ctx ctx;
    nng_aio *send; /* no callback: it has ended when recv ends */
    nng_aio *recv;
    enum lctx_state state;
    uint64_t sent_ms;
    nng_msg *answer; /* received, waiting for its turn; checked, and read as: */
    struct frame_batch head;
    struct slice frames;
};

enum link_state {
    LINK_DOWN,
    LINK_ARRIVED, /* nng has a pipe; the worker has yet to greet the server */
    LINK_HELLO, /* greeted, not yet answered */
    LINK_UP,
    LINK_LOST, /* waits for its contexts to come back */
};

struct xlink {
    struct xchg_client *client;
    char url[TRANSPORT_URL_MAX];
    const struct cipher *cipher; /* NULL = in the clear */
    nng_socket sock;
    bool open; /* sock is there */

    atomic_bool ready; /* takes calls */
    atomic_bool wanted; /* its address still stands in the name's answer */
    atomic_uint outstanding; /* open calls */
    _Atomic uint64_t instance, boot; /* of the server, 0 = not known */
    unsigned cut_hellos; /* connections in a row that ended while the server was greeted; under lock */
    atomic_int refused; /* enum frame_refusal: it does not speak with us … */
    _Atomic uint64_t refused_ms; /* … it said so last then */

    pthread_mutex_t lock;
    enum link_state state;
    uint32_t pipe, next_pipe; /* nng's id of the connection; of one that came while the last was still being buried */
    uint64_t mark; /* random, of this connection */
    bool draining, told_up;
    uint64_t send_seq, recv_seq; /* their lower halves go over the wire */
    struct cipher_pair pair; /* of this connection, until it is greeted */
    struct cipher_session keys; /* of this connection */
    uint32_t taken; /* of our batches by the server, as it said last */
    uint32_t content_seq; /* how many it must have taken to have all frames that were sent */
    unsigned in_flight;
    struct lctx ctx[XCHG_CONTEXTS];
    struct lctx *answered[LINK_REORDER]; /* by seq */
    struct outq out;
    struct outq_unsent {
        nng_msg *msg[XCHG_CONTEXTS];
        unsigned n;
    } unsent; /* batches that nng gave back */
    struct wheel wheel;
    struct xcall *endings, **endings_tail; /* to be ended here: cancelled or out of time */
    bool running; /* somebody is in the strand */
    uint64_t sent_ns; /* the last batch with frames */
    bool urgent; /* something in `out` is not to wait */
    atomic_bool deferred; /* something waits for others: the worker sends it if nobody does before */
    bool gathered; /* in a thread's list: that thread pumps it soon */
    struct xlink *next_gathered;
    bool abort; /* the strand is to cut the connection */
};

struct xchg_client {
    struct xchg_client_options options;
    char *url;
    atomic_bool closing;
    struct calls calls;
    _Atomic uint64_t dice;

    struct xlink *_Atomic links[XCHG_INSTANCES_MAX]; /* only ever added to until the client is freed */
    atomic_uint n_links;

    pthread_mutex_t lock;
    pthread_cond_t wake, resolver_wake;
    struct xcall *waiting, **waiting_tail;
    bool work; /* the worker has something to look at */
    _Atomic uint64_t wake_at; /* when it looks anyway */
    pthread_t worker, resolver;
    bool has_worker, has_resolver;

    struct {
        atomic_uint_fast64_t batches_sent, frames_sent, batches_received, frames_received, malformed, lost;
    } stats;
};

/* exchange_calls.c */
void calls_init(struct calls *t);
void calls_fini(struct calls *t);
struct xcall *calls_get(struct calls *t); /* not yet open: its id is 0; NULL = none left */
void calls_put(struct calls *t, struct xcall *x);
struct xcall *calls_find(struct calls *t, uint64_t id); /* NULL unless open at this moment */
uint64_t calls_id(const struct xcall *x); /* the id that it has when it is opened now */

/* exchange_link.c */
enum status link_new(struct xchg_client *c, struct xlink **ret, struct err *err); /* to nobody yet */
enum status link_open(struct xlink *l, const char *url, struct err *err);
void link_close(struct xlink *l); /* stops everything and may be opened again; its calls stay */
void link_free(struct xlink *l);
bool link_retire(struct xlink *l); /* takes no more calls; true = it has none left and may be closed */
enum status link_take_call(struct xlink *l, struct xcall *x,
                           struct slice payload); /* ST_DRAINING: not ready, nothing was done */
enum status link_tell(struct xlink *l, uint16_t method, struct slice payload);
void link_end_call(struct xlink *l, struct xcall *x,
                   enum status st); /* locked: ends it in the strand, tells the server */
void link_send_control(struct xlink *l, uint8_t kind, uint64_t call, uint32_t a); /* locked */
void link_pump(struct xlink *l); /* locked; sends what waits if a context is free */
void link_promise(struct xlink *l); /* after a pump, unlocked: what was deferred goes out in a moment */
void link_pump_soon(struct xlink *l); /* locked; the same, or left to the strand or to the thread's gathering */
void link_lose(struct xlink *l); /* locked; the strand does the rest */
bool link_owes(struct xlink *l); /* the client closes soon: are there frames that the server has yet to take? */
void link_set_ready(struct xlink *l); /* locked */
void link_detach(struct xlink *l, struct xcall *x); /* locked; it is not open any more */
void link_check(struct xlink *l, uint64_t now_ms, uint64_t *next_ms); /* a new connection, deadlines, silence */

/* exchange_strand.c */
void link_answered(void *lctx); /* nng: a context's answer, or its failure */
void link_strand(struct xlink *l); /* locked, but not over callbacks */
void link_end_all(struct xlink *l, enum status st); /* closed: ends what is left */

/* exchange_wait.c */
void *client_worker(void *client);
void client_wake(struct xchg_client *c);
bool client_note_deadline(struct xchg_client *c, uint64_t deadline_ms); /* true: it is the next one, wake the worker */
void client_wait_call(struct xchg_client *c, struct xcall *x); /* its payload is set; the client's from now on */
void client_end_waiting(struct xchg_client *c, enum status st);

/* exchange_client.c */
struct xlink *client_choose(struct xchg_client *c, uint64_t avoid, uint64_t only); /* 0 = any; NULL = none is ready */
void call_finish(struct xchg_client *c, struct xcall *x, enum status st,
                 struct slice payload); /* id is 0 already; unlocked */

/* exchange_names.c */
enum status names_start(struct xchg_client *c, struct err *err);

#endif
