#include "meterd/credits.h"

#include "meterd/audit.h"
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

/* ---- kinds ---------------------------------------------------------------------------------------------------------
 */

#define KIND_GRANT "grant"
#define KIND_REFUND "refund"
#define KIND_ADJUSTMENT "adjustment"

static const char *const kinds[] = {KIND_GRANT, "topup", KIND_REFUND, KIND_ADJUSTMENT};

/* Taking back is an adjustment; without a kind that is what less than zero means. */
static enum status find_kind(struct work *w, const struct credit_grant_req *req, const char **ret)
{
    size_t i;

    *ret = req->amount_nano < 0 ? KIND_ADJUSTMENT : KIND_GRANT;
    if (req->kind.n == 0)
        return ST_OK;
    for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        *ret = kinds[i];
        if (slice_is(req->kind, kinds[i]))
            return ST_OK;
    }
    return err_set_field(w->err, ST_BAD_REQUEST, "invalid_value", "kind",
                         "A kind is 'grant', 'topup', 'refund' or 'adjustment'.");
}

static enum status check_refund(struct work *w, const struct credit_grant_req *req, int64_t user_num)
{
    int64_t cost = -1, refunded = 0, sum = 0;
    char left[MONEY_TEXT_MAX];
    enum status st;

    if (req->request_id.n == 0)
        return err_set_field(w->err, ST_BAD_REQUEST, "missing_required_parameter", "request_id",
                             "A refund names the call that it pays back.");
    st = store_number(w->s, SQL_CALL_COST, BINDS(B_S(req->request_id), B_I(user_num)), -1, &cost, w->err);
    if (st == ST_OK && cost < 0)
        return err_set_field(w->err, ST_BAD_REQUEST, "request_not_found", "request_id",
                             "The user has made no such call.");
    if (st == ST_OK)
        st = store_number(w->s, SQL_CALL_REFUNDED, BINDS(B_S(req->request_id)), 0, &refunded, w->err);
    if (st != ST_OK || (money_add(refunded, req->amount_nano, &sum) && sum <= cost))
        return st;
    money_format_usd(cost > refunded ? cost - refunded : 0, left);
    return err_set_field(w->err, ST_CONFLICT, "refund_exceeds_cost", "amount_usd",
                         "Of what the user paid for this call %s USD can still be refunded.", left);
}

static enum status check_kind(struct work *w, const struct credit_grant_req *req, const char *kind, int64_t user_num)
{
    bool refund = slice_is(slice_of(kind), KIND_REFUND);

    if (!refund && req->request_id.n > 0)
        return err_set_field(w->err, ST_BAD_REQUEST, "invalid_value", "request_id", "Only a refund names a call.");
    if (req->amount_nano < 0 && !slice_is(slice_of(kind), KIND_ADJUSTMENT))
        return err_set_field(w->err, ST_BAD_REQUEST, "invalid_value", "amount_usd",
                             "A %s is more than zero; an 'adjustment' takes back.", kind);
    return refund ? check_refund(w, req, user_num) : ST_OK;
}

/* ---- granting ------------------------------------------------------------------------------------------------------
 */

struct earlier {
    bool found;
    int64_t account, amount_nano, balance_nano;
    uint64_t entry, revision;
    struct slice kind, request_id;
};

static enum status find_earlier(struct work *w, const struct credit_grant_req *req, struct earlier *ret)
{
    sqlite3_stmt *q = NULL;
    enum status st = ST_OK;

    *ret = (struct earlier){0};
    if (req->idempotency_key.n == 0)
        return ST_OK;
    st = store_row(w->s, SQL_GRANT_BY_KEY, BINDS(B_S(req->actor_id), B_S(req->idempotency_key)), &q, w->err);
    if (q) {
        *ret = (struct earlier){.found = true,
                                .account = col_i64(q, 0),
                                .amount_nano = col_i64(q, 1),
                                .balance_nano = col_i64(q, 2),
                                .entry = col_u64(q, 3),
                                .revision = col_u64(q, 4)};
        st = col_text(q, 5, w->a, &ret->kind, w->err);
        if (st == ST_OK)
            st = col_text(q, 6, w->a, &ret->request_id, w->err);
    }
    store_reset(&q);
    return st;
}

static enum status repeat(struct work *w, const struct earlier *e, const struct ledger_grant *grant,
                          struct credit_grant_rep *rep)
{
    if (e->account != grant->account || e->amount_nano != grant->amount_nano || !slice_is(e->kind, grant->kind) ||
        !slice_eq(e->request_id, grant->request_id))
        return err_set_field(w->err, ST_CONFLICT, "idempotency_conflict", "idempotency_key",
                             "This idempotency key was used for another grant.");
    rep->balance_nano = e->balance_nano;
    rep->entry_id = e->entry;
    rep->revision = e->revision;
    return ST_OK;
}

enum status credits_check_amount(struct work *w, int64_t amount, const struct user_row *user)
{
    char text[MONEY_TEXT_MAX];
    int64_t after;

    if (amount == 0)
        return err_set_field(w->err, ST_BAD_REQUEST, "invalid_value", "amount_usd", "The amount must not be zero.");
    if (!money_add(user->user.balance_nano, amount, &after) || after > MONEY_NANO_MAX)
        return err_set_field(w->err, ST_BAD_REQUEST, "invalid_value", "amount_usd",
                             "The balance would be larger than an amount can be.");
    /* What is held for running calls cannot be taken back. */
    if (amount > 0 || amount >= -user->available_nano)
        return ST_OK;
    money_format_usd(user->available_nano, text);
    return err_set_field(w->err, ST_CONFLICT, "insufficient_credit", "amount_usd",
                         "The user has %s USD of credit; more than that cannot be taken back.", text);
}

static enum status note_grant(struct work *w, const struct credit_grant_req *req, const char *kind)
{
    struct audit_note note = {.actor = req->actor_id, .action = "credit.grant", .object = req->id};
    struct credit_grant_req before = {.has = 0};
    struct credit_grant_req said = {
        .amount_nano = req->amount_nano, .kind = slice_of(kind), .request_id = req->request_id, .note = req->note};

    return audit_change(w, &note, &credit_grant_req_desc, &before, &said);
}

enum status op_credit_grant(struct work *w, const void *in, void *out)
{
    const struct credit_grant_req *req = in;
    struct credit_grant_rep *rep = out;
    struct ledger_grant grant = {.actor = req->actor_id,
                                 .idempotency_key = req->idempotency_key,
                                 .note = req->note,
                                 .request_id = req->request_id,
                                 .amount_nano = req->amount_nano};
    struct earlier earlier;
    struct user_row user;
    enum status st = users_find(w, req->id, &user);

    if (st == ST_OK)
        st = find_kind(w, req, &grant.kind);
    if (st == ST_OK)
        st = find_earlier(w, req, &earlier);
    if (st != ST_OK)
        return st;
    rep->user_id = user.user.id;
    rep->amount_nano = req->amount_nano;
    grant.user_num = user.num;
    grant.account = user.account;
    if (earlier.found)
        return repeat(w, &earlier, &grant, rep);
    st = credits_check_amount(w, req->amount_nano, &user);
    if (st == ST_OK)
        st = check_kind(w, req, grant.kind, user.num);
    if (st == ST_OK)
        st = ledger_give(w, &grant);
    if (st == ST_OK)
        st = note_grant(w, req, grant.kind);
    rep->balance_nano = grant.balance_nano;
    rep->entry_id = grant.entry;
    rep->revision = grant.revision;
    return st;
}
