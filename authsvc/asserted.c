/* Holds that others know of: asserted after a restart of ours, grown while their calls run, shown to administrators. */
#include <string.h>

#include "authsvc/admission_private.h"
#include "proto/money.h"

#define HOLDS_PAGE_DEFAULT 100u
#define HOLDS_LOOK_MAX 20000u /* holds looked at for one page: admission waits meanwhile */

/* ---- assertions ---------------------------------------------------------------------------------------------------
 */

/* More is held of the user's credit and, when the key is known, of its budget; false when that is beyond all bounds. */
static bool hold_more(struct admission *a, struct hold *hold, struct proj_user *user, int64_t by_nano)
{
    struct proj_key *key = admission_key_of(a, hold);
    int64_t held = 0, of_key = 0;

    if (!money_add(user->held_nano, by_nano, &held) || (key && !money_add(key->held_nano, by_nano, &of_key)))
        return false;
    if (!a->shared) {
        user->held_nano = held;
        if (key)
            key->held_nano = of_key;
    }
    holds_grow(&a->holds, hold, by_nano);
    return true;
}

/* Whoever knows the key's digest lets the call have its place among the key's concurrent ones, and its hold count in
 * the key's budget. Which key that is says its id: a rotation may have replaced the secret that the call came with. */
static void learn_key(struct admission *a, struct hold *hold, const struct hold_state *told)
{
    struct proj_key *key;
    int64_t held = 0;

    if (told->key_digest.n != LIMIT_DIGEST || (hold->of_key && (hold->placed || !told->running)))
        return;
    key = projection_running_key(&a->state, hold->key_id);
    if (!hold->of_key) {
        if (key && !money_add(key->held_nano, hold->amount_nano, &held))
            return;
        hold->of_key = true;
        if (key && !a->shared)
            key->held_nano = held;
    }
    if (!key || !told->running)
        return;
    if (!a->shared)
        key->running++;
    hold->running = hold->placed = true;
}

/* It is made with nothing in it, then grows as one that was known would. */
static enum status make(struct admission *a, uint64_t now_ms, const struct hold_state *told, struct hold **ret)
{
    struct hold hold = {.user_id = told->user_id, .key_id = told->key_id, .began_ms = now_ms, .asserted = true};
    enum status st = holds_add(&a->holds, told->request_id, &hold);

    if (st == ST_OK)
        *ret = holds_find(&a->holds, told->request_id);
    return st;
}

enum status admission_take_over(struct admission *a, uint64_t now_ms, const struct hold_state *told)
{
    uint64_t expires_ms = now_ms + told->lease_ms + (told->running ? a->grace_ms : 0);
    struct hold *hold = holds_find(&a->holds, told->request_id);
    struct proj_user *user = NULL;
    enum status st = ST_OK;

    if (!hold && holds_ended(&a->holds, told->request_id))
        return ST_OK;
    if (!hold)
        st = make(a, now_ms, told, &hold);
    if (st == ST_OK && hold->expires_ms < expires_ms)
        hold->expires_ms = expires_ms;
    if (st == ST_OK && told->amount_nano > hold->amount_nano) {
        user = projection_held_user(&a->state, hold->user_id);
        if (!user || !hold_more(a, hold, user, told->amount_nano - hold->amount_nano))
            st = ST_NO_MEMORY;
    }
    if (st == ST_OK)
        learn_key(a, hold, told);
    if (st == ST_OK && a->ears.asserted)
        a->ears.asserted(a->ears.ctx, told, expires_ms - now_ms);
    return st;
}

enum status admission_assert(struct admission *a, uint64_t now_ms, const struct hold_state *told)
{
    enum status st;

    pthread_mutex_lock(&a->lock);
    st = admission_take_over(a, now_ms, told);
    pthread_mutex_unlock(&a->lock);
    return st;
}

void admission_settled_before(struct admission *a, const struct settled *s, uint64_t revision)
{
    struct hold *hold;

    pthread_mutex_lock(&a->lock);
    hold = holds_find(&a->holds, s->request_id);
    if (hold && hold->asserted)
        admission_release(a, hold);
    holds_remember(&a->holds, s->request_id, NULL, NULL);
    if (a->ears.settled)
        a->ears.settled(a->ears.ctx, s, (struct slice){NULL, 0}, revision);
    pthread_mutex_unlock(&a->lock);
}

/* ---- growth -------------------------------------------------------------------------------------------------------
 */

/* How much more the user's credit and the key's budget bear. */
static int64_t room_of(const struct proj_user *user, const struct proj_key *key, uint64_t wall_s)
{
    int64_t left = key ? proj_key_left(key, wall_s) : INT64_MAX, available = 0;

    if (!user || !user->active || !money_add(user->balance_nano, -user->held_nano, &available))
        return 0;
    if (available > left)
        available = left;
    return available > 0 ? available : 0;
}

enum status admission_extend(struct admission *a, uint64_t wall_s, const struct hold_extend_req *req,
                             struct hold_extend_rep *rep, struct err *err)
{
    struct hold *hold;
    enum status st;

    pthread_mutex_lock(&a->lock);
    st = admission_ready(a, err);
    hold = st == ST_OK ? holds_find(&a->holds, req->request_id) : NULL;
    if (st == ST_OK && !hold)
        st = err_set(err, ST_NOT_FOUND, "No credit is held for this request.");
    if (hold && req->amount_nano > hold->amount_nano) {
        struct proj_user *user = projection_find_user(&a->state, hold->user_id);
        int64_t more = req->amount_nano - hold->amount_nano;
        int64_t room = room_of(user, admission_key_of(a, hold), wall_s);

        if (room > 0)
            (void)hold_more(a, hold, user, more < room ? more : room);
    }
    if (hold)
        rep->amount_nano = hold->amount_nano;
    pthread_mutex_unlock(&a->lock);
    return st;
}

/* ---- the list -----------------------------------------------------------------------------------------------------
 */

static enum status show(const struct hold *hold, const struct admission_env *env, struct hold_state *to)
{
    enum status st = ST_OK;

    to->request_id = arena_copy(env->arena, hold->node.key, &st);
    if (st == ST_OK)
        to->user_id = arena_copy(env->arena, hold->user_id, &st);
    if (st == ST_OK)
        to->key_id = arena_copy(env->arena, hold->key_id, &st);
    to->amount_nano = hold->amount_nano;
    to->lease_ms = hold->expires_ms > env->now_ms ? hold->expires_ms - env->now_ms : 0;
    to->running = hold->running;
    return st;
}

enum status admission_holds(struct admission *a, const struct admission_env *env, const struct holds_list_req *req,
                            struct holds_list_rep *rep)
{
    size_t max = req->limit ? (size_t)req->limit : HOLDS_PAGE_DEFAULT, n = 0, looked = 0;
    struct hold_state *items = arena_alloc(env->arena, max * sizeof(*items));
    enum status st = items ? ST_OK : ST_NO_MEMORY;
    const struct hold *hold;

    pthread_mutex_lock(&a->lock);
    for (hold = a->holds.oldest; hold && n < max && looked++ < HOLDS_LOOK_MAX && st == ST_OK; hold = hold->newer)
        if (req->actor_id.n == 0 || slice_eq(req->actor_id, hold->user_id))
            st = show(hold, env, &items[n++]);
    rep->open = a->holds.open.n;
    rep->held_nano = a->holds.total_nano;
    pthread_mutex_unlock(&a->lock);
    rep->data.items = items;
    rep->data.n = n;
    return st;
}
