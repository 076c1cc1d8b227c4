/*
 * The client speaks OpenAI's chat completions, upstream Gemini's generateContent (contract, section 5.1). The model's
 * name and whether the answer is streamed are in Gemini's URL, not in its body.
 */
#include "providersvc/dialects/chat_to_gemini_private.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STOP_MAX 5
#define LOGPROBS_MAX 20
#define BUDGET_LOW 1024
#define BUDGET_MEDIUM 8192
#define BUDGET_HIGH 24576
#define BUDGET_MIN_PRO 128 /* 2.5 Pro always thinks */
#define BUDGET_MIN_LITE 512
#define VERSION_WITHOUT_MINIMAL 308 /* from 3.8 on LOW is the least */

/* ---- JSON in the making ------------------------------------------------------------------------------------------
 */

bool making_begin(struct making *m)
{
    *m = (struct making){.doc = yyjson_mut_doc_new(NULL)};
    m->root = yyjson_mut_obj(m->doc);
    yyjson_mut_doc_set_root(m->doc, m->root);
    if (m->root != NULL)
        return true;
    making_end(m);
    return false;
}

void making_end(struct making *m)
{
    yyjson_mut_doc_free(m->doc);
    *m = (struct making){.lost = true};
}

enum status making_write(struct making *m, struct buf *out)
{
    size_t n = 0;
    char *text = m->lost ? NULL : yyjson_mut_write(m->doc, 0, &n);
    enum status st = text != NULL ? buf_add(out, text, n) : ST_NO_MEMORY;

    free(text);
    return st;
}

yyjson_mut_val *gemini_making_put(struct making *m, yyjson_mut_val *object, const char *key, yyjson_mut_val *v)
{
    m->lost |= !yyjson_mut_obj_add_val(m->doc, object, key, v);
    return v;
}

yyjson_mut_val *making_put_text(struct making *m, yyjson_mut_val *object, const char *key, struct slice text)
{
    return gemini_making_put(m, object, key, yyjson_mut_strn(m->doc, text.p != NULL ? text.p : "", text.n));
}

yyjson_mut_val *making_put_copy(struct making *m, yyjson_mut_val *object, const char *key, struct slice text)
{
    return gemini_making_put(m, object, key, yyjson_mut_strncpy(m->doc, text.p != NULL ? text.p : "", text.n));
}

yyjson_mut_val *making_put_word(struct making *m, yyjson_mut_val *object, const char *key, const char *literal)
{
    return gemini_making_put(m, object, key, yyjson_mut_str(m->doc, literal));
}

yyjson_mut_val *making_put_value(struct making *m, yyjson_mut_val *object, const char *key, yyjson_val *v)
{
    return gemini_making_put(m, object, key, yyjson_val_mut_copy(m->doc, v));
}

yyjson_mut_val *making_put_object(struct making *m, yyjson_mut_val *object, const char *key)
{
    return gemini_making_put(m, object, key, yyjson_mut_obj(m->doc));
}

yyjson_mut_val *making_put_array(struct making *m, yyjson_mut_val *object, const char *key)
{
    return gemini_making_put(m, object, key, yyjson_mut_arr(m->doc));
}

yyjson_mut_val *making_push(struct making *m, yyjson_mut_val *array, yyjson_mut_val *v)
{
    m->lost |= !yyjson_mut_arr_append(array, v);
    return v;
}

yyjson_mut_val *making_push_object(struct making *m, yyjson_mut_val *array)
{
    return making_push(m, array, yyjson_mut_obj(m->doc));
}

/* ---- what is wrong with a request --------------------------------------------------------------------------------
 */

static const char *kind_of(yyjson_val *v)
{
    if (yyjson_is_null(v))
        return "null";
    if (yyjson_is_bool(v))
        return "a boolean";
    if (yyjson_is_raw(v))
        return "a number";
    if (yyjson_is_str(v))
        return "a string";
    return yyjson_is_arr(v) ? "an array" : "an object";
}

void asking_path(char to[ERR_PARAM_MAX], const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(to, ERR_PARAM_MAX, format, args);
    va_end(args);
}

enum status asking_wrong_type(struct asking *a, const char *path, const char *expected, yyjson_val *got)
{
    return err_set_field(a->err, ST_BAD_REQUEST, "invalid_type", path,
                         "Invalid type for '%s': expected %s, but got %s instead.", path, expected, kind_of(got));
}

enum status asking_missing(struct asking *a, const char *path)
{
    return err_set_field(a->err, ST_BAD_REQUEST, "missing_required_parameter", path,
                         "Missing required parameter: '%s'.", path);
}

enum status asking_invalid(struct asking *a, const char *path, const char *expected)
{
    return err_set_field(a->err, ST_BAD_REQUEST, "invalid_value", path, "Invalid value for '%s': expected %s.", path,
                         expected);
}

enum status asking_name(struct asking *a, yyjson_val *object, const char *key, const char *path, struct slice *ret)
{
    yyjson_val *v = yyjson_obj_getn(object, key, strlen(key));
    char at[ERR_PARAM_MAX];

    asking_path(at, "%s.%s", path, key);
    if (asking_absent(v))
        return asking_missing(a, at);
    if (!yyjson_is_str(v))
        return asking_wrong_type(a, at, "a string", v);
    if (yyjson_get_len(v) == 0)
        return asking_invalid(a, at, "a string that is not empty");
    *ret = facts_text(v);
    return ST_OK;
}

bool asking_absent(yyjson_val *v)
{
    return v == NULL || yyjson_is_null(v);
}

/* ---- fields ------------------------------------------------------------------------------------------------------
 */

enum treatment {
    TURNED, /* said in Gemini's words */
    SILENT, /* changes nothing in the answer, or is the router's business */
    NEUTRAL, /* has no counterpart: only a value that asks for nothing can be left out */
};

/* clang-format off */
#define FIELDS(F)                                                                                                      \
    F(MESSAGES, "messages", TURNED)                                                                                    \
    F(MAX_COMPLETION_TOKENS, "max_completion_tokens", TURNED)                                                          \
    F(MAX_TOKENS, "max_tokens", TURNED)                                                                                \
    F(TEMPERATURE, "temperature", TURNED)                                                                              \
    F(TOP_P, "top_p", TURNED)                                                                                          \
    F(FREQUENCY_PENALTY, "frequency_penalty", TURNED)                                                                  \
    F(PRESENCE_PENALTY, "presence_penalty", TURNED)                                                                    \
    F(SEED, "seed", TURNED)                                                                                            \
    F(STOP, "stop", TURNED)                                                                                            \
    F(N, "n", TURNED)                                                                                                  \
    F(LOGPROBS, "logprobs", TURNED)                                                                                    \
    F(TOP_LOGPROBS, "top_logprobs", TURNED)                                                                            \
    F(RESPONSE_FORMAT, "response_format", TURNED)                                                                      \
    F(REASONING_EFFORT, "reasoning_effort", TURNED)                                                                    \
    F(TOOLS, "tools", TURNED)                                                                                          \
    F(TOOL_CHOICE, "tool_choice", TURNED)                                                                              \
    F(FUNCTIONS, "functions", TURNED)                                                                                  \
    F(FUNCTION_CALL, "function_call", TURNED)                                                                          \
    F(MODEL, "model", SILENT)                                                                                          \
    F(STREAM, "stream", SILENT)                                                                                        \
    F(STREAM_OPTIONS, "stream_options", SILENT)                                                                        \
    F(USER, "user", SILENT)                                                                                            \
    F(SAFETY_IDENTIFIER, "safety_identifier", SILENT)                                                                  \
    F(METADATA, "metadata", SILENT)                                                                                    \
    F(PROMPT_CACHE_KEY, "prompt_cache_key", SILENT)                                                                    \
    F(PROMPT_CACHE_RETENTION, "prompt_cache_retention", SILENT)                                                        \
    F(PROMPT_CACHE_OPTIONS, "prompt_cache_options", SILENT)                                                            \
    F(STORE, "store", NEUTRAL)                                                                                         \
    F(SERVICE_TIER, "service_tier", NEUTRAL)                                                                           \
    F(PARALLEL_TOOL_CALLS, "parallel_tool_calls", NEUTRAL)                                                             \
    F(LOGIT_BIAS, "logit_bias", NEUTRAL)                                                                               \
    F(MODALITIES, "modalities", NEUTRAL)                                                                               \
    F(VERBOSITY, "verbosity", NEUTRAL)
/* clang-format on */

#define FIELD_ENUM(id, name, how) FIELD_##id,
#define FIELD_ROW(id, text, treated) [FIELD_##id] = {.name = text, .how = treated},

enum field { FIELDS(FIELD_ENUM) FIELD_COUNT };

static const struct field_row {
    const char *name;
    enum treatment how;
} field_rows[FIELD_COUNT] = {FIELDS(FIELD_ROW)};

struct given {
    yyjson_val *of[FIELD_COUNT]; /* NULL = absent, or null */
};

/* Does it ask for nothing? */
static bool neutral(enum field f, yyjson_val *v)
{
    switch (f) {
    case FIELD_STORE: return yyjson_is_false(v);
    case FIELD_SERVICE_TIER: return yyjson_equals_str(v, "auto") || yyjson_equals_str(v, "default");
    case FIELD_PARALLEL_TOOL_CALLS: return yyjson_is_true(v);
    case FIELD_LOGIT_BIAS: return yyjson_is_obj(v) && yyjson_obj_size(v) == 0;
    case FIELD_MODALITIES: return yyjson_arr_size(v) == 1 && yyjson_equals_str(yyjson_arr_get_first(v), "text");
    case FIELD_VERBOSITY: return yyjson_equals_str(v, "medium");
    default: return false;
    }
}

/* A name that nobody has heard of. It may come to stand in a header, so only the letters of names may pass. */
static enum status unknown_field(struct asking *a, struct slice name)
{
    char path[ERR_PARAM_MAX];

    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-'))
            name.n = 0;
    }
    if (!slice_copy(name, path, sizeof(path)) || path[0] == '\0')
        return err_set_field(a->err, ST_BAD_REQUEST, "unknown_parameter", NULL,
                             "The request has a parameter whose name is not one of any API.");
    return translate_unsupported(a->call, path, GEMINI_NAME, a->err);
}

static enum status take_field(struct asking *a, yyjson_val *key, yyjson_val *v, struct given *g)
{
    size_t f = 0;

    while (f < FIELD_COUNT && !yyjson_equals_str(key, field_rows[f].name))
        f++;
    if (yyjson_is_null(v))
        return ST_OK;
    if (f == FIELD_COUNT)
        return unknown_field(a, facts_text(key));
    if (g->of[f] != NULL)
        return err_set_field(a->err, ST_BAD_REQUEST, "invalid_value", field_rows[f].name,
                             "Parameter given more than once: '%s'.", field_rows[f].name);
    g->of[f] = v;
    if (field_rows[f].how != NEUTRAL || neutral((enum field)f, v))
        return ST_OK;
    return translate_unsupported(a->call, field_rows[f].name, GEMINI_NAME, a->err);
}

static enum status find_fields(struct asking *a, yyjson_val *root, struct given *g)
{
    enum status st = ST_OK;
    yyjson_val *key, *v;
    size_t i, n;

    yyjson_obj_foreach(root, i, n, key, v)
    {
        st = take_field(a, key, v, g);
        if (st != ST_OK)
            break;
    }
    return st;
}

/* ---- generationConfig --------------------------------------------------------------------------------------------
 */

struct configuring {
    struct asking *a;
    const struct given *given;
    yyjson_mut_val *config; /* NULL = nothing to say yet */
    uint64_t output_limit; /* 0 = none */
};

static yyjson_mut_val *config(struct configuring *c)
{
    if (c->config == NULL)
        c->config = making_put_object(&c->a->out, c->a->out.root, "generationConfig");
    return c->config;
}

/* Numbers of the client are kept as they are written; this reads one. */
static bool number_of(yyjson_val *v, yyjson_val *ret)
{
    const char *text = yyjson_get_raw(v);

    return text != NULL && yyjson_read_number(text, ret, 0, NULL, NULL) == text + yyjson_get_len(v);
}

static void put_number(struct configuring *c, const char *key, yyjson_val *v)
{
    gemini_making_put(&c->a->out, config(c), key, yyjson_mut_rawn(c->a->out.doc, yyjson_get_raw(v), yyjson_get_len(v)));
}

static enum status take_decimal(struct configuring *c, enum field f, const char *key, double min, double max)
{
    yyjson_val *v = c->given->of[f], number;
    const char *path = field_rows[f].name;

    if (v == NULL)
        return ST_OK;
    if (!yyjson_is_raw(v))
        return asking_wrong_type(c->a, path, "a decimal", v);
    if (number_of(v, &number) && !isless(yyjson_get_num(&number), min) && !isgreater(yyjson_get_num(&number), max)) {
        put_number(c, key, v);
        return ST_OK;
    }
    return err_set_field(c->a->err, ST_BAD_REQUEST,
                         yyjson_get_raw(v)[0] == '-' ? "decimal_below_min_value" : "decimal_above_max_value", path,
                         "Invalid '%s': expected a value from %g to %g.", path, min, max);
}

static enum status integer_of(struct asking *a, enum field f, yyjson_val *v, int64_t min, int64_t max, int64_t *ret)
{
    const char *path = field_rows[f].name;
    bool below, above;
    yyjson_val number;

    if (!number_of(v, &number) || !yyjson_is_int(&number))
        return asking_wrong_type(a, path, "an integer", v);
    below = yyjson_is_sint(&number) && yyjson_get_sint(&number) < min;
    above = yyjson_is_uint(&number) && yyjson_get_uint(&number) > (uint64_t)max;
    if (yyjson_is_uint(&number) && !above)
        below = (int64_t)yyjson_get_uint(&number) < min;
    if (below)
        return err_set_field(a->err, ST_BAD_REQUEST, "integer_below_min_value", path,
                             "Invalid '%s': integer below minimum value. Expected a value >= %lld.", path,
                             (long long)min);
    if (above)
        return err_set_field(a->err, ST_BAD_REQUEST, "integer_above_max_value", path,
                             "Invalid '%s': integer above maximum value. Expected a value <= %lld.", path,
                             (long long)max);
    *ret = yyjson_is_sint(&number) ? yyjson_get_sint(&number) : (int64_t)yyjson_get_uint(&number);
    return ST_OK;
}

/* ret keeps its value when the field is absent. */
static enum status take_integer(struct configuring *c, enum field f, int64_t min, int64_t max, int64_t *ret)
{
    yyjson_val *v = c->given->of[f];

    return v != NULL ? integer_of(c->a, f, v, min, max, ret) : ST_OK;
}

static enum status take_sampling(struct configuring *c)
{
    enum status st = take_decimal(c, FIELD_TEMPERATURE, "temperature", 0, 2);
    int64_t seed = 0;

    if (st == ST_OK)
        st = take_decimal(c, FIELD_TOP_P, "topP", 0, 1);
    if (st == ST_OK)
        st = take_decimal(c, FIELD_PRESENCE_PENALTY, "presencePenalty", -2, 2);
    if (st == ST_OK)
        st = take_decimal(c, FIELD_FREQUENCY_PENALTY, "frequencyPenalty", -2, 2);
    if (st == ST_OK)
        st = take_integer(c, FIELD_SEED, INT32_MIN, INT32_MAX, &seed); /* Gemini's is of 32 bits */
    if (st == ST_OK && c->given->of[FIELD_SEED] != NULL)
        put_number(c, "seed", c->given->of[FIELD_SEED]);
    return st;
}

static enum status take_limits(struct configuring *c)
{
    int64_t limit = 0, old_limit = 0, candidates = 1;
    enum status st = take_integer(c, FIELD_MAX_COMPLETION_TOKENS, 1, LIMIT_TOKENS, &limit);

    if (st == ST_OK)
        st = take_integer(c, FIELD_MAX_TOKENS, 1, LIMIT_TOKENS, &old_limit);
    if (st == ST_OK)
        st = take_integer(c, FIELD_N, 1, GEMINI_CANDIDATES_MAX, &candidates);
    if (st != ST_OK)
        return st;
    c->output_limit = (uint64_t)(limit > 0 ? limit : old_limit);
    if (c->a->call->output_limit > 0)
        c->output_limit = c->a->call->output_limit;
    if (c->output_limit > 0)
        gemini_making_put(&c->a->out, config(c), "maxOutputTokens", yyjson_mut_uint(c->a->out.doc, c->output_limit));
    if (candidates > 1)
        gemini_making_put(&c->a->out, config(c), "candidateCount", yyjson_mut_sint(c->a->out.doc, candidates));
    return ST_OK;
}

static enum status take_stop(struct configuring *c)
{
    yyjson_val *v = c->given->of[FIELD_STOP], *item;
    yyjson_mut_val *list = NULL;
    char at[ERR_PARAM_MAX];
    size_t i, n;

    if (v == NULL)
        return ST_OK;
    if (!yyjson_is_str(v) && !yyjson_is_arr(v))
        return asking_wrong_type(c->a, "stop", "a string or an array of strings", v);
    if (yyjson_arr_size(v) > STOP_MAX)
        return err_set_field(c->a->err, ST_BAD_REQUEST, "array_above_max_length", "stop",
                             "Invalid 'stop': array too long. Expected an array with maximum length %d.", STOP_MAX);
    if (yyjson_get_len(v) == 0)
        return ST_OK; /* nothing ends at an empty text */
    list = yyjson_mut_arr(c->a->out.doc);
    if (yyjson_is_str(v))
        making_push(&c->a->out, list, yyjson_mut_strn(c->a->out.doc, yyjson_get_str(v), yyjson_get_len(v)));
    yyjson_arr_foreach(v, i, n, item)
    {
        asking_path(at, "stop[%zu]", i);
        if (!yyjson_is_str(item))
            return asking_wrong_type(c->a, at, "a string", item);
        if (yyjson_get_len(item) > 0)
            making_push(&c->a->out, list, yyjson_mut_strn(c->a->out.doc, yyjson_get_str(item), yyjson_get_len(item)));
    }
    if (yyjson_mut_arr_size(list) > 0)
        gemini_making_put(&c->a->out, config(c), "stopSequences", list);
    return ST_OK;
}

static enum status take_logprobs(struct configuring *c)
{
    yyjson_val *v = c->given->of[FIELD_LOGPROBS];
    int64_t top = 0;
    enum status st = take_integer(c, FIELD_TOP_LOGPROBS, 0, LOGPROBS_MAX, &top);

    if (st != ST_OK)
        return st;
    if (v != NULL && !yyjson_is_bool(v))
        return asking_wrong_type(c->a, "logprobs", "a boolean", v);
    if (top > 0 && !yyjson_is_true(v))
        return asking_invalid(c->a, "top_logprobs", "'logprobs' to be true where it is given");
    if (yyjson_is_true(v))
        gemini_making_put(&c->a->out, config(c), "responseLogprobs", yyjson_mut_bool(c->a->out.doc, true));
    if (top > 0)
        gemini_making_put(&c->a->out, config(c), "logprobs", yyjson_mut_sint(c->a->out.doc, top));
    return ST_OK;
}

static enum status take_format(struct configuring *c)
{
    yyjson_val *v = c->given->of[FIELD_RESPONSE_FORMAT], *wanted, *schema;
    struct slice type = {NULL, 0};
    enum status st;

    if (v == NULL)
        return ST_OK;
    if (!yyjson_is_obj(v))
        return asking_wrong_type(c->a, "response_format", "an object", v);
    st = asking_name(c->a, v, "type", "response_format", &type);
    if (st != ST_OK || slice_is(type, "text"))
        return st;
    if (!slice_is(type, "json_object") && !slice_is(type, "json_schema"))
        return asking_invalid(c->a, "response_format.type", "one of 'text', 'json_object' and 'json_schema'");
    making_put_word(&c->a->out, config(c), "responseMimeType", "application/json");
    if (slice_is(type, "json_object"))
        return ST_OK;
    wanted = yyjson_obj_get(v, "json_schema");
    if (asking_absent(wanted))
        return asking_missing(c->a, "response_format.json_schema");
    if (!yyjson_is_obj(wanted))
        return asking_wrong_type(c->a, "response_format.json_schema", "an object", wanted);
    schema = yyjson_obj_get(wanted, "schema");
    if (asking_absent(schema))
        return ST_OK;
    if (!yyjson_is_obj(schema))
        return asking_wrong_type(c->a, "response_format.json_schema.schema", "an object", schema);
    making_put_value(&c->a->out, config(c), "responseJsonSchema", schema);
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
    struct slice m = a->call->upstream_model;

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
    yyjson_val *v = c->given->of[FIELD_REASONING_EFFORT];
    enum effort effort = EFFORT_NONE;
    struct making *out = &c->a->out;

    if (v == NULL)
        return ST_OK;
    if (!yyjson_is_str(v))
        return asking_wrong_type(c->a, "reasoning_effort", "a string", v);
    if (!effort_of(v, &effort))
        return asking_invalid(c->a, "reasoning_effort",
                              "one of 'none', 'minimal', 'low', 'medium', 'high', 'xhigh' and 'max'");
    if (c->a->family == GEMINI_PLAIN)
        return effort == EFFORT_NONE ? ST_OK
                                     : translate_unsupported(c->a->call, "reasoning_effort", GEMINI_NAME, c->a->err);
    if (c->a->family == GEMINI_BUDGET)
        gemini_making_put(out, making_put_object(out, config(c), "thinkingConfig"), "thinkingBudget",
                          yyjson_mut_uint(out->doc, budget_of(c, effort)));
    else
        making_put_word(out, making_put_object(out, config(c), "thinkingConfig"), "thinkingLevel",
                        level_of(c->a, effort));
    return ST_OK;
}

static enum status take_config(struct asking *a, const struct given *given)
{
    struct configuring c = {.a = a, .given = given};
    enum status st = take_sampling(&c);

    if (st == ST_OK)
        st = take_limits(&c);
    if (st == ST_OK)
        st = take_stop(&c);
    if (st == ST_OK)
        st = take_logprobs(&c);
    if (st == ST_OK)
        st = take_format(&c);
    return st == ST_OK ? take_effort(&c) : st;
}

/* ---- the whole ---------------------------------------------------------------------------------------------------
 */

/* Of "gemini-3.8-flash", "models/gemini-2.5-pro", "gemini-flash-latest", "gemma-3-27b-it". */
static void read_model(struct asking *a)
{
    struct slice m = a->call->upstream_model;
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

static enum status make_request(struct asking *a, struct gemini_state *s, yyjson_val *root, struct buf *out)
{
    struct given given = {.of = {NULL}};
    enum status st = find_fields(a, root, &given);
    bool old_choice = given.of[FIELD_TOOL_CHOICE] == NULL && given.of[FIELD_FUNCTION_CALL] != NULL;

    read_model(a);
    if (st == ST_OK)
        st = gemini_messages(a, given.of[FIELD_MESSAGES]);
    if (st == ST_OK)
        st = gemini_tools(a, given.of[FIELD_TOOLS], given.of[FIELD_FUNCTIONS],
                          given.of[old_choice ? FIELD_FUNCTION_CALL : FIELD_TOOL_CHOICE],
                          old_choice ? "function_call" : "tool_choice");
    if (st == ST_OK)
        st = take_config(a, &given);
    if (st != ST_OK)
        return st;
    s->legacy = given.of[FIELD_FUNCTIONS] != NULL && given.of[FIELD_TOOLS] == NULL;
    st = making_write(&a->out, out);
    return st == ST_OK ? st : err_set(a->err, st, "%s", status_text(st));
}

static enum status request(void *state, struct translate_call *call, struct slice body, struct buf *out,
                           struct err *err)
{
    struct asking a = {.call = call, .err = err};
    yyjson_doc *doc = yyjson_read(body.p, body.n, YYJSON_READ_NUMBER_AS_RAW);
    enum status st;

    if (!yyjson_is_obj(yyjson_doc_get_root(doc)))
        st = err_set(err, ST_BAD_REQUEST, "The body of the request must be a JSON object.");
    else if (!making_begin(&a.out))
        st = err_set(err, ST_NO_MEMORY, "%s", status_text(ST_NO_MEMORY));
    else
        st = make_request(&a, state, yyjson_doc_get_root(doc), out);
    making_end(&a.out);
    yyjson_doc_free(doc);
    return st;
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
