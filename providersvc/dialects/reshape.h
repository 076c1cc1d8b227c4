/*
 * One request body into another, for translators between OpenAI's own two dialects: every member of the client's
 * object has a row in a table, what has none is refused by name, and an error says the path of what is wrong.
 *
 * Numbers stay text on the way, so that a client's schemas and limits arrive as they were written. The new document
 * borrows the strings of the old one. Memory that is missing is remembered and said once, by reshape_end.
 */
#ifndef PROVIDERSVC_DIALECTS_RESHAPE_H
#define PROVIDERSVC_DIALECTS_RESHAPE_H

#include <yyjson.h>

#include "providersvc/dialects/put.h"
#include "providersvc/dialects/translate.h"

/* What a member may be. */
enum {
    RESHAPE_STRING = 1,
    RESHAPE_NUMBER = 2,
    RESHAPE_BOOL = 4,
    RESHAPE_OBJECT = 8,
    RESHAPE_ARRAY = 16,
    RESHAPE_COUNT = 32, /* a whole number, not negative */
    RESHAPE_ANY = 63,
};

struct reshape {
    struct translate_call *call;
    struct err *err;
    const char *upstream; /* what errors call the other side */
    yyjson_doc *from;
    yyjson_mut_doc *to;
    yyjson_mut_val *root; /* of the new body */
    bool no_memory;
    size_t path_n;
    char path[ERR_PARAM_MAX]; /* of the object whose members are looked at; "" = the body */
};

/* One member of the body. With take it is taken by it; else with kinds it is copied under its own name; with kinds and
 * leave it is checked and left out. */
struct reshape_field {
    const char *name;
    unsigned kinds;
    bool leave;
    enum status (*take)(void *ctx, yyjson_val *value);
};

/* ST_BAD_REQUEST: not an object; ST_NO_MEMORY. reshape_end must follow in any case. */
enum status reshape_begin(struct reshape *r, struct translate_call *call, struct slice body, const char *upstream,
                          struct err *err);
/* Goes through the body's members. A null counts as absent, a member given twice is refused. */
enum status reshape_fields(struct reshape *r, const struct reshape_field *fields, size_t n, void *ctx);
/* Frees everything. st: of the work so far; when it is ST_OK the new body is appended to out. */
enum status reshape_end(struct reshape *r, enum status st, struct buf *out);
/* Appends one of the new values; ST_NO_MEMORY also where memory was missing before. */
enum status reshape_write(struct reshape *r, const yyjson_mut_val *v, struct buf *out);

/* Steps into a member or an item; reshape_leave with what it returned steps out. */
size_t reshape_enter(struct reshape *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
void reshape_leave(struct reshape *r, size_t mark);

/* Errors of the member key of where we are; key NULL = of where we are itself. All give ST_BAD_REQUEST, but that
 * reshape_unsupported gives ST_OK where such things are left out. */
enum status reshape_wrong_type(struct reshape *r, const char *key, const char *expected, yyjson_val *got);
enum status reshape_invalid(struct reshape *r, const char *key, const char *expected);
enum status reshape_missing(struct reshape *r, const char *key);
enum status reshape_unsupported(struct reshape *r, const char *key);
enum status reshape_unsupported_value(struct reshape *r, const char *key, yyjson_val *text); /* likewise */
/* What would change the call's meaning if it were left out, so never is. */
enum status reshape_refuse(struct reshape *r, const char *key, const char *why);

/* ST_OK when v is one of kinds. */
enum status reshape_check(struct reshape *r, const char *key, yyjson_val *v, unsigned kinds);
/* The member when it is there and not null, else NULL; or the error of its type. */
enum status reshape_get(struct reshape *r, yyjson_val *object, const char *key, unsigned kinds, yyjson_val **ret);
/* The same, but it must be there. */
enum status reshape_need(struct reshape *r, yyjson_val *object, const char *key, unsigned kinds, yyjson_val **ret);
/* Copies object's member key, if any, to the member name of `to`. */
enum status reshape_move(struct reshape *r, yyjson_val *object, const char *key, unsigned kinds, yyjson_mut_val *to,
                         const char *name);
bool reshape_count(yyjson_val *v, uint64_t *ret); /* of a whole number */
double reshape_number(yyjson_val *v); /* of any number; 0 of what is none */

/* New values. NULL (without memory) may be given on to reshape_add and reshape_append. */
yyjson_mut_val *reshape_object(struct reshape *r);
yyjson_mut_val *reshape_array(struct reshape *r);
yyjson_mut_val *reshape_text(struct reshape *r, yyjson_val *v); /* borrows */
yyjson_mut_val *reshape_string(struct reshape *r, const char *text); /* borrows */
yyjson_mut_val *reshape_slice(struct reshape *r, struct slice s); /* borrows */
yyjson_mut_val *reshape_copy(struct reshape *r, yyjson_val *v);
void reshape_add(struct reshape *r, yyjson_mut_val *object, const char *name, yyjson_mut_val *v);
void reshape_append(struct reshape *r, yyjson_mut_val *array, yyjson_mut_val *v);

enum status reshape_nonsense(struct err *err, const char *what); /* ST_UPSTREAM, of an answer */

#endif
