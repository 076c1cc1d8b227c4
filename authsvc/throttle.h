/*
 * Brute force against passwords: failures are counted for an account from one client network, and for the network over
 * all accounts. Whoever reaches a limit waits until the window that began with his first failure is over; the same
 * account from another network is not touched, so nobody can lock an owner out (behind a proxy only if TRUSTED_PROXIES
 * names it: else all clients are one network). A client network is an IPv4 address or an IPv6 /64. Memory is bounded;
 * when it is full the oldest entry goes. Any thread.
 */
#ifndef AUTHSVC_THROTTLE_H
#define AUTHSVC_THROTTLE_H

#include <pthread.h>

#include "authsvc/table.h"

#define THROTTLE_FAILURES 10u /* of one account from one network */
#define THROTTLE_NETWORK_FAILURES 30u /* of one network over all accounts */
#define THROTTLE_WINDOW_MS (UINT64_C(15) * 60 * 1000)
#define THROTTLE_ENTRIES 16384u

struct throttle {
    pthread_mutex_t lock;
    struct table table;
    struct throttle_entry *first, *last; /* oldest first */
};

void throttle_init(struct throttle *t);
void throttle_fini(struct throttle *t);
/* ST_SLOW_DOWN with retry_after_ms when this account or network must wait. */
enum status throttle_check(struct throttle *t, struct slice account, struct slice ip, uint64_t now_ms, struct err *err);
void throttle_failed(struct throttle *t, struct slice account, struct slice ip, uint64_t now_ms);
void throttle_passed(struct throttle *t, struct slice account,
                     struct slice ip); /* the account's failures are forgotten */

#endif
