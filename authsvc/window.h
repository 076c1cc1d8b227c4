/*
 * The assertion window: an authsvc that has just started knows no holds. Gateways and providersvcs assert theirs as
 * soon as they reach it, so until they have, calls that depend on what is held are parked, not refused and not guessed.
 *
 * It closes when it has been open for WINDOW_MS, the state is there, a providersvc has asserted and nobody is in the
 * middle of asserting; after WINDOW_MAX_MS the state alone is enough. It does not close early: who has yet to come
 * cannot be known, but whoever lives dials again at least every TRANSPORT_RECONNECT_MAX_MS. Without the state calls
 * go on after WINDOW_MAX_MS, to be refused. What the ledger holds came with the state, so who asserts late is late for
 * young calls only. Knows nothing of holds. Any thread.
 */
#ifndef AUTHSVC_WINDOW_H
#define AUTHSVC_WINDOW_H

#include <pthread.h>
#include <stdatomic.h>

#include "services/svc.h"

#define WINDOW_MS 500u
#define WINDOW_MAX_MS 2000u /* gateways wait so long for an authsvc that restarts */
#define WINDOW_PARKED_MAX 32768u /* calls */
#define WINDOW_PEERS_MAX 128u /* that are in the middle of asserting; one more is not waited for */
#define WINDOW_PROVIDER "providersvc" /* how the name of an instance of it begins */

struct window_parked;

struct window {
    atomic_bool open;
    atomic_bool late; /* the state is not loaded in time: nobody is parked */
    pthread_mutex_t lock; /* guards the rest */
    uint64_t began_ms; /* 0 = nobody can have reached us yet */
    bool provider_heard;
    size_t n_peers, n_parked;
    char peers[WINDOW_PEERS_MAX][LIMIT_NAME + 1]; /* have begun and not ended */
    struct window_parked *first, **last;
};

void window_init(struct window *w, bool open);
void window_fini(struct window *w); /* after window_close */
void window_open(struct window *w); /* again */
void window_begin(struct window *w, uint64_t now_ms); /* peers can reach us from now on */
/* ST_OK: go on. ST_PENDING: handler will be called, and the call finished with what it returns, when the window closes.
 * ST_UNAVAILABLE: too many wait. */
enum status window_park(struct window *w, struct svc_call *call, const void *in, svc_handler *handler);
void window_heard(struct window *w, struct slice instance, bool last);
bool window_due(struct window *w, uint64_t now_ms, bool ready); /* is it time to close it? ready: the state is there */
/* Is it late? Then the parked calls are decided, and others are not parked as long as it says so. */
void window_late(struct window *w, uint64_t now_ms, bool loaded);
/* Closes it. st ST_OK: decides the parked calls in their order; else ends them with st. Returns how many; harmless
 * twice. */
size_t window_close(struct window *w, enum status st);

#endif
