/* Running translators (providersvc/dialects/translate.h) in tests and fuzz targets. No cmocka in here. */
#ifndef TESTS_LIB_TRANSLATING_H
#define TESTS_LIB_TRANSLATING_H

#include <stddef.h>

#include "providersvc/dialects/translate.h"

#define TRANSLATING_OUT_MAX (64u * 1024u * 1024u)

struct translating {
    const struct translator *translator;
    struct translate_call call;
    void *state;
    struct buf dropped;
    struct buf out; /* what the last step gave: a body, or a stream with its event: and data: lines */
    struct usage usage; /* of the stream so far */
    struct tally text;
    struct err err;
};

/* call: NULL = model "m", upstream_model "u", request "req_test", created 1700000000. Aborts without memory. */
void translating_begin(struct translating *t, const struct translator *translator, const struct translate_call *call);
void translating_end(struct translating *t);

enum status translating_request(struct translating *t, struct slice body);
enum status translating_answer(struct translating *t, struct slice body);
/* A whole stream of upstream, handed over in pieces of `step` bytes, each in memory of its own; reads every event with
 * the upstream's dialect as the service does, ends with TRANSLATE_WHOLE when the dialect saw its last event or [DONE],
 * else gives ST_UPSTREAM. */
enum status translating_stream(struct translating *t, struct slice sse, size_t step);

/* A file below tests/fixtures/; aborts when there is none. Free p. */
struct slice fixture(const char *path);
/* JSON out of a table in C: every ' becomes ". Free p. */
struct slice quoted(const char *text);
/* Same JSON but for spacing and the order of members; strings that are JSON objects themselves (arguments) likewise. */
bool json_alike(struct slice a, struct slice b);
/* The same for streams: same events in order, names equal, data alike. first: index of the first that differs. */
bool sse_alike(struct slice a, struct slice b, size_t *ret_first);

#endif
