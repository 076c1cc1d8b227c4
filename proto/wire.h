/*
 * The wire: how a declared message becomes a C struct, a descriptor table and msgpack bytes.
 *
 * A message is a macro list of fields (proto/messages.h). From the list come the struct, its descriptor, and through
 * the descriptor the one encoder, decoder, printer and JSON binding. wire_decode.c is the only code that reads msgpack.
 * On the wire a message is a msgpack map {tag: value}; tags are 1..63; unknown tags are skipped; an absent optional
 * field is zero. A decoded message borrows: its slices point into the bytes it was decoded from and its lists into
 * the arena; both must outlive it.
 */
#ifndef PROTO_WIRE_H
#define PROTO_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/status.h"

#define WIRE_TAG_MAX 63
#define WIRE_DEPTH_MAX 8 /* nesting of messages; deeper is refused */
#define WIRE_SKIP_DEPTH_MAX 16 /* nesting inside a field that we do not know */
#define WIRE_MESSAGE_MAX (24u * 1024u * 1024u) /* bytes of one encoded message */

/* Bytes that belong to somebody else. Not NUL-terminated. */
struct slice {
    const char *p;
    size_t n;
};

struct arena; /* services/arena.h; proto only passes it on through wire_alloc */

/* Memory for decoded lists. alloc returns zeroed memory, aligned for any type, or NULL. */
struct wire_alloc {
    void *(*alloc)(void *ctx, size_t size);
    void *ctx;
};

enum wire_kind {
    WIRE_BOOL, /* bool */
    WIRE_U64, /* uint64_t, at most limit */
    WIRE_I64, /* int64_t, at most limit in magnitude */
    WIRE_NANO, /* int64_t nano-USD; its name ends in _nano; in JSON a decimal string under the name …_usd */
    WIRE_PICO, /* int64_t pico-USD per token; its name ends in _pico; in JSON a decimal string, USD per 1,000,000
                  tokens, without the suffix */
    WIRE_STR, /* struct slice, UTF-8 without NUL, at most limit bytes */
    WIRE_SECRET, /* as WIRE_STR, but printed as *** in logs */
    WIRE_BIN, /* struct slice, any bytes, at most limit */
    WIRE_STRS, /* struct wire_strs: at most limit strings of at most WIRE_STRS_ITEM_MAX bytes */
    WIRE_LIST, /* {items, n}: at most limit messages of one declared type */
    WIRE_SECRETS, /* as WIRE_STRS with items of at most WIRE_SECRETS_ITEM_MAX bytes, each printed as *** in logs */
};

#define WIRE_STRS_ITEM_MAX 256
#define WIRE_SECRETS_ITEM_MAX 1024

struct wire_strs {
    const struct slice *items;
    size_t n;
};

/* The layout of every WIRE_LIST member: the typed ones that WIRE_STRUCT makes have exactly these two members. */
struct wire_list {
    const void *items;
    size_t n;
};

enum wire_need { WIRE_OPT, WIRE_REQ };

struct wire_field {
    const char *name;
    const char *doc;
    uint64_t limit;
    const struct wire_desc *item; /* of a WIRE_LIST */
    uint32_t offset;
    uint8_t tag;
    uint8_t kind; /* enum wire_kind */
    uint8_t need; /* enum wire_need */
};

struct wire_desc {
    const char *name; /* "admit_req" */
    const char *doc;
    const struct wire_field *fields; /* in rising order of tag */
    uint32_t n_fields;
    uint32_t size; /* of the struct */
    uint16_t type; /* its number on the bus */
};

/* --- struct and descriptor out of the list --------------------------------------------------------------------- */

#define WIRE_CTYPE_BOOL bool
#define WIRE_CTYPE_U64 uint64_t
#define WIRE_CTYPE_I64 int64_t
#define WIRE_CTYPE_NANO int64_t
#define WIRE_CTYPE_PICO int64_t
#define WIRE_CTYPE_STR struct slice
#define WIRE_CTYPE_SECRET struct slice
#define WIRE_CTYPE_BIN struct slice
#define WIRE_CTYPE_STRS struct wire_strs
#define WIRE_CTYPE_SECRETS struct wire_strs

/* F(m, tag, KIND, name, NEED, limit, doc): a field.  L(m, tag, item_message, name, limit, doc): an optional list of
 * messages. */
#define WIRE_MEMBER(m, tag, kind, name, need, limit, doc) WIRE_CTYPE_##kind name;
#define WIRE_MEMBER_LIST(m, tag, item_message, name, limit, doc)                                                       \
    struct {                                                                                                           \
        const struct item_message *items;                                                                              \
        size_t n;                                                                                                      \
    } name;

/* `has` has bit (1 << tag) for every field that was present when decoded, or that the sender wants sent though it is
 * zero. */
#define WIRE_STRUCT(LIST, m, type, doc)                                                                                \
    struct m {                                                                                                         \
        uint64_t has;                                                                                                  \
        LIST(WIRE_MEMBER, WIRE_MEMBER_LIST, m)                                                                         \
    };                                                                                                                 \
    extern const struct wire_desc m##_desc;

#define WIRE_FIELD(m, tag, kind, name, need, limit, doc)                                                               \
    {#name, doc, limit, NULL, (uint32_t)offsetof(struct m, name), tag, WIRE_##kind, WIRE_##need},
#define WIRE_FIELD_LIST(m, tag, item_message, name, limit, doc)                                                        \
    {#name, doc, limit, &item_message##_desc, (uint32_t)offsetof(struct m, name), tag, WIRE_LIST, WIRE_OPT},
#define WIRE_DESC(LIST, m, type, doc)                                                                                  \
    static const struct wire_field m##_fields[] = {LIST(WIRE_FIELD, WIRE_FIELD_LIST, m)};                              \
    const struct wire_desc m##_desc = {                                                                                \
        #m, doc, m##_fields, sizeof(m##_fields) / sizeof(m##_fields[0]), (uint32_t)sizeof(struct m), type};

/* --- growing output buffer with a ceiling ------------------------------------------------------------------------ */

/* Bytes being built. Owned by whoever called buf_init; never grows past max (ST_TOO_LARGE). */
struct buf {
    char *p;
    size_t n, cap, max;
};

void buf_init(struct buf *b, size_t max);
void buf_fini(struct buf *b); /* frees; the struct may be used again after buf_init */
enum status buf_add(struct buf *b, const void *p, size_t n); /* ST_TOO_LARGE past max, ST_NO_MEMORY */
enum status buf_addf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* For what every call writes, a tenth of buf_addf's cost: text, and a number in decimal. */
enum status buf_addc(struct buf *b, const char *text);
enum status buf_addu(struct buf *b, uint64_t number);
enum status buf_reserve(struct buf *b, size_t n); /* room for n more bytes at b->p + b->n */
void buf_consume(struct buf *b, size_t n); /* drops the first n bytes */

/* --- the codec ---------------------------------------------------------------------------------------------------- */

/* Appends the message at msg (a struct of desc) to out. ST_BAD_MESSAGE names the first field over its limit or missing.
 * An optional field is sent when it is not zero or its `has` bit is set; a required one always. */
enum status wire_encode(const struct wire_desc *desc, const void *msg, struct buf *out, struct err *err);

/* Decodes exactly n bytes into msg (zeroed first). Lists are allocated from mem (may be NULL if desc has none; then a
 * list is refused). No allocation is ever larger than the bytes that are there justify. ST_BAD_MESSAGE names the field.
 */
enum status wire_decode(const struct wire_desc *desc, const void *bytes, size_t n, void *msg,
                        const struct wire_alloc *mem, struct err *err);

/* Appends "name{field=value …}" for a log; secrets as ***, BIN as its length, at most max bytes are added. */
enum status wire_print(const struct wire_desc *desc, const void *msg, struct buf *out, size_t max);

/* Was the optional field with this tag there? */
#define WIRE_HAS(msg, tag) ((((msg)->has) >> (tag)) & 1u)
const struct wire_field *wire_field_named(const struct wire_desc *desc, struct slice name); /* NULL = no such field */
bool wire_field_zero(const struct wire_field *f, const void *msg); /* is that member of msg zero? */
size_t wire_item_max(const struct wire_field *f); /* bytes of one string of a WIRE_STRS or WIRE_SECRETS */

/* --- slices ------------------------------------------------------------------------------------------------------- */

struct slice slice_of(const char *text); /* of a C string; NULL gives an empty slice */
bool slice_is(struct slice s, const char *text);
bool slice_eq(struct slice a, struct slice b);
/* Copies with a closing NUL; false (and an empty string) when it does not fit or holds a NUL. */
bool slice_copy(struct slice s, char *to, size_t size);
#define SLICE_FMT "%.*s"
#define SLICE_ARG(s) (int)(s).n, (s).p ? (s).p : ""

#endif
