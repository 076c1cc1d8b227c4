/*
 * pace: how the writer yields to live calls while it makes up for usage that it has missed. A backlog is no reason to
 * hurry: nobody waits for it, and at full speed it would take a core from those whom somebody waits for. So while there
 * is one, transactions are done by a thread that gives way to all others (idle.h), a small piece of CPU at a time
 * (PACE_RUN_NS: what a call may feel of it) with rests PACE_REST times as long; and what they tell others, which is
 * work for those, comes in small portions, with time for each. A command cuts a rest short. It must end, however fast
 * new usage comes: the rests shrink to nothing within PACE_PATIENCE_MS, and then nothing gives way any more. Without a
 * backlog none of this is done. Owned and used by the writer's thread.
 */
#ifndef METERD_PACE_H
#define METERD_PACE_H

#include <stdbool.h>
#include <stdint.h>

#include "meterd/idle.h"
#include "meterd/mailbox.h"

#define PACE_BEHIND_EVENTS 2000 /* so many wait: a backlog. Live ones wait for a commit or two at most */
#define PACE_RUN_NS 300000 /* of CPU, between two rests */
#define PACE_REST 8 /* times the CPU that was taken before it */
#define PACE_REST_MAX_NS 5000000 /* of one rest */
#define PACE_HURRY 3 /* rests are shorter by this, while live usage waits behind the backlog */
#define PACE_NAP_NS 1000000 /* a command waits so long at most until a rest sees it */
#define PACE_TOLD 64 /* settled calls that others are told of at once: each takes a look at its account … */
#define PACE_TOLD_NS 4000000 /* … and so long they have for it */
#define PACE_PATIENCE_MS 60000 /* of a backlog: after it nothing yields until there was none */
#define PACE_OVER_MS 1000 /* without a sign of it, a backlog is over */

struct pace {
    struct mailbox *box;
    struct idle idle;
    bool on;
    bool hurried; /* live usage waits, too: it comes faster than it is taken */
    uint64_t began_ms, seen_ms; /* of this backlog: its first and its newest sign; 0 = there is none */
    uint64_t ran_from_ns; /* CPU time of the thread that works, when it went on */
};

void pace_init(struct pace *p, struct mailbox *box);
void pace_fini(struct pace *p);
/* Before the n items are applied: they, or what waits behind them, may be part of a backlog. */
void pace_look(struct pace *p, const struct mail_item *items, size_t n, uint64_t now_ms);
/* Does the work, which takes no lock that live calls need: whoever holds one must not give way. */
void pace_work(struct pace *p, void (*work)(void *ctx), void *ctx);
void pace_begin(struct pace *p); /* first in a work that has steps */
void pace_step(struct pace *p); /* between its pieces: rests when it is due. NULL is fine. */
void pace_told(struct pace *p); /* others have work now: rests until they are through */

#endif
