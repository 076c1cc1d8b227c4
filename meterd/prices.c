#include "meterd/prices.h"

#include "meterd/ops.h"
#include "meterd/price_table.h"
#include "meterd/state.h"

#define PRICES_PAGE 100

static struct bind maybe(const struct price *p, unsigned tag, int64_t pico)
{
    return WIRE_HAS(p, tag) ? B_I(pico) : B_NULL;
}

static enum status insert(struct work *w, const struct price *p, uint64_t revision)
{
    return store_run(w->s, SQL_PRICE_INSERT,
                     BINDS(B_S(p->model), B_S(p->provider), B_S(p->mode), B_I(p->input_pico),
                           maybe(p, 5, p->cached_input_pico), maybe(p, 6, p->cache_write_pico),
                           maybe(p, 7, p->cache_write_long_pico), B_I(p->output_pico), B_I(p->tier_above_tokens),
                           maybe(p, 14, p->tier_input_pico), maybe(p, 15, p->tier_cached_input_pico),
                           maybe(p, 16, p->tier_cache_write_pico), maybe(p, 17, p->tier_cache_write_long_pico),
                           maybe(p, 18, p->tier_output_pico), B_I(p->context_window), B_I(p->max_output),
                           B_I(p->created), B_I(p->builtin), B_I(revision)),
                     w->err);
}

enum status prices_put(struct work *w, struct price *price, bool builtin, uint64_t *ret_revision)
{
    uint64_t revision = store_next_revision(w->s);
    enum status st = store_run(w->s, SQL_PRICE_END, BINDS(B_S(price->model)), w->err);

    price->builtin = builtin;
    price->created = w->s->now_ms / 1000;
    if (st == ST_OK)
        st = insert(w, price, revision);
    if (st == ST_OK)
        price->id = (uint64_t)sqlite3_last_insert_rowid(w->s->db);
    *ret_revision = revision;
    return st == ST_OK ? state_changed(w, &price_desc, revision) : st;
}

/* ---- operations ----------------------------------------------------------------------------------------------------
 */

static enum status check_price(struct work *w, const struct price_put_req *req)
{
    if (req->model.n == 0)
        return err_set_field(w->err, ST_BAD_REQUEST, NULL, "model", "A price needs the name of a model.");
    if (req->input_pico < 0 || req->cached_input_pico < 0 || req->cache_write_pico < 0 ||
        req->cache_write_long_pico < 0 || req->output_pico < 0)
        return err_set_field(w->err, ST_BAD_REQUEST, NULL, "input", "A price cannot be negative.");
    return ST_OK;
}

static void set_optional(struct price *p, unsigned tag, int64_t *to, bool has, int64_t pico)
{
    p->has &= ~(UINT64_C(1) << tag);
    if (has || pico > 0)
        p->has |= UINT64_C(1) << tag;
    *to = pico > 0 ? pico : 0;
}

/* What an administrator says is the whole price: a tier of an older version does not live on in it. */
static void apply(const struct price_put_req *req, struct price *p)
{
    struct price old = *p;

    *p = (struct price){.model = req->model, .provider = old.provider, .mode = old.mode};
    p->context_window = WIRE_HAS(req, 9) || req->context_window ? req->context_window : old.context_window;
    p->max_output = WIRE_HAS(req, 10) || req->max_output ? req->max_output : old.max_output;
    p->input_pico = req->input_pico;
    p->output_pico = req->output_pico;
    set_optional(p, 5, &p->cached_input_pico, WIRE_HAS(req, 5), req->cached_input_pico);
    set_optional(p, 6, &p->cache_write_pico, WIRE_HAS(req, 6), req->cache_write_pico);
    set_optional(p, 7, &p->cache_write_long_pico, WIRE_HAS(req, 7), req->cache_write_long_pico);
    if (req->provider.n > 0)
        p->provider = req->provider;
}

enum status op_price_put(struct work *w, const void *in, void *out)
{
    const struct price_put_req *req = in;
    struct price_rep *rep = out;
    struct price *price = arena_alloc(w->a, sizeof(*price));
    enum status st = check_price(w, req);

    if (st != ST_OK)
        return st;
    if (!price)
        return err_set(w->err, ST_NO_MEMORY, "no memory for a price");
    st = record_get(w, SQL_PRICE_OF_MODEL, BINDS(B_S(req->model)), record_price, price);
    if (st == ST_NOT_FOUND)
        *price = (struct price){.provider = slice_of("openai"), .mode = slice_of("chat")};
    else if (st != ST_OK)
        return st;
    apply(req, price);
    rep->price.items = price;
    rep->price.n = 1;
    return prices_put(w, price, false, &rep->revision);
}

static enum status one_price(struct work *w, struct slice model, struct price_list_rep *rep)
{
    struct price *price = arena_alloc(w->a, sizeof(*price));
    enum status st;

    if (!price)
        return err_set(w->err, ST_NO_MEMORY, "no memory for a price");
    st = record_get(w, SQL_PRICE_OF_MODEL, BINDS(B_S(model)), record_price, price);
    if (st == ST_NOT_FOUND)
        return ST_OK; /* an empty list */
    rep->data.items = price;
    rep->data.n = 1;
    return st;
}

enum status op_price_list(struct work *w, const void *in, void *out)
{
    const struct price_list_req *req = in;
    struct price_list_rep *rep = out;
    uint64_t limit = record_limit(req->limit, PRICES_PAGE);
    struct record_page page = {.sql = SQL_PRICES,
                               .binds = BINDS(B_S(req->cursor), B_I(limit + 1)),
                               .fill = record_price,
                               .size = sizeof(struct price),
                               .limit = limit};
    const struct price *list;
    enum status st;

    if (req->model.n > 0)
        return one_price(w, req->model, rep);
    st = record_list(w, &page);
    if (st != ST_OK)
        return st;
    list = page.items;
    rep->data.items = list;
    rep->data.n = page.n;
    /* In order of names, so the last name is where the next page begins. */
    if (page.next.n > 0)
        rep->next = list[page.n - 1].model;
    return ST_OK;
}

/* ---- built-in ------------------------------------------------------------------------------------------------------
 */

static struct price from_table(const struct price_table_row *row)
{
    struct price p = {
        .model = slice_of(row->model),
        .provider = slice_of(row->provider),
        .mode = slice_of(row->mode),
        .input_pico = row->prices.input,
        .output_pico = row->prices.output,
        .context_window = row->context_window,
        .max_output = row->max_output,
        .tier_above_tokens = row->prices.tier_above_tokens,
    };

    set_optional(&p, 5, &p.cached_input_pico, row->prices.cached >= 0, row->prices.cached);
    set_optional(&p, 6, &p.cache_write_pico, row->prices.write_short >= 0, row->prices.write_short);
    set_optional(&p, 7, &p.cache_write_long_pico, row->prices.write_long >= 0, row->prices.write_long);
    if (p.tier_above_tokens > 0) {
        set_optional(&p, 14, &p.tier_input_pico, true, row->prices.tier_input);
        set_optional(&p, 15, &p.tier_cached_input_pico, row->prices.tier_cached >= 0, row->prices.tier_cached);
        set_optional(&p, 16, &p.tier_cache_write_pico, row->prices.tier_write_short >= 0, row->prices.tier_write_short);
        set_optional(&p, 17, &p.tier_cache_write_long_pico, row->prices.tier_write_long >= 0,
                     row->prices.tier_write_long);
        set_optional(&p, 18, &p.tier_output_pico, true, row->prices.tier_output);
    }
    return p;
}

#define PRICE_BITS ((UINT64_C(1) << 5) | (UINT64_C(1) << 6) | (UINT64_C(1) << 7) | (UINT64_C(31) << 14))

static bool same(const struct price *a, const struct price *b)
{
    return ((a->has ^ b->has) & PRICE_BITS) == 0 && a->input_pico == b->input_pico &&
           a->output_pico == b->output_pico && a->cached_input_pico == b->cached_input_pico &&
           a->cache_write_pico == b->cache_write_pico && a->cache_write_long_pico == b->cache_write_long_pico &&
           a->tier_above_tokens == b->tier_above_tokens && a->tier_input_pico == b->tier_input_pico &&
           a->tier_cached_input_pico == b->tier_cached_input_pico &&
           a->tier_cache_write_pico == b->tier_cache_write_pico &&
           a->tier_cache_write_long_pico == b->tier_cache_write_long_pico &&
           a->tier_output_pico == b->tier_output_pico && a->context_window == b->context_window &&
           a->max_output == b->max_output && slice_eq(a->provider, b->provider) && slice_eq(a->mode, b->mode);
}

static enum status add_one(struct work *w, const struct price_table_row *row, uint64_t *n)
{
    struct price now = {0}, table = from_table(row);
    uint64_t revision = 0;
    enum status st = record_get(w, SQL_PRICE_OF_MODEL, BINDS(B_S(table.model)), record_price, &now);

    if (st == ST_OK && (!now.builtin || same(&now, &table)))
        return ST_OK;
    if (st != ST_OK && st != ST_NOT_FOUND)
        return st;
    ++*n;
    return prices_put(w, &table, true, &revision);
}

enum status prices_add_builtin(struct work *w, uint64_t *ret_n)
{
    const struct price_table_row *row;
    enum status st = ST_OK;

    *ret_n = 0;
    for (row = price_table; row->model && st == ST_OK; row++)
        st = add_one(w, row, ret_n);
    return st;
}
