/* Responses to chat completions: input items become messages (contract, section 1.9). */
#include <string.h>

#include "providersvc/dialects/responses_to_chat.h"

#define NO_STORE "the router keeps no answers for it"

/* ---- content parts --------------------------------------------------------------------------------------------------
 */

static enum status add_image(struct reshape *r, yyjson_val *part, yyjson_mut_val *to)
{
    yyjson_mut_val *image = reshape_object(r);
    yyjson_val *url = NULL, *file = NULL;
    enum status st = reshape_get(r, part, "file_id", RESHAPE_STRING, &file);

    if (st == ST_OK && file != NULL)
        return reshape_refuse(r, "file_id", "an image must be in the request or have a URL");
    if (st == ST_OK)
        st = reshape_need(r, part, "image_url", RESHAPE_STRING, &url);
    if (st != ST_OK)
        return st;
    reshape_add(r, image, "url", reshape_text(r, url));
    st = reshape_move(r, part, "detail", RESHAPE_STRING, image, "detail");
    reshape_add(r, to, "type", reshape_string(r, "image_url"));
    reshape_add(r, to, "image_url", image);
    return st;
}

static enum status add_file(struct reshape *r, yyjson_val *part, yyjson_mut_val *to)
{
    static const char *const members[] = {"file_id", "filename", "file_data"};
    yyjson_mut_val *file = reshape_object(r);
    yyjson_val *url = NULL;
    enum status st = reshape_get(r, part, "file_url", RESHAPE_STRING, &url);

    if (st == ST_OK && url != NULL)
        return reshape_refuse(r, "file_url", "a file must be in the request");
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]) && st == ST_OK; i++)
        st = reshape_move(r, part, members[i], RESHAPE_STRING, file, members[i]);
    if (st == ST_OK && yyjson_obj_get(part, "file_id") == NULL && yyjson_obj_get(part, "file_data") == NULL)
        return reshape_missing(r, "file_data");
    reshape_add(r, to, "type", reshape_string(r, "file"));
    reshape_add(r, to, "file", file);
    return st;
}

static enum status add_text(struct reshape *r, yyjson_val *part, yyjson_mut_val *to)
{
    yyjson_val *text = NULL;
    enum status st = reshape_need(r, part, "text", RESHAPE_STRING, &text);

    if (st != ST_OK)
        return st;
    reshape_add(r, to, "type", reshape_string(r, "text"));
    reshape_add(r, to, "text", reshape_text(r, text));
    return ST_OK;
}

static bool is_text(yyjson_val *type)
{
    return yyjson_equals_str(type, "input_text") || yyjson_equals_str(type, "output_text") ||
           yyjson_equals_str(type, "text");
}

/* One part. A refusal is the model's own and goes to *refusal. text_only: chat takes nothing else here. */
static enum status add_part(struct reshape *r, yyjson_val *part, bool text_only, yyjson_mut_val *list,
                            yyjson_val **refusal)
{
    yyjson_mut_val *to = reshape_object(r);
    yyjson_val *type = NULL;
    enum status st = reshape_check(r, NULL, part, RESHAPE_OBJECT);

    if (st == ST_OK)
        st = reshape_need(r, part, "type", RESHAPE_STRING, &type);
    if (st != ST_OK)
        return st;
    if (yyjson_equals_str(type, "refusal") && refusal != NULL)
        return reshape_need(r, part, "refusal", RESHAPE_STRING, refusal);
    if (is_text(type))
        st = add_text(r, part, to);
    else if (text_only)
        return reshape_unsupported_value(r, "type", type);
    else if (yyjson_equals_str(type, "input_image"))
        st = add_image(r, part, to);
    else if (yyjson_equals_str(type, "input_file"))
        st = add_file(r, part, to);
    else if (yyjson_equals_str(type, "input_audio")) {
        reshape_add(r, to, "type", reshape_text(r, type));
        st = reshape_move(r, part, "input_audio", RESHAPE_OBJECT, to, "input_audio");
    } else
        return reshape_invalid(r, "type", "input_text, input_image, input_file or input_audio");
    reshape_append(r, list, to);
    return st;
}

/* What takes text only, takes one text as a string: not every upstream knows parts there. */
static yyjson_mut_val *simplest(struct reshape *r, yyjson_mut_val *list)
{
    yyjson_mut_val *text = yyjson_mut_obj_get(yyjson_mut_arr_get_first(list), "text");

    if (yyjson_mut_arr_size(list) != 1)
        return list;
    return reshape_slice(r, (struct slice){yyjson_mut_get_str(text), yyjson_mut_get_len(text)});
}

/* Content of any kind as that of a message. refusal: NULL = there may be none. */
static enum status add_content(struct reshape *r, yyjson_val *content, const char *key, bool text_only,
                               yyjson_mut_val *message, yyjson_val **refusal)
{
    yyjson_mut_val *list;
    yyjson_val *part;
    size_t i, n;

    if (yyjson_is_str(content)) {
        reshape_add(r, message, "content", reshape_text(r, content));
        return ST_OK;
    }
    list = reshape_array(r);
    yyjson_arr_foreach(content, i, n, part)
    {
        size_t mark = reshape_enter(r, "%s[%zu]", key, i);
        enum status st = add_part(r, part, text_only, list, refusal);

        if (st != ST_OK)
            return st;
        reshape_leave(r, mark);
    }
    if (text_only && yyjson_mut_arr_size(list) == 0)
        reshape_add(r, message, "content",
                    refusal != NULL && *refusal != NULL ? yyjson_mut_null(r->to) : reshape_string(r, ""));
    else if (text_only)
        reshape_add(r, message, "content", simplest(r, list));
    else
        reshape_add(r, message, "content", list);
    return ST_OK;
}

/* ---- items ----------------------------------------------------------------------------------------------------------
 */

static enum status add_message(struct input_making *q, yyjson_val *item)
{
    struct reshape *r = &q->r;
    yyjson_mut_val *to;
    yyjson_val *role = NULL, *content = NULL, *refusal = NULL;
    enum status st = reshape_need(r, item, "role", RESHAPE_STRING, &role);
    bool model, user;

    if (st == ST_OK)
        st = reshape_need(r, item, "content", RESHAPE_STRING | RESHAPE_ARRAY, &content);
    if (st != ST_OK)
        return st;
    model = yyjson_equals_str(role, "assistant");
    user = yyjson_equals_str(role, "user");
    if (!model && !user && !yyjson_equals_str(role, "system") && !yyjson_equals_str(role, "developer"))
        return reshape_invalid(r, "role", "developer, system, user or assistant");
    to = reshape_object(r);
    /* Few upstreams know the role developer; those that do take system for it. */
    reshape_add(r, to, "role", model || user ? reshape_text(r, role) : reshape_string(r, "system"));
    st = add_content(r, content, "content", !user, to, model ? &refusal : NULL);
    if (refusal != NULL)
        reshape_add(r, to, "refusal", reshape_text(r, refusal));
    reshape_append(r, q->messages, to);
    q->assistant = model ? to : NULL;
    q->calls = NULL;
    return st;
}

/* Calls that follow each other, or what the model said before them, are one message. */
static enum status add_call(struct input_making *q, yyjson_val *item, bool custom)
{
    struct reshape *r = &q->r;
    yyjson_mut_val *to, *body;
    yyjson_val *id = NULL, *name = NULL, *arguments = NULL;
    enum status st = reshape_need(r, item, "call_id", RESHAPE_STRING, &id);

    if (st == ST_OK)
        st = reshape_need(r, item, "name", RESHAPE_STRING, &name);
    if (st == ST_OK)
        st = reshape_need(r, item, custom ? "input" : "arguments", RESHAPE_STRING, &arguments);
    if (st != ST_OK)
        return st;
    if (q->assistant == NULL) {
        q->assistant = reshape_object(r);
        reshape_add(r, q->assistant, "role", reshape_string(r, "assistant"));
        reshape_add(r, q->assistant, "content", yyjson_mut_null(r->to));
        reshape_append(r, q->messages, q->assistant);
    }
    if (q->calls == NULL) {
        q->calls = reshape_array(r);
        reshape_add(r, q->assistant, "tool_calls", q->calls);
    }
    body = reshape_object(r);
    reshape_add(r, body, "name", reshape_text(r, name));
    reshape_add(r, body, custom ? "input" : "arguments", reshape_text(r, arguments));
    to = reshape_object(r);
    reshape_add(r, to, "id", reshape_text(r, id));
    reshape_add(r, to, "type", reshape_string(r, custom ? "custom" : "function"));
    reshape_add(r, to, custom ? "custom" : "function", body);
    reshape_append(r, q->calls, to);
    return ST_OK;
}

static enum status add_output(struct input_making *q, yyjson_val *item)
{
    struct reshape *r = &q->r;
    yyjson_mut_val *to = reshape_object(r);
    yyjson_val *id = NULL, *output = NULL;
    enum status st = reshape_need(r, item, "call_id", RESHAPE_STRING, &id);

    if (st == ST_OK)
        st = reshape_need(r, item, "output", RESHAPE_STRING | RESHAPE_ARRAY, &output);
    if (st != ST_OK)
        return st;
    reshape_add(r, to, "role", reshape_string(r, "tool"));
    reshape_add(r, to, "tool_call_id", reshape_text(r, id));
    st = add_content(r, output, "output", true, to, NULL);
    reshape_append(r, q->messages, to);
    q->assistant = NULL;
    q->calls = NULL;
    return st;
}

static enum status add_item(struct input_making *q, yyjson_val *item)
{
    yyjson_val *type = NULL;
    enum status st = reshape_check(&q->r, NULL, item, RESHAPE_OBJECT);

    if (st == ST_OK)
        st = reshape_get(&q->r, item, "type", RESHAPE_STRING, &type);
    if (st != ST_OK)
        return st;
    if (type == NULL || yyjson_equals_str(type, "message"))
        return add_message(q, item);
    if (yyjson_equals_str(type, "function_call"))
        return add_call(q, item, false);
    if (yyjson_equals_str(type, "custom_tool_call"))
        return add_call(q, item, true);
    if (yyjson_equals_str(type, "function_call_output") || yyjson_equals_str(type, "custom_tool_call_output"))
        return add_output(q, item);
    if (yyjson_equals_str(type, "reasoning")) /* sealed for who wrote it: of no use to another model */
        return ST_OK;
    if (yyjson_equals_str(type, "item_reference"))
        return reshape_refuse(&q->r, NULL, NO_STORE);
    return reshape_unsupported_value(&q->r, "type", type); /* of hosted tools */
}

enum status input_messages(struct input_making *q)
{
    struct reshape *r = &q->r;
    yyjson_mut_val *message;
    yyjson_val *item;
    size_t i, n;

    if (q->instructions != NULL) {
        message = reshape_object(r);
        reshape_add(r, message, "role", reshape_string(r, "system"));
        reshape_add(r, message, "content", reshape_text(r, q->instructions));
        reshape_append(r, q->messages, message);
    }
    if (q->input == NULL)
        return reshape_missing(r, "input");
    if (yyjson_is_str(q->input)) {
        message = reshape_object(r);
        reshape_add(r, message, "role", reshape_string(r, "user"));
        reshape_add(r, message, "content", reshape_text(r, q->input));
        reshape_append(r, q->messages, message);
        return ST_OK;
    }
    yyjson_arr_foreach(q->input, i, n, item)
    {
        size_t mark = reshape_enter(r, "input[%zu]", i);
        enum status st = add_item(q, item);

        if (st != ST_OK)
            return st;
        reshape_leave(r, mark);
    }
    return yyjson_mut_arr_size(q->messages) > 0 ? ST_OK : reshape_invalid(r, "input", "at least one item");
}
