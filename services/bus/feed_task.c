#include "services/bus/feed_private.h"

#include "services/call.h"
#include "services/clock.h"

void feed_task_init(struct feed_task *t, struct xchg_client *meterd)
{
    *t = (struct feed_task){.meterd = meterd, .backoff_ms = FEED_BACKOFF_MIN_MS};
    pthread_mutex_init(&t->lock, NULL);
    transport_cond_init(&t->wake);
}

void feed_task_fini(struct feed_task *t)
{
    pthread_cond_destroy(&t->wake);
    pthread_mutex_destroy(&t->lock);
}

void feed_task_stop(struct feed_task *t)
{
    pthread_mutex_lock(&t->lock);
    t->stopped = true;
    if (t->asking)
        xchg_cancel(t->meterd, t->call);
    pthread_cond_broadcast(&t->wake);
    pthread_mutex_unlock(&t->lock);
}

bool feed_task_stopped(struct feed_task *t)
{
    bool stopped;

    pthread_mutex_lock(&t->lock);
    stopped = t->stopped;
    pthread_mutex_unlock(&t->lock);
    return stopped;
}

void feed_wake(struct feed_task *t)
{
    pthread_mutex_lock(&t->lock);
    t->woken = true;
    pthread_cond_broadcast(&t->wake);
    pthread_mutex_unlock(&t->lock);
}

void feed_sleep(struct feed_task *t, uint64_t until_ms)
{
    pthread_mutex_lock(&t->lock);
    while (!t->stopped && !t->woken && clock_ms() < until_ms)
        transport_cond_wait_until(&t->wake, &t->lock, until_ms);
    t->woken = false;
    pthread_mutex_unlock(&t->lock);
}

void feed_back_off(struct feed_task *t)
{
    uint64_t until = clock_ms() + t->backoff_ms;

    t->backoff_ms = t->backoff_ms * 2 < FEED_BACKOFF_MAX_MS ? t->backoff_ms * 2 : FEED_BACKOFF_MAX_MS;
    while (!feed_task_stopped(t) && clock_ms() < until)
        feed_sleep(t, until);
}

void feed_progress(struct feed_task *t)
{
    t->backoff_ms = FEED_BACKOFF_MIN_MS;
}

static void on_end(void *ctx, enum status st, struct slice payload)
{
    struct feed_task *t = ctx;
    enum status copied = ST_OK;

    pthread_mutex_lock(&t->lock);
    t->payload = arena_copy(t->arena, payload, &copied);
    t->st = copied == ST_OK ? st : copied;
    t->answered = true;
    pthread_cond_broadcast(&t->wake);
    pthread_mutex_unlock(&t->lock);
}

static const struct xchg_events events = {.end = on_end};

static enum status open_call(struct feed_task *t, const struct wire_desc *req_desc, const void *req, struct arena *a)
{
    struct xchg_open open = {.deadline_ms = FEED_CALL_MS, .events = &events, .ctx = t};
    enum status st = ST_CANCELLED;

    /* Under the lock, so that feed_task_stop finds the call either not begun or with its id. */
    pthread_mutex_lock(&t->lock);
    t->answered = false;
    t->arena = a;
    if (!t->stopped)
        st = call_open(t->meterd, req_desc, req, &open, &t->call, NULL);
    t->asking = st == ST_OK;
    while (t->asking && !t->answered)
        transport_cond_wait_until(&t->wake, &t->lock, UINT64_MAX);
    if (t->asking)
        st = t->st;
    t->asking = false;
    pthread_mutex_unlock(&t->lock);
    return st;
}

enum status feed_ask(struct feed_task *t, const struct wire_desc *req_desc, const void *req,
                     const struct wire_desc *rep_desc, void *rep, struct arena *a)
{
    struct wire_alloc mem = arena_wire(a);
    enum status st = open_call(t, req_desc, req, a);

    if (st == ST_OK)
        st = call_result(ST_OK, t->payload, rep_desc, rep, &mem, NULL, NULL);
    return st;
}
