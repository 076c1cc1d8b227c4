#include "cli/times.h"

#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char day[] = "YYYY-MM-DD", second[] = "YYYY-MM-DDTHH:MM:SSZ";

/* Letters of a number stand for its digits. */
static bool looks_like(const char *text, const char *form)
{
    for (; *form && *text; form++, text++)
        if (strchr("YMDHS", *form) ? !isdigit((unsigned char)*text) : *text != *form)
            return false;
    return *form == *text; /* both are over */
}

static int number(const char *digits, size_t n)
{
    int value = 0;

    while (n-- > 0)
        value = value * 10 + (*digits++ - '0');
    return value;
}

static bool same(const struct tm *a, const struct tm *b)
{
    return a->tm_year == b->tm_year && a->tm_mon == b->tm_mon && a->tm_mday == b->tm_mday && a->tm_hour == b->tm_hour &&
           a->tm_min == b->tm_min && a->tm_sec == b->tm_sec;
}

static bool read_date(const char *text, bool whole, uint64_t *ret)
{
    struct tm said = {
        .tm_year = number(text, 4) - 1900, .tm_mon = number(text + 5, 2) - 1, .tm_mday = number(text + 8, 2)};
    struct tm is;
    time_t t;

    if (whole) {
        said.tm_hour = number(text + 11, 2);
        said.tm_min = number(text + 14, 2);
        said.tm_sec = number(text + 17, 2);
    }
    is = said;
    t = timegm(&is);
    if (t < 0 || !same(&is, &said)) /* a 30th of February becomes one of March */
        return false;
    *ret = (uint64_t)t;
    return true;
}

bool times_read(const char *text, uint64_t *ret)
{
    bool whole = looks_like(text, second);
    unsigned long long n;

    if (whole || looks_like(text, day))
        return read_date(text, whole, ret);
    if (!*text || text[strspn(text, "0123456789")])
        return false;
    errno = 0;
    n = strtoull(text, NULL, 10);
    if (errno)
        return false;
    *ret = n;
    return true;
}
