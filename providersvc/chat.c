#include "providersvc/chat.h"

#include <stdio.h>
#include <string.h>

#include <yyjson.h>

#include "proto/limits.h"

static struct slice text_of(yyjson_val *v)
{
    return (struct slice){yyjson_get_str(v), yyjson_get_len(v)};
}

static bool count_of(yyjson_val *v, uint64_t *ret)
{
    if (!yyjson_is_uint(v) || yyjson_get_uint(v) > LIMIT_TOKENS)
        return false;
    *ret = yyjson_get_uint(v);
    return true;
}

static uint64_t count_or_none(yyjson_val *v)
{
    uint64_t n = 0;

    return count_of(v, &n) ? n : 0;
}

static uint64_t bounded(uint64_t n)
{
    return n < LIMIT_TOKENS ? n : LIMIT_TOKENS;
}

/* Parts of which no token can be in two. */
static uint64_t whole_of(uint64_t whole, uint64_t parts)
{
    return parts > whole ? bounded(whole + parts) : whole;
}

/* By modality. When the text is told apart, too, the three are the whole. */
static uint64_t modal_whole_of(uint64_t whole, yyjson_val *details, uint64_t special)
{
    uint64_t text = 0;

    if (!count_of(yyjson_obj_get(details, "text_tokens"), &text))
        return whole_of(whole, special);
    return text + special > whole ? bounded(text + special) : whole;
}

static void read_input(struct usage *u, yyjson_val *usage)
{
    yyjson_val *details = yyjson_obj_get(usage, "prompt_tokens_details");
    yyjson_val *cached = yyjson_obj_get(details, "cached_tokens");

    if (!yyjson_is_uint(cached))
        cached = yyjson_obj_get(usage, "prompt_cache_hit_tokens");
    if (!yyjson_is_uint(cached))
        cached = yyjson_obj_get(usage, "cached_tokens");
    u->cached = count_or_none(cached);
    u->write = count_or_none(yyjson_obj_get(details, "cache_write_tokens"));
    u->audio_in = count_or_none(yyjson_obj_get(details, "audio_tokens"));
    u->image_in = count_or_none(yyjson_obj_get(details, "image_tokens"));
    u->prompt = whole_of(u->prompt, u->cached + u->write);
    u->prompt = modal_whole_of(u->prompt, details, u->audio_in + u->image_in);
}

/* Some count reasoning beside completion_tokens, not inside: their total tells (contract, section 5.3, xAI). */
static bool reasoning_beside(const struct usage *u, yyjson_val *usage)
{
    uint64_t total = 0;

    return u->reasoning > 0 && count_of(yyjson_obj_get(usage, "total_tokens"), &total) &&
           total == u->prompt + u->completion + u->reasoning;
}

static void read_output(struct usage *u, yyjson_val *usage)
{
    yyjson_val *details = yyjson_obj_get(usage, "completion_tokens_details");

    u->completion = count_or_none(yyjson_obj_get(usage, "completion_tokens")); /* an embedding has no output */
    u->reasoning = count_or_none(yyjson_obj_get(details, "reasoning_tokens"));
    u->audio_out = count_or_none(yyjson_obj_get(details, "audio_tokens"));
    u->image_out = count_or_none(yyjson_obj_get(details, "image_tokens"));
    if (reasoning_beside(u, usage))
        u->completion = bounded(u->completion + u->reasoning);
    u->completion = modal_whole_of(u->completion, details, u->audio_out + u->image_out);
    u->completion = whole_of(u->completion, u->reasoning + u->audio_out + u->image_out);
}

static struct usage usage_of(yyjson_val *usage)
{
    struct usage u = {0};

    if (!yyjson_is_obj(usage) || !count_of(yyjson_obj_get(usage, "prompt_tokens"), &u.prompt))
        return u;
    u.known = true;
    read_output(&u, usage); /* before the prompt is corrected: it looks at the total */
    read_input(&u, usage);
    return u;
}

static void tally_member(struct tally *t, yyjson_val *object, const char *key)
{
    yyjson_val *v = yyjson_obj_get(object, key);

    if (yyjson_is_str(v))
        tally_text(t, text_of(v));
}

static void tally_call(struct tally *t, yyjson_val *function)
{
    tally_member(t, function, "name");
    tally_member(t, function, "arguments");
    tally_member(t, function, "input");
}

static void tally_message(struct tally *t, yyjson_val *message)
{
    yyjson_val *calls = yyjson_obj_get(message, "tool_calls");
    yyjson_val *call;
    size_t i, n;

    tally_member(t, message, "content");
    tally_member(t, message, "refusal");
    tally_member(t, message, "reasoning_content");
    tally_member(t, message, "reasoning");
    tally_call(t, yyjson_obj_get(message, "function_call"));
    yyjson_arr_foreach(calls, i, n, call)
    {
        tally_call(t, yyjson_obj_get(call, "function"));
        tally_call(t, yyjson_obj_get(call, "custom"));
    }
}

static void read_choice(yyjson_val *choice, size_t place, struct chat_facts *f)
{
    yyjson_val *index = yyjson_obj_get(choice, "index");
    yyjson_val *finish = yyjson_obj_get(choice, "finish_reason");
    uint64_t k = yyjson_is_uint(index) ? yyjson_get_uint(index) : place;
    uint64_t bit = UINT64_C(1) << (k < CHAT_CHOICES_TRACKED ? k : CHAT_CHOICES_TRACKED - 1);

    f->seen |= bit;
    if (yyjson_is_str(finish))
        f->finished |= bit;
    f->length |= yyjson_equals_str(finish, "length");
    tally_message(&f->text, yyjson_obj_get(choice, "delta"));
    tally_message(&f->text, yyjson_obj_get(choice, "message"));
    tally_member(&f->text, choice, "text");
}

static void copy_text(yyjson_val *v, char *to, size_t size)
{
    if (yyjson_is_str(v))
        snprintf(to, size, "%s", yyjson_get_str(v));
    else if (yyjson_is_uint(v))
        snprintf(to, size, "%llu", (unsigned long long)yyjson_get_uint(v));
}

static void read_facts(yyjson_val *root, struct chat_facts *f)
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
    f->empty_choices = yyjson_is_arr(choices) && yyjson_arr_size(choices) == 0;
    f->has_choices = yyjson_arr_size(choices) > 0;
    yyjson_arr_foreach(choices, i, n, choice) read_choice(choice, i, f);
    if (yyjson_is_obj(error) || yyjson_is_str(error)) {
        f->error = true;
        copy_text(yyjson_is_str(error) ? error : yyjson_obj_get(error, "message"), f->message, sizeof(f->message));
        copy_text(yyjson_obj_get(error, "code"), f->code, sizeof(f->code));
    }
}

enum status chat_read(struct slice json, struct chat_scratch *scratch, struct chat_facts *ret)
{
    yyjson_alc pool;
    yyjson_doc *doc;

    *ret = (struct chat_facts){0};
    if (scratch != NULL && yyjson_read_max_memory_usage(json.n, 0) < sizeof(scratch->memory) &&
        yyjson_alc_pool_init(&pool, scratch->memory, sizeof(scratch->memory)))
        doc = yyjson_read_opts((char *)(uintptr_t)json.p, json.n, 0, &pool, NULL); /* not written to without INSITU */
    else
        doc = yyjson_read(json.p, json.n, 0);
    if (doc == NULL)
        return ST_BAD_REQUEST;
    if (!yyjson_is_obj(yyjson_doc_get_root(doc))) {
        yyjson_doc_free(doc);
        return ST_BAD_REQUEST;
    }
    read_facts(yyjson_doc_get_root(doc), ret);
    yyjson_doc_free(doc);
    return ST_OK;
}

bool chat_read_error(struct slice json, bool *ret_shaped, char message[ERR_TEXT_MAX], char code[ERR_CODE_MAX])
{
    yyjson_doc *doc = yyjson_read(json.p, json.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_val *error = yyjson_obj_get(root, "error");
    yyjson_val *holder = yyjson_is_obj(error) ? error : root;

    *ret_shaped = false;
    message[0] = '\0';
    code[0] = '\0';
    if (yyjson_is_str(error))
        copy_text(error, message, ERR_TEXT_MAX);
    else
        copy_text(yyjson_obj_get(holder, "message"), message, ERR_TEXT_MAX);
    if (message[0] == '\0')
        copy_text(yyjson_obj_get(root, "detail"), message, ERR_TEXT_MAX);
    copy_text(yyjson_obj_get(holder, "code"), code, ERR_CODE_MAX);
    *ret_shaped = yyjson_is_obj(error) && yyjson_is_str(yyjson_obj_get(error, "message"));
    yyjson_doc_free(doc);
    return message[0] != '\0';
}
