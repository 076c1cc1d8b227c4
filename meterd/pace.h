/*
 * pace: how the writer yields to live calls while it makes up for usage that it has missed. A backlog is no reason to
 * hurry: nobody waits for it, and at full speed it would take a whole core from those whom somebody waits for. So while
 * there is one, the writer takes a small piece of CPU at a time (PACE_RUN_NS: what a call may feel of it) and rests for
 * PACE_REST times as long: a quarter of a core. A command cuts a rest short.
 * What it tells others is work for them, too: it comes in small portions.
 * It must end, however fast new usage comes: the rests shrink to nothing within PACE_PATIENCE_MS. Without a backlog
 * none of this is done. Owned and used by the writer's thread.
 */
#ifndef METERD_PACE_H
#define METERD_PACE_H

#include <stdbool.h>
#include <stdint.h>

#include "meterd/mailbox.h"

#define PACE_BEHIND_EVENTS 2000 /* so many wait: a backlog. Live ones wait for a commit or two at most */
#define PACE_RUN_NS 300000 /* of CPU, between two rests */
#define PACE_REST 3 /* times the CPU that was taken before it */
#define PACE_REST_MAX_NS 5000000 /* of one rest */
#define PACE_PATIENCE_MS 60000 /* of a backlog: after it there are no rests until there was none */
#define PACE_TOLD 64 /* settled calls that others are told of at once: each takes a look at its account … */
#define PACE_TOLD_NS 1500000 /* … and so long they have for it */
#define PACE_OVER_MS 1000 /* without a sign of it, a backlog is over */

struct pace {
    struct mailbox *box;
    bool on;
    uint64_t began_ms, seen_ms; /* of this backlog: its first and its newest sign; 0 = there is none */
    uint64_t ran_from_ns; /* the thread's CPU time when it went on */
};

/* Before the n items are applied: they, or what waits behind them, may be part of a backlog. */
void pace_look(struct pace *p, const struct mail_item *items, size_t n, uint64_t now_ms);
bool pace_yields(const struct pace *p, uint64_t now_ms); /* is this turn one that gives way? */
void pace_begin(struct pace *p); /* by the thread that does the turn */
void pace_told(struct pace *p); /* others have work now: rests until they are through */
void pace_step(struct pace *p); /* between pieces of work; rests when it is due. NULL is fine. */

#endif
