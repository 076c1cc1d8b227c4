#include "gateway/call_request.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <yyjson.h>

#include "gateway/estimate.h"
#include "gateway/surfaces.h"
#include "proto/tariff.h"
#include "services/json.h"

static const char *kind_of(yyjson_val *v)
{
    if (yyjson_is_null(v))
        return "null";
    if (yyjson_is_bool(v))
        return "a boolean";
    if (yyjson_is_int(v))
        return "an integer";
    if (yyjson_is_num(v))
        return "a decimal";
    if (yyjson_is_str(v))
        return "a string";
    return yyjson_is_arr(v) ? "an array" : "an object";
}

/* ---- members ----------------------------------------------------------------------------------------------------- */

enum status member_type(struct call_reading *r, const char *param, const char *expected, yyjson_val *got)
{
    return err_set_field(r->err, ST_BAD_REQUEST, "invalid_type", param,
                         "Invalid type for '%s': expected %s, but got %s instead.", param, expected, kind_of(got));
}

enum status member_missing(struct call_reading *r, const char *param)
{
    return err_set_field(r->err, ST_BAD_REQUEST, "missing_required_parameter", param,
                         "Missing required parameter: '%s'.", param);
}

static bool equals_but_for_case(yyjson_val *key, const char *name)
{
    return yyjson_get_len(key) == strlen(name) && !strncasecmp(yyjson_get_str(key), name, yyjson_get_len(key));
}

/* Upstream may be one that matches names without case. It has no NUL: it is as long as the name. */
static enum status misspelt(struct call_reading *r, yyjson_val *key, const char *name)
{
    return err_set_field(r->err, ST_BAD_REQUEST, "invalid_value", yyjson_get_str(key),
                         "Unknown parameter: '%s'. Did you mean '%s'?", yyjson_get_str(key), name);
}

enum status members_find(struct call_reading *r, yyjson_val *root, const char *const *names, size_t n_names,
                         yyjson_val **found)
{
    yyjson_val *key, *value;
    uint64_t seen = 0;
    size_t i, n, m;

    memset(found, 0, n_names * sizeof(*found));
    yyjson_obj_foreach(root, i, n, key, value)
    {
        for (m = 0; m < n_names && !equals_but_for_case(key, names[m]); m++)
            ;
        if (m == n_names)
            continue;
        if (!yyjson_equals_str(key, names[m]))
            return misspelt(r, key, names[m]);
        if (seen >> m & 1u)
            return err_set_field(r->err, ST_BAD_REQUEST, "invalid_value", names[m],
                                 "Parameter given more than once: '%s'.", names[m]);
        seen |= UINT64_C(1) << m;
        found[m] = yyjson_is_null(value) ? NULL : value;
    }
    return ST_OK;
}

enum status member_within(struct call_reading *r, yyjson_val *object, const char *name, const char *member,
                          yyjson_val **found)
{
    enum status st = members_find(r, object, &member, 1, found);
    char param[sizeof(r->err->param) + 64], why[128];

    if (st == ST_OK)
        return st;
    snprintf(param, sizeof(param), "%s.%s", name, r->err->param);
    snprintf(why, sizeof(why), "Invalid '%s': '%s' is read once, and written so.", name, member);
    return err_set_field(r->err, st, "invalid_value", param, "%s", why);
}

static enum status keep_text(struct call_reading *r, struct slice text, struct slice *ret)
{
    enum status st;

    *ret = arena_copy(r->arena, text, &st);
    return st == ST_OK ? ST_OK : err_set(r->err, st, "%s", status_text(st));
}

enum status call_set_model(struct call_reading *r, struct slice name)
{
    if (name.n == 0 || name.n > LIMIT_MODEL)
        return err_set_field(r->err, ST_BAD_REQUEST, "invalid_value", "model",
                             "Invalid 'model': expected 1 to %d bytes, but got %zu.", LIMIT_MODEL, name.n);
    if (memchr(name.p, 0, name.n))
        return err_set_field(r->err, ST_BAD_REQUEST, "invalid_value", "model", "Invalid 'model': it holds a NUL.");
    return keep_text(r, name, &r->ret->model);
}

enum status member_model(struct call_reading *r, yyjson_val *v)
{
    if (v && !yyjson_is_str(v))
        return member_type(r, "model", "a string", v);
    if (v)
        return call_set_model(r, (struct slice){yyjson_get_str(v), yyjson_get_len(v)});
    if (r->ret->model.n)
        return ST_OK;
    if (!r->surface->model)
        return member_missing(r, "model");
    r->ret->model = slice_of(r->surface->model);
    return ST_OK;
}

enum status member_flag(struct call_reading *r, yyjson_val *v, const char *param, bool *ret)
{
    if (v && !yyjson_is_bool(v))
        return member_type(r, param, "a boolean", v);
    *ret = yyjson_get_bool(v);
    return ST_OK;
}

enum status member_integer(struct call_reading *r, yyjson_val *v, const char *param, uint64_t max, uint64_t *ret)
{
    if (!v)
        return ST_OK;
    if (!yyjson_is_int(v))
        return member_type(r, param, "an integer", v);
    if (yyjson_is_sint(v) || yyjson_get_uint(v) < 1)
        return err_set_field(r->err, ST_BAD_REQUEST, "integer_below_min_value", param,
                             "Invalid '%s': integer below minimum value. Expected a value >= 1.", param);
    if (yyjson_get_uint(v) > max)
        return err_set_field(r->err, ST_BAD_REQUEST, "integer_above_max_value", param,
                             "Invalid '%s': integer above maximum value. Expected a value <= %llu.", param,
                             (unsigned long long)max);
    *ret = yyjson_get_uint(v);
    return ST_OK;
}

enum status member_count(struct call_reading *r, yyjson_val *v, const char *param, uint64_t max, uint64_t *ret)
{
    return yyjson_is_uint(v) && yyjson_get_uint(v) == 0 ? ST_OK : member_integer(r, v, param, max, ret);
}

enum status member_text(struct call_reading *r, yyjson_val *v, const char *param)
{
    return v && !yyjson_is_str(v) ? member_type(r, param, "a string", v) : ST_OK;
}

void member_tier(struct call_reading *r, yyjson_val *v)
{
    struct slice tier = {yyjson_get_str(v), yyjson_get_len(v)};

    if (yyjson_is_str(v) && service_tier_percent(tier) > 100)
        r->ret->price_percent = service_tier_percent(tier);
}

enum status member_stream(struct call_reading *r, yyjson_val *stream, yyjson_val *options)
{
    enum status st = member_flag(r, stream, "stream", &r->ret->stream);
    yyjson_val *usage;

    if (st != ST_OK || !options)
        return st;
    if (!yyjson_is_obj(options))
        return member_type(r, "stream_options", "an object", options);
    st = member_within(r, options, "stream_options", "include_usage", &usage);
    return st == ST_OK ? member_flag(r, usage, "stream_options.include_usage", &r->ret->usage_asked) : st;
}

static enum status check_message(struct call_reading *r, yyjson_val *message, size_t i)
{
    yyjson_val *role = yyjson_obj_get(message, "role");
    char param[64];

    if (yyjson_is_str(role))
        return ST_OK;
    snprintf(param, sizeof(param), "messages[%zu]%s", i, yyjson_is_obj(message) ? ".role" : "");
    if (!yyjson_is_obj(message))
        return member_type(r, param, "an object", message);
    return role ? member_type(r, param, "a string", role) : member_missing(r, param);
}

enum status member_messages(struct call_reading *r, yyjson_val *v)
{
    enum status st = ST_OK;
    yyjson_val *message;
    size_t i, n;

    if (!v)
        return member_missing(r, "messages");
    if (!yyjson_is_arr(v))
        return member_type(r, "messages", "an array of objects", v);
    if (yyjson_arr_size(v) == 0)
        return err_set_field(r->err, ST_BAD_REQUEST, "empty_array", "messages",
                             "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an "
                             "empty array instead.");
    yyjson_arr_foreach(v, i, n, message)
    {
        st = check_message(r, message, i);
        if (st != ST_OK)
            break;
    }
    return st;
}

/* ---- objects ----------------------------------------------------------------------------------------------------- */

enum status call_add_object(struct call_reading *r, const char *param, struct slice id)
{
    struct call_request *q = r->ret;
    unsigned i;

    if (id.n == 0 || id.n > LIMIT_OBJECT_ID || memchr(id.p, 0, id.n))
        return err_set_field(r->err, ST_BAD_REQUEST, "invalid_value", param,
                             "Invalid '%s': expected an id of 1 to %d bytes.", param, LIMIT_OBJECT_ID);
    for (i = 0; i < q->n_objects; i++)
        if (slice_eq(q->objects[i].id, id))
            return ST_OK;
    if (q->n_objects == CALL_OBJECTS_MAX)
        return err_set_field(r->err, ST_BAD_REQUEST, "invalid_value", param,
                             "A request may name %d files and other objects at most.", CALL_OBJECTS_MAX);
    q->objects[i].param = param;
    q->n_objects++;
    return keep_text(r, id, &q->objects[i].id);
}

enum status member_object(struct call_reading *r, yyjson_val *v, const char *param)
{
    if (!v)
        return ST_OK;
    if (!yyjson_is_str(v))
        return member_type(r, param, "a string", v);
    return call_add_object(r, param, (struct slice){yyjson_get_str(v), yyjson_get_len(v)});
}

enum status call_set_estimate(struct call_reading *r, const struct estimate *e)
{
    enum status st = ST_OK;
    unsigned i;

    if (e->twice)
        return err_set_field(r->err, ST_BAD_REQUEST, "invalid_value", e->twice,
                             "Invalid '%s': it is read once in an object, and written so.", e->twice);
    r->ret->tokens = estimate_tokens(e);
    r->ret->tokens_upper = estimate_upper(e);
    if (e->elsewhere)
        r->ret->context = e->elsewhere;
    for (i = 0; st == ST_OK && i < e->n_files; i++)
        st = member_object(r, e->files[i], "file_id");
    return st;
}

/* ---- the body ---------------------------------------------------------------------------------------------------- */

static bool too_deep(yyjson_val *v, unsigned depth)
{
    yyjson_val *k, *item;
    size_t i, n;

    if (!yyjson_is_ctn(v))
        return false;
    if (depth > JSON_DEPTH_MAX)
        return true;
    if (yyjson_is_arr(v)) {
        yyjson_arr_foreach(v, i, n, item) if (too_deep(item, depth + 1)) return true;
        return false;
    }
    yyjson_obj_foreach(v, i, n, k, item) if (too_deep(item, depth + 1)) return true;
    return false;
}

static void begin(struct call_request *ret)
{
    *ret = (struct call_request){.model = ret->model, .choices = 1};
}

static enum status read_root(struct call_reading *r, yyjson_val *root)
{
    if (!yyjson_is_obj(root))
        return err_set(r->err, ST_BAD_REQUEST, "The body of the request must be a JSON object, but it is %s.",
                       kind_of(root));
    if (too_deep(root, 1))
        return err_set(r->err, ST_BAD_REQUEST, "The JSON body is nested deeper than %d levels.", JSON_DEPTH_MAX);
    return r->surface->json(r, root);
}

static enum status read_body(struct call_reading *r, struct slice body)
{
    yyjson_doc *doc = yyjson_read(body.p ? body.p : "", body.n, 0);
    enum status st;

    if (!doc)
        st = err_set(r->err, ST_BAD_REQUEST,
                     "We could not parse the JSON body of your request. The API expects a JSON object as the body.");
    else
        st = read_root(r, yyjson_doc_get_root(doc));
    yyjson_doc_free(doc);
    return st;
}

enum status call_request_read(const struct surface *s, struct slice body, struct arena *a, struct call_request *ret,
                              struct err *err)
{
    struct call_reading r = {.surface = s, .arena = a, .ret = ret, .err = err};

    begin(ret);
    if (!s->json || (!body.n && s->model && !s->model[0]))
        return ST_OK;
    return read_body(&r, body);
}

enum status call_request_read_value(const struct surface *s, yyjson_val *root, struct arena *a,
                                    struct call_request *ret, struct err *err)
{
    struct call_reading r = {.surface = s, .arena = a, .ret = ret, .err = err};

    begin(ret);
    return read_root(&r, root);
}

enum status call_request_read_form(const struct surface *s, const struct form *form, struct arena *a,
                                   struct call_request *ret, struct err *err)
{
    struct call_reading r = {.surface = s, .arena = a, .ret = ret, .err = err};

    begin(ret);
    return s->form(&r, form);
}
