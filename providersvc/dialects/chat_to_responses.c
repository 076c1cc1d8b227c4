/*
 * Chat completions to Responses: the request (contract, section 1.9). It exists because some models take function tools
 * and reasoning together only in Responses.
 */
#include "providersvc/dialects/chat_to_responses.h"

#include <stdlib.h>
#include <string.h>

#define UPSTREAM_NAME "the Responses API"
#define OUTPUT_TOKENS_MIN 16 /* the least that Responses takes as max_output_tokens */
#define CHOICES_MAX 128 /* of n */

/* ---- tools ----------------------------------------------------------------------------------------------------------
 */

static enum status add_function(struct reshape *r, yyjson_val *tool, yyjson_mut_val *to)
{
    yyjson_mut_val *schema;
    yyjson_val *function = NULL, *name = NULL, *parameters = NULL, *strict = NULL;
    enum status st = reshape_need(r, tool, "function", RESHAPE_OBJECT, &function);
    size_t mark = reshape_enter(r, "function");

    if (st == ST_OK)
        st = reshape_need(r, function, "name", RESHAPE_STRING, &name);
    if (st == ST_OK)
        st = reshape_get(r, function, "parameters", RESHAPE_OBJECT, &parameters);
    if (st == ST_OK)
        st = reshape_get(r, function, "strict", RESHAPE_BOOL, &strict);
    if (st != ST_OK)
        return st;
    reshape_add(r, to, "type", reshape_string(r, "function"));
    reshape_add(r, to, "name", reshape_text(r, name));
    st = reshape_move(r, function, "description", RESHAPE_STRING, to, "description");
    if (parameters != NULL)
        schema = reshape_copy(r, parameters);
    else { /* chat takes a function without any */
        schema = reshape_object(r);
        reshape_add(r, schema, "type", reshape_string(r, "object"));
        reshape_add(r, schema, "properties", reshape_object(r));
    }
    reshape_add(r, to, "parameters", schema);
    /* Responses takes what is absent for true, chat for false. */
    reshape_add(r, to, "strict", yyjson_mut_bool(r->to, yyjson_is_true(strict)));
    if (st == ST_OK)
        reshape_leave(r, mark);
    return st;
}

/* {type: grammar, grammar: {syntax, definition}} is flat on the other side. */
static enum status add_custom_format(struct reshape *r, yyjson_val *format, yyjson_mut_val *to)
{
    yyjson_mut_val *flat = reshape_object(r);
    yyjson_val *type = NULL, *grammar = NULL;
    size_t mark = reshape_enter(r, "format");
    enum status st = reshape_need(r, format, "type", RESHAPE_STRING, &type);

    if (st == ST_OK && yyjson_equals_str(type, "grammar")) {
        size_t inner;

        st = reshape_need(r, format, "grammar", RESHAPE_OBJECT, &grammar);
        inner = reshape_enter(r, "grammar");
        if (st == ST_OK)
            st = reshape_move(r, grammar, "syntax", RESHAPE_STRING, flat, "syntax");
        if (st == ST_OK)
            st = reshape_move(r, grammar, "definition", RESHAPE_STRING, flat, "definition");
        if (st == ST_OK)
            reshape_leave(r, inner);
    }
    if (st != ST_OK)
        return st;
    reshape_add(r, flat, "type", reshape_text(r, type));
    reshape_add(r, to, "format", flat);
    reshape_leave(r, mark);
    return ST_OK;
}

static enum status add_custom(struct reshape *r, yyjson_val *tool, yyjson_mut_val *to)
{
    yyjson_val *custom = NULL, *name = NULL, *format = NULL;
    enum status st = reshape_need(r, tool, "custom", RESHAPE_OBJECT, &custom);
    size_t mark = reshape_enter(r, "custom");

    if (st == ST_OK)
        st = reshape_need(r, custom, "name", RESHAPE_STRING, &name);
    if (st == ST_OK)
        st = reshape_get(r, custom, "format", RESHAPE_OBJECT, &format);
    if (st != ST_OK)
        return st;
    reshape_add(r, to, "type", reshape_string(r, "custom"));
    reshape_add(r, to, "name", reshape_text(r, name));
    st = reshape_move(r, custom, "description", RESHAPE_STRING, to, "description");
    if (st == ST_OK && format != NULL)
        st = add_custom_format(r, format, to);
    if (st == ST_OK)
        reshape_leave(r, mark);
    return st;
}

static enum status add_tool(struct reshape *r, yyjson_val *tool, yyjson_mut_val *tools)
{
    yyjson_mut_val *to = reshape_object(r);
    yyjson_val *type = NULL;
    enum status st = reshape_check(r, NULL, tool, RESHAPE_OBJECT);

    if (st == ST_OK)
        st = reshape_need(r, tool, "type", RESHAPE_STRING, &type);
    if (st != ST_OK)
        return st;
    if (yyjson_equals_str(type, "function"))
        st = add_function(r, tool, to);
    else if (yyjson_equals_str(type, "custom"))
        st = add_custom(r, tool, to);
    else
        return reshape_invalid(r, "type", "function or custom");
    reshape_append(r, tools, to);
    return st;
}

static enum status take_tools(void *ctx, yyjson_val *list)
{
    struct bridge_making *q = ctx;
    yyjson_mut_val *tools = reshape_array(&q->r);
    yyjson_val *tool;
    enum status st = ST_OK;
    size_t i, n;

    yyjson_arr_foreach(list, i, n, tool)
    {
        size_t mark = reshape_enter(&q->r, "tools[%zu]", i);

        st = add_tool(&q->r, tool, tools);
        if (st != ST_OK)
            return st;
        reshape_leave(&q->r, mark);
    }
    reshape_add(&q->r, q->r.root, "tools", tools);
    return ST_OK;
}

/* {type: function, function: {name}} → {type: function, name}; custom likewise. */
static enum status name_tool(struct reshape *r, yyjson_val *choice, yyjson_mut_val *to)
{
    yyjson_val *type = NULL, *named = NULL, *name = NULL;
    enum status st = reshape_check(r, NULL, choice, RESHAPE_OBJECT);
    bool custom;
    size_t mark;

    if (st == ST_OK)
        st = reshape_need(r, choice, "type", RESHAPE_STRING, &type);
    if (st != ST_OK)
        return st;
    custom = yyjson_equals_str(type, "custom");
    if (!custom && !yyjson_equals_str(type, "function"))
        return reshape_invalid(r, "type", "function or custom");
    st = reshape_need(r, choice, custom ? "custom" : "function", RESHAPE_OBJECT, &named);
    mark = reshape_enter(r, custom ? "custom" : "function");
    if (st == ST_OK)
        st = reshape_need(r, named, "name", RESHAPE_STRING, &name);
    if (st != ST_OK)
        return st;
    reshape_leave(r, mark);
    reshape_add(r, to, "type", reshape_text(r, type));
    reshape_add(r, to, "name", reshape_text(r, name));
    return ST_OK;
}

static enum status allow_tools(struct reshape *r, yyjson_val *choice, yyjson_mut_val *to)
{
    yyjson_mut_val *tools = reshape_array(r);
    yyjson_val *allowed = NULL, *list = NULL, *mode = NULL, *tool;
    enum status st = reshape_need(r, choice, "allowed_tools", RESHAPE_OBJECT, &allowed);
    size_t outer = reshape_enter(r, "allowed_tools"), i, n;

    if (st == ST_OK)
        st = reshape_need(r, allowed, "mode", RESHAPE_STRING, &mode);
    if (st == ST_OK)
        st = reshape_need(r, allowed, "tools", RESHAPE_ARRAY, &list);
    if (st != ST_OK)
        return st;
    yyjson_arr_foreach(list, i, n, tool)
    {
        yyjson_mut_val *item = reshape_object(r);
        size_t mark = reshape_enter(r, "tools[%zu]", i);

        st = name_tool(r, tool, item);
        if (st != ST_OK)
            return st;
        reshape_append(r, tools, item);
        reshape_leave(r, mark);
    }
    reshape_leave(r, outer);
    reshape_add(r, to, "type", reshape_string(r, "allowed_tools"));
    reshape_add(r, to, "mode", reshape_text(r, mode));
    reshape_add(r, to, "tools", tools);
    return ST_OK;
}

static enum status take_tool_choice(void *ctx, yyjson_val *choice)
{
    struct reshape *r = &((struct bridge_making *)ctx)->r;
    yyjson_mut_val *to;
    enum status st;
    size_t mark;

    if (yyjson_is_str(choice)) {
        if (!yyjson_equals_str(choice, "none") && !yyjson_equals_str(choice, "auto") &&
            !yyjson_equals_str(choice, "required"))
            return reshape_invalid(r, "tool_choice", "none, auto or required, or a tool");
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
    reshape_add(r, r->root, "tool_choice", to);
    return ST_OK;
}

/* ---- the rest -------------------------------------------------------------------------------------------------------
 */

static yyjson_mut_val *text_of(struct bridge_making *q)
{
    if (q->text == NULL) {
        q->text = reshape_object(&q->r);
        reshape_add(&q->r, q->r.root, "text", q->text);
    }
    return q->text;
}

static enum status flatten_schema(struct reshape *r, yyjson_val *format, yyjson_mut_val *to)
{
    yyjson_val *schema = NULL, *name = NULL, *inner = NULL;
    enum status st = reshape_need(r, format, "json_schema", RESHAPE_OBJECT, &schema);
    size_t mark = reshape_enter(r, "json_schema");

    if (st == ST_OK)
        st = reshape_need(r, schema, "name", RESHAPE_STRING, &name);
    if (st == ST_OK)
        st = reshape_need(r, schema, "schema", RESHAPE_OBJECT, &inner);
    if (st != ST_OK)
        return st;
    reshape_add(r, to, "name", reshape_text(r, name));
    reshape_add(r, to, "schema", reshape_copy(r, inner));
    st = reshape_move(r, schema, "description", RESHAPE_STRING, to, "description");
    if (st == ST_OK)
        st = reshape_move(r, schema, "strict", RESHAPE_BOOL, to, "strict");
    if (st == ST_OK)
        reshape_leave(r, mark);
    return st;
}

static enum status take_response_format(void *ctx, yyjson_val *format)
{
    struct bridge_making *q = ctx;
    yyjson_mut_val *to = reshape_object(&q->r);
    yyjson_val *type = NULL;
    size_t mark = reshape_enter(&q->r, "response_format");
    enum status st = reshape_need(&q->r, format, "type", RESHAPE_STRING, &type);

    if (st != ST_OK)
        return st;
    if (yyjson_equals_str(type, "json_schema"))
        st = flatten_schema(&q->r, format, to);
    else if (!yyjson_equals_str(type, "text") && !yyjson_equals_str(type, "json_object"))
        return reshape_invalid(&q->r, "type", "text, json_object or json_schema");
    if (st != ST_OK)
        return st;
    reshape_leave(&q->r, mark);
    reshape_add(&q->r, to, "type", reshape_text(&q->r, type));
    reshape_add(&q->r, text_of(q), "format", to);
    return ST_OK;
}

static enum status take_verbosity(void *ctx, yyjson_val *v)
{
    struct bridge_making *q = ctx;

    reshape_add(&q->r, text_of(q), "verbosity", reshape_text(&q->r, v));
    return ST_OK;
}

static enum status take_effort(void *ctx, yyjson_val *v)
{
    struct reshape *r = &((struct bridge_making *)ctx)->r;
    yyjson_mut_val *reasoning = reshape_object(r);

    reshape_add(r, reasoning, "effort", reshape_text(r, v));
    reshape_add(r, r->root, "reasoning", reasoning);
    return ST_OK;
}

static enum status take_limit(struct bridge_making *q, const char *name, yyjson_val *v)
{
    uint64_t n = 0;

    if (!reshape_count(v, &n) || n == 0 || n > LIMIT_TOKENS)
        return reshape_invalid(&q->r, name, "a number of tokens, at least 1");
    q->limit = n;
    q->has_limit = true;
    return ST_OK;
}

static enum status take_max_completion(void *ctx, yyjson_val *v)
{
    struct bridge_making *q = ctx;

    q->completion_limit = true;
    return take_limit(q, "max_completion_tokens", v);
}

static enum status take_max(void *ctx, yyjson_val *v)
{
    struct bridge_making *q = ctx;
    uint64_t limit = q->limit;
    enum status st = take_limit(q, "max_tokens", v);

    if (q->completion_limit) /* the older name says less */
        q->limit = limit;
    return st;
}

static enum status take_logprobs(void *ctx, yyjson_val *v)
{
    ((struct bridge_making *)ctx)->logprobs = yyjson_is_true(v);
    return ST_OK;
}

static enum status take_top_logprobs(void *ctx, yyjson_val *v)
{
    ((struct bridge_making *)ctx)->top_logprobs = v;
    return ST_OK;
}

static enum status take_n(void *ctx, yyjson_val *v)
{
    struct reshape *r = &((struct bridge_making *)ctx)->r;
    uint64_t n = 0;

    if (!reshape_count(v, &n) || n == 0 || n > CHOICES_MAX)
        return reshape_invalid(r, "n", "1 to 128");
    return n == 1 ? ST_OK : reshape_unsupported(r, "n");
}

static enum status take_stop(void *ctx, yyjson_val *v)
{
    return yyjson_get_len(v) == 0 ? ST_OK : reshape_unsupported(&((struct bridge_making *)ctx)->r, "stop");
}

static enum status take_penalty(struct bridge_making *q, const char *name, yyjson_val *v)
{
    double penalty = reshape_number(v);

    return penalty < 0 || penalty > 0 ? reshape_unsupported(&q->r, name) : ST_OK;
}

static enum status take_frequency(void *ctx, yyjson_val *v)
{
    return take_penalty(ctx, "frequency_penalty", v);
}

static enum status take_presence(void *ctx, yyjson_val *v)
{
    return take_penalty(ctx, "presence_penalty", v);
}

static enum status take_bias(void *ctx, yyjson_val *v)
{
    return yyjson_obj_size(v) == 0 ? ST_OK : reshape_unsupported(&((struct bridge_making *)ctx)->r, "logit_bias");
}

static enum status take_modalities(void *ctx, yyjson_val *v)
{
    bool text = yyjson_arr_size(v) == 1 && yyjson_equals_str(yyjson_arr_get_first(v), "text");

    return text ? ST_OK : reshape_unsupported(&((struct bridge_making *)ctx)->r, "modalities");
}

static enum status take_store(void *ctx, yyjson_val *v)
{
    return yyjson_is_true(v) ? reshape_unsupported(&((struct bridge_making *)ctx)->r, "store") : ST_OK;
}

static enum status take_stream_options(void *ctx, yyjson_val *v)
{
    struct reshape *r = &((struct bridge_making *)ctx)->r;
    yyjson_mut_val *options;
    yyjson_val *padding = NULL;
    size_t mark = reshape_enter(r, "stream_options");
    enum status st = reshape_get(r, v, "include_obfuscation", RESHAPE_BOOL, &padding);

    if (st != ST_OK)
        return st;
    reshape_leave(r, mark);
    if (padding != NULL && r->call->stream) {
        options = reshape_object(r);
        reshape_add(r, options, "include_obfuscation", reshape_copy(r, padding));
        reshape_add(r, r->root, "stream_options", options);
    }
    return ST_OK;
}

static enum status take_bounded(struct bridge_making *q, const char *name, yyjson_val *v, double most)
{
    double x = reshape_number(v);

    if (x < 0 || x > most)
        return reshape_invalid(&q->r, name, most > 1 ? "a number of 0 to 2" : "a number of 0 to 1");
    reshape_add(&q->r, q->r.root, name, reshape_copy(&q->r, v));
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

/* What is not here has no counterpart: stop could be had by cutting the text, but the rest of it would be paid for. */
static const struct reshape_field fields[] = {
    {"model", RESHAPE_STRING, true, NULL}, /* the call says it */
    {"messages", RESHAPE_ARRAY, false, bridge_take_messages},
    {"stream", RESHAPE_BOOL, true, NULL}, /* the call says it */
    {"stream_options", RESHAPE_OBJECT, false, take_stream_options},
    {"max_completion_tokens", RESHAPE_COUNT, false, take_max_completion},
    {"max_tokens", RESHAPE_COUNT, false, take_max},
    {"tools", RESHAPE_ARRAY, false, take_tools},
    {"tool_choice", RESHAPE_STRING | RESHAPE_OBJECT, false, take_tool_choice},
    {"parallel_tool_calls", RESHAPE_BOOL, false, NULL},
    {"response_format", RESHAPE_OBJECT, false, take_response_format},
    {"verbosity", RESHAPE_STRING, false, take_verbosity},
    {"reasoning_effort", RESHAPE_STRING, false, take_effort},
    {"temperature", RESHAPE_NUMBER, false, take_temperature},
    {"top_p", RESHAPE_NUMBER, false, take_top_p},
    {"logprobs", RESHAPE_BOOL, false, take_logprobs},
    {"top_logprobs", RESHAPE_COUNT, false, take_top_logprobs},
    {"metadata", RESHAPE_OBJECT, false, NULL},
    {"service_tier", RESHAPE_STRING, false, NULL},
    {"user", RESHAPE_STRING, false, NULL},
    {"safety_identifier", RESHAPE_STRING, false, NULL},
    {"prompt_cache_key", RESHAPE_STRING, false, NULL},
    {"prompt_cache_retention", RESHAPE_STRING, false, NULL},
    {"prompt_cache_options", RESHAPE_OBJECT, false, NULL},
    {"store", RESHAPE_BOOL, false, take_store},
    {"n", RESHAPE_COUNT, false, take_n},
    {"stop", RESHAPE_STRING | RESHAPE_ARRAY, false, take_stop},
    {"frequency_penalty", RESHAPE_NUMBER, false, take_frequency},
    {"presence_penalty", RESHAPE_NUMBER, false, take_presence},
    {"logit_bias", RESHAPE_OBJECT, false, take_bias},
    {"modalities", RESHAPE_ARRAY, false, take_modalities},
};

static enum status finish_logprobs(struct bridge_making *q)
{
    struct reshape *r = &q->r;
    yyjson_mut_val *include;

    if (!q->logprobs)
        return q->top_logprobs == NULL ? ST_OK : reshape_invalid(r, "top_logprobs", "logprobs to be true beside it");
    include = reshape_array(r);
    reshape_append(r, include, reshape_string(r, "message.output_text.logprobs"));
    reshape_add(r, r->root, "include", include);
    if (q->top_logprobs != NULL)
        reshape_add(r, r->root, "top_logprobs", reshape_copy(r, q->top_logprobs));
    return ST_OK;
}

static enum status finish(struct bridge_making *q)
{
    struct reshape *r = &q->r;

    if (yyjson_mut_obj_get(r->root, "input") == NULL)
        return reshape_missing(r, "messages");
    if (r->call->output_limit > 0) {
        q->limit = r->call->output_limit;
        q->has_limit = true;
    }
    if (q->limit < OUTPUT_TOKENS_MIN)
        q->limit = OUTPUT_TOKENS_MIN;
    if (q->has_limit)
        reshape_add(r, r->root, "max_output_tokens", yyjson_mut_uint(r->to, q->limit));
    reshape_add(r, r->root, "model", reshape_slice(r, r->call->upstream_model));
    /* Chat keeps no answer unless it is told to, Responses keeps every one unless it is told not to. */
    reshape_add(r, r->root, "store", yyjson_mut_bool(r->to, false));
    if (r->call->stream)
        reshape_add(r, r->root, "stream", yyjson_mut_bool(r->to, true));
    return finish_logprobs(q);
}

enum status bridge_request(void *state, struct translate_call *call, struct slice body, struct buf *out,
                           struct err *err)
{
    struct bridge_making q = {0};
    enum status st = reshape_begin(&q.r, call, body, UPSTREAM_NAME, err);

    (void)state;
    if (st == ST_OK)
        st = reshape_fields(&q.r, fields, sizeof(fields) / sizeof(fields[0]), &q);
    if (st == ST_OK)
        st = finish(&q);
    free(q.custom_calls);
    return reshape_end(&q.r, st, out);
}
