/* Messages: chat's list of them becomes systemInstruction and contents (contract, section 5.1). */
#include "providersvc/dialects/chat_to_gemini_private.h"

#include <stdlib.h>
#include <string.h>

#define CALLS_MAX_BYTES (2u * LIMIT_BODY) /* of the list of tool calls: the body bounds their number */

/* A tool call of the history: what its results are called. */
struct known_call {
    struct slice id, name;
    size_t message;
};

struct turns {
    struct asking *a;
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
    content = making_push_object(&t->a->out, t->contents);
    making_put_word(&t->a->out, content, "role", model ? "model" : "user");
    t->parts = making_put_array(&t->a->out, content, "parts");
    t->model = model;
    t->called = false;
    return t->parts;
}

static void add_text(struct turns *t, bool model, struct slice text)
{
    if (text.n > 0)
        making_put_text(&t->a->out, making_push_object(&t->a->out, parts_of(t, model)), "text", text);
}

/* ---- parts of content --------------------------------------------------------------------------------------------
 */

static void add_blob(struct turns *t, struct slice type, struct slice base64)
{
    yyjson_mut_val *part = making_push_object(&t->a->out, parts_of(t, false));
    yyjson_mut_val *blob = making_put_object(&t->a->out, part, "inlineData");

    making_put_text(&t->a->out, blob, "mimeType", type);
    making_put_text(&t->a->out, blob, "data", base64);
}

static bool starts(struct slice s, const char *with)
{
    return s.n >= strlen(with) && memcmp(s.p, with, strlen(with)) == 0;
}

/* data:TYPE[;…];base64,DATA */
static bool split_data_url(struct slice url, struct slice *type, struct slice *data)
{
    static const char mark[] = ";base64";
    const size_t n_mark = sizeof(mark) - 1;
    const char *comma = memchr(url.p, ',', url.n);
    const char *start = url.p + strlen("data:");
    const char *semicolon;

    if (comma == NULL || (size_t)(comma - start) < n_mark || memcmp(comma - n_mark, mark, n_mark) != 0)
        return false;
    semicolon = memchr(start, ';', (size_t)(comma - start));
    *type = (struct slice){start, (size_t)(semicolon - start)};
    *data = (struct slice){comma + 1, url.n - (size_t)(comma + 1 - url.p)};
    return data->n > 0 && type->n > 0 && memchr(type->p, '/', type->n) != NULL;
}

static enum status add_data_url(struct turns *t, struct slice url, const char *path)
{
    struct slice type, data;

    if (!split_data_url(url, &type, &data))
        return asking_invalid(t->a, path, "a data URL of the form 'data:TYPE;base64,DATA'");
    add_blob(t, type, data);
    return ST_OK;
}

/* What Gemini fetches itself; the router fetches nothing for a client. */
static bool google_uri(struct slice url)
{
    static const char *const known[] = {"https://generativelanguage.googleapis.com/", "https://www.youtube.com/",
                                        "https://youtube.com/", "https://youtu.be/"};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (starts(url, known[i]))
            return true;
    return false;
}

static enum status add_image(struct turns *t, yyjson_val *part, const char *path)
{
    yyjson_val *image = yyjson_obj_get(part, "image_url");
    struct slice url = {NULL, 0};
    char at[ERR_PARAM_MAX];
    enum status st;

    asking_path(at, "%s.image_url", path);
    if (asking_absent(image))
        return asking_missing(t->a, at);
    if (!yyjson_is_obj(image))
        return asking_wrong_type(t->a, at, "an object", image);
    st = asking_name(t->a, image, "url", at, &url);
    if (st != ST_OK)
        return st;
    asking_path(at, "%s.image_url.url", path);
    if (starts(url, "data:"))
        return add_data_url(t, url, at);
    if (!google_uri(url))
        return asking_invalid(t->a, at,
                              "a data URL, or a file of Google's or a video of YouTube's (this model's provider loads "
                              "nothing from elsewhere)");
    making_put_text(&t->a->out,
                    making_put_object(&t->a->out, making_push_object(&t->a->out, parts_of(t, false)), "fileData"),
                    "fileUri", url);
    return ST_OK;
}

static enum status add_audio(struct turns *t, yyjson_val *part, const char *path)
{
    yyjson_val *audio = yyjson_obj_get(part, "input_audio");
    struct slice data = {NULL, 0}, format = {NULL, 0};
    char at[ERR_PARAM_MAX];
    enum status st;

    asking_path(at, "%s.input_audio", path);
    if (asking_absent(audio))
        return asking_missing(t->a, at);
    if (!yyjson_is_obj(audio))
        return asking_wrong_type(t->a, at, "an object", audio);
    st = asking_name(t->a, audio, "data", at, &data);
    if (st == ST_OK)
        st = asking_name(t->a, audio, "format", at, &format);
    if (st != ST_OK)
        return st;
    if (!slice_is(format, "wav") && !slice_is(format, "mp3")) {
        asking_path(at, "%s.input_audio.format", path);
        return asking_invalid(t->a, at, "one of 'wav' and 'mp3'");
    }
    add_blob(t, slice_of(slice_is(format, "wav") ? "audio/wav" : "audio/mp3"), data);
    return ST_OK;
}

static enum status add_file(struct turns *t, yyjson_val *part, const char *path)
{
    yyjson_val *file = yyjson_obj_get(part, "file");
    struct slice url = {NULL, 0};
    char at[ERR_PARAM_MAX];
    enum status st;

    asking_path(at, "%s.file", path);
    if (asking_absent(file))
        return asking_missing(t->a, at);
    if (!yyjson_is_obj(file))
        return asking_wrong_type(t->a, at, "an object", file);
    if (!asking_absent(yyjson_obj_get(file, "file_id"))) {
        asking_path(at, "%s.file.file_id", path);
        return translate_unsupported(t->a->call, at, GEMINI_NAME, t->a->err);
    }
    st = asking_name(t->a, file, "file_data", at, &url);
    if (st != ST_OK)
        return st;
    asking_path(at, "%s.file.file_data", path);
    return starts(url, "data:") ? add_data_url(t, url, at)
                                : asking_invalid(t->a, at, "a data URL of the form 'data:TYPE;base64,DATA'");
}

/* ---- content -----------------------------------------------------------------------------------------------------
 */

/* Takes one part that is an object; type and, of text, the text. */
typedef enum status (*part_taker)(struct turns *t, yyjson_val *part, struct slice type, const char *path);

static enum status text_of(struct turns *t, yyjson_val *part, const char *key, const char *path, struct slice *ret)
{
    yyjson_val *v = yyjson_obj_get(part, key);
    char at[ERR_PARAM_MAX];

    asking_path(at, "%s.%s", path, key);
    if (v == NULL)
        return asking_missing(t->a, at);
    if (!yyjson_is_str(v))
        return asking_wrong_type(t->a, at, "a string", v);
    *ret = facts_text(v);
    return ST_OK;
}

static enum status wrong_part(struct turns *t, const char *path, const char *expected)
{
    char at[ERR_PARAM_MAX];

    asking_path(at, "%s.type", path);
    return asking_invalid(t->a, at, expected);
}

static enum status take_user_part(struct turns *t, yyjson_val *part, struct slice type, const char *path)
{
    struct slice text = {NULL, 0};
    enum status st;

    if (slice_is(type, "image_url"))
        return add_image(t, part, path);
    if (slice_is(type, "input_audio"))
        return add_audio(t, part, path);
    if (slice_is(type, "file"))
        return add_file(t, part, path);
    if (!slice_is(type, "text"))
        return wrong_part(t, path, "one of 'text', 'image_url', 'input_audio' and 'file'");
    st = text_of(t, part, "text", path, &text);
    if (st == ST_OK)
        add_text(t, false, text);
    return st;
}

static enum status take_model_part(struct turns *t, yyjson_val *part, struct slice type, const char *path)
{
    struct slice text = {NULL, 0};
    enum status st;

    if (!slice_is(type, "text") && !slice_is(type, "refusal"))
        return wrong_part(t, path, "one of 'text' and 'refusal'");
    st = text_of(t, part, slice_is(type, "text") ? "text" : "refusal", path, &text);
    if (st == ST_OK)
        add_text(t, true, text);
    return st;
}

static void add_system(struct turns *t, struct slice text)
{
    if (text.n == 0)
        return;
    if (t->system == NULL)
        t->system =
            making_put_array(&t->a->out, making_put_object(&t->a->out, t->a->out.root, "systemInstruction"), "parts");
    making_put_text(&t->a->out, making_push_object(&t->a->out, t->system), "text", text);
}

static enum status take_system_part(struct turns *t, yyjson_val *part, struct slice type, const char *path)
{
    struct slice text = {NULL, 0};
    enum status st;

    if (!slice_is(type, "text"))
        return wrong_part(t, path, "'text'");
    st = text_of(t, part, "text", path, &text);
    if (st == ST_OK)
        add_system(t, text);
    return st;
}

static enum status take_parts(struct turns *t, yyjson_val *content, const char *path, part_taker take)
{
    char at[ERR_PARAM_MAX];
    struct slice type = {NULL, 0};
    enum status st = ST_OK;
    yyjson_val *part;
    size_t i, n;

    yyjson_arr_foreach(content, i, n, part)
    {
        asking_path(at, "%s[%zu]", path, i);
        if (!yyjson_is_obj(part))
            return asking_wrong_type(t->a, at, "an object", part);
        st = asking_name(t->a, part, "type", at, &type);
        if (st == ST_OK)
            st = take(t, part, type, at);
        if (st != ST_OK)
            break;
    }
    return st;
}

static enum status wrong_content(struct turns *t, yyjson_val *content, const char *path)
{
    if (asking_absent(content))
        return asking_missing(t->a, path);
    return asking_wrong_type(t->a, path, "a string or an array of objects", content);
}

/* ---- tool calls and their results --------------------------------------------------------------------------------
 */

static enum status signature_of(struct turns *t, yyjson_val *call, const char *path, struct slice *ret)
{
    yyjson_val *google = yyjson_obj_get(yyjson_obj_get(call, "extra_content"), "google");
    yyjson_val *v = yyjson_obj_get(google, "thought_signature");
    char at[ERR_PARAM_MAX];

    *ret = (struct slice){NULL, 0};
    if (asking_absent(v))
        return ST_OK;
    asking_path(at, "%s.extra_content.google.thought_signature", path);
    if (!yyjson_is_str(v))
        return asking_wrong_type(t->a, at, "a string", v);
    *ret = facts_text(v);
    return ST_OK;
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

static enum status put_args(struct turns *t, yyjson_mut_val *to, yyjson_val *function, const char *path)
{
    yyjson_val *v = yyjson_obj_get(function, "arguments");
    char at[ERR_PARAM_MAX];
    yyjson_doc *doc;

    asking_path(at, "%s.arguments", path);
    if (asking_absent(v))
        return asking_missing(t->a, at);
    if (!yyjson_is_str(v))
        return asking_wrong_type(t->a, at, "a string", v);
    if (yyjson_get_len(v) == 0) {
        making_put_object(&t->a->out, to, "args");
        return ST_OK;
    }
    doc = object_of(facts_text(v));
    if (doc == NULL)
        return asking_invalid(t->a, at, "the JSON of an object");
    making_put_value(&t->a->out, to, "args", yyjson_doc_get_root(doc));
    yyjson_doc_free(doc);
    return ST_OK;
}

/* id: empty = the call has none. call: where its signature is looked for. */
static enum status add_call(struct turns *t, struct slice id, yyjson_val *call, yyjson_val *function, const char *path,
                            const char *function_path)
{
    struct slice name = {NULL, 0}, signature;
    yyjson_mut_val *part, *made;
    enum status st = asking_name(t->a, function, "name", function_path, &name);

    if (st == ST_OK)
        st = signature_of(t, call, path, &signature);
    if (st != ST_OK)
        return st;
    part = making_push_object(&t->a->out, parts_of(t, true));
    made = making_put_object(&t->a->out, part, "functionCall");
    if (id.n > 0)
        making_put_text(&t->a->out, made, "id", id);
    making_put_text(&t->a->out, made, "name", name);
    st = put_args(t, made, function, function_path);
    if (signature.n == 0 && !t->called && t->a->family == GEMINI_LEVEL)
        signature = slice_of(GEMINI_LOST_SIGNATURE); /* of parallel calls the first one has it */
    if (signature.n > 0)
        making_put_text(&t->a->out, part, "thoughtSignature", signature);
    t->called = true;
    return st;
}

static enum status take_tool_call(struct turns *t, yyjson_val *call, const char *path)
{
    yyjson_val *type = yyjson_obj_get(call, "type");
    yyjson_val *function = yyjson_obj_get(call, "function");
    struct slice id = {NULL, 0};
    char at[ERR_PARAM_MAX];
    enum status st;

    if (!yyjson_is_obj(call))
        return asking_wrong_type(t->a, path, "an object", call);
    if (yyjson_equals_str(type, "custom"))
        return translate_unsupported(t->a->call, path, GEMINI_NAME, t->a->err);
    if (type != NULL && !yyjson_equals_str(type, "function"))
        return wrong_part(t, path, "one of 'function' and 'custom'");
    asking_path(at, "%s.function", path);
    if (asking_absent(function))
        return asking_missing(t->a, at);
    if (!yyjson_is_obj(function))
        return asking_wrong_type(t->a, at, "an object", function);
    st = asking_name(t->a, call, "id", path, &id);
    return st == ST_OK ? add_call(t, id, call, function, path, at) : st;
}

static enum status take_tool_calls(struct turns *t, yyjson_val *message, const char *path)
{
    yyjson_val *calls = yyjson_obj_get(message, "tool_calls"), *function = yyjson_obj_get(message, "function_call");
    char at[ERR_PARAM_MAX];
    enum status st = ST_OK;
    yyjson_val *call;
    size_t i, n;

    asking_path(at, "%s.tool_calls", path);
    if (!asking_absent(calls) && !yyjson_is_arr(calls))
        return asking_wrong_type(t->a, at, "an array of objects", calls);
    yyjson_arr_foreach(calls, i, n, call)
    {
        asking_path(at, "%s.tool_calls[%zu]", path, i);
        st = take_tool_call(t, call, at);
        if (st != ST_OK)
            return st;
    }
    if (asking_absent(function))
        return ST_OK;
    asking_path(at, "%s.function_call", path);
    if (!yyjson_is_obj(function))
        return asking_wrong_type(t->a, at, "an object", function);
    return add_call(t, (struct slice){NULL, 0}, function, function, at, at);
}

/* The texts of a result: the string itself, or a copy of all text parts one after another, which *joined holds. */
static enum status result_text(struct turns *t, yyjson_val *content, const char *path, struct buf *joined,
                               struct slice *ret)
{
    struct slice text = {NULL, 0}, type = {NULL, 0};
    char at[ERR_PARAM_MAX];
    enum status st = ST_OK;
    yyjson_val *part;
    size_t i, n;

    *ret = facts_text(content);
    if (yyjson_is_str(content))
        return ST_OK;
    if (!yyjson_is_arr(content))
        return wrong_content(t, content, path);
    yyjson_arr_foreach(content, i, n, part)
    {
        asking_path(at, "%s[%zu]", path, i);
        if (!yyjson_is_obj(part))
            return asking_wrong_type(t->a, at, "an object", part);
        st = asking_name(t->a, part, "type", at, &type);
        if (st == ST_OK && !slice_is(type, "text"))
            st = wrong_part(t, at, "'text'");
        if (st == ST_OK)
            st = text_of(t, part, "text", at, &text);
        if (st == ST_OK)
            st = buf_add(joined, text.p, text.n);
        if (st != ST_OK)
            return st;
    }
    *ret = (struct slice){joined->p != NULL ? joined->p : "", joined->n};
    return ST_OK;
}

/* An object goes as it is, all else as its member "result". */
static void put_result(struct turns *t, yyjson_mut_val *response, struct slice text)
{
    yyjson_doc *doc = object_of(text);

    if (doc != NULL)
        making_put_value(&t->a->out, response, "response", yyjson_doc_get_root(doc));
    else
        making_put_copy(&t->a->out, making_put_object(&t->a->out, response, "response"), "result", text);
    yyjson_doc_free(doc);
}

static enum status add_result(struct turns *t, struct slice id, struct slice name, yyjson_val *message,
                              const char *path)
{
    yyjson_mut_val *response;
    struct slice text = {NULL, 0};
    char at[ERR_PARAM_MAX];
    struct buf joined;
    enum status st;

    buf_init(&joined, LIMIT_BODY);
    asking_path(at, "%s.content", path);
    st = result_text(t, yyjson_obj_get(message, "content"), at, &joined, &text);
    if (st == ST_OK) {
        response =
            making_put_object(&t->a->out, making_push_object(&t->a->out, parts_of(t, false)), "functionResponse");
        if (id.n > 0)
            making_put_text(&t->a->out, response, "id", id);
        making_put_text(&t->a->out, response, "name", name);
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
            struct known_call known = {facts_text(yyjson_obj_get(call, "id")),
                                       facts_text(yyjson_obj_get(yyjson_obj_get(call, "function"), "name")), i};

            if (known.id.n > 0 && known.name.n > 0 && st == ST_OK)
                st = buf_add(calls, &known, sizeof(known));
        }
    }
    return st;
}

static enum status take_tool(struct turns *t, yyjson_val *message, size_t place, const char *path)
{
    struct slice id = {NULL, 0};
    const struct known_call *call;
    char at[ERR_PARAM_MAX];
    enum status st = asking_name(t->a, message, "tool_call_id", path, &id);

    if (st != ST_OK)
        return st;
    call = call_before(t, id, place);
    if (call != NULL)
        return add_result(t, id, call->name, message, path);
    asking_path(at, "%s.tool_call_id", path);
    return asking_invalid(t->a, at, "the id of a tool call in an earlier message");
}

static enum status take_function(struct turns *t, yyjson_val *message, const char *path)
{
    struct slice name = {NULL, 0};
    enum status st = asking_name(t->a, message, "name", path, &name);

    return st == ST_OK ? add_result(t, (struct slice){NULL, 0}, name, message, path) : st;
}

/* ---- messages ----------------------------------------------------------------------------------------------------
 */

static enum status take_system(struct turns *t, yyjson_val *content, const char *path)
{
    if (yyjson_is_arr(content))
        return take_parts(t, content, path, take_system_part);
    if (!yyjson_is_str(content))
        return wrong_content(t, content, path);
    add_system(t, facts_text(content));
    return ST_OK;
}

static enum status take_user(struct turns *t, yyjson_val *content, const char *path)
{
    if (yyjson_is_arr(content))
        return take_parts(t, content, path, take_user_part);
    if (!yyjson_is_str(content))
        return wrong_content(t, content, path);
    add_text(t, false, facts_text(content));
    return ST_OK;
}

static enum status take_assistant(struct turns *t, yyjson_val *message, yyjson_val *content, const char *path,
                                  const char *content_path)
{
    yyjson_val *refusal = yyjson_obj_get(message, "refusal");
    char at[ERR_PARAM_MAX];
    enum status st = ST_OK;

    if (!asking_absent(yyjson_obj_get(message, "audio"))) {
        asking_path(at, "%s.audio", path);
        st = translate_unsupported(t->a->call, at, GEMINI_NAME, t->a->err);
    }
    if (st == ST_OK && yyjson_is_arr(content))
        st = take_parts(t, content, content_path, take_model_part);
    else if (st == ST_OK && !asking_absent(content) && !yyjson_is_str(content))
        st = wrong_content(t, content, content_path);
    else if (st == ST_OK)
        add_text(t, true, facts_text(content));
    asking_path(at, "%s.refusal", path);
    if (st == ST_OK && !asking_absent(refusal) && !yyjson_is_str(refusal))
        st = asking_wrong_type(t->a, at, "a string", refusal);
    if (st != ST_OK)
        return st;
    add_text(t, true, facts_text(refusal));
    return take_tool_calls(t, message, path);
}

static enum status take_message(struct turns *t, yyjson_val *message, size_t place)
{
    yyjson_val *content = yyjson_obj_get(message, "content");
    char path[ERR_PARAM_MAX], content_path[ERR_PARAM_MAX];
    struct slice role = {NULL, 0};
    enum status st;

    asking_path(path, "messages[%zu]", place);
    asking_path(content_path, "messages[%zu].content", place);
    if (!yyjson_is_obj(message))
        return asking_wrong_type(t->a, path, "an object", message);
    st = asking_name(t->a, message, "role", path, &role);
    if (st != ST_OK)
        return st;
    if (slice_is(role, "system") || slice_is(role, "developer"))
        return take_system(t, content, content_path);
    if (slice_is(role, "user"))
        return take_user(t, content, content_path);
    if (slice_is(role, "assistant"))
        return take_assistant(t, message, content, path, content_path);
    if (slice_is(role, "tool"))
        return take_tool(t, message, place, path);
    if (slice_is(role, "function"))
        return take_function(t, message, path);
    asking_path(path, "messages[%zu].role", place);
    return asking_invalid(t->a, path, "one of 'system', 'developer', 'user', 'assistant', 'tool' and 'function'");
}

static enum status take_messages(struct turns *t, yyjson_val *messages)
{
    enum status st = ST_OK;
    yyjson_val *message;
    size_t i, n;

    yyjson_arr_foreach(messages, i, n, message)
    {
        st = take_message(t, message, i);
        if (st != ST_OK)
            return st;
    }
    if (t->parts == NULL && !t->a->out.lost)
        return asking_invalid(t->a, "messages", "a message of a user that is not empty");
    return ST_OK;
}

enum status gemini_messages(struct asking *a, yyjson_val *messages)
{
    struct turns t = {.a = a};
    struct buf calls;
    enum status st;

    if (asking_absent(messages))
        return asking_missing(a, "messages");
    if (!yyjson_is_arr(messages))
        return asking_wrong_type(a, "messages", "an array of objects", messages);
    t.contents = yyjson_mut_arr(a->out.doc);
    buf_init(&calls, CALLS_MAX_BYTES);
    st = note_calls(messages, &calls);
    if (st == ST_OK) {
        t.calls = (struct known_call *)(void *)calls.p;
        t.n_calls = calls.n / sizeof(*t.calls);
        if (t.n_calls > 0)
            qsort(t.calls, t.n_calls, sizeof(*t.calls), by_id_then_message);
        st = take_messages(&t, messages);
    } else {
        st = err_set(a->err, st, "%s", status_text(st));
    }
    if (st == ST_OK)
        gemini_making_put(&a->out, a->out.root, "contents", t.contents);
    buf_fini(&calls);
    return st;
}
