/*
 * What POST /v1/messages/count_tokens says where upstream is not Anthropic: an estimate without a tokenizer (contract,
 * section 6.4). Text by its characters, tools and schemas by their JSON, what each message and the reply cost beside
 * it, constants for images; base64 is never text. Pure.
 */
#ifndef PROVIDERSVC_DIALECTS_MESSAGES_COUNT_H
#define PROVIDERSVC_DIALECTS_MESSAGES_COUNT_H

#include "proto/status.h"
#include "proto/wire.h"

/* body: an Anthropic Messages request, of any bytes; max_tokens need not be there. *ret: 1 to LIMIT_TOKENS.
 * ST_BAD_REQUEST: no JSON object, or err names the member as Anthropic does ("messages.0.content"). ST_NO_MEMORY. */
enum status messages_count_tokens(struct slice body, uint64_t *ret, struct err *err);

#endif
