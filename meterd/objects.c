#include "meterd/objects.h"

#include "meterd/ops.h"
#include "proto/endpoints.h"

/* What a call that names this response goes on from. Where upstream did not say, nobody knows. */
static struct bind tokens_of(const struct usage_event *e)
{
    uint64_t tokens = e->prompt_tokens + e->completion_tokens;

    if (!slice_is(e->endpoint, ENDPOINT_RESPONSES) || e->estimated || tokens == 0)
        return B_NULL;
    return B_I(tokens < LIMIT_TOKENS ? tokens : LIMIT_TOKENS);
}

enum status objects_keep(struct work *w, const struct usage_event *e, int64_t user_num)
{
    struct bind worth = B_NULL;
    enum status st = ST_OK;
    struct buf bytes;
    size_t i;

    buf_init(&bytes, LIMIT_RECORD);
    if (e->worth.n) {
        st = wire_encode(&batch_worth_desc, &e->worth.items[0], &bytes, w->err);
        worth = B_B(((struct slice){bytes.p, bytes.n}));
    }
    for (i = 0; user_num && i < e->object_ids.n && st == ST_OK; i++)
        st = store_run(
            w->s, SQL_OBJECT_PUT,
            BINDS(B_I(user_num), B_S(e->object_ids.items[i]), B_S(e->provider), B_I(w->s->now_ms), worth, tokens_of(e)),
            w->err);
    buf_fini(&bytes);
    return st;
}

static enum status read_worth(struct work *w, struct slice bytes, struct object_find_rep *rep)
{
    struct wire_alloc mem = arena_wire(w->a);
    struct batch_worth *worth = arena_alloc(w->a, sizeof(*worth));

    if (!worth)
        return err_set(w->err, ST_NO_MEMORY, "no memory for what a batch can use");
    rep->worth.items = worth;
    rep->worth.n = 1;
    return wire_decode(&batch_worth_desc, bytes.p, bytes.n, worth, &mem, w->err);
}

enum status op_object_find(struct work *w, const void *in, void *out)
{
    const struct object_find_req *req = in;
    struct object_find_rep *rep = out;
    struct slice worth = {NULL, 0};
    sqlite3_stmt *q = NULL;
    enum status st = store_row(w->s, SQL_OBJECT_FIND, BINDS(B_B(req->key_digest), B_S(req->object_id)), &q, w->err);

    if (st == ST_OK && !q)
        return err_set(w->err, ST_NOT_FOUND, "There is no such object.");
    if (st == ST_OK)
        st = col_text(q, 0, w->a, &rep->provider, w->err);
    if (st == ST_OK && !col_is_null(q, 1))
        st = col_text(q, 1, w->a, &worth, w->err);
    if (st == ST_OK && worth.n)
        st = read_worth(w, worth, rep);
    if (st == ST_OK)
        rep->tokens = col_u64(q, 2);
    store_reset(&q);
    return st;
}
