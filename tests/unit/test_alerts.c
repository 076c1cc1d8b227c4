/* Alerts as meterd keeps them, what the rules find, and what is posted. */
#include "tests/unit/meter_fixture.h"

#include <sodium.h>

#include "meterd/alert_rules.h"
#include "meterd/webhook.h"

#define NOW_S UINT64_C(1800000000)
#define DELIVERIES "SELECT count(*) FROM delivery"

static void apply(struct meter *m, uint64_t now_s, struct alerts_report report)
{
    struct work w = {.s = m->store, .a = &m->arena, .err = &m->err};

    meter_must(m, batch_begin(m->store, &m->err), "begin");
    m->store->now_ms = now_s * 1000;
    meter_must(m, alerts_apply(&w, &report), "alerts_apply");
    meter_must(m, batch_commit(m->store, &m->err), "commit");
}

static void see(struct meter *m, uint64_t now_s, const char *subject)
{
    struct finding f = {"brute_force", ALERT_WARNING, slice_of(subject), slice_of("it is \"there\"")};

    apply(m, now_s, (struct alerts_report){.looked = true, .findings = &f, .n = 1, .post = true});
}

static void see_nothing(struct meter *m, uint64_t now_s)
{
    apply(m, now_s, (struct alerts_report){.looked = true, .post = true});
}

static struct alert_list_rep list(struct meter *m, struct alert_list_req req)
{
    struct alert_list_rep rep = {0};

    METER_OK(m, op_alert_list, &req, &rep);
    return rep;
}

static void what_is_there_for_long_is_one_alert_and_told_twice(void **state)
{
    struct meter *m = *state;
    struct alert_list_rep rep;
    uint64_t at;

    for (at = NOW_S; at < NOW_S + 50; at += 5)
        see(m, at, "a");
    rep = list(m, (struct alert_list_req){.limit = 10});
    assert_int_equal(rep.data.n, 1);
    assert_int_equal(rep.data.items[0].count, 10);
    assert_int_equal(rep.data.items[0].since, NOW_S);
    assert_int_equal(rep.data.items[0].last, NOW_S + 45);
    assert_true(slice_is(rep.data.items[0].state, "firing"));
    assert_int_equal(meter_number(m, DELIVERIES), 1);
    see_nothing(m, NOW_S + 45 + ALERT_CLEAR_S - 1);
    assert_int_equal(list(m, (struct alert_list_req){.state = slice_of("firing")}).data.n, 1);
    see(m, NOW_S + 45 + ALERT_CLEAR_S, "a"); /* it came and went: the same alert */
    see_nothing(m, NOW_S + 45 + 2 * ALERT_CLEAR_S - 1);
    assert_int_equal(meter_number(m, DELIVERIES), 1);
    see_nothing(m, NOW_S + 45 + 2 * ALERT_CLEAR_S);
    see_nothing(m, NOW_S + 45 + 3 * ALERT_CLEAR_S);
    rep = list(m, (struct alert_list_req){.state = slice_of("resolved"), .rule = slice_of("brute_force")});
    assert_int_equal(rep.data.n, 1);
    assert_int_equal(rep.data.items[0].resolved_at, NOW_S + 45 + 2 * ALERT_CLEAR_S);
    assert_int_equal(meter_number(m, DELIVERIES), 2);
    assert_int_equal(meter_number(m, DELIVERIES " WHERE json_extract(body, '$.state') = 'resolved' AND "
                                                "json_extract(body, '$.message') = 'it is \"there\"' AND id = 2"),
                     1);
    see(m, NOW_S + 1000, "a"); /* another one */
    assert_int_equal(meter_number(m, "SELECT count(*) FROM alert"), 2);
}

static void without_a_look_nothing_is_resolved(void **state)
{
    struct meter *m = *state;

    see(m, NOW_S, "a");
    apply(m, NOW_S + 1000, (struct alerts_report){.post = true, .delivered = 1});
    assert_int_equal(list(m, (struct alert_list_req){.state = slice_of("firing")}).data.n, 1);
    assert_int_equal(meter_number(m, DELIVERIES), 0);
}

static void without_a_webhook_nothing_waits_to_be_posted(void **state)
{
    struct meter *m = *state;
    struct finding f = {"disk_low", ALERT_CRITICAL, {NULL, 0}, slice_of("text")};

    apply(m, NOW_S, (struct alerts_report){.looked = true, .findings = &f, .n = 1});
    assert_int_equal(list(m, (struct alert_list_req){.limit = 10}).data.n, 1);
    assert_int_equal(meter_number(m, DELIVERIES), 0);
}

static void tables_are_bounded(void **state)
{
    struct meter *m = *state;

    meter_sql(m, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5100) INSERT INTO "
                 "alert(rule, severity, subject, text, state, since, last, count, resolved_at) "
                 "SELECT 'r', 'warning', i, 't', 'resolved', 1, 1, 1, 1800000000 FROM n");
    meter_sql(m, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1100) INSERT INTO "
                 "delivery(body, due, born) SELECT '{}', 0, 0 FROM n");
    see_nothing(m, NOW_S);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM alert"), ALERT_ROWS_MAX);
    assert_int_equal(meter_number(m, "SELECT min(CAST(subject AS INTEGER)) FROM alert"), 101);
    assert_int_equal(meter_number(m, DELIVERIES), ALERT_DELIVERIES_MAX);
    assert_int_equal(meter_number(m, "SELECT min(id) FROM delivery"), 101);
}

static void a_delivery_is_due_again_until_it_was_taken(void **state)
{
    struct meter *m = *state;

    see(m, NOW_S, "a");
    apply(m, NOW_S, (struct alerts_report){.again = 1, .again_s = NOW_S + 7});
    assert_int_equal(meter_number(m, DELIVERIES " WHERE tries = 1 AND due = 1800000007 AND born = 1800000000"), 1);
    apply(m, NOW_S, (struct alerts_report){.delivered = 1});
    assert_int_equal(meter_number(m, DELIVERIES), 0);
}

static void an_alert_is_acknowledged_once(void **state)
{
    struct meter *m = *state;
    struct alert_ack_req req = {.actor_id = slice_of("usr_one"), .id = slice_of("1")};
    struct alert_rep rep = {0};

    see(m, NOW_S, "a");
    METER_OK(m, op_alert_ack, &req, &rep);
    assert_true(slice_is(rep.alert.items[0].acknowledged_by, "usr_one"));
    assert_true(rep.alert.items[0].acknowledged_at > 0);
    req.actor_id = slice_of("usr_two");
    METER_OK(m, op_alert_ack, &req, &rep);
    assert_true(slice_is(rep.alert.items[0].acknowledged_by, "usr_one"));
    assert_int_equal(meter_number(m, "SELECT count(*) FROM audit WHERE action = 'alert.acknowledge' AND object = '1'"),
                     1);
    req.id = slice_of("2");
    assert_int_equal(meter_run(m, op_alert_ack, &req, &rep), ST_NOT_FOUND);
    req.id = slice_of("x");
    assert_int_equal(meter_run(m, op_alert_ack, &req, &rep), ST_NOT_FOUND);
}

/* ---- the rules -----------------------------------------------------------------------------------------------------
 */

/* What is found, as "rule:subject" with spaces between. */
static const char *found(struct meter *m, struct alert_facts facts)
{
    struct work w = {.s = m->store, .a = &m->arena, .err = &m->err};
    struct finding *f = NULL;
    const char *copy;
    struct buf text;
    size_t n = 0, i;

    meter_must(m, batch_begin(m->store, &m->err), "begin");
    m->store->now_ms = NOW_S * 1000;
    meter_must(m, alert_rules_look(&w, &facts, &f, &n), "alert_rules_look");
    meter_must(m, batch_commit(m->store, &m->err), "commit");
    buf_init(&text, 4096);
    for (i = 0; i < n; i++)
        buf_addf(&text, "%s%s:" SLICE_FMT, i ? " " : "", f[i].rule, SLICE_ARG(f[i].subject));
    copy = arena_strndup(&m->arena, text.n ? text.p : "", text.n);
    buf_fini(&text);
    return copy;
}

static const struct alert_facts fine;

static void add_events(struct meter *m, const char *kind, const char *subject, int count, int64_t ago_s)
{
    char sql[300];

    snprintf(sql, sizeof(sql),
             "INSERT INTO security_event(kind, subject, address, count, first_seen, last_seen, detail) "
             "VALUES ('%s', '%s', '192.0.2.1', %d, %lld, %lld, '')",
             kind, subject, count, (long long)NOW_S - ago_s - 5, (long long)NOW_S - ago_s);
    meter_sql(m, sql);
}

static void rules_on_security_events(void **state)
{
    struct meter *m = *state;

    assert_string_equal(found(m, fine), "");
    add_events(m, "login_failed", "a", ALERT_FAILED_LOGINS - 5, 0);
    assert_string_equal(found(m, fine), "");
    add_events(m, "login_throttled", "b", 5, 0);
    assert_string_equal(found(m, fine), "brute_force:192.0.2.1");
    add_events(m, "key_guessing", "", 10, 601); /* it is over */
    add_events(m, "refresh_token_reused", "usr_1", 1, 0);
    add_events(m, "anomalous_use", "key_1", 1, 3000);
    assert_string_equal(found(m, fine), "brute_force:192.0.2.1 refresh_token_reused:usr_1 anomalous_use:key_1");
    add_events(m, "key_guessing", "", 10, 0);
    assert_non_null(strstr(found(m, fine), "key_guessing:192.0.2.1"));
}

static void rules_on_money(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", METER_USD);
    struct alert_facts facts = {.balance_below_nano = 2 * METER_USD};
    char expected[128];

    assert_string_equal(found(m, facts), ""); /* who never spent is not told of */
    meter_sql(m, "UPDATE account SET spent_nano = 1 WHERE kind = 'available'");
    snprintf(expected, sizeof(expected), "low_balance:" SLICE_FMT, SLICE_ARG(user));
    assert_non_null(strstr(found(m, facts), expected));
    facts.balance_below_nano = 0;
    assert_string_equal(found(m, facts), "");
    meter_sql(
        m, "INSERT INTO api_key(id, user_num, digest, name, prefix, rpm, tpm, concurrency, models, expires_at, status, "
           "created, revision, budget_nano, budget_period, budget_spent_nano) SELECT 'key_1', num, zeroblob(32), 'n', "
           "'p', "
           "0, 0, 0, '', 0, 'active', 1, 99999, 1000, 'total', 899 FROM user LIMIT 1");
    assert_string_equal(found(m, facts), "");
    meter_sql(m, "UPDATE api_key SET budget_spent_nano = 900");
    assert_string_equal(found(m, facts), "key_budget:key_1");
    meter_sql(m, "UPDATE api_key SET budget_until = 1800000000"); /* of a period that is over */
    assert_string_equal(found(m, facts), "");
}

static void rules_on_facts(void **state)
{
    struct meter *m = *state;
    struct alert_facts facts = {
        .disk_low = true, .full = true, .behind = true, .ledger_wrong = true, .overage_grew_nano = 1};

    assert_string_equal(found(m, facts), "disk_low: database_full: ledger_wrong: usage_behind: overage:");
}

static void a_provider_that_fails(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", METER_USD);
    struct usage_event e = meter_event(user, "", 0);
    uint64_t i;
    char id[32];

    for (i = 1; i <= 39; i++) {
        snprintf(id, sizeof(id), "req_%llu", (unsigned long long)i);
        e.request_id = slice_of(id);
        e.provider = slice_of("shaky");
        e.created_ms = NOW_S * 1000 - 1000;
        e.status = slice_of(i > 19 ? "error" : "ok");
        meter_deliver(m, "source", i, &e, 1);
        if (i == 37)
            assert_string_equal(found(m, fine), "");
    }
    assert_string_equal(found(m, fine), "provider_errors:shaky");
    meter_sql(m, "UPDATE usage SET created_ms = created_ms - 300000");
    assert_string_equal(found(m, fine), "");
}

/* ---- the webhook ---------------------------------------------------------------------------------------------------
 */

/* The numbers are openssl's: printf %s '1800000000.{"a":1}' | openssl dgst -sha256 -hmac 'a-secret-of-the-test' */
static void a_signature_is_the_known_one(void **state)
{
    char to[WEBHOOK_SIGNATURE];

    (void)state;
    webhook_sign("a-secret-of-the-test", NOW_S, slice_of("{\"a\":1}"), to);
    assert_string_equal(to, "t=1800000000,v1=e5cf26cac8ad45ab067c785262ba56c44ed159446fbf080c4327542587019db6");
}

static void tries_come_later_and_later(void **state)
{
    (void)state;
    assert_int_equal(webhook_backoff_s(1), 1);
    assert_int_equal(webhook_backoff_s(2), 2);
    assert_int_equal(webhook_backoff_s(5), 16);
    assert_int_equal(webhook_backoff_s(9), 256);
    assert_int_equal(webhook_backoff_s(10), WEBHOOK_AGAIN_MAX_S);
    assert_int_equal(webhook_backoff_s(UINT64_MAX), WEBHOOK_AGAIN_MAX_S);
}

static void where_it_may_post_to(void **state)
{
    static const char *const good[] = {"https://hooks.example.com/x", "http://127.0.0.1:9/x", "http://alerts.internal/",
                                       "http://receiver:8080/x"};
    static const char *const bad[] = {"http://hooks.example.com/x", "ftp://127.0.0.1/", "https://", "nonsense",
                                      "https://user:pass@example.com/"};
    struct webhook *h;
    struct err err;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(webhook_new(good[i], NULL, &h, &err), ST_OK);
        webhook_free(h);
    }
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(webhook_new(bad[i], NULL, &h, &err), ST_BAD_REQUEST);
        assert_non_null(strstr(err.text, "ALERT_WEBHOOK_URL"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_there_for_long_is_one_alert_and_told_twice, meter_setup,
                                        meter_teardown),
        cmocka_unit_test_setup_teardown(without_a_look_nothing_is_resolved, meter_setup, meter_teardown),
        cmocka_unit_test_setup_teardown(without_a_webhook_nothing_waits_to_be_posted, meter_setup, meter_teardown),
        cmocka_unit_test_setup_teardown(tables_are_bounded, meter_setup, meter_teardown),
        cmocka_unit_test_setup_teardown(a_delivery_is_due_again_until_it_was_taken, meter_setup, meter_teardown),
        cmocka_unit_test_setup_teardown(an_alert_is_acknowledged_once, meter_setup, meter_teardown),
        cmocka_unit_test_setup_teardown(rules_on_security_events, meter_setup, meter_teardown),
        cmocka_unit_test_setup_teardown(rules_on_money, meter_setup, meter_teardown),
        cmocka_unit_test_setup_teardown(rules_on_facts, meter_setup, meter_teardown),
        cmocka_unit_test_setup_teardown(a_provider_that_fails, meter_setup, meter_teardown),
        cmocka_unit_test(a_signature_is_the_known_one),
        cmocka_unit_test(tries_come_later_and_later),
        cmocka_unit_test(where_it_may_post_to),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
