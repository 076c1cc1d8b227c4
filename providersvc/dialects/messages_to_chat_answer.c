#include "providersvc/dialects/messages_to_chat.h"

#include <stdlib.h>
#include <string.h>

#include "providersvc/dialects/data_url.h"
#include "services/json.h"

#define BLOCKS_MAX 512 /* of one answer */
#define ID_MAX LIMIT_OBJECT_ID
#define KEY_NONE UINT64_MAX /* a call that upstream gave no index */
#define KEY_FUNCTION (UINT64_MAX - 1) /* chat's old function_call: there is one */
#define NOTES_MAX 4096 /* bytes that are said of images */
#define EVENT_MAX (16u * 1024u * 1024u) /* bytes: what is held, escaped, and a little around it */

/* ---- writing -------------------------------------------------------------------------------------------------------
 */

static void add_number(struct put *w, const char *before, uint64_t number)
{
    put_raw(w, before);
    put_count(w, number);
}

/* Of input, what was read from a cache and written into one stands beside it. whole: as message_start and answers have
 * it; else as message_delta. */
static void add_usage(struct put *w, const struct usage *u, bool whole)
{
    uint64_t written = u->write + u->write_long, beside = u->cached + written;

    add_number(w, "{\"input_tokens\":", u->prompt > beside ? u->prompt - beside : 0);
    add_number(w, ",\"cache_creation_input_tokens\":", written);
    add_number(w, ",\"cache_read_input_tokens\":", u->cached);
    if (whole) {
        add_number(w, ",\"cache_creation\":{\"ephemeral_5m_input_tokens\":", u->write);
        add_number(w, ",\"ephemeral_1h_input_tokens\":", u->write_long);
        put_raw(w, "}");
    }
    add_number(w, ",\"output_tokens\":", u->completion);
    if (u->reasoning > 0) {
        add_number(w, ",\"output_tokens_details\":{\"thinking_tokens\":", u->reasoning);
        put_raw(w, "}");
    }
    put_raw(w, whole ? ",\"service_tier\":\"standard\"}" : "}");
}

static struct slice without(struct slice s, const char *prefix)
{
    size_t n = strlen(prefix);

    return s.n > n && memcmp(s.p, prefix, n) == 0 ? (struct slice){s.p + n, s.n - n} : s;
}

static bool is_plain(struct slice id)
{
    for (size_t i = 0; i < id.n; i++)
        if (id.p[i] <= ' ' || id.p[i] >= 0x7f || id.p[i] == '"' || id.p[i] == '\\')
            return false;
    return id.n > 0 && id.n <= ID_MAX;
}

/* msg_ and upstream's own, or ours where there is none. Up to its content. */
static void add_head(struct put *w, const struct translate_call *call, struct slice id)
{
    struct slice own = is_plain(id) ? without(id, "chatcmpl-") : translate_bare_id(call->request_id);

    put_raw(w, "{\"id\":\"msg_");
    put_bytes(w, own.p, own.n);
    put_raw(w, "\",\"type\":\"message\",\"role\":\"assistant\",\"model\":");
    put_string(w, call->model);
    put_raw(w, ",\"content\":[");
}

/* "id":…,"name":…; k: which block of the answer it is. */
static void add_call(struct put *w, const struct translate_call *call, struct slice id, uint64_t k, struct slice name)
{
    struct slice own = translate_bare_id(call->request_id);

    put_raw(w, "{\"type\":\"tool_use\",\"id\":");
    if (id.n > 0)
        put_string(w, id);
    else {
        put_raw(w, "\"toolu_");
        put_bytes(w, own.p, own.n);
        add_number(w, "_", k);
        put_raw(w, "\"");
    }
    put_raw(w, ",\"name\":");
    put_string(w, name);
    put_raw(w, ",\"input\":");
}

/* Some upstreams say "stop" behind tool calls: an agent that believes it would stop. */
static const char *stop_reason(struct slice finish, bool called, bool refused)
{
    if (slice_is(finish, "content_filter"))
        return "refusal";
    if (slice_is(finish, "length") || slice_is(finish, "model_length"))
        return "max_tokens";
    if (called)
        return "tool_use";
    return refused ? "refusal" : "end_turn";
}

/* ---- images --------------------------------------------------------------------------------------------------------
 */

static size_t decoded_size(struct slice base64)
{
    while (base64.n > 0 && base64.p[base64.n - 1] == '=')
        base64.n--;
    return base64.n / 4 * 3 + base64.n % 4 * 3 / 4;
}

/* Says in words which images a message, or a delta, has: Anthropic's answers have no block for one. It is told where
 * nothing else is: an empty answer, or an error, would look like a failure that is worth another try, which costs
 * again. What has no room in notes is left out. */
static void note_images(yyjson_val *message, struct buf *notes)
{
    yyjson_val *image;
    size_t i, n;

    yyjson_arr_foreach(yyjson_obj_get(message, "images"), i, n, image)
    {
        struct slice url = facts_text(yyjson_obj_get(yyjson_obj_get(image, "image_url"), "url"));
        const char *before = notes->n > 0 ? "\n" : "";
        struct data_url data;

        if (data_url_read(url, &data))
            (void)buf_addf(notes, "%s[image: " SLICE_FMT ", %zu bytes]", before, SLICE_ARG(data.type),
                           decoded_size(data.base64));
        else if (url.n > 0)
            (void)buf_addf(notes, "%s[image: " SLICE_FMT "]", before, SLICE_ARG(url));
    }
}

/* ---- a whole answer ------------------------------------------------------------------------------------------------
 */

struct answering {
    const struct m2c_state *state;
    const struct translate_call *call;
    struct put w;
    uint64_t places; /* blocks so far */
    bool called, refused;
    struct err *err;
};

static void begin_block(struct answering *a)
{
    put_raw(&a->w, a->places++ > 0 ? "," : "");
}

/* All text in a content: a string, or a list of parts with texts (others in it are no text). */
static enum status collect(yyjson_val *content, struct buf *to)
{
    enum status st = ST_OK;
    yyjson_val *part;
    size_t i, n;

    if (yyjson_is_str(content))
        return buf_add(to, yyjson_get_str(content), yyjson_get_len(content));
    yyjson_arr_foreach(content, i, n, part)
    {
        struct slice text = facts_text(yyjson_obj_get(part, "text"));

        if (st == ST_OK)
            st = buf_add(to, text.p, text.n);
    }
    return st;
}

static bool is_content(yyjson_val *v)
{
    return v == NULL || yyjson_is_null(v) || yyjson_is_str(v) || yyjson_is_arr(v);
}

static bool is_list(yyjson_val *v)
{
    return v == NULL || yyjson_is_null(v) || yyjson_is_arr(v);
}

static void answer_block(struct answering *a, const struct buf *text)
{
    if (text->n == 0)
        return;
    begin_block(a);
    put_raw(&a->w, "{\"type\":\"text\",\"text\":");
    put_string(&a->w, (struct slice){text->p, text->n});
    put_raw(&a->w, "}");
}

static enum status answer_text(struct answering *a, yyjson_val *content)
{
    enum status st;
    struct buf text;

    if (!is_content(content))
        return translate_nonsense(a->err, "content is no text");
    buf_init(&text, EVENT_MAX);
    st = collect(content, &text);
    if (st == ST_OK)
        answer_block(a, &text);
    buf_fini(&text);
    return st;
}

static void answer_images(struct answering *a, yyjson_val *message)
{
    struct buf notes;

    buf_init(&notes, NOTES_MAX);
    note_images(message, &notes);
    answer_block(a, &notes);
    buf_fini(&notes);
}

/* Only of models that want it back: who gets no block cannot give it back, and Anthropic's own models, to which a
 * conversation may move on, refuse blocks without their signature. */
static void answer_reasoning(struct answering *a, struct slice text)
{
    if (text.n == 0 || !translate_wants_reasoning(a->call))
        return;
    begin_block(a);
    put_raw(&a->w, "{\"type\":\"thinking\",\"thinking\":");
    put_string(&a->w, text);
    put_raw(&a->w, ",\"signature\":\"\"}");
}

/* The arguments as an object, numbers as they stood; {} where they are none. */
static void add_input(struct put *w, yyjson_val *arguments)
{
    struct slice text = facts_text(arguments);
    yyjson_doc *doc = text.n > 0 ? yyjson_read(text.p, text.n, YYJSON_READ_NUMBER_AS_RAW) : NULL;
    yyjson_val *input = doc != NULL ? yyjson_doc_get_root(doc) : arguments;
    char *json = yyjson_is_obj(input) ? yyjson_val_write(input, 0, NULL) : NULL;

    put_raw(w, json != NULL ? json : "{}");
    free(json);
    yyjson_doc_free(doc);
}

static enum status answer_call(struct answering *a, yyjson_val *id, yyjson_val *function)
{
    struct slice name = facts_text(yyjson_obj_get(function, "name"));

    if (name.n == 0)
        return translate_nonsense(a->err, "a tool call has no name");
    begin_block(a);
    add_call(&a->w, a->call, facts_text(id), a->places - 1, m2c_given_name(&a->state->names, name));
    add_input(&a->w, yyjson_obj_get(function, "arguments"));
    put_raw(&a->w, "}");
    a->called = true;
    return ST_OK;
}

static enum status answer_message(struct answering *a, yyjson_val *message)
{
    yyjson_val *calls = yyjson_obj_get(message, "tool_calls"), *old = yyjson_obj_get(message, "function_call"), *call;
    enum status st;
    uint64_t before;
    size_t i, n;

    answer_reasoning(a, translate_reasoning_of(message));
    st = answer_text(a, yyjson_obj_get(message, "content"));
    before = a->places; /* the content is in it */
    if (st == ST_OK)
        st = answer_text(a, yyjson_obj_get(message, "refusal"));
    a->refused = a->places > before;
    if (st == ST_OK && !is_list(calls))
        st = translate_nonsense(a->err, "tool_calls is no list");
    yyjson_arr_foreach(calls, i, n, call)
    {
        if (st == ST_OK)
            st = answer_call(a, yyjson_obj_get(call, "id"), yyjson_obj_get(call, "function"));
    }
    if (st == ST_OK && yyjson_is_obj(old) && yyjson_arr_size(calls) == 0)
        st = answer_call(a, NULL, old);
    if (st == ST_OK && a->places == 0)
        answer_images(a, message);
    return st;
}

enum status m2c_answer(void *state, const struct translate_call *call, struct slice body, struct buf *out,
                       struct err *err)
{
    struct answering a = {.state = state, .call = call, .w = {out, ST_OK}, .err = err};
    yyjson_doc *doc = yyjson_read(body.p, body.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc), *choice = yyjson_arr_get_first(yyjson_obj_get(root, "choices"));
    yyjson_val *message = yyjson_obj_get(choice, "message");
    struct facts facts = {.failed = false};
    size_t n_before = out->n;
    enum status st;

    (void)dialect_chat.read(body, NULL, NULL, &facts);
    if (facts.failed)
        st = err_set(err, ST_UPSTREAM, "%s", facts.error.message);
    else if (!yyjson_is_obj(message))
        st = translate_nonsense(err, "it has no choice with a message");
    else {
        add_head(&a.w, call, facts_text(yyjson_obj_get(root, "id")));
        st = answer_message(&a, message);
        put_raw(&a.w, "],\"stop_reason\":\"");
        put_raw(&a.w, stop_reason(facts_text(yyjson_obj_get(choice, "finish_reason")), a.called, a.refused));
        put_raw(&a.w, "\",\"stop_sequence\":null,\"usage\":");
        add_usage(&a.w, facts.usage.known ? &facts.usage : &call->counted, true);
        put_raw(&a.w, "}");
    }
    if (st == ST_OK)
        st = a.w.st;
    if (st == ST_TOO_LARGE)
        st = translate_nonsense(err, "it is too large");
    if (st != ST_OK)
        out->n = n_before;
    yyjson_doc_free(doc);
    return st;
}

/* ---- a stream: blocks ----------------------------------------------------------------------------------------------
 */

struct m2c_block {
    bool tool, thinking, open; /* neither of the first two: a text; open: the client was told that it began */
    uint64_t key; /* upstream's index of the call */
    uint64_t place; /* the client's index of the block */
    struct buf id, name;
    struct buf held; /* what the client has not got yet */
    /* How far its arguments are: a JSON object that is complete ends the call. */
    size_t depth;
    bool in_string, escaped, complete;
};

struct streaming {
    struct m2c_state *s;
    const struct translate_call *call;
    const struct translate_sink *to;
    struct err *err;
};

static enum status give(struct streaming *x, const char *name, struct put *w)
{
    if (w->st == ST_TOO_LARGE)
        return translate_nonsense(x->err, "a piece of it is too large");
    if (w->st != ST_OK)
        return w->st;
    return x->to->event(x->to->ctx, slice_of(name), (struct slice){w->out->p, w->out->n});
}

static struct put begin_event(struct streaming *x)
{
    if (x->s->event.max == 0)
        buf_init(&x->s->event, EVENT_MAX);
    x->s->event.n = 0;
    return (struct put){&x->s->event, ST_OK};
}

static enum status give_start(struct streaming *x, struct slice id)
{
    static const struct usage none = {.known = false};
    struct put w = begin_event(x);

    x->s->begun = true;
    put_raw(&w, "{\"type\":\"message_start\",\"message\":");
    add_head(&w, x->call, id);
    put_raw(&w, "],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":");
    add_usage(&w, &none, true);
    put_raw(&w, "}}");
    return give(x, "message_start", &w);
}

static enum status give_block_start(struct streaming *x, struct m2c_block *b)
{
    struct put w = begin_event(x);

    b->open = true;
    b->place = x->s->places++;
    x->s->called |= b->tool;
    add_number(&w, "{\"type\":\"content_block_start\",\"index\":", b->place);
    put_raw(&w, ",\"content_block\":");
    if (b->tool) {
        struct slice name = {b->name.p, b->name.n};

        add_call(&w, x->call, (struct slice){b->id.p, b->id.n}, b->place, m2c_given_name(&x->s->names, name));
        put_raw(&w, "{}}}");
    } else if (b->thinking)
        put_raw(&w, "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}");
    else
        put_raw(&w, "{\"type\":\"text\",\"text\":\"\"}}");
    return give(x, "content_block_start", &w);
}

static enum status give_held(struct streaming *x, struct m2c_block *b)
{
    struct put w = begin_event(x);

    add_number(&w, "{\"type\":\"content_block_delta\",\"index\":", b->place);
    put_raw(&w, b->tool       ? ",\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":"
                : b->thinking ? ",\"delta\":{\"type\":\"thinking_delta\",\"thinking\":"
                              : ",\"delta\":{\"type\":\"text_delta\",\"text\":");
    put_string(&w, (struct slice){b->held.p, b->held.n});
    put_raw(&w, "}}");
    x->s->held -= b->held.n;
    b->held.n = 0;
    return give(x, "content_block_delta", &w);
}

/* Some clients keep only what has a signature, were it an empty one. */
static enum status give_signature(struct streaming *x, const struct m2c_block *b)
{
    struct put w = begin_event(x);

    add_number(&w, "{\"type\":\"content_block_delta\",\"index\":", b->place);
    put_raw(&w, ",\"delta\":{\"type\":\"signature_delta\",\"signature\":\"\"}}");
    return give(x, "content_block_delta", &w);
}

static enum status give_block_stop(struct streaming *x, struct m2c_block *b)
{
    enum status st = b->thinking ? give_signature(x, b) : ST_OK;
    struct put w = begin_event(x);

    buf_fini(&b->held);
    if (st != ST_OK)
        return st;
    add_number(&w, "{\"type\":\"content_block_stop\",\"index\":", b->place);
    put_raw(&w, "}");
    return give(x, "content_block_stop", &w);
}

/* Gives all that can be given. One block is open at a time; the next opens when nothing more can come to it: a text
 * ends where something else begins, a call when its arguments are complete, and with the stream (last) all do. */
static enum status pump(struct streaming *x, bool last)
{
    struct m2c_state *s = x->s;
    enum status st = ST_OK;

    while (st == ST_OK && s->head < s->n) {
        struct m2c_block *b = &s->blocks[s->head];
        bool named = !b->tool || b->name.n > 0;

        if (!named && !last)
            return ST_OK;
        if (named && !b->open)
            st = give_block_start(x, b);
        if (st == ST_OK && named && b->held.n > 0)
            st = give_held(x, b);
        if (st != ST_OK || (!last && (s->head + 1 == s->n || (b->tool && !b->complete))))
            return st;
        if (named)
            st = give_block_stop(x, b);
        s->head++;
    }
    return st;
}

static enum status new_block(struct streaming *x, bool tool, uint64_t key, struct m2c_block **ret)
{
    struct m2c_state *s = x->s;
    struct m2c_block *b;

    if (s->n == BLOCKS_MAX)
        return translate_nonsense(x->err, "it has too many blocks");
    if (s->n == s->cap) {
        size_t cap = s->cap > 0 ? 2 * s->cap : 4;

        b = realloc(s->blocks, cap * sizeof(*b));
        if (b == NULL)
            return ST_NO_MEMORY;
        s->blocks = b;
        s->cap = cap;
    }
    b = &s->blocks[s->n++];
    *b = (struct m2c_block){.tool = tool, .key = key};
    buf_init(&b->id, ID_MAX);
    buf_init(&b->name, ID_MAX);
    buf_init(&b->held, TRANSLATE_STATE_MAX);
    *ret = b;
    return ST_OK;
}

static enum status hold(struct streaming *x, struct m2c_block *b, struct slice text)
{
    if (text.n > TRANSLATE_STATE_MAX - x->s->held)
        return translate_nonsense(x->err, "too much of it is unfinished");
    x->s->held += text.n;
    return buf_add(&b->held, text.p, text.n);
}

static enum status take_text(struct streaming *x, struct slice text, bool thinking)
{
    struct m2c_state *s = x->s;
    struct m2c_block *b = s->n > 0 ? &s->blocks[s->n - 1] : NULL;
    enum status st = ST_OK;

    if (text.n == 0)
        return ST_OK;
    if (b == NULL || b->tool || b->thinking != thinking) {
        st = new_block(x, false, KEY_NONE, &b);
        if (st == ST_OK)
            b->thinking = thinking;
    }
    if (st == ST_OK)
        st = hold(x, b, text);
    return st == ST_OK ? pump(x, false) : st;
}

static enum status take_content(struct streaming *x, yyjson_val *content)
{
    enum status st = ST_OK;
    yyjson_val *part;
    size_t i, n;

    if (!is_content(content))
        return translate_nonsense(x->err, "content is no text");
    if (yyjson_is_str(content))
        return take_text(x, facts_text(content), false);
    yyjson_arr_foreach(content, i, n, part)
    {
        if (st == ST_OK)
            st = take_text(x, facts_text(yyjson_obj_get(part, "text")), false);
    }
    return st;
}

/* ---- a stream: calls -----------------------------------------------------------------------------------------------
 */

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Follows the arguments. false: something stands behind their end. */
static bool scan(struct m2c_block *b, struct slice json)
{
    for (size_t i = 0; i < json.n; i++) {
        char c = json.p[i];

        if (b->complete && !is_space(c))
            return false;
        if (b->escaped)
            b->escaped = false;
        else if (b->in_string && c == '\\')
            b->escaped = true;
        else if (c == '"')
            b->in_string = !b->in_string;
        else if (!b->in_string && (c == '{' || c == '['))
            b->depth++;
        else if (!b->in_string && (c == '}' || c == ']') && b->depth > 0)
            b->complete = --b->depth == 0;
    }
    return true;
}

static struct m2c_block *last_tool(const struct m2c_state *s, uint64_t key, struct slice id)
{
    for (size_t i = s->n; i-- > 0;) {
        struct m2c_block *b = &s->blocks[i];

        if (b->tool && (key == KEY_NONE || b->key == key) &&
            (id.n == 0 || b->id.n == 0 || slice_eq((struct slice){b->id.p, b->id.n}, id)))
            return b;
        if (b->tool && key != KEY_NONE && b->key == key)
            return NULL; /* the same index with another id: some upstreams number all calls 0 */
    }
    return NULL;
}

/* Which call a fragment belongs to: chat says it by the index, which some upstreams leave out. Then the id tells, and
 * where there is none, a name begins a call. */
static enum status find_call(struct streaming *x, uint64_t key, struct slice id, struct slice name,
                             struct m2c_block **ret)
{
    *ret = NULL;
    if (key != KEY_NONE || id.n > 0 || name.n == 0)
        *ret = last_tool(x->s, key, id);
    return *ret != NULL ? ST_OK : new_block(x, true, key, ret);
}

/* The first that is not empty counts; some upstreams repeat it. */
static enum status set_once(struct streaming *x, struct buf *to, struct slice text)
{
    if (to->n > 0 || text.n == 0)
        return ST_OK;
    return text.n <= ID_MAX ? buf_add(to, text.p, text.n)
                            : translate_nonsense(x->err, "a tool call's id or name is too long");
}

static enum status take_arguments(struct streaming *x, struct m2c_block *b, struct slice json)
{
    enum status st = ST_OK;

    if (b->complete)
        while (json.n > 0 && is_space(json.p[json.n - 1]))
            json.n--;
    if (!scan(b, json))
        return translate_nonsense(x->err, "a tool call goes on behind its end");
    if (json.n > 0)
        st = hold(x, b, json);
    return st == ST_OK ? pump(x, false) : st;
}

static enum status take_call(struct streaming *x, uint64_t key, struct slice id, yyjson_val *function)
{
    struct slice name = facts_text(yyjson_obj_get(function, "name")), json;
    yyjson_val *arguments = yyjson_obj_get(function, "arguments");
    struct m2c_block *b = NULL;
    char *written = NULL;
    enum status st = find_call(x, key, id, name, &b);

    if (st == ST_OK)
        st = set_once(x, &b->id, id);
    if (st == ST_OK)
        st = set_once(x, &b->name, name);
    if (st != ST_OK)
        return st;
    json = facts_text(arguments);
    if (yyjson_is_obj(arguments)) { /* some upstreams do not write it as a text */
        written = yyjson_val_write(arguments, 0, &json.n);
        json.p = written;
        if (written == NULL)
            return ST_NO_MEMORY;
    }
    st = take_arguments(x, b, json);
    free(written);
    return st;
}

static enum status take_calls(struct streaming *x, yyjson_val *calls)
{
    enum status st = ST_OK;
    yyjson_val *call;
    size_t i, n;

    if (!is_list(calls))
        return translate_nonsense(x->err, "tool_calls is no list");
    yyjson_arr_foreach(calls, i, n, call)
    {
        yyjson_val *index = yyjson_obj_get(call, "index"), *function = yyjson_obj_get(call, "function");
        uint64_t key =
            yyjson_is_uint(index) && yyjson_get_uint(index) < KEY_FUNCTION ? yyjson_get_uint(index) : KEY_NONE;

        if (!yyjson_is_obj(function))
            return translate_nonsense(x->err, "a tool call has no function");
        st = take_call(x, key, facts_text(yyjson_obj_get(call, "id")), function);
        if (st != ST_OK)
            return st;
    }
    return st;
}

/* ---- a stream: events ----------------------------------------------------------------------------------------------
 */

static enum status take_choice(struct streaming *x, yyjson_val *choice)
{
    yyjson_val *delta = yyjson_obj_get(choice, "delta"), *finish = yyjson_obj_get(choice, "finish_reason");
    yyjson_val *refusal = yyjson_obj_get(delta, "refusal"), *old = yyjson_obj_get(delta, "function_call");
    enum status st = ST_OK;

    if (x->s->images.max == 0)
        buf_init(&x->s->images, NOTES_MAX);
    note_images(delta, &x->s->images);
    if (translate_wants_reasoning(x->call))
        st = take_text(x, translate_reasoning_of(delta), true);
    if (st == ST_OK)
        st = take_content(x, yyjson_obj_get(delta, "content"));
    if (st == ST_OK && yyjson_get_len(refusal) > 0) {
        x->s->refused = true;
        st = take_content(x, refusal);
    }
    if (st == ST_OK)
        st = take_calls(x, yyjson_obj_get(delta, "tool_calls"));
    if (st == ST_OK && yyjson_is_obj(old))
        st = take_call(x, KEY_FUNCTION, (struct slice){NULL, 0}, old);
    if (yyjson_is_str(finish))
        facts_copy(finish, x->s->finish, sizeof(x->s->finish));
    return st;
}

enum status m2c_event(void *state, const struct translate_call *call, struct slice data,
                      const struct translate_sink *to, struct err *err)
{
    struct streaming x = {state, call, to, err};
    yyjson_doc *doc = yyjson_read(data.p, data.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc), *choices = yyjson_obj_get(root, "choices"), *choice;
    enum status st = yyjson_is_obj(root) ? ST_OK : translate_nonsense(err, "an event is no JSON object");
    size_t i, n;

    if (st == ST_OK && !x.s->begun && yyjson_arr_size(choices) > 0)
        st = give_start(&x, facts_text(yyjson_obj_get(root, "id")));
    yyjson_arr_foreach(choices, i, n, choice)
    {
        yyjson_val *index = yyjson_obj_get(choice, "index");

        if (st != ST_OK || (yyjson_is_uint(index) && yyjson_get_uint(index) > 0))
            continue; /* one answer was asked for */
        x.s->answered = true;
        st = take_choice(&x, choice);
    }
    yyjson_doc_free(doc);
    return st;
}

static bool has_nameless(const struct m2c_state *s)
{
    for (size_t i = s->head; i < s->n; i++)
        if (s->blocks[i].tool && s->blocks[i].name.n == 0)
            return true;
    return false;
}

static enum status give_end(struct streaming *x, enum translate_end how, const struct usage *usage)
{
    static const struct usage none = {.known = false};
    struct put w = begin_event(x);
    enum status st;

    put_raw(&w, "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"");
    put_raw(&w,
            how == TRANSLATE_LIMIT ? "max_tokens" : stop_reason(slice_of(x->s->finish), x->s->called, x->s->refused));
    put_raw(&w, "\",\"stop_sequence\":null},\"usage\":");
    add_usage(&w, usage != NULL ? usage : &none, false);
    put_raw(&w, "}");
    st = give(x, "message_delta", &w);
    if (st != ST_OK)
        return st;
    w = begin_event(x);
    put_raw(&w, "{\"type\":\"message_stop\"}");
    return give(x, "message_stop", &w);
}

enum status m2c_end(void *state, const struct translate_call *call, enum translate_end how, const struct usage *usage,
                    const struct translate_sink *to, struct err *err)
{
    struct streaming x = {state, call, to, err};
    enum status st = ST_OK;

    if (how == TRANSLATE_WHOLE && !x.s->answered)
        return translate_nonsense(err, "it has no choice");
    if (how == TRANSLATE_WHOLE && has_nameless(x.s))
        return translate_nonsense(err, "a tool call has no name");
    if (!x.s->begun)
        st = give_start(&x, (struct slice){NULL, 0});
    if (st == ST_OK && x.s->n == 0)
        st = take_text(&x, (struct slice){x.s->images.p, x.s->images.n}, false);
    if (st == ST_OK)
        st = pump(&x, true);
    return st == ST_OK ? give_end(&x, how, usage) : st;
}

void m2c_fini(void *state)
{
    struct m2c_state *s = state;

    for (size_t i = 0; i < s->n; i++) {
        buf_fini(&s->blocks[i].id);
        buf_fini(&s->blocks[i].name);
        buf_fini(&s->blocks[i].held);
    }
    free(s->blocks);
    free(s->names.items);
    if (s->event.max > 0)
        buf_fini(&s->event);
    if (s->images.max > 0)
        buf_fini(&s->images);
    memset(s, 0, sizeof(*s));
}
