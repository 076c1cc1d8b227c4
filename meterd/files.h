/*
 * files: what meterd does with files beside SQLite: folders, names that are to survive a power cut, the lock that says
 * whose the database is. Failures name the file and why.
 */
#ifndef METERD_FILES_H
#define METERD_FILES_H

#include "proto/status.h"

#define FILES_PATH_MAX 4096

/* Makes the folders that `path` stands in, each with mode 0700. */
enum status files_make_folders(const char *path, struct err *err);
/* A name that was made, changed or removed is so on the disk when its folder is. */
enum status files_sync_folder_of(const char *path, struct err *err);
/* The lock of the database at `path`: whoever has it may write. Held until *ret_fd is closed; ST_CONFLICT: another
 * meterd has it. */
enum status files_lock(const char *path, int *ret_fd, struct err *err);
enum status files_fail(const char *what, const char *path, struct err *err); /* with errno's text */

#endif
