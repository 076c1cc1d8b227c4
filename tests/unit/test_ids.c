/* Identifiers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "services/ids.h"

#define REQUEST_ID_CHARS (4 + ID_TIME_DIGITS + 2 * ID_REQUEST_BYTES)

static void request_ids_grow_with_time_and_never_repeat(void **state)
{
    char before[ID_TEXT_SIZE], same[ID_TEXT_SIZE], later[ID_TEXT_SIZE];

    (void)state;
    id_request(before);
    id_request(same);
    usleep(2000);
    id_request(later);
    assert_int_equal(strlen(before), REQUEST_ID_CHARS);
    assert_int_equal(strspn(before + 4, "0123456789abcdef"), REQUEST_ID_CHARS - 4);
    assert_memory_equal(before, "req_", 4);
    assert_string_not_equal(before, same);
    assert_true(strncmp(before, later, 4 + ID_TIME_DIGITS) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_ids_grow_with_time_and_never_repeat),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
