#include "gateway/answer.h"

#include <string.h>
#include <sys/uio.h>
#include <time.h>

#include "gateway/routes.h"
#include "services/clock.h"
#include "services/json.h"

#define NS_PER_MS 1000000u
#define BUSY_RETRY_MS 1000u /* after a 503 that does not say */

static const char *reason(int http)
{
    static const struct {
        int http;
        const char *text;
    } reasons[] = {
        {200, "OK"},
        {201, "Created"},
        {204, "No Content"},
        {302, "Found"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {402, "Payment Required"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {413, "Content Too Large"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {529, "Overloaded"},
    };
    size_t i;

    for (i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (reasons[i].http == http)
            return reasons[i].text;
    return "Other";
}

/* ---- errors ------------------------------------------------------------------------------------------------------ */

static int should_retry(const struct err *e, int http)
{
    bool limited = e->status == ST_RATE_REQUESTS || e->status == ST_RATE_TOKENS;

    if (http != 408 && http != 409 && http != 429 && http < 500)
        return -1; /* nobody repeats these */
    if (limited && !e->retry_after_ms)
        return 0; /* no waiting would help: this request can never fit */
    return status_retry(e->status) ? 1 : 0;
}

struct problem problem_of(const struct err *e)
{
    enum status st = e->status == ST_OK ? ST_INTERNAL : e->status;
    const char *code = e->code[0] ? e->code : status_code(st);
    int http = status_http(st);

    return (struct problem){.http = http,
                            .type = status_type(st),
                            .code = code[0] ? code : NULL,
                            .param = e->param[0] ? e->param : NULL,
                            .message = e->text[0] ? e->text : status_text(st),
                            .retry_after_ms = http == 503 && !e->retry_after_ms ? BUSY_RETRY_MS : e->retry_after_ms,
                            .should_retry = should_retry(e, http)};
}

static void add_member(struct buf *out, const char *name, const char *value)
{
    buf_addf(out, "\"%s\":", name);
    if (value)
        json_add_string(out, slice_of(value));
    else
        buf_addf(out, "null");
}

enum status problem_member(const struct problem *p, struct buf *out)
{
    buf_addf(out, "\"error\":{");
    add_member(out, "message", p->message);
    buf_addf(out, ",");
    add_member(out, "type", p->type);
    buf_addf(out, ",");
    add_member(out, "param", p->param);
    buf_addf(out, ",");
    add_member(out, "code", p->code);
    return buf_addf(out, "}");
}

enum status problem_body(const struct problem *p, struct buf *out)
{
    buf_addf(out, "{");
    problem_member(p, out);
    return buf_addf(out, "}");
}

/* Contract, section 4.5, read backwards. */
static const char *anthropic_type(int http)
{
    switch (http) {
    case 401: return "authentication_error";
    case 402: return "billing_error";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 409: return "conflict_error";
    case 413: return "request_too_large";
    case 429: return "rate_limit_error";
    case 504: return "timeout_error";
    case 529: return "overloaded_error";
    default: return http < 500 ? "invalid_request_error" : "api_error";
    }
}

struct problem problem_anthropic(struct problem p)
{
    if (!strcmp(p.type, status_type(ST_NO_FUNDS)))
        p.http = 402;
    else if (p.http == 503)
        p.http = 529;
    p.type = anthropic_type(p.http);
    return p;
}

enum status problem_body_anthropic(const struct problem *p, const char *request_id, struct buf *out)
{
    buf_addf(out, "{\"type\":\"error\",\"error\":{");
    add_member(out, "type", p->type);
    buf_addf(out, ",");
    add_member(out, "message", p->message);
    buf_addf(out, "},");
    add_member(out, "request_id", request_id);
    return buf_addf(out, "}");
}

enum status answer_problem_body(const struct request *r, const struct problem *p, struct buf *out)
{
    struct problem theirs;

    if (!r->anthropic)
        return problem_body(p, out);
    theirs = problem_anthropic(*p);
    return problem_body_anthropic(&theirs, r->id, out);
}

/* ---- the head ---------------------------------------------------------------------------------------------------- */

static void add_date(struct buf *out)
{
    char text[48];
    time_t now = time(NULL);
    struct tm tm;

    gmtime_r(&now, &tm);
    if (strftime(text, sizeof(text), "date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm))
        buf_addc(out, text);
}

static bool no_body(int http)
{
    return http == 204 || http == 304;
}

enum status answer_head(const struct request *r, struct buf *out, int http, struct slice type, int64_t length)
{
    uint64_t ms = (clock_ns() - r->began_ns) / NS_PER_MS;

    buf_addc(out, "HTTP/1.1 ");
    buf_addu(out, (uint64_t)http);
    buf_addc(out, " ");
    buf_addc(out, reason(http));
    buf_addc(out, "\r\n");
    add_date(out);
    if (type.n) {
        buf_addc(out, "content-type: ");
        buf_add(out, type.p, type.n);
        buf_addc(out, "\r\n");
    }
    if (length >= 0 && !no_body(http)) {
        buf_addc(out, "content-length: ");
        buf_addu(out, (uint64_t)length);
        buf_addc(out, "\r\n");
    } else if (length < 0 && !no_body(http) && !r->http10) { /* RFC 9112, section 6.1 */
        buf_addc(out, "transfer-encoding: chunked\r\n");
    }
    if (!r->keep_alive)
        buf_addf(out, "connection: close\r\n");
    else if (r->http10)
        buf_addf(out, "connection: keep-alive\r\n");
    if (r->origin.n)
        buf_addf(out, "access-control-allow-origin: *\r\naccess-control-expose-headers: " ANSWER_CORS_EXPOSED
                      "\r\nvary: origin\r\n");
    buf_addc(out, "x-request-id: ");
    buf_addc(out, r->id);
    if (r->anthropic) {
        buf_addc(out, "\r\nrequest-id: ");
        buf_addc(out, r->id);
    }
    buf_addc(out, "\r\nopenai-processing-ms: ");
    buf_addu(out, ms);
    return buf_addc(out, "\r\nopenai-version: 2020-10-01\r\nx-content-type-options: nosniff\r\n");
}

enum status answer_retry(struct buf *out, uint64_t ms, uint64_t most_ms, int should)
{
    if (ms > most_ms)
        ms = most_ms;
    if (ms)
        buf_addf(out, "retry-after: %llu\r\nretry-after-ms: %llu\r\n", (unsigned long long)((ms + 999) / 1000),
                 (unsigned long long)ms);
    if (should >= 0)
        buf_addf(out, "x-should-retry: %s\r\n", should ? "true" : "false");
    return ST_OK;
}

/* ---- whole answers ----------------------------------------------------------------------------------------------- */

/* The head up to the lines that its caller adds. false: nothing can be answered any more. */
static bool begin(struct request *r, int http, const char *type, size_t length)
{
    request_drop_body(r);
    r->status = http;
    if (r->quiet)
        return false;
    r->conn->out.n = 0;
    answer_head(r, &r->conn->out, http, slice_of(type), (int64_t)length);
    return true;
}

static void finish(struct request *r, struct slice extra, struct slice body)
{
    struct buf *out = &r->conn->out;
    struct iovec parts[2];
    int n = 1;

    buf_add(out, extra.p, extra.n);
    if (buf_add(out, "\r\n", 2) != ST_OK) {
        r->keep_alive = false;
        return;
    }
    parts[0] = (struct iovec){out->p, out->n};
    if (body.n && !r->head && !no_body(r->status)) {
        union {
            const char *in;
            void *out;
        } bytes = {.in = body.p};

        parts[n++] = (struct iovec){bytes.out, body.n}; /* sendmsg reads only */
    }
    r->sent_bytes = out->n + (n > 1 ? body.n : 0);
    if (!conn_write(r->conn, parts, n)) {
        r->keep_alive = false;
        r->quiet = true;
    }
}

void answer_send(struct request *r, int http, const char *type, struct slice extra, struct slice body)
{
    if (!begin(r, http, type, body.n))
        return;
    buf_addc(&r->conn->out, "cache-control: no-store\r\n");
    finish(r, extra, body);
}

void answer_checked(struct request *r, int http, const char *type, struct slice extra, struct slice body)
{
    if (!begin(r, http, type, body.n))
        return;
    buf_addc(&r->conn->out, "cache-control: no-cache\r\n");
    finish(r, extra, body);
}

void answer_json(struct request *r, int http, struct slice body)
{
    answer_send(r, http, "application/json", (struct slice){NULL, 0}, body);
}

void answer_nothing(struct request *r, int http)
{
    answer_send(r, http, "", (struct slice){NULL, 0}, (struct slice){NULL, 0});
}

void answer_problem(struct request *r, const struct problem *p, struct slice extra)
{
    bool for_sdks = r->route && r->route->who == ROUTE_KEY;
    uint64_t most_ms = for_sdks ? ANSWER_RETRY_MAX_MS : UINT64_MAX;
    struct buf body, lines;

    buf_init(&body, ANSWER_ERROR_MAX);
    buf_init(&lines, ANSWER_ERROR_MAX);
    buf_add(&lines, extra.p, extra.n);
    answer_retry(&lines, p->retry_after_ms, most_ms, p->should_retry);
    answer_problem_body(r, p, &body);
    answer_send(r, r->anthropic ? problem_anthropic(*p).http : p->http, "application/json",
                (struct slice){lines.p, lines.n}, (struct slice){body.p, body.n});
    buf_fini(&lines);
    buf_fini(&body);
}

void answer_error(struct request *r, const struct err *e)
{
    struct problem p = problem_of(e);

    if (e->status == ST_CANCELLED && request_slow(r))
        p = (struct problem){.http = 408,
                             .type = "invalid_request_error",
                             .code = "request_timeout",
                             .message = e->text,
                             .should_retry = 1};
    else if (e->status == ST_CANCELLED)
        r->quiet = true;
    answer_problem(r, &p, (struct slice){NULL, 0});
}

void answer_refusal(struct conn *c, int http, const char *message)
{
    char id[ID_TEXT_SIZE];
    struct problem p = {.http = http, .type = "invalid_request_error", .message = message};
    struct buf body, out;
    struct iovec part;

    p.code = http == 431 ? status_code(ST_HEADERS_TOO_LARGE) : NULL;
    p.type = http >= 500 ? "server_error" : p.type;
    id_request(id);
    buf_init(&body, ANSWER_ERROR_MAX);
    buf_init(&out, ANSWER_ERROR_MAX);
    problem_body(&p, &body);
    buf_addf(&out, "HTTP/1.1 %d %s\r\n", http, reason(http));
    add_date(&out);
    buf_addf(&out,
             "content-type: application/json\r\ncontent-length: %zu\r\nconnection: close\r\nx-request-id: %s\r\n"
             "x-content-type-options: nosniff\r\ncache-control: no-store\r\n\r\n",
             body.n, id);
    if (buf_add(&out, body.p, body.n) == ST_OK) {
        part = (struct iovec){out.p, out.n};
        conn_write(c, &part, 1);
    }
    buf_fini(&out);
    buf_fini(&body);
    conn_linger(c);
}
