/* Sessions: the tokens they consist of, how they are renewed, checked and ended. meterd keeps them. */
#include <string.h>

#include "authsvc/authsvc.h"
#include "authsvc/tokens.h"
#include "services/clock.h"
#include "services/ids.h"

#define SESSION_ID_BYTES 16

void authsvc_token_pair(struct token_pair *pair, bool with_session_id)
{
    memset(pair, 0, sizeof(*pair));
    if (with_session_id)
        id_make(pair->session_id, "ses_", SESSION_ID_BYTES);
    tokens_random(pair->refresh);
    tokens_digest(slice_of(pair->refresh), pair->digest);
    pair->refresh_expires_at = clock_wall_ms() / 1000 + TOKENS_REFRESH_S;
}

static enum status copy_user(struct arena *arena, const struct user *from, struct session_rep *rep)
{
    struct user *user = arena_alloc(arena, sizeof(*user));
    enum status st = ST_OK;

    if (!user)
        return ST_NO_MEMORY;
    *user = *from;
    user->id = arena_copy(arena, from->id, &st);
    if (st == ST_OK)
        user->email = arena_copy(arena, from->email, &st);
    if (st == ST_OK)
        user->name = arena_copy(arena, from->name, &st);
    if (st == ST_OK)
        user->role = arena_copy(arena, from->role, &st);
    if (st == ST_OK)
        user->plan = arena_copy(arena, from->plan, &st);
    if (st == ST_OK)
        user->status = arena_copy(arena, from->status, &st);
    rep->user.items = user;
    rep->user.n = 1;
    return st;
}

enum status authsvc_answer_tokens(struct svc_call *call, const struct user *user, const struct token_pair *pair,
                                  struct session_rep *rep)
{
    struct token_claims claims;
    char *access = NULL;
    enum status st;

    if (!slice_copy(user->id, claims.user_id, sizeof(claims.user_id)) ||
        !slice_copy(slice_of(pair->session_id), claims.session_id, sizeof(claims.session_id)))
        return err_set(&call->err, ST_INTERNAL, "an id is too long");
    st = tokens_sign(svc_settings(call->svc)->jwt_secret, &claims, clock_wall_ms() / 1000, &access, &call->err);
    if (st != ST_OK)
        return st;
    rep->access_token = arena_copy(call->arena, slice_of(access), &st);
    tokens_free(access);
    if (st == ST_OK)
        rep->refresh_token = arena_copy(call->arena, slice_of(pair->refresh), &st);
    if (st == ST_OK)
        st = copy_user(call->arena, user, rep);
    rep->token_type = slice_of("Bearer");
    rep->expires_in = TOKENS_ACCESS_S;
    return st;
}

/* ---- refresh ------------------------------------------------------------------------------------------------------
 */

static enum status not_valid(struct svc_call *call)
{
    return err_set_field(&call->err, ST_UNAUTHENTICATED, "invalid_token", NULL,
                         "The refresh token is not valid any more. Log in again.");
}

/* Of two who hold the token one is a thief, and nobody knows which: the access tokens of both end, too. */
static enum status reused(struct svc_call *call, const struct session_rotate_rep *rotated, struct slice client_ip)
{
    struct slice session_id = rotated->session_id;

    ended_add(&authsvc_of(call)->ended, session_id, clock_ms());
    authsvc_saw(call, SECURITY_REFRESH_TOKEN_REUSED, rotated->user.n ? rotated->user.items[0].id : session_id,
                client_ip);
    log_event(svc_log(call->svc), LOG_WARN, LOG_NO_REQ, "refresh_token_reused", LOG_S("session_id", session_id));
    return not_valid(call);
}

struct refreshing {
    struct token_pair *pair;
    struct slice client_ip; /* of the request, which lives as long as the call */
};

static enum status refreshed(struct svc_call *call, enum status st, const void *reply, void *ctx)
{
    const struct session_rotate_rep *rotated = reply;
    const struct refreshing *r = ctx;
    struct token_pair *pair = r->pair;

    if (st == ST_NOT_FOUND || st == ST_UNAUTHENTICATED || st == ST_CONFLICT)
        return not_valid(call);
    if (st != ST_OK)
        return st;
    if (rotated->reused)
        return reused(call, rotated, r->client_ip);
    if (rotated->user.n == 0 || !slice_copy(rotated->session_id, pair->session_id, sizeof(pair->session_id)))
        return err_set(&call->err, ST_INTERNAL, "the session has no user");
    if (!slice_is(rotated->user.items[0].status, "active"))
        return err_set_field(&call->err, ST_UNAUTHENTICATED, "account_deactivated", NULL, "The account is disabled.");
    return authsvc_answer_tokens(call, &rotated->user.items[0], pair, svc_out(call));
}

enum status authsvc_refresh(struct svc_call *call, const void *in, void *out)
{
    const struct refresh_req *req = in;
    struct token_pair *pair = arena_alloc(call->arena, sizeof(*pair));
    struct refreshing *r = arena_alloc(call->arena, sizeof(*r));
    unsigned char digest[LIMIT_DIGEST];
    struct session_rotate_req rotate = {.has = 0};
    struct authsvc_ask ask = {&session_rotate_req_desc, &session_rotate_rep_desc, &rotate, refreshed, r};

    (void)out;
    if (!pair || !r)
        return ST_NO_MEMORY;
    *r = (struct refreshing){pair, req->client_ip};
    authsvc_token_pair(pair, false);
    tokens_digest(req->refresh_token, digest);
    rotate.refresh_digest = (struct slice){(const char *)digest, sizeof(digest)};
    rotate.new_digest = (struct slice){(const char *)pair->digest, sizeof(pair->digest)};
    rotate.expires_at = pair->refresh_expires_at;
    return authsvc_ask(call, &ask);
}

/* ---- logout -------------------------------------------------------------------------------------------------------
 */

static enum status logged_out(struct svc_call *call, enum status st, const void *reply, void *ctx)
{
    (void)call;
    (void)reply;
    (void)ctx;
    return st == ST_NOT_FOUND ? ST_OK : st; /* ended before is ended */
}

enum status authsvc_logout(struct svc_call *call, const void *in, void *out)
{
    const struct logout_req *req = in;
    struct session_end_req end = {.session_id = req->session_id};
    struct authsvc_ask ask = {&session_end_req_desc, &empty_desc, &end, logged_out, NULL};

    (void)out;
    ended_add(&authsvc_of(call)->ended, req->session_id, clock_ms());
    return authsvc_ask(call, &ask);
}

/* ---- check --------------------------------------------------------------------------------------------------------
 */

enum status authsvc_session_check(struct svc_call *call, const void *in, void *out)
{
    const struct session_check_req *req = in;
    struct session_check_rep *rep = out;
    struct authsvc *self = authsvc_of(call);
    struct token_claims claims;
    bool admin = false;
    enum status st = tokens_verify(svc_settings(call->svc)->jwt_secret, req->access_token, clock_wall_ms() / 1000,
                                   &claims, &call->err);

    if (st != ST_OK)
        return st;
    if (ended_has(&self->ended, slice_of(claims.session_id)))
        return err_set_field(&call->err, ST_UNAUTHENTICATED, "invalid_token", NULL, "The session has ended.");
    st = admission_user(&self->admission, slice_of(claims.user_id), &admin, &call->err);
    if (st != ST_OK)
        return st;
    rep->role = slice_of(admin ? "admin" : "user");
    rep->user_id = arena_copy(call->arena, slice_of(claims.user_id), &st);
    if (st == ST_OK)
        rep->session_id = arena_copy(call->arena, slice_of(claims.session_id), &st);
    return st;
}
