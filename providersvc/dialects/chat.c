/* OpenAI's chat completions, and what is like them: completions, embeddings. */
#include "providersvc/dialects/dialect.h"

#include <stdio.h>
#include <string.h>

#include <yyjson.h>

#include "proto/limits.h"
#include "services/json.h"

static uint64_t bounded(uint64_t n)
{
    return n < LIMIT_TOKENS ? n : LIMIT_TOKENS;
}

/* By modality. When the text is told apart, too, the three are the whole. */
static uint64_t modal_whole(uint64_t whole, yyjson_val *details, uint64_t special)
{
    uint64_t text = 0;

    if (!facts_count_of(yyjson_obj_get(details, "text_tokens"), &text))
        return facts_whole(whole, special);
    return text + special > whole ? bounded(text + special) : whole;
}

/* The first of these members that is there: images and audio have other names for the same (contract, section 1.6). */
static yyjson_val *first_of(yyjson_val *usage, const char *name, const char *second, const char *third)
{
    yyjson_val *v = yyjson_obj_get(usage, name);

    if (v == NULL)
        v = yyjson_obj_get(usage, second);
    return v != NULL || third == NULL ? v : yyjson_obj_get(usage, third);
}

static void read_input(struct usage *u, yyjson_val *usage)
{
    yyjson_val *details = first_of(usage, "prompt_tokens_details", "input_tokens_details", "input_token_details");
    yyjson_val *cached = yyjson_obj_get(details, "cached_tokens");

    if (!yyjson_is_uint(cached))
        cached = yyjson_obj_get(usage, "prompt_cache_hit_tokens");
    if (!yyjson_is_uint(cached))
        cached = yyjson_obj_get(usage, "cached_tokens");
    u->cached = facts_count(cached);
    u->write = facts_count(yyjson_obj_get(details, "cache_write_tokens"));
    u->audio_in = facts_count(yyjson_obj_get(details, "audio_tokens"));
    u->image_in = facts_count(yyjson_obj_get(details, "image_tokens"));
    u->prompt = facts_whole(u->prompt, u->cached + u->write);
    u->prompt = modal_whole(u->prompt, details, u->audio_in + u->image_in);
}

/* Some count reasoning beside completion_tokens, not inside: their total tells (contract, section 5.3, xAI). */
static bool reasoning_beside(const struct usage *u, yyjson_val *usage)
{
    uint64_t total = 0;

    return u->reasoning > 0 && facts_count_of(yyjson_obj_get(usage, "total_tokens"), &total) &&
           total == u->prompt + u->completion + u->reasoning;
}

static void read_output(struct usage *u, yyjson_val *usage)
{
    yyjson_val *details = first_of(usage, "completion_tokens_details", "output_tokens_details", "output_token_details");

    u->completion =
        facts_count(first_of(usage, "completion_tokens", "output_tokens", NULL)); /* an embedding has none */
    u->reasoning = facts_count(yyjson_obj_get(details, "reasoning_tokens"));
    u->audio_out = facts_count(yyjson_obj_get(details, "audio_tokens"));
    u->image_out = facts_count(yyjson_obj_get(details, "image_tokens"));
    if (reasoning_beside(u, usage))
        u->completion = bounded(u->completion + u->reasoning);
    u->completion = modal_whole(u->completion, details, u->audio_out + u->image_out);
    u->completion = facts_whole(u->completion, u->reasoning + u->audio_out + u->image_out);
}

static struct usage usage_of(yyjson_val *usage)
{
    struct usage u = {0};

    if (!yyjson_is_obj(usage) || !facts_count_of(first_of(usage, "prompt_tokens", "input_tokens", NULL), &u.prompt))
        return u;
    u.known = true;
    read_output(&u, usage); /* before the prompt is corrected: it looks at the total */
    read_input(&u, usage);
    return u;
}

static void tally_call(struct tally *t, yyjson_val *function)
{
    facts_tally(t, function, "name");
    facts_tally(t, function, "arguments");
    facts_tally(t, function, "input");
}

static void tally_message(struct tally *t, yyjson_val *message)
{
    yyjson_val *calls = yyjson_obj_get(message, "tool_calls");
    yyjson_val *call;
    size_t i, n;

    facts_tally(t, message, "content");
    facts_tally(t, message, "refusal");
    facts_tally(t, message, "reasoning_content");
    facts_tally(t, message, "reasoning");
    tally_call(t, yyjson_obj_get(message, "function_call"));
    yyjson_arr_foreach(calls, i, n, call)
    {
        tally_call(t, yyjson_obj_get(call, "function"));
        tally_call(t, yyjson_obj_get(call, "custom"));
    }
}

static void read_choice(yyjson_val *choice, size_t place, struct facts *f)
{
    yyjson_val *index = yyjson_obj_get(choice, "index");
    yyjson_val *finish = yyjson_obj_get(choice, "finish_reason");
    uint64_t k = yyjson_is_uint(index) ? yyjson_get_uint(index) : place;
    uint64_t bit = UINT64_C(1) << (k < FACTS_CHOICES_TRACKED ? k : FACTS_CHOICES_TRACKED - 1);

    f->seen |= bit;
    if (yyjson_is_str(finish))
        f->finished |= bit;
    f->length |= yyjson_equals_str(finish, "length");
    tally_message(&f->text, yyjson_obj_get(choice, "delta"));
    tally_message(&f->text, yyjson_obj_get(choice, "message"));
    facts_tally(&f->text, choice, "text");
}

/* The operator's account has nothing left: OpenAI says so with 429, as if it would pass (contract, section 2.1). */
static bool no_credit(const struct upstream_error *e)
{
    static const char *const codes[] = {"insufficient_quota",
                                        "credit_balance_exhausted",
                                        "billing_hard_limit_reached",
                                        "billing_not_active",
                                        "project_spend_limit_exceeded",
                                        "organization_spend_limit_exceeded",
                                        "organization_usage_limit_exceeded"};

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        if (strcmp(e->code, codes[i]) == 0 || strcmp(e->type, codes[i]) == 0)
            return true;
    return false;
}

/* An error object of OpenAI's shape, or anything else in which a message is looked for: flat errors, {"detail": …},
 * {"error": "text"}. */
static void read_error(yyjson_val *root, yyjson_val *error, struct upstream_error *ret)
{
    yyjson_val *holder = yyjson_is_obj(error) ? error : root;

    if (yyjson_is_str(error))
        facts_copy(error, ret->message, sizeof(ret->message));
    else
        facts_copy(yyjson_obj_get(holder, "message"), ret->message, sizeof(ret->message));
    if (ret->message[0] == '\0')
        facts_copy(yyjson_obj_get(root, "detail"), ret->message, sizeof(ret->message));
    facts_copy(yyjson_obj_get(holder, "type"), ret->type, sizeof(ret->type));
    facts_copy(yyjson_obj_get(holder, "code"), ret->code, sizeof(ret->code));
    facts_copy(yyjson_obj_get(holder, "param"), ret->param, sizeof(ret->param));
    ret->no_credit = no_credit(ret);
    ret->shaped = yyjson_is_obj(error) && yyjson_is_str(yyjson_obj_get(error, "message"));
}

static void read_facts(yyjson_val *root, struct facts *f)
{
    yyjson_val *choices = yyjson_obj_get(root, "choices");
    yyjson_val *usage = yyjson_obj_get(root, "usage");
    yyjson_val *error = yyjson_obj_get(root, "error");
    yyjson_val *choice;
    size_t i, n;

    f->usage_key = usage != NULL;
    f->usage_object = yyjson_is_obj(usage);
    if (!f->usage_object)
        usage = yyjson_obj_get(yyjson_obj_get(root, "x_groq"), "usage");
    f->usage = usage_of(usage);
    f->price_percent = facts_tier(yyjson_obj_get(root, "service_tier"));
    f->empty_choices = yyjson_is_arr(choices) && yyjson_arr_size(choices) == 0;
    yyjson_arr_foreach(choices, i, n, choice) read_choice(choice, i, f);
    f->has_answer = yyjson_arr_size(choices) > 0 || yyjson_is_arr(yyjson_obj_get(root, "data"));
    facts_copy(yyjson_obj_get(root, "id"), f->object_id, sizeof(f->object_id));
    if (yyjson_is_obj(error) || yyjson_is_str(error)) {
        f->failed = true;
        read_error(root, error, &f->error);
    }
}

static enum status chat_read(struct slice json, const struct usage *before, struct facts_scratch *scratch,
                             struct facts *ret)
{
    yyjson_doc *doc = facts_parse(json, scratch);

    memset(ret, 0, sizeof(*ret));
    if (doc == NULL)
        return ST_BAD_REQUEST;
    read_facts(yyjson_doc_get_root(doc), ret);
    if (before != NULL && !ret->usage.known)
        ret->usage = *before;
    yyjson_doc_free(doc);
    return ST_OK;
}

static void chat_read_error(unsigned status, struct slice json, struct upstream_error *ret)
{
    yyjson_doc *doc = yyjson_read(json.p, json.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);

    (void)status;
    memset(ret, 0, sizeof(*ret));
    read_error(root, yyjson_obj_get(root, "error"), ret);
    yyjson_doc_free(doc);
}

static enum status add_or_null(struct buf *out, const char *text)
{
    return text[0] != '\0' ? json_add_string(out, slice_of(text)) : buf_addc(out, "null");
}

static enum status chat_write_error(const struct upstream_error *e, struct slice request_id, struct buf *out)
{
    enum status st = buf_addc(out, "{\"error\":{\"message\":");

    (void)request_id;
    if (st == ST_OK)
        st = json_add_string(out, slice_of(e->message));
    if (st == ST_OK)
        st = buf_addc(out, ",\"type\":");
    if (st == ST_OK)
        st = json_add_string(out, slice_of(e->type));
    if (st == ST_OK)
        st = buf_addc(out, ",\"param\":");
    if (st == ST_OK)
        st = add_or_null(out, e->param);
    if (st == ST_OK)
        st = buf_addc(out, ",\"code\":");
    if (st == ST_OK)
        st = add_or_null(out, e->code);
    return st == ST_OK ? buf_addc(out, "}}") : st;
}

const struct dialect dialect_chat = {
    .name = "chat", .read = chat_read, .read_error = chat_read_error, .write_error = chat_write_error};
