/* exchange: calls, streams, windows, cancel, deadlines, draining, choice of an instance. Loss and hostile peers:
 * test_exchange_faults.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "services/bus/transport.h"
#include "services/clock.h"
#include "services/ids.h"
#include "tests/lib/bus_peer.h"

#define URL_SIZE 96
#define FORGOTTEN_MS 300 /* a server has looked through its clients by then */
#define S(text) ((struct slice){text, sizeof(text) - 1})
#define NONE ((struct slice){NULL, 0})

/* A fresh address of a transport for each test. */
static void make_url(char url[URL_SIZE], const char *transport)
{
    unsigned long long n = (unsigned long long)id_number();

    if (strcmp(transport, "ipc") == 0)
        snprintf(url, URL_SIZE, "ipc:///tmp/test_exchange.%016llx", n);
    else if (strcmp(transport, "tcp") == 0)
        snprintf(url, URL_SIZE, "tcp://127.0.0.1:%u", (unsigned)(20000 + n % 20000));
    else
        snprintf(url, URL_SIZE, "inproc://test_exchange.%016llx", n);
}

/* ---- plain calls
 * -------------------------------------------------------------------------------------------------------- */

static void calls_over(const char *transport)
{
    struct bus_peer *p = NULL;
    struct xchg_client *c;
    struct bus_wait w;
    char url[URL_SIZE];
    int tries;

    for (tries = 0; !p && tries < 5; tries++) { /* a port may be taken */
        make_url(url, transport);
        p = bus_peer_new(url, 0);
    }
    assert_non_null(p);
    c = bus_client(url);
    assert_non_null(c);
    assert_int_equal(bus_call(c, PEER_ECHO, S("hello"), 5000, &w), ST_OK);
    assert_int_equal(w.n, 5);
    assert_memory_equal(w.payload, "hello", 5);
    assert_int_equal(bus_call(c, PEER_ECHO, NONE, 5000, &w), ST_OK);
    assert_int_equal(w.n, 0);
    assert_int_equal(bus_call(c, PEER_FAIL, S("no"), 5000, &w), ST_NO_FUNDS);
    assert_memory_equal(w.payload, "no", 2);
    assert_int_equal(xchg_server_open_calls(p->server), 0);
    xchg_client_free(c);
    bus_peer_free(p);
}

static void calls_are_answered_over_inproc(void **state)
{
    (void)state;
    calls_over("inproc");
}

static void calls_are_answered_over_ipc(void **state)
{
    (void)state;
    calls_over("ipc");
}

static void calls_are_answered_over_tcp(void **state)
{
    (void)state;
    calls_over("tcp");
}

static enum status call_before_the_server(const char *transport)
{
    char url[URL_SIZE];
    struct bus_wait w;
    struct xchg_client *c;
    struct bus_peer *p;
    enum status st;

    make_url(url, transport);
    c = bus_client(url);
    bus_wait_init(&w, c);
    assert_int_equal(bus_open(&w, PEER_ECHO, S("early"), 10000, 0), ST_OK);
    usleep(100000);
    p = bus_peer_new(url, 0);
    assert_non_null(p);
    st = bus_wait(&w);
    if (st == ST_OK)
        assert_memory_equal(w.payload, "early", 5);
    bus_wait_fini(&w);
    xchg_client_free(c);
    bus_peer_free(p);
    return st;
}

/* It waits for XCHG_CONNECT_WAIT_MS, in which a busy machine may not start the server. */
static void a_call_waits_for_a_server_that_comes_later(void **state)
{
    static const char *const transports[] = {"inproc", "ipc"};
    unsigned i;

    (void)state;
    for (i = 0; i < 2; i++) {
        enum status st = ST_UNAVAILABLE;
        unsigned tries;

        for (tries = 0; st == ST_UNAVAILABLE && tries < SLOW_TRIES; tries++)
            st = call_before_the_server(transports[i]);
        assert_int_equal(st, ST_OK);
    }
}

/* A call that nobody answers ends so, never sooner than least_ms, and after most_ms unless the machine is busy. */
static void ends_in_time(struct xchg_client *c, uint64_t deadline_ms, enum status st, uint64_t least_ms,
                         uint64_t most_ms)
{
    uint64_t took = UINT64_MAX;
    unsigned tries;

    for (tries = 0; took > most_ms && tries < SLOW_TRIES; tries++) {
        uint64_t began = clock_ms();

        assert_int_equal(bus_call(c, PEER_ECHO, NONE, deadline_ms, NULL), st);
        took = clock_ms() - began;
        assert_true(took >= least_ms);
    }
    assert_in_range(took, least_ms, most_ms);
}

static void without_a_server_a_call_is_unavailable_or_out_of_time(void **state)
{
    struct xchg_client *c;
    char url[URL_SIZE];

    (void)state;
    make_url(url, "ipc");
    c = bus_client(url);
    ends_in_time(c, 200, ST_TIMEOUT, 200, slow_ms(400));
    ends_in_time(c, 10000, ST_UNAVAILABLE, XCHG_CONNECT_WAIT_MS, XCHG_CONNECT_WAIT_MS + slow_ms(300));
    assert_int_equal(xchg_tell(c, PEER_ECHO, NONE), ST_UNAVAILABLE);
    xchg_client_free(c);
}

static void large_payloads_pass_and_too_large_ones_are_refused(void **state)
{
    size_t n = WIRE_MESSAGE_MAX;
    char *bytes = malloc(n + 1), url[URL_SIZE];
    struct bus_peer *p;
    struct xchg_client *c;
    struct bus_wait w;

    (void)state;
    assert_non_null(bytes);
    memset(bytes, 'x', n + 1);
    make_url(url, "ipc");
    p = bus_peer_new(url, 0);
    c = bus_client(url);
    assert_int_equal(bus_call(c, PEER_ECHO, (struct slice){bytes, n}, 20000, &w), ST_OK);
    assert_true(w.n == n);
    assert_int_equal(bus_call(c, PEER_ECHO, (struct slice){bytes, n + 1}, 20000, NULL), ST_TOO_LARGE);
    assert_int_equal(bus_call(c, PEER_ECHO, S("still"), 5000, NULL), ST_OK);
    xchg_client_free(c);
    bus_peer_free(p);
    free(bytes);
}

/* ---- load
 * --------------------------------------------------------------------------------------------------------------- */

#define CALLERS 64
#define CALLS_EACH 300

struct caller {
    pthread_t thread;
    struct xchg_client *client;
    unsigned number, wrong;
};

static void *make_calls(void *arg)
{
    struct caller *me = arg;
    unsigned i;

    for (i = 0; i < CALLS_EACH; i++) {
        struct bus_wait w;
        char text[64];
        int n = snprintf(text, sizeof(text), "caller %u call %u", me->number, i);

        if (bus_call(me->client, PEER_ECHO, (struct slice){text, (size_t)n}, 20000, &w) != ST_OK || w.n != (size_t)n ||
            memcmp(w.payload, text, (size_t)n) != 0 || w.ended != 1)
            me->wrong++;
    }
    return NULL;
}

static void batches_form_under_load(void **state)
{
    struct caller callers[CALLERS];
    struct xchg_stats client, server;
    struct xchg_client *c;
    struct bus_peer *p;
    char url[URL_SIZE];
    unsigned i;

    (void)state;
    make_url(url, "ipc");
    p = bus_peer_new(url, 0);
    c = bus_client(url);
    assert_true(bus_ready(c, 1, 5000));
    for (i = 0; i < CALLERS; i++) {
        callers[i] = (struct caller){.client = c, .number = i};
        assert_int_equal(pthread_create(&callers[i].thread, NULL, make_calls, &callers[i]), 0);
    }
    for (i = 0; i < CALLERS; i++) {
        pthread_join(callers[i].thread, NULL);
        assert_int_equal(callers[i].wrong, 0);
    }
    xchg_client_stats(c, &client);
    xchg_server_stats(p->server, &server);
    assert_int_equal(atomic_load(&p->handled), CALLERS * CALLS_EACH);
    assert_int_equal(client.frames_sent, CALLERS * CALLS_EACH);
    assert_int_equal(client.frames_received, CALLERS * CALLS_EACH);
    assert_int_equal(server.frames_received, client.frames_sent);
    assert_true(client.batches_sent * 3 < client.frames_sent);
    assert_int_equal(client.malformed + server.malformed + client.lost + server.lost, 0);
    assert_int_equal(xchg_server_open_calls(p->server), 0);
    xchg_client_free(c);
    bus_peer_free(p);
}

/* ---- streams
 * ------------------------------------------------------------------------------------------------------------ */

#define STREAM_FRAMES 3000
#define STREAMS 16

struct sender {
    pthread_t thread;
    struct bus_peer *peer;
    struct xchg_call *call;
    unsigned frames, refused;
};

/* Frames of changing size that begin with their number; waits for room as a service would. */
static void *send_stream(void *arg)
{
    struct sender *me = arg;
    char bytes[2048];
    uint32_t i;

    memset(bytes, 's', sizeof(bytes));
    for (i = 0; i < me->frames; i++) {
        int64_t room = 1;
        enum status st;

        memcpy(bytes, &i, sizeof(i));
        st = xchg_send(me->call, 7, (struct slice){bytes, 4 + i * 37 % 1500}, &room);
        if (st != ST_OK)
            me->refused++;
        if (st == ST_TOO_LARGE)
            i--;
        if (st == ST_OK && room > 0)
            continue;
        pthread_mutex_lock(&me->peer->lock);
        transport_cond_wait_until(&me->peer->changed, &me->peer->lock, clock_ms() + 5);
        pthread_mutex_unlock(&me->peer->lock);
    }
    xchg_end(me->call, ST_OK, S("done"));
    return NULL;
}

static void streams_keep_their_order_and_bytes(void **state)
{
    struct sender senders[STREAMS];
    struct bus_wait waits[STREAMS];
    struct xchg_client *c;
    struct bus_peer *p;
    char url[URL_SIZE];
    unsigned i;

    (void)state;
    make_url(url, "ipc");
    p = bus_peer_new(url, 0);
    c = bus_client(url);
    for (i = 0; i < STREAMS; i++) {
        bus_wait_init(&waits[i], c);
        assert_int_equal(bus_open(&waits[i], PEER_HOLD, NONE, 60000, 8192), ST_OK);
        senders[i] = (struct sender){.peer = p, .call = bus_peer_take_held(p), .frames = STREAM_FRAMES};
        assert_non_null(senders[i].call);
        assert_int_equal(pthread_create(&senders[i].thread, NULL, send_stream, &senders[i]), 0);
    }
    for (i = 0; i < STREAMS; i++) {
        pthread_join(senders[i].thread, NULL);
        assert_int_equal(bus_wait(&waits[i]), ST_OK);
        assert_int_equal(waits[i].frames, STREAM_FRAMES);
        assert_false(waits[i].disordered);
        assert_false(waits[i].overlapped);
        assert_int_equal(waits[i].n, 4);
        bus_wait_fini(&waits[i]);
    }
    xchg_client_free(c);
    bus_peer_free(p);
}

static void a_reader_that_stops_stops_the_sender(void **state)
{
    const uint32_t window = 10000;
    char bytes[3000] = {0}, url[URL_SIZE];
    struct xchg_call *call;
    struct xchg_client *c;
    struct bus_peer *p;
    struct bus_wait w;
    int64_t room = 0;
    unsigned sent = 0;

    (void)state;
    make_url(url, "inproc");
    p = bus_peer_new(url, 0);
    c = bus_client(url);
    bus_wait_init(&w, c);
    w.take = false;
    w.no_check = true;
    assert_int_equal(bus_open(&w, PEER_HOLD, NONE, 60000, window), ST_OK);
    call = bus_peer_take_held(p);
    while (sent < 100 && xchg_send(call, 0, (struct slice){bytes, sizeof(bytes)}, &room) == ST_OK)
        sent++;
    assert_int_equal(sent, 4); /* three fit, the fourth overdraws, the fifth is refused */
    assert_true(room < 0);
    assert_true(bus_wait_frames(&w, 4, 5000));
    usleep(20000);
    assert_int_equal(atomic_load(&p->windows), 0);
    xchg_window(c, w.id, 1000); /* less than half of the window: not told yet */
    usleep(20000);
    assert_int_equal(xchg_send(call, 0, (struct slice){bytes, sizeof(bytes)}, &room), ST_TOO_LARGE);
    xchg_window(c, w.id, 11000);
    BUS_UNTIL(atomic_load(&p->windows) == 1, 10000);
    assert_int_equal(atomic_load(&p->windows), 1);
    assert_int_equal(xchg_send(call, 0, (struct slice){bytes, sizeof(bytes)}, &room), ST_OK);
    assert_int_equal(room, (int64_t)window - 3000);
    xchg_end(call, ST_OK, NONE);
    assert_int_equal(bus_wait(&w), ST_OK);
    assert_int_equal(w.frames, 5);
    bus_wait_fini(&w);
    xchg_client_free(c);
    bus_peer_free(p);
}

/* ---- cancel and deadline
 * ------------------------------------------------------------------------------------------------ */

#define CANCEL_NS 50000000u

/* Returns how long it took until the server knew. */
static uint64_t cancel_one(struct xchg_client *c, struct bus_peer *p)
{
    unsigned before = atomic_load(&p->cancels);
    struct bus_wait w;
    uint64_t began;

    bus_wait_init(&w, c);
    assert_int_equal(bus_open(&w, PEER_HOLD, NONE, 60000, 0), ST_OK);
    BUS_UNTIL(xchg_server_open_calls(p->server) == 1, 10000);
    began = clock_ns();
    xchg_cancel(c, w.id);
    assert_int_equal(bus_wait(&w), ST_CANCELLED);
    BUS_UNTIL(atomic_load(&p->cancels) == before + 1, 10000);
    BUS_UNTIL(xchg_server_open_calls(p->server) == 0, 10000);
    xchg_cancel(c, w.id); /* harmless after the end, and so is this */
    xchg_window(c, w.id, 100);
    assert_int_equal(bus_call(c, PEER_ECHO, NONE, 5000, NULL), ST_OK);
    assert_int_equal(w.ended, 1);
    assert_int_equal(atomic_load(&p->cancels), before + 1);
    bus_wait_fini(&w);
    return atomic_load(&p->cancelled_ns) - began;
}

static void cancel_reaches_the_server_at_once(void **state)
{
    uint64_t took = UINT64_MAX;
    struct xchg_client *c;
    struct bus_peer *p;
    char url[URL_SIZE];
    unsigned tries;

    (void)state;
    make_url(url, "ipc");
    p = bus_peer_new(url, 0);
    c = bus_client(url);
    for (tries = 0; took > CANCEL_NS && tries < SLOW_TRIES; tries++)
        took = cancel_one(c, p);
    assert_in_range(took, 0, CANCEL_NS);
    xchg_client_free(c);
    bus_peer_free(p);
}

static void after_a_cancel_nothing_is_sent(void **state)
{
    struct xchg_call *call;
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
    call = bus_peer_take_held(p);
    xchg_cancel(c, w.id);
    BUS_UNTIL(atomic_load(&p->cancels) == 1, 10000);
    assert_int_equal(xchg_send(call, 0, S("late"), NULL), ST_CANCELLED);
    xchg_end(call, ST_OK, S("late"));
    assert_int_equal(bus_wait(&w), ST_CANCELLED);
    assert_int_equal(w.frames, 0);
    bus_wait_fini(&w);
    xchg_client_free(c);
    bus_peer_free(p);
}

#define DEADLINE_MS 150u

/* Whether all went as quickly as it does when the machine is not busy. */
static bool deadline_ends_one(struct xchg_client *c, struct bus_peer *p)
{
    unsigned before = atomic_load(&p->cancels);
    uint64_t began = clock_ms(), left = 0, took;
    struct xchg_call *call;
    struct bus_wait w;

    bus_wait_init(&w, c);
    assert_int_equal(bus_open(&w, PEER_HOLD, NONE, DEADLINE_MS, 0), ST_OK);
    BUS_UNTIL(bus_peer_held(p) == 1 || atomic_load(&p->cancels) > before, 10000);
    call = bus_peer_held(p) ? bus_peer_take_held(p) : NULL;
    if (call) { /* else it was over before it could be looked at */
        left = xchg_remaining_ms(call);
        assert_in_range(left, 0, DEADLINE_MS);
        assert_true(xchg_peer(call) != 0);
    }
    assert_int_equal(bus_wait(&w), ST_TIMEOUT);
    took = clock_ms() - began;
    assert_true(took >= DEADLINE_MS);
    BUS_UNTIL(atomic_load(&p->cancels) == before + 1, 10000);
    assert_int_equal(atomic_load(&p->cancels), before + 1);
    if (call) {
        assert_int_equal(xchg_remaining_ms(call), 0);
        xchg_end(call, ST_OK, NONE);
    }
    bus_wait_fini(&w);
    return left >= 50 && took <= slow_ms(250);
}

static void a_deadline_ends_the_call_on_both_sides(void **state)
{
    struct xchg_client *c;
    struct bus_peer *p;
    char url[URL_SIZE];
    unsigned tries;

    (void)state;
    make_url(url, "ipc");
    p = bus_peer_new(url, 0);
    c = bus_client(url);
    assert_true(bus_ready(c, 1, 5000));
    for (tries = 0; !deadline_ends_one(c, p); tries++)
        assert_true(tries < SLOW_TRIES);
    xchg_client_free(c);
    bus_peer_free(p);
}

/* ---- several instances
 * -------------------------------------------------------------------------------------------------- */

struct pair {
    struct bus_peer *a, *b;
    struct xchg_client *client;
};

static void pair_new(struct pair *pair)
{
    char a[URL_SIZE], b[URL_SIZE], both[2 * URL_SIZE];

    make_url(a, "inproc");
    make_url(b, "ipc");
    snprintf(both, sizeof(both), "%s,%s", a, b);
    pair->a = bus_peer_new(a, 1001);
    pair->b = bus_peer_new(b, 1002);
    pair->client = bus_client(both);
    assert_non_null(pair->client);
    assert_true(bus_ready(pair->client, 2, 5000));
}

static void pair_free(struct pair *pair)
{
    xchg_client_free(pair->client);
    bus_peer_free(pair->a);
    bus_peer_free(pair->b);
}

static void end_quietly(void *ctx, enum status st, struct slice payload)
{
    (void)payload;
    if (st == ST_OK)
        atomic_fetch_add((atomic_uint *)ctx, 1);
}

#define QUICKER_CALLS 400u
#define QUICKER_OPEN 8u /* so many at once: when the machine stands still, so do the calls */

static void the_quicker_instance_gets_more(void **state)
{
    static const struct xchg_events events = {.end = end_quietly};
    struct xchg_open open = {.method = PEER_SLOW, .deadline_ms = 20000, .events = &events};
    atomic_uint done = 0;
    struct xchg_id id;
    struct pair pair;
    unsigned i;

    (void)state;
    pair_new(&pair);
    pair.a->delay_ms = 300;
    pair.b->delay_ms = 1;
    open.ctx = &done;
    for (i = 0; i < QUICKER_CALLS; i++) {
        BUS_UNTIL(i - atomic_load(&done) < QUICKER_OPEN, 20000);
        assert_int_equal(xchg_open(pair.client, &open, &id), ST_OK);
    }
    BUS_UNTIL(atomic_load(&done) == QUICKER_CALLS, 20000);
    assert_int_equal(atomic_load(&done), QUICKER_CALLS);
    assert_int_equal(atomic_load(&pair.a->handled) + atomic_load(&pair.b->handled), QUICKER_CALLS);
    assert_true(atomic_load(&pair.b->handled) > 4 * atomic_load(&pair.a->handled));
    pair_free(&pair);
}

static void an_instance_can_be_avoided_if_there_is_another(void **state)
{
    static const struct xchg_events events = {.end = end_quietly};
    struct xchg_open open = {.method = PEER_ECHO, .deadline_ms = 5000, .avoid = 1001, .events = &events};
    atomic_uint done = 0;
    struct pair pair;
    struct xchg_id id;
    unsigned i;

    (void)state;
    pair_new(&pair);
    open.ctx = &done;
    for (i = 0; i < 50; i++)
        assert_int_equal(xchg_open(pair.client, &open, &id), ST_OK);
    BUS_UNTIL(atomic_load(&done) == 50, 5000);
    assert_int_equal(atomic_load(&pair.a->handled), 0);
    assert_int_equal(atomic_load(&pair.b->handled), 50);
    bus_peer_free(pair.b);
    pair.b = NULL;
    assert_true(bus_ready(pair.client, 1, 5000));
    assert_int_equal(xchg_open(pair.client, &open, &id), ST_OK);
    BUS_UNTIL(atomic_load(&done) == 51, 5000);
    assert_int_equal(atomic_load(&pair.a->handled), 1);
    pair_free(&pair);
}

#define TOLD_MS 2000u /* a client that is not told would learn it when its wait is answered, after XCHG_WAIT_MS */

static void a_draining_instance_gets_no_new_calls(void **state)
{
    struct bus_wait held;
    struct pair pair;
    unsigned i, before;

    (void)state;
    pair_new(&pair);
    bus_wait_init(&held, pair.client);
    do { /* until one is open at a */
        assert_int_equal(bus_open(&held, PEER_HOLD, NONE, 20000, 0), ST_OK);
        BUS_UNTIL(bus_peer_held(pair.a) + bus_peer_held(pair.b) > 0, 10000);
        if (bus_peer_held(pair.b)) {
            bus_peer_end_held(pair.b, ST_OK);
            bus_wait(&held);
            held.ended = 0;
        }
    } while (!bus_peer_held(pair.a));
    xchg_server_drain(pair.a->server);
    assert_true(bus_ready(pair.client, 1, TOLD_MS));
    before = atomic_load(&pair.a->handled);
    for (i = 0; i < 50; i++)
        assert_int_equal(bus_call(pair.client, PEER_ECHO, NONE, 5000, NULL), ST_OK);
    assert_int_equal(atomic_load(&pair.a->handled), before);
    bus_peer_end_held(pair.a, ST_OK); /* what was open goes on */
    assert_int_equal(bus_wait(&held), ST_OK);
    xchg_server_drain(pair.b->server);
    assert_true(bus_ready(pair.client, 0, TOLD_MS));
    assert_int_equal(bus_call(pair.client, PEER_ECHO, NONE, 20000, NULL), ST_UNAVAILABLE);
    bus_wait_fini(&held);
    pair_free(&pair);
}

static void what_is_told_goes_to_all_before_later_calls(void **state)
{
    struct pair pair;
    unsigned i;

    (void)state;
    pair_new(&pair);
    for (i = 1; i <= 100; i++) {
        char text[16];
        int n = snprintf(text, sizeof(text), "%u", i);
        unsigned a, b;

        assert_int_equal(xchg_tell(pair.client, PEER_ECHO, (struct slice){text, (size_t)n}), ST_OK);
        assert_int_equal(bus_call(pair.client, PEER_ECHO, NONE, 5000, NULL), ST_OK);
        a = atomic_load(&pair.a->one_way);
        b = atomic_load(&pair.b->one_way);
        assert_true(a == i || b == i); /* the one that answered the call */
    }
    BUS_UNTIL(atomic_load(&pair.a->one_way) == 100 && atomic_load(&pair.b->one_way) == 100, 10000);
    assert_int_equal(atomic_load(&pair.a->one_way), 100);
    assert_int_equal(atomic_load(&pair.b->one_way), 100);
    assert_string_equal(pair.a->last_told, "100");
    assert_string_equal(pair.b->last_told, "100");
    BUS_UNTIL(xchg_server_open_calls(pair.a->server) + xchg_server_open_calls(pair.b->server) == 0, 10000);
    assert_int_equal(xchg_server_open_calls(pair.a->server) + xchg_server_open_calls(pair.b->server), 0);
    pair_free(&pair);
}

static void a_name_is_looked_up(void **state)
{
    struct bus_peer *p = NULL;
    struct xchg_client *c;
    char url[URL_SIZE];
    unsigned port;

    (void)state;
    for (port = 21000; !p && port < 21050; port++) {
        snprintf(url, sizeof(url), "tcp://127.0.0.1:%u", port);
        p = bus_peer_new(url, 0);
    }
    assert_non_null(p);
    snprintf(url, sizeof(url), "tcp://localhost:%u", port - 1);
    c = bus_client(url);
    assert_non_null(c);
    assert_int_equal(bus_call(c, PEER_ECHO, NONE, 5000, NULL), ST_OK);
    xchg_client_free(c);
    bus_peer_free(p);
}

static void a_bad_address_is_refused(void **state)
{
    static const char *const bad[] = {"", ",", "inproc://a,,inproc://b", "nonsense", "ftp://x:1"};
    struct xchg_client_options options = {.instance = 1};
    struct xchg_client *c = NULL;
    struct err err = {.status = ST_OK};
    unsigned i;

    (void)state;
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        options.url = bad[i];
        assert_int_not_equal(xchg_client_new(&options, &c, &err), ST_OK);
        assert_null(c);
        assert_true(err.text[0] != '\0');
    }
    assert_null(bus_peer_new("nonsense", 0));
}

/* ---- the end
 * ------------------------------------------------------------------------------------------------------------ */

static void freeing_a_client_ends_its_calls(void **state)
{
    struct bus_wait waits[50], nowhere;
    struct xchg_client *c, *lonely;
    struct bus_peer *p;
    char url[URL_SIZE];
    unsigned i;

    (void)state;
    make_url(url, "ipc");
    p = bus_peer_new(url, 0);
    c = bus_client(url);
    for (i = 0; i < 50; i++) {
        bus_wait_init(&waits[i], c);
        assert_int_equal(bus_open(&waits[i], PEER_HOLD, NONE, 60000, 0), ST_OK);
    }
    BUS_UNTIL(xchg_server_open_calls(p->server) == 50, 10000);
    xchg_client_free(c);
    for (i = 0; i < 50; i++) {
        assert_int_equal(waits[i].ended, 1);
        assert_int_equal(waits[i].st, ST_CANCELLED);
        bus_wait_fini(&waits[i]);
    }
    BUS_UNTIL(xchg_server_open_calls(p->server) == 0, 10000); /* the server was told as well */
    assert_int_equal(xchg_server_open_calls(p->server), 0);
    bus_peer_free(p);
    lonely = bus_client(url);
    bus_wait_init(&nowhere, lonely);
    assert_int_equal(bus_open(&nowhere, PEER_ECHO, NONE, 60000, 0), ST_OK);
    xchg_client_free(lonely);
    assert_int_equal(nowhere.st, ST_CANCELLED);
    bus_wait_fini(&nowhere);
}

static void a_call_may_end_after_its_server_is_gone(void **state)
{
    struct bus_wait w;
    struct xchg_client *c;
    struct xchg_call *call;
    struct bus_peer *p;
    char url[URL_SIZE];

    (void)state;
    make_url(url, "inproc");
    p = bus_peer_new(url, 0);
    c = bus_client(url);
    bus_wait_init(&w, c);
    assert_int_equal(bus_open(&w, PEER_HOLD, NONE, 60000, 0), ST_OK);
    call = bus_peer_take_held(p);
    assert_non_null(call);
    bus_peer_free(p);
    assert_int_equal(xchg_send(call, 0, S("x"), NULL), ST_CANCELLED);
    xchg_end(call, ST_OK, NONE);
    assert_int_equal(bus_wait(&w), ST_PEER_LOST);
    bus_wait_fini(&w);
    xchg_client_free(c);
}

/* The server has forgotten the client when it is freed, and its call is still open. */
static void a_call_may_end_after_its_client_and_then_its_server_are_gone(void **state)
{
    struct xchg_client *c;
    struct xchg_call *call;
    struct xchg_stats stats;
    struct bus_wait w;
    struct bus_peer *p;
    char url[URL_SIZE];

    (void)state;
    make_url(url, "inproc");
    p = bus_peer_new(url, 0);
    c = bus_client(url);
    bus_wait_init(&w, c);
    assert_int_equal(bus_open(&w, PEER_HOLD, NONE, 60000, 0), ST_OK);
    call = bus_peer_take_held(p);
    assert_non_null(call);
    xchg_client_free(c);
    bus_wait_fini(&w);
    do
        xchg_server_stats(p->server, &stats);
    while (stats.lost == 0);
    nng_msleep(FORGOTTEN_MS);
    assert_int_equal(xchg_server_open_calls(p->server), 1);
    bus_peer_free(p);
    assert_int_equal(xchg_send(call, 0, S("x"), NULL), ST_CANCELLED);
    xchg_end(call, ST_OK, NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_are_answered_over_inproc),
        cmocka_unit_test(calls_are_answered_over_ipc),
        cmocka_unit_test(calls_are_answered_over_tcp),
        cmocka_unit_test(a_call_waits_for_a_server_that_comes_later),
        cmocka_unit_test(without_a_server_a_call_is_unavailable_or_out_of_time),
        cmocka_unit_test(large_payloads_pass_and_too_large_ones_are_refused),
        cmocka_unit_test(batches_form_under_load),
        cmocka_unit_test(streams_keep_their_order_and_bytes),
        cmocka_unit_test(a_reader_that_stops_stops_the_sender),
        cmocka_unit_test(cancel_reaches_the_server_at_once),
        cmocka_unit_test(after_a_cancel_nothing_is_sent),
        cmocka_unit_test(a_deadline_ends_the_call_on_both_sides),
        cmocka_unit_test(the_quicker_instance_gets_more),
        cmocka_unit_test(an_instance_can_be_avoided_if_there_is_another),
        cmocka_unit_test(a_draining_instance_gets_no_new_calls),
        cmocka_unit_test(what_is_told_goes_to_all_before_later_calls),
        cmocka_unit_test(a_name_is_looked_up),
        cmocka_unit_test(a_bad_address_is_refused),
        cmocka_unit_test(freeing_a_client_ends_its_calls),
        cmocka_unit_test(a_call_may_end_after_its_server_is_gone),
        cmocka_unit_test(a_call_may_end_after_its_client_and_then_its_server_are_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
