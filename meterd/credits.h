/* credits: what all ways to get credit have in common. The operations stand in meterd/ops.h. */
#ifndef METERD_CREDITS_H
#define METERD_CREDITS_H

#include "meterd/record.h"

/*
 * The user redeems a code, once for all: what it is worth is his, and rep says so. NOT_FOUND code_not_found, CONFLICT
 * code_redeemed, code_revoked, code_expired; whoever calls bounds the guesses.
 */
enum status credits_redeem(struct work *w, struct slice code, const struct user_row *user,
                           struct credit_grant_rep *rep);
/* May so much be added to (or, below zero, taken from) the user's credit? The error names amount_usd. */
enum status credits_check_amount(struct work *w, int64_t amount, const struct user_row *user);

#endif
