/*
 * What the files of feed share: sockets, and a thread's life: it sleeps, it asks meterd, and feed_free wakes it out of
 * both at once. Nobody else includes this.
 */
#ifndef SERVICES_BUS_FEED_PRIVATE_H
#define SERVICES_BUS_FEED_PRIVATE_H

#include <pthread.h>
#include <stdbool.h>

#include "proto/messages.h"
#include "services/arena.h"
#include "services/bus/exchange.h"
#include "services/bus/feed.h"
#include "services/bus/transport.h"

#define FEED_CALL_MS 10000u /* deadline of one call to meterd */
#define FEED_BACKOFF_MIN_MS 50u /* after a failed call; doubled … */
#define FEED_BACKOFF_MAX_MS 2000u

/* A subscription: its socket, and how what comes there is read. */
struct feed_ear {
    nng_socket sock;
    const struct cipher *cipher; /* NULL = in the clear */
    enum cipher_topic topic;
    struct trust *trust;
};
enum status feed_ear_open(const struct feed_at *at, struct feed_ear *ret, struct err *err);
/* What a message says; opened in place. false: not one for us, which is reported. *ret_place is set for a sealed one.
 */
bool feed_ear_read(struct feed_ear *e, nng_msg *msg, struct slice *ret, struct cipher_place *ret_place);

/* The part of a worker thread that can be interrupted. lock also protects what the thread shares with its callers. */
struct feed_task {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct xchg_client *meterd;
    bool stopped, woken;
    bool asking; /* a call is open */
    struct xchg_id call;
    bool answered;
    enum status st;
    struct slice payload; /* of the answer, in arena */
    struct arena *arena;
    unsigned backoff_ms; /* the thread's own */
};

void feed_task_init(struct feed_task *t, struct xchg_client *meterd);
void feed_task_fini(struct feed_task *t);
void feed_task_stop(struct feed_task *t); /* ends feed_ask and feed_sleep, now and later */
bool feed_task_stopped(struct feed_task *t);
void feed_wake(struct feed_task *t); /* ends feed_sleep */
void feed_sleep(struct feed_task *t, uint64_t until_ms);
void feed_back_off(struct feed_task *t); /* sleeps a little longer than the last time … */
void feed_progress(struct feed_task *t); /* … since this */

/* A call to meterd; the reply's bytes and lists live in a. */
enum status feed_ask(struct feed_task *t, const struct wire_desc *req_desc, const void *req,
                     const struct wire_desc *rep_desc, void *rep, struct arena *a);

#endif
