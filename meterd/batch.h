/*
 * batch: operations of one transaction, committed together. An operation that fails takes back what it did itself and
 * nothing else, except when the store is broken: then the whole batch is due to be taken back. Used by the writer's
 * thread, at the first start and by the tests; no threads of its own.
 */
#ifndef METERD_BATCH_H
#define METERD_BATCH_H

#include "meterd/ops.h"

enum lane { LANE_WRITE, LANE_INGEST, LANE_QUICK, LANE_SLOW, LANE_COPY, LANES };

enum status batch_begin(struct store *s, struct err *err);
/* Runs one operation inside the batch. Whatever it returns, look at s->broken before going on. */
enum status batch_run(struct work *w, enum lane lane, meterd_op *op, const void *in, void *out);
/* Commits; on failure all is taken back. Afterwards s->changes and s->counts say what was done, until the next begin.
 */
enum status batch_commit(struct store *s, struct err *err);
void batch_abandon(struct store *s); /* takes all back; clears a passing fault */

/* One operation in a transaction of its own, reading or writing as the store can. */
enum status batch_single(struct work *w, meterd_op *op, const void *in, void *out);

#endif
