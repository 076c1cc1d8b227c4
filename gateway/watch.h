/*
 * watch: one thread that notices when the client of a running call goes away, and that wakes once a second for what is
 * due.
 *
 * A connection is added once, at its first call, and stays until it closes: nothing is paid per call. Edge-triggered on
 * the peer's close only, so arriving data wakes nobody. An event names slot and generation; one that is late finds
 * another generation and does nothing, so a reused descriptor cannot be mistaken for an old one.
 */
#ifndef GATEWAY_WATCH_H
#define GATEWAY_WATCH_H

#include "gateway/gateway.h"

#define WATCH_TICK_MS 1000

struct watch_events {
    void (*gone)(struct gateway *gw, struct conn *c, uint32_t generation); /* on the watcher's thread */
    void (*tick)(struct gateway *gw); /* about once a second, there too */
};

enum status watch_new(struct gateway *gw, const struct watch_events *events, struct watch **ret, struct err *err);
void watch_free(struct watch *w); /* NULL is fine; nothing is called afterwards */

/* Both by the connection's thread; remove before the descriptor is closed. */
bool watch_add(struct watch *w, const struct conn *c);
void watch_remove(struct watch *w, const struct conn *c);

#endif
