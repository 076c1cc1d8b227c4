#include "meterd/change.h"

#include <stdlib.h>
#include <string.h>

#define CHANGE_FIRST_CAP 64

void changes_init(struct changes *c)
{
    memset(c, 0, sizeof(*c));
    buf_init(&c->records, CHANGE_BYTES_MAX);
}

void changes_fini(struct changes *c)
{
    buf_fini(&c->records);
    free(c->items);
    memset(c, 0, sizeof(*c));
}

static enum status room(struct changes *c)
{
    size_t cap = c->cap ? c->cap * 2 : CHANGE_FIRST_CAP;
    struct change_item *items;

    if (c->n < c->cap)
        return ST_OK;
    items = realloc(c->items, cap * sizeof(*items));
    if (!items)
        return ST_NO_MEMORY;
    c->items = items;
    c->cap = cap;
    return ST_OK;
}

enum status changes_add(struct changes *c, const struct wire_desc *desc, const void *record, uint64_t revision,
                        struct err *err)
{
    size_t at = c->records.n;
    enum status st = room(c);

    if (st != ST_OK)
        return err_set(err, st, "no memory for a state record");
    st = wire_encode(desc, record, &c->records, err);
    if (st != ST_OK) {
        c->records.n = at;
        return st;
    }
    c->items[c->n++] = (struct change_item){revision, desc->type, at, c->records.n - at};
    return ST_OK;
}

struct change_mark changes_mark(const struct changes *c)
{
    return (struct change_mark){c->n, c->records.n};
}

void changes_undo(struct changes *c, struct change_mark mark)
{
    c->n = mark.n;
    c->records.n = mark.bytes;
}

/* How many items from `from` on fit one message. */
static size_t portion(const struct changes *c, size_t from, size_t most)
{
    size_t n, bytes = 0;

    for (n = 0; from + n < c->n && n < most && bytes < CHANGE_BATCH_BYTES; n++)
        bytes += c->items[from + n].n;
    return n;
}

static enum status publish_portion(const struct changes *c, size_t from, struct state_batch *batch,
                                   struct state_change *list, struct buf *out)
{
    size_t i;

    for (i = 0; i < batch->changes.n; i++) {
        const struct change_item *item = &c->items[from + i];

        list[i] = (struct state_change){
            .revision = item->revision, .kind = item->kind, .record = {c->records.p + item->at, item->n}};
    }
    out->n = 0;
    return wire_encode(&state_batch_desc, batch, out, NULL);
}

enum status changes_publish(const struct changes *c, uint64_t previous, uint64_t revision, size_t most,
                            void (*publish)(void *ctx, struct slice bytes), void *ctx)
{
    struct state_change *list = calloc((c->n < most ? c->n : most) + 1, sizeof(*list));
    enum status st = list ? ST_OK : ST_NO_MEMORY;
    struct buf out;
    size_t from = 0;

    buf_init(&out, WIRE_MESSAGE_MAX);
    while (st == ST_OK) {
        struct state_batch batch = {.previous_revision = previous, .revision = revision};
        size_t n = portion(c, from, most);

        if (from + n < c->n)
            batch.revision = c->items[from + n - 1].revision;
        batch.changes.items = list;
        batch.changes.n = n;
        st = publish_portion(c, from, &batch, list, &out);
        if (st == ST_OK)
            publish(ctx, (struct slice){out.p, out.n});
        previous = batch.revision;
        from += n;
        if (from >= c->n)
            break;
    }
    buf_fini(&out);
    free(list);
    return st;
}
