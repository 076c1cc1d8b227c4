#include "proto/tariff.h"

#include "proto/endpoints.h"

#define FAST_PERCENT 200u
#define GEO_PERCENT 110u

/* Tags of struct price's optional members (proto/fields_parts.h). */
enum {
    TAG_CACHED = 5,
    TAG_WRITE_SHORT = 6,
    TAG_WRITE_LONG = 7,
    TAG_TIER_INPUT = 14,
    TAG_TIER_CACHED = 15,
    TAG_TIER_WRITE_SHORT = 16,
    TAG_TIER_WRITE_LONG = 17,
    TAG_TIER_OUTPUT = 18,
    TAG_AUDIO_IN = 20,
    TAG_AUDIO_OUT = 21,
    TAG_IMAGE_IN = 22,
    TAG_IMAGE_OUT = 23,
    TAG_REASONING = 24,
};

static int64_t own(const struct price *p, unsigned tag, int64_t pico)
{
    return WIRE_HAS(p, tag) || pico != 0 ? pico : -1;
}

struct token_prices tariff_prices(const struct price *p)
{
    return (struct token_prices){
        .input = p->input_pico,
        .cached = own(p, TAG_CACHED, p->cached_input_pico),
        .write_short = own(p, TAG_WRITE_SHORT, p->cache_write_pico),
        .write_long = own(p, TAG_WRITE_LONG, p->cache_write_long_pico),
        .output = p->output_pico,
        .tier_above_tokens = p->tier_above_tokens,
        .tier_input = own(p, TAG_TIER_INPUT, p->tier_input_pico),
        .tier_cached = own(p, TAG_TIER_CACHED, p->tier_cached_input_pico),
        .tier_write_short = own(p, TAG_TIER_WRITE_SHORT, p->tier_cache_write_pico),
        .tier_write_long = own(p, TAG_TIER_WRITE_LONG, p->tier_cache_write_long_pico),
        .tier_output = own(p, TAG_TIER_OUTPUT, p->tier_output_pico),
        .audio_in = own(p, TAG_AUDIO_IN, p->audio_input_pico),
        .image_in = own(p, TAG_IMAGE_IN, p->image_input_pico),
        .audio_out = own(p, TAG_AUDIO_OUT, p->audio_output_pico),
        .image_out = own(p, TAG_IMAGE_OUT, p->image_output_pico),
        .reasoning = own(p, TAG_REASONING, p->reasoning_pico),
    };
}

uint64_t service_tier_percent(struct slice tier)
{
    static const struct {
        const char *name;
        uint64_t percent;
    } tiers[] = {{"flex", 50}, {"priority", 200}, {"fast", 200}, {"ultrafast", 300}};

    for (size_t i = 0; i < sizeof(tiers) / sizeof(tiers[0]); i++)
        if (slice_is(tier, tiers[i].name))
            return tiers[i].percent;
    return 100;
}

uint64_t premium_percent(struct slice speed, struct slice geo)
{
    uint64_t percent = slice_is(speed, "fast") ? FAST_PERCENT : 100;

    return slice_is(geo, "us") ? percent * GEO_PERCENT / 100 : percent;
}

struct token_counts tariff_event(const struct usage_event *e)
{
    return money_split(&(struct token_report){
        .in = e->prompt_tokens,
        .in_cached = e->cached_tokens,
        .in_write_short = e->cache_write_tokens,
        .in_write_long = e->cache_write_long_tokens,
        .in_audio = e->audio_input_tokens,
        .in_image = e->image_input_tokens,
        .out = e->completion_tokens,
        .out_reasoning = e->reasoning_tokens,
        .out_audio = e->audio_output_tokens,
        .out_image = e->image_output_tokens,
        .percent = e->price_percent,
        .batch = slice_is(e->endpoint, ENDPOINT_BATCHES),
    });
}

struct token_counts tariff_answer(const struct completion_rep *a)
{
    return money_split(&(struct token_report){
        .in = a->prompt_tokens,
        .in_cached = a->cached_tokens,
        .in_write_short = a->cache_write_tokens,
        .in_write_long = a->cache_write_long_tokens,
        .in_audio = a->audio_input_tokens,
        .in_image = a->image_input_tokens,
        .out = a->completion_tokens,
        .out_reasoning = a->reasoning_tokens,
        .out_audio = a->audio_output_tokens,
        .out_image = a->image_output_tokens,
        .percent = a->price_percent,
    });
}
