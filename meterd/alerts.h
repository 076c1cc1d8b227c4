/*
 * alerts: what an administrator should know, as the rules (alert_rules.h) find it. One row for a rule and subject while
 * it is there: seen again it only counts. It is resolved when it was not seen for ALERT_CLEAR_S, so what comes and goes
 * is one alert. A beginning and an end are posted once each, in their order, when there is a webhook: what is to be
 * posted is written in the transaction of the change, and goes when the receiver has taken it (watch.h).
 */
#ifndef METERD_ALERTS_H
#define METERD_ALERTS_H

#include "meterd/record.h"

#define ALERT_WARNING "warning"
#define ALERT_CRITICAL "critical"
#define ALERT_CLEAR_S 60 /* not seen for so long: resolved */
#define ALERT_ROWS_MAX 5000 /* the oldest that are resolved go first */
#define ALERT_DELIVERIES_MAX 1000 /* that wait; the oldest go first */
#define ALERT_STEP_ROWS 200 /* resolved, or forgotten, in one step */

struct finding { /* of a rule, now */
    const char *rule, *severity;
    struct slice subject, text;
};

struct alerts_report {
    bool looked; /* the rules were looked at: what is not among the findings is not there */
    const struct finding *findings;
    size_t n;
    const struct security_event *events; /* found by looking, and to be kept */
    size_t n_events;
    bool post; /* changes are to be posted */
    uint64_t delivered; /* this one was taken, or is given up; 0 = none */
    uint64_t again, again_s; /* this one was not, and is due again then; 0 = none */
};

enum status alerts_apply(struct work *w, const struct alerts_report *report);

#endif
