#include "meterd/hold_rows.h"

#include <string.h>

#define EVENT_MAX 65536u /* of a usage event in a row */

static const char *const state_names[] = {
    [CALL_OPEN] = "open", [CALL_SETTLED] = "settled", [CALL_VOIDED] = "voided", [CALL_EXPIRED] = "expired"};

/* ---- which calls may have one --------------------------------------------------------------------------------------
 */

static uint32_t *slot_of(struct store *s, struct slice request_id)
{
    uint32_t hash = 2166136261u; /* FNV-1a: ids are random and short */
    size_t i;

    for (i = 0; i < request_id.n; i++)
        hash = (hash ^ (unsigned char)request_id.p[i]) * 16777619u;
    return &s->holds.open[hash % STORE_HOLD_SLOTS];
}

static enum status know(struct work *w)
{
    struct store *s = w->s;
    sqlite3_stmt *q = NULL;
    enum status st;

    if (s->holds.known)
        return ST_OK;
    memset(s->holds.open, 0, sizeof(s->holds.open));
    st = store_row(s, SQL_HOLDS_OPEN, NO_BINDS, &q, w->err);
    while (st == ST_OK && q) {
        struct slice id = {(const char *)sqlite3_column_text(q, 0), (size_t)sqlite3_column_bytes(q, 0)};

        ++*slot_of(s, id);
        st = store_next(s, &q, w->err);
    }
    store_reset(&q);
    s->holds.known = st == ST_OK;
    return st;
}

enum status hold_rows_maybe_open(struct work *w, struct slice request_id, bool *ret)
{
    enum status st = know(w);

    *ret = st == ST_OK && *slot_of(w->s, request_id) > 0;
    return st;
}

/* ---- rows ----------------------------------------------------------------------------------------------------------
 */

static enum call_state state_of(sqlite3_stmt *q, int column)
{
    struct slice name = {(const char *)sqlite3_column_text(q, column), (size_t)sqlite3_column_bytes(q, column)};
    enum call_state state;

    for (state = CALL_OPEN; state < CALL_EXPIRED; state++)
        if (slice_is(name, state_names[state]))
            break;
    return state;
}

enum status hold_rows_find(struct work *w, struct slice request_id, struct hold_row *ret)
{
    sqlite3_stmt *q = NULL;
    enum status st = store_row(w->s, SQL_HOLD, BINDS(B_S(request_id)), &q, w->err);

    *ret = (struct hold_row){.state = CALL_NEW};
    if (q)
        *ret = (struct hold_row){.revision = col_u64(q, 0),
                                 .user_num = col_i64(q, 1),
                                 .amount_nano = col_i64(q, 2),
                                 .state = state_of(q, 3),
                                 .cost_nano = col_i64(q, 4),
                                 .tokens = col_u64(q, 5),
                                 .due_ms = col_u64(q, 6)};
    store_reset(&q);
    return st;
}

static uint64_t lease_of(const struct usage_event *e)
{
    return e->lease_ms > 0 ? e->lease_ms : HOLD_ROWS_LEASE_MS;
}

static enum status encode(struct work *w, const struct usage_event *e, struct buf *out)
{
    buf_init(out, EVENT_MAX);
    return wire_encode(&usage_event_desc, e, out, w->err);
}

enum status hold_rows_open(struct work *w, const struct usage_event *e, const struct hold_row *h)
{
    struct bind user = h->user_num != 0 ? B_I(h->user_num) : B_NULL;
    uint64_t lease = lease_of(e);
    struct buf event;
    enum status st = know(w);

    if (st != ST_OK)
        return st;
    st = encode(w, e, &event);
    if (st == ST_OK)
        st = store_run(w->s, SQL_HOLD_INSERT,
                       BINDS(B_I(h->revision), B_S(e->request_id), user, B_I(h->amount_nano), B_I(h->cost_nano),
                             B_I(h->tokens), B_I(lease), B_I(w->s->clock_ms + lease), B_I(w->s->now_ms),
                             B_B(((struct slice){event.p, event.n}))),
                       w->err);
    buf_fini(&event);
    if (st == ST_OK)
        ++*slot_of(w->s, e->request_id);
    return st;
}

enum status hold_rows_renew(struct work *w, const struct usage_event *e, const struct hold_row *h, bool newer)
{
    uint64_t lease = lease_of(e), due = w->s->clock_ms + lease;
    struct buf event;
    enum status st;

    due = due > h->due_ms ? due : h->due_ms;
    if (!newer)
        return store_run(w->s, SQL_HOLD_LEASE, BINDS(B_I(h->revision), B_I(due)), w->err);
    st = encode(w, e, &event);
    if (st == ST_OK)
        st = store_run(w->s, SQL_HOLD_RENEW,
                       BINDS(B_I(h->revision), B_I(h->cost_nano), B_I(h->tokens), B_I(lease), B_I(due),
                             B_B(((struct slice){event.p, event.n}))),
                       w->err);
    buf_fini(&event);
    return st;
}

enum status hold_rows_park(struct work *w, const struct hold_row *h, uint64_t revision)
{
    return store_run(w->s, SQL_HOLD_PARK, BINDS(B_I(h->revision), B_I(revision)), w->err);
}

enum status hold_rows_end(struct work *w, const struct hold_row *h, struct slice request_id, enum call_state state,
                          uint64_t ended)
{
    enum status st = store_run(w->s, SQL_HOLD_END,
                               BINDS(B_I(h->revision), B_C(state_names[state]), B_I(ended), B_I(w->s->now_ms)), w->err);

    if (st == ST_OK && store_changed(w->s) != 1)
        return err_set(w->err, ST_INTERNAL, "a hold was to end twice");
    if (st == ST_OK && w->s->holds.known && *slot_of(w->s, request_id) > 0)
        --*slot_of(w->s, request_id);
    return st;
}

/* ---- leases --------------------------------------------------------------------------------------------------------
 */

enum status hold_rows_due(struct work *w, uint64_t clock_ms, size_t limit, struct usage_event *events, size_t *ret_n)
{
    struct wire_alloc mem = arena_wire(w->a);
    sqlite3_stmt *q = NULL;
    enum status st = store_row(w->s, SQL_HOLDS_DUE, BINDS(B_I(clock_ms), B_I(limit)), &q, w->err);

    *ret_n = 0;
    while (st == ST_OK && q) {
        struct slice bytes;

        st = col_text(q, 0, w->a, &bytes, w->err);
        if (st == ST_OK)
            st = wire_decode(&usage_event_desc, bytes.p, bytes.n, &events[(*ret_n)++], &mem, w->err);
        if (st == ST_OK)
            st = store_next(w->s, &q, w->err);
    }
    store_reset(&q);
    return st;
}

enum status hold_rows_restart(struct work *w, uint64_t clock_ms)
{
    return store_run(w->s, SQL_HOLDS_RESTART, BINDS(B_I(clock_ms)), w->err);
}
