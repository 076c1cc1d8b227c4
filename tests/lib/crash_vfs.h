/*
 * crash_vfs: a disk in memory for SQLite that remembers every write, truncation, sync and deletion, so that a test can
 * ask what is left when the machine dies at any one of them. A run is recorded once; crash_replay then walks through
 * the record and makes, for each point, the disk as it may be found afterwards. It can also fail: the nth operation
 * of a kind. A failed sync loses what was to be synced, for good, as Linux does.
 *
 * It knows nothing of meterd. One connection at a time (its locks always succeed), any thread. The shared memory of the
 * log is on the heap. Whole bytes outside a torn write stay as they were (SQLITE_IOCAP_POWERSAFE_OVERWRITE).
 */
#ifndef TESTS_LIB_CRASH_VFS_H
#define TESTS_LIB_CRASH_VFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum crash_op { CRASH_READ, CRASH_WRITE, CRASH_TRUNCATE, CRASH_SYNC, CRASH_DELETE, CRASH_MAP };

/* What becomes of writes that no sync has confirmed. */
enum crash_mode {
    CRASH_DROP, /* all are lost */
    CRASH_REORDER, /* some arrive, in any order */
    CRASH_TEAR, /* all arrive but the last ones: of these some sectors, some with rubbish */
    CRASH_MODES
};

struct crash_vfs;

/* Registered with SQLite under `name`, which must live as long. NULL: no memory, or the name is taken. */
struct crash_vfs *crash_vfs_new(const char *name);
void crash_vfs_free(struct crash_vfs *v); /* all its files are closed; NULL is fine */
size_t crash_vfs_points(const struct crash_vfs *v); /* operations recorded so far */
/* The files are as they are now; what was recorded is forgotten. All is on the disk. */
void crash_vfs_settle(struct crash_vfs *v);
bool crash_vfs_copy(const struct crash_vfs *from, struct crash_vfs *to); /* the files as they are now, settled */

struct crash_fault {
    unsigned ops; /* bits: 1u << enum crash_op */
    uint64_t nth; /* of these operations fails, 1 = the next; 0 = none */
    uint64_t times; /* and those after it, so many together */
    int rc; /* with this; SQLITE_FULL leaves half of the bytes behind */
};
void crash_vfs_fault(struct crash_vfs *v, const struct crash_fault *f); /* NULL: it works again */
uint64_t crash_vfs_struck(const struct crash_vfs *v); /* failures since the fault was set */

/* ---- what is left ------------------------------------------------------------------------------------------------ */

struct crash_replay; /* a place in a record: everything before it was done, one operation is under way */

struct crash_replay *crash_replay_new(const struct crash_vfs *v); /* before the first operation; NULL: no memory */
void crash_replay_free(struct crash_replay *r);
size_t crash_replay_point(const struct crash_replay *r); /* how many operations were done */
bool crash_replay_next(struct crash_replay *r); /* false: none is left, and nothing is under way */
/* Makes the files of `to`, settled. The same seed gives the same disk. */
bool crash_replay_image(const struct crash_replay *r, enum crash_mode mode, uint64_t seed, struct crash_vfs *to);

#endif
