#include <stdio.h>
#include <string.h>

#include "meterd/audit.h"
#include "meterd/catalog.h"
#include "meterd/ops.h"
#include "meterd/prices.h"
#include "meterd/state.h"

#define MODELS_PAGE 100
#define ROUTING_DEFAULT "weighted"

/* ---- its price -----------------------------------------------------------------------------------------------------
 */

/* Members of the same name mean the same in both. */
static void copy_member(const struct model_price *from, const struct wire_field *f, struct price_put_req *to)
{
    const struct wire_field *t = wire_field_named(&price_put_req_desc, slice_of(f->name));

    if (!t || !((from->has >> f->tag) & 1u))
        return;
    if (f->kind == WIRE_STR)
        memcpy((char *)to + t->offset, (const char *)from + f->offset, sizeof(struct slice));
    else
        memcpy((char *)to + t->offset, (const char *)from + f->offset, sizeof(uint64_t)); /* PICO and U64 */
    to->has |= UINT64_C(1) << t->tag;
}

/* The price machinery names members of the price; here they stand in a member of the model. */
static void name_within(struct err *err)
{
    char field[ERR_PARAM_MAX];

    if (!err || err->status != ST_BAD_REQUEST || !err->param[0])
        return;
    (void)snprintf(field, sizeof(field), "price.%.*s", ERR_PARAM_MAX - 8, err->param);
    memcpy(err->param, field, sizeof(field));
}

static enum status put_price(struct work *w, const struct model_price *from, struct catalog_model *m,
                             struct catalog_model *old)
{
    struct price_put_req req = {.model = m->name};
    struct price *price = arena_alloc(w->a, sizeof(*price));
    uint64_t revision = 0;
    enum status st;
    uint32_t i;

    if (!price)
        return err_set(w->err, ST_NO_MEMORY, "no memory for a price");
    for (i = 0; i < model_price_desc.n_fields; i++)
        copy_member(from, &model_price_desc.fields[i], &req);
    if (!WIRE_HAS(from, 1) || !WIRE_HAS(from, 5))
        return err_set_field(w->err, ST_BAD_REQUEST, "missing_required_parameter",
                             WIRE_HAS(from, 1) ? "price.output" : "price.input",
                             "A price needs both 'input' and 'output', in USD per 1,000,000 tokens.");
    st = prices_put_own(w, &req, price, &revision);
    if (st != ST_OK) {
        name_within(w->err);
        return st;
    }
    m->price.items = price;
    m->price.n = 1;
    if (revision == 0)
        old->price = m->price; /* no difference */
    return ST_OK;
}

static enum status own_price(struct work *w, const struct model_put_req *req, struct catalog_model *m,
                             struct catalog_model *old)
{
    struct price price = {.has = 0};
    enum status st;

    if (WIRE_HAS(req, 9) && !req->own_price && req->price.n)
        return err_set_field(w->err, ST_BAD_REQUEST, "invalid_value", "own_price",
                             "Invalid 'own_price': a model with a 'price' has its own.");
    if (req->price.n) {
        m->own_price = true;
        return put_price(w, &req->price.items[0], m, old);
    }
    if (!WIRE_HAS(req, 9))
        return ST_OK;
    m->own_price = req->own_price;
    if (!req->own_price)
        return ST_OK;
    st = record_get(w, SQL_PRICE_OF_MODEL, BINDS(B_S(m->name)), record_price, &price);
    if (st == ST_NOT_FOUND)
        return err_set_field(w->err, ST_BAD_REQUEST, "invalid_value", "own_price",
                             "Invalid 'own_price': there is no price of the model's name; give one in 'price'.");
    return st;
}

/* ---- putting -------------------------------------------------------------------------------------------------------
 */

static enum status take_routes(struct work *w, const struct model_put_req *req, struct catalog_model *m)
{
    struct catalog_route *list = arena_alloc(w->a, (req->routes.n + 1) * sizeof(*list));
    size_t i;

    if (!list)
        return err_set(w->err, ST_NO_MEMORY, "no memory for routes");
    for (i = 0; i < req->routes.n; i++) {
        list[i] = req->routes.items[i];
        if (!WIRE_HAS(&list[i], 3) && list[i].tier == 0)
            list[i].tier = 1;
        if (!WIRE_HAS(&list[i], 4) && list[i].weight == 0)
            list[i].weight = 1;
        list[i].has = 0;
    }
    m->routes.items = list;
    m->routes.n = req->routes.n;
    return ST_OK;
}

static enum status merge(struct work *w, const struct model_put_req *req, struct catalog_model *m)
{
    m->name = req->name;
    if (WIRE_HAS(req, 4))
        m->aliases = req->aliases;
    if (WIRE_HAS(req, 6))
        m->max_output = req->max_output;
    if (WIRE_HAS(req, 7))
        m->context_window = req->context_window;
    if (WIRE_HAS(req, 8))
        m->routing = req->routing;
    if (m->routing.n == 0)
        m->routing = slice_of(ROUTING_DEFAULT);
    return WIRE_HAS(req, 5) || req->routes.n ? take_routes(w, req, m) : ST_OK;
}

static enum status check_new(struct work *w)
{
    int64_t n = 0;
    enum status st = store_number(w->s, SQL_DEF_MODEL_COUNT, NO_BINDS, 0, &n, w->err);

    if (st == ST_OK && n >= CATALOG_MODELS_MAX)
        st = err_set_field(w->err, ST_BAD_REQUEST, NULL, "name", "There can be at most %d models in the catalog.",
                           CATALOG_MODELS_MAX);
    return st;
}

static enum status check_mode(struct work *w, const struct catalog_how *how, struct slice name, bool found)
{
    if (found && how->mode == CATALOG_CREATE)
        return err_set_field(w->err, ST_CONFLICT, "already_exists", "name", "There is a model '" SLICE_FMT "' already.",
                             SLICE_ARG(name));
    if (!found && how->mode == CATALOG_UPDATE)
        return err_set_field(w->err, ST_NOT_FOUND, "model_not_found", "name",
                             "There is no model '" SLICE_FMT "' in the catalog.", SLICE_ARG(name));
    return found ? ST_OK : check_new(w);
}

static enum status write_model(struct work *w, const struct catalog_how *how, const struct catalog_model *m,
                               struct catalog_done *done)
{
    bool added = done->action == CATALOG_ADDED;
    struct audit_note note = {how->actor, added ? "model.create" : "model.update", m->name, done->detail};
    enum status st;

    done->revision = store_next_revision(w->s);
    st = catalog_save_model(w, m, false, done->revision);
    if (st == ST_OK)
        st = audit_add(w, &note);
    return st == ST_OK ? state_changed(w, &catalog_model_desc, done->revision) : st;
}

enum status catalog_put_model(struct work *w, const struct model_put_req *req, const struct catalog_how *how,
                              struct catalog_model *ret, struct catalog_done *done)
{
    bool config = how->mode == CATALOG_APPLY || how->mode == CATALOG_SEED;
    struct catalog_model old;
    enum status st = catalog_get_model(w, req->name, &old);
    bool found = st == ST_OK;

    *done = (struct catalog_done){.action = found ? CATALOG_CHANGED : CATALOG_ADDED};
    if (st == ST_OK || st == ST_NOT_FOUND)
        st = check_mode(w, how, req->name, found);
    if (st != ST_OK)
        return st;
    *ret = old;
    if (found && how->mode == CATALOG_SEED && slice_is(old.source, CATALOG_API)) {
        done->action = CATALOG_KEPT;
        return ST_OK;
    }
    old.name = req->name;
    ret->source = slice_of(config ? CATALOG_CONFIG : CATALOG_API);
    if (!found)
        ret->created = w->s->now_ms / 1000;
    st = merge(w, req, ret);
    if (st == ST_OK)
        st = catalog_check_model(w, ret);
    if (st == ST_OK)
        st = own_price(w, req, ret, &old);
    if (st == ST_OK)
        st = catalog_diff(w, &catalog_model_desc, &old, ret, config, &done->detail);
    if (st != ST_OK)
        return st;
    if (!found || done->detail.n > 0)
        return write_model(w, how, ret, done);
    done->action = CATALOG_UNCHANGED;
    return ST_OK;
}

enum status op_model_put(struct work *w, const void *in, void *out)
{
    const struct model_put_req *req = in;
    struct model_rep *rep = out;
    struct catalog_how how = {req->create ? CATALOG_CREATE : CATALOG_UPDATE, req->actor_id};
    struct catalog_model *m = arena_alloc(w->a, sizeof(*m));
    struct catalog_done done;
    enum status st;

    if (!m)
        return err_set(w->err, ST_NO_MEMORY, "no memory for a model");
    st = catalog_put_model(w, req, &how, m, &done);
    rep->model.items = m;
    rep->model.n = 1;
    rep->revision = done.revision;
    return st;
}

/* ---- removing and looking ------------------------------------------------------------------------------------------
 */

enum status catalog_drop_model(struct work *w, struct slice name, struct slice actor, uint64_t *ret_revision)
{
    struct audit_note note = {actor, "model.delete", name, {NULL, 0}};
    struct catalog_model m;
    enum status st = catalog_get_model(w, name, &m);

    if (st == ST_NOT_FOUND)
        return err_set_field(w->err, st, "model_not_found", "name", "There is no model '" SLICE_FMT "' in the catalog.",
                             SLICE_ARG(name));
    if (st != ST_OK)
        return st;
    m = (struct catalog_model){.name = m.name, .source = m.source, .created = m.created};
    *ret_revision = store_next_revision(w->s);
    st = catalog_save_model(w, &m, true, *ret_revision);
    if (st == ST_OK)
        st = audit_add(w, &note);
    return st == ST_OK ? state_changed(w, &catalog_model_desc, *ret_revision) : st;
}

enum status op_model_drop(struct work *w, const void *in, void *out)
{
    const struct model_drop_req *req = in;
    struct empty *rep = out;

    return catalog_drop_model(w, req->name, req->actor_id, &rep->revision);
}

static enum status one_model(struct work *w, struct slice name, struct model_list_rep *rep)
{
    struct catalog_model *m = arena_alloc(w->a, sizeof(*m));
    struct price *price = arena_alloc(w->a, sizeof(*price));
    struct slice owner = {NULL, 0};
    enum status st;

    if (!m || !price)
        return err_set(w->err, ST_NO_MEMORY, "no memory for a model");
    st = catalog_get_model(w, name, m);
    if (st == ST_NOT_FOUND)
        st = catalog_alias_of(w, name, &owner);
    if (st == ST_OK && owner.n)
        st = catalog_get_model(w, owner, m);
    if (st != ST_OK || m->name.n == 0)
        return st; /* an empty list */
    rep->data.items = m;
    rep->data.n = 1;
    if (!m->own_price)
        return ST_OK;
    st = record_get(w, SQL_PRICE_OF_MODEL, BINDS(B_S(m->name)), record_price, price);
    m->price.items = price;
    m->price.n = st == ST_OK;
    return st == ST_NOT_FOUND ? ST_OK : st;
}

enum status op_model_list(struct work *w, const void *in, void *out)
{
    const struct model_list_req *req = in;
    struct model_list_rep *rep = out;
    uint64_t limit = record_limit(req->limit, MODELS_PAGE);
    struct record_page page = {.sql = SQL_DEF_MODELS,
                               .binds = BINDS(B_S(req->cursor), B_I(limit + 1)),
                               .fill = catalog_fill_model,
                               .size = sizeof(struct catalog_model),
                               .cursor_column = 5,
                               .limit = limit};
    const struct catalog_model *list;
    enum status st;

    if (req->name.n)
        return one_model(w, req->name, rep);
    st = record_list(w, &page);
    if (st != ST_OK)
        return st;
    list = page.items;
    rep->data.items = list;
    rep->data.n = page.n;
    if (page.next.n > 0)
        rep->next = list[page.n - 1].name;
    return ST_OK;
}
