#include <stdlib.h>
#include <string.h>

#include "services/clock.h"
#include "services/svc_private.h"

static struct svc_frame *frame_of(struct svc_call *call)
{
    return (struct svc_frame *)(void *)call; /* pub is the first member */
}

/* ---- the pool of calls
 * -------------------------------------------------------------------------------------------------- */

static struct svc_frame *frame_get(struct svc *svc)
{
    struct svc_frame *f;

    pthread_mutex_lock(&svc->pool_lock);
    f = svc->pool;
    if (f) {
        svc->pool = f->next;
        svc->pooled--;
    }
    svc->in_use++;
    pthread_mutex_unlock(&svc->pool_lock);
    if (f)
        return f;
    f = calloc(1, sizeof(*f));
    if (!f) {
        pthread_mutex_lock(&svc->pool_lock);
        svc->in_use--;
        pthread_mutex_unlock(&svc->pool_lock);
        return NULL;
    }
    arena_init(&f->arena, SVC_CALL_ARENA_MAX);
    buf_init(&f->reply, WIRE_MESSAGE_MAX);
    f->pub.svc = svc;
    f->pub.arena = &f->arena;
    return f;
}

static void frame_free(struct svc_frame *f)
{
    arena_fini(&f->arena);
    buf_fini(&f->reply);
    free(f);
}

static void frame_put(struct svc *svc, struct svc_frame *f)
{
    bool kept = false;

    arena_reset(&f->arena);
    if (f->reply.cap > SVC_REPLY_KEEP) {
        buf_fini(&f->reply);
        buf_init(&f->reply, WIRE_MESSAGE_MAX);
    }
    f->reply.n = 0;
    f->x = NULL;
    f->out = NULL;
    f->pub.limits.has = 0;
    memset(&f->pub.err, 0, sizeof(f->pub.err));
    pthread_mutex_lock(&svc->pool_lock);
    if (svc->pooled < SVC_CALL_POOL) {
        f->next = svc->pool;
        svc->pool = f;
        svc->pooled++;
        kept = true;
    }
    svc->in_use--; /* svc may be gone as soon as the lock is free */
    pthread_mutex_unlock(&svc->pool_lock);
    if (!kept)
        frame_free(f);
}

unsigned svc_pool_in_use(struct svc *svc)
{
    unsigned n;

    pthread_mutex_lock(&svc->pool_lock);
    n = svc->in_use;
    pthread_mutex_unlock(&svc->pool_lock);
    return n;
}

void svc_pool_free(struct svc *svc)
{
    while (svc->pool) {
        struct svc_frame *f = svc->pool;

        svc->pool = f->next;
        frame_free(f);
    }
}

/* ---- answers
 * ------------------------------------------------------------------------------------------------------------ */

static void end_failed(struct svc_frame *f, enum status st)
{
    struct svc *svc = f->pub.svc;

    f->reply.n = 0;
    metric_add(svc->calls_failed, 1);
    if (f->pub.err.status == ST_OK)
        f->pub.err.status = st;
    if (call_fault(&f->pub.err, &f->pub.limits, &f->reply) != ST_OK)
        f->reply.n = 0; /* the status alone still says what happened */
}

void *svc_out(struct svc_call *call)
{
    return frame_of(call)->out;
}

void svc_answer(struct svc_call *call, enum status st)
{
    struct svc_frame *f = frame_of(call);
    struct svc *svc = call->svc;

    if (st == ST_OK)
        st = wire_encode(f->route->rep, f->out, &f->reply, &call->err);
    if (st == ST_BAD_MESSAGE)
        log_event(&svc->log, LOG_ERROR, LOG_NO_REQ, "bad_message", LOG_C("route", f->route->req->name),
                  LOG_C("why", call->err.text));
    if (st == ST_OK)
        metric_add(svc->calls_ok, 1);
    else
        end_failed(f, st);
    metric_observe_ns(svc->call_seconds, clock_ns() - f->began_ns);
    xchg_end(f->x, st, (struct slice){f->reply.p, f->reply.n});
    f->x = NULL;
}

void svc_finish(struct svc_call *call, enum status st)
{
    struct svc_frame *f = frame_of(call);

    if (f->x)
        svc_answer(call, st);
    frame_put(call->svc, f);
}

uint64_t svc_remaining_ms(struct svc_call *call)
{
    return xchg_remaining_ms(frame_of(call)->x);
}

enum status svc_send(struct svc_call *call, struct slice bytes, int64_t *ret_room)
{
    return xchg_send(frame_of(call)->x, 0, bytes, ret_room);
}

enum status svc_send_message(struct svc_call *call, const struct wire_desc *desc, const void *msg, int64_t *ret_room)
{
    struct svc_frame *f = frame_of(call);
    enum status st;

    f->reply.n = 0;
    st = wire_encode(desc, msg, &f->reply, &call->err);
    if (st == ST_OK)
        st = xchg_send(f->x, desc->type, (struct slice){f->reply.p, f->reply.n}, ret_room);
    f->reply.n = 0;
    return st;
}

void svc_watch(struct svc_call *call, const struct xchg_call_events *events, void *ctx, uint64_t tag)
{
    xchg_watch(frame_of(call)->x, events, ctx, tag);
}

/* ---- requests
 * ----------------------------------------------------------------------------------------------------------- */

static const struct svc_route *find_route(const struct svc *svc, uint16_t method)
{
    const struct svc_route *r;
    size_t i;

    for (i = 0; i < svc->def->n_routes; i++)
        if (svc->def->routes[i].req->type == method)
            return &svc->def->routes[i];
    for (r = svc_common_routes; r->req; r++)
        if (r->req->type == method)
            return r;
    return NULL;
}

/* The request is copied first: the bus takes its bytes back when we return, the handler may keep them until it
 * finishes. */
static enum status read_request(struct svc_frame *f, struct slice payload, void **ret_in)
{
    struct wire_alloc mem = arena_wire(&f->arena);
    enum status st = ST_OK;
    struct slice copy = arena_copy(&f->arena, payload, &st);

    if (st != ST_OK)
        return st;
    *ret_in = arena_alloc(&f->arena, f->route->req->size);
    f->out = arena_alloc(&f->arena, f->route->rep->size);
    if (!*ret_in || !f->out)
        return ST_NO_MEMORY;
    return wire_decode(f->route->req, copy.p, copy.n, *ret_in, &mem, &f->pub.err);
}

void svc_dispatch(void *ctx, struct xchg_call *x, uint16_t method, struct slice payload)
{
    struct svc *svc = ctx;
    const struct svc_route *route = find_route(svc, method);
    struct svc_frame *f = frame_get(svc);
    void *in = NULL;
    enum status st;

    if (!route || !f) {
        metric_add(svc->bad_messages, route ? 0 : 1);
        if (f)
            frame_put(svc, f);
        xchg_end(x, route ? ST_NO_MEMORY : ST_BAD_MESSAGE, (struct slice){NULL, 0});
        return;
    }
    f->x = x;
    f->route = route;
    f->began_ns = clock_ns();
    st = read_request(f, payload, &in);
    if (st == ST_OK)
        st = route->handler(&f->pub, in, f->out);
    else if (st == ST_BAD_MESSAGE)
        metric_add(svc->bad_messages, 1);
    if (st != ST_PENDING)
        svc_finish(&f->pub, st);
}
