/*
 * writer: the one thread that writes. It takes what waits in its mailbox, applies it in one transaction (group commit),
 * publishes the changes after the commit and then answers. Nothing is answered or acknowledged that is not on disk.
 * Between transactions it ends the calls of which nothing was heard for the length of their lease.
 * Disk full: commands fail with ST_UNAVAILABLE, events stay unacknowledged and come again; it goes on by itself when
 * there is space. An I/O error or damage: `dead` is called, which must end the process.
 */
#ifndef METERD_WRITER_H
#define METERD_WRITER_H

#include "meterd/mailbox.h"

#define WRITER_UNITS 500 /* commands and events of one transaction, and the rest of one message */
#define WRITER_UNIT_BYTES 4096 /* a command that writes so much counts as one more */
#define WRITER_GATHER_MS 5 /* events wait so long for others, commands never */
#define WRITER_IDLE_MS 2000 /* without work: the log is copied and cut */
#define WRITER_MONTHLY_LOOK_MS 1000 /* whether the wall clock says that a month began */
#define WRITER_SLOW_MS 1000 /* a chore that takes so long is told: what comes meanwhile waits */
#define WRITER_MONTHLY_RETRY_MS 10000 /* after a round of monthly credit that could not be written */
#define WRITER_MONTHLY_BYTES (4u * 1024u * 1024u) /* memory of one step */
#define WRITER_PRICES_MS 500 /* while a price waits for its time, the clock is looked at this often at least */
#define WRITER_PRICES_BYTES (16u * 1024u * 1024u) /* of memory when prices take force */
#define WRITER_HOUSEKEEPING_MS 600000 /* expired sessions are forgotten this often */
#define WRITER_EXPIRE_MS 1000 /* holds whose lease is over are looked for this often */
#define WRITER_EXPIRE_BYTES (4u * 1024u * 1024u) /* of one round of them */
#define WRITER_ALERTS_MS 500 /* a report of what is wrong is looked for this often */
#define WRITER_ALERTS_BYTES (1024u * 1024u) /* of memory to write it down */
#define WRITER_SECURITY_BYTES (1024u * 1024u) /* of memory to sum up and forget */

struct watch;
struct writer;

struct writer_options {
    struct store *store; /* the writer's from now on, until writer_free */
    const struct log *log;
    struct metrics *metrics;
    struct watch *watch; /* whose reports it writes down; may be NULL */
    void (*publish)(void *ctx, struct slice state_batch);
    void (*dead)(void *ctx, const struct err *why);
    void *ctx;
};

struct writer_state { /* as of the last transaction; any thread */
    uint64_t revision, wal_bytes, positions;
    size_t depth;
    bool full; /* the last transaction found no space */
};

enum status writer_new(const struct writer_options *options, struct writer **ret, struct err *err);
void writer_free(struct writer *w); /* finishes what waits first; NULL is fine */
struct mailbox *writer_mailbox(struct writer *w);
struct writer_state writer_state(struct writer *w);

#endif
