#include "meterd/budgets.h"
#include "meterd/ops.h"
#include "meterd/record.h"
#include "meterd/state.h"
#include "meterd/users.h"

#define KEYS_PAGE 100
#define KEYS_FRESH_S                                                                                                   \
    600u /* so long a new key has its place, revoked or not: its calls go on, its successor's limits are full */

/* Counted in the transaction that adds the key: two calls at once cannot both take the last place. */
static enum status check_room(struct work *w, const struct user_row *user)
{
    struct plan plan = {0};
    uint64_t now_s = w->s->now_ms / 1000, fresh_s = now_s > KEYS_FRESH_S ? now_s - KEYS_FRESH_S : 0;
    int64_t active = 0;
    enum status st = record_get(w, SQL_PLAN_BY_NAME, BINDS(B_S(user->user.plan)), record_plan, &plan);

    if (st == ST_OK)
        st = store_number(w->s, SQL_KEY_COUNT, BINDS(B_I(user->num), B_I(now_s), B_I(fresh_s)), 0, &active, w->err);
    if (st == ST_OK && plan.max_keys > 0 && (uint64_t)active >= plan.max_keys)
        st =
            err_set_field(w->err, ST_FORBIDDEN, "too_many_keys", NULL,
                          "The plan '" SLICE_FMT "' allows %llu active API keys. Revoke one first; one made within the "
                          "last %u minutes keeps its place until they are over.",
                          SLICE_ARG(plan.name), (unsigned long long)plan.max_keys, KEYS_FRESH_S / 60);
    return st;
}

static enum status check_key(struct work *w, const struct key_put_req *req)
{
    int64_t taken = 0;
    enum status st;

    if (req->key.n != 1 || req->digest.n != LIMIT_DIGEST || req->key.items[0].id.n == 0)
        return err_set(w->err, ST_BAD_MESSAGE, "key_put_req: one key with its id and the digest of its secret are due");
    st = store_number(w->s, SQL_KEY_TAKEN, BINDS(B_S(req->key.items[0].id), B_B(req->digest)), 0, &taken, w->err);
    if (st == ST_OK && taken)
        st = err_set(w->err, ST_CONFLICT, "This API key exists already.");
    return st;
}

enum status op_key_put(struct work *w, const void *in, void *out)
{
    const struct key_put_req *req = in;
    struct empty *rep = out;
    const struct api_key *k;
    struct slice models, ranges, period;
    struct user_row user;
    uint64_t revision;
    enum status st = check_key(w, req);

    if (st != ST_OK)
        return st;
    k = &req->key.items[0];
    period = k->budget_period;
    st = budgets_check(w, k->budget_nano, &period);
    if (st == ST_OK)
        st = users_find(w, k->user_id, &user);
    if (st == ST_OK && !slice_is(user.user.status, "active"))
        st = err_set(w->err, ST_FORBIDDEN, "The account is disabled.");
    if (st == ST_OK)
        st = check_room(w, &user);
    if (st == ST_OK)
        st = record_join(w, "models", &k->models, &models);
    if (st == ST_OK)
        st = record_join(w, "ip_allow", &k->ip_allow, &ranges);
    if (st != ST_OK)
        return st;
    revision = store_next_revision(w->s);
    rep->revision = revision;
    st = store_run(w->s, SQL_KEY_INSERT,
                   BINDS(B_S(k->id), B_I(user.num), B_B(req->digest), B_S(k->name), B_S(k->prefix), B_I(k->rpm),
                         B_I(k->tpm), B_I(k->concurrency), B_S(models), B_I(k->expires_at), B_I(w->s->now_ms / 1000),
                         B_I(revision), B_I(k->budget_nano), B_S(period), B_I(budgets_end(period, w->s->now_ms / 1000)),
                         B_S(ranges)),
                   w->err);
    store_forget_keys(w->s);
    return st == ST_OK ? state_changed(w, &key_state_desc, revision) : st;
}

struct key_row {
    struct api_key key;
    int64_t num;
};

static enum status fill_key_row(struct work *w, sqlite3_stmt *q, void *to)
{
    struct key_row *row = to;

    row->num = col_i64(q, 12);
    return record_key(w, q, &row->key);
}

static enum status no_such_key(struct work *w)
{
    return err_set_field(w->err, ST_NOT_FOUND, "key_not_found", "id", "There is no such API key.");
}

static enum status find_own(struct work *w, struct slice id, struct slice owner, struct key_row *ret)
{
    enum status st = record_get(w, SQL_KEY_BY_ID, BINDS(B_S(id)), fill_key_row, ret);

    if (st == ST_NOT_FOUND || (st == ST_OK && !slice_eq(ret->key.user_id, owner)))
        return no_such_key(w);
    return st;
}

enum status op_key_revoke(struct work *w, const void *in, void *out)
{
    const struct key_revoke_req *req = in;
    struct empty *rep = out;
    struct key_row row = {0};
    uint64_t revision;
    enum status st = find_own(w, req->id, req->actor_id, &row);

    if (st != ST_OK || slice_is(row.key.status, "revoked"))
        return st;
    revision = store_next_revision(w->s);
    rep->revision = revision;
    st = store_run(w->s, SQL_KEY_REVOKE, BINDS(B_I(row.num), B_I(revision)), w->err);
    return st == ST_OK ? state_changed(w, &key_state_desc, revision) : st;
}

/* ---- changing ------------------------------------------------------------------------------------------------------
 */

static void change_limits(const struct key_update_req *req, struct api_key *k)
{
    if (WIRE_HAS(req, 4) || req->rpm)
        k->rpm = req->rpm;
    if (WIRE_HAS(req, 5) || req->tpm)
        k->tpm = req->tpm;
    if (WIRE_HAS(req, 6) || req->concurrency)
        k->concurrency = req->concurrency;
    if (WIRE_HAS(req, 7) || req->models.n)
        k->models = req->models;
    if (WIRE_HAS(req, 8) || req->expires_at)
        k->expires_at = req->expires_at;
    if (WIRE_HAS(req, 11) || req->ip_allow.n)
        k->ip_allow = req->ip_allow;
}

/* Another period is another count. Another amount is measured by the count that runs. */
static enum status change_budget(struct work *w, const struct key_update_req *req, struct api_key *k)
{
    struct slice before = k->budget_period;
    enum status st;

    if (WIRE_HAS(req, 9) || req->budget_nano)
        k->budget_nano = req->budget_nano;
    if (WIRE_HAS(req, 10) || req->budget_period.n)
        k->budget_period = req->budget_period;
    else if (k->budget_nano == 0)
        k->budget_period = (struct slice){NULL, 0};
    st = budgets_check(w, k->budget_nano, &k->budget_period);
    if (st == ST_OK && !slice_eq(before, k->budget_period))
        k->budget_spent_nano = 0;
    return st;
}

static enum status check_not_revoked(struct work *w, const struct api_key *k)
{
    if (slice_is(k->status, "revoked"))
        return err_set_field(w->err, ST_CONFLICT, "key_revoked", "id", "This API key is revoked.");
    return ST_OK;
}

static bool expired(const struct work *w, const struct api_key *k)
{
    return k->expires_at && k->expires_at <= w->s->now_ms / 1000;
}

/* A key that is in force again wants a place: another may have taken its own. One that is fresh has it still. */
static enum status check_revived(struct work *w, const struct api_key *k)
{
    struct user_row user;
    enum status st;

    if (k->created + KEYS_FRESH_S > w->s->now_ms / 1000)
        return ST_OK;
    st = users_find(w, k->user_id, &user);
    return st == ST_OK ? check_room(w, &user) : st;
}

static enum status check_update(struct work *w, const struct key_update_req *req, const struct api_key *k)
{
    enum status st = check_not_revoked(w, k);

    if (st != ST_OK)
        return st;
    if (WIRE_HAS(req, 3) && req->name.n == 0)
        return err_set_field(w->err, ST_BAD_REQUEST, "invalid_value", "name", "Invalid 'name': it is empty.");
    return ST_OK;
}

static enum status write_key(struct work *w, const struct key_row *row, uint64_t revision)
{
    const struct api_key *k = &row->key;
    struct slice models, ranges;
    enum status st = record_join(w, "models", &k->models, &models);

    if (st == ST_OK)
        st = record_join(w, "ip_allow", &k->ip_allow, &ranges);
    if (st == ST_OK)
        st = store_run(w->s, SQL_KEY_UPDATE,
                       BINDS(B_I(row->num), B_S(k->name), B_I(k->rpm), B_I(k->tpm), B_I(k->concurrency), B_S(models),
                             B_I(k->expires_at), B_I(k->budget_nano), B_S(k->budget_period), B_I(k->budget_spent_nano),
                             B_I(budgets_end(k->budget_period, w->s->now_ms / 1000)), B_I(revision), B_S(ranges)),
                       w->err);
    store_forget_keys(w->s);
    return st == ST_OK ? state_changed(w, &key_state_desc, revision) : st;
}

enum status op_key_update(struct work *w, const void *in, void *out)
{
    const struct key_update_req *req = in;
    struct key_rep *rep = out;
    struct key_row *row = arena_alloc(w->a, sizeof(*row));
    bool was_expired;
    enum status st;

    if (!row)
        return err_set(w->err, ST_NO_MEMORY, "no memory for a key");
    st = find_own(w, req->id, req->actor_id, row);
    if (st == ST_OK)
        st = check_update(w, req, &row->key);
    if (st != ST_OK)
        return st;
    if (req->name.n > 0)
        row->key.name = req->name;
    was_expired = expired(w, &row->key);
    change_limits(req, &row->key);
    st = change_budget(w, req, &row->key);
    if (st == ST_OK && was_expired && !expired(w, &row->key))
        st = check_revived(w, &row->key);
    if (st != ST_OK)
        return st;
    rep->revision = store_next_revision(w->s);
    rep->key.items = &row->key;
    rep->key.n = 1;
    return write_key(w, row, rep->revision);
}

/* ---- another secret ------------------------------------------------------------------------------------------------
 */

static enum status check_secret(struct work *w, const struct key_secret_req *req, const struct api_key *k)
{
    int64_t taken = 0;
    enum status st = check_not_revoked(w, k);

    if (st == ST_OK && expired(w, k))
        st = err_set_field(w->err, ST_CONFLICT, "key_expired", "id",
                           "This API key has expired: give it another 'expires_at' first.");
    if (st == ST_OK)
        st = store_number(w->s, SQL_KEY_TAKEN, BINDS(B_C(""), B_B(req->digest)), 0, &taken, w->err);
    if (st == ST_OK && taken)
        st = err_set(w->err, ST_CONFLICT, "This API key exists already.");
    return st;
}

/* Id, limits, budget and what is spent of it stay the key's. The secret before the last one ends here. */
enum status op_key_secret(struct work *w, const void *in, void *out)
{
    const struct key_secret_req *req = in;
    struct key_rep *rep = out;
    struct key_row *row = arena_alloc(w->a, sizeof(*row));
    uint64_t until = (w->s->now_ms + 999) / 1000 + req->grace_s; /* no second of it is cut */
    enum status st;

    if (!row)
        return err_set(w->err, ST_NO_MEMORY, "no memory for a key");
    if (req->digest.n != LIMIT_DIGEST)
        return err_set(w->err, ST_BAD_MESSAGE, "key_secret_req: a digest of %d bytes is due", LIMIT_DIGEST);
    st = find_own(w, req->id, req->actor_id, row);
    if (st == ST_OK)
        st = check_secret(w, req, &row->key);
    if (st != ST_OK)
        return st;
    row->key.prefix = req->prefix;
    row->key.previous_until = req->grace_s ? until : 0;
    rep->revision = store_next_revision(w->s);
    rep->key.items = &row->key;
    rep->key.n = 1;
    st = store_run(
        w->s, SQL_KEY_ROTATE,
        BINDS(B_I(row->num), B_B(req->digest), B_S(req->prefix), B_I(row->key.previous_until), B_I(rep->revision)),
        w->err);
    return st == ST_OK ? state_changed(w, &key_state_desc, rep->revision) : st;
}

/* ---- lists ---------------------------------------------------------------------------------------------------------
 */

static enum status one_key(struct work *w, int64_t user_num, struct slice id, struct key_list_rep *rep)
{
    struct api_key *key = arena_alloc(w->a, sizeof(*key));
    enum status st;

    if (!key)
        return err_set(w->err, ST_NO_MEMORY, "no memory for a key");
    st = record_get(w, SQL_KEY_OF_USER, BINDS(B_I(user_num), B_S(id)), record_key, key);
    rep->data.items = key;
    rep->data.n = st == ST_OK;
    return st == ST_NOT_FOUND ? no_such_key(w) : st; /* also for somebody else's */
}

enum status op_key_list(struct work *w, const void *in, void *out)
{
    const struct key_list_req *req = in;
    struct key_list_rep *rep = out;
    uint64_t before = 0, limit = record_limit(req->limit, KEYS_PAGE);
    struct user_row user;
    enum status st = users_find(w, req->actor_id, &user);

    if (st == ST_OK && req->id.n > 0)
        return one_key(w, user.num, req->id, rep);
    if (st == ST_OK)
        st = record_cursor(w, req->cursor, LIMIT_ID, &before);
    if (st == ST_OK) {
        struct record_page page = {.sql = SQL_KEYS,
                                   .binds = BINDS(B_I(user.num), B_I(before), B_I(limit + 1)),
                                   .fill = record_key,
                                   .size = sizeof(struct api_key),
                                   .limit = limit,
                                   .cursor_column = 12};

        st = record_list(w, &page);
        rep->data.items = page.items;
        rep->data.n = page.n;
        rep->next = page.next;
    }
    return st;
}
