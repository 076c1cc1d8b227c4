/* What the tests of chat_to_gemini share. */
#ifndef TESTS_UNIT_CHAT_TO_GEMINI_FIXTURE_H
#define TESTS_UNIT_CHAT_TO_GEMINI_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/translating.h"

#define DIR_PLAIN "translate/chat_to_gemini/"
#define MODEL "gemini-3.8-flash"
#define HI "\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]"
#define HI_OUT "\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"Hi\"}]}]"

#define WITH(fields) "{" HI "," fields "}"
#define CALLS(id, name, args)                                                                                          \
    "{\"id\":\"" id "\",\"type\":\"function\",\"function\":{\"name\":\"" name "\",\"arguments\":\"" args "\"}}"

static inline struct translate_call call_of(const char *model)
{
    return (struct translate_call){.model = slice_of(model),
                                   .upstream_model = slice_of(model),
                                   .request_id = slice_of("req_test"),
                                   .created = 1795400000,
                                   .usage_asked = true};
}

static inline void begin(struct translating *t, const char *model)
{
    struct translate_call call = call_of(model);

    translating_begin(t, &chat_to_gemini, &call);
}

static inline void drop(struct slice s)
{
    free((char *)(uintptr_t)s.p);
}

static inline struct slice out_of(const struct translating *t)
{
    return (struct slice){t->out.p, t->out.n};
}

static inline void assert_out(const struct translating *t, struct slice want)
{
    if (json_alike(out_of(t), want))
        return;
    print_error("got  " SLICE_FMT "\nwant " SLICE_FMT "\n", SLICE_ARG(out_of(t)), SLICE_ARG(want));
    fail();
}

#endif
