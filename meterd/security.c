#include "meterd/security.h"

#include "meterd/ops.h"

#define SECURITY_PAGE 100

enum security_kind security_kind_of(struct slice name)
{
    size_t kind = 0;

    while (kind < SECURITY_N && !slice_is(name, security_names[kind]))
        kind++;
    return (enum security_kind)kind;
}

enum status security_add(struct work *w, const struct security_event *seen)
{
    int64_t id = 0, since = (int64_t)seen->last_seen - SECURITY_WINDOW_S;
    enum security_kind kind = security_kind_of(seen->kind);
    enum status st;

    if (kind == SECURITY_N)
        return ST_OK; /* of a service that is newer than we are */
    st = store_number(w->s, SQL_SECURITY_SAME,
                      BINDS(B_S(seen->kind), B_S(seen->subject), B_S(seen->address), B_I(since)), 0, &id, w->err);
    if (st == ST_OK && id)
        st = store_run(w->s, SQL_SECURITY_AGAIN, BINDS(B_I(id), B_I(seen->count), B_I(seen->last_seen)), w->err);
    else if (st == ST_OK)
        st = store_run(w->s, SQL_SECURITY_INSERT,
                       BINDS(B_S(seen->kind), B_S(seen->subject), B_S(seen->address), B_I(seen->count),
                             B_I(seen->first_seen), B_I(seen->last_seen), B_S(seen->detail)),
                       w->err);
    if (st == ST_OK)
        w->s->counts.security[kind] += seen->count;
    return st;
}

enum status op_security_report(struct work *w, const void *in, void *out)
{
    const struct security_report_req *req = in;
    int64_t seq = 0;
    enum status st = store_number(w->s, SQL_SECURITY_SEQ, BINDS(B_S(req->source)), 0, &seq, w->err);
    size_t i;

    (void)out;
    if (st != ST_OK || (uint64_t)seq >= req->seq)
        return st; /* told before: our answer was lost */
    for (i = 0; i < req->events.n && st == ST_OK; i++)
        st = security_add(w, &req->events.items[i]);
    if (st == ST_OK)
        st = store_run(w->s, SQL_SECURITY_TOLD, BINDS(B_S(req->source), B_I(req->seq), B_I(w->s->now_ms / 1000)),
                       w->err);
    return st;
}

/* ---- forgetting ----------------------------------------------------------------------------------------------------
 */

static enum status forget_most(struct work *w, const char *kind, bool *ret_more)
{
    int64_t n = 0, over;
    enum status st = store_number(w->s, SQL_SECURITY_COUNT, BINDS(B_C(kind)), 0, &n, w->err);

    over = n - SECURITY_ROWS_MAX;
    if (st != ST_OK || over <= 0)
        return st;
    *ret_more = *ret_more || over > SECURITY_FORGET_ROWS;
    over = over > SECURITY_FORGET_ROWS ? SECURITY_FORGET_ROWS : over;
    return store_run(w->s, SQL_SECURITY_FORGET_KIND, BINDS(B_C(kind), B_I(over)), w->err);
}

enum status security_forget(struct work *w, bool *ret_more)
{
    uint64_t kept_s = w->s->security_kept_s ? w->s->security_kept_s : (uint64_t)SECURITY_DAYS * 24 * 3600;
    int64_t now = (int64_t)(w->s->now_ms / 1000);
    enum status st =
        store_run(w->s, SQL_SECURITY_FORGET_OLD, BINDS(B_I(now - (int64_t)kept_s), B_I(SECURITY_FORGET_ROWS)), w->err);
    size_t kind;

    *ret_more = st == ST_OK && store_changed(w->s) == SECURITY_FORGET_ROWS;
    for (kind = 0; kind < SECURITY_N && st == ST_OK; kind++)
        st = forget_most(w, security_names[kind], ret_more);
    return st == ST_OK ? store_run(w->s, SQL_SECURITY_FORGET_SOURCES, BINDS(B_I(now - SECURITY_SOURCE_S)), w->err) : st;
}

/* ---- the list ------------------------------------------------------------------------------------------------------
 */

static enum status fill_event(struct work *w, sqlite3_stmt *q, void *to)
{
    struct security_event *e = to;
    enum status st;

    e->id = col_u64(q, 0);
    e->count = col_u64(q, 4);
    e->first_seen = col_u64(q, 5);
    e->last_seen = col_u64(q, 6);
    st = col_text(q, 1, w->a, &e->kind, w->err);
    if (st == ST_OK)
        st = col_text(q, 2, w->a, &e->subject, w->err);
    if (st == ST_OK)
        st = col_text(q, 3, w->a, &e->address, w->err);
    return st == ST_OK ? col_text(q, 7, w->a, &e->detail, w->err) : st;
}

static struct bind any_or(struct slice text)
{
    return text.n ? B_S(text) : B_NULL;
}

static enum status check_list(struct work *w, const struct security_list_req *req)
{
    if (req->kind.n && security_kind_of(req->kind) == SECURITY_N)
        return err_set_field(w->err, ST_BAD_REQUEST, "invalid_value", "kind",
                             "Invalid 'kind': there are no security events of that kind.");
    if (req->to && req->to <= req->from)
        return err_set_field(w->err, ST_BAD_REQUEST, "invalid_value", "to",
                             "Invalid 'to': expected a time after 'from'; 'to' itself is not in the range.");
    return ST_OK;
}

enum status op_security_list(struct work *w, const void *in, void *out)
{
    const struct security_list_req *req = in;
    struct security_list_rep *rep = out;
    struct record_page page = {.sql = SQL_SECURITY_EVENTS,
                               .fill = fill_event,
                               .size = sizeof(struct security_event),
                               .limit = record_limit(req->limit, SECURITY_PAGE)};
    uint64_t before = 0;
    enum status st = record_cursor(w, req->cursor, LIMIT_ID, &before);

    if (st == ST_OK)
        st = check_list(w, req);
    if (st != ST_OK)
        return st;
    page.binds = BINDS(B_I(before), any_or(req->kind), any_or(req->subject), any_or(req->address), B_I(req->from),
                       B_I(req->to ? req->to : LIMIT_TIME), B_I(page.limit + 1));
    st = record_list(w, &page);
    rep->data.items = page.items;
    rep->data.n = page.n;
    rep->next = page.next;
    return st;
}
