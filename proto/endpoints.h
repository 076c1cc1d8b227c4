/*
 * Names of the HTTP API's endpoints, as bills, logs and messages say them. What the gateway does with each stands in
 * its table of surfaces; what is said upstream for each is the adapters' business.
 */
#ifndef PROTO_ENDPOINTS_H
#define PROTO_ENDPOINTS_H

#include <stdbool.h>

#include "proto/wire.h"

#define ENDPOINT_CHAT "chat.completions"
#define ENDPOINT_COMPLETIONS "completions"
#define ENDPOINT_RESPONSES "responses" /* POST /v1/responses; what is under an id is "responses.object" */
#define ENDPOINT_RESPONSES_COMPACT "responses.compact"
#define ENDPOINT_RESPONSES_OBJECT "responses.object"
#define ENDPOINT_RESPONSES_TOKENS "responses.input_tokens"
#define ENDPOINT_EMBEDDINGS "embeddings"
#define ENDPOINT_MODERATIONS "moderations"
#define ENDPOINT_IMAGES "images" /* generations, edits, variations */
#define ENDPOINT_SPEECH "audio.speech"
#define ENDPOINT_TRANSCRIPTIONS "audio.transcriptions" /* and translations */
#define ENDPOINT_FILES "files" /* the files' own list and upload; what is under an id is "files.object" */
#define ENDPOINT_FILES_OBJECT "files.object"
#define ENDPOINT_BATCHES "batches"
#define ENDPOINT_BATCHES_OBJECT "batches.object"
#define ENDPOINT_OTHER "other" /* any other path of an OpenAI-type provider */
#define ENDPOINT_MESSAGES "messages" /* Anthropic's */
#define ENDPOINT_COUNT_TOKENS "messages.count_tokens"

/* Can the length of an answer be bounded by its request? Elsewhere it is the model's alone, and no limit can be
 * lowered. */
bool endpoint_bears_limit(struct slice endpoint);
/* The member that bounds it; NULL = chat's two names, max_tokens and max_completion_tokens; empty = there is none. */
const char *endpoint_limit_member(struct slice endpoint);

#endif
