/* Chat completions to Responses: messages become input items (contract, section 1.9). */
#include <stdlib.h>
#include <string.h>

#include "providersvc/dialects/chat_to_responses.h"

#define FUNCTIONS "functions are deprecated; use tools and tool_calls"

static enum status add_image(struct reshape *r, yyjson_val *part, yyjson_mut_val *to)
{
    yyjson_val *image = NULL, *url = NULL, *detail = NULL;
    enum status st = reshape_need(r, part, "image_url", RESHAPE_OBJECT, &image);
    size_t mark;

    if (st != ST_OK)
        return st;
    mark = reshape_enter(r, "image_url");
    st = reshape_need(r, image, "url", RESHAPE_STRING, &url);
    if (st == ST_OK)
        st = reshape_get(r, image, "detail", RESHAPE_STRING, &detail);
    if (st != ST_OK)
        return st;
    reshape_leave(r, mark);
    reshape_add(r, to, "type", reshape_string(r, "input_image"));
    reshape_add(r, to, "image_url", reshape_text(r, url));
    reshape_add(r, to, "detail", detail != NULL ? reshape_text(r, detail) : reshape_string(r, "auto"));
    return ST_OK;
}

static enum status add_file(struct reshape *r, yyjson_val *part, yyjson_mut_val *to)
{
    static const char *const members[] = {"file_id", "filename", "file_data"};
    yyjson_val *file = NULL;
    enum status st = reshape_need(r, part, "file", RESHAPE_OBJECT, &file);
    size_t mark = reshape_enter(r, "file");

    reshape_add(r, to, "type", reshape_string(r, "input_file"));
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]) && st == ST_OK; i++)
        st = reshape_move(r, file, members[i], RESHAPE_STRING, to, members[i]);
    if (st == ST_OK && yyjson_obj_get(file, "file_id") == NULL && yyjson_obj_get(file, "file_data") == NULL)
        return reshape_missing(r, "file_data");
    if (st == ST_OK)
        reshape_leave(r, mark);
    return st;
}

/* One part of what somebody other than the model says. */
static enum status add_input_part(struct reshape *r, yyjson_val *part, yyjson_mut_val *list)
{
    yyjson_mut_val *to;
    yyjson_val *type = NULL, *text = NULL;
    enum status st = reshape_check(r, NULL, part, RESHAPE_OBJECT);

    if (st == ST_OK)
        st = reshape_need(r, part, "type", RESHAPE_STRING, &type);
    if (st != ST_OK)
        return st;
    if (yyjson_equals_str(type, "input_audio"))
        return reshape_unsupported(r, "input_audio");
    to = reshape_object(r);
    if (yyjson_equals_str(type, "image_url"))
        st = add_image(r, part, to);
    else if (yyjson_equals_str(type, "file"))
        st = add_file(r, part, to);
    else if (!yyjson_equals_str(type, "text"))
        return reshape_invalid(r, "type", "text, image_url, input_audio or file");
    else {
        st = reshape_need(r, part, "text", RESHAPE_STRING, &text);
        if (st != ST_OK)
            return st;
        reshape_add(r, to, "type", reshape_string(r, "input_text"));
        reshape_add(r, to, "text", reshape_text(r, text));
    }
    if (st == ST_OK)
        reshape_append(r, list, to);
    return st;
}

/* The content of a message that is not the model's, or a tool's output: text stays text, parts become input parts. */
static enum status add_input(struct reshape *r, yyjson_val *message, yyjson_mut_val *to, const char *name)
{
    yyjson_mut_val *list;
    yyjson_val *content = NULL, *part;
    enum status st = reshape_need(r, message, "content", RESHAPE_STRING | RESHAPE_ARRAY, &content);
    size_t i, n;

    if (st != ST_OK)
        return st;
    if (yyjson_is_str(content)) {
        reshape_add(r, to, name, reshape_text(r, content));
        return ST_OK;
    }
    list = reshape_array(r);
    yyjson_arr_foreach(content, i, n, part)
    {
        size_t mark = reshape_enter(r, "content[%zu]", i);

        st = add_input_part(r, part, list);
        if (st != ST_OK)
            return st;
        reshape_leave(r, mark);
    }
    reshape_add(r, to, name, list);
    return ST_OK;
}

static void add_said(struct reshape *r, yyjson_mut_val *list, const char *type, const char *member, yyjson_val *text)
{
    yyjson_mut_val *part = reshape_object(r);

    reshape_add(r, part, "type", reshape_string(r, type));
    reshape_add(r, part, member, reshape_text(r, text));
    reshape_append(r, list, part);
}

/* The model's own parts: text and refusals. */
static enum status add_said_parts(struct reshape *r, yyjson_val *content, yyjson_mut_val *list)
{
    yyjson_val *part;
    size_t i, n;

    yyjson_arr_foreach(content, i, n, part)
    {
        size_t mark = reshape_enter(r, "content[%zu]", i);
        yyjson_val *type = NULL, *said = NULL;
        enum status st = reshape_check(r, NULL, part, RESHAPE_OBJECT);
        bool refusal;

        if (st == ST_OK)
            st = reshape_need(r, part, "type", RESHAPE_STRING, &type);
        if (st != ST_OK)
            return st;
        refusal = yyjson_equals_str(type, "refusal");
        if (!refusal && !yyjson_equals_str(type, "text"))
            return reshape_invalid(r, "type", "text or refusal");
        st = reshape_need(r, part, refusal ? "refusal" : "text", RESHAPE_STRING, &said);
        if (st != ST_OK)
            return st;
        add_said(r, list, refusal ? "refusal" : "output_text", refusal ? "refusal" : "text", said);
        reshape_leave(r, mark);
    }
    return ST_OK;
}

/* What the model said before it called tools, if anything. */
static enum status add_assistant_text(struct reshape *r, yyjson_val *message, yyjson_mut_val *input)
{
    yyjson_mut_val *to, *list;
    yyjson_val *content = NULL, *refusal = NULL;
    enum status st = reshape_get(r, message, "content", RESHAPE_STRING | RESHAPE_ARRAY, &content);

    if (st == ST_OK)
        st = reshape_get(r, message, "refusal", RESHAPE_STRING, &refusal);
    if (st != ST_OK || (content == NULL && refusal == NULL))
        return st;
    to = reshape_object(r);
    reshape_add(r, to, "role", reshape_string(r, "assistant"));
    if (refusal == NULL && yyjson_is_str(content))
        reshape_add(r, to, "content", reshape_text(r, content));
    else {
        list = reshape_array(r);
        if (yyjson_is_str(content) && yyjson_get_len(content) > 0)
            add_said(r, list, "output_text", "text", content);
        st = add_said_parts(r, content, list);
        if (refusal != NULL)
            add_said(r, list, "refusal", "refusal", refusal);
        reshape_add(r, to, "content", list);
    }
    reshape_append(r, input, to);
    return st;
}

static enum status add_call(struct reshape *r, yyjson_val *call, yyjson_mut_val *input)
{
    yyjson_mut_val *to;
    yyjson_val *id = NULL, *type = NULL, *body = NULL, *name = NULL, *arguments = NULL;
    enum status st = reshape_check(r, NULL, call, RESHAPE_OBJECT);
    bool custom;
    size_t mark;

    if (st == ST_OK)
        st = reshape_need(r, call, "id", RESHAPE_STRING, &id);
    if (st == ST_OK)
        st = reshape_get(r, call, "type", RESHAPE_STRING, &type);
    if (st != ST_OK)
        return st;
    custom = yyjson_equals_str(type, "custom");
    if (type != NULL && !custom && !yyjson_equals_str(type, "function"))
        return reshape_invalid(r, "type", "function or custom");
    st = reshape_need(r, call, custom ? "custom" : "function", RESHAPE_OBJECT, &body);
    mark = reshape_enter(r, custom ? "custom" : "function");
    if (st == ST_OK)
        st = reshape_need(r, body, "name", RESHAPE_STRING, &name);
    if (st == ST_OK)
        st = reshape_need(r, body, custom ? "input" : "arguments", RESHAPE_STRING, &arguments);
    if (st != ST_OK)
        return st;
    reshape_leave(r, mark);
    to = reshape_object(r);
    reshape_add(r, to, "type", reshape_string(r, custom ? "custom_tool_call" : "function_call"));
    reshape_add(r, to, "call_id", reshape_text(r, id));
    reshape_add(r, to, "name", reshape_text(r, name));
    reshape_add(r, to, custom ? "input" : "arguments", reshape_text(r, arguments));
    reshape_append(r, input, to);
    return ST_OK;
}

static enum status add_assistant(struct bridge_making *q, yyjson_val *message, yyjson_mut_val *input)
{
    struct reshape *r = &q->r;
    yyjson_val *calls = NULL, *call, *other = NULL;
    enum status st = reshape_get(r, message, "tool_calls", RESHAPE_ARRAY, &calls);
    size_t i, n;

    if (st == ST_OK)
        st = reshape_get(r, message, "function_call", RESHAPE_OBJECT, &other);
    if (st == ST_OK && other != NULL)
        st = reshape_refuse(r, "function_call", FUNCTIONS);
    if (st == ST_OK)
        st = reshape_get(r, message, "audio", RESHAPE_OBJECT, &other);
    if (st == ST_OK && other != NULL)
        st = reshape_unsupported(r, "audio");
    if (st == ST_OK)
        st = add_assistant_text(r, message, input);
    if (st != ST_OK)
        return st;
    yyjson_arr_foreach(calls, i, n, call)
    {
        size_t mark = reshape_enter(r, "tool_calls[%zu]", i);

        st = add_call(r, call, input);
        if (st != ST_OK)
            return st;
        reshape_leave(r, mark);
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
    yyjson_mut_val *to = reshape_object(r);
    yyjson_val *id = NULL;
    enum status st = reshape_need(r, message, "tool_call_id", RESHAPE_STRING, &id);
    struct slice key = facts_text(id);
    bool custom;

    if (st != ST_OK)
        return st;
    custom = q->n_custom > 0 && bsearch(&key, q->custom_calls, q->n_custom, sizeof(key), by_text) != NULL;
    reshape_add(r, to, "type", reshape_string(r, custom ? "custom_tool_call_output" : "function_call_output"));
    reshape_add(r, to, "call_id", reshape_text(r, id));
    st = add_input(r, message, to, "output");
    reshape_append(r, input, to);
    return st;
}

static enum status add_message(struct bridge_making *q, yyjson_val *message, yyjson_mut_val *input)
{
    struct reshape *r = &q->r;
    yyjson_mut_val *to;
    yyjson_val *role = NULL, *name = NULL;
    enum status st = reshape_check(r, NULL, message, RESHAPE_OBJECT);

    if (st == ST_OK)
        st = reshape_need(r, message, "role", RESHAPE_STRING, &role);
    if (st == ST_OK)
        st = reshape_get(r, message, "name", RESHAPE_STRING, &name);
    if (st == ST_OK && name != NULL && !yyjson_equals_str(role, "tool")) /* a result's function is known by its call */
        st = reshape_unsupported(r, "name");
    if (st != ST_OK)
        return st;
    if (yyjson_equals_str(role, "assistant"))
        return add_assistant(q, message, input);
    if (yyjson_equals_str(role, "tool"))
        return add_output(q, message, input);
    if (yyjson_equals_str(role, "function"))
        return reshape_refuse(r, "role", FUNCTIONS);
    if (!yyjson_equals_str(role, "user") && !yyjson_equals_str(role, "system") && !yyjson_equals_str(role, "developer"))
        return reshape_invalid(r, "role", "developer, system, user, assistant or tool");
    to = reshape_object(r);
    reshape_add(r, to, "role", reshape_text(r, role));
    st = add_input(r, message, to, "content");
    reshape_append(r, input, to);
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
                return err_set(q->r.err, ST_NO_MEMORY, "%s", status_text(ST_NO_MEMORY));
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
    yyjson_mut_val *input = reshape_array(&q->r);
    yyjson_val *message;
    enum status st = ST_OK;
    size_t i, n;

    if (yyjson_arr_size(messages) == 0)
        return reshape_invalid(&q->r, "messages", "at least one message");
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
        size_t mark = reshape_enter(&q->r, "messages[%zu]", i);

        st = add_message(q, message, input);
        if (st != ST_OK)
            return st;
        reshape_leave(&q->r, mark);
    }
    reshape_add(&q->r, q->r.root, "input", input);
    return ST_OK;
}
