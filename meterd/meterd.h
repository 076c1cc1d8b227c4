/*
 * meterd: the only state of the house, in SQLite: users, plans, keys, prices, ledger, usage. Calls come over the
 * exchange, usage events over the usage feed; every change goes out over the state feed. Handlers run on bus threads
 * and only hand the work to a thread of ours: one writes (meterd/writer.h), three read (meterd/reader.h), one
 * looks after what is wrong (meterd/watch.h). What it
 * decides stands in meterd/ops.h.
 */
#ifndef METERD_METERD_H
#define METERD_METERD_H

#include "meterd/reader.h"
#include "meterd/watch.h"
#include "meterd/writer.h"
#include "services/disk.h"

#define METERD_EXIT_STORE 3 /* the database failed in a way that only a restart can judge */
#define METERD_DISK_LOW_BYTES (256u * 1024u * 1024u) /* free space below which the health report warns */

struct meterd {
    struct svc *svc;
    struct store *store;
    struct writer *writer;
    struct watch *watch;
    struct reader *quick, *slow, *copy;
    struct feed_pub *pub;
    struct feed_sub *sub;
    struct metric *dropped, *bad_events, *refused;
    struct disk_gauges disk;
};

#endif
