/*
 * op_backup: the database as one file, while meterd goes on writing. The pages are copied from one transaction that
 * only reads, into a file with a name that nobody can ask for; it gets its own name when it is whole, checked and on
 * the disk. Killed half-way it leaves that file, which the next backup removes. The writer then notes it in the audit;
 * where it cannot, the answer is its failure, and the backup is there all the same.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "meterd/audit.h"
#include "meterd/ops.h"
#include "meterd/snapshot.h"
#include "services/clock.h"

#define BACKUP_FOLDER "backups"
#define BACKUP_PARTIAL ".partial" /* names that begin with a dot are ours */
#define BACKUP_STEP_PAGES 1024
#define BACKUP_MS_MAX 600000u
#define BACKUP_ROOM_BYTES (UINT64_C(16) * 1024 * 1024) /* a backup leaves so much for the database itself */

struct backup {
    struct work *w;
    char path[STORE_PATH_MAX + LIMIT_NAME + 32], partial[STORE_PATH_MAX + 32];
    uint64_t until_ms;
    sqlite3 *to;
};

/* ---- where ------------------------------------------------------------------------------------------------------- */

static bool is_name(struct slice name)
{
    size_t i;

    for (i = 0; i < name.n; i++) {
        char c = name.p[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("._-", c)) || !c)
            return false;
    }
    return name.n > 0 && name.p[0] != '.';
}

static enum status find_places(struct backup *b, struct slice name)
{
    const char *db = sqlite3_db_filename(b->w->s->db, "main");
    const char *slash = db ? strrchr(db, '/') : NULL;
    int folder = slash ? (int)(slash - db) + 1 : 0;
    char made[64];
    struct tm utc;
    time_t now = time(NULL);

    if (!db || strlen(db) >= STORE_PATH_MAX)
        return err_set(b->w->err, ST_INTERNAL, "the database has no name");
    if (name.n == 0) {
        gmtime_r(&now, &utc);
        strftime(made, sizeof(made), "router-%Y%m%dT%H%M%SZ.db", &utc);
        name = slice_of(made);
    }
    if (!is_name(name))
        return err_set_field(b->w->err, ST_BAD_REQUEST, "invalid_value", "name",
                             "A backup's name has letters, digits, '.', '_' and '-' and does not begin with a dot.");
    snprintf(b->path, sizeof(b->path), "%.*s" BACKUP_FOLDER "/" SLICE_FMT, folder, db, SLICE_ARG(name));
    snprintf(b->partial, sizeof(b->partial), "%.*s" BACKUP_FOLDER "/" BACKUP_PARTIAL, folder, db);
    if (strlen(b->path) > LIMIT_TITLE)
        return err_set_field(b->w->err, ST_BAD_REQUEST, "invalid_value", "name", "The backup's path is too long.");
    if (access(b->path, F_OK) == 0)
        return err_set_field(b->w->err, ST_CONFLICT, NULL, "name", "There is a backup of this name.");
    return ST_OK;
}

/* The last space of a disk is for what must be written: a backup does not take it. */
static enum status check_room(const struct backup *b)
{
    struct stat now;
    struct statvfs fs;

    if (stat(sqlite3_db_filename(b->w->s->db, "main"), &now) != 0 || statvfs(b->partial, &fs) != 0)
        return files_fail("look at", b->partial, b->w->err);
    if ((uint64_t)fs.f_bavail * fs.f_frsize < (uint64_t)now.st_size + BACKUP_ROOM_BYTES)
        return err_set(b->w->err, ST_UNAVAILABLE, "There is no room for a backup of %lld bytes beside the database.",
                       (long long)now.st_size);
    return ST_OK;
}

static enum status make_partial(const struct backup *b)
{
    enum status st = files_make_folders(b->partial, b->w->err);
    int fd;

    if (st != ST_OK)
        return st;
    (void)unlink(b->partial); /* of a backup that was killed */
    fd = open(b->partial, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return files_fail("make", b->partial, b->w->err);
    close(fd);
    return check_room(b);
}

/* ---- the copy -----------------------------------------------------------------------------------------------------
 */

static enum status copy_pages(const struct backup *b)
{
    sqlite3_backup *copy = sqlite3_backup_init(b->to, "main", b->w->s->db, "main");
    int rc = copy ? SQLITE_OK : SQLITE_NOMEM, finished;

    while (rc == SQLITE_OK && clock_ms() < b->until_ms)
        rc = sqlite3_backup_step(copy, BACKUP_STEP_PAGES);
    finished = copy ? sqlite3_backup_finish(copy) : SQLITE_OK;
    if (rc == SQLITE_DONE && finished == SQLITE_OK)
        return ST_OK;
    if (rc == SQLITE_OK)
        return err_set(b->w->err, ST_TIMEOUT, "The backup took longer than %u s.", BACKUP_MS_MAX / 1000);
    return err_set(b->w->err, ST_UNAVAILABLE, "The backup could not be written: %s.", sqlite3_errstr(rc));
}

static enum status write_copy(struct backup *b)
{
    struct err *err = b->w->err;
    enum status st;

    if (sqlite3_open_v2(b->partial, &b->to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK ||
        sqlite3_exec(b->to, "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF", NULL, NULL, NULL) != SQLITE_OK)
        st = err_set(err, ST_UNAVAILABLE, "%s: %s", b->partial, b->to ? sqlite3_errmsg(b->to) : "no memory");
    else
        st = copy_pages(b);
    sqlite3_close(b->to);
    b->to = NULL;
    if (st == ST_OK)
        st = snapshot_open(b->partial, b->partial, &b->to, err);
    if (st == ST_OK)
        st = snapshot_check(b->to, b->partial, err);
    sqlite3_close(b->to);
    b->to = NULL;
    return st == ST_OK || st == ST_UNAVAILABLE || st == ST_TIMEOUT ? st : ST_INTERNAL;
}

/* link, not rename: a name that came meanwhile is not replaced. */
static enum status give_name(const struct backup *b, uint64_t *ret_bytes)
{
    struct stat now;
    int fd = open(b->partial, O_RDONLY | O_CLOEXEC), bad;

    if (fd < 0)
        return files_fail("open", b->partial, b->w->err);
    bad = fsync(fd) != 0 || fstat(fd, &now) != 0;
    close(fd);
    if (bad)
        return files_fail("sync", b->partial, b->w->err);
    if (link(b->partial, b->path) != 0 && errno == EEXIST)
        return err_set_field(b->w->err, ST_CONFLICT, NULL, "name", "There is a backup of this name.");
    if (access(b->path, F_OK) != 0)
        return files_fail("make", b->path, b->w->err);
    *ret_bytes = (uint64_t)now.st_size;
    return files_sync_folder_of(b->path, b->w->err);
}

static enum status make_backup(struct work *w, struct slice name, struct backup_rep *rep)
{
    struct backup b = {.w = w, .until_ms = clock_ms() + BACKUP_MS_MAX};
    uint64_t began = clock_ms();
    int64_t revision = 0;
    enum status st = find_places(&b, name);

    if (st != ST_OK)
        return st;
    st = make_partial(&b);
    if (st == ST_OK) /* the transaction begins to read here, and this state is what is copied */
        st = store_number(w->s, SQL_REVISION, NO_BINDS, 0, &revision, w->err);
    if (st == ST_OK)
        st = write_copy(&b);
    if (st == ST_OK)
        st = give_name(&b, &rep->bytes);
    (void)unlink(b.partial);
    if (st != ST_OK)
        return st;
    rep->path = arena_copy(w->a, slice_of(b.path), &st);
    rep->revision = (uint64_t)revision;
    rep->ms = clock_ms() - began;
    return st;
}

static enum status note_backup(struct work *w, struct slice actor, const struct backup_rep *rep)
{
    size_t name = rep->path.n;
    struct backup_rep before = {.path = rep->path, .ms = rep->ms};
    struct audit_note note = {.actor = actor, .action = "backup.create"};

    while (name > 0 && rep->path.p[name - 1] != '/')
        name--;
    note.object = (struct slice){rep->path.p + name, rep->path.n - name};
    return audit_change(w, &note, &backup_rep_desc, &before, rep);
}

/* Comes twice: to a reader, which copies, and then, with the answer filled, to the writer, which writes the entry. */
enum status op_backup(struct work *w, const void *in, void *out)
{
    const struct backup_req *req = in;
    struct backup_rep *rep = out;
    enum status st = rep->path.n == 0 ? make_backup(w, req->name, rep) : ST_OK;

    if (st != ST_OK)
        return st;
    return w->s->writer ? note_backup(w, req->actor_id, rep) : ST_PENDING;
}
