/*
 * Outcomes, declared once: what a call between services can end with, what the client of the HTTP API sees
 * of it, and whether a caller may try again.
 *
 * Nobody else invents error codes: a handler returns one of these and says the rest in struct err.
 * Types, codes and statuses follow OpenAI's API reference, "Error codes".
 */
#ifndef PROTO_STATUS_H
#define PROTO_STATUS_H

#include <stdbool.h>
#include <stdint.h>

/* clang-format off */
/* name, number on the wire, HTTP status, may the client retry, OpenAI "type", default "code" or "", default message */
#define PROTO_STATUSES(S)                                                                                              \
    S(OK,              0, 200, false, "",                          "",                      "ok")                      \
    S(BAD_MESSAGE,     1, 500, false, "server_error",              "bad_message",           "A message between services does not match its declaration.") \
    S(BAD_REQUEST,     2, 400, false, "invalid_request_error",     "",                      "The request is not valid.") \
    S(UNAUTHENTICATED, 3, 401, false, "invalid_request_error",     "invalid_api_key",       "Incorrect API key provided.") \
    S(FORBIDDEN,       4, 403, false, "invalid_request_error",     "permission_denied",     "You are not allowed to do this.") \
    S(NOT_FOUND,       5, 404, false, "invalid_request_error",     "",                      "There is no such object.") \
    S(METHOD,          6, 405, false, "invalid_request_error",     "method_not_supported",  "This method is not supported here.") \
    S(CONFLICT,        7, 409, false, "invalid_request_error",     "conflict",              "The request conflicts with what exists.") \
    S(TOO_LARGE,       8, 413, false, "invalid_request_error",     "request_too_large",     "The request is too large.") \
    S(HEADERS_TOO_LARGE, 9, 431, false, "invalid_request_error",   "headers_too_large",     "The request's header is too large.") \
    S(RATE_REQUESTS,  10, 429, true,  "requests",                  "rate_limit_exceeded",   "Rate limit reached on requests per minute.") \
    S(RATE_TOKENS,    11, 429, true,  "tokens",                    "rate_limit_exceeded",   "Rate limit reached on tokens per minute.") \
    S(RATE_CONCURRENT, 12, 429, true, "requests",                  "rate_limit_exceeded",   "Too many requests of this key are running at once.") \
    S(NO_FUNDS,       13, 429, false, "insufficient_quota",        "insufficient_quota",    "You exceeded your current credits.") \
    S(SLOW_DOWN,      14, 429, true,  "rate_limit_error",          "slow_down",             "Too many attempts. Try again later.") \
    S(INTERNAL,       15, 500, true,  "server_error",              "",                      "The router made an error.") \
    S(UPSTREAM,       16, 502, false, "server_error",              "upstream_error",        "The provider failed.") \
    S(UPSTREAM_CONNECT, 17, 502, true, "server_error",             "upstream_error",        "The provider could not be reached.") \
    S(PEER_LOST,      18, 502, false, "server_error",              "peer_lost",             "A part of the router was lost while it worked on the request.") \
    S(UNAVAILABLE,    19, 503, true,  "service_unavailable_error", "server_is_overloaded",  "The router cannot take the request now.") \
    S(NO_MEMORY,      20, 503, true,  "service_unavailable_error", "server_is_overloaded",  "The router has no memory left for the request.") \
    S(TIMEOUT,        21, 504, false, "server_error",              "upstream_timeout",      "The provider did not answer in time.") \
    S(CANCELLED,      22, 499, false, "server_error",              "client_closed_request", "The client went away.") \
    S(DRAINING,       23, 503, true,  "service_unavailable_error", "server_is_overloaded",  "This instance is shutting down.") \
    S(PENDING,        24, 500, false, "server_error",              "",                      "The answer comes later (never on the wire).")
/* clang-format on */

#define PROTO_STATUS_ENUM(name, number, http, retry, type, code, text) ST_##name = number,
enum status { PROTO_STATUSES(PROTO_STATUS_ENUM) };

#define ERR_CODE_MAX 64
#define ERR_PARAM_MAX 128
#define ERR_TEXT_MAX 512

/* Why a call failed. Plain data, no ownership: may be copied and thrown away. All zero = no error. */
struct err {
    enum status status;
    char code[ERR_CODE_MAX]; /* overrides the status' default code when not empty */
    char param[ERR_PARAM_MAX]; /* the field at fault, as a path like messages[0].role, or empty */
    char text[ERR_TEXT_MAX]; /* for a human; empty = the status' default text */
    uint64_t retry_after_ms; /* 0 = do not say */
};

/* Fills e (which may be NULL) from a printf format and returns st, so that `return err_set(...)` reads well. */
enum status err_set(struct err *e, enum status st, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The same, naming the code (NULL = the status' default) and the field at fault (NULL = none). */
enum status err_set_field(struct err *e, enum status st, const char *code, const char *param, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

const char *status_name(enum status st); /* "NO_FUNDS"; "UNKNOWN" for a number that is not declared */
int status_http(enum status st); /* 500 for a number that is not declared */
bool status_retry(enum status st); /* may the client send the same again? */
const char *status_type(enum status st); /* OpenAI's error.type */
const char *status_code(enum status st); /* default error.code, "" = null */
const char *status_text(enum status st); /* default error.message */
bool status_known(uint64_t number); /* is this a number that PROTO_STATUSES declares? */

#endif
