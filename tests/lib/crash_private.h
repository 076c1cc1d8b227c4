/* What crash_vfs.c and crash_replay.c share. */
#ifndef TESTS_LIB_CRASH_PRIVATE_H
#define TESTS_LIB_CRASH_PRIVATE_H

#include <sqlite3.h>

#include "tests/lib/crash_vfs.h"

#define CRASH_FILES 8
#define CRASH_NAME 256
#define CRASH_REGIONS 16 /* of shared memory */

struct crash_bytes {
    unsigned char *p;
    size_t n, cap;
};

/* All: no memory is the end of the test, so these abort. */
void crash_bytes_put(struct crash_bytes *b, size_t at, const void *p, size_t n); /* a hole reads as zeros */
void crash_bytes_cut(struct crash_bytes *b, size_t n); /* or grows it with zeros */
void crash_bytes_copy(struct crash_bytes *to, const struct crash_bytes *from);

struct crash_file {
    char name[CRASH_NAME]; /* empty: this place is free */
    bool exists;
    struct crash_bytes bytes;
    void *regions[CRASH_REGIONS];
};

struct crash_record {
    enum crash_op op;
    bool lost; /* a sync that failed */
    bool folder; /* the folder was synced with it: deletions are on the disk, too */
    unsigned file;
    size_t at, n; /* truncation: n is the size */
    unsigned char *data;
};

struct crash_vfs {
    sqlite3_vfs vfs;
    struct crash_file files[CRASH_FILES];
    struct crash_file start[CRASH_FILES]; /* as they were when the record began */
    struct crash_record *records;
    size_t n_records, cap_records;
    struct crash_fault fault;
    uint64_t seen, struck; /* operations that the fault looked at, and met */
};

#endif
