/*
 * Responses to chat completions: the request (contract, sections 1.3 and 1.9). For clients that speak nothing else.
 * What needs an answer that somebody keeps (previous_response_id, background …) is refused always: left out, it would
 * be another call.
 *
 * The members that a response object repeats are written beside the new body and kept until the answer.
 */
#include "providersvc/dialects/responses_to_chat.h"

#include <string.h>

#define UPSTREAM_NAME "chat completions"
#define NO_STORE "the router keeps no answers for it"

static void echo(struct input_making *q, const char *name, yyjson_val *v)
{
    reshape_add(&q->r, q->echo, name, reshape_copy(&q->r, v));
}

/* ---- tools ----------------------------------------------------------------------------------------------------------
 */

/* Flat → nested. What is absent stays absent: `strict` is true by default in Responses as far as a schema allows it,
 * which another upstream does not know. */
static enum status add_function(struct reshape *r, yyjson_val *tool, yyjson_mut_val *to, yyjson_mut_val *shown)
{
    yyjson_mut_val *function = reshape_object(r);
    yyjson_val *name = NULL;
    enum status st = reshape_need(r, tool, "name", RESHAPE_STRING, &name);

    if (st == ST_OK)
        st = reshape_move(r, tool, "description", RESHAPE_STRING, function, "description");
    if (st == ST_OK)
        st = reshape_move(r, tool, "parameters", RESHAPE_OBJECT, function, "parameters");
    if (st == ST_OK)
        st = reshape_move(r, tool, "strict", RESHAPE_BOOL, function, "strict");
    if (st != ST_OK)
        return st;
    reshape_add(r, function, "name", reshape_text(r, name));
    reshape_add(r, to, "type", reshape_string(r, "function"));
    reshape_add(r, to, "function", function);
    if (yyjson_obj_get(tool, "parameters") == NULL)
        reshape_add(r, shown, "parameters", yyjson_mut_null(r->to));
    if (yyjson_obj_get(tool, "strict") == NULL)
        reshape_add(r, shown, "strict", yyjson_mut_bool(r->to, false));
    return ST_OK;
}

/* {type: grammar, syntax, definition} is nested in chat. */
static enum status add_custom_format(struct reshape *r, yyjson_val *format, yyjson_mut_val *custom)
{
    yyjson_mut_val *to = reshape_object(r), *grammar;
    yyjson_val *type = NULL;
    size_t mark = reshape_enter(r, "format");
    enum status st = reshape_need(r, format, "type", RESHAPE_STRING, &type);

    if (st == ST_OK && yyjson_equals_str(type, "grammar")) {
        grammar = reshape_object(r);
        st = reshape_move(r, format, "syntax", RESHAPE_STRING, grammar, "syntax");
        if (st == ST_OK)
            st = reshape_move(r, format, "definition", RESHAPE_STRING, grammar, "definition");
        reshape_add(r, to, "grammar", grammar);
    }
    if (st != ST_OK)
        return st;
    reshape_add(r, to, "type", reshape_text(r, type));
    reshape_add(r, custom, "format", to);
    reshape_leave(r, mark);
    return ST_OK;
}

static enum status add_custom(struct reshape *r, yyjson_val *tool, yyjson_mut_val *to)
{
    yyjson_mut_val *custom = reshape_object(r);
    yyjson_val *name = NULL, *format = NULL;
    enum status st = reshape_need(r, tool, "name", RESHAPE_STRING, &name);

    if (st == ST_OK)
        st = reshape_move(r, tool, "description", RESHAPE_STRING, custom, "description");
    if (st == ST_OK)
        st = reshape_get(r, tool, "format", RESHAPE_OBJECT, &format);
    if (st == ST_OK && format != NULL)
        st = add_custom_format(r, format, custom);
    if (st != ST_OK)
        return st;
    reshape_add(r, custom, "name", reshape_text(r, name));
    reshape_add(r, to, "type", reshape_string(r, "custom"));
    reshape_add(r, to, "custom", custom);
    return ST_OK;
}

static enum status add_tool(struct reshape *r, yyjson_val *tool, yyjson_mut_val *tools, yyjson_mut_val *all_shown)
{
    yyjson_mut_val *to = reshape_object(r), *shown;
    yyjson_val *type = NULL;
    enum status st = reshape_check(r, NULL, tool, RESHAPE_OBJECT);

    if (st == ST_OK)
        st = reshape_need(r, tool, "type", RESHAPE_STRING, &type);
    if (st != ST_OK)
        return st;
    shown = reshape_copy(r, tool);
    if (yyjson_equals_str(type, "function"))
        st = add_function(r, tool, to, shown);
    else if (yyjson_equals_str(type, "custom"))
        st = add_custom(r, tool, to);
    else /* OpenAI runs it: web_search, mcp … */
        return reshape_unsupported_value(r, "type", type);
    reshape_append(r, tools, to);
    reshape_append(r, all_shown, shown);
    return st;
}

static enum status take_tools(void *ctx, yyjson_val *list)
{
    struct input_making *q = ctx;
    yyjson_mut_val *tools = reshape_array(&q->r), *shown = reshape_array(&q->r);
    yyjson_val *tool;
    enum status st = ST_OK;
    size_t i, n;

    yyjson_arr_foreach(list, i, n, tool)
    {
        size_t mark = reshape_enter(&q->r, "tools[%zu]", i);

        st = add_tool(&q->r, tool, tools, shown);
        if (st != ST_OK)
            return st;
        reshape_leave(&q->r, mark);
    }
    reshape_add(&q->r, q->echo, "tools", shown);
    q->has_tools = yyjson_mut_arr_size(tools) > 0;
    if (q->has_tools) /* an empty list is an error at some upstreams */
        reshape_add(&q->r, q->r.root, "tools", tools);
    return ST_OK;
}

static enum status take_tool_choice(void *ctx, yyjson_val *v)
{
    ((struct input_making *)ctx)->tool_choice = v;
    return ST_OK;
}

static enum status take_parallel(void *ctx, yyjson_val *v)
{
    struct input_making *q = ctx;

    q->parallel = v;
    echo(q, "parallel_tool_calls", v);
    return ST_OK;
}

/* {type: function, name} → {type: function, function: {name}}; custom likewise. */
static enum status name_tool(struct reshape *r, yyjson_val *choice, yyjson_mut_val *to)
{
    yyjson_mut_val *named = reshape_object(r);
    yyjson_val *type = NULL, *name = NULL;
    enum status st = reshape_check(r, NULL, choice, RESHAPE_OBJECT);
    bool custom;

    if (st == ST_OK)
        st = reshape_need(r, choice, "type", RESHAPE_STRING, &type);
    if (st != ST_OK)
        return st;
    custom = yyjson_equals_str(type, "custom");
    if (!custom && !yyjson_equals_str(type, "function"))
        return reshape_unsupported_value(r, "type", type);
    st = reshape_need(r, choice, "name", RESHAPE_STRING, &name);
    if (st != ST_OK)
        return st;
    reshape_add(r, named, "name", reshape_text(r, name));
    reshape_add(r, to, "type", reshape_text(r, type));
    reshape_add(r, to, custom ? "custom" : "function", named);
    return ST_OK;
}

static enum status allow_tools(struct reshape *r, yyjson_val *choice, yyjson_mut_val *to)
{
    yyjson_mut_val *tools = reshape_array(r), *allowed = reshape_object(r);
    yyjson_val *list = NULL, *mode = NULL, *tool;
    enum status st = reshape_need(r, choice, "mode", RESHAPE_STRING, &mode);
    size_t i, n;

    if (st == ST_OK)
        st = reshape_need(r, choice, "tools", RESHAPE_ARRAY, &list);
    if (st != ST_OK)
        return st;
    yyjson_arr_foreach(list, i, n, tool)
    {
        yyjson_mut_val *item = reshape_object(r);
        size_t mark = reshape_enter(r, "tools[%zu]", i);

        st = name_tool(r, tool, item);
        if (st != ST_OK)
            return st;
        if (yyjson_mut_obj_size(item) > 0)
            reshape_append(r, tools, item);
        reshape_leave(r, mark);
    }
    reshape_add(r, allowed, "mode", reshape_text(r, mode));
    reshape_add(r, allowed, "tools", tools);
    reshape_add(r, to, "type", reshape_string(r, "allowed_tools"));
    reshape_add(r, to, "allowed_tools", allowed);
    return ST_OK;
}

/* Without tools a choice is an error in chat, even one that chooses nothing. */
static enum status finish_tool_choice(struct input_making *q)
{
    struct reshape *r = &q->r;
    yyjson_val *choice = q->tool_choice;
    yyjson_mut_val *to;
    enum status st;
    size_t mark;

    if (choice == NULL)
        return ST_OK;
    if (yyjson_is_str(choice)) {
        bool must = yyjson_equals_str(choice, "required");

        if (!must && !yyjson_equals_str(choice, "none") && !yyjson_equals_str(choice, "auto"))
            return reshape_invalid(r, "tool_choice", "none, auto or required, or a tool");
        echo(q, "tool_choice", choice);
        if (q->has_tools || must)
            reshape_add(r, r->root, "tool_choice", reshape_text(r, choice));
        return ST_OK;
    }
    to = reshape_object(r);
    mark = reshape_enter(r, "tool_choice");
    if (yyjson_equals_str(yyjson_obj_get(choice, "type"), "allowed_tools"))
        st = allow_tools(r, choice, to);
    else
        st = name_tool(r, choice, to);
    if (st != ST_OK)
        return st;
    reshape_leave(r, mark);
    if (yyjson_mut_obj_size(to) > 0) { /* else it was left out */
        reshape_add(r, r->root, "tool_choice", to);
        echo(q, "tool_choice", choice);
    }
    return ST_OK;
}

/* ---- the rest -------------------------------------------------------------------------------------------------------
 */

static enum status take_input(void *ctx, yyjson_val *v)
{
    ((struct input_making *)ctx)->input = v;
    return ST_OK;
}

static enum status take_instructions(void *ctx, yyjson_val *v)
{
    struct input_making *q = ctx;

    q->instructions = v;
    echo(q, "instructions", v);
    return ST_OK;
}

static enum status nest_schema(struct reshape *r, yyjson_val *format, yyjson_mut_val *to)
{
    yyjson_mut_val *schema = reshape_object(r);
    yyjson_val *name = NULL, *inner = NULL;
    enum status st = reshape_need(r, format, "name", RESHAPE_STRING, &name);

    if (st == ST_OK)
        st = reshape_need(r, format, "schema", RESHAPE_OBJECT, &inner);
    if (st == ST_OK)
        st = reshape_move(r, format, "description", RESHAPE_STRING, schema, "description");
    if (st == ST_OK)
        st = reshape_move(r, format, "strict", RESHAPE_BOOL, schema, "strict");
    if (st != ST_OK)
        return st;
    reshape_add(r, schema, "name", reshape_text(r, name));
    reshape_add(r, schema, "schema", reshape_copy(r, inner));
    reshape_add(r, to, "json_schema", schema);
    return ST_OK;
}

static enum status add_format(struct reshape *r, yyjson_val *format)
{
    yyjson_mut_val *to = reshape_object(r);
    yyjson_val *type = NULL;
    size_t mark = reshape_enter(r, "format");
    enum status st = reshape_need(r, format, "type", RESHAPE_STRING, &type);

    if (st != ST_OK)
        return st;
    if (yyjson_equals_str(type, "json_schema"))
        st = nest_schema(r, format, to);
    else if (!yyjson_equals_str(type, "text") && !yyjson_equals_str(type, "json_object"))
        return reshape_invalid(r, "type", "text, json_object or json_schema");
    if (st != ST_OK)
        return st;
    reshape_leave(r, mark);
    reshape_add(r, to, "type", reshape_text(r, type));
    if (!yyjson_equals_str(type, "text")) /* what chat does anyway */
        reshape_add(r, r->root, "response_format", to);
    return ST_OK;
}

static enum status take_text(void *ctx, yyjson_val *text)
{
    struct input_making *q = ctx;
    struct reshape *r = &q->r;
    yyjson_mut_val *shown = reshape_object(r), *plain;
    yyjson_val *format = NULL;
    size_t mark = reshape_enter(r, "text");
    enum status st = reshape_get(r, text, "format", RESHAPE_OBJECT, &format);

    if (st == ST_OK && format != NULL)
        st = add_format(r, format);
    if (st == ST_OK)
        st = reshape_move(r, text, "verbosity", RESHAPE_STRING, r->root, "verbosity");
    if (st == ST_OK)
        st = reshape_move(r, text, "verbosity", RESHAPE_STRING, shown, "verbosity");
    if (st != ST_OK)
        return st;
    reshape_leave(r, mark);
    if (format != NULL)
        reshape_add(r, shown, "format", reshape_copy(r, format));
    else {
        plain = reshape_object(r);
        reshape_add(r, plain, "type", reshape_string(r, "text"));
        reshape_add(r, shown, "format", plain);
    }
    reshape_add(r, q->echo, "text", shown);
    return ST_OK;
}

/* A summary cannot be asked for; where an upstream shows its reasoning, the client gets it as one. */
static enum status take_reasoning(void *ctx, yyjson_val *reasoning)
{
    struct input_making *q = ctx;
    struct reshape *r = &q->r;
    yyjson_mut_val *shown = reshape_object(r);
    yyjson_val *effort = NULL, *summary = NULL;
    size_t mark = reshape_enter(r, "reasoning");
    enum status st = reshape_get(r, reasoning, "effort", RESHAPE_STRING, &effort);

    if (st == ST_OK)
        st = reshape_get(r, reasoning, "summary", RESHAPE_STRING, &summary);
    if (st != ST_OK)
        return st;
    reshape_leave(r, mark);
    if (effort != NULL)
        reshape_add(r, r->root, "reasoning_effort", reshape_text(r, effort));
    reshape_add(r, shown, "effort", effort != NULL ? reshape_text(r, effort) : yyjson_mut_null(r->to));
    reshape_add(r, shown, "summary", summary != NULL ? reshape_text(r, summary) : yyjson_mut_null(r->to));
    reshape_add(r, q->echo, "reasoning", shown);
    return ST_OK;
}

static enum status take_bounded(struct input_making *q, const char *name, yyjson_val *v, double most)
{
    double x = reshape_number(v);

    if (x < 0 || x > most)
        return reshape_invalid(&q->r, name, most > 1 ? "a number of 0 to 2" : "a number of 0 to 1");
    reshape_add(&q->r, q->r.root, name, reshape_copy(&q->r, v));
    echo(q, name, v);
    return ST_OK;
}

static enum status take_temperature(void *ctx, yyjson_val *v)
{
    return take_bounded(ctx, "temperature", v, 2);
}

static enum status take_top_p(void *ctx, yyjson_val *v)
{
    return take_bounded(ctx, "top_p", v, 1);
}

static enum status take_limit(void *ctx, yyjson_val *v)
{
    struct input_making *q = ctx;
    uint64_t n = 0;

    if (!reshape_count(v, &n) || n == 0 || n > LIMIT_TOKENS)
        return reshape_invalid(&q->r, "max_output_tokens", "a number of tokens, at least 1");
    q->limit = v;
    echo(q, "max_output_tokens", v);
    return ST_OK;
}

static enum status take_top_logprobs(void *ctx, yyjson_val *v)
{
    struct input_making *q = ctx;

    q->top_logprobs = v;
    echo(q, "top_logprobs", v);
    return ST_OK;
}

static enum status take_include(void *ctx, yyjson_val *list)
{
    struct input_making *q = ctx;
    yyjson_val *item;
    enum status st = ST_OK;
    size_t i, n;

    yyjson_arr_foreach(list, i, n, item)
    {
        size_t mark = reshape_enter(&q->r, "include[%zu]", i);

        st = reshape_check(&q->r, NULL, item, RESHAPE_STRING);
        if (st == ST_OK && yyjson_equals_str(item, "message.output_text.logprobs"))
            q->logprobs = true;
        else if (st == ST_OK && !yyjson_equals_str(item, "reasoning.encrypted_content")) /* there is none to include */
            st = reshape_unsupported_value(&q->r, NULL, item);
        if (st != ST_OK)
            return st;
        reshape_leave(&q->r, mark);
    }
    return ST_OK;
}

static enum status take_metadata(void *ctx, yyjson_val *v)
{
    echo(ctx, "metadata", v);
    return ST_OK;
}

static enum status take_user(void *ctx, yyjson_val *v)
{
    struct input_making *q = ctx;

    reshape_add(&q->r, q->r.root, "user", reshape_text(&q->r, v));
    echo(q, "user", v);
    return ST_OK;
}

static enum status take_safety(void *ctx, yyjson_val *v)
{
    echo(ctx, "safety_identifier", v);
    return ST_OK;
}

static enum status take_cache_key(void *ctx, yyjson_val *v)
{
    echo(ctx, "prompt_cache_key", v);
    return ST_OK;
}

/* Two tiers are what happens anyway. */
static enum status take_tier(void *ctx, yyjson_val *v)
{
    struct reshape *r = &((struct input_making *)ctx)->r;

    if (!yyjson_equals_str(v, "auto") && !yyjson_equals_str(v, "default"))
        reshape_add(r, r->root, "service_tier", reshape_text(r, v));
    return ST_OK;
}

static enum status take_store(void *ctx, yyjson_val *v)
{
    return yyjson_is_true(v) ? reshape_unsupported(&((struct input_making *)ctx)->r, "store") : ST_OK;
}

static enum status take_background(void *ctx, yyjson_val *v)
{
    return yyjson_is_true(v) ? reshape_refuse(&((struct input_making *)ctx)->r, "background", NO_STORE) : ST_OK;
}

static enum status take_previous(void *ctx, yyjson_val *v)
{
    (void)v;
    return reshape_refuse(&((struct input_making *)ctx)->r, "previous_response_id", NO_STORE);
}

static enum status take_conversation(void *ctx, yyjson_val *v)
{
    (void)v;
    return reshape_refuse(&((struct input_making *)ctx)->r, "conversation", NO_STORE);
}

static enum status take_prompt(void *ctx, yyjson_val *v)
{
    (void)v;
    return reshape_refuse(&((struct input_making *)ctx)->r, "prompt", "only OpenAI knows the stored prompt");
}

static enum status take_truncation(void *ctx, yyjson_val *v)
{
    struct reshape *r = &((struct input_making *)ctx)->r;

    return yyjson_equals_str(v, "disabled") ? ST_OK : reshape_unsupported(r, "truncation");
}

static const struct reshape_field fields[] = {
    {"model", RESHAPE_STRING, true, NULL}, /* the call says it */
    {"input", RESHAPE_STRING | RESHAPE_ARRAY, false, take_input},
    {"instructions", RESHAPE_STRING, false, take_instructions},
    {"stream", RESHAPE_BOOL, true, NULL}, /* the call says it */
    {"stream_options", RESHAPE_OBJECT, true, NULL},
    {"max_output_tokens", RESHAPE_COUNT, false, take_limit},
    {"tools", RESHAPE_ARRAY, false, take_tools},
    {"tool_choice", RESHAPE_STRING | RESHAPE_OBJECT, false, take_tool_choice},
    {"parallel_tool_calls", RESHAPE_BOOL, false, take_parallel},
    {"max_tool_calls", RESHAPE_COUNT, true, NULL}, /* of hosted tools, and there are none */
    {"text", RESHAPE_OBJECT, false, take_text},
    {"reasoning", RESHAPE_OBJECT, false, take_reasoning},
    {"temperature", RESHAPE_NUMBER, false, take_temperature},
    {"top_p", RESHAPE_NUMBER, false, take_top_p},
    {"top_logprobs", RESHAPE_COUNT, false, take_top_logprobs},
    {"include", RESHAPE_ARRAY, false, take_include},
    {"metadata", RESHAPE_OBJECT, false, take_metadata},
    {"user", RESHAPE_STRING, false, take_user},
    {"safety_identifier", RESHAPE_STRING, false, take_safety},
    {"prompt_cache_key", RESHAPE_STRING, false, take_cache_key},
    {"client_metadata", RESHAPE_OBJECT, true, NULL}, /* Codex tells of itself */
    {"prompt_cache_retention", RESHAPE_STRING, true, NULL},
    {"prompt_cache_options", RESHAPE_OBJECT, true, NULL},
    {"service_tier", RESHAPE_STRING, false, take_tier},
    {"store", RESHAPE_BOOL, false, take_store},
    {"background", RESHAPE_BOOL, false, take_background},
    {"previous_response_id", RESHAPE_STRING, false, take_previous},
    {"conversation", RESHAPE_STRING | RESHAPE_OBJECT, false, take_conversation},
    {"prompt", RESHAPE_OBJECT, false, take_prompt},
    {"truncation", RESHAPE_STRING, false, take_truncation},
};

/* ---- what every response object says -------------------------------------------------------------------------------
 */

static void echo_default(struct input_making *q, const char *name, const char *json)
{
    yyjson_doc *doc;

    if (yyjson_mut_obj_get(q->echo, name) != NULL)
        return;
    doc = yyjson_read(json, strlen(json), 0);
    reshape_add(&q->r, q->echo, name, yyjson_val_mut_copy(q->r.to, yyjson_doc_get_root(doc)));
    yyjson_doc_free(doc);
}

/* Everything that the API's description demands, and what OpenAI shows beside it. */
static enum status finish_echo(struct input_making *q, struct output *o)
{
    static const struct {
        const char *name, *json;
    } defaults[] = {{"instructions", "null"},
                    {"max_output_tokens", "null"},
                    {"metadata", "{}"},
                    {"parallel_tool_calls", "true"},
                    {"temperature", "1"},
                    {"text", "{\"format\":{\"type\":\"text\"}}"},
                    {"tool_choice", "\"auto\""},
                    {"tools", "[]"},
                    {"top_p", "1"},
                    {"reasoning", "{\"effort\":null,\"summary\":null}"},
                    {"truncation", "\"disabled\""}};
    enum status st;

    for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++)
        echo_default(q, defaults[i].name, defaults[i].json);
    o->echo.n = 0;
    if (o->echo.max == 0)
        buf_init(&o->echo, 2 * LIMIT_BODY);
    st = reshape_write(&q->r, q->echo, &o->echo);
    if (st == ST_OK) { /* without its braces */
        buf_consume(&o->echo, 1);
        o->echo.n--;
    }
    return st;
}

static enum status finish(struct input_making *q)
{
    struct reshape *r = &q->r;
    enum status st = input_messages(q);

    if (st == ST_OK)
        st = finish_tool_choice(q);
    if (st != ST_OK)
        return st;
    reshape_add(r, r->root, "messages", q->messages);
    if (q->parallel != NULL && q->has_tools)
        reshape_add(r, r->root, "parallel_tool_calls", reshape_copy(r, q->parallel));
    reshape_add(r, r->root, "model", reshape_slice(r, r->call->upstream_model));
    if (r->call->output_limit > 0)
        reshape_add(r, r->root, "max_completion_tokens", yyjson_mut_uint(r->to, r->call->output_limit));
    else if (q->limit != NULL)
        reshape_add(r, r->root, "max_completion_tokens", reshape_copy(r, q->limit));
    if (q->logprobs || q->top_logprobs != NULL)
        reshape_add(r, r->root, "logprobs", yyjson_mut_bool(r->to, true));
    if (q->top_logprobs != NULL)
        reshape_add(r, r->root, "top_logprobs", reshape_copy(r, q->top_logprobs));
    if (r->call->stream) {
        yyjson_mut_val *options = reshape_object(r);

        reshape_add(r, options, "include_usage", yyjson_mut_bool(r->to, true));
        reshape_add(r, r->root, "stream", yyjson_mut_bool(r->to, true));
        reshape_add(r, r->root, "stream_options", options);
    }
    return ST_OK;
}

enum status output_request(void *state, struct translate_call *call, struct slice body, struct buf *out,
                           struct err *err)
{
    struct input_making q = {0};
    enum status st = reshape_begin(&q.r, call, body, UPSTREAM_NAME, err);

    if (st == ST_OK) {
        q.echo = reshape_object(&q.r);
        q.messages = reshape_array(&q.r);
        st = reshape_fields(&q.r, fields, sizeof(fields) / sizeof(fields[0]), &q);
    }
    if (st == ST_OK)
        st = finish(&q);
    if (st == ST_OK)
        st = finish_echo(&q, state);
    return reshape_end(&q.r, st, out);
}
