/*
 * record: rows become the records and rows of messages. One function for each kind reads the columns in the order that
 * the SQL_… of its kind in meterd/sql.h gives them. What it fills lives in the work's arena.
 */
#ifndef METERD_RECORD_H
#define METERD_RECORD_H

#include "meterd/store.h"

typedef enum status record_fill(struct work *w, sqlite3_stmt *q, void *to);

struct user_row { /* a user with what only meterd knows of it */
    struct user user;
    int64_t num, account, available_nano; /* user.balance_nano without what the ledger holds */
    struct slice password_hash;
};

record_fill record_user; /* struct user, from SQL_USER */
record_fill record_user_row; /* struct user_row, from SQL_USER */
record_fill record_key; /* struct api_key, from SQL_KEY */
record_fill record_key_state; /* struct key_state, from SQL_KEY */
record_fill record_plan; /* struct plan, from SQL_PLAN */
record_fill record_price; /* struct price, from SQL_PRICE */
record_fill record_provider; /* struct provider: name, kind */
record_fill record_ack; /* struct ack: source, seq */
record_fill record_session_ended; /* struct session_ended: id */
record_fill record_usage; /* struct usage_row, from SQL_USAGE */
record_fill record_settled; /* struct settled, from SQL_SETTLED_BY_REVISION */
record_fill record_hold_state; /* struct hold_state, from SQL_HOLD_STATE_BY_REVISION */
record_fill record_entry; /* struct ledger_row, from SQL_ENTRY */

/* The one row of a query; ST_NOT_FOUND (err is left to the caller) when there is none. */
enum status record_get(struct work *w, enum sql sql, const struct bind *binds, record_fill *fill, void *to);

/* A page of rows. The query is asked for one row more than `limit`, which shows whether there is another page. */
struct record_page {
    enum sql sql;
    const struct bind *binds; /* its LIMIT bound to limit + 1 */
    record_fill *fill;
    size_t size; /* of one item */
    uint64_t limit;
    int cursor_column; /* a number that places the row in the order */
    void *items; /* the answer */
    size_t n;
    struct slice next; /* cursor_column of the last item when there are more, else empty */
};
enum status record_list(struct work *w, struct record_page *page);

/* A cursor that record_list gave; *ret = fallback when it is empty. ST_BAD_REQUEST for anything else. */
enum status record_cursor(struct work *w, struct slice cursor, uint64_t fallback, uint64_t *ret);
uint64_t record_limit(uint64_t asked, uint64_t fallback); /* of a page */

/* Lists of patterns as they stand in a column: one a line. ST_BAD_REQUEST for one that is empty or has control bytes;
 * field: what the error names. */
enum status record_join(struct work *w, const char *field, const struct wire_strs *list, struct slice *ret);
enum status record_split(struct work *w, struct slice text, struct wire_strs *ret);

/* A number as decimal text in the arena. */
enum status record_number(struct work *w, uint64_t number, struct slice *ret);

#endif
