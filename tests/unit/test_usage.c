/* The log of calls and its sums. */
#include "tests/unit/meter_fixture.h"

#define HOUR_MS UINT64_C(3600000)
#define DAY_MS (24 * HOUR_MS)
#define BASE_MS UINT64_C(1800000000000) /* 2027-01-15T08:00:00Z */
#define CALLS 50

static struct slice fill_calls(struct meter *m, struct slice *ret_other)
{
    struct slice user = meter_user(m, "a@x.test", METER_USD);
    uint64_t price = meter_price(m, "test-model", 1000000, 2000000);
    struct usage_event e[CALLS];
    char ids[CALLS][16];
    int i;

    *ret_other = meter_user(m, "b@x.test", METER_USD);
    for (i = 0; i < CALLS; i++) {
        snprintf(ids[i], sizeof(ids[i]), "req_%02d", i);
        e[i] = meter_event(i % 5 == 4 ? *ret_other : user, ids[i], price);
        e[i].model = slice_of(i % 2 ? "gpt-4o" : "echo");
        e[i].key_id = slice_of(i % 3 ? "key_1" : "key_2");
        e[i].status = slice_of(i % 10 == 0 ? "error" : "ok");
        e[i].created_ms = BASE_MS + (uint64_t)i * HOUR_MS / 2;
        e[i].latency_ms = 10 + (uint64_t)i;
        e[i].cached_tokens = 100;
        e[i].reasoning_tokens = 7;
    }
    assert_int_equal(meter_deliver(m, "out1", 1, e, CALLS), CALLS);
    return user;
}

static size_t walk(struct meter *m, struct usage_list_req req)
{
    struct usage_list_rep rep;
    char last[16] = "req_99";
    size_t n = 0, i;

    do {
        memset(&rep, 0, sizeof(rep));
        METER_OK(m, op_usage_list, &req, &rep);
        for (i = 0; i < rep.data.n; i++) {
            assert_true(memcmp(rep.data.items[i].request_id.p, last, 6) < 0); /* newest first, none twice */
            memcpy(last, rep.data.items[i].request_id.p, 6);
        }
        n += rep.data.n;
        req.cursor = rep.next;
    } while (rep.next.n > 0);
    return n;
}

static void the_log_is_filtered_and_paged(void **state)
{
    struct meter *m = *state;
    struct slice other, user = fill_calls(m, &other);

    assert_int_equal(walk(m, (struct usage_list_req){.limit = 7}), 50);
    assert_int_equal(walk(m, (struct usage_list_req){.limit = 7, .actor_id = user}), 40);
    assert_int_equal(walk(m, (struct usage_list_req){.limit = 3, .actor_id = other}), 10);
    assert_int_equal(walk(m, (struct usage_list_req){.model = slice_of("echo")}), 25);
    assert_int_equal(walk(m, (struct usage_list_req){.key = slice_of("key_2")}), 17);
    assert_int_equal(walk(m, (struct usage_list_req){.status = slice_of("error"), .actor_id = user}), 5);
    assert_int_equal(walk(m, (struct usage_list_req){.from = BASE_MS / 1000, .to = BASE_MS / 1000 + 3600}), 2);
    assert_int_equal(walk(m, (struct usage_list_req){.model = slice_of("%")}), 0);
    assert_int_equal(walk(m, (struct usage_list_req){.model = slice_of("' OR 1=1 --")}), 0);
}

static void what_nothing_can_be_found_with_is_refused(void **state)
{
    static const char *const words[] = {"ok", "error", "cancelled", "truncated", "expired", "void"};
    struct meter *m = *state;
    struct usage_list_req req;
    struct usage_list_rep rep = {0};
    struct usage_summary_req sum = {.from = 10, .to = 10};
    struct usage_summary_rep sums = {0};
    size_t i;

    for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        assert_int_equal(walk(m, (struct usage_list_req){.status = slice_of(words[i])}), 0);
    req = (struct usage_list_req){.status = slice_of("void, ok")};
    assert_int_equal(meter_run(m, op_usage_list, &req, &rep), ST_BAD_REQUEST);
    assert_string_equal(m->err.param, "status");
    assert_non_null(strstr(m->err.text, "ok, error, cancelled, truncated, expired, void"));
    req = (struct usage_list_req){.from = 10, .to = 9};
    assert_int_equal(meter_run(m, op_usage_list, &req, &rep), ST_BAD_REQUEST);
    assert_string_equal(m->err.param, "to");
    assert_int_equal(meter_run(m, op_usage_summary, &sum, &sums), ST_BAD_REQUEST);
    assert_string_equal(m->err.param, "to");
    sum.to = 11;
    METER_OK(m, op_usage_summary, &sum, &sums);
}

static void one_call_is_shown_to_its_payer_only(void **state)
{
    struct meter *m = *state;
    struct slice other, user = fill_calls(m, &other);
    struct usage_list_req req = {.request_id = slice_of("req_01"), .actor_id = user};
    struct usage_list_rep rep = {0};
    const struct usage_row *row;

    METER_OK(m, op_usage_list, &req, &rep);
    assert_int_equal(rep.data.n, 1);
    row = &rep.data.items[0];
    assert_true(slice_eq(row->user_id, user) && slice_is(row->model, "gpt-4o") && slice_is(row->key_id, "key_1"));
    assert_int_equal(row->prompt_tokens, 1000);
    assert_int_equal(row->completion_tokens, 100);
    assert_int_equal(row->cost_nano, 1200000);
    assert_int_equal(row->created, (BASE_MS + HOUR_MS / 2) / 1000);
    req.actor_id = other;
    memset(&rep, 0, sizeof(rep));
    METER_OK(m, op_usage_list, &req, &rep);
    assert_int_equal(rep.data.n, 0);
}

static void sums_agree_with_the_ledger(void **state)
{
    struct meter *m = *state;
    struct slice other, user = fill_calls(m, &other);
    struct usage_summary_req req = {.actor_id = user, .group_by = slice_of("model,key")};
    struct usage_summary_rep rep = {0};
    uint64_t requests = 0, tokens = 0;
    int64_t cost = 0;
    size_t i;

    METER_OK(m, op_usage_summary, &req, &rep);
    assert_int_equal(rep.total.items[0].requests, 40);
    assert_int_equal(rep.total.items[0].errors, 5);
    assert_int_equal(rep.total.items[0].reasoning_tokens, 280);
    assert_int_equal(rep.total.items[0].cost_nano, meter_credits(m, user).spent_nano);
    assert_int_equal(rep.data.n, 4);
    for (i = 0; i < rep.data.n; i++) {
        assert_true(rep.data.items[i].model.n > 0 && rep.data.items[i].key_id.n > 0 && rep.data.items[i].time.n == 0);
        requests += rep.data.items[i].requests;
        tokens += rep.data.items[i].prompt_tokens;
        cost += rep.data.items[i].cost_nano;
    }
    assert_int_equal(requests, 40);
    assert_int_equal(tokens, rep.total.items[0].prompt_tokens);
    assert_int_equal(cost, rep.total.items[0].cost_nano);
}

static void groups_by_time_begin_at_the_hour_and_the_day(void **state)
{
    struct meter *m = *state;
    struct slice other;
    struct usage_summary_req req = {.group_by = slice_of("hour")};
    struct usage_summary_rep rep = {0};

    fill_calls(m, &other);
    METER_OK(m, op_usage_summary, &req, &rep);
    assert_int_equal(rep.data.n, 25);
    assert_true(slice_is(rep.data.items[0].time, "2027-01-15T08:00:00Z"));
    assert_true(slice_is(rep.data.items[1].time, "2027-01-15T09:00:00Z"));
    assert_int_equal(rep.data.items[0].requests, 2);
    req.group_by = slice_of("day");
    memset(&rep, 0, sizeof(rep));
    METER_OK(m, op_usage_summary, &req, &rep);
    assert_int_equal(rep.data.n, 2);
    assert_true(slice_is(rep.data.items[0].time, "2027-01-15T00:00:00Z"));
    assert_int_equal(rep.data.items[0].requests, 32);
    req.from = BASE_MS / 1000 + 86400;
    memset(&rep, 0, sizeof(rep));
    METER_OK(m, op_usage_summary, &req, &rep);
    assert_int_equal(rep.total.items[0].requests, 2);
    req.group_by = slice_of("model,colour");
    assert_int_equal(meter_run(m, op_usage_summary, &req, &rep), ST_BAD_REQUEST);
    req.group_by = slice_of("model,");
    assert_int_equal(meter_run(m, op_usage_summary, &req, &rep), ST_BAD_REQUEST);
}

/* ---- by user, for administrators -----------------------------------------------------------------------------------
 */

static const struct usage_group *group_of(const struct usage_summary_rep *rep, struct slice user, const char *model)
{
    for (size_t i = 0; i < rep->data.n; i++)
        if (slice_eq(rep->data.items[i].user_id, user) && slice_is(rep->data.items[i].model, model))
            return &rep->data.items[i];
    fail_msg("no group of " SLICE_FMT " and %s", SLICE_ARG(user), model);
    return NULL;
}

static void groups_by_user_name_them(void **state)
{
    struct meter *m = *state;
    struct slice other, user = fill_calls(m, &other);
    struct usage_summary_req req = {.group_by = slice_of("user")};
    struct usage_summary_rep rep = {0};
    const struct usage_group *g;

    METER_OK(m, op_usage_summary, &req, &rep);
    assert_int_equal(rep.data.n, 2);
    g = group_of(&rep, user, "");
    assert_true(slice_is(g->email, "a@x.test") && g->key_id.n == 0 && g->time.n == 0);
    assert_int_equal(g->requests, 40);
    assert_int_equal(g->cost_nano, meter_credits(m, user).spent_nano);
    assert_true(slice_is(group_of(&rep, other, "")->email, "b@x.test"));
    assert_int_equal(group_of(&rep, other, "")->requests, 10);

    req.group_by = slice_of("model,user");
    memset(&rep, 0, sizeof(rep));
    METER_OK(m, op_usage_summary, &req, &rep);
    assert_int_equal(rep.data.n, 4);
    assert_int_equal(group_of(&rep, user, "echo")->requests, 20);
    assert_int_equal(group_of(&rep, other, "gpt-4o")->requests, 5);
    req.group_by = slice_of("user,day");
    memset(&rep, 0, sizeof(rep));
    METER_OK(m, op_usage_summary, &req, &rep);
    assert_int_equal(rep.data.n, 4);
    assert_true(slice_is(rep.data.items[0].time, "2027-01-15T00:00:00Z") && slice_eq(rep.data.items[0].user_id, user));

    req.group_by = slice_of("user");
    req.user = other;
    memset(&rep, 0, sizeof(rep));
    METER_OK(m, op_usage_summary, &req, &rep);
    assert_int_equal(rep.total.items[0].requests, 10);
    assert_int_equal(rep.data.n, 1);
    assert_true(slice_is(rep.data.items[0].email, "b@x.test") && slice_eq(rep.data.items[0].user_id, other));
    req.group_by = slice_of("");
    memset(&rep, 0, sizeof(rep));
    METER_OK(m, op_usage_summary, &req, &rep);
    assert_true(rep.total.items[0].requests == 10 && rep.total.items[0].user_id.n == 0 && rep.data.n == 0);
}

/* Calls by whom meterd does not know have the id that they came with. One that looks like a user's number is none. */
static void the_calls_of_strangers_are_groups_of_their_own(void **state)
{
    static const char *const ids[] = {"usr_nobody", "1", "2"};
    struct meter *m = *state;
    struct slice other;
    struct usage_event e[3];
    struct usage_summary_req req = {.group_by = slice_of("user")};
    struct usage_summary_rep rep = {0};
    size_t i;

    fill_calls(m, &other);
    for (i = 0; i < 3; i++)
        e[i] = meter_event(slice_of(ids[i]), ids[i], 0);
    assert_int_equal(meter_deliver(m, "out1", CALLS + 1, e, 3), CALLS + 3);
    METER_OK(m, op_usage_summary, &req, &rep);
    assert_int_equal(rep.data.n, 5);
    for (i = 0; i < 3; i++) {
        const struct usage_group *g = group_of(&rep, slice_of(ids[i]), "");

        assert_true(g->requests == 1 && g->email.n == 0);
    }
}

static void only_administrators_choose_whose(void **state)
{
    struct meter *m = *state;
    struct slice other, user = fill_calls(m, &other);
    struct usage_summary_req sum = {.actor_id = user, .group_by = slice_of("user")};
    struct usage_summary_rep sums = {0};
    struct usage_list_req list = {.user = other, .limit = 3};
    struct usage_list_rep rows = {0};
    struct ledger_list_req entries = {.user = other};
    struct ledger_list_rep ledger = {0};

    assert_int_equal(walk(m, list), 10);
    assert_int_equal(walk(m, (struct usage_list_req){.user = user, .status = slice_of("error")}), 5);
    METER_OK(m, op_ledger_list, &entries, &ledger);
    assert_int_equal(ledger.data.n, 11);
    assert_int_equal(ledger.data.items[10].amount_nano, METER_USD); /* what he began with */

    assert_int_equal(meter_run(m, op_usage_summary, &sum, &sums), ST_BAD_REQUEST);
    assert_string_equal(m->err.param, "group_by");
    assert_null(strstr(m->err.text, "user"));
    sum = (struct usage_summary_req){.actor_id = user, .user = other};
    assert_int_equal(meter_run(m, op_usage_summary, &sum, &sums), ST_BAD_REQUEST);
    assert_string_equal(m->err.param, "user");
    list.actor_id = entries.actor_id = user;
    assert_int_equal(meter_run(m, op_usage_list, &list, &rows), ST_BAD_REQUEST);
    assert_string_equal(m->err.param, "user");
    assert_int_equal(meter_run(m, op_ledger_list, &entries, &ledger), ST_BAD_REQUEST);
    assert_string_equal(m->err.param, "user");

    sum = (struct usage_summary_req){.user = slice_of("usr_nobody")};
    assert_int_equal(meter_run(m, op_usage_summary, &sum, &sums), ST_BAD_REQUEST);
    assert_string_equal(m->err.param, "user");
    entries = (struct ledger_list_req){.user = slice_of("' OR 1=1 --")};
    assert_int_equal(meter_run(m, op_ledger_list, &entries, &ledger), ST_BAD_REQUEST);
    assert_string_equal(m->err.param, "user");
}

static void too_many_groups_are_refused(void **state)
{
    struct meter *m = *state;
    struct slice other;
    struct usage_summary_req req = {.group_by = slice_of("user,hour")};
    struct usage_summary_rep rep = {0};

    fill_calls(m, &other);
    meter_sql(m, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) "
                 "INSERT INTO usage SELECT 100000 + i, 'x' || i, user_num, key_id, model, provider, upstream_model, "
                 "endpoint, stream, status, http_status, prompt_tokens, cached_tokens, cache_write_tokens, "
                 "cache_write_long_tokens, completion_tokens, reasoning_tokens, estimated, price_id, cost_nano, "
                 "overage_nano, balance_nano, hold_nano, i * 3600000, latency_ms, ttft_ms, attempts, 0, 0, 0, 0, 0 "
                 "FROM n JOIN usage ON request_id = 'req_01'");
    assert_int_equal(meter_run(m, op_usage_summary, &req, &rep), ST_BAD_REQUEST);
    assert_string_equal(m->err.param, "group_by");
    req.user = other;
    METER_OK(m, op_usage_summary, &req, &rep);
    assert_int_equal(rep.data.n, 10);
}

/* What SQLite would do for the statement, as lines of text. */
static void plan_of(struct meter *m, enum sql sql, const struct bind *binds, char *text, size_t size)
{
    char explain[4096];
    struct store *reader = NULL;
    sqlite3_stmt *q = NULL;
    size_t at = 0;

    assert_int_equal(store_open_reader(m->path, &reader, &m->err), ST_OK);
    assert_int_equal(batch_begin(reader, &m->err), ST_OK);
    assert_int_equal(store_row(reader, sql, binds, &q, &m->err), ST_OK);
    store_reset(&q);
    snprintf(explain, sizeof(explain), "EXPLAIN QUERY PLAN %s", sqlite3_sql(reader->stmts[sql]));
    assert_int_equal(sqlite3_prepare_v2(reader->db, explain, -1, &q, NULL), SQLITE_OK);
    while (sqlite3_step(q) == SQLITE_ROW && at < size)
        at += (size_t)snprintf(text + at, size - at, "%s\n", (const char *)sqlite3_column_text(q, 3));
    sqlite3_finalize(q);
    batch_abandon(reader);
    store_close(reader);
}

static void one_users_calls_are_found_by_index(void **state)
{
    static const enum sql of_user[] = {SQL_SUM_OF_USER, SQL_GROUP_OF_USER, SQL_USAGE_OF_USER};
    struct meter *m = *state;
    struct slice other;
    char text[4096];
    size_t i;

    fill_calls(m, &other);
    for (i = 0; i < sizeof(of_user) / sizeof(of_user[0]); i++) {
        const struct bind *binds = BINDS(B_I(2), B_I(0), B_I(INT64_MAX), B_I(1), B_I(1), B_I(DAY_MS), B_I(9), B_I(1));

        plan_of(m, of_user[i], i == 0 ? BINDS(B_I(2), B_I(0), B_I(INT64_MAX)) : binds, text, sizeof(text));
        if (!strstr(text, "USING INDEX usage_user (user_num=?") || strstr(text, "SCAN usage") || strstr(text, "SCAN c"))
            fail_msg("%s", text);
    }
    /* Newest first is the index's own order; everybody's sums read no more than the time that is asked for. */
    assert_null(strstr(text, "TEMP B-TREE"));
    plan_of(m, SQL_GROUP_ALL, BINDS(B_I(0), B_I(0), B_I(9), B_I(1), B_I(1), B_I(DAY_MS), B_I(9), B_I(1)), text,
            sizeof(text));
    if (!strstr(text, "USING INDEX usage_created (created_ms>? AND created_ms<?)") || strstr(text, "SCAN u\n"))
        fail_msg("%s", text);
}

static void nothing_sums_to_zero(void **state)
{
    struct meter *m = *state;
    struct usage_summary_req req = {.group_by = slice_of("model")};
    struct usage_summary_rep rep = {0};

    METER_OK(m, op_usage_summary, &req, &rep);
    assert_int_equal(rep.total.n, 1);
    assert_int_equal(rep.total.items[0].requests, 0);
    assert_int_equal(rep.data.n, 0);
}

/* ---- the connection that only reads
 * ------------------------------------------------------------------------------------- */

static void a_reader_sees_commits_and_cannot_write(void **state)
{
    struct meter *m = *state;
    struct store *reader = NULL;
    struct user_get_req req;
    struct user_rep rep = {0};
    struct work w = {.a = &m->arena, .err = &m->err};

    assert_int_equal(store_open_reader(m->path, &reader, &m->err), ST_OK);
    req.id = meter_user(m, "a@x.test", METER_USD);
    w.s = reader;
    assert_int_equal(batch_single(&w, op_user_get, &req, &rep), ST_OK);
    assert_int_equal(rep.user.items[0].balance_nano, METER_USD);
    assert_int_not_equal(sqlite3_exec(reader->db, "DELETE FROM user", NULL, NULL, NULL), SQLITE_OK);
    assert_int_not_equal(sqlite3_exec(reader->db, "CREATE TABLE x(y)", NULL, NULL, NULL), SQLITE_OK);
    store_close(reader);
}

static void a_query_that_takes_too_long_is_ended(void **state)
{
    struct meter *m = *state;
    struct slice other;
    struct store *reader = NULL;
    struct usage_summary_req req = {.group_by = slice_of("model,key,hour")};
    struct usage_summary_rep rep = {0};
    struct work w = {.a = &m->arena, .err = &m->err};

    fill_calls(m, &other);
    meter_sql(m,
              "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) INSERT INTO usage "
              "SELECT 100000 + i, 'x' || i, "
              "user_num, key_id, model, provider, upstream_model, endpoint, stream, status, http_status, "
              "prompt_tokens, cached_tokens, "
              "cache_write_tokens, cache_write_long_tokens, completion_tokens, reasoning_tokens, estimated, "
              "price_id, cost_nano, "
              "overage_nano, balance_nano, hold_nano, created_ms, latency_ms, ttft_ms, attempts, 0, 0, 0, 0, 0 FROM n "
              "JOIN usage "
              "ON request_id = 'req_01'");
    assert_int_equal(store_open_reader(m->path, &reader, &m->err), ST_OK);
    w.s = reader;
    reader->interrupt_at_ms = 1; /* long ago */
    assert_int_equal(batch_single(&w, op_usage_summary, &req, &rep), ST_TIMEOUT);
    reader->interrupt_at_ms = 0;
    assert_int_equal(batch_single(&w, op_usage_summary, &req, &rep), ST_OK);
    assert_int_equal(rep.total.items[0].requests, 20050);
    store_close(reader);
}

static void a_reader_does_not_keep_the_log_from_being_copied(void **state)
{
    struct meter *m = *state;
    struct store *reader = NULL;

    assert_int_equal(store_open_reader(m->path, &reader, &m->err), ST_OK);
    meter_user(m, "a@x.test", 1);
    assert_true(m->store->wal_pages > 0);
    assert_int_equal(store_begin(reader, &m->err), ST_OK);
    assert_int_equal(sqlite3_exec(reader->db, "SELECT count(*) FROM user", NULL, NULL, NULL), SQLITE_OK);
    meter_user(m, "b@x.test", 1);
    /* A reader in the way: not an error, and tried again later. */
    assert_int_equal(store_checkpoint(m->store, true, &m->err), ST_OK);
    assert_int_equal(m->store->broken, STORE_WELL);
    assert_int_equal(store_commit(reader, &m->err), ST_OK);
    m->store->wal_pages = 1;
    assert_int_equal(store_checkpoint(m->store, true, &m->err), ST_OK);
    assert_int_equal(m->store->wal_pages, 0);
    store_close(reader);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, meter_setup, meter_teardown)
    const struct CMUnitTest tests[] = {
        T(the_log_is_filtered_and_paged),
        T(what_nothing_can_be_found_with_is_refused),
        T(one_call_is_shown_to_its_payer_only),
        T(sums_agree_with_the_ledger),
        T(groups_by_time_begin_at_the_hour_and_the_day),
        T(groups_by_user_name_them),
        T(the_calls_of_strangers_are_groups_of_their_own),
        T(only_administrators_choose_whose),
        T(too_many_groups_are_refused),
        T(one_users_calls_are_found_by_index),
        T(nothing_sums_to_zero),
        T(a_reader_sees_commits_and_cannot_write),
        T(a_query_that_takes_too_long_is_ended),
        T(a_reader_does_not_keep_the_log_from_being_copied),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
