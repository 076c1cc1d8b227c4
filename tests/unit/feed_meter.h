/*
 * A meterd without a store: it tells its changes, and takes usage. For test_feed.c and test_feed_usage.c.
 */
#ifndef TESTS_UNIT_FEED_METER_H
#define TESTS_UNIT_FEED_METER_H

#include <pthread.h>
#include <stdatomic.h>

#include "services/bus/feed.h"

#define FEED_METER_URL 96
#define FEED_METER_LOG 20000u /* events of the source at most */

/* Its state is a number of changes; change r has revision r and kind r % 100 + 1. Its usage is one source's position.
 */
struct feed_meter {
    char url[FEED_METER_URL], feed_url[FEED_METER_URL], events_url[FEED_METER_URL];
    struct trust *trust; /* set before it is opened; NULL = everything in the clear */
    struct xchg_server *server;
    struct feed_pub *pub;
    struct feed_sub *sub;
    pthread_mutex_t lock;
    uint64_t revision, log_from; /* the log begins after log_from: older readers get a snapshot */
    atomic_uint reads, snapshots, delivers, batches;
    atomic_bool deaf; /* loses usage batches */
    atomic_bool fail_later; /* answers only first pages */
    uint64_t position; /* of the source */
    uint64_t applied[FEED_METER_LOG];
    unsigned twice;
    struct feed_source *source; /* gets acks at once */
    atomic_bool ack;
};

/* transport: inproc or ipc. Closed until it is opened. */
struct feed_meter *feed_meter_new(const char *transport);
void feed_meter_free(struct feed_meter *m);
void feed_meter_open(struct feed_meter *m);
void feed_meter_close(struct feed_meter *m);
void feed_meter_publish(struct feed_meter *m, uint64_t previous, uint64_t revision);
/* n changes in one batch; heard = published as well. */
void feed_meter_change(struct feed_meter *m, unsigned n, bool heard);

#endif
