#include "meterd/pace.h"

#include <time.h>

#include "services/clock.h"

void pace_init(struct pace *p, struct mailbox *box)
{
    *p = (struct pace){.box = box};
    idle_start(&p->idle);
}

void pace_fini(struct pace *p)
{
    idle_stop(&p->idle);
}

/* Usage that comes by a call was not taken when it came by the feed. */
static bool behind(const struct pace *p, const struct mail_item *items, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++)
        if (items[i].call && items[i].lane == LANE_INGEST)
            return true;
    return p->hurried;
}

void pace_look(struct pace *p, const struct mail_item *items, size_t n, uint64_t now_ms)
{
    p->hurried = mailbox_usage(p->box) >= PACE_BEHIND_EVENTS;
    p->on = behind(p, items, n);
    if (p->on) {
        if (p->seen_ms == 0 || now_ms - p->seen_ms > PACE_OVER_MS)
            p->began_ms = now_ms;
        p->seen_ms = now_ms;
    }
}

/* 0 = no more. */
static uint64_t patience_left(const struct pace *p)
{
    uint64_t late = clock_ms() - p->began_ms;

    return p->on && late < PACE_PATIENCE_MS ? PACE_PATIENCE_MS - late : 0;
}

void pace_work(struct pace *p, void (*work)(void *ctx), void *ctx)
{
    if (patience_left(p))
        idle_run(&p->idle, work, ctx);
    else
        work(ctx);
}

/* Without a lock: whoever has one cannot give way. */
static void rest(struct pace *p, uint64_t ns)
{
    uint64_t until, now = clock_ns();

    ns = ns * patience_left(p) / PACE_PATIENCE_MS / (p->hurried ? PACE_HURRY : 1);
    until = now + (ns < PACE_REST_MAX_NS ? ns : PACE_REST_MAX_NS);
    for (; now < until && !mailbox_wanted(p->box); now = clock_ns()) {
        uint64_t left = until - now;
        struct timespec nap = {0, (long)(left < PACE_NAP_NS ? left : PACE_NAP_NS)};

        nanosleep(&nap, NULL);
    }
}

void pace_begin(struct pace *p)
{
    if (p->on)
        p->ran_from_ns = clock_thread_ns();
}

void pace_step(struct pace *p)
{
    uint64_t ran;

    if (!p || !p->on)
        return;
    ran = clock_thread_ns() - p->ran_from_ns;
    if (ran < PACE_RUN_NS)
        return;
    rest(p, ran * PACE_REST);
    p->ran_from_ns = clock_thread_ns();
}

void pace_told(struct pace *p)
{
    rest(p, PACE_TOLD_NS);
}
