/* The client's messages as turns (contract, section 4.1). */
#include "providersvc/dialects/chat_to_messages_private.h"

#include <stdio.h>
#include <string.h>

#define PLACEHOLDER "." /* of a turn that Anthropic demands and the client left empty */

/* ---- turns --------------------------------------------------------------------------------------------------------
 */

static void add_message(struct making *m, const char *role, yyjson_mut_val *content)
{
    yyjson_mut_val *message = making_object(m, NULL);

    making_put(m, message, "role", yyjson_mut_str(m->doc, role));
    making_put(m, message, "content", content);
    making_append(m, m->messages, message);
}

static void add_placeholder(struct making *m)
{
    yyjson_mut_val *content = yyjson_mut_arr(m->doc);

    making_text_block(m, slice_of(PLACEHOLDER), content);
    add_message(m, "user", content);
}

static void open_user(struct making *m)
{
    struct turns *t = &m->turns;

    if (t->results == NULL)
        t->results = yyjson_mut_arr(m->doc);
    if (t->rest == NULL)
        t->rest = yyjson_mut_arr(m->doc);
    m->no_memory |= t->results == NULL || t->rest == NULL;
}

static yyjson_mut_val *add_result(struct making *m, const struct pending_call *call, yyjson_mut_val *content)
{
    yyjson_mut_val *block = making_object(m, "tool_result");

    making_put(m, block, "tool_use_id", making_string(m, call->upstream_id));
    if (content != NULL)
        making_put(m, block, "content", content);
    making_append(m, m->turns.results, block);
    return block;
}

/* A call without a result is refused upstream. */
static void answer_calls(struct making *m)
{
    struct turns *t = &m->turns;

    for (size_t i = 0; i < t->n_calls; i++) {
        if (t->calls[i].answered)
            continue;
        making_put(m, add_result(m, &t->calls[i], yyjson_mut_str(m->doc, "There is no result of this call.")),
                   "is_error", yyjson_mut_true(m->doc));
    }
    t->n_calls = t->next = 0;
}

/* Behind a user's turn, when the assistant's between them was empty, it goes on with that one; there are no results
 * then. */
static void close_user(struct making *m)
{
    struct turns *t = &m->turns;
    yyjson_mut_val *to, *block;

    if (t->n_calls == 0 && !t->asked)
        return;
    open_user(m);
    answer_calls(m);
    to = t->heard != NULL ? t->heard : t->results;
    while ((block = yyjson_mut_arr_remove_first(t->rest)) != NULL)
        making_append(m, to, block);
    if (yyjson_mut_arr_size(to) == 0)
        making_text_block(m, slice_of(PLACEHOLDER), to);
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
static enum status add_content(struct making *m, yyjson_val *message, enum chat_role role, bool needed,
                               yyjson_mut_val *to)
{
    yyjson_val *content = yyjson_obj_get(message, "content"), *part;
    size_t before = yyjson_mut_arr_size(to), i, n;
    enum status st = ST_OK;

    if (yyjson_is_str(content))
        making_text_block(m, facts_text(content), to);
    else if (content == NULL && needed)
        return making_missing(m, "content");
    else if (!yyjson_is_arr(content) && (needed || (content != NULL && !yyjson_is_null(content))))
        return making_type(m, "content", "a string or an array of parts");
    m->at.sub = "content";
    yyjson_arr_foreach(content, i, n, part)
    {
        m->at.j = i;
        st = making_part(m, part, role, to);
        if (st != ST_OK)
            return st;
    }
    m->at.sub = NULL;
    return making_cache(m, message, yyjson_mut_arr_size(to) > before ? yyjson_mut_arr_get_last(to) : NULL);
}

static enum status add_user(struct making *m, yyjson_val *message)
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
static enum status add_answer(struct making *m, yyjson_val *message, struct slice id, const char *id_field)
{
    struct pending_call *call = call_of(&m->turns, id);
    yyjson_val *text = yyjson_obj_get(message, "content");
    yyjson_mut_val *content = yyjson_mut_arr(m->doc), *block;
    enum status st;

    if (call == NULL)
        return making_value(m, id_field, "the assistant's turn before it has no such call");
    if (call->answered)
        return making_value(m, id_field, "this call has its result already");
    call->answered = true;
    m->turns.next = (size_t)(call - m->turns.calls) + 1;
    open_user(m);
    m->turns.asked = true;
    if (yyjson_is_str(text)) {
        content = making_copy(m, text);
    } else {
        st = add_content(m, message, CHAT_TOOL, true, content);
        if (st != ST_OK)
            return st;
        if (yyjson_mut_arr_size(content) == 0)
            content = NULL;
    }
    block = add_result(m, call, content);
    return making_cache(m, message, yyjson_is_str(text) ? block : NULL);
}

static enum status add_tool(struct making *m, yyjson_val *message)
{
    struct slice id;
    enum status st = making_text(m, message, "tool_call_id", "tool_call_id", true, &id);

    return st == ST_OK ? add_answer(m, message, id, "tool_call_id") : st;
}

/* ---- the assistant's calls ----------------------------------------------------------------------------------------
 */

/* Arguments are a JSON object in a string. */
static yyjson_mut_val *read_arguments(struct making *m, struct slice text)
{
    yyjson_doc *doc;
    yyjson_mut_val *input = NULL;

    if (strspn(text.n > 0 ? text.p : "", " \t\r\n") == text.n)
        return yyjson_mut_obj(m->doc);
    doc = yyjson_read(text.p, text.n, YYJSON_READ_NUMBER_AS_RAW);
    if (yyjson_is_obj(yyjson_doc_get_root(doc)))
        input = making_copy(m, yyjson_doc_get_root(doc));
    yyjson_doc_free(doc);
    return input;
}

static enum status note_call(struct making *m, struct slice id, struct slice upstream_id, const char *id_field)
{
    struct turns *t = &m->turns;

    if (id.n == 0 || id.n > TOOL_ID_MAX)
        return making_value(m, id_field, "it is empty or too long");
    if (t->n_calls == CALLS_MAX)
        return making_value(m, "", "there are too many tool calls in one turn");
    for (size_t i = 0; i < t->n_calls; i++)
        if (slice_eq(t->calls[i].id, id))
            return making_value(m, id_field, "another call of this turn has the same");
    t->calls[t->n_calls++] = (struct pending_call){.id = id, .upstream_id = upstream_id};
    return ST_OK;
}

/* Of the call noted last. */
static void add_use(struct making *m, struct slice name, yyjson_mut_val *input, yyjson_mut_val *to)
{
    yyjson_mut_val *block = making_object(m, "tool_use");

    making_put(m, block, "id", making_string(m, m->turns.calls[m->turns.n_calls - 1].upstream_id));
    making_put(m, block, "name", making_string(m, name));
    making_put(m, block, "input", input);
    making_append(m, to, block);
}

static enum status add_function(struct making *m, yyjson_val *call, yyjson_mut_val *to)
{
    yyjson_val *function = yyjson_obj_get(call, "function");
    struct slice name, arguments;
    yyjson_mut_val *input;
    enum status st;

    if (function == NULL)
        return making_missing(m, "function");
    if (!yyjson_is_obj(function))
        return making_type(m, "function", "an object");
    st = making_text(m, function, "name", "function.name", true, &name);
    if (st == ST_OK)
        st = making_text(m, function, "arguments", "function.arguments", false, &arguments);
    if (st != ST_OK)
        return st;
    input = read_arguments(m, arguments);
    if (input == NULL)
        return making_value(m, "function.arguments", "it is no JSON object");
    add_use(m, name, input, to);
    return ST_OK;
}

/* A call of a custom tool, of a model that has such: its input is text. */
static enum status add_custom(struct making *m, yyjson_val *call, yyjson_mut_val *to)
{
    yyjson_val *custom = yyjson_obj_get(call, "custom");
    yyjson_mut_val *input = making_object(m, NULL);
    struct slice name, text;
    enum status st;

    if (!yyjson_is_obj(custom))
        return custom == NULL ? making_missing(m, "custom") : making_type(m, "custom", "an object");
    st = making_text(m, custom, "name", "custom.name", true, &name);
    if (st == ST_OK)
        st = making_text(m, custom, "input", "custom.input", true, &text);
    if (st != ST_OK)
        return st;
    making_put(m, input, "input", making_string(m, text));
    add_use(m, name, input, to);
    return ST_OK;
}

static enum status add_call(struct making *m, yyjson_val *call, yyjson_mut_val *to)
{
    yyjson_val *type = yyjson_obj_get(call, "type");
    struct slice id;
    enum status st;

    if (!yyjson_is_obj(call))
        return making_type(m, "", "an object");
    st = making_text(m, call, "id", "id", true, &id);
    if (st == ST_OK)
        st = note_call(m, id, id.n <= TOOL_ID_MAX ? making_tool_id(m, id) : id, "id");
    if (st != ST_OK)
        return st;
    if (yyjson_equals_str(type, "custom"))
        return add_custom(m, call, to);
    if (type != NULL && !yyjson_equals_str(type, "function"))
        return making_value(m, "type", "it is neither 'function' nor 'custom'");
    return add_function(m, call, to);
}

static enum status add_calls(struct making *m, yyjson_val *message, yyjson_mut_val *to)
{
    yyjson_val *calls = yyjson_obj_get(message, "tool_calls"), *call;
    size_t i, n;

    if (calls == NULL || yyjson_is_null(calls))
        return ST_OK;
    if (!yyjson_is_arr(calls))
        return making_type(m, "tool_calls", "an array");
    m->at.sub = "tool_calls";
    yyjson_arr_foreach(calls, i, n, call)
    {
        enum status st;

        m->at.j = i;
        st = add_call(m, call, to);
        if (st != ST_OK)
            return st;
    }
    m->at.sub = NULL;
    return ST_OK;
}

/* ---- functions, the tools of old: their calls have no ids ---------------------------------------------------------
 */

static struct slice new_id(struct making *m)
{
    char text[32];
    int n = snprintf(text, sizeof(text), "call_%zu", m->at.i);
    yyjson_mut_val *copy = yyjson_mut_strncpy(m->doc, text, (size_t)n);

    m->no_memory |= copy == NULL;
    return (struct slice){yyjson_mut_get_str(copy), yyjson_mut_get_len(copy)};
}

static enum status add_function_call(struct making *m, yyjson_val *message, yyjson_mut_val *to)
{
    yyjson_val *call = yyjson_obj_get(message, "function_call");
    struct slice name, arguments;
    yyjson_mut_val *input;
    enum status st;

    if (call == NULL || yyjson_is_null(call))
        return ST_OK;
    if (!yyjson_is_obj(call))
        return making_type(m, "function_call", "an object");
    st = making_text(m, call, "name", "function_call.name", true, &name);
    if (st == ST_OK)
        st = making_text(m, call, "arguments", "function_call.arguments", false, &arguments);
    if (st != ST_OK)
        return st;
    input = read_arguments(m, arguments);
    if (input == NULL)
        return making_value(m, "function_call.arguments", "it is no JSON object");
    st = note_call(m, name, new_id(m), "function_call.name");
    if (st == ST_OK)
        add_use(m, name, input, to);
    return st;
}

static enum status add_function_answer(struct making *m, yyjson_val *message)
{
    struct slice name;
    enum status st = making_text(m, message, "name", "name", true, &name);

    return st == ST_OK ? add_answer(m, message, name, "name") : st;
}

/* ---- messages -----------------------------------------------------------------------------------------------------
 */

static enum status add_assistant(struct making *m, yyjson_val *message)
{
    struct turns *t = &m->turns;
    yyjson_mut_val *content;
    struct slice refusal;
    enum status st;

    close_user(m);
    content = t->said != NULL ? t->said : yyjson_mut_arr(m->doc);
    st = add_content(m, message, CHAT_ASSISTANT, false, content);
    if (st == ST_OK)
        st = making_text(m, message, "refusal", "refusal", false, &refusal);
    if (st != ST_OK)
        return st;
    making_text_block(m, refusal, content);
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
    t->said_at = m->at.i;
    return ST_OK;
}

static enum status add_one(struct making *m, yyjson_val *message)
{
    yyjson_val *role = yyjson_obj_get(message, "role");

    if (!yyjson_is_obj(message))
        return making_type(m, "", "an object");
    if (role == NULL)
        return making_missing(m, "role");
    if (!yyjson_is_str(role))
        return making_type(m, "role", "a string");
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
    return making_value(m, "role", "it is none of developer, system, user, assistant, tool, function");
}

/* An answer begun by the client: newer models refuse it, all refuse white space at its end. */
static enum status end_with_assistant(struct making *m)
{
    yyjson_mut_val *block = yyjson_mut_arr_get_last(m->turns.said);
    yyjson_mut_val *value = yyjson_mut_obj_get(block, "text");
    const char *text = yyjson_mut_get_str(value);
    size_t n = yyjson_mut_get_len(value);

    m->at = (struct place){.list = "messages", .i = m->turns.said_at};
    if (!m->can.prefill)
        return making_refused(m, "role", "the last message may not be the assistant's");
    while (n > 0 && (text[n - 1] == ' ' || (text[n - 1] >= '\t' && text[n - 1] <= '\r')))
        n--;
    if (text != NULL)
        (void)yyjson_mut_set_strn(value, text, n);
    return ST_OK;
}

enum status making_turns(struct making *m)
{
    yyjson_val *message;
    size_t i, n;
    enum status st = ST_OK;

    if (m->f.messages == NULL)
        return making_missing(m, "messages");
    if (!yyjson_is_arr(m->f.messages))
        return making_type(m, "messages", "an array");
    if (yyjson_arr_size(m->f.messages) == 0)
        return making_value(m, "messages", "it is empty");
    yyjson_arr_foreach(m->f.messages, i, n, message)
    {
        m->at = (struct place){.list = "messages", .i = i};
        st = add_one(m, message);
        if (st != ST_OK)
            return st;
    }
    close_user(m);
    if (yyjson_mut_arr_size(m->messages) == 0)
        add_placeholder(m);
    else if (m->turns.said != NULL)
        st = end_with_assistant(m);
    m->at = (struct place){.list = NULL};
    return st;
}
