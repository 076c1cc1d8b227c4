#include "services/call.h"

#include <pthread.h>
#include <string.h>

/* A caller that sleeps until its call has ended. The arena is the sleeper's, so the callback may use it meanwhile. */
struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool done;
    enum status st;
    struct slice payload;
    struct arena *arena;
};

static void waiter_end(void *ctx, enum status st, struct slice payload)
{
    struct waiter *w = ctx;
    enum status copied = ST_OK;
    struct slice copy = arena_copy(w->arena, payload, &copied);

    pthread_mutex_lock(&w->lock);
    w->st = copied == ST_OK ? st : copied;
    w->payload = copy;
    w->done = true;
    pthread_cond_signal(&w->ended); /* under the lock: the sleeper's stack must not go before we let go of it */
    pthread_mutex_unlock(&w->lock);
}

static const struct xchg_events waiter_events = {.end = waiter_end};

enum status call_wait_at(const struct call_to *to, const struct wire_desc *req_desc, const void *req,
                         const struct wire_desc *rep_desc, void *rep, struct arena *a, struct err *err)
{
    struct waiter w = {.arena = a};
    struct xchg_open open = {.deadline_ms = to->deadline_ms, .only = to->instance, .events = &waiter_events, .ctx = &w};
    struct wire_alloc mem = arena_wire(a);
    struct xchg_id id;
    enum status st;

    pthread_mutex_init(&w.lock, NULL);
    pthread_cond_init(&w.ended, NULL);
    st = call_open(to->client, req_desc, req, &open, &id, err);
    if (st == ST_OK) {
        pthread_mutex_lock(&w.lock);
        while (!w.done)
            pthread_cond_wait(&w.ended, &w.lock);
        pthread_mutex_unlock(&w.lock);
        st = call_result(w.st, w.payload, rep_desc, rep, &mem, err, NULL);
    }
    pthread_cond_destroy(&w.ended);
    pthread_mutex_destroy(&w.lock);
    return st;
}

enum status call_wait(struct xchg_client *c, const struct wire_desc *req_desc, const void *req,
                      const struct wire_desc *rep_desc, void *rep, struct arena *a, uint64_t deadline_ms,
                      struct err *err)
{
    struct call_to to = {.client = c, .deadline_ms = deadline_ms};

    return call_wait_at(&to, req_desc, req, rep_desc, rep, a, err);
}

enum status call_open(struct xchg_client *c, const struct wire_desc *req_desc, const void *req, struct xchg_open *open,
                      struct xchg_id *ret_id, struct err *err)
{
    struct buf b;
    enum status st;

    buf_init(&b, WIRE_MESSAGE_MAX);
    st = wire_encode(req_desc, req, &b, err);
    if (st == ST_OK) {
        open->method = req_desc->type;
        open->payload = (struct slice){b.p, b.n};
        st = xchg_open(c, open, ret_id);
        if (st != ST_OK)
            err_set(err, st, "%s", status_text(st));
    }
    buf_fini(&b);
    return st;
}

enum status call_tell(struct xchg_client *c, const struct wire_desc *req_desc, const void *req)
{
    struct buf b;
    enum status st;

    buf_init(&b, WIRE_MESSAGE_MAX);
    st = wire_encode(req_desc, req, &b, NULL);
    if (st == ST_OK)
        st = xchg_tell(c, req_desc->type, (struct slice){b.p, b.n});
    buf_fini(&b);
    return st;
}

enum status call_join_tell(struct xchg_join *to, const struct wire_desc *req_desc, const void *req)
{
    struct buf b;
    enum status st;

    buf_init(&b, WIRE_MESSAGE_MAX);
    st = wire_encode(req_desc, req, &b, NULL);
    if (st == ST_OK)
        st = xchg_join_tell(to, req_desc->type, (struct slice){b.p, b.n});
    buf_fini(&b);
    return st;
}

/* One rate_limits at most: room for it without an arena. */
struct limits_room {
    struct rate_limits limits;
    bool used;
};

static void *limits_alloc(void *ctx, size_t size)
{
    struct limits_room *room = ctx;

    if (room->used || size > sizeof(room->limits))
        return NULL;
    room->used = true;
    return &room->limits;
}

static void read_fault(enum status st, struct slice payload, struct err *err, struct rate_limits *ret_limits)
{
    struct limits_room room = {.used = false};
    struct wire_alloc mem = {limits_alloc, &room};
    struct err local = {.status = st};
    struct fault fault;

    memset(&room.limits, 0, sizeof(room.limits));
    if (payload.n && wire_decode(&fault_desc, payload.p, payload.n, &fault, &mem, NULL) == ST_OK) {
        slice_copy(fault.code, local.code, sizeof(local.code));
        slice_copy(fault.param, local.param, sizeof(local.param));
        slice_copy(fault.text, local.text, sizeof(local.text));
        local.retry_after_ms = fault.retry_after_ms;
        if (ret_limits && fault.limits.n)
            *ret_limits = fault.limits.items[0];
    }
    if (err)
        *err = local;
}

enum status call_result(enum status st, struct slice payload, const struct wire_desc *rep_desc, void *rep,
                        const struct wire_alloc *mem, struct err *err, struct rate_limits *ret_limits)
{
    if (ret_limits)
        memset(ret_limits, 0, sizeof(*ret_limits));
    if (st == ST_OK)
        return wire_decode(rep_desc, payload.p, payload.n, rep, mem, err);
    read_fault(st, payload, err, ret_limits);
    return st;
}

enum status call_fault(const struct err *err, const struct rate_limits *limits, struct buf *out)
{
    struct fault f = {.code = slice_of(err->code),
                      .param = slice_of(err->param),
                      .text = slice_of(err->text),
                      .retry_after_ms = err->retry_after_ms};

    if (limits && limits->has) {
        f.limits.items = limits;
        f.limits.n = 1;
    }
    return wire_encode(&fault_desc, &f, out, NULL);
}
