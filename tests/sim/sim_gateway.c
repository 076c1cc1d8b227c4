#include <string.h>

#include "tests/sim/sim.h"

#define HOLD_MAX 500
#define HOLD_MIN 40
#define BASE_MAX 30

/* ---- admission -----------------------------------------------------------------------------------------------------
 */

static int64_t credit_left(const struct sim *w, unsigned user)
{
    int64_t left = w->auth.balance[user];
    unsigned i;

    for (i = 0; i < w->n_calls; i++)
        if (w->auth.holds[i].open && w->calls[i].user == user)
            left -= w->calls[i].hold;
    return left;
}

static void hold(struct sim *w, unsigned call, uint64_t due)
{
    if (w->auth.holds[call].ended)
        return;
    w->auth.holds[call].open = true;
    if (due > w->auth.holds[call].due)
        w->auth.holds[call].due = due;
}

void sim_admit(struct sim *w)
{
    unsigned user = (unsigned)sim_random(w, SIM_USERS);
    int64_t wanted = HOLD_MIN + (int64_t)sim_random(w, HOLD_MAX), left = credit_left(w, user);
    struct sim_call *c = &w->calls[w->n_calls];

    if (!w->auth.up || w->n_calls == SIM_CALLS || left < HOLD_MIN)
        return;
    *c = (struct sim_call){.stage = STAGE_ADMITTED,
                           .user = user,
                           .hold = wanted < left ? wanted : left,
                           .price = 1 + (int64_t)sim_random(w, 7),
                           .base = (int64_t)sim_random(w, BASE_MAX),
                           .deadline = w->mono + SIM_DEADLINE_MS,
                           .gateway = true};
    hold(w, w->n_calls, c->deadline + SIM_GRACE_MS);
    sim_trace(w, "  call %u of user %u, hold %lld of %lld", w->n_calls, user, (long long)c->hold, (long long)left);
    w->n_calls++;
}

void sim_auth_settled(struct sim *w, const struct sim_settled *s)
{
    w->auth.balance[s->user] = s->balance;
    if (s->call < SIM_CALLS) {
        w->auth.holds[s->call].open = false;
        w->auth.holds[s->call].ended = true;
    }
}

void sim_auth_feed(struct sim *w, unsigned n)
{
    /* What meterd has committed but could not make known is read when it is back. */
    for (; w->auth.up && w->meter_up && n > 0 && w->auth.feed_at < w->disk.n_settled; n--)
        sim_auth_settled(w, &w->settled[w->auth.feed_at++]);
}

/* ---- holds live on -------------------------------------------------------------------------------------------------
 */

static bool has_ended(const struct sim *w, unsigned call)
{
    return w->disk.rows[call].state > CALL_OPEN;
}

static bool may_still_cost(const struct sim *w, unsigned call)
{
    const struct sim_call *c = &w->calls[call];

    return !has_ended(w, call) && (c->stage == STAGE_RUNNING || c->stage == STAGE_FINISHED);
}

static bool replica_asserts(const struct sim *w, unsigned call)
{
    const struct sim_call *c = &w->calls[call];
    const struct sim_source *s = &w->sources[c->source];

    if (!s->up || s->destroyed)
        return false;
    return c->stage == STAGE_RUNNING || (c->stage == STAGE_FINISHED && c->final_seq > s->acked);
}

void sim_assert_holds(struct sim *w)
{
    unsigned i;

    for (i = 0; i < w->n_calls && w->auth.up; i++) {
        if (replica_asserts(w, i))
            hold(w, i, w->mono + SIM_ASSERT_MS);
        if (w->calls[i].gateway && w->calls[i].stage == STAGE_ADMITTED)
            hold(w, i, w->calls[i].deadline + SIM_GRACE_MS);
    }
}

/* A call may have been settled, and its hold asserted no more, before admission has heard of it: until it has heard
 * everything no hold lapses, or the credit that was billed would be admitted once more. */
void sim_lapse_holds(struct sim *w)
{
    unsigned i;

    if ((!w->meter_up || w->auth.feed_at < w->disk.n_settled) && w->mutation != MUTATION_BLIND_LAPSE)
        return;
    for (i = 0; i < w->n_calls && w->auth.up; i++) {
        if (!w->auth.holds[i].open || w->auth.holds[i].due > w->mono)
            continue;
        w->auth.holds[i].open = false;
        w->excused = w->excused || may_still_cost(w, i);
        sim_trace(w, "  authsvc: the hold of call %u lapses", i);
    }
}

void sim_auth_dies(struct sim *w)
{
    memset(&w->auth, 0, sizeof(w->auth));
}

void sim_auth_returns(struct sim *w)
{
    unsigned i;

    if (w->auth.up || !w->meter_up)
        return;
    w->auth.up = true;
    w->auth.feed_at = w->disk.n_settled;
    for (i = 0; i < SIM_USERS; i++)
        w->auth.balance[i] = w->disk.available[i] + w->disk.held[i];
    if (w->mutation == MUTATION_FORGET_HOLDS)
        return;
    sim_assert_holds(w);
    for (i = 0; i < w->n_calls; i++)
        w->excused = w->excused || (may_still_cost(w, i) && !w->auth.holds[i].open);
}

/* ---- the gateway ---------------------------------------------------------------------------------------------------
 */

static unsigned some_call(struct sim *w, enum sim_stage stage)
{
    unsigned at = w->n_calls ? (unsigned)sim_random(w, w->n_calls) : 0, i;

    for (i = 0; i < w->n_calls; i++, at = (at + 1) % w->n_calls)
        if (w->calls[at].stage == stage)
            return at;
    return SIM_CALLS;
}

void sim_start_call(struct sim *w)
{
    unsigned call = some_call(w, STAGE_ADMITTED), source = (unsigned)sim_random(w, SIM_REPLICAS);
    struct sim_call *c = &w->calls[call];

    if (call == SIM_CALLS || !c->gateway || !w->sources[source].up || w->sources[source].destroyed ||
        w->mono >= c->deadline)
        return;
    c->stage = STAGE_RUNNING;
    c->source = source;
    if (c->base > c->hold)
        c->base = c->hold;
    sim_trace(w, "  call %u runs on replica %u", call, source);
}

/* A call that no replica took is void. With FAULT_VOID the gateway is wrong about that. */
void sim_give_up(struct sim *w)
{
    bool wrong = (w->faults & FAULT_VOID) && sim_chance(w, 50);
    unsigned call = some_call(w, wrong ? STAGE_RUNNING : STAGE_ADMITTED);
    struct sim_call *c = &w->calls[call];

    if (call == SIM_CALLS || !c->gateway)
        return;
    c->gateway = false;
    c->void_due = true;
    if (c->stage == STAGE_ADMITTED)
        c->stage = STAGE_GONE;
    else
        w->excused = true;
    sim_trace(w, "  call %u is given up%s", call, c->stage == STAGE_GONE ? "" : ", though it runs");
}

/* Its clients are gone: what runs is cancelled, what has not begun never will, what was to be void nobody says. */
void sim_gateway_dies(struct sim *w)
{
    unsigned i;

    for (i = 0; i < w->n_calls; i++) {
        struct sim_call *c = &w->calls[i];

        c->void_due = false;
        if (!c->gateway)
            continue;
        c->gateway = false;
        if (c->stage == STAGE_ADMITTED)
            c->stage = STAGE_GONE;
        if (c->stage == STAGE_RUNNING && w->sources[c->source].up)
            sim_cut(w, c);
    }
}
