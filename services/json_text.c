#include <string.h>

#include "services/json.h"
#include "services/json_field.h"

enum status json_check_required(const struct wire_desc *desc, const void *msg, struct err *err)
{
    uint64_t has = *(const uint64_t *)msg;
    uint32_t i;

    for (i = 0; i < desc->n_fields; i++) {
        const struct wire_field *f = &desc->fields[i];
        char text[JSON_NAME_MAX], name[JSON_NAME_MAX];

        if (f->need != WIRE_REQ || ((has >> f->tag) & 1u) || !wire_field_zero(f, msg))
            continue;
        (void)slice_copy(json_field_name(f, text), name, sizeof(name));
        return err_set_field(err, ST_BAD_REQUEST, "missing_required_parameter", name,
                             "Missing required parameter: '%s'.", name);
    }
    return ST_OK;
}

/* a,b,c: empty text is no item. */
static enum status set_strs(const struct json_at *at, const struct wire_field *f, struct slice value, void *msg)
{
    struct slice *items = NULL;
    size_t n = value.n > 0, i, from = 0, item = 0;
    enum status st;

    for (i = 0; i < value.n; i++)
        n += value.p[i] == ',';
    st = json_put_strs(at, f, n, msg, &items);
    for (i = 0; st == ST_OK && item < n; i++) {
        if (i < value.n && value.p[i] != ',')
            continue;
        st = json_copy_str(at, f, wire_item_max(f), (struct slice){value.p + from, i - from}, &items[item++]);
        from = i + 1;
    }
    return st;
}

static enum status set_bool(const struct json_at *at, const struct wire_field *f, struct slice value, void *msg)
{
    if (slice_is(value, "true") || slice_is(value, "1"))
        return json_put_bool(f, true, msg);
    if (slice_is(value, "false") || slice_is(value, "0"))
        return json_put_bool(f, false, msg);
    return json_fail_type(at, f, "a string");
}

static bool looks_like_number(struct slice s)
{
    size_t i;

    for (i = 0; i < s.n; i++)
        if (!memchr("+-.0123456789eE", s.p[i], sizeof("+-.0123456789eE") - 1))
            return false;
    return s.n > 0;
}

enum status json_set_text(const struct wire_desc *desc, struct slice name, struct slice value, void *msg,
                          struct arena *a, struct err *err)
{
    struct json_at at = {.desc = desc, .arena = a, .err = err};
    const struct wire_field *f = json_field_named(desc, name);

    if (!f || f->kind == WIRE_LIST)
        return json_fail_unknown(&at, name);
    switch ((enum wire_kind)f->kind) {
    case WIRE_BOOL: return set_bool(&at, f, value, msg);
    case WIRE_STRS:
    case WIRE_SECRETS: return set_strs(&at, f, value, msg);
    case WIRE_U64:
    case WIRE_I64:
        return looks_like_number(value) ? json_put_number(&at, f, value, msg) : json_fail_type(&at, f, "a string");
    default: return json_put_text(&at, f, value, msg);
    }
}
