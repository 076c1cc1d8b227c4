/* Looking at the ledger: lists of entries, and the receipt of one call. */
#include "tests/unit/meter_fixture.h"

#include "meterd/entries.h"

#define COST INT64_C(1200000) /* of meter_event at the test price */
#define CALLS 40

static uint64_t fill_ledger(struct meter *m, struct slice user)
{
    uint64_t price = meter_price(m, "test-model", 1000000, 2000000);
    struct usage_event e[CALLS];
    char ids[CALLS][16];
    int i;

    for (i = 0; i < CALLS; i++) {
        snprintf(ids[i], sizeof(ids[i]), "req_%02d", i);
        e[i] = meter_event(user, ids[i], i % 4 == 3 ? 0 : price); /* every fourth is free of charge */
        e[i].hold_nano = 2 * COST;
    }
    assert_int_equal(meter_deliver(m, "out1", 1, e, CALLS), CALLS);
    return price;
}

static struct ledger_list_rep list(struct meter *m, struct ledger_list_req req)
{
    struct ledger_list_rep rep = {0};

    METER_OK(m, op_ledger_list, &req, &rep);
    return rep;
}

static void a_users_ledger_has_a_running_balance(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", METER_USD), other = meter_user(m, "b@x.test", 5);
    struct ledger_list_req req = {.actor_id = user, .limit = 7};
    struct ledger_list_rep rep;
    uint64_t last = UINT64_MAX;
    int64_t balance;
    size_t n = 0, i;

    fill_ledger(m, user);
    balance = meter_credits(m, user).balance_nano;
    do {
        rep = list(m, req);
        for (i = 0; i < rep.data.n; i++, n++) {
            const struct ledger_row *row = &rep.data.items[i];

            assert_true(row->id < last); /* newest first */
            last = row->id;
            assert_int_equal(row->balance_nano, balance);
            balance -= row->amount_nano;
            assert_true(slice_is(row->account, "available"));
            assert_true(slice_is(row->kind, row->request_id.n ? "usage" : "signup"));
        }
        req.cursor = rep.next;
    } while (rep.next.n > 0);
    assert_int_equal(balance, 0);
    assert_int_equal(n, CALLS * 3 / 4 + 1);
    assert_int_equal(list(m, (struct ledger_list_req){.actor_id = other}).data.n, 1);
    req = (struct ledger_list_req){.actor_id = user, .cursor = slice_of("0 OR 1")};
    assert_int_equal(meter_run(m, op_ledger_list, &req, &rep), ST_BAD_REQUEST);
}

static void the_administrator_sees_both_sides(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", METER_USD);
    struct credit_grant_req refund = {.actor_id = slice_of("usr_admin"),
                                      .id = user,
                                      .amount_nano = 3,
                                      .kind = slice_of("refund"),
                                      .request_id = slice_of("req_00"),
                                      .note = slice_of("sorry")};
    struct credit_grant_rep granted = {0};
    struct ledger_list_rep rep;

    fill_ledger(m, user);
    METER_OK(m, op_credit_grant, &refund, &granted);
    rep = list(m, (struct ledger_list_req){.limit = 4});
    assert_int_equal(rep.data.n, 4);
    assert_true(slice_is(rep.data.items[0].account, "grants") && rep.data.items[0].amount_nano == -3);
    assert_true(slice_is(rep.data.items[1].account, "available") && rep.data.items[1].amount_nano == 3);
    assert_true(slice_is(rep.data.items[1].kind, "refund") && slice_is(rep.data.items[1].note, "sorry"));
    assert_true(slice_is(rep.data.items[1].request_id, "req_00"));
    assert_true(slice_is(rep.data.items[2].account, "revenue") && rep.data.items[2].amount_nano == COST);
    assert_true(slice_is(rep.data.items[3].kind, "usage") && rep.data.items[3].request_id.n > 0);
}

static struct usage_row receipt(struct meter *m, struct slice user, const char *id)
{
    struct usage_list_req req = {.request_id = slice_of(id), .actor_id = user};
    struct usage_list_rep rep = {0};

    METER_OK(m, op_usage_list, &req, &rep);
    assert_int_equal(rep.data.n, 1);
    return rep.data.items[0];
}

static void a_receipt_says_what_and_why(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", METER_USD);
    uint64_t price = fill_ledger(m, user);
    struct usage_row row;
    int i;

    meter_price(m, "test-model", 7, 7); /* a later version is not the one that was used */
    for (i = 0; i < CALLS; i++) {
        char id[16];

        snprintf(id, sizeof(id), "req_%02d", i);
        row = receipt(m, user, id);
        assert_int_equal(row.hold_nano, 2 * COST);
        assert_int_equal(row.attempt_log.n, 1);
        if (i % 4 == 3) {
            assert_true(row.price.n == 0 && row.entries.n == 0);
            assert_true(WIRE_HAS(&row, 32)); /* there, though there are none */
            continue;
        }
        assert_int_equal(row.price.n, 1);
        assert_int_equal(row.price.items[0].id, price);
        assert_int_equal(row.price.items[0].input_pico, 1000000);
        assert_int_equal(row.attempt_log.items[0].cost_nano, COST);
        assert_true(row.attempt_log.items[0].answered && slice_is(row.attempt_log.items[0].outcome, "ok"));
        assert_int_equal(row.entries.n, 2);
        assert_int_equal(row.entries.items[0].amount_nano, -COST);
        assert_int_equal(row.entries.items[1].amount_nano, COST);
        assert_true(slice_is(row.entries.items[0].request_id, id));
    }
}

static void a_receipt_shows_what_the_operator_bore(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", COST - 1), poor = meter_user(m, "b@x.test", 0);
    uint64_t price = meter_price(m, "test-model", 1000000, 2000000);
    struct usage_event e[3] = {meter_event(user, "req_1", price), meter_event(poor, "req_2", price),
                               meter_event(user, "req_void", 0)};
    struct usage_row row;

    e[2].status = slice_of("void");
    e[2].attempts = 0;
    assert_int_equal(meter_deliver(m, "out1", 1, e, 3), 3);
    row = receipt(m, user, "req_1");
    assert_int_equal(row.entries.n, 3);
    assert_int_equal(row.entries.items[1].amount_nano, -1);
    assert_true(slice_is(row.entries.items[1].account, "overage"));
    assert_int_equal(row.attempt_log.items[0].cost_nano, COST);
    row = receipt(m, poor, "req_2");
    assert_int_equal(row.entries.n, 2); /* nothing of it was his */
    row = receipt(m, user, "req_void");
    assert_true(row.attempt_log.n == 0 && row.entries.n == 0);
}

/* A long call: its hold, its end and what was tried stand in one receipt. */
static void a_receipt_has_holds_and_attempts(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", METER_USD);
    uint64_t price = meter_price(m, "test-model", 1000000, 2000000);
    struct usage_attempt tried[2] = {{.number = 1,
                                      .provider = slice_of("spare"),
                                      .upstream_model = slice_of("x"),
                                      .outcome = slice_of("timeout"),
                                      .audio_input_tokens = 7,
                                      .latency_ms = 9},
                                     {.number = 2,
                                      .provider = slice_of("echo"),
                                      .upstream_model = slice_of("test-model"),
                                      .outcome = slice_of("ok"),
                                      .http_status = 200,
                                      .answered = true,
                                      .prompt_tokens = 1000,
                                      .completion_tokens = 100,
                                      .audio_output_tokens = 4,
                                      .image_input_tokens = 5,
                                      .image_output_tokens = 6,
                                      .price_id = price}};
    struct usage_event e[3] = {meter_event(user, "req_1", price), meter_event(user, "req_2", price),
                               meter_event(user, "req_1", price)};
    struct ledger_list_rep list_rep;
    struct usage_row row;

    e[0].status = slice_of("running");
    e[0].hold_nano = 2 * COST;
    e[0].lease_ms = 60000;
    e[2].attempts = 2;
    e[2].attempt_log.items = tried;
    e[2].attempt_log.n = 2;
    assert_int_equal(meter_deliver(m, "out1", 1, e, 3), 3);
    row = receipt(m, user, "req_1");
    assert_int_equal(row.attempt_log.n, 2);
    assert_true(slice_is(row.attempt_log.items[0].outcome, "timeout") && !row.attempt_log.items[0].answered);
    assert_int_equal(row.attempt_log.items[1].cost_nano, COST);
    assert_int_equal(row.attempt_log.items[1].http_status, 200);
    assert_int_equal(row.attempt_log.items[0].audio_input_tokens, 7);
    assert_int_equal(row.attempt_log.items[1].audio_output_tokens, 4);
    assert_int_equal(row.attempt_log.items[1].image_input_tokens, 5);
    assert_int_equal(row.attempt_log.items[1].image_output_tokens, 6);
    assert_int_equal(row.entries.n, 5); /* two of the hold, three of its end */
    assert_true(slice_is(row.entries.items[0].kind, "hold") && slice_is(row.entries.items[4].kind, "settle"));
    list_rep = list(m, (struct ledger_list_req){.actor_id = user});
    assert_int_equal(list_rep.data.n, 1 + 1 + 2 + 2); /* sign-up, a short call, and available and held twice */
    assert_true(slice_is(list_rep.data.items[0].account, "held") || slice_is(list_rep.data.items[1].account, "held"));
    assert_true(slice_is(list_rep.data.items[0].request_id, "req_1"));
    assert_true(slice_is(list_rep.data.items[4].request_id, "req_1") && slice_is(list_rep.data.items[4].kind, "hold"));
}

/* The lists of calls show no part of a receipt. */
static void lists_have_no_receipts(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", METER_USD);
    struct usage_list_req req = {.actor_id = user};
    struct usage_list_rep rep = {0};

    fill_ledger(m, user);
    METER_OK(m, op_usage_list, &req, &rep);
    assert_int_equal(rep.data.n, 20);
    assert_int_equal(rep.data.items[0].attempt_log.n + rep.data.items[0].entries.n + rep.data.items[0].price.n, 0);
    assert_false(WIRE_HAS(&rep.data.items[0], 31) || WIRE_HAS(&rep.data.items[0], 32));
    assert_int_equal(rep.data.items[0].hold_nano, 2 * COST);
}

/* An account's list reads its own entries and not the whole ledger. */
static void a_users_ledger_is_found_by_index(void **state)
{
    struct meter *m = *state;
    sqlite3_stmt *q = NULL;
    char text[2048] = "";
    size_t at = 0;
    struct store *reader = NULL;
    sqlite3_stmt *plan = NULL;

    assert_int_equal(store_open_reader(m->path, &reader, &m->err), ST_OK);
    assert_int_equal(batch_begin(reader, &m->err), ST_OK);
    assert_int_equal(store_row(reader, SQL_ENTRIES_OF_USER, BINDS(B_I(9), B_I(9), B_I(4), B_I(0)), &q, &m->err), ST_OK);
    store_reset(&q);
    snprintf(text, sizeof(text), "EXPLAIN QUERY PLAN %s", sqlite3_sql(reader->stmts[SQL_ENTRIES_OF_USER]));
    assert_int_equal(sqlite3_prepare_v2(reader->db, text, -1, &plan, NULL), SQLITE_OK);
    text[0] = '\0';
    while (sqlite3_step(plan) == SQLITE_ROW)
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s\n", (const char *)sqlite3_column_text(plan, 3));
    sqlite3_finalize(plan);
    batch_abandon(reader);
    store_close(reader);
    assert_non_null(strstr(text, "entry_account"));
    if (strstr(text, "SCAN e") || strstr(text, "TEMP B-TREE"))
        fail_msg("%s", text);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, meter_setup, meter_teardown)
    const struct CMUnitTest tests[] = {
        T(a_users_ledger_has_a_running_balance),   T(the_administrator_sees_both_sides), T(a_receipt_says_what_and_why),
        T(a_receipt_shows_what_the_operator_bore), T(a_receipt_has_holds_and_attempts),  T(lists_have_no_receipts),
        T(a_users_ledger_is_found_by_index),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
