/* What /v1/messages/count_tokens says without a tokenizer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "providersvc/dialects/messages_count.h"
#include "tests/lib/translating.h"

#define TURN(blocks) "{\"messages\":[{\"role\":\"user\",\"content\":[" blocks "]}]}"
#define BASE64_64 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

static void the_fixture_is_near_the_truth(void **state)
{
    struct slice in = fixture("anthropic/count_tokens.request.json"); /* Anthropic counts 12 */
    uint64_t n = 0;

    (void)state;
    assert_int_equal(messages_count_tokens(in, &n, NULL), ST_OK);
    assert_in_range(n, 9, 16);
    free((void *)(uintptr_t)in.p);
}

/* A weather tool with its question costs Anthropic 410 with its own prompt for tools; a third of it is the client's. */
static void tools_are_counted(void **state)
{
    struct slice in = fixture("anthropic/messages_tools.request.json");
    uint64_t n = 0;

    (void)state;
    assert_int_equal(messages_count_tokens(in, &n, NULL), ST_OK);
    assert_in_range(n, 50, 410);
    free((void *)(uintptr_t)in.p);
}

struct count_case {
    const char *body;
    uint64_t tokens;
};

/* 7 = 4 of the message and 3 of the reply */
static const struct count_case counts[] = {
    {"{\"messages\":[]}", 3},
    {"{\"messages\":[{\"role\":\"user\",\"content\":\"12345678\"}]}", 7 + 2},
    {"{\"messages\":[{\"content\":\"a\"},{\"content\":\"b\"},{\"content\":\"c\"}]}", 3 * 4 + 3 + 1},
    {"{\"messages\":[{\"content\":\"\\u4f60\\u597d\"}]}", 7 + 2},
    {"{\"system\":\"12345678\",\"messages\":[]}", 3 + 4 + 2},
    {"{\"system\":[{\"type\":\"text\",\"text\":\"1234\"},{\"type\":\"text\",\"text\":\"1234\"}],\"messages\":[]}",
     3 + 4 + 2},
    {"{\"tools\":[12345678],\"messages\":[]}", 3 + 3}, /* ten bytes of JSON */
    {"{\"output_config\":{\"format\":[1234]},\"messages\":[]}", 3 + 2},
    {TURN("{\"type\":\"text\",\"text\":\"1234\"},{\"type\":\"text\",\"text\":\"1234\"}"), 7 + 2},
    {TURN("{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"data\":\"" BASE64_64 "\"}}"), 7 + 765},
    {TURN("{\"type\":\"document\",\"source\":{\"type\":\"base64\",\"data\":\"" BASE64_64 "\"}}"), 7 + 64 / 16 + 1},
    {TURN("{\"type\":\"document\",\"title\":\"1234\",\"source\":{\"type\":\"text\",\"data\":\"12345678\"}}"), 7 + 3},
    {TURN("{\"type\":\"tool_result\",\"content\":[{\"type\":\"text\",\"text\":\"1234\"},{\"type\":\"image\"}]}"),
     7 + 1 + 765},
    {TURN("{\"type\":\"tool_use\",\"name\":\"1234\",\"input\":{\"a\":12}}"), 7 + 3},
    {TURN("{\"type\":\"thinking\",\"thinking\":\"1234\"},{\"type\":\"redacted_thinking\",\"data\":\"1234\"}"), 7},
    {TURN("{\"type\":\"other\"}"), 7 + 4},
};

static void each_kind_has_its_price(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        uint64_t n = 0;

        assert_int_equal(messages_count_tokens(slice_of(counts[i].body), &n, NULL), ST_OK);
        if (n != counts[i].tokens)
            fail_msg("%s: %llu", counts[i].body, (unsigned long long)n);
    }
}

static void what_is_wrong_is_named(void **state)
{
    static const struct {
        const char *body, *param;
    } wrong[] = {
        {"", ""},
        {"[]", ""},
        {"{}", "messages"},
        {"{\"messages\":{}}", "messages"},
        {"{\"messages\":[7]}", "messages.0"},
        {"{\"messages\":[{}]}", "messages.0.content"},
        {"{\"messages\":[{\"content\":\"\"},{\"content\":7}]}", "messages.1.content"},
        {"{\"messages\":[],\"system\":7}", "system"},
        {"{\"messages\":[],\"tools\":{}}", "tools"},
        {"{\"messages\":[],\"output_config\":[]}", "output_config"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct err err = {.status = ST_OK};
        uint64_t n = 77;

        assert_int_equal(messages_count_tokens(slice_of(wrong[i].body), &n, &err), ST_BAD_REQUEST);
        assert_string_equal(err.param, wrong[i].param);
        assert_int_equal(n, 77);
    }
}

static void depth_is_borne(void **state)
{
    struct buf b;
    uint64_t n = 0;

    (void)state;
    buf_init(&b, 16u << 20);
    assert_int_equal(buf_addc(&b, "{\"messages\":[{\"content\":["), ST_OK);
    for (size_t i = 0; i < 50000; i++)
        assert_int_equal(buf_addc(&b, "{\"type\":\"tool_result\",\"content\":["), ST_OK);
    for (size_t i = 0; i < 50000; i++)
        assert_int_equal(buf_addc(&b, "]}"), ST_OK);
    assert_int_equal(buf_addc(&b, "]}]}"), ST_OK);
    assert_int_equal(messages_count_tokens((struct slice){b.p, b.n}, &n, NULL), ST_OK);
    assert_int_equal(n, 7);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fixture_is_near_the_truth),
        cmocka_unit_test(tools_are_counted),
        cmocka_unit_test(each_kind_has_its_price),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(depth_is_borne),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
