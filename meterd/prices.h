/*
 * prices: versions of what a model costs. One version of a model is in force; older ones stay, because calls are billed
 * by the version pinned at their admission; later ones wait for the second from which they hold. The operations stand
 * in meterd/ops.h.
 */
#ifndef METERD_PRICES_H
#define METERD_PRICES_H

#include "meterd/record.h"

#define PRICES_LATE_S 5 /* a valid_from so far back is "now": a request takes a moment to arrive */

/* Puts a version in force (its id, created and builtin are filled in here). */
enum status prices_put(struct work *w, struct price *price, bool builtin, uint64_t *ret_revision);

/* The price of a model of the catalog (meterd/catalog.h), which holds from now on and says nothing of a provider: its
 * routes do. *ret_revision = 0 when an administrator has set the very same before. ST_BAD_REQUEST as op_price_put. */
enum status prices_put_own(struct work *w, const struct price_put_req *req, struct price *ret, uint64_t *ret_revision);

/* Lets a version wait for price->created, in place of another that waits for the same second. */
enum status prices_wait(struct work *w, struct price *price, uint64_t *ret_revision);

/* Versions whose time has come by the store's clock take force, each in the place of the one before. */
enum status prices_take_force(struct work *w);
/* The second from which the next one holds that waits; 0 = none waits. */
enum status prices_next(struct work *w, uint64_t *ret_s);

/* Adds the built-in prices (meterd/price_table.h) that the database does not have. What an administrator has set stays;
 * a built-in price that differs from the program's is followed by a new version. *ret_n = versions added. */
enum status prices_add_builtin(struct work *w, uint64_t *ret_n);

#endif
