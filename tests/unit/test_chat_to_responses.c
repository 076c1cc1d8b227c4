/* Chat completions over Responses: the bridge, both ways, with fixtures, tables and hostile input. In tables ' is ". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/translating.h"

static void begin(struct translating *t)
{
    translating_begin(t, &chat_to_responses, NULL);
    t->call.stream = false;
}

static struct slice out_of(const struct translating *t)
{
    return (struct slice){t->out.p, t->out.n};
}

static void drop(struct slice s)
{
    free((void *)(uintptr_t)s.p);
}

static void ask(struct translating *t)
{
    struct slice body = quoted("{'model':'m','messages':[{'role':'user','content':'x'}]}");

    assert_int_equal(translating_request(t, body), ST_OK);
    drop(body);
}

static void expect(const struct translating *t, struct slice want)
{
    if (!json_alike(out_of(t), want))
        fail_msg("got  " SLICE_FMT "\nwant " SLICE_FMT, SLICE_ARG(out_of(t)), SLICE_ARG(want));
}

static void the_fixture_goes_there_and_back(void **state)
{
    struct slice request = fixture("translate/chat_to_responses/1_openai_chat.request.json");
    struct slice upstream = fixture("translate/chat_to_responses/2_responses.request.json");
    struct slice answer = fixture("translate/chat_to_responses/3_responses.response.json");
    struct slice client = fixture("translate/chat_to_responses/4_openai_chat.response.json");
    struct translating t;

    (void)state;
    begin(&t);
    t.call.model = t.call.upstream_model = slice_of("gpt-6.2-sol");
    assert_int_equal(translating_request(&t, request), ST_OK);
    expect(&t, upstream);
    assert_int_equal(translating_answer(&t, answer), ST_OK);
    expect(&t, client);
    translating_end(&t);
    drop(request), drop(upstream), drop(answer), drop(client);
}

static enum status run_stream(struct translating *t, struct slice sse, size_t step)
{
    enum status st;

    ask(t);
    st = translating_stream(t, sse, step);
    if (st == ST_OK)
        st = buf_addc(&t->out, "data: [DONE]\n\n");
    return st;
}

static void a_stream_is_the_same_wherever_it_is_cut(void **state)
{
    struct slice sse = fixture("translate/responses_stream_to_chat/1_responses.sse");
    struct slice want = fixture("translate/responses_stream_to_chat/2_openai_include_usage.sse");
    size_t first = 0;

    (void)state;
    for (size_t step = 1; step <= sse.n; step++) {
        struct translating t;

        begin(&t);
        t.call.model = slice_of("gpt-4o-mini-2024-07-18");
        assert_int_equal(run_stream(&t, sse, step), ST_OK);
        if (!sse_alike(out_of(&t), want, &first))
            fail_msg("cut every %zu: event %zu differs in\n" SLICE_FMT, step, first, SLICE_ARG(out_of(&t)));
        translating_end(&t);
    }
    drop(sse), drop(want);
}

struct pair {
    const char *from, *to; /* members beside the least body there is, and what upstream gets for them */
};

static void members_are_translated(void **state)
{
    static const struct pair rows[] = {
        {"", ""},
        {",'max_tokens':400", ",'max_output_tokens':400"},
        {",'max_tokens':5", ",'max_output_tokens':16"},
        {",'max_tokens':500,'max_completion_tokens':400", ",'max_output_tokens':400"},
        {",'max_completion_tokens':400,'max_tokens':500", ",'max_output_tokens':400"},
        {",'temperature':0.30,'top_p':1", ",'temperature':0.30,'top_p':1"},
        {",'parallel_tool_calls':false,'metadata':{'a':'b'},'service_tier':'flex','user':'u'",
         ",'parallel_tool_calls':false,'metadata':{'a':'b'},'service_tier':'flex','user':'u'"},
        {",'safety_identifier':'s','prompt_cache_key':'k','prompt_cache_retention':'24h',"
         "'prompt_cache_options':{'ttl':'12h'}",
         ",'safety_identifier':'s','prompt_cache_key':'k','prompt_cache_retention':'24h',"
         "'prompt_cache_options':{'ttl':'12h'}"},
        {",'reasoning_effort':'high','verbosity':'low','response_format':{'type':'text'}",
         ",'reasoning':{'effort':'high'},'text':{'verbosity':'low','format':{'type':'text'}}"},
        {",'response_format':{'type':'json_object'}", ",'text':{'format':{'type':'json_object'}}"},
        {",'response_format':{'type':'json_schema','json_schema':{'name':'a','description':'d','schema':{'x':[1.10]}}}",
         ",'text':{'format':{'type':'json_schema','name':'a','description':'d','schema':{'x':[1.10]}}}"},
        {",'logprobs':true,'top_logprobs':3", ",'include':['message.output_text.logprobs'],'top_logprobs':3"},
        {",'logprobs':false,'top_logprobs':0", ""},
        {",'tools':[],'tool_choice':'auto'", ",'tools':[],'tool_choice':'auto'"},
        {",'tools':[{'type':'function','function':{'name':'f'}},{'type':'function','function':{'name':'g','strict':"
         "true,"
         "'parameters':{'a':123456789012345678901234567890}}}]",
         ",'tools':[{'type':'function','name':'f','parameters':{'type':'object','properties':{}},'strict':false},"
         "{'type':'function','name':'g','strict':true,'parameters':{'a':123456789012345678901234567890}}]"},
        {",'tools':[{'type':'custom','custom':{'name':'c','description':'d','format':{'type':'grammar','grammar':"
         "{'syntax':'lark','definition':'x'}}}},{'type':'custom','custom':{'name':'e','format':{'type':'text'}}}]",
         ",'tools':[{'type':'custom','name':'c','description':'d','format':{'type':'grammar','syntax':'lark',"
         "'definition':'x'}},{'type':'custom','name':'e','format':{'type':'text'}}]"},
        {",'tool_choice':{'type':'custom','custom':{'name':'c'}}", ",'tool_choice':{'type':'custom','name':'c'}"},
        {",'tool_choice':{'type':'allowed_tools','allowed_tools':{'mode':'auto','tools':[{'type':'function','function':"
         "{'name':'f'}},{'type':'custom','custom':{'name':'c'}}]}}",
         ",'tool_choice':{'type':'allowed_tools','mode':'auto','tools':[{'type':'function','name':'f'},"
         "{'type':'custom','name':'c'}]}"},
        /* without effect */
        {",'n':1,'stop':null,'frequency_penalty':0,'presence_penalty':0.0,'logit_bias':{},'modalities':['text'],"
         "'store':false,'stream_options':{'include_usage':true},'seed':null,'audio':null,'stop':null",
         NULL},
        {",'n':1,'stop':[],'frequency_penalty':0,'presence_penalty':0.0,'logit_bias':{},'modalities':['text'],"
         "'store':false,'stream_options':{'include_usage':true},'seed':null,'audio':null,'prediction':null",
         ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[1024];
        struct translating t;
        struct slice body, want;

        snprintf(text, sizeof(text), "{'model':'m','messages':[{'role':'user','content':'x'}]%s}", rows[i].from);
        body = quoted(text);
        begin(&t);
        if (rows[i].to == NULL) {
            assert_int_equal(translating_request(&t, body), ST_BAD_REQUEST);
            assert_string_equal(t.err.param, "stop");
        } else {
            snprintf(text, sizeof(text), "{'model':'u','store':false,'input':[{'role':'user','content':'x'}]%s}",
                     rows[i].to);
            want = quoted(text);
            if (translating_request(&t, body) != ST_OK)
                fail_msg("row %zu: %s", i, t.err.text);
            expect(&t, want);
            drop(want);
        }
        drop(body);
        translating_end(&t);
    }
}

static void numbers_pass_as_they_were_written(void **state)
{
    struct slice body = quoted("{'temperature':1.10,'messages':[{'role':'user','content':'x'}],'tools':[{'type':"
                               "'function','function':{'name':'f','parameters':{'a':123456789012345678901234567890,"
                               "'b':1e400,'c':0.1000}}}]}");
    const char *const kept[] = {":1.10", ":123456789012345678901234567890", ":1e400", ":0.1000"};
    struct translating t;

    (void)state;
    begin(&t);
    assert_int_equal(translating_request(&t, body), ST_OK);
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        assert_non_null(memmem(t.out.p, t.out.n, kept[i], strlen(kept[i])));
    translating_end(&t);
    drop(body);
}

static void messages_are_translated(void **state)
{
    static const struct pair rows[] = {
        {"{'role':'developer','content':[{'type':'text','text':'a'},{'type':'text','text':''}]}",
         "{'role':'developer','content':[{'type':'input_text','text':'a'},{'type':'input_text','text':''}]}"},
        {"{'role':'user','content':[{'type':'image_url','image_url':{'url':'https://x/y'}}]}",
         "{'role':'user','content':[{'type':'input_image','image_url':'https://x/y','detail':'auto'}]}"},
        {"{'role':'user','content':[{'type':'file','file':{'filename':'f','file_data':'data:,'}},"
         "{'type':'file','file':{'file_id':'file-1'}}]}",
         "{'role':'user','content':[{'type':'input_file','filename':'f','file_data':'data:,'},"
         "{'type':'input_file','file_id':'file-1'}]}"},
        {"{'role':'user','name':'ann','content':'x'},{'role':'assistant','name':'bot','content':'y'},"
         "{'role':'system','name':null,'content':'z'}",
         "{'role':'user','content':'x'},{'role':'assistant','content':'y'},{'role':'system','content':'z'}"},
        {"{'role':'assistant','content':'a','refusal':null,'annotations':[],'reasoning_content':'r'}",
         "{'role':'assistant','content':'a'}"},
        {"{'role':'assistant','content':[{'type':'text','text':'a'},{'type':'refusal','refusal':'b'}]}",
         "{'role':'assistant','content':[{'type':'output_text','text':'a'},{'type':'refusal','refusal':'b'}]}"},
        /* an empty text is none, as many clients give one beside calls */
        {"{'role':'assistant','content':'','tool_calls':[{'id':'1','function':{'name':'f','arguments':''}}]},"
         "{'role':'assistant','content':[],'refusal':'no'},{'role':'assistant','content':''}",
         "{'type':'function_call','call_id':'1','name':'f','arguments':''},"
         "{'role':'assistant','content':[{'type':'refusal','refusal':'no'}]}"},
        {"{'role':'assistant','content':null,'refusal':'no'}",
         "{'role':'assistant','content':[{'type':'refusal','refusal':'no'}]}"},
        {"{'role':'assistant','tool_calls':[{'id':'1','type':'function','function':{'name':'f','arguments':''}},"
         "{'id':'2','type':'custom','custom':{'name':'c','input':'i'}}]},"
         "{'role':'tool','tool_call_id':'2','content':'o'},"
         "{'role':'tool','tool_call_id':'1','name':'f','content':[{'type':'text','text':'p'}]}",
         "{'type':'function_call','call_id':'1','name':'f','arguments':''},"
         "{'type':'custom_tool_call','call_id':'2','name':'c','input':'i'},"
         "{'type':'custom_tool_call_output','call_id':'2','output':'o'},"
         "{'type':'function_call_output','call_id':'1','output':[{'type':'input_text','text':'p'}]}"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[1024];
        struct translating t;
        struct slice body, want;

        snprintf(text, sizeof(text), "{'messages':[%s]}", rows[i].from);
        body = quoted(text);
        snprintf(text, sizeof(text), "{'model':'u','store':false,'input':[%s]}", rows[i].to);
        want = quoted(text);
        begin(&t);
        if (translating_request(&t, body) != ST_OK)
            fail_msg("row %zu: %s", i, t.err.text);
        expect(&t, want);
        drop(body), drop(want);
        translating_end(&t);
    }
}

struct refused {
    const char *from, *code, *param;
};

static void refuse_each(const char *format, const struct refused *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char text[1024];
        struct translating t;
        struct slice body;

        snprintf(text, sizeof(text), format, rows[i].from);
        body = quoted(text);
        begin(&t);
        assert_int_equal(translating_request(&t, body), ST_BAD_REQUEST);
        if (strcmp(t.err.code, rows[i].code) != 0 || strcmp(t.err.param, rows[i].param) != 0)
            fail_msg("row %zu: %s at '%s': %s", i, t.err.code, t.err.param, t.err.text);
        assert_int_equal(t.out.n, 0);
        translating_end(&t);
        drop(body);
    }
}

#define UNSUPPORTED "unsupported_parameter"
#define TYPE "invalid_type"
#define VALUE "invalid_value"
#define MISSING "missing_required_parameter"

static void wrong_members_are_named(void **state)
{
    static const struct refused rows[] = {
        {",'n':2", UNSUPPORTED, "n"},
        {",'n':0", VALUE, "n"},
        {",'n':129", VALUE, "n"},
        {",'n':1.0", TYPE, "n"},
        {",'stop':'x'", UNSUPPORTED, "stop"},
        {",'stop':['x']", UNSUPPORTED, "stop"},
        {",'stop':7", TYPE, "stop"},
        {",'seed':1", UNSUPPORTED, "seed"},
        {",'logit_bias':{'1':2}", UNSUPPORTED, "logit_bias"},
        {",'frequency_penalty':0.1", UNSUPPORTED, "frequency_penalty"},
        {",'presence_penalty':-1", UNSUPPORTED, "presence_penalty"},
        {",'prediction':{'type':'content'}", UNSUPPORTED, "prediction"},
        {",'audio':{'voice':'x'}", UNSUPPORTED, "audio"},
        {",'modalities':['text','audio']", UNSUPPORTED, "modalities"},
        {",'web_search_options':{}", UNSUPPORTED, "web_search_options"},
        {",'functions':[]", UNSUPPORTED, "functions"},
        {",'store':true", UNSUPPORTED, "store"},
        {",'new\\r\\nheader: x':1", "unknown_parameter", ""},
        {",'temperature':'hot'", TYPE, "temperature"},
        {",'temperature':2.1", VALUE, "temperature"},
        {",'top_p':-0.1", VALUE, "top_p"},
        {",'max_tokens':0", VALUE, "max_tokens"},
        {",'max_tokens':-1", TYPE, "max_tokens"},
        {",'max_completion_tokens':1e99", TYPE, "max_completion_tokens"},
        {",'max_completion_tokens':99999999999", VALUE, "max_completion_tokens"},
        {",'top_logprobs':2", VALUE, "top_logprobs"},
        {",'response_format':{'type':'x'}", VALUE, "response_format.type"},
        {",'response_format':{'type':'json_schema'}", MISSING, "response_format.json_schema"},
        {",'response_format':{'type':'json_schema','json_schema':{'name':7}}", TYPE,
         "response_format.json_schema.name"},
        {",'response_format':{'type':'json_schema','json_schema':{'name':'n'}}", MISSING,
         "response_format.json_schema.schema"},
        {",'tools':{}", TYPE, "tools"},
        {",'tools':[7]", TYPE, "tools[0]"},
        {",'tools':[{'type':'web_search'}]", VALUE, "tools[0].type"},
        {",'tools':[{'type':'function'}]", MISSING, "tools[0].function"},
        {",'tools':[{'type':'function','function':{'name':'f','parameters':[]}}]", TYPE,
         "tools[0].function.parameters"},
        {",'tools':[{'type':'custom','custom':{'name':'f','format':{'type':'grammar'}}}]", MISSING,
         "tools[0].custom.format.grammar"},
        {",'tool_choice':'any'", VALUE, "tool_choice"},
        {",'tool_choice':{'type':'function'}", MISSING, "tool_choice.function"},
        {",'tool_choice':{'type':'x'}", VALUE, "tool_choice.type"},
        {",'tool_choice':{'type':'allowed_tools','allowed_tools':{'mode':'auto','tools':[{'type':'function',"
         "'function':{}}]}}",
         MISSING, "tool_choice.allowed_tools.tools[0].function.name"},
        {",'messages':[]", VALUE, "messages"},
        {",'user':7", TYPE, "user"},
        {",'stream_options':{'include_obfuscation':1}", TYPE, "stream_options.include_obfuscation"},
    };

    (void)state;
    refuse_each("{'messages':[{'role':'user','content':'x'}]%s}", rows, sizeof(rows) / sizeof(rows[0]));
}

static void wrong_messages_are_named(void **state)
{
    static const struct refused rows[] = {
        {"7", TYPE, "messages[0]"},
        {"{}", MISSING, "messages[0].role"},
        {"{'role':'king','content':''}", VALUE, "messages[0].role"},
        {"{'role':'function','name':'f','content':''}", UNSUPPORTED, "messages[0].role"},
        {"{'role':'user'}", MISSING, "messages[0].content"},
        {"{'role':'user','content':7}", TYPE, "messages[0].content"},
        {"{'role':'user','name':7,'content':'x'}", TYPE, "messages[0].name"},
        {"{'role':'user','content':'x'},{'role':'user','content':[{'type':'text','text':'x'},7]}", TYPE,
         "messages[1].content[1]"},
        {"{'role':'user','content':[{'type':'text'}]}", MISSING, "messages[0].content[0].text"},
        {"{'role':'user','content':[{'type':'video'}]}", VALUE, "messages[0].content[0].type"},
        {"{'role':'user','content':[{'type':'input_audio','input_audio':{}}]}", UNSUPPORTED,
         "messages[0].content[0].input_audio"},
        {"{'role':'user','content':[{'type':'image_url','image_url':'x'}]}", TYPE, "messages[0].content[0].image_url"},
        {"{'role':'user','content':[{'type':'image_url','image_url':{}}]}", MISSING,
         "messages[0].content[0].image_url.url"},
        {"{'role':'user','content':[{'type':'file','file':{}}]}", MISSING, "messages[0].content[0].file.file_data"},
        {"{'role':'assistant','content':[{'type':'image_url'}]}", VALUE, "messages[0].content[0].type"},
        {"{'role':'assistant','function_call':{}}", UNSUPPORTED, "messages[0].function_call"},
        {"{'role':'assistant','audio':{'id':'x'}}", UNSUPPORTED, "messages[0].audio"},
        {"{'role':'assistant','tool_calls':[{'type':'function'}]}", MISSING, "messages[0].tool_calls[0].id"},
        {"{'role':'assistant','tool_calls':[{'id':'1','type':'x'}]}", VALUE, "messages[0].tool_calls[0].type"},
        {"{'role':'assistant','tool_calls':[{'id':'1','function':{'name':'f','arguments':{}}}]}", TYPE,
         "messages[0].tool_calls[0].function.arguments"},
        {"{'role':'tool','content':'x'}", MISSING, "messages[0].tool_call_id"},
        {"{'role':'tool','tool_call_id':'1'}", MISSING, "messages[0].content"},
    };

    (void)state;
    refuse_each("{'messages':[%s]}", rows, sizeof(rows) / sizeof(rows[0]));
}

static void what_is_no_request_is_refused(void **state)
{
    static const struct refused rows[] = {{"{}", MISSING, "messages"},
                                          {"[]", "", ""},
                                          {"", "", ""},
                                          {"{'a':", "", ""},
                                          {"{'messages':7}", TYPE, "messages"}};

    (void)state;
    refuse_each("%s", rows, sizeof(rows) / sizeof(rows[0]));
}

static void unsupported_things_can_be_left_out(void **state)
{
    struct slice body = quoted("{'messages':[{'role':'user','name':'n','content':[{'type':'input_audio'},"
                               "{'type':'text','text':'x'}]}],'stop':'x','n':2,'seed':1,'x':2}");
    struct slice want = quoted("{'model':'u','store':false,'stream':true,'max_output_tokens':20,"
                               "'input':[{'role':'user','content':[{'type':'input_text','text':'x'}]}]}");
    struct translating t;

    (void)state;
    begin(&t);
    t.call.drop_unsupported = true;
    t.call.stream = true;
    t.call.output_limit = 20;
    assert_int_equal(translating_request(&t, body), ST_OK);
    expect(&t, want);
    assert_true(
        slice_is((struct slice){t.dropped.p, t.dropped.n}, "messages[0].content[0].input_audio, stop, n, seed, x"));
    translating_end(&t);
    drop(body), drop(want);
}

/* The choice of the answer to a Responses object with these members. */
static void answers_are_translated(void **state)
{
    static const struct pair rows[] = {
        {"'status':'completed','output':[]",
         "{'index':0,'message':{'role':'assistant','content':null,'refusal':null},'logprobs':null,"
         "'finish_reason':'stop'}"},
        {"'output':[{'type':'message','content':[{'type':'output_text','text':'a','logprobs':[{'token':'a'}]},"
         "{'type':'output_text','text':'b','logprobs':[{'token':'b'}]}]},{'type':'message','content':"
         "[{'type':'output_text','text':'c'}]},{'type':'web_search_call'}]",
         "{'index':0,'message':{'role':'assistant','content':'abc','refusal':null},'logprobs':{'content':"
         "[{'token':'a'},{'token':'b'}],'refusal':null},'finish_reason':'stop'}"},
        {"'status':'incomplete','incomplete_details':{'reason':'max_output_tokens'},'output':[{'type':'message',"
         "'content':[{'type':'refusal','refusal':'no'}]}]",
         "{'index':0,'message':{'role':'assistant','content':null,'refusal':'no'},'logprobs':null,"
         "'finish_reason':'length'}"},
        {"'status':'incomplete','incomplete_details':{'reason':'content_filter'},'output':[]",
         "{'index':0,'message':{'role':'assistant','content':null,'refusal':null},'logprobs':null,"
         "'finish_reason':'content_filter'}"},
        {"'output':[{'type':'reasoning','summary':[{'text':'a'},{'text':'b'}]},{'type':'custom_tool_call','call_id':'1'"
         ","
         "'name':'c','input':'i'},{'type':'function_call','call_id':'2','name':'f','arguments':'{}'}]",
         "{'index':0,'message':{'role':'assistant','content':null,'refusal':null,'reasoning_content':'a\\n\\nb',"
         "'tool_calls':[{'id':'1','type':'custom','custom':{'name':'c','input':'i'}},{'id':'2','type':'function',"
         "'function':{'name':'f','arguments':'{}'}}]},'logprobs':null,'finish_reason':'tool_calls'}"},
        /* a call that is cut must not be run */
        {"'status':'incomplete','incomplete_details':{'reason':'max_output_tokens'},'output':[{'type':'function_call',"
         "'call_id':'2','name':'f','arguments':'{'}]",
         "{'index':0,'message':{'role':'assistant','content':null,'refusal':null,'tool_calls':[{'id':'2','type':"
         "'function','function':{'name':'f','arguments':'{'}}]},'logprobs':null,'finish_reason':'length'}"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[1024];
        struct translating t;
        struct slice body, want;

        snprintf(text, sizeof(text), "{'id':'','created_at':-5,%s}", rows[i].from);
        body = quoted(text);
        snprintf(text, sizeof(text),
                 "{'id':'chatcmpl-req_test','object':'chat.completion','created':1700000000,'model':'m',"
                 "'choices':[%s]}",
                 rows[i].to);
        want = quoted(text);
        begin(&t);
        ask(&t);
        if (translating_answer(&t, body) != ST_OK)
            fail_msg("row %zu: %s", i, t.err.text);
        expect(&t, want);
        drop(body), drop(want);
        translating_end(&t);
    }
}

static void bad_answers_are_upstreams_fault(void **state)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{'output':{}}",
        "{'output':[],'status':'failed','error':{'message':'m'}}",
        "{'output':[],'status':'failed','error':7}",
        "{'output':[],'status':'cancelled'}",
        "{'output':[],'status':'in_progress'}",
        "{'output':[{'type':'function_call'}]}",
        "{'output':[{'type':'function_call','call_id':'1','name':'n','arguments':{}}]}",
        "{'output':[{'type':'custom_tool_call','call_id':'1','name':'n','arguments':'x'}]}"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct slice body = quoted(bad[i]);
        struct translating t;

        begin(&t);
        ask(&t);
        if (translating_answer(&t, body) != ST_UPSTREAM || t.err.text[0] == '\0')
            fail_msg("row %zu", i);
        translating_end(&t);
        drop(body);
    }
}

#define CUT "{'type':'response.incomplete','response':{'incomplete_details':{'reason':'max_output_tokens'}}}"

/* Events without their "event:" lines; delta, logprobs and finish_reason of each chunk, a line each. */
static const struct {
    const char *events[8];
    const char *choices;
} streams[] = {
    {{"{'type':'response.output_item.added','output_index':0,'item':{'type':'message'}}",
      "{'type':'response.output_text.delta','output_index':0,'delta':'a','logprobs':[{'token':'a'}]}",
      "{'type':'response.output_text.delta','output_index':0,'delta':'b','logprobs':[]}",
      "{'type':'response.output_text.done','text':'ab'}",
      "{'type':'response.completed','response':{'status':'completed'}}"},
     "{'role':'assistant','content':'','refusal':null} null null\n"
     "{'content':'a'} {'content':[{'token':'a'}],'refusal':null} null\n"
     "{'content':'b'} null null\n"
     "{} null 'stop'\n"},
    {{"{'type':'response.refusal.delta','delta':'no'}", "{'type':'response.unknown.event'}",
      "{'type':'response.incomplete','response':{'incomplete_details':{'reason':'content_filter'}}}",
      "{'type':'response.output_text.delta','delta':'late'}"},
     "{'role':'assistant','content':'','refusal':null} null null\n"
     "{'refusal':'no'} null null\n"
     "{} null 'content_filter'\n"},
    {{"{'type':'response.reasoning_summary_part.added','part':{'type':'summary_text'}}",
      "{'type':'response.reasoning_summary_text.delta','delta':'x'}",
      "{'type':'response.reasoning_summary_part.added','part':{'type':'summary_text'}}",
      "{'type':'response.reasoning_summary_text.delta','delta':'y'}",
      "{'type':'response.content_part.added','part':{'type':'output_text'}}",
      "{'type':'response.output_text.delta','delta':'z'}", CUT},
     "{'role':'assistant','content':null} null null\n"
     "{'reasoning_content':'x'} null null\n"
     "{'reasoning_content':'\\n\\n'} null null\n"
     "{'reasoning_content':'y'} null null\n"
     "{'content':'z'} null null\n"
     "{} null 'length'\n"},
    /* two calls at once; the second's arguments come at its end only */
    {{"{'type':'response.output_item.added','output_index':3,'item':{'type':'function_call','call_id':'1','name':"
      "'f'}}",
      "{'type':'response.output_item.added','output_index':5,'item':{'type':'custom_tool_call','call_id':'2',"
      "'name':'c'}}",
      "{'type':'response.function_call_arguments.delta','output_index':3,'delta':'{}'}",
      "{'type':'response.output_item.done','output_index':5,'item':{'input':'i'}}",
      "{'type':'response.output_item.done','output_index':3,'item':{'arguments':'{}'}}",
      "{'type':'response.completed','response':{'status':'completed'}}"},
     "{'role':'assistant','content':null} null null\n"
     "{'tool_calls':[{'index':0,'id':'1','type':'function','function':{'name':'f','arguments':''}}]} null null\n"
     "{'tool_calls':[{'index':1,'id':'2','type':'custom','custom':{'name':'c','input':''}}]} null null\n"
     "{'tool_calls':[{'index':0,'function':{'arguments':'{}'}}]} null null\n"
     "{'tool_calls':[{'index':1,'custom':{'input':'i'}}]} null null\n"
     "{} null 'tool_calls'\n"},
    {{"{'type':'response.completed','response':{'status':'completed'}}"},
     "{'role':'assistant','content':'','refusal':null} null null\n"
     "{} null 'stop'\n"},
};

/* The chunks that such lines are short for. */
static void write_chunks(struct buf *to, const char *lines)
{
    for (const char *p = lines; *p != '\0';) {
        const char *end = strchr(p, '\n'), *finish = end, *logprobs = strstr(p, "} ") + 2;

        while (finish[-1] != ' ')
            finish--;
        (void)buf_addf(to,
                       "data: {\"id\":\"chatcmpl-req_test\",\"object\":\"chat.completion.chunk\",\"created\":"
                       "1700000000,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":%.*s,\"logprobs\":%.*s,"
                       "\"finish_reason\":%.*s}]}\n\n",
                       (int)(logprobs - 1 - p), p, (int)(finish - 1 - logprobs), logprobs, (int)(end - finish), finish);
        p = end + 1;
    }
}

static void streams_are_translated(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++) {
        struct buf sse, want;
        struct slice lines = quoted(streams[i].choices);
        struct translating t;
        size_t first = 0;

        buf_init(&sse, 65536);
        buf_init(&want, 65536);
        for (size_t k = 0; k < 8 && streams[i].events[k] != NULL; k++) {
            struct slice event = quoted(streams[i].events[k]);

            (void)buf_addf(&sse, "data: " SLICE_FMT "\n\n", SLICE_ARG(event));
            drop(event);
        }
        write_chunks(&want, lines.p);
        begin(&t);
        t.call.usage_asked = false;
        ask(&t);
        if (translating_stream(&t, (struct slice){sse.p, sse.n}, 7) != ST_OK)
            fail_msg("row %zu: %s", i, t.err.text);
        if (!sse_alike(out_of(&t), (struct slice){want.p, want.n}, &first))
            fail_msg("row %zu: event %zu differs in\n" SLICE_FMT, i, first, SLICE_ARG(out_of(&t)));
        translating_end(&t);
        buf_fini(&sse);
        buf_fini(&want);
        drop(lines);
    }
}

static void bad_streams_are_upstreams_fault(void **state)
{
    static const char *const bad[] = {
        "",
        "{'type':'response.created','response':{'id':'r'}}",
        "{'type':'response.failed','response':{}}",
        "{'type':'response.cancelled','response':{'status':'cancelled'}}",
        "{'type':'error','message':'m'}",
        "[]",
        "7",
        "{'type':'response.function_call_arguments.delta','output_index':0,'delta':'x'}",
        "{'type':'response.output_item.added','item':{'type':'function_call','call_id':'1','name':'f'}}",
        "{'type':'response.output_item.added','output_index':0,'item':{'type':'function_call','name':'f'}}",
        "{'type':'response.completed','response':{'status':'in_progress'}}"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[256];
        struct slice sse;
        struct translating t;

        snprintf(text, sizeof(text), "data: %s\n\n", bad[i]);
        sse = quoted(text);
        begin(&t);
        ask(&t);
        if (translating_stream(&t, sse, sse.n) != ST_UPSTREAM)
            fail_msg("row %zu", i);
        translating_end(&t);
        drop(sse);
    }
}

static enum status full(void *ctx, struct slice name, struct slice data)
{
    (void)name, (void)data;
    ++*(int *)ctx;
    return ST_CANCELLED;
}

static enum status keep(void *ctx, struct slice name, struct slice data)
{
    struct buf *out = ctx;

    assert_int_equal(name.n, 0);
    return buf_addf(out, SLICE_FMT "\n", SLICE_ARG(data));
}

static void a_sink_that_is_full_stops_it(void **state)
{
    struct slice event = quoted("{'type':'response.output_text.delta','delta':'x'}");
    struct translating t;
    int n = 0;
    struct translate_sink sink = {full, &n};

    (void)state;
    begin(&t);
    ask(&t);
    assert_int_equal(t.translator->event(t.state, &t.call, event, &sink, &t.err), ST_CANCELLED);
    assert_int_equal(n, 1);
    translating_end(&t);
    drop(event);
}

static void a_stream_that_we_stop_reached_its_limit(void **state)
{
    struct usage usage = {.known = true, .prompt = 3, .completion = 4};
    struct slice event = quoted("{'type':'response.output_text.delta','delta':'x'}");
    struct translating t;
    struct buf out;
    struct translate_sink sink = {keep, &out};

    (void)state;
    buf_init(&out, 65536);
    begin(&t);
    ask(&t);
    assert_int_equal(t.translator->event(t.state, &t.call, event, &sink, &t.err), ST_OK);
    assert_int_equal(t.translator->end(t.state, &t.call, TRANSLATE_LIMIT, &usage, &sink, &t.err), ST_OK);
    assert_non_null(memmem(out.p, out.n, "\"delta\":{},\"logprobs\":null,\"finish_reason\":\"length\"", 50));
    assert_non_null(memmem(out.p, out.n, "\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,", 60));
    translating_end(&t);
    buf_fini(&out);
    drop(event);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fixture_goes_there_and_back),
        cmocka_unit_test(a_stream_is_the_same_wherever_it_is_cut),
        cmocka_unit_test(members_are_translated),
        cmocka_unit_test(numbers_pass_as_they_were_written),
        cmocka_unit_test(messages_are_translated),
        cmocka_unit_test(wrong_members_are_named),
        cmocka_unit_test(wrong_messages_are_named),
        cmocka_unit_test(what_is_no_request_is_refused),
        cmocka_unit_test(unsupported_things_can_be_left_out),
        cmocka_unit_test(answers_are_translated),
        cmocka_unit_test(bad_answers_are_upstreams_fault),
        cmocka_unit_test(streams_are_translated),
        cmocka_unit_test(bad_streams_are_upstreams_fault),
        cmocka_unit_test(a_sink_that_is_full_stops_it),
        cmocka_unit_test(a_stream_that_we_stop_reached_its_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
