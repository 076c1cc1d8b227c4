/*
 * answer: how an HTTP answer is written: status line, the headers that every answer has, error bodies as OpenAI and
 * (under /v1/messages) Anthropic have them, CORS. One write each.
 */
#ifndef GATEWAY_ANSWER_H
#define GATEWAY_ANSWER_H

#include "gateway/request.h"

#define ANSWER_RETRY_MAX_MS 60000u /* under /v1: longer waits make SDKs ignore the header or give up */
#define ANSWER_ERROR_MAX 8192u /* bytes of an error body */

/* An error of ours, as OpenAI says it. code and param: NULL = null. */
struct problem {
    int http;
    const char *type, *code, *param, *message;
    uint64_t retry_after_ms; /* 0 = do not say */
    int should_retry; /* 1 yes, 0 no, -1 do not say */
};

/* What a failure says to clients. The strings borrow from e. */
struct problem problem_of(const struct err *e);
/* Appends {"error":{…}}. */
enum status problem_body(const struct problem *p, struct buf *out);
enum status problem_member(const struct problem *p, struct buf *out); /* "error":{…} alone */
/* The same in Anthropic's words: their status and type, and {"type":"error","error":{"type","message"},"request_id"}.
 */
struct problem problem_anthropic(struct problem p);
enum status problem_body_anthropic(const struct problem *p, const char *request_id, struct buf *out);
/* In the words of the request's surface. */
enum status answer_problem_body(const struct request *r, const struct problem *p, struct buf *out);

/* Appends everything from the status line to the last header that does not depend on the route; the caller adds its own
 * and the empty line. length < 0: chunked, or until the connection closes for HTTP/1.0. type empty: no body at all. */
enum status answer_head(const struct request *r, struct buf *out, int http, struct slice type, int64_t length);
/* most_ms: a longer wait is said as this. */
enum status answer_retry(struct buf *out, uint64_t retry_after_ms, uint64_t most_ms, int should_retry);

/* Whole answers. extra: header lines with CRLF, or empty. Each sends at most one answer to a request and closes what
 * cannot go on. */
void answer_send(struct request *r, int http, const char *type, struct slice extra, struct slice body);
/* The same for what a client may keep and must ask about before each use; what it needs for that stands in extra. */
void answer_checked(struct request *r, int http, const char *type, struct slice extra, struct slice body);
void answer_json(struct request *r, int http, struct slice body);
void answer_nothing(struct request *r, int http); /* no body */
void answer_error(struct request *r, const struct err *e);
void answer_problem(struct request *r, const struct problem *p, struct slice extra);

/* A refusal outside of any request: straight to the socket, then the end of the connection. */
void answer_refusal(struct conn *c, int http, const char *message);

#define ANSWER_CORS_EXPOSED                                                                                            \
    "x-request-id, request-id, openai-processing-ms, openai-version, retry-after, retry-after-ms, x-should-retry, "    \
    "x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, "                         \
    "x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens, x-router-provider, "            \
    "x-router-model, x-router-attempts, x-router-cost-usd, x-router-instance, x-router-replayed, "                     \
    "x-router-original-request-id"

#endif
