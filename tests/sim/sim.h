/*
 * sim: a world of its own around the ledger's step function (meterd/ledger_step.h), driven by a seed: users with little
 * credit, an admission that holds credit in memory, replicas with outboxes that call upstream, a network that loses,
 * doubles and reorders, and a meterd whose store commits, fails or dies. One seed is SIM_OPS operations and then peace:
 * whatever was down comes back and everything is delivered. After every operation the invariants of sim_check.c hold,
 * told by an oracle that does not know the step function.
 *
 * Everything is in one struct, there is no time but its own and no memory beyond it: the same seed gives the same run.
 */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "meterd/ledger_step.h"

#define SIM_OPS 500
#define SIM_USERS 3
#define SIM_CALLS 80
#define SIM_REPLICAS 3
#define SIM_SOURCES (SIM_REPLICAS + 1) /* the last repeats, under its own name, what the others have said */
#define SIM_ECHO SIM_REPLICAS
#define SIM_RECORDS 640 /* of one outbox */
#define SIM_MESSAGES 24 /* under way at once */
#define SIM_APPLIED 256 /* records of one transaction */
#define SIM_SETTLED 1024 /* records of the state feed */
#define SIM_DEADLINE_MS 60000 /* of a call */
#define SIM_GRACE_MS 30000 /* holds live so much longer */
#define SIM_ASSERT_MS 45000 /* lease of a hold that a replica has asserted */

/* What can go wrong in a run: each seed has its own choice. */
enum sim_fault {
    FAULT_CRASH = 1 << 0, /* of any service */
    FAULT_DISK = 1 << 1, /* a commit fails */
    FAULT_LOSS = 1 << 2, /* messages and acknowledgements are lost */
    FAULT_DOUBLE = 1 << 3, /* messages come twice, old ones again */
    FAULT_CLOCK = 1 << 4, /* the wall clock jumps */
    FAULT_STALL = 1 << 5, /* a long time passes */
    FAULT_ECHO = 1 << 6, /* a second source speaks of the same calls */
    /* these can make calls cost what no hold bears */
    FAULT_VOID = 1 << 7, /* the gateway takes back a call that runs */
    FAULT_DESTROY = 1 << 8, /* an outbox is lost for ever */
    FAULT_TAKE = 1 << 9, /* credit is taken back while calls run */
    FAULT_LAG = 1 << 10, /* the state feed is far behind */
};
#define SIM_FAULTS_HARD (FAULT_VOID | FAULT_DESTROY | FAULT_TAKE)
#define SIM_FAULTS_ALL ((1 << 11) - 1)

/* Errors put in on purpose: the simulator must find each. M(NAME, "option", "what is wrong") */
#define SIM_MUTATIONS(M)                                                                                               \
    M(DOUBLE_SETTLE, "double-settle", "a second settlement is posted again")                                           \
    M(LOSE_LATE, "lose-late", "what comes after an expiry or a void is dropped")                                       \
    M(CLIP_OVERAGE, "clip-overage", "what credit cannot bear is forgotten")                                            \
    M(VOID_WINS, "void-wins", "a void ends a call that is known to have cost something")                               \
    M(BACKWARDS, "backwards", "older progress replaces newer")                                                         \
    M(KEEP_HOLD, "keep-hold", "the rest of a hold is not given back")                                                  \
    M(WHOLE_HOLD, "whole-hold", "an expired call costs its whole hold")                                                \
    M(EARLY_ACK, "early-ack", "records are acknowledged though the commit failed")                                     \
    M(EARLY_PUBLISH, "early-publish", "settlements are made known though the commit failed")                           \
    M(SKIP_GAP, "skip-gap", "records behind a gap are applied")                                                        \
    M(KEEP_POSITION, "keep-position", "a failed commit leaves the positions moved")                                    \
    M(WALL_CLOCK, "wall-clock", "leases run on the wall clock")                                                        \
    M(OLD_LEASE, "old-lease", "leases are not counted anew after a start")                                             \
    M(BLIND_LAPSE, "blind-lapse", "admission lets holds lapse though it has not heard what was settled")               \
    M(FORGET_HOLDS, "forget-holds", "admission does not wait for holds to be asserted after its start")

#define SIM_MUTATION(name, option, text) MUTATION_##name,
enum sim_mutation { MUTATION_NONE, SIM_MUTATIONS(SIM_MUTATION) MUTATIONS };

struct sim_record { /* of an outbox, and what a message carries */
    enum ledger_verb verb;
    unsigned call;
    int64_t cost;
    uint64_t tokens, lease;
};

struct sim_source {
    struct sim_record log[SIM_RECORDS];
    unsigned n, sent, acked; /* written, ever sent, known to be committed */
    bool up, destroyed;
};

struct sim_message {
    unsigned source, first, n; /* records first..first+n-1, the first of an outbox being 1 */
};

enum sim_stage { STAGE_NONE, STAGE_ADMITTED, STAGE_RUNNING, STAGE_FINISHED, STAGE_GONE };

struct sim_call {
    enum sim_stage stage;
    unsigned user, source;
    int64_t hold, price, base; /* base: what the prompt costs */
    uint64_t tokens; /* produced so far */
    uint64_t deadline;
    bool gateway; /* the gateway has it in flight */
    bool void_due; /* the gateway has a void to deliver */
    unsigned final_seq;
};

struct sim_oracle { /* of a call, from what was committed */
    bool open, final, voided, expired;
    int64_t heard, cost;
    uint64_t until, lease; /* monotonic: it must not expire before */
};

struct sim_row { /* of a call, in the store */
    enum call_state state;
    int64_t hold, heard, taken, overage;
    uint64_t tokens, due, lease;
};

struct sim_store {
    int64_t available[SIM_USERS], held[SIM_USERS], revenue, overage, grants;
    struct sim_row rows[SIM_CALLS];
    unsigned position[SIM_SOURCES];
    unsigned n_settled;
};

struct sim_settled { /* of the state feed */
    unsigned call, user; /* call SIM_CALLS: none, the user's credit moved */
    int64_t balance;
};

struct sim_auth { /* all of it memory */
    bool up;
    unsigned feed_at;
    int64_t balance[SIM_USERS];
    struct {
        bool open, ended;
        uint64_t due;
    } holds[SIM_CALLS];
};

struct sim_event { /* of a transaction, for the oracle */
    enum ledger_verb verb;
    unsigned call;
    int64_t cost;
    uint64_t lease;
};

struct sim {
    uint64_t seed, random;
    enum sim_mutation mutation;
    unsigned faults;
    bool peace; /* the end: no more faults */
    FILE *trace; /* NULL = silent */

    uint64_t mono, wall;
    struct sim_call calls[SIM_CALLS];
    unsigned n_calls;
    struct sim_source sources[SIM_SOURCES];
    struct sim_message messages[SIM_MESSAGES];
    unsigned n_messages;
    struct sim_auth auth;

    bool meter_up;
    struct sim_store disk, work;
    struct sim_settled settled[SIM_SETTLED];
    struct sim_event events[SIM_APPLIED];
    unsigned n_events;

    struct sim_oracle oracle[SIM_CALLS];
    int64_t granted[SIM_USERS];
    bool excused; /* something happened after which no hold bears every cost */
    unsigned op;
    char failure[256]; /* empty = well */
};

/* sim_world.c */
void sim_run(struct sim *w, uint64_t seed, enum sim_mutation mutation, FILE *trace);
uint64_t sim_random(struct sim *w, uint64_t below); /* 0..below-1 */
bool sim_chance(struct sim *w, unsigned percent);
int64_t sim_cost(const struct sim_call *c);
void __attribute__((format(printf, 2, 3))) sim_trace(struct sim *w, const char *format, ...);

/* sim_gateway.c: who asks for calls, and who admits them */
void sim_admit(struct sim *w);
void sim_start_call(struct sim *w);
void sim_give_up(struct sim *w);
void sim_gateway_dies(struct sim *w);
void sim_auth_dies(struct sim *w);
void sim_auth_returns(struct sim *w);
void sim_auth_feed(struct sim *w, unsigned n); /* so many records of the state feed */
void sim_auth_settled(struct sim *w, const struct sim_settled *s);
void sim_assert_holds(struct sim *w);
void sim_lapse_holds(struct sim *w);

/* sim_replica.c: who makes calls, and tells of them */
void sim_produce(struct sim *w);
void sim_finish(struct sim *w);
void sim_replica_dies(struct sim *w);
void sim_replica_returns(struct sim *w, unsigned source);
void sim_destroy(struct sim *w);
void sim_cut(struct sim *w, struct sim_call *c); /* its final record, with what was produced */
void sim_echo(struct sim *w);
void sim_send(struct sim *w, unsigned source);

/* sim_meter.c: who bills them */
void sim_deliver(struct sim *w, unsigned n); /* so many messages and voids, in one transaction */
void sim_expire(struct sim *w);
void sim_give(struct sim *w, unsigned user, int64_t amount);
void sim_meter_dies(struct sim *w);
void sim_meter_returns(struct sim *w);

/* sim_check.c */
void sim_committed(struct sim *w, const struct sim_event *e); /* the oracle hears of it */
void sim_check(struct sim *w); /* after every operation */
void sim_check_end(struct sim *w); /* and in peace */
void __attribute__((format(printf, 2, 3))) sim_fail(struct sim *w, const char *format, ...);

#endif
