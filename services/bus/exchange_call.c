#include "services/bus/exchange_gather.h"
#include "services/bus/exchange_server.h"

#include <stdlib.h>

#include "services/clock.h"

/* ---- the session's table
 * ------------------------------------------------------------------------------------------------ */

struct xchg_call *call_find(struct session *s, uint64_t id)
{
    struct xchg_call *x = s->buckets[id & (s->n_buckets - 1)];

    while (x && x->id != id)
        x = x->hash_next;
    return x;
}

/* Without memory the chains only get longer. */
static void grow(struct session *s)
{
    unsigned i, n = s->n_buckets * 2;
    struct xchg_call **buckets = calloc(n, sizeof(struct xchg_call *));

    if (!buckets)
        return;
    for (i = 0; i < s->n_buckets; i++) {
        struct xchg_call *x = s->buckets[i], *next;

        for (; x; x = next) {
            next = x->hash_next;
            x->hash_next = buckets[x->id & (n - 1)];
            buckets[x->id & (n - 1)] = x;
        }
    }
    free(s->buckets);
    s->buckets = buckets;
    s->n_buckets = n;
}

static void link_in(struct session *s, struct xchg_call *x)
{
    if (s->n_calls > 2 * s->n_buckets)
        grow(s);
    x->hash_next = s->buckets[x->id & (s->n_buckets - 1)];
    s->buckets[x->id & (s->n_buckets - 1)] = x;
    wheel_add(&s->wheel, &x->timer, x->deadline_ms + SERVER_GRACE_MS);
}

static void link_out(struct session *s, struct xchg_call *x)
{
    struct xchg_call **at = &s->buckets[x->id & (s->n_buckets - 1)];

    while (*at != x)
        at = &(*at)->hash_next;
    *at = x->hash_next;
    wheel_remove(&s->wheel, &x->timer);
}

static uint32_t window_of(uint32_t asked)
{
    if (asked == 0)
        return XCHG_WINDOW_DEFAULT;
    return asked < SERVER_WINDOW_MAX ? asked : SERVER_WINDOW_MAX;
}

enum status call_new(struct session *s, const struct frame *f, struct xchg_call **ret)
{
    bool one_way = f->kind == FRAME_TELL;
    uint64_t now = clock_ms();
    struct xchg_call *x;

    if (!one_way && call_find(s, f->call))
        return ST_BAD_MESSAGE;
    if (!one_way && atomic_load(&s->server->draining))
        return ST_DRAINING;
    if (atomic_load(&s->server->open_calls) >= XCHG_CALLS_MAX)
        return ST_UNAVAILABLE;
    x = calloc(1, sizeof(*x));
    if (!x)
        return ST_NO_MEMORY;
    x->session = s;
    x->id = f->call;
    x->deadline_ms = one_way ? UINT64_MAX : now + f->a;
    x->window = window_of(f->b);
    x->room = x->window;
    if (!one_way)
        link_in(s, x);
    s->n_calls++;
    atomic_fetch_add(&s->refs, 1);
    atomic_fetch_add(&s->server->open_calls, 1);
    *ret = x;
    return ST_OK;
}

void call_unlink(struct session *s, struct xchg_call *x)
{
    if (x->id)
        link_out(s, x);
    s->n_calls--;
    if (s->server)
        atomic_fetch_sub(&s->server->open_calls, 1);
}

/* ---- for services
 * ------------------------------------------------------------------------------------------------------- */

bool xchg_one_way(const struct xchg_call *x)
{
    return x->id == 0;
}

uint64_t xchg_remaining_ms(const struct xchg_call *x)
{
    uint64_t now = clock_ms();

    return x->deadline_ms > now ? x->deadline_ms - now : 0;
}

uint64_t xchg_peer(const struct xchg_call *x)
{
    return x->session->instance;
}

void xchg_watch(struct xchg_call *x, const struct xchg_call_events *events, void *ctx, uint64_t tag)
{
    struct session *s = x->session;
    bool cancelled;

    pthread_mutex_lock(&s->lock);
    x->events = *events;
    x->ctx = ctx;
    x->tag = tag;
    cancelled = x->cancelled;
    pthread_mutex_unlock(&s->lock);
    if (cancelled && events->cancel)
        events->cancel(ctx, tag);
}

/* Locked. Frames gather while the strand or the sender has more, so that they travel together; a great many leave at
 * once. */
static void flush_unless_gathering(struct session *s)
{
    s->out_frames++;
    if (!s->server)
        return;
    if (s->out_frames >= SESSION_FLUSH_FRAMES || (!s->running && !gather_session(s)))
        session_flush(s);
}

enum status xchg_send(struct xchg_call *x, uint16_t type, struct slice bytes, int64_t *ret_room)
{
    struct frame f = {.kind = FRAME_DATA, .type = type, .call = x->id, .payload = bytes};
    struct session *s = x->session;
    enum status st = ST_OK;

    if (x->id == 0)
        return ST_CANCELLED;
    pthread_mutex_lock(&s->lock);
    if (s->lost || x->cancelled)
        st = ST_CANCELLED;
    else if (x->room < 0)
        st = ST_TOO_LARGE;
    else
        st = outq_add(&s->out, &f) == ST_OK ? ST_OK : ST_NO_MEMORY;
    if (st == ST_OK) {
        x->room -= (int64_t)bytes.n;
        x->starved = x->room <= 0;
        if (ret_room)
            *ret_room = x->room;
        flush_unless_gathering(s);
    }
    pthread_mutex_unlock(&s->lock);
    return st;
}

/* Locked. An end that does not fit says that at least; a client that is told nothing would wait until its deadline, so
 * for it the loss of the connection is better. */
static bool send_end(struct session *s, const struct xchg_call *x, enum status st, struct slice payload)
{
    struct frame f = {.kind = FRAME_END, .call = x->id, .payload = payload};
    enum status added;

    f.type = (uint16_t)(status_known((uint64_t)st) && st != ST_PENDING ? st : ST_INTERNAL);
    added = outq_add(&s->out, &f);
    if (added == ST_OK)
        return true;
    f.type =
        added == ST_TOO_LARGE ? ST_TOO_LARGE : ST_PEER_LOST; /* the handler did run: nothing that invites another try */
    f.payload = (struct slice){NULL, 0};
    if (outq_add(&s->out, &f) == ST_OK)
        return true;
    session_lose(s);
    return false;
}

/* Locked, but not over the server's lock, which comes first. Counts as sending, so that the server stays. */
static void wake_server(struct session *s)
{
    struct xchg_server *srv = s->server;

    s->sending++;
    pthread_mutex_unlock(&s->lock);
    server_wake(srv);
    pthread_mutex_lock(&s->lock);
    s->sending--;
}

void xchg_end(struct xchg_call *x, enum status st, struct slice payload)
{
    struct session *s = x->session;
    bool failed = false;

    pthread_mutex_lock(&s->lock);
    if (x->id && !x->unread && !s->lost)
        failed = !send_end(s, x, st, payload);
    call_unlink(s, x);
    if (failed && s->server)
        wake_server(s);
    else
        flush_unless_gathering(s);
    pthread_mutex_unlock(&s->lock);
    free(x);
    session_unref(s);
}
