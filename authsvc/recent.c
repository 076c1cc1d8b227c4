#include "authsvc/recent.h"

#include <stdlib.h>

#define ARENA_MAX (8u * 1024u * 1024u)

struct page {
    struct recent *recent;
    struct arena arena;
};

void recent_init(struct recent *r, struct svc *svc, struct admission *admission)
{
    *r = (struct recent){.svc = svc, .admission = admission};
    pthread_mutex_init(&r->lock, NULL);
}

static void on_page(void *ctx, enum status st, struct slice payload);

static void ask(struct recent *r, const struct state_read_req *req)
{
    static const struct xchg_events events = {.end = on_page};
    struct page *p = calloc(1, sizeof(*p));
    struct xchg_open open = {.deadline_ms = RECENT_CALL_MS, .events = &events, .ctx = p};
    struct xchg_id id;

    if (p) {
        p->recent = r;
        arena_init(&p->arena, ARENA_MAX);
        if (call_open(svc_peer(r->svc, SVC_METERD), &state_read_req_desc, req, &open, &id, NULL) == ST_OK)
            return;
    }
    free(p);
    atomic_store(&r->done, true);
}

/* Under the lock. */
static void take(struct recent *r, const struct state_read_rep *rep, struct arena *a)
{
    struct wire_alloc mem = arena_wire(a);
    size_t i;

    for (i = 0; i < rep->changes.n; i++) {
        const struct state_change *change = &rep->changes.items[i];
        struct settled s;

        if (change->kind != settled_desc.type ||
            wire_decode(&settled_desc, change->record.p, change->record.n, &s, &mem, NULL) != ST_OK)
            continue;
        admission_settled_before(r->admission, &s, change->revision);
        atomic_fetch_add(&r->found, 1);
    }
}

static void on_page(void *ctx, enum status st, struct slice payload)
{
    struct page *p = ctx;
    struct recent *r = p->recent;
    struct wire_alloc mem = arena_wire(&p->arena);
    struct state_read_req next = {.after_revision = 0};
    struct state_read_rep rep = {.snapshot = false};

    st = call_result(st, payload, &state_read_rep_desc, &rep, &mem, NULL, NULL);
    pthread_mutex_lock(&r->lock);
    if (st == ST_OK && !rep.snapshot && !r->closed) {
        take(r, &rep, &p->arena);
        next.cursor = rep.cursor;
    }
    pthread_mutex_unlock(&r->lock);
    if (next.cursor.n)
        ask(r, &next);
    else
        atomic_store(&r->done, true);
    arena_fini(&p->arena);
    free(p);
}

void recent_begin(struct recent *r, uint64_t revision)
{
    struct state_read_req req = {.after_revision = revision > RECENT_REVISIONS ? revision - RECENT_REVISIONS : 1};
    bool begun;

    pthread_mutex_lock(&r->lock);
    begun = r->begun;
    r->begun = true;
    pthread_mutex_unlock(&r->lock);
    if (begun)
        return;
    if (revision > 1)
        ask(r, &req);
    else
        atomic_store(&r->done, true);
}

void recent_close(struct recent *r)
{
    pthread_mutex_lock(&r->lock);
    r->closed = true;
    pthread_mutex_unlock(&r->lock);
}
