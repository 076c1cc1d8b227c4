#include "meterd/prices.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "meterd/audit.h"
#include "meterd/ops.h"
#include "meterd/price_table.h"
#include "meterd/state.h"

#define PRICES_PAGE 100

/* The prices that may be absent: in a request, in a version, and what a client calls them. */
struct optional_price {
    const char *name;
    unsigned req_tag, tag;
    size_t in_req, in_price;
};

#define OPTIONAL(name, req_tag, tag)                                                                                   \
    {                                                                                                                  \
#name, req_tag, tag, offsetof(struct price_put_req, name##_pico), offsetof(struct price, name##_pico)          \
    }

static const struct optional_price optionals[] = {
    OPTIONAL(cached_input, 5, 5),        OPTIONAL(cache_write, 6, 6),        OPTIONAL(cache_write_long, 7, 7),
    OPTIONAL(audio_input, 11, 20),       OPTIONAL(audio_output, 12, 21),     OPTIONAL(image_input, 13, 22),
    OPTIONAL(image_output, 14, 23),      OPTIONAL(reasoning, 15, 24),        OPTIONAL(tier_input, 17, 14),
    OPTIONAL(tier_cached_input, 18, 15), OPTIONAL(tier_cache_write, 19, 16), OPTIONAL(tier_cache_write_long, 20, 17),
    OPTIONAL(tier_output, 21, 18),
};

#define N_OPTIONALS (sizeof(optionals) / sizeof(optionals[0]))

static int64_t in_req(const struct price_put_req *req, const struct optional_price *o)
{
    return *(const int64_t *)(const void *)((const char *)req + o->in_req);
}

static int64_t in_price(const struct price *p, const struct optional_price *o)
{
    return *(const int64_t *)(const void *)((const char *)p + o->in_price);
}

static bool in_tier(const struct optional_price *o)
{
    return strncmp(o->name, "tier_", 5) == 0;
}

/* ---- versions ------------------------------------------------------------------------------------------------------
 */

static struct bind maybe(const struct price *p, unsigned tag, int64_t pico)
{
    return WIRE_HAS(p, tag) ? B_I(pico) : B_NULL;
}

static enum status insert(struct work *w, struct price *p, bool in_force, uint64_t revision)
{
    enum status st = store_run(
        w->s, SQL_PRICE_INSERT,
        BINDS(B_S(p->model), B_S(p->provider), B_S(p->mode), B_I(p->input_pico), maybe(p, 5, p->cached_input_pico),
              maybe(p, 6, p->cache_write_pico), maybe(p, 7, p->cache_write_long_pico), B_I(p->output_pico),
              B_I(p->tier_above_tokens), maybe(p, 14, p->tier_input_pico), maybe(p, 15, p->tier_cached_input_pico),
              maybe(p, 16, p->tier_cache_write_pico), maybe(p, 17, p->tier_cache_write_long_pico),
              maybe(p, 18, p->tier_output_pico), B_I(p->context_window), B_I(p->max_output), B_I(p->created),
              B_I(p->builtin), B_I(in_force), B_I(revision), maybe(p, 20, p->audio_input_pico),
              maybe(p, 22, p->image_input_pico), maybe(p, 21, p->audio_output_pico), maybe(p, 23, p->image_output_pico),
              maybe(p, 24, p->reasoning_pico)),
        w->err);

    if (st == ST_OK)
        p->id = (uint64_t)sqlite3_last_insert_rowid(w->s->db);
    return st;
}

enum status prices_put(struct work *w, struct price *price, bool builtin, uint64_t *ret_revision)
{
    uint64_t revision = store_next_revision(w->s);
    enum status st;

    price->builtin = builtin;
    price->created = w->s->now_ms / 1000;
    st = store_run(w->s, SQL_PRICE_END, BINDS(B_S(price->model), B_I(price->created)), w->err);
    if (st == ST_OK)
        st = insert(w, price, true, revision);
    *ret_revision = revision;
    return st == ST_OK ? state_changed(w, &price_desc, revision) : st;
}

enum status prices_wait(struct work *w, struct price *price, uint64_t *ret_revision)
{
    uint64_t revision = store_next_revision(w->s);
    enum status st = store_run(w->s, SQL_PRICE_REPLACE, BINDS(B_S(price->model), B_I(price->created)), w->err);

    price->builtin = false;
    *ret_revision = revision;
    return st == ST_OK ? insert(w, price, false, revision) : st;
}

/* The version that waits longest of those whose time has come; *ret_id = 0 when there is none. */
static enum status next_due(struct work *w, int64_t *ret_id, uint64_t *ret_from, struct slice *ret_model)
{
    sqlite3_stmt *q = NULL;
    enum status st = store_row(w->s, SQL_PRICE_DUE, BINDS(B_I(w->s->now_ms / 1000)), &q, w->err);

    *ret_id = 0;
    if (st == ST_OK && q) {
        *ret_id = col_i64(q, 0);
        *ret_from = col_u64(q, 2);
        st = col_text(q, 1, w->a, ret_model, w->err);
    }
    store_reset(&q);
    return st;
}

enum status prices_take_force(struct work *w)
{
    struct slice model;
    uint64_t from = 0;
    int64_t id = 0;
    enum status st;

    while ((st = next_due(w, &id, &from, &model)) == ST_OK && id != 0) {
        uint64_t revision = store_next_revision(w->s);

        st = store_run(w->s, SQL_PRICE_END, BINDS(B_S(model), B_I(from)), w->err);
        if (st == ST_OK)
            st = store_run(w->s, SQL_PRICE_BEGIN, BINDS(B_I(id), B_I(revision)), w->err);
        if (st == ST_OK)
            st = state_changed(w, &price_desc, revision);
        if (st != ST_OK)
            return st;
    }
    return st;
}

enum status prices_next(struct work *w, uint64_t *ret_s)
{
    int64_t from = 0;
    enum status st = store_number(w->s, SQL_PRICE_NEXT, NO_BINDS, 0, &from, w->err);

    *ret_s = from > 0 ? (uint64_t)from : 0;
    return st;
}

/* ---- a new one -----------------------------------------------------------------------------------------------------
 */

static enum status bad(struct work *w, const char *field, const char *text)
{
    return err_set_field(w->err, ST_BAD_REQUEST, "invalid_value", field, "%s", text);
}

static enum status check_pico(struct work *w, const char *name, int64_t pico)
{
    if (pico < 0)
        return err_set_field(w->err, ST_BAD_REQUEST, "invalid_value", name, "A price cannot be negative: '%s'.", name);
    if (pico > MONEY_PICO_MAX)
        return err_set_field(w->err, ST_BAD_REQUEST, "invalid_value", name,
                             "A price is at most 1000000 USD per 1,000,000 tokens: '%s'.", name);
    return ST_OK;
}

static enum status check_tier(struct work *w, const struct price_put_req *req)
{
    size_t i;

    for (i = 0; i < N_OPTIONALS; i++) {
        const struct optional_price *o = &optionals[i];
        bool given = WIRE_HAS(req, o->req_tag) || in_req(req, o) != 0;
        bool due = o->tag == 14 || o->tag == 18; /* tier_input, tier_output */

        if (!in_tier(o))
            continue;
        if (given && req->tier_above_tokens == 0)
            return err_set_field(w->err, ST_BAD_REQUEST, "missing_required_parameter", "tier_above_tokens",
                                 "'%s' is a price of a tier: 'tier_above_tokens' must say above how many tokens of "
                                 "input it holds.",
                                 o->name);
        if (due && !given && req->tier_above_tokens > 0)
            return err_set_field(w->err, ST_BAD_REQUEST, "missing_required_parameter", o->name,
                                 "A tier needs both 'tier_input' and 'tier_output': '%s' is missing.", o->name);
    }
    return ST_OK;
}

static bool word_ok(struct slice s)
{
    size_t i;

    for (i = 0; i < s.n; i++)
        if (!(s.p[i] >= 'a' && s.p[i] <= 'z') && !(s.p[i] >= '0' && s.p[i] <= '9') && s.p[i] != '_' && s.p[i] != '-')
            return false;
    return true;
}

static enum status check_when(struct work *w, uint64_t valid_from)
{
    uint64_t now = w->s->now_ms / 1000;

    if (valid_from == 0 || valid_from + PRICES_LATE_S >= now)
        return ST_OK;
    return err_set_field(w->err, ST_BAD_REQUEST, "invalid_value", "valid_from",
                         "'valid_from' lies in the past (%llu, it is %llu): what was admitted before is billed by the "
                         "price of its time. Leave it out for a price that holds from now on.",
                         (unsigned long long)valid_from, (unsigned long long)now);
}

static enum status check_price(struct work *w, const struct price_put_req *req)
{
    enum status st;
    size_t i;

    if (req->model.n == 0)
        return bad(w, "model", "A price needs the name of a model.");
    for (i = 0; i < req->model.n; i++)
        if ((unsigned char)req->model.p[i] < 0x20 || req->model.p[i] == 0x7f)
            return bad(w, "model", "The name of a model cannot have control characters.");
    st = check_pico(w, "input", req->input_pico);
    if (st == ST_OK)
        st = check_pico(w, "output", req->output_pico);
    for (i = 0; st == ST_OK && i < N_OPTIONALS; i++)
        st = check_pico(w, optionals[i].name, in_req(req, &optionals[i]));
    if (st == ST_OK)
        st = check_tier(w, req);
    if (st == ST_OK && !word_ok(req->mode))
        st = bad(w, "mode", "A mode is a word of small letters, digits, '_' and '-', such as \"chat\".");
    return st == ST_OK ? check_when(w, req->valid_from) : st;
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
    size_t i;

    *p = (struct price){.model = req->model, .provider = old.provider, .mode = old.mode};
    p->context_window = WIRE_HAS(req, 9) || req->context_window ? req->context_window : old.context_window;
    p->max_output = WIRE_HAS(req, 10) || req->max_output ? req->max_output : old.max_output;
    p->input_pico = req->input_pico;
    p->output_pico = req->output_pico;
    p->tier_above_tokens = req->tier_above_tokens;
    for (i = 0; i < N_OPTIONALS; i++) {
        const struct optional_price *o = &optionals[i];

        set_optional(p, o->tag, (int64_t *)(void *)((char *)p + o->in_price), WIRE_HAS(req, o->req_tag),
                     in_req(req, o));
    }
    if (req->provider.n > 0)
        p->provider = req->provider;
    if (req->mode.n > 0)
        p->mode = req->mode;
}

/* The version that a new one follows: it inherits what its request leaves out. */
static enum status before(struct work *w, const struct price_put_req *req, struct price *price)
{
    enum status st =
        record_get(w, SQL_PRICE_LAST_WAITING, BINDS(B_S(req->model), B_I(req->valid_from)), record_price, price);

    if (st == ST_NOT_FOUND)
        st = record_get(w, SQL_PRICE_OF_MODEL, BINDS(B_S(req->model)), record_price, price);
    if (st != ST_NOT_FOUND)
        return st;
    *price = (struct price){.provider = slice_of("openai"), .mode = slice_of("chat")};
    return ST_OK;
}

/* What was said of the price: absent members are the old version's, or follow from others. */
static enum status note_price(struct work *w, const struct price_put_req *req)
{
    struct audit_note note = {.actor = req->actor_id, .action = "price.put", .object = req->model};
    /* A price of zero is said, too. */
    struct price_put_req before = {.actor_id = req->actor_id, .model = req->model, .input_pico = -1, .output_pico = -1};

    return audit_change(w, &note, &price_put_req_desc, &before, req);
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
    /* One whose time has come holds from its second on, not from after this one. */
    st = prices_take_force(w);
    if (st == ST_OK)
        st = before(w, req, price);
    if (st != ST_OK)
        return st;
    apply(req, price);
    rep->price.items = price;
    rep->price.n = 1;
    if (req->valid_from <= w->s->now_ms / 1000) {
        st = prices_put(w, price, false, &rep->revision);
    } else {
        price->created = req->valid_from;
        st = prices_wait(w, price, &rep->revision);
    }
    return st == ST_OK ? note_price(w, req) : st;
}

/* ---- lists ---------------------------------------------------------------------------------------------------------
 */

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

/* The place of a version in its model's history: "begin.id". */
static enum status history_cursor(struct work *w, struct slice cursor, uint64_t *ret_from, uint64_t *ret_id)
{
    char text[64], rest = '\0';
    unsigned long long from = LIMIT_TIME + 1, id = 0;

    if (cursor.n > 0 && (!slice_copy(cursor, text, sizeof(text)) ||
                         sscanf(text, "%19llu.%19llu%c", &from, &id, &rest) != 2 || from > LIMIT_TIME || id > LIMIT_ID))
        return err_set_field(w->err, ST_BAD_REQUEST, "invalid_value", "cursor",
                             "The cursor is not one that a list has given.");
    *ret_from = from;
    *ret_id = id;
    return ST_OK;
}

static enum status history(struct work *w, const struct price_list_req *req, struct price_list_rep *rep)
{
    uint64_t limit = record_limit(req->limit, PRICES_PAGE), from = 0, id = 0;
    struct record_page page = {
        .sql = SQL_PRICE_HISTORY, .fill = record_price, .size = sizeof(struct price), .limit = limit};
    const struct price *list;
    enum status st;
    char text[64];
    int n;

    if (req->model.n == 0)
        return err_set_field(w->err, ST_BAD_REQUEST, "missing_required_parameter", "model",
                             "The history is one model's: 'model' must name it.");
    st = history_cursor(w, req->cursor, &from, &id);
    if (st != ST_OK)
        return st;
    page.binds = BINDS(B_S(req->model), B_I(from), B_I(id), B_I(limit + 1));
    st = record_list(w, &page);
    if (st != ST_OK)
        return st;
    list = page.items;
    rep->data.items = list;
    rep->data.n = page.n;
    if (page.next.n == 0)
        return ST_OK;
    n = snprintf(text, sizeof(text), "%llu.%llu", (unsigned long long)list[page.n - 1].created,
                 (unsigned long long)list[page.n - 1].id);
    rep->next = arena_copy(w->a, (struct slice){text, (size_t)n}, &st);
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

    if (req->history)
        return history(w, req, rep);
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

static bool same(const struct price *a, const struct price *b)
{
    size_t i;

    for (i = 0; i < N_OPTIONALS; i++)
        if (((a->has ^ b->has) & (UINT64_C(1) << optionals[i].tag)) != 0 ||
            in_price(a, &optionals[i]) != in_price(b, &optionals[i]))
            return false;
    return a->input_pico == b->input_pico && a->output_pico == b->output_pico &&
           a->tier_above_tokens == b->tier_above_tokens && a->context_window == b->context_window &&
           a->max_output == b->max_output && slice_eq(a->provider, b->provider) && slice_eq(a->mode, b->mode);
}

enum status prices_put_own(struct work *w, const struct price_put_req *req, struct price *ret, uint64_t *ret_revision)
{
    struct price now = {.mode = slice_of("chat")};
    enum status st = check_price(w, req);
    bool found;

    *ret_revision = 0;
    if (st == ST_OK)
        st = prices_take_force(w);
    if (st == ST_OK)
        st = record_get(w, SQL_PRICE_OF_MODEL, BINDS(B_S(req->model)), record_price, &now);
    found = st == ST_OK;
    if (st != ST_OK && st != ST_NOT_FOUND)
        return st;
    *ret = now;
    apply(req, ret);
    if (found && !now.builtin && same(&now, ret)) {
        *ret = now;
        return ST_OK;
    }
    return prices_put(w, ret, false, ret_revision);
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
