#include "services/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_CHUNK_MIN 4096 /* bytes of the first chunk; each further one is twice as large … */
#define ARENA_CHUNK_MAX (64u * 1024u) /* … up to this, unless one allocation wants more */
#define ARENA_KEEP_MAX ARENA_CHUNK_MAX /* arena_reset keeps no chunk larger than this */
#define ARENA_ALIGN alignof(max_align_t)

struct arena_chunk {
    struct arena_chunk *next; /* older */
    size_t size, used; /* of bytes */
    alignas(max_align_t) char bytes[];
};

void arena_init(struct arena *a, size_t max_bytes)
{
    *a = (struct arena){.max = max_bytes};
}

static void free_chunks(struct arena_chunk *c)
{
    while (c) {
        struct arena_chunk *next = c->next;

        free(c);
        c = next;
    }
}

void arena_fini(struct arena *a)
{
    free_chunks(a->chunks);
    *a = (struct arena){.max = a->max};
}

void arena_reset(struct arena *a)
{
    struct arena_chunk *keep = NULL, **at;

    for (at = &a->chunks; *at; at = &(*at)->next) {
        if ((*at)->size <= ARENA_KEEP_MAX) {
            keep = *at;
            *at = keep->next;
            break;
        }
    }
    free_chunks(a->chunks);
    if (keep) {
        keep->next = NULL;
        keep->used = 0;
    }
    a->chunks = keep;
    a->used = 0;
}

static struct arena_chunk *add_chunk(struct arena *a, size_t size)
{
    size_t room = ARENA_CHUNK_MIN;
    struct arena_chunk *c;

    if (a->chunks)
        room = a->chunks->size < ARENA_CHUNK_MAX / 2 ? a->chunks->size * 2 : ARENA_CHUNK_MAX;
    if (room < size)
        room = size;
    if (room > SIZE_MAX - sizeof(*c))
        return NULL;
    c = malloc(sizeof(*c) + room);
    if (!c)
        return NULL;
    *c = (struct arena_chunk){.next = a->chunks, .size = room};
    a->chunks = c;
    return c;
}

/* The ceiling counts what was asked for, rounded up to the alignment: whoever set it need not know of chunks. */
static void *take(struct arena *a, size_t size)
{
    struct arena_chunk *c = a->chunks;
    void *p;

    if (size == 0)
        size = 1; /* so that every pointer is another one, and none is NULL */
    if (size > SIZE_MAX - ARENA_ALIGN)
        return NULL;
    size = (size + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    if (size > a->max || a->used > a->max - size)
        return NULL;
    if (!c || c->size - c->used < size)
        c = add_chunk(a, size);
    if (!c)
        return NULL;
    p = c->bytes + c->used;
    c->used += size;
    a->used += size;
    return p;
}

void *arena_alloc(struct arena *a, size_t size)
{
    void *p = take(a, size);

    if (p)
        memset(p, 0, size);
    return p;
}

char *arena_strndup(struct arena *a, const char *p, size_t n)
{
    char *to = n < SIZE_MAX ? take(a, n + 1) : NULL;

    if (!to)
        return NULL;
    if (n > 0)
        memcpy(to, p, n);
    to[n] = '\0';
    return to;
}

struct slice arena_copy(struct arena *a, struct slice s, enum status *ret_st)
{
    char *p = NULL;

    *ret_st = ST_OK;
    if (s.n == 0)
        return (struct slice){"", 0};
    p = take(a, s.n);
    if (!p) {
        *ret_st = ST_NO_MEMORY;
        return (struct slice){NULL, 0};
    }
    memcpy(p, s.p, s.n);
    return (struct slice){p, s.n};
}

static void *alloc_for_wire(void *ctx, size_t size)
{
    return arena_alloc(ctx, size);
}

struct wire_alloc arena_wire(struct arena *a)
{
    return (struct wire_alloc){alloc_for_wire, a};
}

static enum status copy_strs(struct arena *a, struct wire_strs *strs)
{
    struct slice *items = arena_alloc(a, strs->n * sizeof(*items));
    enum status st = items ? ST_OK : ST_NO_MEMORY;
    size_t i;

    for (i = 0; i < strs->n && st == ST_OK; i++)
        items[i] = arena_copy(a, strs->items[i], &st);
    strs->items = items;
    return st;
}

static enum status copy_list(struct arena *a, const struct wire_desc *item, struct wire_list *list)
{
    const char *from = list->items;
    char *items = arena_alloc(a, list->n * item->size);
    enum status st = items ? ST_OK : ST_NO_MEMORY;
    size_t i;

    for (i = 0; i < list->n && st == ST_OK; i++)
        st = arena_copy_message(a, item, from + i * item->size, items + i * item->size);
    list->items = items;
    return st;
}

enum status arena_copy_message(struct arena *a, const struct wire_desc *desc, const void *from, void *to)
{
    enum status st = ST_OK;
    uint32_t i;

    memcpy(to, from, desc->size);
    for (i = 0; i < desc->n_fields && st == ST_OK; i++) {
        const struct wire_field *f = &desc->fields[i];
        void *member = (char *)to + f->offset;
        struct slice *text = member;

        if ((f->kind == WIRE_STR || f->kind == WIRE_SECRET || f->kind == WIRE_BIN) && text->n > 0)
            *text = arena_copy(a, *text, &st);
        else if ((f->kind == WIRE_STRS || f->kind == WIRE_SECRETS) && ((struct wire_strs *)member)->n > 0)
            st = copy_strs(a, member);
        else if (f->kind == WIRE_LIST && ((struct wire_list *)member)->n > 0)
            st = copy_list(a, f->item, member);
    }
    return st;
}
