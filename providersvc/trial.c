#include "providersvc/trial.h"

#include <stdio.h>
#include <string.h>

#include <yyjson.h>

#include "proto/endpoints.h"
#include "providersvc/adapter.h"
#include "providersvc/completion.h"
#include "providersvc/http.h"
#include "providersvc/loop.h"
#include "providersvc/providersvc.h"
#include "services/clock.h"
#include "services/json.h"

#define TRIAL_ANSWER_MAX (4u * 1024u * 1024u)
#define TRIAL_MS UINT64_C(20000)
#define TRIAL_MODELS 20

/* One request at a time: the list of models, then the call. Lives in its call's arena, on the loop's thread. */
struct trial {
    struct loop_job job; /* first */
    struct svc_call *call;
    const struct provider_test_req *req;
    struct loop *loop;
    struct upstream *upstream;
    struct provider_key *key;
    struct http_transfer *transfer;
    struct timer timer;
    struct buf answer, body;
    struct call_plan plan; /* of the call, as the adapter makes it */
    uint64_t began_ms;
    bool calling; /* the call is under way, not the list */
};

static struct trial *trial_of_timer(struct timer *t)
{
    return (struct trial *)(void *)((char *)t - offsetof(struct trial, timer));
}

static struct provider_test_rep *rep_of(struct trial *t)
{
    return svc_out(t->call);
}

static void finish(struct trial *t, bool ok, const char *text)
{
    struct provider_test_rep *rep = rep_of(t);
    char *kept = arena_strndup(t->call->arena, text, strnlen(text, LIMIT_TITLE));

    rep->ok = ok;
    rep->text = slice_of(kept);
    rep->latency_ms = clock_ms() - t->began_ms;
    timers_clear(&t->loop->timers, &t->timer);
    buf_fini(&t->answer);
    buf_fini(&t->body);
    upstream_unref(t->upstream);
    loop_job_done(t->loop, &t->job);
    svc_finish(t->call, ST_OK); /* t is in its arena */
}

/* ---- reading -------------------------------------------------------------------------------------------------------
 */

static void take_models(struct trial *t)
{
    struct provider_test_rep *rep = rep_of(t);
    yyjson_doc *doc = yyjson_read(t->answer.p, t->answer.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_val *list = yyjson_obj_get(root, "data"), *item;
    struct slice *names = arena_alloc(t->call->arena, TRIAL_MODELS * sizeof(*names));
    size_t i, n;

    if (!yyjson_is_arr(list))
        list = yyjson_obj_get(root, "models");
    rep->models.items = names;
    for (i = 0, n = yyjson_arr_size(list); names != NULL && i < n && rep->models.n < TRIAL_MODELS; i++) {
        enum status st = ST_OK;
        yyjson_val *id;

        item = yyjson_arr_get(list, i);
        id = yyjson_obj_get(item, "id");
        if (id == NULL)
            id = yyjson_obj_get(item, "name");
        if (!yyjson_is_str(id) || yyjson_get_len(id) > LIMIT_MODEL)
            continue;
        names[rep->models.n] = arena_copy(t->call->arena, (struct slice){yyjson_get_str(id), yyjson_get_len(id)}, &st);
        rep->models.n += st == ST_OK;
    }
    yyjson_doc_free(doc);
}

/* ---- the requests --------------------------------------------------------------------------------------------------
 */

struct trial_kind {
    const char *kind, *list; /* path of the list */
    const char *endpoint; /* what the call is to the adapter, whose plan says where it goes */
    const char *extra; /* anthropic-version; NULL = not said */
    const char *body; /* first %s: the model as a JSON string; second: the name of the limit */
    const char *answer; /* a member that the answer to the call has */
    const struct dialect *dialect; /* of its errors */
};

#define CHAT_BODY "{\"model\":%s,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"%s\":16}"

static const struct trial_kind kinds[] = {
    {"openai", "/models", ENDPOINT_CHAT, NULL, CHAT_BODY, "choices", &dialect_chat},
    {"azure", "/openai/v1/models", ENDPOINT_CHAT, NULL, CHAT_BODY, "choices", &dialect_chat},
    {"anthropic", "/v1/models", ENDPOINT_MESSAGES, "2023-06-01",
     "{\"model\":%s,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"max_tokens\":1}", "content",
     &dialect_messages},
    {"gemini", "/v1beta/models", ENDPOINT_CHAT, NULL,
     "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"hi\"}]}],\"generationConfig\":{\"maxOutputTokens\":16}}",
     "candidates", &dialect_gemini},
};

static const struct trial_kind *kind_of(const struct trial *t)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(kinds[i].kind, t->upstream->adapter->kind) == 0)
            return &kinds[i];
    return NULL;
}

/* What upstream says may hold pieces of our key when it is the key that it does not like. */
static void say_error(struct trial *t, unsigned status)
{
    struct upstream_error e = {0};
    char text[LIMIT_TITLE];

    kind_of(t)->dialect->read_error(status, (struct slice){t->answer.p, t->answer.n}, &e);
    if (status == 401 || status == 403 || e.bad_key)
        snprintf(text, sizeof(text), "The provider refused the key (HTTP %u).", status);
    else
        snprintf(text, sizeof(text), "The provider answered with HTTP %u%s%.400s", status,
                 e.message[0] != '\0' ? ": " : ".", e.message);
    finish(t, false, text);
}

/* Some say what is wrong with 200. */
static void judge_answer(struct trial *t, unsigned status)
{
    yyjson_doc *doc = yyjson_read(t->answer.p, t->answer.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    bool good = yyjson_obj_get(root, kind_of(t)->answer) != NULL, said = yyjson_obj_get(root, "error") != NULL;

    yyjson_doc_free(doc);
    if (good)
        finish(t, true, "The provider answered the call.");
    else if (said)
        say_error(t, status);
    else
        finish(t, false, "The provider answered the call with something else than a completion.");
}

static const struct http_events events;

static void send_request(struct trial *t, const char *method, const char *path)
{
    const struct trial_kind *kind = kind_of(t);
    struct http_header version = {.name = slice_of("anthropic-version"), .value = slice_of(kind->extra)};
    struct http_request r = {.upstream = t->upstream,
                             .method = method,
                             .path = path,
                             .auth = t->plan.auth,
                             .secret = t->key->secret,
                             .headers = &version,
                             .n_headers = kind->extra != NULL,
                             .body = {t->body.p, t->body.n},
                             .request_id = slice_of("trial"),
                             .events = &events,
                             .ctx = t};

    t->answer.n = 0;
    if (http_start(t->loop->http, &r, &t->transfer, &t->call->err) != ST_OK)
        finish(t, false, t->call->err.text);
}

/* Where a call to this model goes, and how the key is shown. */
static enum status make_plan(struct trial *t)
{
    struct completion_req req = {
        .endpoint = slice_of(kind_of(t)->endpoint), .model = t->req->model, .body = slice_of("{}")};
    struct call_route route = {.upstream_model = t->req->model};
    struct completion c = {.call = t->call, .req = &req, .route = &route, .upstream = t->upstream};

    return t->upstream->adapter->plan(&c, &t->plan);
}

/* Azure's older API has its list beside the deployments. */
static void ask_list(struct trial *t)
{
    char path[LIMIT_NAME + 64];

    if (t->upstream->api_version == NULL)
        snprintf(path, sizeof(path), "%s", kind_of(t)->list);
    else
        snprintf(path, sizeof(path), "/openai/models?api-version=%s", t->upstream->api_version);
    send_request(t, "GET", path);
}

static void make_call(struct trial *t)
{
    const struct trial_kind *kind = kind_of(t);
    struct buf model;
    enum status st;

    t->calling = true;
    buf_init(&model, LIMIT_MODEL * 8u);
    st = json_add_string(&model, t->req->model);
    if (st == ST_OK)
        st = buf_add(&model, "", 1);
    if (st == ST_OK) {
        char text[LIMIT_MODEL * 8u + 256];
        int n = snprintf(text, sizeof(text), kind->body, model.p,
                         t->plan.old_limit ? "max_tokens" : "max_completion_tokens");

        st = n > 0 && (size_t)n < sizeof(text) ? buf_add(&t->body, text, (size_t)n) : ST_TOO_LARGE;
    }
    buf_fini(&model);
    if (st == ST_OK)
        send_request(t, "POST", t->plan.path);
    else
        finish(t, false, "The call could not be made.");
}

/* ---- the transfer --------------------------------------------------------------------------------------------------
 */

static enum http_take on_data(void *ctx, const struct http_answer *answer, struct slice bytes)
{
    struct trial *t = ctx;

    (void)answer;
    return buf_add(&t->answer, bytes.p, bytes.n) == ST_OK ? HTTP_TAKEN : HTTP_ABORT;
}

static void on_done(void *ctx, const struct http_answer *answer, enum http_end end, const char *why)
{
    struct trial *t = ctx;
    char text[LIMIT_TITLE];

    t->transfer = NULL;
    rep_of(t)->http_status = end == HTTP_WHOLE ? answer->status : 0;
    if (end != HTTP_WHOLE) {
        snprintf(text, sizeof(text), "The provider could not be reached: %.400s", why);
        finish(t, false, text);
    } else if (answer->status < 200 || answer->status > 299) {
        say_error(t, answer->status);
    } else if (t->calling) {
        judge_answer(t, answer->status);
    } else {
        take_models(t);
        if (t->req->model.n > 0)
            make_call(t);
        else
            finish(t, true, "The provider listed its models.");
    }
}

static const struct http_events events = {.data = on_data, .done = on_done};

static void stop(struct trial *t, const char *text)
{
    if (t->transfer != NULL)
        http_stop(t->loop->http, t->transfer);
    t->transfer = NULL;
    finish(t, false, text);
}

static void too_late(struct timer *timer)
{
    stop(trial_of_timer(timer), "The provider did not answer in time.");
}

static void shut_down(struct loop *l, struct loop_job *job)
{
    (void)l;
    stop((struct trial *)(void *)job, "The router was shut down before the provider had answered.");
}

/* ---- beginning -----------------------------------------------------------------------------------------------------
 */

static void begin(struct loop *l, struct loop_job *job)
{
    struct trial *t = (struct trial *)(void *)job;

    t->loop = l;
    t->timer.fire = too_late;
    buf_init(&t->answer, TRIAL_ANSWER_MAX);
    buf_init(&t->body, 65536);
    t->key = upstream_pick_key(t->upstream, l->now_ms);
    if (kind_of(t) == NULL) {
        finish(t, true, "This provider is built in and needs no network.");
    } else if (t->key == NULL) {
        finish(t, false, "The provider has no key that can be used at the moment.");
    } else if (make_plan(t) != ST_OK) {
        finish(t, false, t->call->err.text);
    } else {
        timers_set(&l->timers, &t->timer, l->now_ms + TRIAL_MS);
        ask_list(t);
    }
}

enum status providersvc_trial(struct svc_call *call, const void *in, void *out)
{
    struct providersvc *self = svc_state(call->svc);
    struct trial *t = arena_alloc(call->arena, sizeof(*t));

    (void)out;
    if (t == NULL)
        return err_set(&call->err, ST_NO_MEMORY, "No memory for a trial.");
    t->req = in;
    t->call = call;
    t->began_ms = clock_ms();
    t->upstream = upstreams_find(&self->upstreams, t->req->name);
    if (t->upstream == NULL)
        return err_set_field(&call->err, ST_NOT_FOUND, "provider_not_found", "name",
                             "No provider `" SLICE_FMT "` is served here.", SLICE_ARG(t->req->name));
    t->job.run = begin;
    t->job.abort = shut_down;
    if (loop_post(self->loops[0], &t->job) != ST_OK) {
        upstream_unref(t->upstream);
        return err_set(&call->err, ST_UNAVAILABLE, "Too many trials are running.");
    }
    return ST_PENDING;
}
