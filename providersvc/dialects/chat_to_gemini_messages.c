/* Messages: chat's list of them becomes systemInstruction and contents (contract, section 5.1). */
#include <stdlib.h>
#include <string.h>

#include "providersvc/dialects/chat_to_gemini_private.h"
#include "providersvc/dialects/data_url.h"
#include "services/json.h"

#define CALLS_MAX_BYTES (2u * LIMIT_BODY) /* of the list of tool calls: the body bounds their number */

/* A tool call of the history: what its results are called. */
struct known_call {
    struct slice id, name;
    size_t message;
};

struct turns {
    struct checking *from;
    struct making *to;
    enum gemini_family family;
    yyjson_mut_val *system; /* parts; NULL = none */
    yyjson_mut_val *contents;
    yyjson_mut_val *parts; /* of the last of contents */
    bool model; /* the last of contents is the model's */
    bool called; /* and it has a functionCall */
    struct known_call *calls; /* by id, then by message */
    size_t n_calls;
};

/* Where neighbours have the same role they become one. */
static yyjson_mut_val *parts_of(struct turns *t, bool model)
{
    yyjson_mut_val *content;

    if (t->parts != NULL && t->model == model)
        return t->parts;
    content = making_push_object(t->to, t->contents);
    making_put_word(t->to, content, "role", model ? "model" : "user");
    t->parts = making_put_array(t->to, content, "parts");
    t->model = model;
    t->called = false;
    return t->parts;
}

static void add_text(struct turns *t, bool model, struct slice text)
{
    if (text.n > 0)
        making_put_text(t->to, making_push_object(t->to, parts_of(t, model)), "text", text);
}

/* ---- parts of content --------------------------------------------------------------------------------------------
 */

static void add_blob(struct turns *t, bool model, struct slice type, struct slice base64)
{
    yyjson_mut_val *part = making_push_object(t->to, parts_of(t, model));
    yyjson_mut_val *blob = making_put_object(t->to, part, "inlineData");

    making_put_text(t->to, blob, "mimeType", type);
    making_put_text(t->to, blob, "data", base64);
}

static enum status add_data_url(struct turns *t, bool model, struct slice url, const char *key)
{
    struct data_url data;

    if (!data_url_read(url, &data))
        return check_invalid(t->from, key, "a data URL of the form 'data:TYPE;base64,DATA'");
    add_blob(t, model, data.type, data.base64);
    return ST_OK;
}

/* What Gemini fetches itself; the router fetches nothing for a client. */
static bool google_uri(struct slice url)
{
    static const char *const known[] = {"https://generativelanguage.googleapis.com/", "https://www.youtube.com/",
                                        "https://youtube.com/", "https://youtu.be/"};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (slice_starts(url, known[i]))
            return true;
    return false;
}

static enum status add_image(struct turns *t, bool model, yyjson_val *part)
{
    yyjson_val *image = NULL;
    struct slice url = {NULL, 0};
    enum status st = check_need(t->from, part, "image_url", IS_OBJECT, &image);

    if (st != ST_OK)
        return st;
    check_enter(t->from, "image_url");
    st = check_name(t->from, image, "url", &url);
    if (st == ST_OK && slice_starts(url, "data:"))
        st = add_data_url(t, model, url, "url");
    else if (st == ST_OK && !google_uri(url))
        st = check_invalid(t->from, "url",
                           "a data URL, or a file of Google's or a video of YouTube's (this model's provider loads "
                           "nothing from elsewhere)");
    else if (st == ST_OK)
        making_put_text(t->to, making_put_object(t->to, making_push_object(t->to, parts_of(t, model)), "fileData"),
                        "fileUri", url);
    check_leave(t->from);
    return st;
}

static enum status add_audio(struct turns *t, yyjson_val *part)
{
    yyjson_val *audio = NULL;
    struct slice data = {NULL, 0}, format = {NULL, 0};
    enum status st = check_need(t->from, part, "input_audio", IS_OBJECT, &audio);

    if (st != ST_OK)
        return st;
    check_enter(t->from, "input_audio");
    st = check_name(t->from, audio, "data", &data);
    if (st == ST_OK)
        st = check_name(t->from, audio, "format", &format);
    if (st == ST_OK && !slice_is(format, "wav") && !slice_is(format, "mp3"))
        st = check_invalid(t->from, "format", "one of 'wav' and 'mp3'");
    if (st != ST_OK)
        return st;
    check_leave(t->from);
    add_blob(t, false, slice_of(slice_is(format, "wav") ? "audio/wav" : "audio/mp3"), data);
    return ST_OK;
}

static enum status add_file(struct turns *t, yyjson_val *part)
{
    yyjson_val *file = NULL;
    struct slice url = {NULL, 0};
    enum status st = check_need(t->from, part, "file", IS_OBJECT, &file);

    if (st != ST_OK)
        return st;
    check_enter(t->from, "file");
    if (!check_absent(yyjson_obj_get(file, "file_id"))) {
        st = check_unsupported(t->from, "file_id");
    } else {
        st = check_name(t->from, file, "file_data", &url);
        if (st == ST_OK)
            st = add_data_url(t, false, url, "file_data");
    }
    check_leave(t->from);
    return st;
}

/* ---- content -----------------------------------------------------------------------------------------------------
 */

/* Takes one part that is an object. */
typedef enum status (*part_taker)(struct turns *t, yyjson_val *part, struct slice type);

static enum status text_of(struct turns *t, yyjson_val *part, const char *key, struct slice *ret)
{
    yyjson_val *v = NULL;
    enum status st = check_need(t->from, part, key, IS_STRING, &v);

    *ret = facts_text(v);
    return st;
}

static enum status take_user_part(struct turns *t, yyjson_val *part, struct slice type)
{
    struct slice text = {NULL, 0};
    enum status st;

    if (slice_is(type, "image_url"))
        return add_image(t, false, part);
    if (slice_is(type, "input_audio"))
        return add_audio(t, part);
    if (slice_is(type, "file"))
        return add_file(t, part);
    if (!slice_is(type, "text"))
        return check_invalid(t->from, "type", "one of 'text', 'image_url', 'input_audio' and 'file'");
    st = text_of(t, part, "text", &text);
    if (st == ST_OK)
        add_text(t, false, text);
    return st;
}

static enum status take_model_part(struct turns *t, yyjson_val *part, struct slice type)
{
    struct slice text = {NULL, 0};
    enum status st;

    if (!slice_is(type, "text") && !slice_is(type, "refusal"))
        return check_invalid(t->from, "type", "one of 'text' and 'refusal'");
    st = text_of(t, part, slice_is(type, "text") ? "text" : "refusal", &text);
    if (st == ST_OK)
        add_text(t, true, text);
    return st;
}

static void add_system(struct turns *t, struct slice text)
{
    if (text.n == 0)
        return;
    if (t->system == NULL)
        t->system = making_put_array(t->to, making_put_object(t->to, t->to->root, "systemInstruction"), "parts");
    making_put_text(t->to, making_push_object(t->to, t->system), "text", text);
}

static enum status take_system_part(struct turns *t, yyjson_val *part, struct slice type)
{
    struct slice text = {NULL, 0};
    enum status st;

    if (!slice_is(type, "text"))
        return check_invalid(t->from, "type", "'text'");
    st = text_of(t, part, "text", &text);
    if (st == ST_OK)
        add_system(t, text);
    return st;
}

/* A string, or a list of parts. */
static enum status take_parts(struct turns *t, yyjson_val *content, part_taker take)
{
    struct slice type = {NULL, 0};
    enum status st = ST_OK;
    yyjson_val *part;
    size_t i, n;

    if (check_absent(content))
        return check_missing(t->from, "content");
    st = check_is(t->from, "content", content, IS_STRING | IS_ARRAY);
    yyjson_arr_foreach(content, i, n, part)
    {
        check_enter_item(t->from, "content", i);
        st = check_is(t->from, NULL, part, IS_OBJECT);
        if (st == ST_OK)
            st = check_name(t->from, part, "type", &type);
        if (st == ST_OK)
            st = take(t, part, type);
        if (st != ST_OK)
            break;
        check_leave(t->from);
    }
    return st;
}

/* ---- tool calls and their results --------------------------------------------------------------------------------
 */

static enum status signature_of(struct turns *t, yyjson_val *call, struct slice *ret)
{
    yyjson_val *google = yyjson_obj_get(yyjson_obj_get(call, "extra_content"), "google"), *v = NULL;
    enum status st;

    check_enter(t->from, "extra_content.google");
    st = check_get(t->from, google, "thought_signature", IS_STRING, &v);
    check_leave(t->from);
    *ret = facts_text(v);
    return st;
}

/* The text as an object: a document of its own, NULL when it is none. Numbers stay as they are written. */
static yyjson_doc *object_of(struct slice text)
{
    yyjson_doc *doc;
    size_t i = 0;

    while (i < text.n && strchr(" \t\r\n", text.p[i]) != NULL && text.p[i] != '\0')
        i++;
    if (i == text.n || text.p[i] != '{')
        return NULL;
    doc = yyjson_read(text.p, text.n, YYJSON_READ_NUMBER_AS_RAW);
    if (doc == NULL || yyjson_is_obj(yyjson_doc_get_root(doc)))
        return doc;
    yyjson_doc_free(doc);
    return NULL;
}

/* custom: the call is of a tool whose input is text, of a model that has such. */
static enum status put_args(struct turns *t, yyjson_mut_val *to, yyjson_val *called, bool custom)
{
    yyjson_val *v = NULL;
    enum status st = check_need(t->from, called, custom ? "input" : "arguments", IS_STRING, &v);
    yyjson_doc *doc;

    if (st != ST_OK)
        return st;
    if (custom) {
        making_put_value(t->to, making_put_object(t->to, to, "args"), "input", v);
        return ST_OK;
    }
    if (yyjson_get_len(v) == 0) {
        making_put_object(t->to, to, "args");
        return ST_OK;
    }
    doc = object_of(facts_text(v));
    if (doc == NULL)
        return check_invalid(t->from, "arguments", "the JSON of an object");
    making_put_value(t->to, to, "args", yyjson_doc_get_root(doc));
    yyjson_doc_free(doc);
    return ST_OK;
}

/* id: empty = the call has none. */
static enum status add_call(struct turns *t, struct slice id, struct slice signature, yyjson_val *called, bool custom)
{
    struct slice name = {NULL, 0};
    yyjson_mut_val *part, *made;
    enum status st = check_name(t->from, called, "name", &name);

    if (st != ST_OK)
        return st;
    part = making_push_object(t->to, parts_of(t, true));
    made = making_put_object(t->to, part, "functionCall");
    if (id.n > 0)
        making_put_text(t->to, made, "id", id);
    making_put_text(t->to, made, "name", name);
    st = put_args(t, made, called, custom);
    if (signature.n == 0 && !t->called && t->family == GEMINI_LEVEL)
        signature = slice_of(GEMINI_LOST_SIGNATURE); /* of parallel calls the first one has it */
    if (signature.n > 0)
        making_put_text(t->to, part, "thoughtSignature", signature);
    t->called = true;
    return st;
}

/* An image that the model made before, to be edited. */
static enum status take_image(struct turns *t, yyjson_val *image)
{
    struct slice signature = {NULL, 0};
    enum status st = check_is(t->from, NULL, image, IS_OBJECT);

    if (st == ST_OK)
        st = signature_of(t, image, &signature);
    if (st == ST_OK)
        st = add_image(t, true, image);
    if (st != ST_OK)
        return st;
    if (signature.n == 0 && t->family == GEMINI_LEVEL)
        signature = slice_of(GEMINI_LOST_SIGNATURE);
    if (signature.n > 0)
        making_put_text(t->to, yyjson_mut_arr_get_last(t->parts), "thoughtSignature", signature);
    return ST_OK;
}

static enum status take_images(struct turns *t, yyjson_val *message)
{
    yyjson_val *images = NULL, *image;
    enum status st = check_get(t->from, message, "images", IS_ARRAY, &images);
    size_t i, n;

    yyjson_arr_foreach(images, i, n, image)
    {
        check_enter_item(t->from, "images", i);
        st = take_image(t, image);
        if (st != ST_OK)
            return st;
        check_leave(t->from);
    }
    return st;
}

static enum status take_tool_call(struct turns *t, yyjson_val *call)
{
    yyjson_val *type = yyjson_obj_get(call, "type"), *called = NULL;
    struct slice id = {NULL, 0}, signature = {NULL, 0};
    enum status st = check_is(t->from, NULL, call, IS_OBJECT);
    bool custom = yyjson_equals_str(type, "custom");

    if (st != ST_OK)
        return st;
    if (type != NULL && !custom && !yyjson_equals_str(type, "function"))
        return check_invalid(t->from, "type", "one of 'function' and 'custom'");
    st = check_need(t->from, call, custom ? "custom" : "function", IS_OBJECT, &called);
    if (st == ST_OK)
        st = check_name(t->from, call, "id", &id);
    if (st == ST_OK)
        st = signature_of(t, call, &signature);
    if (st != ST_OK)
        return st;
    check_enter(t->from, custom ? "custom" : "function");
    st = add_call(t, id, signature, called, custom);
    check_leave(t->from);
    return st;
}

static enum status take_tool_calls(struct turns *t, yyjson_val *message)
{
    yyjson_val *calls = NULL, *function = NULL, *call;
    struct slice signature = {NULL, 0};
    enum status st = check_get(t->from, message, "tool_calls", IS_ARRAY, &calls);
    size_t i, n;

    yyjson_arr_foreach(calls, i, n, call)
    {
        check_enter_item(t->from, "tool_calls", i);
        st = take_tool_call(t, call);
        if (st != ST_OK)
            return st;
        check_leave(t->from);
    }
    if (st == ST_OK)
        st = check_get(t->from, message, "function_call", IS_OBJECT, &function);
    if (st != ST_OK || function == NULL)
        return st;
    check_enter(t->from, "function_call");
    st = signature_of(t, function, &signature);
    if (st == ST_OK)
        st = add_call(t, (struct slice){NULL, 0}, signature, function, false);
    check_leave(t->from);
    return st;
}

/* The texts of a result: the string itself, or a copy of all text parts one after another, which *joined holds. */
static enum status result_text(struct turns *t, yyjson_val *content, struct buf *joined, struct slice *ret)
{
    struct slice text = {NULL, 0}, type = {NULL, 0};
    enum status st;
    yyjson_val *part;
    size_t i, n;

    if (check_absent(content))
        return check_missing(t->from, "content");
    st = check_is(t->from, "content", content, IS_STRING | IS_ARRAY);
    *ret = facts_text(content);
    if (st != ST_OK || yyjson_is_str(content))
        return st;
    yyjson_arr_foreach(content, i, n, part)
    {
        check_enter_item(t->from, "content", i);
        st = check_is(t->from, NULL, part, IS_OBJECT);
        if (st == ST_OK)
            st = check_name(t->from, part, "type", &type);
        if (st == ST_OK && !slice_is(type, "text"))
            st = check_invalid(t->from, "type", "'text'");
        if (st == ST_OK)
            st = text_of(t, part, "text", &text);
        if (st == ST_OK)
            st = buf_add(joined, text.p, text.n);
        if (st != ST_OK)
            return st;
        check_leave(t->from);
    }
    *ret = (struct slice){joined->p != NULL ? joined->p : "", joined->n};
    return ST_OK;
}

/* Has it a member "$ref"? What is nested deeper than JSON of the client's may be counts as if. */
static bool has_reference(yyjson_val *v, unsigned depth)
{
    yyjson_val *key, *item;
    size_t i, n;

    if (depth > JSON_DEPTH_MAX || yyjson_obj_get(v, "$ref") != NULL)
        return true;
    yyjson_arr_foreach(v, i, n, item)
    {
        if (yyjson_is_ctn(item) && has_reference(item, depth + 1))
            return true;
    }
    if (!yyjson_is_obj(v))
        return false;
    yyjson_obj_foreach(v, i, n, key, item)
    {
        if (yyjson_is_ctn(item) && has_reference(item, depth + 1))
            return true;
    }
    return false;
}

/* An object goes as it is, all else as its member "result". A "$ref" in an object means a picture to Google, beside
 * it in the functionResponse: a tool that answers with a JSON schema would be a 400 ("The referenced name '…' in
 * function_response.response does not match to a display_name …") now and in every later turn. In a text it is a text.
 */
static void put_result(struct turns *t, yyjson_mut_val *response, struct slice text)
{
    yyjson_doc *doc = object_of(text);

    if (doc != NULL && !has_reference(yyjson_doc_get_root(doc), 1))
        making_put_value(t->to, response, "response", yyjson_doc_get_root(doc));
    else
        making_put_copy(t->to, making_put_object(t->to, response, "response"), "result", text);
    yyjson_doc_free(doc);
}

static enum status add_result(struct turns *t, struct slice id, struct slice name, yyjson_val *message)
{
    yyjson_mut_val *response;
    struct slice text = {NULL, 0};
    struct buf joined;
    enum status st;

    buf_init(&joined, LIMIT_BODY);
    st = result_text(t, yyjson_obj_get(message, "content"), &joined, &text);
    if (st == ST_OK) {
        response = making_put_object(t->to, making_push_object(t->to, parts_of(t, false)), "functionResponse");
        if (id.n > 0)
            making_put_text(t->to, response, "id", id);
        making_put_text(t->to, response, "name", name);
        put_result(t, response, text);
    }
    buf_fini(&joined);
    return st;
}

/* ---- which call an id means --------------------------------------------------------------------------------------
 */

static int compare_ids(struct slice a, struct slice b)
{
    int c = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);

    return c != 0 ? c : (a.n > b.n) - (a.n < b.n);
}

static int by_id_then_message(const void *x, const void *y)
{
    const struct known_call *a = x, *b = y;
    int c = compare_ids(a->id, b->id);

    return c != 0 ? c : (a->message > b->message) - (a->message < b->message);
}

/* Ids may be used again later in a conversation, so the last call before the result is meant. */
static const struct known_call *call_before(const struct turns *t, struct slice id, size_t message)
{
    struct known_call key = {.id = id, .message = message};
    size_t low = 0, high = t->n_calls;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (by_id_then_message(&t->calls[middle], &key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 && slice_eq(t->calls[low - 1].id, id) ? &t->calls[low - 1] : NULL;
}

static enum status note_calls(yyjson_val *messages, struct buf *calls)
{
    enum status st = ST_OK;
    yyjson_val *message, *call;
    size_t i, n, j, m;

    yyjson_arr_foreach(messages, i, n, message)
    {
        yyjson_val *list = yyjson_obj_get(message, "tool_calls");

        yyjson_arr_foreach(list, j, m, call)
        {
            bool custom = yyjson_equals_str(yyjson_obj_get(call, "type"), "custom");
            yyjson_val *called = yyjson_obj_get(call, custom ? "custom" : "function");
            struct known_call known = {facts_text(yyjson_obj_get(call, "id")),
                                       facts_text(yyjson_obj_get(called, "name")), i};

            if (known.id.n > 0 && known.name.n > 0 && st == ST_OK)
                st = buf_add(calls, &known, sizeof(known));
        }
    }
    return st;
}

static enum status take_tool(struct turns *t, yyjson_val *message, size_t place)
{
    struct slice id = {NULL, 0};
    const struct known_call *call;
    enum status st = check_name(t->from, message, "tool_call_id", &id);

    if (st != ST_OK)
        return st;
    call = call_before(t, id, place);
    if (call != NULL)
        return add_result(t, id, call->name, message);
    return check_invalid(t->from, "tool_call_id", "the id of a tool call in an earlier message");
}

static enum status take_function(struct turns *t, yyjson_val *message)
{
    struct slice name = {NULL, 0};
    enum status st = check_name(t->from, message, "name", &name);

    return st == ST_OK ? add_result(t, (struct slice){NULL, 0}, name, message) : st;
}

/* ---- messages ----------------------------------------------------------------------------------------------------
 */

static enum status take_system(struct turns *t, yyjson_val *content)
{
    enum status st = take_parts(t, content, take_system_part);

    if (st == ST_OK)
        add_system(t, facts_text(content));
    return st;
}

static enum status take_user(struct turns *t, yyjson_val *content)
{
    enum status st = take_parts(t, content, take_user_part);

    if (st == ST_OK)
        add_text(t, false, facts_text(content));
    return st;
}

static enum status take_assistant(struct turns *t, yyjson_val *message, yyjson_val *content)
{
    yyjson_val *refusal = NULL;
    enum status st = ST_OK;

    if (!check_absent(yyjson_obj_get(message, "audio")))
        st = check_unsupported(t->from, "audio");
    if (st == ST_OK && !check_absent(content))
        st = take_parts(t, content, take_model_part);
    if (st == ST_OK)
        st = check_get(t->from, message, "refusal", IS_STRING, &refusal);
    if (st != ST_OK)
        return st;
    add_text(t, true, facts_text(content));
    add_text(t, true, facts_text(refusal));
    st = take_images(t, message);
    return st == ST_OK ? take_tool_calls(t, message) : st;
}

static enum status take_message(struct turns *t, yyjson_val *message, size_t place)
{
    yyjson_val *content = yyjson_obj_get(message, "content");
    struct slice role = {NULL, 0};
    enum status st = check_is(t->from, NULL, message, IS_OBJECT);

    if (st == ST_OK)
        st = check_name(t->from, message, "role", &role);
    if (st != ST_OK)
        return st;
    if (slice_is(role, "system") || slice_is(role, "developer"))
        return take_system(t, content);
    if (slice_is(role, "user"))
        return take_user(t, content);
    if (slice_is(role, "assistant"))
        return take_assistant(t, message, content);
    if (slice_is(role, "tool"))
        return take_tool(t, message, place);
    if (slice_is(role, "function"))
        return take_function(t, message);
    return check_invalid(t->from, "role", "one of 'system', 'developer', 'user', 'assistant', 'tool' and 'function'");
}

static enum status take_messages(struct turns *t, yyjson_val *messages)
{
    enum status st = ST_OK;
    yyjson_val *message;
    size_t i, n;

    yyjson_arr_foreach(messages, i, n, message)
    {
        check_enter_item(t->from, "messages", i);
        st = take_message(t, message, i);
        if (st != ST_OK)
            return st;
        check_leave(t->from);
    }
    /* OpenAI answers instructions alone, or nothing; Google wants contents. */
    if (t->parts == NULL && yyjson_arr_size(messages) > 0)
        add_text(t, false, slice_of(TRANSLATE_EMPTY_TURN));
    if (t->parts == NULL && !t->to->lost)
        return check_invalid(t->from, "messages", "at least one message");
    return ST_OK;
}

enum status gemini_messages(struct asking *a, yyjson_val *messages)
{
    struct turns t = {.from = &a->r.from, .to = &a->r.to, .family = a->family};
    struct buf calls;
    enum status st;

    if (messages == NULL)
        return check_missing(t.from, "messages");
    st = check_is(t.from, "messages", messages, IS_ARRAY);
    if (st != ST_OK)
        return st;
    t.contents = making_array(t.to);
    buf_init(&calls, CALLS_MAX_BYTES);
    st = note_calls(messages, &calls);
    if (st == ST_OK) {
        t.calls = (struct known_call *)(void *)calls.p;
        t.n_calls = calls.n / sizeof(*t.calls);
        if (t.n_calls > 0)
            qsort(t.calls, t.n_calls, sizeof(*t.calls), by_id_then_message);
        st = take_messages(&t, messages);
    } else {
        st = err_set(t.from->err, st, "%s", status_text(st));
    }
    if (st == ST_OK)
        making_put(t.to, t.to->root, "contents", t.contents);
    buf_fini(&calls);
    return st;
}
