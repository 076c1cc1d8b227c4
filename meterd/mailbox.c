#include "meterd/mailbox.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "services/clock.h"

#define EVENTS_ARENA_MAX (4u * 1024u * 1024u)

void mail_events_free(struct mail_events *e)
{
    if (!e)
        return;
    arena_fini(&e->arena);
    free(e->bytes);
    free(e);
}

enum status mail_events_new(struct slice bytes, struct mail_events **ret, struct err *err)
{
    struct mail_events *e = calloc(1, sizeof(*e));
    struct wire_alloc mem;
    enum status st;

    if (e)
        e->bytes = malloc(bytes.n ? bytes.n : 1);
    if (!e || !e->bytes) {
        free(e);
        return err_set(err, ST_NO_MEMORY, "no memory for usage events");
    }
    arena_init(&e->arena, EVENTS_ARENA_MAX);
    memcpy(e->bytes, bytes.p, bytes.n);
    e->n_bytes = bytes.n;
    mem = arena_wire(&e->arena);
    st = wire_decode(&usage_batch_desc, e->bytes, e->n_bytes, &e->batch, &mem, err);
    if (st != ST_OK) {
        mail_events_free(e);
        return st;
    }
    *ret = e;
    return ST_OK;
}

static struct mail_item *ring_new(void)
{
    return calloc(MAILBOX_ITEMS, sizeof(struct mail_item));
}

enum status mailbox_init(struct mailbox *m)
{
    pthread_condattr_t attr;

    memset(m, 0, sizeof(*m));
    m->commands.ring = ring_new();
    m->usage.ring = ring_new();
    if (!m->commands.ring || !m->usage.ring) {
        free(m->commands.ring);
        free(m->usage.ring);
        m->commands.ring = m->usage.ring = NULL;
        return ST_NO_MEMORY;
    }
    pthread_mutex_init(&m->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&m->filled, &attr);
    pthread_condattr_destroy(&attr);
    return ST_OK;
}

void mailbox_fini(struct mailbox *m)
{
    if (!m->commands.ring)
        return;
    pthread_cond_destroy(&m->filled);
    pthread_mutex_destroy(&m->lock);
    free(m->commands.ring);
    free(m->usage.ring);
    m->commands.ring = m->usage.ring = NULL;
}

static size_t bytes_of(const struct mail_item *item)
{
    return item->events ? item->events->n_bytes : item->bytes;
}

static size_t depth(const struct mailbox *m)
{
    return m->commands.n + m->usage.n;
}

static void note_wanted(struct mailbox *m)
{
    atomic_store_explicit(&m->wanted, m->commands.n > 0 || m->closed, memory_order_relaxed);
}

bool mailbox_put(struct mailbox *m, const struct mail_item *item)
{
    struct mail_line *line = item->lane == LANE_INGEST ? &m->usage : &m->commands;
    bool ok, wake;

    pthread_mutex_lock(&m->lock);
    ok = !m->closed && depth(m) < MAILBOX_ITEMS && m->bytes + bytes_of(item) <= MAILBOX_BYTES;
    wake = depth(m) == 0 || (item->call && m->n_calls == 0) || (line == &m->commands && line->n == 0) ||
           depth(m) >= MAILBOX_TAKE;
    if (ok) {
        line->ring[(line->first + line->n) % MAILBOX_ITEMS] = *item;
        line->n++;
        m->n_calls += item->call != NULL;
        m->bytes += bytes_of(item);
        m->usage_events += line == &m->usage ? item->usage : 0;
        note_wanted(m);
    }
    pthread_mutex_unlock(&m->lock);
    if (ok && wake)
        pthread_cond_signal(&m->filled);
    return ok;
}

void mailbox_close(struct mailbox *m)
{
    pthread_mutex_lock(&m->lock);
    m->closed = true;
    note_wanted(m);
    pthread_mutex_unlock(&m->lock);
    pthread_cond_signal(&m->filled);
}

size_t mailbox_depth(struct mailbox *m)
{
    size_t n;

    pthread_mutex_lock(&m->lock);
    n = depth(m);
    pthread_mutex_unlock(&m->lock);
    return n;
}

size_t mailbox_usage(struct mailbox *m)
{
    size_t n;

    pthread_mutex_lock(&m->lock);
    n = m->usage_events;
    pthread_mutex_unlock(&m->lock);
    return n;
}

bool mailbox_wanted(const struct mailbox *m)
{
    return atomic_load_explicit(&m->wanted, memory_order_relaxed);
}

/* Until when to wait with what is there now; 0 = not at all. */
static uint64_t wait_until(const struct mailbox *m, const struct mailbox_wait *wait)
{
    if (m->closed || m->n_calls > 0 || depth(m) >= wait->enough)
        return 0;
    if (m->usage.n > 0)
        return m->usage.ring[m->usage.first].at_ms + wait->gather_ms;
    return m->commands.n > 0 ? 0 : wait->until_ms;
}

static void wait_filled(struct mailbox *m, const struct mailbox_wait *wait)
{
    for (;;) {
        uint64_t until = wait_until(m, wait);
        struct timespec at = {(time_t)(until / 1000), (long)(until % 1000) * 1000000};

        if (until == 0 || until <= clock_ms())
            return;
        pthread_cond_timedwait(&m->filled, &m->lock, &at);
    }
}

static void take_one(struct mailbox *m, struct mail_line *line, struct mail_item *to)
{
    *to = line->ring[line->first];
    line->first = (line->first + 1) % MAILBOX_ITEMS;
    line->n--;
    m->n_calls -= to->call != NULL;
    m->bytes -= bytes_of(to);
    m->usage_events -= line == &m->usage ? to->usage : 0;
}

size_t mailbox_take(struct mailbox *m, const struct mailbox_wait *wait, struct mail_item *to, size_t max,
                    bool *ret_closed)
{
    size_t n = 0, usage = 0, place;

    pthread_mutex_lock(&m->lock);
    wait_filled(m, wait);
    place = m->usage.n > 0 && max > 1; /* however many commands there are, usage goes on */
    while (n + place < max && m->commands.n > 0)
        take_one(m, &m->commands, &to[n++]);
    while (n < max && m->usage.n > 0 && (wait->most_usage == 0 || usage < wait->most_usage)) {
        take_one(m, &m->usage, &to[n]);
        usage += to[n++].usage;
    }
    *ret_closed = m->closed;
    note_wanted(m);
    pthread_mutex_unlock(&m->lock);
    return n;
}
