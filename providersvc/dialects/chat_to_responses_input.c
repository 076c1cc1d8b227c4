/* Chat completions to Responses: messages become input items (contract, section 1.9). */
#include <stdlib.h>
#include <string.h>

#include "providersvc/dialects/chat_to_responses.h"

#define FUNCTIONS "functions are deprecated; use tools and tool_calls"

static enum status add_image(struct reshape *r, yyjson_val *part, yyjson_mut_val *to)
{
    yyjson_val *image = NULL, *url = NULL, *detail = NULL;
    enum status st = check_need(&r->from, part, "image_url", IS_OBJECT, &image);

    if (st != ST_OK)
        return st;
    check_enter(&r->from, "image_url");
    st = check_need(&r->from, image, "url", IS_STRING, &url);
    if (st == ST_OK)
        st = check_get(&r->from, image, "detail", IS_STRING, &detail);
    if (st != ST_OK)
        return st;
    check_leave(&r->from);
    making_put_word(&r->to, to, "type", "input_image");
    making_put_value(&r->to, to, "image_url", url);
    making_put(&r->to, to, "detail", detail != NULL ? making_value(&r->to, detail) : making_word(&r->to, "auto"));
    return ST_OK;
}

static enum status add_file(struct reshape *r, yyjson_val *part, yyjson_mut_val *to)
{
    static const char *const members[] = {"file_id", "filename", "file_data"};
    yyjson_val *file = NULL;
    enum status st = check_need(&r->from, part, "file", IS_OBJECT, &file);

    check_enter(&r->from, "file");
    making_put_word(&r->to, to, "type", "input_file");
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]) && st == ST_OK; i++)
        st = reshape_move(r, file, members[i], IS_STRING, to, members[i]);
    if (st == ST_OK && yyjson_obj_get(file, "file_id") == NULL && yyjson_obj_get(file, "file_data") == NULL)
        return check_missing(&r->from, "file_data");
    if (st == ST_OK)
        check_leave(&r->from);
    return st;
}

/* One part of what somebody other than the model says. */
static enum status add_input_part(struct reshape *r, yyjson_val *part, yyjson_mut_val *list)
{
    yyjson_mut_val *to;
    yyjson_val *type = NULL, *text = NULL;
    enum status st = check_is(&r->from, NULL, part, IS_OBJECT);

    if (st == ST_OK)
        st = check_need(&r->from, part, "type", IS_STRING, &type);
    if (st != ST_OK)
        return st;
    if (yyjson_equals_str(type, "input_audio"))
        return check_unsupported(&r->from, "input_audio");
    to = making_object(&r->to);
    if (yyjson_equals_str(type, "image_url"))
        st = add_image(r, part, to);
    else if (yyjson_equals_str(type, "file"))
        st = add_file(r, part, to);
    else if (!yyjson_equals_str(type, "text"))
        return check_invalid(&r->from, "type", "text, image_url, input_audio or file");
    else {
        st = check_need(&r->from, part, "text", IS_STRING, &text);
        if (st != ST_OK)
            return st;
        making_put_word(&r->to, to, "type", "input_text");
        making_put_value(&r->to, to, "text", text);
    }
    if (st == ST_OK)
        making_push(&r->to, list, to);
    return st;
}

/* The content of a message that is not the model's, or a tool's output: text stays text, parts become input parts. */
static enum status add_input(struct reshape *r, yyjson_val *message, yyjson_mut_val *to, const char *name)
{
    yyjson_mut_val *list;
    yyjson_val *content = NULL, *part;
    enum status st = check_need(&r->from, message, "content", IS_STRING | IS_ARRAY, &content);
    size_t i, n;

    if (st != ST_OK)
        return st;
    if (yyjson_is_str(content)) {
        making_put_value(&r->to, to, name, content);
        return ST_OK;
    }
    list = making_array(&r->to);
    yyjson_arr_foreach(content, i, n, part)
    {

        check_enter_item(&r->from, "content", i);
        st = add_input_part(r, part, list);
        if (st != ST_OK)
            return st;
        check_leave(&r->from);
    }
    making_put(&r->to, to, name, list);
    return ST_OK;
}

static void add_said(struct reshape *r, yyjson_mut_val *list, const char *type, const char *member, yyjson_val *text)
{
    yyjson_mut_val *part = making_object(&r->to);

    making_put_word(&r->to, part, "type", type);
    making_put_value(&r->to, part, member, text);
    making_push(&r->to, list, part);
}

/* The model's own parts: text and refusals. */
static enum status add_said_parts(struct reshape *r, yyjson_val *content, yyjson_mut_val *list)
{
    yyjson_val *part;
    size_t i, n;

    yyjson_arr_foreach(content, i, n, part)
    {
        yyjson_val *type = NULL, *said = NULL;
        enum status st;
        bool refusal;

        check_enter_item(&r->from, "content", i);
        st = check_is(&r->from, NULL, part, IS_OBJECT);
        if (st == ST_OK)
            st = check_need(&r->from, part, "type", IS_STRING, &type);
        if (st != ST_OK)
            return st;
        refusal = yyjson_equals_str(type, "refusal");
        if (!refusal && !yyjson_equals_str(type, "text"))
            return check_invalid(&r->from, "type", "text or refusal");
        st = check_need(&r->from, part, refusal ? "refusal" : "text", IS_STRING, &said);
        if (st != ST_OK)
            return st;
        add_said(r, list, refusal ? "refusal" : "output_text", refusal ? "refusal" : "text", said);
        check_leave(&r->from);
    }
    return ST_OK;
}

/* What the model said before it called tools, if anything. */
static enum status add_assistant_text(struct reshape *r, yyjson_val *message, yyjson_mut_val *input)
{
    yyjson_mut_val *to, *list;
    yyjson_val *content = NULL, *refusal = NULL;
    enum status st = check_get(&r->from, message, "content", IS_STRING | IS_ARRAY, &content);

    if (st == ST_OK)
        st = check_get(&r->from, message, "refusal", IS_STRING, &refusal);
    if (content != NULL && is_empty(content)) /* beside calls many give one */
        content = NULL;
    if (st != ST_OK || (content == NULL && refusal == NULL))
        return st;
    to = making_object(&r->to);
    making_put_word(&r->to, to, "role", "assistant");
    if (refusal == NULL && yyjson_is_str(content))
        making_put_value(&r->to, to, "content", content);
    else {
        list = making_array(&r->to);
        if (yyjson_is_str(content) && yyjson_get_len(content) > 0)
            add_said(r, list, "output_text", "text", content);
        st = add_said_parts(r, content, list);
        if (refusal != NULL)
            add_said(r, list, "refusal", "refusal", refusal);
        making_put(&r->to, to, "content", list);
    }
    making_push(&r->to, input, to);
    return st;
}

static enum status add_call(struct reshape *r, yyjson_val *call, yyjson_mut_val *input)
{
    yyjson_mut_val *to;
    yyjson_val *id = NULL, *type = NULL, *body = NULL, *name = NULL, *arguments = NULL;
    enum status st = check_is(&r->from, NULL, call, IS_OBJECT);
    bool custom;

    if (st == ST_OK)
        st = check_need(&r->from, call, "id", IS_STRING, &id);
    if (st == ST_OK)
        st = check_get(&r->from, call, "type", IS_STRING, &type);
    if (st != ST_OK)
        return st;
    custom = yyjson_equals_str(type, "custom");
    if (type != NULL && !custom && !yyjson_equals_str(type, "function"))
        return check_invalid(&r->from, "type", "function or custom");
    st = check_need(&r->from, call, custom ? "custom" : "function", IS_OBJECT, &body);
    check_enter(&r->from, custom ? "custom" : "function");
    if (st == ST_OK)
        st = check_need(&r->from, body, "name", IS_STRING, &name);
    if (st == ST_OK)
        st = check_need(&r->from, body, custom ? "input" : "arguments", IS_STRING, &arguments);
    if (st != ST_OK)
        return st;
    check_leave(&r->from);
    to = making_object(&r->to);
    making_put_word(&r->to, to, "type", custom ? "custom_tool_call" : "function_call");
    making_put_value(&r->to, to, "call_id", id);
    making_put_value(&r->to, to, "name", name);
    making_put_value(&r->to, to, custom ? "input" : "arguments", arguments);
    making_push(&r->to, input, to);
    return ST_OK;
}

static enum status add_assistant(struct bridge_making *q, yyjson_val *message, yyjson_mut_val *input)
{
    struct reshape *r = &q->r;
    yyjson_val *calls = NULL, *call, *other = NULL;
    enum status st = check_get(&r->from, message, "tool_calls", IS_ARRAY, &calls);
    size_t i, n;

    if (st == ST_OK)
        st = check_get(&r->from, message, "function_call", IS_OBJECT, &other);
    if (st == ST_OK && other != NULL)
        st = check_refuse(&r->from, "function_call", FUNCTIONS);
    if (st == ST_OK)
        st = check_get(&r->from, message, "audio", IS_OBJECT, &other);
    if (st == ST_OK && other != NULL)
        st = check_unsupported(&r->from, "audio");
    if (st == ST_OK)
        st = add_assistant_text(r, message, input);
    if (st != ST_OK)
        return st;
    yyjson_arr_foreach(calls, i, n, call)
    {

        check_enter_item(&r->from, "tool_calls", i);
        st = add_call(r, call, input);
        if (st != ST_OK)
            return st;
        check_leave(&r->from);
    }
    return ST_OK;
}

static int by_text(const void *a, const void *b)
{
    const struct slice *x = a, *y = b;
    int order = memcmp(x->p, y->p, x->n < y->n ? x->n : y->n);

    return order != 0 ? order : (x->n > y->n) - (x->n < y->n);
}

static enum status add_output(struct bridge_making *q, yyjson_val *message, yyjson_mut_val *input)
{
    struct reshape *r = &q->r;
    yyjson_mut_val *to = making_object(&r->to);
    yyjson_val *id = NULL;
    enum status st = check_need(&r->from, message, "tool_call_id", IS_STRING, &id);
    struct slice key = facts_text(id);
    bool custom;

    if (st != ST_OK)
        return st;
    custom = q->n_custom > 0 && bsearch(&key, q->custom_calls, q->n_custom, sizeof(key), by_text) != NULL;
    making_put_word(&r->to, to, "type", custom ? "custom_tool_call_output" : "function_call_output");
    making_put_value(&r->to, to, "call_id", id);
    st = add_input(r, message, to, "output");
    making_push(&r->to, input, to);
    return st;
}

static enum status add_message(struct bridge_making *q, yyjson_val *message, yyjson_mut_val *input)
{
    struct reshape *r = &q->r;
    yyjson_mut_val *to;
    yyjson_val *role = NULL, *name = NULL;
    enum status st = check_is(&r->from, NULL, message, IS_OBJECT);

    if (st == ST_OK)
        st = check_need(&r->from, message, "role", IS_STRING, &role);
    if (st == ST_OK) /* Responses has no place for it; the client did not choose Responses */
        st = check_get(&r->from, message, "name", IS_STRING, &name);
    if (st != ST_OK)
        return st;
    if (yyjson_equals_str(role, "assistant"))
        return add_assistant(q, message, input);
    if (yyjson_equals_str(role, "tool"))
        return add_output(q, message, input);
    if (yyjson_equals_str(role, "function"))
        return check_refuse(&r->from, "role", FUNCTIONS);
    if (!yyjson_equals_str(role, "user") && !yyjson_equals_str(role, "system") && !yyjson_equals_str(role, "developer"))
        return check_invalid(&r->from, "role", "developer, system, user, assistant or tool");
    to = making_object(&r->to);
    making_put_value(&r->to, to, "role", role);
    st = add_input(r, message, to, "content");
    making_push(&r->to, input, to);
    return st;
}

static enum status note_custom(struct bridge_making *q, yyjson_val *calls)
{
    yyjson_val *call;
    size_t i, n;

    yyjson_arr_foreach(calls, i, n, call)
    {
        yyjson_val *id = yyjson_obj_get(call, "id");

        if (!yyjson_equals_str(yyjson_obj_get(call, "type"), "custom") || !yyjson_is_str(id))
            continue;
        if (q->n_custom == q->cap_custom) {
            size_t cap = q->cap_custom > 0 ? q->cap_custom * 2 : 8;
            struct slice *more = realloc(q->custom_calls, cap * sizeof(*more));

            if (more == NULL)
                return translate_no_memory(q->r.from.err);
            q->custom_calls = more;
            q->cap_custom = cap;
        }
        q->custom_calls[q->n_custom++] = facts_text(id);
    }
    return ST_OK;
}

enum status bridge_take_messages(void *ctx, yyjson_val *messages)
{
    struct bridge_making *q = ctx;
    yyjson_mut_val *input = making_array(&q->r.to);
    yyjson_val *message;
    enum status st = ST_OK;
    size_t i, n;

    if (yyjson_arr_size(messages) == 0)
        return check_invalid(&q->r.from, "messages", "at least one message");
    yyjson_arr_foreach(messages, i, n, message)
    {
        st = note_custom(q, yyjson_obj_get(message, "tool_calls"));
        if (st != ST_OK)
            return st;
    }
    if (q->n_custom > 0)
        qsort(q->custom_calls, q->n_custom, sizeof(*q->custom_calls), by_text);
    yyjson_arr_foreach(messages, i, n, message)
    {

        check_enter_item(&q->r.from, "messages", i);
        st = add_message(q, message, input);
        if (st != ST_OK)
            return st;
        check_leave(&q->r.from);
    }
    making_put(&q->r.to, q->r.to.root, "input", input);
    return ST_OK;
}
