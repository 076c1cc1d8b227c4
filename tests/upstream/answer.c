/* Whole answers: response heads, errors, completions and embeddings in one body. */
#include "server.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ANSWER_MAX ((size_t)1 << 30)
#define SLOW_PIECES 10
#define SLOW_DELAY_MS 20

static const char html_page[] = "<!DOCTYPE html>\n<html><head><title>fake upstream</title></head>"
                                "<body><h1>This is not JSON</h1></body></html>\n";

static const char *reason_of(int status)
{
    switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 429: return "Too Many Requests";
    case 500: return "Internal Server Error";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    default: return "Status";
    }
}

/* Everything of a head but its last lines: the caller adds the length and the empty line. */
void answer_head(struct conn *c, struct buf *b, int status, const char *content_type)
{
    const struct request *r = c->request;

    buf_fmt(b, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\n", status, reason_of(status), content_type);
    if (c->close_after)
        buf_str(b, "Connection: close\r\n");
    else if (c->head.minor == 0)
        buf_str(b, "Connection: keep-alive\r\n");
    if (!r)
        return;
    buf_fmt(b,
            "x-request-id: req_up%016" PRIx64 "\r\nopenai-processing-ms: %" PRIu64 "\r\nopenai-version: 2020-10-01\r\n",
            r->seq, c->server->now_ms - r->begun_ms);
    if (status >= 400 && r->plan.retry_after >= 0)
        buf_fmt(b, "retry-after: %" PRId64 "\r\n", r->plan.retry_after);
    if (status >= 400 && r->plan.retry_after_ms >= 0)
        buf_fmt(b, "retry-after-ms: %" PRId64 "\r\n", r->plan.retry_after_ms);
    if (r->plan.headers)
        buf_str(b, "openai-organization: org-upstream\r\nserver: fake\r\nvia: 1.1 fake\r\n"
                   "set-cookie: __cf_bm=upstream; path=/; HttpOnly\r\ncf-ray: 0123456789-LIM\r\n"
                   "x-ratelimit-limit-requests: 5000\r\nx-ratelimit-remaining-requests: 4999\r\n"
                   "x-ratelimit-reset-requests: 12ms\r\nx-ratelimit-limit-tokens: 160000\r\n"
                   "x-ratelimit-remaining-tokens: 159000\r\nx-ratelimit-reset-tokens: 6m0s\r\n");
}

/* Sends the head and the first part of a body whose length is announced whole. */
static void send_part(struct conn *c, int status, const char *type, struct span body, size_t part)
{
    struct buf b;

    buf_init(&b, ANSWER_MAX);
    if (c->request)
        c->request->status = status;
    answer_head(c, &b, status, type);
    buf_fmt(&b, "Content-Length: %zu\r\n\r\n", body.n);
    buf_add(&b, body.p, part);
    if (b.failed)
        c->gone = true;
    else
        conn_send(c, b.p, b.n);
    buf_fini(&b);
}

void answer_plain(struct conn *c, int status, const char *content_type, const char *p, size_t n)
{
    send_part(c, status, content_type, (struct span){p, n}, n);
    conn_finish(c, status < 300 ? OUTCOME_OK : OUTCOME_ERROR);
}

/* An error in OpenAI's shape; code NULL = null. */
void answer_error(struct conn *c, int status, const char *type, const char *code, const char *message)
{
    char body[1024];
    int n =
        snprintf(body, sizeof(body), "{\"error\":{\"message\":\"%s\",\"type\":\"%s\",\"param\":null,\"code\":%s%s%s}}",
                 message, type, code ? "\"" : "", code ? code : "null", code ? "\"" : "");

    if (c->request && c->request->plan.html)
        answer_plain(c, status, "text/html", html_page, sizeof(html_page) - 1);
    else
        answer_plain(c, status, "application/json", body, (size_t)n < sizeof(body) ? (size_t)n : sizeof(body) - 1);
}

/* The members of usage, as `"usage":{…}`; nothing where the plan leaves it out. */
void answer_usage(const struct request *r, struct buf *b)
{
    buf_fmt(b, "\"usage\":{\"prompt_tokens\":%" PRId64, r->prompt);
    if (r->kind != KIND_EMBEDDING)
        buf_fmt(b, ",\"completion_tokens\":%" PRId64, r->completion);
    buf_fmt(b, ",\"total_tokens\":%" PRId64, r->prompt + r->completion);
    if (r->kind == KIND_CHAT) {
        buf_fmt(b, ",\"prompt_tokens_details\":{\"cached_tokens\":%" PRId64 ",\"audio_tokens\":%" PRId64, r->cached,
                r->plan.audio_in);
        if (r->plan.image_in > 0)
            buf_fmt(b, ",\"image_tokens\":%" PRId64, r->plan.image_in);
        if (r->plan.cache_write > 0)
            buf_fmt(b, ",\"cache_write_tokens\":%" PRId64, r->plan.cache_write);
        buf_fmt(b,
                "},\"completion_tokens_details\":{\"reasoning_tokens\":%" PRId64 ",\"audio_tokens\":%" PRId64
                ",\"accepted_prediction_tokens\":0,"
                "\"rejected_prediction_tokens\":0",
                r->reasoning, r->plan.audio_out);
        if (r->plan.image_out > 0)
            buf_fmt(b, ",\"image_tokens\":%" PRId64, r->plan.image_out);
        buf_str(b, "}");
    }
    buf_str(b, "}");
}

/* The arguments of tool call number `call`: always 15 bytes. */
void answer_arguments(int64_t call, char ret[16])
{
    snprintf(ret, 16, "{\"city\":\"%s\"}", call % 2 == 0 ? "Lima" : "Oslo");
}

static void add_words(struct buf *b, int64_t n)
{
    for (int64_t i = 0; i < n && !b->failed; i++)
        buf_fmt(b, i == 0 ? "t%" PRId64 : " t%" PRId64, i);
}

static void add_tool_calls(const struct request *r, struct buf *b)
{
    buf_str(b, "null,\"refusal\":null,\"tool_calls\":[");
    for (int64_t i = 0; i < r->tool_calls; i++) {
        buf_fmt(b,
                "%s{\"id\":\"call_up%" PRIu64 "x%" PRId64 "\",\"type\":\"function\",\"function\":{\"name\":\"%s\","
                "\"arguments\":\"{\\\"city\\\":\\\"%s\\\"}\"}}",
                i > 0 ? "," : "", r->seq, i, r->tool, i % 2 == 0 ? "Lima" : "Oslo");
    }
    buf_str(b, "]");
}

static void add_choice(const struct request *r, struct buf *b, int64_t index)
{
    buf_fmt(b, "%s{\"index\":%" PRId64 ",", index > 0 ? "," : "", index);
    if (r->kind == KIND_COMPLETION) {
        buf_str(b, "\"text\":\"");
        add_words(b, r->plan.tokens);
        buf_str(b, "\"");
    } else {
        buf_str(b, "\"message\":{\"role\":\"assistant\",\"content\":");
        if (r->tool_calls > 0) {
            add_tool_calls(r, b);
        } else {
            buf_str(b, "\"");
            add_words(b, r->plan.tokens);
            buf_str(b, "\",\"refusal\":null");
        }
        buf_str(b, ",\"annotations\":[]}");
    }
    buf_fmt(b, ",\"logprobs\":null,\"finish_reason\":\"%s\"}", r->finish);
}

static void add_completion(const struct request *r, struct buf *b)
{
    bool chat = r->kind == KIND_CHAT;

    buf_fmt(b,
            "{\"id\":\"%s-up%016" PRIx64 "\",\"object\":\"%s\",\"created\":1795400000,"
            "\"model\":\"%s\",\"choices\":[",
            chat ? "chatcmpl" : "cmpl", r->seq, chat ? "chat.completion" : "text_completion", r->model);
    for (int64_t i = 0; i < r->choices; i++)
        add_choice(r, b, i);
    buf_str(b, "]");
    if (!r->plan.no_usage) {
        buf_str(b, ",");
        answer_usage(r, b);
    }
    if (chat)
        buf_fmt(b, ",\"service_tier\":\"%s\"", r->plan.tier[0] ? r->plan.tier : "default");
    buf_str(b, "}\n");
}

static float embedding_value(int64_t text, int64_t i)
{
    return (float)((text * 7 + i * 37 + 64) % 512 - 256) / 256.0F;
}

static void add_base64(struct buf *b, const unsigned char *p, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < n; i += 3) {
        unsigned v = (unsigned)p[i] << 16;
        char four[4];

        v |= i + 1 < n ? (unsigned)p[i + 1] << 8 : 0;
        v |= i + 2 < n ? p[i + 2] : 0;
        four[0] = digits[v >> 18];
        four[1] = digits[v >> 12 & 63];
        four[2] = i + 1 < n ? digits[v >> 6 & 63] : '=';
        four[3] = i + 2 < n ? digits[v & 63] : '=';
        buf_add(b, four, sizeof(four));
    }
}

static void add_vector(const struct request *r, struct buf *b, int64_t text)
{
    struct buf bytes;

    if (!r->base64) {
        for (int64_t i = 0; i < r->dimensions; i++)
            buf_fmt(b, "%s%.9g", i == 0 ? "[" : ",", (double)embedding_value(text, i));
        buf_str(b, "]");
        return;
    }
    buf_init(&bytes, (size_t)r->dimensions * 4);
    for (int64_t i = 0; i < r->dimensions; i++) {
        float f = embedding_value(text, i);

        buf_add(&bytes, &f, sizeof(f)); /* little-endian, as all machines we build for */
    }
    buf_str(b, "\"");
    add_base64(b, (const unsigned char *)bytes.p, bytes.n);
    buf_str(b, "\"");
    buf_fini(&bytes);
}

static void add_embeddings(const struct request *r, struct buf *b)
{
    buf_str(b, "{\"object\":\"list\",\"data\":[");
    for (int64_t i = 0; i < r->inputs && !b->failed; i++) {
        buf_fmt(b, "%s{\"object\":\"embedding\",\"index\":%" PRId64 ",\"embedding\":", i > 0 ? "," : "", i);
        add_vector(r, b, i);
        buf_str(b, "}");
    }
    buf_fmt(b, "],\"model\":\"%s\"", r->model);
    if (!r->plan.no_usage) {
        buf_str(b, ",");
        answer_usage(r, b);
    }
    buf_str(b, "}\n");
}

/* The body leaves in pieces, on the timer. */
static void begin_pieces(struct conn *c, struct buf *body)
{
    struct request *r = c->request;

    r->held = *body;
    buf_init(body, 0);
    send_part(c, 200, "application/json", (struct span){r->held.p, r->held.n}, 0);
    r->due_ms = c->server->now_ms;
    answer_piece(c);
}

void answer_piece(struct conn *c)
{
    struct request *r = c->request;
    size_t piece = r->held.n / SLOW_PIECES + 1;
    size_t left = r->held.n - r->pieces_at;

    if (piece > left)
        piece = left;
    conn_send(c, r->held.p + r->pieces_at, piece);
    r->pieces_at += piece;
    if (r->pieces_at == r->held.n) {
        conn_finish(c, OUTCOME_OK);
        return;
    }
    r->due_ms += (uint64_t)(r->plan.delay_ms > 0 ? r->plan.delay_ms : SLOW_DELAY_MS);
    conn_timer(c, PHASE_PIECES, r->due_ms);
}

/* Half of the body, then the connection ends or stays silent. */
static void send_half(struct conn *c, const struct buf *body)
{
    const struct plan *p = &c->request->plan;

    send_part(c, 200, "application/json", (struct span){body->p, body->n}, body->n / 2);
    if (p->hang == PLAN_STREAM) {
        c->request->hanging = true;
        return;
    }
    c->close_after = true;
    c->reset_after = p->cut < 0;
    conn_finish(c, p->cut < 0 ? OUTCOME_RESET : OUTCOME_CUT);
}

void answer_whole(struct conn *c)
{
    struct request *r = c->request;
    struct buf body;

    buf_init(&body, ANSWER_MAX);
    if (r->kind == KIND_EMBEDDING)
        add_embeddings(r, &body);
    else
        add_completion(r, &body);
    if (r->plan.bad_json && body.n > 20)
        body.n = body.n - 20;
    if (body.failed)
        c->gone = true;
    else if (r->plan.html)
        answer_plain(c, 200, "text/html", html_page, sizeof(html_page) - 1);
    else if (r->plan.cut >= 0 || r->plan.reset >= 0 || r->plan.hang == PLAN_STREAM)
        send_half(c, &body);
    else if (r->plan.slow_body)
        begin_pieces(c, &body);
    else
        answer_plain(c, 200, "application/json", body.p, body.n);
    buf_fini(&body);
}
