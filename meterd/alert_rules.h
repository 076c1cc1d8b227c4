/*
 * The rules of alerts: what is wrong now, by looking at the database and at a few facts. Each has a name, a severity,
 * and either a query that gives a subject and a text for each thing that is wrong, or a fact. Reads only.
 */
#ifndef METERD_ALERT_RULES_H
#define METERD_ALERT_RULES_H

#include "meterd/alerts.h"

#define ALERT_FAILED_LOGINS 20 /* from one address within an hour, the last of them within ten minutes */
#define ALERT_BUDGET_PERCENT 90 /* of a key's budget is spent */
#define ALERT_ERROR_PERCENT 50 /* of a provider's calls within five minutes, 20 at least, of the last 2,000 of all */
#define ALERT_SUBJECTS 50 /* of one rule at once */
#define ALERT_FINDINGS 600 /* of all */

struct alert_facts {
    int64_t balance_below_nano; /* 0 = no alert for balances */
    int64_t overage_grew_nano; /* since the look before */
    bool disk_low, full, behind, ledger_wrong;
};

/* What is wrong, into the work's arena. On a failure nothing is known. */
enum status alert_rules_look(struct work *w, const struct alert_facts *facts, struct finding **ret, size_t *ret_n);

#endif
