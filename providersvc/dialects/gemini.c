/* Gemini's generateContent, and the chunks of streamGenerateContent?alt=sse (contract, section 5.1). */
#include "providersvc/dialects/dialect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yyjson.h>

#include "proto/limits.h"
#include "services/json.h"

#define TYPE_RETRY_INFO "type.googleapis.com/google.rpc.RetryInfo"
#define DAILY_RETRY_MS (UINT64_C(3600) * 1000) /* a day's quota is not back in the seconds that RetryInfo promises */
#define DURATION_DIGITS_MAX 9 /* of whole seconds and of their fraction: more counts as not said */

/* ---- usage --------------------------------------------------------------------------------------------------------
 */

static uint64_t bounded(uint64_t n)
{
    return n < LIMIT_TOKENS ? n : LIMIT_TOKENS;
}

/* Tokens of one kind in a list of {modality, tokenCount}. */
static uint64_t modality(yyjson_val *details, const char *name)
{
    yyjson_val *item;
    uint64_t sum = 0;
    size_t i, n;

    yyjson_arr_foreach(details, i, n, item)
    {
        if (yyjson_equals_str(yyjson_obj_get(item, "modality"), name))
            sum = bounded(sum + facts_count(yyjson_obj_get(item, "tokenCount")));
    }
    return sum;
}

static void read_input(struct usage *u, yyjson_val *usage)
{
    yyjson_val *prompt = yyjson_obj_get(usage, "promptTokensDetails");
    yyjson_val *tools = yyjson_obj_get(usage, "toolUsePromptTokensDetails");

    u->prompt = bounded(u->prompt + facts_count(yyjson_obj_get(usage, "toolUsePromptTokenCount")));
    u->cached = facts_count(yyjson_obj_get(usage, "cachedContentTokenCount"));
    u->audio_in = bounded(modality(prompt, "AUDIO") + modality(tools, "AUDIO"));
    u->image_in = bounded(modality(prompt, "IMAGE") + modality(tools, "IMAGE"));
    u->prompt = facts_whole(u->prompt, u->cached);
    u->prompt = facts_whole(u->prompt, u->audio_in + u->image_in);
}

static void read_output(struct usage *u, yyjson_val *usage)
{
    yyjson_val *details = yyjson_obj_get(usage, "candidatesTokensDetails");

    u->reasoning = facts_count(yyjson_obj_get(usage, "thoughtsTokenCount"));
    u->audio_out = modality(details, "AUDIO");
    u->image_out = modality(details, "IMAGE");
    /* Thoughts are counted beside the candidates, never in them. */
    u->completion =
        facts_whole(facts_count(yyjson_obj_get(usage, "candidatesTokenCount")), u->audio_out + u->image_out);
    u->completion = bounded(u->completion + u->reasoning);
}

static struct usage usage_of(yyjson_val *usage)
{
    struct usage u = {0};

    if (!yyjson_is_obj(usage) || !facts_count_of(yyjson_obj_get(usage, "promptTokenCount"), &u.prompt))
        return u;
    u.known = true;
    read_input(&u, usage);
    read_output(&u, usage);
    return u;
}

/* ---- errors -------------------------------------------------------------------------------------------------------
 */

/* "46s", "0.5s" in milliseconds, rounded up; 0 = it is none. */
static uint64_t duration_ms(struct slice text)
{
    uint64_t seconds = 0, micros = 0, unit = 1000000;
    size_t i = 0, start;

    for (; i < text.n && text.p[i] >= '0' && text.p[i] <= '9'; i++) {
        if (i == DURATION_DIGITS_MAX)
            return 0;
        seconds = seconds * 10 + (uint64_t)(text.p[i] - '0');
    }
    if (i == 0)
        return 0;
    if (i < text.n && text.p[i] == '.') {
        start = ++i;
        for (; i < text.n && text.p[i] >= '0' && text.p[i] <= '9' && i - start < DURATION_DIGITS_MAX; i++) {
            unit /= 10;
            micros += unit * (uint64_t)(text.p[i] - '0');
        }
    }
    if (i + 1 != text.n || text.p[i] != 's' || seconds > LIMIT_MS / 1000)
        return 0;
    return seconds * 1000 + (micros + 999) / 1000;
}

/* Is it a quota of a day that is used up? */
static bool daily_quota(yyjson_val *detail)
{
    yyjson_val *violations = yyjson_obj_get(detail, "violations"), *item;
    size_t i, n;

    yyjson_arr_foreach(violations, i, n, item)
    {
        struct slice id = facts_text(yyjson_obj_get(item, "quotaId"));

        if (id.n > 0 && memmem(id.p, id.n, "PerDay", strlen("PerDay")) != NULL)
            return true;
    }
    return false;
}

static bool begins(yyjson_val *v, const char *with)
{
    return yyjson_is_str(v) && strncmp(yyjson_get_str(v), with, strlen(with)) == 0;
}

static void read_details(yyjson_val *details, struct upstream_error *ret)
{
    yyjson_val *detail;
    bool daily = false;
    size_t i, n;

    yyjson_arr_foreach(details, i, n, detail)
    {
        yyjson_val *reason = yyjson_obj_get(detail, "reason");
        uint64_t wait = duration_ms(facts_text(yyjson_obj_get(detail, "retryDelay")));

        ret->bad_key |= begins(reason, "API_KEY_") || yyjson_equals_str(reason, "SERVICE_DISABLED") ||
                        yyjson_equals_str(reason, "CONSUMER_INVALID") ||
                        yyjson_equals_str(reason, "CONSUMER_SUSPENDED");
        ret->no_credit |= yyjson_equals_str(reason, "BILLING_DISABLED");
        daily |= daily_quota(detail);
        if (wait > ret->retry_after_ms)
            ret->retry_after_ms = wait;
    }
    if (daily && ret->retry_after_ms < DAILY_RETRY_MS)
        ret->retry_after_ms = DAILY_RETRY_MS;
}

/* What OpenAI's clients know it as. */
static void name_error(struct upstream_error *e, yyjson_val *status)
{
    if (yyjson_equals_str(status, "UNAUTHENTICATED") || yyjson_equals_str(status, "PERMISSION_DENIED")) {
        e->bad_key = true;
    } else if (yyjson_equals_str(status, "FAILED_PRECONDITION")) { /* of the operator's project, or of a file */
        e->no_credit = strstr(e->message, "billing") != NULL;
        e->bad_key = strstr(e->message, "User location") != NULL;
    } else if (yyjson_equals_str(status, "NOT_FOUND")) {
        snprintf(e->code, sizeof(e->code), "model_not_found");
    } else if (yyjson_equals_str(status, "RESOURCE_EXHAUSTED")) {
        snprintf(e->type, sizeof(e->type), "rate_limit_error");
        snprintf(e->code, sizeof(e->code), "rate_limit_exceeded");
    } else if (yyjson_equals_str(status, "UNAVAILABLE")) {
        snprintf(e->type, sizeof(e->type), "service_unavailable_error");
        snprintf(e->code, sizeof(e->code), "server_is_overloaded");
    } else if (yyjson_equals_str(status, "DEADLINE_EXCEEDED")) {
        snprintf(e->code, sizeof(e->code), "upstream_timeout");
    } else if (strstr(e->message, "input token count") != NULL && strstr(e->message, "exceeds the maximum") != NULL) {
        snprintf(e->code, sizeof(e->code), "context_length_exceeded");
        snprintf(e->param, sizeof(e->param), "messages");
    }
}

/* status: HTTP's, 0 = an event of a stream, whose own number is all there is. */
static void read_error(yyjson_val *root, unsigned status, struct upstream_error *ret)
{
    yyjson_val *error = yyjson_obj_get(yyjson_is_arr(root) ? yyjson_arr_get_first(root) : root, "error");
    uint64_t code = facts_count(yyjson_obj_get(error, "code"));

    if (yyjson_is_str(error))
        facts_copy(error, ret->message, sizeof(ret->message));
    facts_copy(yyjson_obj_get(error, "message"), ret->message, sizeof(ret->message));
    if ((status < 400 || status > 599) && code >= 400 && code <= 599)
        ret->status = (unsigned)code;
    name_error(ret, yyjson_obj_get(error, "status"));
    read_details(yyjson_obj_get(error, "details"), ret);
}

static void gemini_read_error(unsigned status, struct slice json, struct upstream_error *ret)
{
    yyjson_doc *doc = yyjson_read(json.p, json.n, 0);

    memset(ret, 0, sizeof(*ret));
    read_error(yyjson_doc_get_root(doc), status, ret);
    yyjson_doc_free(doc);
}

/* google.rpc.Code of an HTTP status. */
static const char *status_word(unsigned status)
{
    switch (status) {
    case 401: return "UNAUTHENTICATED";
    case 403: return "PERMISSION_DENIED";
    case 404: return "NOT_FOUND";
    case 409: return "ABORTED";
    case 429: return "RESOURCE_EXHAUSTED";
    case 499: return "CANCELLED";
    case 501: return "UNIMPLEMENTED";
    case 503: return "UNAVAILABLE";
    case 504: return "DEADLINE_EXCEEDED";
    default: return status < 500 ? "INVALID_ARGUMENT" : "INTERNAL";
    }
}

static enum status gemini_write_error(const struct upstream_error *e, struct slice request_id, struct buf *out)
{
    unsigned long long ms = e->retry_after_ms;
    enum status st = buf_addf(out, "{\"error\":{\"code\":%u,\"message\":", e->status);

    (void)request_id;
    if (st == ST_OK)
        st = json_add_string(out, slice_of(e->message));
    if (st == ST_OK)
        st = buf_addf(out, ",\"status\":\"%s\"", status_word(e->status));
    if (st == ST_OK && ms > 0)
        st = buf_addf(out, ",\"details\":[{\"@type\":\"" TYPE_RETRY_INFO "\",\"retryDelay\":\"%llu.%03llus\"}]",
                      ms / 1000, ms % 1000);
    return st == ST_OK ? buf_addc(out, "}}") : st;
}

/* ---- answers ------------------------------------------------------------------------------------------------------
 */

static void tally_part(struct tally *t, yyjson_val *part)
{
    yyjson_val *call = yyjson_obj_get(part, "functionCall");
    yyjson_val *args = yyjson_obj_get(call, "args");
    size_t n = 0;
    char *text;

    facts_tally(t, part, "text"); /* thoughts as well */
    facts_tally(t, call, "name");
    if (args == NULL)
        return;
    text = yyjson_val_write(args, 0, &n);
    if (text != NULL)
        tally_text(t, (struct slice){text, n});
    free(text);
}

static bool ended(yyjson_val *reason)
{
    return yyjson_is_str(reason) && yyjson_get_len(reason) > 0 &&
           !yyjson_equals_str(reason, "FINISH_REASON_UNSPECIFIED");
}

static void read_candidate(yyjson_val *candidate, size_t place, struct facts *f)
{
    yyjson_val *index = yyjson_obj_get(candidate, "index");
    yyjson_val *reason = yyjson_obj_get(candidate, "finishReason");
    yyjson_val *parts = yyjson_obj_get(yyjson_obj_get(candidate, "content"), "parts");
    uint64_t k = yyjson_is_uint(index) ? yyjson_get_uint(index) : place;
    uint64_t bit = UINT64_C(1) << (k < FACTS_CHOICES_TRACKED ? k : FACTS_CHOICES_TRACKED - 1);
    yyjson_val *part;
    size_t i, n;

    f->seen |= bit;
    if (ended(reason))
        f->finished |= bit;
    f->length |= yyjson_equals_str(reason, "MAX_TOKENS");
    yyjson_arr_foreach(parts, i, n, part) tally_part(&f->text, part);
}

static void read_facts(yyjson_val *root, struct facts *f)
{
    yyjson_val *candidates = yyjson_obj_get(root, "candidates");
    yyjson_val *blocked = yyjson_obj_get(yyjson_obj_get(root, "promptFeedback"), "blockReason");
    yyjson_val *error = yyjson_obj_get(root, "error");
    yyjson_val *candidate;
    size_t i, n;

    yyjson_arr_foreach(candidates, i, n, candidate) read_candidate(candidate, i, f);
    if (yyjson_arr_size(candidates) == 0 && yyjson_is_str(blocked))
        f->seen = f->finished = 1; /* the prompt was refused: an answer without text */
    f->has_answer = f->seen != 0;
    f->final = f->finished != 0;
    f->usage = usage_of(yyjson_obj_get(root, "usageMetadata"));
    if (yyjson_is_obj(error) || yyjson_is_str(error)) {
        f->failed = true;
        read_error(root, 0, &f->error);
    }
}

static enum status gemini_read(struct slice json, const struct usage *before, struct facts_scratch *scratch,
                               struct facts *ret)
{
    yyjson_doc *doc = facts_parse(json, scratch);

    memset(ret, 0, sizeof(*ret));
    if (doc == NULL)
        return ST_BAD_REQUEST;
    read_facts(yyjson_doc_get_root(doc), ret);
    if (before != NULL && !ret->usage.known)
        ret->usage = *before; /* of several, the last one holds: they count the whole answer so far */
    yyjson_doc_free(doc);
    return ST_OK;
}

const struct dialect dialect_gemini = {.trails = true,
                                       .name = "gemini",
                                       .read = gemini_read,
                                       .read_error = gemini_read_error,
                                       .write_error = gemini_write_error};
