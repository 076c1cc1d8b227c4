#include "gateway/watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "services/clock.h"

#define EVENTS_MAX 64
#define STOP_TAG UINT64_MAX

struct watch {
    struct gateway *gw;
    struct watch_events events;
    int epoll, stop;
    pthread_t thread;
    bool running;
};

static uint64_t tag_of(const struct conn *c)
{
    return ((uint64_t)c->index << 32) | c->generation;
}

static void *watch_run(void *ctx)
{
    struct watch *w = ctx;
    struct epoll_event events[EVENTS_MAX];
    uint64_t next_tick = clock_ms() + WATCH_TICK_MS;

    for (;;) {
        uint64_t now = clock_ms();
        int i, n = epoll_wait(w->epoll, events, EVENTS_MAX, now < next_tick ? (int)(next_tick - now) : 0);

        for (i = 0; i < n; i++) {
            uint64_t tag = events[i].data.u64;

            if (tag == STOP_TAG)
                return NULL;
            w->events.gone(w->gw, w->gw->conns[tag >> 32], (uint32_t)tag);
        }
        if (clock_ms() >= next_tick) {
            w->events.tick(w->gw);
            next_tick = clock_ms() + WATCH_TICK_MS;
        }
    }
}

enum status watch_new(struct gateway *gw, const struct watch_events *events, struct watch **ret, struct err *err)
{
    struct watch *w = calloc(1, sizeof(*w));
    struct epoll_event stop = {.events = EPOLLIN, .data.u64 = STOP_TAG};

    if (!w)
        return err_set(err, ST_NO_MEMORY, "no memory for the watcher");
    *ret = w;
    w->gw = gw;
    w->events = *events;
    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    w->stop = eventfd(0, EFD_CLOEXEC);
    if (w->epoll < 0 || w->stop < 0 || epoll_ctl(w->epoll, EPOLL_CTL_ADD, w->stop, &stop))
        return err_set(err, ST_INTERNAL, "cannot watch connections: %s", strerror(errno));
    if (pthread_create(&w->thread, NULL, watch_run, w))
        return err_set(err, ST_NO_MEMORY, "cannot start the watcher's thread");
    w->running = true;
    return ST_OK;
}

void watch_free(struct watch *w)
{
    uint64_t one = 1;

    if (!w)
        return;
    if (w->running && write(w->stop, &one, sizeof(one)) == (ssize_t)sizeof(one))
        pthread_join(w->thread, NULL);
    if (w->epoll >= 0)
        close(w->epoll);
    if (w->stop >= 0)
        close(w->stop);
    free(w);
}

bool watch_add(struct watch *w, const struct conn *c)
{
    struct epoll_event event = {.events = EPOLLRDHUP | EPOLLET, .data.u64 = tag_of(c)};

    return epoll_ctl(w->epoll, EPOLL_CTL_ADD, c->fd, &event) == 0;
}

void watch_remove(struct watch *w, const struct conn *c)
{
    struct epoll_event event = {.events = 0};

    epoll_ctl(w->epoll, EPOLL_CTL_DEL, c->fd, &event);
}
