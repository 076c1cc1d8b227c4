/* exchange: a name that answers with one address per replica, as compose and Kubernetes do. The answers are this test's
 * own. */
#include <arpa/inet.h>
#include <netdb.h>
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
#define NONE ((struct slice){NULL, 0})
#define REPLICAS 3

/* ---- a name server: in place of the C library's, for this program
 * ------------------------------------------------------- */

static atomic_uint answer; /* bit i: 127.0.0.(i + 1); 0 = the name server is away */
static atomic_uint asked;

struct one_address {
    struct addrinfo info;
    struct sockaddr_in in;
};

static struct addrinfo *make_address(struct in_addr to, const char *service, struct addrinfo *next)
{
    struct one_address *a = calloc(1, sizeof(*a));

    a->in = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = to};
    a->in.sin_port = htons((uint16_t)strtoul(service, NULL, 10));
    a->info = (struct addrinfo){
        .ai_family = AF_INET, .ai_addrlen = sizeof(a->in), .ai_addr = (struct sockaddr *)&a->in, .ai_next = next};
    return &a->info;
}

/* nng asks as well, for addresses. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
    struct addrinfo *list = NULL;
    struct in_addr to;
    unsigned bits, i;

    (void)hints;
    if (inet_pton(AF_INET, node, &to) == 1) {
        *ret = make_address(to, service, NULL);
        return 0;
    }
    atomic_fetch_add(&asked, 1);
    bits = atomic_load(&answer);
    if (strcmp(node, "replicas.test") != 0 || bits == 0)
        return EAI_AGAIN;
    for (i = 0; i < REPLICAS; i++) {
        to.s_addr = htonl(0x7f000001u + i);
        if (bits & (1u << i))
            list = make_address(to, service, list);
    }
    *ret = list;
    return 0;
}

void freeaddrinfo(struct addrinfo *list)
{
    while (list) {
        struct addrinfo *next = list->ai_next;

        free(list); /* the first member of what was allocated */
        list = next;
    }
}

/* ---- replicas
 * ----------------------------------------------------------------------------------------------------------- */

struct replicas {
    struct bus_peer *peer[REPLICAS];
    struct xchg_client *client;
};

static bool listen_all(struct replicas *r, unsigned port)
{
    char url[URL_SIZE];
    unsigned i;

    for (i = 0; i < REPLICAS; i++) {
        snprintf(url, sizeof(url), "tcp://127.0.0.%u:%u", i + 1, port);
        r->peer[i] = bus_peer_new(url, 100 + i);
    }
    if (r->peer[0] && r->peer[1] && r->peer[2])
        return true;
    for (i = 0; i < REPLICAS; i++)
        bus_peer_free(r->peer[i]);
    return false;
}

static void replicas_new(struct replicas *r)
{
    unsigned port = 0, tries;
    char url[URL_SIZE];
    bool there = false;

    for (tries = 0; !there && tries < 10; tries++) { /* a port may be taken */
        port = 20000 + (unsigned)(id_number() % 20000);
        there = listen_all(r, port);
    }
    assert_true(there);
    snprintf(url, sizeof(url), "tcp://replicas.test:%u", port);
    r->client = bus_client(url);
    assert_non_null(r->client);
}

static void replicas_free(struct replicas *r)
{
    unsigned i;

    xchg_client_free(r->client);
    for (i = 0; i < REPLICAS; i++)
        bus_peer_free(r->peer[i]);
}

/* A call that waits until the name has an answer. false: the machine is busy, and it waited for too long. */
static bool waits_for_the_answer(struct replicas *r, struct bus_wait *held)
{
    atomic_store(&answer, 0);
    replicas_new(r);
    bus_wait_init(held, r->client);
    assert_int_equal(bus_open(held, PEER_HOLD, NONE, 60000, 0), ST_OK);
    usleep(50000);
    atomic_store(&answer, 1);
    BUS_UNTIL(bus_peer_held(r->peer[0]) == 1, XCHG_CONNECT_WAIT_MS + 1000);
    if (bus_peer_held(r->peer[0]) == 1)
        return true;
    assert_int_equal(bus_wait(held), ST_UNAVAILABLE);
    bus_wait_fini(held);
    replicas_free(r);
    return false;
}

static void replicas_come_and_go_with_the_names_answer(void **state)
{
    struct replicas r;
    struct bus_wait held;
    unsigned before, i, tries = 0;

    (void)state;
    while (!waits_for_the_answer(&r, &held))
        assert_true(++tries < SLOW_TRIES);
    assert_int_equal(xchg_client_ready(r.client), 1);

    atomic_store(&answer, 7); /* two more */
    assert_true(bus_ready(r.client, 3, 10000));
    for (i = 0; i < 60; i++)
        assert_int_equal(bus_call(r.client, PEER_ECHO, NONE, 5000, NULL), ST_OK);
    assert_true(atomic_load(&r.peer[1]->handled) > 0);
    assert_true(atomic_load(&r.peer[2]->handled) > 0);

    atomic_store(&answer, 6); /* the first leaves; its open call stays */
    assert_true(bus_ready(r.client, 2, 10000));
    before = atomic_load(&r.peer[0]->handled);
    for (i = 0; i < 60; i++)
        assert_int_equal(bus_call(r.client, PEER_ECHO, NONE, 5000, NULL), ST_OK);
    assert_int_equal(atomic_load(&r.peer[0]->handled), before);
    assert_int_equal(held.ended, 0);
    bus_peer_end_held(r.peer[0], ST_OK);
    assert_int_equal(bus_wait(&held), ST_OK);

    i = atomic_load(&asked);
    atomic_store(&answer, 0); /* the name server is away: nothing changes */
    BUS_UNTIL(atomic_load(&asked) >= i + 2, 10000);
    assert_int_equal(xchg_client_ready(r.client), 2);

    atomic_store(&answer, 7); /* back again */
    assert_true(bus_ready(r.client, 3, 10000));
    assert_int_equal(bus_call(r.client, PEER_ECHO, NONE, 5000, NULL), ST_OK);
    bus_wait_fini(&held);
    replicas_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replicas_come_and_go_with_the_names_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
