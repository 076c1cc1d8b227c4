/*
 * ledger_verify: proves every balance from the entries, in one pass over each table and one snapshot of the database.
 * Entries, calls and their order are compared as two sorted streams: a call's revision is the id of its transfer.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "meterd/ledger.h"
#include "meterd/ops.h"

#define TAG_PROBLEMS 6 /* of ledger_verify_rep */
#define KIND_MAX 32
#define PROBLEMS_MAX 100 /* of ledger_verify_rep */
#define TRANSFER_LINES_MAX 8 /* a transfer has two or three; more are told and not compared */

struct tally { /* of one account */
    int64_t sum, spent;
};

struct transfer {
    uint64_t id;
    bool usage;
    char kind[KIND_MAX];
    size_t n;
    struct {
        int64_t account, amount, balance;
        uint64_t entry;
    } lines[TRANSFER_LINES_MAX];
};

struct call_row {
    uint64_t revision;
    int64_t account; /* 0 = nobody's */
    int64_t cost, overage, balance;
    char request_id[LIMIT_ID_TEXT + 1];
};

struct verify {
    struct work *w;
    struct ledger_verify_rep *rep;
    struct ledger_problem *problems;
    struct tally *tallies; /* by account id */
    uint64_t n_tallies, grants;
    sqlite3_stmt *calls; /* the stream of calls; NULL at its end */
};

static enum status __attribute__((format(printf, 3, 4)))
problem(struct verify *v, const char *account, const char *format, ...)
{
    char text[LIMIT_TITLE];
    enum status st = ST_OK;
    struct ledger_problem *p;
    va_list args;
    int n;

    v->rep->ok = false;
    if (v->rep->problems.n == PROBLEMS_MAX)
        return ST_OK;
    va_start(args, format);
    n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    p = &v->problems[v->rep->problems.n];
    p->account = arena_copy(v->w->a, slice_of(account), &st);
    if (st == ST_OK)
        p->problem = arena_copy(v->w->a, (struct slice){text, n > 0 && (size_t)n < sizeof(text) ? (size_t)n : 0}, &st);
    v->rep->problems.n += st == ST_OK;
    return st == ST_OK ? ST_OK : err_set(v->w->err, st, "no memory for the report");
}

/* ---- calls ---------------------------------------------------------------------------------------------------------
 */

static void read_call(sqlite3_stmt *q, struct call_row *c)
{
    struct slice id = {(const char *)sqlite3_column_text(q, 1), (size_t)sqlite3_column_bytes(q, 1)};

    c->revision = col_u64(q, 0);
    slice_copy(id, c->request_id, sizeof(c->request_id));
    c->account = col_i64(q, 2);
    c->cost = col_i64(q, 3);
    c->overage = col_i64(q, 4);
    c->balance = col_i64(q, 5);
}

static struct tally *tally_of(struct verify *v, int64_t account)
{
    return account > 0 && (uint64_t)account < v->n_tallies ? &v->tallies[account] : NULL;
}

static enum status next_call(struct verify *v, struct call_row *c)
{
    struct tally *t;
    enum status st;

    if (!v->calls)
        return ST_OK;
    v->rep->requests++;
    t = tally_of(v, c->account);
    if (t && __builtin_add_overflow(t->spent, c->cost, &t->spent))
        return err_set(v->w->err, ST_INTERNAL, "the sum of what an account has spent overflows");
    st = store_next(v->w->s, &v->calls, v->w->err);
    if (st == ST_OK && v->calls)
        read_call(v->calls, c);
    return st;
}

/* Goes on to the call with this revision. Those before it have no entries, so they must be free of charge. */
static enum status calls_up_to(struct verify *v, struct call_row *c, uint64_t revision)
{
    enum status st = ST_OK;

    while (v->calls && c->revision < revision && st == ST_OK) {
        if (c->cost != 0 || c->overage != 0)
            st = problem(v, c->request_id, "the call costs %" PRId64 " nano-USD, but has no entries",
                         c->cost + c->overage);
        if (st == ST_OK)
            st = next_call(v, c);
    }
    return st;
}

/* ---- transfers -----------------------------------------------------------------------------------------------------
 */

static int64_t line_of(const struct transfer *t, int64_t account)
{
    int64_t sum = 0;
    size_t i;

    for (i = 0; i < t->n; i++)
        if (t->lines[i].account == account)
            (void)__builtin_add_overflow(sum, t->lines[i].amount, &sum);
    return sum;
}

static enum status compare_call(struct verify *v, const struct transfer *t, struct call_row *c)
{
    bool lines_ok, sums_ok;
    enum status st = calls_up_to(v, c, t->id);

    if (st != ST_OK)
        return st;
    if (!v->calls || c->revision != t->id)
        return problem(v, "entries", "transfer %" PRIu64 " is of a call that does not exist", t->id);
    sums_ok = line_of(t, LEDGER_REVENUE) == c->cost + c->overage && line_of(t, LEDGER_OVERAGE) == -c->overage;
    lines_ok = c->account == 0 ? c->cost == 0 : line_of(t, c->account) == -c->cost;
    if (!sums_ok || !lines_ok || t->n != 1u + (c->cost != 0) + (c->overage != 0))
        st = problem(v, c->request_id,
                     "the call says cost %" PRId64 " and overage %" PRId64 ", its entries say otherwise", c->cost,
                     c->overage);
    else if (c->cost != 0 && t->lines[0].balance != c->balance)
        st = problem(v, c->request_id, "the call says balance %" PRId64 " after it, its entry %" PRId64, c->balance,
                     t->lines[0].balance);
    return st == ST_OK ? next_call(v, c) : st;
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
        st = problem(v, "entries", "transfer %" PRIu64 " does not agree with its grant of credit", t->id);
    return st;
}

static enum status end_transfer(struct verify *v, const struct transfer *t, struct call_row *c)
{
    int64_t sum = 0;
    enum status st = ST_OK;
    size_t i;

    if (t->n == 0)
        return ST_OK;
    for (i = 0; i < t->n; i++)
        (void)__builtin_add_overflow(sum, t->lines[i].amount, &sum);
    if (sum != 0)
        st = problem(v, "entries", "transfer %" PRIu64 " sums to %" PRId64 ", not to zero", t->id, sum);
    if (st != ST_OK)
        return st;
    return t->usage ? compare_call(v, t, c) : compare_grant(v, t);
}

static enum status add_line(struct verify *v, struct transfer *t, sqlite3_stmt *q)
{
    int64_t account = col_i64(q, 1), amount = col_i64(q, 3), balance = col_i64(q, 4);
    struct tally *tally = tally_of(v, account);
    enum status st = ST_OK;

    v->rep->entries++;
    if (!tally)
        return problem(v, "entries", "entry %" PRIu64 " is of account %" PRId64 ", which does not exist", col_u64(q, 5),
                       account);
    if (__builtin_add_overflow(tally->sum, amount, &tally->sum))
        return problem(v, "entries", "the sum of account %" PRId64 " overflows", account);
    if (tally->sum != balance)
        st = problem(v, "entries", "entry %" PRIu64 " says balance %" PRId64 ", the entries before it give %" PRId64,
                     col_u64(q, 5), balance, tally->sum);
    if (t->n == TRANSFER_LINES_MAX)
        return problem(v, "entries", "transfer %" PRIu64 " has more than %d entries", t->id, TRANSFER_LINES_MAX);
    t->lines[t->n].account = account;
    t->lines[t->n].amount = amount;
    t->lines[t->n].balance = balance;
    t->lines[t->n++].entry = col_u64(q, 5);
    return st;
}

static void begin_transfer(struct transfer *t, sqlite3_stmt *q)
{
    struct slice kind = {(const char *)sqlite3_column_text(q, 2), (size_t)sqlite3_column_bytes(q, 2)};

    memset(t, 0, sizeof(*t));
    t->id = col_u64(q, 0);
    t->usage = slice_is(kind, LEDGER_USAGE);
    slice_copy(kind, t->kind, sizeof(t->kind));
}

static enum status check_entries(struct verify *v, struct call_row *c)
{
    struct store *s = v->w->s;
    struct transfer t = {0};
    sqlite3_stmt *q = NULL;
    enum status st = store_row(s, SQL_VERIFY_ENTRIES, NO_BINDS, &q, v->w->err);

    while (st == ST_OK && q) {
        if (t.n > 0 && col_u64(q, 0) != t.id)
            st = end_transfer(v, &t, c);
        if (t.n == 0 || col_u64(q, 0) != t.id)
            begin_transfer(&t, q);
        if (st == ST_OK)
            st = add_line(v, &t, q);
        if (st == ST_OK)
            st = store_next(s, &q, v->w->err);
    }
    store_reset(&q);
    if (st == ST_OK)
        st = end_transfer(v, &t, c);
    return st == ST_OK ? calls_up_to(v, c, UINT64_MAX) : st;
}

/* ---- accounts ------------------------------------------------------------------------------------------------------
 */

static enum status check_account(struct verify *v, sqlite3_stmt *q)
{
    const struct tally *t = tally_of(v, col_i64(q, 0));
    const char *name = (const char *)sqlite3_column_text(q, 5);
    const char *kind = (const char *)sqlite3_column_text(q, 2);
    bool of_user = !col_is_null(q, 1);
    int64_t balance = col_i64(q, 3);
    enum status st = ST_OK;

    v->rep->accounts++;
    if (!t || !name || !kind)
        return problem(v, "accounts", "account %" PRId64 " is not as it should be", col_i64(q, 0));
    if (__builtin_add_overflow(v->rep->sum_nano, balance, &v->rep->sum_nano))
        st = problem(v, "accounts", "the sum of all accounts overflows");
    if (st == ST_OK && t->sum != balance)
        st = problem(v, name, "account %s has balance %" PRId64 ", its entries give %" PRId64, kind, balance, t->sum);
    if (st == ST_OK && of_user && balance < 0)
        st = problem(v, name, "account %s is below zero: %" PRId64, kind, balance);
    if (st == ST_OK && of_user && t->spent != col_i64(q, 4))
        st = problem(v, name, "account %s says %" PRId64 " spent, the calls say %" PRId64, kind, col_i64(q, 4),
                     t->spent);
    return st;
}

static enum status check_accounts(struct verify *v)
{
    struct store *s = v->w->s;
    sqlite3_stmt *q = NULL;
    int64_t grants = 0;
    enum status st = store_row(s, SQL_VERIFY_ACCOUNTS, NO_BINDS, &q, v->w->err);

    while (st == ST_OK && q) {
        st = check_account(v, q);
        if (st == ST_OK)
            st = store_next(s, &q, v->w->err);
    }
    store_reset(&q);
    if (st == ST_OK && v->rep->sum_nano != 0)
        st = problem(v, "accounts", "all accounts sum to %" PRId64 ", not to zero", v->rep->sum_nano);
    if (st == ST_OK)
        st = store_number(s, SQL_VERIFY_GRANT_COUNT, NO_BINDS, 0, &grants, v->w->err);
    if (st == ST_OK && (uint64_t)grants != v->grants)
        st = problem(v, "grants", "%" PRId64 " grants of credit, but entries of %" PRIu64, grants, v->grants);
    return st;
}

/* ---- credit --------------------------------------------------------------------------------------------------------
 */

/* Each row of these statements is a difference: of what (text), and which (text). */
static const enum sql credit_checks[] = {SQL_VERIFY_REFUNDS, SQL_VERIFY_CODES, SQL_VERIFY_MONTHS};

static enum status check_credit(struct verify *v, enum sql sql)
{
    struct store *s = v->w->s;
    sqlite3_stmt *q = NULL;
    enum status st = store_row(s, sql, NO_BINDS, &q, v->w->err);

    while (st == ST_OK && q) {
        const char *what = (const char *)sqlite3_column_text(q, 0), *why = (const char *)sqlite3_column_text(q, 1);

        st = problem(v, what ? what : "credit", "%s", why ? why : "does not agree");
        if (st == ST_OK)
            st = store_next(s, &q, v->w->err);
    }
    store_reset(&q);
    return st;
}

static enum status check_credits(struct verify *v)
{
    enum status st = ST_OK;
    size_t i;

    for (i = 0; i < sizeof(credit_checks) / sizeof(credit_checks[0]) && st == ST_OK; i++)
        st = check_credit(v, credit_checks[i]);
    return st;
}

static enum status check_all(struct verify *v)
{
    struct call_row c = {0};
    enum status st = store_row(v->w->s, SQL_VERIFY_USAGE, NO_BINDS, &v->calls, v->w->err);

    if (st == ST_OK && v->calls)
        read_call(v->calls, &c);
    if (st == ST_OK)
        st = check_entries(v, &c);
    store_reset(&v->calls);
    if (st == ST_OK)
        st = check_accounts(v);
    return st == ST_OK ? check_credits(v) : st;
}

enum status op_ledger_verify(struct work *w, const void *in, void *out)
{
    struct verify v = {.w = w, .rep = out};
    int64_t newest = 0;
    enum status st = store_number(w->s, SQL_VERIFY_ACCOUNT_MAX, NO_BINDS, 0, &newest, w->err);

    (void)in;
    if (st != ST_OK)
        return st;
    v.n_tallies = (uint64_t)newest + 1;
    v.tallies = arena_alloc(w->a, v.n_tallies * sizeof(*v.tallies));
    v.problems = arena_alloc(w->a, PROBLEMS_MAX * sizeof(*v.problems));
    if (!v.tallies || !v.problems)
        return err_set(w->err, ST_NO_MEMORY, "no memory to verify %lld accounts", (long long)newest);
    v.rep->ok = true;
    v.rep->has |= UINT64_C(1) << TAG_PROBLEMS; /* there, also when there are none */
    v.rep->problems.items = v.problems;
    return check_all(&v);
}
