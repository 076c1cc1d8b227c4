/* Calls about batches: one that makes a batch is parked, one that sees a batch over says what it has used. */
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
#include "tests/unit/provider_world.h"
#include "tests/unit/tiny_upstream.h"

#define BODY "{\"input_file_id\": \"file-1\",  \"endpoint\":\"/v1/chat/completions\",\"completion_window\":\"24h\"}"
#define BATCH(status, rest)                                                                                            \
    "{\"id\":\"batch_1\",\"object\":\"batch\",\"status\":\"" status "\",\"input_file_id\":\"file-1\"," rest "}"
#define COUNTS(completed) "\"request_counts\":{\"total\":5,\"completed\":" completed ",\"failed\":0}"
#define USAGE                                                                                                          \
    "\"usage\":{\"input_tokens\":100,\"input_tokens_details\":{\"cached_tokens\":30},\"output_tokens\":50,"            \
    "\"output_tokens_details\":{\"reasoning_tokens\":20},\"total_tokens\":150}"
#define SLOW_MS 2000 /* who leaves has left before */
#define WAIT_MS 10000

static struct provider_world world;
static struct tiny *tiny;

/* What goes back, by the path. */
static const struct {
    const char *path;
    int status;
    const char *type, *body;
} answers[] = {
    {"/files ", 200, "application/json", "{\"id\":\"file-1\",\"object\":\"file\",\"purpose\":\"batch\"}"},
    {"/batches/refused ", 400, "application/json",
     "{\"error\":{\"message\":\"no\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":null}}"},
    {"/batches/broken ", 500, "application/json",
     "{\"error\":{\"message\":\"no\",\"type\":\"server_error\",\"param\":null,\"code\":null}}"},
    {"/batches/error ", 200, "application/json",
     "{\"error\":{\"message\":\"no\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":null}}"},
    {"/batches/nothing ", 200, "application/json", "{}"},
    {"/batches/html ", 200, "text/html", "<html>"},
    {"/batches/text ", 200, "text/plain", BATCH("validating", COUNTS("0"))},
    {"/batches/events ", 200, "text/event-stream", BATCH("validating", COUNTS("0"))},
    {"/batches/at-once ", 200, "application/json", BATCH("failed", COUNTS("0"))},
    {"/batches/in_progress ", 200, "application/json", BATCH("in_progress", COUNTS("3"))},
    {"/batches/completed ", 200, "application/json", BATCH("completed", COUNTS("5") "," USAGE)},
    {"/batches/cancelled ", 200, "application/json", BATCH("cancelled", COUNTS("2"))},
    {"/batches/list ", 200, "application/json",
     "{\"object\":\"list\",\"data\":[" BATCH("completed", COUNTS("5") "," USAGE) "]}"},
};

static enum tiny_next script(int fd, const struct tiny_request *r, void *ctx)
{
    (void)ctx;
    if (strstr(r->head, "/batches/slow ") != NULL || strstr(r->head, "/batches/slow-refused ") != NULL)
        usleep(SLOW_MS * 1000);
    if (strstr(r->head, "/batches/slow-refused ") != NULL)
        return tiny_answer(fd, 400, "application/json", "{\"error\":{\"message\":\"no\"}}") ? TINY_KEEP : TINY_CLOSE;
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
        if (strstr(r->head, answers[i].path) != NULL)
            return tiny_answer(fd, answers[i].status, answers[i].type, answers[i].body) ? TINY_KEEP : TINY_CLOSE;
    return tiny_answer(fd, 200, "application/json", BATCH("validating", COUNTS("0"))) ? TINY_KEEP : TINY_CLOSE;
}

static int setup(void **state)
{
    char url[64];

    (void)state;
    tiny = tiny_start(script, NULL);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/v1/", tiny_port(tiny));
    provider_world_start(&world, &providersvc_def, url);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    provider_world_stop(&world);
    tiny_stop(tiny);
    return 0;
}

static const struct batch_worth worth = {
    .model = {"model-of-the-lines", 18}, .requests = 5, .prompt_tokens = 400, .output_tokens = 9000};

/* A creation as the gateway asks for it; where it goes decides what is answered. */
static void creation(struct completion_req *req, const char *path)
{
    provider_world_request(&world, req, "openai", BODY);
    req->endpoint = slice_of(ENDPOINT_BATCHES);
    req->method = slice_of("POST");
    req->path = slice_of(path);
    req->content_type = slice_of("application/json");
    req->model = worth.model;
    provider_world_route(&world, req, "openai", "another-name-upstream");
    req->batch.items = &worth;
    req->batch.n = 1;
    req->price_percent = 50;
}

static void looking(struct completion_req *req, const char *method, const char *path)
{
    provider_world_request(&world, req, "openai", "");
    req->endpoint = slice_of(ENDPOINT_BATCHES_OBJECT);
    req->method = slice_of(method);
    req->path = slice_of(path);
    req->model = slice_of("");
    provider_world_route(&world, req, "openai", "");
    provider_world_price(req, NULL);
    req->hold_nano = 0;
}

static void assert_parked(const struct meter_fake_event *ev)
{
    assert_true(ev->parked);
    assert_string_equal(ev->status, "running");
    assert_int_equal(ev->lease_ms, LIMIT_MS);
    assert_int_equal(ev->price_percent, 50);
    assert_int_equal(ev->price_id, 7);
    assert_int_equal(ev->hold_nano, 1000);
    assert_int_equal(ev->prompt, 400);
    assert_int_equal(ev->completion, 9000);
    assert_true(ev->estimated);
    assert_string_equal(ev->object, "batch_1");
    assert_string_equal(ev->worth_model, ""); /* that is the file's */
}

static void assert_not_parked(const struct meter_fake_event *ev, const char *status)
{
    assert_false(ev->parked);
    assert_string_equal(ev->status, status);
    assert_int_equal(ev->lease_ms, 0);
    assert_int_equal(ev->prompt + ev->completion, 0);
    assert_int_equal(ev->n_ends, 0);
}

static void a_creation_is_parked(void **state)
{
    struct completion_req req;
    struct meter_fake_event ev;
    struct answered a = {0};
    char body[512];

    (void)state;
    creation(&req, "/batches");
    provider_world_call(&world, &req, &a, &ev);
    assert_int_equal(a.http_status, 200);
    assert_true(answered_has(&a, BATCH("validating", COUNTS("0"))));
    assert_string_equal(a.outcome, "ok");
    assert_int_equal(a.rep.prompt_tokens + a.rep.completion_tokens, 0); /* so far */
    assert_parked(&ev);
    assert_int_equal(ev.http_status, 200);
    assert_int_equal(ev.n_ends, 0);
    assert_int_equal(tiny_last_body(tiny, body, sizeof(body)), strlen(BODY));
    assert_memory_equal(body, BODY, strlen(BODY)); /* no model, no limit in it */
    answered_fini(&a);
}

/* Of what it was made by it is told by its id alone, whatever upstream calls its answer. */
static void its_answer_is_read_whatever_it_is_called(void **state)
{
    static const char *const paths[] = {"/batches/text", "/batches/events"};

    (void)state;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct completion_req req;
        struct meter_fake_event ev;
        struct answered a = {0};

        creation(&req, paths[i]);
        provider_world_call(&world, &req, &a, &ev);
        assert_parked(&ev);
        assert_true(answered_has(&a, "batch_1"));
        answered_fini(&a);
    }
}

static void what_made_nothing_ends_as_ever(void **state)
{
    static const struct {
        const char *path, *status;
    } cases[] = {{"/batches/refused", "error"},
                 {"/batches/broken", "error"},
                 {"/batches/error", "error"},
                 {"/batches/nothing", "ok"},
                 {"/batches/html", "ok"}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct completion_req req;
        struct meter_fake_event ev;
        struct answered a = {0};

        creation(&req, cases[i].path);
        provider_world_call(&world, &req, &a, &ev);
        assert_not_parked(&ev, cases[i].status);
        assert_int_equal(ev.price_percent, 50);
        answered_fini(&a);
    }
}

static void without_a_price_or_a_worth_nothing_is_parked(void **state)
{
    struct completion_req req;
    struct meter_fake_event ev;
    struct answered a = {0};

    (void)state;
    creation(&req, "/batches");
    provider_world_price(&req, NULL);
    provider_world_call(&world, &req, &a, &ev);
    assert_not_parked(&ev, "ok");
    assert_string_equal(ev.object, "batch_1");
    answered_fini(&a);
    creation(&req, "/batches");
    req.batch.n = 0;
    provider_world_call(&world, &req, &a, &ev);
    assert_not_parked(&ev, "ok");
    answered_fini(&a);
    creation(&req, "/batches"); /* a list of them has no id */
    req.method = slice_of("GET");
    provider_world_call(&world, &req, &a, &ev);
    assert_not_parked(&ev, "ok");
    answered_fini(&a);
}

static void one_that_failed_at_once_is_parked_and_over(void **state)
{
    struct completion_req req;
    struct meter_fake_event ev;
    struct answered a = {0};

    (void)state;
    creation(&req, "/batches/at-once");
    provider_world_call(&world, &req, &a, &ev);
    assert_parked(&ev);
    assert_int_equal(ev.n_ends, 1);
    assert_string_equal(ev.end.object, "batch_1");
    assert_string_equal(ev.end.status, "failed");
    assert_false(ev.end.known);
    answered_fini(&a);
}

static void open_until_seen(struct completion_req *req, struct answered *a)
{
    unsigned before = tiny_requests(tiny);

    provider_world_open(&world, req, 2 * WAIT_MS, a);
    for (int i = 0; i < 1500 && tiny_requests(tiny) == before; i++)
        usleep(10000);
    assert_int_equal(tiny_requests(tiny), before + 1);
}

/* Upstream may have made it: its answer is waited for, whatever DISCONNECT says. */
static void who_leaves_while_it_is_made_pays_for_it(void **state)
{
    struct completion_req req;
    struct meter_fake_event ev;
    struct answered a = {0};
    unsigned gone = tiny_gone(tiny);

    (void)state;
    creation(&req, "/batches/slow");
    open_until_seen(&req, &a);
    xchg_cancel(world.client, a.id);
    assert_true(answered_wait(&a, WAIT_MS));
    assert_int_equal(a.status, ST_CANCELLED);
    assert_true(meter_fake_find(world.meter, a.request_id, WAIT_MS, &ev));
    assert_parked(&ev);
    assert_int_equal(ev.http_status, status_http(ST_CANCELLED));
    assert_int_equal(tiny_gone(tiny), gone);
    answered_fini(&a);
    creation(&req, "/batches/slow-refused");
    open_until_seen(&req, &a);
    xchg_cancel(world.client, a.id);
    assert_true(answered_wait(&a, WAIT_MS));
    assert_true(meter_fake_find(world.meter, a.request_id, WAIT_MS, &ev));
    assert_not_parked(&ev, "cancelled");
    answered_fini(&a);
}

static void an_upload_says_what_it_is_worth(void **state)
{
    static const char bytes[] = "--b\r\n\r\n--b--\r\n";
    struct completion_req req;
    struct meter_fake_event ev;
    struct answered a = {.upload = {bytes, sizeof(bytes) - 1}, .upload_piece = sizeof(bytes)};

    (void)state;
    looking(&req, "POST", "/files");
    req.endpoint = slice_of(ENDPOINT_FILES);
    req.content_type = slice_of("multipart/form-data; boundary=b");
    req.body = (struct slice){NULL, 0};
    req.upload_bytes = sizeof(bytes) - 1;
    req.prompt_tokens_estimate = 0; /* a file is not read by a model */
    req.batch.items = &worth;
    req.batch.n = 1;
    provider_world_call(&world, &req, &a, &ev);
    assert_not_parked(&ev, "ok");
    assert_string_equal(ev.object, "file-1");
    assert_string_equal(ev.worth_model, "model-of-the-lines");
    assert_int_equal(ev.worth_requests, 5);
    assert_int_equal(ev.worth_output, 9000);
    answered_fini(&a);
    a.upload = (struct slice){bytes, sizeof(bytes) - 1};
    a.upload_piece = sizeof(bytes);
    req.path = slice_of("/batches/nothing"); /* no id */
    provider_world_call(&world, &req, &a, &ev);
    assert_string_equal(ev.worth_model, "");
    answered_fini(&a);
}

static void look(const char *method, const char *path, struct meter_fake_event *ret)
{
    struct completion_req req;
    struct answered a = {0};

    looking(&req, method, path);
    provider_world_call(&world, &req, &a, ret);
    assert_int_equal(a.http_status, 200);
    answered_fini(&a);
    assert_string_equal(ret->status, "ok");
    assert_false(ret->parked);
    assert_int_equal(ret->prompt + ret->completion, 0); /* who looks pays nothing */
}

static void who_sees_the_end_says_it(void **state)
{
    struct meter_fake_event ev;

    (void)state;
    look("GET", "/batches/in_progress", &ev);
    assert_int_equal(ev.n_ends, 0);
    for (int i = 0; i < 2; i++) { /* every time */
        look("GET", "/batches/completed", &ev);
        assert_int_equal(ev.n_ends, 1);
        assert_string_equal(ev.end.object, "batch_1");
        assert_string_equal(ev.end.status, "completed");
        assert_true(ev.end.known);
        assert_int_equal(ev.end.requests, 5);
        assert_int_equal(ev.end.completed, 5);
        assert_int_equal(ev.end.prompt, 100);
        assert_int_equal(ev.end.cached, 30);
        assert_int_equal(ev.end.completion, 50);
        assert_int_equal(ev.end.reasoning, 20);
    }
    look("POST", "/batches/cancelled", &ev);
    assert_int_equal(ev.n_ends, 1);
    assert_string_equal(ev.end.status, "cancelled");
    assert_false(ev.end.known);
    assert_int_equal(ev.end.completed, 2);
    look("GET", "/batches/list", &ev);
    assert_int_equal(ev.n_ends, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_creation_is_parked),
        cmocka_unit_test(its_answer_is_read_whatever_it_is_called),
        cmocka_unit_test(what_made_nothing_ends_as_ever),
        cmocka_unit_test(without_a_price_or_a_worth_nothing_is_parked),
        cmocka_unit_test(one_that_failed_at_once_is_parked_and_over),
        cmocka_unit_test(who_leaves_while_it_is_made_pays_for_it),
        cmocka_unit_test(an_upload_says_what_it_is_worth),
        cmocka_unit_test(who_sees_the_end_says_it),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
