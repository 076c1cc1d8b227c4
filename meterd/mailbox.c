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

enum status mailbox_init(struct mailbox *m)
{
    pthread_condattr_t attr;

    memset(m, 0, sizeof(*m));
    m->ring = calloc(MAILBOX_ITEMS, sizeof(*m->ring));
    if (!m->ring)
        return ST_NO_MEMORY;
    pthread_mutex_init(&m->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&m->filled, &attr);
    pthread_condattr_destroy(&attr);
    return ST_OK;
}

void mailbox_fini(struct mailbox *m)
{
    if (!m->ring)
        return;
    pthread_cond_destroy(&m->filled);
    pthread_mutex_destroy(&m->lock);
    free(m->ring);
    m->ring = NULL;
}

static size_t bytes_of(const struct mail_item *item)
{
    return item->events ? item->events->n_bytes : item->bytes;
}

bool mailbox_put(struct mailbox *m, const struct mail_item *item)
{
    bool ok, wake;

    pthread_mutex_lock(&m->lock);
    ok = !m->closed && m->n < MAILBOX_ITEMS && m->bytes + bytes_of(item) <= MAILBOX_BYTES;
    wake = m->n == 0 || (item->call && m->n_calls == 0) || m->n >= MAILBOX_TAKE;
    if (ok) {
        m->ring[(m->first + m->n) % MAILBOX_ITEMS] = *item;
        m->n++;
        m->n_calls += item->call != NULL;
        m->bytes += bytes_of(item);
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
    pthread_mutex_unlock(&m->lock);
    pthread_cond_signal(&m->filled);
}

size_t mailbox_depth(struct mailbox *m)
{
    size_t n;

    pthread_mutex_lock(&m->lock);
    n = m->n;
    pthread_mutex_unlock(&m->lock);
    return n;
}

/* Until when to wait with what is there now; 0 = not at all. */
static uint64_t wait_until(const struct mailbox *m, const struct mailbox_wait *wait)
{
    if (m->closed || m->n_calls > 0 || m->n >= wait->enough)
        return 0;
    if (m->n > 0)
        return m->ring[m->first].at_ms + wait->gather_ms;
    return wait->until_ms;
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

size_t mailbox_take(struct mailbox *m, const struct mailbox_wait *wait, struct mail_item *to, size_t max,
                    bool *ret_closed)
{
    size_t n;

    pthread_mutex_lock(&m->lock);
    wait_filled(m, wait);
    for (n = 0; n < max && m->n > 0; n++) {
        to[n] = m->ring[m->first];
        m->first = (m->first + 1) % MAILBOX_ITEMS;
        m->n--;
        m->n_calls -= to[n].call != NULL;
        m->bytes -= bytes_of(&to[n]);
    }
    *ret_closed = m->closed;
    pthread_mutex_unlock(&m->lock);
    return n;
}
