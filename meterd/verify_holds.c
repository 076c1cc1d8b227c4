#include <inttypes.h>

#include "meterd/verify.h"

static struct slice text_of(sqlite3_stmt *q, int column)
{
    return (struct slice){(const char *)sqlite3_column_text(q, column), (size_t)sqlite3_column_bytes(q, column)};
}

static enum status check_open(struct verify *v, sqlite3_stmt *q, const char *id)
{
    struct tally *t = verify_tally(v, col_i64(q, 1));
    int64_t amount = col_i64(q, 2);
    uint64_t due = col_u64(q, 5) + VERIFY_LEASE_GRACE_MS;
    enum status st = ST_OK;

    v->rep->holds_open++;
    if (t && __builtin_add_overflow(t->open, amount, &t->open))
        return err_set(v->w->err, ST_INTERNAL, "the sum of open holds overflows");
    if (!t && amount != 0)
        st = verify_problem(v, id, "the hold of %" PRId64 " has no account that holds it", amount);
    if (st == ST_OK && !col_is_null(q, 6))
        st = verify_problem(v, id, "the call has ended, but its hold is open");
    if (st == ST_OK && due < v->w->s->clock_ms)
        st = verify_problem(v, id, "the hold is open, but its lease has been over for %" PRIu64 " s",
                            (v->w->s->clock_ms - due + VERIFY_LEASE_GRACE_MS) / 1000);
    return st;
}

/* How a hold says that it ended, and what the call's row said then. */
static bool same_end(struct slice state, struct slice status)
{
    if (slice_is(state, "voided"))
        return slice_is(status, "void");
    if (slice_is(state, "expired"))
        return slice_is(status, "expired");
    return slice_is(state, "settled") && !slice_is(status, "void") && !slice_is(status, "expired");
}

static enum status check_ended(struct verify *v, sqlite3_stmt *q, const char *id)
{
    if (col_is_null(q, 6) || col_u64(q, 6) != col_u64(q, 4))
        return verify_problem(v, id, "the hold ended with transfer %" PRIu64 ", the call did not", col_u64(q, 4));
    if (!same_end(text_of(q, 3), text_of(q, 7)))
        return verify_problem(v, id, "the hold is " SLICE_FMT ", the call's status was " SLICE_FMT,
                              SLICE_ARG(text_of(q, 3)), SLICE_ARG(text_of(q, 7)));
    return ST_OK;
}

enum status verify_holds(struct verify *v)
{
    struct store *s = v->w->s;
    sqlite3_stmt *q = NULL;
    char id[LIMIT_ID_TEXT + 1];
    enum status st = store_row(s, SQL_VERIFY_HOLDS, NO_BINDS, &q, v->w->err);

    while (st == ST_OK && q) {
        slice_copy(text_of(q, 0), id, sizeof(id));
        st = slice_is(text_of(q, 3), "open") ? check_open(v, q, id) : check_ended(v, q, id);
        if (st == ST_OK)
            st = store_next(s, &q, v->w->err);
    }
    store_reset(&q);
    return st;
}
