/*
 * pricing: what a call costs. Finds the version of a price that was pinned at admission and multiplies. Versions never
 * change, so the ones in use are remembered; a rolled back transaction makes the cache forget, because a version made
 * in it never was.
 */
#ifndef METERD_PRICING_H
#define METERD_PRICING_H

#include <stdbool.h>

#include "proto/messages.h"
#include "proto/money.h"

#define PRICING_CACHE 256 /* slots, by version number */

struct store;

struct pricing_slot {
    uint64_t id; /* 0 = empty */
    struct token_prices prices;
};

struct pricing_cache {
    struct pricing_slot slots[PRICING_CACHE];
};

void pricing_forget(struct pricing_cache *c);

/* The cost of an event in nano-USD. *ret_known = false when the event names a price that cannot be found or tokens that
 * cannot be multiplied: the cost is 0 then, and somebody must look at it. Fails only when the store fails. */
enum status pricing_cost(struct store *s, const struct usage_event *e, int64_t *ret_nano, bool *ret_known,
                         struct err *err);

#endif
