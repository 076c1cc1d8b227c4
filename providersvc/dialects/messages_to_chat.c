#include "providersvc/dialects/messages_to_chat.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "providersvc/dialects/data_url.h"
#include "services/json.h"

#define STOPS_MAX 4 /* that chat takes */
#define USER_MAX 64 /* bytes of `user` that OpenAI takes; Claude Code sends 150 and more */
#define USER_DIGEST 16 /* bytes */
#define BUDGET_LEAST 1024 /* of thinking, as Anthropic demands */
#define BUDGET_LOW 2000 /* fewer tokens of thinking than that are low effort, */
#define BUDGET_MEDIUM 8000 /* fewer than that medium (contract, section 4.6) */
#define FORMAT_NAME "response" /* chat demands one */

/* ---- limits, sampling ----------------------------------------------------------------------------------------------
 */

static enum status take_model(struct m2c *t, yyjson_val *in)
{
    yyjson_val *model = NULL;
    enum status st = check_need(&t->r.from, in, "model", IS_STRING, &model);

    making_put_text(&t->r.to, t->r.to.root, "model", t->r.from.call->upstream_model);
    return st;
}

static enum status take_limit(struct m2c *t, yyjson_val *in)
{
    const struct translate_call *call = t->r.from.call;
    yyjson_val *v = NULL;
    uint64_t limit = 0;
    enum status st = check_count(&t->r.from, in, "max_tokens", true, 1, &v);

    if (st == ST_OK && check_count_of(v, &limit))
        making_put(&t->r.to, t->r.to.root, translate_limit_name(call),
                   making_count(&t->r.to, translate_limit(call, limit)));
    return st;
}

/* From 0 to 1. It goes upstream as it stood. */
static enum status take_share(struct m2c *t, yyjson_val *in, const char *name)
{
    double number = 0;
    yyjson_val *v = NULL;
    enum status st = check_get(&t->r.from, in, name, IS_NUMBER, &v);

    if (st == ST_OK && v != NULL)
        st = check_upto(&t->r.from, name, v, 1, &number);
    if (st == ST_OK && v != NULL)
        making_put_value(&t->r.to, t->r.to.root, name, v);
    return st;
}

static enum status take_sampling(struct m2c *t, yyjson_val *in)
{
    yyjson_val *top_k = NULL;
    enum status st = take_share(t, in, "temperature");

    if (st == ST_OK)
        st = take_share(t, in, "top_p");
    if (st == ST_OK)
        st = check_count(&t->r.from, in, "top_k", false, 0, &top_k);
    return st == ST_OK && top_k != NULL ? check_unsupported(&t->r.from, "top_k") : st;
}

static enum status take_stops(struct m2c *t, yyjson_val *in)
{
    yyjson_mut_val *stop = making_array(&t->r.to);
    yyjson_val *stops = NULL, *v;
    enum status st = check_get(&t->r.from, in, "stop_sequences", IS_ARRAY, &stops);
    size_t i, n;

    yyjson_arr_foreach(stops, i, n, v)
    {
        check_enter_item(&t->r.from, "stop_sequences", i);
        st = check_is(&t->r.from, NULL, v, IS_STRING);
        if (st == ST_OK && yyjson_get_len(v) == 0)
            st = check_invalid(&t->r.from, NULL, "String should have at least 1 character");
        if (st == ST_OK && i == STOPS_MAX)
            st = check_unsupported(&t->r.from, NULL);
        check_leave(&t->r.from);
        if (st != ST_OK || i == STOPS_MAX) /* one too many; the rest is not looked at */
            break;
        making_push(&t->r.to, stop, making_value(&t->r.to, v));
    }
    if (st == ST_OK && yyjson_mut_arr_size(stop) > 0)
        making_put(&t->r.to, t->r.to.root, "stop", stop);
    return st;
}

static enum status take_stream(struct m2c *t, yyjson_val *in)
{
    yyjson_val *stream = NULL;
    enum status st = check_get(&t->r.from, in, "stream", IS_BOOL, &stream);
    yyjson_mut_val *options;

    if (st != ST_OK || !t->r.from.call->stream)
        return st;
    options = making_object(&t->r.to);
    making_put(&t->r.to, options, "include_usage",
               making_bool(&t->r.to, true)); /* an Anthropic stream always says it */
    making_put(&t->r.to, t->r.to.root, "stream", making_bool(&t->r.to, true));
    making_put(&t->r.to, t->r.to.root, "stream_options", options);
    return ST_OK;
}

/* What is longer than OpenAI takes becomes a digest: still the same for the same user. */
static enum status take_user(struct m2c *t, yyjson_val *in)
{
    unsigned char digest[USER_DIGEST];
    char text[2 * USER_DIGEST + 1];
    yyjson_val *metadata = NULL, *v = NULL;
    enum status st = check_get(&t->r.from, in, "metadata", IS_OBJECT, &metadata);
    struct slice user;

    check_enter(&t->r.from, "metadata");
    if (st == ST_OK)
        st = check_get(&t->r.from, metadata, "user_id", IS_STRING, &v);
    check_leave(&t->r.from);
    user = facts_text(v);
    if (st != ST_OK || user.n == 0)
        return st;
    if (user.n > USER_MAX) {
        (void)crypto_generichash(digest, sizeof(digest), (const unsigned char *)user.p, user.n, NULL, 0);
        (void)sodium_bin2hex(text, sizeof(text), digest, sizeof(digest));
        user = slice_of(text);
    }
    making_put_copy(&t->r.to, t->r.to.root, "user", user);
    return ST_OK;
}

/* ---- tools ---------------------------------------------------------------------------------------------------------
 */

/* Answers will name the tool by what was sent. */
static enum status keep_name(struct m2c *t, struct slice given, struct slice sent)
{
    struct m2c_names *names = t->names;
    struct m2c_long_name *items;

    if (given.n <= TRANSLATE_NAME_MAX)
        return ST_OK;
    if (names->n == M2C_LONG_NAMES_MAX)
        return check_invalid(&t->r.from, "name", "There are too many tools with so long a name");
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

static bool has_objects(yyjson_val *schema)
{
    yyjson_val *type = yyjson_obj_get(schema, "type"), *v;
    size_t i, n;

    yyjson_arr_foreach(type, i, n, v)
    {
        if (yyjson_equals_str(v, "object"))
            return true;
    }
    return yyjson_equals_str(type, "object") || yyjson_is_obj(yyjson_obj_get(schema, "properties"));
}

/* May the schema be "strict" in OpenAI's sense: an object, every object closed, every property required? Anthropic
 * keeps to others as well; there chat can only be asked to. */
static bool is_strict(yyjson_val *schema, unsigned depth)
{
    yyjson_val *key, *v;
    size_t i, n;

    if (depth > JSON_DEPTH_MAX || (depth == 0 && !yyjson_equals_str(yyjson_obj_get(schema, "type"), "object")))
        return false;
    if (has_objects(schema) &&
        (!yyjson_is_false(yyjson_obj_get(schema, "additionalProperties")) ||
         yyjson_arr_size(yyjson_obj_get(schema, "required")) != yyjson_obj_size(yyjson_obj_get(schema, "properties"))))
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

/* OpenAI refuses an object schema without properties. */
static yyjson_mut_val *parameters(struct m2c *t, yyjson_val *schema)
{
    yyjson_mut_val *v = making_value(&t->r.to, schema);

    if (v != NULL && yyjson_obj_get(schema, "properties") == NULL)
        making_put_object(&t->r.to, v, "properties");
    return v;
}

/* Chat has no place for examples of a tool's input but the words about it. */
static enum status describe(struct m2c *t, yyjson_val *tool, yyjson_mut_val *function)
{
    yyjson_val *description = NULL, *examples = NULL, *example;
    enum status st = check_get(&t->r.from, tool, "description", IS_STRING, &description);
    struct buf text;
    size_t i, n;

    if (st == ST_OK)
        st = check_get(&t->r.from, tool, "input_examples", IS_ARRAY, &examples);
    if (st != ST_OK)
        return st;
    if (yyjson_arr_size(examples) == 0) {
        if (description != NULL)
            making_put_value(&t->r.to, function, "description", description);
        return ST_OK;
    }
    buf_init(&text, M2C_TEXT_MAX);
    st = buf_add(&text, yyjson_get_str(description), yyjson_get_len(description));
    if (st == ST_OK)
        st = buf_addf(&text, "%sExamples of its input:", text.n > 0 ? "\n\n" : "");
    yyjson_arr_foreach(examples, i, n, example)
    {
        struct put p = {&text, st};

        put_raw(&p, "\n");
        put_value(&p, example);
        st = p.st;
    }
    making_put_copy(&t->r.to, function, "description", (struct slice){text.p, text.n});
    buf_fini(&text);
    return st;
}

/* Whoever may call it, the model itself may: others are programs that Anthropic's servers run. */
static enum status check_callers(struct m2c *t, yyjson_val *tool)
{
    yyjson_val *callers = NULL;
    enum status st = check_get(&t->r.from, tool, "allowed_callers", IS_ARRAY, &callers);

    if (st == ST_OK && callers != NULL &&
        (yyjson_arr_size(callers) != 1 || !yyjson_equals_str(yyjson_arr_get_first(callers), "direct")))
        st = check_unsupported(&t->r.from, "allowed_callers");
    return st;
}

static enum status add_tool(struct m2c *t, yyjson_val *tool, yyjson_mut_val *tools)
{
    /* what only says when a tool is loaded, cached or sent changes nothing here */
    static const char *const known[] = {"type",
                                        "name",
                                        "description",
                                        "input_schema",
                                        "strict",
                                        "cache_control",
                                        "defer_loading",
                                        "eager_input_streaming",
                                        "input_examples",
                                        "allowed_callers",
                                        NULL};
    yyjson_val *schema = NULL, *strict = NULL;
    char name_memory[TRANSLATE_NAME_MAX + 1];
    yyjson_mut_val *function, *item;
    struct slice name = {NULL, 0};
    enum status st = m2c_tool_name(t, tool, name_memory, &name);

    if (st == ST_OK)
        st = check_need(&t->r.from, tool, "input_schema", IS_OBJECT, &schema);
    if (st == ST_OK)
        st = check_get(&t->r.from, tool, "strict", IS_BOOL, &strict);
    if (st == ST_OK)
        st = check_callers(t, tool);
    if (st == ST_OK)
        st = check_only(&t->r.from, tool, known);
    if (st == ST_OK)
        st = keep_name(t, facts_text(yyjson_obj_get(tool, "name")), name);
    if (st != ST_OK)
        return st;
    function = making_object(&t->r.to);
    making_put_copy(&t->r.to, function, "name", name);
    st = describe(t, tool, function);
    making_put(&t->r.to, function, "parameters", parameters(t, schema));
    if (strict != NULL)
        making_put(&t->r.to, function, "strict", making_bool(&t->r.to, yyjson_is_true(strict) && is_strict(schema, 0)));
    item = making_object(&t->r.to);
    making_put_word(&t->r.to, item, "type", "function");
    making_put(&t->r.to, item, "function", function);
    making_push(&t->r.to, tools, item);
    return st;
}

/* mode, or the named tool. */
static enum status put_choice(struct m2c *t, yyjson_val *choice, const char *mode)
{
    char name_memory[TRANSLATE_NAME_MAX + 1];
    yyjson_mut_val *named, *function;
    struct slice name = {NULL, 0};
    enum status st;

    if (mode != NULL) {
        making_put_word(&t->r.to, t->r.to.root, "tool_choice", mode);
        return ST_OK;
    }
    st = m2c_tool_name(t, choice, name_memory, &name);
    if (st != ST_OK)
        return st;
    function = making_object(&t->r.to);
    making_put_copy(&t->r.to, function, "name", name);
    named = making_object(&t->r.to);
    making_put_word(&t->r.to, named, "type", "function");
    making_put(&t->r.to, named, "function", function);
    making_put(&t->r.to, t->r.to.root, "tool_choice", named);
    return ST_OK;
}

/* *ret_mode: NULL = the named tool. */
static enum status read_mode(struct m2c *t, yyjson_val *choice, const char **ret_mode, bool *ret_alone)
{
    static const struct {
        const char *type, *mode;
    } modes[] = {{"auto", "auto"}, {"none", "none"}, {"any", "required"}, {"tool", NULL}};
    yyjson_val *type = NULL, *alone = NULL;
    enum status st = check_need(&t->r.from, choice, "type", IS_STRING, &type);

    if (st == ST_OK)
        st = check_get(&t->r.from, choice, "disable_parallel_tool_use", IS_BOOL, &alone);
    if (st != ST_OK)
        return st;
    *ret_alone = yyjson_is_true(alone);
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        if (!yyjson_equals_str(type, modes[i].type))
            continue;
        *ret_mode = modes[i].mode;
        return ST_OK;
    }
    return check_invalid(&t->r.from, "type", "Input should be 'auto', 'any', 'tool' or 'none'");
}

/* given: tools that the client named, kept: that are left of them. */
static enum status take_choice(struct m2c *t, yyjson_val *in, size_t given, size_t kept)
{
    yyjson_val *choice = NULL;
    const char *mode = NULL;
    bool alone = false;
    enum status st = check_get(&t->r.from, in, "tool_choice", IS_OBJECT, &choice);

    if (st != ST_OK || choice == NULL)
        return st;
    check_enter(&t->r.from, "tool_choice");
    st = read_mode(t, choice, &mode, &alone);
    if (st == ST_OK && kept > 0) {
        if (alone)
            making_put(&t->r.to, t->r.to.root, "parallel_tool_calls", making_bool(&t->r.to, false));
        st = put_choice(t, choice, mode);
    } else if (st == ST_OK && (mode == NULL || strcmp(mode, "required") == 0)) { /* chat takes no choice among none */
        st = given > 0 ? check_unsupported(&t->r.from, NULL)
                       : check_invalid(&t->r.from, NULL, "It may only be specified while providing tools");
    }
    check_leave(&t->r.from);
    return st;
}

static enum status take_tools(struct m2c *t, yyjson_val *in)
{
    yyjson_mut_val *tools = making_array(&t->r.to);
    yyjson_val *list = NULL, *tool, *type = NULL;
    enum status st = check_get(&t->r.from, in, "tools", IS_ARRAY, &list);
    size_t i, n;

    yyjson_arr_foreach(list, i, n, tool)
    {
        check_enter_item(&t->r.from, "tools", i);
        st = check_is(&t->r.from, NULL, tool, IS_OBJECT);
        if (st == ST_OK)
            st = check_get(&t->r.from, tool, "type", IS_STRING, &type);
        if (st == ST_OK && type != NULL && slice_starts(facts_text(type), "tool_search_tool"))
            ; /* it finds tools that are not loaded: here all of them are */
        else if (st == ST_OK && type != NULL && !yyjson_equals_str(type, "custom"))
            st = check_unsupported(&t->r.from, NULL); /* web_search_…: Anthropic's servers run it, or know its schema */
        else if (st == ST_OK)
            st = add_tool(t, tool, tools);
        if (st != ST_OK)
            return st;
        check_leave(&t->r.from);
    }
    if (yyjson_mut_arr_size(tools) > 0)
        making_put(&t->r.to, t->r.to.root, "tools", tools);
    return st == ST_OK ? take_choice(t, in, yyjson_arr_size(list), yyjson_mut_arr_size(tools)) : st;
}

/* ---- thinking, format ----------------------------------------------------------------------------------------------
 */

/* *ret_effort: what the budget amounts to; NULL = the model's own. *ret_off: no thinking at all. */
static enum status read_thinking(struct m2c *t, yyjson_val *thinking, const char **ret_effort, bool *ret_off)
{
    yyjson_val *type = NULL, *budget = NULL;
    uint64_t tokens = 0;
    enum status st = check_need(&t->r.from, thinking, "type", IS_STRING, &type);

    if (st != ST_OK)
        return st;
    *ret_off = yyjson_equals_str(type, "disabled");
    if (*ret_off || yyjson_equals_str(type, "adaptive") || yyjson_equals_str(type, "between_tools"))
        return ST_OK;
    if (!yyjson_equals_str(type, "enabled"))
        return check_invalid(&t->r.from, "type", "Input should be 'adaptive', 'enabled' or 'disabled'");
    st = check_count(&t->r.from, thinking, "budget_tokens", true, BUDGET_LEAST, &budget);
    if (st == ST_OK && check_count_of(budget, &tokens))
        *ret_effort = tokens < BUDGET_LOW ? "low" : tokens < BUDGET_MEDIUM ? "medium" : "high";
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

/* A model that may not be told is not told what a budget amounts to, which nobody asked for. */
static enum status put_effort(struct m2c *t, const char *effort, bool asked)
{
    const char *said = effort != NULL ? translate_effort(t->r.from.call, effort) : NULL;

    if (said != NULL)
        making_put_text(&t->r.to, t->r.to.root, "reasoning_effort", slice_of(said));
    else if (asked)
        return check_unsupported_model(&t->r.from, "output_config.effort");
    return ST_OK;
}

/* Nothing is said where thinking is off: models without reasoning refuse the parameter, others its "none". */
static enum status take_effort(struct m2c *t, yyjson_val *in, yyjson_val *config)
{
    const char *effort = NULL;
    yyjson_val *thinking = NULL, *v = NULL;
    bool off = false;
    enum status st = check_get(&t->r.from, in, "thinking", IS_OBJECT, &thinking);

    check_enter(&t->r.from, "thinking");
    if (st == ST_OK && thinking != NULL)
        st = read_thinking(t, thinking, &effort, &off);
    check_leave(&t->r.from);
    check_enter(&t->r.from, "output_config");
    if (st == ST_OK)
        st = check_get(&t->r.from, config, "effort", IS_STRING, &v);
    if (st == ST_OK && v != NULL && !is_effort(v))
        st = check_invalid(&t->r.from, "effort", "Input should be 'low', 'medium', 'high', 'xhigh' or 'max'");
    check_leave(&t->r.from);
    if (st != ST_OK || off)
        return st;
    return put_effort(t, v != NULL ? yyjson_get_str(v) : effort, v != NULL);
}

static enum status take_format(struct m2c *t, yyjson_val *format)
{
    yyjson_val *type = NULL, *schema = NULL;
    yyjson_mut_val *inner, *outer;
    enum status st = check_need(&t->r.from, format, "type", IS_STRING, &type);

    if (st == ST_OK && !yyjson_equals_str(type, "json_schema"))
        st = check_invalid(&t->r.from, "type", "Input should be 'json_schema'");
    if (st == ST_OK)
        st = check_need(&t->r.from, format, "schema", IS_OBJECT, &schema);
    if (st != ST_OK)
        return st;
    inner = making_object(&t->r.to);
    making_put_word(&t->r.to, inner, "name", FORMAT_NAME);
    making_put_value(&t->r.to, inner, "schema", schema);
    making_put(&t->r.to, inner, "strict", making_bool(&t->r.to, is_strict(schema, 0)));
    outer = making_object(&t->r.to);
    making_put_value(&t->r.to, outer, "type", type);
    making_put(&t->r.to, outer, "json_schema", inner);
    making_put(&t->r.to, t->r.to.root, "response_format", outer);
    return ST_OK;
}

static enum status take_output(struct m2c *t, yyjson_val *in)
{
    static const char *const known[] = {"effort", "format", NULL};
    yyjson_val *config = NULL, *format = NULL, *old = NULL;
    enum status st = check_get(&t->r.from, in, "output_config", IS_OBJECT, &config);

    check_enter(&t->r.from, "output_config");
    if (st == ST_OK)
        st = check_only(&t->r.from, config, known);
    if (st == ST_OK)
        st = check_get(&t->r.from, config, "format", IS_OBJECT, &format);
    check_enter(&t->r.from, "format");
    if (st == ST_OK && format != NULL)
        st = take_format(t, format);
    check_leave(&t->r.from);
    check_leave(&t->r.from);
    if (st == ST_OK)
        st = check_get(&t->r.from, in, "output_format", IS_OBJECT, &old); /* its name while it was a beta */
    check_enter(&t->r.from, "output_format");
    if (st == ST_OK && format == NULL && old != NULL)
        st = take_format(t, old);
    check_leave(&t->r.from);
    return st == ST_OK ? take_effort(t, in, config) : st;
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
    static const struct reshape_field known[] = {LEFT("model", 0),
                                                 LEFT("messages", 0),
                                                 LEFT("system", 0),
                                                 LEFT("max_tokens", 0),
                                                 LEFT("stream", 0),
                                                 LEFT("temperature", 0),
                                                 LEFT("top_p", 0),
                                                 LEFT("top_k", 0),
                                                 LEFT("stop_sequences", 0),
                                                 LEFT("metadata", 0),
                                                 LEFT("tools", 0),
                                                 LEFT("tool_choice", 0),
                                                 LEFT("thinking", 0),
                                                 LEFT("output_config", 0),
                                                 LEFT("speed", 0),
                                                 LEFT("mcp_servers", 0),
                                                 LEFT("output_format", 0),
                                                 LEFT("cache_control", 0),
                                                 LEFT("context_management", 0),
                                                 LEFT("inference_geo", 0),
                                                 LEFT("service_tier", 0)};
    yyjson_val *servers = NULL, *tier = NULL;
    enum status st = check_get(&t->r.from, in, "mcp_servers", IS_ARRAY, &servers);

    if (st == ST_OK && yyjson_arr_size(servers) > 0)
        st = check_unsupported(&t->r.from, "mcp_servers");
    if (st == ST_OK)
        st = check_get(&t->r.from, in, "service_tier", IS_STRING, &tier);
    if (st == ST_OK && tier != NULL && !yyjson_equals_str(tier, "auto") && !yyjson_equals_str(tier, "standard_only"))
        st = check_invalid(&t->r.from, "service_tier", "Input should be 'auto' or 'standard_only'");
    if (st == ST_OK && !is_default(in, "speed", "standard"))
        st = check_unsupported(&t->r.from, "speed");
    if (st == ST_OK && !is_default(in, "inference_geo", "global"))
        st = check_unsupported(&t->r.from, "inference_geo");
    return st == ST_OK ? reshape_fields(&t->r, known, sizeof(known) / sizeof(known[0]), t) : st;
}

static enum status (*const steps[])(struct m2c *t, yyjson_val *in) = {
    take_model,    take_limit, m2c_turns,   take_tools,  take_stops,
    take_sampling, take_user,  take_output, take_stream, take_rest,
};

static enum status m2c_request(void *state, struct translate_call *call, struct slice body, struct buf *out,
                               struct err *err)
{
    struct m2c_state *s = state;
    struct m2c t = {.names = &s->names};
    enum status st = reshape_begin(&t.r, call, body, M2C_UPSTREAM_NAME, err);

    s->names.n = 0;
    t.r.from.anthropic = true;
    for (size_t i = 0; st == ST_OK && i < sizeof(steps) / sizeof(steps[0]); i++)
        st = steps[i](&t, reshape_body(&t.r));
    return reshape_end(&t.r, st, out);
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
