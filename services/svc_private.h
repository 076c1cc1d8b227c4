/* What svc*.c share among themselves. Nobody else includes this. */
#ifndef SERVICES_SVC_PRIVATE_H
#define SERVICES_SVC_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "services/svc.h"

#define SVC_CALL_POOL 256 /* finished calls kept for the next ones */
#define SVC_CALL_ARENA_MAX (96u * 1024u * 1024u) /* memory of one call: its message, decoded lists, its reply */
#define SVC_REPLY_KEEP 16384u /* a pooled call's reply buffer stays when not larger */
#define SVC_INSTANCE_TEXT 20
#define SVC_LATE_MS 5000 /* svc_stop waits so long for calls that other threads are finishing */

/* A call as svc holds it; services see `pub` only. */
struct svc_frame {
    struct svc_call pub;
    struct arena arena;
    struct buf reply;
    struct xchg_call *x;
    const struct svc_route *route;
    void *out;
    uint64_t began_ns;
    struct svc_frame *next; /* in the pool */
};

/* Gauges and counters of a service's process and of whom it reaches; NULL = it has none of these. */
struct vitals {
    struct metric *ready, *resident, *files, *files_max, *cpu, *revision, *peers[SVC_PEERS];
};

/* What the client to a peer gets as its context. */
struct svc_link {
    struct svc *svc;
    enum svc_peer peer;
};

struct svc {
    const struct svc_def *def;
    const struct settings *settings;
    void *state;
    struct log log;
    struct metrics *metrics;
    uint64_t instance, boot, started_ms;
    char instance_text[SVC_INSTANCE_TEXT];
    struct trust *trust; /* of the bus */
    struct xchg_client *peers[SVC_PEERS];
    struct svc_link links[SVC_PEERS];
    pthread_mutex_t join_lock; /* held while the service briefs an instance */
    bool deaf; /* under it: the service's state goes away, nobody is briefed any more */
    struct xchg_server *server;
    struct feed_follow *_Atomic follow; /* health is asked while the service is still starting */
    atomic_bool started, draining;
    pthread_mutex_t pool_lock;
    struct svc_frame *pool;
    unsigned pooled, in_use; /* frames: kept, and with a handler or whoever finishes the call */
    struct vitals vitals;
    struct metric *calls_ok, *calls_failed, *call_seconds, *bad_messages, *refused[FRAME_REFUSALS];
};

/* The bus calls this for every request. */
void svc_dispatch(void *ctx, struct xchg_call *x, uint16_t method, struct slice payload);
unsigned svc_pool_in_use(struct svc *svc); /* 0 = every call is finished, and whoever finished it done with svc */
void svc_pool_free(struct svc *svc);
extern const struct svc_route svc_common_routes[]; /* health and metrics, of every service; ends with a NULL req */
void vitals_make(struct svc *svc);
uint64_t vitals_resident_bytes(void); /* 0 = not known */
const char *svc_url(const struct settings *settings, enum svc_peer peer);

#endif
