/*
 * Chat completions to Responses: the answers (contract, section 1.9).
 *
 * An answer that reached its limit in the middle of a tool call ends with `length`, as it does in chat: a client must
 * not run a call whose arguments are cut.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "providersvc/dialects/chat_to_responses.h"

#define ID_PREFIX "chatcmpl-"
#define DELTA_MAX (6u * LIMIT_BODY) /* an event's text, escaped */

/* Unix seconds; 0 = not said. */
static uint64_t time_of(yyjson_val *v)
{
    return yyjson_is_uint(v) && yyjson_get_uint(v) <= LIMIT_TIME ? yyjson_get_uint(v) : 0;
}

/* What is common to a whole answer and to every chunk. */
static void put_head(struct put *p, const struct translate_call *call, struct slice id, const char *object,
                     uint64_t created)
{
    char full[sizeof(ID_PREFIX) + LIMIT_OBJECT_ID];
    struct slice own = id.n > 0 ? id : call->request_id;

    snprintf(full, sizeof(full), ID_PREFIX SLICE_FMT, SLICE_ARG(own));
    put_raw(p, "{\"id\":");
    put_string(p, slice_of(full));
    put_raw(p, ",\"object\":\"");
    put_raw(p, object);
    put_raw(p, "\",\"created\":");
    put_count(p, created > 0 ? created : call->created);
    put_raw(p, ",\"model\":");
    put_string(p, call->model);
}

static void put_call(struct put *p, bool custom, struct slice id, struct slice name, struct slice arguments)
{
    put_raw(p, "\"id\":");
    put_string(p, id);
    put_raw(p,
            custom ? ",\"type\":\"custom\",\"custom\":{\"name\":" : ",\"type\":\"function\",\"function\":{\"name\":");
    put_string(p, name);
    put_raw(p, custom ? ",\"input\":" : ",\"arguments\":");
    put_string(p, arguments);
    put_raw(p, "}}");
}

static bool is_incomplete(yyjson_val *response)
{
    return yyjson_equals_str(yyjson_obj_get(response, "status"), "incomplete");
}

/* What the answer's end is called in chat. */
static const char *finish_of(yyjson_val *response, bool incomplete, bool calls)
{
    yyjson_val *reason = yyjson_obj_get(yyjson_obj_get(response, "incomplete_details"), "reason");

    if (incomplete) {
        if (yyjson_equals_str(reason, "max_output_tokens"))
            return "length";
        if (yyjson_equals_str(reason, "content_filter"))
            return "content_filter";
    }
    return calls ? "tool_calls" : "stop";
}

static bool is_call(yyjson_val *item, bool *custom)
{
    yyjson_val *type = yyjson_obj_get(item, "type");

    *custom = yyjson_equals_str(type, "custom_tool_call");
    return *custom || yyjson_equals_str(type, "function_call");
}

/* ---- whole answers --------------------------------------------------------------------------------------------------
 */

/* What the items say, joined. */
struct said {
    struct buf content, refusal, reasoning, logprobs, calls;
    bool has_content, has_refusal;
    size_t n_calls;
};

static void add(struct buf *to, struct slice text, enum status *st)
{
    if (*st == ST_OK && text.n > 0)
        *st = buf_add(to, text.p, text.n);
}

static void read_logprobs(struct said *s, yyjson_val *list, enum status *st)
{
    struct put p = {&s->logprobs, *st};
    yyjson_val *item;
    size_t i, n;

    yyjson_arr_foreach(list, i, n, item)
    {
        if (s->logprobs.n > 0)
            put_raw(&p, ",");
        put_value(&p, item);
    }
    *st = p.st;
}

static void read_message(struct said *s, yyjson_val *item, enum status *st)
{
    yyjson_val *part;
    size_t i, n;

    yyjson_arr_foreach(yyjson_obj_get(item, "content"), i, n, part)
    {
        yyjson_val *text = yyjson_obj_get(part, "text"), *refusal = yyjson_obj_get(part, "refusal");

        if (yyjson_equals_str(yyjson_obj_get(part, "type"), "output_text") && yyjson_is_str(text)) {
            s->has_content = true;
            add(&s->content, facts_text(text), st);
            read_logprobs(s, yyjson_obj_get(part, "logprobs"), st);
        } else if (yyjson_is_str(refusal)) {
            s->has_refusal = true;
            add(&s->refusal, facts_text(refusal), st);
        }
    }
}

/* Parts of reasoning are paragraphs. */
static void read_reasoning(struct said *s, yyjson_val *parts, enum status *st)
{
    yyjson_val *part;
    size_t i, n;

    yyjson_arr_foreach(parts, i, n, part)
    {
        struct slice text = facts_text(yyjson_obj_get(part, "text"));

        if (text.n > 0 && s->reasoning.n > 0)
            add(&s->reasoning, (struct slice){"\n\n", 2}, st);
        add(&s->reasoning, text, st);
    }
}

static enum status read_call(struct said *s, yyjson_val *item, bool custom, struct err *err)
{
    yyjson_val *id = yyjson_obj_get(item, "call_id"), *name = yyjson_obj_get(item, "name");
    yyjson_val *arguments = yyjson_obj_get(item, custom ? "input" : "arguments");
    struct put p = {&s->calls, ST_OK};

    if (!yyjson_is_str(id) || !yyjson_is_str(name) || !yyjson_is_str(arguments))
        return translate_nonsense(err, "a tool call without id, name or arguments");
    if (s->n_calls++ >= BRIDGE_CALLS_MAX)
        return translate_nonsense(err, "too many tool calls");
    put_raw(&p, s->n_calls > 1 ? ",{" : "{");
    put_call(&p, custom, facts_text(id), facts_text(name), facts_text(arguments));
    return p.st;
}

static enum status read_items(struct said *s, yyjson_val *output, struct err *err)
{
    enum status st = ST_OK;
    yyjson_val *item;
    bool custom;
    size_t i, n;

    yyjson_arr_foreach(output, i, n, item)
    {
        yyjson_val *type = yyjson_obj_get(item, "type");

        if (st == ST_OK && is_call(item, &custom))
            st = read_call(s, item, custom, err);
        else if (yyjson_equals_str(type, "message"))
            read_message(s, item, &st);
        else if (yyjson_equals_str(type, "reasoning")) {
            read_reasoning(s, yyjson_obj_get(item, "summary"), &st);
            read_reasoning(s, yyjson_obj_get(item, "content"), &st);
        }
    }
    return st;
}

static void put_text_or_null(struct put *p, bool given, const struct buf *text)
{
    if (given)
        put_string(p, (struct slice){text->p, text->n});
    else
        put_raw(p, "null");
}

static void put_choice(struct put *p, const struct said *s, const char *finish)
{
    put_raw(p, ",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":");
    put_text_or_null(p, s->has_content, &s->content);
    put_raw(p, ",\"refusal\":");
    put_text_or_null(p, s->has_refusal, &s->refusal);
    if (s->reasoning.n > 0) {
        put_raw(p, ",\"reasoning_content\":");
        put_text_or_null(p, true, &s->reasoning);
    }
    if (s->n_calls > 0) {
        put_raw(p, ",\"tool_calls\":[");
        put_bytes(p, s->calls.p, s->calls.n);
        put_raw(p, "]");
    }
    put_raw(p, "},\"logprobs\":");
    if (s->logprobs.n > 0) {
        put_raw(p, "{\"content\":[");
        put_bytes(p, s->logprobs.p, s->logprobs.n);
        put_raw(p, "],\"refusal\":null}");
    } else
        put_raw(p, "null");
    put_raw(p, ",\"finish_reason\":\"");
    put_raw(p, finish);
    put_raw(p, "\"}]");
}

static enum status write_answer(const struct translate_call *call, yyjson_val *root, const struct said *s,
                                const struct usage *usage, struct buf *out)
{
    yyjson_val *tier = yyjson_obj_get(root, "service_tier");
    struct put p = {out, ST_OK};

    put_head(&p, call, facts_text(yyjson_obj_get(root, "id")), "chat.completion",
             time_of(yyjson_obj_get(root, "created_at")));
    put_choice(&p, s, finish_of(root, is_incomplete(root), s->n_calls > 0));
    if (usage->known) {
        put_raw(&p, ",\"usage\":");
        put_chat_usage(&p, usage);
    }
    if (yyjson_is_str(tier)) {
        put_raw(&p, ",\"service_tier\":");
        put_string(&p, facts_text(tier));
    }
    put_raw(&p, "}");
    return p.st;
}

/* Is it over, and well? */
static enum status check_status(yyjson_val *response, struct err *err)
{
    yyjson_val *status = yyjson_obj_get(response, "status");
    yyjson_val *message = yyjson_obj_get(yyjson_obj_get(response, "error"), "message");

    if (yyjson_equals_str(status, "failed"))
        return err_set(err, ST_UPSTREAM, "The provider failed: %s",
                       yyjson_is_str(message) ? yyjson_get_str(message) : "it does not say why.");
    if (yyjson_is_str(status) && !yyjson_equals_str(status, "completed") && !yyjson_equals_str(status, "incomplete"))
        return translate_nonsense(err, "it is not finished");
    return ST_OK;
}

static enum status bridge_answer(void *state, const struct translate_call *call, struct slice body, struct buf *out,
                                 struct err *err)
{
    yyjson_doc *doc = facts_parse(body, NULL);
    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_val *output = yyjson_obj_get(root, "output");
    struct facts facts = {0};
    struct said s = {0};
    struct buf *const parts[] = {&s.content, &s.refusal, &s.reasoning, &s.logprobs, &s.calls};
    enum status st = ST_OK;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        buf_init(parts[i], DELTA_MAX);
    if (!yyjson_is_arr(output))
        st = translate_nonsense(err, "it has no output");
    if (st == ST_OK)
        st = check_status(root, err);
    if (st == ST_OK)
        st = read_items(&s, output, err);
    if (st == ST_OK && dialect_responses.read(body, NULL, NULL, &facts) == ST_OK)
        st = write_answer(call, root, &s, facts.usage.known ? &facts.usage : &call->counted, out);
    for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        buf_fini(parts[i]);
    yyjson_doc_free(doc);
    return st;
}

/* ---- streams --------------------------------------------------------------------------------------------------------
 */

/* Where an event comes from and goes to. */
struct giving {
    struct bridge *s;
    const struct translate_call *call;
    const struct translate_sink *to;
    struct err *err;
};

/* The delta being made starts anew. */
static struct put begin(struct giving *g, const char *text)
{
    struct put p = {&g->s->delta, ST_OK};

    if (g->s->delta.max == 0)
        buf_init(&g->s->delta, DELTA_MAX);
    g->s->delta.n = 0;
    put_raw(&p, text);
    return p;
}

static void put_chunk_head(struct put *p, struct giving *g)
{
    put_head(p, g->call, slice_of(g->s->id), "chat.completion.chunk", g->s->created);
    if (g->s->tier[0] != '\0') {
        put_raw(p, ",\"service_tier\":");
        put_string(p, slice_of(g->s->tier));
    }
}

static struct put begin_chunk(struct giving *g)
{
    struct put p = {&g->s->chunk, ST_OK};

    if (g->s->chunk.max == 0)
        buf_init(&g->s->chunk, 2 * DELTA_MAX);
    g->s->chunk.n = 0;
    put_chunk_head(&p, g);
    return p;
}

static enum status give(struct giving *g, const struct put *p)
{
    if (p->st != ST_OK)
        return err_set(g->err, p->st, "%s", status_text(p->st));
    return g->to->event(g->to->ctx, (struct slice){NULL, 0}, (struct slice){g->s->chunk.p, g->s->chunk.n});
}

/* Gives the delta that was made. logprobs may be NULL. */
static enum status give_delta(struct giving *g, const struct put *delta, yyjson_val *logprobs, const char *finish)
{
    struct put p = begin_chunk(g);

    if (delta->st != ST_OK)
        p.st = delta->st;
    put_raw(&p, ",\"choices\":[{\"index\":0,\"delta\":");
    put_bytes(&p, g->s->delta.p, g->s->delta.n);
    put_raw(&p, ",\"logprobs\":");
    if (yyjson_arr_size(logprobs) > 0) {
        put_raw(&p, "{\"content\":");
        put_value(&p, logprobs);
        put_raw(&p, ",\"refusal\":null}");
    } else
        put_raw(&p, "null");
    put_raw(&p, ",\"finish_reason\":");
    if (finish != NULL)
        put_string(&p, slice_of(finish));
    else
        put_raw(&p, "null");
    put_raw(&p, g->call->usage_asked ? "}],\"usage\":null}" : "}]}");
    return give(g, &p);
}

/* The first chunk says who speaks; content is null where something else than text comes first. */
static enum status give_role(struct giving *g, bool text)
{
    struct put delta;

    if (g->s->role_given)
        return ST_OK;
    g->s->role_given = true;
    delta = begin(g, text ? "{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}"
                          : "{\"role\":\"assistant\",\"content\":null}");
    return give_delta(g, &delta, NULL, NULL);
}

/* A delta of one text member. */
static enum status give_text(struct giving *g, const char *opening, struct slice text, yyjson_val *logprobs)
{
    struct put delta = begin(g, opening);

    put_string(&delta, text);
    put_raw(&delta, "}");
    return give_delta(g, &delta, logprobs, NULL);
}

static enum status on_head(struct giving *g, yyjson_val *root)
{
    yyjson_val *response = yyjson_obj_get(root, "response");
    struct slice tier = facts_text(yyjson_obj_get(response, "service_tier"));

    if (!g->s->role_given) { /* all chunks say the same */
        facts_copy(yyjson_obj_get(response, "id"), g->s->id, sizeof(g->s->id));
        g->s->created = time_of(yyjson_obj_get(response, "created_at"));
    }
    if (tier.n > 0 && !slice_copy(tier, g->s->tier, sizeof(g->s->tier)))
        g->s->tier[0] = '\0';
    return ST_OK;
}

static struct bridge_call *call_of(struct giving *g, yyjson_val *root)
{
    yyjson_val *index = yyjson_obj_get(root, "output_index");

    for (size_t k = g->s->n_calls; yyjson_is_uint(index) && k > 0; k--) { /* mostly the last one */
        if (g->s->calls[k - 1].output_index == yyjson_get_uint(index))
            return &g->s->calls[k - 1];
    }
    return NULL;
}

static enum status new_call(struct giving *g, yyjson_val *root, bool custom)
{
    struct bridge *s = g->s;
    yyjson_val *index = yyjson_obj_get(root, "output_index");

    if (!yyjson_is_uint(index) || call_of(g, root) != NULL)
        return translate_nonsense(g->err, "a tool call without a place of its own");
    if (s->n_calls >= BRIDGE_CALLS_MAX)
        return translate_nonsense(g->err, "too many tool calls");
    if (s->n_calls == s->cap_calls) {
        size_t cap = s->cap_calls > 0 ? s->cap_calls * 2 : 4;
        struct bridge_call *more = realloc(s->calls, cap * sizeof(*more));

        if (more == NULL)
            return translate_no_memory(g->err);
        s->calls = more;
        s->cap_calls = cap;
    }
    s->calls[s->n_calls++] = (struct bridge_call){.output_index = yyjson_get_uint(index), .custom = custom};
    return ST_OK;
}

static enum status on_item(struct giving *g, yyjson_val *root)
{
    yyjson_val *item = yyjson_obj_get(root, "item");
    yyjson_val *id = yyjson_obj_get(item, "call_id"), *name = yyjson_obj_get(item, "name");
    struct put delta;
    enum status st;
    bool custom;

    if (!is_call(item, &custom))
        return yyjson_equals_str(yyjson_obj_get(item, "type"), "message") ? give_role(g, true) : ST_OK;
    if (!yyjson_is_str(id) || !yyjson_is_str(name))
        return translate_nonsense(g->err, "a tool call without id or name");
    st = new_call(g, root, custom);
    if (st == ST_OK)
        st = give_role(g, false);
    if (st != ST_OK)
        return st;
    delta = begin(g, "{\"tool_calls\":[{\"index\":");
    put_count(&delta, g->s->n_calls - 1);
    put_raw(&delta, ",");
    put_call(&delta, custom, facts_text(id), facts_text(name), (struct slice){"", 0});
    put_raw(&delta, "]}");
    return give_delta(g, &delta, NULL, NULL);
}

static enum status give_arguments(struct giving *g, struct bridge_call *call, struct slice text)
{
    struct put delta = begin(g, "{\"tool_calls\":[{\"index\":");

    call->spoken = true;
    put_count(&delta, (uint64_t)(call - g->s->calls));
    put_raw(&delta, call->custom ? ",\"custom\":{\"input\":" : ",\"function\":{\"arguments\":");
    put_string(&delta, text);
    put_raw(&delta, "}}]}");
    return give_delta(g, &delta, NULL, NULL);
}

static enum status on_arguments(struct giving *g, yyjson_val *root)
{
    yyjson_val *text = yyjson_obj_get(root, "delta");
    struct bridge_call *call = call_of(g, root);

    if (call == NULL || !yyjson_is_str(text))
        return translate_nonsense(g->err, "arguments of a tool call that was not begun");
    return give_arguments(g, call, facts_text(text));
}

/* Some send a call's arguments at its end only. */
static enum status on_item_done(struct giving *g, yyjson_val *root)
{
    struct bridge_call *call = call_of(g, root);
    yyjson_val *item = yyjson_obj_get(root, "item");
    struct slice text = facts_text(yyjson_obj_get(item, call != NULL && call->custom ? "input" : "arguments"));

    return call == NULL || call->spoken || text.n == 0 ? ST_OK : give_arguments(g, call, text);
}

static enum status on_text(struct giving *g, yyjson_val *root)
{
    enum status st = give_role(g, true);

    return st == ST_OK ? give_text(g, "{\"content\":", facts_text(yyjson_obj_get(root, "delta")),
                                   yyjson_obj_get(root, "logprobs"))
                       : st;
}

static enum status on_refusal(struct giving *g, yyjson_val *root)
{
    enum status st = give_role(g, true);

    return st == ST_OK ? give_text(g, "{\"refusal\":", facts_text(yyjson_obj_get(root, "delta")), NULL) : st;
}

static enum status on_reasoning(struct giving *g, yyjson_val *root)
{
    enum status st = give_role(g, false);

    if (st != ST_OK)
        return st;
    g->s->thought = true;
    return give_text(g, "{\"reasoning_content\":", facts_text(yyjson_obj_get(root, "delta")), NULL);
}

/* Parts of reasoning are paragraphs, as they are in a whole answer. */
static enum status on_part(struct giving *g, yyjson_val *root)
{
    yyjson_val *type = yyjson_obj_get(yyjson_obj_get(root, "part"), "type");
    bool reasons = yyjson_equals_str(type, "summary_text") || yyjson_equals_str(type, "reasoning_text");

    return reasons && g->s->thought ? give_text(g, "{\"reasoning_content\":", (struct slice){"\n\n", 2}, NULL) : ST_OK;
}

static enum status on_finish(struct giving *g, yyjson_val *root)
{
    yyjson_val *response = yyjson_obj_get(root, "response");
    enum status st = check_status(response, g->err);

    if (st != ST_OK)
        return st;
    g->s->finish = finish_of(
        response, is_incomplete(response) || yyjson_equals_str(yyjson_obj_get(root, "type"), "response.incomplete"),
        g->s->n_calls > 0);
    return on_head(g, root);
}

static enum status on_failure(struct giving *g, yyjson_val *root)
{
    (void)root;
    return translate_nonsense(g->err, "a failure in place of an event");
}

static const struct {
    const char *type;
    enum status (*take)(struct giving *g, yyjson_val *root);
} events[] = {
    {"response.output_text.delta", on_text},
    {"response.function_call_arguments.delta", on_arguments},
    {"response.reasoning_summary_text.delta", on_reasoning},
    {"response.reasoning_text.delta", on_reasoning},
    {"response.refusal.delta", on_refusal},
    {"response.custom_tool_call_input.delta", on_arguments},
    {"response.output_item.added", on_item},
    {"response.output_item.done", on_item_done},
    {"response.reasoning_summary_part.added", on_part},
    {"response.content_part.added", on_part},
    {"response.created", on_head},
    {"response.queued", on_head},
    {"response.in_progress", on_head},
    {"response.completed", on_finish},
    {"response.incomplete", on_finish},
    {"response.failed", on_failure},
    {"response.cancelled", on_failure},
    {"error", on_failure},
};

static enum status bridge_event(void *state, const struct translate_call *call, struct slice data,
                                const struct translate_sink *to, struct err *err)
{
    struct giving g = {state, call, to, err};
    yyjson_doc *doc = facts_parse(data, NULL);
    yyjson_val *root = yyjson_doc_get_root(doc), *type = yyjson_obj_get(root, "type");
    enum status st = doc != NULL ? ST_OK : translate_nonsense(err, "an event that is no object");

    for (size_t k = 0; st == ST_OK && g.s->finish == NULL && k < sizeof(events) / sizeof(events[0]); k++) {
        if (yyjson_equals_str(type, events[k].type)) {
            st = events[k].take(&g, root);
            break;
        }
    }
    yyjson_doc_free(doc);
    return st;
}

static enum status give_usage(struct giving *g, const struct usage *usage)
{
    struct put p = begin_chunk(g);

    put_raw(&p, ",\"choices\":[],\"usage\":");
    put_chat_usage(&p, usage);
    put_raw(&p, "}");
    return give(g, &p);
}

static enum status bridge_end(void *state, const struct translate_call *call, enum translate_end how,
                              const struct usage *usage, const struct translate_sink *to, struct err *err)
{
    struct giving g = {state, call, to, err};
    struct put delta;
    enum status st;

    if (how == TRANSLATE_LIMIT)
        g.s->finish = "length";
    if (g.s->finish == NULL)
        return translate_nonsense(err, "the stream has no end");
    st = give_role(&g, true);
    if (st != ST_OK)
        return st;
    delta = begin(&g, "{}");
    st = give_delta(&g, &delta, NULL, g.s->finish);
    if (st == ST_OK && call->usage_asked && usage != NULL && usage->known)
        st = give_usage(&g, usage);
    return st;
}

static void bridge_fini(void *state)
{
    struct bridge *s = state;

    free(s->calls);
    buf_fini(&s->delta);
    buf_fini(&s->chunk);
    memset(s, 0, sizeof(*s));
}

const struct translator chat_to_responses = {.name = "chat_to_responses",
                                             .client = &dialect_chat,
                                             .upstream = &dialect_responses,
                                             .state_size = sizeof(struct bridge),
                                             .request = bridge_request,
                                             .answer = bridge_answer,
                                             .event = bridge_event,
                                             .end = bridge_end,
                                             .fini = bridge_fini};
