/* providersvc without a network: the echo provider, back-pressure, meterd that is deaf or gone, restarts, drain. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <yyjson.h>

#include "services/clock.h"
#include "tests/unit/provider_world.h"

#define ASK(text)                                                                                                      \
    "{\"model\":\"echo\",\"messages\":[{\"role\":\"system\",\"content\":\"be "                                         \
    "kind\"},{\"role\":\"user\",\"content\":" text "}]}"

static int setup(void **state)
{
    struct provider_world *w = calloc(1, sizeof(*w));

    if (w == NULL)
        return -1;
    provider_world_start(w, &providersvc_def, NULL);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    provider_world_stop(*state);
    free(*state);
    return 0;
}

static void ask(struct provider_world *w, const char *model, bool stream, const char *body, struct completion_req *req)
{
    provider_world_request(w, req, "echo", body);
    req->model = slice_of(model);
    provider_world_route(w, req, "echo", model);
    req->stream = stream;
}

static const char *content_of(const struct answered *a, yyjson_doc **doc)
{
    *doc = yyjson_read(a->bytes.p, a->bytes.n, 0);
    assert_non_null(*doc);
    return yyjson_get_str(yyjson_ptr_get(yyjson_doc_get_root(*doc), "/choices/0/message/content"));
}

static void echo_answers_the_last_message(void **state)
{
    struct provider_world *w = *state;
    struct meter_fake_event ev;
    struct completion_req req;
    struct answered a = {0};
    yyjson_doc *doc;

    ask(w, "echo", false, ASK("\"hello \\u00e9 \\\"there\\\"\""), &req);
    provider_world_call(w, &req, &a, &ev);
    assert_int_equal(a.status, ST_OK);
    assert_string_equal(a.content_type, "application/json");
    assert_string_equal(content_of(&a, &doc), "hello \xc3\xa9 \"there\"");
    assert_string_equal(yyjson_get_str(yyjson_ptr_get(yyjson_doc_get_root(doc), "/choices/0/finish_reason")), "stop");
    assert_int_equal(yyjson_get_uint(yyjson_ptr_get(yyjson_doc_get_root(doc), "/usage/prompt_tokens")), ev.prompt);
    assert_int_equal(ev.prompt, 18); /* (7 + 14) / 4 + 0.9 = 6.15, rounded up; 2 messages of 4, 3 for the reply */
    assert_int_equal(ev.completion, 5); /* 14 / 4 + 0.9 */
    assert_string_equal(ev.status, "ok");
    assert_string_equal(ev.provider, "echo");
    assert_false(ev.estimated);
    yyjson_doc_free(doc);
    answered_fini(&a);
}

static void images_are_counted(void **state)
{
    struct provider_world *w = *state;
    struct meter_fake_event ev;
    struct completion_req req;
    struct answered a = {0};
    yyjson_doc *doc;

    ask(w, "echo", false,
        "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"what "
        "\"},{\"type\":\"image_url\",\"image_url\":"
        "{\"url\":\"data:image/"
        "png;base64,AAAA\",\"detail\":\"low\"}},{\"type\":\"image_url\",\"image_url\":{\"url\":\"http://x/\"}}]}]}",
        &req);
    provider_world_call(w, &req, &a, &ev);
    assert_string_equal(content_of(&a, &doc), "what [image][image]");
    assert_int_equal(ev.prompt, 2 + 4 + 3 + 85 + 765);
    yyjson_doc_free(doc);
    answered_fini(&a);
}

static void echo_keeps_the_output_limit(void **state)
{
    struct provider_world *w = *state;
    struct meter_fake_event ev;
    struct completion_req req;
    struct answered a = {0};
    yyjson_doc *doc;

    ask(w, "echo", false, ASK("\"0123456789abcdef\""), &req);
    req.output_limit = 2;
    provider_world_call(w, &req, &a, &ev);
    assert_string_equal(content_of(&a, &doc), "01234567");
    assert_true(answered_has(&a, "\"finish_reason\":\"length\""));
    assert_int_equal(ev.completion, 2);
    yyjson_doc_free(doc);
    answered_fini(&a);
}

/* Puts the deltas of a stream together; checks that every event is whole. */
static void joined(const struct answered *a, const char *pointer, struct buf *out)
{
    const char *p = a->bytes.p, *end = a->bytes.p + a->bytes.n;

    buf_init(out, 1u << 26);
    while (p < end) {
        const char *stop = memmem(p, (size_t)(end - p), "\n\n", 2);
        yyjson_doc *doc;
        yyjson_val *v;

        assert_non_null(stop);
        assert_memory_equal(p, "data: ", 6);
        if (stop - p == 12 && memcmp(p, "data: [DONE]", 12) == 0) {
            assert_ptr_equal(stop + 2, end);
            break;
        }
        doc = yyjson_read(p + 6, (size_t)(stop - p) - 6, 0);
        assert_non_null(doc);
        v = yyjson_ptr_get(yyjson_doc_get_root(doc), pointer);
        if (yyjson_is_str(v))
            assert_int_equal(buf_add(out, yyjson_get_str(v), yyjson_get_len(v)), ST_OK);
        yyjson_doc_free(doc);
        p = stop + 2;
    }
    assert_int_equal(buf_add(out, "", 1), ST_OK);
}

static void echo_streams(void **state)
{
    struct provider_world *w = *state;
    struct meter_fake_event ev;
    struct completion_req req;
    struct answered a = {0};
    struct buf text;

    ask(w, "echo", true, ASK("\"hello wide \\u4e16\\u754c\""), &req);
    provider_world_call(w, &req, &a, &ev);
    assert_int_equal(a.status, ST_OK);
    joined(&a, "/choices/0/delta/content", &text);
    assert_string_equal(text.p, "hello wide \xe4\xb8\x96\xe7\x95\x8c");
    assert_false(answered_has(&a, "usage"));
    assert_true(answered_has(&a, "\"role\":\"assistant\""));
    assert_true(answered_has(&a, "data: [DONE]\n\n"));
    assert_true(ev.completion > 0);
    buf_fini(&text);
    answered_fini(&a);

    req.usage_asked = true;
    req.body = slice_of("{\"model\":\"echo\",\"stream_options\":{\"include_usage\":true},\"messages\":[{\"role\":"
                        "\"user\",\"content\":\"hi\"}]}");
    w->calls++;
    provider_world_call(w, &req, &a, &ev);
    assert_true(answered_has(&a, "\"choices\":[],\"usage\":{\"prompt_tokens\":"));
    assert_true(answered_has(&a, "\"usage\":null"));
    answered_fini(&a);
}

static void echo_slow_takes_its_time(void **state)
{
    struct provider_world *w = *state;
    struct meter_fake_event ev;
    struct completion_req req;
    struct answered a = {0};
    uint64_t began = clock_ms();

    ask(w, "echo-slow", true, ASK("\"0123456789ab\""), &req);
    provider_world_call(w, &req, &a, &ev);
    assert_true(clock_ms() - began >= 100);
    assert_true(a.pieces >= 3);
    assert_true(ev.ttft_ms < ev.latency_ms);
    assert_true(ev.latency_ms >= 100);
    answered_fini(&a);
}

#define TOOLS                                                                                                          \
    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"look_up\",\"parameters\":{\"type\":\"object\","        \
    "\"properties\":{"                                                                                                 \
    "\"q\":{\"type\":\"string\"},\"n\":{\"type\":\"integer\"},\"o\":{\"type\":\"string\"}},\"required\":[\"q\",\"n\"]" \
    "}}}]"

static void echo_tools_calls_a_tool(void **state)
{
    struct provider_world *w = *state;
    struct meter_fake_event ev;
    struct completion_req req;
    struct answered a = {0};
    struct buf text;
    yyjson_doc *doc;

    ask(w, "echo-tools", false, "{" TOOLS ",\"messages\":[{\"role\":\"user\",\"content\":\"Lima\"}]}", &req);
    provider_world_call(w, &req, &a, &ev);
    assert_null(content_of(&a, &doc));
    assert_string_equal(
        yyjson_get_str(yyjson_ptr_get(yyjson_doc_get_root(doc), "/choices/0/message/tool_calls/0/function/name")),
        "look_up");
    assert_string_equal(
        yyjson_get_str(yyjson_ptr_get(yyjson_doc_get_root(doc), "/choices/0/message/tool_calls/0/function/arguments")),
        "{\"q\":\"Lima\",\"n\":1}");
    assert_true(answered_has(&a, "\"finish_reason\":\"tool_calls\""));
    yyjson_doc_free(doc);
    answered_fini(&a);

    req.stream = true;
    w->calls++;
    provider_world_call(w, &req, &a, &ev);
    joined(&a, "/choices/0/delta/tool_calls/0/function/arguments", &text);
    assert_string_equal(text.p, "{\"q\":\"Lima\",\"n\":1}");
    buf_fini(&text);
    answered_fini(&a);

    ask(w, "echo-tools", false,
        "{" TOOLS ",\"messages\":[{\"role\":\"user\",\"content\":\"Lima\"},{\"role\":\"tool\",\"tool_call_id\":\"x\","
        "\"content\":\"42\"}]}",
        &req);
    provider_world_call(w, &req, &a, &ev);
    assert_string_equal(content_of(&a, &doc), "42");
    yyjson_doc_free(doc);
    answered_fini(&a);
}

static void two_choices_are_refused(void **state)
{
    struct provider_world *w = *state;
    struct meter_fake_event ev;
    struct completion_req req;
    struct answered a = {0};

    ask(w, "echo", false, "{\"n\":2,\"messages\":[]}", &req);
    provider_world_call(w, &req, &a, &ev);
    assert_int_equal(a.status, ST_BAD_REQUEST);
    assert_string_equal(a.err.param, "n");
    assert_string_equal(ev.status, "error");
    assert_int_equal(ev.http_status, 400);
    assert_int_equal(ev.prompt + ev.completion, 0);
    answered_fini(&a);
}

/* A reader that does not read holds the writer at its window, and gets everything when it reads again. */
static void a_slow_reader_is_waited_for(void **state)
{
    struct provider_world *w = *state;
    struct meter_fake_event ev;
    struct completion_req req;
    struct answered a = {.hold_window = true};
    size_t n = 200000;
    char *body = malloc(n + 200);
    struct buf text;
    size_t held;

    assert_non_null(body);
    snprintf(body, n + 200, "{\"messages\":[{\"role\":\"user\",\"content\":\"%0*d\"}]}", (int)n, 7);
    ask(w, "echo", true, body, &req);
    provider_world_open(w, &req, 30000, &a);
    assert_true(answered_wait_bytes(&a, 100000, 15000));
    usleep(200000);
    pthread_mutex_lock(&a.lock);
    held = a.bytes.n;
    a.hold_window = false;
    pthread_mutex_unlock(&a.lock);
    assert_true(held <= XCHG_WINDOW_DEFAULT + 65536);
    assert_false(a.ended);
    xchg_window(w->client, a.id, (uint32_t)held);
    assert_true(answered_wait(&a, 20000));
    assert_int_equal(a.status, ST_OK);
    joined(&a, "/choices/0/delta/content", &text);
    assert_int_equal(text.n - 1, n);
    assert_true(meter_fake_find(w->meter, a.request_id, 15000, &ev));
    assert_int_equal(ev.completion, n / 4);
    buf_fini(&text);
    answered_fini(&a);
    free(body);
}

static void a_reader_that_never_reads_is_cut_off(void **state)
{
    struct provider_world *w = *state;
    struct meter_fake_event ev;
    struct completion_req req;
    struct answered a = {.hold_window = true};
    size_t n = 200000;
    char *body = malloc(n + 200);

    assert_non_null(body);
    snprintf(body, n + 200, "{\"messages\":[{\"role\":\"user\",\"content\":\"%0*d\"}]}", (int)n, 7);
    ask(w, "echo", true, body, &req);
    provider_world_open(w, &req, 600, &a);
    assert_true(answered_wait(&a, 15000));
    assert_int_equal(a.status, ST_TIMEOUT);
    assert_true(meter_fake_find(w->meter, a.request_id, 15000, &ev));
    assert_string_equal(ev.status, "truncated");
    assert_true(ev.completion > 0);
    answered_fini(&a);
    free(body);
}

static void a_deaf_meterd_gets_everything_later(void **state)
{
    struct provider_world *w = *state;
    struct meter_fake_event ev;
    struct answered a[20];

    memset(a, 0, sizeof(a));
    meter_fake_deaf(w->meter, true);
    for (int i = 0; i < 20; i++) {
        struct completion_req req;

        ask(w, "echo", false, ASK("\"hi\""), &req);
        provider_world_open(w, &req, 5000, &a[i]);
        assert_true(answered_wait(&a[i], 5000));
        assert_int_equal(a[i].status, ST_OK);
    }
    assert_int_equal(meter_fake_count(w->meter), 0);
    meter_fake_deaf(w->meter, false);
    for (int i = 0; i < 20; i++) {
        assert_true(meter_fake_find(w->meter, a[i].request_id, 15000, &ev));
        answered_fini(&a[i]);
    }
    assert_int_equal(meter_fake_count(w->meter), 20);
    assert_int_equal(meter_fake_repeats(w->meter), 0);
}

static void what_was_owed_is_paid_after_a_restart(void **state)
{
    struct provider_world *w = *state;
    struct meter_fake_event ev;
    struct answered a[5];

    memset(a, 0, sizeof(a));
    meter_fake_deaf(w->meter, true);
    for (int i = 0; i < 5; i++) {
        struct completion_req req;

        ask(w, "echo", false, ASK("\"hi\""), &req);
        provider_world_open(w, &req, 5000, &a[i]);
        assert_true(answered_wait(&a[i], 5000));
    }
    provider_world_service_stop(w);
    meter_fake_deaf(w->meter, false);
    provider_world_service(w, &providersvc_def);
    for (int i = 0; i < 5; i++) {
        assert_true(meter_fake_find(w->meter, a[i].request_id, 15000, &ev));
        answered_fini(&a[i]);
    }
    assert_int_equal(meter_fake_repeats(w->meter), 0);
}

static void running_calls_are_finished_by_a_drain(void **state)
{
    struct provider_world *w = *state;
    struct meter_fake_event ev;
    struct completion_req req;
    struct answered a = {0};

    ask(w, "echo-slow", true, ASK("\"0123456789abcdefghij\""), &req);
    provider_world_open(w, &req, 20000, &a);
    assert_true(answered_wait_bytes(&a, 10, 15000));
    svc_drain(w->svc, 5000);
    assert_true(answered_wait(&a, 15000));
    assert_int_equal(a.status, ST_OK);
    assert_true(answered_has(&a, "[DONE]"));
    assert_true(meter_fake_find(w->meter, a.request_id, 15000, &ev));
    assert_string_equal(ev.status, "ok");
    answered_fini(&a);
}

static void a_drain_that_is_over_cuts_the_rest_off(void **state)
{
    struct provider_world *w = *state;
    struct meter_fake_event ev;
    struct completion_req req;
    struct answered a = {0};
    char body[4200];

    snprintf(body, sizeof(body), "{\"messages\":[{\"role\":\"user\",\"content\":\"%04000d\"}]}", 7);
    ask(w, "echo-slow", true, body, &req);
    provider_world_open(w, &req, 200000, &a);
    assert_true(answered_wait_bytes(&a, 10, 15000));
    svc_drain(w->svc, 200);
    assert_true(answered_wait(&a, 15000));
    assert_int_equal(a.status, ST_INTERNAL);
    assert_true(meter_fake_find(w->meter, a.request_id, 15000, &ev));
    assert_string_equal(ev.status, "truncated");
    assert_true(ev.estimated && ev.completion > 0);
    answered_fini(&a);
}

static void many_calls_at_once_on_several_loops(void **state)
{
    struct provider_world *w = *state;
    enum { N = 400 };
    static struct answered a[N];
    static struct completion_req req;

    provider_world_service_stop(w);
    w->settings.upstream_loops = 3;
    provider_world_service(w, &providersvc_def);
    memset(a, 0, sizeof(a));
    for (int i = 0; i < N; i++) {
        ask(w, i % 3 == 0 ? "echo-slow" : "echo", i % 2 == 0, ASK("\"hi there\""), &req);
        provider_world_open(w, &req, 20000, &a[i]);
        if (i % 7 == 0)
            xchg_cancel(w->client, a[i].id);
    }
    for (int i = 0; i < N; i++) {
        struct meter_fake_event ev;
        bool found;

        assert_true(answered_wait(&a[i], 20000));
        assert_true(a[i].status == ST_OK || a[i].status == ST_CANCELLED);
        /* a call that was cancelled before it got here has no event; none has two */
        found = meter_fake_find(w->meter, a[i].request_id, a[i].status == ST_OK ? 15000 : 50, &ev);
        assert_true(found || a[i].status == ST_CANCELLED);
        answered_fini(&a[i]);
    }
    assert_true(meter_fake_count(w->meter) <= N);
    assert_int_equal(meter_fake_repeats(w->meter), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(echo_answers_the_last_message),
        TEST(images_are_counted),
        TEST(echo_keeps_the_output_limit),
        TEST(echo_streams),
        TEST(echo_slow_takes_its_time),
        TEST(echo_tools_calls_a_tool),
        TEST(two_choices_are_refused),
        TEST(a_slow_reader_is_waited_for),
        TEST(a_reader_that_never_reads_is_cut_off),
        TEST(a_deaf_meterd_gets_everything_later),
        TEST(what_was_owed_is_paid_after_a_restart),
        TEST(running_calls_are_finished_by_a_drain),
        TEST(a_drain_that_is_over_cuts_the_rest_off),
        TEST(many_calls_at_once_on_several_loops),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
