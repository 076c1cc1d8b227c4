/*
 * gateway: the only service that speaks HTTP to clients. This header is its state and its connections; nobody outside
 * gateway/ includes it. A connection has a thread of civetweb's for its whole life and a slot of ours (struct conn)
 * that belongs to that thread.
 *
 * While a call runs the thread sleeps on its socket (conn_sleep): the client's next request, or its leaving, wakes it,
 * and callbacks of the bus work on the slot meanwhile. The slot's lock guards what more than one of thread, callbacks
 * and ticker may touch. The arena and the buffers belong to the thread, and to the call's callbacks while it sleeps.
 */
#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "gateway/gate.h"
#include "gateway/interpose.h"
#include "gateway/proxies.h"
#include "services/disk.h"
#include "services/svc.h"

#define GATEWAY_SPARE_THREADS 16 /* beyond MAX_CONNECTIONS: they answer 503 */
#define GATEWAY_ARENA_MAX (64u * 1024u * 1024u) /* of one request: lists of an administrator's page are the largest */
#define GATEWAY_BODIES_MAX                                                                                             \
    (512u * 1024u * 1024u) /* bytes of large request bodies held at once, all connections together */
#define GATEWAY_PARSING_MAX                                                                                            \
    ((size_t)2 * LIMIT_BODY) /* bytes of large JSON that is parsed at once: takes up to nine times as much */
#define GATEWAY_KEEP_BYTES 65536u /* a buffer that is not larger stays for the connection's next request */
#define GATEWAY_ROUTES_MAX 128
#define GATEWAY_CLASSES 5 /* 1xx … 5xx */

struct mg_context;
struct gateway;
struct call;
struct ticker;
struct voids;
struct sightings;

struct conn {
    struct gateway *gw;
    struct tap tap; /* only the thread's */
    bool over_limit; /* only the thread's: came when MAX_CONNECTIONS were there */
    uint32_t served; /* only the thread's: requests of this connection that were begun */

    pthread_t thread;
    sigset_t awake; /* the thread's signal mask while it sleeps */

    pthread_mutex_t lock; /* guards the rest up to the next gap */
    int fd; /* -1 between connections */
    struct call *call; /* running, or NULL */

    atomic_uint_fast64_t quiet_since_ms; /* a stream has been silent since then; 0 = none runs */

    struct arena arena;
    struct buf body, out;
};

struct gateway_metrics {
    struct metric *requests[GATEWAY_ROUTES_MAX][GATEWAY_CLASSES];
    struct metric *seconds[GATEWAY_ROUTES_MAX];
    struct metric *in_flight, *streams, *connections;
    struct metric *malformed, *client_gone, *refused_connections, *slow_streams, *first_byte, *voids, *voids_waiting,
        *replayed, *answers_lost;
    struct disk_gauges disk;
};

struct gateway {
    struct svc *svc;
    const struct settings *settings;
    struct proxies proxies;
    struct mg_context *http;
    int port; /* really listened on */
    struct conn **conns;
    unsigned n_conns;
    atomic_uint conns_made, connections, in_flight;
    atomic_bool listening;
    atomic_bool closing; /* drained: nothing more is answered */
    _Atomic uint64_t upload_bytes; /* spooled at once, all connections together */
    _Atomic uint64_t line_bytes; /* of batches' files that are read: batch_file.h */
    struct gate parsing; /* bytes of JSON, where it is larger than REQUEST_SMALL */
    atomic_size_t body_bytes, record_bytes; /* held at once, all connections together */
    struct ticker *ticker;
    struct voids *voids;
    struct sightings *sightings;
    struct gateway_metrics metrics;
    char start_error[256]; /* what the HTTP library first complained of while it started */
};

struct conn *conn_new(struct gateway *gw); /* NULL = no memory */
void conn_free(struct conn *c); /* NULL is fine */

/* Has the client's next request already been read off the socket, so that poll will not show it? The thread's only. */
bool conn_has_more(const struct conn *c);

/* Sleeping and waking. The signal is blocked everywhere but in conn_sleep, so a wake-up that comes early is not lost.
 */
bool conn_prepare_sleep(struct conn *c); /* by its thread, once */
/* Sleeps until the socket shows one of the poll events (0 = do not look at the socket), conn_wake, or the time is over.
 * Returns what the socket shows, 0 when woken, -1 when the time is over. */
int conn_sleep(struct conn *c, short events, uint64_t ms);
void conn_wake(struct conn *c); /* under its lock: the thread cannot end before we let go */

/* Writes everything, waiting for the client as long as it takes at least a little; false = the client is gone or too
 * slow. Thread's only. */
struct iovec;
bool conn_write(struct conn *c, struct iovec *parts, int n_parts);
/* Says that nothing more comes and reads away what the client still sends, for a moment, so that it gets to see our
 * last answer. */
void conn_linger(struct conn *c);
void conn_linger_long(struct conn *c); /* the same for a client that is in the middle of a large body */

#endif
