/* providersvc against an upstream that does what the test wants: bytes out, bytes back, errors, retries, the bill. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/endpoints.h"
#include "providersvc/completion.h"
#include "services/clock.h"
#include "tests/lib/slow.h"
#include "tests/unit/provider_world.h"
#include "tests/unit/tiny_upstream.h"

#define PLAIN                                                                                                          \
    "{ \"id\":\"x\",\"object\":\"chat.completion\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","     \
    "\"content\":\"Lima\"},\"finish_reason\":\"stop\"}],\n \"usage\":{\"prompt_tokens\":21,\"completion_tokens\":2,"   \
    "\"total_tokens\":23,\"prompt_tokens_details\":{\"cached_tokens\":5},\"completion_tokens_details\":null} }"
#define CHUNK(delta, finish, tail)                                                                                     \
    "data: {\"id\":\"x\",\"choices\":[{\"index\":0,\"delta\":{" delta "},\"finish_reason\":" finish "}]" tail "}\n\n"
#define FIRST CHUNK("\"role\":\"assistant\",\"content\":\"\"", "null", ",\"usage\":null")
#define HOLA CHUNK("\"content\":\"Hola\"", "null", ",\"usage\":null")
#define LAST CHUNK("", "\"stop\"", ",\"usage\":null")
#define USAGE                                                                                                          \
    "data: "                                                                                                           \
    "{\"id\":\"x\",\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":4,\"total_tokens\":16}}\n\n"
#define DONE "data: [DONE]\n\n"

static struct provider_world world;
static struct tiny *tiny;

static bool says(const struct tiny_request *r, const char *word)
{
    return strstr(r->body, word) != NULL;
}

static bool send_text(int fd, const char *text)
{
    return tiny_send(fd, text, strlen(text));
}

static enum tiny_next stream_script(int fd, const struct tiny_request *r)
{
    bool ok = tiny_sse_head(fd);

    if (says(r, "do-error-first"))
        ok = ok &&
             tiny_sse(fd, "data: {\"error\":{\"message\":\"no luck\",\"type\":\"server_error\",\"code\":502}}\n\n");
    else
        ok = ok && tiny_sse(fd, ": hello\n\n") && tiny_sse(fd, FIRST) && tiny_sse(fd, HOLA);
    if (says(r, "do-cut"))
        return TINY_CLOSE;
    if (says(r, "do-reset"))
        return TINY_RESET;
    if (says(r, "do-hang"))
        (void)tiny_wait_gone(fd, 10000);
    if (says(r, "do-error-event"))
        return tiny_sse(fd, "data: {\"error\":{\"message\":\"late\"}}\n\n") && tiny_sse_end(fd) ? TINY_KEEP
                                                                                                : TINY_CLOSE;
    if (says(r, "do-bad-json"))
        return tiny_sse(fd, "data: {\"id\":\"x\",\n\n") && tiny_sse(fd, HOLA) && tiny_sse_end(fd) ? TINY_KEEP
                                                                                                  : TINY_CLOSE;
    if (says(r, "do-no-end"))
        return tiny_sse_end(fd) ? TINY_KEEP : TINY_CLOSE;
    ok = ok && tiny_sse(fd, LAST);
    if (!says(r, "do-no-usage"))
        ok = ok && tiny_sse(fd, USAGE);
    if (!says(r, "do-no-done"))
        ok = ok && tiny_sse(fd, DONE);
    if (says(r, "do-linger"))
        (void)tiny_wait_gone(fd, 5000);
    return ok && tiny_sse_end(fd) ? TINY_KEEP : TINY_CLOSE;
}

static enum tiny_next error_script(int fd, const struct tiny_request *r)
{
    static const char auth[] = "{\"error\":{\"message\":\"Incorrect API key sk-up**am\",\"code\":\"invalid_api_key\"}}";
    bool ok = false;

    if (says(r, "do-400"))
        ok = tiny_answer(fd, 400, "application/json",
                         "{ \"error\":{\"message\":\"bad temperature\",\"param\":\"temperature\"}}");
    else if (says(r, "do-401"))
        ok = tiny_answer(fd, 401, "application/json", auth);
    else if (says(r, "do-402"))
        ok = tiny_answer(fd, 402, "application/json", "{\"error\":{\"message\":\"pay\"}}");
    else if (says(r, "do-405"))
        ok = tiny_answer(fd, 405, "application/json", "{\"error\":{\"message\":\"not by POST\"}}");
    else if (says(r, "do-418"))
        ok = tiny_answer(fd, 418, "text/plain", "teapot");
    else if (says(r, "do-422"))
        ok = tiny_answer(fd, 422, "application/json", "{\"object\":\"error\",\"message\":\"flat\",\"code\":3}");
    else if (says(r, "do-529"))
        ok = tiny_answer(fd, 529, "text/html", "<html>busy</html>");
    else if (says(r, "do-429"))
        ok = send_text(
            fd, "HTTP/1.1 429 X\r\nContent-Type: application/json\r\nRetry-After: 5.5\r\nContent-Length: 28\r\n\r\n"
                "{\"error\":{\"message\":\"slow\"}}");
    return ok ? TINY_KEEP : TINY_CLOSE;
}

#define JOB "{\"id\":\"job_1\",\"status\":\"failed\",\"error\":{\"message\":\"out of paint\",\"code\":\"x\"}}"

static enum tiny_next script(int fd, const struct tiny_request *r, void *ctx)
{
    (void)ctx;
    if (says(r, "do-vanish"))
        return TINY_CLOSE;
    if (says(r, "do-silence")) {
        (void)tiny_wait_gone(fd, 10000);
        return TINY_CLOSE;
    }
    if (says(r, "do-no-options") && says(r, "stream_options"))
        return tiny_answer(fd, 400, "application/json", "{\"error\":{\"message\":\"Unknown field stream_options\"}}")
                   ? TINY_KEEP
                   : TINY_CLOSE;
    if (says(r, "do-4") || says(r, "do-5"))
        return error_script(fd, r);
    if (says(r, "\"stream\":true"))
        return stream_script(fd, r);
    if (says(r, "do-200-error"))
        return tiny_answer(fd, 200, "application/json", "{\"error\":{\"message\":\"sorry\",\"code\":402}}")
                   ? TINY_KEEP
                   : TINY_CLOSE;
    if (says(r, "do-200-job"))
        return tiny_answer(fd, 200, "application/json", JOB) ? TINY_KEEP : TINY_CLOSE;
    if (says(r, "do-html"))
        return tiny_answer(fd, 200, "text/html", "<p>hi</p>") ? TINY_KEEP : TINY_CLOSE;
    if (says(r, "do-half"))
        return send_text(fd, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{\"id\":")
                   ? TINY_CLOSE
                   : TINY_RESET;
    if (says(r, "do-no-usage"))
        return tiny_answer(fd, 200, "application/json",
                           "{\"choices\":[{\"index\":0,\"message\":{\"content\":\"12345678\"}}]}")
                   ? TINY_KEEP
                   : TINY_CLOSE;
    return tiny_answer(fd, 200, "application/json; charset=utf-8", PLAIN) ? TINY_KEEP : TINY_CLOSE;
}

static int setup(void **state)
{
    char url[64];

    (void)state;
    tiny = tiny_start(script, NULL);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/v1/", tiny_port(tiny));
    provider_world_start(&world, NULL, url);
    world.settings.upstream_first_byte_ms = world.settings.upstream_answer_ms = 1500;
    world.settings.upstream_idle_ms = 1500;
    provider_world_service(&world, &providersvc_def);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    provider_world_stop(&world);
    tiny_stop(tiny);
    return 0;
}

static void call(const char *body, bool stream, struct answered *a, struct meter_fake_event *ev)
{
    struct completion_req req;

    provider_world_request(&world, &req, "openai", body);
    req.stream = stream;
    provider_world_call(&world, &req, a, ev);
    for (int i = 0; i < 2 && a->status != ST_OK; i++) { /* else it counts as failing after some tests */
        struct meter_fake_event unused;
        struct answered good = {0};

        provider_world_request(&world, &req, "openai", "{}");
        provider_world_call(&world, &req, &good, &unused);
        answered_fini(&good);
    }
}

static void assert_bytes(const struct answered *a, const char *expected)
{
    assert_int_equal(a->bytes.n, strlen(expected));
    assert_memory_equal(a->bytes.p, expected, a->bytes.n);
}

#define BODY(words) "{ \"model\" : \"gpt-4o-mini\",\"messages\":[{\"role\":\"user\",\"content\":\"" words "\"}] }"
#define STREAM_BODY(words)                                                                                             \
    "{\"model\":\"gpt-4o-mini\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"" words "\"}]}"

/* ---- the faithful pipe
 * ----------------------------------------------------------------------------------------------- */

static void a_plain_call_is_passed_byte_for_byte(void **state)
{
    struct meter_fake_event ev;
    struct answered a = {0};
    char sent[4096];

    (void)state;
    call(BODY("hi \\u00e9 \\/"), false, &a, &ev);
    assert_int_equal(a.status, ST_OK);
    assert_int_equal(a.http_status, 200);
    assert_string_equal(a.content_type, "application/json; charset=utf-8");
    assert_string_equal(a.provider, "openai");
    assert_string_equal(a.outcome, "ok");
    assert_bytes(&a, PLAIN);
    assert_int_equal(a.rep.prompt_tokens, 21);
    assert_int_equal(a.rep.cached_tokens, 5);
    assert_int_equal(a.rep.completion_tokens, 2);
    assert_false(a.rep.estimated);
    tiny_last_body(tiny, sent, sizeof(sent));
    assert_string_equal(sent, BODY("hi \\u00e9 \\/"));
    assert_string_equal(ev.status, "ok");
    assert_int_equal(ev.prompt, 21);
    assert_int_equal(ev.cached, 5);
    assert_int_equal(ev.completion, 2);
    assert_int_equal(ev.http_status, 200);
    assert_int_equal(ev.price_id, 7);
    assert_int_equal(ev.hold_nano, 1000);
    assert_int_equal(ev.attempts, 1);
    answered_fini(&a);
}

static void the_request_has_the_headers_that_it_should(void **state)
{
    struct meter_fake_event ev;
    struct answered a = {0};
    char head[4096], id[200];

    (void)state;
    call(BODY("hi"), false, &a, &ev);
    tiny_last_head(tiny, head, sizeof(head));
    assert_non_null(strstr(head, "POST /v1/chat/completions HTTP/1.1\r\n"));
    assert_non_null(strstr(head, "Authorization: Bearer sk-upstream\r\n"));
    assert_non_null(strstr(head, "Content-Type: application/json\r\n"));
    assert_non_null(strstr(head, "Accept: application/json\r\n"));
    assert_non_null(strstr(head, "User-Agent: openai-router\r\n"));
    assert_null(strcasestr(head, "expect:"));
    assert_null(strcasestr(head, "transfer-encoding:"));
    snprintf(id, sizeof(id), "X-Client-Request-Id: %s\r\n", a.request_id);
    assert_non_null(strstr(head, id));
    answered_fini(&a);
}

static void members_are_cut_in_and_the_rest_stays(void **state)
{
    struct completion_req req;
    struct meter_fake_event ev;
    struct answered a = {0};
    char sent[4096];

    (void)state;
    provider_world_request(&world, &req, "openai", "{ \"model\" : \"mine\",\"max_tokens\":900, \"x\":[1, 2] }");
    req.model = slice_of("mine");
    provider_world_route(&world, &req, "openai", "gpt-4o-mini");
    req.output_limit = 77;
    provider_world_call(&world, &req, &a, &ev);
    tiny_last_body(tiny, sent, sizeof(sent));
    assert_string_equal(sent, "{ \"model\" : \"gpt-4o-mini\",\"max_tokens\":77, \"x\":[1, 2] }");
    answered_fini(&a);
}

static void connections_are_kept(void **state)
{
    struct meter_fake_event ev;
    unsigned before;

    (void)state;
    for (int i = 0; i < 5; i++) {
        struct answered a = {0};

        if (i == 1)
            before = tiny_connections(tiny);
        call(BODY("again"), false, &a, &ev);
        answered_fini(&a);
    }
    assert_int_equal(tiny_connections(tiny), before);
}

/* ---- streams
 * ------------------------------------------------------------------------------------------------------------ */

#define HIDDEN(delta, finish) CHUNK(delta, finish, "")

static void a_client_that_did_not_ask_for_usage_does_not_see_it(void **state)
{
    struct meter_fake_event ev;
    struct answered a = {0};
    char sent[4096];

    (void)state;
    call(STREAM_BODY("hi"), true, &a, &ev);
    assert_int_equal(a.status, ST_OK);
    assert_string_equal(a.content_type, "text/event-stream");
    assert_bytes(&a, ": hello\n\n" HIDDEN("\"role\":\"assistant\",\"content\":\"\"", "null")
                         HIDDEN("\"content\":\"Hola\"", "null") HIDDEN("", "\"stop\"") DONE);
    tiny_last_body(tiny, sent, sizeof(sent));
    assert_non_null(strstr(sent, "\"stream_options\":{\"include_usage\":true}"));
    assert_string_equal(a.outcome, "ok");
    assert_int_equal(ev.prompt, 12);
    assert_int_equal(ev.completion, 4);
    assert_true(ev.stream);
    assert_false(ev.estimated);
    answered_fini(&a);
}

static void a_client_that_asked_for_usage_gets_upstreams_bytes(void **state)
{
    struct completion_req req;
    struct meter_fake_event ev;
    struct answered a = {0};
    char sent[4096];

    (void)state;
    provider_world_request(&world, &req, "openai", STREAM_BODY("hi"));
    req.stream = true;
    req.usage_asked = true;
    provider_world_call(&world, &req, &a, &ev);
    assert_bytes(&a, ": hello\n\n" FIRST HOLA LAST USAGE DONE);
    tiny_last_body(tiny, sent, sizeof(sent));
    assert_string_equal(sent, STREAM_BODY("hi"));
    answered_fini(&a);
}

static void a_stream_without_usage_is_estimated(void **state)
{
    struct meter_fake_event ev;
    struct answered a = {0};

    (void)state;
    call(STREAM_BODY("do-no-usage"), true, &a, &ev);
    assert_string_equal(ev.status, "ok");
    assert_true(ev.estimated);
    assert_int_equal(ev.prompt, 11);
    assert_int_equal(ev.completion, 1);
    answered_fini(&a);
}

static void a_finished_stream_without_done_gets_one(void **state)
{
    struct meter_fake_event ev;
    struct answered a = {0};

    (void)state;
    call(STREAM_BODY("do-no-done"), true, &a, &ev);
    assert_int_equal(a.status, ST_OK);
    assert_string_equal(ev.status, "ok");
    assert_memory_equal(a.bytes.p + a.bytes.n - strlen(DONE), DONE, strlen(DONE));
    answered_fini(&a);
}

static void a_stream_that_lingers_after_done_ends_anyway(void **state)
{
    struct meter_fake_event ev;
    struct answered a = {0};

    (void)state;
    call(STREAM_BODY("do-linger"), true, &a, &ev);
    assert_int_equal(a.status, ST_OK);
    assert_string_equal(ev.status, "ok");
    answered_fini(&a);
}

/* Delivered tokens are billed, and no [DONE] is made up. */
static void a_broken_stream_is_truncated(void **state)
{
    static const char *const how[] = {STREAM_BODY("do-cut"), STREAM_BODY("do-reset"), STREAM_BODY("do-hang"),
                                      STREAM_BODY("do-bad-json"), STREAM_BODY("do-no-end")};

    (void)state;
    for (size_t i = 0; i < sizeof(how) / sizeof(how[0]); i++) {
        struct meter_fake_event ev;
        struct answered a = {0};

        call(how[i], true, &a, &ev);
        assert_int_equal(a.status, strstr(how[i], "hang") != NULL ? ST_TIMEOUT : ST_UPSTREAM);
        assert_true(answered_has(&a, "Hola"));
        assert_false(answered_has(&a, "[DONE]"));
        assert_string_equal(ev.status, "truncated");
        assert_true(ev.estimated);
        assert_int_equal(ev.prompt, 11);
        assert_int_equal(ev.completion, 1);
        answered_fini(&a);
    }
}

static void an_error_event_in_the_middle_goes_through_alone(void **state)
{
    struct meter_fake_event ev;
    struct answered a = {0};

    (void)state;
    call(STREAM_BODY("do-error-event"), true, &a, &ev);
    assert_int_equal(a.status, ST_OK);
    assert_string_equal(a.outcome, "truncated");
    assert_true(answered_has(&a, "\"late\""));
    assert_false(answered_has(&a, "[DONE]"));
    assert_string_equal(ev.status, "truncated");
    assert_int_equal(ev.completion, 1);
    answered_fini(&a);
}

static void an_error_as_first_event_is_an_error(void **state)
{
    struct meter_fake_event ev;
    struct answered a = {0};

    (void)state;
    call(STREAM_BODY("do-error-first"), true, &a, &ev);
    assert_int_equal(a.status, ST_UPSTREAM);
    assert_false(a.has_head);
    assert_non_null(strstr(a.err.text, "no luck"));
    assert_string_equal(ev.status, "error");
    assert_int_equal(ev.http_status, 502);
    assert_int_equal(ev.prompt + ev.completion, 0);
    answered_fini(&a);
}

static void stream_options_that_are_refused_are_left_out(void **state)
{
    struct meter_fake_event ev;
    struct answered a = {0}, b = {0};
    unsigned before = tiny_requests(tiny);

    (void)state;
    call(STREAM_BODY("do-no-options"), true, &a, &ev);
    assert_int_equal(a.status, ST_OK);
    assert_string_equal(ev.status, "ok");
    assert_int_equal(ev.attempts, 2);
    assert_int_equal(tiny_requests(tiny) - before, 2);
    call(STREAM_BODY("do-no-options"), true, &b, &ev); /* and it is remembered */
    assert_int_equal(ev.attempts, 1);
    answered_fini(&a);
    answered_fini(&b);
}

/* A body that a translator made: what the operator knows of this upstream holds for it, too; and the client of a stream
 * without usage is told what the bill says. */
static void a_translated_stream_fares_no_worse(void **state)
{
    struct completion_req req;
    struct meter_fake_event ev;
    struct answered a = {0};
    char sent[4096];

    (void)state;
    provider_world_request(
        &world, &req, "openai",
        "{\"model\":\"m\",\"max_tokens\":9,\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":"
        "\"do-no-options do-no-usage\"}]}");
    req.endpoint = slice_of(ENDPOINT_MESSAGES);
    req.stream = true;
    provider_world_call(&world, &req, &a, &ev);
    assert_int_equal(a.status, ST_OK);
    tiny_last_body(tiny, sent, sizeof(sent));
    assert_null(strstr(sent, "stream_options"));
    assert_true(answered_has(&a, "event: message_stop\n"));
    assert_true(answered_has(&a, "\"input_tokens\":11,"));
    assert_true(answered_has(&a, "\"output_tokens\":1}"));
    assert_true(ev.estimated);
    assert_int_equal(ev.prompt, 11);
    assert_int_equal(ev.completion, 1);
    answered_fini(&a);
}

/* ---- errors
 * ---------------------------------------------------------------------------------------------------------------- */

struct error_case {
    const char *word;
    enum status status; /* ST_OK: passed on as http_status */
    unsigned http_status;
    const char *text, *code;
};

static void errors_are_mapped(void **state)
{
    static const struct error_case cases[] = {
        {"do-400", ST_OK, 400, "{ \"error\":{\"message\":\"bad temperature\",\"param\":\"temperature\"}}", NULL},
        {"do-405", ST_OK, 405, "{\"error\":{\"message\":\"not by POST\"}}", NULL},
        {"do-422", ST_OK, 422,
         "{\"error\":{\"message\":\"flat\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":\"3\"}}", NULL},
        {"do-529", ST_OK, 503,
         "{\"error\":{\"message\":\"The provider answered with HTTP status "
         "503.\",\"type\":\"server_error\",\"param\":null,\"code\":null}}",
         NULL},
        {"do-401", ST_UPSTREAM, 502, NULL, "upstream_auth_error"},
        {"do-402", ST_UPSTREAM, 502, NULL, "upstream_billing_error"},
        {"do-418", ST_UPSTREAM, 502, NULL, ""},
        {"do-200-error", ST_UPSTREAM, 502, NULL, "upstream_billing_error"},
        {"do-html", ST_UPSTREAM, 502, NULL, ""},
        {"do-half", ST_UPSTREAM, 502, NULL, ""},
        {"do-silence", ST_TIMEOUT, 504, NULL, ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct error_case *e = &cases[i];
        struct meter_fake_event ev;
        struct answered a = {0};
        char body[256];

        snprintf(body, sizeof(body),
                 "{\"model\":\"gpt-4o-mini\",\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}]}", e->word);
        call(body, false, &a, &ev);
        assert_int_equal(a.status, e->status);
        assert_string_equal(ev.status, "error");
        assert_int_equal(ev.http_status, e->http_status);
        assert_int_equal(ev.prompt + ev.completion, 0);
        assert_int_equal(ev.attempts, strcmp(e->word, "do-529") == 0 ? COMPLETION_TRIES_MAX : 1);
        if (e->text != NULL) {
            assert_int_equal(a.http_status, e->http_status);
            assert_string_equal(a.content_type, "application/json");
            assert_bytes(&a, e->text);
            assert_string_equal(a.outcome, "error");
        } else {
            assert_string_equal(a.err.code, e->code);
            assert_null(strstr(a.err.text, "sk-up"));
        }
        answered_fini(&a);
    }
}

/* A job or a video that failed says so in a member of the same name, and a file may hold anything. */
static void an_objects_own_error_is_no_failure(void **state)
{
    static const struct {
        const char *endpoint, *word, *bytes; /* NULL = it is a failure */
    } cases[] = {
        {ENDPOINT_OTHER, "do-200-job", JOB},
        {ENDPOINT_BATCHES_OBJECT, "do-200-job", JOB},
        {ENDPOINT_FILES_OBJECT, "do-200-error", "{\"error\":{\"message\":\"sorry\",\"code\":402}}"},
        {ENDPOINT_OTHER, "do-200-error", NULL},
        {ENDPOINT_IMAGES, "do-200-error", NULL},
        {ENDPOINT_CHAT, "do-200-job", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct completion_req req;
        struct meter_fake_event ev;
        struct answered a = {0};
        char body[64];

        snprintf(body, sizeof(body), "{\"model\":\"m\",\"input\":\"%s\"}", cases[i].word);
        provider_world_request(&world, &req, "openai", body);
        req.endpoint = slice_of(cases[i].endpoint);
        req.path = slice_of("/things/1");
        provider_world_call(&world, &req, &a, &ev);
        if (cases[i].bytes != NULL) {
            assert_int_equal(a.status, ST_OK);
            assert_int_equal(a.http_status, 200);
            assert_bytes(&a, cases[i].bytes);
        } else {
            assert_int_equal(a.status, ST_UPSTREAM);
        }
        assert_string_equal(ev.status, cases[i].bytes != NULL ? "ok" : "error");
        answered_fini(&a);
        call(BODY("hi"), false, &a, &ev); /* else it counts as failing after some */
        answered_fini(&a);
    }
}

/* What upstream asked to wait is not waited for when it is long, but nobody asks it again before. */
static void a_limit_rests_the_key(void **state)
{
    struct completion_req req;
    struct meter_fake_event ev;
    struct answered a = {0}, b = {0};
    unsigned before;

    (void)state;
    call(BODY("do-429"), false, &a, &ev);
    assert_int_equal(a.http_status, 429);
    assert_bytes(&a, "{\"error\":{\"message\":\"slow\"}}");
    assert_int_equal(a.retry_after_ms, 5500);
    assert_int_equal(ev.attempts, 1);
    before = tiny_requests(tiny);
    provider_world_request(&world, &req, "openai", BODY("hi"));
    provider_world_open(&world, &req, 1000, &b);
    assert_true(answered_wait(&b, 15000));
    assert_int_equal(b.status, ST_UNAVAILABLE);
    assert_true(b.err.retry_after_ms > 500 && b.err.retry_after_ms <= 5500);
    assert_int_equal(tiny_requests(tiny), before);
    usleep((useconds_t)b.err.retry_after_ms * 1000);
    answered_fini(&a);
    answered_fini(&b);
    world.calls--; /* it was refused: no event */
    call(BODY("hi"), false, &a, &ev);
    assert_int_equal(a.status, ST_OK);
    answered_fini(&a);
}

/* The promise behind it all: what may have been done is never done twice. */
static void a_post_that_vanished_is_not_sent_again(void **state)
{
    struct completion_req req;
    struct meter_fake_event ev;
    struct answered a = {0}, b = {0};
    unsigned before;

    (void)state;
    call(BODY("hi"), false, &a, &ev); /* leaves a kept connection */
    before = tiny_requests(tiny);
    provider_world_request(&world, &req, "openai", BODY("do-vanish"));
    provider_world_call(&world, &req, &b, &ev);
    assert_int_equal(b.status, ST_UPSTREAM);
    assert_int_equal(tiny_requests(tiny) - before, 1);
    assert_string_equal(ev.status, "error");
    assert_int_equal(ev.prompt + ev.completion, 0);
    answered_fini(&a);
    answered_fini(&b);
}

static void a_plain_answer_without_usage_is_estimated(void **state)
{
    struct meter_fake_event ev;
    struct answered a = {0};

    (void)state;
    call(BODY("do-no-usage"), false, &a, &ev);
    assert_string_equal(ev.status, "ok");
    assert_true(ev.estimated);
    assert_int_equal(ev.prompt, 11);
    assert_int_equal(ev.completion, 2);
    answered_fini(&a);
}

/* ---- clients that leave, clients that are slow
 * ------------------------------------------------------------------------------- */

/* Returns how long it took until the call was billed. */
static uint64_t leave(void)
{
    struct completion_req req;
    struct meter_fake_event ev;
    struct answered a = {0};
    unsigned before = tiny_connections(tiny);
    uint64_t took;

    provider_world_request(&world, &req, "openai", STREAM_BODY("do-hang"));
    req.stream = true;
    provider_world_open(&world, &req, 20000, &a);
    assert_true(answered_wait_bytes(&a, strlen(": hello\n\n"), 15000));
    usleep(50000);
    took = clock_ms();
    xchg_cancel(world.client, a.id);
    assert_true(answered_wait(&a, 15000));
    assert_int_equal(a.status, ST_CANCELLED);
    assert_true(meter_fake_find(world.meter, a.request_id, 15000, &ev));
    took = clock_ms() - took;
    assert_string_equal(ev.status, "cancelled");
    assert_int_equal(ev.http_status, 200);
    assert_true(ev.estimated);
    assert_int_equal(ev.prompt, 11);
    assert_int_equal(ev.completion, 1);
    assert_true(tiny_connections(tiny) >= before);
    answered_fini(&a);
    return took;
}

static void a_client_that_leaves_stops_upstream(void **state)
{
    unsigned tries = 0;

    (void)state;
    while (leave() >= 300)
        assert_true(++tries < SLOW_TRIES);
}

static void a_call_that_is_cancelled_before_any_token_costs_nothing(void **state)
{
    struct completion_req req;
    struct meter_fake_event ev;
    struct answered a = {0};

    (void)state;
    provider_world_request(&world, &req, "openai", BODY("do-silence"));
    provider_world_open(&world, &req, 20000, &a);
    usleep(50000);
    xchg_cancel(world.client, a.id);
    assert_true(meter_fake_find(world.meter, a.request_id, 15000, &ev));
    assert_string_equal(ev.status, "cancelled");
    assert_int_equal(ev.http_status, 499);
    assert_int_equal(ev.prompt + ev.completion, 0);
    assert_true(answered_wait(&a, 15000));
    answered_fini(&a);
}

static void a_deadline_ends_a_call(void **state)
{
    struct completion_req req;
    struct meter_fake_event ev;
    struct answered a = {0};

    (void)state;
    provider_world_request(&world, &req, "openai", BODY("do-silence"));
    provider_world_open(&world, &req, 500, &a);
    assert_true(answered_wait(&a, 15000));
    assert_int_equal(a.status, ST_TIMEOUT);
    assert_true(meter_fake_find(world.meter, a.request_id, 15000, &ev));
    assert_string_equal(ev.status, "error");
    assert_int_equal(ev.http_status, 504);
    answered_fini(&a);
}

/* ---- nobody there
 * ---------------------------------------------------------------------------------------------------------------- */

static void an_unknown_provider_is_refused_without_a_record(void **state)
{
    struct completion_req req;
    struct meter_fake_event ev;
    struct answered a = {0};

    (void)state;
    provider_world_request(&world, &req, "nobody", BODY("hi"));
    provider_world_open(&world, &req, 5000, &a);
    assert_true(answered_wait(&a, 15000));
    assert_int_equal(a.status, ST_UNAVAILABLE);
    assert_false(meter_fake_find(world.meter, a.request_id, 100, &ev));
    answered_fini(&a);
}

static void a_closed_port_is_tried_again_and_given_up(void **state)
{
    struct provider_world w;
    struct completion_req req;
    struct meter_fake_event ev;
    struct answered a = {0};

    (void)state;
    provider_world_start(&w, &providersvc_def, "http://127.0.0.1:1/v1");
    provider_world_request(&w, &req, "openai", BODY("hi"));
    provider_world_call(&w, &req, &a, &ev);
    assert_int_equal(a.status, ST_UPSTREAM_CONNECT);
    assert_int_equal(ev.attempts, 3);
    assert_string_equal(ev.status, "error");
    assert_int_equal(ev.http_status, 502);
    answered_fini(&a);
    provider_world_stop(&w);
}

static void providers_are_announced(void **state)
{
    (void)state;
    for (int i = 0; i < 1500 && meter_fake_providers(world.meter) != 2; i++)
        usleep(10000);
    assert_true(meter_fake_announced(world.meter) >= 1);
    assert_int_equal(meter_fake_providers(world.meter), 2);
}

static void every_call_has_one_event(void **state)
{
    (void)state;
    /* the calls of this file, but for the one of an unknown provider */
    for (int i = 0; i < 1500 && meter_fake_count(world.meter) < world.calls - 1; i++)
        usleep(10000);
    assert_int_equal(meter_fake_count(world.meter), world.calls - 1);
    assert_int_equal(meter_fake_repeats(world.meter), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(providers_are_announced),
        cmocka_unit_test(a_plain_call_is_passed_byte_for_byte),
        cmocka_unit_test(the_request_has_the_headers_that_it_should),
        cmocka_unit_test(members_are_cut_in_and_the_rest_stays),
        cmocka_unit_test(connections_are_kept),
        cmocka_unit_test(a_client_that_did_not_ask_for_usage_does_not_see_it),
        cmocka_unit_test(a_client_that_asked_for_usage_gets_upstreams_bytes),
        cmocka_unit_test(a_stream_without_usage_is_estimated),
        cmocka_unit_test(a_finished_stream_without_done_gets_one),
        cmocka_unit_test(a_stream_that_lingers_after_done_ends_anyway),
        cmocka_unit_test(a_broken_stream_is_truncated),
        cmocka_unit_test(an_error_event_in_the_middle_goes_through_alone),
        cmocka_unit_test(an_error_as_first_event_is_an_error),
        cmocka_unit_test(errors_are_mapped),
        cmocka_unit_test(an_objects_own_error_is_no_failure),
        cmocka_unit_test(a_limit_rests_the_key),
        cmocka_unit_test(a_post_that_vanished_is_not_sent_again),
        cmocka_unit_test(a_plain_answer_without_usage_is_estimated),
        cmocka_unit_test(a_client_that_leaves_stops_upstream),
        cmocka_unit_test(a_call_that_is_cancelled_before_any_token_costs_nothing),
        cmocka_unit_test(a_deadline_ends_a_call),
        cmocka_unit_test(an_unknown_provider_is_refused_without_a_record),
        cmocka_unit_test(a_closed_port_is_tried_again_and_given_up),
        cmocka_unit_test(stream_options_that_are_refused_are_left_out),
        cmocka_unit_test(a_translated_stream_fares_no_worse),
        cmocka_unit_test(every_call_has_one_event),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
