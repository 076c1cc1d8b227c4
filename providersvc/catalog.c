#include "providersvc/catalog.h"

#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"

#define CATALOG_ARENA (256u * 1024u)

/* ---- built in ------------------------------------------------------------------------------------------------------
 */

struct builtin {
    const char *name; /* and kind */
    const char *secret, *base_url; /* secret NULL = it is not served */
};

#define BUILTINS 4

static void builtins(const struct settings *s, struct builtin ret[BUILTINS])
{
    ret[0] = (struct builtin){"echo", strcmp(s->echo, "on") == 0 ? "" : NULL, NULL};
    ret[1] = (struct builtin){"openai", s->openai_api_key, s->openai_base_url};
    ret[2] = (struct builtin){"anthropic", s->anthropic_api_key, s->anthropic_base_url};
    ret[3] = (struct builtin){"gemini", s->gemini_api_key, s->gemini_base_url};
}

static enum status put_builtin(struct catalog *c, const struct builtin *b, struct err *err)
{
    static const struct upstream_key key = {.id = {"env", 3}, .hint = {"env", 3}};
    struct catalog_provider def = {.name = slice_of(b->name),
                                   .kind = slice_of(b->name),
                                   .base_url = slice_of(b->base_url),
                                   .keys = {&key, b->secret[0] != '\0'}};
    struct upstream *u = NULL;
    enum status st;

    st = upstream_new(&def, &b->secret, &c->defaults, &u, err);
    return st == ST_OK ? upstreams_put(c->upstreams, def.name, u) : st;
}

/* A built-in provider comes back when the catalog's of its name goes. */
static enum status restore_builtin(struct catalog *c, struct slice name, struct err *err)
{
    struct builtin all[BUILTINS];

    builtins(c->settings, all);
    for (size_t i = 0; i < BUILTINS; i++)
        if (slice_is(name, all[i].name) && all[i].secret != NULL)
            return put_builtin(c, &all[i], err);
    return ST_NOT_FOUND;
}

enum status catalog_init(struct catalog *c, struct err *err)
{
    struct builtin all[BUILTINS];
    enum status st = seal_key_init(&c->seal, c->settings->master_key, err);

    builtins(c->settings, all);
    for (size_t i = 0; st == ST_OK && i < BUILTINS; i++)
        if (all[i].secret != NULL)
            st = put_builtin(c, &all[i], err);
    c->epoch = 1;
    return st;
}

void catalog_fini(struct catalog *c)
{
    seal_key_fini(&c->seal);
}

/* ---- keys ----------------------------------------------------------------------------------------------------------
 */

static void unusable(struct catalog *c, struct slice provider, struct slice id, const char *why)
{
    log_event(c->log, LOG_ERROR, LOG_NO_REQ, "upstream_key_unusable", LOG_S("provider", provider), LOG_S("key", id),
              LOG_C("why", why));
}

/* The secret of one key into `to`; NULL: there is none. */
static const char *secret_of(struct catalog *c, struct slice provider, const struct sealed_key *key,
                             char to[LIMIT_SECRET + 1])
{
    struct seal_place place = {.owner = provider, .id = key->id};
    struct slice opened;
    struct err err = {0};

    if (key->env.n > 0) {
        char name[LIMIT_NAME + 1];
        const char *value = slice_copy(key->env, name, sizeof(name)) ? getenv(name) : NULL;

        if (value == NULL || value[0] == '\0' || strlen(value) > LIMIT_SECRET) {
            unusable(c, provider, key->id, "its environment variable is not set here");
            return NULL;
        }
        memcpy(to, value, strlen(value) + 1);
        return to;
    }
    if (seal_open(&c->seal, &place, key->sealed, to, &opened, &err) != ST_OK) {
        unusable(c, provider, key->id, err.text);
        return NULL;
    }
    to[opened.n] = '\0';
    return to;
}

/* ---- records -------------------------------------------------------------------------------------------------------
 */

struct secrets {
    char text[LIMIT_UPSTREAM_KEYS][LIMIT_SECRET + 1];
    const char *all[LIMIT_UPSTREAM_KEYS];
};

static void remember(struct catalog *c, struct slice name)
{
    struct upstreams *s = c->upstreams;

    for (unsigned i = 0; i < s->n; i++)
        if (slice_is(name, s->seats[i]->name))
            c->seen[i] = c->epoch;
}

static void put(struct catalog *c, const struct provider_state *state)
{
    const struct catalog_provider *def = state->provider.items;
    struct secrets *secrets = calloc(1, sizeof(*secrets));
    struct upstream *u = NULL;
    struct err err = {0};
    enum status st = secrets != NULL ? ST_OK : ST_NO_MEMORY;

    for (size_t i = 0; st == ST_OK && i < state->keys.n && i < def->keys.n; i++)
        secrets->all[i] = secret_of(c, def->name, &state->keys.items[i], secrets->text[i]);
    if (st == ST_OK)
        st = upstream_new(def, secrets->all, &c->defaults, &u, &err);
    if (st == ST_OK)
        st = upstreams_put(c->upstreams, def->name, u);
    if (st == ST_UNAVAILABLE)
        err_set(&err, st, "%d providers are served or still used by calls: more do not fit", UPSTREAMS_MAX);
    if (st != ST_OK) { /* what it was before is not what is wanted any more */
        upstreams_remove(c->upstreams, def->name);
        log_event(c->log, LOG_ERROR, LOG_NO_REQ, "provider_unusable", LOG_S("provider", def->name),
                  LOG_C("why", err.text[0] != '\0' ? err.text : status_text(st)));
    }
    if (secrets != NULL)
        explicit_bzero(secrets, sizeof(*secrets));
    free(secrets);
}

static void drop(struct catalog *c, struct slice name)
{
    struct err err = {0};

    if (restore_builtin(c, name, &err) != ST_OK)
        upstreams_remove(c->upstreams, name);
}

bool catalog_change(struct catalog *c, struct slice record)
{
    struct provider_state state = {0};
    struct arena a;
    struct wire_alloc mem = arena_wire(&a);
    bool good;

    arena_init(&a, CATALOG_ARENA);
    good = wire_decode(&provider_state_desc, record.p, record.n, &state, &mem, NULL) == ST_OK && state.provider.n > 0;
    if (good && (state.provider.items[0].kind.n == 0 || state.provider.items[0].disabled)) {
        if (state.provider.items[0].disabled)
            upstreams_remove(c->upstreams, state.provider.items[0].name);
        else
            drop(c, state.provider.items[0].name);
    } else if (good) {
        put(c, &state);
    }
    if (good && state.provider.items[0].kind.n > 0)
        remember(c, state.provider.items[0].name);
    if (!good)
        log_event(c->log, LOG_ERROR, LOG_NO_REQ, "provider_unreadable", LOG_N("bytes", record.n));
    arena_fini(&a);
    return good;
}

void catalog_reset(struct catalog *c)
{
    c->epoch++;
}

bool catalog_snapshot_end(struct catalog *c)
{
    bool gone = false;

    for (unsigned i = 0; i < c->upstreams->n; i++) {
        if (c->seen[i] == 0 || c->seen[i] == c->epoch)
            continue;
        drop(c, slice_of(c->upstreams->seats[i]->name));
        c->seen[i] = 0;
        gone = true;
    }
    return gone;
}
