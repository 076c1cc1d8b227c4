#include "authsvc/models.h"

#include <stdlib.h>
#include <string.h>

#define COMMAND_NAME_MAX 80 /* of a model, in a command shown to the operator */

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

/* "openai/gpt-4o" with openai announced: that provider, and the rest is the model's name there. */
static bool split(const struct projection *p, struct slice name, struct slice *ret_provider, struct slice *ret_rest)
{
    const char *slash = name.n ? memchr(name.p, '/', name.n) : NULL;
    size_t n = slash ? (size_t)(slash - name.p) : 0;
    struct slice provider = {name.p, n};

    if (n == 0 || n + 1 >= name.n || !projection_serves(p, provider))
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

static enum status no_price(struct slice name, struct err *err)
{
    int n = (int)(name.n > 200 ? 200 : name.n);
    const char *p = name.p ? name.p : "";
    struct slice shown = name.n <= COMMAND_NAME_MAX ? name : slice_of("MODEL"); /* the text has room for one of them */

    return err_set_field(
        err, ST_NOT_FOUND, "model_not_found", NULL,
        "The model `%.*s` does not exist or you do not have access to it. (No price is set for it here: an "
        "administrator sets one with `routerctl price set " SLICE_FMT
        " INPUT OUTPUT` or POST /api/admin/prices, in USD per "
        "1,000,000 tokens.)",
        n, p, SLICE_ARG(shown));
}

static enum status no_provider(struct slice name, struct slice provider, struct err *err)
{
    return err_set_field(err, ST_NOT_FOUND, "model_not_found", NULL,
                         "The model `%.*s` does not exist or you do not have access to it. (Its provider `%.*s` is not "
                         "configured here.)",
                         (int)(name.n > 200 ? 200 : name.n), name.p ? name.p : "", SLICE_ARG(provider));
}

enum status models_resolve(const struct projection *p, struct slice name, bool unpriced_free, struct model_route *ret,
                           struct err *err)
{
    struct slice provider = {NULL, 0}, rest = name;
    bool named;

    ret->price = projection_find_price(p, name);
    if (ret->price) {
        ret->provider = ret->price->price.provider;
        ret->upstream_model = ret->price->price.model;
        /* a price of its own for "openai/gpt-x": the prefix still names the provider, not the model */
        if (split(p, name, &provider, &rest) && slice_eq(provider, ret->provider))
            ret->upstream_model = rest;
        return projection_serves(p, ret->provider) ? ST_OK : no_provider(name, ret->provider, err);
    }
    named = split(p, name, &provider, &rest);
    if (named) {
        struct proj_price *price = projection_find_price(p, rest);

        if (price && slice_eq(price->price.provider, provider))
            ret->price = price;
    }
    if (!ret->price && (!unpriced_free || (!named && !family(p, name, &provider))))
        return no_price(name, err);
    ret->provider = provider;
    ret->upstream_model = rest;
    return ST_OK;
}

static bool in_list(const struct wire_strs *list, struct slice name, const struct model_route *route)
{
    size_t i;

    if (!list || list->n == 0)
        return true;
    for (i = 0; i < list->n; i++)
        if (matches(list->items[i], name) || (route->price && matches(list->items[i], route->price->price.model)))
            return true;
    return false;
}

enum status models_allowed(const struct model_rights *rights, struct slice name, const struct model_route *route,
                           struct err *err)
{
    const char *whose = NULL;

    if (!in_list(rights->key, name, route))
        whose = "This API key";
    else if (!in_list(rights->plan, name, route))
        whose = "The plan of this account";
    if (!whose)
        return ST_OK;
    return err_set_field(err, ST_FORBIDDEN, "model_not_allowed", NULL, "%s does not allow the model `%.*s`.", whose,
                         (int)(name.n > 200 ? 200 : name.n), name.p ? name.p : "");
}

enum status models_info(const struct model_route *route, struct slice name, struct arena *arena, struct model_info *ret)
{
    enum status st = ST_OK;

    ret->id = arena_copy(arena, name, &st);
    ret->object = slice_of("model");
    ret->created = route->price ? route->price->price.created : 0;
    if (st == ST_OK)
        ret->owned_by = arena_copy(arena, route->provider, &st);
    return st;
}

static int by_id(const void *a, const void *b)
{
    const struct model_info *x = a, *y = b;
    size_t n = x->id.n < y->id.n ? x->id.n : y->id.n;
    int order = memcmp(x->id.p, y->id.p, n);

    if (order)
        return order;
    return x->id.n < y->id.n ? -1 : x->id.n > y->id.n;
}

enum status models_list(const struct projection *p, const struct model_rights *rights, struct arena *arena,
                        struct models_rep *rep)
{
    struct model_info *items = arena_alloc(arena, (p->prices.n + 1) * sizeof(*items));
    struct table_node *node;
    size_t cursor = 0, n = 0;

    if (!items)
        return ST_NO_MEMORY;
    while ((node = table_next(&p->prices, &cursor)) != NULL) {
        struct proj_price *price = (struct proj_price *)(void *)node;
        struct model_route route = {price, price->price.provider, price->price.model};
        enum status st;

        if (!projection_serves(p, route.provider) || models_allowed(rights, price->price.model, &route, NULL) != ST_OK)
            continue;
        st = models_info(&route, price->price.model, arena, &items[n]);
        if (st != ST_OK)
            return st;
        n++;
    }
    qsort(items, n, sizeof(*items), by_id);
    rep->data.items = items;
    rep->data.n = n;
    return ST_OK;
}
