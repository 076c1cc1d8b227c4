/*
 * Tells meterd which providers this instance serves: at start, again until meterd has taken it, and every
 * ANNOUNCE_AGAIN_MS, so that a meterd that was restarted or replaced knows it too. A thread of its own; never in the
 * way of a call.
 */
#ifndef PROVIDERSVC_ANNOUNCE_H
#define PROVIDERSVC_ANNOUNCE_H

#include "proto/messages.h"
#include "services/bus/exchange.h"
#include "services/log.h"
#include "services/sleeper.h"

#define ANNOUNCE_RETRY_MS 250
#define ANNOUNCE_AGAIN_MS 15000
#define ANNOUNCE_TIMEOUT_MS 2000

struct announce {
    struct xchg_client *meterd;
    const struct log *log;
    struct provider_announce_req req; /* its texts belong to the service */
    struct provider providers[16];
    struct sleeper sleeper;
    bool heard; /* under the sleeper's lock */
};

enum status announce_start(struct announce *a, struct err *err);
bool announce_wait(struct announce *a, uint64_t ms); /* true: meterd knows */
bool announce_heard(struct announce *a);
void announce_stop(struct announce *a); /* harmless when it never started */

#endif
