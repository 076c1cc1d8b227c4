/*
 * security: what was seen of attacks (proto/security.h). authsvc and the gateway tell of it in batches
 * (services/sightings.h), anomalous use is found here (anomaly.h, watch.h). The same kind, subject and client within an
 * hour are one row with a count. Each batch counts once: in its transaction goes the number that its source has come
 * to.
 *
 * However many addresses an attacker has, the table is bounded, for each kind on its own, and so is what is written in
 * a second; the oldest rows go first, a few at a time.
 */
#ifndef METERD_SECURITY_H
#define METERD_SECURITY_H

#include "meterd/record.h"
#include "proto/security.h"

#define SECURITY_WINDOW_S 3600 /* the same within this time after it was first seen is one row */
#define SECURITY_ROWS_MAX 5000 /* of one kind; a few more until they are looked at */
#define SECURITY_FORGET_ROWS 500 /* forgotten in one step, of each kind and of what is too old */
#define SECURITY_DAYS 90 /* rows are kept, where nobody says otherwise */
#define SECURITY_SOURCE_S (INT64_C(7) * 24 * 3600) /* a source that has told nothing for so long is gone */
#define SECURITY_LOOK_MS 10000 /* the writer sums up usage and looks for what is too old this often … */
#define SECURITY_MORE_MS 100 /* … and sooner when it did not come to the end */

/* The kind of this name; SECURITY_N = none that we know. */
enum security_kind security_kind_of(struct slice name);
/* Counts what was seen. */
enum status security_add(struct work *w, const struct security_event *seen);
/* One step of forgetting; *ret_more when there is more of it. */
enum status security_forget(struct work *w, bool *ret_more);

#endif
