#include "meterd/ledger.h"

#include "meterd/state.h"

static enum status check_sum(struct work *w, const struct ledger_line *lines, size_t n)
{
    int64_t sum = 0;
    size_t i;

    for (i = 0; i < n; i++)
        if (!money_add(sum, lines[i].amount_nano, &sum))
            return err_set(w->err, ST_INTERNAL, "a transfer overflows");
    if (sum != 0)
        return err_set(w->err, ST_INTERNAL, "a transfer does not sum to zero");
    return ST_OK;
}

/* ---- balances in memory --------------------------------------------------------------------------------------------
 */

static enum status write_account(struct work *w, struct store_account *a)
{
    enum status st;

    if (!a->dirty)
        return ST_OK;
    st = store_run(w->s, SQL_ACCOUNT_SET, BINDS(B_I(a->id), B_I(a->balance_nano), B_I(a->spent_nano)), w->err);
    a->dirty = st != ST_OK;
    return st;
}

enum status ledger_flush(struct work *w)
{
    enum status st = ST_OK;
    size_t i;

    if (w->s->n_accounts == 0)
        return ST_OK;
    for (i = 0; i < STORE_ACCOUNTS && st == ST_OK; i++)
        st = write_account(w, &w->s->accounts[i]);
    store_forget_accounts(w->s);
    return st;
}

static enum status load_account(struct work *w, int64_t id, struct store_account *a)
{
    sqlite3_stmt *q = NULL;
    enum status st = store_row(w->s, SQL_ACCOUNT, BINDS(B_I(id)), &q, w->err);

    if (st == ST_OK && !q)
        return err_set(w->err, ST_INTERNAL, "there is no account %lld", (long long)id);
    if (st == ST_OK)
        *a = (struct store_account){id, col_i64(q, 0), col_i64(q, 1), col_i64(q, 2) != 0, false};
    store_reset(&q);
    return st;
}

static enum status find_account(struct work *w, int64_t id, struct store_account **ret)
{
    struct store_account *a = &w->s->accounts[(uint64_t)id % STORE_ACCOUNTS];
    enum status st;

    *ret = a;
    if (a->id == id)
        return ST_OK;
    st = write_account(w, a);
    if (st != ST_OK)
        return st;
    w->s->n_accounts += a->id == 0;
    a->id = 0;
    return load_account(w, id, a);
}

enum status ledger_balance(struct work *w, int64_t account, int64_t *ret_nano)
{
    struct store_account *a = NULL;
    enum status st = find_account(w, account, &a);

    if (st == ST_OK)
        *ret_nano = a->balance_nano;
    return st;
}

static enum status move_balance(struct work *w, struct ledger_line *line)
{
    struct store_account *a = NULL;
    int64_t balance, spent;
    enum status st = find_account(w, line->account, &a);

    if (st != ST_OK)
        return st;
    if (!money_add(a->balance_nano, line->amount_nano, &balance) || !money_add(a->spent_nano, line->spent_nano, &spent))
        return err_set(w->err, ST_INTERNAL, "account %lld overflows", (long long)line->account);
    if (a->of_user && balance < 0)
        return err_set(w->err, ST_CONFLICT, "The account has less credit than that.");
    a->balance_nano = balance;
    a->spent_nano = spent;
    a->dirty = true;
    line->balance_nano = balance;
    return ST_OK;
}

/* ---- transfers -----------------------------------------------------------------------------------------------------
 */

static enum status post_line(struct work *w, uint64_t transfer, struct slice kind, struct ledger_line *line)
{
    struct chain next = w->s->chain;
    struct chain_entry e = {.id = next.id + 1,
                            .transfer = transfer,
                            .account = line->account,
                            .kind = kind,
                            .amount_nano = line->amount_nano,
                            .balance_nano = line->balance_nano,
                            .created_ms = w->s->now_ms};
    enum status st;

    chain_add(&next, &e);
    st = store_run(w->s, SQL_ENTRY_INSERT,
                   BINDS(B_I(e.id), B_I(transfer), B_I(line->account), B_S(kind), B_I(line->amount_nano),
                         B_I(line->balance_nano), B_I(w->s->now_ms),
                         B_B(((struct slice){(const char *)next.hash, CHAIN_BYTES}))),
                   w->err);
    if (st == ST_OK) {
        w->s->chain = next;
        line->entry = next.id;
    }
    return st;
}

enum status ledger_post(struct work *w, uint64_t transfer, const char *kind, struct ledger_line *lines, size_t n)
{
    enum status st = check_sum(w, lines, n);
    size_t i;

    for (i = 0; i < n && st == ST_OK; i++) {
        /* What a hold bore moves nothing on the account that has spent it. */
        if (lines[i].amount_nano != 0 || lines[i].spent_nano != 0)
            st = move_balance(w, &lines[i]);
        if (st == ST_OK && lines[i].amount_nano != 0)
            st = post_line(w, transfer, slice_of(kind), &lines[i]);
    }
    return st;
}

static enum status note_grant(struct work *w, const struct ledger_grant *g)
{
    struct bind key = g->idempotency_key.n ? B_S(g->idempotency_key) : B_NULL;
    struct bind request = g->request_id.n ? B_S(g->request_id) : B_NULL;

    return store_run(w->s, SQL_GRANT_INSERT,
                     BINDS(B_I(g->revision), B_I(g->account), B_C(g->kind), B_S(g->actor), key, B_S(g->note),
                           B_I(g->amount_nano), B_I(g->balance_nano), B_I(g->entry), B_I(w->s->now_ms), request),
                     w->err);
}

enum status ledger_give(struct work *w, struct ledger_grant *g)
{
    struct ledger_line lines[] = {
        {.account = g->account, .amount_nano = g->amount_nano},
        {.account = LEDGER_GRANTS, .amount_nano = -g->amount_nano},
    };
    enum status st;

    g->revision = store_next_revision(w->s);
    st = ledger_post(w, g->revision, g->kind, lines, 2);
    if (st != ST_OK)
        return st;
    g->balance_nano = lines[0].balance_nano;
    g->entry = lines[0].entry;
    st = note_grant(w, g);
    if (st == ST_OK)
        st = ledger_flush(w); /* the user's record reads the account's row */
    return st == ST_OK ? state_touch_user(w, g->user_num, g->revision) : st;
}
