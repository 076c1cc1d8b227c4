/* Admission of batches: all their lines are held for, at a part of the prices, or they are refused whole. */
#include "tests/unit/admission_fixture.h"

#include "proto/endpoints.h"

#define WORTH(...) ((struct batch_worth){.model = S("m"), .requests = 2, __VA_ARGS__})
#define S(text)                                                                                                        \
    {                                                                                                                  \
        text, sizeof(text) - 1                                                                                         \
    }

static enum status ask_batch(struct world *w, const char *id, const char *model, const struct batch_worth *worth)
{
    return ask(w, id, "secret",
               (struct admit_req){.endpoint = slice_of(ENDPOINT_BATCHES),
                                  .model = slice_of(model),
                                  .provider = slice_of("openai"),
                                  .prompt_tokens_estimate = worth->prompt_tokens,
                                  .batch = {worth, 1}});
}

static void all_lines_are_held_for_at_half_the_price(void **state)
{
    struct batch_worth worth = WORTH(.prompt_tokens = 1001, .output_tokens = 300, .unlimited = 2);
    struct world *w = *state;

    assert_int_equal(ask_batch(w, "r1", "m", &worth), ST_OK);
    assert_int_equal(w->rep.batch_output, 300 + 2 * 1000);
    assert_int_equal(w->rep.price_percent, 50);
    assert_int_equal(w->rep.hold_nano, (1001 * 1000 + 2300 * 10000) / 2);
    assert_int_equal(w->rep.output_limit, 0);
    assert_false(w->rep.credit_limited);
    assert_int_equal(ask_batch(w, "r1", "m", &worth), ST_OK); /* asked twice it is the same one */
    assert_int_equal(w->rep.batch_output, 2300);
    assert_int_equal(w->rep.price_percent, 50);
    assert_int_equal(figures(w).holds, 1);
    assert_int_equal(ask_new(w, 10, 10), ST_OK);
    assert_int_equal(w->rep.price_percent, 0);
    assert_int_equal(w->rep.batch_output, 0);
}

/* A line that goes on from what upstream keeps is as long as the model's window. */
static void lines_with_context_are_held_for_as_long_ones(void **state)
{
    struct batch_worth worth = WORTH(.prompt_tokens = 100, .output_tokens = 10, .contexts = 3);
    const uint64_t input = 100 + 3 * ADMISSION_INPUT_UNKNOWN;
    struct world *w = *state;

    assert_int_equal(ask_batch(w, "r1", "m", &worth), ST_OK);
    assert_int_equal(w->rep.prompt_tokens_held, input);
    assert_int_equal(w->rep.hold_nano, (int64_t)(input * 1000 + 10 * 10000) / 2);
    worth.contexts = LIMIT_COUNT;
    assert_int_equal(ask_batch(w, "r2", "m", &worth), ST_NO_FUNDS);
}

static void the_part_is_a_setting(void **state)
{
    struct batch_worth worth = WORTH(.prompt_tokens = 3);
    struct world *w = *state;

    w->a.batch_percent = 33;
    assert_int_equal(ask_batch(w, "r1", "m", &worth), ST_OK);
    assert_int_equal(w->rep.hold_nano, 990);
    w->a.batch_percent = 100;
    assert_int_equal(ask_batch(w, "r2", "m", &worth), ST_OK);
    assert_int_equal(w->rep.hold_nano, 3000);
}

/* Its lines are in a file upstream: nothing of it can be shortened. */
static void what_the_credit_does_not_bear_is_refused(void **state)
{
    struct batch_worth worth = WORTH(.output_tokens = 2000);
    struct world *w = *state;

    feed_user(w, "usr_1", 1000 * 10000 - 1);
    assert_int_equal(ask_batch(w, "r1", "m", &worth), ST_NO_FUNDS);
    feed_user(w, "usr_1", 1000 * 10000);
    assert_int_equal(ask_batch(w, "r2", "m", &worth), ST_OK);
    worth.output_tokens = 0;
    worth.unlimited = LIMIT_TOKENS / 1000 + 1;
    assert_int_equal(ask_batch(w, "r3", "m", &worth), ST_BAD_REQUEST);
    assert_non_null(strstr(w->err.text, "give its lines an output limit"));
}

/* Its tokens are used when the provider has time, and how long its prompts are is not known. */
static void neither_minutes_nor_tiers_count(void **state)
{
    struct batch_worth worth = WORTH(.prompt_tokens = 5000, .output_tokens = 100);
    struct price tiered = {.id = 77,
                           .model = S("m"),
                           .provider = S("openai"),
                           .input_pico = 1000000,
                           .output_pico = 10000000,
                           .tier_above_tokens = 4000,
                           .tier_input_pico = 9000000,
                           .tier_output_pico = 90000000,
                           .created = WALL};
    struct world *w = *state;

    feed_plan(w, 0, 200, 0);
    feed(w, &price_desc, &tiered);
    assert_int_equal(ask_batch(w, "r1", "m", &worth), ST_OK);
    assert_int_equal(w->rep.hold_nano, (5000 * 1000 + 100 * 10000) / 2);
    assert_int_equal(ask_new(w, 100, 50), ST_OK); /* the minute is untouched */
}

/* A name that we would translate means nothing, or something else, upstream. */
static void the_lines_name_the_model_as_the_provider_does(void **state)
{
    struct batch_worth worth = WORTH(.prompt_tokens = 10);
    struct catalog_route route = {.provider = S("openai"), .model = S("m")};
    struct catalog_model model = {.name = S("team"), .routes = {&route, 1}};
    struct world *w = *state;

    feed(w, &catalog_model_desc, &model);
    assert_int_equal(ask_batch(w, "r1", "team", &worth), ST_BAD_REQUEST);
    assert_non_null(strstr(w->err.text, "`team` is not what it calls that model"));
    assert_string_equal(w->err.param, "input_file_id");
    assert_int_equal(ask_batch(w, "r2", "openai/m", &worth), ST_BAD_REQUEST);
    assert_int_equal(ask_batch(w, "r3", "m", &worth), ST_OK);
    assert_int_equal(ask_batch(w, "r4", "nothing", &worth), ST_NOT_FOUND);
}

static void lines_that_cost_nothing_need_no_price(void **state)
{
    struct batch_worth worth = WORTH(.prompt_tokens = 0);
    struct world *w = *state;

    assert_int_equal(ask_batch(w, "r1", "omni-moderation-latest", &worth), ST_OK);
    assert_int_equal(w->rep.hold_nano, 0);
    assert_int_equal(w->rep.price_percent, 0);
}

/* Whoever asks for one without saying of which file gets none for nothing. */
static void without_a_file_there_is_none(void **state)
{
    struct admit_req req = {.request_id = S("r1"), .endpoint = S(ENDPOINT_BATCHES), .deadline_ms = DEADLINE};
    struct world *w = *state;
    struct admission_env env = {.now_ms = w->now, .wall_s = WALL, .arena = &w->arena, .limits = &w->limits};
    unsigned char digest[LIMIT_DIGEST];

    digest_of("secret", digest);
    req.key_digest = (struct slice){(const char *)digest, sizeof(digest)};
    assert_int_equal(admission_admit(&w->a, &env, &req, &w->rep, &w->err), ST_BAD_REQUEST);
    assert_string_equal(w->err.param, "model");
}

/* The ledger holds its credit longer than the call's deadline. */
static void a_parked_call_stays_held_until_it_is_settled(void **state)
{
    struct batch_worth worth = WORTH(.output_tokens = 100);
    struct hold_state parked = {.request_id = S("r1"),
                                .user_id = S("usr_1"),
                                .key_id = S("key_1"),
                                .amount_nano = 100 * 10000 / 2,
                                .lease_ms = LIMIT_MS};
    struct world *w = *state;

    assert_int_equal(ask_batch(w, "r1", "m", &worth), ST_OK);
    admission_done(&w->a, slice_of("r1"));
    feed(w, &hold_state_desc, &parked);
    w->now += DEADLINE + GRACE + 1;
    assert_int_equal(admission_expire(&w->a, w->now, 1u << 20), 0);
    assert_int_equal(admission_held(&w->a, slice_of("usr_1")), 100 * 10000 / 2);
    feed_settled(w, "r1", "usr_1", USD - 5, 50);
    assert_int_equal(admission_held(&w->a, slice_of("usr_1")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(all_lines_are_held_for_at_half_the_price),
        T(lines_with_context_are_held_for_as_long_ones),
        T(the_part_is_a_setting),
        T(what_the_credit_does_not_bear_is_refused),
        T(neither_minutes_nor_tiers_count),
        T(the_lines_name_the_model_as_the_provider_does),
        T(lines_that_cost_nothing_need_no_price),
        T(without_a_file_there_is_none),
        T(a_parked_call_stays_held_until_it_is_settled),
    };

    return cmocka_run_group_tests(tests, prepare, NULL);
}
