/* providersvc sends bodies upstream: uploads that it asks for piece by piece, bodies of every method, and none. */
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
#include "providersvc/budget.h"
#include "providersvc/completion.h"
#include "tests/unit/provider_world.h"
#include "tests/unit/tiny_upstream.h"

#define OTHER_MODEL "whisper-large-v3"
#define MODEL "whisper-1"
#define UPLOAD_MOST (TINY_REQUEST_MAX - 8192)

static struct provider_world world;
static struct tiny *tiny;

static enum tiny_next script(int fd, const struct tiny_request *r, void *ctx)
{
    static const char early[] = "HTTP/1.1 500 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

    (void)ctx;
    if (strstr(r->head, "/fails-once") != NULL && r->number % 2 == 1)
        return tiny_send(fd, early, sizeof(early) - 1) ? TINY_CLOSE : TINY_RESET;
    if (strstr(r->head, "/fails-always") != NULL)
        return tiny_send(fd, early, sizeof(early) - 1) ? TINY_CLOSE : TINY_RESET;
    return tiny_answer(fd, 200, "application/json", "{\"id\":\"x\"}") ? TINY_KEEP : TINY_CLOSE;
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

static void begin(struct completion_req *req, const char *endpoint, const char *method, const char *path,
                  const char *body)
{
    provider_world_request(&world, req, "openai", body);
    req->endpoint = slice_of(endpoint);
    req->method = slice_of(method);
    req->path = slice_of(path);
}

static char *make_upload(size_t n)
{
    char *bytes = malloc(n);
    uint32_t x = 1;

    assert_non_null(bytes);
    for (size_t i = 0; i < n; i++) {
        x = x * 1664525u + 1013904223u;
        bytes[i] = (char)(x >> 24);
    }
    return bytes;
}

static void upload(const char *path, const char *bytes, size_t n, size_t piece, size_t model_at)
{
    struct completion_req req;
    struct meter_fake_event ev;
    struct answered a = {.upload = {bytes, n}, .upload_piece = piece};
    char *sent = malloc(TINY_REQUEST_MAX);
    size_t model_n = model_at > 0 ? strlen(MODEL) : 0, other_n = model_at > 0 ? strlen(OTHER_MODEL) : 0;

    assert_non_null(sent);
    begin(&req, ENDPOINT_TRANSCRIPTIONS, "POST", path, "");
    req.body = (struct slice){NULL, 0};
    req.content_type = slice_of("multipart/form-data; boundary=b");
    req.upload_bytes = n;
    req.model_at = model_at;
    req.model_bytes = model_n;
    req.model = slice_of(MODEL);
    provider_world_route(&world, &req, "openai", OTHER_MODEL);
    provider_world_call(&world, &req, &a, &ev);
    if (a.status != ST_OK || a.http_status != 200)
        fail_msg("%zu bytes in pieces of %zu: HTTP %u %s", n, piece, a.http_status, a.err.text);
    assert_int_equal(tiny_last_body(tiny, sent, TINY_REQUEST_MAX), n - model_n + other_n);
    assert_memory_equal(sent, bytes, model_at);
    assert_memory_equal(sent + model_at + other_n, bytes + model_at + model_n, n - model_at - model_n);
    if (model_at > 0)
        assert_memory_equal(sent + model_at, OTHER_MODEL, other_n);
    answered_fini(&a);
    free(sent);
}

/* Whatever pieces they come in: what was asked for is gathered before libcurl may ask for more. */
static void uploads_arrive_as_they_are(void **state)
{
    static const size_t sizes[] = {1,
                                   1000,
                                   COMPLETION_PUSHED_MAX - 1,
                                   COMPLETION_PUSHED_MAX,
                                   COMPLETION_PUSHED_MAX + 1,
                                   2 * COMPLETION_PUSHED_MAX,
                                   UPLOAD_MOST};
    static const size_t pieces[] = {COMPLETION_PUSHED_MAX, 65536, 4099};
    char *bytes = make_upload(UPLOAD_MOST);

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        for (size_t k = 0; k < sizeof(pieces) / sizeof(pieces[0]); k++)
            upload("/audio/transcriptions", bytes, sizes[i], pieces[k], 0);
    free(bytes);
}

static void the_models_name_is_replaced_in_an_upload(void **state)
{
    static const size_t places[] = {1, 500, COMPLETION_PUSHED_MAX, COMPLETION_PUSHED_MAX + 70000,
                                    UPLOAD_MOST - sizeof(MODEL) + 1};
    char *bytes = make_upload(UPLOAD_MOST);

    (void)state;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
        upload("/audio/transcriptions", bytes, UPLOAD_MOST, 65536, places[i]);
    free(bytes);
}

/* The second attempt asks again from the beginning, whatever of the first one's is still under way. */
static void an_upload_is_sent_again(void **state)
{
    char *bytes = make_upload(UPLOAD_MOST);

    (void)state;
    for (int i = 0; i < 3; i++) /* more retries than these there are not at once */
        upload(tiny_requests(tiny) % 2 == 0 ? "/audio/fails-once" : "/audio/transcriptions", bytes, UPLOAD_MOST, 4099,
               0);
    free(bytes);
}

static void a_body_goes_with_every_method(void **state)
{
    static const struct {
        const char *method, *body, *line;
    } cases[] = {
        {"DELETE", "{\"a\":1}", "DELETE /v1/things/1 HTTP/1.1\r\n"}, {"DELETE", "", "DELETE /v1/things/1 HTTP/1.1\r\n"},
        {"GET", "{\"a\":2}", "GET /v1/things/1 HTTP/1.1\r\n"},       {"GET", "", "GET /v1/things/1 HTTP/1.1\r\n"},
        {"DELETE", "{\"a\":3}", "DELETE /v1/things/1 HTTP/1.1\r\n"}, {"PUT", "", "PUT /v1/things/1 HTTP/1.1\r\n"},
        {"PATCH", "{\"a\":4}", "PATCH /v1/things/1 HTTP/1.1\r\n"},   {"POST", "", "POST /v1/things/1 HTTP/1.1\r\n"},
        {"POST", "{\"a\":5}", "POST /v1/things/1 HTTP/1.1\r\n"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct completion_req req;
        struct meter_fake_event ev;
        struct answered a = {0};
        char head[4096], sent[64];

        begin(&req, ENDPOINT_OTHER, cases[i].method, "/things/1", cases[i].body);
        provider_world_call(&world, &req, &a, &ev);
        assert_int_equal(a.http_status, 200);
        tiny_last_head(tiny, head, sizeof(head));
        tiny_last_body(tiny, sent, sizeof(sent));
        assert_int_equal(strncmp(head, cases[i].line, strlen(cases[i].line)), 0);
        assert_string_equal(sent, cases[i].body);
        assert_true((strcasestr(head, "content-type:") != NULL) == (cases[i].body[0] != '\0'));
        assert_null(strcasestr(head, "transfer-encoding:"));
        answered_fini(&a);
    }
}

/* A batch may have been made behind an answer that says 500: it is not made twice. An answer is only asked for again.
 */
static void what_may_have_been_made_is_not_made_again(void **state)
{
    static const struct {
        const char *endpoint;
        unsigned requests;
    } cases[] = {{ENDPOINT_BATCHES, 1}, {ENDPOINT_OTHER, 1}, {ENDPOINT_IMAGES, COMPLETION_TRIES_MAX}};

    (void)state;
    usleep(1000 * 1000 * BUDGET_SECONDS + 100000); /* the uploads' retries count no more */
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct completion_req req;
        struct meter_fake_event ev;
        struct answered a = {0};
        unsigned before = tiny_requests(tiny);

        begin(&req, cases[i].endpoint, "POST", "/fails-always", "{\"a\":1}");
        provider_world_call(&world, &req, &a, &ev);
        assert_int_equal(a.http_status, 500);
        assert_int_equal(tiny_requests(tiny) - before, cases[i].requests);
        answered_fini(&a);
    }
}

static void a_models_name_outside_of_its_upload_is_refused(void **state)
{
    static const uint64_t places[][3] = {{10, 0, 11}, {10, 9, 2}, {10, UINT64_C(1) << 29, 1}}; /* bytes, at, length */

    (void)state;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        struct completion_req req;
        struct meter_fake_event ev;
        struct answered a = {0};
        unsigned before = tiny_requests(tiny);

        begin(&req, ENDPOINT_TRANSCRIPTIONS, "POST", "/audio/transcriptions", "");
        req.body = (struct slice){NULL, 0};
        req.upload_bytes = places[i][0];
        req.model_at = places[i][1];
        req.model_bytes = places[i][2];
        provider_world_call(&world, &req, &a, &ev);
        assert_int_equal(a.status, ST_BAD_MESSAGE);
        assert_int_equal(tiny_requests(tiny), before);
        answered_fini(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uploads_arrive_as_they_are),
        cmocka_unit_test(the_models_name_is_replaced_in_an_upload),
        cmocka_unit_test(an_upload_is_sent_again),
        cmocka_unit_test(a_body_goes_with_every_method),
        cmocka_unit_test(what_may_have_been_made_is_not_made_again),
        cmocka_unit_test(a_models_name_outside_of_its_upload_is_refused),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
