/* Backup while meterd works, and restore while it does not: what is in the copy, what is refused, what is kept. */
#include "tests/unit/meter_fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "meterd/reader.h"
#include "meterd/restore.h"
#include "meterd/snapshot.h"

#define CALLS 200

static int teardown(void **state)
{
    struct meter *m = *state;
    char command[160];

    meter_close(m);
    snprintf(command, sizeof(command), "rm -rf '%s'", m->folder);
    if (system(command) != 0)
        return -1;
    arena_fini(&m->arena);
    free(m);
    return 0;
}

static void bill_calls(struct meter *m, struct slice user, uint64_t price, int first, int n)
{
    int i;

    for (i = first; i < first + n; i++) {
        char id[32];
        struct usage_event e;

        snprintf(id, sizeof(id), "req_backup%05d", i);
        e = meter_event(user, id, price);
        assert_int_equal(meter_deliver(m, "src_backup", (uint64_t)i, &e, 1), (uint64_t)i);
    }
}

/* In a connection that only reads, as meterd runs it. */
static enum status back_up(struct meter *m, const char *name, struct backup_rep *rep)
{
    struct backup_req req = {.actor_id = slice_of("usr_test"), .name = slice_of(name)};
    struct store *s = NULL;
    struct work w = {.a = &m->arena, .err = &m->err};
    enum status st;

    memset(&m->err, 0, sizeof(m->err));
    memset(rep, 0, sizeof(*rep));
    assert_int_equal(store_open_reader(m->path, &s, &m->err), ST_OK);
    w.s = s;
    st = batch_single(&w, op_backup, &req, rep);
    store_close(s);
    if (st == ST_PENDING) /* copied: the writer has an entry to write */
        st = meter_run(m, op_backup, &req, rep);
    return st;
}

static int64_t count_in(const char *path, const char *sql)
{
    struct err err = {0};
    sqlite3 *db = NULL;
    sqlite3_stmt *q = NULL;
    int64_t n;

    assert_int_equal(snapshot_open(path, path, &db, &err), ST_OK);
    assert_int_equal(snapshot_check(db, path, &err), ST_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &q, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    n = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    sqlite3_close(db);
    return n;
}

static void a_backup_is_the_state_of_one_moment(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "b@example.com", METER_USD);
    uint64_t price = meter_price(m, "test-model", 1000, 1000);
    struct backup_rep rep;
    struct stat info;
    char path[LIMIT_TITLE + 1];

    bill_calls(m, user, price, 1, CALLS); /* most of it is in the log, not in the file */
    meter_must(m, back_up(m, "first.db", &rep), "backup");
    assert_true(slice_copy(rep.path, path, sizeof(path)));
    assert_non_null(strstr(path, "/backups/first.db"));
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal((uint64_t)info.st_size, rep.bytes);
    assert_int_equal(rep.revision, m->store->revision);
    assert_int_equal(count_in(path, "SELECT count(*) FROM usage"), CALLS);
    bill_calls(m, user, price, CALLS + 1, 10);
    assert_int_equal(count_in(path, "SELECT count(*) FROM usage"), CALLS);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM usage"), CALLS + 10);
    meter_must(m, back_up(m, "", &rep), "a backup with a name made of the time");
    assert_true(slice_copy(rep.path, path, sizeof(path)));
    assert_non_null(strstr(path, "/backups/router-20"));
}

static void names_are_looked_at(void **state)
{
    static const char *const bad[] = {"../x.db", "a/b", ".hidden", ".partial", "a b", "x\ny", "/etc/passwd", "x;y"};
    struct meter *m = *state;
    struct backup_rep rep;
    size_t i;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(back_up(m, bad[i], &rep), ST_BAD_REQUEST);
    meter_must(m, back_up(m, "a.db", &rep), "backup");
    assert_int_equal(back_up(m, "a.db", &rep), ST_CONFLICT);
}

/* What a killed backup left is in nobody's way, and no failure leaves anything. */
static void nothing_half_is_left(void **state)
{
    struct meter *m = *state;
    struct backup_rep rep;
    char path[160];
    int fd;

    meter_must(m, back_up(m, "a.db", &rep), "backup");
    snprintf(path, sizeof(path), "%s/backups/.partial", m->folder);
    fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, "half", 4), 4);
    close(fd);
    meter_must(m, back_up(m, "b.db", &rep), "backup");
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(back_up(m, "b.db", &rep), ST_CONFLICT);
    assert_int_not_equal(access(path, F_OK), 0);
}

/* ---- writes go on -------------------------------------------------------------------------------------------------
 */

struct copier {
    struct meter *m;
    atomic_bool done;
    enum status st;
    struct err err;
    uint64_t revision;
};

static void *copy_once(void *arg)
{
    struct copier *c = arg;
    struct backup_req req = {.actor_id = slice_of("usr_test"), .name = slice_of("live.db")};
    struct backup_rep rep = {0};
    struct arena a;
    struct store *s = NULL;
    struct work w = {.a = &a, .err = &c->err};

    arena_init(&a, METER_ARENA);
    c->st = store_open_reader(c->m->path, &s, &c->err);
    w.s = s;
    if (c->st == ST_OK)
        c->st = batch_single(&w, op_backup, &req, &rep);
    c->revision = rep.revision;
    store_close(s);
    arena_fini(&a);
    atomic_store(&c->done, true);
    return NULL;
}

static void calls_are_billed_meanwhile(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "b@example.com", METER_USD);
    uint64_t price = meter_price(m, "test-model", 1000, 1000);
    struct copier c = {.m = m};
    pthread_t thread;
    char path[160];
    int n = CALLS;

    bill_calls(m, user, price, 1, CALLS);
    atomic_init(&c.done, false);
    assert_int_equal(pthread_create(&thread, NULL, copy_once, &c), 0);
    while (!atomic_load(&c.done)) {
        bill_calls(m, user, price, ++n, 1);
        assert_int_equal(store_checkpoint(m->store, true, &m->err), ST_OK); /* a reader in the way is no error */
    }
    pthread_join(thread, NULL);
    if (c.st != ST_PENDING) /* the entry is the writer's */
        fail_msg("backup: %s", c.err.text);
    snprintf(path, sizeof(path), "%s/backups/live.db", m->folder);
    assert_true(count_in(path, "SELECT count(*) FROM usage") >= CALLS);
    assert_true(count_in(path, "SELECT count(*) = max(p.seq) FROM usage, position p"));
    meter_assert_clean(m);
}

/* ---- restore ------------------------------------------------------------------------------------------------------
 */

static unsigned files_like(const char *folder, const char *part)
{
    DIR *d = opendir(folder);
    struct dirent *e;
    unsigned n = 0;

    assert_non_null(d);
    for (e = readdir(d); e; e = readdir(d))
        n += strstr(e->d_name, part) != NULL;
    closedir(d);
    return n;
}

static void a_restore_brings_it_back_and_keeps_the_other(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "b@example.com", METER_USD);
    uint64_t price = meter_price(m, "test-model", 1000, 1000), revision;
    struct restore_report report;
    struct backup_rep rep;
    char path[LIMIT_TITLE + 1];

    bill_calls(m, user, price, 1, 20);
    meter_must(m, back_up(m, "a.db", &rep), "backup");
    assert_true(slice_copy(rep.path, path, sizeof(path)));
    bill_calls(m, user, price, 21, 10);
    revision = m->store->revision;
    assert_int_equal(restore_run(m->path, path, &report, &m->err), ST_CONFLICT); /* it runs */
    assert_non_null(strstr(m->err.text, "end it first"));
    meter_close(m);
    meter_must(m, restore_run(m->path, path, &report, &m->err), "restore");
    assert_int_equal(report.calls, 20);
    assert_int_equal(count_in(report.kept, "SELECT count(*) FROM usage"), 30);
    assert_int_equal(files_like(m->folder, ".restoring"), 0);
    meter_open(m);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM usage"), 20);
    assert_true(m->store->revision > revision + 100000); /* so that every follower reads anew */
    meter_assert_clean(m);
    bill_calls(m, user, price, 21, 10);
    meter_assert_clean(m);
    assert_int_equal(access(path, F_OK), 0); /* the backup is still one */
}

static void change_in(const char *path, const char *sql)
{
    struct err err = {0};
    sqlite3 *db = NULL;

    assert_int_equal(snapshot_open(path, path, &db, &err), ST_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

/* Leases are on the clock of whoever made the backup: here that was a machine that has not run for long. */
static void a_call_that_was_open_is_no_obstacle(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "b@example.com", METER_USD);
    struct usage_event e = meter_event(user, "req_open", meter_price(m, "test-model", 1000, 1000));
    struct restore_report report;
    struct backup_rep rep;
    char path[LIMIT_TITLE + 1];

    e.status = slice_of("running");
    e.hold_nano = 5000;
    e.lease_ms = 60000;
    assert_int_equal(meter_deliver(m, "src_backup", 1, &e, 1), 1);
    meter_must(m, back_up(m, "a.db", &rep), "backup");
    assert_true(slice_copy(rep.path, path, sizeof(path)));
    change_in(path, "UPDATE hold SET due_ms = -100000");
    meter_close(m);
    meter_must(m, restore_run(m->path, path, &report, &m->err), "restore");
    meter_open(m);
    assert_int_equal(meter_number(m, "SELECT state = 'open' AND amount_nano = 5000 FROM hold"), 1);
    meter_assert_clean(m);
    e.status = slice_of("ok");
    assert_int_equal(meter_deliver(m, "src_backup", 2, &e, 1), 2);
    assert_int_equal(meter_number(m, "SELECT state = 'settled' FROM hold"), 1);
    meter_assert_clean(m);
}

static void write_file(const char *path, const char *bytes, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, n), (ssize_t)n);
    close(fd);
}

/* By the name that the user gave, not by the one of our copy. */
static void refused_by_name(struct meter *m, const char *file, enum status with)
{
    struct restore_report report;

    assert_int_equal(restore_run(m->path, file, &report, &m->err), with);
    assert_int_equal(strncmp(m->err.text, file, strlen(file)), 0);
    assert_null(strstr(m->err.text, ".restoring"));
}

static void what_is_no_backup_is_refused(void **state)
{
    struct meter *m = *state;
    struct backup_rep rep;
    char path[LIMIT_TITLE + 1], other[160], log[LIMIT_TITLE + 16];
    sqlite3 *db = NULL;
    int fd;

    meter_must(m, back_up(m, "a.db", &rep), "backup");
    assert_true(slice_copy(rep.path, path, sizeof(path)));
    meter_close(m);
    snprintf(other, sizeof(other), "%s/other.db", m->folder);
    refused_by_name(m, other, ST_NOT_FOUND);
    refused_by_name(m, m->path, ST_BAD_REQUEST); /* the database itself */
    write_file(other, "", 0);
    refused_by_name(m, other, ST_CONFLICT);
    write_file(other, "no database", 11);
    refused_by_name(m, other, ST_BAD_REQUEST);
    unlink(other);
    assert_int_equal(sqlite3_open(other, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "CREATE TABLE t(x)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    refused_by_name(m, other, ST_CONFLICT); /* another program's */
    snprintf(log, sizeof(log), "%s-wal", path);
    write_file(log, "log", 3);
    refused_by_name(m, path, ST_BAD_REQUEST);
    unlink(log);
    fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, 4096 * 3), 8);
    close(fd);
    refused_by_name(m, path, ST_BAD_REQUEST); /* damaged */
    assert_int_equal(files_like(m->folder, "before-restore"), 0);
    assert_int_equal(files_like(m->folder, ".restoring"), 0);
    meter_open(m); /* all the same as before */
    meter_assert_clean(m);
}

/* The old database cannot even be opened: it is kept as it is, its log with it. */
static void a_broken_database_is_kept_whole(void **state)
{
    struct meter *m = *state;
    struct restore_report report;
    struct backup_rep rep;
    struct stat info;
    char path[LIMIT_TITLE + 1], log[STORE_PATH_MAX + 128];

    meter_must(m, back_up(m, "a.db", &rep), "backup");
    assert_true(slice_copy(rep.path, path, sizeof(path)));
    meter_close(m);
    write_file(m->path, "this was a database", 19);
    snprintf(log, sizeof(log), "%s-wal", m->path);
    write_file(log, "and this its log", 16);
    assert_int_not_equal(restore_run(m->path, "/dev/null", &report, &m->err), ST_OK);
    meter_must(m, restore_run(m->path, path, &report, &m->err), "restore");
    assert_int_equal(stat(report.kept, &info), 0);
    assert_int_equal(info.st_size, 19);
    snprintf(log, sizeof(log), "%s-wal", report.kept);
    assert_int_equal(stat(log, &info), 0);
    assert_int_equal(info.st_size, 16);
    meter_open(m);
    meter_assert_clean(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_backup_is_the_state_of_one_moment, meter_setup, teardown),
        cmocka_unit_test_setup_teardown(names_are_looked_at, meter_setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_half_is_left, meter_setup, teardown),
        cmocka_unit_test_setup_teardown(calls_are_billed_meanwhile, meter_setup, teardown),
        cmocka_unit_test_setup_teardown(a_restore_brings_it_back_and_keeps_the_other, meter_setup, teardown),
        cmocka_unit_test_setup_teardown(a_call_that_was_open_is_no_obstacle, meter_setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_backup_is_refused, meter_setup, teardown),
        cmocka_unit_test_setup_teardown(a_broken_database_is_kept_whole, meter_setup, teardown),
    };

    return cmocka_run_group_tests_name("backup", tests, NULL, NULL);
}
