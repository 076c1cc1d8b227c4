#include "services/disk.h"

#include <stdio.h>
#include <sys/statvfs.h>

bool disk_space(const char *path, struct disk_space *ret)
{
    struct statvfs fs;

    if (statvfs(path, &fs) != 0)
        return false;
    *ret = (struct disk_space){.free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize,
                               .size_bytes = (uint64_t)fs.f_blocks * fs.f_frsize};
    return true;
}

void disk_gauges_make(struct disk_gauges *g, struct metrics *m, const char *path_label)
{
    char labels[METRIC_LABELS_MAX];

    snprintf(labels, sizeof(labels), "path=\"%s\"", path_label);
    g->free_bytes = metric_gauge(m, "router_disk_free_bytes", "Room on the disk of a folder.", labels);
    g->size_bytes = metric_gauge(m, "router_disk_size_bytes", "Size of that disk.", labels);
}

/* A path that cannot be looked at has no room. */
void disk_gauges_set(struct disk_gauges *g, const char *path)
{
    struct disk_space space = {0, 0};

    if (disk_space(path, &space))
        metric_set(g->size_bytes, (int64_t)space.size_bytes);
    metric_set(g->free_bytes, (int64_t)space.free_bytes);
}
