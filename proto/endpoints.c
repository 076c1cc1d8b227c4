#include "proto/endpoints.h"

static const struct limit {
    const char *endpoint, *member;
} limits[] = {
    {ENDPOINT_CHAT, NULL},
    {ENDPOINT_COMPLETIONS, "max_tokens"},
    {ENDPOINT_RESPONSES, "max_output_tokens"},
    {ENDPOINT_MESSAGES, "max_tokens"},
};

static const struct limit *limit_of(struct slice endpoint)
{
    size_t i;

    for (i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
        if (slice_is(endpoint, limits[i].endpoint))
            return &limits[i];
    return NULL;
}

bool endpoint_bears_limit(struct slice endpoint)
{
    return limit_of(endpoint) != NULL;
}

const char *endpoint_limit_member(struct slice endpoint)
{
    const struct limit *limit = limit_of(endpoint);

    return limit ? limit->member : "";
}
