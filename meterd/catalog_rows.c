/* The catalog's rows, read and written. */
#include <string.h>

#include "meterd/catalog.h"

/* ---- providers -----------------------------------------------------------------------------------------------------
 */

static enum status fill_def(struct work *w, sqlite3_stmt *q, struct catalog_provider *p)
{
    struct slice drop;
    enum status st;
    size_t i;
    const struct {
        int column;
        struct slice *to;
    } texts[] = {{0, &p->name},        {1, &p->kind}, {2, &p->base_url}, {4, &p->disconnect},
                 {9, &p->api_version}, {11, &drop},   {13, &p->source}};

    p->internal = col_i64(q, 3) != 0;
    p->connect_ms = col_u64(q, 5);
    p->first_byte_ms = col_u64(q, 6);
    p->idle_ms = col_u64(q, 7);
    p->total_ms = col_u64(q, 8);
    p->disabled = col_i64(q, 10) != 0;
    p->created = col_u64(q, 12);
    p->chat_only = col_i64(q, 14) != 0;
    for (i = 0, st = ST_OK; i < sizeof(texts) / sizeof(texts[0]) && st == ST_OK; i++)
        st = col_text(q, texts[i].column, w->a, texts[i].to, w->err);
    return st == ST_OK ? record_split(w, drop, &p->drop_params) : st;
}

/* Both sides of a provider's keys: what is shown, and what is sealed. */
static enum status fill_keys(struct work *w, struct catalog_def *def)
{
    struct upstream_key *shown = arena_alloc(w->a, LIMIT_UPSTREAM_KEYS * sizeof(*shown));
    struct sealed_key *sealed = arena_alloc(w->a, LIMIT_UPSTREAM_KEYS * sizeof(*sealed));
    sqlite3_stmt *q = NULL;
    size_t n = 0;
    enum status st;

    if (!shown || !sealed)
        return err_set(w->err, ST_NO_MEMORY, "no memory for a provider's keys");
    st = store_row(w->s, SQL_DEF_KEYS, BINDS(B_S(def->def.name)), &q, w->err);
    while (st == ST_OK && q && n < LIMIT_UPSTREAM_KEYS) {
        st = col_text(q, 0, w->a, &shown[n].id, w->err);
        sealed[n].id = shown[n].id;
        if (st == ST_OK)
            st = col_text(q, 1, w->a, &sealed[n].sealed, w->err);
        if (st == ST_OK)
            st = col_text(q, 2, w->a, &sealed[n].env, w->err);
        if (st == ST_OK)
            st = col_text(q, 3, w->a, &shown[n].hint, w->err);
        n++;
        if (st == ST_OK)
            st = store_next(w->s, &q, w->err);
    }
    store_reset(&q);
    def->def.keys.items = shown;
    def->def.keys.n = n;
    def->def.has |= UINT64_C(1) << 13; /* shown as [] when there are none */
    def->state.keys.items = sealed;
    def->state.keys.n = n;
    return st;
}

static enum status fill_both(struct work *w, sqlite3_stmt *q, void *to)
{
    struct catalog_def *def = to;
    enum status st = fill_def(w, q, &def->def);

    return st == ST_OK ? fill_keys(w, def) : st;
}

enum status catalog_fill_provider(struct work *w, sqlite3_stmt *q, void *to)
{
    struct catalog_def def = {.def = {.has = 0}};
    enum status st = fill_both(w, q, &def);

    memcpy(to, &def.def, sizeof(def.def));
    return st;
}

enum status catalog_fill_state(struct work *w, sqlite3_stmt *q, void *to)
{
    struct catalog_def *def = arena_alloc(w->a, sizeof(*def));
    enum status st;

    if (!def)
        return err_set(w->err, ST_NO_MEMORY, "no memory for a provider");
    st = fill_both(w, q, def);
    def->state.provider.items = &def->def;
    def->state.provider.n = 1;
    memcpy(to, &def->state, sizeof(def->state));
    return st;
}

enum status catalog_get_provider(struct work *w, struct slice name, struct catalog_def *ret)
{
    memset(ret, 0, sizeof(*ret));
    return record_get(w, SQL_DEF_PROVIDER, BINDS(B_S(name)), fill_both, ret);
}

static enum status save_keys(struct work *w, const struct catalog_def *def)
{
    enum status st = ST_OK;
    size_t i;

    for (i = 0; i < def->state.keys.n && st == ST_OK; i++) {
        const struct sealed_key *k = &def->state.keys.items[i];

        st = store_run(w->s, SQL_DEF_KEY_INSERT,
                       BINDS(B_S(def->def.name), B_I(i), B_S(k->id), k->sealed.n ? B_B(k->sealed) : B_NULL,
                             k->sealed.n ? B_NULL : B_S(k->env), B_S(def->def.keys.items[i].hint)),
                       w->err);
    }
    return st;
}

enum status catalog_save_provider(struct work *w, const struct catalog_def *def, bool gone, uint64_t revision)
{
    const struct catalog_provider *p = &def->def;
    struct slice drop = {NULL, 0};
    enum status st = record_join(w, "drop_params", &p->drop_params, &drop);

    if (st == ST_OK)
        st = store_run(w->s, SQL_DEF_KEYS_DROP, BINDS(B_S(p->name)), w->err);
    if (st == ST_OK)
        st = store_run(w->s, SQL_DEF_PROVIDER_PUT,
                       BINDS(B_S(p->name), B_S(p->kind), B_S(p->base_url), B_I(p->internal), B_S(p->disconnect),
                             B_I(p->connect_ms), B_I(p->first_byte_ms), B_I(p->idle_ms), B_I(p->total_ms),
                             B_S(p->api_version), B_I(p->disabled), B_S(drop), B_I(p->created), B_S(p->source),
                             B_I(gone), B_I(revision), B_I(p->chat_only)),
                       w->err);
    return st == ST_OK && !gone ? save_keys(w, def) : st;
}

/* ---- models --------------------------------------------------------------------------------------------------------
 */

static enum status fill_aliases(struct work *w, struct catalog_model *m)
{
    struct slice *list = arena_alloc(w->a, LIMIT_MODELS * sizeof(*list));
    sqlite3_stmt *q = NULL;
    size_t n = 0;
    enum status st;

    if (!list)
        return err_set(w->err, ST_NO_MEMORY, "no memory for aliases");
    st = store_row(w->s, SQL_DEF_ALIASES, BINDS(B_S(m->name)), &q, w->err);
    while (st == ST_OK && q && n < LIMIT_MODELS) {
        st = col_text(q, 0, w->a, &list[n++], w->err);
        if (st == ST_OK)
            st = store_next(w->s, &q, w->err);
    }
    store_reset(&q);
    m->aliases = (struct wire_strs){list, n};
    return st;
}

static enum status fill_routes(struct work *w, struct catalog_model *m)
{
    struct catalog_route *list = arena_alloc(w->a, LIMIT_ROUTES * sizeof(*list));
    sqlite3_stmt *q = NULL;
    size_t n = 0;
    enum status st;

    if (!list)
        return err_set(w->err, ST_NO_MEMORY, "no memory for routes");
    st = store_row(w->s, SQL_DEF_ROUTES, BINDS(B_S(m->name)), &q, w->err);
    while (st == ST_OK && q && n < LIMIT_ROUTES) {
        list[n].tier = col_u64(q, 2);
        list[n].weight = col_u64(q, 3);
        st = col_text(q, 0, w->a, &list[n].provider, w->err);
        if (st == ST_OK)
            st = col_text(q, 1, w->a, &list[n].model, w->err);
        n++;
        if (st == ST_OK)
            st = store_next(w->s, &q, w->err);
    }
    store_reset(&q);
    m->routes.items = list;
    m->routes.n = n;
    return st;
}

enum status catalog_fill_model(struct work *w, sqlite3_stmt *q, void *to)
{
    struct catalog_model *m = to;
    enum status st = col_text(q, 0, w->a, &m->name, w->err);

    m->max_output = col_u64(q, 1);
    m->context_window = col_u64(q, 2);
    m->own_price = col_i64(q, 4) != 0;
    m->created = col_u64(q, 5);
    if (st == ST_OK)
        st = col_text(q, 3, w->a, &m->routing, w->err);
    if (st == ST_OK)
        st = col_text(q, 6, w->a, &m->source, w->err);
    if (st == ST_OK)
        st = fill_aliases(w, m);
    return st == ST_OK ? fill_routes(w, m) : st;
}

enum status catalog_get_model(struct work *w, struct slice name, struct catalog_model *ret)
{
    memset(ret, 0, sizeof(*ret));
    return record_get(w, SQL_DEF_MODEL, BINDS(B_S(name)), catalog_fill_model, ret);
}

enum status catalog_alias_of(struct work *w, struct slice alias, struct slice *ret_model)
{
    sqlite3_stmt *q = NULL;
    enum status st = store_row(w->s, SQL_DEF_ALIAS_OF, BINDS(B_S(alias)), &q, w->err);

    *ret_model = (struct slice){NULL, 0};
    if (st == ST_OK && q)
        st = col_text(q, 0, w->a, ret_model, w->err);
    store_reset(&q);
    return st;
}

static enum status save_names_and_routes(struct work *w, const struct catalog_model *m)
{
    enum status st = ST_OK;
    size_t i;

    for (i = 0; i < m->aliases.n && st == ST_OK; i++)
        st = store_run(w->s, SQL_DEF_ALIAS_INSERT, BINDS(B_S(m->aliases.items[i]), B_S(m->name), B_I(i)), w->err);
    for (i = 0; i < m->routes.n && st == ST_OK; i++) {
        const struct catalog_route *r = &m->routes.items[i];

        st = store_run(w->s, SQL_DEF_ROUTE_INSERT,
                       BINDS(B_S(m->name), B_I(i), B_S(r->provider), B_S(r->model), B_I(r->tier), B_I(r->weight)),
                       w->err);
    }
    return st;
}

enum status catalog_save_model(struct work *w, const struct catalog_model *m, bool gone, uint64_t revision)
{
    enum status st = store_run(w->s, SQL_DEF_ALIASES_DROP, BINDS(B_S(m->name)), w->err);

    if (st == ST_OK)
        st = store_run(w->s, SQL_DEF_ROUTES_DROP, BINDS(B_S(m->name)), w->err);
    if (st == ST_OK)
        st = store_run(w->s, SQL_DEF_MODEL_PUT,
                       BINDS(B_S(m->name), B_I(m->max_output), B_I(m->context_window), B_S(m->routing),
                             B_I(m->own_price), B_I(m->created), B_S(m->source), B_I(gone), B_I(revision)),
                       w->err);
    return st == ST_OK && !gone ? save_names_and_routes(w, m) : st;
}
