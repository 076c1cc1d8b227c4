/* Seats of providers: names come and go without end, what is at hand at one time is bounded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "providersvc/upstreams.h"
#include "services/log.h"
#include "tests/unit/routing_world.h"

#define NAMES (UPSTREAMS_MAX * 3)
#define TEXT_MAX (8u * 1024u * 1024u)

static const struct upstream_defaults defaults = {.connect_ms = 1000, .first_byte_ms = 1000, .idle_ms = 1000};

static struct slice name_of(unsigned i, char to[16])
{
    (void)snprintf(to, 16, "n%u", i);
    return slice_of(to);
}

static enum status put(struct upstreams *s, struct slice name)
{
    struct catalog_provider def = {.name = name, .kind = slice_of("openai")};
    struct upstream *u = NULL;

    assert_int_equal(upstream_new(&def, NULL, &defaults, &u, NULL), ST_OK);
    return upstreams_put(s, name, u);
}

static bool shown(struct metrics *m, struct slice name)
{
    char label[64];
    struct buf b;
    bool found;

    (void)snprintf(label, sizeof(label), "provider=\"" SLICE_FMT "\"", SLICE_ARG(name));
    buf_init(&b, TEXT_MAX);
    assert_int_equal(metrics_render(m, &b), ST_OK);
    found = memmem(b.p, b.n, label, strlen(label)) != NULL;
    buf_fini(&b);
    return found;
}

/* A provider that fails, has been called, and goes. */
static void come_and_go(struct upstreams *s, unsigned i)
{
    char text[16];
    struct slice name = name_of(i, text);
    struct upstream *u;
    uint64_t wait_ms;
    bool soft;

    assert_int_equal(put(s, name), ST_OK);
    u = upstreams_find(s, name);
    assert_non_null(u);
    assert_string_equal(u->name, text);
    assert_true(seat_allows(u->seat, 1000, &wait_ms, &soft)); /* whatever the seat's last one did */
    assert_int_equal(seat_pace_us(u->seat, 1000), 0);
    assert_int_equal(metric_value(u->seat->attempts[ATTEMPT_OK]), 0);
    assert_int_equal(metric_value(u->seat->latency), 0);
    assert_true(shown(s->metrics, name));
    for (int k = 0; k < 100; k++)
        (void)seat_bad(u->seat, 1000, true);
    assert_false(seat_allows(u->seat, 1000, &wait_ms, &soft));
    seat_alive(u->seat, 1000, 7);
    for (int k = 0; k < 100; k++)
        (void)seat_bad(u->seat, 1000, true);
    metric_add(u->seat->attempts[ATTEMPT_OK], 3);
    metric_observe_ns(u->seat->latency, 1000);
    upstreams_remove(s, name);
    assert_null(upstreams_find(s, name));
    upstream_unref(u);
}

static void seats_go_on_to_new_names(void **state)
{
    struct metrics *m = metrics_new("providersvc", NULL);
    struct upstreams s = {.n = 0};
    struct upstream *held, *last;
    char text[16];

    (void)state;
    upstreams_init(&s, m);
    assert_int_equal(put(&s, slice_of("held")), ST_OK);
    held = upstreams_find(&s, slice_of("held")); /* a call that goes on */
    upstreams_remove(&s, slice_of("held"));
    assert_int_equal(put(&s, slice_of("stays")), ST_OK);
    for (unsigned i = 0; i < NAMES; i++)
        come_and_go(&s, i);
    assert_int_equal(s.n, UPSTREAMS_MAX);
    assert_string_equal(held->name, "held");
    assert_true(shown(m, slice_of("held")) && shown(m, slice_of("stays")));
    assert_false(shown(m, name_of(NAMES - 2, text))); /* its seat has another name */
    assert_int_equal(put(&s, slice_of("last")), ST_OK);
    last = upstreams_find(&s, slice_of("last"));
    assert_ptr_not_equal(last->seat, held->seat);
    upstreams_remove(&s, slice_of("last"));
    upstream_unref(last);
    upstream_unref(held);
    last = upstreams_find(&s, slice_of("stays"));
    assert_string_equal(last->name, "stays");
    upstream_unref(last);
    upstreams_fini(&s);
    metrics_free(m);
}

static void no_more_are_served_than_there_are_seats(void **state)
{
    struct metrics *m = metrics_new("providersvc", NULL);
    struct upstreams s = {.n = 0};
    struct upstream *held;
    char text[16];

    (void)state;
    upstreams_init(&s, m);
    for (unsigned i = 0; i < UPSTREAMS_MAX; i++)
        assert_int_equal(put(&s, name_of(i, text)), ST_OK);
    assert_int_equal(put(&s, slice_of("more")), ST_UNAVAILABLE);
    assert_int_equal(put(&s, name_of(7, text)), ST_OK); /* a change needs no other seat */
    held = upstreams_find(&s, name_of(7, text));
    upstreams_remove(&s, name_of(7, text));
    assert_int_equal(put(&s, slice_of("more")), ST_UNAVAILABLE); /* a call goes on there */
    upstream_unref(held);
    assert_int_equal(put(&s, slice_of("more")), ST_OK);
    assert_null(upstreams_find(&s, name_of(7, text)));
    assert_true(shown(m, slice_of("more")) && !shown(m, name_of(7, text)));
    upstreams_fini(&s);
    metrics_free(m);
}

/* ---- the service ---------------------------------------------------------------------------------------------------
 */

static void put_named(struct routing *r, struct slice name, bool gone)
{
    struct catalog_provider def = {.name = name, .kind = slice_of(gone ? "" : "openai"), .internal = true};
    char url[64];

    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%d/v1", tiny_port(r->sides[0].tiny));
    if (!gone)
        def.base_url = slice_of(url);
    routing_put_state(r, &(struct provider_state){.provider = {&def, 1}});
}

static void must_answer(struct routing *r, struct slice name)
{
    struct completion_req req;
    struct meter_fake_event ev;
    struct answered a = {0};

    routing_request(r, &req, "a", false);
    r->routes[0].provider = name;
    routing_call(r, &req, &a, &ev);
    if (a.status != ST_OK)
        fail_msg(SLICE_FMT ": %s: %s", SLICE_ARG(name), status_name(a.status), a.err.text);
    answered_fini(&a);
}

/* Each is called, so that connections and handles are kept for it, and then removed. */
static void providers_come_and_go_without_end(void **state)
{
    struct routing *r = *state;
    char text[16];

    routing_put(r, 1, 1, NULL);
    for (unsigned i = 0; i < UPSTREAMS_MAX + UPSTREAMS_MAX / 2; i++) {
        struct slice name = name_of(i, text);

        put_named(r, name, false);
        must_answer(r, name);
        put_named(r, name, true);
    }
    put_named(r, slice_of("last"), false);
    must_answer(r, slice_of("last"));
    routing_good(r, "b", false, "b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seats_go_on_to_new_names),
        cmocka_unit_test(no_more_are_served_than_there_are_seats),
        cmocka_unit_test_setup_teardown(providers_come_and_go_without_end, routing_setup, routing_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
