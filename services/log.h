/*
 * Structured logs: one JSON object a line on stderr, with the request's id through every service. One write(2) a line,
 * so lines of several threads and services do not mix. Strings are escaped; a line is cut at LOG_LINE_MAX.
 *   {"ts":"2026-11-23T09:45:00.123Z","level":"info","service":"gateway","instance":"…","req":"req_…","event":"call","status":200}
 * Levels: error = somebody must act, warn = degraded but coping, info = a state change, debug = off by default.
 */
#ifndef SERVICES_LOG_H
#define SERVICES_LOG_H

#include <stdint.h>

#include "proto/wire.h"

#define LOG_LINE_MAX 8192

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

struct log {
    const char *service;
    char instance[32];
    enum log_level level;
    int fd;
};

enum log_field_kind { LOG_FIELD_END, LOG_FIELD_SLICE, LOG_FIELD_I64, LOG_FIELD_BOOL };
struct log_field {
    const char *key;
    enum log_field_kind kind;
    struct slice s;
    int64_t i;
};

#define LOG_S(k, slice_value) ((struct log_field){.key = (k), .kind = LOG_FIELD_SLICE, .s = (slice_value)})
#define LOG_C(k, c_string) ((struct log_field){.key = (k), .kind = LOG_FIELD_SLICE, .s = slice_of(c_string)})
#define LOG_N(k, number) ((struct log_field){.key = (k), .kind = LOG_FIELD_I64, .i = (int64_t)(number)})
#define LOG_B(k, yes) ((struct log_field){.key = (k), .kind = LOG_FIELD_BOOL, .i = (yes)})

/* log_event(log, LOG_INFO, req, "call", LOG_N("status", 200), LOG_S("model", m)); at least one field; req may be
 * LOG_NO_REQ. */
#define log_event(log, level, req, event, ...)                                                                         \
    log_write(log, level, req, event, (const struct log_field[]){__VA_ARGS__, {.kind = LOG_FIELD_END}})
void log_write(const struct log *log, enum log_level level, struct slice req, const char *event,
               const struct log_field *fields);

#define LOG_NO_REQ ((struct slice){NULL, 0})

#endif
