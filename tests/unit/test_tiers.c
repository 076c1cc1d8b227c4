/* What a call costs by the service tier that its answer says. */
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

#define ESTIMATE 11
#define WORDS 12u /* of four letters: a token each */
#define INPUT_NANO INT64_C(1000)
#define OUTPUT_NANO INT64_C(10000)
#define HOLD(tokens) (ESTIMATE * INPUT_NANO + (tokens)*OUTPUT_NANO)

static const struct price price = {.id = 7,
                                   .model = {"gpt-4o-mini", 11},
                                   .input_pico = INPUT_NANO * MONEY_PICO_PER_NANO,
                                   .output_pico = OUTPUT_NANO * MONEY_PICO_PER_NANO};

/* The tier that a request says upstream is to say: "say-flex". */
static void tier_of(const struct tiny_request *r, char tier[16])
{
    const char *at = strstr(r->body, "say-");

    tier[0] = '\0';
    if (at != NULL)
        (void)sscanf(at, "say-%15[a-z]", tier);
}

#define USAGE "{\"prompt_tokens\":70,\"completion_tokens\":5}"
#define RESPONSE(status, tier, usage)                                                                                  \
    "{\"id\":\"resp_1\",\"object\":\"response\",\"status\":\"" status "\",\"service_tier\":\"" tier                    \
    "\",\"output\":[],\"usage\":" usage "}"
#define RESPONSE_USAGE "{\"input_tokens\":70,\"output_tokens\":5}"

static bool say(int fd, const char *form, const char *tier)
{
    char text[1024];

    snprintf(text, sizeof(text), form, tier);
    return tiny_sse(fd, text);
}

static enum tiny_next stream_chat(int fd, const struct tiny_request *r, const char *tier)
{
    bool ok = tiny_sse_head(fd);

    for (unsigned i = 0; i < WORDS && ok; i++)
        ok = say(fd,
                 "data: {\"id\":\"c\",\"service_tier\":\"%s\",\"choices\":[{\"index\":0,\"delta\":{\"content\":"
                 "\"abcd\"},\"finish_reason\":null}]}\n\n",
                 tier);
    if (strstr(r->body, "do-stay") != NULL)
        (void)tiny_wait_gone(fd, 20000);
    ok = ok && tiny_sse(fd, "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}"
                            "\n\ndata: {\"id\":\"c\",\"choices\":[],\"usage\":" USAGE "}\n\ndata: [DONE]\n\n");
    return ok && tiny_sse_end(fd) ? TINY_KEEP : TINY_CLOSE;
}

/* It says the request's word until it knows better. */
static enum tiny_next stream_response(int fd, const char *tier)
{
    bool ok =
        tiny_sse_head(fd) &&
        tiny_sse(
            fd, "data: {\"type\":\"response.created\",\"response\":" RESPONSE("in_progress", "auto", "null") "}\n\n") &&
        tiny_sse(fd, "data: {\"type\":\"response.output_text.delta\",\"delta\":\"abcd\"}\n\n") &&
        say(fd,
            "data: {\"type\":\"response.completed\",\"response\":" RESPONSE("completed", "%s", RESPONSE_USAGE) "}\n\n",
            tier);

    return ok && tiny_sse_end(fd) ? TINY_KEEP : TINY_CLOSE;
}

static enum tiny_next script(int fd, const struct tiny_request *r, void *ctx)
{
    bool stream = strstr(r->body, "\"stream\":true") != NULL;
    char tier[16], text[1024];

    (void)ctx;
    tier_of(r, tier);
    if (strstr(r->head, "/responses") != NULL) {
        if (stream)
            return stream_response(fd, tier);
        snprintf(text, sizeof(text), RESPONSE("completed", "%s", RESPONSE_USAGE), tier);
    } else {
        if (stream)
            return stream_chat(fd, r, tier);
        snprintf(text, sizeof(text),
                 "{\"id\":\"c\",\"service_tier\":%s%s%s,\"choices\":[{\"index\":0,\"message\":{\"content\":\"abcd\"},"
                 "\"finish_reason\":\"stop\"}],\"usage\":" USAGE "}",
                 tier[0] != '\0' ? "\"" : "", tier[0] != '\0' ? tier : "[7]", tier[0] != '\0' ? "\"" : "");
    }
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
    w->tiny = tiny_start(script, NULL);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/v1", tiny_port(w->tiny));
    provider_world_start(&w->p, &providersvc_def, url);
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

static void ask(struct world *w, const char *endpoint, const char *body, struct completion_req *req)
{
    provider_world_request(&w->p, req, "openai", body);
    req->endpoint = slice_of(endpoint);
    req->stream = strstr(body, "\"stream\":true") != NULL;
    req->prompt_tokens_estimate = ESTIMATE;
    req->hold_nano = HOLD(1000);
    provider_world_price(req, &price);
}

#define CHAT(words) "{\"messages\":[{\"role\":\"user\",\"content\":\"" words "\"}]}"
#define STREAM(words) "{\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"" words "\"}]}"
#define INPUT(words) "{\"model\":\"m\",\"input\":\"" words "\"}"
#define INPUT_STREAM(words) "{\"model\":\"m\",\"stream\":true,\"input\":\"" words "\"}"

static void the_answer_says_the_tier(void **state)
{
    static const struct {
        const char *endpoint, *body;
        uint64_t percent;
    } rows[] = {
        {ENDPOINT_CHAT, CHAT("say-flex"), 50},
        {ENDPOINT_CHAT, CHAT("say-priority"), 200},
        {ENDPOINT_CHAT, CHAT("say-default"), 0},
        {ENDPOINT_CHAT, CHAT("say-scale"), 0},
        {ENDPOINT_CHAT, CHAT("something that is no name"), 0},
        {ENDPOINT_CHAT, STREAM("say-flex"), 50},
        {ENDPOINT_CHAT, STREAM("say-priority"), 200},
        {ENDPOINT_CHAT, STREAM("say-default"), 0},
        {ENDPOINT_RESPONSES, INPUT("say-flex"), 50},
        {ENDPOINT_RESPONSES, INPUT("say-priority"), 200},
        {ENDPOINT_RESPONSES, INPUT("say-default"), 0},
        {ENDPOINT_RESPONSES, INPUT_STREAM("say-priority"), 200},
        {ENDPOINT_RESPONSES, INPUT_STREAM("say-flex"), 50},
        {ENDPOINT_RESPONSES, INPUT_STREAM("say-default"), 0},
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct meter_fake_event ev;
        struct completion_req req;
        struct answered a = {0};

        print_message("%s %s\n", rows[i].endpoint, rows[i].body);
        ask(w, rows[i].endpoint, rows[i].body, &req);
        provider_world_call(&w->p, &req, &a, &ev);
        assert_string_equal(ev.status, "ok");
        assert_int_equal(ev.prompt, 70);
        assert_int_equal(ev.completion, 5);
        assert_int_equal(ev.price_percent, rows[i].percent);
        assert_int_equal(a.rep.price_percent, rows[i].percent);
        answered_fini(&a);
    }
}

static void who_leaves_pays_the_tier_that_was_told(void **state)
{
    struct world *w = *state;
    struct meter_fake_event ev;
    struct completion_req req;
    struct answered a = {0};

    ask(w, ENDPOINT_CHAT, STREAM("say-priority do-stay"), &req);
    provider_world_open(&w->p, &req, 30000, &a);
    assert_true(answered_wait_bytes(&a, 500, 15000));
    xchg_cancel(w->p.client, a.id);
    assert_true(answered_wait(&a, 15000));
    assert_true(meter_fake_find(w->p.meter, a.request_id, 5000, &ev));
    assert_string_equal(ev.status, "cancelled");
    assert_true(ev.completion > 0);
    assert_int_equal(ev.price_percent, 200);
    answered_fini(&a);
}

/* A hold that bears six words bears three of twice the price, twelve of half of it. */
static void the_hold_is_watched_at_the_tiers_price(void **state)
{
    static const struct {
        const char *body;
        uint64_t words, percent;
    } rows[] = {{STREAM("say-default"), 6, 0}, {STREAM("say-priority"), 2, 200}, {STREAM("say-flex"), WORDS, 50}};
    struct world *w = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct meter_fake_event ev;
        struct completion_req req;
        struct answered a = {0};

        ask(w, ENDPOINT_CHAT, rows[i].body, &req);
        req.hold_nano = HOLD(6);
        provider_world_credit(&w->p, req.hold_nano);
        provider_world_call(&w->p, &req, &a, &ev);
        assert_string_equal(ev.status, "ok");
        assert_int_equal(ev.completion, rows[i].words == WORDS ? 5 : rows[i].words); /* usage that upstream told */
        assert_int_equal(ev.price_percent, rows[i].percent);
        answered_fini(&a);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_answer_says_the_tier),
        TEST(who_leaves_pays_the_tier_that_was_told),
        TEST(the_hold_is_watched_at_the_tiers_price),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
