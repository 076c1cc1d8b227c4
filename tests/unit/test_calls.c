/* Calls that run long: holds in the ledger, their one end, and what comes late, twice, in a strange order or from
 * somebody else. */
#include "tests/unit/meter_fixture.h"

#include "meterd/calls.h"
#include "meterd/hold_rows.h"

#define IN_PICO 1000000 /* 1 USD per 1M: 1000 tokens = 1,000,000 nano */
#define OUT_PICO 2000000 /* 2 USD per 1M: 1 token = 2,000 nano */
#define IN_COST 1000000 /* of meter_event's 1000 tokens in */
#define TOKEN 2000
#define HOLD 5000000
#define LEASE 60000

struct world {
    struct meter *m;
    struct slice user;
    uint64_t price, seq;
    struct settled settled; /* the last one made known */
};

static struct world make_world(void **state, int64_t credit)
{
    struct world w = {.m = *state};

    w.user = meter_user(w.m, "a@x.test", credit);
    w.price = meter_price(w.m, "test-model", IN_PICO, OUT_PICO);
    return w;
}

static struct usage_event event_of(struct world *w, const char *id, const char *status, uint64_t out)
{
    struct usage_event e = meter_event(w->user, id, w->price);

    e.status = slice_of(status);
    e.completion_tokens = out;
    e.hold_nano = HOLD;
    if (strcmp(status, "running") == 0)
        e.lease_ms = LEASE;
    return e;
}

/* Before the next transaction forgets it. */
static void note_settled(struct world *w)
{
    const struct changes *c = &w->m->store->changes;
    size_t i;

    for (i = 0; i < c->n; i++)
        if (c->items[i].kind == settled_desc.type)
            assert_int_equal(
                wire_decode(&settled_desc, c->records.p + c->items[i].at, c->items[i].n, &w->settled, NULL, NULL),
                ST_OK);
}

static void say(struct world *w, const char *id, const char *status, uint64_t out)
{
    struct usage_event e = event_of(w, id, status, out);

    w->seq++;
    assert_int_equal(meter_deliver(w->m, "out1", w->seq, &e, 1), w->seq);
    note_settled(w);
    /* whatever was said: nothing is ever wrong in between */
    meter_assert_clean(w->m);
}

static size_t expire_at(struct world *w, uint64_t clock_ms)
{
    size_t n = meter_expire(w->m, clock_ms);

    note_settled(w);
    meter_assert_clean(w->m);
    return n;
}

/* When the lease of the one open hold is over. */
static uint64_t due_of(struct world *w)
{
    return (uint64_t)meter_number(w->m, "SELECT max(due_ms) FROM hold WHERE state = 'open'");
}

static int64_t account(struct world *w, const char *kind)
{
    char sql[160];

    snprintf(sql, sizeof(sql),
             "SELECT coalesce(sum(a.balance_nano), 0) FROM account a JOIN user u ON u.num = a.user_num "
             "WHERE a.kind = '%s' AND u.id = '" SLICE_FMT "'",
             kind, SLICE_ARG(w->user));
    return meter_number(w->m, sql);
}

/* ---- a hold and its end --------------------------------------------------------------------------------------------
 */

static void a_long_call_holds_credit_and_settles(void **state)
{
    struct world w = make_world(state, METER_USD);

    say(&w, "req_1", "running", 10);
    assert_int_equal(account(&w, "held"), HOLD);
    assert_int_equal(account(&w, "available"), METER_USD - HOLD);
    assert_int_equal(meter_credits(w.m, w.user).balance_nano, METER_USD);
    assert_int_equal(meter_verify(w.m).holds_open, 1);
    say(&w, "req_1", "running", 20);
    assert_int_equal(meter_number(w.m, "SELECT tokens FROM hold"), 1020);
    assert_int_equal(meter_number(w.m, "SELECT count(*) FROM usage"), 0);
    say(&w, "req_1", "ok", 30);
    assert_int_equal(account(&w, "held"), 0);
    assert_int_equal(account(&w, "available"), METER_USD - IN_COST - 30 * TOKEN);
    assert_int_equal(meter_credits(w.m, w.user).spent_nano, IN_COST + 30 * TOKEN);
    assert_int_equal(meter_number(w.m, "SELECT count(*) FROM hold WHERE state = 'settled' AND event IS NULL"), 1);
    assert_int_equal(meter_verify(w.m).holds_open, 0);
    say(&w, "req_1", "ok", 30);
    say(&w, "req_1", "running", 40);
    say(&w, "req_1", "void", 0);
    assert_int_equal(meter_credits(w.m, w.user).spent_nano, IN_COST + 30 * TOKEN);
}

static void the_settled_record_says_what_is_left_with_what_is_held(void **state)
{
    struct world w = make_world(state, METER_USD);
    struct usage_event e;

    say(&w, "req_other", "running", 1);
    e = event_of(&w, "req_1", "ok", 30);
    meter_deliver(w.m, "out2", 1, &e, 1);
    note_settled(&w);
    assert_int_equal(w.settled.balance_nano, METER_USD - IN_COST - 30 * TOKEN);
    e = event_of(&w, "req_other", "ok", 40);
    meter_deliver(w.m, "out2", 2, &e, 1);
    note_settled(&w);
    assert_int_equal(w.settled.balance_nano, METER_USD - 2 * IN_COST - 70 * TOKEN);
}

static void a_cost_just_as_large_as_the_hold_is_still_spent(void **state)
{
    struct world w = make_world(state, METER_USD);

    say(&w, "req_1", "running", 10);
    say(&w, "req_1", "ok", (HOLD - IN_COST) / TOKEN);
    assert_int_equal(meter_credits(w.m, w.user).spent_nano, HOLD);
    assert_int_equal(account(&w, "available"), METER_USD - HOLD);
    meter_assert_clean(w.m);
}

static void cost_above_the_hold_takes_credit_then_the_operators(void **state)
{
    struct world w = make_world(state, HOLD + 1000);

    say(&w, "req_1", "running", 10);
    say(&w, "req_1", "ok", (HOLD - IN_COST) / TOKEN + 2);
    assert_int_equal(meter_credits(w.m, w.user).balance_nano, 0);
    assert_int_equal(meter_number(w.m, "SELECT overage_nano FROM usage"), 3000);
    say(&w, "req_2", "running", 10);
    assert_int_equal(meter_number(w.m, "SELECT amount_nano FROM hold WHERE request_id = 'req_2'"), 0);
    say(&w, "req_2", "ok", 10);
    assert_int_equal(meter_number(w.m, "SELECT min(balance_nano) FROM account WHERE user_num IS NOT NULL"), 0);
}

static void a_void_gives_the_hold_back_unless_the_call_has_cost_something(void **state)
{
    struct world w = make_world(state, METER_USD);
    struct usage_event e = event_of(&w, "req_1", "running", 0);

    e.prompt_tokens = 0;
    w.seq++;
    meter_deliver(w.m, "out1", 1, &e, 1);
    assert_int_equal(account(&w, "held"), HOLD);
    say(&w, "req_1", "void", 0);
    assert_int_equal(account(&w, "held"), 0);
    assert_int_equal(meter_credits(w.m, w.user).spent_nano, 0);
    say(&w, "req_2", "running", 5);
    say(&w, "req_2", "void", 0);
    assert_int_equal(account(&w, "held"), HOLD);
    assert_int_equal(meter_number(w.m, "SELECT count(*) FROM usage WHERE request_id = 'req_2'"), 0);
}

/* A gateway that gave a call up was wrong: the call ran, and is billed. */
static void a_void_that_was_wrong_is_billed_once(void **state)
{
    struct world w = make_world(state, METER_USD);

    say(&w, "req_1", "void", 0);
    say(&w, "req_1", "running", 5);
    assert_int_equal(meter_number(w.m, "SELECT count(*) FROM hold"), 0);
    say(&w, "req_1", "ok", 30);
    assert_int_equal(meter_credits(w.m, w.user).spent_nano, IN_COST + 30 * TOKEN);
    assert_int_equal(meter_number(w.m, "SELECT count(*) FROM usage WHERE status = 'ok' AND completion_tokens = 30"), 1);
    say(&w, "req_1", "ok", 90);
    say(&w, "req_1", "void", 0);
    assert_int_equal(meter_credits(w.m, w.user).spent_nano, IN_COST + 30 * TOKEN);
    assert_int_equal(meter_number(w.m, "SELECT count(*) FROM correction"), 1);
}

/* ---- leases --------------------------------------------------------------------------------------------------------
 */

static void a_silent_call_expires_at_what_was_heard(void **state)
{
    struct world w = make_world(state, METER_USD);
    uint64_t due;

    say(&w, "req_1", "running", 10);
    say(&w, "req_2", "running", 10);
    due = due_of(&w);
    say(&w, "req_1", "ok", 12);
    assert_int_equal(expire_at(&w, due - 1), 0);
    assert_int_equal(expire_at(&w, due), 1);
    assert_int_equal(w.settled.cost_nano, IN_COST + 10 * TOKEN);
    assert_int_equal(account(&w, "held"), 0);
    assert_int_equal(meter_credits(w.m, w.user).spent_nano, 2 * IN_COST + 22 * TOKEN);
    assert_int_equal(meter_number(w.m,
                                  "SELECT count(*) FROM usage WHERE request_id = 'req_2' AND status = 'expired' AND "
                                  "estimated = 1 AND completion_tokens = 10 AND provider = 'echo'"),
                     1);
    assert_int_equal(expire_at(&w, due + 1000000), 0);
}

static void progress_keeps_a_call_alive_and_never_shortens_its_lease(void **state)
{
    struct world w = make_world(state, METER_USD);
    struct usage_event e = event_of(&w, "req_1", "running", 20);
    uint64_t due;

    say(&w, "req_1", "running", 10);
    due = due_of(&w);
    e.lease_ms = 10 * LEASE;
    meter_deliver(w.m, "out1", ++w.seq, &e, 1);
    say(&w, "req_1", "running", 5); /* older, shorter: from a second source, say */
    assert_int_equal(meter_number(w.m, "SELECT tokens FROM hold"), 1020);
    assert_int_equal(expire_at(&w, due + 5 * LEASE), 0);
    assert_int_equal(expire_at(&w, due_of(&w)), 1);
    assert_int_equal(meter_credits(w.m, w.user).spent_nano, IN_COST + 20 * TOKEN);
}

static void late_usage_is_posted_as_the_difference_once(void **state)
{
    struct world w = make_world(state, METER_USD);

    say(&w, "req_more", "running", 10);
    say(&w, "req_less", "running", 10);
    say(&w, "req_same", "running", 10);
    assert_int_equal(expire_at(&w, due_of(&w)), 3);
    say(&w, "req_more", "ok", 50);
    assert_int_equal(w.settled.cost_nano, IN_COST + 50 * TOKEN);
    say(&w, "req_less", "cancelled", 4);
    say(&w, "req_same", "ok", 10);
    say(&w, "req_more", "ok", 70);
    say(&w, "req_less", "running", 70);
    assert_int_equal(meter_credits(w.m, w.user).spent_nano, 3 * IN_COST + 64 * TOKEN);
    assert_int_equal(meter_number(w.m, "SELECT count(*) FROM usage WHERE status = 'expired'"), 0);
    assert_int_equal(meter_number(w.m, "SELECT count(*) FROM correction"), 3);
    assert_int_equal(meter_number(w.m, "SELECT count(*) FROM entry WHERE kind = 'late'"), 4);
}

static void leases_are_counted_anew_from_a_start(void **state)
{
    struct world w = make_world(state, METER_USD);
    struct work work = {.a = &w.m->arena, .err = &w.m->err};
    uint64_t before;

    say(&w, "req_1", "running", 10);
    before = due_of(&w) - LEASE;
    meter_close(w.m);
    meter_open(w.m);
    work.s = w.m->store;
    meter_must(w.m, batch_begin(w.m->store, &w.m->err), "begin");
    meter_must(w.m, hold_rows_restart(&work, before + 1000000), "restart");
    meter_must(w.m, batch_commit(w.m->store, &w.m->err), "commit");
    assert_int_equal(expire_at(&w, before + 1000000 + LEASE - 1), 0);
    say(&w, "req_1", "running", 20); /* the filter knows of it again */
    assert_int_equal(expire_at(&w, before + 1000000 + LEASE), 1);
    assert_int_equal(meter_credits(w.m, w.user).spent_nano, IN_COST + 20 * TOKEN);
}

/* The wall clock is for people: whatever it says, nothing ends sooner or later. */
static void the_wall_clock_decides_nothing(void **state)
{
    struct world w = make_world(state, METER_USD);

    say(&w, "req_1", "running", 10);
    meter_sql(w.m, "UPDATE hold SET opened_ms = 1");
    assert_int_equal(expire_at(&w, due_of(&w) - 1), 0);
    meter_sql(w.m, "UPDATE hold SET opened_ms = 99999999999999");
    assert_int_equal(expire_at(&w, due_of(&w)), 1);
}

/* ---- others --------------------------------------------------------------------------------------------------------
 */

static void a_second_source_cannot_take_a_call_over(void **state)
{
    struct world w = make_world(state, METER_USD);
    struct slice other = meter_user(w.m, "b@x.test", METER_USD);
    struct usage_event e;

    say(&w, "req_1", "running", 10);
    e = event_of(&w, "req_1", "running", 20);
    e.user_id = other;
    meter_deliver(w.m, "out2", 1, &e, 1);
    meter_assert_clean(w.m);
    e.status = slice_of("ok");
    meter_deliver(w.m, "out2", 2, &e, 1);
    meter_assert_clean(w.m);
    assert_int_equal(meter_credits(w.m, other).spent_nano, 0);
    assert_int_equal(meter_credits(w.m, w.user).spent_nano, IN_COST + 20 * TOKEN);
    say(&w, "req_2", "void", 0);
    e.request_id = slice_of("req_2");
    meter_deliver(w.m, "out2", 3, &e, 1);
    meter_assert_clean(w.m);
    assert_int_equal(meter_credits(w.m, other).spent_nano, 0);
    assert_int_equal(meter_credits(w.m, w.user).spent_nano, 2 * (IN_COST + 20 * TOKEN));
}

static void nobodys_long_call_is_the_operators(void **state)
{
    struct world w = make_world(state, METER_USD);

    w.user = slice_of("usr_nobody");
    say(&w, "req_1", "running", 10);
    say(&w, "req_1", "running", 20);
    assert_int_equal(expire_at(&w, due_of(&w)), 1);
    assert_int_equal(meter_number(w.m, "SELECT count(*) FROM usage_stray WHERE user_id = 'usr_nobody'"), 1);
    say(&w, "req_1", "ok", 30);
    assert_int_equal(meter_number(w.m, "SELECT balance_nano FROM account WHERE kind = 'overage'"),
                     -IN_COST - 30 * TOKEN);
}

static void what_is_held_cannot_be_taken_back(void **state)
{
    struct world w = make_world(state, HOLD + 500);
    struct credit_grant_req req = {.actor_id = slice_of("usr_admin"), .id = w.user, .note = slice_of("x")};
    struct credit_grant_rep rep = {0};

    say(&w, "req_1", "running", 10);
    req.amount_nano = -501;
    assert_int_equal(meter_run(w.m, op_credit_grant, &req, &rep), ST_CONFLICT);
    req.amount_nano = -500;
    METER_OK(w.m, op_credit_grant, &req, &rep);
    meter_assert_clean(w.m);
}

static void a_transaction_taken_back_leaves_no_trace_of_a_hold(void **state)
{
    struct world w = make_world(state, METER_USD);
    struct usage_event e = event_of(&w, "req_1", "running", 10);
    struct work work = {.s = w.m->store, .a = &w.m->arena, .err = &w.m->err};

    meter_must(w.m, batch_begin(w.m->store, &w.m->err), "begin");
    meter_must(w.m, calls_apply(&work, &e), "apply");
    batch_abandon(w.m->store);
    assert_int_equal(meter_number(w.m, "SELECT count(*) FROM hold"), 0);
    say(&w, "req_1", "running", 10);
    /* and of its end */
    e.status = slice_of("ok");
    meter_must(w.m, batch_begin(w.m->store, &w.m->err), "begin");
    meter_must(w.m, calls_apply(&work, &e), "apply");
    batch_abandon(w.m->store);
    say(&w, "req_1", "ok", 30);
    assert_int_equal(account(&w, "held"), 0);
    assert_int_equal(meter_number(w.m, "SELECT count(*) FROM hold WHERE state = 'settled'"), 1);
}

/* A void comes as a command of its own, in the same transaction as the rest. */
static void a_command_that_fails_takes_back_its_hold_only(void **state)
{
    struct world w = make_world(state, METER_USD);
    struct usage_event e = event_of(&w, "req_1", "running", 0);
    struct usage_void_req req = {.event = {&e, 1}};
    struct empty rep = {0};

    e.prompt_tokens = 0;
    meter_deliver(w.m, "out1", ++w.seq, &e, 1);
    METER_OK(w.m, op_usage_void, &req, &rep);
    assert_true(rep.revision > 0);
    METER_OK(w.m, op_usage_void, &req, &rep);
    assert_int_equal(account(&w, "held"), 0);
    meter_assert_clean(w.m);
}

static void attempts_are_kept_with_their_own_cost(void **state)
{
    struct world w = make_world(state, METER_USD);
    struct usage_event e = event_of(&w, "req_1", "ok", 30);
    struct usage_attempt list[2] = {{.number = 1,
                                     .provider = slice_of("first"),
                                     .upstream_model = slice_of("m"),
                                     .outcome = slice_of("timeout"),
                                     .prompt_tokens = 1000,
                                     .price_id = w.price},
                                    {.number = 2,
                                     .provider = slice_of("second"),
                                     .upstream_model = slice_of("m"),
                                     .outcome = slice_of("ok"),
                                     .answered = true,
                                     .prompt_tokens = 1000,
                                     .completion_tokens = 30,
                                     .price_id = w.price}};

    e.attempt_log.items = list;
    e.attempt_log.n = 2;
    meter_deliver(w.m, "out1", ++w.seq, &e, 1);
    assert_int_equal(meter_number(w.m, "SELECT count(*) FROM attempt WHERE request_id = 'req_1'"), 2);
    assert_int_equal(meter_number(w.m, "SELECT cost_nano FROM attempt WHERE number = 1 AND answered = 0"), IN_COST);
    assert_int_equal(meter_number(w.m, "SELECT cost_nano FROM attempt WHERE answered = 1"), IN_COST + 30 * TOKEN);
    /* the caller pays for the one that answered */
    assert_int_equal(meter_credits(w.m, w.user).spent_nano, IN_COST + 30 * TOKEN);
    meter_assert_clean(w.m);
}

/* An attempt that the operator pays for costs what it would have cost the caller: each class at its own price. */
static void an_attempts_audio_and_images_are_priced_as_such(void **state)
{
    struct world w = make_world(state, METER_USD);
    struct price_put_req put = {.actor_id = slice_of("usr_test"),
                                .model = slice_of("talker"),
                                .input_pico = 1000,
                                .output_pico = 2000,
                                .audio_input_pico = 40000,
                                .audio_output_pico = 80000,
                                .image_input_pico = 5000,
                                .image_output_pico = 9000};
    struct price_rep priced = {0};
    struct usage_attempt wasted = {.number = 1,
                                   .provider = slice_of("first"),
                                   .upstream_model = slice_of("talker"),
                                   .outcome = slice_of("broken"),
                                   .prompt_tokens = 1000,
                                   .audio_input_tokens = 100,
                                   .image_input_tokens = 200,
                                   .completion_tokens = 500,
                                   .audio_output_tokens = 50,
                                   .image_output_tokens = 150};
    struct usage_event e = event_of(&w, "req_1", "ok", 30);

    put.has = UINT64_C(1) << 11 | UINT64_C(1) << 12 | UINT64_C(1) << 13 | UINT64_C(1) << 14;
    METER_OK(w.m, op_price_put, &put, &priced);
    wasted.price_id = priced.price.items[0].id;
    e.attempt_log.items = &wasted;
    e.attempt_log.n = 1;
    meter_deliver(w.m, "out1", ++w.seq, &e, 1);
    assert_int_equal(meter_number(w.m, "SELECT cost_nano FROM attempt"),
                     (700 * 1000 + 100 * 40000 + 200 * 5000 + 300 * 2000 + 50 * 80000 + 150 * 9000) / 1000);
    assert_int_equal(meter_number(w.m,
                                  "SELECT audio_input_tokens + 10 * audio_output_tokens + 100 * image_input_tokens "
                                  "+ 1000 * image_output_tokens FROM attempt"),
                     100 + 10 * 50 + 100 * 200 + 1000 * 150);
}

static void the_log_of_changes_shows_an_end_and_its_correction(void **state)
{
    struct world w = make_world(state, METER_USD);
    struct state_read_req req = {0};
    struct state_read_rep rep = {0};
    struct settled s = {0};
    size_t i, n = 0;

    say(&w, "req_1", "running", 10);
    req.after_revision = w.m->store->revision - 1;
    expire_at(&w, due_of(&w));
    say(&w, "req_1", "ok", 50);
    METER_OK(w.m, op_state_read, &req, &rep);
    for (i = 0; i < rep.changes.n; i++) {
        const struct state_change *c = &rep.changes.items[i];

        if (c->kind != settled_desc.type)
            continue;
        assert_int_equal(wire_decode(&settled_desc, c->record.p, c->record.n, &s, NULL, NULL), ST_OK);
        assert_true(slice_is(s.request_id, "req_1"));
        n++;
    }
    assert_int_equal(n, 2);
    assert_int_equal(s.cost_nano, IN_COST + 50 * TOKEN);
    assert_int_equal(s.balance_nano, METER_USD - IN_COST - 50 * TOKEN);
}

/* ---- the rows do what the step function says, whatever is said in whatever order ------------------------------------
 */

#define CHANCE_USERS 2
#define CHANCE_CALLS 12
#define CHANCE_EVENTS 60
#define CHANCE_RUNS 12

struct model { /* fed with the same events, without a database */
    struct ledger_view calls[CHANCE_CALLS];
    int64_t available[CHANCE_USERS], held[CHANCE_USERS];
};

static void model_step(struct model *m, size_t call, const struct ledger_command *c)
{
    struct ledger_view *v = &m->calls[call];
    int64_t *available = &m->available[call % CHANCE_USERS], *held = &m->held[call % CHANCE_USERS];
    struct ledger_effect e;

    v->available_nano = *available;
    v->held_nano = *held;
    e = ledger_step(v, c);
    *available += e.posts.available_nano;
    *held += e.posts.held_nano;
    v->state = e.state;
    v->hold_nano = e.hold_nano;
    v->heard_nano = e.heard_nano;
    v->heard_tokens = e.heard_tokens;
    v->taken_nano = e.taken_nano;
    v->overage_nano = e.overage_nano;
}

static void model_event(struct model *m, size_t call, const struct usage_event *e)
{
    struct ledger_command c = {.verb = LEDGER_SETTLE,
                               .amount_nano = e->hold_nano,
                               .cost_nano = (int64_t)e->completion_tokens * TOKEN,
                               .tokens = e->completion_tokens};

    if (slice_is(e->status, "running"))
        c.verb = LEDGER_PROGRESS;
    if (slice_is(e->status, "void")) {
        c.verb = LEDGER_VOID;
        c.cost_nano = 0;
    }
    model_step(m, call, &c);
}

static void compare(struct world *w, const struct model *m, char ids[CHANCE_CALLS][16], const struct slice *users)
{
    char sql[320];
    size_t i;

    for (i = 0; i < CHANCE_USERS; i++) {
        w->user = users[i];
        assert_int_equal(account(w, "available"), m->available[i]);
        assert_int_equal(account(w, "held"), m->held[i]);
    }
    for (i = 0; i < CHANCE_CALLS; i++) {
        snprintf(sql, sizeof(sql),
                 "SELECT coalesce(sum(cost_nano * 1000000000 + overage_nano), 0) FROM usage WHERE request_id = '%s'",
                 ids[i]);
        assert_int_equal(meter_number(w->m, sql), m->calls[i].taken_nano * 1000000000 + m->calls[i].overage_nano);
    }
}

struct chance {
    struct world w;
    struct model model;
    struct slice users[CHANCE_USERS];
    char ids[CHANCE_CALLS][16];
    unsigned seed;
};

static uint64_t below(struct chance *c, unsigned n)
{
    return (uint64_t)rand_r(&c->seed) % n;
}

static void begin_run(struct chance *c)
{
    char email[32];
    size_t i;

    for (i = 0; i < CHANCE_CALLS; i++)
        snprintf(c->ids[i], sizeof(c->ids[i]), "r%zu-%u", i, c->seed % 1000000);
    for (i = 0; i < CHANCE_USERS; i++) {
        c->model.available[i] = 100000 * (int64_t)(1 + below(c, 10));
        snprintf(email, sizeof(email), "%s@x.test", c->ids[i]);
        c->users[i] = meter_user(c->w.m, email, c->model.available[i]);
    }
}

static void one_event(struct chance *c, uint64_t seq[2])
{
    static const char *const statuses[] = {"running", "running", "running", "ok", "void"};
    static const char *const sources[] = {"out1", "out2"};
    size_t call = below(c, CHANCE_CALLS), source = below(c, 2);
    struct usage_event e;

    c->w.user = c->users[call % CHANCE_USERS];
    e = event_of(&c->w, c->ids[call], statuses[below(c, 5)], below(c, 60));
    e.prompt_tokens = 0;
    e.hold_nano = (int64_t)below(c, 150000);
    e.lease_ms = LEASE * (1 + call); /* they expire in this order */
    meter_deliver(c->w.m, sources[source], ++seq[source], &e, 1);
    model_event(&c->model, call, &e);
}

static void expire_every(struct chance *c)
{
    size_t call;

    expire_at(&c->w, UINT64_C(1) << 40);
    for (call = 0; call < CHANCE_CALLS; call++)
        model_step(&c->model, call, &(struct ledger_command){.verb = LEDGER_EXPIRE});
}

static void one_run(struct meter *m, unsigned seed, uint64_t seq[2])
{
    struct chance c = {.w = {.m = m}, .seed = seed};
    size_t i;

    c.w.price = meter_price(m, "test-model", 0, OUT_PICO);
    begin_run(&c);
    for (i = 0; i < CHANCE_EVENTS; i++) {
        one_event(&c, seq);
        if (below(&c, 20) == 0)
            expire_every(&c);
    }
    compare(&c.w, &c.model, c.ids, c.users);
    meter_assert_clean(m);
}

static void rows_do_what_the_step_function_says(void **state)
{
    uint64_t seq[2] = {0};
    unsigned seed;

    for (seed = 1; seed <= CHANCE_RUNS; seed++)
        one_run(*state, seed * 7919, seq);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, meter_setup, meter_teardown)
    const struct CMUnitTest tests[] = {
        T(a_long_call_holds_credit_and_settles),
        T(the_settled_record_says_what_is_left_with_what_is_held),
        T(a_cost_just_as_large_as_the_hold_is_still_spent),
        T(cost_above_the_hold_takes_credit_then_the_operators),
        T(a_void_gives_the_hold_back_unless_the_call_has_cost_something),
        T(a_void_that_was_wrong_is_billed_once),
        T(a_silent_call_expires_at_what_was_heard),
        T(progress_keeps_a_call_alive_and_never_shortens_its_lease),
        T(late_usage_is_posted_as_the_difference_once),
        T(leases_are_counted_anew_from_a_start),
        T(the_wall_clock_decides_nothing),
        T(a_second_source_cannot_take_a_call_over),
        T(nobodys_long_call_is_the_operators),
        T(what_is_held_cannot_be_taken_back),
        T(a_transaction_taken_back_leaves_no_trace_of_a_hold),
        T(a_command_that_fails_takes_back_its_hold_only),
        T(attempts_are_kept_with_their_own_cost),
        T(an_attempts_audio_and_images_are_priced_as_such),
        T(the_log_of_changes_shows_an_end_and_its_correction),
        T(rows_do_what_the_step_function_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
