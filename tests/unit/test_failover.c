/* What happens when an attempt comes to nothing: another route, the same once more, or an error that says why; and what
 * a change of the catalog does to calls under way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "providersvc/budget.h"
#include "providersvc/completion.h"
#include "services/clock.h"
#include "tests/unit/routing_world.h"

#define SSE "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
#define JSON "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
#define ROLE                                                                                                           \
    "data: {\"id\":\"a\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},"               \
    "\"finish_reason\":null}]}\n\n"
#define ERROR_EVENT "data: {\"error\":{\"message\":\"no luck\",\"type\":\"server_error\"}}\n\n"

static void does(struct routing *r, unsigned side, enum does what, const char *text)
{
    atomic_store(&r->sides[side].text, text);
    atomic_store(&r->sides[side].does, what);
}

static void put_both(struct routing *r, const struct catalog_provider *first)
{
    routing_put(r, 0, 1, first);
    routing_put(r, 1, 1, NULL);
}

/* A call whose first route is a, its spare b. */
static void with_spare(struct routing *r, bool stream, struct answered *a, struct meter_fake_event *ev)
{
    struct completion_req req;

    routing_request(r, &req, "ab", stream);
    r->routes[1].tier = 2;
    routing_call(r, &req, a, ev);
}

static void alone(struct routing *r, bool stream, struct answered *a, struct meter_fake_event *ev)
{
    struct completion_req req;

    routing_request(r, &req, "a", stream);
    routing_call(r, &req, a, ev);
}

/* Good calls: retries are a tenth of all. */
static void earn_retries(struct routing *r)
{
    put_both(r, NULL);
    does(r, 0, DOES_ANSWER, NULL);
    atomic_store(&r->sides[0].delay_ms, 0);
    for (int i = 0; i < 2 * BUDGET_SHARE; i++)
        routing_good(r, "a", false, "a");
}

/* ---- the faults ----------------------------------------------------------------------------------------------------
 */

struct failing {
    const char *what;
    enum does does;
    int code; /* of DOES_STATUS */
    const char *text;
    bool stream;
    const char *outcome; /* of the attempt */
    enum status status; /* without a spare: of the call; ST_OK: passed on … */
    unsigned http; /* … as this */
    unsigned attempts; /* without a spare */
};

#define CUT_BODY JSON "Content-Length: 900\r\n\r\n{\"id\":"
#define OTHER_TYPE "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 14\r\n\r\n{\"choices\":[]}"
#define MOVED "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
#define BIG_LINE "HTTP/1.1 503 X\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{\"err"

static const struct failing faults[] = {
    {"500", DOES_STATUS, 500, NULL, false, "error", ST_OK, 500, 3},
    {"503", DOES_STATUS, 503, NULL, true, "error", ST_OK, 503, 3},
    {"404", DOES_STATUS, 404, NULL, false, "error", ST_OK, 404, 1},
    {"405", DOES_STATUS, 405, NULL, false, "error", ST_OK, 405, 1},
    {"408", DOES_STATUS, 408, NULL, false, "timeout", ST_TIMEOUT, 504, 1},
    {"401", DOES_STATUS, 401, NULL, false, "error", ST_UPSTREAM, 502, 1},
    {"402", DOES_STATUS, 402, NULL, true, "error", ST_UPSTREAM, 502, 1},
    {"a redirect", DOES_RAW, 0, MOVED, false, "error", ST_UPSTREAM, 502, 1},
    {"an error whose body breaks off", DOES_RAW, 0, BIG_LINE, false, "error", ST_OK, 503, 3},
    {"nothing at all", DOES_RAW, 0, "", false, "broken", ST_UPSTREAM, 502, 1},
    {"no HTTP", DOES_RAW, 0, "\x15\x03\x01hello\r\n\r\n", false, "broken", ST_UPSTREAM, 502, 1},
    {"a cut body", DOES_RAW, 0, CUT_BODY, false, "broken", ST_UPSTREAM, 502, 1},
    {"no JSON", DOES_RAW, 0, JSON "Content-Length: 9\r\n\r\n{\"id\": \"x", false, "error", ST_UPSTREAM, 502, 1},
    {"another type", DOES_RAW, 0, OTHER_TYPE, false, "error", ST_UPSTREAM, 502, 1},
    {"an error of status 200", DOES_RAW, 0, JSON "Content-Length: 33\r\n\r\n{\"error\":{\"message\":\"overloaded\"}}",
     false, "error", ST_UPSTREAM, 502, 1},
    {"an error as first event", DOES_EVENTS, 0, ERROR_EVENT, true, "error", ST_UPSTREAM, 502, 1},
    {"an error after the role", DOES_EVENTS, 0, ROLE ERROR_EVENT, true, "error", ST_UPSTREAM, 502, 1},
    {"a stream without a token", DOES_EVENTS, 0, ROLE, true, "broken", ST_UPSTREAM, 502, 1},
    {"a stream cut before a token", DOES_RAW, 0, SSE ROLE "data: {\"id", true, "broken", ST_UPSTREAM, 502, 1},
    {"a stream of no JSON", DOES_EVENTS, 0, ROLE "data: {\"id\":\n\n", true, "broken", ST_UPSTREAM, 502, 1},
    {"silence", DOES_HANG, 0, NULL, false, "timeout", ST_TIMEOUT, 504, 1},
    {"silence, streamed", DOES_HANG, 0, NULL, true, "timeout", ST_TIMEOUT, 504, 1},
    {"no token for too long", DOES_SLOW_TOKEN, 0, NULL, true, "timeout", ST_TIMEOUT, 504, 1},
};

/* With a spare the client has its answer, and nothing of the first; the failed attempt stands in the bill's list. */
static void a_spare_route_takes_over(void **state)
{
    struct catalog_provider hurried = {.first_byte_ms = 1000};
    struct routing *r = *state;

    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        const struct failing *f = &faults[i];
        struct meter_fake_event ev;
        struct answered a = {0};

        routing_drop(r, 0); /* its keys are new each time; its breaker is closed by a good call */
        earn_retries(r);
        routing_put(r, 0, 1, &hurried);
        atomic_store(&r->sides[0].status, f->code);
        atomic_store(&r->sides[0].delay_ms, 4000);
        does(r, 0, f->does, f->text);
        with_spare(r, f->stream, &a, &ev);
        if (a.status != ST_OK || a.http_status != 200 || strcmp(a.provider, "b") != 0 || ev.n_log != 2)
            fail_msg("%s: %s, %u, by %s, %u in the list: %s", f->what, status_name(a.status), a.http_status, a.provider,
                     ev.n_log, a.err.text);
        assert_true(answered_has(&a, "from b"));
        assert_false(answered_has(&a, "\"id\":\"a\""));
        assert_string_equal(ev.status, "ok");
        assert_string_equal(ev.provider, "b");
        assert_int_equal(ev.prompt, 10);
        assert_int_equal(ev.attempts, 2);
        assert_string_equal(ev.log[0].outcome, f->outcome);
        assert_false(ev.log[0].answered);
        assert_true(ev.log[1].answered);
        answered_fini(&a);
    }
}

static void without_a_spare_the_client_hears_why(void **state)
{
    struct catalog_provider hurried = {.first_byte_ms = 1000};
    struct routing *r = *state;

    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        const struct failing *f = &faults[i];
        struct meter_fake_event ev;
        struct answered a = {0};

        earn_retries(r);
        routing_put(r, 0, 1, &hurried);
        atomic_store(&r->sides[0].status, f->code);
        atomic_store(&r->sides[0].delay_ms, 4000);
        does(r, 0, f->does, f->text);
        alone(r, f->stream, &a, &ev);
        if (a.status != f->status || ev.http_status != f->http || ev.attempts != f->attempts)
            fail_msg("%s: %s, %u, %u attempts: %s", f->what, status_name(a.status), (unsigned)ev.http_status,
                     (unsigned)ev.attempts, a.err.text);
        assert_int_equal(a.has_head, f->status == ST_OK);
        assert_string_equal(ev.status, "error");
        assert_int_equal(ev.prompt + ev.completion, 0);
        assert_false(answered_has(&a, "\"id\":\"a\""));
        answered_fini(&a);
    }
}

/* A client's own mistake is told it by the first, and nobody else is bothered. */
static void a_clients_mistake_goes_nowhere_else(void **state)
{
    static const int statuses[] = {400, 413, 422};
    struct routing *r = *state;

    put_both(r, NULL);
    for (size_t i = 0; i < 3 * sizeof(statuses) / sizeof(statuses[0]); i++) { /* more often than a breaker bears */
        struct meter_fake_event ev;
        struct answered a = {0};

        atomic_store(&r->sides[0].status, statuses[i % 3]);
        does(r, 0, DOES_STATUS, "{\"error\":{\"message\":\"your fault\",\"type\":\"invalid_request_error\"}}");
        with_spare(r, i % 2 == 0, &a, &ev);
        assert_int_equal(a.http_status, statuses[i % 3]);
        assert_true(answered_has(&a, "your fault"));
        assert_int_equal(ev.attempts, 1);
        answered_fini(&a);
    }
    does(r, 0, DOES_RAW,
         JSON "Content-Length: 80\r\n\r\n"
              "{\"error\":{\"message\":\"too long a prompt\",\"type\":\"invalid_request_error\"}}         ");
    for (int i = 0; i < 2; i++) {
        struct meter_fake_event ev;
        struct answered a = {0};

        with_spare(r, false, &a, &ev);
        assert_int_equal(a.http_status, 400); /* although it came with status 200 */
        assert_true(answered_has(&a, "too long a prompt"));
        assert_int_equal(ev.attempts, 1);
        answered_fini(&a);
    }
    assert_int_equal(routing_seen(r, 1), 0);
}

/* What they say may hold pieces of our key. */
static void errors_of_status_200_never_show_our_key(void **state)
{
    struct routing *r = *state;
    struct meter_fake_event ev;
    struct answered a = {0};

    put_both(r, NULL);
    does(r, 0, DOES_RAW,
         JSON "Content-Length: 72\r\n\r\n"
              "{\"error\":{\"message\":\"Incorrect key sk-1\",\"code\":\"invalid_api_key\"}}      ");
    alone(r, false, &a, &ev);
    assert_int_equal(a.status, ST_UPSTREAM);
    assert_string_equal(a.err.code, "upstream_auth_error");
    assert_null(strstr(a.err.text, "sk-1"));
    answered_fini(&a);
    does(r, 0, DOES_EVENTS, "data: {\"error\":{\"message\":\"Incorrect key sk-1\",\"code\":401}}\n\n");
    alone(r, true, &a, &ev);
    assert_string_equal(a.err.code, "upstream_auth_error");
    assert_null(strstr(a.err.text, "sk-1"));
    answered_fini(&a);
}

/* Once it has begun, an answer is this route's, whatever comes: never a byte of another one's. */
static void nothing_is_mixed_into_a_stream_that_has_begun(void **state)
{
    struct catalog_provider hurried = {.idle_ms = 1500};
    struct routing *r = *state;
    struct meter_fake_event ev;
    struct answered a = {0};

    put_both(r, &hurried);
    does(r, 0, DOES_STALL, NULL);
    with_spare(r, true, &a, &ev);
    assert_int_equal(a.status, ST_TIMEOUT);
    assert_true(answered_has(&a, "from a"));
    assert_false(answered_has(&a, "from b"));
    assert_false(answered_has(&a, "[DONE]"));
    assert_string_equal(ev.status, "truncated");
    assert_int_equal(ev.prompt, 11); /* the estimate: usage never came */
    assert_true(ev.completion > 0);
    assert_int_equal(routing_seen(r, 1), 0);
    answered_fini(&a);
}

static void total_ms_bounds_an_attempt(void **state)
{
    struct catalog_provider hurried = {.total_ms = 1500};
    struct routing *r = *state;
    struct meter_fake_event ev;
    struct answered a = {0};

    put_both(r, &hurried);
    does(r, 0, DOES_HANG, NULL);
    with_spare(r, false, &a, &ev);
    assert_string_equal(a.provider, "b");
    assert_in_range(ev.latency_ms, 1500, 10000); /* it hangs for longer */
    answered_fini(&a);
    does(r, 0, DOES_STALL, NULL); /* its answer has begun: cut */
    with_spare(r, true, &a, &ev);
    assert_int_equal(a.status, ST_TIMEOUT);
    assert_string_equal(ev.status, "truncated");
    answered_fini(&a);
}

/* Untried ones first, then the last once more; the budget ends it. */
static void a_route_is_tried_once_while_there_are_others(void **state)
{
    struct routing *r = *state;
    struct completion_req req;
    struct meter_fake_event ev;
    struct answered a = {0};

    for (unsigned i = 0; i < 3; i++) {
        routing_put(r, i, 1, NULL);
        does(r, i, DOES_STATUS, NULL);
    }
    routing_request(r, &req, "abc", false);
    routing_call(r, &req, &a, &ev);
    assert_int_equal(a.http_status, 500);
    assert_int_equal(ev.attempts, 1 + BUDGET_FREE);
    assert_int_equal(routing_seen(r, 0) + routing_seen(r, 1) + routing_seen(r, 2), 1 + BUDGET_FREE);
    for (unsigned i = 0; i < 3; i++)
        assert_true(routing_seen(r, i) >= 1);
    answered_fini(&a);
}

/* Upstream has seen nothing of them: as many as there are calls may go elsewhere. */
static void refused_connections_are_no_retries(void **state)
{
    struct catalog_provider nobody = {.base_url = slice_of("http://127.0.0.1:1/v1")};
    struct routing *r = *state;
    struct completion_req req;
    struct answered a[40] = {0};

    put_both(r, &nobody);
    routing_request(r, &req, "ab", false);
    r->routes[1].tier = 2;
    for (int i = 0; i < 40; i++)
        provider_world_open(&r->w, &req, 20000, &a[i]);
    for (int i = 0; i < 40; i++) {
        assert_true(answered_wait(&a[i], 20000));
        assert_int_equal(a[i].status, ST_OK);
        assert_string_equal(a[i].provider, "b");
        answered_fini(&a[i]);
    }
}

/* Usage that came before the first token is the operator's when the answer came to nothing. */
static void what_a_lost_attempt_cost_is_listed(void **state)
{
    static const char started[] =
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"role\":\"assistant\","
        "\"content\":[],\"model\":\"m\",\"usage\":{\"input_tokens\":50,\"output_tokens\":1}}}\n\n";
    struct catalog_provider claude = {.kind = slice_of("anthropic")};
    struct routing *r = *state;
    struct meter_fake_event ev;
    struct answered a = {0};

    put_both(r, &claude);
    does(r, 0, DOES_EVENTS, started);
    with_spare(r, true, &a, &ev);
    assert_string_equal(a.provider, "b");
    assert_int_equal(ev.prompt, 10);
    assert_int_equal(ev.n_log, 2);
    assert_int_equal(ev.log[0].prompt, 50);
    assert_int_equal(ev.log[1].prompt, 10);
    answered_fini(&a);
    alone(r, true, &a, &ev);
    assert_string_equal(ev.status, "error");
    assert_int_equal(ev.prompt, 0);
    assert_int_equal(ev.n_log, 1);
    assert_int_equal(ev.log[0].prompt, 50);
    answered_fini(&a);
}

/* Anthropic tells the input first and the output last. */
static void usage_that_comes_in_parts_is_put_together(void **state)
{
    static const char events[] =
        "data: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"role\":\"assistant\",\"content\":[],"
        "\"model\":\"m\",\"usage\":{\"input_tokens\":50,\"cache_read_input_tokens\":20,\"output_tokens\":1}}}\n\n"
        "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}"
        "\n\n"
        "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"hi\"}}"
        "\n\n"
        "data: {\"type\":\"content_block_stop\",\"index\":0}\n\n"
        "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":7}}"
        "\n\n"
        "data: {\"type\":\"message_stop\"}\n\n";
    struct catalog_provider claude = {.kind = slice_of("anthropic")};
    struct routing *r = *state;
    struct meter_fake_event ev;
    struct answered a = {0};

    put_both(r, &claude);
    does(r, 0, DOES_EVENTS, events);
    alone(r, true, &a, &ev);
    assert_int_equal(a.status, ST_OK);
    assert_string_equal(ev.status, "ok");
    assert_int_equal(ev.prompt, 70);
    assert_int_equal(ev.cached, 20);
    assert_int_equal(ev.completion, 7);
    assert_false(ev.estimated);
    answered_fini(&a);
}

/* Clients of Anthropic's know what its own statuses mean; those of OpenAI's know others. */
static void anthropics_statuses_are_for_its_own_clients(void **state)
{
    struct catalog_provider claude = {.kind = slice_of("anthropic")};
    struct routing *r = *state;
    struct completion_req req;
    struct meter_fake_event ev;
    struct answered a = {0};

    put_both(r, &claude);
    does(r, 0, DOES_STATUS, NULL);
    atomic_store(&r->sides[0].status, 529);
    routing_request(r, &req, "a", false);
    req.endpoint = slice_of("messages");
    routing_call(r, &req, &a, &ev);
    assert_int_equal(a.http_status, 529);
    answered_fini(&a);
    req.endpoint = slice_of("chat.completions");
    routing_call(r, &req, &a, &ev);
    assert_int_equal(a.http_status, 503);
    answered_fini(&a);
}

/* What cannot be said in one provider's words goes to the next; the client hears why when there is none. */
static void what_one_dialect_cannot_say_another_may(void **state)
{
    static const char body[] = "{\"model\":\"m\",\"n\":2,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}";
    struct catalog_provider claude = {.kind = slice_of("anthropic")};
    struct routing *r = *state;
    struct completion_req req;
    struct meter_fake_event ev;
    struct answered a = {0};

    put_both(r, &claude);
    routing_request(r, &req, "ab", false);
    r->routes[1].tier = 2;
    req.body = slice_of(body);
    routing_call(r, &req, &a, &ev);
    assert_string_equal(a.provider, "b");
    assert_string_equal(ev.status, "ok");
    assert_int_equal(routing_seen(r, 0), 0);
    answered_fini(&a);
    routing_request(r, &req, "a", false);
    req.body = slice_of(body);
    routing_call(r, &req, &a, &ev);
    assert_int_equal(a.status, ST_BAD_REQUEST);
    assert_int_equal(routing_seen(r, 0), 0);
    answered_fini(&a);
}

/* ---- holding back --------------------------------------------------------------------------------------------------
 */

/* A slow first token: with a spare the client sees nothing before it; without one it sees that there is an answer, so
 * that its gateway can keep it alive. */
static void a_stream_is_held_back_only_while_somebody_could_take_over(void **state)
{
    struct routing *r = *state;
    struct completion_req req;
    struct answered one = {0}, two = {0};
    uint64_t began = clock_ms();

    put_both(r, NULL);
    does(r, 0, DOES_SLOW_TOKEN, NULL);
    atomic_store(&r->sides[0].delay_ms, 10000);
    routing_request(r, &req, "a", true);
    provider_world_open(&r->w, &req, 20000, &one);
    routing_request(r, &req, "ab", true);
    r->routes[1].tier = 2;
    provider_world_open(&r->w, &req, 20000, &two);
    assert_true(answered_wait_bytes(&one, 1, 9000));
    assert_true(clock_ms() - began >= 4900);
    assert_true(answered_has(&one, "\"role\""));
    assert_false(answered_has(&one, "from a"));
    assert_int_equal(two.bytes.n, 0);
    assert_true(answered_wait(&one, 18000));
    assert_true(answered_wait(&two, 18000));
    assert_int_equal(one.status, ST_OK);
    assert_int_equal(two.status, ST_OK);
    assert_int_equal(one.bytes.n, two.bytes.n);
    assert_memory_equal(one.bytes.p, two.bytes.p, one.bytes.n);
    answered_fini(&one);
    answered_fini(&two);
}

/* ---- the catalog changes -------------------------------------------------------------------------------------------
 */

static void calls_under_way_keep_what_they_began_with(void **state)
{
    struct routing *r = *state;
    struct completion_req req;
    struct answered stream[3] = {0}, plain[3] = {0};
    struct catalog_provider moved = {.kind = slice_of("openai")}, off = {.disabled = true};
    char url[64];

    put_both(r, NULL);
    atomic_store(&r->sides[0].delay_ms, 600);
    for (int i = 0; i < 3; i++) {
        unsigned seen = routing_seen(r, 0);

        does(r, 0, DOES_SLOW_TOKEN, NULL);
        routing_request(r, &req, "a", true);
        provider_world_open(&r->w, &req, 20000, &stream[i]);
        does(r, 0, DOES_ANSWER, NULL);
        routing_request(r, &req, "a", false);
        provider_world_open(&r->w, &req, 20000, &plain[i]);
        for (int k = 0; k < 1000 && routing_seen(r, 0) < seen + 2; k++)
            usleep(10000);
        assert_int_equal(routing_seen(r, 0), seen + 2);
        if (i == 0) {
            snprintf(url, sizeof(url), "http://127.0.0.1:%d/v1", tiny_port(r->sides[2].tiny));
            moved.base_url = slice_of(url);
            routing_put(r, 0, 1, &moved); /* elsewhere from now on */
            routing_good(r, "a", false, "a");
            assert_int_equal(routing_seen(r, 2), 1);
            routing_put(r, 0, 1, NULL);
        } else if (i == 1) {
            routing_put(r, 0, 1, &off);
            routing_good(r, "ab", false, "b");
            routing_put(r, 0, 1, NULL);
        } else {
            routing_drop(r, 0);
            routing_good(r, "ab", false, "b");
        }
    }
    for (int i = 0; i < 3; i++) {
        assert_true(answered_wait(&stream[i], 20000));
        assert_true(answered_wait(&plain[i], 20000));
        assert_int_equal(stream[i].status, ST_OK);
        assert_int_equal(plain[i].status, ST_OK);
        assert_true(answered_has(&stream[i], "from a"));
        assert_true(answered_has(&stream[i], "[DONE]"));
        answered_fini(&stream[i]);
        answered_fini(&plain[i]);
    }
}

/* A snapshot is the whole truth. */
static void one_that_a_snapshot_does_not_name_is_gone(void **state)
{
    struct catalog_provider echo = {.kind = slice_of("echo")};
    struct routing *r = *state;

    put_both(r, NULL);
    echo.name = slice_of("echo");
    echo.disabled = true;
    routing_put_state(r, &(struct provider_state){.provider = {&echo, 1}});
    routing_good(r, "ab", false, "a");
    routing_wait(r, meter_fake_forget(r->w.meter, "a"));
    routing_good(r, "ab", false, "b");
    routing_wait(r, meter_fake_forget(r->w.meter, "echo")); /* built in: it comes back */
    for (int i = 0; i < 1000 && meter_fake_providers(r->w.meter) != 2; i++)
        usleep(10000);
    assert_int_equal(meter_fake_providers(r->w.meter), 2); /* b and echo */
}

/* One that cannot be used is not served as it was before. */
static void a_record_that_cannot_be_used_ends_the_old_one(void **state)
{
    struct catalog_provider odd = {.kind = slice_of("a kind of next year")};
    struct routing *r = *state;

    put_both(r, NULL);
    routing_good(r, "ab", false, "a");
    routing_put(r, 0, 1, &odd);
    routing_good(r, "ab", false, "b");
    routing_put(r, 0, 1, NULL);
    routing_good(r, "a", false, "a");
}

static void sent_body(struct routing *r, char *to, size_t size)
{
    tiny_last_body(r->sides[0].tiny, to, size);
}

static void members_that_a_provider_refuses_are_left_out(void **state)
{
    static const struct slice names[] = {{"user", 4}, {"metadata", 8}};
    struct catalog_provider strict = {.drop_params = {names, 2}};
    struct routing *r = *state;
    struct completion_req req;
    struct meter_fake_event ev;
    struct answered a = {0};
    char sent[2048];

    put_both(r, &strict);
    routing_request(r, &req, "a", false);
    req.body = slice_of("{\"model\":\"m\", \"user\":\"me\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],"
                        "\"metadata\":{\"k\":\"v\"}}");
    routing_call(r, &req, &a, &ev);
    sent_body(r, sent, sizeof(sent));
    assert_null(strstr(sent, "\"user\":\"me\""));
    assert_null(strstr(sent, "metadata"));
    assert_non_null(strstr(sent, "\"role\":\"user\""));
    answered_fini(&a);
    strict.kind = slice_of("anthropic"); /* user becomes metadata.user_id there: refused, too */
    routing_put(r, 0, 1, &strict);
    routing_call(r, &req, &a, &ev);
    sent_body(r, sent, sizeof(sent));
    assert_non_null(strstr(sent, "max_tokens"));
    assert_null(strstr(sent, "user_id"));
    answered_fini(&a);
}

/* What admission lowered has to arrive: by a route that takes it, or the call is none. */
static void a_limit_of_the_credit_goes_only_where_it_is_taken(void **state)
{
    static const struct slice names[] = {{"max_completion_tokens", 21}};
    struct catalog_provider strict = {.drop_params = {names, 1}};
    struct routing *r = *state;
    struct completion_req req;
    struct meter_fake_event ev;
    struct answered a = {0};
    char sent[2048];

    routing_put(r, 0, 1, &strict);
    routing_put(r, 1, 1, NULL);
    routing_request(r, &req, "a", false);
    req.body = slice_of(" \r\n\t{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}");
    req.output_limit = 33;
    routing_call(r, &req, &a, &ev); /* a limit of the client's own is the client's affair */
    assert_int_equal(a.status, ST_OK);
    answered_fini(&a);
    req.credit_limited = true;
    routing_call(r, &req, &a, &ev);
    assert_int_equal(a.status, ST_NO_FUNDS);
    assert_non_null(strstr(a.err.text, "the provider `a` takes no limit"));
    answered_fini(&a);
    assert_int_equal(routing_seen(r, 0), 1);
    routing_request(r, &req, "ab", false);
    req.body = slice_of(" \r\n\t{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}");
    req.output_limit = 33;
    req.credit_limited = true;
    r->routes[1].tier = 2;
    routing_call(r, &req, &a, &ev);
    assert_int_equal(a.status, ST_OK);
    answered_fini(&a);
    assert_int_equal(routing_seen(r, 0), 1);
    tiny_last_body(r->sides[1].tiny, sent, sizeof(sent));
    assert_non_null(strstr(sent, "\"max_completion_tokens\":33")); /* although white space comes first */
    req.body = slice_of("{\"model\":\"m\",\"max_tokens\":500,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}");
    routing_call(r, &req, &a, &ev);
    assert_int_equal(a.status, ST_OK);
    answered_fini(&a);
    sent_body(r, sent, sizeof(sent));
    assert_non_null(strstr(sent, "\"max_tokens\":33")); /* that name is not refused */
}

static void one_that_has_no_responses_gets_chats(void **state)
{
    struct catalog_provider chats = {.chat_only = true};
    struct routing *r = *state;
    struct completion_req req;
    struct meter_fake_event ev;
    struct answered a = {0};
    char head[2048];

    put_both(r, &chats);
    routing_request(r, &req, "a", false);
    req.endpoint = slice_of("responses");
    req.body = slice_of("{\"model\":\"m\",\"input\":\"hi\"}");
    routing_call(r, &req, &a, &ev);
    assert_int_equal(a.status, ST_OK);
    assert_true(answered_has(&a, "\"object\":\"response\""));
    assert_true(answered_has(&a, "from a"));
    assert_int_equal(ev.prompt, 10);
    assert_int_equal(ev.price_percent, 0); /* what it calls a tier costs no other price */
    tiny_last_head(r->sides[0].tiny, head, sizeof(head));
    assert_non_null(strstr(head, "POST /v1/chat/completions HTTP/1.1\r\n"));
    answered_fini(&a);
    routing_put(r, 0, 1, NULL);
    routing_call(r, &req, &a, &ev);
    tiny_last_head(r->sides[0].tiny, head, sizeof(head));
    assert_non_null(strstr(head, "POST /v1/responses HTTP/1.1\r\n"));
    assert_int_equal(ev.price_percent, 50);
    answered_fini(&a);
}

/* What is cut in decides about the bill: blanks before the object change none of it. */
static void blanks_before_a_body_keep_nothing_from_being_cut(void **state)
{
    static const char *const blanks[] = {"", " ", "\t", "\n", "\r", "\r\n \t\n "};
    struct slice dropped = slice_of("seed");
    struct catalog_provider strict = {.drop_params = {&dropped, 1}};
    struct routing *r = *state;
    struct completion_req req;
    struct meter_fake_event ev;

    routing_put(r, 0, 1, &strict);
    for (size_t i = 0; i < sizeof(blanks) / sizeof(blanks[0]); i++) {
        struct answered a = {0};
        char body[256], sent[4096], expected[256];

        snprintf(body, sizeof(body), "%s{\"model\":\"m\",\"stream\":true,\"seed\":1,\"max_tokens\":900} ", blanks[i]);
        snprintf(expected, sizeof(expected),
                 "%s{\"model\":\"mapped\",\"stream\":true,\"max_tokens\":77,"
                 "\"stream_options\":{\"include_usage\":true}} ",
                 blanks[i]);
        routing_request(r, &req, "a", true);
        r->routes[0].upstream_model = slice_of("mapped");
        req.body = slice_of(body);
        req.output_limit = 77;
        routing_call(r, &req, &a, &ev);
        assert_int_equal(a.status, ST_OK);
        tiny_last_body(r->sides[0].tiny, sent, sizeof(sent));
        assert_string_equal(sent, expected);
        answered_fini(&a);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, routing_setup, routing_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_spare_route_takes_over),
        TEST(without_a_spare_the_client_hears_why),
        TEST(a_clients_mistake_goes_nowhere_else),
        TEST(errors_of_status_200_never_show_our_key),
        TEST(nothing_is_mixed_into_a_stream_that_has_begun),
        TEST(total_ms_bounds_an_attempt),
        TEST(a_route_is_tried_once_while_there_are_others),
        TEST(refused_connections_are_no_retries),
        TEST(what_a_lost_attempt_cost_is_listed),
        TEST(usage_that_comes_in_parts_is_put_together),
        TEST(anthropics_statuses_are_for_its_own_clients),
        TEST(what_one_dialect_cannot_say_another_may),
        TEST(a_stream_is_held_back_only_while_somebody_could_take_over),
        TEST(calls_under_way_keep_what_they_began_with),
        TEST(one_that_a_snapshot_does_not_name_is_gone),
        TEST(a_record_that_cannot_be_used_ends_the_old_one),
        TEST(members_that_a_provider_refuses_are_left_out),
        TEST(a_limit_of_the_credit_goes_only_where_it_is_taken),
        TEST(one_that_has_no_responses_gets_chats),
        TEST(blanks_before_a_body_keep_nothing_from_being_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
