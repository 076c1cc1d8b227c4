/*
 * changes: the state records that a transaction has made, collected in order of revision and, after the commit,
 * packed into state_batch messages. Knows neither SQL nor the bus. Memory is bounded; whoever holds it owns it.
 */
#ifndef METERD_CHANGE_H
#define METERD_CHANGE_H

#include <stddef.h>
#include <stdint.h>

#include "proto/messages.h"

#define CHANGE_BYTES_MAX (64u * 1024u * 1024u) /* of records of one transaction */
#define CHANGE_BATCH_BYTES (1024u * 1024u) /* of records in one state_batch, and one record more */
#define CHANGE_BATCH_ITEMS 4096

struct change_item {
    uint64_t revision;
    uint16_t kind;
    size_t at, n; /* in records */
};

struct changes {
    struct buf records;
    struct change_item *items;
    size_t n, cap;
};

struct change_mark {
    size_t n, bytes;
};

void changes_init(struct changes *c);
void changes_fini(struct changes *c);
enum status changes_add(struct changes *c, const struct wire_desc *desc, const void *record, uint64_t revision,
                        struct err *err);
struct change_mark changes_mark(const struct changes *c);
void changes_undo(struct changes *c, struct change_mark mark); /* forgets what came after the mark */

/* Packs all changes as one or more state_batch messages of up to `most` (CHANGE_BATCH_ITEMS), in order, and hands each
 * to publish. previous = revision before the first, revision = after the last. Without changes: one heartbeat. */
enum status changes_publish(const struct changes *c, uint64_t previous, uint64_t revision, size_t most,
                            void (*publish)(void *ctx, struct slice bytes), void *ctx);

#endif
