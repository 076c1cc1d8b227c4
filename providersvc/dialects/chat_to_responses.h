/* What the two halves of chat_to_responses share: the request (chat_to_responses.c) and the answers. Private. */
#ifndef PROVIDERSVC_DIALECTS_CHAT_TO_RESPONSES_H
#define PROVIDERSVC_DIALECTS_CHAT_TO_RESPONSES_H

#include "providersvc/dialects/put.h"
#include "providersvc/dialects/reshape.h"

#define BRIDGE_CALLS_MAX 1024 /* tool calls in one answer */
#define BRIDGE_TIER_MAX 32 /* bytes of a service tier's name, closing NUL included */

/* A tool call of the stream. Its place in the array is its index in chat. */
struct bridge_call {
    uint64_t output_index;
    bool custom;
    bool spoken; /* some of its arguments were given */
};

/* The state of one call. */
struct bridge {
    bool role_given; /* the first chunk is out */
    bool thought; /* some reasoning is out */
    const char *finish; /* how the stream ended; NULL = not yet */
    uint64_t created; /* of upstream; 0 = not said */
    char id[LIMIT_OBJECT_ID + 1]; /* of upstream's object; empty = not said */
    char tier[BRIDGE_TIER_MAX];
    size_t n_calls, cap_calls;
    struct bridge_call *calls;
    struct buf delta, chunk; /* what is being made */
};

/* A request while it is made. */
struct bridge_making {
    struct reshape r;
    uint64_t limit; /* of the answer's tokens */
    bool has_limit, completion_limit;
    bool logprobs;
    yyjson_val *top_logprobs;
    yyjson_mut_val *text; /* the member of that name; NULL = nothing in it yet */
    struct slice *custom_calls; /* sorted ids of the custom tools' calls: their outputs have a type of their own */
    size_t n_custom, cap_custom;
};

/* The client's messages as upstream's input; a reshape_field's take. */
enum status bridge_take_messages(void *ctx, yyjson_val *messages);

enum status bridge_request(void *state, struct translate_call *call, struct slice body, struct buf *out,
                           struct err *err);

#endif
