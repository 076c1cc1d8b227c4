/*
 * feed: numbered records over nng PUB/SUB, which drops by design; so whoever publishes keeps every record until it is
 * acknowledged, and whoever follows notices a gap and repairs it by a call. PUB/SUB is the fast path, the call is the
 * truth.
 *
 * Two feeds exist. State feed (meterd to all): feed_follow gives a service the whole state and then every change, in
 * order, without a gap. Usage feed (every providersvc to meterd): feed_source sends what the outbox holds until meterd
 * has committed it.
 */
#ifndef SERVICES_BUS_FEED_H
#define SERVICES_BUS_FEED_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/messages.h"
#include "services/bus/exchange.h"

#define FEED_MESSAGE_MAX (8u * 1024u * 1024u) /* a sealed one is a little longer */
#define FEED_QUEUE 8192 /* nng's own queues, both ends */
#define FEED_HEARTBEAT_MS 1000 /* meterd publishes an empty state_batch when nothing changes */
#define FEED_GATHER_MS 10 /* usage events wait so long for each other, to leave in one message */
#define FEED_REDELIVER_MS 2000 /* a record not acknowledged for so long is delivered by a call */

/* ---- raw PUB and SUB ----------------------------------------------------------------------------------------------
 */

/* Where a feed is, and who may hear it. */
struct feed_at {
    const char *url;
    bool listen; /* else dial */
    enum cipher_topic topic;
    struct trust *trust; /* NULL: in the clear; kept */
};

struct feed_pub;
enum status feed_pub_new(const struct feed_at *at, struct feed_pub **ret, struct err *err);
void feed_pub_free(struct feed_pub *p);
enum status feed_publish(struct feed_pub *p, struct slice bytes); /* never blocks; may be lost. Any thread. */

struct feed_sub;
/* message runs on one thread of the subscriber's own; bytes live until it returns. Of a sealed feed it gets what a peer
 * with the same secret has published on that topic, once or more: whoever reads it must know by its position what it
 * has already. */
enum status feed_sub_new(const struct feed_at *at, void (*message)(void *ctx, struct slice bytes), void *ctx,
                         struct feed_sub **ret, struct err *err);
void feed_sub_free(struct feed_sub *s);

/* ---- following the state ------------------------------------------------------------------------------------------
 */

struct feed_follow;
struct feed_follow_events {
    void (*reset)(void *ctx); /* a snapshot comes: forget everything */
    void (*change)(void *ctx, const struct state_change *change); /* one record; lives until it returns */
    /* The projection now shows this revision, which is all that meterd has published; said again with each heartbeat.
     */
    void (*applied)(void *ctx, uint64_t revision);
};
/* All three run on one thread of the follower's own. meterd is asked for snapshots and gaps (state_read_req). Of a
 * sealed feed only what that start of meterd has published is heard with which we are connected, and each message once.
 */
struct feed_follow_options {
    const char *feed_url; /* METERD_FEED_URL: we dial */
    struct xchg_client *meterd;
    struct trust *trust; /* NULL: in the clear */
    const struct feed_follow_events *events;
    void *ctx;
};
enum status feed_follow_new(const struct feed_follow_options *options, struct feed_follow **ret, struct err *err);
void feed_follow_free(struct feed_follow *f);
uint64_t feed_follow_revision(struct feed_follow *f); /* 0 = no snapshot yet */

/* ---- delivering usage ---------------------------------------------------------------------------------------------
 */

struct feed_source;
struct feed_source_options {
    const char *events_url; /* METERD_EVENTS_URL: we dial */
    struct xchg_client *meterd;
    struct trust *trust; /* NULL: in the clear */
    char source[LIMIT_NAME]; /* outbox id */
    /* Reads up to max finished events from first_seq on into arena-owned memory; *ret_n = 0 when there are none. Called
     * on the source's thread. */
    enum status (*read)(void *ctx, uint64_t first_seq, size_t max, struct arena *a, struct usage_event **ret_events,
                        size_t *ret_n);
    void (*acked)(void *ctx, uint64_t seq); /* everything up to seq is committed: may be forgotten */
    void (*set_back)(void *ctx, uint64_t seq); /* meterd was: what comes after seq is owed again. May be NULL. */
    uint64_t (*oldest)(void *ctx); /* the oldest record that read can give. NULL: none was ever forgotten */
    void *ctx;
};
/* last_acked: position known at start (0 = none); last_seq: newest record in the outbox. Unacknowledged ones are
 * delivered by calls first. */
enum status feed_source_new(const struct feed_source_options *options, uint64_t last_acked, uint64_t last_seq,
                            struct feed_source **ret, struct err *err);
void feed_source_free(struct feed_source *s);
/* Events first_seq, first_seq+1 … are in the outbox: publish them. In order, from one thread. */
enum status feed_source_publish(struct feed_source *s, uint64_t first_seq, const struct usage_event *events, size_t n);
/* An ack record of this source came with the state feed. */
void feed_source_ack(struct feed_source *s, const struct ack *ack);
/* A snapshot of meterd's state says that it has this source's records up to seq, and no more: when that is less than it
 * had acknowledged, its database was set back, and what comes after seq is delivered again. */
void feed_source_position(struct feed_source *s, uint64_t seq);

#endif
