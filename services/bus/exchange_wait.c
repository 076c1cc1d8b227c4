#include "services/bus/exchange_client.h"

#include <stdlib.h>

#include "services/clock.h"

#define WAITING_TICK_MS 20u /* how precisely a waiting call's own deadline is kept */

void client_wake(struct xchg_client *c)
{
    pthread_mutex_lock(&c->lock);
    c->work = true;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->lock);
}

bool client_note_deadline(struct xchg_client *c, uint64_t deadline_ms)
{
    uint64_t at = atomic_load(&c->wake_at);

    while (deadline_ms < at)
        if (atomic_compare_exchange_weak(&c->wake_at, &at, deadline_ms))
            return true;
    return false;
}

/* ---- calls that wait for an instance
 * ------------------------------------------------------------------------------------ */

void client_wait_call(struct xchg_client *c, struct xcall *x)
{
    pthread_mutex_lock(&c->lock);
    atomic_store(&x->owner, NULL);
    atomic_store(&x->id, calls_id(x));
    x->next = NULL;
    *c->waiting_tail = x;
    c->waiting_tail = &x->next;
    c->work = true;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->lock);
}

static enum status why_over(struct xchg_client *c, const struct xcall *x, uint64_t now)
{
    if (x->ending != ST_OK)
        return x->ending;
    if (now >= x->deadline_ms)
        return ST_TIMEOUT;
    if (now >= x->opened_ms + XCHG_CONNECT_WAIT_MS || xchg_client_refused(c) != FRAME_ACCEPTED)
        return ST_UNAVAILABLE;
    return ST_OK;
}

/* Locked. ST_PENDING: it goes on waiting. ST_OK: a link has it. Else it ends with that. */
static enum status try_call(struct xchg_client *c, struct xcall *x, uint64_t now)
{
    struct slice payload = {x->payload, x->payload_n};
    char *mine = x->payload;
    uint64_t deadline = x->deadline_ms;
    enum status st;
    struct xlink *l;

    if (x->ending != ST_OK)
        return x->ending;
    l = client_choose(c, x->avoid, x->only);
    if (l) {
        x->payload = NULL; /* once the link has it, it may end at any moment */
        st = link_take_call(l, x, payload);
        if (st != ST_DRAINING) {
            if (st == ST_OK) {
                free(mine);
                (void)client_note_deadline(c, deadline); /* we are the worker, and about to look */
            } else {
                x->payload = mine;
            }
            return st;
        }
        x->payload = mine;
    }
    st = why_over(c, x, now);
    return st == ST_OK ? ST_PENDING : st;
}

/* Locked on entry and exit. */
static void try_waiting(struct xchg_client *c, uint64_t now)
{
    struct xcall *x = c->waiting, *next, *over = NULL, **over_tail = &over;

    c->waiting = NULL;
    c->waiting_tail = &c->waiting;
    for (; x; x = next) {
        enum status st;

        next = x->next;
        x->next = NULL;
        st = try_call(c, x, now);
        if (st == ST_PENDING) {
            *c->waiting_tail = x;
            c->waiting_tail = &x->next;
        } else if (st != ST_OK) {
            atomic_store(&x->id, 0);
            x->ending = st;
            *over_tail = x;
            over_tail = &x->next;
        }
    }
    pthread_mutex_unlock(&c->lock);
    for (; over; over = next) {
        next = over->next;
        call_finish(c, over, over->ending, (struct slice){NULL, 0});
    }
    pthread_mutex_lock(&c->lock);
}

void client_end_waiting(struct xchg_client *c, enum status st)
{
    struct xcall *x, *next;

    pthread_mutex_lock(&c->lock);
    x = c->waiting;
    c->waiting = NULL;
    c->waiting_tail = &c->waiting;
    pthread_mutex_unlock(&c->lock);
    for (; x; x = next) {
        next = x->next;
        atomic_store(&x->id, 0);
        call_finish(c, x, st, (struct slice){NULL, 0});
    }
}

/* ---- the worker
 * --------------------------------------------------------------------------------------------------------- */

static uint64_t check_links(struct xchg_client *c, uint64_t now)
{
    uint64_t next = now + CLIENT_HOUSEKEEPING_MS;
    unsigned i, n = atomic_load(&c->n_links);

    for (i = 0; i < n; i++)
        link_check(atomic_load(&c->links[i]), now, &next);
    return next;
}

/* Locked. When to wake: `next`, or a deadline that was noted since this round began. */
static uint64_t settle_wake(struct xchg_client *c, uint64_t next)
{
    uint64_t noted = atomic_exchange(&c->wake_at, next);

    if (noted >= next)
        return next;
    atomic_store(&c->wake_at, noted);
    return noted;
}

void *client_worker(void *arg)
{
    struct xchg_client *c = arg;

    pthread_mutex_lock(&c->lock);
    while (!atomic_load(&c->closing)) {
        uint64_t now = clock_ms(), next;

        c->work = false;
        atomic_store(&c->wake_at, UINT64_MAX);
        pthread_mutex_unlock(&c->lock);
        next = check_links(c, now);
        pthread_mutex_lock(&c->lock);
        try_waiting(c, now);
        if (c->waiting && next > now + WAITING_TICK_MS)
            next = now + WAITING_TICK_MS;
        next = settle_wake(c, next);
        if (!c->work && clock_ms() < next)
            transport_cond_wait_until(&c->wake, &c->lock, next);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}
