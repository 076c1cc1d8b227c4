#include "services/sleeper.h"

#include <time.h>

#include "services/clock.h"

static void fini(struct sleeper *s)
{
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->bell);
}

enum status sleeper_start(struct sleeper *s, const char *what, void *(*run)(void *ctx), void *ctx, size_t stack_bytes,
                          struct err *err)
{
    pthread_condattr_t monotonic;
    pthread_attr_t attr;
    int failed;

    s->closing = false;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->bell, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, stack_bytes);
    failed = pthread_create(&s->thread, &attr, run, ctx);
    pthread_attr_destroy(&attr);
    if (failed != 0) {
        fini(s);
        return err_set(err, ST_NO_MEMORY, "no thread for %s", what);
    }
    atomic_store(&s->running, true);
    return ST_OK;
}

void sleeper_stop(struct sleeper *s)
{
    if (!atomic_load(&s->running))
        return;
    pthread_mutex_lock(&s->lock);
    s->closing = true;
    sleeper_ring(s);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    atomic_store(&s->running, false);
    fini(s);
}

bool sleeper_runs(const struct sleeper *s)
{
    return atomic_load(&s->running);
}

void sleeper_ring(struct sleeper *s)
{
    pthread_cond_broadcast(&s->bell);
}

void sleeper_wait(struct sleeper *s, uint64_t due_ms)
{
    struct timespec t = {.tv_sec = (time_t)(due_ms / 1000), .tv_nsec = (long)(due_ms % 1000) * 1000000};

    (void)pthread_cond_timedwait(&s->bell, &s->lock, &t);
}

void sleeper_rest(struct sleeper *s, uint64_t ms)
{
    uint64_t due_ms = clock_ms() + ms;

    pthread_mutex_lock(&s->lock);
    while (!s->closing && clock_ms() < due_ms)
        sleeper_wait(s, due_ms);
    pthread_mutex_unlock(&s->lock);
}
