/* plans: writing one, for the first start. The operations stand in meterd/ops.h. */
#ifndef METERD_PLANS_H
#define METERD_PLANS_H

#include "meterd/record.h"

/* Makes the plan or gives it these limits. */
enum status plans_put(struct work *w, const struct plan *plan, uint64_t *ret_revision);

#endif
