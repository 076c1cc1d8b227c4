#include "meterd/schema/schema.h"

#include <stddef.h>

const struct migration schema_migrations[] = {
    {1, schema_m0001, NULL},  {2, schema_m0002, schema_m0002_step},
    {3, schema_m0003, NULL},  {4, schema_m0004, NULL},
    {5, schema_m0005, NULL},  {6, schema_m0006, NULL},
    {7, schema_m0007, NULL},  {8, schema_m0008, NULL},
    {9, schema_m0009, NULL},  {10, schema_m0010, NULL},
    {11, schema_m0011, NULL}, {12, schema_m0012, NULL},
    {13, schema_m0013, NULL}, {14, schema_m0014, NULL},
    {15, schema_m0015, NULL}, {16, schema_m0016, NULL},
    {0, NULL, NULL},
};

static enum status fail(sqlite3 *db, const char *what, struct err *err)
{
    return err_set(err, ST_INTERNAL, "database: %s: %s", what, sqlite3_errmsg(db));
}

static enum status number(sqlite3 *db, const char *sql, sqlite3_int64 *ret, struct err *err)
{
    sqlite3_stmt *q = NULL;
    enum status st = ST_OK;

    if (sqlite3_prepare_v2(db, sql, -1, &q, NULL) != SQLITE_OK)
        return fail(db, sql, err);
    if (sqlite3_step(q) == SQLITE_ROW)
        *ret = sqlite3_column_int64(q, 0);
    else
        st = fail(db, sql, err);
    sqlite3_finalize(q);
    return st;
}

static enum status run_text(sqlite3 *db, const char *sql, struct err *err)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return fail(db, "migration", err);
    return ST_OK;
}

/* PRAGMA takes no bound values: the numbers are ours. */
static enum status set_pragma(sqlite3 *db, const char *name, int value, struct err *err)
{
    char sql[64];

    sqlite3_snprintf(sizeof(sql), sql, "PRAGMA %s=%d", name, value);
    return run_text(db, sql, err);
}

static enum status run_one(sqlite3 *db, const struct migration *m, struct err *err)
{
    enum status st = run_text(db, "BEGIN IMMEDIATE", err);
    size_t i;

    if (st != ST_OK)
        return st;
    for (i = 0; st == ST_OK && m->sql[i]; i++)
        st = run_text(db, m->sql[i], err);
    if (st == ST_OK && m->step)
        st = m->step(db, err);
    if (st == ST_OK)
        st = set_pragma(db, "application_id", SCHEMA_APPLICATION_ID, err);
    if (st == ST_OK)
        st = set_pragma(db, "user_version", m->number, err);
    if (st == ST_OK)
        st = run_text(db, "COMMIT", err);
    if (st != ST_OK && !sqlite3_get_autocommit(db))
        sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return st;
}

static enum status check_ours(sqlite3 *db, const struct migration *m, sqlite3_int64 *ret_version, struct err *err)
{
    int newest = 0;
    sqlite3_int64 id = 0, version = 0, tables = 0;
    enum status st = number(db, "PRAGMA application_id", &id, err);

    if (st == ST_OK)
        st = number(db, "PRAGMA user_version", &version, err);
    if (st == ST_OK)
        st = number(db, "SELECT count(*) FROM sqlite_schema", &tables, err);
    if (st != ST_OK)
        return st;
    for (; m->number; m++)
        newest = m->number;
    if (id != SCHEMA_APPLICATION_ID && (id != 0 || version != 0 || tables != 0))
        return err_set(err, ST_CONFLICT, "this is another program's database (application_id %lld); it is left alone",
                       (long long)id);
    if (version > newest)
        return err_set(err, ST_CONFLICT,
                       "the database has version %lld, this program knows versions up to %d: run a newer program",
                       (long long)version, newest);
    *ret_version = version;
    return ST_OK;
}

enum status schema_check(sqlite3 *db, const struct migration *migrations, struct err *err)
{
    sqlite3_int64 version = 0;

    return check_ours(db, migrations, &version, err);
}

enum status schema_migrate(sqlite3 *db, const struct migration *migrations, struct err *err)
{
    const struct migration *m;
    sqlite3_int64 version = 0;
    enum status st = check_ours(db, migrations, &version, err);

    for (m = migrations; st == ST_OK && m->number; m++)
        if (m->number > version)
            st = run_one(db, m, err);
    return st;
}
