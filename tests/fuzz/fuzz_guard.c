/*
 * Any bytes as a client's connection. Neither the verdict nor the bytes may depend on how they are cut, what passes
 * must be what a second reader, written the slow and simple way, takes for whole requests with the same borders, and it
 * must be what came but for tabs in headers.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "gateway/guard.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

#define LENGTH_MAX 1000000000

/* The value of a header without white space around it, or NULL. *ret_count: how often the header is there. */
static const char *value_of(const char *block, size_t n, const char *name, size_t *ret_n, unsigned *ret_count)
{
    const char *found = NULL;
    size_t at = 0, name_n = strlen(name);

    *ret_count = 0;
    while (at < n) {
        const char *end = memmem(block + at, n - at, "\r\n", 2);
        size_t line = end ? (size_t)(end - block) - at : n - at;

        if (line > name_n && block[at + name_n] == ':' && !strncasecmp(block + at, name, name_n)) {
            const char *from = block + at + name_n + 1, *to = block + at + line;

            while (from < to && (*from == ' ' || *from == '\t'))
                from++;
            while (to > from && (to[-1] == ' ' || to[-1] == '\t'))
                to--;
            found = from;
            *ret_n = (size_t)(to - from);
            (*ret_count)++;
        }
        at += line + 2;
    }
    return found;
}

/* Bytes of a chunked body from p on, or 0. */
static size_t chunked_size(const char *p, size_t n)
{
    size_t at = 0;

    for (;;) {
        const char *end = memmem(p + at, n - at, "\r\n", 2);
        char text[16];
        size_t digits, size;

        if (!end)
            return 0;
        digits = (size_t)(end - p) - at;
        if (digits == 0 || digits >= sizeof(text) || strspn(p + at, "0123456789abcdefABCDEF") != digits)
            return 0;
        memcpy(text, p + at, digits);
        text[digits] = '\0';
        size = strtoull(text, NULL, 16);
        at += digits + 2;
        if (size + 2 > n - at || memcmp(p + at + size, "\r\n", 2) != 0)
            return 0;
        at += size + 2;
        if (size == 0)
            return at;
    }
}

/* The size of the request at p, or 0 when it is not one. */
static size_t request_size(const char *p, size_t n)
{
    size_t skip = n >= 2 && !memcmp(p, "\r\n", 2) ? 2 : 0, length_n = 0, coding_n = 0, host_n = 0, head, body = 0, i;
    const char *end = memmem(p + skip, n - skip, "\r\n\r\n", 4), *length;
    unsigned lengths, codings, hosts;

    if (!end)
        return 0;
    head = (size_t)(end - p) + 4;
    for (i = 0; i < head; i++) /* every line ends in CRLF, nothing else is a control but a tab */
        if ((p[i] == '\n' && (i == 0 || p[i - 1] != '\r')) || (p[i] == '\r' && p[i + 1] != '\n') ||
            ((unsigned char)p[i] < ' ' && p[i] != '\r' && p[i] != '\n' && p[i] != '\t') || p[i] == 0x7f)
            return 0;
    length = value_of(p + skip, head - 4 - skip, "content-length", &length_n, &lengths);
    value_of(p + skip, head - 4 - skip, "transfer-encoding", &coding_n, &codings);
    value_of(p + skip, head - 4 - skip, "host", &host_n, &hosts);
    if (lengths + codings > 1 || hosts > 1)
        return 0;
    if (codings)
        return (body = chunked_size(p + head, n - head)) ? head + body : 0;
    for (i = 0; i < length_n && body < LENGTH_MAX; i++) {
        if (length[i] < '0' || length[i] > '9')
            return 0;
        body = body * 10 + (size_t)(length[i] - '0');
    }
    return body <= n - head ? head + body : 0;
}

/* Bytes that passed, as they came (p) and as they went on. */
static void check_bytes(const char *p, const char *went, size_t passed)
{
    size_t i;

    for (i = 0; i < passed; i++)
        if (went[i] != p[i] && (p[i] != '\t' || went[i] != ' '))
            abort();
}

/* Of the request at p the header has no tab left, and the body every one that it had. */
static void check_request(const char *p, const char *went, size_t n)
{
    size_t skip = n >= 2 && !memcmp(p, "\r\n", 2) ? 2 : 0;
    const char *end = memmem(p + skip, n - skip, "\r\n\r\n", 4);
    size_t head = (size_t)(end - p);

    if (memchr(went, '\t', head) || memcmp(p + head, went + head, n - head) != 0)
        abort();
}

static void check_borders(const char *p, const char *went, size_t passed)
{
    struct guard g;
    size_t at = 0, i;

    guard_init(&g);
    for (i = 0; i < passed; i++) {
        char byte = p[i];

        if (guard_feed(&g, &byte, 1) != 1 || byte != went[i])
            abort();
        if (guard_between(&g)) {
            if (request_size(p + at, i + 1 - at) != i + 1 - at)
                abort();
            check_request(p + at, went + at, i + 1 - at);
            at = i + 1;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct guard whole, cut;
    size_t step = n ? bytes[0] % 37 + 1u : 1, at, passed;
    char *came = malloc(n + 1), *went = malloc(n + 1), *pieces = malloc(n + 1);

    if (!came || !went || !pieces)
        goto out;
    memcpy(came, bytes, n);
    came[n] = '\0';
    memcpy(went, came, n + 1);
    memcpy(pieces, came, n + 1);
    guard_init(&whole);
    passed = guard_feed(&whole, went, n);
    guard_init(&cut);
    for (at = 0; at < n && cut.verdict == GUARD_OK; at += step)
        guard_feed(&cut, pieces + at, step < n - at ? step : n - at);
    if (passed > n || cut.verdict != whole.verdict || (whole.verdict == GUARD_OK && passed != n) ||
        memcmp(went, pieces, passed) != 0)
        abort();
    check_bytes(came, went, passed);
    check_borders(came, went, passed);

out:
    free(came);
    free(went);
    free(pieces);
    return 0;
}
