/* Upstreams that mean harm, or are broken beyond what an honest one can be: nothing is followed, nothing grows without
 * bound, and a spare route gives the answer. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>

#include <cmocka.h>

#include "providersvc/budget.h"
#include "services/clock.h"
#include "tests/lib/slow.h"
#include "tests/unit/routing_world.h"

#define MIB (1024u * 1024u)
#define ANSWER_HEAD "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
#define SSE_HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"

/* libcurl's resolver is told that public.example is this machine: what a name can do that is not its owner's alone. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **res)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) = NULL;
    void *symbol = dlsym(RTLD_NEXT, "getaddrinfo");

    memcpy(&real, &symbol, sizeof(real));
    if (node != NULL && strcmp(node, "public.example") == 0)
        node = "127.0.0.1";
    if (node != NULL && strcmp(node, "metadata.internal") == 0)
        node = "169.254.169.254";
    return real(node, service, hints, res);
}

static void does(struct routing *r, const char *text)
{
    atomic_store(&r->sides[0].text, text);
    atomic_store(&r->sides[0].does, DOES_RAW);
}

static void put_both(struct routing *r)
{
    struct catalog_provider hurried = {.first_byte_ms = 1500};

    routing_put(r, 0, 1, &hurried);
    routing_put(r, 1, 1, NULL);
}

/* `unit` n times between head and tail; the caller frees it. */
static char *repeat(const char *head, const char *unit, size_t n, const char *tail)
{
    size_t m = strlen(unit), at = strlen(head);
    char *text = malloc(at + m * n + strlen(tail) + 1);

    assert_non_null(text);
    memcpy(text, head, at);
    for (size_t i = 0; i < n; i++, at += m)
        memcpy(text + at, unit, m);
    memcpy(text + at, tail, strlen(tail) + 1);
    return text;
}

/* Its threads may still be sending the last of what they were told. */
static void wait_until_sent(struct routing *r)
{
    for (int i = 0; i < 2000 && tiny_busy(r->sides[0].tiny) > 0; i++)
        usleep(10000);
    assert_int_equal(tiny_busy(r->sides[0].tiny), 0);
}

/* With a spare: its answer. Alone: an error of ours, and quickly. */
static void must_be_survived(struct routing *r, char *text, bool stream)
{
    struct completion_req req;
    struct meter_fake_event ev;
    struct answered a = {0};
    uint64_t began;

    put_both(r);
    atomic_store(&r->sides[0].does, DOES_ANSWER);
    for (int i = 0; i < 2 * BUDGET_SHARE; i++) /* its breaker is closed, and retries are earned */
        routing_good(r, "a", false, "a");
    does(r, text);
    routing_good(r, "ab", stream, "b");
    routing_request(r, &req, "a", stream);
    began = clock_ms();
    routing_call(r, &req, &a, &ev);
    if (a.status != ST_UPSTREAM && a.status != ST_TIMEOUT)
        fail_msg("%s %u %s: %.60s", status_name(a.status), a.http_status, a.err.text, text);
    assert_false(a.has_head);
    assert_int_equal(ev.prompt + ev.completion, 0);
    assert_true(clock_ms() - began < slow_ms(10000));
    answered_fini(&a);
    does(r, NULL); /* before its memory goes */
    wait_until_sent(r);
    routing_good(r, "b", stream, "b");
}

static void survives(struct routing *r, char *text, bool stream)
{
    must_be_survived(r, text, stream);
    free(text);
}

static void headers_without_an_end(void **state)
{
    struct routing *r = *state;

    survives(r, repeat(ANSWER_HEAD "X-Long: ", "0123456789abcdef", 10 * MIB / 16, "\r\n\r\n{}"), false);
    survives(r, repeat(ANSWER_HEAD, "a: b\r\n", 1000000, "\r\n{}"), true);
    survives(r, repeat("", "HTTP/1.1 100 Continue\r\n\r\n", 100000, ""), false);
    survives(r, repeat("HTTP/1.1 ", "200 ", 10000, "\r\n\r\n"), false);
}

static void bodies_without_an_end(void **state)
{
    struct routing *r = *state;

    survives(r, repeat(SSE_HEAD "data: ", "0123456789abcdef", 20 * MIB / 16, ""), true);
    survives(r, repeat(SSE_HEAD, "data: 0123456789\n", MIB, ""), true);
    survives(r, repeat(ANSWER_HEAD "\r\n{\"x\":\"", "0123456789abcdef", 60 * MIB / 16, "\"}"), false);
    survives(r, repeat(ANSWER_HEAD "\r\n", "[", MIB, ""), false);
}

/* Nobody reads such an error, but its status counts. */
static void errors_without_an_end(void **state)
{
    struct routing *r = *state;
    struct completion_req req;
    struct meter_fake_event ev;
    struct answered a = {0};
    char *text = repeat("HTTP/1.1 422 X\r\nContent-Type: application/json\r\n\r\n{\"error\":\"", "0123456789abcdef",
                        20 * MIB / 16, "\"}");

    put_both(r);
    does(r, text);
    routing_request(r, &req, "ab", false);
    r->routes[1].tier = 2;
    routing_call(r, &req, &a, &ev);
    assert_int_equal(a.http_status, 422);
    assert_true(a.bytes.n < 4096);
    assert_true(answered_has(&a, "HTTP status 422"));
    assert_int_equal(ev.attempts, 1);
    answered_fini(&a);
    wait_until_sent(r);
    free(text);
}

static const char bad_gzip[] =
    ANSWER_HEAD "Content-Encoding: gzip\r\nContent-Length: 20\r\n\r\n\x1f\x8b\x08xxxxxxxxxxxxxxxxx";

static void nonsense_of_every_kind(void **state)
{
    static const char *const texts[] = {
        "\r\n\r\n\r\n",
        "HTTP/1.1 abc\r\n\r\n{}",
        "HTTP/1.1 2x0 OK\r\n\r\n{}",
        "HTTP/9.9 200 OK\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\nPRI * HTTP/2.0",
        "HTTP/1.1 407 X\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        bad_gzip,
        "<html>",
    };
    struct routing *r = *state;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        survives(r, repeat(texts[i], "", 0, ""), i % 2 == 1);
}

/* A redirect is an answer like another: who wrote the base URL did not mean that host. */
static void redirects_are_not_followed(void **state)
{
    static const int statuses[] = {301, 302, 303, 307, 308};
    struct routing *r = *state;

    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        char text[256];

        snprintf(text, sizeof(text), "HTTP/1.1 %d X\r\nLocation: http://127.0.0.1:%d/v1/x\r\nContent-Length: 0\r\n\r\n",
                 statuses[i], tiny_port(r->sides[2].tiny));
        must_be_survived(r, text, i % 2 == 0);
    }
    assert_int_equal(routing_seen(r, 2), 0);
}

/* What could end a line in the client's header does not get there. */
static void header_values_are_one_line(void **state)
{
    struct routing *r = *state;
    struct completion_req req;
    struct meter_fake_event ev;
    struct answered a = {0};

    put_both(r);
    does(r, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream;\rX-Evil: 1\r\nX-Request-Id: a\rb\r\n\r\n"
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]}\n\ndata: [DONE]\n\n");
    routing_request(r, &req, "a", true);
    routing_call(r, &req, &a, &ev);
    assert_null(strchr(a.content_type, '\r'));
    assert_null(strchr(a.headers, '\r'));
    answered_fini(&a);
}

/* Nothing is asked to be compressed, so that nothing has to be unpacked; and nothing of ours leads anywhere. */
static void the_request_says_no_more_than_it_must(void **state)
{
    struct routing *r = *state;
    char head[4096];

    put_both(r);
    routing_good(r, "a", false, "a");
    tiny_last_head(r->sides[0].tiny, head, sizeof(head));
    assert_null(strcasestr(head, "accept-encoding"));
    assert_null(strcasestr(head, "\r\nte:"));
    assert_null(strcasestr(head, "cookie"));
    assert_null(strcasestr(head, "forwarded"));
}

/* What a client writes as the model's name stays inside its JSON string. */
static void names_cannot_end_a_line(void **state)
{
    struct routing *r = *state;
    struct completion_req req;
    struct meter_fake_event ev;
    struct answered a = {0};
    char head[4096], sent[4096];

    put_both(r);
    routing_request(r, &req, "a", false);
    r->routes[0].upstream_model = slice_of("a\"\r\nX-Evil: 1\r\n\r\n");
    routing_call(r, &req, &a, &ev);
    assert_int_equal(a.status, ST_OK);
    tiny_last_head(r->sides[0].tiny, head, sizeof(head));
    tiny_last_body(r->sides[0].tiny, sent, sizeof(sent));
    assert_null(strstr(head, "X-Evil"));
    assert_non_null(strstr(sent, "\"a\\\"\\r\\nX-Evil: 1\\r\\n\\r\\n\""));
    answered_fini(&a);
}

static void a_client_header_with_a_line_end_is_refused(void **state)
{
    const struct http_header evil = {.name = slice_of("x-a"), .value = slice_of("1\r\nX-Evil: 1")};
    const struct http_header name = {.name = slice_of("x\n: y\nz"), .value = slice_of("1")};
    struct routing *r = *state;

    put_both(r);
    for (int i = 0; i < 2; i++) {
        struct completion_req req;
        struct meter_fake_event ev;
        struct answered a = {0};

        routing_request(r, &req, "a", false);
        req.headers.items = i == 0 ? &evil : &name;
        req.headers.n = 1;
        routing_call(r, &req, &a, &ev);
        assert_int_equal(a.status, ST_BAD_REQUEST);
        answered_fini(&a);
    }
    assert_int_equal(routing_seen(r, 0), 0);
}

/* ---- addresses -----------------------------------------------------------------------------------------------------
 */

static void put_named(struct routing *r, const char *host, bool internal)
{
    struct catalog_provider named = {.internal = internal};
    char url[96];

    snprintf(url, sizeof(url), "http://%s:%d/v1", host, tiny_port(r->sides[0].tiny));
    named.base_url = slice_of(url);
    routing_put(r, 0, 1, &named);
}

static void a_public_name_may_not_lead_to_a_private_address(void **state)
{
    static const char *const hosts[] = {"public.example", "metadata.internal"};
    struct routing *r = *state;
    struct completion_req req;
    struct meter_fake_event ev;
    struct answered a = {0};

    routing_put(r, 1, 1, NULL);
    for (int i = 0; i < 2; i++) {
        put_named(r, hosts[i], i == 1); /* link-local: not even where private ones are allowed */
        routing_request(r, &req, "a", false);
        routing_call(r, &req, &a, &ev);
        assert_int_equal(a.status, ST_UPSTREAM_CONNECT);
        assert_null(strstr(a.err.text, "address")); /* the client learns nothing of our network */
        assert_int_equal(ev.attempts, 1);
        answered_fini(&a);
        routing_good(r, "ab", false, "b");
    }
    assert_int_equal(routing_seen(r, 0), 0);
    put_named(r, "public.example", true);
    routing_good(r, "a", false, "a");
    put_named(r, "public.example", false); /* and not over the connection that was allowed before */
    routing_call(r, &req, &a, &ev);
    assert_int_equal(routing_seen(r, 0), 1);
    answered_fini(&a);
}

/* Silence for minutes is nothing unusual; a host that is gone must be noticed all the same. */
static void a_kept_connection_is_probed(void **state)
{
    struct routing *r = *state;
    unsigned seen = 0;

    routing_put(r, 0, 1, NULL);
    routing_good(r, "a", false, "a");
    for (int fd = 3; fd < 256; fd++) {
        struct sockaddr_in peer = {0};
        socklen_t n = sizeof(peer), m = sizeof(int);
        int probes = 0, idle_s = 0, unheard_ms = 0;

        if (getpeername(fd, (struct sockaddr *)&peer, &n) != 0 || ntohs(peer.sin_port) != tiny_port(r->sides[0].tiny))
            continue;
        seen++;
        assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &probes, &m), 0);
        assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, &m), 0);
        assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unheard_ms, &m), 0);
        assert_true(probes);
        assert_in_range(idle_s, 1, 60);
        assert_in_range(unheard_ms, 1000, 120000);
    }
    assert_int_not_equal(seen, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, routing_setup, routing_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(headers_without_an_end),
        TEST(bodies_without_an_end),
        TEST(errors_without_an_end),
        TEST(nonsense_of_every_kind),
        TEST(redirects_are_not_followed),
        TEST(header_values_are_one_line),
        TEST(the_request_says_no_more_than_it_must),
        TEST(names_cannot_end_a_line),
        TEST(a_client_header_with_a_line_end_is_refused),
        TEST(a_kept_connection_is_probed),
        TEST(a_public_name_may_not_lead_to_a_private_address),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
