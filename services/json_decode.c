#include <inttypes.h>
#include <stdint.h>
#include <string.h>

#include <yyjson.h>

#include "services/json.h"
#include "services/json_field.h"

/* Is no array or object nested deeper than that? Looks at brackets outside of strings only, in one pass, before the
 * parser spends memory on them. */
static bool shallow(struct slice text, size_t depth_max)
{
    size_t depth = 0, i;
    bool in_string = false;

    for (i = 0; i < text.n; i++) {
        char c = text.p[i];

        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > depth_max)
                return false;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return true;
}

static struct slice str_of(yyjson_val *v)
{
    return (struct slice){yyjson_get_str(v), yyjson_get_len(v)};
}

static const char *type_name(yyjson_val *v)
{
    switch (yyjson_get_type(v)) {
    case YYJSON_TYPE_NULL: return "null";
    case YYJSON_TYPE_BOOL: return "a boolean";
    case YYJSON_TYPE_RAW:
    case YYJSON_TYPE_NUM: return "a number";
    case YYJSON_TYPE_STR: return "a string";
    case YYJSON_TYPE_ARR: return "an array";
    case YYJSON_TYPE_OBJ: return "an object";
    default: return "nothing";
    }
}

static enum status decode_strs(const struct json_at *at, const struct wire_field *f, yyjson_val *v, void *msg)
{
    struct slice *items = NULL;
    yyjson_arr_iter it;
    yyjson_val *item;
    enum status st;
    size_t i = 0;

    if (!yyjson_is_arr(v))
        return json_fail_type(at, f, type_name(v));
    st = json_put_strs(at, f, yyjson_arr_size(v), msg, &items);
    yyjson_arr_iter_init(v, &it);
    while (st == ST_OK && (item = yyjson_arr_iter_next(&it))) {
        if (!yyjson_is_str(item))
            return json_fail(at, f, "invalid_type", "expected an array of strings, but item %zu is %s.", i,
                             type_name(item));
        st = json_copy_str(at, f, wire_item_max(f), str_of(item), &items[i++]);
    }
    return st;
}

static enum status decode_object(const struct json_at *at, yyjson_val *object, const char *const *skip, void *msg);

/* Array of objects, or the one object that stands for a list of one. */
static enum status decode_list(const struct json_at *at, const struct wire_field *f, yyjson_val *v, void *msg)
{
    struct json_at item = {.up = at, .list = f, .desc = f->item, .arena = at->arena, .err = at->err};
    bool single = json_field_single(f);
    size_t n = single ? 1 : yyjson_arr_size(v);
    struct wire_list *to = (struct wire_list *)(void *)((char *)msg + f->offset);
    enum status st = ST_OK;
    yyjson_arr_iter it;
    char *items;

    if (single ? !yyjson_is_obj(v) : !yyjson_is_arr(v))
        return json_fail_type(at, f, type_name(v));
    if (n > f->limit)
        return json_fail(at, f, "array_above_max_length",
                         "array too long. Expected an array with maximum length %" PRIu64
                         ", but got an array with length %zu instead.",
                         f->limit, n);
    items = arena_alloc(at->arena, n * f->item->size);
    if (!items)
        return err_set(at->err, ST_NO_MEMORY, "%s", "");
    if (single)
        st = decode_object(&item, v, NULL, items);
    else
        yyjson_arr_iter_init(v, &it);
    for (; !single && item.index < n && st == ST_OK; item.index++)
        st = decode_object(&item, yyjson_arr_iter_next(&it), NULL, items + item.index * f->item->size);
    *to = (struct wire_list){items, n};
    *(uint64_t *)msg |= UINT64_C(1) << f->tag;
    return st;
}

static enum status decode_value(const struct json_at *at, const struct wire_field *f, yyjson_val *v, void *msg)
{
    if (yyjson_is_null(v))
        return f->need == WIRE_REQ ? json_fail_type(at, f, "null") : ST_OK;
    if (f->kind == WIRE_STRS || f->kind == WIRE_SECRETS)
        return decode_strs(at, f, v, msg);
    if (f->kind == WIRE_LIST)
        return decode_list(at, f, v, msg);
    if (yyjson_is_raw(v))
        return json_put_number(at, f, (struct slice){yyjson_get_raw(v), yyjson_get_len(v)}, msg);
    if (yyjson_is_str(v))
        return json_put_text(at, f, str_of(v), msg);
    if (yyjson_is_bool(v) && f->kind == WIRE_BOOL)
        return json_put_bool(f, yyjson_get_bool(v), msg);
    return json_fail_type(at, f, type_name(v));
}

static bool skipped(struct slice name, const char *const *skip)
{
    for (; skip && *skip; skip++)
        if (slice_is(name, *skip))
            return true;
    return false;
}

static enum status decode_object(const struct json_at *at, yyjson_val *object, const char *const *skip, void *msg)
{
    yyjson_obj_iter it;
    yyjson_val *key;

    if (!yyjson_is_obj(object))
        return json_fail(at, NULL, "invalid_type", "expected an object, but got %s instead.", type_name(object));
    yyjson_obj_iter_init(object, &it);
    while ((key = yyjson_obj_iter_next(&it))) {
        struct slice name = str_of(key);
        const struct wire_field *f = skipped(name, skip) ? NULL : json_field_named(at->desc, name);
        enum status st;

        if (!f)
            return json_fail_unknown(at, name);
        st = decode_value(at, f, yyjson_obj_iter_get_val(key), msg);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

enum status json_decode(const struct wire_desc *desc, struct slice text, const char *const *skip, void *msg,
                        struct arena *a, struct err *err)
{
    struct json_at top = {.desc = desc, .arena = a, .err = err};
    yyjson_doc *doc;
    enum status st;

    if (!shallow(text, JSON_DEPTH_MAX))
        return err_set(err, ST_BAD_REQUEST, "The JSON body is nested deeper than %d levels.", JSON_DEPTH_MAX);
    /* numbers stay as the client wrote them: no amount ever becomes a float */
    doc = text.n > 0 ? yyjson_read(text.p, text.n, YYJSON_READ_NUMBER_AS_RAW) : NULL;
    if (!doc)
        return err_set(err, ST_BAD_REQUEST, "We could not parse the JSON body of your request.");
    if (yyjson_is_obj(yyjson_doc_get_root(doc)))
        st = decode_object(&top, yyjson_doc_get_root(doc), skip, msg);
    else
        st = err_set_field(err, ST_BAD_REQUEST, "invalid_type", NULL,
                           "Invalid type for the body: expected an object, but got %s instead.",
                           type_name(yyjson_doc_get_root(doc)));
    yyjson_doc_free(doc);
    return st;
}
