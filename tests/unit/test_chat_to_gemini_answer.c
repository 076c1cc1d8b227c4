/* Gemini's answers and streams to chat completions. */
#include "tests/unit/chat_to_gemini_fixture.h"

#include <yyjson.h>

#define DIR_STREAM "translate/gemini_stream_to_chat/"

/* ---- answers -----------------------------------------------------------------------------------------------------
 */

static void the_answer_of_the_fixture(void **state)
{
    struct slice request = fixture(DIR_PLAIN "1_openai.request.json");
    struct slice answer = fixture(DIR_PLAIN "3_gemini.response.json");
    struct slice want = fixture(DIR_PLAIN "4_openai.response.json");
    struct translating t;

    (void)state;
    begin(&t, MODEL);
    assert_int_equal(translating_request(&t, request), ST_OK);
    assert_int_equal(translating_answer(&t, answer), ST_OK);
    assert_out(&t, want);
    translating_end(&t);
    drop(request);
    drop(answer);
    drop(want);
}

struct answer_row {
    const char *answer;
    const char *choices;
};

#define CANDIDATE(parts, reason)                                                                                       \
    "{\"candidates\":[{\"content\":{\"parts\":[" parts "]},\"finishReason\":\"" reason "\"}]}"
#define CHOICE(message, finish)                                                                                        \
    "[{\"index\":0,\"message\":{\"role\":\"assistant\",\"refusal\":null," message "},\"logprobs\":null,"               \
    "\"finish_reason\":\"" finish "\"}]"
#define TEXT_CHOICE(finish) CHOICE("\"content\":\"a\"", finish)
#define ONE_CALL                                                                                                       \
    "\"content\":null,\"tool_calls\":[{\"id\":\"call_test_0\",\"type\":\"function\",\"function\":{\"name\":\"f\","     \
    "\"arguments\":\"{}\"}}]"

static const struct answer_row answer_rows[] = {
    {CANDIDATE("{\"text\":\"a\"}", "STOP"), TEXT_CHOICE("stop")},
    {CANDIDATE("{\"text\":\"a\"}", "MAX_TOKENS"), TEXT_CHOICE("length")},
    {CANDIDATE("{\"text\":\"a\"}", "SAFETY"), TEXT_CHOICE("content_filter")},
    {CANDIDATE("{\"text\":\"a\"}", "RECITATION"), TEXT_CHOICE("content_filter")},
    {CANDIDATE("{\"text\":\"a\"}", "BLOCKLIST"), TEXT_CHOICE("content_filter")},
    {CANDIDATE("{\"text\":\"a\"}", "PROHIBITED_CONTENT"), TEXT_CHOICE("content_filter")},
    {CANDIDATE("{\"text\":\"a\"}", "SPII"), TEXT_CHOICE("content_filter")},
    {CANDIDATE("{\"text\":\"a\"}", "IMAGE_SAFETY"), TEXT_CHOICE("content_filter")},
    {CANDIDATE("{\"text\":\"a\"}", "OTHER"), TEXT_CHOICE("stop")},
    {CANDIDATE("{\"text\":\"a\"}", "LANGUAGE"), TEXT_CHOICE("stop")},
    {CANDIDATE("{\"text\":\"a\"}", "SOMETHING_NEW"), TEXT_CHOICE("stop")},
    {CANDIDATE("{\"text\":\"b\",\"thought\":true},{\"text\":\"a\"},{\"text\":\"c\",\"thought\":true},{},7,"
               "{\"inlineData\":{}}",
               "STOP"),
     CHOICE("\"content\":\"a\",\"reasoning_content\":\"bc\"", "stop")},
    {CANDIDATE("{\"functionCall\":{\"name\":\"f\"}}", "STOP"), CHOICE(ONE_CALL, "tool_calls")},
    {CANDIDATE("{\"functionCall\":{\"name\":\"f\",\"args\":{}}}", "MAX_TOKENS"), CHOICE(ONE_CALL, "length")},
    {CANDIDATE("", "STOP"), CHOICE("\"content\":null", "stop")},
    {"{\"promptFeedback\":{\"blockReason\":\"SAFETY\"}}", CHOICE("\"content\":null", "content_filter")},
    {"{\"candidates\":[{\"index\":0,\"content\":{\"parts\":[{\"text\":\"a\"}]},\"finishReason\":\"STOP\","
     "\"logprobsResult\":{\"chosenCandidates\":[{\"token\":\"a\",\"logProbability\":-0.25},{\"token\":\"\"}],"
     "\"topCandidates\":[{\"candidates\":[{\"token\":\"b\",\"logProbability\":-0.5}]}]}},"
     "{\"index\":1,\"content\":{\"parts\":[{\"text\":\"c\"}]},\"finishReason\":\"STOP\"}]}",
     "[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"a\",\"refusal\":null},\"logprobs\":{\"content\":["
     "{\"token\":\"a\",\"logprob\":-0.25,\"bytes\":null,\"top_logprobs\":[{\"token\":\"b\",\"logprob\":-0.5,\"bytes\":"
     "null}]},{\"token\":\"\",\"logprob\":0,\"bytes\":null,\"top_logprobs\":[]}],\"refusal\":null},\"finish_reason\":"
     "\"stop\"},{\"index\":1,\"message\":{\"role\":\"assistant\",\"content\":\"c\",\"refusal\":null},\"logprobs\":null,"
     "\"finish_reason\":\"stop\"}]"},
};

static void answers_are_turned(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(answer_rows) / sizeof(answer_rows[0]); i++) {
        char want[2048];
        struct translating t;

        snprintf(
            want, sizeof(want),
            "{\"id\":\"chatcmpl-req_test\",\"object\":\"chat.completion\",\"created\":1795400000,\"model\":\"" MODEL
            "\",\"choices\":%s}",
            answer_rows[i].choices);
        begin(&t, MODEL);
        assert_int_equal(translating_request(&t, slice_of("{" HI "}")), ST_OK);
        assert_int_equal(translating_answer(&t, slice_of(answer_rows[i].answer)), ST_OK);
        assert_out(&t, slice_of(want));
        translating_end(&t);
    }
}

static const char *const senseless[] = {
    "",
    "7",
    "[]",
    "{}",
    "{\"candidates\":7}",
    "{\"candidates\":[7]}",
    "{\"candidates\":[{}]}",
    "{\"candidates\":[{\"index\":8,\"finishReason\":\"STOP\"}]}",
    "{\"candidates\":[{\"index\":-1,\"finishReason\":\"STOP\"}]}",
    "{\"candidates\":[{\"index\":1.5,\"finishReason\":\"STOP\"}]}",
    "{\"promptFeedback\":{}}",
    CANDIDATE("{\"text\":\"a\"}", "FINISH_REASON_UNSPECIFIED"),
    CANDIDATE("{\"text\":\"a\"}", ""),
    CANDIDATE("{\"text\":\"a\"}", "MALFORMED_FUNCTION_CALL"),
    CANDIDATE("{\"text\":\"a\"}", "UNEXPECTED_TOOL_CALL"),
    CANDIDATE("{\"text\":\"a\"}", "TOO_MANY_TOOL_CALLS"),
    CANDIDATE("{\"functionCall\":{}}", "STOP"),
    CANDIDATE("{\"functionCall\":7}", "STOP"),
    CANDIDATE("{\"functionCall\":{\"name\":\"\"}}", "STOP"),
    CANDIDATE("{\"functionCall\":{\"name\":\"f\",\"args\":[]}}", "STOP"),
};

static void senseless_answers_are_upstreams_fault(void **state)
{
    char sse[512];

    (void)state;
    for (size_t i = 0; i < sizeof(senseless) / sizeof(senseless[0]); i++) {
        struct translating t;

        begin(&t, MODEL);
        assert_int_equal(translating_request(&t, slice_of("{" HI "}")), ST_OK);
        print_message("%s\n", senseless[i]);
        assert_int_equal(translating_answer(&t, slice_of(senseless[i])), ST_UPSTREAM);
        assert_true(t.err.text[0] != '\0');
        assert_int_equal(t.out.n, 0);
        snprintf(sse, sizeof(sse), "data: %s\n\n", senseless[i]);
        assert_int_equal(translating_stream(&t, slice_of(sse), 1000), ST_UPSTREAM);
        translating_end(&t);
    }
}

/* An answer that is cut anywhere is refused, and nothing is read beyond its end. */
static void broken_answers_are_refused(void **state)
{
    struct slice answer = fixture(DIR_PLAIN "3_gemini.response.json");
    struct translating t;

    (void)state;
    begin(&t, MODEL);
    assert_int_equal(translating_request(&t, slice_of("{" HI "}")), ST_OK);
    for (size_t n = 0; n + 1 < answer.n; n++) {
        char *copy = malloc(n > 0 ? n : 1);

        assert_non_null(copy);
        memcpy(copy, answer.p, n);
        assert_int_equal(translating_answer(&t, (struct slice){copy, n}), ST_UPSTREAM);
        free(copy);
    }
    translating_end(&t);
    drop(answer);
}

static void an_older_client_gets_a_function_call(void **state)
{
    static const char two[] = CANDIDATE("{\"functionCall\":{\"name\":\"f\",\"args\":{\"a\":1}}},"
                                        "{\"functionCall\":{\"name\":\"g\"}}",
                                        "STOP");
    char sse[512];
    struct translating t;

    (void)state;
    begin(&t, MODEL);
    assert_int_equal(translating_request(&t, slice_of(WITH("\"functions\":[{\"name\":\"f\"}]"))), ST_OK);
    assert_int_equal(translating_answer(&t, slice_of(two)), ST_OK);
    assert_out(&t, slice_of("{\"id\":\"chatcmpl-req_test\",\"object\":\"chat.completion\",\"created\":1795400000,"
                            "\"model\":\"" MODEL "\",\"choices\":" CHOICE(
                                "\"content\":null,\"function_call\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\"}",
                                "function_call") "}"));
    snprintf(sse, sizeof(sse), "data: %s\n\n", two);
    assert_int_equal(translating_stream(&t, slice_of(sse), 7), ST_OK);
    assert_int_equal(buf_add(&t.out, "", 1), ST_OK);
    assert_non_null(strstr(t.out.p, "\"function_call\":{\"name\":\"f\""));
    assert_null(strstr(t.out.p, "\"g\""));
    assert_non_null(strstr(t.out.p, "\"finish_reason\":\"function_call\""));
    translating_end(&t);
}

/* A client that takes one call at a time gets the first, whole and in a stream, of every candidate. */
static void one_call_at_a_time_is_the_first(void **state)
{
    static const char two[] = CANDIDATE("{\"functionCall\":{\"name\":\"f\",\"args\":{\"a\":1}},"
                                        "\"thoughtSignature\":\"S\"},{\"functionCall\":{\"name\":\"g\"}}",
                                        "STOP");
    char sse[512];

    (void)state;
    for (unsigned parallel = 0; parallel < 2; parallel++) {
        struct translating t;

        begin(&t, MODEL);
        assert_int_equal(translating_request(&t, slice_of(parallel ? WITH("\"parallel_tool_calls\":true")
                                                                   : WITH("\"parallel_tool_calls\":false"))),
                         ST_OK);
        assert_int_equal(translating_answer(&t, slice_of(two)), ST_OK);
        assert_non_null(strstr(t.out.p, "\"name\":\"f\""));
        assert_int_equal(strstr(t.out.p, "\"g\"") != NULL, parallel);
        assert_non_null(strstr(t.out.p, "\"thought_signature\":\"S\""));
        assert_non_null(strstr(t.out.p, "\"finish_reason\":\"tool_calls\""));
        snprintf(sse, sizeof(sse), "data: %s\n\n", two);
        assert_int_equal(translating_stream(&t, slice_of(sse), 7), ST_OK);
        assert_int_equal(buf_add(&t.out, "", 1), ST_OK);
        assert_non_null(strstr(t.out.p, "\"name\":\"f\""));
        assert_int_equal(strstr(t.out.p, "\"g\"") != NULL, parallel);
        assert_non_null(strstr(t.out.p, "\"finish_reason\":\"tool_calls\""));
        translating_end(&t);
    }
}

/* ---- streams -----------------------------------------------------------------------------------------------------
 */

static void stream(struct translating *t, struct slice sse, size_t step, enum status want)
{
    begin(t, MODEL);
    assert_int_equal(translating_request(t, slice_of("{" HI "}")), ST_OK);
    assert_int_equal(translating_stream(t, sse, step), want);
}

/* Gemini's lines end with CRLF. */
static struct slice with_crlf(struct slice sse)
{
    char *text = malloc(2 * sse.n);
    size_t n = 0;

    assert_non_null(text);
    for (size_t i = 0; i < sse.n; i++) {
        if (sse.p[i] == '\n')
            text[n++] = '\r';
        text[n++] = sse.p[i];
    }
    return (struct slice){text, n};
}

static void every_cut_of_a_stream_gives_the_same(void **state)
{
    struct slice lf = fixture(DIR_STREAM "1_gemini.sse"), crlf = with_crlf(lf);
    struct slice want = fixture(DIR_STREAM "2_openai_include_usage.sse");
    struct translating t, cut;
    size_t first = 0;

    (void)state;
    stream(&t, lf, lf.n, ST_OK);
    if (!sse_alike(out_of(&t), want, &first)) {
        print_error("event %zu:\n" SLICE_FMT "\n", first, SLICE_ARG(out_of(&t)));
        fail();
    }
    for (size_t step = 1; step < crlf.n; step++) {
        stream(&cut, crlf, step, ST_OK);
        assert_true(slice_eq(out_of(&t), out_of(&cut)));
        translating_end(&cut);
    }
    assert_int_equal(t.usage.completion, 43);
    assert_int_equal(t.usage.cached, 16);
    translating_end(&t);
    drop(lf);
    drop(crlf);
    drop(want);
}

/* Cut off for good, it is truncated, until the last candidate has ended. */
static void a_truncated_stream_is_no_answer(void **state)
{
    struct slice sse = fixture(DIR_STREAM "1_gemini.sse");
    const char *last = NULL;

    (void)state;
    for (const char *at = sse.p; (at = strstr(at, "data: ")) != NULL; at++)
        last = at;
    assert_non_null(last);
    for (size_t n = 0; n < (size_t)(last - sse.p); n += 5) {
        struct translating t;

        stream(&t, (struct slice){sse.p, n}, 64, ST_UPSTREAM);
        translating_end(&t);
    }
    drop(sse);
}

struct stream_row {
    const char *sse;
    const char *deltas; /* "k:delta" or "k!finish" of all chunks */
};

#define EVENT(json) "data: " json "\n\n"
#define PIECE(k, parts, more) "{\"candidates\":[{\"index\":" k ",\"content\":{\"parts\":[" parts "]}" more "}]}"
#define ROLE "{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}"

static const struct stream_row stream_rows[] = {
    {EVENT(PIECE("0", "{\"text\":\"a\"}", "")) EVENT(PIECE("1", "{\"text\":\"b\"}", ",\"finishReason\":\"STOP\""))
         EVENT(PIECE("0", "", ",\"finishReason\":\"MAX_TOKENS\"")) EVENT("{\"usageMetadata\":{}}"),
     "0:" ROLE " 0:{\"content\":\"a\"} 1:" ROLE " 1:{\"content\":\"b\"} 0!length 1!stop "},
    {EVENT("{\"promptFeedback\":{\"blockReason\":\"OTHER\"}}"), "0:" ROLE " 0!content_filter "},
    {EVENT(PIECE("0", "{\"text\":\"a\"}", ",\"finishReason\":\"STOP\"")) EVENT(PIECE("0", "{\"text\":\"b\"}", "")),
     "0:" ROLE " 0:{\"content\":\"a\"} 0:{\"content\":\"b\"} 0!stop "},
    {EVENT(PIECE("0", "{\"functionCall\":{\"name\":\"f\"}}", "")) EVENT(PIECE("0", "", ",\"finishReason\":\"STOP\"")),
     "0:{\"role\":\"assistant\",\"content\":null,\"refusal\":null} 0:{\"tool_calls\":[{\"index\":0,\"id\":\"call_test_"
     "0\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]} 0!tool_calls "},
    {EVENT(PIECE("0", "", ",\"finishReason\":\"SAFETY\"")), "0:" ROLE " 0!content_filter "},
};

/* Every chunk's choice as "k:delta" or "k!finish". */
static void note_chunks(struct slice sse, struct buf *out)
{
    const char *at = sse.p, *end = sse.p + sse.n;

    while (at < end) {
        const char *eol = memchr(at, '\n', (size_t)(end - at));
        yyjson_doc *doc = yyjson_read(at + 6, (size_t)(eol - at - 6), 0);
        yyjson_val *choice = yyjson_arr_get_first(yyjson_obj_get(yyjson_doc_get_root(doc), "choices"));
        yyjson_val *finish = yyjson_obj_get(choice, "finish_reason");
        char *delta = yyjson_val_write(yyjson_obj_get(choice, "delta"), 0, NULL);

        assert_non_null(doc);
        if (choice != NULL)
            assert_int_equal(buf_addf(out, "%d%c%s ", yyjson_get_int(yyjson_obj_get(choice, "index")),
                                      yyjson_is_str(finish) ? '!' : ':',
                                      yyjson_is_str(finish) ? yyjson_get_str(finish) : delta),
                             ST_OK);
        free(delta);
        yyjson_doc_free(doc);
        at = eol + 2;
    }
    assert_int_equal(buf_add(out, "", 1), ST_OK);
}

static void streams_are_turned(void **state)
{
    struct buf chunks;

    (void)state;
    buf_init(&chunks, 65536);
    for (size_t i = 0; i < sizeof(stream_rows) / sizeof(stream_rows[0]); i++) {
        struct translating t;

        stream(&t, slice_of(stream_rows[i].sse), 3, ST_OK);
        chunks.n = 0;
        note_chunks(out_of(&t), &chunks);
        assert_string_equal(chunks.p, stream_rows[i].deltas);
        translating_end(&t);
    }
    buf_fini(&chunks);
}

static void logprobs_go_with_the_text(void **state)
{
    static const char sse[] =
        EVENT(PIECE("0", "{\"text\":\"a\"},{\"text\":\"b\"}",
                    ",\"logprobsResult\":{\"chosenCandidates\":[{\"token\":\"ab\",\"logProbability\":-1}]}"))
            EVENT(PIECE("0", "",
                        ",\"finishReason\":\"STOP\",\"logprobsResult\":{\"chosenCandidates\":[{\"token\":"
                        "\"z\"}]}"));
    struct translating t;
    const char *first;

    (void)state;
    stream(&t, slice_of(sse), 1000, ST_OK);
    assert_int_equal(buf_add(&t.out, "", 1), ST_OK);
    first = strstr(t.out.p, "\"token\":\"ab\"");
    assert_non_null(first);
    assert_null(strstr(first + 1, "\"token\":\"ab\""));
    assert_non_null(strstr(first, "\"token\":\"z\""));
    translating_end(&t);
}

static enum status take(void *ctx, struct slice name, struct slice data)
{
    struct buf *out = ctx;

    assert_int_equal(name.n, 0);
    return buf_addf(out, "data: " SLICE_FMT "\n\n", SLICE_ARG(data));
}

static enum status refuse(void *ctx, struct slice name, struct slice data)
{
    (void)name;
    (void)data;
    *(unsigned *)ctx += 1;
    return ST_CANCELLED;
}

/* The router stops a stream: whatever has begun ends at its limit, and says what it cost. */
static void a_stream_can_end_at_its_limit(void **state)
{
    static const char *const begun[] = {"", PIECE("0", "{\"text\":\"a\"}", ""),
                                        PIECE("0", "{\"functionCall\":{\"name\":\"f\"}}", "")};
    struct usage usage = {.known = true, .prompt = 5, .completion = 7};
    struct buf out;

    (void)state;
    buf_init(&out, 65536);
    for (size_t i = 0; i < 3; i++) {
        struct translate_sink sink = {take, &out};
        struct translating t;

        begin(&t, MODEL);
        out.n = 0;
        assert_int_equal(translating_request(&t, slice_of("{" HI "}")), ST_OK);
        if (i > 0)
            assert_int_equal(chat_to_gemini.event(t.state, &t.call, slice_of(begun[i]), &sink, &t.err), ST_OK);
        assert_int_equal(chat_to_gemini.end(t.state, &t.call, TRANSLATE_LIMIT, &usage, &sink, &t.err), ST_OK);
        assert_int_equal(buf_add(&out, "", 1), ST_OK);
        assert_non_null(strstr(out.p, "\"finish_reason\":\"length\""));
        assert_non_null(strstr(out.p, "\"role\":\"assistant\""));
        assert_non_null(strstr(out.p, "\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":7,"));
        translating_end(&t);
    }
    buf_fini(&out);
}

static void usage_is_given_when_asked_for_only(void **state)
{
    struct translate_call call = call_of(MODEL);
    struct slice sse = fixture("gemini/stream.sse");
    struct translating t;

    (void)state;
    call.usage_asked = false;
    translating_begin(&t, &chat_to_gemini, &call);
    assert_int_equal(translating_request(&t, slice_of("{" HI "}")), ST_OK);
    assert_int_equal(translating_stream(&t, sse, 11), ST_OK);
    assert_int_equal(buf_add(&t.out, "", 1), ST_OK);
    assert_null(strstr(t.out.p, "usage"));
    assert_non_null(strstr(t.out.p, "\"content\":\"la!\""));
    assert_int_equal(t.usage.completion, 13);
    translating_end(&t);
    drop(sse);
}

static void what_the_sink_says_is_returned(void **state)
{
    struct translating t;
    unsigned n = 0;
    struct translate_sink sink = {refuse, &n};

    (void)state;
    begin(&t, MODEL);
    assert_int_equal(translating_request(&t, slice_of("{" HI "}")), ST_OK);
    assert_int_equal(
        chat_to_gemini.event(t.state, &t.call, slice_of(PIECE("0", "{\"text\":\"a\"}", "")), &sink, &t.err),
        ST_CANCELLED);
    assert_int_equal(chat_to_gemini.end(t.state, &t.call, TRANSLATE_LIMIT, NULL, &sink, &t.err), ST_CANCELLED);
    assert_int_equal(n, 2);
    translating_end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_answer_of_the_fixture),
        cmocka_unit_test(answers_are_turned),
        cmocka_unit_test(senseless_answers_are_upstreams_fault),
        cmocka_unit_test(broken_answers_are_refused),
        cmocka_unit_test(an_older_client_gets_a_function_call),
        cmocka_unit_test(one_call_at_a_time_is_the_first),
        cmocka_unit_test(every_cut_of_a_stream_gives_the_same),
        cmocka_unit_test(a_truncated_stream_is_no_answer),
        cmocka_unit_test(streams_are_turned),
        cmocka_unit_test(logprobs_go_with_the_text),
        cmocka_unit_test(a_stream_can_end_at_its_limit),
        cmocka_unit_test(usage_is_given_when_asked_for_only),
        cmocka_unit_test(what_the_sink_says_is_returned),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
