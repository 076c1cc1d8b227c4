/* Responses to chat completions: what upstream calls the client's tools. */
#include <stdlib.h>
#include <string.h>

#include "providersvc/dialects/responses_to_chat.h"

#define BETWEEN "__" /* of a namespace and a name: as Codex itself joined them before it sent namespaces */
#define JOINED_MAX (2 * OUTPUT_NAME_MAX + sizeof(BETWEEN)) /* bytes of both */

/* ---- the tools of a request ----------------------------------------------------------------------------------------
 */

/* Appends what chat takes in a name. */
static size_t join(char *to, size_t n, struct slice part)
{
    for (size_t i = 0; i < part.n; i++)
        to[n++] = check_word((struct slice){part.p + i, 1}) ? part.p[i] : '_';
    return n;
}

static bool too_long(struct slice space, struct slice name)
{
    return space.n > OUTPUT_NAME_MAX || name.n > OUTPUT_NAME_MAX;
}

/* What upstream calls a tool that shares its name with no other. to: JOINED_MAX bytes. */
static struct slice base_name(struct slice space, struct slice name, char *to, char *brief)
{
    size_t n = 0;

    if (space.n == 0 && name.n <= TRANSLATE_NAME_MAX)
        return name;
    if (space.n > 0) {
        n = join(to, n, space);
        n = join(to, n, slice_of(BETWEEN));
    }
    n = join(to, n, name);
    return translate_short_name((struct slice){to, n}, brief);
}

static enum status note_name(struct input_making *q, yyjson_val *tool, struct slice space)
{
    struct input_tool t = {.space = space,
                           .name = facts_text(yyjson_obj_get(tool, "name")),
                           .custom = yyjson_equals_str(yyjson_obj_get(tool, "type"), "custom")};
    char joined[JOINED_MAX], brief[TRANSLATE_NAME_MAX + 1];
    struct slice base;
    enum status st;

    if (t.name.n == 0 || too_long(t.space, t.name))
        return ST_OK;
    base = base_name(t.space, t.name, joined, brief);
    memcpy(t.base, base.p, base.n);
    t.n_base = base.n;
    st = buf_add(&q->names, &t, sizeof(t));
    if (st == ST_TOO_LARGE)
        return check_invalid(&q->r.from, "tools", "at most 4096 tools");
    return st == ST_OK ? ST_OK : translate_no_memory(q->r.from.err);
}

static enum status note_tools(struct input_making *q, yyjson_val *list)
{
    enum status st = ST_OK;
    yyjson_val *tool, *inner;
    size_t i, n, j, m;

    yyjson_arr_foreach(list, i, n, tool)
    {
        yyjson_val *type = yyjson_obj_get(tool, "type");

        if (st == ST_OK && (yyjson_equals_str(type, "function") || yyjson_equals_str(type, "custom")))
            st = note_name(q, tool, (struct slice){NULL, 0});
        if (!yyjson_equals_str(type, "namespace"))
            continue;
        yyjson_arr_foreach(yyjson_obj_get(tool, "tools"), j, m, inner)
        {
            if (st == ST_OK)
                st = note_name(q, inner, facts_text(yyjson_obj_get(tool, "name")));
        }
    }
    return st;
}

static int compare(struct slice a, struct slice b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n > 0 ? memcmp(a.p, b.p, n) : 0;

    return c != 0 ? c : (a.n > b.n) - (a.n < b.n);
}

static int by_given(const void *x, const void *y)
{
    const struct input_tool *a = x, *b = y;
    int c = compare(a->space, b->space);

    if (c == 0)
        c = compare(a->name, b->name);
    return c != 0 ? c : (int)a->custom - (int)b->custom;
}

static int by_base(const void *x, const void *y)
{
    const struct input_tool *a = x, *b = y;
    int c = compare((struct slice){a->base, a->n_base}, (struct slice){b->base, b->n_base});

    return c != 0 ? c : by_given(a, b);
}

/* Of several that upstream would call the same, the one that the client calls so, too, keeps the name. */
static bool is_own(const struct input_tool *t)
{
    return t->space.n == 0 && !t->custom && t->name.n == t->n_base;
}

static void find_shared(struct input_tool *all, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        struct input_tool *a = &all[i - 1], *b = &all[i];

        if (a->n_base != b->n_base || memcmp(a->base, b->base, a->n_base) != 0)
            continue;
        if (by_given(a, b) == 0) { /* the client's own fault, which is found later */
            b->shared = a->shared;
            continue;
        }
        a->shared |= !is_own(a);
        b->shared |= !is_own(b);
    }
}

enum status input_note_names(struct input_making *q, yyjson_val *body)
{
    enum status st = note_tools(q, yyjson_obj_get(body, "tools"));
    yyjson_val *item;
    size_t i, n;

    yyjson_arr_foreach(yyjson_obj_get(body, "input"), i, n, item)
    {
        if (st == ST_OK && yyjson_equals_str(yyjson_obj_get(item, "type"), "additional_tools"))
            st = note_tools(q, yyjson_obj_get(item, "tools"));
    }
    n = q->names.n / sizeof(struct input_tool);
    if (st != ST_OK || n == 0)
        return st;
    qsort(q->names.p, n, sizeof(struct input_tool), by_base);
    find_shared((void *)q->names.p, n);
    qsort(q->names.p, n, sizeof(struct input_tool), by_given);
    return ST_OK;
}

/* ---- requests ------------------------------------------------------------------------------------------------------
 */

/* Which of those that share their name it is, a digest of all that the client says of it tells. */
static struct slice distinct_name(const struct input_tool *t, char *to)
{
    char whole[2 * OUTPUT_NAME_MAX + 2];
    size_t n = 0;

    whole[n++] = t->custom ? 'c' : 'f';
    if (t->space.n > 0)
        memcpy(whole + n, t->space.p, t->space.n);
    n += t->space.n;
    whole[n++] = '\0';
    memcpy(whole + n, t->name.p, t->name.n);
    return translate_distinct_name((struct slice){t->base, t->n_base}, (struct slice){whole, n + t->name.n}, to);
}

enum status input_name(struct input_making *q, yyjson_val *object, struct slice space, bool custom,
                       yyjson_mut_val **ret)
{
    char joined[JOINED_MAX], brief[TRANSLATE_NAME_MAX + 1];
    yyjson_val *v = NULL;
    enum status st = check_need(&q->r.from, object, "name", IS_STRING, &v);
    struct input_tool key = {.space = space, .name = facts_text(v), .custom = custom};
    const struct input_tool *known = NULL;

    if (st != ST_OK)
        return st;
    if (too_long(space, key.name))
        return check_invalid(&q->r.from, "name", "it and its namespace to have at most 128 bytes each");
    if (q->names.n > 0)
        known = bsearch(&key, q->names.p, q->names.n / sizeof(key), sizeof(key), by_given);
    if (known != NULL && known->shared)
        *ret = making_copy(&q->r.to, distinct_name(known, brief));
    else
        *ret = making_copy(&q->r.to, base_name(space, key.name, joined, brief));
    return ST_OK;
}

enum status input_spaced_name(struct input_making *q, yyjson_val *object, bool custom, yyjson_mut_val **ret)
{
    yyjson_val *space = NULL;
    enum status st = check_get(&q->r.from, object, "namespace", IS_STRING, &space);

    return st == ST_OK ? input_name(q, object, facts_text(space), custom, ret) : st;
}

enum status input_keep_tool(struct input_making *q, yyjson_val *tool, struct slice space, yyjson_mut_val *sent,
                            struct output_tool t)
{
    struct output_tools *all = q->spaced;
    struct slice name = facts_text(yyjson_obj_get(tool, "name"));
    struct output_tool *more;

    if (space.n == 0 && !t.custom && name.n <= TRANSLATE_NAME_MAX)
        return ST_OK;
    if (all->n == OUTPUT_TOOLS_MAX)
        return check_invalid(&q->r.from, NULL, "at most 1024 tools in namespaces, custom or with long names");
    if (space.n == 0 && !check_word(name))
        return check_invalid(&q->r.from, "name", "letters, digits, _ and -");
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
        return check_invalid(&q->r.from, "name", "a name that no other tool of the namespace has");
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
