/*
 * svc: what every service stands on. A service is a description (struct svc_def): its state, its routes, its hooks. svc
 * owns the bus sockets, decoding and encoding, logs, metrics, health, the state feed, SIGTERM and drain. The launcher
 * starts four of them in one process, so a service has no mutable file-scope state: it is reached by svc_state().
 */
#ifndef SERVICES_SVC_H
#define SERVICES_SVC_H

#include "proto/messages.h"
#include "services/arena.h"
#include "services/bus/exchange.h"
#include "services/bus/feed.h"
#include "services/call.h"
#include "services/log.h"
#include "services/metrics.h"
#include "services/settings.h"

struct svc;
struct svc_call;

/* Decides and fills out (zeroed, a struct of the route's reply). Runs on a bus thread: must not block. Returns ST_OK, a
 * failure with call->err set, or ST_PENDING: then the call is its own and svc_finish is due exactly once, from any
 * thread. `in` and everything it points to live until the call is finished. */
typedef enum status svc_handler(struct svc_call *call, const void *in, void *out);

struct svc_route {
    const struct wire_desc *req, *rep;
    svc_handler *handler;
};

enum svc_peer { SVC_AUTHSVC, SVC_PROVIDERSVC, SVC_METERD, SVC_PEERS };

struct svc_def {
    const char *name;
    unsigned settings; /* its SET_ bit */
    size_t state_size; /* zeroed memory of the service, svc_state() */
    enum svc_peer self; /* its own address; SVC_PEERS = answers no calls */
    unsigned peers; /* bits (1 << SVC_…) of the services it calls */
    const struct svc_route *routes;
    size_t n_routes;
    /* In this order: init (opens what the service owns; no calls arrive yet), then the bus listens and the state is
     * followed, then start (may call peers; optional). drain: stop taking work, return when idle or the deadline (ms)
     * is over; optional. fini: after the last call. */
    enum status (*init)(struct svc *svc, struct err *err);
    enum status (*start)(struct svc *svc, struct err *err);
    void (*drain)(struct svc *svc, uint64_t deadline_ms);
    void (*fini)(struct svc *svc); /* also after a failed init or start: accepts half-built state */
    /* An instance of a peer was reached, after init and before fini; optional. See xchg_client_options.joined. One at a
     * time. */
    bool (*joined)(struct svc *svc, enum svc_peer peer, struct xchg_join *to);
    /* NULL, or what to do with the state feed (ctx is the svc). */
    const struct feed_follow_events *follow;
    /* Adds lines to its health report; optional. add copies. */
    void (*health)(struct svc *svc, void (*add)(void *ctx, const char *name, bool ok, const char *detail), void *ctx);
    /* Sets the gauges that are looked at only when metrics are asked for; optional. From any thread, once started. */
    void (*gauges)(struct svc *svc);
};

/* ---- for services ---------------------------------------------------------------------------------------------------
 */

struct svc_call {
    struct svc *svc;
    struct arena *arena; /* until the call is finished */
    struct err err; /* why it fails */
    struct rate_limits limits; /* sent with a failure when limits.has is not 0 */
};

void *svc_state(struct svc *svc);
const struct settings *svc_settings(struct svc *svc);
struct log *svc_log(struct svc *svc);
struct metrics *svc_metrics(struct svc *svc);
struct xchg_client *svc_peer(struct svc *svc, enum svc_peer peer);
const char *svc_instance(struct svc *svc); /* 16 hex digits, new at every start */
struct trust *svc_trust(struct svc *svc); /* for the feeds that a service opens itself */
uint64_t svc_revision(struct svc *svc); /* of the state followed; 0 = none yet */
bool svc_ready(struct svc *svc); /* started, state there, not draining */
bool svc_draining(struct svc *svc);
enum status svc_health(struct svc *svc, struct arena *a, struct health_rep *rep); /* as its route health_req answers */
enum status svc_metrics_text(struct svc *svc, struct buf *out); /* as its route metrics_req answers */

void *svc_out(struct svc_call *call); /* the reply struct, for handlers that finish later */
void svc_finish(struct svc_call *call, enum status st); /* encodes svc_out or the err; the call is gone afterwards */
/* The client has its answer now; the call's memory and request stay until svc_finish, which then tells nobody. Nothing
 * else may be done with the call but that. */
void svc_answer(struct svc_call *call, enum status st);
uint64_t svc_remaining_ms(struct svc_call *call);
/* Streams: see xchg_send and xchg_watch. type 0 = raw bytes, else use svc_send_message. */
enum status svc_send(struct svc_call *call, struct slice bytes, int64_t *ret_room);
enum status svc_send_message(struct svc_call *call, const struct wire_desc *desc, const void *msg, int64_t *ret_room);
void svc_watch(struct svc_call *call, const struct xchg_call_events *events, void *ctx, uint64_t tag);

/* ---- for main() and the launcher
 * -------------------------------------------------------------------------------------- */

#define SVC_EXIT_OK 0
#define SVC_EXIT_SETTINGS 2 /* a wrong setting or argument */
#define SVC_EXIT_START 1 /* could not start */

enum status svc_start(const struct svc_def *def, const struct settings *settings, struct svc **ret, struct err *err);
void svc_drain(struct svc *svc, uint64_t deadline_ms);
void svc_stop(struct svc *svc); /* NULL is fine */
/* The main() of a service: --help, --version, settings, start, wait for SIGTERM or SIGINT, drain, stop. Returns the
 * exit code. */
int svc_main(const struct svc_def *def, int argc, char **argv);

extern const struct svc_def gateway_def, authsvc_def, providersvc_def, meterd_def;

#endif
