/*
 * What admission needs of meterd's state: users with balances, keys, plans, prices, models, providers. Every record of
 * the feed is the new state of one object. A snapshot is loaded beside what is known and takes over when it is whole,
 * so that calls go on meanwhile: what the snapshot did not mention is gone then. Counters of our own (rate buckets,
 * calls running, credit held) belong to the same objects and survive every change of them. Knows nothing of requests.
 * No locks: the owner (admission) has one. Objects are valid under it only.
 */
#ifndef AUTHSVC_PROJECTION_H
#define AUTHSVC_PROJECTION_H

#include "authsvc/bucket.h"
#include "authsvc/table.h"
#include "proto/messages.h"
#include "services/net.h"

#define PROJECTION_USERS_MAX 1000000u
#define PROJECTION_KEYS_MAX 2000000u
#define PROJECTION_PLANS_MAX 10000u
#define PROJECTION_PRICES_MAX LIMIT_LIST
#define PROJECTION_PROVIDERS_MAX 1024u
#define PROJECTION_MODELS_MAX LIMIT_LIST
#define PROJECTION_ALIASES_MAX (PROJECTION_MODELS_MAX * LIMIT_MODELS)

/* First member of every object here. */
struct projected {
    struct table_node node;
    uint64_t epoch; /* of the snapshot that last mentioned it */
};

struct proj_user {
    struct projected at;
    struct slice plan;
    int64_t balance_nano;
    int64_t held_nano; /* sum of open holds */
    uint64_t revision; /* of the balance */
    bool active, admin, gone;
};

struct proj_key;

/* What a key is shown by. In the table of secrets as long as no newer record of a key has taken its place. */
struct proj_secret {
    struct table_node node; /* by digest */
    struct proj_key *key;
    uint64_t until; /* Unix seconds from which it is good no more; 0 = none */
};

/* Buckets, places, holds and budget are the key's, whichever of its secrets a call came with. */
struct proj_key {
    struct projected at; /* by id */
    struct proj_secret secret, former; /* former: of before a rotation; without a key's pointer there is none */
    struct slice user_id;
    uint64_t rpm, tpm, concurrency, expires_at;
    struct wire_strs models;
    struct net *ip_allow;
    size_t n_ip_allow;
    struct bucket requests, tokens;
    uint64_t running;
    int64_t held_nano; /* sum of its open holds */
    int64_t budget_nano; /* 0 = none */
    int64_t spent_nano; /* of the budget, in the period that ends at period_end */
    uint64_t period_end; /* Unix seconds; 0 = never */
    uint64_t revision; /* of what is spent */
    bool active;
    bool confined; /* to ip_allow */
};

struct proj_plan {
    struct projected at;
    uint64_t rpm, tpm, concurrency;
    struct wire_strs models;
};

/* One version of a price; never changes. A hold keeps the version it was admitted with. */
struct proj_price {
    struct projected at;
    struct price price; /* its slices are ours */
    unsigned refs;
};

/* Somebody announces it, or a route of the catalog names it, or both. */
struct proj_provider {
    struct projected at;
    struct slice kind; /* empty = not announced */
    size_t routes; /* of the catalog */
};

/* One way to serve a call. Its price belongs to a call, not to the catalog, where it is NULL. */
struct proj_route {
    struct slice provider, model; /* the model's name there */
    uint64_t tier, weight;
    struct proj_price *price; /* NULL = free of charge */
};

struct proj_model;

/* In the table of aliases, as long as no newer model has taken the name. */
struct proj_alias {
    struct table_node node;
    struct proj_model *model;
};

/* One version of a model of the catalog; never changes. A hold keeps the version it was admitted with. */
struct proj_model {
    struct projected at; /* by name */
    struct proj_route *routes;
    struct proj_alias *aliases;
    size_t n_routes, n_aliases;
    uint64_t max_output, context_window; /* 0 = as the price says */
    uint64_t created;
    bool by_latency, own_price;
    unsigned refs;
};

struct projection {
    struct table users, keys, plans, prices, providers, models;
    struct table secrets; /* the objects are in keys */
    uint64_t keys_dropped; /* a pointer to a key is good as long as this has not changed */
    struct table aliases; /* names only: the objects are in models */
    uint64_t epoch;
    bool loading; /* a snapshot */
};

void projection_init(struct projection *p);
void projection_fini(struct projection *p);

void projection_reset(struct projection *p); /* a snapshot comes */
void projection_applied(struct projection *p); /* when it was a snapshot: it is whole, forget what it left out */

enum status projection_user(struct projection *p, const struct user *u, uint64_t revision);
enum status projection_key(struct projection *p, const struct key_state *k, uint64_t revision);
enum status projection_plan(struct projection *p, const struct plan *plan);
enum status projection_price(struct projection *p, const struct price *price);
enum status projection_provider(struct projection *p, const struct provider *provider);
/* One record, one change: name, aliases and routes are those of one version. The newest record has an alias that two
 * claim. */
enum status projection_model(struct projection *p, const struct catalog_model *model);

struct proj_user *projection_find_user(const struct projection *p, struct slice id); /* NULL also when gone */
struct proj_user *projection_any_user(const struct projection *p, struct slice id); /* one that is gone, too */
/* The user, or a stand-in that is gone: credit held for somebody we have yet to hear of counts from the first moment.
 * NULL = no memory. */
struct proj_user *projection_held_user(struct projection *p, struct slice id);
/* The key, or, while a snapshot is loaded, a stand-in that nobody can show and that does not outlive the load; else
 * NULL. */
struct proj_key *projection_running_key(struct projection *p, struct slice id);
struct proj_key *projection_find_key(const struct projection *p, struct slice id);
/* Whose secret has this digest, of those that were good when the key last changed; *until is the caller's to look at.
 */
struct proj_secret *projection_find_secret(const struct projection *p, struct slice digest);
bool proj_key_admits(const struct proj_key *key, struct slice client_ip); /* may it be used from there? */
struct proj_plan *projection_find_plan(const struct projection *p, struct slice name);
struct proj_price *projection_find_price(const struct projection *p, struct slice model);
/* By its name, else by an alias. */
struct proj_model *projection_find_model(const struct projection *p, struct slice name);
/* Credit after a change of this revision; an older one than what is known says nothing new. */
void proj_user_balance(struct proj_user *user, int64_t balance_nano, uint64_t revision);
/* What the key has spent after a bill. Within a period it never falls: an older figure says nothing new. NULL is fine.
 */
void proj_key_spent(struct proj_key *key, int64_t spent_nano, uint64_t period_end, uint64_t revision);
/* What the key may still hold of its budget; INT64_MAX without one. */
int64_t proj_key_left(const struct proj_key *key, uint64_t wall_s);
bool projection_serves(const struct projection *p, struct slice provider); /* it is announced */
bool projection_names(const struct projection *p, struct slice provider); /* or a route of the catalog names it */
/* The announced provider of this kind whose name is the kind's, else the first by name; empty = none. */
struct slice projection_first_of_kind(const struct projection *p, const char *kind);

void proj_price_unref(struct proj_price *price); /* NULL is fine */
void proj_model_unref(struct proj_model *model); /* NULL is fine */

#endif
