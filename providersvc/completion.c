#include "providersvc/completion_private.h"

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

static void drop_output(struct completion *c)
{
    c->out.n = c->out_at = 0;
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
    if (c->tell_ms < due)
        due = c->tell_ms;
    if (c->running && c->attempt_due_ms != 0 && c->attempt_due_ms < due)
        due = c->attempt_due_ms;
    if (c->timer.place == 0 || due < c->timer.due_ms)
        timers_set(&c->loop->timers, &c->timer, due);
}

static void attempt(struct completion *c)
{
    enum status st;

    bill_next_attempt(c);
    c->attempts++;
    c->tries++;
    c->running = true;
    c->waiting = false;
    completion_asked(c);
    c->attempt_due_ms = c->upstream->total_ms != 0 ? c->loop->now_ms + c->upstream->total_ms : 0;
    c->wake_ms = 0;
    c->first_ms = 0; /* nothing of an earlier attempt's answer went out */
    c->pushed.n = 0;
    c->stale = c->owed;
    c->call->err = (struct err){.status = ST_OK};
    arm(c);
    st = c->adapter->start(c);
    if (st == ST_OK)
        return;
    /* It has no such endpoint, does not know what the request asks for, or takes no limit: another may. */
    if ((st == ST_NOT_FOUND || st == ST_BAD_REQUEST || st == ST_NO_FUNDS) &&
        completion_elsewhere(
            c, &(struct failure){
                   .why = ATTEMPT_ERROR, .remedy = REMEDY_ELSEWHERE, .unsent = true, .text = c->call->err.text}))
        return;
    completion_count(c, ATTEMPT_ERROR);
    completion_end(c, OUTCOME_ERROR, st);
}

void completion_attempt_at(struct completion *c, uint64_t due_ms)
{
    c->running = false;
    c->quiet_ms = 0;
    if (due_ms <= c->loop->now_ms) {
        attempt(c);
        return;
    }
    c->waiting = true;
    completion_wake_at(c, due_ms);
}

static void stop(struct completion *c)
{
    if (!c->running)
        return;
    c->running = false;
    c->adapter->stop(c);
}

static void time_out(struct completion *c, const char *text)
{
    stop(c);
    completion_fail(c, ATTEMPT_TIMEOUT, ST_TIMEOUT, text);
}

/* This attempt has taken too long; the call itself has time left. */
static void attempt_time_out(struct completion *c, const char *text)
{
    stop(c);
    if (!completion_elsewhere(
            c, &(struct failure){.why = ATTEMPT_TIMEOUT, .remedy = REMEDY_ELSEWHERE, .unwell = true, .text = text}))
        completion_fail(c, ATTEMPT_TIMEOUT, ST_TIMEOUT, text);
}

/* Nobody wants more of it: what has been produced is billed. */
static void give_up(struct completion *c)
{
    stop(c);
    drop_output(c);
    completion_count(c, ATTEMPT_CANCELLED);
    completion_end(c, OUTCOME_CANCELLED, ST_CANCELLED);
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
        else if (c->left)
            give_up(c);
        else
            time_out(c, "The provider did not finish its answer in the time that the request had.");
        return;
    }
    if (now >= c->tell_ms)
        bill_progress(c);
    if (c->running &&
        ((c->quiet_ms != 0 && now >= c->quiet_ms) || (c->attempt_due_ms != 0 && now >= c->attempt_due_ms))) {
        attempt_time_out(c, c->first_ms != 0 ? "The provider fell silent in the middle of its answer."
                                             : "The provider did not answer in time.");
        return;
    }
    if (c->wake_ms != 0 && now >= c->wake_ms) {
        c->wake_ms = 0;
        if (c->running)
            c->adapter->wake(c);
        else if (c->waiting && !c->ended)
            attempt(c);
    }
    if (!c->held)
        arm(c);
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

static void on_pushed(void *ctx, uint64_t tag, uint16_t type, struct slice bytes)
{
    if (type == 0)
        loop_push(ctx, tag, bytes);
}

static const struct xchg_call_events call_events = {.cancel = on_cancel, .window = on_window, .data = on_pushed};

static void leave_call(struct completion *c, enum status st)
{
    struct svc_call *call = c->call;
    struct loop *l = c->loop;

    timers_clear(&l->timers, &c->timer);
    if (c->probe) /* never begun */
        seat_release(c->upstream->seat, l->now_ms);
    if (c->adapter != NULL)
        c->adapter->fini(c);
    upstream_unref(c->upstream);
    buf_fini(&c->pushed);
    buf_fini(&c->out);
    if (c->req->stream && c->started)
        metric_move(l->self->streams, -1);
    loop_forget(l, c);
    svc_finish(call, st); /* c is in its arena */
}

void completion_refuse(struct completion *c, enum status st, const char *text)
{
    metric_add(c->loop->self->refused, 1);
    if (text != NULL)
        err_set(&c->call->err, st, "%s", text);
    leave_call(c, st);
}

void completion_begin(struct completion *c)
{
    struct loop *l = c->loop;
    enum status st;

    c->begun_ms = l->now_ms;
    c->created_ms = clock_wall_ms();
    c->deadline_ms = l->now_ms + svc_remaining_ms(c->call);
    c->timer.fire = on_timer;
    c->tell_ms = bill_next_look(l->now_ms);
    c->cap.hold_nano = c->req->hold_nano;
    c->room = 1;
    buf_init(&c->out, COMPLETION_OUT_MAX);
    c->route = c->req->routes.items; /* one at least, or the message is refused */
    buf_init(&c->pushed, COMPLETION_PUSHED_MAX);
    st = route_first(c);
    if (st != ST_OK) {
        completion_refuse(c, st, NULL);
        return;
    }
    if (loop_seat(l, c) != ST_OK) {
        completion_refuse(c, ST_UNAVAILABLE, "No memory for another call.");
        return;
    }
    svc_watch(c->call, &call_events, l, c->tag);
    if (bill_start(c) != ST_OK) {
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
    budget_call(&c->loop->budget, c->loop->now_ms);
    attempt(c);
}

/* ---- what adapters say
 * ------------------------------------------------------------------------------------------------ */

void completion_head(struct completion *c, const struct answer_head *head)
{
    struct response_head msg = {.http_status = head->status,
                                .content_type = head->content_type,
                                .provider = c->route->provider,
                                .instance = slice_of(svc_instance(c->loop->self->svc)),
                                .attempts = c->attempts,
                                .route = (uint64_t)(c->route - c->req->routes.items),
                                .retry_after_ms = head->retry_after_ms,
                                .headers = {head->headers, head->n_headers},
                                .dropped = head->dropped};

    if (c->head_sent)
        return;
    c->head_sent = true;
    c->attempt.answered = head->status < 400; /* an error is nobody's answer */
    c->http_status = c->left ? (unsigned)status_http(ST_CANCELLED) : head->status;
    if (c->left)
        return;
    (void)svc_send_message(c->call, &response_head_desc, &msg, &c->room); /* nobody reads: the cancel is on its way */
}

enum status completion_write(struct completion *c, struct slice bytes)
{
    enum status st = c->left ? ST_OK : buf_add(&c->out, bytes.p, bytes.n);

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
    if (c->left || c->cap.waiting)
        return c->cap.waiting;
    return c->out.n - c->out_at >= COMPLETION_AHEAD_MAX || (c->room <= 0 && c->out.n > c->out_at);
}

void completion_alive(struct completion *c, bool good_byte)
{
    if (good_byte && c->first_ms == 0)
        c->first_ms = c->loop->now_ms > c->begun_ms ? c->loop->now_ms : c->begun_ms + 1;
    c->quiet_ms = c->loop->now_ms + c->upstream->idle_ms;
    arm(c);
}

void completion_asked(struct completion *c)
{
    c->quiet_ms = c->loop->now_ms + (c->req->stream ? c->upstream->first_byte_ms : c->upstream->answer_ms);
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

void completion_restart(struct completion *c)
{
    budget_take(&c->loop->budget, c->loop->now_ms);
    c->probe = seat_take(c->upstream->seat, c->loop->now_ms);
    attempt(c);
}

bool completion_wants(struct completion *c, const struct upload_want *want)
{
    if (c->left || svc_send_message(c->call, &upload_want_desc, want, &c->room) != ST_OK)
        return false;
    c->owed += want->bytes;
    return true;
}

void completion_end(struct completion *c, enum outcome outcome, enum status st)
{
    if (c->ended)
        return;
    c->ended = true;
    c->running = false;
    c->outcome = c->left ? OUTCOME_CANCELLED : outcome; /* whatever became of it, the client had left before */
    c->end_status = c->left ? ST_CANCELLED : st;
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

/* The client has its end, and the gateway its place back; upstream is read on to what the call truly costs. What the
 * call may owe bounds that, and the time. */
static void leave(struct completion *c)
{
    uint64_t until = c->loop->now_ms + c->loop->self->drain_ms;

    c->left = true;
    drop_output(c);
    if (until < c->deadline_ms)
        c->deadline_ms = until;
    arm(c);
    err_set(&c->call->err, ST_CANCELLED, "%s", status_text(ST_CANCELLED));
    svc_answer(c->call, ST_CANCELLED);
    loop_later(c->loop, c); /* an adapter that waited for room goes on */
}

void completion_cancel(struct completion *c)
{
    if (c->held || c->left)
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
    if ((c->upstream->drains || completion_uses_later(c)) && c->running) { /* upstream goes on without us, too */
        leave(c);
        return;
    }
    err_set(&c->call->err, ST_CANCELLED, "%s", status_text(ST_CANCELLED));
    give_up(c);
}

void completion_abort(struct completion *c)
{
    if (c->held)
        return;
    if (c->ended || !c->started) {
        completion_cancel(c);
        return;
    }
    if (c->left) {
        give_up(c);
        return;
    }
    stop(c);
    if (c->room <= 0)
        drop_output(c);
    completion_fail(c, ATTEMPT_CANCELLED, ST_INTERNAL, "The router was shut down before the answer was complete.");
}

void completion_pushed(struct completion *c, struct slice bytes)
{
    size_t n = bytes.n < c->owed ? bytes.n : (size_t)c->owed; /* not more than was asked for */
    size_t stale = n < c->stale ? n : (size_t)c->stale;

    c->owed -= n;
    c->stale -= stale;
    if (!c->running || c->adapter->pushed == NULL)
        return;
    if (buf_add(&c->pushed, bytes.p + stale, n - stale) != ST_OK)
        return; /* the call then ends by its time */
    c->adapter->pushed(c);
}

void completion_window(struct completion *c)
{
    c->room = 1;
    loop_later(c->loop, c);
}

void completion_flush(struct completion *c)
{
    if (c->req->stream && !c->noted && !c->ended)
        bill_note(c);
    if (c->left)
        drop_output(c);
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
        bill_end(c);
    } else if (c->running && c->starved && !completion_full(c)) {
        c->starved = false;
        c->adapter->resume(c);
    }
}

void completion_finish(struct completion *c)
{
    struct completion_rep *rep = svc_out(c->call);
    struct usage u;
    bool estimated;

    bill_of(c, &u, &estimated);
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
    rep->price_percent = bill_percent(c);
    rep->parked = bill_parks(c);
    rep->attempts = c->attempts;
    rep->route = (uint64_t)(c->route - c->req->routes.items);
    rep->outcome = slice_of(outcome_name(c->outcome));
    leave_call(c, c->end_status);
}
