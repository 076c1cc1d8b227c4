#include "authsvc/projection.h"

#include <stdlib.h>
#include <string.h>

#include "proto/money.h"

void projection_init(struct projection *p)
{
    memset(p, 0, sizeof(*p));
    table_init(&p->users, PROJECTION_USERS_MAX);
    table_init(&p->keys, PROJECTION_KEYS_MAX);
    table_init(&p->plans, PROJECTION_PLANS_MAX);
    table_init(&p->prices, PROJECTION_PRICES_MAX);
    table_init(&p->providers, PROJECTION_PROVIDERS_MAX);
}

void proj_price_unref(struct proj_price *price)
{
    if (price && --price->refs == 0)
        free(price);
}

static void free_price(struct table_node *node)
{
    proj_price_unref((struct proj_price *)(void *)node);
}

static void free_plain(struct table_node *node)
{
    free(node);
}

static void empty(struct table *t, void (*drop)(struct table_node *node))
{
    struct table_node *node;
    size_t cursor = 0;

    while ((node = table_next(t, &cursor)) != NULL)
        drop(node);
    table_fini(t);
}

void projection_fini(struct projection *p)
{
    empty(&p->users, free_plain);
    empty(&p->keys, free_plain);
    empty(&p->plans, free_plain);
    empty(&p->prices, free_price);
    empty(&p->providers, free_plain);
}

/* ---- objects in one piece of memory -------------------------------------------------------------------------------
 */

static struct slice put(char **at, struct slice s)
{
    struct slice kept = {*at, s.n};

    if (s.n)
        memcpy(*at, s.p, s.n);
    *at += s.n;
    return kept;
}

static size_t strs_size(struct wire_strs s)
{
    size_t n = s.n * sizeof(*s.items), i;

    for (i = 0; i < s.n; i++)
        n += s.items[i].n;
    return n;
}

/* at must be aligned for a slice: lists are put before strings. */
static struct wire_strs put_strs(char **at, struct wire_strs s)
{
    struct slice *items = (struct slice *)(void *)*at;
    size_t i;

    *at += s.n * sizeof(*items);
    for (i = 0; i < s.n; i++)
        items[i] = put(at, s.items[i]);
    return (struct wire_strs){items, s.n};
}

/* Adds the object, or puts it in the place of its old version, which is dropped. On failure the object is dropped. */
static enum status settle_in(struct table *t, struct projected *obj, void (*drop)(struct table_node *node))
{
    struct table_node *old = table_find(t, obj->node.key);
    enum status st = ST_OK;

    if (old) {
        table_replace(t, old, &obj->node);
        drop(old);
    } else {
        st = table_add(t, &obj->node);
        if (st != ST_OK)
            drop(&obj->node);
    }
    return st;
}

/* ---- records ------------------------------------------------------------------------------------------------------
 */

enum status projection_user(struct projection *p, const struct user *u, uint64_t revision)
{
    struct proj_user *old = projection_any_user(p, u->id);
    struct proj_user *user = calloc(1, sizeof(*user) + u->id.n + u->plan.n);
    char *at;

    if (!user)
        return ST_NO_MEMORY;
    at = (char *)(user + 1);
    user->at.node.key = put(&at, u->id);
    user->at.epoch = p->epoch;
    user->plan = put(&at, u->plan);
    user->balance_nano = u->balance_nano;
    user->revision = revision;
    user->active = slice_is(u->status, "active");
    user->admin = slice_is(u->role, "admin");
    if (old)
        user->held_nano = old->held_nano;
    return settle_in(&p->users, &user->at, free_plain);
}

void proj_user_balance(struct proj_user *user, int64_t balance_nano, uint64_t revision)
{
    if (revision < user->revision)
        return;
    user->balance_nano = balance_nano;
    user->revision = revision;
}

enum status projection_key(struct projection *p, const struct key_state *k)
{
    const struct api_key *from = k->key.n ? &k->key.items[0] : NULL;
    struct proj_key *old = projection_find_key(p, k->digest);
    struct proj_key *key;
    char *at;

    if (!from)
        return ST_BAD_MESSAGE;
    key = calloc(1, sizeof(*key) + strs_size(from->models) + k->digest.n + from->id.n + from->user_id.n);
    if (!key)
        return ST_NO_MEMORY;
    at = (char *)(key + 1);
    key->models = put_strs(&at, from->models);
    key->at.node.key = put(&at, k->digest);
    key->at.epoch = p->epoch;
    key->id = put(&at, from->id);
    key->user_id = put(&at, from->user_id);
    key->rpm = from->rpm;
    key->tpm = from->tpm;
    key->concurrency = from->concurrency;
    key->expires_at = from->expires_at;
    key->active = slice_is(from->status, "active");
    key->budget_nano = from->budget_nano;
    key->spent_nano = k->period_spent_nano;
    key->period_end = k->period_end;
    if (old) {
        key->held_nano = old->held_nano;
        key->requests = old->requests;
        key->tokens = old->tokens;
        key->running = old->running;
    }
    return settle_in(&p->keys, &key->at, free_plain);
}

void proj_key_spent(struct proj_key *key, int64_t spent_nano, uint64_t period_end)
{
    if (!key || period_end < key->period_end || (period_end == key->period_end && spent_nano < key->spent_nano))
        return;
    key->spent_nano = spent_nano;
    key->period_end = period_end;
}

int64_t proj_key_left(const struct proj_key *key, uint64_t wall_s)
{
    bool over = key->period_end > 0 && wall_s >= key->period_end;
    int64_t used = 0;

    if (key->budget_nano == 0)
        return INT64_MAX;
    if (!money_add(key->held_nano, over ? 0 : key->spent_nano, &used) || used >= key->budget_nano)
        return 0;
    return key->budget_nano - used;
}

enum status projection_plan(struct projection *p, const struct plan *from)
{
    struct proj_plan *plan = calloc(1, sizeof(*plan) + strs_size(from->models) + from->name.n);
    char *at;

    if (!plan)
        return ST_NO_MEMORY;
    at = (char *)(plan + 1);
    plan->models = put_strs(&at, from->models);
    plan->at.node.key = put(&at, from->name);
    plan->at.epoch = p->epoch;
    plan->rpm = from->rpm;
    plan->tpm = from->tpm;
    plan->concurrency = from->concurrency;
    return settle_in(&p->plans, &plan->at, free_plain);
}

enum status projection_price(struct projection *p, const struct price *from)
{
    struct proj_price *price = calloc(1, sizeof(*price) + from->model.n + from->provider.n + from->mode.n);
    char *at;

    if (!price)
        return ST_NO_MEMORY;
    at = (char *)(price + 1);
    price->refs = 1;
    price->price = *from;
    price->price.model = put(&at, from->model);
    price->price.provider = put(&at, from->provider);
    price->price.mode = put(&at, from->mode);
    price->at.node.key = price->price.model;
    price->at.epoch = p->epoch;
    return settle_in(&p->prices, &price->at, free_price);
}

enum status projection_provider(struct projection *p, const struct provider *from)
{
    struct proj_provider *provider = calloc(1, sizeof(*provider) + from->name.n + from->kind.n);
    char *at;

    if (!provider)
        return ST_NO_MEMORY;
    at = (char *)(provider + 1);
    provider->at.node.key = put(&at, from->name);
    provider->at.epoch = p->epoch;
    provider->kind = put(&at, from->kind);
    return settle_in(&p->providers, &provider->at, free_plain);
}

/* ---- snapshots ----------------------------------------------------------------------------------------------------
 */

void projection_reset(struct projection *p)
{
    p->epoch++;
    p->loading = true;
}

/* Removing moves later objects back past the cursor at the wrap only, so rounds go on until one finds nothing. */
static void sweep(struct table *t, uint64_t epoch, void (*drop)(struct table_node *node))
{
    bool found = true;

    while (found) {
        struct table_node *node;
        size_t cursor = 0;

        found = false;
        while ((node = table_next(t, &cursor)) != NULL) {
            if (((struct projected *)(void *)node)->epoch == epoch)
                continue;
            found = true;
            table_remove(t, node);
            drop(node);
        }
    }
}

/* A user who is gone but has calls running stays until they are settled, or his credit held would be forgotten. */
static void sweep_users(struct projection *p)
{
    struct table_node *node;
    size_t cursor = 0;

    while ((node = table_next(&p->users, &cursor)) != NULL) {
        struct proj_user *user = (struct proj_user *)(void *)node;

        if (user->at.epoch == p->epoch || user->held_nano == 0)
            continue;
        user->gone = true;
        user->at.epoch = p->epoch;
    }
    sweep(&p->users, p->epoch, free_plain);
}

/* So does a key: what its calls hold of its budget must be there to be released. Nobody can use it any more. A stand-in
 * that no snapshot named was never a key. */
static void sweep_keys(struct projection *p)
{
    struct table_node *node;
    size_t cursor = 0;

    while ((node = table_next(&p->keys, &cursor)) != NULL) {
        struct proj_key *key = (struct proj_key *)(void *)node;

        if (key->at.epoch == p->epoch || key->held_nano == 0 || key->id.n == 0)
            continue;
        key->active = false;
        key->at.epoch = p->epoch;
    }
    sweep(&p->keys, p->epoch, free_plain);
}

void projection_applied(struct projection *p)
{
    if (!p->loading)
        return;
    p->loading = false;
    sweep_keys(p);
    sweep(&p->plans, p->epoch, free_plain);
    sweep(&p->prices, p->epoch, free_price);
    sweep(&p->providers, p->epoch, free_plain);
    sweep_users(p);
}

/* ---- questions ----------------------------------------------------------------------------------------------------
 */

struct proj_user *projection_any_user(const struct projection *p, struct slice id)
{
    return (struct proj_user *)(void *)table_find(&p->users, id);
}

struct proj_user *projection_find_user(const struct projection *p, struct slice id)
{
    struct proj_user *user = projection_any_user(p, id);

    return user && !user->gone ? user : NULL;
}

struct proj_user *projection_held_user(struct projection *p, struct slice id)
{
    struct proj_user *user = projection_any_user(p, id);
    char *at;

    if (user)
        return user;
    user = calloc(1, sizeof(*user) + id.n);
    if (!user)
        return NULL;
    at = (char *)(user + 1);
    user->at.node.key = put(&at, id);
    user->at.epoch = p->epoch;
    user->gone = true;
    return settle_in(&p->users, &user->at, free_plain) == ST_OK ? user : NULL;
}

struct proj_key *projection_running_key(struct projection *p, struct slice digest)
{
    struct proj_key *key = projection_find_key(p, digest);
    char *at;

    if (key || (p->epoch > 0 && !p->loading))
        return key;
    key = calloc(1, sizeof(*key) + digest.n);
    if (!key)
        return NULL;
    at = (char *)(key + 1);
    key->at.node.key = put(&at, digest);
    key->at.epoch = p->epoch - 1; /* the snapshot has not mentioned it */
    return settle_in(&p->keys, &key->at, free_plain) == ST_OK ? key : NULL;
}

struct proj_key *projection_find_key(const struct projection *p, struct slice digest)
{
    return (struct proj_key *)(void *)table_find(&p->keys, digest);
}

struct proj_plan *projection_find_plan(const struct projection *p, struct slice name)
{
    return (struct proj_plan *)(void *)table_find(&p->plans, name);
}

struct proj_price *projection_find_price(const struct projection *p, struct slice model)
{
    return (struct proj_price *)(void *)table_find(&p->prices, model);
}

bool projection_serves(const struct projection *p, struct slice provider)
{
    return table_find(&p->providers, provider) != NULL;
}
