#include "meterd/idle.h"

#include <sched.h>
#include <string.h>

static void *run(void *arg)
{
    struct idle *i = arg;

    pthread_mutex_lock(&i->lock);
    while (!i->closing) {
        if (i->work) {
            pthread_mutex_unlock(&i->lock);
            i->work(i->ctx);
            pthread_mutex_lock(&i->lock);
            i->work = NULL;
            pthread_cond_broadcast(&i->bell);
        }
        while (!i->work && !i->closing)
            pthread_cond_wait(&i->bell, &i->lock);
    }
    pthread_mutex_unlock(&i->lock);
    return NULL;
}

void idle_start(struct idle *i)
{
    const struct sched_param none = {.sched_priority = 0};

    memset(i, 0, sizeof(*i));
    pthread_mutex_init(&i->lock, NULL);
    pthread_cond_init(&i->bell, NULL);
    i->runs = pthread_create(&i->thread, NULL, run, i) == 0;
    if (!i->runs) {
        pthread_mutex_destroy(&i->lock);
        pthread_cond_destroy(&i->bell);
        return;
    }
    if (pthread_setschedparam(i->thread, SCHED_IDLE, &none) != 0)
        idle_stop(i);
}

void idle_stop(struct idle *i)
{
    if (!i->runs)
        return;
    pthread_mutex_lock(&i->lock);
    i->closing = true;
    pthread_cond_broadcast(&i->bell);
    pthread_mutex_unlock(&i->lock);
    pthread_join(i->thread, NULL);
    pthread_mutex_destroy(&i->lock);
    pthread_cond_destroy(&i->bell);
    i->runs = false;
}

void idle_run(struct idle *i, void (*work)(void *ctx), void *ctx)
{
    if (!i->runs) {
        work(ctx);
        return;
    }
    pthread_mutex_lock(&i->lock);
    i->work = work;
    i->ctx = ctx;
    pthread_cond_broadcast(&i->bell);
    while (i->work)
        pthread_cond_wait(&i->bell, &i->lock);
    pthread_mutex_unlock(&i->lock);
}
