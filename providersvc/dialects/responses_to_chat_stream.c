/*
 * Responses to chat completions: streams (contract, section 1.3: the order of events).
 *
 * Text items are open one at a time; tool calls stay open until the end, since an upstream may speak of several in
 * turn. Nothing waits but a call whose name has not come, and what a custom tool's call says.
 */
#include <stdlib.h>
#include <string.h>

#include "providersvc/dialects/responses_to_chat.h"

/* Where an event comes from and goes to. */
struct giving {
    struct output *o;
    const struct translate_call *call;
    const struct translate_sink *to;
    struct err *err;
    const char *type; /* of the event being made */
};

/* ---- one event ------------------------------------------------------------------------------------------------------
 */

static struct put begin(struct giving *g, const char *type)
{
    struct put p = {&g->o->event, ST_OK};

    if (g->o->event.max == 0)
        buf_init(&g->o->event, OUTPUT_BYTES_MAX);
    g->type = type;
    g->o->event.n = 0;
    put_raw(&p, "{\"type\":\"");
    put_raw(&p, type);
    put_raw(&p, "\",\"sequence_number\":");
    put_count(&p, g->o->sequence);
    return p;
}

static enum status give(struct giving *g, struct put *p)
{
    put_raw(p, "}");
    if (p->st != ST_OK)
        return err_set(g->err, p->st, "%s", status_text(p->st));
    g->o->sequence++;
    return g->to->event(g->to->ctx, slice_of(g->type), (struct slice){g->o->event.p, g->o->event.n});
}

/* One that is about an item or, with part, about the one part that it has. */
static struct put begin_of(struct giving *g, const char *type, const struct output_item *item, bool part)
{
    struct put p = begin(g, type);

    put_raw(&p, ",\"item_id\":");
    output_put_id(&p, g->o, g->call, item);
    put_raw(&p, ",\"output_index\":");
    put_count(&p, (uint64_t)(item - g->o->items));
    if (part)
        put_raw(&p, item->kind == OUTPUT_REASONING ? ",\"summary_index\":0" : ",\"content_index\":0");
    return p;
}

static enum status give_object(struct giving *g, const char *type, enum output_status status, const struct usage *usage)
{
    struct put p = begin(g, type);

    put_raw(&p, ",\"response\":");
    output_put_object(&p, g->o, g->call, status, usage);
    return give(g, &p);
}

static enum status give_item(struct giving *g, const char *type, const struct output_item *item,
                             enum output_status status)
{
    struct put p = begin(g, type);

    put_raw(&p, ",\"output_index\":");
    put_count(&p, (uint64_t)(item - g->o->items));
    put_raw(&p, ",\"item\":");
    output_put_item(&p, g->o, g->call, item, status);
    return give(g, &p);
}

static enum status give_part(struct giving *g, const char *type, const struct output_item *item, bool full)
{
    struct put p = begin_of(g, type, item, true);

    put_raw(&p, ",\"part\":");
    output_put_part(&p, item, full);
    return give(g, &p);
}

/* What the events of each kind of item are called. */
static const struct {
    const char *delta, *done, *part_added, *part_done, *text; /* text: the member of `done` */
} names[] = {
    [OUTPUT_REASONING] = {"response.reasoning_summary_text.delta", "response.reasoning_summary_text.done",
                          "response.reasoning_summary_part.added", "response.reasoning_summary_part.done", "text"},
    [OUTPUT_TEXT] = {"response.output_text.delta", "response.output_text.done", "response.content_part.added",
                     "response.content_part.done", "text"},
    [OUTPUT_REFUSAL] = {"response.refusal.delta", "response.refusal.done", "response.content_part.added",
                        "response.content_part.done", "refusal"},
    [OUTPUT_CALL] = {"response.function_call_arguments.delta", "response.function_call_arguments.done", NULL, NULL,
                     "arguments"},
    [OUTPUT_CUSTOM] = {"response.custom_tool_call_input.delta", "response.custom_tool_call_input.done", NULL, NULL,
                       "input"},
};

static bool is_call(const struct output_item *item)
{
    return item->kind == OUTPUT_CALL || item->kind == OUTPUT_CUSTOM;
}

static enum status give_delta(struct giving *g, const struct output_item *item, struct slice text, yyjson_val *logprobs)
{
    struct put p = begin_of(g, names[item->kind].delta, item, !is_call(item));

    put_raw(&p, ",\"delta\":");
    put_string(&p, text);
    if (item->kind == OUTPUT_TEXT) {
        put_raw(&p, ",\"logprobs\":");
        if (yyjson_is_arr(logprobs))
            put_value(&p, logprobs);
        else
            put_raw(&p, "[]");
    }
    return give(g, &p);
}

static enum status give_done(struct giving *g, const struct output_item *item)
{
    struct put p = begin_of(g, names[item->kind].done, item, !is_call(item));

    if (item->kind == OUTPUT_CALL) {
        put_raw(&p, ",\"name\":");
        put_string(&p, (struct slice){item->name.p, item->name.n});
    }
    put_raw(&p, ",\"");
    put_raw(&p, names[item->kind].text);
    put_raw(&p, "\":");
    put_string(&p, (struct slice){item->text.p, item->text.n});
    if (item->kind == OUTPUT_TEXT) {
        put_raw(&p, ",\"logprobs\":[");
        put_bytes(&p, item->logprobs.p, item->logprobs.n);
        put_raw(&p, "]");
    }
    return give(g, &p);
}

/* ---- items ----------------------------------------------------------------------------------------------------------
 */

static enum status begin_stream(struct giving *g)
{
    enum status st;

    if (g->o->begun)
        return ST_OK;
    g->o->begun = true;
    st = give_object(g, "response.created", OUTPUT_IN_PROGRESS, NULL);
    return st == ST_OK ? give_object(g, "response.in_progress", OUTPUT_IN_PROGRESS, NULL) : st;
}

static enum status add_item(struct giving *g, struct output_item *item)
{
    enum status st;

    item->added = true;
    st = give_item(g, "response.output_item.added", item, OUTPUT_IN_PROGRESS);
    if (st == ST_OK && !is_call(item))
        st = give_part(g, names[item->kind].part_added, item, false);
    return st;
}

static enum status close_item(struct giving *g, struct output_item *item, enum output_status status)
{
    enum status st = ST_OK;

    if (item->closed || !item->added)
        return ST_OK;
    item->closed = true;
    if (item->kind == OUTPUT_CALL && item->text.n == 0 && status == OUTPUT_COMPLETED) { /* a client parses it */
        st = output_say(g->o, &item->text, (struct slice){"{}", 2}, g->err);
        if (st == ST_OK)
            st = give_delta(g, item, (struct slice){"{}", 2}, NULL);
    }
    if (item->kind == OUTPUT_CUSTOM) {
        st = output_unwrap(g->o, item, g->err);
        if (st == ST_OK && item->text.n > 0)
            st = give_delta(g, item, (struct slice){item->text.p, item->text.n}, NULL);
    }
    if (st == ST_OK)
        st = give_done(g, item);
    if (st == ST_OK && !is_call(item))
        st = give_part(g, names[item->kind].part_done, item, true);
    return st == ST_OK ? give_item(g, "response.output_item.done", item, status) : st;
}

/* The item that text goes on in; NULL = none. */
static struct output_item *open_text(struct output *o)
{
    struct output_item *last = o->n_items > 0 ? &o->items[o->n_items - 1] : NULL;

    return last != NULL && !is_call(last) && !last->closed ? last : NULL;
}

static enum status close_text(struct giving *g)
{
    struct output_item *item = open_text(g->o);

    return item != NULL ? close_item(g, item, OUTPUT_COMPLETED) : ST_OK;
}

static enum status say(struct giving *g, enum output_kind kind, struct slice text, yyjson_val *logprobs)
{
    struct output_item *item = open_text(g->o);
    enum status st = ST_OK;

    if (text.n == 0)
        return ST_OK;
    if (item == NULL || item->kind != kind) {
        st = close_text(g);
        if (st == ST_OK)
            st = output_new(g->o, kind, &item, g->err);
        if (st == ST_OK)
            st = add_item(g, item);
    }
    if (st == ST_OK)
        st = output_say(g->o, &item->text, text, g->err);
    if (st == ST_OK)
        st = output_note_logprobs(g->o, item, logprobs, g->err);
    return st == ST_OK ? give_delta(g, item, text, logprobs) : st;
}

/* It comes whole, so it is there at once. */
static enum status give_picture(struct giving *g, const struct data_url *picture)
{
    struct output_item *item = NULL;
    enum status st = close_text(g);
    struct put p;

    if (st == ST_OK)
        st = output_add_picture(g->o, picture, true, &item, g->err);
    if (st == ST_OK)
        st = give_item(g, "response.output_item.added", item, OUTPUT_IN_PROGRESS);
    if (st != ST_OK)
        return st;
    p = begin_of(g, "response.image_generation_call.completed", item, false);
    st = give(g, &p);
    return st == ST_OK ? give_item(g, "response.output_item.done", item, OUTPUT_COMPLETED) : st;
}

static enum status give_pictures(struct giving *g, yyjson_val *images)
{
    struct data_url picture;
    enum status st = ST_OK;
    yyjson_val *image;
    size_t i, n;

    yyjson_arr_foreach(images, i, n, image)
    {
        if (st == ST_OK && output_picture_of(image, &picture))
            st = give_picture(g, &picture);
    }
    return st;
}

/* Some give parts in place of the text. */
static enum status say_content(struct giving *g, yyjson_val *content, yyjson_val *logprobs)
{
    yyjson_val *part;
    enum status st = say(g, OUTPUT_TEXT, facts_text(content), logprobs);
    size_t i, n;

    yyjson_arr_foreach(content, i, n, part)
    {
        if (st == ST_OK)
            st = say(g, OUTPUT_TEXT, facts_text(yyjson_obj_get(part, "text")), NULL);
    }
    return st == ST_OK ? give_pictures(g, content) : st;
}

/* ---- tool calls -----------------------------------------------------------------------------------------------------
 */

static bool has_id(const struct output_item *item, struct slice id)
{
    return slice_eq((struct slice){item->call_id.p, item->call_id.n}, id);
}

/* The call that a delta belongs to: that of its index, but some give every call the same, or none. NULL = a call that
 * begins. */
static struct output_item *call_of(struct output *o, yyjson_val *index, struct slice id, bool named)
{
    for (size_t k = o->n_items; k > 0; k--) {
        struct output_item *item = &o->items[k - 1];

        if (!is_call(item))
            continue;
        if (!yyjson_is_uint(index)) {
            if (id.n == 0)
                return named && item->added ? NULL : item;
            if (has_id(item, id))
                return item;
        } else if (item->index == yyjson_get_uint(index))
            return named && id.n > 0 && item->call_id.n > 0 && !has_id(item, id) ? NULL : item;
    }
    return NULL;
}

static enum status new_call(struct giving *g, yyjson_val *index, struct output_item **ret)
{
    enum status st = close_text(g);

    if (st == ST_OK)
        st = output_new(g->o, OUTPUT_CALL, ret, g->err);
    if (st == ST_OK)
        (*ret)->index = yyjson_is_uint(index) ? yyjson_get_uint(index) : g->o->n_items;
    return st;
}

/* index: may be NULL. */
static enum status take_call(struct giving *g, yyjson_val *index, struct slice id, yyjson_val *function)
{
    struct slice name = facts_text(yyjson_obj_get(function, "name"));
    struct output_item *item = call_of(g->o, index, id, name.n > 0);
    enum status st = ST_OK;
    size_t before;

    if (item == NULL)
        st = new_call(g, index, &item);
    if (st == ST_OK && item->call_id.n == 0 && !item->added)
        st = output_say(g->o, &item->call_id, id, g->err);
    if (st != ST_OK)
        return st;
    before = item->text.n;
    st = output_say_arguments(g->o, &item->text, yyjson_obj_get(function, "arguments"), g->err);
    if (st == ST_OK && !item->added && name.n > 0) {
        st = output_name_call(g->o, item, name, g->err);
        if (st == ST_OK)
            st = add_item(g, item);
        before = 0;
    }
    if (st != ST_OK || !item->added || item->text.n == before || item->kind == OUTPUT_CUSTOM)
        return st;
    return give_delta(g, item, (struct slice){item->text.p + before, item->text.n - before}, NULL);
}

/* ---- events ---------------------------------------------------------------------------------------------------------
 */

static enum status take_choice(struct giving *g, yyjson_val *choice)
{
    yyjson_val *delta = yyjson_obj_get(choice, "delta"), *call;
    yyjson_val *logprobs = yyjson_obj_get(yyjson_obj_get(choice, "logprobs"), "content");
    const char *finish = output_finish_of(choice);
    enum status st = say(g, OUTPUT_REASONING, translate_reasoning_of(delta), NULL);
    size_t i, n;

    if (st == ST_OK)
        st = say_content(g, yyjson_obj_get(delta, "content"), logprobs);
    if (st == ST_OK)
        st = give_pictures(g, yyjson_obj_get(delta, "images"));
    if (st == ST_OK)
        st = say(g, OUTPUT_REFUSAL, facts_text(yyjson_obj_get(delta, "refusal")), NULL);
    if (st != ST_OK)
        return st;
    yyjson_arr_foreach(yyjson_obj_get(delta, "tool_calls"), i, n, call)
    {
        st = take_call(g, yyjson_obj_get(call, "index"), facts_text(yyjson_obj_get(call, "id")),
                       yyjson_obj_get(call, "function"));
        if (st != ST_OK)
            return st;
    }
    call = yyjson_obj_get(delta, "function_call"); /* the older form */
    if (yyjson_is_obj(call))
        st = take_call(g, NULL, (struct slice){NULL, 0}, call);
    if (st != ST_OK)
        return st;
    if (finish != NULL)
        g->o->finish = finish;
    return ST_OK;
}

enum status output_event(void *state, const struct translate_call *call, struct slice data,
                         const struct translate_sink *to, struct err *err)
{
    struct giving g = {state, call, to, err, NULL};
    yyjson_doc *doc = facts_parse(data, NULL);
    yyjson_val *root = yyjson_doc_get_root(doc), *choice;
    enum status st = doc != NULL ? ST_OK : translate_nonsense(err, "an event that is no object");
    size_t i, n;

    if (st == ST_OK) {
        output_note_head(g.o, root);
        st = begin_stream(&g);
    }
    yyjson_arr_foreach(yyjson_obj_get(root, "choices"), i, n, choice)
    {
        yyjson_val *index = yyjson_obj_get(choice, "index");

        if (st == ST_OK && (!yyjson_is_uint(index) || yyjson_get_uint(index) == 0)) /* one was asked for */
            st = take_choice(&g, choice);
    }
    yyjson_doc_free(doc);
    return st;
}

enum status output_end(void *state, const struct translate_call *call, enum translate_end how,
                       const struct usage *usage, const struct translate_sink *to, struct err *err)
{
    struct giving g = {state, call, to, err, NULL};
    struct output *o = state;
    enum output_status status = output_status_of(how == TRANSLATE_LIMIT ? "length" : o->finish);
    enum status st = ST_OK;
    size_t i;

    if (status == OUTPUT_IN_PROGRESS && o->n_items == 0)
        return translate_nonsense(err, "the stream has no end");
    if (status == OUTPUT_IN_PROGRESS) /* some say [DONE] alone */
        status = OUTPUT_COMPLETED;
    for (i = 0; how == TRANSLATE_WHOLE && i < o->n_items; i++) {
        if (!o->items[i].added)
            return translate_nonsense(err, "a tool call without a name");
    }
    st = begin_stream(&g);
    for (i = 0; st == ST_OK && i < o->n_items; i++)
        st = close_item(&g, &o->items[i], i + 1 < o->n_items ? OUTPUT_COMPLETED : status);
    if (st != ST_OK)
        return st;
    return give_object(&g, status == OUTPUT_COMPLETED ? "response.completed" : "response.incomplete", status, usage);
}

static void output_fini(void *state)
{
    struct output *o = state;

    for (size_t i = 0; i < o->n_items; i++) {
        buf_fini(&o->items[i].text);
        buf_fini(&o->items[i].logprobs);
        buf_fini(&o->items[i].call_id);
        buf_fini(&o->items[i].name);
    }
    free(o->items);
    free(o->spaced.items);
    buf_fini(&o->echo);
    buf_fini(&o->event);
    memset(o, 0, sizeof(*o));
}

const struct translator responses_to_chat = {.name = "responses_to_chat",
                                             .client = &dialect_responses,
                                             .upstream = &dialect_chat,
                                             .state_size = sizeof(struct output),
                                             .request = output_request,
                                             .answer = output_answer,
                                             .event = output_event,
                                             .end = output_end,
                                             .fini = output_fini};
