#include "meterd/parked.h"

#include "meterd/calls.h"
#include "proto/endpoints.h"

#define GOES_ON "in_progress"
#define CALL_MAX 65536u /* of an encoded usage event */

enum status parked_keep(struct work *w, const struct usage_event *e, int64_t user_num)
{
    enum status st;
    struct buf call;
    size_t i;

    buf_init(&call, CALL_MAX);
    st = wire_encode(&usage_event_desc, e, &call, w->err);
    for (i = 0; user_num && i < e->object_ids.n && st == ST_OK; i++)
        st =
            store_run(w->s, SQL_PARKED_KEEP,
                      BINDS(B_I(user_num), B_S(e->object_ids.items[i]), B_B(((struct slice){call.p, call.n}))), w->err);
    buf_fini(&call);
    return st;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Rounded up. No overflow: tokens and requests are below 2^30 (LIMIT_TOKENS, LIMIT_COUNT). */
static uint64_t part_of(uint64_t tokens, uint64_t part, uint64_t whole)
{
    return (tokens * part + whole - 1) / whole;
}

/* Nobody pays for more than was held for, whatever he has read twice. */
static uint64_t seen_with(const struct usage_event *e, uint64_t more)
{
    return least(e->seen_tokens + more, e->completion_tokens);
}

static void estimate_response(struct usage_event *e, const struct object_end *end)
{
    uint64_t shown = end->completion_tokens > e->seen_tokens ? end->completion_tokens : e->seen_tokens;

    if (shown == 0 && slice_is(end->status, "failed"))
        e->prompt_tokens = 0;
    e->completion_tokens = shown;
    e->estimated = e->prompt_tokens + e->completion_tokens > 0;
}

/* Upstream does not say what it used: of the estimate what was worked off. */
static void estimate_batch(struct usage_event *e, const struct object_end *end)
{
    bool all = end->requests == 0 && slice_is(end->status, "completed");
    uint64_t whole = end->requests ? end->requests : 1, done = all || end->completed > whole ? whole : end->completed;

    e->prompt_tokens = part_of(e->prompt_tokens, done, whole);
    e->completion_tokens = part_of(e->completion_tokens, done, whole);
    e->estimated = e->prompt_tokens + e->completion_tokens > 0;
}

/* The attempt whose answer it was used what that made used; its record has the estimate. */
static enum status correct_attempts(struct work *w, struct usage_event *e)
{
    size_t i, n = e->attempt_log.n;
    struct usage_attempt *log = n ? arena_alloc(w->a, n * sizeof(*log)) : NULL;

    if (n && !log)
        return err_set(w->err, ST_NO_MEMORY, "no memory for a parked call's attempts");
    for (i = 0; i < n; i++) {
        log[i] = e->attempt_log.items[i];
        if (!log[i].answered)
            continue;
        log[i].prompt_tokens = e->prompt_tokens;
        log[i].cached_tokens = e->cached_tokens;
        log[i].cache_write_tokens = e->cache_write_tokens;
        log[i].cache_write_long_tokens = e->cache_write_long_tokens;
        log[i].completion_tokens = e->completion_tokens;
        log[i].reasoning_tokens = e->reasoning_tokens;
        log[i].audio_input_tokens = e->audio_input_tokens;
        log[i].audio_output_tokens = e->audio_output_tokens;
        log[i].image_input_tokens = e->image_input_tokens;
        log[i].image_output_tokens = e->image_output_tokens;
        log[i].estimated = e->estimated;
    }
    e->attempt_log.items = log;
    return ST_OK;
}

/* incomplete: a response that reached its output limit. */
static const char *status_of(const struct object_end *end)
{
    if (slice_is(end->status, "completed") || slice_is(end->status, "incomplete"))
        return "ok";
    return slice_is(end->status, "failed") ? "error" : "cancelled";
}

static void take_usage(struct usage_event *e, const struct object_end *end)
{
    e->prompt_tokens = end->prompt_tokens;
    e->cached_tokens = end->cached_tokens;
    e->cache_write_tokens = end->cache_write_tokens;
    e->cache_write_long_tokens = end->cache_write_long_tokens;
    e->completion_tokens = end->completion_tokens;
    e->reasoning_tokens = end->reasoning_tokens;
    e->audio_input_tokens = end->audio_input_tokens;
    e->audio_output_tokens = end->audio_output_tokens;
    e->image_input_tokens = end->image_input_tokens;
    e->image_output_tokens = end->image_output_tokens;
    e->estimated = false;
}

static void fill(struct work *w, struct usage_event *e, const struct object_end *end)
{
    uint64_t now = w->s->now_ms, took = now > e->created_ms ? now - e->created_ms : 0;

    e->parked = false;
    e->lease_ms = 0;
    e->object_ids.n = 0;
    e->object_ends.n = 0;
    e->latency_ms = took < LIMIT_MS ? took : LIMIT_MS;
    e->status = slice_of(status_of(end));
    if (end->price_percent > 0)
        e->price_percent = end->price_percent;
    if (end->known)
        take_usage(e, end);
    else if (slice_is(e->endpoint, ENDPOINT_BATCHES))
        estimate_batch(e, end);
    else if (!slice_is(end->status, "deleted"))
        estimate_response(e, end);
    e->seen_tokens = 0;
}

static enum status end_one(struct work *w, const struct object_end *end, int64_t user_num)
{
    struct wire_alloc mem = arena_wire(w->a);
    struct usage_event e;
    struct slice call = {NULL, 0};
    sqlite3_stmt *q = NULL;
    enum status st = store_row(w->s, SQL_PARKED_CALL, BINDS(B_I(user_num), B_S(end->object_id)), &q, w->err);

    if (st == ST_OK && q)
        st = col_text(q, 0, w->a, &call, w->err);
    store_reset(&q);
    if (st != ST_OK || call.n == 0) /* made elsewhere, or settled already */
        return st;
    st = wire_decode(&usage_event_desc, call.p, call.n, &e, &mem, w->err);
    if (st != ST_OK)
        return st;
    if (slice_is(end->status, GOES_ON)) {
        e.seen_tokens = seen_with(&e, end->completion_tokens);
        return parked_keep(w, &e, user_num);
    }
    fill(w, &e, end);
    st = correct_attempts(w, &e);
    if (st == ST_OK)
        st = calls_apply(w, &e);
    if (st == ST_OK)
        st = store_run(w->s, SQL_PARKED_OVER, BINDS(B_I(user_num), B_S(end->object_id)), w->err);
    return st;
}

enum status parked_end(struct work *w, const struct usage_event *told, int64_t user_num)
{
    enum status st = ST_OK;
    size_t i;

    for (i = 0; user_num && i < told->object_ends.n && st == ST_OK; i++)
        st = end_one(w, &told->object_ends.items[i], user_num);
    return st;
}
