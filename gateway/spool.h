/*
 * spool: the bytes of one upload while they are passed on: a little in memory, more in a file without a name, which
 * vanishes with the process. Written once from its beginning to its end, then read anywhere. One thread's.
 */
#ifndef GATEWAY_SPOOL_H
#define GATEWAY_SPOOL_H

#include <stdatomic.h>

#include "proto/wire.h"

#define SPOOL_MEMORY (256u * 1024u) /* what is not longer stays in memory */
#define SPOOL_PIECE 65536u /* read at once, at most */
#define SPOOL_ALL_MAX (UINT64_C(4) * 1024 * 1024 * 1024) /* bytes of all spools together */

struct spool {
    const char *dir;
    _Atomic uint64_t *all; /* bytes of all spools, these included */
    struct buf memory; /* everything; or one piece of the file */
    int fd; /* -1 = there is no file */
    uint64_t bytes;
};

/* dir and all live as long as it does. Allocates nothing yet. */
void spool_init(struct spool *s, const char *dir, _Atomic uint64_t *all);
void spool_fini(struct spool *s); /* zeroed is fine */
/* ST_UNAVAILABLE: SPOOL_ALL_MAX is reached, or the folder takes no more. ST_NO_MEMORY. */
enum status spool_add(struct spool *s, struct slice bytes, struct err *err);
/* At most SPOOL_PIECE bytes from there, one at least; they live until the next call. ST_INTERNAL: the file cannot be
 * read, or is shorter. */
enum status spool_read(struct spool *s, uint64_t from, size_t n, struct slice *ret, struct err *err);

#endif
