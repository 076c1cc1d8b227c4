/*
 * How many tokens a text has when nobody who knows says so (contract, section 6.4): a quarter of the ASCII bytes and
 * nine tenths of the other characters, rounded up once over the whole text. Integers only. Pure.
 */
#ifndef PROVIDERSVC_TALLY_H
#define PROVIDERSVC_TALLY_H

#include "proto/wire.h"

#define TALLY_PER_MESSAGE 4u /* what a message costs beside its text */
#define TALLY_PER_REPLY 3u
#define TALLY_IMAGE_LOW 85u /* an image part of detail low */
#define TALLY_IMAGE 765u /* any other */

struct tally {
    uint64_t ascii; /* bytes */
    uint64_t other; /* characters */
};

void tally_text(struct tally *t, struct slice utf8);
uint64_t tally_tokens(const struct tally *t); /* at most LIMIT_TOKENS */

#endif
