/* Token buckets: exact integer arithmetic on a clock that the test owns; and the table under them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <sodium.h>

#include "authsvc/bucket.h"
#include "authsvc/table.h"
#include "authsvc/throttle.h"

static bool take(struct bucket *b, uint64_t limit, uint64_t now, uint64_t n)
{
    bucket_refill(b, limit, now);
    if (!bucket_has(b, n))
        return false;
    bucket_take(b, n);
    return true;
}

static void a_bucket_begins_full_and_gives_exactly_its_limit(void **state)
{
    struct bucket b = {0};
    unsigned n = 0;

    (void)state;
    while (take(&b, 60, 1000, 1))
        n++;
    assert_int_equal(n, 60);
    assert_int_equal(bucket_remaining(&b), 0);
    assert_int_equal(bucket_wait_ms(&b, 1), 1000);
    assert_int_equal(bucket_wait_ms(&b, 60), 60000);
    assert_false(take(&b, 60, 1999, 1));
    assert_true(take(&b, 60, 2000, 1));
    assert_false(take(&b, 60, 2000, 1));
}

/* A limit that does not divide a minute: over an hour of odd steps not one token more or less than continuous refill
 * gives. */
static void nothing_is_gained_or_lost_over_an_hour(void **state)
{
    const uint64_t limit = 7, hour = 3600000;
    struct bucket b = {0};
    uint64_t now = 0, taken = 0;

    (void)state;
    while (now <= hour) {
        while (take(&b, limit, now, 1))
            taken++;
        now += 13;
    }
    now -= 13;
    assert_int_equal(taken, limit + limit * now / 60000);
}

static void the_largest_limit_does_not_overflow(void **state)
{
    struct bucket b = {0};

    (void)state;
    assert_true(take(&b, 1000000000, 0, 1000000000));
    assert_false(take(&b, 1000000000, 59999, 1000000000));
    assert_true(take(&b, 1000000000, 60000, 1000000000));
    assert_true(take(&b, 1000000000, UINT64_MAX, 1000000000));
    bucket_correct(&b, 0, 1000000000);
    bucket_correct(&b, 0, 1000000000);
    assert_int_equal(bucket_wait_ms(&b, 1000000000), 120000);
}

static void a_clock_that_stands_or_goes_back_gives_nothing(void **state)
{
    struct bucket b = {0};

    (void)state;
    assert_true(take(&b, 1, 100000, 1));
    assert_false(take(&b, 1, 100000, 1));
    assert_false(take(&b, 1, 40000, 1));
    assert_false(take(&b, 1, 100000, 1));
    assert_true(take(&b, 1, 160000, 1));
}

static void a_correction_gives_back_and_takes(void **state)
{
    struct bucket b = {0};

    (void)state;
    assert_true(take(&b, 1000, 0, 900));
    bucket_correct(&b, 900, 100);
    assert_int_equal(bucket_remaining(&b), 900);
    bucket_correct(&b, 0, 1000000);
    assert_int_equal(bucket_remaining(&b), 0);
    assert_int_equal(bucket_wait_ms(&b, 1), 60060); /* a debt of one minute, and one token */
    bucket_correct(&b, 1000000, 0);
    assert_int_equal(bucket_remaining(&b), 1000); /* never above the limit */
}

static void another_limit_holds_at_once(void **state)
{
    struct bucket b = {0};

    (void)state;
    assert_true(take(&b, 100, 0, 10));
    bucket_refill(&b, 20, 0);
    assert_int_equal(bucket_remaining(&b), 20);
    bucket_take(&b, 20);
    bucket_refill(&b, 6000, 10);
    assert_int_equal(bucket_remaining(&b), 1);
}

/* ---- table --------------------------------------------------------------------------------------------------------
 */

struct thing {
    struct table_node node;
    char key[16];
    bool in;
};

#define THINGS 3000

static void a_table_agrees_with_a_plain_array(void **state)
{
    struct thing *things = calloc(THINGS, sizeof(*things));
    struct table t;
    size_t i, n = 0, round, cursor = 0, seen = 0;

    (void)state;
    assert_non_null(things);
    table_init(&t, THINGS);
    for (i = 0; i < THINGS; i++) {
        snprintf(things[i].key, sizeof(things[i].key), "k%zu", i);
        things[i].node.key = slice_of(things[i].key);
    }
    for (round = 0; round < 40000; round++) {
        struct thing *x = &things[randombytes_uniform(THINGS)];

        if (x->in)
            table_remove(&t, &x->node);
        else
            assert_int_equal(table_add(&t, &x->node), ST_OK);
        n += x->in ? (size_t)-1 : 1;
        x->in = !x->in;
    }
    assert_int_equal(t.n, n);
    for (i = 0; i < THINGS; i++)
        assert_ptr_equal(table_find(&t, things[i].node.key), things[i].in ? &things[i].node : NULL);
    while (table_next(&t, &cursor))
        seen++;
    assert_int_equal(seen, n);
    table_fini(&t);
    free(things);
}

static void a_full_table_refuses(void **state)
{
    struct thing a = {.key = "a"}, b = {.key = "b"};
    struct table t;

    (void)state;
    a.node.key = slice_of(a.key);
    b.node.key = slice_of(b.key);
    table_init(&t, 1);
    assert_int_equal(table_add(&t, &a.node), ST_OK);
    assert_int_equal(table_add(&t, &b.node), ST_UNAVAILABLE);
    assert_null(table_find(&t, b.node.key));
    table_fini(&t);
}

/* ---- throttle -----------------------------------------------------------------------------------------------------
 */

#define MINUTE UINT64_C(60000)

static void fail_times(struct throttle *t, const char *who, const char *ip, unsigned n)
{
    while (n--)
        throttle_failed(t, slice_of(who), slice_of(ip), MINUTE);
}

static enum status check(struct throttle *t, const char *who, const char *ip, uint64_t now)
{
    return throttle_check(t, slice_of(who), slice_of(ip), now, NULL);
}

static void ten_failures_stop_an_account_from_one_address_only(void **state)
{
    struct throttle t;
    struct err err = {0};

    (void)state;
    throttle_init(&t);
    fail_times(&t, "a@x", "192.0.2.1", THROTTLE_FAILURES - 1);
    assert_int_equal(check(&t, "a@x", "192.0.2.1", MINUTE), ST_OK);
    fail_times(&t, "a@x", "192.0.2.1", 1);
    assert_int_equal(throttle_check(&t, slice_of("a@x"), slice_of("192.0.2.1"), 2 * MINUTE, &err), ST_SLOW_DOWN);
    assert_int_equal(err.retry_after_ms, 14 * MINUTE);
    assert_int_equal(check(&t, "a@x", "192.0.2.2", MINUTE), ST_OK);
    assert_int_equal(check(&t, "b@x", "192.0.2.1", MINUTE), ST_OK);
    assert_int_equal(check(&t, "a@x", "192.0.2.1", 16 * MINUTE), ST_OK);
    throttle_fini(&t);
}

static void one_address_may_not_try_all_accounts(void **state)
{
    struct throttle t;
    char who[32];
    unsigned i;

    (void)state;
    throttle_init(&t);
    for (i = 0; i < THROTTLE_NETWORK_FAILURES; i++) {
        snprintf(who, sizeof(who), "u%u@x", i);
        assert_int_equal(check(&t, who, "192.0.2.1", MINUTE), ST_OK);
        fail_times(&t, who, "192.0.2.1", 1);
    }
    assert_int_equal(check(&t, "new@x", "192.0.2.1", MINUTE), ST_SLOW_DOWN);
    assert_int_equal(check(&t, "new@x", "192.0.2.9", MINUTE), ST_OK);
    throttle_fini(&t);
}

static void addresses_of_one_v6_network_are_one_and_mapped_v4_is_v4(void **state)
{
    struct throttle t;

    (void)state;
    throttle_init(&t);
    fail_times(&t, "a@x", "2001:db8:0:1::5", THROTTLE_FAILURES);
    assert_int_equal(check(&t, "a@x", "2001:db8:0:1:ffff::6", MINUTE), ST_SLOW_DOWN);
    assert_int_equal(check(&t, "a@x", "2001:db8:0:2::5", MINUTE), ST_OK);
    fail_times(&t, "b@x", "::ffff:192.0.2.7", THROTTLE_FAILURES);
    assert_int_equal(check(&t, "b@x", "192.0.2.7", MINUTE), ST_SLOW_DOWN);
    throttle_fini(&t);
}

static void the_throttle_is_bounded_and_forgets_the_oldest(void **state)
{
    struct throttle t;
    char ip[32];
    unsigned i;

    (void)state;
    throttle_init(&t);
    fail_times(&t, "first@x", "192.0.2.1", THROTTLE_FAILURES);
    for (i = 0; i < THROTTLE_ENTRIES; i++) {
        snprintf(ip, sizeof(ip), "10.%u.%u.%u", (i >> 16) & 255, (i >> 8) & 255, i & 255);
        fail_times(&t, "a@x", ip, 1);
    }
    assert_int_equal(t.table.n, THROTTLE_ENTRIES);
    assert_int_equal(check(&t, "first@x", "192.0.2.1", MINUTE), ST_OK);
    throttle_fini(&t);
}

static void a_success_forgets_the_account_but_not_the_network(void **state)
{
    struct throttle t;

    (void)state;
    throttle_init(&t);
    fail_times(&t, "a@x", "192.0.2.1", THROTTLE_FAILURES - 1);
    throttle_passed(&t, slice_of("a@x"), slice_of("192.0.2.1"));
    fail_times(&t, "a@x", "192.0.2.1", THROTTLE_FAILURES - 1);
    assert_int_equal(check(&t, "a@x", "192.0.2.1", MINUTE), ST_OK);
    fail_times(&t, "b@x", "192.0.2.1", THROTTLE_NETWORK_FAILURES - 2 * (THROTTLE_FAILURES - 1));
    assert_int_equal(check(&t, "c@x", "192.0.2.1", MINUTE), ST_SLOW_DOWN);
    throttle_fini(&t);
}

static int prepare(void **state)
{
    (void)state;
    return sodium_init() < 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bucket_begins_full_and_gives_exactly_its_limit),
        cmocka_unit_test(nothing_is_gained_or_lost_over_an_hour),
        cmocka_unit_test(the_largest_limit_does_not_overflow),
        cmocka_unit_test(a_clock_that_stands_or_goes_back_gives_nothing),
        cmocka_unit_test(a_correction_gives_back_and_takes),
        cmocka_unit_test(another_limit_holds_at_once),
        cmocka_unit_test(a_table_agrees_with_a_plain_array),
        cmocka_unit_test(a_full_table_refuses),
        cmocka_unit_test(ten_failures_stop_an_account_from_one_address_only),
        cmocka_unit_test(one_address_may_not_try_all_accounts),
        cmocka_unit_test(addresses_of_one_v6_network_are_one_and_mapped_v4_is_v4),
        cmocka_unit_test(the_throttle_is_bounded_and_forgets_the_oldest),
        cmocka_unit_test(a_success_forgets_the_account_but_not_the_network),
    };

    return cmocka_run_group_tests(tests, prepare, NULL);
}
