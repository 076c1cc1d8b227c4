/*
 * batches: calls that made a batch upstream. Such a call ends before anybody knows what it uses: its credit stays held
 * and its record waits with the batch (its call is parked), until an answer about the batch says that it is over. Then
 * the call is settled as any other, once, whoever asked and however often. A batch that nobody asks about is billed as
 * the ledger bills every call that it hears no more of: at its estimate, when its lease is over; should its end be told
 * after all, that is corrected. Runs inside the caller's transaction.
 */
#ifndef METERD_BATCHES_H
#define METERD_BATCHES_H

#include "meterd/store.h"

/* e: parked; its objects are kept already. user_num 0 = of nobody: nothing waits. */
enum status batches_park(struct work *w, const struct usage_event *e, int64_t user_num);

/* Settles the calls of the batches that `told`, an event of the same user, says are over. */
enum status batches_end(struct work *w, const struct usage_event *told, int64_t user_num);

#endif
