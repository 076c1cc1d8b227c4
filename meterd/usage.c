#include <string.h>
#include <time.h>

#include "meterd/calls.h"
#include "meterd/ops.h"
#include "meterd/receipt.h"
#include "meterd/record.h"
#include "meterd/users.h"

#define USAGE_PAGE 20
#define HOUR_MS (3600 * INT64_C(1000))
#define DAY_MS (24 * HOUR_MS)

static struct bind text_or_any(struct slice s)
{
    return s.n > 0 ? B_S(s) : B_NULL;
}

static int64_t until_ms(uint64_t to)
{
    return to > 0 ? (int64_t)to * 1000 : INT64_MAX;
}

/* A range that is empty holds nothing whatever was called: it is a mistake of whoever asks. */
static enum status check_range(struct work *w, uint64_t from, uint64_t to)
{
    if (to == 0 || to > from)
        return ST_OK;
    return err_set_field(w->err, ST_BAD_REQUEST, "invalid_value", "to",
                         "Invalid 'to': expected a time after 'from'; 'to' itself is not in the range.");
}

/* ---- the log of calls ----------------------------------------------------------------------------------------------
 */

static enum status check_status(struct work *w, struct slice status)
{
    const char *word = CALLS_STATUSES;

    while (status.n > 0 && *word) {
        size_t n = strcspn(word, ",");

        if (slice_eq(status, (struct slice){word, n}))
            return ST_OK;
        word += n + strspn(word + n, ", ");
    }
    if (status.n == 0)
        return ST_OK;
    return err_set_field(w->err, ST_BAD_REQUEST, "invalid_value", "status",
                         "Invalid 'status': expected one of " CALLS_STATUSES ".");
}

static enum status fill_call(struct work *w, sqlite3_stmt *q, void *to)
{
    struct receipt_call *call = to;

    call->revision = col_u64(q, 25);
    return record_usage(w, q, &call->row);
}

static enum status one_call(struct work *w, const struct usage_list_req *req, struct slice whose,
                            struct usage_list_rep *rep)
{
    struct receipt_call *call = arena_alloc(w->a, sizeof(*call));
    enum status st;

    if (!call)
        return err_set(w->err, ST_NO_MEMORY, "no memory for a call");
    st = record_get(w, SQL_USAGE_BY_REQUEST, BINDS(B_S(req->request_id)), fill_call, call);
    if (st == ST_NOT_FOUND || (st == ST_OK && whose.n > 0 && !slice_eq(whose, call->row.user_id)))
        return ST_OK; /* an empty list, also for somebody else's call */
    if (st != ST_OK)
        return st;
    rep->data.items = &call->row;
    rep->data.n = 1;
    return receipt_fill(w, call);
}

enum status op_usage_list(struct work *w, const void *in, void *out)
{
    const struct usage_list_req *req = in;
    struct usage_list_rep *rep = out;
    uint64_t before = 0, limit = record_limit(req->limit, USAGE_PAGE);
    struct user_row user = {0};
    enum status st = record_cursor(w, req->cursor, LIMIT_ID, &before);

    if (st == ST_OK)
        st = check_range(w, req->from, req->to);
    if (st == ST_OK)
        st = check_status(w, req->status);
    if (st == ST_OK)
        st = users_whose(w, req->actor_id, req->user, &user);
    if (st == ST_OK && req->request_id.n > 0)
        return one_call(w, req, user.user.id, rep);
    if (st == ST_OK) {
        struct record_page page = {.sql = user.num > 0 ? SQL_USAGE_OF_USER : SQL_USAGE_ALL,
                                   .binds = BINDS(B_I(before), B_I(req->from * 1000), B_I(until_ms(req->to)),
                                                  text_or_any(req->model), text_or_any(req->key),
                                                  text_or_any(req->status), B_I(limit + 1), B_I(user.num)),
                                   .fill = record_usage,
                                   .size = sizeof(struct usage_row),
                                   .limit = limit,
                                   .cursor_column = 25};

        st = record_list(w, &page);
        rep->data.items = page.items;
        rep->data.n = page.n;
        rep->next = page.next;
    }
    return st;
}

/* ---- sums ----------------------------------------------------------------------------------------------------------
 */

struct grouping {
    bool model, key, user;
    int64_t time_ms; /* width of a group; 0 = not by time */
};

static enum status one_word(struct work *w, struct slice word, bool everybody, struct grouping *g)
{
    if (slice_is(word, "model"))
        g->model = true;
    else if (slice_is(word, "key"))
        g->key = true;
    else if (slice_is(word, "hour"))
        g->time_ms = HOUR_MS;
    else if (slice_is(word, "day"))
        g->time_ms = g->time_ms ? g->time_ms : DAY_MS; /* an hour lies in one day */
    else if (everybody && slice_is(word, "user"))
        g->user = true;
    else
        return err_set_field(w->err, ST_BAD_REQUEST, "invalid_value", "group_by",
                             "group_by takes %smodel, key, day and hour, with commas.", everybody ? "user, " : "");
    return ST_OK;
}

/* everybody: an administrator asks, who may see whose calls they are. */
static enum status read_grouping(struct work *w, struct slice text, bool everybody, struct grouping *ret)
{
    enum status st = ST_OK;
    size_t i, start = 0;

    *ret = (struct grouping){0};
    for (i = 0; i <= text.n && text.n > 0 && st == ST_OK; i++) {
        if (i < text.n && text.p[i] != ',')
            continue;
        st = one_word(w, (struct slice){text.p + start, i - start}, everybody, ret);
        start = i + 1;
    }
    return st;
}

static enum status group_time(struct work *w, sqlite3_stmt *q, struct slice *ret)
{
    time_t seconds = (time_t)(col_i64(q, 4) / 1000);
    struct tm tm;
    char text[32];
    char *copy;
    size_t n;

    if (col_is_null(q, 4) || !gmtime_r(&seconds, &tm))
        return ST_OK;
    n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    copy = arena_strndup(w->a, text, n);
    if (!copy)
        return err_set(w->err, ST_NO_MEMORY, "no memory for a sum");
    *ret = (struct slice){copy, n};
    return ST_OK;
}

static int64_t amount(int64_t sum)
{
    return sum > MONEY_NANO_MAX ? MONEY_NANO_MAX : sum;
}

static enum status fill_group(struct work *w, sqlite3_stmt *q, void *to)
{
    struct usage_group *g = to;
    uint64_t latency = col_u64(q, 13);
    enum status st = col_text(q, 0, w->a, &g->user_id, w->err);

    if (st == ST_OK)
        st = col_text(q, 1, w->a, &g->email, w->err);
    if (st == ST_OK)
        st = col_text(q, 2, w->a, &g->model, w->err);
    if (st == ST_OK)
        st = col_text(q, 3, w->a, &g->key_id, w->err);
    g->requests = col_u64(q, 5);
    g->errors = col_u64(q, 6);
    g->prompt_tokens = col_u64(q, 7);
    g->cached_tokens = col_u64(q, 8);
    g->cache_write_tokens = col_u64(q, 9);
    g->completion_tokens = col_u64(q, 10);
    g->reasoning_tokens = col_u64(q, 11);
    g->cost_nano = amount(col_i64(q, 12));
    g->latency_ms_avg = latency > LIMIT_MS ? LIMIT_MS : latency;
    return st == ST_OK ? group_time(w, q, &g->time) : st;
}

/* Both queries take the same values; without groups the last ones are not asked for. */
struct range {
    int64_t num, from_ms, to_ms; /* num 0 = everybody's */
};

static enum status sum_all(struct work *w, const struct range *r, struct usage_summary_rep *rep)
{
    struct usage_group *total = arena_alloc(w->a, sizeof(*total));
    enum status st;

    if (!total)
        return err_set(w->err, ST_NO_MEMORY, "no memory for a sum");
    st = record_get(w, r->num > 0 ? SQL_SUM_OF_USER : SQL_SUM_ALL, BINDS(B_I(r->num), B_I(r->from_ms), B_I(r->to_ms)),
                    fill_group, total);
    rep->total.items = total;
    rep->total.n = 1;
    return st;
}

static enum status sum_groups(struct work *w, const struct range *r, const struct grouping *g,
                              struct usage_summary_rep *rep)
{
    struct record_page page = {.sql = r->num > 0 ? SQL_GROUP_OF_USER : SQL_GROUP_ALL,
                               .binds = BINDS(B_I(r->num), B_I(r->from_ms), B_I(r->to_ms), B_I(g->model), B_I(g->key),
                                              B_I(g->time_ms), B_I(LIMIT_LIST + 1), B_I(g->user)),
                               .fill = fill_group,
                               .size = sizeof(struct usage_group),
                               .limit = LIMIT_LIST};
    enum status st = record_list(w, &page);

    if (st == ST_OK && page.next.n > 0)
        return err_set_field(w->err, ST_BAD_REQUEST, "invalid_value", "group_by",
                             "That makes more than %d groups; ask for a shorter time or for fewer groups.", LIMIT_LIST);
    rep->data.items = page.items;
    rep->data.n = page.n;
    return st;
}

enum status op_usage_summary(struct work *w, const void *in, void *out)
{
    const struct usage_summary_req *req = in;
    struct usage_summary_rep *rep = out;
    struct range range = {.from_ms = (int64_t)req->from * 1000, .to_ms = until_ms(req->to)};
    struct user_row user = {0};
    struct grouping g;
    enum status st = read_grouping(w, req->group_by, req->actor_id.n == 0, &g);

    if (st == ST_OK)
        st = check_range(w, req->from, req->to);
    if (st == ST_OK)
        st = users_whose(w, req->actor_id, req->user, &user);
    range.num = user.num;
    if (st == ST_OK)
        st = sum_all(w, &range, rep);
    if (st == ST_OK && req->group_by.n > 0)
        st = sum_groups(w, &range, &g, rep);
    return st;
}
