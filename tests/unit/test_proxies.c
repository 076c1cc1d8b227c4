/* Whose address a request has behind proxies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/proxies.h"

static void the_nearest_that_is_not_trusted_is_the_client(void **state)
{
    static const struct {
        const char *trusts, *peer, *forwarded_for, *client;
    } rows[] = {
        {NULL, "127.0.0.1", "192.0.2.1", "127.0.0.1"},
        {"", "127.0.0.1", "192.0.2.1", "127.0.0.1"},
        {"127.0.0.1", "127.0.0.1", "", "127.0.0.1"},
        {"127.0.0.1", "127.0.0.1", "192.0.2.1", "192.0.2.1"},
        {"127.0.0.1", "::ffff:127.0.0.1", "192.0.2.1", "192.0.2.1"},
        {"127.0.0.1", "127.0.0.2", "192.0.2.1", "127.0.0.2"},
        {"127.0.0.1", "127.0.0.1", "198.51.100.7, 192.0.2.1", "192.0.2.1"}, /* the first is what the client wrote */
        {"10.0.0.0/8", "10.1.2.3", "198.51.100.7,192.0.2.1 , 10.9.9.9", "192.0.2.1"},
        {"10.0.0.0/8", "11.1.2.3", "192.0.2.1", "11.1.2.3"},
        {"10.128.0.0/9", "10.127.0.1", "192.0.2.1", "10.127.0.1"},
        {"10.128.0.0/9", "10.128.0.1", "192.0.2.1", "192.0.2.1"},
        {"0.0.0.0/0", "10.0.0.1", "192.0.2.1, 192.0.2.2", "192.0.2.1"},
        {"0.0.0.0/0", "2001:db8::1", "192.0.2.1", "2001:db8::1"},
        {"fd00::/8, 172.16.0.0/12", "fd00::5", "2001:db8::1, 172.17.0.1", "2001:db8::1"},
        {"127.0.0.1", "127.0.0.1", "192.0.2.1:4711", "192.0.2.1"},
        {"127.0.0.1", "127.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"},
        {"127.0.0.1", "127.0.0.1", "[2001:db8::1]", "2001:db8::1"},
        {"127.0.0.1", "127.0.0.1", "2001:db8::1", "2001:db8::1"},
        {"127.0.0.1", "127.0.0.1", "unknown", "127.0.0.1"},
        {"127.0.0.1", "127.0.0.1", "[", "127.0.0.1"},
        {"127.0.0.1", "127.0.0.1", ":", "127.0.0.1"},
        {"127.0.0.1", "127.0.0.1", "192.0.2.1,", "127.0.0.1"},
        {"127.0.0.1,10.0.0.0/8", "127.0.0.1", "nobody, 10.0.0.7", "10.0.0.7"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct proxies p;
        struct err err;
        struct slice got;

        assert_int_equal(proxies_parse(&p, rows[i].trusts, &err), ST_OK);
        got = proxies_client(&p, slice_of(rows[i].peer), slice_of(rows[i].forwarded_for));
        if (!slice_is(got, rows[i].client))
            fail_msg("row %zu: " SLICE_FMT " in place of %s", i, SLICE_ARG(got), rows[i].client);
    }
}

static void what_is_no_network_is_refused(void **state)
{
    static const char *const rows[] = {"proxy.example", "10.0.0.0/33", "10.0.0.0/",   "::/129", ",",
                                       "10.0.0/8",      "10.0.0.0/-1", "10.0.0.0/8x", "/8",     "fd00::/8 x",
                                       "10.0.0.0/0008"};
    char many[PROXIES_MAX * 8 + 16] = "";

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct proxies p;
        struct err err;

        if (proxies_parse(&p, rows[i], &err) != ST_BAD_REQUEST)
            fail_msg("'%s' was taken", rows[i]);
        assert_non_null(strstr(err.text, "TRUSTED_PROXIES"));
    }
    for (unsigned i = 0; i <= PROXIES_MAX; i++)
        snprintf(many + strlen(many), sizeof(many) - strlen(many), "%s::1", i > 0 ? "," : "");
    assert_int_equal(proxies_parse(&(struct proxies){0}, many, &(struct err){0}), ST_BAD_REQUEST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_nearest_that_is_not_trusted_is_the_client),
        cmocka_unit_test(what_is_no_network_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
