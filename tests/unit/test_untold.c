/* What a call owes where upstream does not say it: answers that are not counted here, and usage that says nothing. */
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

#define ESTIMATE 40 /* characters to be spoken, or tokens of a prompt, as the router counts them */
#define STAYS_MS 1000 /* who leaves has left before, on a busy machine too */
#define SOUND_BYTES 4096
#define HOLD_NANO INT64_C(1000000000)

static const struct price price = {
    .id = 7, .model = {"gpt-4o-mini", 11}, .input_pico = 1000 * MONEY_PICO_PER_NANO, .output_pico = 10000000};

static bool says(const struct tiny_request *r, const char *word)
{
    return strstr(r->body, word) != NULL;
}

/* Half of the sound; then what the request says. */
static enum tiny_next speak(int fd, const struct tiny_request *r)
{
    static const char sound[SOUND_BYTES / 2] = "ID3";
    char head[128];
    int n = snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nContent-Length: %d\r\n\r\n",
                     SOUND_BYTES);

    if (!tiny_send(fd, head, (size_t)n) || !tiny_send(fd, sound, sizeof(sound)))
        return TINY_CLOSE;
    if (says(r, "do-break"))
        return TINY_RESET;
    if (says(r, "do-stay"))
        (void)tiny_wait_gone(fd, 20000);
    else
        usleep(STAYS_MS * 1000);
    return tiny_send(fd, sound, sizeof(sound)) ? TINY_KEEP : TINY_CLOSE;
}

#define SOUND_EVENT "data: {\"type\":\"speech.audio.delta\",\"audio\":\"AAAA\"}\n\n"
#define SOUND_DONE                                                                                                     \
    "data: "                                                                                                           \
    "{\"type\":\"speech.audio.done\",\"usage\":{\"input_tokens\":9,\"output_tokens\":90,\"total_tokens\":99}}\n\n"

static enum tiny_next speak_events(int fd, const struct tiny_request *r)
{
    bool ok = tiny_sse_head(fd) && tiny_sse(fd, SOUND_EVENT);

    if (says(r, "do-break"))
        return TINY_RESET;
    if (says(r, "do-stay"))
        (void)tiny_wait_gone(fd, 20000);
    else
        usleep(STAYS_MS * 1000);
    return ok && tiny_sse(fd, SOUND_DONE) && tiny_sse_end(fd) ? TINY_KEEP : TINY_CLOSE;
}

#define CHUNK                                                                                                          \
    "data: {\"id\":\"up-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"gpt-4o-mini\","
#define WORD CHUNK "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"abcd\"},\"finish_reason\":null}]}\n\n"
#define STOP CHUNK "\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
#define WORDS 12u /* of four letters: a token each */
#define ZEROS "{\"prompt_tokens\":0,\"completion_tokens\":0,\"total_tokens\":0}"

/* Words, and usage of zeros; or no words. */
static enum tiny_next chat(int fd, const struct tiny_request *r)
{
    bool ok = tiny_sse_head(fd);

    if (says(r, "do-early"))
        ok = ok && tiny_sse(fd, CHUNK "\"choices\":[],\"usage\":" ZEROS "}\n\n");
    for (unsigned i = 0; i < WORDS && ok && !says(r, "do-empty"); i++)
        ok = tiny_sse(fd, WORD);
    ok = ok && tiny_sse(fd, STOP) && tiny_sse(fd, CHUNK "\"choices\":[],\"usage\":" ZEROS "}\n\n");
    return ok && tiny_sse(fd, "data: [DONE]\n\n") && tiny_sse_end(fd) ? TINY_KEEP : TINY_CLOSE;
}

#define GEMINI_WORD                                                                                                    \
    "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"abcd\"}],\"role\":\"model\"},\"index\":0}],"          \
    "\"usageMetadata\":{\"promptTokenCount\":17%s}}\n\n"
#define GEMINI_LAST                                                                                                    \
    "data: {\"candidates\":[{\"finishReason\":\"STOP\",\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":17,"      \
    "\"candidatesTokenCount\":5%s}}\n\n"

/* Its chunks do not say how much was said, until the last. */
static enum tiny_next gemini(int fd, const struct tiny_request *r)
{
    const char *thoughts = says(r, "do-think") ? ",\"thoughtsTokenCount\":3" : "";
    char text[512];
    bool ok = tiny_sse_head(fd);

    snprintf(text, sizeof(text), GEMINI_WORD, thoughts);
    for (unsigned i = 0; i < WORDS && ok; i++)
        ok = tiny_sse(fd, text);
    if (says(r, "do-stay"))
        (void)tiny_wait_gone(fd, 20000);
    snprintf(text, sizeof(text), GEMINI_LAST, thoughts);
    return ok && tiny_sse(fd, text) && tiny_sse_end(fd) ? TINY_KEEP : TINY_CLOSE;
}

/* A plain answer: the request says which. */
static const struct plain {
    const char *word, *body;
} plains[] = {
    {"say-zeros", "{\"choices\":[{\"index\":0,\"message\":{\"content\":\"abcdabcdabcd\"},\"finish_reason\":\"stop\"}],"
                  "\"usage\":" ZEROS "}"},
    {"say-prompt", "{\"choices\":[{\"index\":0,\"message\":{\"content\":\"abcdabcdabcd\"},\"finish_reason\":\"stop\"}],"
                   "\"usage\":{\"prompt_tokens\":17,\"completion_tokens\":0}}"},
    {"say-output", "{\"choices\":[{\"index\":0,\"message\":{\"content\":\"abcdabcdabcd\"},\"finish_reason\":\"stop\"}],"
                   "\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":7}}"},
    {"say-call",
     "{\"choices\":[{\"index\":0,\"message\":{\"content\":null,\"tool_calls\":[{\"function\":{\"name\":\"abcd\","
     "\"arguments\":\"abcd\"}}]},\"finish_reason\":\"tool_calls\"}],\"usage\":" ZEROS "}"},
    {"say-nothing", "{\"choices\":[{\"index\":0,\"message\":{\"content\":\"\"},\"finish_reason\":\"stop\"}],"
                    "\"usage\":{\"prompt_tokens\":17,\"completion_tokens\":0}}"},
    {"say-thought", "{\"choices\":[{\"index\":0,\"message\":{\"content\":\"\",\"reasoning_content\":\"abcdabcdabcd\"},"
                    "\"finish_reason\":\"length\"}],\"usage\":{\"prompt_tokens\":17,\"completion_tokens\":2,"
                    "\"completion_tokens_details\":{\"reasoning_tokens\":2}}}"},
    {"say-vector", "{\"object\":\"list\",\"data\":[{\"index\":0,\"embedding\":[0.5]}],\"usage\":{\"prompt_tokens\":17,"
                   "\"total_tokens\":17}}"},
    {"say-image",
     "{\"created\":1,\"data\":[{\"b64_json\":\"AAAA\"}],\"usage\":{\"input_tokens\":17,\"output_tokens\":272,"
     "\"output_tokens_details\":{\"image_tokens\":272,\"text_tokens\":0}}}"},
    {"say-unbilled", "{\"id\":\"modr-1\",\"results\":[{\"flagged\":false}]}"},
};

static const char *plain_for(const struct tiny_request *r)
{
    for (size_t i = 0; i < sizeof(plains) / sizeof(plains[0]); i++)
        if (says(r, plains[i].word))
            return plains[i].body;
    return NULL;
}

static enum tiny_next script(int fd, const struct tiny_request *r, void *ctx)
{
    (void)ctx;
    if (says(r, "do-400"))
        return tiny_answer(fd, 400, "application/json", "{\"error\":{\"message\":\"no\"}}") ? TINY_KEEP : TINY_CLOSE;
    if (says(r, "do-wait")) {
        (void)tiny_wait_gone(fd, 20000);
        return TINY_CLOSE;
    }
    if (plain_for(r) != NULL)
        return tiny_answer(fd, 200, "application/json", plain_for(r)) ? TINY_KEEP : TINY_CLOSE;
    if (strstr(r->head, "GenerateContent") != NULL)
        return gemini(fd, r);
    if (strstr(r->head, "/chat/completions") != NULL)
        return chat(fd, r);
    return says(r, "sse") ? speak_events(fd, r) : speak(fd, r);
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
    provider_world_start(&w->p, NULL, url);
    url[strlen(url) - strlen("/v1")] = '\0';
    assert_int_equal(settings_set(&w->p.settings.gemini_api_key, "g-upstream"), ST_OK);
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

static void drain(struct world *w)
{
    provider_world_service_stop(&w->p);
    assert_int_equal(settings_set(&w->p.settings.disconnect, "drain"), ST_OK);
    w->p.settings.disconnect_drain_ms = 60000;
    provider_world_service(&w->p, &providersvc_def);
}

static void ask(struct world *w, const char *endpoint, const char *body, struct completion_req *req)
{
    provider_world_request(&w->p, req, "openai", body);
    req->endpoint = slice_of(endpoint);
    req->stream = strstr(body, "sse") != NULL || strstr(body, "\"stream\":true") != NULL;
    req->prompt_tokens_estimate = ESTIMATE;
    req->hold_nano = HOLD_NANO;
    provider_world_price(req, &price);
}

static void leave_after(struct world *w, struct completion_req *req, size_t bytes, struct answered *a,
                        struct meter_fake_event *ret)
{
    provider_world_open(&w->p, req, 30000, a);
    if (bytes > 0)
        assert_true(answered_wait_bytes(a, bytes, 15000));
    else
        for (int i = 0; i < 1500 && tiny_busy(w->tiny) == 0; i++)
            usleep(10000);
    xchg_cancel(w->p.client, a->id);
    assert_true(answered_wait(a, 15000));
    assert_int_equal(a->status, ST_CANCELLED);
    assert_true(meter_fake_find(w->p.meter, a->request_id, 5000, ret));
}

/* ---- answers that are not counted here -----------------------------------------------------------------------------
 */

#define SPEECH(words) "{\"model\":\"gpt-4o-mini\",\"input\":\"" words "\",\"voice\":\"alloy\"}"

static void what_was_heard_is_billed_when_the_client_leaves(void **state)
{
    struct world *w = *state;

    for (int events = 0; events < 2; events++) {
        struct meter_fake_event ev;
        struct completion_req req;
        struct answered a = {0};

        ask(w, ENDPOINT_SPEECH, events ? SPEECH("sse do-stay") : SPEECH("do-stay"), &req);
        leave_after(w, &req, events ? strlen(SOUND_EVENT) : SOUND_BYTES / 2, &a, &ev);
        assert_string_equal(ev.status, "cancelled");
        assert_int_equal(ev.prompt, ESTIMATE);
        assert_int_equal(ev.completion, 0);
        assert_true(ev.estimated);
        assert_int_equal(ev.http_status, 200);
        answered_fini(&a);
    }
}

static void what_was_heard_is_billed_when_it_breaks_off(void **state)
{
    struct world *w = *state;

    for (int events = 0; events < 2; events++) {
        struct meter_fake_event ev;
        struct completion_req req;
        struct answered a = {0};

        ask(w, ENDPOINT_SPEECH, events ? SPEECH("sse do-break") : SPEECH("do-break"), &req);
        provider_world_call(&w->p, &req, &a, &ev);
        assert_string_equal(ev.status, "truncated");
        assert_int_equal(ev.prompt, ESTIMATE);
        assert_true(ev.estimated);
        assert_int_equal(ev.n_log, 1);
        assert_int_equal(ev.log[0].prompt, ESTIMATE);
        answered_fini(&a);
    }
}

/* Read to its end it costs what it would have cost its listener. */
static void a_drain_hears_it_out(void **state)
{
    struct world *w = *state;

    drain(w);
    for (int events = 0; events < 2; events++) {
        struct meter_fake_event ev;
        struct completion_req req;
        struct answered a = {0};

        ask(w, ENDPOINT_SPEECH, events ? SPEECH("sse") : SPEECH("whole"), &req);
        leave_after(w, &req, 1, &a, &ev);
        assert_string_equal(ev.status, "cancelled");
        assert_int_equal(ev.prompt, events ? 9 : ESTIMATE);
        assert_int_equal(ev.completion, events ? 90 : 0);
        assert_int_equal(ev.estimated, !events);
        answered_fini(&a);
    }
}

static void a_shutdown_bills_what_was_heard(void **state)
{
    struct world *w = *state;
    struct meter_fake_event ev;
    struct completion_req req;
    struct answered a = {0};

    ask(w, ENDPOINT_SPEECH, SPEECH("do-stay"), &req);
    provider_world_open(&w->p, &req, 30000, &a);
    assert_true(answered_wait_bytes(&a, SOUND_BYTES / 2, 15000));
    svc_drain(w->p.svc, 100);
    assert_true(meter_fake_find(w->p.meter, a.request_id, 5000, &ev));
    assert_string_equal(ev.status, "truncated");
    assert_int_equal(ev.prompt, ESTIMATE);
    assert_true(answered_wait(&a, 15000));
    answered_fini(&a);
}

static void a_long_speech_owes_while_it_lasts(void **state)
{
    struct world *w = *state;
    struct meter_fake_event ev, last = {.status = ""};
    struct completion_req req;
    struct answered a = {0};

    ask(w, ENDPOINT_SPEECH, SPEECH("do-stay"), &req);
    provider_world_open(&w->p, &req, 30000, &a);
    for (int i = 0; i < 500 && meter_fake_progress(w->p.meter, a.request_id, &last) == 0; i++)
        usleep(10000);
    assert_int_equal(last.prompt, ESTIMATE);
    assert_true(last.estimated);
    xchg_cancel(w->p.client, a.id);
    assert_true(answered_wait(&a, 15000));
    assert_true(meter_fake_find(w->p.meter, a.request_id, 5000, &ev));
    answered_fini(&a);
}

static void nothing_heard_is_nothing_billed(void **state)
{
    struct world *w = *state;
    struct meter_fake_event ev;
    struct completion_req req;
    struct answered a = {0}, b = {0};

    ask(w, ENDPOINT_SPEECH, SPEECH("do-wait"), &req);
    leave_after(w, &req, 0, &a, &ev);
    assert_string_equal(ev.status, "cancelled");
    assert_int_equal(ev.prompt + ev.completion, 0);
    assert_false(ev.estimated);
    ask(w, ENDPOINT_SPEECH, SPEECH("do-400"), &req);
    provider_world_call(&w->p, &req, &b, &ev);
    assert_string_equal(ev.status, "error");
    assert_int_equal(ev.prompt + ev.completion, 0);
    answered_fini(&a);
    answered_fini(&b);
}

/* ---- usage that says nothing ---------------------------------------------------------------------------------------
 */

#define CHAT(words) "{\"messages\":[{\"role\":\"user\",\"content\":\"" words "\"}]}"
#define STREAM(words) "{\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"" words "\"}]}"

static void a_number_that_cannot_be_is_counted_here(void **state)
{
    static const struct {
        const char *endpoint, *body;
        uint64_t prompt, completion;
        bool estimated;
    } rows[] = {
        {ENDPOINT_CHAT, CHAT("say-zeros"), ESTIMATE, 3, true},
        {ENDPOINT_CHAT, CHAT("say-prompt"), 17, 3, true},
        {ENDPOINT_CHAT, CHAT("say-output"), ESTIMATE, 7, true},
        {ENDPOINT_CHAT, CHAT("say-call"), ESTIMATE, 2, true},
        {ENDPOINT_CHAT, STREAM("do-zeros"), ESTIMATE, WORDS, true},
        {ENDPOINT_CHAT, STREAM("do-empty"), ESTIMATE, 0, true},
        {ENDPOINT_MESSAGES,
         "{\"model\":\"m\",\"max_tokens\":50,\"messages\":[{\"role\":\"user\",\"content\":\"say-zeros\"}]}", ESTIMATE,
         3, true},
        /* these can be */
        {ENDPOINT_CHAT, CHAT("say-nothing"), 17, 0, false},
        {ENDPOINT_CHAT, CHAT("say-thought"), 17, 2, false},
        {ENDPOINT_EMBEDDINGS, "{\"input\":\"say-vector\"}", 17, 0, false},
        {ENDPOINT_IMAGES, "{\"prompt\":\"say-image\"}", 17, 272, false},
        {ENDPOINT_MODERATIONS, "{\"input\":\"say-unbilled\"}", ESTIMATE, 0, true}, /* no usage at all, as ever */
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct meter_fake_event ev;
        struct completion_req req;
        struct answered a = {0};

        print_message("%s %s\n", rows[i].endpoint, rows[i].body);
        ask(w, rows[i].endpoint, rows[i].body, &req);
        if (strcmp(rows[i].endpoint, ENDPOINT_IMAGES) == 0)
            req.path = slice_of("/images/generations");
        provider_world_call(&w->p, &req, &a, &ev);
        assert_string_equal(ev.status, "ok");
        assert_int_equal(ev.prompt, rows[i].prompt);
        assert_int_equal(ev.completion, rows[i].completion);
        assert_int_equal(ev.estimated, rows[i].estimated);
        assert_int_equal(a.rep.prompt_tokens, rows[i].prompt);
        assert_int_equal(a.rep.completion_tokens, rows[i].completion);
        answered_fini(&a);
    }
}

static void what_was_said_before_it_is_told_is_counted_here(void **state)
{
    struct world *w = *state;

    for (int thinks = 0; thinks < 2; thinks++) {
        struct meter_fake_event ev;
        struct completion_req req;
        struct answered a = {0}, b = {0};

        ask(w, ENDPOINT_CHAT, thinks ? STREAM("do-stay do-think") : STREAM("do-stay"), &req);
        provider_world_route(&w->p, &req, "gemini", "gemini-2.5-flash");
        provider_world_price(&req, &price);
        leave_after(w, &req, WORDS * 100, &a, &ev);
        assert_string_equal(ev.status, "cancelled");
        assert_int_equal(ev.prompt, 17);
        assert_true(ev.completion > 3 && ev.completion <= WORDS);
        assert_true(ev.estimated);
        ask(w, ENDPOINT_CHAT, thinks ? STREAM("do-think") : STREAM("whole"), &req);
        provider_world_route(&w->p, &req, "gemini", "gemini-2.5-flash");
        provider_world_price(&req, &price);
        provider_world_call(&w->p, &req, &b, &ev);
        assert_string_equal(ev.status, "ok");
        assert_int_equal(ev.prompt, 17);
        assert_int_equal(ev.completion, thinks ? 8 : 5);
        assert_false(ev.estimated);
        answered_fini(&a);
        answered_fini(&b);
    }
}

/* The hold is watched with what the bill will say. */
static void usage_of_zeros_stays_within_the_hold(void **state)
{
    struct world *w = *state;
    struct meter_fake_event ev;
    struct completion_req req;
    struct answered a = {0};

    ask(w, ENDPOINT_CHAT, STREAM("do-early"), &req);
    req.hold_nano = ESTIMATE * 1000 + 6 * 10000;
    provider_world_credit(&w->p, req.hold_nano);
    provider_world_call(&w->p, &req, &a, &ev);
    assert_int_equal(ev.prompt, ESTIMATE);
    assert_int_equal(ev.completion, 6);
    answered_fini(&a);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_heard_is_billed_when_the_client_leaves),
        TEST(what_was_heard_is_billed_when_it_breaks_off),
        TEST(a_drain_hears_it_out),
        TEST(a_shutdown_bills_what_was_heard),
        TEST(a_long_speech_owes_while_it_lasts),
        TEST(nothing_heard_is_nothing_billed),
        TEST(a_number_that_cannot_be_is_counted_here),
        TEST(what_was_said_before_it_is_told_is_counted_here),
        TEST(usage_of_zeros_stays_within_the_hold),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
