/*
 * restore: puts a backup in the place of the database, while no meterd runs. `meterd --restore FILE`.
 *
 * The backup is copied beside the database, checked (SQLite's own check, the ledger), and takes the database's name in
 * one step; what was there before keeps all its data under another name. Killed anywhere, either the one or the other
 * is in place. The revisions of the restored state begin high above all that anybody has seen, so that whoever follows
 * the state reads it anew.
 */
#ifndef METERD_RESTORE_H
#define METERD_RESTORE_H

#include "meterd/store.h"

struct restore_report {
    char kept[STORE_PATH_MAX + 64]; /* where the old database is now; empty = there was none */
    uint64_t bytes, calls;
};

/* ST_CONFLICT: a meterd runs, or the file is not ours; ST_BAD_REQUEST: it is damaged. Then nothing has changed. */
enum status restore_run(const char *db_path, const char *file, struct restore_report *ret, struct err *err);
/* The command: DB_PATH from the environment; prints; an exit code. */
int restore_main(int argc, char **argv);

#endif
