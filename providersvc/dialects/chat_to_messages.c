/* Chat completions to Anthropic's Messages: the request but for its turns and tools (contract, sections 4.1, 4.2). */
#include "providersvc/dialects/chat_to_messages_private.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"

#define OUTPUT_DEFAULT 4096 /* max_tokens when nobody says how much the model can */
#define OUTPUT_WHOLE_MAX 16384 /* default of an answer that is not streamed: longer ones are cut after ten minutes */
#define BUDGET_MIN 1024 /* of thinking: Anthropic's bound */
#define TEMPERATURE_MAX 2.0 /* OpenAI's; Anthropic's is 1 */
#define TOP_P_THINKING_MIN 0.95 /* less is refused beside thinking */
#define TOP_P_FIXED_MIN 0.99 /* less is refused by models that take no sampling parameters */
#define USER_ID_MAX 256 /* characters of metadata.user_id; counted as bytes here */
#define STOPS_MAX 64
#define FIELDS_MAX 256 /* members of a body */
#define FIELD_NAME_MAX 64 /* of an unknown member's name in errors and headers */

/* ---- members ------------------------------------------------------------------------------------------------------
 */

struct read_field {
    const char *name;
    size_t offset;
};

#define READ(name)                                                                                                     \
    {                                                                                                                  \
#name, offsetof(struct chat_fields, name)                                                                      \
    }

static const struct read_field read_fields[] = {
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
    READ(safety_identifier),
    READ(modalities),
    READ(service_tier),
    READ(audio),
};

static bool anything(yyjson_val *v)
{
    (void)v;
    return true;
}

static bool is_false(yyjson_val *v)
{
    return yyjson_is_false(v);
}

static bool is_zero(yyjson_val *v)
{
    yyjson_val number;

    return making_number(v, &number) && !(yyjson_get_num(&number) < 0) && !(yyjson_get_num(&number) > 0);
}

static bool is_empty(yyjson_val *v)
{
    return yyjson_is_obj(v) && yyjson_obj_size(v) == 0;
}

static bool is_medium(yyjson_val *v)
{
    return yyjson_equals_str(v, "medium");
}

/* Members that have nothing like them upstream, and the values with which leaving them out changes nothing. All others
 * that are not null are unsupported, those we do not know as well. */
static const struct left_field {
    const char *name;
    bool (*harmless)(yyjson_val *v);
} left_fields[] = {
    {"model", anything}, /* read from the call */
    {"stream", anything},
    {"stream_options", anything},
    {"metadata", anything},
    {"prompt_cache_key", anything},
    {"prompt_cache_retention", anything},
    {"prompt_cache_options", anything},
    {"store", is_false},
    {"logprobs", is_false},
    {"top_logprobs", is_zero},
    {"frequency_penalty", is_zero},
    {"presence_penalty", is_zero},
    {"logit_bias", is_empty},
    {"verbosity", is_medium},
};

/* The name goes into a header: nothing of the client's that means something there. */
static void plain_name(struct slice name, char to[FIELD_NAME_MAX])
{
    size_t n = name.n < FIELD_NAME_MAX - 1 ? name.n : FIELD_NAME_MAX - 1;

    for (size_t i = 0; i < n; i++) {
        char c = name.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';

        to[i] = '_';
        if (plain)
            to[i] = c;
    }
    to[n] = '\0';
}

static enum status leave_out(struct making *m, struct slice name, yyjson_val *value)
{
    char plain[FIELD_NAME_MAX];

    for (size_t i = 0; i < sizeof(left_fields) / sizeof(left_fields[0]); i++)
        if (slice_is(name, left_fields[i].name) && left_fields[i].harmless(value))
            return ST_OK;
    plain_name(name, plain);
    return making_unsupported(m, plain, UPSTREAM_NAME);
}

static enum status find_fields(struct making *m, yyjson_val *root)
{
    yyjson_val *key, *value;
    size_t i, n;

    if (yyjson_obj_size(root) > FIELDS_MAX)
        return err_set(m->err, ST_BAD_REQUEST, "The body of the request has more than %d members.", FIELDS_MAX);
    yyjson_obj_foreach(root, i, n, key, value)
    {
        struct slice name = {yyjson_get_str(key), yyjson_get_len(key)};
        size_t k = 0, all = sizeof(read_fields) / sizeof(read_fields[0]);

        while (k < all && !slice_is(name, read_fields[k].name))
            k++;
        if (k < all) {
            yyjson_val **field = (void *)((char *)&m->f + read_fields[k].offset);

            *field = yyjson_is_null(value) ? NULL : value;
        } else if (!yyjson_is_null(value)) {
            enum status st = leave_out(m, name, value);

            if (st != ST_OK)
                return st;
        }
    }
    return ST_OK;
}

static enum status read_count(struct making *m, yyjson_val *v, const char *name, uint64_t *ret)
{
    yyjson_val number;

    if (v == NULL)
        return ST_OK;
    if (!making_number(v, &number) || !yyjson_is_int(&number))
        return making_type(m, name, "an integer");
    if (!yyjson_is_uint(&number) || yyjson_get_uint(&number) == 0 || yyjson_get_uint(&number) > LIMIT_TOKENS)
        return making_value(m, name, "it is out of range");
    *ret = yyjson_get_uint(&number);
    return ST_OK;
}

/* What no answer of text can be given to. */
static enum status check_output(struct making *m)
{
    uint64_t choices = 1;
    yyjson_val *item;
    size_t i, n;
    enum status st = read_count(m, m->f.n, "n", &choices);

    if (st == ST_OK && choices > 1)
        st = making_refused(m, "n", "it gives one choice only");
    if (st == ST_OK && m->f.audio != NULL)
        st = making_refused(m, "audio", "it says nothing aloud");
    if (st == ST_OK && m->f.modalities != NULL && !yyjson_is_arr(m->f.modalities))
        st = making_type(m, "modalities", "an array of strings");
    if (st != ST_OK)
        return st;
    yyjson_arr_foreach(m->f.modalities, i, n, item)
    {
        if (!yyjson_equals_str(item, "text"))
            return making_refused(m, "modalities", "it answers with text only");
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

static void put_config(struct making *m, const char *key, yyjson_mut_val *value)
{
    if (m->output_config == NULL) {
        m->output_config = making_object(m, NULL);
        making_put(m, m->root, "output_config", m->output_config);
    }
    making_put(m, m->output_config, key, value);
}

static void put_no_thinking(struct making *m)
{
    if (m->can.thinks_always)
        put_config(m, "effort", yyjson_mut_str(m->doc, "low"));
    else if (m->can.thinking != CLAUDE_THINKS_NOT)
        making_put(m, m->root, "thinking", making_object(m, "disabled"));
}

/* A budget is written with the limit, on which it depends. */
static void put_effort(struct making *m, const struct effort *e)
{
    m->thinks = true;
    if (m->can.effort != CLAUDE_EFFORT_NOT)
        put_config(m, "effort", yyjson_mut_str(m->doc, e->upto[m->can.effort]));
    if (m->can.thinking == CLAUDE_THINKS_BUDGET) {
        m->budget = e->budget;
    } else {
        yyjson_mut_val *thinking = making_object(m, "adaptive");

        making_put(m, thinking, "display", yyjson_mut_str(m->doc, "summarized"));
        making_put(m, m->root, "thinking", thinking);
    }
}

static enum status put_thinking(struct making *m)
{
    yyjson_val *v = m->f.reasoning_effort;

    if (v == NULL)
        return ST_OK;
    if (!yyjson_is_str(v))
        return making_type(m, "reasoning_effort", "a string");
    if (yyjson_equals_str(v, "none")) {
        put_no_thinking(m);
        return ST_OK;
    }
    for (size_t i = 0; i < sizeof(efforts) / sizeof(efforts[0]); i++) {
        if (!yyjson_equals_str(v, efforts[i].name))
            continue;
        if (m->can.thinking == CLAUDE_THINKS_NOT)
            return making_unsupported(m, "reasoning_effort", "Anthropic's model");
        put_effort(m, &efforts[i]);
        return ST_OK;
    }
    return making_value(m, "reasoning_effort", "there is no such effort");
}

static uint64_t default_limit(const struct translate_call *call)
{
    uint64_t most = call->max_output > 0 ? call->max_output : OUTPUT_DEFAULT;

    return call->stream || most < OUTPUT_WHOLE_MAX ? most : OUTPUT_WHOLE_MAX;
}

/* Where the limit leaves no room for it the budget is the least there is, or none. */
static void put_budget(struct making *m, uint64_t limit)
{
    yyjson_mut_val *thinking;

    if (m->budget >= limit)
        m->budget = limit > BUDGET_MIN ? BUDGET_MIN : 0;
    if (m->budget == 0) {
        m->thinks = m->thinks && m->can.thinking != CLAUDE_THINKS_BUDGET;
        return;
    }
    thinking = making_object(m, "enabled");
    making_put(m, thinking, "budget_tokens", yyjson_mut_uint(m->doc, m->budget));
    making_put(m, m->root, "thinking", thinking);
}

static enum status put_limit(struct making *m)
{
    const struct translate_call *call = m->call;
    uint64_t old = 0, limit = 0;
    enum status st = read_count(m, m->f.max_tokens, "max_tokens", &old);

    if (st == ST_OK)
        st = read_count(m, m->f.max_completion_tokens, "max_completion_tokens", &limit);
    if (st != ST_OK)
        return st;
    if (limit == 0)
        limit = old > 0 ? old : default_limit(call);
    limit = call->output_limit > 0 ? call->output_limit : limit + m->budget;
    if (call->max_output > 0 && limit > call->max_output)
        limit = call->max_output;
    making_put(m, m->root, "max_tokens", yyjson_mut_uint(m->doc, limit));
    put_budget(m, limit);
    return ST_OK;
}

/* ---- sampling -----------------------------------------------------------------------------------------------------
 */

static enum status read_real(struct making *m, yyjson_val *v, const char *name, double max, double *ret)
{
    yyjson_val number;

    if (v == NULL)
        return ST_OK;
    if (!making_number(v, &number))
        return making_type(m, name, "a number");
    *ret = yyjson_get_num(&number);
    return *ret >= 0 && *ret <= max ? ST_OK : making_value(m, name, "it is out of range");
}

static enum status put_top_k(struct making *m)
{
    uint64_t top_k = 0;
    enum status st = read_count(m, m->f.top_k, "top_k", &top_k);

    if (st != ST_OK || top_k == 0)
        return st;
    if (!m->can.sampling || m->thinks)
        return making_unsupported(m, "top_k", "Anthropic's model");
    making_put(m, m->root, "top_k", yyjson_mut_uint(m->doc, top_k));
    return ST_OK;
}

static enum status put_top_p(struct making *m, double top_p, bool beside_temperature)
{
    if (m->f.top_p == NULL || !(top_p < 1))
        return ST_OK;
    if (!m->can.sampling && top_p >= TOP_P_FIXED_MIN)
        return ST_OK;
    if (!m->can.sampling || (m->thinks && top_p < TOP_P_THINKING_MIN))
        return making_unsupported(m, "top_p", "Anthropic's model");
    if (beside_temperature)
        return making_unsupported(m, "top_p", "Anthropic's model, beside temperature,");
    making_put(m, m->root, "top_p", making_copy(m, m->f.top_p));
    return ST_OK;
}

/* Anthropic's temperatures end at 1, its default. */
static enum status put_sampling(struct making *m)
{
    double temperature = 1, top_p = 1;
    bool put = m->f.temperature != NULL;
    enum status st = read_real(m, m->f.temperature, "temperature", TEMPERATURE_MAX, &temperature);

    if (st == ST_OK)
        st = read_real(m, m->f.top_p, "top_p", 1, &top_p);
    if (st != ST_OK)
        return st;
    if (temperature < 1 && (!m->can.sampling || m->thinks)) {
        put = false;
        st = making_unsupported(m, "temperature", m->thinks ? "Anthropic's model, while it thinks," : UPSTREAM_NAME);
    } else if (!(temperature < 1) && (!m->can.sampling || (m->can.one_sampler && top_p < 1))) {
        put = false;
    }
    if (st == ST_OK)
        st = put_top_p(m, top_p, put && m->can.one_sampler);
    if (put)
        making_put(m, m->root, "temperature",
                   temperature > 1 ? yyjson_mut_real(m->doc, 1) : making_copy(m, m->f.temperature));
    return st == ST_OK ? put_top_k(m) : st;
}

/* ---- the rest -----------------------------------------------------------------------------------------------------
 */

static bool blank(yyjson_val *text)
{
    return strspn(yyjson_get_str(text), " \t\r\n") == yyjson_get_len(text);
}

static enum status add_stop(struct making *m, yyjson_val *stop, yyjson_mut_val *to)
{
    if (!yyjson_is_str(stop))
        return making_type(m, "stop", "a string or an array of strings");
    if (blank(stop))
        return making_unsupported(m, "stop", "Anthropic's Messages, for nothing but white space,");
    making_append(m, to, making_copy(m, stop));
    return ST_OK;
}

static enum status put_stop(struct making *m)
{
    yyjson_mut_val *list = yyjson_mut_arr(m->doc);
    yyjson_val *item;
    size_t i, n;
    enum status st = ST_OK;

    if (m->f.stop != NULL && !yyjson_is_arr(m->f.stop))
        st = add_stop(m, m->f.stop, list);
    if (yyjson_arr_size(m->f.stop) > STOPS_MAX)
        return making_value(m, "stop", "there are too many");
    yyjson_arr_foreach(m->f.stop, i, n, item)
    {
        if (st == ST_OK)
            st = add_stop(m, item, list);
    }
    if (st == ST_OK && yyjson_mut_arr_size(list) > 0)
        making_put(m, m->root, "stop_sequences", list);
    return st;
}

static enum status put_user(struct making *m)
{
    yyjson_val *user = m->f.safety_identifier != NULL ? m->f.safety_identifier : m->f.user;
    yyjson_mut_val *metadata;

    if (m->f.user != NULL && !yyjson_is_str(m->f.user))
        return making_type(m, "user", "a string");
    if (m->f.safety_identifier != NULL && !yyjson_is_str(m->f.safety_identifier))
        return making_type(m, "safety_identifier", "a string");
    if (user == NULL || yyjson_get_len(user) == 0 || yyjson_get_len(user) > USER_ID_MAX)
        return ST_OK;
    metadata = making_object(m, NULL);
    making_put(m, metadata, "user_id", making_copy(m, user));
    making_put(m, m->root, "metadata", metadata);
    return ST_OK;
}

static enum status put_tier(struct making *m)
{
    yyjson_val *tier = m->f.service_tier;

    if (tier == NULL)
        return ST_OK;
    if (!yyjson_is_str(tier))
        return making_type(m, "service_tier", "a string");
    if (yyjson_equals_str(tier, "auto"))
        making_put(m, m->root, "service_tier", yyjson_mut_str(m->doc, "auto"));
    else if (yyjson_equals_str(tier, "default"))
        making_put(m, m->root, "service_tier", yyjson_mut_str(m->doc, "standard_only"));
    else
        return making_unsupported(m, "service_tier", UPSTREAM_NAME);
    return ST_OK;
}

static enum status put_json_schema(struct making *m, yyjson_val *format)
{
    yyjson_val *holder = yyjson_obj_get(format, "json_schema"), *schema = yyjson_obj_get(holder, "schema");
    yyjson_mut_val *to, *copy;

    if (holder == NULL || yyjson_is_null(holder))
        return making_missing(m, "response_format.json_schema");
    if (!yyjson_is_obj(holder))
        return making_type(m, "response_format.json_schema", "an object");
    if (schema == NULL || yyjson_is_null(schema))
        return making_missing(m, "response_format.json_schema.schema");
    if (!yyjson_is_obj(schema))
        return making_type(m, "response_format.json_schema.schema", "an object");
    if (!m->can.schemas)
        return making_unsupported(m, "response_format", "Anthropic's model");
    copy = making_schema(m, schema, 0);
    if (copy == NULL && !m->no_memory)
        return making_value(m, "response_format.json_schema.schema", "it is nested too deeply");
    to = making_object(m, "json_schema");
    making_put(m, to, "schema", copy);
    put_config(m, "format", to);
    return ST_OK;
}

static enum status put_format(struct making *m)
{
    yyjson_val *format = m->f.response_format, *type = yyjson_obj_get(format, "type");

    if (format == NULL)
        return ST_OK;
    if (!yyjson_is_obj(format))
        return making_type(m, "response_format", "an object");
    if (type == NULL)
        return making_missing(m, "response_format.type");
    if (yyjson_equals_str(type, "json_schema"))
        return put_json_schema(m, format);
    if (yyjson_equals_str(type, "json_object"))
        making_system_line(m, "Respond with a single JSON object only.");
    else if (!yyjson_equals_str(type, "text"))
        return making_value(m, "response_format.type", "it is none of text, json_object, json_schema");
    return ST_OK;
}

static enum status make(struct making *m, yyjson_val *root)
{
    static enum status (*const steps[])(struct making *) = {
        check_output, making_turns, put_thinking, put_limit, making_tools,
        put_sampling, put_stop,     put_user,     put_tier,  put_format,
    };
    enum status st = find_fields(m, root);

    making_put(m, m->root, "model", making_string(m, m->call->upstream_model));
    making_put(m, m->root, "messages", m->messages);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && st == ST_OK; i++)
        st = steps[i](m);
    if (yyjson_mut_arr_size(m->system) > 0)
        making_put(m, m->root, "system", m->system);
    if (m->call->stream)
        making_put(m, m->root, "stream", yyjson_mut_true(m->doc));
    return st;
}

static enum status write_out(struct making *m, struct buf *out)
{
    size_t n = 0;
    char *text = m->no_memory ? NULL : yyjson_mut_val_write(m->root, 0, &n);
    enum status st = text != NULL ? buf_add(out, text, n) : ST_NO_MEMORY;

    free(text);
    return st;
}

static enum status request(void *state, struct translate_call *call, struct slice body, struct buf *out,
                           struct err *err)
{
    yyjson_doc *client = yyjson_read(body.p, body.n, YYJSON_READ_NUMBER_AS_RAW);
    yyjson_val *root = yyjson_doc_get_root(client);
    struct making m = {.state = state, .call = call, .err = err, .doc = yyjson_mut_doc_new(NULL)};
    enum status st;

    m.root = yyjson_mut_obj(m.doc);
    m.system = yyjson_mut_arr(m.doc);
    m.messages = yyjson_mut_arr(m.doc);
    claude_traits(call->upstream_model, &m.can);
    if (m.messages == NULL)
        st = ST_NO_MEMORY;
    else if (!yyjson_is_obj(root))
        st = err_set(err, ST_BAD_REQUEST, "The body of the request must be a JSON object.");
    else
        st = make(&m, root);
    if (st == ST_OK)
        st = write_out(&m, out);
    yyjson_mut_doc_free(m.doc);
    yyjson_doc_free(client);
    return st;
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
                                            .answer = messages_to_chat_answer,
                                            .event = messages_to_chat_event,
                                            .end = messages_to_chat_end,
                                            .fini = fini};
