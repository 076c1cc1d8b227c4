/*
 * Which model a name means: the ways to it that can be taken, at which price each; and whether a list of patterns
 * allows it. A name is looked up as a model of the catalog, as an alias of one, then as a name with a price or
 * "provider/model"; last, where models without a price are free, by how it begins. Reads the projection under its
 * owner's lock. Knows nothing of credit or rates.
 */
#ifndef AUTHSVC_MODELS_H
#define AUTHSVC_MODELS_H

#include "authsvc/projection.h"
#include "services/arena.h"

/* Borrowed from the projection and the name asked for. Only the first n items are there. */
struct model_routes {
    struct proj_model *model; /* of the catalog; NULL = none */
    size_t n; /* 1 or more when found */
    struct proj_route items[LIMIT_ROUTES]; /* in the catalog's order; providers are announced */
};

/* What a call asks of its routes. */
struct model_wish {
    struct slice provider; /* only this one; empty = any */
    int64_t max_input_pico, max_output_pico; /* no route dearer per token; -1 = any */
    uint64_t prompt_tokens; /* says whether a tier's prices hold */
};

/* Who may do what: either may be NULL. */
struct model_rights {
    const struct wire_strs *key, *plan;
};

/* ST_NOT_FOUND says what is missing: a provider or a price. */
enum status models_resolve(const struct projection *p, struct slice name, bool unpriced_free, struct model_routes *ret,
                           struct err *err);
/* For a call that costs nothing: the model's routes without their prices, or, without such a model (the name may be
 * empty), its name at the provider; provider empty = at the first of OpenAI's kind. ST_NOT_FOUND: no such provider. */
enum status models_resolve_free(const struct projection *p, struct slice name, struct slice provider,
                                struct model_routes *ret, struct err *err);
/* Leaves only the routes that the wish allows. ST_BAD_REQUEST when none does. */
enum status models_narrow(struct model_routes *routes, struct slice name, const struct model_wish *wish,
                          struct err *err);
/* Leaves only the routes that call the model so upstream: for what names it where nobody can rename it. ST_BAD_REQUEST
 * when none does. */
enum status models_as_named(struct model_routes *routes, struct slice name, struct err *err);
/* ST_FORBIDDEN when a list that is not empty matches neither the name nor the model it means by its name or an alias.
 */
enum status models_allowed(const struct model_rights *rights, struct slice name, const struct model_routes *routes,
                           struct err *err);
/* Prompt and answer together at most; 0 = not known. */
uint64_t models_window(const struct model_routes *routes, const struct proj_route *route);
/* The longest answer of a route; 0 = not known. */
uint64_t models_longest(const struct model_routes *routes, const struct proj_route *route);
/* The catalog's models and everything else with a price, as far as a provider serves it and it is allowed, by name;
 * LIMIT_LIST at most; memory and text from the arena. */
enum status models_list(const struct projection *p, const struct model_rights *rights, bool unpriced_free,
                        struct arena *arena, struct models_rep *rep);
enum status models_info(const struct model_routes *routes, struct slice name, struct arena *arena,
                        struct model_info *ret);

#endif
