#include "gateway/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_SIZE 4096

void spool_init(struct spool *s, const char *dir, _Atomic uint64_t *all)
{
    *s = (struct spool){.dir = dir, .all = all, .fd = -1};
    buf_init(&s->memory, SPOOL_MEMORY);
}

void spool_fini(struct spool *s)
{
    if (!s->dir)
        return;
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    atomic_fetch_sub(s->all, s->bytes);
    s->bytes = 0;
    buf_fini(&s->memory);
}

static enum status failed(const char *what, struct err *err)
{
    return err_set(err, ST_UNAVAILABLE, "The router cannot keep the upload now (%s: %s). Try again later.", what,
                   strerror(errno));
}

/* Not every file system knows files without a name. */
static int open_nameless(const char *dir)
{
    char path[PATH_SIZE];
    int fd = open(dir, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600), n;

    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT && errno != EINVAL))
        return fd;
    n = snprintf(path, sizeof(path), "%s/upload.XXXXXX", dir);
    if (n < 0 || (size_t)n >= sizeof(path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        (void)unlink(path);
    return fd;
}

static enum status write_all(struct spool *s, struct slice bytes, struct err *err)
{
    while (bytes.n) {
        ssize_t n = write(s->fd, bytes.p, bytes.n);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return failed("write", err);
        bytes.p += n;
        bytes.n -= (size_t)n;
    }
    return ST_OK;
}

static enum status move_to_file(struct spool *s, struct err *err)
{
    enum status st;

    s->fd = open_nameless(s->dir);
    if (s->fd < 0)
        return failed("open", err);
    st = write_all(s, (struct slice){s->memory.p, s->memory.n}, err);
    buf_fini(&s->memory); /* from now on it holds what is read; it keeps its ceiling */
    return st;
}

enum status spool_add(struct spool *s, struct slice bytes, struct err *err)
{
    enum status st = ST_OK;

    if (atomic_fetch_add(s->all, bytes.n) + bytes.n > SPOOL_ALL_MAX) {
        atomic_fetch_sub(s->all, bytes.n);
        return err_set(err, ST_UNAVAILABLE, "There is no room for the upload now. Try again later.");
    }
    s->bytes += bytes.n;
    if (s->fd < 0 && s->bytes <= SPOOL_MEMORY) {
        st = buf_add(&s->memory, bytes.p, bytes.n);
        return st == ST_OK ? ST_OK : err_set(err, ST_NO_MEMORY, "%s", status_text(ST_NO_MEMORY));
    }
    if (s->fd < 0)
        st = move_to_file(s, err);
    return st == ST_OK ? write_all(s, bytes, err) : st;
}

enum status spool_read(struct spool *s, uint64_t from, size_t n, struct slice *ret, struct err *err)
{
    ssize_t got;

    if (n > SPOOL_PIECE)
        n = SPOOL_PIECE;
    if (n == 0 || from > s->bytes || n > s->bytes - from)
        return err_set(err, ST_INTERNAL, "The upload has no such bytes.");
    if (s->fd < 0) {
        *ret = (struct slice){s->memory.p + from, n};
        return ST_OK;
    }
    s->memory.n = 0;
    if (buf_reserve(&s->memory, SPOOL_PIECE) != ST_OK)
        return err_set(err, ST_NO_MEMORY, "%s", status_text(ST_NO_MEMORY));
    do {
        got = pread(s->fd, s->memory.p, n, (off_t)from);
    } while (got < 0 && errno == EINTR);
    if (got <= 0)
        return err_set(err, ST_INTERNAL, "The upload cannot be read back.");
    *ret = (struct slice){s->memory.p, (size_t)got};
    return ST_OK;
}
