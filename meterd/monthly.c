#include "meterd/monthly.h"

#include <stdio.h>
#include <time.h>

#include "meterd/ledger.h"

#define MONTHS 12
#define NOTE_MAX 40
#define ACTOR "operator"

/* 202611; so is the month after it: 202612, 202701. */
static int64_t month_of(uint64_t now_ms)
{
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm tm;

    if (!gmtime_r(&seconds, &tm))
        return 0;
    return (tm.tm_year + 1900) * INT64_C(100) + tm.tm_mon + 1;
}

static int64_t month_after(int64_t month)
{
    return month % 100 == MONTHS ? month + 100 - (MONTHS - 1) : month + 1;
}

struct due {
    int64_t user_num, account, amount_nano; /* user_num 0 = nobody */
};

/* The first of these users who has not had his credit for the month. */
static enum status find_due(struct work *w, int64_t month, int64_t from, int64_t to, struct due *ret)
{
    sqlite3_stmt *q = NULL;
    enum status st =
        store_row(w->s, SQL_MONTHLY_DUE, BINDS(B_I(from), B_I(month), B_I(month_after(month)), B_I(to)), &q, w->err);

    *ret = (struct due){0};
    if (q)
        *ret = (struct due){col_i64(q, 0), col_i64(q, 1), col_i64(q, 2)};
    store_reset(&q);
    return st;
}

static enum status give(struct work *w, int64_t month, const struct due *due)
{
    char note[NOTE_MAX];
    struct ledger_grant grant = {.user_num = due->user_num,
                                 .account = due->account,
                                 .kind = "monthly",
                                 .actor = slice_of(ACTOR),
                                 .amount_nano = due->amount_nano};
    int64_t balance = 0;
    enum status st = ledger_balance(w, due->account, &balance);

    if (st != ST_OK)
        return st;
    if (balance > MONEY_NANO_MAX - grant.amount_nano)
        grant.amount_nano = MONEY_NANO_MAX - balance; /* an account has a limit, too */
    if (grant.amount_nano <= 0)
        return ST_OK;
    snprintf(note, sizeof(note), "monthly credit %04d-%02d", (int)(month / 100), (int)(month % 100));
    grant.note = slice_of(note);
    st = ledger_give(w, &grant);
    if (st == ST_OK)
        st = store_run(w->s, SQL_MONTHLY_INSERT, BINDS(B_I(due->user_num), B_I(month), B_I(grant.revision)), w->err);
    return st;
}

static enum status give_all(struct work *w, int64_t month, int64_t from, int64_t to)
{
    struct due due = {0};
    enum status st = find_due(w, month, from, to, &due);

    while (st == ST_OK && due.user_num > 0) {
        st = give(w, month, &due);
        if (st == ST_OK)
            st = find_due(w, month, due.user_num + 1, to, &due);
    }
    return st;
}

enum status monthly_user(struct work *w, int64_t user_num)
{
    int64_t month = month_of(w->s->now_ms);

    return month > 0 ? give_all(w, month, user_num, user_num) : ST_OK;
}

/* ---- the round -----------------------------------------------------------------------------------------------------
 */

bool monthly_due(const struct store *s, uint64_t now_ms)
{
    return !s->months.done || s->months.month != month_of(now_ms);
}

void monthly_again(struct store *s)
{
    s->months = (struct store_months){0};
}

enum status monthly_step(struct work *w, struct store_months *ret)
{
    int64_t month = month_of(w->s->now_ms), newest = 0, plans = 0;
    struct store_months at = w->s->months;
    enum status st = store_number(w->s, SQL_MONTHLY_PLANS, NO_BINDS, 0, &plans, w->err);

    if (st != ST_OK)
        return st;
    if (at.month != month)
        at = (struct store_months){.month = month, .next = 1};
    if (month <= 0 || plans == 0)
        at.done = true; /* a clock that says nothing grants nothing */
    if (!at.done) {
        st = give_all(w, month, at.next, at.next + MONTHLY_STEP_USERS - 1);
        if (st == ST_OK)
            st = store_number(w->s, SQL_USER_MAX, NO_BINDS, 0, &newest, w->err);
        if (st != ST_OK)
            return st;
        at.next += MONTHLY_STEP_USERS;
        at.done = at.next > newest;
    }
    *ret = at;
    return ST_OK;
}

void monthly_stepped(struct store *s, const struct store_months *now)
{
    s->months = *now;
}
