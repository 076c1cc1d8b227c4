/*
 * estimate: how many tokens a parsed request has, without a tokenizer. Pure; see call_request.h for the two figures.
 * The values must be known to be no deeper than JSON_DEPTH_MAX.
 */
#ifndef GATEWAY_ESTIMATE_H
#define GATEWAY_ESTIMATE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/wire.h"

#define ESTIMATE_FILES_MAX 17u /* one more than a request may name */

struct yyjson_val;

struct estimate {
    uint64_t ascii, other; /* bytes and code points of text */
    uint64_t extra, extra_upper; /* tokens of images, sound, files and framing; and those that came as numbers */
    struct yyjson_val *files[ESTIMATE_FILES_MAX]; /* ids that were met in "file_id" and "file_ids", each once */
    unsigned n_files;
    const char *elsewhere; /* the member that names input which is not in the request, a constant; NULL = none */
    const char *twice; /* the member that a part has twice, in whatever case, which says its cost; NULL = none */
    bool sources; /* images and documents are {"type","source"}, as Anthropic has them */
};

void estimate_messages(struct estimate *e, struct yyjson_val *messages); /* an array */
void estimate_schema(struct estimate *e,
                     struct yyjson_val *value); /* tools, response_format: counted as the JSON they are; may be NULL */
void estimate_input(struct estimate *e, struct yyjson_val *value); /* text, lists of it, of tokens, of parts; or NULL */
void estimate_characters(struct estimate *e, struct yyjson_val *text); /* each is a token */
void estimate_files(struct estimate *e, struct yyjson_val *value); /* only the files that it names; or NULL */
void estimate_text(struct estimate *e, struct slice text);
void estimate_image(struct estimate *e); /* one whose size is not known */
uint64_t estimate_tokens(const struct estimate *e);
uint64_t estimate_upper(const struct estimate *e);

#endif
