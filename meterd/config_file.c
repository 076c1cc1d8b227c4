#include "meterd/config_file.h"

#include <stdio.h>
#include <string.h>

#include "meterd/config_yaml.h"
#include "proto/utf8.h"
#include "services/env_ref.h"
#include "services/json.h"

#define VALUE_MAX 4096 /* bytes of a text with its variables replaced */
#define PLACE_MAX 96
#define FIELD_MAX 64
#define NAME_SHOWN 64 /* bytes of an object's name in an error */
#define WHY_SHOWN 320 /* of the reason */

/* Where in the file something stands, for errors. */
struct place {
    char text[PLACE_MAX]; /* "models[3]" */
    const char *name; /* of the object; NULL = it has none */
};

struct reader {
    struct arena *a;
    char *(*env)(const char *name);
    struct err *err;
};

struct text_row {
    const char *member;
    size_t offset;
};

#define ROW(s, member) {#member, offsetof(struct s, member)},
static const struct text_row timeout_rows[] = {YAML_TIMEOUT_TEXTS(ROW, yaml_timeouts)};
static const struct text_row provider_rows[] = {YAML_PROVIDER_TEXTS(ROW, yaml_provider)};
static const struct text_row route_rows[] = {YAML_ROUTE_TEXTS(ROW, yaml_route)};
static const struct text_row price_rows[] = {YAML_PRICE_TEXTS(ROW, yaml_price)};
static const struct text_row model_rows[] = {YAML_MODEL_TEXTS(ROW, yaml_model)};
#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/* So much of a text as an error shows, whole characters. */
static int shown(const char *text, size_t most)
{
    size_t n = strnlen(text, most);

    return (int)utf8_span(text, n);
}

/* "models[3] (team-chat): Invalid 'max_output': …" */
static enum status at_place(struct reader *r, const struct place *at)
{
    struct err why = *r->err;
    char field[ERR_PARAM_MAX];

    if (why.status != ST_BAD_REQUEST)
        return why.status;
    (void)snprintf(field, sizeof(field), "%s%s%.*s", at->text, why.param[0] ? "." : "", ERR_PARAM_MAX - PLACE_MAX - 2,
                   why.param);
    return err_set_field(r->err, ST_BAD_REQUEST, why.code[0] ? why.code : NULL, field, "%s%s%.*s%s: %.*s", at->text,
                         at->name ? " (" : "", shown(at->name ? at->name : "", NAME_SHOWN), at->name ? at->name : "",
                         at->name ? ")" : "", shown(why.text, WHY_SHOWN), why.text);
}

/* Replaces ${NAME}; *ret is the arena's. */
static enum status expand(struct reader *r, const char *text, const char *field, struct slice *ret)
{
    struct buf b;
    enum status st;

    buf_init(&b, VALUE_MAX);
    st = env_ref_expand(slice_of(text), r->env, field, &b, r->err);
    if (st == ST_OK)
        *ret = arena_copy(r->a, (struct slice){b.p, b.n}, &st);
    else if (st == ST_TOO_LARGE)
        st = err_set_field(r->err, ST_BAD_REQUEST, "invalid_value", field, "Invalid '%s': it has more than %d bytes.",
                           field, VALUE_MAX);
    buf_fini(&b);
    return st;
}

static void set_has(const struct wire_desc *desc, const char *member, void *msg)
{
    const struct wire_field *f = wire_field_named(desc, slice_of(member));

    if (f)
        *(uint64_t *)msg |= UINT64_C(1) << f->tag; /* the first member of every message */
}

/* A member that the file leaves out is given all the same, as its default, where all says so: the file is the truth. */
static enum status put_texts(struct reader *r, const struct text_row *rows, size_t n, const void *from, bool all,
                             const struct wire_desc *desc, void *msg)
{
    enum status st = ST_OK;
    size_t i;

    for (i = 0; i < n && st == ST_OK; i++) {
        const char *text = from ? *(char *const *)(const void *)((const char *)from + rows[i].offset) : NULL;
        struct slice value = {NULL, 0};

        if (all)
            set_has(desc, rows[i].member, msg);
        if (!text)
            continue;
        st = expand(r, text, rows[i].member, &value);
        if (st == ST_OK)
            st = json_set_text(desc, slice_of(rows[i].member), value, msg, r->a, r->err);
    }
    return st;
}

/* expanded: keys keep their ${NAME}. */
static enum status put_strs(struct reader *r, char *const *list, unsigned n, const char *member, bool expanded,
                            size_t item_max, struct wire_strs *to)
{
    struct slice *items = arena_alloc(r->a, ((size_t)n + 1) * sizeof(*items));
    enum status st = ST_OK;
    char field[FIELD_MAX];
    unsigned i;

    if (!items)
        return err_set(r->err, ST_NO_MEMORY, "no memory for a list");
    for (i = 0; i < n && st == ST_OK; i++) {
        (void)snprintf(field, sizeof(field), "%s[%u]", member, i);
        if (expanded)
            st = expand(r, list[i], field, &items[i]);
        else
            items[i] = arena_copy(r->a, slice_of(list[i]), &st);
        if (st == ST_OK && items[i].n > item_max)
            st = err_set_field(r->err, ST_BAD_REQUEST, "invalid_value", field,
                               "Invalid '%s': it has more than %zu bytes.", field, item_max);
    }
    *to = (struct wire_strs){items, n};
    return st;
}

/* ---- objects -------------------------------------------------------------------------------------------------------
 */

static enum status put_provider(struct reader *r, const struct yaml_provider *from, struct provider_put_req *to)
{
    enum status st = put_texts(r, provider_rows, COUNT(provider_rows), from, true, &provider_put_req_desc, to);

    if (st == ST_OK)
        st = put_texts(r, timeout_rows, COUNT(timeout_rows), from->timeouts, true, &provider_put_req_desc, to);
    if (st == ST_OK)
        st = put_strs(r, from->drop_params, from->drop_params_count, "drop_params", true, WIRE_STRS_ITEM_MAX,
                      &to->drop_params);
    set_has(&provider_put_req_desc, "drop_params", to);
    /* Without api_keys those that are stored stay: an exported file does not show them. */
    if (st != ST_OK || from->api_keys_count == 0)
        return st;
    set_has(&provider_put_req_desc, "api_keys", to);
    return put_strs(r, from->api_keys, from->api_keys_count, "api_keys", false, LIMIT_SECRET, &to->api_keys);
}

static enum status put_routes(struct reader *r, const struct yaml_model *from, struct model_put_req *to)
{
    struct catalog_route *list = arena_alloc(r->a, ((size_t)from->routes_count + 1) * sizeof(*list));
    enum status st = ST_OK;
    unsigned i;

    if (!list)
        return err_set(r->err, ST_NO_MEMORY, "no memory for routes");
    for (i = 0; i < from->routes_count && st == ST_OK; i++) {
        struct place at = {.name = NULL};

        (void)snprintf(at.text, sizeof(at.text), "routes[%u]", i);
        st = put_texts(r, route_rows, COUNT(route_rows), &from->routes[i], false, &catalog_route_desc, &list[i]);
        if (st != ST_OK)
            st = at_place(r, &at);
    }
    to->routes.items = list;
    to->routes.n = from->routes_count;
    set_has(&model_put_req_desc, "routes", to);
    return st;
}

static enum status put_price(struct reader *r, const struct yaml_model *from, struct model_put_req *to)
{
    struct model_price *price = arena_alloc(r->a, sizeof(*price));
    enum status st;

    if (!from->price) {
        set_has(&model_put_req_desc, "own_price", to);
        return ST_OK;
    }
    if (!price)
        return err_set(r->err, ST_NO_MEMORY, "no memory for a price");
    st = put_texts(r, price_rows, COUNT(price_rows), from->price, false, &model_price_desc, price);
    if (st != ST_OK)
        return at_place(r, &(struct place){.text = "price"});
    to->price.items = price;
    to->price.n = 1;
    return ST_OK;
}

static enum status put_model(struct reader *r, const struct yaml_model *from, struct model_put_req *to)
{
    enum status st = put_texts(r, model_rows, COUNT(model_rows), from, true, &model_put_req_desc, to);

    if (st == ST_OK)
        st = put_strs(r, from->aliases, from->aliases_count, "aliases", true, LIMIT_MODEL, &to->aliases);
    set_has(&model_put_req_desc, "aliases", to);
    if (st == ST_OK)
        st = put_routes(r, from, to);
    return st == ST_OK ? put_price(r, from, to) : st;
}

static enum status twice(struct reader *r, const char *what, struct slice name)
{
    return err_set_field(r->err, ST_BAD_REQUEST, "invalid_value", "name",
                         "the %s '" SLICE_FMT "' stands in the file twice", what, SLICE_ARG(name));
}

static enum status put_providers(struct reader *r, const struct yaml_config *from, struct config_file *to)
{
    enum status st = ST_OK;
    unsigned i;
    size_t k;

    for (i = 0; i < from->providers_count && st == ST_OK; i++) {
        struct provider_put_req *p = &to->providers[i];
        struct place at = {.name = from->providers[i].name};

        (void)snprintf(at.text, sizeof(at.text), "providers[%u]", i);
        st = put_provider(r, &from->providers[i], p);
        for (k = 0; k < i && st == ST_OK; k++)
            if (slice_eq(p->name, to->providers[k].name))
                st = twice(r, "provider", p->name);
        if (st != ST_OK)
            return at_place(r, &at);
    }
    to->n_providers = from->providers_count;
    return st;
}

static enum status put_models(struct reader *r, const struct yaml_config *from, struct config_file *to)
{
    enum status st = ST_OK;
    unsigned i;
    size_t k;

    for (i = 0; i < from->models_count && st == ST_OK; i++) {
        struct model_put_req *m = &to->models[i];
        struct place at = {.name = from->models[i].name};

        (void)snprintf(at.text, sizeof(at.text), "models[%u]", i);
        st = put_model(r, &from->models[i], m);
        for (k = 0; k < i && st == ST_OK; k++)
            if (slice_eq(m->name, to->models[k].name))
                st = twice(r, "model", m->name);
        if (st != ST_OK)
            return at_place(r, &at);
    }
    to->n_models = from->models_count;
    return st;
}

static enum status put_all(struct reader *r, const struct yaml_config *from, struct config_file *to)
{
    enum status st;

    to->providers = arena_alloc(r->a, ((size_t)from->providers_count + 1) * sizeof(*to->providers));
    to->models = arena_alloc(r->a, ((size_t)from->models_count + 1) * sizeof(*to->models));
    if (!to->providers || !to->models)
        return err_set(r->err, ST_NO_MEMORY, "no memory for a CONFIG file");
    st = put_providers(r, from, to);
    return st == ST_OK ? put_models(r, from, to) : st;
}

enum status config_file_parse(struct slice text, char *(*env)(const char *name), struct arena *a,
                              struct config_file *ret, struct err *err)
{
    struct err why = {.status = ST_OK};
    struct reader r = {a, env, &why};
    const struct yaml_config *yaml = NULL;
    enum status st = config_yaml_load(text, a, &yaml, &why);

    memset(ret, 0, sizeof(*ret));
    if (st == ST_OK && yaml)
        st = put_all(&r, yaml, ret);
    if (st != ST_OK && err)
        *err = why;
    return st;
}
