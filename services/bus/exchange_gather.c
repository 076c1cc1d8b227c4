#include "services/bus/exchange_gather.h"

#include "services/bus/exchange_client.h"
#include "services/bus/exchange_server.h"

struct gather {
    unsigned depth; /* callbacks may run within callbacks */
    struct session *sessions; /* each with a reference */
    struct xlink *links; /* link_close waits for them */
};
static _Thread_local struct gather gather; /* lint: allow(state) belongs to the thread that gathers, not to a service */

bool gather_session(struct session *s)
{
    if (gather.depth == 0)
        return false;
    if (s->gathered)
        return true;
    s->gathered = true;
    s->next_gathered = gather.sessions;
    gather.sessions = s;
    atomic_fetch_add(&s->refs, 1);
    return true;
}

bool gather_link(struct xlink *l)
{
    if (gather.depth == 0 || l->out.n > 1 || l->out.open_frames >= GATHER_FRAMES)
        return false;
    if (l->gathered)
        return true;
    l->gathered = true;
    l->next_gathered = gather.links;
    gather.links = l;
    return true;
}

static void flush_sessions(struct session *s)
{
    while (s) {
        struct session *next = s->next_gathered;

        pthread_mutex_lock(&s->lock);
        s->gathered = false;
        if (s->server && !s->running)
            session_flush(s);
        pthread_mutex_unlock(&s->lock);
        session_unref(s);
        s = next;
    }
}

static void pump_links(struct xlink *l)
{
    while (l) {
        struct xlink *next = l->next_gathered;

        pthread_mutex_lock(&l->lock);
        if (!l->running)
            link_pump(l);
        pthread_mutex_unlock(&l->lock);
        link_promise(l);
        pthread_mutex_lock(&l->lock);
        l->gathered = false; /* from now on the link may be gone */
        pthread_mutex_unlock(&l->lock);
        l = next;
    }
}

void xchg_gather_begin(void)
{
    gather.depth++;
}

void xchg_gather_end(void)
{
    struct gather all = gather;

    if (--gather.depth > 0)
        return;
    gather.sessions = NULL;
    gather.links = NULL;
    flush_sessions(all.sessions);
    pump_links(all.links);
}
