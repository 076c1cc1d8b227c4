/* Admission: credit, holds and races for the last of anything. */
#include <pthread.h>

#include "tests/unit/admission_fixture.h"

#include "proto/endpoints.h"
#include "services/clock.h"

/* ---- credit -------------------------------------------------------------------------------------------------------
 */

static void what_the_credit_does_not_bear_is_shortened(void **state)
{
    struct world *w = *state;

    feed_user(w, "usr_1", 100 * 1000 + 400 * 10000 + 9999);
    assert_int_equal(ask_new(w, 100, 0), ST_OK); /* the model could answer with 1000 */
    assert_int_equal(w->rep.output_limit, 400);
    assert_true(w->rep.credit_limited);
    assert_int_equal(w->rep.hold_nano, 100 * 1000 + 400 * 10000);
    assert_int_equal(ask_new(w, 0, 0), ST_NO_FUNDS);
    feed_settled(w, "req_1", "usr_1", 15 * 10000 + 9999, 0);
    assert_int_equal(ask_new(w, 0, 0), ST_NO_FUNDS); /* 15 tokens are of no use */
    assert_int_equal(ask_new(w, 0, 15), ST_OK); /* unless that was all that was asked */
    assert_int_equal(w->rep.output_limit, 0);
    assert_false(w->rep.credit_limited);
    feed_settled(w, "req_4", "usr_1", 16 * 10000, 0);
    assert_int_equal(ask_new(w, 0, 500), ST_OK); /* a limit of the request's own is lowered, too */
    assert_int_equal(w->rep.output_limit, 16);
    assert_true(w->rep.credit_limited);
    assert_int_equal(ask_new(w, 1, 0), ST_NO_FUNDS);
    assert_non_null(strstr(w->err.text, "You exceeded your current credits"));
}

static void a_dearer_tier_is_held_for(void **state)
{
    struct world *w = *state;
    struct admit_req req = {.prompt_tokens_estimate = 100, .max_output_tokens = 50, .price_percent = 200};

    assert_int_equal(ask(w, "r1", "secret", req), ST_OK);
    assert_int_equal(w->rep.hold_nano, 2 * (100 * 1000 + 50 * 10000));
    assert_int_equal(w->rep.price_percent, 0); /* the answer says what it costs */
    assert_int_equal(ask(w, "r1", "secret", req), ST_OK);
    assert_int_equal(w->rep.hold_nano, 2 * (100 * 1000 + 50 * 10000));
    feed_user(w, "usr_1", 2 * (100 * 1000 + 50 * 10000) + 2 * (100 * 1000 + 20 * 10000) + 1);
    assert_int_equal(ask(w, "r2", "secret", req), ST_OK); /* of the answer what the credit bears at that price */
    assert_int_equal(w->rep.output_limit, 20);
}

/* Nothing of the request says how long the answer may get: what is lowered would not be heard of upstream. */
static void what_bears_no_limit_is_not_shortened(void **state)
{
    static const struct {
        const char *endpoint;
        bool limited;
    } cases[] = {
        {ENDPOINT_CHAT, true},
        {ENDPOINT_COMPLETIONS, true},
        {ENDPOINT_RESPONSES, true},
        {ENDPOINT_MESSAGES, true},
        {ENDPOINT_RESPONSES_COMPACT, false},
        {ENDPOINT_EMBEDDINGS, false},
        {ENDPOINT_IMAGES, false},
        {ENDPOINT_SPEECH, false},
        {ENDPOINT_TRANSCRIPTIONS, false},
        {ENDPOINT_MODERATIONS, false},
        {ENDPOINT_OTHER, false},
    };
    struct world *w = *state;
    size_t i;
    int budget;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (budget = 0; budget < 2; budget++) {
            struct admit_req req = {.endpoint = slice_of(cases[i].endpoint), .max_output_tokens = 100, .choices = 10};
            struct api_key key = a_key("key_1", "usr_1");
            char id[32];

            key.budget_nano = budget ? 999 * 10000 : 0;
            feed_key(w, "secret", &key);
            feed_user(w, "usr_1", budget ? USD : 999 * 10000);
            snprintf(id, sizeof(id), "small_%zu_%d", i, budget);
            assert_int_equal(ask(w, id, "secret", req), cases[i].limited ? ST_OK : ST_NO_FUNDS);
            if (cases[i].limited) {
                assert_int_equal(w->rep.output_limit, 99);
                feed_settled(w, id, "usr_1", USD, 1);
            } else {
                assert_non_null(strstr(w->err.text, budget ? "the budget of this API key" : "your current credits"));
                assert_null(strstr(w->err.text, "output limit"));
            }
            key.budget_nano = budget ? 1000 * 10000 : 0;
            feed_key(w, "secret", &key);
            feed_user(w, "usr_1", budget ? USD : 1000 * 10000);
            snprintf(id, sizeof(id), "enough_%zu_%d", i, budget);
            assert_int_equal(ask(w, id, "secret", req), ST_OK);
            assert_int_equal(w->rep.output_limit, 0);
            assert_int_equal(w->rep.hold_nano, 1000 * 10000);
            feed_settled(w, id, "usr_1", USD, 1);
        }
}

static struct admit_req with_context(const char *context, uint64_t tokens)
{
    return (struct admit_req){.endpoint = slice_of(ENDPOINT_RESPONSES),
                              .prompt_tokens_estimate = 100,
                              .max_output_tokens = 100,
                              .context = slice_of(context),
                              .context_tokens = tokens};
}

/* Input that upstream keeps, and of which nobody here knows how much it is. */
static void context_is_held_for_as_if_it_filled_the_window(void **state)
{
    struct price p = {.id = 90,
                      .model = {"wide", 4},
                      .provider = {"openai", 6},
                      .input_pico = 1000000,
                      .output_pico = 10000000,
                      .max_output = 1000,
                      .context_window = 5000,
                      .created = WALL};
    struct world *w = *state;
    struct admit_req req = with_context("conversation", 0);
    unsigned i;

    feed(w, &price_desc, &p);
    feed_plan(w, 0, 300, 0);
    req.model = slice_of("wide");
    for (i = 0; i < 2; i++) { /* asked twice it is the same answer */
        assert_int_equal(ask(w, "wide", "secret", req), ST_OK);
        assert_int_equal(w->rep.hold_nano, 5000 * 1000 + 100 * 10000);
        assert_int_equal(w->rep.prompt_tokens_held, 5000);
        assert_int_equal(w->rep.output_limit, 0);
        if (i == 0) /* the minute is none of its business */
            assert_int_equal(w->rep.limits.items[0].remaining_tokens, 100);
    }
    feed_plan(w, 0, 0, 0);
    req.prompt_tokens_estimate = 6000; /* who says more is believed */
    assert_int_equal(ask(w, "more", "secret", req), ST_OK);
    assert_int_equal(w->rep.hold_nano, 6000 * 1000 + 100 * 10000);
    assert_int_equal(w->rep.prompt_tokens_held, 0);
    assert_int_equal(ask(w, "unknown", "secret", with_context("file_id", 0)),
                     ST_OK); /* nor does anybody know the window */
    assert_int_equal(w->rep.hold_nano, (int64_t)ADMISSION_INPUT_UNKNOWN * 1000 + 100 * 10000);
    assert_int_equal(ask(w, "known", "secret", with_context("previous_response_id", 90)), ST_OK);
    assert_int_equal(w->rep.hold_nano, 100 * 1000 + 100 * 10000);
    assert_int_equal(w->rep.prompt_tokens_held, 0);
}

static void who_lacks_credit_for_context_hears_which_field_it_is(void **state)
{
    struct world *w = *state;

    feed_user(w, "usr_1", (int64_t)ADMISSION_INPUT_UNKNOWN * 1000 + 15 * 10000);
    assert_int_equal(ask(w, "r1", "secret", with_context("conversation", 0)), ST_NO_FUNDS);
    assert_string_equal(w->err.param, "conversation");
    assert_non_null(
        strstr(w->err.text, "How much input 'conversation' brings is not known here: it may be 131072 tokens"));
    feed_user(w, "usr_1", (int64_t)ADMISSION_INPUT_UNKNOWN * 1000 + 50 * 10000);
    assert_int_equal(ask(w, "r2", "secret", with_context("conversation", 0)), ST_OK); /* capped, not refused */
    assert_int_equal(w->rep.output_limit, 50);
    assert_int_equal(w->rep.prompt_tokens_held, ADMISSION_INPUT_UNKNOWN);
    feed_settled(w, "r2", "usr_1", 100 * 1000, 1);
    assert_int_equal(ask(w, "r3", "secret", with_context("previous_response_id", 90)), ST_NO_FUNDS);
    assert_string_equal(w->err.param, "previous_response_id");
    assert_non_null(strstr(w->err.text, "'previous_response_id' brings 90 tokens of its input."));
    assert_int_equal(ask_new(w, 100, 100), ST_NO_FUNDS);
    assert_string_equal(w->err.param, "");
}

static void several_answers_share_what_there_is(void **state)
{
    struct world *w = *state;

    feed_user(w, "usr_1", 100 * 10000);
    assert_int_equal(ask(w, "r1", "secret", (struct admit_req){.choices = 3}), ST_OK);
    assert_int_equal(w->rep.output_limit, 33);
    assert_int_equal(w->rep.hold_nano, 99 * 10000);
}

/* A request that the credit bears goes out as it came, whatever is known of its model. */
static void a_model_without_a_known_maximum_is_held_for_only(void **state)
{
    struct world *w = *state;

    feed_price(w, "endless", "openai", 0);
    assert_int_equal(ask(w, "r1", "secret", (struct admit_req){.model = slice_of("endless")}), ST_OK);
    assert_int_equal(w->rep.output_limit, 0);
    assert_false(w->rep.credit_limited);
    assert_int_equal(w->rep.hold_nano, (int64_t)ADMISSION_OUTPUT_UNKNOWN * 10000);
    assert_int_equal(ask(w, "r2", "secret", (struct admit_req){.model = slice_of("endless"), .max_output_tokens = 20}),
                     ST_OK);
    assert_int_equal(w->rep.output_limit, 0);
}

static void costs_beyond_all_bounds_are_refused(void **state)
{
    struct world *w = *state;
    struct price p = {.id = 9,
                      .model = slice_of("dear"),
                      .provider = slice_of("openai"),
                      .input_pico = MONEY_PICO_MAX,
                      .output_pico = MONEY_PICO_MAX,
                      .max_output = LIMIT_TOKENS};

    feed(w, &price_desc, &p);
    feed_user(w, "usr_1", MONEY_NANO_MAX);
    assert_true(ask(w, "r1", "secret",
                    (struct admit_req){.model = slice_of("dear"),
                                       .prompt_tokens_estimate = LIMIT_TOKENS,
                                       .max_output_tokens = LIMIT_TOKENS,
                                       .choices = 128}) != ST_OK);
    assert_true(ask(w, "r2", "secret",
                    (struct admit_req){.model = slice_of("dear"),
                                       .prompt_tokens_estimate = LIMIT_TOKENS,
                                       .max_output_tokens = LIMIT_TOKENS}) != ST_OK);
    assert_int_equal(figures(w).holds, 0);
}

static void free_models_need_no_credit(void **state)
{
    struct world *w = *state;
    struct price p = {.id = 9, .model = slice_of("gratis"), .provider = slice_of("openai"), .max_output = 10};

    feed(w, &price_desc, &p);
    feed_user(w, "usr_1", 0);
    assert_int_equal(ask(w, "r1", "secret", (struct admit_req){.model = slice_of("gratis")}), ST_OK);
    assert_int_equal(w->rep.hold_nano, 0);
    assert_int_equal(w->rep.routes.items[0].price.n, 1);
}

/* 1 USD a million tokens of input, 10 of output, and classes that are dearer. */
static void feed_dear(struct world *w, struct price p)
{
    p.id = w->revision + 1;
    p.model = slice_of("dear");
    p.provider = slice_of("openai");
    p.input_pico = 1000000;
    p.output_pico = 10000000;
    p.max_output = 1000;
    feed(w, &price_desc, &p);
}

static int64_t hold_of(struct world *w, const char *id, uint64_t prompt, uint64_t output)
{
    assert_int_equal(ask(w, id, "secret",
                         (struct admit_req){
                             .model = slice_of("dear"), .prompt_tokens_estimate = prompt, .max_output_tokens = output}),
                     ST_OK);
    return w->rep.hold_nano;
}

static void the_hold_bears_the_dearest_class_that_the_tokens_may_be(void **state)
{
    struct world *w = *state;

    feed_dear(w, (struct price){.cached_input_pico = 100000});
    assert_int_equal(hold_of(w, "plain", 10, 10), 10 * 1000 + 10 * 10000);
    feed_dear(w, (struct price){.cache_write_pico = 1250000});
    assert_int_equal(hold_of(w, "write", 10, 10), 10 * 1250 + 10 * 10000);
    feed_dear(w, (struct price){.cache_write_pico = 1250000, .cache_write_long_pico = 2000000});
    assert_int_equal(hold_of(w, "write-long", 10, 10), 10 * 2000 + 10 * 10000);
    feed_dear(w, (struct price){.audio_input_pico = 40000000, .audio_output_pico = 80000000});
    assert_int_equal(hold_of(w, "audio", 10, 10), 10 * 40000 + 10 * 80000);
    feed_dear(w, (struct price){.image_input_pico = 5000000, .image_output_pico = 30000000});
    assert_int_equal(hold_of(w, "image", 10, 10), 10 * 5000 + 10 * 30000);
    feed_dear(w, (struct price){.reasoning_pico = 20000000});
    assert_int_equal(hold_of(w, "reasoning", 10, 10), 10 * 1000 + 10 * 20000);
    feed_dear(w, (struct price){.reasoning_pico = 1, .audio_output_pico = 1}); /* cheaper ones lower nothing */
    assert_int_equal(hold_of(w, "cheap", 10, 10), 10 * 1000 + 10 * 10000);
    feed_dear(w, (struct price){.tier_above_tokens = 9,
                                .tier_input_pico = 2000000,
                                .tier_output_pico = 15000000,
                                .tier_cache_write_pico = 2500000});
    assert_int_equal(hold_of(w, "below", 9, 10), 9 * 1000 + 10 * 10000);
    assert_int_equal(hold_of(w, "tier", 10, 10), 10 * 2500 + 10 * 15000);
}

static void the_answer_is_shortened_by_the_dearest_class(void **state)
{
    struct world *w = *state;

    feed_dear(w, (struct price){.reasoning_pico = 20000000});
    feed_user(w, "usr_1", 100 * 1000 + 400 * 20000 + 19999);
    assert_int_equal(
        ask(w, "r", "secret", (struct admit_req){.model = slice_of("dear"), .prompt_tokens_estimate = 100}), ST_OK);
    assert_int_equal(w->rep.output_limit, 400);
    assert_int_equal(w->rep.hold_nano, 100 * 1000 + 400 * 20000);
}

/* ---- budgets of keys ----------------------------------------------------------------------------------------------
 */

#define ONE (INT64_C(1000) * 10000) /* the longest answer of `m` */

/* The fixture's key, with a budget of which so much is spent in a period that ends then. */
static void feed_budget(struct world *w, const char *secret, const char *id, int64_t budget, int64_t spent,
                        uint64_t period_end)
{
    unsigned char digest[LIMIT_DIGEST];
    struct api_key key = a_key(id, "usr_1");
    struct key_state state = {.digest = {(const char *)digest, sizeof(digest)},
                              .key = {&key, 1},
                              .period_spent_nano = spent,
                              .period_end = period_end};

    key.budget_nano = budget;
    key.budget_period = slice_of(period_end ? "day" : "total");
    digest_of(secret, digest);
    feed(w, &key_state_desc, &state);
}

/* A call of the key was billed: the user has plenty left, the key has spent so much. */
static void feed_spent(struct world *w, const char *request, const char *secret, int64_t spent, uint64_t period_end)
{
    unsigned char digest[LIMIT_DIGEST];
    struct settled s = {.request_id = slice_of(request),
                        .user_id = slice_of("usr_1"),
                        .cost_nano = 1,
                        .balance_nano = 100 * USD,
                        .key_digest = {(const char *)digest, sizeof(digest)},
                        .key_spent_nano = spent,
                        .key_period_end = period_end};

    digest_of(secret, digest);
    feed(w, &settled_desc, &s);
}

static void a_budget_bounds_a_key_as_credit_does(void **state)
{
    struct world *w = *state;

    feed_user(w, "usr_1", 100 * USD);
    feed_budget(w, "secret", "key_1", 2 * ONE + 400 * 10000 + 9999, 0, 0);
    assert_int_equal(ask_new(w, 0, 0), ST_OK);
    assert_int_equal(w->rep.output_limit, 0); /* untouched while the budget bears it */
    assert_int_equal(ask_new(w, 0, 0), ST_OK);
    assert_int_equal(ask_new(w, 0, 0), ST_OK);
    assert_int_equal(w->rep.output_limit, 400);
    assert_int_equal(w->rep.hold_nano, 400 * 10000);
    assert_int_equal(ask_new(w, 0, 0), ST_NO_FUNDS);
    assert_non_null(strstr(w->err.text, "budget of this API key"));
    feed_key(w, "other",
             &(struct api_key){.id = slice_of("key_2"),
                               .user_id = slice_of("usr_1"),
                               .name = slice_of("k"),
                               .prefix = slice_of("sk-or-x"),
                               .status = slice_of("active"),
                               .created = WALL});
    assert_int_equal(ask(w, "other", "other", (struct admit_req){.max_output_tokens = 1000}), ST_OK); /* has none */
    feed_spent(w, "req_1", "secret", ONE / 2, 0); /* it cost half of its hold */
    assert_int_equal(ask_new(w, 0, 500), ST_OK);
    assert_int_equal(w->rep.output_limit, 0);
    assert_int_equal(ask_new(w, 0, 16), ST_NO_FUNDS);
}

static void credit_is_named_when_it_is_credit_that_is_missing(void **state)
{
    struct world *w = *state;

    feed_user(w, "usr_1", 10);
    feed_budget(w, "secret", "key_1", USD, 0, 0);
    assert_int_equal(ask_new(w, 0, 0), ST_NO_FUNDS);
    assert_non_null(strstr(w->err.text, "You exceeded your current credits"));
}

static void what_runs_counts_when_a_budget_comes_and_stays_when_it_changes(void **state)
{
    struct world *w = *state;

    feed_user(w, "usr_1", 100 * USD);
    assert_int_equal(ask_new(w, 0, 0), ST_OK); /* no budget yet */
    feed_budget(w, "secret", "key_1", ONE + 15 * 10000, 0, 0);
    assert_int_equal(ask_new(w, 0, 0), ST_NO_FUNDS);
    feed_budget(w, "secret", "key_1", 2 * ONE, 0, 0);
    assert_int_equal(ask_new(w, 0, 0), ST_OK);
    assert_int_equal(ask_new(w, 0, 0), ST_NO_FUNDS);
    feed_budget(w, "secret", "key_1", 2 * ONE, ONE, 0); /* of another instance's calls */
    feed_spent(w, "req_1", "secret", ONE, 0);
    assert_int_equal(ask_new(w, 0, 0), ST_NO_FUNDS);
    feed_budget(w, "secret", "key_1", 0, 0, 0); /* taken away */
    assert_int_equal(ask_new(w, 0, 0), ST_OK);
}

static void a_period_ends_by_the_wall_clock(void **state)
{
    struct world *w = *state;
    const uint64_t end = WALL + 100, next = end + 86400;

    feed_user(w, "usr_1", 100 * USD);
    feed_budget(w, "secret", "key_1", ONE, ONE, end);
    w->wall_s = end - 1;
    assert_int_equal(ask_new(w, 0, 0), ST_NO_FUNDS);
    w->wall_s = end;
    assert_int_equal(ask_new(w, 0, 0), ST_OK);
    assert_int_equal(ask_new(w, 0, 0), ST_NO_FUNDS); /* what is held counts in the period in which it will be billed */
    feed_spent(w, "req_late", "secret", ONE, end); /* of the day before: said late */
    feed_spent(w, "req_2", "secret", 0, next); /* it cost nothing */
    assert_int_equal(ask_new(w, 0, 0), ST_OK);
    feed_spent(w, "req_4", "secret", ONE, next);
    assert_int_equal(ask_new(w, 0, 0), ST_NO_FUNDS);
    feed_spent(w, "req_old", "secret", 0, end); /* older news change nothing */
    feed_spent(w, "req_old", "secret", 1, next);
    assert_int_equal(ask_new(w, 0, 0), ST_NO_FUNDS);
    w->wall_s = next;
    assert_int_equal(ask_new(w, 0, 0), ST_OK);
}

static void a_hold_that_expires_gives_the_budget_back(void **state)
{
    struct world *w = *state;

    feed_user(w, "usr_1", 100 * USD);
    feed_budget(w, "secret", "key_1", ONE, 0, 0);
    assert_int_equal(ask_new(w, 0, 0), ST_OK);
    assert_int_equal(ask_new(w, 0, 0), ST_NO_FUNDS);
    w->now += DEADLINE + GRACE;
    while (figures(w).holds)
        admission_expire(&w->a, w->now, 100000);
    assert_int_equal(ask_new(w, 0, 0), ST_OK);
}

/* A key that a snapshot leaves out is revoked; what its calls hold is released all the same, and not twice. */
static void a_key_that_is_gone_keeps_its_holds_until_they_end(void **state)
{
    struct world *w = *state;
    struct api_key other = a_key("key_2", "usr_1");

    feed_user(w, "usr_1", 100 * USD);
    feed_budget(w, "secret", "key_1", ONE, 0, 0);
    assert_int_equal(ask_new(w, 0, 0), ST_OK);
    admission_reset(&w->a);
    feed_plan(w, 0, 0, 0);
    feed_user(w, "usr_1", 100 * USD);
    feed_key(w, "secret2", &other);
    feed_price(w, "m", "openai", 1000);
    feed_provider(w, "openai");
    admission_applied(&w->a);
    assert_int_equal(ask_new(w, 0, 0), ST_UNAUTHENTICATED);
    feed_budget(w, "secret", "key_1", ONE, 0, 0); /* and back, as after a restore */
    assert_int_equal(ask_new(w, 0, 0), ST_NO_FUNDS);
    feed_spent(w, "req_1", "secret", 0, 0);
    assert_int_equal(ask_new(w, 0, 0), ST_OK);
    assert_int_equal(ask_new(w, 0, 0), ST_NO_FUNDS);
}

/* ---- holds --------------------------------------------------------------------------------------------------------
 */

static void a_hold_goes_in_the_step_in_which_the_balance_comes(void **state)
{
    struct world *w = *state;
    const int64_t one = 1000 * 10000;

    feed_user(w, "usr_1", 2 * one);
    assert_int_equal(ask_new(w, 0, 0), ST_OK);
    assert_int_equal(ask_new(w, 0, 0), ST_OK);
    assert_int_equal(figures(w).held_nano, 2 * one);
    assert_int_equal(ask_new(w, 0, 0), ST_NO_FUNDS);
    feed_settled(w, "req_1", "usr_1", one, 1000); /* it cost all of its hold: nothing is left */
    assert_int_equal(figures(w).held_nano, one);
    assert_int_equal(ask_new(w, 0, 0), ST_NO_FUNDS);
    feed_settled(w, "req_2", "usr_1", one, 0); /* it cost nothing */
    assert_int_equal(ask_new(w, 0, 0), ST_OK);
    feed_settled(w, "never-held", "usr_1", 5 * one, 0); /* of another time: only its balance counts */
    assert_int_equal(ask_new(w, 0, 0), ST_OK);
}

static void an_older_balance_does_not_undo_a_newer_one(void **state)
{
    struct world *w = *state;
    uint64_t before = w->revision;

    feed_user(w, "usr_1", 0);
    w->revision = before - 1;
    feed_settled(w, "old", "usr_1", USD, 0);
    assert_int_equal(ask_new(w, 1, 16), ST_NO_FUNDS);
}

static void a_request_id_that_comes_again_gets_the_same_answer(void **state)
{
    struct world *w = *state;
    struct admit_req req = {.prompt_tokens_estimate = 100};
    struct api_key key = a_key("key_2", "usr_1");

    feed_plan(w, 10, 0, 0);
    feed_user(w, "usr_1", 100 * 1000 + 400 * 10000);
    assert_int_equal(ask(w, "same", "secret", req), ST_OK);
    feed_price(w, "m", "openai", 5); /* a new version: the call keeps its own */
    assert_int_equal(ask(w, "same", "secret", req), ST_OK);
    assert_int_equal(w->rep.output_limit, 400);
    assert_int_equal(w->rep.hold_nano, 100 * 1000 + 400 * 10000);
    assert_int_equal(w->rep.routes.items[0].price.items[0].max_output, 1000);
    assert_int_equal(figures(w).holds, 1);
    feed_key(w, "secret2", &key);
    assert_int_equal(ask(w, "same", "secret2", req), ST_CONFLICT);
    feed_settled(w, "same", "usr_1", USD, 10);
    assert_int_equal(ask(w, "same", "secret", req), ST_CONFLICT);
    feed_user(w, "usr_1", 0);
    assert_int_equal(ask(w, "denied", "secret", req), ST_NO_FUNDS);
    feed_user(w, "usr_1", USD);
    assert_int_equal(ask(w, "denied", "secret", req), ST_NO_FUNDS);
    assert_int_equal(ask(w, "fresh", "secret", req), ST_OK);
}

static void the_memory_of_ids_is_bounded(void **state)
{
    struct world *w = *state;
    unsigned i;

    feed_user(w, "usr_1", 0);
    for (i = 0; i < HOLDS_MEMORY + 100; i++)
        assert_int_equal(ask_new(w, 1, 0), ST_NO_FUNDS);
    assert_int_equal(w->a.holds.ended.n, HOLDS_MEMORY);
}

static void count_lapsed(void *ctx, const struct hold *hold, uint64_t now_ms)
{
    assert_true(hold->expires_ms <= now_ms);
    assert_true(hold->amount_nano > 0 && hold->node.key.n > 0 && hold->user_id.n > 0);
    ++*(unsigned *)ctx;
}

static void holds_that_nobody_settles_expire(void **state)
{
    struct world *w = *state;
    unsigned i, lapsed = 0;

    w->a.ears.lapsed = count_lapsed;
    w->a.ears.ctx = &lapsed;
    feed_plan(w, 0, 0, 100);
    for (i = 0; i < 100; i++)
        assert_int_equal(ask_new(w, 1, 1), ST_OK);
    assert_int_equal(ask_new(w, 1, 1), ST_RATE_CONCURRENT);
    w->now += DEADLINE + GRACE - 1;
    assert_int_equal(admission_expire(&w->a, w->now, 100000), 0);
    assert_int_equal(figures(w).oldest_ms, DEADLINE + GRACE - 1);
    w->now += 1;
    for (i = 0; i < 1000 && figures(w).holds; i++) /* a few slots at a time */
        admission_expire(&w->a, w->now, 16);
    assert_int_equal(lapsed, 100);
    assert_int_equal(figures(w).holds, 0);
    assert_int_equal(figures(w).held_nano, 0);
    assert_int_equal(ask_new(w, 1, 1), ST_OK);
}

/* ---- races --------------------------------------------------------------------------------------------------------
 */

#define RACERS 8
#define TRIES 200

struct racer {
    struct world *w;
    pthread_barrier_t *start;
    unsigned number, admitted, refused;
    enum status expected;
};

static void *race(void *ctx)
{
    struct racer *r = ctx;
    unsigned char digest[LIMIT_DIGEST];
    struct arena arena;
    unsigned i;

    digest_of("secret", digest);
    arena_init(&arena, 1 << 20);
    pthread_barrier_wait(r->start);
    for (i = 0; i < TRIES; i++) {
        char id[32];
        struct rate_limits limits = {.has = 0};
        struct admission_env env = {.now_ms = r->w->now, .wall_s = WALL, .arena = &arena, .limits = &limits};
        struct admit_req req = {.key_digest = {(const char *)digest, sizeof(digest)},
                                .model = slice_of("m"),
                                .endpoint = slice_of("chat.completions"),
                                .max_output_tokens = 100,
                                .deadline_ms = DEADLINE};
        struct admit_rep rep = {.has = 0};
        enum status st;

        snprintf(id, sizeof(id), "race_%u_%u", r->number, i);
        req.request_id = slice_of(id);
        arena_reset(&arena);
        st = admission_admit(&r->w->a, &env, &req, &rep, NULL);
        r->admitted += st == ST_OK;
        r->refused += st == r->expected;
    }
    arena_fini(&arena);
    return NULL;
}

/* How many of RACERS * TRIES were admitted; all others must have got `expected`. */
static unsigned run_race(struct world *w, enum status expected)
{
    struct racer racers[RACERS];
    pthread_t threads[RACERS];
    pthread_barrier_t start;
    unsigned i, admitted = 0, refused = 0;

    pthread_barrier_init(&start, NULL, RACERS);
    for (i = 0; i < RACERS; i++) {
        racers[i] = (struct racer){.w = w, .start = &start, .number = i, .expected = expected};
        assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    }
    for (i = 0; i < RACERS; i++) {
        pthread_join(threads[i], NULL);
        admitted += racers[i].admitted;
        refused += racers[i].refused;
    }
    pthread_barrier_destroy(&start);
    assert_int_equal(admitted + refused, RACERS * TRIES);
    return admitted;
}

static void eight_threads_do_not_overspend_the_last_credit(void **state)
{
    struct world *w = *state;

    feed_user(w, "usr_1", INT64_C(100) * 100 * 10000 + 15 * 10000); /* a hundred calls and too little for another */
    assert_int_equal(run_race(w, ST_NO_FUNDS), 100);
    assert_int_equal(figures(w).held_nano, INT64_C(100) * 100 * 10000);
}

static void eight_threads_do_not_overspend_the_last_of_a_budget(void **state)
{
    struct world *w = *state;
    const int64_t call = 100 * 10000;

    feed_user(w, "usr_1", 1000 * USD);
    feed_budget(w, "secret", "key_1", 150 * call + 15 * 10000, 50 * call, WALL + 1000);
    assert_int_equal(run_race(w, ST_NO_FUNDS), 100);
    assert_int_equal(figures(w).held_nano, 100 * call);
}

/* Settlements come while eight threads ask: spent and held together never exceed the budget. */
struct settler {
    struct world *w;
    int64_t spent;
    unsigned settled;
};

static void *settle_all(void *ctx)
{
    struct settler *s = ctx;
    unsigned i, n;
    char id[32];

    for (i = 0; i < TRIES; i++)
        for (n = 0; n < RACERS; n++) {
            bool open;

            snprintf(id, sizeof(id), "race_%u_%u", n, i);
            pthread_mutex_lock(&s->w->a.lock);
            open = holds_find(&s->w->a.holds, slice_of(id)) != NULL;
            pthread_mutex_unlock(&s->w->a.lock);
            if (!open)
                continue;
            s->spent += 60 * 10000; /* of a hold of 100 */
            s->settled++;
            feed_spent(s->w, id, "secret", s->spent, WALL + 1000);
        }
    return NULL;
}

static void a_budget_holds_while_calls_end(void **state)
{
    struct world *w = *state;
    struct settler settler = {.w = w};
    const int64_t call = 100 * 10000, budget = 150 * call;
    unsigned admitted;
    pthread_t thread;

    feed_user(w, "usr_1", 1000 * USD);
    feed_budget(w, "secret", "key_1", budget, 0, WALL + 1000);
    assert_int_equal(pthread_create(&thread, NULL, settle_all, &settler), 0);
    admitted = run_race(w, ST_NO_FUNDS);
    pthread_join(thread, NULL);
    /* the last of a budget may have been given to a shortened call */
    assert_true(figures(w).held_nano <= (int64_t)(admitted - settler.settled) * call);
    assert_true(settler.spent + figures(w).held_nano <= budget);
    settle_all(&settler);
    assert_int_equal(figures(w).held_nano, 0);
    assert_true(settler.spent <= budget && settler.settled == admitted);
}

static void eight_threads_do_not_exceed_a_minute(void **state)
{
    struct world *w = *state;

    feed_user(w, "usr_1", 100 * USD);
    feed_plan(w, 77, 0, 0);
    assert_int_equal(run_race(w, ST_RATE_REQUESTS), 77);
}

static void eight_threads_do_not_exceed_the_tokens_of_a_minute(void **state)
{
    struct world *w = *state;

    feed_user(w, "usr_1", 100 * USD);
    feed_plan(w, 0, 7799, 0);
    assert_int_equal(run_race(w, ST_RATE_TOKENS), 77);
}

static void eight_threads_do_not_exceed_the_calls_at_once(void **state)
{
    struct world *w = *state;

    feed_user(w, "usr_1", 100 * USD);
    feed_plan(w, 0, 0, 13);
    assert_int_equal(run_race(w, ST_RATE_CONCURRENT), 13);
}

#define MEASURED 20000u

/* Not a test of speed (machines differ): it prints what a decision costs, and fails when that is absurd. */
static void a_decision_is_cheap(void **state)
{
    struct world *w = *state;
    uint64_t began, ns;
    unsigned i;

    feed_user(w, "usr_1", 1000000 * USD);
    feed_plan(w, 1000000000, 1000000000, 1000000);
    began = clock_thread_ns();
    for (i = 0; i < MEASURED; i++)
        assert_int_equal(ask_new(w, 10, 10), ST_OK);
    ns = (clock_thread_ns() - began) / MEASURED;
    print_message("admit: %llu ns each with %u holds open\n", (unsigned long long)ns, MEASURED);
    assert_true(ns < 500000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(what_the_credit_does_not_bear_is_shortened),
        T(a_dearer_tier_is_held_for),
        T(what_bears_no_limit_is_not_shortened),
        T(context_is_held_for_as_if_it_filled_the_window),
        T(who_lacks_credit_for_context_hears_which_field_it_is),
        T(several_answers_share_what_there_is),
        T(a_model_without_a_known_maximum_is_held_for_only),
        T(costs_beyond_all_bounds_are_refused),
        T(free_models_need_no_credit),
        T(the_hold_bears_the_dearest_class_that_the_tokens_may_be),
        T(the_answer_is_shortened_by_the_dearest_class),
        T(a_budget_bounds_a_key_as_credit_does),
        T(credit_is_named_when_it_is_credit_that_is_missing),
        T(what_runs_counts_when_a_budget_comes_and_stays_when_it_changes),
        T(a_period_ends_by_the_wall_clock),
        T(a_hold_that_expires_gives_the_budget_back),
        T(a_key_that_is_gone_keeps_its_holds_until_they_end),
        T(a_hold_goes_in_the_step_in_which_the_balance_comes),
        T(an_older_balance_does_not_undo_a_newer_one),
        T(a_request_id_that_comes_again_gets_the_same_answer),
        T(the_memory_of_ids_is_bounded),
        T(holds_that_nobody_settles_expire),
        T(eight_threads_do_not_overspend_the_last_credit),
        T(eight_threads_do_not_overspend_the_last_of_a_budget),
        T(a_budget_holds_while_calls_end),
        T(eight_threads_do_not_exceed_a_minute),
        T(eight_threads_do_not_exceed_the_tokens_of_a_minute),
        T(eight_threads_do_not_exceed_the_calls_at_once),
        T(a_decision_is_cheap),
    };

    return cmocka_run_group_tests(tests, prepare, NULL);
}
