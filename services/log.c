#include "services/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOG_TAIL 4 /* room kept for the closing brace, the newline and a cut string's quote */

struct line {
    char p[LOG_LINE_MAX];
    size_t n;
};

static void put(struct line *l, const char *p, size_t n)
{
    size_t room = sizeof(l->p) - LOG_TAIL - l->n;

    if (n > room)
        n = room;
    memcpy(l->p + l->n, p, n);
    l->n += n;
}

static void putf(struct line *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void putf(struct line *l, const char *format, ...)
{
    char text[128];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (n > 0)
        put(l, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

static void put_text(struct line *l, const char *text)
{
    put(l, text, strlen(text));
}

#define LOG_DIGITS_MAX 20 /* of a 64-bit number */

/* At least `width` digits. A call's line has a dozen numbers: printf would be a third of its cost. */
static void put_number(struct line *l, uint64_t n, size_t width)
{
    char text[LOG_DIGITS_MAX];
    size_t at = sizeof(text);

    do {
        text[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n || sizeof(text) - at < width);
    put(l, text + at, sizeof(text) - at);
}

static void put_signed(struct line *l, int64_t n)
{
    if (n < 0)
        put(l, "-", 1);
    put_number(l, n < 0 ? 0 - (uint64_t)n : (uint64_t)n, 1);
}

/* Names and messages come from outside: control bytes are escaped, bytes that are not ASCII pass as they are. */
static void put_string(struct line *l, struct slice s)
{
    size_t i, from = 0;

    put(l, "\"", 1);
    for (i = 0; i < s.n && sizeof(l->p) - LOG_TAIL - l->n > 8; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f)
            continue;
        put(l, s.p + from, i - from);
        from = i + 1;
        if (c == '"' || c == '\\')
            putf(l, "\\%c", c);
        else
            putf(l, "\\u%04x", c);
    }
    if (i > from)
        put(l, s.p + from, i - from);
    if (l->n < sizeof(l->p) - LOG_TAIL)
        put(l, "\"", 1);
    else
        l->p[l->n++] = '"';
}

static void put_time(struct line *l)
{
    struct timespec now;
    struct tm utc;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    put_text(l, "{\"ts\":\"");
    put_number(l, (uint64_t)utc.tm_year + 1900, 4);
    put(l, "-", 1);
    put_number(l, (uint64_t)utc.tm_mon + 1, 2);
    put(l, "-", 1);
    put_number(l, (uint64_t)utc.tm_mday, 2);
    put(l, "T", 1);
    put_number(l, (uint64_t)utc.tm_hour, 2);
    put(l, ":", 1);
    put_number(l, (uint64_t)utc.tm_min, 2);
    put(l, ":", 1);
    put_number(l, (uint64_t)utc.tm_sec, 2);
    put(l, ".", 1);
    put_number(l, (uint64_t)now.tv_nsec / 1000000, 3);
    put_text(l, "Z\"");
}

void log_write(const struct log *log, enum log_level level, struct slice req, const char *event,
               const struct log_field *fields)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    struct line l;
    const struct log_field *f;
    ssize_t ignored;

    if (level > log->level)
        return;
    l.n = 0;
    put_time(&l);
    put_text(&l, ",\"level\":\"");
    put_text(&l, names[level]);
    put_text(&l, "\",\"service\":\"");
    put_text(&l, log->service);
    put_text(&l, "\",\"instance\":\"");
    put_text(&l, log->instance);
    put(&l, "\"", 1);
    if (req.n) {
        put(&l, ",\"req\":", 7);
        put_string(&l, req);
    }
    put(&l, ",\"event\":", 9);
    put_string(&l, slice_of(event));
    for (f = fields; f->kind != LOG_FIELD_END && sizeof(l.p) - LOG_TAIL - l.n > 64; f++) {
        put(&l, ",\"", 2);
        put_text(&l, f->key);
        put(&l, "\":", 2);
        if (f->kind == LOG_FIELD_SLICE)
            put_string(&l, f->s);
        else if (f->kind == LOG_FIELD_I64)
            put_signed(&l, f->i);
        else
            put_text(&l, f->i ? "true" : "false");
    }
    l.p[l.n++] = '}';
    l.p[l.n++] = '\n';
    ignored = write(log->fd, l.p, l.n); /* a log that cannot be written has nowhere to complain */
    (void)ignored;
}
