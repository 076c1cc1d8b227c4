/* Responses over chat completions, requests: the limit of the answer. In tables ' is ". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/translating.h"

static void drop(struct slice s)
{
    free((void *)(uintptr_t)s.p);
}

/* What becomes of the body, as a table has it. */
static void becomes(struct translating *t, const char *client, const char *upstream)
{
    struct slice body = quoted(client), want = quoted(upstream), got;

    if (translating_request(t, body) != ST_OK)
        fail_msg("%s: %s", client, t->err.text);
    got = (struct slice){t->out.p, t->out.n};
    if (!json_alike(got, want))
        fail_msg("got  " SLICE_FMT "\nwant " SLICE_FMT, SLICE_ARG(got), SLICE_ARG(want));
    drop(body), drop(want);
}

static void a_limit_beyond_the_model_is_the_models(void **state)
{
    static const struct {
        const char *client, *expected;
        uint64_t of_call, most;
    } rows[] = {{",'max_output_tokens':32000", ",'max_completion_tokens':16384", 0, 16384},
                {",'max_output_tokens':100", ",'max_completion_tokens':100", 0, 16384},
                {",'max_output_tokens':32000", ",'max_completion_tokens':32000", 0, 0},
                {"", ",'max_completion_tokens':16384", 20000, 16384},
                {"", "", 0, 16384}};

    (void)state;
    for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
        bool stream = i % 2 == 1;
        char client[256], upstream[256];
        struct translating t;

        snprintf(client, sizeof(client), "{'model':'m','input':'x'%s}", rows[i / 2].client);
        snprintf(upstream, sizeof(upstream), "{'model':'u','messages':[{'role':'user','content':'x'}]%s%s}",
                 rows[i / 2].expected, stream ? ",'stream':true,'stream_options':{'include_usage':true}" : "");
        translating_begin(&t, &responses_to_chat, NULL);
        t.call.stream = stream;
        t.call.output_limit = rows[i / 2].of_call;
        t.call.max_output = rows[i / 2].most;
        becomes(&t, client, upstream);
        translating_end(&t);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_limit_beyond_the_model_is_the_models),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
