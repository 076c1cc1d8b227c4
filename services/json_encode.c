#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proto/money.h"
#include "proto/utf8.h"
#include "services/json.h"
#include "services/json_field.h"

/* --- strings ---------------------------------------------------------------------------------------------------------
 */

/* How many bytes of the valid text at p need no escape. */
static size_t plain_span(const char *p, size_t n)
{
    size_t i = 0;

    while (i < n && (unsigned char)p[i] >= 0x20 && p[i] != '"' && p[i] != '\\')
        i++;
    return i;
}

static enum status add_escape(struct buf *out, unsigned char c)
{
    static const char hex[] = "0123456789abcdef", escaped[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
    const char *named = c ? strchr(escaped, c) : NULL;
    char text[6] = {'\\', 'u', '0', '0', hex[c >> 4 & 0xf], hex[c & 0xf]};

    if (!named)
        return buf_add(out, text, sizeof(text));
    text[1] = names[named - escaped];
    return buf_add(out, text, 2);
}

/* Adds what is valid text from the beginning of s on; *ret_n says how much that was. */
static enum status add_valid(struct buf *out, struct slice s, size_t *ret_n)
{
    size_t n = utf8_span(s.p, s.n), i = 0;
    enum status st = ST_OK;

    while (i < n && st == ST_OK) {
        size_t span = plain_span(s.p + i, n - i);

        st = buf_add(out, s.p + i, span);
        i += span;
        if (i < n && st == ST_OK)
            st = add_escape(out, (unsigned char)s.p[i++]);
    }
    *ret_n = n;
    return st;
}

enum status json_add_string(struct buf *out, struct slice s)
{
    enum status st = buf_add(out, "\"", 1);

    while (s.n > 0 && st == ST_OK) {
        size_t n = 0;

        st = add_valid(out, s, &n);
        s = (struct slice){s.p + n, s.n - n};
        if (s.n == 0 || st != ST_OK)
            break;
        st = s.p[0] == '\0' ? add_escape(out, 0) : buf_add(out, "\xef\xbf\xbd", 3);
        s = (struct slice){s.p + 1, s.n - 1};
    }
    return st == ST_OK ? buf_add(out, "\"", 1) : st;
}

/* --- messages --------------------------------------------------------------------------------------------------------
 */

static enum status add_u64(struct buf *out, uint64_t v, bool minus)
{
    char text[24];
    size_t i = sizeof(text);

    do {
        text[--i] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    if (minus)
        text[--i] = '-';
    return buf_add(out, text + i, sizeof(text) - i);
}

static enum status add_i64(struct buf *out, int64_t v)
{
    return add_u64(out, v < 0 ? UINT64_C(0) - (uint64_t)v : (uint64_t)v, v < 0);
}

static enum status add_amount(struct buf *out, const struct wire_field *f, int64_t v)
{
    char text[MONEY_TEXT_MAX + 2] = "\"";
    size_t n;

    if (f->kind == WIRE_NANO)
        money_format_usd(v, text + 1);
    else
        money_format_price(v, text + 1);
    n = strlen(text);
    text[n] = '"';
    return buf_add(out, text, n + 1);
}

static enum status add_strs(struct buf *out, const struct wire_strs *s)
{
    enum status st = buf_add(out, "[", 1);
    size_t i;

    for (i = 0; i < s->n && st == ST_OK; i++) {
        if (i > 0)
            st = buf_add(out, ",", 1);
        if (st == ST_OK)
            st = json_add_string(out, s->items[i]);
    }
    return st == ST_OK ? buf_add(out, "]", 1) : st;
}

static enum status add_object(struct buf *out, const struct wire_desc *desc, const void *msg);

static enum status add_list(struct buf *out, const struct wire_field *f, const struct wire_list *list)
{
    const char *items = list->items;
    enum status st;
    size_t i;

    if (json_field_single(f))
        return list->n > 0 ? add_object(out, f->item, items) : buf_add(out, "null", 4);
    st = buf_add(out, "[", 1);
    for (i = 0; i < list->n && st == ST_OK; i++) {
        if (i > 0)
            st = buf_add(out, ",", 1);
        if (st == ST_OK)
            st = add_object(out, f->item, items + i * f->item->size);
    }
    return st == ST_OK ? buf_add(out, "]", 1) : st;
}

static enum status add_value(struct buf *out, const struct wire_field *f, const void *p)
{
    switch ((enum wire_kind)f->kind) {
    case WIRE_BOOL: return *(const bool *)p ? buf_add(out, "true", 4) : buf_add(out, "false", 5);
    case WIRE_U64: return add_u64(out, *(const uint64_t *)p, false);
    case WIRE_I64: return add_i64(out, *(const int64_t *)p);
    case WIRE_NANO:
    case WIRE_PICO: return add_amount(out, f, *(const int64_t *)p);
    case WIRE_STR:
    case WIRE_SECRET: return json_add_string(out, *(const struct slice *)p);
    case WIRE_BIN: return ST_INTERNAL; /* never shown: add_object leaves it out */
    case WIRE_STRS:
    case WIRE_SECRETS: return add_strs(out, p);
    case WIRE_LIST: return add_list(out, f, p);
    }
    return ST_INTERNAL;
}

static bool absent_list(const struct wire_field *f, uint64_t has, const void *p)
{
    return f->kind == WIRE_LIST && !(has >> f->tag & 1u) && ((const struct wire_list *)p)->n == 0;
}

static bool shown(const struct wire_field *f, uint64_t has, const void *p)
{
    return json_field_public(f) && strcmp(f->name, "revision") != 0 && !absent_list(f, has, p);
}

/* A price that is not set is not a price of zero: another one stands in for it. */
static bool unset_price(const struct wire_field *f, uint64_t has, const void *p)
{
    return f->kind == WIRE_PICO && f->need == WIRE_OPT && !(has >> f->tag & 1u) && *(const int64_t *)p == 0;
}

enum status json_encode_member(const struct wire_field *f, const void *msg, struct buf *out)
{
    const void *p = (const char *)msg + f->offset;
    uint64_t has = *(const uint64_t *)msg; /* the first member of every message */
    char name[JSON_NAME_MAX];
    enum status st = json_add_string(out, json_field_name(f, name));

    if (st == ST_OK)
        st = buf_add(out, ":", 1);
    if (st != ST_OK)
        return st;
    return unset_price(f, has, p) ? buf_add(out, "null", 4) : add_value(out, f, p);
}

static enum status add_object(struct buf *out, const struct wire_desc *desc, const void *msg)
{
    uint64_t has = *(const uint64_t *)msg; /* the first member of every message */
    enum status st = buf_add(out, "{", 1);
    bool first = true;
    uint32_t i;

    for (i = 0; i < desc->n_fields && st == ST_OK; i++) {
        const struct wire_field *f = &desc->fields[i];

        if (!shown(f, has, (const char *)msg + f->offset))
            continue;
        if (!first)
            st = buf_add(out, ",", 1);
        first = false;
        if (st == ST_OK)
            st = json_encode_member(f, msg, out);
    }
    return st == ST_OK ? buf_add(out, "}", 1) : st;
}

enum status json_encode(const struct wire_desc *desc, const void *msg, struct buf *out)
{
    size_t before = out->n;
    enum status st = add_object(out, desc, msg);

    if (st != ST_OK)
        out->n = before;
    return st;
}
