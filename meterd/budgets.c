#include "meterd/budgets.h"

#include <string.h>
#include <time.h>

#include "meterd/state.h"
#include "proto/money.h"

#define DAY_S UINT64_C(86400)
#define EPOCH_WEEKDAY 3 /* 1 January 1970 was a Thursday: three days after its week's Monday */

static const char *const periods[] = {"day", "week", "month", "total"};

enum status budgets_check(struct work *w, int64_t budget_nano, struct slice *period)
{
    size_t i;

    if (budget_nano < 0)
        return err_set_field(w->err, ST_BAD_REQUEST, "invalid_value", "budget_usd", "A budget cannot be negative.");
    if (budget_nano == 0 && period->n > 0)
        return err_set_field(w->err, ST_BAD_REQUEST, "invalid_value", "budget_period",
                             "A period is of use only with a budget: 'budget_usd' is due.");
    if (budget_nano > 0 && period->n == 0)
        *period = slice_of("total");
    for (i = 0; i < sizeof(periods) / sizeof(periods[0]); i++)
        if (period->n == 0 || slice_is(*period, periods[i]))
            return ST_OK;
    return err_set_field(w->err, ST_BAD_REQUEST, "invalid_value", "budget_period",
                         "A budget's period is 'day', 'week', 'month' or 'total'.");
}

static uint64_t end_of_month(uint64_t unix_s)
{
    static const uint64_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    time_t seconds = (time_t)unix_s;
    uint64_t first, length;
    struct tm tm;
    int year;

    if (!gmtime_r(&seconds, &tm))
        return 0;
    year = tm.tm_year + 1900;
    length = days[tm.tm_mon] + (tm.tm_mon == 1 && (year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)));
    first = unix_s / DAY_S - (uint64_t)(tm.tm_mday - 1);
    return (first + length) * DAY_S;
}

uint64_t budgets_end(struct slice period, uint64_t unix_s)
{
    uint64_t day = unix_s / DAY_S;

    if (slice_is(period, "day"))
        return (day + 1) * DAY_S;
    if (slice_is(period, "week"))
        return (day + 7 - (day + EPOCH_WEEKDAY) % 7) * DAY_S;
    return slice_is(period, "month") ? end_of_month(unix_s) : 0;
}

bool budgets_over(uint64_t until, uint64_t now_ms)
{
    return until > 0 && now_ms / 1000 >= until;
}

/* ---- spending ------------------------------------------------------------------------------------------------------
 */

static struct store_key *slot_of(struct store *s, struct slice key_id)
{
    uint32_t hash = 2166136261u; /* FNV-1a: ids are random and short */
    size_t i;

    for (i = 0; i < key_id.n; i++)
        hash = (hash ^ (unsigned char)key_id.p[i]) * 16777619u;
    return &s->keys[hash % STORE_KEYS];
}

/* Fills the slot; num 0 = the key has no budget, or there is no such key. */
static enum status look_up(struct work *w, struct slice key_id, struct store_key *slot)
{
    sqlite3_stmt *q = NULL;
    struct slice period;
    enum status st = store_row(w->s, SQL_BUDGET_OF_KEY, BINDS(B_S(key_id)), &q, w->err);

    memset(slot, 0, sizeof(*slot));
    if (q) {
        period = (struct slice){(const char *)sqlite3_column_text(q, 1), (size_t)sqlite3_column_bytes(q, 1)};
        slot->num = col_i64(q, 0);
        slice_copy(period, slot->period, sizeof(slot->period));
    }
    store_reset(&q);
    if (st == ST_OK)
        slice_copy(key_id, slot->key_id, sizeof(slot->key_id));
    return st;
}

enum status budgets_spend(struct work *w, struct slice key_id, int64_t amount_nano, struct settled *settled)
{
    struct store_key *slot = slot_of(w->s, key_id);
    sqlite3_stmt *q = NULL;
    enum status st = ST_OK;
    uint64_t end;

    if (key_id.n == 0 || amount_nano == 0)
        return ST_OK;
    if (!slice_is(key_id, slot->key_id))
        st = look_up(w, key_id, slot);
    if (st != ST_OK || slot->num == 0)
        return st;
    end = budgets_end(slice_of(slot->period), w->s->now_ms / 1000);
    st = store_row(w->s, SQL_BUDGET_SPEND, BINDS(B_I(slot->num), B_I(amount_nano), B_I(end), B_I(MONEY_NANO_MAX)), &q,
                   w->err);
    if (st == ST_OK && q) {
        st = col_text(q, 0, w->a, &settled->key_digest, w->err);
        settled->key_spent_nano = col_i64(q, 1);
        settled->key_period_end = col_u64(q, 2);
    }
    store_reset(&q);
    return st;
}

enum status budgets_tell(struct work *w, struct slice key_id)
{
    uint64_t revision = store_next_revision(w->s);
    enum status st = store_run(w->s, SQL_KEY_TOUCH, BINDS(B_S(key_id), B_I(revision)), w->err);

    return st == ST_OK ? state_changed(w, &key_state_desc, revision) : st;
}
