#include <string.h>

#include "proto/wire.h"

struct slice slice_of(const char *text)
{
    return (struct slice){text, text ? strlen(text) : 0};
}

bool slice_eq(struct slice a, struct slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool slice_is(struct slice s, const char *text)
{
    return slice_eq(s, slice_of(text));
}

bool slice_copy(struct slice s, char *to, size_t size)
{
    if (size == 0)
        return false;
    to[0] = '\0';
    if (s.n >= size || (s.n > 0 && memchr(s.p, '\0', s.n)))
        return false;
    if (s.n > 0)
        memcpy(to, s.p, s.n);
    to[s.n] = '\0';
    return true;
}
