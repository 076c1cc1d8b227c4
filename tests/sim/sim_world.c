#include <stdarg.h>
#include <string.h>

#include "tests/sim/sim.h"

#define CREDIT_MIN 300
#define CREDIT_MAX 3000
#define TICK_MAX_MS 2000
#define STALL_MAX_MS 200000
#define JUMP_MAX_MS 10000000
#define ROUND_MS 15000 /* holds are asserted this often */
#define PEACE_MS 10000000 /* longer than any lease */

/* ---- chance --------------------------------------------------------------------------------------------------------
 */

/* splitmix64: every seed is as good as any other, 0 and 1 too. */
static uint64_t next(struct sim *w)
{
    uint64_t z = w->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t sim_random(struct sim *w, uint64_t below)
{
    return next(w) % below;
}

bool sim_chance(struct sim *w, unsigned percent)
{
    return sim_random(w, 100) < percent;
}

void sim_trace(struct sim *w, const char *format, ...)
{
    va_list args;

    if (!w->trace)
        return;
    va_start(args, format);
    vfprintf(w->trace, format, args);
    va_end(args);
    fputc('\n', w->trace);
}

/* ---- time ----------------------------------------------------------------------------------------------------------
 */

/* What the services do by themselves as time passes. */
static void keep_time(struct sim *w)
{
    unsigned i;

    for (i = 0; i < w->n_calls; i++) {
        struct sim_call *c = &w->calls[i];

        if (c->deadline > w->mono)
            continue;
        if (c->stage == STAGE_RUNNING && w->sources[c->source].up)
            sim_cut(w, c);
        if (c->stage == STAGE_ADMITTED) {
            c->stage = STAGE_GONE;
            c->void_due = c->gateway;
            c->gateway = false;
        }
    }
    sim_assert_holds(w);
    sim_lapse_holds(w);
}

static void pass(struct sim *w, uint64_t ms)
{
    while (ms > 0) {
        uint64_t step = ms < ROUND_MS ? ms : ROUND_MS;

        w->mono += step;
        w->wall += step;
        ms -= step;
        keep_time(w);
    }
    sim_expire(w);
}

static void jump(struct sim *w)
{
    if (w->faults & FAULT_CLOCK)
        w->wall = w->wall - JUMP_MAX_MS + sim_random(w, 2 * (uint64_t)JUMP_MAX_MS);
}

/* ---- one operation -------------------------------------------------------------------------------------------------
 */

enum op {
    OP_ADMIT,
    OP_START,
    OP_PRODUCE,
    OP_FINISH,
    OP_SEND,
    OP_DELIVER,
    OP_FEED,
    OP_TICK,
    OP_GIVE_UP,
    OP_GIVE,
    OP_RETURN,
    OP_ECHO,
    OP_JUMP,
    OP_STALL,
    OP_REPLICA_DIES,
    OP_METER_DIES,
    OP_AUTH_DIES,
    OP_GATEWAY_DIES,
    OP_DESTROY,
    OP_TAKE,
    OPS
};

static const struct {
    const char *name;
    unsigned weight, fault; /* fault: only in a run that has it */
} ops[OPS] = {
    [OP_ADMIT] = {"admit", 20, 0},
    [OP_START] = {"start", 14, 0},
    [OP_PRODUCE] = {"produce", 24, 0},
    [OP_FINISH] = {"finish", 8, 0},
    [OP_SEND] = {"send", 20, 0},
    [OP_DELIVER] = {"deliver", 20, 0},
    [OP_FEED] = {"feed", 12, 0},
    [OP_TICK] = {"tick", 12, 0},
    [OP_GIVE_UP] = {"give up", 2, 0},
    [OP_GIVE] = {"give", 4, 0},
    [OP_RETURN] = {"return", 6, 0},
    [OP_ECHO] = {"echo", 8, FAULT_ECHO},
    [OP_JUMP] = {"jump", 3, FAULT_CLOCK},
    [OP_STALL] = {"stall", 2, FAULT_STALL},
    [OP_REPLICA_DIES] = {"replica dies", 3, FAULT_CRASH},
    [OP_METER_DIES] = {"meterd dies", 2, FAULT_CRASH},
    [OP_AUTH_DIES] = {"authsvc dies", 2, FAULT_CRASH},
    [OP_GATEWAY_DIES] = {"gateway dies", 1, FAULT_CRASH},
    [OP_DESTROY] = {"outbox destroyed", 1, FAULT_DESTROY},
    [OP_TAKE] = {"take", 1, FAULT_TAKE},
};

static enum op choose(struct sim *w)
{
    unsigned total = 0, i;
    uint64_t at;

    for (i = 0; i < OPS; i++)
        total += (ops[i].fault & ~w->faults) == 0 ? ops[i].weight : 0;
    at = sim_random(w, total);
    for (i = 0; i < OPS - 1; i++) {
        unsigned weight = (ops[i].fault & ~w->faults) == 0 ? ops[i].weight : 0;

        if (at < weight)
            break;
        at -= weight;
    }
    return (enum op)i;
}

static void bring_back(struct sim *w)
{
    switch (sim_random(w, 3)) {
    case 0: sim_meter_returns(w); break;
    case 1: sim_auth_returns(w); break;
    default: sim_replica_returns(w, (unsigned)sim_random(w, SIM_REPLICAS)); break;
    }
}

static void operate(struct sim *w, enum op op)
{
    unsigned user = (unsigned)sim_random(w, SIM_USERS);

    switch (op) {
    case OP_ADMIT: sim_admit(w); break;
    case OP_START: sim_start_call(w); break;
    case OP_PRODUCE: sim_produce(w); break;
    case OP_FINISH: sim_finish(w); break;
    case OP_SEND: sim_send(w, (unsigned)sim_random(w, SIM_SOURCES)); break;
    case OP_DELIVER: sim_deliver(w, 1 + (unsigned)sim_random(w, 4)); break;
    case OP_FEED:
        if (!(w->faults & FAULT_LAG) || sim_chance(w, 15))
            sim_auth_feed(w, 1 + (unsigned)sim_random(w, 6));
        break;
    case OP_TICK: pass(w, 1 + sim_random(w, TICK_MAX_MS)); break;
    case OP_GIVE_UP: sim_give_up(w); break;
    case OP_GIVE: sim_give(w, user, (int64_t)sim_random(w, CREDIT_MIN)); break;
    case OP_RETURN: bring_back(w); break;
    case OP_ECHO: sim_echo(w); break;
    case OP_JUMP: jump(w); break;
    case OP_STALL: pass(w, 1 + sim_random(w, STALL_MAX_MS)); break;
    case OP_REPLICA_DIES: sim_replica_dies(w); break;
    case OP_METER_DIES: sim_meter_dies(w); break;
    case OP_AUTH_DIES: sim_auth_dies(w); break;
    case OP_GATEWAY_DIES: sim_gateway_dies(w); break;
    case OP_DESTROY: sim_destroy(w); break;
    case OP_TAKE: sim_give(w, user, -(int64_t)sim_random(w, CREDIT_MAX)); break;
    case OPS: break;
    }
}

/* ---- one run -------------------------------------------------------------------------------------------------------
 */

static void begin(struct sim *w)
{
    unsigned i;

    w->faults = (unsigned)sim_random(w, SIM_FAULTS_ALL + 1);
    if (sim_chance(w, 50))
        w->faults &= ~(unsigned)SIM_FAULTS_HARD;
    w->mono = sim_random(w, JUMP_MAX_MS);
    w->wall = UINT64_C(1800000000000);
    w->meter_up = true;
    for (i = 0; i < SIM_SOURCES; i++)
        w->sources[i].up = true;
    w->peace = true;
    for (i = 0; i < SIM_USERS; i++)
        sim_give(w, i, CREDIT_MIN + (int64_t)sim_random(w, CREDIT_MAX));
    sim_auth_returns(w);
    w->peace = false;
}

static void deliver_all(struct sim *w)
{
    unsigned i, rounds;

    sim_deliver(w, SIM_MESSAGES);
    for (i = 0; i < SIM_SOURCES; i++) {
        const struct sim_source *s = &w->sources[i];

        for (rounds = 0; !s->destroyed && w->work.position[i] < s->n && !w->failure[0]; rounds++) {
            sim_send(w, i);
            sim_deliver(w, 1);
            if (rounds > SIM_RECORDS)
                sim_fail(w, "source %u is never heard to its end: %u of %u", i, w->work.position[i], s->n);
        }
    }
}

static bool voids_due(const struct sim *w)
{
    unsigned i;

    for (i = 0; i < w->n_calls; i++)
        if (w->calls[i].void_due)
            return true;
    return false;
}

/* Everything comes back, is heard, and no lease lasts for ever. */
static void make_peace(struct sim *w)
{
    unsigned i;

    w->peace = true;
    sim_trace(w, "peace, faults %x", w->faults);
    sim_meter_returns(w);
    for (i = 0; i < SIM_REPLICAS; i++)
        sim_replica_returns(w, i);
    sim_auth_returns(w);
    pass(w, SIM_DEADLINE_MS + 1); /* what still runs comes to its deadline */
    deliver_all(w);
    for (i = 0; voids_due(w) && i < 100 * SIM_CALLS; i++)
        sim_deliver(w, 0);
    sim_auth_feed(w, SIM_SETTLED);
    pass(w, PEACE_MS);
    sim_auth_feed(w, SIM_SETTLED); /* what has expired */
    keep_time(w);
    sim_check_end(w);
}

void sim_run(struct sim *w, uint64_t seed, enum sim_mutation mutation, FILE *trace)
{
    memset(w, 0, sizeof(*w));
    w->seed = seed;
    w->random = seed;
    w->mutation = mutation;
    w->trace = trace;
    begin(w);
    for (w->op = 0; w->op < SIM_OPS && !w->failure[0]; w->op++) {
        enum op op = choose(w);

        sim_trace(w, "%u: %s", w->op, ops[op].name);
        operate(w, op);
        sim_check(w);
    }
    if (!w->failure[0])
        make_peace(w);
}
