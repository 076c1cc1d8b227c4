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
#include "proto/tariff.h"

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

static int64_t first_of(int64_t own, int64_t otherwise)
{
    return own == NO_PRICE ? otherwise : own;
}

/* The contract's words, one class at a time, in exact fractions: the sum of tokens times price, in pico-USD. */
static exact pico_of(const struct token_prices *p, const struct token_counts *t)
{
    const uint64_t counts[] = {t->in_uncached, t->in_cached, t->in_write_short, t->in_write_long};
    const int64_t below[] = {p->input, p->cached, p->write_short, p->write_long};
    const int64_t above[] = {p->tier_input, p->tier_cached, p->tier_write_short, p->tier_write_long};
    uint64_t input = counts[0] + counts[1] + counts[2] + counts[3] + t->in_audio + t->in_image;
    bool tier = p->tier_above_tokens > 0 && input > p->tier_above_tokens;
    int64_t in = tier ? first_of(p->tier_input, p->input) : p->input;
    int64_t out = tier ? first_of(p->tier_output, p->output) : p->output;
    exact sum = 0;
    size_t i;

    for (i = 0; i < 4; i++) {
        int64_t price = first_of(below[i], p->input);

        if (tier)
            price = first_of(above[i], first_of(p->tier_input, price));
        sum += (exact)counts[i] * price;
    }
    sum += (exact)t->in_audio * first_of(p->audio_in, in) + (exact)t->in_image * first_of(p->image_in, in);
    sum += (exact)t->out * out + (exact)t->out_reasoning * first_of(p->reasoning, out);
    return sum + (exact)t->out_audio * first_of(p->audio_out, out) + (exact)t->out_image * first_of(p->image_out, out);
}

static struct token_prices pick_prices(uint64_t *seed, bool may_lack)
{
    return (struct token_prices){
        pick_price(seed, false),    pick_price(seed, may_lack), pick_price(seed, may_lack),
        pick_price(seed, may_lack), pick_price(seed, false),    pick(seed, 3) ? pick(seed, MONEY_TOKENS_MAX) : 0,
        pick_price(seed, may_lack), pick_price(seed, may_lack), pick_price(seed, may_lack),
        pick_price(seed, may_lack), pick_price(seed, may_lack), pick_price(seed, may_lack),
        pick_price(seed, may_lack), pick_price(seed, may_lack), pick_price(seed, may_lack),
        pick_price(seed, may_lack)};
}

static struct token_counts pick_counts(uint64_t *seed)
{
    uint64_t max = pick(seed, MONEY_TOKENS_MAX - 2) + 2;

    return (struct token_counts){pick(seed, max),
                                 pick(seed, max),
                                 pick(seed, max),
                                 pick(seed, max),
                                 pick(seed, max),
                                 pick(seed, max),
                                 pick(seed, max),
                                 pick(seed, max),
                                 pick(seed, max),
                                 pick(seed, max),
                                 0,
                                 0};
}

/* rounded up: not less than the exact sum, and less than one more */
static bool rounds_up(int64_t nano, exact pico)
{
    return (exact)nano * 1000 >= pico && ((exact)nano - 1) * 1000 < pico;
}

static void any_cost_is_the_exact_sum_rounded_up_once(void **state)
{
    uint64_t seed = UINT64_C(0x9e3779b97f4a7c15);
    size_t i, refused = 0, rounded = 0;

    (void)state;
    for (i = 0; i < ROUNDS; i++) {
        struct token_prices p = pick_prices(&seed, i % 2 == 0);
        struct token_counts t = pick_counts(&seed);
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
        assert_true(rounds_up(nano, pico));
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

static int64_t cost_most(struct token_prices p, uint64_t in, uint64_t out)
{
    struct err err = {0};
    int64_t nano = -1;

    if (money_cost_most(&p, in, out, &nano, &err) != ST_OK)
        fail_msg("%s", err.text);
    return nano;
}

static void costs_are_as_worked_out_by_hand(void **state)
{
    /* gpt-4o-mini: 0.15, 0.075 and 0.60 USD per 1,000,000 tokens */
    const struct token_prices mini = {150000, 75000, NO_PRICE, NO_PRICE, 600000, 0,
                                      -1,     -1,    -1,       -1,       -1,     MONEY_NO_SPECIAL};
    const struct token_prices tiered = {1000, 100, 1250,     2000, 4000, 200000,
                                        2000, 200, NO_PRICE, 4000, 6000, MONEY_NO_SPECIAL};
    const struct token_prices one_pico = {1, 1, 1, 1, 1, 0, -1, -1, -1, -1, -1, MONEY_NO_SPECIAL};
    const struct token_prices most = {MONEY_PICO_MAX,  -1, -1, -1, MONEY_PICO_MAX, 0, -1, -1, -1, -1, -1,
                                      MONEY_NO_SPECIAL};

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

static void a_part_of_the_price_is_rounded_once_and_only_a_batch_has_no_tier(void **state)
{
    const struct token_prices tiered = {1000, 100, 1250,     2000, 4000, 200000,
                                        2000, 200, NO_PRICE, 4000, 6000, MONEY_NO_SPECIAL};
    const struct token_prices one_pico = {1, 1, 1, 1, 1, 0, -1, -1, -1, -1, -1, MONEY_NO_SPECIAL};
    struct token_report report = {.in = 200001, .out = 10, .percent = 50};

    (void)state;
    assert_int_equal(cost(tiered, money_split(&report)), (200001 * 2 + 10 * 6) / 2);
    report.percent = 200;
    assert_int_equal(cost(tiered, money_split(&report)), (200001 * 2 + 10 * 6) * 2);
    report.batch = 1;
    assert_int_equal(cost(tiered, money_split(&report)), (200001 * 1 + 10 * 4) * 2);
    report.percent = 0;
    assert_int_equal(cost(tiered, money_split(&report)), 200001 * 1 + 10 * 4);
    assert_int_equal(cost(one_pico, (struct token_counts){.in_uncached = 2000, .out = 2, .percent = 50}), 2);
    assert_int_equal(cost(one_pico, (struct token_counts){.in_uncached = 2000, .percent = 50}), 1);
}

static void tiers_have_their_parts_of_the_price(void **state)
{
    static const struct {
        const char *tier;
        uint64_t percent;
    } rows[] = {{"default", 100},   {"auto", 100}, {"scale", 100},    {"", 100},     {"Flex", 100},
                {"priority2", 100}, {"flex", 50},  {"priority", 200}, {"fast", 200}, {"ultrafast", 300}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(service_tier_percent(slice_of(rows[i].tier)), rows[i].percent);
    assert_int_equal(premium_percent(slice_of("standard"), slice_of("global")), 100);
    assert_int_equal(premium_percent(slice_of("fast"), slice_of("")), 200);
    assert_int_equal(premium_percent(slice_of(""), slice_of("us")), 110);
    assert_int_equal(premium_percent(slice_of("fast"), slice_of("us")), 220);
    assert_int_equal(tariff_event(&(struct usage_event){.endpoint = slice_of("batches")}).batch, 1);
    assert_int_equal(tariff_event(&(struct usage_event){.endpoint = slice_of("responses")}).batch, 0);
    assert_int_equal(tariff_event(&(struct usage_event){.price_percent = 50}).percent, 50);
    assert_int_equal(tariff_answer(&(struct completion_rep){.price_percent = 200}).percent, 200);
}

static void audio_images_and_reasoning_have_prices_of_their_own(void **state)
{
    const struct token_prices without = {1000, 100, 1250, 2000, 4000, 200000,
                                         2000, 200, 2500, 4000, 6000, MONEY_NO_SPECIAL};
    struct token_prices own = without;

    (void)state;
    own.audio_in = 40000;
    own.image_in = 5000;
    own.audio_out = 80000;
    own.image_out = 30000;
    own.reasoning = 9000;
    assert_int_equal(cost(without, (struct token_counts){.in_audio = 1, .in_image = 1}), 2); /* as input */
    assert_int_equal(cost(without, (struct token_counts){.out_audio = 1, .out_image = 1, .out_reasoning = 1}), 12);
    assert_int_equal(cost(without, (struct token_counts){.in_audio = 200000, .in_image = 1}), 400002); /* as the tier */
    assert_int_equal(cost(without, (struct token_counts){.in_uncached = 200001, .out_audio = 1}), 400002 + 6);
    assert_int_equal(cost(own, (struct token_counts){.in_audio = 1, .in_image = 1}), 45);
    assert_int_equal(cost(own, (struct token_counts){.out = 1, .out_audio = 1, .out_image = 1, .out_reasoning = 1}),
                     4 + 80 + 30 + 9);
    assert_int_equal(cost(own, (struct token_counts){.in_uncached = 200000, .in_audio = 1}), 400000 + 40);
    own.audio_in = 0; /* free, which is not the same as without */
    assert_int_equal(cost(own, (struct token_counts){.in_audio = 1000}), 0);
}

static void the_worst_case_is_never_below_any_other(void **state)
{
    uint64_t seed = UINT64_C(0x2545f4914f6cdd1d);
    size_t i, same = 0;

    (void)state;
    for (i = 0; i < ROUNDS; i++) {
        struct token_prices p = pick_prices(&seed, i % 2 == 0);
        struct token_counts t = pick_counts(&seed);
        uint64_t in = t.in_uncached + t.in_cached + t.in_write_short + t.in_write_long + t.in_audio + t.in_image;
        uint64_t out = t.out + t.out_reasoning + t.out_audio + t.out_image;
        int64_t nano = -7, most = -7;

        if (money_cost_most(&p, in, out, &most, NULL) != ST_OK)
            continue;
        assert_int_equal(money_cost(&p, &t, &nano, NULL), ST_OK);
        assert_true(nano <= most);
        same += nano == most;
    }
    assert_true(same > 100 && same < ROUNDS / 2);
}

static void the_worst_case_is_the_dearest_class(void **state)
{
    struct token_prices p = {1000, 100, 1250, 2000, 4000, 200000, 2000, 200, 2500, 1500, 6000, MONEY_NO_SPECIAL};
    int64_t nano = 5;

    (void)state;
    assert_int_equal(cost_most(p, 10, 10), 20 + 40);
    assert_int_equal(cost_most(p, 200001, 1), 500003 + 6); /* 500002.5 + 6, rounded once */
    p.audio_in = 9000;
    p.reasoning = 7000;
    assert_int_equal(cost_most(p, 10, 10), 90 + 70);
    p.image_in = 10000;
    p.audio_out = 8000;
    assert_int_equal(cost_most(p, 10, 10), 100 + 80);
    p.image_out = 9000;
    assert_int_equal(cost_most(p, 10, 10), 100 + 90);
    assert_int_equal(money_cost_most(&p, MONEY_TOKENS_MAX + 1, 0, &nano, NULL), ST_BAD_REQUEST);
    assert_int_equal(money_cost_most(&p, 0, UINT64_MAX, &nano, NULL), ST_BAD_REQUEST);
    p.reasoning = -2;
    assert_int_equal(money_cost_most(&p, 0, 0, &nano, NULL), ST_BAD_REQUEST);
    assert_int_equal(nano, 5);
}

static void what_is_out_of_bounds_is_refused(void **state)
{
    const struct token_prices good = {1, 1, 1, 1, 1, 0, -1, -1, -1, -1, -1, MONEY_NO_SPECIAL};
    const struct token_prices most = {MONEY_PICO_MAX,  -1, -1, -1, MONEY_PICO_MAX, 0, -1, -1, -1, -1, -1,
                                      MONEY_NO_SPECIAL};
    struct err err = {0};
    int64_t nano = 5;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(good) / sizeof(int64_t); i++) {
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
    for (i = 0; i < sizeof(struct token_counts) / sizeof(uint64_t); i++) {
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

/* --- classes ---------------------------------------------------------------------------------------------------------
 */

static uint64_t in_all(const struct token_counts *t)
{
    return t->in_uncached + t->in_cached + t->in_write_short + t->in_write_long + t->in_audio + t->in_image;
}

static void parts_are_taken_from_their_whole(void **state)
{
    struct token_counts t = money_split(&(struct token_report){.in = 1000,
                                                               .in_cached = 400,
                                                               .in_write_short = 50,
                                                               .in_write_long = 30,
                                                               .in_audio = 200,
                                                               .in_image = 20,
                                                               .out = 500,
                                                               .out_reasoning = 100,
                                                               .out_audio = 300,
                                                               .out_image = 40});

    (void)state;
    assert_int_equal(t.in_uncached, 300);
    assert_int_equal(in_all(&t), 1000);
    assert_int_equal(t.out, 60);
    t = money_split(&(struct token_report){.in = 7, .in_cached = 7, .out = 9, .out_reasoning = 9});
    assert_int_equal(t.in_uncached, 0);
    assert_int_equal(t.out, 0);
    t = money_split(&(struct token_report){0});
    assert_int_equal(in_all(&t) + t.out, 0);
}

static void parts_that_are_more_than_their_whole_never_make_it_cheaper(void **state)
{
    struct token_counts t;

    (void)state;
    /* counted beside the prompt, as some do: both are billed */
    t = money_split(&(struct token_report){.in = 10, .in_cached = 1000, .out = 9, .out_reasoning = 500});
    assert_int_equal(t.in_uncached, 10);
    assert_int_equal(t.in_cached, 1000);
    assert_int_equal(t.out, 9);
    assert_int_equal(t.out_reasoning, 500);
    t = money_split(&(struct token_report){.in = 600, .in_cached = 500, .in_write_short = 101});
    assert_int_equal(t.in_uncached, 600);
    t = money_split(&(struct token_report){.in = 600, .in_audio = 500, .in_image = 101});
    assert_int_equal(t.in_uncached, 600);
    /* audio that came from a cache is in both */
    t = money_split(&(struct token_report){.in = 100, .in_cached = 80, .in_audio = 50});
    assert_int_equal(t.in_uncached, 0);
    assert_int_equal(t.in_cached + t.in_audio, 130);
}

static void absurd_reports_are_refused_and_never_wrap(void **state)
{
    const struct token_prices p = {1, 1, 1, 1, 1, 0, -1, -1, -1, -1, -1, MONEY_NO_SPECIAL};
    size_t i, k, n = sizeof(struct token_report) / sizeof(uint64_t);
    int64_t nano = 5;

    (void)state;
    for (i = 0; i < n; i++)
        for (k = 0; k < n; k++) {
            struct token_report r = {.in = 5, .out = 5};
            struct token_counts t;

            ((uint64_t *)(void *)&r)[i] = UINT64_MAX;
            ((uint64_t *)(void *)&r)[k] = UINT64_MAX - (i != k);
            t = money_split(&r);
            if (i == k) {
                assert_int_equal(money_cost(&p, &t, &nano, NULL), ST_BAD_REQUEST);
                assert_int_equal(nano, 5);
            }
            /* two such: whole and part may cancel, but what stays is never small */
            assert_true(money_cost(&p, &t, &nano, NULL) == ST_BAD_REQUEST);
        }
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

static const char *const not_token_prices[] = {"",
                                               "-",
                                               "-1e-6",
                                               "1e-13",
                                               "1.5e-12",
                                               "1.0000000000001",
                                               "1.01",
                                               "2",
                                               "1e1",
                                               "1e999999999999",
                                               "1e-999999999999",
                                               ".5",
                                               "5.",
                                               "1e",
                                               "1e+",
                                               "01",
                                               "00",
                                               "+1",
                                               "1 ",
                                               " 1",
                                               "0x1",
                                               "nan",
                                               "Infinity",
                                               "1e-7x",
                                               "1.5.2",
                                               "1e-7e1",
                                               "null",
                                               "3.0000000000000004e-07",
                                               "123456789012345678901234567890e-30"};

static void prices_per_token_are_read_by_their_digits(void **state)
{
    static const struct {
        const char *text;
        int64_t pico;
    } good[] = {{"0", 0},
                {"-0", 0},
                {"0.0", 0},
                {"0e-7", 0},
                {"0.000e+99", 0},
                {"1.5e-07", 150000},
                {"1.5E-7", 150000},
                {"0.00000015", 150000},
                {"2.5e-06", 2500000},
                {"3e-06", 3000000},
                {"1e-12", 1},
                {"0.000000000001", 1},
                {"0.0000000000010000000000000000000000000000000000000000000", 1},
                {"10000000000000000000000000000000e-43", 1},
                {"1.25e-05", 12500000},
                {"7.5e-08", 75000},
                {"1", MONEY_PICO_MAX},
                {"0.999999999999", MONEY_PICO_MAX - 1},
                {"0.1e1", MONEY_PICO_MAX},
                {"1000e-3", MONEY_PICO_MAX}};
    struct err err = {0};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        int64_t pico = -99;

        if (money_parse_token_price(slice_of(good[i].text), &pico, &err) != ST_OK || pico != good[i].pico)
            fail_msg("%s: %lld, %s", good[i].text, (long long)pico, err.text);
    }
    for (i = 0; i < sizeof(not_token_prices) / sizeof(not_token_prices[0]); i++) {
        int64_t pico = -99;

        if (money_parse_token_price(slice_of(not_token_prices[i]), &pico, &err) != ST_BAD_REQUEST || pico != -99)
            fail_msg("'%s' was read as %lld", not_token_prices[i], (long long)pico);
    }
    assert_int_equal(money_parse_token_price(slice_of("1.5e-12"), &(int64_t){0}, &err), ST_BAD_REQUEST);
    assert_string_equal(err.text, "'1.5e-12' is not a price in USD per token: it has parts of a pico-USD (1e-12).");
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
        cmocka_unit_test(a_part_of_the_price_is_rounded_once_and_only_a_batch_has_no_tier),
        cmocka_unit_test(tiers_have_their_parts_of_the_price),
        cmocka_unit_test(audio_images_and_reasoning_have_prices_of_their_own),
        cmocka_unit_test(the_worst_case_is_never_below_any_other),
        cmocka_unit_test(the_worst_case_is_the_dearest_class),
        cmocka_unit_test(what_is_out_of_bounds_is_refused),
        cmocka_unit_test(parts_are_taken_from_their_whole),
        cmocka_unit_test(parts_that_are_more_than_their_whole_never_make_it_cheaper),
        cmocka_unit_test(absurd_reports_are_refused_and_never_wrap),
        cmocka_unit_test(amounts_are_read_exactly),
        cmocka_unit_test(prices_are_read_exactly),
        cmocka_unit_test(prices_per_token_are_read_by_their_digits),
        cmocka_unit_test(texts_are_the_shortest),
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(sums_never_wrap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
