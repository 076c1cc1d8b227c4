/* A streamed answer: its events are read, and pass as they are, except for what pass_chunk cuts, or through the
 * translators; and it ends when the call's hold bears no more. */
#include <string.h>

#include "providersvc/closing.h"
#include "providersvc/loop.h"
#include "providersvc/providersvc.h"
#include "providersvc/relay_private.h"
#include "services/json.h"

#define DONE_GRACE_MS 250 /* after the last event upstream may take so long to end its answer; then we end it */

static const char done_event[] = "data: [DONE]\n\n";

struct feeding {
    struct completion *c;
    struct relay *s;
    const struct http_answer *answer;
};

/* ---- to the client -------------------------------------------------------------------------------------------------
 */

static void send_head(struct feeding *f)
{
    relay_send_head(f->c, f->answer, 200,
                    slice_of(f->s->plan.n_steps > 0 ? "text/event-stream" : f->answer->content_type));
}

/* From here on it is this route's answer, and nobody else's. */
static enum status flow(struct feeding *f)
{
    struct relay *s = f->s;
    enum status st;

    if (s->flowing)
        return ST_OK;
    s->flowing = true;
    send_head(f);
    st = completion_write(f->c, (struct slice){s->early.p, s->early.n});
    buf_fini(&s->early);
    return st;
}

static enum status put(struct feeding *f, struct slice bytes)
{
    struct relay *s = f->s;
    enum status st = s->flowing ? completion_write(f->c, bytes) : buf_add(&s->early, bytes.p, bytes.n);

    if (st != ST_TOO_LARGE || s->flowing)
        return st;
    st = flow(f);
    return st == ST_OK ? completion_write(f->c, bytes) : st;
}

static enum status pass(struct feeding *f, struct slice bytes)
{
    enum status st = put(f, bytes);

    if (st == ST_OK && f->s->tail) /* one of the SDKs drops an event without its blank line */
        st = put(f, slice_of("\n\n"));
    return st;
}

/* A client that did not ask for usage must not see that we did: the chunk that has nothing else is hidden, the member
 * is cut out of the others, and all other bytes stay (contract, section 6.3). */
static enum status pass_chunk(struct feeding *f, const struct sse_event *ev, const struct facts *facts)
{
    struct slice before, after;
    struct buf cut;
    enum status st;

    if (!f->s->plan.usage_option || f->c->req->usage_asked || !facts->usage_key)
        return pass(f, ev->raw);
    if (facts->empty_choices && facts->usage_object)
        return ST_OK;
    if (!ev->one_line)
        return pass(f, ev->raw);
    before = (struct slice){ev->raw.p, (size_t)(ev->data.p - ev->raw.p)};
    after = (struct slice){ev->data.p + ev->data.n, ev->raw.n - before.n - ev->data.n};
    buf_init(&cut, SSE_EVENT_MAX);
    st = buf_add(&cut, before.p, before.n);
    if (st == ST_OK)
        st = json_remove(ev->data, "usage", &cut);
    if (st == ST_OK)
        st = put(f, (struct slice){cut.p, cut.n}); /* no half event */
    buf_fini(&cut);
    if (st != ST_OK)
        return st;
    return after.n > 0 || f->s->tail ? pass(f, after) : ST_OK;
}

/* ---- through the translators ---------------------------------------------------------------------------------------
 */

/* What translator `step` gives goes to the one before it, or to the client. */
struct stage {
    struct feeding *f;
    size_t step;
};

static enum status write_event(struct feeding *f, struct slice name, struct slice data)
{
    enum status st = ST_OK;

    if (name.n > 0) {
        st = put(f, slice_of("event: "));
        if (st == ST_OK)
            st = put(f, name);
        if (st == ST_OK)
            st = put(f, slice_of("\n"));
    }
    if (st == ST_OK)
        st = put(f, slice_of("data: "));
    if (st == ST_OK)
        st = put(f, data);
    return st == ST_OK ? put(f, slice_of("\n\n")) : st;
}

static enum status on_translated(void *ctx, struct slice name, struct slice data)
{
    struct stage *at = ctx;
    struct relay *s = at->f->s;
    struct stage next = {at->f, at->step - 1};
    struct translate_sink sink = {on_translated, &next};

    if (at->step == 0)
        return write_event(at->f, name, data);
    return s->plan.steps[at->step - 1]->event(s->steps[at->step - 1], &s->call, data, &sink, &at->f->c->call->err);
}

static enum status translate_event(struct feeding *f, struct slice data)
{
    struct relay *s = f->s;
    size_t last = s->plan.n_steps - 1;
    struct stage at = {f, last};
    struct translate_sink sink = {on_translated, &at};

    return s->plan.steps[last]->event(s->steps[last], &s->call, data, &sink, &f->c->call->err);
}

static enum status translate_end(struct feeding *f, enum translate_end how)
{
    struct usage usage = relay_usage(f->c);
    struct relay *s = f->s;
    enum status st = ST_OK;

    for (size_t i = s->plan.n_steps; i > 0 && st == ST_OK; i--) {
        struct stage at = {f, i - 1};
        struct translate_sink sink = {on_translated, &at};

        st = s->plan.steps[i - 1]->end(s->steps[i - 1], &s->call, how, &usage, &sink, &f->c->call->err);
    }
    if (st == ST_OK && s->plan.client == &dialect_chat)
        st = put(f, slice_of(done_event));
    return st;
}

/* ---- events --------------------------------------------------------------------------------------------------------
 */

static enum status take_error(struct feeding *f, const struct sse_event *ev, const struct facts *facts)
{
    struct relay *s = f->s;

    if (s->flowing && s->plan.n_steps == 0) {
        s->errored = true;
        return pass(f, ev->raw);
    }
    s->failed = arena_alloc(f->c->call->arena, sizeof(*s->failed));
    if (s->failed != NULL)
        *s->failed = *facts;
    s->fault = "The provider answered with an error.";
    return ST_UPSTREAM;
}

/* Ends a stream that passes as it is. */
static enum status close_passing(struct feeding *f, const struct sse_event *ev, uint64_t open, const struct usage *u)
{
    struct completion *c = f->c;
    enum status st = ST_OK;

    if (f->s->plan.upstream != &dialect_chat) { /* it keeps limits: this is the last resort */
        struct upstream_error e = {.type = "insufficient_quota",
                                   .code = "insufficient_quota",
                                   .message = "The credit of the account ended before the answer did."};

        st = put(f, slice_of("event: error\ndata: "));
        if (st == ST_OK)
            st = f->s->plan.client->write_error(&e, c->req->request_id, &c->out);
        return st == ST_OK ? put(f, slice_of("\n\n")) : st;
    }
    st = closing_chunk(ev->data, open, c->req->usage_asked, &c->out);
    if (st == ST_OK && c->req->usage_asked)
        st = closing_usage(ev->data, u, &c->out);
    return st;
}

/* Ends what the client sees before the event at hand, which would cost more than the hold bears. */
static enum status cap(struct feeding *f, const struct sse_event *ev, const struct facts *facts)
{
    struct completion *c = f->c;
    struct relay *s = f->s;
    uint64_t open = (s->seen | facts->seen) & ~s->finished;
    struct usage u = relay_usage(c);
    bool translated = s->plan.n_steps > 0;
    enum status st;

    s->capped = true;
    st = flow(f);
    if (st == ST_OK && translated) /* translate_end closes the stream */
        st = completion_tell_limit(c, tally_tokens(&c->text));
    if (st == ST_OK && !c->left)
        st = translated ? translate_end(f, TRANSLATE_LIMIT) : close_passing(f, ev, open, &u);
    if (st == ST_OK && !translated)
        st = completion_tell_limit(c, tally_tokens(&c->text));
    if (st == ST_OK && !translated && s->plan.upstream == &dialect_chat)
        st = put(f, slice_of(done_event));
    if (st != ST_OK)
        s->fault = "The answer became too large.";
    return ST_CANCELLED;
}

static enum status keep(struct feeding *f, const struct sse_event *ev)
{
    enum status st = buf_add(&f->s->kept, ev->raw.p, ev->raw.n);

    return st == ST_OK && f->s->tail ? buf_add(&f->s->kept, "\n\n", 2) : st;
}

/* Before the closing event: why the answer ended where it did. */
static enum status tell_limit(struct feeding *f)
{
    if (!f->c->req->credit_limited || !f->s->length || f->s->plan.client != &dialect_chat)
        return ST_OK;
    (void)flow(f);
    return completion_tell_limit(f->c, f->c->req->output_limit);
}

static void see(struct feeding *f, const struct facts *facts)
{
    struct completion *c = f->c;

    if (completion_counts(c)) /* also what is not all of it: the events after it are read with it */
        c->usage = facts->usage;
    c->text.ascii += facts->text.ascii;
    c->text.other += facts->text.other;
    f->s->seen |= facts->seen;
    f->s->finished |= facts->finished;
    f->s->length |= facts->length;
    if (facts->object_id[0] != '\0' && completion_keeps_objects(c))
        completion_keep_object(c, slice_of(facts->object_id));
    completion_see_response(c, facts, &c->text);
}

/* From the first token on the times between bytes count. */
static enum status speak(struct feeding *f)
{
    enum status st;

    if (f->s->spoken)
        return ST_OK;
    f->s->spoken = true;
    f->c->wake_ms = 0;
    st = flow(f);
    completion_alive(f->c, true);
    completion_answering(f->c);
    return st;
}

/* What the event gives the client; the first token opens the flow. */
static enum status give(struct feeding *f, const struct sse_event *ev, const struct facts *facts)
{
    struct relay *s = f->s;
    enum status st = ST_OK;

    if (facts->text.ascii + facts->text.other > 0 || facts->finished != 0 || facts->final || !s->plan.json)
        st = speak(f);
    if (st != ST_OK)
        return st;
    if (s->plan.n_steps == 0) {
        st = pass_chunk(f, ev, facts);
    } else {
        st = translate_event(f, ev->data);
        if (st == ST_UPSTREAM)
            s->fault = f->c->call->err.text;
    }
    return st;
}

static enum status finish(struct feeding *f, const struct sse_event *ev, const struct facts *facts)
{
    struct relay *s = f->s;
    enum status st = ST_OK;

    if (!facts->final || s->plan.upstream->trails)
        return ST_OK;
    (void)ev;
    s->done = true;
    completion_wake_at(f->c, f->c->loop->now_ms + DONE_GRACE_MS);
    if (s->plan.n_steps > 0) {
        (void)tell_limit(f);
        st = translate_end(f, TRANSLATE_WHOLE);
    }
    return st;
}

static enum status take_chunk(struct feeding *f, const struct sse_event *ev, const struct facts *facts)
{
    struct completion *c = f->c;
    enum status st;

    completion_tier(c, facts->price_percent);
    if (facts->text.ascii + facts->text.other > 0) {
        enum bearing bearing = completion_bears(c, &facts->text);

        if (bearing == CAP_REACHED)
            return cap(f, ev, facts);
        if (bearing == CAP_ASKS) {
            st = speak(f); /* while the answer's head is at hand */
            return st == ST_OK ? keep(f, ev) : st;
        }
    }
    see(f, facts);
    if (facts->failed)
        return take_error(f, ev, facts);
    st = give(f, ev, facts);
    return st == ST_OK ? finish(f, ev, facts) : st;
}

static enum status take_done(struct feeding *f, const struct sse_event *ev)
{
    enum status st = speak(f);

    f->s->done = true;
    completion_wake_at(f->c, f->c->loop->now_ms + DONE_GRACE_MS);
    (void)tell_limit(f);
    if (st != ST_OK)
        return st;
    return f->s->plan.n_steps > 0 ? translate_end(f, TRANSLATE_WHOLE) : pass(f, ev->raw);
}

static enum status take_event(void *ctx, const struct sse_event *ev)
{
    struct feeding *f = ctx;
    struct completion *c = f->c;
    struct facts facts;

    if (f->s->done)
        return ST_OK;
    if (c->cap.waiting)
        return keep(f, ev);
    if (!ev->has_field) /* a comment */
        return f->s->plan.n_steps == 0 ? pass(f, ev->raw) : ST_OK;
    if (ev->data.n == 0) /* SDKs break on an event without data (contract, rule 5) */
        return ST_OK;
    if (slice_is(ev->data, "[DONE]"))
        return take_done(f, ev);
    if (f->s->plan.upstream->read(ev->data, &c->usage, &c->loop->scratch, &facts) != ST_OK) {
        f->s->fault = "The provider sent an event that is not JSON.";
        return ST_UPSTREAM;
    }
    return take_chunk(f, ev, &facts);
}

enum http_take relay_take_stream(struct completion *c, struct relay *s, const struct http_answer *answer,
                                 struct slice bytes)
{
    struct feeding f = {c, s, answer};
    enum status st;

    if (completion_full(c)) {
        c->starved = true;
        completion_quiet_off(c);
        return HTTP_PAUSE;
    }
    if (!s->flowing && s->answer == NULL) {
        s->answer = answer;
        completion_wake_at(c, c->loop->now_ms + RELAY_HOLD_MS);
    }
    st = sse_feed(&s->sse, bytes, take_event, &f);
    if (s->spoken)
        completion_alive(c, true);
    if (st == ST_OK)
        return HTTP_TAKEN;
    if (s->fault == NULL && !s->capped)
        s->fault = "The provider sent an event that is too large.";
    return HTTP_ABORT;
}

/* Nothing is gained by silence when no other route could give an answer: the client sees what there is, and is kept
 * alive by the gateway while the first token is waited for. */
void relay_let_go(struct completion *c, struct relay *s)
{
    struct feeding f = {c, s, s->answer};

    if (s->flowing || s->answer == NULL)
        return;
    if (s->early.n == 0 || completion_has_other(c))
        completion_wake_at(c, c->loop->now_ms + RELAY_HOLD_MS);
    else
        (void)flow(&f); /* of what cannot be written the rest fails as well */
}

/* ---- its end -------------------------------------------------------------------------------------------------------
 */

/* Upstream closed the stream without a last word. Complete all the same? */
static bool complete(const struct relay *s, enum http_end end)
{
    if (s->done || (end == HTTP_WHOLE && !s->plan.json)) /* of what we do not read whole is what ended well */
        return true;
    return (end == HTTP_WHOLE && s->seen != 0 && s->finished == s->seen &&
            (s->plan.upstream == &dialect_chat || s->plan.upstream->trails));
}

/* What the client has not been told yet of a complete stream. */
static enum status complete_stream(struct feeding *f)
{
    enum status st;

    if (f->s->done)
        return ST_OK;
    st = flow(f);
    (void)tell_limit(f);
    if (st != ST_OK || !f->s->plan.json)
        return st;
    return f->s->plan.n_steps > 0 ? translate_end(f, TRANSLATE_WHOLE) : put(f, slice_of(done_event));
}

/* The call ends as its stream did. */
static void finish_stream(struct feeding *f, enum http_end end)
{
    struct completion *c = f->c;
    struct relay *s = f->s;

    if (s->failed != NULL) {
        relay_answer_failed(c, s, s->failed);
    } else if (s->fault != NULL) {
        relay_lost(c, ATTEMPT_BROKEN, ST_UPSTREAM, true, s->fault);
    } else if (s->capped) {
        completion_capped(c);
    } else if (s->errored) { /* the client has upstream's own error event: no second one */
        completion_unwell(c, "The provider ended its answer with an error.");
        completion_count(c, ATTEMPT_ERROR);
        completion_end(c, OUTCOME_TRUNCATED, ST_OK);
    } else if (complete(s, end) && complete_stream(f) == ST_OK) {
        relay_took(c, ATTEMPT_OK);
        completion_end(c, OUTCOME_OK, ST_OK);
    } else {
        relay_lost(c, ATTEMPT_BROKEN, ST_UPSTREAM, true, "The provider's answer broke off.");
    }
}

void relay_end_stream(struct completion *c, struct relay *s, const struct http_answer *answer, enum http_end end)
{
    struct feeding f = {c, s, answer};

    if (end == HTTP_WHOLE && s->fault == NULL && !s->capped) {
        s->tail = true;
        if (sse_end(&s->sse, take_event, &f) != ST_OK && s->fault == NULL && !s->capped)
            s->fault = "The provider's answer broke off.";
        s->tail = false;
    }
    if (c->cap.waiting) { /* the call ends after what is kept */
        s->over = true;
        s->over_end = end;
        return;
    }
    finish_stream(&f, end);
}

/* ---- what waited for the hold -------------------------------------------------------------------------------------
 */

bool relay_pass_kept(struct completion *c, struct relay *s)
{
    static const struct http_answer none; /* its head is out */
    struct feeding f = {c, s, &none};
    struct buf kept = s->kept;
    struct sse sse;
    enum status st;

    buf_init(&s->kept, RELAY_KEPT_MAX);
    sse_init(&sse);
    st = sse_feed(&sse, (struct slice){kept.p, kept.n}, take_event, &f);
    sse_fini(&sse);
    buf_fini(&kept);
    if (st == ST_OK && c->cap.waiting)
        return false;
    if (st == ST_OK && !s->over)
        return true;
    if (st != ST_OK && !s->capped && s->fault == NULL)
        s->fault = "The provider sent an event that is too large.";
    relay_stop(c);
    finish_stream(&f, st == ST_OK ? s->over_end : HTTP_BROKEN);
    return false;
}
