/*
 * crash_work: work on meterd's store as its writer does it: batches of events, grants, keys, prices and users committed
 * together, and checkpoints between them. What was acknowledged is counted, so that a store that was opened again can
 * be compared with it. It asserts nothing: the tests decide what a failure means.
 */
#ifndef TESTS_UNIT_CRASH_WORK_H
#define TESTS_UNIT_CRASH_WORK_H

#include "meterd/batch.h"
#include "tests/lib/crash_vfs.h"

#define CRASH_WORK_STEPS_MAX 512

/* How much of everything there is. Only the work of this file is counted. */
struct crash_tally {
    int64_t users, keys, prices, grants, calls[2], positions[2];
};

struct crash_work {
    char folder[64], path[128];
    struct crash_vfs *vfs;
    const char *vfs_name;
    struct store *store;
    struct arena arena;
    struct err err;
    char user[LIMIT_ID_TEXT + 1];
    int64_t price;
    unsigned step; /* the next one */
    struct crash_tally done; /* acknowledged */
    struct crash_tally next; /* what it will be when the step at hand is acknowledged */
};

enum status crash_work_new(struct crash_work *w, struct crash_vfs *vfs, const char *vfs_name);
void crash_work_free(struct crash_work *w);
enum status crash_work_open(struct crash_work *w); /* with the first start's seed when there is none */
void crash_work_close(struct crash_work *w);
/* One transaction, or a checkpoint. What it did is in w->done only when it returns ST_OK; otherwise the store says in
 * `broken` what is due, and with STORE_RETRY everything has been taken back and the same step may be tried again. */
enum status crash_work_step(struct crash_work *w);

/* Counts what the store at `path` on the VFS has, and looks whether it is sound: opens, SQLite's own check, the ledger
 * and the positions agree. NULL = sound, else what is wrong (in `text`). */
const char *crash_work_look(const char *path, const char *vfs_name, struct crash_tally *ret, char text[256]);
bool crash_tally_equal(const struct crash_tally *a, const struct crash_tally *b);

#endif
