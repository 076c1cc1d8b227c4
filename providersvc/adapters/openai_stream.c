/* A streamed answer of OpenAI's dialect: its events pass as they are, except for what pass_chunk cuts; and it ends when
 * the call's hold bears no more. */
#include "providersvc/adapters/openai_private.h"

#include <string.h>

#include "providersvc/closing.h"
#include "providersvc/loop.h"
#include "services/json.h"

#define DONE_GRACE_MS                                                                                                  \
    250 /* after [DONE] upstream may take so long to end its answer; then its connection is closed                     \
         */

struct feeding {
    struct completion *c;
    struct openai *s;
    const struct http_answer *answer;
};

static enum status pass(struct feeding *f, struct slice bytes)
{
    enum status st;

    openai_send_head(f->c, f->answer, 200, f->answer->content_type);
    st = completion_write(f->c, bytes);
    if (st == ST_OK && f->s->tail) /* one of the SDKs drops an event without its blank line */
        st = completion_write(f->c, slice_of("\n\n"));
    return st;
}

/* A client that did not ask for usage must not see that we did: the chunk that has nothing else is hidden, the member
 * is cut out of the others, and all other bytes stay (contract, section 6.3). */
static enum status pass_chunk(struct feeding *f, const struct sse_event *ev, const struct facts *facts)
{
    struct slice before, after;
    enum status st;
    size_t at;

    if (f->c->req->usage_asked || !facts->usage_key || !ev->one_line)
        return facts->empty_choices && facts->usage_object && !f->c->req->usage_asked ? ST_OK : pass(f, ev->raw);
    if (facts->empty_choices && facts->usage_object)
        return ST_OK;
    before = (struct slice){ev->raw.p, (size_t)(ev->data.p - ev->raw.p)};
    after = (struct slice){ev->data.p + ev->data.n, ev->raw.n - before.n - ev->data.n};
    openai_send_head(f->c, f->answer, 200, f->answer->content_type);
    at = f->c->out.n;
    st = completion_write(f->c, before);
    if (st == ST_OK)
        st = json_remove(ev->data, "usage", &f->c->out);
    if (st != ST_OK) {
        f->c->out.n = at; /* no half event */
        return st;
    }
    return after.n > 0 || f->s->tail ? pass(f, after) : ST_OK;
}

static enum status take_error(struct feeding *f, const struct sse_event *ev, const struct facts *facts)
{
    struct openai *s = f->s;

    if (f->c->head_sent) {
        s->errored = true;
        return pass(f, ev->raw);
    }
    s->facts = arena_alloc(f->c->call->arena, sizeof(*s->facts));
    if (s->facts != NULL)
        *s->facts = *facts;
    s->fault = "The provider answered with an error.";
    return ST_UPSTREAM;
}

/* Ends what the client sees before the event at hand, which would cost more than the hold bears. */
static enum status cap(struct feeding *f, const struct sse_event *ev, const struct facts *facts)
{
    struct completion *c = f->c;
    uint64_t open = (f->s->seen | facts->seen) & ~f->s->finished;
    struct usage u = {.prompt = c->req->prompt_tokens_estimate, .completion = tally_tokens(&c->text)};
    enum status st = ST_OK;

    f->s->capped = true;
    openai_send_head(c, f->answer, 200, f->answer->content_type);
    if (!c->left)
        st = closing_chunk(ev->data, open, c->req->usage_asked, &c->out);
    if (st == ST_OK && c->req->usage_asked && !c->left)
        st = closing_usage(ev->data, c->usage.known ? &c->usage : &u, &c->out);
    if (st == ST_OK)
        st = completion_tell_limit(c, u.completion);
    if (st == ST_OK)
        st = completion_write(c, slice_of("data: [DONE]\n\n"));
    if (st != ST_OK)
        f->s->fault = "The answer became too large.";
    return ST_CANCELLED;
}

static enum status keep(struct feeding *f, const struct sse_event *ev)
{
    enum status st = buf_add(&f->s->kept, ev->raw.p, ev->raw.n);

    return st == ST_OK && f->s->tail ? buf_add(&f->s->kept, "\n\n", 2) : st;
}

/* Before the closing event: why the answer ended where it did. */
static enum status tell_limit(struct completion *c, const struct openai *s)
{
    return c->req->credit_limited && s->length ? completion_tell_limit(c, c->req->output_limit) : ST_OK;
}

static enum status take_chunk(struct feeding *f, const struct sse_event *ev, const struct facts *facts)
{
    struct completion *c = f->c;

    if (facts->text.ascii + facts->text.other > 0) {
        enum bearing bearing = completion_bears(c, &facts->text);

        if (bearing == CAP_REACHED)
            return cap(f, ev, facts);
        if (bearing == CAP_ASKS) {
            openai_send_head(c, f->answer, 200, f->answer->content_type); /* while the answer's head is at hand */
            return keep(f, ev);
        }
    }
    if (facts->usage.known)
        c->usage = facts->usage;
    c->text.ascii += facts->text.ascii;
    c->text.other += facts->text.other;
    f->s->seen |= facts->seen;
    f->s->finished |= facts->finished;
    f->s->length |= facts->length;
    return facts->failed ? take_error(f, ev, facts) : pass_chunk(f, ev, facts);
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
    if (!ev->has_field)
        return pass(f, ev->raw);
    if (ev->data.n == 0) /* SDKs break on an event without data (contract, rule 5) */
        return ST_OK;
    if (slice_is(ev->data, "[DONE]")) {
        f->s->done = true;
        completion_wake_at(c, c->loop->now_ms + DONE_GRACE_MS);
        (void)tell_limit(c, f->s);
        return pass(f, ev->raw);
    }
    if (dialect_chat.read(ev->data, NULL, &c->loop->scratch, &facts) != ST_OK) {
        f->s->fault = "The provider sent an event that is not JSON.";
        return ST_UPSTREAM;
    }
    return take_chunk(f, ev, &facts);
}

enum http_take openai_take_stream(struct completion *c, struct openai *s, const struct http_answer *answer,
                                  struct slice bytes)
{
    struct feeding f = {c, s, answer};

    if (completion_full(c)) {
        c->starved = true;
        completion_quiet_off(c);
        return HTTP_PAUSE;
    }
    completion_alive(c, true);
    if (sse_feed(&s->sse, bytes, take_event, &f) == ST_OK)
        return HTTP_TAKEN;
    if (s->fault == NULL && !s->capped)
        s->fault = "The provider sent an event that is too large.";
    return HTTP_ABORT;
}

/* The call ends as its stream did. */
static void finish_stream(struct completion *c, struct openai *s, enum http_end end)
{
    if (s->facts != NULL) {
        err_set_field(&c->call->err, ST_UPSTREAM, NULL, NULL, "The provider answered with an error: %s",
                      s->facts->error.message);
        completion_fail(c, ATTEMPT_ERROR, ST_UPSTREAM, s->facts->error.message);
    } else if (s->fault != NULL) {
        completion_fail(c, ATTEMPT_BROKEN, ST_UPSTREAM, s->fault);
    } else if (s->capped) {
        completion_capped(c);
    } else if (s->errored) { /* the client has upstream's own error event: no second one */
        completion_count(c, ATTEMPT_ERROR);
        completion_end(c, OUTCOME_TRUNCATED, ST_OK);
    } else if (s->done || (end == HTTP_WHOLE && s->seen != 0 && s->finished == s->seen)) {
        if (!s->done) {
            (void)tell_limit(c, s);
            (void)completion_write(c, slice_of("data: [DONE]\n\n"));
        }
        completion_count(c, ATTEMPT_OK);
        completion_end(c, OUTCOME_OK, ST_OK);
    } else {
        completion_fail(c, ATTEMPT_BROKEN, ST_UPSTREAM, "The provider's answer broke off.");
    }
}

void openai_end_stream(struct completion *c, struct openai *s, const struct http_answer *answer, enum http_end end)
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
    finish_stream(c, s, end);
}

/* ---- what waited for the hold -------------------------------------------------------------------------------------
 */

bool openai_pass_kept(struct completion *c, struct openai *s)
{
    static const struct http_answer none; /* its head is out */
    struct feeding f = {c, s, &none};
    struct buf kept = s->kept;
    struct sse sse;
    enum status st;

    buf_init(&s->kept, OPENAI_KEPT_MAX);
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
    openai_stop(c);
    finish_stream(c, s, st == ST_OK ? s->over_end : HTTP_BROKEN);
    return false;
}
