/* What a client of each API hears when its credit ends before an answer that is translated for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/surfaces.h"
#include "proto/endpoints.h"
#include "tests/unit/provider_world.h"
#include "tests/unit/tiny_upstream.h"

#define WORD                                                                                                           \
    "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"abcd\"}],\"role\":\"model\"}}]}\n\n" /* a token */
#define WORDS 100
#define BORNE 20
#define INPUT_NANO INT64_C(1000) /* of a token */
#define OUTPUT_NANO INT64_C(10000)
#define ESTIMATE 11 /* tokens of the prompt */
#define COMMENT ": the answer was limited to 20 tokens by the account's credit\n\n"

static const struct price price = {.id = 7,
                                   .model = {"g", 1},
                                   .input_pico = INPUT_NANO * MONEY_PICO_PER_NANO,
                                   .output_pico = OUTPUT_NANO * MONEY_PICO_PER_NANO};

static enum tiny_next say_words(int fd, const struct tiny_request *r, void *ctx)
{
    bool ok = tiny_sse_head(fd);

    (void)r;
    (void)ctx;
    for (unsigned i = 0; i < WORDS && ok; i++) {
        ok = tiny_sse(fd, WORD);
        usleep(3000);
    }
    return ok && tiny_sse_end(fd) ? TINY_KEEP : TINY_CLOSE;
}

struct world {
    struct provider_world p;
    struct tiny *tiny;
};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    char url[64];

    if (w == NULL)
        return -1;
    w->tiny = tiny_start(say_words, NULL);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d", tiny_port(w->tiny));
    provider_world_start(&w->p, NULL, NULL);
    w->p.settings.hold_grace_ms = 60000;
    assert_int_equal(settings_set(&w->p.settings.gemini_api_key, "k"), ST_OK);
    assert_int_equal(settings_set(&w->p.settings.gemini_base_url, url), ST_OK);
    provider_world_service(&w->p, &providersvc_def);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    provider_world_stop(&w->p);
    tiny_stop(w->tiny);
    free(w);
    return 0;
}

static unsigned times(const struct answered *a, const char *text)
{
    const char *at = a->bytes.p, *end = a->bytes.p + a->bytes.n;
    unsigned n = 0;

    while ((at = memmem(at, (size_t)(end - at), text, strlen(text))) != NULL) {
        at += strlen(text);
        n++;
    }
    return n;
}

/* Why it ends, then the end: who keeps the answer for a repeat knows by its last event that it is whole. */
static void the_comment_comes_before_the_end(void **state)
{
    static const struct {
        const char *endpoint, *body, *last;
        enum surface_kind surface;
    } rows[] = {
        {ENDPOINT_CHAT, "{\"model\":\"m\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}",
         "\"length\"", SURFACE_CHAT},
        {ENDPOINT_MESSAGES,
         "{\"model\":\"m\",\"stream\":true,\"max_tokens\":1000,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}",
         "\"max_tokens\"", SURFACE_MESSAGES},
        {ENDPOINT_RESPONSES, "{\"model\":\"m\",\"stream\":true,\"input\":\"hi\"}", "\"max_output_tokens\"",
         SURFACE_RESPONSES},
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct meter_fake_event ev;
        struct completion_req req;
        struct answered a = {0};

        provider_world_credit(&w->p, -1);
        provider_world_request(&w->p, &req, "gemini", rows[i].body);
        req.endpoint = slice_of(rows[i].endpoint);
        req.stream = true;
        req.hold_nano = ESTIMATE * INPUT_NANO + BORNE * OUTPUT_NANO;
        provider_world_price(&req, &price);
        provider_world_call(&w->p, &req, &a, &ev);
        assert_int_equal(a.status, ST_OK);
        assert_string_equal(ev.status, "ok");
        assert_int_equal(ev.completion, BORNE);
        assert_int_equal(times(&a, COMMENT), 1);
        assert_true(times(&a, rows[i].last) > 0);
        assert_true(closing_whole(&surfaces[rows[i].surface], (struct slice){a.bytes.p, a.bytes.n}));
        answered_fini(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_comment_comes_before_the_end, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
