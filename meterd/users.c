#include "meterd/users.h"

#include "meterd/audit.h"
#include "meterd/credits.h"
#include "meterd/ledger.h"
#include "meterd/monthly.h"
#include "meterd/ops.h"
#include "meterd/sessions.h"
#include "meterd/state.h"
#include "services/ids.h"

#define USER_ID_BYTES 12
#define USERS_PAGE 100

enum status users_find(struct work *w, struct slice id, struct user_row *ret)
{
    enum status st;

    *ret = (struct user_row){0};
    st = record_get(w, SQL_USER_BY_ID, BINDS(B_S(id)), record_user_row, ret);
    if (st == ST_NOT_FOUND)
        return err_set_field(w->err, st, "user_not_found", "id", "There is no such user.");
    return st;
}

enum status users_whose(struct work *w, struct slice actor, struct slice filter, struct user_row *ret)
{
    enum status st;

    *ret = (struct user_row){0};
    if (filter.n == 0)
        return actor.n > 0 ? users_find(w, actor, ret) : ST_OK;
    st = actor.n > 0 ? ST_NOT_FOUND : users_find(w, filter, ret);
    if (st == ST_NOT_FOUND)
        return err_set_field(w->err, ST_BAD_REQUEST, "invalid_value", "user",
                             "Invalid 'user': expected the id of a user.");
    return st;
}

static enum status check_role(struct work *w, struct slice role)
{
    if (slice_is(role, "user") || slice_is(role, "admin"))
        return ST_OK;
    return err_set_field(w->err, ST_BAD_REQUEST, "invalid_value", "role", "A role is 'user' or 'admin'.");
}

static enum status check_plan(struct work *w, struct slice name)
{
    struct plan plan = {0};
    enum status st = record_get(w, SQL_PLAN_BY_NAME, BINDS(B_S(name)), record_plan, &plan);

    if (st == ST_NOT_FOUND)
        return err_set_field(w->err, ST_BAD_REQUEST, "plan_not_found", "plan", "There is no plan of that name.");
    return st;
}

/* Addresses are compared in lower case; only ASCII has one that everybody agrees on. */
static enum status lower(struct work *w, struct slice email, struct slice *ret)
{
    char *copy = arena_strndup(w->a, email.p, email.n);
    size_t i;

    if (!copy)
        return err_set(w->err, ST_NO_MEMORY, "no memory for an address");
    for (i = 0; i < email.n; i++)
        copy[i] = (char)(copy[i] >= 'A' && copy[i] <= 'Z' ? copy[i] - 'A' + 'a' : copy[i]);
    *ret = (struct slice){copy, email.n};
    return ST_OK;
}

static enum status check_new(struct work *w, const struct user_new *user, struct slice email)
{
    struct user_row other = {0};
    enum status st = record_get(w, SQL_USER_BY_EMAIL, BINDS(B_S(email)), record_user_row, &other);

    if (st == ST_OK)
        return err_set_field(w->err, ST_CONFLICT, "email_taken", "email",
                             "This e-mail address has an account already.");
    if (st != ST_NOT_FOUND)
        return st;
    if (email.n == 0 || user->password_hash.n == 0)
        return err_set_field(w->err, ST_BAD_REQUEST, NULL, "email", "A user needs an e-mail address and a password.");
    st = check_role(w, user->role);
    return st == ST_OK ? check_plan(w, user->plan) : st;
}

enum status users_make(struct work *w, const struct user_new *user, struct user_row *ret)
{
    char id[ID_TEXT_SIZE];
    uint64_t revision;
    struct slice email;
    enum status st = lower(w, user->email, &email);

    if (st == ST_OK)
        st = check_new(w, user, email);
    if (st != ST_OK)
        return st;
    id_make(id, "usr_", USER_ID_BYTES);
    revision = store_next_revision(w->s);
    st = store_run(w->s, SQL_USER_INSERT,
                   BINDS(B_C(id), B_S(email), B_S(user->name), B_S(user->role), B_S(user->plan),
                         B_S(user->password_hash), B_I(w->s->now_ms / 1000), B_I(revision)),
                   w->err);
    if (st == ST_OK)
        st = store_run(w->s, SQL_ACCOUNT_INSERT, BINDS(B_I(sqlite3_last_insert_rowid(w->s->db)), B_C(LEDGER_AVAILABLE)),
                       w->err);
    if (st == ST_OK)
        st = state_changed(w, &user_desc, revision);
    return st == ST_OK ? users_find(w, slice_of(id), ret) : st;
}

/* The user as it is now, in the arena. */
static enum status reply_user(struct work *w, struct slice id, struct user_rep *rep)
{
    struct user_row *row = arena_alloc(w->a, sizeof(*row));
    enum status st;

    if (!row)
        return err_set(w->err, ST_NO_MEMORY, "no memory for a user");
    st = users_find(w, id, row);
    rep->user.items = &row->user;
    rep->user.n = 1;
    return st;
}

/* Of an administrator: whoever signs up is in no audit. */
static enum status note_new(struct work *w, struct slice actor, const struct user *user)
{
    struct audit_note note = {.actor = actor, .action = "user.create", .object = user->id};
    struct user before = {.id = user->id};

    return actor.n ? audit_change(w, &note, &user_desc, &before, user) : ST_OK;
}

enum status op_user_put(struct work *w, const void *in, void *out)
{
    const struct user_put_req *req = in;
    struct user_rep *rep = out;
    struct user_new user = {req->email, req->password_hash, req->name, req->role, req->plan};
    struct user_row row = {0};
    struct credit_grant_rep redeemed;
    enum status st;

    if (req->credit_nano < 0)
        return err_set_field(w->err, ST_BAD_REQUEST, NULL, "credit_usd", "Credit at sign-up cannot be negative.");
    st = users_make(w, &user, &row);
    if (st == ST_OK)
        st = note_new(w, req->actor_id, &row.user);
    if (st == ST_OK && req->credit_nano > 0) {
        struct ledger_grant grant = {.user_num = row.num,
                                     .account = row.account,
                                     .kind = "signup",
                                     .actor = req->actor_id.n ? req->actor_id : row.user.id,
                                     .note = slice_of("sign-up credit"),
                                     .amount_nano = req->credit_nano};

        st = ledger_give(w, &grant);
    }
    if (st == ST_OK && req->code.n)
        st = credits_redeem(w, req->code, &row, &redeemed);
    if (st == ST_OK)
        st = monthly_user(w, row.num);
    rep->revision = w->s->revision;
    return st == ST_OK ? reply_user(w, row.user.id, rep) : st;
}

enum status op_user_get(struct work *w, const void *in, void *out)
{
    const struct user_get_req *req = in;

    return reply_user(w, req->id, out);
}

enum status op_user_auth(struct work *w, const void *in, void *out)
{
    const struct user_auth_req *req = in;
    struct user_auth_rep *rep = out;
    struct user_row *row = arena_alloc(w->a, sizeof(*row));
    struct slice email;
    enum status st;

    if (!row)
        return err_set(w->err, ST_NO_MEMORY, "no memory for a user");
    st = lower(w, req->email, &email);
    if (st == ST_OK)
        st = record_get(w, SQL_USER_BY_EMAIL, BINDS(B_S(email)), record_user_row, row);
    if (st == ST_NOT_FOUND)
        return err_set_field(w->err, st, "user_not_found", "email", "There is no such user.");
    if (st != ST_OK)
        return st;
    rep->user.items = &row->user;
    rep->user.n = 1;
    rep->password_hash = row->password_hash;
    return ST_OK;
}

static enum status one_by_email(struct work *w, struct slice email, struct user_list_rep *rep)
{
    struct user_row *row = arena_alloc(w->a, sizeof(*row));
    struct slice small;
    enum status st;

    if (!row)
        return err_set(w->err, ST_NO_MEMORY, "no memory for a user");
    st = lower(w, email, &small);
    if (st == ST_OK)
        st = record_get(w, SQL_USER_BY_EMAIL, BINDS(B_S(small)), record_user_row, row);
    if (st == ST_NOT_FOUND)
        return ST_OK; /* an empty list */
    if (st != ST_OK)
        return st;
    rep->data.items = &row->user;
    rep->data.n = 1;
    return ST_OK;
}

enum status op_user_list(struct work *w, const void *in, void *out)
{
    const struct user_list_req *req = in;
    struct user_list_rep *rep = out;
    uint64_t after = 0, limit = record_limit(req->limit, USERS_PAGE);
    enum status st;

    if (req->email.n > 0)
        return one_by_email(w, req->email, rep);
    st = record_cursor(w, req->cursor, 0, &after);
    if (st == ST_OK) {
        struct record_page page = {.sql = SQL_USERS,
                                   .binds = BINDS(B_I(after), B_I(limit + 1)),
                                   .fill = record_user,
                                   .size = sizeof(struct user),
                                   .limit = limit,
                                   .cursor_column = 8};

        st = record_list(w, &page);
        rep->data.items = page.items;
        rep->data.n = page.n;
        rep->next = page.next;
    }
    return st;
}

/* ---- changing ------------------------------------------------------------------------------------------------------
 */

static enum status check_change(struct work *w, const struct user_row *old, const struct user *now)
{
    bool was = slice_is(old->user.role, "admin") && slice_is(old->user.status, "active");
    bool is = slice_is(now->role, "admin") && slice_is(now->status, "active");
    int64_t others = 1;
    enum status st = check_role(w, now->role);

    if (st == ST_OK)
        st = check_plan(w, now->plan);
    if (st == ST_OK && !slice_is(now->status, "active") && !slice_is(now->status, "disabled"))
        st = err_set_field(w->err, ST_BAD_REQUEST, "invalid_value", "status", "A status is 'active' or 'disabled'.");
    if (st == ST_OK && was && !is)
        st = store_number(w->s, SQL_USER_OTHER_ADMINS, BINDS(B_I(old->num)), 0, &others, w->err);
    if (st == ST_OK && others == 0)
        st = err_set_field(w->err, ST_CONFLICT, "last_admin", NULL, "This is the last active administrator.");
    return st;
}

static struct slice either(bool has, struct slice now, struct slice old)
{
    return has || now.n > 0 ? now : old;
}

enum status op_user_update(struct work *w, const void *in, void *out)
{
    const struct user_update_req *req = in;
    struct user_rep *rep = out;
    struct audit_note note = {.actor = req->actor_id, .action = "user.update", .object = req->id};
    struct user_row old;
    struct user now;
    uint64_t revision;
    enum status st = users_find(w, req->id, &old);

    if (st != ST_OK)
        return st;
    now = old.user;
    now.name = either(WIRE_HAS(req, 3), req->name, old.user.name);
    now.role = either(WIRE_HAS(req, 4), req->role, old.user.role);
    now.plan = either(WIRE_HAS(req, 5), req->plan, old.user.plan);
    now.status = either(WIRE_HAS(req, 6), req->status, old.user.status);
    st = check_change(w, &old, &now);
    if (st != ST_OK)
        return st;
    revision = store_next_revision(w->s);
    st = store_run(w->s, SQL_USER_UPDATE,
                   BINDS(B_I(old.num), B_S(now.name), B_S(now.role), B_S(now.plan), B_S(now.status), B_I(revision)),
                   w->err);
    if (st == ST_OK)
        st = audit_change(w, &note, &user_desc, &old.user, &now);
    if (st == ST_OK)
        st = state_changed(w, &user_desc, revision);
    if (st == ST_OK)
        st = monthly_user(w, old.num); /* of a plan that he has joined */
    rep->revision = w->s->revision;
    return st == ST_OK ? reply_user(w, req->id, rep) : st;
}

enum status op_user_password(struct work *w, const void *in, void *out)
{
    const struct user_password_req *req = in;
    struct user_password_rep *rep = out;
    struct audit_note note = {.actor = req->actor_id, .action = "user.password", .object = req->id};
    struct user_row user;
    enum status st = users_find(w, req->id, &user);

    if (st != ST_OK)
        return st;
    if (req->password_hash.n == 0)
        return err_set_field(w->err, ST_BAD_REQUEST, NULL, "password_hash", "A user needs a password.");
    st = store_run(w->s, SQL_USER_PASSWORD, BINDS(B_I(user.num), B_S(req->password_hash)), w->err);
    if (st == ST_OK)
        st = sessions_end_others(w, user.num, req->session_id, &rep->sessions);
    return st == ST_OK ? audit_add(w, &note) : st;
}
