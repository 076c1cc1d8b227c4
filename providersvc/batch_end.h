/*
 * What upstream's batch object says of a batch that is over: whether it is, and what it has used (contract of OpenAI's
 * API, "Batches"). Pure: bytes in, a struct out. The bytes are anybody's: members may be missing, of another type or
 * absurd.
 */
#ifndef PROVIDERSVC_BATCH_END_H
#define PROVIDERSVC_BATCH_END_H

#include <stdbool.h>

#include "proto/messages.h"
#include "services/arena.h"

/* true: json is a batch that is completed, failed, expired or cancelled, and *ret says what is known of it; its texts
 * are a's or constants. false: it is no batch, not over, without an id that could be one, or there is no memory.
 * Tokens are known when input and output are both whole numbers up to LIMIT_TOKENS, and not when completed requests are
 * said to have used none. Counts of requests that are beyond LIMIT_COUNT, or say that more were completed than there
 * are, count as not told: 0 of 0. */
bool batch_end_read(struct slice json, struct arena *a, struct batch_end *ret);

#endif
