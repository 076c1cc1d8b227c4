/* The translator messages_to_chat, answers: what a chat upstream says, as an Anthropic client gets it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <yyjson.h>

#include "tests/lib/translating.h"

static void begin(struct translating *t)
{
    translating_begin(t, &messages_to_chat, NULL);
}

static void assert_alike(struct slice got, struct slice expected)
{
    if (!json_alike(got, expected))
        fail_msg("got      " SLICE_FMT "\nexpected " SLICE_FMT, SLICE_ARG(got), SLICE_ARG(expected));
}

/* ---- whole answers -------------------------------------------------------------------------------------------------
 */

static void the_fixture_becomes_a_message(void **state)
{
    struct slice in = fixture("translate/messages_to_openai/3_openai.response.json");
    struct slice expected = fixture("translate/messages_to_openai/4_anthropic.response.json");
    struct translate_call call = {.model = slice_of("gpt-4o-mini"), .request_id = slice_of("req_test")};
    struct translating t;

    (void)state;
    translating_begin(&t, &messages_to_chat, &call);
    assert_int_equal(translating_answer(&t, in), ST_OK);
    assert_alike((struct slice){t.out.p, t.out.n}, expected);
    translating_end(&t);
    free((void *)(uintptr_t)in.p);
    free((void *)(uintptr_t)expected.p);
}

#define USAGE_0                                                                                                        \
    "{\"input_tokens\":0,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,\"cache_creation\":{"         \
    "\"ephemeral_5m_input_tokens\":0,\"ephemeral_1h_input_tokens\":0},\"output_tokens\":0,\"service_tier\":"           \
    "\"standard\"}"
#define TEXT(text) "{\"type\":\"text\",\"text\":\"" text "\"}"
#define CALLS(calls, finish)                                                                                           \
    "{\"choices\":[{\"message\":{\"content\":null,\"tool_calls\":[" calls "]},\"finish_reason\":\"" finish "\"}]}"
#define USE(id, input) "{\"type\":\"tool_use\",\"id\":\"" id "\",\"name\":\"f\",\"input\":" input "}"

/* What a message has beside nothing else. */
#define IMAGES(list) "{\"choices\":[{\"message\":{\"content\":null,\"images\":" list "},\"finish_reason\":\"stop\"}]}"
#define IMAGE(url) "{\"type\":\"image_url\",\"image_url\":{\"url\":\"" url "\"}}"
#define PNG IMAGE("data:image/png;base64,AAAAAA==")
#define PNG_TEXT "[image: image/png, 4 bytes]"

struct answer_case {
    const char *upstream;
    const char *id, *content, *stop_reason, *usage; /* usage NULL = all zero */
};

static const struct answer_case answers[] = {
    {"{\"id\":\"chatcmpl-a1\",\"choices\":[{\"message\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}", "msg_a1",
     TEXT("x"), "end_turn", NULL},
    {"{\"id\":\"gen-7\",\"choices\":[{\"message\":{\"content\":\"x\"},\"finish_reason\":\"length\"}]}", "msg_gen-7",
     TEXT("x"), "max_tokens", NULL},
    {"{\"id\":\"a\\\"b\",\"choices\":[{\"message\":{\"content\":\"\"},\"finish_reason\":\"content_filter\"}]}",
     "msg_test", "", "refusal", NULL},
    {"{\"choices\":[{\"message\":{\"content\":null,\"refusal\":\"no\"},\"finish_reason\":\"stop\"}]}", "msg_test",
     TEXT("no"), "refusal", NULL},
    {"{\"choices\":[{\"message\":{\"reasoning_content\":\"hm\",\"content\":[{\"type\":\"thinking\",\"thinking\":[]},{"
     "\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]},\"finish_reason\":\"eos\"}]}",
     "msg_test", TEXT("ab"), "end_turn", NULL},
    {CALLS("{\"id\":\"1\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"n\\\":1.50e3}\"}}", "stop"), "msg_test",
     USE("1", "{\"n\":1.50e3}"), "tool_use", NULL},
    {CALLS(
         "{\"function\":{\"name\":\"f\",\"arguments\":\"\"}},{\"id\":\"\",\"function\":{\"name\":\"f\",\"arguments\":{"
         "\"a\":1}}}",
         "tool_calls"),
     "msg_test", USE("toolu_test_0", "{}") "," USE("toolu_test_1", "{\"a\":1}"), "tool_use", NULL},
    {CALLS("{\"id\":\"1\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":\"}},{\"id\":\"2\",\"function\":{"
           "\"name\":\"f\",\"arguments\":\"[1]\"}}",
           "length"),
     "msg_test", USE("1", "{}") "," USE("2", "{}"), "max_tokens", NULL},
    {"{\"choices\":[{\"message\":{\"content\":\"x\",\"function_call\":{\"name\":\"f\",\"arguments\":\"{}\"}},"
     "\"finish_reason\":\"function_call\"}]}",
     "msg_test", TEXT("x") "," USE("toolu_test_1", "{}"), "tool_use", NULL},
    {CALLS("", "tool_calls"), "msg_test", "", "end_turn", NULL}, /* an agent would wait for ever for its calls */
    {"{\"choices\":[{\"message\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":100,"
     "\"completion_tokens\":9,\"prompt_tokens_details\":{\"cached_tokens\":60,\"cache_write_tokens\":30},"
     "\"completion_tokens_details\":{\"reasoning_tokens\":4}}}",
     "msg_test", TEXT("x"), "end_turn",
     "{\"input_tokens\":10,\"cache_creation_input_tokens\":30,\"cache_read_input_tokens\":60,\"cache_creation\":{"
     "\"ephemeral_5m_input_tokens\":30,\"ephemeral_1h_input_tokens\":0},\"output_tokens\":9,\"output_tokens_details\":{"
     "\"thinking_tokens\":4},\"service_tier\":\"standard\"}"},
    /* an image alone is told of */
    {IMAGES("[" PNG "]"), "msg_test", TEXT(PNG_TEXT), "end_turn", NULL},
    {IMAGES("[" PNG ",7,{},{\"image_url\":{\"url\":7}}," IMAGE("") "," IMAGE("https://x/y.png") "]"), "msg_test",
     TEXT(PNG_TEXT "\\n[image: https://x/y.png]"), "end_turn", NULL},
    {IMAGES("[" PNG "],\"refusal\":\"no\""), "msg_test", TEXT("no"), "refusal", NULL},
    {IMAGES("7"), "msg_test", "", "end_turn", NULL},
    {"{\"choices\":[{\"message\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":-5}}",
     "msg_test", TEXT("x"), "end_turn", NULL},
};

static void answers_become_messages(void **state)
{
    char expected[2048];
    struct translating t;

    (void)state;
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        const struct answer_case *c = &answers[i];

        begin(&t);
        if (translating_answer(&t, slice_of(c->upstream)) != ST_OK)
            fail_msg("%s: %s", c->upstream, t.err.text);
        snprintf(expected, sizeof(expected),
                 "{\"id\":\"%s\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[%s],"
                 "\"stop_reason\":\"%s\",\"stop_sequence\":null,\"usage\":%s}",
                 c->id, c->content, c->stop_reason, c->usage != NULL ? c->usage : USAGE_0);
        assert_alike((struct slice){t.out.p, t.out.n}, slice_of(expected));
        translating_end(&t);
    }
}

static void numbers_of_arguments_pass_as_they_stand(void **state)
{
    struct translating t;

    (void)state;
    begin(&t);
    assert_int_equal(
        translating_answer(&t, slice_of(CALLS("{\"id\":\"1\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"n\\\": "
                                              "12345678901234567890.10}\"}}",
                                              "stop"))),
        ST_OK);
    assert_int_equal(buf_add(&t.out, "", 1), ST_OK);
    assert_non_null(strstr(t.out.p, "{\"n\":12345678901234567890.10}"));
    translating_end(&t);
}

static const char *const no_answers[] = {
    "",
    "null",
    "[]",
    "{}",
    "{\"choices\":[]}",
    "{\"choices\":7}",
    "{\"choices\":[7]}",
    "{\"choices\":[{}]}",
    "{\"choices\":[{\"message\":\"x\"}]}",
    "{\"choices\":[{\"message\":{\"content\":7}}]}",
    "{\"choices\":[{\"message\":{\"refusal\":{}}}]}",
    "{\"choices\":[{\"message\":{\"tool_calls\":{}}}]}",
    "{\"choices\":[{\"message\":{\"tool_calls\":[7]}}]}",
    "{\"choices\":[{\"message\":{\"tool_calls\":[{\"function\":{\"name\":\"\"}}]}}]}",
    "{\"error\":{\"message\":\"boom\"},\"choices\":[{\"message\":{\"content\":\"x\"}}]}",
};

static void what_is_no_answer_is_the_providers_fault(void **state)
{
    struct translating t;

    (void)state;
    for (size_t i = 0; i < sizeof(no_answers) / sizeof(no_answers[0]); i++) {
        begin(&t);
        if (translating_answer(&t, slice_of(no_answers[i])) != ST_UPSTREAM)
            fail_msg("%s is taken", no_answers[i]);
        assert_true(t.err.text[0] != '\0');
        assert_int_equal(t.out.n, 0);
        translating_end(&t);
    }
    assert_string_equal(t.err.text, "boom");
}

/* ---- streams -------------------------------------------------------------------------------------------------------
 */

static void the_fixture_becomes_a_stream_wherever_it_is_cut(void **state)
{
    struct slice in = fixture("translate/chat_stream_to_messages/1_openai.sse");
    struct slice expected = fixture("translate/chat_stream_to_messages/2_anthropic.sse");
    struct translate_call call = {.model = slice_of("gpt-4o-mini"), .request_id = slice_of("req_test"), .stream = true};
    struct translating whole, cut;
    size_t first = 0;

    (void)state;
    translating_begin(&whole, &messages_to_chat, &call);
    assert_int_equal(translating_stream(&whole, in, in.n), ST_OK);
    if (!sse_alike((struct slice){whole.out.p, whole.out.n}, expected, &first))
        fail_msg("event %zu of\n" SLICE_FMT, first, SLICE_ARG(whole.out));
    for (size_t step = 1; step < in.n; step++) {
        translating_begin(&cut, &messages_to_chat, &call);
        assert_int_equal(translating_stream(&cut, in, step), ST_OK);
        assert_int_equal(cut.out.n, whole.out.n);
        assert_memory_equal(cut.out.p, whole.out.p, whole.out.n);
        translating_end(&cut);
    }
    for (size_t n = 0; n + 1 < in.n; n += 5) { /* and when it breaks off */
        translating_begin(&cut, &messages_to_chat, &call);
        if (strstr(in.p, "[DONE]") >= in.p + n)
            assert_int_equal(translating_stream(&cut, (struct slice){in.p, n}, n + 1), ST_UPSTREAM);
        translating_end(&cut);
    }
    translating_end(&whole);
    free((void *)(uintptr_t)in.p);
    free((void *)(uintptr_t)expected.p);
}

/* One line an event: "start ID", "open 0 text", "open 1 tool_use ID NAME", "0 TEXT", "stop 0", "end REASON IN OUT",
 * "done". */
static void tell_event(yyjson_val *e, struct buf *story)
{
    yyjson_val *type = yyjson_obj_get(e, "type"), *block = yyjson_obj_get(e, "content_block");
    yyjson_val *delta = yyjson_obj_get(e, "delta"), *usage = yyjson_obj_get(e, "usage");
    unsigned index = (unsigned)yyjson_get_uint(yyjson_obj_get(e, "index"));
    const char *text = yyjson_get_str(yyjson_obj_get(delta, "text"));

    if (yyjson_equals_str(type, "message_start"))
        (void)buf_addf(story, "start %s\n", yyjson_get_str(yyjson_obj_get(yyjson_obj_get(e, "message"), "id")));
    else if (yyjson_equals_str(type, "content_block_start") && yyjson_equals_str(yyjson_obj_get(block, "type"), "text"))
        (void)buf_addf(story, "open %u text\n", index);
    else if (yyjson_equals_str(type, "content_block_start"))
        (void)buf_addf(story, "open %u tool_use %s %s\n", index, yyjson_get_str(yyjson_obj_get(block, "id")),
                       yyjson_get_str(yyjson_obj_get(block, "name")));
    else if (yyjson_equals_str(type, "content_block_delta"))
        (void)buf_addf(story, "%u %s\n", index,
                       text != NULL ? text : yyjson_get_str(yyjson_obj_get(delta, "partial_json")));
    else if (yyjson_equals_str(type, "content_block_stop"))
        (void)buf_addf(story, "stop %u\n", index);
    else if (yyjson_equals_str(type, "message_delta"))
        (void)buf_addf(story, "end %s %u %u\n", yyjson_get_str(yyjson_obj_get(delta, "stop_reason")),
                       (unsigned)yyjson_get_uint(yyjson_obj_get(usage, "input_tokens")),
                       (unsigned)yyjson_get_uint(yyjson_obj_get(usage, "output_tokens")));
    else
        (void)buf_addf(story, "done\n");
}

static void tell(const struct buf *sse, struct buf *story)
{
    static const char event[] = "event: ", data[] = "\ndata: ";
    const char *p = sse->p, *end = sse->p + sse->n;

    while (p < end) {
        const char *line_end = memchr(p, '\n', (size_t)(end - p)), *json = line_end + sizeof(data) - 1;
        const char *json_end = memchr(json, '\n', (size_t)(end - json));
        yyjson_doc *doc = yyjson_read(json, (size_t)(json_end - json), 0);
        struct slice name = {p + sizeof(event) - 1, (size_t)(line_end - p) - (sizeof(event) - 1)};

        assert_memory_equal(p, event, sizeof(event) - 1); /* every event has a name: the SDK skips others */
        assert_memory_equal(line_end, data, sizeof(data) - 1);
        assert_non_null(doc);
        assert_true(yyjson_equals_strn(yyjson_obj_get(yyjson_doc_get_root(doc), "type"), name.p, name.n));
        tell_event(yyjson_doc_get_root(doc), story);
        yyjson_doc_free(doc);
        p = json_end + 2;
    }
}

#define CHUNK(choice) "data: {\"id\":\"chatcmpl-9\",\"choices\":[{\"index\":0," choice "}]}\n\n"
#define SAY(text) CHUNK("\"delta\":{\"content\":\"" text "\"}")
#define CALL(call) CHUNK("\"delta\":{\"tool_calls\":[" call "]}")
#define ARGS(index, text) CALL("{\"index\":" index ",\"function\":{\"arguments\":\"" text "\"}}")
#define OPEN(index, id, name)                                                                                          \
    CALL("{\"index\":" index ",\"id\":\"" id "\",\"type\":\"function\",\"function\":{\"name\":\"" name                 \
         "\",\"arguments\":\"\"}}")
#define END(finish) CHUNK("\"delta\":{},\"finish_reason\":\"" finish "\"") "data: [DONE]\n\n"

struct stream_case {
    const char *upstream, *story;
};

static const struct stream_case streams[] = {
    {CHUNK("\"delta\":{\"role\":\"assistant\",\"content\":\"\"}") SAY("a") SAY("") SAY("b") END("stop"),
     "start msg_9\nopen 0 text\n0 a\n0 b\nstop 0\nend end_turn 0 0\ndone\n"},
    {SAY("a") END("length"), "start msg_9\nopen 0 text\n0 a\nstop 0\nend max_tokens 0 0\ndone\n"},
    {END("content_filter"), "start msg_9\nend refusal 0 0\ndone\n"},
    {CHUNK("\"delta\":{\"refusal\":\"no\"}") END("stop"),
     "start msg_9\nopen 0 text\n0 no\nstop 0\nend refusal 0 0\ndone\n"},
    {CHUNK("\"delta\":{\"reasoning_content\":\"hm\",\"content\":null}") SAY("a") END("stop"),
     "start msg_9\nopen 0 text\n0 a\nstop 0\nend end_turn 0 0\ndone\n"},
    {CHUNK("\"delta\":{\"content\":[{\"type\":\"thinking\"},{\"type\":\"text\",\"text\":\"a\"}]}") END("stop"),
     "start msg_9\nopen 0 text\n0 a\nstop 0\nend end_turn 0 0\ndone\n"},
    /* images are told of where nothing else is said, before or behind them */
    {CHUNK("\"delta\":{\"content\":\"\",\"images\":[" PNG "]}") CHUNK("\"delta\":{\"images\":[" PNG "]}") END("stop"),
     "start msg_9\nopen 0 text\n0 " PNG_TEXT "\n" PNG_TEXT "\nstop 0\nend end_turn 0 0\ndone\n"},
    {CHUNK("\"delta\":{\"images\":[" PNG "]}") SAY("a") END("stop"),
     "start msg_9\nopen 0 text\n0 a\nstop 0\nend end_turn 0 0\ndone\n"},
    {CHUNK("\"delta\":{\"images\":7}") END("stop"), "start msg_9\nend end_turn 0 0\ndone\n"},
    /* an event without a choice before the first, usage with the last */
    {"data: {\"id\":\"\",\"choices\":[],\"prompt_filter_results\":[]}\n\n" SAY(
         "a") "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2,\"prompt_tokens_details\":{"
              "\"cached_tokens\":4}}}\n\n" END("stop"),
     "start msg_9\nopen 0 text\n0 a\nstop 0\nend end_turn 5 2\ndone\n"},
    /* the text ends before the call begins; "stop" behind calls */
    {SAY("a") OPEN("0", "i", "f") ARGS("0", "{}") END("stop"),
     "start msg_9\nopen 0 text\n0 a\nstop 0\nopen 1 tool_use i f\n1 {}\nstop 1\nend tool_use 0 0\ndone\n"},
    /* the next call begins at once where the one before is complete */
    {OPEN("0", "i", "f") ARGS("0", "{\\\"a\\\":\\\"}\\\\\\\"\\\"}") OPEN("1", "j", "g") ARGS("0", " \\n") ARGS("1", "{")
         ARGS("1", "}") END("tool_calls"),
     "start msg_9\nopen 0 tool_use i f\n0 {\"a\":\"}\\\"\"}\nstop 0\nopen 1 tool_use j g\n1 {\n1 }\nstop 1\n"
     "end tool_use 0 0\ndone\n"},
    /* calls that come mixed: the later waits */
    {OPEN("0", "i", "f") ARGS("0", "{\\\"a\\\":") OPEN("1", "j", "g") ARGS("1", "{\\\"b\\\":") ARGS("0", "1}")
         ARGS("1", "2") SAY("t") ARGS("1", "}") END("tool_calls"),
     "start msg_9\nopen 0 tool_use i f\n0 {\"a\":\n0 1}\nstop 0\nopen 1 tool_use j g\n1 {\"b\":\n1 2\n1 }\nstop 1\n"
     "open 2 text\n2 t\nstop 2\nend tool_use 0 0\ndone\n"},
    {OPEN("0", "i", "f") OPEN("1", "j", "g") ARGS("1", "{}") END("tool_calls"),
     "start msg_9\nopen 0 tool_use i f\nstop 0\nopen 1 tool_use j g\n1 {}\nstop 1\nend tool_use 0 0\ndone\n"},
    /* no ids, the name late and again */
    {CALL("{\"index\":0,\"function\":{\"arguments\":\"{\"}}") OPEN("0", "", "f")
         CALL("{\"index\":0,\"function\":{\"name\":\"f\",\"arguments\":\"}\"}}") END("tool_calls"),
     "start msg_9\nopen 0 tool_use toolu_test_0 f\n0 {\n0 }\nstop 0\nend tool_use 0 0\ndone\n"},
    /* no indexes: ids tell, else names; or all the same index */
    {CALL(
         "{\"id\":\"i\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}},{\"id\":\"j\",\"function\":{\"name\":\"f\","
         "\"arguments\":\"{}\"}}") END("stop"),
     "start msg_9\nopen 0 tool_use i f\n0 {}\nstop 0\nopen 1 tool_use j f\n1 {}\nstop 1\nend tool_use 0 0\ndone\n"},
    {CALL(
         "{\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}},{\"function\":{\"name\":\"f\",\"arguments\":{\"a\":1}}}")
         END("stop"),
     "start msg_9\nopen 0 tool_use toolu_test_0 f\n0 {}\nstop 0\nopen 1 tool_use toolu_test_1 f\n1 {\"a\":1}\nstop 1\n"
     "end tool_use 0 0\ndone\n"},
    {CALL("{\"index\":0,\"id\":\"i\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}")
         CALL("{\"index\":0,\"id\":\"j\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}") END("stop"),
     "start msg_9\nopen 0 tool_use i f\n0 {}\nstop 0\nopen 1 tool_use j f\n1 {}\nstop 1\nend tool_use 0 0\ndone\n"},
    {CHUNK("\"delta\":{\"function_call\":{\"name\":\"f\",\"arguments\":\"\"}}")
         CHUNK("\"delta\":{\"function_call\":{\"arguments\":\"{}\"}}") END("function_call"),
     "start msg_9\nopen 0 tool_use toolu_test_0 f\n0 {}\nstop 0\nend tool_use 0 0\ndone\n"},
    /* other choices than the first are nobody's */
    {SAY("a") "data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"z\"}}]}\n\n" END("stop"),
     "start msg_9\nopen 0 text\n0 a\nstop 0\nend end_turn 0 0\ndone\n"},
};

static void streams_become_anthropic_streams(void **state)
{
    struct translating t;
    struct buf story;

    (void)state;
    buf_init(&story, TRANSLATING_OUT_MAX);
    for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++) {
        const struct stream_case *c = &streams[i];

        for (size_t step = 1; step < 400; step = 3 * step + 1) {
            begin(&t);
            story.n = 0;
            if (translating_stream(&t, slice_of(c->upstream), step) != ST_OK)
                fail_msg("%s: %s", c->upstream, t.err.text);
            tell(&t.out, &story);
            assert_int_equal(buf_add(&story, "", 1), ST_OK);
            assert_string_equal(story.p, c->story);
            translating_end(&t);
        }
    }
    buf_fini(&story);
}

static const char *const broken_streams[] = {
    "data: [DONE]\n\n",
    "data: {\"choices\":[]}\n\ndata: [DONE]\n\n",
    SAY("a"), /* breaks off */
    CHUNK("\"delta\":{\"content\":7}") END("stop"),
    CHUNK("\"delta\":{\"tool_calls\":{}}") END("stop"),
    CALL("7") END("stop"),
    CALL("{\"index\":0}") END("stop"),
    ARGS("0", "{}") END("tool_calls"), /* a call without a name */
    OPEN("0", "i", "f") ARGS("0", "{}") ARGS("0", "{}") END("tool_calls"), /* goes on behind its end */
    SAY("a") "data: {\"error\":{\"message\":\"boom\"}}\n\n",
};

static void broken_streams_are_the_providers_fault(void **state)
{
    struct translating t;

    (void)state;
    for (size_t i = 0; i < sizeof(broken_streams) / sizeof(broken_streams[0]); i++) {
        begin(&t);
        if (translating_stream(&t, slice_of(broken_streams[i]), 11) != ST_UPSTREAM)
            fail_msg("%s is taken", broken_streams[i]);
        assert_true(t.err.text[0] != '\0');
        assert_int_equal(buf_add(&t.out, "", 1), ST_OK);
        assert_null(strstr(t.out.p, "message_stop"));
        translating_end(&t);
    }
}

static enum status count_event(void *ctx, struct slice name, struct slice data)
{
    struct buf *sse = ctx;

    return buf_addf(sse, "event: " SLICE_FMT "\ndata: " SLICE_FMT "\n\n", SLICE_ARG(name), SLICE_ARG(data));
}

/* We stop it: what was open is closed, whatever is missing in it. */
static void a_stream_that_we_end_reached_its_limit(void **state)
{
    static const char *const events[] = {
        "{\"id\":\"chatcmpl-9\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}",
        "{\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"i\",\"function\":{\"name\":\"f\","
        "\"arguments\":\"{\\\"a\\\"\"}},{\"index\":1,\"id\":\"j\",\"function\":{}}]}}]}",
    };
    static const char *const stories[] = {
        "start msg_test\nend max_tokens 7 2\ndone\n",
        "start msg_9\nopen 0 text\n0 a\nstop 0\nend max_tokens 7 2\ndone\n",
        "start msg_9\nopen 0 text\n0 a\nstop 0\nopen 1 tool_use i f\n1 {\"a\"\nstop 1\nend max_tokens 7 2\ndone\n",
    };
    const struct usage usage = {.known = true, .prompt = 7, .completion = 2};
    struct translating t;
    struct buf sse, story;
    struct translate_sink sink = {count_event, &sse};

    (void)state;
    buf_init(&sse, TRANSLATING_OUT_MAX);
    buf_init(&story, TRANSLATING_OUT_MAX);
    for (size_t n = 0; n <= 2; n++) {
        begin(&t);
        sse.n = story.n = 0;
        for (size_t i = 0; i < n; i++)
            assert_int_equal(messages_to_chat.event(t.state, &t.call, slice_of(events[i]), &sink, &t.err), ST_OK);
        assert_int_equal(messages_to_chat.end(t.state, &t.call, TRANSLATE_LIMIT, &usage, &sink, &t.err), ST_OK);
        tell(&sse, &story);
        assert_int_equal(buf_add(&story, "", 1), ST_OK);
        assert_string_equal(story.p, stories[n]);
        translating_end(&t);
    }
    buf_fini(&sse);
    buf_fini(&story);
}

static enum status refuse_event(void *ctx, struct slice name, struct slice data)
{
    size_t *left = ctx;

    (void)name;
    (void)data;
    return (*left)-- == 0 ? ST_CANCELLED : ST_OK;
}

static void what_the_sink_says_is_returned(void **state)
{
    struct translating t;

    (void)state;
    for (size_t n = 0; n < 3; n++) {
        size_t left = n;
        struct translate_sink sink = {refuse_event, &left};

        begin(&t);
        assert_int_equal(messages_to_chat.event(t.state, &t.call,
                                                slice_of("{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}"), &sink,
                                                &t.err),
                         ST_CANCELLED);
        translating_end(&t);
    }
}

/* One call never ends, and others or as many blocks as upstream likes come behind it. */
static void what_is_held_is_bounded(void **state)
{
    struct translating t;
    enum status st = ST_OK;
    struct buf event;
    size_t i;

    (void)state;
    buf_init(&event, TRANSLATING_OUT_MAX);
    for (size_t kind = 0; kind < 2; kind++) {
        size_t left = SIZE_MAX;
        struct translate_sink sink = {refuse_event, &left};

        begin(&t);
        for (i = 0; st == ST_OK && i < 100000; i++) {
            event.n = 0;
            (void)buf_addf(&event,
                           "{\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":%zu,\"function\":{\"name\":\"f\","
                           "\"arguments\":\"",
                           kind == 0 ? i : i > 0);
            for (size_t k = 0; kind == 1 && k < 1000; k++)
                (void)buf_addc(&event, "aaaaaaaaaaaaaaaa");
            (void)buf_addc(&event, "\"}}]}}]}");
            st = messages_to_chat.event(t.state, &t.call, (struct slice){event.p, event.n}, &sink, &t.err);
        }
        assert_int_equal(st, ST_UPSTREAM);
        assert_true(kind == 0 ? i < 1000 : i <= TRANSLATE_STATE_MAX / 16000 + 2);
        st = ST_OK;
        translating_end(&t);
    }
    buf_fini(&event);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fixture_becomes_a_message),
        cmocka_unit_test(answers_become_messages),
        cmocka_unit_test(numbers_of_arguments_pass_as_they_stand),
        cmocka_unit_test(what_is_no_answer_is_the_providers_fault),
        cmocka_unit_test(the_fixture_becomes_a_stream_wherever_it_is_cut),
        cmocka_unit_test(streams_become_anthropic_streams),
        cmocka_unit_test(broken_streams_are_the_providers_fault),
        cmocka_unit_test(a_stream_that_we_end_reached_its_limit),
        cmocka_unit_test(what_the_sink_says_is_returned),
        cmocka_unit_test(what_is_held_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
