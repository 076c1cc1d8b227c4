#include "meterd/ingest.h"

#include <string.h>

#include "meterd/ledger.h"
#include "meterd/ops.h"
#include "meterd/state.h"

struct payer {
    bool known;
    int64_t num, account, balance_nano;
};

struct bill {
    int64_t cost_nano; /* what the call costs */
    int64_t take_nano; /* of it, what the user's credit bears */
    int64_t balance_nano; /* the user's, after it */
};

static size_t payer_slot(struct slice user_id)
{
    uint32_t hash = 2166136261u; /* FNV-1a: ids are random and short */
    size_t i;

    for (i = 0; i < user_id.n; i++)
        hash = (hash ^ (unsigned char)user_id.p[i]) * 16777619u;
    return hash % STORE_ACCOUNTS;
}

/* Ids that were found once are remembered: a user's number and account never change. */
static enum status look_up(struct work *w, struct slice user_id, struct store_payer *slot, bool *ret_known)
{
    sqlite3_stmt *q = NULL;
    enum status st;

    *ret_known = user_id.n > 0 && slice_is(user_id, slot->user_id);
    if (*ret_known)
        return ST_OK;
    st = store_row(w->s, SQL_PAYER, BINDS(B_S(user_id)), &q, w->err);
    *ret_known = q != NULL;
    if (q) {
        slot->num = col_i64(q, 0);
        slot->account = col_i64(q, 1);
        slice_copy(user_id, slot->user_id, sizeof(slot->user_id));
    }
    store_reset(&q);
    return st;
}

static enum status find_payer(struct work *w, struct slice user_id, struct payer *ret)
{
    struct store_payer *slot = &w->s->payers[payer_slot(user_id)];
    enum status st;

    *ret = (struct payer){0};
    st = look_up(w, user_id, slot, &ret->known);
    if (st != ST_OK || !ret->known)
        return st;
    ret->num = slot->num;
    ret->account = slot->account;
    return ledger_balance(w, slot->account, &ret->balance_nano);
}

static enum status insert_row(struct work *w, uint64_t revision, const struct usage_event *e, const struct payer *p,
                              const struct bill *b)
{
    struct bind user = p->known ? B_I(p->num) : B_NULL;

    return store_run(w->s, SQL_USAGE_INSERT,
                     BINDS(B_I(revision), B_S(e->request_id), user, B_S(e->key_id), B_S(e->model), B_S(e->provider),
                           B_S(e->upstream_model), B_S(e->endpoint), B_I(e->stream), B_S(e->status),
                           B_I(e->http_status), B_I(e->prompt_tokens), B_I(e->cached_tokens),
                           B_I(e->cache_write_tokens), B_I(e->cache_write_long_tokens), B_I(e->completion_tokens),
                           B_I(e->reasoning_tokens), B_I(e->estimated), B_I(e->price_id), B_I(b->take_nano),
                           B_I(b->cost_nano - b->take_nano), B_I(b->balance_nano), B_I(e->hold_nano),
                           B_I(e->created_ms), B_I(e->latency_ms), B_I(e->ttft_ms), B_I(e->attempts)),
                     w->err);
}

static enum status post_bill(struct work *w, uint64_t revision, const struct payer *p, const struct bill *b)
{
    struct ledger_line lines[] = {
        {.account = p->account, .amount_nano = -b->take_nano, .spent_nano = b->take_nano},
        {.account = LEDGER_OVERAGE, .amount_nano = b->take_nano - b->cost_nano},
        {.account = LEDGER_REVENUE, .amount_nano = b->cost_nano},
    };

    return ledger_post(w, revision, LEDGER_USAGE, lines, sizeof(lines) / sizeof(lines[0]));
}

static enum status tell_settled(struct work *w, uint64_t revision, const struct usage_event *e, const struct bill *b)
{
    uint64_t tokens = e->prompt_tokens + e->completion_tokens;
    struct settled settled = {
        .request_id = e->request_id,
        .user_id = e->user_id,
        .cost_nano = b->take_nano,
        .balance_nano = b->balance_nano,
        .tokens = tokens > LIMIT_TOKENS ? LIMIT_TOKENS : tokens,
    };

    return changes_add(&w->s->changes, &settled_desc, &settled, revision, w->err);
}

static enum status make_bill(struct work *w, const struct usage_event *e, const struct payer *p, struct bill *ret)
{
    bool known = true, voided = slice_is(e->status, "void");
    enum status st = ST_OK;

    *ret = (struct bill){0};
    if (!voided)
        st = pricing_cost(w->s, e, &ret->cost_nano, &known, w->err);
    ret->take_nano = ret->cost_nano < p->balance_nano ? ret->cost_nano : p->balance_nano;
    ret->balance_nano = p->balance_nano - ret->take_nano;
    w->s->counts.unpriced += !known;
    return st;
}

static void count(struct store *s, const struct payer *p, const struct bill *b)
{
    s->counts.settled++;
    s->counts.strays += !p->known;
    s->counts.cost_nano += b->take_nano;
    s->counts.overage_nano += b->cost_nano - b->take_nano;
}

static enum status apply_one(struct work *w, const struct usage_event *e)
{
    uint64_t revision = w->s->revision + 1;
    struct payer payer;
    struct bill bill;
    enum status st = find_payer(w, e->user_id, &payer);

    if (st == ST_OK)
        st = make_bill(w, e, &payer, &bill);
    if (st == ST_OK)
        st = insert_row(w, revision, e, &payer, &bill);
    if (st != ST_OK)
        return st;
    if (store_changed(w->s) == 0) { /* settled before, by whoever came first */
        w->s->counts.duplicates++;
        return ST_OK;
    }
    store_next_revision(w->s);
    if (!payer.known)
        st = store_run(w->s, SQL_STRAY_INSERT, BINDS(B_I(revision), B_S(e->user_id)), w->err);
    if (st == ST_OK && bill.cost_nano > 0)
        st = post_bill(w, revision, &payer, &bill);
    if (st == ST_OK)
        st = tell_settled(w, revision, e, &bill);
    count(w->s, &payer, &bill);
    return st;
}

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
    for (i = (size_t)skip; i < batch->n && st == ST_OK; i++)
        st = apply_one(w, &batch->events[i]);
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
    st = apply_one(w, &event);
    if (st == ST_OK && w->s->revision != before)
        rep->revision = w->s->revision;
    return st;
}
