#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "meterd/audit.h"
#include "meterd/catalog.h"
#include "meterd/ops.h"
#include "meterd/state.h"
#include "services/ids.h"

#define PROVIDERS_PAGE 100
#define KEY_ID_BYTES 10
#define HINT_SHOWN 4 /* characters of a key that are shown */
#define HINT_KEY_MIN 16 /* of a shorter one none is */
#define HINT_DOTS "\xe2\x80\xa6"
#define CHECK_ARENA_MAX (64u * 1024u * 1024u) /* all providers with their keys */

/* ---- keys ----------------------------------------------------------------------------------------------------------
 */

static bool same_secret(struct work *w, struct slice owner, const struct sealed_key *k, struct slice secret)
{
    struct seal_place place = {owner, k->id};
    char opened[LIMIT_SECRET];
    struct slice text;
    bool same = k->sealed.n > 0 && seal_open(&w->s->seal, &place, k->sealed, opened, &text, NULL) == ST_OK &&
                text.n == secret.n && sodium_memcmp(text.p, secret.p, text.n) == 0;

    sodium_memzero(opened, sizeof(opened));
    return same;
}

/* A key that is there already keeps its id: whoever counts by keys goes on counting. */
static bool find_key(struct work *w, const struct catalog_def *old, struct slice secret, struct slice env, size_t *ret)
{
    size_t i;

    for (i = 0; i < old->state.keys.n; i++) {
        const struct sealed_key *k = &old->state.keys.items[i];

        if (env.n ? slice_eq(k->env, env) : same_secret(w, old->def.name, k, secret)) {
            *ret = i;
            return true;
        }
    }
    return false;
}

static enum status make_hint(struct work *w, struct slice secret, struct slice env, struct slice *ret)
{
    struct buf b;
    enum status st;

    buf_init(&b, LIMIT_NAME);
    if (env.n)
        st = buf_addf(&b, "${" SLICE_FMT "}", SLICE_ARG(env));
    else
        st = buf_addc(&b, HINT_DOTS);
    if (st == ST_OK && !env.n && secret.n >= HINT_KEY_MIN)
        st = buf_add(&b, secret.p + secret.n - HINT_SHOWN, HINT_SHOWN);
    if (st == ST_OK)
        *ret = arena_copy(w->a, (struct slice){b.p, b.n}, &st);
    buf_fini(&b);
    return st == ST_OK ? st : err_set(w->err, st, "the name of a key's variable is too long");
}

static enum status make_key(struct work *w, struct slice owner, struct slice secret, struct slice env,
                            struct sealed_key *k)
{
    char id[ID_TEXT_SIZE];
    struct seal_place place;
    enum status st = ST_OK;

    id_make(id, "ukey_", KEY_ID_BYTES);
    k->id = arena_copy(w->a, slice_of(id), &st);
    k->env = env;
    if (st != ST_OK || env.n)
        return st;
    if (!w->s->seal.set)
        return err_set_field(w->err, ST_BAD_REQUEST, "master_key_missing", "api_keys",
                             "A key can be stored only when meterd has a MASTER_KEY. Set one, or write ${NAME} to have "
                             "the key read from providersvc's environment.");
    place = (struct seal_place){owner, k->id};
    return seal_close(&w->s->seal, &place, secret, w->a, &k->sealed, w->err);
}

/* The keys that the request gives become def's, those of old that are among them as they are. */
static enum status put_keys(struct work *w, const struct wire_strs *given, const struct catalog_def *old,
                            struct catalog_def *def)
{
    struct upstream_key *shown = arena_alloc(w->a, (given->n + 1) * sizeof(*shown));
    struct sealed_key *sealed = arena_alloc(w->a, (given->n + 1) * sizeof(*sealed));
    enum status st = ST_OK;
    size_t i, k, at = 0;

    if (!shown || !sealed)
        return err_set(w->err, ST_NO_MEMORY, "no memory for keys");
    for (i = 0; i < given->n && st == ST_OK; i++) {
        struct slice secret = given->items[i], env = {NULL, 0};

        for (k = 0; k < i; k++)
            if (slice_eq(secret, given->items[k]))
                return err_set_field(w->err, ST_BAD_REQUEST, "invalid_value", "api_keys",
                                     "Invalid 'api_keys': number %zu and %zu are the same.", k, i);
        st = catalog_check_key(w, secret, i, &env);
        if (st != ST_OK)
            return st;
        if (find_key(w, old, secret, env, &at)) {
            sealed[i] = old->state.keys.items[at];
            shown[i] = old->def.keys.items[at];
            continue;
        }
        st = make_key(w, def->def.name, secret, env, &sealed[i]);
        shown[i].id = sealed[i].id;
        if (st == ST_OK)
            st = make_hint(w, secret, env, &shown[i].hint);
    }
    def->def.keys.items = shown;
    def->def.keys.n = given->n;
    def->state.keys.items = sealed;
    def->state.keys.n = given->n;
    return st;
}

/* ---- putting -------------------------------------------------------------------------------------------------------
 */

#define TAKE(req, tag, member, to)                                                                                     \
    do {                                                                                                               \
        if (WIRE_HAS(req, tag))                                                                                        \
            (to)->member = (req)->member;                                                                              \
    } while (0)

static void merge(const struct provider_put_req *req, struct catalog_provider *p)
{
    p->name = req->name;
    TAKE(req, 4, kind, p);
    TAKE(req, 5, base_url, p);
    TAKE(req, 6, internal, p);
    TAKE(req, 7, disconnect, p);
    TAKE(req, 8, connect_ms, p);
    TAKE(req, 9, first_byte_ms, p);
    TAKE(req, 10, idle_ms, p);
    TAKE(req, 11, total_ms, p);
    TAKE(req, 12, api_version, p);
    TAKE(req, 13, disabled, p);
    TAKE(req, 14, drop_params, p);
    TAKE(req, 16, chat_only, p);
}

static enum status check_new(struct work *w)
{
    int64_t n = 0;
    enum status st = store_number(w->s, SQL_DEF_PROVIDER_COUNT, NO_BINDS, 0, &n, w->err);

    if (st == ST_OK && n >= LIMIT_PROVIDERS)
        st = err_set_field(w->err, ST_BAD_REQUEST, NULL, "name", "There can be at most %d providers.", LIMIT_PROVIDERS);
    return st;
}

static enum status check_mode(struct work *w, const struct catalog_how *how, struct slice name, bool found)
{
    if (found && how->mode == CATALOG_CREATE)
        return err_set_field(w->err, ST_CONFLICT, "already_exists", "name",
                             "There is a provider '" SLICE_FMT "' already.", SLICE_ARG(name));
    if (!found && how->mode == CATALOG_UPDATE)
        return err_set_field(w->err, ST_NOT_FOUND, "provider_not_found", "name",
                             "There is no provider '" SLICE_FMT "'.", SLICE_ARG(name));
    return found ? ST_OK : check_new(w);
}

static enum status write_provider(struct work *w, const struct catalog_how *how, const struct catalog_def *def,
                                  struct catalog_done *done)
{
    bool added = done->action == CATALOG_ADDED;
    struct audit_note note = {how->actor, added ? "provider.create" : "provider.update", def->def.name, done->detail};
    enum status st;

    done->revision = store_next_revision(w->s);
    st = catalog_save_provider(w, def, false, done->revision);
    if (st == ST_OK)
        st = audit_add(w, &note);
    return st == ST_OK ? state_changed(w, &provider_state_desc, done->revision) : st;
}

enum status catalog_put_provider(struct work *w, const struct provider_put_req *req, const struct catalog_how *how,
                                 struct catalog_provider *ret, struct catalog_done *done)
{
    bool config = how->mode == CATALOG_APPLY || how->mode == CATALOG_SEED;
    struct catalog_def old, def;
    enum status st = catalog_get_provider(w, req->name, &old);
    bool found = st == ST_OK;

    *done = (struct catalog_done){.action = found ? CATALOG_CHANGED : CATALOG_ADDED};
    if (st == ST_OK || st == ST_NOT_FOUND)
        st = check_mode(w, how, req->name, found);
    if (st != ST_OK)
        return st;
    *ret = old.def;
    if (found && how->mode == CATALOG_SEED && slice_is(old.def.source, CATALOG_API)) {
        done->action = CATALOG_KEPT;
        return ST_OK;
    }
    def = old;
    old.def.name = req->name;
    merge(req, &def.def);
    def.def.source = slice_of(config ? CATALOG_CONFIG : CATALOG_API);
    if (!found)
        def.def.created = w->s->now_ms / 1000;
    st = catalog_check_provider(w, &def.def);
    if (st == ST_OK && WIRE_HAS(req, 15))
        st = put_keys(w, &req->api_keys, &old, &def);
    if (st == ST_OK)
        st = catalog_diff(w, &catalog_provider_desc, &old.def, &def.def, config, &done->detail);
    if (st != ST_OK)
        return st;
    if (found && done->detail.n == 0) {
        done->action = CATALOG_UNCHANGED;
        return ST_OK;
    }
    def.def.has |= UINT64_C(1) << 13; /* keys are shown, if only as [] */
    *ret = def.def;
    return write_provider(w, how, &def, done);
}

enum status op_provider_put(struct work *w, const void *in, void *out)
{
    const struct provider_put_req *req = in;
    struct provider_rep *rep = out;
    struct catalog_how how = {req->create ? CATALOG_CREATE : CATALOG_UPDATE, req->actor_id};
    struct catalog_provider *p = arena_alloc(w->a, sizeof(*p));
    struct catalog_done done;
    enum status st;

    if (!p)
        return err_set(w->err, ST_NO_MEMORY, "no memory for a provider");
    st = catalog_put_provider(w, req, &how, p, &done);
    rep->provider.items = p;
    rep->provider.n = 1;
    rep->revision = done.revision;
    return st;
}

/* ---- removing ------------------------------------------------------------------------------------------------------
 */

/* A provider that is built in is still there without the catalog's, so its routes still lead somewhere. */
static enum status check_unused(struct work *w, struct slice name)
{
    struct slice model = {NULL, 0};
    sqlite3_stmt *q = NULL;
    enum status st;

    if (catalog_builtin(name))
        return ST_OK;
    st = store_row(w->s, SQL_DEF_ROUTE_TO, BINDS(B_S(name)), &q, w->err);
    if (st == ST_OK && q)
        st = col_text(q, 0, w->a, &model, w->err);
    store_reset(&q);
    if (st == ST_OK && model.n)
        st = err_set_field(w->err, ST_CONFLICT, "in_use", "name",
                           "The model '" SLICE_FMT "' has a route to the provider '" SLICE_FMT
                           "': change or remove it first.",
                           SLICE_ARG(model), SLICE_ARG(name));
    return st;
}

enum status catalog_drop_provider(struct work *w, struct slice name, struct slice actor, uint64_t *ret_revision)
{
    struct audit_note note = {actor, "provider.delete", name, {NULL, 0}};
    struct catalog_def def;
    enum status st = catalog_get_provider(w, name, &def);

    if (st == ST_NOT_FOUND)
        return err_set_field(w->err, st, "provider_not_found", "name", "There is no provider '" SLICE_FMT "'.",
                             SLICE_ARG(name));
    if (st == ST_OK)
        st = check_unused(w, name);
    if (st != ST_OK)
        return st;
    def.def = (struct catalog_provider){.name = def.def.name, .source = def.def.source};
    *ret_revision = store_next_revision(w->s);
    st = catalog_save_provider(w, &def, true, *ret_revision);
    if (st == ST_OK)
        st = audit_add(w, &note);
    return st == ST_OK ? state_changed(w, &provider_state_desc, *ret_revision) : st;
}

enum status op_provider_drop(struct work *w, const void *in, void *out)
{
    const struct provider_drop_req *req = in;
    struct empty *rep = out;

    return catalog_drop_provider(w, req->name, req->actor_id, &rep->revision);
}

/* ---- looking -------------------------------------------------------------------------------------------------------
 */

static enum status one_provider(struct work *w, struct slice name, struct provider_list_rep *rep)
{
    struct catalog_provider *p = arena_alloc(w->a, sizeof(*p));
    enum status st;

    if (!p)
        return err_set(w->err, ST_NO_MEMORY, "no memory for a provider");
    st = record_get(w, SQL_DEF_PROVIDER, BINDS(B_S(name)), catalog_fill_provider, p);
    if (st == ST_NOT_FOUND)
        return ST_OK; /* an empty list */
    rep->data.items = p;
    rep->data.n = 1;
    return st;
}

enum status op_provider_list(struct work *w, const void *in, void *out)
{
    const struct provider_list_req *req = in;
    struct provider_list_rep *rep = out;
    uint64_t limit = record_limit(req->limit, PROVIDERS_PAGE);
    struct record_page page = {.sql = SQL_DEF_PROVIDERS,
                               .binds = BINDS(B_S(req->cursor), B_I(limit + 1)),
                               .fill = catalog_fill_provider,
                               .size = sizeof(struct catalog_provider),
                               .cursor_column = 12,
                               .limit = limit};
    const struct catalog_provider *list;
    enum status st;

    if (req->name.n)
        return one_provider(w, req->name, rep);
    st = record_list(w, &page);
    if (st != ST_OK)
        return st;
    list = page.items;
    rep->data.items = list;
    rep->data.n = page.n;
    /* In order of names, so the last name is where the next page begins. */
    if (page.next.n > 0)
        rep->next = list[page.n - 1].name;
    return ST_OK;
}

/* ---- at the start --------------------------------------------------------------------------------------------------
 */

static void check_seals_of(struct work *w, const struct catalog_provider *p, const struct log *log)
{
    struct catalog_def def;
    size_t i;

    if (catalog_get_provider(w, p->name, &def) != ST_OK)
        return;
    for (i = 0; i < def.state.keys.n; i++) {
        const struct sealed_key *k = &def.state.keys.items[i];
        struct seal_place place = {p->name, k->id};
        char opened[LIMIT_SECRET];
        struct slice text;

        if (k->sealed.n && seal_open(&w->s->seal, &place, k->sealed, opened, &text, NULL) != ST_OK)
            log_event(log, LOG_WARN, LOG_NO_REQ, "upstream_key_does_not_open", LOG_S("provider", p->name),
                      LOG_S("key", k->id),
                      LOG_C("why", w->s->seal.set ? "it was sealed with another MASTER_KEY" : "MASTER_KEY is not set"));
        sodium_memzero(opened, sizeof(opened));
    }
}

enum status catalog_check_seals(struct store *s, const struct log *log, struct err *err)
{
    struct provider_list_req req = {.limit = CATALOG_ALL};
    struct provider_list_rep rep = {.has = 0};
    struct arena arena;
    struct work w = {.s = s, .a = &arena, .err = err};
    enum status st;
    size_t i;

    arena_init(&arena, CHECK_ARENA_MAX);
    st = op_provider_list(&w, &req, &rep);
    for (i = 0; i < rep.data.n && st == ST_OK; i++)
        check_seals_of(&w, &rep.data.items[i], log);
    arena_fini(&arena);
    return st;
}
