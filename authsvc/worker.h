/*
 * One thread for work that is slow on purpose (Argon2id: 64 MiB and some 80 ms a hash), with a short bounded queue: a
 * flood of logins waits or is refused, and never takes more than one core and 64 MiB from everybody else.
 * Knows nothing of passwords. A job belongs to whoever made it; it must live until run is called, exactly once.
 */
#ifndef AUTHSVC_WORKER_H
#define AUTHSVC_WORKER_H

#include <stdbool.h>

#include "proto/status.h"
#include "services/metrics.h"

#define WORKER_QUEUE 8u /* jobs waiting */
#define WORKER_RETRY_MS 1000u /* said to who is refused */

struct worker_job {
    void (*run)(struct worker_job *job, bool closing); /* closing: do not begin, only finish */
    struct worker_job *next;
};

struct worker;
enum status worker_new(struct metric *depth, struct worker **ret, struct err *err);
enum status worker_add(struct worker *w, struct worker_job *job,
                       struct err *err); /* ST_SLOW_DOWN: full. ST_DRAINING: closed */
void worker_close(
    struct worker *w); /* the queue is run with closing set, the job at work ends; returns when idle for ever */
void worker_free(struct worker *w); /* closes first; NULL is fine */

#endif
