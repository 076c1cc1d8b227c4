/* exchange: what a client pushes on an open call. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "services/clock.h"
#include "services/ids.h"
#include "tests/lib/bus_peer.h"

#define URL_SIZE 96
#define S(text) ((struct slice){text, sizeof(text) - 1})
#define NONE ((struct slice){NULL, 0})

static void make_url(char url[URL_SIZE], const char *transport)
{
    snprintf(url, URL_SIZE, "%s%016llx", strcmp(transport, "ipc") ? "inproc://test_push." : "ipc:///tmp/test_push.",
             (unsigned long long)id_number());
}

static void what_is_pushed_comes_in_order(void **state)
{
    static const char *const transports[] = {"inproc", "ipc"};
    char piece[100];
    unsigned i, k;

    (void)state;
    for (k = 0; k < 2; k++) {
        struct xchg_client *c;
        struct bus_peer *p;
        struct bus_wait w;
        char url[URL_SIZE];

        make_url(url, transports[k]);
        p = bus_peer_new(url, 0);
        c = bus_client(url);
        bus_wait_init(&w, c);
        assert_int_equal(bus_open(&w, PEER_TAKE, NONE, 60000, 0), ST_OK);
        BUS_UNTIL(xchg_server_open_calls(p->server) == 1, 10000);
        for (i = 0; i < 200; i++) {
            memset(piece, (int)('a' + i % 26), sizeof(piece));
            assert_int_equal(xchg_push(c, w.id, (uint16_t)(i % 2), (struct slice){piece, sizeof(piece)}), ST_OK);
        }
        assert_int_equal(xchg_push(c, w.id, 7, NONE), ST_OK);
        BUS_UNTIL(atomic_load(&p->pushes) == 201, 5000);
        assert_int_equal(p->n_pushed, 200 * sizeof(piece));
        assert_int_equal(p->pushed_types, 100 + 7);
        for (i = 0; i < p->n_pushed; i++)
            if (p->pushed[i] != (char)('a' + i / sizeof(piece) % 26))
                fail_msg("byte %u is out of order", i);
        bus_peer_end_held(p, ST_OK);
        assert_int_equal(bus_wait(&w), ST_OK);
        assert_int_equal(xchg_push(c, w.id, 0, S("late")), ST_CANCELLED);
        bus_wait_fini(&w);
        xchg_client_free(c);
        bus_peer_free(p);
    }
}

static void a_server_that_wants_nothing_drops_what_is_pushed(void **state)
{
    struct xchg_client *c;
    struct bus_peer *p;
    struct bus_wait w;
    char url[URL_SIZE];

    (void)state;
    make_url(url, "inproc");
    p = bus_peer_new(url, 0);
    c = bus_client(url);
    bus_wait_init(&w, c);
    assert_int_equal(bus_open(&w, PEER_HOLD, NONE, 60000, 0), ST_OK);
    BUS_UNTIL(xchg_server_open_calls(p->server) == 1, 10000);
    assert_int_equal(xchg_push(c, w.id, 0, S("unwanted")), ST_OK);
    assert_int_equal(bus_call(c, PEER_ECHO, S("on"), 5000, NULL), ST_OK);
    assert_int_equal(w.ended, 0);
    bus_peer_end_held(p, ST_OK);
    assert_int_equal(bus_wait(&w), ST_OK);
    assert_int_equal(atomic_load(&p->pushes), 0);
    bus_wait_fini(&w);
    xchg_client_free(c);
    bus_peer_free(p);
}

static void nobody_is_pushed_to_in_vain(void **state)
{
    char *much = calloc(1, WIRE_MESSAGE_MAX + 1);
    struct xchg_client *c;
    struct bus_peer *p;
    struct bus_wait w;
    char url[URL_SIZE];

    (void)state;
    assert_non_null(much);
    make_url(url, "ipc");
    c = bus_client(url);
    bus_wait_init(&w, c);
    assert_int_equal(bus_open(&w, PEER_TAKE, NONE, 60000, 0), ST_OK);
    assert_int_equal(xchg_push(c, w.id, 0, S("early")), ST_UNAVAILABLE); /* nobody has the call yet */
    assert_int_equal(xchg_push(c, (struct xchg_id){.call = 12345, .slot = 1}, 0, S("x")), ST_CANCELLED);
    p = bus_peer_new(url, 0);
    assert_non_null(p);
    BUS_UNTIL(xchg_server_open_calls(p->server) == 1, 10000);
    assert_int_equal(xchg_push(c, w.id, 0, (struct slice){much, WIRE_MESSAGE_MAX + 1}), ST_TOO_LARGE);
    assert_int_equal(xchg_push(c, w.id, 0, S("now")), ST_OK);
    BUS_UNTIL(atomic_load(&p->pushes) == 1, 10000);
    xchg_cancel(c, w.id);
    assert_int_equal(xchg_push(c, w.id, 0, S("late")), ST_CANCELLED);
    assert_int_equal(bus_wait(&w), ST_CANCELLED);
    bus_wait_fini(&w);

    bus_wait_init(&w, c);
    assert_int_equal(bus_open(&w, PEER_TAKE, NONE, 60000, 0), ST_OK);
    BUS_UNTIL(xchg_server_open_calls(p->server) == 1, 10000);
    bus_peer_free(p); /* the peer is lost with the call */
    assert_int_not_equal(bus_wait(&w), ST_OK);
    assert_int_equal(xchg_push(c, w.id, 0, S("late")), ST_CANCELLED);
    bus_wait_fini(&w);
    xchg_client_free(c);
    free(much);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_pushed_comes_in_order),
        cmocka_unit_test(a_server_that_wants_nothing_drops_what_is_pushed),
        cmocka_unit_test(nobody_is_pushed_to_in_vain),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
