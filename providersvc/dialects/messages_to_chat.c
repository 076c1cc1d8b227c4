#include "providersvc/dialects/messages_to_chat.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "services/json.h"

#define STOPS_MAX 4 /* that chat takes */
#define USER_MAX 64 /* bytes of `user` that OpenAI takes; Claude Code sends 150 and more */
#define USER_DIGEST 16 /* bytes */
#define BUDGET_LEAST 1024 /* of thinking, as Anthropic demands */
#define BUDGET_LOW 2000 /* fewer tokens of thinking than that are low effort, */
#define BUDGET_MEDIUM 8000 /* fewer than that medium (contract, section 4.6) */
#define NUMBER_TEXT_MAX 64
#define FORMAT_NAME "response" /* chat demands one */

/* ---- limits, sampling ----------------------------------------------------------------------------------------------
 */

static enum status take_model(struct m2c *t, yyjson_val *in)
{
    yyjson_val *model = NULL;
    enum status st = m2c_member(t, NULL, in, "model", M2C_STRING | M2C_REQUIRED, &model);

    m2c_put(t, t->root, "model", m2c_str(t, t->call->upstream_model));
    return st;
}

static enum status take_limit(struct m2c *t, yyjson_val *in)
{
    yyjson_val *limit = NULL;
    enum status st = m2c_count(t, NULL, in, "max_tokens", M2C_REQUIRED, 1, &limit);

    if (st != ST_OK)
        return st;
    if (t->call->output_limit > 0)
        m2c_put(t, t->root, "max_completion_tokens", yyjson_mut_uint(t->doc, t->call->output_limit));
    else
        m2c_put(t, t->root, "max_completion_tokens", m2c_val(t, limit));
    return ST_OK;
}

/* From 0 to 1. It goes upstream as it stood. */
static enum status take_share(struct m2c *t, yyjson_val *in, const char *name)
{
    char text[NUMBER_TEXT_MAX];
    yyjson_val *v = NULL;
    enum status st = m2c_member(t, NULL, in, name, M2C_NUMBER, &v);
    double number;

    if (st != ST_OK || v == NULL)
        return st;
    if (!slice_copy((struct slice){yyjson_get_raw(v), yyjson_get_len(v)}, text, sizeof(text)))
        return m2c_fail(t, NULL, name, "invalid_value", "Input has too many digits");
    number = strtod(text, NULL);
    if (!(number >= 0 && number <= 1))
        return m2c_fail(t, NULL, name, "invalid_value", "Input should be between 0 and 1");
    m2c_put(t, t->root, name, m2c_val(t, v));
    return ST_OK;
}

static enum status take_sampling(struct m2c *t, yyjson_val *in)
{
    yyjson_val *top_k = NULL;
    enum status st = take_share(t, in, "temperature");

    if (st == ST_OK)
        st = take_share(t, in, "top_p");
    if (st == ST_OK)
        st = m2c_count(t, NULL, in, "top_k", 0, 0, &top_k);
    return st == ST_OK && top_k != NULL ? m2c_unsupported(t, NULL, "top_k") : st;
}

static enum status take_stops(struct m2c *t, yyjson_val *in)
{
    struct m2c_at at_stops = {NULL, "stop_sequences", 0};
    yyjson_mut_val *stop = m2c_arr(t);
    yyjson_val *stops = NULL, *v;
    enum status st = m2c_member(t, NULL, in, "stop_sequences", M2C_ARRAY, &stops);
    size_t i, n;

    yyjson_arr_foreach(stops, i, n, v)
    {
        struct m2c_at at = {&at_stops, NULL, i};

        st = m2c_check(t, &at, v, M2C_STRING);
        if (st == ST_OK && yyjson_get_len(v) == 0)
            st = m2c_fail(t, &at, NULL, "invalid_value", "String should have at least 1 character");
        if (st == ST_OK && yyjson_mut_arr_size(stop) == STOPS_MAX) /* one too many; the rest is not looked at */
            return m2c_unsupported(t, &at, NULL);
        if (st != ST_OK)
            return st;
        m2c_add(t, stop, m2c_val(t, v));
        if (i + 1 == n || i + 1 == STOPS_MAX)
            m2c_put(t, t->root, "stop", stop);
    }
    return st;
}

static enum status take_stream(struct m2c *t, yyjson_val *in)
{
    yyjson_val *stream = NULL;
    enum status st = m2c_member(t, NULL, in, "stream", M2C_BOOL, &stream);
    yyjson_mut_val *options;

    if (st != ST_OK || !t->call->stream)
        return st;
    options = m2c_obj(t);
    m2c_put(t, options, "include_usage", yyjson_mut_true(t->doc)); /* an Anthropic stream always says it */
    m2c_put(t, t->root, "stream", yyjson_mut_true(t->doc));
    m2c_put(t, t->root, "stream_options", options);
    return ST_OK;
}

/* What is longer than OpenAI takes becomes a digest: still the same for the same user. */
static enum status take_user(struct m2c *t, yyjson_val *in)
{
    static const struct m2c_at at = {NULL, "metadata", 0};
    unsigned char digest[USER_DIGEST];
    char text[2 * USER_DIGEST + 1];
    yyjson_val *metadata = NULL, *v = NULL;
    enum status st = m2c_member(t, NULL, in, "metadata", M2C_OBJECT, &metadata);
    struct slice user;

    if (st == ST_OK)
        st = m2c_member(t, &at, metadata, "user_id", M2C_STRING, &v);
    user = facts_text(v);
    if (st != ST_OK || user.n == 0)
        return st;
    if (user.n > USER_MAX) {
        (void)crypto_generichash(digest, sizeof(digest), (const unsigned char *)user.p, user.n, NULL, 0);
        (void)sodium_bin2hex(text, sizeof(text), digest, sizeof(digest));
        user = slice_of(text);
    }
    m2c_put(t, t->root, "user", m2c_copy(t, user));
    return ST_OK;
}

/* ---- tools ---------------------------------------------------------------------------------------------------------
 */

/* Answers will name the tool by what was sent. */
static enum status keep_name(struct m2c *t, const struct m2c_at *at, struct slice given, struct slice sent)
{
    struct m2c_names *names = t->names;
    struct m2c_long_name *items;

    if (given.n <= M2C_NAME_SENT_MAX)
        return ST_OK;
    if (names->n == M2C_LONG_NAMES_MAX)
        return m2c_fail(t, at, "name", "invalid_value", "There are too many tools with so long a name");
    if ((names->n & (names->n - 1)) == 0) { /* 0, 1, 2, 4, …: room for twice as many */
        items = realloc(names->items, (names->n > 0 ? 2 * names->n : 1) * sizeof(*items));
        if (items == NULL)
            return ST_NO_MEMORY;
        names->items = items;
    }
    (void)slice_copy(given, names->items[names->n].given, sizeof(names->items->given));
    (void)slice_copy(sent, names->items[names->n].sent, sizeof(names->items->sent));
    names->n++;
    return ST_OK;
}

/* OpenAI refuses an object schema without properties. */
static yyjson_mut_val *parameters(struct m2c *t, yyjson_val *schema)
{
    yyjson_mut_val *v = m2c_val(t, schema);

    if (v != NULL && yyjson_obj_get(schema, "properties") == NULL)
        m2c_put(t, v, "properties", m2c_obj(t));
    return v;
}

static enum status add_tool(struct m2c *t, const struct m2c_at *at, yyjson_val *tool, yyjson_mut_val *tools)
{
    /* what only says when a tool is loaded, cached or sent changes nothing here */
    static const char *const known[] = {"type",   "name",          "description",   "input_schema",
                                        "strict", "cache_control", "defer_loading", "eager_input_streaming",
                                        NULL};
    yyjson_val *description = NULL, *schema = NULL, *strict = NULL;
    char name_memory[M2C_NAME_SENT_MAX + 1];
    yyjson_mut_val *function, *item;
    struct slice name = {NULL, 0};
    enum status st = m2c_tool_name(t, at, tool, name_memory, &name);

    if (st == ST_OK)
        st = m2c_member(t, at, tool, "description", M2C_STRING, &description);
    if (st == ST_OK)
        st = m2c_member(t, at, tool, "input_schema", M2C_OBJECT | M2C_REQUIRED, &schema);
    if (st == ST_OK)
        st = m2c_member(t, at, tool, "strict", M2C_BOOL, &strict);
    if (st == ST_OK)
        st = m2c_only(t, at, tool, known);
    if (st == ST_OK)
        st = keep_name(t, at, facts_text(yyjson_obj_get(tool, "name")), name);
    if (st != ST_OK)
        return st;
    function = m2c_obj(t);
    m2c_put(t, function, "name", m2c_copy(t, name));
    if (description != NULL)
        m2c_put(t, function, "description", m2c_val(t, description));
    m2c_put(t, function, "parameters", parameters(t, schema));
    if (strict != NULL)
        m2c_put(t, function, "strict", m2c_val(t, strict));
    item = m2c_obj(t);
    m2c_put(t, item, "type", m2c_str(t, slice_of("function")));
    m2c_put(t, item, "function", function);
    m2c_add(t, tools, item);
    return ST_OK;
}

/* mode, or the named tool. */
static enum status put_choice(struct m2c *t, const struct m2c_at *at, yyjson_val *choice, const char *mode)
{
    char name_memory[M2C_NAME_SENT_MAX + 1];
    yyjson_mut_val *named, *function;
    struct slice name = {NULL, 0};
    enum status st;

    if (mode != NULL) {
        m2c_put(t, t->root, "tool_choice", m2c_str(t, slice_of(mode)));
        return ST_OK;
    }
    st = m2c_tool_name(t, at, choice, name_memory, &name);
    if (st != ST_OK)
        return st;
    function = m2c_obj(t);
    m2c_put(t, function, "name", m2c_copy(t, name));
    named = m2c_obj(t);
    m2c_put(t, named, "type", m2c_str(t, slice_of("function")));
    m2c_put(t, named, "function", function);
    m2c_put(t, t->root, "tool_choice", named);
    return ST_OK;
}

/* given: tools that the client named, kept: that are left of them. */
static enum status take_choice(struct m2c *t, yyjson_val *in, size_t given, size_t kept)
{
    static const struct m2c_at at = {NULL, "tool_choice", 0};
    yyjson_val *choice = NULL, *type = NULL, *alone = NULL;
    enum status st = m2c_member(t, NULL, in, "tool_choice", M2C_OBJECT, &choice);
    const char *mode = NULL;

    if (st != ST_OK || choice == NULL)
        return st;
    st = m2c_member(t, &at, choice, "type", M2C_STRING | M2C_REQUIRED, &type);
    if (st == ST_OK)
        st = m2c_member(t, &at, choice, "disable_parallel_tool_use", M2C_BOOL, &alone);
    if (st != ST_OK)
        return st;
    if (yyjson_equals_str(type, "auto"))
        mode = "auto";
    else if (yyjson_equals_str(type, "none"))
        mode = "none";
    else if (yyjson_equals_str(type, "any"))
        mode = "required";
    else if (!yyjson_equals_str(type, "tool"))
        return m2c_fail(t, &at, "type", "invalid_value", "Input should be 'auto', 'any', 'tool' or 'none'");
    if (kept == 0) { /* chat takes no choice among no tools */
        if (mode != NULL && strcmp(mode, "required") != 0)
            return ST_OK;
        return given > 0 ? m2c_unsupported(t, NULL, "tool_choice")
                         : m2c_fail(t, &at, NULL, "invalid_value", "It may only be specified while providing tools");
    }
    if (yyjson_is_true(alone))
        m2c_put(t, t->root, "parallel_tool_calls", yyjson_mut_false(t->doc));
    return put_choice(t, &at, choice, mode);
}

static enum status take_tools(struct m2c *t, yyjson_val *in)
{
    static const struct m2c_at at_tools = {NULL, "tools", 0};
    yyjson_mut_val *tools = m2c_arr(t);
    yyjson_val *list = NULL, *tool, *type = NULL;
    enum status st = m2c_member(t, NULL, in, "tools", M2C_ARRAY, &list);
    size_t i, n;

    yyjson_arr_foreach(list, i, n, tool)
    {
        struct m2c_at at = {&at_tools, NULL, i};

        st = m2c_check(t, &at, tool, M2C_OBJECT);
        if (st == ST_OK)
            st = m2c_member(t, &at, tool, "type", M2C_STRING, &type);
        if (st == ST_OK && type != NULL && !yyjson_equals_str(type, "custom"))
            st = m2c_unsupported(t, &at, NULL); /* web_search_…: Anthropic's servers run it, or know its schema */
        else if (st == ST_OK)
            st = add_tool(t, &at, tool, tools);
        if (st != ST_OK)
            return st;
    }
    if (yyjson_mut_arr_size(tools) > 0)
        m2c_put(t, t->root, "tools", tools);
    return st == ST_OK ? take_choice(t, in, yyjson_arr_size(list), yyjson_mut_arr_size(tools)) : st;
}

/* ---- thinking, format ----------------------------------------------------------------------------------------------
 */

/* *ret_effort: what the budget amounts to; NULL = the model's own. *ret_off: no thinking at all. */
static enum status read_thinking(struct m2c *t, yyjson_val *in, const char **ret_effort, bool *ret_off)
{
    static const struct m2c_at at = {NULL, "thinking", 0};
    yyjson_val *thinking = NULL, *type = NULL, *budget = NULL;
    enum status st = m2c_member(t, NULL, in, "thinking", M2C_OBJECT, &thinking);

    if (st != ST_OK || thinking == NULL)
        return st;
    st = m2c_member(t, &at, thinking, "type", M2C_STRING | M2C_REQUIRED, &type);
    if (st != ST_OK)
        return st;
    *ret_off = yyjson_equals_str(type, "disabled");
    if (*ret_off || yyjson_equals_str(type, "adaptive") || yyjson_equals_str(type, "between_tools"))
        return ST_OK;
    if (!yyjson_equals_str(type, "enabled"))
        return m2c_fail(t, &at, "type", "invalid_value", "Input should be 'adaptive', 'enabled' or 'disabled'");
    st = m2c_count(t, &at, thinking, "budget_tokens", M2C_REQUIRED, BUDGET_LEAST, &budget);
    if (st == ST_OK)
        *ret_effort = m2c_uint(budget) < BUDGET_LOW ? "low" : m2c_uint(budget) < BUDGET_MEDIUM ? "medium" : "high";
    return st;
}

static bool is_effort(yyjson_val *v)
{
    static const char *const efforts[] = {"low", "medium", "high", "xhigh", "max"};

    for (size_t i = 0; i < sizeof(efforts) / sizeof(efforts[0]); i++)
        if (yyjson_equals_str(v, efforts[i]))
            return true;
    return false;
}

/* Nothing is said where thinking is off: models without reasoning refuse the parameter, others its "none". */
static enum status take_effort(struct m2c *t, yyjson_val *in, yyjson_val *config)
{
    static const struct m2c_at at = {NULL, "output_config", 0};
    const char *effort = NULL;
    yyjson_val *v = NULL;
    bool off = false;
    enum status st = read_thinking(t, in, &effort, &off);

    if (st == ST_OK)
        st = m2c_member(t, &at, config, "effort", M2C_STRING, &v);
    if (st == ST_OK && v != NULL && !is_effort(v))
        return m2c_fail(t, &at, "effort", "invalid_value", "Input should be 'low', 'medium', 'high', 'xhigh' or 'max'");
    if (st != ST_OK || off)
        return st;
    if (v != NULL)
        m2c_put(t, t->root, "reasoning_effort", m2c_val(t, v));
    else if (effort != NULL)
        m2c_put(t, t->root, "reasoning_effort", m2c_str(t, slice_of(effort)));
    return ST_OK;
}

/* May the schema be "strict" in OpenAI's sense: every object closed, every property required? Anthropic keeps to others
 * as well; there chat can only be asked to. */
static bool is_strict(yyjson_val *schema, unsigned depth)
{
    yyjson_val *properties = yyjson_obj_get(schema, "properties"), *key, *v;
    size_t i, n;

    if (depth > JSON_DEPTH_MAX)
        return false;
    if (yyjson_is_obj(properties) &&
        (!yyjson_is_false(yyjson_obj_get(schema, "additionalProperties")) ||
         yyjson_arr_size(yyjson_obj_get(schema, "required")) != yyjson_obj_size(properties)))
        return false;
    yyjson_arr_foreach(schema, i, n, v)
    {
        if (!is_strict(v, depth + 1))
            return false;
    }
    if (!yyjson_is_obj(schema))
        return true;
    yyjson_obj_foreach(schema, i, n, key, v)
    {
        if (!is_strict(v, depth + 1))
            return false;
    }
    return true;
}

static enum status take_format(struct m2c *t, const struct m2c_at *at, yyjson_val *format)
{
    yyjson_val *type = NULL, *schema = NULL;
    yyjson_mut_val *inner, *outer;
    enum status st = m2c_member(t, at, format, "type", M2C_STRING | M2C_REQUIRED, &type);

    if (st == ST_OK && !yyjson_equals_str(type, "json_schema"))
        st = m2c_fail(t, at, "type", "invalid_value", "Input should be 'json_schema'");
    if (st == ST_OK)
        st = m2c_member(t, at, format, "schema", M2C_OBJECT | M2C_REQUIRED, &schema);
    if (st != ST_OK)
        return st;
    inner = m2c_obj(t);
    m2c_put(t, inner, "name", m2c_str(t, slice_of(FORMAT_NAME)));
    m2c_put(t, inner, "schema", m2c_val(t, schema));
    m2c_put(t, inner, "strict", yyjson_mut_bool(t->doc, is_strict(schema, 0)));
    outer = m2c_obj(t);
    m2c_put(t, outer, "type", m2c_val(t, type));
    m2c_put(t, outer, "json_schema", inner);
    m2c_put(t, t->root, "response_format", outer);
    return ST_OK;
}

static enum status take_output(struct m2c *t, yyjson_val *in)
{
    static const char *const known[] = {"effort", "format", NULL};
    static const struct m2c_at at = {NULL, "output_config", 0}, at_format = {&at, "format", 0},
                               at_old = {NULL, "output_format", 0};
    yyjson_val *config = NULL, *format = NULL, *old = NULL;
    enum status st = m2c_member(t, NULL, in, "output_config", M2C_OBJECT, &config);

    if (st == ST_OK)
        st = m2c_only(t, &at, config, known);
    if (st == ST_OK)
        st = take_effort(t, in, config);
    if (st == ST_OK)
        st = m2c_member(t, &at, config, "format", M2C_OBJECT, &format);
    if (st == ST_OK)
        st = m2c_member(t, NULL, in, "output_format", M2C_OBJECT, &old); /* its name while it was a beta */
    if (st != ST_OK || (format == NULL && old == NULL))
        return st;
    return format != NULL ? take_format(t, &at_format, format) : take_format(t, &at_old, old);
}

/* ---- the rest ------------------------------------------------------------------------------------------------------
 */

static bool is_default(yyjson_val *in, const char *name, const char *value)
{
    yyjson_val *v = yyjson_obj_get(in, name);

    return v == NULL || yyjson_is_null(v) || yyjson_equals_str(v, value);
}

/* What chat has nothing for, and what is neither known nor null. Of the context, edits and caching are the provider's
 * savings: without them the answer is the same. */
static enum status take_rest(struct m2c *t, yyjson_val *in)
{
    static const char *const known[] = {"model",
                                        "messages",
                                        "system",
                                        "max_tokens",
                                        "stream",
                                        "temperature",
                                        "top_p",
                                        "top_k",
                                        "stop_sequences",
                                        "metadata",
                                        "tools",
                                        "tool_choice",
                                        "thinking",
                                        "output_config",
                                        "speed",
                                        "mcp_servers",
                                        "output_format",
                                        "cache_control",
                                        "context_management",
                                        "inference_geo",
                                        "service_tier",
                                        NULL};
    yyjson_val *servers = NULL, *tier = NULL;
    enum status st = m2c_member(t, NULL, in, "mcp_servers", M2C_ARRAY, &servers);

    if (st == ST_OK && yyjson_arr_size(servers) > 0)
        st = m2c_unsupported(t, NULL, "mcp_servers");
    if (st == ST_OK)
        st = m2c_member(t, NULL, in, "service_tier", M2C_STRING, &tier);
    if (st == ST_OK && tier != NULL && !yyjson_equals_str(tier, "auto") && !yyjson_equals_str(tier, "standard_only"))
        st = m2c_fail(t, NULL, "service_tier", "invalid_value", "Input should be 'auto' or 'standard_only'");
    if (st == ST_OK && !is_default(in, "speed", "standard"))
        st = m2c_unsupported(t, NULL, "speed");
    if (st == ST_OK && !is_default(in, "inference_geo", "global"))
        st = m2c_unsupported(t, NULL, "inference_geo");
    return st == ST_OK ? m2c_only(t, NULL, in, known) : st;
}

static enum status (*const steps[])(struct m2c *t, yyjson_val *in) = {
    take_model,    take_limit, m2c_turns,   take_tools,  take_stops,
    take_sampling, take_user,  take_output, take_stream, take_rest,
};

static enum status write_body(struct m2c *t, struct buf *out)
{
    size_t n = 0;
    char *json = t->lost ? NULL : yyjson_mut_write(t->doc, 0, &n);
    enum status st = json != NULL ? buf_add(out, json, n) : ST_NO_MEMORY;

    free(json);
    return st;
}

static enum status m2c_request(void *state, struct translate_call *call, struct slice body, struct buf *out,
                               struct err *err)
{
    struct m2c_state *s = state;
    yyjson_doc *in = yyjson_read(body.p, body.n, YYJSON_READ_NUMBER_AS_RAW);
    struct m2c t = {.call = call, .names = &s->names, .err = err, .doc = yyjson_mut_doc_new(NULL)};
    enum status st = ST_OK;

    s->names.n = 0;
    if (t.doc == NULL)
        st = ST_NO_MEMORY;
    else if (!yyjson_is_obj(yyjson_doc_get_root(in)))
        st = err_set(err, ST_BAD_REQUEST, "The body is not a JSON object.");
    if (st == ST_OK) {
        t.root = m2c_obj(&t);
        yyjson_mut_doc_set_root(t.doc, t.root);
    }
    for (size_t i = 0; st == ST_OK && i < sizeof(steps) / sizeof(steps[0]); i++)
        st = steps[i](&t, yyjson_doc_get_root(in));
    if (st == ST_OK)
        st = write_body(&t, out);
    yyjson_mut_doc_free(t.doc);
    yyjson_doc_free(in);
    return st;
}

const struct translator messages_to_chat = {
    .name = "messages_to_chat",
    .client = &dialect_messages,
    .upstream = &dialect_chat,
    .state_size = sizeof(struct m2c_state),
    .request = m2c_request,
    .answer = m2c_answer,
    .event = m2c_event,
    .end = m2c_end,
    .fini = m2c_fini,
};
