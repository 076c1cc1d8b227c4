/* Responses over chat completions: pictures that the model made, there and back. In tables ' is ". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/responses_to_chat_fixture.h"

#define IMAGE(url) "{'type':'image_url','index':0,'image_url':{'url':'" url "'}}"
#define PNG IMAGE("data:image/png;base64,iVBO")
#define JPEG IMAGE("data:image/jpeg;base64,/9j/")
/* What is none that can be given. */
#define ELSEWHERE IMAGE("https://example.org/a.png")
#define BROKEN                                                                                                         \
    IMAGE("data:image/png,x")                                                                                          \
    "," IMAGE("data:text/html;base64,AAAA") "," IMAGE(                                                                 \
        "data:image/;base64,AAAA") ",7,{'image_url':7},{'image_url':{'url':7}},{}"

#define ITEM(n, status, format, result)                                                                                \
    "{'id':'ig_test_" n "','type':'image_generation_call','status':'" status "','output_format':'" format              \
    "','result':" result "}"
#define SAID(n, text)                                                                                                  \
    "{'id':'msg_test_" n "','type':'message','status':'completed','role':'assistant','content':[{'type':"              \
    "'output_text','text':'" text "','annotations':[],'logprobs':[]}]}"

/* ---- answers -------------------------------------------------------------------------------------------------------
 */

static void answers_have_their_pictures(void **state)
{
    static const struct {
        const char *message, *output;
    } rows[] = {
        {"'content':null,'images':[" PNG "]", ITEM("0", "completed", "png", "'iVBO'")},
        {"'content':'a','images':[" PNG "," ELSEWHERE "," BROKEN "," JPEG "]",
         SAID("0", "a") "," ITEM("1", "completed", "png", "'iVBO'") "," ITEM("2", "completed", "jpeg", "'/9j/'")},
        {"'content':[{'type':'text','text':'a'}," JPEG "]",
         SAID("0", "a") "," ITEM("1", "completed", "jpeg", "'/9j/'")},
        {"'content':[" PNG "]", ITEM("0", "completed", "png", "'iVBO'")},
        {"'content':'','images':[" ELSEWHERE "]", ""},
        {"'content':'a','images':7", SAID("0", "a")},
    };
    char text[2048];

    (void)state;
    for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
        bool cut = i % 2 == 1;
        struct translating t;
        struct slice answer;

        snprintf(text, sizeof(text), "{'choices':[{'message':{%s},'finish_reason':'%s'}]}", rows[i / 2].message,
                 cut ? "length" : "stop");
        answer = quoted(text);
        begin(&t);
        assert_int_equal(ask(&t, "{'input':'x'}"), ST_OK);
        assert_int_equal(translating_answer(&t, answer), ST_OK);
        snprintf(text, sizeof(text), "'output':[%s],'prev", rows[i / 2].output);
        if (!cut || strstr(rows[i / 2].output, "ig_test") != NULL) /* what comes whole is whole */
            finds(&t, text);
        translating_end(&t);
        drop(answer);
    }
}

#define CHUNK(delta, finish) "data: {'choices':[{'index':0,'delta':{" delta "},'finish_reason':" finish "}]}\n\n"
#define EVENT(type, number, rest)                                                                                      \
    "event: response." type "\ndata: {'type':'response." type "','sequence_number':" number "," rest "}\n\n"
#define PICTURE(n, first, second, third, format, result)                                                               \
    EVENT("output_item.added", first, "'output_index':" n ",'item':" ITEM(n, "in_progress", format, "null"))           \
    EVENT("image_generation_call.completed", second, "'item_id':'ig_test_" n "','output_index':" n)                    \
    EVENT("output_item.done", third, "'output_index':" n ",'item':" ITEM(n, "completed", format, result))

/* Text before it is closed, text behind it is another item. */
static void streams_have_their_pictures_wherever_they_are_cut(void **state)
{
    struct slice sse = quoted(CHUNK("'role':'assistant','content':''", "null") CHUNK("'content':'a'", "null")
                                  CHUNK("'images':[" BROKEN "," PNG "]", "null") CHUNK("'content':'b'", "null")
                                      CHUNK("'content':[" JPEG "]", "null") CHUNK("", "'stop'") "data: [DONE]\n\n");

    (void)state;
    for (size_t step = 1; step <= sse.n; step++) {
        struct translating t;

        begin(&t);
        t.call.stream = true;
        assert_int_equal(ask(&t, "{'input':'x','stream':true}"), ST_OK);
        assert_int_equal(translating_stream(&t, sse, step), ST_OK);
        finds(&t, EVENT("output_item.done", "7", "'output_index':0,'item':" SAID("0", "a"))
                      PICTURE("1", "8", "9", "10", "png", "'iVBO'"));
        finds(&t, EVENT("output_item.done", "16", "'output_index':2,'item':" SAID("2", "b"))
                      PICTURE("3", "17", "18", "19", "jpeg", "'/9j/'") "event: response.completed\n");
        finds(&t, "'output':[" SAID("0", "a") "," ITEM("1", "completed", "png", "'iVBO'") "," SAID("2", "b") "," ITEM(
                      "3", "completed", "jpeg", "'/9j/'") "],'prev");
        translating_end(&t);
    }
    drop(sse);
}

static enum status count(void *ctx, struct slice name, struct slice data)
{
    (void)name, (void)data;
    ++*(size_t *)ctx;
    return ST_OK;
}

/* More than the rest of an answer may be; but not everything. */
static void pictures_of_a_stream_are_bounded(void **state)
{
    enum { ONE = 7 * 1024 * 1024, MOST = 4 };
    struct translating t;
    size_t events = 0;
    struct translate_sink sink = {count, &events};
    struct buf b;

    (void)state;
    buf_init(&b, 2 * ONE);
    (void)buf_addc(&b, "{\"choices\":[{\"delta\":{\"images\":[{\"image_url\":{\"url\":\"data:image/png;base64,");
    assert_int_equal(buf_reserve(&b, ONE), ST_OK);
    memset(b.p + b.n, 'A', ONE);
    b.n += ONE;
    (void)buf_addc(&b, "\"}}]}}]}");
    begin(&t);
    t.call.stream = true;
    assert_int_equal(ask(&t, "{'input':'x','stream':true}"), ST_OK);
    for (size_t i = 0; i <= MOST; i++)
        assert_int_equal(t.translator->event(t.state, &t.call, (struct slice){b.p, b.n}, &sink, &t.err),
                         i < MOST ? ST_OK : ST_UPSTREAM);
    assert_int_equal(events, 2 + 3 * MOST);
    translating_end(&t);
    buf_fini(&b);
}

/* ---- requests ------------------------------------------------------------------------------------------------------
 */

#define DREW "{'type':'image_generation_call','id':'ig_1','status':'completed','output_format':'png','result':'iVBO'}"
#define PLAIN(result) "{'type':'image_generation_call','id':'ig_1','status':'completed','result':'" result "'}"
#define URL(type, data) "{'type':'image_url','image_url':{'url':'data:image/" type ";base64," data "'}}"
#define LABEL "{'type':'text','text':'[The picture that you made:]'}"
#define CALL "{'type':'function_call','call_id':'1','name':'f','arguments':'{}'}"
#define RESULT "{'type':'function_call_output','call_id':'1','output':'o'}"
#define CALL_SENT "{'id':'1','type':'function','function':{'name':'f','arguments':'{}'}}"
#define RESULT_SENT "{'role':'tool','tool_call_id':'1','content':'o'}"
#define MESSAGE "{'type':'message','role':'assistant','content':[{'type':'output_text','text':'t'}]}"
#define USER "{'role':'user','content':'u'}"

static void pictures_go_back(void **state)
{
    static const struct {
        const char *input, *own, *other; /* what upstream gets that takes its model's pictures, and that does not */
    } rows[] = {
        {USER "," DREW "," USER, USER ",{'role':'assistant','content':null,'images':[" URL("png", "iVBO") "]}," USER,
         USER ",{'role':'user','content':[" LABEL "," URL("png", "iVBO") "]}," USER},
        {MESSAGE "," DREW "," PLAIN("/9j/") "," USER,
         "{'role':'assistant','content':'t','images':[" URL("png", "iVBO") "," URL("jpeg", "/9j/") "]}," USER,
         "{'role':'assistant','content':'t'},{'role':'user','content':[" LABEL
         "," URL("png", "iVBO") "]},"
                                "{'role':'user','content':[" LABEL "," URL("jpeg", "/9j/") "]}," USER},
        {DREW "," MESSAGE,
         "{'role':'assistant','content':null,'images':[" URL("png", "iVBO") "]},{'role':'assistant','content':'t'}",
         "{'role':'user','content':[" LABEL "," URL("png", "iVBO") "]},{'role':'assistant','content':'t'}"},
        {PLAIN("UklGRg==") "," CALL "," RESULT,
         "{'role':'assistant','content':null,'images':[" URL("webp", "UklGRg==") "],'tool_calls':[" CALL_SENT
                                                                                 "]}," RESULT_SENT,
         "{'role':'user','content':[" LABEL "," URL("webp", "UklGRg==") "]},{'role':'assistant','content':null,"
                                                                        "'tool_calls':[" CALL_SENT "]}," RESULT_SENT},
        /* nothing stands between calls and their results */
        {CALL "," PLAIN("R0lGODdh") "," RESULT "," USER,
         "{'role':'assistant','content':null,'images':[" URL("gif", "R0lGODdh") "],'tool_calls':[" CALL_SENT
                                                                                "]}," RESULT_SENT "," USER,
         "{'role':'assistant','content':null,'tool_calls':[" CALL_SENT "]}," RESULT_SENT
         ",{'role':'user','content':[" LABEL "," URL("gif", "R0lGODdh") "]}," USER},
        {USER ",{'type':'image_generation_call','id':'ig_1','status':'failed','result':null}", USER, USER},
    };
    char from[2048], to[2048];

    (void)state;
    for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
        struct translating t;

        begin(&t);
        t.call.own_pictures = i % 2 == 1;
        snprintf(from, sizeof(from), "{'input':[%s]}", rows[i / 2].input);
        snprintf(to, sizeof(to), "{'model':'u','messages':[%s]}",
                 t.call.own_pictures ? rows[i / 2].own : rows[i / 2].other);
        if (ask(&t, from) != ST_OK)
            fail_msg("row %zu: %s", i / 2, t.err.text);
        expect(&t, to);
        translating_end(&t);
    }
}

static void pictures_can_be_asked_for(void **state)
{
    struct translating t;

    (void)state;
    begin(&t);
    t.call.own_pictures = true;
    assert_int_equal(ask(&t, "{'input':'x','tools':[{'type':'image_generation'}]}"), ST_OK);
    expect(&t, "{'model':'u','messages':[{'role':'user','content':'x'}],'modalities':['text','image']}");
    translating_end(&t);
}

static void what_is_no_picture_is_refused_by_name(void **state)
{
    static const struct {
        const char *body, *code, *param;
        bool own;
    } rows[] = {
        {"'input':[{'type':'image_generation_call','id':'ig_1'}]", "missing_required_parameter", "input[0].result", 0},
        {"'input':[{'type':'image_generation_call','result':null}]", "missing_required_parameter", "input[0].result",
         true},
        {"'input':[{'type':'image_generation_call','result':7}]", "invalid_type", "input[0].result", 0},
        {"'input':[" USER "," PLAIN("") "]", "invalid_value", "input[1].result", 0},
        {"'input':[" USER "," PLAIN("=") "]", "invalid_value", "input[1].result", true},
        {"'input':[" PLAIN("https://example.org/a.png") "]", "invalid_value", "input[0].result", 0},
        {"'input':'x','tools':[{'type':'image_generation'}]", "unsupported_value", "tools[0].type", 0},
        {"'input':'x','tools':[{'type':'image_generation','size':'1024x1024'}]", "unsupported_parameter",
         "tools[0].size", true},
    };
    char text[512];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct translating t;

        begin(&t);
        t.call.own_pictures = rows[i].own;
        snprintf(text, sizeof(text), "{%s}", rows[i].body);
        assert_int_equal(ask(&t, text), ST_BAD_REQUEST);
        if (strcmp(t.err.code, rows[i].code) != 0 || strcmp(t.err.param, rows[i].param) != 0)
            fail_msg("row %zu: %s at '%s': %s", i, t.err.code, t.err.param, t.err.text);
        translating_end(&t);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_have_their_pictures),
        cmocka_unit_test(streams_have_their_pictures_wherever_they_are_cut),
        cmocka_unit_test(pictures_of_a_stream_are_bounded),
        cmocka_unit_test(pictures_go_back),
        cmocka_unit_test(pictures_can_be_asked_for),
        cmocka_unit_test(what_is_no_picture_is_refused_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
