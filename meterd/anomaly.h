/*
 * anomaly: a key that suddenly does far more than it ever did: stolen, or a program gone wild. A key's hour is
 * anomalous when its calls or its cost are
 *   - more than ANOMALY_TIMES those of its busiest hour in the last ANOMALY_DAYS days, and
 *   - no small number: ANOMALY_CALLS, or ANOMALY_COST_NANO, and
 *   - there is something to compare with: it was used in ANOMALY_HOURS different hours of those days. So a new key, and
 *     one that is hardly ever used, is never told of.
 * It is told once for an hour. Hours are those of the clock, so a burst over the turn of one counts in two parts.
 *
 * The sums are made of usage rows after the bill, a stretch at a time: nothing is added to the bill's own way. Looking
 * may take long where many keys are busy, so a connection does it that only reads (watch.h).
 */
#ifndef METERD_ANOMALY_H
#define METERD_ANOMALY_H

#include "meterd/record.h"

#define ANOMALY_TIMES 10
#define ANOMALY_CALLS 100
#define ANOMALY_COST_NANO (INT64_C(1) * MONEY_NANO_PER_USD)
#define ANOMALY_DAYS 7
#define ANOMALY_HOURS 24
#define ANOMALY_STEP_ROWS 2000 /* usage rows summed in one step, and hours forgotten */
#define ANOMALY_KEYS 100 /* told of in one look */

/* One step of the writer: sums up and forgets. *ret_more when there are more rows to sum. */
enum status anomaly_sum(struct work *w, bool *ret_more);
/* Keys whose hour is anomalous and was not told of, as events into the work's arena. Reads only. */
enum status anomaly_look(struct work *w, struct security_event **ret, size_t *ret_n);

#endif
