/* What clients send to each surface of the API, before anything is believed. The first byte picks the surface. What was
 * read must lie within its bounds; the events that end a stream must be found wherever it is cut. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/surfaces.h"
#include "proto/limits.h"

#define MEMORY (64u * 1024u * 1024u)

static void check(const struct call_request *r)
{
    if (r->model.n > LIMIT_MODEL || r->choices > LIMIT_CHOICES || r->n_objects > CALL_OBJECTS_MAX)
        abort();
    if (r->tokens > LIMIT_TOKENS || r->tokens_upper > LIMIT_TOKENS || r->output_limit > LIMIT_TOKENS)
        abort();
    if (r->tokens > r->tokens_upper)
        abort();
    for (unsigned i = 0; i < r->n_objects; i++)
        if (r->objects[i].id.n == 0 || r->objects[i].id.n > LIMIT_OBJECT_ID)
            abort();
}

/* A stream in one piece and in two: never more is held back than there is. */
static void check_closing(const struct surface *s, struct slice stream, size_t cut)
{
    struct closing c = {false, false, false};
    struct slice first = {stream.p, cut}, rest = {stream.p + cut, stream.n - cut};

    if (closing_take(&c, s, first) > first.n || closing_take(&c, s, rest) > rest.n)
        abort();
    (void)closing_whole(s, stream);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    const struct surface *s = &surfaces[n > 0 ? bytes[0] % SURFACES : 0];
    struct call_request r = {.stream = false};
    struct err err = {.status = ST_OK};
    struct arena a;
    char *copy = malloc(n > 0 ? n : 1);
    struct slice body = {copy, n > 1 ? n - 2 : 0};

    if (copy == NULL)
        abort();
    if (body.n > 0)
        memcpy(copy, bytes + 2, body.n);
    arena_init(&a, MEMORY);
    if (call_request_read(s, body, &a, &r, &err) == ST_OK)
        check(&r);
    else if (err.text[0] == '\0')
        abort(); /* an error says what is wrong */
    check_closing(s, body, n > 1 ? bytes[1] % (body.n + 1) : 0);
    arena_fini(&a);
    free(copy);
    return 0;
}
