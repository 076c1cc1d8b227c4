/* Idempotency-Key in the gateway, over real sockets with the other services faked: who makes a call, who waits, what a
 * repeat gets, and that a call goes on without its client. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/call.h"
#include "services/clock.h"

#include "tests/unit/answer_fake.h"
#include "tests/unit/gateway_world.h"

#define CHAT "/v1/chat/completions"
#define WITH_KEY "Idempotency-Key: k 1\r\n"
#define WHOLE EVENT EVENT EVENT DONE

static const char *call(struct world *w, const char *body, const char *header)
{
    int fd = connect_to(w, 0);

    post(fd, CHAT, body, header);
    hear(w, fd, NULL);
    close(fd);
    return w->answer;
}

/* A client that has seen the first event of a stream that hangs, and goes. */
static void begin_and_leave(struct world *w)
{
    int fd = connect_to(w, 0);

    SET(act, HANG);
    post(fd, CHAT, STREAM, WITH_KEY);
    hear(w, fd, EVENT);
    close(fd);
}

/* The provider goes on with the call that hangs. */
static void end_hanging(struct world *w, const char *bytes, enum status st)
{
    struct svc_call *running = take_hung();

    (void)w;
    assert_non_null(running);
    svc_send(running, slice_of(bytes), NULL);
    finish(running, st);
}

static bool becomes(const char *key, unsigned http)
{
    uint64_t end = clock_ms() + WAIT_MS;

    while (!answer_fake_holds(key, http) && clock_ms() < end)
        usleep(2000);
    return answer_fake_holds(key, http);
}

static void count(unsigned stored, unsigned forgotten_times, unsigned begun)
{
    unsigned was_stored, was_forgotten;

    pthread_mutex_lock(&kept.lock);
    was_stored = kept.stored;
    was_forgotten = kept.forgotten;
    pthread_mutex_unlock(&kept.lock);
    assert_int_equal(was_stored, stored);
    assert_int_equal(was_forgotten, forgotten_times);
    assert_int_equal(look()->begun, begun);
}

/* ---- repeats ------------------------------------------------------------------------------------------------------
 */

static void without_the_header_nobody_is_asked(void **state)
{
    struct world *w = *state;

    call(w, BODY, "");
    HAS(w, "HTTP/1.1 200 OK\r\n");
    assert_int_equal(kept.asked, 0);
}

static void a_repeat_gets_the_same_bytes_and_makes_no_call(void **state)
{
    struct world *w = *state;
    char first[160];
    int fd;

    call(w, BODY, WITH_KEY);
    HAS(w, "HTTP/1.1 200 OK\r\n");
    HAS_NOT(w, "x-router-replayed");
    assert_true(becomes("k 1", 200));
    snprintf(first, sizeof(first), "x-router-original-request-id: %s\r\n", look()->request_id);
    fd = connect_to(w, 0);
    post(fd, CHAT, BODY, WITH_KEY);
    hear(w, fd, NULL);
    HAS(w, "HTTP/1.1 200 OK\r\n");
    HAS(w, "content-type: application/json\r\n");
    HAS(w, "x-router-replayed: true\r\n");
    HAS(w, first);
    HAS(w, "x-request-id: req_");
    HAS_NOT(w, "connection: close");
    assert_string_equal(w->answer + header_end(w), "{\"a\":1}");
    post(fd, CHAT, BODY, ""); /* the connection goes on */
    hear(w, fd, NULL);
    HAS(w, "HTTP/1.1 200 OK\r\n");
    HAS_NOT(w, "x-router-replayed");
    close(fd);
    count(1, 0, 2);
    assert_int_equal(look()->admitted, 2);
}

static void a_stream_is_repeated_as_a_stream(void **state)
{
    struct world *w = *state;

    SET(act, STREAMED);
    call(w, STREAM, WITH_KEY);
    HAS(w, "transfer-encoding: chunked\r\n");
    HAS_NOT(w, "x-router-replayed");
    assert_true(becomes("k 1", 200));
    call(w, STREAM, WITH_KEY);
    HAS(w, "content-type: text/event-stream; charset=utf-8\r\n");
    HAS(w, "x-router-replayed: true\r\n");
    assert_string_equal(w->answer + header_end(w), WHOLE);
    count(1, 0, 1);
}

static void another_body_is_refused(void **state)
{
    struct world *w = *state;

    call(w, BODY, WITH_KEY);
    assert_true(becomes("k 1", 200));
    call(w, STREAM, WITH_KEY);
    HAS(w, "HTTP/1.1 409 Conflict\r\n");
    HAS(w, "\"code\":\"idempotency_key_reused\"");
    HAS(w, "x-should-retry: false\r\n");
    count(1, 0, 1);
}

static void a_repeat_waits_for_the_first(void **state)
{
    struct world *w = *state;
    int first = connect_to(w, 0), second = connect_to(w, 0);

    SET(act, HANG);
    post(first, CHAT, STREAM, WITH_KEY);
    hear(w, first, EVENT);
    post(second, CHAT, STREAM, WITH_KEY);
    usleep(300000);
    assert_int_equal(recv(second, w->answer, 1, MSG_DONTWAIT), -1);
    end_hanging(w, EVENT EVENT DONE, ST_OK);
    hear(w, first, NULL);
    hear(w, second, NULL);
    HAS(w, "x-router-replayed: true\r\n");
    assert_string_equal(w->answer + header_end(w), WHOLE);
    count(1, 0, 1);
    close(first);
    close(second);
}

static void who_waits_may_leave(void **state)
{
    struct world *w = *state;
    int first = connect_to(w, 0), second = connect_to(w, 0);
    const struct gateway *gw = svc_state(w->gateway);
    uint64_t end = clock_ms() + WAIT_MS;

    SET(act, HANG);
    post(first, CHAT, STREAM, WITH_KEY);
    hear(w, first, EVENT);
    post(second, CHAT, STREAM, WITH_KEY);
    usleep(100000);
    close(second);
    while (atomic_load(&gw->in_flight) > 1 && clock_ms() < end)
        usleep(2000);
    assert_int_equal(atomic_load(&gw->in_flight), 1);
    end_hanging(w, EVENT EVENT DONE, ST_OK);
    hear(w, first, NULL);
    HAS(w, DONE);
    assert_true(becomes("k 1", 200));
    count(1, 0, 1);
    close(first);
}

static void what_is_interrupted_is_said(void **state)
{
    struct world *w = *state;

    KEPT_SET(interrupted, true);
    call(w, BODY, WITH_KEY);
    HAS(w, "HTTP/1.1 409 Conflict\r\n");
    HAS(w, "\"code\":\"idempotency_interrupted\"");
    HAS(w, "x-should-retry: false\r\n");
    count(0, 0, 0);
}

/* ---- keys ---------------------------------------------------------------------------------------------------------
 */

static void what_is_no_key_is_refused(void **state)
{
    static const char *const bad[] = {"caf\xc3\xa9", "", "  ", "\x7f"};
    struct world *w = *state;
    char line[400], long_key[257];
    size_t i;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(line, sizeof(line), "Idempotency-Key: %s\r\n", bad[i]);
        call(w, BODY, line);
        HAS(w, "HTTP/1.1 400 Bad Request\r\n");
        if (i == 0) /* the others do not come so far */
            HAS(w, "Idempotency-Key");
    }
    memset(long_key, 'k', 256);
    long_key[256] = '\0';
    snprintf(line, sizeof(line), "Idempotency-Key: %s\r\n", long_key);
    call(w, BODY, line);
    HAS(w, "HTTP/1.1 400 Bad Request\r\n");
    HAS(w, "\"param\":\"Idempotency-Key\",\"code\":\"invalid_idempotency_key\"");
    assert_int_equal(kept.asked, 0);
    assert_int_equal(look()->admitted, 0);
    long_key[255] = '\0';
    snprintf(line, sizeof(line), "Idempotency-Key: %s\r\n", long_key);
    call(w, BODY, line);
    HAS(w, "HTTP/1.1 200 OK\r\n");
    assert_true(becomes(long_key, 200));
}

static void a_bad_body_does_not_spend_a_key(void **state)
{
    struct world *w = *state;

    call(w, "{", WITH_KEY);
    HAS(w, "HTTP/1.1 400 Bad Request\r\n");
    assert_int_equal(kept.asked, 0);
}

static void an_unknown_caller_is_admissions_to_refuse(void **state)
{
    struct world *w = *state;

    KEPT_SET(fail_with, ST_NOT_FOUND);
    KEPT_SET(fail_times, 1);
    SET(admit_with, ST_UNAUTHENTICATED);
    call(w, BODY, WITH_KEY);
    HAS(w, "HTTP/1.1 401 Unauthorized\r\n");
    count(0, 0, 0);
}

/* ---- what is not kept ---------------------------------------------------------------------------------------------
 */

static void what_cost_nothing_runs_again(void **state)
{
    static const struct {
        enum act act;
        enum status admit_with;
        const char *line;
    } rows[] = {
        {PLAIN, ST_RATE_REQUESTS, "HTTP/1.1 429 "},
        {PLAIN, ST_FORBIDDEN, "HTTP/1.1 403 "},
        {PLAIN, ST_UNAVAILABLE, "HTTP/1.1 503 "},
        {REFUSE, ST_OK, "HTTP/1.1 503 "},
        {FAIL, ST_OK, "HTTP/1.1 502 "},
        {ERROR_404, ST_OK, "HTTP/1.1 404 "},
    };
    struct world *w = *state;
    unsigned i, begun;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        SET(act, rows[i].act);
        SET(admit_with, rows[i].admit_with);
        call(w, BODY, WITH_KEY);
        HAS(w, rows[i].line);
        assert_false(answer_fake_holds("k 1", 0)); /* by now, so that another body is welcome at once */
        count(0, i + 1, look()->begun);
    }
    begun = look()->begun;
    SET(act, PLAIN);
    SET(admit_with, ST_OK);
    call(w, BODY, WITH_KEY);
    HAS(w, "HTTP/1.1 200 OK\r\n");
    assert_true(becomes("k 1", 200));
    count(1, i, begun + 1);
}

static void what_breaks_off_is_left_to_its_bill(void **state)
{
    struct world *w = *state;

    SET(act, BREAK);
    call(w, STREAM, WITH_KEY);
    HAS(w, EVENT);
    usleep(100000);
    assert_true(answer_fake_holds("k 1", 0));
    count(0, 0, 1);
}

static void what_is_too_large_is_left_to_its_bill(void **state)
{
    struct world *w = *state;

    SET(act, MUCH);
    SET(much_total, LIMIT_BODY + 65536);
    call(w, STREAM, WITH_KEY);
    assert_true(w->n > LIMIT_BODY);
    usleep(100000);
    assert_true(answer_fake_holds("k 1", 0));
    count(0, 0, 1);
}

/* ---- clients that leave -------------------------------------------------------------------------------------------
 */

static void a_client_that_leaves_a_stream_may_come_back_for_it(void **state)
{
    struct world *w = *state;

    begin_and_leave(w);
    usleep(200000);
    assert_int_equal(look()->cancelled, 0);
    end_hanging(w, EVENT EVENT DONE, ST_OK);
    assert_true(becomes("k 1", 200));
    call(w, STREAM, WITH_KEY);
    HAS(w, "x-router-replayed: true\r\n");
    assert_string_equal(w->answer + header_end(w), WHOLE);
    count(1, 0, 1);
    assert_true(reached(&script.done, 1));
    assert_int_equal(look()->done, 1);
}

static void a_client_that_leaves_during_admission_may_come_back(void **state)
{
    struct world *w = *state;
    int fd = connect_to(w, 0);

    SET(admit_delay_ms, 1500);
    post(fd, CHAT, BODY, WITH_KEY);
    usleep(500000);
    close(fd);
    assert_true(becomes("k 1", 200));
    call(w, BODY, WITH_KEY);
    assert_string_equal(w->answer + header_end(w), "{\"a\":1}");
    count(1, 0, 1);
    assert_int_equal(look()->voids, 0);
}

/* It takes nothing, so much waits for it; what waits must not hold the provider back once it is gone. */
static void a_slow_client_that_leaves_stops_nothing(void **state)
{
    struct world *w = *state;
    int fd = connect_to(w, 4096);
    const size_t total = 6u * 1024u * 1024u;

    SET(act, MUCH);
    SET(much_total, total);
    post(fd, CHAT, STREAM, WITH_KEY);
    usleep(300000);
    assert_true(look()->much_sent < total);
    close(fd);
    assert_true(becomes("k 1", 200));
    assert_int_equal(look()->cancelled, 0);
    call(w, STREAM, WITH_KEY);
    assert_int_equal(w->n - header_end(w), total + strlen("\n\n" DONE));
    count(1, 0, 1);
}

/* The teardown must not wait for what nobody ends. */
static int stop_with_a_call_that_runs_on(void **state)
{
    uint64_t began = clock_ms();

    gateway_world_stop(state);
    return script.cancelled == 1 && clock_ms() - began < WAIT_MS ? 0 : -1;
}

static void the_end_of_the_gateway_cancels_what_runs_on(void **state)
{
    struct world *w = *state;

    begin_and_leave(w);
    usleep(100000);
    assert_int_equal(look()->cancelled, 0);
}

/* ---- meterd -------------------------------------------------------------------------------------------------------
 */

static void meterd_may_be_away_for_a_moment(void **state)
{
    struct world *w = *state;

    KEPT_SET(fail_with, ST_UNAVAILABLE);
    KEPT_SET(fail_times, 3);
    call(w, BODY, WITH_KEY);
    HAS(w, "HTTP/1.1 200 OK\r\n");
    assert_true(becomes("k 1", 200));
}

static void an_answer_is_offered_again(void **state)
{
    struct world *w = *state;
    int fd = connect_to(w, 0);

    SET(act, HANG);
    post(fd, CHAT, STREAM, WITH_KEY);
    hear(w, fd, EVENT);
    KEPT_SET(fail_with, ST_PEER_LOST);
    KEPT_SET(fail_times, 3);
    end_hanging(w, EVENT EVENT DONE, ST_OK);
    hear(w, fd, NULL);
    assert_true(becomes("k 1", 200));
    close(fd);
}

static void without_meterd_no_promise_is_made(void **state)
{
    struct world *w = *state;
    uint64_t began = clock_ms();

    KEPT_SET(fail_with, ST_UNAVAILABLE);
    KEPT_SET(fail_times, 1000000);
    call(w, BODY, WITH_KEY);
    HAS(w, "HTTP/1.1 503 Service Unavailable\r\n");
    HAS(w, "x-should-retry: true\r\n");
    assert_in_range(clock_ms() - began, 0, 8000);
    count(0, 0, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, gateway_world_start, gateway_world_stop)
    const struct CMUnitTest tests[] = {
        T(without_the_header_nobody_is_asked),
        T(a_repeat_gets_the_same_bytes_and_makes_no_call),
        T(a_stream_is_repeated_as_a_stream),
        T(another_body_is_refused),
        T(a_repeat_waits_for_the_first),
        T(who_waits_may_leave),
        T(what_is_interrupted_is_said),
        T(what_is_no_key_is_refused),
        T(a_bad_body_does_not_spend_a_key),
        T(an_unknown_caller_is_admissions_to_refuse),
        T(what_cost_nothing_runs_again),
        T(what_breaks_off_is_left_to_its_bill),
        T(what_is_too_large_is_left_to_its_bill),
        T(a_client_that_leaves_a_stream_may_come_back_for_it),
        T(a_client_that_leaves_during_admission_may_come_back),
        T(a_slow_client_that_leaves_stops_nothing),
        cmocka_unit_test_setup_teardown(the_end_of_the_gateway_cancels_what_runs_on, gateway_world_start,
                                        stop_with_a_call_that_runs_on),
        T(meterd_may_be_away_for_a_moment),
        T(an_answer_is_offered_again),
        T(without_meterd_no_promise_is_made),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
