/* Responses to chat completions: input items become messages (contract, section 1.9). */
#include <string.h>

#include "providersvc/dialects/responses_to_chat.h"
#include "providersvc/dialects/result_label.h"

#define NO_STORE "the router keeps no answers for it"

/* ---- content parts --------------------------------------------------------------------------------------------------
 */

static enum status add_image(struct reshape *r, yyjson_val *part, yyjson_mut_val *to)
{
    yyjson_mut_val *image = making_object(&r->to);
    yyjson_val *url = NULL, *file = NULL;
    enum status st = check_get(&r->from, part, "file_id", IS_STRING, &file);

    if (st == ST_OK && file != NULL)
        return check_refuse(&r->from, "file_id", "an image must be in the request or have a URL");
    if (st == ST_OK)
        st = check_need(&r->from, part, "image_url", IS_STRING, &url);
    if (st != ST_OK)
        return st;
    making_put_value(&r->to, image, "url", url);
    st = reshape_move(r, part, "detail", IS_STRING, image, "detail");
    making_put_word(&r->to, to, "type", "image_url");
    making_put(&r->to, to, "image_url", image);
    return st;
}

static enum status add_file(struct reshape *r, yyjson_val *part, yyjson_mut_val *to)
{
    static const char *const members[] = {"file_id", "filename", "file_data"};
    yyjson_mut_val *file = making_object(&r->to);
    yyjson_val *url = NULL;
    enum status st = check_get(&r->from, part, "file_url", IS_STRING, &url);

    if (st == ST_OK && url != NULL)
        return check_refuse(&r->from, "file_url", "a file must be in the request");
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]) && st == ST_OK; i++)
        st = reshape_move(r, part, members[i], IS_STRING, file, members[i]);
    if (st == ST_OK && yyjson_obj_get(part, "file_id") == NULL && yyjson_obj_get(part, "file_data") == NULL)
        return check_missing(&r->from, "file_data");
    making_put_word(&r->to, to, "type", "file");
    making_put(&r->to, to, "file", file);
    return st;
}

static enum status add_text(struct reshape *r, yyjson_val *part, yyjson_mut_val *to)
{
    yyjson_val *text = NULL;
    enum status st = check_need(&r->from, part, "text", IS_STRING, &text);

    if (st != ST_OK)
        return st;
    making_put_word(&r->to, to, "type", "text");
    making_put_value(&r->to, to, "text", text);
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
    yyjson_mut_val *to = making_object(&r->to);
    yyjson_val *type = NULL;
    enum status st = check_is(&r->from, NULL, part, IS_OBJECT);

    if (st == ST_OK)
        st = check_need(&r->from, part, "type", IS_STRING, &type);
    if (st != ST_OK)
        return st;
    if (yyjson_equals_str(type, "refusal") && refusal != NULL)
        return check_need(&r->from, part, "refusal", IS_STRING, refusal);
    if (is_text(type))
        st = add_text(r, part, to);
    else if (text_only)
        return check_unsupported_value(&r->from, "type", type);
    else if (yyjson_equals_str(type, "input_image"))
        st = add_image(r, part, to);
    else if (yyjson_equals_str(type, "input_file"))
        st = add_file(r, part, to);
    else if (yyjson_equals_str(type, "input_audio")) {
        making_put_value(&r->to, to, "type", type);
        st = reshape_move(r, part, "input_audio", IS_OBJECT, to, "input_audio");
    } else
        return check_invalid(&r->from, "type", "input_text, input_image, input_file or input_audio");
    making_push(&r->to, list, to);
    return st;
}

/* What takes text only, takes one text as a string: not every upstream knows parts there. */
static yyjson_mut_val *simplest(struct reshape *r, yyjson_mut_val *list)
{
    yyjson_mut_val *text = yyjson_mut_obj_get(yyjson_mut_arr_get_first(list), "text");

    if (yyjson_mut_arr_size(list) != 1)
        return list;
    return making_text(&r->to, (struct slice){yyjson_mut_get_str(text), yyjson_mut_get_len(text)});
}

/* Content of any kind as that of a message. refusal: NULL = there may be none. */
static enum status add_content(struct reshape *r, yyjson_val *content, bool text_only, yyjson_mut_val *message,
                               yyjson_val **refusal)
{
    yyjson_mut_val *list;
    yyjson_val *part;
    size_t i, n;

    if (yyjson_is_str(content)) {
        making_put_value(&r->to, message, "content", content);
        return ST_OK;
    }
    list = making_array(&r->to);
    yyjson_arr_foreach(content, i, n, part)
    {
        enum status st;

        check_enter_item(&r->from, "content", i);
        st = add_part(r, part, text_only, list, refusal);
        if (st != ST_OK)
            return st;
        check_leave(&r->from);
    }
    if (text_only && yyjson_mut_arr_size(list) == 0)
        making_put(&r->to, message, "content",
                   refusal != NULL && *refusal != NULL ? making_null(&r->to) : making_word(&r->to, ""));
    else if (text_only)
        making_put(&r->to, message, "content", simplest(r, list));
    else
        making_put(&r->to, message, "content", list);
    return ST_OK;
}

/* ---- reasoning ------------------------------------------------------------------------------------------------------
 */

static enum status add_thought(struct buf *to, struct slice text)
{
    enum status st = to->n > 0 && text.n > 0 ? buf_addc(to, "\n\n") : ST_OK;

    return st == ST_OK ? buf_add(to, text.p, text.n) : st;
}

/* The item's own text: as we gave it, a summary; others say it whole in content. What is sealed belongs to who sealed
 * it, and its summary is not what was thought. */
static enum status add_reasoning(struct input_making *q, yyjson_val *item)
{
    yyjson_val *list = yyjson_obj_get(item, "content"), *part;
    enum status st = ST_OK;
    size_t i, n;

    if (!q->reasons || facts_text(yyjson_obj_get(item, "encrypted_content")).n > 0)
        return ST_OK;
    if (yyjson_arr_size(list) == 0)
        list = yyjson_obj_get(item, "summary");
    yyjson_arr_foreach(list, i, n, part)
    {
        if (st == ST_OK)
            st = add_thought(&q->pending, facts_text(yyjson_obj_get(part, "text")));
    }
    return st;
}

/* The model's message where we are gets what was thought before this piece of it. */
static enum status join_reasoning(struct input_making *q)
{
    enum status st = add_thought(&q->thought, (struct slice){q->pending.p, q->pending.n});

    q->pending.n = 0;
    return st;
}

/* Nothing comes to the model's message any more. One with calls must say what was thought even where nobody knows it:
 * an empty text is taken, for conversations that began at another model. */
static void end_assistant(struct input_making *q)
{
    if (q->reasons && (q->thought.n > 0 || q->calls != NULL))
        making_put_copy(&q->r.to, q->assistant, "reasoning_content", (struct slice){q->thought.p, q->thought.n});
    q->thought.n = 0;
    q->assistant = NULL;
    q->calls = NULL;
}

/* ---- items ----------------------------------------------------------------------------------------------------------
 */

static enum status add_message(struct input_making *q, yyjson_val *item)
{
    struct reshape *r = &q->r;
    yyjson_mut_val *to;
    yyjson_val *role = NULL, *content = NULL, *refusal = NULL;
    enum status st = check_need(&r->from, item, "role", IS_STRING, &role);
    bool model, user;

    if (st == ST_OK)
        st = check_need(&r->from, item, "content", IS_STRING | IS_ARRAY, &content);
    if (st != ST_OK)
        return st;
    model = yyjson_equals_str(role, "assistant");
    user = yyjson_equals_str(role, "user");
    if (!model && !user && !yyjson_equals_str(role, "system") && !yyjson_equals_str(role, "developer"))
        return check_invalid(&r->from, "role", "developer, system, user or assistant");
    to = making_object(&r->to);
    /* Few upstreams know the role developer; those that do take system for it. */
    making_put(&r->to, to, "role", model || user ? making_value(&r->to, role) : making_word(&r->to, "system"));
    st = add_content(r, content, !user, to, model ? &refusal : NULL);
    if (refusal != NULL)
        making_put_value(&r->to, to, "refusal", refusal);
    making_push(&r->to, q->messages, to);
    end_assistant(q);
    if (!model) {
        q->pending.n = 0;
        return st;
    }
    q->assistant = to;
    return st == ST_OK ? join_reasoning(q) : st;
}

/* Calls that follow each other, or what the model said before them, are one message. */
static enum status add_call(struct input_making *q, yyjson_val *item, bool custom)
{
    struct reshape *r = &q->r;
    yyjson_mut_val *to, *body, *name = NULL;
    yyjson_val *id = NULL, *arguments = NULL;
    enum status st = check_need(&r->from, item, "call_id", IS_STRING, &id);

    if (st == ST_OK)
        st = input_spaced_name(r, item, &name);
    if (st == ST_OK)
        st = check_need(&r->from, item, custom ? "input" : "arguments", IS_STRING, &arguments);
    if (st != ST_OK)
        return st;
    if (q->assistant == NULL) {
        q->assistant = making_object(&r->to);
        making_put_word(&r->to, q->assistant, "role", "assistant");
        making_put(&r->to, q->assistant, "content", making_null(&r->to));
        making_push(&r->to, q->messages, q->assistant);
    }
    if (q->calls == NULL) {
        q->calls = making_array(&r->to);
        making_put(&r->to, q->assistant, "tool_calls", q->calls);
    }
    body = making_object(&r->to);
    making_put(&r->to, body, "name", name);
    making_put_value(&r->to, body, custom ? "input" : "arguments", arguments);
    to = making_object(&r->to);
    making_put_value(&r->to, to, "id", id);
    making_put_word(&r->to, to, "type", custom ? "custom" : "function");
    making_put(&r->to, to, custom ? "custom" : "function", body);
    making_push(&r->to, q->calls, to);
    return join_reasoning(q);
}

static void label_seen(struct input_making *q, yyjson_val *call_id)
{
    struct reshape *r = &q->r;
    yyjson_mut_val *label = making_object(&r->to);

    if (q->seen == NULL)
        q->seen = making_array(&r->to);
    making_put_word(&r->to, label, "type", "text");
    making_put(&r->to, label, "text", result_label(&r->to, facts_text(call_id)));
    making_push(&r->to, q->seen, label);
}

/* What a tool gave beside text is seen behind the results: Codex's view_image, a tool of openai-agents. */
static enum status add_output_parts(struct input_making *q, yyjson_val *output, yyjson_val *id, yyjson_mut_val *to)
{
    struct reshape *r = &q->r;
    yyjson_mut_val *texts = making_array(&r->to);
    bool labelled = false;
    yyjson_val *part;
    enum status st;
    size_t i, n;

    yyjson_arr_foreach(output, i, n, part)
    {
        bool text = is_text(yyjson_obj_get(part, "type"));

        check_enter_item(&r->from, "output", i);
        if (!text && !labelled) {
            label_seen(q, id);
            labelled = true;
        }
        st = add_part(r, part, false, text ? texts : q->seen, NULL);
        if (st != ST_OK)
            return st;
        check_leave(&r->from);
    }
    making_put(&r->to, to, "content", yyjson_mut_arr_size(texts) > 0 ? simplest(r, texts) : making_word(&r->to, ""));
    return ST_OK;
}

/* The results are together: what is seen in them may follow. */
static void show_seen(struct input_making *q)
{
    yyjson_mut_val *message;

    if (q->seen == NULL)
        return;
    message = making_object(&q->r.to);
    making_put_word(&q->r.to, message, "role", "user");
    making_put(&q->r.to, message, "content", q->seen);
    making_push(&q->r.to, q->messages, message);
    q->seen = NULL;
}

static enum status add_output(struct input_making *q, yyjson_val *item)
{
    struct reshape *r = &q->r;
    yyjson_mut_val *to = making_object(&r->to);
    yyjson_val *id = NULL, *output = NULL;
    enum status st = check_need(&r->from, item, "call_id", IS_STRING, &id);

    if (st == ST_OK)
        st = check_need(&r->from, item, "output", IS_STRING | IS_ARRAY, &output);
    if (st != ST_OK)
        return st;
    making_put_word(&r->to, to, "role", "tool");
    making_put_value(&r->to, to, "tool_call_id", id);
    if (yyjson_is_str(output))
        making_put_value(&r->to, to, "content", output);
    else
        st = add_output_parts(q, output, id, to);
    making_push(&r->to, q->messages, to);
    end_assistant(q);
    return st;
}

static enum status add_item(struct input_making *q, yyjson_val *item)
{
    yyjson_val *type = NULL;
    enum status st = check_is(&q->r.from, NULL, item, IS_OBJECT);

    if (st == ST_OK)
        st = check_get(&q->r.from, item, "type", IS_STRING, &type);
    if (st != ST_OK)
        return st;
    if (yyjson_equals_str(type, "function_call_output") || yyjson_equals_str(type, "custom_tool_call_output"))
        return add_output(q, item);
    if (yyjson_equals_str(type, "reasoning"))
        return add_reasoning(q, item);
    show_seen(q);
    if (type == NULL || yyjson_equals_str(type, "message"))
        return add_message(q, item);
    if (yyjson_equals_str(type, "function_call"))
        return add_call(q, item, false);
    if (yyjson_equals_str(type, "custom_tool_call"))
        return add_call(q, item, true);
    if (yyjson_equals_str(type, "item_reference"))
        return check_refuse(&q->r.from, NULL, NO_STORE);
    return check_unsupported_value(&q->r.from, "type", type); /* of hosted tools */
}

enum status input_messages(struct input_making *q)
{
    struct reshape *r = &q->r;
    yyjson_mut_val *message;
    yyjson_val *item;
    size_t i, n;

    if (q->instructions != NULL) {
        message = making_object(&r->to);
        making_put_word(&r->to, message, "role", "system");
        making_put_value(&r->to, message, "content", q->instructions);
        making_push(&r->to, q->messages, message);
    }
    if (q->input == NULL)
        return check_missing(&r->from, "input");
    if (yyjson_is_str(q->input)) {
        message = making_object(&r->to);
        making_put_word(&r->to, message, "role", "user");
        making_put_value(&r->to, message, "content", q->input);
        making_push(&r->to, q->messages, message);
        return ST_OK;
    }
    yyjson_arr_foreach(q->input, i, n, item)
    {
        enum status st;

        check_enter_item(&r->from, "input", i);
        st = add_item(q, item);
        if (st != ST_OK)
            return st;
        check_leave(&r->from);
    }
    end_assistant(q);
    show_seen(q);
    return yyjson_mut_arr_size(q->messages) > 0 ? ST_OK : check_invalid(&r->from, "input", "at least one item");
}
