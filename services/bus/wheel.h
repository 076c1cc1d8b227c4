/*
 * Deadlines of many calls: a hashed timing wheel. Adding and removing cost the same whatever their number; a deadline
 * is noticed up to WHEEL_TICK_MS late, never early. Not thread-safe: its owner locks it. Times are clock_ms().
 */
#ifndef SERVICES_BUS_WHEEL_H
#define SERVICES_BUS_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

#define WHEEL_SLOTS 256u
#define WHEEL_TICK_MS 10u

struct wheel_item {
    struct wheel_item *prev, *next; /* NULL when in no wheel */
    uint64_t deadline_ms;
};

struct wheel {
    struct wheel_item slots[WHEEL_SLOTS]; /* heads of rings */
    struct wheel_item due; /* passed, not yet taken */
    uint64_t tick; /* the last one that was looked at */
    unsigned n;
};

void wheel_init(struct wheel *w, uint64_t now_ms);
void wheel_add(struct wheel *w, struct wheel_item *item, uint64_t deadline_ms);
void wheel_remove(struct wheel *w,
                  struct wheel_item *item); /* also from the due ones; nothing when it is in no wheel */
void wheel_advance(struct wheel *w, uint64_t now_ms); /* finds what is due now */
struct wheel_item *wheel_take_due(struct wheel *w); /* removes one that is due; NULL = none */
struct wheel_item *wheel_take_any(struct wheel *w); /* removes any; NULL = empty */
uint64_t wheel_next_ms(const struct wheel *w); /* when to advance again; UINT64_MAX = empty */

#endif
