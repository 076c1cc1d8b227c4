#include "meterd/pace.h"

#include "services/clock.h"

/* Usage that comes by a call was not taken when it came by the feed. */
static bool behind(struct pace *p, const struct mail_item *items, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++)
        if (items[i].call && items[i].lane == LANE_INGEST)
            return true;
    return mailbox_usage(p->box) >= PACE_BEHIND_EVENTS;
}

void pace_look(struct pace *p, const struct mail_item *items, size_t n, uint64_t now_ms)
{
    p->on = behind(p, items, n);
    if (p->on) {
        if (p->seen_ms == 0 || now_ms - p->seen_ms > PACE_OVER_MS)
            p->began_ms = now_ms;
        p->seen_ms = now_ms;
    }
}

bool pace_yields(const struct pace *p, uint64_t now_ms)
{
    return p->on && now_ms - p->began_ms < PACE_PATIENCE_MS;
}

void pace_begin(struct pace *p)
{
    if (p->on)
        p->ran_from_ns = clock_thread_ns();
}

/* Shorter, the longer the backlog takes. */
static void rest(struct pace *p, uint64_t ns)
{
    uint64_t late = clock_ms() - p->began_ms;

    if (late >= PACE_PATIENCE_MS)
        return;
    ns = ns * (PACE_PATIENCE_MS - late) / PACE_PATIENCE_MS;
    mailbox_rest(p->box, ns < PACE_REST_MAX_NS ? ns : PACE_REST_MAX_NS);
    p->ran_from_ns = clock_thread_ns();
}

void pace_told(struct pace *p)
{
    if (p->on)
        rest(p, PACE_TOLD_NS);
}

void pace_step(struct pace *p)
{
    uint64_t ran;

    if (!p || !p->on)
        return;
    ran = clock_thread_ns() - p->ran_from_ns;
    if (ran >= PACE_RUN_NS)
        rest(p, ran * PACE_REST);
}
