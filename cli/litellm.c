#include "cli/litellm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/money.h"

const char *const litellm_members[COSTS] = {
    "input",       "output",       "cached_input",      "cache_write",      "cache_write_long",
    "audio_input", "audio_output", "image_input",       "image_output",     "reasoning",
    "tier_input",  "tier_output",  "tier_cached_input", "tier_cache_write", "tier_cache_write_long",
};

struct cost_field {
    const char *name;
    enum litellm_cost cost;
    int in_tier; /* the same above a tier's threshold; -1 = the router has no such price */
};

static const struct cost_field fields[] = {
    {"input_cost_per_token", COST_INPUT, COST_TIER_INPUT},
    {"output_cost_per_token", COST_OUTPUT, COST_TIER_OUTPUT},
    {"cache_read_input_token_cost", COST_CACHED_INPUT, COST_TIER_CACHED_INPUT},
    {"input_cost_per_token_cache_hit", COST_CACHED_INPUT, COST_TIER_CACHED_INPUT},
    {"cache_creation_input_token_cost", COST_CACHE_WRITE, COST_TIER_CACHE_WRITE},
    {"cache_creation_input_token_cost_above_1hr", COST_CACHE_WRITE_LONG, COST_TIER_CACHE_WRITE_LONG},
    {"input_cost_per_audio_token", COST_AUDIO_INPUT, -1},
    {"output_cost_per_audio_token", COST_AUDIO_OUTPUT, -1},
    {"input_cost_per_image_token", COST_IMAGE_INPUT, -1},
    {"output_cost_per_image_token", COST_IMAGE_OUTPUT, -1},
    {"output_cost_per_reasoning_token", COST_REASONING, -1},
};

/* Costs of ways to call a model that the router does not use, and of audio from a cache, which is billed in both of its
 * classes. */
static const char *const other_ways[] = {"_batches", "_batch", "_priority", "_flex"};
static const char *const covered[] = {"cache_read_input_audio_token_cost", "cache_creation_input_audio_token_cost"};

static const struct {
    const char *part, *unit;
} units[] = {
    {"per_second", "per second"},   {"per_image", "per image"},     {"per_character", "per character"},
    {"per_query", "per query"},     {"per_pixel", "per pixel"},     {"per_page", "per page"},
    {"per_session", "per session"}, {"per_request", "per request"}, {"per_video", "per video"},
    {"_per_1k_calls", "per call"},  {"per_gb", "per gigabyte"},     {"tiered_pricing", "in steps"},
};

#define N(list) (sizeof(list) / sizeof((list)[0]))

static bool fail(struct litellm_entry *e, const char *field, const char *text)
{
    snprintf(e->why, sizeof(e->why), "%.80s: %.150s", field, text);
    return false;
}

/* ---- numbers ------------------------------------------------------------------------------------------------------
 */

static struct slice raw_of(yyjson_val *v)
{
    return (struct slice){yyjson_get_raw(v), yyjson_get_len(v)};
}

/* Nothing, null, zero, and whatever holds only such. */
static bool is_nothing(yyjson_val *v)
{
    yyjson_val *key, *item;
    int64_t pico = 1;
    size_t i, n;

    if (yyjson_is_raw(v))
        return money_parse_token_price(raw_of(v), &pico, NULL) == ST_OK && pico == 0;
    if (yyjson_is_arr(v))
        return yyjson_arr_size(v) == 0;
    yyjson_obj_foreach(v, i, n, key, item)
    {
        if (!yyjson_is_null(item) && !yyjson_is_raw(item))
            return false;
        if (!is_nothing(item))
            return false;
    }
    return v == NULL || yyjson_is_null(v) || yyjson_is_obj(v);
}

static uint64_t tokens_of(yyjson_val *v)
{
    char text[16], *end = NULL;
    unsigned long long n;

    if (!yyjson_is_raw(v) || !slice_copy(raw_of(v), text, sizeof(text)) || text[0] == '-')
        return 0;
    n = strtoull(text, &end, 10);
    return *end == '\0' && n <= LIMIT_TOKENS ? n : 0;
}

static bool take(struct litellm_entry *e, enum litellm_cost cost, const char *field, yyjson_val *v)
{
    struct err err = {0};

    if (!yyjson_is_raw(v))
        return fail(e, field, "it is not a number");
    if (money_parse_token_price(raw_of(v), &e->pico[cost], &err) != ST_OK)
        return fail(e, field, err.text);
    e->has[cost] = true;
    return true;
}

/* ---- names --------------------------------------------------------------------------------------------------------
 */

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), k = strlen(end);

    return n > k && strcmp(name + n - k, end) == 0;
}

static bool is_cost(const char *name)
{
    return strstr(name, "cost") || strstr(name, "pricing") || strstr(name, "price");
}

static bool is_left_aside(const char *name)
{
    size_t i;

    for (i = 0; i < N(other_ways); i++)
        if (ends_with(name, other_ways[i]))
            return true;
    for (i = 0; i < N(covered); i++)
        if (strcmp(name, covered[i]) == 0)
            return true;
    return false;
}

/* "input_cost_per_token_above_200k_tokens": *ret_n is the length of what stands before, the threshold is returned; 0
 * for any other name. */
static uint64_t threshold_of(const char *name, size_t *ret_n)
{
    const char *at = name, *found = NULL;
    char *end = NULL;
    unsigned long long k;

    while ((at = strstr(at, "_above_")) != NULL) {
        found = at;
        at += strlen("_above_");
    }
    if (!found)
        return 0;
    at = found + strlen("_above_");
    k = *at >= '1' && *at <= '9' ? strtoull(at, &end, 10) : 0;
    if (k == 0 || k > LIMIT_TOKENS / 1000 || strcmp(end, "k_tokens") != 0)
        return 0;
    *ret_n = (size_t)(found - name);
    return k * 1000;
}

static const struct cost_field *find(const char *name, size_t n)
{
    size_t i;

    for (i = 0; i < N(fields); i++)
        if (strlen(fields[i].name) == n && strncmp(fields[i].name, name, n) == 0)
            return &fields[i];
    return NULL;
}

static bool no_unit(struct litellm_entry *e, const char *name)
{
    char text[64];
    size_t i;

    for (i = 0; i < N(units); i++)
        if (strstr(name, units[i].part)) {
            snprintf(text, sizeof(text), "priced %s", units[i].unit);
            return fail(e, name, text);
        }
    return fail(e, name, "a cost that the router has no unit for");
}

static bool read_cost(struct litellm_entry *e, const char *name, yyjson_val *v)
{
    size_t n = strlen(name);
    uint64_t above = threshold_of(name, &n);
    const struct cost_field *f = find(name, n);

    if (!f)
        return no_unit(e, name);
    if (above == 0)
        return take(e, f->cost, name, v);
    if (f->in_tier < 0)
        return fail(e, name, "the router has no price of a tier for this");
    if (e->tier_above_tokens != 0 && e->tier_above_tokens != above)
        return fail(e, name, "more than one tier");
    e->tier_above_tokens = above;
    return take(e, (enum litellm_cost)f->in_tier, name, v);
}

/* ---- the whole ----------------------------------------------------------------------------------------------------
 */

/* What the file leaves out above the threshold costs there what it costs below. */
static void complete_tier(struct litellm_entry *e)
{
    size_t i;

    for (i = 0; i < N(fields) && e->tier_above_tokens != 0; i++) {
        const struct cost_field *f = &fields[i];

        if (f->in_tier < 0 || e->has[f->in_tier] || !e->has[f->cost])
            continue;
        e->has[f->in_tier] = true;
        e->pico[f->in_tier] = e->pico[f->cost];
    }
}

static bool answers_nothing(const char *mode)
{
    return mode && (!strcmp(mode, "embedding") || !strcmp(mode, "rerank") || !strcmp(mode, "moderation"));
}

static bool finish(struct litellm_entry *e)
{
    if (!e->has[COST_INPUT])
        return fail(e, "input_cost_per_token", "missing");
    if (!e->has[COST_OUTPUT] && !answers_nothing(e->mode))
        return fail(e, "output_cost_per_token", "missing");
    e->has[COST_OUTPUT] = true;
    complete_tier(e);
    return true;
}

static bool name_ok(yyjson_val *name)
{
    const char *text = yyjson_get_str(name);
    size_t i, n = yyjson_get_len(name);

    for (i = 0; i < n; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return false;
    return n > 0 && n <= LIMIT_MODEL;
}

static const char *word_of(yyjson_val *v)
{
    size_t n = yyjson_get_len(v);

    return yyjson_is_str(v) && n > 0 && n <= LIMIT_NAME && strlen(yyjson_get_str(v)) == n ? yyjson_get_str(v) : NULL;
}

bool litellm_read(yyjson_val *name, yyjson_val *entry, struct litellm_entry *ret)
{
    yyjson_val *key, *v;
    size_t i, n;

    memset(ret, 0, sizeof(*ret));
    if (!name_ok(name))
        return fail(ret, "name", "it is empty, too long or has control characters");
    if (!yyjson_is_obj(entry))
        return fail(ret, "entry", "it is not an object");
    ret->provider = word_of(yyjson_obj_get(entry, "litellm_provider"));
    ret->mode = word_of(yyjson_obj_get(entry, "mode"));
    ret->context_window = tokens_of(yyjson_obj_get(entry, "max_input_tokens"));
    ret->max_output = tokens_of(yyjson_obj_get(entry, "max_output_tokens"));
    if (ret->max_output == 0) /* the name of old for it */
        ret->max_output = tokens_of(yyjson_obj_get(entry, "max_tokens"));
    yyjson_obj_foreach(entry, i, n, key, v)
    {
        const char *field = yyjson_get_str(key);

        if (!is_cost(field) || is_left_aside(field) || yyjson_is_null(v))
            continue;
        if (!find(field, strlen(field)) && threshold_of(field, &(size_t){0}) == 0 && is_nothing(v))
            continue;
        if (!read_cost(ret, field, v))
            return false;
    }
    return finish(ret);
}
