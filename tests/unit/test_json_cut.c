/* Cuts into JSON that leave every other byte as it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "services/json.h"

static struct buf copy_of(const char *text)
{
    struct buf b = {.max = 1 << 20};

    assert_int_equal(buf_add(&b, text, strlen(text)), ST_OK);
    return b;
}

static void members_are_found(void **state)
{
    static const struct {
        const char *object, *key, *value; /* NULL = none */
    } rows[] = {
        {"{\"a\":1}", "a", "1"},
        {" \n{ \"a\" :\t1.5e3 , \"b\":null } ", "a", "1.5e3"},
        {"{\"a\":1,\"b\":[1,{\"c\":\"]}\"}],\"c\":true}", "c", "true"},
        {"{\"a\":1,\"b\":[1,{\"c\":\"]}\"}],\"c\":true}", "b", "[1,{\"c\":\"]}\"}]"},
        {"{\"x\":{\"a\":1}}", "a", NULL},
        {"{\"x\":\"\\\"a\\\":1\",\"a\":\"y\\\\\"}", "a", "\"y\\\\\""},
        {"{\"x\":\"\\\\\\\"\",\"a\":2}", "a", "2"},
        {"{\"a\":1,\"a\":2}", "a", "2"},
        {"{\"st\\u0072eam\":true}", "stream", "true"},
        {"{\"st\\u0072eam\":true,\"stream\":false}", "stream", "false"},
        {"{\"\\u00E9\\ud83d\\uDE00\\n\\/\":7}", "\xc3\xa9\xf0\x9f\x98\x80\n/", "7"},
        {"{\"\xc3\xa9\":7}", "\xc3\xa9", "7"},
        {"{\"streams\":1,\"strea\":2,\"\":3}", "stream", NULL},
        {"{\"\":3}", "", "3"},
        {"{\"a\\u0000\":3}", "a", NULL},
        {"{\"\\a\":3}", "a", NULL},
        {"{}", "a", NULL},
        {"[]", "a", NULL},
        {"", "a", NULL},
        {"\"a\"", "a", NULL},
        {"{\"a\"", "a", NULL},
        {"{\"a\":", "a", NULL},
        {"{\"a\":\"", "a", NULL},
        {"{\"a\":[[1]", "a", NULL},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct slice s = slice_of(rows[i].object);
        struct json_cut cut = {0};
        bool found = json_find(s, rows[i].key, &cut);

        if (found != (rows[i].value != NULL))
            fail_msg("%s in %s: %d", rows[i].key, rows[i].object, found);
        if (found && !slice_is((struct slice){s.p + cut.value, cut.value_end - cut.value}, rows[i].value))
            fail_msg("%s in %s", rows[i].key, rows[i].object);
        if (found)
            assert_true(s.p[cut.key] == '"' && s.p[cut.key_end - 1] == '"');
    }
}

struct edit {
    const char *object, *key, *raw, *result; /* raw NULL = remove; result NULL = refused */
};

static void check_edit(const struct edit *e)
{
    struct buf out = copy_of("before ");
    struct slice object = slice_of(e->object);
    enum status st = e->raw ? json_splice(object, e->key, slice_of(e->raw), &out) : json_remove(object, e->key, &out);

    if (st != (e->result ? ST_OK : ST_BAD_REQUEST))
        fail_msg("%s: %s", e->object, status_name(st));
    assert_int_equal(buf_add(&out, "", 1), ST_OK);
    if (strcmp(out.p + 7, e->result ? e->result : "") != 0)
        fail_msg("%s: %s instead of %s", e->object, out.p + 7, e->result ? e->result : "");
    buf_fini(&out);
}

static void edits_leave_the_rest_alone(void **state)
{
    static const struct edit rows[] = {
        {"{\"a\":1,\"b\":2}", "a", "[9]", "{\"a\":[9],\"b\":2}"},
        {" { \"a\" : 1 , \"b\" : 2 } ", "b", "\"x\"", " { \"a\" : 1 , \"b\" : \"x\" } "},
        {"{\"b\":1}", "a", "true", "{\"b\":1,\"a\":true}"},
        {"{\"b\":1 }\n", "a", "true", "{\"b\":1 ,\"a\":true}\n"},
        {"{}", "a", "true", "{\"a\":true}"},
        {" { } ", "a", "true", " { \"a\":true} "},
        {"{\"b\":{\"a\":5}}", "a", "0", "{\"b\":{\"a\":5},\"a\":0}"},
        {"{\"st\\u0072eam\":true}", "stream", "false", "{\"st\\u0072eam\":false}"},
        {"{\"a\":1,\"a\":2}", "a", "3", "{\"a\":1,\"a\":3}"},
        {"{}", "k\"\n", "1", "{\"k\\\"\\n\":1}"},
        {"[]", "a", "1", NULL},
        {"{\"a\":1", "a", "1", NULL},
        {"{\"a\":1,}", "a", "1", NULL},
        {"", "a", "1", NULL},
        {"{\"a\":1,\"b\":2,\"c\":3}", "a", NULL, "{\"b\":2,\"c\":3}"},
        {"{\"a\":1,\"b\":2,\"c\":3}", "b", NULL, "{\"a\":1,\"c\":3}"},
        {"{\"a\":1,\"b\":2,\"c\":3}", "c", NULL, "{\"a\":1,\"b\":2}"},
        {"{\"a\":1,\"b\":2,\"c\":3}", "d", NULL, "{\"a\":1,\"b\":2,\"c\":3}"},
        {"{ \"a\" : 1 , \"b\" : 2 }", "a", NULL, "{  \"b\" : 2 }"},
        {"{ \"a\" : 1 , \"b\" : 2 }", "b", NULL, "{ \"a\" : 1 }"},
        {"{\"a\":1}", "a", NULL, "{}"},
        {"{}", "a", NULL, "{}"},
        {"{\"a\":1,\"a\":2}", "a", NULL, "{}"},
        {"{\"a\":1,\"b\":2,\"a\":3}", "a", NULL, "{\"b\":2}"},
        {"{\"b\":2,\"a\":1,\"a\":3}", "a", NULL, "{\"b\":2}"},
        {"{\"a\":1,\"a\":3,\"b\":2}", "a", NULL, "{\"b\":2}"},
        {"{\"b\":2,\"a\":1,\"c\":4,\"a\":3,\"d\":5}", "a", NULL, "{\"b\":2,\"c\":4,\"d\":5}"},
        {"{\"a\":1", "a", NULL, NULL},
        {"nonsense", "a", NULL, NULL},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        check_edit(&rows[i]);
}

static void a_full_buffer_is_left_as_it_was(void **state)
{
    size_t max;

    (void)state;
    for (max = 7; max < 7 + 13; max++) {
        struct buf out = {.max = max};

        assert_int_equal(buf_add(&out, "before ", 7), ST_OK);
        assert_int_equal(json_splice(slice_of("{\"b\":1}"), "a", slice_of("22"), &out), ST_TOO_LARGE);
        assert_int_equal(out.n, 7);
        buf_fini(&out);
    }
}

/* Every beginning of a text, as an exact heap copy, and every byte of it changed: in bounds, whatever comes out. */
static void broken_texts_do_no_harm(void **state)
{
    static const char text[] = "{\"a\\\"\\u00e9\":[{\"x\":\"\\\\\"},1e5], \"stream\":true,\"\\ud83d\\ude00\":\"\\\"\"}";
    static const char with[] = "\"\\{}[],:u\0 a";
    size_t n, at, k;

    (void)state;
    for (n = 0; n < sizeof(text); n++) {
        for (at = 0; at < n; at++) {
            for (k = 0; k < sizeof(with) - 1; k++) {
                char *copy = malloc(n);
                struct buf out = {.max = 4096};
                struct json_cut cut;

                memcpy(copy, text, n);
                copy[at] = with[k];
                (void)json_find((struct slice){copy, n}, "stream", &cut);
                (void)json_splice((struct slice){copy, n}, "stream", slice_of("0"), &out);
                (void)json_remove((struct slice){copy, n}, "stream", &out);
                buf_fini(&out);
                free(copy);
            }
        }
    }
}

/* Linear: a text made of backslashes and quotes takes no longer than one made of letters. */
static void long_texts_are_no_trap(void **state)
{
    enum { SIZE = 8 * 1024 * 1024 };
    char *text = malloc(SIZE);
    struct json_cut cut;

    (void)state;
    assert_non_null(text);
    memset(text, '\\', SIZE);
    memcpy(text, "{\"a\":\"", 6);
    memcpy(text + SIZE - 2, "\"}", 2);
    assert_true(json_find((struct slice){text, SIZE}, "a", &cut));
    memset(text + 6, '[', SIZE - 8);
    text[5] = '[';
    assert_false(json_find((struct slice){text, SIZE}, "a", &cut));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_found),
        cmocka_unit_test(edits_leave_the_rest_alone),
        cmocka_unit_test(a_full_buffer_is_left_as_it_was),
        cmocka_unit_test(broken_texts_do_no_harm),
        cmocka_unit_test(long_texts_are_no_trap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
