/*
 * One translator under hostile input. The first byte says how a stream is cut, whether unsupported fields are dropped
 * and whether the model wants its reasoning and its pictures back; the rest is split at 0xff into the client's body,
 * upstream's whole answer, upstream's stream. A stream cut at other places must give the same, and whatever upstream
 * and the client get is JSON in lines that are whole.
 */
#ifndef TESTS_FUZZ_TRANSLATING_FUZZ_H
#define TESTS_FUZZ_TRANSLATING_FUZZ_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <yyjson.h>

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

static inline void fuzz_must_be_json(const char *p, size_t n)
{
    yyjson_doc *doc = yyjson_read(p, n, 0);

    if (doc == NULL)
        abort();
    yyjson_doc_free(doc);
}

static inline bool fuzz_starts(const char *p, size_t n, const char *with)
{
    return n >= strlen(with) && memcmp(p, with, strlen(with)) == 0;
}

/* What a client reads: lines of names and of data, with nothing between them that it would take for either. */
static inline void fuzz_must_be_events(struct slice out)
{
    const char *p = out.p, *end = p + out.n;

    while (p < end) {
        const char *line_end = memchr(p, '\n', (size_t)(end - p));
        size_t n = line_end != NULL ? (size_t)(line_end - p) : 0;

        if (line_end == NULL || memchr(p, '\r', n) != NULL)
            abort();
        if (fuzz_starts(p, n, "data: ") && !(n == 12 && fuzz_starts(p, n, "data: [DONE]")))
            fuzz_must_be_json(p + 6, n - 6);
        else if (n > 0 && !fuzz_starts(p, n, "data: ") && !fuzz_starts(p, n, "event: "))
            abort();
        p = line_end + 1;
    }
}

static inline void fuzz_begin(struct translating *t, const struct translator *translator, unsigned flags)
{
    translating_begin(t, translator, NULL);
    if ((flags & 128) != 0)
        t->call.upstream_model = slice_of("kimi-k2.6");
    t->call.own_pictures = (flags & 64) != 0;
}

static inline void fuzz_stream(struct translating *t, const struct translator *translator, unsigned flags,
                               struct slice body, struct slice sse, size_t step)
{
    fuzz_begin(t, translator, flags);
    t->call.drop_unsupported = (flags & 1) != 0;
    t->call.usage_asked = (flags & 2) != 0;
    if (translating_request(t, body) == ST_OK)
        (void)translating_stream(t, sse, step);
    else
        t->out.n = 0;
}

static inline int fuzz_translator(const struct translator *translator, const uint8_t *data, size_t size)
{
    struct slice rest = {(const char *)data + 1, size - 1}, body, answer;
    struct translating whole, cut;

    if (size < 2)
        return 0;
    body = fuzz_part(&rest);
    answer = fuzz_part(&rest);
    fuzz_begin(&whole, translator, data[0]);
    whole.call.stream = false;
    if (translating_request(&whole, body) == ST_OK) {
        fuzz_must_be_json(whole.out.p, whole.out.n);
        if (translating_answer(&whole, answer) == ST_OK)
            fuzz_must_be_json(whole.out.p, whole.out.n);
    }
    translating_end(&whole);
    fuzz_stream(&whole, translator, data[0], body, rest, rest.n + 1);
    fuzz_stream(&cut, translator, data[0], body, rest, (size_t)(data[0] >> 2) + 1);
    if (whole.out.n != cut.out.n || (whole.out.n > 0 && memcmp(whole.out.p, cut.out.p, whole.out.n) != 0))
        abort();
    fuzz_must_be_events((struct slice){whole.out.p, whole.out.n});
    translating_end(&whole);
    translating_end(&cut);
    return 0;
}

#endif
