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
    enum status st = check_need(&r->from, tool, "function", IS_OBJECT, &function);

    check_enter(&r->from, "function");
    if (st == ST_OK)
        st = check_need(&r->from, function, "name", IS_STRING, &name);
    if (st == ST_OK)
        st = check_get(&r->from, function, "parameters", IS_OBJECT, &parameters);
    if (st == ST_OK)
        st = check_get(&r->from, function, "strict", IS_BOOL, &strict);
    if (st != ST_OK)
        return st;
    making_put_word(&r->to, to, "type", "function");
    making_put_value(&r->to, to, "name", name);
    st = reshape_move(r, function, "description", IS_STRING, to, "description");
    if (parameters != NULL)
        schema = making_value(&r->to, parameters);
    else { /* chat takes a function without any */
        schema = making_object(&r->to);
        making_put_word(&r->to, schema, "type", "object");
        making_put_object(&r->to, schema, "properties");
    }
    making_put(&r->to, to, "parameters", schema);
    /* Responses takes what is absent for true, chat for false. */
    making_put(&r->to, to, "strict", making_bool(&r->to, yyjson_is_true(strict)));
    if (st == ST_OK)
        check_leave(&r->from);
    return st;
}

/* {type: grammar, grammar: {syntax, definition}} is flat on the other side. */
static enum status add_custom_format(struct reshape *r, yyjson_val *format, yyjson_mut_val *to)
{
    yyjson_mut_val *flat = making_object(&r->to);
    yyjson_val *type = NULL, *grammar = NULL;
    enum status st;

    check_enter(&r->from, "format");
    st = check_need(&r->from, format, "type", IS_STRING, &type);
    if (st == ST_OK && yyjson_equals_str(type, "grammar")) {
        st = check_need(&r->from, format, "grammar", IS_OBJECT, &grammar);
        check_enter(&r->from, "grammar");
        if (st == ST_OK)
            st = reshape_move(r, grammar, "syntax", IS_STRING, flat, "syntax");
        if (st == ST_OK)
            st = reshape_move(r, grammar, "definition", IS_STRING, flat, "definition");
        if (st == ST_OK)
            check_leave(&r->from);
    }
    if (st != ST_OK)
        return st;
    making_put_value(&r->to, flat, "type", type);
    making_put(&r->to, to, "format", flat);
    check_leave(&r->from);
    return ST_OK;
}

static enum status add_custom(struct reshape *r, yyjson_val *tool, yyjson_mut_val *to)
{
    yyjson_val *custom = NULL, *name = NULL, *format = NULL;
    enum status st = check_need(&r->from, tool, "custom", IS_OBJECT, &custom);

    check_enter(&r->from, "custom");
    if (st == ST_OK)
        st = check_need(&r->from, custom, "name", IS_STRING, &name);
    if (st == ST_OK)
        st = check_get(&r->from, custom, "format", IS_OBJECT, &format);
    if (st != ST_OK)
        return st;
    making_put_word(&r->to, to, "type", "custom");
    making_put_value(&r->to, to, "name", name);
    st = reshape_move(r, custom, "description", IS_STRING, to, "description");
    if (st == ST_OK && format != NULL)
        st = add_custom_format(r, format, to);
    if (st == ST_OK)
        check_leave(&r->from);
    return st;
}

static enum status add_tool(struct reshape *r, yyjson_val *tool, yyjson_mut_val *tools)
{
    yyjson_mut_val *to = making_object(&r->to);
    yyjson_val *type = NULL;
    enum status st = check_is(&r->from, NULL, tool, IS_OBJECT);

    if (st == ST_OK)
        st = check_need(&r->from, tool, "type", IS_STRING, &type);
    if (st != ST_OK)
        return st;
    if (yyjson_equals_str(type, "function"))
        st = add_function(r, tool, to);
    else if (yyjson_equals_str(type, "custom"))
        st = add_custom(r, tool, to);
    else
        return check_invalid(&r->from, "type", "function or custom");
    making_push(&r->to, tools, to);
    return st;
}

static enum status take_tools(void *ctx, yyjson_val *list)
{
    struct bridge_making *q = ctx;
    yyjson_mut_val *tools = making_array(&q->r.to);
    yyjson_val *tool;
    enum status st = ST_OK;
    size_t i, n;

    yyjson_arr_foreach(list, i, n, tool)
    {

        check_enter_item(&q->r.from, "tools", i);
        st = add_tool(&q->r, tool, tools);
        if (st != ST_OK)
            return st;
        check_leave(&q->r.from);
    }
    making_put(&q->r.to, q->r.to.root, "tools", tools);
    return ST_OK;
}

/* {type: function, function: {name}} → {type: function, name}; custom likewise. */
static enum status name_tool(struct reshape *r, yyjson_val *choice, yyjson_mut_val *to)
{
    yyjson_val *type = NULL, *named = NULL, *name = NULL;
    enum status st = check_is(&r->from, NULL, choice, IS_OBJECT);
    bool custom;

    if (st == ST_OK)
        st = check_need(&r->from, choice, "type", IS_STRING, &type);
    if (st != ST_OK)
        return st;
    custom = yyjson_equals_str(type, "custom");
    if (!custom && !yyjson_equals_str(type, "function"))
        return check_invalid(&r->from, "type", "function or custom");
    st = check_need(&r->from, choice, custom ? "custom" : "function", IS_OBJECT, &named);
    check_enter(&r->from, custom ? "custom" : "function");
    if (st == ST_OK)
        st = check_need(&r->from, named, "name", IS_STRING, &name);
    if (st != ST_OK)
        return st;
    check_leave(&r->from);
    making_put_value(&r->to, to, "type", type);
    making_put_value(&r->to, to, "name", name);
    return ST_OK;
}

static enum status allow_tools(struct reshape *r, yyjson_val *choice, yyjson_mut_val *to)
{
    yyjson_mut_val *tools = making_array(&r->to);
    yyjson_val *allowed = NULL, *list = NULL, *mode = NULL, *tool;
    enum status st = check_need(&r->from, choice, "allowed_tools", IS_OBJECT, &allowed);
    size_t i, n;

    check_enter(&r->from, "allowed_tools");
    if (st == ST_OK)
        st = check_need(&r->from, allowed, "mode", IS_STRING, &mode);
    if (st == ST_OK)
        st = check_need(&r->from, allowed, "tools", IS_ARRAY, &list);
    if (st != ST_OK)
        return st;
    yyjson_arr_foreach(list, i, n, tool)
    {
        yyjson_mut_val *item = making_object(&r->to);

        check_enter_item(&r->from, "tools", i);
        st = name_tool(r, tool, item);
        if (st != ST_OK)
            return st;
        making_push(&r->to, tools, item);
        check_leave(&r->from);
    }
    check_leave(&r->from);
    making_put_word(&r->to, to, "type", "allowed_tools");
    making_put_value(&r->to, to, "mode", mode);
    making_put(&r->to, to, "tools", tools);
    return ST_OK;
}

static enum status take_tool_choice(void *ctx, yyjson_val *choice)
{
    struct reshape *r = &((struct bridge_making *)ctx)->r;
    yyjson_mut_val *to;
    enum status st;

    if (yyjson_is_str(choice)) {
        if (!yyjson_equals_str(choice, "none") && !yyjson_equals_str(choice, "auto") &&
            !yyjson_equals_str(choice, "required"))
            return check_invalid(&r->from, "tool_choice", "none, auto or required, or a tool");
        making_put_value(&r->to, r->to.root, "tool_choice", choice);
        return ST_OK;
    }
    to = making_object(&r->to);
    check_enter(&r->from, "tool_choice");
    if (yyjson_equals_str(yyjson_obj_get(choice, "type"), "allowed_tools"))
        st = allow_tools(r, choice, to);
    else
        st = name_tool(r, choice, to);
    if (st != ST_OK)
        return st;
    check_leave(&r->from);
    making_put(&r->to, r->to.root, "tool_choice", to);
    return ST_OK;
}

/* ---- the rest -------------------------------------------------------------------------------------------------------
 */

static yyjson_mut_val *text_of(struct bridge_making *q)
{
    if (q->text == NULL) {
        q->text = making_object(&q->r.to);
        making_put(&q->r.to, q->r.to.root, "text", q->text);
    }
    return q->text;
}

static enum status flatten_schema(struct reshape *r, yyjson_val *format, yyjson_mut_val *to)
{
    yyjson_val *schema = NULL, *name = NULL, *inner = NULL;
    enum status st = check_need(&r->from, format, "json_schema", IS_OBJECT, &schema);

    check_enter(&r->from, "json_schema");
    if (st == ST_OK)
        st = check_need(&r->from, schema, "name", IS_STRING, &name);
    if (st == ST_OK)
        st = check_need(&r->from, schema, "schema", IS_OBJECT, &inner);
    if (st != ST_OK)
        return st;
    making_put_value(&r->to, to, "name", name);
    making_put_value(&r->to, to, "schema", inner);
    st = reshape_move(r, schema, "description", IS_STRING, to, "description");
    if (st == ST_OK)
        st = reshape_move(r, schema, "strict", IS_BOOL, to, "strict");
    if (st == ST_OK)
        check_leave(&r->from);
    return st;
}

static enum status take_response_format(void *ctx, yyjson_val *format)
{
    struct bridge_making *q = ctx;
    yyjson_mut_val *to = making_object(&q->r.to);
    yyjson_val *type = NULL;
    enum status st;

    check_enter(&q->r.from, "response_format");
    st = check_need(&q->r.from, format, "type", IS_STRING, &type);
    if (st != ST_OK)
        return st;
    if (yyjson_equals_str(type, "json_schema"))
        st = flatten_schema(&q->r, format, to);
    else if (!yyjson_equals_str(type, "text") && !yyjson_equals_str(type, "json_object"))
        return check_invalid(&q->r.from, "type", "text, json_object or json_schema");
    if (st != ST_OK)
        return st;
    check_leave(&q->r.from);
    making_put_value(&q->r.to, to, "type", type);
    making_put(&q->r.to, text_of(q), "format", to);
    return ST_OK;
}

static enum status take_verbosity(void *ctx, yyjson_val *v)
{
    struct bridge_making *q = ctx;

    making_put_value(&q->r.to, text_of(q), "verbosity", v);
    return ST_OK;
}

static enum status take_effort(void *ctx, yyjson_val *v)
{
    struct reshape *r = &((struct bridge_making *)ctx)->r;
    yyjson_mut_val *reasoning = making_object(&r->to);

    making_put_value(&r->to, reasoning, "effort", v);
    making_put(&r->to, r->to.root, "reasoning", reasoning);
    return ST_OK;
}

static enum status take_limit(struct bridge_making *q, const char *name, yyjson_val *v)
{
    uint64_t n = 0;

    if (!check_count_of(v, &n) || n == 0 || n > LIMIT_TOKENS)
        return check_invalid(&q->r.from, name, "a number of tokens, at least 1");
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
    ((struct bridge_making *)ctx)->top_logprobs = is_zero(v) ? NULL : v;
    return ST_OK;
}

static enum status take_n(void *ctx, yyjson_val *v)
{
    struct reshape *r = &((struct bridge_making *)ctx)->r;
    uint64_t n = 0;

    if (!check_count_of(v, &n) || n == 0 || n > CHOICES_MAX)
        return check_invalid(&r->from, "n", "1 to 128");
    return n == 1 ? ST_OK : check_unsupported(&r->from, "n");
}

static enum status take_stream_options(void *ctx, yyjson_val *v)
{
    struct reshape *r = &((struct bridge_making *)ctx)->r;
    yyjson_mut_val *options;
    yyjson_val *padding = NULL;
    enum status st;

    check_enter(&r->from, "stream_options");
    st = check_get(&r->from, v, "include_obfuscation", IS_BOOL, &padding);
    if (st != ST_OK)
        return st;
    check_leave(&r->from);
    if (padding != NULL && r->from.call->stream) {
        options = making_object(&r->to);
        making_put_value(&r->to, options, "include_obfuscation", padding);
        making_put(&r->to, r->to.root, "stream_options", options);
    }
    return ST_OK;
}

static enum status take_bounded(struct bridge_making *q, const char *name, yyjson_val *v, unsigned most)
{
    double x = 0;
    enum status st = check_upto(&q->r.from, name, v, most, &x);

    if (st == ST_OK)
        making_put_value(&q->r.to, q->r.to.root, name, v);
    return st;
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
    LEFT("model", IS_STRING), /* the call says it */
    TAKEN("messages", IS_ARRAY, bridge_take_messages),
    LEFT("stream", IS_BOOL), /* the call says it */
    TAKEN("stream_options", IS_OBJECT, take_stream_options),
    TAKEN("max_completion_tokens", IS_COUNT, take_max_completion),
    TAKEN("max_tokens", IS_COUNT, take_max),
    TAKEN("tools", IS_ARRAY, take_tools),
    TAKEN("tool_choice", IS_STRING | IS_OBJECT, take_tool_choice),
    COPIED("parallel_tool_calls", IS_BOOL),
    TAKEN("response_format", IS_OBJECT, take_response_format),
    TAKEN("verbosity", IS_STRING, take_verbosity),
    TAKEN("reasoning_effort", IS_STRING, take_effort),
    TAKEN("temperature", IS_NUMBER, take_temperature),
    TAKEN("top_p", IS_NUMBER, take_top_p),
    TAKEN("logprobs", IS_BOOL, take_logprobs),
    TAKEN("top_logprobs", IS_COUNT, take_top_logprobs),
    COPIED("metadata", IS_OBJECT),
    COPIED("service_tier", IS_STRING),
    COPIED("user", IS_STRING),
    COPIED("safety_identifier", IS_STRING),
    COPIED("prompt_cache_key", IS_STRING),
    COPIED("prompt_cache_retention", IS_STRING),
    COPIED("prompt_cache_options", IS_OBJECT),
    NEUTRAL("store", IS_BOOL, is_false),
    TAKEN("n", IS_COUNT, take_n),
    NEUTRAL("stop", IS_STRING | IS_ARRAY, is_empty),
    NEUTRAL("frequency_penalty", IS_NUMBER, is_zero),
    NEUTRAL("presence_penalty", IS_NUMBER, is_zero),
    NEUTRAL("logit_bias", IS_OBJECT, is_empty),
    NEUTRAL("modalities", IS_ARRAY, is_text_only),
};

static enum status finish_logprobs(struct bridge_making *q)
{
    struct reshape *r = &q->r;
    yyjson_mut_val *include;

    if (!q->logprobs)
        return q->top_logprobs == NULL ? ST_OK
                                       : check_invalid(&r->from, "top_logprobs", "logprobs to be true beside it");
    include = making_array(&r->to);
    making_push(&r->to, include, making_word(&r->to, "message.output_text.logprobs"));
    making_put(&r->to, r->to.root, "include", include);
    if (q->top_logprobs != NULL)
        making_put_value(&r->to, r->to.root, "top_logprobs", q->top_logprobs);
    return ST_OK;
}

static enum status finish(struct bridge_making *q)
{
    struct reshape *r = &q->r;

    if (yyjson_mut_obj_get(r->to.root, "input") == NULL)
        return check_missing(&r->from, "messages");
    if (r->from.call->output_limit > 0) {
        q->limit = r->from.call->output_limit;
        q->has_limit = true;
    }
    if (q->limit < OUTPUT_TOKENS_MIN)
        q->limit = OUTPUT_TOKENS_MIN;
    if (q->has_limit)
        making_put(&r->to, r->to.root, "max_output_tokens", making_count(&r->to, q->limit));
    making_put_text(&r->to, r->to.root, "model", r->from.call->upstream_model);
    /* Chat keeps no answer unless it is told to, Responses keeps every one unless it is told not to. */
    making_put(&r->to, r->to.root, "store", making_bool(&r->to, false));
    if (r->from.call->stream)
        making_put(&r->to, r->to.root, "stream", making_bool(&r->to, true));
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
