/* Answers kept for an Idempotency-Key: who may make a call, who waits, who gets the answer, and when a key is free. */
#include "tests/unit/meter_fixture.h"

#include "meterd/answers.h"
#include "services/clock.h"

#define LEASE_MS 60000
#define HOUR_MS (UINT64_C(3600) * 1000)

/* A key's digest, or a body's: so many bytes of one letter. */
static struct slice digest(struct meter *m, char letter)
{
    char *p = arena_alloc(&m->arena, LIMIT_DIGEST);

    assert_non_null(p);
    memset(p, letter, LIMIT_DIGEST);
    return (struct slice){p, LIMIT_DIGEST};
}

static void add_key(struct meter *m, struct slice user, const char *id, char letter)
{
    struct api_key key = {.id = slice_of(id), .user_id = user, .name = slice_of("n"), .prefix = slice_of("sk-or-")};
    struct key_put_req req = {.digest = digest(m, letter), .key = {&key, 1}};
    struct empty rep = {0};

    METER_OK(m, op_key_put, &req, &rep);
}

static struct answer_begin_req begin_req(struct meter *m, char key, const char *idem, char body, const char *request)
{
    return (struct answer_begin_req){.key_digest = digest(m, key),
                                     .idempotency_key = slice_of(idem),
                                     .body_digest = digest(m, body),
                                     .request_id = slice_of(request),
                                     .lease_ms = LEASE_MS};
}

static enum status begin(struct meter *m, char key, const char *idem, char body, const char *request,
                         struct answer_begin_rep *rep)
{
    struct answer_begin_req req = begin_req(m, key, idem, body, request);

    memset(rep, 0, sizeof(*rep));
    return meter_run(m, op_answer_begin, &req, rep);
}

static enum status put(struct meter *m, char key, const char *idem, const char *request, unsigned http,
                       struct slice body)
{
    struct answer_put_req req = {.key_digest = digest(m, key),
                                 .idempotency_key = slice_of(idem),
                                 .request_id = slice_of(request),
                                 .http_status = http,
                                 .content_type = slice_of("application/json"),
                                 .body = body};
    struct empty rep = {0};
    enum status st;

    do { /* a large one comes in pieces */
        st = meter_run(m, op_answer_put, &req, &rep);
    } while (st == ST_PENDING);
    return st;
}

/* What the next request with this key is told. */
static void must_say(struct meter *m, char key, const char *idem, const char *request, const char *state)
{
    struct answer_begin_rep rep;

    if (begin(m, key, idem, 'B', request, &rep) != ST_OK)
        fail_msg("%s: %s", request, m->err.text);
    if (!slice_is(rep.state, state))
        fail_msg("%s: " SLICE_FMT ", not %s", request, SLICE_ARG(rep.state), state);
}

static void bill(struct meter *m, struct slice user, const char *request, uint64_t seq, int64_t in_pico)
{
    struct usage_event e = meter_event(user, request, in_pico ? meter_price(m, "test-model", in_pico, 0) : 0);

    assert_int_equal(meter_deliver(m, "src", seq, &e, 1), seq);
}

/* The lease of every call ran out. */
static void leases_end(struct meter *m)
{
    meter_sql(m, "UPDATE answer SET lease_end_ms = 1 WHERE lease_end_ms > 1");
}

struct people {
    struct slice ann, bob;
};

static struct people people(struct meter *m)
{
    struct people p = {meter_user(m, "ann@x.test", METER_USD), meter_user(m, "bob@x.test", METER_USD)};

    add_key(m, p.ann, "key_a1", 'a');
    add_key(m, p.ann, "key_a2", 'A');
    add_key(m, p.bob, "key_b", 'b');
    return p;
}

static void restart(struct meter *m)
{
    struct work w = {.s = m->store, .a = &m->arena, .err = &m->err};

    meter_close(m);
    meter_open(m);
    w.s = m->store;
    assert_int_equal(batch_begin(m->store, &m->err), ST_OK);
    assert_int_equal(answers_restart(&w), ST_OK);
    assert_int_equal(batch_commit(m->store, &m->err), ST_OK);
}

/* ---- the ordinary way ---------------------------------------------------------------------------------------------
 */

static void the_second_waits_and_then_has_the_firsts_answer(void **state)
{
    struct meter *m = *state;
    struct answer_begin_rep rep;
    struct slice body = {"a\0b\xff", 4};

    people(m);
    must_say(m, 'a', "k", "req_1", "begun");
    must_say(m, 'a', "k", "req_1", "begun"); /* told twice */
    must_say(m, 'a', "k", "req_2", "running");
    assert_int_equal(put(m, 'a', "k", "req_1", 201, body), ST_OK);
    assert_int_equal(begin(m, 'a', "k", 'B', "req_3", &rep), ST_OK);
    assert_true(slice_is(rep.state, "stored"));
    assert_true(slice_is(rep.request_id, "req_1"));
    assert_int_equal(rep.http_status, 201);
    assert_true(slice_is(rep.content_type, "application/json"));
    assert_true(slice_eq(rep.body, body));
    assert_int_equal(meter_number(m, "SELECT count(*) FROM answer"), 1);
    meter_assert_clean(m);
}

static void keys_of_a_user_share_and_users_do_not(void **state)
{
    struct meter *m = *state;

    people(m);
    must_say(m, 'a', "k", "req_1", "begun");
    assert_int_equal(put(m, 'a', "k", "req_1", 200, slice_of("x")), ST_OK);
    must_say(m, 'A', "k", "req_2", "stored");
    must_say(m, 'b', "k", "req_3", "begun");
    must_say(m, 'a', "K", "req_4", "begun"); /* and a key is what it is, to the byte */
}

static void another_body_is_a_conflict(void **state)
{
    struct meter *m = *state;
    struct answer_begin_rep rep;

    people(m);
    must_say(m, 'a', "k", "req_1", "begun");
    assert_int_equal(begin(m, 'a', "k", 'C', "req_2", &rep), ST_CONFLICT);
    assert_string_equal(m->err.code, "idempotency_key_reused");
    assert_int_equal(put(m, 'a', "k", "req_1", 200, slice_of("x")), ST_OK);
    assert_int_equal(begin(m, 'a', "k", 'C', "req_3", &rep), ST_CONFLICT);
    assert_int_equal(rep.body.n, 0);
}

static void a_key_that_is_not_in_force_has_no_answers(void **state)
{
    struct meter *m = *state;
    struct answer_begin_rep rep;

    people(m);
    assert_int_equal(begin(m, 'z', "k", 'B', "req_1", &rep), ST_NOT_FOUND);
    must_say(m, 'a', "k", "req_1", "begun");
    meter_sql(m, "UPDATE api_key SET status = 'revoked' WHERE id = 'key_a1'");
    assert_int_equal(put(m, 'a', "k", "req_1", 200, slice_of("x")), ST_OK); /* it was in force when the call began */
    assert_int_equal(begin(m, 'a', "k", 'B', "req_2", &rep), ST_NOT_FOUND);
    must_say(m, 'A', "k", "req_2", "stored");
    meter_sql(m, "UPDATE api_key SET expires_at = 1000 WHERE id = 'key_a2'");
    assert_int_equal(begin(m, 'A', "k", 'B', "req_3", &rep), ST_NOT_FOUND);
    meter_sql(m, "UPDATE user SET status = 'disabled' WHERE email = 'bob@x.test'");
    assert_int_equal(begin(m, 'b', "k", 'B', "req_3", &rep), ST_NOT_FOUND);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM answer"), 1);
}

static void digests_have_their_length(void **state)
{
    struct meter *m = *state;
    struct answer_begin_req req = begin_req(m, 'a', "k", 'B', "req_1");
    struct answer_begin_rep rep = {0};

    people(m);
    req.body_digest.n--;
    assert_int_equal(meter_run(m, op_answer_begin, &req, &rep), ST_BAD_MESSAGE);
}

/* ---- owners -------------------------------------------------------------------------------------------------------
 */

static void only_the_owner_puts(void **state)
{
    struct meter *m = *state;

    people(m);
    must_say(m, 'a', "k", "req_1", "begun");
    assert_int_equal(put(m, 'a', "k", "req_2", 200, slice_of("x")), ST_CONFLICT);
    assert_int_equal(put(m, 'b', "k", "req_1", 200, slice_of("x")), ST_CONFLICT);
    assert_int_equal(put(m, 'z', "k", "req_1", 200, slice_of("x")), ST_NOT_FOUND);
    assert_int_equal(put(m, 'a', "other", "req_1", 200, slice_of("x")), ST_CONFLICT);
    assert_int_equal(put(m, 'a', "k", "req_1", 200, slice_of("first")), ST_OK);
    assert_int_equal(put(m, 'a', "k", "req_1", 200, slice_of("second")), ST_OK); /* told twice: the first stays */
    assert_int_equal(meter_number(m, "SELECT body = CAST('first' AS BLOB) FROM answer"), 1);
}

static void what_cost_nothing_is_forgotten(void **state)
{
    struct meter *m = *state;
    struct people p = people(m);

    must_say(m, 'a', "k", "req_1", "begun");
    assert_int_equal(put(m, 'a', "k", "req_1", 0, slice_of("")), ST_OK);
    must_say(m, 'a', "k", "req_2", "begun");
    bill(m, p.ann, "req_2", 1, 0);
    assert_int_equal(put(m, 'a', "k", "req_2", 0, slice_of("")), ST_OK);
    must_say(m, 'a', "k", "req_3", "begun");
}

static void what_was_billed_is_not_forgotten(void **state)
{
    struct meter *m = *state;
    struct people p = people(m);

    must_say(m, 'a', "k", "req_1", "begun");
    bill(m, p.ann, "req_1", 1, 1000000);
    assert_int_equal(put(m, 'a', "k", "req_1", 0, slice_of("")), ST_OK);
    must_say(m, 'a', "k", "req_2", "interrupted");
}

/* ---- the owner is gone --------------------------------------------------------------------------------------------
 */

static void a_lease_that_ends_without_a_bill_frees_the_key(void **state)
{
    struct meter *m = *state;

    people(m);
    must_say(m, 'a', "k", "req_1", "begun");
    must_say(m, 'a', "k", "req_2", "running");
    leases_end(m);
    must_say(m, 'a', "k", "req_2", "begun");
    assert_int_equal(put(m, 'a', "k", "req_1", 200, slice_of("late")), ST_CONFLICT);
    must_say(m, 'a', "k", "req_3", "running");
}

static void a_call_with_an_open_hold_is_still_possible(void **state)
{
    struct meter *m = *state;

    people(m);
    must_say(m, 'a', "k", "req_1", "begun");
    meter_sql(
        m, "INSERT INTO hold(revision, request_id, amount_nano, state, cost_nano, tokens, lease_ms, due_ms, opened_ms) "
           "VALUES (1000000, 'req_1', 0, 'open', 0, 0, 1, 1, 1)");
    leases_end(m);
    must_say(m, 'a', "k", "req_2", "running");
    meter_sql(m, "DELETE FROM hold");
    must_say(m, 'a', "k", "req_2", "begun");
}

static void park(struct meter *m, struct slice user, const char *request, uint64_t seq)
{
    struct usage_event e = meter_event(user, request, meter_price(m, "test-model", 1000000, 0));

    e.status = slice_of("running");
    e.parked = true;
    e.hold_nano = 1000000;
    e.lease_ms = 168 * HOUR_MS;
    assert_int_equal(meter_deliver(m, "src", seq, &e, 1), seq);
}

/* It made a batch: that goes on for days, the call does not. */
static void a_parked_call_is_over_and_costs_something(void **state)
{
    struct meter *m = *state;
    struct people p = people(m);
    uint64_t before;

    must_say(m, 'a', "k", "req_1", "begun");
    must_say(m, 'a', "kept", "req_2", "begun");
    must_say(m, 'a', "left", "req_3", "begun");
    before = clock_ms();
    park(m, p.ann, "req_1", 1);
    park(m, p.ann, "req_2", 2);
    park(m, p.ann, "req_3", 3);
    must_say(m, 'a', "k", "req_4", "running");
    assert_in_range(meter_number(m, "SELECT lease_end_ms FROM answer WHERE idempotency_key = 'k'"), before + 1000,
                    clock_ms() + ANSWERS_SETTLE_MS);
    assert_int_equal(put(m, 'a', "kept", "req_2", 200, slice_of("a batch")), ST_OK);
    assert_int_equal(put(m, 'a', "left", "req_3", 0, slice_of("")), ST_OK);
    leases_end(m);
    must_say(m, 'a', "k", "req_4", "interrupted");
    must_say(m, 'a', "kept", "req_4", "stored");
    must_say(m, 'a', "left", "req_4", "interrupted"); /* a second batch would be billed, too */
    assert_int_equal(put(m, 'a', "k", "req_1", 200, slice_of("late, but here")), ST_OK);
    must_say(m, 'a', "k", "req_4", "stored");
}

static void a_billed_call_has_two_seconds_for_its_answer(void **state)
{
    struct meter *m = *state;
    struct people p = people(m);
    uint64_t before;

    must_say(m, 'a', "k", "req_1", "begun");
    before = clock_ms();
    bill(m, p.ann, "req_1", 1, 1000000);
    must_say(m, 'a', "k", "req_2", "running");
    assert_in_range(meter_number(m, "SELECT lease_end_ms FROM answer"), before + 1000, clock_ms() + ANSWERS_SETTLE_MS);
    must_say(m, 'a', "k", "req_3", "running");
    leases_end(m);
    must_say(m, 'a', "k", "req_4", "interrupted");
    must_say(m, 'a', "k", "req_5", "interrupted"); /* for good: it is never billed twice */
    assert_int_equal(put(m, 'a', "k", "req_1", 200, slice_of("late, but here")), ST_OK);
    must_say(m, 'a', "k", "req_6", "stored");
}

static void a_call_that_cost_nothing_is_made_again(void **state)
{
    struct meter *m = *state;
    struct people p = people(m);

    must_say(m, 'a', "k", "req_1", "begun");
    bill(m, p.ann, "req_1", 1, 0);
    must_say(m, 'a', "k", "req_2", "running");
    leases_end(m);
    must_say(m, 'a', "k", "req_2", "begun");
}

static void what_expired_may_still_be_billed(void **state)
{
    struct meter *m = *state;
    struct people p = people(m);

    must_say(m, 'a', "k", "req_1", "begun");
    bill(m, p.ann, "req_1", 1, 0);
    meter_sql(m, "UPDATE usage SET status = 'expired' WHERE request_id = 'req_1'");
    leases_end(m);
    must_say(m, 'a', "k", "req_2", "interrupted");
}

/* Whoever ran it may come back with its bill; of what nobody began none comes. */
static void what_was_lost_may_still_be_billed(void **state)
{
    struct meter *m = *state;
    struct people p = people(m);

    must_say(m, 'a', "k", "req_1", "begun");
    bill(m, p.ann, "req_1", 1, 0);
    meter_sql(m, "UPDATE usage SET status = 'void', http_status = 502 WHERE request_id = 'req_1'");
    leases_end(m);
    must_say(m, 'a', "k", "req_2", "interrupted");
    meter_sql(m, "UPDATE usage SET http_status = 503 WHERE request_id = 'req_1'");
    must_say(m, 'a', "k", "req_2", "begun");
}

static void what_no_credit_could_bear_was_billed_all_the_same(void **state)
{
    struct meter *m = *state;
    struct slice poor = meter_user(m, "poor@x.test", 0);

    add_key(m, poor, "key_p", 'p');
    must_say(m, 'p', "k", "req_1", "begun");
    bill(m, poor, "req_1", 1, 1000000);
    leases_end(m);
    must_say(m, 'p', "k", "req_2", "interrupted");
}

static void leases_are_counted_anew_from_the_start(void **state)
{
    struct meter *m = *state;

    people(m);
    must_say(m, 'a', "k", "req_1", "begun");
    leases_end(m); /* as the clock of another boot would have it */
    restart(m);
    must_say(m, 'a', "k", "req_2", "running");
    assert_in_range(meter_number(m, "SELECT lease_end_ms FROM answer"), clock_ms() + LEASE_MS - 5000,
                    clock_ms() + LEASE_MS);
}

static void what_is_interrupted_stays_so_across_a_restart(void **state)
{
    struct meter *m = *state;
    struct people p = people(m);

    must_say(m, 'a', "k", "req_1", "begun");
    bill(m, p.ann, "req_1", 1, 1000000);
    assert_int_equal(put(m, 'a', "k", "req_1", 0, slice_of("")), ST_OK);
    must_say(m, 'b', "k", "req_2", "begun");
    assert_int_equal(put(m, 'b', "k", "req_2", 200, slice_of("x")), ST_OK);
    restart(m);
    must_say(m, 'a', "k", "req_3", "interrupted");
    must_say(m, 'b', "k", "req_4", "stored");
}

/* ---- time and room ------------------------------------------------------------------------------------------------
 */

static void an_answer_is_kept_for_its_time(void **state)
{
    struct meter *m = *state;

    people(m);
    m->store->answers_kept_ms = 2 * HOUR_MS;
    must_say(m, 'a', "k", "req_1", "begun");
    assert_int_equal(put(m, 'a', "k", "req_1", 200, slice_of("x")), ST_OK);
    assert_int_equal(meter_number(m, "SELECT expires_ms - created_ms FROM answer"), 2 * HOUR_MS);
    meter_sql(m, "UPDATE answer SET expires_ms = expires_ms - 2 * 3600000 + 60000");
    must_say(m, 'a', "k", "req_2", "stored");
    meter_sql(m, "UPDATE answer SET expires_ms = expires_ms - 60000");
    must_say(m, 'a', "k", "req_3", "begun");
    assert_int_equal(meter_number(m, "SELECT bytes FROM answer_space"), 0);
}

static void a_call_that_runs_is_not_too_old(void **state)
{
    struct meter *m = *state;

    people(m);
    must_say(m, 'a', "k", "req_1", "begun");
    meter_sql(m, "UPDATE answer SET expires_ms = 1");
    must_say(m, 'a', "k", "req_2", "running");
    leases_end(m);
    must_say(m, 'a', "k", "req_3", "begun");
}

static bool forget(struct meter *m)
{
    struct work w = {.s = m->store, .a = &m->arena, .err = &m->err};
    bool more = false;

    assert_int_equal(batch_begin(m->store, &m->err), ST_OK);
    assert_int_equal(answers_forget(&w, &more), ST_OK);
    assert_int_equal(batch_commit(m->store, &m->err), ST_OK);
    return more;
}

static void what_is_too_old_goes_in_bounded_batches(void **state)
{
    struct meter *m = *state;
    char key[16];
    unsigned i;

    people(m);
    for (i = 0; i < ANSWERS_FORGET_ROWS + 20; i++) {
        snprintf(key, sizeof(key), "k%u", i);
        must_say(m, 'a', key, "req_1", "begun");
        assert_int_equal(put(m, 'a', key, "req_1", 200, slice_of("x")), ST_OK);
    }
    assert_false(forget(m));
    meter_sql(m, "UPDATE answer SET expires_ms = 1 WHERE idempotency_key <> 'k7'");
    must_say(m, 'b', "runs", "req_1", "begun");
    meter_sql(m, "UPDATE answer SET expires_ms = 1 WHERE idempotency_key = 'runs'");
    assert_true(forget(m));
    assert_int_equal(meter_number(m, "SELECT count(*) FROM answer"), 21);
    assert_false(forget(m));
    assert_int_equal(meter_number(m, "SELECT count(*) FROM answer"), 2); /* k7, and the call that runs */
    assert_int_equal(meter_number(m, "SELECT sum(bytes) FROM answer_space"), ANSWERS_ROW_BYTES + 1);
}

static void large_bodies_go_few_at_a_time(void **state)
{
    struct meter *m = *state;
    char *big = calloc(1, LIMIT_BODY), key[16];
    unsigned i;

    people(m);
    for (i = 0; i < 3; i++) {
        snprintf(key, sizeof(key), "k%u", i);
        must_say(m, 'a', key, "req_1", "begun");
        assert_int_equal(put(m, 'a', key, "req_1", 200, (struct slice){big, LIMIT_BODY}), ST_OK);
    }
    meter_sql(m, "UPDATE answer SET expires_ms = 1");
    assert_true(forget(m));
    assert_int_equal(meter_number(m, "SELECT count(*) FROM answer"), 2);
    while (forget(m))
        ;
    assert_int_equal(meter_number(m, "SELECT count(*) FROM answer"), 0);
    free(big);
}

static void a_large_body_comes_in_pieces(void **state)
{
    static const size_t sizes[] = {ANSWERS_PIECE_BYTES, ANSWERS_PIECE_BYTES + 1, 2 * ANSWERS_PIECE_BYTES, LIMIT_BODY};
    struct meter *m = *state;
    char *big = malloc(LIMIT_BODY), key[16];
    struct answer_begin_rep rep;
    size_t i;

    people(m);
    for (i = 0; i < LIMIT_BODY; i++)
        big[i] = (char)(i * 7 + i / 4099);
    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct slice body = {big, sizes[i]};

        snprintf(key, sizeof(key), "k%zu", i);
        must_say(m, 'a', key, "req_1", "begun");
        assert_int_equal(put(m, 'a', key, "req_1", 200, body), ST_OK);
        assert_int_equal(begin(m, 'a', key, 'B', "req_2", &rep), ST_OK);
        assert_true(slice_eq(rep.body, body));
    }
    assert_in_range(meter_number(m, "SELECT max(length(body)) FROM answer_piece"), 1, ANSWERS_PIECE_BYTES);
    meter_sql(m, "DELETE FROM answer");
    assert_int_equal(meter_number(m, "SELECT count(*) FROM answer_piece"), 0);
    free(big);
}

static void half_a_body_is_no_answer(void **state)
{
    struct meter *m = *state;
    struct people p = people(m);
    char *big = calloc(1, 3 * ANSWERS_PIECE_BYTES);
    struct answer_put_req req = {.key_digest = digest(m, 'a'),
                                 .idempotency_key = slice_of("k"),
                                 .request_id = slice_of("req_1"),
                                 .http_status = 200,
                                 .body = {big, 3 * ANSWERS_PIECE_BYTES}};
    struct empty rep = {0};

    must_say(m, 'a', "k", "req_1", "begun");
    assert_int_equal(meter_run(m, op_answer_put, &req, &rep), ST_PENDING);
    bill(m, p.ann, "req_1", 1, 1000000);
    meter_close(m);
    meter_open(m); /* meterd died in between */
    leases_end(m);
    must_say(m, 'a', "k", "req_2", "interrupted");
    assert_int_equal(put(m, 'a', "k", "req_1", 200, req.body), ST_OK); /* and its gateway offers it again */
    must_say(m, 'a', "k", "req_2", "stored");
    assert_int_equal(meter_number(m, "SELECT count(*) FROM answer_piece"), 2);
    free(big);
}

static void the_oldest_bodies_make_room_and_nobody_pays_twice(void **state)
{
    struct meter *m = *state;
    struct people p = people(m);
    char *big = calloc(1, LIMIT_BODY), key[16];
    unsigned i;

    for (i = 0; i < 5; i++) {
        snprintf(key, sizeof(key), "k%u", i);
        must_say(m, 'a', key, i ? "req_2" : "req_1", "begun");
        assert_int_equal(put(m, 'a', key, i ? "req_2" : "req_1", 200, (struct slice){big, LIMIT_BODY}), ST_OK);
    }
    bill(m, p.ann, "req_1", 1, 1000000);
    must_say(m, 'a', "k0", "req_3", "interrupted");
    must_say(m, 'a', "k1", "req_3", "begun"); /* that one had cost nothing */
    must_say(m, 'a', "k4", "req_3", "stored");
    assert_in_range(meter_number(m, "SELECT sum(bytes) FROM answer"), 1, ANSWERS_USER_BYTES);
    assert_in_range(meter_number(m, "SELECT sum(length(body)) FROM answer_piece"), 1, ANSWERS_USER_BYTES);
    assert_int_equal(meter_number(m, "SELECT sum(bytes) FROM answer"),
                     meter_number(m, "SELECT sum(bytes) FROM answer_space"));
    free(big);
}

/* ---- readers ------------------------------------------------------------------------------------------------------
 */

static enum status look(struct meter *m, struct store *reader, const char *idem, const char *request,
                        struct answer_begin_rep *rep)
{
    struct answer_begin_req req = begin_req(m, 'a', idem, 'B', request);
    struct work w = {.s = reader, .a = &m->arena, .err = &m->err};

    memset(rep, 0, sizeof(*rep));
    return batch_single(&w, op_answer_begin, &req, rep);
}

static void a_reader_answers_what_needs_no_writing(void **state)
{
    struct meter *m = *state;
    struct store *reader = NULL;
    struct answer_begin_rep rep;
    struct people p = people(m);

    assert_int_equal(store_open_reader(m->path, &reader, &m->err), ST_OK);
    assert_int_equal(look(m, reader, "k", "req_1", &rep), ST_PENDING);
    must_say(m, 'a', "k", "req_1", "begun");
    assert_int_equal(look(m, reader, "k", "req_2", &rep), ST_OK);
    assert_true(slice_is(rep.state, "running"));
    bill(m, p.ann, "req_1", 1, 1000000);
    assert_int_equal(look(m, reader, "k", "req_2", &rep), ST_PENDING);
    must_say(m, 'a', "k", "req_2", "running");
    assert_int_equal(look(m, reader, "k", "req_2", &rep), ST_OK);
    assert_int_equal(put(m, 'a', "k", "req_1", 200, slice_of("x")), ST_OK);
    assert_int_equal(look(m, reader, "k", "req_2", &rep), ST_OK);
    assert_true(slice_is(rep.state, "stored"));
    assert_true(slice_is(rep.body, "x"));
    store_close(reader);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, meter_setup, meter_teardown)
    const struct CMUnitTest tests[] = {
        T(the_second_waits_and_then_has_the_firsts_answer),
        T(keys_of_a_user_share_and_users_do_not),
        T(another_body_is_a_conflict),
        T(a_key_that_is_not_in_force_has_no_answers),
        T(digests_have_their_length),
        T(only_the_owner_puts),
        T(what_cost_nothing_is_forgotten),
        T(what_was_billed_is_not_forgotten),
        T(a_lease_that_ends_without_a_bill_frees_the_key),
        T(a_call_with_an_open_hold_is_still_possible),
        T(a_parked_call_is_over_and_costs_something),
        T(a_billed_call_has_two_seconds_for_its_answer),
        T(a_call_that_cost_nothing_is_made_again),
        T(what_expired_may_still_be_billed),
        T(what_was_lost_may_still_be_billed),
        T(what_no_credit_could_bear_was_billed_all_the_same),
        T(leases_are_counted_anew_from_the_start),
        T(what_is_interrupted_stays_so_across_a_restart),
        T(an_answer_is_kept_for_its_time),
        T(a_call_that_runs_is_not_too_old),
        T(what_is_too_old_goes_in_bounded_batches),
        T(large_bodies_go_few_at_a_time),
        T(a_large_body_comes_in_pieces),
        T(half_a_body_is_no_answer),
        T(the_oldest_bodies_make_room_and_nobody_pays_twice),
        T(a_reader_answers_what_needs_no_writing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
