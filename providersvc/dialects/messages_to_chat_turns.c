#include "providersvc/dialects/messages_to_chat.h"

#include <stdlib.h>
#include <string.h>

#define BETWEEN_TEXTS "\n\n"
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
    yyjson_mut_val *part = m2c_obj(t);

    m2c_put(t, part, "type", m2c_str(t, slice_of(type)));
    m2c_put(t, part, key, v);
    m2c_add(t, parts, part);
}

static enum status add_text(struct m2c *t, struct content *to, struct slice text)
{
    enum status st = ST_OK;

    if (text.n == 0)
        return ST_OK;
    if (to->text == NULL) {
        append_part(t, to->parts, "text", "text", m2c_str(t, text));
        return ST_OK;
    }
    if (to->text->n > 0)
        st = buf_addc(to->text, to->between);
    return st == ST_OK ? buf_add(to->text, text.p, text.n) : st;
}

/* An image or a file. */
static enum status add_part(struct m2c *t, struct content *to, const char *type, yyjson_mut_val *v)
{
    struct buf label;
    enum status st;

    if (to->result.n > 0) {
        buf_init(&label, M2C_TEXT_MAX);
        st = buf_addf(&label, "From the result of tool call " SLICE_FMT ":", SLICE_ARG(to->result));
        append_part(t, to->parts, "text", "text", m2c_copy(t, (struct slice){label.p, label.n}));
        buf_fini(&label);
        if (st != ST_OK)
            return st;
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
    whole = m2c_copy(t, (struct slice){b.p, b.n});
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
        v = m2c_copy(t, (struct slice){b.p, b.n});
    t->lost |= v == NULL;
    buf_fini(&b);
    return v;
}

static bool is_base64(struct slice s)
{
    while (s.n > 0 && s.p[s.n - 1] == '=')
        s.n--;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && c != '+' && c != '/')
            return false;
    }
    return s.n > 0;
}

/* The two members of a base64 source. */
static enum status base64_source(const struct m2c *t, const struct m2c_at *at, yyjson_val *source, struct slice *type,
                                 struct slice *data)
{
    yyjson_val *v = NULL;
    enum status st = m2c_member(t, at, source, "media_type", M2C_STRING | M2C_REQUIRED, &v);

    *type = facts_text(v);
    if (st == ST_OK)
        st = m2c_member(t, at, source, "data", M2C_STRING | M2C_REQUIRED, &v);
    if (st != ST_OK)
        return st;
    *data = facts_text(v);
    return is_base64(*data) ? ST_OK : m2c_fail(t, at, "data", "invalid_value", "Input should be base64");
}

/* The block at `at` and its type. */
static enum status open_block(struct m2c *t, const struct m2c_at *at, yyjson_val *block, yyjson_val **ret_type)
{
    enum status st = m2c_check(t, at, block, M2C_OBJECT);

    return st == ST_OK ? m2c_member(t, at, block, "type", M2C_STRING | M2C_REQUIRED, ret_type) : st;
}

/* ---- images --------------------------------------------------------------------------------------------------------
 */

static bool is_image_type(struct slice type)
{
    return slice_is(type, "image/jpeg") || slice_is(type, "image/png") || slice_is(type, "image/gif") ||
           slice_is(type, "image/webp");
}

static enum status image_url(struct m2c *t, const struct m2c_at *at, yyjson_val *source, yyjson_mut_val **ret)
{
    struct slice type = {NULL, 0}, data = {NULL, 0};
    enum status st = base64_source(t, at, source, &type, &data);

    if (st != ST_OK)
        return st;
    if (!is_image_type(type))
        return m2c_fail(t, at, "media_type", "invalid_value",
                        "Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'");
    *ret = data_url(t, type, data);
    return ST_OK;
}

/* Upstream fetches it. http: is refused, as Anthropic does. */
static enum status https_url(struct m2c *t, const struct m2c_at *at, yyjson_val *source, yyjson_mut_val **ret)
{
    static const char scheme[] = "https://";
    yyjson_val *v = NULL;
    enum status st = m2c_member(t, at, source, "url", M2C_STRING | M2C_REQUIRED, &v);
    struct slice url = facts_text(v);

    if (st != ST_OK)
        return st;
    if (url.n < sizeof(scheme) || memcmp(url.p, scheme, sizeof(scheme) - 1) != 0)
        return m2c_fail(t, at, "url", "invalid_value", "Only HTTPS URLs are supported");
    *ret = m2c_str(t, url);
    return ST_OK;
}

static enum status add_image(struct m2c *t, const struct m2c_at *at, yyjson_val *block, struct content *to)
{
    struct m2c_at at_source = {at, "source", 0};
    yyjson_val *source = NULL, *type = NULL;
    yyjson_mut_val *url = NULL, *image;
    enum status st = m2c_member(t, at, block, "source", M2C_OBJECT | M2C_REQUIRED, &source);

    if (st == ST_OK)
        st = m2c_member(t, &at_source, source, "type", M2C_STRING | M2C_REQUIRED, &type);
    if (st != ST_OK)
        return st;
    if (yyjson_equals_str(type, "base64"))
        st = image_url(t, &at_source, source, &url);
    else if (yyjson_equals_str(type, "url"))
        st = https_url(t, &at_source, source, &url);
    else
        return m2c_unsupported(t, at, "source");
    if (st != ST_OK)
        return st;
    image = m2c_obj(t);
    m2c_put(t, image, "url", url);
    return add_part(t, to, "image_url", image);
}

/* ---- documents -----------------------------------------------------------------------------------------------------
 */

static enum status add_pdf(struct m2c *t, const struct m2c_at *at, yyjson_val *source, struct slice title,
                           struct content *to)
{
    struct slice type = {NULL, 0}, data = {NULL, 0};
    yyjson_mut_val *file;
    enum status st = base64_source(t, at, source, &type, &data);

    if (st != ST_OK)
        return st;
    if (!slice_is(type, PDF))
        return m2c_fail(t, at, "media_type", "invalid_value", "Input should be '" PDF "'");
    file = m2c_obj(t);
    m2c_put(t, file, "filename", m2c_str(t, title.n > 0 ? title : slice_of(PDF_NAME)));
    m2c_put(t, file, "file_data", data_url(t, type, data));
    return add_part(t, to, "file", file);
}

/* A string, or a list of text (and image) blocks. */
static enum status add_simple(struct m2c *t, const struct m2c_at *at, yyjson_val *content, bool images,
                              struct content *to)
{
    yyjson_val *block, *text = NULL, *type = NULL;
    enum status st = ST_OK;
    size_t i, n;

    if (yyjson_is_str(content))
        return add_text(t, to, facts_text(content));
    yyjson_arr_foreach(content, i, n, block)
    {
        struct m2c_at at_block = {at, NULL, i};

        st = open_block(t, &at_block, block, &type);
        if (st != ST_OK)
            return st;
        if (yyjson_equals_str(type, "text")) {
            st = m2c_member(t, &at_block, block, "text", M2C_STRING | M2C_REQUIRED, &text);
            if (st == ST_OK)
                st = add_text(t, to, facts_text(text));
        } else if (images && yyjson_equals_str(type, "image"))
            st = add_image(t, &at_block, block, to);
        else
            st = m2c_fail(t, &at_block, "type", "invalid_value", "A block of this type cannot stand here");
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

static enum status check_citations(struct m2c *t, const struct m2c_at *at, yyjson_val *block)
{
    struct m2c_at at_citations = {at, "citations", 0};
    yyjson_val *citations = NULL, *enabled = NULL;
    enum status st = m2c_member(t, at, block, "citations", M2C_OBJECT, &citations);

    if (st == ST_OK)
        st = m2c_member(t, &at_citations, citations, "enabled", M2C_BOOL, &enabled);
    return st == ST_OK && yyjson_is_true(enabled) ? m2c_unsupported(t, at, "citations") : st;
}

static enum status add_document(struct m2c *t, const struct m2c_at *at, yyjson_val *block, struct content *to)
{
    struct m2c_at at_source = {at, "source", 0}, at_content = {&at_source, "content", 0};
    yyjson_val *source = NULL, *type = NULL, *title = NULL, *context = NULL, *v = NULL;
    enum status st = m2c_member(t, at, block, "source", M2C_OBJECT | M2C_REQUIRED, &source);
    struct slice texts[3];

    if (st == ST_OK)
        st = m2c_member(t, &at_source, source, "type", M2C_STRING | M2C_REQUIRED, &type);
    if (st == ST_OK)
        st = m2c_member(t, at, block, "title", M2C_STRING, &title);
    if (st == ST_OK)
        st = m2c_member(t, at, block, "context", M2C_STRING, &context);
    if (st == ST_OK)
        st = check_citations(t, at, block);
    if (st != ST_OK)
        return st;
    texts[0] = facts_text(title);
    texts[1] = facts_text(context);
    if (yyjson_equals_str(type, "text")) {
        st = m2c_member(t, &at_source, source, "data", M2C_STRING | M2C_REQUIRED, &v);
        texts[2] = facts_text(v);
        return st == ST_OK ? add_texts(t, to, texts, 3) : st;
    }
    if (yyjson_equals_str(type, "base64")) {
        st = add_text(t, to, texts[1]);
        return st == ST_OK ? add_pdf(t, &at_source, source, texts[0], to) : st;
    }
    if (!yyjson_equals_str(type, "content")) /* url, file: chat has no part for them */
        return m2c_unsupported(t, at, "source");
    st = m2c_member(t, &at_source, source, "content", M2C_STRING | M2C_ARRAY | M2C_REQUIRED, &v);
    if (st == ST_OK)
        st = add_texts(t, to, texts, 2);
    return st == ST_OK ? add_simple(t, &at_content, v, true, to) : st;
}

/* What a search of the client's own found: title, source and text, as text. */
static enum status add_search_result(struct m2c *t, const struct m2c_at *at, yyjson_val *block, struct content *to)
{
    struct m2c_at at_content = {at, "content", 0};
    yyjson_val *title = NULL, *source = NULL, *content = NULL;
    enum status st = m2c_member(t, at, block, "title", M2C_STRING | M2C_REQUIRED, &title);
    struct slice texts[2];

    if (st == ST_OK)
        st = m2c_member(t, at, block, "source", M2C_STRING | M2C_REQUIRED, &source);
    if (st == ST_OK)
        st = m2c_member(t, at, block, "content", M2C_ARRAY | M2C_REQUIRED, &content);
    if (st == ST_OK)
        st = check_citations(t, at, block);
    if (st != ST_OK)
        return st;
    texts[0] = facts_text(title);
    texts[1] = facts_text(source);
    st = add_texts(t, to, texts, 2);
    return st == ST_OK ? add_simple(t, &at_content, content, false, to) : st;
}

/* A block that the user's side may send, tool results apart. */
static enum status add_block(struct m2c *t, const struct m2c_at *at, yyjson_val *block, yyjson_val *type,
                             struct content *to)
{
    yyjson_val *text = NULL;
    enum status st;

    if (yyjson_equals_str(type, "image"))
        return add_image(t, at, block, to);
    if (yyjson_equals_str(type, "document"))
        return add_document(t, at, block, to);
    if (yyjson_equals_str(type, "search_result"))
        return add_search_result(t, at, block, to);
    if (!yyjson_equals_str(type, "text"))
        return m2c_unsupported(t, at, NULL);
    st = m2c_member(t, at, block, "text", M2C_STRING | M2C_REQUIRED, &text);
    return st == ST_OK ? add_text(t, to, facts_text(text)) : st;
}

/* ---- turns ---------------------------------------------------------------------------------------------------------
 */

static yyjson_mut_val *add_message(struct m2c *t, yyjson_mut_val *messages, const char *role)
{
    yyjson_mut_val *message = m2c_obj(t);

    m2c_put(t, message, "role", m2c_str(t, slice_of(role)));
    m2c_add(t, messages, message);
    return message;
}

/* {"role":"tool"}. Images and files cannot stand there: they open the user's message behind the results. */
static enum status add_result(struct m2c *t, const struct m2c_at *at, yyjson_val *block, yyjson_mut_val *messages,
                              yyjson_mut_val *parts)
{
    struct m2c_at at_content = {at, "content", 0};
    yyjson_val *id = NULL, *content = NULL, *is_error = NULL, *item, *type = NULL;
    struct content to = {.parts = parts, .between = BETWEEN_TEXTS};
    yyjson_mut_val *message;
    struct buf text;
    enum status st = m2c_member(t, at, block, "tool_use_id", M2C_STRING | M2C_REQUIRED, &id);
    size_t i, n;

    if (st == ST_OK)
        st = m2c_member(t, at, block, "is_error", M2C_BOOL, &is_error); /* the text says it */
    if (st == ST_OK)
        st = m2c_member(t, at, block, "content", M2C_STRING | M2C_ARRAY, &content);
    if (st != ST_OK)
        return st;
    buf_init(&text, M2C_TEXT_MAX);
    to.text = &text;
    to.result = facts_text(id);
    if (yyjson_is_str(content))
        st = add_text(t, &to, facts_text(content));
    yyjson_arr_foreach(content, i, n, item)
    {
        struct m2c_at at_item = {&at_content, NULL, i};

        if (st == ST_OK)
            st = open_block(t, &at_item, item, &type);
        if (st == ST_OK)
            st = add_block(t, &at_item, item, type, &to);
    }
    message = add_message(t, messages, "tool");
    m2c_put(t, message, "tool_call_id", m2c_str(t, facts_text(id)));
    m2c_put(t, message, "content", m2c_copy(t, (struct slice){text.p, text.n}));
    buf_fini(&text);
    return st;
}

/* One text alone is a string, which every upstream understands. */
static yyjson_mut_val *user_content(struct m2c *t, yyjson_mut_val *parts)
{
    yyjson_mut_val *text = yyjson_mut_obj_get(yyjson_mut_arr_get_first(parts), "text");

    if (yyjson_mut_arr_size(parts) == 0)
        return m2c_str(t, slice_of(""));
    if (yyjson_mut_arr_size(parts) > 1 || text == NULL)
        return parts;
    return m2c_str(t, (struct slice){yyjson_mut_get_str(text), yyjson_mut_get_len(text)});
}

static enum status add_user(struct m2c *t, const struct m2c_at *at, yyjson_val *content, yyjson_mut_val *messages)
{
    struct content to = {.parts = m2c_arr(t)};
    yyjson_val *block, *type = NULL;
    enum status st = ST_OK;
    size_t i, n, results = 0;

    if (yyjson_is_str(content)) {
        m2c_put(t, add_message(t, messages, "user"), "content", m2c_str(t, facts_text(content)));
        return ST_OK;
    }
    yyjson_arr_foreach(content, i, n, block)
    {
        struct m2c_at at_block = {at, NULL, i};

        st = open_block(t, &at_block, block, &type);
        if (st == ST_OK && yyjson_equals_str(type, "tool_result")) {
            st = add_result(t, &at_block, block, messages, to.parts);
            results++;
        } else if (st == ST_OK)
            st = add_block(t, &at_block, block, type, &to);
        if (st != ST_OK)
            return st;
    }
    if (results == 0 || yyjson_mut_arr_size(to.parts) > 0)
        m2c_put(t, add_message(t, messages, "user"), "content", user_content(t, to.parts));
    return ST_OK;
}

static enum status add_call(struct m2c *t, const struct m2c_at *at, yyjson_val *block, yyjson_mut_val *calls)
{
    yyjson_val *id = NULL, *input = NULL;
    yyjson_mut_val *call, *function;
    char name_memory[M2C_NAME_SENT_MAX + 1];
    struct slice name = {NULL, 0}, arguments;
    enum status st = m2c_member(t, at, block, "id", M2C_STRING | M2C_REQUIRED, &id);
    char *json;

    if (st == ST_OK)
        st = m2c_tool_name(t, at, block, name_memory, &name);
    if (st == ST_OK)
        st = m2c_member(t, at, block, "input", M2C_OBJECT | M2C_REQUIRED, &input);
    if (st != ST_OK)
        return st;
    json = yyjson_val_write(input, 0, &arguments.n);
    arguments.p = json;
    t->lost |= json == NULL;
    function = m2c_obj(t);
    m2c_put(t, function, "name", m2c_copy(t, name));
    m2c_put(t, function, "arguments", json != NULL ? m2c_copy(t, arguments) : NULL);
    free(json);
    call = m2c_obj(t);
    m2c_put(t, call, "id", m2c_str(t, facts_text(id)));
    m2c_put(t, call, "type", m2c_str(t, slice_of("function")));
    m2c_put(t, call, "function", function);
    m2c_add(t, calls, call);
    return ST_OK;
}

static enum status add_said(struct m2c *t, const struct m2c_at *at, yyjson_val *block, struct content *to,
                            yyjson_mut_val *calls)
{
    yyjson_val *type = NULL, *text = NULL;
    enum status st = open_block(t, at, block, &type);

    if (st != ST_OK || yyjson_equals_str(type, "thinking") || yyjson_equals_str(type, "redacted_thinking"))
        return st; /* nobody but its model can read it */
    if (yyjson_equals_str(type, "tool_use"))
        return add_call(t, at, block, calls);
    if (!yyjson_equals_str(type, "text"))
        return m2c_unsupported(t, at, NULL);
    st = m2c_member(t, at, block, "text", M2C_STRING | M2C_REQUIRED, &text);
    return st == ST_OK ? add_text(t, to, facts_text(text)) : st;
}

static enum status add_assistant(struct m2c *t, const struct m2c_at *at, yyjson_val *content, yyjson_mut_val *messages)
{
    yyjson_mut_val *calls = m2c_arr(t), *message = add_message(t, messages, "assistant");
    struct content to = {.between = ""};
    enum status st = ST_OK;
    yyjson_val *block;
    struct buf text;
    size_t i, n;

    buf_init(&text, M2C_TEXT_MAX);
    to.text = &text;
    if (yyjson_is_str(content))
        st = add_text(t, &to, facts_text(content));
    yyjson_arr_foreach(content, i, n, block)
    {
        struct m2c_at at_block = {at, NULL, i};

        if (st == ST_OK)
            st = add_said(t, &at_block, block, &to, calls);
    }
    if (text.n == 0 && yyjson_mut_arr_size(calls) > 0)
        m2c_put(t, message, "content", yyjson_mut_null(t->doc));
    else
        m2c_put(t, message, "content", m2c_copy(t, (struct slice){text.p, text.n}));
    if (yyjson_mut_arr_size(calls) > 0)
        m2c_put(t, message, "tool_calls", calls);
    buf_fini(&text);
    return st;
}

/* The text of a system prompt, or of a system message between the others; none where it is empty. */
static enum status add_system(struct m2c *t, const struct m2c_at *at, yyjson_val *content, yyjson_mut_val *messages)
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
        struct m2c_at at_block = {at, NULL, i};

        if (st == ST_OK)
            st = open_block(t, &at_block, block, &type);
        if (st == ST_OK && !yyjson_equals_str(type, "text"))
            st = m2c_fail(t, &at_block, "type", "invalid_value", "Input should be 'text'");
        if (st == ST_OK)
            st = m2c_member(t, &at_block, block, "text", M2C_STRING | M2C_REQUIRED, &v);
        if (st != ST_OK)
            break;
        if (i > 0 || yyjson_get_len(v) < n_attribution || memcmp(yyjson_get_str(v), ATTRIBUTION, n_attribution) != 0)
            st = add_text(t, &to, facts_text(v));
    }
    if (text.n > 0)
        m2c_put(t, add_message(t, messages, "system"), "content", m2c_copy(t, (struct slice){text.p, text.n}));
    buf_fini(&text);
    return st;
}

static enum status add_turn(struct m2c *t, const struct m2c_at *at, yyjson_val *turn, yyjson_mut_val *messages)
{
    struct m2c_at at_content = {at, "content", 0};
    yyjson_val *role = NULL, *content = NULL;
    enum status st = m2c_check(t, at, turn, M2C_OBJECT);

    if (st == ST_OK)
        st = m2c_member(t, at, turn, "role", M2C_STRING | M2C_REQUIRED, &role);
    if (st == ST_OK)
        st = m2c_member(t, at, turn, "content", M2C_STRING | M2C_ARRAY | M2C_REQUIRED, &content);
    if (st != ST_OK)
        return st;
    if (yyjson_equals_str(role, "user"))
        return add_user(t, &at_content, content, messages);
    if (yyjson_equals_str(role, "assistant"))
        return add_assistant(t, &at_content, content, messages);
    if (yyjson_equals_str(role, "system"))
        return add_system(t, &at_content, content, messages);
    return m2c_fail(t, at, "role", "invalid_value", "Input should be 'user', 'assistant' or 'system'");
}

enum status m2c_turns(struct m2c *t, yyjson_val *in)
{
    static const struct m2c_at at_system = {NULL, "system", 0}, at_messages = {NULL, "messages", 0};
    yyjson_mut_val *messages = m2c_arr(t);
    yyjson_val *system = NULL, *turns = NULL, *turn;
    enum status st = m2c_member(t, NULL, in, "system", M2C_STRING | M2C_ARRAY, &system);
    size_t i, n;

    if (st == ST_OK)
        st = m2c_member(t, NULL, in, "messages", M2C_ARRAY | M2C_REQUIRED, &turns);
    if (st == ST_OK && yyjson_arr_size(turns) == 0)
        st = m2c_fail(t, NULL, "messages", "invalid_value", "At least one message is required");
    if (st == ST_OK)
        st = add_system(t, &at_system, system, messages);
    yyjson_arr_foreach(turns, i, n, turn)
    {
        struct m2c_at at = {&at_messages, NULL, i};

        if (st == ST_OK)
            st = add_turn(t, &at, turn, messages);
    }
    m2c_put(t, t->root, "messages", messages);
    return st;
}
