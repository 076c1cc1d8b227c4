/* Security events as meterd keeps them, and anomalous use as it finds it. */
#include "tests/unit/meter_fixture.h"

#include "meterd/anomaly.h"
#include "meterd/security.h"

#define DAY_S UINT64_C(86400)
#define NOW_S UINT64_C(1800000000)
#define ONCE "SELECT count(*) FROM security_event"

static struct security_event event(enum security_kind kind, const char *subject, uint64_t at)
{
    return (struct security_event){.kind = slice_of(security_names[kind]),
                                   .subject = slice_of(subject),
                                   .address = slice_of("192.0.2.1"),
                                   .count = 1,
                                   .first_seen = at,
                                   .last_seen = at};
}

static void report(struct meter *m, uint64_t seq, const struct security_event *events, size_t n)
{
    struct security_report_req req = {.source = slice_of("s"), .seq = seq, .events = {events, n}};
    struct empty rep = {0};

    METER_OK(m, op_security_report, &req, &rep);
}

static struct security_list_rep list(struct meter *m, struct security_list_req req)
{
    struct security_list_rep rep = {0};

    METER_OK(m, op_security_list, &req, &rep);
    return rep;
}

static void the_same_within_an_hour_is_one_row(void **state)
{
    struct meter *m = *state;
    struct security_event e = event(SECURITY_LOGIN_FAILED, "a@x.test", NOW_S);
    struct security_list_rep rep;

    report(m, 1, &e, 1);
    e.last_seen = NOW_S + 1800;
    e.first_seen = e.last_seen;
    e.count = 4;
    report(m, 2, &e, 1);
    rep = list(m, (struct security_list_req){.limit = 10});
    assert_int_equal(rep.data.n, 1);
    assert_int_equal(rep.data.items[0].count, 5);
    assert_int_equal(rep.data.items[0].first_seen, NOW_S);
    assert_int_equal(rep.data.items[0].last_seen, NOW_S + 1800);
    e.first_seen = e.last_seen = NOW_S + SECURITY_WINDOW_S;
    report(m, 3, &e, 1);
    assert_int_equal(meter_number(m, ONCE), 2);
    e.address = slice_of("192.0.2.2");
    report(m, 4, &e, 1);
    assert_int_equal(meter_number(m, ONCE), 3);
}

static void a_batch_that_comes_again_counts_once(void **state)
{
    struct meter *m = *state;
    struct security_event e = event(SECURITY_LOGIN_FAILED, "a@x.test", NOW_S);

    report(m, 1, &e, 1);
    report(m, 1, &e, 1);
    report(m, 2, &e, 1);
    report(m, 1, &e, 1);
    report(m, 2, &e, 1);
    assert_int_equal(meter_number(m, "SELECT sum(count) FROM security_event"), 2);
}

static void a_kind_that_is_not_known_harms_nobody(void **state)
{
    struct meter *m = *state;
    struct security_event e[] = {event(SECURITY_LOGIN_FAILED, "a", NOW_S), event(SECURITY_ADMIN_DENIED, "b", NOW_S)};

    e[0].kind = slice_of("of a later version");
    report(m, 1, e, 2);
    assert_int_equal(meter_number(m, ONCE), 1);
}

static void is_asked_for(struct meter *m, struct security_list_req req, size_t n)
{
    assert_int_equal(list(m, req).data.n, n);
}

static void pages_and_filters(void **state)
{
    struct meter *m = *state;
    struct security_event e[] = {event(SECURITY_LOGIN_FAILED, "a", NOW_S), event(SECURITY_LOGIN_FAILED, "b", NOW_S + 1),
                                 event(SECURITY_ADMIN_DENIED, "a", NOW_S + 2)};
    struct security_list_req one = {.limit = 1}, wrong = {.kind = slice_of("nonsense")};
    struct security_list_rep rep = {0};
    int seen = 0;

    e[2].address = slice_of("2001:db8::/64");
    report(m, 1, e, 3);
    do {
        rep = list(m, one);
        assert_int_equal(rep.data.n, 1);
        assert_true(slice_eq(rep.data.items[0].subject, e[2 - seen].subject)); /* newest first */
        one.cursor = rep.next;
        seen++;
    } while (rep.next.n > 0);
    assert_int_equal(seen, 3);
    is_asked_for(m, (struct security_list_req){.kind = slice_of("login_failed")}, 2);
    is_asked_for(m, (struct security_list_req){.subject = slice_of("a")}, 2);
    is_asked_for(m, (struct security_list_req){.address = slice_of("2001:db8::/64")}, 1);
    is_asked_for(m, (struct security_list_req){.from = NOW_S + 1}, 2);
    is_asked_for(m, (struct security_list_req){.to = NOW_S + 1}, 1);
    assert_int_equal(meter_run(m, op_security_list, &wrong, &rep), ST_BAD_REQUEST);
    assert_string_equal(m->err.param, "kind");
    wrong = (struct security_list_req){.from = 5, .to = 5};
    assert_int_equal(meter_run(m, op_security_list, &wrong, &rep), ST_BAD_REQUEST);
    assert_string_equal(m->err.param, "to");
}

/* One step at this time; is there more to do? */
static bool forget(struct meter *m, uint64_t now_s)
{
    struct work w = {.s = m->store, .a = &m->arena, .err = &m->err};
    bool more = false;

    meter_must(m, batch_begin(m->store, &m->err), "begin");
    m->store->now_ms = now_s * 1000;
    meter_must(m, security_forget(&w, &more), "security_forget");
    meter_must(m, batch_commit(m->store, &m->err), "commit");
    return more;
}

static void a_flood_of_one_kind_is_bounded_and_costs_the_others_nothing(void **state)
{
    struct meter *m = *state;
    struct security_event other = event(SECURITY_LOGIN_FAILED, "a@x.test", NOW_S);

    report(m, 1, &other, 1);
    meter_sql(m, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6200) INSERT INTO "
                 "security_event(kind, subject, address, count, first_seen, last_seen, detail) "
                 "SELECT 'hostile_request', 'x', i, 1, 1800000000 + i, 1800000000 + i, '' FROM n");
    assert_true(forget(m, NOW_S)); /* a step takes a few only */
    assert_int_equal(meter_number(m, ONCE), 6201 - SECURITY_FORGET_ROWS);
    assert_true(forget(m, NOW_S));
    assert_false(forget(m, NOW_S));
    assert_int_equal(meter_number(m, ONCE), SECURITY_ROWS_MAX + 1);
    assert_int_equal(meter_number(m, ONCE " WHERE kind = 'login_failed'"), 1);
    assert_int_equal(
        meter_number(m, "SELECT min(CAST(address AS INTEGER)) FROM security_event WHERE kind = 'hostile_request'"),
        1201);
}

static void rows_and_sources_are_kept_for_their_time(void **state)
{
    struct meter *m = *state;
    struct security_event e = event(SECURITY_LOGIN_FAILED, "a@x.test", NOW_S);

    m->store->security_kept_s = 3 * DAY_S;
    report(m, 1, &e, 1);
    meter_sql(m, "UPDATE security_source SET told = 1800000000");
    assert_false(forget(m, NOW_S + 3 * DAY_S));
    assert_int_equal(meter_number(m, ONCE), 1);
    assert_false(forget(m, NOW_S + 3 * DAY_S + 1));
    assert_int_equal(meter_number(m, ONCE), 0);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM security_source"), 1);
    meter_sql(m, "UPDATE security_source SET told = 5");
    forget(m, NOW_S);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM security_source"), 0);
}

/* ---- anomalous use -------------------------------------------------------------------------------------------------
 */

/* Sums, looks and keeps what is found, as the writer and the watch do together. */
static void step(struct meter *m, uint64_t now_ms)
{
    struct work w = {.s = m->store, .a = &m->arena, .err = &m->err};
    struct security_event *events = NULL;
    bool more = true;
    size_t n = 0, i;

    while (more) {
        more = false;
        meter_must(m, batch_begin(m->store, &m->err), "begin");
        m->store->now_ms = now_ms;
        meter_must(m, anomaly_sum(&w, &more), "anomaly_sum");
        meter_must(m, batch_commit(m->store, &m->err), "commit");
    }
    meter_must(m, batch_begin(m->store, &m->err), "begin");
    m->store->now_ms = now_ms;
    meter_must(m, anomaly_look(&w, &events, &n), "anomaly_look");
    for (i = 0; i < n; i++)
        meter_must(m, security_add(&w, &events[i]), "security_add");
    meter_must(m, batch_commit(m->store, &m->err), "commit");
}

struct past {
    unsigned hours, calls; /* in so many hours before this one, so many calls each */
};

static void live(struct meter *m, const char *key, struct past past)
{
    char sql[400];

    snprintf(sql, sizeof(sql),
             "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %u) "
             "INSERT INTO key_hour SELECT '%s', %llu - i, %u, 1000 FROM n",
             past.hours, key, (unsigned long long)(NOW_S / 3600), past.calls);
    meter_sql(m, sql);
}

static void use(struct meter *m, struct slice user, const char *key, unsigned n)
{
    struct usage_event e = meter_event(user, "", 0);
    unsigned i;
    char id[64];

    for (i = 0; i < n; i++) {
        uint64_t seq = (uint64_t)meter_number(m, "SELECT coalesce(max(seq), 0) + 1 FROM position");

        snprintf(id, sizeof(id), "req_%s_%llu", key, (unsigned long long)seq);
        e.request_id = slice_of(id);
        e.key_id = slice_of(key);
        e.created_ms = NOW_S * 1000 + i;
        meter_deliver(m, "source", seq, &e, 1);
    }
}

#define ODD "SELECT count(*) FROM security_event WHERE kind = 'anomalous_use'"

static void a_key_that_does_far_more_than_ever_is_told_of_once_an_hour(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", METER_USD);
    struct security_list_rep rep;

    live(m, "key_odd", (struct past){ANOMALY_HOURS, 10});
    live(m, "key_busy", (struct past){ANOMALY_HOURS, 11});
    live(m, "key_rare", (struct past){ANOMALY_HOURS - 1, 1});
    use(m, user, "key_odd", 100);
    step(m, NOW_S * 1000);
    assert_int_equal(meter_number(m, ODD), 0); /* ten times is not more than ten times */
    use(m, user, "key_odd", 1);
    use(m, user, "key_busy", 101);
    use(m, user, "key_rare", 101);
    use(m, user, "key_new", 101);
    step(m, NOW_S * 1000);
    rep = list(m, (struct security_list_req){.limit = 10});
    assert_int_equal(rep.data.n, 1);
    assert_true(slice_is(rep.data.items[0].subject, "key_odd"));
    assert_true(slice_is(rep.data.items[0].detail,
                         "this hour 101 calls, $0.00; busiest hour of 7 days before: 10 calls, $0.00"));
    use(m, user, "key_odd", 5);
    step(m, NOW_S * 1000);
    assert_int_equal(meter_number(m, ODD), 1);
    assert_int_equal(meter_number(m, "SELECT calls FROM key_hour WHERE key_id = 'key_odd' ORDER BY hour DESC LIMIT 1"),
                     106);
    meter_assert_clean(m);
}

static void spend_alone_is_enough(void **state)
{
    struct meter *m = *state;
    char sql[200];

    live(m, "key_1", (struct past){ANOMALY_HOURS, 10});
    snprintf(sql, sizeof(sql), "INSERT INTO key_hour VALUES ('key_1', %llu, 3, %lld)",
             (unsigned long long)(NOW_S / 3600), (long long)ANOMALY_COST_NANO);
    meter_sql(m, sql);
    step(m, NOW_S * 1000);
    assert_int_equal(meter_number(m, ODD), 1);
}

static void hours_that_are_over_are_forgotten(void **state)
{
    struct meter *m = *state;

    live(m, "key_1", (struct past){ANOMALY_DAYS * 24 + 20, 1});
    step(m, NOW_S * 1000);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM key_hour"), ANOMALY_DAYS * 24);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_same_within_an_hour_is_one_row, meter_setup, meter_teardown),
        cmocka_unit_test_setup_teardown(a_batch_that_comes_again_counts_once, meter_setup, meter_teardown),
        cmocka_unit_test_setup_teardown(a_kind_that_is_not_known_harms_nobody, meter_setup, meter_teardown),
        cmocka_unit_test_setup_teardown(pages_and_filters, meter_setup, meter_teardown),
        cmocka_unit_test_setup_teardown(a_flood_of_one_kind_is_bounded_and_costs_the_others_nothing, meter_setup,
                                        meter_teardown),
        cmocka_unit_test_setup_teardown(rows_and_sources_are_kept_for_their_time, meter_setup, meter_teardown),
        cmocka_unit_test_setup_teardown(a_key_that_does_far_more_than_ever_is_told_of_once_an_hour, meter_setup,
                                        meter_teardown),
        cmocka_unit_test_setup_teardown(spend_alone_is_enough, meter_setup, meter_teardown),
        cmocka_unit_test_setup_teardown(hours_that_are_over_are_forgotten, meter_setup, meter_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
