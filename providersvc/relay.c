#include "providersvc/relay_private.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "proto/endpoints.h"
#include "providersvc/body.h"
#include "providersvc/embeddings.h"
#include "providersvc/loop.h"
#include "providersvc/providersvc.h"
#include "services/json.h"

#define ERROR_BODY_MAX (256u * 1024u)
#define UPLOAD_PIECE (256u * 1024u) /* asked for at once */

bool relay_content_is(const struct http_answer *answer, const char *type)
{
    size_t n = strlen(type);

    return strncasecmp(answer->content_type, type, n) == 0 &&
           (answer->content_type[n] == '\0' || answer->content_type[n] == ';' || answer->content_type[n] == ' ');
}

bool relay_good(unsigned status)
{
    return status >= 200 && status <= 299;
}

void relay_send_head(struct completion *c, const struct http_answer *answer, unsigned status, struct slice content_type)
{
    const struct relay *s = c->state;
    struct answer_head head = {.status = status,
                               .content_type = content_type,
                               .retry_after_ms = answer->retry_after_ms,
                               .headers = answer->headers,
                               .n_headers = answer->n_headers,
                               .dropped = {s->dropped.p, s->dropped.n}};

    completion_head(c, &head);
}

struct usage relay_usage(const struct completion *c)
{
    struct usage u = c->usage;

    if (!u.known)
        u = (struct usage){.known = true};
    (void)completion_fill(c, &u);
    return u;
}

void relay_took(struct completion *c, enum attempt_outcome outcome)
{
    completion_count(c, outcome);
    completion_healthy(c);
}

/* ---- an answer that is not streamed
 * ------------------------------------------------------------------------------------- */

static enum http_take take_whole(struct completion *c, struct relay *s, const struct http_answer *answer,
                                 struct slice bytes)
{
    completion_alive(c, relay_good(answer->status));
    if (!relay_good(answer->status) && s->whole.n + bytes.n > ERROR_BODY_MAX)
        return HTTP_ABORT; /* its status says enough */
    if (buf_add(&s->whole, bytes.p, bytes.n) == ST_OK)
        return HTTP_TAKEN;
    s->fault = "The provider's answer is too large.";
    return HTTP_ABORT;
}

/* Not every provider of OpenAI's dialect knows base64, which the SDKs ask for. */
static enum status fit_embeddings(struct completion *c, struct relay *s)
{
    struct buf *to = &s->made[1], was = s->whole;
    bool changed;
    enum status st;

    if (!slice_is(c->req->endpoint, ENDPOINT_EMBEDDINGS) || !embeddings_want_base64(c->req->body))
        return ST_OK;
    to->n = 0;
    st = embeddings_to_base64((struct slice){was.p, was.n}, to, &changed);
    if (st != ST_OK || !changed)
        return st;
    s->whole = *to;
    *to = was;
    return ST_OK;
}

/* Through the translators, from upstream's side to the client's. */
static enum status translate_answer(struct completion *c, struct relay *s)
{
    enum status st = ST_OK;

    s->call.counted = relay_usage(c);
    for (size_t i = s->plan.n_steps; i > 0 && st == ST_OK; i--) {
        struct buf *to = &s->made[i % 2];
        struct buf was = s->whole;

        to->n = 0;
        st = s->plan.steps[i - 1]->answer(s->steps[i - 1], &s->call, (struct slice){was.p, was.n}, to, &c->call->err);
        s->whole = *to;
        *to = was;
    }
    return st == ST_OK ? fit_embeddings(c, s) : st;
}

static struct slice member(struct slice json, const char *key)
{
    struct json_cut cut;

    if (!json_find(json, key, &cut) || cut.value_end - cut.value < 2 || json.p[cut.value] != '"')
        return (struct slice){NULL, 0};
    return (struct slice){json.p + cut.value + 1, cut.value_end - cut.value - 2};
}

/* What upstream keeps of this call: the object that it made; a batch's own files, once they are there. */
static void keep_objects(struct completion *c, const struct facts *facts, struct slice json)
{
    if (completion_keeps_objects(c))
        completion_keep_object(c, slice_of(facts->object_id));
    completion_see_response(c, facts, &facts->text);
    if (completion_about_batch(c))
        completion_see_batch(c, json);
    if (!slice_is(c->req->endpoint, ENDPOINT_BATCHES_OBJECT))
        return;
    completion_keep_object(c, member(json, "output_file_id"));
    completion_keep_object(c, member(json, "error_file_id"));
}

static void answer_good(struct completion *c, struct relay *s, const struct http_answer *answer)
{
    struct slice type = s->plan.n_steps > 0 ? slice_of("application/json") : slice_of(answer->content_type);

    relay_send_head(c, answer, s->plan.n_steps > 0 ? 200 : answer->status, type);
    completion_write_all(c, &s->whole);
    relay_took(c, ATTEMPT_OK);
    completion_end(c, OUTCOME_OK, ST_OK);
}

/* Some say 200 to everything: an error where an answer is due. But an object of upstream's has a member of that name,
 * too (a job that failed, a video that was not made), and a file may hold anything. */
static bool says_error(const struct completion *c, const struct relay *s, const struct facts *f)
{
    struct slice e = c->req->endpoint;

    if (!f->failed || f->has_answer)
        return false;
    if (s->plan.json)
        return true;
    return f->object_id[0] == '\0' && !slice_is(e, ENDPOINT_FILES_OBJECT) && !slice_is(e, ENDPOINT_BATCHES_OBJECT) &&
           !slice_is(e, ENDPOINT_RESPONSES_OBJECT);
}

static void take_good_answer(struct completion *c, struct relay *s, const struct http_answer *answer)
{
    struct slice json = {s->whole.p, s->whole.n};
    struct facts facts;
    bool is_json = s->plan.upstream->read(json, NULL, &c->loop->scratch, &facts) == ST_OK;

    if (!is_json && s->plan.json) {
        relay_lost(c, ATTEMPT_ERROR, ST_UPSTREAM, true, "The provider answered with something that is not JSON.");
        return;
    }
    if (is_json && says_error(c, s, &facts)) {
        relay_answer_failed(c, s, &facts);
        return;
    }
    if (s->plan.json && (c->req->stream || !relay_content_is(answer, "application/json"))) {
        completion_wasted(c, &facts.usage);
        relay_lost(c, ATTEMPT_ERROR, ST_UPSTREAM, true,
                   "The provider's answer is of another content type than was asked for.");
        return;
    }
    if (is_json) {
        keep_objects(c, &facts, json);
        completion_tier(c, facts.price_percent);
        if (completion_counts(c)) {
            c->usage = facts.usage;
            c->text = facts.text;
        }
    }
    if (translate_answer(c, s) != ST_OK) {
        completion_wasted(c, &facts.usage);
        relay_lost(c, ATTEMPT_ERROR, ST_UPSTREAM, true, c->call->err.text);
        return;
    }
    answer_good(c, s, answer);
}

/* ---- bytes that nobody reads
 * -------------------------------------------------------------------------------------------- */

static enum http_take take_raw(struct completion *c, struct relay *s, const struct http_answer *answer,
                               struct slice bytes)
{
    if (completion_full(c)) {
        c->starved = true;
        completion_quiet_off(c);
        return HTTP_PAUSE;
    }
    completion_alive(c, true);
    relay_send_head(c, answer, answer->status, slice_of(answer->content_type));
    if (completion_write(c, bytes) == ST_OK)
        return HTTP_TAKEN;
    s->fault = "The answer became too large.";
    return HTTP_ABORT;
}

static void end_raw(struct completion *c, struct relay *s, enum http_end end)
{
    if (end == HTTP_WHOLE) {
        relay_took(c, ATTEMPT_OK);
        completion_end(c, OUTCOME_OK, ST_OK);
        return;
    }
    relay_lost(c, ATTEMPT_BROKEN, ST_UPSTREAM, true, s->fault != NULL ? s->fault : "The provider's answer broke off.");
}

/* ---- the transfer
 * ------------------------------------------------------------------------------------------------------ */

static enum relay_mode mode_of(const struct completion *c, const struct relay *s, const struct http_answer *answer)
{
    if (!relay_good(answer->status))
        return RELAY_WHOLE;
    if (relay_content_is(answer, "text/event-stream") && !completion_about_batch(c) &&
        (c->req->stream || !s->plan.json))
        return RELAY_STREAM;
    /* Whatever it is called: what it says of a batch or a response is billed. */
    if (completion_about_batch(c) || slice_is(c->req->endpoint, ENDPOINT_RESPONSES_OBJECT))
        return RELAY_WHOLE;
    if (s->plan.json || relay_content_is(answer, "application/json"))
        return RELAY_WHOLE;
    return RELAY_RAW;
}

enum http_take relay_take_data(struct completion *c, const struct http_answer *answer, struct slice bytes)
{
    struct relay *s = c->state;

    if (s->mode == RELAY_UNDECIDED) {
        c->attempt.http_status = answer->status;
        s->mode = mode_of(c, s, answer);
    }
    switch (s->mode) {
    case RELAY_STREAM: return relay_take_stream(c, s, answer, bytes);
    case RELAY_RAW: return take_raw(c, s, answer, bytes);
    default: return take_whole(c, s, answer, bytes);
    }
}

static void not_sent(struct completion *c, enum http_end end, const char *why)
{
    char text[ERR_TEXT_MAX];

    snprintf(text, sizeof(text), "The provider could not be reached: %s", why);
    if (completion_elsewhere(c, &(struct failure){.why = ATTEMPT_CONNECT,
                                                  .remedy = end == HTTP_NOT_SENT ? REMEDY_AGAIN : REMEDY_ELSEWHERE,
                                                  .unwell = true,
                                                  .unsent = true,
                                                  .text = text}))
        return;
    err_set(&c->call->err, ST_UPSTREAM_CONNECT, "%s", status_text(ST_UPSTREAM_CONNECT));
    completion_fail(c, ATTEMPT_CONNECT, ST_UPSTREAM_CONNECT, text);
}

void relay_take_end(struct completion *c, const struct http_answer *answer, enum http_end end, const char *why)
{
    struct relay *s = c->state;

    s->transfer = NULL;
    if (end == HTTP_WHOLE || answer->status >= 300)
        c->attempt.http_status = answer->status;
    if (s->mode == RELAY_UNDECIDED && answer->status >= 300)
        s->mode = RELAY_WHOLE;
    if (s->mode == RELAY_UNDECIDED && end == HTTP_WHOLE) /* no body at all */
        s->mode = s->plan.json ? RELAY_WHOLE : RELAY_RAW;
    if (end == HTTP_NOT_SENT || end == HTTP_REFUSED) {
        not_sent(c, end, why);
    } else if (s->mode == RELAY_STREAM) {
        relay_end_stream(c, s, answer, end);
    } else if (s->mode == RELAY_RAW) {
        relay_send_head(c, answer, answer->status, slice_of(answer->content_type));
        end_raw(c, s, end);
    } else if (s->mode == RELAY_WHOLE && !relay_good(answer->status)) { /* also when its body broke off */
        relay_take_error(c, s, answer);
    } else if (end != HTTP_WHOLE) {
        relay_lost(c, ATTEMPT_BROKEN, ST_UPSTREAM, true,
                   s->fault != NULL ? s->fault
                                    : "The connection to the provider broke while the request was under way.");
    } else {
        take_good_answer(c, s, answer);
    }
}

/* ---- uploads
 * ------------------------------------------------------------------------------------------------------------ */

/* The body's length upstream: the model's name may be another one there. */
static uint64_t upload_length(const struct completion *c)
{
    const struct completion_req *r = c->req;

    return r->upload_bytes == 0
               ? 0
               : r->upload_bytes - r->model_bytes + (r->model_bytes > 0 ? c->route->upstream_model.n : 0);
}

static void feed_now(struct completion *c, struct relay *s)
{
    completion_asked(c);
    http_feed(s->transfer, (struct slice){s->pushed.p, s->pushed.n});
}

/* libcurl is through with s->pushed. */
static void take_pushed(struct completion *c, struct relay *s)
{
    struct buf was = s->pushed;

    s->pushed = c->pushed;
    c->pushed = was;
    c->pushed.n = 0;
    feed_now(c, s);
}

/* What was asked for comes in several pieces: all of them are taken before anything else goes out or is asked for. */
static void on_want(void *ctx)
{
    struct completion *c = ctx;
    struct relay *s = c->state;
    const struct completion_req *r = c->req;
    struct upload_want want = {.from = s->wanted, .bytes = r->upload_bytes - s->wanted};

    if (c->pushed.n > 0) {
        take_pushed(c, s);
        return;
    }
    if (c->owed > 0) {
        completion_quiet_off(c);
        return;
    }
    if (r->model_bytes > 0 && s->wanted == r->model_at) { /* in place of the client's name for it */
        s->wanted += r->model_bytes;
        s->pushed.n = 0;
        if (buf_add(&s->pushed, c->route->upstream_model.p, c->route->upstream_model.n) == ST_OK)
            feed_now(c, s);
        return;
    }
    if (r->model_bytes > 0 && s->wanted < r->model_at && want.bytes > r->model_at - s->wanted)
        want.bytes = r->model_at - s->wanted;
    if (want.bytes > UPLOAD_PIECE)
        want.bytes = UPLOAD_PIECE;
    if (want.bytes == 0 || !completion_wants(c, &want))
        return;
    s->wanted += want.bytes;
    completion_quiet_off(c); /* it is the client's side that is waited for; the deadline holds */
}

void relay_pushed(struct completion *c)
{
    struct relay *s = c->state;

    if (s->transfer != NULL && http_starved(s->transfer)) /* else it asks when it is through with what it has */
        on_want(c);
}

static enum http_take on_data(void *ctx, const struct http_answer *answer, struct slice bytes)
{
    return relay_take_data(ctx, answer, bytes);
}

static void on_done(void *ctx, const struct http_answer *answer, enum http_end end, const char *why)
{
    relay_take_end(ctx, answer, end, why);
}

static const struct http_events events = {.data = on_data, .want = on_want, .done = on_done};

/* ---- an attempt
 * -------------------------------------------------------------------------------------------------------- */

void relay_stop(struct completion *c)
{
    struct relay *s = c->state;

    if (s->transfer != NULL)
        http_stop(c->loop->http, s->transfer);
    s->transfer = NULL;
}

static void forget_steps(struct relay *s)
{
    for (size_t i = 0; i < s->plan.n_steps; i++)
        if (s->steps[i] != NULL)
            s->plan.steps[i]->fini(s->steps[i]);
    relay_local_fini(s);
    memset(s->steps, 0, sizeof(s->steps));
    s->plan.n_steps = 0;
}

static void forget_bodies(struct relay *s)
{
    buf_fini(&s->made[0]);
    buf_fini(&s->made[1]);
    buf_fini(&s->dropped);
    buf_fini(&s->pushed);
    buf_fini(&s->piece);
    buf_fini(&s->whole);
    buf_fini(&s->early);
    buf_fini(&s->kept);
    sse_fini(&s->sse);
}

void relay_fini(struct completion *c)
{
    struct relay *s = c->state;

    relay_stop(c);
    forget_steps(s);
    forget_bodies(s);
}

/* Every attempt begins anew: another route may speak another dialect. */
static void renew(struct relay *s)
{
    forget_steps(s);
    forget_bodies(s);
    memset(s, 0, sizeof(*s));
    buf_init(&s->made[0], BODY_MAX);
    buf_init(&s->made[1], BODY_MAX);
    buf_init(&s->dropped, TRANSLATE_DROPPED_MAX);
    buf_init(&s->pushed, UPLOAD_PIECE);
    buf_init(&s->whole, COMPLETION_OUT_MAX);
    buf_init(&s->piece, COMPLETION_OUT_MAX);
    buf_init(&s->early, RELAY_EARLY_MAX);
    buf_init(&s->kept, RELAY_KEPT_MAX);
    sse_init(&s->sse);
}

static enum status translate_request(struct completion *c, struct relay *s)
{
    const struct completion_req *r = c->req;
    enum status st = ST_OK;

    s->call = (struct translate_call){.model = r->model,
                                      .upstream_model = c->route->upstream_model,
                                      .request_id = r->request_id,
                                      .created = c->created_ms / 1000,
                                      .output_limit = r->output_limit,
                                      .max_output = c->route->price.n > 0 ? c->route->price.items[0].max_output : 0,
                                      .old_limit = s->plan.old_limit,
                                      .own_pictures = s->plan.upstream == &dialect_gemini,
                                      .stream = r->stream,
                                      .usage_asked = r->usage_asked,
                                      .drop_unsupported = c->loop->self->drop_unsupported,
                                      .dropped = &s->dropped};
    s->body = r->body;
    for (size_t i = 0; i < s->plan.n_steps && st == ST_OK; i++) {
        struct buf *to = &s->made[i % 2];

        s->steps[i] = arena_alloc(c->call->arena, s->plan.steps[i]->state_size);
        if (s->steps[i] == NULL)
            return err_set(&c->call->err, ST_INTERNAL, "No memory to translate the request.");
        to->n = 0;
        st = s->plan.steps[i]->request(s->steps[i], &s->call, s->body, to, &c->call->err);
        s->body = (struct slice){to->p, to->n};
    }
    return st;
}

static enum status not_prepared(struct completion *c, enum status st)
{
    return err_set(&c->call->err, st == ST_NO_MEMORY ? ST_INTERNAL : st,
                   "The request could not be prepared for the provider.");
}

/* What the translators made for a provider of chat completions, which may refuse members that OpenAI takes. */
static enum status cut_translated(struct completion *c, struct relay *s)
{
    struct body_cuts cuts = {.limit_member = "",
                             .drop = &c->upstream->drop_params,
                             .no_stream_options = atomic_load(&c->upstream->no_stream_options)};
    enum status st;

    s->forced_usage = c->req->stream && !cuts.no_stream_options;
    st = body_make(s->body, &cuts, &s->made[s->plan.n_steps % 2], &s->body);
    return st == ST_OK ? ST_OK : not_prepared(c, st);
}

/* The client's own bytes, with exact cuts. */
static enum status cut_request(struct completion *c, struct relay *s)
{
    struct body_cuts cuts = body_cuts_for(c->req, c->route, atomic_load(&c->upstream->no_stream_options));
    enum status st;

    cuts.force_usage = cuts.force_usage && s->plan.usage_option;
    cuts.limit_member = s->plan.limit_member;
    cuts.old_limit = s->plan.old_limit;
    cuts.drop = &c->upstream->drop_params;
    s->forced_usage = cuts.force_usage;
    st = body_make(c->req->body, &cuts, &s->made[0], &s->body);
    return st == ST_OK ? ST_OK : not_prepared(c, st);
}

/* What translators made, without what this upstream refuses. */
static enum status drop_refused(struct completion *c, struct relay *s)
{
    struct body_cuts cuts = {.drop = &c->upstream->drop_params};
    struct buf *to = &s->made[s->plan.n_steps % 2]; /* not the one that holds the body */
    enum status st;

    if (cuts.drop->n == 0)
        return ST_OK;
    st = body_make(s->body, &cuts, to, &s->body);
    return st == ST_OK ? ST_OK : not_prepared(c, st);
}

static bool is_json(struct slice content_type)
{
    static const char json[] = "application/json";

    return content_type.n == 0 ||
           (content_type.n >= sizeof(json) - 1 && strncasecmp(content_type.p, json, sizeof(json) - 1) == 0);
}

/* Of a body that is JSON. Blanks before it are the client's right: what is skipped elsewhere is skipped here. */
static bool is_object(struct slice body)
{
    size_t i = 0;

    while (i < body.n && (body.p[i] == ' ' || body.p[i] == '\t' || body.p[i] == '\n' || body.p[i] == '\r'))
        i++;
    return i < body.n && body.p[i] == '{';
}

static enum status make_body(struct completion *c, struct relay *s)
{
    if (s->plan.n_steps > 0) {
        enum status st = translate_request(c, s);

        if (st != ST_OK)
            return st;
        return s->plan.upstream == &dialect_chat ? cut_translated(c, s) : drop_refused(c, s);
    }
    if (is_object(c->req->body) && is_json(c->req->content_type) && !completion_about_batch(c))
        return cut_request(c, s); /* of a batch the model is its file's: there is nothing to be cut */
    s->body = c->req->body;
    return ST_OK;
}

/* A limit that the credit sets has to be in what goes upstream: drop_params may have taken it out again. */
static enum status check_limit(const struct completion *c, const struct relay *s)
{
    static const char *const names[] = {"max_tokens", "max_completion_tokens", "max_output_tokens", "generationConfig"};
    struct json_cut cut;

    if (!c->req->credit_limited)
        return ST_OK;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (json_find(s->body, names[i], &cut))
            return ST_OK;
    return err_set(
        &c->call->err, ST_NO_FUNDS,
        "The credit, or the budget of the key, does not bear the longest answer, and the provider `%s` takes no "
        "limit of its length.",
        c->upstream->name);
}

/* Methods are constants: the transfer keeps the pointer. */
static const char *method_of(const struct completion_req *req)
{
    static const char *const known[] = {"GET", "DELETE", "PUT", "PATCH"};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (slice_is(req->method, known[i]))
            return known[i];
    return "POST";
}

#define EXTRA_HEADERS 17 /* the client's, and one that upstream demands */

static enum status send_request(struct completion *c, struct relay *s)
{
    struct http_header lines[EXTRA_HEADERS];
    struct http_request r = {.upstream = c->upstream,
                             .method = method_of(c->req),
                             .path = s->plan.path,
                             .auth = s->plan.auth,
                             .secret = s->key->secret,
                             .content_type = s->plan.n_steps > 0 ? slice_of(NULL) : c->req->content_type,
                             .headers = lines,
                             .body = s->body,
                             .upload_bytes = upload_length(c),
                             .request_id = c->req->request_id,
                             .stream = c->req->stream,
                             .events = &events,
                             .ctx = c};
    const char *colon = s->plan.extra_line != NULL ? strchr(s->plan.extra_line, ':') : NULL;
    struct slice extra = {s->plan.extra_line, colon != NULL ? (size_t)(colon - s->plan.extra_line) : 0};
    bool said = colon == NULL;
    enum status st;

    for (size_t i = 0; s->plan.pass_headers && i < c->req->headers.n && r.n_headers + 1 < EXTRA_HEADERS; i++) {
        said |= extra.n > 0 && slice_eq(c->req->headers.items[i].name, extra);
        lines[r.n_headers++] = c->req->headers.items[i];
    }
    if (!said)
        lines[r.n_headers++] = (struct http_header){.name = extra, .value = slice_of(colon + 2)};
    st = http_start(c->loop->http, &r, &s->transfer, &c->call->err);
    return st == ST_NO_MEMORY ? ST_INTERNAL : st; /* it is on record: not a call that never began */
}

/* Where the model's name stands in an upload is the gateway's word: it has to lie within it. */
static bool upload_fits(const struct completion_req *r)
{
    return r->model_bytes <= r->upload_bytes && r->model_at <= r->upload_bytes - r->model_bytes;
}

enum status relay_start(struct completion *c)
{
    struct relay *s = c->state;
    enum status st;

    renew(s);
    if (!upload_fits(c->req))
        return err_set(&c->call->err, ST_BAD_MESSAGE, "The model's name lies outside of the upload.");
    st = c->upstream->adapter->plan(c, &s->plan);
    if (st == ST_OK)
        st = make_body(c, s);
    if (st == ST_OK)
        st = check_limit(c, s);
    if (st != ST_OK)
        return st;
    s->key = c->key;
    return s->plan.local != NULL ? relay_local_start(c, s) : send_request(c, s);
}

void relay_resume(struct completion *c)
{
    struct relay *s = c->state;

    if (s->spoken || s->mode == RELAY_RAW)
        completion_alive(c, false);
    if (s->kept.n > 0 && !relay_pass_kept(c, s))
        return;
    if (s->transfer != NULL)
        http_resume(s->transfer);
    else if (s->plan.local != NULL)
        relay_local_go_on(c, s);
}

/* The last event has come, the end of the transfer has not; or the first token has not come; or it is time for the next
 * piece of an answer made here. */
void relay_wake(struct completion *c)
{
    struct relay *s = c->state;

    if (s->plan.local != NULL) {
        relay_local_go_on(c, s);
        return;
    }
    if (!s->done) {
        relay_let_go(c, s);
        return;
    }
    relay_stop(c);
    relay_took(c, ATTEMPT_OK);
    completion_end(c, OUTCOME_OK, ST_OK);
}
