#include "proto/status.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "proto/utf8.h"

struct outcome {
    const char *name;
    const char *type;
    const char *code;
    const char *text;
    int http;
    bool retry;
};

#define OUTCOME_ROW(status, number, http_status, may_retry, err_type, err_code, err_text)                              \
    [number] = {.name = #status,                                                                                       \
                .type = err_type,                                                                                      \
                .code = err_code,                                                                                      \
                .text = err_text,                                                                                      \
                .http = http_status,                                                                                   \
                .retry = may_retry},

static const struct outcome outcomes[] = {PROTO_STATUSES(OUTCOME_ROW)};
static const struct outcome unknown = {
    .name = "UNKNOWN", .type = "server_error", .code = "", .text = "The router made an error.", .http = 500};

/* Copies what fits and makes it text that the wire carries: a fault that cannot be encoded would be lost. */
static void put_text(char *to, size_t size, const char *from)
{
    size_t n = strnlen(from, size), i;

    if (n >= size) {
        for (n = size - 1; n > 0 && ((unsigned char)from[n] & 0xc0) == 0x80; n--)
            continue;
    }
    memcpy(to, from, n);
    to[n] = '\0';
    for (i = utf8_span(to, n); i < n; i += utf8_span(to + i, n - i))
        to[i++] = '?';
}

/* Arguments may point into e itself, so nothing of it is written before all is formatted. */
static void set(struct err *e, enum status st, const char *code, const char *param, const char *text)
{
    struct err made = {.status = st};

    put_text(made.code, sizeof(made.code), code ? code : "");
    put_text(made.param, sizeof(made.param), param ? param : "");
    put_text(made.text, sizeof(made.text), text);
    *e = made;
}

enum status err_set(struct err *e, enum status st, const char *format, ...)
{
    char text[ERR_TEXT_MAX + 4] = ""; /* longer than what is kept: put_text sees whether the cut splits a character */
    va_list args;

    if (!e)
        return st;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    set(e, st, NULL, NULL, text);
    return st;
}

enum status err_set_field(struct err *e, enum status st, const char *code, const char *param, const char *format, ...)
{
    char text[ERR_TEXT_MAX + 4] = "";
    va_list args;

    if (!e)
        return st;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    set(e, st, code, param, text);
    return st;
}

static const struct outcome *outcome(enum status st)
{
    return status_known((uint64_t)st) ? &outcomes[st] : &unknown;
}

bool status_known(uint64_t number)
{
    return number < sizeof(outcomes) / sizeof(outcomes[0]) && outcomes[number].name;
}

const char *status_name(enum status st)
{
    return outcome(st)->name;
}

int status_http(enum status st)
{
    return outcome(st)->http;
}

bool status_retry(enum status st)
{
    return outcome(st)->retry;
}

const char *status_type(enum status st)
{
    return outcome(st)->type;
}

const char *status_code(enum status st)
{
    return outcome(st)->code;
}

const char *status_text(enum status st)
{
    return outcome(st)->text;
}
