/*
 * OpenAI's own dialect: the client's bytes go out as they came and upstream's come back as they are. What is cut is
 * written in body.h (out) and in pass_chunk (back), and nothing else.
 */
#include "providersvc/adapters/openai_private.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "providersvc/body.h"
#include "providersvc/completion.h"
#include "providersvc/http.h"
#include "providersvc/loop.h"
#include "providersvc/providersvc.h"

#define ERROR_BODY_MAX (256u * 1024u)

static bool content_is(const struct http_answer *answer, const char *type)
{
    size_t n = strlen(type);

    return strncasecmp(answer->content_type, type, n) == 0 &&
           (answer->content_type[n] == '\0' || answer->content_type[n] == ';' || answer->content_type[n] == ' ');
}

static bool good(unsigned status)
{
    return status >= 200 && status <= 299;
}

void openai_send_head(struct completion *c, const struct http_answer *answer, unsigned status, const char *content_type)
{
    struct answer_head head = {.status = status,
                               .content_type = slice_of(content_type),
                               .retry_after_ms = answer->retry_after_ms,
                               .headers = answer->headers,
                               .n_headers = answer->n_headers};

    completion_head(c, &head);
}

/* ---- an answer that is not streamed
 * ------------------------------------------------------------------------------------- */

static enum http_take take_whole(struct completion *c, struct openai *s, const struct http_answer *answer,
                                 struct slice bytes)
{
    completion_alive(c, good(answer->status));
    if (!good(answer->status) && s->whole.n + bytes.n > ERROR_BODY_MAX)
        return HTTP_TAKEN; /* nobody reads such an error */
    if (buf_add(&s->whole, bytes.p, bytes.n) == ST_OK)
        return HTTP_TAKEN;
    s->fault = "The provider's answer is too large.";
    return HTTP_ABORT;
}

static void take_good_answer(struct completion *c, struct openai *s, const struct http_answer *answer)
{
    struct slice json = {s->whole.p, s->whole.n};
    struct facts facts;

    if (dialect_chat.read(json, NULL, &c->loop->scratch, &facts) != ST_OK) {
        completion_fail(c, ATTEMPT_ERROR, ST_UPSTREAM, "The provider answered with something that is not JSON.");
        return;
    }
    if (facts.failed && !facts.has_answer) { /* some say 200 to everything */
        err_set_field(&c->call->err, ST_UPSTREAM, NULL, NULL, "The provider answered with an error: %s",
                      facts.error.message);
        completion_fail(c, ATTEMPT_ERROR, ST_UPSTREAM, facts.error.message);
        return;
    }
    if (c->req->stream || !content_is(answer, "application/json")) {
        completion_wasted(c, &facts.usage);
        completion_fail(c, ATTEMPT_ERROR, ST_UPSTREAM,
                        "The provider's answer is of another content type than was asked for.");
        return;
    }
    c->usage = facts.usage;
    c->text = facts.text;
    openai_send_head(c, answer, 200, answer->content_type);
    completion_write_all(c, &s->whole);
    completion_count(c, ATTEMPT_OK);
    completion_end(c, OUTCOME_OK, ST_OK);
}

/* ---- errors (contract, section 2.5)
 * ------------------------------------------------------------------------------------- */

static const char *error_type(unsigned status)
{
    if (status == 429)
        return "rate_limit_error";
    return status >= 500 ? "server_error" : "invalid_request_error";
}

static enum status wrap_error(struct completion *c, struct openai *s, unsigned status, struct upstream_error *e)
{
    if (e->message[0] == '\0')
        snprintf(e->message, sizeof(e->message), "The provider answered with HTTP status %u.", status);
    snprintf(e->type, sizeof(e->type), "%s", error_type(status)); /* a foreign one means nothing to the client */
    s->whole.n = 0;
    return dialect_chat.write_error(e, c->req->request_id, &s->whole);
}

static void pass_error(struct completion *c, struct openai *s, const struct http_answer *answer)
{
    unsigned status = answer->status == 529 ? 503 : answer->status;
    struct upstream_error e;

    dialect_chat.read_error(status, (struct slice){s->whole.p, s->whole.n}, &e);
    if (!e.shaped && wrap_error(c, s, status, &e) != ST_OK) {
        completion_fail(c, ATTEMPT_ERROR, ST_UPSTREAM, "The provider answered with an error.");
        return;
    }
    openai_send_head(c, answer, status, "application/json");
    completion_write_all(c, &s->whole);
    completion_count(c, ATTEMPT_ERROR);
    completion_end(c, OUTCOME_ERROR, ST_OK);
}

/* The client's key is fine; it is ours that upstream does not like. Its own words may hold pieces of our key: they are
 * not shown. */
static void operator_fault(struct completion *c, unsigned status, const char *code, const char *text)
{
    log_event(svc_log(c->loop->self->svc), LOG_ERROR, c->req->request_id, "upstream_refused_us",
              LOG_C("provider", c->upstream->name), LOG_N("status", status), LOG_C("code", code));
    err_set_field(&c->call->err, ST_UPSTREAM, code, NULL, "%s", text);
    completion_fail(c, ATTEMPT_ERROR, ST_UPSTREAM, text);
}

static bool passes(unsigned status)
{
    return status == 400 || status == 404 || status == 409 || status == 413 || status == 422 || status == 429 ||
           (status >= 500 && status <= 599);
}

static bool refused_options(const struct completion *c, const struct openai *s, unsigned status)
{
    return status == 400 && s->forced_usage && s->whole.n > 0 && !c->head_sent &&
           memmem(s->whole.p, s->whole.n, "stream_options", strlen("stream_options")) != NULL;
}

static void take_error_answer(struct completion *c, struct openai *s, const struct http_answer *answer)
{
    unsigned status = answer->status;

    if (refused_options(
            c, s, status)) { /* refused before anything was generated: may be sent again, once and for all without */
        atomic_store(&c->upstream->no_stream_options, true);
        s->made = false;
        completion_count(c, ATTEMPT_ERROR);
        completion_restart(c);
    } else if (status == 401 || status == 403) {
        operator_fault(c, status, "upstream_auth_error", "The provider refused the router's own credentials.");
    } else if (status == 402) {
        operator_fault(c, status, "upstream_billing_error",
                       "The provider refused because of the router's own account with it.");
    } else if (status == 408 || status == 504) {
        completion_fail(c, ATTEMPT_TIMEOUT, ST_TIMEOUT, "The provider did not answer in time.");
    } else if (passes(status)) {
        pass_error(c, s, answer);
    } else {
        char text[64];

        snprintf(text, sizeof(text), "The provider answered with HTTP status %u.", status);
        completion_fail(c, ATTEMPT_ERROR, ST_UPSTREAM, text);
    }
}

/* ---- the transfer
 * ------------------------------------------------------------------------------------------------------ */

static enum http_take on_data(void *ctx, const struct http_answer *answer, struct slice bytes)
{
    struct completion *c = ctx;
    struct openai *s = c->state;

    if (s->mode == UNDECIDED) {
        c->attempt.http_status = answer->status;
        s->mode = good(answer->status) && c->req->stream && content_is(answer, "text/event-stream") ? STREAM : WHOLE;
    }
    return s->mode == STREAM ? openai_take_stream(c, s, answer, bytes) : take_whole(c, s, answer, bytes);
}

static void not_sent(struct completion *c, enum http_end end, const char *why)
{
    char text[ERR_TEXT_MAX];

    if (end == HTTP_NOT_SENT && completion_again(c)) {
        completion_count(c, ATTEMPT_CONNECT);
        return;
    }
    snprintf(text, sizeof(text), "The provider could not be reached: %s", why);
    err_set(&c->call->err, ST_UPSTREAM_CONNECT, "%s", status_text(ST_UPSTREAM_CONNECT));
    completion_fail(c, ATTEMPT_CONNECT, ST_UPSTREAM_CONNECT, text);
}

static void on_done(void *ctx, const struct http_answer *answer, enum http_end end, const char *why)
{
    struct completion *c = ctx;
    struct openai *s = c->state;

    s->transfer = NULL;
    if (end == HTTP_WHOLE)
        c->attempt.http_status = answer->status;
    if (end == HTTP_NOT_SENT || end == HTTP_REFUSED)
        not_sent(c, end, why);
    else if (s->mode == STREAM)
        openai_end_stream(c, s, answer, end);
    else if (end != HTTP_WHOLE)
        completion_fail(c, ATTEMPT_BROKEN, ST_UPSTREAM,
                        s->fault != NULL ? s->fault
                                         : "The connection to the provider broke while the request was under way.");
    else if (good(answer->status))
        take_good_answer(c, s, answer);
    else
        take_error_answer(c, s, answer);
}

static const struct http_events events = {.data = on_data, .done = on_done};

void openai_stop(struct completion *c)
{
    struct openai *s = c->state;

    if (s->transfer != NULL)
        http_stop(c->loop->http, s->transfer);
    s->transfer = NULL;
}

static void openai_fini(struct completion *c)
{
    struct openai *s = c->state;

    openai_stop(c);
    buf_fini(&s->cut_body);
    buf_fini(&s->whole);
    buf_fini(&s->kept);
    sse_fini(&s->sse);
}

static enum status make_body(struct completion *c, struct openai *s)
{
    struct body_cuts cuts = body_cuts_for(c->req, c->route, atomic_load(&c->upstream->no_stream_options));
    enum status st;

    if (s->made)
        return ST_OK;
    s->forced_usage = cuts.force_usage;
    st = body_make(c->req->body, &cuts, &s->cut_body, &s->body);
    if (st != ST_OK)
        return err_set(&c->call->err, st == ST_NO_MEMORY ? ST_INTERNAL : st,
                       "The request could not be prepared for the provider.");
    s->made = true;
    return ST_OK;
}

static enum status openai_start(struct completion *c)
{
    struct openai *s = c->state;
    struct http_request r;
    enum status st;

    if (c->attempts == 1) {
        buf_init(&s->cut_body, BODY_MAX);
        buf_init(&s->whole, COMPLETION_OUT_MAX);
        buf_init(&s->kept, OPENAI_KEPT_MAX);
        sse_init(&s->sse);
    }
    st = make_body(c, s);
    if (st != ST_OK)
        return st;
    s->mode = UNDECIDED;
    s->whole.n = 0;
    r = (struct http_request){.upstream = c->upstream,
                              .path = upstream_path(c->req->endpoint),
                              .body = s->body,
                              .request_id = c->req->request_id,
                              .stream = c->req->stream,
                              .events = &events,
                              .ctx = c};
    st = http_start(c->loop->http, &r, &s->transfer, &c->call->err);
    return st == ST_NO_MEMORY ? ST_INTERNAL : st; /* it is on record: not a call that never began */
}

static void openai_resume(struct completion *c)
{
    struct openai *s = c->state;

    completion_alive(c, false);
    if (s->kept.n > 0 && !openai_pass_kept(c, s))
        return;
    if (s->transfer != NULL)
        http_resume(s->transfer);
}

/* [DONE] has come, the end of the answer has not. */
static void openai_wake(struct completion *c)
{
    openai_stop(c);
    completion_count(c, ATTEMPT_OK);
    completion_end(c, OUTCOME_OK, ST_OK);
}

const struct adapter adapter_openai = {
    .kind = "openai",
    .state_size = sizeof(struct openai),
    .start = openai_start,
    .stop = openai_stop,
    .resume = openai_resume,
    .wake = openai_wake,
    .fini = openai_fini,
};
