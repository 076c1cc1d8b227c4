/*
 * estimate: how many tokens a parsed chat request has, without a tokenizer. Pure; see chat_request.h for the two
 * figures. The values must be known to be no deeper than JSON_DEPTH_MAX.
 */
#ifndef GATEWAY_ESTIMATE_H
#define GATEWAY_ESTIMATE_H

#include <stdint.h>

struct yyjson_val;

struct estimate {
    uint64_t ascii, other; /* bytes and code points of text */
    uint64_t extra, extra_upper; /* tokens of images, sound, files and framing */
};

void estimate_messages(struct estimate *e, struct yyjson_val *messages); /* an array */
void estimate_schema(struct estimate *e,
                     struct yyjson_val *value); /* tools, response_format: counted as the JSON they are; may be NULL */
uint64_t estimate_tokens(const struct estimate *e);
uint64_t estimate_upper(const struct estimate *e);

#endif
