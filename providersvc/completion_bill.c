/* The records of a call: that it has begun, what it owes so far, what it owes. */
#include <string.h>

#include "proto/endpoints.h"
#include "providersvc/completion_private.h"
#include "providersvc/providersvc.h"
#include "services/clock.h"

static uint64_t bill_price_id(const struct call_route *route)
{
    return route->price.n > 0 ? route->price.items[0].id : 0;
}

/* A batch's part, or that of the tier that serves the call; all of the price is 0. */
uint64_t bill_percent(const struct completion *c)
{
    if (c->req->price_percent > 0)
        return c->req->price_percent;
    return c->tier_percent == 100 ? 0 : c->tier_percent;
}

static void describe(const struct completion *c, struct usage_event *ev)
{
    const struct completion_req *r = c->req;

    *ev = (struct usage_event){.request_id = r->request_id,
                               .user_id = r->user_id,
                               .key_id = r->key_id,
                               .model = r->model,
                               .provider = c->route->provider,
                               .upstream_model = c->route->upstream_model,
                               .endpoint = r->endpoint,
                               .stream = r->stream,
                               .price_id = bill_price_id(c->route),
                               .price_percent = bill_percent(c),
                               .hold_nano = c->cap.hold_nano,
                               .created_ms = c->created_ms};
}

void bill_put_usage(struct usage_event *ev, const struct usage *u)
{
    ev->prompt_tokens = u->prompt;
    ev->cached_tokens = u->cached;
    ev->cache_write_tokens = u->write;
    ev->cache_write_long_tokens = u->write_long;
    ev->completion_tokens = u->completion;
    ev->reasoning_tokens = u->reasoning;
    ev->audio_input_tokens = u->audio_in;
    ev->audio_output_tokens = u->audio_out;
    ev->image_input_tokens = u->image_in;
    ev->image_output_tokens = u->image_out;
}

static uint64_t at_most_a_week(uint64_t ms)
{
    return ms < LIMIT_MS ? ms : LIMIT_MS;
}

/* The first byte is said to have come a millisecond after the call's begin at the earliest (completion_alive()), a call
 * may be over sooner. */
static uint64_t ttft_of(const struct completion *c, uint64_t latency_ms)
{
    uint64_t ms = c->first_ms != 0 ? c->first_ms - c->begun_ms : 0;

    return ms < latency_ms ? ms : latency_ms;
}

/* ---- what it owes --------------------------------------------------------------------------------------------------
 */

/* Has upstream done what it charges for? A token says so; of an answer that is not counted here (sound, pictures) its
 * first bytes do. */
static bool delivered(const struct completion *c)
{
    return completion_flowed(c) || (c->attempt.answered && c->first_ms != 0);
}

/* All of the answer came, also when its client had left before. */
static bool complete(const struct completion *c)
{
    return c->ended && (c->outcome == OUTCOME_OK || (c->attempt.answered && c->attempt.outcome == ATTEMPT_OK));
}

/* Some report zeros of everything: that is no report. */
static bool told(const struct completion *c)
{
    return c->usage.known && c->usage.prompt + c->usage.completion > 0;
}

bool completion_fill(const struct completion *c, struct usage *u)
{
    uint64_t counted = tally_tokens(&c->text);
    bool in = u->prompt == 0 && c->req->prompt_tokens_estimate > 0, out = u->completion == 0 && counted > 0;

    if (in)
        u->prompt = c->req->prompt_tokens_estimate;
    if (out)
        u->completion = counted;
    return in || out;
}

/* Before its end an answer may have told what was thought and not yet what was said (Gemini's chunks). */
static bool fill_said(const struct completion *c, struct usage *u)
{
    uint64_t counted = tally_tokens(&c->text);

    if (complete(c) || u->completion != u->reasoning || counted <= u->completion)
        return false;
    u->completion = counted;
    return true;
}

/* What upstream reports; without it what was delivered, counted here; nothing before that (architecture, "What a call
 * owes"). Nothing for what looks at something or counts: it uses no tokens. */
void bill_so_far(const struct completion *c, struct usage *ret, bool *ret_estimated)
{
    *ret = (struct usage){0};
    *ret_estimated = false;
    if (told(c)) {
        *ret = c->usage;
        *ret_estimated = fill_said(c, ret);
        *ret_estimated |= completion_fill(c, ret);
    } else if (delivered(c) && completion_counts(c)) {
        (void)completion_fill(c, ret);
        *ret_estimated = true;
    }
}

void bill_of(const struct completion *c, struct usage *ret, bool *ret_estimated)
{
    *ret = (struct usage){0};
    *ret_estimated = false;
    if (c->outcome == OUTCOME_ERROR || !completion_counts(c))
        return;
    bill_so_far(c, ret, ret_estimated);
    if (complete(c) && !told(c)) {
        ret->prompt = c->req->prompt_tokens_estimate;
        *ret_estimated = true;
    }
}

/* ---- its beginning ------------------------------------------------------------------------------------------------
 */

/* What a process that dies now leaves behind: a call of which nothing is known but that it was made. Its tokens are not
 * known, so none are billed; the row says that it was estimated. */
enum status bill_start(struct completion *c)
{
    struct usage_event ev;

    describe(c, &ev);
    ev.status = slice_of(outcome_name(OUTCOME_ERROR));
    ev.http_status = (uint64_t)status_http(ST_PEER_LOST);
    ev.estimated = true;
    ev.attempts = 1;
    return outbox_add_started(&c->loop->batch, &ev, &c->mark, &c->call->err);
}

/* ---- progress ------------------------------------------------------------------------------------------------------
 */

static void describe_progress(const struct completion *c, struct usage_event *ev)
{
    uint64_t now = c->loop->now_ms, left = c->deadline_ms > now ? c->deadline_ms - now : 0;
    struct usage u;
    bool estimated;

    bill_so_far(c, &u, &estimated);
    describe(c, ev);
    bill_put_usage(ev, &u);
    ev->estimated = estimated;
    ev->status = slice_of("running");
    ev->http_status = c->head_sent ? c->http_status : 0;
    ev->latency_ms = at_most_a_week(now > c->begun_ms ? now - c->begun_ms : 0);
    ev->ttft_ms = ttft_of(c, ev->latency_ms);
    ev->attempts = c->attempts;
    ev->lease_ms = at_most_a_week(left + c->loop->self->hold_grace_ms);
}

uint64_t bill_next_look(uint64_t now_ms)
{
    uint64_t next = now_ms + COMPLETION_TELL_MS;

    return next - next % COMPLETION_TELL_GRID_MS;
}

void bill_note(struct completion *c)
{
    struct usage_event ev;

    if (!delivered(c))
        return;
    c->noted = true;
    describe_progress(c, &ev);
    (void)loop_add_progress(c->loop, &ev, c->mark, false); /* without it a crash forgets the call's first second */
}

/* Looked at every second; told when tokens have flowed since, or after a long silence. What cannot be written now is
 * made good by the next. */
void bill_progress(struct completion *c)
{
    uint64_t now = c->loop->now_ms;
    struct usage_event ev;

    c->tell_ms = bill_next_look(now);
    describe_progress(c, &ev);
    if (c->told_ms != 0 && now - c->told_ms < COMPLETION_TELL_IDLE_MS &&
        ev.prompt_tokens + ev.completion_tokens == c->told_tokens)
        return;
    if (loop_add_progress(c->loop, &ev, c->mark, true) != ST_OK)
        return;
    c->noted = true;
    c->told_ms = now;
    c->told_tokens = ev.prompt_tokens + ev.completion_tokens;
}

/* ---- attempts ------------------------------------------------------------------------------------------------------
 */

void bill_next_attempt(struct completion *c)
{
    if (!c->attempt.usage.known)
        c->attempt.usage = c->usage; /* of what nobody saw */
    if (c->attempts > 0 && c->past == NULL)
        c->past = arena_alloc(c->call->arena, (COMPLETION_ATTEMPTS_MAX - 1) * sizeof(*c->past));
    if (c->attempts > 0 && c->attempts < COMPLETION_ATTEMPTS_MAX && c->past != NULL)
        c->past[c->attempts - 1] = c->attempt;
    c->attempt = (struct attempt){.route = c->route, .begun_ms = c->loop->now_ms};
    c->usage = (struct usage){0};
    c->text = (struct tally){0};
    c->tier_percent = 0;
    c->goes_on = false;
}

/* The names are OpenAI's: what others that speak its API mean by them costs no other price (Groq's flex). */
void completion_tier(struct completion *c, uint64_t percent)
{
    if (percent > 0 && completion_counts(c) && !c->upstream->chat_only)
        c->tier_percent = percent;
}

void completion_count(struct completion *c, enum attempt_outcome outcome)
{
    if (c->probe) /* it has found out nothing, or what it found is noted already */
        seat_release(c->upstream->seat, c->loop->now_ms);
    c->probe = false;
    if (c->attempt.ended_ms != 0) /* counted, or given up between two attempts */
        return;
    metric_add(c->upstream->seat->attempts[outcome], 1);
    c->attempt.outcome = outcome;
    c->attempt.ended_ms = c->loop->now_ms;
}

void completion_wasted(struct completion *c, const struct usage *usage)
{
    c->attempt.usage = *usage;
}

static void describe_attempt(const struct attempt *from, unsigned number, struct usage_attempt *to)
{
    *to = (struct usage_attempt){.number = number,
                                 .provider = from->route->provider,
                                 .upstream_model = from->route->upstream_model,
                                 .outcome = slice_of(attempt_outcome_name(from->outcome)),
                                 .http_status = from->http_status,
                                 .answered = from->answered,
                                 .price_id = bill_price_id(from->route),
                                 .latency_ms = at_most_a_week(from->ended_ms - from->begun_ms)};
    to->prompt_tokens = from->usage.prompt;
    to->cached_tokens = from->usage.cached;
    to->cache_write_tokens = from->usage.write;
    to->cache_write_long_tokens = from->usage.write_long;
    to->completion_tokens = from->usage.completion;
    to->reasoning_tokens = from->usage.reasoning;
    to->audio_input_tokens = from->usage.audio_in;
    to->audio_output_tokens = from->usage.audio_out;
    to->image_input_tokens = from->usage.image_in;
    to->image_output_tokens = from->usage.image_out;
}

/* One attempt that went as the event itself says needs no list. */
static bool event_says_all(const struct completion *c, const struct usage_event *ev)
{
    const struct attempt *a = &c->attempt;

    if (c->attempts == 0)
        return true;
    if (c->attempts > 1 || (!a->answered && a->usage.prompt + a->usage.completion > 0))
        return false;
    switch (c->outcome) {
    case OUTCOME_OK: return a->outcome == ATTEMPT_OK;
    case OUTCOME_CANCELLED: return a->outcome == ATTEMPT_CANCELLED || a->outcome == ATTEMPT_OK;
    case OUTCOME_ERROR: return a->outcome == ATTEMPT_ERROR && a->http_status == ev->http_status;
    case OUTCOME_TRUNCATED: break;
    }
    return false;
}

/* The caller pays for the attempt whose answer he got: that one has the event's tokens. */
static size_t describe_attempts(const struct completion *c, const struct usage_event *ev,
                                struct usage_attempt log[COMPLETION_ATTEMPTS_MAX])
{
    size_t n = 0;
    struct usage_attempt *last;

    if (event_says_all(c, ev))
        return 0;
    for (; c->past != NULL && n + 1 < c->attempts && n + 1 < COMPLETION_ATTEMPTS_MAX; n++)
        describe_attempt(&c->past[n], (unsigned)n + 1, &log[n]);
    last = &log[n];
    describe_attempt(&c->attempt, c->attempts, last);
    if (last->answered) {
        last->prompt_tokens = ev->prompt_tokens;
        last->cached_tokens = ev->cached_tokens;
        last->cache_write_tokens = ev->cache_write_tokens;
        last->cache_write_long_tokens = ev->cache_write_long_tokens;
        last->completion_tokens = ev->completion_tokens;
        last->reasoning_tokens = ev->reasoning_tokens;
        last->audio_input_tokens = ev->audio_input_tokens;
        last->audio_output_tokens = ev->audio_output_tokens;
        last->image_input_tokens = ev->image_input_tokens;
        last->image_output_tokens = ev->image_output_tokens;
        last->estimated = ev->estimated;
    }
    return n + 1;
}

/* ---- its end -------------------------------------------------------------------------------------------------------
 */

static unsigned status_seen(const struct completion *c)
{
    return c->head_sent ? c->http_status : (unsigned)status_http(c->end_status);
}

/* A batch was made, whether its client has waited for the answer or not; or upstream has begun a response, and ends it
 * behind the back of a client that knows its id, or has left. Without a price nothing is held for it. */
bool bill_parks(const struct completion *c)
{
    bool batch = completion_makes_batch(c) && c->req->batch.n > 0 && c->attempt.outcome == ATTEMPT_OK &&
                 c->attempt.ended_ms != 0;

    return c->route->price.n > 0 && c->n_objects > 0 && (batch || (c->goes_on && c->outcome != OUTCOME_ERROR));
}

/* The call is over, what it made is not: until somebody hears of its end the hold is all that it may use. */
static void describe_parked(const struct completion *c, struct usage_event *ev)
{
    const struct batch_worth *worth = c->req->batch.items;
    struct usage most = {.prompt = c->req->prompt_tokens_estimate};

    if (c->goes_on) {
        ev->seen_tokens = tally_tokens(&c->text);
        most.completion = cap_output(c);
        if (most.completion < ev->seen_tokens)
            most.completion = ev->seen_tokens;
    } else {
        most = (struct usage){.prompt = worth->prompt_tokens, .completion = worth->output_tokens};
    }
    bill_put_usage(ev, &most);
    ev->status = slice_of("running");
    ev->parked = true;
    ev->lease_ms = LIMIT_MS;
    ev->estimated = true;
}

/* What upstream keeps from now on, and what is known of it. */
static void describe_objects(struct completion *c, struct usage_event *ev)
{
    ev->object_ids.items = c->objects;
    ev->object_ids.n = c->n_objects;
    if (slice_is(c->req->endpoint, ENDPOINT_FILES) && c->n_objects > 0) {
        ev->worth.items = c->req->batch.items;
        ev->worth.n = c->req->batch.n;
    }
    if (c->object_over == NULL && slice_is(c->req->endpoint, ENDPOINT_RESPONSES_OBJECT))
        c->object_over = completion_shown(c);
    ev->object_ends.items = c->object_over;
    ev->object_ends.n = c->object_over != NULL;
}

void bill_end(struct completion *c)
{
    struct usage_attempt log[COMPLETION_ATTEMPTS_MAX];
    struct usage_event ev;
    struct usage u;
    bool estimated;

    if (c->outcome == OUTCOME_ERROR && !c->attempt.answered && !c->attempt.usage.known)
        c->attempt.usage = c->usage; /* the caller does not pay for it */
    bill_of(c, &u, &estimated);
    describe(c, &ev);
    bill_put_usage(&ev, &u);
    ev.estimated = estimated;
    ev.status = slice_of(outcome_name(c->outcome));
    ev.http_status = status_seen(c);
    ev.latency_ms = at_most_a_week(clock_ms() - c->begun_ms);
    ev.ttft_ms = ttft_of(c, ev.latency_ms);
    ev.attempts = c->attempts;
    if (bill_parks(c))
        describe_parked(c, &ev);
    describe_objects(c, &ev);
    ev.attempt_log.n = describe_attempts(c, &ev, log);
    ev.attempt_log.items = log;
    metric_observe_ns(c->upstream->seat->latency, ev.latency_ms * 1000000);
    if (c->first_ms != 0)
        metric_observe_ns(c->upstream->seat->ttft, ev.ttft_ms * 1000000);
    model_metrics_add(&c->loop->self->models, &ev);
    c->held = true;
    if (loop_add_event(c->loop, &ev, c->mark, NULL) != ST_OK)
        log_event(svc_log(c->loop->self->svc), LOG_ERROR, c->req->request_id, "usage_not_recorded",
                  LOG_N("prompt_tokens", u.prompt), LOG_N("completion_tokens", u.completion));
    loop_end(c->loop, c);
}
