/*
 * One translator under hostile input. The first byte says how a stream is cut and whether unsupported fields are
 * dropped; the rest is split at 0xff into the client's body, upstream's whole answer, upstream's stream. A stream cut
 * at other places must give the same.
 */
#ifndef TESTS_FUZZ_TRANSLATING_FUZZ_H
#define TESTS_FUZZ_TRANSLATING_FUZZ_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/translating.h"

static inline struct slice fuzz_part(struct slice *rest)
{
    const char *end = rest->n > 0 ? memchr(rest->p, 0xff, rest->n) : NULL;
    struct slice part = {rest->p, end != NULL ? (size_t)(end - rest->p) : rest->n};
    size_t used = part.n < rest->n ? part.n + 1 : part.n;

    rest->p += used;
    rest->n -= used;
    return part;
}

static inline void fuzz_stream(struct translating *t, const struct translator *translator, unsigned flags,
                               struct slice body, struct slice sse, size_t step)
{
    translating_begin(t, translator, NULL);
    t->call.drop_unsupported = (flags & 1) != 0;
    t->call.usage_asked = (flags & 2) != 0;
    if (translating_request(t, body) == ST_OK)
        (void)translating_stream(t, sse, step);
}

static inline int fuzz_translator(const struct translator *translator, const uint8_t *data, size_t size)
{
    struct slice rest = {(const char *)data + 1, size - 1}, body, answer;
    struct translating whole, cut;

    if (size < 2)
        return 0;
    body = fuzz_part(&rest);
    answer = fuzz_part(&rest);
    translating_begin(&whole, translator, NULL);
    whole.call.stream = false;
    if (translating_request(&whole, body) == ST_OK)
        (void)translating_answer(&whole, answer);
    translating_end(&whole);
    fuzz_stream(&whole, translator, data[0], body, rest, rest.n + 1);
    fuzz_stream(&cut, translator, data[0], body, rest, (size_t)(data[0] >> 2) + 1);
    if (whole.out.n != cut.out.n || (whole.out.n > 0 && memcmp(whole.out.p, cut.out.p, whole.out.n) != 0))
        abort();
    translating_end(&whole);
    translating_end(&cut);
    return 0;
}

#endif
