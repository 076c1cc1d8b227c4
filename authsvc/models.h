/*
 * Which model a name means: its price, the provider that serves it, its name there; and whether a list of patterns
 * allows it. Reads the projection under its owner's lock. Knows nothing of credit or rates.
 */
#ifndef AUTHSVC_MODELS_H
#define AUTHSVC_MODELS_H

#include "authsvc/projection.h"
#include "services/arena.h"

/* Borrowed from the projection and the name asked for. */
struct model_route {
    struct proj_price *price; /* NULL = free of charge (UNPRICED=free) */
    struct slice provider, upstream_model;
};

/* Who may do what: either may be NULL. */
struct model_rights {
    const struct wire_strs *key, *plan;
};

/* ST_NOT_FOUND says what is missing: a provider or a price. */
enum status models_resolve(const struct projection *p, struct slice name, bool unpriced_free, struct model_route *ret,
                           struct err *err);
/* ST_FORBIDDEN when a list that is not empty matches neither the name nor the priced model it means. */
enum status models_allowed(const struct model_rights *rights, struct slice name, const struct model_route *route,
                           struct err *err);
/* Everything that has a price and a provider and is allowed, by name; memory and text from the arena. */
enum status models_list(const struct projection *p, const struct model_rights *rights, struct arena *arena,
                        struct models_rep *rep);
enum status models_info(const struct model_route *route, struct slice name, struct arena *arena,
                        struct model_info *ret);

#endif
