/*
 * prices: versions of what a model costs. The newest version of a model is in force; older ones stay, because calls are
 * billed by the version pinned at their admission. The operations stand in meterd/ops.h.
 */
#ifndef METERD_PRICES_H
#define METERD_PRICES_H

#include "meterd/record.h"

/* Puts a version in force (its id, created and builtin are filled in here). */
enum status prices_put(struct work *w, struct price *price, bool builtin, uint64_t *ret_revision);

/* Adds the built-in prices (meterd/price_table.h) that the database does not have. What an administrator has set stays;
 * a built-in price that differs from the program's is followed by a new version. *ret_n = versions added. */
enum status prices_add_builtin(struct work *w, uint64_t *ret_n);

#endif
