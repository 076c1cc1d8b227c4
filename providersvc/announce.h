/*
 * Tells meterd which providers this instance serves: at start, when they change, again until meterd has taken it, and
 * every ANNOUNCE_AGAIN_MS, so that a meterd that was restarted or replaced knows it too. A thread of its own; never in
 * the way of a call.
 */
#ifndef PROVIDERSVC_ANNOUNCE_H
#define PROVIDERSVC_ANNOUNCE_H

#include "proto/messages.h"
#include "providersvc/upstream.h"
#include "services/bus/exchange.h"
#include "services/log.h"
#include "services/sleeper.h"

#define ANNOUNCE_RETRY_MS 250
#define ANNOUNCE_AGAIN_MS 15000
#define ANNOUNCE_TIMEOUT_MS 2000

/* What is served. */
struct announced {
    struct provider items[UPSTREAMS_MAX];
    char names[UPSTREAMS_MAX][LIMIT_NAME + 1];
    size_t n;
};

struct announce {
    struct xchg_client *meterd;
    const struct log *log;
    struct slice instance; /* its text belongs to the service */
    pthread_mutex_t lock; /* of `served`, which changes before the thread starts, too */
    struct announced served;
    struct sleeper sleeper;
    bool heard, changed; /* under the sleeper's lock */
};

void announce_init(struct announce *a);
void announce_fini(struct announce *a);
/* What is served from now on: names are copied, kinds must be constants. Any thread. */
void announce_these(struct announce *a, const struct provider *served, size_t n);
enum status announce_start(struct announce *a, struct err *err);
bool announce_wait(struct announce *a, uint64_t ms); /* true: meterd knows */
bool announce_heard(struct announce *a);
void announce_stop(struct announce *a); /* harmless when it never started */

#endif
