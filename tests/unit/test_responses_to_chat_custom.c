/* Responses over chat completions: custom tools, whose input is text, are functions there. In tables ' is ". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/responses_to_chat_fixture.h"

/* ---- requests ------------------------------------------------------------------------------------------------------
 */

#define PATCH                                                                                                          \
    "{'type':'custom','name':'apply_patch','description':'Edits files.','format':{'type':'grammar','syntax':'lark',"   \
    "'definition':'start: begin'}}"
#define PLAIN "{'type':'custom','name':'run'}"
#define SENT(name, description)                                                                                        \
    "{'type':'function','function':{'name':'" name "'," description                                                    \
    "'parameters':{'type':'object','properties':{'input':{'type':'string'}},'required':['input']}}}"
#define PLAIN_SENT SENT("run", "")

static void custom_tools_are_functions_of_a_text(void **state)
{
    static const struct {
        const char *from, *to;
    } rows[] = {
        {"'tools':[" PATCH "," PLAIN "]",
         "'tools':[" SENT("apply_patch",
                          "'description':'Edits files.\\n\\nThe input is text that this lark grammar describes:\\n"
                          "start: begin',") "," PLAIN_SENT "]"},
        {"'tools':[{'type':'custom','name':'run','format':{'type':'grammar','syntax':'regex','definition':'^a$'}}]",
         "'tools':[" SENT("run", "'description':'The input is text that this regex grammar describes:\\n^a$',") "]"},
        {"'tools':[{'type':'custom','name':'run','description':'d','format':{'type':'text'}}]",
         "'tools':[" SENT("run", "'description':'d',") "]"},
        {"'tools':[{'type':'custom','name':'run','description':null,'format':null}]", "'tools':[" PLAIN_SENT "]"},
        {"'tools':[" PLAIN "],'tool_choice':{'type':'custom','name':'run'}",
         "'tools':[" PLAIN_SENT "],'tool_choice':{'type':'function','function':{'name':'run'}}"},
        {"'tools':[" PLAIN "],'tool_choice':{'type':'allowed_tools','mode':'auto','tools':[{'type':'custom','name':"
         "'run'}]}",
         "'tools':[" PLAIN_SENT "],'tool_choice':{'type':'allowed_tools','allowed_tools':{'mode':'auto','tools':["
         "{'type':'function','function':{'name':'run'}}]}}"},
    };
    char from[1024], to[1024];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct translating t;

        snprintf(from, sizeof(from), "{'input':'x',%s}", rows[i].from);
        snprintf(to, sizeof(to), "{'model':'u','messages':[{'role':'user','content':'x'}],%s}", rows[i].to);
        begin(&t);
        if (ask(&t, from) != ST_OK)
            fail_msg("row %zu: %s", i, t.err.text);
        expect(&t, to);
        translating_end(&t);
    }
}

static void calls_of_earlier_turns_are_calls_of_functions(void **state)
{
    struct translating t;

    (void)state;
    begin(&t);
    assert_int_equal(ask(&t, "{'input':[{'type':'custom_tool_call','id':'ctc_1','status':'completed','call_id':'1',"
                             "'name':'run','input':'a\\u0022b\\nc\\\\d \xc3\xa9\\u0001'},{'type':"
                             "'custom_tool_call_output','call_id':'1','output':'o'},{'type':'custom_tool_call',"
                             "'call_id':'2','name':'run','input':''},{'type':'custom_tool_call_output','call_id':'2',"
                             "'output':[{'type':'input_text','text':'p'}]}]}"),
                     ST_OK);
    expect(&t, "{'model':'u','messages':[{'role':'assistant','content':null,'tool_calls':[{'id':'1','type':'function',"
               "'function':{'name':'run','arguments':'{\\u0022input\\u0022:\\u0022a\\\\\\u0022b\\\\nc\\\\\\\\d "
               "\xc3\xa9\\\\u0001\\u0022}'}}]},{'role':'tool','tool_call_id':'1','content':'o'},{'role':'assistant',"
               "'content':null,'tool_calls':[{'id':'2','type':'function','function':{'name':'run','arguments':"
               "'{\\u0022input\\u0022:\\u0022\\u0022}'}}]},{'role':'tool','tool_call_id':'2','content':'p'}]}");
    translating_end(&t);
}

static void wrong_custom_tools_are_named(void **state)
{
    static const struct {
        const char *tools, *code, *param;
    } rows[] = {
        {"{'type':'custom'}", "missing_required_parameter", "tools[0].name"},
        {"{'type':'custom','name':''}", "invalid_value", "tools[0].name"},
        {"{'type':'custom','name':'a b'}", "invalid_value", "tools[0].name"},
        {"{'type':'custom','name':'a\\u0000'}", "invalid_value", "tools[0].name"},
        {"{'type':'custom','name':'f','description':7}", "invalid_type", "tools[0].description"},
        {"{'type':'custom','name':'f','format':7}", "invalid_type", "tools[0].format"},
        {"{'type':'custom','name':'f','format':{}}", "missing_required_parameter", "tools[0].format.type"},
        {"{'type':'custom','name':'f','format':{'type':'x'}}", "invalid_value", "tools[0].format.type"},
        {"{'type':'custom','name':'f','format':{'type':'grammar','syntax':'lark'}}", "missing_required_parameter",
         "tools[0].format.definition"},
        {"{'type':'custom','name':'f','format':{'type':'grammar','definition':'x'}}", "missing_required_parameter",
         "tools[0].format.syntax"},
        /* whose call would it be? */
        {"{'type':'custom','name':'f'},{'type':'custom','name':'f'}", "invalid_value", NULL},
    };
    char from[1024];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct translating t;

        snprintf(from, sizeof(from), "{'input':'x','tools':[%s]}", rows[i].tools);
        begin(&t);
        assert_int_equal(ask(&t, from), ST_BAD_REQUEST);
        if (strcmp(t.err.code, rows[i].code) != 0 || (rows[i].param != NULL && strcmp(t.err.param, rows[i].param) != 0))
            fail_msg("row %zu: %s at '%s': %s", i, t.err.code, t.err.param, t.err.text);
        translating_end(&t);
    }
}

/* ---- answers -------------------------------------------------------------------------------------------------------
 */

/* What a model says as a call's arguments, and the input that the client gets. Both as they stand in JSON. */
static const struct {
    const char *arguments, *input;
} inputs[] = {
    {"{\\u0022input\\u0022:\\u0022*** Begin\\\\n \\\\u00e9\\\\\\u0022\\u0022}", "*** Begin\\n \xc3\xa9\\\""},
    {"{\\u0022input\\u0022:\\u0022\\u0022}", ""},
    {" {\\u0022more\\u0022:[{}], \\u0022input\\u0022 : \\u0022a\\u0022 }\\n", "a"},
    /* not as asked */
    {"", ""},
    {"*** Begin\\n", "*** Begin\\n"},
    {"{\\u0022input\\u0022:\\u0022a", "{\\\"input\\\":\\\"a"},
    {"{\\u0022input\\u0022:7}", "{\\\"input\\\":7}"},
    {"{\\u0022patch\\u0022:\\u0022a\\u0022}", "{\\\"patch\\\":\\\"a\\\"}"},
    {"\\u0022a\\u0022", "\\\"a\\\""},
    {"[\\u0022input\\u0022]", "[\\\"input\\\"]"},
};

static void calls_come_back_as_custom(void **state)
{
    char text[1024];

    (void)state;
    for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++) {
        struct translating t;
        struct slice answer;

        snprintf(text, sizeof(text),
                 "{'choices':[{'message':{'tool_calls':[{'id':'1','function':{'name':'run','arguments':'%s'}},"
                 "{'id':'2','function':{'name':'ran','arguments':'%s'}}]},'finish_reason':'tool_calls'}]}",
                 inputs[i].arguments, inputs[i].arguments);
        answer = quoted(text);
        begin(&t);
        assert_int_equal(ask(&t, "{'input':'x','tools':[" PLAIN ",{'type':'function','name':'ran'}]}"), ST_OK);
        assert_int_equal(translating_answer(&t, answer), ST_OK);
        snprintf(text, sizeof(text),
                 "'output':[{'id':'ctc_test_0','type':'custom_tool_call','status':'completed','call_id':'1','name':"
                 "'run','input':'%s'},{'id':'fc_test_1','type':'function_call',",
                 inputs[i].input);
        finds(&t, text);
        finds(&t, "'tools':[" PLAIN ",{'type':'function','name':'ran','parameters':null,'strict':false}]");
        translating_end(&t);
        drop(answer);
    }
}

static void arguments_that_are_an_object_are_read_too(void **state)
{
    struct slice answer = quoted("{'choices':[{'message':{'tool_calls':[{'function':{'name':'run','arguments':{'input':"
                                 "'a'}}}]},'finish_reason':'length'}]}");
    struct translating t;

    (void)state;
    begin(&t);
    assert_int_equal(ask(&t, "{'input':'x','tools':[" PLAIN "]}"), ST_OK);
    assert_int_equal(translating_answer(&t, answer), ST_OK);
    finds(&t, "{'id':'ctc_test_0','type':'custom_tool_call','status':'incomplete','call_id':'call_test_0','name':'run',"
              "'input':'a'}");
    translating_end(&t);
    drop(answer);
}

#define EVENT(type, number, rest)                                                                                      \
    "event: response." type "\ndata: {'type':'response." type "','sequence_number':" number "," rest "}\n\n"
#define ITEM(n, id, status, name, input)                                                                               \
    "'output_index':" n ",'item':{'id':'ctc_test_" n "','type':'custom_tool_call','status':'" status                   \
    "','call_id':'" id "','name':'" name "','input':'" input "'}"
#define ABOUT(n) "'item_id':'ctc_test_" n "','output_index':" n

/* What it says is given when it is whole: one delta. */
static void streamed_calls_too_wherever_they_are_cut(void **state)
{
    struct slice sse =
        quoted("data: {'choices':[{'index':0,'delta':{'tool_calls':[{'index':0,'id':'1','type':'function','function':{"
               "'name':'run','arguments':''}}]}}]}\n\n"
               "data: {'choices':[{'index':0,'delta':{'tool_calls':[{'index':0,'function':{'arguments':"
               "'{\\u0022input\\u0022:\\u0022a'}},{'index':1,'id':'2','function':{'arguments':'{\\u0022in'}}]}}]}\n\n"
               "data: {'choices':[{'index':0,'delta':{'tool_calls':[{'index':1,'function':{'name':'n__c','arguments':"
               "'put\\u0022:\\u0022\\u0022}'}},{'index':0,'function':{'arguments':'\\\\nb\\u0022}'}}]}}]}\n\n"
               "data: {'choices':[{'index':0,'delta':{},'finish_reason':'tool_calls'}]}\n\n"
               "data: [DONE]\n\n");

    (void)state;
    for (size_t step = 1; step <= sse.n; step++) {
        struct translating t;

        begin(&t);
        t.call.stream = true;
        assert_int_equal(ask(&t, "{'input':'x','stream':true,'tools':[" PLAIN ",{'type':'namespace','name':'n',"
                                 "'tools':[{'type':'custom','name':'c'}]}]}"),
                         ST_OK);
        assert_int_equal(translating_stream(&t, sse, step), ST_OK);
        finds(&t, EVENT("output_item.added", "2", ITEM("0", "1", "in_progress", "run", ""))
                      EVENT("output_item.added", "3", ITEM("1", "2", "in_progress", "c','namespace':'n", ""))
                          EVENT("custom_tool_call_input.delta", "4", ABOUT("0") ",'delta':'a\\nb'")
                              EVENT("custom_tool_call_input.done", "5", ABOUT("0") ",'input':'a\\nb'")
                                  EVENT("output_item.done", "6", ITEM("0", "1", "completed", "run", "a\\nb"))
                                      EVENT("custom_tool_call_input.done", "7", ABOUT("1") ",'input':''")
                                          EVENT("output_item.done", "8",
                                                ITEM("1", "2", "completed", "c','namespace':'n",
                                                     "")) "event: response.completed\n");
        translating_end(&t);
    }
    drop(sse);
}

static enum status keep(void *ctx, struct slice name, struct slice data)
{
    return buf_addf(ctx, SLICE_FMT " " SLICE_FMT "\n", SLICE_ARG(name), SLICE_ARG(data));
}

/* Half a call is told as it stands: taken for the whole, it might be run. */
static void what_we_cut_is_no_input(void **state)
{
    struct usage usage = {.known = true, .prompt = 3, .completion = 4};
    struct slice event = quoted("{'choices':[{'delta':{'tool_calls':[{'index':0,'id':'1','function':{'name':'run',"
                                "'arguments':'{\\u0022input\\u0022:\\u0022rm -rf /'}}]}}]}");
    struct translating t;
    struct translate_sink sink = {keep, &t.out};

    (void)state;
    begin(&t);
    t.call.stream = true;
    assert_int_equal(ask(&t, "{'input':'x','stream':true,'tools':[" PLAIN "]}"), ST_OK);
    t.out.n = 0;
    assert_int_equal(t.translator->event(t.state, &t.call, event, &sink, &t.err), ST_OK);
    assert_null(memmem(t.out.p, t.out.n, "delta", 5));
    assert_int_equal(t.translator->end(t.state, &t.call, TRANSLATE_LIMIT, &usage, &sink, &t.err), ST_OK);
    finds(&t, "'output_index':0,'item':{'id':'ctc_test_0','type':'custom_tool_call','status':'incomplete','call_id':"
              "'1','name':'run','input':'{\\\"input\\\":\\\"rm -rf /'}}\nresponse.incomplete ");
    translating_end(&t);
    drop(event);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(custom_tools_are_functions_of_a_text),
        cmocka_unit_test(calls_of_earlier_turns_are_calls_of_functions),
        cmocka_unit_test(wrong_custom_tools_are_named),
        cmocka_unit_test(calls_come_back_as_custom),
        cmocka_unit_test(arguments_that_are_an_object_are_read_too),
        cmocka_unit_test(streamed_calls_too_wherever_they_are_cut),
        cmocka_unit_test(what_we_cut_is_no_input),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
