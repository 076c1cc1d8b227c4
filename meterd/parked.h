/*
 * parked: calls that made a batch upstream, or a response in the background. Such a call ends before anybody knows what
 * it uses: its credit stays held and its record waits with what it made (the call is parked), until an answer about
 * that says that it is over. Then the call is settled as any other, once, whoever asked and however often. What nobody
 * asks about is billed as the ledger bills every call that it hears no more of: at its estimate, when its lease is
 * over; should its end be told after all, that is corrected. Runs inside the caller's transaction.
 *
 * Where upstream does not say what was used, of a batch the part of the estimate that it worked off is billed, of a
 * response the estimate of its prompt and what the client has got of it; nothing for a response that failed before a
 * token. What is deleted before it was seen over costs all of the estimate: nobody learns any more what it used.
 */
#ifndef METERD_PARKED_H
#define METERD_PARKED_H

#include "meterd/store.h"

/* e: parked; its objects are kept already. user_num 0 = of nobody: nothing waits. */
enum status parked_keep(struct work *w, const struct usage_event *e, int64_t user_num);

/* Settles the calls of what `told`, an event of the same user, says is over; of what goes on remembers what the client
 * has got. */
enum status parked_end(struct work *w, const struct usage_event *told, int64_t user_num);

#endif
