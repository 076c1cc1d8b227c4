#include "gateway/ticker.h"

#include <stdlib.h>
#include <time.h>

struct ticker {
    struct gateway *gw;
    void (*tick)(struct gateway *gw);
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop;
    pthread_t thread;
};

static struct timespec next_tick(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += TICKER_MS / 1000;
    return t;
}

static void *run(void *ctx)
{
    struct ticker *t = ctx;
    struct timespec due = next_tick();

    pthread_mutex_lock(&t->lock);
    while (!t->stop) {
        if (pthread_cond_timedwait(&t->wake, &t->lock, &due) == 0)
            continue;
        pthread_mutex_unlock(&t->lock);
        t->tick(t->gw);
        due = next_tick();
        pthread_mutex_lock(&t->lock);
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

enum status ticker_new(struct gateway *gw, void (*tick)(struct gateway *gw), struct ticker **ret, struct err *err)
{
    struct ticker *t = calloc(1, sizeof(*t));
    pthread_condattr_t monotonic;

    if (!t)
        return err_set(err, ST_NO_MEMORY, "no memory for the ticker");
    t->gw = gw;
    t->tick = tick;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (pthread_create(&t->thread, NULL, run, t)) {
        pthread_cond_destroy(&t->wake);
        pthread_mutex_destroy(&t->lock);
        free(t);
        return err_set(err, ST_NO_MEMORY, "cannot start the ticker's thread");
    }
    *ret = t;
    return ST_OK;
}

void ticker_free(struct ticker *t)
{
    if (!t)
        return;
    pthread_mutex_lock(&t->lock);
    t->stop = true;
    pthread_cond_signal(&t->wake);
    pthread_mutex_unlock(&t->lock);
    pthread_join(t->thread, NULL);
    pthread_cond_destroy(&t->wake);
    pthread_mutex_destroy(&t->lock);
    free(t);
}
