#include "meterd/ledger_step.h"

#include <assert.h>

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* ---- progress ------------------------------------------------------------------------------------------------------
 */

static void open_hold(const struct ledger_view *v, const struct ledger_command *c, struct ledger_effect *e)
{
    int64_t hold = least(c->amount_nano, v->available_nano);

    e->outcome = LEDGER_OPENED;
    e->state = CALL_OPEN;
    e->newer = true;
    e->hold_nano = hold;
    e->heard_nano = c->cost_nano;
    e->heard_tokens = c->tokens;
    e->posts.available_nano = -hold;
    e->posts.held_nano = hold;
}

/* Never backwards: what a second source repeats may be older than what is known. */
static void renew_hold(const struct ledger_view *v, const struct ledger_command *c, struct ledger_effect *e)
{
    e->outcome = LEDGER_RENEWED;
    e->newer = c->cost_nano > v->heard_nano || (c->cost_nano == v->heard_nano && c->tokens >= v->heard_tokens);
    if (e->newer) {
        e->heard_nano = c->cost_nano;
        e->heard_tokens = c->tokens;
    }
}

/* ---- ends ----------------------------------------------------------------------------------------------------------
 */

/* The hold goes back to where it came from, and the cost is taken from there as far as it reaches: the same as taking
 * it from the hold first, and then from what is available. */
static void end_call(const struct ledger_view *v, int64_t cost, enum call_state state, struct ledger_effect *e)
{
    int64_t taken = least(cost, v->available_nano + v->hold_nano);

    e->outcome = LEDGER_ENDED;
    e->state = state;
    e->taken_nano = taken;
    e->overage_nano = cost - taken;
    e->hold_nano = 0;
    e->posts.held_nano = -v->hold_nano;
    e->posts.available_nano = v->hold_nano - taken;
    e->posts.revenue_nano = cost;
    e->posts.overage_nano = taken - cost;
}

/* Posts the difference. Too much was billed: the operator's part of the loss goes first, the rest back to the user, as
 * far as he has not got it back by refunds: the bill stays at what they came to. */
static void correct_call(const struct ledger_view *v, int64_t truth, struct ledger_effect *e)
{
    int64_t cost = truth > v->refunded_nano ? truth : v->refunded_nano;
    int64_t more = cost - v->taken_nano - v->overage_nano;

    e->outcome = LEDGER_CORRECTED;
    e->state = CALL_SETTLED;
    e->taken_nano = more > 0 ? v->taken_nano + least(more, v->available_nano) : least(v->taken_nano, cost);
    e->overage_nano = cost - e->taken_nano;
    e->posts.available_nano = v->taken_nano - e->taken_nano;
    e->posts.revenue_nano = more;
    e->posts.overage_nano = v->overage_nano - e->overage_nano;
}

static void give(const struct ledger_view *v, int64_t amount, struct ledger_effect *e)
{
    if (amount < -v->available_nano) {
        e->outcome = LEDGER_REFUSED;
        return;
    }
    e->outcome = LEDGER_GIVEN;
    e->posts.available_nano = amount;
    e->posts.grants_nano = -amount;
}

/* ---- which of them -------------------------------------------------------------------------------------------------
 */

static void progress(const struct ledger_view *v, const struct ledger_command *c, struct ledger_effect *e)
{
    if (v->state == CALL_NEW)
        open_hold(v, c, e);
    else if (v->state == CALL_OPEN)
        renew_hold(v, c, e);
}

static void settle(const struct ledger_view *v, const struct ledger_command *c, struct ledger_effect *e)
{
    if (v->state == CALL_NEW || v->state == CALL_OPEN)
        end_call(v, c->cost_nano, CALL_SETTLED, e);
    else if (v->state != CALL_SETTLED)
        correct_call(v, c->cost_nano, e);
}

static void make_void(const struct ledger_view *v, struct ledger_effect *e)
{
    if (v->state == CALL_NEW || (v->state == CALL_OPEN && v->heard_nano == 0))
        end_call(v, 0, CALL_VOIDED, e);
}

struct ledger_effect ledger_step(const struct ledger_view *v, const struct ledger_command *c)
{
    struct ledger_effect e = {.outcome = LEDGER_NOTHING,
                              .state = v->state,
                              .hold_nano = v->hold_nano,
                              .heard_nano = v->heard_nano,
                              .heard_tokens = v->heard_tokens,
                              .taken_nano = v->taken_nano,
                              .overage_nano = v->overage_nano};

    assert(v->available_nano >= 0 && v->hold_nano >= 0 && v->held_nano >= v->hold_nano && c->cost_nano >= 0);
    switch (c->verb) {
    case LEDGER_PROGRESS: progress(v, c, &e); break;
    case LEDGER_SETTLE: settle(v, c, &e); break;
    case LEDGER_VOID: make_void(v, &e); break;
    case LEDGER_EXPIRE:
        if (v->state == CALL_OPEN)
            end_call(v, v->heard_nano, CALL_EXPIRED, &e);
        break;
    case LEDGER_GIVE: give(v, c->amount_nano, &e); break;
    }
    return e;
}
