/*
 * tariff: what messages say of prices and tokens, as the numbers that money.h multiplies. The one place that knows
 * which member of a message is which class, so that admission, the running call, the response headers and the bill
 * agree. Pure.
 */
#ifndef PROTO_TARIFF_H
#define PROTO_TARIFF_H

#include "proto/messages.h"
#include "proto/money.h"

/* A price that is absent is -1: there is none of its own. Absent = its bit is not set and it is zero. */
struct token_prices tariff_prices(const struct price *price);

/* What OpenAI's service tier of this name costs, in percent of the prices: flex half, priority and fast twice as much,
 * ultrafast three times as much, any other 100 (contract, section 6.2; https://openai.com/api-priority-processing/). */
uint64_t service_tier_percent(struct slice tier);
/* The same of Anthropic's `speed` and `inference_geo`: the fast mode twice as much, inference in the United States
 * alone a tenth more, both together 220, any other 100 (contract, section 6.2). */
uint64_t premium_percent(struct slice speed, struct slice geo);

struct token_counts tariff_event(const struct usage_event *event);
struct token_counts tariff_answer(const struct completion_rep *answer);

#endif
