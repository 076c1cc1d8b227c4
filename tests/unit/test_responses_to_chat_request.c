/* Responses over chat completions, requests: the limit of the answer, the order of messages. In tables ' is ". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/responses_to_chat_fixture.h"

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

/* The messages that it becomes, and nothing else. */
static void body_becomes(const char *client, const char *messages)
{
    char upstream[2048];
    struct translating t;

    snprintf(upstream, sizeof(upstream), "{'model':'u','messages':[%s]}", messages);
    translating_begin(&t, &responses_to_chat, NULL);
    t.call.stream = false;
    becomes(&t, client, upstream);
    translating_end(&t);
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

#define OUT(id, parts) "{'type':'function_call_output','call_id':'" id "','output':[" parts "]}"
#define TEXT_IN(text) "{'type':'input_text','text':'" text "'}"
#define IMAGE_IN "{'type':'input_image','image_url':'data:image/png;base64,AA==','detail':'high'}"
#define FILE_IN "{'type':'input_file','filename':'f','file_data':'d'}"
#define CALL_IN(id) "{'type':'function_call','call_id':'" id "','name':'f','arguments':'{}'}"
#define CALL_OUT(id) "{'id':'" id "','type':'function','function':{'name':'f','arguments':'{}'}}"
#define CALLS_OUT(calls) "{'role':'assistant','content':null,'tool_calls':[" calls "]}"
#define TOOL(id, content) "{'role':'tool','tool_call_id':'" id "','content':" content "}"
#define USER(parts) "{'role':'user','content':[" parts "]}"
#define LABEL(id) "{'type':'text','text':'From the result of tool call " id ":'}"
#define IMAGE "{'type':'image_url','image_url':{'url':'data:image/png;base64,AA==','detail':'high'}}"
#define FILE_PART "{'type':'file','file':{'filename':'f','file_data':'d'}}"

/* Chat takes text only in a result: the rest follows in a user's message, and never between two results. */
static void what_a_result_shows_follows_the_results(void **state)
{
    static const struct {
        const char *items, *messages;
    } rows[] = {
        {CALL_IN("a") "," OUT("a", IMAGE_IN),
         CALLS_OUT(CALL_OUT("a")) "," TOOL("a", "''") "," USER(LABEL("a") "," IMAGE)},
        {CALL_IN("a") "," OUT("a", TEXT_IN("1") "," IMAGE_IN "," TEXT_IN("2") "," FILE_IN),
         CALLS_OUT(CALL_OUT("a")) "," TOOL("a", "[{'type':'text','text':'1'},{'type':'text','text':'2'}]") "," USER(
             LABEL("a") "," IMAGE "," FILE_PART)},
        /* results of parallel calls, with what a model thought in between, stay together */
        {CALL_IN("a") "," CALL_IN("b") "," CALL_IN("c") "," OUT(
             "a", IMAGE_IN) ",{'type':'reasoning','summary':[]}," OUT("b",
                                                                      TEXT_IN("x")) "," OUT("c",
                                                                                            IMAGE_IN) "," CALL_IN("d"),
         CALLS_OUT(CALL_OUT("a") "," CALL_OUT("b") "," CALL_OUT("c")) "," TOOL("a", "''") "," TOOL("b", "'x'") "," TOOL(
             "c", "''") "," USER(LABEL("a") "," IMAGE "," LABEL("c") "," IMAGE) "," CALLS_OUT(CALL_OUT("d"))},
        {OUT("a", FILE_IN) ",{'role':'user','content':'q'}," OUT("b", IMAGE_IN),
         TOOL("a", "''") "," USER(LABEL("a") "," FILE_PART) ",{'role':'user','content':'q'}," TOOL("b", "''") "," USER(
             LABEL("b") "," IMAGE)},
        {"{'type':'custom_tool_call_output','call_id':'k','output':[" IMAGE_IN "]}",
         TOOL("k", "''") "," USER(LABEL("k") "," IMAGE)},
        {OUT("a", ""), TOOL("a", "''")},
        {OUT("", IMAGE_IN), TOOL("", "''") "," USER(LABEL("") "," IMAGE)},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char client[2048];

        snprintf(client, sizeof(client), "{'input':[%s]}", rows[i].items);
        body_becomes(client, rows[i].messages);
    }
}

#define SYSTEM(text) "{'role':'system','content':'" text "'}"
#define ASKED "{'role':'user','content':'q'}"
#define DEVELOPER(content) "{'type':'message','role':'developer','content':" content "}"

/* Chat templates of many models take one system message, at the beginning. */
static void what_is_told_first_is_one_message(void **state)
{
    static const struct {
        const char *body, *messages;
    } rows[] = {
        {"'instructions':'i','input':'q'", SYSTEM("i") "," ASKED},
        {"'instructions':'i','input':[" DEVELOPER("'a'") "," DEVELOPER(
             "[" TEXT_IN("b") "," TEXT_IN("c") "]") ",{'role':'system','content':'d'}," ASKED "]",
         SYSTEM("i\\n\\na\\n\\nb\\n\\nc\\n\\nd") "," ASKED},
        {"'input':[" DEVELOPER("'a'") ",{'type':'reasoning','summary':[]}," DEVELOPER("'b'") "," CALL_IN("1") "]",
         SYSTEM("a\\n\\nb") "," CALLS_OUT(CALL_OUT("1"))},
        {"'input':[" DEVELOPER("'a'") "," OUT("1", "") "]", SYSTEM("a") "," TOOL("1", "''")},
        {"'instructions':'i','input':[]", SYSTEM("i")},
        {"'input':[" DEVELOPER("'a'") "]", SYSTEM("a")},
        /* nothing told is no message */
        {"'instructions':'','input':[" DEVELOPER("''") "," DEVELOPER("[]") "," ASKED "]", ASKED},
        /* what comes later stays where it is */
        {"'instructions':'i','input':[" ASKED
         "," DEVELOPER("[" TEXT_IN("a") "," TEXT_IN("b") "]") "," DEVELOPER("'c'") "," DEVELOPER("''") "," ASKED "]",
         SYSTEM("i") "," ASKED "," SYSTEM("a\\n\\nb") "," SYSTEM("c") "," ASKED},
    };
    char client[2048];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        snprintf(client, sizeof(client), "{%s}", rows[i].body);
        body_becomes(client, rows[i].messages);
    }
}

#define SAID(text) "{'type':'message','role':'assistant','content':[{'type':'output_text','text':'" text "'}]}"
#define SAID_OUT(text) "{'role':'assistant','content':'" text "'}"
#define RESULT(id) "{'type':'function_call_output','call_id':'" id "','output':'o'}"
#define RESULT_OUT(id) TOOL(id, "'o'")
#define SAID_CALLS_OUT(text, calls) "{'role':'assistant','content':'" text "','tool_calls':[" calls "]}"

/* In chat nothing stands between calls and their results. */
static void what_comes_between_calls_and_results_moves(void **state)
{
    static const struct {
        const char *items, *messages;
    } rows[] = {
        /* as our own streams give it, and Codex gives it back */
        {CALL_IN("a") "," SAID("t") "," RESULT("a") "," SAID("u"),
         SAID_CALLS_OUT("t", CALL_OUT("a")) "," RESULT_OUT("a") "," SAID_OUT("u")},
        {SAID("s") "," CALL_IN("a") "," SAID("t") "," CALL_IN("b") "," RESULT("b") "," SAID("u") "," RESULT("a"),
         SAID_CALLS_OUT("s\\n\\nt\\n\\nu", CALL_OUT("a") "," CALL_OUT("b")) "," RESULT_OUT("b") "," RESULT_OUT("a")},
        /* somebody else's words wait for the results, behind what is seen in them */
        {CALL_IN("a") "," CALL_IN("b") "," ASKED "," OUT("a", IMAGE_IN) "," DEVELOPER("'d'") "," RESULT(
             "b") "," ASKED "," SAID("t"),
         CALLS_OUT(CALL_OUT("a") "," CALL_OUT("b")) "," TOOL("a", "''") "," RESULT_OUT("b") "," USER(
             LABEL("a") "," IMAGE) "," ASKED "," SYSTEM("d") "," ASKED "," SAID_OUT("t")},
        {CALL_IN("a") "," ASKED "," RESULT("a"), CALLS_OUT(CALL_OUT("a")) "," RESULT_OUT("a") "," ASKED},
        /* a call that begins before the results of others are there */
        {CALL_IN("a") "," CALL_IN("b") "," RESULT("a") "," CALL_IN("c") "," RESULT("b") "," RESULT("c"),
         CALLS_OUT(CALL_OUT("a") "," CALL_OUT("b") "," CALL_OUT("c")) "," RESULT_OUT("a") "," RESULT_OUT(
             "b") "," RESULT_OUT("c")},
        {CALL_IN("a") ",{'type':'message','role':'assistant','content':[{'type':'refusal','refusal':'no'}]}," RESULT(
             "a"),
         "{'role':'assistant','content':null,'refusal':'no','tool_calls':[" CALL_OUT("a") "]}," RESULT_OUT("a")},
        /* nobody waits for what does not come, or came before */
        {CALL_IN("a") "," ASKED "," SAID("t") "," ASKED,
         CALLS_OUT(CALL_OUT("a")) "," ASKED "," SAID_OUT("t") "," ASKED},
        {RESULT("a") "," CALL_IN("a") "," ASKED, RESULT_OUT("a") "," CALLS_OUT(CALL_OUT("a")) "," ASKED},
        /* the same id again: each call has the next result */
        {CALL_IN("a") "," RESULT("a") "," ASKED "," CALL_IN("a") "," ASKED "," RESULT("a"),
         CALLS_OUT(CALL_OUT("a")) "," RESULT_OUT("a") "," ASKED
                                                      "," CALLS_OUT(CALL_OUT("a")) "," RESULT_OUT("a") "," ASKED},
        /* another's result in between */
        {CALL_IN("a") "," RESULT("x") "," ASKED "," RESULT("a"),
         CALLS_OUT(CALL_OUT("a")) "," RESULT_OUT("x") "," RESULT_OUT("a") "," ASKED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char client[2048];

        snprintf(client, sizeof(client), "{'input':[%s]}", rows[i].items);
        body_becomes(client, rows[i].messages);
    }
}

/* What many items are put together of costs no more than they are long. */
static void much_that_waits_is_borne(void **state)
{
    enum { N = 20000 };
    struct translating t;
    struct buf b;

    (void)state;
    buf_init(&b, TRANSLATING_OUT_MAX);
    (void)buf_addc(&b, "{\"input\":[");
    for (size_t i = 0; i < N; i++)
        (void)buf_addf(&b,
                       "{\"type\":\"function_call\",\"call_id\":\"c%zu\",\"name\":\"f\",\"arguments\":\"\"},"
                       "{\"role\":\"assistant\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"u\"},",
                       i);
    for (size_t i = 0; i < N; i++)
        (void)buf_addf(&b, "%s{\"type\":\"function_call_output\",\"call_id\":\"c%zu\",\"output\":\"\"}",
                       i > 0 ? "," : "", i);
    (void)buf_addc(&b, "]}");
    translating_begin(&t, &responses_to_chat, NULL);
    assert_int_equal(translating_request(&t, (struct slice){b.p, b.n}), ST_OK);
    assert_non_null(strstr(t.out.p, "s\\n\\ns\\n\\ns"));
    assert_true(strstr(t.out.p, "\"u\"") > strstr(t.out.p, "\"c19999\",\"content\""));
    translating_end(&t);
    buf_fini(&b);
}

/* ---- how hard to think ----------------------------------------------------------------------------------------------
 */

/* What the model has of what is wanted; what it cannot be told is named, but that it need not think. */
static void efforts_are_what_the_model_takes(void **state)
{
    static const struct {
        const char *model, *wanted, *sent; /* sent: NULL = none is, "" = refused by name */
    } rows[] = {
        {"u", "'low'", "low"},
        {"u", "'xhigh'", "high"},
        {"u", "'max'", "high"},
        {"u", "'minimal'", "low"},
        {"u", "'none'", "none"},
        {"u", "'of-next-year'", "of-next-year"},
        {"u", "null", NULL},
        {"gpt-4o", "null", NULL},
        {"gpt-4o", "'none'", NULL},
        {"gpt-4o", "'medium'", ""},
        {"openai/gpt-4.1-mini", "'minimal'", ""},
        {"o3-mini", "'none'", "low"},
        {"o4-mini", "'minimal'", "low"},
        {"o1", "'xhigh'", "high"},
        {"gpt-5-mini", "'none'", "minimal"},
        {"gpt-5-mini", "'minimal'", "minimal"},
        {"gpt-5-mini", "'xhigh'", "high"},
        {"gpt-5.1", "'none'", "none"},
        {"gpt-5.1", "'minimal'", "low"},
        {"gpt-5.6-terra", "'max'", "max"},
        {"gpt-6", "'none'", "none"},
        {"gpt-6.1-sol", "'none'", "low"},
        {"deepseek-v4-pro", "'xhigh'", "high"},
        {"deepseek-v4-pro", "'max'", "max"},
        {"gemini-3.1-pro", "'minimal'", "minimal"},
        {"gemini-2.0-flash", "'high'", ""},
        {"claude-opus-4-8", "'xhigh'", "xhigh"},
        {"claude-opus-4-8", "'max'", "max"},
        {"us.anthropic.claude-opus-4-8-v1:0", "'xhigh'", "xhigh"},
    };
    char from[256], to[256];

    (void)state;
    for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
        const char *sent = rows[i / 2].sent;
        bool refused = sent != NULL && sent[0] == '\0', dropping = i % 2 == 1;
        struct translating t;
        struct slice body;

        snprintf(from, sizeof(from), "{'input':'x','reasoning':{'effort':%s}}", rows[i / 2].wanted);
        snprintf(to, sizeof(to), "{'model':'%s','messages':[{'role':'user','content':'x'}]%s%s%s}", rows[i / 2].model,
                 sent != NULL && !refused ? ",'reasoning_effort':'" : "", sent != NULL ? sent : "",
                 sent != NULL && !refused ? "'" : "");
        translating_begin(&t, &responses_to_chat, NULL);
        t.call.stream = false;
        t.call.model = slice_of("my-model");
        t.call.upstream_model = slice_of(rows[i / 2].model);
        t.call.drop_unsupported = dropping;
        if (refused && !dropping) {
            body = quoted(from);
            assert_int_equal(translating_request(&t, body), ST_BAD_REQUEST);
            assert_string_equal(t.err.param, "reasoning.effort");
            assert_non_null(strstr(t.err.text, "'my-model'"));
            assert_non_null(strstr(t.err.text, "DROP_UNSUPPORTED=on"));
            drop(body);
        } else
            becomes(&t, from, to);
        assert_true(slice_is((struct slice){t.dropped.p, t.dropped.n}, refused && dropping ? "reasoning.effort" : ""));
        translating_end(&t);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_limit_beyond_the_model_is_the_models),
        cmocka_unit_test(what_a_result_shows_follows_the_results),
        cmocka_unit_test(what_is_told_first_is_one_message),
        cmocka_unit_test(what_comes_between_calls_and_results_moves),
        cmocka_unit_test(much_that_waits_is_borne),
        cmocka_unit_test(efforts_are_what_the_model_takes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
