/*
 * Embeddings as numbers where the client asked for base64: both of OpenAI's SDKs ask for it when their user asked for
 * nothing, and not every provider knows it. Pure.
 */
#ifndef PROVIDERSVC_EMBEDDINGS_H
#define PROVIDERSVC_EMBEDDINGS_H

#include <stdbool.h>

#include "proto/status.h"
#include "proto/wire.h"

/* Does this request (a JSON object) ask for base64? */
bool embeddings_want_base64(struct slice request);
/* Appends the answer with every list of numbers in data[].embedding as base64 of IEEE 754 floats, little-endian (OpenAI
 * API reference, "Create embeddings"); *ret_changed false: there is none, nothing was appended. ST_NO_MEMORY,
 * ST_TOO_LARGE, ST_BAD_REQUEST: not JSON. */
enum status embeddings_to_base64(struct slice answer, struct buf *out, bool *ret_changed);

#endif
