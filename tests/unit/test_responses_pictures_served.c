/* A picture of Gemini's, through the service to a client of Responses, and back in its next turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/endpoints.h"
#include "tests/unit/provider_world.h"
#include "tests/unit/tiny_upstream.h"

#define MINE "{\"role\":\"model\",\"parts\":[{\"inlineData\":{\"mimeType\":\"image/png\",\"data\":\"iVBO\"}"

/* A picture; the second one only where the first came back as the model's own. */
static enum tiny_next draw(int fd, const struct tiny_request *r, void *ctx)
{
    bool again = memmem(r->body, r->body_n, MINE, strlen(MINE)) != NULL;
    char text[256];

    (void)ctx;
    snprintf(text, sizeof(text),
             "{\"candidates\":[{\"content\":{\"parts\":[{\"inlineData\":{\"mimeType\":\"image/png\",\"data\":\"%s\"}}]"
             "},\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":3,\"candidatesTokenCount\":1290}}",
             again ? "AGAI" : "iVBO");
    return tiny_answer(fd, 200, "application/json", text) ? TINY_KEEP : TINY_CLOSE;
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
    w->tiny = tiny_start(draw, NULL);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d", tiny_port(w->tiny));
    provider_world_start(&w->p, NULL, NULL);
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

static void pictures_come_and_go_back(void **state)
{
    static const struct {
        const char *body, *says;
    } turns[] = {
        {"{\"model\":\"m\",\"input\":\"a cat\"}", "\"result\":\"iVBO\""},
        {"{\"model\":\"m\",\"input\":[{\"role\":\"user\",\"content\":\"a cat\"},{\"type\":\"image_generation_call\","
         "\"id\":\"ig_1\",\"status\":\"completed\",\"result\":\"iVBO\"},{\"role\":\"user\",\"content\":\"a hat\"}]}",
         "\"result\":\"AGAI\""},
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof(turns) / sizeof(turns[0]); i++) {
        struct meter_fake_event ev;
        struct completion_req req;
        struct answered a = {0};

        provider_world_request(&w->p, &req, "gemini", turns[i].body);
        req.endpoint = slice_of(ENDPOINT_RESPONSES);
        provider_world_call(&w->p, &req, &a, &ev);
        assert_int_equal(a.status, ST_OK);
        if (memmem(a.bytes.p, a.bytes.n, turns[i].says, strlen(turns[i].says)) == NULL)
            fail_msg("no %s in " SLICE_FMT, turns[i].says, (int)a.bytes.n, a.bytes.p);
        answered_fini(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pictures_come_and_go_back, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
