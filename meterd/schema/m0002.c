/*
 * Migration 2: holds, what was billed too early, calls upstream, further classes of tokens, and the hash chain over the
 * ledger's entries. The entries that are there already get their hashes in the step (meterd/chain.h).
 */
#include <sodium.h>
#include <stddef.h>
#include <string.h>

#include "meterd/chain.h"
#include "meterd/schema/schema.h"

/* clang-format off */
const char *const schema_m0002[] = {
/* A long call's credit in the ledger, from its first progress to its end: a call ends once. Its credit lies in the
   user's account of kind 'held', which is made with the user's first hold. */
"CREATE TABLE hold("
"  revision INTEGER PRIMARY KEY,"                              /* of its opening: the transfer that took the credit */
"  request_id TEXT NOT NULL UNIQUE,"
"  user_num INTEGER REFERENCES user(num),"                     /* NULL: of nobody, and nothing is held */
"  amount_nano INTEGER NOT NULL CHECK (amount_nano >= 0),"
"  state TEXT NOT NULL CHECK (state IN ('open', 'settled', 'voided', 'expired')),"
"  ended INTEGER,"                                             /* revision of the call's row: the transfer of its end */
"  cost_nano INTEGER NOT NULL, tokens INTEGER NOT NULL,"       /* as far as progress was heard */
"  lease_ms INTEGER NOT NULL,"                                 /* as the last progress said */
"  due_ms INTEGER NOT NULL,"                                   /* monotonic clock of meterd; counted anew from its start */
"  opened_ms INTEGER NOT NULL, ended_ms INTEGER,"              /* wall clock, for people */
"  event BLOB,"                                                /* open: the newest progress, a usage_event */
"  CHECK ((state = 'open') = (ended IS NULL))"
") STRICT",
"CREATE INDEX hold_due ON hold(due_ms) WHERE state = 'open'",

/* A call that was voided or expired and turned out to have cost something else: what that changed. Once a call. */
"CREATE TABLE correction("
"  revision INTEGER PRIMARY KEY,"                              /* of the change: its transfer */
"  usage INTEGER NOT NULL UNIQUE REFERENCES usage(revision),"
"  status TEXT NOT NULL,"                                      /* of the call, before */
"  cost_nano INTEGER NOT NULL, overage_nano INTEGER NOT NULL," /* what was added to the row's; may be below zero */
"  balance_nano INTEGER NOT NULL,"                             /* the user's, after it */
"  created_ms INTEGER NOT NULL"
") STRICT",

/* Calls upstream, when there was more than one or it was not the answer. */
"CREATE TABLE attempt("
"  request_id TEXT NOT NULL, number INTEGER NOT NULL,"
"  provider TEXT NOT NULL, upstream_model TEXT NOT NULL, outcome TEXT NOT NULL,"
"  http_status INTEGER NOT NULL,"
"  answered INTEGER NOT NULL,"
"  prompt_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL,"
"  cache_write_tokens INTEGER NOT NULL, cache_write_long_tokens INTEGER NOT NULL,"
"  completion_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL,"
"  estimated INTEGER NOT NULL,"
"  price_id INTEGER NOT NULL,"
"  cost_nano INTEGER NOT NULL,"
"  latency_ms INTEGER NOT NULL,"
"  PRIMARY KEY (request_id, number)"
") STRICT, WITHOUT ROWID",

"ALTER TABLE usage ADD COLUMN audio_input_tokens INTEGER NOT NULL DEFAULT 0",
"ALTER TABLE usage ADD COLUMN audio_output_tokens INTEGER NOT NULL DEFAULT 0",
"ALTER TABLE usage ADD COLUMN image_input_tokens INTEGER NOT NULL DEFAULT 0",
"ALTER TABLE usage ADD COLUMN image_output_tokens INTEGER NOT NULL DEFAULT 0",

/* BLAKE2b-256 of the hash before it and all fields of the entry. The trigger comes back at the end of the step. */
"ALTER TABLE entry ADD COLUMN hash BLOB NOT NULL DEFAULT x''",
"DROP TRIGGER entry_fixed",
NULL};

static const char keep_entries[] =
"CREATE TRIGGER entry_fixed BEFORE UPDATE ON entry BEGIN SELECT RAISE(ABORT, 'entries are append-only'); END";
/* clang-format on */

static enum status fail(sqlite3 *db, struct err *err)
{
    return err_set(err, ST_INTERNAL, "database: hashing the ledger's entries: %s", sqlite3_errmsg(db));
}

static struct chain_entry read_entry(sqlite3_stmt *q)
{
    return (struct chain_entry){.id = (uint64_t)sqlite3_column_int64(q, 0),
                                .transfer = (uint64_t)sqlite3_column_int64(q, 1),
                                .account = sqlite3_column_int64(q, 2),
                                .kind = {(const char *)sqlite3_column_text(q, 3), (size_t)sqlite3_column_bytes(q, 3)},
                                .amount_nano = sqlite3_column_int64(q, 4),
                                .balance_nano = sqlite3_column_int64(q, 5),
                                .created_ms = (uint64_t)sqlite3_column_int64(q, 6)};
}

static int hash_entries(sqlite3_stmt *entries, sqlite3_stmt *update)
{
    struct chain chain = {0};
    int rc = sqlite3_step(entries);

    while (rc == SQLITE_ROW) {
        struct chain_entry e = read_entry(entries);

        chain_add(&chain, &e);
        sqlite3_bind_int64(update, 1, (sqlite3_int64)e.id);
        sqlite3_bind_blob(update, 2, chain.hash, CHAIN_BYTES, SQLITE_STATIC);
        rc = sqlite3_step(update);
        sqlite3_reset(update);
        if (rc == SQLITE_DONE)
            rc = sqlite3_step(entries);
    }
    return rc;
}

enum status schema_m0002_step(sqlite3 *db, struct err *err)
{
    sqlite3_stmt *entries = NULL, *update = NULL;
    int rc = sqlite3_prepare_v2(
        db, "SELECT id, transfer, account, kind, amount_nano, balance_nano, created_ms FROM entry ORDER BY id", -1,
        &entries, NULL);
    enum status st;

    if (sodium_init() < 0)
        return err_set(err, ST_INTERNAL, "libsodium could not be started");
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(db, "UPDATE entry SET hash = ?2 WHERE id = ?1", -1, &update, NULL);
    if (rc == SQLITE_OK)
        rc = hash_entries(entries, update);
    st = rc == SQLITE_DONE ? ST_OK : fail(db, err);
    sqlite3_finalize(entries);
    sqlite3_finalize(update);
    if (st == ST_OK && sqlite3_exec(db, keep_entries, NULL, NULL, NULL) != SQLITE_OK)
        st = fail(db, err);
    return st;
}
