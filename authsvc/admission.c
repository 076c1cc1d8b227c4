#include "authsvc/admission.h"

#include <string.h>

#include "authsvc/admission_private.h"

void admission_init(struct admission *a, bool unpriced_free, uint64_t grace_ms)
{
    memset(a, 0, sizeof(*a));
    pthread_mutex_init(&a->lock, NULL);
    projection_init(&a->state);
    holds_init(&a->holds);
    a->unpriced_free = unpriced_free;
    a->batch_percent = ADMISSION_BATCH_PERCENT;
    a->grace_ms = grace_ms;
}

void admission_fini(struct admission *a)
{
    holds_fini(&a->holds);
    projection_fini(&a->state);
    pthread_mutex_destroy(&a->lock);
}

/* ---- the end of a call --------------------------------------------------------------------------------------------
 */

struct proj_key *admission_key_of(const struct admission *a, const struct hold *hold)
{
    if (hold->key && hold->keys_dropped == a->state.keys_dropped)
        return hold->key;
    return hold->of_key ? projection_find_key(&a->state, hold->key_id) : NULL;
}

static void free_place(struct admission *a, struct hold *hold)
{
    struct proj_key *key;

    if (!hold->running)
        return;
    hold->running = false;
    key = a->shared ? NULL : admission_key_of(a, hold);
    if (key && key->running > 0)
        key->running--;
}

void admission_release(struct admission *a, struct hold *hold)
{
    struct proj_user *user = projection_any_user(&a->state, hold->user_id);
    struct proj_key *key = admission_key_of(a, hold);

    free_place(a, hold);
    if (user && !a->shared)
        user->held_nano -= hold->amount_nano;
    if (key && !a->shared) /* a key that was forgotten meanwhile has forgotten it, too */
        key->held_nano = key->held_nano > hold->amount_nano ? key->held_nano - hold->amount_nano : 0;
    holds_remove(&a->holds, hold);
}

void admission_done(struct admission *a, struct slice request_id)
{
    struct hold *hold;

    pthread_mutex_lock(&a->lock);
    hold = holds_find(&a->holds, request_id);
    if (hold)
        free_place(a, hold);
    pthread_mutex_unlock(&a->lock);
}

/* The hold goes and the balance comes in one step: nobody can see credit that is neither held nor taken. The id is
 * remembered also when we knew no hold: who asserts it after a restart of ours may not know yet that it is settled. */
static void apply_settled(struct admission *a, const struct settled *s, uint64_t revision)
{
    struct proj_user *user = projection_any_user(&a->state, s->user_id);
    struct hold *hold = holds_find(&a->holds, s->request_id);
    struct proj_secret *secret = s->key_digest.n ? projection_find_secret(&a->state, s->key_digest) : NULL;

    if (hold) {
        struct proj_key *key = admission_key_of(a, hold);

        if (key && hold->tokens_reserved && !a->shared)
            bucket_correct(&key->tokens, hold->tokens_reserved, s->tokens);
        admission_release(a, hold);
    }
    holds_remember(&a->holds, s->request_id, NULL, NULL);
    if (user)
        proj_user_balance(user, s->balance_nano, revision);
    if (secret)
        proj_key_spent(secret->key, s->key_spent_nano, s->key_period_end, revision);
    if (a->ears.settled)
        a->ears.settled(a->ears.ctx, s, secret ? secret->key->at.node.key : (struct slice){NULL, 0}, revision);
}

size_t admission_expire(struct admission *a, uint64_t now_ms, size_t slots)
{
    struct hold *hold;
    size_t n = 0;

    pthread_mutex_lock(&a->lock);
    while ((hold = holds_expired(&a->holds, now_ms, &slots)) != NULL) {
        if (a->ears.lapsed && !a->shared) /* else it ends where it is kept */
            a->ears.lapsed(a->ears.ctx, hold, now_ms);
        admission_release(a, hold);
        n++;
    }
    pthread_mutex_unlock(&a->lock);
    return n;
}

/* ---- the state feed -----------------------------------------------------------------------------------------------
 */

void admission_reset(struct admission *a)
{
    pthread_mutex_lock(&a->lock);
    projection_reset(&a->state);
    a->broken = false;
    pthread_mutex_unlock(&a->lock);
}

void admission_applied(struct admission *a)
{
    pthread_mutex_lock(&a->lock);
    projection_applied(&a->state);
    a->loaded = true;
    pthread_mutex_unlock(&a->lock);
}

union record {
    struct user user;
    struct key_state key;
    struct plan plan;
    struct price price;
    struct provider provider;
    struct catalog_model model;
    struct settled settled;
    struct hold_state hold;
};

static const struct wire_desc *desc_of(uint64_t kind)
{
    const struct wire_desc *const descs[] = {&user_desc,     &key_state_desc,     &plan_desc,    &price_desc,
                                             &provider_desc, &catalog_model_desc, &settled_desc, &hold_state_desc};
    size_t i;

    for (i = 0; i < sizeof(descs) / sizeof(descs[0]); i++)
        if (descs[i]->type == kind)
            return descs[i];
    return NULL;
}

/* What the ledger holds for a call that runs longer than a second. So its credit stays held though nobody asserts it
 * who carries the call; its end will be told as any other. */
static enum status hold_of_ledger(struct admission *a, uint64_t now_ms, const struct hold_state *h)
{
    struct hold_state told = *h;

    told.lease_ms += a->grace_ms;
    told.running = false; /* whether it takes a place its gateway knows */
    return admission_take_over(a, now_ms, &told);
}

static enum status apply(struct admission *a, uint64_t now_ms, const struct wire_desc *desc, const union record *r,
                         uint64_t revision)
{
    struct projection *p = &a->state;

    if (desc == &settled_desc) {
        apply_settled(a, &r->settled, revision);
        return ST_OK;
    }
    if (desc == &hold_state_desc)
        return hold_of_ledger(a, now_ms, &r->hold);
    if (desc == &user_desc) {
        if (a->ears.credited && !p->loading)
            a->ears.credited(a->ears.ctx, &r->user, revision);
        return projection_user(p, &r->user, revision);
    }
    if (desc == &key_state_desc)
        return projection_key(p, &r->key, revision);
    if (desc == &plan_desc)
        return projection_plan(p, &r->plan);
    if (desc == &price_desc)
        return projection_price(p, &r->price);
    if (desc == &catalog_model_desc)
        return projection_model(p, &r->model);
    return projection_provider(p, &r->provider);
}

enum status admission_change(struct admission *a, uint64_t now_ms, const struct state_change *change,
                             struct arena *scratch, struct err *err)
{
    const struct wire_desc *desc = desc_of(change->kind);
    struct wire_alloc mem = arena_wire(scratch);
    union record record;
    enum status st;

    if (!desc) /* acks are not for us, and a newer meterd may say more than we know */
        return ST_OK;
    st = wire_decode(desc, change->record.p, change->record.n, &record, &mem, err);
    if (st == ST_BAD_MESSAGE)
        return st;
    pthread_mutex_lock(&a->lock);
    if (st == ST_OK)
        st = apply(a, now_ms, desc, &record, change->revision);
    if (st != ST_OK && st != ST_BAD_MESSAGE)
        a->broken = true;
    pthread_mutex_unlock(&a->lock);
    return st == ST_OK ? st : err_set(err, st, "%s: record cannot be kept", desc->name);
}

/* ---- questions ----------------------------------------------------------------------------------------------------
 */

enum status admission_ready(const struct admission *a, struct err *err)
{
    if (a->loaded && !a->broken)
        return ST_OK;
    err_set(err, ST_UNAVAILABLE, "%s",
            a->broken ? "The router's account state is incomplete." : "The router is still loading its accounts.");
    if (err)
        err->retry_after_ms = ADMISSION_LOADING_RETRY_MS;
    return ST_UNAVAILABLE;
}

static enum status bad_key(const char *code, const char *text, struct err *err)
{
    (void)err_set_field(err, ST_UNAUTHENTICATED, code, NULL, "%s", text);
    return ST_UNAUTHENTICATED;
}

static void suspect(const struct admission_env *env, enum security_kind kind, const struct proj_key *key)
{
    if (!env->suspect)
        return;
    *env->suspect = (struct suspect_key){.found = true, .kind = kind};
    if (key)
        (void)slice_copy(key->at.node.key, env->suspect->id, sizeof(env->suspect->id));
}

/* Why a secret that was one is none any more; NULL = it is one. */
static const char *over(const struct proj_secret *secret, uint64_t wall_s)
{
    if (!secret->key->active)
        return "This API key has been revoked.";
    if (secret->until && wall_s >= secret->until)
        return "This API key has been replaced by a rotation: use the new one.";
    if (secret->key->expires_at && wall_s >= secret->key->expires_at)
        return "This API key has expired.";
    return NULL;
}

/* Where the secret is one that may be used, wherever from. */
static enum status find_key(const struct admission *a, const struct admission_env *env, struct slice digest,
                            struct proj_key **ret, struct err *err)
{
    struct proj_secret *secret = digest.n == LIMIT_DIGEST ? projection_find_secret(&a->state, digest) : NULL;
    const char *why;

    if (!secret) {
        suspect(env, SECURITY_KEY_GUESSING, NULL);
        return bad_key(NULL, "Incorrect API key provided.", err);
    }
    *ret = secret->key;
    why = over(secret, env->wall_s);
    if (!why)
        return ST_OK;
    suspect(env, SECURITY_KEY_REVOKED_USED, secret->key);
    return bad_key(NULL, why, err);
}

static enum status from_elsewhere(const struct proj_key *key, const struct admission_env *env, struct err *err)
{
    suspect(env, SECURITY_IP_NOT_ALLOWED, key);
    return err_set_field(err, ST_FORBIDDEN, "ip_not_allowed", NULL, "This API key may not be used from your address.");
}

enum status admission_caller(const struct admission *a, const struct admission_env *env, const struct shown *shown,
                             struct caller *ret, struct err *err)
{
    enum status st = find_key(a, env, shown->digest, &ret->key, err);

    if (st != ST_OK)
        return st;
    if (!proj_key_admits(ret->key, shown->client_ip))
        return from_elsewhere(ret->key, env, err);
    ret->user = projection_find_user(&a->state, ret->key->user_id);
    if (!ret->user)
        return bad_key(NULL, "Incorrect API key provided.", err);
    if (!ret->user->active)
        return bad_key("account_deactivated", "The account of this API key is disabled.", err);
    ret->plan = projection_find_plan(&a->state, ret->user->plan);
    if (!ret->plan)
        return err_set(err, ST_FORBIDDEN, "The plan '" SLICE_FMT "' of this account does not exist.",
                       SLICE_ARG(ret->user->plan));
    return ST_OK;
}

static void repeat(const struct hold *hold, const struct admission_env *env, struct admit_rep *rep, enum status *st)
{
    rep->user_id = arena_copy(env->arena, hold->user_id, st);
    if (*st == ST_OK)
        rep->key_id = arena_copy(env->arena, hold->key_id, st);
    rep->hold_nano = hold->amount_nano;
    rep->output_limit = hold->output_limit;
    rep->credit_limited = hold->credit_limited;
    rep->prompt_tokens_held = hold->prompt_held;
    rep->by_latency = hold->by_latency;
    rep->price_percent = hold->batch_percent;
    rep->batch_output = hold->batch_output;
}

/* model: what the catalog says of the longest answer goes before what the price says; NULL = not of the catalog. */
static enum status answer_price(const struct proj_price *from, const struct proj_model *model, struct arena *arena,
                                struct call_route *route)
{
    struct price *price;
    enum status st = ST_OK;

    if (!from)
        return ST_OK;
    price = arena_alloc(arena, sizeof(*price));
    if (!price)
        return ST_NO_MEMORY;
    *price = from->price;
    if (model && model->max_output)
        price->max_output = model->max_output;
    price->model = arena_copy(arena, price->model, &st);
    if (st == ST_OK)
        price->provider = arena_copy(arena, price->provider, &st);
    if (st == ST_OK)
        price->mode = arena_copy(arena, price->mode, &st);
    route->price.items = price;
    route->price.n = 1;
    return st;
}

static enum status answer_routes(const struct hold *hold, struct arena *arena, struct admit_rep *rep)
{
    struct call_route *routes = arena_alloc(arena, hold->n_routes * sizeof(*routes));
    enum status st = routes ? ST_OK : ST_NO_MEMORY;
    size_t i;

    for (i = 0; i < hold->n_routes && st == ST_OK; i++) {
        const struct proj_route *from = &hold->routes[i];

        routes[i].tier = from->tier;
        routes[i].weight = from->weight;
        routes[i].provider = arena_copy(arena, from->provider, &st);
        if (st == ST_OK)
            routes[i].upstream_model = arena_copy(arena, from->model, &st);
        if (st == ST_OK && i && from->price == from[-1].price)
            routes[i].price = routes[i - 1].price;
        else if (st == ST_OK)
            st = answer_price(from->price, hold->model, arena, &routes[i]);
    }
    rep->routes.items = routes;
    rep->routes.n = hold->n_routes;
    return st;
}

/* What the hold says, copied while we have the lock: the answer is encoded without it. */
enum status admission_answer(const struct hold *hold, const struct admission_env *env, struct admit_rep *rep)
{
    enum status st = ST_OK;

    repeat(hold, env, rep, &st);
    if (st == ST_OK)
        st = answer_routes(hold, env->arena, rep);
    if (st == ST_OK && env->limits && env->limits->has) {
        struct rate_limits *limits = arena_alloc(env->arena, sizeof(*limits));

        if (!limits)
            return ST_NO_MEMORY;
        *limits = *env->limits;
        rep->limits.items = limits;
        rep->limits.n = 1;
    }
    return st;
}

bool admission_seen(struct admission *a, const struct admission_env *env, const struct admit_req *req, struct err *err,
                    enum status *ret)
{
    const struct hold_memory *ended = holds_ended(&a->holds, req->request_id);
    const struct hold *hold = holds_find(&a->holds, req->request_id);

    if (hold) {
        const struct proj_secret *secret = projection_find_secret(&a->state, req->key_digest);

        *ret = ST_OK;
        if (hold->asserted)
            *ret = err_set(err, ST_CONFLICT, "The request id was used before.");
        else if (!secret || !slice_eq(secret->key->at.node.key, hold->key_id))
            *ret = err_set(err, ST_CONFLICT, "The request id belongs to another key.");
        return true;
    }
    if (!ended)
        return false;
    if (!ended->refusal) {
        *ret = err_set(err, ST_CONFLICT, "The request id was used before.");
        return true;
    }
    if (err)
        *err = ended->refusal->err;
    if (env->limits)
        *env->limits = ended->refusal->limits;
    *ret = ended->refusal->err.status;
    return true;
}

enum status admission_admit(struct admission *a, const struct admission_env *env, const struct admit_req *req,
                            struct admit_rep *rep, struct err *err)
{
    struct err local = {.status = ST_OK};
    enum status st;

    pthread_mutex_lock(&a->lock);
    st = admission_ready(a, &local);
    if (st == ST_OK && !admission_seen(a, env, req, &local, &st)) {
        st = admission_decide(a, env, req, NULL, &local);
        if (admission_by_counters(st))
            holds_remember(&a->holds, req->request_id, &local, env->limits);
    }
    if (st == ST_OK) {
        struct hold *hold = holds_find(&a->holds, req->request_id);

        st = admission_answer(hold, env, rep);
        if (st != ST_OK)
            admission_release(a, hold);
    }
    pthread_mutex_unlock(&a->lock);
    if (st != ST_OK && err)
        *err = local;
    return st;
}

bool admission_loaded(struct admission *a)
{
    bool loaded;

    pthread_mutex_lock(&a->lock);
    loaded = a->loaded;
    pthread_mutex_unlock(&a->lock);
    return loaded;
}

enum status admission_models(struct admission *a, const struct admission_env *env, const struct models_req *req,
                             struct models_rep *rep, struct err *err)
{
    struct shown shown = {req->key_digest, req->client_ip};
    struct caller caller;
    enum status st;

    pthread_mutex_lock(&a->lock);
    st = admission_ready(a, err);
    if (st == ST_OK)
        st = admission_caller(a, env, &shown, &caller, err);
    if (st == ST_OK && !req->key_only) {
        struct model_rights rights = {&caller.key->models, &caller.plan->models};

        if (req->model.n == 0) {
            st = models_list(&a->state, &rights, a->unpriced_free, env->arena, rep);
        } else {
            struct model_info *info = arena_alloc(env->arena, sizeof(*info));
            struct model_routes routes;

            st = info ? models_resolve(&a->state, req->model, a->unpriced_free, &routes, err) : ST_NO_MEMORY;
            if (st == ST_OK && models_allowed(&rights, req->model, &routes, NULL) != ST_OK)
                st = err_set_field(err, ST_NOT_FOUND, "model_not_found", NULL,
                                   "The model does not exist or you do not have access to it.");
            if (st == ST_OK)
                st = models_info(&routes, req->model, env->arena, info);
            rep->data.items = info;
            rep->data.n = 1;
        }
    }
    pthread_mutex_unlock(&a->lock);
    return st;
}

enum status admission_user(struct admission *a, struct slice user_id, bool *ret_admin, struct err *err)
{
    const struct proj_user *user;
    enum status st;

    pthread_mutex_lock(&a->lock);
    st = admission_ready(a, err);
    if (st == ST_OK) {
        user = projection_find_user(&a->state, user_id);
        if (!user)
            st = err_set_field(err, ST_UNAUTHENTICATED, "invalid_token", NULL, "The account does not exist any more.");
        else if (!user->active)
            st = err_set_field(err, ST_UNAUTHENTICATED, "account_deactivated", NULL, "The account is disabled.");
        else
            *ret_admin = user->admin;
    }
    pthread_mutex_unlock(&a->lock);
    return st;
}

static enum status above_plan(const char *field, uint64_t asked, uint64_t limit, struct err *err)
{
    if (limit == 0 || asked <= limit)
        return ST_OK;
    return err_set_field(err, ST_BAD_REQUEST, "integer_above_max_value", field,
                         "Invalid '%s': your plan allows at most %llu.", field, (unsigned long long)limit);
}

static enum status check_key_limits(struct admission *a, struct slice user_id, const struct key_limits *limits,
                                    struct err *err)
{
    const struct proj_user *user = projection_find_user(&a->state, user_id);
    const struct proj_plan *plan = user ? projection_find_plan(&a->state, user->plan) : NULL;
    enum status st;

    if (!user || !user->active || !plan)
        return err_set(err, ST_FORBIDDEN, "The account does not exist, is disabled or has no plan.");
    st = above_plan("rpm", limits->rpm, plan->rpm, err);
    if (st == ST_OK)
        st = above_plan("tpm", limits->tpm, plan->tpm, err);
    if (st == ST_OK)
        st = above_plan("concurrency", limits->concurrency, plan->concurrency, err);
    return st;
}

enum status admission_key_limits(struct admission *a, struct slice user_id, const struct key_limits *limits,
                                 struct err *err)
{
    enum status st;

    pthread_mutex_lock(&a->lock);
    st = admission_ready(a, err);
    if (st == ST_OK)
        st = check_key_limits(a, user_id, limits, err);
    pthread_mutex_unlock(&a->lock);
    return st;
}

int64_t admission_held(struct admission *a, struct slice user_id)
{
    const struct proj_user *user;
    int64_t held;

    pthread_mutex_lock(&a->lock);
    user = projection_any_user(&a->state, user_id);
    held = user ? user->held_nano : 0;
    pthread_mutex_unlock(&a->lock);
    return held;
}

void admission_figures(struct admission *a, uint64_t now_ms, struct admission_figures *ret)
{
    pthread_mutex_lock(&a->lock);
    *ret = (struct admission_figures){
        .holds = a->holds.open.n,
        .held_nano = a->holds.total_nano,
        .broken = a->broken,
        .users = a->state.users.n,
        .keys = a->state.keys.n,
        .prices = a->state.prices.n,
        .providers = a->state.providers.n,
        .models = a->state.models.n,
    };
    if (a->shared) { /* the others are counted by who gave them */
        ret->holds -= a->holds.asserted;
        ret->held_nano -= a->holds.asserted_nano;
    }
    if (a->holds.oldest && now_ms > a->holds.oldest->began_ms)
        ret->oldest_ms = now_ms - a->holds.oldest->began_ms;
    pthread_mutex_unlock(&a->lock);
}
