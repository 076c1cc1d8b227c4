/* Migrations: killed at any write or any statement, the file is before or after, and the next start finishes the work.
 */
#include "tests/unit/meter_fixture.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* ---- a file system that kills its process at the n-th write, sync or truncation -------------------------------------
 */

static int kill_at, seen, fail_sync; /* this is a test, and a child of its own for every point */

struct shim_file {
    sqlite3_file base;
    sqlite3_file *real;
};

static void maybe_die(void)
{
    if (kill_at && ++seen == kill_at)
        raise(SIGKILL);
}

static sqlite3_file *real_of(sqlite3_file *f)
{
    return ((struct shim_file *)f)->real;
}

static int shim_close(sqlite3_file *f)
{
    sqlite3_file *real = real_of(f);
    int rc = real->pMethods ? real->pMethods->xClose(real) : SQLITE_OK;

    free(real);
    return rc;
}
static int shim_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
    return real_of(f)->pMethods->xRead(real_of(f), p, n, at);
}
static int shim_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
    maybe_die();
    return real_of(f)->pMethods->xWrite(real_of(f), p, n, at);
}
static int shim_truncate(sqlite3_file *f, sqlite3_int64 n)
{
    maybe_die();
    return real_of(f)->pMethods->xTruncate(real_of(f), n);
}
static int shim_sync(sqlite3_file *f, int flags)
{
    maybe_die();
    if (fail_sync)
        return SQLITE_IOERR_FSYNC;
    return real_of(f)->pMethods->xSync(real_of(f), flags);
}
static int shim_size(sqlite3_file *f, sqlite3_int64 *n)
{
    return real_of(f)->pMethods->xFileSize(real_of(f), n);
}
static int shim_lock(sqlite3_file *f, int how)
{
    return real_of(f)->pMethods->xLock(real_of(f), how);
}
static int shim_unlock(sqlite3_file *f, int how)
{
    return real_of(f)->pMethods->xUnlock(real_of(f), how);
}
static int shim_reserved(sqlite3_file *f, int *out)
{
    return real_of(f)->pMethods->xCheckReservedLock(real_of(f), out);
}
static int shim_control(sqlite3_file *f, int op, void *arg)
{
    return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}
static int shim_sector(sqlite3_file *f)
{
    return real_of(f)->pMethods->xSectorSize(real_of(f));
}
static int shim_traits(sqlite3_file *f)
{
    return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}
static int shim_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **p)
{
    return real_of(f)->pMethods->xShmMap(real_of(f), page, size, extend, p);
}
static int shim_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
    return real_of(f)->pMethods->xShmLock(real_of(f), at, n, flags);
}
static void shim_shm_barrier(sqlite3_file *f)
{
    real_of(f)->pMethods->xShmBarrier(real_of(f));
}
static int shim_shm_unmap(sqlite3_file *f, int drop)
{
    return real_of(f)->pMethods->xShmUnmap(real_of(f), drop);
}

static const sqlite3_io_methods shim_methods = {
    .iVersion = 2,
    .xClose = shim_close,
    .xRead = shim_read,
    .xWrite = shim_write,
    .xTruncate = shim_truncate,
    .xSync = shim_sync,
    .xFileSize = shim_size,
    .xLock = shim_lock,
    .xUnlock = shim_unlock,
    .xCheckReservedLock = shim_reserved,
    .xFileControl = shim_control,
    .xSectorSize = shim_sector,
    .xDeviceCharacteristics = shim_traits,
    .xShmMap = shim_shm_map,
    .xShmLock = shim_shm_lock,
    .xShmBarrier = shim_shm_barrier,
    .xShmUnmap = shim_shm_unmap,
};

static int shim_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out_flags)
{
    struct shim_file *shim = (struct shim_file *)f;
    sqlite3_vfs *real = vfs->pAppData;
    int rc;

    shim->real = calloc(1, (size_t)real->szOsFile);
    rc = real->xOpen(real, name, shim->real, flags, out_flags);
    shim->base.pMethods = rc == SQLITE_OK ? &shim_methods : NULL;
    if (rc != SQLITE_OK)
        free(shim->real);
    return rc;
}

static void use_shim(void)
{
    static sqlite3_vfs shim;
    sqlite3_vfs *real = sqlite3_vfs_find(NULL);

    shim = *real;
    shim.zName = "shim";
    shim.pAppData = real;
    shim.szOsFile = sizeof(struct shim_file);
    shim.pNext = NULL;
    shim.xOpen = shim_open;
    sqlite3_vfs_register(&shim, 1);
}

/* ---- two migrations of the tests' own: the real first one and a second with data
 * ------------------------------------- */

static const char *const second[] = {
    "ALTER TABLE plan ADD COLUMN colour TEXT",
    "CREATE TABLE extra(id INTEGER PRIMARY KEY, blob BLOB) STRICT",
    "INSERT INTO extra(blob) SELECT randomblob(3000) FROM (SELECT 1 UNION SELECT 2 UNION SELECT 3), sqlite_schema",
    "UPDATE plan SET colour = name",
    NULL,
};
static const struct migration only_first[] = {{1, schema_m0001, NULL}, {0, NULL, NULL}};
static const struct migration both[] = {{1, schema_m0001, NULL}, {2, second, NULL}, {0, NULL, NULL}};

/* Runs the migrations in a child that is killed at the point. Returns whether it was. */
static bool migrate_and_die(struct meter *m, const struct migration *migrations, int point)
{
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        struct store *s = NULL;

        use_shim();
        kill_at = point;
        _exit(store_open_with(m->path, migrations, &s, NULL) == ST_OK ? 0 : 1);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status))
        return true;
    assert_int_equal(WEXITSTATUS(status), 0);
    return false;
}

static void check_before_or_after(struct meter *m, int version)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *q = NULL;
    int found, tables;

    assert_int_equal(sqlite3_open_v2(m->path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &q, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    found = sqlite3_column_int(q, 0);
    sqlite3_finalize(q);
    assert_int_equal(sqlite3_prepare_v2(db,
                                        "SELECT count(*) FROM sqlite_schema WHERE name IN ('plan', 'extra', 'hold')",
                                        -1, &q, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    tables = sqlite3_column_int(q, 0);
    sqlite3_finalize(q);
    sqlite3_close(db);
    assert_true(found == version || found == version - 1);
    assert_int_equal(tables, found);
}

static void finish(struct meter *m, const struct migration *migrations, int version)
{
    if (store_open_with(m->path, migrations, &m->store, &m->err) != ST_OK)
        fail_msg("after the kill: %s", m->err.text);
    assert_int_equal(meter_number(m, "PRAGMA user_version"), version);
    assert_int_equal(meter_number(m, "PRAGMA application_id"), SCHEMA_APPLICATION_ID);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM account"), 3);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"), 1);
    meter_close(m);
}

static void killed_while_the_database_is_made(void **state)
{
    struct meter m;
    int point, killed = 0;
    bool died = true;

    (void)state;
    for (point = 1; died; point++) {
        meter_folder(&m);
        died = migrate_and_die(&m, only_first, point);
        killed += died;
        check_before_or_after(&m, 1);
        finish(&m, only_first, 1);
        meter_remove(&m);
    }
    assert_true(killed > 10);
}

static void killed_while_a_database_is_brought_forward(void **state)
{
    struct meter m;
    int point, killed = 0;
    bool died = true;

    (void)state;
    for (point = 1; died; point++) {
        meter_folder(&m);
        assert_int_equal(store_open_with(m.path, only_first, &m.store, &m.err), ST_OK);
        meter_sql(&m, "INSERT INTO plan VALUES ('free', 1, 2, 3, 4, '', 1)");
        meter_close(&m);
        died = migrate_and_die(&m, both, point);
        killed += died;
        check_before_or_after(&m, 2);
        finish(&m, both, 2);
        meter_remove(&m);
    }
    assert_true(killed > 10);
}

/* ---- a database of the first shape, with credit and calls in it
 * --------------------------------------------------- */

static const char first_ledger[] =
    "INSERT INTO plan VALUES ('free', 1, 2, 3, 4, '', 1);"
    "INSERT INTO user VALUES (1, 'usr_1', 'a@x.test', 'A', 'user', 'free', 'active', 'h', 1, 2);"
    "INSERT INTO account(id, user_num, kind, balance_nano, spent_nano) VALUES (4, 1, 'available', 700, 300);"
    "INSERT INTO entry VALUES (1, 3, 4, 'signup', 1000, 1000, 5), (2, 3, 3, 'signup', -1000, -1000, 5);"
    "INSERT INTO credit_grant VALUES (3, 4, 'signup', 'usr_1', NULL, '', 1000, 1000, 1, 5);"
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300) "
    "INSERT INTO usage SELECT 3 + i, 'req_' || i, 1, 'k', 'm', 'p', 'm', 'e', 0, 'ok', 200, 1, 0, 0, 0, 1, 0, 0, 1, 1, "
    "0, 1000 - i, 0, 5, 1, 1, 1 FROM n;"
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300) "
    "INSERT INTO entry SELECT 1 + 2 * i, 3 + i, 4, 'usage', -1, 1000 - i, 5 FROM n UNION ALL "
    "SELECT 2 + 2 * i, 3 + i, 1, 'usage', 1, i, 5 FROM n ORDER BY 1;"
    "UPDATE account SET balance_nano = 300 WHERE kind = 'revenue';"
    "UPDATE account SET balance_nano = -1000 WHERE kind = 'grants';"
    "INSERT INTO position VALUES ('out1', 300, 304, 5);";

static void make_first_ledger(struct meter *m)
{
    meter_folder(m);
    assert_int_equal(store_open_with(m->path, only_first, &m->store, &m->err), ST_OK);
    meter_sql(m, first_ledger);
    meter_close(m);
}

static void entries_of_an_older_database_get_their_chain(void **state)
{
    struct ledger_verify_rep rep;
    struct usage_event e;
    struct meter m;

    (void)state;
    make_first_ledger(&m);
    meter_open(&m);
    meter_assert_clean(&m);
    rep = meter_verify(&m);
    assert_int_equal(rep.entries, 602);
    assert_int_equal(rep.positions, 1);
    assert_int_equal(rep.chain_head.n, 64);
    assert_int_equal(m.store->chain.id, 602);
    /* and goes on from there, entries being as fixed as before */
    e = meter_event(slice_of("usr_1"), "req_new", meter_price(&m, "test-model", 100, 100));
    assert_int_equal(meter_deliver(&m, "out1", 301, &e, 1), 301);
    assert_int_equal(meter_verify(&m).entries, 604);
    assert_int_not_equal(sqlite3_exec(m.store->db, "UPDATE entry SET created_ms = 1", NULL, NULL, NULL), SQLITE_OK);
    meter_assert_clean(&m);
    meter_close(&m);
    arena_fini(&m.arena);
    meter_remove(&m);
}

static void killed_while_the_chain_is_made(void **state)
{
    static const struct migration to_the_chain[] = {
        {1, schema_m0001, NULL}, {2, schema_m0002, schema_m0002_step}, {0, NULL, NULL}};
    struct meter m;
    int point, killed = 0;
    bool died = true;

    (void)state;
    for (point = 1; died; point++) {
        make_first_ledger(&m);
        died = migrate_and_die(&m, to_the_chain, point);
        killed += died;
        check_before_or_after(&m, 2);
        meter_open(&m);
        meter_assert_clean(&m);
        assert_int_equal(m.store->chain.id, 602);
        meter_close(&m);
        arena_fini(&m.arena);
        meter_remove(&m);
    }
    assert_true(killed > 10);
}

/* ---- what is refused
 * --------------------------------------------------------------------------------------------------- */

static void refuse(struct meter *m, const char *sql, const char *why)
{
    sqlite3 *db = NULL;
    struct stat before, after;

    meter_folder(m);
    assert_int_equal(sqlite3_open(m->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(stat(m->path, &before), 0);
    assert_int_equal(store_open(m->path, &m->store, &m->err), ST_CONFLICT);
    assert_non_null(strstr(m->err.text, why));
    assert_int_equal(stat(m->path, &after), 0);
    assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
    assert_int_equal(before.st_size, after.st_size);
    meter_remove(m);
}

/* A database of an older shape: up to that migration. */
static void make_older(struct meter *m, int newest)
{
    struct migration older[16];
    int i, n = 0;

    for (i = 0; schema_migrations[i].number && schema_migrations[i].number <= newest; i++)
        older[n++] = schema_migrations[i];
    older[n] = (struct migration){0, NULL, NULL};
    meter_folder(m);
    assert_int_equal(store_open_with(m->path, older, &m->store, &m->err), ST_OK);
}

/* A provider that is there already has its Responses API. */
static void a_provider_of_the_ninth_shape_stays_as_it_is(void **state)
{
    struct meter m;

    (void)state;
    make_older(&m, 9);
    meter_sql(&m,
              "INSERT INTO provider_def VALUES ('p', 'openai', 'https://h/v1', 1, '', 1, 2, 3, 4, '', 0, 'user', 5, "
              "'api', 0, 9)");
    meter_close(&m);
    meter_open(&m);
    assert_true(meter_number(&m, "PRAGMA user_version") >= 10);
    assert_int_equal(meter_number(&m, "SELECT count(*) FROM provider_def WHERE name = 'p' AND internal = 1 AND "
                                      "total_ms = 4 AND drop_params = 'user' AND revision = 9 AND chat_only = 0"),
                     1);
    meter_close(&m);
    meter_remove(&m);
}

/* A database that is in use gets the catalog and keeps what it has. */
static void a_database_of_the_fifth_shape_gets_the_catalog(void **state)
{
    struct meter m;

    (void)state;
    make_older(&m, 5);
    meter_sql(
        &m,
        "INSERT INTO plan(name, rpm, tpm, concurrency, max_keys, models, revision) VALUES ('free', 1, 2, 3, 4, '', 7)");
    assert_int_equal(meter_number(&m, "SELECT count(*) FROM sqlite_schema WHERE name = 'provider_def'"), 0);
    meter_close(&m);
    meter_open(&m);
    assert_true(meter_number(&m, "PRAGMA user_version") >= 6);
    assert_int_equal(meter_number(&m, "SELECT revision FROM plan"), 7);
    assert_int_equal(m.store->revision, 7);
    meter_sql(&m, "INSERT INTO model_def VALUES ('m', 0, 0, 'weighted', 0, 1, 'api', 1, 9)");
    meter_close(&m);
    meter_open(&m);
    assert_int_equal(m.store->revision, 9); /* what is gone counts, too */
    meter_close(&m);
    meter_remove(&m);
}

static void another_programs_file_and_a_newer_version_are_left_alone(void **state)
{
    struct meter m;

    (void)state;
    refuse(&m, "PRAGMA application_id=4711", "another program");
    refuse(&m, "CREATE TABLE theirs(x)", "another program");
    refuse(&m, "PRAGMA application_id=1330803829; PRAGMA user_version=99; CREATE TABLE later(x)", "newer program");
}

static void a_file_that_is_no_database_is_an_error(void **state)
{
    struct meter m;
    FILE *f;

    (void)state;
    meter_folder(&m);
    f = fopen(m.path, "w");
    fputs(
        "this is a text and has never been anything else, whatever its name says; long enough to be looked at closely",
        f);
    fclose(f);
    assert_int_not_equal(store_open(m.path, &m.store, &m.err), ST_OK);
    assert_non_null(strstr(m.err.text, "database"));
    meter_remove(&m);
}

static void a_second_meterd_is_refused(void **state)
{
    struct store *second_store = NULL;
    struct meter m;

    (void)state;
    meter_folder(&m);
    meter_open(&m);
    assert_int_equal(store_open(m.path, &second_store, &m.err), ST_CONFLICT);
    assert_non_null(strstr(m.err.text, "another meterd"));
    assert_null(second_store);
    meter_close(&m);
    assert_int_equal(store_open(m.path, &second_store, &m.err), ST_OK);
    store_close(second_store);
    meter_remove(&m);
}

/* A failed sync is never asked for again: nothing is acknowledged, and the store says that the process has to end. */
static void a_failed_sync_is_the_end(void **state)
{
    struct meter m;
    struct usage_event e;
    struct usage_deliver_req req = {.source = slice_of("out1"), .first_seq = 1, .events = {&e, 1}};
    struct usage_deliver_rep rep = {0};

    (void)state;
    use_shim();
    meter_folder(&m);
    meter_open(&m);
    meter_seed(&m);
    e = meter_event(meter_user(&m, "a@x.test", METER_USD), "req_1", 0);
    fail_sync = 1;
    assert_int_not_equal(meter_run(&m, op_usage_deliver, &req, &rep), ST_OK);
    assert_int_equal(m.store->broken, STORE_DEAD);
    assert_int_equal(m.store->changes.n, 0);
    fail_sync = 0;
    meter_close(&m);
    /* What the next process finds is whole, with or without the call; delivering it again makes it one. */
    meter_open(&m);
    assert_int_equal(meter_deliver(&m, "out1", 1, &e, 1), 1);
    assert_int_equal(meter_number(&m, "SELECT count(*) FROM usage"), 1);
    meter_assert_clean(&m);
    meter_close(&m);
    arena_fini(&m.arena);
    meter_remove(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_while_the_database_is_made),
        cmocka_unit_test(killed_while_a_database_is_brought_forward),
        cmocka_unit_test(entries_of_an_older_database_get_their_chain),
        cmocka_unit_test(killed_while_the_chain_is_made),
        cmocka_unit_test(a_database_of_the_fifth_shape_gets_the_catalog),
        cmocka_unit_test(a_provider_of_the_ninth_shape_stays_as_it_is),
        cmocka_unit_test(another_programs_file_and_a_newer_version_are_left_alone),
        cmocka_unit_test(a_file_that_is_no_database_is_an_error),
        cmocka_unit_test(a_second_meterd_is_refused),
        cmocka_unit_test(a_failed_sync_is_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
