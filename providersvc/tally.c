#include "providersvc/tally.h"

#include "proto/limits.h"

void tally_text(struct tally *t, struct slice utf8)
{
    uint64_t ascii = 0, other = 0;

    for (size_t i = 0; i < utf8.n; i++) {
        unsigned char c = (unsigned char)utf8.p[i];

        ascii += c < 0x80;
        other += c >= 0xC0; /* the first byte of a character */
    }
    t->ascii += ascii;
    t->other += other;
}

uint64_t tally_tokens(const struct tally *t)
{
    uint64_t n;

    if (t->ascii > LIMIT_TOKENS || t->other > LIMIT_TOKENS)
        return LIMIT_TOKENS;
    n = (5 * t->ascii + 18 * t->other + 19) / 20;
    return n > LIMIT_TOKENS ? LIMIT_TOKENS : n;
}
