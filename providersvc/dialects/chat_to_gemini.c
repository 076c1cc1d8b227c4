/*
 * The client speaks OpenAI's chat completions, upstream Gemini's generateContent (contract, section 5.1). The model's
 * name and whether the answer is streamed are in Gemini's URL, not in its body.
 */
#include "providersvc/dialects/chat_to_gemini_private.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define STOP_MAX 5
#define LOGPROBS_MAX 20
#define TOP_K_OFF (-1) /* of all tokens, as hosts of open weights have it; 0 likewise */
#define BUDGET_LOW 1024
#define BUDGET_MEDIUM 8192
#define BUDGET_HIGH 24576
#define BUDGET_MIN_PRO 128 /* 2.5 Pro always thinks */
#define BUDGET_MIN_LITE 512
#define VERSION_WITHOUT_MINIMAL 308 /* from 3.8 on LOW is the least */

/* ---- fields ------------------------------------------------------------------------------------------------------
 */

struct given { /* NULL = absent, or null */
    yyjson_val *messages, *max_completion_tokens, *max_tokens, *temperature, *top_p, *frequency_penalty,
        *presence_penalty, *seed, *stop, *n, *logprobs, *top_logprobs, *response_format, *reasoning_effort, *tools,
        *tool_choice, *functions, *function_call, *modalities, *top_k, *parallel_tool_calls;
};

struct gemini_request {
    struct asking asking;
    struct given given;
};

static bool is_usual_tier(yyjson_val *v)
{
    return yyjson_equals_str(v, "auto") || yyjson_equals_str(v, "default");
}

static bool is_medium(yyjson_val *v)
{
    return yyjson_equals_str(v, "medium");
}

#define READ(name) KEPT(#name, 0, offsetof(struct gemini_request, given.name))

static const struct reshape_field fields[] = {
    READ(messages),
    READ(max_completion_tokens),
    READ(max_tokens),
    READ(temperature),
    READ(top_p),
    READ(frequency_penalty),
    READ(presence_penalty),
    READ(seed),
    READ(stop),
    READ(n),
    READ(logprobs),
    READ(top_logprobs),
    READ(response_format),
    READ(reasoning_effort),
    READ(tools),
    READ(tool_choice),
    READ(functions),
    READ(function_call),
    READ(modalities),
    READ(top_k),
    KEPT("parallel_tool_calls", IS_BOOL, offsetof(struct gemini_request, given.parallel_tool_calls)),
    LEFT("model", 0),
    LEFT("stream", 0),
    LEFT("stream_options", 0),
    LEFT("user", 0),
    LEFT("safety_identifier", 0),
    LEFT("metadata", 0),
    LEFT("prompt_cache_key", 0),
    LEFT("prompt_cache_retention", 0),
    LEFT("prompt_cache_options", 0),
    NEUTRAL("store", 0, is_false),
    NEUTRAL("service_tier", 0, is_usual_tier),
    NEUTRAL("logit_bias", 0, is_empty),
    NEUTRAL("verbosity", 0, is_medium),
};

/* ---- generationConfig --------------------------------------------------------------------------------------------
 */

struct configuring {
    const struct asking *a;
    struct checking *from;
    struct making *to;
    const struct given *given;
    yyjson_mut_val *config; /* NULL = nothing to say yet */
    uint64_t output_limit; /* 0 = none */
};

static yyjson_mut_val *config(struct configuring *c)
{
    if (c->config == NULL)
        c->config = making_put_object(c->to, c->to->root, "generationConfig");
    return c->config;
}

static enum status take_decimal(struct configuring *c, const char *name, yyjson_val *v, const char *key, double min,
                                double max)
{
    yyjson_val number;

    if (v == NULL)
        return ST_OK;
    if (!yyjson_is_raw(v))
        return check_wrong_type(c->from, name, "a decimal", v);
    if (check_number_of(v, &number) && !isless(yyjson_get_num(&number), min) &&
        !isgreater(yyjson_get_num(&number), max)) {
        making_put_value(c->to, config(c), key, v); /* as it is written */
        return ST_OK;
    }
    return err_set_field(c->from->err, ST_BAD_REQUEST,
                         yyjson_get_raw(v)[0] == '-' ? "decimal_below_min_value" : "decimal_above_max_value", name,
                         "Invalid '%s': expected a value from %g to %g.", name, min, max);
}

/* ret keeps its value when the field is absent. */
static enum status take_integer(struct configuring *c, const char *name, yyjson_val *v, int64_t min, int64_t max,
                                int64_t *ret)
{
    bool below, above;
    yyjson_val number;

    if (v == NULL)
        return ST_OK;
    if (!check_number_of(v, &number) || !yyjson_is_int(&number))
        return check_wrong_type(c->from, name, "an integer", v);
    below = yyjson_is_sint(&number) && yyjson_get_sint(&number) < min;
    above = yyjson_is_uint(&number) && yyjson_get_uint(&number) > (uint64_t)max;
    if (yyjson_is_uint(&number) && !above)
        below = (int64_t)yyjson_get_uint(&number) < min;
    if (below)
        return err_set_field(c->from->err, ST_BAD_REQUEST, "integer_below_min_value", name,
                             "Invalid '%s': integer below minimum value. Expected a value >= %lld.", name,
                             (long long)min);
    if (above)
        return err_set_field(c->from->err, ST_BAD_REQUEST, "integer_above_max_value", name,
                             "Invalid '%s': integer above maximum value. Expected a value <= %lld.", name,
                             (long long)max);
    *ret = yyjson_is_sint(&number) ? yyjson_get_sint(&number) : (int64_t)yyjson_get_uint(&number);
    return ST_OK;
}

static enum status take_sampling(struct configuring *c)
{
    enum status st = take_decimal(c, "temperature", c->given->temperature, "temperature", 0, 2);
    int64_t seed = 0, top_k = 0;

    if (st == ST_OK)
        st = take_integer(c, "top_k", c->given->top_k, TOP_K_OFF, INT32_MAX, &top_k);
    if (st == ST_OK && top_k > 0)
        making_put_value(c->to, config(c), "topK", c->given->top_k);
    if (st == ST_OK)
        st = take_decimal(c, "top_p", c->given->top_p, "topP", 0, 1);
    if (st == ST_OK)
        st = take_decimal(c, "presence_penalty", c->given->presence_penalty, "presencePenalty", -2, 2);
    if (st == ST_OK)
        st = take_decimal(c, "frequency_penalty", c->given->frequency_penalty, "frequencyPenalty", -2, 2);
    if (st == ST_OK)
        st = take_integer(c, "seed", c->given->seed, INT32_MIN, INT32_MAX, &seed); /* Gemini's is of 32 bits */
    if (st == ST_OK && c->given->seed != NULL)
        making_put_value(c->to, config(c), "seed", c->given->seed);
    return st;
}

static enum status take_limits(struct configuring *c)
{
    int64_t limit = 0, old_limit = 0, candidates = 1;
    enum status st = take_integer(c, "max_completion_tokens", c->given->max_completion_tokens, 1, LIMIT_TOKENS, &limit);

    if (st == ST_OK)
        st = take_integer(c, "max_tokens", c->given->max_tokens, 1, LIMIT_TOKENS, &old_limit);
    if (st == ST_OK)
        st = take_integer(c, "n", c->given->n, 1, GEMINI_CANDIDATES_MAX, &candidates);
    if (st != ST_OK)
        return st;
    c->output_limit = (uint64_t)(limit > 0 ? limit : old_limit);
    if (c->from->call->output_limit > 0)
        c->output_limit = c->from->call->output_limit;
    if (c->output_limit > 0)
        making_put(c->to, config(c), "maxOutputTokens", making_count(c->to, c->output_limit));
    if (candidates > 1)
        making_put(c->to, config(c), "candidateCount", making_count(c->to, (uint64_t)candidates));
    return ST_OK;
}

static enum status take_stop(struct configuring *c)
{
    yyjson_val *v = c->given->stop, *item;
    yyjson_mut_val *list = NULL;
    size_t i, n;

    if (v == NULL)
        return ST_OK;
    if (!yyjson_is_str(v) && !yyjson_is_arr(v))
        return check_wrong_type(c->from, "stop", "a string or an array of strings", v);
    if (yyjson_arr_size(v) > STOP_MAX)
        return err_set_field(c->from->err, ST_BAD_REQUEST, "array_above_max_length", "stop",
                             "Invalid 'stop': array too long. Expected an array with maximum length %d.", STOP_MAX);
    if (yyjson_get_len(v) == 0)
        return ST_OK; /* nothing ends at an empty text */
    list = making_array(c->to);
    if (yyjson_is_str(v))
        making_push(c->to, list, making_value(c->to, v));
    yyjson_arr_foreach(v, i, n, item)
    {
        enum status st;

        check_enter_item(c->from, "stop", i);
        st = check_is(c->from, NULL, item, IS_STRING);
        if (st != ST_OK)
            return st;
        check_leave(c->from);
        if (yyjson_get_len(item) > 0)
            making_push(c->to, list, making_value(c->to, item));
    }
    if (yyjson_mut_arr_size(list) > 0)
        making_put(c->to, config(c), "stopSequences", list);
    return ST_OK;
}

static enum status take_logprobs(struct configuring *c)
{
    yyjson_val *v = c->given->logprobs;
    int64_t top = 0;
    enum status st = take_integer(c, "top_logprobs", c->given->top_logprobs, 0, LOGPROBS_MAX, &top);

    if (st != ST_OK)
        return st;
    if (v != NULL && !yyjson_is_bool(v))
        return check_wrong_type(c->from, "logprobs", "a boolean", v);
    if (top > 0 && !yyjson_is_true(v))
        return check_invalid(c->from, "top_logprobs", "'logprobs' to be true where it is given");
    if (yyjson_is_true(v))
        making_put(c->to, config(c), "responseLogprobs", making_bool(c->to, true));
    if (top > 0)
        making_put(c->to, config(c), "logprobs", making_count(c->to, (uint64_t)top));
    return ST_OK;
}

static enum status take_schema(struct configuring *c, yyjson_val *format)
{
    yyjson_val *wanted = NULL, *schema = NULL;
    enum status st = check_need(c->from, format, "json_schema", IS_OBJECT, &wanted);

    check_enter(c->from, "json_schema");
    if (st == ST_OK)
        st = check_get(c->from, wanted, "schema", IS_OBJECT, &schema);
    check_leave(c->from);
    if (st == ST_OK && schema != NULL)
        making_put_value(c->to, config(c), "responseJsonSchema", schema);
    return st;
}

static enum status take_format(struct configuring *c)
{
    yyjson_val *v = c->given->response_format;
    struct slice type = {NULL, 0};
    enum status st = v != NULL ? check_is(c->from, "response_format", v, IS_OBJECT) : ST_OK;

    if (st != ST_OK || v == NULL)
        return st;
    check_enter(c->from, "response_format");
    st = check_name(c->from, v, "type", &type);
    if (st == ST_OK && !slice_is(type, "text") && !slice_is(type, "json_object") && !slice_is(type, "json_schema"))
        st = check_invalid(c->from, "type", "one of 'text', 'json_object' and 'json_schema'");
    if (st == ST_OK && !slice_is(type, "text"))
        making_put_word(c->to, config(c), "responseMimeType", "application/json");
    if (st == ST_OK && slice_is(type, "json_schema"))
        st = take_schema(c, v);
    check_leave(c->from);
    return st;
}

/* An image beside the text or alone, as OpenRouter's clients ask for it. Of a model that makes none Google says so. */
static enum status take_modalities(struct configuring *c)
{
    yyjson_val *v = c->given->modalities, *item;
    yyjson_mut_val *list;
    size_t i, n;

    if (v == NULL || is_text_only(v))
        return ST_OK;
    if (yyjson_arr_size(v) == 0)
        return check_unsupported(c->from, "modalities");
    list = making_array(c->to);
    yyjson_arr_foreach(v, i, n, item)
    {
        bool image = yyjson_equals_str(item, "image");

        if (!image && !yyjson_equals_str(item, "text"))
            return check_unsupported(c->from, "modalities");
        making_push(c->to, list, making_word(c->to, image ? "IMAGE" : "TEXT"));
    }
    making_put(c->to, config(c), "responseModalities", list);
    return ST_OK;
}

/* ---- thinking ----------------------------------------------------------------------------------------------------
 */

enum effort { EFFORT_NONE, EFFORT_MINIMAL, EFFORT_LOW, EFFORT_MEDIUM, EFFORT_HIGH };

static bool effort_of(yyjson_val *v, enum effort *ret)
{
    static const struct {
        const char *word;
        enum effort effort;
    } words[] = {{"none", EFFORT_NONE}, {"minimal", EFFORT_MINIMAL}, {"low", EFFORT_LOW}, {"medium", EFFORT_MEDIUM},
                 {"high", EFFORT_HIGH}, {"xhigh", EFFORT_HIGH},      {"max", EFFORT_HIGH}};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (!yyjson_equals_str(v, words[i].word))
            continue;
        *ret = words[i].effort;
        return true;
    }
    return false;
}

static bool model_has(const struct asking *a, const char *word)
{
    struct slice m = a->r.from.call->upstream_model;

    return m.n > 0 && memmem(m.p, m.n, word, strlen(word)) != NULL;
}

/* Thinking is part of the output: half of its limit is left for the answer. */
static uint64_t budget_of(const struct configuring *c, enum effort effort)
{
    static const uint64_t budgets[] = {0, BUDGET_LOW, BUDGET_LOW, BUDGET_MEDIUM, BUDGET_HIGH};
    uint64_t least = model_has(c->a, "-pro") ? BUDGET_MIN_PRO : 0, budget = budgets[effort];

    if (budget > 0 && model_has(c->a, "-lite"))
        least = BUDGET_MIN_LITE;
    if (c->output_limit > 0 && budget > c->output_limit / 2)
        budget = c->output_limit / 2;
    return budget > least ? budget : least;
}

static const char *level_of(const struct asking *a, enum effort effort)
{
    bool minimal = a->version > 0 && a->version < VERSION_WITHOUT_MINIMAL && model_has(a, "-flash");

    switch (effort) {
    case EFFORT_NONE: /* there is no level that does not think */
    case EFFORT_MINIMAL: return minimal ? "MINIMAL" : "LOW";
    case EFFORT_LOW: return "LOW";
    case EFFORT_MEDIUM: return "MEDIUM";
    default: return "HIGH";
    }
}

/* A budget and a level together are a 400. */
static enum status take_effort(struct configuring *c)
{
    yyjson_val *v = c->given->reasoning_effort;
    enum effort effort = EFFORT_NONE;

    if (v == NULL)
        return ST_OK;
    if (!yyjson_is_str(v))
        return check_wrong_type(c->from, "reasoning_effort", "a string", v);
    if (!effort_of(v, &effort))
        return check_invalid(c->from, "reasoning_effort",
                             "one of 'none', 'minimal', 'low', 'medium', 'high', 'xhigh' and 'max'");
    if (c->a->family == GEMINI_PLAIN)
        return effort == EFFORT_NONE ? ST_OK : check_unsupported(c->from, "reasoning_effort");
    if (c->a->family == GEMINI_BUDGET)
        making_put(c->to, making_put_object(c->to, config(c), "thinkingConfig"), "thinkingBudget",
                   making_count(c->to, budget_of(c, effort)));
    else
        making_put_word(c->to, making_put_object(c->to, config(c), "thinkingConfig"), "thinkingLevel",
                        level_of(c->a, effort));
    return ST_OK;
}

static enum status take_config(struct asking *a, const struct given *given)
{
    struct configuring c = {.a = a, .from = &a->r.from, .to = &a->r.to, .given = given};
    enum status st = take_sampling(&c);

    if (st == ST_OK)
        st = take_limits(&c);
    if (st == ST_OK)
        st = take_stop(&c);
    if (st == ST_OK)
        st = take_logprobs(&c);
    if (st == ST_OK)
        st = take_modalities(&c);
    if (st == ST_OK)
        st = take_format(&c);
    return st == ST_OK ? take_effort(&c) : st;
}

/* ---- the whole ---------------------------------------------------------------------------------------------------
 */

/* Of "gemini-3.8-flash", "models/gemini-2.5-pro", "gemini-flash-latest", "gemma-3-27b-it". */
static void read_model(struct asking *a)
{
    struct slice m = a->r.from.call->upstream_model;
    unsigned major = 0, minor = 0;
    char name[LIMIT_MODEL + 1];
    const char *base;

    a->family = GEMINI_LEVEL;
    if (!slice_copy(m, name, sizeof(name)))
        return;
    base = strrchr(name, '/') != NULL ? strrchr(name, '/') + 1 : name;
    if (strncmp(base, "gemma", 5) == 0 || strncmp(base, "learnlm", 7) == 0)
        a->family = GEMINI_PLAIN;
    if (sscanf(base, "gemini-%2u.%2u", &major, &minor) < 1)
        return;
    a->version = 100 * major + minor;
    if (a->version < 300)
        a->family = a->version < 205 ? GEMINI_PLAIN : GEMINI_BUDGET;
}

static enum status make_request(struct gemini_request *q, struct gemini_state *s)
{
    struct asking *a = &q->asking;
    struct given *given = &q->given;
    enum status st = reshape_fields(&a->r, fields, sizeof(fields) / sizeof(fields[0]), q);
    bool old_choice = given->tool_choice == NULL && given->function_call != NULL;

    read_model(a);
    if (st == ST_OK)
        st = gemini_messages(a, given->messages);
    if (st == ST_OK)
        st = gemini_tools(a, given->tools, given->functions, old_choice ? given->function_call : given->tool_choice,
                          old_choice ? "function_call" : "tool_choice");
    if (st == ST_OK)
        st = take_config(a, given);
    s->legacy = given->functions != NULL && given->tools == NULL;
    s->one_call = s->legacy || yyjson_is_false(given->parallel_tool_calls);
    return st;
}

static enum status request(void *state, struct translate_call *call, struct slice body, struct buf *out,
                           struct err *err)
{
    struct gemini_request q = {0};
    enum status st = reshape_begin(&q.asking.r, call, body, GEMINI_NAME, err);

    if (st == ST_OK)
        st = make_request(&q, state);
    return reshape_end(&q.asking.r, st, out);
}

static void fini(void *state)
{
    (void)state; /* holds no memory */
}

const struct translator chat_to_gemini = {
    .name = "chat_to_gemini",
    .client = &dialect_chat,
    .upstream = &dialect_gemini,
    .state_size = sizeof(struct gemini_state),
    .request = request,
    .answer = gemini_answer,
    .event = gemini_event,
    .end = gemini_end,
    .fini = fini,
};
