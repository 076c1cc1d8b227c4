/*
 * Which route a call takes, and which it takes next when an attempt came to nothing: the lowest tier first; inside it
 * by weight, or the fastest; one that fails too often only if there is no better one, in whatever tier; never a
 * provider whose breaker is open or whose keys all rest, never a route twice unless nothing has been done there.
 * Attempts beyond the first are paid from a budget, a tenth of the calls.
 */
#include <string.h>

#include "proto/endpoints.h"
#include "proto/utf8.h"
#include "providersvc/adapter.h"
#include "providersvc/completion_private.h"
#include "providersvc/object_end.h"
#include "providersvc/providersvc.h"

/* xorshift64*: routes are spread, nothing is kept secret by it. */
static uint64_t any(struct loop *l)
{
    l->random ^= l->random >> 12;
    l->random ^= l->random << 25;
    l->random ^= l->random >> 27;
    return l->random * UINT64_C(2685821657736338717);
}

static uint64_t weight_of(const struct call_route *r)
{
    return r->weight != 0 ? r->weight : 1;
}

struct candidates {
    uint32_t usable, poor; /* bit k: route k */
    uint32_t last; /* and this one when there is no other */
    bool known; /* somebody by one of these names is served here */
    uint64_t wait_ms; /* until the first that is not usable now may be; 0 = none will */
};

static void soonest(struct candidates *found, uint64_t wait_ms)
{
    if (wait_ms != 0 && (found->wait_ms == 0 || wait_ms < found->wait_ms))
        found->wait_ms = wait_ms;
}

static void judge(struct upstream *u, uint64_t now_ms, uint32_t bit, struct candidates *found)
{
    uint64_t wait_ms = 0, rest_ms = 0;
    bool soft, well = seat_allows(u->seat, now_ms, &wait_ms, &soft);
    bool keys = upstream_has_key(u, now_ms, &rest_ms);

    found->known = true;
    if (well && keys)
        found->usable |= bit;
    else if (soft && keys)
        found->last |= bit;
    soonest(found, wait_ms > rest_ms ? wait_ms : rest_ms);
}

static void look(const struct completion *c, uint32_t tried, struct candidates *found)
{
    const struct completion_req *r = c->req;

    *found = (struct candidates){0};
    for (size_t i = 0; i < r->routes.n; i++) {
        struct upstream *u;

        if ((tried & UINT32_C(1) << i) != 0)
            continue;
        u = upstreams_find(&c->loop->self->upstreams, r->routes.items[i].provider);
        if (u == NULL)
            continue;
        judge(u, c->loop->now_ms, UINT32_C(1) << i, found);
        if (r->routes.n > 1 && seat_poor(u->seat, c->loop->now_ms))
            found->poor |= UINT32_C(1) << i;
        upstream_unref(u);
    }
    if (found->usable == 0)
        found->usable = found->last;
}

static uint32_t lowest_tier(const struct completion_req *r, uint32_t among)
{
    uint64_t tier = UINT64_MAX;
    uint32_t lowest = 0;

    for (size_t i = 0; i < r->routes.n; i++) {
        if ((among & UINT32_C(1) << i) == 0 || r->routes.items[i].tier > tier)
            continue;
        if (r->routes.items[i].tier < tier)
            lowest = 0;
        tier = r->routes.items[i].tier;
        lowest |= UINT32_C(1) << i;
    }
    return lowest;
}

static size_t by_weight(struct completion *c, uint32_t among)
{
    const struct completion_req *r = c->req;
    uint64_t sum = 0, at;
    size_t chosen = 0;

    for (size_t i = 0; i < r->routes.n; i++)
        if ((among & UINT32_C(1) << i) != 0)
            sum += weight_of(&r->routes.items[i]);
    at = any(c->loop) % (sum != 0 ? sum : 1); /* some route is among them */
    for (size_t i = 0; i < r->routes.n; i++) {
        if ((among & UINT32_C(1) << i) == 0)
            continue;
        chosen = i;
        if (at < weight_of(&r->routes.items[i]))
            break;
        at -= weight_of(&r->routes.items[i]);
    }
    return chosen;
}

/* One whose pace is to be found out comes first. */
static size_t by_latency(const struct completion *c, uint32_t among)
{
    const struct completion_req *r = c->req;
    size_t chosen = r->routes.n;
    uint64_t best = 0;

    for (size_t i = 0; i < r->routes.n; i++) {
        struct upstream *u;
        uint64_t pace;

        if ((among & UINT32_C(1) << i) == 0)
            continue;
        u = upstreams_find(&c->loop->self->upstreams, r->routes.items[i].provider);
        pace = u != NULL ? seat_pace_us(u->seat, c->loop->now_ms) : UINT64_MAX;
        upstream_unref(u);
        if (chosen == r->routes.n || pace < best) {
            best = pace;
            chosen = i;
        }
    }
    return chosen;
}

/* The adapter's state is another one when the adapter is. */
static bool seat_adapter(struct completion *c, const struct adapter *adapter)
{
    void *state;

    if (c->adapter == adapter)
        return true;
    state = arena_alloc(c->call->arena, adapter->state_size);
    if (state == NULL)
        return false;
    if (c->adapter != NULL)
        c->adapter->fini(c);
    c->state = state;
    c->adapter = adapter;
    return true;
}

/* All of it or nothing: what was usable a moment ago may be gone, or used up by another loop. */
static bool take(struct completion *c, size_t i)
{
    const struct call_route *route = &c->req->routes.items[i];
    struct upstream *u = upstreams_find(&c->loop->self->upstreams, route->provider);
    struct provider_key *key = u != NULL ? upstream_pick_key(u, c->loop->now_ms) : NULL;

    if (key == NULL || !seat_adapter(c, u->adapter)) {
        upstream_unref(u);
        return false;
    }
    upstream_unref(c->upstream);
    c->upstream = u;
    c->key = key;
    if (c->route != route)
        c->tries = 0;
    c->route = route;
    c->probe = seat_take(u->seat, c->loop->now_ms);
    return true;
}

static bool choose(struct completion *c, struct candidates *found)
{
    uint32_t among;

    look(c, c->tried, found);
    among = lowest_tier(c->req, (found->usable & ~found->poor) != 0 ? found->usable & ~found->poor : found->usable);
    if (among == 0)
        return false;
    if ((among & (among - 1)) == 0) /* one */
        return take(c, (size_t)__builtin_ctz(among));
    return take(c, c->req->by_latency ? by_latency(c, among) : by_weight(c, among));
}

enum status route_first(struct completion *c)
{
    struct err *err = &c->call->err;
    struct candidates found;

    if (choose(c, &found))
        return ST_OK;
    if (!found.known)
        return err_set(err, ST_UNAVAILABLE, "No provider of that name serves this here.");
    err_set(err, ST_UNAVAILABLE,
            "Every provider of this model is failing or has reached its limits at the moment. Try again later.");
    err->retry_after_ms = found.wait_ms;
    return ST_UNAVAILABLE;
}

/* ---- after an attempt that came to nothing --------------------------------------------------------------------------
 */

static void note_health(struct completion *c, const struct failure *f)
{
    uint64_t now = c->loop->now_ms;
    bool unwell = f->unwell;

    if (c->loop->self->ignore_health)
        return;
    if (f->remedy == REMEDY_LIMIT)
        upstream_key_rests(c->key, now, f->wait_ms);
    if (f->remedy == REMEDY_KEY) {
        upstream_key_refused(c->key, now);
        unwell |= !upstream_has_good_key(c->upstream, now); /* nobody gets anything there */
    }
    unwell &= c->tries <= 1; /* one call says it once */
    if (unwell && seat_bad(c->upstream->seat, now, f->why != ATTEMPT_ERROR))
        log_event(svc_log(c->loop->self->svc), LOG_WARN, c->req->request_id, "provider_unwell",
                  LOG_C("provider", c->upstream->name), LOG_C("why", f->text));
}

static uint64_t first_token_us(const struct completion *c)
{
    return c->first_ms > c->attempt.begun_ms ? (c->first_ms - c->attempt.begun_ms) * 1000 : 0;
}

void completion_answering(struct completion *c)
{
    seat_alive(c->upstream->seat, c->loop->now_ms, first_token_us(c));
}

void completion_healthy(struct completion *c)
{
    seat_good(c->upstream->seat, c->loop->now_ms, c->req->stream ? 0 : first_token_us(c));
}

void completion_unwell(struct completion *c, const char *text)
{
    note_health(c, &(struct failure){.why = ATTEMPT_ERROR, .unwell = true, .text = text});
}

/* A file, a batch, a job: behind an answer that says 5xx it may have been made all the same, and is not made twice. */
static bool makes_things(const struct completion *c)
{
    struct slice e = c->req->endpoint;

    return slice_is(e, ENDPOINT_FILES) || slice_is(e, ENDPOINT_BATCHES) || slice_is(e, ENDPOINT_OTHER);
}

/* When this route may be tried once more; 0 = not. */
static uint64_t same_route_at(const struct completion *c, const struct failure *f)
{
    uint64_t wait = f->wait_ms;

    if (f->remedy == REMEDY_AGAIN && !f->unsent && makes_things(c))
        return 0;
    if (c->tries >= COMPLETION_TRIES_MAX || (f->remedy != REMEDY_AGAIN && f->remedy != REMEDY_LIMIT))
        return 0;
    if (wait == 0)
        wait = f->remedy == REMEDY_LIMIT ? UPSTREAM_KEY_REST_MS : COMPLETION_BACKOFF_MS << (c->tries - 1);
    return wait <= COMPLETION_WAIT_MAX_MS ? c->loop->now_ms + wait : 0;
}

/* Is there another key of the same provider? */
static bool other_key(const struct completion *c, const struct failure *f)
{
    return (f->remedy == REMEDY_KEY || f->remedy == REMEDY_LIMIT) && c->upstream->n_keys > 1 &&
           upstream_has_good_key(c->upstream, c->loop->now_ms);
}

static bool may_go_on(const struct completion *c)
{
    return !c->head_sent && !c->left && !c->ended && c->attempts < COMPLETION_ATTEMPTS_MAX &&
           !svc_draining(c->loop->self->svc);
}

bool completion_has_other(const struct completion *c)
{
    struct candidates found;

    look(c, c->tried | UINT32_C(1) << (c->route - c->req->routes.items), &found);
    return found.usable != 0 && may_go_on(c);
}

bool completion_elsewhere(struct completion *c, const struct failure *f)
{
    size_t was = (size_t)(c->route - c->req->routes.items);
    uint64_t due = c->loop->now_ms, again = same_route_at(c, f);
    uint32_t tried = c->tried;
    struct candidates found;

    note_health(c, f);
    completion_count(c, f->why);
    if (!may_go_on(c) || (!f->unsent && !budget_has(&c->loop->budget, due, BUDGET_SHARE)))
        return false;
    if (!other_key(c, f))
        c->tried |= UINT32_C(1) << was;
    if (!choose(c, &found)) {
        c->tried = tried;
        if (again == 0 || again >= c->deadline_ms || !budget_has(&c->loop->budget, due, BUDGET_SAME_SHARE))
            return false;
        c->probe = seat_take(c->upstream->seat, due);
        due = again;
    }
    if (!f->unsent || due > c->loop->now_ms)
        budget_take(&c->loop->budget, c->loop->now_ms);
    metric_add(c->upstream->seat->retries, 1);
    log_event(svc_log(c->loop->self->svc), LOG_INFO, c->req->request_id, "upstream_again",
              LOG_C("provider", c->upstream->name), LOG_C("why", f->text), LOG_N("attempts", c->attempts));
    completion_attempt_at(c, due);
    return true;
}

void completion_keep_object(struct completion *c, struct slice id)
{
    enum status st = ST_OK;

    for (size_t i = 0; i < c->n_objects; i++)
        if (slice_eq(c->objects[i], id))
            return;
    if (id.n == 0 || id.n > LIMIT_OBJECT_ID || !utf8_valid(id.p, id.n) || c->n_objects == LIMIT_OBJECTS)
        return; /* one that was cut off in a character would cost the call its record */
    c->objects[c->n_objects] = arena_copy(c->call->arena, id, &st);
    c->n_objects += st == ST_OK;
}

static bool posts(const struct completion *c)
{
    return c->req->method.n == 0 || slice_is(c->req->method, "POST");
}

bool completion_makes_batch(const struct completion *c)
{
    return slice_is(c->req->endpoint, ENDPOINT_BATCHES) && posts(c);
}

bool completion_about_batch(const struct completion *c)
{
    return slice_is(c->req->endpoint, ENDPOINT_BATCHES) || slice_is(c->req->endpoint, ENDPOINT_BATCHES_OBJECT);
}

void completion_see_batch(struct completion *c, struct slice json)
{
    struct object_end *end = arena_alloc(c->call->arena, sizeof(*end));

    if (end != NULL && batch_read_end(json, c->call->arena, end))
        c->object_over = end;
}

bool completion_uses_later(const struct completion *c)
{
    return completion_makes_batch(c) || c->req->background;
}

/* Of a response that is not over upstream goes on with what it answers whole, and with what is made in the background;
 * any other stream ends with its connection. */
void completion_see_response(struct completion *c, const struct facts *facts, const struct tally *shown)
{
    struct object_end *end;

    if (facts->state == NULL)
        return;
    if (slice_is(c->req->endpoint, ENDPOINT_RESPONSES)) {
        c->goes_on = facts_pending(facts) && (!c->req->stream || facts->background || c->req->background);
    } else if (slice_is(c->req->endpoint, ENDPOINT_RESPONSES_OBJECT) && !facts_pending(facts)) {
        end = arena_alloc(c->call->arena, sizeof(*end));
        if (end != NULL && response_end_of(facts, shown, c->call->arena, end))
            c->object_over = end;
    }
}

const struct object_end *completion_shown(const struct completion *c)
{
    static const char under[] = "/responses/";
    size_t n = sizeof(under) - 1;
    struct slice id = c->req->path;
    struct object_end *end = arena_alloc(c->call->arena, sizeof(*end));

    if (end == NULL || id.n < n || memcmp(id.p, under, n) != 0)
        return NULL;
    id = (struct slice){id.p + n, id.n - n};
    for (n = 0; n < id.n && id.p[n] != '/' && id.p[n] != '?'; n++)
        ;
    id.n = n;
    return response_seen(id, &c->text, c->call->arena, end) ? end : NULL;
}

bool completion_keeps_objects(const struct completion *c)
{
    struct slice e = c->req->endpoint;

    if (slice_is(e, ENDPOINT_OTHER)) /* a conversation, a vector store, what comes next year */
        return posts(c);
    return slice_is(e, ENDPOINT_RESPONSES) || slice_is(e, ENDPOINT_RESPONSES_COMPACT) || slice_is(e, ENDPOINT_FILES) ||
           slice_is(e, ENDPOINT_BATCHES);
}

bool completion_counts(const struct completion *c)
{
    struct slice e = c->req->endpoint;

    return !slice_is(e, ENDPOINT_RESPONSES_OBJECT) && !slice_is(e, ENDPOINT_BATCHES_OBJECT) &&
           !slice_is(e, ENDPOINT_BATCHES) && !slice_is(e, ENDPOINT_COUNT_TOKENS) &&
           !slice_is(e, ENDPOINT_RESPONSES_TOKENS);
}
