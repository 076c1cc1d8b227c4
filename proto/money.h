/*
 * Money: integers only. Prices are pico-USD (1e-12 USD) per token, amounts nano-USD (1e-9 USD) in int64_t; products are
 * summed in 128 bits and rounded once, up, per request. A price of P USD per 1,000,000 tokens is P * 1,000,000
 * pico-USD.
 *
 * Knows nothing of accounts. Every overflow is an error, never a wrap.
 */
#ifndef PROTO_MONEY_H
#define PROTO_MONEY_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/wire.h"

#define MONEY_NANO_PER_USD INT64_C(1000000000)
#define MONEY_PICO_PER_NANO INT64_C(1000)
#define MONEY_NANO_MAX INT64_C(1000000000000000000) /* 1e9 USD: amounts beyond are refused at the door */
#define MONEY_PICO_MAX INT64_C(1000000000000) /* 1 USD per token: a price beyond is a typing error */
#define MONEY_TOKENS_MAX UINT64_C(1000000000) /* tokens of one class in one request */
#define MONEY_TEXT_MAX 32

/* Tokens of one request by class. in_* are disjoint; reasoning is a part of out (billed as output). */
struct token_counts {
    uint64_t in_uncached;
    uint64_t in_cached;
    uint64_t in_write_short;
    uint64_t in_write_long;
    uint64_t out;
};

/* pico-USD per token; a class without a price of its own (-1) is billed as input. tier: when the total input is
 * strictly greater than tier_above_tokens (0 = no tier) the tier_* prices hold for the whole request (contract,
 * section 6.2). */
struct token_prices {
    int64_t input, cached, write_short, write_long, output;
    uint64_t tier_above_tokens;
    int64_t tier_input, tier_cached, tier_write_short, tier_write_long, tier_output;
};

/* The cost in nano-USD, rounded up once. ST_BAD_REQUEST when a count or price is out of bounds. */
enum status money_cost(const struct token_prices *prices, const struct token_counts *tokens, int64_t *ret_nano,
                       struct err *err);

/* Decimal USD ("5", "0.15", "-1.000000001") to nano-USD; at most 9 decimals, no exponent, |value| <= MONEY_NANO_MAX. */
enum status money_parse_usd(struct slice text, int64_t *ret_nano, struct err *err);

/* nano-USD to the shortest exact decimal ("0.000123"). Always succeeds; to has MONEY_TEXT_MAX bytes. */
void money_format_usd(int64_t nano, char to[MONEY_TEXT_MAX]);

/* Decimal USD per 1,000,000 tokens ("0.15") to pico-USD per token; at most 6 decimals, not negative, <= MONEY_PICO_MAX.
 * And back. */
enum status money_parse_price(struct slice text, int64_t *ret_pico, struct err *err);
void money_format_price(int64_t pico, char to[MONEY_TEXT_MAX]);

/* a + b with overflow refused. */
bool money_add(int64_t a, int64_t b, int64_t *ret_sum);

#endif
