#include "meterd/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "meterd/batch.h"
#include "meterd/hold_rows.h"
#include "meterd/snapshot.h"
#include "services/clock.h"
#include "services/settings.h"
#include "services/svc.h"

#define COPY_BYTES (1024u * 1024u)
#define ARENA_MAX (256u * 1024u * 1024u)
#define REVISIONS_APART 1000000u /* more than a follower may be behind without reading everything anew */
#define REVISIONS_UNKNOWN UINT64_C(1000000000) /* the old database cannot say how far it was */

struct restore {
    const char *db, *file;
    char copy[STORE_PATH_MAX + 32];
    char log[STORE_PATH_MAX + 16], kept_log[STORE_PATH_MAX + 96]; /* of the old database */
    int lock;
    uint64_t revision; /* of the old database */
    struct restore_report *report;
    struct err *err;
};

static void with_ending(const char *path, const char *ending, char *to, size_t size)
{
    snprintf(to, size, "%s%s", path, ending);
}

static void remove_with(const char *path, const char *ending)
{
    char name[STORE_PATH_MAX + 96];

    with_ending(path, ending, name, sizeof(name));
    (void)unlink(name);
}

static void remove_copy(const struct restore *r)
{
    static const char *const endings[] = {"", "-wal", "-shm", "-journal", ".lock"};
    size_t i;

    for (i = 0; i < sizeof(endings) / sizeof(endings[0]); i++)
        remove_with(r->copy, endings[i]);
}

/* ---- the backup's copy --------------------------------------------------------------------------------------------
 */

/* A file with a log beside it is a database that somebody uses, or half of one. */
static enum status check_file(const struct restore *r)
{
    char log[STORE_PATH_MAX + 16];
    struct stat file, db, other;

    if (strlen(r->file) >= STORE_PATH_MAX || strlen(r->db) >= STORE_PATH_MAX)
        return err_set(r->err, ST_BAD_REQUEST, "the path is too long");
    if (stat(r->file, &file) != 0 || !S_ISREG(file.st_mode))
        return err_set(r->err, ST_NOT_FOUND, "%s is not a file", r->file);
    if (stat(r->db, &db) == 0 && db.st_ino == file.st_ino && db.st_dev == file.st_dev)
        return err_set(r->err, ST_BAD_REQUEST, "%s is the database itself", r->file);
    with_ending(r->file, "-wal", log, sizeof(log));
    if (stat(log, &other) == 0 && other.st_size > 0)
        return err_set(r->err, ST_BAD_REQUEST, "%s has a log beside it, so it is no backup: use `routerctl backup`",
                       r->file);
    return ST_OK;
}

static enum status copy_bytes(const struct restore *r, int from, int to)
{
    char *bytes = malloc(COPY_BYTES);
    enum status st = bytes ? ST_OK : err_set(r->err, ST_NO_MEMORY, "no memory for the copy");
    ssize_t n = 1;

    while (st == ST_OK && n > 0) {
        n = read(from, bytes, COPY_BYTES);
        if (n < 0)
            st = files_fail("read", r->file, r->err);
        if (n > 0 && write(to, bytes, (size_t)n) != n)
            st = files_fail("write", r->copy, r->err);
    }
    free(bytes);
    if (st == ST_OK && fsync(to) != 0)
        st = files_fail("sync", r->copy, r->err);
    return st;
}

static enum status make_copy(const struct restore *r)
{
    int from = open(r->file, O_RDONLY | O_CLOEXEC), to;
    enum status st;

    if (from < 0)
        return files_fail("open", r->file, r->err);
    remove_copy(r); /* of a restore that was killed */
    to = open(r->copy, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    st = to < 0 ? files_fail("make", r->copy, r->err) : copy_bytes(r, from, to);
    if (to >= 0)
        close(to);
    close(from);
    return st;
}

static enum status check_ledger(struct store *s, struct restore *r)
{
    struct ledger_verify_req req = {0};
    struct ledger_verify_rep rep = {0};
    struct arena arena;
    struct work w = {.s = s, .a = &arena, .err = r->err};
    enum status st;

    arena_init(&arena, ARENA_MAX);
    st = batch_single(&w, op_ledger_verify, &req, &rep);
    if (st == ST_OK && !rep.ok)
        st = err_set(r->err, ST_BAD_REQUEST, "the ledger in %s does not agree: " SLICE_FMT ": " SLICE_FMT, r->file,
                     SLICE_ARG(rep.problems.items[0].account), SLICE_ARG(rep.problems.items[0].problem));
    r->report->calls = rep.requests;
    arena_fini(&arena);
    return st;
}

/* Its revisions come above all that were ever published, its leases onto this machine's clock. */
static enum status adapt(struct store *s, struct restore *r)
{
    uint64_t above = (s->revision > r->revision ? s->revision : r->revision) + REVISIONS_APART;
    struct work w = {.s = s, .err = r->err};
    enum status st = store_begin(s, r->err);

    if (st == ST_OK)
        st = store_run(s, SQL_REVISION_LIFT, BINDS(B_I(above)), r->err);
    if (st == ST_OK)
        st = hold_rows_restart(&w, clock_ms());
    return st == ST_OK ? store_commit(s, r->err) : st;
}

/* Brings the copy to this program's shape, revisions and clock. */
static enum status lift(struct restore *r)
{
    struct store *s = NULL;
    enum status st = store_open(r->copy, &s, r->err);

    if (st != ST_OK || !s)
        return st;
    st = adapt(s, r);
    if (st == ST_OK)
        st = check_ledger(s, r);
    if (st == ST_OK)
        st = store_checkpoint(s, true, r->err);
    store_close(s);
    return st;
}

static enum status check_copy(const struct restore *r)
{
    sqlite3 *db = NULL;
    enum status st = snapshot_open(r->copy, r->file, &db, r->err);

    if (st == ST_OK)
        st = snapshot_check(db, r->file, r->err);
    sqlite3_close(db);
    return st;
}

/* ---- the old database ---------------------------------------------------------------------------------------------
 */

static enum status link_if_there(const char *from, const char *to, struct err *err)
{
    struct stat there;

    if (stat(from, &there) != 0)
        return ST_OK;
    return link(from, to) == 0 ? ST_OK : files_fail("keep the old database as", to, err);
}

/* First of all, with its log: SQLite itself removes the log of a file that it finds too short. */
static enum status keep_old(struct restore *r)
{
    char when[32];
    struct stat there;
    struct tm utc;
    time_t now = time(NULL);
    enum status st;

    if (stat(r->db, &there) != 0)
        return ST_OK;
    gmtime_r(&now, &utc);
    strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", &utc);
    snprintf(r->report->kept, sizeof(r->report->kept), "%s.before-restore-%s", r->db, when);
    with_ending(r->db, "-wal", r->log, sizeof(r->log));
    with_ending(r->report->kept, "-wal", r->kept_log, sizeof(r->kept_log));
    st = link_if_there(r->db, r->report->kept, r->err);
    if (st == ST_OK)
        st = link_if_there(r->log, r->kept_log, r->err);
    return st == ST_OK ? files_sync_folder_of(r->db, r->err) : st;
}

/* What is in its log goes into its file, so that one name is all of it; one that is damaged keeps its log. */
static void settle_old(struct restore *r)
{
    sqlite3 *db = NULL;
    struct stat log;

    if (!r->report->kept[0])
        return;
    r->revision = REVISIONS_UNKNOWN;
    if (sqlite3_open_v2(r->db, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) == SQLITE_OK &&
        sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) == SQLITE_OK)
        (void)store_revision_in(db, &r->revision, NULL);
    sqlite3_close(db);
    if (stat(r->kept_log, &log) == 0 && log.st_size == 0)
        (void)unlink(r->kept_log);
}

static void let_go_of_old(struct restore *r)
{
    if (!r->report->kept[0])
        return;
    (void)!link(r->kept_log, r->log); /* it may still be there, or never have been */
    (void)unlink(r->kept_log);
    (void)unlink(r->report->kept);
    r->report->kept[0] = '\0';
}

/* A log that was left beside the new file would be taken for its own: it goes first. */
static enum status put_in_place(const struct restore *r)
{
    remove_with(r->db, "-wal");
    remove_with(r->db, "-shm");
    remove_with(r->db, "-journal");
    if (rename(r->copy, r->db) != 0)
        return files_fail("put in place", r->db, r->err);
    return files_sync_folder_of(r->db, r->err);
}

/* ---- all of it ----------------------------------------------------------------------------------------------------
 */

static enum status exchange(struct restore *r)
{
    struct stat there;
    enum status st = make_copy(r);

    if (st == ST_OK)
        st = check_copy(r);
    if (st == ST_OK)
        st = keep_old(r);
    if (st == ST_OK)
        settle_old(r);
    if (st == ST_OK)
        st = lift(r);
    if (st == ST_OK && stat(r->copy, &there) == 0)
        r->report->bytes = (uint64_t)there.st_size;
    if (st == ST_OK)
        st = put_in_place(r);
    else
        let_go_of_old(r);
    remove_copy(r);
    return st;
}

enum status restore_run(const char *db_path, const char *file, struct restore_report *ret, struct err *err)
{
    struct restore r = {.db = db_path, .file = file, .lock = -1, .report = ret, .err = err};
    enum status st;

    memset(ret, 0, sizeof(*ret));
    st = check_file(&r);
    with_ending(db_path, ".restoring", r.copy, sizeof(r.copy));
    if (st == ST_OK)
        st = files_make_folders(db_path, err);
    if (st == ST_OK)
        st = files_lock(db_path, &r.lock, err);
    if (st != ST_OK)
        return st;
    st = exchange(&r);
    close(r.lock);
    return st;
}

int restore_main(int argc, char **argv)
{
    struct restore_report report;
    struct settings settings;
    struct err err = {.status = ST_OK};
    enum status st;

    if (argc != 3) {
        fprintf(stderr, "usage: meterd --restore FILE\n");
        return SVC_EXIT_SETTINGS;
    }
    if (settings_load(&settings, SET_M, getenv, &err) != ST_OK) {
        fprintf(stderr, "meterd: %s\n", err.text);
        return SVC_EXIT_SETTINGS;
    }
    st = restore_run(settings.db_path, argv[2], &report, &err);
    if (st == ST_OK) {
        fprintf(stdout, "restored  %s: %llu calls, %llu bytes, from %s\n", settings.db_path,
                (unsigned long long)report.calls, (unsigned long long)report.bytes, argv[2]);
        fprintf(stdout, "kept      %s\n", report.kept[0] ? report.kept : "nothing: there was no database");
    } else {
        fprintf(stderr, "meterd: %s\n", err.text[0] ? err.text : status_text(st));
    }
    settings_fini(&settings);
    return st == ST_OK ? SVC_EXIT_OK : SVC_EXIT_START;
}
