/* A trial of a provider, as an administrator makes it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "services/call.h"
#include "services/clock.h"
#include "tests/lib/slow.h"
#include "tests/unit/routing_world.h"

#define AT_ONCE 6 /* below LOOP_JOBS_MAX */

struct tried {
    pthread_mutex_t lock;
    bool ended;
    enum status status;
    struct provider_test_rep rep;
    char text[LIMIT_TITLE + 1], models[256];
    struct err err;
};

static void on_end(void *ctx, enum status st, struct slice payload)
{
    struct tried *t = ctx;
    struct arena arena;
    struct wire_alloc mem;

    arena_init(&arena, 65536);
    mem = arena_wire(&arena);
    pthread_mutex_lock(&t->lock);
    t->status = call_result(st, payload, &provider_test_rep_desc, &t->rep, &mem, &t->err, NULL);
    if (t->status == ST_OK) {
        (void)slice_copy(t->rep.text, t->text, sizeof(t->text));
        for (size_t i = 0; i < t->rep.models.n; i++)
            snprintf(t->models + strlen(t->models), sizeof(t->models) - strlen(t->models), "%.*s,",
                     SLICE_ARG(t->rep.models.items[i]));
    }
    t->ended = true;
    pthread_mutex_unlock(&t->lock);
    arena_fini(&arena);
}

static const struct xchg_events events = {.end = on_end};

static void begin(struct routing *r, const char *name, const char *model, struct tried *t)
{
    struct provider_test_req req = {.name = slice_of(name), .model = slice_of(model)};
    struct xchg_open open = {.deadline_ms = 10000, .events = &events, .ctx = t};
    struct xchg_id id;

    memset(t, 0, sizeof(*t));
    pthread_mutex_init(&t->lock, NULL);
    assert_int_equal(call_open(r->w.client, &provider_test_req_desc, &req, &open, &id, NULL), ST_OK);
}

static void await(struct tried *t)
{
    uint64_t until = clock_ms() + slow_ms(12000);
    bool ended = false;

    while (!ended && clock_ms() < until) {
        usleep(1000);
        pthread_mutex_lock(&t->lock);
        ended = t->ended;
        pthread_mutex_unlock(&t->lock);
    }
    assert_true(ended);
}

static void try(struct routing *r, const char *name, const char *model, struct tried *t)
{
    begin(r, name, model, t);
    await(t);
}

static void does(struct routing *r, enum does what, int status, const char *text)
{
    atomic_store(&r->sides[0].text, text);
    atomic_store(&r->sides[0].status, status);
    atomic_store(&r->sides[0].does, what);
}

/* To the call; does is of the list. */
static void says(struct routing *r, int status, const char *text)
{
    atomic_store(&r->sides[0].post_status, status);
    atomic_store(&r->sides[0].post_text, text);
}

#define CHAT "{\"choices\":[]}"
#define MODELS "{\"data\":[{\"id\":\"m-1\"},{\"id\":7},{\"id\":\"m-2\"}]}"

static void a_list_of_models_is_enough(void **state)
{
    struct routing *r = *state;
    struct tried t;
    char head[2048];

    routing_put(r, 0, 1, NULL);
    does(r, DOES_STATUS, 200, MODELS);
    try(r, "a", "", &t);
    assert_int_equal(t.status, ST_OK);
    assert_true(t.rep.ok);
    assert_int_equal(t.rep.http_status, 200);
    assert_string_equal(t.models, "m-1,m-2,");
    tiny_last_head(r->sides[0].tiny, head, sizeof(head));
    assert_non_null(strstr(head, "GET /v1/models HTTP/1.1\r\n"));
    assert_non_null(strstr(head, "Authorization: Bearer sk-1\r\n"));
}

static void with_a_model_a_call_is_made(void **state)
{
    struct routing *r = *state;
    struct tried t;
    char sent[1024];

    routing_put(r, 0, 1, NULL);
    does(r, DOES_STATUS, 200, MODELS);
    says(r, 200, CHAT);
    try(r, "a", "m\"x", &t);
    assert_true(t.rep.ok);
    assert_string_equal(t.models, "m-1,m-2,");
    tiny_last_body(r->sides[0].tiny, sent, sizeof(sent));
    assert_non_null(strstr(sent, "\"model\":\"m\\\"x\""));
    assert_non_null(strstr(sent, "\"max_completion_tokens\":16"));
    assert_int_equal(routing_seen(r, 0), 2);
}

/* What a kind is asked is what its adapter would ask for a client: there, and nowhere else, the model is looked for. */
static const struct calling {
    struct catalog_provider is;
    const char *base, *model, *list, *call, *sent, *answer, *unknown;
} callings[] = {
    {{.kind = {"openai", 6}, .chat_only = true},
     "/v1",
     "llama",
     "GET /v1/models ",
     "POST /v1/chat/completions ",
     "\"max_tokens\":16",
     CHAT,
     "{\"error\":{\"message\":\"no such model\"}}"},
    {{.kind = {"anthropic", 9}},
     "",
     "claude",
     "GET /v1/models ",
     "POST /v1/messages ",
     "\"model\":\"claude\"",
     "{\"content\":[]}",
     "{\"type\":\"error\",\"error\":{\"type\":\"not_found_error\",\"message\":\"no such model\"}}"},
    {{.kind = {"gemini", 6}},
     "/v1beta",
     "g 1",
     "GET /v1beta/models ",
     "POST /v1beta/models/g%201:generateContent ",
     "\"maxOutputTokens\":16",
     "{\"candidates\":[]}",
     "{\"error\":{\"code\":404,\"message\":\"no such model\",\"status\":\"NOT_FOUND\"}}"},
    {{.kind = {"azure", 5}},
     "/openai/v1",
     "d-1",
     "GET /openai/v1/models ",
     "POST /openai/v1/chat/completions ",
     "\"model\":\"d-1\"",
     CHAT,
     "{\"error\":{\"code\":\"DeploymentNotFound\",\"message\":\"no such model\"}}"},
    {{.kind = {"azure", 5}, .api_version = {"2024-10-21", 10}},
     "",
     "d-1",
     "GET /openai/models?api-version=2024-10-21 ",
     "POST /openai/deployments/d-1/chat/completions?api-version=2024-10-21 ",
     "\"messages\":[",
     CHAT,
     "{\"error\":{\"code\":\"DeploymentNotFound\",\"message\":\"no such model\"}}"},
};

static void try_calling(struct routing *r, const struct calling *c)
{
    struct catalog_provider is = c->is;
    char url[64], head[2048], sent[1024];
    struct tried t;

    snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", tiny_port(r->sides[0].tiny), c->base);
    is.base_url = slice_of(url);
    routing_put(r, 0, 1, &is);
    does(r, DOES_STATUS, 200, MODELS);
    try(r, "a", "", &t);
    tiny_last_head(r->sides[0].tiny, head, sizeof(head));
    if (!t.rep.ok || strncmp(head, c->list, strlen(c->list)) != 0)
        fail_msg("%s\n%s", t.text, head);
    says(r, 200, c->answer);
    try(r, "a", c->model, &t);
    tiny_last_head(r->sides[0].tiny, head, sizeof(head));
    tiny_last_body(r->sides[0].tiny, sent, sizeof(sent));
    if (!t.rep.ok || strncmp(head, c->call, strlen(c->call)) != 0 || strstr(sent, c->sent) == NULL)
        fail_msg("%s\n%s%s", t.text, head, sent);
    says(r, 404, c->unknown);
    try(r, "a", c->model, &t);
    assert_false(t.rep.ok);
    assert_int_equal(t.rep.http_status, 404);
    assert_non_null(strstr(t.text, "no such model"));
    says(r, 200, c->unknown); /* some say it so */
    try(r, "a", c->model, &t);
    assert_false(t.rep.ok);
    assert_non_null(strstr(t.text, "no such model"));
    says(r, 200, "<html>");
    try(r, "a", c->model, &t);
    assert_false(t.rep.ok);
    assert_non_null(strstr(t.text, "something else"));
}

static void every_kind_is_called_as_its_adapter_does(void **state)
{
    for (size_t i = 0; i < sizeof(callings) / sizeof(callings[0]); i++)
        try_calling(*state, &callings[i]);
}

/* Its path would lead elsewhere: nothing is asked. */
static void a_model_that_leads_elsewhere_is_refused(void **state)
{
    struct catalog_provider is = {.kind = slice_of("azure"), .api_version = slice_of("2024-10-21")};
    struct routing *r = *state;
    struct tried t;

    routing_put(r, 0, 1, &is);
    try(r, "a", "..", &t);
    assert_false(t.rep.ok);
    assert_int_equal(t.rep.http_status, 0);
    assert_int_equal(routing_seen(r, 0), 0);
}

/* Not a word of ours and not a piece of the key: only what helps. */
static void failures_are_said(void **state)
{
    static const struct {
        const char *kind;
        int status;
        const char *text, *says, *never;
    } table[] = {
        {"openai", 401, "{\"error\":{\"message\":\"Incorrect key sk-1\"}}", "refused the key (HTTP 401)", "sk-1"},
        {"anthropic", 403, "{\"error\":{\"message\":\"key sk-1\"}}", "refused the key (HTTP 403)", "sk-1"},
        {"gemini", 400,
         "{\"error\":{\"code\":400,\"message\":\"API key sk-1 not valid\",\"status\":\"INVALID_ARGUMENT\",\"details\":"
         "[{\"@type\":\"type.googleapis.com/google.rpc.ErrorInfo\",\"reason\":\"API_KEY_INVALID\"}]}}",
         "refused the key (HTTP 400)", "sk-1"},
        {"openai", 500, "{\"error\":{\"message\":\"our disk is full\"}}", "HTTP 500: our disk is full", "sk-1"},
        {"openai", 302, "", "HTTP 302.", "sk-1"},
        {"openai", 404, "<html>", "HTTP 404.", "sk-1"},
    };
    struct routing *r = *state;

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct catalog_provider kind = {.kind = slice_of(table[i].kind)};
        struct tried t;

        routing_put(r, 0, 1, &kind);
        does(r, DOES_STATUS, table[i].status, table[i].text);
        try(r, "a", "m", &t);
        assert_int_equal(t.status, ST_OK);
        assert_false(t.rep.ok);
        assert_int_equal(t.rep.http_status, table[i].status);
        if (strstr(t.text, table[i].says) == NULL || strstr(t.text, table[i].never) != NULL)
            fail_msg("%s", t.text);
    }
}

static void what_is_broken_or_nobody_is_said(void **state)
{
    struct catalog_provider nobody = {.base_url = slice_of("http://127.0.0.1:1/v1")};
    struct routing *r = *state;
    struct tried t;

    try(r, "nosuch", "", &t);
    assert_int_equal(t.status, ST_NOT_FOUND);
    try(r, "echo", "", &t);
    assert_true(t.rep.ok);
    routing_put(r, 0, 1, &nobody);
    try(r, "a", "", &t);
    assert_false(t.rep.ok);
    assert_int_equal(t.rep.http_status, 0);
    assert_non_null(strstr(t.text, "could not be reached"));
    routing_put(r, 0, 1, NULL);
    does(r, DOES_RAW, 0, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{");
    try(r, "a", "", &t);
    assert_false(t.rep.ok);
    does(r, DOES_STATUS, 200, "no JSON at all");
    try(r, "a", "", &t);
    assert_int_equal(t.rep.models.n, 0);
    assert_int_equal(unsetenv("ROUTING_KEY_1"), 0);
    routing_put(r, 0, 1, NULL);
    try(r, "a", "", &t);
    assert_false(t.rep.ok);
    assert_non_null(strstr(t.text, "no key"));
}

/* Several at once, beside calls; and one that hangs does not keep the service from its end. */
static void trials_run_beside_calls(void **state)
{
    struct routing *r = *state;
    struct tried t[AT_ONCE];
    uint64_t began;

    routing_put(r, 0, 1, NULL);
    routing_put(r, 1, 1, NULL);
    does(r, DOES_HANG, 0, NULL);
    for (int i = 0; i < AT_ONCE; i++)
        begin(r, "a", "", &t[i]);
    for (int i = 0; i < 100; i++)
        routing_good(r, "b", i % 2 == 0, "b");
    for (int i = 0; i < 500 && routing_seen(r, 0) < AT_ONCE; i++)
        usleep(10000);
    assert_int_equal(routing_seen(r, 0), AT_ONCE);
    began = clock_ms();
    svc_drain(r->w.svc, 100);
    for (int i = 0; i < AT_ONCE; i++) {
        await(&t[i]);
        assert_non_null(strstr(t[i].text, "shut down"));
    }
    assert_true(clock_ms() - began < slow_ms(5000)); /* they would hang for 20 s */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, routing_setup, routing_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_list_of_models_is_enough),
        TEST(with_a_model_a_call_is_made),
        TEST(failures_are_said),
        TEST(every_kind_is_called_as_its_adapter_does),
        TEST(a_model_that_leads_elsewhere_is_refused),
        TEST(what_is_broken_or_nobody_is_said),
        TEST(trials_run_beside_calls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
