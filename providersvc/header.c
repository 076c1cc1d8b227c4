#include "providersvc/header.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <curl/curl.h>

#define RETRY_AFTER_MAX_MS (24u * 3600u * 1000u)

bool header_named(struct slice line, const char *name, struct slice *ret_value)
{
    size_t n = strlen(name);

    if (line.n <= n || line.p[n] != ':' || strncasecmp(line.p, name, n) != 0)
        return false;
    line.p += n + 1;
    line.n -= n + 1;
    while (line.n > 0 && (line.p[0] == ' ' || line.p[0] == '\t')) {
        line.p++;
        line.n--;
    }
    while (line.n > 0 && (unsigned char)line.p[line.n - 1] <= ' ')
        line.n--;
    *ret_value = line;
    return true;
}

/* Milliseconds until an HTTP date, by our clock; 0 = past, or none. */
static uint64_t until_date(const char *text)
{
    time_t then = curl_getdate(text, NULL), now = time(NULL);

    return then <= now ? 0 : (uint64_t)(then - now) * 1000;
}

uint64_t header_wait_ms(struct slice v, double unit_ms)
{
    char text[64];
    char *end = NULL;
    double x;

    if (!slice_copy(v, text, sizeof(text)))
        return 0;
    if (text[0] < '0' || text[0] > '9') {
        uint64_t ms = until_date(text);

        return ms < RETRY_AFTER_MAX_MS ? ms : RETRY_AFTER_MAX_MS;
    }
    x = strtod(text, &end) * unit_ms;
    if (end == NULL || *end != '\0' || !(x > 0))
        return 0;
    return x < RETRY_AFTER_MAX_MS ? (uint64_t)x : RETRY_AFTER_MAX_MS;
}
