#include "proto/money.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

__extension__ typedef unsigned __int128 money_wide;

#define USD_DECIMALS 9 /* of a nano-dollar */
#define PRICE_DECIMALS 6 /* USD per 1,000,000 tokens, in pico-USD per token */
#define TOKEN_PRICE_DECIMALS 12 /* USD per token, in pico-USD */
#define EXPONENT_MAX 100000 /* beyond it digits of an exponent change nothing */

/* --- cost ------------------------------------------------------------------------------------------------------------
 */

struct rates {
    int64_t input, cached, write_short, write_long, audio_in, image_in;
    int64_t output, reasoning, audio_out, image_out;
};

static int64_t own_or(int64_t own, int64_t otherwise)
{
    return own >= 0 ? own : otherwise;
}

/* In a tier a class without a price of the tier is billed as the tier's input, or as below the tier if that has none.
 */
static void apply_tier(const struct token_prices *p, struct rates *r)
{
    r->cached = own_or(p->tier_cached, own_or(p->tier_input, r->cached));
    r->write_short = own_or(p->tier_write_short, own_or(p->tier_input, r->write_short));
    r->write_long = own_or(p->tier_write_long, own_or(p->tier_input, r->write_long));
    r->input = own_or(p->tier_input, r->input);
    r->output = own_or(p->tier_output, r->output);
}

static struct rates rates_for(const struct token_prices *p, uint64_t input_tokens)
{
    struct rates r = {.input = p->input,
                      .cached = own_or(p->cached, p->input),
                      .write_short = own_or(p->write_short, p->input),
                      .write_long = own_or(p->write_long, p->input),
                      .output = p->output};

    if (p->tier_above_tokens != 0 && input_tokens > p->tier_above_tokens)
        apply_tier(p, &r);
    r.audio_in = own_or(p->audio_in, r.input);
    r.image_in = own_or(p->image_in, r.input);
    r.reasoning = own_or(p->reasoning, r.output);
    r.audio_out = own_or(p->audio_out, r.output);
    r.image_out = own_or(p->image_out, r.output);
    return r;
}

static unsigned price_ok(int64_t pico, int64_t lowest)
{
    return pico >= lowest && pico <= MONEY_PICO_MAX;
}

/* Without branches: this runs for every call, and all of them are nearly always well. */
static bool prices_ok(const struct token_prices *p)
{
    const int64_t optional[] = {p->cached,           p->write_short,     p->write_long,  p->tier_input, p->tier_cached,
                                p->tier_write_short, p->tier_write_long, p->tier_output, p->audio_in,   p->image_in,
                                p->audio_out,        p->image_out,       p->reasoning};
    unsigned ok = price_ok(p->input, 0) & price_ok(p->output, 0);
    size_t i;

    for (i = 0; i < sizeof(optional) / sizeof(optional[0]); i++)
        ok &= price_ok(optional[i], -1);
    return ok != 0;
}

static bool tokens_ok(const struct token_counts *t)
{
    const uint64_t counts[] = {t->in_uncached, t->in_cached, t->in_write_short, t->in_write_long, t->in_audio,
                               t->in_image,    t->out,       t->out_reasoning,  t->out_audio,     t->out_image};
    bool ok = true;
    size_t i;

    for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
        ok &= counts[i] <= MONEY_TOKENS_MAX;
    return ok && t->percent <= MONEY_PERCENT_MAX && t->batch <= 1;
}

static money_wide product(uint64_t tokens, int64_t pico)
{
    return (money_wide)tokens * (uint64_t)pico;
}

static enum status bad_prices(struct err *err)
{
    return err_set(err, ST_BAD_REQUEST, "A price is not between 0 and %" PRId64 " pico-USD per token.", MONEY_PICO_MAX);
}

static enum status bad_tokens(struct err *err)
{
    return err_set(err, ST_BAD_REQUEST, "A token count is above %" PRIu64 ".", MONEY_TOKENS_MAX);
}

static enum status too_dear(struct err *err)
{
    return err_set(err, ST_BAD_REQUEST, "The cost is above %" PRId64 " USD.", MONEY_NANO_MAX / MONEY_NANO_PER_USD);
}

/* A part of the product, which the one rounding then takes, too. */
static enum status part_to_nano(money_wide pico, uint64_t percent, int64_t *ret_nano, struct err *err)
{
    const uint64_t part = (uint64_t)MONEY_PICO_PER_NANO * 100;
    money_wide nano = (pico * percent + (part - 1)) / part;

    if (nano > (money_wide)MONEY_NANO_MAX)
        return too_dear(err);
    *ret_nano = (int64_t)nano;
    return ST_OK;
}

/* The one rounding: up. */
static enum status to_nano(money_wide pico, int64_t *ret_nano, struct err *err)
{
    uint64_t low = (uint64_t)pico;

    if (pico > (money_wide)MONEY_NANO_MAX * (uint64_t)MONEY_PICO_PER_NANO)
        return too_dear(err);
    if (low == pico) /* nearly always: the division of 128 bits takes longer than all the rest */
        *ret_nano = (int64_t)(low / (uint64_t)MONEY_PICO_PER_NANO + (low % (uint64_t)MONEY_PICO_PER_NANO != 0));
    else
        *ret_nano = (int64_t)((pico + (MONEY_PICO_PER_NANO - 1)) / MONEY_PICO_PER_NANO);
    return ST_OK;
}

enum status money_cost(const struct token_prices *prices, const struct token_counts *tokens, int64_t *ret_nano,
                       struct err *err)
{
    const struct token_counts *t = tokens;
    uint64_t prompt = t->in_uncached + t->in_cached + t->in_write_short + t->in_write_long + t->in_audio + t->in_image;
    money_wide pico;
    struct rates r;

    if (!prices_ok(prices))
        return bad_prices(err);
    if (!tokens_ok(t))
        return bad_tokens(err);
    r = rates_for(prices, t->batch ? 0 : prompt);
    pico = product(t->in_uncached, r.input) + product(t->in_cached, r.cached) +
           product(t->in_write_short, r.write_short) + product(t->in_write_long, r.write_long) +
           product(t->in_audio, r.audio_in) + product(t->in_image, r.image_in) + product(t->out, r.output) +
           product(t->out_reasoning, r.reasoning) + product(t->out_audio, r.audio_out) +
           product(t->out_image, r.image_out);
    if (t->percent)
        return part_to_nano(pico, t->percent, ret_nano, err);
    return to_nano(pico, ret_nano, err);
}

static int64_t dearer(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

enum status money_cost_most(const struct token_prices *prices, uint64_t in, uint64_t out, int64_t *ret_nano,
                            struct err *err)
{
    int64_t most_in, most_out;
    struct rates r;

    if (!prices_ok(prices))
        return bad_prices(err);
    if (in > MONEY_TOKENS_MAX || out > MONEY_TOKENS_MAX)
        return bad_tokens(err);
    r = rates_for(prices, in);
    most_in =
        dearer(dearer(dearer(r.input, r.cached), dearer(r.write_short, r.write_long)), dearer(r.audio_in, r.image_in));
    most_out = dearer(dearer(r.output, r.reasoning), dearer(r.audio_out, r.image_out));
    return to_nano(product(in, most_in) + product(out, most_out), ret_nano, err);
}

/* --- classes ---------------------------------------------------------------------------------------------------------
 */

static uint64_t sum(uint64_t a, uint64_t b)
{
    uint64_t s;

    return __builtin_add_overflow(a, b, &s) ? UINT64_MAX : s;
}

static uint64_t rest_of(uint64_t whole, uint64_t parts)
{
    return whole > parts ? whole - parts : 0;
}

struct token_counts money_split(const struct token_report *r)
{
    uint64_t cache = sum(sum(r->in_cached, r->in_write_short), r->in_write_long);
    uint64_t modality = sum(r->in_audio, r->in_image);
    uint64_t special = sum(sum(r->out_reasoning, r->out_audio), r->out_image);
    bool in_beside = cache > r->in || modality > r->in, out_beside = special > r->out;

    return (struct token_counts){
        .in_uncached = in_beside ? r->in : rest_of(r->in, sum(cache, modality)),
        .in_cached = r->in_cached,
        .in_write_short = r->in_write_short,
        .in_write_long = r->in_write_long,
        .in_audio = r->in_audio,
        .in_image = r->in_image,
        .out = out_beside ? r->out : rest_of(r->out, special),
        .out_reasoning = r->out_reasoning,
        .out_audio = r->out_audio,
        .out_image = r->out_image,
        .percent = r->percent,
        .batch = r->batch,
    };
}

int64_t money_part(int64_t nano, uint64_t percent)
{
    money_wide part = ((money_wide)nano * percent + 99) / 100;

    return part < (money_wide)MONEY_NANO_MAX ? (int64_t)part : MONEY_NANO_MAX;
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

/* A JSON number in parts: digits * 10^exponent. Zeros at the end of the digits are moved to the exponent, so what is
 * left of them fits 64 bits whenever the price does. */
struct scientific {
    uint64_t digits;
    int64_t exponent;
    bool minus, too_long; /* more digits than fit */
};

/* Takes digits until something else comes; false when there are none. Of zeros at the end only the number is kept until
 * another digit follows. */
static bool take_digits(struct slice text, size_t *at, bool after_point, struct scientific *s, uint64_t *zeros)
{
    size_t began = *at;

    for (; *at < text.n && is_digit(text.p[*at]); ++*at) {
        s->exponent -= after_point;
        if (text.p[*at] == '0') {
            ++*zeros;
            continue;
        }
        for (; *zeros > 0 && s->digits > 0; --*zeros)
            if (!add_digit(&s->digits, '0', UINT64_MAX))
                s->too_long = true;
        *zeros = 0;
        if (!add_digit(&s->digits, text.p[*at], UINT64_MAX))
            s->too_long = true;
    }
    return *at > began;
}

static bool take_exponent(struct slice text, size_t *at, struct scientific *s)
{
    size_t began;
    int64_t v = 0;
    bool minus;

    ++*at; /* the e */
    minus = *at < text.n && text.p[*at] == '-';
    if (*at < text.n && (text.p[*at] == '-' || text.p[*at] == '+'))
        ++*at;
    for (began = *at; *at < text.n && is_digit(text.p[*at]); ++*at)
        v = v < EXPONENT_MAX ? v * 10 + (text.p[*at] - '0') : v;
    s->exponent += minus ? -v : v;
    return *at > began;
}

/* RFC 8259's number and nothing else; false for any other text. */
static bool parse_scientific(struct slice text, struct scientific *s)
{
    uint64_t zeros = 0;
    size_t i = 0, first;

    *s = (struct scientific){.minus = text.n > 0 && text.p[0] == '-'};
    i = s->minus ? 1 : 0;
    first = i;
    if (!take_digits(text, &i, false, s, &zeros) || (text.p[first] == '0' && i > first + 1))
        return false;
    if (i < text.n && text.p[i] == '.') {
        i++;
        if (!take_digits(text, &i, true, s, &zeros))
            return false;
    }
    s->exponent += (int64_t)zeros;
    if (i < text.n && (text.p[i] == 'e' || text.p[i] == 'E') && !take_exponent(text, &i, s))
        return false;
    return i == text.n;
}

/* Says why not in a few words, NULL = done. */
static const char *scale_to_pico(const struct scientific *s, uint64_t *ret)
{
    int64_t power = s->exponent + TOKEN_PRICE_DECIMALS;
    uint64_t v = s->digits;

    *ret = 0;
    if (v == 0 && !s->too_long)
        return NULL;
    if (s->minus)
        return "it is negative";
    if (power < 0) /* the last digit is none of the zeros, so it would be cut off */
        return "it has parts of a pico-USD (1e-12)";
    for (; power > 0 && v <= (uint64_t)MONEY_PICO_MAX; power--)
        v *= 10;
    if (s->too_long || v > (uint64_t)MONEY_PICO_MAX)
        return "it is above 1 USD";
    *ret = v;
    return NULL;
}

enum status money_parse_token_price(struct slice text, int64_t *ret_pico, struct err *err)
{
    const char *why = "it is not a number";
    struct scientific s;
    uint64_t v = 0;

    if (parse_scientific(text, &s))
        why = scale_to_pico(&s, &v);
    if (why)
        return err_set(err, ST_BAD_REQUEST, "'%.*s' is not a price in USD per token: %s.", shown(text),
                       text.n > 0 ? text.p : "", why);
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
