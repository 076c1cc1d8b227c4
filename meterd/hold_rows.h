/*
 * hold_rows: the rows of calls whose credit the ledger holds, because they run longer than a second. A hold's lease is
 * counted on the monotonic clock, and anew from each start of meterd: wall clocks decide nothing. Knows rows, not what
 * an end costs (meterd/ledger_step.h) nor how it is posted (meterd/calls.c). Runs inside the caller's transaction.
 */
#ifndef METERD_HOLD_ROWS_H
#define METERD_HOLD_ROWS_H

#include "meterd/ledger_step.h"
#include "meterd/store.h"

#define HOLD_ROWS_LEASE_MS 660000 /* of a progress event that names none */

struct hold_row {
    uint64_t revision; /* 0 = the call has none */
    int64_t user_num; /* 0 = nobody's */
    int64_t amount_nano, cost_nano;
    uint64_t tokens, due_ms;
    enum call_state state;
};

/* False: the call has no open hold, for sure. */
enum status hold_rows_maybe_open(struct work *w, struct slice request_id, bool *ret);
enum status hold_rows_find(struct work *w, struct slice request_id, struct hold_row *ret);

/* h->revision, user_num, amount, cost and tokens are given; the rest comes from the event. */
enum status hold_rows_open(struct work *w, const struct usage_event *e, const struct hold_row *h);
/* newer: cost, tokens and event are the newest known. A lease is never shortened. */
enum status hold_rows_renew(struct work *w, const struct usage_event *e, const struct hold_row *h, bool newer);
/* Its call has ended, and what it uses is told later. revision: of this change. */
enum status hold_rows_park(struct work *w, const struct hold_row *h, uint64_t revision);
/* ended: revision of the call's row. */
enum status hold_rows_end(struct work *w, const struct hold_row *h, struct slice request_id, enum call_state state,
                          uint64_t ended);

/* The newest progress of calls whose lease is over at clock_ms, `limit` at most, in the work's arena. */
enum status hold_rows_due(struct work *w, uint64_t clock_ms, size_t limit, struct usage_event *events, size_t *ret_n);
/* Counts every lease from clock_ms on: the clock of another start or machine says nothing. At the start, after a time
 * in which nothing could be written, and when a backup is restored. */
enum status hold_rows_restart(struct work *w, uint64_t clock_ms);

#endif
