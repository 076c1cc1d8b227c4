/* Chat completions over Anthropic's Messages: answers and streams. Requests are in test_chat_to_messages.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/chat_to_messages.h"

/* ---- the fixture --------------------------------------------------------------------------------------------------
 */

static void stream_text(struct translating *t, const char *body, struct slice sse, size_t step, enum status wanted)
{
    struct translate_call call = call_for("claude-sonnet-5");

    call.stream = true;
    call.model = call.upstream_model;
    translating_begin(t, &chat_to_messages, &call);
    assert_int_equal(translating_request(t, slice_of(body)), ST_OK);
    assert_int_equal(translating_stream(t, sse, step), wanted);
}

static void the_stream_is_translated_wherever_it_is_cut(void **state)
{
    struct slice from = fixture("translate/anthropic_stream_to_chat/1_anthropic.sse");
    struct slice to = fixture("translate/anthropic_stream_to_chat/2_openai_include_usage.sse");
    const char *done = strstr(to.p, "data: [DONE]");
    struct translating whole, cut;
    size_t first = 0;

    (void)state;
    assert_non_null(done); /* is the caller's */
    stream_text(&whole, PLAIN_BODY, from, from.n, ST_OK);
    assert_true(sse_alike(out_of(&whole), (struct slice){to.p, (size_t)(done - to.p)}, &first));
    assert_int_equal(whole.usage.prompt, 2045);
    assert_int_equal(whole.usage.completion, 118);
    for (size_t step = 1; step < from.n; step++) {
        stream_text(&cut, PLAIN_BODY, from, step, ST_OK);
        assert_int_equal(cut.out.n, whole.out.n);
        assert_memory_equal(cut.out.p, whole.out.p, whole.out.n);
        translating_end(&cut);
    }
    translating_end(&whole);
    free((void *)(uintptr_t)from.p);
    free((void *)(uintptr_t)to.p);
}

/* What is no end: the stream is truncated after every byte before message_stop's line is whole. */
static void a_truncated_stream_is_no_answer(void **state)
{
    struct slice from = fixture("anthropic/messages_stream.sse");
    size_t last = (size_t)(strstr(from.p, "event: message_stop") - from.p);
    struct translating t;

    (void)state;
    for (size_t n = 0; n <= last; n++) {
        stream_text(&t, PLAIN_BODY, (struct slice){from.p, n}, n + 1, ST_UPSTREAM);
        translating_end(&t);
    }
    free((void *)(uintptr_t)from.p);
}

static void an_error_in_the_stream_is_one(void **state)
{
    struct slice from = fixture("anthropic/messages_stream_error.sse");
    struct translating t;

    (void)state;
    stream_text(&t, PLAIN_BODY, from, 1, ST_UPSTREAM);
    assert_string_equal(t.err.text, "Overloaded");
    translating_end(&t);
    free((void *)(uintptr_t)from.p);
}

/* ---- answers ------------------------------------------------------------------------------------------------------
 */

#define HEAD                                                                                                           \
    "{\"id\":\"chatcmpl-msg_1\",\"object\":\"chat.completion\",\"created\":1795400000,\"model\":\"m\",\"choices\":[{"  \
    "\"index\":0,\"message\":{\"role\":\"assistant\",\"refusal\":null,"
#define TAIL(finish) "},\"logprobs\":null,\"finish_reason\":\"" finish "\"}]}"
#define ANSWER(content, stop) "{\"id\":\"msg_1\",\"content\":[" content "],\"stop_reason\":\"" stop "\"}"
#define THOUGHT(text) "{\"type\":\"thinking\",\"thinking\":\"" text "\",\"signature\":\"s\"}"

struct answer_case {
    const char *from, *to; /* to NULL = no answer */
};

static const struct answer_case answers[] = {
    {"{\"id\":5,\"content\":[{\"type\":\"text\",\"text\":{\"a\":1}}],\"stop_reason\":\"end_turn\"}",
     "{\"id\":\"chatcmpl-req_test\",\"object\":\"chat.completion\",\"created\":1795400000,\"model\":\"m\","
     "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"refusal\":null,\"content\":\"\"" TAIL("stop")},
    {ANSWER("", "end_turn"), HEAD "\"content\":null" TAIL("stop")},
    {ANSWER(TEXT("a") "," TEXT("") "," TEXT("b\\u0000"), "stop_sequence"),
     HEAD "\"content\":\"ab\\u0000\"" TAIL("stop")},
    {ANSWER(TEXT("a"), "max_tokens"), HEAD "\"content\":\"a\"" TAIL("length")},
    {ANSWER(TEXT(""), "model_context_window_exceeded"), HEAD "\"content\":\"\"" TAIL("length")},
    {ANSWER("", "refusal"), HEAD "\"content\":null" TAIL("content_filter")},
    {ANSWER(TEXT("a"), "pause_turn"), HEAD "\"content\":\"a\"" TAIL("stop")},
    {ANSWER(TEXT("a"), "strange"), HEAD "\"content\":\"a\"" TAIL("stop")},
    {ANSWER(THOUGHT("x") ",{\"type\":\"redacted_thinking\",\"data\":\"d\"}," THOUGHT("y") "," TEXT("a"), "end_turn"),
     HEAD "\"content\":\"a\",\"reasoning_content\":\"xy\"" TAIL("stop")},
    {ANSWER("{\"type\":\"server_tool_use\",\"id\":\"x\",\"name\":\"web_search\",\"input\":{}},"
            "{\"type\":\"web_search_tool_result\",\"content\":[]}," TEXT("a"),
            "end_turn"),
     HEAD "\"content\":\"a\"" TAIL("stop")},
    {ANSWER(USE("t1", "{\"n\":1e40}") "," USE("", "{}") ",{\"type\":\"tool_use\",\"name\":\"g\"}", "tool_use"),
     HEAD "\"content\":null,\"tool_calls\":[" CALL("t1", "{\\\"n\\\":1e40}") "," CALL(
         "call_req_test_1", "{}") ",{\"id\":\"call_req_test_2\",\"type\":\"function\",\"function\":{\"name\":\"g\","
                                  "\"arguments\":\"{}\"}}]" TAIL("tool_calls")},
    /* what makes no sense */
    {"", NULL},
    {"[]", NULL},
    {"{}", NULL},
    {"{\"content\":\"a\",\"stop_reason\":\"end_turn\"}", NULL},
    {"{\"content\":[" TEXT("a") "]}", NULL},
    {"{\"content\":[],\"stop_reason\":null}", NULL},
    {ANSWER("{\"type\":\"tool_use\",\"id\":\"a\",\"input\":{}}", "tool_use"), NULL},
    {ANSWER("{\"type\":\"tool_use\",\"name\":123}", "tool_use"), NULL},
    {ANSWER("{\"type\":\"tool_use\",\"name\":[1]}", "tool_use"), NULL},
    {ANSWER(USE("a", "[]"), "tool_use"), NULL},
};

static void answers_are_translated(void **state)
{
    struct translate_call call = call_for(OLD);

    (void)state;
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        const struct answer_case *c = &answers[i];
        struct translating t;

        translating_begin(&t, &chat_to_messages, &call);
        assert_int_equal(translating_request(&t, slice_of(PLAIN_BODY)), ST_OK);
        if (translating_answer(&t, slice_of(c->from)) != (c->to != NULL ? ST_OK : ST_UPSTREAM))
            fail_msg("%s: %s", c->from, t.err.text);
        if (c->to != NULL)
            assert_alike(out_of(&t), slice_of(c->to));
        else
            assert_true(t.err.text[0] != '\0');
        translating_end(&t);
    }
}

static const char functions_body[] = "{" MESSAGES ",\"functions\":[{\"name\":\"f\"}]}";

static void who_asks_with_functions_is_answered_with_one(void **state)
{
    struct translate_call call = call_for(OLD);
    struct translating t;

    (void)state;
    translating_begin(&t, &chat_to_messages, &call);
    assert_int_equal(translating_request(&t, slice_of(functions_body)), ST_OK);
    assert_int_equal(translating_answer(&t, slice_of(ANSWER(USE("a", "{\"x\":1}") "," USE("b", "{}"), "tool_use"))),
                     ST_OK);
    assert_alike(out_of(&t), slice_of(HEAD "\"content\":null,\"function_call\":{\"name\":\"f\",\"arguments\":\"{"
                                           "\\\"x\\\":1}\"}" TAIL("function_call")));
    translating_end(&t);
}

/* ---- streams ------------------------------------------------------------------------------------------------------
 */

#define EVENT(json) "data: " json "\n\n"
#define START                                                                                                          \
    EVENT("{\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"content\":[],\"usage\":{\"input_tokens\":5}}}")
#define BLOCK(block) EVENT("{\"type\":\"content_block_start\",\"index\":0,\"content_block\":" block "}")
#define DELTA(type, member, text)                                                                                      \
    EVENT("{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"" type "\",\"" member "\":\"" text      \
          "\"}}")
#define STOP EVENT("{\"type\":\"content_block_stop\",\"index\":0}")
#define STOPPED(reason)                                                                                                \
    EVENT("{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":" reason "},\"usage\":{\"output_tokens\":7}}")
#define LAST EVENT("{\"type\":\"message_stop\"}")
#define PREFIX                                                                                                         \
    "{\"id\":\"chatcmpl-msg_1\",\"object\":\"chat.completion.chunk\",\"created\":1795400000,\"model\":\"m\","          \
    "\"choices\":["
#define CHUNK(delta) EVENT(PREFIX "{\"index\":0,\"delta\":{" delta "},\"logprobs\":null,\"finish_reason\":null}]}")
#define FINISH(reason) EVENT(PREFIX "{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"" reason "\"}]}")
#define FIRST CHUNK("\"role\":\"assistant\",\"content\":\"\"")
#define CALL_BEGINS(index, id)                                                                                         \
    CHUNK("\"tool_calls\":[{\"index\":" index ",\"id\":\"" id                                                          \
          "\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]")
#define ARGUMENTS(index, text) CHUNK("\"tool_calls\":[{\"index\":" index ",\"function\":{\"arguments\":\"" text "\"}}]")

struct stream_case {
    const char *body, *from, *to; /* to NULL = ST_UPSTREAM */
};

static const struct stream_case streams[] = {
    {PLAIN_BODY, START STOPPED("\"end_turn\"") LAST, FIRST FINISH("stop")},
    {PLAIN_BODY,
     START EVENT("{\"type\":\"ping\"}") EVENT("{\"type\":\"news\"}") BLOCK(TEXT("a")) DELTA("text_delta", "text", "")
         DELTA("text_delta", "text", "b") STOP BLOCK(THOUGHT("c")) DELTA("thinking_delta", "thinking", "d")
             DELTA("signature_delta", "signature", "x") STOP STOPPED("null") STOPPED("\"max_tokens\"")
                 STOPPED("\"refusal\"") LAST,
     FIRST CHUNK("\"content\":\"a\"") CHUNK("\"content\":\"b\"") CHUNK("\"reasoning_content\":\"c\"")
         CHUNK("\"reasoning_content\":\"d\"") FINISH("content_filter")},
    /* arguments that come with the block, as deltas, in both ways, not at all */
    {PLAIN_BODY,
     START BLOCK(USE("a", "{\"x\":1}")) STOP BLOCK(USE("b", "{\"x\":1}")) DELTA("input_json_delta", "partial_json", "")
         DELTA("input_json_delta", "partial_json", "{}") STOP BLOCK(USE("c", "{}")) BLOCK(USE("", "{}"))
             STOPPED("\"tool_use\"") LAST,
     FIRST CALL_BEGINS("0", "a") ARGUMENTS("0", "{\\\"x\\\":1}") CALL_BEGINS("1", "b") ARGUMENTS("1", "{}") CALL_BEGINS(
         "2", "c") ARGUMENTS("2", "{}") CALL_BEGINS("3", "call_req_test_3") ARGUMENTS("3", "{}") FINISH("tool_calls")},
    {PLAIN_BODY,
     START BLOCK("{\"type\":\"server_tool_use\",\"name\":\"s\",\"input\":{}}")
         DELTA("input_json_delta", "partial_json", "{}") STOP BLOCK("{\"type\":\"redacted_thinking\"}")
             STOP STOPPED("\"end_turn\"") LAST,
     FIRST FINISH("stop")},
    {functions_body,
     START BLOCK(USE("a", "{}")) DELTA("input_json_delta", "partial_json", "{}") STOP BLOCK(USE("b", "{}"))
         DELTA("input_json_delta", "partial_json", "{}") STOP STOPPED("\"tool_use\"") LAST,
     FIRST CHUNK("\"function_call\":{\"name\":\"f\",\"arguments\":\"\"}")
         CHUNK("\"function_call\":{\"arguments\":\"{}\"}") FINISH("function_call")},
    /* what makes no sense, or is not whole */
    {PLAIN_BODY, START LAST, NULL},
    {PLAIN_BODY, START STOPPED("\"end_turn\""), NULL},
    {PLAIN_BODY, START STOPPED("7") LAST, NULL},
    {PLAIN_BODY, START BLOCK("{\"type\":\"tool_use\",\"id\":\"a\"}") STOPPED("\"end_turn\"") LAST, NULL},
    {PLAIN_BODY, START BLOCK(USE("a", "7")) STOPPED("\"end_turn\"") LAST, NULL},
    {PLAIN_BODY, START DELTA("input_json_delta", "partial_json", "{}") STOPPED("\"end_turn\"") LAST, NULL},
    {PLAIN_BODY,
     START BLOCK(USE("a", "{}")) EVENT("{\"type\":\"content_block_delta\",\"index\":1,\"delta\":{"
                                       "\"type\":\"input_json_delta\",\"partial_json\":\"{}\"}}")
         STOPPED("\"end_turn\"") LAST,
     NULL},
    {PLAIN_BODY, START EVENT("7") LAST, NULL},
    {PLAIN_BODY, START EVENT("{\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"m\"}}") LAST, NULL},
};

static void streams_are_translated(void **state)
{
    struct translate_call call = call_for(OLD);
    size_t first = 0;

    (void)state;
    call.stream = true;
    call.usage_asked = false;
    for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++) {
        const struct stream_case *c = &streams[i];
        struct translating t;

        translating_begin(&t, &chat_to_messages, &call);
        assert_int_equal(translating_request(&t, slice_of(c->body)), ST_OK);
        assert_int_equal(translating_stream(&t, slice_of(c->from), 7), c->to != NULL ? ST_OK : ST_UPSTREAM);
        if (c->to != NULL && !sse_alike(out_of(&t), slice_of(c->to), &first))
            fail_msg("stream %zu, event %zu:\n%.*s\nwanted:\n%s", i, first, (int)t.out.n, t.out.p, c->to);
        translating_end(&t);
    }
}

static void without_an_id_the_request_has_one(void **state)
{
    struct translate_call call = call_for(OLD);
    struct translating t;

    (void)state;
    call.stream = true;
    translating_begin(&t, &chat_to_messages, &call);
    assert_int_equal(translating_request(&t, slice_of(PLAIN_BODY)), ST_OK);
    assert_int_equal(translating_stream(&t, slice_of(BLOCK(TEXT("a")) STOPPED("\"end_turn\"") LAST), 100), ST_OK);
    assert_int_equal(buf_add(&t.out, "", 1), ST_OK);
    assert_non_null(strstr(t.out.p, "\"chatcmpl-req_test\""));
    translating_end(&t);
}

/* ---- the end is ours ----------------------------------------------------------------------------------------------
 */

static enum status keep_event(void *ctx, struct slice name, struct slice data)
{
    struct translating *t = ctx;

    assert_int_equal(name.n, 0);
    assert_int_equal(buf_addf(&t->out, "data: " SLICE_FMT "\n\n", SLICE_ARG(data)), ST_OK);
    return ST_OK;
}

static void a_limit_ends_the_stream_properly(void **state)
{
    static const struct usage usage = {.known = true, .prompt = 11, .completion = 3};
    struct translate_call call = call_for(OLD);
    struct slice event =
        slice_of("{\"type\":\"content_block_start\",\"index\":0,\"content_block\":" USE("a", "{}") "}");
    struct translate_sink sink = {keep_event, NULL};
    struct translating t;

    (void)state;
    call.stream = true;
    for (int begun = 0; begun < 2; begun++) {
        translating_begin(&t, &chat_to_messages, &call);
        sink.ctx = &t;
        assert_int_equal(translating_request(&t, slice_of(PLAIN_BODY)), ST_OK);
        t.out.n = 0;
        if (begun)
            assert_int_equal(chat_to_messages.event(t.state, &t.call, event, &sink, &t.err), ST_OK);
        assert_int_equal(chat_to_messages.end(t.state, &t.call, TRANSLATE_LIMIT, &usage, &sink, &t.err), ST_OK);
        assert_int_equal(buf_add(&t.out, "", 1), ST_OK);
        assert_non_null(strstr(t.out.p, "\"role\":\"assistant\""));
        assert_non_null(strstr(t.out.p, "\"finish_reason\":\"length\"}],\"usage\":null}"));
        assert_non_null(strstr(t.out.p, "\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":3,"
                                        "\"total_tokens\":14,"));
        translating_end(&t);
    }
}

static enum status refuse_event(void *ctx, struct slice name, struct slice data)
{
    (void)ctx;
    (void)name;
    (void)data;
    return ST_CANCELLED;
}

static void a_sink_that_is_full_stops_everything(void **state)
{
    struct translate_call call = call_for(OLD);
    struct translate_sink sink = {refuse_event, NULL};
    struct translating t;

    (void)state;
    call.stream = true;
    translating_begin(&t, &chat_to_messages, &call);
    assert_int_equal(translating_request(&t, slice_of(PLAIN_BODY)), ST_OK);
    assert_int_equal(chat_to_messages.event(t.state, &t.call, slice_of("{\"type\":\"message_start\"}"), &sink, &t.err),
                     ST_CANCELLED);
    assert_int_equal(chat_to_messages.end(t.state, &t.call, TRANSLATE_LIMIT, NULL, &sink, &t.err), ST_CANCELLED);
    translating_end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_stream_is_translated_wherever_it_is_cut),
        cmocka_unit_test(a_truncated_stream_is_no_answer),
        cmocka_unit_test(an_error_in_the_stream_is_one),
        cmocka_unit_test(answers_are_translated),
        cmocka_unit_test(who_asks_with_functions_is_answered_with_one),
        cmocka_unit_test(streams_are_translated),
        cmocka_unit_test(without_an_id_the_request_has_one),
        cmocka_unit_test(a_limit_ends_the_stream_properly),
        cmocka_unit_test(a_sink_that_is_full_stops_everything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
