#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "gateway/answer.h"
#include "gateway/call.h"
#include "proto/tariff.h"

#define MS_PER_S 1000u
#define S_PER_M 60u
#define S_PER_H 3600u

void call_go_duration(uint64_t ms, char *to, size_t size)
{
    unsigned long long s = ms / MS_PER_S, part = ms % MS_PER_S;
    char seconds[40];

    if (ms > 0 && ms < MS_PER_S) {
        snprintf(to, size, "%llums", part);
        return;
    }
    if (part == 0)
        snprintf(seconds, sizeof(seconds), "%llus", s % S_PER_M);
    else if (part % 100 == 0)
        snprintf(seconds, sizeof(seconds), "%llu.%llus", s % S_PER_M, part / 100);
    else
        snprintf(seconds, sizeof(seconds), "%llu.%03llus", s % S_PER_M, part);
    if (s >= S_PER_H)
        snprintf(to, size, "%lluh%llum%s", s / S_PER_H, s % S_PER_H / S_PER_M, seconds);
    else if (s >= S_PER_M)
        snprintf(to, size, "%llum%s", s / S_PER_M, seconds);
    else
        snprintf(to, size, "%s", seconds);
}

static void limit_line(struct buf *out, const char *kind, const char *what, uint64_t n)
{
    buf_addc(out, "x-ratelimit-");
    buf_addc(out, kind);
    buf_addc(out, what);
    buf_addc(out, ": ");
    buf_addu(out, n);
    buf_addc(out, "\r\n");
}

/* Without a limit the largest number that the wire knows is shown: a zero would tell clients to stop. */
static void limit_lines(struct buf *out, const char *what, uint64_t limit, uint64_t remaining, uint64_t reset_ms)
{
    char reset[64];

    call_go_duration(limit ? reset_ms : 0, reset, sizeof(reset));
    limit_line(out, "limit-", what, limit ? limit : LIMIT_COUNT);
    limit_line(out, "remaining-", what, limit ? remaining : LIMIT_COUNT);
    buf_addc(out, "x-ratelimit-reset-");
    buf_addc(out, what);
    buf_addc(out, ": ");
    buf_addc(out, reset);
    buf_addc(out, "\r\n");
}

void call_limit_lines(const struct rate_limits *l, struct buf *out)
{
    if (!l->has)
        return;
    limit_lines(out, "requests", l->limit_requests, l->remaining_requests, l->reset_requests_ms);
    limit_lines(out, "tokens", l->limit_tokens, l->remaining_tokens, l->reset_tokens_ms);
}

/* What a batch costs, or a response in the background, is known when it is over. */
bool call_cost(const struct call *c, int64_t *ret_nano)
{
    struct token_prices prices;
    const struct call_route *route;
    struct token_counts tokens;

    if (c->surface->flags & SURFACE_BATCH || !c->has_result || c->result.parked ||
        c->result.route >= c->admitted.routes.n)
        return false;
    route = &c->admitted.routes.items[c->result.route];
    *ret_nano = 0;
    if (!route->price.n)
        return true;
    prices = tariff_prices(route->price.items);
    tokens = tariff_answer(&c->result);
    return money_cost(&prices, &tokens, ret_nano, NULL) == ST_OK;
}

/* What upstream sent and we say ourselves, or must not repeat. */
static bool ours(struct slice name)
{
    static const char *const names[] = {
        "content-type", "content-length", "transfer-encoding",    "connection",    "date",
        "server",       "set-cookie",     "x-request-id",         "request-id",    "openai-version",
        "retry-after",  "retry-after-ms", "openai-processing-ms", "cache-control", "x-content-type-options"};
    static const char prefix[] = "x-ratelimit-", router[] = "x-router-";
    size_t i;

    if (name.n >= sizeof(prefix) - 1 && !strncasecmp(name.p, prefix, sizeof(prefix) - 1))
        return true;
    if (name.n >= sizeof(router) - 1 && !strncasecmp(name.p, router, sizeof(router) - 1))
        return true;
    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (name.n == strlen(names[i]) && !strncasecmp(name.p, names[i], name.n))
            return true;
    return false;
}

/* A header line is only as safe as its bytes: nothing that could end it early. */
static bool fit_for_header(struct slice s, bool is_name)
{
    size_t i;

    for (i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c < ' ' || c == 0x7f || (is_name && (c == ':' || c == ' ')))
            return false;
    }
    return s.n > 0;
}

static void add_line(struct buf *out, const char *name, struct slice value)
{
    if (!fit_for_header(value, false))
        return;
    buf_addc(out, name);
    buf_addc(out, ": ");
    buf_add(out, value.p, value.n);
    buf_addc(out, "\r\n");
}

static bool upstream_lines(const struct response_head *head, struct buf *out)
{
    bool said_retry = false;
    size_t i;

    for (i = 0; i < head->headers.n; i++) {
        const struct http_header *h = &head->headers.items[i];

        if (ours(h->name) || !fit_for_header(h->name, true) || !fit_for_header(h->value, false))
            continue;
        said_retry |= slice_is(h->name, "x-should-retry");
        buf_addf(out, SLICE_FMT ": " SLICE_FMT "\r\n", SLICE_ARG(h->name), SLICE_ARG(h->value));
    }
    return said_retry;
}

void call_answer_lines(const struct call *c, struct buf *out)
{
    char cost[MONEY_TEXT_MAX];
    int64_t nano = 0;
    bool said_retry;

    call_limit_lines(&c->limits, out);
    add_line(out, "x-router-provider", c->head.provider);
    if (c->head.route < c->admitted.routes.n)
        add_line(out, "x-router-model", c->admitted.routes.items[c->head.route].upstream_model);
    add_line(out, "x-router-dropped", c->head.dropped);
    add_line(out, "x-router-instance", c->head.instance);
    buf_addf(out, "x-router-attempts: %llu\r\n", (unsigned long long)c->head.attempts);
    if (c->head.http_status == 200 && c->admitted.credit_limited)
        buf_addf(out, "x-router-output-limit: %llu; reason=credit\r\n", (unsigned long long)c->admitted.output_limit);
    if (c->head.http_status == 200 && call_cost(c, &nano)) {
        money_format_usd(nano, cost);
        buf_addf(out, "x-router-cost-usd: %s\r\n", cost);
    }
    said_retry = upstream_lines(&c->head, out);
    if (c->head.http_status >= 400) /* behind a gateway's error upstream may have worked, and billed */
        answer_retry(out, c->head.retry_after_ms, ANSWER_RETRY_MAX_MS,
                     !said_retry && (c->head.http_status == 502 || c->head.http_status == 504) ? 0 : -1);
}

/* ---- the client's ------------------------------------------------------------------------------------------------ */

enum { MAX_INPUT_TAG = 10, MAX_OUTPUT_TAG = 11 }; /* of admit_req */

static enum status bad_price(struct err *err, const char *why)
{
    return err_set_field(err, ST_BAD_REQUEST, "invalid_value", "x-router-max-price",
                         "Invalid header 'x-router-max-price': %s. Expected USD per 1,000,000 tokens, like "
                         "input=0.50,output=1.50.",
                         why);
}

static struct slice trim(struct slice s)
{
    while (s.n && (*s.p == ' ' || *s.p == '\t')) {
        s.p++;
        s.n--;
    }
    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

static enum status read_price_part(struct call *c, struct slice part, struct err *err)
{
    const char *equals = part.n ? memchr(part.p, '=', part.n) : NULL;
    struct slice name, value;
    unsigned tag;
    int64_t *to;

    if (!equals)
        return bad_price(err, "a part has no '='");
    name = trim((struct slice){part.p, (size_t)(equals - part.p)});
    value = trim((struct slice){equals + 1, part.n - (size_t)(equals + 1 - part.p)});
    if (slice_is(name, "input")) {
        tag = MAX_INPUT_TAG;
        to = &c->max_input_pico;
    } else if (slice_is(name, "output")) {
        tag = MAX_OUTPUT_TAG;
        to = &c->max_output_pico;
    } else {
        return bad_price(err, "there is only input and output");
    }
    if (c->max_price_has >> tag & 1u)
        return bad_price(err, "a part is given twice");
    if (money_parse_price(value, to, NULL) != ST_OK)
        return bad_price(err, "a price is no decimal number with 6 decimals at most");
    c->max_price_has |= UINT64_C(1) << tag;
    return ST_OK;
}

enum status call_read_max_price(struct call *c, struct err *err)
{
    struct slice left = c->r->max_price;
    enum status st = ST_OK;

    if (!left.p)
        return ST_OK;
    while (st == ST_OK) {
        const char *comma = left.n ? memchr(left.p, ',', left.n) : NULL;
        size_t n = comma ? (size_t)(comma - left.p) : left.n;

        st = read_price_part(c, (struct slice){left.p, n}, err);
        if (!comma)
            break;
        left = (struct slice){comma + 1, left.n - n - 1};
    }
    return st;
}
