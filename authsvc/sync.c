#include "authsvc/sync.h"

#include <string.h>

void sync_init(struct sync *s)
{
    memset(s, 0, sizeof(*s));
    pthread_mutex_init(&s->lock, NULL);
}

void sync_fini(struct sync *s)
{
    pthread_mutex_destroy(&s->lock);
}

enum status sync_wait(struct sync *s, struct svc_call *call, uint64_t revision, uint64_t now_ms)
{
    enum status st = ST_PENDING;

    pthread_mutex_lock(&s->lock);
    if (s->revision >= revision)
        st = ST_OK;
    else if (s->closed)
        st = ST_DRAINING;
    else if (s->n == SYNC_MAX)
        st = ST_UNAVAILABLE;
    else
        s->parked[s->n++] = (struct sync_parked){call, revision, now_ms + SYNC_WAIT_MS};
    pthread_mutex_unlock(&s->lock);
    return st;
}

/* Takes out up to max calls that are due, so that they are finished without the lock. */
static size_t take(struct sync *s, uint64_t revision, uint64_t now_ms, struct svc_call **out, size_t max)
{
    size_t i = 0, n = 0;

    pthread_mutex_lock(&s->lock);
    if (revision > s->revision)
        s->revision = revision;
    while (i < s->n && n < max) {
        if (s->parked[i].revision <= revision || s->parked[i].until_ms <= now_ms) {
            out[n++] = s->parked[i].call;
            s->parked[i] = s->parked[--s->n];
        } else {
            i++;
        }
    }
    pthread_mutex_unlock(&s->lock);
    return n;
}

static void finish(struct sync *s, uint64_t revision, uint64_t now_ms, enum status st)
{
    struct svc_call *due[32];
    size_t n, i;

    do {
        n = take(s, revision, now_ms, due, sizeof(due) / sizeof(due[0]));
        for (i = 0; i < n; i++) {
            if (st != ST_OK)
                err_set(&due[i]->err, st, "%s",
                        st == ST_TIMEOUT ? "The change is stored but not yet in force everywhere." : status_text(st));
            svc_finish(due[i], st);
        }
    } while (n == sizeof(due) / sizeof(due[0]));
}

void sync_reached(struct sync *s, uint64_t revision)
{
    finish(s, revision, 0, ST_OK);
}

void sync_expire(struct sync *s, uint64_t now_ms)
{
    finish(s, 0, now_ms, ST_TIMEOUT);
}

void sync_close(struct sync *s)
{
    pthread_mutex_lock(&s->lock);
    s->closed = true;
    pthread_mutex_unlock(&s->lock);
    finish(s, 0, UINT64_MAX, ST_DRAINING);
}
