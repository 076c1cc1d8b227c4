#include "meterd/batch.h"

#include "meterd/ingest.h"

enum status batch_begin(struct store *s, struct err *err)
{
    return store_begin(s, err);
}

enum status batch_run(struct work *w, enum lane lane, meterd_op *op, const void *in, void *out)
{
    struct store_mark mark;
    enum status st;

    if (lane != LANE_WRITE) {
        st = op(w, in, out);
        /* It may have stopped half-way, and only the whole transaction can be taken back. */
        if (st != ST_OK && st != ST_BAD_REQUEST && w->s->broken == STORE_WELL)
            w->s->broken = STORE_RETRY;
        return st;
    }
    /* A command reads rows, so what ingest keeps in memory is written first. */
    st = ingest_flush(w);
    if (st == ST_OK)
        st = store_savepoint(w->s, &mark, w->err);
    if (st != ST_OK) {
        w->s->broken = w->s->broken == STORE_WELL ? STORE_RETRY : w->s->broken;
        return st;
    }
    w->keep = false;
    st = op(w, in, out);
    if (st == ST_OK || w->keep) {
        enum status released = store_release(w->s, w->err);

        return released == ST_OK ? st : released;
    }
    store_undo(w->s, &mark);
    return st;
}

enum status batch_commit(struct store *s, struct err *err)
{
    struct work w = {.s = s, .err = err};
    enum status st = s->writer ? ingest_flush(&w) : ST_OK;

    if (st != ST_OK) {
        store_rollback(s);
        return st;
    }
    return store_commit(s, err);
}

void batch_abandon(struct store *s)
{
    store_rollback(s);
    if (s->broken == STORE_RETRY)
        s->broken = STORE_WELL;
}

enum status batch_single(struct work *w, meterd_op *op, const void *in, void *out)
{
    enum status st = batch_begin(w->s, w->err), committed;

    if (st != ST_OK)
        return st;
    w->keep = false;
    st = op(w, in, out);
    if (st == ST_OK || w->keep) {
        committed = batch_commit(w->s, w->err);
        st = committed == ST_OK ? st : committed;
    }
    if (st != ST_OK && !w->keep)
        batch_abandon(w->s);
    return st;
}
