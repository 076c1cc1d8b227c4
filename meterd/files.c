#include "meterd/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/wire.h"

enum status files_fail(const char *what, const char *path, struct err *err)
{
    char text[128];

    return err_set(err, ST_INTERNAL, "DB_PATH: cannot %s %s: %s", what, path, strerror_r(errno, text, sizeof(text)));
}

enum status files_sync_folder_of(const char *path, struct err *err)
{
    char folder[FILES_PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 0;
    int fd, bad;

    snprintf(folder, sizeof(folder), "%.*s", (int)n, path);
    fd = open(!slash ? "." : n ? folder : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return files_fail("open the folder of", path, err);
    bad = fsync(fd);
    close(fd);
    return bad ? files_fail("sync the folder of", path, err) : ST_OK;
}

enum status files_make_folders(const char *path, struct err *err)
{
    char folder[FILES_PATH_MAX];
    enum status st = ST_OK;
    char *slash;

    if (!slice_copy(slice_of(path), folder, sizeof(folder)))
        return err_set(err, ST_BAD_REQUEST, "DB_PATH is longer than %d bytes", FILES_PATH_MAX - 1);
    for (slash = strchr(folder + 1, '/'); slash && st == ST_OK; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(folder, 0700) == 0)
            st = files_sync_folder_of(folder, err);
        else if (errno != EEXIST)
            st = files_fail("make the folder", folder, err);
        *slash = '/';
    }
    return st;
}

enum status files_lock(const char *path, int *ret_fd, struct err *err)
{
    char lock[FILES_PATH_MAX + 8];
    int fd;

    snprintf(lock, sizeof(lock), "%s.lock", path);
    fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return files_fail("open", lock, err);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        close(fd);
        return err_set(err, ST_CONFLICT, "DB_PATH: another meterd has %s open: end it first", path);
    }
    *ret_fd = fd;
    return ST_OK;
}
