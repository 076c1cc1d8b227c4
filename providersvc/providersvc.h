/*
 * providersvc: the only service that speaks to upstreams. What it is made of: event loops that carry the calls,
 * adapters that speak the providers' dialects, the outbox that owes the bill, the usage feed that pays it, and the
 * announcement of what is served.
 */
#ifndef PROVIDERSVC_PROVIDERSVC_H
#define PROVIDERSVC_PROVIDERSVC_H

#include <stdatomic.h>

#include "providersvc/announce.h"
#include "providersvc/asserter.h"
#include "providersvc/catalog.h"
#include "providersvc/loop.h"
#include "providersvc/model_metrics.h"
#include "providersvc/outbox.h"
#include "services/disk.h"
#include "services/svc.h"

#define PROVIDERSVC_LOOPS_MAX 16

struct providersvc {
    struct svc *svc;
    struct upstreams upstreams;
    struct catalog catalog;
    bool drop_unsupported, ignore_health;
    struct outbox *outbox;
    struct feed_source *feed;
    struct loop *loops[PROVIDERSVC_LOOPS_MAX];
    unsigned n_loops;
    bool snapshot; /* of meterd's state is being read: the follower's thread */
    uint64_t position; /* ours in it, as far as it was read */
    atomic_uint turn; /* which loop takes the next call */
    uint64_t drain_ms, hold_grace_ms;
    struct announce announce;
    struct asserter asserter;
    struct metric *streams, *refused, *capped, *outbox_bytes, *outbox_unacked, *outbox_oldest;
    struct disk_gauges disk;
    struct model_metrics models;
};

#endif
