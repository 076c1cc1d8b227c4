/*
 * budgets: what a key may spend in a period (UTC day, week, month, or for ever), and what it has spent of it. The count
 * begins when the key gets its budget and moves in the transaction of the bill. Periods end by the wall clock and never
 * begin again: after a clock that jumped back the later period goes on. Keys without a budget cost one look at memory.
 */
#ifndef METERD_BUDGETS_H
#define METERD_BUDGETS_H

#include "meterd/store.h"

/* A budget as a client asks for it: "" means total when there is an amount. ST_BAD_REQUEST names the field. */
enum status budgets_check(struct work *w, int64_t budget_nano, struct slice *period);

/* Unix seconds at which the period that holds unix_s ends; 0 = never (total, or no period). */
uint64_t budgets_end(struct slice period, uint64_t unix_s);
bool budgets_over(uint64_t until, uint64_t now_ms); /* a count that was valid until then is of the past */

/* Takes the amount (below zero: gives back) from the key's budget, when it has one, and says in *settled how it stands.
 */
enum status budgets_spend(struct work *w, struct slice key_id, int64_t amount_nano, struct settled *settled);
/* Makes the key's count known as its state: a follower takes a bill's count only when it is higher. */
enum status budgets_tell(struct work *w, struct slice key_id);

#endif
