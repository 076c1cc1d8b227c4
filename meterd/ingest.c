#include "meterd/ingest.h"

#include "meterd/calls.h"
#include "meterd/ledger.h"
#include "meterd/ops.h"
#include "meterd/pace.h"
#include "meterd/state.h"

/* ---- positions -----------------------------------------------------------------------------------------------------
 */

/* While a gap is being repaired more batches come after it: one complaint is enough for a while. */
static bool complain(struct store *s, struct slice source, uint64_t seq)
{
    struct store_gap *gap = NULL;
    size_t i;

    for (i = 0; i < STORE_GAPS && !gap; i++)
        if (slice_is(source, s->gaps[i].source))
            gap = &s->gaps[i];
    if (gap && gap->seq == seq && s->now_ms >= gap->at_ms && s->now_ms - gap->at_ms < STORE_GAP_QUIET_MS)
        return false;
    if (!gap)
        gap = &s->gaps[s->next_gap++ % STORE_GAPS];
    gap->seq = seq;
    gap->at_ms = s->now_ms;
    return slice_copy(source, gap->source, sizeof(gap->source));
}

static enum status write_position(struct work *w, const struct store_position *p)
{
    struct slice source = slice_of(p->source);
    struct ack ack = {.source = source, .acked_seq = p->seq, .gap = p->gap};
    uint64_t revision;
    enum status st;

    if (!p->moved && !p->gap)
        return ST_OK;
    revision = store_next_revision(w->s);
    st = store_run(w->s, SQL_POSITION_PUT, BINDS(B_S(source), B_I(p->seq), B_I(revision), B_I(w->s->now_ms)), w->err);
    return st == ST_OK ? changes_add(&w->s->changes, &ack_desc, &ack, revision, w->err) : st;
}

enum status ingest_flush(struct work *w)
{
    enum status st = ledger_flush(w);
    size_t i;

    for (i = 0; i < w->s->n_positions && st == ST_OK; i++)
        st = write_position(w, &w->s->positions[i]);
    w->s->n_positions = 0;
    return st;
}

static enum status find_position(struct work *w, struct slice source, struct store_position **ret)
{
    struct store_position *p;
    int64_t seq = 0;
    enum status st = ST_OK;
    size_t i;

    for (i = 0; i < w->s->n_positions; i++) {
        *ret = &w->s->positions[i];
        if (slice_is(source, (*ret)->source))
            return ST_OK;
    }
    if (w->s->n_positions == STORE_SOURCES)
        st = ingest_flush(w);
    if (st == ST_OK)
        st = store_number(w->s, SQL_POSITION, BINDS(B_S(source)), 0, &seq, w->err);
    if (st != ST_OK)
        return st;
    p = &w->s->positions[w->s->n_positions];
    *p = (struct store_position){.seq = (uint64_t)seq};
    if (source.n == 0 || !slice_copy(source, p->source, sizeof(p->source)))
        return err_set(w->err, ST_BAD_REQUEST, "the name of a source is empty, too long or has a NUL");
    w->s->n_positions++;
    *ret = p;
    return ST_OK;
}

/* This database was restored from a backup that is older than what the source has kept: those records exist nowhere
 * any more, and waiting for them would only lose those that do. */
static void skip_what_is_gone(struct store *s, const struct ingest_batch *batch, struct store_position *p)
{
    if (batch->oldest_seq <= p->seq + 1 || batch->oldest_seq > batch->first_seq)
        return;
    s->counts.lost += batch->oldest_seq - 1 - p->seq;
    p->seq = batch->oldest_seq - 1;
    p->moved = true;
}

enum status ingest_apply(struct work *w, const struct ingest_batch *batch, uint64_t *ret_seq)
{
    struct store_position *p = NULL;
    enum status st = find_position(w, batch->source, &p);
    uint64_t skip;
    size_t i;

    if (st != ST_OK || !p)
        return st;
    skip_what_is_gone(w->s, batch, p);
    *ret_seq = p->seq;
    if (batch->n == 0 || batch->first_seq == 0)
        return ST_OK;
    if (batch->first_seq > p->seq + 1) {
        w->s->counts.gaps++;
        p->gap = p->gap || complain(w->s, batch->source, p->seq);
        return ST_OK;
    }
    skip = p->seq + 1 - batch->first_seq;
    for (i = (size_t)skip; i < batch->n && st == ST_OK; i++) {
        st = calls_apply(w, &batch->events[i]);
        pace_step(w->pace);
    }
    /* Moved even by what was known already: its acknowledgement was lost, or else it would not have come again. */
    p->moved = true;
    if (skip < batch->n) {
        p->seq = batch->first_seq + batch->n - 1;
        p->gap = false;
    }
    *ret_seq = p->seq;
    return st;
}

/* ---- calls ---------------------------------------------------------------------------------------------------------
 */

enum status op_usage_deliver(struct work *w, const void *in, void *out)
{
    const struct usage_deliver_req *req = in;
    struct usage_deliver_rep *rep = out;
    struct ingest_batch batch = {req->source, req->first_seq, req->events.items, req->events.n, req->oldest_seq};

    return ingest_apply(w, &batch, &rep->acked_seq);
}

enum status op_usage_void(struct work *w, const void *in, void *out)
{
    const struct usage_void_req *req = in;
    struct empty *rep = out;
    uint64_t before = w->s->revision;
    struct usage_event event;
    enum status st;

    if (req->event.n != 1)
        return err_set(w->err, ST_BAD_MESSAGE, "usage_void_req.event: one event is due");
    event = req->event.items[0];
    event.status = slice_of("void");
    st = calls_apply(w, &event);
    if (st == ST_OK && w->s->revision != before)
        rep->revision = w->s->revision;
    return st;
}
