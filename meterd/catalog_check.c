/* What a provider and a model of the catalog must be. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "meterd/catalog.h"
#include "services/env_ref.h"

#define PARAM_NAME_MAX 64 /* of a member that a provider refuses */
#define PORT_MAX 65535

static enum status bad(struct work *w, const char *field, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static enum status bad(struct work *w, const char *field, const char *format, ...)
{
    char why[ERR_TEXT_MAX];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(why, sizeof(why), format, args);
    va_end(args);
    return err_set_field(w->err, ST_BAD_REQUEST, "invalid_value", field, "Invalid '%s': %s", field, why);
}

static enum status bad_at(struct work *w, const char *list, size_t i, const char *member, const char *why)
{
    char field[ERR_PARAM_MAX];

    (void)snprintf(field, sizeof(field), "%s[%zu]%s%s", list, i, member ? "." : "", member ? member : "");
    return bad(w, field, "%s", why);
}

/* Another object has the name already: a mistake, or at a start somebody's later wish (meterd/config.c). */
static enum status taken(struct work *w, const char *list, size_t i, const char *why)
{
    enum status st = list ? bad_at(w, list, i, NULL, why) : bad(w, "name", "%s", why);

    if (w->err)
        slice_copy(slice_of(CATALOG_NAME_TAKEN), w->err->code, sizeof(w->err->code));
    return st;
}

/* Without spaces and control characters, U+0080 … U+00A0 included, and nothing that a CONFIG file would replace. */
static bool word_ok(struct slice s)
{
    size_t i;

    for (i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c <= 0x20 || c == 0x7f || (c == 0xc2 && i + 1 < s.n && (unsigned char)s.p[i + 1] <= 0xa0))
            return false;
    }
    return s.n > 0 && !memmem(s.p, s.n, "${", 2);
}

static bool one_of(struct slice s, const char *const *list)
{
    for (; *list; list++)
        if (slice_is(s, *list))
            return true;
    return false;
}

bool catalog_builtin(struct slice provider)
{
    static const char *const names[] = {"openai", "anthropic", "gemini", "echo", NULL};

    return one_of(provider, names);
}

/* ---- base_url ------------------------------------------------------------------------------------------------------
 */

static bool host_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
           c == '_';
}

/* [IPv6]: what is between the brackets. */
static bool literal_ok(struct slice s)
{
    size_t i;

    for (i = 0; i < s.n; i++)
        if (!strchr("0123456789abcdefABCDEF:.", s.p[i]))
            return false;
    return s.n > 1;
}

static bool port_ok(struct slice s)
{
    unsigned port = 0;
    size_t i;

    for (i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9' || port > PORT_MAX)
            return false;
        port = port * 10 + (unsigned)(s.p[i] - '0');
    }
    return port > 0 && port <= PORT_MAX;
}

/* host, host:port, [address]:port */
static const char *authority_wrong(struct slice s)
{
    const char *close = s.n && s.p[0] == '[' ? memchr(s.p, ']', s.n) : NULL;
    size_t host = 0;

    if (s.n && memchr(s.p, '@', s.n))
        return "it must not hold a user name or password: keys go into api_keys.";
    if (close) {
        host = (size_t)(close - s.p) + 1;
        if (!literal_ok((struct slice){s.p + 1, host - 2}))
            return "what stands in [] is no IPv6 address.";
    } else {
        while (host < s.n && host_char(s.p[host]))
            host++;
    }
    if (host == 0)
        return "it names no host.";
    if (host < s.n && s.p[host] != ':')
        return "the host has a character that no host name has.";
    if (host < s.n && !port_ok((struct slice){s.p + host + 1, s.n - host - 1}))
        return "the port is not a number from 1 to 65535.";
    return NULL;
}

static const char *url_wrong(struct slice url)
{
    static const char http[] = "http://", https[] = "https://";
    size_t scheme = 0, end, i;

    if (url.n >= sizeof(http) - 1 && memcmp(url.p, http, sizeof(http) - 1) == 0)
        scheme = sizeof(http) - 1;
    else if (url.n >= sizeof(https) - 1 && memcmp(url.p, https, sizeof(https) - 1) == 0)
        scheme = sizeof(https) - 1;
    if (scheme == 0)
        return "it must begin with https:// or http://.";
    for (i = 0; i < url.n; i++) {
        if (url.p[i] <= 0x20 || url.p[i] >= 0x7f || strchr("\"<>\\^`{|}", url.p[i]))
            return "it has a space or another character that no URL has.";
        if (url.p[i] == '?' || url.p[i] == '#')
            return "it must not have a query or a fragment.";
    }
    for (end = scheme; end < url.n && url.p[end] != '/'; end++)
        ;
    return authority_wrong((struct slice){url.p + scheme, end - scheme});
}

/* ---- providers -----------------------------------------------------------------------------------------------------
 */

static enum status check_timeout(struct work *w, const char *field, uint64_t ms, uint64_t lowest, uint64_t highest)
{
    if (ms == 0 || (ms >= lowest && ms <= highest))
        return ST_OK;
    return bad(w, field, "%llu ms is not within %llu and %llu (0 = as the setting says).", (unsigned long long)ms,
               (unsigned long long)lowest, (unsigned long long)highest);
}

static enum status check_timeouts(struct work *w, const struct catalog_provider *p)
{
    enum status st = check_timeout(w, "connect_ms", p->connect_ms, CATALOG_CONNECT_MS_MIN, CATALOG_CONNECT_MS_MAX);

    if (st == ST_OK)
        st = check_timeout(w, "first_byte_ms", p->first_byte_ms, CATALOG_WAIT_MS_MIN, CATALOG_WAIT_MS_MAX);
    if (st == ST_OK)
        st = check_timeout(w, "idle_ms", p->idle_ms, CATALOG_WAIT_MS_MIN, CATALOG_WAIT_MS_MAX);
    return st == ST_OK ? check_timeout(w, "total_ms", p->total_ms, CATALOG_WAIT_MS_MIN, CATALOG_WAIT_MS_MAX) : st;
}

static bool param_ok(struct slice s)
{
    size_t i;

    for (i = 0; i < s.n; i++)
        if (!host_char(s.p[i]))
            return false;
    return s.n > 0 && s.n <= PARAM_NAME_MAX;
}

static enum status check_params(struct work *w, const struct wire_strs *list)
{
    size_t i;

    for (i = 0; i < list->n; i++) {
        if (!param_ok(list->items[i]))
            return bad_at(w, "drop_params", i, NULL,
                          "the name of a member has letters, digits, '_', '-' and '.' only.");
        if (slice_is(list->items[i], "model") || slice_is(list->items[i], "stream"))
            return bad_at(w, "drop_params", i, NULL, "a request without it is another one.");
    }
    return ST_OK;
}

static enum status check_url(struct work *w, const struct catalog_provider *p)
{
    const char *why = p->base_url.n ? url_wrong(p->base_url) : NULL;

    if (why)
        return bad(w, "base_url", "%s", why);
    if (p->base_url.n == 0 && slice_is(p->kind, "azure"))
        return bad(w, "base_url", "an azure provider needs one: https://RESOURCE.openai.azure.com/openai/v1");
    if (p->api_version.n && !slice_is(p->kind, "azure"))
        return bad(w, "api_version", "only azure has one.");
    if (p->api_version.n && !param_ok(p->api_version))
        return bad(w, "api_version", "it has letters, digits and '-' only.");
    return ST_OK;
}

enum status catalog_check_provider(struct work *w, const struct catalog_provider *p)
{
    static const char *const kinds[] = {"openai", "azure", "anthropic", "gemini", "echo", NULL};
    static const char *const disconnects[] = {"", "cancel", "drain", NULL};
    enum status st;

    if (!word_ok(p->name) || p->name.n > LIMIT_NAME || memchr(p->name.p, '/', p->name.n))
        return bad(w, "name", "a provider's name has 1 to %d bytes, no spaces, control characters or slashes.",
                   LIMIT_NAME);
    if (!one_of(p->kind, kinds))
        return bad(w, "kind", "it is openai, azure, anthropic, gemini or echo.");
    if (!one_of(p->disconnect, disconnects))
        return bad(w, "disconnect", "it is cancel or drain; empty = as DISCONNECT says.");
    if (p->chat_only && !slice_is(p->kind, "openai"))
        return bad(w, "chat_only", "only a provider of kind openai can be without a Responses API.");
    st = check_url(w, p);
    if (st == ST_OK)
        st = check_timeouts(w, p);
    return st == ST_OK ? check_params(w, &p->drop_params) : st;
}

enum status catalog_check_key(struct work *w, struct slice key, size_t index, struct slice *ret_env)
{
    char field[32];
    size_t i;

    *ret_env = (struct slice){NULL, 0};
    (void)snprintf(field, sizeof(field), "api_keys[%zu]", index);
    if (env_ref_is(key, ret_env))
        return env_ref_check(*ret_env, field, w->err);
    if (key.n >= 2 && memmem(key.p, key.n, "${", 2))
        return bad(w, field, "a key is either wholly ${NAME} or the key itself.");
    for (i = 0; i < key.n; i++)
        if (key.p[i] <= 0x20 || key.p[i] >= 0x7f)
            return bad(w, field, "a key has printable ASCII characters only, and no spaces.");
    if (key.n == 0 || key.n > LIMIT_SECRET)
        return bad(w, field, "a key has 1 to %d characters.", LIMIT_SECRET);
    return ST_OK;
}

/* ---- models --------------------------------------------------------------------------------------------------------
 */

static bool model_name_ok(struct slice name)
{
    return word_ok(name) && name.n <= LIMIT_MODEL;
}

static enum status check_aliases(struct work *w, const struct catalog_model *m)
{
    size_t i, k;

    for (i = 0; i < m->aliases.n; i++) {
        struct catalog_model other = {.has = 0};
        struct slice alias = m->aliases.items[i], owner;
        enum status st;

        if (!model_name_ok(alias))
            return bad_at(w, "aliases", i, NULL, "a name has no spaces or control characters.");
        for (k = 0; k < i; k++)
            if (slice_eq(alias, m->aliases.items[k]))
                return bad_at(w, "aliases", i, NULL, "it stands in the list twice.");
        if (slice_eq(alias, m->name))
            return bad_at(w, "aliases", i, NULL, "it is the model's own name.");
        st = catalog_get_model(w, alias, &other);
        if (st == ST_OK)
            return taken(w, "aliases", i, "there is a model of that name.");
        if (st == ST_NOT_FOUND)
            st = catalog_alias_of(w, alias, &owner);
        if (st == ST_OK && owner.n && !slice_eq(owner, m->name))
            return taken(w, "aliases", i, "another model has this alias.");
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

static enum status check_route(struct work *w, const struct catalog_model *m, size_t i)
{
    const struct catalog_route *r = &m->routes.items[i];
    struct catalog_def def;
    enum status st;
    size_t k;

    if (!model_name_ok(r->model))
        return bad_at(w, "routes", i, "model", "it must name the model there, without spaces or control characters.");
    if (r->tier == 0)
        return bad_at(w, "routes", i, "tier", "tiers begin with 1.");
    if (r->weight == 0)
        return bad_at(w, "routes", i, "weight", "a weight is 1 or more; leave the route out to send nothing there.");
    for (k = 0; k < i; k++)
        if (slice_eq(r->provider, m->routes.items[k].provider) && slice_eq(r->model, m->routes.items[k].model))
            return bad_at(w, "routes", i, NULL, "the same provider and model stand in another route already.");
    if (catalog_builtin(r->provider))
        return ST_OK;
    st = catalog_get_provider(w, r->provider, &def);
    if (st != ST_NOT_FOUND)
        return st;
    return bad_at(w, "routes", i, "provider", "there is no provider of that name.");
}

enum status catalog_check_model(struct work *w, const struct catalog_model *m)
{
    static const char *const routings[] = {"weighted", "latency", NULL};
    struct slice owner = {NULL, 0};
    enum status st;
    size_t i;

    if (!model_name_ok(m->name))
        return bad(w, "name", "a model's name has 1 to %d bytes, no spaces or control characters.", LIMIT_MODEL);
    st = catalog_alias_of(w, m->name, &owner);
    if (st != ST_OK)
        return st;
    if (owner.n)
        return taken(w, NULL, 0, "it is an alias of another model.");
    if (!one_of(m->routing, routings))
        return bad(w, "routing", "it is weighted or latency.");
    if (m->routes.n == 0)
        return bad(w, "routes", "a model needs at least one; to be rid of it, remove the model.");
    st = check_aliases(w, m);
    for (i = 0; i < m->routes.n && st == ST_OK; i++)
        st = check_route(w, m, i);
    return st;
}
