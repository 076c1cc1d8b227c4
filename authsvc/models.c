#include "authsvc/models.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/tariff.h"

#define COMMAND_NAME_MAX 80 /* of a model, in a command shown to the operator */
#define TEXT_NAME_MAX 200 /* of a model, in a text */
#define TEXT_PROVIDERS_MAX 160 /* names of providers in a text */
#define FREE_KIND "openai" /* of the provider that serves what names no model */

/* Whose model an unpriced name is likely to be. The first announced provider of a matching row serves it. */
static const struct {
    const char *pattern, *provider;
} families[] = {
    {"gpt-*", "openai"},       {"chatgpt-*", "openai"}, {"o1*", "openai"}, {"o3*", "openai"}, {"o4*", "openai"},
    {"claude-*", "anthropic"}, {"gemini-*", "gemini"},  {"echo*", "echo"}, {"*", "openai"},
};

static bool matches(struct slice pattern, struct slice name)
{
    if (pattern.n && pattern.p[pattern.n - 1] == '*')
        return name.n >= pattern.n - 1 && !memcmp(pattern.p, name.p, pattern.n - 1);
    return slice_eq(pattern, name);
}

/* "openai/gpt-4o" with openai known: that provider, and the rest is the model's name there. */
static bool split(const struct projection *p, struct slice name, struct slice *ret_provider, struct slice *ret_rest)
{
    const char *slash = name.n ? memchr(name.p, '/', name.n) : NULL;
    size_t n = slash ? (size_t)(slash - name.p) : 0;
    struct slice provider = {name.p, n};

    if (n == 0 || n + 1 >= name.n || !projection_names(p, provider))
        return false;
    *ret_provider = provider;
    *ret_rest = (struct slice){slash + 1, name.n - n - 1};
    return true;
}

static bool family(const struct projection *p, struct slice name, struct slice *ret_provider)
{
    size_t i;

    for (i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        struct slice provider = slice_of(families[i].provider);

        if (matches(slice_of(families[i].pattern), name) && projection_serves(p, provider)) {
            *ret_provider = provider;
            return true;
        }
    }
    return false;
}

/* ---- errors -------------------------------------------------------------------------------------------------------
 */

static struct slice shown(struct slice name)
{
    return (struct slice){name.p, name.n > TEXT_NAME_MAX ? TEXT_NAME_MAX : name.n};
}

/* `of` is the name that a price is needed for. */
static enum status no_price(struct slice name, struct slice of, struct err *err)
{
    struct slice said = shown(name);
    struct slice command = of.n <= COMMAND_NAME_MAX ? of : slice_of("MODEL"); /* the text has room for one of them */

    return err_set_field(err, ST_NOT_FOUND, "model_not_found", NULL,
                         "The model `" SLICE_FMT
                         "` does not exist or you do not have access to it. (No price is set for it here: an "
                         "administrator sets one with `routerctl price set " SLICE_FMT
                         " INPUT OUTPUT` or POST /api/admin/prices, in USD per "
                         "1,000,000 tokens.)",
                         SLICE_ARG(said), SLICE_ARG(command));
}

static enum status no_provider(struct slice name, const char *providers, struct err *err)
{
    struct slice said = shown(name);

    return err_set_field(err, ST_NOT_FOUND, "model_not_found", NULL,
                         "The model `" SLICE_FMT "` does not exist or you do not have access to it. (Its provider `%s` "
                         "is not configured here.)",
                         SLICE_ARG(said), providers);
}

static enum status no_provider_of(struct slice name, const struct proj_route *routes, size_t n, struct err *err)
{
    char list[TEXT_PROVIDERS_MAX];
    size_t i, k, used = 0;

    list[0] = '\0';
    for (i = 0; i < n && used < sizeof(list); i++) {
        for (k = 0; k < i && !slice_eq(routes[k].provider, routes[i].provider); k++)
            ;
        if (k == i)
            used += (size_t)snprintf(list + used, sizeof(list) - used, "%s" SLICE_FMT, used ? "`, `" : "",
                                     SLICE_ARG(routes[i].provider));
    }
    return no_provider(name, list, err);
}

/* ---- a model of the catalog ---------------------------------------------------------------------------------------
 */

/* Set for this provider alone; else of the model itself, wherever it is. */
static struct proj_price *price_of_route(const struct projection *p, const struct proj_route *route)
{
    struct proj_price *price = NULL;
    char qualified[LIMIT_NAME + 1 + LIMIT_MODEL];
    size_t n = route->provider.n;

    if (n + 1 + route->model.n > sizeof(qualified))
        return projection_find_price(p, route->model);
    if (n)
        memcpy(qualified, route->provider.p, n);
    qualified[n++] = '/';
    if (route->model.n)
        memcpy(qualified + n, route->model.p, route->model.n);
    price = projection_find_price(p, (struct slice){qualified, n + route->model.n});
    return price ? price : projection_find_price(p, route->model);
}

static enum status of_catalog(const struct projection *p, struct proj_model *m, struct slice name, bool unpriced_free,
                              struct model_routes *ret, struct err *err)
{
    struct proj_price *own = m->own_price ? projection_find_price(p, m->at.node.key) : NULL;
    struct slice unpriced = {NULL, 0};
    size_t i;

    ret->model = m;
    for (i = 0; i < m->n_routes && ret->n < LIMIT_ROUTES; i++) {
        struct proj_route *to = &ret->items[ret->n];

        if (!projection_serves(p, m->routes[i].provider))
            continue;
        *to = m->routes[i];
        to->price = m->own_price ? own : price_of_route(p, to);
        if (to->price || unpriced_free)
            ret->n++;
        else if (unpriced.n == 0)
            unpriced = m->own_price ? m->at.node.key : to->model;
    }
    if (ret->n)
        return ST_OK;
    return unpriced.n ? no_price(name, unpriced, err) : no_provider_of(name, m->routes, m->n_routes, err);
}

/* ---- any other name -----------------------------------------------------------------------------------------------
 */

static enum status only(const struct projection *p, struct slice name, const struct proj_route *route,
                        struct model_routes *ret, struct err *err)
{
    if (!projection_serves(p, route->provider))
        return no_provider_of(name, route, 1, err);
    ret->items[0] = *route;
    ret->n = 1;
    return ST_OK;
}

static enum status of_price(const struct projection *p, struct slice name, bool unpriced_free, struct model_routes *ret,
                            struct err *err)
{
    struct proj_route route = {.model = name, .price = projection_find_price(p, name)};
    struct slice provider = {NULL, 0}, rest = name;
    bool named = split(p, name, &provider, &rest);

    if (route.price) {
        route.provider = route.price->price.provider;
        route.model = route.price->price.model;
        /* a price of its own for "openai/gpt-x": the prefix still names the provider, not the model */
        if (named && slice_eq(provider, route.provider))
            route.model = rest;
        return only(p, name, &route, ret, err);
    }
    if (named) {
        struct proj_price *price = projection_find_price(p, rest);

        if (price && slice_eq(price->price.provider, provider))
            route.price = price;
    }
    if (!named && (!unpriced_free || !family(p, name, &provider)))
        return no_price(name, name, err);
    route.provider = provider;
    route.model = rest;
    if (!route.price && !unpriced_free && projection_serves(p, provider))
        return no_price(name, name, err);
    return only(p, name, &route, ret, err);
}

enum status models_resolve(const struct projection *p, struct slice name, bool unpriced_free, struct model_routes *ret,
                           struct err *err)
{
    struct proj_model *m = projection_find_model(p, name);

    ret->model = NULL;
    ret->n = 0;
    if (m)
        return of_catalog(p, m, name, unpriced_free, ret, err);
    return of_price(p, name, unpriced_free, ret, err);
}

/* ---- what costs nothing -------------------------------------------------------------------------------------------
 */

static size_t keep_provider(struct model_routes *routes, struct slice provider)
{
    size_t i, n = 0;

    if (provider.n == 0)
        return routes->n;
    for (i = 0; i < routes->n; i++)
        if (slice_eq(routes->items[i].provider, provider))
            routes->items[n++] = routes->items[i];
    return n;
}

enum status models_resolve_free(const struct projection *p, struct slice name, struct slice provider,
                                struct model_routes *ret, struct err *err)
{
    struct proj_route route = {.provider = provider, .model = name};
    size_t i;

    ret->model = NULL;
    ret->n = 0;
    if (name.n && models_resolve(p, name, true, ret, NULL) == ST_OK)
        ret->n = keep_provider(ret, provider);
    for (i = 0; i < ret->n; i++)
        ret->items[i].price = NULL;
    if (ret->n)
        return ST_OK;
    ret->model = NULL;
    if (provider.n == 0)
        route.provider = projection_first_of_kind(p, FREE_KIND);
    if (!projection_serves(p, route.provider))
        return err_set_field(err, ST_NOT_FOUND, "model_not_found", NULL,
                             "The provider `" SLICE_FMT "` is not configured here.",
                             SLICE_ARG(provider.n ? provider : slice_of(FREE_KIND)));
    return only(p, name, &route, ret, err);
}

/* ---- wishes -------------------------------------------------------------------------------------------------------
 */

struct cost_of { /* pico-USD per token */
    int64_t input, output;
};

/* What tokens cost without caches; above the tier's border the tier's price. */
static struct cost_of cost_of(const struct proj_route *route, uint64_t prompt_tokens)
{
    const struct price *price = route->price ? &route->price->price : NULL;
    struct token_prices rates;
    struct cost_of cost = {0, 0};

    if (!price)
        return cost;
    rates = tariff_prices(price);
    cost = (struct cost_of){rates.input, rates.output};
    if (rates.tier_above_tokens && prompt_tokens > rates.tier_above_tokens) {
        cost.input = rates.tier_input >= 0 ? rates.tier_input : rates.input;
        cost.output = rates.tier_output >= 0 ? rates.tier_output : rates.output;
    }
    return cost;
}

static enum status too_dear(struct slice name, const struct cost_of *cheapest, struct err *err)
{
    char input[MONEY_TEXT_MAX], output[MONEY_TEXT_MAX];
    struct slice said = shown(name);

    money_format_price(cheapest->input, input);
    money_format_price(cheapest->output, output);
    return err_set_field(err, ST_BAD_REQUEST, "invalid_value", "x-router-max-price",
                         "No route to the model `" SLICE_FMT "` is within 'x-router-max-price': the cheapest costs %s "
                         "USD per 1,000,000 input tokens and %s per 1,000,000 output tokens.",
                         SLICE_ARG(said), input, output);
}

static enum status keep_cheap(struct model_routes *routes, struct slice name, const struct model_wish *wish,
                              struct err *err)
{
    struct cost_of cheapest = {INT64_MAX, 0};
    size_t i, n = 0;

    if (wish->max_input_pico < 0 && wish->max_output_pico < 0)
        return ST_OK;
    for (i = 0; i < routes->n; i++) {
        struct cost_of cost = cost_of(&routes->items[i], wish->prompt_tokens);

        if ((wish->max_input_pico < 0 || cost.input <= wish->max_input_pico) &&
            (wish->max_output_pico < 0 || cost.output <= wish->max_output_pico))
            routes->items[n++] = routes->items[i];
        else if (cheapest.input == INT64_MAX || cost.input + cost.output < cheapest.input + cheapest.output)
            cheapest = cost;
    }
    routes->n = n;
    return n ? ST_OK : too_dear(name, &cheapest, err);
}

enum status models_narrow(struct model_routes *routes, struct slice name, const struct model_wish *wish,
                          struct err *err)
{
    struct slice said = shown(name);

    routes->n = keep_provider(routes, wish->provider);
    if (routes->n == 0)
        return err_set_field(err, ST_BAD_REQUEST, "invalid_value", "model",
                             "Invalid 'model': this call must go to the provider `" SLICE_FMT
                             "`, which does not serve `" SLICE_FMT "` here.",
                             SLICE_ARG(wish->provider), SLICE_ARG(said));
    return keep_cheap(routes, name, wish, err);
}

enum status models_as_named(struct model_routes *routes, struct slice name, struct err *err)
{
    struct slice said = shown(name);
    size_t i, n = 0;

    for (i = 0; i < routes->n; i++)
        if (slice_eq(routes->items[i].model, name))
            routes->items[n++] = routes->items[i];
    routes->n = n;
    if (n)
        return ST_OK;
    return err_set_field(err, ST_BAD_REQUEST, "invalid_value", "input_file_id",
                         "The lines of a batch go to the provider as they are, and `" SLICE_FMT
                         "` is not what it calls that model: name it in the file as the provider does.",
                         SLICE_ARG(said));
}

uint64_t models_window(const struct model_routes *routes, const struct proj_route *route)
{
    uint64_t window = routes->model ? routes->model->context_window : 0;

    return window == 0 && route->price ? route->price->price.context_window : window;
}

uint64_t models_longest(const struct model_routes *routes, const struct proj_route *route)
{
    uint64_t output = routes->model ? routes->model->max_output : 0;

    if (output == 0 && route->price)
        output = route->price->price.max_output;
    return output ? output : models_window(routes, route);
}

/* ---- rights -------------------------------------------------------------------------------------------------------
 */

static bool matches_any(const struct wire_strs *list, struct slice name)
{
    size_t i;

    for (i = 0; i < list->n; i++)
        if (matches(list->items[i], name))
            return true;
    return false;
}

static bool in_list(const struct wire_strs *list, struct slice name, const struct model_routes *routes)
{
    const struct proj_model *m = routes->model;
    size_t i;

    if (!list || list->n == 0 || matches_any(list, name))
        return true;
    if (!m)
        return routes->items[0].price && matches_any(list, routes->items[0].price->price.model);
    if (matches_any(list, m->at.node.key))
        return true;
    for (i = 0; i < m->n_aliases; i++)
        if (matches_any(list, m->aliases[i].node.key))
            return true;
    return false;
}

enum status models_allowed(const struct model_rights *rights, struct slice name, const struct model_routes *routes,
                           struct err *err)
{
    const char *whose = NULL;
    struct slice said = shown(name);

    if (!in_list(rights->key, name, routes))
        whose = "This API key";
    else if (!in_list(rights->plan, name, routes))
        whose = "The plan of this account";
    if (!whose)
        return ST_OK;
    return err_set_field(err, ST_FORBIDDEN, "model_not_allowed", NULL, "%s does not allow the model `" SLICE_FMT "`.",
                         whose, SLICE_ARG(said));
}

/* ---- the list -----------------------------------------------------------------------------------------------------
 */

enum status models_info(const struct model_routes *routes, struct slice name, struct arena *arena,
                        struct model_info *ret)
{
    const struct proj_price *price = routes->items[0].price;
    enum status st = ST_OK;

    ret->id = arena_copy(arena, name, &st);
    ret->object = slice_of("model");
    ret->created = price ? price->price.created : 0;
    if (routes->model)
        ret->created = routes->model->created;
    if (st == ST_OK)
        ret->owned_by = arena_copy(arena, routes->items[0].provider, &st);
    return st;
}

static int by_id(const void *a, const void *b)
{
    const struct model_info *x = a, *y = b;

    return table_order(x->id, y->id);
}

struct listing {
    const struct projection *p;
    const struct model_rights *rights;
    bool unpriced_free;
    struct arena *arena;
    struct model_info *items;
    size_t n;
};

static enum status list_one(struct listing *l, struct slice name)
{
    struct model_routes routes = {.n = 0};

    if (l->n >= LIMIT_LIST || models_resolve(l->p, name, l->unpriced_free, &routes, NULL) != ST_OK ||
        models_allowed(l->rights, name, &routes, NULL) != ST_OK)
        return ST_OK;
    return models_info(&routes, name, l->arena, &l->items[l->n++]);
}

enum status models_list(const struct projection *p, const struct model_rights *rights, bool unpriced_free,
                        struct arena *arena, struct models_rep *rep)
{
    struct listing l = {.p = p, .rights = rights, .unpriced_free = unpriced_free, .arena = arena};
    size_t most = p->models.n + p->prices.n, cursor = 0;
    enum status st = ST_OK;
    struct table_node *node;

    if (most > LIMIT_LIST)
        most = LIMIT_LIST;
    l.items = arena_alloc(arena, (most + 1) * sizeof(*l.items));
    if (!l.items)
        return ST_NO_MEMORY;
    while (st == ST_OK && (node = table_next(&p->models, &cursor)) != NULL)
        st = list_one(&l, node->key);
    cursor = 0;
    while (st == ST_OK && (node = table_next(&p->prices, &cursor)) != NULL)
        if (!projection_find_model(p, node->key)) /* else it means that, and stands here already */
            st = list_one(&l, node->key);
    if (st != ST_OK)
        return st;
    qsort(l.items, l.n, sizeof(*l.items), by_id);
    rep->data.items = l.items;
    rep->data.n = l.n;
    return ST_OK;
}
