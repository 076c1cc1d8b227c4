/* Sign-up, sign-in, accounts made by an administrator, new passwords: what needs a hash, so it runs on the worker. */
#include <string.h>

#include <sodium.h>

#include "authsvc/authsvc.h"
#include "authsvc/password.h"
#include "services/clock.h"

struct account_job {
    struct worker_job job; /* first member */
    struct svc_call *call;
    struct authsvc *self;
    const void *in;
    enum status (*work)(struct account_job *j);
    char email[LIMIT_EMAIL + 1]; /* whose password it is; empty = nobody has asked yet */
};

static void run(struct worker_job *job, bool closing)
{
    struct account_job *j = (struct account_job *)(void *)job;
    enum status st = ST_DRAINING;

    if (atomic_load(&j->self->stopped))
        return;
    if (!closing)
        st = svc_remaining_ms(j->call) ? j->work(j) : ST_TIMEOUT; /* nobody waits for it: no hash */
    authsvc_finish(j->call, st);
}

/* email: as the request has it; NULL = it has none. */
static enum status begin(struct svc_call *call, const void *in, const struct slice *email,
                         enum status (*work)(struct account_job *j))
{
    struct account_job *j = arena_alloc(call->arena, sizeof(*j));
    enum status st = ST_OK;

    if (!j)
        return ST_NO_MEMORY;
    *j = (struct account_job){.job = {.run = run}, .call = call, .self = authsvc_of(call), .in = in, .work = work};
    if (email)
        st = password_email(*email, j->email, &call->err);
    if (st != ST_OK)
        return st;
    st = worker_add(j->self->worker, &j->job, &call->err);
    return st == ST_OK ? ST_PENDING : st;
}

static enum status ask_meterd(struct account_job *j, const struct wire_desc *req_desc, const void *req,
                              const struct wire_desc *rep_desc, void *rep)
{
    return call_wait(svc_peer(j->call->svc, SVC_METERD), req_desc, req, rep_desc, rep, j->call->arena,
                     AUTHSVC_METERD_MS, &j->call->err);
}

static enum status check_throttle(struct account_job *j, struct slice client_ip)
{
    enum status st = throttle_check(&j->self->throttle, slice_of(j->email), client_ip, clock_ms(), &j->call->err);

    if (st == ST_OK)
        return st;
    metric_add(j->self->logins[LOGIN_THROTTLED], 1);
    authsvc_saw(j->call, SECURITY_LOGIN_THROTTLED, slice_of(j->email), client_ip);
    return st;
}

/* ---- accounts are made --------------------------------------------------------------------------------------------
 */

static enum status make_user(struct account_job *j, struct slice password, struct user_put_req *put,
                             struct user_rep *rep)
{
    char hash[PASSWORD_HASH_SIZE];
    enum status st = password_hash(password, hash, &j->call->err);

    if (st != ST_OK)
        return st;
    put->email = slice_of(j->email);
    put->password_hash = slice_of(hash);
    st = ask_meterd(j, &user_put_req_desc, put, &user_rep_desc, rep);
    sodium_memzero(hash, sizeof(hash));
    if (st == ST_OK && rep->user.n == 0)
        st = err_set(&j->call->err, ST_INTERNAL, "the account was not made");
    return st;
}

static enum status open_session(struct account_job *j, const struct user *user)
{
    struct session_put_req put = {.user_id = user->id};
    struct token_pair pair;
    struct empty done;
    enum status st;

    authsvc_token_pair(&pair, true);
    put.session_id = slice_of(pair.session_id);
    put.refresh_digest = (struct slice){(const char *)pair.digest, sizeof(pair.digest)};
    put.expires_at = pair.refresh_expires_at;
    st = ask_meterd(j, &session_put_req_desc, &put, &empty_desc, &done);
    if (st == ST_OK)
        st = authsvc_answer_tokens(j->call, user, &pair, svc_out(j->call));
    sodium_memzero(&pair, sizeof(pair));
    return st;
}

static enum status work_register(struct account_job *j)
{
    const struct register_req *req = j->in;
    const struct settings *settings = svc_settings(j->call->svc);
    struct user_put_req put = {.name = req->name,
                               .role = slice_of("user"),
                               .plan = slice_of(settings->signup_plan),
                               .credit_nano = j->self->signup_credit_nano,
                               .code = req->code};
    struct session_rep *rep = svc_out(j->call);
    struct user_rep made;
    enum status st = req->code.n ? check_throttle(j, req->client_ip) : ST_OK;

    if (st == ST_OK)
        st = make_user(j, req->password, &put, &made);
    if (st == ST_NOT_FOUND) /* the code: guesses are as bounded as those of passwords */
        throttle_failed(&j->self->throttle, slice_of(j->email), req->client_ip, clock_ms());
    if (st != ST_OK)
        return st;
    rep->revision = made.revision;
    return open_session(j, &made.user.items[0]);
}

enum status authsvc_register(struct svc_call *call, const void *in, void *out)
{
    const struct register_req *req = in;
    enum status st;

    (void)out;
    if (!authsvc_of(call)->signup_open)
        return err_set_field(&call->err, ST_FORBIDDEN, "signup_closed", NULL,
                             "Sign-up is closed: ask an administrator to make your account.");
    if (authsvc_of(call)->signup_invite && req->code.n == 0)
        return err_set_field(&call->err, ST_FORBIDDEN, "code_required", "code",
                             "Sign-up is by invitation: send the code that an administrator gave you as 'code'.");
    st = password_rules(req->password, "password", &call->err);
    return st == ST_OK ? begin(call, in, &req->email, work_register) : st;
}

static enum status work_admin_user_create(struct account_job *j)
{
    const struct admin_user_create_req *req = j->in;
    struct user_put_req put = {
        .actor_id = req->actor_id,
        .name = req->name,
        .role = req->role.n ? req->role : slice_of("user"),
        .plan = req->plan.n ? req->plan : slice_of(svc_settings(j->call->svc)->signup_plan),
    };

    return make_user(j, req->password, &put, svc_out(j->call));
}

static enum status check_admin(struct svc_call *call, struct slice actor_id)
{
    bool admin = false;
    enum status st = admission_user(&authsvc_of(call)->admission, actor_id, &admin, &call->err);

    if (st == ST_OK && !admin)
        return err_set(&call->err, ST_FORBIDDEN, "Only an administrator may do this.");
    return st;
}

enum status authsvc_admin_user_create(struct svc_call *call, const void *in, void *out)
{
    const struct admin_user_create_req *req = in;
    enum status st = check_admin(call, req->actor_id);

    (void)out;
    if (st != ST_OK)
        return st;
    if (req->role.n && !slice_is(req->role, "user") && !slice_is(req->role, "admin"))
        return err_set_field(&call->err, ST_BAD_REQUEST, "invalid_value", "role",
                             "Invalid 'role': expected one of user, admin.");
    st = password_rules(req->password, "password", &call->err);
    return st == ST_OK ? begin(call, in, &req->email, work_admin_user_create) : st;
}

/* ---- whose password is it? ----------------------------------------------------------------------------------------
 */

/* Counted, wherever it was said. field: of the request, NULL = none alone. */
static enum status wrong_password(struct account_job *j, struct slice client_ip, const char *event, const char *field,
                                  const char *text)
{
    metric_add(j->self->logins[LOGIN_REFUSED], 1);
    throttle_failed(&j->self->throttle, slice_of(j->email), client_ip, clock_ms());
    authsvc_saw(j->call, SECURITY_LOGIN_FAILED, slice_of(j->email), client_ip);
    log_event(svc_log(j->call->svc), LOG_WARN, LOG_NO_REQ, event, LOG_C("email", j->email),
              LOG_S("client_ip", client_ip));
    return err_set_field(&j->call->err, ST_UNAUTHENTICATED, "invalid_credentials", field, "%s", text);
}

/* *ret: the user of j->email when the password is his, else NULL, after as long a time. The throttle is looked at again
 * here: those who waited in the queue may have failed meanwhile. */
static enum status find_user(struct account_job *j, struct slice client_ip, struct slice password,
                             const struct user **ret)
{
    struct user_auth_req auth = {.email = slice_of(j->email)};
    struct user_auth_rep found = {.has = 0};
    const struct user *user = NULL;
    enum status st = check_throttle(j, client_ip);

    *ret = NULL;
    if (st == ST_OK)
        st = ask_meterd(j, &user_auth_req_desc, &auth, &user_auth_rep_desc, &found);
    if (st != ST_OK && st != ST_NOT_FOUND)
        return st;
    if (st == ST_OK && found.user.n)
        user = found.user.items;
    memset(&j->call->err, 0, sizeof(j->call->err));
    if (password_verify(user ? found.password_hash : (struct slice){NULL, 0}, password))
        *ret = user;
    return ST_OK;
}

/* What the right password is good for, too: its failures are forgotten. */
static enum status let_in(struct account_job *j, const struct user *user, struct slice client_ip)
{
    if (!slice_is(user->status, "active"))
        return err_set_field(&j->call->err, ST_FORBIDDEN, "account_deactivated", NULL, "The account is disabled.");
    throttle_passed(&j->self->throttle, slice_of(j->email), client_ip);
    return ST_OK;
}

/* ---- sign-in ------------------------------------------------------------------------------------------------------
 */

static enum status work_login(struct account_job *j)
{
    const struct login_req *req = j->in;
    const struct user *user = NULL;
    enum status st = find_user(j, req->client_ip, req->password, &user);

    if (st != ST_OK)
        return st;
    if (!user)
        return wrong_password(j, req->client_ip, "login_failed", NULL, "Incorrect e-mail address or password.");
    st = let_in(j, user, req->client_ip);
    if (st == ST_OK)
        st = open_session(j, user);
    if (st == ST_OK)
        metric_add(j->self->logins[LOGIN_OK], 1);
    return st;
}

enum status authsvc_login(struct svc_call *call, const void *in, void *out)
{
    const struct login_req *req = in;
    struct account_job probe = {.call = call, .self = authsvc_of(call)};
    enum status st = password_email(req->email, probe.email, &call->err);

    (void)out;
    if (st == ST_OK)
        st = check_throttle(&probe, req->client_ip); /* before the queue: who is throttled takes nobody's place */
    return st == ST_OK ? begin(call, in, &req->email, work_login) : st;
}

/* ---- new passwords ------------------------------------------------------------------------------------------------
 */

/* The one worker does a sign-in and a change one after the other, so no session is made by a password that is gone. */
static enum status set_password(struct account_job *j, struct slice password, struct user_password_req *put)
{
    struct user_password_rep rep = {.has = 0};
    char hash[PASSWORD_HASH_SIZE];
    enum status st = password_hash(password, hash, &j->call->err);
    size_t i;

    if (st != ST_OK)
        return st;
    put->password_hash = slice_of(hash);
    st = ask_meterd(j, &user_password_req_desc, put, &user_password_rep_desc, &rep);
    sodium_memzero(hash, sizeof(hash));
    if (st != ST_OK)
        return st;
    for (i = 0; i < rep.sessions.n; i++)
        ended_add(&j->self->ended, rep.sessions.items[i], clock_ms());
    return ST_OK;
}

static enum status find_email(struct account_job *j, struct slice user_id)
{
    struct user_get_req get = {.id = user_id};
    struct user_rep rep = {.has = 0};
    enum status st = ask_meterd(j, &user_get_req_desc, &get, &user_rep_desc, &rep);

    if (st == ST_OK && (rep.user.n == 0 || !slice_copy(rep.user.items[0].email, j->email, sizeof(j->email))))
        st = err_set(&j->call->err, ST_INTERNAL, "the user has no address");
    return st;
}

static enum status work_password_change(struct account_job *j)
{
    const struct password_change_req *req = j->in;
    struct user_password_req put = {.actor_id = req->actor_id, .id = req->actor_id, .session_id = req->session_id};
    const struct user *user = NULL;
    enum status st = find_email(j, req->actor_id);

    if (st == ST_OK)
        st = find_user(j, req->client_ip, req->current_password, &user);
    if (st != ST_OK)
        return st;
    if (!user)
        return wrong_password(j, req->client_ip, "password_change_failed", "current_password",
                              "Incorrect current password.");
    st = let_in(j, user, req->client_ip);
    return st == ST_OK ? set_password(j, req->new_password, &put) : st;
}

enum status authsvc_password_change(struct svc_call *call, const void *in, void *out)
{
    const struct password_change_req *req = in;
    enum status st = password_rules(req->new_password, "new_password", &call->err);

    (void)out;
    return st == ST_OK ? begin(call, in, NULL, work_password_change) : st;
}

static enum status work_admin_password(struct account_job *j)
{
    const struct admin_password_req *req = j->in;
    struct user_password_req put = {.actor_id = req->actor_id, .id = req->id};

    return set_password(j, req->password, &put);
}

enum status authsvc_admin_password(struct svc_call *call, const void *in, void *out)
{
    const struct admin_password_req *req = in;
    enum status st = check_admin(call, req->actor_id);

    (void)out;
    if (st == ST_OK)
        st = password_rules(req->password, "password", &call->err);
    return st == ST_OK ? begin(call, in, NULL, work_admin_password) : st;
}
