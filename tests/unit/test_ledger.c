/* Double entry: what may be posted, and that the verifier sees every way in which it could be wrong. */
#include "meterd/calls.h"
#include "tests/unit/meter_fixture.h"

static enum status grant(struct meter *m, struct slice user, int64_t amount, const char *key,
                         struct credit_grant_rep *rep)
{
    struct credit_grant_req req = {.actor_id = slice_of("usr_admin"),
                                   .id = user,
                                   .amount_nano = amount,
                                   .note = slice_of("test"),
                                   .idempotency_key = slice_of(key)};

    memset(rep, 0, sizeof(*rep));
    return meter_run(m, op_credit_grant, &req, rep);
}

static void a_grant_is_two_entries_that_sum_to_zero(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", 0);
    struct credit_grant_rep rep;
    int64_t before = meter_number(m, "SELECT balance_nano FROM account WHERE kind = 'grants'");

    assert_int_equal(grant(m, user, 5 * METER_USD, NULL, &rep), ST_OK);
    assert_int_equal(rep.balance_nano, 5 * METER_USD);
    assert_true(rep.entry_id > 0);
    assert_int_equal(rep.revision, m->store->revision);
    assert_int_equal(meter_number(m, "SELECT balance_nano FROM account WHERE kind = 'grants'"), before - 5 * METER_USD);
    assert_int_equal(meter_number(m, "SELECT sum(amount_nano) FROM entry"), 0);
    assert_int_equal(meter_credits(m, user).spent_nano, 0);
    meter_assert_clean(m);
}

static void the_same_key_grants_once(void **state)
{
    struct meter *m = *state;
    struct slice a = meter_user(m, "a@x.test", 0), b = meter_user(m, "b@x.test", 0);
    struct credit_grant_rep first, again;

    assert_int_equal(grant(m, a, METER_USD, "k1", &first), ST_OK);
    assert_int_equal(grant(m, a, METER_USD, "k2", &again), ST_OK);
    assert_int_equal(grant(m, a, METER_USD, "k1", &again), ST_OK);
    assert_int_equal(again.entry_id, first.entry_id);
    assert_int_equal(again.balance_nano, first.balance_nano);
    assert_int_equal(again.revision, first.revision);
    assert_int_equal(grant(m, a, 2 * METER_USD, "k1", &again), ST_CONFLICT);
    assert_int_equal(grant(m, b, METER_USD, "k1", &again), ST_CONFLICT);
    assert_string_equal(m->err.code, "idempotency_conflict");
    assert_int_equal(meter_credits(m, a).balance_nano, 2 * METER_USD);
    assert_int_equal(meter_credits(m, b).balance_nano, 0);
    meter_assert_clean(m);
}

static void credit_is_taken_back_only_as_far_as_it_is_there(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", 3 * METER_USD);
    struct credit_grant_rep rep;

    assert_int_equal(grant(m, user, -4 * METER_USD, NULL, &rep), ST_CONFLICT);
    assert_non_null(strstr(m->err.text, "3 USD"));
    assert_int_equal(grant(m, user, 0, NULL, &rep), ST_BAD_REQUEST);
    assert_int_equal(grant(m, user, MONEY_NANO_MAX, NULL, &rep), ST_BAD_REQUEST);
    assert_int_equal(grant(m, slice_of("usr_nobody"), 1, NULL, &rep), ST_NOT_FOUND);
    assert_int_equal(grant(m, user, -3 * METER_USD, NULL, &rep), ST_OK);
    assert_int_equal(rep.balance_nano, 0);
    meter_assert_clean(m);
}

static void a_transfer_that_does_not_balance_is_refused(void **state)
{
    struct meter *m = *state;
    struct work w = {.s = m->store, .a = &m->arena, .err = &m->err};
    struct ledger_line lop[] = {{.account = LEDGER_REVENUE, .amount_nano = 5},
                                {.account = LEDGER_GRANTS, .amount_nano = -4}};
    struct ledger_line wide[] = {{.account = LEDGER_REVENUE, .amount_nano = INT64_MAX},
                                 {.account = LEDGER_GRANTS, .amount_nano = 1}};

    assert_int_equal(batch_begin(m->store, &m->err), ST_OK);
    assert_int_equal(ledger_post(&w, 999, "test", lop, 2), ST_INTERNAL);
    assert_int_equal(ledger_post(&w, 999, "test", wide, 2), ST_INTERNAL);
    batch_abandon(m->store);
    meter_assert_clean(m);
}

static void a_users_account_never_goes_below_zero(void **state)
{
    struct meter *m = *state;
    struct work w = {.s = m->store, .a = &m->arena, .err = &m->err};
    struct ledger_line lines[] = {{.amount_nano = -1}, {.account = LEDGER_REVENUE, .amount_nano = 1}};

    meter_user(m, "a@x.test", 0);
    lines[0].account = meter_number(m, "SELECT max(id) FROM account");
    assert_int_equal(batch_begin(m->store, &m->err), ST_OK);
    assert_int_equal(ledger_post(&w, 999, "test", lines, 2), ST_CONFLICT);
    batch_abandon(m->store);
    /* and should the code ever forget, the table refuses */
    assert_int_not_equal(
        sqlite3_exec(m->store->db, "UPDATE account SET balance_nano = -1 WHERE user_num IS NOT NULL", NULL, NULL, NULL),
        SQLITE_OK);
}

static void entries_cannot_be_changed_or_deleted(void **state)
{
    struct meter *m = *state;

    meter_user(m, "a@x.test", METER_USD);
    assert_int_not_equal(sqlite3_exec(m->store->db, "DELETE FROM entry", NULL, NULL, NULL), SQLITE_OK);
    assert_int_not_equal(sqlite3_exec(m->store->db, "UPDATE entry SET amount_nano = 1", NULL, NULL, NULL), SQLITE_OK);
    meter_assert_clean(m);
}

/* ---- the verifier must be able to fail ------------------------------------------------------------------------------
 */

struct tamper {
    const char *sql, *problem;
};

static const struct tamper tampers[] = {
    {"UPDATE account SET balance_nano = balance_nano + 1 WHERE id = 5", "its entries give"},
    {"UPDATE account SET balance_nano = balance_nano - 1 WHERE kind = 'revenue'", "its entries give"},
    {"UPDATE account SET spent_nano = spent_nano + 1 WHERE id = 5", "spent"},
    {"UPDATE entry SET amount_nano = amount_nano + 1 WHERE id = (SELECT max(id) FROM entry)", "sums to 1"},
    {"UPDATE entry SET balance_nano = balance_nano + 1 WHERE id = 3", "the entries before it give"},
    {"UPDATE entry SET account = 77 WHERE id = 4", "does not exist"},
    {"DELETE FROM entry WHERE kind = 'usage'", "has no entries"},
    {"DELETE FROM entry WHERE id = (SELECT max(id) FROM entry)", "sums to"},
    {"UPDATE usage SET cost_nano = cost_nano + 1 WHERE request_id = 'req_1'", "its entries say otherwise"},
    {"UPDATE usage SET balance_nano = 0 WHERE request_id = 'req_1'", "balance"},
    {"UPDATE usage SET user_num = 1 WHERE request_id = 'req_1'", "its entries say otherwise"},
    {"DELETE FROM usage WHERE request_id = 'req_1'", "does not exist"},
    {"DELETE FROM credit_grant WHERE kind = 'signup'", "does not agree with its grant"},
    {"UPDATE credit_grant SET amount_nano = amount_nano + 1 WHERE kind = 'signup'", "does not agree with its grant"},
    {"INSERT INTO credit_grant SELECT 9999, account, kind, actor, NULL, note, amount_nano, balance_nano, entry, "
     "created_ms, NULL FROM credit_grant LIMIT 1",
     "grants of credit"},
    {"UPDATE usage SET cost_nano = 5, price_id = 0 WHERE request_id = 'req_free'", "has no entries"},
    /* the chain sees what no sum can: a time, a kind, two entries that change places */
    {"UPDATE entry SET created_ms = created_ms + 1 WHERE id = 3", "its hash does not follow"},
    {"UPDATE entry SET hash = zeroblob(32) WHERE id = 3", "its hash does not follow"},
    {"UPDATE entry SET hash = x'' WHERE id = 3", "its hash does not follow"},
    {"UPDATE entry SET kind = 'grant' WHERE kind = 'signup'", "its hash does not follow"},
    {"DELETE FROM entry WHERE id = 3", "its hash does not follow"},
    /* holds */
    {"UPDATE hold SET amount_nano = amount_nano + 1 WHERE request_id = 'req_open'", "open holds are of"},
    {"UPDATE hold SET amount_nano = amount_nano + 1 WHERE request_id = 'req_open'", "does not agree with its hold"},
    {"UPDATE hold SET amount_nano = amount_nano + 1 WHERE request_id = 'req_done'", "its entries say otherwise"},
    {"DELETE FROM hold WHERE request_id = 'req_open'", "open holds are of"},
    {"DELETE FROM hold WHERE request_id = 'req_done'", "no hold ended there"},
    {"DELETE FROM hold WHERE request_id = 'req_gone'", "no hold ended there"},
    {"UPDATE hold SET state = 'open', ended = NULL WHERE request_id = 'req_done'", "the call has ended, but its hold"},
    {"UPDATE hold SET state = 'voided' WHERE request_id = 'req_done'", "the call's status was ok"},
    {"UPDATE hold SET state = 'settled' WHERE request_id = 'req_late'", "the call's status was expired"},
    {"UPDATE hold SET ended = ended + 1 WHERE request_id = 'req_done'", "the call did not"},
    {"UPDATE hold SET state = 'settled', ended = 7 WHERE request_id = 'req_open'", "the call did not"},
    {"UPDATE hold SET due_ms = -100000 WHERE request_id = 'req_open'", "its lease has been over for"},
    {"UPDATE account SET kind = 'kept' WHERE kind = 'held'", "no account that holds it"},
    {"INSERT INTO hold SELECT 9999, 'req_x', user_num, 1, 'settled', 9999, 0, 0, 0, 0, 0, 0, NULL, NULL FROM hold "
     "LIMIT 1",
     "holds, but entries of"},
    /* corrections */
    {"UPDATE correction SET cost_nano = cost_nano + 1", "does not agree with its correction"},
    {"UPDATE correction SET balance_nano = balance_nano + 1", "does not agree with its correction"},
    {"DELETE FROM correction", "does not agree with its correction"},
    {"UPDATE usage SET cost_nano = cost_nano + 1 WHERE request_id = 'req_late'", "its entries say otherwise"},
    {"UPDATE position SET seq = -1", "has come to -1"},
};

/* A hold in every state, and one that expired too early. */
static void fill_holds(struct meter *m, struct slice user, uint64_t price)
{
    struct usage_event late = meter_event(user, "req_late", price), done = meter_event(user, "req_done", price),
                       gone = meter_event(user, "req_gone", price), open = meter_event(user, "req_open", price);
    struct usage_event first[2] = {late}, rest[5] = {done, gone, open, done, gone};
    size_t i;

    first[0].status = slice_of("running");
    first[0].hold_nano = 2000000;
    assert_int_equal(meter_deliver(m, "out2", 1, first, 1), 1);
    assert_int_equal(meter_expire(m, UINT64_C(1) << 40), 1);
    late.completion_tokens = 200;
    for (i = 0; i < 3; i++) {
        rest[i].status = slice_of("running");
        rest[i].hold_nano = 2000000;
    }
    rest[1].prompt_tokens = rest[1].completion_tokens = 0;
    rest[4].status = slice_of("void");
    assert_int_equal(meter_deliver(m, "out2", 2, &late, 1), 2);
    assert_int_equal(meter_deliver(m, "out2", 3, rest, 5), 7);
}

static void fill_ledger(struct meter *m)
{
    struct slice user = meter_user(m, "a@x.test", METER_USD);
    uint64_t price = meter_price(m, "test-model", 1000000, 2000000);
    struct usage_event e[3] = {meter_event(user, "req_free", 0), meter_event(user, "req_1", price),
                               meter_event(user, "req_2", price)};

    assert_int_equal(meter_deliver(m, "out1", 1, e, 3), 3);
    fill_holds(m, user, price);
    meter_assert_clean(m);
}

static void one_tamper(const struct tamper *t)
{
    struct ledger_verify_rep rep;
    struct meter *m = NULL;
    void *state = NULL;
    bool found = false;
    size_t i;

    meter_setup(&state);
    m = state;
    fill_ledger(m);
    meter_sql(m, "PRAGMA foreign_keys=OFF; DROP TRIGGER entry_kept; DROP TRIGGER entry_fixed");
    meter_sql(m, t->sql);
    if (sqlite3_changes(m->store->db) == 0)
        fail_msg("changes nothing: %s", t->sql);
    rep = meter_verify(m);
    if (rep.ok || rep.problems.n == 0)
        fail_msg("not noticed: %s", t->sql);
    for (i = 0; i < rep.problems.n; i++)
        found = found || memmem(rep.problems.items[i].problem.p, rep.problems.items[i].problem.n, t->problem,
                                strlen(t->problem));
    if (!found)
        fail_msg("%s: said otherwise, first: " SLICE_FMT, t->sql, SLICE_ARG(rep.problems.items[0].problem));
    meter_teardown(&state);
}

static void every_tampering_is_noticed(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(tampers) / sizeof(tampers[0]); i++)
        one_tamper(&tampers[i]);
}

static void the_report_is_bounded(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", 10 * METER_USD);
    uint64_t price = meter_price(m, "test-model", 1000000, 2000000);
    struct usage_event e[300];
    struct ledger_verify_rep rep;
    char ids[300][16];
    int i;

    for (i = 0; i < 300; i++) {
        snprintf(ids[i], sizeof(ids[i]), "req_%d", i);
        e[i] = meter_event(user, ids[i], price);
    }
    meter_deliver(m, "out1", 1, e, 300);
    rep = meter_verify(m);
    assert_true(rep.ok);
    assert_int_equal(rep.requests, 300);
    assert_int_equal(rep.entries, 300 * 2 + 4); /* and the two grants of credit */
    assert_int_equal(rep.accounts, 5);
    meter_sql(m, "UPDATE usage SET cost_nano = cost_nano + 1");
    rep = meter_verify(m);
    assert_false(rep.ok);
    assert_int_equal(rep.problems.n, 100);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, meter_setup, meter_teardown)
    const struct CMUnitTest tests[] = {
        T(a_grant_is_two_entries_that_sum_to_zero),         T(the_same_key_grants_once),
        T(credit_is_taken_back_only_as_far_as_it_is_there), T(a_transfer_that_does_not_balance_is_refused),
        T(a_users_account_never_goes_below_zero),           T(entries_cannot_be_changed_or_deleted),
        cmocka_unit_test(every_tampering_is_noticed),       T(the_report_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
