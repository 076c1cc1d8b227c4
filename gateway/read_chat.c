/* What is read of a request to a model that writes text: chat completions, completions, responses, messages. */
#include <strings.h>

#include <yyjson.h>

#include "gateway/call_request.h"
#include "gateway/estimate.h"
#include "proto/tariff.h"

#define N(names) (sizeof(names) / sizeof((names)[0]))
#define COMPLETION_TOKENS 16u /* of /v1/completions without max_tokens */

enum status read_chat(struct call_reading *r, yyjson_val *root)
{
    enum {
        MODEL,
        MESSAGES,
        STREAM,
        STREAM_OPTIONS,
        MAX_TOKENS,
        MAX_COMPLETION_TOKENS,
        CHOICES,
        TOOLS,
        FUNCTIONS,
        RESPONSE_FORMAT,
        SERVICE_TIER
    };
    static const char *const names[] = {
        "model", "messages", "stream",    "stream_options",  "max_tokens",  "max_completion_tokens",
        "n",     "tools",    "functions", "response_format", "service_tier"};
    yyjson_val *found[N(names)];
    struct estimate e = {.ascii = 0};
    uint64_t old_limit = 0;
    enum status st = members_find(r, root, names, N(names), found);

    if (st == ST_OK)
        st = member_model(r, found[MODEL]);
    if (st == ST_OK)
        st = member_messages(r, found[MESSAGES]);
    if (st == ST_OK)
        st = member_stream(r, found[STREAM], found[STREAM_OPTIONS]);
    if (st == ST_OK)
        st = member_count(r, found[MAX_TOKENS], "max_tokens", LIMIT_TOKENS, &old_limit);
    if (st == ST_OK)
        st =
            member_count(r, found[MAX_COMPLETION_TOKENS], "max_completion_tokens", LIMIT_TOKENS, &r->ret->output_limit);
    if (st == ST_OK)
        st = member_integer(r, found[CHOICES], "n", CALL_CHOICES_MAX, &r->ret->choices);
    if (st != ST_OK)
        return st;
    member_tier(r, found[SERVICE_TIER]);
    if (old_limit > r->ret->output_limit)
        r->ret->output_limit = old_limit;
    estimate_messages(&e, found[MESSAGES]);
    estimate_schema(&e, found[TOOLS]);
    estimate_schema(&e, found[FUNCTIONS]);
    estimate_schema(&e, found[RESPONSE_FORMAT]);
    return call_set_estimate(r, &e);
}

/* Each prompt of a list has its answers. A list of numbers is one prompt, of tokens. */
static enum status multiply_choices(struct call_reading *r, yyjson_val *prompt)
{
    size_t prompts = 0, i, n;
    yyjson_val *v;

    yyjson_arr_foreach(prompt, i, n, v) prompts += !yyjson_is_num(v);
    if (prompts < 2)
        return ST_OK;
    if (prompts > LIMIT_CHOICES / r->ret->choices)
        return err_set_field(r->err, ST_BAD_REQUEST, "array_above_max_length", "prompt",
                             "Invalid 'prompt': array too long. It has %zu prompts with %llu answers each, and a "
                             "request may ask for %d answers at most.",
                             prompts, (unsigned long long)r->ret->choices, LIMIT_CHOICES);
    r->ret->choices *= prompts;
    return ST_OK;
}

enum status read_completions(struct call_reading *r, yyjson_val *root)
{
    enum { MODEL, PROMPT, SUFFIX, STREAM, STREAM_OPTIONS, MAX_TOKENS, CHOICES, BEST_OF };
    static const char *const names[] = {"model",          "prompt",     "suffix", "stream",
                                        "stream_options", "max_tokens", "n",      "best_of"};
    yyjson_val *found[N(names)];
    struct estimate e = {.ascii = 0};
    uint64_t best_of = 1;
    enum status st = members_find(r, root, names, N(names), found);

    r->ret->output_limit = COMPLETION_TOKENS;
    if (st == ST_OK)
        st = member_model(r, found[MODEL]);
    if (st == ST_OK && found[PROMPT] && !yyjson_is_str(found[PROMPT]) && !yyjson_is_arr(found[PROMPT]))
        st = member_type(r, "prompt", "a string or an array", found[PROMPT]);
    if (st == ST_OK)
        st = member_text(r, found[SUFFIX], "suffix");
    if (st == ST_OK)
        st = member_stream(r, found[STREAM], found[STREAM_OPTIONS]);
    if (st == ST_OK)
        st = member_count(r, found[MAX_TOKENS], "max_tokens", LIMIT_TOKENS, &r->ret->output_limit);
    if (st == ST_OK)
        st = member_integer(r, found[CHOICES], "n", CALL_CHOICES_MAX, &r->ret->choices);
    if (st == ST_OK)
        st = member_count(r, found[BEST_OF], "best_of", CALL_CHOICES_MAX, &best_of);
    if (st != ST_OK)
        return st;
    if (best_of > r->ret->choices)
        r->ret->choices = best_of;
    st = multiply_choices(r, found[PROMPT]);
    if (st != ST_OK)
        return st;
    estimate_input(&e, found[PROMPT]);
    estimate_input(&e, found[SUFFIX]);
    return call_set_estimate(r, &e);
}

/* "conversation": its id, or {"id": …}. */
static enum status read_conversation(struct call_reading *r, yyjson_val *conversation)
{
    yyjson_val *id;
    enum status st;

    if (!yyjson_is_obj(conversation))
        return member_object(r, conversation, "conversation");
    st = member_within(r, conversation, "conversation", "id", &id);
    return st == ST_OK ? member_object(r, id, "conversation") : st;
}

/* {"variables": {NAME: text or a part with a file}}: a name says nothing. */
static void read_variables(struct estimate *e, yyjson_val *prompt)
{
    static const char variables[] = "variables";
    yyjson_val *k, *v, *name, *part;
    size_t i, n, j, m;

    if (!prompt)
        return;
    yyjson_obj_foreach(prompt, i, n, k, v)
    {
        if (yyjson_get_len(k) == sizeof(variables) - 1 && !strcasecmp(yyjson_get_str(k), variables))
            yyjson_obj_foreach(v, j, m, name, part) estimate_files(e, part);
    }
}

enum status read_responses(struct call_reading *r, yyjson_val *root)
{
    enum {
        MODEL,
        INPUT,
        INSTRUCTIONS,
        STREAM,
        TOOLS,
        TEXT,
        MAX_TOKENS,
        PREVIOUS,
        CONVERSATION,
        PROMPT,
        SERVICE_TIER,
        BACKGROUND
    };
    static const char *const names[] = {"model",        "input",  "instructions",      "stream",
                                        "tools",        "text",   "max_output_tokens", "previous_response_id",
                                        "conversation", "prompt", "service_tier",      "background"};
    yyjson_val *found[N(names)];
    struct estimate e = {.ascii = 0};
    enum status st = members_find(r, root, names, N(names), found);

    if (st == ST_OK)
        st = member_model(r, found[MODEL]);
    if (st == ST_OK && found[INPUT] && !yyjson_is_str(found[INPUT]) && !yyjson_is_arr(found[INPUT]))
        st = member_type(r, "input", "a string or an array", found[INPUT]);
    if (st == ST_OK)
        st = member_flag(r, found[STREAM], "stream", &r->ret->stream);
    if (st == ST_OK)
        st = member_integer(r, found[MAX_TOKENS], "max_output_tokens", LIMIT_TOKENS, &r->ret->output_limit);
    if (st == ST_OK)
        st = member_object(r, found[PREVIOUS], "previous_response_id");
    if (st == ST_OK)
        st = read_conversation(r, found[CONVERSATION]);
    if (st == ST_OK)
        st = member_flag(r, found[BACKGROUND], "background", &r->ret->background);
    if (st != ST_OK)
        return st;
    member_tier(r, found[SERVICE_TIER]);
    r->ret->context = found[PROMPT]         ? "prompt"
                      : found[CONVERSATION] ? "conversation"
                      : found[PREVIOUS]     ? "previous_response_id"
                                            : NULL;
    if (yyjson_is_arr(found[INPUT]))
        estimate_messages(&e, found[INPUT]);
    else
        estimate_input(&e, found[INPUT]);
    estimate_input(&e, found[INSTRUCTIONS]);
    estimate_schema(&e, found[TOOLS]);
    estimate_files(&e, found[TOOLS]);
    read_variables(&e, found[PROMPT]);
    estimate_schema(&e, found[TEXT]);
    return call_set_estimate(r, &e);
}

/* What Anthropic asks more for: the fast mode, and inference in one country. */
static void read_premium(struct call_reading *r, yyjson_val *speed, yyjson_val *geo)
{
    uint64_t percent = premium_percent((struct slice){yyjson_get_str(speed), yyjson_get_len(speed)},
                                       (struct slice){yyjson_get_str(geo), yyjson_get_len(geo)});

    if (percent > 100)
        r->ret->price_percent = percent;
}

static enum status read_anthropic(struct call_reading *r, yyjson_val *root, bool counting)
{
    enum { MODEL, MESSAGES, SYSTEM, STREAM, TOOLS, MAX_TOKENS, SPEED, GEO };
    static const char *const names[] = {"model", "messages",   "system", "stream",
                                        "tools", "max_tokens", "speed",  "inference_geo"};
    yyjson_val *found[N(names)];
    struct estimate e = {.sources = true};
    enum status st = members_find(r, root, names, N(names), found);

    if (st == ST_OK)
        st = member_model(r, found[MODEL]);
    if (st == ST_OK)
        st = member_messages(r, found[MESSAGES]);
    if (st == ST_OK)
        st = member_flag(r, found[STREAM], "stream", &r->ret->stream);
    if (st == ST_OK && !counting && !found[MAX_TOKENS])
        st = member_missing(r, "max_tokens");
    if (st == ST_OK)
        st = member_integer(r, found[MAX_TOKENS], "max_tokens", LIMIT_TOKENS, &r->ret->output_limit);
    if (st != ST_OK)
        return st;
    r->ret->stream &= !counting;
    read_premium(r, found[SPEED], found[GEO]);
    estimate_messages(&e, found[MESSAGES]);
    estimate_input(&e, found[SYSTEM]);
    estimate_schema(&e, found[TOOLS]);
    return call_set_estimate(r, &e);
}

enum status read_messages(struct call_reading *r, yyjson_val *root)
{
    return read_anthropic(r, root, false);
}

enum status read_count_tokens(struct call_reading *r, yyjson_val *root)
{
    return read_anthropic(r, root, true);
}
