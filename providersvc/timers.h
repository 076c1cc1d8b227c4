/*
 * Timers of one event loop: a binary heap of nodes that live in what they time. Pure: no clock, no thread, no
 * allocation but the heap's own array, whose room is taken when a timer's owner is made, so that setting a timer cannot
 * fail.
 */
#ifndef PROVIDERSVC_TIMERS_H
#define PROVIDERSVC_TIMERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/status.h"

struct timer {
    uint64_t due_ms;
    size_t place; /* in the heap, counted from 1; 0 = not set */
    void (*fire)(struct timer *t);
};

struct timers {
    struct timer **heap;
    size_t n, cap;
};

void timers_init(struct timers *ts);
void timers_fini(struct timers *ts);
enum status timers_reserve(struct timers *ts, size_t n); /* room for n timers in all */
void timers_set(struct timers *ts, struct timer *t, uint64_t due_ms); /* sets or moves; t->fire must be there */
void timers_clear(struct timers *ts, struct timer *t); /* also when it is not set */
bool timers_next(const struct timers *ts, uint64_t *ret_due_ms);
/* Takes out and fires those due at now_ms; what they set for now or earlier waits for the next run. */
void timers_run(struct timers *ts, uint64_t now_ms);

#endif
