/*
 * The providers in use, by name, and what is known of their health. Calls take a reference and keep it; the follower of
 * the catalog puts others in their place. Shared by all loops: one lock, held for a look-up.
 */
#ifndef PROVIDERSVC_UPSTREAMS_H
#define PROVIDERSVC_UPSTREAMS_H

#include "providersvc/upstream.h"

struct upstreams {
    pthread_mutex_t lock; /* of what follows; a seat's name and metrics do not change while it has users */
    struct upstream_seat *seats[UPSTREAMS_MAX];
    struct upstream *now[UPSTREAMS_MAX]; /* by seat; NULL = not served */
    unsigned n;
    struct metrics *metrics;
};

void upstreams_init(struct upstreams *s, struct metrics *metrics);
void upstreams_fini(struct upstreams *s); /* safe on a zeroed one */
/* Takes over the caller's reference, also on failure. ST_UNAVAILABLE: UPSTREAMS_MAX are served or still used. */
enum status upstreams_put(struct upstreams *s, struct slice name, struct upstream *u);
void upstreams_remove(struct upstreams *s, struct slice name);
struct upstream *upstreams_find(struct upstreams *s, struct slice name); /* a reference; NULL = not served */
/* References to all that are served; returns how many. */
unsigned upstreams_all(struct upstreams *s, struct upstream *ret[UPSTREAMS_MAX]);

/* ---- health: any thread -------------------------------------------------------------------------------------------
 */

/* false: not now; *ret_soft: unless there is nobody else. */
bool seat_allows(struct upstream_seat *seat, uint64_t now_ms, uint64_t *ret_wait_ms, bool *ret_soft);
bool seat_poor(struct upstream_seat *seat, uint64_t now_ms); /* only if there is no better one */
bool seat_take(struct upstream_seat *seat, uint64_t now_ms); /* an attempt begins; true: it is the breaker's probe */
void seat_release(struct upstream_seat *seat, uint64_t now_ms); /* the probe ended without a finding */
void seat_alive(struct upstream_seat *seat, uint64_t now_ms, uint64_t first_token_us); /* an answer has begun */
void seat_good(struct upstream_seat *seat, uint64_t now_ms, uint64_t first_token_us); /* 0 = not measured */
bool seat_bad(struct upstream_seat *seat, uint64_t now_ms, bool hard); /* true: no more calls go there for now */
/* How fast it is to the first token. 0: it should be found out, by one call; UINT64_MAX: not known yet. */
uint64_t seat_pace_us(struct upstream_seat *seat, uint64_t now_ms);

#endif
