/*
 * ingest: usage events become billed calls. Of each source (an outbox) events are applied in the order of their
 * numbers, each exactly once: what is at or below the recorded position is skipped, after a gap nothing is applied
 * unless the source says that what is missing is gone. A call settles once, whichever source says so first. Row,
 * entries, balances and position are written in the one transaction of the caller; the records that it makes known go
 * into the store's changes. Fails only when the store does.
 */
#ifndef METERD_INGEST_H
#define METERD_INGEST_H

#include "meterd/store.h"

struct ingest_batch {
    struct slice source;
    uint64_t first_seq;
    const struct usage_event *events;
    size_t n;
    uint64_t oldest_seq; /* the source has no older record; 0 = it does not say */
};

/* *ret_seq: everything up to it is applied (and committed, once the transaction is). */
enum status ingest_apply(struct work *w, const struct ingest_batch *batch, uint64_t *ret_seq);

/* Writes the balances and positions that the transaction has reached: due before its commit, and before anything but
 * ingest goes on in it. One row and one ack for each source. */
enum status ingest_flush(struct work *w);

#endif
