#include "timers.h"

#include <assert.h>
#include <stdlib.h>

static void place(struct timers *ts, size_t i, struct timers_entry e)
{
    ts->heap[i] = e;
    e.timer->place = i + 1;
}

static void sift_up(struct timers *ts, size_t i, struct timers_entry e)
{
    while (i > 0) {
        size_t up = (i - 1) / 2;

        if (ts->heap[up].due_ms <= e.due_ms)
            break;
        place(ts, i, ts->heap[up]);
        i = up;
    }
    place(ts, i, e);
}

static void sift_down(struct timers *ts, size_t i, struct timers_entry e)
{
    for (;;) {
        size_t kid = 2 * i + 1;

        if (kid >= ts->n)
            break;
        if (kid + 1 < ts->n && ts->heap[kid + 1].due_ms < ts->heap[kid].due_ms)
            kid++;
        if (e.due_ms <= ts->heap[kid].due_ms)
            break;
        place(ts, i, ts->heap[kid]);
        i = kid;
    }
    place(ts, i, e);
}

void timers_fini(struct timers *ts)
{
    free(ts->heap);
    *ts = (struct timers){0};
}

bool timers_reserve(struct timers *ts, size_t n)
{
    size_t cap = ts->cap ? ts->cap : 64;
    struct timers_entry *heap = NULL;

    if (n <= ts->cap)
        return true;
    while (cap < n)
        cap *= 2;
    heap = realloc(ts->heap, cap * sizeof(*heap));
    if (!heap)
        return false;
    ts->heap = heap;
    ts->cap = cap;
    return true;
}

void timers_set(struct timers *ts, struct timer *t, uint64_t due_ms)
{
    timers_unset(ts, t);
    assert(ts->n < ts->cap);
    ts->n++;
    sift_up(ts, ts->n - 1, (struct timers_entry){due_ms, t});
}

void timers_unset(struct timers *ts, struct timer *t)
{
    size_t i = t->place;
    struct timers_entry last;

    if (i == 0)
        return;
    i--;
    t->place = 0;
    last = ts->heap[--ts->n];
    if (i == ts->n)
        return;
    if (i > 0 && last.due_ms < ts->heap[(i - 1) / 2].due_ms)
        sift_up(ts, i, last);
    else
        sift_down(ts, i, last);
}

struct timer *timers_take_due(struct timers *ts, uint64_t now_ms)
{
    struct timer *t = NULL;

    if (ts->n == 0 || ts->heap[0].due_ms > now_ms)
        return NULL;
    t = ts->heap[0].timer;
    timers_unset(ts, t);
    return t;
}

int timers_wait_ms(const struct timers *ts, uint64_t now_ms)
{
    uint64_t left;

    if (ts->n == 0)
        return -1;
    if (ts->heap[0].due_ms <= now_ms)
        return 0;
    left = ts->heap[0].due_ms - now_ms;
    return left > 60000 ? 60000 : (int)left;
}
