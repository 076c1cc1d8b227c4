#include "meterd/audit.h"

#include "meterd/catalog.h"
#include "meterd/ops.h"

#define AUDIT_PAGE 100

enum status audit_add(struct work *w, const struct audit_note *note)
{
    return store_run(
        w->s, SQL_AUDIT_INSERT,
        BINDS(B_I(w->s->now_ms / 1000), B_S(note->actor), B_C(note->action), B_S(note->object), B_S(note->detail)),
        w->err);
}

enum status audit_change(struct work *w, const struct audit_note *note, const struct wire_desc *desc,
                         const void *before, const void *after)
{
    struct audit_note full = *note;
    enum status st = catalog_diff(w, desc, before, after, false, &full.detail);

    return st == ST_OK && full.detail.n > 0 ? audit_add(w, &full) : st;
}

static enum status fill_entry(struct work *w, sqlite3_stmt *q, void *to)
{
    struct audit_entry *e = to;
    enum status st;

    e->id = col_u64(q, 0);
    e->created = col_u64(q, 1);
    st = col_text(q, 2, w->a, &e->actor_id, w->err);
    if (st == ST_OK)
        st = col_text(q, 3, w->a, &e->action, w->err);
    if (st == ST_OK)
        st = col_text(q, 4, w->a, &e->object, w->err);
    return st == ST_OK ? col_text(q, 5, w->a, &e->detail, w->err) : st;
}

enum status op_audit_list(struct work *w, const void *in, void *out)
{
    const struct audit_list_req *req = in;
    struct audit_list_rep *rep = out;
    struct record_page page = {.sql = SQL_AUDITS,
                               .fill = fill_entry,
                               .size = sizeof(struct audit_entry),
                               .limit = record_limit(req->limit, AUDIT_PAGE)};
    uint64_t before = 0;
    enum status st = record_cursor(w, req->cursor, LIMIT_ID, &before);

    if (st != ST_OK)
        return st;
    page.binds = BINDS(B_I(before), B_I(page.limit + 1));
    st = record_list(w, &page);
    rep->data.items = page.items;
    rep->data.n = page.n;
    rep->next = page.next;
    return st;
}
