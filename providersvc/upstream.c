#include "providersvc/upstream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "providersvc/adapter.h"

#define TEXT_MAX (256u * 1024u) /* of one provider: URL, keys, names */

bool upstream_header_safe(struct slice value)
{
    for (size_t i = 0; i < value.n; i++)
        if (value.p[i] == '\r' || value.p[i] == '\n' || value.p[i] == '\0')
            return false;
    return true;
}

const char *attempt_outcome_name(enum attempt_outcome outcome)
{
    static const char *const names[ATTEMPT_OUTCOMES] = {"ok", "error", "connect", "timeout", "broken", "cancelled"};

    return names[outcome];
}

/* ---- making --------------------------------------------------------------------------------------------------------
 */

/* What stands between "//" and the next "/", without a port. */
static struct slice host_of(const char *rest)
{
    size_t n = strcspn(rest, "/");
    size_t colon;

    if (rest[0] == '[') {
        const char *end = memchr(rest, ']', n);

        return (struct slice){rest, end != NULL ? (size_t)(end - rest) + 1 : 0};
    }
    colon = strcspn(rest, ":");
    return (struct slice){rest, colon < n ? colon : n};
}

/* The length of a base URL without slashes at its end and without what the adapter's paths begin with. */
static size_t without_own_path(const struct adapter *a, const char *url, size_t n)
{
    while (n > 0 && url[n - 1] == '/')
        n--;
    for (size_t i = 0; i < ADAPTER_OWN_PATHS && a->own_paths[i] != NULL; i++) {
        size_t m = strlen(a->own_paths[i]);

        if (n > m && memcmp(url + n - m, a->own_paths[i], m) == 0)
            return n - m;
    }
    return n;
}

/* Checks and takes over a base URL: http or https, a host, no user, no query; nothing that could end a header line. */
static enum status set_url(struct upstream *u, struct slice name, struct slice given, bool internal, struct err *err)
{
    char *url = arena_strndup(&u->text, given.p, given.n);
    const char *rest;
    struct slice host;
    size_t n = given.n;

    if (url == NULL)
        return err_set(err, ST_NO_MEMORY, "no memory for a provider");
    u->https = strncasecmp(url, "https://", 8) == 0;
    if (!u->https && strncasecmp(url, "http://", 7) != 0)
        return err_set(err, ST_BAD_REQUEST,
                       "the base URL of provider " SLICE_FMT " must begin with https:// or http://", SLICE_ARG(name));
    rest = url + (u->https ? 8 : 7);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)url[i] <= ' ' || url[i] == 0x7f || strchr("@?#\\", url[i]) != NULL)
            return err_set(err, ST_BAD_REQUEST,
                           "the base URL of provider " SLICE_FMT " may not hold spaces, \\, @, ? or #",
                           SLICE_ARG(name));
    host = host_of(rest);
    if (host.n == 0)
        return err_set(err, ST_BAD_REQUEST, "the base URL of provider " SLICE_FMT " names no host", SLICE_ARG(name));
    n = without_own_path(u->adapter, url, n);
    if (n >= UPSTREAM_URL_MAX)
        return err_set(err, ST_BAD_REQUEST, "the base URL of provider " SLICE_FMT " is too long", SLICE_ARG(name));
    url[n] = '\0';
    u->base_url = url;
    u->reach = address_host_reach(host);
    if (internal && u->reach == ADDRESS_PUBLIC)
        u->reach = ADDRESS_PRIVATE;
    return ST_OK;
}

static enum status set_keys(struct upstream *u, const struct catalog_provider *def, const char *const *secrets,
                            struct err *err)
{
    u->keys = arena_alloc(&u->text, (def->keys.n + 1) * sizeof(*u->keys));
    if (u->keys == NULL)
        return err_set(err, ST_NO_MEMORY, "no memory for a provider");
    for (size_t i = 0; i < def->keys.n; i++) {
        struct provider_key *key = &u->keys[u->n_keys];

        if (secrets[i] == NULL)
            continue;
        if (!upstream_header_safe(slice_of(secrets[i])))
            return err_set(err, ST_BAD_REQUEST, "a key of provider " SLICE_FMT " may not hold line breaks",
                           SLICE_ARG(def->name));
        key->id = arena_strndup(&u->text, def->keys.items[i].id.p, def->keys.items[i].id.n);
        key->secret = arena_strndup(&u->text, secrets[i], strlen(secrets[i]));
        if (key->id == NULL || key->secret == NULL)
            return err_set(err, ST_NO_MEMORY, "no memory for a provider");
        u->n_keys++;
    }
    if (def->keys.n == 0) { /* one that wants no key, such as a server of one's own */
        u->keys[0].id = u->keys[0].secret = "";
        u->n_keys = 1;
    }
    return ST_OK;
}

static enum status set_texts(struct upstream *u, const struct catalog_provider *def, struct err *err)
{
    struct slice *names = arena_alloc(&u->text, (def->drop_params.n + 1) * sizeof(*names));
    enum status st = names != NULL ? ST_OK : ST_NO_MEMORY;

    for (size_t i = 0; st == ST_OK && i < def->drop_params.n; i++)
        names[i] = arena_copy(&u->text, def->drop_params.items[i], &st);
    u->drop_params.items = names;
    u->drop_params.n = def->drop_params.n;
    if (st == ST_OK && def->api_version.n > 0) {
        u->api_version = arena_strndup(&u->text, def->api_version.p, def->api_version.n);
        st = u->api_version != NULL ? ST_OK : ST_NO_MEMORY;
    }
    return st == ST_OK ? st : err_set(err, st, "no memory for a provider");
}

static enum status fill(struct upstream *u, const struct catalog_provider *def, const char *const *secrets,
                        const struct upstream_defaults *defaults, struct err *err)
{
    char kind[LIMIT_NAME + 1];
    struct slice url = def->base_url;
    enum status st = ST_OK;

    u->adapter = slice_copy(def->kind, kind, sizeof(kind)) ? adapter_find(kind) : NULL;
    if (u->adapter == NULL)
        return err_set(err, ST_BAD_REQUEST, "provider " SLICE_FMT " is of a kind that is not known here: " SLICE_FMT,
                       SLICE_ARG(def->name), SLICE_ARG(def->kind));
    if (url.n == 0)
        url = slice_of(u->adapter->base_url);
    u->base_url = "";
    if (u->adapter->network && url.n == 0)
        return err_set(err, ST_BAD_REQUEST, "provider " SLICE_FMT " needs a base URL", SLICE_ARG(def->name));
    if (u->adapter->network)
        st = set_url(u, def->name, url, def->internal, err);
    if (st == ST_OK)
        st = set_keys(u, def, secrets, err);
    if (st == ST_OK)
        st = set_texts(u, def, err);
    u->drains = def->disconnect.n > 0 ? slice_is(def->disconnect, "drain") : defaults->drains;
    u->connect_ms = def->connect_ms != 0 ? def->connect_ms : defaults->connect_ms;
    u->first_byte_ms = def->first_byte_ms != 0 ? def->first_byte_ms : defaults->first_byte_ms;
    u->answer_ms = def->first_byte_ms != 0 ? def->first_byte_ms : defaults->answer_ms;
    u->idle_ms = def->idle_ms != 0 ? def->idle_ms : defaults->idle_ms;
    u->total_ms = def->total_ms;
    u->chat_only = def->chat_only;
    return st;
}

enum status upstream_new(const struct catalog_provider *def, const char *const *secrets,
                         const struct upstream_defaults *defaults, struct upstream **ret, struct err *err)
{
    struct upstream *u = calloc(1, sizeof(*u));
    enum status st;

    if (u == NULL)
        return err_set(err, ST_NO_MEMORY, "no memory for a provider");
    atomic_init(&u->refs, 1);
    arena_init(&u->text, TEXT_MAX);
    st = fill(u, def, secrets, defaults, err);
    if (st != ST_OK) {
        upstream_unref(u);
        return st;
    }
    *ret = u;
    return ST_OK;
}

struct upstream *upstream_ref(struct upstream *u)
{
    atomic_fetch_add_explicit(&u->refs, 1, memory_order_relaxed);
    return u;
}

void upstream_unref(struct upstream *u)
{
    if (u == NULL || atomic_fetch_sub_explicit(&u->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (unsigned i = 0; i < u->n_keys; i++)
        if (u->keys[i].secret[0] != '\0')
            explicit_bzero((char *)(uintptr_t)u->keys[i].secret, strlen(u->keys[i].secret));
    arena_fini(&u->text);
    if (u->seat != NULL)
        atomic_fetch_sub_explicit(&u->seat->users, 1, memory_order_release);
    free(u);
}

/* ---- keys ----------------------------------------------------------------------------------------------------------
 */

static uint64_t rests(struct provider_key *key)
{
    return atomic_load_explicit(&key->rests_until_ms, memory_order_relaxed);
}

static uint64_t refused(struct provider_key *key)
{
    return atomic_load_explicit(&key->refused_until_ms, memory_order_relaxed);
}

struct provider_key *upstream_pick_key(struct upstream *u, uint64_t now_ms)
{
    unsigned first = u->n_keys > 1 ? atomic_fetch_add_explicit(&u->turn, 1, memory_order_relaxed) : 0;
    struct provider_key *last = NULL;

    for (unsigned i = 0; i < u->n_keys; i++) {
        struct provider_key *key = &u->keys[(first + i) % u->n_keys];

        if (rests(key) > now_ms)
            continue;
        if (refused(key) <= now_ms)
            return key;
        if (last == NULL || refused(key) < refused(last))
            last = key; /* the one that was refused longest ago */
    }
    return last;
}

bool upstream_has_key(struct upstream *u, uint64_t now_ms, uint64_t *ret_wait_ms)
{
    *ret_wait_ms = 0;
    for (unsigned i = 0; i < u->n_keys; i++) {
        uint64_t until = rests(&u->keys[i]);

        if (until <= now_ms)
            return true;
        if (*ret_wait_ms == 0 || until - now_ms < *ret_wait_ms)
            *ret_wait_ms = until - now_ms;
    }
    return false;
}

bool upstream_has_good_key(struct upstream *u, uint64_t now_ms)
{
    for (unsigned i = 0; i < u->n_keys; i++)
        if (rests(&u->keys[i]) <= now_ms && refused(&u->keys[i]) <= now_ms)
            return true;
    return false;
}

void upstream_key_rests(struct provider_key *key, uint64_t now_ms, uint64_t wait_ms)
{
    if (wait_ms == 0)
        wait_ms = UPSTREAM_KEY_REST_MS;
    if (wait_ms > UPSTREAM_KEY_REST_MAX_MS)
        wait_ms = UPSTREAM_KEY_REST_MAX_MS;
    atomic_store_explicit(&key->rests_until_ms, now_ms + wait_ms, memory_order_relaxed);
}

void upstream_key_refused(struct provider_key *key, uint64_t now_ms)
{
    atomic_store_explicit(&key->refused_until_ms, now_ms + UPSTREAM_KEY_REFUSED_MS, memory_order_relaxed);
}
