/* credits: what all ways to get credit have in common. The operations stand in meterd/ops.h. */
#ifndef METERD_CREDITS_H
#define METERD_CREDITS_H

#include "meterd/record.h"

/* May so much be added to (or, below zero, taken from) the user's credit? The error names amount_usd. */
enum status credits_check_amount(struct work *w, int64_t amount, const struct user_row *user);

#endif
