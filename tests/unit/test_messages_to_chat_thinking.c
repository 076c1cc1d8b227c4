/* The translator messages_to_chat and thinking: blocks of it, at models that want their reasoning back, and how hard a
 * model is told to think. In tables ' is ". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/translating.h"

#define WANTS "moonshotai/kimi-k2.6"

static void begin(struct translating *t, const char *upstream_model)
{
    translating_begin(t, &messages_to_chat, NULL);
    t->call.stream = false;
    t->call.upstream_model = slice_of(upstream_model);
}

static void drop(struct slice s)
{
    free((void *)(uintptr_t)s.p);
}

static void expect(const struct translating *t, const char *text)
{
    struct slice want = quoted(text), got = {t->out.p, t->out.n};

    if (!json_alike(got, want))
        fail_msg("got  " SLICE_FMT "\nwant " SLICE_FMT, SLICE_ARG(got), SLICE_ARG(want));
    drop(want);
}

#define THOUGHT(text) "{'type':'thinking','thinking':'" text "','signature':''}"
#define USE "{'type':'tool_use','id':'1','name':'f','input':{}}"
#define CALLS "'tool_calls':[{'id':'1','type':'function','function':{'name':'f','arguments':'{}'}}]"

/* The content of the model's message, and upstream's message for it. */
static void thinking_goes_back(void **state)
{
    static const struct {
        const char *model, *from, *to;
    } rows[] = {
        {WANTS, THOUGHT("r") "," USE, "'content':null," CALLS ",'reasoning_content':'r'"},
        {WANTS, THOUGHT("r") ",{'type':'text','text':'t'}," THOUGHT("s") "," USE,
         "'content':'t'," CALLS ",'reasoning_content':'r\\n\\ns'"},
        {WANTS, THOUGHT("r") ",{'type':'text','text':'t'}", "'content':'t','reasoning_content':'r'"},
        {WANTS, "{'type':'text','text':'t'}", "'content':'t'"},
        /* calls need the member, whatever is known */
        {WANTS, USE, "'content':null," CALLS ",'reasoning_content':''"},
        {WANTS, "{'type':'redacted_thinking','data':'d'},{'type':'thinking','thinking':7}," USE,
         "'content':null," CALLS ",'reasoning_content':''"},
        /* others refuse it */
        {"u", THOUGHT("r") "," USE, "'content':null," CALLS},
        {"moonshotai/kimi-k2-instruct", THOUGHT("r") "," USE, "'content':null," CALLS},
    };
    char from[1024], to[1024];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct translating t;
        struct slice body;

        snprintf(from, sizeof(from),
                 "{'model':'m','max_tokens':9,'messages':[{'role':'user','content':'x'},{'role':'assistant',"
                 "'content':[%s]}]}",
                 rows[i].from);
        snprintf(to, sizeof(to),
                 "{'model':'%s','max_completion_tokens':9,'messages':[{'role':'user','content':'x'},{'role':"
                 "'assistant',%s}]}",
                 rows[i].model, rows[i].to);
        body = quoted(from);
        begin(&t, rows[i].model);
        if (translating_request(&t, body) != ST_OK)
            fail_msg("row %zu: %s", i, t.err.text);
        expect(&t, to);
        translating_end(&t);
        drop(body);
    }
}

/* ---- how hard to think ----------------------------------------------------------------------------------------------
 */

#define BUDGET "'thinking':{'type':'enabled','budget_tokens':9000}"
#define EFFORT(word) "'output_config':{'effort':'" word "'}"

/* No more than the model has; where it has none, what a budget amounts to is left out, what is asked for is named. */
static void efforts_are_what_the_model_takes(void **state)
{
    static const struct {
        const char *model, *member, *effort; /* effort: NULL = none is sent, "" = refused by name */
    } rows[] = {
        {"unheard-of", BUDGET, "high"},
        {"unheard-of", EFFORT("medium"), "medium"},
        {"unheard-of", EFFORT("xhigh"), "high"},
        {"unheard-of", EFFORT("max"), "high"},
        {"openai/gpt-oss-120b", EFFORT("max"), "high"},
        {"o3-mini", EFFORT("xhigh"), "high"},
        {"o4-mini", BUDGET, "high"},
        {"gpt-5", EFFORT("max"), "high"},
        {"gpt-5-mini", BUDGET, "high"},
        {"gpt-5.1-codex", EFFORT("xhigh"), "high"},
        {"gpt-5.1-codex-max", EFFORT("max"), "xhigh"},
        {"openai/gpt-5.2", EFFORT("xhigh"), "xhigh"},
        {"gpt-5.5", EFFORT("max"), "xhigh"},
        {"gpt-5.6-terra", EFFORT("max"), "max"},
        {"gpt-6", EFFORT("xhigh"), "xhigh"},
        {"GPT-6", EFFORT("max"), "max"},
        {"deepseek/deepseek-v4-pro", EFFORT("max"), "max"},
        {"deepseek-v4-flash", EFFORT("xhigh"), "high"},
        {"gemini-3.8-flash", EFFORT("max"), "high"},
        {"gpt-4o", BUDGET, NULL},
        {"openai/gpt-4.1-mini", BUDGET, NULL},
        {"gpt-4.5-preview", BUDGET, NULL},
        {"ft:gpt-4o-mini-2024-07-18:me::a1", BUDGET, NULL},
        {"gpt-3.5-turbo", BUDGET, NULL},
        {"chatgpt-4o-latest", BUDGET, NULL},
        {"o1-mini", BUDGET, NULL},
        {"gpt-5.2-chat-latest", BUDGET, NULL},
        {"gemma-3-27b-it", BUDGET, NULL},
        {"gemini-2.0-flash", BUDGET, NULL},
        {"gpt-4o", EFFORT("low"), ""},
        {"openai/gpt-4.1", EFFORT("max") "," BUDGET, ""},
        {"gpt-4o", "'thinking':{'type':'disabled'}," EFFORT("low"), NULL},
    };
    char from[512], to[512];

    (void)state;
    for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
        const char *effort = rows[i / 2].effort;
        bool refused = effort != NULL && effort[0] == '\0', dropping = i % 2 == 1;
        struct translating t;
        struct slice body;

        snprintf(from, sizeof(from), "{'model':'m','max_tokens':9999,'messages':[{'role':'user','content':'x'}],%s}",
                 rows[i / 2].member);
        snprintf(to, sizeof(to),
                 "{'model':'%s','max_completion_tokens':9999,'messages':[{'role':'user','content':'x'}]%s%s%s}",
                 rows[i / 2].model, effort != NULL && !refused ? ",'reasoning_effort':'" : "",
                 effort != NULL ? effort : "", effort != NULL && !refused ? "'" : "");
        body = quoted(from);
        begin(&t, rows[i / 2].model);
        t.call.drop_unsupported = dropping;
        if (translating_request(&t, body) != (refused && !dropping ? ST_BAD_REQUEST : ST_OK))
            fail_msg("row %zu: %s", i / 2, t.err.text);
        assert_string_equal(t.err.param, refused && !dropping ? "output_config.effort" : "");
        if (refused && !dropping) { /* which model it is, and the way out */
            assert_non_null(strstr(t.err.text, "the model 'm'"));
            assert_non_null(strstr(t.err.text, "DROP_UNSUPPORTED=on"));
        }
        assert_true(
            slice_is((struct slice){t.dropped.p, t.dropped.n}, refused && dropping ? "output_config.effort" : ""));
        if (!refused || dropping)
            expect(&t, to);
        translating_end(&t);
        drop(body);
    }
}

/* ---- answers --------------------------------------------------------------------------------------------------------
 */

#define USAGE                                                                                                          \
    "'usage':{'input_tokens':0,'cache_creation_input_tokens':0,'cache_read_input_tokens':0,'cache_creation':{"         \
    "'ephemeral_5m_input_tokens':0,'ephemeral_1h_input_tokens':0},'output_tokens':0,'service_tier':'standard'}"

static void reasoning_becomes_a_thinking_block(void **state)
{
    static const struct {
        const char *model, *message, *content, *stop;
    } rows[] = {
        {WANTS, "{'reasoning_content':'r','content':'t'," CALLS "}", THOUGHT("r") ",{'type':'text','text':'t'}," USE,
         "tool_use"},
        {WANTS, "{'reasoning':'r','reasoning_content':null,'content':null," CALLS "}", THOUGHT("r") "," USE,
         "tool_use"},
        {WANTS, "{'reasoning_content':'r','content':''}", THOUGHT("r"), "end_turn"},
        {WANTS, "{'reasoning_content':'r','content':'','refusal':'no'}", THOUGHT("r") ",{'type':'text','text':'no'}",
         "refusal"},
        {WANTS, "{'reasoning_content':7,'content':'t'}", "{'type':'text','text':'t'}", "end_turn"},
        {"u", "{'reasoning_content':'r','content':null," CALLS "}", USE, "tool_use"},
    };
    char from[1024], to[1024];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct translating t;
        struct slice body;

        snprintf(from, sizeof(from), "{'choices':[{'message':%s,'finish_reason':'stop'}]}", rows[i].message);
        snprintf(to, sizeof(to),
                 "{'id':'msg_test','type':'message','role':'assistant','model':'m','content':[%s],'stop_reason':'%s',"
                 "'stop_sequence':null," USAGE "}",
                 rows[i].content, rows[i].stop);
        body = quoted(from);
        begin(&t, rows[i].model);
        if (translating_answer(&t, body) != ST_OK)
            fail_msg("row %zu: %s", i, t.err.text);
        expect(&t, to);
        translating_end(&t);
        drop(body);
    }
}

#define CHUNK(choice) "data: {'choices':[{'index':0," choice "}]}\n\n"
#define EVENT(type, rest) "event: " type "\ndata: {'type':'" type "'," rest "}\n\n"
#define START(index, block) EVENT("content_block_start", "'index':" index ",'content_block':" block)
#define DELTA(index, delta) EVENT("content_block_delta", "'index':" index ",'delta':{'type':" delta "}")
#define STOP(index) EVENT("content_block_stop", "'index':" index)

/* In Anthropic's order: the signature is the last that comes to a block. */
static void a_stream_thinks_first_wherever_it_is_cut(void **state)
{
    struct slice sse = quoted(CHUNK("'delta':{'role':'assistant','content':'','reasoning_content':'r'}")
                                  CHUNK("'delta':{'content':null,'reasoning_content':'s'}")
                                      CHUNK("'delta':{'reasoning_content':'','content':'t'}")
                                          CHUNK("'delta':{'reasoning':'u'," CALLS "}")
                                              CHUNK("'delta':{},'finish_reason':'tool_calls'") "data: [DONE]\n\n");
    struct slice want = quoted(
        EVENT("message_start",
              "'message':{'id':'msg_test','type':'message','role':'assistant','model':'m','content':[],'stop_reason':"
              "null,'stop_sequence':null," USAGE "}") START("0", "{'type':'thinking','thinking':'','signature':''}")
            DELTA("0", "'thinking_delta','thinking':'r'") DELTA("0", "'thinking_delta','thinking':'s'")
                DELTA("0", "'signature_delta','signature':''") STOP("0") START("1", "{'type':'text','text':''}") DELTA(
                    "1", "'text_delta','text':'t'") STOP("1") START("2",
                                                                    "{'type':'thinking','thinking':'','signature':''}")
                    DELTA("2", "'thinking_delta','thinking':'u'") DELTA("2", "'signature_delta','signature':''")
                        STOP("2") START("3", "{'type':'tool_use','id':'1','name':'f','input':{}}")
                            DELTA("3", "'input_json_delta','partial_json':'{}'") STOP("3")
                                EVENT("message_delta",
                                      "'delta':{'stop_reason':'tool_use','stop_sequence':null},'usage':{"
                                      "'input_tokens':0,'cache_creation_input_tokens':0,"
                                      "'cache_read_input_tokens':0,'output_tokens':0}") "event: message_stop\ndata: "
                                                                                        "{'type':'message_stop'}\n\n");
    size_t first = 0;

    (void)state;
    for (size_t step = 1; step <= sse.n; step++) {
        struct translating t;

        begin(&t, WANTS);
        assert_int_equal(translating_stream(&t, sse, step), ST_OK);
        if (!sse_alike((struct slice){t.out.p, t.out.n}, want, &first))
            fail_msg("cut every %zu: event %zu differs in\n" SLICE_FMT, step, first, (int)t.out.n, t.out.p);
        translating_end(&t);
    }
    drop(sse), drop(want);
}

static enum status keep(void *ctx, struct slice name, struct slice data)
{
    return buf_addf(ctx, SLICE_FMT " " SLICE_FMT "\n", SLICE_ARG(name), SLICE_ARG(data));
}

static enum status refuse(void *ctx, struct slice name, struct slice data)
{
    size_t *left = ctx;

    (void)name, (void)data;
    return (*left)-- == 0 ? ST_CANCELLED : ST_OK;
}

/* Our own end of a stream closes the block; a sink that is full stops it at any event. */
static void a_thought_that_we_cut_is_closed(void **state)
{
    struct slice event = quoted("{'choices':[{'index':0,'delta':{'reasoning_content':'r'}}]}");
    struct translating t;
    struct buf out;
    struct translate_sink sink = {keep, &out};

    (void)state;
    buf_init(&out, 65536);
    begin(&t, WANTS);
    assert_int_equal(messages_to_chat.event(t.state, &t.call, event, &sink, &t.err), ST_OK);
    out.n = 0;
    assert_int_equal(messages_to_chat.end(t.state, &t.call, TRANSLATE_LIMIT, NULL, &sink, &t.err), ST_OK);
    assert_non_null(memmem(out.p, out.n, "signature_delta", 15));
    assert_non_null(memmem(out.p, out.n, "content_block_stop", 18));
    translating_end(&t);
    for (size_t n = 0; n < 7; n++) { /* start, block, delta, signature, its stop, the answer's end in two */
        size_t left = n;
        struct translate_sink full = {refuse, &left};
        enum status st;

        begin(&t, WANTS);
        st = messages_to_chat.event(t.state, &t.call, event, &full, &t.err);
        if (st == ST_OK)
            st = messages_to_chat.end(t.state, &t.call, TRANSLATE_LIMIT, NULL, &full, &t.err);
        assert_int_equal(st, ST_CANCELLED);
        translating_end(&t);
    }
    buf_fini(&out);
    drop(event);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thinking_goes_back),
        cmocka_unit_test(efforts_are_what_the_model_takes),
        cmocka_unit_test(reasoning_becomes_a_thinking_block),
        cmocka_unit_test(a_stream_thinks_first_wherever_it_is_cut),
        cmocka_unit_test(a_thought_that_we_cut_is_closed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
