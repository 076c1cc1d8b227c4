/* The echo provider behind every surface, and what is answered here in an upstream's place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <yyjson.h>

#include "proto/endpoints.h"
#include "tests/unit/provider_world.h"

#define NOWHERE "http://127.0.0.1:9" /* nobody listens: whoever asked there would hear of it */

static int setup(void **state)
{
    struct provider_world *w = calloc(1, sizeof(*w));

    if (w == NULL)
        return -1;
    provider_world_start(w, &providersvc_def, NOWHERE);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    provider_world_stop(*state);
    free(*state);
    return 0;
}

struct asked {
    const char *provider, *endpoint, *model, *body;
    bool stream;
};

static void ask(struct provider_world *w, const struct asked *what, struct answered *a, struct meter_fake_event *ev)
{
    struct completion_req req;

    provider_world_request(w, &req, what->provider, what->body);
    req.endpoint = slice_of(what->endpoint);
    req.model = slice_of(what->model);
    provider_world_route(w, &req, what->provider, what->model);
    req.stream = what->stream;
    *a = (struct answered){0};
    provider_world_call(w, &req, a, ev);
}

static void assert_text(const struct answered *a, const char *pointer, const char *text)
{
    yyjson_doc *doc = yyjson_read(a->bytes.p, a->bytes.n, 0);
    const char *is = yyjson_get_str(yyjson_ptr_get(yyjson_doc_get_root(doc), pointer));

    if (is == NULL)
        fail_msg("no %s in %.*s", pointer, (int)a->bytes.n, a->bytes.p);
    assert_string_equal(is, text);
    yyjson_doc_free(doc);
}

static uint64_t number(const struct answered *a, const char *pointer)
{
    yyjson_doc *doc = yyjson_read(a->bytes.p, a->bytes.n, 0);
    uint64_t n = yyjson_get_uint(yyjson_ptr_get(yyjson_doc_get_root(doc), pointer));

    yyjson_doc_free(doc);
    return n;
}

#define TURN "\"messages\":[{\"role\":\"user\",\"content\":\"say this\"}]"
#define MESSAGES "{\"model\":\"echo\",\"max_tokens\":50," TURN "}"

static void echo_speaks_anthropics_messages(void **state)
{
    struct asked what = {"echo", ENDPOINT_MESSAGES, "echo", MESSAGES, false};
    struct meter_fake_event ev;
    struct answered a;

    ask(*state, &what, &a, &ev);
    assert_int_equal(a.status, ST_OK);
    assert_string_equal(a.content_type, "application/json");
    assert_text(&a, "/type", "message");
    assert_text(&a, "/model", "echo");
    assert_text(&a, "/content/0/text", "say this");
    assert_text(&a, "/stop_reason", "end_turn");
    assert_int_equal(number(&a, "/usage/input_tokens"), ev.prompt);
    assert_int_equal(number(&a, "/usage/output_tokens"), ev.completion);
    assert_int_equal(ev.completion, 2);
    assert_false(ev.estimated);
    answered_fini(&a);

    what.stream = true;
    ask(*state, &what, &a, &ev);
    assert_int_equal(a.status, ST_OK);
    assert_memory_equal(a.content_type, "text/event-stream", strlen("text/event-stream"));
    assert_true(answered_has(&a, "event: message_start\n"));
    assert_true(answered_has(&a, "\"text\":\"say \""));
    assert_true(answered_has(&a, "\"output_tokens\":2"));
    assert_true(answered_has(&a, "event: message_stop\n"));
    assert_false(answered_has(&a, "[DONE]"));
    assert_int_equal(ev.completion, 2);
    assert_false(ev.estimated);
    answered_fini(&a);
}

static void echo_calls_an_anthropic_tool(void **state)
{
    struct asked what = {"echo", ENDPOINT_MESSAGES, "echo-tools",
                         "{\"model\":\"echo-tools\",\"max_tokens\":50," TURN
                         ",\"tools\":[{\"name\":\"look_up\",\"input_schema\":{\"type\":\"object\",\"properties\":"
                         "{\"q\":{\"type\":\"string\"}},\"required\":[\"q\"]}}]}",
                         false};
    struct meter_fake_event ev;
    struct answered a;

    ask(*state, &what, &a, &ev);
    assert_text(&a, "/content/0/name", "look_up");
    assert_text(&a, "/content/0/input/q", "say this");
    assert_text(&a, "/stop_reason", "tool_use");
    answered_fini(&a);

    what.stream = true;
    ask(*state, &what, &a, &ev);
    assert_true(answered_has(&a, "\"stop_reason\":\"tool_use\""));
    answered_fini(&a);
}

static void echo_speaks_responses(void **state)
{
    struct asked what = {"echo", ENDPOINT_RESPONSES, "echo", "{\"model\":\"echo\",\"input\":\"say this\"}", false};
    struct meter_fake_event ev;
    struct answered a;

    ask(*state, &what, &a, &ev);
    assert_int_equal(a.status, ST_OK);
    assert_text(&a, "/object", "response");
    assert_text(&a, "/status", "completed");
    assert_text(&a, "/output/0/content/0/text", "say this");
    assert_int_equal(number(&a, "/usage/output_tokens"), 2);
    answered_fini(&a);

    what.stream = true;
    ask(*state, &what, &a, &ev);
    assert_true(answered_has(&a, "event: response.created\n"));
    assert_true(answered_has(&a, "event: response.completed\n"));
    assert_true(answered_has(&a, "\"output_tokens\":2"));
    assert_false(answered_has(&a, "[DONE]"));
    answered_fini(&a);
}

static void echo_speaks_completions(void **state)
{
    struct asked what = {"echo", ENDPOINT_COMPLETIONS, "echo", "{\"model\":\"echo\",\"prompt\":\"say this\"}", false};
    struct meter_fake_event ev;
    struct answered a;

    ask(*state, &what, &a, &ev);
    assert_text(&a, "/object", "text_completion");
    assert_text(&a, "/choices/0/text", "say this");
    assert_text(&a, "/choices/0/finish_reason", "stop");
    assert_int_equal(number(&a, "/usage/completion_tokens"), 2);
    assert_int_equal(ev.prompt, 2);
    answered_fini(&a);

    what.body = "{\"model\":\"echo\",\"prompt\":[\"say this\"],\"max_tokens\":1}";
    what.stream = true;
    ask(*state, &what, &a, &ev);
    assert_true(answered_has(&a, "{\"index\":0,\"text\":\"say \",\"logprobs\":null,\"finish_reason\":null}"));
    assert_true(answered_has(&a, "{\"index\":0,\"text\":\"\",\"logprobs\":null,\"finish_reason\":\"length\"}"));
    assert_true(answered_has(&a, "data: [DONE]\n\n"));
    assert_false(answered_has(&a, "usage"));
    assert_int_equal(ev.completion, 1);
    answered_fini(&a);
}

static void what_echo_cannot_say_is_refused(void **state)
{
    static const struct {
        struct asked what;
        enum status status;
        const char *param;
    } rows[] = {
        {{"echo", ENDPOINT_COMPLETIONS, "echo", "{\"model\":\"echo\"}", false}, ST_BAD_REQUEST, "prompt"},
        {{"echo", ENDPOINT_COMPLETIONS, "echo", "{\"prompt\":[1,2]}", false}, ST_BAD_REQUEST, "prompt"},
        {{"echo", ENDPOINT_COMPLETIONS, "echo", "{\"prompt\":[\"a\",\"b\"]}", true}, ST_BAD_REQUEST, "prompt"},
        {{"echo", ENDPOINT_MESSAGES, "echo", "{\"model\":\"echo\"," TURN "}", false}, ST_BAD_REQUEST, "max_tokens"},
        {{"echo", ENDPOINT_RESPONSES, "echo", "{\"model\":\"echo\"}", true}, ST_BAD_REQUEST, "input"},
        {{"echo", ENDPOINT_EMBEDDINGS, "echo", "{\"model\":\"echo\",\"input\":\"x\"}", false}, ST_NOT_FOUND, ""},
    };
    struct meter_fake_event ev;
    struct answered a;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ask(*state, &rows[i].what, &a, &ev);
        if (a.status != rows[i].status)
            fail_msg("row %zu: %s", i, a.err.text);
        assert_string_equal(a.err.param, rows[i].param);
        assert_int_equal(ev.prompt + ev.completion, 0);
        answered_fini(&a);
    }
}

static void tokens_are_counted_here(void **state)
{
    static const char *const providers[] = {"echo", "openai"};
    struct asked what = {NULL, ENDPOINT_COUNT_TOKENS, "any", "{\"model\":\"any\"," TURN "}", false};
    struct meter_fake_event ev;
    struct answered a;

    for (size_t i = 0; i < sizeof(providers) / sizeof(providers[0]); i++) {
        what.provider = providers[i];
        ask(*state, &what, &a, &ev);
        assert_int_equal(a.status, ST_OK);
        assert_string_equal(a.content_type, "application/json");
        assert_memory_equal(a.bytes.p, "{\"input_tokens\":9}", a.bytes.n); /* 2 of the text, 4 a message, 3 the reply */
        assert_string_equal(ev.status, "ok");
        assert_int_equal(ev.prompt + ev.completion, 0);
        answered_fini(&a);
    }
    what.body = "{\"model\":\"any\",\"messages\":[{\"role\":\"user\"}]}";
    ask(*state, &what, &a, &ev);
    assert_int_equal(a.status, ST_BAD_REQUEST);
    assert_string_equal(a.err.param, "messages.0.content");
    answered_fini(&a);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(echo_speaks_anthropics_messages), TEST(echo_calls_an_anthropic_tool),    TEST(echo_speaks_responses),
        TEST(echo_speaks_completions),         TEST(what_echo_cannot_say_is_refused), TEST(tokens_are_counted_here),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
