/*
 * chat_request: what the router must know of a chat completion's JSON, and nothing more: fields it does not know pass
 * unseen. Reads only; the client's bytes are what goes upstream.
 *
 * The estimate of the prompt follows the contract's rule (section 6.4): text by its characters, an image by its kind,
 * never the base64 of one as text. `tokens` is what is billed when upstream gives no usage; `tokens_upper` is what the
 * hold is made from.
 */
#ifndef GATEWAY_CHAT_REQUEST_H
#define GATEWAY_CHAT_REQUEST_H

#include "proto/messages.h"
#include "services/arena.h"

#define CHAT_CHOICES_MAX 128

struct chat_request {
    struct slice model; /* in the arena */
    bool stream;
    bool usage_asked; /* stream_options.include_usage */
    uint64_t output_limit; /* the larger of max_completion_tokens and max_tokens; 0 = none */
    uint64_t choices;
    uint64_t tokens, tokens_upper; /* of the prompt */
};

/* ST_BAD_REQUEST with code and param as OpenAI gives them. */
enum status chat_request_read(struct slice body, struct arena *a, struct chat_request *ret, struct err *err);

#endif
