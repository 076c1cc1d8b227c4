/* Responses to chat completions: input items become messages (contract, section 1.9). */
#include <stdlib.h>
#include <string.h>

#include "providersvc/dialects/responses_to_chat.h"
#include "providersvc/dialects/result_label.h"

#define PICTURE_LABEL "[The picture that you made:]"
/* What clients do that believe their answers are kept: the AI SDK of Vercel does unless it is told otherwise. */
#define NO_ITEM                                                                                                        \
    "the router keeps no answers for it, so that the item itself has to be sent (clients do with 'store' set to "      \
    "false)"

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

/* What a user or a tool shows. */
static enum status add_part(struct reshape *r, yyjson_val *part, yyjson_mut_val *list)
{
    yyjson_mut_val *to = making_object(&r->to);
    yyjson_val *type = NULL;
    enum status st = check_is(&r->from, NULL, part, IS_OBJECT);

    if (st == ST_OK)
        st = check_need(&r->from, part, "type", IS_STRING, &type);
    if (st != ST_OK)
        return st;
    if (is_text(type))
        st = add_text(r, part, to);
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

static enum status add_content(struct reshape *r, yyjson_val *content, yyjson_mut_val *message)
{
    yyjson_mut_val *list;
    yyjson_val *part;
    size_t i, n;

    if (yyjson_is_str(content)) {
        making_put_value(&r->to, message, "content", content);
        return ST_OK;
    }
    list = making_put_array(&r->to, message, "content");
    yyjson_arr_foreach(content, i, n, part)
    {
        enum status st;

        check_enter_item(&r->from, "content", i);
        st = add_part(r, part, list);
        if (st != ST_OK)
            return st;
        check_leave(&r->from);
    }
    return ST_OK;
}

/* ---- text alone -----------------------------------------------------------------------------------------------------
 */

static enum status add_paragraph(struct reshape *r, struct buf *to, struct slice text)
{
    enum status st = to->n > 0 && text.n > 0 ? buf_addc(to, "\n\n") : ST_OK;

    if (st == ST_OK)
        st = buf_add(to, text.p, text.n);
    return st == ST_OK ? ST_OK : translate_no_memory(r->from.err); /* it is bounded by the body */
}

/* A refusal is the model's own and goes to *refusal. */
static enum status join_part(struct reshape *r, yyjson_val *part, struct buf *to, yyjson_val **refusal)
{
    yyjson_val *type = NULL, *text = NULL;
    enum status st = check_is(&r->from, NULL, part, IS_OBJECT);

    if (st == ST_OK)
        st = check_need(&r->from, part, "type", IS_STRING, &type);
    if (st != ST_OK)
        return st;
    if (yyjson_equals_str(type, "refusal") && refusal != NULL)
        return check_need(&r->from, part, "refusal", IS_STRING, refusal);
    if (!is_text(type)) /* chat takes nothing else here */
        return check_unsupported_value(&r->from, "type", type);
    st = check_need(&r->from, part, "text", IS_STRING, &text);
    return st == ST_OK ? add_paragraph(r, to, facts_text(text)) : st;
}

/* Content where chat takes text only, and not every upstream knows parts: one text. refusal: NULL = there may be none.
 */
static enum status join_content(struct reshape *r, yyjson_val *content, struct buf *to, yyjson_val **refusal)
{
    yyjson_val *part;
    enum status st;
    size_t i, n;

    if (yyjson_is_str(content))
        return add_paragraph(r, to, facts_text(content));
    yyjson_arr_foreach(content, i, n, part)
    {
        check_enter_item(&r->from, "content", i);
        st = join_part(r, part, to, refusal);
        if (st != ST_OK)
            return st;
        check_leave(&r->from);
    }
    return ST_OK;
}

/* ---- reasoning ------------------------------------------------------------------------------------------------------
 */

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
            st = add_paragraph(&q->r, &q->pending, facts_text(yyjson_obj_get(part, "text")));
    }
    return st;
}

/* The model's message where we are gets what was thought before this piece of it. */
static enum status join_reasoning(struct input_making *q)
{
    enum status st = add_paragraph(&q->r, &q->thought, (struct slice){q->pending.p, q->pending.n});

    q->pending.n = 0;
    return st;
}

/* ---- which results are still to come --------------------------------------------------------------------------------
 */

static int by_call(const void *x, const void *y)
{
    const struct input_result *a = x, *b = y;
    size_t n = a->call.n < b->call.n ? a->call.n : b->call.n;
    int c = n > 0 ? memcmp(a->call.p, b->call.p, n) : 0;

    if (c == 0)
        c = (a->call.n > b->call.n) - (a->call.n < b->call.n);
    return c != 0 ? c : (a->at > b->at) - (a->at < b->at);
}

static bool is_output(yyjson_val *type)
{
    return yyjson_equals_str(type, "function_call_output") || yyjson_equals_str(type, "custom_tool_call_output");
}

static enum status note_results(struct input_making *q)
{
    enum status st = ST_OK;
    yyjson_val *item;
    size_t i, n;

    yyjson_arr_foreach(q->input, i, n, item)
    {
        struct input_result result = {facts_text(yyjson_obj_get(item, "call_id")), i};

        if (st == ST_OK && is_output(yyjson_obj_get(item, "type")))
            st = buf_add(&q->results, &result, sizeof(result));
    }
    if (q->results.n > 0)
        qsort(q->results.p, q->results.n / sizeof(struct input_result), sizeof(struct input_result), by_call);
    return st == ST_OK ? ST_OK : translate_no_memory(q->r.from.err);
}

/* The first one behind where we are, if there is one. Ids may be used again later. */
static void await_result(struct input_making *q, struct slice call)
{
    const struct input_result *all = (const void *)q->results.p, here = {call, q->at};
    size_t n = q->results.n / sizeof(here), low = 0, high = n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (by_call(&all[middle], &here) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < n && slice_eq(all[low].call, call) && all[low].at > q->until)
        q->until = all[low].at;
}

static bool waiting(const struct input_making *q)
{
    return q->at < q->until;
}

/* ---- messages -------------------------------------------------------------------------------------------------------
 */

static yyjson_mut_val *push_to(struct input_making *q, yyjson_mut_val *list, const char *role)
{
    yyjson_mut_val *message = making_push_object(&q->r.to, list);

    making_put_word(&q->r.to, message, "role", role);
    return message;
}

/* One message of all that was told; none where it is empty. Few upstreams know the role developer; those that do take
 * system for it. */
static void push_system(struct input_making *q, yyjson_mut_val *list)
{
    if (q->system.n > 0)
        making_put_copy(&q->r.to, push_to(q, list, "system"), "content", (struct slice){q->system.p, q->system.n});
    q->system.n = 0;
}

/* The next message of the model or of a tool. */
static yyjson_mut_val *push_message(struct input_making *q, const char *role)
{
    push_system(q, q->messages); /* what came before all others */
    return push_to(q, q->messages, role);
}

/* Of somebody else. */
static yyjson_mut_val *push_user(struct input_making *q)
{
    return waiting(q) ? push_to(q, q->held, "user") : push_message(q, "user");
}

/* Nothing comes to the model's message any more. One with calls must say what was thought even where nobody knows it:
 * an empty text is taken, for conversations that began at another model. */
static void end_assistant(struct input_making *q)
{
    struct making *to = &q->r.to;

    if (q->assistant == NULL)
        return;
    if (q->said.n > 0)
        making_put_copy(to, q->assistant, "content", (struct slice){q->said.p, q->said.n});
    else
        making_put(to, q->assistant, "content",
                   q->calls != NULL || q->refusal != NULL || q->pictures != NULL ? making_null(to)
                                                                                 : making_word(to, ""));
    if (q->refusal != NULL)
        making_put_value(to, q->assistant, "refusal", q->refusal);
    if (q->pictures != NULL)
        making_put(to, q->assistant, "images", q->pictures);
    if (q->reasons && (q->thought.n > 0 || q->calls != NULL))
        making_put_copy(to, q->assistant, "reasoning_content", (struct slice){q->thought.p, q->thought.n});
    q->said.n = 0;
    q->thought.n = 0;
    q->refusal = NULL;
    q->assistant = NULL;
    q->calls = NULL;
    q->pictures = NULL;
}

static void begin_assistant(struct input_making *q)
{
    end_assistant(q);
    q->assistant = push_message(q, "assistant");
}

/* ---- items ----------------------------------------------------------------------------------------------------------
 */

static enum status add_said(struct input_making *q, yyjson_val *content)
{
    enum status st;

    if (!waiting(q))
        begin_assistant(q);
    st = join_content(&q->r, content, &q->said, &q->refusal);
    return st == ST_OK ? join_reasoning(q) : st;
}

/* The templates of many models take one system message, at the beginning: what comes before everything else is one. */
static enum status add_told(struct input_making *q, yyjson_val *content)
{
    bool first = yyjson_mut_arr_size(q->messages) == 0;
    enum status st = join_content(&q->r, content, &q->system, NULL);

    if (!first)
        push_system(q, waiting(q) ? q->held : q->messages);
    return st;
}

static enum status add_message(struct input_making *q, yyjson_val *item)
{
    yyjson_val *role = NULL, *content = NULL;
    enum status st = check_need(&q->r.from, item, "role", IS_STRING, &role);

    if (st == ST_OK)
        st = check_need(&q->r.from, item, "content", IS_STRING | IS_ARRAY, &content);
    if (st != ST_OK)
        return st;
    if (yyjson_equals_str(role, "assistant"))
        return add_said(q, content);
    if (!waiting(q))
        end_assistant(q);
    q->pending.n = 0;
    if (yyjson_equals_str(role, "user"))
        return add_content(&q->r, content, push_user(q));
    if (yyjson_equals_str(role, "system") || yyjson_equals_str(role, "developer"))
        return add_told(q, content);
    return check_invalid(&q->r.from, "role", "developer, system, user or assistant");
}

/* A custom tool's input as the arguments of the function that it is upstream. */
static enum status put_input(struct reshape *r, yyjson_mut_val *function, struct slice input)
{
    struct buf text;
    struct put p = {&text, ST_OK};

    buf_init(&text, INPUT_ARGUMENTS_MAX);
    put_raw(&p, "{\"" INPUT_TEXT "\":");
    put_string(&p, input);
    put_raw(&p, "}");
    making_put_copy(&r->to, function, "arguments", (struct slice){text.p, text.n});
    buf_fini(&text);
    return p.st == ST_OK ? ST_OK : translate_no_memory(r->from.err); /* it is bounded by the body */
}

/* Calls that follow each other, or what the model said before them, are one message. */
static enum status add_call(struct input_making *q, yyjson_val *item, bool custom)
{
    struct reshape *r = &q->r;
    yyjson_mut_val *to, *body, *name = NULL;
    yyjson_val *id = NULL, *arguments = NULL;
    enum status st = check_need(&r->from, item, "call_id", IS_STRING, &id);

    if (st == ST_OK)
        st = input_spaced_name(q, item, custom, &name);
    if (st == ST_OK)
        st = check_need(&r->from, item, custom ? "input" : "arguments", IS_STRING, &arguments);
    if (st != ST_OK)
        return st;
    if (q->assistant == NULL)
        begin_assistant(q);
    if (q->calls == NULL)
        q->calls = making_put_array(&r->to, q->assistant, "tool_calls");
    body = making_object(&r->to);
    making_put(&r->to, body, "name", name);
    if (custom)
        st = put_input(r, body, facts_text(arguments));
    else
        making_put_value(&r->to, body, "arguments", arguments);
    to = making_object(&r->to);
    making_put_value(&r->to, to, "id", id);
    making_put_word(&r->to, to, "type", "function");
    making_put(&r->to, to, "function", body);
    making_push(&r->to, q->calls, to);
    await_result(q, facts_text(id));
    return st == ST_OK ? join_reasoning(q) : st;
}

/* Says what is seen behind it. */
static void label_seen(struct input_making *q, yyjson_mut_val *text)
{
    struct reshape *r = &q->r;
    yyjson_mut_val *label = making_object(&r->to);

    if (q->seen == NULL)
        q->seen = making_array(&r->to);
    making_put_word(&r->to, label, "type", "text");
    making_put(&r->to, label, "text", text);
    making_push(&r->to, q->seen, label);
}

/* "data:image/png;base64,…" of a picture that has no more than its base64. */
static enum status picture_url(struct reshape *r, yyjson_val *item, yyjson_mut_val **ret)
{
    yyjson_val *result = NULL;
    enum status st = check_need(&r->from, item, "result", IS_STRING, &result);
    struct slice base64 = facts_text(result);
    struct buf url;

    if (st != ST_OK)
        return st;
    if (!is_base64(base64))
        return check_invalid(&r->from, "result", "a picture in base64");
    buf_init(&url, INPUT_TEXT_MAX);
    st = buf_addf(&url, "data:%s;base64,", picture_type(base64));
    if (st == ST_OK)
        st = buf_add(&url, base64.p, base64.n);
    *ret = making_copy(&r->to, (struct slice){url.p, url.n});
    buf_fini(&url);
    return st == ST_OK ? ST_OK : translate_no_memory(r->from.err); /* it is bounded by the body */
}

/* A picture that the model made. Where it has no place in the model's own messages, a user's message behind shows it:
 * every model that sees pictures takes that. One that failed is none. */
static enum status add_picture(struct input_making *q, yyjson_val *item)
{
    struct reshape *r = &q->r;
    yyjson_mut_val *url = NULL, *part;
    enum status st;

    if (yyjson_equals_str(yyjson_obj_get(item, "status"), "failed"))
        return ST_OK;
    st = picture_url(r, item, &url);
    if (st != ST_OK)
        return st;
    if (r->from.call->own_pictures) {
        if (q->assistant == NULL)
            begin_assistant(q);
        if (q->pictures == NULL)
            q->pictures = making_array(&r->to);
        part = making_push_object(&r->to, q->pictures);
    } else {
        if (!waiting(q))
            end_assistant(q);
        label_seen(q, making_word(&r->to, PICTURE_LABEL));
        part = making_push_object(&r->to, q->seen);
    }
    making_put_word(&r->to, part, "type", "image_url");
    making_put(&r->to, making_put_object(&r->to, part, "image_url"), "url", url);
    return ST_OK;
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
            label_seen(q, result_label(&r->to, facts_text(id)));
            labelled = true;
        }
        st = add_part(r, part, text ? texts : q->seen);
        if (st != ST_OK)
            return st;
        check_leave(&r->from);
    }
    making_put(&r->to, to, "content", yyjson_mut_arr_size(texts) > 0 ? simplest(r, texts) : making_word(&r->to, ""));
    return ST_OK;
}

/* The results are together: what is seen in them may follow, then what was said meanwhile. */
static void end_results(struct input_making *q)
{
    yyjson_mut_val *message;

    if (q->seen != NULL)
        making_put(&q->r.to, push_message(q, "user"), "content", q->seen);
    q->seen = NULL;
    while ((message = yyjson_mut_arr_remove_first(q->held)) != NULL)
        making_push(&q->r.to, q->messages, message);
}

static enum status add_output(struct input_making *q, yyjson_val *item)
{
    struct reshape *r = &q->r;
    yyjson_mut_val *to;
    yyjson_val *id = NULL, *output = NULL;
    enum status st = check_need(&r->from, item, "call_id", IS_STRING, &id);

    if (st == ST_OK)
        st = check_need(&r->from, item, "output", IS_STRING | IS_ARRAY, &output);
    if (st != ST_OK)
        return st;
    if (!waiting(q))
        end_assistant(q);
    to = push_message(q, "tool");
    making_put_value(&r->to, to, "tool_call_id", id);
    if (!yyjson_is_str(output))
        return add_output_parts(q, output, id, to);
    making_put_value(&r->to, to, "content", output);
    return ST_OK;
}

/* Tools in place of, or beside, those of the request: Codex gives its own so. */
static enum status add_tools(struct input_making *q, yyjson_val *item)
{
    yyjson_val *list = NULL;
    enum status st = check_need(&q->r.from, item, "tools", IS_ARRAY, &list);

    return st == ST_OK ? input_add_tools(q, list, q->at) : st;
}

static enum status add_item(struct input_making *q, yyjson_val *item)
{
    yyjson_val *type = NULL;
    enum status st = check_is(&q->r.from, NULL, item, IS_OBJECT);

    if (st == ST_OK)
        st = check_get(&q->r.from, item, "type", IS_STRING, &type);
    if (st != ST_OK)
        return st;
    if (is_output(type))
        return add_output(q, item);
    if (yyjson_equals_str(type, "reasoning"))
        return add_reasoning(q, item);
    if (yyjson_equals_str(type, "additional_tools"))
        return add_tools(q, item);
    if (!waiting(q))
        end_results(q);
    if (type == NULL && yyjson_obj_get(item, "role") == NULL && yyjson_is_str(yyjson_obj_get(item, "id")))
        return check_refuse(&q->r.from, NULL, NO_ITEM); /* a reference need not say that it is one */
    if (type == NULL || yyjson_equals_str(type, "message"))
        return add_message(q, item);
    if (yyjson_equals_str(type, "function_call"))
        return add_call(q, item, false);
    if (yyjson_equals_str(type, "custom_tool_call"))
        return add_call(q, item, true);
    if (yyjson_equals_str(type, "image_generation_call"))
        return add_picture(q, item);
    if (yyjson_equals_str(type, "item_reference"))
        return check_refuse(&q->r.from, NULL, NO_ITEM);
    return check_unsupported_value(&q->r.from, "type", type); /* of hosted tools */
}

enum status input_messages(struct input_making *q)
{
    struct reshape *r = &q->r;
    enum status st = add_paragraph(r, &q->system, facts_text(q->instructions));
    yyjson_val *item;
    size_t i, n;

    q->held = making_array(&r->to);
    if (st == ST_OK)
        st = note_results(q);
    if (st == ST_OK && q->input == NULL)
        st = check_missing(&r->from, "input");
    if (yyjson_is_str(q->input))
        making_put_value(&r->to, push_message(q, "user"), "content", q->input);
    yyjson_arr_foreach(q->input, i, n, item)
    {
        if (st != ST_OK)
            return st;
        check_enter_item(&r->from, "input", i);
        q->at = i;
        st = add_item(q, item);
        if (st == ST_OK)
            check_leave(&r->from);
    }
    if (st != ST_OK)
        return st;
    end_assistant(q);
    end_results(q);
    push_system(q, q->messages);
    return yyjson_mut_arr_size(q->messages) > 0 ? ST_OK : check_invalid(&r->from, "input", "at least one item");
}
