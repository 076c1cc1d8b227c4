/* Prices as meterd keeps them: every token class on the bill, versions that wait for their time, and what is refused.
 */
#include "tests/unit/meter_fixture.h"

#include "meterd/prices.h"
#include "meterd/state.h"
#include "services/clock.h"

#define HOUR UINT64_C(3600)

static uint64_t now_s(void)
{
    return clock_wall_ms() / 1000;
}

/* A price of 1 and 2 USD per million tokens, with what a test adds. */
static struct price_put_req a_price(void)
{
    return (struct price_put_req){
        .actor_id = slice_of("usr_t"), .model = slice_of("test-model"), .input_pico = 1000000, .output_pico = 2000000};
}

static struct price put(struct meter *m, struct price_put_req req)
{
    struct price_rep rep = {0};

    METER_OK(m, op_price_put, &req, &rep);
    assert_int_equal(rep.price.n, 1);
    return rep.price.items[0];
}

static struct price_list_rep history(struct meter *m, uint64_t limit, struct slice cursor)
{
    struct price_list_req req = {.model = slice_of("test-model"), .history = true, .limit = limit, .cursor = cursor};
    struct price_list_rep rep = {0};

    METER_OK(m, op_price_list, &req, &rep);
    return rep;
}

static const struct price *in_force(struct meter *m)
{
    struct price_list_req req = {.model = slice_of("test-model")};
    struct price_list_rep rep = {0};

    METER_OK(m, op_price_list, &req, &rep);
    return rep.data.n ? &rep.data.items[0] : NULL;
}

/* What the writer does when its clock says so. */
static void at(struct meter *m, uint64_t second)
{
    struct work w = {.s = m->store, .a = &m->arena, .err = &m->err};

    assert_int_equal(batch_begin(m->store, &m->err), ST_OK);
    m->store->now_ms = second * 1000;
    meter_must(m, prices_take_force(&w), "prices_take_force");
    meter_must(m, batch_commit(m->store, &m->err), "commit");
}

static uint64_t next(struct meter *m)
{
    struct work w = {.s = m->store, .a = &m->arena, .err = &m->err};
    uint64_t second = 77;

    meter_must(m, prices_next(&w, &second), "prices_next");
    return second;
}

/* ---- the bill -----------------------------------------------------------------------------------------------------
 */

static void every_class_is_billed_by_its_own_price(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", METER_USD);
    struct price_put_req req = a_price();
    struct usage_event e;

    req.cached_input_pico = 100000;
    req.cache_write_pico = 1250000;
    req.cache_write_long_pico = 2000000;
    req.audio_input_pico = 40000000;
    req.audio_output_pico = 80000000;
    req.image_input_pico = 5000000;
    req.image_output_pico = 30000000;
    req.reasoning_pico = 3000000;
    e = meter_event(user, "req_1", put(m, req).id);
    e.cached_tokens = 100;
    e.cache_write_tokens = 50;
    e.cache_write_long_tokens = 25;
    e.audio_input_tokens = 10;
    e.image_input_tokens = 5;
    e.reasoning_tokens = 20;
    e.audio_output_tokens = 30;
    e.image_output_tokens = 40;
    meter_deliver(m, "out1", 1, &e, 1);
    assert_int_equal(meter_credits(m, user).spent_nano, 810 * 1000 + 100 * 100 + 50 * 1250 + 25 * 2000 + 10 * 40000 +
                                                            5 * 5000 + 10 * 2000 + 20 * 3000 + 30 * 80000 + 40 * 30000);
    meter_assert_clean(m);
}

static void classes_without_a_price_are_input_and_output(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", METER_USD);
    struct usage_event e = meter_event(user, "req_1", put(m, a_price()).id);

    e.audio_input_tokens = 300;
    e.image_input_tokens = 700;
    e.reasoning_tokens = 20;
    e.audio_output_tokens = 30;
    e.image_output_tokens = 40;
    meter_deliver(m, "out1", 1, &e, 1);
    assert_int_equal(meter_credits(m, user).spent_nano, 1000 * 1000 + 100 * 2000);
}

static void a_tier_of_the_administrators_own_holds_above_its_threshold(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", METER_USD);
    struct price_put_req req = a_price();
    struct usage_event e[2];
    struct price p;

    req.tier_above_tokens = 1000;
    req.tier_input_pico = 3000000;
    req.tier_cached_input_pico = 500000;
    req.tier_output_pico = 5000000;
    req.reasoning_pico = 4000000;
    p = put(m, req);
    assert_int_equal(p.tier_above_tokens, 1000);
    e[0] = meter_event(user, "req_1", p.id);
    e[1] = meter_event(user, "req_2", p.id);
    e[1].prompt_tokens = 1001;
    e[1].cached_tokens = 1;
    e[1].reasoning_tokens = 10;
    meter_deliver(m, "out1", 1, e, 1);
    assert_int_equal(meter_credits(m, user).spent_nano, 1000 * 1000 + 100 * 2000);
    meter_deliver(m, "out1", 2, e + 1, 1);
    assert_int_equal(meter_credits(m, user).spent_nano, 1200000 + 1000 * 3000 + 500 + 90 * 5000 + 10 * 4000);
    req.tier_above_tokens = 0;
    req.tier_input_pico = req.tier_cached_input_pico = req.tier_output_pico = 0;
    p = put(m, req); /* the whole price is said anew: the tier is gone */
    assert_int_equal(p.tier_above_tokens, 0);
    assert_false(WIRE_HAS(&p, 14));
    assert_true(WIRE_HAS(&p, 24));
}

/* ---- versions -----------------------------------------------------------------------------------------------------
 */

static void a_version_takes_force_at_its_second_and_not_before(void **state)
{
    struct meter *m = *state;
    struct price_put_req req = a_price();
    uint64_t from = now_s() + HOUR;
    struct price now = put(m, req), later;
    struct price_list_rep list;

    assert_int_equal(next(m), 0);
    req.input_pico = 7000000;
    req.valid_from = from;
    later = put(m, req);
    assert_int_equal(later.created, from);
    assert_int_equal(next(m), from);
    assert_int_equal(in_force(m)->id, now.id);
    list = history(m, 0, (struct slice){NULL, 0});
    assert_int_equal(list.data.n, 2);
    assert_int_equal(list.data.items[0].id, later.id);
    assert_int_equal(list.data.items[0].ended, 0);
    assert_int_equal(list.data.items[1].ended, from); /* known beforehand */
    at(m, from - 1);
    assert_int_equal(in_force(m)->id, now.id);
    assert_int_equal(m->store->changes.n, 0);
    at(m, from);
    assert_int_equal(m->store->changes.n, 1); /* the feed hears of it in this moment */
    assert_int_equal(in_force(m)->id, later.id);
    assert_int_equal(in_force(m)->created, from);
    assert_int_equal(next(m), 0);
    list = history(m, 0, (struct slice){NULL, 0});
    assert_int_equal(list.data.items[1].ended, from);
    at(m, from + HOUR); /* once */
    assert_int_equal(m->store->changes.n, 0);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM price WHERE model = 'test-model' AND in_force = 1"), 1);
}

static void what_was_missed_is_made_up_in_order(void **state)
{
    struct meter *m = *state;
    struct price_put_req req = a_price();
    uint64_t from = now_s() + HOUR;
    struct price_list_rep list;
    struct price third, second;

    req.valid_from = from + 20;
    req.input_pico = 3000000;
    third = put(m, req);
    req.valid_from = from + 10;
    req.input_pico = 2000000;
    second = put(m, req);
    req.valid_from = 0;
    req.input_pico = 1000000;
    put(m, req);
    at(m, from + 100); /* meterd was not running at the time */
    assert_int_equal(in_force(m)->id, third.id);
    list = history(m, 0, (struct slice){NULL, 0});
    assert_int_equal(list.data.n, 3);
    assert_int_equal(list.data.items[0].ended, 0);
    assert_int_equal(list.data.items[1].id, second.id);
    assert_int_equal(list.data.items[1].ended, from + 20);
    assert_int_equal(list.data.items[2].ended, from + 10);
}

static void one_that_waits_can_be_replaced(void **state)
{
    struct meter *m = *state;
    struct price_put_req req = a_price();
    struct price wrong, right;

    req.valid_from = now_s() + HOUR;
    wrong = put(m, req);
    req.input_pico = 9000000;
    right = put(m, req);
    at(m, req.valid_from);
    assert_int_equal(in_force(m)->id, right.id);
    assert_int_equal(in_force(m)->input_pico, 9000000);
    assert_int_equal(history(m, 0, (struct slice){NULL, 0}).data.n, 2);
    assert_int_equal(
        meter_number(m, "SELECT ended - valid_from FROM price WHERE input = 1000000 AND model = 'test-model'"), 0);
    assert_true(wrong.id != right.id);
}

static void a_model_without_a_price_gets_it_on_time(void **state)
{
    struct meter *m = *state;
    struct price_put_req req = a_price();

    req.valid_from = now_s() + HOUR;
    req.provider = slice_of("echo");
    req.mode = slice_of("embedding");
    req.context_window = 4096;
    put(m, req);
    assert_null(in_force(m));
    /* what a later version leaves out, it takes from the one before it */
    req.provider = req.mode = (struct slice){NULL, 0};
    req.context_window = 0;
    req.valid_from += 10;
    put(m, req);
    at(m, req.valid_from);
    assert_true(slice_is(in_force(m)->provider, "echo"));
    assert_true(slice_is(in_force(m)->mode, "embedding"));
    assert_int_equal(in_force(m)->context_window, 4096);
}

static void a_call_is_billed_by_its_version_whatever_took_force(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", METER_USD);
    struct price_put_req req = a_price();
    struct usage_event e = meter_event(user, "req_1", put(m, req).id);

    req.input_pico = req.output_pico = 900000000;
    req.valid_from = now_s() + HOUR;
    put(m, req);
    at(m, req.valid_from);
    meter_deliver(m, "out1", 1, &e, 1);
    assert_int_equal(meter_credits(m, user).spent_nano, 1000 * 1000 + 100 * 2000);
    meter_assert_clean(m);
}

static void versions_that_wait_are_in_no_state(void **state)
{
    struct meter *m = *state;
    struct price_put_req req = a_price();
    struct state_read_req read = {0};
    struct state_read_rep rep = {0};
    size_t i;

    read.after_revision = (uint64_t)meter_number(m, "SELECT max(revision) FROM price");
    req.valid_from = now_s() + HOUR;
    put(m, req);
    METER_OK(m, op_state_read, &read, &rep);
    for (i = 0; i < rep.changes.n; i++)
        assert_true(rep.changes.items[i].kind != price_desc.type);
    at(m, req.valid_from);
    memset(&rep, 0, sizeof(rep));
    METER_OK(m, op_state_read, &read, &rep);
    assert_int_equal(rep.changes.n, 1);
    assert_int_equal(rep.changes.items[0].kind, price_desc.type);
}

static void the_history_comes_in_pages(void **state)
{
    struct meter *m = *state;
    struct price_put_req req = a_price();
    struct price_list_rep page;
    uint64_t last = UINT64_MAX, seen = 0;
    struct slice cursor = {NULL, 0};
    size_t i, pages = 0;

    for (i = 0; i < 7; i++) {
        req.input_pico = (int64_t)i;
        req.valid_from = i < 4 ? 0 : now_s() + HOUR * (10 - i);
        put(m, req);
    }
    do {
        page = history(m, 3, cursor);
        for (i = 0; i < page.data.n; i++) {
            assert_true(page.data.items[i].created <= last);
            last = page.data.items[i].created;
            seen |= UINT64_C(1) << page.data.items[i].input_pico;
        }
        cursor = page.next;
        pages++;
    } while (cursor.n > 0 && pages < 10);
    assert_int_equal(pages, 3);
    assert_int_equal(seen, 127);
}

/* ---- what is refused ----------------------------------------------------------------------------------------------
 */

static void refused(struct meter *m, struct price_put_req req, const char *field)
{
    struct price_rep rep = {0};
    enum status st = meter_run(m, op_price_put, &req, &rep);

    if (st != ST_BAD_REQUEST || strcmp(m->err.param, field) != 0 || !strstr(m->err.text, field))
        fail_msg("%s: %d, %s: %s", field, (int)st, m->err.param, m->err.text);
}

static void bad_input_is_named(void **state)
{
    struct meter *m = *state;
    struct price_put_req tier = a_price(), bad;
    int64_t before = meter_number(m, "SELECT count(*) FROM price");

    tier.tier_above_tokens = 100000;
    tier.tier_input_pico = 1;
    tier.tier_output_pico = 1;
#define REFUSED(from, set, field)                                                                                      \
    do {                                                                                                               \
        bad = (from);                                                                                                  \
        bad.set;                                                                                                       \
        refused(m, bad, field);                                                                                        \
    } while (0)
    REFUSED(tier, tier_output_pico = 0, "tier_output");
    REFUSED(tier, tier_input_pico = 0, "tier_input");
    REFUSED(tier, tier_above_tokens = 0, "tier_above_tokens");
    REFUSED(a_price(), tier_cache_write_pico = 1, "tier_above_tokens");
    REFUSED(a_price(), has = UINT64_C(1) << 17, "tier_above_tokens");
    REFUSED(a_price(), input_pico = -1, "input");
    REFUSED(a_price(), output_pico = -1, "output");
    REFUSED(a_price(), audio_input_pico = -1, "audio_input");
    REFUSED(a_price(), image_output_pico = MONEY_PICO_MAX + 1, "image_output");
    REFUSED(a_price(), reasoning_pico = INT64_MIN, "reasoning");
    REFUSED(tier, tier_cache_write_long_pico = -5, "tier_cache_write_long");
    REFUSED(a_price(), valid_from = now_s() - 60, "valid_from");
    REFUSED(a_price(), valid_from = 1, "valid_from");
    REFUSED(a_price(), mode = slice_of("Chat mode"), "mode");
    REFUSED(a_price(), model = slice_of(""), "model");
    REFUSED(a_price(), model = slice_of("a\nb"), "model");
#undef REFUSED
    assert_int_equal(meter_number(m, "SELECT count(*) FROM price"), before);
    bad = a_price();
    bad.valid_from = now_s(); /* a request takes a moment: this second is now */
    assert_true(put(m, bad).id != 0);
    assert_non_null(in_force(m));
}

static void bad_questions_are_named(void **state)
{
    static const char *const cursors[] = {"x", "1", "1.", "1.2.3", "99999999999999999999.1", "-1.2"};
    struct meter *m = *state;
    struct price_list_req req = {.history = true};
    struct price_list_rep rep = {0};
    size_t i;

    assert_int_equal(meter_run(m, op_price_list, &req, &rep), ST_BAD_REQUEST);
    assert_string_equal(m->err.param, "model");
    req.model = slice_of("nobody's");
    METER_OK(m, op_price_list, &req, &rep);
    assert_int_equal(rep.data.n, 0);
    for (i = 0; i < sizeof(cursors) / sizeof(cursors[0]); i++) {
        req.cursor = slice_of(cursors[i]);
        assert_int_equal(meter_run(m, op_price_list, &req, &rep), ST_BAD_REQUEST);
    }
}

/* ---- a database of before -----------------------------------------------------------------------------------------
 */

static void versions_of_an_older_database_get_their_ends(void **state)
{
    static const struct migration only_first[] = {{1, schema_m0001, NULL}, {0, NULL, NULL}};
    struct meter m;
    struct price_list_rep list;

    (void)state;
    meter_folder(&m);
    assert_int_equal(store_open_with(m.path, only_first, &m.store, &m.err), ST_OK);
    meter_sql(&m, "INSERT INTO price(id, model, provider, mode, input, output, tier_above, context_window, max_output, "
                  "valid_from, builtin, in_force, revision) VALUES "
                  "(1, 'test-model', 'p', 'chat', 1, 1, 0, 0, 0, 1000, 1, 0, 1), "
                  "(2, 'other', 'p', 'chat', 1, 1, 0, 0, 0, 1500, 1, 1, 2), "
                  "(3, 'test-model', 'p', 'chat', 2, 2, 0, 0, 0, 2000, 0, 0, 3), "
                  "(4, 'test-model', 'p', 'chat', 3, 3, 0, 0, 0, 3000, 0, 1, 4)");
    meter_close(&m);
    meter_open(&m);
    assert_int_equal(next(&m), 0); /* nothing old is taken for one that waits */
    list = history(&m, 0, (struct slice){NULL, 0});
    assert_int_equal(list.data.n, 3);
    assert_int_equal(list.data.items[0].ended, 0);
    assert_int_equal(list.data.items[1].ended, 3000);
    assert_int_equal(list.data.items[2].ended, 2000);
    assert_int_equal(in_force(&m)->id, 4);
    assert_false(WIRE_HAS(in_force(&m), 20));
    meter_close(&m);
    arena_fini(&m.arena);
    meter_remove(&m);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, meter_setup, meter_teardown)
    const struct CMUnitTest tests[] = {
        T(every_class_is_billed_by_its_own_price),
        T(classes_without_a_price_are_input_and_output),
        T(a_tier_of_the_administrators_own_holds_above_its_threshold),
        T(a_version_takes_force_at_its_second_and_not_before),
        T(what_was_missed_is_made_up_in_order),
        T(one_that_waits_can_be_replaced),
        T(a_model_without_a_price_gets_it_on_time),
        T(a_call_is_billed_by_its_version_whatever_took_force),
        T(versions_that_wait_are_in_no_state),
        T(the_history_comes_in_pages),
        T(bad_input_is_named),
        T(bad_questions_are_named),
        cmocka_unit_test(versions_of_an_older_database_get_their_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
