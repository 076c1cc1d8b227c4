/* exchange: what an orderly stop owes: no answer and no one-way call is lost, and a server that comes back is briefed
 * first. */
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
#define COUNTS 2000000u

static void make_url(char url[URL_SIZE], const char *prefix)
{
    snprintf(url, URL_SIZE, "%s/test_exchange_restart.%016llx", prefix, (unsigned long long)id_number());
}

/* ---- rolling restarts under load
 * ---------------------------------------------------------------------------------------- */

#define CALLERS 16
#define RESTARTS 20

struct load {
    struct xchg_client *client;
    _Atomic uint32_t *counts;
    atomic_uint next, ok, draining, never, lost, other, wrong;
    atomic_bool stop;
};

static void judge(struct load *s, uint32_t number, enum status st)
{
    uint32_t ran = atomic_load(&s->counts[number]);
    atomic_uint *which = &s->other;

    if (st == ST_OK)
        which = &s->ok;
    else if (st == ST_DRAINING)
        which = &s->draining;
    else if (st == ST_UNAVAILABLE)
        which = &s->never;
    else if (st == ST_PEER_LOST)
        which = &s->lost;
    atomic_fetch_add(which, 1);
    if (ran != (st == ST_OK ? 1u : 0u))
        atomic_fetch_add(&s->wrong, 1);
}

static void *call_on(void *arg)
{
    struct load *s = arg;

    while (!atomic_load(&s->stop)) {
        uint32_t number = atomic_fetch_add(&s->next, 1);
        struct slice payload = {(const char *)&number, sizeof(number)};

        if (number >= COUNTS)
            break;
        judge(s, number, bus_call(s->client, PEER_COUNT, payload, 20000, NULL));
    }
    return NULL;
}

static void stop_orderly(struct bus_peer *p)
{
    xchg_server_drain(p->server);
    BUS_UNTIL(xchg_server_open_calls(p->server) == 0, 5000);
    bus_peer_free(p);
}

static void restarts_under(const char *prefix)
{
    char url[2][URL_SIZE], both[2 * URL_SIZE];
    struct load s = {.next = 0};
    struct bus_peer *peers[2];
    pthread_t threads[CALLERS];
    unsigned i;

    s.counts = calloc(COUNTS, sizeof(*s.counts));
    assert_non_null(s.counts);
    for (i = 0; i < 2; i++) {
        make_url(url[i], prefix);
        peers[i] = bus_peer_counting(url[i], s.counts, COUNTS);
    }
    snprintf(both, sizeof(both), "%s,%s", url[0], url[1]);
    s.client = bus_client(both);
    assert_true(bus_ready(s.client, 2, 10000));
    for (i = 0; i < CALLERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, call_on, &s), 0);
    for (i = 0; i < RESTARTS; i++) {
        usleep(20000);
        stop_orderly(peers[i % 2]);
        peers[i % 2] = bus_peer_counting(url[i % 2], s.counts, COUNTS);
        assert_non_null(peers[i % 2]);
        assert_true(bus_ready(s.client, 2, 10000));
    }
    atomic_store(&s.stop, true);
    for (i = 0; i < CALLERS; i++)
        pthread_join(threads[i], NULL);
    print_message("%u restarts over %s: %u calls answered, %u told to go elsewhere\n", RESTARTS, prefix,
                  atomic_load(&s.ok), atomic_load(&s.draining));
    assert_int_equal(atomic_load(&s.wrong), 0);
    assert_int_equal(atomic_load(&s.lost), 0);
    assert_int_equal(atomic_load(&s.never) + atomic_load(&s.other), 0);
    xchg_client_free(s.client);
    bus_peer_free(peers[0]);
    bus_peer_free(peers[1]);
    free(s.counts);
}

static void orderly_restarts_lose_no_answer(void **state)
{
    (void)state;
    restarts_under("ipc:///tmp");
    restarts_under("inproc:/");
}

/* ---- coming back
 * --------------------------------------------------------------------------------------------------------- */

#define AWAY_US 900000 /* long enough for the pauses between attempts to have grown as long as they get */
#define BACK_MS 450 /* of the second that a service has to recover */
#define ABSENCES 8
#define LATE 2u /* so often the machine may be busy */

/* Whoever starts again is found at once, however long it was away. The pauses are random: several tries. */
static void a_server_that_was_away_is_found_soon(void **state)
{
    struct xchg_client *c;
    struct bus_peer *p;
    char url[URL_SIZE];
    unsigned i, late = 0;

    (void)state;
    make_url(url, "ipc:///tmp");
    p = bus_peer_new(url, 0);
    c = bus_client(url);
    assert_true(bus_ready(c, 1, 10000));
    for (i = 0; i < ABSENCES + late; i++) {
        uint64_t began;

        bus_peer_free(p);
        usleep(AWAY_US);
        p = bus_peer_new(url, 0);
        assert_non_null(p);
        began = clock_ms();
        assert_true(bus_ready(c, 1, 10000));
        late += clock_ms() - began > slow_ms(BACK_MS);
        assert_in_range(late, 0, LATE);
    }
    xchg_client_free(c);
    bus_peer_free(p);
}

/* ---- last words
 * --------------------------------------------------------------------------------------------------------- */

#define TOLD 500u
#define LAST_WORDS_MS 400u /* less than who is freed waits at most */

/* Whether the client had not to wait for a server that the machine keeps from running. */
static bool last_words(void)
{
    static char bytes[4096];
    struct xchg_client *c;
    struct bus_peer *p;
    char url[URL_SIZE];
    uint64_t began, took;
    unsigned i;

    make_url(url, "ipc:///tmp");
    p = bus_peer_new(url, 0);
    c = bus_client(url);
    assert_true(bus_ready(c, 1, 5000));
    for (i = 0; i < TOLD; i++)
        assert_int_equal(xchg_tell(c, PEER_ECHO, (struct slice){bytes, sizeof(bytes)}), ST_OK);
    began = clock_ms();
    xchg_client_free(c);
    took = clock_ms() - began;
    if (took < LAST_WORDS_MS) {
        BUS_UNTIL(atomic_load(&p->one_way) == TOLD, 10000);
        assert_int_equal(atomic_load(&p->one_way), TOLD);
    }
    bus_peer_free(p);
    return took < LAST_WORDS_MS;
}

static void what_was_told_before_the_end_arrives(void **state)
{
    unsigned round, late = 0;

    (void)state;
    for (round = 1; round <= 5 + late; round++) {
        late += !last_words();
        assert_in_range(late, 0, LATE);
    }
}

struct briefing {
    struct xchg_client *_Atomic client;
    atomic_uint up;
};

static void brief(void *ctx, uint64_t instance, uint64_t boot, bool up)
{
    struct briefing *b = ctx;
    struct xchg_client *c = atomic_load(&b->client);

    (void)instance;
    (void)boot;
    if (!up || !c)
        return;
    usleep(20000); /* time for a call to overtake, if it could */
    atomic_fetch_add(&b->up, 1);
    (void)xchg_tell(c, PEER_ECHO, (struct slice){"brief", 5});
}

static void a_server_that_comes_back_is_briefed_before_its_first_call(void **state)
{
    struct briefing b = {.up = 0};
    struct xchg_client_options options = {.instance = 9, .peer = brief, .ctx = &b};
    struct xchg_client *c = NULL;
    char url[URL_SIZE];
    struct bus_peer *p;
    unsigned round, late = 0;

    (void)state;
    make_url(url, "inproc:/");
    options.url = url;
    assert_int_equal(xchg_client_new(&options, &c, NULL), ST_OK);
    atomic_store(&b.client, c);
    for (round = 1; round <= 5; round++) {
        struct xchg_call *held;
        struct bus_wait w;

        bus_wait_init(&w, c);
        assert_int_equal(bus_open(&w, PEER_HOLD, NONE, 20000, 0), ST_OK); /* waits for the server */
        p = bus_peer_new(url, 0);
        held = bus_peer_take_held(p);
        if (!held && late++ < LATE && bus_wait(&w) == ST_UNAVAILABLE) { /* a busy machine started the server too late */
            w.ended = 0;
            assert_int_equal(bus_open(&w, PEER_HOLD, NONE, 20000, 0), ST_OK);
            held = bus_peer_take_held(p);
        }
        assert_non_null(held);
        assert_int_equal(atomic_load(&b.up), round);
        assert_int_equal(atomic_load(&p->one_way), 1); /* it was there before the call */
        xchg_end(held, ST_OK, NONE);
        assert_int_equal(bus_wait(&w), ST_OK);
        bus_wait_fini(&w);
        bus_peer_free(p);
        BUS_UNTIL(xchg_client_ready(c) == 0, 10000);
    }
    xchg_client_free(c);
}

/* ---- joined: told to one instance, before any call
 * ---------------------------------------------------------------------------------------------------------- */

#define BRIEFED_CLIENTS 3
#define BRIEF_PARTS 20u
#define KILLS 15

/* A server that has just started knows nothing: a call that comes before its client's briefing is whole is wrong. */
struct novice {
    struct xchg_server *server;
    atomic_uint parts[BRIEFED_CLIENTS + 1], calls, early;
};

static void novice_handles(void *ctx, struct xchg_call *call, uint16_t method, struct slice payload)
{
    struct novice *n = ctx;
    uint64_t client = xchg_peer(call);

    (void)method;
    assert_in_range(client, 1, BRIEFED_CLIENTS);
    if (xchg_one_way(call)) {
        atomic_fetch_add(&n->parts[client], 1);
    } else {
        atomic_fetch_add(&n->calls, 1);
        if (atomic_load(&n->parts[client]) < BRIEF_PARTS)
            atomic_fetch_add(&n->early, 1);
    }
    xchg_end(call, ST_OK, payload);
}

static struct novice *novice_new(const char *url)
{
    struct novice *n = calloc(1, sizeof(*n));
    struct xchg_server_options options = {
        .url = url, .instance = id_number(), .boot = id_number(), .handler = novice_handles, .ctx = n};

    assert_non_null(n);
    assert_int_equal(xchg_server_new(&options, &n->server, NULL), ST_OK);
    return n;
}

struct briefed {
    struct xchg_client *client;
    atomic_bool stop, refuse;
    atomic_uint joins;
};

static bool brief_in_parts(void *ctx, struct xchg_join *to)
{
    static const char part[300];
    struct briefed *b = ctx;
    unsigned i;

    atomic_fetch_add(&b->joins, 1);
    assert_true(xchg_join_instance(to) != 0 && xchg_join_boot(to) != 0);
    for (i = 0; i < BRIEF_PARTS && !atomic_load(&b->refuse); i++) {
        usleep(200); /* time for a call to overtake, if it could */
        if (xchg_join_tell(to, PEER_ECHO, (struct slice){part, sizeof(part)}) != ST_OK)
            return false;
    }
    return i == BRIEF_PARTS;
}

static void *call_without_end(void *arg)
{
    struct briefed *b = arg;

    while (!atomic_load(&b->stop))
        (void)bus_call(b->client, PEER_ECHO, NONE, 5000, NULL);
    return NULL;
}

static void start_briefed(struct briefed *b, const char *url, uint64_t instance)
{
    struct xchg_client_options options = {.url = url, .instance = instance, .joined = brief_in_parts, .ctx = b};

    assert_int_equal(xchg_client_new(&options, &b->client, NULL), ST_OK);
}

static bool heard_all(struct novice *n)
{
    unsigned i;

    for (i = 1; i <= BRIEFED_CLIENTS; i++)
        if (atomic_load(&n->parts[i]) < BRIEF_PARTS)
            return false;
    return atomic_load(&n->calls) > 200;
}

static void no_call_comes_before_the_briefing(void **state)
{
    struct briefed clients[BRIEFED_CLIENTS];
    pthread_t threads[2 * BRIEFED_CLIENTS];
    unsigned i, round, calls = 0;
    struct novice *n;
    char url[URL_SIZE];

    (void)state;
    make_url(url, "ipc:///tmp");
    memset(clients, 0, sizeof(clients));
    for (i = 0; i < BRIEFED_CLIENTS; i++)
        start_briefed(&clients[i], url, i + 1);
    for (i = 0; i < 2 * BRIEFED_CLIENTS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, call_without_end, &clients[i % BRIEFED_CLIENTS]), 0);
    for (round = 0; round < KILLS; round++) {
        n = novice_new(url);
        BUS_UNTIL(heard_all(n), 20000);
        assert_true(heard_all(n));
        xchg_server_free(n->server); /* with calls on their way */
        calls += atomic_load(&n->calls);
        assert_int_equal(atomic_load(&n->early), 0);
        free(n);
    }
    for (i = 0; i < BRIEFED_CLIENTS; i++)
        atomic_store(&clients[i].stop, true);
    for (i = 0; i < 2 * BRIEFED_CLIENTS; i++)
        pthread_join(threads[i], NULL);
    for (i = 0; i < BRIEFED_CLIENTS; i++) {
        assert_true(atomic_load(&clients[i].joins) >= KILLS);
        xchg_client_free(clients[i].client);
    }
    print_message("%d servers, %u calls, none before its briefing\n", KILLS, calls);
}

static void a_briefing_goes_to_one_instance_only(void **state)
{
    struct briefed b = {.joins = 0};
    struct novice *first, *second;
    char url[2][URL_SIZE], both[2 * URL_SIZE];

    (void)state;
    make_url(url[0], "inproc:/");
    make_url(url[1], "inproc:/");
    snprintf(both, sizeof(both), "%s,%s", url[0], url[1]);
    first = novice_new(url[0]);
    start_briefed(&b, both, 1);
    assert_true(bus_ready(b.client, 1, 5000));
    second = novice_new(url[1]);
    assert_true(bus_ready(b.client, 2, 5000));
    BUS_UNTIL(atomic_load(&first->parts[1]) == BRIEF_PARTS, 10000);
    BUS_UNTIL(atomic_load(&second->parts[1]) == BRIEF_PARTS, 10000);
    usleep(20000);
    assert_int_equal(atomic_load(&first->parts[1]), BRIEF_PARTS);
    assert_int_equal(atomic_load(&second->parts[1]), BRIEF_PARTS);
    xchg_client_free(b.client);
    xchg_server_free(first->server);
    xchg_server_free(second->server);
    free(first);
    free(second);
}

static void an_instance_that_was_not_briefed_takes_no_call(void **state)
{
    struct briefed b = {.joins = 0};
    struct novice *n;
    char url[URL_SIZE];

    (void)state;
    make_url(url, "ipc:///tmp");
    n = novice_new(url);
    atomic_store(&b.refuse, true);
    start_briefed(&b, url, 1);
    assert_int_equal(bus_call(b.client, PEER_ECHO, NONE, 500, NULL), ST_TIMEOUT);
    BUS_UNTIL(atomic_load(&b.joins) >= 2, 10000);
    assert_true(atomic_load(&b.joins) >= 2); /* it is tried again, not given up */
    assert_int_equal(xchg_client_ready(b.client), 0);
    atomic_store(&b.refuse, false);
    assert_int_equal(bus_call(b.client, PEER_ECHO, NONE, 5000, NULL), ST_OK);
    assert_int_equal(atomic_load(&n->early), 0);
    assert_int_equal(atomic_load(&n->calls), 1);
    xchg_client_free(b.client);
    xchg_server_free(n->server);
    free(n);
}

static enum status call_while_idle(void)
{
    struct briefed b = {.joins = 0};
    struct xchg_client_options options = {.instance = 1, .joined = brief_in_parts, .ctx = &b, .idle = true};
    struct bus_wait w;
    struct novice *n;
    char url[URL_SIZE];
    enum status st;

    make_url(url, "inproc:/");
    n = novice_new(url);
    options.url = url;
    assert_int_equal(xchg_client_new(&options, &b.client, NULL), ST_OK);
    bus_wait_init(&w, b.client);
    assert_int_equal(bus_open(&w, PEER_ECHO, NONE, 20000, 0), ST_OK);
    usleep(100000);
    assert_int_equal(atomic_load(&b.joins), 0);
    assert_int_equal(atomic_load(&n->calls), 0);
    assert_int_equal(xchg_client_start(b.client, NULL), ST_OK);
    st = bus_wait(&w);
    bus_wait_fini(&w);
    xchg_client_free(b.client);
    xchg_server_free(n->server);
    free(n);
    return st;
}

static void an_idle_client_reaches_nobody_until_it_is_started(void **state)
{
    struct xchg_client_options options = {.instance = 1, .idle = true, .url = "inproc://a,,b"};
    struct xchg_client *c = NULL;
    enum status st = ST_UNAVAILABLE;
    unsigned tries;

    (void)state;
    for (tries = 0; st == ST_UNAVAILABLE && tries < SLOW_TRIES; tries++) /* a call does not wait for ever */
        st = call_while_idle();
    assert_int_equal(st, ST_OK);
    assert_int_equal(xchg_client_new(&options, &c, NULL), ST_OK);
    assert_int_equal(xchg_client_start(c, NULL), ST_BAD_REQUEST);
    xchg_client_free(c);
}

/* ---- gathering
 * ---------------------------------------------------------------------------------------------------------- */

#define GATHERED 20u
#define GATHER_TRIES 5

/* false: a client that asked anew just then took what was gathered so far, as it may. */
static bool gathers(struct bus_peer *p, struct xchg_client *c)
{
    struct xchg_stats before, during, after;
    struct xchg_call *calls[GATHERED];
    struct bus_wait waits[GATHERED];
    uint32_t i, zero = 0;

    for (i = 0; i < GATHERED; i++) {
        bus_wait_init(&waits[i], c);
        assert_int_equal(bus_open(&waits[i], PEER_HOLD, NONE, 20000, 0), ST_OK);
        calls[i] = bus_peer_take_held(p);
        assert_non_null(calls[i]);
    }
    usleep(100000);
    xchg_server_stats(p->server, &before);
    xchg_gather_begin();
    for (i = 0; i < GATHERED; i++)
        assert_int_equal(xchg_send(calls[i], 0, (struct slice){(const char *)&zero, sizeof(zero)}, NULL), ST_OK);
    for (i = 0; i < GATHERED; i++)
        xchg_end(calls[i], ST_OK, NONE);
    usleep(50000);
    xchg_server_stats(p->server, &during);
    xchg_gather_end();
    for (i = 0; i < GATHERED; i++) {
        assert_int_equal(bus_wait(&waits[i]), ST_OK);
        assert_int_equal(waits[i].frames, 1);
        assert_false(waits[i].disordered);
        bus_wait_fini(&waits[i]);
    }
    xchg_server_stats(p->server, &after);
    assert_int_equal(after.frames_sent - before.frames_sent, 2 * GATHERED);
    assert_in_range(after.batches_sent - before.batches_sent, 1, 3);
    return during.frames_sent == before.frames_sent; /* a batch may have gone: an empty answer to a wait */
}

static void what_is_gathered_travels_together(void **state)
{
    struct xchg_client *c;
    struct bus_peer *p;
    char url[URL_SIZE];
    unsigned tries = 0;

    (void)state;
    make_url(url, "ipc:///tmp");
    p = bus_peer_new(url, 0);
    c = bus_client(url);
    while (!gathers(p, c))
        assert_true(++tries < GATHER_TRIES);
    xchg_client_free(c);
    bus_peer_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(orderly_restarts_lose_no_answer),
        cmocka_unit_test(a_server_that_was_away_is_found_soon),
        cmocka_unit_test(what_was_told_before_the_end_arrives),
        cmocka_unit_test(a_server_that_comes_back_is_briefed_before_its_first_call),
        cmocka_unit_test(no_call_comes_before_the_briefing),
        cmocka_unit_test(a_briefing_goes_to_one_instance_only),
        cmocka_unit_test(an_instance_that_was_not_briefed_takes_no_call),
        cmocka_unit_test(an_idle_client_reaches_nobody_until_it_is_started),
        cmocka_unit_test(what_is_gathered_travels_together),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
