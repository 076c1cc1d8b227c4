/*
 * ledger_verify: proves every balance from the entries, in one pass over each table and one snapshot of the database,
 * which goes on living meanwhile. Entries, calls and their order are compared as two sorted streams: a call's revision
 * is the id of the transfer that ended it.
 */
#include "meterd/verify.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "meterd/ledger.h"
#include "meterd/ops.h"

#define TAG_PROBLEMS 6 /* of ledger_verify_rep */

enum status __attribute__((format(printf, 3, 4)))
verify_problem(struct verify *v, const char *account, const char *format, ...)
{
    char text[LIMIT_TITLE];
    enum status st = ST_OK;
    struct ledger_problem *p;
    va_list args;
    int n;

    v->rep->ok = false;
    if (v->rep->problems.n == VERIFY_PROBLEMS_MAX)
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

static struct slice text_of(sqlite3_stmt *q, int column)
{
    return (struct slice){(const char *)sqlite3_column_text(q, column), (size_t)sqlite3_column_bytes(q, column)};
}

struct tally *verify_tally(struct verify *v, int64_t account)
{
    return account > 0 && (uint64_t)account < v->n_tallies ? &v->tallies[account] : NULL;
}

int64_t verify_balance(struct verify *v, int64_t account)
{
    const struct tally *t = verify_tally(v, account);
    const struct tally *held = t ? verify_tally(v, t->held_account) : NULL;

    return (t ? t->sum : 0) + (held ? held->sum : 0);
}

static void read_call(struct verify *v)
{
    struct call_row *c = &v->call;

    if (!v->calls)
        return;
    c->revision = col_u64(v->calls, 0);
    slice_copy(text_of(v->calls, 1), c->request_id, sizeof(c->request_id));
    c->account = col_i64(v->calls, 2);
    c->cost_now = col_i64(v->calls, 3);
    c->cost = c->cost_now - col_i64(v->calls, 4);
    c->overage = col_i64(v->calls, 5);
    c->balance = col_i64(v->calls, 6);
}

enum status verify_next_call(struct verify *v)
{
    struct tally *t;
    enum status st;

    if (!v->calls)
        return ST_OK;
    v->rep->requests++;
    t = verify_tally(v, v->call.account);
    if (t && __builtin_add_overflow(t->spent, v->call.cost_now, &t->spent))
        return err_set(v->w->err, ST_INTERNAL, "the sum of what an account has spent overflows");
    st = store_next(v->w->s, &v->calls, v->w->err);
    read_call(v);
    return st;
}

/* Those before it have no entries, so they must be free of charge. */
enum status verify_calls_up_to(struct verify *v, uint64_t revision)
{
    struct call_row *c = &v->call;
    enum status st = ST_OK;

    while (v->calls && c->revision < revision && st == ST_OK) {
        if (c->cost != 0 || c->overage != 0)
            st = verify_problem(v, c->request_id, "the call costs %" PRId64 " nano-USD, but has no entries",
                                c->cost + c->overage);
        if (st == ST_OK)
            st = verify_next_call(v);
    }
    return st;
}

/* ---- entries -------------------------------------------------------------------------------------------------------
 */

/* Goes on from the hash as it stands, so that one that was changed is told once and not of all that follow. */
static enum status check_hash(struct verify *v, sqlite3_stmt *q)
{
    struct chain_entry e = {.id = col_u64(q, 5),
                            .transfer = col_u64(q, 0),
                            .account = col_i64(q, 1),
                            .kind = text_of(q, 2),
                            .amount_nano = col_i64(q, 3),
                            .balance_nano = col_i64(q, 4),
                            .created_ms = col_u64(q, 6)};
    const void *hash = sqlite3_column_blob(q, 7);
    bool long_enough = sqlite3_column_bytes(q, 7) == CHAIN_BYTES;
    bool same;

    chain_add(&v->chain, &e);
    same = long_enough && memcmp(hash, v->chain.hash, CHAIN_BYTES) == 0;
    if (long_enough)
        memcpy(v->chain.hash, hash, CHAIN_BYTES);
    if (same)
        return ST_OK;
    return verify_problem(v, "entries", "entry %" PRIu64 " or the one before it was changed: its hash does not follow",
                          e.id);
}

static enum status add_line(struct verify *v, struct transfer *t, sqlite3_stmt *q)
{
    int64_t account = col_i64(q, 1), amount = col_i64(q, 3), balance = col_i64(q, 4);
    struct tally *tally = verify_tally(v, account);
    enum status st = check_hash(v, q);

    v->rep->entries++;
    if (st != ST_OK)
        return st;
    if (!tally)
        return verify_problem(v, "entries", "entry %" PRIu64 " is of account %" PRId64 ", which does not exist",
                              col_u64(q, 5), account);
    if (__builtin_add_overflow(tally->sum, amount, &tally->sum))
        return verify_problem(v, "entries", "the sum of account %" PRId64 " overflows", account);
    if (tally->sum != balance)
        st = verify_problem(v, "entries",
                            "entry %" PRIu64 " says balance %" PRId64 ", the entries before it give %" PRId64,
                            col_u64(q, 5), balance, tally->sum);
    if (t->n == VERIFY_LINES_MAX)
        return verify_problem(v, "entries", "transfer %" PRIu64 " has more than %d entries", t->id, VERIFY_LINES_MAX);
    t->lines[t->n].account = account;
    t->lines[t->n].amount = amount;
    t->lines[t->n].balance = balance;
    t->lines[t->n++].entry = col_u64(q, 5);
    return st;
}

static void begin_transfer(struct transfer *t, sqlite3_stmt *q)
{
    memset(t, 0, sizeof(*t));
    t->id = col_u64(q, 0);
    slice_copy(text_of(q, 2), t->kind, sizeof(t->kind));
}

static enum status check_entries(struct verify *v)
{
    struct store *s = v->w->s;
    struct transfer t = {0};
    sqlite3_stmt *q = NULL;
    enum status st = store_row(s, SQL_VERIFY_ENTRIES, NO_BINDS, &q, v->w->err);

    while (st == ST_OK && q) {
        if (t.n > 0 && col_u64(q, 0) != t.id)
            st = verify_transfer(v, &t);
        if (t.n == 0 || col_u64(q, 0) != t.id)
            begin_transfer(&t, q);
        if (st == ST_OK)
            st = add_line(v, &t, q);
        if (st == ST_OK)
            st = store_next(s, &q, v->w->err);
    }
    store_reset(&q);
    if (st == ST_OK)
        st = verify_transfer(v, &t);
    return st == ST_OK ? verify_calls_up_to(v, UINT64_MAX) : st;
}

static enum status tell_head(struct verify *v)
{
    char hex[2 * CHAIN_BYTES + 1];
    enum status st = ST_OK;

    if (v->rep->entries == 0)
        return ST_OK;
    sodium_bin2hex(hex, sizeof(hex), v->chain.hash, CHAIN_BYTES);
    v->rep->chain_head = arena_copy(v->w->a, slice_of(hex), &st);
    return st == ST_OK ? ST_OK : err_set(v->w->err, st, "no memory for the report");
}

/* ---- accounts ------------------------------------------------------------------------------------------------------
 */

static enum status check_user_account(struct verify *v, const struct tally *t, sqlite3_stmt *q, const char *name)
{
    int64_t balance = col_i64(q, 3);
    enum status st = ST_OK;

    if (balance < 0)
        st =
            verify_problem(v, name, "account " SLICE_FMT " is below zero: %" PRId64, SLICE_ARG(text_of(q, 2)), balance);
    if (st == ST_OK && t->spent != col_i64(q, 4))
        st = verify_problem(v, name, "account " SLICE_FMT " says %" PRId64 " spent, the calls say %" PRId64,
                            SLICE_ARG(text_of(q, 2)), col_i64(q, 4), t->spent);
    if (st == ST_OK && slice_is(text_of(q, 2), LEDGER_HELD) && t->open != balance)
        st = verify_problem(v, name, "%" PRId64 " is held, but open holds are of %" PRId64, balance, t->open);
    return st;
}

static enum status check_account(struct verify *v, sqlite3_stmt *q)
{
    const struct tally *t = verify_tally(v, col_i64(q, 0));
    const char *name = (const char *)sqlite3_column_text(q, 5);
    int64_t balance = col_i64(q, 3);
    enum status st = ST_OK;

    v->rep->accounts++;
    if (!t || !name)
        return verify_problem(v, "accounts", "account %" PRId64 " is not as it should be", col_i64(q, 0));
    if (__builtin_add_overflow(v->rep->sum_nano, balance, &v->rep->sum_nano))
        st = verify_problem(v, "accounts", "the sum of all accounts overflows");
    if (st == ST_OK && t->sum != balance)
        st = verify_problem(v, name, "account " SLICE_FMT " has balance %" PRId64 ", its entries give %" PRId64,
                            SLICE_ARG(text_of(q, 2)), balance, t->sum);
    return st == ST_OK && !col_is_null(q, 1) ? check_user_account(v, t, q, name) : st;
}

static enum status check_accounts(struct verify *v)
{
    struct store *s = v->w->s;
    sqlite3_stmt *q = NULL;
    enum status st = store_row(s, SQL_VERIFY_ACCOUNTS, NO_BINDS, &q, v->w->err);

    while (st == ST_OK && q) {
        st = check_account(v, q);
        if (st == ST_OK)
            st = store_next(s, &q, v->w->err);
    }
    store_reset(&q);
    if (st == ST_OK && v->rep->sum_nano != 0)
        st = verify_problem(v, "accounts", "all accounts sum to %" PRId64 ", not to zero", v->rep->sum_nano);
    return st;
}

/* Which account holds what of which. */
static enum status pair_accounts(struct verify *v)
{
    struct store *s = v->w->s;
    sqlite3_stmt *q = NULL;
    enum status st = store_row(s, SQL_VERIFY_HELD, NO_BINDS, &q, v->w->err);

    while (st == ST_OK && q) {
        struct tally *t = verify_tally(v, col_i64(q, 0));

        if (t)
            t->held_account = col_i64(q, 1);
        st = store_next(s, &q, v->w->err);
    }
    store_reset(&q);
    return st;
}

static enum status check_positions(struct verify *v)
{
    struct store *s = v->w->s;
    sqlite3_stmt *q = NULL;
    enum status st = store_row(s, SQL_VERIFY_POSITIONS, NO_BINDS, &q, v->w->err);

    while (st == ST_OK && q) {
        v->rep->positions++;
        if (col_i64(q, 1) < 0)
            st = verify_problem(v, "positions", "source " SLICE_FMT " has come to %" PRId64, SLICE_ARG(text_of(q, 0)),
                                col_i64(q, 1));
        if (st == ST_OK)
            st = store_next(s, &q, v->w->err);
    }
    store_reset(&q);
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

        st = verify_problem(v, what ? what : "credit", "%s", why ? why : "does not agree");
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
    enum status st = pair_accounts(v);

    if (st == ST_OK)
        st = store_row(v->w->s, SQL_VERIFY_USAGE, NO_BINDS, &v->calls, v->w->err);
    read_call(v);
    if (st == ST_OK)
        st = check_entries(v);
    store_reset(&v->calls);
    if (st == ST_OK)
        st = tell_head(v);
    if (st == ST_OK)
        st = verify_counts(v);
    if (st == ST_OK)
        st = verify_holds(v);
    if (st == ST_OK)
        st = check_accounts(v);
    if (st == ST_OK)
        st = check_credits(v);
    return st == ST_OK ? check_positions(v) : st;
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
    v.problems = arena_alloc(w->a, VERIFY_PROBLEMS_MAX * sizeof(*v.problems));
    if (!v.tallies || !v.problems)
        return err_set(w->err, ST_NO_MEMORY, "no memory to verify %lld accounts", (long long)newest);
    v.rep->ok = true;
    v.rep->has |= UINT64_C(1) << TAG_PROBLEMS; /* there, also when there are none */
    v.rep->problems.items = v.problems;
    st = check_all(&v);
    if (st == ST_OK)
        atomic_store(&w->s->ledger_wrong, !v.rep->ok);
    return st;
}
