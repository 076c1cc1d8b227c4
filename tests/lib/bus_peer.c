#include "tests/lib/bus_peer.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "services/bus/transport.h"
#include "services/clock.h"
#include "services/ids.h"

/* ---- the server
 * --------------------------------------------------------------------------------------------------------- */

struct late {
    struct xchg_call *call;
    unsigned delay_ms;
    size_t n;
    char bytes[256];
};

static void *end_late(void *arg)
{
    struct late *l = arg;

    usleep(l->delay_ms * 1000);
    xchg_end(l->call, ST_OK, (struct slice){l->bytes, l->n});
    free(l);
    return NULL;
}

static void slow(struct bus_peer *p, struct xchg_call *call, struct slice payload)
{
    struct late *l = calloc(1, sizeof(*l));
    pthread_t t;

    l->call = call;
    l->delay_ms = p->delay_ms;
    l->n = payload.n < sizeof(l->bytes) ? payload.n : sizeof(l->bytes);
    if (l->n)
        memcpy(l->bytes, payload.p, l->n);
    if (transport_thread(&t, end_late, l) == ST_OK)
        pthread_detach(t);
    else
        end_late(l);
}

static void on_cancel(void *ctx, uint64_t tag)
{
    struct bus_peer *p = ctx;
    struct xchg_call *call = NULL;
    unsigned i;

    atomic_store(&p->cancelled_ns, clock_ns());
    atomic_fetch_add(&p->cancels, 1);
    pthread_mutex_lock(&p->lock);
    for (i = 0; i < p->n_held; i++)
        if (p->held[i].tag == tag) {
            call = p->held[i].call;
            p->held[i] = p->held[--p->n_held];
        }
    pthread_mutex_unlock(&p->lock);
    if (call)
        xchg_end(call, ST_CANCELLED, (struct slice){NULL, 0});
}

static void on_window(void *ctx, uint64_t tag)
{
    struct bus_peer *p = ctx;

    (void)tag;
    atomic_fetch_add(&p->windows, 1);
    pthread_mutex_lock(&p->lock);
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

static void on_push(void *ctx, uint64_t tag, uint16_t type, struct slice bytes)
{
    struct bus_peer *p = ctx;

    (void)tag;
    pthread_mutex_lock(&p->lock);
    if (bytes.n && bytes.n <= sizeof(p->pushed) - p->n_pushed)
        memcpy(p->pushed + p->n_pushed, bytes.p, bytes.n);
    p->n_pushed += bytes.n;
    p->pushed_types += type;
    pthread_mutex_unlock(&p->lock);
    atomic_fetch_add(&p->pushes, 1);
}

static void hold(struct bus_peer *p, struct xchg_call *call, bool takes)
{
    static const struct xchg_call_events deaf = {.cancel = on_cancel, .window = on_window};
    static const struct xchg_call_events taking = {.cancel = on_cancel, .window = on_window, .data = on_push};
    const struct xchg_call_events *events = takes ? &taking : &deaf;
    uint64_t tag;
    unsigned i;

    pthread_mutex_lock(&p->lock);
    tag = ++p->tags;
    if (p->n_held == BUS_PEER_HELD)
        abort();
    p->held[p->n_held].call = call;
    p->held[p->n_held].watched = false;
    p->held[p->n_held++].tag = tag;
    pthread_mutex_unlock(&p->lock);
    xchg_watch(call, events, p, tag); /* may cancel it at once, and then it is not held any more */
    pthread_mutex_lock(&p->lock);
    for (i = 0; i < p->n_held; i++)
        if (p->held[i].tag == tag)
            p->held[i].watched = true;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

static void told(struct bus_peer *p, struct xchg_call *call, struct slice payload)
{
    pthread_mutex_lock(&p->lock);
    (void)slice_copy(payload, p->last_told, sizeof(p->last_told));
    pthread_mutex_unlock(&p->lock);
    atomic_fetch_add(&p->one_way, 1);
    xchg_end(call, ST_OK, (struct slice){NULL, 0});
}

static void handle(void *ctx, struct xchg_call *call, uint16_t method, struct slice payload)
{
    struct bus_peer *p = ctx;
    uint32_t number;

    atomic_fetch_add(&p->handled, 1);
    if (xchg_one_way(call)) {
        told(p, call, payload);
        return;
    }
    if (method == PEER_COUNT && payload.n == sizeof(number)) {
        memcpy(&number, payload.p, sizeof(number));
        if (number < p->n_counts)
            atomic_fetch_add(&p->counts[number], 1);
    }
    if (method == PEER_HOLD || method == PEER_TAKE)
        hold(p, call, method == PEER_TAKE);
    else if (method == PEER_SLOW)
        slow(p, call, payload);
    else
        xchg_end(call, method == PEER_FAIL ? ST_NO_FUNDS : ST_OK, payload);
}

static struct bus_peer *make(const char *url, uint64_t instance, _Atomic uint32_t *counts, uint32_t n,
                             struct trust *trust)
{
    struct bus_peer *p = calloc(1, sizeof(*p));
    struct xchg_server_options options = {.url = url, .handler = handle, .ctx = p, .trust = trust};

    p->instance = instance ? instance : id_number();
    p->boot = id_number();
    p->delay_ms = 100;
    p->counts = counts;
    p->n_counts = n;
    options.instance = p->instance;
    options.boot = p->boot;
    pthread_mutex_init(&p->lock, NULL);
    transport_cond_init(&p->changed);
    if (xchg_server_new(&options, &p->server, NULL) == ST_OK)
        return p;
    free(p);
    return NULL;
}

struct bus_peer *bus_peer_new(const char *url, uint64_t instance)
{
    return make(url, instance, NULL, 0, NULL);
}

struct bus_peer *bus_peer_counting(const char *url, _Atomic uint32_t *counts, uint32_t n)
{
    return make(url, 0, counts, n, NULL);
}

struct bus_peer *bus_peer_trusting(const char *url, struct trust *trust)
{
    return make(url, 0, NULL, 0, trust);
}

void bus_peer_free(struct bus_peer *p)
{
    if (!p)
        return;
    xchg_server_free(p->server);
    bus_peer_end_held(p, ST_INTERNAL);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

/* Locked. One that is watched, which is not held any more; NULL = there is none. */
static struct xchg_call *take_watched(struct bus_peer *p)
{
    struct xchg_call *call;
    unsigned i;

    for (i = p->n_held; i > 0; i--)
        if (p->held[i - 1].watched) {
            call = p->held[i - 1].call;
            p->held[i - 1] = p->held[--p->n_held];
            return call;
        }
    return NULL;
}

struct xchg_call *bus_peer_take_held(struct bus_peer *p)
{
    uint64_t until = clock_ms() + slow_ms(10000);
    struct xchg_call *call;

    pthread_mutex_lock(&p->lock);
    while ((call = take_watched(p)) == NULL && clock_ms() < until)
        transport_cond_wait_until(&p->changed, &p->lock, until);
    pthread_mutex_unlock(&p->lock);
    return call;
}

unsigned bus_peer_held(struct bus_peer *p)
{
    unsigned n;

    pthread_mutex_lock(&p->lock);
    n = p->n_held;
    pthread_mutex_unlock(&p->lock);
    return n;
}

void bus_peer_end_held(struct bus_peer *p, enum status st)
{
    while (bus_peer_held(p) > 0) {
        struct xchg_call *call;

        pthread_mutex_lock(&p->lock);
        call = take_watched(p);
        pthread_mutex_unlock(&p->lock);
        if (call)
            xchg_end(call, st, (struct slice){NULL, 0});
        else
            usleep(500); /* the handler is about to watch it */
    }
}

/* ---- calls
 * -------------------------------------------------------------------------------------------------------------- */

static void enter(struct bus_wait *w)
{
    if (atomic_fetch_add(&w->inside, 1) != 0)
        w->overlapped = true;
}

static void on_data(void *ctx, uint16_t type, struct slice bytes)
{
    struct bus_wait *w = ctx;
    uint32_t number = 0;

    (void)type;
    enter(w);
    pthread_mutex_lock(&w->lock);
    if (bytes.n >= sizeof(number))
        memcpy(&number, bytes.p, sizeof(number));
    if (!w->no_check && number != w->frames)
        w->disordered = true;
    w->frames++;
    w->data_bytes += bytes.n;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    if (w->take)
        xchg_window(w->client, w->id, (uint32_t)bytes.n);
    atomic_fetch_sub(&w->inside, 1);
}

static void on_end(void *ctx, enum status st, struct slice payload)
{
    struct bus_wait *w = ctx;

    enter(w);
    atomic_fetch_sub(&w->inside, 1);
    pthread_mutex_lock(&w->lock);
    w->ended_ns = clock_ns();
    w->st = st;
    w->n = payload.n;
    if (payload.n)
        memcpy(w->payload, payload.p, payload.n < sizeof(w->payload) ? payload.n : sizeof(w->payload));
    w->ended++;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

static const struct xchg_events events = {.data = on_data, .end = on_end};

void bus_wait_init(struct bus_wait *w, struct xchg_client *c)
{
    memset(w, 0, sizeof(*w));
    w->client = c;
    w->take = true;
    pthread_mutex_init(&w->lock, NULL);
    transport_cond_init(&w->changed);
}

void bus_wait_fini(struct bus_wait *w)
{
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
}

enum status bus_open(struct bus_wait *w, uint16_t method, struct slice payload, uint64_t deadline_ms, uint32_t window)
{
    struct xchg_open open = {.method = method,
                             .payload = payload,
                             .deadline_ms = deadline_ms,
                             .window = window,
                             .events = &events,
                             .ctx = w};

    return xchg_open(w->client, &open, &w->id);
}

enum status bus_wait(struct bus_wait *w)
{
    enum status st;

    pthread_mutex_lock(&w->lock);
    while (!w->ended)
        pthread_cond_wait(&w->changed, &w->lock);
    st = w->st;
    pthread_mutex_unlock(&w->lock);
    return st;
}

bool bus_wait_frames(struct bus_wait *w, unsigned frames, unsigned ms)
{
    uint64_t until = clock_ms() + slow_ms(ms);
    bool there;

    pthread_mutex_lock(&w->lock);
    while (w->frames < frames && clock_ms() < until)
        transport_cond_wait_until(&w->changed, &w->lock, until);
    there = w->frames >= frames;
    pthread_mutex_unlock(&w->lock);
    return there;
}

enum status bus_call(struct xchg_client *c, uint16_t method, struct slice payload, uint64_t deadline_ms,
                     struct bus_wait *ret)
{
    struct bus_wait own = {.client = c}, *w = ret ? ret : &own;
    enum status st;

    bus_wait_init(w, c);
    st = bus_open(w, method, payload, deadline_ms, 0);
    if (st == ST_OK)
        st = bus_wait(w);
    bus_wait_fini(w);
    return st;
}

struct xchg_client *bus_client_trusting(const char *url, struct trust *trust)
{
    struct xchg_client_options options = {.url = url, .instance = id_number(), .trust = trust};
    struct xchg_client *c = NULL;

    return xchg_client_new(&options, &c, NULL) == ST_OK ? c : NULL;
}

struct xchg_client *bus_client(const char *url)
{
    return bus_client_trusting(url, NULL);
}

bool bus_ready(struct xchg_client *c, unsigned instances, unsigned ms)
{
    BUS_UNTIL(xchg_client_ready(c) == instances, ms);
    return xchg_client_ready(c) == instances;
}
