#include "meterd/anomaly.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "meterd/security.h"

#define HOUR_S 3600
#define DAY_HOURS 24
#define NANO_PER_CENT (MONEY_NANO_PER_USD / 100)

struct busy_key {
    struct slice id;
    int64_t calls, cost_nano, most_calls, most_cost_nano;
};

/* Usage rows that no sum has yet, up to ANOMALY_STEP_ROWS of them. */
static enum status sum_up(struct work *w, bool *ret_more)
{
    int64_t from = 0, last = 0;
    enum status st = store_number(w->s, SQL_KEY_HOUR_POSITION, NO_BINDS, 0, &from, w->err);

    if (st == ST_OK)
        st = store_number(w->s, SQL_KEY_HOUR_LAST, BINDS(B_I(from), B_I(ANOMALY_STEP_ROWS)), 0, &last, w->err);
    if (st != ST_OK || last <= from)
        return st;
    st = store_run(w->s, SQL_KEY_HOUR_ADD, BINDS(B_I(from), B_I(last)), w->err);
    if (st == ST_OK)
        st = store_run(w->s, SQL_KEY_HOUR_MOVE, BINDS(B_I(last)), w->err);
    if (st == ST_OK)
        st = store_number(w->s, SQL_KEY_HOUR_LAST, BINDS(B_I(last), B_I(1)), 0, &from, w->err);
    *ret_more = st == ST_OK && from > last;
    return st;
}

static enum status fill_key(struct work *w, sqlite3_stmt *q, void *to)
{
    struct busy_key *k = to;

    k->calls = col_i64(q, 1);
    k->cost_nano = col_i64(q, 2);
    k->most_calls = col_i64(q, 3);
    k->most_cost_nano = col_i64(q, 4);
    return col_text(q, 0, w->a, &k->id, w->err);
}

static enum status tell(struct work *w, const struct busy_key *k)
{
    char detail[LIMIT_TITLE];
    struct security_event event = {.kind = slice_of(security_names[SECURITY_ANOMALOUS_USE]),
                                   .subject = k->id,
                                   .count = 1,
                                   .first_seen = w->s->now_ms / 1000,
                                   .last_seen = w->s->now_ms / 1000};

    snprintf(detail, sizeof(detail),
             "this hour %" PRId64 " calls, $%" PRId64 ".%02" PRId64 "; busiest hour of %d days before: %" PRId64
             " calls, $%" PRId64 ".%02" PRId64,
             k->calls, k->cost_nano / MONEY_NANO_PER_USD, k->cost_nano % MONEY_NANO_PER_USD / NANO_PER_CENT,
             ANOMALY_DAYS, k->most_calls, k->most_cost_nano / MONEY_NANO_PER_USD,
             k->most_cost_nano % MONEY_NANO_PER_USD / NANO_PER_CENT);
    event.detail = slice_of(detail);
    return security_add(w, &event);
}

/* Keys whose hour is anomalous and was not told of. */
static enum status look(struct work *w, int64_t hour)
{
    struct record_page page = {.sql = SQL_KEY_HOUR_ODD,
                               .binds = BINDS(B_I(hour), B_I(hour - (int64_t)ANOMALY_DAYS * DAY_HOURS),
                                              B_I(ANOMALY_HOURS), B_I(ANOMALY_CALLS), B_I(ANOMALY_COST_NANO),
                                              B_I(ANOMALY_TIMES), B_I(hour * HOUR_S), B_I(ANOMALY_KEYS + 1)),
                               .fill = fill_key,
                               .size = sizeof(struct busy_key),
                               .limit = ANOMALY_KEYS};
    const struct busy_key *keys;
    enum status st = record_list(w, &page);
    size_t i;

    keys = page.items;
    for (i = 0; i < page.n && st == ST_OK; i++)
        st = tell(w, &keys[i]);
    return st;
}

enum status anomaly_step(struct work *w, bool *ret_more)
{
    int64_t hour = (int64_t)(w->s->now_ms / 1000) / HOUR_S;
    enum status st = sum_up(w, ret_more);

    if (st == ST_OK)
        st = look(w, hour);
    return st == ST_OK ? store_run(w->s, SQL_KEY_HOUR_FORGET,
                                   BINDS(B_I(hour - (int64_t)ANOMALY_DAYS * DAY_HOURS), B_I(ANOMALY_STEP_ROWS)), w->err)
                       : st;
}
