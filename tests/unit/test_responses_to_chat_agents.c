/* Responses over chat completions, what coding agents need: tools in namespaces, reasoning that goes back. In tables '
 * is ". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/responses_to_chat_fixture.h"

/* ---- namespaces -----------------------------------------------------------------------------------------------------
 */

#define NAME_60 "a23456789_b23456789_c23456789_d23456789_e23456789_f23456789_"
#define GITHUB                                                                                                         \
    "{'type':'namespace','name':'mcp__github','description':'d','tools':[{'type':'function','name':'search',"          \
    "'description':'s','strict':false,'parameters':{'x':1}},{'type':'custom','name':'run'}]}"
#define PLAIN "{'type':'function','name':'search'}"
/* what upstream gets for both */
#define GITHUB_SENT                                                                                                    \
    "{'type':'function','function':{'name':'mcp__github__search','description':'s','strict':false,"                    \
    "'parameters':{'x':1}}},{'type':'function','function':{'name':'mcp__github__run','parameters':{'type':'object',"   \
    "'properties':{'input':{'type':'string'}},'required':['input']}}}"
#define PLAIN_SENT "{'type':'function','function':{'name':'search'}}"

static void tools_of_a_namespace_become_plain_ones(void **state)
{
    static const struct {
        const char *from, *to;
    } rows[] = {
        {"'tools':[" PLAIN "," GITHUB "]", "'tools':[" PLAIN_SENT "," GITHUB_SENT "]"},
        {"'tools':[{'type':'namespace','name':'n','tools':[]}]", ""},
        {"'tools':[" GITHUB "],'tool_choice':{'type':'function','namespace':'mcp__github','name':'search'}",
         "'tools':[" GITHUB_SENT "],'tool_choice':{'type':'function','function':{'name':'mcp__github__search'}}"},
        {"'tools':[" GITHUB "," PLAIN "],'tool_choice':{'type':'allowed_tools','mode':'auto','tools':[{'type':'custom',"
         "'namespace':'mcp__github','name':'run'},{'type':'function','namespace':null,'name':'search'}]}",
         "'tools':[" GITHUB_SENT "," PLAIN_SENT "],'tool_choice':{'type':'allowed_tools','allowed_tools':{'mode':"
         "'auto','tools':[{'type':'function','function':{'name':'mcp__github__run'}},{'type':'function','function':{'"
         "name':"
         "'search'}}]}}"},
        /* what chat does not take in a name */
        {"'tools':[{'type':'namespace','name':'a.b','tools':[{'type':'function','name':'c d'}]}]",
         "'tools':[{'type':'function','function':{'name':'a_b__c_d'}}]"},
    };
    char from[1024], to[1024];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct translating t;

        snprintf(from, sizeof(from), "{'input':'x',%s}", rows[i].from);
        snprintf(to, sizeof(to), "{'model':'u','messages':[{'role':'user','content':'x'}]%s%s}",
                 rows[i].to[0] != '\0' ? "," : "", rows[i].to);
        begin(&t);
        if (ask(&t, from) != ST_OK)
            fail_msg("row %zu: %s", i, t.err.text);
        expect(&t, to);
        translating_end(&t);
    }
}

#define MORE(tools) "{'type':'additional_tools','id':'at_1','role':'developer','tools':[" tools "]}"

/* Codex gives its tools in the input where a model's description says so. */
static void tools_in_the_input_are_tools(void **state)
{
    static const struct {
        const char *from, *to;
    } rows[] = {
        {"'input':[" MORE(GITHUB) ",{'role':'developer','content':'d'},{'role':'user','content':'x'}],'instructions':"
                                  "'i','tool_choice':'auto','parallel_tool_calls':false",
         "'messages':[{'role':'system','content':'i\\n\\nd'},{'role':'user','content':'x'}],'tools':[" GITHUB_SENT
         "],'tool_choice':'auto','parallel_tool_calls':false"},
        {"'tools':[" PLAIN "],'input':[{'role':'user','content':'x'}," MORE(GITHUB) "," MORE("") "," MORE(
             "{'type':'function','name':'f'}") "]",
         "'messages':[{'role':'user','content':'x'}],'tools':[" PLAIN_SENT "," GITHUB_SENT
         ",{'type':'function','function':{'name':'f'}}]"},
        /* between a call and its result */
        {"'input':[{'type':'function_call','call_id':'1','name':'f','arguments':''}," MORE(
             PLAIN) ",{'type':'function_call_output','call_id':'1','output':'o'}]",
         "'messages':[{'role':'assistant','content':null,'tool_calls':[{'id':'1','type':'function','function':{'name':"
         "'f','arguments':''}}]},{'role':'tool','tool_call_id':'1','content':'o'}],'tools':[" PLAIN_SENT "]"},
    };
    char from[1024], to[1024];
    struct translating t;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        snprintf(from, sizeof(from), "{%s}", rows[i].from);
        snprintf(to, sizeof(to), "{'model':'u',%s}", rows[i].to);
        begin(&t);
        if (ask(&t, from) != ST_OK)
            fail_msg("row %zu: %s", i, t.err.text);
        expect(&t, to);
        translating_end(&t);
    }
    /* what only OpenAI runs can be left out there, too */
    begin(&t);
    t.call.drop_unsupported = true;
    assert_int_equal(ask(&t, "{'input':[" MORE("{'type':'web_search'}," PLAIN) ",{'role':'user','content':'x'}]}"),
                     ST_OK);
    expect(&t, "{'model':'u','messages':[{'role':'user','content':'x'}],'tools':[" PLAIN_SENT "]}");
    assert_true(slice_is((struct slice){t.dropped.p, t.dropped.n}, "input[0].tools[0].type"));
    translating_end(&t);
}

static void calls_of_earlier_turns_name_the_same_tool(void **state)
{
    struct translating t;
    const char *tool, *call;

    (void)state;
    begin(&t);
    assert_int_equal(ask(&t, "{'input':[{'role':'user','content':'x'},{'type':'function_call','call_id':'1','name':"
                             "'search','namespace':'mcp__github','arguments':'{}'},{'type':'custom_tool_call',"
                             "'call_id':'2','name':'run','namespace':'mcp__github','input':'i'},{'type':"
                             "'function_call','call_id':'3','name':'search','namespace':null,'arguments':''}]}"),
                     ST_OK);
    expect(&t, "{'model':'u','messages':[{'role':'user','content':'x'},{'role':'assistant','content':null,"
               "'tool_calls':[{'id':'1','type':'function','function':{'name':'mcp__github__search','arguments':'{}'}},"
               "{'id':'2','type':'function','function':{'name':'mcp__github__run','arguments':'{\\u0022input\\u0022:"
               "\\u0022i\\u0022}'}},{'id':'3','type':"
               "'function','function':{'name':'search','arguments':''}}]}]}");
    translating_end(&t);
    /* a long one as well */
    begin(&t);
    assert_int_equal(ask(&t, "{'input':[{'type':'function_call','call_id':'1','namespace':'" NAME_60 "','name':"
                             "'search','arguments':''}],'tools':[{'type':'namespace','name':'" NAME_60 "','tools':["
                             "{'type':'function','name':'search'},{'type':'function','name':'seek'}]}]}"),
                     ST_OK);
    tool = strstr(strstr(t.out.p, "\"tools\""), "\"a23");
    call = strstr(strstr(t.out.p, "\"tool_calls\""), "\"a23");
    assert_memory_equal(tool, call, TRANSLATE_NAME_MAX + 2);
    assert_int_equal(tool[TRANSLATE_NAME_MAX + 1], '"');
    assert_non_null(strstr(tool + TRANSLATE_NAME_MAX, "\"a23"));
    assert_memory_not_equal(strstr(tool + TRANSLATE_NAME_MAX, "\"a23"), tool, TRANSLATE_NAME_MAX + 2);
    translating_end(&t);
}

static void wrong_namespaces_are_named(void **state)
{
    static const struct {
        const char *from, *code, *param;
    } rows[] = {
        {"'tools':[{'type':'namespace','tools':[]}]", "missing_required_parameter", "tools[0].name"},
        {"'tools':[{'type':'namespace','name':'','tools':[]}]", "invalid_value", "tools[0].name"},
        {"'tools':[{'type':'namespace','name':7,'tools':[]}]", "invalid_type", "tools[0].name"},
        {"'tools':[{'type':'namespace','name':'n'}]", "missing_required_parameter", "tools[0].tools"},
        {"'tools':[{'type':'namespace','name':'n','tools':{}}]", "invalid_type", "tools[0].tools"},
        {"'tools':[{'type':'namespace','name':'n','tools':[7]}]", "invalid_type", "tools[0].tools[0]"},
        {"'tools':[{'type':'namespace','name':'n','tools':[{'type':'function'}]}]", "missing_required_parameter",
         "tools[0].tools[0].name"},
        {"'tools':[{'type':'namespace','name':'n','tools':[" GITHUB "]}]", "unsupported_value",
         "tools[0].tools[0].type"},
        {"'tools':[{'type':'namespace','name':'n','tools':[" PLAIN ",{'type':'web_search'}]}]", "unsupported_value",
         "tools[0].tools[1].type"},
        {"'tools':[" PLAIN ",{'type':'namespace','name':'" NAME_60 NAME_60 NAME_60 "','tools':[" PLAIN "]}]",
         "invalid_value", "tools[1].tools[0].name"},
        /* two tools would be one */
        {"'tools':[" GITHUB ",{'type':'namespace','name':'mcp__github','tools':[{'type':'custom','name':'run'}]}]",
         "invalid_value", NULL},
        {"'tools':[" GITHUB "],'tool_choice':{'type':'function','name':'search','namespace':7}", "invalid_type",
         "tool_choice.namespace"},
        /* in the input */
        {"'input':[{'type':'additional_tools'}]", "missing_required_parameter", "input[0].tools"},
        {"'input':[{'type':'additional_tools','tools':{}}]", "invalid_type", "input[0].tools"},
        {"'input':[" MORE(PLAIN ",{'type':'namespace','name':'n','tools':[7]}") "]", "invalid_type",
         "input[0].tools[1].tools[0]"},
        {"'input':[" MORE("{'type':'web_search'}") "]", "unsupported_value", "input[0].tools[0].type"},
        {"'input':[" MORE(PLAIN) "," MORE("{'type':'namespace','name':'n','tools':[" PLAIN "," PLAIN
                                          "]}") ","
                                                "{'role':'user','content':'x'}]",
         "invalid_value", NULL},
    };
    char from[1024];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct translating t;

        snprintf(from, sizeof(from), strstr(rows[i].from, "'input'") != NULL ? "{%s}" : "{'input':'x',%s}",
                 rows[i].from);
        begin(&t);
        assert_int_equal(ask(&t, from), ST_BAD_REQUEST);
        if (strcmp(t.err.code, rows[i].code) != 0 || (rows[i].param != NULL && strcmp(t.err.param, rows[i].param) != 0))
            fail_msg("row %zu: %s at '%s': %s", i, t.err.code, t.err.param, t.err.text);
        translating_end(&t);
    }
}

static void tools_of_namespaces_are_bounded(void **state)
{
    struct translating t;
    struct buf b;

    (void)state;
    for (size_t n = 1024; n <= 1025; n++) {
        buf_init(&b, TRANSLATING_OUT_MAX);
        (void)buf_addc(&b, "{\"input\":\"x\",\"tools\":[{\"type\":\"namespace\",\"name\":\"n\",\"tools\":[");
        for (size_t i = 0; i < n; i++)
            (void)buf_addf(&b, "%s{\"type\":\"function\",\"name\":\"f%zu\"}", i > 0 ? "," : "", i);
        (void)buf_addc(&b, "]}]}");
        begin(&t);
        assert_int_equal(translating_request(&t, (struct slice){b.p, b.n}), n == 1024 ? ST_OK : ST_BAD_REQUEST);
        if (n > 1024)
            assert_string_equal(t.err.param, "tools[0].tools[1024]");
        translating_end(&t);
        buf_fini(&b);
    }
}

#define CALLS                                                                                                          \
    "{'id':'1','type':'function','function':{'name':'mcp__github__search','arguments':'{}'}},{'id':'2','type':"        \
    "'function','function':{'name':'mcp__github__run','arguments':'{\\u0022input\\u0022:\\u0022i\\u0022}'}},{'id':'3'" \
    ",'type':'function','function':{'name':"                                                                           \
    "'search','arguments':'{}'}},{'id':'4','type':'function','function':{'name':'mcp__github__made_up','arguments':"   \
    "'{}'}}"
/* Their items, when they are done. */
#define ITEM_1                                                                                                         \
    "{'id':'fc_test_0','type':'function_call','status':'completed','call_id':'1','name':'search','namespace':"         \
    "'mcp__github','arguments':'{}'}"
#define ITEM_2                                                                                                         \
    "{'id':'ctc_test_1','type':'custom_tool_call','status':'completed','call_id':'2','name':'run','namespace':"        \
    "'mcp__github','input':'i'}"
#define ITEM_3                                                                                                         \
    "{'id':'fc_test_2','type':'function_call','status':'completed','call_id':'3','name':'search','arguments':'{}'}"
#define ITEM_4                                                                                                         \
    "{'id':'fc_test_3','type':'function_call','status':'completed','call_id':'4','name':'mcp__github__made_up',"       \
    "'arguments':'{}'}"

static void calls_come_back_with_their_namespace(void **state)
{
    struct slice answer = quoted("{'choices':[{'message':{'tool_calls':[" CALLS "]},'finish_reason':'tool_calls'}]}");
    struct translating t;

    (void)state;
    begin(&t);
    assert_int_equal(ask(&t, "{'input':'x','tools':[" PLAIN "," GITHUB "]}"), ST_OK);
    assert_int_equal(translating_answer(&t, answer), ST_OK);
    finds(&t, "'output':[" ITEM_1 "," ITEM_2 "," ITEM_3 "," ITEM_4 "]");
    finds(&t, "'tools':[{'type':'function','name':'search','parameters':null,'strict':false}," GITHUB "]");
    translating_end(&t);
    drop(answer);
}

static void streamed_calls_too_wherever_they_are_cut(void **state)
{
    struct slice sse =
        quoted("data: {'choices':[{'index':0,'delta':{'tool_calls':[{'index':0,'id':'1','type':'function',"
               "'function':{'name':'mcp__github__search','arguments':''}}]}}]}\n\n"
               "data: {'choices':[{'index':0,'delta':{'tool_calls':[{'index':0,'function':{'arguments':"
               "'{}'}},{'index':1,'id':'2','type':'function','function':{'name':'mcp__github__run','arguments':"
               "'{\\u0022input\\u0022:\\u0022i\\u0022}'}},{'index':2,'id':'3','function':{'name':'search','arguments':'"
               "{}'}}]}}]}\n\n"
               "data: {'choices':[{'index':0,'delta':{},'finish_reason':'tool_calls'}]}\n\n"
               "data: [DONE]\n\n");

    (void)state;
    for (size_t step = 1; step <= sse.n; step++) {
        struct translating t;

        begin(&t);
        t.call.stream = true;
        assert_int_equal(ask(&t, "{'input':'x','stream':true,'tools':[" GITHUB "," PLAIN "]}"), ST_OK);
        assert_int_equal(translating_stream(&t, sse, step), ST_OK);
        finds(&t, "response.output_item.added','sequence_number':2,'output_index':0,'item':{'id':'fc_test_0','type':"
                  "'function_call','status':'in_progress','call_id':'1','name':'search','namespace':'mcp__github',"
                  "'arguments':''}}");
        finds(&t, "'item_id':'fc_test_0','output_index':0,'name':'search','arguments':'{}'}");
        finds(&t, "'output_index':0,'item':" ITEM_1 "}");
        finds(&t, "'output_index':1,'item':" ITEM_2 "}");
        finds(&t, "'output_index':2,'item':" ITEM_3 "}");
        finds(&t, "'output':[" ITEM_1 "," ITEM_2 "," ITEM_3 "]");
        translating_end(&t);
    }
    drop(sse);
}

/* A host that knows the older form only, and one with a word of its own for a limit. */
static void older_calls_are_calls(void **state)
{
    struct slice answer = quoted("{'choices':[{'message':{'content':null,'function_call':{'name':'search','arguments':"
                                 "'{}'}},'finish_reason':'model_length'}]}");
    struct slice sse = quoted("data: {'choices':[{'index':0,'delta':{'content':'a'}}]}\n\n"
                              "data: {'choices':[{'index':0,'delta':{'function_call':{'name':'search','arguments':''}}"
                              "}]}\n\n"
                              "data: {'choices':[{'index':0,'delta':{'function_call':{'arguments':'{}'}}}]}\n\n"
                              "data: {'choices':[{'index':0,'delta':{},'finish_reason':'function_call'}]}\n\n"
                              "data: [DONE]\n\n");
    struct translating t;

    (void)state;
    begin(&t);
    assert_int_equal(ask(&t, "{'input':'x'}"), ST_OK);
    assert_int_equal(translating_answer(&t, answer), ST_OK);
    finds(&t, "'status':'incomplete','background':false,'error':null,'incomplete_details':{'reason':"
              "'max_output_tokens'}");
    finds(&t, "'output':[{'id':'fc_test_0','type':'function_call','status':'incomplete','call_id':'call_test_0','name':"
              "'search','arguments':'{}'}]");
    translating_end(&t);
    for (size_t step = 1; step <= sse.n; step++) {
        begin(&t);
        t.call.stream = true;
        assert_int_equal(ask(&t, "{'input':'x','stream':true}"), ST_OK);
        assert_int_equal(translating_stream(&t, sse, step), ST_OK);
        finds(&t, "'output_index':1,'item':{'id':'fc_test_1','type':'function_call','status':'completed','call_id':"
                  "'call_test_1','name':'search','arguments':'{}'}");
        translating_end(&t);
    }
    drop(answer);
    drop(sse);
}

/* ---- reasoning ------------------------------------------------------------------------------------------------------
 */

#define THOUGHT(text) "{'type':'reasoning','id':'rs_1','summary':[{'type':'summary_text','text':'" text "'}]}"
#define SAID(text) "{'type':'message','role':'assistant','content':[{'type':'output_text','text':'" text "'}]}"
#define CALL(id) "{'type':'function_call','call_id':'" id "','name':'f','arguments':'{}'}"
#define RESULT(id) "{'type':'function_call_output','call_id':'" id "','output':'o'}"
#define USER "{'role':'user','content':'x'}"
#define CALL_SENT(id) "{'id':'" id "','type':'function','function':{'name':'f','arguments':'{}'}}"
#define RESULT_SENT(id) "{'role':'tool','tool_call_id':'" id "','content':'o'}"

static void expect_messages(const char *upstream_model, const char *items, const char *messages)
{
    struct translating t;
    char from[1024], to[1024];

    snprintf(from, sizeof(from), "{'input':[%s]}", items);
    snprintf(to, sizeof(to), "{'model':'%s','messages':[%s]}", upstream_model, messages);
    begin(&t);
    t.call.upstream_model = slice_of(upstream_model);
    if (ask(&t, from) != ST_OK)
        fail_msg("%s: %s", items, t.err.text);
    expect(&t, to);
    translating_end(&t);
}

/* Their next turn is refused without it. */
static void reasoning_goes_back_to_models_that_want_it(void **state)
{
    static const struct {
        const char *items, *messages;
    } rows[] = {
        {THOUGHT("r") "," CALL("1") "," RESULT("1"), "{'role':'assistant','content':null,'tool_calls':[" CALL_SENT(
                                                         "1") "],'reasoning_content':'r'}," RESULT_SENT("1")},
        /* before and behind what it said; two calls at once */
        {THOUGHT("r") "," SAID("t") "," THOUGHT("s") "," CALL("1") "," CALL("2") "," RESULT("1") "," RESULT(
             "2") "," THOUGHT("u") "," SAID("v"),
         "{'role':'assistant','content':'t','tool_calls':[" CALL_SENT("1") "," CALL_SENT(
             "2") "],'reasoning_content':"
                  "'r\\n\\ns'}," RESULT_SENT("1") "," RESULT_SENT(
                      "2") ",{'role':'assistant','content':'v','reasoning_content':"
                           "'u'}"},
        {SAID("t") "," THOUGHT("r") "," SAID("v"),
         "{'role':'assistant','content':'t'},{'role':'assistant','content':'v','reasoning_content':'r'}"},
        /* what was never followed by anything is nobody's */
        {THOUGHT("r") "," USER "," SAID("v"), USER ",{'role':'assistant','content':'v'}"},
        {USER "," THOUGHT("r"), USER},
        /* whole in content; in parts; sealed, so another's; nothing in it: calls need the member all the same */
        {"{'type':'reasoning','summary':[{'type':'summary_text','text':'s'}],'content':[{'type':'reasoning_text','text'"
         ":"
         "'c'},{'type':'reasoning_text','text':'d'}],'encrypted_content':null}," CALL("1"),
         "{'role':'assistant','content':null,'tool_calls':[" CALL_SENT("1") "],'reasoning_content':'c\\n\\nd'}"},
        {"{'type':'reasoning','summary':[{'type':'summary_text','text':'s'}],'encrypted_content':'e'}," CALL("1"),
         "{'role':'assistant','content':null,'tool_calls':[" CALL_SENT("1") "],'reasoning_content':''}"},
        {"{'type':'reasoning','summary':7,'content':[7,{'text':7}]}," SAID("t") "," CALL("1"),
         "{'role':'assistant','content':'t','tool_calls':[" CALL_SENT("1") "],'reasoning_content':''}"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        expect_messages("deepseek-v4-pro", rows[i].items, rows[i].messages);
}

static void no_other_model_gets_it(void **state)
{
    static const char *const want[] = {
        "deepseek-flash", "deepseek/deepseek-v4-pro:free", "deepseek-ai/DeepSeek-V3.2",
        "kimi-k2.5",      "moonshotai/kimi-k2.6",          "accounts/fireworks/models/kimi-k2p5"};
    static const char *const others[] = {"u",
                                         "gpt-6",
                                         "openai/gpt-oss-120b",
                                         "deepseek/other",
                                         "mistral-large",
                                         "my-kimi",
                                         "kim",
                                         "deepseek-r1-distill-llama-70b",
                                         "moonshotai/kimi-k2-instruct-0905"};

    (void)state;
    for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
        expect_messages(
            want[i], THOUGHT("r") "," CALL("1"),
            "{'role':'assistant','content':null,'tool_calls':[" CALL_SENT("1") "],'reasoning_content':'r'}");
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        expect_messages(others[i], THOUGHT("r") "," CALL("1"),
                        "{'role':'assistant','content':null,'tool_calls':[" CALL_SENT("1") "]}");
}

/* Thousands of them between calls of one message cost no more than they are long. */
static void much_reasoning_is_borne(void **state)
{
    struct slice item = quoted("," THOUGHT("r") "," CALL("1"));
    struct translating t;
    struct buf b;

    (void)state;
    buf_init(&b, TRANSLATING_OUT_MAX);
    (void)buf_addc(&b, "{\"input\":[{\"role\":\"user\",\"content\":\"x\"}");
    for (size_t i = 0; i < 20000; i++)
        (void)buf_add(&b, item.p, item.n);
    (void)buf_addc(&b, "]}");
    begin(&t);
    t.call.upstream_model = slice_of("kimi-k2.6");
    assert_int_equal(translating_request(&t, (struct slice){b.p, b.n}), ST_OK);
    assert_non_null(strstr(t.out.p, "r\\n\\nr\\n\\nr"));
    translating_end(&t);
    buf_fini(&b);
    drop(item);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tools_of_a_namespace_become_plain_ones),
        cmocka_unit_test(tools_in_the_input_are_tools),
        cmocka_unit_test(calls_of_earlier_turns_name_the_same_tool),
        cmocka_unit_test(wrong_namespaces_are_named),
        cmocka_unit_test(tools_of_namespaces_are_bounded),
        cmocka_unit_test(calls_come_back_with_their_namespace),
        cmocka_unit_test(streamed_calls_too_wherever_they_are_cut),
        cmocka_unit_test(older_calls_are_calls),
        cmocka_unit_test(reasoning_goes_back_to_models_that_want_it),
        cmocka_unit_test(no_other_model_gets_it),
        cmocka_unit_test(much_reasoning_is_borne),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
