/* What the tests of responses_to_chat share: in their tables ' is ". */
#ifndef TESTS_UNIT_RESPONSES_TO_CHAT_FIXTURE_H
#define TESTS_UNIT_RESPONSES_TO_CHAT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/translating.h"

/* One plain call; a test that streams says so. */
static inline void begin(struct translating *t)
{
    translating_begin(t, &responses_to_chat, NULL);
    t->call.stream = false;
}

static inline void drop(struct slice s)
{
    free((void *)(uintptr_t)s.p);
}

static inline enum status ask(struct translating *t, const char *text)
{
    struct slice body = quoted(text);
    enum status st = translating_request(t, body);

    drop(body);
    return st;
}

/* The last step gave the same JSON. */
static inline void expect(const struct translating *t, const char *text)
{
    struct slice want = quoted(text), got = {t->out.p, t->out.n};

    if (!json_alike(got, want))
        fail_msg("got  " SLICE_FMT "\nwant " SLICE_FMT, SLICE_ARG(got), SLICE_ARG(want));
    drop(want);
}

/* The last step gave these bytes somewhere. */
static inline void finds(const struct translating *t, const char *text)
{
    struct slice want = quoted(text);

    if (memmem(t->out.p, t->out.n, want.p, want.n) == NULL)
        fail_msg("no " SLICE_FMT " in\n" SLICE_FMT, SLICE_ARG(want), (int)t->out.n, t->out.p);
    drop(want);
}

#endif
