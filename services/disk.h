/*
 * disk: how much room a file system has, and the gauges that say so.
 */
#ifndef SERVICES_DISK_H
#define SERVICES_DISK_H

#include "services/metrics.h"

struct disk_space {
    uint64_t free_bytes, size_bytes; /* free: for a process without privileges */
};

bool disk_space(const char *path, struct disk_space *ret); /* false: the path cannot be looked at */

struct disk_gauges {
    struct metric *free_bytes, *size_bytes;
};

/* path_label: "database", "spool" …: which of a service's folders it is. */
void disk_gauges_make(struct disk_gauges *g, struct metrics *m, const char *path_label);
void disk_gauges_set(struct disk_gauges *g, const char *path);

#endif
