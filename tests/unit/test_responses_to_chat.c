/* Responses over chat completions, both ways, with fixtures, tables and hostile input. In tables ' is ". */
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
    translating_begin(t, &responses_to_chat, NULL);
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
    struct slice body = quoted("{'model':'m','input':'x'}");

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
    struct slice request = fixture("translate/responses_to_chat/1_responses.request.json");
    struct slice upstream = fixture("translate/responses_to_chat/2_openai_chat.request.json");
    struct slice answer = fixture("translate/responses_to_chat/3_openai_chat.response.json");
    struct slice client = fixture("translate/responses_to_chat/4_responses.response.json");
    struct translating t;

    (void)state;
    begin(&t);
    t.call.stream = true;
    t.call.model = slice_of("gpt-4o-mini");
    t.call.upstream_model = slice_of("llama-3.3-70b-versatile");
    assert_int_equal(translating_request(&t, request), ST_OK);
    expect(&t, upstream);
    assert_int_equal(translating_answer(&t, answer), ST_OK);
    expect(&t, client);
    translating_end(&t);
    drop(request), drop(upstream), drop(answer), drop(client);
}

static void a_stream_is_the_same_wherever_it_is_cut(void **state)
{
    struct slice sse = fixture("translate/chat_stream_to_responses/1_openai.sse");
    struct slice want = fixture("translate/chat_stream_to_responses/2_responses.sse");
    size_t first = 0;

    (void)state;
    for (size_t step = 1; step <= sse.n; step++) {
        struct translating t;

        begin(&t);
        t.call.model = slice_of("gpt-4o-mini-2024-07-18");
        ask(&t);
        assert_int_equal(translating_stream(&t, sse, step), ST_OK);
        if (!sse_alike(out_of(&t), want, &first))
            fail_msg("cut every %zu: event %zu differs in\n" SLICE_FMT, step, first, SLICE_ARG(out_of(&t)));
        translating_end(&t);
    }
    drop(sse), drop(want);
}

/* What a client sees of our stream, the dialect reads as well as OpenAI's own. */
static void our_streams_read_as_responses(void **state)
{
    struct slice sse = fixture("openai/chat_stream_tools.sse");
    struct facts f = {0};
    struct translating t;
    struct tally text = {0, 0};
    const char *p;

    (void)state;
    begin(&t);
    ask(&t);
    assert_int_equal(translating_stream(&t, sse, 100), ST_OK);
    assert_int_equal(buf_addc(&t.out, ""), ST_OK);
    for (p = t.out.p; (p = memmem(p, (size_t)(t.out.p + t.out.n - p), "data: ", 6)) != NULL;) {
        const char *end = memchr(p, '\n', (size_t)(t.out.p + t.out.n - p));

        assert_int_equal(dialect_responses.read((struct slice){p + 6, (size_t)(end - p - 6)}, &f.usage, NULL, &f),
                         ST_OK);
        text.ascii += f.text.ascii;
        p = end;
    }
    assert_true(f.final && !f.failed);
    assert_int_equal(f.usage.prompt, 64);
    assert_int_equal(text.ascii, t.text.ascii);
    translating_end(&t);
    drop(sse);
}

/* An upstream that is not OpenAI's may know no other name. */
static void the_limit_has_its_older_name_elsewhere(void **state)
{
    struct slice body = quoted("{'model':'m','input':'x','max_output_tokens':50}"), want;
    struct translating t;

    (void)state;
    begin(&t);
    t.call.stream = false;
    t.call.old_limit = true;
    assert_int_equal(translating_request(&t, body), ST_OK);
    want = quoted("{'model':'u','messages':[{'role':'user','content':'x'}],'max_tokens':50}");
    expect(&t, want);
    translating_end(&t);
    drop(body), drop(want);
}

struct pair {
    const char *from, *to;
};

/* Members beside the least body there is, and what upstream gets for them. */
static void members_are_translated(void **state)
{
    static const struct pair rows[] = {
        {"", ""},
        {",'max_output_tokens':400,'temperature':0.5,'top_p':1.0",
         ",'max_completion_tokens':400,'temperature':0.5,'top_p':1"},
        {",'text':{'format':{'type':'text'},'verbosity':'low'},'reasoning':{'effort':'low','summary':'auto'}",
         ",'verbosity':'low','reasoning_effort':'low'"},
        {",'text':{'format':{'type':'json_object'}}", ",'response_format':{'type':'json_object'}"},
        {",'text':{'format':{'type':'json_schema','name':'a','description':'d','strict':true,'schema':{'x':1}}}",
         ",'response_format':{'type':'json_schema','json_schema':{'name':'a','description':'d','strict':true,"
         "'schema':{'x':1}}}"},
        {",'include':['message.output_text.logprobs','reasoning.encrypted_content'],'top_logprobs':2",
         ",'logprobs':true,'top_logprobs':2"},
        {",'top_logprobs':0", ""},
        {",'tools':[],'tool_choice':'auto','parallel_tool_calls':true", ""},
        {",'tool_choice':'none','tools':[{'type':'function','name':'f'}],'parallel_tool_calls':false",
         ",'tool_choice':'none','tools':[{'type':'function','function':{'name':'f'}}],'parallel_tool_calls':false"},
        {",'tool_choice':{'type':'function','name':'f'}", ",'tool_choice':{'type':'function','function':{'name':'f'}}"},
        {",'tool_choice':{'type':'allowed_tools','mode':'required','tools':[{'type':'function','name':'f'},"
         "{'type':'custom','name':'c'}]}",
         ",'tool_choice':{'type':'allowed_tools','allowed_tools':{'mode':'required','tools':[{'type':'function',"
         "'function':{'name':'f'}},{'type':'function','function':{'name':'c'}}]}}"},
        {",'user':'u','service_tier':'flex'", ",'user':'u','service_tier':'flex'"},
        /* without effect */
        {",'metadata':{'a':'b'},'safety_identifier':'s','prompt_cache_key':'k','prompt_cache_retention':'24h',"
         "'service_tier':'auto','store':false,'background':false,'previous_response_id':null,'conversation':null,"
         "'truncation':'disabled','max_tool_calls':3,'stream_options':{},'stream':true,'prompt':null,'include':null",
         ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[1024];
        struct translating t;
        struct slice body, want;

        snprintf(text, sizeof(text), "{'model':'m','input':'x'%s}", rows[i].from);
        body = quoted(text);
        snprintf(text, sizeof(text), "{'model':'u','messages':[{'role':'user','content':'x'}]%s}", rows[i].to);
        want = quoted(text);
        begin(&t);
        if (translating_request(&t, body) != ST_OK)
            fail_msg("row %zu: %s", i, t.err.text);
        expect(&t, want);
        drop(body), drop(want);
        translating_end(&t);
    }
}

static void items_are_translated(void **state)
{
    static const struct pair rows[] = {
        {"{'role':'user','content':[{'type':'input_image','image_url':'https://x','detail':'low'},{'type':'input_file',"
         "'filename':'f','file_data':'d'},{'type':'input_audio','input_audio':{'data':'','format':'wav'}}]}",
         "{'role':'user','content':[{'type':'image_url','image_url':{'url':'https://x','detail':'low'}},{'type':'file',"
         "'file':{'filename':'f','file_data':'d'}},{'type':'input_audio','input_audio':{'data':'','format':'wav'}}]}"},
        /* what the model said, its reasoning and its calls are one message */
        {"{'id':'msg_1','type':'message','status':'completed','role':'assistant','content':[{'type':'output_text',"
         "'text':'t','annotations':[]}]},{'type':'reasoning','id':'rs_1','summary':[]},{'type':'function_call',"
         "'id':'fc_1','call_id':'1','name':'f','arguments':'{}'},{'type':'custom_tool_call','call_id':'2','name':'c',"
         "'input':'i'},{'type':'function_call_output','call_id':'1','output':'o'},{'type':'custom_tool_call_output',"
         "'call_id':'2','output':[{'type':'input_text','text':'p'}]},{'type':'function_call','call_id':'3','name':'g',"
         "'arguments':''}",
         "{'role':'assistant','content':'t','tool_calls':[{'id':'1','type':'function','function':{'name':'f',"
         "'arguments':'{}'}},{'id':'2','type':'function','function':{'name':'c','arguments':'{\\u0022input\\u0022:"
         "\\u0022i\\u0022}'}}]},{'role':'tool',"
         "'tool_call_id':'1','content':'o'},{'role':'tool','tool_call_id':'2','content':'p'},{'role':'assistant',"
         "'content':null,'tool_calls':[{'id':'3','type':'function','function':{'name':'g','arguments':''}}]}"},
        {"{'role':'assistant','content':[{'type':'refusal','refusal':'no'}]}",
         "{'role':'assistant','content':null,'refusal':'no'}"},
        {"{'role':'assistant','content':'a'},{'role':'assistant','content':[]}",
         "{'role':'assistant','content':'a'},{'role':'assistant','content':''}"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[2048];
        struct translating t;
        struct slice body, want;

        snprintf(text, sizeof(text), "{'instructions':'s','input':[%s]}", rows[i].from);
        body = quoted(text);
        snprintf(text, sizeof(text), "{'model':'u','messages':[{'role':'system','content':'s'},%s]}", rows[i].to);
        want = quoted(text);
        begin(&t);
        if (translating_request(&t, body) != ST_OK)
            fail_msg("row %zu: %s", i, t.err.text);
        expect(&t, want);
        drop(body), drop(want);
        translating_end(&t);
    }
}

#define UNSUPPORTED "unsupported_parameter"
#define UNVALUE "unsupported_value"
#define TYPE "invalid_type"
#define VALUE "invalid_value"
#define MISSING "missing_required_parameter"

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

static void wrong_members_are_named(void **state)
{
    static const struct refused rows[] = {
        {",'store':true", UNSUPPORTED, "store"},
        {",'background':true", UNSUPPORTED, "background"},
        {",'previous_response_id':'resp_1'", UNSUPPORTED, "previous_response_id"},
        {",'conversation':'conv_1'", UNSUPPORTED, "conversation"},
        {",'conversation':{'id':'conv_1'}", UNSUPPORTED, "conversation"},
        {",'prompt':{'id':'p'}", UNSUPPORTED, "prompt"},
        {",'truncation':'auto'", UNSUPPORTED, "truncation"},
        {",'context_management':[]", UNSUPPORTED, "context_management"},
        {",'new':1", UNSUPPORTED, "new"},
        {",'include':['file_search_call.results']", UNVALUE, "include[0]"},
        {",'include':[7]", TYPE, "include[0]"},
        {",'tools':[{'type':'function','name':'f'},{'type':'web_search'}]", UNVALUE, "tools[1].type"},
        {",'tools':[{'type':'mcp','server_url':'x'}]", UNVALUE, "tools[0].type"},
        {",'tools':[{'type':'function'}]", MISSING, "tools[0].name"},
        {",'tools':[{'type':'function','name':'f','parameters':7}]", TYPE, "tools[0].parameters"},
        {",'tools':[{'type':'custom','name':'f','format':{}}]", MISSING, "tools[0].format.type"},
        {",'tools':[7]", TYPE, "tools[0]"},
        {",'tools':[{}]", MISSING, "tools[0].type"},
        {",'tool_choice':'any'", VALUE, "tool_choice"},
        {",'tool_choice':{'type':'file_search'}", UNVALUE, "tool_choice.type"},
        {",'tool_choice':{'type':'function'}", MISSING, "tool_choice.name"},
        {",'tool_choice':{'type':'allowed_tools','mode':'auto','tools':[{'type':'mcp'}]}", UNVALUE,
         "tool_choice.tools[0].type"},
        {",'max_output_tokens':0", VALUE, "max_output_tokens"},
        {",'max_output_tokens':'7'", TYPE, "max_output_tokens"},
        {",'max_output_tokens':1,'max_output_tokens':2", VALUE, "max_output_tokens"},
        {",'temperature':3", VALUE, "temperature"},
        {",'text':'x'", TYPE, "text"},
        {",'text':{'format':{'type':'x'}}", VALUE, "text.format.type"},
        {",'text':{'format':{'type':'json_schema','name':'n'}}", MISSING, "text.format.schema"},
        {",'text':{'verbosity':1}", TYPE, "text.verbosity"},
        {",'reasoning':{'effort':1}", TYPE, "reasoning.effort"},
        {",'instructions':['x']", TYPE, "instructions"},
        {",'metadata':'x'", TYPE, "metadata"},
    };

    (void)state;
    refuse_each("{'input':'x'%s}", rows, sizeof(rows) / sizeof(rows[0]));
}

static void wrong_items_are_named(void **state)
{
    static const struct refused rows[] = {
        {"", VALUE, "input"},
        {"7", TYPE, "input[0]"},
        {"{}", MISSING, "input[0].role"},
        {"{'type':7}", TYPE, "input[0].type"},
        {"{'role':'tool','content':''}", VALUE, "input[0].role"},
        {"{'role':'user'}", MISSING, "input[0].content"},
        {"{'role':'user','content':[{'type':'input_text','text':''},{'type':'input_text'}]}", MISSING,
         "input[0].content[1].text"},
        {"{'role':'user','content':[{'type':'x'}]}", VALUE, "input[0].content[0].type"},
        {"{'role':'user','content':[{'type':'refusal','refusal':'x'}]}", VALUE, "input[0].content[0].type"},
        {"{'role':'user','content':[{'type':'input_image','file_id':'f'}]}", UNSUPPORTED,
         "input[0].content[0].file_id"},
        {"{'role':'user','content':[{'type':'input_image'}]}", MISSING, "input[0].content[0].image_url"},
        {"{'role':'user','content':[{'type':'input_file','file_url':'u'}]}", UNSUPPORTED,
         "input[0].content[0].file_url"},
        {"{'role':'user','content':[{'type':'input_file'}]}", MISSING, "input[0].content[0].file_data"},
        {"{'role':'system','content':[{'type':'input_image','image_url':'x'}]}", UNVALUE, "input[0].content[0].type"},
        {"{'type':'function_call','name':'f','arguments':''}", MISSING, "input[0].call_id"},
        {"{'type':'function_call','call_id':'1','name':'f','arguments':{}}", TYPE, "input[0].arguments"},
        {"{'type':'function_call_output','call_id':'1'}", MISSING, "input[0].output"},
        {"{'type':'function_call_output','call_id':'1','output':[{'type':'input_image'}]}", MISSING,
         "input[0].output[0].image_url"},
        {"{'type':'function_call_output','call_id':'1','output':[{'type':'input_text','text':'x'},7]}", TYPE,
         "input[0].output[1]"},
        {"{'type':'function_call_output','call_id':'1','output':[{'type':'x'}]}", VALUE, "input[0].output[0].type"},
        {"{'type':'function_call_output','call_id':'1','output':[{'type':'input_image','file_id':'f'}]}", UNSUPPORTED,
         "input[0].output[0].file_id"},
        {"{'role':'user','content':'x'},{'type':'item_reference','id':'x'}", UNSUPPORTED, "input[1]"},
        {"{'role':'user','content':'x'},{'id':'x'}", UNSUPPORTED, "input[1]"},
        {"{'type':'web_search_call','id':'x'}", UNVALUE, "input[0].type"},
    };
    static const struct refused none[] = {
        {"{}", MISSING, "input"}, {"[]", "", ""}, {"{'input':", "", ""}, {"{'input':7}", TYPE, "input"}};

    (void)state;
    refuse_each("{'input':[%s]}", rows, sizeof(rows) / sizeof(rows[0]));
    refuse_each("%s", none, sizeof(none) / sizeof(none[0]));
}

static void unsupported_things_can_be_left_out(void **state)
{
    struct slice body =
        quoted("{'input':[{'role':'user','content':'x'},{'type':'web_search_call'}],'store':true,"
               "'tools':[{'type':'web_search'}],'tool_choice':{'type':'web_search'},'truncation':'auto',"
               "'max_output_tokens':99}");
    struct slice want = quoted("{'model':'u','max_completion_tokens':7,'messages':[{'role':'user','content':'x'}]}");
    struct slice answer = quoted("{'choices':[{'message':{'content':'a'},'finish_reason':'stop'}]}");
    struct translating t;

    (void)state;
    begin(&t);
    t.call.drop_unsupported = true;
    t.call.output_limit = 7;
    assert_int_equal(translating_request(&t, body), ST_OK);
    expect(&t, want);
    assert_true(slice_is((struct slice){t.dropped.p, t.dropped.n},
                         "store, tools[0].type, truncation, input[1].type, tool_choice.type"));
    /* the answer says what was in force */
    assert_int_equal(translating_answer(&t, answer), ST_OK);
    assert_int_equal(buf_add(&t.out, "", 1), ST_OK);
    assert_non_null(strstr(t.out.p, "\"tools\":[]"));
    assert_non_null(strstr(t.out.p, "\"tool_choice\":\"auto\""));
    assert_non_null(strstr(t.out.p, "\"max_output_tokens\":99"));
    translating_end(&t);
    drop(body), drop(want), drop(answer);
}

#define HEAD                                                                                                           \
    "'id':'resp_test','object':'response','created_at':1700000000,'background':false,'error':null,'model':'m',"        \
    "'previous_response_id':null,'store':false,'max_output_tokens':null,'parallel_tool_calls':true,"                   \
    "'instructions':null,'tools':[],'tool_choice':'auto','truncation':'disabled','metadata':{},"                       \
    "'temperature':1,'top_p':1,'text':{'format':{'type':'text'}},'reasoning':{'effort':null,'summary':null},"

/* The first choice of an answer, and the response's members that follow from it. */
static void answers_are_translated(void **state)
{
    static const struct pair rows[] = {
        {"{'message':{'role':'assistant','content':'hi','refusal':null},'logprobs':{'content':[{'token':'hi','logprob':"
         "-0.5}]},'finish_reason':'stop'}],'service_tier':'flex','usage':{'prompt_tokens':5,'completion_tokens':3}",
         "'status':'completed','incomplete_details':null,'service_tier':'flex','usage':{'input_tokens':5,"
         "'input_tokens_details':{'cached_tokens':0,'cache_write_tokens':0},'output_tokens':3,'output_tokens_details':"
         "{'reasoning_tokens':0},'total_tokens':8},'output':[{'id':'msg_test_0','type':'message','status':'completed',"
         "'role':'assistant','content':[{'type':'output_text','text':'hi','annotations':[],'logprobs':[{'token':'hi',"
         "'logprob':-0.5}]}]}]"},
        {"{'message':{'reasoning_content':'r','content':[{'type':'text','text':'a'},{'type':'text','text':'b'}],"
         "'refusal':'no'},'finish_reason':'length'}]",
         "'status':'incomplete','incomplete_details':{'reason':'max_output_tokens'},'service_tier':'default',"
         "'usage':null,'output':[{'id':'rs_test_0','type':'reasoning','status':'completed','summary':[{'type':"
         "'summary_text','text':'r'}]},{'id':'msg_test_1','type':'message','status':'completed','role':'assistant',"
         "'content':[{'type':'output_text','text':'ab','annotations':[],'logprobs':[]}]},{'id':'msg_test_2','type':"
         "'message','status':'incomplete','role':'assistant','content':[{'type':'refusal','refusal':'no'}]}]"},
        {"{'message':{'content':null,'tool_calls':[{'function':{'name':'f','arguments':''}},{'id':'d','function':"
         "{'name':'h','arguments':{'a':1}}}]},'finish_reason':'tool_calls'}]",
         "'status':'completed','incomplete_details':null,'service_tier':'default','usage':null,'output':[{'id':"
         "'fc_test_0','type':'function_call','status':'completed','call_id':'call_test_0','name':'f','arguments':'{}'},"
         "{'id':'fc_test_1','type':'function_call','status':'completed','call_id':'d','name':'h','arguments':"
         "'{\\u0022a\\u0022:1}'}]"},
        {"{'message':{'content':''},'finish_reason':'content_filter'}]",
         "'status':'incomplete','incomplete_details':{'reason':'content_filter'},'service_tier':'default','usage':null,"
         "'output':[]"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[2048];
        struct translating t;
        struct slice body, want;

        snprintf(text, sizeof(text), "{'choices':[%s}", rows[i].from);
        body = quoted(text);
        snprintf(text, sizeof(text), "{" HEAD "%s}", rows[i].to);
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

static void the_response_repeats_the_request(void **state)
{
    struct slice body = quoted("{'input':'x','instructions':'i','metadata':{'a':'b'},'temperature':0.10,'top_p':0.9,"
                               "'max_output_tokens':50,'parallel_tool_calls':false,'tool_choice':{'type':'function',"
                               "'name':'f'},'tools':[{'type':'function','name':'f'}],'text':{'verbosity':'low'},"
                               "'reasoning':{'effort':'low'},'user':'u','safety_identifier':'s','prompt_cache_key':'k',"
                               "'top_logprobs':1}");
    struct slice answer = quoted("{'created':1800000000,'choices':[{'message':{},'finish_reason':'stop'}]}");
    struct slice want =
        quoted("{'id':'resp_test','object':'response','created_at':1800000000,'status':'completed','background':false,"
               "'error':null,'incomplete_details':null,'model':'m','output':[],'previous_response_id':null,"
               "'store':false,'service_tier':'default','instructions':'i','metadata':{'a':'b'},'temperature':0.1,"
               "'top_p':0.9,'max_output_tokens':50,'parallel_tool_calls':false,'tool_choice':{'type':'function','name':"
               "'f'},'tools':[{'type':'function','name':'f','parameters':null,'strict':false}],'text':{'verbosity':"
               "'low','format':{'type':'text'}},'reasoning':{'effort':'low','summary':null},'user':'u',"
               "'safety_identifier':'s','prompt_cache_key':'k','top_logprobs':1,'truncation':'disabled','usage':null}");
    struct translating t;

    (void)state;
    begin(&t);
    assert_int_equal(translating_request(&t, body), ST_OK);
    assert_int_equal(translating_answer(&t, answer), ST_OK);
    expect(&t, want);
    translating_end(&t);
    drop(body), drop(answer), drop(want);
}

static void bad_answers_are_upstreams_fault(void **state)
{
    static const char *const bad[] = {"",
                                      "[]",
                                      "{}",
                                      "{'choices':[]}",
                                      "{'choices':[7]}",
                                      "{'choices':[{}]}",
                                      "{'choices':[{'message':[]}]}",
                                      "{'choices':[{'message':{'tool_calls':[{}]}}]}",
                                      "{'choices':[{'message':{'tool_calls':[{'function':{'name':''}}]}}]}"};

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

/* ---- streams -------------------------------------------------------------------------------------------------------
 */

/* A line an event: its type without "response.", then the members that tell the story. */
static void tell(struct buf *story, struct slice sse)
{
    static const char *const keys[] = {"\"output_index\":", "\"delta\":",     "\"text\":\"",
                                       "\"arguments\":\"",  "\"refusal\":\"", "\"input\":\""};
    const char *p = sse.p, *end = sse.p + sse.n;
    size_t n = 0;

    while ((p = memmem(p, (size_t)(end - p), "event: ", 7)) != NULL) {
        const char *data = memmem(p, (size_t)(end - p), "data: ", 6);
        const char *stop = memchr(data, '\n', (size_t)(end - data));
        char number[64];

        snprintf(number, sizeof(number), "\"sequence_number\":%zu,", n++);
        assert_non_null(memmem(data, (size_t)(stop - data), number, strlen(number)));
        assert_memory_equal(data + 15, p + 7, (size_t)(data - p - 8)); /* the name is the type */
        (void)buf_addf(story, "%.*s", (int)(data - p - 8 - 9), p + 7 + 9);
        if (memmem(data, (size_t)(stop - data), "\"response\":", 11) == NULL) {
            for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
                const char *at = memmem(data, (size_t)(stop - data), keys[k], strlen(keys[k]));
                const char *value = at != NULL ? at + strlen(keys[k]) : NULL;

                if (value != NULL)
                    (void)buf_addf(story, " %.*s", (int)strcspn(value, ",}"), value);
            }
        }
        (void)buf_addc(story, "\n");
        p = stop;
    }
}

static enum status run(struct translating *t, const char *const deltas[], size_t n, const char *finish)
{
    struct slice sse;
    struct buf all;
    enum status st;

    buf_init(&all, 1u << 20);
    for (size_t k = 0; k < n && deltas[k] != NULL; k++)
        (void)buf_addf(&all, "data: {'choices':[{'index':0,'delta':%s}]}\n\n", deltas[k]);
    (void)buf_addf(&all,
                   "data: {'choices':[{'index':1,'delta':{'content':'another'}},{'index':0,'delta':{},"
                   "'finish_reason':%s}]}\n\ndata: [DONE]\n\n",
                   finish);
    (void)buf_add(&all, "", 1);
    sse = quoted(all.p);
    buf_fini(&all);
    ask(t);
    st = translating_stream(t, sse, 3);
    drop(sse);
    return st;
}

static void streams_are_translated(void **state)
{
    static const struct {
        const char *deltas[6], *finish, *story;
    } rows[] = {
        {{"{'role':'assistant','content':''}"}, "'stop'", "created\nin_progress\ncompleted\n"},
        {{"{'reasoning_content':'r'}", "{'reasoning':'s'}", "{'content':'a'}", "{'refusal':'no'}"},
         "'length'",
         "created\nin_progress\n"
         "output_item.added 0\nreasoning_summary_part.added 0 \"\nreasoning_summary_text.delta 0 \"r\"\n"
         "reasoning_summary_text.delta 0 \"s\"\nreasoning_summary_text.done 0 rs\"\n"
         "reasoning_summary_part.done 0 rs\"\noutput_item.done 0 rs\"\n"
         "output_item.added 1\ncontent_part.added 1 \"\noutput_text.delta 1 \"a\"\noutput_text.done 1 a\"\n"
         "content_part.done 1 a\"\noutput_item.done 1 a\"\n"
         "output_item.added 2\ncontent_part.added 2 \"\nrefusal.delta 2 \"no\"\nrefusal.done 2 no\"\n"
         "content_part.done 2 no\"\noutput_item.done 2 no\"\n"
         "incomplete\n"},
        /* calls in turn, one without arguments, one whose name comes late */
        {{"{'content':'t','tool_calls':[{'index':0,'id':'1','function':{'name':'f','arguments':''}},{'index':1,'id':"
          "'2','function':{'arguments':'[1'}}]}",
          "{'tool_calls':[{'index':1,'function':{'name':'g','arguments':']'}}]}",
          "{'tool_calls':[{'index':2,'id':'3','type':'function','function':{'name':'c','arguments':'i'}}]}",
          "{'tool_calls':[{'index':1,'function':{'name':'g','arguments':'!'}}]}"},
         "'tool_calls'",
         "created\nin_progress\n"
         "output_item.added 0\ncontent_part.added 0 \"\noutput_text.delta 0 \"t\"\noutput_text.done 0 t\"\n"
         "content_part.done 0 t\"\noutput_item.done 0 t\"\n"
         "output_item.added 1 \"\noutput_item.added 2 \"\nfunction_call_arguments.delta 2 \"[1]\"\n"
         "output_item.added 3 \"\nfunction_call_arguments.delta 3 \"i\"\nfunction_call_arguments.delta 2 \"!\"\n"
         "function_call_arguments.delta 1 \"{\nfunction_call_arguments.done 1 {\noutput_item.done 1 {\n"
         "function_call_arguments.done 2 [1]!\"\noutput_item.done 2 [1]!\"\n"
         "function_call_arguments.done 3 i\"\noutput_item.done 3 i\"\n"
         "completed\n"},
        /* no index, or always the same; a name that is repeated */
        {{"{'tool_calls':[{'id':'1','function':{'name':'f','arguments':'a'}}]}",
          "{'tool_calls':[{'id':'1','function':{'name':'f','arguments':'b'}}]}",
          "{'tool_calls':[{'function':{'arguments':'c'}},{'function':{'name':'g','arguments':'d'}}]}",
          "{'tool_calls':[{'index':7,'id':'3','function':{'name':'h','arguments':'e'}}]}",
          "{'tool_calls':[{'index':7,'id':'4','function':{'name':'h','arguments':'f'}}]}"},
         "'stop'",
         "created\nin_progress\n"
         "output_item.added 0 \"\nfunction_call_arguments.delta 0 \"a\"\nfunction_call_arguments.delta 0 \"b\"\n"
         "function_call_arguments.delta 0 \"c\"\noutput_item.added 1 \"\nfunction_call_arguments.delta 1 \"d\"\n"
         "output_item.added 2 \"\nfunction_call_arguments.delta 2 \"e\"\noutput_item.added 3 \"\n"
         "function_call_arguments.delta 3 \"f\"\n"
         "function_call_arguments.done 0 abc\"\noutput_item.done 0 abc\"\n"
         "function_call_arguments.done 1 d\"\noutput_item.done 1 d\"\n"
         "function_call_arguments.done 2 e\"\noutput_item.done 2 e\"\n"
         "function_call_arguments.done 3 f\"\noutput_item.done 3 f\"\n"
         "completed\n"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct translating t;
        struct buf story;

        buf_init(&story, 65536);
        begin(&t);
        if (run(&t, rows[i].deltas, 6, rows[i].finish) != ST_OK)
            fail_msg("row %zu: %s", i, t.err.text);
        tell(&story, out_of(&t));
        if (!slice_is((struct slice){story.p, story.n}, rows[i].story))
            fail_msg("row %zu:\n" SLICE_FMT, i, (int)story.n, story.p);
        buf_fini(&story);
        translating_end(&t);
    }
}

static void logprobs_come_along(void **state)
{
    struct slice sse = quoted("data: {'choices':[{'delta':{'content':'a'},'logprobs':{'content':[{'token':'a'}]}}]}\n\n"
                              "data: {'choices':[{'delta':{'content':'b'},'logprobs':{'content':[{'token':'b'}]},"
                              "'finish_reason':'stop'}]}\n\ndata: [DONE]\n\n");
    struct translating t;
    const char *both = "\"text\":\"ab\",\"annotations\":[],\"logprobs\":[{\"token\":\"a\"},{\"token\":\"b\"}]";

    (void)state;
    begin(&t);
    ask(&t);
    assert_int_equal(translating_stream(&t, sse, 5), ST_OK);
    assert_non_null(memmem(t.out.p, t.out.n, "\"delta\":\"b\",\"logprobs\":[{\"token\":\"b\"}]", 38));
    assert_non_null(memmem(t.out.p, t.out.n, both, strlen(both)));
    translating_end(&t);
    drop(sse);
}

static void bad_streams_are_upstreams_fault(void **state)
{
    static const struct {
        const char *deltas[2], *finish;
    } rows[] = {
        {{"{'content':''}"}, "null"},
        {{"{'tool_calls':[{'index':0,'function':{'arguments':'x'}}]}"}, "'stop'"},
        {{"{'tool_calls':[{'index':0,'function':{'arguments':'x'}}]}"}, "null"},
        {{"{'tool_calls':[7]}"}, "'stop'"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct translating t;
        struct buf story;

        buf_init(&story, 4096);
        begin(&t);
        if (run(&t, rows[i].deltas, 2, rows[i].finish) != ST_UPSTREAM || t.err.text[0] == '\0')
            fail_msg("row %zu", i);
        assert_null(memmem(t.out.p, t.out.n, "response.completed", 18));
        buf_fini(&story);
        translating_end(&t);
    }
}

/* Some say no more than [DONE]. */
static void a_stream_may_end_without_a_reason(void **state)
{
    struct slice sse = quoted("data: {'choices':[{'delta':{'content':'a'}}]}\n\ndata: [DONE]\n\n");
    struct translating t;

    (void)state;
    begin(&t);
    ask(&t);
    assert_int_equal(translating_stream(&t, sse, 5), ST_OK);
    assert_non_null(memmem(t.out.p, t.out.n, "event: response.completed\n", 26));
    translating_end(&t);
    drop(sse);
}

static enum status keep(void *ctx, struct slice name, struct slice data)
{
    (void)data;
    return buf_addf(ctx, SLICE_FMT "\n", SLICE_ARG(name));
}

static enum status full(void *ctx, struct slice name, struct slice data)
{
    (void)name, (void)data;
    ++*(int *)ctx;
    return ST_CANCELLED;
}

static void a_sink_that_is_full_stops_it(void **state)
{
    struct slice event = quoted("{'choices':[{'delta':{'content':'x'}}]}");
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
    struct slice event = quoted("{'choices':[{'delta':{'content':'x','tool_calls':[{'index':0,'function':{'name':'f',"
                                "'arguments':'{'}},{'index':1,'function':{'arguments':'nameless'}}]}}]}");
    struct translating t;
    struct buf out;
    struct translate_sink sink = {keep, &out};

    (void)state;
    buf_init(&out, 65536);
    begin(&t);
    ask(&t);
    assert_int_equal(t.translator->event(t.state, &t.call, event, &sink, &t.err), ST_OK);
    out.n = 0;
    assert_int_equal(t.translator->end(t.state, &t.call, TRANSLATE_LIMIT, &usage, &sink, &t.err), ST_OK);
    assert_true(slice_is((struct slice){out.p, out.n},
                         "response.function_call_arguments.done\nresponse.output_item.done\nresponse.incomplete\n"));
    translating_end(&t);
    /* even before the first event */
    out.n = 0;
    begin(&t);
    ask(&t);
    assert_int_equal(t.translator->end(t.state, &t.call, TRANSLATE_LIMIT, &usage, &sink, &t.err), ST_OK);
    assert_true(
        slice_is((struct slice){out.p, out.n}, "response.created\nresponse.in_progress\nresponse.incomplete\n"));
    translating_end(&t);
    buf_fini(&out);
    drop(event);
}

static void what_a_stream_may_hold_is_bounded(void **state)
{
    size_t n = TRANSLATE_STATE_MAX / 4;
    char *text = malloc(n + 1), name[128];
    struct translating t;
    int events = 0;
    struct buf out, event;
    struct translate_sink sink = {keep, &out};
    enum status st = ST_OK;

    (void)state;
    assert_non_null(text);
    memset(text, 'x', n);
    text[n] = '\0';
    buf_init(&out, 1u << 20);
    buf_init(&event, 2 * n);
    assert_int_equal(buf_addf(&event, "{\"choices\":[{\"delta\":{\"content\":\"%s\"}}]}", text), ST_OK);
    begin(&t);
    ask(&t);
    while (st == ST_OK && events++ < 100)
        st = t.translator->event(t.state, &t.call, (struct slice){event.p, event.n}, &sink, &t.err);
    assert_int_equal(st, ST_UPSTREAM);
    assert_int_equal(events, 5);
    translating_end(&t);
    begin(&t);
    ask(&t);
    for (st = ST_OK, events = 0; st == ST_OK && events < 5000; events++) {
        snprintf(name, sizeof(name), "{\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":%d,\"function\":{}}]}}]}",
                 events);
        st = t.translator->event(t.state, &t.call, slice_of(name), &sink, &t.err);
    }
    assert_int_equal(st, ST_UPSTREAM);
    translating_end(&t);
    buf_fini(&out);
    buf_fini(&event);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fixture_goes_there_and_back),
        cmocka_unit_test(a_stream_is_the_same_wherever_it_is_cut),
        cmocka_unit_test(our_streams_read_as_responses),
        cmocka_unit_test(the_limit_has_its_older_name_elsewhere),
        cmocka_unit_test(members_are_translated),
        cmocka_unit_test(items_are_translated),
        cmocka_unit_test(wrong_members_are_named),
        cmocka_unit_test(wrong_items_are_named),
        cmocka_unit_test(unsupported_things_can_be_left_out),
        cmocka_unit_test(answers_are_translated),
        cmocka_unit_test(the_response_repeats_the_request),
        cmocka_unit_test(bad_answers_are_upstreams_fault),
        cmocka_unit_test(streams_are_translated),
        cmocka_unit_test(logprobs_come_along),
        cmocka_unit_test(bad_streams_are_upstreams_fault),
        cmocka_unit_test(a_stream_may_end_without_a_reason),
        cmocka_unit_test(a_sink_that_is_full_stops_it),
        cmocka_unit_test(a_stream_that_we_stop_reached_its_limit),
        cmocka_unit_test(what_a_stream_may_hold_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
