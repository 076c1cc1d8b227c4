/* The client's messages as turns (contract, section 4.1). */
#include "providersvc/dialects/chat_to_messages_private.h"

#include <stdio.h>
#include <string.h>

/* ---- turns --------------------------------------------------------------------------------------------------------
 */

static void add_message(struct c2m *m, const char *role, yyjson_mut_val *content)
{
    yyjson_mut_val *message = making_object(&m->r.to);

    making_put_word(&m->r.to, message, "role", role);
    making_put(&m->r.to, message, "content", content);
    making_push(&m->r.to, m->messages, message);
}

static void add_placeholder(struct c2m *m)
{
    yyjson_mut_val *content = making_array(&m->r.to);

    c2m_text_block(m, slice_of(TRANSLATE_EMPTY_TURN), content);
    add_message(m, "user", content);
}

static void open_user(struct c2m *m)
{
    struct turns *t = &m->turns;

    if (t->results == NULL)
        t->results = making_array(&m->r.to);
    if (t->rest == NULL)
        t->rest = making_array(&m->r.to);
    m->r.to.lost |= t->results == NULL || t->rest == NULL;
}

static yyjson_mut_val *add_result(struct c2m *m, const struct pending_call *call, yyjson_mut_val *content)
{
    yyjson_mut_val *block = c2m_object(m, "tool_result");

    making_put_text(&m->r.to, block, "tool_use_id", call->upstream_id);
    if (content != NULL)
        making_put(&m->r.to, block, "content", content);
    making_push(&m->r.to, m->turns.results, block);
    return block;
}

/* A call without a result is refused upstream. */
static void answer_calls(struct c2m *m)
{
    struct turns *t = &m->turns;

    for (size_t i = 0; i < t->n_calls; i++) {
        if (t->calls[i].answered)
            continue;
        making_put(&m->r.to, add_result(m, &t->calls[i], making_word(&m->r.to, "There is no result of this call.")),
                   "is_error", making_bool(&m->r.to, true));
    }
    t->n_calls = t->next = 0;
}

/* Behind a user's turn, when the assistant's between them was empty, it goes on with that one; there are no results
 * then. */
static void close_user(struct c2m *m)
{
    struct turns *t = &m->turns;
    yyjson_mut_val *to, *block;

    if (t->n_calls == 0 && !t->asked)
        return;
    open_user(m);
    if (t->heard == NULL)
        t->answers = t->n_calls > 0;
    answer_calls(m);
    to = t->heard != NULL ? t->heard : t->results;
    while ((block = yyjson_mut_arr_remove_first(t->rest)) != NULL)
        making_push(&m->r.to, to, block);
    if (yyjson_mut_arr_size(to) == 0)
        c2m_text_block(m, slice_of(TRANSLATE_EMPTY_TURN), to);
    if (t->heard == NULL)
        add_message(m, "user", to);
    t->heard = to;
    t->results = t->rest = t->said = NULL;
    t->asked = false;
}

/* ---- contents -----------------------------------------------------------------------------------------------------
 */

/* A string, an array of parts, or (where it is not needed) nothing. The message's cache_control goes to its last
 * block. */
static enum status add_content(struct c2m *m, yyjson_val *message, enum chat_role role, bool needed, yyjson_mut_val *to)
{
    yyjson_val *content = yyjson_obj_get(message, "content"), *part;
    size_t before = yyjson_mut_arr_size(to), i, n;
    enum status st = ST_OK;

    if (yyjson_is_str(content))
        c2m_text_block(m, facts_text(content), to);
    else if (content == NULL && needed)
        return check_missing(&m->r.from, "content");
    else if (!yyjson_is_arr(content) && (needed || (content != NULL && !yyjson_is_null(content))))
        return check_wrong_type(&m->r.from, "content", "a string or an array of parts", content);
    yyjson_arr_foreach(content, i, n, part)
    {
        check_enter_item(&m->r.from, "content", i);
        st = c2m_part(m, part, role, to);
        if (st != ST_OK)
            return st;
        check_leave(&m->r.from);
    }
    return c2m_cache(m, message, yyjson_mut_arr_size(to) > before ? yyjson_mut_arr_get_last(to) : NULL);
}

static enum status add_user(struct c2m *m, yyjson_val *message)
{
    open_user(m);
    m->turns.asked = true;
    return add_content(m, message, CHAT_USER, true, m->turns.rest);
}

static struct pending_call *call_of(struct turns *t, struct slice id)
{
    if (t->next < t->n_calls && slice_eq(t->calls[t->next].id, id))
        return &t->calls[t->next];
    for (size_t i = 0; i < t->n_calls; i++)
        if (slice_eq(t->calls[i].id, id))
            return &t->calls[i];
    return NULL;
}

/* id_field: where the client said it. */
static enum status add_answer(struct c2m *m, yyjson_val *message, struct slice id, const char *id_field)
{
    struct pending_call *call = call_of(&m->turns, id);
    yyjson_val *text = yyjson_obj_get(message, "content");
    yyjson_mut_val *content = making_array(&m->r.to), *block;
    enum status st;

    if (call == NULL)
        return check_invalid(&m->r.from, id_field, "a call of the assistant's turn before it");
    if (call->answered)
        return check_invalid(&m->r.from, id_field, "a call that has no result yet");
    call->answered = true;
    m->turns.next = (size_t)(call - m->turns.calls) + 1;
    open_user(m);
    m->turns.asked = true;
    if (yyjson_is_str(text)) {
        content = making_value(&m->r.to, text);
    } else {
        st = add_content(m, message, CHAT_TOOL, true, content);
        if (st != ST_OK)
            return st;
        if (yyjson_mut_arr_size(content) == 0)
            content = NULL;
    }
    block = add_result(m, call, content);
    return c2m_cache(m, message, yyjson_is_str(text) ? block : NULL);
}

static enum status add_tool(struct c2m *m, yyjson_val *message)
{
    struct slice id;
    enum status st = c2m_text(m, message, "tool_call_id", "tool_call_id", true, &id);

    return st == ST_OK ? add_answer(m, message, id, "tool_call_id") : st;
}

/* ---- the assistant's calls ----------------------------------------------------------------------------------------
 */

/* Arguments are a JSON object in a string. */
static yyjson_mut_val *read_arguments(struct c2m *m, struct slice text)
{
    yyjson_doc *doc;
    yyjson_mut_val *input = NULL;

    if (strspn(text.n > 0 ? text.p : "", " \t\r\n") == text.n)
        return making_object(&m->r.to);
    doc = yyjson_read(text.p, text.n, YYJSON_READ_NUMBER_AS_RAW);
    if (yyjson_is_obj(yyjson_doc_get_root(doc)))
        input = making_value(&m->r.to, yyjson_doc_get_root(doc));
    yyjson_doc_free(doc);
    return input;
}

/* An id with what Anthropic refuses replaced. Checked before: 1 to TOOL_ID_MAX bytes. */
static struct slice upstream_id(struct c2m *m, struct slice id)
{
    char clean[TOOL_ID_MAX];

    if (check_word(id))
        return id;
    for (size_t i = 0; i < id.n && i < TOOL_ID_MAX; i++)
        clean[i] = check_word((struct slice){id.p + i, 1}) ? id.p[i] : '_';
    return making_text_of(making_copy(&m->r.to, (struct slice){clean, id.n}));
}

static enum status note_call(struct c2m *m, struct slice id, struct slice upstream_id, const char *id_field)
{
    struct turns *t = &m->turns;

    if (id.n == 0 || id.n > TOOL_ID_MAX)
        return check_invalid(&m->r.from, id_field, "1 to 256 bytes");
    if (t->n_calls == CALLS_MAX)
        return check_invalid(&m->r.from, NULL, "fewer tool calls in one turn");
    for (size_t i = 0; i < t->n_calls; i++)
        if (slice_eq(t->calls[i].id, id))
            return check_invalid(&m->r.from, id_field, "what no other call of this turn has");
    t->calls[t->n_calls++] = (struct pending_call){.id = id, .upstream_id = upstream_id};
    return ST_OK;
}

/* Of the call noted last. */
static void add_use(struct c2m *m, struct slice name, yyjson_mut_val *input, yyjson_mut_val *to)
{
    yyjson_mut_val *block = c2m_object(m, "tool_use");

    making_put_text(&m->r.to, block, "id", m->turns.calls[m->turns.n_calls - 1].upstream_id);
    making_put_text(&m->r.to, block, "name", name);
    making_put(&m->r.to, block, "input", input);
    making_push(&m->r.to, to, block);
}

static enum status add_function(struct c2m *m, yyjson_val *call, yyjson_mut_val *to)
{
    yyjson_val *function = yyjson_obj_get(call, "function");
    struct slice name, arguments;
    yyjson_mut_val *input;
    enum status st;

    if (function == NULL)
        return check_missing(&m->r.from, "function");
    if (!yyjson_is_obj(function))
        return check_wrong_type(&m->r.from, "function", "an object", function);
    st = c2m_text(m, function, "name", "function.name", true, &name);
    if (st == ST_OK)
        st = c2m_text(m, function, "arguments", "function.arguments", false, &arguments);
    if (st != ST_OK)
        return st;
    input = read_arguments(m, arguments);
    if (input == NULL)
        return check_invalid(&m->r.from, "function.arguments", "the JSON of an object");
    add_use(m, name, input, to);
    return ST_OK;
}

/* A call of a custom tool, of a model that has such: its input is text. */
static enum status add_custom(struct c2m *m, yyjson_val *call, yyjson_mut_val *to)
{
    yyjson_val *custom = yyjson_obj_get(call, "custom");
    yyjson_mut_val *input = making_object(&m->r.to);
    struct slice name, text;
    enum status st;

    if (!yyjson_is_obj(custom))
        return custom == NULL ? check_missing(&m->r.from, "custom")
                              : check_wrong_type(&m->r.from, "custom", "an object", custom);
    st = c2m_text(m, custom, "name", "custom.name", true, &name);
    if (st == ST_OK)
        st = c2m_text(m, custom, "input", "custom.input", true, &text);
    if (st != ST_OK)
        return st;
    making_put_text(&m->r.to, input, "input", text);
    add_use(m, name, input, to);
    return ST_OK;
}

static enum status add_call(struct c2m *m, yyjson_val *call, yyjson_mut_val *to)
{
    yyjson_val *type = yyjson_obj_get(call, "type");
    struct slice id;
    enum status st;

    if (!yyjson_is_obj(call))
        return check_wrong_type(&m->r.from, NULL, "an object", call);
    st = c2m_text(m, call, "id", "id", true, &id);
    if (st == ST_OK)
        st = note_call(m, id, id.n > 0 && id.n <= TOOL_ID_MAX ? upstream_id(m, id) : id, "id");
    if (st != ST_OK)
        return st;
    if (yyjson_equals_str(type, "custom"))
        return add_custom(m, call, to);
    if (type != NULL && !yyjson_equals_str(type, "function"))
        return check_invalid(&m->r.from, "type", "function or custom");
    return add_function(m, call, to);
}

static enum status add_calls(struct c2m *m, yyjson_val *message, yyjson_mut_val *to)
{
    yyjson_val *calls = yyjson_obj_get(message, "tool_calls"), *call;
    size_t i, n;

    if (calls == NULL || yyjson_is_null(calls))
        return ST_OK;
    if (!yyjson_is_arr(calls))
        return check_wrong_type(&m->r.from, "tool_calls", "an array", calls);
    yyjson_arr_foreach(calls, i, n, call)
    {
        enum status st;

        check_enter_item(&m->r.from, "tool_calls", i);
        st = add_call(m, call, to);
        if (st != ST_OK)
            return st;
        check_leave(&m->r.from);
    }
    return ST_OK;
}

/* ---- functions, the tools of old: their calls have no ids ---------------------------------------------------------
 */

static struct slice new_id(struct c2m *m)
{
    char text[32];

    snprintf(text, sizeof(text), "call_%zu", m->turn);
    return making_text_of(making_copy(&m->r.to, slice_of(text)));
}

static enum status add_function_call(struct c2m *m, yyjson_val *message, yyjson_mut_val *to)
{
    yyjson_val *call = yyjson_obj_get(message, "function_call");
    struct slice name, arguments;
    yyjson_mut_val *input;
    enum status st;

    if (call == NULL || yyjson_is_null(call))
        return ST_OK;
    if (!yyjson_is_obj(call))
        return check_wrong_type(&m->r.from, "function_call", "an object", call);
    st = c2m_text(m, call, "name", "function_call.name", true, &name);
    if (st == ST_OK)
        st = c2m_text(m, call, "arguments", "function_call.arguments", false, &arguments);
    if (st != ST_OK)
        return st;
    input = read_arguments(m, arguments);
    if (input == NULL)
        return check_invalid(&m->r.from, "function_call.arguments", "the JSON of an object");
    st = note_call(m, name, new_id(m), "function_call.name");
    if (st == ST_OK)
        add_use(m, name, input, to);
    return st;
}

static enum status add_function_answer(struct c2m *m, yyjson_val *message)
{
    struct slice name;
    enum status st = c2m_text(m, message, "name", "name", true, &name);

    return st == ST_OK ? add_answer(m, message, name, "name") : st;
}

/* ---- messages -----------------------------------------------------------------------------------------------------
 */

static enum status add_assistant(struct c2m *m, yyjson_val *message)
{
    struct turns *t = &m->turns;
    yyjson_mut_val *content;
    struct slice refusal;
    enum status st;

    close_user(m);
    content = t->said != NULL ? t->said : making_array(&m->r.to);
    st = add_content(m, message, CHAT_ASSISTANT, false, content);
    if (st == ST_OK)
        st = c2m_text(m, message, "refusal", "refusal", false, &refusal);
    if (st != ST_OK)
        return st;
    c2m_text_block(m, refusal, content);
    st = add_calls(m, message, content);
    if (st == ST_OK)
        st = add_function_call(m, message, content);
    if (st != ST_OK || yyjson_mut_arr_size(content) == 0)
        return st;
    if (t->said == NULL) {
        if (yyjson_mut_arr_size(m->messages) == 0)
            add_placeholder(m);
        add_message(m, "assistant", content);
    }
    t->heard = NULL;
    t->said = content;
    t->said_at = m->turn;
    return ST_OK;
}

static enum status add_one(struct c2m *m, yyjson_val *message)
{
    yyjson_val *role = yyjson_obj_get(message, "role");

    if (!yyjson_is_obj(message))
        return check_wrong_type(&m->r.from, NULL, "an object", message);
    if (role == NULL)
        return check_missing(&m->r.from, "role");
    if (!yyjson_is_str(role))
        return check_wrong_type(&m->r.from, "role", "a string", role);
    if (yyjson_equals_str(role, "user"))
        return add_user(m, message);
    if (yyjson_equals_str(role, "assistant"))
        return add_assistant(m, message);
    if (yyjson_equals_str(role, "tool"))
        return add_tool(m, message);
    if (yyjson_equals_str(role, "function"))
        return add_function_answer(m, message);
    if (yyjson_equals_str(role, "system") || yyjson_equals_str(role, "developer"))
        return add_content(m, message, CHAT_SYSTEM, true, m->system);
    return check_invalid(&m->r.from, "role", "developer, system, user, assistant, tool or function");
}

/* An answer begun by the client: newer models refuse it, all refuse white space at its end. */
static enum status end_with_assistant(struct c2m *m)
{
    yyjson_mut_val *block = yyjson_mut_arr_get_last(m->turns.said);
    yyjson_mut_val *value = yyjson_mut_obj_get(block, "text");
    const char *text = yyjson_mut_get_str(value);
    size_t n = yyjson_mut_get_len(value);

    if (!m->can.prefill) {
        check_enter_item(&m->r.from, "messages", m->turns.said_at);
        return check_refuse_value(&m->r.from, "role", "the last message may not be the assistant's");
    }
    while (n > 0 && (text[n - 1] == ' ' || (text[n - 1] >= '\t' && text[n - 1] <= '\r')))
        n--;
    if (text != NULL)
        (void)yyjson_mut_set_strn(value, text, n);
    return ST_OK;
}

enum status c2m_turns(struct c2m *m)
{
    yyjson_val *message;
    size_t i, n;
    enum status st = ST_OK;

    if (m->f.messages == NULL)
        return check_missing(&m->r.from, "messages");
    if (!yyjson_is_arr(m->f.messages))
        return check_wrong_type(&m->r.from, "messages", "an array", m->f.messages);
    if (yyjson_arr_size(m->f.messages) == 0)
        return check_invalid(&m->r.from, "messages", "at least one message");
    yyjson_arr_foreach(m->f.messages, i, n, message)
    {
        m->turn = i;
        check_enter_item(&m->r.from, "messages", i);
        st = add_one(m, message);
        if (st != ST_OK)
            return st;
        check_leave(&m->r.from);
    }
    close_user(m);
    if (yyjson_mut_arr_size(m->messages) == 0)
        add_placeholder(m);
    else if (m->turns.said != NULL)
        st = end_with_assistant(m);
    return st;
}
