/* The dialect of OpenAI's Responses: usage, text, ends and errors of objects and of streams. In the tables ' is ". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/translating.h"

static struct facts read_text(const char *text, const struct usage *before)
{
    struct slice json = quoted(text);
    struct facts f;

    assert_int_equal(dialect_responses.read(json, before, NULL, &f), ST_OK);
    free((void *)(uintptr_t)json.p);
    return f;
}

static void usage_is_read(void **state)
{
    static const struct {
        const char *usage;
        struct usage is;
    } rows[] = {
        {"{'input_tokens':17,'output_tokens':2}", {.known = true, .prompt = 17, .completion = 2}},
        {"{'input_tokens':100,'input_tokens_details':{'cached_tokens':40,'cache_write_tokens':20},"
         "'output_tokens':50,'output_tokens_details':{'reasoning_tokens':30}}",
         {.known = true, .prompt = 100, .cached = 40, .write = 20, .completion = 50, .reasoning = 30}},
        {"{'input_tokens':100,'input_tokens_details':{'cache_write_tokens':{'ttl_30m':7,'ttl_12h':9}},"
         "'output_tokens':1}",
         {.known = true, .prompt = 100, .write = 7, .write_long = 9, .completion = 1}},
        {"{'input_tokens':100,'input_tokens_details':{'cache_write_tokens':20,"
         "'cache_write_tokens_details':{'ttl_12h':15}},'output_tokens':1}",
         {.known = true, .prompt = 100, .write = 5, .write_long = 15, .completion = 1}},
        /* parts above their whole were counted beside it */
        {"{'input_tokens':10,'input_tokens_details':{'cached_tokens':40},'output_tokens':5,"
         "'output_tokens_details':{'reasoning_tokens':7}}",
         {.known = true, .prompt = 50, .cached = 40, .completion = 12, .reasoning = 7}},
        {"{'input_tokens':3,'input_tokens_details':null,'output_tokens':'x'}", {.known = true, .prompt = 3}},
        {"{'input_tokens':-1,'output_tokens':2}", {.known = false}},
        {"{'input_tokens':1.5,'output_tokens':2}", {.known = false}},
        {"null", {.known = false}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[512];
        struct facts whole, last;

        snprintf(text, sizeof(text), "{'object':'response','status':'completed','output':[],'usage':%s}",
                 rows[i].usage);
        whole = read_text(text, NULL);
        snprintf(text, sizeof(text), "{'type':'response.completed','response':{'status':'completed','usage':%s}}",
                 rows[i].usage);
        last = read_text(text, NULL);
        assert_memory_equal(&whole.usage, &rows[i].is, sizeof(whole.usage));
        assert_memory_equal(&last.usage, &rows[i].is, sizeof(last.usage));
    }
}

static void events_keep_the_usage_before_them(void **state)
{
    struct usage before = {.known = true, .prompt = 9, .completion = 1};
    struct facts f = read_text("{'type':'response.output_text.delta','delta':'hello'}", &before);

    (void)state;
    assert_memory_equal(&f.usage, &before, sizeof(before));
    assert_int_equal(f.text.ascii, 5);
    assert_true(f.has_answer && !f.final && !f.failed);
}

struct total {
    struct tally text;
    struct facts last;
    size_t n_final;
};

/* All events of a fixture, by the harness' own reading of data lines. */
static struct total read_stream(const char *path)
{
    struct slice sse = fixture(path), rest = sse;
    struct total t = {{0, 0}, {0}, 0};

    while (rest.n > 0) {
        const char *end = memchr(rest.p, '\n', rest.n);
        size_t n = end != NULL ? (size_t)(end - rest.p) : rest.n;

        if (n > 6 && memcmp(rest.p, "data: ", 6) == 0) {
            assert_int_equal(dialect_responses.read((struct slice){rest.p + 6, n - 6}, &t.last.usage, NULL, &t.last),
                             ST_OK);
            t.text.ascii += t.last.text.ascii;
            t.text.other += t.last.text.other;
            t.n_final += t.last.final;
        }
        n += n < rest.n ? 1 : 0;
        rest.p += n;
        rest.n -= n;
    }
    free((void *)(uintptr_t)sse.p);
    return t;
}

static void a_stream_counts_its_text_once(void **state)
{
    struct total t = read_stream("openai/responses_stream.sse");

    (void)state;
    assert_int_equal(t.text.ascii, strlen("Hola!"));
    assert_int_equal(t.text.other, 1);
    assert_int_equal(t.n_final, 1);
    assert_true(t.last.final && !t.last.failed && !t.last.length);
    assert_string_equal(t.last.object_id, "resp_fx302");
    assert_int_equal(t.last.usage.prompt, 12);
    t = read_stream("openai/responses_stream_tool.sse");
    assert_int_equal(t.text.ascii, strlen("get_weather{\"city\":\"Lima\",\"unit\":\"c\"}"));
    assert_int_equal(t.last.usage.completion, 17);
}

static void a_failed_stream_says_why(void **state)
{
    struct total t = read_stream("openai/responses_stream_failed.sse");

    (void)state;
    assert_true(t.last.failed && t.last.final);
    assert_string_equal(t.last.error.code, "server_error");
    assert_string_equal(t.last.error.message, "The upstream provider failed before producing output.");
    assert_int_equal(t.last.error.status, 0);
}

static void a_whole_answer_counts_its_items(void **state)
{
    struct slice json = fixture("openai/responses.response.json");
    struct facts f;

    (void)state;
    assert_int_equal(dialect_responses.read(json, NULL, NULL, &f), ST_OK);
    free((void *)(uintptr_t)json.p);
    assert_int_equal(f.text.ascii, 4);
    assert_true(f.has_answer && f.final && !f.failed);
    assert_string_equal(f.object_id, "resp_fx301");
    assert_int_equal(f.usage.prompt, 17);
    f = read_text("{'object':'response','status':'incomplete','incomplete_details':{'reason':'max_output_tokens'},"
                  "'output':[{'type':'reasoning','summary':[{'text':'ab'}],'content':[{'text':'c'}]},"
                  "{'type':'message','content':[{'type':'refusal','refusal':'no'},{'text':7},8]},"
                  "{'type':'function_call','name':'f','arguments':'{}'},{'type':'custom_tool_call','name':'g',"
                  "'input':'xyz'},null]}",
                  NULL);
    assert_int_equal(f.text.ascii, 3 + 2 + 3 + 4);
    assert_true(f.length && f.final);
}

static void ends_and_errors(void **state)
{
    static const struct {
        const char *json;
        bool failed, final, length, has_answer;
        unsigned status;
        const char *code, *message;
    } rows[] = {
        {"{'type':'response.created','response':{'id':'r','status':'in_progress'}}", 0, 0, 0, 0, 0, "", ""},
        {"{'type':'response.output_item.added','item':{'type':'message'}}", 0, 0, 0, 1, 0, "", ""},
        {"{'type':'response.audio.delta','delta':'AAAA'}", 0, 0, 0, 1, 0, "", ""},
        {"{'type':'response.incomplete','response':{'status':'incomplete','incomplete_details':"
         "{'reason':'content_filter'}}}",
         0, 1, 0, 0, 0, "", ""},
        {"{'type':'response.incomplete','response':{'status':'incomplete','incomplete_details':"
         "{'reason':'max_output_tokens'}}}",
         0, 1, 1, 0, 0, "", ""},
        {"{'type':'response.failed','response':{'error':{'code':'rate_limit_exceeded','message':'slow'}}}", 1, 1, 0, 0,
         429, "rate_limit_exceeded", "slow"},
        {"{'type':'response.failed'}", 1, 1, 0, 0, 0, "", ""},
        {"{'type':'response.cancelled','response':{'status':'cancelled'}}", 0, 1, 0, 0, 0, "", ""},
        {"{'type':'error','code':'invalid_prompt','message':'bad','param':null}", 1, 0, 0, 0, 400, "invalid_prompt",
         "bad"},
        {"{'type':'error','error':{'code':'x','message':'inside'}}", 1, 0, 0, 0, 0, "x", "inside"},
        {"{'object':'response','status':'failed','error':{'code':'server_error','message':'oh'},'output':[]}", 1, 1, 0,
         1, 0, "server_error", "oh"},
        {"{'object':'response','status':'cancelled','error':null,'output':[]}", 0, 1, 0, 1, 0, "", ""},
        {"{'error':{'message':'no','code':'c'}}", 1, 0, 0, 0, 0, "c", "no"},
        {"{'error':'plain'}", 1, 0, 0, 0, 0, "", "plain"},
        {"{'object':'list','data':[]}", 0, 0, 0, 1, 0, "", ""},
        {"{}", 0, 0, 0, 0, 0, "", ""},
        {"{'type':[1,2,3,4,5],'object':'x'}", 0, 0, 0, 1, 0, "", ""},
        {"{'type':7,'response':[],'output':{},'usage':[],'error':3}", 0, 0, 0, 0, 0, "", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct facts f = read_text(rows[i].json, NULL);

        if (f.failed != rows[i].failed || f.final != rows[i].final || f.length != rows[i].length ||
            f.has_answer != rows[i].has_answer)
            fail_msg("row %zu: failed=%d final=%d length=%d answer=%d", i, f.failed, f.final, f.length, f.has_answer);
        assert_int_equal(f.error.status, rows[i].status);
        assert_string_equal(f.error.code, rows[i].code);
        assert_string_equal(f.error.message, rows[i].message);
    }
}

static void what_is_no_object_is_refused(void **state)
{
    static const char *const bad[] = {"", "[]", "7", "{", "{\"type\":}", "null", "\xff"};
    struct facts f;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(dialect_responses.read(slice_of(bad[i]), NULL, NULL, &f), ST_BAD_REQUEST);
}

static void errors_have_the_shape_of_openai(void **state)
{
    struct upstream_error e;
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    dialect_responses.read_error(400, slice_of("{\"error\":{\"message\":\"m\",\"type\":\"t\",\"code\":\"c\"}}"), &e);
    assert_true(e.shaped);
    assert_int_equal(dialect_responses.write_error(&e, slice_of("req_1"), &out), ST_OK);
    assert_true(json_alike((struct slice){out.p, out.n},
                           slice_of("{\"error\":{\"message\":\"m\",\"type\":\"t\",\"param\":null,\"code\":\"c\"}}")));
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usage_is_read),
        cmocka_unit_test(events_keep_the_usage_before_them),
        cmocka_unit_test(a_stream_counts_its_text_once),
        cmocka_unit_test(a_failed_stream_says_why),
        cmocka_unit_test(a_whole_answer_counts_its_items),
        cmocka_unit_test(ends_and_errors),
        cmocka_unit_test(what_is_no_object_is_refused),
        cmocka_unit_test(errors_have_the_shape_of_openai),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
