/* How many attempts beyond the first all calls may cost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "providersvc/budget.h"

#define T0 UINT64_C(5000000)

static unsigned all_of_it(struct budget *b, uint64_t now_ms, unsigned share)
{
    unsigned n = 0;

    for (; budget_has(b, now_ms, share); n++)
        budget_take(b, now_ms);
    return n;
}

static void a_few_are_free_and_the_rest_is_a_part_of_the_calls(void **state)
{
    struct budget b = {0};

    (void)state;
    assert_int_equal(all_of_it(&b, T0, BUDGET_SHARE), BUDGET_FREE);
    for (int i = 0; i < 1000; i++)
        budget_call(&b, T0 + (uint64_t)i * 9);
    assert_int_equal(all_of_it(&b, T0 + 9000, BUDGET_SHARE), 100);
    assert_false(budget_has(&b, T0 + 9000, BUDGET_SHARE));
}

/* What asks the same provider again leaves half to what leads elsewhere. */
static void the_same_provider_gets_half(void **state)
{
    struct budget b = {0};

    (void)state;
    for (int i = 0; i < 1000; i++)
        budget_call(&b, T0);
    assert_int_equal(all_of_it(&b, T0, BUDGET_SAME_SHARE), BUDGET_FREE + 50);
    assert_int_equal(all_of_it(&b, T0, BUDGET_SHARE), 50);
}

static void what_is_ten_seconds_old_is_forgotten(void **state)
{
    struct budget b = {0};

    (void)state;
    for (int i = 0; i < 100; i++)
        budget_call(&b, T0);
    (void)all_of_it(&b, T0, BUDGET_SHARE);
    assert_false(budget_has(&b, T0 + BUDGET_SECONDS * UINT64_C(1000) - 1, BUDGET_SHARE));
    assert_int_equal(all_of_it(&b, T0 + BUDGET_SECONDS * UINT64_C(1000), BUDGET_SHARE), BUDGET_FREE);
    assert_int_equal(all_of_it(&b, T0 + UINT64_C(1000000000), BUDGET_SHARE), BUDGET_FREE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_few_are_free_and_the_rest_is_a_part_of_the_calls),
        cmocka_unit_test(the_same_provider_gets_half),
        cmocka_unit_test(what_is_ten_seconds_old_is_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
