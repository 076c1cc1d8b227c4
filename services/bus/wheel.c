#include "services/bus/wheel.h"

#include <stddef.h>

static void ring_init(struct wheel_item *head)
{
    head->prev = head;
    head->next = head;
}

static void ring_add(struct wheel_item *head, struct wheel_item *item)
{
    item->prev = head->prev;
    item->next = head;
    head->prev->next = item;
    head->prev = item;
}

static void ring_cut(struct wheel_item *item)
{
    item->prev->next = item->next;
    item->next->prev = item->prev;
    item->prev = NULL;
    item->next = NULL;
}

void wheel_init(struct wheel *w, uint64_t now_ms)
{
    unsigned i;

    for (i = 0; i < WHEEL_SLOTS; i++)
        ring_init(&w->slots[i]);
    ring_init(&w->due);
    w->tick = now_ms / WHEEL_TICK_MS;
    w->n = 0;
}

void wheel_add(struct wheel *w, struct wheel_item *item, uint64_t deadline_ms)
{
    uint64_t tick = deadline_ms / WHEEL_TICK_MS + 1; /* the first tick that begins after it */

    if (tick <= w->tick)
        tick = w->tick + 1;
    item->deadline_ms = deadline_ms;
    ring_add(&w->slots[tick % WHEEL_SLOTS], item);
    w->n++;
}

void wheel_remove(struct wheel *w, struct wheel_item *item)
{
    if (!item->next)
        return;
    ring_cut(item);
    w->n--;
}

static void visit(struct wheel *w, struct wheel_item *head, uint64_t now_ms)
{
    struct wheel_item *item = head->next;

    while (item != head) {
        struct wheel_item *next = item->next;

        if (item->deadline_ms <= now_ms) {
            ring_cut(item);
            ring_add(&w->due, item);
        }
        item = next;
    }
}

void wheel_advance(struct wheel *w, uint64_t now_ms)
{
    uint64_t now = now_ms / WHEEL_TICK_MS, tick = w->tick + 1;

    if (now <= w->tick)
        return;
    if (now - w->tick > WHEEL_SLOTS)
        tick = now - WHEEL_SLOTS + 1; /* once round is enough */
    for (; w->n && tick <= now; tick++)
        visit(w, &w->slots[tick % WHEEL_SLOTS], now_ms);
    w->tick = now;
}

struct wheel_item *wheel_take_due(struct wheel *w)
{
    struct wheel_item *item = w->due.next;

    if (item == &w->due)
        return NULL;
    wheel_remove(w, item);
    return item;
}

struct wheel_item *wheel_take_any(struct wheel *w)
{
    struct wheel_item *item = wheel_take_due(w);
    unsigned i;

    for (i = 0; w->n && !item && i < WHEEL_SLOTS; i++) {
        struct wheel_item *head = &w->slots[i];

        if (head->next != head)
            item = head->next;
    }
    if (item && item->next)
        wheel_remove(w, item);
    return item;
}

uint64_t wheel_next_ms(const struct wheel *w)
{
    uint64_t i;

    if (w->due.next != &w->due)
        return 0;
    for (i = 1; w->n && i <= WHEEL_SLOTS; i++) {
        const struct wheel_item *head = &w->slots[(w->tick + i) % WHEEL_SLOTS];

        if (head->next != head)
            return (w->tick + i) * WHEEL_TICK_MS;
    }
    return UINT64_MAX;
}
