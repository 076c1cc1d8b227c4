#include "services/voids.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "services/clock.h"

struct item {
    struct item *next, **prev; /* prev: what points at us */
    struct voids *voids;
    struct buf message;
    char request_id[LIMIT_ID_TEXT + 1];
    uint64_t born_ms, tried_ms;
    bool open; /* a call is on its way: its end owns the item */
};

struct voids {
    struct svc *svc;
    struct xchg_client *meterd;
    struct metric *total, *waiting;
    pthread_mutex_t lock;
    pthread_cond_t closed;
    struct item *items;
    unsigned n, open;
    bool closing;
};

enum status voids_new(struct svc *svc, struct metric *total, struct metric *waiting, struct voids **ret,
                      struct err *err)
{
    struct voids *v = calloc(1, sizeof(*v));

    if (!v)
        return err_set(err, ST_NO_MEMORY, "no memory for calls that were not taken");
    v->svc = svc;
    v->meterd = svc_peer(svc, SVC_METERD);
    v->total = total;
    v->waiting = waiting;
    pthread_mutex_init(&v->lock, NULL);
    pthread_cond_init(&v->closed, NULL);
    *ret = v;
    return ST_OK;
}

static void item_free(struct item *it)
{
    buf_fini(&it->message);
    free(it);
}

/* Under the lock. */
static void forget(struct item *it)
{
    *it->prev = it->next;
    if (it->next)
        it->next->prev = it->prev;
    it->voids->n--;
    metric_set(it->voids->waiting, it->voids->n);
}

static bool hopeless(enum status st)
{
    return st == ST_BAD_MESSAGE || st == ST_BAD_REQUEST || st == ST_NOT_FOUND || st == ST_CONFLICT;
}

static void on_end(void *ctx, enum status st, struct slice payload)
{
    struct item *it = ctx;
    struct voids *v = it->voids;
    bool over = st == ST_OK || hopeless(st);

    (void)payload;
    if (over && st != ST_OK)
        log_event(svc_log(v->svc), LOG_ERROR, slice_of(it->request_id), "void_refused",
                  LOG_C("status", status_name(st)));
    pthread_mutex_lock(&v->lock);
    it->open = false;
    if (over)
        forget(it);
    v->open--;
    if (!v->open)
        pthread_cond_signal(&v->closed);
    pthread_mutex_unlock(&v->lock);
    if (over)
        item_free(it);
}

static const struct xchg_events void_events = {.end = on_end};

/* it->open was set under the lock: until the end comes nobody else touches the item. */
static void open_item(struct voids *v, struct item *it)
{
    struct xchg_id id; /* not the item's: the item may be gone when this returns */
    struct xchg_open open = {.method = usage_void_req_desc.type,
                             .payload = {it->message.p, it->message.n},
                             .deadline_ms = VOIDS_CALL_MS,
                             .events = &void_events,
                             .ctx = it};

    if (xchg_open(v->meterd, &open, &id) != ST_OK)
        on_end(it, ST_UNAVAILABLE, (struct slice){NULL, 0});
}

static void add(struct voids *v, const struct usage_event *event, bool at_once)
{
    struct item *it = calloc(1, sizeof(*it));
    struct usage_void_req req = {.event = {event, 1}};
    bool kept = false;

    metric_add(v->total, 1);
    if (it) {
        buf_init(&it->message, LIMIT_RECORD);
        it->voids = v;
        it->born_ms = clock_ms();
        it->open = at_once;
        slice_copy(event->request_id, it->request_id, sizeof(it->request_id));
    }
    if (it && wire_encode(&usage_void_req_desc, &req, &it->message, NULL) == ST_OK) {
        pthread_mutex_lock(&v->lock);
        if (v->n < VOIDS_MAX && !v->closing) {
            it->next = v->items;
            it->prev = &v->items;
            if (it->next)
                it->next->prev = &it->next;
            v->items = it;
            v->n++;
            v->open += at_once;
            metric_set(v->waiting, v->n);
            kept = true;
        }
        pthread_mutex_unlock(&v->lock);
    }
    if (kept && at_once)
        open_item(v, it);
    if (kept)
        return;
    if (it)
        item_free(it);
    log_event(svc_log(v->svc), LOG_ERROR, event->request_id, "void_lost",
              LOG_C("effect", "the hold ends with its lease"));
}

void voids_add(struct voids *v, const struct usage_event *event)
{
    add(v, event, true);
}

void voids_add_later(struct voids *v, const struct usage_event *event)
{
    add(v, event, false);
}

/* The next one that is due, marked open. */
static struct item *next_waiting(struct voids *v, uint64_t now)
{
    struct item *it, *found = NULL;

    pthread_mutex_lock(&v->lock);
    for (it = v->items; it && !found && !v->closing; it = it->next)
        if (!it->open && (it->tried_ms == 0 || it->tried_ms + VOIDS_AGAIN_MS <= now))
            found = it;
    if (found) {
        found->open = true;
        found->tried_ms = now;
        v->open++;
    }
    pthread_mutex_unlock(&v->lock);
    return found;
}

void voids_tick(struct voids *v)
{
    unsigned left = voids_waiting(v);
    uint64_t now = clock_ms();

    while (left--) {
        struct item *it = next_waiting(v, now);

        if (!it)
            return;
        if (now - it->born_ms > VOIDS_AGE_MS)
            on_end(it, ST_CONFLICT, (struct slice){NULL, 0});
        else
            open_item(v, it);
    }
}

unsigned voids_waiting(struct voids *v)
{
    unsigned n;

    pthread_mutex_lock(&v->lock);
    n = v->n;
    pthread_mutex_unlock(&v->lock);
    return n;
}

void voids_free(struct voids *v)
{
    struct item *it, *next;

    if (!v)
        return;
    pthread_mutex_lock(&v->lock);
    v->closing = true;
    while (v->open) /* each ends within VOIDS_CALL_MS */
        pthread_cond_wait(&v->closed, &v->lock);
    pthread_mutex_unlock(&v->lock);
    for (it = v->items; it; it = next) {
        next = it->next;
        log_event(svc_log(v->svc), LOG_ERROR, slice_of(it->request_id), "void_lost",
                  LOG_C("effect", "the hold ends with its lease"));
        item_free(it);
    }
    pthread_cond_destroy(&v->closed);
    pthread_mutex_destroy(&v->lock);
    free(v);
}
