/*
 * snapshot: a whole database in one file that nobody writes: what a backup leaves and a restore takes. It has no log of
 * its own, so it may be copied with any tool.
 */
#ifndef METERD_SNAPSHOT_H
#define METERD_SNAPSHOT_H

#include <sqlite3.h>

#include "proto/status.h"

/* Opens the file at `path`, which must be there, for reading and writing, and takes it out of log mode. On failure
 * *ret is NULL. name: what errors call it, where it is a copy of something that the user knows. */
enum status snapshot_open(const char *path, const char *name, sqlite3 **ret, struct err *err);
/* Ours, of a version that this program knows, and whole. ST_CONFLICT: another's or a newer one; ST_BAD_REQUEST:
 * damaged. */
enum status snapshot_check(sqlite3 *db, const char *name, struct err *err);

#endif
