#include <stdarg.h>

#include "tests/sim/sim.h"

void sim_fail(struct sim *w, const char *format, ...)
{
    va_list args;

    if (w->failure[0])
        return;
    va_start(args, format);
    vsnprintf(w->failure, sizeof(w->failure), format, args);
    va_end(args);
}

/* ---- the oracle: what the bill of a call must be, told without the step function ------------------------------------
 */

static bool is_over(const struct sim_oracle *o)
{
    return o->final || o->voided || o->expired;
}

static void hear_progress(struct sim *w, struct sim_oracle *o, const struct sim_event *e)
{
    if (is_over(o))
        return;
    o->open = true;
    if (e->cost >= o->heard) {
        o->heard = e->cost;
        o->lease = e->lease;
    }
    if (w->mono + e->lease > o->until)
        o->until = w->mono + e->lease;
}

static void hear_expiry(struct sim *w, struct sim_oracle *o, unsigned call)
{
    if (is_over(o) || !o->open)
        sim_fail(w, "call %u expires, but it has no open hold", call);
    else if (w->mono < o->until)
        sim_fail(w, "call %u expires %llu ms before its lease is over", call, (unsigned long long)(o->until - w->mono));
    o->expired = true;
    /* What its hold does not bear any more when the truth comes may be more than there is. */
    w->excused = w->excused || w->calls[call].stage == STAGE_RUNNING || sim_cost(&w->calls[call]) > o->heard;
}

void sim_committed(struct sim *w, const struct sim_event *e)
{
    struct sim_oracle *o = &w->oracle[e->call];

    switch (e->verb) {
    case LEDGER_PROGRESS: hear_progress(w, o, e); break;
    case LEDGER_SETTLE:
        if (!o->final)
            o->cost = e->cost;
        o->final = true;
        break;
    case LEDGER_VOID: o->voided = o->voided || (!is_over(o) && o->heard == 0); break;
    case LEDGER_EXPIRE: hear_expiry(w, o, e->call); break;
    case LEDGER_GIVE: break;
    }
}

static int64_t bill_of(const struct sim_oracle *o)
{
    if (o->final)
        return o->cost;
    return o->expired ? o->heard : 0;
}

static enum call_state state_of(const struct sim_oracle *o)
{
    if (o->final)
        return CALL_SETTLED;
    if (o->expired)
        return CALL_EXPIRED;
    if (o->voided)
        return CALL_VOIDED;
    return o->open ? CALL_OPEN : CALL_NEW;
}

/* ---- after every operation -----------------------------------------------------------------------------------------
 */

static void check_call(struct sim *w, unsigned call, int64_t *held, int64_t *taken)
{
    const struct sim_row *r = &w->disk.rows[call];
    const struct sim_oracle *o = &w->oracle[call];

    if (r->state != state_of(o))
        sim_fail(w, "call %u: the ledger has state %d, it must be %d", call, (int)r->state, (int)state_of(o));
    if (r->taken + r->overage != bill_of(o))
        sim_fail(w, "call %u: the bill is %lld + %lld, it must be %lld", call, (long long)r->taken,
                 (long long)r->overage, (long long)bill_of(o));
    if (r->state == CALL_OPEN && r->heard != o->heard)
        sim_fail(w, "call %u: %lld was heard, the ledger says %lld", call, (long long)o->heard, (long long)r->heard);
    if (r->taken < 0 || r->overage < 0 || r->hold < 0)
        sim_fail(w, "call %u: an amount is below zero", call);
    if (r->state == CALL_OPEN)
        *held += r->hold;
    *taken += r->taken;
}

/* What a call that is under way may still take from its user's credit. */
static int64_t exposure(const struct sim *w, unsigned call)
{
    const struct sim_call *c = &w->calls[call];

    if (w->disk.rows[call].state > CALL_OPEN)
        return 0;
    if (c->stage == STAGE_FINISHED)
        return sim_cost(c);
    return c->stage == STAGE_RUNNING || c->stage == STAGE_ADMITTED ? c->hold : 0;
}

static void check_user(struct sim *w, unsigned user)
{
    const struct sim_store *s = &w->disk;
    int64_t held = 0, taken = 0, most = 0;
    unsigned i;

    for (i = 0; i < w->n_calls; i++)
        if (w->calls[i].user == user) {
            check_call(w, i, &held, &taken);
            most += exposure(w, i);
        }
    if (s->available[user] < 0 || s->held[user] < 0)
        sim_fail(w, "user %u is below zero: %lld available, %lld held", user, (long long)s->available[user],
                 (long long)s->held[user]);
    if (s->held[user] != held)
        sim_fail(w, "user %u: %lld is held, open holds are of %lld", user, (long long)s->held[user], (long long)held);
    if (s->available[user] + s->held[user] != w->granted[user] - taken)
        sim_fail(w, "user %u: was given %lld and billed %lld, but has %lld", user, (long long)w->granted[user],
                 (long long)taken, (long long)(s->available[user] + s->held[user]));
    if (most > s->available[user] + s->held[user] && !w->excused)
        sim_fail(w, "user %u: calls under way may cost %lld, the credit is %lld, and nothing excuses it", user,
                 (long long)most, (long long)(s->available[user] + s->held[user]));
}

void sim_check(struct sim *w)
{
    const struct sim_store *s = &w->disk;
    int64_t sum = s->revenue + s->overage + s->grants;
    unsigned i;

    for (i = 0; i < SIM_USERS; i++) {
        check_user(w, i);
        sum += s->available[i] + s->held[i];
    }
    if (sum != 0)
        sim_fail(w, "all accounts sum to %lld", (long long)sum);
    if (s->overage > 0)
        sim_fail(w, "overage is above zero");
    if (s->overage != 0 && !w->excused)
        sim_fail(w, "%lld was spent that nobody's credit bore, and nothing excuses it", (long long)-s->overage);
}

/* ---- in peace ------------------------------------------------------------------------------------------------------
 */

static void check_end_of(struct sim *w, unsigned call)
{
    const struct sim_call *c = &w->calls[call];
    const struct sim_oracle *o = &w->oracle[call];
    bool lost = w->sources[c->source].destroyed;

    if (o->open && !is_over(o))
        sim_fail(w, "call %u has a hold that never ends", call);
    if (c->stage == STAGE_RUNNING && !lost)
        sim_fail(w, "call %u never ends", call);
    if (c->stage == STAGE_FINISHED && !lost && !o->final)
        sim_fail(w, "call %u has cost %lld and was not billed", call, (long long)sim_cost(c));
    if (c->stage == STAGE_FINISHED && o->final && o->cost != sim_cost(c))
        sim_fail(w, "call %u has cost %lld and was billed %lld", call, (long long)sim_cost(c), (long long)o->cost);
    if (c->void_due)
        sim_fail(w, "the void of call %u was not delivered", call);
    if (w->auth.holds[call].open)
        sim_fail(w, "call %u is held in admission for ever", call);
}

void sim_check_end(struct sim *w)
{
    unsigned i;

    sim_check(w);
    for (i = 0; i < w->n_calls; i++)
        check_end_of(w, i);
    for (i = 0; i < SIM_USERS; i++)
        if (w->auth.balance[i] != w->disk.available[i] + w->disk.held[i])
            sim_fail(w, "user %u has %lld, admission believes in %lld", i,
                     (long long)(w->disk.available[i] + w->disk.held[i]), (long long)w->auth.balance[i]);
}
