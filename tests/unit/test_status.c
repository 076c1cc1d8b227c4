#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/messages.h"

static void outcomes_are_as_declared(void **state)
{
    (void)state;
    assert_string_equal(status_name(ST_OK), "OK");
    assert_int_equal(status_http(ST_OK), 200);
    assert_string_equal(status_name(ST_NO_FUNDS), "NO_FUNDS");
    assert_int_equal(status_http(ST_NO_FUNDS), 429);
    assert_string_equal(status_type(ST_NO_FUNDS), "insufficient_quota");
    assert_string_equal(status_code(ST_NO_FUNDS), "insufficient_quota");
    assert_false(status_retry(ST_NO_FUNDS));
    assert_true(status_retry(ST_RATE_TOKENS));
    assert_string_equal(status_type(ST_RATE_TOKENS), "tokens");
    assert_string_equal(status_code(ST_BAD_REQUEST), "");
    assert_string_equal(status_text(ST_DRAINING), "This instance is shutting down.");
}

static void every_outcome_is_whole(void **state)
{
    uint64_t n;

    (void)state;
    for (n = 0; status_known(n); n++) {
        enum status st = (enum status)n;

        assert_true(status_http(st) >= 200 && status_http(st) < 600);
        assert_true(strlen(status_name(st)) > 0 && strlen(status_text(st)) > 0);
        assert_true(strlen(status_code(st)) < ERR_CODE_MAX && strlen(status_text(st)) < ERR_TEXT_MAX);
        assert_true(n == 0 || strlen(status_type(st)) > 0);
    }
    assert_int_equal(n, ST_PENDING + 1);
}

static void a_number_that_is_not_declared_is_an_error_of_ours(void **state)
{
    const enum status odd = (enum status)9999;

    (void)state;
    assert_false(status_known(ST_PENDING + 1));
    assert_false(status_known(UINT64_MAX));
    assert_string_equal(status_name(odd), "UNKNOWN");
    assert_int_equal(status_http(odd), 500);
    assert_false(status_retry(odd));
    assert_string_equal(status_type(odd), "server_error");
    assert_string_equal(status_code(odd), "");
}

static void an_error_says_all_of_it(void **state)
{
    struct err e = {.retry_after_ms = 5, .code = "old", .param = "old"};

    (void)state;
    assert_int_equal(err_set(NULL, ST_TIMEOUT, "%d", 1), ST_TIMEOUT);
    assert_int_equal(err_set_field(NULL, ST_TIMEOUT, "c", "p", "%d", 1), ST_TIMEOUT);
    assert_int_equal(err_set(&e, ST_CONFLICT, "key %d of %s", 3, "x"), ST_CONFLICT);
    assert_int_equal(e.status, ST_CONFLICT);
    assert_string_equal(e.text, "key 3 of x");
    assert_string_equal(e.code, "");
    assert_string_equal(e.param, "");
    assert_int_equal(e.retry_after_ms, 0);
    assert_int_equal(err_set_field(&e, ST_BAD_REQUEST, "invalid_type", "messages[0].role", "no"), ST_BAD_REQUEST);
    assert_string_equal(e.code, "invalid_type");
    assert_string_equal(e.param, "messages[0].role");
    assert_int_equal(err_set_field(&e, ST_BAD_REQUEST, NULL, NULL, "no"), ST_BAD_REQUEST);
    assert_string_equal(e.code, "");
    assert_string_equal(e.param, "");
}

static void an_error_may_speak_of_itself(void **state)
{
    struct err e = {0};

    (void)state;
    (void)err_set_field(&e, ST_BAD_REQUEST, "first", "field", "inner");
    (void)err_set_field(&e, ST_BAD_REQUEST, e.code, e.param, "outer: %s", e.text);
    assert_string_equal(e.text, "outer: inner");
    assert_string_equal(e.code, "first");
    assert_string_equal(e.param, "field");
}

/* An error goes over the bus as a fault: whatever was put into it, it must be text that the wire takes. */
static void check_fits_a_fault(const struct err *e)
{
    struct fault fault = {.code = slice_of(e->code), .param = slice_of(e->param), .text = slice_of(e->text)};
    struct buf out;
    struct err why = {0};

    buf_init(&out, 4096);
    if (wire_encode(&fault_desc, &fault, &out, &why) != ST_OK)
        fail_msg("%s", why.text);
    buf_fini(&out);
}

static void long_and_hostile_texts_still_fit_the_wire(void **state)
{
    char text[2 * ERR_TEXT_MAX];
    struct err e = {0};
    size_t shift;

    (void)state;
    for (shift = 0; shift < 4; shift++) {
        size_t i;

        memset(text, 'x', sizeof(text));
        for (i = shift; i + 4 < sizeof(text); i += 4)
            memcpy(text + i, "\xf0\x9f\x98\x80", 4);
        text[sizeof(text) - 1] = '\0';
        (void)err_set_field(&e, ST_BAD_REQUEST, text, text, "%s", text);
        assert_true(strlen(e.text) > ERR_TEXT_MAX - 5 && strlen(e.code) > ERR_CODE_MAX - 5);
        assert_null(strchr(e.text, '?'));
        check_fits_a_fault(&e);
    }
    (void)err_set_field(&e, ST_BAD_REQUEST, "\xff", "a\xc3", "\x80 \xed\xa0\x80 ok\xe2\x82");
    assert_string_equal(e.code, "?");
    assert_string_equal(e.param, "a?");
    assert_string_equal(e.text, "? ??? ok??");
    check_fits_a_fault(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outcomes_are_as_declared),
        cmocka_unit_test(every_outcome_is_whole),
        cmocka_unit_test(a_number_that_is_not_declared_is_an_error_of_ours),
        cmocka_unit_test(an_error_says_all_of_it),
        cmocka_unit_test(an_error_may_speak_of_itself),
        cmocka_unit_test(long_and_hostile_texts_still_fit_the_wire),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
