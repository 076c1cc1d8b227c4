#include "providersvc/cost.h"

#include "proto/limits.h"
#include "proto/tariff.h"

void usage_put(const struct usage *u, struct completion_rep *to)
{
    to->prompt_tokens = u->prompt;
    to->cached_tokens = u->cached;
    to->cache_write_tokens = u->write;
    to->cache_write_long_tokens = u->write_long;
    to->completion_tokens = u->completion;
    to->reasoning_tokens = u->reasoning;
    to->audio_input_tokens = u->audio_in;
    to->audio_output_tokens = u->audio_out;
    to->image_input_tokens = u->image_in;
    to->image_output_tokens = u->image_out;
}

int64_t cost_nano(const struct price *price, const struct usage *u)
{
    struct token_prices prices = tariff_prices(price);
    struct completion_rep used = {0};
    struct token_counts tokens;
    int64_t nano = 0;

    usage_put(u, &used);
    tokens = tariff_answer(&used);
    return money_cost(&prices, &tokens, &nano, NULL) == ST_OK ? nano : MONEY_NANO_MAX;
}
