/*
 * idle: a thread that the machine runs when it has nothing else to do, and that works for another thread, which waits
 * meanwhile: so work that nobody waits for gives way to everybody, without a second owner of anything. Linux's
 * SCHED_IDLE (sched(7)), which needs no privilege but cannot be left again without one: hence the second thread.
 */
#ifndef METERD_IDLE_H
#define METERD_IDLE_H

#include <pthread.h>
#include <stdbool.h>

struct idle {
    pthread_mutex_t lock;
    pthread_cond_t bell;
    pthread_t thread;
    void (*work)(void *ctx); /* NULL = there is none */
    void *ctx;
    bool runs, closing;
};

void idle_start(
    struct idle *i); /* without a thread, or where the policy is not to be had, the caller's does the work */
void idle_stop(struct idle *i);
void idle_run(struct idle *i, void (*work)(void *ctx), void *ctx); /* returns when it is done; one caller */

#endif
