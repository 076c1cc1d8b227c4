#include "providersvc/announce.h"

#include "services/call.h"
#include "services/clock.h"

#define ANNOUNCE_ARENA 65536
#define ANNOUNCE_STACK (256u * 1024u)

void announce_init(struct announce *a)
{
    pthread_mutex_init(&a->lock, NULL);
}

void announce_fini(struct announce *a)
{
    pthread_mutex_destroy(&a->lock);
}

/* A list that borrows from nobody. */
static void copy(struct announced *to, const struct provider *from, size_t n)
{
    to->n = 0;
    for (size_t i = 0; i < n && to->n < UPSTREAMS_MAX; i++) {
        if (!slice_copy(from[i].name, to->names[to->n], sizeof(to->names[0])))
            continue;
        to->items[to->n] = (struct provider){.name = slice_of(to->names[to->n]), .kind = from[i].kind};
        to->n++;
    }
}

void announce_these(struct announce *a, const struct provider *served, size_t n)
{
    pthread_mutex_lock(&a->lock);
    copy(&a->served, served, n);
    pthread_mutex_unlock(&a->lock);
    if (!sleeper_runs(&a->sleeper))
        return;
    pthread_mutex_lock(&a->sleeper.lock);
    a->changed = true;
    sleeper_ring(&a->sleeper);
    pthread_mutex_unlock(&a->sleeper.lock);
}

static enum status tell(struct announce *a, struct announced *now, struct arena *arena)
{
    struct provider_announce_req req = {.instance = a->instance};
    struct empty rep;
    struct err err = {0};
    enum status st;

    pthread_mutex_lock(&a->lock);
    copy(now, a->served.items, a->served.n);
    pthread_mutex_unlock(&a->lock);
    req.providers.items = now->items;
    req.providers.n = now->n;
    st = call_wait(a->meterd, &provider_announce_req_desc, &req, &empty_desc, &rep, arena, ANNOUNCE_TIMEOUT_MS, &err);
    arena_reset(arena);
    if (st != ST_OK)
        log_event(a->log, LOG_DEBUG, LOG_NO_REQ, "announce_failed", LOG_C("why", status_name(st)),
                  LOG_C("text", err.text));
    return st;
}

static void *announcer(void *ctx)
{
    struct announce *a = ctx;
    struct announced now;
    struct arena arena;

    arena_init(&arena, ANNOUNCE_ARENA);
    pthread_mutex_lock(&a->sleeper.lock);
    while (!a->sleeper.closing) {
        enum status st;
        uint64_t due_ms;

        a->changed = false;
        pthread_mutex_unlock(&a->sleeper.lock);
        st = tell(a, &now, &arena);
        pthread_mutex_lock(&a->sleeper.lock);
        if (st == ST_OK && !a->heard)
            log_event(a->log, LOG_INFO, LOG_NO_REQ, "announced", LOG_N("providers", now.n));
        a->heard = st == ST_OK;
        sleeper_ring(&a->sleeper);
        due_ms = clock_ms() + (a->heard ? ANNOUNCE_AGAIN_MS : ANNOUNCE_RETRY_MS);
        while (!a->sleeper.closing && !a->changed && clock_ms() < due_ms)
            sleeper_wait(&a->sleeper, due_ms);
    }
    pthread_mutex_unlock(&a->sleeper.lock);
    arena_fini(&arena);
    return NULL;
}

enum status announce_start(struct announce *a, struct err *err)
{
    return sleeper_start(&a->sleeper, "announcements", announcer, a, ANNOUNCE_STACK, err);
}

bool announce_wait(struct announce *a, uint64_t ms)
{
    uint64_t due_ms = clock_ms() + ms;
    bool heard;

    pthread_mutex_lock(&a->sleeper.lock);
    while (!a->heard && clock_ms() < due_ms)
        sleeper_wait(&a->sleeper, due_ms);
    heard = a->heard;
    pthread_mutex_unlock(&a->sleeper.lock);
    return heard;
}

bool announce_heard(struct announce *a)
{
    bool heard;

    if (!sleeper_runs(&a->sleeper))
        return false;
    pthread_mutex_lock(&a->sleeper.lock);
    heard = a->heard;
    pthread_mutex_unlock(&a->sleeper.lock);
    return heard;
}

void announce_stop(struct announce *a)
{
    sleeper_stop(&a->sleeper);
}
