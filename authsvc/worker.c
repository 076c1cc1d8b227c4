#include "authsvc/worker.h"

#include <pthread.h>
#include <stdlib.h>

#define WORKER_STACK (512u * 1024u)

struct worker {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t added;
    struct worker_job *first, *last;
    unsigned waiting;
    bool closed, joined;
    struct metric *depth;
};

static struct worker_job *take(struct worker *w, bool *ret_closing)
{
    struct worker_job *job;

    pthread_mutex_lock(&w->lock);
    while (!w->first && !w->closed)
        pthread_cond_wait(&w->added, &w->lock);
    job = w->first;
    if (job) {
        w->first = job->next;
        if (!w->first)
            w->last = NULL;
        w->waiting--;
        metric_set(w->depth, w->waiting);
    }
    *ret_closing = w->closed;
    pthread_mutex_unlock(&w->lock);
    return job;
}

static void *work(void *ctx)
{
    struct worker *w = ctx;
    struct worker_job *job;
    bool closing = false;

    while ((job = take(w, &closing)) != NULL)
        job->run(job, closing);
    return NULL;
}

enum status worker_new(struct metric *depth, struct worker **ret, struct err *err)
{
    struct worker *w = calloc(1, sizeof(*w));
    pthread_attr_t attr;
    int failed;

    if (!w)
        return err_set(err, ST_NO_MEMORY, "no memory for the hash worker");
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->added, NULL);
    w->depth = depth;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, WORKER_STACK);
    failed = pthread_create(&w->thread, &attr, work, w);
    pthread_attr_destroy(&attr);
    if (failed) {
        w->joined = true;
        worker_free(w);
        return err_set(err, ST_INTERNAL, "cannot start the hash worker");
    }
    *ret = w;
    return ST_OK;
}

enum status worker_add(struct worker *w, struct worker_job *job, struct err *err)
{
    enum status st = ST_OK;

    pthread_mutex_lock(&w->lock);
    if (w->closed) {
        st = ST_DRAINING;
    } else if (w->waiting >= WORKER_QUEUE) {
        st = ST_SLOW_DOWN;
    } else {
        job->next = NULL;
        if (w->last)
            w->last->next = job;
        else
            w->first = job;
        w->last = job;
        w->waiting++;
        metric_set(w->depth, w->waiting);
        pthread_cond_signal(&w->added);
    }
    pthread_mutex_unlock(&w->lock);
    if (st == ST_OK)
        return ST_OK;
    err_set(err, st, "%s", st == ST_SLOW_DOWN ? "Too many sign-ins at once. Try again in a second." : status_text(st));
    if (err)
        err->retry_after_ms = WORKER_RETRY_MS;
    return st;
}

void worker_close(struct worker *w)
{
    bool join;

    pthread_mutex_lock(&w->lock);
    w->closed = true;
    join = !w->joined;
    w->joined = true;
    pthread_cond_broadcast(&w->added);
    pthread_mutex_unlock(&w->lock);
    if (join)
        pthread_join(w->thread, NULL);
}

void worker_free(struct worker *w)
{
    if (!w)
        return;
    worker_close(w);
    pthread_cond_destroy(&w->added);
    pthread_mutex_destroy(&w->lock);
    free(w);
}
