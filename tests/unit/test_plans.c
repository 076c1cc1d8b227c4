/* How an adapter serves a call: the paths above all, which hold what clients and operators wrote. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "providersvc/adapters/plans.h"
#include "providersvc/completion.h"

struct planning {
    struct completion c;
    struct svc_call call;
    struct completion_req req;
    struct call_route route;
    struct upstream_seat seat;
    struct upstream *upstream;
    struct call_plan plan;
};

static void make_upstream(struct planning *p, const char *kind, const char *base_url, const char *api_version)
{
    struct catalog_provider def = {.name = slice_of("p"),
                                   .kind = slice_of(kind),
                                   .base_url = slice_of(base_url),
                                   .api_version = slice_of(api_version)};
    struct upstream_defaults defaults = {.connect_ms = 1};
    struct err err = {0};

    upstream_unref(p->upstream);
    p->upstream = NULL;
    if (upstream_new(&def, NULL, &defaults, &p->upstream, &err) != ST_OK)
        fail_msg("%s: %s", base_url, err.text);
    p->upstream->seat = &p->seat;
    p->upstream->name = p->seat.name;
}

static enum status plan(struct planning *p, const char *endpoint, const char *path, const char *model)
{
    p->req.endpoint = slice_of(endpoint);
    p->req.path = slice_of(path);
    p->route.upstream_model = slice_of(model);
    p->c.req = &p->req;
    p->c.call = &p->call;
    p->c.route = &p->route;
    p->c.upstream = p->upstream;
    memset(&p->call.err, 0, sizeof(p->call.err));
    memset(&p->plan, 0, sizeof(p->plan));
    return p->upstream->adapter->plan(&p->c, &p->plan);
}

static int setup(void **state)
{
    struct planning *p = calloc(1, sizeof(*p));

    if (p == NULL)
        return -1;
    strcpy(p->seat.name, "p");
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct planning *p = *state;

    upstream_unref(p->upstream);
    free(p);
    return 0;
}

/* ---- the client's own path -----------------------------------------------------------------------------------------
 */

static void paths_that_lead_elsewhere_are_refused(void **state)
{
    static const char *const bad[] = {
        "files",
        "",
        "http://evil.example/files",
        "@evil.example/files",
        "/..",
        "/../admin",
        "/files/..",
        "/files/../../admin",
        "/files/./x",
        "/.",
        "/files/%2e%2e/admin",
        "/files/%2E%2e/admin",
        "/files/.%2e",
        "/files/%2e",
        "/files/..%2fadmin",
        "/files/%2e%2e%2fadmin",
        "/files%2f..%2f..%2fadmin",
        "/files/..%5cadmin",
        "/files/x%5C..%5C..%5Cadmin",
        "/files\\..\\admin",
        "/files/a b",
        "/files/a\tb",
        "/files/a\r\nX-Evil: 1",
        "/files/a\nb",
        "/files/a%0d%0aX-Evil:%201",
        "/files/a%0A",
        "/files/a%00b",
        "/files/a#b",
        "/files?a#b",
        "/files?a b",
        "/files?a\r\nb",
        "/files/\xc3\xa9",
        "/files/\x7f",
    };
    struct planning *p = *state;

    for (int azure = 0; azure < 2; azure++) {
        make_upstream(p, azure ? "azure" : "openai", "https://host.example/v1", azure ? "2024-10-21" : NULL);
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
            if (plan(p, ENDPOINT_FILES_OBJECT, bad[i], "m") != ST_NOT_FOUND)
                fail_msg("%s", bad[i]);
            assert_string_equal(p->call.err.code, "unknown_url");
        }
    }
}

static void a_nul_in_a_path_is_refused(void **state)
{
    struct planning *p = *state;

    make_upstream(p, "openai", "https://host.example/v1", NULL);
    assert_int_equal(plan(p, ENDPOINT_FILES_OBJECT, "/files", "m"), ST_OK);
    p->req.path = (struct slice){"/files\0/x", 9};
    assert_int_equal(p->upstream->adapter->plan(&p->c, &p->plan), ST_NOT_FOUND);
}

static void other_paths_pass_as_they_are(void **state)
{
    static const char *const good[] = {
        "/files",     "/files/file-abc",   "/files/file-abc/content?x=1&y=../..",
        "/files/...", "/files/a..b/.c/d.", "/files/..c",
        "/files/%20", "/files/%",          "/files/%2",
        "/files/%zz", "//files//x",        "/vector_stores/vs_1/files?after=a%2Fb&limit=2",
        "/?",
    };
    struct planning *p = *state;

    make_upstream(p, "openai", "https://host.example/v1", NULL);
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        if (plan(p, ENDPOINT_OTHER, good[i], "m") != ST_OK)
            fail_msg("%s", good[i]);
        assert_string_equal(p->plan.path, good[i]);
    }
}

static void a_path_that_is_too_long_is_refused(void **state)
{
    char path[PLAN_PATH_MAX + 8];
    struct planning *p = *state;

    make_upstream(p, "openai", "https://host.example/v1", NULL);
    memset(path, 'x', sizeof(path));
    path[0] = '/';
    path[PLAN_PATH_MAX - 1] = '\0';
    assert_int_equal(plan(p, ENDPOINT_OTHER, path, "m"), ST_OK);
    assert_string_equal(p->plan.path, path);
    path[PLAN_PATH_MAX - 1] = 'x';
    path[PLAN_PATH_MAX] = '\0';
    assert_int_equal(plan(p, ENDPOINT_OTHER, path, "m"), ST_NOT_FOUND);
    make_upstream(p, "azure", "https://host.example", NULL);
    path[PLAN_PATH_MAX - 1] = '\0'; /* too long with what stands before it */
    assert_int_equal(plan(p, ENDPOINT_OTHER, path, "m"), ST_NOT_FOUND);
    make_upstream(p, "azure", "https://host.example", "2024-10-21");
    assert_int_equal(plan(p, ENDPOINT_OTHER, path, "m"), ST_NOT_FOUND);
}

/* ---- each kind -----------------------------------------------------------------------------------------------------
 */

struct expected {
    const char *kind, *base_url, *api_version, *endpoint, *own_path, *model;
    const char *url; /* base and path; NULL = refused */
};

static const struct expected urls[] = {
    {"openai", "https://h.example/v1", NULL, ENDPOINT_CHAT, NULL, "m", "https://h.example/v1/chat/completions"},
    {"openai", "https://h.example/v1/", NULL, ENDPOINT_EMBEDDINGS, NULL, "m", "https://h.example/v1/embeddings"},
    {"openai", "https://h.example/v1", NULL, ENDPOINT_MESSAGES, "/messages", "m",
     "https://h.example/v1/chat/completions"},
    {"openai", "https://h.example/v1", NULL, ENDPOINT_RESPONSES, NULL, "m", "https://h.example/v1/responses"},
    {"openai", "https://h.example/v1", NULL, ENDPOINT_RESPONSES_TOKENS, NULL, "m",
     "https://h.example/v1/responses/input_tokens"},
    {"openai", "https://h.example/v1", NULL, ENDPOINT_RESPONSES_TOKENS, "/responses/input_tokens?x=1", "m",
     "https://h.example/v1/responses/input_tokens?x=1"},
    {"azure", "https://h.example", NULL, ENDPOINT_RESPONSES_TOKENS, NULL, "m",
     "https://h.example/openai/v1/responses/input_tokens"},
    {"openai", NULL, NULL, ENDPOINT_MODERATIONS, NULL, "m", "https://api.openai.com/v1/moderations"},
    {"openai", "https://h.example/v1", NULL, "no endpoint", NULL, "m", NULL},

    {"azure", "https://h.example", NULL, ENDPOINT_CHAT, NULL, "m", "https://h.example/openai/v1/chat/completions"},
    {"azure", "https://h.example/openai/v1", NULL, ENDPOINT_CHAT, NULL, "m",
     "https://h.example/openai/v1/chat/completions"},
    {"azure", "https://h.example/openai/v1/", NULL, ENDPOINT_RESPONSES_OBJECT, "/responses/resp_1", "m",
     "https://h.example/openai/v1/responses/resp_1"},
    {"azure", "https://h.example/openai", NULL, ENDPOINT_CHAT, NULL, "m",
     "https://h.example/openai/v1/chat/completions"},
    {"azure", "https://h.example", "2024-10-21", ENDPOINT_CHAT, NULL, "gpt-4o",
     "https://h.example/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"},
    {"azure", "https://h.example/openai/v1", "2024-10-21", ENDPOINT_CHAT, NULL, "my model/x?y#z%",
     "https://h.example/openai/deployments/my%20model%2Fx%3Fy%23z%25/chat/completions?api-version=2024-10-21"},
    {"azure", "https://h.example", "2024-10-21", ENDPOINT_OTHER, "/things?a=1", "m",
     "https://h.example/openai/deployments/m/things?a=1&api-version=2024-10-21"},
    {"azure", "https://h.example", "2024-10-21", ENDPOINT_MESSAGES, NULL, "m",
     "https://h.example/openai/deployments/m/chat/completions?api-version=2024-10-21"},
    {"azure", "https://h.example", "2024-10-21", ENDPOINT_CHAT, NULL, "..", NULL},
    {"azure", "https://h.example", "2024-10-21", ENDPOINT_CHAT, NULL, ".", NULL},
    {"azure", "https://h.example", "2024-10-21", ENDPOINT_CHAT, NULL, "../..", NULL},
    {"azure", "https://h.example", "2024-10-21", ENDPOINT_CHAT, NULL, "a\r\nX: y", NULL},

    {"anthropic", "https://h.example", NULL, ENDPOINT_MESSAGES, NULL, "m", "https://h.example/v1/messages"},
    {"anthropic", "https://h.example/v1", NULL, ENDPOINT_MESSAGES, NULL, "m", "https://h.example/v1/messages"},
    {"anthropic", "https://h.example/v1/", NULL, ENDPOINT_CHAT, NULL, "m", "https://h.example/v1/messages"},
    {"anthropic", "https://h.example/proxy/v1", NULL, ENDPOINT_COUNT_TOKENS, NULL, "m",
     "https://h.example/proxy/v1/messages/count_tokens"},
    {"anthropic", NULL, NULL, ENDPOINT_RESPONSES, NULL, "m", "https://api.anthropic.com/v1/messages"},
    {"anthropic", NULL, NULL, ENDPOINT_EMBEDDINGS, NULL, "m", NULL},

    {"gemini", "https://h.example", NULL, ENDPOINT_CHAT, NULL, "gemini-x",
     "https://h.example/v1beta/models/gemini-x:generateContent"},
    {"gemini", "https://h.example/v1beta", NULL, ENDPOINT_CHAT, NULL, "gemini-x",
     "https://h.example/v1beta/models/gemini-x:generateContent"},
    {"gemini", "https://h.example/v1beta/openai/", NULL, ENDPOINT_EMBEDDINGS, NULL, "e",
     "https://h.example/v1beta/openai/embeddings"},
    {"gemini", NULL, NULL, ENDPOINT_MESSAGES, NULL, "../../x",
     "https://generativelanguage.googleapis.com/v1beta/models/..%2F..%2Fx:generateContent"},
    {"gemini", NULL, NULL, ENDPOINT_CHAT, NULL, "a:b?key=c&d#e f",
     "https://generativelanguage.googleapis.com/v1beta/models/a%3Ab%3Fkey%3Dc%26d%23e%20f:generateContent"},
    {"gemini", NULL, NULL, ENDPOINT_CHAT, NULL, "\xc3\xa9\r\n",
     "https://generativelanguage.googleapis.com/v1beta/models/%C3%A9%0D%0A:generateContent"},
    {"gemini", NULL, NULL, ENDPOINT_FILES, NULL, "m", NULL},
};

static void urls_are_what_each_kind_wants(void **state)
{
    struct planning *p = *state;

    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        const struct expected *e = &urls[i];
        char url[4096];
        enum status st;

        make_upstream(p, e->kind, e->base_url, e->api_version);
        st = plan(p, e->endpoint, e->own_path, e->model);
        assert_int_equal(st, e->url != NULL ? ST_OK : ST_NOT_FOUND);
        if (e->url == NULL)
            continue;
        snprintf(url, sizeof(url), "%s%s", p->upstream->base_url, p->plan.path);
        assert_string_equal(url, e->url);
    }
}

static void a_stream_of_gemini_has_its_own_path(void **state)
{
    struct planning *p = *state;

    make_upstream(p, "gemini", NULL, NULL);
    p->req.stream = true;
    assert_int_equal(plan(p, ENDPOINT_CHAT, NULL, "m"), ST_OK);
    assert_string_equal(p->plan.path, "/v1beta/models/m:streamGenerateContent?alt=sse");
}

/* Longest names that may be given still fit, whatever they are made of. */
static void the_longest_names_fit(void **state)
{
    static const char *const kinds[] = {"gemini", "azure"};
    char model[LIMIT_MODEL + 1];
    struct planning *p = *state;

    memset(model, '?', LIMIT_MODEL);
    model[LIMIT_MODEL] = '\0';
    for (int i = 0; i < 2; i++) {
        make_upstream(p, kinds[i], "https://h.example", i == 1 ? "2024-10-21" : NULL);
        assert_int_equal(plan(p, ENDPOINT_CHAT, NULL, model), ST_OK);
        assert_non_null(strstr(p->plan.path, "%3F%3F"));
    }
}

static void what_is_encoded_never_exceeds_its_room(void **state)
{
    char to[16];

    (void)state;
    plan_encode(slice_of("??????????"), to, sizeof(to));
    assert_string_equal(to, "%3F%3F%3F%3F%3F");
    plan_encode(slice_of("abcdefghijklmnopqrstuvwxyz"), to, sizeof(to));
    assert_true(strlen(to) < sizeof(to));
}

/* ---- base URLs -----------------------------------------------------------------------------------------------------
 */

static void base_urls_that_hold_more_than_a_place_are_refused(void **state)
{
    static const char *const bad[] = {
        "ftp://h.example",
        "h.example",
        "http://",
        "https:///v1",
        "https://u:p@h.example/",
        "https://h/?x",
        "https://h/#x",
        "https://h/a b",
        "https://h/\r\nX-Evil: 1",
        "https://h/a\\b",
        "https://h\x7f/",
        "file:///etc/passwd",
        "https://[::1",
        "https://@evil/path",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct catalog_provider def = {.name = slice_of("p"), .kind = slice_of("openai"), .base_url = slice_of(bad[i])};
        struct upstream_defaults defaults = {.connect_ms = 1};
        struct upstream *u = NULL;
        struct err err = {0};

        if (upstream_new(&def, NULL, &defaults, &u, &err) != ST_BAD_REQUEST)
            fail_msg("%s", bad[i]);
        assert_null(u);
        assert_non_null(strstr(err.text, "base URL"));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(paths_that_lead_elsewhere_are_refused),
        TEST(a_nul_in_a_path_is_refused),
        TEST(other_paths_pass_as_they_are),
        TEST(a_path_that_is_too_long_is_refused),
        TEST(urls_are_what_each_kind_wants),
        TEST(a_stream_of_gemini_has_its_own_path),
        TEST(the_longest_names_fit),
        TEST(what_is_encoded_never_exceeds_its_room),
        TEST(base_urls_that_hold_more_than_a_place_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
