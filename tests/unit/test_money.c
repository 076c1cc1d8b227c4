/* Money against exact arithmetic: every sum fits 128 bits, and is compared there, without division. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/money.h"

__extension__ typedef __int128 exact;

#define NO_PRICE (-1)
#define ROUNDS 200000

/* A small generator of our own: the same numbers in every run, so that a failure can be repeated. */
static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* Numbers of every size, the bounds among them. */
static uint64_t pick(uint64_t *seed, uint64_t max)
{
    uint64_t r = next_random(seed), v = next_random(seed) >> (r >> 8 & 63);

    switch (r & 7) {
    case 0: return 0;
    case 1: return max;
    case 2: return max - v % 3;
    default: return v % (max + 1);
    }
}

static int64_t pick_price(uint64_t *seed, bool may_lack)
{
    return may_lack && next_random(seed) % 4 == 0 ? NO_PRICE : (int64_t)pick(seed, MONEY_PICO_MAX);
}

/* The contract's words, one class at a time, in exact fractions: the sum of tokens times price, in pico-USD. */
static exact pico_of(const struct token_prices *p, const struct token_counts *t)
{
    const uint64_t counts[] = {t->in_uncached, t->in_cached, t->in_write_short, t->in_write_long};
    const int64_t below[] = {p->input, p->cached, p->write_short, p->write_long};
    const int64_t above[] = {p->tier_input, p->tier_cached, p->tier_write_short, p->tier_write_long};
    uint64_t input = counts[0] + counts[1] + counts[2] + counts[3];
    bool tier = p->tier_above_tokens > 0 && input > p->tier_above_tokens;
    exact sum = 0;
    size_t i;

    for (i = 0; i < 4; i++) {
        int64_t price = below[i] == NO_PRICE ? p->input : below[i];

        if (tier && above[i] != NO_PRICE)
            price = above[i];
        else if (tier && p->tier_input != NO_PRICE)
            price = p->tier_input;
        sum += (exact)counts[i] * price;
    }
    return sum + (exact)t->out * (tier && p->tier_output != NO_PRICE ? p->tier_output : p->output);
}

static void any_cost_is_the_exact_sum_rounded_up_once(void **state)
{
    uint64_t seed = UINT64_C(0x9e3779b97f4a7c15);
    size_t i, refused = 0, rounded = 0;

    (void)state;
    for (i = 0; i < ROUNDS; i++) {
        bool may_lack = i % 2 == 0;
        struct token_prices p = {pick_price(&seed, false),    pick_price(&seed, may_lack),
                                 pick_price(&seed, may_lack), pick_price(&seed, may_lack),
                                 pick_price(&seed, false),    pick(&seed, 3) ? pick(&seed, MONEY_TOKENS_MAX) : 0,
                                 pick_price(&seed, may_lack), pick_price(&seed, may_lack),
                                 pick_price(&seed, may_lack), pick_price(&seed, may_lack),
                                 pick_price(&seed, may_lack)};
        struct token_counts t = {pick(&seed, MONEY_TOKENS_MAX), pick(&seed, MONEY_TOKENS_MAX),
                                 pick(&seed, MONEY_TOKENS_MAX), pick(&seed, MONEY_TOKENS_MAX),
                                 pick(&seed, MONEY_TOKENS_MAX)};
        exact pico = pico_of(&p, &t);
        int64_t nano = -7;
        enum status st = money_cost(&p, &t, &nano, NULL);

        if (pico > (exact)MONEY_NANO_MAX * 1000) {
            assert_int_equal(st, ST_BAD_REQUEST);
            assert_int_equal(nano, -7);
            refused++;
            continue;
        }
        assert_int_equal(st, ST_OK);
        /* rounded up: not less than the exact sum, and less than one more */
        assert_true((exact)nano * 1000 >= pico && ((exact)nano - 1) * 1000 < pico);
        rounded += (exact)nano * 1000 != pico;
    }
    assert_true(refused > 1000 && rounded > 1000 && refused < ROUNDS / 2);
}

static int64_t cost(struct token_prices p, struct token_counts t)
{
    struct err err = {0};
    int64_t nano = -1;

    if (money_cost(&p, &t, &nano, &err) != ST_OK)
        fail_msg("%s", err.text);
    return nano;
}

static void costs_are_as_worked_out_by_hand(void **state)
{
    /* gpt-4o-mini: 0.15, 0.075 and 0.60 USD per 1,000,000 tokens */
    const struct token_prices mini = {150000, 75000, NO_PRICE, NO_PRICE, 600000, 0, -1, -1, -1, -1, -1};
    const struct token_prices tiered = {1000, 100, 1250, 2000, 4000, 200000, 2000, 200, NO_PRICE, 4000, 6000};
    const struct token_prices one_pico = {1, 1, 1, 1, 1, 0, -1, -1, -1, -1, -1};
    const struct token_prices most = {MONEY_PICO_MAX, -1, -1, -1, MONEY_PICO_MAX, 0, -1, -1, -1, -1, -1};

    (void)state;
    assert_int_equal(cost(mini, (struct token_counts){0}), 0);
    assert_int_equal(cost(mini, (struct token_counts){.in_uncached = 1}), 150);
    assert_int_equal(cost(mini, (struct token_counts){.in_uncached = 1000, .in_cached = 200, .out = 50}), 195000);
    assert_int_equal(cost(mini, (struct token_counts){.in_write_short = 10, .in_write_long = 10}), 3000);
    assert_int_equal(cost(one_pico, (struct token_counts){.in_uncached = 1}), 1);
    assert_int_equal(cost(one_pico, (struct token_counts){.in_uncached = 500, .out = 500}),
                     1); /* rounded once, not per class */
    assert_int_equal(cost(one_pico, (struct token_counts){.in_uncached = 500, .out = 501}), 2);
    assert_int_equal(cost(tiered, (struct token_counts){.in_uncached = 199999, .in_cached = 1, .out = 1}), 200004);
    assert_int_equal(cost(tiered, (struct token_counts){.in_uncached = 200000, .in_cached = 1, .out = 1}), 400007);
    assert_int_equal(cost(tiered, (struct token_counts){.in_write_short = 200001}), 400002);
    assert_int_equal(cost(most, (struct token_counts){.in_uncached = MONEY_TOKENS_MAX}), MONEY_NANO_MAX);
}

static void what_is_out_of_bounds_is_refused(void **state)
{
    const struct token_prices good = {1, 1, 1, 1, 1, 0, -1, -1, -1, -1, -1};
    const struct token_prices most = {MONEY_PICO_MAX, -1, -1, -1, MONEY_PICO_MAX, 0, -1, -1, -1, -1, -1};
    struct err err = {0};
    int64_t nano = 5;
    size_t i;

    (void)state;
    for (i = 0; i < 11; i++) {
        const int64_t wrong[] = {-2, INT64_MIN, MONEY_PICO_MAX + 1, INT64_MAX};
        size_t k;

        for (k = 0; k < 4 && i != 5; k++) { /* 5 is the tier's threshold */
            struct token_prices p = good;

            ((int64_t *)(void *)&p)[i] = wrong[k];
            assert_int_equal(money_cost(&p, &(struct token_counts){0}, &nano, &err), ST_BAD_REQUEST);
        }
    }
    assert_int_equal(
        money_cost(&(struct token_prices){.input = -1, .output = 1}, &(struct token_counts){0}, &nano, &err),
        ST_BAD_REQUEST);
    for (i = 0; i < 5; i++) {
        struct token_counts t = {0};

        ((uint64_t *)(void *)&t)[i] = MONEY_TOKENS_MAX + 1;
        assert_int_equal(money_cost(&good, &t, &nano, &err), ST_BAD_REQUEST);
        ((uint64_t *)(void *)&t)[i] = UINT64_MAX;
        assert_int_equal(money_cost(&good, &t, &nano, &err), ST_BAD_REQUEST);
    }
    assert_int_equal(money_cost(&most, &(struct token_counts){.in_uncached = MONEY_TOKENS_MAX, .out = 1}, &nano, &err),
                     ST_BAD_REQUEST);
    assert_int_equal(nano, 5);
}

/* --- text ------------------------------------------------------------------------------------------------------------
 */

static const char *const not_amounts[] = {
    "",
    "-",
    ".",
    "-.",
    "+1",
    "1.",
    ".5",
    "-.5",
    "1e3",
    "1E3",
    "0x10",
    "1,5",
    " 1",
    "1 ",
    "--1",
    "1.-5",
    "1.5.",
    "nan",
    "inf",
    "0.0000000001",
    "0.0000000000",
    "1000000000.000000001",
    "1000000001",
    "-1000000000.000000001",
    "99999999999999999999999",
    "18446744073709551616",
    "18446744074.709551616",
    "1_000",
    "\xd9\xa1",
};

static void amounts_are_read_exactly(void **state)
{
    static const struct {
        const char *text;
        int64_t nano;
    } good[] = {
        {"0", 0},
        {"-0", 0},
        {"5", 5000000000},
        {"0.15", 150000000},
        {"-1.000000001", -1000000001},
        {"0.000000001", 1},
        {"-0.000000001", -1},
        {"007.50", 7500000000},
        {"1.100000000", 1100000000},
        {"1000000000", MONEY_NANO_MAX},
        {"-1000000000.000000000", -MONEY_NANO_MAX},
        {"999999999.999999999", MONEY_NANO_MAX - 1},
        {"0000000000000000000000000000000000000000000000000000000000000000000000001", 1000000000},
    };
    struct err err = {0};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        int64_t nano = -99;

        if (money_parse_usd(slice_of(good[i].text), &nano, &err) != ST_OK || nano != good[i].nano)
            fail_msg("%s: %lld, %s", good[i].text, (long long)nano, err.text);
    }
    for (i = 0; i < sizeof(not_amounts) / sizeof(not_amounts[0]); i++) {
        int64_t nano = -99;

        if (money_parse_usd(slice_of(not_amounts[i]), &nano, &err) != ST_BAD_REQUEST || nano != -99)
            fail_msg("'%s' was read as %lld", not_amounts[i], (long long)nano);
    }
    assert_int_equal(money_parse_usd((struct slice){"1\0", 2}, &(int64_t){0}, &err), ST_BAD_REQUEST);
    assert_int_equal(money_parse_usd(slice_of("1e3"), &(int64_t){0}, &err), ST_BAD_REQUEST);
    assert_string_equal(err.text,
                        "'1e3' is not an amount in USD: it is not a decimal number. Expected a decimal number such as "
                        "\"0.25\", at most 9 decimals, at most 1000000000.");
}

static void prices_are_read_exactly(void **state)
{
    static const struct {
        const char *text;
        int64_t pico;
    } good[] = {{"0", 0},         {"0.15", 150000}, {"0.0028", 2800},
                {"50", 50000000}, {"0.000001", 1},  {"1000000", MONEY_PICO_MAX}};
    static const char *const bad[] = {"", "-1", "-0", "0.0000001", "1000000.000001", "1000001", "1e2", "abc"};
    struct err err = {0};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        int64_t pico = -99;

        if (money_parse_price(slice_of(good[i].text), &pico, &err) != ST_OK || pico != good[i].pico)
            fail_msg("%s: %lld, %s", good[i].text, (long long)pico, err.text);
    }
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int64_t pico = -99;

        if (money_parse_price(slice_of(bad[i]), &pico, &err) != ST_BAD_REQUEST || pico != -99)
            fail_msg("'%s' was read as %lld", bad[i], (long long)pico);
    }
}

static void texts_are_the_shortest(void **state)
{
    static const struct {
        int64_t value;
        const char *usd, *price;
    } rows[] = {
        {0, "0", "0"},
        {1, "0.000000001", "0.000001"},
        {-1, "-0.000000001", "-0.000001"},
        {150000, "0.00015", "0.15"},
        {1000000000, "1", "1000"},
        {-1500000000, "-1.5", "-1500"},
        {MONEY_NANO_MAX, "1000000000", "1000000000000"},
        {INT64_MAX, "9223372036.854775807", "9223372036854.775807"},
        {INT64_MIN, "-9223372036.854775808", "-9223372036854.775808"},
    };
    char text[MONEY_TEXT_MAX];
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        money_format_usd(rows[i].value, text);
        assert_string_equal(text, rows[i].usd);
        money_format_price(rows[i].value, text);
        assert_string_equal(text, rows[i].price);
    }
}

static void what_is_written_is_read_back(void **state)
{
    uint64_t seed = 88172645463325252u;
    char text[MONEY_TEXT_MAX];
    size_t i;

    (void)state;
    for (i = 0; i < ROUNDS; i++) {
        int64_t nano = (int64_t)pick(&seed, MONEY_NANO_MAX) * (i % 2 ? 1 : -1),
                pico = (int64_t)pick(&seed, MONEY_PICO_MAX);
        int64_t back = -99;

        money_format_usd(nano, text);
        assert_int_equal(money_parse_usd(slice_of(text), &back, NULL), ST_OK);
        assert_true(back == nano);
        money_format_price(pico, text);
        assert_int_equal(money_parse_price(slice_of(text), &back, NULL), ST_OK);
        assert_true(back == pico);
    }
}

static void sums_never_wrap(void **state)
{
    int64_t sum = 42;

    (void)state;
    assert_true(money_add(1, -2, &sum));
    assert_int_equal(sum, -1);
    assert_true(money_add(INT64_MAX, INT64_MIN, &sum));
    assert_int_equal(sum, -1);
    assert_false(money_add(INT64_MAX, 1, &sum));
    assert_false(money_add(INT64_MIN, -1, &sum));
    assert_false(money_add(INT64_MIN, INT64_MIN, &sum));
    assert_int_equal(sum, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_cost_is_the_exact_sum_rounded_up_once),
        cmocka_unit_test(costs_are_as_worked_out_by_hand),
        cmocka_unit_test(what_is_out_of_bounds_is_refused),
        cmocka_unit_test(amounts_are_read_exactly),
        cmocka_unit_test(prices_are_read_exactly),
        cmocka_unit_test(texts_are_the_shortest),
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(sums_never_wrap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
