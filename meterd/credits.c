#include "meterd/ledger.h"
#include "meterd/ops.h"
#include "meterd/state.h"
#include "meterd/users.h"

enum status op_credits(struct work *w, const void *in, void *out)
{
    const struct credits_req *req = in;
    struct credits_rep *rep = out;
    struct user_row user;
    enum status st = users_find(w, req->actor_id, &user);

    if (st != ST_OK)
        return st;
    rep->balance_nano = user.user.balance_nano;
    rep->held_nano = 0; /* holds live in authsvc */
    return store_number(w->s, SQL_SPENT, BINDS(B_I(user.account)), 0, &rep->spent_nano, w->err);
}

struct earlier {
    bool found;
    int64_t account, amount_nano, balance_nano;
    uint64_t entry, revision;
};

static enum status find_earlier(struct work *w, const struct credit_grant_req *req, struct earlier *ret)
{
    sqlite3_stmt *q = NULL;
    enum status st = ST_OK;

    *ret = (struct earlier){0};
    if (req->idempotency_key.n == 0)
        return ST_OK;
    st = store_row(w->s, SQL_GRANT_BY_KEY, BINDS(B_S(req->actor_id), B_S(req->idempotency_key)), &q, w->err);
    if (q)
        *ret = (struct earlier){true, col_i64(q, 0), col_i64(q, 1), col_i64(q, 2), col_u64(q, 3), col_u64(q, 4)};
    store_reset(&q);
    return st;
}

static enum status repeat(struct work *w, const struct credit_grant_req *req, const struct earlier *e, int64_t account,
                          struct credit_grant_rep *rep)
{
    if (e->account != account || e->amount_nano != req->amount_nano)
        return err_set_field(w->err, ST_CONFLICT, "idempotency_conflict", "idempotency_key",
                             "This idempotency key was used for another grant.");
    rep->balance_nano = e->balance_nano;
    rep->entry_id = e->entry;
    rep->revision = e->revision;
    return ST_OK;
}

static enum status check_amount(struct work *w, int64_t amount, const struct user_row *user)
{
    char text[MONEY_TEXT_MAX];
    int64_t after;

    if (amount == 0)
        return err_set_field(w->err, ST_BAD_REQUEST, NULL, "amount_usd", "The amount must not be zero.");
    if (!money_add(user->user.balance_nano, amount, &after) || after > MONEY_NANO_MAX)
        return err_set_field(w->err, ST_BAD_REQUEST, NULL, "amount_usd",
                             "The balance would be larger than an amount can be.");
    /* What is held for running calls cannot be taken back. */
    if (amount > 0 || amount >= -user->available_nano)
        return ST_OK;
    money_format_usd(user->available_nano, text);
    return err_set_field(w->err, ST_CONFLICT, "insufficient_credit", "amount_usd",
                         "The user has %s USD of credit; more than that cannot be taken back.", text);
}

enum status op_credit_grant(struct work *w, const void *in, void *out)
{
    const struct credit_grant_req *req = in;
    struct credit_grant_rep *rep = out;
    struct ledger_grant grant = {.kind = "admin",
                                 .actor = req->actor_id,
                                 .idempotency_key = req->idempotency_key,
                                 .note = req->note,
                                 .amount_nano = req->amount_nano};
    struct earlier earlier;
    struct user_row user;
    enum status st = users_find(w, req->id, &user);

    if (st == ST_OK)
        st = find_earlier(w, req, &earlier);
    if (st != ST_OK)
        return st;
    rep->user_id = user.user.id;
    rep->amount_nano = req->amount_nano;
    if (earlier.found)
        return repeat(w, req, &earlier, user.account, rep);
    st = check_amount(w, req->amount_nano, &user);
    if (st != ST_OK)
        return st;
    grant.user_num = user.num;
    grant.account = user.account;
    st = ledger_give(w, &grant);
    rep->balance_nano = grant.balance_nano;
    rep->entry_id = grant.entry;
    rep->revision = grant.revision;
    return st;
}
