#include <endian.h>
#include <inttypes.h>
#include <string.h>

#include "proto/utf8.h"
#include "proto/wire.h"
#include "proto/wire_path.h"

/* What a msgpack value is, as far as its head tells. */
enum token_kind {
    TOKEN_CUT, /* the bytes end inside it */
    TOKEN_BAD, /* 0xc1, which msgpack never uses */
    TOKEN_NIL,
    TOKEN_BOOL,
    TOKEN_UINT,
    TOKEN_INT, /* written as signed */
    TOKEN_FLOAT,
    TOKEN_STR,
    TOKEN_BIN,
    TOKEN_EXT,
    TOKEN_ARRAY,
    TOKEN_MAP,
};

static const char *const token_names[] = {
    [TOKEN_CUT] = "the end of the bytes",
    [TOKEN_BAD] = "no msgpack",
    [TOKEN_NIL] = "nil",
    [TOKEN_BOOL] = "a boolean",
    [TOKEN_UINT] = "an integer",
    [TOKEN_INT] = "a signed integer",
    [TOKEN_FLOAT] = "a float",
    [TOKEN_STR] = "a string",
    [TOKEN_BIN] = "binary",
    [TOKEN_EXT] = "an extension",
    [TOKEN_ARRAY] = "an array",
    [TOKEN_MAP] = "a map",
};

/* Two registers wide, and meant to stay so: every value of every message passes through one. */
struct token {
    enum token_kind kind;
    uint64_t n; /* UINT: the value; INT: its two's complement; STR, BIN, EXT: bytes, which end at the cursor; ARRAY:
                   items; MAP: pairs; BOOL: 0 or 1 */
};

struct cursor {
    const uint8_t *p, *end;
    const struct wire_alloc *mem;
    struct err *err;
};

static inline size_t left(const struct cursor *c)
{
    return (size_t)(c->end - c->p);
}

/* Reads width bytes, most significant first. */
static inline bool take_number(struct cursor *c, size_t width, uint64_t *ret)
{
    uint16_t n16;
    uint32_t n32;

    if (left(c) < width)
        return false;
    switch (width) {
    case 1: *ret = *c->p; break;
    case 2:
        memcpy(&n16, c->p, sizeof(n16));
        *ret = be16toh(n16);
        break;
    case 4:
        memcpy(&n32, c->p, sizeof(n32));
        *ret = be32toh(n32);
        break;
    default:
        memcpy(ret, c->p, sizeof(*ret));
        *ret = be64toh(*ret);
        break;
    }
    c->p += width;
    return true;
}

static inline struct token token_of(enum token_kind kind, uint64_t n)
{
    return (struct token){.kind = kind, .n = n};
}

static inline struct token cut(void)
{
    return token_of(TOKEN_CUT, 0);
}

static inline struct token bytes_of(struct cursor *c, enum token_kind kind, uint64_t n)
{
    if (n > left(c))
        return cut();
    c->p += n;
    return token_of(kind, n);
}

/* A count on the wire is believed only as far as there are bytes left: every item takes one at least. */
static inline struct token items_of(const struct cursor *c, enum token_kind kind, uint64_t n)
{
    uint64_t fewest = kind == TOKEN_MAP ? 2 * n : n; /* n < 2^32 */

    return fewest > left(c) ? cut() : token_of(kind, n);
}

static struct token signed_of(struct cursor *c, size_t width)
{
    uint64_t n = 0;
    unsigned shift = (unsigned)(8 * (8 - width));

    if (!take_number(c, width, &n))
        return cut();
    return token_of(TOKEN_INT, (uint64_t)((int64_t)(n << shift) >> shift));
}

/* The heads that carry a length or number of their own. */
static struct token long_token(struct cursor *c, uint8_t head)
{
    static const uint8_t widths[] = {1, 2, 4, 8};
    uint64_t n = 0;

    switch (head) {
    case 0xc0: return token_of(TOKEN_NIL, 0);
    case 0xc2:
    case 0xc3: return token_of(TOKEN_BOOL, head & 1u);
    case 0xc4:
    case 0xc5:
    case 0xc6: return take_number(c, widths[head - 0xc4], &n) ? bytes_of(c, TOKEN_BIN, n) : cut();
    case 0xc7:
    case 0xc8:
    case 0xc9: return take_number(c, widths[head - 0xc7], &n) ? bytes_of(c, TOKEN_EXT, n + 1) : cut();
    case 0xca:
    case 0xcb: return take_number(c, widths[head - 0xc8], &n) ? token_of(TOKEN_FLOAT, 0) : cut();
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf: return take_number(c, widths[head - 0xcc], &n) ? token_of(TOKEN_UINT, n) : cut();
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3: return signed_of(c, widths[head - 0xd0]);
    case 0xd4:
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8: return bytes_of(c, TOKEN_EXT, (UINT64_C(1) << (head - 0xd4)) + 1);
    case 0xd9:
    case 0xda:
    case 0xdb: return take_number(c, widths[head - 0xd9], &n) ? bytes_of(c, TOKEN_STR, n) : cut();
    case 0xdc:
    case 0xdd: return take_number(c, widths[head - 0xdb], &n) ? items_of(c, TOKEN_ARRAY, n) : cut();
    case 0xde:
    case 0xdf: return take_number(c, widths[head - 0xdd], &n) ? items_of(c, TOKEN_MAP, n) : cut();
    default: return token_of(TOKEN_BAD, 0);
    }
}

static inline struct token take_token(struct cursor *c)
{
    uint8_t head;

    if (c->p == c->end)
        return cut();
    head = *c->p++;
    if (head < 0x80)
        return token_of(TOKEN_UINT, head);
    if (head >= 0xe0)
        return token_of(TOKEN_INT, (uint64_t)(int8_t)head);
    if (head >= 0xc0)
        return long_token(c, head);
    if (head >= 0xa0)
        return bytes_of(c, TOKEN_STR, head & 0x1fu);
    return items_of(c, head >= 0x90 ? TOKEN_ARRAY : TOKEN_MAP, head & 0x0fu);
}

/* Steps over one value of any kind; what is nested in it may be depth levels deep. */
static enum status skip_value(struct cursor *c, const struct wire_path *at, unsigned depth)
{
    struct token t = take_token(c);
    enum status st = ST_OK;

    if (t.kind == TOKEN_CUT || t.kind == TOKEN_BAD)
        return wire_fail(at, NULL, ST_BAD_MESSAGE, c->err, "an unknown field holds %s", token_names[t.kind]);
    if (t.kind != TOKEN_ARRAY && t.kind != TOKEN_MAP)
        return ST_OK;
    if (depth == 0)
        return wire_fail(at, NULL, ST_BAD_MESSAGE, c->err, "an unknown field is nested deeper than %d",
                         WIRE_SKIP_DEPTH_MAX);
    for (t.n = t.kind == TOKEN_MAP ? 2 * t.n : t.n; t.n > 0 && st == ST_OK; t.n--)
        st = skip_value(c, at, depth - 1);
    return st;
}

static enum status wrong_kind(const struct cursor *c, const struct wire_path *at, const struct wire_field *f,
                              const char *expected, struct token t)
{
    return wire_fail(at, f, ST_BAD_MESSAGE, c->err, "expected %s, got %s", expected, token_names[t.kind]);
}

static enum status decode_u64(struct cursor *c, const struct wire_path *at, const struct wire_field *f, uint64_t *to)
{
    struct token t = take_token(c);

    if (t.kind != TOKEN_UINT)
        return wrong_kind(c, at, f, "an unsigned integer", t);
    if (t.n > f->limit)
        return wire_fail(at, f, ST_BAD_MESSAGE, c->err, "%" PRIu64 " is more than %" PRIu64, t.n, f->limit);
    *to = t.n;
    return ST_OK;
}

static enum status decode_i64(struct cursor *c, const struct wire_path *at, const struct wire_field *f, int64_t *to)
{
    struct token t = take_token(c);
    uint64_t size = t.n;

    if (t.kind == TOKEN_INT)
        size = (int64_t)t.n < 0 ? UINT64_C(0) - t.n : t.n;
    else if (t.kind != TOKEN_UINT)
        return wrong_kind(c, at, f, "an integer", t);
    if (size > f->limit || (t.kind == TOKEN_UINT && size > INT64_MAX))
        return wire_fail(at, f, ST_BAD_MESSAGE, c->err, "a number beyond %" PRIu64, f->limit);
    *to = (int64_t)t.n;
    return ST_OK;
}

static enum status decode_slice(struct cursor *c, const struct wire_path *at, const struct wire_field *f,
                                struct slice *to)
{
    bool bin = f->kind == WIRE_BIN;
    struct token t = take_token(c);
    const char *p;

    if (t.kind != (bin ? TOKEN_BIN : TOKEN_STR))
        return wrong_kind(c, at, f, bin ? "binary" : "a string", t);
    if (t.n > f->limit)
        return wire_fail(at, f, ST_BAD_MESSAGE, c->err, "%" PRIu64 " bytes, at most %" PRIu64 " are allowed", t.n,
                         f->limit);
    p = (const char *)c->p - t.n;
    if (!bin && !utf8_valid(p, t.n))
        return wire_fail(at, f, ST_BAD_MESSAGE, c->err, "not UTF-8 text without NUL");
    *to = (struct slice){p, t.n};
    return ST_OK;
}

/* Reads the head of a list and makes room for its items, item_size bytes each, of which each takes item_wire bytes of
 * the message at least. */
static enum status open_list(struct cursor *c, const struct wire_path *at, const struct wire_field *f,
                             struct wire_list *to, size_t item_size, size_t item_wire)
{
    struct token t = take_token(c);

    if (t.kind != TOKEN_ARRAY)
        return wrong_kind(c, at, f, "an array", t);
    if (t.n > f->limit)
        return wire_fail(at, f, ST_BAD_MESSAGE, c->err, "%" PRIu64 " items, at most %" PRIu64 " are allowed", t.n,
                         f->limit);
    if (t.n * item_wire > left(c))
        return wrong_kind(c, at, f, "more items", cut());
    *to = (struct wire_list){NULL, t.n};
    if (t.n == 0)
        return ST_OK;
    if (!c->mem)
        return wire_fail(at, f, ST_BAD_MESSAGE, c->err, "a list where none is expected");
    to->items = c->mem->alloc(c->mem->ctx, t.n * item_size);
    if (!to->items)
        return wire_fail(at, f, ST_NO_MEMORY, c->err, "no memory for %" PRIu64 " items", t.n);
    return ST_OK;
}

static enum status decode_strs(struct cursor *c, const struct wire_path *at, const struct wire_field *f,
                               struct wire_strs *to)
{
    const struct wire_field item = {.name = f->name, .limit = wire_item_max(f), .kind = WIRE_STR};
    struct wire_list list = {NULL, 0};
    enum status st = open_list(c, at, f, &list, sizeof(struct slice), 1);
    struct slice *items;
    size_t i;

    if (st != ST_OK)
        return st;
    memcpy(&items, &list.items, sizeof(items)); /* ours until the caller sees it as const */
    for (i = 0; i < list.n && st == ST_OK; i++)
        st = decode_slice(c, at, &item, &items[i]);
    *to = (struct wire_strs){items, list.n};
    return st;
}

static enum status decode_message(struct cursor *c, const struct wire_path *at, void *msg);

/* The fewest bytes that a message without anything optional takes. */
static size_t wire_bytes_min(const struct wire_desc *desc)
{
    size_t bytes = 1;
    uint32_t i;

    for (i = 0; i < desc->n_fields; i++)
        bytes += desc->fields[i].need == WIRE_REQ ? 2 : 0;
    return bytes;
}

static enum status decode_list(struct cursor *c, const struct wire_path *at, const struct wire_field *f,
                               struct wire_list *to)
{
    struct wire_path item = {.up = at, .desc = f->item, .field = f, .depth = at->depth + 1};
    enum status st = open_list(c, at, f, to, f->item->size, wire_bytes_min(f->item));
    char *items;

    if (st != ST_OK)
        return st;
    memcpy(&items, &to->items, sizeof(items));
    for (; item.index < to->n && st == ST_OK; item.index++)
        st = decode_message(c, &item, items + item.index * f->item->size);
    return st;
}

static enum status decode_bool(struct cursor *c, const struct wire_path *at, const struct wire_field *f, bool *to)
{
    struct token t = take_token(c);

    if (t.kind != TOKEN_BOOL)
        return wrong_kind(c, at, f, "a boolean", t);
    *to = t.n != 0;
    return ST_OK;
}

static enum status decode_field(struct cursor *c, const struct wire_path *at, const struct wire_field *f, void *to)
{
    switch ((enum wire_kind)f->kind) {
    case WIRE_BOOL: return decode_bool(c, at, f, to);
    case WIRE_U64: return decode_u64(c, at, f, to);
    case WIRE_I64:
    case WIRE_NANO:
    case WIRE_PICO: return decode_i64(c, at, f, to);
    case WIRE_STR:
    case WIRE_SECRET:
    case WIRE_BIN: return decode_slice(c, at, f, to);
    case WIRE_STRS:
    case WIRE_SECRETS: return decode_strs(c, at, f, to);
    case WIRE_LIST: return decode_list(c, at, f, to);
    }
    return wire_fail(at, f, ST_INTERNAL, c->err, "kind %u is not declared", f->kind);
}

/* Senders write fields in the order of their tags, so the one after the last found is nearly always the one. */
static inline const struct wire_field *find_field(const struct wire_desc *desc, uint64_t tag, uint32_t *next)
{
    uint32_t i;

    if (*next < desc->n_fields && desc->fields[*next].tag == tag)
        return &desc->fields[(*next)++];
    for (i = 0; i < desc->n_fields; i++) {
        if (desc->fields[i].tag == tag) {
            *next = i + 1;
            return &desc->fields[i];
        }
    }
    return NULL;
}

static enum status check_all_there(const struct cursor *c, const struct wire_path *at, uint64_t has)
{
    uint32_t i;

    for (i = 0; i < at->desc->n_fields; i++) {
        const struct wire_field *f = &at->desc->fields[i];

        if (f->need == WIRE_REQ && !((has >> f->tag) & 1u))
            return wire_fail(at, f, ST_BAD_MESSAGE, c->err, "missing");
    }
    return ST_OK;
}

static enum status decode_message(struct cursor *c, const struct wire_path *at, void *msg)
{
    uint64_t seen = 0, *has = msg;
    uint32_t next = 0;
    struct token map;

    if (at->depth > WIRE_DEPTH_MAX)
        return wire_fail(at, NULL, ST_BAD_MESSAGE, c->err, "nested deeper than %d", WIRE_DEPTH_MAX);
    map = take_token(c);
    if (map.kind != TOKEN_MAP)
        return wrong_kind(c, at, NULL, "a map", map);
    for (; map.n > 0; map.n--) {
        const struct wire_field *f = NULL;
        struct token key = take_token(c);
        enum status st;

        if (key.kind != TOKEN_UINT || key.n == 0)
            return wrong_kind(c, at, NULL, "a positive tag", key);
        if (key.n <= WIRE_TAG_MAX) {
            uint64_t bit = UINT64_C(1) << key.n;

            if (seen & bit)
                return wire_fail(at, NULL, ST_BAD_MESSAGE, c->err, "tag %" PRIu64 " stands there twice", key.n);
            seen |= bit;
            f = find_field(at->desc, key.n, &next);
            *has |= f ? bit : 0;
        }
        st = f ? decode_field(c, at, f, (char *)msg + f->offset) : skip_value(c, at, WIRE_SKIP_DEPTH_MAX);
        if (st != ST_OK)
            return st;
    }
    return check_all_there(c, at, seen);
}

enum status wire_decode(const struct wire_desc *desc, const void *bytes, size_t n, void *msg,
                        const struct wire_alloc *mem, struct err *err)
{
    static const uint8_t nothing[1];
    const uint8_t *p = n > 0 ? bytes : nothing;
    struct cursor c = {p, p + n, mem, err};
    struct wire_path top = {.desc = desc, .depth = 1};
    enum status st;

    memset(msg, 0, desc->size);
    if (n > WIRE_MESSAGE_MAX)
        return wire_fail(&top, NULL, ST_BAD_MESSAGE, err, "%zu bytes, at most %u are allowed", n, WIRE_MESSAGE_MAX);
    st = decode_message(&c, &top, msg);
    if (st == ST_OK && c.p != c.end)
        st = wire_fail(&top, NULL, ST_BAD_MESSAGE, err, "%zu bytes after its end", left(&c));
    if (st != ST_OK)
        memset(msg, 0, desc->size); /* nobody shall work with half a message */
    return st;
}
