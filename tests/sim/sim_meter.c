#include <string.h>

#include "tests/sim/sim.h"

/* ---- the step function, with an error put in when one is wanted ----------------------------------------------------
 */

static struct ledger_effect nothing(const struct ledger_view *v)
{
    return (struct ledger_effect){.outcome = LEDGER_NOTHING,
                                  .state = v->state,
                                  .hold_nano = v->hold_nano,
                                  .heard_nano = v->heard_nano,
                                  .heard_tokens = v->heard_tokens,
                                  .taken_nano = v->taken_nano,
                                  .overage_nano = v->overage_nano};
}

static void mutate_view(const struct sim *w, struct ledger_view *v, const struct ledger_command *c)
{
    if (w->mutation == MUTATION_DOUBLE_SETTLE && v->state == CALL_SETTLED && c->verb == LEDGER_SETTLE)
        v->state = CALL_NEW;
    if (w->mutation == MUTATION_VOID_WINS && c->verb == LEDGER_VOID)
        v->heard_nano = 0;
    if (w->mutation == MUTATION_BACKWARDS && c->verb == LEDGER_PROGRESS)
        v->heard_nano = 0;
    if (w->mutation == MUTATION_WHOLE_HOLD && c->verb == LEDGER_EXPIRE)
        v->heard_nano = v->hold_nano;
}

static struct ledger_effect decide(const struct sim *w, const struct ledger_view *view, const struct ledger_command *c)
{
    struct ledger_view v = *view;
    struct ledger_effect e;

    mutate_view(w, &v, c);
    e = ledger_step(&v, c);
    if (w->mutation == MUTATION_LOSE_LATE && e.outcome == LEDGER_CORRECTED)
        return nothing(view);
    if (w->mutation == MUTATION_CLIP_OVERAGE && e.outcome == LEDGER_ENDED) {
        e.posts.overage_nano = 0;
        e.posts.revenue_nano = e.taken_nano;
        e.overage_nano = 0;
    }
    if (w->mutation == MUTATION_KEEP_HOLD && e.outcome == LEDGER_ENDED && e.posts.available_nano > 0) {
        e.posts.held_nano += e.posts.available_nano;
        e.posts.available_nano = 0;
    }
    return e;
}

/* ---- what a transaction does ---------------------------------------------------------------------------------------
 */

static uint64_t lease_clock(const struct sim *w)
{
    return w->mutation == MUTATION_WALL_CLOCK ? w->wall : w->mono;
}

static void note_settled(struct sim *w, unsigned call, unsigned user)
{
    struct sim_store *s = &w->work;

    if (s->n_settled == SIM_SETTLED) {
        sim_fail(w, "more records of the state feed than there is room for");
        return;
    }
    w->settled[s->n_settled++] = (struct sim_settled){call, user, s->available[user] + s->held[user]};
}

static void post(struct sim_store *s, unsigned user, const struct ledger_posts *p)
{
    s->available[user] += p->available_nano;
    s->held[user] += p->held_nano;
    s->revenue += p->revenue_nano;
    s->overage += p->overage_nano;
    s->grants += p->grants_nano;
}

static void write_row(struct sim *w, struct sim_row *r, const struct ledger_effect *e, const struct sim_event *ev)
{
    uint64_t due = lease_clock(w) + ev->lease;

    r->state = e->state;
    r->hold = e->hold_nano;
    r->heard = e->heard_nano;
    r->tokens = e->heard_tokens;
    r->taken = e->taken_nano;
    r->overage = e->overage_nano;
    if (e->outcome != LEDGER_OPENED && e->outcome != LEDGER_RENEWED)
        return;
    r->due = due > r->due ? due : r->due;
    if (e->newer)
        r->lease = ev->lease;
}

static void apply(struct sim *w, struct sim_event ev, uint64_t tokens)
{
    struct sim_store *s = &w->work;
    struct sim_row *r = &s->rows[ev.call];
    unsigned user = w->calls[ev.call].user;
    struct ledger_view v = {.available_nano = s->available[user],
                            .held_nano = s->held[user],
                            .state = r->state,
                            .hold_nano = r->hold,
                            .heard_nano = r->heard,
                            .heard_tokens = r->tokens,
                            .taken_nano = r->taken,
                            .overage_nano = r->overage};
    struct ledger_command c = {ev.verb, w->calls[ev.call].hold, ev.cost, tokens};
    struct ledger_effect e;

    if (w->failure[0])
        return;
    e = decide(w, &v, &c);
    post(s, user, &e.posts);
    write_row(w, r, &e, &ev);
    if (e.outcome == LEDGER_ENDED || e.outcome == LEDGER_CORRECTED)
        note_settled(w, ev.call, user);
    sim_trace(w, "  call %u: verb %d cost %lld -> outcome %d state %d taken %lld overage %lld", ev.call, (int)ev.verb,
              (long long)ev.cost, (int)e.outcome, (int)e.state, (long long)e.taken_nano, (long long)e.overage_nano);
    if (w->n_events < SIM_APPLIED)
        w->events[w->n_events++] = ev;
    else
        sim_fail(w, "more records in a transaction than there is room for");
}

static void apply_message(struct sim *w, const struct sim_message *m)
{
    unsigned *position = &w->work.position[m->source], i;

    if (m->first > *position + 1) {
        if (w->mutation != MUTATION_SKIP_GAP)
            return;
        *position = m->first - 1;
    }
    for (i = *position + 1; i < m->first + m->n; i++) {
        const struct sim_record *r = &w->sources[m->source].log[i - 1];

        apply(w, (struct sim_event){r->verb, r->call, r->cost, r->lease}, r->tokens);
        *position = i;
    }
}

/* ---- its end -------------------------------------------------------------------------------------------------------
 */

static void acknowledge(struct sim *w)
{
    unsigned i;

    for (i = 0; i < SIM_SOURCES; i++) {
        struct sim_source *s = &w->sources[i];

        if (w->work.position[i] > s->acked && (w->peace || !(w->faults & FAULT_LOSS) || !sim_chance(w, 20)))
            s->acked = w->work.position[i];
    }
}

static void take_back(struct sim *w)
{
    unsigned kept[SIM_SOURCES], i;

    if (w->mutation == MUTATION_EARLY_ACK)
        acknowledge(w);
    if (w->mutation == MUTATION_EARLY_PUBLISH && w->auth.up)
        for (i = w->disk.n_settled; i < w->work.n_settled; i++)
            sim_auth_settled(w, &w->settled[i]);
    memcpy(kept, w->work.position, sizeof(kept));
    w->work = w->disk;
    if (w->mutation == MUTATION_KEEP_POSITION) {
        memcpy(w->work.position, kept, sizeof(kept));
        memcpy(w->disk.position, kept, sizeof(kept));
    }
    w->n_events = 0;
}

/* Returns whether it is on disk. */
static bool commit(struct sim *w)
{
    bool dies = !w->peace && (w->faults & FAULT_CRASH) && sim_chance(w, 3);
    unsigned i;

    if (!w->peace && (w->faults & FAULT_DISK) && sim_chance(w, 10)) {
        sim_trace(w, "  the disk is full");
        take_back(w);
        return false;
    }
    if (dies && sim_chance(w, 50)) {
        sim_trace(w, "  meterd dies before the commit");
        take_back(w);
        w->meter_up = false;
        return false;
    }
    w->disk = w->work;
    for (i = 0; i < w->n_events; i++)
        sim_committed(w, &w->events[i]);
    w->n_events = 0;
    if (dies) {
        sim_trace(w, "  meterd dies after the commit");
        w->meter_up = false;
        return true;
    }
    acknowledge(w);
    return true;
}

/* ---- operations ----------------------------------------------------------------------------------------------------
 */

static void apply_void(struct sim *w)
{
    unsigned i;

    for (i = 0; i < w->n_calls; i++)
        if (w->calls[i].void_due) {
            apply(w, (struct sim_event){.verb = LEDGER_VOID, .call = i}, 0);
            return;
        }
}

void sim_deliver(struct sim *w, unsigned n)
{
    bool voids = sim_chance(w, 50);
    unsigned i, call = w->n_calls;

    if (!w->meter_up)
        return;
    for (i = 0; i < n && w->n_messages > 0; i++) {
        unsigned at = (unsigned)sim_random(w, w->n_messages);
        struct sim_message m = w->messages[at];

        sim_trace(w, "  source %u, records %u to %u, at %u", m.source, m.first, m.first + m.n - 1,
                  w->work.position[m.source]);
        apply_message(w, &m);
        if (w->peace || !(w->faults & FAULT_DOUBLE) || !sim_chance(w, 25))
            w->messages[at] = w->messages[--w->n_messages];
    }
    if (voids) {
        for (call = 0; call < w->n_calls && !w->calls[call].void_due; call++)
            continue;
        apply_void(w);
    }
    /* The gateway tries again until it is told that it is done. */
    if (commit(w) && call < w->n_calls && w->meter_up)
        w->calls[call].void_due = false;
}

void sim_expire(struct sim *w)
{
    unsigned i;

    if (!w->meter_up)
        return;
    for (i = 0; i < w->n_calls; i++)
        if (w->work.rows[i].state == CALL_OPEN && w->work.rows[i].due <= lease_clock(w))
            apply(w, (struct sim_event){.verb = LEDGER_EXPIRE, .call = i}, 0);
    commit(w);
}

void sim_give(struct sim *w, unsigned user, int64_t amount)
{
    struct ledger_view v = {.available_nano = w->work.available[user], .held_nano = w->work.held[user]};
    struct ledger_command c = {.verb = LEDGER_GIVE, .amount_nano = amount};
    struct ledger_effect e;

    if (!w->meter_up)
        return;
    e = decide(w, &v, &c);
    if (e.outcome != LEDGER_GIVEN)
        return;
    post(&w->work, user, &e.posts);
    note_settled(w, SIM_CALLS, user);
    if (!commit(w))
        return;
    w->granted[user] += amount;
    w->excused = w->excused || amount < 0;
    sim_trace(w, "  user %u got %lld", user, (long long)amount);
}

void sim_meter_dies(struct sim *w)
{
    w->meter_up = false;
    take_back(w);
}

void sim_meter_returns(struct sim *w)
{
    unsigned i;

    if (w->meter_up)
        return;
    w->meter_up = true;
    w->work = w->disk;
    for (i = 0; i < w->n_calls; i++) {
        struct sim_row *r = &w->work.rows[i];

        if (r->state != CALL_OPEN)
            continue;
        if (w->mutation != MUTATION_OLD_LEASE)
            r->due = lease_clock(w) + r->lease;
        w->oracle[i].until = w->mono + w->oracle[i].lease;
    }
    w->disk = w->work;
}
