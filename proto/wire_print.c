#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proto/utf8.h"
#include "proto/wire.h"

static const char ellipsis[] = "...";

struct printer {
    struct buf *out;
    size_t room; /* bytes that may still be added */
    bool full;
    enum status st;
};

static void put(struct printer *pr, const char *p, size_t n)
{
    if (pr->full || pr->st != ST_OK)
        return;
    if (n > pr->room) {
        n = pr->room;
        pr->full = true;
    }
    pr->st = buf_add(pr->out, p, n);
    pr->room -= n;
}

static void put_text(struct printer *pr, const char *text)
{
    put(pr, text, strlen(text));
}

static void putf(struct printer *pr, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void putf(struct printer *pr, const char *format, ...)
{
    char text[64]; /* numbers only */
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    put_text(pr, text);
}

/* How many bytes at p a terminal may see as they are: text without quotes, backslashes and control characters. */
static size_t harmless_span(const char *text, size_t n)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t valid = utf8_span(text, n), i;

    for (i = 0; i < valid; i++) {
        bool c1 = p[i] == 0xc2 && p[i + 1] < 0xa0; /* U+0080 to U+009F */

        if (p[i] < 0x20 || p[i] == 0x7f || p[i] == '"' || p[i] == '\\' || c1)
            return i;
    }
    return valid;
}

static void put_quoted(struct printer *pr, struct slice s)
{
    put_text(pr, "\"");
    while (s.n > 0 && !pr->full && pr->st == ST_OK) {
        size_t n = harmless_span(s.p, s.n);

        if (n > 0) {
            put(pr, s.p, n);
        } else {
            n = 1;
            putf(pr, "\\x%02x", (unsigned)(unsigned char)s.p[0]);
        }
        s = (struct slice){s.p + n, s.n - n};
    }
    put_text(pr, "\"");
}

static void put_strs(struct printer *pr, const struct wire_strs *s)
{
    size_t i;

    put_text(pr, "[");
    for (i = 0; i < s->n && !pr->full; i++) {
        if (i > 0)
            put_text(pr, " ");
        put_quoted(pr, s->items[i]);
    }
    put_text(pr, "]");
}

static void put_message(struct printer *pr, const struct wire_desc *desc, const void *msg);

static void put_list(struct printer *pr, const struct wire_field *f, const struct wire_list *list)
{
    const char *items = list->items;
    size_t i;

    put_text(pr, "[");
    for (i = 0; i < list->n && !pr->full; i++) {
        if (i > 0)
            put_text(pr, " ");
        put_message(pr, f->item, items + i * f->item->size);
    }
    put_text(pr, "]");
}

static void put_value(struct printer *pr, const struct wire_field *f, const void *p)
{
    switch ((enum wire_kind)f->kind) {
    case WIRE_BOOL: put_text(pr, *(const bool *)p ? "true" : "false"); return;
    case WIRE_U64: putf(pr, "%" PRIu64, *(const uint64_t *)p); return;
    case WIRE_I64:
    case WIRE_NANO:
    case WIRE_PICO: putf(pr, "%" PRId64, *(const int64_t *)p); return;
    case WIRE_STR: put_quoted(pr, *(const struct slice *)p); return;
    case WIRE_SECRET:
    case WIRE_SECRETS: put_text(pr, "***"); return;
    case WIRE_BIN: putf(pr, "<%zu bytes>", ((const struct slice *)p)->n); return;
    case WIRE_STRS: put_strs(pr, p); return;
    case WIRE_LIST: put_list(pr, f, p); return;
    }
}

/* Shows what wire_encode would send. */
static void put_message(struct printer *pr, const struct wire_desc *desc, const void *msg)
{
    uint64_t has = *(const uint64_t *)msg;
    bool first = true;
    uint32_t i;

    put_text(pr, desc->name);
    put_text(pr, "{");
    for (i = 0; i < desc->n_fields && !pr->full; i++) {
        const struct wire_field *f = &desc->fields[i];

        if (f->need != WIRE_REQ && !((has >> f->tag) & 1u) && wire_field_zero(f, msg))
            continue;
        if (!first)
            put_text(pr, " ");
        first = false;
        put_text(pr, f->name);
        put_text(pr, "=");
        put_value(pr, f, (const char *)msg + f->offset);
    }
    put_text(pr, "}");
}

enum status wire_print(const struct wire_desc *desc, const void *msg, struct buf *out, size_t max)
{
    struct printer pr = {.out = out, .room = max, .st = ST_OK};
    size_t before = out->n, dots = sizeof(ellipsis) - 1;

    put_message(&pr, desc, msg);
    if (pr.st != ST_OK) {
        out->n = before;
        return pr.st;
    }
    if (pr.full && out->n - before >= dots)
        memcpy(out->p + out->n - dots, ellipsis, dots);
    return ST_OK;
}
