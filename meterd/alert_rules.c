#include "meterd/alert_rules.h"

#include <stdio.h>
#include <string.h>

static const struct query_rule {
    const char *name, *severity;
    enum sql sql;
    int64_t compare; /* ?2 of it */
} queries[] = {
    {"brute_force", ALERT_WARNING, SQL_RULE_BRUTE_FORCE, ALERT_FAILED_LOGINS},
    {"key_guessing", ALERT_WARNING, SQL_RULE_KEY_GUESSING, 1},
    {"refresh_token_reused", ALERT_CRITICAL, SQL_RULE_REFRESH_REUSED, 1},
    {"anomalous_use", ALERT_WARNING, SQL_RULE_ANOMALOUS_USE, 1},
    {"key_budget", ALERT_WARNING, SQL_RULE_KEY_BUDGET, ALERT_BUDGET_PERCENT},
    {"provider_errors", ALERT_WARNING, SQL_RULE_PROVIDER_ERRORS, ALERT_ERROR_PERCENT},
};
static const struct query_rule low_balance = {"low_balance", ALERT_WARNING, SQL_RULE_LOW_BALANCE, 0};

struct looking {
    struct work *w;
    struct finding *found;
    size_t n;
};

static enum status fill_finding(struct work *w, sqlite3_stmt *q, void *to)
{
    struct finding *f = to;
    enum status st = col_text(q, 0, w->a, &f->subject, w->err);

    if (st == ST_OK)
        st = col_text(q, 1, w->a, &f->text, w->err);
    if (f->text.n > LIMIT_TITLE)
        f->text.n = LIMIT_TITLE;
    return st;
}

static enum status ask(struct looking *l, const struct query_rule *rule, int64_t compare)
{
    struct record_page page = {.sql = rule->sql,
                               .binds = BINDS(B_I(l->w->s->now_ms / 1000), B_I(compare), B_I(ALERT_SUBJECTS)),
                               .fill = fill_finding,
                               .size = sizeof(struct finding),
                               .limit = ALERT_SUBJECTS};
    enum status st = record_list(l->w, &page);
    const struct finding *found = page.items;
    size_t i;

    for (i = 0; i < page.n && st == ST_OK && l->n < ALERT_FINDINGS; i++) {
        l->found[l->n] = found[i];
        l->found[l->n].rule = rule->name;
        l->found[l->n++].severity = rule->severity;
    }
    return st;
}

static void tell(struct looking *l, bool wrong, const char *rule, const char *text)
{
    if (wrong && l->n < ALERT_FINDINGS)
        l->found[l->n++] = (struct finding){rule, ALERT_CRITICAL, {NULL, 0}, slice_of(text)};
}

static void tell_facts(struct looking *l, const struct alert_facts *f)
{
    tell(l, f->disk_low, "disk_low", "The disk of the database has little space left");
    tell(l, f->full, "database_full", "The database cannot be written: nothing is billed until it can");
    tell(l, f->ledger_wrong, "ledger_wrong", "The ledger did not agree when it was last verified");
    tell(l, f->behind, "usage_behind", "Usage comes faster than it is billed");
    tell(l, f->overage_grew_nano > 0, "overage",
         "Calls cost more than their users' credit could bear: the operator pays");
}

enum status alert_rules_look(struct work *w, const struct alert_facts *facts, struct finding **ret, size_t *ret_n)
{
    struct looking l = {.w = w, .found = arena_alloc(w->a, ALERT_FINDINGS * sizeof(struct finding))};
    enum status st = ST_OK;
    size_t i;

    if (!l.found)
        return err_set(w->err, ST_NO_MEMORY, "no memory for alerts");
    for (i = 0; i < sizeof(queries) / sizeof(queries[0]) && st == ST_OK; i++)
        st = ask(&l, &queries[i], queries[i].compare);
    if (st == ST_OK && facts->balance_below_nano > 0)
        st = ask(&l, &low_balance, facts->balance_below_nano);
    if (st == ST_OK)
        tell_facts(&l, facts);
    *ret = l.found;
    *ret_n = l.n;
    return st;
}
