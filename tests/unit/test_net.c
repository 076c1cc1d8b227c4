/* Addresses and ranges: how they are read, written and compared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "services/net.h"

static void a_range_is_written_one_way(void **state)
{
    static const struct {
        const char *from, *to;
    } rows[] = {
        {"192.0.2.1", "192.0.2.1"},
        {"192.0.2.1/32", "192.0.2.1"},
        {"10.1.2.3/8", "10.0.0.0/8"},
        {"10.255.255.255/9", "10.128.0.0/9"},
        {"0.0.0.0/0", "0.0.0.0/0"},
        {"::ffff:192.0.2.1", "192.0.2.1"},
        {"::FFFF:c000:0201", "192.0.2.1"},
        {"::ffff:10.1.2.3/104", "10.0.0.0/8"},
        {"2001:DB8:0:0::1", "2001:db8::1"},
        {"2001:db8::1/128", "2001:db8::1"},
        {"2001:db8:ffff::/33", "2001:db8:8000::/33"},
        {"::/0", "::/0"},
        {"::ffff:0:0/95", "::fffe:0:0/95"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[NET_TEXT_MAX], again[NET_TEXT_MAX];
        struct net net;

        if (!net_read(slice_of(rows[i].from), &net))
            fail_msg("%s is not read", rows[i].from);
        net_write(&net, text);
        assert_string_equal(text, rows[i].to);
        assert_true(net_read(slice_of(text), &net));
        net_write(&net, again);
        assert_string_equal(again, text);
    }
}

static void what_is_no_range_is_refused(void **state)
{
    static const char *const rows[] = {
        "",
        " ",
        "localhost",
        "10",
        "10.0.0",
        "10.0.0.0/",
        "10.0.0.0/33",
        "::1/129",
        "10.0.0.0/-1",
        "10.0.0.0/ 8",
        "10.0.0.0/8 ",
        "010.0.0.1",
        "1.2.3.4.5",
        "256.0.0.1",
        "/8",
        "::g",
        "[::1]",
        "1.2.3.4:80",
        "fe80::1%eth0",
        "10.0.0.0/0008",
        "10.0.0.0/8/8",
        "1.2.3.4\n",
        "*",
        "10.*",
        "::ffff:1.2.3.4.5",
        "1:2:3:4:5:6:7:8:9",
        "0000:0000:0000:0000:0000:ffff:192.168.100.200.1111111111111111111111111111111111111"};
    struct net net;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (net_read(slice_of(rows[i]), &net))
            fail_msg("'%s' was read", rows[i]);
    assert_false(net_read((struct slice){"10.0.0.1\0", 9}, &net));
    assert_false(net_read((struct slice){NULL, 0}, &net));
}

static void a_range_holds_what_begins_as_it_does(void **state)
{
    static const struct {
        const char *range, *address;
        bool holds;
    } rows[] = {
        {"192.0.2.1", "192.0.2.1", true},
        {"192.0.2.1", "192.0.2.2", false},
        {"192.0.2.1", "::ffff:192.0.2.1", true},
        {"::ffff:192.0.2.1", "192.0.2.1", true},
        {"192.0.2.0/24", "192.0.2.255", true},
        {"192.0.2.77/24", "192.0.2.255", true},
        {"192.0.2.0/24", "192.0.3.0", false},
        {"192.0.2.0/23", "192.0.3.0", true},
        {"10.128.0.0/9", "10.127.255.255", false},
        {"0.0.0.0/0", "198.51.100.1", true},
        {"0.0.0.0/0", "2001:db8::1", false},
        {"::/0", "2001:db8::1", true},
        {"::/0", "198.51.100.1", false}, /* neither way holds the other kind */
        {"::/0", "::ffff:198.51.100.1", false},
        {"2001:db8::/32", "2001:db8:ffff::1", true},
        {"2001:db8::/32", "2001:db9::1", false},
        {"2001:db8::/33", "2001:db8:8000::1", false},
        {"::1", "::1", true},
        {"::1", "127.0.0.1", false},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct slice range = slice_of(rows[i].range);

        if (net_listed((struct wire_strs){&range, 1}, slice_of(rows[i].address)) != rows[i].holds)
            fail_msg("%s, %s", rows[i].range, rows[i].address);
    }
}

static void a_list_holds_what_one_of_it_does(void **state)
{
    struct slice ranges[] = {slice_of("nonsense"), slice_of("10.0.0.0/8"), slice_of("::1")};
    struct wire_strs list = {ranges, 3};

    (void)state;
    assert_true(net_listed(list, slice_of("10.1.1.1")));
    assert_true(net_listed(list, slice_of("::1")));
    assert_false(net_listed(list, slice_of("11.1.1.1")));
    assert_false(net_listed(list, slice_of("nonsense")));
    assert_false(net_listed(list, slice_of("")));
    assert_false(net_listed((struct wire_strs){NULL, 0}, slice_of("10.1.1.1")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_range_is_written_one_way),
        cmocka_unit_test(what_is_no_range_is_refused),
        cmocka_unit_test(a_range_holds_what_begins_as_it_does),
        cmocka_unit_test(a_list_holds_what_one_of_it_does),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
