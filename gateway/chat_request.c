#include "gateway/chat_request.h"

#include <stdio.h>
#include <string.h>

#include <yyjson.h>

#include "gateway/estimate.h"
#include "services/json.h"

/* The members that mean something to us. Any other passes. */
enum member {
    MODEL,
    MESSAGES,
    STREAM,
    STREAM_OPTIONS,
    MAX_TOKENS,
    MAX_COMPLETION_TOKENS,
    CHOICES,
    TOOLS,
    FUNCTIONS,
    RESPONSE_FORMAT,
    MEMBERS
};

static const char *const member_names[MEMBERS] = {
    [MODEL] = "model",
    [MESSAGES] = "messages",
    [STREAM] = "stream",
    [STREAM_OPTIONS] = "stream_options",
    [MAX_TOKENS] = "max_tokens",
    [MAX_COMPLETION_TOKENS] = "max_completion_tokens",
    [CHOICES] = "n",
    [TOOLS] = "tools",
    [FUNCTIONS] = "functions",
    [RESPONSE_FORMAT] = "response_format",
};

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

static enum status wrong_type(struct err *err, const char *param, const char *expected, yyjson_val *got)
{
    return err_set_field(err, ST_BAD_REQUEST, "invalid_type", param,
                         "Invalid type for '%s': expected %s, but got %s instead.", param, expected, kind_of(got));
}

static enum status missing(struct err *err, const char *param)
{
    return err_set_field(err, ST_BAD_REQUEST, "missing_required_parameter", param, "Missing required parameter: '%s'.",
                         param);
}

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

/* A member given twice would be read by us one way and upstream another. A null counts as absent. */
static enum status find_members(yyjson_val *root, yyjson_val *found[MEMBERS], struct err *err)
{
    bool seen[MEMBERS] = {false};
    yyjson_val *key, *value;
    size_t i, n, m;

    yyjson_obj_foreach(root, i, n, key, value)
    {
        for (m = 0; m < MEMBERS && !yyjson_equals_str(key, member_names[m]); m++)
            ;
        if (m == MEMBERS)
            continue;
        if (seen[m])
            return err_set_field(err, ST_BAD_REQUEST, "invalid_value", member_names[m],
                                 "Parameter given more than once: '%s'.", member_names[m]);
        seen[m] = true;
        found[m] = yyjson_is_null(value) ? NULL : value;
    }
    return ST_OK;
}

static enum status read_model(yyjson_val *v, struct arena *a, struct chat_request *ret, struct err *err)
{
    enum status st;

    if (!v)
        return missing(err, "model");
    if (!yyjson_is_str(v))
        return wrong_type(err, "model", "a string", v);
    if (yyjson_get_len(v) == 0 || yyjson_get_len(v) > LIMIT_MODEL)
        return err_set_field(err, ST_BAD_REQUEST, "invalid_value", "model",
                             "Invalid 'model': expected 1 to %d bytes, but got %zu.", LIMIT_MODEL, yyjson_get_len(v));
    if (memchr(yyjson_get_str(v), 0, yyjson_get_len(v)))
        return err_set_field(err, ST_BAD_REQUEST, "invalid_value", "model", "Invalid 'model': it holds a NUL.");
    ret->model = arena_copy(a, (struct slice){yyjson_get_str(v), yyjson_get_len(v)}, &st);
    return st == ST_OK ? ST_OK : err_set(err, st, "%s", status_text(st));
}

static enum status read_messages(yyjson_val *v, struct err *err)
{
    yyjson_val *message, *role;
    char param[64];
    size_t i, n;

    if (!v)
        return missing(err, "messages");
    if (!yyjson_is_arr(v))
        return wrong_type(err, "messages", "an array of objects", v);
    if (yyjson_arr_size(v) == 0)
        return err_set_field(err, ST_BAD_REQUEST, "empty_array", "messages",
                             "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an "
                             "empty array instead.");
    yyjson_arr_foreach(v, i, n, message)
    {
        snprintf(param, sizeof(param), "messages[%zu]", i);
        if (!yyjson_is_obj(message))
            return wrong_type(err, param, "an object", message);
        role = yyjson_obj_get(message, "role");
        snprintf(param, sizeof(param), "messages[%zu].role", i);
        if (!role)
            return missing(err, param);
        if (!yyjson_is_str(role))
            return wrong_type(err, param, "a string", role);
    }
    return ST_OK;
}

static enum status read_integer(yyjson_val *v, const char *param, uint64_t max, uint64_t *ret, struct err *err)
{
    if (!v)
        return ST_OK;
    if (!yyjson_is_int(v))
        return wrong_type(err, param, "an integer", v);
    if (yyjson_is_sint(v) || yyjson_get_uint(v) < 1)
        return err_set_field(err, ST_BAD_REQUEST, "integer_below_min_value", param,
                             "Invalid '%s': integer below minimum value. Expected a value >= 1.", param);
    if (yyjson_get_uint(v) > max)
        return err_set_field(err, ST_BAD_REQUEST, "integer_above_max_value", param,
                             "Invalid '%s': integer above maximum value. Expected a value <= %llu.", param,
                             (unsigned long long)max);
    *ret = yyjson_get_uint(v);
    return ST_OK;
}

static enum status read_stream(yyjson_val *const found[MEMBERS], struct chat_request *ret, struct err *err)
{
    yyjson_val *options = found[STREAM_OPTIONS], *usage;

    if (found[STREAM] && !yyjson_is_bool(found[STREAM]))
        return wrong_type(err, "stream", "a boolean", found[STREAM]);
    ret->stream = yyjson_get_bool(found[STREAM]);
    if (!options)
        return ST_OK;
    if (!yyjson_is_obj(options))
        return wrong_type(err, "stream_options", "an object", options);
    usage = yyjson_obj_get(options, "include_usage");
    if (usage && !yyjson_is_null(usage) && !yyjson_is_bool(usage))
        return wrong_type(err, "stream_options.include_usage", "a boolean", usage);
    ret->usage_asked = yyjson_get_bool(usage);
    return ST_OK;
}

static enum status read_root(yyjson_val *root, struct arena *a, struct chat_request *ret, struct err *err)
{
    yyjson_val *found[MEMBERS] = {NULL};
    struct estimate e = {.ascii = 0};
    uint64_t old_limit = 0;
    enum status st = find_members(root, found, err);

    if (st == ST_OK)
        st = read_model(found[MODEL], a, ret, err);
    if (st == ST_OK)
        st = read_messages(found[MESSAGES], err);
    if (st == ST_OK)
        st = read_stream(found, ret, err);
    if (st == ST_OK)
        st = read_integer(found[MAX_TOKENS], "max_tokens", LIMIT_TOKENS, &old_limit, err);
    if (st == ST_OK)
        st = read_integer(found[MAX_COMPLETION_TOKENS], "max_completion_tokens", LIMIT_TOKENS, &ret->output_limit, err);
    if (st == ST_OK)
        st = read_integer(found[CHOICES], "n", CHAT_CHOICES_MAX, &ret->choices, err);
    if (st != ST_OK)
        return st;
    if (old_limit > ret->output_limit)
        ret->output_limit = old_limit;
    estimate_messages(&e, found[MESSAGES]);
    estimate_schema(&e, found[TOOLS]);
    estimate_schema(&e, found[FUNCTIONS]);
    estimate_schema(&e, found[RESPONSE_FORMAT]);
    ret->tokens = estimate_tokens(&e);
    ret->tokens_upper = estimate_upper(&e);
    return ST_OK;
}

enum status chat_request_read(struct slice body, struct arena *a, struct chat_request *ret, struct err *err)
{
    yyjson_doc *doc = yyjson_read(body.p ? body.p : "", body.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    enum status st;

    *ret = (struct chat_request){.choices = 1};
    if (!doc)
        st = err_set(err, ST_BAD_REQUEST,
                     "We could not parse the JSON body of your request. The API expects a JSON object as the body.");
    else if (!yyjson_is_obj(root))
        st =
            err_set(err, ST_BAD_REQUEST, "The body of the request must be a JSON object, but it is %s.", kind_of(root));
    else if (too_deep(root, 1))
        st = err_set(err, ST_BAD_REQUEST, "The JSON body is nested deeper than %d levels.", JSON_DEPTH_MAX);
    else
        st = read_root(root, a, ret, err);
    yyjson_doc_free(doc);
    return st;
}
