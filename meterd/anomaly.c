#include "meterd/anomaly.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "meterd/security.h"

#define HOUR_S 3600
#define DAY_HOURS 24
#define NANO_PER_CENT (MONEY_NANO_PER_USD / 100)

static int64_t hour_of(const struct work *w)
{
    return (int64_t)(w->s->now_ms / 1000) / HOUR_S;
}

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

static enum status fill_event(struct work *w, sqlite3_stmt *q, void *to)
{
    struct security_event *e = to;
    int64_t cost = col_i64(q, 2), most = col_i64(q, 4);
    char detail[LIMIT_TITLE];
    enum status st = col_text(q, 0, w->a, &e->subject, w->err);

    snprintf(detail, sizeof(detail),
             "this hour %" PRId64 " calls, $%" PRId64 ".%02" PRId64 "; busiest hour of %d days before: %" PRId64
             " calls, $%" PRId64 ".%02" PRId64,
             col_i64(q, 1), cost / MONEY_NANO_PER_USD, cost % MONEY_NANO_PER_USD / NANO_PER_CENT, ANOMALY_DAYS,
             col_i64(q, 3), most / MONEY_NANO_PER_USD, most % MONEY_NANO_PER_USD / NANO_PER_CENT);
    e->kind = slice_of(security_names[SECURITY_ANOMALOUS_USE]);
    e->count = 1;
    e->first_seen = e->last_seen = w->s->now_ms / 1000;
    if (st == ST_OK)
        e->detail = arena_copy(w->a, slice_of(detail), &st);
    return st;
}

enum status anomaly_look(struct work *w, struct security_event **ret, size_t *ret_n)
{
    int64_t hour = hour_of(w);
    struct record_page page = {.sql = SQL_KEY_HOUR_ODD,
                               .binds = BINDS(B_I(hour), B_I(hour - (int64_t)ANOMALY_DAYS * DAY_HOURS),
                                              B_I(ANOMALY_HOURS), B_I(ANOMALY_CALLS), B_I(ANOMALY_COST_NANO),
                                              B_I(ANOMALY_TIMES), B_I(hour * HOUR_S), B_I(ANOMALY_KEYS + 1)),
                               .fill = fill_event,
                               .size = sizeof(struct security_event),
                               .limit = ANOMALY_KEYS};
    enum status st = record_list(w, &page);

    *ret = page.items;
    *ret_n = page.n;
    return st;
}

enum status anomaly_sum(struct work *w, bool *ret_more)
{
    int64_t before = hour_of(w) - (int64_t)ANOMALY_DAYS * DAY_HOURS;
    enum status st = sum_up(w, ret_more);

    return st == ST_OK ? store_run(w->s, SQL_KEY_HOUR_FORGET, BINDS(B_I(before), B_I(ANOMALY_STEP_ROWS)), w->err) : st;
}
