/*
 * litellm: one entry of a price file in the format of LiteLLM's model_prices_and_context_window.json, read into the
 * prices that the router can bill. Costs are taken from their decimal digits, never by way of floating point, so the
 * file must have been parsed with YYJSON_READ_NUMBER_AS_RAW.
 *
 * All or nothing: an entry that has a cost which cannot be billed (per second, per image, per character, per query,
 * more than one tier, parts of a pico-USD) is not read at all, because a price that leaves something out bills too
 * little. Left aside are costs of other ways to call a model, which the router does not use: batches, priority, flex.
 */
#ifndef CLI_LITELLM_H
#define CLI_LITELLM_H

#include <stdbool.h>
#include <stdint.h>

#include <yyjson.h>

#include "proto/limits.h"

#define LITELLM_WHY_MAX 256
#define LITELLM_SAMPLE "sample_spec" /* the entry that explains the format */

enum litellm_cost {
    COST_INPUT,
    COST_OUTPUT,
    COST_CACHED_INPUT,
    COST_CACHE_WRITE,
    COST_CACHE_WRITE_LONG,
    COST_AUDIO_INPUT,
    COST_AUDIO_OUTPUT,
    COST_IMAGE_INPUT,
    COST_IMAGE_OUTPUT,
    COST_REASONING,
    COST_TIER_INPUT,
    COST_TIER_OUTPUT,
    COST_TIER_CACHED_INPUT,
    COST_TIER_CACHE_WRITE,
    COST_TIER_CACHE_WRITE_LONG,
    COSTS
};

extern const char *const litellm_members[COSTS]; /* of a price of the router's API: "input", "cached_input" … */

struct litellm_entry {
    bool has[COSTS];
    int64_t pico[COSTS]; /* per token */
    uint64_t tier_above_tokens; /* 0 = no tier */
    uint64_t context_window, max_output; /* 0 = not said */
    const char *provider, *mode; /* NULL = not said; they live in the document */
    char why[LITELLM_WHY_MAX]; /* why not */
};

/* false: it cannot be billed, why says so in a line. */
bool litellm_read(yyjson_val *name, yyjson_val *entry, struct litellm_entry *ret);

#endif
