#include "tests/unit/fill.h"

#include <stdlib.h>
#include <string.h>

static uint64_t at_most(uint64_t v, uint64_t limit)
{
    return v < limit ? v : limit;
}

void *fill_alloc(struct arena *a, size_t size)
{
    void *p = arena_alloc(a, size);

    if (!p)
        abort();
    return p;
}

char *exact_copy(const char *bytes, size_t n)
{
    char *block = malloc(n + 1); /* one byte in front, because a block of none need not exist */

    if (!block)
        abort();
    if (n > 0)
        memcpy(block + 1, bytes, n);
    return block + 1;
}

void exact_free(char *copy)
{
    free(copy - 1);
}

/* n bytes of text, with a character of two bytes wherever one fits. */
static struct slice full_text(size_t n, struct arena *a)
{
    char *p = fill_alloc(a, n);
    size_t i;

    for (i = 0; i + 1 < n; i += 2)
        memcpy(p + i, i % 16 == 14 ? "\xc3\xa9" : "ab", 2);
    if (i < n)
        p[i] = 'z';
    return (struct slice){p, n};
}

static struct slice full_bytes(size_t n, struct arena *a)
{
    char *p = fill_alloc(a, n);
    size_t i;

    for (i = 0; i < n; i++)
        p[i] = (char)(i * 7);
    return (struct slice){p, n};
}

static struct slice small_text(const struct wire_field *f)
{
    return (struct slice){f->name, at_most(strlen(f->name), f->limit)};
}

static struct slice small_bytes(const struct wire_field *f)
{
    static const char bytes[] = {0, (char)0xff, 'x', (char)0xc1};

    return (struct slice){bytes, at_most(sizeof(bytes), f->limit)};
}

void fill_items(const struct wire_field *f, void *msg, size_t count, struct arena *a)
{
    size_t size = f->kind == WIRE_STRS || f->kind == WIRE_SECRETS ? sizeof(struct slice) : f->item->size;
    struct wire_list list = {fill_alloc(a, count * size), count};

    memcpy((char *)msg + f->offset, &list, sizeof(list));
}

static void fill_strs(const struct wire_field *f, void *to, struct arena *a, enum fill_how how)
{
    size_t n = how == FILL_FULL ? f->limit : at_most(FILL_ITEMS, f->limit), i;
    struct slice *items = fill_alloc(a, n * sizeof(*items));

    for (i = 0; i < n; i++)
        items[i] = how == FILL_FULL ? full_text(wire_item_max(f), a) : small_text(f);
    memcpy(to, &(struct wire_strs){items, n}, sizeof(struct wire_strs));
}

static void fill_list(const struct wire_field *f, void *to, struct arena *a, enum fill_how how)
{
    size_t n = at_most(FILL_ITEMS, f->limit), i;
    char *items = fill_alloc(a, n * f->item->size);

    for (i = 0; i < n; i++)
        fill_message(f->item, items + i * f->item->size, a, how);
    memcpy(to, &(struct wire_list){items, n}, sizeof(struct wire_list));
}

static void fill_field(const struct wire_field *f, void *to, struct arena *a, enum fill_how how)
{
    bool full = how == FILL_FULL;
    int64_t size = (int64_t)at_most(full ? UINT64_MAX : f->tag * UINT64_C(1234567), f->limit);

    switch ((enum wire_kind)f->kind) {
    case WIRE_BOOL: *(bool *)to = true; return;
    case WIRE_U64: *(uint64_t *)to = at_most(full ? UINT64_MAX : 7 + f->tag * UINT64_C(57), f->limit); return;
    case WIRE_I64:
    case WIRE_NANO: *(int64_t *)to = f->tag % 2 ? -size : size; return;
    case WIRE_PICO: *(int64_t *)to = size; return;
    case WIRE_STR:
    case WIRE_SECRET: *(struct slice *)to = full ? full_text(f->limit, a) : small_text(f); return;
    case WIRE_BIN: *(struct slice *)to = full ? full_bytes(f->limit, a) : small_bytes(f); return;
    case WIRE_STRS:
    case WIRE_SECRETS: fill_strs(f, to, a, how); return;
    case WIRE_LIST: fill_list(f, to, a, how); return;
    }
}

void fill_message(const struct wire_desc *desc, void *msg, struct arena *a, enum fill_how how)
{
    uint32_t i;

    for (i = 0; i < desc->n_fields; i++)
        fill_field(&desc->fields[i], (char *)msg + desc->fields[i].offset, a, how);
}
