/* What all parts of the request are made with: values, errors, small checks. */
#include "providersvc/dialects/chat_to_messages_private.h"

#include <stdio.h>
#include <string.h>

/* ---- values -------------------------------------------------------------------------------------------------------
 */

void making_put(struct making *m, yyjson_mut_val *object, const char *key, yyjson_mut_val *value)
{
    if (object == NULL || !yyjson_mut_obj_add_val(m->doc, object, key, value))
        m->no_memory = true;
}

void making_append(struct making *m, yyjson_mut_val *array, yyjson_mut_val *value)
{
    if (array == NULL || value == NULL || !yyjson_mut_arr_append(array, value))
        m->no_memory = true;
}

yyjson_mut_val *making_string(struct making *m, struct slice s)
{
    return yyjson_mut_strn(m->doc, s.p, s.n);
}

yyjson_mut_val *making_copy(struct making *m, yyjson_val *v)
{
    return yyjson_val_mut_copy(m->doc, v);
}

yyjson_mut_val *making_object(struct making *m, const char *type)
{
    yyjson_mut_val *object = yyjson_mut_obj(m->doc);

    if (type != NULL)
        making_put(m, object, "type", yyjson_mut_str(m->doc, type));
    return object;
}

void making_system_line(struct making *m, const char *text)
{
    yyjson_mut_val *block = making_object(m, "text");

    making_put(m, block, "text", yyjson_mut_str(m->doc, text));
    making_append(m, m->system, block);
}

/* ---- errors -------------------------------------------------------------------------------------------------------
 */

static void path_of(const struct place *at, const char *suffix, char path[ERR_PARAM_MAX])
{
    const char *dot = suffix[0] != '\0' ? "." : "";

    if (at->list == NULL)
        snprintf(path, ERR_PARAM_MAX, "%s", suffix);
    else if (at->sub == NULL)
        snprintf(path, ERR_PARAM_MAX, "%s[%zu]%s%s", at->list, at->i, dot, suffix);
    else
        snprintf(path, ERR_PARAM_MAX, "%s[%zu].%s[%zu]%s%s", at->list, at->i, at->sub, at->j, dot, suffix);
}

enum status making_type(struct making *m, const char *suffix, const char *wanted)
{
    char path[ERR_PARAM_MAX];

    path_of(&m->at, suffix, path);
    return err_set_field(m->err, ST_BAD_REQUEST, "invalid_type", path, "Invalid type for '%s': expected %s.", path,
                         wanted);
}

enum status making_value(struct making *m, const char *suffix, const char *why)
{
    char path[ERR_PARAM_MAX];

    path_of(&m->at, suffix, path);
    return err_set_field(m->err, ST_BAD_REQUEST, "invalid_value", path, "Invalid value for '%s': %s.", path, why);
}

enum status making_missing(struct making *m, const char *suffix)
{
    char path[ERR_PARAM_MAX];

    path_of(&m->at, suffix, path);
    return err_set_field(m->err, ST_BAD_REQUEST, "missing_required_parameter", path,
                         "Missing required parameter: '%s'.", path);
}

enum status making_unsupported(struct making *m, const char *suffix, const char *upstream_name)
{
    char path[ERR_PARAM_MAX];

    path_of(&m->at, suffix, path);
    return translate_unsupported(m->call, path, upstream_name, m->err);
}

enum status making_refused(struct making *m, const char *suffix, const char *why)
{
    char path[ERR_PARAM_MAX];

    path_of(&m->at, suffix, path);
    return err_set_field(m->err, ST_BAD_REQUEST, "unsupported_value", path,
                         "Unsupported value: '%s' cannot be used with this model: %s.", path, why);
}

/* ---- checks -------------------------------------------------------------------------------------------------------
 */

bool making_number(yyjson_val *v, yyjson_val *ret)
{
    return yyjson_is_raw(v) && yyjson_read_number(yyjson_get_raw(v), ret, 0, NULL, NULL) != NULL;
}

enum status making_text(struct making *m, yyjson_val *object, const char *key, const char *path, bool needed,
                        struct slice *ret)
{
    yyjson_val *v = yyjson_obj_get(object, key);

    *ret = facts_text(v);
    if (yyjson_is_str(v))
        return ST_OK;
    if (v != NULL && !yyjson_is_null(v))
        return making_type(m, path, "a string");
    return needed ? making_missing(m, path) : ST_OK;
}

enum status making_cache(struct making *m, yyjson_val *from, yyjson_mut_val *block)
{
    yyjson_val *cache = yyjson_obj_get(from, "cache_control"), *ttl = yyjson_obj_get(cache, "ttl");

    if (cache == NULL || yyjson_is_null(cache))
        return ST_OK;
    if (!yyjson_is_obj(cache))
        return making_type(m, "cache_control", "an object");
    if (!yyjson_equals_str(yyjson_obj_get(cache, "type"), "ephemeral"))
        return making_value(m, "cache_control.type", "it is not 'ephemeral'");
    if (ttl != NULL && !yyjson_equals_str(ttl, "5m") && !yyjson_equals_str(ttl, "1h"))
        return making_value(m, "cache_control.ttl", "it is none of 5m, 1h");
    if (block != NULL && yyjson_mut_obj_get(block, "cache_control") == NULL)
        making_put(m, block, "cache_control", making_copy(m, cache));
    return ST_OK;
}

static bool id_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

struct slice making_tool_id(struct making *m, struct slice id)
{
    char clean[TOOL_ID_MAX];
    yyjson_mut_val *copy;
    size_t changed = 0;

    for (size_t i = 0; i < id.n && i < TOOL_ID_MAX; i++) {
        clean[i] = '_';
        if (id_char(id.p[i]))
            clean[i] = id.p[i];
        changed += clean[i] != id.p[i];
    }
    if (changed == 0)
        return id;
    copy = yyjson_mut_strncpy(m->doc, clean, id.n);
    m->no_memory |= copy == NULL;
    return (struct slice){yyjson_mut_get_str(copy), yyjson_mut_get_len(copy)};
}
