#include "providersvc/cost.h"

#include "proto/limits.h"

#define OR_INPUT(p, tag, member) (WIRE_HAS(p, tag) || (p)->member ? (p)->member : -1)

static struct token_prices prices_of(const struct price *p)
{
    return (struct token_prices){.input = p->input_pico,
                                 .cached = OR_INPUT(p, 5, cached_input_pico),
                                 .write_short = OR_INPUT(p, 6, cache_write_pico),
                                 .write_long = OR_INPUT(p, 7, cache_write_long_pico),
                                 .output = p->output_pico,
                                 .tier_above_tokens = p->tier_above_tokens,
                                 .tier_input = p->tier_input_pico,
                                 .tier_cached = OR_INPUT(p, 15, tier_cached_input_pico),
                                 .tier_write_short = OR_INPUT(p, 16, tier_cache_write_pico),
                                 .tier_write_long = OR_INPUT(p, 17, tier_cache_write_long_pico),
                                 .tier_output = p->tier_output_pico};
}

int64_t cost_nano(const struct price *price, const struct usage *u)
{
    struct token_prices prices = prices_of(price);
    struct token_counts t = {
        .in_cached = u->cached, .in_write_short = u->write, .in_write_long = u->write_long, .out = u->completion};
    uint64_t special = u->cached + u->write + u->write_long;
    int64_t nano = 0;

    t.in_uncached = u->prompt > special ? u->prompt - special : 0;
    return money_cost(&prices, &t, &nano, NULL) == ST_OK ? nano : MONEY_NANO_MAX;
}
