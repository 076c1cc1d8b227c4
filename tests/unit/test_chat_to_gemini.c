/* Chat completions to Gemini: how requests are turned, and what is refused. */
#include "tests/unit/chat_to_gemini_fixture.h"

/* ---- requests ----------------------------------------------------------------------------------------------------
 */

static void requests_of_the_fixtures(void **state)
{
    static const char *const pairs[][2] = {{"1_openai.request.json", "2_gemini.request.json"},
                                           {"5_openai_followup.request.json", "6_gemini_followup.request.json"}};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        char from[128], to[128];
        struct translating t;
        struct slice body, want;

        snprintf(from, sizeof(from), DIR_PLAIN "%s", pairs[i][0]);
        snprintf(to, sizeof(to), DIR_PLAIN "%s", pairs[i][1]);
        body = fixture(from);
        want = fixture(to);
        begin(&t, MODEL);
        assert_int_equal(translating_request(&t, body), ST_OK);
        assert_out(&t, want);
        assert_int_equal(t.dropped.n, 0);
        translating_end(&t);
        drop(body);
        drop(want);
    }
}

struct field_row {
    const char *model;
    const char *fields; /* of the request, beside messages */
    const char *want; /* beside contents */
};

#define CONFIG(text) ",\"generationConfig\":{" text "}"
#define THINKING(text) CONFIG("\"thinkingConfig\":{" text "}")
#define TOOL(name, more) "{\"type\":\"function\",\"function\":{\"name\":\"" name "\"" more "}}"
#define TOOLS_OUT(declarations) ",\"tools\":[{\"functionDeclarations\":[" declarations "]}]"
#define MODE(mode, more) ",\"toolConfig\":{\"functionCallingConfig\":{\"mode\":\"" mode "\"" more "}}"

static const struct field_row field_rows[] = {
    {MODEL, "", ""},
    {MODEL, ",\"temperature\":0.30,\"top_p\":1,\"seed\":-7", CONFIG("\"temperature\":0.3,\"topP\":1,\"seed\":-7")},
    {MODEL, ",\"presence_penalty\":-2.0,\"frequency_penalty\":2",
     CONFIG("\"presencePenalty\":-2,\"frequencyPenalty\":2")},
    {MODEL, ",\"max_tokens\":9", CONFIG("\"maxOutputTokens\":9")},
    {MODEL, ",\"max_tokens\":9,\"max_completion_tokens\":7", CONFIG("\"maxOutputTokens\":7")},
    {MODEL, ",\"n\":1", ""},
    {MODEL, ",\"n\":3", CONFIG("\"candidateCount\":3")},
    {MODEL, ",\"stop\":\"END\"", CONFIG("\"stopSequences\":[\"END\"]")},
    {MODEL, ",\"stop\":[\"a\",\"\",\"b\"]", CONFIG("\"stopSequences\":[\"a\",\"b\"]")},
    {MODEL, ",\"stop\":[]", ""},
    {MODEL, ",\"stop\":\"\"", ""},
    {MODEL, ",\"stop\":null,\"temperature\":null,\"n\":null,\"tools\":null,\"seed\":null,\"whatever\":null", ""},
    {MODEL, ",\"logprobs\":true,\"top_logprobs\":5", CONFIG("\"responseLogprobs\":true,\"logprobs\":5")},
    {MODEL, ",\"logprobs\":false,\"top_logprobs\":0", ""},
    {MODEL, ",\"top_k\":40", CONFIG("\"topK\":40")},
    {MODEL, ",\"top_k\":-1", ""},
    {MODEL, ",\"top_k\":0,\"parallel_tool_calls\":false", ""},
    {MODEL, ",\"response_format\":{\"type\":\"text\"}", ""},
    {MODEL, ",\"response_format\":{\"type\":\"json_object\"}", CONFIG("\"responseMimeType\":\"application/json\"")},
    {MODEL,
     ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"n\",\"strict\":true,\"schema\":{"
     "\"type\":\"object\"}}}",
     CONFIG("\"responseMimeType\":\"application/json\",\"responseJsonSchema\":{\"type\":\"object\"}")},
    {MODEL,
     ",\"user\":\"u\",\"safety_identifier\":\"s\",\"metadata\":{\"a\":\"b\"},\"store\":false,\"stream\":true,"
     "\"stream_options\":{\"include_usage\":true},\"prompt_cache_key\":\"k\",\"prompt_cache_retention\":\"24h\","
     "\"service_tier\":\"auto\",\"parallel_tool_calls\":true,\"logit_bias\":{},\"modalities\":[\"text\"],"
     "\"verbosity\":\"medium\",\"model\":\"m\"",
     ""},
    /* thinking */
    {MODEL, ",\"reasoning_effort\":\"none\"", THINKING("\"thinkingLevel\":\"LOW\"")},
    {MODEL, ",\"reasoning_effort\":\"minimal\"", THINKING("\"thinkingLevel\":\"LOW\"")},
    {MODEL, ",\"reasoning_effort\":\"low\"", THINKING("\"thinkingLevel\":\"LOW\"")},
    {MODEL, ",\"reasoning_effort\":\"medium\"", THINKING("\"thinkingLevel\":\"MEDIUM\"")},
    {MODEL, ",\"reasoning_effort\":\"high\"", THINKING("\"thinkingLevel\":\"HIGH\"")},
    {MODEL, ",\"reasoning_effort\":\"xhigh\"", THINKING("\"thinkingLevel\":\"HIGH\"")},
    {MODEL, ",\"reasoning_effort\":\"max\"", THINKING("\"thinkingLevel\":\"HIGH\"")},
    {"gemini-3-flash-preview", ",\"reasoning_effort\":\"none\"", THINKING("\"thinkingLevel\":\"MINIMAL\"")},
    {"gemini-3.1-flash-lite", ",\"reasoning_effort\":\"minimal\"", THINKING("\"thinkingLevel\":\"MINIMAL\"")},
    {"gemini-3.1-pro-preview", ",\"reasoning_effort\":\"minimal\"", THINKING("\"thinkingLevel\":\"LOW\"")},
    {"gemini-flash-latest", ",\"reasoning_effort\":\"none\"", THINKING("\"thinkingLevel\":\"LOW\"")},
    {"gemini-2.5-flash", ",\"reasoning_effort\":\"none\"", THINKING("\"thinkingBudget\":0")},
    {"gemini-2.5-flash", ",\"reasoning_effort\":\"minimal\"", THINKING("\"thinkingBudget\":1024")},
    {"gemini-2.5-flash", ",\"reasoning_effort\":\"low\"", THINKING("\"thinkingBudget\":1024")},
    {"gemini-2.5-flash", ",\"reasoning_effort\":\"medium\"", THINKING("\"thinkingBudget\":8192")},
    {"models/gemini-2.5-flash", ",\"reasoning_effort\":\"high\"", THINKING("\"thinkingBudget\":24576")},
    {"gemini-2.5-pro", ",\"reasoning_effort\":\"none\"", THINKING("\"thinkingBudget\":128")},
    {"gemini-2.5-flash", ",\"reasoning_effort\":\"high\",\"max_tokens\":1000",
     CONFIG("\"maxOutputTokens\":1000,\"thinkingConfig\":{\"thinkingBudget\":500}")},
    {"gemini-2.5-flash-lite", ",\"reasoning_effort\":\"high\",\"max_tokens\":600",
     CONFIG("\"maxOutputTokens\":600,\"thinkingConfig\":{\"thinkingBudget\":512}")},
    {"gemini-2.0-flash", ",\"reasoning_effort\":\"none\"", ""},
    {"gemma-3-27b-it", ",\"reasoning_effort\":\"none\"", ""},
    /* tools */
    {MODEL, ",\"tools\":[]", ""},
    {MODEL, ",\"tools\":[],\"tool_choice\":\"auto\"", ""},
    {MODEL, ",\"tool_choice\":\"none\"", ""},
    {MODEL, ",\"tools\":[" TOOL("a", "") "," TOOL("b", ",\"description\":\"d\",\"parameters\":{},\"strict\":false") "]",
     TOOLS_OUT("{\"name\":\"a\"},{\"name\":\"b\",\"description\":\"d\",\"parametersJsonSchema\":{}}")},
    {MODEL, ",\"tools\":[" TOOL("a", "") "],\"tool_choice\":\"auto\"", TOOLS_OUT("{\"name\":\"a\"}") MODE("AUTO", "")},
    {MODEL, ",\"tools\":[" TOOL("a", "") "],\"tool_choice\":\"none\"", TOOLS_OUT("{\"name\":\"a\"}") MODE("NONE", "")},
    {MODEL, ",\"tools\":[" TOOL("a", "") "],\"tool_choice\":\"required\"",
     TOOLS_OUT("{\"name\":\"a\"}") MODE("ANY", "")},
    {MODEL, ",\"tools\":[" TOOL("a", "") "],\"tool_choice\":" TOOL("a", ""),
     TOOLS_OUT("{\"name\":\"a\"}") MODE("ANY", ",\"allowedFunctionNames\":[\"a\"]")},
    {MODEL,
     ",\"tools\":[" TOOL("a", "") "],\"tool_choice\":{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":"
                                  "\"required\",\"tools\":[" TOOL("a", "") "]}}",
     TOOLS_OUT("{\"name\":\"a\"}") MODE("ANY", ",\"allowedFunctionNames\":[\"a\"]")},
    {MODEL,
     ",\"tools\":[" TOOL("a", "") "],\"tool_choice\":{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":"
                                  "\"auto\",\"tools\":[" TOOL("a", "") "]}}",
     TOOLS_OUT("{\"name\":\"a\"}") MODE("VALIDATED", ",\"allowedFunctionNames\":[\"a\"]")},
    {MODEL, ",\"tools\":[" TOOL("a", ",\"strict\":true") "]", TOOLS_OUT("{\"name\":\"a\"}") MODE("VALIDATED", "")},
    {"gemini-2.0-flash", ",\"tools\":[" TOOL("a", ",\"strict\":true") "]", TOOLS_OUT("{\"name\":\"a\"}")},
    {MODEL, ",\"functions\":[{\"name\":\"a\",\"parameters\":{\"type\":\"object\"}}],\"function_call\":{\"name\":\"a\"}",
     TOOLS_OUT("{\"name\":\"a\",\"parametersJsonSchema\":{\"type\":\"object\"}}")
         MODE("ANY", ",\"allowedFunctionNames\":[\"a\"]")},
    {MODEL, ",\"functions\":[{\"name\":\"a\"}],\"function_call\":\"none\"",
     TOOLS_OUT("{\"name\":\"a\"}") MODE("NONE", "")},
};

static void fields_are_turned(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(field_rows) / sizeof(field_rows[0]); i++) {
        const struct field_row *row = &field_rows[i];
        char body[2048], want[2048];
        struct translating t;

        snprintf(body, sizeof(body), "{" HI "%s}", row->fields);
        snprintf(want, sizeof(want), "{" HI_OUT "%s}", row->want);
        begin(&t, row->model);
        if (translating_request(&t, slice_of(body)) != ST_OK)
            print_error("%s: %s\n", body, t.err.text);
        assert_out(&t, slice_of(want));
        assert_int_equal(t.dropped.n, 0);
        translating_end(&t);
    }
}

struct messages_row {
    const char *messages;
    const char *want; /* the whole body */
};

#define USER(parts) "{\"role\":\"user\",\"parts\":[" parts "]}"
#define ANSWER(parts) "{\"role\":\"model\",\"parts\":[" parts "]}"
#define TEXT(text) "{\"text\":\"" text "\"}"
#define PLACEHOLDER ",\"thoughtSignature\":\"skip_thought_signature_validator\""
#define PARTS(role, parts) "{\"role\":\"" role "\",\"content\":[" parts "]}"
#define PART_TEXT(text) "{\"type\":\"text\",\"text\":\"" text "\"}"
#define IMAGE(url) "{\"type\":\"image_url\",\"image_url\":{\"url\":\"" url "\",\"detail\":\"low\"}}"

/* One call, and what came of it: as the client says it and as Gemini is told. */
#define REFERRING(result)                                                                                              \
    "{\"role\":\"assistant\",\"tool_calls\":[" CALLS("1", "f", "") "]},{\"role\":\"tool\",\"tool_call_id\":\"1\","     \
                                                                   "\"content\":\"" result "\"}"
#define REFERRED(response)                                                                                             \
    "{\"contents\":[" ANSWER("{\"functionCall\":{\"id\":\"1\",\"name\":\"f\",\"args\":{}}" PLACEHOLDER "}") "," USER(  \
        "{\"functionResponse\":{\"id\":\"1\",\"name\":\"f\",\"response\":" response "}}") "]}"

static const struct messages_row messages_rows[] = {
    /* system texts wherever they stand; neighbours become one; empty texts are nothing */
    {"{\"role\":\"system\",\"content\":\"a\"},{\"role\":\"user\",\"content\":\"b\",\"name\":\"x\"},"
     "{\"role\":\"developer\",\"content\":[" PART_TEXT("c") "]},{\"role\":\"user\",\"content\":\"\"},"
                                                            "{\"role\":\"user\",\"content\":[" PART_TEXT(
                                                                "d") "," PART_TEXT("") "]}",
     "{\"systemInstruction\":{\"parts\":[" TEXT("a") "," TEXT("c") "]},\"contents\":[" USER(
         TEXT("b") "," TEXT("d")) "]}"},
    {"{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"},{\"role\":\"assistant\","
     "\"content\":[" PART_TEXT("c") ",{\"type\":\"refusal\",\"refusal\":\"d\"}],\"refusal\":\"e\",\"audio\":null},"
                                    "{\"role\":\"user\",\"content\":\"f\"}",
     "{\"contents\":[" USER(TEXT("a")) "," ANSWER(TEXT("b") "," TEXT("c") "," TEXT("d") "," TEXT("e")) "," USER(
         TEXT("f")) "]}"},
    /* media */
    {PARTS("user", IMAGE("data:image/webp;charset=x;base64,AAAA") "," IMAGE(
                       "https://youtu.be/x") ","
                                             "{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"BBBB\","
                                             "\"format\":\"mp3\"}},"
                                             "{\"type\":\"file\",\"file\":{\"filename\":\"f\",\"file_data\":"
                                             "\"data:application/pdf;base64,CC\"}}"),
     "{\"contents\":[" USER("{\"inlineData\":{\"mimeType\":\"image/webp\",\"data\":\"AAAA\"}},"
                            "{\"fileData\":{\"fileUri\":\"https://youtu.be/x\"}},"
                            "{\"inlineData\":{\"mimeType\":\"audio/mp3\",\"data\":\"BBBB\"}},"
                            "{\"inlineData\":{\"mimeType\":\"application/pdf\",\"data\":\"CC\"}}") "]}"},
    /* parallel calls: the first one has the stand-in for its signature; results in one content, by name, with what
       follows them */
    {"{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"tool_calls\":[" CALLS("1", "f", "") "," CALLS(
         "2", "g", "{\\\"x\\\":1}") "]},{\"role\":\"tool\",\"tool_call_id\":\"2\",\"content\":\" "
                                    "{\\\"y\\\":2}\"},"
                                    "{\"role\":\"tool\",\"tool_call_id\":\"1\",\"content\":[" PART_TEXT(
                                        "p") "," PART_TEXT("q") "]},"
                                                                "{\"role\":\"user\",\"content\":\"b\"}",
     "{\"contents\":[" USER(TEXT("a")) "," ANSWER("{\"functionCall\":{\"id\":\"1\",\"name\":\"f\",\"args\":{}"
                                                  "}" PLACEHOLDER "},"
                                                  "{\"functionCall\":{\"id\":\"2\",\"name\":\"g\",\"args\":{"
                                                  "\"x\":1}}}") "," USER("{\"functionResponse\":{\"id\":\"2\","
                                                                         "\"name\":\"g\",\"response\":{\"y\":2}"
                                                                         "}},"
                                                                         "{\"functionResponse\":{\"id\":\"1\","
                                                                         "\"name\":\"f\",\"response\":{"
                                                                         "\"result\":\"pq\"}}}," TEXT("b")) "]}"},
    /* an id that is used again means the last call before the result */
    {"{\"role\":\"assistant\",\"tool_calls\":[" CALLS(
         "1", "f", "") "]},"
                       "{\"role\":\"tool\",\"tool_call_id\":\"1\",\"content\":\"[1]\"},"
                       "{\"role\":\"assistant\",\"tool_calls\":[" CALLS(
                           "1", "g", "") "]},"
                                         "{\"role\":\"tool\",\"tool_call_id\":\"1\",\"content\":\"\"}",
     "{\"contents\":[" ANSWER("{\"functionCall\":{\"id\":\"1\",\"name\":\"f\",\"args\":{}}" PLACEHOLDER "}") "," USER(
         "{\"functionResponse\":{\"id\":\"1\",\"name\":\"f\",\"response\":{\"result\":\"[1]\"}"
         "}}") "," ANSWER("{\"functionCall\":{\"id\":\"1\",\"name\":\"g\",\"args\":{}"
                          "}" PLACEHOLDER "}") "," USER("{\"functionResponse\":{\"id\":\"1\",\"name\":\"g\","
                                                        "\"response\":{\"result\":\"\"}}}") "]}"},
    /* a result with references, in any spelling and at any depth, stays a text */
    {REFERRING("{\\\"a\\\":[{\\\"$ref\\\":\\\"#/a\\\"}]}"),
     REFERRED("{\"result\":\"{\\\"a\\\":[{\\\"$ref\\\":\\\"#/a\\\"}]}\"}")},
    {REFERRING("{\\\"\\\\u0024ref\\\":7}"), REFERRED("{\"result\":\"{\\\"\\\\u0024ref\\\":7}\"}")},
    {REFERRING("{\\\"a\\\":\\\"$ref\\\",\\\"$refs\\\":1}"), REFERRED("{\"a\":\"$ref\",\"$refs\":1}")},
    /* instructions alone: there has to be a turn */
    {"{\"role\":\"system\",\"content\":\"a\"},{\"role\":\"user\",\"content\":\"\"}",
     "{\"systemInstruction\":{\"parts\":[" TEXT("a") "]},\"contents\":[" USER(TEXT(".")) "]}"},
    {"{\"role\":\"system\",\"content\":\"\"},{\"role\":\"user\",\"content\":\"\"}",
     "{\"contents\":[" USER(TEXT(".")) "]}"},
    /* a custom tool's, from a model that has such: its input is text, as at Claude */
    {"{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"1\",\"type\":\"custom\",\"custom\":{\"name\":\"f\",\"input\":"
     "\"a\\nb\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"1\",\"content\":\"r\"}",
     "{\"contents\":[" ANSWER(
         "{\"functionCall\":{\"id\":\"1\",\"name\":\"f\",\"args\":{\"input\":\"a\\nb\"}}" PLACEHOLDER
         "}") "," USER("{\"functionResponse\":{\"id\":\"1\",\"name\":\"f\",\"response\":{"
                       "\"result\":\"r\"}}}") "]}"},
    /* the older form */
    {"{\"role\":\"assistant\",\"content\":null,\"function_call\":{\"name\":\"f\",\"arguments\":\"{}\"}},"
     "{\"role\":\"function\",\"name\":\"f\",\"content\":\"r\"}",
     "{\"contents\":[" ANSWER("{\"functionCall\":{\"name\":\"f\",\"args\":{}}" PLACEHOLDER "}") "," USER(
         "{\"functionResponse\":{\"name\":\"f\",\"response\":{\"result\":\"r\"}}}") "]}"},
};

static void messages_are_turned(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(messages_rows) / sizeof(messages_rows[0]); i++) {
        char body[4096];
        struct translating t;

        snprintf(body, sizeof(body), "{\"messages\":[%s]}", messages_rows[i].messages);
        begin(&t, MODEL);
        if (translating_request(&t, slice_of(body)) != ST_OK)
            print_error("%s: %s\n", body, t.err.text);
        assert_out(&t, slice_of(messages_rows[i].want));
        translating_end(&t);
    }
}

/* Numbers that no double holds, in schemas, arguments and results. */
static void numbers_stay_as_they_are_written(void **state)
{
    static const char number[] = "123456789012345678901234567890.10";
    static const char format[] = "{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[" CALLS(
        "1", "f",
        "{\\\"x\\\":%s}") "]},"
                          "{\"role\":\"tool\",\"tool_call_id\":\"1\",\"content\":\"{\\\"y\\\":%s}\"}],\"tools\":[" TOOL(
                              "f", ",\"parameters\":{\"maximum\":%s}") "],\"temperature\":1.50}";
    char body[1024];
    struct translating t;
    size_t found = 0;

    (void)state;
    snprintf(body, sizeof(body), format, number, number, number);
    begin(&t, MODEL);
    assert_int_equal(translating_request(&t, slice_of(body)), ST_OK);
    assert_int_equal(buf_add(&t.out, "", 1), ST_OK);
    for (const char *at = t.out.p; (at = strstr(at, number)) != NULL; at++)
        found++;
    assert_int_equal(found, 3);
    assert_non_null(strstr(t.out.p, "\"temperature\":1.50"));
    translating_end(&t);
}

/* How deep they are looked for is bounded, how deep they are is the client's choice. */
static void a_deep_result_is_a_text(void **state)
{
    static const char head[] = "{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[" CALLS(
        "1", "f", "") "]},"
                      "{\"role\":\"tool\",\"tool_call_id\":\"1\",\"content\":\"";
    struct translating t;
    struct buf body;

    (void)state;
    buf_init(&body, LIMIT_BODY);
    assert_int_equal(buf_addc(&body, head), ST_OK);
    for (unsigned i = 0; i < 100000; i++)
        assert_int_equal(buf_addc(&body, "{\\\"a\\\":"), ST_OK);
    assert_int_equal(buf_addc(&body, "1"), ST_OK);
    for (unsigned i = 0; i < 100000; i++)
        assert_int_equal(buf_addc(&body, "}"), ST_OK);
    assert_int_equal(buf_addc(&body, "\"}]}"), ST_OK);
    begin(&t, MODEL);
    assert_int_equal(translating_request(&t, (struct slice){body.p, body.n}), ST_OK);
    assert_int_equal(buf_add(&t.out, "", 1), ST_OK);
    assert_non_null(strstr(t.out.p, "\"response\":{\"result\":\"{\\\"a\\\":{\\\"a\\\":"));
    translating_end(&t);
    buf_fini(&body);
}

static void the_limit_of_the_credit_is_set(void **state)
{
    struct translate_call call = call_of("gemini-2.5-flash");
    struct translating t;

    (void)state;
    call.output_limit = 50;
    translating_begin(&t, &chat_to_gemini, &call);
    assert_int_equal(translating_request(&t, slice_of("{" HI ",\"max_tokens\":900}")), ST_OK);
    assert_out(&t, slice_of("{" HI_OUT CONFIG("\"maxOutputTokens\":50") "}"));
    assert_int_equal(translating_request(&t, slice_of("{" HI "}")), ST_OK);
    assert_out(&t, slice_of("{" HI_OUT CONFIG("\"maxOutputTokens\":50") "}"));
    translating_end(&t);
}

/* ---- what is refused ---------------------------------------------------------------------------------------------
 */

struct refused_row {
    const char *body;
    const char *code, *param;
};

#define MESSAGE(text) "{\"messages\":[" text "]}"
#define USER_PART(part) MESSAGE("{\"role\":\"user\",\"content\":[" PART_TEXT("a") "," part "]}")
#define BAD_CALL(call) MESSAGE("{\"role\":\"assistant\",\"tool_calls\":[" call "]}")

static const struct refused_row refused_rows[] = {
    {"{}", "missing_required_parameter", "messages"},
    {"{\"messages\":7}", "invalid_type", "messages"},
    {"{\"messages\":[]}", "invalid_value", "messages"},
    {MESSAGE("7"), "invalid_type", "messages[0]"},
    {MESSAGE("{}"), "missing_required_parameter", "messages[0].role"},
    {MESSAGE("{\"role\":7}"), "invalid_type", "messages[0].role"},
    {MESSAGE("{\"role\":\"boss\",\"content\":\"\"}"), "invalid_value", "messages[0].role"},
    {MESSAGE("{\"role\":\"user\"}"), "missing_required_parameter", "messages[0].content"},
    {MESSAGE("{\"role\":\"user\",\"content\":{}}"), "invalid_type", "messages[0].content"},
    {MESSAGE("{\"role\":\"system\",\"content\":3}"), "invalid_type", "messages[0].content"},
    {MESSAGE(PARTS("system", IMAGE("x"))), "invalid_value", "messages[0].content[0].type"},
    {MESSAGE(PARTS("assistant", IMAGE("x"))), "invalid_value", "messages[0].content[0].type"},
    {MESSAGE("{\"role\":\"assistant\",\"content\":3}"), "invalid_type", "messages[0].content"},
    {MESSAGE("{\"role\":\"assistant\",\"refusal\":3}"), "invalid_type", "messages[0].refusal"},
    {MESSAGE("{\"role\":\"assistant\",\"audio\":{\"id\":\"a\"}}"), "unsupported_parameter", "messages[0].audio"},
    {USER_PART("7"), "invalid_type", "messages[0].content[1]"},
    {USER_PART("{}"), "missing_required_parameter", "messages[0].content[1].type"},
    {USER_PART("{\"type\":\"video\"}"), "invalid_value", "messages[0].content[1].type"},
    {USER_PART("{\"type\":\"text\"}"), "missing_required_parameter", "messages[0].content[1].text"},
    {USER_PART("{\"type\":\"text\",\"text\":1}"), "invalid_type", "messages[0].content[1].text"},
    {USER_PART("{\"type\":\"image_url\"}"), "missing_required_parameter", "messages[0].content[1].image_url"},
    {USER_PART("{\"type\":\"image_url\",\"image_url\":\"x\"}"), "invalid_type", "messages[0].content[1].image_url"},
    {USER_PART("{\"type\":\"image_url\",\"image_url\":{}}"), "missing_required_parameter",
     "messages[0].content[1].image_url.url"},
    {USER_PART(IMAGE("https://example.org/a.png")), "invalid_value", "messages[0].content[1].image_url.url"},
    {USER_PART(IMAGE("http://youtu.be/x")), "invalid_value", "messages[0].content[1].image_url.url"},
    {USER_PART(IMAGE("https://youtu.be.example.org/x")), "invalid_value", "messages[0].content[1].image_url.url"},
    {USER_PART(IMAGE("data:")), "invalid_value", "messages[0].content[1].image_url.url"},
    {USER_PART(IMAGE("data:,x")), "invalid_value", "messages[0].content[1].image_url.url"},
    {USER_PART(IMAGE("data:image/png,x")), "invalid_value", "messages[0].content[1].image_url.url"},
    {USER_PART(IMAGE("data:;base64,x")), "invalid_value", "messages[0].content[1].image_url.url"},
    {USER_PART(IMAGE("data:image/png;base64,")), "invalid_value", "messages[0].content[1].image_url.url"},
    {USER_PART(IMAGE("data:base64,x")), "invalid_value", "messages[0].content[1].image_url.url"},
    {USER_PART("{\"type\":\"input_audio\"}"), "missing_required_parameter", "messages[0].content[1].input_audio"},
    {USER_PART("{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"a\",\"format\":\"ogg\"}}"), "invalid_value",
     "messages[0].content[1].input_audio.format"},
    {USER_PART("{\"type\":\"input_audio\",\"input_audio\":{\"format\":\"wav\"}}"), "missing_required_parameter",
     "messages[0].content[1].input_audio.data"},
    {USER_PART("{\"type\":\"file\",\"file\":{\"file_id\":\"file-1\"}}"), "unsupported_parameter",
     "messages[0].content[1].file.file_id"},
    {USER_PART("{\"type\":\"file\",\"file\":{\"file_data\":\"AAAA\"}}"), "invalid_value",
     "messages[0].content[1].file.file_data"},
    {USER_PART("{\"type\":\"file\",\"file\":[]}"), "invalid_type", "messages[0].content[1].file"},
    {MESSAGE("{\"role\":\"assistant\",\"tool_calls\":{}}"), "invalid_type", "messages[0].tool_calls"},
    {BAD_CALL("7"), "invalid_type", "messages[0].tool_calls[0]"},
    {BAD_CALL("{\"type\":\"odd\"}"), "invalid_value", "messages[0].tool_calls[0].type"},
    {BAD_CALL("{\"type\":\"custom\"}"), "missing_required_parameter", "messages[0].tool_calls[0].custom"},
    {BAD_CALL("{\"id\":\"1\",\"type\":\"custom\",\"custom\":{\"name\":\"f\",\"input\":{}}}"), "invalid_type",
     "messages[0].tool_calls[0].custom.input"},
    {BAD_CALL("{\"id\":\"1\"}"), "missing_required_parameter", "messages[0].tool_calls[0].function"},
    {BAD_CALL("{\"id\":\"1\",\"function\":7}"), "invalid_type", "messages[0].tool_calls[0].function"},
    {BAD_CALL("{\"function\":{\"name\":\"f\",\"arguments\":\"\"}}"), "missing_required_parameter",
     "messages[0].tool_calls[0].id"},
    {BAD_CALL("{\"id\":\"1\",\"function\":{\"arguments\":\"\"}}"), "missing_required_parameter",
     "messages[0].tool_calls[0].function.name"},
    {BAD_CALL("{\"id\":\"1\",\"function\":{\"name\":\"f\"}}"), "missing_required_parameter",
     "messages[0].tool_calls[0].function.arguments"},
    {BAD_CALL("{\"id\":\"1\",\"function\":{\"name\":\"f\",\"arguments\":{}}}"), "invalid_type",
     "messages[0].tool_calls[0].function.arguments"},
    {BAD_CALL(CALLS("1", "f", "{")), "invalid_value", "messages[0].tool_calls[0].function.arguments"},
    {BAD_CALL(CALLS("1", "f", "[]")), "invalid_value", "messages[0].tool_calls[0].function.arguments"},
    {BAD_CALL(CALLS("1", "f", " ")), "invalid_value", "messages[0].tool_calls[0].function.arguments"},
    {BAD_CALL("{\"id\":\"1\",\"function\":{\"name\":\"f\",\"arguments\":\"\"},\"extra_content\":{\"google\":{\"thought_"
              "signature\":7}}}"),
     "invalid_type", "messages[0].tool_calls[0].extra_content.google.thought_signature"},
    {MESSAGE("{\"role\":\"assistant\",\"function_call\":7}"), "invalid_type", "messages[0].function_call"},
    {MESSAGE("{\"role\":\"tool\",\"content\":\"a\"}"), "missing_required_parameter", "messages[0].tool_call_id"},
    {MESSAGE("{\"role\":\"tool\",\"tool_call_id\":\"1\",\"content\":\"a\"}"), "invalid_value",
     "messages[0].tool_call_id"},
    {MESSAGE(
         "{\"role\":\"tool\",\"tool_call_id\":\"1\",\"content\":\"a\"},{\"role\":\"assistant\",\"tool_calls\":[" CALLS(
             "1", "f", "") "]}"),
     "invalid_value", "messages[0].tool_call_id"},
    {MESSAGE("{\"role\":\"assistant\",\"tool_calls\":[" CALLS("1", "f", "") "]},{\"role\":\"tool\",\"tool_call_id\":"
                                                                            "\"1\"}"),
     "missing_required_parameter", "messages[1].content"},
    {MESSAGE("{\"role\":\"assistant\",\"tool_calls\":[" CALLS("1", "f", "") "]},{\"role\":\"tool\",\"tool_call_id\":"
                                                                            "\"1\",\"content\":[" IMAGE("x") "]}"),
     "invalid_value", "messages[1].content[0].type"},
    {MESSAGE("{\"role\":\"function\",\"content\":\"a\"}"), "missing_required_parameter", "messages[0].name"},
    {WITH("\"temperature\":\"1\""), "invalid_type", "temperature"},
    {WITH("\"temperature\":2.01"), "decimal_above_max_value", "temperature"},
    {WITH("\"temperature\":-0.5"), "decimal_below_min_value", "temperature"},
    {WITH("\"temperature\":1e999"), "decimal_above_max_value", "temperature"},
    {WITH("\"top_p\":1.5"), "decimal_above_max_value", "top_p"},
    {WITH("\"presence_penalty\":3"), "decimal_above_max_value", "presence_penalty"},
    {WITH("\"frequency_penalty\":[]"), "invalid_type", "frequency_penalty"},
    {WITH("\"seed\":2147483648"), "integer_above_max_value", "seed"},
    {WITH("\"seed\":-2147483649"), "integer_below_min_value", "seed"},
    {WITH("\"seed\":1.5"), "invalid_type", "seed"},
    {WITH("\"seed\":99999999999999999999999"), "invalid_type", "seed"},
    {WITH("\"max_tokens\":0"), "integer_below_min_value", "max_tokens"},
    {WITH("\"max_completion_tokens\":-1"), "integer_below_min_value", "max_completion_tokens"},
    {WITH("\"max_completion_tokens\":\"9\""), "invalid_type", "max_completion_tokens"},
    {WITH("\"n\":9"), "integer_above_max_value", "n"},
    {WITH("\"n\":0"), "integer_below_min_value", "n"},
    {WITH("\"n\":1,\"n\":2"), "invalid_value", "n"},
    {WITH("\"stop\":7"), "invalid_type", "stop"},
    {WITH("\"stop\":[\"a\",7]"), "invalid_type", "stop[1]"},
    {WITH("\"stop\":[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\"]"), "array_above_max_length", "stop"},
    {WITH("\"logprobs\":1"), "invalid_type", "logprobs"},
    {WITH("\"top_logprobs\":3"), "invalid_value", "top_logprobs"},
    {WITH("\"top_logprobs\":21,\"logprobs\":true"), "integer_above_max_value", "top_logprobs"},
    {WITH("\"response_format\":\"json\""), "invalid_type", "response_format"},
    {WITH("\"response_format\":{}"), "missing_required_parameter", "response_format.type"},
    {WITH("\"response_format\":{\"type\":\"xml\"}"), "invalid_value", "response_format.type"},
    {WITH("\"response_format\":{\"type\":\"json_schema\"}"), "missing_required_parameter",
     "response_format.json_schema"},
    {WITH("\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"schema\":7}}"), "invalid_type",
     "response_format.json_schema.schema"},
    {WITH("\"reasoning_effort\":7"), "invalid_type", "reasoning_effort"},
    {WITH("\"reasoning_effort\":\"huge\""), "invalid_value", "reasoning_effort"},
    {WITH("\"tools\":{}"), "invalid_type", "tools"},
    {WITH("\"tools\":[7]"), "invalid_type", "tools[0]"},
    {WITH("\"tools\":[{}]"), "missing_required_parameter", "tools[0].type"},
    {WITH("\"tools\":[{\"type\":\"custom\"}]"), "unsupported_parameter", "tools[0]"},
    {WITH("\"tools\":[{\"type\":\"function\"}]"), "missing_required_parameter", "tools[0].function"},
    {WITH("\"tools\":[{\"type\":\"function\",\"function\":[]}]"), "invalid_type", "tools[0].function"},
    {WITH("\"tools\":[{\"type\":\"function\",\"function\":{}}]"), "missing_required_parameter",
     "tools[0].function.name"},
    {WITH("\"tools\":[" TOOL("a b", "") "]"), "invalid_value", "tools[0].function.name"},
    {WITH("\"tools\":[" TOOL("a", ",\"parameters\":[]") "]"), "invalid_type", "tools[0].function.parameters"},
    {WITH("\"tools\":[" TOOL("a", ",\"description\":1") "]"), "invalid_type", "tools[0].function.description"},
    {WITH("\"tools\":[" TOOL("a", ",\"strict\":1") "]"), "invalid_type", "tools[0].function.strict"},
    {WITH("\"functions\":[{}]"), "missing_required_parameter", "functions[0].name"},
    {WITH("\"tool_choice\":\"required\""), "invalid_value", "tool_choice"},
    {WITH("\"tool_choice\":\"any\""), "invalid_value", "tool_choice"},
    {WITH("\"tool_choice\":7"), "invalid_type", "tool_choice"},
    {WITH("\"tool_choice\":{\"type\":\"function\"}"), "invalid_value", "tool_choice"},
    {WITH("\"tools\":[" TOOL("a", "") "],\"tool_choice\":{}"), "missing_required_parameter", "tool_choice.type"},
    {WITH("\"tools\":[" TOOL("a", "") "],\"tool_choice\":{\"type\":\"function\"}"), "missing_required_parameter",
     "tool_choice.function"},
    {WITH("\"tools\":[" TOOL("a", "") "],\"tool_choice\":{\"type\":\"custom\"}"), "unsupported_parameter",
     "tool_choice"},
    {WITH("\"tools\":[" TOOL("a", "") "],\"tool_choice\":{\"type\":\"allowed_tools\"}"), "missing_required_parameter",
     "tool_choice.allowed_tools"},
    {WITH("\"tools\":[" TOOL("a", "") "],\"tool_choice\":{\"type\":\"allowed_tools\",\"allowed_tools\":{}}"),
     "invalid_value", "tool_choice.allowed_tools.mode"},
    {WITH("\"tools\":[" TOOL("a", "") "],\"tool_choice\":{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":"
                                      "\"auto\",\"tools\":[]}}"),
     "invalid_value", "tool_choice.allowed_tools.tools"},
    {WITH("\"tools\":[" TOOL("a", "") "],\"tool_choice\":{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":"
                                      "\"auto\",\"tools\":[7]}}"),
     "invalid_type", "tool_choice.allowed_tools.tools[0]"},
    {WITH("\"functions\":[{\"name\":\"a\"}],\"function_call\":{}"), "missing_required_parameter", "function_call.name"},
    {WITH("\"store\":true"), "unsupported_parameter", "store"},
    {WITH("\"service_tier\":\"flex\""), "unsupported_parameter", "service_tier"},
    {WITH("\"parallel_tool_calls\":7"), "invalid_type", "parallel_tool_calls"},
    {WITH("\"top_k\":1.5"), "invalid_type", "top_k"},
    {WITH("\"top_k\":-2"), "integer_below_min_value", "top_k"},
    {WITH("\"logit_bias\":{\"1\":2}"), "unsupported_parameter", "logit_bias"},
    {WITH("\"modalities\":[\"text\",\"audio\"]"), "unsupported_parameter", "modalities"},
    {WITH("\"verbosity\":\"low\""), "unsupported_parameter", "verbosity"},
    {WITH("\"prediction\":{}"), "unsupported_parameter", "prediction"},
    {WITH("\"audio\":{}"), "unsupported_parameter", "audio"},
    {WITH("\"web_search_options\":{}"), "unsupported_parameter", "web_search_options"},
    {WITH("\"whatever\":1"), "unsupported_parameter", "whatever"},
    {WITH("\"a\\r\\nb: c\":1"), "unknown_parameter", ""},
    {WITH("\"\":1"), "unknown_parameter", ""},
    {"[]", "", ""},
    {"{", "", ""},
    {"", "", ""},
};

static void what_cannot_be_said_is_refused_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refused_rows) / sizeof(refused_rows[0]); i++) {
        const struct refused_row *row = &refused_rows[i];
        struct translating t;

        begin(&t, MODEL);
        print_message("%s\n", row->body);
        assert_int_equal(translating_request(&t, slice_of(row->body)), ST_BAD_REQUEST);
        assert_string_equal(t.err.code, row->code);
        assert_string_equal(t.err.param, row->param);
        assert_true(t.err.text[0] != '\0');
        assert_int_equal(t.out.n, 0);
        translating_end(&t);
    }
}

static void what_cannot_be_said_can_be_dropped(void **state)
{
    struct translate_call call = call_of("gemini-2.0-flash");
    struct translating t;

    (void)state;
    call.drop_unsupported = true;
    translating_begin(&t, &chat_to_gemini, &call);
    assert_int_equal(translating_request(&t, slice_of(WITH("\"verbosity\":\"low\",\"whatever\":1,\"tools\":[{\"type\":"
                                                           "\"custom\"}],\"reasoning_effort\":\"high\""))),
                     ST_OK);
    assert_out(&t, slice_of("{" HI_OUT "}"));
    assert_int_equal(buf_add(&t.dropped, "", 1), ST_OK);
    assert_string_equal(t.dropped.p, "verbosity, whatever, tools[0], reasoning_effort");
    translating_end(&t);
}

/* 100,000 calls and results under one id: nothing is quadratic. */
static void a_long_history_takes_no_longer(void **state)
{
    struct translating t;
    struct buf body;

    (void)state;
    buf_init(&body, LIMIT_BODY);
    assert_int_equal(buf_addc(&body, "{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":["), ST_OK);
    for (unsigned i = 0; i < 100000; i++)
        assert_int_equal(buf_addc(&body, i > 0 ? "," CALLS("1", "f", "") : CALLS("1", "f", "")), ST_OK);
    assert_int_equal(buf_addc(&body, "]}"), ST_OK);
    for (unsigned i = 0; i < 100000; i++)
        assert_int_equal(buf_addc(&body, ",{\"role\":\"tool\",\"tool_call_id\":\"1\",\"content\":\"\"}"), ST_OK);
    assert_int_equal(buf_addc(&body, "]}"), ST_OK);
    begin(&t, MODEL);
    assert_int_equal(translating_request(&t, (struct slice){body.p, body.n}), ST_OK);
    translating_end(&t);
    buf_fini(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_of_the_fixtures),
        cmocka_unit_test(fields_are_turned),
        cmocka_unit_test(messages_are_turned),
        cmocka_unit_test(numbers_stay_as_they_are_written),
        cmocka_unit_test(a_deep_result_is_a_text),
        cmocka_unit_test(the_limit_of_the_credit_is_set),
        cmocka_unit_test(what_cannot_be_said_is_refused_by_name),
        cmocka_unit_test(what_cannot_be_said_can_be_dropped),
        cmocka_unit_test(a_long_history_takes_no_longer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
