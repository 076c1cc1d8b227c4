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
    making_put_value(&q->r.to, q->echo, name, v);
}

/* ---- members --------------------------------------------------------------------------------------------------------
 */

static enum status take_tools(void *ctx, yyjson_val *list)
{
    return input_add_tools(ctx, list, OUTPUT_NOWHERE);
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
    yyjson_mut_val *schema = making_object(&r->to);
    yyjson_val *name = NULL, *inner = NULL;
    enum status st = check_need(&r->from, format, "name", IS_STRING, &name);

    if (st == ST_OK)
        st = check_need(&r->from, format, "schema", IS_OBJECT, &inner);
    if (st == ST_OK)
        st = reshape_move(r, format, "description", IS_STRING, schema, "description");
    if (st == ST_OK)
        st = reshape_move(r, format, "strict", IS_BOOL, schema, "strict");
    if (st != ST_OK)
        return st;
    making_put_value(&r->to, schema, "name", name);
    making_put_value(&r->to, schema, "schema", inner);
    making_put(&r->to, to, "json_schema", schema);
    return ST_OK;
}

static enum status add_format(struct reshape *r, yyjson_val *format)
{
    yyjson_mut_val *to = making_object(&r->to);
    yyjson_val *type = NULL;
    enum status st;

    check_enter(&r->from, "format");
    st = check_need(&r->from, format, "type", IS_STRING, &type);
    if (st != ST_OK)
        return st;
    if (yyjson_equals_str(type, "json_schema"))
        st = nest_schema(r, format, to);
    else if (!yyjson_equals_str(type, "text") && !yyjson_equals_str(type, "json_object"))
        return check_invalid(&r->from, "type", "text, json_object or json_schema");
    if (st != ST_OK)
        return st;
    check_leave(&r->from);
    making_put_value(&r->to, to, "type", type);
    if (!yyjson_equals_str(type, "text")) /* what chat does anyway */
        making_put(&r->to, r->to.root, "response_format", to);
    return ST_OK;
}

static enum status take_text(void *ctx, yyjson_val *text)
{
    struct input_making *q = ctx;
    struct reshape *r = &q->r;
    yyjson_mut_val *shown = making_object(&r->to), *plain;
    yyjson_val *format = NULL;
    enum status st;

    check_enter(&r->from, "text");
    st = check_get(&r->from, text, "format", IS_OBJECT, &format);
    if (st == ST_OK && format != NULL)
        st = add_format(r, format);
    if (st == ST_OK)
        st = reshape_move(r, text, "verbosity", IS_STRING, r->to.root, "verbosity");
    if (st == ST_OK)
        st = reshape_move(r, text, "verbosity", IS_STRING, shown, "verbosity");
    if (st != ST_OK)
        return st;
    check_leave(&r->from);
    if (format != NULL)
        making_put_value(&r->to, shown, "format", format);
    else {
        plain = making_object(&r->to);
        making_put_word(&r->to, plain, "type", "text");
        making_put(&r->to, shown, "format", plain);
    }
    making_put(&r->to, q->echo, "text", shown);
    return ST_OK;
}

/* As the model takes it. One that does not reason anyway is not told so. */
static enum status put_effort(struct reshape *r, yyjson_val *effort)
{
    const char *said = translate_effort(r->from.call, yyjson_get_str(effort));

    if (said != NULL)
        making_put_text(&r->to, r->to.root, "reasoning_effort", slice_of(said));
    else if (!yyjson_equals_str(effort, "none"))
        return check_unsupported_model(&r->from, "effort");
    return ST_OK;
}

/* A summary cannot be asked for; where an upstream shows its reasoning, the client gets it as one. */
static enum status take_reasoning(void *ctx, yyjson_val *reasoning)
{
    struct input_making *q = ctx;
    struct reshape *r = &q->r;
    yyjson_mut_val *shown = making_object(&r->to);
    yyjson_val *effort = NULL, *summary = NULL;
    enum status st;

    check_enter(&r->from, "reasoning");
    st = check_get(&r->from, reasoning, "effort", IS_STRING, &effort);
    if (st == ST_OK)
        st = check_get(&r->from, reasoning, "summary", IS_STRING, &summary);
    if (st == ST_OK && effort != NULL)
        st = put_effort(r, effort);
    if (st != ST_OK)
        return st;
    check_leave(&r->from);
    making_put(&r->to, shown, "effort", effort != NULL ? making_value(&r->to, effort) : making_null(&r->to));
    making_put(&r->to, shown, "summary", summary != NULL ? making_value(&r->to, summary) : making_null(&r->to));
    making_put(&r->to, q->echo, "reasoning", shown);
    return ST_OK;
}

static enum status take_bounded(struct input_making *q, const char *name, yyjson_val *v, unsigned most)
{
    double x = 0;
    enum status st = check_upto(&q->r.from, name, v, most, &x);

    if (st != ST_OK)
        return st;
    making_put_value(&q->r.to, q->r.to.root, name, v);
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

    if (!check_count_of(v, &n) || n == 0 || n > LIMIT_TOKENS)
        return check_invalid(&q->r.from, "max_output_tokens", "a number of tokens, at least 1");
    q->limit = n;
    echo(q, "max_output_tokens", v);
    return ST_OK;
}

static enum status take_top_logprobs(void *ctx, yyjson_val *v)
{
    struct input_making *q = ctx;

    q->top_logprobs = is_zero(v) ? NULL : v; /* none: what is the case anyway */
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

        check_enter_item(&q->r.from, "include", i);
        st = check_is(&q->r.from, NULL, item, IS_STRING);
        if (st == ST_OK && yyjson_equals_str(item, "message.output_text.logprobs"))
            q->logprobs = true;
        else if (st == ST_OK && !yyjson_equals_str(item, "reasoning.encrypted_content")) /* there is none to include */
            st = check_unsupported_value(&q->r.from, NULL, item);
        if (st != ST_OK)
            return st;
        check_leave(&q->r.from);
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

    making_put_value(&q->r.to, q->r.to.root, "user", v);
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
        making_put_value(&r->to, r->to.root, "service_tier", v);
    return ST_OK;
}

static enum status take_background(void *ctx, yyjson_val *v)
{
    return yyjson_is_true(v) ? check_refuse(&((struct input_making *)ctx)->r.from, "background", NO_STORE) : ST_OK;
}

static enum status take_previous(void *ctx, yyjson_val *v)
{
    (void)v;
    return check_refuse(&((struct input_making *)ctx)->r.from, "previous_response_id", NO_STORE);
}

static enum status take_conversation(void *ctx, yyjson_val *v)
{
    (void)v;
    return check_refuse(&((struct input_making *)ctx)->r.from, "conversation", NO_STORE);
}

static enum status take_prompt(void *ctx, yyjson_val *v)
{
    (void)v;
    return check_refuse(&((struct input_making *)ctx)->r.from, "prompt", "only OpenAI knows the stored prompt");
}

static enum status take_truncation(void *ctx, yyjson_val *v)
{
    struct reshape *r = &((struct input_making *)ctx)->r;

    return yyjson_equals_str(v, "disabled") ? ST_OK : check_unsupported(&r->from, "truncation");
}

static const struct reshape_field fields[] = {
    LEFT("model", IS_STRING), /* the call says it */
    TAKEN("input", IS_STRING | IS_ARRAY, take_input),
    TAKEN("instructions", IS_STRING, take_instructions),
    LEFT("stream", IS_BOOL), /* the call says it */
    LEFT("stream_options", IS_OBJECT),
    TAKEN("max_output_tokens", IS_COUNT, take_limit),
    TAKEN("tools", IS_ARRAY, take_tools),
    TAKEN("tool_choice", IS_STRING | IS_OBJECT, take_tool_choice),
    TAKEN("parallel_tool_calls", IS_BOOL, take_parallel),
    LEFT("max_tool_calls", IS_COUNT), /* of hosted tools, and there are none */
    TAKEN("text", IS_OBJECT, take_text),
    TAKEN("reasoning", IS_OBJECT, take_reasoning),
    TAKEN("temperature", IS_NUMBER, take_temperature),
    TAKEN("top_p", IS_NUMBER, take_top_p),
    TAKEN("top_logprobs", IS_COUNT, take_top_logprobs),
    TAKEN("include", IS_ARRAY, take_include),
    TAKEN("metadata", IS_OBJECT, take_metadata),
    TAKEN("user", IS_STRING, take_user),
    TAKEN("safety_identifier", IS_STRING, take_safety),
    TAKEN("prompt_cache_key", IS_STRING, take_cache_key),
    LEFT("client_metadata", IS_OBJECT), /* Codex tells of itself */
    LEFT("prompt_cache_retention", IS_STRING),
    LEFT("prompt_cache_options", IS_OBJECT),
    TAKEN("service_tier", IS_STRING, take_tier),
    NEUTRAL("store", IS_BOOL, is_false),
    TAKEN("background", IS_BOOL, take_background),
    TAKEN("previous_response_id", IS_STRING, take_previous),
    TAKEN("conversation", IS_STRING | IS_OBJECT, take_conversation),
    TAKEN("prompt", IS_OBJECT, take_prompt),
    TAKEN("truncation", IS_STRING, take_truncation),
};

/* ---- what every response object says -------------------------------------------------------------------------------
 */

static void echo_default(struct input_making *q, const char *name, const char *json)
{
    yyjson_doc *doc;

    if (yyjson_mut_obj_get(q->echo, name) != NULL)
        return;
    doc = yyjson_read(json, strlen(json), 0);
    making_put(&q->r.to, q->echo, name, yyjson_val_mut_copy(q->r.to.doc, yyjson_doc_get_root(doc)));
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
                    {"top_p", "1"},
                    {"reasoning", "{\"effort\":null,\"summary\":null}"},
                    {"truncation", "\"disabled\""}};
    enum status st;

    for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++)
        echo_default(q, defaults[i].name, defaults[i].json);
    o->echo.n = 0;
    if (o->echo.max == 0)
        buf_init(&o->echo, 2 * LIMIT_BODY);
    st = making_write(&q->r.to, q->echo, &o->echo, q->r.from.err);
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
        st = input_finish_tools(q);
    if (st == ST_OK)
        st = input_finish_choice(q);
    if (st != ST_OK)
        return st;
    making_put(&r->to, r->to.root, "messages", q->messages);
    if (q->parallel != NULL && yyjson_mut_arr_size(q->tools) > 0)
        making_put_value(&r->to, r->to.root, "parallel_tool_calls", q->parallel);
    making_put_text(&r->to, r->to.root, "model", r->from.call->upstream_model);
    if (q->limit > 0 || r->from.call->output_limit > 0)
        making_put(&r->to, r->to.root, translate_limit_name(r->from.call),
                   making_count(&r->to, translate_limit(r->from.call, q->limit)));
    if (q->logprobs || q->top_logprobs != NULL)
        making_put(&r->to, r->to.root, "logprobs", making_bool(&r->to, true));
    if (q->top_logprobs != NULL)
        making_put_value(&r->to, r->to.root, "top_logprobs", q->top_logprobs);
    if (r->from.call->stream) {
        yyjson_mut_val *options = making_object(&r->to);

        making_put(&r->to, options, "include_usage", making_bool(&r->to, true));
        making_put(&r->to, r->to.root, "stream", making_bool(&r->to, true));
        making_put(&r->to, r->to.root, "stream_options", options);
    }
    return ST_OK;
}

enum status output_request(void *state, struct translate_call *call, struct slice body, struct buf *out,
                           struct err *err)
{
    struct output *o = state;
    struct input_making q = {.spaced = &o->spaced};
    enum status st = reshape_begin(&q.r, call, body, UPSTREAM_NAME, err);

    o->spaced.n = 0;
    q.reasons = translate_wants_reasoning(call);
    buf_init(&q.names, INPUT_NAMES_MAX * sizeof(struct input_tool));
    buf_init(&q.results, INPUT_RESULTS_MAX);
    buf_init(&q.system, INPUT_TEXT_MAX);
    buf_init(&q.said, INPUT_TEXT_MAX);
    buf_init(&q.thought, INPUT_TEXT_MAX);
    buf_init(&q.pending, INPUT_TEXT_MAX);
    if (st == ST_OK) {
        q.echo = making_object(&q.r.to);
        q.messages = making_array(&q.r.to);
        q.tools = making_array(&q.r.to);
        q.tools_shown = making_array(&q.r.to);
        st = input_note_names(&q, reshape_body(&q.r));
    }
    if (st == ST_OK)
        st = reshape_fields(&q.r, fields, sizeof(fields) / sizeof(fields[0]), &q);
    if (st == ST_OK)
        st = finish(&q);
    if (st == ST_OK)
        st = finish_echo(&q, o);
    buf_fini(&q.names);
    buf_fini(&q.results);
    buf_fini(&q.system);
    buf_fini(&q.said);
    buf_fini(&q.thought);
    buf_fini(&q.pending);
    return reshape_end(&q.r, st, out);
}
