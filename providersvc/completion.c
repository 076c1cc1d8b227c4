#include "providersvc/completion.h"

#include <string.h>

#include "providersvc/adapter.h"
#include "providersvc/providersvc.h"
#include "services/clock.h"

const char *outcome_name(enum outcome o)
{
    static const char *const names[] = {"ok", "error", "cancelled", "truncated"};

    return names[o];
}

static struct slice request_id(const struct completion *c)
{
    return c->req->request_id;
}

/* ---- time ----------------------------------------------------------------------------------------------------------
 */

/* One timer a call. It may be set earlier than needed, so that bytes that push `quiet` back cost nothing. */
static void arm(struct completion *c)
{
    uint64_t due = c->deadline_ms;

    if (c->quiet_ms != 0 && c->quiet_ms < due)
        due = c->quiet_ms;
    if (c->wake_ms != 0 && c->wake_ms < due)
        due = c->wake_ms;
    if (c->timer.place == 0 || due < c->timer.due_ms)
        timers_set(&c->loop->timers, &c->timer, due);
}

static void attempt(struct completion *c)
{
    enum status st;

    c->attempts++;
    c->running = true;
    c->quiet_ms = c->loop->now_ms + c->loop->self->first_byte_ms;
    c->wake_ms = 0;
    arm(c);
    st = c->upstream->adapter->start(c);
    if (st == ST_OK)
        return;
    completion_count(c, ATTEMPT_ERROR);
    completion_end(c, OUTCOME_ERROR, st);
}

static void stop(struct completion *c)
{
    if (!c->running)
        return;
    c->running = false;
    c->upstream->adapter->stop(c);
}

static void time_out(struct completion *c, const char *text)
{
    stop(c);
    completion_fail(c, ATTEMPT_TIMEOUT, ST_TIMEOUT, text);
}

static void on_timer(struct timer *t)
{
    struct completion *c = (struct completion *)(void *)((char *)t - offsetof(struct completion, timer));
    uint64_t now = c->loop->now_ms;

    if (c->held)
        return;
    if (now >= c->deadline_ms) {
        if (c->ended) /* the client does not take the rest */
            completion_cancel(c);
        else
            time_out(c, "The provider did not finish its answer in the time that the request had.");
        return;
    }
    if (c->quiet_ms != 0 && now >= c->quiet_ms) {
        time_out(c, c->first_ms != 0 ? "The provider fell silent in the middle of its answer."
                                     : "The provider did not answer in time.");
        return;
    }
    if (c->wake_ms != 0 && now >= c->wake_ms) {
        c->wake_ms = 0;
        if (c->running)
            c->upstream->adapter->wake(c);
        else if (!c->ended)
            attempt(c);
    }
    if (!c->held)
        arm(c);
}

/* ---- its record -----------------------------------------------------------------------------------------------------
 */

static void describe(const struct completion *c, struct usage_event *ev)
{
    const struct completion_req *r = c->req;

    *ev = (struct usage_event){.request_id = r->request_id,
                               .user_id = r->user_id,
                               .key_id = r->key_id,
                               .model = r->model,
                               .provider = r->provider,
                               .upstream_model = r->upstream_model,
                               .endpoint = r->endpoint,
                               .stream = r->stream,
                               .price_id = r->price_id,
                               .hold_nano = r->hold_nano,
                               .created_ms = c->created_ms};
}

/* What a process that dies now leaves behind: a call of which nothing is known but that it was made. Its tokens are not
 * known, so none are billed; the row says that it was estimated. */
static enum status record_start(struct completion *c)
{
    struct usage_event ev;

    describe(c, &ev);
    ev.status = slice_of(outcome_name(OUTCOME_ERROR));
    ev.http_status = (uint64_t)status_http(ST_PEER_LOST);
    ev.estimated = true;
    ev.attempts = 1;
    return outbox_add_started(&c->loop->batch, &ev, &c->mark, &c->call->err);
}

/* Tokens that go on the bill: what upstream reports; without it what was delivered, counted here; nothing for an answer
 * that never began (architecture, "Money"). */
static void bill(const struct completion *c, struct usage *ret, bool *ret_estimated)
{
    bool flowed = c->text.ascii + c->text.other > 0;

    *ret = (struct usage){0};
    *ret_estimated = false;
    if (c->outcome == OUTCOME_ERROR)
        return;
    if (c->usage.known) {
        *ret = c->usage;
    } else if (flowed || c->outcome == OUTCOME_OK) {
        ret->prompt = c->req->prompt_tokens_estimate;
        ret->completion = tally_tokens(&c->text);
        *ret_estimated = true;
    }
}

static unsigned status_seen(const struct completion *c)
{
    return c->head_sent ? c->http_status : (unsigned)status_http(c->end_status);
}

static void record_end(struct completion *c)
{
    uint64_t latency = clock_ms() - c->begun_ms;
    struct usage_event ev;
    struct usage u;
    bool estimated;

    bill(c, &u, &estimated);
    describe(c, &ev);
    ev.status = slice_of(outcome_name(c->outcome));
    ev.http_status = status_seen(c);
    ev.prompt_tokens = u.prompt;
    ev.cached_tokens = u.cached;
    ev.cache_write_tokens = u.write;
    ev.cache_write_long_tokens = u.write_long;
    ev.completion_tokens = u.completion;
    ev.reasoning_tokens = u.reasoning;
    ev.audio_input_tokens = u.audio_in;
    ev.audio_output_tokens = u.audio_out;
    ev.image_input_tokens = u.image_in;
    ev.image_output_tokens = u.image_out;
    ev.estimated = estimated;
    ev.latency_ms = latency < LIMIT_MS ? latency : LIMIT_MS;
    ev.ttft_ms = c->first_ms != 0 ? c->first_ms - c->begun_ms : 0;
    ev.attempts = c->attempts;
    metric_observe_ns(c->upstream->latency, latency * 1000000);
    if (c->first_ms != 0)
        metric_observe_ns(c->upstream->ttft, ev.ttft_ms * 1000000);
    c->held = true;
    if (loop_add_event(c->loop, &ev, c->mark, NULL) != ST_OK)
        log_event(svc_log(c->loop->self->svc), LOG_ERROR, request_id(c), "usage_not_recorded",
                  LOG_N("prompt_tokens", u.prompt), LOG_N("completion_tokens", u.completion));
    loop_end(c->loop, c);
}

/* ---- beginning ------------------------------------------------------------------------------------------------------
 */

static void on_cancel(void *ctx, uint64_t tag)
{
    loop_note(ctx, tag, LOOP_CANCEL);
}

static void on_window(void *ctx, uint64_t tag)
{
    loop_note(ctx, tag, LOOP_WINDOW);
}

static const struct xchg_call_events call_events = {.cancel = on_cancel, .window = on_window};

static void leave_call(struct completion *c, enum status st)
{
    struct svc_call *call = c->call;
    struct loop *l = c->loop;

    timers_clear(&l->timers, &c->timer);
    if (c->state != NULL && c->upstream->adapter->fini != NULL)
        c->upstream->adapter->fini(c);
    buf_fini(&c->out);
    if (c->req->stream && c->started)
        metric_move(l->self->streams, -1);
    loop_forget(l, c);
    svc_finish(call, st); /* c is in its arena */
}

void completion_refuse(struct completion *c, enum status st, const char *text)
{
    metric_add(c->loop->self->refused, 1);
    err_set(&c->call->err, st, "%s", text);
    leave_call(c, st);
}

void completion_begin(struct completion *c)
{
    struct loop *l = c->loop;

    c->begun_ms = l->now_ms;
    c->created_ms = clock_wall_ms();
    c->deadline_ms = l->now_ms + svc_remaining_ms(c->call);
    c->timer.fire = on_timer;
    c->room = 1;
    buf_init(&c->out, COMPLETION_OUT_MAX);
    c->upstream = providersvc_find(l->self, c->req->provider);
    if (c->upstream == NULL || upstream_path(c->req->endpoint) == NULL) {
        completion_refuse(c, ST_UNAVAILABLE, "No provider of that name serves this here.");
        return;
    }
    c->state = arena_alloc(c->call->arena, c->upstream->adapter->state_size);
    if (c->state == NULL || loop_seat(l, c) != ST_OK) {
        completion_refuse(c, ST_UNAVAILABLE, "No memory for another call.");
        return;
    }
    svc_watch(c->call, &call_events, l, c->tag);
    if (record_start(c) != ST_OK) {
        completion_refuse(c, ST_UNAVAILABLE, "The call cannot be recorded.");
        return;
    }
    loop_start(l, c);
}

void completion_start(struct completion *c)
{
    c->started = true;
    if (c->req->stream)
        metric_move(c->loop->self->streams, 1);
    if (c->cancelled) {
        completion_cancel(c);
        return;
    }
    budget_call(&c->loop->budgets[c->upstream->index], c->loop->now_ms);
    attempt(c);
}

/* ---- what adapters say
 * ------------------------------------------------------------------------------------------------ */

void completion_head(struct completion *c, const struct answer_head *head)
{
    struct response_head msg = {.http_status = head->status,
                                .content_type = head->content_type,
                                .provider = c->req->provider,
                                .instance = slice_of(svc_instance(c->loop->self->svc)),
                                .attempts = c->attempts,
                                .retry_after_ms = head->retry_after_ms,
                                .headers = {head->headers, head->n_headers}};

    if (c->head_sent)
        return;
    c->head_sent = true;
    c->http_status = head->status;
    (void)svc_send_message(c->call, &response_head_desc, &msg, &c->room); /* nobody reads: the cancel is on its way */
}

enum status completion_write(struct completion *c, struct slice bytes)
{
    enum status st = buf_add(&c->out, bytes.p, bytes.n);

    if (st == ST_OK)
        loop_later(c->loop, c);
    return st;
}

void completion_write_all(struct completion *c, struct buf *whole)
{
    struct buf empty = c->out;

    c->out = *whole;
    *whole = empty;
    loop_later(c->loop, c);
}

bool completion_full(const struct completion *c)
{
    return c->out.n - c->out_at >= COMPLETION_AHEAD_MAX || (c->room <= 0 && c->out.n > c->out_at);
}

void completion_alive(struct completion *c, bool good_byte)
{
    if (good_byte && c->first_ms == 0)
        c->first_ms = c->loop->now_ms > c->begun_ms ? c->loop->now_ms : c->begun_ms + 1;
    c->quiet_ms = c->loop->now_ms + c->loop->self->idle_ms;
    arm(c);
}

void completion_quiet_off(struct completion *c)
{
    c->quiet_ms = 0;
}

void completion_wake_at(struct completion *c, uint64_t due_ms)
{
    c->wake_ms = due_ms;
    arm(c);
}

bool completion_again(struct completion *c)
{
    uint64_t due = c->loop->now_ms + (COMPLETION_BACKOFF_MS << (c->attempts - 1));

    if (c->attempts >= COMPLETION_TRIES_MAX || due >= c->deadline_ms || svc_draining(c->loop->self->svc) ||
        !budget_retry(&c->loop->budgets[c->upstream->index], c->loop->now_ms))
        return false;
    metric_add(c->upstream->retries, 1);
    c->running = false;
    c->quiet_ms = 0;
    completion_wake_at(c, due);
    return true;
}

void completion_restart(struct completion *c)
{
    attempt(c);
}

void completion_count(struct completion *c, enum attempt_outcome outcome)
{
    metric_add(c->upstream->attempts[outcome], 1);
}

void completion_end(struct completion *c, enum outcome outcome, enum status st)
{
    if (c->ended)
        return;
    c->ended = true;
    c->running = false;
    c->outcome = outcome;
    c->end_status = st;
    c->quiet_ms = c->wake_ms = 0;
    loop_later(c->loop, c);
}

void completion_fail(struct completion *c, enum attempt_outcome why, enum status st, const char *text)
{
    completion_count(c, why);
    if (c->call->err.status == ST_OK)
        err_set(&c->call->err, st, "%s", text);
    log_event(svc_log(c->loop->self->svc), LOG_WARN, request_id(c), "upstream_failed",
              LOG_C("provider", c->upstream->name), LOG_C("status", status_name(st)), LOG_C("why", text),
              LOG_N("attempts", c->attempts));
    completion_end(c, c->head_sent ? OUTCOME_TRUNCATED : OUTCOME_ERROR, st);
}

/* ---- what the loop says
 * ----------------------------------------------------------------------------------------------- */

static void drop_output(struct completion *c)
{
    c->out.n = c->out_at = 0;
}

void completion_cancel(struct completion *c)
{
    if (c->held)
        return;
    if (!c->started) {
        c->cancelled = true;
        return;
    }
    if (c->ended) {
        if (c->out.n == 0) /* all of it went out: its end stays what it was */
            return;
        drop_output(c);
        c->outcome = c->outcome == OUTCOME_OK ? OUTCOME_CANCELLED : c->outcome;
        c->end_status = ST_CANCELLED;
        loop_later(c->loop, c);
        return;
    }
    if (c->loop->now_ms + COMPLETION_SLACK_MS >= c->deadline_ms) {
        time_out(c, "The request's time was over before the answer was.");
        return;
    }
    stop(c);
    drop_output(c);
    completion_count(c, ATTEMPT_CANCELLED);
    err_set(&c->call->err, ST_CANCELLED, "%s", status_text(ST_CANCELLED));
    completion_end(c, OUTCOME_CANCELLED, ST_CANCELLED);
}

void completion_abort(struct completion *c)
{
    if (c->held)
        return;
    if (c->ended || !c->started) {
        completion_cancel(c);
        return;
    }
    stop(c);
    if (c->room <= 0)
        drop_output(c);
    completion_fail(c, ATTEMPT_CANCELLED, ST_INTERNAL, "The router was shut down before the answer was complete.");
}

void completion_window(struct completion *c)
{
    c->room = 1;
    loop_later(c->loop, c);
}

void completion_flush(struct completion *c)
{
    while (c->out_at < c->out.n && c->room > 0) {
        size_t n = c->out.n - c->out_at < COMPLETION_SEND_MAX ? c->out.n - c->out_at : COMPLETION_SEND_MAX;
        enum status st = svc_send(c->call, (struct slice){c->out.p + c->out_at, n}, &c->room);

        if (st == ST_TOO_LARGE) {
            c->room = 0;
            break;
        }
        if (st != ST_OK) { /* nobody reads; its cancel comes or has come */
            drop_output(c);
            break;
        }
        c->out_at += n;
    }
    if (c->out_at == c->out.n)
        drop_output(c);
    if (c->ended && c->out.n == 0 && !c->held) {
        record_end(c);
    } else if (c->running && c->starved && !completion_full(c)) {
        c->starved = false;
        c->upstream->adapter->resume(c);
    }
}

void completion_finish(struct completion *c)
{
    struct completion_rep *rep = svc_out(c->call);
    struct usage u;
    bool estimated;

    bill(c, &u, &estimated);
    rep->prompt_tokens = u.prompt;
    rep->cached_tokens = u.cached;
    rep->cache_write_tokens = u.write;
    rep->cache_write_long_tokens = u.write_long;
    rep->completion_tokens = u.completion;
    rep->reasoning_tokens = u.reasoning;
    rep->audio_input_tokens = u.audio_in;
    rep->audio_output_tokens = u.audio_out;
    rep->image_input_tokens = u.image_in;
    rep->image_output_tokens = u.image_out;
    rep->estimated = estimated;
    rep->attempts = c->attempts;
    rep->outcome = slice_of(outcome_name(c->outcome));
    leave_call(c, c->end_status);
}
