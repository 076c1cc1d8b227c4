/* exchange: which instances there are, and a call for one of them alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "services/clock.h"
#include "tests/lib/bus_peer.h"

#define URL_SIZE 96
#define CALLS 50u

struct ends {
    atomic_uint ok, unavailable;
};

static void end(void *ctx, enum status st, struct slice payload)
{
    struct ends *ends = ctx;

    (void)payload;
    if (st == ST_OK)
        atomic_fetch_add(&ends->ok, 1);
    else if (st == ST_UNAVAILABLE)
        atomic_fetch_add(&ends->unavailable, 1);
}

static void an_instance_can_be_asked_alone(void **state)
{
    static const struct xchg_events events = {.end = end};
    struct ends ends = {0, 0};
    struct xchg_open open = {.method = PEER_ECHO, .deadline_ms = 5000, .only = 1002, .events = &events, .ctx = &ends};
    uint64_t instances[XCHG_INSTANCES_MAX];
    char here[URL_SIZE], there[URL_SIZE], both[2 * URL_SIZE];
    struct bus_peer *a, *b;
    struct xchg_client *client;
    struct xchg_id id;
    unsigned i;

    (void)state;
    snprintf(here, sizeof(here), "inproc://instances-%d", getpid());
    snprintf(there, sizeof(there), "ipc:///tmp/instances-%d.ipc", getpid());
    snprintf(both, sizeof(both), "%s,%s", here, there);
    a = bus_peer_new(here, 1001);
    b = bus_peer_new(there, 1002);
    client = bus_client(both);
    assert_true(bus_ready(client, 2, 5000));
    assert_int_equal(xchg_client_instances(client, instances), 2);
    assert_true((instances[0] == 1001 && instances[1] == 1002) || (instances[0] == 1002 && instances[1] == 1001));
    for (i = 0; i < CALLS; i++)
        assert_int_equal(xchg_open(client, &open, &id), ST_OK);
    BUS_UNTIL(atomic_load(&ends.ok) == CALLS, 5000);
    assert_int_equal(atomic_load(&a->handled), 0);
    assert_int_equal(atomic_load(&b->handled), CALLS);

    bus_peer_free(b);
    assert_true(bus_ready(client, 1, 5000));
    assert_int_equal(xchg_client_instances(client, instances), 1);
    assert_int_equal(instances[0], 1001);
    assert_int_equal(xchg_open(client, &open, &id), ST_OK);
    BUS_UNTIL(atomic_load(&ends.unavailable) == 1, XCHG_CONNECT_WAIT_MS + 3000u);
    assert_int_equal(atomic_load(&ends.unavailable), 1);
    assert_int_equal(atomic_load(&a->handled), 0); /* the other one is not asked in its place */
    xchg_client_free(client);
    bus_peer_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_instance_can_be_asked_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
