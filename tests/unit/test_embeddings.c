/* Embeddings in the form that the client asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "providersvc/embeddings.h"
#include "tests/lib/translating.h"

static void check(const char *answer, const char *expected)
{
    struct buf out;
    bool changed;

    buf_init(&out, 1 << 20);
    assert_int_equal(embeddings_to_base64(slice_of(answer), &out, &changed), ST_OK);
    assert_int_equal(changed, expected != NULL);
    assert_int_equal(out.n > 0, expected != NULL);
    if (expected != NULL)
        assert_true(json_alike((struct slice){out.p, out.n}, slice_of(expected)));
    buf_fini(&out);
}

/* 1.0f is 00 00 80 3f, -2.5f is 00 00 20 c0, 0 is 00 00 00 00. */
static void numbers_become_bytes(void **state)
{
    (void)state;
    check("{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,\"embedding\":[1,-2.5]},"
          "{\"index\":1,\"embedding\":[0.0]}],\"model\":\"m\",\"usage\":{\"prompt_tokens\":3}}",
          "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,\"embedding\":\"AACAPwAAIMA=\"},"
          "{\"index\":1,\"embedding\":\"AAAAAA==\"}],\"model\":\"m\",\"usage\":{\"prompt_tokens\":3}}");
    check("{\"data\":[{\"embedding\":\"AACAPw==\"},{\"embedding\":[]}]}",
          "{\"data\":[{\"embedding\":\"AACAPw==\"},{\"embedding\":\"\"}]}");
}

static void what_is_no_list_of_numbers_stays(void **state)
{
    (void)state;
    check("{\"data\":[{\"embedding\":\"AACAPw==\"}]}", NULL);
    check("{\"data\":[{\"embedding\":[1,\"2\"]}]}", NULL);
    check("{\"data\":[{\"embedding\":null},7,[]]}", NULL);
    check("{\"data\":{}}", NULL);
    check("{}", NULL);
    check("[]", NULL);
}

static void what_is_asked_for(void **state)
{
    (void)state;
    assert_true(embeddings_want_base64(slice_of("{\"input\":\"a\",\"encoding_format\": \"base64\"}")));
    assert_false(embeddings_want_base64(slice_of("{\"input\":\"a\",\"encoding_format\":\"float\"}")));
    assert_false(embeddings_want_base64(slice_of("{\"input\":\"base64\"}")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_become_bytes),
        cmocka_unit_test(what_is_no_list_of_numbers_stays),
        cmocka_unit_test(what_is_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
