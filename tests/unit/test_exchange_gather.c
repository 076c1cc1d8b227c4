/* exchange: what waits a moment so that it travels with others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "services/clock.h"
#include "services/ids.h"
#include "tests/lib/bus_peer.h"

#define URL_SIZE 96
#define S(text) ((struct slice){text, sizeof(text) - 1})
#define NONE ((struct slice){NULL, 0})

/* A fresh address for each test. */
static void make_url(char url[URL_SIZE])
{
    snprintf(url, URL_SIZE, "ipc:///tmp/test_gather.%016llx", (unsigned long long)id_number());
}

#define FOLLOWERS 16u

struct followers {
    struct xchg_client *second;
    atomic_uint opened, ended;
};

static void count_end(void *ctx, enum status st, struct slice payload)
{
    struct followers *f = ctx;

    (void)payload;
    if (st == ST_OK)
        atomic_fetch_add(&f->ended, 1);
}

/* As the gateway does: the answer of one service opens calls at the next. */
static void open_followers(void *ctx, enum status st, struct slice payload)
{
    static const struct xchg_events ends = {.end = count_end};
    struct followers *f = ctx;
    unsigned i;

    (void)payload;
    for (i = 0; i < FOLLOWERS && st == ST_OK; i++) {
        struct xchg_open open = {
            .method = PEER_ECHO, .payload = S("x"), .deadline_ms = 5000, .events = &ends, .ctx = f};
        struct xchg_id id;

        if (xchg_open(f->second, &open, &id) == ST_OK)
            atomic_fetch_add(&f->opened, 1);
    }
}

#define BATCHES 3u /* one, and one or two that ask for the answers */
#define PATIENT_BATCHES 6u

/* Returns how many messages the calls of a callback needed. */
static uint64_t follow(struct xchg_client *first, struct xchg_client *second)
{
    static const struct xchg_events ends = {.end = open_followers};
    struct followers f = {.second = second};
    struct xchg_open open = {.method = PEER_ECHO, .deadline_ms = 5000, .events = &ends, .ctx = &f};
    struct xchg_stats before, after;
    struct xchg_id id;

    xchg_client_stats(second, &before);
    assert_int_equal(xchg_open(first, &open, &id), ST_OK);
    BUS_UNTIL(atomic_load(&f.ended) == FOLLOWERS, 10000);
    xchg_client_stats(second, &after);
    assert_int_equal(atomic_load(&f.opened), FOLLOWERS);
    assert_int_equal(atomic_load(&f.ended), FOLLOWERS);
    assert_int_equal(after.frames_sent - before.frames_sent, FOLLOWERS);
    return after.batches_sent - before.batches_sent;
}

static void what_a_callback_sends_travels_together(void **state)
{
    struct xchg_client *first, *second;
    struct bus_peer *a, *b;
    char url_a[URL_SIZE], url_b[URL_SIZE];
    uint64_t batches = UINT64_MAX;
    unsigned tries;

    (void)state;
    make_url(url_a);
    make_url(url_b);
    a = bus_peer_new(url_a, 0);
    b = bus_peer_new(url_b, 0);
    assert_non_null(a);
    assert_non_null(b);
    first = bus_client(url_a);
    second = bus_client(url_b);
    assert_true(bus_ready(first, 1, 5000));
    assert_true(bus_ready(second, 1, 5000));
    for (tries = 0; batches > BATCHES && tries < SLOW_TRIES; tries++)
        batches = follow(first, second);
    assert_in_range(batches, 1, BATCHES);
    xchg_client_free(second);
    xchg_client_free(first);
    bus_peer_free(a);
    bus_peer_free(b);
}

/* Returns how many messages patient calls needed. */
static uint64_t call_patiently(struct xchg_client *c)
{
    static const struct xchg_events ends = {.end = count_end};
    struct followers f = {.second = c};
    struct xchg_stats before, after;
    unsigned i;

    assert_int_equal(bus_call(c, PEER_ECHO, NONE, 5000, NULL), ST_OK);
    xchg_client_stats(c, &before);
    for (i = 0; i < FOLLOWERS; i++) {
        struct xchg_open open = {
            .method = PEER_ECHO, .payload = S("x"), .deadline_ms = 5000, .patient = true, .events = &ends, .ctx = &f};
        struct xchg_id id;

        assert_int_equal(xchg_open(c, &open, &id), ST_OK);
    }
    /* nobody sends anything more: what waits goes out by itself */
    BUS_UNTIL(atomic_load(&f.ended) == FOLLOWERS, 10000);
    xchg_client_stats(c, &after);
    assert_int_equal(atomic_load(&f.ended), FOLLOWERS);
    return after.batches_sent - before.batches_sent;
}

static void patient_calls_travel_together_and_are_not_forgotten(void **state)
{
    uint64_t batches = UINT64_MAX;
    struct xchg_client *c;
    struct bus_peer *p;
    char url[URL_SIZE];
    unsigned tries;

    (void)state;
    make_url(url);
    p = bus_peer_new(url, 0);
    assert_non_null(p);
    c = bus_client(url);
    assert_true(bus_ready(c, 1, 5000));
    for (tries = 0; batches > PATIENT_BATCHES && tries < SLOW_TRIES; tries++)
        batches = call_patiently(c);
    assert_in_range(batches, 1, PATIENT_BATCHES);
    xchg_client_free(c);
    bus_peer_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_callback_sends_travels_together),
        cmocka_unit_test(patient_calls_travel_together_and_are_not_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
