/* Responses to chat completions: whole answers, and the pieces of a message that streams have, too. */
#include <stdlib.h>
#include <string.h>

#include "providersvc/dialects/responses_to_chat.h"

void output_note_head(struct output *o, yyjson_val *root)
{
    yyjson_val *created = yyjson_obj_get(root, "created");
    struct slice tier = facts_text(yyjson_obj_get(root, "service_tier"));

    if (!o->begun && yyjson_is_uint(created) && yyjson_get_uint(created) <= LIMIT_TIME)
        o->created = yyjson_get_uint(created);
    if (tier.n > 0)
        (void)slice_copy(tier, o->tier, sizeof(o->tier));
}

const char *output_finish_of(yyjson_val *choice)
{
    yyjson_val *finish = yyjson_obj_get(choice, "finish_reason");

    if (!yyjson_is_str(finish))
        return NULL;
    if (yyjson_equals_str(finish, "length") || yyjson_equals_str(finish, "model_length")) /* Mistral's */
        return "length";
    return yyjson_equals_str(finish, "content_filter") ? "content_filter" : "stop";
}

enum status output_say_arguments(struct output *o, struct buf *to, yyjson_val *v, struct err *err)
{
    size_t n = 0;
    char *text;
    enum status st;

    if (yyjson_is_str(v))
        return output_say(o, to, facts_text(v), err);
    if (!yyjson_is_obj(v))
        return ST_OK;
    text = yyjson_val_write(v, 0, &n); /* some give the object itself */
    if (text == NULL)
        return translate_no_memory(err);
    st = output_say(o, to, (struct slice){text, n}, err);
    free(text);
    return st;
}

/* ---- whole answers --------------------------------------------------------------------------------------------------
 */

static enum status add_text(struct output *o, enum output_kind kind, struct slice text, struct err *err)
{
    struct output_item *item = NULL;
    enum status st = output_new(o, kind, &item, err);

    if (st != ST_OK)
        return st;
    item->added = true;
    return output_say(o, &item->text, text, err);
}

/* Of a list of images, or of parts among which some are. */
static enum status add_pictures(struct output *o, yyjson_val *list, struct err *err)
{
    struct output_item *item = NULL;
    struct data_url picture;
    enum status st = ST_OK;
    yyjson_val *image;
    size_t i, n;

    yyjson_arr_foreach(list, i, n, image)
    {
        if (st == ST_OK && output_picture_of(image, &picture))
            st = output_add_picture(o, &picture, false, &item, err);
    }
    return st;
}

static bool has_text(yyjson_val *content)
{
    yyjson_val *part;
    size_t i, n;

    yyjson_arr_foreach(content, i, n, part)
    {
        if (yyjson_is_str(yyjson_obj_get(part, "text")))
            return true;
    }
    return facts_text(content).n > 0;
}

/* A string, or what some give in its place: parts with text. */
static enum status add_content(struct output *o, yyjson_val *content, yyjson_val *logprobs, struct err *err)
{
    struct output_item *item = NULL;
    yyjson_val *part;
    enum status st;
    size_t i, n;

    if (!has_text(content))
        return ST_OK;
    st = add_text(o, OUTPUT_TEXT, facts_text(content), err);
    if (st != ST_OK)
        return st;
    item = &o->items[o->n_items - 1];
    yyjson_arr_foreach(content, i, n, part)
    {
        st = output_say(o, &item->text, facts_text(yyjson_obj_get(part, "text")), err);
        if (st != ST_OK)
            return st;
    }
    return output_note_logprobs(o, item, yyjson_obj_get(logprobs, "content"), err);
}

/* id: may be NULL. */
static enum status add_call(struct output *o, yyjson_val *id, yyjson_val *function, struct err *err)
{
    struct slice name = facts_text(yyjson_obj_get(function, "name"));
    struct output_item *item = NULL;
    enum status st;

    if (name.n == 0)
        return translate_nonsense(err, "a tool call without a name");
    st = output_new(o, OUTPUT_CALL, &item, err);
    if (st != ST_OK)
        return st;
    item->added = true;
    st = output_name_call(o, item, name, err);
    if (st == ST_OK)
        st = output_say(o, &item->call_id, facts_text(id), err);
    if (st == ST_OK)
        st = output_say_arguments(o, &item->text, yyjson_obj_get(function, "arguments"), err);
    return st == ST_OK && item->kind == OUTPUT_CUSTOM ? output_unwrap(o, item, err) : st;
}

static enum status read_message(struct output *o, yyjson_val *choice, struct err *err)
{
    yyjson_val *message = yyjson_obj_get(choice, "message"), *call;
    yyjson_val *calls = yyjson_obj_get(message, "tool_calls"), *older = yyjson_obj_get(message, "function_call");
    struct slice reasoning = translate_reasoning_of(message);
    struct slice refusal = facts_text(yyjson_obj_get(message, "refusal"));
    enum status st = ST_OK;
    size_t i, n = 0;

    if (!yyjson_is_obj(message))
        return translate_nonsense(err, "it has no message");
    if (reasoning.n > 0)
        st = add_text(o, OUTPUT_REASONING, reasoning, err);
    if (st == ST_OK)
        st = add_content(o, yyjson_obj_get(message, "content"), yyjson_obj_get(choice, "logprobs"), err);
    if (st == ST_OK)
        st = add_pictures(o, yyjson_obj_get(message, "content"), err);
    if (st == ST_OK)
        st = add_pictures(o, yyjson_obj_get(message, "images"), err);
    if (st == ST_OK && refusal.n > 0)
        st = add_text(o, OUTPUT_REFUSAL, refusal, err);
    if (st != ST_OK)
        return st;
    yyjson_arr_foreach(calls, i, n, call)
    {
        st = add_call(o, yyjson_obj_get(call, "id"), yyjson_obj_get(call, "function"), err);
        if (st != ST_OK)
            return st;
    }
    return yyjson_is_obj(older) && n == 0 ? add_call(o, NULL, older, err) : ST_OK;
}

/* A client parses arguments: none are the empty object, unless they were cut. */
static enum status complete_calls(struct output *o, enum output_status status, struct err *err)
{
    enum status st = ST_OK;

    for (size_t i = 0; i < o->n_items && st == ST_OK; i++) {
        struct output_item *item = &o->items[i];

        if (item->kind == OUTPUT_CALL && item->text.n == 0 && status == OUTPUT_COMPLETED)
            st = output_say(o, &item->text, (struct slice){"{}", 2}, err);
    }
    return st;
}

enum status output_answer(void *state, const struct translate_call *call, struct slice body, struct buf *out,
                          struct err *err)
{
    struct output *o = state;
    yyjson_doc *doc = facts_parse(body, NULL);
    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_val *choice = yyjson_arr_get_first(yyjson_obj_get(root, "choices"));
    struct facts facts = {0};
    struct put p = {out, ST_OK};
    const char *finish = output_finish_of(choice);
    enum output_status status = output_status_of(finish != NULL ? finish : "stop");
    enum status st = yyjson_is_obj(choice) ? ST_OK : translate_nonsense(err, "it has no choices");

    if (st == ST_OK)
        st = read_message(o, choice, err);
    if (st == ST_OK)
        st = complete_calls(o, status, err);
    if (st == ST_OK && dialect_chat.read(body, NULL, NULL, &facts) == ST_OK) {
        output_note_head(o, root);
        output_put_object(&p, o, call, status, facts.usage.known ? &facts.usage : &call->counted);
        st = p.st == ST_OK ? ST_OK : err_set(err, p.st, "%s", status_text(p.st));
    }
    yyjson_doc_free(doc);
    return st;
}
