#include "meterd/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "meterd/files.h"
#include "meterd/schema/schema.h"
#include "services/clock.h"

#define BUSY_TIMEOUT_MS 5000 /* a reader may hold the log's beginning for a moment while it is reset */
#define INTERRUPT_EVERY 4000 /* steps of SQLite's machine between two looks at the clock */

#define SQL_TEXT(name, text) text,
static const char *const sql_texts[] = {SQL_STATEMENTS(SQL_TEXT)};

/* ---- errors --------------------------------------------------------------------------------------------------------
 */

static bool is_space(int rc)
{
    /* The shared-memory file of the log grows as well, and says so in other words when the disk is full. */
    return rc == SQLITE_FULL || rc == SQLITE_IOERR_SHMSIZE || rc == SQLITE_IOERR_SHMMAP || rc == SQLITE_IOERR_SHMOPEN;
}

static void break_store(struct store *s, enum store_broken how)
{
    if (how > s->broken)
        s->broken = how;
}

enum status store_fail(struct store *s, int rc, struct err *err)
{
    const char *why = sqlite3_errmsg(s->db);
    int base = rc & 0xff;

    if (is_space(rc)) {
        break_store(s, STORE_RETRY);
        return err_set(err, ST_UNAVAILABLE, "database: no space left (%s)", why);
    }
    if (base == SQLITE_BUSY || base == SQLITE_LOCKED) {
        break_store(s, STORE_RETRY);
        return err_set(err, ST_UNAVAILABLE, "database: busy (%s)", why);
    }
    if (base == SQLITE_NOMEM) {
        break_store(s, STORE_RETRY);
        return err_set(err, ST_NO_MEMORY, "database: out of memory");
    }
    if (base == SQLITE_INTERRUPT)
        return err_set(err, ST_TIMEOUT, "the query took too long; ask for less");
    if (base == SQLITE_IOERR || base == SQLITE_CORRUPT || base == SQLITE_NOTADB || base == SQLITE_CANTOPEN) {
        break_store(s, STORE_DEAD);
        return err_set(err, ST_INTERNAL, "database: %s (SQLite %d)", why, rc);
    }
    return err_set(err, ST_INTERNAL, "database: %s (SQLite %d)", why, rc);
}

/* ---- statements ----------------------------------------------------------------------------------------------------
 */

static enum status prepared(struct store *s, enum sql sql, sqlite3_stmt **ret_q, struct err *err)
{
    int rc = SQLITE_OK;

    if (!s->stmts[sql])
        rc = sqlite3_prepare_v3(s->db, sql_texts[sql], -1, SQLITE_PREPARE_PERSISTENT, &s->stmts[sql], NULL);
    if (rc != SQLITE_OK)
        return store_fail(s, rc, err);
    *ret_q = s->stmts[sql];
    return ST_OK;
}

static int bind_one(sqlite3_stmt *q, int at, const struct bind *b)
{
    /* An empty slice may have no address, which SQLite would take for NULL. */
    const char *p = b->s.p ? b->s.p : "";

    switch (b->kind) {
    case BIND_I64: return sqlite3_bind_int64(q, at, b->i);
    case BIND_TEXT: return sqlite3_bind_text(q, at, p, (int)b->s.n, SQLITE_STATIC);
    case BIND_BLOB: return sqlite3_bind_blob(q, at, p, (int)b->s.n, SQLITE_STATIC);
    case BIND_NULL: return sqlite3_bind_null(q, at);
    case BIND_END: break;
    }
    return SQLITE_MISUSE;
}

static enum status begin_statement(struct store *s, enum sql sql, const struct bind *binds, sqlite3_stmt **ret_q,
                                   struct err *err)
{
    sqlite3_stmt *q = NULL;
    enum status st = prepared(s, sql, &q, err);
    int i, rc = SQLITE_OK;

    if (st != ST_OK)
        return st;
    for (i = 0; binds[i].kind != BIND_END && rc == SQLITE_OK; i++)
        rc = bind_one(q, i + 1, &binds[i]);
    if (rc != SQLITE_OK)
        return store_fail(s, rc, err);
    *ret_q = q;
    return ST_OK;
}

enum status store_next(struct store *s, sqlite3_stmt **q, struct err *err)
{
    enum status st = ST_OK;
    int rc = sqlite3_step(*q);

    if (rc == SQLITE_ROW)
        return ST_OK;
    if (rc != SQLITE_DONE)
        st = store_fail(s, rc, err);
    store_reset(q);
    return st;
}

enum status store_row(struct store *s, enum sql sql, const struct bind *binds, sqlite3_stmt **ret_q, struct err *err)
{
    sqlite3_stmt *q = NULL;
    enum status st = begin_statement(s, sql, binds, &q, err);

    if (st == ST_OK)
        st = store_next(s, &q, err);
    *ret_q = st == ST_OK ? q : NULL;
    return st;
}

enum status store_run(struct store *s, enum sql sql, const struct bind *binds, struct err *err)
{
    sqlite3_stmt *q = NULL;
    enum status st = store_row(s, sql, binds, &q, err);

    store_reset(&q);
    return st;
}

void store_reset(sqlite3_stmt **q)
{
    if (*q)
        sqlite3_reset(*q);
    *q = NULL;
}

enum status store_number(struct store *s, enum sql sql, const struct bind *binds, int64_t fallback, int64_t *ret,
                         struct err *err)
{
    sqlite3_stmt *q = NULL;
    enum status st = store_row(s, sql, binds, &q, err);

    if (st == ST_OK)
        *ret = q && !col_is_null(q, 0) ? col_i64(q, 0) : fallback;
    store_reset(&q);
    return st;
}

int64_t store_changed(struct store *s)
{
    return sqlite3_changes(s->db);
}

int64_t col_i64(sqlite3_stmt *q, int column)
{
    return sqlite3_column_int64(q, column);
}

uint64_t col_u64(sqlite3_stmt *q, int column)
{
    sqlite3_int64 v = sqlite3_column_int64(q, column);

    return v > 0 ? (uint64_t)v : 0;
}

bool col_is_null(sqlite3_stmt *q, int column)
{
    return sqlite3_column_type(q, column) == SQLITE_NULL;
}

enum status col_text(sqlite3_stmt *q, int column, struct arena *a, struct slice *ret, struct err *err)
{
    const void *p = sqlite3_column_blob(q, column);
    size_t n = (size_t)sqlite3_column_bytes(q, column);
    char *copy;

    if (!p || n == 0) {
        *ret = (struct slice){NULL, 0};
        return ST_OK;
    }
    copy = arena_strndup(a, p, n);
    if (!copy)
        return err_set(err, ST_NO_MEMORY, "no memory for a row");
    *ret = (struct slice){copy, n};
    return ST_OK;
}

/* ---- transactions --------------------------------------------------------------------------------------------------
 */

void store_forget_accounts(struct store *s)
{
    if (s->n_accounts > 0)
        memset(s->accounts, 0, sizeof(s->accounts));
    s->n_accounts = 0;
}

void store_forget_keys(struct store *s)
{
    memset(s->keys, 0, sizeof(s->keys));
}

static void forget_work(struct store *s)
{
    changes_undo(&s->changes, (struct change_mark){0, 0});
    memset(&s->counts, 0, sizeof(s->counts));
    s->n_positions = 0;
    store_forget_accounts(s);
}

enum status store_revision_in(sqlite3 *db, uint64_t *ret, struct err *err)
{
    sqlite3_stmt *q = NULL;
    enum status st = ST_OK;

    if (sqlite3_prepare_v2(db, sql_texts[SQL_REVISION], -1, &q, NULL) == SQLITE_OK && sqlite3_step(q) == SQLITE_ROW)
        *ret = col_u64(q, 0);
    else
        st = err_set(err, ST_INTERNAL, "database: %s", sqlite3_errmsg(db));
    sqlite3_finalize(q);
    return st;
}

static enum status load_chain(struct store *s, struct err *err)
{
    sqlite3_stmt *q = NULL;
    enum status st = store_row(s, SQL_CHAIN_HEAD, NO_BINDS, &q, err);

    if (st == ST_OK && q) {
        s->chain.id = col_u64(q, 0);
        if (sqlite3_column_bytes(q, 1) == CHAIN_BYTES)
            memcpy(s->chain.hash, sqlite3_column_blob(q, 1), CHAIN_BYTES);
    }
    store_reset(&q);
    return st;
}

/* The counters as the database knows them at the start. */
static enum status load_counters(struct store *s, struct err *err)
{
    int64_t revision = 0;
    enum status st = store_number(s, SQL_REVISION, NO_BINDS, 0, &revision, err);

    if (st != ST_OK)
        return st;
    s->revision = (uint64_t)revision;
    return load_chain(s, err);
}

/* What was remembered may have been made by what is taken back now. */
static void forget_known(struct store *s)
{
    memset(s->payers, 0, sizeof(s->payers));
    store_forget_keys(s);
    s->holds.known = false;
    pricing_forget(&s->prices);
}

enum status store_begin(struct store *s, struct err *err)
{
    s->now_ms = clock_wall_ms();
    s->clock_ms = clock_ms();
    forget_work(s);
    s->begin_revision = s->revision;
    s->begin_chain = s->chain;
    return store_run(s, s->writer ? SQL_BEGIN_WRITE : SQL_BEGIN_READ, NO_BINDS, err);
}

void store_rollback(struct store *s)
{
    /* Some errors have rolled back already. */
    if (!sqlite3_get_autocommit(s->db))
        store_run(s, SQL_ROLLBACK, NO_BINDS, NULL);
    forget_work(s);
    forget_known(s);
    s->revision = s->begin_revision;
    s->chain = s->begin_chain;
}

enum status store_commit(struct store *s, struct err *err)
{
    enum status st;

    if (sqlite3_get_autocommit(s->db))
        st = err_set(err, ST_UNAVAILABLE, "database: the transaction was lost");
    else
        st = store_run(s, SQL_COMMIT, NO_BINDS, err);
    if (st != ST_OK)
        store_rollback(s);
    return st;
}

enum status store_savepoint(struct store *s, struct store_mark *ret_mark, struct err *err)
{
    *ret_mark = (struct store_mark){s->revision, s->chain, changes_mark(&s->changes), s->counts};
    return store_run(s, SQL_SAVEPOINT, NO_BINDS, err);
}

enum status store_release(struct store *s, struct err *err)
{
    return store_run(s, SQL_RELEASE, NO_BINDS, err);
}

void store_undo(struct store *s, const struct store_mark *mark)
{
    if (!sqlite3_get_autocommit(s->db)) {
        store_run(s, SQL_UNDO, NO_BINDS, NULL);
        store_run(s, SQL_RELEASE, NO_BINDS, NULL);
    }
    /* All that was in memory had been written before the savepoint. */
    store_forget_accounts(s);
    forget_known(s);
    s->revision = mark->revision;
    s->chain = mark->chain;
    s->counts = mark->counts;
    changes_undo(&s->changes, mark->changes);
}

uint64_t store_next_revision(struct store *s)
{
    return ++s->revision;
}

void store_forget_changes(struct store *s)
{
    changes_undo(&s->changes, (struct change_mark){0, 0});
}

/* SQLite's own checkpoint ignores errors and would sync again after a failed sync; ours does not. */
enum status store_checkpoint(struct store *s, bool idle, struct err *err)
{
    int rc, log = 0, done = 0;

    if (s->wal_pages == 0 || (!idle && s->wal_pages < STORE_CHECKPOINT_PAGES))
        return ST_OK;
    sqlite3_busy_timeout(s->db, 0); /* a reader in the way is no reason to wait: the next time will do */
    rc = sqlite3_wal_checkpoint_v2(s->db, NULL, idle ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE, &log,
                                   &done);
    sqlite3_busy_timeout(s->db, BUSY_TIMEOUT_MS);
    if (rc == SQLITE_OK && (idle || log == done))
        s->wal_pages = 0;
    if (rc == SQLITE_OK || (rc & 0xff) == SQLITE_BUSY || (rc & 0xff) == SQLITE_LOCKED)
        return ST_OK;
    return store_fail(s, rc, err);
}

/* ---- opening -------------------------------------------------------------------------------------------------------
 */

static int on_commit_log(void *ctx, sqlite3 *db, const char *name, int pages)
{
    struct store *s = ctx;

    (void)db;
    (void)name;
    s->wal_pages = pages;
    return SQLITE_OK;
}

static int on_progress(void *ctx)
{
    const struct store *s = ctx;

    return s->interrupt_at_ms != 0 && clock_ms() >= s->interrupt_at_ms;
}

/* Made by us with its mode, because SQLite would make it readable for everybody; its other files copy the mode. */
static enum status make_file(const char *path, struct err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0 && errno == EEXIST)
        return ST_OK;
    if (fd < 0)
        return files_fail("open", path, err);
    close(fd);
    return files_sync_folder_of(path, err);
}

static enum status pragma(struct store *s, const char *sql, struct err *err)
{
    int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? ST_OK : store_fail(s, rc, err);
}

static enum status connect(struct store *s, const char *path, const char *vfs, struct err *err)
{
    int flags = SQLITE_OPEN_NOMUTEX | (s->writer ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY);
    int rc = sqlite3_open_v2(path, &s->db, flags, vfs);
    char cache[64];

    if (rc != SQLITE_OK)
        return err_set(err, ST_INTERNAL, "DB_PATH: cannot open %s: %s", path, sqlite3_errstr(rc));
    sqlite3_extended_result_codes(s->db, 1);
    sqlite3_busy_timeout(s->db, BUSY_TIMEOUT_MS);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    snprintf(cache, sizeof(cache), "PRAGMA cache_size=-%d", s->writer ? STORE_CACHE_KIB : STORE_READER_CACHE_KIB);
    return pragma(s, cache, err);
}

static enum status make_store(bool writer, struct store **ret, struct err *err)
{
    struct store *s = calloc(1, sizeof(*s));

    if (!s)
        return err_set(err, ST_NO_MEMORY, "no memory for the database");
    s->lock_fd = -1;
    s->writer = writer;
    changes_init(&s->changes);
    *ret = s;
    return ST_OK;
}

struct opening {
    const char *path, *vfs; /* vfs NULL = the default */
    const struct migration *migrations;
};

static enum status open_writer(struct store *s, const struct opening *o, struct err *err)
{
    char limit[64];
    enum status st = files_make_folders(o->path, err);

    if (st == ST_OK)
        st = files_lock(o->path, &s->lock_fd, err);
    if (st == ST_OK)
        st = make_file(o->path, err);
    if (st == ST_OK)
        st = connect(s, o->path, o->vfs, err);
    if (st != ST_OK)
        return st;
    snprintf(limit, sizeof(limit), "PRAGMA journal_size_limit=%d", STORE_WAL_KEEP_BYTES);
    /* Looked at before anything is written: another program's file keeps its journal mode. */
    st = schema_check(s->db, o->migrations, err);
    if (st == ST_OK)
        st = pragma(s,
                    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
                    "PRAGMA wal_autocheckpoint=0; PRAGMA temp_store=MEMORY;",
                    err);
    if (st == ST_OK)
        st = pragma(s, limit, err);
    if (st == ST_OK)
        st = schema_migrate(s->db, o->migrations, err);
    if (st == ST_OK)
        sqlite3_wal_hook(s->db, on_commit_log, s);
    s->wal_pages = 1; /* what an earlier process left in the log is not known yet */
    return st;
}

static enum status open_with(const struct opening *o, struct store **ret, struct err *err)
{
    struct store *s = NULL;
    enum status st = make_store(true, &s, err);

    if (st != ST_OK || !s)
        return st;
    st = open_writer(s, o, err);
    if (st != ST_OK) {
        store_close(s);
        return st;
    }
    *ret = s;
    return ST_OK;
}

enum status store_open_with(const char *path, const struct migration *migrations, struct store **ret, struct err *err)
{
    struct opening o = {.path = path, .migrations = migrations};

    return open_with(&o, ret, err);
}

enum status store_open_on(const char *path, const char *vfs, struct store **ret, struct err *err)
{
    struct opening o = {.path = path, .vfs = vfs, .migrations = schema_migrations};
    struct store *s = NULL;
    enum status st = open_with(&o, &s, err);

    if (st != ST_OK || !s)
        return st;
    st = load_counters(s, err);
    if (st != ST_OK) {
        store_close(s);
        return st;
    }
    *ret = s;
    return ST_OK;
}

enum status store_open(const char *path, struct store **ret, struct err *err)
{
    return store_open_on(path, NULL, ret, err);
}

enum status store_open_reader(const char *path, struct store **ret, struct err *err)
{
    struct store *s = NULL;
    enum status st = make_store(false, &s, err);

    if (st != ST_OK || !s)
        return st;
    st = connect(s, path, NULL, err);
    if (st == ST_OK)
        st = pragma(s, "PRAGMA query_only=ON; PRAGMA wal_autocheckpoint=0; PRAGMA temp_store=MEMORY;", err);
    if (st != ST_OK) {
        store_close(s);
        return st;
    }
    /* Only the writer checkpoints: two connections that do can damage the file (SQLite before 3.51.3). */
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_progress_handler(s->db, INTERRUPT_EVERY, on_progress, s);
    *ret = s;
    return ST_OK;
}

void store_close(struct store *s)
{
    int i;

    if (!s)
        return;
    for (i = 0; i < SQL_COUNT; i++)
        sqlite3_finalize(s->stmts[i]);
    sqlite3_close(s->db);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    changes_fini(&s->changes);
    seal_key_fini(&s->seal);
    free(s);
}
