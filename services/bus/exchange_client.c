#include "services/bus/exchange_client.h"

#include <stdlib.h>
#include <string.h>

#include "services/clock.h"
#include "services/ids.h"

/* ---- choosing an instance
 * ----------------------------------------------------------------------------------------------- */

/* Any sequence that spreads will do; nobody gains by guessing it. */
static uint64_t roll(struct xchg_client *c)
{
    uint64_t z = atomic_fetch_add_explicit(&c->dice, UINT64_C(0x9e3779b97f4a7c15), memory_order_relaxed);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static struct xlink *quieter(struct xlink *a, struct xlink *b)
{
    return atomic_load(&b->outstanding) < atomic_load(&a->outstanding) ? b : a;
}

struct xlink *client_choose(struct xchg_client *c, uint64_t avoid, uint64_t only)
{
    struct xlink *ready[XCHG_INSTANCES_MAX], *avoided = NULL;
    unsigned i, n = 0, total = atomic_load(&c->n_links);
    uint64_t dice;

    for (i = 0; i < total; i++) {
        struct xlink *l = atomic_load(&c->links[i]);

        if (!atomic_load(&l->ready) || (only && atomic_load(&l->instance) != only))
            continue;
        if (avoid && atomic_load(&l->instance) == avoid)
            avoided = l;
        else
            ready[n++] = l;
    }
    if (n == 0)
        return avoided;
    if (n == 1)
        return ready[0];
    dice = roll(c);
    i = (unsigned)(dice % n);
    return quieter(ready[i], ready[(i + 1 + (unsigned)((dice >> 32) % (n - 1))) % n]);
}

/* Two addresses may lead to the same instance; it must not be told, or named, twice. */
static bool told_before(const uint64_t *told, unsigned n, uint64_t instance)
{
    unsigned i;

    for (i = 0; i < n; i++)
        if (told[i] == instance)
            return true;
    return false;
}

unsigned xchg_client_ready(struct xchg_client *c)
{
    unsigned i, n = 0, total = atomic_load(&c->n_links);

    for (i = 0; i < total; i++)
        n += atomic_load(&atomic_load(&c->links[i])->ready) ? 1 : 0;
    return n;
}

unsigned xchg_client_instances(struct xchg_client *c, uint64_t ret[XCHG_INSTANCES_MAX])
{
    unsigned i, n = 0, total = atomic_load(&c->n_links);

    for (i = 0; i < total; i++) {
        struct xlink *l = atomic_load(&c->links[i]);
        uint64_t instance = atomic_load(&l->instance);

        if (atomic_load(&l->ready) && !told_before(ret, n, instance))
            ret[n++] = instance;
    }
    return n;
}

/* For a while: the server may come back with another setting, and is asked again all the time. */
enum frame_refusal xchg_client_refused(struct xchg_client *c)
{
    unsigned i, total = atomic_load(&c->n_links);
    enum frame_refusal why = FRAME_ACCEPTED;
    uint64_t now = clock_ms();

    for (i = 0; i < total; i++) {
        struct xlink *l = atomic_load(&c->links[i]);
        enum frame_refusal said = (enum frame_refusal)atomic_load(&l->refused);

        if (!atomic_load(&l->wanted))
            continue;
        if (said == FRAME_ACCEPTED || now > atomic_load(&l->refused_ms) + XCHG_CONNECT_WAIT_MS)
            return FRAME_ACCEPTED;
        why = said;
    }
    return why;
}

bool xchg_client_knows(struct xchg_client *c, uint64_t boot)
{
    unsigned i, total = atomic_load(&c->n_links);

    for (i = 0; i < total; i++) {
        struct xlink *l = atomic_load(&c->links[i]);

        if (atomic_load(&l->wanted) && atomic_load(&l->boot) == boot)
            return true;
    }
    return false;
}

/* ---- calls
 * -------------------------------------------------------------------------------------------------------------- */

static uint64_t deadline_of(uint64_t now, uint64_t from_now)
{
    if (from_now == 0)
        from_now = 1;
    return now + (from_now < UINT32_MAX ? from_now : UINT32_MAX);
}

static uint32_t window_of(uint32_t window)
{
    if (window == 0)
        return XCHG_WINDOW_DEFAULT;
    return window < CLIENT_WINDOW_MAX ? window : CLIENT_WINDOW_MAX;
}

static void fill(struct xcall *x, const struct xchg_open *open)
{
    uint64_t now = clock_ms();

    x->events = open->events;
    x->ctx = open->ctx;
    x->avoid = open->avoid;
    x->only = open->only;
    x->opened_ms = now;
    x->deadline_ms = deadline_of(now, open->deadline_ms);
    x->window = window_of(open->window);
    x->taken = 0;
    x->ending = ST_OK;
    x->method = open->method;
    x->patient = open->patient;
    x->payload = NULL;
    x->payload_n = 0;
}

static enum status wait_for_instance(struct xchg_client *c, struct xcall *x, struct slice payload)
{
    x->payload = malloc(payload.n + 1);
    if (!x->payload)
        return ST_NO_MEMORY;
    if (payload.n)
        memcpy(x->payload, payload.p, payload.n);
    x->payload_n = payload.n;
    client_wait_call(c, x);
    return ST_OK;
}

enum status xchg_open(struct xchg_client *c, const struct xchg_open *open, struct xchg_id *ret_id)
{
    struct xcall *x = NULL;
    uint64_t deadline;
    struct xlink *l;
    enum status st;

    if (atomic_load(&c->closing))
        return ST_UNAVAILABLE;
    if (open->payload.n > WIRE_MESSAGE_MAX)
        return ST_TOO_LARGE;
    x = calls_get(&c->calls);
    if (!x)
        return ST_UNAVAILABLE;
    fill(x, open);
    deadline = x->deadline_ms;
    *ret_id = (struct xchg_id){.call = calls_id(x), .slot = x->slot};
    l = client_choose(c, open->avoid, open->only);
    st = l ? link_take_call(l, x, open->payload) : ST_DRAINING;
    if (l)
        link_promise(l);
    if (st == ST_OK && client_note_deadline(c, deadline))
        client_wake(c);
    if (st == ST_DRAINING) /* none, or it was lost this very moment */
        st = wait_for_instance(c, x, open->payload);
    if (st != ST_OK)
        calls_put(&c->calls, x);
    return st;
}

void call_finish(struct xchg_client *c, struct xcall *x, enum status st, struct slice payload)
{
    const struct xchg_events *events = x->events;
    void *ctx = x->ctx;

    free(x->payload);
    x->payload = NULL;
    calls_put(&c->calls, x);
    events->end(ctx, st, payload);
}

enum status xchg_tell(struct xchg_client *c, uint16_t method, struct slice payload)
{
    unsigned i, n = 0, total = atomic_load(&c->n_links);
    uint64_t told[XCHG_INSTANCES_MAX];
    enum status worst = ST_OK;

    if (payload.n > WIRE_MESSAGE_MAX)
        return ST_TOO_LARGE;
    for (i = 0; i < total && !atomic_load(&c->closing); i++) {
        struct xlink *l = atomic_load(&c->links[i]);
        uint64_t instance = atomic_load(&l->instance);
        enum status st = told_before(told, n, instance) ? ST_DRAINING : link_tell(l, method, payload);

        link_promise(l);
        if (st == ST_OK)
            told[n++] = instance;
        else if (st != ST_DRAINING)
            worst = st;
    }
    if (worst != ST_OK)
        return worst;
    return n > 0 ? ST_OK : ST_UNAVAILABLE;
}

/* Locks the owner of an open call. NULL: it is not open any more, nothing is locked. */
static struct xcall *lock_call(struct xchg_client *c, struct xchg_id id, struct xlink **ret_owner)
{
    struct xcall *x = calls_find(&c->calls, id.call);

    while (x) {
        struct xlink *owner = atomic_load(&x->owner);
        pthread_mutex_t *lock = owner ? &owner->lock : &c->lock;

        pthread_mutex_lock(lock);
        if (atomic_load(&x->id) == id.call && atomic_load(&x->owner) == owner) {
            *ret_owner = owner;
            return x;
        }
        pthread_mutex_unlock(lock);
        x = calls_find(&c->calls, id.call);
    }
    return NULL;
}

void xchg_cancel(struct xchg_client *c, struct xchg_id id)
{
    struct xlink *owner = NULL;
    struct xcall *x = lock_call(c, id, &owner);

    if (!x)
        return;
    if (owner) {
        link_end_call(owner, x, ST_CANCELLED);
        link_pump_soon(owner);
        pthread_mutex_unlock(&owner->lock);
    } else {
        if (x->ending == ST_OK)
            x->ending = ST_CANCELLED;
        pthread_mutex_unlock(&c->lock);
    }
    client_wake(c);
}

void xchg_window(struct xchg_client *c, struct xchg_id id, uint32_t bytes)
{
    struct xlink *owner = NULL;
    struct xcall *x = lock_call(c, id, &owner);

    if (!x)
        return;
    if (owner) {
        x->taken = bytes < UINT32_MAX - x->taken ? x->taken + bytes : UINT32_MAX;
        if (x->taken >= x->window / 2) {
            link_send_control(owner, FRAME_WINDOW, id.call, x->taken);
            x->taken = 0;
            link_pump_soon(owner);
        }
    }
    pthread_mutex_unlock(owner ? &owner->lock : &c->lock);
}

enum status xchg_push(struct xchg_client *c, struct xchg_id id, uint16_t type, struct slice bytes)
{
    struct frame f = {.kind = FRAME_PUSH, .type = type, .call = id.call, .payload = bytes};
    struct xlink *owner = NULL;
    enum status st = ST_UNAVAILABLE;
    struct xcall *x;

    if (bytes.n > WIRE_MESSAGE_MAX)
        return ST_TOO_LARGE;
    x = lock_call(c, id, &owner);
    if (!x)
        return ST_CANCELLED;
    if (x->ending != ST_OK)
        st = ST_CANCELLED;
    else if (owner && owner->state == LINK_UP)
        st = outq_add(&owner->out, &f);
    if (st == ST_OK) {
        owner->urgent = true;
        link_pump_soon(owner);
    }
    pthread_mutex_unlock(owner ? &owner->lock : &c->lock);
    return st;
}

/* ---- the client itself
 * -------------------------------------------------------------------------------------------------- */

static enum status start(struct xchg_client *c, struct err *err)
{
    enum status st;

    st = transport_thread(&c->worker, client_worker, c);
    if (st != ST_OK)
        return err_set(err, st, "no thread for the bus");
    c->has_worker = true;
    return c->options.idle ? ST_OK : names_start(c, err);
}

enum status xchg_client_start(struct xchg_client *c, struct err *err)
{
    return names_start(c, err);
}

enum status xchg_client_new(const struct xchg_client_options *options, struct xchg_client **ret, struct err *err)
{
    struct xchg_client *c = calloc(1, sizeof(*c));
    enum status st;

    if (!c)
        return err_set(err, ST_NO_MEMORY, "no memory for a bus client");
    transport_start();
    c->options = *options;
    c->options.url = NULL;
    c->url = strdup(options->url);
    c->waiting_tail = &c->waiting;
    atomic_store(&c->dice, id_number());
    calls_init(&c->calls);
    pthread_mutex_init(&c->lock, NULL);
    transport_cond_init(&c->wake);
    transport_cond_init(&c->resolver_wake);
    st = c->url ? start(c, err) : err_set(err, ST_NO_MEMORY, "no memory for a bus client");
    if (st != ST_OK) {
        xchg_client_free(c);
        return st;
    }
    *ret = c;
    return ST_OK;
}

static void stop_threads(struct xchg_client *c)
{
    pthread_mutex_lock(&c->lock);
    atomic_store(&c->closing, true);
    c->work = true;
    pthread_cond_signal(&c->wake);
    pthread_cond_signal(&c->resolver_wake);
    pthread_mutex_unlock(&c->lock);
    if (c->has_resolver)
        pthread_join(c->resolver, NULL);
    if (c->has_worker)
        pthread_join(c->worker, NULL);
}

/* nng_close drops what is on its way. */
static void linger(struct xchg_client *c)
{
    uint64_t until = clock_ms() + CLIENT_LINGER_MS;
    bool owes = c->has_worker;

    while (owes && clock_ms() < until) {
        unsigned i, n = atomic_load(&c->n_links);

        for (i = 0, owes = false; i < n; i++)
            owes = link_owes(atomic_load(&c->links[i])) || owes;
        if (owes)
            nng_msleep(1);
    }
}

void xchg_client_free(struct xchg_client *c)
{
    unsigned i, n;

    if (!c)
        return;
    linger(c);
    stop_threads(c);
    n = atomic_load(&c->n_links);
    for (i = 0; i < n; i++)
        link_close(atomic_load(&c->links[i]));
    for (i = 0; i < n; i++)
        link_end_all(atomic_load(&c->links[i]), ST_CANCELLED);
    client_end_waiting(c, ST_CANCELLED);
    for (i = 0; i < n; i++)
        link_free(atomic_load(&c->links[i]));
    calls_fini(&c->calls);
    pthread_cond_destroy(&c->resolver_wake);
    pthread_cond_destroy(&c->wake);
    pthread_mutex_destroy(&c->lock);
    free(c->url);
    free(c);
}

void xchg_client_stats(struct xchg_client *c, struct xchg_stats *ret)
{
    *ret = (struct xchg_stats){.batches_sent = atomic_load(&c->stats.batches_sent),
                               .frames_sent = atomic_load(&c->stats.frames_sent),
                               .batches_received = atomic_load(&c->stats.batches_received),
                               .frames_received = atomic_load(&c->stats.frames_received),
                               .malformed = atomic_load(&c->stats.malformed),
                               .lost = atomic_load(&c->stats.lost)};
}
