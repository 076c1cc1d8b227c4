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
#define MONEY_PERCENT_MAX UINT64_C(1000) /* of a price */
#define MONEY_TEXT_MAX 32

/* What a provider reports of one request (contract, section 6.1): two wholes and parts of them. in includes what was
 * read from or written to a cache, audio and images; out includes reasoning, audio and images. */
struct token_report {
    uint64_t in, in_cached, in_write_short, in_write_long, in_audio, in_image;
    uint64_t out, out_reasoning, out_audio, out_image;
    uint64_t percent; /* so much of the prices; 0 = all of them */
    uint64_t batch; /* 1 = of many requests together */
};

/* The same by class, as it is billed: every class has one price, nothing is in two. in_uncached and out are what is in
 * no other class: fresh text. */
struct token_counts {
    uint64_t in_uncached, in_cached, in_write_short, in_write_long, in_audio, in_image;
    uint64_t out, out_reasoning, out_audio, out_image;
    uint64_t percent, batch;
};

/* pico-USD per token. Of its own price (-1 = none) are billed: what goes into or comes out of a cache, audio, images
 * and reasoning; without one as input or as output. tier: when the total input is strictly greater than
 * tier_above_tokens (0 = no tier) the tier_* prices hold for the whole request (contract, section 6.2). Audio, images
 * and reasoning have no prices of a tier: their own price holds in it, too, and without one they cost the tier's input
 * or output. A batch has no tier: how long each of its prompts was nobody says. */
struct token_prices {
    int64_t input, cached, write_short, write_long, output;
    uint64_t tier_above_tokens;
    int64_t tier_input, tier_cached, tier_write_short, tier_write_long, tier_output;
    int64_t audio_in, image_in, audio_out, image_out, reasoning;
};

/* The last members of a struct token_prices without prices for audio, images and reasoning. */
#define MONEY_NO_SPECIAL -1, -1, -1, -1, -1

/* Parts are taken from their whole; each token is billed once. Where that cannot be, because the parts are more than
 * the whole, the reading is the dearer one, so that a wrong report never costs less than what was used:
 * - A part of one kind (cache: read and both writes; modality: audio and images; output: reasoning, audio, images)
 *   cannot be more than the whole: it was counted beside it. The whole is billed as plain tokens and the parts on top.
 * - Cache and modality together may be more than the input, because audio can come from a cache: such tokens are billed
 *   in both classes.
 * Numbers beyond all bounds come out beyond all bounds (money_cost refuses them), never wrapped. */
struct token_counts money_split(const struct token_report *report);

/* The cost in nano-USD, rounded up once. ST_BAD_REQUEST when a count or price is out of bounds. */
enum status money_cost(const struct token_prices *prices, const struct token_counts *tokens, int64_t *ret_nano,
                       struct err *err);

/* What a request costs at most, whatever classes its tokens turn out to be of: all input at the dearest price of an
 * input class, all output at that of an output class. */
enum status money_cost_most(const struct token_prices *prices, uint64_t in, uint64_t out, int64_t *ret_nano,
                            struct err *err);

/* So many hundredths of an amount of 0 to MONEY_NANO_MAX, rounded up; percent <= MONEY_PERCENT_MAX. Above
 * MONEY_NANO_MAX it is that. */
int64_t money_part(int64_t nano, uint64_t percent);

/* Decimal USD ("5", "0.15", "-1.000000001") to nano-USD; at most 9 decimals, no exponent, |value| <= MONEY_NANO_MAX. */
enum status money_parse_usd(struct slice text, int64_t *ret_nano, struct err *err);

/* nano-USD to the shortest exact decimal ("0.000123"). Always succeeds; to has MONEY_TEXT_MAX bytes. */
void money_format_usd(int64_t nano, char to[MONEY_TEXT_MAX]);

/* Decimal USD per 1,000,000 tokens ("0.15") to pico-USD per token; at most 6 decimals, not negative, <= MONEY_PICO_MAX.
 * And back. */
enum status money_parse_price(struct slice text, int64_t *ret_pico, struct err *err);
void money_format_price(int64_t pico, char to[MONEY_TEXT_MAX]);

/* USD per token as JSON writes numbers ("1.5e-07", "0.0000025", "3E-6") to pico-USD per token: exactly, by its digits.
 * ST_BAD_REQUEST for what is no JSON number, is negative, has parts of a pico-USD or is above MONEY_PICO_MAX. */
enum status money_parse_token_price(struct slice text, int64_t *ret_pico, struct err *err);

/* a + b with overflow refused. */
bool money_add(int64_t a, int64_t b, int64_t *ret_sum);

#endif
