/* credits: what all ways to get credit have in common. The operations stand in meterd/ops.h. */
#ifndef METERD_CREDITS_H
#define METERD_CREDITS_H

#include "meterd/store.h"

/* May so much be added to (or, below zero, taken from) this balance? The error names amount_usd. */
enum status credits_check_amount(struct work *w, int64_t amount, int64_t balance);

#endif
