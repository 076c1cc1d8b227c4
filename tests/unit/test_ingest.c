/* Usage events become bills: once each, in order, never below zero, whatever is repeated, lost or reordered. */
#include "tests/unit/meter_fixture.h"

#include "meterd/ops.h"

#define IN_PICO 1000000 /* 1 USD per 1M: 1000 tokens = 1,000,000 nano */
#define OUT_PICO 2000000 /* 2 USD per 1M: 100 tokens = 200,000 nano */
#define COST 1200000 /* of meter_event */

static void a_call_is_billed_once(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", METER_USD);
    uint64_t price = meter_price(m, "test-model", IN_PICO, OUT_PICO);
    struct usage_event e = meter_event(user, "req_1", price);

    assert_int_equal(meter_deliver(m, "out1", 1, &e, 1), 1);
    assert_int_equal(m->store->counts.settled, 1);
    assert_int_equal(meter_deliver(m, "out1", 1, &e, 1), 1);
    assert_int_equal(m->store->counts.settled, 0);
    assert_int_equal(meter_credits(m, user).balance_nano, METER_USD - COST);
    assert_int_equal(meter_credits(m, user).spent_nano, COST);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM entry WHERE kind = 'usage'"), 2);
    meter_assert_clean(m);
}

static void cached_tokens_cost_their_own_price(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", METER_USD);
    struct price_put_req put = {.actor_id = slice_of("usr_t"),
                                .model = slice_of("test-model"),
                                .input_pico = IN_PICO,
                                .cached_input_pico = IN_PICO / 10,
                                .output_pico = OUT_PICO};
    struct price_rep rep = {0};
    struct usage_event e;

    METER_OK(m, op_price_put, &put, &rep);
    e = meter_event(user, "req_1", rep.price.items[0].id);
    e.cached_tokens = 400;
    meter_deliver(m, "out1", 1, &e, 1);
    /* 600 * 1000 + 400 * 100 + 100 * 2000 */
    assert_int_equal(meter_credits(m, user).spent_nano, 840000);
    /* More cached than prompt tokens: they were counted beside the prompt, and nothing is below zero. */
    e.request_id = slice_of("req_2");
    e.cached_tokens = 2000;
    meter_deliver(m, "out1", 2, &e, 1);
    assert_int_equal(meter_credits(m, user).spent_nano, 840000 + 1000000 + 200000 + 200000);
    meter_assert_clean(m);
}

static void repeats_and_overlaps_change_nothing(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", 100 * METER_USD);
    uint64_t price = meter_price(m, "test-model", IN_PICO, OUT_PICO);
    struct usage_event e[20];
    char ids[20][16];
    unsigned seed = 7;
    uint64_t acked = 0;
    int i, round;

    for (i = 0; i < 20; i++) {
        snprintf(ids[i], sizeof(ids[i]), "req_%d", i);
        e[i] = meter_event(user, ids[i], price);
    }
    /* Any window of the twenty, in any order and as often as chance will have it. */
    for (round = 0; round < 400; round++) {
        size_t first = (size_t)(rand_r(&seed) % 20), n = 1 + (size_t)(rand_r(&seed) % 6);

        if (first + n > 20)
            n = 20 - first;
        acked = meter_deliver(m, "out1", first + 1, e + first, n);
        assert_int_equal(meter_number(m, "SELECT count(*) FROM usage"), acked);
        assert_int_equal(meter_credits(m, user).spent_nano, (int64_t)acked * COST);
    }
    assert_int_equal(acked, 20);
    meter_assert_clean(m);
}

static void after_a_gap_nothing_is_applied(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", METER_USD);
    uint64_t price = meter_price(m, "test-model", IN_PICO, OUT_PICO);
    struct usage_event e[3] = {meter_event(user, "req_1", price), meter_event(user, "req_2", price),
                               meter_event(user, "req_3", price)};
    struct change_item last;
    struct ack ack;

    meter_deliver(m, "out1", 1, &e[0], 1);
    assert_int_equal(meter_deliver(m, "out1", 3, &e[2], 1), 1);
    assert_int_equal(m->store->counts.gaps, 1);
    assert_int_equal(m->store->changes.n, 1);
    last = m->store->changes.items[0];
    assert_int_equal(last.kind, ack_desc.type);
    assert_int_equal(wire_decode(&ack_desc, m->store->changes.records.p + last.at, last.n, &ack, NULL, NULL), ST_OK);
    assert_true(ack.gap);
    assert_int_equal(ack.acked_seq, 1);
    /* The same complaint again at once would only feed the fire. */
    assert_int_equal(meter_deliver(m, "out1", 3, &e[2], 1), 1);
    assert_int_equal(m->store->changes.n, 0);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM usage"), 1);
    assert_int_equal(meter_deliver(m, "out1", 2, &e[1], 2), 3);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM usage"), 3);
    meter_assert_clean(m);
}

static void two_sources_cannot_bill_one_call_twice(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", METER_USD);
    uint64_t price = meter_price(m, "test-model", IN_PICO, OUT_PICO);
    struct usage_event e = meter_event(user, "req_1", price);

    meter_deliver(m, "out1", 1, &e, 1);
    e.completion_tokens = 5000;
    assert_int_equal(meter_deliver(m, "out2", 1, &e, 1), 1);
    assert_int_equal(m->store->counts.duplicates, 1);
    assert_int_equal(meter_credits(m, user).spent_nano, COST);
    meter_assert_clean(m);
}

static void what_credit_cannot_bear_is_the_operators(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", COST + 100000);
    uint64_t price = meter_price(m, "test-model", IN_PICO, OUT_PICO);
    struct usage_event e[3] = {meter_event(user, "req_1", price), meter_event(user, "req_2", price),
                               meter_event(user, "req_3", price)};
    struct credits_rep credits;

    meter_deliver(m, "out1", 1, e, 3);
    credits = meter_credits(m, user);
    assert_int_equal(credits.balance_nano, 0);
    assert_int_equal(credits.spent_nano, COST + 100000);
    assert_int_equal(m->store->counts.overage_nano, 0); /* of the read just done */
    assert_int_equal(meter_number(m, "SELECT balance_nano FROM account WHERE kind = 'overage'"), -(2 * COST - 100000));
    assert_int_equal(meter_number(m, "SELECT balance_nano FROM account WHERE kind = 'revenue'"), 3 * COST);
    assert_int_equal(meter_number(m, "SELECT overage_nano FROM usage WHERE request_id = 'req_2'"), COST - 100000);
    assert_int_equal(meter_number(m, "SELECT min(balance_nano) FROM account WHERE user_num IS NOT NULL"), 0);
    meter_assert_clean(m);
}

static void a_free_or_voided_call_has_a_row_and_no_entries(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", METER_USD);
    uint64_t price = meter_price(m, "test-model", IN_PICO, OUT_PICO);
    struct usage_event e = meter_event(user, "req_1", price);
    struct usage_void_req req = {.event = {&e, 1}};
    struct empty rep = {0};

    METER_OK(m, op_usage_void, &req, &rep);
    assert_true(rep.revision > 0);
    assert_int_equal(m->store->changes.n, 1);
    assert_int_equal(m->store->changes.items[0].kind, settled_desc.type);
    METER_OK(m, op_usage_void, &req, &rep);
    e = meter_event(user, "req_2", price);
    e.status = slice_of("error");
    e.prompt_tokens = e.completion_tokens = 0;
    meter_deliver(m, "out1", 1, &e, 1);
    e = meter_event(user, "req_3", 0);
    meter_deliver(m, "out1", 2, &e, 1);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM usage"), 3);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM usage WHERE status = 'void'"), 1);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM entry WHERE kind = 'usage'"), 0);
    assert_int_equal(meter_credits(m, user).balance_nano, METER_USD);
    meter_assert_clean(m);
}

static void an_unknown_user_or_price_does_not_stop_the_feed(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", METER_USD);
    uint64_t price = meter_price(m, "test-model", IN_PICO, OUT_PICO);
    struct usage_event e[3] = {meter_event(slice_of("usr_nobody"), "req_1", price), meter_event(user, "req_2", 999999),
                               meter_event(user, "req_3", price)};

    assert_int_equal(meter_deliver(m, "out1", 1, e, 3), 3);
    assert_int_equal(m->store->counts.strays, 1);
    assert_int_equal(m->store->counts.unpriced, 1);
    /* nobody's call is the operator's loss; a price that is gone falls back to the model's price now */
    assert_int_equal(meter_number(m, "SELECT balance_nano FROM account WHERE kind = 'overage'"), -COST);
    assert_int_equal(meter_credits(m, user).spent_nano, 2 * COST);
    meter_assert_clean(m);
}

static void the_pinned_price_holds_whatever_comes_later(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", METER_USD);
    uint64_t old = meter_price(m, "test-model", IN_PICO, OUT_PICO);
    struct usage_event e = meter_event(user, "req_1", old);

    meter_price(m, "test-model", 50 * IN_PICO, 50 * OUT_PICO);
    meter_deliver(m, "out1", 1, &e, 1);
    assert_int_equal(meter_credits(m, user).spent_nano, COST);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM price WHERE model = 'test-model' AND in_force = 1"), 1);
}

static void acknowledgements_of_a_transaction_are_one_a_source(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", METER_USD);
    uint64_t price = meter_price(m, "test-model", IN_PICO, OUT_PICO);
    struct usage_event e[4] = {meter_event(user, "req_1", price), meter_event(user, "req_2", price),
                               meter_event(user, "req_3", price), meter_event(user, "req_4", price)};
    struct work w = {.s = m->store, .a = &m->arena, .err = &m->err};
    uint64_t seq, before = m->store->revision;
    size_t i, acks = 0;

    assert_int_equal(batch_begin(m->store, &m->err), ST_OK);
    for (i = 0; i < 4; i++) {
        struct ingest_batch b = {slice_of(i % 2 ? "out1" : "out2"), i / 2 + 1, &e[i], 1, 0};

        assert_int_equal(ingest_apply(&w, &b, &seq), ST_OK);
    }
    assert_int_equal(batch_commit(m->store, &m->err), ST_OK);
    for (i = 0; i < m->store->changes.n; i++) {
        acks += m->store->changes.items[i].kind == ack_desc.type;
        assert_true(m->store->changes.items[i].revision > before);
        before = m->store->changes.items[i].revision;
    }
    assert_int_equal(acks, 2);
    assert_int_equal(m->store->changes.n, 6);
    assert_int_equal(before, m->store->revision);
}

/* A database from an old backup and an outbox that has not kept everything since: the rest is not waited for. */
static void what_the_source_has_no_more_is_not_waited_for(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", METER_USD);
    uint64_t price = meter_price(m, "test-model", IN_PICO, OUT_PICO);
    struct usage_event e = meter_event(user, "req_1", price);
    struct usage_deliver_req req = {.source = slice_of("out1"), .first_seq = 50, .events = {&e, 1}, .oldest_seq = 1};
    struct usage_deliver_rep rep = {0};

    METER_OK(m, op_usage_deliver, &req, &rep);
    assert_int_equal(rep.acked_seq, 0); /* it has what is missing: that comes first */
    req.oldest_seq = 60;
    METER_OK(m, op_usage_deliver, &req, &rep);
    assert_int_equal(rep.acked_seq, 0); /* nonsense: it sends what it says it does not have */
    req.oldest_seq = 40;
    METER_OK(m, op_usage_deliver, &req, &rep);
    assert_int_equal(rep.acked_seq, 39);
    req.oldest_seq = 50;
    METER_OK(m, op_usage_deliver, &req, &rep);
    assert_int_equal(rep.acked_seq, 50);
    assert_int_equal(m->store->counts.lost, 10);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM usage"), 1);
    req.oldest_seq = 20; /* late, and never backwards */
    METER_OK(m, op_usage_deliver, &req, &rep);
    assert_int_equal(rep.acked_seq, 50);
    meter_assert_clean(m);
}

static void a_full_disk_acknowledges_nothing_and_heals(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", 100 * METER_USD);
    uint64_t price = meter_price(m, "test-model", IN_PICO, OUT_PICO), before;
    struct usage_event e[500];
    struct usage_deliver_req req = {.source = slice_of("out1"), .first_seq = 1, .events = {e, 500}};
    struct usage_deliver_rep rep = {0};
    char ids[500][16], sql[64];
    int i;

    for (i = 0; i < 500; i++) {
        snprintf(ids[i], sizeof(ids[i]), "req_%d", i);
        e[i] = meter_event(user, ids[i], price);
    }
    before = m->store->revision;
    snprintf(sql, sizeof(sql), "PRAGMA max_page_count=%lld", (long long)meter_number(m, "PRAGMA page_count") + 2);
    meter_sql(m, sql);
    assert_int_equal(meter_run(m, op_usage_deliver, &req, &rep), ST_UNAVAILABLE);
    assert_int_equal(m->store->broken, STORE_WELL);
    assert_int_equal(m->store->revision, before);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM usage"), 0);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM position"), 0);
    meter_assert_clean(m);
    meter_sql(m, "PRAGMA max_page_count=1000000");
    METER_OK(m, op_usage_deliver, &req, &rep);
    assert_int_equal(rep.acked_seq, 500);
    assert_int_equal(meter_credits(m, user).spent_nano, 500 * COST);
    meter_assert_clean(m);
}

static void positions_and_revision_survive_a_restart(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", METER_USD);
    uint64_t price = meter_price(m, "test-model", IN_PICO, OUT_PICO), revision;
    struct usage_event e = meter_event(user, "req_1", price);

    meter_deliver(m, "out1", 1, &e, 1);
    revision = m->store->revision;
    meter_close(m);
    meter_open(m);
    assert_int_equal(m->store->revision, revision);
    assert_int_equal(meter_deliver(m, "out1", 1, &e, 1), 1);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM usage"), 1);
    assert_int_equal(m->store->revision, revision + 1); /* the position's, acknowledged again */
    meter_assert_clean(m);
}

/* ---- what calls made -----------------------------------------------------------------------------------------------
 */

static void add_key(struct meter *m, struct slice user, char letter)
{
    char digest[LIMIT_DIGEST], id[] = "key_x";
    struct api_key key = {.id = slice_of(id),
                          .user_id = user,
                          .name = slice_of("k"),
                          .prefix = slice_of("sk-or-"),
                          .status = slice_of("active")};
    struct key_put_req req = {.digest = {digest, sizeof(digest)}, .key = {&key, 1}};
    struct empty rep;

    memset(digest, letter, sizeof(digest));
    id[4] = letter;
    METER_OK(m, op_key_put, &req, &rep);
}

static enum status find_object(struct meter *m, char letter, const char *id, struct object_find_rep *rep)
{
    char digest[LIMIT_DIGEST];
    struct object_find_req req = {.object_id = slice_of(id), .key_digest = {digest, sizeof(digest)}};

    memset(digest, letter, sizeof(digest));
    return meter_run(m, op_object_find, &req, rep);
}

/* Of a response it is kept how much one that goes on from it begins with, where upstream said so. */
static void how_much_a_response_brings_is_kept(void **state)
{
    static const struct {
        const char *request, *endpoint;
        bool estimated;
        uint64_t prompt, completion, tokens;
    } cases[] = {
        {"req_1", "responses", false, 1000, 23, 1023},
        {"req_2", "responses", true, 7, 7, 1023}, /* what is known stays */
        {"req_3", "responses", false, 2000, 0, 2000},
        {"req_4", "other", false, 7, 7, 2000},
        {"req_5", "responses", false, LIMIT_TOKENS, LIMIT_TOKENS, LIMIT_TOKENS},
    };
    struct meter *m = *state;
    struct slice a = meter_user(m, "a@x.test", METER_USD);
    struct usage_event e = meter_event(a, "req_0", 0);
    const struct slice id = slice_of("resp_1");
    struct object_find_rep rep = {.has = 0};
    size_t i;

    add_key(m, a, 'a');
    e.object_ids = (struct wire_strs){.items = &id, .n = 1};
    e.endpoint = slice_of("responses");
    e.estimated = true;
    meter_deliver(m, "out1", 1, &e, 1);
    assert_int_equal(find_object(m, 'a', "resp_1", &rep), ST_OK);
    assert_int_equal(rep.tokens, 0);
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        e.request_id = slice_of(cases[i].request);
        e.endpoint = slice_of(cases[i].endpoint);
        e.estimated = cases[i].estimated;
        e.prompt_tokens = cases[i].prompt;
        e.cached_tokens = 0;
        e.completion_tokens = cases[i].completion;
        e.reasoning_tokens = 0;
        meter_deliver(m, "out1", 2 + i, &e, 1);
        assert_int_equal(find_object(m, 'a', "resp_1", &rep), ST_OK);
        assert_int_equal(rep.tokens, cases[i].tokens);
    }
    meter_assert_clean(m);
}

static void what_a_call_made_is_its_owners(void **state)
{
    struct meter *m = *state;
    struct slice a = meter_user(m, "a@x.test", METER_USD), b = meter_user(m, "b@x.test", METER_USD);
    uint64_t price = meter_price(m, "test-model", IN_PICO, OUT_PICO);
    struct usage_event e = meter_event(a, "req_1", price);
    const struct slice ids[] = {slice_of("resp_1"), slice_of("file_1")};
    struct object_find_rep rep = {.has = 0};

    add_key(m, a, 'a');
    add_key(m, b, 'b');
    e.object_ids = (struct wire_strs){.items = ids, .n = 2};
    e.provider = slice_of("one");
    assert_int_equal(find_object(m, 'a', "resp_1", &rep), ST_NOT_FOUND);
    meter_deliver(m, "out1", 1, &e, 1);
    assert_int_equal(find_object(m, 'a', "resp_1", &rep), ST_OK);
    assert_true(slice_is(rep.provider, "one"));
    assert_int_equal(find_object(m, 'a', "file_1", &rep), ST_OK);
    assert_int_equal(find_object(m, 'b', "resp_1", &rep), ST_NOT_FOUND);
    assert_int_equal(find_object(m, 'c', "resp_1", &rep), ST_NOT_FOUND);
    assert_int_equal(find_object(m, 'a', "resp_2", &rep), ST_NOT_FOUND);
    e.request_id = slice_of("req_2"); /* the same name again, and another's */
    e.provider = slice_of("two");
    meter_deliver(m, "out1", 2, &e, 1);
    assert_int_equal(find_object(m, 'a', "resp_1", &rep), ST_OK);
    assert_true(slice_is(rep.provider, "two"));
    e.request_id = slice_of("req_3");
    e.user_id = b;
    e.provider = slice_of("three");
    meter_deliver(m, "out1", 3, &e, 1);
    assert_int_equal(find_object(m, 'b', "resp_1", &rep), ST_OK);
    assert_true(slice_is(rep.provider, "three"));
    assert_int_equal(find_object(m, 'a', "resp_1", &rep), ST_OK);
    assert_true(slice_is(rep.provider, "two"));
    e.request_id = slice_of("req_4"); /* of nobody */
    e.user_id = slice_of("usr_none");
    meter_deliver(m, "out1", 4, &e, 1);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM object"), 4);
    meter_assert_clean(m);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, meter_setup, meter_teardown)
    const struct CMUnitTest tests[] = {
        T(a_call_is_billed_once),
        T(cached_tokens_cost_their_own_price),
        T(repeats_and_overlaps_change_nothing),
        T(after_a_gap_nothing_is_applied),
        T(two_sources_cannot_bill_one_call_twice),
        T(what_credit_cannot_bear_is_the_operators),
        T(a_free_or_voided_call_has_a_row_and_no_entries),
        T(an_unknown_user_or_price_does_not_stop_the_feed),
        T(the_pinned_price_holds_whatever_comes_later),
        T(acknowledgements_of_a_transaction_are_one_a_source),
        T(what_the_source_has_no_more_is_not_waited_for),
        T(a_full_disk_acknowledges_nothing_and_heals),
        T(positions_and_revision_survive_a_restart),
        T(how_much_a_response_brings_is_kept),
        T(what_a_call_made_is_its_owners),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
