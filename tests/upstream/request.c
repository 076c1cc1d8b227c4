/* From the bytes of a request to the decision what to answer. */
#include "server.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIMENSIONS_DEFAULT 8
#define DIMENSIONS_MAX 4096
#define CHOICES_MAX 128
#define LAST_KEEP ((size_t)1 << 16)

static const char models[] =
    "{\"object\":\"list\",\"data\":["
    "{\"id\":\"fake-small\",\"object\":\"model\",\"created\":1721172741,\"owned_by\":\"fake\"},"
    "{\"id\":\"fake-large\",\"object\":\"model\",\"created\":1721172741,\"owned_by\":\"fake\"},"
    "{\"id\":\"gpt-4o-mini\",\"object\":\"model\",\"created\":1721172741,\"owned_by\":\"fake\"},"
    "{\"id\":\"text-embedding-3-small\",\"object\":\"model\",\"created\":1705948997,"
    "\"owned_by\":\"fake\"}]}\n";

static struct span place_of(const struct conn *c, struct http_place at)
{
    return (struct span){c->in.p + at.at, at.n};
}

static void copy_name(char ret[NAME_LEN_MAX], struct span name)
{
    size_t n = name.n < NAME_LEN_MAX ? name.n : NAME_LEN_MAX - 1;

    if (n > 0)
        memcpy(ret, name.p, n);
    ret[n] = '\0';
}

void request_free(struct request *r)
{
    if (!r)
        return;
    buf_fini(&r->prefix);
    buf_fini(&r->held);
    free(r);
}

static void refuse(struct conn *c, int status, const char *code, const char *message)
{
    answer_error(c, status, "invalid_request_error", code, message);
}

/* Returns false after answering 401. */
static bool authorized(struct conn *c)
{
    const char *key = c->server->api_key;
    struct span given = place_of(c, c->head.authorization);

    if (given.n <= 7 || memcmp(given.p, "Bearer ", 7) != 0) {
        refuse(c, 401, NULL, "You didn't provide an API key.");
        return false;
    }
    given = (struct span){given.p + 7, given.n - 7};
    if (!key || span_is(given, key))
        return true;
    refuse(c, 401, "invalid_api_key", "Incorrect API key provided.");
    return false;
}

static void refuse_model(struct conn *c, const char *model)
{
    char text[NAME_LEN_MAX + 80];

    snprintf(text, sizeof(text), "The model `%s` does not exist or you do not have access to it.", model);
    refuse(c, 404, "model_not_found", text);
}

static void answer_buf(struct conn *c, const char *type, const struct buf *b)
{
    answer_plain(c, 200, type, b->p, b->n);
}

/* What the tests ask about the upstream itself; needs no key. Returns false when it is not that. */
static bool answer_inner(struct conn *c, struct span path)
{
    struct server *s = c->server;
    struct buf b;

    if (span_is(path, "/__stats")) {
        buf_init(&b, 4096);
        journal_stats(s, &b);
        answer_buf(c, "application/json", &b);
        buf_fini(&b);
    } else if (span_is(path, "/__last")) {
        answer_buf(c, "application/octet-stream", &s->last_body);
    } else if (span_is(path, "/__last/head")) {
        answer_buf(c, "application/octet-stream", &s->last_head);
    } else {
        return false;
    }
    return true;
}

static void answer_model(struct conn *c, struct span id)
{
    char name[NAME_LEN_MAX];
    char body[NAME_LEN_MAX + 120];
    int n;

    copy_name(name, id);
    if (strncmp(name, "missing", 7) == 0) {
        refuse_model(c, name);
        return;
    }
    n = snprintf(body, sizeof(body),
                 "{\"id\":\"%s\",\"object\":\"model\",\"created\":1721172741,"
                 "\"owned_by\":\"fake\"}\n",
                 name);
    answer_plain(c, 200, "application/json", body, (size_t)n);
}

static void answer_get(struct conn *c)
{
    static const char one_model[] = "/v1/models/";
    struct span path = place_of(c, c->head.path);
    size_t n = sizeof(one_model) - 1;

    c->server->count.gets++;
    if (answer_inner(c, path) || !authorized(c))
        return;
    if (span_is(path, "/v1/models"))
        answer_plain(c, 200, "application/json", models, sizeof(models) - 1);
    else if (path.n > n && memcmp(path.p, one_model, n) == 0)
        answer_model(c, (struct span){path.p + n, path.n - n});
    else
        refuse(c, 404, "unknown_url", "Unknown request URL.");
}

static uint64_t hash(const char *s)
{
    uint64_t h = 14695981039346656037U;

    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * 1099511628211U;
    return h | 1;
}

/* times=N: after N requests with this id the failure is over. A full table forgets its oldest. */
static void count_times(struct server *s, struct plan *p)
{
    uint64_t key = hash(p->id);
    struct times_slot *slot = &s->times[key / 2 % TIMES_SLOTS];

    if (p->times < 0)
        return;
    if (slot->key != key)
        *slot = (struct times_slot){.key = key};
    if (slot->seen++ < (uint64_t)p->times)
        return;
    p->status = PLAN_NEVER;
    p->hang = PLAN_NEVER;
    p->cut = PLAN_NEVER;
    p->reset = PLAN_NEVER;
    p->error_event = PLAN_NEVER;
    p->bad_json = 0;
    p->html = 0;
}

static void decide_tokens(struct request *r, const struct scan *s)
{
    struct plan *p = &r->plan;
    int64_t content;

    r->finish = "stop";
    if (s->max_tokens >= 0 && s->max_tokens < p->tokens && !p->no_limit) {
        p->tokens = s->max_tokens;
        r->finish = "length";
    }
    if (p->tools > 0)
        r->tool_calls = p->tools;
    else if (p->tools < 0 && s->tools_allowed && !s->last_is_tool)
        r->tool_calls = 1;
    if (r->kind != KIND_CHAT)
        r->tool_calls = 0;
    if (r->tool_calls > 0) {
        r->finish = "tool_calls";
        r->choices = 1;
    }
    if (p->finish[0])
        r->finish = p->finish;
    content = r->tool_calls > 0 ? r->tool_calls * CHUNKS_PER_CALL : p->tokens * r->choices;
    r->reasoning = p->reasoning;
    r->prompt = p->prompt >= 0 ? p->prompt : s->estimate;
    r->cached = p->cached;
    if (r->kind != KIND_EMBEDDING)
        r->completion = p->completion >= 0 ? p->completion : content + p->reasoning;
}

static void take_scan(struct request *r, const struct scan *s)
{
    copy_name(r->user, s->user);
    copy_name(r->model, s->model);
    copy_name(r->tool, s->tool);
    if (!r->tool[0])
        copy_name(r->tool, (struct span){"get_weather", 11});
    r->stream = s->stream && r->kind != KIND_EMBEDDING;
    r->base64 = s->base64;
    r->inputs = s->inputs;
    r->dimensions = s->dimensions > 0 && s->dimensions <= DIMENSIONS_MAX ? s->dimensions : DIMENSIONS_DEFAULT;
    r->choices = s->n >= 1 && s->n <= CHOICES_MAX ? s->n : 1;
}

/* Returns false after answering with an error. */
static bool understood(struct conn *c, struct span body)
{
    struct request *r = c->request;
    char bad[PLAN_WORD_MAX] = "";
    struct scan s;

    if (!scan_body(body.p, body.n, &s)) {
        refuse(c, 400, NULL, "We could not parse the JSON body of your request.");
        return false;
    }
    take_scan(r, &s);
    if (!r->model[0]) {
        refuse(c, 400, "missing_required_parameter", "Missing required parameter: 'model'.");
    } else if (strncmp(r->model, "missing", 7) == 0) {
        refuse_model(c, r->model);
    } else if (r->kind == KIND_CHAT ? !s.has_messages : !s.has_input) {
        refuse(c, 400, "missing_required_parameter", "Missing required parameter.");
    } else if (!plan_read(&r->plan, s.said, bad)) {
        for (char *p = bad; *p; p++)
            *p = *p == '"' || *p == '\\' || *p < ' ' ? '?' : *p;
        refuse(c, 400, "bad_directive", bad);
    } else if (r->plan.images >= 0 && r->plan.images != s.images) {
        refuse(c, 400, "wrong_images", "The request does not carry that many images.");
    } else {
        count_times(c->server, &r->plan);
        r->include_usage = s.include_usage && !r->plan.no_usage;
        c->close_after = c->close_after || r->plan.close;
        decide_tokens(r, &s);
        return true;
    }
    return false;
}

static enum request_kind kind_of(struct span path)
{
    if (span_is(path, "/v1/chat/completions"))
        return KIND_CHAT;
    if (span_is(path, "/v1/completions"))
        return KIND_COMPLETION;
    if (span_is(path, "/v1/embeddings"))
        return KIND_EMBEDDING;
    return KIND_UNKNOWN;
}

static void begin_post(struct conn *c, struct span body)
{
    struct request *r = c->request;
    struct server *s = c->server;

    r->seq = ++s->count.requests;
    s->count.open_requests++;
    r->kind = kind_of(place_of(c, c->head.path));
    copy_name(r->id, place_of(c, c->head.client_request_id));
    buf_clear(&s->last_head, LAST_KEEP);
    buf_clear(&s->last_body, LAST_KEEP);
    buf_add(&s->last_head, c->in.p, c->head.head_n);
    buf_add(&s->last_body, body.p, body.n);
    if (!authorized(c))
        return;
    if (r->kind == KIND_UNKNOWN) {
        refuse(c, 404, "unknown_url", "Unknown request URL.");
        return;
    }
    if (!understood(c, body))
        return;
    if (r->plan.first_ms > 0)
        conn_timer(c, PHASE_FIRST, s->now_ms + (uint64_t)r->plan.first_ms);
    else
        request_act(c);
}

void request_begin(struct conn *c, struct span body)
{
    struct span method = place_of(c, c->head.method);
    struct request *r = calloc(1, sizeof(*r));

    c->state = CONN_BUSY;
    c->close_after = !c->head.keep_alive;
    c->request = r;
    if (!r) {
        c->gone = true;
        return;
    }
    r->plan = c->server->defaults;
    r->begun_ms = c->server->now_ms;
    if (span_is(method, "POST"))
        begin_post(c, body);
    else if (span_is(method, "GET"))
        answer_get(c);
    else
        refuse(c, 405, "method_not_supported", "Not allowed on this path.");
}

/* The error a plan orders, with the type and code OpenAI uses for its status. */
static void answer_ordered_error(struct conn *c)
{
    const struct plan *p = &c->request->plan;
    int status = (int)p->status;
    const char *type = "invalid_request_error";
    const char *code = NULL;
    char text[120];

    if (status == 429) {
        type = "requests";
        code = "rate_limit_exceeded";
    } else if (status == 503) {
        type = "service_unavailable_error";
        code = "server_is_overloaded";
    } else if (status >= 500) {
        type = "server_error";
    } else if (status == 404) {
        code = "model_not_found";
    } else if (status == 401) {
        code = "invalid_api_key";
    }
    snprintf(text, sizeof(text), "The fake upstream was told to answer %d.", status);
    if (strcmp(p->code, "context_length_exceeded") == 0)
        snprintf(text, sizeof(text),
                 "This model's maximum context length is 128000 tokens. However, your messages "
                 "resulted in 130512 tokens.");
    answer_error(c, status, p->type[0] ? p->type : type, p->code[0] ? p->code : code, text);
}

void request_act(struct conn *c)
{
    struct request *r = c->request;
    const struct plan *p = &r->plan;

    if (p->hang == PLAN_HEADERS) {
        r->hanging = true;
    } else if (p->cut == PLAN_HEADERS || p->reset == PLAN_HEADERS) {
        c->close_after = true;
        c->reset_after = p->reset == PLAN_HEADERS;
        conn_finish(c, c->reset_after ? OUTCOME_RESET : OUTCOME_CUT);
    } else if (p->status >= 300) {
        answer_ordered_error(c);
    } else if (r->stream && !p->html) {
        stream_begin(c);
    } else {
        answer_whole(c);
    }
}
