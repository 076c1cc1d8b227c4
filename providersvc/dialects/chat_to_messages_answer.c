/* Anthropic's answers and events as chat completions (contract, sections 4.3 and 4.4). */
#include "providersvc/dialects/chat_to_messages_private.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/limits.h"
#include "services/json.h"

#define CHUNK_MAX (2u * TRANSLATE_STATE_MAX) /* of a chunk; it is not much longer than the event it is made of */
#define ID_MAX (LIMIT_OBJECT_ID + 32) /* with "chatcmpl-" or "call_" and a number around it */

/* A buffer that is too small was large enough for answers that make sense. */
static enum status written(enum status st, struct err *err)
{
    return st == ST_TOO_LARGE ? translate_nonsense(err, "it is too large") : st;
}

/* ---- pieces -------------------------------------------------------------------------------------------------------
 */

static bool usable_id(struct slice id)
{
    return id.n > 0 && id.n <= LIMIT_OBJECT_ID;
}

/* id: upstream's, may be empty. */
static void put_id(struct put *w, struct slice id, const struct translate_call *call)
{
    char text[ID_MAX];

    if (!usable_id(id))
        id = call->request_id;
    snprintf(text, sizeof(text), "chatcmpl-" SLICE_FMT, SLICE_ARG(id));
    put_string(w, slice_of(text));
}

static void put_call_id(struct put *w, yyjson_val *block, uint64_t number, const struct translate_call *call)
{
    struct slice id = facts_text(yyjson_obj_get(block, "id"));
    char text[ID_MAX];

    if (usable_id(id)) {
        put_string(w, id);
        return;
    }
    snprintf(text, sizeof(text), "call_" SLICE_FMT "_%llu", SLICE_ARG(call->request_id), (unsigned long long)number);
    put_string(w, slice_of(text));
}

/* NULL: upstream did not say. */
static const char *finish_of(yyjson_val *reason, bool functions)
{
    if (!yyjson_is_str(reason))
        return NULL;
    if (yyjson_equals_str(reason, "max_tokens") || yyjson_equals_str(reason, "model_context_window_exceeded"))
        return "length";
    if (yyjson_equals_str(reason, "tool_use"))
        return functions ? "function_call" : "tool_calls";
    return yyjson_equals_str(reason, "refusal") ? "content_filter" : "stop";
}

/* A tool call's arguments as text, in `to`. */
static enum status write_input(yyjson_val *input, struct buf *to, struct err *err)
{
    size_t n = 0;
    char *text;
    enum status st;

    if (input == NULL)
        return buf_addc(to, "{}");
    if (!yyjson_is_obj(input))
        return translate_nonsense(err, "a tool's input is no object");
    text = yyjson_val_write(input, 0, &n);
    st = text != NULL ? buf_add(to, text, n) : ST_NO_MEMORY;
    free(text);
    return st;
}

/* ---- a whole answer -----------------------------------------------------------------------------------------------
 */

struct answering {
    struct chat_to_messages *state;
    const struct translate_call *call;
    struct err *err;
    yyjson_val *message, *content;
    struct put w;
};

/* The texts of all blocks of a type, put together, as a string; `none` where there is no such block. */
static void put_texts(struct answering *a, const char *type, const char *member, const char *before, const char *none)
{
    struct buf *joined = &a->state->line;
    size_t blocks = 0, i, n;
    yyjson_val *block;

    joined->n = 0;
    yyjson_arr_foreach(a->content, i, n, block)
    {
        struct slice text = facts_text(yyjson_obj_get(block, member));

        if (!yyjson_equals_str(yyjson_obj_get(block, "type"), type))
            continue;
        blocks++;
        if (a->w.st == ST_OK && text.n > 0)
            a->w.st = buf_add(joined, text.p, text.n);
    }
    if (blocks == 0) {
        put_raw(&a->w, none);
        return;
    }
    put_raw(&a->w, before);
    put_string(&a->w, (struct slice){joined->n > 0 ? joined->p : "", joined->n});
}

static enum status put_call(struct answering *a, yyjson_val *block, uint64_t number)
{
    struct slice name = facts_text(yyjson_obj_get(block, "name"));
    struct buf *input = &a->state->input;
    enum status st;

    if (name.n == 0)
        return translate_nonsense(a->err, "a tool call has no name");
    input->n = 0;
    st = write_input(yyjson_obj_get(block, "input"), input, a->err);
    if (st != ST_OK)
        return st;
    if (!a->state->functions) {
        put_raw(&a->w, number == 0 ? ",\"tool_calls\":[{\"id\":" : ",{\"id\":");
        put_call_id(&a->w, block, number, a->call);
        put_raw(&a->w, ",\"type\":\"function\",\"function\":{\"name\":");
    } else {
        put_raw(&a->w, ",\"function_call\":{\"name\":");
    }
    put_string(&a->w, name);
    put_raw(&a->w, ",\"arguments\":");
    put_string(&a->w, (struct slice){input->p, input->n});
    put_raw(&a->w, a->state->functions ? "}" : "}}");
    return a->w.st;
}

static enum status put_calls(struct answering *a)
{
    uint64_t number = 0;
    yyjson_val *block;
    size_t i, n;

    yyjson_arr_foreach(a->content, i, n, block)
    {
        enum status st;

        if (!yyjson_equals_str(yyjson_obj_get(block, "type"), "tool_use"))
            continue;
        if (a->state->functions && number > 0)
            break;
        st = put_call(a, block, number++);
        if (st != ST_OK)
            return st;
    }
    if (number > 0 && !a->state->functions)
        put_raw(&a->w, "]");
    return a->w.st;
}

static void put_tail(struct answering *a, const char *finish, const struct usage *usage)
{
    yyjson_val *tier = yyjson_obj_get(yyjson_obj_get(a->message, "usage"), "service_tier");

    put_raw(&a->w, "},\"logprobs\":null,\"finish_reason\":\"");
    put_raw(&a->w, finish);
    put_raw(&a->w, "\"}]");
    if (usage->known) {
        put_raw(&a->w, ",\"usage\":");
        put_chat_usage(&a->w, usage);
    }
    if (yyjson_equals_str(tier, "standard"))
        put_raw(&a->w, ",\"service_tier\":\"default\"");
    else if (yyjson_equals_str(tier, "priority"))
        put_raw(&a->w, ",\"service_tier\":\"priority\"");
    put_raw(&a->w, "}");
}

static enum status write_answer(struct answering *a, const struct usage *usage)
{
    const char *finish = finish_of(yyjson_obj_get(a->message, "stop_reason"), a->state->functions);
    enum status st;

    if (!yyjson_is_arr(a->content))
        return translate_nonsense(a->err, "it has no content");
    if (finish == NULL)
        return translate_nonsense(a->err, "it does not say why it ended");
    put_raw(&a->w, "{\"id\":");
    put_id(&a->w, facts_text(yyjson_obj_get(a->message, "id")), a->call);
    put_raw(&a->w, ",\"object\":\"chat.completion\",\"created\":");
    put_count(&a->w, a->call->created);
    put_raw(&a->w, ",\"model\":");
    put_string(&a->w, a->call->model);
    put_raw(&a->w, ",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":");
    put_texts(a, "text", "text", "", "null");
    put_raw(&a->w, ",\"refusal\":null");
    put_texts(a, "thinking", "thinking", ",\"reasoning_content\":", "");
    st = put_calls(a);
    if (st != ST_OK)
        return st;
    put_tail(a, finish, usage);
    return a->w.st;
}

static void open_buffers(struct chat_to_messages *s)
{
    if (s->line.max == 0)
        buf_init(&s->line, CHUNK_MAX);
    if (s->input.max == 0)
        buf_init(&s->input, TRANSLATE_STATE_MAX);
    if (s->id.max == 0)
        buf_init(&s->id, ID_MAX);
}

enum status c2m_answer(void *state, const struct translate_call *call, struct slice body, struct buf *out,
                       struct err *err)
{
    yyjson_doc *doc = yyjson_read(body.p, body.n, YYJSON_READ_NUMBER_AS_RAW);
    struct answering a = {.state = state, .call = call, .err = err, .w = {out, ST_OK}};
    struct facts facts;
    enum status st;

    open_buffers(state);
    a.message = yyjson_doc_get_root(doc);
    a.content = yyjson_obj_get(a.message, "content");
    if (dialect_messages.read(body, NULL, NULL, &facts) != ST_OK || !yyjson_is_obj(a.message))
        st = translate_nonsense(err, "it is no JSON object");
    else
        st = written(write_answer(&a, facts.usage.known ? &facts.usage : &call->counted), err);
    yyjson_doc_free(doc);
    return st;
}

/* ---- a stream -----------------------------------------------------------------------------------------------------
 */

static const struct slice no_id = {"", 0};

struct streaming {
    struct chat_to_messages *state;
    const struct translate_call *call;
    const struct translate_sink *to;
    struct err *err;
    struct put w;
};

static void open_envelope(struct streaming *s)
{
    s->state->line.n = 0;
    s->w = (struct put){&s->state->line, ST_OK};
    put_raw(&s->w, "{\"id\":");
    if (s->w.st == ST_OK)
        s->w.st = buf_add(&s->state->line, s->state->id.p, s->state->id.n);
    put_raw(&s->w, ",\"object\":\"chat.completion.chunk\",\"created\":");
    put_count(&s->w, s->call->created);
    put_raw(&s->w, ",\"model\":");
    put_string(&s->w, s->call->model);
    put_raw(&s->w, ",\"choices\":[");
}

static void open_chunk(struct streaming *s)
{
    open_envelope(s);
    put_raw(&s->w, "{\"index\":0,\"delta\":{");
}

static enum status send(struct streaming *s)
{
    if (s->w.st != ST_OK)
        return written(s->w.st, s->err);
    return s->to->event(s->to->ctx, (struct slice){NULL, 0}, (struct slice){s->state->line.p, s->state->line.n});
}

static enum status close_chunk(struct streaming *s, const char *finish)
{
    put_raw(&s->w, "},\"logprobs\":null,\"finish_reason\":");
    put_raw(&s->w, finish != NULL ? "\"" : "null");
    if (finish != NULL) {
        put_raw(&s->w, finish);
        put_raw(&s->w, "\"");
    }
    put_raw(&s->w, s->call->usage_asked ? "}],\"usage\":null}" : "}]}");
    return send(s);
}

/* The first chunk. id: upstream's; empty = it says none. */
static enum status begin(struct streaming *s, struct slice id)
{
    struct put w = {&s->state->id, ST_OK};

    if (s->state->begun)
        return ST_OK;
    open_buffers(s->state);
    put_id(&w, id, s->call);
    if (w.st != ST_OK)
        return written(w.st, s->err);
    s->state->begun = true;
    open_chunk(s);
    put_raw(&s->w, "\"role\":\"assistant\",\"content\":\"\"");
    return close_chunk(s, NULL);
}

static enum status send_text(struct streaming *s, const char *member, yyjson_val *v)
{
    if (!yyjson_is_str(v) || yyjson_get_len(v) == 0)
        return ST_OK;
    open_chunk(s);
    put_raw(&s->w, member);
    put_string(&s->w, facts_text(v));
    return close_chunk(s, NULL);
}

static enum status send_arguments(struct streaming *s, struct slice piece)
{
    open_chunk(s);
    if (s->state->functions) {
        put_raw(&s->w, "\"function_call\":{\"arguments\":");
        put_string(&s->w, piece);
        put_raw(&s->w, "}");
    } else {
        put_raw(&s->w, "\"tool_calls\":[{\"index\":");
        put_count(&s->w, s->state->block.number);
        put_raw(&s->w, ",\"function\":{\"arguments\":");
        put_string(&s->w, piece);
        put_raw(&s->w, "}}]");
    }
    s->state->block.written = true;
    return close_chunk(s, NULL);
}

/* A call whose arguments never came as deltas has those that it began with. */
static enum status close_block(struct streaming *s)
{
    struct open_block *block = &s->state->block;
    bool say = block->open && block->tool && !block->written;

    block->open = false;
    return say ? send_arguments(s, (struct slice){s->state->input.p, s->state->input.n}) : ST_OK;
}

static enum status open_call(struct streaming *s, yyjson_val *content)
{
    struct chat_to_messages *state = s->state;
    struct slice name = facts_text(yyjson_obj_get(content, "name"));
    enum status st;

    if (name.n == 0)
        return translate_nonsense(s->err, "a tool call has no name");
    state->input.n = 0;
    st = write_input(yyjson_obj_get(content, "input"), &state->input, s->err);
    if (st != ST_OK)
        return written(st, s->err);
    if (state->functions && state->tools > 0)
        return ST_OK;
    state->block.tool = true;
    state->block.number = state->tools++;
    open_chunk(s);
    if (state->functions) {
        put_raw(&s->w, "\"function_call\":{\"name\":");
    } else {
        put_raw(&s->w, "\"tool_calls\":[{\"index\":");
        put_count(&s->w, state->block.number);
        put_raw(&s->w, ",\"id\":");
        put_call_id(&s->w, content, state->block.number, s->call);
        put_raw(&s->w, ",\"type\":\"function\",\"function\":{\"name\":");
    }
    put_string(&s->w, name);
    put_raw(&s->w, state->functions ? ",\"arguments\":\"\"}" : ",\"arguments\":\"\"}}]");
    return close_chunk(s, NULL);
}

/* An index that is missing is that of the open block. */
static uint64_t index_of(const struct streaming *s, yyjson_val *event)
{
    yyjson_val *raw = yyjson_obj_get(event, "index"), number;

    return check_number_of(raw, &number) && yyjson_is_uint(&number) ? yyjson_get_uint(&number) : s->state->block.index;
}

static enum status block_start(struct streaming *s, yyjson_val *event)
{
    yyjson_val *content = yyjson_obj_get(event, "content_block"), *type = yyjson_obj_get(content, "type");
    enum status st = close_block(s);

    if (st != ST_OK)
        return st;
    s->state->block = (struct open_block){.open = true, .index = index_of(s, event)};
    if (yyjson_equals_str(type, "text"))
        return send_text(s, "\"content\":", yyjson_obj_get(content, "text"));
    if (yyjson_equals_str(type, "thinking"))
        return send_text(s, "\"reasoning_content\":", yyjson_obj_get(content, "thinking"));
    return yyjson_equals_str(type, "tool_use") ? open_call(s, content) : ST_OK;
}

static enum status block_delta(struct streaming *s, yyjson_val *event)
{
    yyjson_val *delta = yyjson_obj_get(event, "delta"), *type = yyjson_obj_get(delta, "type");
    struct slice piece = facts_text(yyjson_obj_get(delta, "partial_json"));

    if (yyjson_equals_str(type, "text_delta"))
        return send_text(s, "\"content\":", yyjson_obj_get(delta, "text"));
    if (yyjson_equals_str(type, "thinking_delta"))
        return send_text(s, "\"reasoning_content\":", yyjson_obj_get(delta, "thinking"));
    if (!yyjson_equals_str(type, "input_json_delta"))
        return ST_OK;
    if (!s->state->block.open || index_of(s, event) != s->state->block.index)
        return translate_nonsense(s->err, "a piece of a tool call belongs to no block");
    return s->state->block.tool && piece.n > 0 ? send_arguments(s, piece) : ST_OK;
}

static enum status take(struct streaming *s, yyjson_val *event)
{
    yyjson_val *type = yyjson_obj_get(event, "type");
    const char *finish;
    enum status st;

    if (yyjson_equals_str(type, "message_start"))
        return begin(s, facts_text(yyjson_obj_get(yyjson_obj_get(event, "message"), "id")));
    if (yyjson_equals_str(type, "content_block_start")) {
        st = begin(s, no_id);
        return st == ST_OK ? block_start(s, event) : st;
    }
    if (yyjson_equals_str(type, "content_block_delta")) {
        st = begin(s, no_id);
        return st == ST_OK ? block_delta(s, event) : st;
    }
    if (yyjson_equals_str(type, "content_block_stop"))
        return close_block(s);
    if (!yyjson_equals_str(type, "message_delta"))
        return ST_OK;
    finish = finish_of(yyjson_obj_get(yyjson_obj_get(event, "delta"), "stop_reason"), s->state->functions);
    if (finish != NULL) /* it may come more than once: the last one counts, and is said at the end */
        s->state->finish = finish;
    return ST_OK;
}

enum status c2m_event(void *state, const struct translate_call *call, struct slice data,
                      const struct translate_sink *to, struct err *err)
{
    struct streaming s = {.state = state, .call = call, .to = to, .err = err};
    yyjson_doc *doc = yyjson_read(data.p, data.n, YYJSON_READ_NUMBER_AS_RAW);
    enum status st = doc != NULL ? take(&s, yyjson_doc_get_root(doc)) : translate_nonsense(err, "an event is no JSON");

    yyjson_doc_free(doc);
    return st;
}

enum status c2m_end(void *state, const struct translate_call *call, enum translate_end how, const struct usage *usage,
                    const struct translate_sink *to, struct err *err)
{
    struct streaming s = {.state = state, .call = call, .to = to, .err = err};
    const char *finish = how == TRANSLATE_LIMIT ? "length" : s.state->finish;
    enum status st;

    if (finish == NULL)
        return translate_nonsense(err, "it does not say why it ended");
    st = begin(&s, no_id);
    if (st == ST_OK && how == TRANSLATE_WHOLE)
        st = close_block(&s);
    if (st != ST_OK)
        return st;
    open_chunk(&s);
    st = close_chunk(&s, finish);
    if (st != ST_OK || !call->usage_asked || usage == NULL || !usage->known)
        return st;
    open_envelope(&s);
    put_raw(&s.w, "],\"usage\":");
    put_chat_usage(&s.w, usage);
    put_raw(&s.w, "}");
    return send(&s);
}
