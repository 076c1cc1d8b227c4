/* Pictures of Gemini's image models: as members "images" of messages and deltas, and back. In tables ' is ". */
#include "tests/unit/chat_to_gemini_fixture.h"

#define BLOB(type, data) "'inlineData':{'mimeType':'" type "','data':'" data "'}"
#define URL(type, data) "'image_url':{'url':'data:" type ";base64," data "'}"
#define EXTRA(signature) ",'extra_content':{'google':{'thought_signature':'" signature "'}}"
#define LOST ",'thoughtSignature':'skip_thought_signature_validator'"
#define OLDER "gemini-2.5-flash-image"

/* What is no picture of an answer: a draft, a sound, what is broken. */
#define DRAFT "{" BLOB("image/png", "CC") ",'thought':true}"
#define SOUND "{" BLOB("audio/L16", "CC") "}"
#define BROKEN                                                                                                         \
    "{'inlineData':7},{'inlineData':{'mimeType':7,'data':'CC'}},{'inlineData':{'mimeType':'image/png','data':7}}"      \
    ",{" BLOB("image/", "CC") "},{" BLOB("image/a;b", "CC") "},{" BLOB("image/\\u0000", "CC") "},{" BLOB("image/a",    \
                                                                                                         "") "}"

/* ---- answers -----------------------------------------------------------------------------------------------------
 */

#define PIECE(k, parts, more) "{'candidates':[{'index':" k ",'content':{'parts':[" parts "]}" more "}]}"
#define STOP ",'finishReason':'STOP'"

static void answers_have_their_pictures(void **state)
{
    static const struct {
        const char *parts, *message;
    } rows[] = {
        {"{" BLOB("image/png", "AA") "}", "'content':null,'images':[{'type':'image_url'," URL("image/png", "AA") "}]"},
        {"{'text':'a'},{" BLOB("image/svg+xml", "B\\/") ",'thoughtSignature':'S'},{" BLOB("image/png", "AA") "}",
         "'content':'a','images':[{'type':'image_url'," URL("image/svg+xml", "B/")
             EXTRA("S") "},"
                        "{'type':'image_url'," URL("image/png", "AA") "}]"},
        {DRAFT "," SOUND "," BROKEN, "'content':null"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[1024];
        struct slice answer, want, request = quoted("{'messages':[{'role':'user','content':'Hi'}]}");
        struct translating t;

        snprintf(text, sizeof(text), "{'candidates':[{'content':{'parts':[%s]}" STOP "}]}", rows[i].parts);
        answer = quoted(text);
        snprintf(text, sizeof(text),
                 "{'id':'chatcmpl-req_test','object':'chat.completion','created':1795400000,'model':'" MODEL
                 "','choices':[{'index':0,'message':{'role':'assistant','refusal':null,%s},'logprobs':null,"
                 "'finish_reason':'stop'}]}",
                 rows[i].message);
        want = quoted(text);
        begin(&t, MODEL);
        assert_int_equal(translating_request(&t, request), ST_OK);
        assert_int_equal(translating_answer(&t, answer), ST_OK);
        assert_out(&t, want);
        translating_end(&t);
        drop(request);
        drop(answer);
        drop(want);
    }
}

#define EVENT(json) "data: " json "\n\n"
#define CHUNK(k, delta, finish)                                                                                        \
    EVENT("{'id':'chatcmpl-req_test','object':'chat.completion.chunk','created':1795400000,'model':'" MODEL            \
          "','choices':[{'index':" k ",'delta':{" delta "},'logprobs':null,'finish_reason':" finish                    \
          "}],'usage':null}")
#define ROLE(k) CHUNK(k, "'role':'assistant','content':'','refusal':null", "null")
#define PICTURE(k, place, rest) CHUNK(k, "'images':[{'type':'image_url','index':" place "," rest "}]", "null")

/* Each in a chunk of its own, counted by choice; cut anywhere it is the same. */
static void streams_have_their_pictures(void **state)
{
    struct slice request = quoted("{'messages':[{'role':'user','content':'Hi'}]}");
    struct slice sse =
        quoted(EVENT(PIECE("0", "{" BLOB("image/png", "AA") "}," DRAFT "," BROKEN ",{'text':'a'}", ""))
                   EVENT(PIECE("1", "{" BLOB("image/png", "BB") "}", STOP))
                       EVENT(PIECE("0", "{" BLOB("image/webp", "DD") ",'thoughtSignature':'S'}," SOUND, STOP)));
    struct slice want =
        quoted(ROLE("0") PICTURE("0", "0", URL("image/png", "AA")) CHUNK("0", "'content':'a'", "null") ROLE("1")
                   PICTURE("1", "0", URL("image/png", "BB")) PICTURE("0", "1", URL("image/webp", "DD") EXTRA("S"))
                       CHUNK("0", "", "'stop'") CHUNK("1", "", "'stop'"));

    (void)state;
    for (size_t step = 1; step <= sse.n; step++) {
        struct translating t;
        size_t first = 0;

        begin(&t, MODEL);
        assert_int_equal(translating_request(&t, request), ST_OK);
        assert_int_equal(translating_stream(&t, sse, step), ST_OK);
        if (!sse_alike(out_of(&t), want, &first))
            fail_msg("step %zu, event %zu:\n" SLICE_FMT "\n", step, first, SLICE_ARG(out_of(&t)));
        translating_end(&t);
    }
    drop(request);
    drop(sse);
    drop(want);
}

/* ---- requests ----------------------------------------------------------------------------------------------------
 */

#define MINE(images) "'messages':[{'role':'assistant','content':'a','images':" images "}]"
#define TOLD(parts) "'contents':[{'role':'model','parts':[{'text':'a'}" parts "]}]"

static void pictures_go_back(void **state)
{
    static const struct {
        const char *model, *body, *want;
    } rows[] = {
        {MODEL, MINE("[{'type':'image_url'," URL("image/png", "AA") EXTRA("S") "},{" URL("image/webp", "BB") "}]"),
         TOLD(",{" BLOB("image/png", "AA") ",'thoughtSignature':'S'},{" BLOB("image/webp", "BB") LOST "}")},
        {OLDER, MINE("[{'type':'image_url'," URL("image/png", "AA") "}]"), TOLD(",{" BLOB("image/png", "AA") "}")},
        {MODEL, MINE("[]"), TOLD("")},
        {MODEL, MINE("null"), TOLD("")},
        {MODEL, MINE("null") ",'modalities':['image','text']",
         TOLD("") ",'generationConfig':{'responseModalities':['IMAGE','TEXT']}"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[1024];
        struct slice body, want;
        struct translating t;

        snprintf(text, sizeof(text), "{%s}", rows[i].body);
        body = quoted(text);
        snprintf(text, sizeof(text), "{%s}", rows[i].want);
        want = quoted(text);
        begin(&t, rows[i].model);
        if (translating_request(&t, body) != ST_OK)
            fail_msg("%s: %s\n", rows[i].body, t.err.text);
        assert_out(&t, want);
        translating_end(&t);
        drop(body);
        drop(want);
    }
}

static void what_is_no_picture_is_refused_by_name(void **state)
{
    static const struct {
        const char *body, *code, *param;
    } rows[] = {
        {MINE("{}"), "invalid_type", "messages[0].images"},
        {MINE("[7]"), "invalid_type", "messages[0].images[0]"},
        {MINE("[{}]"), "missing_required_parameter", "messages[0].images[0].image_url"},
        {MINE("[{'image_url':7}]"), "invalid_type", "messages[0].images[0].image_url"},
        {MINE("[{" URL("image/png", "AA") "},{'image_url':{'url':'https://example.org/a.png'}}]"), "invalid_value",
         "messages[0].images[1].image_url.url"},
        {MINE("[{'image_url':{'url':'data:image/png,x'}}]"), "invalid_value", "messages[0].images[0].image_url.url"},
        {MINE("[{'extra_content':{'google':{'thought_signature':7}}}]"), "invalid_type",
         "messages[0].images[0].extra_content.google.thought_signature"},
        {MINE("null") ",'modalities':[]", "unsupported_parameter", "modalities"},
        {MINE("null") ",'modalities':'image'", "unsupported_parameter", "modalities"},
        {MINE("null") ",'modalities':['image','audio']", "unsupported_parameter", "modalities"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[1024];
        struct slice body;
        struct translating t;

        snprintf(text, sizeof(text), "{%s}", rows[i].body);
        body = quoted(text);
        begin(&t, MODEL);
        print_message("%s\n", rows[i].body);
        assert_int_equal(translating_request(&t, body), ST_BAD_REQUEST);
        assert_string_equal(t.err.code, rows[i].code);
        assert_string_equal(t.err.param, rows[i].param);
        translating_end(&t);
        drop(body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_have_their_pictures),
        cmocka_unit_test(streams_have_their_pictures),
        cmocka_unit_test(pictures_go_back),
        cmocka_unit_test(what_is_no_picture_is_refused_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
