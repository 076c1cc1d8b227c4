#include "meterd/entries.h"

#include <string.h>

#include "meterd/ops.h"
#include "meterd/users.h"

#define ENTRIES_PAGE 100
#define TRANSFERS_OF_CALL 4 /* hold, end, correction */
#define TRANSFER_MAX 16 /* entries of a transfer; SQL_ENTRIES_FROM looks at so many */

/* ---- lists ---------------------------------------------------------------------------------------------------------
 */

static enum status page_of(struct work *w, struct record_page *page, struct ledger_list_rep *rep)
{
    enum status st = record_list(w, page);

    rep->data.items = page->items;
    rep->data.n = page->n;
    rep->next = page->next;
    return st;
}

enum status op_ledger_list(struct work *w, const void *in, void *out)
{
    const struct ledger_list_req *req = in;
    uint64_t before = 0, limit = record_limit(req->limit, ENTRIES_PAGE);
    int64_t held = 0;
    struct user_row user = {0};
    struct record_page page = {
        .sql = SQL_ENTRIES, .fill = record_entry, .size = sizeof(struct ledger_row), .limit = limit};
    enum status st = record_cursor(w, req->cursor, LIMIT_ID, &before);

    if (st == ST_OK)
        st = users_whose(w, req->actor_id, req->user, &user);
    if (st != ST_OK)
        return st;
    page.binds = BINDS(B_I(before), B_I(limit + 1));
    if (user.num == 0)
        return page_of(w, &page, out);
    /* who has never had credit held durably has no such account */
    st = store_number(w->s, SQL_ACCOUNT_OF_USER, BINDS(B_I(user.num), B_C("held")), 0, &held, w->err);
    if (st != ST_OK)
        return st;
    page.sql = SQL_ENTRIES_OF_USER;
    page.binds = BINDS(B_I(before), B_I(limit + 1), B_I(user.account), B_I(held));
    return page_of(w, &page, out);
}

/* ---- one call ------------------------------------------------------------------------------------------------------
 */

/* Transfers have rising numbers and so have their entries: a search by halves needs no index, which every bill would
 * have to keep. *ret = the first entry of this transfer or of a later one. */
static enum status first_entry(struct work *w, uint64_t transfer, int64_t *ret)
{
    int64_t low = 1, high = 0;
    enum status st = store_number(w->s, SQL_ENTRY_MAX, NO_BINDS, 0, &high, w->err);

    while (st == ST_OK && low <= high) {
        int64_t mid = low + (high - low) / 2, at = 0;

        st = store_number(w->s, SQL_ENTRY_TRANSFER, BINDS(B_I(mid)), 0, &at, w->err);
        if ((uint64_t)at < transfer)
            low = mid + 1;
        else
            high = mid - 1;
    }
    *ret = low;
    return st;
}

static enum status add_transfer(struct work *w, uint64_t transfer, struct ledger_row list[ENTRIES_OF_CALL], size_t *n)
{
    struct record_page page = {
        .sql = SQL_ENTRIES_FROM, .fill = record_entry, .size = sizeof(struct ledger_row), .limit = TRANSFER_MAX};
    int64_t first = 0;
    enum status st = first_entry(w, transfer, &first);

    if (st != ST_OK)
        return st;
    page.binds = BINDS(B_I(first), B_I(transfer));
    st = record_list(w, &page);
    if (page.n > ENTRIES_OF_CALL - *n)
        page.n = ENTRIES_OF_CALL - *n;
    if (page.n > 0)
        memcpy(list + *n, page.items, page.n * page.size);
    *n += page.n;
    return st;
}

enum status entries_of_call(struct work *w, struct slice request_id, uint64_t revision, struct ledger_row **ret,
                            size_t *ret_n)
{
    struct ledger_row *list = arena_alloc(w->a, ENTRIES_OF_CALL * sizeof(*list));
    uint64_t transfers[TRANSFERS_OF_CALL];
    size_t n = 0, i;
    sqlite3_stmt *q = NULL;
    enum status st = store_row(w->s, SQL_TRANSFERS_OF_CALL, BINDS(B_S(request_id), B_I(revision)), &q, w->err);

    while (st == ST_OK && q && n < TRANSFERS_OF_CALL) {
        transfers[n++] = col_u64(q, 0);
        st = store_next(w->s, &q, w->err);
    }
    store_reset(&q);
    *ret = list;
    *ret_n = 0;
    if (!list)
        return err_set(w->err, ST_NO_MEMORY, "no memory for entries");
    for (i = 0; i < n && st == ST_OK; i++)
        st = add_transfer(w, transfers[i], list, ret_n);
    return st;
}
