#include <stdio.h>
#include <string.h>

#include "services/clock.h"
#include "services/svc_private.h"
#include "services/version.h"

#define TAG_CHECKS 8 /* of health_rep */

/* Checks gathered for one report; beyond the limit they are left out. */
struct report {
    struct arena *arena;
    struct health_check checks[LIMIT_CHECKS];
    size_t n;
};

static struct slice keep(struct arena *a, const char *text)
{
    enum status st = ST_OK;

    return arena_copy(a, slice_of(text), &st);
}

static void add_check(void *ctx, const char *name, bool ok, const char *detail)
{
    struct report *r = ctx;

    if (r->n == LIMIT_CHECKS)
        return;
    r->checks[r->n++] =
        (struct health_check){.name = keep(r->arena, name), .ok = ok, .detail = keep(r->arena, detail ? detail : "")};
}

static void add_peers(struct svc *svc, struct report *r)
{
    static const char *const names[] = {"authsvc", "providersvc", "meterd"};
    enum frame_refusal why;
    char detail[160];
    unsigned p;

    for (p = 0; p < SVC_PEERS; p++) {
        unsigned n;

        if (!svc->peers[p])
            continue;
        n = xchg_client_ready(svc->peers[p]);
        why = n ? FRAME_ACCEPTED : xchg_client_refused(svc->peers[p]);
        snprintf(detail, sizeof(detail), "%u instances%s%s", n, why ? ": " : "", trust_advice(why));
        add_check(r, names[p], n > 0, detail);
    }
    if (svc->def->follow) {
        snprintf(detail, sizeof(detail), "revision %llu", (unsigned long long)svc_revision(svc));
        add_check(r, "state", svc_revision(svc) > 0, detail);
    }
}

enum status svc_health(struct svc *svc, struct arena *a, struct health_rep *rep)
{
    struct report r = {.arena = a};
    struct health_check *checks;

    add_peers(svc, &r);
    if (svc->def->health)
        svc->def->health(svc, add_check, &r);
    checks = arena_alloc(a, sizeof(*checks) * (r.n + 1));
    if (!checks)
        return ST_NO_MEMORY;
    memcpy(checks, r.checks, sizeof(*checks) * r.n);
    *rep = (struct health_rep){.service = slice_of(svc->def->name),
                               .instance = slice_of(svc->instance_text),
                               .version = slice_of(ROUTER_VERSION),
                               .ready = svc_ready(svc),
                               .draining = svc_draining(svc),
                               .uptime_ms = clock_ms() - svc->started_ms,
                               .rss_bytes = vitals_resident_bytes()};
    rep->checks.items = checks;
    rep->checks.n = r.n;
    rep->has |= UINT64_C(1) << TAG_CHECKS; /* there, also when there are none */
    return ST_OK;
}

static enum status health(struct svc_call *call, const void *in, void *out)
{
    (void)in;
    return svc_health(call->svc, call->arena, out);
}

static enum status metrics(struct svc_call *call, const void *in, void *out)
{
    struct metrics_rep *rep = out;
    enum status st;
    struct buf text;

    (void)in;
    buf_init(&text, LIMIT_METRICS);
    st = svc_metrics_text(call->svc, &text);
    if (st == ST_OK)
        rep->text = arena_copy(call->arena, (struct slice){text.p, text.n}, &st);
    buf_fini(&text);
    return st;
}

const struct svc_route svc_common_routes[] = {
    {&health_req_desc, &health_rep_desc, health},
    {&metrics_req_desc, &metrics_rep_desc, metrics},
    {NULL, NULL, NULL},
};
