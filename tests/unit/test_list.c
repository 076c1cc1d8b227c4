/* Header fields that are lists. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/list.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void items(void **state)
{
    struct slice list = slice_of(" a ,,\t, b;q=1 ,\tc"), item;

    (void)state;
    assert_true(list_next(&list, &item) && slice_is(item, "a"));
    assert_true(list_next(&list, &item) && slice_is(item, "b;q=1"));
    assert_true(list_next(&list, &item) && slice_is(item, "c"));
    assert_false(list_next(&list, &item));
    list = (struct slice){NULL, 0};
    assert_false(list_next(&list, &item));
    list = slice_of(", ,\t");
    assert_false(list_next(&list, &item));
}

static void words(void **state)
{
    (void)state;
    assert_true(list_has(slice_of("close"), "close"));
    assert_true(list_has(slice_of("TE, Close\t"), "close"));
    assert_false(list_has(slice_of("closed, clos, close x"), "close"));
    assert_false(list_has((struct slice){NULL, 0}, "close"));
    assert_false(list_has(slice_of("close;q=1"), "close"));
}

static void weights(void **state)
{
    static const struct {
        const char *list;
        bool accepted;
    } cases[] = {
        {"gzip", true},
        {"GZIP", true},
        {"deflate, gzip;q=1.0, *;q=0.5", true},
        {"gzip;q=0.001", true},
        {"gzip ; q=0.5", true},
        {"gzip;level=9;q=0.5", true},
        {"gzip;q=", true},
        {"gzip;q=0", false},
        {"gzip; Q=0.000", false},
        {"gzip;level=9;q=0", false},
        {"br;q=0, gzip", true},
        {"", false},
        {"*", false},
        {"identity", false},
        {"xgzip, gzipx", false},
        {";gzip", false},
        {";;;,;,", false},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(cases); i++)
        if (list_accepts(slice_of(cases[i].list), "gzip") != cases[i].accepted)
            fail_msg("%s", cases[i].list);
    assert_false(list_accepts((struct slice){NULL, 0}, "gzip"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items),
        cmocka_unit_test(words),
        cmocka_unit_test(weights),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
