/*
 * Sessions: a family of refresh tokens, of which one is in force. A token that was exchanged stays known; when it comes
 * again, somebody has copied it, and the whole family ends. That is an answer and no failure, so that the end is kept.
 */
#include "meterd/sessions.h"
#include "meterd/ops.h"
#include "meterd/record.h"
#include "meterd/state.h"
#include "meterd/users.h"

struct token {
    bool known, used, active;
    uint64_t expires_at;
    int64_t user_num;
    struct slice session;
};

static enum status check_digest(struct work *w, struct slice digest, const char *param)
{
    if (digest.n == LIMIT_DIGEST)
        return ST_OK;
    return err_set_field(w->err, ST_BAD_REQUEST, NULL, param, "A digest has %d bytes.", LIMIT_DIGEST);
}

static enum status refused(struct work *w)
{
    return err_set_field(w->err, ST_UNAUTHENTICATED, "invalid_refresh_token", "refresh_token",
                         "The refresh token is not valid. Log in again.");
}

static enum status add_token(struct work *w, struct slice digest, struct slice session)
{
    int64_t taken = 0;
    enum status st = store_number(w->s, SQL_TOKEN_EXISTS, BINDS(B_B(digest)), 0, &taken, w->err);

    if (st == ST_OK && taken)
        st = err_set(w->err, ST_CONFLICT, "This refresh token exists already.");
    return st == ST_OK ? store_run(w->s, SQL_TOKEN_INSERT, BINDS(B_B(digest), B_S(session)), w->err) : st;
}

enum status op_session_put(struct work *w, const void *in, void *out)
{
    const struct session_put_req *req = in;
    struct user_row user;
    int64_t taken = 0;
    enum status st = check_digest(w, req->refresh_digest, "refresh_digest");

    (void)out; /* only their end is told to others: the revision stays */
    if (st == ST_OK)
        st = users_find(w, req->user_id, &user);
    if (st == ST_OK)
        st = store_number(w->s, SQL_SESSION_EXISTS, BINDS(B_S(req->session_id)), 0, &taken, w->err);
    if (st == ST_OK && taken)
        st = err_set(w->err, ST_CONFLICT, "This session exists already.");
    if (st == ST_OK)
        st = store_run(w->s, SQL_SESSION_INSERT,
                       BINDS(B_S(req->session_id), B_I(user.num), B_I(req->expires_at), B_I(w->s->now_ms / 1000)),
                       w->err);
    return st == ST_OK ? add_token(w, req->refresh_digest, req->session_id) : st;
}

static enum status find_token(struct work *w, struct slice digest, struct token *ret)
{
    sqlite3_stmt *q = NULL;
    struct slice status;
    enum status st = store_row(w->s, SQL_SESSION_OF_TOKEN, BINDS(B_B(digest)), &q, w->err);

    *ret = (struct token){.known = q != NULL};
    if (st == ST_OK && q) {
        ret->used = col_i64(q, 1) != 0;
        ret->expires_at = col_u64(q, 3);
        ret->user_num = col_i64(q, 4);
        st = col_text(q, 0, w->a, &ret->session, w->err);
        if (st == ST_OK)
            st = col_text(q, 2, w->a, &status, w->err);
        ret->active = st == ST_OK && slice_is(status, "active");
    }
    store_reset(&q);
    return st;
}

/* One that has ended before stays as it is. */
static enum status end(struct work *w, struct slice session)
{
    uint64_t revision;
    int64_t active = 0;
    enum status st = store_number(w->s, SQL_SESSION_ACTIVE, BINDS(B_S(session)), 0, &active, w->err);

    if (st != ST_OK || !active)
        return st;
    revision = store_next_revision(w->s);
    st = store_run(w->s, SQL_SESSION_END, BINDS(B_S(session), B_I(w->s->now_ms / 1000), B_I(revision)), w->err);
    return st == ST_OK ? state_changed(w, &session_ended_desc, revision) : st;
}

static enum status whose(struct work *w, const struct token *t, struct session_rotate_rep *rep)
{
    struct user_row *row = arena_alloc(w->a, sizeof(*row));
    enum status st;

    if (!row)
        return err_set(w->err, ST_NO_MEMORY, "no memory for a user");
    st = record_get(w, SQL_USER_BY_NUM, BINDS(B_I(t->user_num)), record_user_row, row);
    rep->session_id = t->session;
    rep->user.items = &row->user;
    rep->user.n = 1;
    return st;
}

static enum status exchange(struct work *w, const struct session_rotate_req *req, const struct token *t,
                            struct session_rotate_rep *rep)
{
    enum status st = whose(w, t, rep);

    if (st == ST_OK && !slice_is(rep->user.items[0].status, "active"))
        return refused(w);
    if (st == ST_OK)
        st = store_run(w->s, SQL_TOKEN_USED, BINDS(B_B(req->refresh_digest)), w->err);
    if (st == ST_OK)
        st = add_token(w, req->new_digest, t->session);
    if (st == ST_OK)
        st = store_run(w->s, SQL_SESSION_EXTEND, BINDS(B_S(t->session), B_I(req->expires_at)), w->err);
    return st;
}

/* Somebody has copied the token: the session ends, which is an answer and no failure. */
static enum status end_family(struct work *w, const struct token *t, struct session_rotate_rep *rep)
{
    enum status st = whose(w, t, rep);

    rep->reused = true;
    return st == ST_OK ? end(w, t->session) : st;
}

enum status op_session_rotate(struct work *w, const void *in, void *out)
{
    const struct session_rotate_req *req = in;
    struct session_rotate_rep *rep = out;
    struct token t;
    enum status st = check_digest(w, req->refresh_digest, "refresh_digest");

    if (st == ST_OK)
        st = check_digest(w, req->new_digest, "new_digest");
    if (st == ST_OK)
        st = find_token(w, req->refresh_digest, &t);
    if (st != ST_OK)
        return st;
    if (t.known && t.used && t.active)
        return end_family(w, &t, rep);
    if (!t.known || t.used || !t.active || t.expires_at <= w->s->now_ms / 1000)
        return refused(w);
    return exchange(w, req, &t, rep);
}

enum status op_session_end(struct work *w, const void *in, void *out)
{
    const struct session_end_req *req = in;

    (void)out;
    return end(w, req->session_id);
}

static enum status fill_id(struct work *w, sqlite3_stmt *q, void *to)
{
    return col_text(q, 0, w->a, to, w->err);
}

static enum status end_some(struct work *w, int64_t user_num, struct slice keep, struct wire_strs *ret)
{
    struct record_page page = {.sql = SQL_SESSIONS_OPEN,
                               .binds = BINDS(B_I(user_num), B_S(keep), B_I(LIMIT_LIST)),
                               .fill = fill_id,
                               .size = sizeof(struct slice),
                               .limit = LIMIT_LIST};
    enum status st = record_list(w, &page);
    size_t i;

    *ret = (struct wire_strs){page.items, page.n};
    for (i = 0; i < page.n && st == ST_OK; i++)
        st = end(w, ret->items[i]);
    return st;
}

enum status sessions_end_others(struct work *w, int64_t user_num, struct slice keep, struct wire_strs *ret)
{
    enum status st = end_some(w, user_num, keep, ret);
    struct wire_strs more = *ret;

    while (st == ST_OK && more.n == LIMIT_LIST)
        st = end_some(w, user_num, keep, &more);
    return st;
}

enum status sessions_forget(struct work *w)
{
    int64_t before = (int64_t)(w->s->now_ms / 1000) - SESSIONS_KEPT_S;

    return store_run(w->s, SQL_SESSIONS_FORGET, BINDS(B_I(before), B_I(SESSIONS_FORGET_MAX)), w->err);
}
