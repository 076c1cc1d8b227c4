/*
 * Anthropic's Messages (contract, sections 4.3 to 4.5). Of a stream the usage counts as known only once a message_delta
 * has told the output: what message_start says of it is a guess, and a call that is cut there is billed by its text.
 */
#include "providersvc/dialects/dialect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yyjson.h>

#include "proto/tariff.h"
#include "services/json.h"

/* ---- usage --------------------------------------------------------------------------------------------------------
 */

/* Input that came from no cache and went into none: input_tokens, which Anthropic counts beside the caches. */
static uint64_t uncached(const struct usage *u)
{
    return u->prompt - u->cached - u->write - u->write_long;
}

static void read_writes(struct usage *u, yyjson_val *usage)
{
    yyjson_val *split = yyjson_obj_get(usage, "cache_creation");
    uint64_t total = 0, fast = 0, slow = 0;
    bool whole = facts_count_of(yyjson_obj_get(usage, "cache_creation_input_tokens"), &total);
    bool parts = facts_count_of(yyjson_obj_get(split, "ephemeral_5m_input_tokens"), &fast);

    parts |= facts_count_of(yyjson_obj_get(split, "ephemeral_1h_input_tokens"), &slow);
    if (!whole && !parts)
        return;
    if (!parts) /* how it was split is known of an earlier event, if at all */
        slow = u->write_long < total ? u->write_long : total;
    u->write_long = slow;
    u->write = whole && total > fast + slow ? total - slow : fast;
}

/* Cumulative: what is said overwrites. No call has no input: a zero was not counted. */
static void read_input(struct usage *u, yyjson_val *usage)
{
    struct usage now = *u;
    uint64_t plain = uncached(u);

    (void)facts_count_of(yyjson_obj_get(usage, "input_tokens"), &plain);
    (void)facts_count_of(yyjson_obj_get(usage, "cache_read_input_tokens"), &now.cached);
    read_writes(&now, usage);
    now.prompt = facts_whole(0, plain + now.cached + now.write + now.write_long);
    if (now.prompt > 0 && uncached(&now) <= LIMIT_TOKENS)
        *u = now;
}

static bool read_output(struct usage *u, yyjson_val *usage)
{
    yyjson_val *details = yyjson_obj_get(usage, "output_tokens_details");

    if (!facts_count_of(yyjson_obj_get(usage, "output_tokens"), &u->completion))
        return false;
    (void)facts_count_of(yyjson_obj_get(details, "thinking_tokens"), &u->reasoning);
    u->completion = facts_whole(u->completion, u->reasoning);
    return true;
}

/* Only what was served is paid: the fast mode has limits of its own, beyond which the request may be served without. An
 * event that names neither says nothing of it. */
static uint64_t read_premium(yyjson_val *usage)
{
    yyjson_val *speed = yyjson_obj_get(usage, "speed"), *geo = yyjson_obj_get(usage, "inference_geo");

    if (!yyjson_is_str(speed) && !yyjson_is_str(geo))
        return 0;
    return premium_percent(facts_text(speed), facts_text(geo));
}

/* ends: an event that tells how much output there was, not how much is expected. */
static void read_usage(struct facts *f, yyjson_val *usage, bool ends)
{
    struct usage *u = &f->usage;

    if (!yyjson_is_obj(usage))
        return;
    f->price_percent = read_premium(usage);
    read_input(u, usage);
    if (read_output(u, usage) && ends)
        u->known = u->prompt > 0;
}

/* ---- text ---------------------------------------------------------------------------------------------------------
 */

static void tally_input(struct tally *t, yyjson_val *input)
{
    size_t n = 0;
    char *text = yyjson_is_obj(input) && yyjson_obj_size(input) > 0 ? yyjson_val_write(input, 0, &n) : NULL;

    if (text != NULL)
        tally_text(t, (struct slice){text, n});
    free(text);
}

/* A block, whole or as it begins, or a delta to one. Signatures are no text. */
static void tally_block(struct tally *t, yyjson_val *block)
{
    facts_tally(t, block, "text");
    facts_tally(t, block, "thinking");
    facts_tally(t, block, "name");
    facts_tally(t, block, "partial_json");
    tally_input(t, yyjson_obj_get(block, "input"));
}

/* ---- answers and events -------------------------------------------------------------------------------------------
 */

static void read_stop(yyjson_val *reason, struct facts *f)
{
    if (!yyjson_is_str(reason))
        return;
    f->finished |= 1;
    f->length = yyjson_equals_str(reason, "max_tokens") || yyjson_equals_str(reason, "model_context_window_exceeded");
}

static void read_message(yyjson_val *message, bool whole, struct facts *f)
{
    yyjson_val *content = yyjson_obj_get(message, "content");
    yyjson_val *block;
    size_t i, n;

    f->has_answer = yyjson_is_arr(content);
    f->seen |= 1;
    yyjson_arr_foreach(content, i, n, block) tally_block(&f->text, block);
    read_stop(yyjson_obj_get(message, "stop_reason"), f);
    read_usage(f, yyjson_obj_get(message, "usage"), whole);
}

static void read_failure(yyjson_val *root, unsigned status, struct upstream_error *ret);

static void read_facts(yyjson_val *root, struct facts *f)
{
    yyjson_val *type = yyjson_obj_get(root, "type");

    if (yyjson_equals_str(type, "message_start")) {
        read_message(yyjson_obj_get(root, "message"), false, f);
    } else if (yyjson_equals_str(type, "content_block_start") || yyjson_equals_str(type, "content_block_delta")) {
        f->has_answer = true;
        f->seen |= 1;
        tally_block(&f->text, yyjson_obj_get(root, "content_block"));
        tally_block(&f->text, yyjson_obj_get(root, "delta"));
    } else if (yyjson_equals_str(type, "message_delta")) {
        f->has_answer = true;
        f->seen |= 1;
        read_stop(yyjson_obj_get(yyjson_obj_get(root, "delta"), "stop_reason"), f);
        read_usage(f, yyjson_obj_get(root, "usage"), true);
    } else if (yyjson_equals_str(type, "message_stop")) {
        f->final = true;
    } else if (yyjson_equals_str(type, "error") || yyjson_is_obj(yyjson_obj_get(root, "error"))) {
        f->failed = true;
        read_failure(root, 0, &f->error);
    } else if (yyjson_is_arr(yyjson_obj_get(root, "content"))) {
        read_message(root, true, f);
    }
}

static enum status messages_read(struct slice json, const struct usage *before, struct facts_scratch *scratch,
                                 struct facts *ret)
{
    yyjson_doc *doc = facts_parse(json, scratch);

    memset(ret, 0, sizeof(*ret));
    if (doc == NULL)
        return ST_BAD_REQUEST;
    if (before != NULL)
        ret->usage = *before;
    read_facts(yyjson_doc_get_root(doc), ret);
    yyjson_doc_free(doc);
    return ST_OK;
}

/* ---- errors (contract, sections 2.1, 2.5 and 4.5) -----------------------------------------------------------------
 */

/* The type that a client of OpenAI's knows is that of the same status, where not said. */
struct error_kind {
    const char *name; /* Anthropic's */
    unsigned status; /* theirs */
    unsigned client; /* what the client sees */
    const char *type, *code;
    bool bad_key, no_credit;
};

static const struct error_kind kinds[] = {
    {"invalid_request_error", 400, 400, "invalid_request_error", "", false, false},
    {"authentication_error", 401, 502, "server_error", "upstream_auth_error", true, false},
    {"billing_error", 402, 502, "server_error", "upstream_billing_error", false, true},
    {"permission_error", 403, 502, "server_error", "upstream_auth_error", true, false},
    {"not_found_error", 404, 404, "invalid_request_error", "model_not_found", false, false},
    {"conflict_error", 409, 409, "invalid_request_error", "conflict", false, false},
    {"request_too_large", 413, 413, "invalid_request_error", "request_too_large", false, false},
    {"rate_limit_error", 429, 429, "requests", "rate_limit_exceeded", false, false},
    {"api_error", 500, 502, "server_error", "upstream_error", false, false},
    {"timeout_error", 504, 504, "server_error", "upstream_timeout", false, false},
    {"overloaded_error", 529, 503, "service_unavailable_error", "server_is_overloaded", false, false},
};

#define N_KINDS (sizeof(kinds) / sizeof(kinds[0]))

static const struct error_kind *kind_named(const char *name)
{
    for (size_t i = 0; i < N_KINDS; i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    return NULL;
}

/* Of any HTTP status; 0 = none: an error within a stream whose type says nothing. */
static const struct error_kind *kind_of_status(unsigned status)
{
    for (size_t i = 0; i < N_KINDS; i++)
        if (kinds[i].status == status)
            return &kinds[i];
    if (status == 408)
        return kind_named("timeout_error");
    if (status == 503)
        return kind_named("overloaded_error");
    return kind_named(status >= 400 && status <= 499 ? "invalid_request_error" : "api_error");
}

static void set_kind(struct upstream_error *e, const struct error_kind *kind)
{
    e->status = kind->client;
    snprintf(e->type, sizeof(e->type), "%s", kind->type);
    snprintf(e->code, sizeof(e->code), "%s", kind->code);
    e->bad_key = kind->bad_key;
    e->no_credit = kind->no_credit;
}

/* What Anthropic tells apart in words only. */
static void read_words(struct upstream_error *e)
{
    if (e->status == 429 && strstr(e->message, "token") != NULL) {
        snprintf(e->type, sizeof(e->type), "tokens");
    } else if (e->status == 400 && strstr(e->message, "prompt is too long") != NULL) {
        snprintf(e->code, sizeof(e->code), "context_length_exceeded");
        snprintf(e->param, sizeof(e->param), "messages");
    } else if (e->status == 400 && strstr(e->message, "credit balance is too low") != NULL) {
        set_kind(e, kind_named("billing_error"));
    }
}

/* Others that speak this dialect say other statuses than their types: the HTTP status decides which kind of error it
 * is, unless there is none or it is only "400" or "500". */
static void read_failure(yyjson_val *root, unsigned status, struct upstream_error *ret)
{
    yyjson_val *error = yyjson_obj_get(root, "error");
    const struct error_kind *kind;
    char name[FACTS_TYPE_MAX] = "";

    facts_copy(yyjson_obj_get(error, "type"), name, sizeof(name));
    kind = kind_named(name);
    if (kind == NULL || (status != 0 && status != 400 && status != 500))
        kind = kind_of_status(status);
    set_kind(ret, kind);
    if (yyjson_is_str(error))
        facts_copy(error, ret->message, sizeof(ret->message));
    else
        facts_copy(yyjson_obj_get(yyjson_is_obj(error) ? error : root, "message"), ret->message, sizeof(ret->message));
    read_words(ret);
}

static void messages_read_error(unsigned status, struct slice json, struct upstream_error *ret)
{
    yyjson_doc *doc = yyjson_read(json.p, json.n, 0);

    memset(ret, 0, sizeof(*ret));
    read_failure(yyjson_doc_get_root(doc), status, ret);
    yyjson_doc_free(doc);
}

static const char *type_for(const struct upstream_error *e)
{
    return strcmp(e->type, "insufficient_quota") == 0 ? "billing_error" : kind_of_status(e->status)->name;
}

static enum status messages_write_error(const struct upstream_error *e, struct slice request_id, struct buf *out)
{
    enum status st = buf_addc(out, "{\"type\":\"error\",\"error\":{\"type\":");

    if (st == ST_OK)
        st = json_add_string(out, slice_of(type_for(e)));
    if (st == ST_OK)
        st = buf_addc(out, ",\"message\":");
    if (st == ST_OK)
        st = json_add_string(out, slice_of(e->message));
    if (st == ST_OK)
        st = buf_addc(out, "},\"request_id\":");
    if (st == ST_OK)
        st = request_id.n > 0 ? json_add_string(out, request_id) : buf_addc(out, "null");
    return st == ST_OK ? buf_addc(out, "}") : st;
}

const struct dialect dialect_messages = {
    .name = "messages", .read = messages_read, .read_error = messages_read_error, .write_error = messages_write_error};
