/* Admission in two steps, for several authsvc whose counters are kept where all of them see them. */
#include <string.h>

#include "authsvc/admission_private.h"
#include "proto/money.h"

/* ---- here or elsewhere -------------------------------------------------------------------------------------------
 */

static void begin_anew(struct admission *a)
{
    struct table_node *node;
    size_t cursor = 0;

    while ((node = table_next(&a->state.users, &cursor)) != NULL)
        ((struct proj_user *)(void *)node)->held_nano = 0;
    for (cursor = 0; (node = table_next(&a->state.keys, &cursor)) != NULL;) {
        struct proj_key *key = (struct proj_key *)(void *)node;

        key->held_nano = 0;
        key->running = 0;
        key->requests = key->tokens = (struct bucket){.limit = 0};
    }
}

/* What cannot be added is beyond all bounds, and was refused where it was held. */
static void count(struct admission *a, const struct hold *hold)
{
    struct proj_user *user = projection_held_user(&a->state, hold->user_id);
    struct proj_key *key = admission_key_of(a, hold);

    if (user)
        (void)money_add(user->held_nano, hold->amount_nano, &user->held_nano);
    if (!key)
        return;
    (void)money_add(key->held_nano, hold->amount_nano, &key->held_nano);
    key->running += hold->running;
}

void admission_share(struct admission *a, bool shared)
{
    struct hold *hold;

    pthread_mutex_lock(&a->lock);
    if (a->shared && !shared) {
        begin_anew(a);
        for (hold = a->holds.oldest; hold; hold = hold->newer)
            count(a, hold);
    }
    a->shared = shared;
    pthread_mutex_unlock(&a->lock);
}

void admission_each_hold(struct admission *a, uint64_t now_ms, void (*each)(void *ctx, const struct hold_state *hold),
                         void *ctx)
{
    const struct hold *hold;

    pthread_mutex_lock(&a->lock);
    for (hold = a->holds.oldest; hold; hold = hold->newer) {
        struct hold_state state = {.request_id = hold->node.key,
                                   .user_id = hold->user_id,
                                   .key_id = hold->key_id,
                                   .amount_nano = hold->amount_nano,
                                   .lease_ms = hold->expires_ms > now_ms ? hold->expires_ms - now_ms : 0,
                                   .running = hold->running};

        each(ctx, &state);
    }
    pthread_mutex_unlock(&a->lock);
}

/* ---- two steps ----------------------------------------------------------------------------------------------------
 */

enum status admission_propose(struct admission *a, const struct admission_env *env, const struct admit_req *req,
                              struct taking *t, struct admit_rep *rep, struct err *err)
{
    struct hold *hold;
    enum status st;

    *t = (struct taking){.hold = NULL};
    pthread_mutex_lock(&a->lock);
    st = admission_ready(a, err);
    if (st == ST_OK && !admission_seen(a, env, req, err, &st)) {
        st = admission_decide(a, env, req, t, err);
    } else if (st == ST_OK) {
        hold = holds_find(&a->holds, req->request_id);
        st = hold ? admission_answer(hold, env, rep) : err_set(err, ST_CONFLICT, "The request id was used before.");
    }
    pthread_mutex_unlock(&a->lock);
    return st;
}

void admission_learn(struct admission *a, uint64_t now_ms, const struct taking *t, const struct counters *c)
{
    struct proj_user *user;
    struct proj_key *key;

    pthread_mutex_lock(&a->lock);
    user = projection_any_user(&a->state, t->user_id);
    key = projection_find_key(&a->state, t->key_id);
    if (user && a->shared) {
        user->held_nano = c->held_nano;
        proj_user_balance(user, c->balance_nano, c->revision);
    }
    if (key && a->shared) {
        key->held_nano = c->key_held_nano;
        key->running = c->running;
        if (t->rpm)
            key->requests = (struct bucket){c->requests_level, t->rpm, now_ms};
        if (t->tpm)
            key->tokens = (struct bucket){c->tokens_level, t->tpm, now_ms};
        proj_key_spent(key, c->spent_nano, c->period_end, 0);
    }
    pthread_mutex_unlock(&a->lock);
}

enum status admission_conclude(struct admission *a, const struct admission_env *env, struct taking *t,
                               struct admit_rep *rep, struct err *err)
{
    struct hold *hold = t->hold, *before;
    const struct proj_key *key;
    enum status st;

    t->hold = NULL;
    pthread_mutex_lock(&a->lock);
    key = projection_find_key(&a->state, t->key_id);
    if (key)
        admission_limits(&key->requests, &key->tokens, t->rpm, t->tpm, env->limits);
    before = holds_find(&a->holds, t->request_id); /* asked twice: this is the newer answer */
    if (before)
        holds_remove(&a->holds, before);
    st = holds_join(&a->holds, hold);
    if (st == ST_OK)
        st = admission_answer(hold, env, rep);
    if (st != ST_OK) {
        hold = holds_find(&a->holds, t->request_id);
        if (hold)
            holds_remove(&a->holds, hold);
        err_set(err, st, "Too many calls are running.");
    }
    pthread_mutex_unlock(&a->lock);
    return st;
}

void admission_withdraw(struct admission *a, struct taking *t)
{
    if (!t->hold)
        return;
    pthread_mutex_lock(&a->lock); /* its model and prices are counted */
    hold_free(t->hold);
    pthread_mutex_unlock(&a->lock);
    t->hold = NULL;
}

void admission_refused(struct admission *a, struct slice request_id, const struct err *err,
                       const struct rate_limits *limits)
{
    if (!admission_by_counters(err->status))
        return;
    pthread_mutex_lock(&a->lock);
    holds_remember(&a->holds, request_id, err, limits);
    pthread_mutex_unlock(&a->lock);
}
