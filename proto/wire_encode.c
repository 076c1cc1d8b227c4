#include <inttypes.h>
#include <string.h>

#include "proto/utf8.h"
#include "proto/wire.h"
#include "proto/wire_path.h"

/* The planning below has reserved the room; the check is the belt to that brace. */
static inline int append(struct buf *out, const void *bytes, size_t n)
{
    if (out->cap - out->n < n)
        return -1;
    memcpy(out->p + out->n, bytes, n);
    out->n += n;
    return 0;
}

/* msgpack-c's packer, made from its template so that it writes into our buffer without a call through a pointer for
 * every byte: msgpack_pack_uint64() and so on. The names are the library's own, because the template uses some itself.
 */
#define msgpack_pack_inline_func(name) static inline int msgpack_pack##name
#define msgpack_pack_user struct buf *
#define msgpack_pack_append_buffer(user, bytes, n) return append(user, bytes, n)
/* clang-format off */
#include <msgpack/pack_define.h>
#include <msgpack/timestamp.h>
#include <msgpack/pack_template.h>
/* clang-format on */

#define TAG_BYTES 1 /* tags are positive fixints */

struct encoder {
    struct buf *out;
    struct err *err;
};

/* What of a message is to be sent, found before the first byte is written: the map's head carries the count. */
struct plan {
    uint64_t send; /* bit per tag */
    uint32_t count;
    size_t bytes; /* exactly what that takes, without the items of lists */
};

/* --- how many bytes msgpack's shortest form takes ---------------------------------------------------------------- */

static inline size_t bytes_of_u64(uint64_t v)
{
    if (v < 0x80)
        return 1;
    if (v <= UINT8_MAX)
        return 2;
    if (v <= UINT16_MAX)
        return 3;
    return v <= UINT32_MAX ? 5 : 9;
}

static inline size_t bytes_of_i64(int64_t v)
{
    if (v >= 0)
        return bytes_of_u64((uint64_t)v);
    if (v >= -32)
        return 1;
    if (v >= INT8_MIN)
        return 2;
    if (v >= INT16_MIN)
        return 3;
    return v >= INT32_MIN ? 5 : 9;
}

static inline size_t bytes_of_text(size_t n)
{
    if (n < 32)
        return 1 + n;
    if (n <= UINT8_MAX)
        return 2 + n;
    return (n <= UINT16_MAX ? 3 : 5) + n;
}

static inline size_t bytes_of_bin(size_t n)
{
    if (n <= UINT8_MAX)
        return 2 + n;
    return (n <= UINT16_MAX ? 3 : 5) + n;
}

static inline size_t bytes_of_count(size_t n)
{
    if (n < 16)
        return 1;
    return n <= UINT16_MAX ? 3 : 5;
}

/* --- what to send ------------------------------------------------------------------------------------------------ */

static inline const void *member(const void *msg, const struct wire_field *f)
{
    return (const char *)msg + f->offset;
}

static uint64_t magnitude(int64_t v)
{
    return v < 0 ? UINT64_C(0) - (uint64_t)v : (uint64_t)v;
}

static enum status check_slice(struct encoder *e, const struct wire_path *at, const struct wire_field *f,
                               struct slice s)
{
    if (s.n > f->limit)
        return wire_fail(at, f, ST_BAD_MESSAGE, e->err, "%zu bytes, at most %" PRIu64 " are allowed", s.n, f->limit);
    if (s.n > 0 && !s.p)
        return wire_fail(at, f, ST_BAD_MESSAGE, e->err, "%zu bytes at no address", s.n);
    if (f->kind != WIRE_BIN && !utf8_valid(s.p, s.n))
        return wire_fail(at, f, ST_BAD_MESSAGE, e->err, "not UTF-8 text without NUL");
    return ST_OK;
}

static enum status check_strs(struct encoder *e, const struct wire_path *at, const struct wire_field *f,
                              const struct wire_strs *s, size_t *bytes)
{
    size_t i;

    if (s->n > f->limit)
        return wire_fail(at, f, ST_BAD_MESSAGE, e->err, "%zu items, at most %" PRIu64 " are allowed", s->n, f->limit);
    for (i = 0; i < s->n; i++) {
        if (s->items[i].n > wire_item_max(f))
            return wire_fail(at, f, ST_BAD_MESSAGE, e->err, "item %zu has %zu bytes, at most %zu are allowed", i,
                             s->items[i].n, wire_item_max(f));
        if (!utf8_valid(s->items[i].p, s->items[i].n))
            return wire_fail(at, f, ST_BAD_MESSAGE, e->err, "item %zu is not UTF-8 text without NUL", i);
        *bytes += bytes_of_text(s->items[i].n);
    }
    return ST_OK;
}

/* Is the member other than zero, does it keep to its declaration, and how many bytes may it take? */
static enum status weigh(struct encoder *e, const struct wire_path *at, const struct wire_field *f, const void *p,
                         bool *ret_set, size_t *bytes)
{
    const struct slice *s = p;
    const struct wire_list *list = p;

    switch ((enum wire_kind)f->kind) {
    case WIRE_BOOL:
        *ret_set = *(const bool *)p;
        *bytes += 1;
        return ST_OK;
    case WIRE_U64:
        *ret_set = *(const uint64_t *)p != 0;
        *bytes += bytes_of_u64(*(const uint64_t *)p);
        if (*(const uint64_t *)p > f->limit)
            return wire_fail(at, f, ST_BAD_MESSAGE, e->err, "%" PRIu64 " is more than %" PRIu64, *(const uint64_t *)p,
                             f->limit);
        return ST_OK;
    case WIRE_I64:
    case WIRE_NANO:
    case WIRE_PICO:
        *ret_set = *(const int64_t *)p != 0;
        *bytes += bytes_of_i64(*(const int64_t *)p);
        if (magnitude(*(const int64_t *)p) > f->limit)
            return wire_fail(at, f, ST_BAD_MESSAGE, e->err, "%" PRId64 " is beyond %" PRIu64, *(const int64_t *)p,
                             f->limit);
        return ST_OK;
    case WIRE_STR:
    case WIRE_SECRET:
    case WIRE_BIN:
        *ret_set = s->n > 0;
        *bytes += f->kind == WIRE_BIN ? bytes_of_bin(s->n) : bytes_of_text(s->n);
        return check_slice(e, at, f, *s);
    case WIRE_STRS:
    case WIRE_SECRETS:
        *ret_set = list->n > 0;
        *bytes += bytes_of_count(list->n);
        return check_strs(e, at, f, p, bytes);
    case WIRE_LIST:
        *ret_set = list->n > 0;
        *bytes += bytes_of_count(list->n);
        if (list->n > f->limit)
            return wire_fail(at, f, ST_BAD_MESSAGE, e->err, "%zu items, at most %" PRIu64 " are allowed", list->n,
                             f->limit);
        return ST_OK;
    }
    return wire_fail(at, f, ST_INTERNAL, e->err, "kind %u is not declared", f->kind);
}

static enum status plan_message(struct encoder *e, const struct wire_path *at, const void *msg, struct plan *ret)
{
    const struct wire_desc *desc = at->desc;
    uint64_t has = *(const uint64_t *)msg;
    struct plan plan = {0};
    uint32_t i;

    for (i = 0; i < desc->n_fields; i++) {
        const struct wire_field *f = &desc->fields[i];
        bool set = false;
        size_t bytes = TAG_BYTES;
        enum status st = weigh(e, at, f, member(msg, f), &set, &bytes);

        if (st != ST_OK)
            return st;
        if (!set && f->need != WIRE_REQ && !((has >> f->tag) & 1u))
            continue;
        plan.send |= UINT64_C(1) << f->tag;
        plan.count++;
        plan.bytes += bytes;
    }
    plan.bytes += bytes_of_count(plan.count);
    *ret = plan;
    return ST_OK;
}

/* --- sending it -------------------------------------------------------------------------------------------------- */

static inline int pack_slice(struct buf *out, struct slice s, bool bin)
{
    int bad = bin ? msgpack_pack_bin(out, s.n) : msgpack_pack_str(out, s.n);

    return s.n > 0 ? bad | append(out, s.p, s.n) : bad;
}

static int pack_strs(struct buf *out, const struct wire_strs *s)
{
    int bad = msgpack_pack_array(out, s->n);
    size_t i;

    for (i = 0; i < s->n; i++)
        bad |= pack_slice(out, s->items[i], false);
    return bad;
}

/* A field of any kind; of a list, its head only. */
static inline int pack_field(struct buf *out, const struct wire_field *f, const void *p)
{
    int bad = msgpack_pack_uint8(out, f->tag);

    switch ((enum wire_kind)f->kind) {
    case WIRE_BOOL: return bad | (*(const bool *)p ? msgpack_pack_true(out) : msgpack_pack_false(out));
    case WIRE_U64: return bad | msgpack_pack_uint64(out, *(const uint64_t *)p);
    case WIRE_I64:
    case WIRE_NANO:
    case WIRE_PICO: return bad | msgpack_pack_int64(out, *(const int64_t *)p);
    case WIRE_STR:
    case WIRE_SECRET: return bad | pack_slice(out, *(const struct slice *)p, false);
    case WIRE_BIN: return bad | pack_slice(out, *(const struct slice *)p, true);
    case WIRE_STRS:
    case WIRE_SECRETS: return bad | pack_strs(out, p);
    case WIRE_LIST: return bad | msgpack_pack_array(out, ((const struct wire_list *)p)->n);
    }
    return -1;
}

static enum status encode_message(struct encoder *e, const struct wire_path *at, const void *msg);

static enum status encode_items(struct encoder *e, const struct wire_path *at, const struct wire_field *f,
                                const struct wire_list *list)
{
    struct wire_path item = {.up = at, .desc = f->item, .field = f, .depth = at->depth + 1};
    const char *p = list->items;
    enum status st = ST_OK;

    for (; item.index < list->n && st == ST_OK; item.index++)
        st = encode_message(e, &item, p + item.index * f->item->size);
    return st;
}

/* Writes the planned fields. The items of a list make their own room, so what the rest takes is reserved anew after. */
static enum status encode_fields(struct encoder *e, const struct wire_path *at, const void *msg,
                                 const struct plan *plan)
{
    size_t start = e->out->n, own = plan->bytes;
    const struct wire_desc *desc = at->desc;
    uint32_t i;
    int bad;

    bad = msgpack_pack_map(e->out, plan->count);
    for (i = 0; i < desc->n_fields; i++) {
        const struct wire_field *f = &desc->fields[i];
        enum status st;

        if (!((plan->send >> f->tag) & 1u))
            continue;
        bad |= pack_field(e->out, f, member(msg, f));
        if (f->kind != WIRE_LIST)
            continue;
        own -= e->out->n - start;
        st = encode_items(e, at, f, member(msg, f));
        if (st != ST_OK)
            return st;
        start = e->out->n;
        st = buf_reserve(e->out, own);
        if (st != ST_OK)
            return wire_fail(at, f, st, e->err, "%s", status_text(st));
    }
    return bad ? wire_fail(at, NULL, ST_INTERNAL, e->err, "encoding was not possible") : ST_OK;
}

static enum status encode_message(struct encoder *e, const struct wire_path *at, const void *msg)
{
    struct plan plan;
    enum status st;

    if (at->depth > WIRE_DEPTH_MAX)
        return wire_fail(at, NULL, ST_BAD_MESSAGE, e->err, "nested deeper than %d", WIRE_DEPTH_MAX);
    st = plan_message(e, at, msg, &plan);
    if (st != ST_OK)
        return st;
    st = buf_reserve(e->out, plan.bytes);
    if (st != ST_OK)
        return wire_fail(at, NULL, st, e->err, "%s", status_text(st));
    return encode_fields(e, at, msg, &plan);
}

enum status wire_encode(const struct wire_desc *desc, const void *msg, struct buf *out, struct err *err)
{
    struct encoder e = {out, err};
    struct wire_path top = {.desc = desc, .depth = 1};
    size_t before = out->n;
    enum status st = encode_message(&e, &top, msg);

    if (st == ST_OK && out->n - before > WIRE_MESSAGE_MAX)
        st = wire_fail(&top, NULL, ST_TOO_LARGE, err, "%zu bytes, at most %u are allowed", out->n - before,
                       WIRE_MESSAGE_MAX);
    if (st != ST_OK)
        out->n = before;
    return st;
}
