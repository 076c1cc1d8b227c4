/* Errors of an upstream: whose fault they are, whether another key or another route can mend them, and what the client
 * is told when none can (contract, section 2.5). */
#include <stdio.h>
#include <string.h>

#include "providersvc/loop.h"
#include "providersvc/providersvc.h"
#include "providersvc/relay_private.h"

/* ---- what the client is told ---------------------------------------------------------------------------------------
 */

static const char *error_type(unsigned status)
{
    if (status == 429)
        return "rate_limit_error";
    return status >= 500 ? "server_error" : "invalid_request_error";
}

/* Upstream's own words, byte for byte where the client speaks the same dialect. */
static enum status word_error(struct completion *c, struct relay *s, unsigned status, struct upstream_error *e)
{
    bool same = s->plan.client == s->plan.upstream;

    if (same && e->shaped)
        return ST_OK;
    if (e->message[0] == '\0')
        snprintf(e->message, sizeof(e->message), "The provider answered with HTTP status %u.", status);
    if (!same || !e->shaped)
        snprintf(e->type, sizeof(e->type), "%s", error_type(status)); /* a foreign one means nothing to the client */
    e->status = status;
    s->whole.n = 0;
    return s->plan.client->write_error(e, c->req->request_id, &s->whole);
}

static void pass_error(struct completion *c, struct relay *s, const struct http_answer *answer,
                       struct upstream_error *e)
{
    struct http_answer shown = *answer;
    bool own_status = s->plan.client == s->plan.upstream && s->plan.client == &dialect_messages;
    unsigned status = e->status != 0 ? e->status : answer->status;

    if (own_status && answer->status != 0)
        status = answer->status; /* what the error's type means to others says less */
    else if (status == 529)
        status = 503;
    if (shown.retry_after_ms == 0)
        shown.retry_after_ms = e->retry_after_ms;
    if (word_error(c, s, status, e) != ST_OK) {
        completion_fail(c, ATTEMPT_ERROR, ST_UPSTREAM, "The provider answered with an error.");
        return;
    }
    relay_send_head(c, &shown, status, slice_of("application/json"));
    completion_write_all(c, &s->whole);
    completion_count(c, ATTEMPT_ERROR);
    completion_end(c, OUTCOME_ERROR, ST_OK);
}

/* The client's key is fine; it is ours that upstream does not like. Its own words may hold pieces of our key: they are
 * not shown. */
static void operator_fault(struct completion *c, unsigned status, const char *code, const char *text)
{
    log_event(svc_log(c->loop->self->svc), LOG_ERROR, c->req->request_id, "upstream_refused_us",
              LOG_C("provider", c->upstream->name), LOG_C("key", c->key->id), LOG_N("status", status),
              LOG_C("code", code));
    err_set_field(&c->call->err, ST_UPSTREAM, code, NULL, "%s", text);
    completion_fail(c, ATTEMPT_ERROR, ST_UPSTREAM, text);
}

/* ---- what can be done ----------------------------------------------------------------------------------------------
 */

static void key_refused(struct completion *c, unsigned status, bool billing)
{
    const char *text = billing ? "The provider refused because of the router's own account with it."
                               : "The provider refused the router's own credentials.";

    if (!completion_elsewhere(c, &(struct failure){.why = ATTEMPT_ERROR, .remedy = REMEDY_KEY, .text = text}))
        operator_fault(c, status, billing ? "upstream_billing_error" : "upstream_auth_error", text);
}

static bool refused_options(const struct completion *c, const struct relay *s, unsigned status)
{
    return status == 400 && s->forced_usage && s->whole.n > 0 && !c->head_sent &&
           memmem(s->whole.p, s->whole.n, "stream_options", strlen("stream_options")) != NULL;
}

static bool passes(unsigned status)
{
    return status == 400 || status == 404 || status == 405 || status == 409 || status == 413 || status == 422 ||
           status == 429 || (status >= 500 && status <= 599);
}

/* Does it concern this provider alone, so that another one may well answer? What the client would not be shown as it is
 * says nothing about the request. */
static struct failure failure_of(unsigned status, const struct upstream_error *e, uint64_t retry_after_ms)
{
    struct failure f = {.why = ATTEMPT_ERROR, .text = "The provider answered with an error."};

    if (status == 429) {
        f.remedy = REMEDY_LIMIT;
        f.wait_ms = retry_after_ms != 0 ? retry_after_ms : e->retry_after_ms;
    } else if (status == 408 || status == 504) {
        f = (struct failure){.why = ATTEMPT_TIMEOUT,
                             .remedy = REMEDY_ELSEWHERE,
                             .unwell = true,
                             .text = "The provider did not answer in time."};
    } else if (status >= 500) {
        f.remedy = REMEDY_AGAIN;
        f.unwell = true;
        f.wait_ms = retry_after_ms;
    } else if (status == 404 || status == 405 || !passes(status)) {
        f.remedy = REMEDY_ELSEWHERE;
        f.unwell = status < 400; /* it sends us somewhere else: nobody gets anything here */
    }
    return f;
}

void relay_take_error(struct completion *c, struct relay *s, const struct http_answer *answer)
{
    unsigned status = answer->status;
    struct upstream_error e = {0};
    struct failure f;

    if (refused_options(c, s, status)) { /* refused before anything was generated: once and for all without */
        atomic_store(&c->upstream->no_stream_options, true);
        completion_count(c, ATTEMPT_ERROR);
        completion_restart(c);
        return;
    }
    s->plan.upstream->read_error(status, (struct slice){s->whole.p, s->whole.n}, &e);
    if (status == 401 || status == 403 || e.bad_key || status == 402 || e.no_credit) {
        key_refused(c, status, status == 402 || e.no_credit);
        return;
    }
    f = failure_of(e.status != 0 ? e.status : status, &e, answer->retry_after_ms);
    if (f.remedy == REMEDY_NONE)
        completion_healthy(c); /* it answers: the request was at fault */
    else if (completion_elsewhere(c, &f))
        return;
    if (f.why == ATTEMPT_TIMEOUT) {
        completion_fail(c, ATTEMPT_TIMEOUT, ST_TIMEOUT, f.text);
    } else if (passes(status)) {
        pass_error(c, s, answer, &e);
    } else {
        char text[64];

        snprintf(text, sizeof(text), "The provider answered with HTTP status %u.", status);
        completion_fail(c, ATTEMPT_ERROR, ST_UPSTREAM, text);
    }
}

/* The HTTP status that an error without one has: some say it in the error's code. */
static unsigned status_of(const struct upstream_error *e)
{
    unsigned n = 0;

    if (e->status != 0)
        return e->status;
    if (strlen(e->code) == 3 && sscanf(e->code, "%3u", &n) == 1 && n >= 400 && n <= 599)
        return n;
    if (strcmp(e->code, "invalid_api_key") == 0)
        return 401;
    if (strcmp(e->code, "rate_limit_exceeded") == 0)
        return 429;
    return strcmp(e->type, "invalid_request_error") == 0 ? 400 : 502;
}

void relay_answer_failed(struct completion *c, struct relay *s, const struct facts *facts)
{
    struct upstream_error e = facts->error;
    unsigned status = status_of(&e);
    struct failure f;

    if (status == 401 || status == 403 || e.bad_key || status == 402 || e.no_credit) {
        key_refused(c, status, status == 402 || e.no_credit);
        return;
    }
    f = failure_of(status, &e, 0);
    f.text = e.message;
    if (f.remedy == REMEDY_AGAIN)
        f.remedy = REMEDY_ELSEWHERE; /* it said 200: who knows what it has done */
    if (f.remedy == REMEDY_NONE)
        completion_healthy(c);
    else if (completion_elsewhere(c, &f))
        return;
    if (!c->head_sent && (status == 400 || status == 413 || status == 422 || status == 429)) {
        const struct http_answer none = {.retry_after_ms = e.retry_after_ms};

        e.status = status;
        e.shaped = false;
        pass_error(c, s, &none, &e);
        return;
    }
    err_set_field(&c->call->err, ST_UPSTREAM, NULL, NULL, "The provider answered with an error: %s", e.message);
    completion_fail(c, f.why, ST_UPSTREAM, e.message);
}

void relay_lost(struct completion *c, enum attempt_outcome why, enum status st, bool acted, const char *text)
{
    enum remedy remedy = acted ? REMEDY_ELSEWHERE : REMEDY_AGAIN;

    if (!completion_elsewhere(c, &(struct failure){.why = why, .remedy = remedy, .unwell = true, .text = text}))
        completion_fail(c, why, st, text);
}
