/* Chat completions over Anthropic's Messages: requests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/chat_to_messages.h"

#define TOOL(name) "{\"type\":\"function\",\"function\":{\"name\":\"" name "\",\"parameters\":{\"type\":\"object\"}}}"
#define TOOL_OUT(name) "{\"name\":\"" name "\",\"input_schema\":{\"type\":\"object\"}}"
#define BODY_MAX (512u * 1024u)

/* ---- fixtures -----------------------------------------------------------------------------------------------------
 */

static void assert_fixture(const struct translating *t, const char *path)
{
    struct slice wanted = fixture(path);

    assert_alike(out_of(t), wanted);
    free((void *)(uintptr_t)wanted.p);
}

static void the_fixture_is_translated_there_and_back(void **state)
{
    struct translate_call call = call_for("claude-haiku-4-5");
    struct slice client = fixture("translate/chat_to_anthropic/1_openai.request.json");
    struct slice answer = fixture("translate/chat_to_anthropic/3_anthropic.response.json");
    struct translating t;

    (void)state;
    call.model = call.upstream_model;
    call.drop_unsupported = true;
    translating_begin(&t, &chat_to_messages, &call);
    assert_int_equal(translating_request(&t, client), ST_OK);
    assert_fixture(&t, "translate/chat_to_anthropic/2_anthropic.request.json");
    assert_int_equal(t.dropped.n, strlen("seed, presence_penalty, stop"));
    assert_memory_equal(t.dropped.p, "seed, presence_penalty, stop", t.dropped.n);
    assert_int_equal(translating_answer(&t, answer), ST_OK);
    assert_fixture(&t, "translate/chat_to_anthropic/4_openai.response.json");
    translating_end(&t);
    free((void *)(uintptr_t)client.p);
    free((void *)(uintptr_t)answer.p);
}

/* ---- requests -----------------------------------------------------------------------------------------------------
 */

struct request_case {
    const char *model, *members, *out; /* beside model, messages and max_tokens 100, unless out says those, too */
};

static const struct request_case requests[] = {
    /* what has no effect goes silently */
    {OLD,
     "\"stream_options\":{\"a\":1},\"metadata\":{\"a\":\"b\"},\"store\":false,\"logprobs\":false,\"top_logprobs\":0,"
     "\"frequency_penalty\":0.0,\"presence_penalty\":0,\"logit_bias\":{},\"verbosity\":\"medium\",\"n\":1,"
     "\"modalities\":[\"text\"],\"seed\":null,\"prompt_cache_key\":\"k\",\"response_format\":{\"type\":\"text\"},"
     "\"strange\":null,\"audio\":null,\"user\":\"\"",
     ""},
    /* sampling */
    {OLD, "\"temperature\":0.70,\"top_k\":5", "\"temperature\":0.70,\"top_k\":5"},
    {OLD, "\"temperature\":1.7", "\"temperature\":1.0"},
    {OLD, "\"top_p\":0.5", "\"top_p\":0.5"},
    {"claude-3-5-sonnet-20241022", "\"temperature\":0.5,\"top_p\":0.5", "\"temperature\":0.5,\"top_p\":0.5"},
    {"claude-opus-4-1", "\"temperature\":1,\"top_p\":0.5", "\"top_p\":0.5"},
    {"claude-opus-4-1", "\"temperature\":0,\"top_p\":1", "\"temperature\":0"},
    {"claude-opus-4-8", "\"temperature\":1,\"top_p\":1", ""},
    {"claude-opus-4-8", "\"temperature\":2,\"top_p\":0.99", ""},
    {"deepseek-v4", "\"temperature\":0.5,\"top_p\":0.5", "\"temperature\":0.5,\"top_p\":0.5"},
    /* thinking */
    {OLD, "\"reasoning_effort\":\"low\"",
     "\"max_tokens\":1124,\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1024}"},
    {OLD, "\"reasoning_effort\":\"max\",\"temperature\":1,\"top_p\":0.95",
     "\"max_tokens\":4196,\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":4096},\"temperature\":1,"
     "\"top_p\":0.95"},
    {OLD, "\"reasoning_effort\":\"none\"", "\"thinking\":{\"type\":\"disabled\"}"},
    {"claude-3-5-haiku-latest", "\"reasoning_effort\":\"none\"", ""},
    {"claude-opus-4-5@20251101", "\"reasoning_effort\":\"xhigh\"",
     "\"max_tokens\":4196,\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":4096},"
     "\"output_config\":{\"effort\":\"high\"}"},
    {"anthropic.claude-sonnet-4-6-v1:0", "\"reasoning_effort\":\"xhigh\"",
     "\"thinking\":{\"type\":\"adaptive\",\"display\":\"summarized\"},\"output_config\":{\"effort\":\"high\"}"},
    {"claude-opus-4-6", "\"reasoning_effort\":\"max\"",
     "\"thinking\":{\"type\":\"adaptive\",\"display\":\"summarized\"},\"output_config\":{\"effort\":\"max\"}"},
    {"claude-opus-4-7", "\"reasoning_effort\":\"xhigh\"",
     "\"thinking\":{\"type\":\"adaptive\",\"display\":\"summarized\"},\"output_config\":{\"effort\":\"xhigh\"}"},
    {"claude-sonnet-5", "\"reasoning_effort\":\"minimal\"",
     "\"thinking\":{\"type\":\"adaptive\",\"display\":\"summarized\"},\"output_config\":{\"effort\":\"low\"}"},
    {"claude-opus-5", "\"reasoning_effort\":\"none\"", "\"thinking\":{\"type\":\"disabled\"}"},
    {"claude-haiku-5-5", "\"reasoning_effort\":\"none\"", "\"thinking\":{\"type\":\"disabled\"}"},
    {"claude-opus-5-5", "\"reasoning_effort\":\"none\"", "\"output_config\":{\"effort\":\"low\"}"},
    {"claude-sonnet-5.5", "\"reasoning_effort\":\"none\"", "\"output_config\":{\"effort\":\"low\"}"},
    {"claude-fable-5", "\"reasoning_effort\":\"none\"", "\"output_config\":{\"effort\":\"low\"}"},
    {"claude-mythos-preview", "\"reasoning_effort\":\"none\"", "\"output_config\":{\"effort\":\"low\"}"},
    {"kimi-k3", "\"reasoning_effort\":\"medium\"",
     "\"max_tokens\":2148,\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":2048}"},
    {OLD, "\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":5000}",
     "\"max_tokens\":5100,\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":5000}"},
    {OLD, "\"thinking\":{\"type\":\"disabled\"}", "\"thinking\":{\"type\":\"disabled\"}"},
    {"claude-opus-4-8", "\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":5000}",
     "\"thinking\":{\"type\":\"adaptive\",\"display\":\"summarized\"},\"output_config\":{\"effort\":\"medium\"}"},
    {"claude-opus-4-8", "\"thinking\":{\"type\":\"adaptive\"}",
     "\"thinking\":{\"type\":\"adaptive\",\"display\":\"summarized\"}"},
    {"claude-opus-4-8", "\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":5000},\"reasoning_effort\":\"low\"",
     "\"thinking\":{\"type\":\"adaptive\",\"display\":\"summarized\"},\"output_config\":{\"effort\":\"low\"}"},
    {OLD, "\"stop\":\"\"", ""},
    /* limits */
    {OLD, "\"max_tokens\":7", "\"max_tokens\":100"},
    {OLD, "\"max_completion_tokens\":null,\"max_tokens\":7", "\"max_tokens\":7"},
    {OLD, "\"max_completion_tokens\":9999999", "\"max_tokens\":64000"},
    {OLD, "\"max_completion_tokens\":null", "\"max_tokens\":16384"},
    /* the rest */
    {OLD, "\"stop\":\"END\"", "\"stop_sequences\":[\"END\"]"},
    {OLD, "\"stop\":[\"a\",\"b\"]", "\"stop_sequences\":[\"a\",\"b\"]"},
    {OLD, "\"stop\":[]", ""},
    {OLD, "\"user\":\"u\",\"safety_identifier\":\"s\"", "\"metadata\":{\"user_id\":\"s\"}"},
    {OLD, "\"service_tier\":\"auto\"", "\"service_tier\":\"auto\""},
    {OLD, "\"service_tier\":\"default\"", "\"service_tier\":\"standard_only\""},
    {OLD, "\"response_format\":{\"type\":\"json_object\"}",
     "\"system\":[{\"type\":\"text\",\"text\":\"Respond with a single JSON object only.\"}]"},
    {"claude-sonnet-4-5",
     "\"reasoning_effort\":\"none\",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"n\","
     "\"strict\":true,\"schema\":{\"type\":\"object\",\"properties\":{\"minimum\":{\"type\":\"integer\",\"minimum\":1,"
     "\"enum\":[1,1e40,123456789012345678901234567890]},\"f\":{\"type\":\"string\",\"format\":\"uri\",\"maxLength\":3}"
     ","
     "\"g\":{\"type\":\"string\",\"format\":\"odd\",\"pattern\":\"a\"},\"o\":{\"oneOf\":[{\"type\":[\"null\","
     "\"object\"],\"additionalProperties\":{\"type\":\"string\"}}]},\"a\":{\"type\":\"array\",\"minItems\":1,"
     "\"maxItems\":2,\"items\":{\"$ref\":\"#/$defs/d\"}},\"b\":{\"type\":\"array\",\"minItems\":2,\"items\":true}},"
     "\"$defs\":{\"d\":{\"properties\":{},\"default\":{\"minimum\":1}}},\"required\":[\"f\"]}}}",
     "\"thinking\":{\"type\":\"disabled\"},\"output_config\":{\"format\":{\"type\":\"json_schema\",\"schema\":{"
     "\"type\":\"object\",\"properties\":{\"minimum\":{\"type\":\"integer\","
     "\"enum\":[1,1e40,123456789012345678901234567890]},\"f\":{\"type\":\"string\",\"format\":\"uri\"},"
     "\"g\":{\"type\":\"string\",\"pattern\":\"a\"},\"o\":{\"anyOf\":[{\"type\":[\"null\",\"object\"],"
     "\"additionalProperties\":false}]},\"a\":{\"type\":\"array\",\"minItems\":1,\"items\":{\"$ref\":\"#/$defs/d\"}},"
     "\"b\":{\"type\":\"array\",\"items\":true}},\"$defs\":{\"d\":{\"properties\":{},\"default\":{\"minimum\":1},"
     "\"additionalProperties\":false}},\"required\":[\"f\"],\"additionalProperties\":false}}}"},
    /* tools */
    {OLD, "\"tools\":[" TOOL("a") "],\"tool_choice\":\"none\",\"parallel_tool_calls\":true",
     "\"tools\":[" TOOL_OUT("a") "],\"tool_choice\":{\"type\":\"none\"}"},
    {OLD, "\"tools\":[" TOOL("a") "],\"tool_choice\":\"required\",\"parallel_tool_calls\":false",
     "\"tools\":[" TOOL_OUT("a") "],\"tool_choice\":{\"type\":\"any\",\"disable_parallel_tool_use\":true}"},
    {OLD, "\"tools\":[" TOOL("a") "],\"parallel_tool_calls\":false",
     "\"tools\":[" TOOL_OUT("a") "],\"tool_choice\":{\"type\":\"auto\",\"disable_parallel_tool_use\":true}"},
    {OLD,
     "\"tools\":[" TOOL("a") "," TOOL("b") "],\"tool_choice\":{\"type\":\"function\",\"function\":{"
                                           "\"name\":\"b\"}}",
     "\"tools\":[" TOOL_OUT("a") "," TOOL_OUT("b") "],\"tool_choice\":{\"type\":\"tool\",\"name\":\"b\"}"},
    {OLD,
     "\"tools\":[" TOOL("a") "," TOOL("b") "," TOOL("c") "],\"tool_choice\":{\"type\":\"allowed_tools\","
                                                         "\"allowed_tools\":{\"mode\":\"required\",\"tools\":[" TOOL(
                                                             "c") "," TOOL("a") "]}}",
     "\"tools\":[" TOOL_OUT("a") "," TOOL_OUT("c") "],\"tool_choice\":{\"type\":\"any\"}"},
    {"claude-haiku-5-5", "\"tools\":[" TOOL("a") "],\"tool_choice\":\"required\"",
     "\"tools\":[" TOOL_OUT("a") "],\"tool_choice\":{\"type\":\"any\"}"},
    {OLD, "\"tools\":[],\"tool_choice\":\"auto\",\"parallel_tool_calls\":false", ""},
    {OLD, "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"a\",\"strict\":false}}]",
     "\"tools\":[{\"name\":\"a\",\"input_schema\":{\"type\":\"object\",\"properties\":{}}}]"},
    {OLD,
     "\"tools\":[{\"type\":\"function\",\"cache_control\":{\"type\":\"ephemeral\",\"ttl\":\"1h\"},\"function\":{"
     "\"name\":\"a\",\"description\":\"d\",\"parameters\":{\"maximum\":1.50}}}]",
     "\"tools\":[{\"name\":\"a\",\"description\":\"d\",\"input_schema\":{\"type\":\"object\",\"maximum\":1.50},"
     "\"cache_control\":{\"type\":\"ephemeral\",\"ttl\":\"1h\"}}]"},
    {"claude-sonnet-5",
     "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"a\",\"strict\":true,\"parameters\":{"
     "\"type\":\"object\",\"properties\":{\"x\":{\"type\":\"integer\",\"maximum\":3}}}}}]",
     "\"tools\":[{\"name\":\"a\",\"strict\":true,\"input_schema\":{\"type\":\"object\",\"properties\":{\"x\":{"
     "\"type\":\"integer\"}},\"additionalProperties\":false}}]"},
    {OLD, "\"functions\":[{\"name\":\"a\",\"parameters\":{\"type\":\"object\"}}],\"function_call\":{\"name\":\"a\"}",
     "\"tools\":[" TOOL_OUT("a") "],\"tool_choice\":{\"type\":\"tool\",\"name\":\"a\","
                                 "\"disable_parallel_tool_use\":true}"},
};

static bool says(const char *members, const char *name)
{
    return strstr(members, name) != NULL;
}

static void members_are_translated(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        const struct request_case *c = &requests[i];
        struct translate_call call = call_for(c->model);
        struct buf in, out;
        struct translating t;

        buf_init(&in, BODY_MAX);
        buf_init(&out, BODY_MAX);
        assert_int_equal(buf_addf(&in, "{\"model\":\"m\"," MESSAGES ",\"stream\":false%s,%s}",
                                  says(c->members, "max_completion_tokens") ? "" : ",\"max_completion_tokens\":100",
                                  c->members),
                         ST_OK);
        assert_int_equal(buf_addf(&out, "{\"model\":\"%s\"," MESSAGES_OUT "%s%s%s}", c->model,
                                  says(c->out, "max_tokens") ? "" : ",\"max_tokens\":100", c->out[0] ? "," : "",
                                  c->out),
                         ST_OK);
        translating_begin(&t, &chat_to_messages, &call);
        if (translating_request(&t, (struct slice){in.p, in.n}) != ST_OK)
            fail_msg("%s: %s: %s", c->members, t.err.param, t.err.text);
        assert_alike(out_of(&t), (struct slice){out.p, out.n});
        assert_int_equal(t.dropped.n, 0);
        translating_end(&t);
        buf_fini(&in);
        buf_fini(&out);
    }
}

static uint64_t limit_of(const struct translate_call *call, const char *members, uint64_t *ret_budget)
{
    struct translating t;
    struct buf in;
    const char *at;
    uint64_t limit;

    buf_init(&in, BODY_MAX);
    assert_int_equal(buf_addf(&in, "{" MESSAGES "%s}", members), ST_OK);
    translating_begin(&t, &chat_to_messages, call);
    assert_int_equal(translating_request(&t, (struct slice){in.p, in.n}), ST_OK);
    assert_int_equal(buf_add(&t.out, "", 1), ST_OK);
    at = strstr(t.out.p, "\"budget_tokens\":");
    *ret_budget = at != NULL ? strtoull(at + 16, NULL, 10) : 0;
    at = strstr(t.out.p, "\"max_tokens\":");
    assert_non_null(at);
    limit = strtoull(at + 13, NULL, 10);
    translating_end(&t);
    buf_fini(&in);
    return limit;
}

static void a_limit_of_ours_is_never_passed(void **state)
{
    struct translate_call call = call_for(OLD);
    uint64_t budget = 0;

    (void)state;
    call.stream = true;
    assert_int_equal(limit_of(&call, "", &budget), 64000);
    call.max_output = 0;
    assert_int_equal(limit_of(&call, "", &budget), 4096);
    assert_int_equal(limit_of(&call, ",\"reasoning_effort\":\"high\"", &budget), 8192);
    assert_int_equal(budget, 4096);
    call.output_limit = 3000;
    assert_int_equal(limit_of(&call, ",\"reasoning_effort\":\"high\",\"max_tokens\":9", &budget), 3000);
    assert_int_equal(budget, 1024);
    call.output_limit = 1024;
    assert_int_equal(limit_of(&call, ",\"reasoning_effort\":\"high\"", &budget), 1024);
    assert_int_equal(budget, 0);
    call.output_limit = 0;
    call.max_output = 500;
    assert_int_equal(limit_of(&call, ",\"max_tokens\":10,\"reasoning_effort\":\"low\"", &budget), 500);
    assert_int_equal(budget, 0);
}

/* ---- messages -----------------------------------------------------------------------------------------------------
 */

struct turns_case {
    const char *messages, *out, *system; /* system NULL = none */
};

#define RESULT(id, content) "{\"role\":\"tool\",\"tool_call_id\":\"" id "\",\"content\":" content "}"
#define DONE(id, content) "{\"type\":\"tool_result\",\"tool_use_id\":\"" id "\",\"content\":" content "}"
#define NONE(id)                                                                                                       \
    "{\"type\":\"tool_result\",\"tool_use_id\":\"" id                                                                  \
    "\",\"content\":\"There is no result of this call.\",\"is_error\":true}"
#define CACHE ",\"cache_control\":{\"type\":\"ephemeral\"}"
#define HI "{\"role\":\"user\",\"content\":\"hi\"}"

static const struct turns_case turns[] = {
    /* nothing is left: what Anthropic demands is filled in */
    {"{\"role\":\"system\",\"content\":\"s\"}", USER(TEXT(".")), TEXT("s")},
    {"{\"role\":\"user\",\"content\":\" \\n\"}", USER(TEXT(".")), NULL},
    {"{\"role\":\"assistant\",\"content\":\"a\"}," HI, USER(TEXT(".")) "," ASSISTANT(TEXT("a")) "," USER(TEXT("hi")),
     NULL},
    {HI ",{\"role\":\"assistant\",\"content\":\"\"},{\"role\":\"user\",\"content\":[]}", USER(TEXT("hi")), NULL},
    /* neighbours become one */
    {HI "," HI ",{\"role\":\"assistant\",\"content\":\"a\"},{\"role\":\"assistant\",\"refusal\":\"r\",\"content\":["
        "{\"type\":\"refusal\",\"refusal\":\"q\"}]}," HI,
     USER(TEXT("hi") "," TEXT("hi")) "," ASSISTANT(TEXT("a") "," TEXT("q") "," TEXT("r")) "," USER(TEXT("hi")), NULL},
    /* a prefill loses its last white space */
    {HI ",{\"role\":\"assistant\",\"content\":\"a \\n\"}", USER(TEXT("hi")) "," ASSISTANT(TEXT("a")), NULL},
    /* system prompts go to the head, wherever they are */
    {HI ",{\"role\":\"developer\",\"name\":\"x\",\"content\":[" TEXT(
         "d") ",{\"type\":\"text\",\"text\":\"e\"" CACHE
              "}]},{\"role\":\"system\",\"content\":\"\"},{\"role\":\"system\",\"content\":\"s\"" CACHE "}",
     USER(TEXT("hi")),
     TEXT("d") ",{\"type\":\"text\",\"text\":\"e\"" CACHE "},{\"type\":\"text\",\"text\":\"s\"" CACHE "}"},
    /* all results at the head of the turn behind the calls, those that are missing, too */
    {HI "," CALLS(CALL("a", "") "," CALL("b", "{\\\"n\\\":1.0e3,\\\"m\\\":12345678901234567890123}") "," CALL(
         "c", " ")) "," RESULT("b", "\"2\"") ",{\"role\":\"system\",\"content\":\"s\"}," HI
                                             "," RESULT("a", "\"\"") "," HI,
     USER(TEXT("hi")) "," ASSISTANT(USE("a", "{}") "," USE("b", "{\"n\":1.0e3,\"m\":12345678901234567890123}") "," USE(
         "c", "{}")) "," USER(DONE("b", "\"2\"") "," DONE("a", "\"\"") "," NONE("c") "," TEXT("hi") "," TEXT("hi")),
     TEXT("s")},
    {HI "," CALLS(CALL("a", "{}")), USER(TEXT("hi")) "," ASSISTANT(USE("a", "{}")) "," USER(NONE("a")), NULL},
    {HI "," CALLS(CALL("a", "{}")) ",{\"role\":\"assistant\",\"content\":\"x\"}," HI,
     USER(TEXT("hi")) "," ASSISTANT(USE("a", "{}")) "," USER(NONE("a")) "," ASSISTANT(TEXT("x")) "," USER(TEXT("hi")),
     NULL},
    /* ids that Anthropic refuses are changed on both sides */
    {HI "," CALLS(CALL("a.b|\xc3\xa9", "{}")) "," RESULT("a.b|\xc3\xa9", "[" TEXT("x") "," TEXT("") "]" CACHE),
     USER(TEXT("hi")) "," ASSISTANT(USE("a_b___", "{}")) "," USER(
         DONE("a_b___", "[{\"type\":\"text\",\"text\":\"x\"" CACHE "}]")),
     NULL},
    {HI "," CALLS(CALL("a", "{}")) "," RESULT("a", "\"x\"" CACHE),
     USER(TEXT("hi")) "," ASSISTANT(USE("a", "{}")) "," USER(
         "{\"type\":\"tool_result\",\"tool_use_id\":\"a\",\"content\":\"x\"" CACHE "}"),
     NULL},
    {HI
     "," CALLS("{\"id\":\"k\",\"type\":\"custom\",\"custom\":{\"name\":\"f\",\"input\":\"x\"}}") "," RESULT("k", "[]"),
     USER(TEXT("hi")) "," ASSISTANT(USE("k", "{\"input\":\"x\"}")) "," USER(
         "{\"type\":\"tool_result\",\"tool_use_id\":\"k\"}"),
     NULL},
    /* functions of old */
    {HI ",{\"role\":\"assistant\",\"content\":null,\"function_call\":{\"name\":\"f\",\"arguments\":\"{}\"}},"
        "{\"role\":\"function\",\"name\":\"f\",\"content\":\"x\"}",
     USER(TEXT("hi")) "," ASSISTANT(USE("call_1", "{}")) "," USER(DONE("call_1", "\"x\"")), NULL},
    /* parts */
    {"{\"role\":\"user\"" CACHE ",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"HTTPS://x/y\"}},"
     "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/JPG;a=b;base64,QQ==\",\"detail\":\"low\"}},"
     "{\"type\":\"file\",\"file\":{\"filename\":\"a.pdf\",\"file_data\":\"data:application/pdf;base64,QQ==\"}},"
     "{\"type\":\"file\",\"file\":{\"file_data\":\"data:text/plain;charset=utf-8;base64,w6kK\"}}]}",
     USER("{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":\"HTTPS://x/y\"}},"
          "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/jpeg\",\"data\":\"QQ==\"}},"
          "{\"type\":\"document\",\"title\":\"a.pdf\",\"source\":{\"type\":\"base64\","
          "\"media_type\":\"application/pdf\",\"data\":\"QQ==\"}},"
          "{\"type\":\"document\",\"source\":{\"type\":\"text\",\"media_type\":\"text/plain\","
          "\"data\":\"\xc3\xa9\\n\"}" CACHE "}"),
     NULL},
};

#define LOOP HI "," CALLS(CALL("a", "{}")) "," RESULT("a", "\"x\"")

/* Thinking with a budget needs what was thought before the calls that are answered: "Expected `thinking` …, but found
 * `tool_use`". */
static void no_budget_in_the_middle_of_a_tool_loop(void **state)
{
    static const struct {
        const char *model, *messages;
        bool thinks;
    } rows[] = {
        {OLD, HI, true},
        {OLD, LOOP, false},
        {OLD, LOOP "," HI, false}, /* still the turn of the results */
        {OLD, LOOP ",{\"role\":\"assistant\",\"content\":\"\"}," HI, false},
        {OLD, HI "," CALLS(CALL("a", "{}")), false}, /* its result is made up */
        {OLD, LOOP ",{\"role\":\"assistant\",\"content\":\"done\"}," HI, true},
        {OLD,
         LOOP ",{\"role\":\"assistant\",\"content\":\"done\"}," HI "," CALLS(CALL("a", "{}")) "," RESULT("a", "\"x\""),
         false},
        {OLD,
         HI ",{\"role\":\"assistant\",\"content\":null,\"function_call\":{\"name\":\"f\",\"arguments\":\"{}\"}},"
            "{\"role\":\"function\",\"name\":\"f\",\"content\":\"x\"}",
         false},
        {"claude-opus-4-6", LOOP, true}, /* thinks as much as it thinks right, and takes what is left of the past */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct translate_call call = call_for(rows[i].model);
        struct translating t;
        struct buf in;

        buf_init(&in, BODY_MAX);
        assert_int_equal(buf_addf(&in, "{\"max_tokens\":5000,\"reasoning_effort\":\"medium\"%s,\"messages\":[%s]}",
                                  rows[i].thinks ? "" : ",\"temperature\":0.5", rows[i].messages),
                         ST_OK);
        translating_begin(&t, &chat_to_messages, &call);
        if (translating_request(&t, (struct slice){in.p, in.n}) != ST_OK)
            fail_msg("row %zu: %s", i, t.err.text);
        assert_int_equal(buf_add(&t.out, "", 1), ST_OK);
        if ((strstr(t.out.p, "\"thinking\"") != NULL) != rows[i].thinks)
            fail_msg("row %zu: %s", i, t.out.p);
        if (!rows[i].thinks) /* nothing is added for it, and what thinking forbids is taken */
            assert_non_null(strstr(t.out.p, "\"max_tokens\":5000,\"temperature\":0.5"));
        assert_int_equal(t.dropped.n, 0);
        translating_end(&t);
        buf_fini(&in);
    }
}

static void messages_become_turns(void **state)
{
    struct translate_call call = call_for(OLD);

    (void)state;
    for (size_t i = 0; i < sizeof(turns) / sizeof(turns[0]); i++) {
        const struct turns_case *c = &turns[i];
        struct buf in, out;
        struct translating t;

        buf_init(&in, BODY_MAX);
        buf_init(&out, BODY_MAX);
        assert_int_equal(buf_addf(&in, "{\"model\":\"m\",\"max_tokens\":5,\"messages\":[%s]}", c->messages), ST_OK);
        assert_int_equal(buf_addf(&out, "{\"model\":\"" OLD "\",\"max_tokens\":5,\"messages\":[%s]", c->out), ST_OK);
        if (c->system != NULL)
            assert_int_equal(buf_addf(&out, ",\"system\":[%s]", c->system), ST_OK);
        assert_int_equal(buf_addc(&out, "}"), ST_OK);
        translating_begin(&t, &chat_to_messages, &call);
        if (translating_request(&t, (struct slice){in.p, in.n}) != ST_OK)
            fail_msg("%s: %s: %s", c->messages, t.err.param, t.err.text);
        assert_alike(out_of(&t), (struct slice){out.p, out.n});
        translating_end(&t);
        buf_fini(&in);
        buf_fini(&out);
    }
}

/* json_alike compares numbers as doubles: what the client wrote must be there as it was written. */
static void numbers_are_not_rounded(void **state)
{
    static const char body[] =
        "{\"temperature\":0.10,\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{"
        "\"type\":\"object\",\"default\":12345678901234567890123.50e-7}}}],\"messages\":[" HI
        "," CALLS(CALL("a", "{\\\"x\\\":0.30000000000000004000,\\\"y\\\":1E+400}")) "]}";
    static const char *const kept[] = {"\"temperature\":0.10", "12345678901234567890123.50e-7",
                                       "0.30000000000000004000", "1E+400"};
    struct translate_call call = call_for(OLD);
    struct translating t;

    (void)state;
    translating_begin(&t, &chat_to_messages, &call);
    assert_int_equal(translating_request(&t, slice_of(body)), ST_OK);
    assert_int_equal(buf_add(&t.out, "", 1), ST_OK);
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        assert_non_null(strstr(t.out.p, kept[i]));
    translating_end(&t);
}

/* ---- what is refused ----------------------------------------------------------------------------------------------
 */

struct refused_case {
    const char *model, *body, *param, *code;
    bool dropped; /* left out when that is wanted */
};

#define TYPE "invalid_type"
#define VALUE "invalid_value"
#define MISSING "missing_required_parameter"
#define NO_PARAMETER "unsupported_parameter"
#define NO_VALUE "unsupported_value"
#define WITH(members) "{" MESSAGES "," members "}"
#define SAID(messages) "{\"messages\":[" messages "]}"
#define PART(part) SAID("{\"role\":\"user\",\"content\":[" TEXT("x") "," part "]}")
#define TOOLED(tool) WITH("\"tools\":[" TOOL("a") "," tool "]")
#define CHOSEN(choice) WITH("\"tools\":[" TOOL("a") "],\"tool_choice\":" choice)
#define FORMAT(format) WITH("\"response_format\":" format)

static const struct refused_case refused[] = {
    {OLD, "{}", "messages", MISSING, false},
    {OLD, "{\"messages\":null}", "messages", MISSING, false},
    {OLD, "{\"messages\":{}}", "messages", TYPE, false},
    {OLD, "{\"messages\":[]}", "messages", VALUE, false},
    /* nothing like it */
    {OLD, WITH("\"seed\":1"), "seed", NO_PARAMETER, true},
    {OLD, WITH("\"logprobs\":true"), "logprobs", NO_PARAMETER, true},
    {OLD, WITH("\"top_logprobs\":2"), "top_logprobs", NO_PARAMETER, true},
    {OLD, WITH("\"logit_bias\":{\"1\":2}"), "logit_bias", NO_PARAMETER, true},
    {OLD, WITH("\"frequency_penalty\":0.1"), "frequency_penalty", NO_PARAMETER, true},
    {OLD, WITH("\"presence_penalty\":-1"), "presence_penalty", NO_PARAMETER, true},
    {OLD, WITH("\"prediction\":{}"), "prediction", NO_PARAMETER, true},
    {OLD, WITH("\"store\":true"), "store", NO_PARAMETER, true},
    {OLD, WITH("\"verbosity\":\"low\""), "verbosity", NO_PARAMETER, true},
    {OLD, WITH("\"web_search_options\":{}"), "web_search_options", NO_PARAMETER, true},
    {OLD, WITH("\"a,b\\r\\nSet-Cookie: \":1"), "", "unknown_parameter", false},
    {OLD, WITH("\"service_tier\":\"flex\""), "service_tier", NO_PARAMETER, true},
    {OLD, WITH("\"stop\":[\"\\n\"]"), "stop", NO_PARAMETER, true},
    {OLD, WITH("\"n\":2"), "n", NO_VALUE, false},
    {OLD, WITH("\"audio\":{}"), "audio", NO_VALUE, false},
    {OLD, WITH("\"modalities\":[\"text\",\"audio\"]"), "modalities", NO_VALUE, false},
    {OLD, PART("{\"type\":\"input_audio\"}"), "messages[0].content[1].type", NO_VALUE, false},
    {OLD, PART("{\"type\":\"file\",\"file\":{\"file_id\":\"file-1\"}}"), "messages[0].content[1].file.file_id",
     NO_VALUE, false},
    /* what the model does not take */
    {"claude-opus-4-7", WITH("\"temperature\":0.5"), "temperature", NO_PARAMETER, true},
    {"claude-opus-4-7", WITH("\"top_p\":0.98"), "top_p", NO_PARAMETER, true},
    {"claude-opus-4-7", WITH("\"top_k\":3"), "top_k", NO_PARAMETER, true},
    {"claude-opus-4-1", WITH("\"temperature\":0.5,\"top_p\":0.9"), "top_p", NO_PARAMETER, true},
    {OLD, WITH("\"temperature\":0.5,\"reasoning_effort\":\"low\""), "temperature", NO_PARAMETER, true},
    {OLD, WITH("\"top_p\":0.5,\"reasoning_effort\":\"low\""), "top_p", NO_PARAMETER, true},
    {OLD, WITH("\"top_k\":5,\"reasoning_effort\":\"low\""), "top_k", NO_PARAMETER, true},
    {"claude-3-5-haiku-latest", WITH("\"reasoning_effort\":\"low\""), "reasoning_effort", NO_PARAMETER, true},
    {"claude-3-5-haiku-latest", WITH("\"thinking\":{\"type\":\"adaptive\"}"), "thinking", NO_PARAMETER, true},
    {OLD, WITH("\"thinking\":{\"type\":\"adaptive\"}"), "thinking", NO_PARAMETER, true},
    {OLD, FORMAT("{\"type\":\"json_schema\",\"json_schema\":{\"schema\":{}}}"), "response_format", NO_PARAMETER, true},
    {OLD, TOOLED("{\"type\":\"function\",\"function\":{\"name\":\"s\",\"strict\":true}}"), "tools[1].function.strict",
     NO_PARAMETER, true},
    {"claude-opus-5-5", CHOSEN("\"required\""), "tool_choice", NO_PARAMETER, true},
    {"claude-fable-5-1", CHOSEN("{\"type\":\"function\",\"function\":{\"name\":\"a\"}}"), "tool_choice", NO_PARAMETER,
     true},
    {OLD, WITH("\"reasoning_effort\":\"low\",\"tools\":[" TOOL("a") "],\"tool_choice\":\"required\""), "tool_choice",
     NO_PARAMETER, true},
    {"claude-opus-5-5", WITH("\"functions\":[{\"name\":\"a\"}],\"function_call\":{\"name\":\"a\"}"), "function_call",
     NO_PARAMETER, true},
    {"claude-opus-4-6", SAID(HI ",{\"role\":\"assistant\",\"content\":\"x\"},{\"role\":\"system\",\"content\":\"s\"}"),
     "messages[1].role", NO_VALUE, false},
    /* types and values */
    {OLD, WITH("\"max_tokens\":0"), "max_tokens", VALUE, false},
    {OLD, WITH("\"max_tokens\":-1"), "max_tokens", VALUE, false},
    {OLD, WITH("\"max_tokens\":1.5"), "max_tokens", TYPE, false},
    {OLD, WITH("\"max_completion_tokens\":\"5\""), "max_completion_tokens", TYPE, false},
    {OLD, WITH("\"max_completion_tokens\":99999999999999999999"), "max_completion_tokens", TYPE, false},
    {OLD, WITH("\"n\":0"), "n", VALUE, false},
    {OLD, WITH("\"n\":\"1\""), "n", TYPE, false},
    {OLD, WITH("\"modalities\":\"text\""), "modalities", TYPE, false},
    {OLD, WITH("\"temperature\":\"1\""), "temperature", TYPE, false},
    {OLD, WITH("\"temperature\":2.1"), "temperature", VALUE, false},
    {OLD, WITH("\"temperature\":-0.1"), "temperature", VALUE, false},
    {OLD, WITH("\"temperature\":1e999"), "temperature", VALUE, false},
    {OLD, WITH("\"top_p\":1.1"), "top_p", VALUE, false},
    {OLD, WITH("\"top_k\":0"), "top_k", VALUE, false},
    {OLD, WITH("\"stop\":1"), "stop", TYPE, false},
    {OLD, WITH("\"stop\":[\"a\",null]"), "stop", TYPE, false},
    {OLD, WITH("\"user\":1"), "user", TYPE, false},
    {OLD, WITH("\"safety_identifier\":[]"), "safety_identifier", TYPE, false},
    {OLD, WITH("\"service_tier\":1"), "service_tier", TYPE, false},
    {OLD, WITH("\"reasoning_effort\":1"), "reasoning_effort", TYPE, false},
    {OLD, WITH("\"thinking\":true"), "thinking", TYPE, false},
    {OLD, WITH("\"thinking\":{\"type\":\"huge\"}"), "thinking.type", VALUE, false},
    {OLD, WITH("\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1023}"), "thinking.budget_tokens", VALUE, false},
    {OLD, WITH("\"reasoning_effort\":\"huge\""), "reasoning_effort", VALUE, false},
    {OLD, WITH("\"parallel_tool_calls\":1"), "parallel_tool_calls", TYPE, false},
    {OLD, FORMAT("\"json\""), "response_format", TYPE, false},
    {OLD, FORMAT("{}"), "response_format.type", MISSING, false},
    {OLD, FORMAT("{\"type\":\"xml\"}"), "response_format.type", VALUE, false},
    {OLD, FORMAT("{\"type\":\"json_schema\"}"), "response_format.json_schema", MISSING, false},
    {OLD, FORMAT("{\"type\":\"json_schema\",\"json_schema\":1}"), "response_format.json_schema", TYPE, false},
    {OLD, FORMAT("{\"type\":\"json_schema\",\"json_schema\":{}}"), "response_format.json_schema.schema", MISSING,
     false},
    {OLD, FORMAT("{\"type\":\"json_schema\",\"json_schema\":{\"schema\":1}}"), "response_format.json_schema.schema",
     TYPE, false},
    /* messages */
    {OLD, SAID("1"), "messages[0]", TYPE, false},
    {OLD, SAID(HI ",{}"), "messages[1].role", MISSING, false},
    {OLD, SAID("{\"role\":1}"), "messages[0].role", TYPE, false},
    {OLD, SAID("{\"role\":\"robot\"}"), "messages[0].role", VALUE, false},
    {OLD, SAID("{\"role\":\"user\"}"), "messages[0].content", MISSING, false},
    {OLD, SAID("{\"role\":\"user\",\"content\":null}"), "messages[0].content", TYPE, false},
    {OLD, SAID("{\"role\":\"system\",\"content\":{}}"), "messages[0].content", TYPE, false},
    {OLD, SAID("{\"role\":\"assistant\",\"content\":5}"), "messages[0].content", TYPE, false},
    {OLD, SAID("{\"role\":\"assistant\",\"refusal\":5}"), "messages[0].refusal", TYPE, false},
    {OLD, SAID("{\"role\":\"system\",\"content\":[{\"type\":\"image_url\"}]}"), "messages[0].content[0].type", VALUE,
     false},
    {OLD, PART("\"x\""), "messages[0].content[1]", TYPE, false},
    {OLD, PART("{}"), "messages[0].content[1].type", MISSING, false},
    {OLD, PART("{\"type\":1}"), "messages[0].content[1].type", TYPE, false},
    {OLD, PART("{\"type\":\"refusal\",\"refusal\":\"x\"}"), "messages[0].content[1].type", VALUE, false},
    {OLD, PART("{\"type\":\"text\"}"), "messages[0].content[1].text", MISSING, false},
    {OLD, PART("{\"type\":\"text\",\"text\":1}"), "messages[0].content[1].text", TYPE, false},
    {OLD, PART("{\"type\":\"text\",\"text\":\"a\",\"cache_control\":1}"), "messages[0].content[1].cache_control", TYPE,
     false},
    {OLD, PART("{\"type\":\"text\",\"text\":\"a\",\"cache_control\":{\"type\":\"x\"}}"),
     "messages[0].content[1].cache_control.type", VALUE, false},
    {OLD, PART("{\"type\":\"text\",\"text\":\"a\",\"cache_control\":{\"type\":\"ephemeral\",\"ttl\":\"9h\"}}"),
     "messages[0].content[1].cache_control.ttl", VALUE, false},
    {OLD, PART("{\"type\":\"image_url\"}"), "messages[0].content[1].image_url", MISSING, false},
    {OLD, PART("{\"type\":\"image_url\",\"image_url\":\"https://x\"}"), "messages[0].content[1].image_url", TYPE,
     false},
    {OLD, PART("{\"type\":\"image_url\",\"image_url\":{}}"), "messages[0].content[1].image_url.url", MISSING, false},
    {OLD, PART("{\"type\":\"image_url\",\"image_url\":{\"url\":\"http://169.254.169.254/\"}}"),
     "messages[0].content[1].image_url.url", VALUE, false},
    {OLD, PART("{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/bmp;base64,QQ==\"}}"),
     "messages[0].content[1].image_url.url", VALUE, false},
    {OLD, PART("{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png,QQ==\"}}"),
     "messages[0].content[1].image_url.url", VALUE, false},
    {OLD, PART("{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:;base64,\"}}"),
     "messages[0].content[1].image_url.url", VALUE, false},
    {OLD, PART("{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://x\",\"detail\":1}}"),
     "messages[0].content[1].image_url.detail", TYPE, false},
    {OLD, PART("{\"type\":\"file\",\"file\":{}}"), "messages[0].content[1].file.file_data", MISSING, false},
    {OLD, PART("{\"type\":\"file\",\"file\":{\"file_data\":\"QQ==\"}}"), "messages[0].content[1].file.file_data", VALUE,
     false},
    {OLD, PART("{\"type\":\"file\",\"file\":{\"file_data\":\"data:text/plain;base64,_w==\"}}"),
     "messages[0].content[1].file.file_data", VALUE, false},
    {OLD, PART("{\"type\":\"file\",\"file\":{\"file_data\":\"data:text/plain;base64,/w==\"}}"),
     "messages[0].content[1].file.file_data", VALUE, false},
    {OLD, PART("{\"type\":\"file\",\"file\":{\"file_data\":\"data:a/b;base64,QQ==\"}}"),
     "messages[0].content[1].file.file_data", VALUE, false},
    /* tool calls and their results */
    {OLD, SAID(HI "," CALLS("1")), "messages[1].tool_calls[0]", TYPE, false},
    {OLD, SAID("{\"role\":\"assistant\",\"tool_calls\":1}"), "messages[0].tool_calls", TYPE, false},
    {OLD, SAID(CALLS("{}")), "messages[0].tool_calls[0].id", MISSING, false},
    {OLD, SAID(CALLS(CALL("", "{}"))), "messages[0].tool_calls[0].id", VALUE, false},
    {OLD, SAID(CALLS(CALL("a", "{}") "," CALL("a", "{}"))), "messages[0].tool_calls[1].id", VALUE, false},
    {OLD, SAID(CALLS(CALL("a", "{") "," CALL("b", "{}"))), "messages[0].tool_calls[0].function.arguments", VALUE,
     false},
    {OLD, SAID(CALLS(CALL("a", "[1]"))), "messages[0].tool_calls[0].function.arguments", VALUE, false},
    {OLD, SAID(CALLS("{\"id\":\"a\",\"type\":\"odd\"}")), "messages[0].tool_calls[0].type", VALUE, false},
    {OLD, SAID(CALLS("{\"id\":\"a\",\"type\":\"custom\"}")), "messages[0].tool_calls[0].custom", MISSING, false},
    {OLD, SAID(CALLS("{\"id\":\"a\"}")), "messages[0].tool_calls[0].function", MISSING, false},
    {OLD, SAID(CALLS("{\"id\":\"a\",\"function\":{\"name\":1}}")), "messages[0].tool_calls[0].function.name", TYPE,
     false},
    {OLD, SAID(HI "," RESULT("a", "\"x\"")), "messages[1].tool_call_id", VALUE, false},
    {OLD, SAID(CALLS(CALL("a", "{}")) "," RESULT("a", "\"x\"") "," RESULT("a", "\"x\"")), "messages[2].tool_call_id",
     VALUE, false},
    {OLD, SAID(CALLS(CALL("a", "{}")) ",{\"role\":\"tool\",\"content\":\"\"}"), "messages[1].tool_call_id", MISSING,
     false},
    {OLD, SAID(CALLS(CALL("a", "{}")) "," RESULT("a", "7")), "messages[1].content", TYPE, false},
    {OLD, SAID("{\"role\":\"assistant\",\"function_call\":{\"name\":\"f\",\"arguments\":\"x\"}}"),
     "messages[0].function_call.arguments", VALUE, false},
    {OLD, SAID("{\"role\":\"function\",\"name\":\"f\",\"content\":\"x\"}"), "messages[0].name", VALUE, false},
    /* tools */
    {OLD, WITH("\"tools\":{}"), "tools", TYPE, false},
    {OLD, TOOLED("7"), "tools[1]", TYPE, false},
    {OLD, TOOLED("{}"), "tools[1].type", MISSING, false},
    {OLD, TOOLED("{\"type\":\"custom\",\"custom\":{\"name\":\"c\"}}"), "tools[1].type", NO_PARAMETER, true},
    {OLD, TOOLED("{\"type\":\"function\"}"), "tools[1].function", MISSING, false},
    {OLD, TOOLED("{\"type\":\"function\",\"function\":{}}"), "tools[1].function.name", MISSING, false},
    {OLD, TOOLED("{\"type\":\"function\",\"function\":{\"name\":\"a b\"}}"), "tools[1].function.name", VALUE, false},
    {OLD, TOOLED("{\"type\":\"function\",\"function\":{\"name\":\"b\",\"description\":1}}"),
     "tools[1].function.description", TYPE, false},
    {OLD, TOOLED("{\"type\":\"function\",\"function\":{\"name\":\"b\",\"parameters\":1}}"),
     "tools[1].function.parameters", TYPE, false},
    {OLD, TOOLED("{\"type\":\"function\",\"function\":{\"name\":\"b\",\"strict\":1}}"), "tools[1].function.strict",
     TYPE, false},
    {OLD, CHOSEN("1"), "tool_choice", TYPE, false},
    {OLD, CHOSEN("\"maybe\""), "tool_choice", VALUE, false},
    {OLD, CHOSEN("{}"), "tool_choice.type", MISSING, false},
    {OLD, CHOSEN("{\"type\":\"odd\"}"), "tool_choice.type", VALUE, false},
    {OLD, CHOSEN("{\"type\":\"custom\",\"custom\":{\"name\":\"c\"}}"), "tool_choice.type", NO_PARAMETER, true},
    {OLD, CHOSEN("{\"type\":\"function\"}"), "tool_choice.function.name", MISSING, false},
    {OLD, CHOSEN("{\"type\":\"function\",\"function\":{\"name\":\"b\"}}"), "tool_choice.function.name", VALUE, false},
    {OLD, CHOSEN("{\"type\":\"allowed_tools\"}"), "tool_choice.allowed_tools", MISSING, false},
    {OLD, CHOSEN("{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":\"auto\"}}"),
     "tool_choice.allowed_tools.tools", TYPE, false},
    {OLD, CHOSEN("{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":\"odd\",\"tools\":[]}}"),
     "tool_choice.allowed_tools.mode", VALUE, false},
    {OLD, CHOSEN("{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":\"auto\",\"tools\":[]}}"),
     "tool_choice.allowed_tools.tools", VALUE, false},
    {OLD, WITH("\"tool_choice\":\"required\""), "tool_choice", VALUE, false},
    {OLD, WITH("\"tools\":[],\"functions\":[]"), "functions", VALUE, false},
    {OLD, WITH("\"functions\":[{\"name\":\"a b\"}]"), "functions[0].name", VALUE, false},
};

static void what_cannot_be_said_is_refused_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        const struct refused_case *c = &refused[i];
        struct translate_call call = call_for(c->model);

        for (unsigned drop = 0; drop < 2; drop++) {
            bool well = drop == 1 && c->dropped;
            struct translating t;

            call.drop_unsupported = drop == 1;
            translating_begin(&t, &chat_to_messages, &call);
            if (translating_request(&t, slice_of(c->body)) != (well ? ST_OK : ST_BAD_REQUEST))
                fail_msg("%s: %s", c->body, t.err.text);
            if (well) {
                assert_int_equal(t.dropped.n, strlen(c->param));
                assert_memory_equal(t.dropped.p, c->param, t.dropped.n);
            } else {
                assert_string_equal(t.err.param, c->param);
                assert_string_equal(t.err.code, c->code);
                assert_int_equal(t.out.n, 0);
            }
            translating_end(&t);
        }
    }
}

/* As often as `count`, joined by commas, between head and tail. */
static void repeated(struct buf *to, const char *head, const char *item, size_t count, const char *tail)
{
    buf_init(to, TRANSLATING_OUT_MAX);
    assert_int_equal(buf_addc(to, head), ST_OK);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            assert_int_equal(buf_addc(to, ","), ST_OK);
        if (strstr(item, "%zu") == NULL) {
            assert_int_equal(buf_addc(to, item), ST_OK);
            continue;
        }
        assert_int_equal(buf_add(to, item, (size_t)(strstr(item, "%zu") - item)), ST_OK);
        assert_int_equal(buf_addu(to, i), ST_OK);
        assert_int_equal(buf_addc(to, strstr(item, "%zu") + 3), ST_OK);
    }
    assert_int_equal(buf_addc(to, tail), ST_OK);
}

static void bounds_are_kept(void **state)
{
    static const struct {
        const char *head, *item, *tail, *param;
        size_t most;
    } bounds[] = {
        {"{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[", "{\"id\":\"%zu\",\"function\":{\"name\":\"f\"}}",
         "]}]}", "messages[0].tool_calls[256]", 256},
        {"{" MESSAGES ",\"tools\":[", TOOL("a"), "]}", "tools", 1024},
        {"{" MESSAGES ",\"stop\":[", "\"a\"", "]}", "stop", 64},
    };
    struct translate_call call = call_for(OLD);

    (void)state;
    for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
        for (size_t more = 0; more < 2; more++) {
            struct translating t;
            struct buf in;

            repeated(&in, bounds[i].head, bounds[i].item, bounds[i].most + more, bounds[i].tail);
            translating_begin(&t, &chat_to_messages, &call);
            assert_int_equal(translating_request(&t, (struct slice){in.p, in.n}), more > 0 ? ST_BAD_REQUEST : ST_OK);
            assert_string_equal(t.err.param, more > 0 ? bounds[i].param : "");
            translating_end(&t);
            buf_fini(&in);
        }
    }
}

static void a_deep_schema_is_refused(void **state)
{
    struct translate_call call = call_for("claude-sonnet-5");
    struct translating t;
    struct buf in;

    (void)state;
    buf_init(&in, BODY_MAX);
    assert_int_equal(buf_addc(&in, "{" MESSAGES ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{"
                                   "\"schema\":"),
                     ST_OK);
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(buf_addc(&in, "{\"not\":"), ST_OK);
    assert_int_equal(buf_addc(&in, "{}"), ST_OK);
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(buf_addc(&in, "}"), ST_OK);
    assert_int_equal(buf_addc(&in, "}}}"), ST_OK);
    translating_begin(&t, &chat_to_messages, &call);
    assert_int_equal(translating_request(&t, (struct slice){in.p, in.n}), ST_BAD_REQUEST);
    assert_string_equal(t.err.param, "response_format.json_schema.schema");
    translating_end(&t);
    buf_fini(&in);
}

static void no_more_tools_are_strict_than_may_be(void **state)
{
    struct translate_call call = call_for("claude-sonnet-5");
    struct translating t;
    struct buf in;

    (void)state;
    call.drop_unsupported = true;
    repeated(&in, "{" MESSAGES ",\"tools\":[",
             "{\"type\":\"function\",\"function\":{\"strict\":true,\"name\":\"f%zu\"}}", 21, "]}");
    translating_begin(&t, &chat_to_messages, &call);
    assert_int_equal(translating_request(&t, (struct slice){in.p, in.n}), ST_OK);
    assert_int_equal(t.dropped.n, strlen("tools[20].function.strict"));
    translating_end(&t);
    buf_fini(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fixture_is_translated_there_and_back),
        cmocka_unit_test(members_are_translated),
        cmocka_unit_test(a_limit_of_ours_is_never_passed),
        cmocka_unit_test(messages_become_turns),
        cmocka_unit_test(no_budget_in_the_middle_of_a_tool_loop),
        cmocka_unit_test(numbers_are_not_rounded),
        cmocka_unit_test(what_cannot_be_said_is_refused_by_name),
        cmocka_unit_test(bounds_are_kept),
        cmocka_unit_test(a_deep_schema_is_refused),
        cmocka_unit_test(no_more_tools_are_strict_than_may_be),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
