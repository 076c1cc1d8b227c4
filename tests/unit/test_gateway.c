/* The gateway over real sockets, with other services faked: what each of them may do to a call, and what the client
 * then sees. */
#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <sodium.h>

#include "services/clock.h"

#include "tests/lib/slow.h"
#include "tests/unit/gateway_world.h"

/* ---- calls ------------------------------------------------------------------------------------------------------- */

static const char *call(struct world *w, const char *body)
{
    int fd = connect_to(w, 0);

    post(fd, "/v1/chat/completions", body, "");
    hear(w, fd, NULL);
    close(fd);
    return w->answer;
}

static void a_plain_call(void **state)
{
    unsigned char digest[crypto_hash_sha256_BYTES];
    struct world *w = *state;

    call(w, BODY);
    HAS(w, "HTTP/1.1 200 OK\r\n");
    HAS(w, "\r\n\r\n{\"a\":1}");
    HAS(w, "content-type: application/json\r\n");
    HAS(w, "x-request-id: req_");
    HAS(w, "x-ratelimit-limit-requests: 60\r\n");
    HAS(w, "x-ratelimit-reset-requests: 1s\r\n");
    HAS(w, "x-router-provider: p\r\nx-router-model: up\r\nx-router-instance: i\r\nx-router-attempts: 1\r\n");
    HAS(w, "x-router-cost-usd: 0.00002\r\n"); /* 10 * 1 + 5 * 2 USD per 1,000,000 */
    assert_string_equal(look()->body, BODY);
    crypto_hash_sha256(digest, (const unsigned char *)KEY, strlen(KEY));
    assert_memory_equal(look()->digest, digest, sizeof(digest));
    assert_in_range(look()->estimate, 8, 20);
    assert_true(reached(&script.done, 1)); /* sent before the answer's end, taken by another thread */
    assert_int_equal(look()->voids, 0);
    assert_non_null(strstr(w->answer, look()->request_id));
}

static void a_place_is_free_before_the_answer_ends(void **state)
{
    struct world *w = *state;
    int fd = connect_to(w, 0), i;

    SET(one_at_once, true);
    for (i = 0; i < 200; i++) {
        SET(act, i % 2 ? STREAMED : PLAIN);
        post(fd, "/v1/chat/completions", i % 2 ? STREAM : BODY, "");
        hear(w, fd, i % 2 ? "[DONE]" : NULL);
        HAS(w, "HTTP/1.1 200 OK");
        if (i % 2 && !ended(w)) { /* the next request goes out as soon as [DONE] was seen */
            post(fd, "/v1/chat/completions", BODY, "");
            SET(act, PLAIN);
            while (!ended(w) && recv(fd, w->answer + w->n, 1, 0) == 1)
                w->answer[++w->n] = '\0';
            hear(w, fd, NULL);
            HAS(w, "HTTP/1.1 200 OK");
        }
    }
    close(fd);
}

static void a_stream(void **state)
{
    struct world *w = *state;

    SET(act, STREAMED);
    call(w, STREAM);
    HAS(w, "HTTP/1.1 200 OK\r\n");
    HAS(w, "content-type: text/event-stream; charset=utf-8\r\n");
    HAS(w, "cache-control: no-cache\r\n");
    HAS_NOT(w, "content-length");
    HAS(w, EVENT EVENT "\r\nf\r\n" EVENT "\r\ne\r\n" DONE "\r\n0\r\n\r\n");
}

static void http_1_0_gets_a_stream_without_chunks(void **state)
{
    struct world *w = *state;
    int fd = connect_to(w, 0);
    char text[1024];

    SET(act, STREAMED);
    snprintf(text, sizeof(text), "POST /v1/chat/completions HTTP/1.0\r\nx-api-key: k\r\nContent-Length: %zu\r\n\r\n%s",
             strlen(STREAM), STREAM);
    say(fd, text);
    hear(w, fd, "never");
    HAS(w, "connection: close\r\n");
    HAS(w, "\r\n\r\n" EVENT EVENT EVENT DONE);
    close(fd);
}

static void upstreams_error_passes_even_for_a_stream(void **state)
{
    struct world *w = *state;

    SET(act, ERROR_404);
    call(w, STREAM);
    HAS(w, "HTTP/1.1 404 Not Found\r\n");
    HAS(w, "\r\n\r\n{\"error\":{}}");
    HAS_NOT(w, "x-router-cost-usd");
}

static void a_refusal_by_admission_says_why(void **state)
{
    struct world *w = *state;

    SET(admit_with, ST_RATE_REQUESTS);
    call(w, BODY);
    HAS(w, "HTTP/1.1 429 Too Many Requests\r\n");
    HAS(w, "retry-after: 2\r\nretry-after-ms: 1500\r\nx-should-retry: true\r\n");
    HAS(w, "x-ratelimit-remaining-requests: 59\r\n");
    HAS(w, "\"code\":\"rate_limit_exceeded\"");
    assert_int_equal(look()->begun, 0);
    assert_int_equal(look()->voids, 0);
}

static void a_call_nobody_began_is_offered_once_more(void **state)
{
    struct world *w = *state;

    SET(act, REFUSE_ONCE);
    call(w, BODY);
    HAS(w, "HTTP/1.1 200 OK\r\n");
    assert_int_equal(look()->begun, 2);
    assert_int_equal(look()->voids, 0);
}

static void a_call_nobody_takes_loses_its_hold(void **state)
{
    struct world *w = *state;

    SET(act, REFUSE);
    call(w, BODY);
    HAS(w, "HTTP/1.1 503 Service Unavailable\r\n");
    HAS(w, "x-should-retry: true\r\n");
    assert_int_equal(look()->begun, 2);
    assert_true(reached(&script.voids, 2)); /* told again, since the first time failed */
    assert_string_equal(look()->void_id, look()->request_id);
    assert_int_equal(look()->void_status, 503);
    assert_true(reached(&script.done, 1));
    assert_int_equal(look()->done, 1);
    usleep(1500000);
    assert_int_equal(look()->voids, 2);
}

static void a_failure_before_the_first_byte_is_a_plain_error(void **state)
{
    struct world *w = *state;

    SET(act, FAIL);
    call(w, STREAM);
    HAS(w, "HTTP/1.1 502 Bad Gateway\r\n");
    HAS(w, "x-should-retry: false\r\n");
    HAS(w, "\"message\":\"it failed\"");
    assert_int_equal(look()->begun, 1);
    assert_int_equal(look()->voids, 0); /* it began: the provider's own record settles it */
}

static void a_failure_in_a_stream_is_an_error_event(void **state)
{
    struct world *w = *state;
    int fd = connect_to(w, 0);

    SET(act, BREAK);
    post(fd, "/v1/chat/completions", STREAM, "");
    hear(w, fd, "never"); /* to the end of the connection */
    HAS(w, EVENT);
    HAS(w, "data: {\"error\":{\"message\":\"it "
           "failed\",\"type\":\"server_error\",\"param\":null,\"code\":\"upstream_error\"}}\n\n");
    HAS_NOT(w, "[DONE]");
    close(fd);
}

static void a_client_that_leaves_cancels_within_100_ms(void **state)
{
    struct world *w = *state;
    unsigned i, late = 0;

    SET(act, HANG);
    for (i = 1; i <= 5 + late; i++) {
        int fd = connect_to(w, 0);
        uint64_t left;

        post(fd, "/v1/chat/completions", STREAM, "");
        hear(w, fd, EVENT);
        left = clock_ms();
        close(fd);
        assert_true(reached(&script.cancelled, i));
        late += look()->cancelled_ms - left > 100; /* as often as not when the machine is busy */
        assert_in_range(late, 0, SLOW_TRIES);
    }
    assert_true(reached(&script.done, i - 1));
    assert_int_equal(look()->voids, 0);
}

static void a_client_that_leaves_during_admission_is_not_called_for(void **state)
{
    struct world *w = *state;
    int fd = connect_to(w, 0);

    SET(admit_delay_ms, 2000); /* it leaves long before, also when the machine is busy */
    post(fd, "/v1/chat/completions", BODY, "");
    assert_true(reached(&script.admitted, 1));
    close(fd);
    assert_true(reached(&script.voids, 1));
    assert_int_equal(look()->void_status, 499);
    assert_int_equal(look()->begun, 0);
    assert_true(reached(&script.done, 1));
}

static void a_slow_client_holds_the_provider_back(void **state)
{
    struct world *w = *state;
    int fd = connect_to(w, 4096);
    size_t i, seen = 0, total = 24u << 20;

    SET(act, MUCH);
    SET(much_total, total);
    post(fd, "/v1/chat/completions", STREAM, "");
    usleep(700000);
    assert_true(look()->much_sent < total / 2); /* socket buffers and a window, not all of it */
    hear(w, fd, "0\r\n\r\n");
    for (i = header_end(w); i < w->n; i++)
        seen += w->answer[i] == 'x';
    assert_int_equal(seen, total);
    close(fd);
}

static void an_answer_too_large_to_keep_is_passed_on(void **state)
{
    const size_t total = 16u << 20;
    struct world *w = *state;
    size_t i, seen = 0;

    SET(act, HUGE_ANSWER);
    SET(much_total, total);
    call(w, BODY);
    HAS(w, "HTTP/1.1 200 OK\r\n");
    HAS(w, "content-type: application/json\r\n");
    HAS(w, "transfer-encoding: chunked\r\n");
    HAS(w, "cache-control: no-store\r\n");
    HAS_NOT(w, "x-router-cost-usd");
    for (i = header_end(w); i < w->n; i++)
        seen += w->answer[i] == 'x';
    assert_int_equal(seen, total);
    assert_true(ended(w));
}

/* ---- the rest of HTTP -------------------------------------------------------------------------------------------- */

static const char *get(struct world *w, const char *method, const char *path, const char *more)
{
    int fd = connect_to(w, 0);
    char text[1024];

    snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\nHost: x\r\n%sConnection: close\r\n\r\n", method, path, more);
    say(fd, text);
    hear(w, fd, "never");
    close(fd);
    return w->answer;
}

static void the_account_api(void **state)
{
    struct world *w = *state;

    get(w, "GET", "/api/keys", "");
    HAS(w, "HTTP/1.1 401");
    get(w, "GET", "/api/keys", "Authorization: Bearer nobody\r\n");
    HAS(w, "HTTP/1.1 401");
    get(w, "GET", "/api/admin/users", "Authorization: Bearer user\r\n");
    HAS(w, "HTTP/1.1 403");
    get(w, "GET", "/api/keys", "Authorization: Bearer user\r\n");
    HAS(w, "HTTP/1.1 200");
    HAS(w, "{\"object\":\"list\",\"data\":[{\"id\":\"key_1\",");
    HAS(w, "],\"has_more\":false,\"next\":null}");
    get(w, "GET", "/api/keys?limit=1&cursor=a%20b", "Authorization: Bearer user\r\n");
    HAS(w, "],\"has_more\":true,\"next\":\"next\\\"page\"}");
    get(w, "GET", "/api/keys?actor_id=usr_2", "Authorization: Bearer user\r\n");
    HAS(w, "HTTP/1.1 400");
    HAS(w, "\"param\":\"actor_id\",");
    get(w, "GET", "/api/usage/requests?request_id=longer&actor_id=usr_2", "Authorization: Bearer user\r\n");
    HAS(w, "\"message\":\"Unknown parameter: 'actor_id'.\",\"type\":\"invalid_request_error\",\"param\":\"actor_id\",");
    get(w, "GET", "/api/usage/requests?request_id=longer&create=1", "Authorization: Bearer user\r\n");
    HAS(w, "\"param\":\"create\",");
    get(w, "GET", "/api/keys?limit=many", "Authorization: Bearer user\r\n");
    HAS(w, "\"param\":\"limit\"");
    get(w, "DELETE", "/api/keys/key%2F1", "Authorization: Bearer user\r\n");
    HAS(w, "HTTP/1.1 204 No Content\r\n");
    HAS_NOT(w, "content-length");
    assert_int_equal(look()->syncs, 1); /* the change was in force before it was answered */
    get(w, "DELETE", "/api/keys/other", "Authorization: Bearer user\r\n");
    HAS(w, "HTTP/1.1 404");
}

static void what_has_no_handler(void **state)
{
    struct world *w = *state;

    get(w, "GET", "/v1/nope?x=1", "");
    HAS(w, "HTTP/1.1 404");
    HAS(w, "\"code\":\"unknown_url\"");
    HAS(w, "Unknown request URL: GET /v1/nope.");
    get(w, "DELETE", "/v1/chat/completions", "");
    HAS(w, "HTTP/1.1 405");
    HAS(w, "allow: POST, GET\r\n");
    get(w, "OPTIONS", "/v1/chat/completions",
        "Origin: https://a.example\r\nAccess-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: "
        "authorization, x-y\r\n");
    HAS(w, "HTTP/1.1 204");
    HAS(w, "access-control-allow-headers: authorization, x-y\r\n");
    HAS(w, "access-control-allow-origin: *\r\n");
    get(w, "HEAD", "/health/live", "");
    HAS(w, "HTTP/1.1 200");
    assert_int_equal(w->n, header_end(w));
    get(w, "BREW", "/", ""); /* civetweb knows no such method */
    HAS(w, "HTTP/1.1 400");
    HAS(w, "{\"error\":{");
    get(w, "GET", "/metrics", "");
    HAS(w, "router_requests_total{service=\"gateway\"");
    get(w, "GET", "/metrics", "X-Forwarded-For: 10.0.0.1\r\n");
    HAS(w, "HTTP/1.1 403");
    get(w, "GET", "/health/ready", "");
    HAS(w, "HTTP/1.1 200");
}

static void no_key_and_bad_bodies(void **state)
{
    struct world *w = *state;
    int fd = connect_to(w, 0);

    say(fd, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
    hear(w, fd, NULL);
    HAS(w, "HTTP/1.1 401");
    HAS(w, "\"param\":null,\"code\":null}}");
    post(fd, "/v1/chat/completions", "{", ""); /* the connection goes on */
    hear(w, fd, NULL);
    HAS(w, "HTTP/1.1 400");
    HAS_NOT(w, "connection: close");
    post(fd, "/v1/chat/completions", BODY, "Expect: 100-continue \r\n");
    hear(w, fd, "{\"a\":1}");
    HAS(w, "HTTP/1.1 100 Continue\r\n\r\n");
    HAS(w, "HTTP/1.1 200 OK\r\n");
    close(fd);
    assert_int_equal(look()->begun, 1);
}

static void a_tab_in_a_header_is_white_space(void **state)
{
    struct world *w = *state;
    int fd = connect_to(w, 0);

    say(fd, "GET /health/live HTTP/1.1\r\nHost:\tx\r\nX-Note:\ta\tb\t\r\n\r\n");
    hear(w, fd, NULL);
    HAS(w, "HTTP/1.1 200 OK\r\n");
    post(fd, "/v1/chat/completions", "{\"model\":\"m\",\t\"messages\":[{\"role\":\"user\",\"content\":\"\"}]}",
         "OpenAI-Beta: a,\tb\r\n");
    hear(w, fd, NULL);
    HAS(w, "HTTP/1.1 200 OK\r\n");
    assert_non_null(strstr(look()->headers, "a, b"));
    assert_non_null(strchr(look()->body, '\t')); /* the body is the client's */
    close(fd);
}

/* Lists may come in several fields. What an answer says is what the connection does. */
static void every_connection_header_is_read(void **state)
{
    static const struct {
        const char *more;
        bool stays;
    } cases[] = {
        {"", true},
        {"Connection: keep-alive\r\n", true},
        {"Connection: close\r\n", false},
        {"Connection: x-note, Close\r\n", false},
        {"Connection: keep-alive, close\r\n", false},
        {"Connection: keep-alive\r\nConnection: close\r\n", false},
        {"Connection: keep-alive\r\nConnection: x-note,\tCLOSE\r\n", false},
        {"Connection: keep-alive\r\nX-Note: close\r\nConnection: x-note\r\n", true},
        {"Connection: keep-alive\r\nConnection: upgrade\r\nUpgrade: websocket\r\n", false},
        {"Connection: keep-alive, x-upgrade\r\n", false},
        {"Connection: x-note\r\nConnection: keep-alive\r\n", false}, /* the library ends it */
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[512];
        int fd = connect_to(w, 0);

        snprintf(text, sizeof(text), "GET /health/live HTTP/1.1\r\nHost: x\r\n%s\r\n", cases[i].more);
        say(fd, text);
        hear(w, fd, cases[i].stays ? NULL : "never"); /* to the end of the connection */
        HAS(w, "HTTP/1.1 200 OK\r\n");
        if (cases[i].stays) {
            HAS_NOT(w, "connection: close");
            say(fd, text);
            hear(w, fd, NULL);
            HAS(w, "HTTP/1.1 200 OK\r\n");
        } else {
            HAS(w, "connection: close\r\n");
        }
        close(fd);
    }
}

static void a_body_too_large_is_read_away_and_refused(void **state)
{
    struct world *w = *state;
    int fd = connect_to(w, 0);
    char *block = calloc(1, 150000);

    assert_non_null(block);
    say(fd, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nx-api-key: k\r\nContent-Length: 150000\r\n\r\n");
    assert_int_equal(send(fd, block, 150000, MSG_NOSIGNAL), 150000);
    hear(w, fd, NULL);
    HAS(w, "HTTP/1.1 413");
    HAS(w, "\"code\":\"request_too_large\"");
    post(fd, "/v1/chat/completions", BODY, "");
    hear(w, fd, NULL);
    HAS(w, "HTTP/1.1 200");
    close(fd);
    fd = connect_to(w, 0); /* and when its length is not said */
    say(fd,
        "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nx-api-key: k\r\nTransfer-Encoding: chunked\r\n\r\n249F0\r\n");
    assert_int_equal(send(fd, block, 150000, MSG_NOSIGNAL), 150000);
    say(fd, "\r\n0\r\n\r\n");
    hear(w, fd, NULL);
    HAS(w, "HTTP/1.1 413");
    close(fd);
    free(block);
}

static void hostile_bytes_run_nothing(void **state)
{
    struct world *w = *state;
    int fd = connect_to(w, 0);

    say(fd, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\nGET / "
            "HTTP/1.1\r\nHost: x\r\n\r\n");
    hear(w, fd, "never");
    HAS(w, "HTTP/1.1 400 Bad Request\r\n");
    HAS(w, "connection: close\r\n");
    HAS(w, "x-request-id: req_");
    assert_null(strstr(w->answer + 8, "HTTP/1.1"));
    close(fd);
    fd = connect_to(w, 0); /* a good request before it is answered, the connection ends */
    say(fd, "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\nGET / "
            "HTTP/1.1\r\nHost: x\r\n\r\n");
    hear(w, fd, "never");
    HAS(w, "HTTP/1.1 200 OK\r\n");
    assert_null(strstr(w->answer + 8, "HTTP/1.1 200"));
    close(fd);
    fd = connect_to(w, 0); /* in the middle of a body that is being read */
    say(fd, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nx-api-key: k\r\nTransfer-Encoding: chunked\r\n\r\n");
    usleep(50000);
    say(fd, "zz\r\n");
    hear(w, fd, "never");
    HAS(w, "HTTP/1.1 400");
    close(fd);
    assert_int_equal(look()->begun, 0);
}

static void too_many_connections_are_told(void **state)
{
    struct world *w = *state;
    int fds[16], extra;
    unsigned i;

    for (i = 0; i < 16; i++) {
        fds[i] = connect_to(w, 0);
        say(fds[i], "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n");
        hear(w, fds[i], NULL);
        HAS(w, "HTTP/1.1 200");
    }
    extra = connect_to(w, 0);
    say(extra, "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n");
    hear(w, extra, "never");
    HAS(w, "HTTP/1.1 503");
    HAS(w, "connection: close\r\n");
    close(extra);
    for (i = 0; i < 16; i++)
        close(fds[i]);
}

#define DRAIN_MS 60000u /* nobody waits for so long: the call ends before */

static void *drain_now(void *ctx)
{
    struct world *w = ctx;

    svc_drain(w->gateway, DRAIN_MS);
    return NULL;
}

static void a_drain_lets_calls_finish(void **state)
{
    struct world *w = *state;
    int fd = connect_to(w, 0);
    struct svc_call *running;
    uint64_t began;
    pthread_t t;

    SET(act, HANG);
    post(fd, "/v1/chat/completions", STREAM, "");
    hear(w, fd, EVENT);
    began = clock_ms();
    assert_int_equal(pthread_create(&t, NULL, drain_now, w), 0);
    while (!svc_draining(w->gateway) && clock_ms() < began + WAIT_MS)
        usleep(1000);
    get(w, "GET", "/health/ready", "");
    HAS(w, "HTTP/1.1 503");
    running = take_hung();
    assert_non_null(running);
    svc_send(running, slice_of(DONE), NULL);
    finish(running, ST_OK);
    hear(w, fd, "never");
    HAS(w, DONE);
    pthread_join(t, NULL);
    assert_in_range(clock_ms() - began, 0, DRAIN_MS / 2);
    close(fd);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, gateway_world_start, gateway_world_stop)
    const struct CMUnitTest tests[] = {
        T(a_plain_call),
        T(a_place_is_free_before_the_answer_ends),
        T(a_stream),
        T(http_1_0_gets_a_stream_without_chunks),
        T(upstreams_error_passes_even_for_a_stream),
        T(a_refusal_by_admission_says_why),
        T(a_call_nobody_began_is_offered_once_more),
        T(a_call_nobody_takes_loses_its_hold),
        T(a_failure_before_the_first_byte_is_a_plain_error),
        T(a_failure_in_a_stream_is_an_error_event),
        T(a_client_that_leaves_cancels_within_100_ms),
        T(a_client_that_leaves_during_admission_is_not_called_for),
        T(a_slow_client_holds_the_provider_back),
        T(an_answer_too_large_to_keep_is_passed_on),
        T(the_account_api),
        T(what_has_no_handler),
        T(no_key_and_bad_bodies),
        T(a_tab_in_a_header_is_white_space),
        T(every_connection_header_is_read),
        T(a_body_too_large_is_read_away_and_refused),
        T(hostile_bytes_run_nothing),
        T(too_many_connections_are_told),
        T(a_drain_lets_calls_finish),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
