/* What the tests of chat_to_messages share. */
#ifndef TESTS_UNIT_CHAT_TO_MESSAGES_H
#define TESTS_UNIT_CHAT_TO_MESSAGES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/translating.h"

#define MESSAGES "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"
#define MESSAGES_OUT "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"hi\"}]}]"
#define OLD "claude-sonnet-4-20250514" /* sampling, a budget, prefill */
#define TEXT(text) "{\"type\":\"text\",\"text\":\"" text "\"}"
#define USER(blocks) "{\"role\":\"user\",\"content\":[" blocks "]}"
#define ASSISTANT(blocks) "{\"role\":\"assistant\",\"content\":[" blocks "]}"
#define CALL(id, arguments)                                                                                            \
    "{\"id\":\"" id "\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"" arguments "\"}}"
#define CALLS(calls) "{\"role\":\"assistant\",\"tool_calls\":[" calls "]}"
#define USE(id, input) "{\"type\":\"tool_use\",\"id\":\"" id "\",\"name\":\"f\",\"input\":" input "}"

#define PLAIN_BODY "{\"model\":\"m\"," MESSAGES "}"

static inline struct translate_call call_for(const char *model)
{
    return (struct translate_call){.model = slice_of("m"),
                                   .upstream_model = slice_of(model),
                                   .request_id = slice_of("req_test"),
                                   .created = 1795400000,
                                   .max_output = 64000,
                                   .usage_asked = true};
}

static inline void assert_alike(struct slice got, struct slice wanted)
{
    if (!json_alike(got, wanted)) {
        print_error("got    %.*s\nwanted %.*s\n", (int)got.n, got.p, (int)wanted.n, wanted.p);
        fail();
    }
}

static inline struct slice out_of(const struct translating *t)
{
    return (struct slice){t->out.p, t->out.n};
}

#endif
