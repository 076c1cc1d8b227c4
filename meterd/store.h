/*
 * store: one SQLite connection and what stands on it: cached statements, transactions, the revision counter, and the
 * changes that a transaction will make known. Only one store of a file writes (and checkpoints); the others read.
 * It knows SQL and errors, not what accounts or prices are; every statement stands in meterd/sql.h with bound values.
 * A store belongs to one thread at a time. After a write that SQLite could not finish, `broken` says what is due:
 * STORE_RETRY (disk full: roll back, try again later) or STORE_DEAD (I/O error or damage: the process must end, because
 * only a restart finds out from the log what is true).
 */
#ifndef METERD_STORE_H
#define METERD_STORE_H

#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "meterd/chain.h"
#include "meterd/change.h"
#include "meterd/files.h"
#include "meterd/pricing.h"
#include "meterd/sql.h"
#include "proto/messages.h"
#include "proto/security.h"
#include "services/arena.h"
#include "services/seal.h"

struct migration;

#define STORE_PATH_MAX FILES_PATH_MAX
#define STORE_CHECKPOINT_PAGES 4000 /* of log, before it is copied: hot pages are copied less often */
#define STORE_WAL_KEEP_BYTES (64 * 1024 * 1024) /* a log that grew is cut to this when it is reset */
#define STORE_CACHE_KIB 32768 /* page cache of the writer */
#define STORE_READER_CACHE_KIB 4096
#define STORE_GAP_QUIET_MS 200 /* a gap of one source is complained about this often at most */
#define STORE_GAPS 16
#define STORE_ACCOUNTS 256 /* slots for balances that a transaction keeps in memory before it writes them */
#define STORE_KEYS 1024 /* slots that remember which keys have a budget */
#define STORE_SOURCES 32 /* positions that a transaction keeps in memory before it writes them */
#define STORE_HOLD_SLOTS 65536 /* of the filter over calls that have a hold */

enum store_broken { STORE_WELL, STORE_RETRY, STORE_DEAD };

/* What a transaction did, for the metrics; forgotten with it when it is rolled back. */
struct store_counts {
    uint64_t settled, duplicates, strays, unpriced, gaps, holds, expired, corrected;
    uint64_t lost; /* records that will never come */
    int64_t cost_nano, overage_nano;
    uint64_t security[SECURITY_N];
};

struct store_gap { /* the last complaint about a source */
    char source[LIMIT_NAME + 1];
    uint64_t seq, at_ms;
};

struct store_account { /* of the ledger, as this transaction has it (meterd/ledger.c) */
    int64_t id; /* 0 = empty */
    int64_t balance_nano, spent_nano;
    bool of_user, dirty;
};

struct store_payer { /* who a user's id is; never changes once committed */
    char user_id[LIMIT_ID_TEXT + 1];
    int64_t num, account, held; /* accounts; held = 0: there is none yet */
};

/* Which calls may have an open hold: an ordinary call need not ask the database (meterd/hold_rows.c). */
struct store_holds {
    bool known; /* else to be read from the database first */
    uint32_t open[STORE_HOLD_SLOTS]; /* how many whose id falls into the slot */
};

struct store_key { /* which budget a key has (meterd/budgets.c) */
    char key_id[LIMIT_ID_TEXT + 1];
    char period[8];
    int64_t num; /* 0 = none */
};

struct store_months { /* monthly credit: how far the round over all users has come (meterd/monthly.c) */
    int64_t month; /* of the round; 0 = begin one */
    int64_t next; /* user num to go on with */
    bool done;
};

struct store_position { /* of a source, as far as this transaction has come */
    char source[LIMIT_NAME + 1];
    uint64_t seq;
    bool moved, gap;
};

struct store {
    sqlite3 *db;
    sqlite3_stmt *stmts[SQL_COUNT];
    int lock_fd;
    bool writer;
    enum store_broken broken;
    uint64_t now_ms; /* wall clock of the piece of work at hand: for people, it decides nothing */
    uint64_t clock_ms; /* monotonic, the same moment: leases run on it */
    uint64_t revision; /* newest; of a reader: unused */
    struct chain chain; /* newest ledger entry */
    uint64_t begin_revision; /* when the transaction began */
    struct chain begin_chain;
    struct changes changes;
    struct store_counts counts;
    struct pricing_cache prices;
    struct store_position positions[STORE_SOURCES]; /* meterd/ingest.c; written before the commit */
    size_t n_positions;
    struct store_account accounts[STORE_ACCOUNTS];
    unsigned n_accounts; /* how many slots are not empty */
    struct store_payer payers[STORE_ACCOUNTS];
    struct store_key keys[STORE_KEYS];
    struct store_months months;
    struct store_holds holds;
    struct store_gap gaps[STORE_GAPS];
    unsigned next_gap;
    int wal_pages; /* as of the last commit */
    uint64_t interrupt_at_ms; /* monotonic; a query still running then is ended; 0 = never */
    uint64_t answers_kept_ms; /* of the writer (meterd/answers.h); 0 = not said */
    atomic_bool ledger_wrong; /* of a reader: what the last ledger_verify said; any thread may look */
    uint64_t security_kept_s; /* of the writer (meterd/security.h); 0 = not said */
    struct seal_key seal; /* of the writer: for upstream keys */
};

/* Makes folder and file when missing, takes the lock, migrates. ST_CONFLICT: not our file, or another meterd has it. */
enum status store_open(const char *path, struct store **ret, struct err *err);
/* The same with other migrations: for the tests of migrating. */
enum status store_open_with(const char *path, const struct migration *migrations, struct store **ret, struct err *err);
/* The same on another VFS of SQLite's, which must be registered: for the tests of faults. */
enum status store_open_on(const char *path, const char *vfs, struct store **ret, struct err *err);
/* A connection that only reads. The file must exist. */
enum status store_open_reader(const char *path, struct store **ret, struct err *err);
/* The newest revision in a database that was opened otherwise. */
enum status store_revision_in(sqlite3 *db, uint64_t *ret, struct err *err);
void store_close(struct store *s); /* NULL is fine; unfinished work is rolled back */

/* One piece of work on a store: what every operation gets. */
struct work {
    struct store *s;
    struct arena *a; /* the answer is made here */
    struct err *err;
    struct pace *pace; /* steps between events of usage; may be NULL */
    bool keep; /* answer: the operation fails, but what it wrote is to stay (a wrong code is counted) */
};

/* ---- transactions ------------------------------------------------------------------------------------------------ */

enum status store_begin(struct store *s, struct err *err);
enum status store_commit(struct store *s, struct err *err); /* on failure everything is rolled back */
void store_rollback(struct store *s); /* revision, changes and counts return to the begin */

struct store_mark { /* what to return to when one command of a transaction fails */
    uint64_t revision;
    struct chain chain;
    struct change_mark changes;
    struct store_counts counts;
};
enum status store_savepoint(struct store *s, struct store_mark *ret_mark, struct err *err);
enum status store_release(struct store *s, struct err *err);
void store_undo(struct store *s, const struct store_mark *mark);

/* Copies the log into the database when it is long, or (idle) whatever there is, and then cuts the log. */
enum status store_checkpoint(struct store *s, bool idle, struct err *err);

uint64_t store_next_revision(struct store *s);
void store_forget_accounts(struct store *s); /* balances in memory */
void store_forget_keys(struct store *s); /* which keys have a budget: due when a key was made or changed */
void store_forget_changes(struct store *s); /* of the last transaction: they have been published */

/* ---- statements -------------------------------------------------------------------------------------------------- */

enum bind_kind { BIND_END, BIND_I64, BIND_TEXT, BIND_BLOB, BIND_NULL };
struct bind {
    enum bind_kind kind;
    int64_t i;
    struct slice s;
};

#define B_I(v) ((struct bind){.kind = BIND_I64, .i = (int64_t)(v)})
#define B_S(v) ((struct bind){.kind = BIND_TEXT, .s = (v)})
#define B_C(v) ((struct bind){.kind = BIND_TEXT, .s = slice_of(v)})
#define B_B(v) ((struct bind){.kind = BIND_BLOB, .s = (v)})
#define B_NULL ((struct bind){.kind = BIND_NULL})
#define BINDS(...) ((const struct bind[]){__VA_ARGS__, {.kind = BIND_END}})
#define NO_BINDS ((const struct bind[]){{.kind = BIND_END}})

/* Runs a statement that gives no rows. Bound slices must live until it returns. */
enum status store_run(struct store *s, enum sql sql, const struct bind *binds, struct err *err);
/* The first row, or *ret_q = NULL when there is none. Bound slices must live until the last row is read. */
enum status store_row(struct store *s, enum sql sql, const struct bind *binds, sqlite3_stmt **ret_q, struct err *err);
enum status store_next(struct store *s, sqlite3_stmt **q, struct err *err); /* *q = NULL after the last row */
void store_reset(sqlite3_stmt **q); /* done with these rows; NULL is fine */
/* One number; fallback when there is no row. */
enum status store_number(struct store *s, enum sql sql, const struct bind *binds, int64_t fallback, int64_t *ret,
                         struct err *err);
int64_t store_changed(struct store *s); /* rows that the last store_run changed */

int64_t col_i64(sqlite3_stmt *q, int column);
uint64_t col_u64(sqlite3_stmt *q, int column); /* negative (which no row of ours is) reads as 0 */
bool col_is_null(sqlite3_stmt *q, int column);
/* Copies into a; ST_NO_MEMORY. */
enum status col_text(sqlite3_stmt *q, int column, struct arena *a, struct slice *ret, struct err *err);

/* The status for what SQLite said; sets `broken` when it concerns more than one command. */
enum status store_fail(struct store *s, int rc, struct err *err);

#endif
