/* Calls about responses that upstream works on in the background: one that makes such a response is parked, one that
 * sees it over says what it has used. */
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

#define BODY "{\"model\":\"gpt-4o-mini\",\"input\":\"hello\",\"background\":true}"
#define FOREGROUND "{\"model\":\"gpt-4o-mini\",\"input\":\"hello\"}"
#define RESPONSE(status, rest) "{\"id\":\"resp_1\",\"object\":\"response\",\"status\":\"" status "\"" rest "}"
#define OUTPUT                                                                                                         \
    ",\"output\":[{\"type\":\"message\",\"content\":[{\"type\":\"output_text\",\"text\":\"four tokens here\"}]}]"
#define USAGE                                                                                                          \
    ",\"usage\":{\"input_tokens\":100,\"input_tokens_details\":{\"cached_tokens\":30,\"cache_write_tokens\":4},"       \
    "\"output_tokens\":50,\"output_tokens_details\":{\"reasoning_tokens\":20},\"total_tokens\":150}"
#define EVENT(type, rest) "event: " type "\ndata: {\"type\":\"" type "\"," rest "}\n\n"
#define DELTA EVENT("response.output_text.delta", "\"delta\":\"four tokens here\"")
#define DELTA_TOKENS 4
#define IN_PICO 1000000
#define OUT_PICO 2000000
#define HOLD 51000 /* nano-USD: the prompt's 11 tokens, and … */
#define BEARS 20 /* … so many of output */
#define DRAIN_MS 2000
#define SLOW_MS 700 /* who leaves has left before, and upstream is read on until then, on a busy machine too */
#define WAIT_MS 10000

static struct provider_world world;
static struct tiny *tiny;
static const struct price price = {.id = 7, .input_pico = IN_PICO, .output_pico = OUT_PICO};

static const struct {
    const char *path;
    int status;
    const char *type, *body;
} answers[] = {
    {"/responses/queued ", 200, "application/json", RESPONSE("queued", ",\"usage\":null,\"output\":[]")},
    {"/responses/in_progress ", 200, "application/json", RESPONSE("in_progress", ",\"output\":[]")},
    {"/responses/completed ", 200, "application/json", RESPONSE("completed", OUTPUT USAGE)},
    {"/responses/cancelled ", 200, "application/json", RESPONSE("cancelled", OUTPUT ",\"usage\":null")},
    {"/responses/failed ", 200, "application/json",
     RESPONSE("failed", ",\"output\":[],\"error\":{\"message\":\"no\"}")},
    {"/responses/text ", 200, "text/plain", RESPONSE("completed", OUTPUT USAGE)},
    {"/responses/nameless ", 200, "application/json", "{\"object\":\"response\",\"status\":\"queued\",\"output\":[]}"},
    {"/responses/deleted ", 200, "application/json", "{\"id\":\"resp_1\",\"object\":\"response\",\"deleted\":true}"},
    {"/responses/missing ", 404, "application/json", "{\"error\":{\"message\":\"no\"}}"},
    {"/responses/refused ", 400, "application/json", "{\"error\":{\"message\":\"no\"}}"},
    {"/responses/items ", 200, "application/json",
     "{\"object\":\"list\",\"data\":[{\"id\":\"msg_1\",\"type\":\"message\",\"status\":\"completed\"}]}"},
};

/* "background", "foreground": a stream that says which it is; "silent": one that does not; "again": of one that there
 * is. They fall silent after some text, "whole" goes on to its end. */
static enum tiny_next stream(int fd, const struct tiny_request *r)
{
    const char *says = strstr(r->head, "/foreground") != NULL ? ",\"background\":false"
                       : strstr(r->head, "/silent") != NULL   ? ""
                                                              : ",\"background\":true";
    char created[256];

    snprintf(created, sizeof(created), EVENT("response.created", "\"response\":" RESPONSE("in_progress", "%s")), says);
    if (!tiny_sse_head(fd) || (strstr(r->head, "/again") == NULL && !tiny_sse(fd, created)) || !tiny_sse(fd, DELTA))
        return TINY_CLOSE;
    if (strstr(r->head, "-whole ") == NULL) {
        (void)tiny_wait_gone(fd, WAIT_MS);
        return TINY_CLOSE;
    }
    return tiny_sse(fd, EVENT("response.completed", "\"response\":" RESPONSE("completed", OUTPUT USAGE))) &&
                   tiny_sse_end(fd)
               ? TINY_KEEP
               : TINY_CLOSE;
}

static enum tiny_next script(int fd, const struct tiny_request *r, void *ctx)
{
    (void)ctx;
    if (strstr(r->head, "/responses/slow ") != NULL) {
        usleep(SLOW_MS * 1000);
        return tiny_answer(fd, 200, "application/json", RESPONSE("queued", "")) ? TINY_KEEP : TINY_CLOSE;
    }
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
        if (strstr(r->head, answers[i].path) != NULL)
            return tiny_answer(fd, answers[i].status, answers[i].type, answers[i].body) ? TINY_KEEP : TINY_CLOSE;
    return stream(fd, r);
}

static int setup(void **state)
{
    char url[64];

    (void)state;
    tiny = tiny_start(script, NULL);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/v1/", tiny_port(tiny));
    provider_world_start(&world, NULL, url);
    world.settings.disconnect_drain_ms = DRAIN_MS;
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

/* A creation; where it goes decides what is answered. */
static void creation(struct completion_req *req, const char *path, const char *body, bool streamed)
{
    provider_world_request(&world, req, "openai", body);
    provider_world_price(req, &price);
    req->endpoint = slice_of(ENDPOINT_RESPONSES);
    req->path = slice_of(path);
    req->stream = streamed;
    req->background = strstr(body, "\"background\":true") != NULL; /* the gateway's reading of it */
    req->hold_nano = HOLD;
}

static void looking(struct completion_req *req, const char *method, const char *path)
{
    provider_world_request(&world, req, "openai", "");
    req->endpoint = slice_of(ENDPOINT_RESPONSES_OBJECT);
    req->method = slice_of(method);
    req->path = slice_of(path);
    req->model = slice_of("");
    provider_world_route(&world, req, "openai", "");
    provider_world_price(req, NULL);
    req->hold_nano = 0;
}

static void assert_parked(const struct meter_fake_event *ev, uint64_t seen)
{
    assert_true(ev->parked);
    assert_string_equal(ev->status, "running");
    assert_int_equal(ev->lease_ms, LIMIT_MS);
    assert_int_equal(ev->price_percent, 0);
    assert_int_equal(ev->price_id, 7);
    assert_int_equal(ev->hold_nano, HOLD);
    assert_int_equal(ev->prompt, 11);
    assert_int_equal(ev->completion, BEARS);
    assert_int_equal(ev->seen, seen);
    assert_true(ev->estimated);
    assert_string_equal(ev->object, "resp_1");
    assert_int_equal(ev->n_ends, 0);
}

static void assert_not_parked(const struct meter_fake_event *ev, const char *status, uint64_t prompt,
                              uint64_t completion)
{
    assert_false(ev->parked);
    assert_string_equal(ev->status, status);
    assert_int_equal(ev->lease_ms, 0);
    assert_int_equal(ev->prompt, prompt);
    assert_int_equal(ev->completion, completion);
    assert_int_equal(ev->n_ends, 0);
}

static void what_is_not_over_is_parked(void **state)
{
    static const struct {
        const char *path, *body;
    } cases[] = {{"/responses/queued", BODY}, {"/responses/in_progress", BODY}, {"/responses/in_progress", FOREGROUND}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct completion_req req;
        struct meter_fake_event ev;
        struct answered a = {0};

        creation(&req, cases[i].path, cases[i].body, false);
        provider_world_call(&world, &req, &a, &ev);
        assert_int_equal(a.http_status, 200);
        assert_string_equal(a.outcome, "ok");
        assert_true(a.rep.parked);
        assert_parked(&ev, 0);
        answered_fini(&a);
    }
}

static void what_is_over_ends_as_ever(void **state)
{
    static const struct {
        const char *path, *status;
        uint64_t prompt, completion;
    } cases[] = {{"/responses/completed", "ok", 100, 50},
                 {"/responses/nameless", "ok", 11, 0}, /* nobody can ask for it */
                 {"/responses/refused", "error", 0, 0}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct completion_req req;
        struct meter_fake_event ev;
        struct answered a = {0};

        creation(&req, cases[i].path, BODY, false);
        provider_world_call(&world, &req, &a, &ev);
        assert_false(a.rep.parked);
        assert_not_parked(&ev, cases[i].status, cases[i].prompt, cases[i].completion);
        answered_fini(&a);
    }
}

static void without_a_price_nothing_is_parked(void **state)
{
    struct completion_req req;
    struct meter_fake_event ev;
    struct answered a = {0};

    (void)state;
    creation(&req, "/responses/queued", BODY, false);
    provider_world_price(&req, NULL);
    provider_world_call(&world, &req, &a, &ev);
    assert_not_parked(&ev, "ok", 11, 0);
    answered_fini(&a);
}

static void a_stream_that_ends_is_billed_as_any_other(void **state)
{
    struct completion_req req;
    struct meter_fake_event ev;
    struct answered a = {0};

    (void)state;
    creation(&req, "/responses/background-whole", BODY, true);
    provider_world_call(&world, &req, &a, &ev);
    assert_false(a.rep.parked);
    assert_not_parked(&ev, "ok", 100, 50);
    assert_int_equal(ev.cached, 30);
    answered_fini(&a);
}

/* Opens the call, leaves when some of its text has come, or (n 0) when upstream has the request, and waits for its
 * bill. */
static void leave(struct completion_req *req, size_t n, struct meter_fake_event *ev)
{
    struct answered a = {0};
    unsigned before = tiny_requests(tiny);

    provider_world_open(&world, req, 2 * WAIT_MS, &a);
    for (int i = 0; i < 1500 && tiny_requests(tiny) == before; i++)
        usleep(10000);
    if (n > 0)
        assert_true(answered_wait_bytes(&a, n, WAIT_MS));
    xchg_cancel(world.client, a.id);
    assert_true(answered_wait(&a, WAIT_MS));
    assert_int_equal(a.status, ST_CANCELLED);
    assert_true(meter_fake_find(world.meter, a.request_id, WAIT_MS, ev));
    answered_fini(&a);
}

static void who_leaves_a_stream_in_the_background_leaves_it_parked(void **state)
{
    static const char *const paths[] = {"/responses/background", "/responses/silent"};

    (void)state;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct completion_req req;
        struct meter_fake_event ev;

        creation(&req, paths[i], BODY, true);
        leave(&req, sizeof(DELTA), &ev);
        assert_parked(&ev, DELTA_TOKENS);
    }
}

static void who_leaves_any_other_stream_pays_what_has_come(void **state)
{
    struct completion_req req;
    struct meter_fake_event ev;

    (void)state;
    creation(&req, "/responses/foreground", FOREGROUND, true);
    leave(&req, sizeof(DELTA), &ev);
    assert_not_parked(&ev, "cancelled", 11, DELTA_TOKENS);
    assert_string_equal(ev.object, "resp_1");
}

static void who_leaves_before_the_answer_leaves_it_parked(void **state)
{
    struct completion_req req;
    struct meter_fake_event ev;

    (void)state;
    creation(&req, "/responses/slow", BODY, false);
    leave(&req, 0, &ev);
    assert_parked(&ev, 0);
    assert_int_equal(ev.http_status, status_http(ST_CANCELLED));
    creation(&req, "/responses/slow", FOREGROUND, false);
    leave(&req, 0, &ev);
    assert_not_parked(&ev, "cancelled", 0, 0);
}

/* Upstream goes on, though the answer has ended with the credit. */
static void a_stream_that_its_hold_ends_is_parked(void **state)
{
    struct completion_req req;
    struct meter_fake_event ev;
    struct answered a = {0};

    (void)state;
    provider_world_credit(&world, 1);
    creation(&req, "/responses/background", BODY, true);
    req.hold_nano = 12000;
    provider_world_call(&world, &req, &a, &ev);
    assert_true(ev.parked);
    assert_int_equal(ev.prompt, 11);
    assert_int_equal(ev.seen, 0);
    answered_fini(&a);
    provider_world_credit(&world, -1);
}

static void look(const char *method, const char *path, int status, struct meter_fake_event *ret)
{
    struct completion_req req;
    struct answered a = {0};

    looking(&req, method, path);
    provider_world_call(&world, &req, &a, ret);
    assert_int_equal(a.http_status, status);
    answered_fini(&a);
    assert_false(ret->parked);
    assert_int_equal(ret->prompt + ret->completion, 0); /* who looks pays nothing */
}

static void assert_end(const struct meter_fake_event *ev, const char *status, uint64_t completion)
{
    assert_int_equal(ev->n_ends, 1);
    assert_string_equal(ev->end.object, "resp_1");
    assert_string_equal(ev->end.status, status);
    assert_int_equal(ev->end.completion, completion);
}

static void who_sees_the_end_says_it(void **state)
{
    static const char *const known[] = {"/responses/completed", "/responses/text", "/responses/again-whole"};
    static const char *const none[] = {"/responses/queued", "/responses/in_progress", "/responses/items"};
    struct meter_fake_event ev;

    (void)state;
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        look("GET", none[i], 200, &ev);
        assert_int_equal(ev.n_ends, 0);
    }
    for (size_t i = 0; i < 2 * sizeof(known) / sizeof(known[0]); i++) { /* every time */
        look("GET", known[i / 2], 200, &ev);
        assert_end(&ev, "completed", 50);
        assert_true(ev.end.known);
        assert_int_equal(ev.end.prompt, 100);
        assert_int_equal(ev.end.cached, 30);
        assert_int_equal(ev.end.write, 4);
        assert_int_equal(ev.end.reasoning, 20);
    }
    look("POST", "/responses/cancelled", 200, &ev);
    assert_end(&ev, "cancelled", DELTA_TOKENS);
    assert_false(ev.end.known);
    look("GET", "/responses/failed", 200, &ev);
    assert_end(&ev, "failed", 0);
    look("DELETE", "/responses/deleted", 200, &ev);
    assert_end(&ev, "deleted", 0);
    look("DELETE", "/responses/missing", 404, &ev);
    assert_int_equal(ev.n_ends, 0);
}

/* Without the event that names it: its name is in the path. */
static void who_leaves_while_he_looks_says_what_he_got(void **state)
{
    struct completion_req req;
    struct meter_fake_event ev;

    (void)state;
    looking(&req, "GET", "/responses/resp_1?stream=true&starting_after=0&of=/again");
    leave(&req, sizeof(DELTA) - 1, &ev);
    assert_end(&ev, "in_progress", DELTA_TOKENS);
    assert_false(ev.end.known);
    assert_int_equal(ev.prompt + ev.completion, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_over_is_parked),
        cmocka_unit_test(what_is_over_ends_as_ever),
        cmocka_unit_test(without_a_price_nothing_is_parked),
        cmocka_unit_test(a_stream_that_ends_is_billed_as_any_other),
        cmocka_unit_test(who_leaves_a_stream_in_the_background_leaves_it_parked),
        cmocka_unit_test(who_leaves_any_other_stream_pays_what_has_come),
        cmocka_unit_test(who_leaves_before_the_answer_leaves_it_parked),
        cmocka_unit_test(a_stream_that_its_hold_ends_is_parked),
        cmocka_unit_test(who_sees_the_end_says_it),
        cmocka_unit_test(who_leaves_while_he_looks_says_what_he_got),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
