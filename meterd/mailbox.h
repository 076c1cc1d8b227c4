/*
 * mailbox: a bounded queue of work between bus threads and one thread of ours. Putting never waits: a full mailbox says
 * so. Bounded in pieces and, for what carries its own memory, in bytes. Any thread puts, one takes.
 */
#ifndef METERD_MAILBOX_H
#define METERD_MAILBOX_H

#include <pthread.h>
#include <stdbool.h>

#include "meterd/batch.h"
#include "services/svc.h"

#define MAILBOX_ITEMS 8192
#define MAILBOX_BYTES (64u * 1024u * 1024u)
#define MAILBOX_TAKE 500 /* items taken at one time at most */

/* A usage_batch from the feed, with the memory it lives in. Nobody waits for it. */
struct mail_events {
    struct arena arena;
    char *bytes;
    size_t n_bytes;
    struct usage_batch batch;
};

struct mail_item {
    struct svc_call *call; /* NULL for events */
    enum lane lane;
    meterd_op *op;
    const void *in;
    void *out;
    struct mail_events *events;
    size_t bytes; /* of a call: what it carries, when that is much */
    uint64_t at_ms; /* monotonic: when it came */
    enum status st; /* the taker's */
};

struct mailbox {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct mail_item *ring;
    size_t first, n, bytes;
    size_t n_calls; /* of the n: somebody waits for them */
    bool closed;
};

void mail_events_free(struct mail_events *e); /* NULL is fine */
/* Copies and decodes a message of the usage feed. */
enum status mail_events_new(struct slice bytes, struct mail_events **ret, struct err *err);

enum status mailbox_init(struct mailbox *m);
void mailbox_fini(struct mailbox *m);
bool mailbox_put(struct mailbox *m, const struct mail_item *item); /* false = full or closed */
void mailbox_close(struct mailbox *m); /* nothing more goes in; what is there is still taken */
size_t mailbox_depth(struct mailbox *m);

/* Waits until there is something, the time (monotonic ms) is reached or it is closed. While only events wait, and fewer
 * than `enough`, it lets more of them gather until gather_ms after the first. Returns how many items it moved to `to`.
 */
struct mailbox_wait {
    uint64_t until_ms, gather_ms;
    size_t enough;
};
size_t mailbox_take(struct mailbox *m, const struct mailbox_wait *wait, struct mail_item *to, size_t max,
                    bool *ret_closed);

#endif
