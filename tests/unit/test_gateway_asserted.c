/* A gateway whose authsvc is killed and restarted: it tells the new one what it holds, and no client notices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>
#include <sodium.h>

#include "gateway/call.h"
#include "services/clock.h"
#include "tests/lib/slow.h"
#include "tests/unit/gateway_world.h"

#define MANY 12

static void calls_in_flight_are_asserted(void **state)
{
    struct world *w = *state;
    unsigned char digest[32];
    int fds[MANY], i, fd;

    SET(act, HANG);
    for (i = 0; i < MANY; i++) {
        fds[i] = connect_to(w, 0);
        post(fds[i], "/v1/chat/completions", STREAM, "");
        hear(w, fds[i], EVENT);
    }
    stop_auth(w);
    start_auth(w);
    assert_true(reached(&script.lasts, 1));
    assert_int_equal(look()->holds, MANY);
    assert_non_null(strstr(look()->asserted_by, "gateway:"));
    assert_int_equal(strncmp(look()->hold_id, "req_", 4), 0);
    assert_string_equal(look()->hold_user, "usr_1");
    assert_string_equal(look()->hold_key, "key_1");
    assert_int_equal(look()->hold_nano, 5);
    assert_true(look()->hold_running);
    assert_in_range(look()->hold_lease_ms, (uint64_t)w->settings.call_timeout_ms - slow_ms(5000),
                    (uint64_t)w->settings.call_timeout_ms - 1);
    crypto_hash_sha256(digest, (const unsigned char *)KEY, strlen(KEY));
    assert_memory_equal(look()->hold_digest, digest, sizeof(digest));
    SET(act, PLAIN);
    fd = connect_to(w, 0);
    post(fd, "/v1/chat/completions", BODY, "");
    hear(w, fd, NULL);
    HAS(w, "HTTP/1.1 200 OK\r\n");
    assert_int_equal(look()->admitted_early, 0);
    close(fd);
    for (i = 0; i < MANY; i++)
        close(fds[i]);
}

static void calls_that_have_ended_are_not(void **state)
{
    struct world *w = *state;
    int plain = connect_to(w, 0), left = connect_to(w, 0), refused = connect_to(w, 0);
    const struct gateway *gw = svc_state(w->gateway);
    uint64_t end = clock_ms() + WAIT_MS;

    post(plain, "/v1/chat/completions", BODY, "");
    hear(w, plain, NULL);
    SET(act, REFUSE);
    post(refused, "/v1/chat/completions", BODY, "");
    hear(w, refused, NULL);
    SET(act, HANG);
    post(left, "/v1/chat/completions", STREAM, "");
    hear(w, left, EVENT);
    close(left);
    assert_true(reached(&script.cancelled, 1));
    assert_true(reached(&script.done, 3));
    while (atomic_load(&gw->in_flight) && clock_ms() < end)
        usleep(1000);
    assert_int_equal(atomic_load(&gw->in_flight), 0);
    stop_auth(w);
    start_auth(w);
    assert_true(reached(&script.lasts, 1));
    assert_int_equal(look()->holds, 0);
    close(plain);
    close(refused);
}

/* false: the machine was busy, and what is to be looked at did not come to pass. */
static void in_one_of_some_tries(bool (*happens)(struct world *w), struct world *w)
{
    unsigned tries = 0;

    while (!happens(w))
        assert_true(++tries < SLOW_TRIES);
}

#define ADMIT_MS 500 /* admission takes so long: authsvc is stopped before, unless the machine is busy */

/* false: it was answered before authsvc was stopped, or authsvc came back too late. */
static bool loses_an_admission(struct world *w)
{
    char first[80];
    int fd = connect_to(w, 0);

    SET(admitted, 0);
    SET(begun, 0);
    SET(admit_delay_ms, ADMIT_MS);
    post(fd, "/v1/chat/completions", BODY, "");
    assert_true(reached(&script.admitted, 1));
    memcpy(first, look()->request_id, sizeof(first));
    stop_auth(w); /* which had the question and takes the answer with it */
    SET(admit_delay_ms, 0);
    usleep(300000);
    start_auth(w);
    hear(w, fd, NULL);
    close(fd);
    if (look()->admitted == 1)
        return false;
    HAS(w, "HTTP/1.1 200 OK\r\n");
    assert_int_equal(look()->admitted, 2);
    assert_int_equal(look()->admitted_early, 0);
    assert_string_equal(look()->request_id, first); /* the id makes it the same */
    assert_int_equal(look()->begun, 1);
    assert_int_equal(look()->voids, 0);
    return true;
}

static void an_admission_that_was_lost_is_asked_for_again(void **state)
{
    in_one_of_some_tries(loses_an_admission, *state);
}

/* false: it was answered once before authsvc was stopped. */
static bool loses_all_admissions(struct world *w)
{
    int fd = connect_to(w, 0);
    unsigned i;

    SET(admitted, 0);
    SET(begun, 0);
    SET(admit_delay_ms, ADMIT_MS);
    post(fd, "/v1/chat/completions", BODY, "");
    for (i = 1; i <= CALL_ADMISSIONS && reached(&script.admitted, i); i++) {
        stop_auth(w);
        start_auth(w);
    }
    hear(w, fd, NULL);
    close(fd);
    if (strstr(w->answer, "HTTP/1.1 200 "))
        return false;
    HAS(w, "HTTP/1.1 503 ");
    HAS(w, "Admission did not answer");
    assert_int_equal(look()->admitted, CALL_ADMISSIONS);
    assert_int_equal(look()->begun, 0);
    return true;
}

static void it_is_not_asked_for_without_end(void **state)
{
    in_one_of_some_tries(loses_all_admissions, *state);
}

/* false: authsvc did not come back in time. */
static bool waits_for_authsvc(struct world *w)
{
    int fd = connect_to(w, 0);

    stop_auth(w);
    post(fd, "/v1/chat/completions", BODY, "");
    usleep(1500000);
    start_auth(w);
    hear(w, fd, NULL);
    close(fd);
    return strstr(w->answer, "HTTP/1.1 200 OK\r\n") != NULL;
}

/* Returns for how long a call waits that nobody admits. */
static uint64_t wait_in_vain(struct world *w)
{
    int fd = connect_to(w, 0);
    uint64_t took;

    stop_auth(w);
    took = clock_ms();
    post(fd, "/v1/chat/completions", BODY, "");
    hear(w, fd, NULL);
    took = clock_ms() - took;
    HAS(w, "HTTP/1.1 503 ");
    start_auth(w);
    close(fd);
    return took;
}

static void calls_wait_two_seconds_for_authsvc(void **state)
{
    struct world *w = *state;
    uint64_t took = UINT64_MAX;
    unsigned tries = 0;

    while (!waits_for_authsvc(w))
        assert_true(++tries < SLOW_TRIES);
    for (tries = 0; took > slow_ms(2500) && tries < SLOW_TRIES; tries++) {
        took = wait_in_vain(w);
        assert_true(took >= 1900);
    }
    assert_in_range(took, 1900, slow_ms(2500));
}

#define W(name) cmocka_unit_test_setup_teardown(name, gateway_world_start, gateway_world_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        W(calls_in_flight_are_asserted),
        W(calls_that_have_ended_are_not),
        W(an_admission_that_was_lost_is_asked_for_again),
        W(it_is_not_asked_for_without_end),
        W(calls_wait_two_seconds_for_authsvc),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
