/*
 * Timers: a binary heap with one-millisecond ticks. Ticks are coarse on purpose: everything due in
 * the same millisecond is served by one wake-up. Storage is reserved when a connection is
 * accepted, so that setting a timer cannot fail.
 */
#ifndef UPSTREAM_TIMERS_H
#define UPSTREAM_TIMERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct timer {
    size_t place; /* index in the heap plus one; 0 = not set */
};

struct timers_entry {
    uint64_t due_ms;
    struct timer *timer;
};

struct timers {
    struct timers_entry *heap;
    size_t n;
    size_t cap;
};

void timers_fini(struct timers *ts);
bool timers_reserve(struct timers *ts, size_t n);
void timers_set(struct timers *ts, struct timer *t, uint64_t due_ms);
void timers_unset(struct timers *ts, struct timer *t);
/* Takes one timer that is due out of the heap, or returns NULL. */
struct timer *timers_take_due(struct timers *ts, uint64_t now_ms);
/* Milliseconds until the next one, as epoll_wait wants them: -1 = none. */
int timers_wait_ms(const struct timers *ts, uint64_t now_ms);

#endif
