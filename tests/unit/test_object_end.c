/* What an answer says of a batch or a response that is over, whatever an upstream puts into it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "providersvc/object_end.h"

#define COUNTS "\"request_counts\":{\"total\":5,\"completed\":4,\"failed\":1}"
#define USAGE                                                                                                          \
    "\"usage\":{\"input_tokens\":100,\"input_tokens_details\":{\"cached_tokens\":30},\"output_tokens\":50,"            \
    "\"output_tokens_details\":{\"reasoning_tokens\":20},\"total_tokens\":150}"

static int setup(void **state)
{
    static struct arena a;

    arena_init(&a, 1u << 16);
    *state = &a;
    return 0;
}

static int teardown(void **state)
{
    arena_fini(*state);
    return 0;
}

static bool read_it(void **state, const char *json, struct object_end *ret)
{
    *ret = (struct object_end){.requests = 77}; /* what stood there before does not count */
    return batch_read_end(slice_of(json), *state, ret);
}

/* An object with these members behind an id, the kind and a final status. */
static struct object_end over(void **state, const char *members)
{
    char json[1024];
    struct object_end e;

    snprintf(json, sizeof(json), "{\"id\":\"batch_1\",\"object\":\"batch\",\"status\":\"completed\",%s}", members);
    assert_true(read_it(state, json, &e));
    return e;
}

static void a_completed_batch_says_all(void **state)
{
    struct object_end e = over(state, COUNTS "," USAGE);

    assert_true(slice_is(e.object_id, "batch_1"));
    assert_true(slice_is(e.status, "completed"));
    assert_int_equal(e.requests, 5);
    assert_int_equal(e.completed, 4);
    assert_true(e.known);
    assert_int_equal(e.prompt_tokens, 100);
    assert_int_equal(e.cached_tokens, 30);
    assert_int_equal(e.completion_tokens, 50);
    assert_int_equal(e.reasoning_tokens, 20);
}

static void its_texts_outlive_the_answer(void **state)
{
    char json[] = "{\"id\":\"batch_1\",\"object\":\"batch\",\"status\":\"failed\"}";
    struct object_end e;

    assert_true(batch_read_end(slice_of(json), *state, &e));
    memset(json, 'x', sizeof(json) - 1);
    assert_true(slice_is(e.object_id, "batch_1"));
    assert_true(slice_is(e.status, "failed"));
}

static void only_what_is_over_counts(void **state)
{
    static const struct {
        const char *status;
        bool over;
    } cases[] = {{"\"completed\"", true},
                 {"\"failed\"", true},
                 {"\"expired\"", true},
                 {"\"cancelled\"", true},
                 {"\"canceled\"", false},
                 {"\"validating\"", false},
                 {"\"in_progress\"", false},
                 {"\"finalizing\"", false},
                 {"\"cancelling\"", false},
                 {"\"Completed\"", false},
                 {"\"\"", false},
                 {"null", false},
                 {"7", false},
                 {"[\"completed\"]", false}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char json[256];
        struct object_end e;

        snprintf(json, sizeof(json), "{\"id\":\"batch_1\",\"object\":\"batch\",\"status\":%s}", cases[i].status);
        assert_int_equal(read_it(state, json, &e), cases[i].over);
    }
}

static void what_is_no_batch_is_none(void **state)
{
    static const char *const cases[] = {
        "",
        "nonsense",
        "[]",
        "null",
        "{}",
        "{\"id\":\"batch_1\",\"object\":\"batch\"}",
        "{\"object\":\"batch\",\"status\":\"completed\"}",
        "{\"id\":\"\",\"object\":\"batch\",\"status\":\"completed\"}",
        "{\"id\":7,\"object\":\"batch\",\"status\":\"completed\"}",
        "{\"id\":\"batch\\u0000_1\",\"object\":\"batch\",\"status\":\"completed\"}",
        "{\"id\":\"batch_1\",\"object\":\"response\",\"status\":\"completed\"}",
        "{\"id\":\"batch_1\",\"object\":[\"batch\"],\"status\":\"completed\"}",
        "{\"object\":\"list\",\"data\":[{\"id\":\"batch_1\",\"object\":\"batch\",\"status\":\"completed\"}]}",
        "{\"id\":\"batch_1\",\"object\":\"batch\",\"status\":\"completed\"", /* it broke off */
    };
    struct object_end e;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_false(read_it(state, cases[i], &e));
}

static void an_id_has_its_limit(void **state)
{
    for (int n = LIMIT_OBJECT_ID - 1; n <= LIMIT_OBJECT_ID + 1; n++) {
        char json[LIMIT_OBJECT_ID + 128], id[LIMIT_OBJECT_ID + 2];
        struct object_end e;

        memset(id, 'b', (size_t)n);
        id[n] = '\0';
        snprintf(json, sizeof(json), "{\"id\":\"%s\",\"object\":\"batch\",\"status\":\"expired\"}", id);
        assert_int_equal(read_it(state, json, &e), n <= LIMIT_OBJECT_ID);
    }
}

static void usage_that_says_too_little_is_not_known(void **state)
{
    static const char *const cases[] = {
        "\"usage\":null",
        "\"usage\":{}",
        "\"usage\":[100,50]",
        "\"usage\":\"150\"",
        "\"usage\":{\"input_tokens\":100}",
        "\"usage\":{\"output_tokens\":50}",
        "\"usage\":{\"input_tokens\":\"100\",\"output_tokens\":50}",
        "\"usage\":{\"input_tokens\":-1,\"output_tokens\":50}",
        "\"usage\":{\"input_tokens\":1.5,\"output_tokens\":50}",
        "\"usage\":{\"input_tokens\":100,\"output_tokens\":99999999999999}",
        "\"usage\":{\"input_tokens\":18446744073709551615,\"output_tokens\":18446744073709551615}",
        "\"usage\":{\"input_tokens\":1e400,\"output_tokens\":1}",
        "\"usage\":{\"input_tokens\":9,\"output_tokens\":5,\"input_tokens_details\":{\"cached_tokens\":-1}}",
        "\"usage\":{\"input_tokens\":9,\"output_tokens\":5,\"output_tokens_details\":{\"reasoning_tokens\":-5}}",
        "\"usage\":{\"input_tokens\":0,\"output_tokens\":0}", /* with answers there */
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char json[1024];
        struct object_end e;

        snprintf(json, sizeof(json), "{\"id\":\"b\",\"object\":\"batch\",\"status\":\"cancelled\"," COUNTS ",%s}",
                 cases[i]);
        if (!read_it(state, json, &e)) /* a number that is none makes it no JSON */
            continue;
        assert_false(e.known);
        assert_int_equal(e.prompt_tokens + e.cached_tokens + e.completion_tokens + e.reasoning_tokens, 0);
        assert_int_equal(e.requests, 5);
        assert_int_equal(e.completed, 4);
    }
    assert_false(over(state, "\"metadata\":null").known);
}

static void usage_without_details_is_known(void **state)
{
    struct object_end e = over(state, "\"usage\":{\"input_tokens\":7,\"output_tokens\":0,"
                                      "\"input_tokens_details\":null,\"output_tokens_details\":[1]}");

    assert_true(e.known);
    assert_int_equal(e.prompt_tokens, 7);
    assert_int_equal(e.cached_tokens + e.completion_tokens + e.reasoning_tokens, 0);
    e = over(state, "\"usage\":{\"input_tokens\":7,\"output_tokens\":5,\"input_tokens_details\":{\"cached_tokens\":"
                    "\"3\"},\"output_tokens_details\":{\"reasoning_tokens\":null}}");
    assert_true(e.known);
    assert_int_equal(e.cached_tokens + e.reasoning_tokens, 0);
    assert_true(over(state, "\"usage\":{\"input_tokens\":0,\"output_tokens\":0}").known); /* nothing was done */
}

static void a_part_is_not_more_than_the_whole(void **state)
{
    struct object_end e = over(state, "\"usage\":{\"input_tokens\":7,\"output_tokens\":5,\"input_tokens_details\":{"
                                      "\"cached_tokens\":8},\"output_tokens_details\":{\"reasoning_tokens\":6}}");

    assert_true(e.known);
    assert_int_equal(e.cached_tokens, 7);
    assert_int_equal(e.reasoning_tokens, 5);
}

static void counts_that_cannot_be_are_not_told(void **state)
{
    static const char *const cases[] = {
        "\"request_counts\":null",
        "\"request_counts\":[5,4]",
        "\"request_counts\":{\"total\":5}",
        "\"request_counts\":{\"completed\":4}",
        "\"request_counts\":{\"total\":4,\"completed\":5}",
        "\"request_counts\":{\"total\":5,\"completed\":-1}",
        "\"request_counts\":{\"total\":\"5\",\"completed\":4}",
        "\"request_counts\":{\"total\":1000000001,\"completed\":1}",
        "\"request_counts\":{\"total\":18446744073709551615,\"completed\":18446744073709551615}",
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct object_end e = over(state, cases[i]);

        assert_int_equal(e.requests, 0);
        assert_int_equal(e.completed, 0);
    }
}

/* Every beginning of an answer, and every one with a byte changed: in bounds, and what it says can be told on. */
static void broken_bytes_do_no_harm(void **state)
{
    static const char whole[] =
        "{\"id\":\"batch_1\",\"object\":\"batch\",\"status\":\"completed\"," COUNTS "," USAGE "}";
    char json[sizeof(whole)];
    struct object_end e;

    for (size_t n = 0; n < sizeof(whole) - 1; n++)
        assert_false(batch_read_end((struct slice){whole, n}, *state, &e));
    for (size_t at = 0; at < sizeof(whole) - 1; at++)
        for (unsigned byte = 0; byte < 256; byte += 5) {
            struct buf out;

            memcpy(json, whole, sizeof(json));
            json[at] = (char)byte;
            if (!batch_read_end((struct slice){json, sizeof(json) - 1}, *state, &e))
                continue;
            buf_init(&out, 4096);
            assert_int_equal(wire_encode(&object_end_desc, &e, &out, NULL), ST_OK);
            buf_fini(&out);
            arena_reset(*state);
        }
}

/* ---- responses -----------------------------------------------------------------------------------------------------
 */

static const struct tally some_text = {.ascii = 40}; /* ten tokens */

static bool read_response(struct arena *a, const char *json, struct object_end *ret)
{
    struct facts facts;

    *ret = (struct object_end){.known = false};
    return dialect_responses.read(slice_of(json), NULL, NULL, &facts) == ST_OK &&
           response_end_of(&facts, &some_text, a, ret);
}

#define RESPONSE(status, rest) "{\"id\":\"resp_1\",\"object\":\"response\",\"status\":\"" status "\"" rest "}"

static void a_response_that_is_over_says_so(void **state)
{
    static const char *const over[] = {"completed", "failed", "incomplete", "cancelled"};
    static const char *const none[] = {
        RESPONSE("queued", ""),
        RESPONSE("in_progress", "," USAGE),
        RESPONSE("cancelling", ""),
        "{\"id\":\"resp_1\",\"object\":\"response\"}",
        "{\"object\":\"response\",\"status\":\"completed\"}",
        "{\"id\":7.5,\"status\":\"completed\"}",
        "{\"id\":\"resp_1\",\"status\":5,\"deleted\":\"true\"}",
        "{\"object\":\"list\",\"data\":[" RESPONSE("completed", "") "]}",
        "{\"type\":\"response.in_progress\",\"response\":" RESPONSE("in_progress", "") "}",
        "{\"type\":\"response.completed\",\"response\":null}",
        "{}"};
    struct object_end e;
    char json[512];

    for (size_t i = 0; i < sizeof(over) / sizeof(over[0]); i++)
        for (int event = 0; event < 2; event++) {
            snprintf(json, sizeof(json),
                     event ? "{\"type\":\"response.completed\",\"response\":" RESPONSE("%s", "") "}"
                           : RESPONSE("%s", ""),
                     over[i]);
            assert_true(read_response(*state, json, &e));
            assert_true(slice_is(e.object_id, "resp_1"));
            assert_true(slice_is(e.status, over[i]));
            assert_false(e.known);
            assert_int_equal(e.completion_tokens, 10);
            assert_int_equal(e.requests + e.prompt_tokens, 0);
        }
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        assert_false(read_response(*state, none[i], &e));
    assert_true(read_response(*state, "{\"id\":\"resp_1\",\"object\":\"response\",\"deleted\":true}", &e));
    assert_true(slice_is(e.status, "deleted"));
}

static void its_usage_is_known_when_it_is_told(void **state)
{
    struct object_end e;

    assert_true(read_response(*state, RESPONSE("completed", "," USAGE), &e));
    assert_true(e.known);
    assert_int_equal(e.prompt_tokens * 1000 + e.cached_tokens, 100030);
    assert_int_equal(e.completion_tokens * 1000 + e.reasoning_tokens, 50020);
    assert_true(read_response(*state, RESPONSE("cancelled", ",\"usage\":null"), &e));
    assert_false(e.known);
    assert_true(
        read_response(*state, RESPONSE("completed", ",\"usage\":{\"input_tokens\":0,\"output_tokens\":0}"), &e));
    assert_false(e.known); /* nobody has counted */
    assert_int_equal(e.completion_tokens, 10);
    assert_true(read_response(*state, RESPONSE("failed", ",\"usage\":{\"input_tokens\":-3}"), &e));
    assert_false(e.known);
}

static void what_was_got_of_one_that_goes_on_is_told(void **state)
{
    static const struct tally nothing;
    char long_id[LIMIT_OBJECT_ID + 2];
    struct object_end e;

    memset(long_id, 'a', sizeof(long_id));
    assert_true(response_seen(slice_of("resp_1"), &some_text, *state, &e));
    assert_true(slice_is(e.status, "in_progress"));
    assert_int_equal(e.completion_tokens, 10);
    assert_false(e.known);
    assert_false(response_seen(slice_of("resp_1"), &nothing, *state, &e));
    assert_false(response_seen(slice_of(""), &some_text, *state, &e));
    assert_false(response_seen(slice_of("resp_\xc3"), &some_text, *state, &e));
    assert_false(response_seen((struct slice){"a\0b", 3}, &some_text, *state, &e));
    assert_true(response_seen((struct slice){long_id, LIMIT_OBJECT_ID}, &some_text, *state, &e));
    assert_false(response_seen((struct slice){long_id, LIMIT_OBJECT_ID + 1}, &some_text, *state, &e));
}

static void without_memory_it_is_not_told(void **state)
{
    struct arena none;
    struct object_end e;

    (void)state;
    arena_init(&none, 0);
    assert_false(read_response(&none, RESPONSE("completed", ""), &e));
    assert_false(response_seen(slice_of("resp_1"), &some_text, &none, &e));
    assert_false(batch_read_end(slice_of("{\"id\":\"b\",\"object\":\"batch\",\"status\":\"failed\"}"), &none, &e));
    arena_fini(&none);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_completed_batch_says_all),
        TEST(its_texts_outlive_the_answer),
        TEST(only_what_is_over_counts),
        TEST(what_is_no_batch_is_none),
        TEST(an_id_has_its_limit),
        TEST(usage_that_says_too_little_is_not_known),
        TEST(usage_without_details_is_known),
        TEST(a_part_is_not_more_than_the_whole),
        TEST(counts_that_cannot_be_are_not_told),
        TEST(broken_bytes_do_no_harm),
        TEST(a_response_that_is_over_says_so),
        TEST(its_usage_is_known_when_it_is_told),
        TEST(what_was_got_of_one_that_goes_on_is_told),
        TEST(without_memory_it_is_not_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
