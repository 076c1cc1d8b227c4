/* Credit as a product: kinds, refunds, redemption codes, monthly credit, and what the verifier says of them. */
#include "tests/unit/meter_fixture.h"

#include "meterd/monthly.h"

#define NOV_MS UINT64_C(1794873600000) /* 2026-11-17T00:00:00Z */
#define DAY_MS UINT64_C(86400000)

/* ---- kinds ----------------------------------------------------------------------------------------------------------
 */

static enum status give(struct meter *m, struct slice user, struct credit_grant_req req, struct credit_grant_rep *rep)
{
    req.actor_id = slice_of("usr_admin");
    req.id = user;
    memset(rep, 0, sizeof(*rep));
    return meter_run(m, op_credit_grant, &req, rep);
}

static void entries_carry_the_kind(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", 0);
    struct credit_grant_rep rep;

    assert_int_equal(give(m, user, (struct credit_grant_req){.amount_nano = 10}, &rep), ST_OK);
    assert_int_equal(give(m, user, (struct credit_grant_req){.amount_nano = 20, .kind = slice_of("topup")}, &rep),
                     ST_OK);
    assert_int_equal(give(m, user, (struct credit_grant_req){.amount_nano = -5}, &rep), ST_OK);
    assert_int_equal(give(m, user, (struct credit_grant_req){.amount_nano = -5, .kind = slice_of("adjustment")}, &rep),
                     ST_OK);
    assert_int_equal(rep.balance_nano, 20);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM entry WHERE kind = 'grant'"), 2);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM entry WHERE kind = 'topup'"), 2);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM entry WHERE kind = 'adjustment'"), 4);
    meter_assert_clean(m);
}

struct refusal {
    struct credit_grant_req req;
    enum status st;
    const char *param;
};

static void kinds_have_rules(void **state)
{
    const struct refusal table[] = {
        {{.amount_nano = 1, .kind = slice_of("gift")}, ST_BAD_REQUEST, "kind"},
        {{.amount_nano = -1, .kind = slice_of("grant")}, ST_BAD_REQUEST, "amount_usd"},
        {{.amount_nano = -1, .kind = slice_of("topup")}, ST_BAD_REQUEST, "amount_usd"},
        {{.amount_nano = -1, .kind = slice_of("refund"), .request_id = slice_of("r")}, ST_BAD_REQUEST, "amount_usd"},
        {{.amount_nano = -101, .kind = slice_of("adjustment")}, ST_CONFLICT, "amount_usd"},
        {{.amount_nano = 1, .request_id = slice_of("req_1")}, ST_BAD_REQUEST, "request_id"},
        {{.amount_nano = 1, .kind = slice_of("refund")}, ST_BAD_REQUEST, "request_id"},
        {{.amount_nano = 1, .kind = slice_of("refund"), .request_id = slice_of("none")}, ST_BAD_REQUEST, "request_id"},
    };
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", 100);
    struct credit_grant_rep rep;
    size_t i;

    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (give(m, user, table[i].req, &rep) != table[i].st || strcmp(m->err.param, table[i].param) != 0)
            fail_msg("row %zu: %s (%s)", i, m->err.text, m->err.param);
    }
    assert_int_equal(meter_credits(m, user).balance_nano, 100);
}

/* A call that cost 1000 * 1000 + 100 * 2000 nano-USD. */
#define COST INT64_C(1200000)

static void a_call(struct meter *m, struct slice user, const char *id, uint64_t seq)
{
    struct usage_event e = meter_event(user, id, meter_price(m, "test-model", 1000000, 2000000));

    assert_int_equal(meter_deliver(m, "out1", seq, &e, 1), seq);
}

static void refunds_of_a_call_stay_within_its_cost(void **state)
{
    struct meter *m = *state;
    struct slice a = meter_user(m, "a@x.test", METER_USD), b = meter_user(m, "b@x.test", METER_USD);
    struct credit_grant_req req = {.amount_nano = COST - 10,
                                   .kind = slice_of("refund"),
                                   .request_id = slice_of("req_1"),
                                   .idempotency_key = slice_of("k")};
    struct credit_grant_rep rep, again;

    a_call(m, a, "req_1", 1);
    assert_int_equal(give(m, b, req, &rep), ST_BAD_REQUEST); /* somebody else's call */
    assert_string_equal(m->err.param, "request_id");
    assert_int_equal(give(m, a, req, &rep), ST_OK);
    assert_int_equal(give(m, a, req, &again), ST_OK); /* the same key: the same refund */
    assert_int_equal(again.entry_id, rep.entry_id);
    req.request_id = slice_of("req_2");
    assert_int_equal(give(m, a, req, &again), ST_CONFLICT);
    assert_string_equal(m->err.code, "idempotency_conflict");
    req = (struct credit_grant_req){.amount_nano = 11, .kind = req.kind, .request_id = slice_of("req_1")};
    assert_int_equal(give(m, a, req, &rep), ST_CONFLICT);
    assert_string_equal(m->err.param, "amount_usd");
    assert_string_equal(m->err.code, "refund_exceeds_cost");
    req.amount_nano = 10;
    assert_int_equal(give(m, a, req, &rep), ST_OK);
    assert_int_equal(rep.balance_nano, METER_USD);
    assert_int_equal(give(m, a, req, &rep), ST_CONFLICT);
    assert_int_equal(meter_credits(m, a).spent_nano, COST); /* what was spent stays spent */
    meter_assert_clean(m);
}

struct corrected {
    int64_t refund;
    uint64_t prompt, output; /* the truth */
    int64_t cost; /* that the row says then */
};

static void say(struct meter *m, const struct usage_event *e, uint64_t seq)
{
    assert_int_equal(meter_deliver(m, "out1", seq, e, 1), seq);
}

/* A call is given up, billed as far as it was heard, and refunded; then its truth comes. */
static void one_correction(struct meter *m, const struct corrected *c, uint64_t number)
{
    struct credit_grant_req req = {.amount_nano = c->refund, .kind = slice_of("refund")};
    struct credit_grant_rep rep;
    struct usage_event e;
    struct slice user;
    char email[32], id[32];

    snprintf(email, sizeof(email), "u%d@x.test", (int)number);
    snprintf(id, sizeof(id), "req_%d", (int)number);
    req.request_id = slice_of(id);
    user = meter_user(m, email, METER_USD);
    e = meter_event(user, id, meter_price(m, "test-model", 1000000, 2000000));
    e.status = slice_of("running");
    e.hold_nano = 2 * COST;
    say(m, &e, 2 * number + 1);
    assert_int_equal(meter_expire(m, UINT64_C(1) << 40), 1);
    assert_int_equal(give(m, user, req, &rep), ST_OK);
    assert_int_equal(rep.balance_nano, METER_USD - COST + c->refund);
    e.status = slice_of("ok");
    e.prompt_tokens = c->prompt;
    e.completion_tokens = c->output;
    say(m, &e, 2 * number + 2);
    meter_assert_clean(m);
    if (meter_credits(m, user).balance_nano != METER_USD - c->cost + c->refund)
        fail_msg("case %d: the user has %lld", (int)number, (long long)meter_credits(m, user).balance_nano);
    assert_int_equal(meter_credits(m, user).spent_nano, c->cost);
    req.amount_nano = c->cost - c->refund + 1; /* no more than what is left */
    assert_int_equal(give(m, user, req, &rep), ST_CONFLICT);
}

static void a_correction_does_not_give_back_what_was_refunded(void **state)
{
    static const struct corrected cases[] = {
        {COST, 0, 100, COST}, /* all of it is back already */
        {COST, 0, 0, COST},
        {500000, 0, 100, 500000},
        {200000, 0, 100, 200000},
        {100000, 0, 100, 200000}, /* the truth is more than what was refunded */
        {COST, 1000, 200, COST + 200000}, /* and more than what was billed */
    };
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        one_correction(*state, &cases[i], i);
}

/* ---- codes ----------------------------------------------------------------------------------------------------------
 */

static struct code_list_rep make_codes(struct meter *m, int64_t amount, uint64_t count, uint64_t expires_at)
{
    struct code_create_req req = {.actor_id = slice_of("usr_admin"),
                                  .amount_nano = amount,
                                  .count = count,
                                  .expires_at = expires_at,
                                  .note = slice_of("welcome")};
    struct code_list_rep rep = {0};

    METER_OK(m, op_code_create, &req, &rep);
    return rep;
}

static enum status redeem(struct meter *m, struct slice user, struct slice code, struct credit_grant_rep *rep)
{
    struct code_redeem_req req = {.actor_id = user, .code = code};

    memset(rep, 0, sizeof(*rep));
    return meter_run(m, op_code_redeem, &req, rep);
}

static void a_code_is_worth_its_amount_once(void **state)
{
    struct meter *m = *state;
    struct slice a = meter_user(m, "a@x.test", 0), b = meter_user(m, "b@x.test", 0);
    struct code_list_rep made = make_codes(m, 7 * METER_USD, 3, 0), list = {0};
    struct code_list_req all = {.limit = 2};
    struct credit_grant_rep rep;
    struct slice code = made.data.items[0].code;

    assert_int_equal(made.data.n, 3);
    assert_true(code.n >= 29 && memcmp(code.p, "rc-", 3) == 0);
    assert_false(slice_eq(code, made.data.items[1].code));
    assert_int_equal(redeem(m, a, code, &rep), ST_OK);
    assert_int_equal(rep.balance_nano, 7 * METER_USD);
    assert_int_equal(rep.revision, m->store->revision);
    assert_int_equal(redeem(m, b, code, &rep), ST_CONFLICT);
    assert_string_equal(m->err.code, "code_redeemed");
    assert_int_equal(redeem(m, a, code, &rep), ST_CONFLICT);
    assert_int_equal(meter_credits(m, a).balance_nano, 7 * METER_USD);
    assert_int_equal(meter_credits(m, b).balance_nano, 0);
    METER_OK(m, op_code_list, &all, &list);
    assert_int_equal(list.data.n, 2);
    assert_true(slice_eq(list.data.items[0].id, made.data.items[2].id)); /* newest first */
    all.cursor = list.next;
    memset(&list, 0, sizeof(list));
    METER_OK(m, op_code_list, &all, &list);
    assert_int_equal(list.data.n, 1);
    assert_true(slice_is(list.data.items[0].status, "redeemed") && slice_eq(list.data.items[0].user_id, a));
    assert_int_equal(list.data.items[0].code.n, 0);
    assert_true(memcmp(code.p, list.data.items[0].prefix.p, list.data.items[0].prefix.n) == 0);
    meter_assert_clean(m);
}

/* Whoever reads the database cannot redeem what he finds. */
static void the_database_holds_no_code(void **state)
{
    struct meter *m = *state;
    struct code_list_rep made = make_codes(m, METER_USD, 1, 0);
    struct slice code = made.data.items[0].code;
    char text[160];

    snprintf(text, sizeof(text), "SELECT count(*) FROM credit_code WHERE instr(prefix || note || id, '%.*s') > 0",
             (int)code.n - 12, code.p);
    assert_int_equal(meter_number(m, text), 0);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM credit_code WHERE length(digest) = 32"), 1);
}

static void codes_expire_and_are_revoked(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", 0);
    struct code_list_rep made = make_codes(m, METER_USD, 3, UINT64_C(4000000000));
    struct code_revoke_req revoke = {.actor_id = slice_of("usr_admin"), .id = made.data.items[0].id};
    struct code_create_req bad = {.amount_nano = METER_USD, .expires_at = 1};
    struct code_list_rep none = {0};
    struct credit_grant_rep rep;
    struct empty empty = {0};

    METER_OK(m, op_code_revoke, &revoke, &empty);
    METER_OK(m, op_code_revoke, &revoke, &empty);
    assert_int_equal(redeem(m, user, made.data.items[0].code, &rep), ST_CONFLICT);
    assert_string_equal(m->err.code, "code_revoked");
    meter_sql(m, "UPDATE credit_code SET expires_at = 1000 WHERE num = 2");
    assert_int_equal(redeem(m, user, made.data.items[1].code, &rep), ST_CONFLICT);
    assert_string_equal(m->err.code, "code_expired");
    assert_int_equal(redeem(m, user, made.data.items[2].code, &rep), ST_OK);
    revoke.id = made.data.items[2].id;
    assert_int_equal(meter_run(m, op_code_revoke, &revoke, &empty), ST_CONFLICT);
    revoke.id = slice_of("cod_none");
    assert_int_equal(meter_run(m, op_code_revoke, &revoke, &empty), ST_NOT_FOUND);
    assert_int_equal(meter_run(m, op_code_create, &bad, &none), ST_BAD_REQUEST);
    assert_string_equal(m->err.param, "expires_at");
    bad = (struct code_create_req){.amount_nano = 0};
    assert_int_equal(meter_run(m, op_code_create, &bad, &none), ST_BAD_REQUEST);
    bad = (struct code_create_req){.amount_nano = 1, .count = LIMIT_PAGE + 1};
    assert_int_equal(meter_run(m, op_code_create, &bad, &none), ST_BAD_REQUEST);
    meter_assert_clean(m);
}

static void guessing_codes_is_bounded(void **state)
{
    struct meter *m = *state;
    struct slice a = meter_user(m, "a@x.test", 0), b = meter_user(m, "b@x.test", 0);
    struct slice code = make_codes(m, METER_USD, 1, 0).data.items[0].code;
    struct credit_grant_rep rep;
    int i;

    for (i = 0; i < 10; i++) {
        assert_int_equal(redeem(m, a, slice_of("rc-guess"), &rep), ST_NOT_FOUND);
        assert_string_equal(m->err.param, "code");
    }
    assert_int_equal(redeem(m, a, slice_of("rc-guess"), &rep), ST_SLOW_DOWN);
    assert_true(m->err.retry_after_ms > 0 && m->err.retry_after_ms <= 600000);
    assert_int_equal(redeem(m, a, code, &rep), ST_SLOW_DOWN); /* a right one, too: nothing is learned */
    assert_int_equal(redeem(m, b, slice_of("rc-guess"), &rep), ST_NOT_FOUND); /* somebody else is not touched */
    meter_sql(m, "UPDATE code_failure SET began = began - 601");
    assert_int_equal(redeem(m, a, code, &rep), ST_OK);
    assert_int_equal(redeem(m, a, slice_of("rc-guess"), &rep), ST_NOT_FOUND);
    assert_int_equal(meter_number(m, "SELECT max(failures) FROM code_failure"), 1);
}

/* Also in a batch with others, where only the operation's own writes are taken back. */
static void a_wrong_code_counts_in_a_batch(void **state)
{
    struct meter *m = *state;
    struct code_redeem_req req = {.actor_id = meter_user(m, "a@x.test", 0), .code = slice_of("rc-guess")};
    struct work w = {.s = m->store, .a = &m->arena, .err = &m->err};
    struct credit_grant_rep rep = {0};

    assert_int_equal(batch_begin(m->store, &m->err), ST_OK);
    assert_int_equal(batch_run(&w, LANE_WRITE, op_code_redeem, &req, &rep), ST_NOT_FOUND);
    assert_int_equal(batch_commit(m->store, &m->err), ST_OK);
    assert_int_equal(meter_number(m, "SELECT failures FROM code_failure"), 1);
}

/* ---- monthly credit -------------------------------------------------------------------------------------------------
 */

static void set_monthly(struct meter *m, const char *plan, int64_t nano)
{
    struct plan_update_req req = {
        .name = slice_of(plan), .monthly_credit_nano = nano, .has = UINT64_C(1) << 8}; /* 0 can be said */
    struct plan_rep rep = {0};

    METER_OK(m, op_plan_update, &req, &rep);
    assert_int_equal(rep.plan.items[0].monthly_credit_nano, nano);
}

/* Steps at this time until the round is over. Returns how many steps there were. */
static unsigned round_at(struct meter *m, uint64_t now_ms)
{
    struct work w = {.s = m->store, .a = &m->arena, .err = &m->err};
    struct store_months now;
    unsigned steps = 0;

    while (monthly_due(m->store, now_ms)) {
        assert_int_equal(batch_begin(m->store, &m->err), ST_OK);
        m->store->now_ms = now_ms;
        meter_must(m, monthly_step(&w, &now), "monthly_step");
        assert_int_equal(batch_commit(m->store, &m->err), ST_OK);
        monthly_stepped(m->store, &now);
        assert_true(++steps < 100);
    }
    return steps;
}

static void a_month_is_granted_once_to_everybody(void **state)
{
    struct meter *m = *state;
    struct slice a = meter_user(m, "a@x.test", 0), b = meter_user(m, "b@x.test", METER_USD);
    struct user_update_req disable = {.id = b, .status = slice_of("disabled")};
    struct user_rep rep = {0};
    char email[32];
    int i;

    for (i = 0; i < 3 * MONTHLY_STEP_USERS; i++) {
        snprintf(email, sizeof(email), "u%d@x.test", i);
        meter_user(m, email, 0);
    }
    METER_OK(m, op_user_update, &disable, &rep);
    set_monthly(m, "free", 100);
    assert_true(round_at(m, NOV_MS) > 3);
    assert_int_equal(round_at(m, NOV_MS), 0); /* a repeated timer */
    assert_int_equal(meter_credits(m, a).balance_nano, 100);
    assert_int_equal(meter_credits(m, b).balance_nano, METER_USD); /* not active */
    assert_int_equal(meter_number(m, "SELECT count(*) FROM monthly_credit WHERE month = 202611"),
                     3 * MONTHLY_STEP_USERS + 1);
    monthly_again(m->store); /* as after a restart */
    assert_true(round_at(m, NOV_MS + DAY_MS) > 0);
    assert_int_equal(meter_credits(m, a).balance_nano, 100);
    round_at(m, NOV_MS + 14 * DAY_MS); /* 1 December */
    assert_int_equal(meter_credits(m, a).balance_nano, 200);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM entry WHERE kind = 'monthly'"),
                     4 * (3 * MONTHLY_STEP_USERS + 1));
    meter_assert_clean(m);
}

static void a_clock_that_jumps_back_grants_nothing(void **state)
{
    struct meter *m = *state;
    struct slice a = meter_user(m, "a@x.test", 0);

    set_monthly(m, "free", 100);
    round_at(m, NOV_MS + 14 * DAY_MS); /* 1 December */
    assert_int_equal(meter_credits(m, a).balance_nano, 100);
    round_at(m, NOV_MS + 13 * DAY_MS); /* 30 November again */
    assert_int_equal(meter_credits(m, a).balance_nano, 100);
    round_at(m, NOV_MS + 14 * DAY_MS);
    assert_int_equal(meter_credits(m, a).balance_nano, 100);
    round_at(m, NOV_MS + 14 * DAY_MS + 31 * DAY_MS); /* 1 January: the year turns */
    assert_int_equal(meter_credits(m, a).balance_nano, 200);
    round_at(m, NOV_MS + 14 * DAY_MS + 30 * DAY_MS);
    assert_int_equal(meter_credits(m, a).balance_nano, 200);
    meter_assert_clean(m);
}

static void who_joins_in_mid_month_gets_it_then(void **state)
{
    struct meter *m = *state;
    struct slice old = meter_user(m, "old@x.test", 0), made;
    struct user_update_req move = {.id = old, .plan = slice_of("pro")};
    struct user_rep rep = {0};

    set_monthly(m, "pro", 100);
    set_monthly(m, "unlimited", 900);
    METER_OK(m, op_user_update, &move, &rep);
    assert_int_equal(rep.user.items[0].balance_nano, 100);
    assert_int_equal(rep.revision, m->store->revision);
    move.plan = slice_of("unlimited"); /* once a month, whatever the plan */
    METER_OK(m, op_user_update, &move, &rep);
    assert_int_equal(meter_credits(m, old).balance_nano, 100);
    set_monthly(m, "free", 50);
    made = meter_user(m, "new@x.test", 7);
    assert_int_equal(meter_credits(m, made).balance_nano, 57);
    round_at(m, m->store->now_ms);
    assert_int_equal(meter_credits(m, made).balance_nano, 57);
    assert_int_equal(meter_credits(m, old).balance_nano, 100);
    set_monthly(m, "free", 0);
    assert_int_equal(meter_credits(m, meter_user(m, "third@x.test", 0)).balance_nano, 0);
    meter_assert_clean(m);
}

/* Killed between any two steps, or a step taken back: what is committed is not granted again. */
static void a_round_that_was_cut_goes_on(void **state)
{
    struct meter *m = *state;
    struct work w = {.s = m->store, .a = &m->arena, .err = &m->err};
    struct store_months now;
    struct slice a = meter_user(m, "a@x.test", 0);

    set_monthly(m, "free", 100);
    assert_int_equal(batch_begin(m->store, &m->err), ST_OK);
    m->store->now_ms = NOV_MS;
    assert_int_equal(monthly_step(&w, &now), ST_OK);
    batch_abandon(m->store); /* the disk was full */
    assert_int_equal(meter_credits(m, a).balance_nano, 0);
    assert_true(monthly_due(m->store, NOV_MS));
    round_at(m, NOV_MS);
    assert_int_equal(meter_credits(m, a).balance_nano, 100);
    meter_close(m);
    meter_open(m);
    assert_true(monthly_due(m->store, NOV_MS));
    round_at(m, NOV_MS);
    assert_int_equal(meter_credits(m, a).balance_nano, 100);
    assert_int_not_equal(sqlite3_exec(m->store->db,
                                      "INSERT INTO monthly_credit SELECT user_num, month, transfer + 1 "
                                      "FROM monthly_credit",
                                      NULL, NULL, NULL),
                         SQLITE_OK);
}

/* ---- the verifier ---------------------------------------------------------------------------------------------------
 */

static const char *const tampers[] = {
    "UPDATE credit_grant SET kind = 'topup' WHERE kind = 'refund'",
    "UPDATE credit_grant SET request_id = 'req_none' WHERE kind = 'refund'",
    "UPDATE usage SET cost_nano = cost_nano - 11, overage_nano = overage_nano + 11",
    "UPDATE credit_code SET amount_nano = amount_nano + 1 WHERE status = 'redeemed'",
    "UPDATE credit_code SET user_num = 1 WHERE status = 'redeemed'",
    "DELETE FROM credit_code",
    "DELETE FROM monthly_credit",
    "UPDATE monthly_credit SET user_num = 1",
};

static void one_tamper(const char *sql)
{
    struct meter *m = NULL;
    void *state = NULL;
    struct credit_grant_req refund = {
        .amount_nano = COST - 10, .kind = slice_of("refund"), .request_id = slice_of("req_1")};
    struct credit_grant_rep rep;
    struct slice user;

    meter_setup(&state);
    m = state;
    user = meter_user(m, "a@x.test", METER_USD);
    a_call(m, user, "req_1", 1);
    assert_int_equal(give(m, user, refund, &rep), ST_OK);
    assert_int_equal(redeem(m, user, make_codes(m, 5, 1, 0).data.items[0].code, &rep), ST_OK);
    set_monthly(m, "free", 100);
    round_at(m, NOV_MS);
    meter_assert_clean(m);
    meter_sql(m, "PRAGMA foreign_keys=OFF");
    meter_sql(m, sql);
    if (sqlite3_changes(m->store->db) == 0)
        fail_msg("changes nothing: %s", sql);
    if (meter_verify(m).ok)
        fail_msg("not noticed: %s", sql);
    meter_teardown(&state);
}

static void tampering_with_credit_is_noticed(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(tampers) / sizeof(tampers[0]); i++)
        one_tamper(tampers[i]);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, meter_setup, meter_teardown)
    const struct CMUnitTest tests[] = {
        T(entries_carry_the_kind),
        T(kinds_have_rules),
        T(refunds_of_a_call_stay_within_its_cost),
        T(a_correction_does_not_give_back_what_was_refunded),
        T(a_code_is_worth_its_amount_once),
        T(the_database_holds_no_code),
        T(codes_expire_and_are_revoked),
        T(guessing_codes_is_bounded),
        T(a_wrong_code_counts_in_a_batch),
        T(a_month_is_granted_once_to_everybody),
        T(a_clock_that_jumps_back_grants_nothing),
        T(who_joins_in_mid_month_gets_it_then),
        T(a_round_that_was_cut_goes_on),
        cmocka_unit_test(tampering_with_credit_is_noticed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
