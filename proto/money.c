#include "proto/money.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

__extension__ typedef unsigned __int128 money_wide;

#define USD_DECIMALS 9 /* of a nano-dollar */
#define PRICE_DECIMALS 6 /* USD per 1,000,000 tokens, in pico-USD per token */

/* --- cost ------------------------------------------------------------------------------------------------------------
 */

struct rates {
    int64_t input, cached, write_short, write_long, output;
};

static int64_t own_or(int64_t own, int64_t otherwise)
{
    return own >= 0 ? own : otherwise;
}

/* A class without a price of its own is billed as input; in a tier, as the tier's input, or as below the tier if that
 * has none. */
static struct rates rates_for(const struct token_prices *p, uint64_t input_tokens)
{
    struct rates r = {p->input, own_or(p->cached, p->input), own_or(p->write_short, p->input),
                      own_or(p->write_long, p->input), p->output};

    if (p->tier_above_tokens == 0 || input_tokens <= p->tier_above_tokens)
        return r;
    return (struct rates){
        .input = own_or(p->tier_input, r.input),
        .cached = own_or(p->tier_cached, own_or(p->tier_input, r.cached)),
        .write_short = own_or(p->tier_write_short, own_or(p->tier_input, r.write_short)),
        .write_long = own_or(p->tier_write_long, own_or(p->tier_input, r.write_long)),
        .output = own_or(p->tier_output, r.output),
    };
}

static bool price_ok(int64_t pico, int64_t lowest)
{
    return pico >= lowest && pico <= MONEY_PICO_MAX;
}

static bool prices_ok(const struct token_prices *p)
{
    const int64_t optional[] = {p->cached,      p->write_short,      p->write_long,      p->tier_input,
                                p->tier_cached, p->tier_write_short, p->tier_write_long, p->tier_output};
    size_t i;

    for (i = 0; i < sizeof(optional) / sizeof(optional[0]); i++)
        if (!price_ok(optional[i], -1))
            return false;
    return price_ok(p->input, 0) && price_ok(p->output, 0);
}

static bool tokens_ok(const struct token_counts *t)
{
    return t->in_uncached <= MONEY_TOKENS_MAX && t->in_cached <= MONEY_TOKENS_MAX &&
           t->in_write_short <= MONEY_TOKENS_MAX && t->in_write_long <= MONEY_TOKENS_MAX && t->out <= MONEY_TOKENS_MAX;
}

static money_wide product(uint64_t tokens, int64_t pico)
{
    return (money_wide)tokens * (uint64_t)pico;
}

enum status money_cost(const struct token_prices *prices, const struct token_counts *tokens, int64_t *ret_nano,
                       struct err *err)
{
    money_wide pico, nano;
    struct rates r;

    if (!prices_ok(prices))
        return err_set(err, ST_BAD_REQUEST, "A price is not between 0 and %" PRId64 " pico-USD per token.",
                       MONEY_PICO_MAX);
    if (!tokens_ok(tokens))
        return err_set(err, ST_BAD_REQUEST, "A token count is above %" PRIu64 ".", MONEY_TOKENS_MAX);
    r = rates_for(prices, tokens->in_uncached + tokens->in_cached + tokens->in_write_short + tokens->in_write_long);
    pico = product(tokens->in_uncached, r.input) + product(tokens->in_cached, r.cached) +
           product(tokens->in_write_short, r.write_short) + product(tokens->in_write_long, r.write_long) +
           product(tokens->out, r.output);
    nano = (pico + (MONEY_PICO_PER_NANO - 1)) / MONEY_PICO_PER_NANO;
    if (nano > MONEY_NANO_MAX)
        return err_set(err, ST_BAD_REQUEST, "The cost is above %" PRId64 " USD.", MONEY_NANO_MAX / MONEY_NANO_PER_USD);
    *ret_nano = (int64_t)nano;
    return ST_OK;
}

bool money_add(int64_t a, int64_t b, int64_t *ret_sum)
{
    int64_t sum;

    if (__builtin_add_overflow(a, b, &sum))
        return false;
    *ret_sum = sum;
    return true;
}

/* --- text ------------------------------------------------------------------------------------------------------------
 */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Appends a digit to an integer that must not pass max. */
static bool add_digit(uint64_t *v, char c, uint64_t max)
{
    uint64_t digit = (uint64_t)(c - '0');

    if (*v > (max - digit) / 10)
        return false;
    *v = *v * 10 + digit;
    return true;
}

/* "123.45" as an integer with that many decimals. Says why not in a few words, NULL = done. */
static const char *parse_decimal(struct slice text, unsigned decimals, uint64_t max, uint64_t *ret)
{
    size_t i = 0, whole = 0;
    unsigned after = 0;
    uint64_t v = 0;

    for (; i < text.n && is_digit(text.p[i]); i++, whole++)
        if (!add_digit(&v, text.p[i], max))
            return "it is too large";
    if (whole == 0)
        return "it is not a decimal number";
    if (i < text.n && text.p[i] == '.') {
        for (i++; i < text.n && is_digit(text.p[i]); i++, after++) {
            if (after == decimals)
                return "it has too many decimals";
            if (!add_digit(&v, text.p[i], max))
                return "it is too large";
        }
        if (after == 0)
            return "it is not a decimal number";
    }
    if (i < text.n)
        return "it is not a decimal number";
    for (; after < decimals; after++)
        if (!add_digit(&v, '0', max))
            return "it is too large";
    *ret = v;
    return NULL;
}

/* Bounds what a hostile text may take of an error message. */
static int shown(struct slice text)
{
    return text.n < MONEY_TEXT_MAX ? (int)text.n : MONEY_TEXT_MAX;
}

enum status money_parse_usd(struct slice text, int64_t *ret_nano, struct err *err)
{
    bool minus = text.n > 0 && text.p[0] == '-';
    struct slice rest = {minus ? text.p + 1 : text.p, text.n - (minus ? 1 : 0)};
    uint64_t v = 0;
    const char *why = parse_decimal(rest, USD_DECIMALS, (uint64_t)MONEY_NANO_MAX, &v);

    if (why)
        return err_set(err, ST_BAD_REQUEST,
                       "'%.*s' is not an amount in USD: %s. Expected a decimal number such as \"0.25\", at most %d "
                       "decimals, at most %" PRId64 ".",
                       shown(text), text.n > 0 ? text.p : "", why, USD_DECIMALS, MONEY_NANO_MAX / MONEY_NANO_PER_USD);
    *ret_nano = minus ? -(int64_t)v : (int64_t)v;
    return ST_OK;
}

enum status money_parse_price(struct slice text, int64_t *ret_pico, struct err *err)
{
    uint64_t v = 0;
    const char *why = parse_decimal(text, PRICE_DECIMALS, (uint64_t)MONEY_PICO_MAX, &v);

    if (why)
        return err_set(err, ST_BAD_REQUEST,
                       "'%.*s' is not a price in USD per 1,000,000 tokens: %s. Expected a decimal number such as "
                       "\"0.15\", at most %d decimals, from 0 to %" PRId64 ".",
                       shown(text), text.n > 0 ? text.p : "", why, PRICE_DECIMALS, MONEY_PICO_MAX / 1000000);
    *ret_pico = (int64_t)v;
    return ST_OK;
}

/* v / 10^decimals with as few decimals as tell it exactly. */
static void format_decimal(int64_t value, unsigned decimals, uint64_t scale, char to[MONEY_TEXT_MAX])
{
    uint64_t v = value < 0 ? UINT64_C(0) - (uint64_t)value : (uint64_t)value;
    const char *sign = value < 0 ? "-" : "";
    uint64_t part = v % scale;

    if (part == 0) {
        (void)snprintf(to, MONEY_TEXT_MAX, "%s%" PRIu64, sign, v / scale);
        return;
    }
    for (; part % 10 == 0; part /= 10)
        decimals--;
    (void)snprintf(to, MONEY_TEXT_MAX, "%s%" PRIu64 ".%0*" PRIu64, sign, v / scale, (int)decimals, part);
}

void money_format_usd(int64_t nano, char to[MONEY_TEXT_MAX])
{
    format_decimal(nano, USD_DECIMALS, (uint64_t)MONEY_NANO_PER_USD, to);
}

void money_format_price(int64_t pico, char to[MONEY_TEXT_MAX])
{
    format_decimal(pico, PRICE_DECIMALS, 1000000, to);
}
