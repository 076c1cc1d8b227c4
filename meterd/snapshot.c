#include "meterd/snapshot.h"

#include <stddef.h>
#include <string.h>

#include "meterd/schema/schema.h"

#define TEXT_MAX 256

enum status snapshot_open(const char *path, const char *name, sqlite3 **ret, struct err *err)
{
    sqlite3 *db = NULL;
    enum status st = ST_OK;

    *ret = NULL;
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK ||
        sqlite3_exec(db, "PRAGMA trusted_schema=OFF; PRAGMA journal_mode=DELETE; PRAGMA synchronous=FULL", NULL, NULL,
                     NULL) != SQLITE_OK)
        st = err_set(err, ST_BAD_REQUEST, "%s is not a database: %s", name, db ? sqlite3_errmsg(db) : "no memory");
    if (st != ST_OK) {
        sqlite3_close(db);
        return st;
    }
    *ret = db;
    return ST_OK;
}

static enum status ask(sqlite3 *db, const char *name, const char *sql, char text[TEXT_MAX], struct err *err)
{
    sqlite3_stmt *q = NULL;
    enum status st = ST_OK;

    if (sqlite3_prepare_v2(db, sql, -1, &q, NULL) == SQLITE_OK && sqlite3_step(q) == SQLITE_ROW)
        sqlite3_snprintf(TEXT_MAX, text, "%s", (const char *)sqlite3_column_text(q, 0));
    else
        st = err_set(err, ST_BAD_REQUEST, "%s cannot be read: %s", name, sqlite3_errmsg(db));
    sqlite3_finalize(q);
    return st;
}

enum status snapshot_check(sqlite3 *db, const char *name, struct err *err)
{
    char text[TEXT_MAX], ours[32];
    enum status st = ask(db, name, "PRAGMA application_id", text, err);

    sqlite3_snprintf(sizeof(ours), ours, "%d", SCHEMA_APPLICATION_ID);
    if (st == ST_OK && strcmp(text, ours) != 0)
        return err_set(err, ST_CONFLICT, "%s is not a database of this router", name);
    if (st == ST_OK)
        st = schema_check(db, schema_migrations, err);
    if (st == ST_OK)
        st = ask(db, name, "PRAGMA integrity_check(1)", text, err);
    if (st == ST_OK && strcmp(text, "ok") != 0)
        st = err_set(err, ST_BAD_REQUEST, "%s is damaged: %s", name, text);
    return st;
}
