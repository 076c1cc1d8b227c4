#include "authsvc/window.h"

#include <string.h>

/* In the call's arena. */
struct window_parked {
    struct window_parked *next;
    struct svc_call *call;
    const void *in;
    svc_handler *handler;
};

void window_init(struct window *w, bool open)
{
    memset(w, 0, sizeof(*w));
    pthread_mutex_init(&w->lock, NULL);
    w->last = &w->first;
    atomic_store(&w->open, open);
}

void window_fini(struct window *w)
{
    pthread_mutex_destroy(&w->lock);
}

void window_open(struct window *w)
{
    pthread_mutex_lock(&w->lock);
    atomic_store(&w->open, true);
    pthread_mutex_unlock(&w->lock);
}

void window_begin(struct window *w, uint64_t now_ms)
{
    pthread_mutex_lock(&w->lock);
    w->began_ms = now_ms;
    pthread_mutex_unlock(&w->lock);
}

enum status window_park(struct window *w, struct svc_call *call, const void *in, svc_handler *handler)
{
    struct window_parked *p;
    enum status st = ST_OK;

    if (!atomic_load(&w->open) || atomic_load(&w->late))
        return ST_OK;
    p = arena_alloc(call->arena, sizeof(*p));
    if (!p)
        return err_set(&call->err, ST_NO_MEMORY, "%s", status_text(ST_NO_MEMORY));
    *p = (struct window_parked){.call = call, .in = in, .handler = handler};
    pthread_mutex_lock(&w->lock);
    if (atomic_load(&w->open) && !atomic_load(&w->late)) {
        st = w->n_parked < WINDOW_PARKED_MAX ? ST_PENDING : ST_UNAVAILABLE;
        if (st == ST_PENDING) {
            *w->last = p;
            w->last = &p->next;
            w->n_parked++;
        }
    }
    pthread_mutex_unlock(&w->lock);
    return st == ST_UNAVAILABLE ? err_set(&call->err, st, "Too many calls wait for the router to be ready.") : st;
}

void window_heard(struct window *w, struct slice instance, bool last)
{
    const struct slice provider = slice_of(WINDOW_PROVIDER);
    size_t i;

    pthread_mutex_lock(&w->lock);
    for (i = 0; i < w->n_peers && !slice_is(instance, w->peers[i]); i++)
        ;
    if (last) {
        if (i < w->n_peers)
            memcpy(w->peers[i], w->peers[--w->n_peers], sizeof(w->peers[i]));
        if (instance.n >= provider.n && !memcmp(instance.p, provider.p, provider.n))
            w->provider_heard = true;
    } else if (i == w->n_peers && w->n_peers < WINDOW_PEERS_MAX) {
        slice_copy(instance, w->peers[w->n_peers++], sizeof(w->peers[0]));
    }
    pthread_mutex_unlock(&w->lock);
}

bool window_due(struct window *w, uint64_t now_ms, bool ready)
{
    bool due = false;

    if (!atomic_load(&w->open))
        return false;
    pthread_mutex_lock(&w->lock);
    if (ready && w->began_ms && now_ms >= w->began_ms + WINDOW_MS)
        due = (w->provider_heard && w->n_peers == 0) || now_ms >= w->began_ms + WINDOW_MAX_MS;
    pthread_mutex_unlock(&w->lock);
    return due;
}

static void decide(struct window_parked *p, enum status st)
{
    struct svc_call *call = p->call;

    if (st == ST_OK)
        st = svc_remaining_ms(call) ? p->handler(call, p->in, svc_out(call)) : ST_TIMEOUT;
    if (st != ST_PENDING)
        svc_finish(call, st);
}

/* Under the lock, which it lets go: whatever is parked from now on is another round's. */
static size_t let_out(struct window *w, enum status st)
{
    struct window_parked *p = w->first, *next;
    size_t n = w->n_parked;

    w->first = NULL;
    w->last = &w->first;
    w->n_parked = 0;
    pthread_mutex_unlock(&w->lock);
    for (; p; p = next) {
        next = p->next; /* in the call's memory */
        decide(p, st);
    }
    return n;
}

void window_late(struct window *w, uint64_t now_ms, bool loaded)
{
    bool late;

    if (!atomic_load(&w->open))
        return;
    pthread_mutex_lock(&w->lock);
    late = !loaded && w->began_ms && now_ms >= w->began_ms + WINDOW_MAX_MS;
    atomic_store(&w->late, late);
    if (late)
        (void)let_out(w, ST_OK);
    else
        pthread_mutex_unlock(&w->lock);
}

size_t window_close(struct window *w, enum status st)
{
    pthread_mutex_lock(&w->lock);
    atomic_store(&w->open, false);
    return let_out(w, st);
}
