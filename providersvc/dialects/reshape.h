/*
 * One request body into another: the client's, which is checked, and upstream's, which is made. Every member of the
 * client's object has a row in a table, what has none is refused by name. Numbers stay text on the way, so that a
 * client's schemas and limits arrive as they were written; the new document borrows the strings of the old one.
 */
#ifndef PROVIDERSVC_DIALECTS_RESHAPE_H
#define PROVIDERSVC_DIALECTS_RESHAPE_H

#include "providersvc/dialects/checking.h"
#include "providersvc/dialects/making.h"

struct reshape {
    struct checking from;
    struct making to;
    yyjson_doc *doc; /* of the client's body */
};

/* What becomes of one member of the body, which may be null or of one of kinds (0 = any). */
struct reshape_field {
    const char *name;
    unsigned kinds;
    enum { FIELD_COPIED, FIELD_LEFT, FIELD_TAKEN, FIELD_KEPT, FIELD_NEUTRAL } what;
    enum status (*take)(void *ctx, yyjson_val *value);
    size_t place;
    bool (*harmless)(yyjson_val *value);
};

/* It goes upstream under its own name. */
#define COPIED(n, k)                                                                                                   \
    {                                                                                                                  \
        .name = (n), .kinds = (k), .what = FIELD_COPIED                                                                \
    }
/* It changes nothing there, or the call says it. */
#define LEFT(n, k)                                                                                                     \
    {                                                                                                                  \
        .name = (n), .kinds = (k), .what = FIELD_LEFT                                                                  \
    }
#define TAKEN(n, k, by)                                                                                                \
    {                                                                                                                  \
        .name = (n), .kinds = (k), .what = FIELD_TAKEN, .take = (by)                                                   \
    }
/* It is looked at later: its value is written to this place of ctx (a yyjson_val *). */
#define KEPT(n, k, at)                                                                                                 \
    {                                                                                                                  \
        .name = (n), .kinds = (k), .what = FIELD_KEPT, .place = (at)                                                   \
    }
/* Upstream has nothing like it: unsupported, unless the value asks for nothing. */
#define NEUTRAL(n, k, is)                                                                                              \
    {                                                                                                                  \
        .name = (n), .kinds = (k), .what = FIELD_NEUTRAL, .harmless = (is)                                             \
    }

/* upstream: what errors call it. ST_BAD_REQUEST: not an object; ST_NO_MEMORY. reshape_end must follow in any case. */
enum status reshape_begin(struct reshape *r, struct translate_call *call, struct slice body, const char *upstream,
                          struct err *err);
yyjson_val *reshape_body(const struct reshape *r); /* the client's object */
/* Goes through the body's members. A null counts as absent, a member given twice is refused. */
enum status reshape_fields(struct reshape *r, const struct reshape_field *fields, size_t n, void *ctx);
/* Frees everything. st: of the work so far; when it is ST_OK the new body is appended to out. */
enum status reshape_end(struct reshape *r, enum status st, struct buf *out);
/* Values that ask for nothing. */
bool is_false(yyjson_val *v);
bool is_true(yyjson_val *v);
bool is_zero(yyjson_val *v);
bool is_empty(yyjson_val *v); /* a container or a string */
bool is_text_only(yyjson_val *v); /* modalities: ["text"] */
/* Copies object's member key, if any, to the member name of `to`. */
enum status reshape_move(struct reshape *r, yyjson_val *object, const char *key, unsigned kinds, yyjson_mut_val *to,
                         const char *name);

#endif
