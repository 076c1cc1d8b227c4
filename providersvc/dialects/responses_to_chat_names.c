/* Responses to chat completions: tools in namespaces and custom ones, and what upstream calls them. */
#include <stdlib.h>
#include <string.h>

#include "providersvc/dialects/responses_to_chat.h"

#define BETWEEN "__" /* of a namespace and a name: as Codex itself joined them before it sent namespaces */

/* ---- requests ------------------------------------------------------------------------------------------------------
 */

/* Appends what chat takes in a name. */
static size_t join(char *to, size_t n, struct slice part)
{
    for (size_t i = 0; i < part.n; i++)
        to[n++] = check_word((struct slice){part.p + i, 1}) ? part.p[i] : '_';
    return n;
}

enum status input_name(struct reshape *r, yyjson_val *object, struct slice space, yyjson_mut_val **ret)
{
    char joined[2 * OUTPUT_NAME_MAX + sizeof(BETWEEN)], sent[TRANSLATE_NAME_MAX + 1];
    yyjson_val *v = NULL;
    enum status st = check_need(&r->from, object, "name", IS_STRING, &v);
    struct slice name = facts_text(v);
    size_t n;

    if (st != ST_OK)
        return st;
    if (space.n == 0) {
        *ret = making_value(&r->to, v);
        return ST_OK;
    }
    if (space.n > OUTPUT_NAME_MAX || name.n > OUTPUT_NAME_MAX)
        return check_invalid(&r->from, "name", "it and its namespace to have at most 128 bytes each");
    n = join(joined, 0, space);
    n = join(joined, n, slice_of(BETWEEN));
    n = join(joined, n, name);
    *ret = making_copy(&r->to, translate_short_name((struct slice){joined, n}, sent));
    return ST_OK;
}

enum status input_spaced_name(struct reshape *r, yyjson_val *object, yyjson_mut_val **ret)
{
    yyjson_val *space = NULL;
    enum status st = check_get(&r->from, object, "namespace", IS_STRING, &space);

    return st == ST_OK ? input_name(r, object, facts_text(space), ret) : st;
}

enum status input_keep_tool(struct input_making *q, yyjson_val *tool, struct slice space, yyjson_mut_val *sent,
                            struct output_tool t)
{
    struct output_tools *all = q->spaced;
    struct slice name = facts_text(yyjson_obj_get(tool, "name"));
    struct output_tool *more;

    if (all->n == OUTPUT_TOOLS_MAX)
        return check_invalid(&q->r.from, NULL, "at most 1024 tools in namespaces or custom");
    if (space.n == 0 && (!check_word(name) || name.n > TRANSLATE_NAME_MAX))
        return check_invalid(&q->r.from, "name", "at most 64 letters, digits, _ and -");
    if ((all->n & (all->n - 1)) == 0) { /* 0, 1, 2, 4, …: room for twice as many */
        more = realloc(all->items, (all->n > 0 ? 2 * all->n : 1) * sizeof(*more));
        if (more == NULL)
            return translate_no_memory(q->r.from.err);
        all->items = more;
    }
    (void)slice_copy(making_text_of(sent), t.sent, sizeof(t.sent));
    t.n_space = space.n;
    t.n_name = name.n;
    if (space.n > 0)
        memcpy(t.given, space.p, space.n);
    memcpy(t.given + space.n, name.p, name.n);
    all->items[all->n++] = t;
    return ST_OK;
}

static int by_sent(const void *a, const void *b)
{
    return strcmp(((const struct output_tool *)a)->sent, ((const struct output_tool *)b)->sent);
}

static const struct output_tool *find(const struct output_tools *all, struct slice sent)
{
    struct output_tool key = {.place = 0};

    if (all->n == 0 || sent.n == 0 || sent.n >= sizeof(key.sent) || memchr(sent.p, '\0', sent.n) != NULL)
        return NULL;
    (void)slice_copy(sent, key.sent, sizeof(key.sent));
    return bsearch(&key, all->items, all->n, sizeof(key), by_sent);
}

enum status input_check_tools(struct input_making *q)
{
    struct output_tools *all = q->spaced;
    yyjson_mut_val *tool;
    size_t i, n;

    if (all->n == 0)
        return ST_OK;
    qsort(all->items, all->n, sizeof(*all->items), by_sent);
    yyjson_mut_arr_foreach(q->tools, i, n, tool)
    {
        yyjson_mut_val *name = yyjson_mut_obj_get(yyjson_mut_obj_get(tool, "function"), "name");
        const struct output_tool *t = find(all, making_text_of(name));

        if (t == NULL || t->place == i)
            continue;
        if (t->item != OUTPUT_NOWHERE)
            check_enter_item(&q->r.from, "input", t->item);
        check_enter_item(&q->r.from, "tools", t->at);
        if (t->inner == OUTPUT_NOWHERE)
            return check_invalid(&q->r.from, "name", "a name that no other tool has");
        check_enter_item(&q->r.from, "tools", t->inner);
        return check_invalid(&q->r.from, "name",
                             "a name that, joined with its namespace by \"" BETWEEN "\", no other tool has");
    }
    return ST_OK;
}

/* ---- answers -------------------------------------------------------------------------------------------------------
 */

enum status output_name_call(struct output *o, struct output_item *item, struct slice sent, struct err *err)
{
    const struct output_tool *t = find(&o->spaced, sent);

    if (t == NULL)
        return output_say(o, &item->name, sent, err);
    if (t->custom)
        item->kind = OUTPUT_CUSTOM;
    item->space = (struct slice){t->given, t->n_space};
    return output_say(o, &item->name, (struct slice){t->given + t->n_space, t->n_name}, err);
}
