#include "proto/utf8.h"

/* Length of the character at p (n > 0 bytes are there), 0 when it is not one. */
static size_t character(const uint8_t *p, size_t n)
{
    uint8_t low = 0x80, high = 0xbf; /* what the second byte may be */
    size_t len, i;

    if (p[0] < 0x80)
        return p[0] != 0;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    if (p[0] < 0xe0) {
        len = 2;
    } else if (p[0] < 0xf0) {
        len = 3;
        low = p[0] == 0xe0 ? 0xa0 : 0x80;
        high = p[0] == 0xed ? 0x9f : 0xbf;
    } else {
        len = 4;
        low = p[0] == 0xf0 ? 0x90 : 0x80;
        high = p[0] == 0xf4 ? 0x8f : 0xbf;
    }
    if (n < len || p[1] < low || p[1] > high)
        return 0;
    for (i = 2; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return len;
}

size_t utf8_span(const char *text, size_t n)
{
    const uint8_t *p = (const uint8_t *)text;
    size_t i = 0;

    while (i < n) {
        size_t len;

        if (n - i >= 8 && utf8_plain8(text + i)) {
            i += 8;
            continue;
        }
        len = character(p + i, n - i);
        if (len == 0)
            break;
        i += len;
    }
    return i;
}
