/* Responses to chat completions: items and the response object as they are written (contract, section 1.3). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "providersvc/dialects/responses_to_chat.h"

#define IMAGE_TYPE "image/" /* its beginning */

/* ---- collecting -----------------------------------------------------------------------------------------------------
 */

enum output_status output_status_of(const char *finish)
{
    if (finish == NULL)
        return OUTPUT_IN_PROGRESS;
    if (strcmp(finish, "length") == 0)
        return OUTPUT_LENGTH;
    return strcmp(finish, "content_filter") == 0 ? OUTPUT_FILTERED : OUTPUT_COMPLETED;
}

enum status output_new(struct output *o, enum output_kind kind, struct output_item **ret, struct err *err)
{
    struct output_item *item;

    if (o->n_items >= OUTPUT_ITEMS_MAX)
        return translate_nonsense(err, "it has too many parts");
    if (o->n_items == o->cap_items) {
        size_t cap = o->cap_items > 0 ? o->cap_items * 2 : 4;
        struct output_item *more = realloc(o->items, cap * sizeof(*more));

        if (more == NULL)
            return translate_no_memory(err);
        o->items = more;
        o->cap_items = cap;
    }
    item = &o->items[o->n_items++];
    memset(item, 0, sizeof(*item));
    item->kind = kind;
    buf_init(&item->text, TRANSLATE_STATE_MAX);
    buf_init(&item->logprobs, TRANSLATE_STATE_MAX);
    buf_init(&item->call_id, TRANSLATE_STATE_MAX);
    buf_init(&item->name, TRANSLATE_STATE_MAX);
    *ret = item;
    return ST_OK;
}

static enum status too_long(struct err *err)
{
    return err_set(err, ST_UPSTREAM, "The provider's answer became too long.");
}

enum status output_say(struct output *o, struct buf *to, struct slice text, struct err *err)
{
    enum status st;

    if (text.n == 0)
        return ST_OK;
    if (text.n > TRANSLATE_STATE_MAX - o->held)
        return too_long(err);
    o->held += text.n;
    st = buf_add(to, text.p, text.n);
    return st == ST_OK ? ST_OK : err_set(err, st, "%s", status_text(st));
}

bool output_picture_of(yyjson_val *image, struct data_url *ret)
{
    return data_url_read(facts_text(yyjson_obj_get(yyjson_obj_get(image, "image_url"), "url")), ret) &&
           slice_starts(ret->type, IMAGE_TYPE) && ret->type.n > strlen(IMAGE_TYPE);
}

enum status output_add_picture(struct output *o, const struct data_url *picture, bool keep, struct output_item **ret,
                               struct err *err)
{
    const size_t n = strlen(IMAGE_TYPE);
    struct slice format = {picture->type.p + n, picture->type.n - n};
    struct output_item *item = NULL;
    enum status st = output_new(o, OUTPUT_PICTURE, &item, err);

    if (st != ST_OK || item == NULL)
        return st;
    st = output_say(o, &item->name, format, err);
    if (st != ST_OK)
        return st;
    item->picture = picture->base64;
    if (keep) {
        if (picture->base64.n > OUTPUT_PICTURES_MAX - o->pictured)
            return too_long(err);
        o->pictured += picture->base64.n;
        st = buf_add(&item->text, picture->base64.p, picture->base64.n);
        item->picture = (struct slice){item->text.p, item->text.n};
    }
    item->added = item->closed = true;
    *ret = item;
    return st == ST_OK ? ST_OK : err_set(err, st, "%s", status_text(st));
}

enum status output_unwrap(struct output *o, struct output_item *item, struct err *err)
{
    yyjson_doc *doc = facts_parse((struct slice){item->text.p, item->text.n}, NULL);
    yyjson_val *input = yyjson_obj_get(yyjson_doc_get_root(doc), INPUT_TEXT);
    enum status st = ST_OK;

    if (yyjson_is_str(input)) {
        o->held -= item->text.n;
        item->text.n = 0;
        st = output_say(o, &item->text, facts_text(input), err);
    }
    yyjson_doc_free(doc);
    return st;
}

enum status output_note_logprobs(struct output *o, struct output_item *item, yyjson_val *logprobs, struct err *err)
{
    struct put p = {&item->logprobs, ST_OK};
    size_t before = item->logprobs.n, i, n;
    yyjson_val *one;

    yyjson_arr_foreach(logprobs, i, n, one)
    {
        if (item->logprobs.n > 0)
            put_raw(&p, ",");
        put_value(&p, one);
    }
    if (p.st == ST_TOO_LARGE || item->logprobs.n - before > TRANSLATE_STATE_MAX - o->held)
        return too_long(err);
    o->held += item->logprobs.n - before;
    return p.st == ST_OK ? ST_OK : err_set(err, p.st, "%s", status_text(p.st));
}

/* ---- ids ------------------------------------------------------------------------------------------------------------
 */

static void put_made_id(struct put *p, const char *prefix, const struct output *o, const struct translate_call *call,
                        const struct output_item *item)
{
    char id[2 * LIMIT_ID_TEXT];
    struct slice own = translate_bare_id(call->request_id);

    snprintf(id, sizeof(id), "%s" SLICE_FMT "_%zu", prefix, SLICE_ARG(own), (size_t)(item - o->items));
    put_string(p, slice_of(id));
}

void output_put_id(struct put *p, const struct output *o, const struct translate_call *call,
                   const struct output_item *item)
{
    static const char *const prefixes[] = {
        [OUTPUT_REASONING] = "rs_", [OUTPUT_TEXT] = "msg_",   [OUTPUT_REFUSAL] = "msg_",
        [OUTPUT_CALL] = "fc_",      [OUTPUT_CUSTOM] = "ctc_", [OUTPUT_PICTURE] = "ig_"};

    put_made_id(p, prefixes[item->kind], o, call, item);
}

void output_put_call_id(struct put *p, const struct output *o, const struct translate_call *call,
                        const struct output_item *item)
{
    if (item->call_id.n > 0)
        put_string(p, (struct slice){item->call_id.p, item->call_id.n});
    else
        put_made_id(p, "call_", o, call, item);
}

/* ---- items ----------------------------------------------------------------------------------------------------------
 */

static void put_text(struct put *p, const struct output_item *item, bool full)
{
    put_string(p, full ? (struct slice){item->text.p, item->text.n} : (struct slice){"", 0});
}

void output_put_part(struct put *p, const struct output_item *item, bool full)
{
    if (item->kind == OUTPUT_REASONING) {
        put_raw(p, "{\"type\":\"summary_text\",\"text\":");
        put_text(p, item, full);
    } else if (item->kind == OUTPUT_REFUSAL) {
        put_raw(p, "{\"type\":\"refusal\",\"refusal\":");
        put_text(p, item, full);
    } else {
        put_raw(p, "{\"type\":\"output_text\",\"text\":");
        put_text(p, item, full);
        put_raw(p, ",\"annotations\":[],\"logprobs\":[");
        if (full)
            put_bytes(p, item->logprobs.p, item->logprobs.n);
        put_raw(p, "]");
    }
    put_raw(p, "}");
}

static void put_call(struct put *p, const struct output *o, const struct translate_call *call,
                     const struct output_item *item, bool full)
{
    put_raw(p, ",\"call_id\":");
    output_put_call_id(p, o, call, item);
    put_raw(p, ",\"name\":");
    put_string(p, (struct slice){item->name.p, item->name.n});
    if (item->space.n > 0) {
        put_raw(p, ",\"namespace\":");
        put_string(p, item->space);
    }
    put_raw(p, item->kind == OUTPUT_CUSTOM ? ",\"input\":" : ",\"arguments\":");
    put_text(p, item, full);
}

static void put_picture(struct put *p, const struct output_item *item, bool full)
{
    put_raw(p, ",\"output_format\":");
    put_string(p, (struct slice){item->name.p, item->name.n});
    put_raw(p, ",\"result\":");
    if (full)
        put_string(p, item->picture);
    else
        put_raw(p, "null");
}

void output_put_item(struct put *p, const struct output *o, const struct translate_call *call,
                     const struct output_item *item, enum output_status status)
{
    static const char *const types[] = {
        [OUTPUT_REASONING] = "reasoning",     [OUTPUT_TEXT] = "message",
        [OUTPUT_REFUSAL] = "message",         [OUTPUT_CALL] = "function_call",
        [OUTPUT_CUSTOM] = "custom_tool_call", [OUTPUT_PICTURE] = "image_generation_call"};
    static const char *const words[] = {[OUTPUT_IN_PROGRESS] = "in_progress",
                                        [OUTPUT_COMPLETED] = "completed",
                                        [OUTPUT_LENGTH] = "incomplete",
                                        [OUTPUT_FILTERED] = "incomplete"};
    bool full = status != OUTPUT_IN_PROGRESS;

    put_raw(p, "{\"id\":");
    output_put_id(p, o, call, item);
    put_raw(p, ",\"type\":\"");
    put_raw(p, types[item->kind]);
    put_raw(p, "\",\"status\":\"");
    put_raw(p, words[full && item->kind == OUTPUT_PICTURE ? OUTPUT_COMPLETED : status]); /* they come whole */
    put_raw(p, "\"");
    if (item->kind == OUTPUT_CALL || item->kind == OUTPUT_CUSTOM)
        put_call(p, o, call, item, full);
    else if (item->kind == OUTPUT_PICTURE)
        put_picture(p, item, full);
    else {
        put_raw(p, item->kind == OUTPUT_REASONING ? ",\"summary\":[" : ",\"role\":\"assistant\",\"content\":[");
        if (full)
            output_put_part(p, item, true);
        put_raw(p, "]");
    }
    put_raw(p, "}");
}

/* ---- the object -----------------------------------------------------------------------------------------------------
 */

static void put_usage(struct put *p, const struct usage *u)
{
    put_raw(p, "{\"input_tokens\":");
    put_count(p, u->prompt);
    put_raw(p, ",\"input_tokens_details\":{\"cached_tokens\":");
    put_count(p, u->cached);
    put_raw(p, ",\"cache_write_tokens\":");
    put_count(p, u->write + u->write_long);
    put_raw(p, "},\"output_tokens\":");
    put_count(p, u->completion);
    put_raw(p, ",\"output_tokens_details\":{\"reasoning_tokens\":");
    put_count(p, u->reasoning);
    put_raw(p, "},\"total_tokens\":");
    put_count(p, u->prompt + u->completion);
    put_raw(p, "}");
}

static void put_items(struct put *p, const struct output *o, const struct translate_call *call,
                      enum output_status status)
{
    bool first = true;

    for (size_t i = 0; i < o->n_items; i++) {
        const struct output_item *item = &o->items[i];

        if (!item->added)
            continue;
        put_raw(p, first ? "" : ",");
        /* What came after an item shows that it is whole; the last one is what the limit cut. */
        output_put_item(p, o, call, item, i + 1 < o->n_items ? OUTPUT_COMPLETED : status);
        first = false;
    }
}

void output_put_object(struct put *p, const struct output *o, const struct translate_call *call,
                       enum output_status status, const struct usage *usage)
{
    static const char *const words[] = {
        [OUTPUT_IN_PROGRESS] = "\"in_progress\",\"background\":false,\"error\":null,\"incomplete_details\":null",
        [OUTPUT_COMPLETED] = "\"completed\",\"background\":false,\"error\":null,\"incomplete_details\":null",
        [OUTPUT_LENGTH] = "\"incomplete\",\"background\":false,\"error\":null,"
                          "\"incomplete_details\":{\"reason\":\"max_output_tokens\"}",
        [OUTPUT_FILTERED] = "\"incomplete\",\"background\":false,\"error\":null,"
                            "\"incomplete_details\":{\"reason\":\"content_filter\"}"};
    char id[2 * LIMIT_ID_TEXT];
    struct slice own = translate_bare_id(call->request_id);

    snprintf(id, sizeof(id), "resp_" SLICE_FMT, SLICE_ARG(own));
    put_raw(p, "{\"id\":");
    put_string(p, slice_of(id));
    put_raw(p, ",\"object\":\"response\",\"created_at\":");
    put_count(p, o->created > 0 ? o->created : call->created);
    put_raw(p, ",\"status\":");
    put_raw(p, words[status]);
    put_raw(p, ",\"model\":");
    put_string(p, call->model);
    put_raw(p, ",\"output\":[");
    if (status != OUTPUT_IN_PROGRESS)
        put_items(p, o, call, status);
    put_raw(p, "],\"previous_response_id\":null,\"store\":false,\"service_tier\":");
    put_string(p, slice_of(o->tier[0] != '\0' ? o->tier : "default"));
    put_raw(p, ",");
    put_bytes(p, o->echo.p, o->echo.n);
    put_raw(p, ",\"usage\":");
    if (usage != NULL && usage->known)
        put_usage(p, usage);
    else
        put_raw(p, "null");
    put_raw(p, "}");
}
