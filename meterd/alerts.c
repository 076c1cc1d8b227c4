#include "meterd/alerts.h"

#include <inttypes.h>
#include <stdio.h>

#include "meterd/audit.h"
#include "meterd/ops.h"
#include "meterd/security.h"
#include "services/json.h"

#define ALERTS_PAGE 100
#define BODY_MAX 16384u

static enum status fill_alert(struct work *w, sqlite3_stmt *q, void *to)
{
    struct alert *a = to;
    struct slice *const texts[] = {&a->rule, &a->severity, &a->subject, &a->text, &a->state};
    enum status st = ST_OK;
    int i;

    a->id = col_u64(q, 0);
    for (i = 0; i < 5 && st == ST_OK; i++)
        st = col_text(q, 1 + i, w->a, texts[i], w->err);
    a->since = col_u64(q, 6);
    a->last = col_u64(q, 7);
    a->count = col_u64(q, 8);
    a->resolved_at = col_u64(q, 9);
    a->acknowledged_at = col_u64(q, 10);
    return st == ST_OK ? col_text(q, 11, w->a, &a->acknowledged_by, w->err) : st;
}

/* ---- what the rules found ------------------------------------------------------------------------------------------
 */

static void add_member(struct buf *b, const char *name, struct slice value)
{
    buf_addf(b, ",\"%s\":", name);
    json_add_string(b, value);
}

/* `text` is what Slack and those like it show; the rest is for programs. */
static enum status post(struct work *w, const struct alert *a)
{
    char line[LIMIT_TITLE + LIMIT_NAME * 3];
    struct buf b;
    enum status st;

    snprintf(line, sizeof(line), "[" SLICE_FMT "] " SLICE_FMT " " SLICE_FMT ": " SLICE_FMT, SLICE_ARG(a->severity),
             SLICE_ARG(a->rule), SLICE_ARG(a->state), SLICE_ARG(a->text));
    buf_init(&b, BODY_MAX);
    buf_addf(&b, "{\"id\":%" PRIu64 ",\"since\":%" PRIu64 ",\"last\":%" PRIu64 ",\"resolved_at\":%" PRIu64, a->id,
             a->since, a->last, a->resolved_at);
    add_member(&b, "text", slice_of(line));
    add_member(&b, "rule", a->rule);
    add_member(&b, "severity", a->severity);
    add_member(&b, "subject", a->subject);
    add_member(&b, "state", a->state);
    add_member(&b, "message", a->text);
    st = buf_add(&b, "}", 1);
    if (st == ST_OK)
        st = store_run(w->s, SQL_DELIVERY_INSERT, BINDS(B_S(((struct slice){b.p, b.n})), B_I(w->s->now_ms / 1000)),
                       w->err);
    buf_fini(&b);
    return st;
}

static enum status begin(struct work *w, const struct finding *f, bool posted)
{
    uint64_t now = w->s->now_ms / 1000;
    struct alert a = {.rule = slice_of(f->rule),
                      .severity = slice_of(f->severity),
                      .subject = f->subject,
                      .text = f->text,
                      .state = slice_of("firing"),
                      .since = now,
                      .last = now};
    int64_t id = 0;
    enum status st = store_run(w->s, SQL_ALERT_INSERT,
                               BINDS(B_S(a.rule), B_S(a.severity), B_S(a.subject), B_S(a.text), B_I(now)), w->err);

    if (st == ST_OK)
        st = store_number(w->s, SQL_ALERT_LAST, NO_BINDS, 0, &id, w->err);
    a.id = (uint64_t)id;
    return st == ST_OK && posted ? post(w, &a) : st;
}

static enum status see(struct work *w, const struct finding *f, bool posted)
{
    enum status st = store_run(w->s, SQL_ALERT_SEEN,
                               BINDS(B_C(f->rule), B_S(f->subject), B_I(w->s->now_ms / 1000), B_S(f->text)), w->err);

    return st == ST_OK && store_changed(w->s) == 0 ? begin(w, f, posted) : st;
}

static enum status resolve(struct work *w, bool posted)
{
    uint64_t now = w->s->now_ms / 1000;
    struct record_page page = {.sql = SQL_ALERTS_CLEAR,
                               .binds = BINDS(B_I(now - ALERT_CLEAR_S), B_I(ALERT_STEP_ROWS + 1)),
                               .fill = fill_alert,
                               .size = sizeof(struct alert),
                               .limit = ALERT_STEP_ROWS};
    enum status st = record_list(w, &page);
    struct alert *alerts = page.items;
    size_t i;

    for (i = 0; i < page.n && st == ST_OK; i++) {
        st = store_run(w->s, SQL_ALERT_RESOLVE, BINDS(B_I(alerts[i].id), B_I(now)), w->err);
        alerts[i].state = slice_of("resolved");
        alerts[i].resolved_at = now;
        if (st == ST_OK && posted)
            st = post(w, &alerts[i]);
    }
    return st;
}

static enum status forget(struct work *w)
{
    uint64_t kept_s = w->s->security_kept_s;
    int64_t before = kept_s ? (int64_t)(w->s->now_ms / 1000 - kept_s) : 0;
    enum status st =
        store_run(w->s, SQL_ALERTS_FORGET, BINDS(B_I(before), B_I(ALERT_ROWS_MAX), B_I(ALERT_STEP_ROWS)), w->err);

    return st == ST_OK ? store_run(w->s, SQL_DELIVERIES_FORGET, BINDS(B_I(ALERT_DELIVERIES_MAX)), w->err) : st;
}

enum status alerts_apply(struct work *w, const struct alerts_report *report)
{
    enum status st = ST_OK;
    size_t i;

    if (report->delivered)
        st = store_run(w->s, SQL_DELIVERY_DONE, BINDS(B_I(report->delivered)), w->err);
    if (st == ST_OK && report->again)
        st = store_run(w->s, SQL_DELIVERY_AGAIN, BINDS(B_I(report->again), B_I(report->again_s)), w->err);
    for (i = 0; i < report->n_events && st == ST_OK; i++)
        st = security_add(w, &report->events[i]);
    for (i = 0; i < report->n && st == ST_OK; i++)
        st = see(w, &report->findings[i], report->post);
    if (st == ST_OK && report->looked)
        st = resolve(w, report->post);
    return st == ST_OK && report->looked ? forget(w) : st;
}

/* ---- for administrators --------------------------------------------------------------------------------------------
 */

static struct bind any_or(struct slice text)
{
    return text.n ? B_S(text) : B_NULL;
}

enum status op_alert_list(struct work *w, const void *in, void *out)
{
    const struct alert_list_req *req = in;
    struct alert_list_rep *rep = out;
    struct record_page page = {.sql = SQL_ALERTS,
                               .fill = fill_alert,
                               .size = sizeof(struct alert),
                               .limit = record_limit(req->limit, ALERTS_PAGE)};
    uint64_t before = 0;
    enum status st = record_cursor(w, req->cursor, LIMIT_ID, &before);

    if (st == ST_OK && req->state.n && !slice_is(req->state, "firing") && !slice_is(req->state, "resolved"))
        st = err_set_field(w->err, ST_BAD_REQUEST, "invalid_value", "state",
                           "Invalid 'state': expected one of firing, resolved.");
    if (st != ST_OK)
        return st;
    page.binds = BINDS(B_I(before), any_or(req->state), any_or(req->rule), B_I(page.limit + 1));
    st = record_list(w, &page);
    rep->data.items = page.items;
    rep->data.n = page.n;
    rep->next = page.next;
    return st;
}

/* Of the first who says so. */
enum status op_alert_ack(struct work *w, const void *in, void *out)
{
    const struct alert_ack_req *req = in;
    struct alert_rep *rep = out;
    struct audit_note note = {.actor = req->actor_id, .action = "alert.acknowledge", .object = req->id};
    struct alert *a = arena_alloc(w->a, sizeof(*a));
    uint64_t id = 0;
    enum status st;

    if (!a)
        return err_set(w->err, ST_NO_MEMORY, "no memory for an alert");
    if (record_cursor(w, req->id, 0, &id) != ST_OK)
        id = 0; /* what is no number names none */
    st = store_run(w->s, SQL_ALERT_ACK, BINDS(B_I(id), B_I(w->s->now_ms / 1000), B_S(req->actor_id)), w->err);
    if (st == ST_OK && store_changed(w->s) > 0)
        st = audit_add(w, &note);
    if (st == ST_OK)
        st = record_get(w, SQL_ALERT_BY_ID, BINDS(B_I(id)), fill_alert, a);
    if (st == ST_NOT_FOUND)
        return err_set_field(w->err, st, "alert_not_found", "id", "There is no such alert.");
    rep->alert.items = a;
    rep->alert.n = 1;
    return st;
}
