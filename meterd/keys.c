#include "meterd/ops.h"
#include "meterd/record.h"
#include "meterd/state.h"
#include "meterd/users.h"

#define KEYS_PAGE 100

/* Counted in the transaction that adds the key: two calls at once cannot both take the last place. */
static enum status check_room(struct work *w, const struct user_row *user)
{
    struct plan plan = {0};
    int64_t active = 0;
    enum status st = record_get(w, SQL_PLAN_BY_NAME, BINDS(B_S(user->user.plan)), record_plan, &plan);

    if (st == ST_OK)
        st = store_number(w->s, SQL_KEY_COUNT, BINDS(B_I(user->num), B_I(w->s->now_ms / 1000)), 0, &active, w->err);
    if (st == ST_OK && plan.max_keys > 0 && (uint64_t)active >= plan.max_keys)
        st = err_set_field(w->err, ST_FORBIDDEN, "too_many_keys", NULL,
                           "The plan '" SLICE_FMT "' allows %llu active API keys. Revoke one first.",
                           SLICE_ARG(plan.name), (unsigned long long)plan.max_keys);
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
    struct user_row user;
    struct slice models;
    uint64_t revision;
    enum status st = check_key(w, req);

    if (st != ST_OK)
        return st;
    k = &req->key.items[0];
    st = users_find(w, k->user_id, &user);
    if (st == ST_OK && !slice_is(user.user.status, "active"))
        st = err_set(w->err, ST_FORBIDDEN, "The account is disabled.");
    if (st == ST_OK)
        st = check_room(w, &user);
    if (st == ST_OK)
        st = record_join(w, &k->models, &models);
    if (st != ST_OK)
        return st;
    revision = store_next_revision(w->s);
    rep->revision = revision;
    st = store_run(w->s, SQL_KEY_INSERT,
                   BINDS(B_S(k->id), B_I(user.num), B_B(req->digest), B_S(k->name), B_S(k->prefix), B_I(k->rpm),
                         B_I(k->tpm), B_I(k->concurrency), B_S(models), B_I(k->expires_at), B_I(w->s->now_ms / 1000),
                         B_I(revision)),
                   w->err);
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

enum status op_key_revoke(struct work *w, const void *in, void *out)
{
    const struct key_revoke_req *req = in;
    struct empty *rep = out;
    struct key_row row = {0};
    uint64_t revision;
    enum status st = record_get(w, SQL_KEY_BY_ID, BINDS(B_S(req->id)), fill_key_row, &row);

    if (st == ST_NOT_FOUND || (st == ST_OK && !slice_eq(row.key.user_id, req->actor_id)))
        return err_set_field(w->err, ST_NOT_FOUND, "key_not_found", "id", "There is no such API key.");
    if (st != ST_OK || slice_is(row.key.status, "revoked"))
        return st;
    revision = store_next_revision(w->s);
    rep->revision = revision;
    st = store_run(w->s, SQL_KEY_REVOKE, BINDS(B_I(row.num), B_I(revision)), w->err);
    return st == ST_OK ? state_changed(w, &key_state_desc, revision) : st;
}

enum status op_key_list(struct work *w, const void *in, void *out)
{
    const struct key_list_req *req = in;
    struct key_list_rep *rep = out;
    uint64_t before = 0, limit = record_limit(req->limit, KEYS_PAGE);
    struct user_row user;
    enum status st = users_find(w, req->actor_id, &user);

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
