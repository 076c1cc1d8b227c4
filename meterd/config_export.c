/* The catalog as a CONFIG file. Texts stand in double quotes, whose rules YAML has from JSON. */
#include <string.h>

#include "meterd/catalog.h"
#include "meterd/ops.h"
#include "services/json.h"

#define OBJECT_MAX_BYTES (256u * 1024u) /* of one provider or model, written */

/* There is room for one object more than a file may have, so that adding it never fails. */
static enum status still_fits(struct work *w, const struct buf *b)
{
    if (b->n <= LIMIT_CONFIG)
        return ST_OK;
    return err_set(w->err, ST_TOO_LARGE, "The catalog is larger than the %u bytes that a CONFIG file may have.",
                   LIMIT_CONFIG);
}

static void add_text(struct buf *b, const char *before, const char *name, struct slice value)
{
    buf_addc(b, before);
    buf_addc(b, name);
    buf_addc(b, ": ");
    json_add_string(b, value);
    buf_addc(b, "\n");
}

static void add_text_if(struct buf *b, const char *name, struct slice value)
{
    if (value.n)
        add_text(b, "    ", name, value);
}

static void add_number_if(struct buf *b, const char *name, uint64_t n)
{
    if (n)
        buf_addf(b, "    %s: %llu\n", name, (unsigned long long)n);
}

static void add_list_if(struct buf *b, const char *name, const struct wire_strs *list)
{
    size_t i;

    if (list->n == 0)
        return;
    buf_addf(b, "    %s: [", name);
    for (i = 0; i < list->n; i++) {
        buf_addc(b, i ? ", " : "");
        json_add_string(b, list->items[i]);
    }
    buf_addc(b, "]\n");
}

static void add_timeouts(struct buf *b, const struct catalog_provider *p)
{
    const struct {
        const char *name;
        uint64_t ms;
    } rows[] = {{"connect_ms", p->connect_ms},
                {"first_byte_ms", p->first_byte_ms},
                {"idle_ms", p->idle_ms},
                {"total_ms", p->total_ms}};
    const char *before = "    timeouts: {";
    size_t i;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].ms == 0)
            continue;
        buf_addf(b, "%s%s: %llu", before, rows[i].name, (unsigned long long)rows[i].ms);
        before = ", ";
    }
    if (before[0] == ',')
        buf_addc(b, "}\n");
}

/* Keys that are stored here cannot be shown; without api_keys the file leaves them as they are. */
static void add_keys(struct buf *b, const struct catalog_provider *p)
{
    size_t i, refs = 0;

    for (i = 0; i < p->keys.n; i++)
        refs += p->keys.items[i].hint.p[0] == '$';
    if (p->keys.n == 0)
        return;
    if (refs < p->keys.n) {
        buf_addf(b, "    # api_keys: %zu of %zu are stored in the database and not shown here; they stay as they are\n",
                 p->keys.n - refs, p->keys.n);
        return;
    }
    for (i = 0; i < p->keys.n; i++) {
        buf_addc(b, i ? ", " : "    api_keys: [");
        json_add_string(b, p->keys.items[i].hint);
    }
    buf_addc(b, "]\n");
}

static void add_provider(struct buf *b, const struct catalog_provider *p)
{
    add_text(b, "  - ", "name", p->name);
    add_text(b, "    ", "kind", p->kind);
    add_text_if(b, "base_url", p->base_url);
    add_keys(b, p);
    if (p->internal)
        buf_addc(b, "    internal: true\n");
    add_text_if(b, "disconnect", p->disconnect);
    add_timeouts(b, p);
    add_text_if(b, "api_version", p->api_version);
    if (p->disabled)
        buf_addc(b, "    disabled: true\n");
    if (p->chat_only)
        buf_addc(b, "    chat_only: true\n");
    add_list_if(b, "drop_params", &p->drop_params);
}

/* The members of a model's price are those of a price that have the same name. */
static enum status add_price(struct work *w, struct buf *b, struct slice model)
{
    struct price price = {.has = 0};
    const char *before = "    price: {";
    enum status st = record_get(w, SQL_PRICE_OF_MODEL, BINDS(B_S(model)), record_price, &price);
    uint32_t i;

    if (st != ST_OK)
        return st == ST_NOT_FOUND ? ST_OK : st;
    for (i = 0; i < model_price_desc.n_fields && st == ST_OK; i++) {
        const struct wire_field *f = wire_field_named(&price_desc, slice_of(model_price_desc.fields[i].name));

        if (!f || (f->need == WIRE_OPT && !WIRE_HAS(&price, f->tag) && wire_field_zero(f, &price)))
            continue;
        buf_addc(b, before);
        st = json_encode_member(f, &price, b);
        before = ", ";
    }
    return st == ST_OK ? buf_addc(b, "}\n") : st;
}

static enum status add_model(struct work *w, struct buf *b, const struct catalog_model *m)
{
    size_t i;

    add_text(b, "  - ", "name", m->name);
    add_list_if(b, "aliases", &m->aliases);
    buf_addc(b, "    routes:\n");
    for (i = 0; i < m->routes.n; i++) {
        const struct catalog_route *r = &m->routes.items[i];

        buf_addc(b, "      - {provider: ");
        json_add_string(b, r->provider);
        buf_addc(b, ", model: ");
        json_add_string(b, r->model);
        buf_addf(b, ", tier: %llu, weight: %llu}\n", (unsigned long long)r->tier, (unsigned long long)r->weight);
    }
    add_number_if(b, "max_output", m->max_output);
    add_number_if(b, "context_window", m->context_window);
    add_text_if(b, "routing", m->routing);
    if (m->own_price) {
        enum status st = add_price(w, b, m->name);

        if (st != ST_OK)
            return st;
    }
    return still_fits(w, b);
}

static enum status add_providers(struct work *w, struct buf *b)
{
    struct provider_list_req req = {.limit = CATALOG_ALL};
    struct provider_list_rep rep = {.has = 0};
    enum status st = op_provider_list(w, &req, &rep);
    size_t i;

    if (st == ST_OK)
        st = buf_addc(b, rep.data.n ? "providers:\n" : "providers: []\n");
    for (i = 0; i < rep.data.n && st == ST_OK; i++) {
        add_provider(b, &rep.data.items[i]);
        st = still_fits(w, b);
    }
    return st;
}

static enum status add_models(struct work *w, struct buf *b)
{
    struct model_list_req req = {.limit = LIMIT_PAGE};
    struct model_list_rep rep = {.has = 0};
    enum status st = op_model_list(w, &req, &rep);
    size_t i;

    if (st == ST_OK)
        st = buf_addc(b, rep.data.n ? "models:\n" : "models: []\n");
    while (st == ST_OK) {
        for (i = 0; i < rep.data.n && st == ST_OK; i++)
            st = add_model(w, b, &rep.data.items[i]);
        if (st != ST_OK || rep.next.n == 0)
            break;
        req.cursor = rep.next;
        rep = (struct model_list_rep){.has = 0};
        st = op_model_list(w, &req, &rep);
    }
    return st;
}

enum status op_config_export(struct work *w, const void *in, void *out)
{
    struct config_export_rep *rep = out;
    struct buf b;
    enum status st;

    (void)in;
    buf_init(&b, LIMIT_CONFIG + OBJECT_MAX_BYTES);
    st = buf_reserve(&b, LIMIT_CONFIG + OBJECT_MAX_BYTES);
    if (st == ST_OK)
        st = add_providers(w, &b);
    if (st == ST_OK)
        st = add_models(w, &b);
    if (st == ST_OK)
        rep->text = arena_copy(w->a, (struct slice){b.p, b.n}, &st);
    buf_fini(&b);
    return st;
}
