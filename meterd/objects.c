#include "meterd/objects.h"

#include "meterd/ops.h"

enum status objects_keep(struct work *w, const struct usage_event *e, int64_t user_num)
{
    enum status st = ST_OK;
    size_t i;

    for (i = 0; user_num && i < e->object_ids.n && st == ST_OK; i++)
        st = store_run(w->s, SQL_OBJECT_PUT,
                       BINDS(B_I(user_num), B_S(e->object_ids.items[i]), B_S(e->provider), B_I(w->s->now_ms)), w->err);
    return st;
}

enum status op_object_find(struct work *w, const void *in, void *out)
{
    const struct object_find_req *req = in;
    struct object_find_rep *rep = out;
    sqlite3_stmt *q = NULL;
    enum status st = store_row(w->s, SQL_OBJECT_FIND, BINDS(B_B(req->key_digest), B_S(req->object_id)), &q, w->err);

    if (st == ST_OK && !q)
        return err_set(w->err, ST_NOT_FOUND, "There is no such object.");
    if (st == ST_OK)
        st = col_text(q, 0, w->a, &rep->provider, w->err);
    store_reset(&q);
    return st;
}
