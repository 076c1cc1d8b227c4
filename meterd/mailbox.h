/*
 * mailbox: a bounded queue of work between bus threads and one thread of ours. Putting never waits: a full mailbox says
 * so. Bounded in pieces and, for what carries its own memory, in bytes. Any thread puts, one takes.
 * Two lines stand in it, each in order: usage (LANE_INGEST), of which there may be minutes after meterd was away, and
 * everything else, which somebody waits for and which is taken first.
 */
#ifndef METERD_MAILBOX_H
#define METERD_MAILBOX_H

#include <pthread.h>
#include <stdatomic.h>
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
    size_t usage; /* usage events that it carries */
    uint64_t at_ms; /* monotonic: when it came */
    enum status st; /* the taker's */
};

struct mail_line {
    struct mail_item *ring; /* MAILBOX_ITEMS of them */
    size_t first, n;
};

struct mailbox {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct mail_line commands, usage;
    size_t bytes;
    size_t usage_events; /* in the line of usage */
    size_t n_calls; /* of both lines: somebody waits for them */
    bool closed;
    atomic_bool wanted; /* by whoever does not lock: a command waits, or it is closed */
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
 * than `enough` items, it lets more of them gather until gather_ms after the first. Returns how many items it moved to
 * `to`: commands, then usage until that carries `most_usage` events (0 = no such limit), one item of it at least. */
struct mailbox_wait {
    uint64_t until_ms, gather_ms;
    size_t enough, most_usage;
};
size_t mailbox_take(struct mailbox *m, const struct mailbox_wait *wait, struct mail_item *to, size_t max,
                    bool *ret_closed);
size_t mailbox_usage(struct mailbox *m); /* usage events that wait */
bool mailbox_wanted(const struct mailbox *m); /* a command waits, or it is closed; without a lock */

#endif
