#include "providersvc/dialects/reshape.h"

#include <assert.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "services/json.h"

#define FIELDS_MAX 64 /* rows of a table */
#define COUNT_DIGITS 18 /* of a whole number that surely fits */

enum status reshape_begin(struct reshape *r, struct translate_call *call, struct slice body, const char *upstream,
                          struct err *err)
{
    memset(r, 0, sizeof(*r));
    r->call = call;
    r->err = err;
    r->upstream = upstream;
    r->from = yyjson_read(body.p, body.n, YYJSON_READ_NUMBER_AS_RAW);
    if (!yyjson_is_obj(yyjson_doc_get_root(r->from)))
        return err_set(err, ST_BAD_REQUEST, "The request's body is not a JSON object.");
    r->to = yyjson_mut_doc_new(NULL);
    r->root = reshape_object(r);
    if (r->root == NULL)
        return err_set(err, ST_NO_MEMORY, "%s", status_text(ST_NO_MEMORY));
    yyjson_mut_doc_set_root(r->to, r->root);
    return ST_OK;
}

static enum status take_field(struct reshape *r, const struct reshape_field *f, yyjson_val *v, void *ctx)
{
    enum status st = f->kinds != 0 ? reshape_check(r, f->name, v, f->kinds) : ST_OK;

    if (st != ST_OK || f->leave)
        return st;
    if (f->take != NULL)
        return f->take(ctx, v);
    reshape_add(r, r->root, f->name, reshape_copy(r, v));
    return ST_OK;
}

enum status reshape_fields(struct reshape *r, const struct reshape_field *fields, size_t n, void *ctx)
{
    yyjson_val *key, *value;
    bool seen[FIELDS_MAX] = {false};
    enum status st = ST_OK;
    size_t i, m, k;

    assert(n <= FIELDS_MAX);
    yyjson_obj_foreach(yyjson_doc_get_root(r->from), i, m, key, value)
    {
        for (k = 0; k < n && !yyjson_equals_str(key, fields[k].name); k++)
            ;
        if (k < n && seen[k]) /* the gateway may have read the other one */
            return err_set_field(r->err, ST_BAD_REQUEST, "invalid_value", fields[k].name,
                                 "Parameter given more than once: '%s'.", fields[k].name);
        if (k < n)
            seen[k] = true;
        if (yyjson_is_null(value))
            continue;
        st = k < n ? take_field(r, &fields[k], value, ctx) : reshape_unsupported(r, yyjson_get_str(key));
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

enum status reshape_write(struct reshape *r, const yyjson_mut_val *v, struct buf *out)
{
    size_t n = 0;
    char *text = r->no_memory ? NULL : yyjson_mut_val_write(v, 0, &n);
    enum status st = text != NULL ? buf_add(out, text, n) : ST_NO_MEMORY;

    free(text);
    return st == ST_OK ? ST_OK : err_set(r->err, st, "%s", status_text(st));
}

enum status reshape_end(struct reshape *r, enum status st, struct buf *out)
{
    if (st == ST_OK)
        st = reshape_write(r, r->root, out);
    yyjson_mut_doc_free(r->to);
    yyjson_doc_free(r->from);
    r->to = NULL;
    r->from = NULL;
    return st;
}

/* ---- where we are, and what is wrong there -------------------------------------------------------------------------
 */

size_t reshape_enter(struct reshape *r, const char *format, ...)
{
    size_t mark = r->path_n, room;
    va_list args;
    int n;

    if (r->path_n > 0 && format[0] != '[' && r->path_n + 1 < sizeof(r->path))
        r->path[r->path_n++] = '.';
    room = sizeof(r->path) - r->path_n;
    va_start(args, format);
    n = vsnprintf(r->path + r->path_n, room, format, args);
    va_end(args);
    r->path_n += n > 0 && (size_t)n < room ? (size_t)n : room - 1;
    return mark;
}

void reshape_leave(struct reshape *r, size_t mark)
{
    r->path_n = mark;
    r->path[mark] = '\0';
}

/* The path of a member; cut where it is longer than an error can say. It may come to stand in a header: names that the
 * client made up lose what is special. */
static const char *path_of(struct reshape *r, const char *key, char to[ERR_PARAM_MAX])
{
    size_t n = r->path_n;

    memcpy(to, r->path, n);
    if (key != NULL && n > 0 && n + 1 < ERR_PARAM_MAX)
        to[n++] = '.';
    for (; key != NULL && *key != '\0' && n + 1 < ERR_PARAM_MAX; key++)
        to[n++] = isalnum((unsigned char)*key) || strchr("_-.[]", *key) != NULL ? *key : '?';
    to[n] = '\0';
    return to;
}

static const char *kind_of(yyjson_val *v)
{
    if (yyjson_is_null(v))
        return "null";
    if (yyjson_is_bool(v))
        return "a boolean";
    if (yyjson_is_raw(v))
        return "a number";
    if (yyjson_is_str(v))
        return "a string";
    return yyjson_is_arr(v) ? "an array" : "an object";
}

enum status reshape_wrong_type(struct reshape *r, const char *key, const char *expected, yyjson_val *got)
{
    char path[ERR_PARAM_MAX];

    path_of(r, key, path);
    return err_set_field(r->err, ST_BAD_REQUEST, "invalid_type", path,
                         "Invalid type for '%s': expected %s, but got %s instead.", path, expected, kind_of(got));
}

enum status reshape_invalid(struct reshape *r, const char *key, const char *expected)
{
    char path[ERR_PARAM_MAX];

    path_of(r, key, path);
    return err_set_field(r->err, ST_BAD_REQUEST, "invalid_value", path, "Invalid value for '%s': expected %s.", path,
                         expected);
}

enum status reshape_missing(struct reshape *r, const char *key)
{
    char path[ERR_PARAM_MAX];

    path_of(r, key, path);
    return err_set_field(r->err, ST_BAD_REQUEST, "missing_required_parameter", path,
                         "Missing required parameter: '%s'.", path);
}

enum status reshape_unsupported(struct reshape *r, const char *key)
{
    char path[ERR_PARAM_MAX];

    return translate_unsupported(r->call, path_of(r, key, path), r->upstream, r->err);
}

enum status reshape_unsupported_value(struct reshape *r, const char *key, yyjson_val *text)
{
    char path[ERR_PARAM_MAX];

    if (r->call->drop_unsupported)
        return reshape_unsupported(r, key);
    path_of(r, key, path);
    return err_set_field(r->err, ST_BAD_REQUEST, "unsupported_value", path,
                         "Unsupported value: '%s' is '%s', but %s has nothing like it. (With DROP_UNSUPPORTED=on the "
                         "router leaves such things out.)",
                         path, yyjson_get_str(text), r->upstream);
}

enum status reshape_refuse(struct reshape *r, const char *key, const char *why)
{
    char path[ERR_PARAM_MAX];

    path_of(r, key, path);
    return err_set_field(r->err, ST_BAD_REQUEST, "unsupported_parameter", path,
                         "Unsupported parameter: '%s' cannot be used with this model: %s.", path, why);
}

/* ---- members --------------------------------------------------------------------------------------------------------
 */

bool reshape_count(yyjson_val *v, uint64_t *ret)
{
    const char *p = yyjson_get_raw(v);
    size_t n = yyjson_get_len(v);
    uint64_t sum = 0;

    if (p == NULL || n == 0 || n > COUNT_DIGITS)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9')
            return false;
        sum = sum * 10 + (uint64_t)(p[i] - '0');
    }
    *ret = sum;
    return true;
}

double reshape_number(yyjson_val *v)
{
    const char *p = yyjson_get_raw(v);

    return p != NULL ? strtod(p, NULL) : 0;
}

static const char *name_of(unsigned kinds)
{
    switch (kinds) {
    case RESHAPE_STRING: return "a string";
    case RESHAPE_NUMBER: return "a number";
    case RESHAPE_COUNT: return "an integer that is not negative";
    case RESHAPE_BOOL: return "a boolean";
    case RESHAPE_OBJECT: return "an object";
    case RESHAPE_ARRAY: return "an array";
    case RESHAPE_STRING | RESHAPE_OBJECT: return "a string or an object";
    default: return "a string or an array";
    }
}

enum status reshape_check(struct reshape *r, const char *key, yyjson_val *v, unsigned kinds)
{
    uint64_t n;
    bool fits =
        ((kinds & RESHAPE_STRING) != 0 && yyjson_is_str(v)) || ((kinds & RESHAPE_NUMBER) != 0 && yyjson_is_raw(v)) ||
        ((kinds & RESHAPE_BOOL) != 0 && yyjson_is_bool(v)) || ((kinds & RESHAPE_OBJECT) != 0 && yyjson_is_obj(v)) ||
        ((kinds & RESHAPE_ARRAY) != 0 && yyjson_is_arr(v)) || ((kinds & RESHAPE_COUNT) != 0 && reshape_count(v, &n));

    return fits ? ST_OK : reshape_wrong_type(r, key, name_of(kinds), v);
}

enum status reshape_get(struct reshape *r, yyjson_val *object, const char *key, unsigned kinds, yyjson_val **ret)
{
    yyjson_val *v = yyjson_obj_get(object, key);

    *ret = NULL;
    if (v == NULL || yyjson_is_null(v))
        return ST_OK;
    *ret = v;
    return reshape_check(r, key, v, kinds);
}

enum status reshape_need(struct reshape *r, yyjson_val *object, const char *key, unsigned kinds, yyjson_val **ret)
{
    enum status st = reshape_get(r, object, key, kinds, ret);

    return st == ST_OK && *ret == NULL ? reshape_missing(r, key) : st;
}

enum status reshape_move(struct reshape *r, yyjson_val *object, const char *key, unsigned kinds, yyjson_mut_val *to,
                         const char *name)
{
    yyjson_val *v = NULL;
    enum status st = reshape_get(r, object, key, kinds, &v);

    if (st == ST_OK && v != NULL)
        reshape_add(r, to, name, reshape_copy(r, v));
    return st;
}

/* ---- new values -----------------------------------------------------------------------------------------------------
 */

static yyjson_mut_val *got(struct reshape *r, yyjson_mut_val *v)
{
    r->no_memory |= v == NULL;
    return v;
}

yyjson_mut_val *reshape_object(struct reshape *r)
{
    return got(r, yyjson_mut_obj(r->to));
}

yyjson_mut_val *reshape_array(struct reshape *r)
{
    return got(r, yyjson_mut_arr(r->to));
}

yyjson_mut_val *reshape_text(struct reshape *r, yyjson_val *v)
{
    return got(r, yyjson_mut_strn(r->to, yyjson_get_str(v), yyjson_get_len(v)));
}

yyjson_mut_val *reshape_string(struct reshape *r, const char *text)
{
    return got(r, yyjson_mut_str(r->to, text));
}

yyjson_mut_val *reshape_slice(struct reshape *r, struct slice s)
{
    return got(r, yyjson_mut_strn(r->to, s.p != NULL ? s.p : "", s.n));
}

yyjson_mut_val *reshape_copy(struct reshape *r, yyjson_val *v)
{
    return got(r, yyjson_is_str(v) ? reshape_text(r, v) : yyjson_val_mut_copy(r->to, v));
}

void reshape_add(struct reshape *r, yyjson_mut_val *object, const char *name, yyjson_mut_val *v)
{
    r->no_memory |= !yyjson_mut_obj_add_val(r->to, object, name, v);
}

void reshape_append(struct reshape *r, yyjson_mut_val *array, yyjson_mut_val *v)
{
    r->no_memory |= !yyjson_mut_arr_append(array, v);
}

enum status reshape_nonsense(struct err *err, const char *what)
{
    return err_set(err, ST_UPSTREAM, "The provider's answer makes no sense: %s.", what);
}
