/* Routes, credentials and header lines: what of HTTP needs no socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/answer.h"
#include "gateway/call.h"
#include "gateway/exposition.h"
#include "gateway/routes.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void patterns(void **state)
{
    static const struct {
        const char *pattern, *path, *param; /* param NULL: no match */
    } cases[] = {
        {"/", "/", ""},
        {"/", "", NULL},
        {"/", "//", NULL},
        {"/v1/models", "/v1/models", ""},
        {"/v1/models", "/v1/modelsx", NULL},
        {"/v1/models", "/v1/models/", NULL},
        {"/v1/models", "/v1/model", NULL},
        {"/v1/models/{model*}", "/v1/models/", NULL},
        {"/v1/models/{model*}", "/v1/models/a", "a"},
        {"/v1/models/{model*}", "/v1/models/a%2Fb", "a%2Fb"},
        {"/v1/models/{model*}", "/v1/models/a/b/c", "a/b/c"},
        {"/api/keys/{id}", "/api/keys/key_1", "key_1"},
        {"/api/keys/{id}", "/api/keys/a/b", NULL},
        {"/api/keys/{id}", "/api/keys/", NULL},
        {"/u/{id}/credits", "/u/x/credits", "x"},
        {"/u/{id}/credits", "/u/x/credit", NULL},
        {"/u/{id}/credits", "/u//credits", NULL},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(cases); i++) {
        struct slice param = {"", 0};
        bool matched = route_match(cases[i].pattern, slice_of(cases[i].path), &param);

        assert_int_equal(matched, cases[i].param != NULL);
        if (matched)
            assert_true(slice_is(param, cases[i].param));
    }
}

static const struct route *find(struct arena *a, const char *method, const char *path, struct request *r, bool *known,
                                char *allow)
{
    *r = (struct request){
        .arena = a, .method = slice_of(method), .path = slice_of(path), .head = !strcmp(method, "HEAD")};
    return route_find(r, known, allow, 64);
}

static void a_request_finds_its_route(void **state)
{
    struct arena a;
    struct request r;
    char allow[64];
    bool known;

    (void)state;
    arena_init(&a, 1 << 16);
    assert_string_equal(find(&a, "POST", "/v1/chat/completions", &r, &known, allow)->path, "/v1/chat/completions");
    assert_string_equal(find(&a, "HEAD", "/health", &r, &known, allow)->path, "/health");
    assert_string_equal(find(&a, "GET", "/v1/models/a%2Fb%20c", &r, &known, allow)->path, "/v1/models/{model*}");
    assert_true(slice_is(r.param, "a/b c"));
    assert_null(find(&a, "GET", "/v1/models/%zz", &r, &known, allow));
    assert_null(find(&a, "GET", "/v1/models/a%00b", &r, &known, allow));
    assert_null(find(&a, "GET", "/v1/models/a%", &r, &known, allow));
    assert_null(find(&a, "GET", "/v1/models/%ff", &r, &known, allow));
    assert_null(find(&a, "GET", "/V1/models", &r, &known, allow));
    assert_false(known);
    assert_null(find(&a, "DELETE", "/api/keys", &r, &known, allow));
    assert_true(known);
    assert_string_equal(allow, "POST, GET");
    assert_null(find(&a, "PUT", "/v1/chat/completions", &r, &known, allow));
    assert_string_equal(allow, "POST, GET");
    assert_null(find(&a, "HEAD", "/v1/files", &r, &known, allow)); /* no call is without a body */
    assert_true(known);
    assert_null(find(&a, "HEAD", "/v1/no/such", &r, &known, allow));
    assert_string_equal(find(&a, "PATCH", "/v1/no/such", &r, &known, allow)->path, "/v1/{rest*}");
    assert_string_equal(find(&a, "GET", "/v1/files/f-1/content", &r, &known, allow)->path, "/v1/files/{id}/content");
    assert_string_equal(find(&a, "POST", "/v1/responses/compact", &r, &known, allow)->path, "/v1/responses/compact");
    arena_fini(&a);
}

static void azures_paths_are_openais(void **state)
{
    static const struct {
        const char *path, *route, *deployment, *api_path; /* route NULL: none */
    } cases[] = {
        {"/openai/deployments/my%20m/chat/completions", "/v1/chat/completions", "my m", "/v1/chat/completions"},
        {"/openai/deployments/m/audio/speech", "/v1/audio/speech", "m", "/v1/audio/speech"},
        {"/openai/v1/embeddings", "/v1/embeddings", NULL, "/v1/embeddings"},
        {"/openai/files/f", "/v1/files/{id}", "", "/v1/files/f"},
        {"/openai/deployments/", NULL, NULL, NULL},
        {"/openai/deployments/m", NULL, NULL, NULL},
        {"/openai/deployments//embeddings", NULL, NULL, NULL},
        {"/openai/deployments/%zz/embeddings", NULL, NULL, NULL},
        {"/openai/", NULL, NULL, NULL},
        {"/openai", NULL, NULL, NULL},
    };
    struct arena a;
    struct request r;
    char allow[64];
    bool known;
    size_t i;

    (void)state;
    arena_init(&a, 1 << 16);
    for (i = 0; i < COUNT(cases); i++) {
        const struct route *found = find(&a, "GET", cases[i].path, &r, &known, allow);

        if (!found)
            found = find(&a, "POST", cases[i].path, &r, &known, allow);
        assert_int_equal(found != NULL, cases[i].route != NULL);
        if (!found)
            continue;
        assert_string_equal(found->path, cases[i].route);
        assert_true(slice_is(r.api_path, cases[i].api_path));
        assert_int_equal(r.deployment.p != NULL, cases[i].deployment != NULL);
        if (cases[i].deployment)
            assert_true(slice_is(r.deployment, cases[i].deployment));
    }
    arena_fini(&a);
}

/* Declared once: no row may stand in the way of another, and every row says who may call it. */
static void every_route_is_reached_and_guarded(void **state)
{
    struct arena a;
    struct request r;
    char allow[64], path[128];
    bool known;
    size_t i;

    (void)state;
    arena_init(&a, 1 << 16);
    for (i = 0; i < n_routes; i++) {
        const char *brace = strchr(routes[i].path, '{');

        memset(path, 0, sizeof(path));
        memcpy(path, routes[i].path, brace ? (size_t)(brace - routes[i].path) : strlen(routes[i].path));
        if (brace) {
            path[strlen(path)] = 'x';
            memcpy(path + strlen(path), strchr(brace, '}') + 1, strlen(strchr(brace, '}') + 1));
        }
        assert_ptr_equal(find(&a, routes[i].method, path, &r, &known, allow), &routes[i]);
        assert_non_null(routes[i].handler);
        assert_int_equal(routes[i].handler == call_handle, routes[i].surface != NULL);
        if (!strncmp(routes[i].path, "/api/admin/", 11))
            assert_int_equal(routes[i].who, ROUTE_ADMIN);
        else if (!strncmp(routes[i].path, "/api/", 5) && strcmp(routes[i].path, "/api/hello") != 0)
            assert_int_equal(routes[i].who, ROUTE_USER);
        else if (!strncmp(routes[i].path, "/v1/", 4))
            assert_int_equal(routes[i].who, ROUTE_KEY);
        if (routes[i].req && routes[i].who == ROUTE_USER &&
            !(routes[i].flags & ROUTE_SELF)) /* everybody's own, never everybody's */
            assert_false(routes[i].flags & ROUTE_EVERYBODY);
        if (routes[i].req && routes[i].who == ROUTE_USER)
            assert_true(wire_field_named(routes[i].req, slice_of("actor_id")) || (routes[i].flags & ROUTE_SELF));
    }
    arena_fini(&a);
}

/* The API reference describes what is served: each path with each of its methods, and no others. */
static void the_reference_lists_the_same_routes(void **state)
{
    FILE *f = fopen("docs/openapi.yaml", "r"); /* tests run at the top of the tree */
    char line[512], path[256] = "", star[256];
    size_t operations = 0, described = 0, i;

    (void)state;
    for (i = 0; i < n_routes; i++)
        described += routes[i].method[0] != '*'; /* what is passed on without being known is told in words */
    if (!f)
        skip();
    while (fgets(line, sizeof(line), f) && strcmp(line, "components:\n") != 0) {
        char method[16];
        bool known = false;

        if (line[2] == '/' && sscanf(line, " %255[^: \n]:", path) == 1)
            continue;
        if (path[0] != '/' || strncmp(line, "    ", 4) != 0 || line[4] == ' ' ||
            sscanf(line, "    %15[a-z]:", method) != 1)
            continue;
        operations++;
        for (i = 0; i < n_routes; i++) {
            const char *mark = strchr(routes[i].path, '*');

            snprintf(star, sizeof(star), "%.*s%s", (int)(mark ? mark - routes[i].path : 0), routes[i].path,
                     mark ? mark + 1 : routes[i].path);
            known |= !strcmp(star, path) && !strcasecmp(method, routes[i].method);
        }
        if (!known)
            fail_msg("%s %s is described and not served", method, path);
    }
    fclose(f);
    assert_int_equal(operations, described);
}

static void keys_come_in_three_headers(void **state)
{
    struct request r = {.http = NULL};

    (void)state;
    assert_int_equal(request_key(&r).n, 0);
    r.api_key = slice_of("c");
    assert_true(slice_is(request_key(&r), "c"));
    r.x_api_key = slice_of("b");
    assert_true(slice_is(request_key(&r), "b"));
    r.authorization = slice_of("Basic a");
    assert_true(slice_is(request_key(&r), "b"));
    r.authorization = slice_of("Bearer");
    assert_true(slice_is(request_key(&r), "b"));
    r.authorization = slice_of("bearer   My API Key");
    assert_true(slice_is(request_key(&r), "My API Key"));
    r.authorization = slice_of("Bearerx");
    assert_true(slice_is(request_key(&r), "b"));
}

static void durations_look_like_gos(void **state)
{
    static const struct {
        uint64_t ms;
        const char *text;
    } cases[] = {{0, "0s"},        {12, "12ms"},        {999, "999ms"},      {1000, "1s"},
                 {2100, "2.1s"},   {2150, "2.150s"},    {59999, "59.999s"},  {60000, "1m0s"},
                 {360000, "6m0s"}, {3723000, "1h2m3s"}, {3600000, "1h0m0s"}, {604800000, "168h0m0s"}};
    char text[64];
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(cases); i++) {
        call_go_duration(cases[i].ms, text, sizeof(text));
        assert_string_equal(text, cases[i].text);
    }
}

static struct slice text_of(const struct buf *b)
{
    return (struct slice){b->p, b->n};
}

static bool holds(const struct buf *b, const char *text)
{
    return b->n && memmem(b->p, b->n, text, strlen(text)) != NULL;
}

static void upstreams_headers_cannot_break_ours(void **state)
{
    static const struct http_header headers[] = {
        {.name = {"x-good", 6}, .value = {"yes", 3}},
        {.name = {"x-split", 7}, .value = {"a\r\nset-cookie: b", 16}},
        {.name = {"x:y", 3}, .value = {"a", 1}},
        {.name = {"Content-Length", 14}, .value = {"5", 1}},
        {.name = {"transfer-encoding", 17}, .value = {"chunked", 7}},
        {.name = {"X-Request-Id", 12}, .value = {"theirs", 6}},
        {.name = {"x-ratelimit-limit-requests", 26}, .value = {"1", 1}},
        {.name = {"Set-Cookie", 10}, .value = {"a=b", 3}},
    };
    static const struct call_route route = {.upstream_model = {"m", 1}};
    struct call c = {
        .head = {.http_status = 429, .attempts = 2, .retry_after_ms = 2000, .headers = {headers, COUNT(headers)}},
        .admitted = {.routes = {&route, 1}}};
    struct buf b;

    (void)state;
    buf_init(&b, 65536);
    call_answer_lines(&c, &b);
    assert_true(holds(&b, "x-good: yes\r\n"));
    assert_true(holds(&b, "retry-after: 2\r\nretry-after-ms: 2000\r\n"));
    assert_false(holds(&b, "cookie"));
    assert_false(holds(&b, "Cookie"));
    assert_false(holds(&b, "x:y"));
    assert_false(holds(&b, "ontent-Length"));
    assert_false(holds(&b, "chunked"));
    assert_false(holds(&b, "theirs"));
    assert_false(holds(&b, "x-ratelimit"));
    assert_false(holds(&b, "x-router-cost-usd"));
    b.n = 0;
    c.head.http_status = 504; /* upstream may have billed: SDKs must not repeat it */
    call_answer_lines(&c, &b);
    assert_true(holds(&b, "x-should-retry: false\r\n"));
    buf_fini(&b);
}

static void the_cost_is_what_meterd_will_book(void **state)
{
    static const struct price p = {
        .has = 1u << 5, .input_pico = 150000, .cached_input_pico = 75000, .output_pico = 600000};
    struct call_route route = {.price = {&p, 1}};
    struct call c = {.surface = &surfaces[SURFACE_CHAT],
                     .has_result = true,
                     .result = {.prompt_tokens = 1000, .cached_tokens = 999, .completion_tokens = 7},
                     .admitted = {.routes = {&route, 1}}};
    int64_t nano;

    (void)state;
    assert_true(call_cost(&c, &nano));
    assert_int_equal(nano, (150000 * 1 + 75000 * 999 + 600000 * 7 + 999) / 1000);
    route.price.n = 0;
    assert_true(call_cost(&c, &nano));
    assert_int_equal(nano, 0);
    c.surface = &surfaces[SURFACE_BATCHES];
    assert_false(call_cost(&c, &nano));
    c.surface = &surfaces[SURFACE_CHAT];
    c.has_result = false;
    assert_false(call_cost(&c, &nano));
}

static void errors_have_openais_shape(void **state)
{
    struct err e = {.status = ST_OK};
    struct problem p;
    struct buf b;

    (void)state;
    buf_init(&b, 4096);
    err_set_field(&e, ST_BAD_REQUEST, "invalid_type", "n", "a \"quoted\"\n text");
    p = problem_of(&e);
    problem_body(&p, &b);
    assert_true(slice_is(text_of(&b),
                         "{\"error\":{\"message\":\"a \\\"quoted\\\"\\n "
                         "text\",\"type\":\"invalid_request_error\",\"param\":\"n\",\"code\":\"invalid_type\"}}"));
    assert_int_equal(p.should_retry, -1);
    b.n = 0;
    e = (struct err){.status = ST_INTERNAL};
    p = problem_of(&e);
    problem_body(&p, &b);
    assert_true(holds(&b, "\"param\":null,\"code\":null}}"));
    buf_fini(&b);
}

static int retry_of(enum status st, uint64_t after_ms)
{
    struct err e = {.status = st, .retry_after_ms = after_ms};

    return problem_of(&e).should_retry;
}

static void clients_are_told_whether_to_try_again(void **state)
{
    (void)state;
    assert_int_equal(retry_of(ST_NO_FUNDS, 0), 0);
    assert_int_equal(retry_of(ST_TIMEOUT, 0), 0);
    assert_int_equal(retry_of(ST_PEER_LOST, 0), 0);
    assert_int_equal(retry_of(ST_UPSTREAM, 0), 0);
    assert_int_equal(retry_of(ST_CONFLICT, 0), 0);
    assert_int_equal(retry_of(ST_RATE_REQUESTS, 100), 1);
    assert_int_equal(retry_of(ST_RATE_TOKENS, 0), 0); /* too large for ever */
    assert_int_equal(retry_of(ST_UNAVAILABLE, 0), 1);
    assert_int_equal(retry_of(ST_UPSTREAM_CONNECT, 0), 1);
    assert_int_equal(retry_of(ST_NOT_FOUND, 0), -1);
}

static void metrics_of_all_are_one_text(void **state)
{
    static const char one[] = "# HELP a A.\n# TYPE a counter\na{s=\"1\"} 1\n# HELP h H.\n# TYPE h "
                              "histogram\nh_bucket{le=\"1\"} 0\nh_count 0\n";
    static const char two[] = "# HELP b B.\n# TYPE b gauge\nb 2\n# HELP a A.\n# TYPE a counter\na{s=\"2\"} 3";
    const struct slice texts[] = {{one, sizeof(one) - 1}, {NULL, 0}, {two, sizeof(two) - 1}};
    struct arena a;
    struct buf b;

    (void)state;
    arena_init(&a, 1 << 20);
    buf_init(&b, 4096);
    assert_int_equal(exposition_merge(texts, 3, &a, &b), ST_OK);
    assert_true(slice_is(text_of(&b),
                         "# HELP a A.\n# TYPE a counter\na{s=\"1\"} 1\na{s=\"2\"} 3\n# HELP h H.\n# TYPE h histogram\n"
                         "h_bucket{le=\"1\"} 0\nh_count 0\n# HELP b B.\n# TYPE b gauge\nb 2\n"));
    buf_fini(&b);
    arena_fini(&a);
}

/* ---- the writing side of a stream, over a socket that can be full ------------------------------------------------ */

static size_t drain(int fd, struct buf *to)
{
    char piece[65536];
    size_t total = 0;
    ssize_t got;

    while ((got = recv(fd, piece, sizeof(piece), MSG_DONTWAIT)) > 0) {
        assert_int_equal(buf_add(to, piece, (size_t)got), ST_OK);
        total += (size_t)got;
    }
    return total;
}

static void a_stream_is_one_chunk_a_batch(void **state)
{
    static const char wanted[] = "HEAD6\r\nhello\n\r\n3\r\nbye\r\n0\r\n\r\n";
    struct slice none = {NULL, 0};
    struct stream s;
    struct buf b;
    int fd[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
    buf_init(&b, 4096);
    stream_init(&s, fd[0], true, STREAM_BACKLOG_MAX);
    assert_true(stream_put(&s, slice_of("HEAD"), slice_of("hello\n"), false, true));
    assert_true(s.began);
    assert_false(s.boundary);
    assert_true(stream_put(&s, none, slice_of("bye"), true, true));
    drain(fd[1], &b);
    assert_true(slice_is(text_of(&b), wanted));
    assert_int_equal(s.credit, 9);
    stream_fini(&s);
    close(fd[0]);
    close(fd[1]);
    buf_fini(&b);
}

static void a_full_socket_keeps_order_and_credit(void **state)
{
    char data[4096];
    struct slice none = {NULL, 0};
    uint64_t put = 0, credit = 0;
    struct stream s;
    struct buf b;
    int fd[2], i;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
    buf_init(&b, 1 << 24);
    stream_init(&s, fd[0], false, STREAM_BACKLOG_MAX);
    for (i = 0; !s.backlog.n || s.backlog.n < 50000; i++) {
        memset(data, 'a' + i % 26, sizeof(data));
        stream_put(&s, none, (struct slice){data, sizeof(data)}, false, true);
        put += sizeof(data);
    }
    assert_true(s.owed >= s.backlog.n); /* what is not through is not given back */
    assert_int_equal(s.credit + s.owed, put);
    while (!stream_flush(&s))
        drain(fd[1], &b);
    drain(fd[1], &b);
    assert_int_equal(b.n, put);
    for (i = 0; (size_t)i < b.n; i++)
        if (b.p[i] != 'a' + i / 4096 % 26)
            fail_msg("byte %d is out of order", i);
    credit = stream_credit(&s);
    assert_int_equal(credit, put);
    assert_int_equal(s.owed, 0);
    close(fd[1]);
    assert_true(stream_put(&s, none, slice_of("x"), false, true));
    assert_true(s.broken);
    stream_fini(&s);
    close(fd[0]);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns),
        cmocka_unit_test(a_request_finds_its_route),
        cmocka_unit_test(azures_paths_are_openais),
        cmocka_unit_test(every_route_is_reached_and_guarded),
        cmocka_unit_test(the_reference_lists_the_same_routes),
        cmocka_unit_test(keys_come_in_three_headers),
        cmocka_unit_test(durations_look_like_gos),
        cmocka_unit_test(upstreams_headers_cannot_break_ours),
        cmocka_unit_test(the_cost_is_what_meterd_will_book),
        cmocka_unit_test(errors_have_openais_shape),
        cmocka_unit_test(clients_are_told_whether_to_try_again),
        cmocka_unit_test(metrics_of_all_are_one_text),
        cmocka_unit_test(a_stream_is_one_chunk_a_batch),
        cmocka_unit_test(a_full_socket_keeps_order_and_credit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
