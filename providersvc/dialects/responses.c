/*
 * OpenAI's Responses: whole objects and the events of their streams (contract, sections 1.3 and 6.1).
 *
 * A stream says everything at least three times: in deltas, in the done events, in the last event's object. Text is
 * counted in the deltas only; a tool call's name, which has no delta, where its item is added.
 */
#include "providersvc/dialects/dialect.h"

#include <stdio.h>
#include <string.h>

#include <yyjson.h>

#include "proto/limits.h"

#define EVENT_PREFIX "response."
#define DELTA_SUFFIX ".delta"
#define AUDIO_DELTA "response.audio.delta" /* base64, not text */

/* Writes to the cache: a number, an object by lifetime, or a number with such an object beside it. */
static void read_writes(struct usage *u, yyjson_val *details)
{
    yyjson_val *total = yyjson_obj_get(details, "cache_write_tokens");
    yyjson_val *split = yyjson_is_obj(total) ? total : yyjson_obj_get(details, "cache_write_tokens_details");
    uint64_t all = facts_count(total), shorter = facts_count(yyjson_obj_get(split, "ttl_30m"));

    u->write_long = facts_count(yyjson_obj_get(split, "ttl_12h"));
    u->write = all > u->write_long + shorter ? all - u->write_long : shorter;
}

static struct usage usage_of(yyjson_val *usage)
{
    yyjson_val *in = yyjson_obj_get(usage, "input_tokens_details");
    yyjson_val *out = yyjson_obj_get(usage, "output_tokens_details");
    struct usage u = {0};

    if (!yyjson_is_obj(usage) || !facts_count_of(yyjson_obj_get(usage, "input_tokens"), &u.prompt))
        return u;
    u.known = true;
    u.cached = facts_count(yyjson_obj_get(in, "cached_tokens"));
    u.audio_in = facts_count(yyjson_obj_get(in, "audio_tokens"));
    u.image_in = facts_count(yyjson_obj_get(in, "image_tokens"));
    read_writes(&u, in);
    u.prompt = facts_whole(u.prompt, u.cached + u.write + u.write_long);
    u.prompt = facts_whole(u.prompt, u.audio_in + u.image_in);
    u.completion = facts_count(yyjson_obj_get(usage, "output_tokens"));
    u.reasoning = facts_count(yyjson_obj_get(out, "reasoning_tokens"));
    u.audio_out = facts_count(yyjson_obj_get(out, "audio_tokens"));
    u.image_out = facts_count(yyjson_obj_get(out, "image_tokens"));
    u.completion = facts_whole(u.completion, u.reasoning + u.audio_out + u.image_out);
    return u;
}

/* The parts of a message, the summary or the content of reasoning. */
static void tally_parts(struct tally *t, yyjson_val *parts)
{
    yyjson_val *part;
    size_t i, n;

    yyjson_arr_foreach(parts, i, n, part)
    {
        facts_tally(t, part, "text");
        facts_tally(t, part, "refusal");
    }
}

static void tally_item(struct tally *t, yyjson_val *item)
{
    tally_parts(t, yyjson_obj_get(item, "content"));
    tally_parts(t, yyjson_obj_get(item, "summary"));
    facts_tally(t, item, "name");
    facts_tally(t, item, "arguments");
    facts_tally(t, item, "input");
    facts_tally(t, item, "code");
}

/* What clients of OpenAI's errors see for it (contract, section 2.5); 0 = as upstream's own. */
static unsigned status_of(const char *code)
{
    if (strcmp(code, "rate_limit_exceeded") == 0)
        return 429;
    if (strcmp(code, "invalid_prompt") == 0 || strncmp(code, "image_", 6) == 0 || strstr(code, "_image") != NULL)
        return 400;
    return 0;
}

static void read_failure(yyjson_val *error, struct facts *f)
{
    f->failed = true;
    facts_copy(yyjson_obj_get(error, "message"), f->error.message, sizeof(f->error.message));
    facts_copy(yyjson_obj_get(error, "code"), f->error.code, sizeof(f->error.code));
    facts_copy(yyjson_obj_get(error, "param"), f->error.param, sizeof(f->error.param));
    if (yyjson_is_str(error))
        facts_copy(error, f->error.message, sizeof(f->error.message));
    f->error.status = status_of(f->error.code);
}

/* NULL: nothing that anybody knows. */
static const char *state_of(yyjson_val *status)
{
    static const char *const all[] = {"queued", "in_progress", "completed", "failed", "incomplete", "cancelled"};

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (yyjson_equals_str(status, all[i]))
            return all[i];
    return NULL;
}

/* The object itself. Its status says how it ended, if it did. */
static void read_response(yyjson_val *response, struct facts *f)
{
    yyjson_val *status = yyjson_obj_get(response, "status");
    yyjson_val *reason = yyjson_obj_get(yyjson_obj_get(response, "incomplete_details"), "reason");
    bool incomplete = yyjson_equals_str(status, "incomplete"), failed = yyjson_equals_str(status, "failed");

    facts_copy(yyjson_obj_get(response, "id"), f->object_id, sizeof(f->object_id));
    f->usage = usage_of(yyjson_obj_get(response, "usage"));
    f->price_percent = facts_tier(yyjson_obj_get(response, "service_tier"));
    f->state = yyjson_is_true(yyjson_obj_get(response, "deleted")) ? "deleted" : state_of(status);
    f->background = yyjson_is_true(yyjson_obj_get(response, "background"));
    f->final = failed || incomplete || yyjson_equals_str(status, "completed") || yyjson_equals_str(status, "cancelled");
    f->length = incomplete && yyjson_equals_str(reason, "max_output_tokens");
    if (failed)
        read_failure(yyjson_obj_get(response, "error"), f);
}

static void read_event(yyjson_val *root, struct slice type, struct facts *f)
{
    size_t suffix = strlen(DELTA_SUFFIX);
    yyjson_val *response = yyjson_obj_get(root, "response");

    if (yyjson_is_obj(response))
        read_response(response, f);
    if (slice_is(type, "response.failed") && !f->failed)
        read_failure(yyjson_obj_get(response, "error"), f);
    f->final |= slice_is(type, "response.completed") || slice_is(type, "response.incomplete") || f->failed;
    if (type.n > suffix && memcmp(type.p + type.n - suffix, DELTA_SUFFIX, suffix) == 0) {
        f->has_answer = true;
        if (!slice_is(type, AUDIO_DELTA))
            facts_tally(&f->text, root, "delta");
    }
    if (slice_is(type, "response.output_item.added")) {
        f->has_answer = true;
        facts_tally(&f->text, yyjson_obj_get(root, "item"), "name");
    }
}

static void read_whole(yyjson_val *root, struct facts *f)
{
    yyjson_val *output = yyjson_obj_get(root, "output");
    yyjson_val *object = yyjson_obj_get(root, "object");
    yyjson_val *error = yyjson_obj_get(root, "error");
    yyjson_val *item;
    size_t i, n;

    read_response(root, f);
    yyjson_arr_foreach(output, i, n, item) tally_item(&f->text, item);
    f->has_answer = yyjson_is_arr(output) || yyjson_is_arr(yyjson_obj_get(root, "data")) || yyjson_is_str(object);
    if (!f->failed && (yyjson_is_obj(error) || yyjson_is_str(error)))
        read_failure(error, f);
}

static enum status responses_read(struct slice json, const struct usage *before, struct facts_scratch *scratch,
                                  struct facts *ret)
{
    yyjson_doc *doc = facts_parse(json, scratch);
    yyjson_val *root = yyjson_doc_get_root(doc);
    struct slice type = facts_text(yyjson_obj_get(root, "type"));
    size_t prefix = strlen(EVENT_PREFIX);

    memset(ret, 0, sizeof(*ret));
    if (doc == NULL)
        return ST_BAD_REQUEST;
    if (slice_is(type, "error")) /* flat, or with OpenAI's error object inside */
        read_failure(yyjson_is_obj(yyjson_obj_get(root, "error")) ? yyjson_obj_get(root, "error") : root, ret);
    else if (type.n > prefix && memcmp(type.p, EVENT_PREFIX, prefix) == 0)
        read_event(root, type, ret);
    else
        read_whole(root, ret);
    if (before != NULL && !ret->usage.known)
        ret->usage = *before;
    ret->seen = ret->has_answer ? 1 : 0;
    ret->finished = ret->final ? 1 : 0;
    yyjson_doc_free(doc);
    return ST_OK;
}

/* Errors that are not inside an object or a stream are the same as chat's. */
static void responses_read_error(unsigned status, struct slice json, struct upstream_error *ret)
{
    dialect_chat.read_error(status, json, ret);
}

static enum status responses_write_error(const struct upstream_error *e, struct slice request_id, struct buf *out)
{
    return dialect_chat.write_error(e, request_id, out);
}

const struct dialect dialect_responses = {.name = "responses",
                                          .read = responses_read,
                                          .read_error = responses_read_error,
                                          .write_error = responses_write_error};
