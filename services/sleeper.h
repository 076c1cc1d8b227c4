/*
 * sleeper: a thread of a service that works now and then, and the lock and the bell it sleeps on. Whoever has one keeps
 * what the thread waits for under `lock`, and rings when it changes.
 */
#ifndef SERVICES_SLEEPER_H
#define SERVICES_SLEEPER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "proto/status.h"

struct sleeper {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t bell;
    atomic_bool running; /* without the lock, which exists only while it runs */
    bool closing; /* under the lock: the thread is to return */
};

/* Starts run(ctx). stack_bytes: of its stack; what: for the text of ST_NO_MEMORY, when there is no thread. */
enum status sleeper_start(struct sleeper *s, const char *what, void *(*run)(void *ctx), void *ctx, size_t stack_bytes,
                          struct err *err);
void sleeper_stop(struct sleeper *s); /* waits for the thread's end; harmless when it never started */
bool sleeper_runs(const struct sleeper *s);
void sleeper_ring(struct sleeper *s); /* under the lock */
/* Under the lock: sleeps until the bell or the time (monotonic ms), but may return earlier: look and call again. */
void sleeper_wait(struct sleeper *s, uint64_t due_ms);
void sleeper_rest(struct sleeper *s, uint64_t ms); /* without the lock: sleeps so long, or until it is to return */

#endif
