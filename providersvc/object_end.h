/*
 * What an answer of upstream's says of a batch or a response that another call has made: whether it is over, and what
 * it has used (contract of OpenAI's API, "Batches", "Responses"). Pure. The bytes are anybody's: members may be
 * missing, of another type or absurd.
 */
#ifndef PROVIDERSVC_OBJECT_END_H
#define PROVIDERSVC_OBJECT_END_H

#include <stdbool.h>

#include "proto/messages.h"
#include "providersvc/dialects/dialect.h"
#include "services/arena.h"

/* true: json is a batch that is completed, failed, expired or cancelled, and *ret says what is known of it; its texts
 * are a's or constants. false: it is no batch, not over, without an id that could be one, or there is no memory.
 * Tokens are known when input and output are both whole numbers up to LIMIT_TOKENS, and not when completed requests are
 * said to have used none. Counts of requests that are beyond LIMIT_COUNT, or say that more were completed than there
 * are, count as not told: 0 of 0. */
bool batch_read_end(struct slice json, struct arena *a, struct object_end *ret);

/* The same of a response, from what its dialect has read in an answer, or in an event, about it: true when that says
 * completed, failed, incomplete, cancelled or deleted. shown: all the text of it that the client gets with this answer.
 * Tokens are known when upstream says what it used and that is not nothing; else shown is counted. */
bool response_end_of(const struct facts *facts, const struct tally *shown, struct arena *a, struct object_end *ret);

/* It is not over, and the client has got so much text of it: that is to be told, too. false: no text, or no memory. */
bool response_seen(struct slice id, const struct tally *shown, struct arena *a, struct object_end *ret);

#endif
