#include "meterd/state.h"

#include <stdio.h>
#include <string.h>

#include "meterd/catalog.h"
#include "meterd/ops.h"

union any_record {
    struct user user;
    struct key_state key;
    struct plan plan;
    struct price price;
    struct provider provider;
    struct provider_state provider_state;
    struct catalog_model catalog_model;
    struct ack ack;
    struct settled settled;
    struct hold_state hold;
    struct session_ended ended;
};

struct state_kind {
    const struct wire_desc *desc;
    enum sql by_revision;
    record_fill *fill;
};

static const struct state_kind kinds[] = {
    {&user_desc, SQL_USER_BY_REVISION, record_user},
    {&key_state_desc, SQL_KEY_BY_REVISION, record_key_state},
    {&plan_desc, SQL_PLAN_BY_REVISION, record_plan},
    {&price_desc, SQL_PRICE_BY_REVISION, record_price},
    {&provider_desc, SQL_PROVIDER_BY_REVISION, record_provider},
    {&provider_state_desc, SQL_DEF_PROVIDER_BY_REVISION, catalog_fill_state},
    {&catalog_model_desc, SQL_DEF_MODEL_BY_REVISION, catalog_fill_model},
    {&ack_desc, SQL_ACK_BY_REVISION, record_ack},
    {&settled_desc, SQL_SETTLED_BY_REVISION, record_settled},
    {&hold_state_desc, SQL_HOLD_STATE_BY_REVISION, record_hold_state},
    {&session_ended_desc, SQL_SESSION_ENDED_BY_REVISION, record_session_ended},
};

static const struct state_kind *kind_of(uint64_t type)
{
    size_t i;

    for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (kinds[i].desc->type == type)
            return &kinds[i];
    return NULL;
}

static enum status load(struct work *w, const struct state_kind *kind, uint64_t revision, union any_record *ret)
{
    enum status st;

    memset(ret, 0, sizeof(*ret));
    st = record_get(w, kind->by_revision, BINDS(B_I(revision)), kind->fill, ret);
    if (st == ST_NOT_FOUND)
        return err_set(w->err, ST_INTERNAL, "no %s has revision %llu", kind->desc->name, (unsigned long long)revision);
    return st;
}

enum status state_changed(struct work *w, const struct wire_desc *desc, uint64_t revision)
{
    const struct state_kind *kind = kind_of(desc->type);
    union any_record record;
    enum status st = load(w, kind, revision, &record);

    if (st == ST_OK)
        st = changes_add(&w->s->changes, desc, &record, revision, w->err);
    return st;
}

enum status state_touch_user(struct work *w, int64_t user_num, uint64_t revision)
{
    enum status st = store_run(w->s, SQL_USER_TOUCH, BINDS(B_I(user_num), B_I(revision)), w->err);

    return st == ST_OK ? state_changed(w, &user_desc, revision) : st;
}

/* ---- reading -------------------------------------------------------------------------------------------------------
 */

/* A cursor is "s" or "d" (snapshot or delta), the revision that the pages claim, and the revision read last. */
struct position_in_log {
    bool snapshot;
    uint64_t claim, after;
};

static enum status read_cursor(struct work *w, struct slice cursor, struct position_in_log *ret)
{
    char text[64], kind = '\0', rest = '\0';
    unsigned long long claim = 0, after = 0;

    if (!slice_copy(cursor, text, sizeof(text)) ||
        sscanf(text, "%c.%19llu.%19llu%c", &kind, &claim, &after, &rest) != 3 || (kind != 's' && kind != 'd') ||
        claim > LIMIT_ID || after > LIMIT_ID)
        return err_set_field(w->err, ST_BAD_REQUEST, NULL, "cursor",
                             "The cursor is not one that a page of state has given.");
    *ret = (struct position_in_log){kind == 's', claim, after};
    return ST_OK;
}

static enum status write_cursor(struct work *w, const struct position_in_log *at, struct slice *ret)
{
    char text[64];
    int n = snprintf(text, sizeof(text), "%c.%llu.%llu", at->snapshot ? 's' : 'd', (unsigned long long)at->claim,
                     (unsigned long long)at->after);
    char *copy = arena_strndup(w->a, text, (size_t)n);

    if (!copy)
        return err_set(w->err, ST_NO_MEMORY, "no memory for a cursor");
    *ret = (struct slice){copy, (size_t)n};
    return ST_OK;
}

static enum status add_change(struct work *w, sqlite3_stmt *q, struct state_change *to, size_t *bytes)
{
    const struct state_kind *kind = kind_of(col_u64(q, 1));
    union any_record record;
    enum status st = ST_OK;
    struct slice copy;
    struct buf out;

    buf_init(&out, LIMIT_RECORD);
    to->revision = col_u64(q, 0);
    to->kind = kind->desc->type;
    st = load(w, kind, to->revision, &record);
    if (st == ST_OK)
        st = wire_encode(kind->desc, &record, &out, w->err);
    if (st == ST_OK) {
        copy = arena_copy(w->a, (struct slice){out.p, out.n}, &st);
        to->record = copy;
        *bytes += copy.n;
    }
    buf_fini(&out);
    return st;
}

static enum status read_page(struct work *w, struct position_in_log *at, struct state_read_rep *rep, bool *ret_more)
{
    struct state_change *list = arena_alloc(w->a, STATE_PAGE * sizeof(*list));
    uint64_t now_s = w->s->now_ms / 1000, gone_s = now_s > STATE_EXPIRED_S ? now_s - STATE_EXPIRED_S : 0;
    uint64_t over_s = now_s > STATE_SESSION_S ? now_s - STATE_SESSION_S : 0;
    size_t n = 0, bytes = 0;
    sqlite3_stmt *q = NULL;
    enum status st;

    if (!list)
        return err_set(w->err, ST_NO_MEMORY, "no memory for a page of state");
    if (at->snapshot)
        st = store_row(w->s, SQL_STATE_SNAPSHOT, BINDS(B_I(at->after), B_I(STATE_PAGE + 1), B_I(gone_s), B_I(over_s)),
                       &q, w->err);
    else
        st = store_row(w->s, SQL_STATE_AFTER, BINDS(B_I(at->after), B_I(STATE_PAGE + 1)), &q, w->err);
    while (st == ST_OK && q && n < STATE_PAGE && bytes < STATE_PAGE_BYTES) {
        st = add_change(w, q, &list[n], &bytes);
        at->after = list[n++].revision;
        if (st == ST_OK)
            st = store_next(w->s, &q, w->err);
    }
    *ret_more = q != NULL;
    store_reset(&q);
    rep->changes.items = list;
    rep->changes.n = n;
    return st;
}

enum status op_state_read(struct work *w, const void *in, void *out)
{
    const struct state_read_req *req = in;
    struct state_read_rep *rep = out;
    struct position_in_log at = {.after = req->after_revision};
    int64_t newest = 0;
    bool more = false;
    enum status st = store_number(w->s, SQL_REVISION, NO_BINDS, 0, &newest, w->err);

    if (st != ST_OK)
        return st;
    if (req->cursor.n > 0) {
        st = read_cursor(w, req->cursor, &at);
    } else if (at.after == 0 || at.after > (uint64_t)newest || (uint64_t)newest - at.after > STATE_BEHIND_MAX) {
        /* Ahead of us: our database was set back, nothing that the follower knows can be trusted. */
        at = (struct position_in_log){.snapshot = true, .claim = (uint64_t)newest};
    }
    if (st == ST_OK)
        st = read_page(w, &at, rep, &more);
    if (st != ST_OK)
        return st;
    rep->snapshot = at.snapshot;
    rep->revision = at.snapshot ? at.claim : (uint64_t)newest;
    return more ? write_cursor(w, &at, &rep->cursor) : ST_OK;
}
