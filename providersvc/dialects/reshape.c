#include "providersvc/dialects/reshape.h"

#include <assert.h>
#include <string.h>

#define FIELDS_MAX 64 /* rows of a table */

enum status reshape_begin(struct reshape *r, struct translate_call *call, struct slice body, const char *upstream,
                          struct err *err)
{
    *r = (struct reshape){.from = {.call = call, .err = err, .upstream = upstream},
                          .doc = yyjson_read(body.p, body.n, YYJSON_READ_NUMBER_AS_RAW)};
    making_begin(&r->to);
    if (!yyjson_is_obj(reshape_body(r)))
        return err_set(err, ST_BAD_REQUEST, "The body of the request must be a JSON object.");
    return r->to.lost ? translate_no_memory(err) : ST_OK;
}

yyjson_val *reshape_body(const struct reshape *r)
{
    return yyjson_doc_get_root(r->doc);
}

static enum status take_field(struct reshape *r, const struct reshape_field *f, yyjson_val *v, void *ctx)
{
    enum status st = f->kinds != 0 ? check_is(&r->from, f->name, v, f->kinds) : ST_OK;

    if (st != ST_OK)
        return st;
    switch (f->what) {
    case FIELD_LEFT: break;
    case FIELD_TAKEN: return f->take(ctx, v);
    case FIELD_COPIED: making_put_value(&r->to, r->to.root, f->name, v); break;
    case FIELD_KEPT: memcpy((char *)ctx + f->place, &v, sizeof(v)); break;
    case FIELD_NEUTRAL: return f->harmless(v) ? ST_OK : check_unsupported(&r->from, f->name);
    }
    return ST_OK;
}

enum status reshape_fields(struct reshape *r, const struct reshape_field *fields, size_t n, void *ctx)
{
    yyjson_val *key, *value;
    bool seen[FIELDS_MAX] = {false};
    enum status st = ST_OK;
    size_t i, m, k;

    assert(n <= FIELDS_MAX);
    yyjson_obj_foreach(reshape_body(r), i, m, key, value)
    {
        for (k = 0; k < n && !yyjson_equals_str(key, fields[k].name); k++)
            ;
        if (k < n && seen[k]) /* the gateway may have read the other one */
            return check_invalid(&r->from, fields[k].name, "to be given once");
        if (k < n)
            seen[k] = true;
        if (yyjson_is_null(value))
            continue;
        st = k < n ? take_field(r, &fields[k], value, ctx) : check_unknown(&r->from, key);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

enum status reshape_move(struct reshape *r, yyjson_val *object, const char *key, unsigned kinds, yyjson_mut_val *to,
                         const char *name)
{
    yyjson_val *v = NULL;
    enum status st = check_get(&r->from, object, key, kinds, &v);

    if (st == ST_OK && v != NULL)
        making_put_value(&r->to, to, name, v);
    return st;
}

/* ---- values that ask for nothing ----------------------------------------------------------------------------------
 */

bool is_false(yyjson_val *v)
{
    return yyjson_is_false(v);
}

bool is_true(yyjson_val *v)
{
    return yyjson_is_true(v);
}

bool is_zero(yyjson_val *v)
{
    yyjson_val number;

    return check_number_of(v, &number) && !(yyjson_get_num(&number) < 0) && !(yyjson_get_num(&number) > 0);
}

bool is_empty(yyjson_val *v)
{
    return (yyjson_is_ctn(v) || yyjson_is_str(v)) && yyjson_get_len(v) == 0;
}

bool is_text_only(yyjson_val *v)
{
    return yyjson_arr_size(v) == 1 && yyjson_equals_str(yyjson_arr_get_first(v), "text");
}

enum status reshape_end(struct reshape *r, enum status st, struct buf *out)
{
    if (st == ST_OK)
        st = making_write(&r->to, NULL, out, r->from.err);
    making_end(&r->to);
    yyjson_doc_free(r->doc);
    r->doc = NULL;
    return st;
}
