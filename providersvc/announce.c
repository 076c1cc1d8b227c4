#include "providersvc/announce.h"

#include <time.h>

#include "services/call.h"
#include "services/clock.h"

#define ANNOUNCE_ARENA 65536
#define ANNOUNCE_STACK (256u * 1024u)

/* Under the lock. */
static void wait_until(struct announce *a, uint64_t due_ms)
{
    struct timespec t = {.tv_sec = (time_t)(due_ms / 1000), .tv_nsec = (long)(due_ms % 1000) * 1000000};

    while (!a->closing && clock_ms() < due_ms)
        pthread_cond_timedwait(&a->wake, &a->lock, &t);
}

static void *announcer(void *ctx)
{
    struct announce *a = ctx;
    struct arena arena;

    arena_init(&arena, ANNOUNCE_ARENA);
    pthread_mutex_lock(&a->lock);
    while (!a->closing) {
        struct empty rep;
        struct err err = {0};
        enum status st;

        pthread_mutex_unlock(&a->lock);
        st = call_wait(a->meterd, &provider_announce_req_desc, &a->req, &empty_desc, &rep, &arena, ANNOUNCE_TIMEOUT_MS,
                       &err);
        arena_reset(&arena);
        if (st != ST_OK)
            log_event(a->log, LOG_DEBUG, LOG_NO_REQ, "announce_failed", LOG_C("why", status_name(st)),
                      LOG_C("text", err.text));
        pthread_mutex_lock(&a->lock);
        if (st == ST_OK && !a->heard)
            log_event(a->log, LOG_INFO, LOG_NO_REQ, "announced", LOG_N("providers", a->req.providers.n));
        a->heard = st == ST_OK;
        pthread_cond_broadcast(&a->wake);
        wait_until(a, clock_ms() + (a->heard ? ANNOUNCE_AGAIN_MS : ANNOUNCE_RETRY_MS));
    }
    pthread_mutex_unlock(&a->lock);
    arena_fini(&arena);
    return NULL;
}

enum status announce_start(struct announce *a, struct err *err)
{
    pthread_condattr_t monotonic;
    pthread_attr_t attr;
    int failed;

    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, ANNOUNCE_STACK);
    failed = pthread_create(&a->thread, &attr, announcer, a);
    pthread_attr_destroy(&attr);
    if (failed != 0) {
        pthread_mutex_destroy(&a->lock);
        pthread_cond_destroy(&a->wake);
        return err_set(err, ST_NO_MEMORY, "no thread for announcements");
    }
    atomic_store(&a->running, true);
    return ST_OK;
}

bool announce_wait(struct announce *a, uint64_t ms)
{
    uint64_t due_ms = clock_ms() + ms;
    struct timespec t = {.tv_sec = (time_t)(due_ms / 1000), .tv_nsec = (long)(due_ms % 1000) * 1000000};
    bool heard;

    pthread_mutex_lock(&a->lock);
    while (!a->heard && clock_ms() < due_ms)
        pthread_cond_timedwait(&a->wake, &a->lock, &t);
    heard = a->heard;
    pthread_mutex_unlock(&a->lock);
    return heard;
}

bool announce_heard(struct announce *a)
{
    bool heard;

    if (!atomic_load(&a->running))
        return false;
    pthread_mutex_lock(&a->lock);
    heard = a->heard;
    pthread_mutex_unlock(&a->lock);
    return heard;
}

void announce_stop(struct announce *a)
{
    if (!atomic_load(&a->running))
        return;
    pthread_mutex_lock(&a->lock);
    a->closing = true;
    pthread_cond_broadcast(&a->wake);
    pthread_mutex_unlock(&a->lock);
    pthread_join(a->thread, NULL);
    pthread_mutex_destroy(&a->lock);
    pthread_cond_destroy(&a->wake);
    atomic_store(&a->running, false);
}
