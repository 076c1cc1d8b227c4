/* When calls stop going to a provider, and when they go there again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "providersvc/breaker.h"

#define T0 UINT64_C(1000000)

static void a_run_of_failures_opens_it(void **state)
{
    struct breaker b = {0};

    (void)state;
    for (int i = 0; i + 1 < BREAKER_RUN; i++)
        assert_false(breaker_bad(&b, T0, true));
    assert_true(breaker_allows(&b, T0));
    assert_true(breaker_bad(&b, T0, true));
    assert_false(breaker_allows(&b, T0 + BREAKER_OPEN_MS - 1));
    assert_int_equal(breaker_wait_ms(&b, T0), BREAKER_OPEN_MS);
    assert_true(breaker_allows(&b, T0 + BREAKER_OPEN_MS));
}

static void a_success_ends_the_run(void **state)
{
    struct breaker b = {0};

    (void)state;
    for (int i = 0; i < 10 * BREAKER_RUN; i++) {
        if (i % (BREAKER_RUN - 1) == 0) {
            breaker_good(&b, T0 + (uint64_t)i * 1000);
            breaker_good(&b, T0 + (uint64_t)i * 1000);
        }
        if (i % (BREAKER_RUN - 1) < 2)
            assert_false(breaker_bad(&b, T0 + (uint64_t)i * 1000, true));
    }
}

static void half_of_many_opens_it_without_a_run(void **state)
{
    struct breaker b = {0};
    bool opened = false;
    int i;

    (void)state;
    for (i = 0; i < 100 && !opened; i++) {
        breaker_good(&b, T0 + (uint64_t)i * 10);
        opened = breaker_bad(&b, T0 + (uint64_t)i * 10, true);
    }
    assert_true(opened);
    assert_int_equal(i, BREAKER_LEAST / 2);
}

static void what_is_ten_seconds_old_does_not_count(void **state)
{
    struct breaker b = {0};

    (void)state;
    for (int i = 0; i < BREAKER_LEAST; i++) {
        breaker_good(&b, T0);
        if (i % 2 == 0)
            assert_false(breaker_bad(&b, T0, true));
    }
    for (int i = 0; i < BREAKER_RUN - 1; i++)
        assert_false(breaker_bad(&b, T0 + 11000, true));
}

/* Poor is who fails more often than retries can make good; with nothing heard of him for ten seconds he is not. */
static void who_fails_too_often_is_poor(void **state)
{
    struct breaker b = {0};

    (void)state;
    for (int i = 0; i < 3 * BREAKER_LEAST; i++) {
        uint64_t now = T0 + (uint64_t)i * 100;
        bool bad = i % BREAKER_POOR == BREAKER_POOR - 1;

        if (bad)
            assert_false(breaker_bad(&b, now, true));
        else
            breaker_good(&b, now);
        assert_int_equal(breaker_poor(&b, now), bad && i + 1 >= BREAKER_LEAST); /* one good call more: not yet */
        assert_true(breaker_allows(&b, now));
    }
    (void)breaker_bad(&b, T0 + 6000, true);
    assert_true(breaker_poor(&b, T0 + 6000));
    for (int i = 0; i < BREAKER_WELL; i++) { /* as many in a row as say that it is over */
        assert_true(breaker_poor(&b, T0 + 6000));
        breaker_good(&b, T0 + 6000);
    }
    assert_false(breaker_poor(&b, T0 + 6000));
    (void)breaker_bad(&b, T0 + 6000, true);
    assert_true(breaker_poor(&b, T0 + 6000));
    assert_false(breaker_poor(&b, T0 + 6000 + BREAKER_SECONDS * UINT64_C(1000)));
}

/* What a probe that found nothing out leaves behind, and what the first token of an answer says. */
static void a_probe_is_given_back_or_closes_it_early(void **state)
{
    struct breaker b = {0};

    (void)state;
    assert_false(breaker_take(&b, T0)); /* closed: no probe */
    breaker_release(&b, T0);
    for (int i = 0; i < BREAKER_RUN; i++)
        (void)breaker_bad(&b, T0, true);
    breaker_release(&b, T0); /* nobody's probe: it stays open */
    assert_false(breaker_allows(&b, T0));
    assert_true(breaker_take(&b, T0 + BREAKER_OPEN_MS));
    assert_false(breaker_allows(&b, T0 + BREAKER_OPEN_MS));
    breaker_release(&b, T0 + BREAKER_OPEN_MS);
    assert_true(breaker_allows(&b, T0 + BREAKER_OPEN_MS));
    assert_true(breaker_take(&b, T0 + BREAKER_OPEN_MS));
    breaker_alive(&b);
    assert_true(breaker_allows(&b, T0 + BREAKER_OPEN_MS));
    assert_false(breaker_bad(&b, T0 + BREAKER_OPEN_MS, true)); /* it counts from nothing */
}

/* One probe at a time; a failed one doubles the wait, up to a bound; a good one closes. */
static void probes_find_out(void **state)
{
    struct breaker b = {0};
    uint64_t now = T0, wait = BREAKER_OPEN_MS;

    (void)state;
    for (int i = 0; i < BREAKER_RUN; i++)
        (void)breaker_bad(&b, now, true);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(breaker_wait_ms(&b, now), wait);
        now += wait;
        assert_true(breaker_allows(&b, now));
        breaker_take(&b, now);
        assert_false(breaker_allows(&b, now)); /* the probe is out */
        assert_true(breaker_bad(&b, now, true));
        wait = wait * 2 < BREAKER_OPEN_MAX_MS ? wait * 2 : BREAKER_OPEN_MAX_MS;
    }
    now += wait;
    breaker_take(&b, now);
    breaker_good(&b, now);
    assert_true(breaker_allows(&b, now));
    for (int i = 0; i + 1 < BREAKER_RUN; i++)
        assert_false(breaker_bad(&b, now, true));
    assert_true(breaker_bad(&b, now, true));
    assert_int_equal(breaker_wait_ms(&b, now), BREAKER_OPEN_MS);
}

static void a_lost_probe_is_forgotten(void **state)
{
    struct breaker b = {0};

    (void)state;
    for (int i = 0; i < BREAKER_RUN; i++)
        (void)breaker_bad(&b, T0, true);
    breaker_take(&b, T0 + BREAKER_OPEN_MS);
    assert_false(breaker_allows(&b, T0 + BREAKER_OPEN_MS + BREAKER_PROBE_MS - 1));
    assert_true(breaker_allows(&b, T0 + BREAKER_OPEN_MS + BREAKER_PROBE_MS));
}

/* Calls that began before it opened end afterwards: they neither open it again nor make it wait longer. */
static void stragglers_change_nothing(void **state)
{
    struct breaker b = {0};

    (void)state;
    for (int i = 0; i < BREAKER_RUN; i++)
        (void)breaker_bad(&b, T0, true);
    for (int i = 0; i < 50; i++)
        assert_false(breaker_bad(&b, T0 + 10, true));
    assert_int_equal(breaker_wait_ms(&b, T0), BREAKER_OPEN_MS);
}

/* Errors in answers, however many, never make it hard. */
static void who_answers_is_not_shut_out(void **state)
{
    struct breaker b = {0};

    (void)state;
    for (int i = 0; i < 3 * BREAKER_RUN; i++)
        (void)breaker_bad(&b, T0, false);
    assert_false(breaker_allows(&b, T0));
    assert_true(breaker_soft(&b));
    for (int i = 0; i < BREAKER_RUN; i++)
        (void)breaker_bad(&b, T0, true);
    assert_false(breaker_soft(&b));
    breaker_good(&b, T0);
    assert_true(breaker_soft(&b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_of_failures_opens_it),
        cmocka_unit_test(a_success_ends_the_run),
        cmocka_unit_test(half_of_many_opens_it_without_a_run),
        cmocka_unit_test(what_is_ten_seconds_old_does_not_count),
        cmocka_unit_test(who_fails_too_often_is_poor),
        cmocka_unit_test(a_probe_is_given_back_or_closes_it_early),
        cmocka_unit_test(probes_find_out),
        cmocka_unit_test(a_lost_probe_is_forgotten),
        cmocka_unit_test(stragglers_change_nothing),
        cmocka_unit_test(who_answers_is_not_shut_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
