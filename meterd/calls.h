/*
 * calls: what a usage event does to the ledger. Loads what is known of the call, lets the ledger decide
 * (meterd/ledger_step.h) and writes what it decided: entries, hold, usage row or correction, attempts, and the record
 * that authsvc waits for. Repeats change nothing. Runs inside the caller's transaction and fails only when the store
 * does.
 */
#ifndef METERD_CALLS_H
#define METERD_CALLS_H

#include "meterd/store.h"

#define CALLS_STATUSES "ok, error, cancelled, truncated, expired, void" /* of a row in the log of calls */
#define CALLS_EXPIRE_MAX 200 /* calls that one round expires */

/* The event's status says what it is: running, void, or an end with its true tokens. */
enum status calls_apply(struct work *w, const struct usage_event *e);

/* Ends calls whose lease is over on the monotonic clock, at what was heard of them last; CALLS_EXPIRE_MAX at most. */
enum status calls_expire(struct work *w, uint64_t clock_ms, size_t *ret_n);

#endif
