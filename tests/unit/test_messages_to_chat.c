/* The translator messages_to_chat, requests: what an Anthropic client sends, as a chat upstream gets it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/translating.h"

#define NAME_70 "mcp__plugin_atlassian_atlassian__getJiraProjectIssueTypesMetadata_long"
#define NAME_70_SENT "mcp__plugin_atlassian_atlassian__getJiraProject_"
#define USER "{\"role\":\"user\",\"content\":\"q\"}"
#define WITH(members) "{\"model\":\"m\",\"max_tokens\":9,\"messages\":[" USER "]" members "}"
#define SAYS(messages) "{\"model\":\"m\",\"max_tokens\":9,\"messages\":[" messages "]}"
#define BLOCKS(blocks) SAYS("{\"role\":\"user\",\"content\":[" blocks "]}")
#define TOOL "{\"name\":\"f\",\"input_schema\":{\"type\":\"object\",\"properties\":{}}}"
#define FUNCTION                                                                                                       \
    "{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":\"object\",\"properties\":{}}}}"
#define PNG "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":\"AAAA\"}}"
#define PNG_PART "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,AAAA\"}}"

static struct translate_call plain_call(void)
{
    return (struct translate_call){.model = slice_of("m"),
                                   .upstream_model = slice_of("u"),
                                   .request_id = slice_of("req_test"),
                                   .created = 1700000000};
}

static void begin(struct translating *t, bool drop)
{
    struct translate_call call = plain_call();

    call.drop_unsupported = drop;
    translating_begin(t, &messages_to_chat, &call);
}

static struct slice out_of(const struct translating *t)
{
    return (struct slice){t->out.p, t->out.n};
}

static void assert_alike(struct slice got, struct slice expected)
{
    if (!json_alike(got, expected))
        fail_msg("got      " SLICE_FMT "\nexpected " SLICE_FMT, SLICE_ARG(got), SLICE_ARG(expected));
}

/* ---- fixtures ------------------------------------------------------------------------------------------------------
 */

static void the_fixture_becomes_a_chat(void **state)
{
    struct slice in = fixture("translate/messages_to_openai/1_anthropic.request.json");
    struct slice expected = fixture("translate/messages_to_openai/2_openai.request.json");
    struct translate_call call = plain_call();
    struct translating t;

    (void)state;
    call.upstream_model = slice_of("gpt-4o-mini");
    translating_begin(&t, &messages_to_chat, &call);
    assert_int_equal(translating_request(&t, in), ST_OK);
    assert_alike(out_of(&t), expected);
    assert_int_equal(t.dropped.n, 0);
    translating_end(&t);
    free((void *)(uintptr_t)in.p);
    free((void *)(uintptr_t)expected.p);
}

static void what_anthropic_clients_send_is_taken(void **state)
{
    static const char *const paths[] = {
        "anthropic/messages_plain.request.json", "anthropic/messages_stream.request.json",
        "anthropic/messages_tools.request.json", "anthropic/messages_tools_followup.request.json"};

    (void)state;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct slice in = fixture(paths[i]);
        struct translating t;

        translating_begin(&t, &messages_to_chat, NULL);
        assert_int_equal(translating_request(&t, in), ST_OK);
        assert_non_null(strstr(t.out.p, "\"stream_options\":{\"include_usage\":true}"));
        translating_end(&t);
        free((void *)(uintptr_t)in.p);
    }
}

/* ---- members -------------------------------------------------------------------------------------------------------
 */

struct request_case {
    const char *client;
    const char *expected; /* what is in upstream's body beside model, max_completion_tokens and the one question */
};

static const struct request_case members[] = {
    {WITH(""), ""},
    {WITH(",\"temperature\":0.70,\"top_p\":1e-1"), ",\"temperature\":0.70,\"top_p\":1e-1"},
    {WITH(",\"stop_sequences\":[\"a\",\" \",\"c\",\"d\"]"), ",\"stop\":[\"a\",\" \",\"c\",\"d\"]"},
    {WITH(",\"stop_sequences\":[]"), ""},
    {WITH(",\"metadata\":{\"user_id\":\"me\",\"x\":1}"), ",\"user\":\"me\""},
    {WITH(",\"metadata\":{\"user_id\":null}"), ""},
    {WITH(",\"service_tier\":\"standard_only\",\"speed\":\"standard\",\"inference_geo\":\"global\""), ""},
    {WITH(",\"cache_control\":{\"type\":\"ephemeral\"},\"context_management\":{\"edits\":[]},\"mcp_servers\":[]"), ""},
    {WITH(",\"system\":null,\"tools\":[],\"thinking\":null,\"container\":null,\"unheard_of\":null,\"top_k\":null"), ""},
    {WITH(",\"stream\":true"), ""}, /* the call says whether it is one */
    {WITH(",\"tools\":[" TOOL "]"), ",\"tools\":[" FUNCTION "]"},
    {WITH(
         ",\"tools\":[{\"type\":\"custom\",\"name\":\"f\",\"strict\":true,\"description\":\"d\",\"defer_loading\":true,"
         "\"cache_control\":{},\"input_schema\":{\"type\":\"object\",\"maximum\":12345678901234567890123}}]"),
     ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"d\",\"strict\":false,"
     "\"parameters\":{\"type\":\"object\",\"maximum\":12345678901234567890123,\"properties\":{}}}}]"},
    {WITH(",\"tools\":[{\"type\":\"tool_search_tool_regex_20251119\",\"name\":\"tool_search_tool_regex\"}," TOOL "]"),
     ",\"tools\":[" FUNCTION "]"},
    {WITH(",\"tools\":[{\"name\":\"f\",\"input_schema\":{\"properties\":{},\"type\":\"object\"},"
          "\"allowed_callers\":[\"direct\"],\"input_examples\":[]}]"),
     ",\"tools\":[" FUNCTION "]"},
    {WITH(",\"tools\":[{\"name\":\"f\",\"description\":\"d\",\"input_schema\":{\"type\":\"object\"},"
          "\"input_examples\":[{\"a\":1.50},{}]}]"),
     ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"d\\n\\nExamples of its "
     "input:\\n{\\\"a\\\":1.50}\\n{}\",\"parameters\":{\"type\":\"object\",\"properties\":{}}}}]"},
    {WITH(",\"tools\":[" TOOL "],\"tool_choice\":{\"type\":\"auto\"}"),
     ",\"tools\":[" FUNCTION "],\"tool_choice\":\"auto\""},
    {WITH(",\"tools\":[" TOOL "],\"tool_choice\":{\"type\":\"none\"}"),
     ",\"tools\":[" FUNCTION "],\"tool_choice\":\"none\""},
    {WITH(",\"tools\":[" TOOL "],\"tool_choice\":{\"type\":\"any\",\"disable_parallel_tool_use\":false}"),
     ",\"tools\":[" FUNCTION "],\"tool_choice\":\"required\""},
    {WITH(",\"tools\":[" TOOL
          "],\"tool_choice\":{\"type\":\"tool\",\"name\":\"f\",\"disable_parallel_tool_use\":true}"),
     ",\"tools\":[" FUNCTION "],\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"f\"}},"
     "\"parallel_tool_calls\":false"},
    {WITH(",\"tool_choice\":{\"type\":\"auto\"}"), ""},
    {WITH(",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1024}"), ",\"reasoning_effort\":\"low\""},
    {WITH(",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":2000}"), ",\"reasoning_effort\":\"medium\""},
    {WITH(",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":31999}"), ",\"reasoning_effort\":\"high\""},
    {WITH(",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1024},\"output_config\":{\"effort\":\"max\"}"),
     ",\"reasoning_effort\":\"high\""},
    {WITH(",\"thinking\":{\"type\":\"adaptive\",\"display\":\"summarized\"}"), ""},
    {WITH(",\"thinking\":{\"type\":\"adaptive\"},\"output_config\":{\"effort\":\"xhigh\"}"),
     ",\"reasoning_effort\":\"high\""},
    {WITH(",\"output_config\":{\"effort\":\"low\"}"), ",\"reasoning_effort\":\"low\""},
    {WITH(",\"thinking\":{\"type\":\"disabled\"},\"output_config\":{\"effort\":\"low\"}"), ""},
    {WITH(",\"output_config\":{\"format\":{\"type\":\"json_schema\",\"schema\":{\"type\":\"object\",\"properties\":{"
          "\"a\":{\"type\":\"string\"}},\"required\":[\"a\"],\"additionalProperties\":false}}}"),
     ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"response\",\"strict\":true,\"schema\":"
     "{"
     "\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}},\"required\":[\"a\"],"
     "\"additionalProperties\":false}}}"},
    {WITH(",\"output_format\":{\"type\":\"json_schema\",\"schema\":{\"properties\":{\"a\":{\"properties\":{\"b\":{}},"
          "\"additionalProperties\":false}},\"required\":[\"a\"],\"additionalProperties\":false}}"),
     ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"response\",\"strict\":false,"
     "\"schema\":{"
     "\"properties\":{\"a\":{\"properties\":{\"b\":{}},\"additionalProperties\":false}},\"required\":[\"a\"],"
     "\"additionalProperties\":false}}}"},
};

static void members_become_chat_members(void **state)
{
    char expected[2048];
    struct translating t;

    (void)state;
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        begin(&t, false);
        if (translating_request(&t, slice_of(members[i].client)) != ST_OK)
            fail_msg("%s: %s", members[i].client, t.err.text);
        snprintf(expected, sizeof(expected), "{\"model\":\"u\",\"max_completion_tokens\":9,\"messages\":[" USER "]%s}",
                 members[i].expected);
        assert_alike(out_of(&t), slice_of(expected));
        translating_end(&t);
    }
}

#define PROPERTIES_AB "\"properties\":{\"a\":{\"type\":\"string\"},\"b\":{\"type\":\"string\"}}"
#define CLOSED ",\"additionalProperties\":false"

/* Anthropic's "strict" takes schemas that OpenAI's refuses ("'required' … Missing 'b'"). */
static void tools_are_strict_where_openai_takes_it(void **state)
{
    static const struct {
        const char *schema, *strict; /* strict: as the client says it */
        bool sent;
    } rows[] = {
        {"{\"type\":\"object\"," PROPERTIES_AB ",\"required\":[\"a\",\"b\"]" CLOSED "}", "true", true},
        {"{\"type\":\"object\"," PROPERTIES_AB ",\"required\":[\"a\",\"b\"]" CLOSED "}", "false", false},
        {"{\"type\":\"object\"," PROPERTIES_AB ",\"required\":[\"a\"]" CLOSED "}", "true", false},
        {"{\"type\":\"object\"," PROPERTIES_AB CLOSED "}", "true", false},
        {"{\"type\":\"object\"," PROPERTIES_AB ",\"required\":[\"a\",\"b\"]}", "true", false},
        {"{\"type\":\"object\"" CLOSED "}", "true", true},
        {"{\"type\":\"object\"}", "true", false},
        {"{" PROPERTIES_AB ",\"required\":[\"a\",\"b\"]" CLOSED "}", "true", false},
        {"{}", "true", false},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"object\"}},\"required\":[\"a\"]" CLOSED "}", "true",
         false},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"anyOf\":[{\"type\":[\"null\",\"object\"]}]}},"
         "\"required\":[\"a\"]" CLOSED "}",
         "true", false},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":[\"null\",\"object\"]" CLOSED "}},"
         "\"required\":[\"a\"]" CLOSED "}",
         "true", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct translating t;
        char body[512];

        snprintf(body, sizeof(body), WITH(",\"tools\":[{\"name\":\"f\",\"strict\":%s,\"input_schema\":%s}]"),
                 rows[i].strict, rows[i].schema);
        begin(&t, false);
        assert_int_equal(translating_request(&t, slice_of(body)), ST_OK);
        assert_int_equal(buf_add(&t.out, "", 1), ST_OK);
        if (strstr(t.out.p, rows[i].sent ? "\"strict\":true" : "\"strict\":false") == NULL)
            fail_msg("row %zu: %s", i, t.out.p);
        translating_end(&t);
    }
}

static void numbers_pass_as_they_stand(void **state)
{
    struct translating t;

    (void)state;
    begin(&t, false);
    assert_int_equal(
        translating_request(
            &t,
            slice_of("{\"model\":\"m\",\"max_tokens\":9,\"top_p\":0.10,\"tools\":[{\"name\":\"f\",\"input_schema\":{"
                     "\"maximum\":12345678901234567890.10}}],\"messages\":[{\"role\":\"assistant\",\"content\":[{"
                     "\"type\":\"tool_use\",\"id\":\"i\",\"name\":\"f\",\"input\":{\"n\":1.00000000000000000001e2}}]"
                     "}]}")),
        ST_OK);
    assert_int_equal(buf_add(&t.out, "", 1), ST_OK);
    assert_non_null(strstr(t.out.p, "\"top_p\":0.10"));
    assert_non_null(strstr(t.out.p, "\"maximum\":12345678901234567890.10"));
    assert_non_null(strstr(t.out.p, "\"arguments\":\"{\\\"n\\\":1.00000000000000000001e2}\""));
    translating_end(&t);
}

/* Claude Code asks for 32000 tokens whatever the model is. */
static void a_limit_beyond_the_model_is_the_models(void **state)
{
    static const struct {
        uint64_t wanted, of_call, most, sent;
    } rows[] = {{32000, 0, 16384, 16384}, {16384, 0, 16384, 16384}, {100, 0, 16384, 100},
                {32000, 0, 0, 32000},     {32000, 500, 16384, 500}, {32000, 20000, 16384, 16384}};

    (void)state;
    for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
        struct translate_call call = plain_call();
        char body[128], expected[64];
        struct translating t;

        call.stream = i % 2 == 1;
        call.output_limit = rows[i / 2].of_call;
        call.max_output = rows[i / 2].most;
        snprintf(body, sizeof(body), "{\"model\":\"m\",\"max_tokens\":%u,\"messages\":[" USER "]}",
                 (unsigned)rows[i / 2].wanted);
        snprintf(expected, sizeof(expected), "\"max_completion_tokens\":%u,", (unsigned)rows[i / 2].sent);
        translating_begin(&t, &messages_to_chat, &call);
        assert_int_equal(translating_request(&t, slice_of(body)), ST_OK);
        assert_int_equal(buf_add(&t.out, "", 1), ST_OK);
        if (strstr(t.out.p, expected) == NULL)
            fail_msg("row %zu: %s", i / 2, t.out.p);
        translating_end(&t);
    }
}

static void the_limit_of_the_call_wins(void **state)
{
    struct translate_call call = plain_call();
    struct translating t;

    (void)state;
    call.output_limit = 5;
    translating_begin(&t, &messages_to_chat, &call);
    assert_int_equal(translating_request(&t, slice_of(WITH(""))), ST_OK);
    assert_alike(out_of(&t), slice_of("{\"model\":\"u\",\"max_completion_tokens\":5,\"messages\":[" USER "]}"));
    translating_end(&t);
}

/* An upstream that is not OpenAI's may know no other name. */
static void the_limit_has_its_older_name_elsewhere(void **state)
{
    struct translate_call call = plain_call();
    struct translating t;

    (void)state;
    call.output_limit = 5;
    call.old_limit = true;
    translating_begin(&t, &messages_to_chat, &call);
    assert_int_equal(translating_request(&t, slice_of(WITH(""))), ST_OK);
    assert_alike(out_of(&t), slice_of("{\"model\":\"u\",\"max_tokens\":5,\"messages\":[" USER "]}"));
    translating_end(&t);
}

/* ---- messages ------------------------------------------------------------------------------------------------------
 */

static const struct request_case turns[] = {
    {SAYS(USER ",{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"assistant\",\"content\":\"a\"}," USER),
     USER ",{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"assistant\",\"content\":\"a\"}," USER},
    {SAYS(USER ",{\"role\":\"system\",\"content\":[{\"type\":\"text\",\"text\":\"\"}]}"), USER},
    {"{\"model\":\"m\",\"max_tokens\":9,\"system\":[{\"type\":\"text\",\"text\":\"x-anthropic-billing-header: "
     "cch=1;\"},"
     "{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"\"},{\"type\":\"text\",\"text\":"
     "\"x-anthropic-billing-header: b\",\"cache_control\":{}}],\"messages\":[" USER "]}",
     "{\"role\":\"system\",\"content\":\"a\\n\\nx-anthropic-billing-header: b\"}," USER},
    {"{\"model\":\"m\",\"max_tokens\":9,\"system\":\"s\",\"messages\":[" USER "]}",
     "{\"role\":\"system\",\"content\":\"s\"}," USER},
    {BLOCKS("{\"type\":\"text\",\"text\":\"a\\u0000\\ud83d\\ude00\",\"cache_control\":{\"type\":\"ephemeral\"}}"),
     "{\"role\":\"user\",\"content\":\"a\\u0000\\ud83d\\ude00\"}"},
    {BLOCKS("{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"\"},{\"type\":\"text\",\"text\":\"b\"}"),
     "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]}"},
    {BLOCKS(""), "{\"role\":\"user\",\"content\":\"\"}"},
    {BLOCKS(PNG), "{\"role\":\"user\",\"content\":[" PNG_PART "]}"},
    {BLOCKS("{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":\"https://a/b\"}}"),
     "{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://a/b\"}}]}"},
    {BLOCKS(
         "{\"type\":\"document\",\"title\":\"t.pdf\",\"context\":\"c\",\"source\":{\"type\":\"base64\",\"media_type\":"
         "\"application/pdf\",\"data\":\"JVBERg==\"},\"citations\":{\"enabled\":false}}"),
     "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"c\"},{\"type\":\"file\",\"file\":{\"filename\":"
     "\"t.pdf\",\"file_data\":\"data:application/pdf;base64,JVBERg==\"}}]}"},
    {BLOCKS("{\"type\":\"document\",\"source\":{\"type\":\"base64\",\"media_type\":\"application/"
            "pdf\",\"data\":\"JVBE\"}}"),
     "{\"role\":\"user\",\"content\":[{\"type\":\"file\",\"file\":{\"filename\":\"document.pdf\",\"file_data\":"
     "\"data:application/pdf;base64,JVBE\"}}]}"},
    {BLOCKS(
         "{\"type\":\"document\",\"title\":\"T\",\"source\":{\"type\":\"text\",\"media_type\":\"text/plain\",\"data\":"
         "\"d\"}}"),
     "{\"role\":\"user\",\"content\":\"T\\n\\nd\"}"},
    {BLOCKS("{\"type\":\"document\",\"title\":\"T\",\"source\":{\"type\":\"content\",\"content\":[{\"type\":\"text\","
            "\"text\":\"x\"}," PNG "]}}"),
     "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"T\"},{\"type\":\"text\",\"text\":\"x\"}," PNG_PART
     "]}"},
    {BLOCKS("{\"type\":\"document\",\"source\":{\"type\":\"content\",\"content\":\"x\"}}"),
     "{\"role\":\"user\",\"content\":\"x\"}"},
    {BLOCKS("{\"type\":\"search_result\",\"title\":\"T\",\"source\":\"S\",\"content\":[{\"type\":\"text\",\"text\":"
            "\"x\"}]}"),
     "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"T\\n\\nS\"},{\"type\":\"text\",\"text\":\"x\"}]}"},
    /* results before the rest, whatever stands between them */
    {BLOCKS("{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"tool_result\",\"tool_use_id\":\"1\",\"content\":\"r\"},"
            "{\"type\":\"tool_result\",\"tool_use_id\":\"2\"}"),
     "{\"role\":\"tool\",\"tool_call_id\":\"1\",\"content\":\"r\"},{\"role\":\"tool\",\"tool_call_id\":\"2\","
     "\"content\":\"\"},{\"role\":\"user\",\"content\":\"a\"}"},
    {BLOCKS(
         "{\"type\":\"tool_result\",\"tool_use_id\":\"1\",\"is_error\":false,\"content\":[{\"type\":\"text\",\"text\":"
         "\"x\"}," PNG "," PNG ",{\"type\":\"text\",\"text\":\"y\"}]},{\"type\":\"text\",\"text\":\"a\"}"),
     "{\"role\":\"tool\",\"tool_call_id\":\"1\",\"content\":\"x\\n\\ny\"},{\"role\":\"user\",\"content\":[{\"type\":"
     "\"text\",\"text\":\"From the result of tool call 1:\"}," PNG_PART "," PNG_PART
     ",{\"type\":\"text\",\"text\":\"a\"}]}"},
    /* what a search among tools found; what failed without a word */
    {BLOCKS(
         "{\"type\":\"tool_result\",\"tool_use_id\":\"1\",\"content\":[{\"type\":\"tool_reference\",\"tool_name\":"
         "\"f\"},{\"type\":\"tool_reference\",\"tool_name\":\"g\"}]},{\"type\":\"tool_result\",\"tool_use_id\":\"2\","
         "\"is_error\":true},{\"type\":\"tool_result\",\"tool_use_id\":\"3\",\"is_error\":true,\"content\":\"e\"}"),
     "{\"role\":\"tool\",\"tool_call_id\":\"1\",\"content\":\"f\\n\\ng\"},{\"role\":\"tool\",\"tool_call_id\":\"2\","
     "\"content\":\"Error\"},{\"role\":\"tool\",\"tool_call_id\":\"3\",\"content\":\"e\"}"},
    {SAYS("{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"h\",\"signature\":\"s\"},"
          "{\"type\":\"redacted_thinking\",\"data\":\"d\"}]}"),
     "{\"role\":\"assistant\",\"content\":\"\"}"},
    {SAYS("{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"a\",\"citations\":null},{\"type\":"
          "\"text\","
          "\"text\":\"b\"},{\"type\":\"tool_use\",\"id\":\"1\",\"name\":\"f\",\"input\":{}},{\"type\":\"tool_use\","
          "\"id\":"
          "\"2\",\"name\":\"g\",\"input\":{\"a\":[1,null,\"\\u00e9\"]}}]}"),
     "{\"role\":\"assistant\",\"content\":\"ab\",\"tool_calls\":[{\"id\":\"1\",\"type\":\"function\",\"function\":{"
     "\"name\":\"f\",\"arguments\":\"{}\"}},{\"id\":\"2\",\"type\":\"function\",\"function\":{\"name\":\"g\","
     "\"arguments\":\"{\\\"a\\\":[1,null,\\\"\\u00e9\\\"]}\"}}]}"},
    {SAYS("{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"1\",\"name\":\"f\",\"input\":{}}]}"),
     "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"1\",\"type\":\"function\",\"function\":{"
     "\"name\":\"f\",\"arguments\":\"{}\"}}]}"},
};

static void turns_become_chat_messages(void **state)
{
    char expected[2048];
    struct translating t;

    (void)state;
    for (size_t i = 0; i < sizeof(turns) / sizeof(turns[0]); i++) {
        begin(&t, false);
        if (translating_request(&t, slice_of(turns[i].client)) != ST_OK)
            fail_msg("%s: %s", turns[i].client, t.err.text);
        snprintf(expected, sizeof(expected), "{\"model\":\"u\",\"max_completion_tokens\":9,\"messages\":[%s]}",
                 turns[i].expected);
        assert_alike(out_of(&t), slice_of(expected));
        translating_end(&t);
    }
}

/* ---- what is too long for OpenAI -----------------------------------------------------------------------------------
 */

static void long_names_of_tools_go_and_come_back(void **state)
{
    static const char request[] =
        "{\"model\":\"m\",\"max_tokens\":9,\"tools\":[" TOOL ",{\"name\":\"" NAME_70
        "\",\"input_schema\":{}},{\"name\":\"" NAME_70 "er\",\"input_schema\":{}}],\"tool_choice\":{\"type\":\"tool\","
        "\"name\":\"" NAME_70 "\"},\"messages\":[{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":"
        "\"1\",\"name\":\"" NAME_70 "\",\"input\":{}}]}]}";
    struct translating t;
    char sent[65], answer[512];
    const char *at;
    size_t n = 0;

    (void)state;
    begin(&t, false);
    assert_int_equal(translating_request(&t, slice_of(request)), ST_OK);
    assert_int_equal(buf_add(&t.out, "", 1), ST_OK);
    assert_null(strstr(t.out.p, NAME_70));
    at = strstr(t.out.p, NAME_70_SENT);
    assert_non_null(at);
    assert_int_equal(strcspn(at, "\""), 64);
    memcpy(sent, at, 64);
    sent[64] = '\0';
    for (const char *p = t.out.p; (p = strstr(p, sent)) != NULL; p++)
        n++;
    assert_int_equal(n, 3); /* in the turn, the tools, the choice; the other tool has another digest */
    snprintf(answer, sizeof(answer),
             "{\"choices\":[{\"message\":{\"tool_calls\":[{\"id\":\"c\",\"function\":{\"name\":\"%s\"}}]}}]}", sent);
    assert_int_equal(translating_answer(&t, slice_of(answer)), ST_OK);
    assert_int_equal(buf_add(&t.out, "", 1), ST_OK);
    assert_non_null(strstr(t.out.p, "\"name\":\"" NAME_70 "\""));
    translating_end(&t);
}

static void a_long_user_becomes_a_digest(void **state)
{
    char request[512], user[151], first[2048] = "";
    struct translating t;

    (void)state;
    memset(user, 'u', 150);
    user[150] = '\0';
    for (size_t i = 0; i < 2; i++) {
        snprintf(request, sizeof(request), WITH(",\"metadata\":{\"user_id\":\"%s\"}"), user);
        begin(&t, false);
        assert_int_equal(translating_request(&t, slice_of(request)), ST_OK);
        assert_int_equal(buf_add(&t.out, "", 1), ST_OK);
        assert_int_equal(strcspn(strstr(t.out.p, "\"user\":\"") + 8, "\""), 32);
        if (i == 0)
            snprintf(first, sizeof(first), "%s", t.out.p);
        assert_string_equal(t.out.p, first);
        translating_end(&t);
    }
}

/* ---- what is refused -----------------------------------------------------------------------------------------------
 */

struct refused_case {
    const char *client, *code, *param;
};

#define TYPE "invalid_type"
#define VALUE "invalid_value"
#define MISSING "missing_required_parameter"

static const struct refused_case refused[] = {
    {"[]", "", ""},
    {"{\"model\":", "", ""},
    {"{}", MISSING, "model"},
    {"{\"model\":1}", TYPE, "model"},
    {"{\"model\":\"m\"}", MISSING, "max_tokens"},
    {"{\"model\":\"m\",\"max_tokens\":\"9\"}", TYPE, "max_tokens"},
    {"{\"model\":\"m\",\"max_tokens\":0}", VALUE, "max_tokens"},
    {"{\"model\":\"m\",\"max_tokens\":-1}", TYPE, "max_tokens"},
    {"{\"model\":\"m\",\"max_tokens\":1.5}", TYPE, "max_tokens"},
    {"{\"model\":\"m\",\"max_tokens\":99999999999999999999}", TYPE, "max_tokens"},
    {"{\"model\":\"m\",\"max_tokens\":9}", MISSING, "messages"},
    {"{\"model\":\"m\",\"max_tokens\":9,\"messages\":{}}", TYPE, "messages"},
    {SAYS(""), VALUE, "messages"},
    {SAYS("1"), TYPE, "messages.0"},
    {SAYS(USER ",{\"content\":\"x\"}"), MISSING, "messages.1.role"},
    {SAYS("{\"role\":\"tool\",\"content\":\"x\"}"), VALUE, "messages.0.role"},
    {SAYS("{\"role\":\"user\"}"), MISSING, "messages.0.content"},
    {SAYS("{\"role\":\"user\",\"content\":7}"), TYPE, "messages.0.content"},
    {BLOCKS("\"x\""), TYPE, "messages.0.content.0"},
    {BLOCKS("{\"text\":\"x\"}"), MISSING, "messages.0.content.0.type"},
    {BLOCKS("{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\"}"), MISSING, "messages.0.content.1.text"},
    {BLOCKS("{\"type\":\"image\"}"), MISSING, "messages.0.content.0.source"},
    {BLOCKS("{\"type\":\"image\",\"source\":{}}"), MISSING, "messages.0.content.0.source.type"},
    {BLOCKS("{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/tiff\",\"data\":\"AA==\"}}"),
     VALUE, "messages.0.content.0.source.media_type"},
    {BLOCKS("{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":\"A,A\"}}"),
     VALUE, "messages.0.content.0.source.data"},
    {BLOCKS("{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":\"\"}}"), VALUE,
     "messages.0.content.0.source.data"},
    {BLOCKS("{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":\"http://10.0.0.1/\"}}"), VALUE,
     "messages.0.content.0.source.url"},
    {BLOCKS("{\"type\":\"document\",\"source\":{\"type\":\"base64\",\"media_type\":\"text/html\",\"data\":\"AA==\"}}"),
     VALUE, "messages.0.content.0.source.media_type"},
    {BLOCKS("{\"type\":\"document\",\"source\":{\"type\":\"content\",\"content\":[{\"type\":\"document\"}]}}"), VALUE,
     "messages.0.content.0.source.content.0.type"},
    {BLOCKS("{\"type\":\"search_result\",\"title\":\"T\",\"source\":\"S\",\"content\":[" PNG "]}"), VALUE,
     "messages.0.content.0.content.0.type"},
    {BLOCKS("{\"type\":\"tool_result\",\"content\":\"x\"}"), MISSING, "messages.0.content.0.tool_use_id"},
    {BLOCKS("{\"type\":\"tool_result\",\"tool_use_id\":\"1\",\"content\":[{\"type\":\"tool_reference\"}]}"), MISSING,
     "messages.0.content.0.content.0.tool_name"},
    {BLOCKS("{\"type\":\"tool_result\",\"tool_use_id\":\"1\",\"is_error\":\"no\"}"), TYPE,
     "messages.0.content.0.is_error"},
    {BLOCKS("{\"type\":\"tool_result\",\"tool_use_id\":\"1\",\"content\":[{\"type\":\"text\",\"text\":\"\"},{\"type\":"
            "\"image\",\"source\":7}]}"),
     TYPE, "messages.0.content.0.content.1.source"},
    {SAYS("{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"name\":\"f\",\"input\":{}}]}"), MISSING,
     "messages.0.content.0.id"},
    {SAYS("{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"1\",\"name\":\"a b\",\"input\":{}}]}"),
     VALUE, "messages.0.content.0.name"},
    {SAYS(
         "{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"1\",\"name\":\"f\",\"input\":\"{}\"}]}"),
     TYPE, "messages.0.content.0.input"},
    {SAYS("{\"role\":\"system\",\"content\":[{\"type\":\"image\"}]}"), VALUE, "messages.0.content.0.type"},
    {"{\"model\":\"m\",\"max_tokens\":9,\"system\":[{\"type\":\"text\",\"text\":1}],\"messages\":[" USER "]}", TYPE,
     "system.0.text"},
    {WITH(",\"stream\":\"yes\""), TYPE, "stream"},
    {WITH(",\"temperature\":1.01"), VALUE, "temperature"},
    {WITH(",\"top_p\":-0.1"), VALUE, "top_p"},
    {WITH(",\"top_k\":\"5\""), TYPE, "top_k"},
    {WITH(",\"stop_sequences\":\"x\""), TYPE, "stop_sequences"},
    {WITH(",\"stop_sequences\":[\"x\",7]"), TYPE, "stop_sequences.1"},
    {WITH(",\"stop_sequences\":[\"\"]"), VALUE, "stop_sequences.0"},
    {WITH(",\"metadata\":[]"), TYPE, "metadata"},
    {WITH(",\"metadata\":{\"user_id\":7}"), TYPE, "metadata.user_id"},
    {WITH(",\"service_tier\":\"flex\""), VALUE, "service_tier"},
    {WITH(",\"tools\":{}"), TYPE, "tools"},
    {WITH(",\"tools\":[7]"), TYPE, "tools.0"},
    {WITH(",\"tools\":[" TOOL ",{\"input_schema\":{}}]"), MISSING, "tools.1.name"},
    {WITH(",\"tools\":[{\"name\":\"\",\"input_schema\":{}}]"), VALUE, "tools.0.name"},
    {WITH(",\"tools\":[{\"name\":\"f\"}]"), MISSING, "tools.0.input_schema"},
    {WITH(",\"tools\":[{\"name\":\"f\",\"input_schema\":{},\"strict\":1}]"), TYPE, "tools.0.strict"},
    {WITH(",\"tools\":[" TOOL "],\"tool_choice\":\"auto\""), TYPE, "tool_choice"},
    {WITH(",\"tools\":[" TOOL "],\"tool_choice\":{\"type\":\"some\"}"), VALUE, "tool_choice.type"},
    {WITH(",\"tools\":[" TOOL "],\"tool_choice\":{\"type\":\"tool\"}"), MISSING, "tool_choice.name"},
    {WITH(",\"tool_choice\":{\"type\":\"any\"}"), VALUE, "tool_choice"},
    {WITH(",\"thinking\":{\"type\":\"deep\"}"), VALUE, "thinking.type"},
    {WITH(",\"thinking\":{\"type\":\"enabled\"}"), MISSING, "thinking.budget_tokens"},
    {WITH(",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1023}"), VALUE, "thinking.budget_tokens"},
    {WITH(",\"output_config\":{\"effort\":\"minimal\"}"), VALUE, "output_config.effort"},
    {WITH(",\"output_config\":{\"format\":{\"type\":\"json_object\"}}"), VALUE, "output_config.format.type"},
    {WITH(",\"output_format\":{\"type\":\"json_schema\"}"), MISSING, "output_format.schema"},
    {WITH(",\"a\\r\\nset-cookie: b\":1"), "unknown_parameter", "(a member)"},
    {WITH(",\"\":1"), "unknown_parameter", "(a member)"},
};

static void what_is_wrong_is_named_as_anthropic_does(void **state)
{
    struct translating t;

    (void)state;
    for (size_t i = 0; i < 2 * sizeof(refused) / sizeof(refused[0]); i++) {
        const struct refused_case *c = &refused[i / 2];

        begin(&t, i % 2 == 1); /* whatever is dropped: this is wrong */
        if (translating_request(&t, slice_of(c->client)) != ST_BAD_REQUEST)
            fail_msg("%s is taken", c->client);
        assert_string_equal(t.err.code, c->code);
        assert_string_equal(t.err.param, c->param);
        if (c->param[0] != '\0')
            assert_memory_equal(t.err.text, c->param, strlen(c->param)); /* its only place in Anthropic's error */
        assert_int_equal(t.out.n, 0);
        translating_end(&t);
    }
}

struct unsupported_case {
    const char *client, *param;
    const char *rest; /* what is left when it is dropped, as in turns or members; NULL = not compared */
};

static const struct unsupported_case unsupported[] = {
    {WITH(",\"top_k\":5"), "top_k", ""},
    {WITH(",\"container\":\"c\""), "container", ""},
    {WITH(",\"mcp_servers\":[{}]"), "mcp_servers", ""},
    {WITH(",\"speed\":\"fast\""), "speed", ""},
    {WITH(",\"inference_geo\":\"us\""), "inference_geo", ""},
    {WITH(",\"unheard_of\":false"), "unheard_of", ""},
    {WITH(",\"output_config\":{\"task_budget\":{}}"), "output_config.task_budget", ""},
    {WITH(",\"stop_sequences\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\"]"), "stop_sequences.4",
     ",\"stop\":[\"1\",\"2\",\"3\",\"4\"]"},
    {WITH(",\"tools\":[{\"type\":\"web_search_20250305\",\"name\":\"web_search\"}," TOOL "]"), "tools.0",
     ",\"tools\":[" FUNCTION "]"},
    {WITH(",\"tools\":[{\"type\":\"bash_20250124\",\"name\":\"bash\"}],\"tool_choice\":{\"type\":\"auto\"}"), "tools.0",
     ""},
    {WITH(",\"tools\":[{\"name\":\"f\",\"input_schema\":{\"properties\":{},\"type\":\"object\"},"
          "\"allowed_callers\":[\"direct\",\"code_execution_20250825\"]}]"),
     "tools.0.allowed_callers", ",\"tools\":[" FUNCTION "]"},
    {BLOCKS("{\"type\":\"image\",\"source\":{\"type\":\"file\",\"file_id\":\"f\"}}"), "messages.0.content.0.source",
     NULL},
    {BLOCKS("{\"type\":\"document\",\"source\":{\"type\":\"url\",\"url\":\"https://a/b.pdf\"}}"),
     "messages.0.content.0.source", NULL},
    {BLOCKS("{\"type\":\"document\",\"citations\":{\"enabled\":true},\"source\":{\"type\":\"text\",\"data\":\"d\"}}"),
     "messages.0.content.0.citations", NULL},
    {BLOCKS("{\"type\":\"container_upload\",\"file_id\":\"f\"}"), "messages.0.content.0", NULL},
    {SAYS("{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"server_tool_use\"}]}"),
     "messages.0.content.1", NULL},
    {BLOCKS("{\"type\":\"tool_result\",\"tool_use_id\":\"1\",\"content\":[{\"type\":\"unheard_of\"}]}"),
     "messages.0.content.0.content.0", NULL},
};

static void what_chat_cannot_say_is_refused_or_dropped(void **state)
{
    char expected[1024];
    struct translating t;

    (void)state;
    for (size_t i = 0; i < sizeof(unsupported) / sizeof(unsupported[0]); i++) {
        const struct unsupported_case *c = &unsupported[i];

        begin(&t, false);
        if (translating_request(&t, slice_of(c->client)) != ST_BAD_REQUEST)
            fail_msg("%s is taken", c->client);
        assert_string_equal(t.err.code, "unsupported_parameter");
        assert_string_equal(t.err.param, c->param);
        translating_end(&t);
        begin(&t, true);
        assert_int_equal(translating_request(&t, slice_of(c->client)), ST_OK);
        assert_true(slice_is((struct slice){t.dropped.p, t.dropped.n}, c->param));
        snprintf(expected, sizeof(expected), "{\"model\":\"u\",\"max_completion_tokens\":9,\"messages\":[" USER "]%s}",
                 c->rest != NULL ? c->rest : "");
        if (c->rest != NULL)
            assert_alike(out_of(&t), slice_of(expected));
        translating_end(&t);
    }
}

static void every_truncation_is_refused(void **state)
{
    struct slice in = fixture("translate/messages_to_openai/1_anthropic.request.json");
    struct translating t;

    (void)state;
    for (size_t n = 0; n + 2 < in.n; n += 7) {
        char *copy = malloc(n + 1);

        assert_non_null(copy);
        memcpy(copy, in.p, n);
        begin(&t, true);
        assert_int_equal(translating_request(&t, (struct slice){copy, n}), ST_BAD_REQUEST);
        assert_int_equal(translating_answer(&t, (struct slice){copy, n}), ST_UPSTREAM);
        translating_end(&t);
        free(copy);
    }
    free((void *)(uintptr_t)in.p);
}

/* Depth, and numbers of items, that only an attacker sends. */
static void deep_and_many_are_borne(void **state)
{
    struct translating t;
    struct buf b;

    (void)state;
    buf_init(&b, TRANSLATING_OUT_MAX);
    assert_int_equal(
        buf_addc(&b, "{\"model\":\"m\",\"max_tokens\":9,\"output_format\":{\"type\":\"json_schema\",\"schema\":{"
                     "\"a\":"),
        ST_OK);
    for (size_t i = 0; i < 100000; i++)
        assert_int_equal(buf_addc(&b, "["), ST_OK);
    for (size_t i = 0; i < 100000; i++)
        assert_int_equal(buf_addc(&b, "]"), ST_OK);
    assert_int_equal(buf_addc(&b, "}},\"tools\":["), ST_OK);
    for (size_t i = 0; i < 20000; i++)
        assert_int_equal(buf_addc(&b, TOOL ","), ST_OK);
    assert_int_equal(buf_addc(&b, TOOL "],\"messages\":["), ST_OK);
    for (size_t i = 0; i < 50000; i++)
        assert_int_equal(buf_addf(&b, "%s,", i % 2 == 0 ? USER : "{\"role\":\"assistant\",\"content\":[]}"), ST_OK);
    assert_int_equal(buf_addc(&b, USER "]"), ST_OK);
    for (size_t i = 0; i < 20000; i++)
        assert_int_equal(buf_addf(&b, ",\"x%zu\":1", i), ST_OK);
    assert_int_equal(buf_addc(&b, "}"), ST_OK);
    begin(&t, true);
    assert_int_equal(translating_request(&t, (struct slice){b.p, b.n}), ST_OK);
    assert_true(t.dropped.n <= TRANSLATE_DROPPED_MAX);
    translating_end(&t);
    b.n = 0;
    assert_int_equal(buf_addc(&b, "{\"model\":\"m\",\"max_tokens\":9,\"messages\":[" USER "],\"tools\":["), ST_OK);
    for (size_t i = 0; i <= 1024; i++)
        assert_int_equal(buf_addf(&b, "%s{\"name\":\"" NAME_70 "%zu\",\"input_schema\":{}}", i > 0 ? "," : "", i),
                         ST_OK);
    assert_int_equal(buf_addc(&b, "]}"), ST_OK);
    begin(&t, true);
    assert_int_equal(translating_request(&t, (struct slice){b.p, b.n}), ST_BAD_REQUEST);
    assert_string_equal(t.err.param, "tools.1024.name");
    translating_end(&t);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fixture_becomes_a_chat),
        cmocka_unit_test(what_anthropic_clients_send_is_taken),
        cmocka_unit_test(members_become_chat_members),
        cmocka_unit_test(tools_are_strict_where_openai_takes_it),
        cmocka_unit_test(numbers_pass_as_they_stand),
        cmocka_unit_test(a_limit_beyond_the_model_is_the_models),
        cmocka_unit_test(the_limit_of_the_call_wins),
        cmocka_unit_test(the_limit_has_its_older_name_elsewhere),
        cmocka_unit_test(turns_become_chat_messages),
        cmocka_unit_test(long_names_of_tools_go_and_come_back),
        cmocka_unit_test(a_long_user_becomes_a_digest),
        cmocka_unit_test(what_is_wrong_is_named_as_anthropic_does),
        cmocka_unit_test(what_chat_cannot_say_is_refused_or_dropped),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(deep_and_many_are_borne),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
