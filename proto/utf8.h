/* UTF-8 as the wire demands it: well-formed (Unicode 15, table 3-7: no surrogates, nothing overlong) and without NUL.
 */
#ifndef PROTO_UTF8_H
#define PROTO_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* How many bytes from p on are well-formed text without NUL; n when all of it is. Never ends inside a character. */
size_t utf8_span(const char *p, size_t n);

/* Are these eight bytes ASCII and none of them NUL? */
static inline bool utf8_plain8(const char *p)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), highs = UINT64_C(0x8080808080808080);
    uint64_t word;

    memcpy(&word, p, sizeof(word));
    return (((word - ones) | word) & highs) == 0;
}

/* Nearly all text of ours is short ASCII of eight bytes or more: that is decided here, in words that overlap at the
 * end. */
static inline bool utf8_valid(const char *p, size_t n)
{
    size_t i;

    if (n < 8)
        return utf8_span(p, n) == n;
    for (i = 0; i + 8 < n; i += 8)
        if (!utf8_plain8(p + i))
            return utf8_span(p, n) == n;
    return utf8_plain8(p + n - 8) || utf8_span(p, n) == n;
}

#endif
