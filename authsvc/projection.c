#include "authsvc/projection.h"

#include <stdlib.h>
#include <string.h>

#include "proto/money.h"

void projection_init(struct projection *p)
{
    memset(p, 0, sizeof(*p));
    table_init(&p->users, PROJECTION_USERS_MAX);
    table_init(&p->keys, PROJECTION_KEYS_MAX);
    table_init(&p->secrets, 2 * PROJECTION_KEYS_MAX);
    table_init(&p->plans, PROJECTION_PLANS_MAX);
    table_init(&p->prices, PROJECTION_PRICES_MAX);
    table_init(&p->providers, PROJECTION_PROVIDERS_MAX);
    table_init(&p->models, PROJECTION_MODELS_MAX);
    table_init(&p->aliases, PROJECTION_ALIASES_MAX);
}

void proj_price_unref(struct proj_price *price)
{
    if (price && --price->refs == 0)
        free(price);
}

void proj_model_unref(struct proj_model *model)
{
    if (model && --model->refs == 0)
        free(model);
}

/* Gives up an object that has left its table. */
typedef void dropper(struct projection *p, struct table_node *node);

static void drop_price(struct projection *p, struct table_node *node)
{
    (void)p;
    proj_price_unref((struct proj_price *)(void *)node);
}

static void drop_plain(struct projection *p, struct table_node *node)
{
    (void)p;
    free(node);
}

static void leave_secret(struct projection *p, struct proj_secret *secret)
{
    if (secret->key && table_find(&p->secrets, secret->node.key) == &secret->node)
        table_remove(&p->secrets, &secret->node);
}

static void drop_key(struct projection *p, struct table_node *node)
{
    struct proj_key *key = (struct proj_key *)(void *)node;

    leave_secret(p, &key->secret);
    leave_secret(p, &key->former);
    p->keys_dropped++;
    free(key);
}

static void leave_routes(struct projection *p, const struct proj_model *model, size_t n);

static void drop_model(struct projection *p, struct table_node *node)
{
    struct proj_model *model = (struct proj_model *)(void *)node;
    size_t i;

    for (i = 0; i < model->n_aliases; i++)
        if (table_find(&p->aliases, model->aliases[i].node.key) == &model->aliases[i].node)
            table_remove(&p->aliases, &model->aliases[i].node);
    leave_routes(p, model, model->n_routes);
    proj_model_unref(model);
}

static void empty(struct projection *p, struct table *t, dropper *drop)
{
    struct table_node *node;
    size_t cursor = 0;

    while ((node = table_next(t, &cursor)) != NULL)
        drop(p, node);
    table_fini(t);
}

void projection_fini(struct projection *p)
{
    empty(p, &p->users, drop_plain);
    empty(p, &p->keys, drop_key);
    table_fini(&p->secrets);
    empty(p, &p->plans, drop_plain);
    empty(p, &p->prices, drop_price);
    empty(p, &p->models, drop_model);
    empty(p, &p->providers, drop_plain);
    table_fini(&p->aliases);
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
static enum status settle_in(struct projection *p, struct table *t, struct projected *obj, dropper *drop)
{
    struct table_node *old = table_find(t, obj->node.key);
    enum status st = ST_OK;

    if (old) {
        table_replace(t, old, &obj->node);
        drop(p, old);
    } else {
        st = table_add(t, &obj->node);
        if (st != ST_OK)
            drop(p, &obj->node);
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
    return settle_in(p, &p->users, &user->at, drop_plain);
}

void proj_user_balance(struct proj_user *user, int64_t balance_nano, uint64_t revision)
{
    if (revision < user->revision)
        return;
    user->balance_nano = balance_nano;
    user->revision = revision;
}

static size_t key_size(const struct key_state *k, const struct api_key *from)
{
    return sizeof(struct proj_key) + strs_size(from->models) + from->ip_allow.n * sizeof(struct net) + k->digest.n +
           k->previous_digest.n + from->id.n + from->user_id.n;
}

/* at must be aligned for a slice. What cannot be read admits nobody. */
static void fill_key(struct proj_key *key, const struct key_state *k, const struct api_key *from, char *at)
{
    size_t i;

    key->models = put_strs(&at, from->models);
    key->ip_allow = (struct net *)(void *)at; /* bytes only: aligned anywhere */
    at += from->ip_allow.n * sizeof(*key->ip_allow);
    for (i = 0; i < from->ip_allow.n; i++)
        key->n_ip_allow += net_read(from->ip_allow.items[i], &key->ip_allow[key->n_ip_allow]);
    key->confined = from->ip_allow.n > 0;
    key->at.node.key = put(&at, from->id);
    key->user_id = put(&at, from->user_id);
    key->secret = (struct proj_secret){.node.key = put(&at, k->digest), .key = key};
    if (k->previous_digest.n && from->previous_until)
        key->former =
            (struct proj_secret){.node.key = put(&at, k->previous_digest), .key = key, .until = from->previous_until};
    key->rpm = from->rpm;
    key->tpm = from->tpm;
    key->concurrency = from->concurrency;
    key->expires_at = from->expires_at;
    key->active = slice_is(from->status, "active");
    key->budget_nano = from->budget_nano;
    key->spent_nano = k->period_spent_nano;
    key->period_end = k->period_end;
}

static enum status join_secret(struct projection *p, struct proj_secret *secret)
{
    struct table_node *old = secret->key ? table_find(&p->secrets, secret->node.key) : NULL;

    if (!secret->key)
        return ST_OK;
    if (!old)
        return table_add(&p->secrets, &secret->node);
    table_replace(&p->secrets, old, &secret->node);
    return ST_OK;
}

/* The secrets come first: those that the old version had and this one has not leave with it, in the same step. */
enum status projection_key(struct projection *p, const struct key_state *k, uint64_t revision)
{
    const struct api_key *from = k->key.n ? &k->key.items[0] : NULL;
    struct proj_key *old = from ? projection_find_key(p, from->id) : NULL;
    struct proj_key *key;
    enum status st;

    if (!from)
        return ST_BAD_MESSAGE;
    key = calloc(1, key_size(k, from));
    if (!key)
        return ST_NO_MEMORY;
    fill_key(key, k, from, (char *)(key + 1));
    key->at.epoch = p->epoch;
    key->revision = revision;
    if (old) {
        key->held_nano = old->held_nano;
        key->requests = old->requests;
        key->tokens = old->tokens;
        key->running = old->running;
    }
    st = join_secret(p, &key->secret);
    if (st == ST_OK)
        st = join_secret(p, &key->former);
    if (st == ST_OK)
        return settle_in(p, &p->keys, &key->at, drop_key);
    drop_key(p, &key->at.node);
    return st;
}

bool proj_key_admits(const struct proj_key *key, struct slice client_ip)
{
    uint8_t address[NET_ADDRESS];
    size_t i;

    if (!key->confined)
        return true;
    if (!net_address(client_ip, address))
        return false;
    for (i = 0; i < key->n_ip_allow; i++)
        if (net_has(&key->ip_allow[i], address))
            return true;
    return false;
}

void proj_key_spent(struct proj_key *key, int64_t spent_nano, uint64_t period_end, uint64_t revision)
{
    if (!key || period_end < key->period_end || (period_end == key->period_end && spent_nano < key->spent_nano))
        return;
    key->spent_nano = spent_nano;
    key->period_end = period_end;
    if (key->revision < revision)
        key->revision = revision;
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
    return settle_in(p, &p->plans, &plan->at, drop_plain);
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
    return settle_in(p, &p->prices, &price->at, drop_price);
}

static struct proj_provider *find_provider(const struct projection *p, struct slice name)
{
    return (struct proj_provider *)(void *)table_find(&p->providers, name);
}

enum status projection_provider(struct projection *p, const struct provider *from)
{
    struct proj_provider *old = find_provider(p, from->name);
    struct proj_provider *provider = calloc(1, sizeof(*provider) + from->name.n + from->kind.n);
    char *at;

    if (!provider)
        return ST_NO_MEMORY;
    at = (char *)(provider + 1);
    provider->at.node.key = put(&at, from->name);
    provider->at.epoch = p->epoch;
    provider->kind = put(&at, from->kind);
    if (old)
        provider->routes = old->routes;
    return settle_in(p, &p->providers, &provider->at, drop_plain);
}

/* ---- models of the catalog ----------------------------------------------------------------------------------------
 */

static void leave_routes(struct projection *p, const struct proj_model *model, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++) {
        struct proj_provider *provider = find_provider(p, model->routes[i].provider);

        if (--provider->routes > 0 || provider->kind.n)
            continue;
        table_remove(&p->providers, &provider->at.node);
        free(provider);
    }
}

/* Each provider that a route names is there, announced or not. */
static enum status join_routes(struct projection *p, const struct proj_model *model)
{
    enum status st = ST_OK;
    size_t i;

    for (i = 0; i < model->n_routes && st == ST_OK; i++) {
        struct slice name = model->routes[i].provider;

        if (!find_provider(p, name))
            st = projection_provider(p, &(struct provider){.name = name});
        if (st == ST_OK)
            find_provider(p, name)->routes++;
        else
            leave_routes(p, model, i);
    }
    return st;
}

static enum status join_aliases(struct projection *p, struct proj_model *model)
{
    enum status st = ST_OK;
    size_t i;

    for (i = 0; i < model->n_aliases && st == ST_OK; i++) {
        struct table_node *node = &model->aliases[i].node, *old = table_find(&p->aliases, node->key);

        if (old)
            table_replace(&p->aliases, old, node);
        else
            st = table_add(&p->aliases, node);
    }
    return st;
}

static size_t model_size(const struct catalog_model *from)
{
    size_t n = sizeof(struct proj_model) + from->name.n, i;

    for (i = 0; i < from->routes.n; i++)
        n += sizeof(struct proj_route) + from->routes.items[i].provider.n + from->routes.items[i].model.n;
    for (i = 0; i < from->aliases.n; i++)
        n += sizeof(struct proj_alias) + from->aliases.items[i].n;
    return n;
}

static void fill_model(struct proj_model *model, const struct catalog_model *from)
{
    char *at = (char *)(model + 1);
    size_t i;

    model->routes = (struct proj_route *)(void *)at;
    at += from->routes.n * sizeof(*model->routes);
    model->aliases = (struct proj_alias *)(void *)at;
    at += from->aliases.n * sizeof(*model->aliases);
    model->n_routes = from->routes.n;
    model->n_aliases = from->aliases.n;
    for (i = 0; i < from->routes.n; i++) {
        const struct catalog_route *r = &from->routes.items[i];

        model->routes[i] = (struct proj_route){.tier = r->tier, .weight = r->weight};
        model->routes[i].provider = put(&at, r->provider);
        model->routes[i].model = put(&at, r->model);
    }
    for (i = 0; i < from->aliases.n; i++) {
        model->aliases[i].model = model;
        model->aliases[i].node.key = put(&at, from->aliases.items[i]);
    }
    model->at.node.key = put(&at, from->name);
    model->max_output = from->max_output;
    model->context_window = from->context_window;
    model->created = from->created;
    model->by_latency = slice_is(from->routing, "latency");
    model->own_price = from->own_price;
    model->refs = 1;
}

enum status projection_model(struct projection *p, const struct catalog_model *from)
{
    struct table_node *old = table_find(&p->models, from->name);
    struct proj_model *model;
    enum status st;

    if (from->routes.n == 0) {
        if (!old)
            return ST_OK;
        table_remove(&p->models, old);
        drop_model(p, old);
        return ST_OK;
    }
    model = calloc(1, model_size(from));
    if (!model)
        return ST_NO_MEMORY;
    fill_model(model, from);
    model->at.epoch = p->epoch;
    st = join_routes(p, model);
    if (st != ST_OK) {
        proj_model_unref(model);
        return st;
    }
    st = settle_in(p, &p->models, &model->at, drop_model);
    return st == ST_OK ? join_aliases(p, model) : st;
}

/* ---- snapshots ----------------------------------------------------------------------------------------------------
 */

void projection_reset(struct projection *p)
{
    p->epoch++;
    p->loading = true;
}

/* Removing moves later objects back past the cursor at the wrap only, so rounds go on until one finds nothing. */
static void sweep(struct projection *p, struct table *t, dropper *drop)
{
    bool found = true;

    while (found) {
        struct table_node *node;
        size_t cursor = 0;

        found = false;
        while ((node = table_next(t, &cursor)) != NULL) {
            if (((struct projected *)(void *)node)->epoch == p->epoch)
                continue;
            found = true;
            table_remove(t, node);
            drop(p, node);
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
    sweep(p, &p->users, drop_plain);
}

/* So does a key: what its calls hold of its budget must be there to be released. Nobody can use it any more. A stand-in
 * that no snapshot named was never a key. */
static void sweep_keys(struct projection *p)
{
    struct table_node *node;
    size_t cursor = 0;

    while ((node = table_next(&p->keys, &cursor)) != NULL) {
        struct proj_key *key = (struct proj_key *)(void *)node;

        if (key->at.epoch == p->epoch || key->held_nano == 0 || !key->secret.key)
            continue;
        key->active = false;
        key->at.epoch = p->epoch;
    }
    sweep(p, &p->keys, drop_key);
}

/* A provider that nobody announces any more stays as long as the catalog names it. */
static void sweep_providers(struct projection *p)
{
    struct table_node *node;
    size_t cursor = 0;

    while ((node = table_next(&p->providers, &cursor)) != NULL) {
        struct proj_provider *provider = (struct proj_provider *)(void *)node;

        if (provider->at.epoch == p->epoch || provider->routes == 0)
            continue;
        provider->kind.n = 0;
        provider->at.epoch = p->epoch;
    }
    sweep(p, &p->providers, drop_plain);
}

void projection_applied(struct projection *p)
{
    if (!p->loading)
        return;
    p->loading = false;
    sweep_keys(p);
    sweep(p, &p->plans, drop_plain);
    sweep(p, &p->prices, drop_price);
    sweep(p, &p->models, drop_model);
    sweep_providers(p);
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
    return settle_in(p, &p->users, &user->at, drop_plain) == ST_OK ? user : NULL;
}

struct proj_key *projection_running_key(struct projection *p, struct slice id)
{
    struct proj_key *key = projection_find_key(p, id);
    char *at;

    if (key || (p->epoch > 0 && !p->loading))
        return key;
    key = calloc(1, sizeof(*key) + id.n);
    if (!key)
        return NULL;
    at = (char *)(key + 1);
    key->at.node.key = put(&at, id);
    key->at.epoch = p->epoch - 1; /* the snapshot has not mentioned it */
    return settle_in(p, &p->keys, &key->at, drop_key) == ST_OK ? key : NULL;
}

struct proj_key *projection_find_key(const struct projection *p, struct slice id)
{
    return (struct proj_key *)(void *)table_find(&p->keys, id);
}

struct proj_secret *projection_find_secret(const struct projection *p, struct slice digest)
{
    return (struct proj_secret *)(void *)table_find(&p->secrets, digest);
}

struct proj_plan *projection_find_plan(const struct projection *p, struct slice name)
{
    return (struct proj_plan *)(void *)table_find(&p->plans, name);
}

struct proj_price *projection_find_price(const struct projection *p, struct slice model)
{
    return (struct proj_price *)(void *)table_find(&p->prices, model);
}

struct proj_model *projection_find_model(const struct projection *p, struct slice name)
{
    struct table_node *node = table_find(&p->models, name);

    if (node)
        return (struct proj_model *)(void *)node;
    node = table_find(&p->aliases, name);
    return node ? ((struct proj_alias *)(void *)node)->model : NULL;
}

bool projection_serves(const struct projection *p, struct slice provider)
{
    const struct proj_provider *found = find_provider(p, provider);

    return found && found->kind.n;
}

bool projection_names(const struct projection *p, struct slice provider)
{
    return find_provider(p, provider) != NULL;
}

struct slice projection_first_of_kind(const struct projection *p, const char *kind)
{
    struct slice first = {NULL, 0};
    struct table_node *node;
    size_t cursor = 0;

    while ((node = table_next(&p->providers, &cursor)) != NULL) {
        if (!slice_is(((struct proj_provider *)(void *)node)->kind, kind))
            continue;
        if (slice_is(node->key, kind))
            return node->key;
        if (first.n == 0 || table_order(node->key, first) < 0)
            first = node->key;
    }
    return first;
}
