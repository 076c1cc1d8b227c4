/* Which route and which key a call takes, and when a provider is left alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "providersvc/breaker.h"
#include "providersvc/completion.h"
#include "services/clock.h"
#include "services/seal.h"
#include "tests/lib/slow.h"
#include "tests/unit/routing_world.h"

#define AT_ONCE 40 /* calls that run at the same time */

static void put_all(struct routing *r, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        routing_put(r, i, 1, NULL);
}

static void does(struct routing *r, unsigned side, enum does what, int status)
{
    atomic_store(&r->sides[side].status, status);
    atomic_store(&r->sides[side].does, what);
}

/* n calls, AT_ONCE at a time; how many each provider answered, and how many ended otherwise (in *ret_bad). */
static void many(struct routing *r, struct completion_req *req, unsigned n, unsigned by[ROUTING_SIDES],
                 unsigned *ret_bad)
{
    struct answered *a = calloc(AT_ONCE, sizeof(*a));

    assert_non_null(a);
    memset(by, 0, ROUTING_SIDES * sizeof(by[0]));
    *ret_bad = 0;
    for (unsigned done = 0; done < n; done += AT_ONCE) {
        unsigned part = n - done < AT_ONCE ? n - done : AT_ONCE;

        for (unsigned i = 0; i < part; i++)
            provider_world_open(&r->w, req, 20000, &a[i]);
        for (unsigned i = 0; i < part; i++) {
            assert_true(answered_wait(&a[i], 22000));
            if (a[i].status == ST_OK && a[i].http_status == 200)
                by[a[i].provider[0] - 'a']++;
            else
                ++*ret_bad;
            answered_fini(&a[i]);
        }
    }
    free(a);
}

/* ---- choosing ------------------------------------------------------------------------------------------------------
 */

static void the_lowest_tier_that_is_served_comes_first(void **state)
{
    struct catalog_provider off = {.disabled = true};
    struct routing *r = *state;
    struct completion_req req;
    unsigned by[ROUTING_SIDES], bad;

    put_all(r, 3);
    routing_request(r, &req, "abc", false);
    r->routes[0].tier = 9;
    r->routes[1].tier = 3;
    r->routes[2].tier = 3;
    many(r, &req, 100, by, &bad);
    assert_int_equal(bad, 0);
    assert_int_equal(by[0], 0);
    assert_true(by[1] > 20 && by[2] > 20);
    routing_put(r, 1, 1, &off);
    many(r, &req, 40, by, &bad);
    assert_int_equal(by[2], 40);
    routing_drop(r, 2);
    many(r, &req, 40, by, &bad);
    assert_int_equal(by[0], 40);
    routing_put(r, 1, 1, NULL); /* it is back */
    many(r, &req, 40, by, &bad);
    assert_int_equal(by[1], 40);
}

/* 6 : 3 : 1 (absent = 1); a thousand calls, five times the standard deviation. */
static void weights_share_the_calls(void **state)
{
    struct routing *r = *state;
    struct completion_req req;
    unsigned by[ROUTING_SIDES], bad;

    put_all(r, 3);
    routing_request(r, &req, "abc", false);
    r->routes[0].weight = 6;
    r->routes[1].weight = 3;
    r->routes[2].weight = 0;
    many(r, &req, 1000, by, &bad);
    assert_int_equal(bad, 0);
    assert_in_range(by[0], 600 - 77, 600 + 77);
    assert_in_range(by[1], 300 - 72, 300 + 72);
    assert_in_range(by[2], 100 - 47, 100 + 47);
}

static void by_latency_the_fastest_is_found_and_kept(void **state)
{
    struct routing *r = *state;
    struct completion_req req;
    unsigned seen, others, tries = 0;

    put_all(r, 3);
    atomic_store(&r->sides[0].delay_ms, 60);
    atomic_store(&r->sides[1].delay_ms, 5);
    atomic_store(&r->sides[2].delay_ms, 60);
    routing_request(r, &req, "abc", false);
    req.by_latency = true;
    do { /* a machine that is busy makes the fastest one slow, or takes so long that the others are looked at again */
        assert_true(tries++ < SLOW_TRIES);
        seen = routing_seen(r, 1);
        others = routing_seen(r, 0) + routing_seen(r, 2);
        for (int i = 0; i < 30; i++) {
            struct meter_fake_event ev;
            struct answered a = {0};

            routing_call(r, &req, &a, &ev);
            assert_int_equal(a.status, ST_OK);
            answered_fini(&a);
        }
        seen = routing_seen(r, 1) - seen;
        assert_true(routing_seen(r, 0) >= 1 && routing_seen(r, 2) >= 1); /* their pace was found out */
        assert_int_equal(routing_seen(r, 0) + routing_seen(r, 2), others + 30 - seen);
    } while (seen < 27);
}

static void a_slow_unknown_one_gets_no_more_than_a_call(void **state)
{
    struct routing *r = *state;
    struct completion_req req;
    unsigned by[ROUTING_SIDES], bad;

    put_all(r, 2);
    routing_good(r, "b", false, "b");
    usleep(1100000); /* nobody is asked twice within a second */
    does(r, 0, DOES_ANSWER, 0);
    atomic_store(&r->sides[0].delay_ms, 700);
    routing_request(r, &req, "ab", false);
    req.by_latency = true;
    many(r, &req, AT_ONCE, by, &bad);
    assert_int_equal(by[0], 1);
    assert_int_equal(by[1], AT_ONCE - 1);
}

static void names_that_nobody_serves(void **state)
{
    struct routing *r = *state;
    struct completion_req req;
    struct meter_fake_event ev;
    struct answered a = {0};

    put_all(r, 1);
    routing_good(r, "xaz", false, "a");
    routing_request(r, &req, "xz", false);
    routing_call(r, &req, &a, &ev);
    assert_int_equal(a.status, ST_UNAVAILABLE);
    assert_int_equal(a.err.retry_after_ms, 0);
    answered_fini(&a);
}

/* ---- keys ----------------------------------------------------------------------------------------------------------
 */

/* Two of them above all: looking for a route must not take a turn. */
static void keys_take_turns(void **state)
{
    struct routing *r = *state;
    struct completion_req req;
    unsigned by[ROUTING_SIDES], bad;

    for (unsigned n = 1; n <= ROUTING_KEYS; n++) {
        routing_put(r, 0, n, NULL);
        for (unsigned k = 0; k <= ROUTING_KEYS; k++)
            atomic_store(&r->sides[0].by_key[k], 0);
        routing_request(r, &req, "a", false);
        many(r, &req, 12 * n, by, &bad);
        assert_int_equal(bad, 0);
        for (unsigned k = 1; k <= ROUTING_KEYS; k++)
            assert_int_equal(atomic_load(&r->sides[0].by_key[k]), k <= n ? 12 : 0);
    }
    assert_int_equal(atomic_load(&r->sides[0].by_key[0]), 0);
}

static void one_bad_key_of_three_costs_nobody_an_answer(void **state)
{
    static const int statuses[] = {401, 403, 402, 429};
    struct routing *r = *state;

    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        routing_put(r, 0, 3, NULL); /* what was learned about its keys is forgotten with the old ones */
        atomic_store(&r->sides[0].by_key[2], 0);
        atomic_store(&r->sides[0].lines, "Retry-After: 30\r\n");
        atomic_store(&r->sides[0].bad_key, "sk-2");
        atomic_store(&r->sides[0].status, statuses[i]);
        for (int k = 0; k < 12; k++)
            routing_good(r, "a", k % 2 == 0, "a");
        assert_int_equal(atomic_load(&r->sides[0].by_key[2]), 1);
    }
}

static void an_operators_empty_account_is_no_limit_of_the_clients(void **state)
{
    struct routing *r = *state;
    struct completion_req req;
    struct meter_fake_event ev;
    struct answered a = {0};

    put_all(r, 2);
    does(r, 0, DOES_STATUS, 429);
    atomic_store(&r->sides[0].text, "{\"error\":{\"message\":\"You exceeded your current quota\",\"type\":"
                                    "\"insufficient_quota\",\"code\":\"insufficient_quota\"}}");
    routing_request(r, &req, "a", false);
    routing_call(r, &req, &a, &ev);
    assert_int_equal(a.status, ST_UPSTREAM);
    assert_string_equal(a.err.code, "upstream_billing_error");
    assert_int_equal(ev.attempts, 1);
    answered_fini(&a);
    routing_request(r, &req, "ab", false);
    r->routes[1].tier = 2;
    routing_call(r, &req, &a, &ev);
    assert_int_equal(a.status, ST_OK);
    assert_string_equal(a.provider, "b");
    answered_fini(&a);
}

static void when_all_keys_rest_nobody_is_asked(void **state)
{
    struct routing *r = *state;
    struct completion_req req;
    struct meter_fake_event ev;
    struct answered a = {0};
    unsigned seen;

    routing_put(r, 0, 2, NULL);
    routing_put(r, 1, 1, NULL);
    does(r, 0, DOES_STATUS, 429);
    atomic_store(&r->sides[0].lines, "Retry-After: 60\r\n");
    routing_request(r, &req, "a", false);
    routing_call(r, &req, &a, &ev);
    assert_int_equal(a.http_status, 429);
    assert_int_equal(a.retry_after_ms, 60000);
    assert_int_equal(ev.attempts, 2); /* each key once */
    assert_int_equal(ev.prompt + ev.completion, 0);
    answered_fini(&a);
    seen = routing_seen(r, 0);
    routing_call(r, &req, &a, &ev);
    assert_int_equal(a.status, ST_UNAVAILABLE);
    assert_in_range(a.err.retry_after_ms, 40000, 60000);
    answered_fini(&a);
    routing_good(r, "ab", false, "b");
    assert_int_equal(routing_seen(r, 0), seen);
}

/* A limit that passes within the time that we wait is waited for. */
static void a_short_limit_is_waited_for(void **state)
{
    struct routing *r = *state;
    struct completion_req req;
    struct meter_fake_event ev;
    struct answered a = {0};
    uint64_t began = clock_ms();

    put_all(r, 1);
    does(r, 0, DOES_STATUS, 429);
    atomic_store(&r->sides[0].lines, "retry-after-ms: 1500\r\n");
    routing_request(r, &req, "a", false);
    provider_world_open(&r->w, &req, 20000, &a);
    for (int i = 0; i < 1000 && routing_seen(r, 0) == 0; i++)
        usleep(10000);
    usleep(150000); /* it is answered; the next comes much later */
    does(r, 0, DOES_ANSWER, 0);
    assert_true(answered_wait(&a, 15000));
    assert_int_equal(a.http_status, 200);
    assert_int_equal(a.attempts, 2);
    assert_true(clock_ms() - began >= 1500);
    assert_true(meter_fake_find(r->w.meter, a.request_id, 15000, &ev));
    assert_int_equal(ev.n_log, 2);
    assert_int_equal(ev.log[0].http_status, 429);
    answered_fini(&a);
}

static void retry_after_may_be_a_date(void **state)
{
    struct routing *r = *state;
    struct completion_req req;
    struct meter_fake_event ev;
    struct answered a = {0};
    static char lines[128];
    time_t then = time(NULL) + 40;
    struct tm tm;
    size_t n;

    put_all(r, 1);
    does(r, 0, DOES_STATUS, 429);
    n = strftime(lines, sizeof(lines), "Retry-After: %a, %d %b %Y %H:%M:%S GMT\r\n", gmtime_r(&then, &tm));
    assert_true(n > 0);
    atomic_store(&r->sides[0].lines, lines);
    routing_request(r, &req, "a", false);
    routing_call(r, &req, &a, &ev);
    assert_int_equal(a.http_status, 429);
    assert_in_range(a.retry_after_ms, 35000, 40000);
    answered_fini(&a);
}

static void put_sealed(struct routing *r, const char *master, const char *secret)
{
    struct upstream_key key = {.id = slice_of("ukey_s"), .hint = slice_of("…")};
    struct sealed_key sealed = {.id = slice_of("ukey_s")};
    struct seal_place place = {slice_of("a"), slice_of("ukey_s")};
    struct catalog_provider def = {.name = slice_of("a"), .kind = slice_of("openai"), .keys = {&key, 1}};
    struct seal_key with;
    struct arena arena;
    char url[64];

    arena_init(&arena, 65536);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/v1", tiny_port(r->sides[0].tiny));
    def.base_url = slice_of(url);
    assert_int_equal(seal_key_init(&with, master, NULL), ST_OK);
    assert_int_equal(seal_close(&with, &place, slice_of(secret), &arena, &sealed.sealed, NULL), ST_OK);
    routing_put_state(r, &(struct provider_state){.provider = {&def, 1}, .keys = {&sealed, 1}});
    seal_key_fini(&with);
    arena_fini(&arena);
}

/* A key that cannot be had is left out; with none left the provider serves nobody, and says so. */
static void sealed_keys_and_references(void **state)
{
    struct routing *r = *state;
    struct completion_req req;
    struct meter_fake_event ev;
    struct answered a = {0};

    put_sealed(r, ROUTING_MASTER, "sk-3");
    routing_good(r, "a", false, "a");
    assert_int_equal(atomic_load(&r->sides[0].by_key[3]), 1);
    put_sealed(r, "another master key of thirty-two characters", "sk-4");
    routing_request(r, &req, "a", false);
    routing_call(r, &req, &a, &ev);
    assert_int_equal(a.status, ST_UNAVAILABLE);
    answered_fini(&a);
    put_sealed(r, ROUTING_MASTER, "sk-4\r\nX-Evil: 1");
    routing_call(r, &req, &a, &ev);
    assert_int_equal(a.status, ST_UNAVAILABLE);
    answered_fini(&a);
    assert_int_equal(unsetenv("ROUTING_KEY_1"), 0);
    routing_put(r, 0, 2, NULL); /* the first of them is not set here */
    routing_good(r, "a", false, "a");
    routing_good(r, "a", false, "a");
    assert_int_equal(atomic_load(&r->sides[0].by_key[2]), 2);
    routing_put(r, 0, 1, NULL);
    routing_call(r, &req, &a, &ev);
    assert_int_equal(a.status, ST_UNAVAILABLE);
    answered_fini(&a);
    assert_int_equal(routing_seen(r, 0), 3);
    routing_put(r, 0, 0, NULL); /* one that wants no key */
    routing_good(r, "a", false, "a");
    assert_int_equal(atomic_load(&r->sides[0].by_key[0]), 1);
}

/* ---- health --------------------------------------------------------------------------------------------------------
 */

/* Makes a's breaker open. */
static void open_breaker(struct routing *r)
{
    struct completion_req req;
    unsigned by[ROUTING_SIDES], bad;

    does(r, 0, DOES_RAW, 0); /* it closes without a word */
    routing_request(r, &req, "a", false);
    many(r, &req, BREAKER_RUN, by, &bad);
    assert_int_equal(bad, BREAKER_RUN);
}

static void a_provider_that_fails_is_left_alone_and_found_again(void **state)
{
    struct routing *r = *state;
    struct completion_req req;
    unsigned by[ROUTING_SIDES], bad, seen;
    struct meter_fake_event ev;
    struct answered a = {0};

    put_all(r, 1);
    open_breaker(r);
    seen = routing_seen(r, 0);
    routing_request(r, &req, "a", false);
    routing_call(r, &req, &a, &ev);
    assert_int_equal(a.status, ST_UNAVAILABLE);
    assert_in_range(a.err.retry_after_ms, 1, BREAKER_OPEN_MS);
    answered_fini(&a);
    assert_int_equal(routing_seen(r, 0), seen);
    does(r, 0, DOES_ANSWER, 0);
    atomic_store(&r->sides[0].delay_ms, 1500); /* longer than it takes until all have come */
    usleep((useconds_t)(BREAKER_OPEN_MS + 20) * 1000);
    many(r, &req, AT_ONCE, by, &bad); /* one probe, however many come at once */
    assert_int_equal(by[0], 1);
    assert_int_equal(routing_seen(r, 0), seen + 1);
    atomic_store(&r->sides[0].delay_ms, 0);
    many(r, &req, AT_ONCE, by, &bad);
    assert_int_equal(by[0], AT_ONCE);
}

/* A probe that finds nothing out is given back at once. */
static void a_probe_whose_client_leaves_is_given_back(void **state)
{
    struct routing *r = *state;
    struct completion_req req;
    struct meter_fake_event ev;
    struct answered a = {0};
    unsigned seen;

    put_all(r, 1);
    open_breaker(r);
    usleep((useconds_t)(BREAKER_OPEN_MS + 20) * 1000);
    does(r, 0, DOES_HANG, 0);
    seen = routing_seen(r, 0);
    routing_request(r, &req, "a", false);
    provider_world_open(&r->w, &req, 20000, &a);
    for (int i = 0; i < 500 && routing_seen(r, 0) == seen; i++)
        usleep(10000);
    xchg_cancel(r->w.client, a.id);
    assert_true(answered_wait(&a, 15000));
    assert_true(meter_fake_find(r->w.meter, a.request_id, 15000, &ev));
    answered_fini(&a);
    does(r, 0, DOES_ANSWER, 0);
    routing_good(r, "a", false, "a");
}

static void a_stream_that_flows_ends_the_probing(void **state)
{
    struct routing *r = *state;
    struct completion_req req;
    struct answered a = {0};

    put_all(r, 1);
    open_breaker(r);
    usleep((useconds_t)(BREAKER_OPEN_MS + 20) * 1000);
    does(r, 0, DOES_STALL, 0);
    routing_request(r, &req, "a", true);
    provider_world_open(&r->w, &req, 20000, &a);
    assert_true(answered_wait_bytes(&a, 1, 15000));
    does(r, 0, DOES_ANSWER, 0);
    routing_good(r, "a", false, "a");
    xchg_cancel(r->w.client, a.id);
    assert_true(answered_wait(&a, 15000));
    answered_fini(&a);
}

/* What we refuse ourselves says nothing about the provider. */
static void a_request_that_never_left_is_no_proof_of_health(void **state)
{
    struct catalog_provider claude = {.kind = slice_of("anthropic")};
    struct routing *r = *state;
    struct completion_req req;
    struct meter_fake_event ev;
    struct answered a = {0};

    routing_put(r, 0, 1, &claude);
    open_breaker(r);
    usleep((useconds_t)(BREAKER_OPEN_MS + 20) * 1000);
    routing_request(r, &req, "a", false);
    req.endpoint = slice_of("embeddings");
    routing_call(r, &req, &a, &ev);
    assert_int_equal(a.status, ST_NOT_FOUND);
    assert_string_equal(a.err.code, "unknown_url");
    answered_fini(&a);
    routing_request(r, &req, "a", false); /* the probe is still due: it fails, and the breaker stays open */
    routing_call(r, &req, &a, &ev);
    assert_int_equal(a.status, ST_UPSTREAM);
    answered_fini(&a);
    routing_call(r, &req, &a, &ev);
    assert_int_equal(a.status, ST_UNAVAILABLE);
    answered_fini(&a);
}

/* Not a twentieth part of the calls could go on if that were paid from the retry budget. */
static void an_endpoint_that_a_provider_lacks_is_looked_for_elsewhere(void **state)
{
    struct catalog_provider claude = {.kind = slice_of("anthropic")};
    struct routing *r = *state;
    struct completion_req req;
    unsigned by[ROUTING_SIDES], bad;

    routing_put(r, 0, 1, &claude);
    routing_put(r, 1, 1, NULL);
    routing_request(r, &req, "ab", false);
    r->routes[1].tier = 2;
    req.endpoint = slice_of("embeddings");
    many(r, &req, 2 * AT_ONCE, by, &bad);
    assert_int_equal(bad, 0);
    assert_int_equal(by[1], 2 * AT_ONCE);
    assert_int_equal(routing_seen(r, 0), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, routing_setup, routing_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_lowest_tier_that_is_served_comes_first),
        TEST(weights_share_the_calls),
        TEST(by_latency_the_fastest_is_found_and_kept),
        TEST(a_slow_unknown_one_gets_no_more_than_a_call),
        TEST(names_that_nobody_serves),
        TEST(keys_take_turns),
        TEST(one_bad_key_of_three_costs_nobody_an_answer),
        TEST(an_operators_empty_account_is_no_limit_of_the_clients),
        TEST(when_all_keys_rest_nobody_is_asked),
        TEST(a_short_limit_is_waited_for),
        TEST(retry_after_may_be_a_date),
        TEST(sealed_keys_and_references),
        TEST(a_provider_that_fails_is_left_alone_and_found_again),
        TEST(a_probe_whose_client_leaves_is_given_back),
        TEST(a_stream_that_flows_ends_the_probing),
        TEST(a_request_that_never_left_is_no_proof_of_health),
        TEST(an_endpoint_that_a_provider_lacks_is_looked_for_elsewhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
