#include "providersvc/timers.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void timers_init(struct timers *ts)
{
    memset(ts, 0, sizeof(*ts));
}

void timers_fini(struct timers *ts)
{
    free(ts->heap);
    memset(ts, 0, sizeof(*ts));
}

enum status timers_reserve(struct timers *ts, size_t n)
{
    size_t cap = ts->cap == 0 ? 64 : ts->cap;
    struct timer **heap;

    if (n <= ts->cap)
        return ST_OK;
    while (cap < n)
        cap *= 2;
    heap = realloc(ts->heap, cap * sizeof(struct timer *));
    if (heap == NULL)
        return ST_NO_MEMORY;
    ts->heap = heap;
    ts->cap = cap;
    return ST_OK;
}

static void put(struct timers *ts, size_t place, struct timer *t)
{
    ts->heap[place - 1] = t;
    t->place = place;
}

static void rise(struct timers *ts, struct timer *t)
{
    size_t at = t->place;

    while (at > 1 && ts->heap[at / 2 - 1]->due_ms > t->due_ms) {
        put(ts, at, ts->heap[at / 2 - 1]);
        at /= 2;
    }
    put(ts, at, t);
}

static void sink(struct timers *ts, struct timer *t)
{
    size_t at = t->place;

    while (2 * at <= ts->n) {
        size_t child = 2 * at;

        if (child < ts->n && ts->heap[child]->due_ms < ts->heap[child - 1]->due_ms)
            child++;
        if (ts->heap[child - 1]->due_ms >= t->due_ms)
            break;
        put(ts, at, ts->heap[child - 1]);
        at = child;
    }
    put(ts, at, t);
}

void timers_set(struct timers *ts, struct timer *t, uint64_t due_ms)
{
    uint64_t before = t->due_ms;

    t->due_ms = due_ms;
    if (t->place == 0) {
        assert(ts->n < ts->cap);
        ts->n++;
        put(ts, ts->n, t);
        rise(ts, t);
    } else if (due_ms < before) {
        rise(ts, t);
    } else if (due_ms > before) {
        sink(ts, t);
    }
}

void timers_clear(struct timers *ts, struct timer *t)
{
    size_t at = t->place;
    struct timer *last;

    if (at == 0)
        return;
    last = ts->heap[ts->n - 1];
    ts->n--;
    t->place = 0;
    if (last == t)
        return;
    put(ts, at, last);
    rise(ts, last);
    sink(ts, last);
}

bool timers_next(const struct timers *ts, uint64_t *ret_due_ms)
{
    if (ts->n == 0)
        return false;
    *ret_due_ms = ts->heap[0]->due_ms;
    return true;
}

void timers_run(struct timers *ts, uint64_t now_ms)
{
    size_t most = ts->n; /* a timer that sets itself again for now must not hold the loop */

    while (most > 0 && ts->n > 0 && ts->heap[0]->due_ms <= now_ms) {
        struct timer *t = ts->heap[0];

        most--;
        timers_clear(ts, t);
        t->fire(t);
    }
}
