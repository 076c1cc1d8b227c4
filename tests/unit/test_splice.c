/* What an upstream gets: the client's bytes, and exact cuts. Also how answers are read and tokens counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "providersvc/body.h"
#include "providersvc/dialects/dialect.h"

struct cut_case {
    const char *client, *model;
    bool usage;
    uint64_t limit;
    const char *expected; /* NULL = the client's own bytes, not copied */
};

static const struct cut_case cuts[] = {
    {"{ \"model\":\"a\" , \"x\":1.0e3 }", "", false, 0, NULL},
    {"{ \"model\":\"a\" , \"x\":1.0e3 }", "b", false, 0, "{ \"model\":\"b\" , \"x\":1.0e3 }"},
    {"{\"model\":\"a\",\"model\":\"c\"}", "b", false, 0, "{\"model\":\"a\",\"model\":\"b\"}"},
    {"{\"m\":{\"model\":\"in\"},\"model\":\"a\"}", "q\"\\", false, 0,
     "{\"m\":{\"model\":\"in\"},\"model\":\"q\\\"\\\\\"}"},
    {"{\"model\":\"a\"}", "", true, 0, "{\"model\":\"a\",\"stream_options\":{\"include_usage\":true}}"},
    {"{\"stream_options\":null ,\"a\":1}", "", true, 0, "{\"stream_options\":{\"include_usage\":true} ,\"a\":1}"},
    {"{\"stream_options\":{},\"a\":1}", "", true, 0, "{\"stream_options\":{\"include_usage\":true},\"a\":1}"},
    {"{\"stream_options\":{\"include_obfuscation\":false}}", "", true, 0,
     "{\"stream_options\":{\"include_obfuscation\":false,\"include_usage\":true}}"},
    {"{\"stream_options\":{\"include_usage\":false,\"b\":2}}", "", true, 0,
     "{\"stream_options\":{\"include_usage\":true,\"b\":2}}"},
    {"{\"stream_options\":7}", "", true, 0, NULL},
    {"{\"a\":1}", "", false, 9, "{\"a\":1,\"max_completion_tokens\":9}"},
    {"{\"max_tokens\":100}", "", false, 9, "{\"max_tokens\":9}"},
    {"{\"max_completion_tokens\":100}", "", false, 9, "{\"max_completion_tokens\":9}"},
    {"{\"max_tokens\":1,\"max_completion_tokens\":100}", "", false, 9,
     "{\"max_tokens\":9,\"max_completion_tokens\":9}"},
    {"{\"max_tokens\":null}", "", false, 9, "{\"max_tokens\":9}"},
    {"{}", "m", true, 5, "{\"model\":\"m\",\"stream_options\":{\"include_usage\":true},\"max_completion_tokens\":5}"},
};

static void bodies_are_cut_exactly(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        const struct cut_case *c = &cuts[i];
        struct body_cuts want = {.model = slice_of(c->model), .force_usage = c->usage, .output_limit = c->limit};
        struct slice got = {NULL, 0};
        struct buf out;

        buf_init(&out, BODY_MAX);
        assert_int_equal(body_make(slice_of(c->client), &want, &out, &got), ST_OK);
        if (c->expected == NULL) {
            assert_ptr_equal(got.p, c->client);
            assert_int_equal(got.n, strlen(c->client));
            assert_int_equal(out.n, 0);
        } else {
            assert_int_equal(got.n, strlen(c->expected));
            assert_memory_equal(got.p, c->expected, got.n);
        }
        buf_fini(&out);
    }
}

/* A host that is only compatible may know no other name than max_tokens; the client's own name stays. */
static void a_compatible_host_is_told_max_tokens(void **state)
{
    static const char *const rows[][2] = {
        {"{\"a\":1}", "{\"a\":1,\"max_tokens\":9}"},
        {"{\"max_tokens\":100}", "{\"max_tokens\":9}"},
        {"{\"max_completion_tokens\":100}", "{\"max_completion_tokens\":9}"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct body_cuts want = {.output_limit = 9, .old_limit = true};
        struct slice got = {NULL, 0};
        struct buf out;

        buf_init(&out, BODY_MAX);
        assert_int_equal(body_make(slice_of(rows[i][0]), &want, &out, &got), ST_OK);
        if (!slice_is(got, rows[i][1]))
            fail_msg(SLICE_FMT, SLICE_ARG(got));
        buf_fini(&out);
    }
}

static void a_body_at_the_limit_can_still_be_cut(void **state)
{
    size_t n = LIMIT_BODY;
    char *body = malloc(n);
    struct body_cuts want = {.model = slice_of("another"), .force_usage = true, .output_limit = 1000000};
    struct slice got = {NULL, 0};
    struct buf out;

    (void)state;
    assert_non_null(body);
    memset(body, ' ', n);
    memcpy(body, "{\"model\":\"a\"", 12);
    body[n - 1] = '}';
    buf_init(&out, BODY_MAX);
    assert_int_equal(body_make((struct slice){body, n}, &want, &out, &got), ST_OK);
    assert_true(got.n > n);
    buf_fini(&out);
    free(body);
}

static void cuts_follow_the_request(void **state)
{
    struct completion_req r = {.model = slice_of("a"), .stream = false};
    struct call_route to = {.upstream_model = slice_of("a")};

    (void)state;
    assert_int_equal(body_cuts_for(&r, &to, false).model.n, 0);
    assert_false(body_cuts_for(&r, &to, false).force_usage);
    r.stream = true;
    assert_true(body_cuts_for(&r, &to, false).force_usage);
    assert_false(body_cuts_for(&r, &to, true).force_usage);
    r.usage_asked = true;
    assert_false(body_cuts_for(&r, &to, false).force_usage);
    to.upstream_model = slice_of("b");
    r.output_limit = 3;
    assert_true(slice_is(body_cuts_for(&r, &to, false).model, "b"));
    assert_int_equal(body_cuts_for(&r, &to, false).output_limit, 3);
}

struct usage_case {
    const char *usage;
    struct usage is;
};

#define IN_DETAILS(text) "\"prompt_tokens_details\":{" text "}"
#define OUT_DETAILS(text) "\"completion_tokens_details\":{" text "}"
#define PLAIN "\"prompt_tokens\":10,\"completion_tokens\":5"

static const struct usage_case usages[] = {
    {"{" PLAIN ",\"total_tokens\":15}", {.known = true, .prompt = 10, .completion = 5}},
    {"{" PLAIN "," IN_DETAILS("\"cached_tokens\":4,\"cache_write_tokens\":3") "," OUT_DETAILS(
         "\"reasoning_tokens\":2") ",\"total_tokens\":15}",
     {.known = true, .prompt = 10, .cached = 4, .write = 3, .completion = 5, .reasoning = 2}},
    {"{" PLAIN ",\"prompt_tokens_details\":null," OUT_DETAILS("\"reasoning_tokens\":null") "}",
     {.known = true, .prompt = 10, .completion = 5}},
    {"{" PLAIN ",\"prompt_cache_hit_tokens\":6,\"prompt_cache_miss_tokens\":4}",
     {.known = true, .prompt = 10, .cached = 6, .completion = 5}},
    {"{" PLAIN ",\"cached_tokens\":7}", {.known = true, .prompt = 10, .cached = 7, .completion = 5}},
    {"{\"prompt_tokens\":10,\"total_tokens\":10}", {.known = true, .prompt = 10}},
    /* as images and transcriptions name them */
    {"{\"input_tokens\":50,\"output_tokens\":4160,\"total_tokens\":4210,\"input_tokens_details\":{\"text_tokens\":10,"
     "\"image_tokens\":40}}",
     {.known = true, .prompt = 50, .image_in = 40, .completion = 4160}},
    {"{\"type\":\"tokens\",\"input_tokens\":14,\"output_tokens\":5,\"input_token_details\":{\"text_tokens\":2,"
     "\"audio_tokens\":12}}",
     {.known = true, .prompt = 14, .audio_in = 12, .completion = 5}},
    {"{\"type\":\"duration\",\"seconds\":9}", {.known = false}},
    /* audio and images, inside their wholes */
    {"{" PLAIN
     "," IN_DETAILS("\"audio_tokens\":3,\"image_tokens\":5,\"text_tokens\":2,\"cached_tokens\":1") "," OUT_DETAILS(
         "\"audio_tokens\":1,\"image_tokens\":2,\"text_tokens\":2,\"reasoning_tokens\":1") "}",
     {.known = true,
      .prompt = 10,
      .cached = 1,
      .audio_in = 3,
      .image_in = 5,
      .completion = 5,
      .reasoning = 1,
      .audio_out = 1,
      .image_out = 2}},
    {"{" PLAIN "," IN_DETAILS("\"audio_tokens\":-3,\"image_tokens\":1.5,\"text_tokens\":\"10\"") "}",
     {.known = true, .prompt = 10, .completion = 5}},
    /* a whole that is less than its parts was counted beside them */
    {"{" PLAIN ",\"total_tokens\":22," OUT_DETAILS("\"reasoning_tokens\":7") "}",
     {.known = true, .prompt = 10, .completion = 12, .reasoning = 7}},
    {"{" PLAIN "," OUT_DETAILS("\"reasoning_tokens\":7") "}",
     {.known = true, .prompt = 10, .completion = 12, .reasoning = 7}},
    {"{" PLAIN "," IN_DETAILS("\"cached_tokens\":99,\"cache_write_tokens\":9") "}",
     {.known = true, .prompt = 118, .cached = 99, .write = 9, .completion = 5}},
    {"{" PLAIN "," IN_DETAILS("\"text_tokens\":10,\"audio_tokens\":4") "," OUT_DETAILS(
         "\"text_tokens\":5,\"audio_tokens\":6") "}",
     {.known = true, .prompt = 14, .audio_in = 4, .completion = 11, .audio_out = 6}},
    {"{" PLAIN "," IN_DETAILS("\"audio_tokens\":11") "," OUT_DETAILS("\"image_tokens\":6") "}",
     {.known = true, .prompt = 21, .audio_in = 11, .completion = 11, .image_out = 6}},
    /* audio that came from a cache is in both */
    {"{" PLAIN "," IN_DETAILS("\"audio_tokens\":8,\"cached_tokens\":6") "}",
     {.known = true, .prompt = 10, .cached = 6, .audio_in = 8, .completion = 5}},
    /* as much as there can be, and not more */
    {"{\"prompt_tokens\":1000000000,\"completion_tokens\":1000000000," IN_DETAILS(
         "\"cached_tokens\":1000000000,\"cache_write_tokens\":1000000000") "," OUT_DETAILS("\"reasoning_tokens\":"
                                                                                           "1000000000,\"audio_"
                                                                                           "tokens\":1000000000") "}",
     {.known = true,
      .prompt = LIMIT_TOKENS,
      .cached = LIMIT_TOKENS,
      .write = LIMIT_TOKENS,
      .completion = LIMIT_TOKENS,
      .reasoning = LIMIT_TOKENS,
      .audio_out = LIMIT_TOKENS}},
    {"{\"prompt_tokens\":-1,\"completion_tokens\":5}", {.known = false}},
    {"{\"prompt_tokens\":1.5,\"completion_tokens\":5}", {.known = false}},
    {"{\"prompt_tokens\":99999999999,\"completion_tokens\":5}", {.known = false}},
    {"{\"completion_tokens\":5}", {.known = false}},
    {"null", {.known = false}},
    {"[]", {.known = false}},
};

static void assert_usage(const struct usage *u, const struct usage *is)
{
    assert_int_equal(u->known, is->known);
    assert_int_equal(u->prompt, is->prompt);
    assert_int_equal(u->cached, is->cached);
    assert_int_equal(u->write, is->write);
    assert_int_equal(u->audio_in, is->audio_in);
    assert_int_equal(u->image_in, is->image_in);
    assert_int_equal(u->completion, is->completion);
    assert_int_equal(u->reasoning, is->reasoning);
    assert_int_equal(u->audio_out, is->audio_out);
    assert_int_equal(u->image_out, is->image_out);
}

static void usage_is_read_from_every_dialect(void **state)
{
    static struct facts_scratch scratch;

    (void)state;
    for (size_t i = 0; i < sizeof(usages) / sizeof(usages[0]); i++) {
        const struct usage_case *c = &usages[i];
        struct facts f;
        struct buf json;

        buf_init(&json, 4096);
        assert_int_equal(buf_addf(&json, "{\"choices\":[],\"usage\":%s}", c->usage), ST_OK);
        assert_int_equal(dialect_chat.read((struct slice){json.p, json.n}, NULL, i % 2 == 0 ? &scratch : NULL, &f),
                         ST_OK);
        assert_usage(&f.usage, &c->is);
        assert_true(f.usage_key && f.empty_choices && !f.has_answer);
        buf_fini(&json);
    }
}

static void text_is_counted_wherever_it_is(void **state)
{
    static const char json[] =
        "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"abcd\",\"reasoning_content\":\"ef\",\"tool_calls\":[{"
        "\"index\":0,"
        "\"function\":{\"name\":\"gh\",\"arguments\":\"{}\"}}]},\"finish_reason\":null},"
        "{\"index\":1,\"delta\":{\"refusal\":\"\xc3\xa9\xe6\x97\xa5\"},\"finish_reason\":\"stop\"}]}";
    struct facts f;

    (void)state;
    assert_int_equal(dialect_chat.read(slice_of(json), NULL, NULL, &f), ST_OK);
    assert_int_equal(f.text.ascii, 10);
    assert_int_equal(f.text.other, 2);
    assert_int_equal(tally_tokens(&f.text), 5); /* 2.5 + 1.8 */
    assert_int_equal(f.seen, 3);
    assert_int_equal(f.finished, 2);
    assert_false(f.failed);
}

static void what_is_no_object_is_refused(void **state)
{
    static const char *const bad[] = {"", "[]", "null", "{", "{\"a\":}", "\"x\"", "{} {}"};
    struct facts f;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(dialect_chat.read(slice_of(bad[i]), NULL, NULL, &f), ST_BAD_REQUEST);
}

static void check_error(const char *json, bool shaped, const char *message, const char *code)
{
    struct upstream_error e;

    dialect_chat.read_error(400, slice_of(json), &e);
    assert_int_equal(e.shaped, shaped);
    assert_string_equal(e.message, message);
    assert_string_equal(e.code, code);
}

static void errors_are_found_in_every_shape(void **state)
{
    (void)state;
    check_error("{\"error\":{\"message\":\"m\",\"code\":\"c\"}}", true, "m", "c");
    check_error("{\"error\":\"m\"}", false, "m", "");
    check_error("{\"detail\":\"d\"}", false, "d", "");
    check_error("<html>", false, "", "");
    check_error("{\"detail\":[{\"msg\":1}]}", false, "", "");
}

static void tokens_are_rounded_up_once(void **state)
{
    struct tally t = {0};

    (void)state;
    assert_int_equal(tally_tokens(&t), 0);
    t.ascii = 1;
    assert_int_equal(tally_tokens(&t), 1);
    t.ascii = 4;
    assert_int_equal(tally_tokens(&t), 1);
    t.ascii = 5;
    assert_int_equal(tally_tokens(&t), 2);
    t = (struct tally){.other = 10};
    assert_int_equal(tally_tokens(&t), 9);
    t = (struct tally){.ascii = UINT64_MAX};
    assert_int_equal(tally_tokens(&t), LIMIT_TOKENS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_are_cut_exactly),
        cmocka_unit_test(a_compatible_host_is_told_max_tokens),
        cmocka_unit_test(a_body_at_the_limit_can_still_be_cut),
        cmocka_unit_test(cuts_follow_the_request),
        cmocka_unit_test(usage_is_read_from_every_dialect),
        cmocka_unit_test(text_is_counted_wherever_it_is),
        cmocka_unit_test(what_is_no_object_is_refused),
        cmocka_unit_test(errors_are_found_in_every_shape),
        cmocka_unit_test(tokens_are_rounded_up_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
