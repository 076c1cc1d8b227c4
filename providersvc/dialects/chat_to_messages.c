/* Chat completions to Anthropic's Messages: the request but for its turns and tools (contract, sections 4.1, 4.2). */
#include "providersvc/dialects/chat_to_messages_private.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"

#define OUTPUT_DEFAULT 4096 /* max_tokens when nobody says how much the model can */
#define OUTPUT_WHOLE_MAX 16384 /* default of an answer that is not streamed: longer ones are cut after ten minutes */
#define BUDGET_MIN 1024 /* of thinking: Anthropic's bound */
#define BUDGET_LOW 2000 /* fewer tokens of thinking than that are low effort, */
#define BUDGET_MEDIUM 8000 /* fewer than that medium (contract, section 4.6) */
#define TEMPERATURE_MAX 2 /* OpenAI's; Anthropic's is 1 */
#define TOP_P_THINKING_MIN 0.95 /* less is refused beside thinking */
#define TOP_P_FIXED_MIN 0.99 /* less is refused by models that take no sampling parameters */
#define USER_ID_MAX 256 /* characters of metadata.user_id; counted as bytes here */
#define STOPS_MAX 64

/* ---- members ------------------------------------------------------------------------------------------------------
 */

static bool is_medium(yyjson_val *v)
{
    return yyjson_equals_str(v, "medium");
}

#define READ(name) KEPT(#name, 0, offsetof(struct c2m, f.name))

static const struct reshape_field fields[] = {
    READ(messages),
    READ(max_tokens),
    READ(max_completion_tokens),
    READ(temperature),
    READ(top_p),
    READ(top_k),
    READ(stop),
    READ(n),
    READ(tools),
    READ(functions),
    READ(tool_choice),
    READ(parallel_tool_calls),
    READ(function_call),
    READ(user),
    READ(response_format),
    READ(reasoning_effort),
    READ(thinking),
    READ(safety_identifier),
    READ(modalities),
    READ(service_tier),
    READ(audio),
    LEFT("model", 0),
    LEFT("stream", 0),
    LEFT("stream_options", 0),
    LEFT("metadata", 0),
    LEFT("prompt_cache_key", 0),
    LEFT("prompt_cache_retention", 0),
    LEFT("prompt_cache_options", 0),
    NEUTRAL("store", 0, is_false),
    NEUTRAL("logprobs", 0, is_false),
    NEUTRAL("top_logprobs", 0, is_zero),
    NEUTRAL("frequency_penalty", 0, is_zero),
    NEUTRAL("presence_penalty", 0, is_zero),
    NEUTRAL("logit_bias", 0, is_empty),
    NEUTRAL("verbosity", 0, is_medium),
};

static enum status read_count(struct c2m *m, yyjson_val *v, const char *name, uint64_t *ret)
{
    yyjson_val number;

    if (v == NULL)
        return ST_OK;
    if (!check_number_of(v, &number) || !yyjson_is_int(&number))
        return check_wrong_type(&m->r.from, name, "an integer", v);
    if (!yyjson_is_uint(&number) || yyjson_get_uint(&number) == 0 || yyjson_get_uint(&number) > LIMIT_TOKENS)
        return check_invalid(&m->r.from, name, "a number of at least 1");
    *ret = yyjson_get_uint(&number);
    return ST_OK;
}

/* What no answer of text can be given to. */
static enum status check_output(struct c2m *m)
{
    uint64_t choices = 1;
    yyjson_val *item;
    size_t i, n;
    enum status st = read_count(m, m->f.n, "n", &choices);

    if (st == ST_OK && choices > 1)
        st = check_refuse_value(&m->r.from, "n", "it gives one choice only");
    if (st == ST_OK && m->f.audio != NULL)
        st = check_refuse_value(&m->r.from, "audio", "it says nothing aloud");
    if (st == ST_OK && m->f.modalities != NULL && !yyjson_is_arr(m->f.modalities))
        st = check_wrong_type(&m->r.from, "modalities", "an array of strings", m->f.modalities);
    if (st != ST_OK)
        return st;
    yyjson_arr_foreach(m->f.modalities, i, n, item)
    {
        if (!yyjson_equals_str(item, "text"))
            return check_refuse_value(&m->r.from, "modalities", "it answers with text only");
    }
    return ST_OK;
}

/* ---- thinking (contract, section 4.2) -----------------------------------------------------------------------------
 */

struct effort {
    const char *name;
    uint64_t budget;
    const char *upto[CLAUDE_EFFORT_XHIGH + 1]; /* what it is called where this is the most there is */
};

static const struct effort efforts[] = {
    {"minimal", 1024, {NULL, "low", "low", "low"}},         {"low", 1024, {NULL, "low", "low", "low"}},
    {"medium", 2048, {NULL, "medium", "medium", "medium"}}, {"high", 4096, {NULL, "high", "high", "high"}},
    {"xhigh", 4096, {NULL, "high", "high", "xhigh"}},       {"max", 4096, {NULL, "high", "max", "max"}},
};

static void put_config(struct c2m *m, const char *key, yyjson_mut_val *value)
{
    if (m->output_config == NULL) {
        m->output_config = making_object(&m->r.to);
        making_put(&m->r.to, m->r.to.root, "output_config", m->output_config);
    }
    making_put(&m->r.to, m->output_config, key, value);
}

static void put_no_thinking(struct c2m *m)
{
    if (m->can.thinks_always)
        put_config(m, "effort", making_word(&m->r.to, "low"));
    else if (m->can.thinking != CLAUDE_THINKS_NOT)
        making_put(&m->r.to, m->r.to.root, "thinking", c2m_object(m, "disabled"));
}

/* e: NULL = as hard as the model likes, of one that takes no budget. A budget is written with the limit, on which it
 * depends. With one the turn whose calls are answered would have to begin with the thinking that led to them, which
 * chat has no place for. */
static void put_effort(struct c2m *m, const struct effort *e)
{
    m->thinks = m->can.thinking != CLAUDE_THINKS_BUDGET || !m->turns.answers;
    if (e != NULL && m->can.effort != CLAUDE_EFFORT_NOT)
        put_config(m, "effort", making_word(&m->r.to, e->upto[m->can.effort]));
    if (m->can.thinking == CLAUDE_THINKS_BUDGET) {
        m->budget = m->thinks && e != NULL ? e->budget : 0;
    } else {
        yyjson_mut_val *thinking = c2m_object(m, "adaptive");

        making_put_word(&m->r.to, thinking, "display", "summarized");
        making_put(&m->r.to, m->r.to.root, "thinking", thinking);
    }
}

static const struct effort *effort_named(const char *name)
{
    for (size_t i = 0; i < sizeof(efforts) / sizeof(efforts[0]); i++)
        if (strcmp(efforts[i].name, name) == 0)
            return &efforts[i];
    return NULL;
}

/* Anthropic's own member, which clients of its models add to OpenAI's, as its own chat completions take it. */
static enum status take_thinking(struct c2m *m)
{
    yyjson_val *type = NULL, *budget = NULL;
    uint64_t tokens = BUDGET_MIN;
    enum status st = check_is(&m->r.from, "thinking", m->f.thinking, IS_OBJECT);

    check_enter(&m->r.from, "thinking");
    if (st == ST_OK)
        st = check_need(&m->r.from, m->f.thinking, "type", IS_STRING, &type);
    if (st == ST_OK && yyjson_equals_str(type, "enabled"))
        st = check_count(&m->r.from, m->f.thinking, "budget_tokens", true, BUDGET_MIN, &budget);
    else if (st == ST_OK && !yyjson_equals_str(type, "disabled") && !yyjson_equals_str(type, "adaptive"))
        st = check_invalid(&m->r.from, "type", "enabled, disabled or adaptive");
    if (st == ST_OK)
        st = read_count(m, budget, "budget_tokens", &tokens);
    if (st != ST_OK)
        return st;
    check_leave(&m->r.from);
    if (yyjson_equals_str(type, "disabled")) {
        put_no_thinking(m);
        return ST_OK;
    }
    if (m->can.thinking == CLAUDE_THINKS_NOT || (budget == NULL && m->can.thinking == CLAUDE_THINKS_BUDGET))
        return check_unsupported_by(&m->r.from, "thinking", "Anthropic's model");
    put_effort(m, budget == NULL           ? NULL
                  : tokens < BUDGET_LOW    ? effort_named("low")
                  : tokens < BUDGET_MEDIUM ? effort_named("medium")
                                           : effort_named("high"));
    if (m->budget > 0)
        m->budget = tokens;
    return ST_OK;
}

static enum status put_thinking(struct c2m *m)
{
    yyjson_val *v = m->f.reasoning_effort;
    const struct effort *e;

    if (v == NULL)
        return m->f.thinking != NULL ? take_thinking(m) : ST_OK;
    if (!yyjson_is_str(v))
        return check_wrong_type(&m->r.from, "reasoning_effort", "a string", v);
    if (yyjson_equals_str(v, "none")) {
        put_no_thinking(m);
        return ST_OK;
    }
    e = effort_named(yyjson_get_str(v));
    if (e == NULL)
        return check_invalid(&m->r.from, "reasoning_effort", "none, minimal, low, medium, high, xhigh or max");
    if (m->can.thinking == CLAUDE_THINKS_NOT)
        return check_unsupported_by(&m->r.from, "reasoning_effort", "Anthropic's model");
    put_effort(m, e);
    return ST_OK;
}

static uint64_t default_limit(const struct translate_call *call)
{
    uint64_t most = call->max_output > 0 ? call->max_output : OUTPUT_DEFAULT;

    return call->stream || most < OUTPUT_WHOLE_MAX ? most : OUTPUT_WHOLE_MAX;
}

/* Where the limit leaves no room for it the budget is the least there is, or none. */
static void put_budget(struct c2m *m, uint64_t limit)
{
    yyjson_mut_val *thinking;

    if (m->budget >= limit)
        m->budget = limit > BUDGET_MIN ? BUDGET_MIN : 0;
    if (m->budget == 0) {
        m->thinks = m->thinks && m->can.thinking != CLAUDE_THINKS_BUDGET;
        return;
    }
    thinking = c2m_object(m, "enabled");
    making_put(&m->r.to, thinking, "budget_tokens", making_count(&m->r.to, m->budget));
    making_put(&m->r.to, m->r.to.root, "thinking", thinking);
}

static enum status put_limit(struct c2m *m)
{
    const struct translate_call *call = m->r.from.call;
    uint64_t old = 0, limit = 0;
    enum status st = read_count(m, m->f.max_tokens, "max_tokens", &old);

    if (st == ST_OK)
        st = read_count(m, m->f.max_completion_tokens, "max_completion_tokens", &limit);
    if (st != ST_OK)
        return st;
    if (limit == 0)
        limit = old > 0 ? old : default_limit(call);
    limit = translate_limit(call, limit + m->budget);
    making_put(&m->r.to, m->r.to.root, "max_tokens", making_count(&m->r.to, limit));
    put_budget(m, limit);
    return ST_OK;
}

/* ---- sampling -----------------------------------------------------------------------------------------------------
 */

static enum status put_top_k(struct c2m *m)
{
    uint64_t top_k = 0;
    enum status st = read_count(m, m->f.top_k, "top_k", &top_k);

    if (st != ST_OK || top_k == 0)
        return st;
    if (!m->can.sampling || m->thinks)
        return check_unsupported_by(&m->r.from, "top_k", "Anthropic's model");
    making_put(&m->r.to, m->r.to.root, "top_k", making_count(&m->r.to, top_k));
    return ST_OK;
}

static enum status put_top_p(struct c2m *m, double top_p, bool beside_temperature)
{
    if (m->f.top_p == NULL || !(top_p < 1))
        return ST_OK;
    if (!m->can.sampling && top_p >= TOP_P_FIXED_MIN)
        return ST_OK;
    if (!m->can.sampling || (m->thinks && top_p < TOP_P_THINKING_MIN))
        return check_unsupported_by(&m->r.from, "top_p", "Anthropic's model");
    if (beside_temperature)
        return check_unsupported_by(&m->r.from, "top_p", "Anthropic's model, beside temperature,");
    making_put_value(&m->r.to, m->r.to.root, "top_p", m->f.top_p);
    return ST_OK;
}

/* Anthropic's temperatures end at 1, its default. */
static enum status put_sampling(struct c2m *m)
{
    double temperature = 1, top_p = 1;
    bool put = m->f.temperature != NULL;
    enum status st = ST_OK;

    if (put)
        st = check_upto(&m->r.from, "temperature", m->f.temperature, TEMPERATURE_MAX, &temperature);
    if (st == ST_OK && m->f.top_p != NULL)
        st = check_upto(&m->r.from, "top_p", m->f.top_p, 1, &top_p);
    if (st != ST_OK)
        return st;
    if (temperature < 1 && (!m->can.sampling || m->thinks)) {
        put = false;
        st = check_unsupported_by(&m->r.from, "temperature",
                                  m->thinks ? "Anthropic's model, while it thinks," : "Anthropic's model");
    } else if (!(temperature < 1) && (!m->can.sampling || (m->can.one_sampler && top_p < 1))) {
        put = false;
    }
    if (st == ST_OK)
        st = put_top_p(m, top_p, put && m->can.one_sampler);
    if (put)
        making_put(&m->r.to, m->r.to.root, "temperature",
                   temperature > 1 ? yyjson_mut_real(m->r.to.doc, 1) : making_value(&m->r.to, m->f.temperature));
    return st == ST_OK ? put_top_k(m) : st;
}

/* ---- the rest -----------------------------------------------------------------------------------------------------
 */

static bool blank(yyjson_val *text)
{
    return strspn(yyjson_get_str(text), " \t\r\n") == yyjson_get_len(text);
}

static enum status add_stop(struct c2m *m, yyjson_val *stop, yyjson_mut_val *to)
{
    if (!yyjson_is_str(stop))
        return check_wrong_type(&m->r.from, "stop", "a string or an array of strings", stop);
    if (yyjson_get_len(stop) == 0)
        return ST_OK; /* nothing ends at an empty text */
    if (blank(stop))
        return check_unsupported_by(&m->r.from, "stop", "Anthropic's Messages, for nothing but white space,");
    making_push(&m->r.to, to, making_value(&m->r.to, stop));
    return ST_OK;
}

static enum status put_stop(struct c2m *m)
{
    yyjson_mut_val *list = making_array(&m->r.to);
    yyjson_val *item;
    size_t i, n;
    enum status st = ST_OK;

    if (m->f.stop != NULL && !yyjson_is_arr(m->f.stop))
        st = add_stop(m, m->f.stop, list);
    if (yyjson_arr_size(m->f.stop) > STOPS_MAX)
        return check_invalid(&m->r.from, "stop", "fewer items");
    yyjson_arr_foreach(m->f.stop, i, n, item)
    {
        if (st == ST_OK)
            st = add_stop(m, item, list);
    }
    if (st == ST_OK && yyjson_mut_arr_size(list) > 0)
        making_put(&m->r.to, m->r.to.root, "stop_sequences", list);
    return st;
}

static enum status put_user(struct c2m *m)
{
    yyjson_val *user = m->f.safety_identifier != NULL ? m->f.safety_identifier : m->f.user;
    yyjson_mut_val *metadata;

    if (m->f.user != NULL && !yyjson_is_str(m->f.user))
        return check_wrong_type(&m->r.from, "user", "a string", m->f.user);
    if (m->f.safety_identifier != NULL && !yyjson_is_str(m->f.safety_identifier))
        return check_wrong_type(&m->r.from, "safety_identifier", "a string", m->f.safety_identifier);
    if (user == NULL || yyjson_get_len(user) == 0 || yyjson_get_len(user) > USER_ID_MAX)
        return ST_OK;
    metadata = making_object(&m->r.to);
    making_put_value(&m->r.to, metadata, "user_id", user);
    making_put(&m->r.to, m->r.to.root, "metadata", metadata);
    return ST_OK;
}

static enum status put_tier(struct c2m *m)
{
    yyjson_val *tier = m->f.service_tier;

    if (tier == NULL)
        return ST_OK;
    if (!yyjson_is_str(tier))
        return check_wrong_type(&m->r.from, "service_tier", "a string", tier);
    if (yyjson_equals_str(tier, "auto"))
        making_put_word(&m->r.to, m->r.to.root, "service_tier", "auto");
    else if (yyjson_equals_str(tier, "default"))
        making_put_word(&m->r.to, m->r.to.root, "service_tier", "standard_only");
    else
        return check_unsupported(&m->r.from, "service_tier");
    return ST_OK;
}

static enum status put_json_schema(struct c2m *m, yyjson_val *format)
{
    yyjson_val *holder = yyjson_obj_get(format, "json_schema"), *schema = yyjson_obj_get(holder, "schema");
    yyjson_mut_val *to, *copy;

    if (holder == NULL || yyjson_is_null(holder))
        return check_missing(&m->r.from, "response_format.json_schema");
    if (!yyjson_is_obj(holder))
        return check_wrong_type(&m->r.from, "response_format.json_schema", "an object", holder);
    if (schema == NULL || yyjson_is_null(schema))
        return check_missing(&m->r.from, "response_format.json_schema.schema");
    if (!yyjson_is_obj(schema))
        return check_wrong_type(&m->r.from, "response_format.json_schema.schema", "an object", schema);
    if (!m->can.schemas)
        return check_unsupported_by(&m->r.from, "response_format", "Anthropic's model");
    copy = c2m_schema(m, schema, 0);
    if (copy == NULL && !m->r.to.lost)
        return check_invalid(&m->r.from, "response_format.json_schema.schema", "a schema that is not nested so deeply");
    to = c2m_object(m, "json_schema");
    making_put(&m->r.to, to, "schema", copy);
    put_config(m, "format", to);
    return ST_OK;
}

static enum status put_format(struct c2m *m)
{
    yyjson_val *format = m->f.response_format, *type = yyjson_obj_get(format, "type");

    if (format == NULL)
        return ST_OK;
    if (!yyjson_is_obj(format))
        return check_wrong_type(&m->r.from, "response_format", "an object", format);
    if (type == NULL)
        return check_missing(&m->r.from, "response_format.type");
    if (yyjson_equals_str(type, "json_schema"))
        return put_json_schema(m, format);
    if (yyjson_equals_str(type, "json_object"))
        c2m_system_line(m, "Respond with a single JSON object only.");
    else if (!yyjson_equals_str(type, "text"))
        return check_invalid(&m->r.from, "response_format.type", "text, json_object or json_schema");
    return ST_OK;
}

static enum status make(struct c2m *m)
{
    static enum status (*const steps[])(struct c2m *) = {
        check_output, c2m_turns, put_thinking, put_limit, c2m_tools,
        put_sampling, put_stop,  put_user,     put_tier,  put_format,
    };
    enum status st = reshape_fields(&m->r, fields, sizeof(fields) / sizeof(fields[0]), m);

    making_put_text(&m->r.to, m->r.to.root, "model", m->r.from.call->upstream_model);
    making_put(&m->r.to, m->r.to.root, "messages", m->messages);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && st == ST_OK; i++)
        st = steps[i](m);
    if (yyjson_mut_arr_size(m->system) > 0)
        making_put(&m->r.to, m->r.to.root, "system", m->system);
    if (m->r.from.call->stream)
        making_put(&m->r.to, m->r.to.root, "stream", making_bool(&m->r.to, true));
    return st;
}

static enum status request(void *state, struct translate_call *call, struct slice body, struct buf *out,
                           struct err *err)
{
    struct c2m m = {.state = state};
    enum status st = reshape_begin(&m.r, call, body, UPSTREAM_NAME, err);

    m.system = making_array(&m.r.to);
    m.messages = making_array(&m.r.to);
    claude_traits(call->upstream_model, &m.can);
    if (st == ST_OK)
        st = make(&m);
    return reshape_end(&m.r, st, out);
}

static void fini(void *state)
{
    struct chat_to_messages *s = state;

    buf_fini(&s->id);
    buf_fini(&s->input);
    buf_fini(&s->line);
}

const struct translator chat_to_messages = {.name = "chat_to_messages",
                                            .client = &dialect_chat,
                                            .upstream = &dialect_messages,
                                            .state_size = sizeof(struct chat_to_messages),
                                            .request = request,
                                            .answer = c2m_answer,
                                            .event = c2m_event,
                                            .end = c2m_end,
                                            .fini = fini};
