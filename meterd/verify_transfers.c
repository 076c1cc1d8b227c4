#include <inttypes.h>
#include <string.h>

#include "meterd/ledger.h"
#include "meterd/verify.h"

struct expected { /* the lines that a transfer must have, and no others */
    int64_t account; /* the user's available account; 0 = nobody's */
    int64_t available, held, revenue, overage;
};

static int64_t line_of(const struct transfer *t, int64_t account)
{
    int64_t sum = 0;
    size_t i;

    for (i = 0; i < t->n; i++)
        if (t->lines[i].account == account)
            (void)__builtin_add_overflow(sum, t->lines[i].amount, &sum);
    return sum;
}

static bool agrees(struct verify *v, const struct transfer *t, const struct expected *x)
{
    const struct tally *tally = verify_tally(v, x->account);
    int64_t held = tally ? tally->held_account : 0;
    size_t n = (size_t)((x->available != 0) + (x->held != 0) + (x->revenue != 0) + (x->overage != 0));

    return t->n == n && line_of(t, LEDGER_REVENUE) == x->revenue && line_of(t, LEDGER_OVERAGE) == x->overage &&
           (x->available == 0 || line_of(t, x->account) == x->available) &&
           (x->held == 0 || (held != 0 && line_of(t, held) == x->held));
}

static bool is_kind(const struct transfer *t, const char *kind)
{
    return strcmp(t->kind, kind) == 0;
}

/* ---- calls ---------------------------------------------------------------------------------------------------------
 */

/* What the hold that ended with this transfer held. */
static enum status hold_of(struct verify *v, const struct transfer *t, int64_t *ret_nano)
{
    struct store *s = v->w->s;
    sqlite3_stmt *q = NULL;
    enum status st = store_row(s, SQL_VERIFY_HOLD_END, BINDS(B_C(v->call.request_id)), &q, v->w->err);
    bool same = q && col_u64(q, 1) == t->id;

    *ret_nano = same ? col_i64(q, 0) : 0;
    store_reset(&q);
    if (st == ST_OK && !same)
        st = verify_problem(v, v->call.request_id, "entries of kind %s, but no hold ended there", t->kind);
    return st;
}

static enum status compare_call(struct verify *v, const struct transfer *t)
{
    struct call_row *c = &v->call;
    struct expected x;
    int64_t hold = 0;
    enum status st = verify_calls_up_to(v, t->id);

    if (st != ST_OK)
        return st;
    if (!v->calls || c->revision != t->id)
        return verify_problem(v, "entries", "transfer %" PRIu64 " is of a call that does not exist", t->id);
    if (!is_kind(t, LEDGER_USAGE))
        st = hold_of(v, t, &hold);
    x = (struct expected){c->account, hold - c->cost, -hold, c->cost + c->overage, -c->overage};
    if (st == ST_OK && !agrees(v, t, &x))
        st = verify_problem(v, c->request_id,
                            "the call says cost %" PRId64 " and overage %" PRId64 ", its entries say otherwise",
                            c->cost, c->overage);
    else if (st == ST_OK && c->account != 0 && verify_balance(v, c->account) != c->balance)
        st = verify_problem(v, c->request_id,
                            "the call says balance %" PRId64 " after it, the entries up to it %" PRId64, c->balance,
                            verify_balance(v, c->account));
    return st == ST_OK ? verify_next_call(v) : st;
}

static enum status compare_late(struct verify *v, const struct transfer *t)
{
    struct store *s = v->w->s;
    sqlite3_stmt *q = NULL;
    bool same = false;
    enum status st = store_row(s, SQL_VERIFY_CORRECTION, BINDS(B_I(t->id)), &q, v->w->err);

    if (q) {
        int64_t cost = col_i64(q, 1), overage = col_i64(q, 2);
        struct expected x = {col_i64(q, 0), -cost, 0, cost + overage, -overage};

        same = agrees(v, t, &x) && (x.account == 0 || verify_balance(v, x.account) == col_i64(q, 3));
    }
    store_reset(&q);
    v->late++;
    if (st == ST_OK && !same)
        st = verify_problem(v, "entries", "transfer %" PRIu64 " does not agree with its correction", t->id);
    return st;
}

/* ---- holds and grants ----------------------------------------------------------------------------------------------
 */

static enum status compare_hold(struct verify *v, const struct transfer *t)
{
    struct store *s = v->w->s;
    sqlite3_stmt *q = NULL;
    bool same = false;
    enum status st = store_row(s, SQL_VERIFY_HOLD, BINDS(B_I(t->id)), &q, v->w->err);

    if (q) {
        struct expected x = {.account = col_i64(q, 0), .available = -col_i64(q, 1), .held = col_i64(q, 1)};

        same = agrees(v, t, &x);
    }
    store_reset(&q);
    v->holds++;
    if (st == ST_OK && !same)
        st = verify_problem(v, "entries", "transfer %" PRIu64 " does not agree with its hold", t->id);
    return st;
}

static enum status compare_grant(struct verify *v, const struct transfer *t)
{
    struct store *s = v->w->s;
    sqlite3_stmt *q = NULL;
    bool same = false;
    enum status st = store_row(s, SQL_VERIFY_GRANT, BINDS(B_I(t->id)), &q, v->w->err);

    if (st == ST_OK && q)
        same = t->n == 2 && t->lines[0].account == col_i64(q, 0) && t->lines[0].amount == col_i64(q, 1) &&
               t->lines[0].balance == col_i64(q, 2) && t->lines[0].entry == col_u64(q, 3) &&
               t->lines[1].account == LEDGER_GRANTS &&
               slice_is((struct slice){(const char *)sqlite3_column_text(q, 4), (size_t)sqlite3_column_bytes(q, 4)},
                        t->kind);
    store_reset(&q);
    v->grants++;
    if (st == ST_OK && !same)
        st = verify_problem(v, "entries", "transfer %" PRIu64 " does not agree with its grant of credit", t->id);
    return st;
}

enum status verify_transfer(struct verify *v, const struct transfer *t)
{
    int64_t sum = 0;
    enum status st = ST_OK;
    size_t i;

    if (t->n == 0)
        return ST_OK;
    for (i = 0; i < t->n; i++)
        (void)__builtin_add_overflow(sum, t->lines[i].amount, &sum);
    if (sum != 0)
        st = verify_problem(v, "entries", "transfer %" PRIu64 " sums to %" PRId64 ", not to zero", t->id, sum);
    if (st != ST_OK)
        return st;
    if (is_kind(t, LEDGER_USAGE) || is_kind(t, LEDGER_HOLD_SETTLED) || is_kind(t, LEDGER_HOLD_VOIDED) ||
        is_kind(t, LEDGER_HOLD_EXPIRED))
        return compare_call(v, t);
    if (is_kind(t, LEDGER_HOLD))
        return compare_hold(v, t);
    return is_kind(t, LEDGER_LATE) ? compare_late(v, t) : compare_grant(v, t);
}

/* ---- as many transfers as causes -----------------------------------------------------------------------------------
 */

static enum status count_of(struct verify *v, enum sql sql, const char *what, uint64_t transfers)
{
    int64_t rows = 0;
    enum status st = store_number(v->w->s, sql, NO_BINDS, 0, &rows, v->w->err);

    if (st == ST_OK && (uint64_t)rows != transfers)
        st = verify_problem(v, what, "%" PRId64 " %s, but entries of %" PRIu64, rows, what, transfers);
    return st;
}

enum status verify_counts(struct verify *v)
{
    enum status st = count_of(v, SQL_VERIFY_GRANT_COUNT, "grants of credit", v->grants);

    if (st == ST_OK)
        st = count_of(v, SQL_VERIFY_HOLD_COUNT, "holds", v->holds);
    return st == ST_OK ? count_of(v, SQL_VERIFY_CORRECTION_COUNT, "corrections", v->late) : st;
}
