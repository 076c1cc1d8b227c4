/*
 * exchange: calls and streams between services over nng REQ/REP. One REQ/REP message carries a batch of frames, so cost
 * is shared when there is load and nothing is added when there is none (docs/architecture.md, "The bus").
 *
 * A call is OPEN (method, deadline, window, payload) from the client; DATA* and one END (status, payload) from the
 * server; CANCEL, WINDOW and PUSH (bytes that the server asked for) from the client. Nothing is ever sent twice by the
 * bus: whether a call may be tried again is the caller's decision. It knows nothing of what payloads mean. Threads:
 * everything here may be called from any thread; callbacks run on bus threads, in order and never two at once for one
 * call; they must not block; they may call anything here.
 */
#ifndef SERVICES_BUS_EXCHANGE_H
#define SERVICES_BUS_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/status.h"
#include "proto/wire.h"
#include "services/bus/trust.h"

#define XCHG_MESSAGE_MAX (32u * 1024u * 1024u) /* bytes of one batch: NNG_OPT_RECVMAXSZ */
#define XCHG_WINDOW_DEFAULT (256u * 1024u) /* bytes a stream may be ahead of its reader */
#define XCHG_CONTEXTS 4 /* REQ contexts in flight to one instance */
#define XCHG_PATIENCE_US                                                                                               \
    500 /* what can wait is sent no sooner than this after the last batch, and 1 ms later at most */
#define XCHG_WAIT_MS 5000 /* an empty wait is answered after this */
#define XCHG_LOST_MS 12000 /* a peer silent for so long is lost */
#define XCHG_CONNECT_WAIT_MS 2000 /* a call waits so long for an instance to appear, then ST_UNAVAILABLE */
#define XCHG_RESOLVE_MS 1000 /* names are looked up again this often */
#define XCHG_INSTANCES_MAX 64 /* of one service */
#define XCHG_CALLS_MAX 65536 /* open calls of one client, and of one server */

/* What went over the wire since the start. frames / batches is the mean size of a batch. */
struct xchg_stats {
    uint64_t batches_sent, frames_sent, batches_received, frames_received;
    uint64_t malformed; /* batches refused; each cost its sender the connection */
    uint64_t lost; /* connections that ended */
};

/* ---- client ------------------------------------------------------------------------------------------------------ */

struct xchg_client;
struct xchg_join; /* an instance that was reached just now; lives until `joined` returns */

struct xchg_client_options {
    const char *url; /* inproc://, ipc://, tcp://host:port (every address of host is an instance), or several with
                        commas; copied */
    uint64_t instance; /* who calls: random, not zero */
    /* optional: an instance was reached, or lost (up = false). A changed boot = it was restarted. */
    void (*peer)(void *ctx, uint64_t instance, uint64_t boot, bool up);
    /* optional: brief an instance that was reached (after `peer`, for every connection to it). It takes no call before
     * this returns, and what xchg_join_tell told it comes before the first one. false, or a tell that failed: it takes
     * none, the connection is given up and made anew. Runs for several instances at once. */
    bool (*joined)(void *ctx, struct xchg_join *to);
    void *ctx;
    bool idle; /* reaches nobody before xchg_client_start; calls wait meanwhile */
    struct trust *trust; /* optional: with whom to speak, and in secret */
};

enum status xchg_client_new(const struct xchg_client_options *options, struct xchg_client **ret, struct err *err);
enum status xchg_client_start(struct xchg_client *c, struct err *err); /* of an idle one, once */
void xchg_client_free(
    struct xchg_client *c); /* ends open calls with ST_CANCELLED; waits for running callbacks; not from a callback */
unsigned xchg_client_ready(struct xchg_client *c); /* instances that take calls now */
/* Which they are, each once; returns how many. */
unsigned xchg_client_instances(struct xchg_client *c, uint64_t ret[XCHG_INSTANCES_MAX]);
/* Why no instance takes calls, when every address answers that it does not speak with us; calls then end at once with
 * ST_UNAVAILABLE. FRAME_ACCEPTED: one does, or there is another reason. */
enum frame_refusal xchg_client_refused(struct xchg_client *c);
bool xchg_client_knows(struct xchg_client *c, uint64_t boot); /* is that the start of an instance reached last? */
void xchg_client_stats(struct xchg_client *c, struct xchg_stats *ret);

struct xchg_id { /* names an open call; harmless after its end */
    uint64_t call;
    uint32_t slot;
};

struct xchg_events {
    /* optional. bytes live until the callback returns. */
    void (*data)(void *ctx, uint16_t type, struct slice bytes);
    /* exactly once, after the last data. payload is the reply's bytes for ST_OK, else an encoded `fault` or empty.
     * ST_UNAVAILABLE and ST_DRAINING: never reached a handler, may be tried again. ST_PEER_LOST, ST_TIMEOUT: it may
     * have. */
    void (*end)(void *ctx, enum status st, struct slice payload);
};

struct xchg_open {
    uint16_t method; /* type number of the request message */
    struct slice payload; /* copied */
    uint64_t deadline_ms; /* from now; at its end the call ends with ST_TIMEOUT and the server is told */
    uint32_t window; /* bytes of DATA the server may send before WINDOW; 0 = XCHG_WINDOW_DEFAULT */
    uint64_t avoid; /* instance id not to choose when there is another; 0 = none */
    uint64_t only; /* the one instance to choose, 0 = any. Gone: ST_UNAVAILABLE after XCHG_CONNECT_WAIT_MS */
    bool patient; /* it may wait XCHG_PATIENCE_US for others to travel with: for who has many calls under way */
    const struct xchg_events *events;
    void *ctx;
};

/* ST_OK: events->end will be called, perhaps before this returns (*ret_id is written first). Else nothing will be
 * called. */
enum status xchg_open(struct xchg_client *c, const struct xchg_open *open, struct xchg_id *ret_id);
/* One way: no answer, no callbacks, lost when the peer is lost. Goes out before any later open to the same instance,
 * and with several instances goes to all. */
enum status xchg_tell(struct xchg_client *c, uint16_t method, struct slice payload);
/* Only in `joined`: one way, to that instance alone. */
enum status xchg_join_tell(struct xchg_join *to, uint16_t method, struct slice payload);
uint64_t xchg_join_instance(const struct xchg_join *to);
uint64_t xchg_join_boot(const struct xchg_join *to); /* changed = it has restarted and knows nothing */
/* The call ends with ST_CANCELLED (callback on a bus thread, unless its end is already on its way) and the server is
 * told. */
void xchg_cancel(struct xchg_client *c, struct xchg_id id);
void xchg_window(struct xchg_client *c, struct xchg_id id,
                 uint32_t bytes); /* the reader has taken so many more bytes */
/* More of a call's request, while it is open; bytes are copied and come to the server's `data` in the order of the
 * pushes. There is no window this way: push only what the server has asked for (in DATA), so that what it asks for
 * bounds both sides. ST_CANCELLED: the call has ended. ST_UNAVAILABLE: no instance has it yet, or as many bytes wait
 * for it as may (OUTQ_MAX). ST_TOO_LARGE, ST_NO_MEMORY. Whatever is returned, the call's end still comes. */
enum status xchg_push(struct xchg_client *c, struct xchg_id id, uint16_t type, struct slice bytes);

/* ---- server ------------------------------------------------------------------------------------------------------ */

struct xchg_server;
struct xchg_call; /* an open call at the server; valid until xchg_end */

struct xchg_server_options {
    const char *url; /* inproc://, ipc://, tcp://address:port; copied */
    uint64_t instance, boot;
    /* Must lead to exactly one xchg_end(call, …), now or later, from any thread. payload lives until it returns. */
    void (*handler)(void *ctx, struct xchg_call *call, uint16_t method, struct slice payload);
    void *ctx;
    struct trust *trust; /* optional: with whom to speak, and in secret */
};

enum status xchg_server_new(const struct xchg_server_options *options, struct xchg_server **ret, struct err *err);
void xchg_server_drain(struct xchg_server *s); /* new calls end with ST_DRAINING, clients are told to go elsewhere */
unsigned xchg_server_open_calls(struct xchg_server *s);
/* No handler and no event runs afterwards. A call that is still open stays valid: its xchg_end is still due and goes
 * nowhere. */
void xchg_server_free(struct xchg_server *s);
void xchg_server_stats(struct xchg_server *s, struct xchg_stats *ret);

bool xchg_one_way(const struct xchg_call *call); /* xchg_tell: xchg_end is still due, its arguments go nowhere */
uint64_t xchg_remaining_ms(const struct xchg_call *call);
uint64_t xchg_peer(const struct xchg_call *call); /* instance id of the client */

/* Callbacks get `tag`, not the call: look the call up by it, so that a call that ended meanwhile is simply not found.
 */
struct xchg_call_events {
    void (*cancel)(void *ctx, uint64_t tag); /* client cancelled, its deadline passed or it is lost: end soon */
    void (*window)(void *ctx, uint64_t tag); /* room again, after xchg_send said there was none */
    /* optional: the client pushed. bytes live until it returns. Without it they are dropped. Not after `cancel`. */
    void (*data)(void *ctx, uint64_t tag, uint16_t type, struct slice bytes);
};
void xchg_watch(struct xchg_call *call, const struct xchg_call_events *events, void *ctx,
                uint64_t tag); /* cancel may be called at once */

/* bytes are copied. *ret_room (may be NULL): bytes of window left; at or below 0 stop sending until `window`. A send
 * without room is still taken once (the window is overdrawn by one message at most), the next one is ST_TOO_LARGE.
 * ST_CANCELLED: nobody reads. */
enum status xchg_send(struct xchg_call *call, uint16_t type, struct slice bytes, int64_t *ret_room);
void xchg_end(struct xchg_call *call, enum status st, struct slice payload); /* exactly once; call is gone afterwards */

/* What this thread sends and ends between these two waits for the second, and then travels together: for a thread that
 * has something for many calls at once. Callbacks and handlers gather by themselves, for the length of the batch that
 * they came with. A thread that gathers must not wait for what it sends. */
void xchg_gather_begin(void);
void xchg_gather_end(void);

#endif
