/*
 * Gemini's answers become chat completions and their chunks (contract, section 5.1). Of a stream every choice begins
 * with its role; a function call comes whole, in one chunk; how a candidate ended is remembered and said at the end of
 * the stream, because chunks with usage or text may follow Gemini's finishReason.
 */
#include "providersvc/dialects/chat_to_gemini_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "providersvc/sse.h"

#define CHUNK_MAX (8u * SSE_EVENT_MAX) /* of a chunk made from an event: JSON in JSON grows when it is quoted */
#define ID_PREFIX "chatcmpl-"

/* One answer, or one event, being turned. */
struct saying {
    const struct translate_call *call;
    struct gemini_state *state;
    struct err *err;
    const struct translate_sink *to; /* of a stream */
};

/* ---- parts -------------------------------------------------------------------------------------------------------
 */

enum part_kind { PART_OTHER, PART_TEXT, PART_THOUGHT, PART_CALL, PART_IMAGE };

/* One that can stand in a data URL: "image/svg+xml". */
static bool is_image_type(struct slice type)
{
    static const char prefix[] = "image/";
    const size_t n = sizeof(prefix) - 1;

    if (type.n <= n || memcmp(type.p, prefix, n) != 0)
        return false;
    for (size_t i = n; i < type.n; i++)
        if (type.p[i] != '.' && type.p[i] != '+' && !check_word((struct slice){type.p + i, 1}))
            return false;
    return true;
}

static enum part_kind kind_of_part(yyjson_val *part)
{
    bool thought = yyjson_is_true(yyjson_obj_get(part, "thought"));
    yyjson_val *blob = yyjson_obj_get(part, "inlineData");

    if (yyjson_obj_get(part, "functionCall") != NULL)
        return PART_CALL;
    if (yyjson_is_str(yyjson_obj_get(part, "text")))
        return thought ? PART_THOUGHT : PART_TEXT;
    if (!thought && is_image_type(facts_text(yyjson_obj_get(blob, "mimeType"))) &&
        facts_text(yyjson_obj_get(blob, "data")).n > 0)
        return PART_IMAGE; /* those of a thought are drafts */
    return PART_OTHER;
}

static yyjson_val *parts_of(yyjson_val *candidate)
{
    return yyjson_obj_get(yyjson_obj_get(candidate, "content"), "parts");
}

static enum status put_function(struct saying *s, struct making *out, yyjson_mut_val *function, yyjson_val *call)
{
    yyjson_val *name = yyjson_obj_get(call, "name"), *args = yyjson_obj_get(call, "args");
    size_t n = 2;
    char *text;

    if (!yyjson_is_str(name) || yyjson_get_len(name) == 0)
        return translate_nonsense(s->err, "a function call has no name");
    if (args != NULL && !yyjson_is_obj(args))
        return translate_nonsense(s->err, "the arguments of a function call are not an object");
    making_put_copy(out, function, "name", facts_text(name));
    if (args == NULL) {
        making_put_word(out, function, "arguments", "{}");
        return ST_OK;
    }
    text = yyjson_val_write(args, 0, &n);
    if (text == NULL)
        return translate_no_memory(s->err);
    making_put_copy(out, function, "arguments", (struct slice){text, n});
    free(text);
    return ST_OK;
}

/* Upstream's id, or one made of the request's, which is unique. */
static void put_call_id(struct saying *s, struct making *out, yyjson_mut_val *made, yyjson_val *id)
{
    struct slice request = translate_bare_id(s->call->request_id);
    char text[sizeof("call__") + LIMIT_ID_TEXT + 20];

    if (yyjson_is_str(id) && yyjson_get_len(id) > 0 && yyjson_get_len(id) <= GEMINI_ID_MAX) {
        making_put_copy(out, made, "id", facts_text(id));
        return;
    }
    if (request.n > LIMIT_ID_TEXT)
        request.n = LIMIT_ID_TEXT;
    snprintf(text, sizeof(text), "call_" SLICE_FMT "_%llu", SLICE_ARG(request),
             (unsigned long long)s->state->made_ids++);
    making_put_copy(out, made, "id", slice_of(text));
}

/* It has to come back with what was made of the part. */
static void put_signature(struct making *out, yyjson_mut_val *made, yyjson_val *part)
{
    yyjson_val *signature = yyjson_obj_get(part, "thoughtSignature");

    if (yyjson_is_str(signature))
        making_put_copy(out, making_put_object(out, making_put_object(out, made, "extra_content"), "google"),
                        "thought_signature", facts_text(signature));
}

/* A part with a functionCall, into an item of tool_calls. */
static enum status put_tool_call(struct saying *s, struct making *out, yyjson_mut_val *made, yyjson_val *part)
{
    yyjson_val *call = yyjson_obj_get(part, "functionCall");
    enum status st;

    put_call_id(s, out, made, yyjson_obj_get(call, "id"));
    making_put_word(out, made, "type", "function");
    st = put_function(s, out, making_put_object(out, made, "function"), call);
    put_signature(out, made, part);
    return st;
}

/* A part with an image, into an item of images. OpenAI's chat has nothing for it: it is said as OpenRouter does. */
static enum status put_image(struct saying *s, struct making *out, yyjson_mut_val *made, yyjson_val *part)
{
    yyjson_val *blob = yyjson_obj_get(part, "inlineData");
    struct slice data = facts_text(yyjson_obj_get(blob, "data"));
    struct buf url;
    enum status st;

    buf_init(&url, CHUNK_MAX);
    st = buf_addf(&url, "data:" SLICE_FMT ";base64,", SLICE_ARG(facts_text(yyjson_obj_get(blob, "mimeType"))));
    if (st == ST_OK)
        st = buf_add(&url, data.p, data.n);
    if (st == ST_OK)
        making_put_copy(out, making_put_object(out, made, "image_url"), "url", (struct slice){url.p, url.n});
    buf_fini(&url);
    put_signature(out, made, part);
    return st == ST_OK ? ST_OK : translate_nonsense(s->err, "an image is too large");
}

/* ---- how it ended ------------------------------------------------------------------------------------------------
 */

/* ret_finish: NULL = it has not ended. */
static enum status read_finish(struct saying *s, yyjson_val *reason, const char **ret_finish)
{
    static const struct {
        const char *reason, *finish; /* NULL = it is no answer */
    } words[] = {{"FINISH_REASON_UNSPECIFIED", ""},
                 {"STOP", "stop"},
                 {"MAX_TOKENS", "length"},
                 {"SAFETY", "content_filter"},
                 {"RECITATION", "content_filter"},
                 {"BLOCKLIST", "content_filter"},
                 {"PROHIBITED_CONTENT", "content_filter"},
                 {"SPII", "content_filter"},
                 {"MALFORMED_FUNCTION_CALL", NULL},
                 {"UNEXPECTED_TOOL_CALL", NULL},
                 {"TOO_MANY_TOOL_CALLS", NULL},
                 {"MISSING_THOUGHT_SIGNATURE", NULL},
                 {"MALFORMED_RESPONSE", NULL}};
    const char *finish = "stop";

    if (!yyjson_is_str(reason) || yyjson_get_len(reason) == 0)
        return ST_OK;
    if (strncmp(yyjson_get_str(reason), "IMAGE_", strlen("IMAGE_")) == 0)
        finish = "content_filter";
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (yyjson_equals_str(reason, words[i].reason))
            finish = words[i].finish;
    if (finish == NULL)
        return err_set(s->err, ST_UPSTREAM, "The provider's model failed to call a function (%s).",
                       yyjson_get_str(reason));
    if (finish[0] != '\0')
        *ret_finish = finish;
    return ST_OK;
}

/* Gemini says STOP of calls, too. */
static const char *finish_word(const struct gemini_state *state, const char *finish, uint64_t calls)
{
    if (calls == 0 || strcmp(finish, "stop") != 0)
        return finish;
    return state->legacy ? "function_call" : "tool_calls";
}

static bool prompt_blocked(yyjson_val *root)
{
    return yyjson_is_str(yyjson_obj_get(yyjson_obj_get(root, "promptFeedback"), "blockReason"));
}

/* ---- what all bodies have ----------------------------------------------------------------------------------------
 */

static void put_count(struct making *out, yyjson_mut_val *object, const char *key, uint64_t n)
{
    making_put(out, object, key, making_count(out, n));
}

static void name_answer(struct saying *s, yyjson_val *root)
{
    char id[GEMINI_ID_MAX + 1] = "";

    if (s->state->id[0] != '\0')
        return;
    if (!slice_copy(facts_text(yyjson_obj_get(root, "responseId")), id, sizeof(id)) || id[0] == '\0')
        snprintf(id, sizeof(id), SLICE_FMT, SLICE_ARG(s->call->request_id));
    memcpy(s->state->id, id, sizeof(id));
}

static void put_head(struct saying *s, struct making *out, const char *object)
{
    char id[sizeof(ID_PREFIX) + GEMINI_ID_MAX];

    snprintf(id, sizeof(id), ID_PREFIX "%s", s->state->id);
    making_put_copy(out, out->root, "id", slice_of(id));
    making_put_word(out, out->root, "object", object);
    put_count(out, out->root, "created", s->call->created);
    making_put_text(out, out->root, "model", s->call->model);
}

static void put_null(struct making *out, yyjson_mut_val *object, const char *key)
{
    making_put(out, object, key, making_null(out));
}

static void put_usage(struct making *out, const struct usage *u)
{
    yyjson_mut_val *usage = making_put_object(out, out->root, "usage"), *details;

    put_count(out, usage, "prompt_tokens", u->prompt);
    put_count(out, usage, "completion_tokens", u->completion);
    put_count(out, usage, "total_tokens", u->prompt + u->completion);
    details = making_put_object(out, usage, "prompt_tokens_details");
    put_count(out, details, "cached_tokens", u->cached);
    put_count(out, details, "audio_tokens", u->audio_in);
    details = making_put_object(out, usage, "completion_tokens_details");
    put_count(out, details, "reasoning_tokens", u->reasoning);
    put_count(out, details, "audio_tokens", u->audio_out);
    put_count(out, details, "accepted_prediction_tokens", 0);
    put_count(out, details, "rejected_prediction_tokens", 0);
}

static void put_logprob(struct making *out, yyjson_mut_val *to, yyjson_val *token)
{
    yyjson_val *logprob = yyjson_obj_get(token, "logProbability");

    making_put_copy(out, to, "token", facts_text(yyjson_obj_get(token, "token")));
    if (yyjson_is_raw(logprob))
        making_put_value(out, to, "logprob", logprob);
    else
        put_count(out, to, "logprob", 0); /* what is zero is left out by Gemini */
    put_null(out, to, "bytes");
}

/* Of a candidate; null when it has none. */
static void put_logprobs(struct making *out, yyjson_mut_val *choice, yyjson_val *result)
{
    yyjson_val *chosen = result != NULL ? yyjson_obj_get(result, "chosenCandidates") : NULL, *token, *other;
    yyjson_mut_val *logprobs, *content, *made, *list;
    yyjson_arr_iter tops;
    size_t i, n, j, m;

    if (chosen == NULL || yyjson_arr_size(chosen) == 0) {
        put_null(out, choice, "logprobs");
        return;
    }
    tops = yyjson_arr_iter_with(yyjson_obj_get(result, "topCandidates"));
    logprobs = making_put_object(out, choice, "logprobs");
    content = making_put_array(out, logprobs, "content");
    put_null(out, logprobs, "refusal");
    yyjson_arr_foreach(chosen, i, n, token)
    {
        yyjson_val *top = yyjson_obj_get(yyjson_arr_iter_next(&tops), "candidates");

        made = making_push_object(out, content);
        put_logprob(out, made, token);
        list = making_put_array(out, made, "top_logprobs");
        yyjson_arr_foreach(top, j, m, other) put_logprob(out, making_push_object(out, list), other);
    }
}

static enum status read_index(struct saying *s, yyjson_val *candidate, size_t place, size_t *ret)
{
    yyjson_val *index = yyjson_obj_get(candidate, "index");

    *ret = place;
    if (!yyjson_is_obj(candidate))
        return translate_nonsense(s->err, "a candidate is not an object");
    if (yyjson_is_raw(index)) {
        uint64_t k = 0;

        if (!check_count_of(index, &k) || k >= GEMINI_CANDIDATES_MAX)
            return translate_nonsense(s->err, "a candidate's index is not one of those asked for");
        *ret = (size_t)k;
    }
    return *ret < GEMINI_CANDIDATES_MAX ? ST_OK
                                        : translate_nonsense(s->err, "there are more candidates than were asked for");
}

/* ---- a whole answer ----------------------------------------------------------------------------------------------
 */

static void put_joined(struct making *out, yyjson_mut_val *message, const char *key, const struct buf *text)
{
    if (text->n > 0)
        making_put_copy(out, message, key, (struct slice){text->p, text->n});
}

static enum status put_calls(struct saying *s, struct making *out, yyjson_mut_val *message, yyjson_val *parts,
                             uint64_t *ret_calls)
{
    yyjson_mut_val *list = NULL;
    enum status st = ST_OK;
    yyjson_val *part;
    size_t i, n;

    *ret_calls = 0;
    yyjson_arr_foreach(parts, i, n, part)
    {
        if (kind_of_part(part) != PART_CALL || (s->state->one_call && *ret_calls > 0))
            continue;
        if (s->state->legacy) {
            st = put_function(s, out, making_put_object(out, message, "function_call"),
                              yyjson_obj_get(part, "functionCall"));
        } else {
            if (list == NULL)
                list = making_put_array(out, message, "tool_calls");
            st = put_tool_call(s, out, making_push_object(out, list), part);
        }
        if (st != ST_OK)
            return st;
        (*ret_calls)++;
    }
    return ST_OK;
}

static enum status put_images(struct saying *s, struct making *out, yyjson_mut_val *message, yyjson_val *parts)
{
    yyjson_mut_val *list = NULL, *made;
    enum status st = ST_OK;
    yyjson_val *part;
    size_t i, n;

    yyjson_arr_foreach(parts, i, n, part)
    {
        if (st != ST_OK || kind_of_part(part) != PART_IMAGE)
            continue;
        if (list == NULL)
            list = making_put_array(out, message, "images");
        made = making_push_object(out, list);
        making_put_word(out, made, "type", "image_url");
        st = put_image(s, out, made, part);
    }
    return st;
}

static enum status put_message(struct saying *s, struct making *out, yyjson_mut_val *choice, yyjson_val *candidate,
                               uint64_t *ret_calls)
{
    yyjson_mut_val *message = making_put_object(out, choice, "message");
    struct buf content, reasoning;
    enum status st = ST_OK;
    yyjson_val *part;
    size_t i, n;

    buf_init(&content, CHUNK_MAX);
    buf_init(&reasoning, CHUNK_MAX);
    yyjson_arr_foreach(parts_of(candidate), i, n, part)
    {
        struct slice text = facts_text(yyjson_obj_get(part, "text"));
        enum part_kind kind = kind_of_part(part);

        if (st == ST_OK && (kind == PART_TEXT || kind == PART_THOUGHT))
            st = buf_add(kind == PART_TEXT ? &content : &reasoning, text.p, text.n);
    }
    making_put_word(out, message, "role", "assistant");
    put_joined(out, message, "content", &content);
    if (content.n == 0)
        put_null(out, message, "content");
    put_null(out, message, "refusal");
    put_joined(out, message, "reasoning_content", &reasoning);
    buf_fini(&content);
    buf_fini(&reasoning);
    if (st != ST_OK)
        return translate_nonsense(s->err, "its text is too long");
    st = put_images(s, out, message, parts_of(candidate));
    return st == ST_OK ? put_calls(s, out, message, parts_of(candidate), ret_calls) : st;
}

static enum status put_choice(struct saying *s, struct making *out, yyjson_mut_val *choices, yyjson_val *candidate,
                              size_t place)
{
    yyjson_mut_val *choice = making_push_object(out, choices);
    const char *finish = NULL;
    uint64_t calls = 0;
    size_t index = 0;
    enum status st = read_index(s, candidate, place, &index);

    put_count(out, choice, "index", index);
    if (st == ST_OK)
        st = read_finish(s, yyjson_obj_get(candidate, "finishReason"), &finish);
    if (st == ST_OK && finish == NULL)
        st = translate_nonsense(s->err, "it has no end");
    if (st == ST_OK)
        st = put_message(s, out, choice, candidate, &calls);
    if (st != ST_OK)
        return st;
    put_logprobs(out, choice, yyjson_obj_get(candidate, "logprobsResult"));
    making_put_word(out, choice, "finish_reason", finish_word(s->state, finish, calls));
    return ST_OK;
}

/* The prompt was refused: an answer without text. */
static void put_blocked(struct making *out, yyjson_mut_val *choices)
{
    yyjson_mut_val *choice = making_push_object(out, choices), *message;

    put_count(out, choice, "index", 0);
    message = making_put_object(out, choice, "message");
    making_put_word(out, message, "role", "assistant");
    put_null(out, message, "content");
    put_null(out, message, "refusal");
    put_null(out, choice, "logprobs");
    making_put_word(out, choice, "finish_reason", "content_filter");
}

static enum status put_answer(struct saying *s, struct making *out, yyjson_val *root, const struct usage *usage)
{
    yyjson_val *candidates = yyjson_obj_get(root, "candidates"), *candidate;
    yyjson_mut_val *choices;
    enum status st = ST_OK;
    size_t i, n;

    name_answer(s, root);
    put_head(s, out, "chat.completion");
    choices = making_put_array(out, out->root, "choices");
    if (yyjson_arr_size(candidates) == 0 && !prompt_blocked(root))
        return translate_nonsense(s->err, "it has no candidates");
    if (yyjson_arr_size(candidates) == 0)
        put_blocked(out, choices);
    yyjson_arr_foreach(candidates, i, n, candidate)
    {
        st = put_choice(s, out, choices, candidate, i);
        if (st != ST_OK)
            return st;
    }
    if (usage->known)
        put_usage(out, usage);
    return ST_OK;
}

enum status gemini_answer(void *state, const struct translate_call *call, struct slice body, struct buf *out,
                          struct err *err)
{
    struct saying s = {.call = call, .state = state, .err = err};
    yyjson_doc *doc = yyjson_read(body.p, body.n, YYJSON_READ_NUMBER_AS_RAW);
    struct facts facts;
    struct making made;
    enum status st;

    if (doc == NULL || dialect_gemini.read(body, NULL, NULL, &facts) != ST_OK) {
        yyjson_doc_free(doc);
        return translate_nonsense(err, "it is not a JSON object");
    }
    making_begin(&made);
    st = put_answer(&s, &made, yyjson_doc_get_root(doc), facts.usage.known ? &facts.usage : &call->counted);
    if (st == ST_OK)
        st = making_write(&made, NULL, out, err);
    making_end(&made);
    yyjson_doc_free(doc);
    return st;
}

/* ---- a stream ----------------------------------------------------------------------------------------------------
 */

struct chunk {
    struct making out;
    yyjson_mut_val *choice, *delta;
};

/* A chunk of choice k, still without logprobs and finish_reason. */
static void chunk_begin(struct saying *s, struct chunk *c, size_t k)
{
    yyjson_mut_val *choices;

    making_begin(&c->out);
    put_head(s, &c->out, "chat.completion.chunk");
    choices = making_put_array(&c->out, c->out.root, "choices");
    c->choice = making_push_object(&c->out, choices);
    put_count(&c->out, c->choice, "index", k);
    c->delta = making_put_object(&c->out, c->choice, "delta");
}

static enum status give(struct saying *s, struct making *out)
{
    struct buf text;
    enum status st;

    buf_init(&text, CHUNK_MAX);
    st = making_write(out, NULL, &text, s->err);
    if (st == ST_OK)
        st = s->to->event(s->to->ctx, (struct slice){NULL, 0}, (struct slice){text.p, text.n});
    buf_fini(&text);
    return st;
}

/* logprobs: of the candidate, NULL = none. finish: NULL = it goes on. */
static enum status chunk_give(struct saying *s, struct chunk *c, yyjson_val *logprobs, const char *finish)
{
    enum status st;

    put_logprobs(&c->out, c->choice, logprobs);
    if (finish != NULL)
        making_put_word(&c->out, c->choice, "finish_reason", finish);
    else
        put_null(&c->out, c->choice, "finish_reason");
    if (s->call->usage_asked)
        put_null(&c->out, c->out.root, "usage");
    st = give(s, &c->out);
    making_end(&c->out);
    return st;
}

static enum status give_role(struct saying *s, size_t k, bool calls_first)
{
    struct chunk c;

    if (s->state->choices[k].started)
        return ST_OK;
    chunk_begin(s, &c, k);
    s->state->choices[k].started = true;
    making_put_word(&c.out, c.delta, "role", "assistant");
    if (calls_first)
        put_null(&c.out, c.delta, "content");
    else
        making_put_word(&c.out, c.delta, "content", "");
    put_null(&c.out, c.delta, "refusal");
    return chunk_give(s, &c, NULL, NULL);
}

/* *logprobs go with the first text of an event. */
static enum status give_text(struct saying *s, size_t k, const char *key, struct slice text, yyjson_val **logprobs)
{
    struct chunk c;
    yyjson_val *with = *logprobs;

    if (text.n == 0)
        return ST_OK;
    chunk_begin(s, &c, k);
    making_put_text(&c.out, c.delta, key, text);
    *logprobs = NULL;
    return chunk_give(s, &c, with, NULL);
}

static enum status give_call(struct saying *s, size_t k, yyjson_val *part)
{
    struct gemini_choice *choice = &s->state->choices[k];
    yyjson_mut_val *made;
    struct chunk c;
    enum status st;

    if (s->state->one_call && choice->calls > 0)
        return ST_OK;
    chunk_begin(s, &c, k);
    if (s->state->legacy) {
        st = put_function(s, &c.out, making_put_object(&c.out, c.delta, "function_call"),
                          yyjson_obj_get(part, "functionCall"));
    } else {
        made = making_push_object(&c.out, making_put_array(&c.out, c.delta, "tool_calls"));
        put_count(&c.out, made, "index", choice->calls);
        st = put_tool_call(s, &c.out, made, part);
    }
    choice->calls++;
    if (st == ST_OK)
        return chunk_give(s, &c, NULL, NULL);
    making_end(&c.out);
    return st;
}

static enum status give_image(struct saying *s, size_t k, yyjson_val *part)
{
    yyjson_mut_val *made;
    struct chunk c;
    enum status st;

    chunk_begin(s, &c, k);
    made = making_push_object(&c.out, making_put_array(&c.out, c.delta, "images"));
    making_put_word(&c.out, made, "type", "image_url");
    put_count(&c.out, made, "index", s->state->choices[k].images++);
    st = put_image(s, &c.out, made, part);
    if (st == ST_OK)
        return chunk_give(s, &c, NULL, NULL);
    making_end(&c.out);
    return st;
}

static enum status give_part(struct saying *s, size_t k, yyjson_val *part, yyjson_val **logprobs)
{
    struct slice text = facts_text(yyjson_obj_get(part, "text"));
    yyjson_val *none = NULL;

    switch (kind_of_part(part)) {
    case PART_CALL: return give_call(s, k, part);
    case PART_TEXT: return give_text(s, k, "content", text, logprobs);
    case PART_THOUGHT: return give_text(s, k, "reasoning_content", text, &none);
    case PART_IMAGE: return give_image(s, k, part);
    default: return ST_OK;
    }
}

static enum status give_candidate(struct saying *s, yyjson_val *candidate, size_t place)
{
    yyjson_val *parts = parts_of(candidate), *logprobs = yyjson_obj_get(candidate, "logprobsResult"), *part;
    struct chunk c;
    size_t i, n, k = 0;
    enum status st = read_index(s, candidate, place, &k);

    if (st == ST_OK)
        st = give_role(s, k, kind_of_part(yyjson_arr_get_first(parts)) == PART_CALL);
    if (st != ST_OK)
        return st;
    yyjson_arr_foreach(parts, i, n, part)
    {
        st = give_part(s, k, part, &logprobs);
        if (st != ST_OK)
            return st;
    }
    if (logprobs != NULL) {
        chunk_begin(s, &c, k);
        st = chunk_give(s, &c, logprobs, NULL);
    }
    if (st != ST_OK)
        return st;
    return read_finish(s, yyjson_obj_get(candidate, "finishReason"), &s->state->choices[k].finish);
}

static enum status give_event(struct saying *s, yyjson_val *root)
{
    yyjson_val *candidates = yyjson_obj_get(root, "candidates"), *candidate;
    enum status st = ST_OK;
    size_t i, n;

    name_answer(s, root);
    if (yyjson_arr_size(candidates) == 0 && prompt_blocked(root)) {
        st = give_role(s, 0, false);
        s->state->choices[0].finish = "content_filter";
    }
    yyjson_arr_foreach(candidates, i, n, candidate)
    {
        st = give_candidate(s, candidate, i);
        if (st != ST_OK)
            break;
    }
    return st;
}

enum status gemini_event(void *state, const struct translate_call *call, struct slice data,
                         const struct translate_sink *to, struct err *err)
{
    struct saying s = {.call = call, .state = state, .err = err, .to = to};
    yyjson_doc *doc = yyjson_read(data.p, data.n, YYJSON_READ_NUMBER_AS_RAW);
    enum status st;

    if (yyjson_is_obj(yyjson_doc_get_root(doc)))
        st = give_event(&s, yyjson_doc_get_root(doc));
    else
        st = translate_nonsense(err, "an event is not a JSON object");
    yyjson_doc_free(doc);
    return st;
}

static enum status give_finish(struct saying *s, size_t k)
{
    const struct gemini_choice *choice = &s->state->choices[k];
    struct chunk c;

    chunk_begin(s, &c, k);
    return chunk_give(s, &c, NULL,
                      choice->finish != NULL ? finish_word(s->state, choice->finish, choice->calls) : "length");
}

static enum status give_usage(struct saying *s, const struct usage *usage)
{
    struct making out;
    enum status st;

    making_begin(&out);
    put_head(s, &out, "chat.completion.chunk");
    making_put_array(&out, out.root, "choices");
    put_usage(&out, usage);
    st = give(s, &out);
    making_end(&out);
    return st;
}

enum status gemini_end(void *state, const struct translate_call *call, enum translate_end how,
                       const struct usage *usage, const struct translate_sink *to, struct err *err)
{
    struct saying s = {.call = call, .state = state, .err = err, .to = to};
    struct gemini_choice *choices = s.state->choices;
    enum status st = ST_OK;
    bool any = false;

    for (size_t k = 0; k < GEMINI_CANDIDATES_MAX; k++) {
        any |= choices[k].started;
        if (how == TRANSLATE_WHOLE && choices[k].started && choices[k].finish == NULL)
            return translate_nonsense(err, "it has no end");
    }
    if (!any && how == TRANSLATE_WHOLE)
        return translate_nonsense(err, "it has no candidates");
    name_answer(&s, NULL);
    if (!any)
        st = give_role(&s, 0, false);
    for (size_t k = 0; k < GEMINI_CANDIDATES_MAX && st == ST_OK; k++)
        if (choices[k].started)
            st = give_finish(&s, k);
    return st == ST_OK && call->usage_asked && usage != NULL && usage->known ? give_usage(&s, usage) : st;
}
