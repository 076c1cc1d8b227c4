/* What each kind of provider is asked for an endpoint: through which translators, below which path. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/endpoints.h"
#include "providersvc/adapter.h"
#include "providersvc/closing.h"
#include "providersvc/completion.h"

#define PLAIN "{\"model\":\"m\"}"
#define TOOLS "{\"model\":\"m\",\"tools\":[{\"name\":\"f\"}]}"
#define HERE "(here)"

struct row {
    const char *kind, *endpoint, *model, *body;
    bool chat_only;
    const char *steps; /* "a b", from the client's side */
    const char *path; /* NULL = it does not serve this */
};

static const struct row rows[] = {
    {"openai", ENDPOINT_CHAT, "gpt-6", PLAIN, false, "", "/chat/completions"},
    {"openai", ENDPOINT_CHAT, "gpt-6", TOOLS, false, "chat_to_responses", "/responses"},
    {"openai", ENDPOINT_CHAT, "gpt-6", TOOLS, true, "", "/chat/completions"},
    {"openai", ENDPOINT_MESSAGES, "gpt-4o", TOOLS, false, "messages_to_chat", "/chat/completions"},
    {"openai", ENDPOINT_MESSAGES, "gpt-6", TOOLS, false, "messages_to_chat chat_to_responses", "/responses"},
    {"openai", ENDPOINT_MESSAGES, "gpt-6", PLAIN, false, "messages_to_chat", "/chat/completions"},
    {"openai", ENDPOINT_MESSAGES, "gpt-6", TOOLS, true, "messages_to_chat", "/chat/completions"},
    {"openai", ENDPOINT_RESPONSES, "gpt-6", TOOLS, false, "", "/responses"},
    {"openai", ENDPOINT_RESPONSES, "llama", PLAIN, true, "responses_to_chat", "/chat/completions"},
    {"openai", ENDPOINT_RESPONSES_COMPACT, "gpt-6", PLAIN, false, "", "/responses/compact"},
    {"openai", ENDPOINT_RESPONSES_COMPACT, "llama", PLAIN, true, "", NULL},
    {"anthropic", ENDPOINT_RESPONSES_COMPACT, "claude", PLAIN, false, "", NULL},
    {"openai", ENDPOINT_COUNT_TOKENS, "gpt-6", PLAIN, false, "", HERE},
    {"azure", ENDPOINT_MESSAGES, "d", PLAIN, false, "messages_to_chat", "/openai/v1/chat/completions"},
    {"azure", ENDPOINT_COUNT_TOKENS, "d", PLAIN, false, "", HERE},
    {"anthropic", ENDPOINT_MESSAGES, "claude", PLAIN, false, "", "/v1/messages"},
    {"anthropic", ENDPOINT_COUNT_TOKENS, "claude", PLAIN, false, "", "/v1/messages/count_tokens"},
    {"anthropic", ENDPOINT_RESPONSES, "claude", PLAIN, false, "responses_to_chat chat_to_messages", "/v1/messages"},
    {"anthropic", ENDPOINT_COMPLETIONS, "claude", PLAIN, false, "", NULL},
    {"gemini", ENDPOINT_MESSAGES, "g", PLAIN, false, "messages_to_chat chat_to_gemini",
     "/v1beta/models/g:generateContent"},
    {"gemini", ENDPOINT_COUNT_TOKENS, "g", PLAIN, false, "", HERE},
    {"echo", ENDPOINT_CHAT, "echo", PLAIN, false, "", HERE},
    {"echo", ENDPOINT_COMPLETIONS, "echo", PLAIN, false, "", HERE},
    {"echo", ENDPOINT_MESSAGES, "echo", PLAIN, false, "messages_to_chat", HERE},
    {"echo", ENDPOINT_RESPONSES, "echo", PLAIN, false, "responses_to_chat", HERE},
    {"echo", ENDPOINT_COUNT_TOKENS, "echo", PLAIN, false, "", HERE},
    {"echo", ENDPOINT_EMBEDDINGS, "echo", PLAIN, false, "", NULL},
};

static void each_kind_has_its_plan(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *row = &rows[i];
        struct completion_req req = {.endpoint = slice_of(row->endpoint), .body = slice_of(row->body)};
        struct call_route route = {.upstream_model = slice_of(row->model)};
        struct upstream upstream = {.name = "p", .base_url = "https://host", .chat_only = row->chat_only};
        struct svc_call call = {.err = {.status = ST_OK}};
        struct completion c = {.call = &call, .req = &req, .route = &route, .upstream = &upstream};
        struct call_plan plan = {.path = ""};
        enum status st = adapter_find(row->kind)->plan(&c, &plan);
        char steps[128] = "";

        for (size_t k = 0; k < plan.n_steps; k++)
            snprintf(steps + strlen(steps), sizeof(steps) - strlen(steps), "%s%s", k > 0 ? " " : "",
                     plan.steps[k]->name);
        if (st != (row->path != NULL ? ST_OK : ST_NOT_FOUND) || (st == ST_OK && strcmp(steps, row->steps) != 0) ||
            (st == ST_OK && strcmp(plan.local != NULL ? HERE : plan.path, row->path) != 0))
            fail_msg("row %zu: %s, %s, %s", i, status_name(st), steps, plan.path);
        if (plan.n_steps > 0 && plan.upstream == &dialect_chat)
            assert_int_equal(plan.old_limit, row->chat_only);
    }
}

/* A stream of completions that we end has no deltas. */
static void the_end_of_completions_is_of_their_shape(void **state)
{
    static const char chunk[] = "{\"id\":\"cmpl-1\",\"object\":\"text_completion\",\"choices\":[{\"text\":\"a\"}]}";
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    assert_int_equal(closing_chunk(slice_of(chunk), 1, false, &out), ST_OK);
    assert_int_equal(buf_add(&out, "", 1), ST_OK);
    assert_string_equal(out.p, "data: {\"id\":\"cmpl-1\",\"object\":\"text_completion\",\"choices\":[{\"index\":0,"
                               "\"text\":\"\",\"logprobs\":null,\"finish_reason\":\"length\"}]}\n\n");
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_has_its_plan),
        cmocka_unit_test(the_end_of_completions_is_of_their_shape),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
