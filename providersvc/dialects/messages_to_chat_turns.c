#include "providersvc/dialects/messages_to_chat.h"

#include <stdlib.h>
#include <string.h>

#include "providersvc/dialects/data_url.h"
#include "providersvc/dialects/result_label.h"

#define BETWEEN_TEXTS "\n\n"
#define FAILED "Error" /* what the result of a call says that failed without a word */
#define PDF "application/pdf"
#define PDF_NAME "document.pdf" /* of a document without a title: chat demands one */
/* Claude Code's first system block. It says who is billed, and its digest changes with every call: upstream's cache of
 * prompts would never hit. */
#define ATTRIBUTION "x-anthropic-billing-header:"

/* Where the pieces of a content go: all into parts; or texts into one text, the rest into parts. */
struct content {
    yyjson_mut_val *parts;
    struct buf *text; /* NULL = texts are parts */
    const char *between; /* of two texts */
    struct slice result; /* the parts are of the result of this call, which is to be said once */
};

static void append_part(struct m2c *t, yyjson_mut_val *parts, const char *type, const char *key, yyjson_mut_val *v)
{
    yyjson_mut_val *part = making_object(&t->r.to);

    making_put_word(&t->r.to, part, "type", type);
    making_put(&t->r.to, part, key, v);
    making_push(&t->r.to, parts, part);
}

static enum status add_text(struct m2c *t, struct content *to, struct slice text)
{
    enum status st = ST_OK;

    if (text.n == 0)
        return ST_OK;
    if (to->text == NULL) {
        append_part(t, to->parts, "text", "text", making_text(&t->r.to, text));
        return ST_OK;
    }
    if (to->text->n > 0)
        st = buf_addc(to->text, to->between);
    return st == ST_OK ? buf_add(to->text, text.p, text.n) : st;
}

/* An image or a file. */
static enum status add_part(struct m2c *t, struct content *to, const char *type, yyjson_mut_val *v)
{
    if (to->result.n > 0) {
        append_part(t, to->parts, "text", "text", result_label(&t->r.to, to->result));
        to->result.n = 0;
    }
    append_part(t, to->parts, type, type, v);
    return ST_OK;
}

/* Several texts as one that belongs together. Empty ones are passed over. */
static enum status add_texts(struct m2c *t, struct content *to, const struct slice *texts, size_t n)
{
    enum status st = ST_OK;
    yyjson_mut_val *whole;
    struct buf b;

    buf_init(&b, M2C_TEXT_MAX);
    for (size_t i = 0; st == ST_OK && i < n; i++) {
        if (b.n > 0 && texts[i].n > 0)
            st = buf_addc(&b, BETWEEN_TEXTS);
        if (st == ST_OK)
            st = buf_add(&b, texts[i].p, texts[i].n);
    }
    whole = making_copy(&t->r.to, (struct slice){b.p, b.n});
    buf_fini(&b);
    if (st != ST_OK || whole == NULL)
        return st;
    return add_text(t, to, (struct slice){yyjson_mut_get_str(whole), yyjson_mut_get_len(whole)});
}

/* "data:TYPE;base64,DATA" in the memory of the document. */
static yyjson_mut_val *data_url(struct m2c *t, struct slice type, struct slice data)
{
    yyjson_mut_val *v = NULL;
    struct buf b;

    buf_init(&b, M2C_TEXT_MAX);
    if (buf_addc(&b, "data:") == ST_OK && buf_add(&b, type.p, type.n) == ST_OK && buf_addc(&b, ";base64,") == ST_OK &&
        buf_add(&b, data.p, data.n) == ST_OK)
        v = making_copy(&t->r.to, (struct slice){b.p, b.n});
    t->r.to.lost |= v == NULL;
    buf_fini(&b);
    return v;
}

/* The two members of a base64 source. */
static enum status base64_source(struct m2c *t, yyjson_val *source, struct slice *type, struct slice *data)
{
    yyjson_val *v = NULL;
    enum status st = check_need(&t->r.from, source, "media_type", IS_STRING, &v);

    *type = facts_text(v);
    if (st == ST_OK)
        st = check_need(&t->r.from, source, "data", IS_STRING, &v);
    if (st != ST_OK)
        return st;
    *data = facts_text(v);
    return is_base64(*data) ? ST_OK : check_invalid(&t->r.from, "data", "Input should be base64");
}

/* The block where we are, and its type. */
static enum status open_block(struct m2c *t, yyjson_val *block, yyjson_val **ret_type)
{
    enum status st = check_is(&t->r.from, NULL, block, IS_OBJECT);

    return st == ST_OK ? check_need(&t->r.from, block, "type", IS_STRING, ret_type) : st;
}

/* ---- images --------------------------------------------------------------------------------------------------------
 */

static bool is_image_type(struct slice type)
{
    return slice_is(type, "image/jpeg") || slice_is(type, "image/png") || slice_is(type, "image/gif") ||
           slice_is(type, "image/webp");
}

static enum status image_url(struct m2c *t, yyjson_val *source, yyjson_mut_val **ret)
{
    struct slice type = {NULL, 0}, data = {NULL, 0};
    enum status st = base64_source(t, source, &type, &data);

    if (st != ST_OK)
        return st;
    if (!is_image_type(type))
        return check_invalid(&t->r.from, "media_type",
                             "Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'");
    *ret = data_url(t, type, data);
    return ST_OK;
}

/* Upstream fetches it. http: is refused, as Anthropic does. */
static enum status https_url(struct m2c *t, yyjson_val *source, yyjson_mut_val **ret)
{
    static const char scheme[] = "https://";
    yyjson_val *v = NULL;
    enum status st = check_need(&t->r.from, source, "url", IS_STRING, &v);
    struct slice url = facts_text(v);

    if (st != ST_OK)
        return st;
    if (url.n < sizeof(scheme) || memcmp(url.p, scheme, sizeof(scheme) - 1) != 0)
        return check_invalid(&t->r.from, "url", "Only HTTPS URLs are supported");
    *ret = making_text(&t->r.to, url);
    return ST_OK;
}

static enum status add_image(struct m2c *t, yyjson_val *block, struct content *to)
{
    yyjson_val *source = NULL, *type = NULL;
    yyjson_mut_val *url = NULL, *image;
    enum status st = check_need(&t->r.from, block, "source", IS_OBJECT, &source);

    check_enter(&t->r.from, "source");
    if (st == ST_OK)
        st = check_need(&t->r.from, source, "type", IS_STRING, &type);
    if (st == ST_OK && yyjson_equals_str(type, "base64"))
        st = image_url(t, source, &url);
    else if (st == ST_OK && yyjson_equals_str(type, "url"))
        st = https_url(t, source, &url);
    else if (st == ST_OK)
        st = check_unsupported(&t->r.from, NULL);
    check_leave(&t->r.from);
    if (st != ST_OK || url == NULL)
        return st;
    image = making_object(&t->r.to);
    making_put(&t->r.to, image, "url", url);
    return add_part(t, to, "image_url", image);
}

/* ---- documents -----------------------------------------------------------------------------------------------------
 */

static enum status add_pdf(struct m2c *t, yyjson_val *source, struct slice title, struct content *to)
{
    struct slice type = {NULL, 0}, data = {NULL, 0};
    yyjson_mut_val *file;
    enum status st = base64_source(t, source, &type, &data);

    if (st != ST_OK)
        return st;
    if (!slice_is(type, PDF))
        return check_invalid(&t->r.from, "media_type", "Input should be '" PDF "'");
    file = making_object(&t->r.to);
    making_put_text(&t->r.to, file, "filename", title.n > 0 ? title : slice_of(PDF_NAME));
    making_put(&t->r.to, file, "file_data", data_url(t, type, data));
    return add_part(t, to, "file", file);
}

/* A string, or a list of text (and image) blocks. */
static enum status add_simple(struct m2c *t, yyjson_val *content, bool images, struct content *to)
{
    yyjson_val *block, *text = NULL, *type = NULL;
    enum status st = ST_OK;
    size_t i, n;

    if (yyjson_is_str(content))
        return add_text(t, to, facts_text(content));
    yyjson_arr_foreach(content, i, n, block)
    {
        check_enter_item(&t->r.from, "content", i);
        st = open_block(t, block, &type);
        if (st != ST_OK)
            return st;
        if (yyjson_equals_str(type, "text")) {
            st = check_need(&t->r.from, block, "text", IS_STRING, &text);
            if (st == ST_OK)
                st = add_text(t, to, facts_text(text));
        } else if (images && yyjson_equals_str(type, "image"))
            st = add_image(t, block, to);
        else
            st = check_invalid(&t->r.from, "type", "A block of this type cannot stand here");
        if (st != ST_OK)
            return st;
        check_leave(&t->r.from);
    }
    return ST_OK;
}

static enum status check_citations(struct m2c *t, yyjson_val *block)
{
    yyjson_val *citations = NULL, *enabled = NULL;
    enum status st = check_get(&t->r.from, block, "citations", IS_OBJECT, &citations);

    check_enter(&t->r.from, "citations");
    if (st == ST_OK)
        st = check_get(&t->r.from, citations, "enabled", IS_BOOL, &enabled);
    check_leave(&t->r.from);
    return st == ST_OK && yyjson_is_true(enabled) ? check_unsupported(&t->r.from, "citations") : st;
}

/* texts: title and context. */
static enum status add_source(struct m2c *t, yyjson_val *source, struct slice texts[3], struct content *to)
{
    yyjson_val *type = NULL, *v = NULL;
    enum status st = check_need(&t->r.from, source, "type", IS_STRING, &type);

    if (st != ST_OK)
        return st;
    if (yyjson_equals_str(type, "text")) {
        st = check_need(&t->r.from, source, "data", IS_STRING, &v);
        texts[2] = facts_text(v);
        return st == ST_OK ? add_texts(t, to, texts, 3) : st;
    }
    if (yyjson_equals_str(type, "base64")) {
        st = add_text(t, to, texts[1]);
        return st == ST_OK ? add_pdf(t, source, texts[0], to) : st;
    }
    if (!yyjson_equals_str(type, "content")) /* url, file: chat has no part for them */
        return check_unsupported(&t->r.from, NULL);
    st = check_need(&t->r.from, source, "content", IS_STRING | IS_ARRAY, &v);
    if (st == ST_OK)
        st = add_texts(t, to, texts, 2);
    return st == ST_OK ? add_simple(t, v, true, to) : st;
}

static enum status add_document(struct m2c *t, yyjson_val *block, struct content *to)
{
    yyjson_val *source = NULL, *title = NULL, *context = NULL;
    enum status st = check_need(&t->r.from, block, "source", IS_OBJECT, &source);
    struct slice texts[3];

    if (st == ST_OK)
        st = check_get(&t->r.from, block, "title", IS_STRING, &title);
    if (st == ST_OK)
        st = check_get(&t->r.from, block, "context", IS_STRING, &context);
    if (st == ST_OK)
        st = check_citations(t, block);
    if (st != ST_OK)
        return st;
    texts[0] = facts_text(title);
    texts[1] = facts_text(context);
    check_enter(&t->r.from, "source");
    st = add_source(t, source, texts, to);
    check_leave(&t->r.from);
    return st;
}

/* What a search of the client's own found: title, source and text, as text. */
static enum status add_search_result(struct m2c *t, yyjson_val *block, struct content *to)
{
    yyjson_val *title = NULL, *source = NULL, *content = NULL;
    enum status st = check_need(&t->r.from, block, "title", IS_STRING, &title);
    struct slice texts[2];

    if (st == ST_OK)
        st = check_need(&t->r.from, block, "source", IS_STRING, &source);
    if (st == ST_OK)
        st = check_need(&t->r.from, block, "content", IS_ARRAY, &content);
    if (st == ST_OK)
        st = check_citations(t, block);
    if (st != ST_OK)
        return st;
    texts[0] = facts_text(title);
    texts[1] = facts_text(source);
    st = add_texts(t, to, texts, 2);
    return st == ST_OK ? add_simple(t, content, false, to) : st;
}

/* A block that the user's side may send, tool results apart. */
static enum status add_block(struct m2c *t, yyjson_val *block, yyjson_val *type, struct content *to)
{
    yyjson_val *text = NULL;
    enum status st;

    if (yyjson_equals_str(type, "image"))
        return add_image(t, block, to);
    if (yyjson_equals_str(type, "document"))
        return add_document(t, block, to);
    if (yyjson_equals_str(type, "search_result"))
        return add_search_result(t, block, to);
    if (yyjson_equals_str(type, "tool_reference")) { /* of a search among tools: the model knows it by its name */
        st = check_need(&t->r.from, block, "tool_name", IS_STRING, &text);
        return st == ST_OK ? add_text(t, to, facts_text(text)) : st;
    }
    if (!yyjson_equals_str(type, "text"))
        return check_unsupported(&t->r.from, NULL);
    st = check_need(&t->r.from, block, "text", IS_STRING, &text);
    return st == ST_OK ? add_text(t, to, facts_text(text)) : st;
}

/* ---- turns ---------------------------------------------------------------------------------------------------------
 */

static yyjson_mut_val *add_message(struct m2c *t, yyjson_mut_val *messages, const char *role)
{
    yyjson_mut_val *message = making_object(&t->r.to);

    making_put_word(&t->r.to, message, "role", role);
    making_push(&t->r.to, messages, message);
    return message;
}

/* {"role":"tool"}. Images and files cannot stand there: they open the user's message behind the results. */
static enum status add_result(struct m2c *t, yyjson_val *block, yyjson_mut_val *messages, yyjson_mut_val *parts)
{
    yyjson_val *id = NULL, *content = NULL, *is_error = NULL, *item, *type = NULL;
    struct content to = {.parts = parts, .between = BETWEEN_TEXTS};
    yyjson_mut_val *message;
    struct buf text;
    enum status st = check_need(&t->r.from, block, "tool_use_id", IS_STRING, &id);
    size_t i, n;

    if (st == ST_OK)
        st = check_get(&t->r.from, block, "is_error", IS_BOOL, &is_error); /* the text says it, if there is one */
    if (st == ST_OK)
        st = check_get(&t->r.from, block, "content", IS_STRING | IS_ARRAY, &content);
    if (st != ST_OK)
        return st;
    buf_init(&text, M2C_TEXT_MAX);
    to.text = &text;
    to.result = facts_text(id);
    if (yyjson_is_str(content))
        st = add_text(t, &to, facts_text(content));
    yyjson_arr_foreach(content, i, n, item)
    {
        if (st != ST_OK)
            break;
        check_enter_item(&t->r.from, "content", i);
        st = open_block(t, item, &type);
        if (st == ST_OK)
            st = add_block(t, item, type, &to);
        check_leave(&t->r.from);
    }
    if (st == ST_OK && text.n == 0 && yyjson_is_true(is_error))
        st = buf_addc(&text, FAILED);
    message = add_message(t, messages, "tool");
    making_put_text(&t->r.to, message, "tool_call_id", facts_text(id));
    making_put_copy(&t->r.to, message, "content", (struct slice){text.p, text.n});
    buf_fini(&text);
    return st;
}

/* One text alone is a string, which every upstream understands. */
static yyjson_mut_val *user_content(struct m2c *t, yyjson_mut_val *parts)
{
    yyjson_mut_val *text = yyjson_mut_obj_get(yyjson_mut_arr_get_first(parts), "text");

    if (yyjson_mut_arr_size(parts) == 0)
        return making_word(&t->r.to, "");
    if (yyjson_mut_arr_size(parts) > 1 || text == NULL)
        return parts;
    return making_text(&t->r.to, (struct slice){yyjson_mut_get_str(text), yyjson_mut_get_len(text)});
}

static enum status add_user(struct m2c *t, yyjson_val *content, yyjson_mut_val *messages)
{
    struct content to = {.parts = making_array(&t->r.to)};
    yyjson_val *block, *type = NULL;
    enum status st = ST_OK;
    size_t i, n, results = 0;

    if (yyjson_is_str(content)) {
        making_put_text(&t->r.to, add_message(t, messages, "user"), "content", facts_text(content));
        return ST_OK;
    }
    yyjson_arr_foreach(content, i, n, block)
    {
        check_enter_item(&t->r.from, "content", i);
        st = open_block(t, block, &type);
        if (st == ST_OK && yyjson_equals_str(type, "tool_result")) {
            st = add_result(t, block, messages, to.parts);
            results++;
        } else if (st == ST_OK)
            st = add_block(t, block, type, &to);
        if (st != ST_OK)
            return st;
        check_leave(&t->r.from);
    }
    if (results == 0 || yyjson_mut_arr_size(to.parts) > 0)
        making_put(&t->r.to, add_message(t, messages, "user"), "content", user_content(t, to.parts));
    return ST_OK;
}

static enum status add_call(struct m2c *t, yyjson_val *block, yyjson_mut_val *calls)
{
    yyjson_val *id = NULL, *input = NULL;
    yyjson_mut_val *call, *function;
    char name_memory[TRANSLATE_NAME_MAX + 1];
    struct slice name = {NULL, 0}, arguments;
    enum status st = check_need(&t->r.from, block, "id", IS_STRING, &id);
    char *json;

    if (st == ST_OK)
        st = m2c_tool_name(t, block, name_memory, &name);
    if (st == ST_OK)
        st = check_need(&t->r.from, block, "input", IS_OBJECT, &input);
    if (st != ST_OK)
        return st;
    json = yyjson_val_write(input, 0, &arguments.n);
    arguments.p = json;
    t->r.to.lost |= json == NULL;
    function = making_object(&t->r.to);
    making_put_copy(&t->r.to, function, "name", name);
    making_put(&t->r.to, function, "arguments", json != NULL ? making_copy(&t->r.to, arguments) : NULL);
    free(json);
    call = making_object(&t->r.to);
    making_put_text(&t->r.to, call, "id", facts_text(id));
    making_put_word(&t->r.to, call, "type", "function");
    making_put(&t->r.to, call, "function", function);
    making_push(&t->r.to, calls, call);
    return ST_OK;
}

/* Other models cannot read it. */
static enum status add_thought(struct m2c *t, yyjson_val *block, struct buf *to)
{
    struct slice text = facts_text(yyjson_obj_get(block, "thinking"));
    enum status st = ST_OK;

    if (!translate_wants_reasoning(t->r.from.call) || text.n == 0)
        return ST_OK;
    if (to->n > 0)
        st = buf_addc(to, BETWEEN_TEXTS);
    return st == ST_OK ? buf_add(to, text.p, text.n) : st;
}

static enum status add_said(struct m2c *t, yyjson_val *block, struct content *to, struct buf *thought,
                            yyjson_mut_val *calls)
{
    yyjson_val *type = NULL, *text = NULL;
    enum status st = open_block(t, block, &type);

    if (st != ST_OK || yyjson_equals_str(type, "redacted_thinking"))
        return st; /* sealed for its model */
    if (yyjson_equals_str(type, "thinking"))
        return add_thought(t, block, thought);
    if (yyjson_equals_str(type, "tool_use"))
        return add_call(t, block, calls);
    if (!yyjson_equals_str(type, "text"))
        return check_unsupported(&t->r.from, NULL);
    st = check_need(&t->r.from, block, "text", IS_STRING, &text);
    return st == ST_OK ? add_text(t, to, facts_text(text)) : st;
}

static enum status add_assistant(struct m2c *t, yyjson_val *content, yyjson_mut_val *messages)
{
    yyjson_mut_val *calls = making_array(&t->r.to), *message = add_message(t, messages, "assistant");
    struct content to = {.between = ""};
    enum status st = ST_OK;
    yyjson_val *block;
    struct buf text, thought;
    size_t i, n;

    buf_init(&text, M2C_TEXT_MAX);
    buf_init(&thought, M2C_TEXT_MAX);
    to.text = &text;
    if (yyjson_is_str(content))
        st = add_text(t, &to, facts_text(content));
    yyjson_arr_foreach(content, i, n, block)
    {
        if (st != ST_OK)
            break;
        check_enter_item(&t->r.from, "content", i);
        st = add_said(t, block, &to, &thought, calls);
        check_leave(&t->r.from);
    }
    if (text.n == 0 && yyjson_mut_arr_size(calls) > 0)
        making_put(&t->r.to, message, "content", making_null(&t->r.to));
    else
        making_put_copy(&t->r.to, message, "content", (struct slice){text.p, text.n});
    if (yyjson_mut_arr_size(calls) > 0)
        making_put(&t->r.to, message, "tool_calls", calls);
    /* With calls even where nobody knows it: an empty text is taken, for conversations that began at another model. */
    if (thought.n > 0 || (yyjson_mut_arr_size(calls) > 0 && translate_wants_reasoning(t->r.from.call)))
        making_put_copy(&t->r.to, message, "reasoning_content", (struct slice){thought.p, thought.n});
    buf_fini(&text);
    buf_fini(&thought);
    return st;
}

/* The text of a system prompt, or of a system message between the others; none where it is empty. */
static enum status add_system(struct m2c *t, const char *list, yyjson_val *content, yyjson_mut_val *messages)
{
    static const size_t n_attribution = sizeof(ATTRIBUTION) - 1;
    struct content to = {.between = BETWEEN_TEXTS};
    yyjson_val *block, *type = NULL, *v = NULL;
    enum status st = ST_OK;
    struct buf text;
    size_t i, n;

    buf_init(&text, M2C_TEXT_MAX);
    to.text = &text;
    if (yyjson_is_str(content))
        st = add_text(t, &to, facts_text(content));
    yyjson_arr_foreach(content, i, n, block)
    {
        if (st != ST_OK)
            break;
        check_enter_item(&t->r.from, list, i);
        st = open_block(t, block, &type);
        if (st == ST_OK && !yyjson_equals_str(type, "text"))
            st = check_invalid(&t->r.from, "type", "Input should be 'text'");
        if (st == ST_OK)
            st = check_need(&t->r.from, block, "text", IS_STRING, &v);
        check_leave(&t->r.from);
        if (st != ST_OK)
            break;
        if (i > 0 || yyjson_get_len(v) < n_attribution || memcmp(yyjson_get_str(v), ATTRIBUTION, n_attribution) != 0)
            st = add_text(t, &to, facts_text(v));
    }
    if (text.n > 0)
        making_put_copy(&t->r.to, add_message(t, messages, "system"), "content", (struct slice){text.p, text.n});
    buf_fini(&text);
    return st;
}

static enum status add_turn(struct m2c *t, yyjson_val *turn, yyjson_mut_val *messages)
{
    yyjson_val *role = NULL, *content = NULL;
    enum status st = check_is(&t->r.from, NULL, turn, IS_OBJECT);

    if (st == ST_OK)
        st = check_need(&t->r.from, turn, "role", IS_STRING, &role);
    if (st == ST_OK)
        st = check_need(&t->r.from, turn, "content", IS_STRING | IS_ARRAY, &content);
    if (st != ST_OK)
        return st;
    if (yyjson_equals_str(role, "user"))
        return add_user(t, content, messages);
    if (yyjson_equals_str(role, "assistant"))
        return add_assistant(t, content, messages);
    if (yyjson_equals_str(role, "system"))
        return add_system(t, "content", content, messages);
    return check_invalid(&t->r.from, "role", "Input should be 'user', 'assistant' or 'system'");
}

enum status m2c_turns(struct m2c *t, yyjson_val *in)
{
    yyjson_mut_val *messages = making_array(&t->r.to);
    yyjson_val *system = NULL, *turns = NULL, *turn;
    enum status st = check_get(&t->r.from, in, "system", IS_STRING | IS_ARRAY, &system);
    size_t i, n;

    if (st == ST_OK)
        st = check_need(&t->r.from, in, "messages", IS_ARRAY, &turns);
    if (st == ST_OK && yyjson_arr_size(turns) == 0)
        st = check_invalid(&t->r.from, "messages", "At least one message is required");
    if (st == ST_OK)
        st = add_system(t, "system", system, messages);
    yyjson_arr_foreach(turns, i, n, turn)
    {
        if (st != ST_OK)
            break;
        check_enter_item(&t->r.from, "messages", i);
        st = add_turn(t, turn, messages);
        check_leave(&t->r.from);
    }
    making_put(&t->r.to, t->r.to.root, "messages", messages);
    return st;
}
