#include "meterd/chain.h"

#include <sodium.h>
#include <string.h>

#define NUMBERS 6
#define INPUT_MAX (CHAIN_BYTES + NUMBERS * 8 + 1 + CHAIN_KIND_MAX) /* fits one block of the hash: 128 bytes */

static unsigned char *put(unsigned char *to, uint64_t n)
{
    int i;

    for (i = 0; i < 8; i++)
        to[i] = (unsigned char)(n >> (8 * i)); /* little-endian: the file may move to another machine */
    return to + 8;
}

void chain_add(struct chain *c, const struct chain_entry *e)
{
    size_t kind = e->kind.n < CHAIN_KIND_MAX ? e->kind.n : CHAIN_KIND_MAX;
    unsigned char input[INPUT_MAX], *at = input;

    memcpy(at, c->hash, CHAIN_BYTES);
    at = put(at + CHAIN_BYTES, e->id);
    at = put(at, e->transfer);
    at = put(at, (uint64_t)e->account);
    at = put(at, (uint64_t)e->amount_nano);
    at = put(at, (uint64_t)e->balance_nano);
    at = put(at, e->created_ms);
    *at++ = (unsigned char)kind;
    if (kind > 0)
        memcpy(at, e->kind.p, kind);
    at += kind;
    c->id = e->id;
    crypto_generichash(c->hash, CHAIN_BYTES, input, (size_t)(at - input), NULL, 0);
}
