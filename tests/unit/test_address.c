/* Where an upstream may be: addresses, base URLs. And the small parts: timers. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "providersvc/timers.h"
#include "providersvc/upstream.h"
#include "services/address.h"

struct reach_case {
    const char *text;
    enum address_reach reach;
};

static enum address_reach reach_of(const char *text)
{
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } a;

    memset(&a, 0, sizeof(a));
    if (inet_pton(AF_INET, text, &a.in.sin_addr) == 1) {
        a.in.sin_family = AF_INET;
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &a.in6.sin6_addr), 1);
        a.in6.sin6_family = AF_INET6;
    }
    return address_reach(&a.any);
}

static void addresses_are_sorted(void **state)
{
    static const struct reach_case cases[] = {
        {"8.8.8.8", ADDRESS_PUBLIC},
        {"127.0.0.1", ADDRESS_PRIVATE},
        {"127.255.255.255", ADDRESS_PRIVATE},
        {"10.1.2.3", ADDRESS_PRIVATE},
        {"11.0.0.1", ADDRESS_PUBLIC},
        {"172.16.0.1", ADDRESS_PRIVATE},
        {"172.31.255.1", ADDRESS_PRIVATE},
        {"172.32.0.1", ADDRESS_PUBLIC},
        {"192.168.1.1", ADDRESS_PRIVATE},
        {"100.64.0.1", ADDRESS_PRIVATE},
        {"100.128.0.1", ADDRESS_PUBLIC},
        {"198.18.0.1", ADDRESS_PRIVATE},
        {"169.254.169.254", ADDRESS_NEVER},
        {"0.0.0.0", ADDRESS_NEVER},
        {"192.0.0.1", ADDRESS_NEVER},
        {"224.0.0.1", ADDRESS_NEVER},
        {"255.255.255.255", ADDRESS_NEVER},
        {"::1", ADDRESS_PRIVATE},
        {"::", ADDRESS_NEVER},
        {"fd00::1", ADDRESS_PRIVATE},
        {"fc12::1", ADDRESS_PRIVATE},
        {"fe80::1", ADDRESS_NEVER},
        {"ff02::1", ADDRESS_NEVER},
        {"2001:4860:4860::8888", ADDRESS_PUBLIC},
        {"::ffff:127.0.0.1", ADDRESS_PRIVATE},
        {"::ffff:169.254.169.254", ADDRESS_NEVER},
        {"::ffff:8.8.8.8", ADDRESS_PUBLIC},
        {"64:ff9b::10.0.0.1", ADDRESS_PRIVATE},
        {"2002:7f00:1::", ADDRESS_NEVER},
        {"2001:0:1::1", ADDRESS_NEVER},
        {"::7f00:1", ADDRESS_NEVER},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(reach_of(cases[i].text), cases[i].reach);
}

static void hosts_ask_for_their_own_reach_only(void **state)
{
    static const struct reach_case cases[] = {
        {"api.openai.com", ADDRESS_PUBLIC},
        {"localhost", ADDRESS_PRIVATE},
        {"localhost.", ADDRESS_PRIVATE},
        {"LocalHost", ADDRESS_PRIVATE},
        {"a.localhost", ADDRESS_PRIVATE},
        {"ollama", ADDRESS_PRIVATE},
        {"box.local", ADDRESS_PRIVATE},
        {"x.internal", ADDRESS_PRIVATE},
        {"127.0.0.1", ADDRESS_PRIVATE},
        {"127.1", ADDRESS_PRIVATE},
        {"2130706433", ADDRESS_PRIVATE},
        {"0x7f.1", ADDRESS_PRIVATE},
        {"[::1]", ADDRESS_PRIVATE},
        {"[::ffff:10.0.0.1]", ADDRESS_PRIVATE},
        {"8.8.8.8", ADDRESS_PUBLIC},
        {"169.254.169.254", ADDRESS_NEVER},
        {"internal.example.com", ADDRESS_PUBLIC},
        {"notlocalhost.com", ADDRESS_PUBLIC},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(address_host_reach(slice_of(cases[i].text)), cases[i].reach);
}

static enum status make(const char *url, bool internal, struct upstream **ret)
{
    static const struct upstream_defaults defaults = {1, 2, 3, 4, false};
    struct catalog_provider def = {
        .name = slice_of("p"), .kind = slice_of("openai"), .base_url = slice_of(url), .internal = internal};
    struct err err;

    return upstream_new(&def, NULL, &defaults, ret, &err);
}

static void check_url(const char *url, bool internal, const char *kept, enum address_reach reach)
{
    struct upstream *u = NULL;

    assert_int_equal(make(url, internal, &u), ST_OK);
    assert_string_equal(u->base_url, kept);
    assert_int_equal(u->https, strncasecmp(kept, "https", 5) == 0);
    assert_int_equal(u->reach, reach);
    upstream_unref(u);
}

static void base_urls_are_checked(void **state)
{
    static const char *const bad[] = {"ftp://x/v1",       "api.openai.com/v1",    "http://",     "https:///v1",
                                      "http://u@h/v1",    "http://h/v1?x=1",      "http://h/#a", "http://a b/",
                                      "http://h\r\nX: y", "http://127.0.0.1\\@h/"};
    struct upstream *u = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(make(bad[i], false, &u), ST_BAD_REQUEST);
    check_url("HTTPS://api.openai.com/v1//", false, "HTTPS://api.openai.com/v1", ADDRESS_PUBLIC);
    check_url("http://[::1]:8080", false, "http://[::1]:8080", ADDRESS_PRIVATE);
    check_url("http://localhost:8080/v1", false, "http://localhost:8080/v1", ADDRESS_PRIVATE);
    check_url("https://models.example.com", true, "https://models.example.com", ADDRESS_PRIVATE);
    check_url("", false, "https://api.openai.com/v1", ADDRESS_PUBLIC);
}

/* ---- timers
 * ---------------------------------------------------------------------------------------------------------- */

#define TIMERS 500

struct tick {
    struct timer timer;
    uint64_t fired;
};

static uint64_t fired_last;
static unsigned fired_count;

static void fire(struct timer *t)
{
    struct tick *k = (struct tick *)(void *)t;

    assert_true(t->due_ms >= fired_last);
    fired_last = t->due_ms;
    fired_count++;
    k->fired++;
}

static void timers_fire_in_order_and_once(void **state)
{
    static struct tick ticks[TIMERS];
    struct timers ts;
    uint64_t due = 0, seed = 12345;
    unsigned cleared = 0;

    (void)state;
    timers_init(&ts);
    assert_int_equal(timers_reserve(&ts, TIMERS), ST_OK);
    for (int round = 0; round < 4; round++)
        for (int i = 0; i < TIMERS; i++) { /* set, then moved about */
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            ticks[i].timer.fire = fire;
            timers_set(&ts, &ticks[i].timer, (seed >> 33) % 1000);
        }
    for (int i = 0; i < TIMERS; i += 3, cleared++)
        timers_clear(&ts, &ticks[i].timer);
    timers_clear(&ts, &ticks[0].timer);
    assert_int_equal(ts.n, TIMERS - cleared);
    for (uint64_t now = 0; now <= 1007; now += 7)
        timers_run(&ts, now);
    assert_int_equal(fired_count, TIMERS - cleared);
    assert_false(timers_next(&ts, &due));
    for (int i = 0; i < TIMERS; i++)
        assert_int_equal(ticks[i].fired, i % 3 == 0 ? 0 : 1);
    timers_fini(&ts);
}

static struct timers *again_in;

static void fire_again(struct timer *t)
{
    fired_count++;
    timers_set(again_in, t, t->due_ms);
}

static void a_timer_that_sets_itself_does_not_hold_the_loop(void **state)
{
    struct timer t = {.fire = fire_again};
    struct timers ts;

    (void)state;
    fired_count = 0;
    timers_init(&ts);
    again_in = &ts;
    assert_int_equal(timers_reserve(&ts, 1), ST_OK);
    timers_set(&ts, &t, 5);
    timers_run(&ts, 10);
    assert_int_equal(fired_count, 1);
    timers_fini(&ts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_sorted),
        cmocka_unit_test(hosts_ask_for_their_own_reach_only),
        cmocka_unit_test(base_urls_are_checked),
        cmocka_unit_test(timers_fire_in_order_and_once),
        cmocka_unit_test(a_timer_that_sets_itself_does_not_hold_the_loop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
