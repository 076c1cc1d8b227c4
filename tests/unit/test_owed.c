/* What a call owes: while it runs, when its client leaves, when its credit ends, and for whom each attempt was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "services/clock.h"
#include "tests/lib/slow.h"
#include "tests/unit/provider_world.h"
#include "tests/unit/tiny_upstream.h"

/* Upstream says so many words, each a chunk and a token, so many ms apart: "say-20-5". */
#define HEAD                                                                                                           \
    "data: {\"id\":\"up-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"gpt-4o-mini\","
#define WORD HEAD "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"abcd\"},\"finish_reason\":null}]}\n\n"
#define END(reason) HEAD "\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"" reason "\"}]}\n\n"
#define USAGE_PROMPT 70
#define OUTPUT_NANO INT64_C(10000) /* of a token */
#define INPUT_NANO INT64_C(1000)
#define ESTIMATE 11 /* tokens of the prompt, as the router counts them */
#define HOLD(tokens) (ESTIMATE * INPUT_NANO + (tokens)*OUTPUT_NANO)

static const struct price price = {.id = 7,
                                   .model = {"gpt-4o-mini", 11},
                                   .input_pico = INPUT_NANO * MONEY_PICO_PER_NANO,
                                   .output_pico = OUTPUT_NANO * MONEY_PICO_PER_NANO};

static bool says(const struct tiny_request *r, const char *word)
{
    return strstr(r->body, word) != NULL;
}

static bool say(int fd, unsigned words, unsigned ms)
{
    bool ok = tiny_sse_head(fd) && tiny_sse(fd, HEAD "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\","
                                                     "\"content\":\"\"},\"finish_reason\":null}]}\n\n");

    for (unsigned i = 0; i < words && ok; i++) {
        ok = tiny_sse(fd, WORD);
        if (ms > 0)
            usleep(ms * 1000);
    }
    return ok;
}

static bool say_usage(int fd, unsigned words)
{
    char usage[512];

    snprintf(usage, sizeof(usage), HEAD "\"choices\":[],\"usage\":{\"prompt_tokens\":%d,\"completion_tokens\":%u}}\n\n",
             USAGE_PROMPT, words);
    return tiny_sse(fd, usage);
}

static enum tiny_next stream(int fd, const struct tiny_request *r)
{
    const char *at = strstr(r->body, "say-");
    unsigned words = 0, ms = 0;
    bool ok;

    if (at == NULL || sscanf(at, "say-%u-%u", &words, &ms) != 2)
        return TINY_CLOSE;
    ok = say(fd, words, ms);
    if (says(r, "do-break"))
        return TINY_RESET;
    ok = ok && tiny_sse(fd, says(r, "do-length") ? END("length") : END("stop"));
    if (ok && !says(r, "do-no-usage"))
        ok = say_usage(fd, words);
    return ok && tiny_sse(fd, "data: [DONE]\n\n") && tiny_sse_end(fd) ? TINY_KEEP : TINY_CLOSE;
}

static enum tiny_next script(int fd, const struct tiny_request *r, void *ctx)
{
    static const char plain[] =
        "{\"choices\":[{\"index\":0,\"message\":{\"content\":\"abcd\"},\"finish_reason\":\"stop\"}],"
        "\"usage\":{\"prompt_tokens\":70,\"completion_tokens\":5}}";
    unsigned ms = 0;
    const char *at = strstr(r->body, "wait-");

    (void)ctx;
    if (at != NULL && sscanf(at, "wait-%u", &ms) == 1)
        usleep(ms * 1000);
    if (says(r, "do-400"))
        return tiny_answer(fd, 400, "application/json", "{\"error\":{\"message\":\"no\"}}") ? TINY_KEEP : TINY_CLOSE;
    if (says(r, "do-401"))
        return tiny_answer(fd, 401, "application/json", "{\"error\":{\"message\":\"no\"}}") ? TINY_KEEP : TINY_CLOSE;
    if (says(r, "do-type"))
        return tiny_answer(fd, 200, "text/plain", plain) ? TINY_KEEP : TINY_CLOSE;
    if (says(r, "do-no-options") && says(r, "stream_options"))
        return tiny_answer(fd, 400, "application/json", "{\"error\":{\"message\":\"Unknown stream_options\"}}")
                   ? TINY_KEEP
                   : TINY_CLOSE;
    if (says(r, "say-"))
        return stream(fd, r);
    return tiny_answer(fd, 200, "application/json", plain) ? TINY_KEEP : TINY_CLOSE;
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
    w->p.settings.hold_grace_ms = 60000;
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

static void restart(struct world *w, const char *disconnect, int64_t drain_ms)
{
    provider_world_service_stop(&w->p);
    assert_int_equal(settings_set(&w->p.settings.disconnect, disconnect), ST_OK);
    w->p.settings.disconnect_drain_ms = drain_ms;
    provider_world_service(&w->p, &providersvc_def);
}

static void ask(struct world *w, bool stream, const char *body, int64_t hold_nano, struct completion_req *req)
{
    provider_world_request(&w->p, req, "openai", body);
    req->stream = stream;
    req->prompt_tokens_estimate = ESTIMATE;
    req->hold_nano = hold_nano;
    provider_world_price(req, &price);
}

#define STREAM(words) "{\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"" words "\"}]}"
#define PLAIN(words) "{\"messages\":[{\"role\":\"user\",\"content\":\"" words "\"}]}"
#define MUCH HOLD(1000000)

static void end_of(struct world *w, const struct answered *a, struct meter_fake_event *ret)
{
    assert_true(meter_fake_find(w->p.meter, a->request_id, 5000, ret));
}

static unsigned words_in(const struct answered *a)
{
    unsigned n = 0;
    const char *at = a->bytes.p, *end = a->bytes.p + a->bytes.n;

    while (at < end && (at = memmem(at, (size_t)(end - at), "abcd", 4)) != NULL) {
        n++;
        at += 4;
    }
    return n;
}

/* ---- progress ------------------------------------------------------------------------------------------------------
 */

static void a_stream_says_each_second_what_it_owes(void **state)
{
    struct world *w = *state;
    struct meter_fake_event ev, last = {.status = ""};
    struct completion_req req;
    struct answered a = {0};
    unsigned told;

    ask(w, true, STREAM("say-120-20"), MUCH, &req); /* 2.4 s */
    provider_world_open(&w->p, &req, 30000, &a);
    for (int i = 0; i < 200 && meter_fake_progress(w->p.meter, a.request_id, &last) == 0; i++)
        usleep(10000);
    assert_int_equal(meter_fake_progress(w->p.meter, a.request_id, &last), 1);
    assert_false(a.ended);
    assert_true(last.latency_ms >= 900);
    assert_int_equal(last.http_status, 200);
    assert_int_equal(last.prompt, ESTIMATE);
    assert_true(last.completion >= 5 && last.completion <= 60);
    assert_true(last.estimated);
    assert_int_equal(last.hold_nano, MUCH);
    assert_int_equal(last.price_id, 7);
    assert_true(meter_fake_lease(w->p.meter) > 60000 + 25000 && meter_fake_lease(w->p.meter) <= 60000 + 29100);
    assert_true(answered_wait(&a, 10000));
    end_of(w, &a, &ev);
    told = meter_fake_progress(w->p.meter, a.request_id, &last);
    assert_true(told >= 2 && told <= ev.latency_ms / 900);
    assert_true(last.completion < ev.completion);
    assert_string_equal(ev.status, "ok");
    assert_int_equal(ev.completion, 120);
    answered_fini(&a);
}

static void a_short_call_says_nothing_before_its_end(void **state)
{
    struct world *w = *state;
    struct meter_fake_event ev;
    struct completion_req req;
    struct answered a = {0};

    ask(w, true, STREAM("say-20-5"), MUCH, &req);
    provider_world_call(&w->p, &req, &a, &ev);
    assert_int_equal(meter_fake_progress(w->p.meter, a.request_id, &ev), 0);
    assert_int_equal(ev.n_log, 0);
    answered_fini(&a);
}

static void a_silent_call_is_heard_of_once(void **state)
{
    struct world *w = *state;
    struct meter_fake_event ev, last;
    struct completion_req req;
    struct answered a = {0};

    ask(w, false, PLAIN("wait-2400"), MUCH, &req);
    provider_world_call(&w->p, &req, &a, &ev);
    assert_int_equal(meter_fake_progress(w->p.meter, a.request_id, &last), 1); /* not each second */
    assert_int_equal(last.prompt + last.completion, 0);
    assert_int_equal(last.http_status, 0);
    assert_int_equal(ev.completion, 5);
    answered_fini(&a);
}

/* ---- clients that leave --------------------------------------------------------------------------------------------
 */

/* Returns when it left. */
static uint64_t open_and_leave(struct world *w, struct completion_req *req, size_t after, struct answered *a)
{
    uint64_t left_ms;

    provider_world_open(&w->p, req, 30000, a);
    assert_true(answered_wait_bytes(a, after, 15000));
    left_ms = clock_ms();
    xchg_cancel(w->p.client, a->id);
    assert_true(answered_wait(a, 15000));
    assert_int_equal(a->status, ST_CANCELLED);
    return left_ms;
}

#define SOME_BYTES 1000 /* the role chunk and a few words */

#define WORD_MS 50u

static void cancel_bills_what_was_read(void **state)
{
    struct world *w = *state;
    struct meter_fake_event ev;
    struct completion_req req;
    struct answered a = {0};
    uint64_t late;

    ask(w, true, STREAM("say-500-50"), MUCH, &req);
    late = open_and_leave(w, &req, SOME_BYTES, &a);
    end_of(w, &a, &ev);
    late = clock_ms() - late;
    assert_string_equal(ev.status, "cancelled");
    assert_true(ev.estimated);
    assert_int_equal(ev.prompt, ESTIMATE);
    /* no more than what upstream says until the cancel arrives */
    assert_true(ev.completion >= words_in(&a) && ev.completion <= words_in(&a) + 3 + late / WORD_MS);
    assert_int_equal(ev.n_log, 0);
    answered_fini(&a);
}

/* The client has its end at once; the bill is upstream's own, and comes when upstream says it. */
static void drain_bills_the_true_usage(void **state)
{
    struct world *w = *state;
    struct meter_fake_event ev;
    struct completion_req req;
    struct answered a = {0};
    size_t had;

    restart(w, "drain", 60000);
    ask(w, true, STREAM("say-50-60"), MUCH, &req);
    open_and_leave(w, &req, SOME_BYTES, &a);
    had = a.bytes.n;
    assert_int_equal(meter_fake_count(w->p.meter), 0);
    end_of(w, &a, &ev);
    assert_string_equal(ev.status, "cancelled");
    assert_int_equal(ev.http_status, 200);
    assert_false(ev.estimated);
    assert_int_equal(ev.prompt, USAGE_PROMPT);
    assert_int_equal(ev.completion, 50);
    assert_true(ev.latency_ms >= 400);
    assert_int_equal(a.bytes.n, had); /* nothing is sent to who has left */
    answered_fini(&a);
}

/* Until upstream has the request, which it answers much later. */
static void open_until_seen(struct world *w, struct completion_req *req, struct answered *a)
{
    unsigned before = tiny_requests(w->tiny);

    provider_world_open(&w->p, req, 30000, a);
    for (int i = 0; i < 1500 && tiny_requests(w->tiny) == before; i++)
        usleep(10000);
    assert_int_equal(tiny_requests(w->tiny), before + 1);
}

static void drain_of_a_plain_call_bills_it_too(void **state)
{
    struct world *w = *state;
    struct meter_fake_event ev;
    struct completion_req req;
    struct answered a = {0};

    restart(w, "drain", 60000);
    ask(w, false, PLAIN("wait-2000"), MUCH, &req);
    open_until_seen(w, &req, &a);
    xchg_cancel(w->p.client, a.id);
    end_of(w, &a, &ev);
    assert_string_equal(ev.status, "cancelled");
    assert_int_equal(ev.http_status, 499);
    assert_int_equal(ev.prompt, USAGE_PROMPT);
    assert_int_equal(ev.completion, 5);
    assert_true(answered_wait(&a, 15000));
    answered_fini(&a);
}

static void drain_of_a_refused_call_bills_nothing(void **state)
{
    struct world *w = *state;
    struct meter_fake_event ev;
    struct completion_req req;
    struct answered a = {0};

    restart(w, "drain", 60000);
    ask(w, false, PLAIN("wait-2000 do-400"), MUCH, &req);
    open_until_seen(w, &req, &a);
    xchg_cancel(w->p.client, a.id);
    end_of(w, &a, &ev);
    assert_string_equal(ev.status, "cancelled");
    assert_int_equal(ev.prompt + ev.completion, 0);
    assert_true(answered_wait(&a, 15000));
    answered_fini(&a);
}

static void drain_ends_in_time(void **state)
{
    struct world *w = *state;
    struct meter_fake_event ev;
    struct completion_req req;
    struct answered a = {0};
    uint64_t began;

    restart(w, "drain", 300);
    began = clock_ms();
    ask(w, true, STREAM("say-500-30"), MUCH, &req); /* 15 s */
    open_and_leave(w, &req, SOME_BYTES, &a);
    end_of(w, &a, &ev);
    assert_true(clock_ms() - began >= 300 && clock_ms() - began < slow_ms(8000));
    assert_string_equal(ev.status, "cancelled");
    assert_true(ev.estimated);
    assert_true(ev.completion > words_in(&a) && ev.completion < 500);
    answered_fini(&a);
}

static void drain_stays_within_the_hold(void **state)
{
    struct world *w = *state;
    struct meter_fake_event ev;
    struct completion_req req;
    struct answered a = {0};

    restart(w, "drain", 60000);
    provider_world_credit(&w->p, MUCH); /* would bear it: but who has left is not worth more than was held for him */
    ask(w, true, STREAM("say-500-50"), HOLD(40), &req);
    open_and_leave(w, &req, SOME_BYTES, &a);
    end_of(w, &a, &ev);
    assert_string_equal(ev.status, "cancelled");
    assert_int_equal(ev.completion, 40);
    assert_int_equal(provider_world_asked(&w->p), 0);
    answered_fini(&a);
}

#define LONG_MS 20000u /* longer than the stream takes */

static void a_shutdown_waits_for_a_drain_and_bills_what_it_cuts_off(void **state)
{
    struct world *w = *state;
    struct meter_fake_event ev;
    struct completion_req req;

    for (unsigned wait_ms = LONG_MS; wait_ms > 0; wait_ms = wait_ms == LONG_MS ? 100 : 0) {
        struct answered a = {0};

        restart(w, "drain", 60000);
        ask(w, true, wait_ms == LONG_MS ? STREAM("say-60-40") : STREAM("say-300-20"), MUCH, &req);
        open_and_leave(w, &req, SOME_BYTES, &a);
        svc_drain(w->p.svc, wait_ms);
        end_of(w, &a, &ev);
        assert_string_equal(ev.status, "cancelled");
        assert_int_equal(ev.estimated, wait_ms != LONG_MS);
        assert_true(wait_ms == LONG_MS ? ev.completion == 60 : ev.completion > 0 && ev.completion < 300);
        answered_fini(&a);
    }
}

/* A gateway that is lost is a client that left; other gateways' calls go on. */
static void a_lost_gateway_is_a_client_that_left(void **state)
{
    struct world *w = *state;
    struct xchg_client_options options = {.url = w->p.url[3], .instance = 4711};
    struct xchg_client *other = NULL, *mine;
    struct meter_fake_event ev;
    struct completion_req req;
    struct answered a = {0}, b = {0};

    restart(w, "drain", 60000);
    assert_int_equal(xchg_client_new(&options, &other, NULL), ST_OK);
    mine = w->p.client;
    ask(w, true, STREAM("say-60-50"), MUCH, &req);
    provider_world_open(&w->p, &req, 30000, &b);
    w->p.client = other;
    provider_world_open(&w->p, &req, 30000, &a);
    assert_true(answered_wait_bytes(&a, SOME_BYTES, 15000));
    w->p.client = mine;
    xchg_client_free(other);
    end_of(w, &a, &ev);
    assert_string_equal(ev.status, "cancelled");
    assert_int_equal(ev.completion, 60);
    end_of(w, &b, &ev);
    assert_string_equal(ev.status, "ok");
    assert_true(answered_wait(&b, 15000));
    answered_fini(&a);
    answered_fini(&b);
}

/* ---- the cap -------------------------------------------------------------------------------------------------------
 */

static void assert_ended_by_credit(const struct answered *a, unsigned tokens, bool usage)
{
    char text[512], comment[128];
    int n;

    snprintf(comment, sizeof(comment), ": the answer was limited to %u tokens by the account's credit\n\n", tokens);
    n = snprintf(text, sizeof(text),
                 HEAD "\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"length\"}]%s}\n\n",
                 usage ? ",\"usage\":null" : "");
    if (usage)
        n += snprintf(text + n, sizeof(text) - (size_t)n,
                      HEAD
                      "\"choices\":[],\"usage\":{\"prompt_tokens\":%d,\"completion_tokens\":%u,\"total_tokens\":%u}}"
                      "\n\n",
                      ESTIMATE, tokens, ESTIMATE + tokens);
    snprintf(text + n, sizeof(text) - (size_t)n, "%sdata: [DONE]\n\n", comment);
    assert_true(a->bytes.n > strlen(text));
    assert_string_equal(a->bytes.p + a->bytes.n - strlen(text), text);
    assert_int_equal(words_in(a), tokens);
}

static void finish_text(struct answered *a)
{
    assert_int_equal(buf_add(&a->bytes, "", 1), ST_OK);
    a->bytes.n--;
}

static void a_stream_ends_where_the_credit_does(void **state)
{
    struct world *w = *state;

    for (int usage = 0; usage < 2; usage++)
        for (int pace = 0; pace < 2; pace++) {
            struct meter_fake_event ev;
            struct completion_req req;
            struct answered a = {0};

            provider_world_credit(&w->p, pace ? HOLD(50) : HOLD(30));
            ask(w, true, pace ? STREAM("say-200-3") : STREAM("say-2000-0"), HOLD(30), &req);
            req.usage_asked = usage;
            provider_world_call(&w->p, &req, &a, &ev);
            finish_text(&a);
            assert_int_equal(a.status, ST_OK);
            assert_ended_by_credit(&a, pace ? 50 : 30, usage);
            assert_string_equal(ev.status, "ok");
            assert_true(ev.estimated);
            assert_int_equal(ev.prompt, ESTIMATE);
            assert_int_equal(ev.completion, pace ? 50 : 30);
            assert_int_equal(ev.hold_nano, pace ? HOLD(50) : HOLD(30));
            assert_int_equal(ev.n_log, 1);
            assert_string_equal(ev.log[0].outcome, "cancelled");
            assert_true(ev.log[0].answered);
            answered_fini(&a);
        }
    assert_true(provider_world_asked(&w->p) > 0);
}

static void a_stream_goes_on_where_the_credit_bears_it(void **state)
{
    struct world *w = *state;
    struct meter_fake_event ev;
    struct completion_req req;
    struct answered a = {0};

    provider_world_credit(&w->p, MUCH);
    ask(w, true, STREAM("say-3000-0"), HOLD(30), &req);
    provider_world_call(&w->p, &req, &a, &ev);
    assert_int_equal(a.status, ST_OK);
    assert_int_equal(words_in(&a), 3000);
    assert_true(answered_has(&a, END("stop") "data: [DONE]\n\n"));
    assert_string_equal(ev.status, "ok");
    assert_false(ev.estimated);
    assert_int_equal(ev.completion, 3000);
    assert_true(ev.hold_nano >= HOLD(3000));
    assert_int_equal(ev.n_log, 0);
    assert_true(provider_world_asked(&w->p) >= 2 && provider_world_asked(&w->p) < 20);
    answered_fini(&a);
}

/* Near its hold a stream asks, once a second where it was refused; credit that has come meanwhile is taken. */
static void credit_that_comes_in_time_is_taken(void **state)
{
    struct world *w = *state;

    for (unsigned comes = 0; comes < 2; comes++) {
        struct meter_fake_event ev;
        struct completion_req req;
        struct answered a = {0};
        unsigned before = provider_world_asked(&w->p);
        uint64_t began = clock_ms(), seconds;

        provider_world_credit(&w->p, 1);
        ask(w, true, STREAM("say-14-150"), 1000 * INPUT_NANO + 10 * OUTPUT_NANO,
            &req); /* near from the first word on */
        req.prompt_tokens_estimate = 1000;
        provider_world_open(&w->p, &req, 30000, &a);
        assert_true(answered_wait_bytes(&a, 4 * strlen(WORD), 15000));
        assert_in_range(provider_world_asked(&w->p) - before, 1, 1 + (clock_ms() - began) / 1000);
        provider_world_credit(&w->p, comes ? MUCH : 1);
        seconds = (clock_ms() - began) / 1000 + 1; /* it asks once more, and has it */
        assert_true(answered_wait(&a, 20000));
        end_of(w, &a, &ev);
        if (!comes)
            seconds = (clock_ms() - began) / 1000;
        assert_int_equal(ev.completion, comes ? 14 : 10);
        assert_int_equal(ev.estimated, !comes);
        assert_in_range(provider_world_asked(&w->p) - before, 2, 1 + seconds); /* two, unless the machine is busy */
        answered_fini(&a);
    }
}

static void without_authsvc_a_stream_ends_at_its_hold(void **state)
{
    struct world *w = *state;
    struct meter_fake_event ev;
    struct completion_req req;
    struct answered a = {0};

    provider_world_credit(&w->p, -1);
    ask(w, true, STREAM("say-100-3"), HOLD(20), &req);
    provider_world_call(&w->p, &req, &a, &ev);
    finish_text(&a);
    assert_ended_by_credit(&a, 20, false);
    assert_int_equal(ev.completion, 20);
    answered_fini(&a);
}

/* Where the input is not known its watch counts what is held for, until upstream says what it was. */
static void context_counts_while_it_runs(void **state)
{
    struct world *w = *state;
    struct meter_fake_event ev;
    struct completion_req req;
    struct answered a = {0};

    provider_world_credit(&w->p, -1);
    ask(w, true, STREAM("say-100-3"), 5000 * INPUT_NANO + 20 * OUTPUT_NANO, &req);
    req.prompt_tokens_held = 5000;
    provider_world_call(&w->p, &req, &a, &ev);
    finish_text(&a);
    assert_ended_by_credit(&a, 20, false);
    assert_int_equal(ev.prompt, ESTIMATE); /* what is billed is what the request shows */
    answered_fini(&a);
}

/* A question that was lost with its authsvc is no refusal: it is asked again at once, but not for ever. */
static void a_lost_question_is_asked_again(void **state)
{
    struct world *w = *state;

    for (unsigned lost = 2; lost < 100; lost += 97) {
        struct meter_fake_event ev;
        struct completion_req req;
        struct answered a = {0};
        unsigned before = provider_world_asked(&w->p);

        provider_world_credit(&w->p, MUCH);
        provider_world_lose(&w->p, lost);
        ask(w, true, STREAM("say-300-0"), HOLD(30), &req);
        provider_world_call(&w->p, &req, &a, &ev);
        assert_int_equal(a.status, ST_OK);
        assert_int_equal(ev.completion, lost == 2 ? 300 : 30);
        assert_int_equal(ev.estimated, lost != 2);
        if (lost != 2)
            assert_int_equal(provider_world_asked(&w->p) - before, 4);
        provider_world_lose(&w->p, 0);
        answered_fini(&a);
    }
}

static void a_free_call_is_not_watched(void **state)
{
    struct world *w = *state;
    struct meter_fake_event ev;
    struct completion_req req;
    struct answered a = {0};

    ask(w, true, STREAM("say-100-0"), 0, &req);
    provider_world_price(&req, NULL);
    provider_world_call(&w->p, &req, &a, &ev);
    assert_int_equal(ev.completion, 100);
    assert_int_equal(provider_world_asked(&w->p), 0);
    answered_fini(&a);
}

/* Upstream kept the limit that the credit bears: the client is told why, once, before the closing event. */
static void a_limit_of_the_credit_is_told(void **state)
{
    struct world *w = *state;
    struct meter_fake_event ev;
    struct completion_req req;
    struct answered a = {0};

    for (int limited = 0; limited < 2; limited++) {
        ask(w, true, STREAM("say-30-0 do-length"), HOLD(30), &req);
        req.output_limit = 30;
        req.credit_limited = limited;
        provider_world_call(&w->p, &req, &a, &ev);
        finish_text(&a);
        assert_int_equal(answered_has(&a, ": the answer was limited to 30 tokens by the account's credit\n\n"
                                          "data: [DONE]\n\n"),
                         limited);
        assert_false(ev.estimated);
        answered_fini(&a);
    }
    ask(w, true, STREAM("say-10-0"), HOLD(30), &req); /* it ended before the limit */
    req.output_limit = 30;
    req.credit_limited = true;
    provider_world_call(&w->p, &req, &a, &ev);
    assert_false(answered_has(&a, "limited"));
    answered_fini(&a);
    provider_world_request(&w->p, &req, "echo", PLAIN("0123456789abcdefghij"));
    req.stream = req.credit_limited = true;
    req.output_limit = 2;
    provider_world_call(&w->p, &req, &a, &ev);
    assert_true(answered_has(&a, "limited to 2 tokens"));
    answered_fini(&a);
}

/* ---- attempts ------------------------------------------------------------------------------------------------------
 */

static void each_attempt_is_told(void **state)
{
    struct world *w = *state;
    struct meter_fake_event ev;
    struct completion_req req;
    struct answered a = {0};

    ask(w, true, STREAM("say-5-0 do-no-options"), MUCH, &req);
    provider_world_call(&w->p, &req, &a, &ev);
    assert_int_equal(a.status, ST_OK);
    assert_int_equal(ev.attempts, 2);
    assert_int_equal(ev.n_log, 2);
    assert_int_equal(ev.log[0].number, 1);
    assert_string_equal(ev.log[0].outcome, "error");
    assert_int_equal(ev.log[0].http_status, 400);
    assert_false(ev.log[0].answered);
    assert_int_equal(ev.log[0].prompt + ev.log[0].completion, 0);
    assert_int_equal(ev.log[1].number, 2);
    assert_string_equal(ev.log[1].outcome, "ok");
    assert_int_equal(ev.log[1].http_status, 200);
    assert_true(ev.log[1].answered);
    assert_int_equal(ev.log[1].completion, 5);
    assert_int_equal(ev.log[1].prompt, USAGE_PROMPT);
    answered_fini(&a);
}

/* Upstream answered and will charge for it, but the caller got nothing of it. */
static void an_answer_that_is_thrown_away_is_the_operators(void **state)
{
    struct world *w = *state;
    struct meter_fake_event ev;
    struct completion_req req;
    struct answered a = {0};

    ask(w, false, PLAIN("do-type"), MUCH, &req);
    provider_world_call(&w->p, &req, &a, &ev);
    assert_int_equal(a.status, ST_UPSTREAM);
    assert_string_equal(ev.status, "error");
    assert_int_equal(ev.prompt + ev.completion, 0);
    assert_int_equal(ev.n_log, 1);
    assert_false(ev.log[0].answered);
    assert_int_equal(ev.log[0].http_status, 200);
    assert_int_equal(ev.log[0].prompt, 70);
    assert_int_equal(ev.log[0].completion, 5);
    answered_fini(&a);
}

static void one_attempt_is_told_where_the_event_does_not_say_it(void **state)
{
    static const struct {
        const char *body;
        unsigned n_log, http_status;
        const char *outcome;
    } cases[] = {
        {PLAIN("hi"), 0, 0, NULL},
        {PLAIN("do-400"), 0, 0, NULL},
        {PLAIN("do-401"), 1, 401, "error"}, /* the client sees 502 */
        {STREAM("say-3-0 do-break"), 1, 200, "broken"},
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct meter_fake_event ev;
        struct completion_req req;
        struct answered a = {0};

        ask(w, strstr(cases[i].body, "say-") != NULL, cases[i].body, MUCH, &req);
        provider_world_call(&w->p, &req, &a, &ev);
        assert_int_equal(ev.n_log, cases[i].n_log);
        if (ev.n_log > 0) {
            assert_string_equal(ev.log[0].outcome, cases[i].outcome);
            assert_int_equal(ev.log[0].http_status, cases[i].http_status);
        }
        answered_fini(&a);
    }
}

static void attempts_that_never_reached_anybody_are_told(void **state)
{
    struct provider_world p;
    struct meter_fake_event ev;
    struct completion_req req;
    struct answered a = {0};

    (void)state;
    provider_world_start(&p, &providersvc_def, "http://127.0.0.1:1/v1");
    provider_world_request(&p, &req, "openai", PLAIN("hi"));
    provider_world_call(&p, &req, &a, &ev);
    assert_int_equal(ev.n_log, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(ev.log[i].number, i + 1);
        assert_string_equal(ev.log[i].outcome, "connect");
        assert_int_equal(ev.log[i].http_status, 0);
    }
    answered_fini(&a);
    provider_world_stop(&p);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_stream_says_each_second_what_it_owes),
        TEST(a_short_call_says_nothing_before_its_end),
        TEST(a_silent_call_is_heard_of_once),
        TEST(cancel_bills_what_was_read),
        TEST(drain_bills_the_true_usage),
        TEST(drain_of_a_plain_call_bills_it_too),
        TEST(drain_of_a_refused_call_bills_nothing),
        TEST(drain_ends_in_time),
        TEST(drain_stays_within_the_hold),
        TEST(a_shutdown_waits_for_a_drain_and_bills_what_it_cuts_off),
        TEST(a_lost_gateway_is_a_client_that_left),
        TEST(a_stream_ends_where_the_credit_does),
        TEST(a_stream_goes_on_where_the_credit_bears_it),
        TEST(credit_that_comes_in_time_is_taken),
        TEST(without_authsvc_a_stream_ends_at_its_hold),
        TEST(context_counts_while_it_runs),
        TEST(a_lost_question_is_asked_again),
        TEST(a_free_call_is_not_watched),
        TEST(a_limit_of_the_credit_is_told),
        TEST(each_attempt_is_told),
        TEST(an_answer_that_is_thrown_away_is_the_operators),
        TEST(one_attempt_is_told_where_the_event_does_not_say_it),
        TEST(attempts_that_never_reached_anybody_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
