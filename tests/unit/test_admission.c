/* Admission: who may call what, how often; and the state it decides from. */
#include "tests/unit/admission_fixture.h"

/* ---- who and what -------------------------------------------------------------------------------------------------
 */

static void a_call_is_admitted_with_the_highest_cost_it_can_have(void **state)
{
    struct world *w = *state;

    assert_int_equal(ask_new(w, 100, 50), ST_OK);
    assert_true(slice_is(w->rep.user_id, "usr_1"));
    assert_true(slice_is(w->rep.key_id, "key_1"));
    assert_true(slice_is(w->rep.routes.items[0].provider, "openai"));
    assert_true(slice_is(w->rep.routes.items[0].upstream_model, "m"));
    assert_int_equal(w->rep.hold_nano, 100 * 1000 + 50 * 10000);
    assert_int_equal(w->rep.output_limit, 0);
    assert_int_equal(w->rep.routes.items[0].price.n, 1);
    assert_int_equal(w->rep.routes.items[0].price.items[0].output_pico, 10000000);
    assert_int_equal(w->rep.limits.n, 1);
    assert_int_equal(ask_new(w, 100, 0), ST_OK); /* no limit: the model's maximum */
    assert_int_equal(w->rep.hold_nano, 100 * 1000 + 1000 * 10000);
    assert_int_equal(w->rep.output_limit, 0);
    assert_int_equal(ask_new(w, 0, 5000), ST_OK); /* a limit beyond it: no longer than the model can */
    assert_int_equal(w->rep.hold_nano, 1000 * 10000);
    assert_int_equal(ask(w, "req_n", "secret", (struct admit_req){.max_output_tokens = 50, .choices = 3}), ST_OK);
    assert_int_equal(w->rep.hold_nano, 3 * 50 * 10000);
    assert_int_equal(figures(w).holds, 4);
}

static void keys_and_users_that_may_not_are_refused(void **state)
{
    struct world *w = *state;
    struct api_key key = a_key("key_1", "usr_1");
    struct user u = a_user("usr_1", USD);
    struct admit_req req = {.prompt_tokens_estimate = 1};

    assert_int_equal(ask(w, "r1", "other", req), ST_UNAUTHENTICATED);
    key.expires_at = WALL;
    feed_key(w, "secret", &key);
    assert_int_equal(ask(w, "r2", "secret", req), ST_UNAUTHENTICATED);
    key.expires_at = WALL + 1;
    feed_key(w, "secret", &key);
    assert_int_equal(ask(w, "r3", "secret", req), ST_OK);
    key.status = slice_of("revoked");
    feed_key(w, "secret", &key);
    assert_int_equal(ask(w, "r4", "secret", req), ST_UNAUTHENTICATED);
    key.status = slice_of("active");
    feed_key(w, "secret", &key);
    u.status = slice_of("disabled");
    feed(w, &user_desc, &u);
    assert_int_equal(ask(w, "r5", "secret", req), ST_UNAUTHENTICATED);
    assert_string_equal(w->err.code, "account_deactivated");
    u.status = slice_of("active");
    u.plan = slice_of("nowhere");
    feed(w, &user_desc, &u);
    assert_int_equal(ask(w, "r6", "secret", req), ST_FORBIDDEN);
}

static void a_short_digest_is_nobodys(void **state)
{
    struct world *w = *state;
    struct admission_env env = {.now_ms = w->now, .wall_s = WALL, .arena = &w->arena, .limits = &w->limits};
    struct admit_req req = {.request_id = slice_of("r"), .key_digest = slice_of("abc"), .model = slice_of("m")};

    assert_int_equal(admission_admit(&w->a, &env, &req, &w->rep, &w->err), ST_UNAUTHENTICATED);
}

static enum status ask_model(struct world *w, const char *model)
{
    char id[32];

    snprintf(id, sizeof(id), "model_%u", ++w->ids);
    return ask(w, id, "secret", (struct admit_req){.model = slice_of(model), .max_output_tokens = 16});
}

static void a_name_leads_to_a_provider_and_a_price(void **state)
{
    struct world *w = *state;

    feed_price(w, "served-by-nobody", "absent", 10);
    feed_price(w, "org/weights", "openai", 10);
    assert_int_equal(ask_model(w, "unknown"), ST_NOT_FOUND);
    assert_string_equal(w->err.code, "model_not_found");
    assert_non_null(strstr(w->err.text, "The model `unknown` does not exist or you do not have access to it."));
    assert_non_null(strstr(w->err.text, "`routerctl price set unknown INPUT OUTPUT` or POST /api/admin/prices"));
    assert_int_equal(ask_model(w, "served-by-nobody"), ST_NOT_FOUND);
    assert_int_equal(ask_model(w, "openai/m"), ST_OK);
    assert_true(slice_is(w->rep.routes.items[0].upstream_model, "m"));
    assert_true(slice_is(w->rep.routes.items[0].provider, "openai"));
    assert_int_equal(ask_model(w, "absent/m"), ST_NOT_FOUND);
    assert_int_equal(ask_model(w, "openai/unknown"), ST_NOT_FOUND);
    assert_int_equal(ask_model(w, "openai/"), ST_NOT_FOUND);
    assert_int_equal(ask_model(w, "/m"), ST_NOT_FOUND);
    assert_int_equal(ask_model(w, "org/weights"), ST_OK); /* a slash alone names no provider */
    assert_true(slice_is(w->rep.routes.items[0].upstream_model, "org/weights"));
    feed_provider(w, "spare");
    assert_int_equal(ask_model(w, "spare/m"), ST_NOT_FOUND); /* openai's price is not spare's */
}

static void unpriced_models_are_free_only_when_the_operator_says_so(void **state)
{
    struct world *w = *state;

    w->a.unpriced_free = true;
    feed_user(w, "usr_1", 0);
    assert_int_equal(ask_model(w, "openai/new"), ST_OK);
    assert_int_equal(w->rep.hold_nano, 0);
    assert_int_equal(w->rep.routes.items[0].price.n, 0);
    assert_int_equal(w->rep.output_limit, 0);
    assert_true(slice_is(w->rep.routes.items[0].upstream_model, "new"));
    assert_int_equal(ask_model(w, "gpt-new"), ST_OK);
    assert_true(slice_is(w->rep.routes.items[0].provider, "openai"));
    assert_int_equal(ask_model(w, "m"), ST_NO_FUNDS);
}

static void lists_of_models_hold_for_key_and_plan(void **state)
{
    struct world *w = *state;
    struct slice of_key[] = {{"gpt-*", 5}, {"exact", 5}}, of_plan[] = {{"gpt-4*", 6}, {"m", 1}};
    struct api_key key = a_key("key_1", "usr_1");
    struct plan plan = {.name = slice_of("free"), .models = {of_plan, 2}};

    feed_price(w, "gpt-4", "openai", 10);
    feed_price(w, "gpt-3", "openai", 10);
    feed_price(w, "exact", "openai", 10);
    key.models = (struct wire_strs){of_key, 2};
    feed_key(w, "secret", &key);
    assert_int_equal(ask_model(w, "gpt-4"), ST_OK);
    assert_int_equal(ask_model(w, "openai/gpt-4"), ST_OK);
    assert_int_equal(ask_model(w, "exact"), ST_OK);
    assert_int_equal(ask_model(w, "m"), ST_FORBIDDEN);
    assert_string_equal(w->err.code, "model_not_allowed");
    feed(w, &plan_desc, &plan);
    assert_int_equal(ask_model(w, "gpt-4"), ST_OK);
    assert_int_equal(ask_model(w, "gpt-3"), ST_FORBIDDEN);
    assert_int_equal(ask_model(w, "exact"), ST_FORBIDDEN);
}

static void a_key_is_good_or_not(void **state)
{
    struct world *w = *state;
    unsigned char digest[LIMIT_DIGEST];
    struct models_req req = {.key_digest = {(const char *)digest, sizeof(digest)}, .key_only = true};
    struct admission_env env = {.wall_s = WALL, .arena = &w->arena};
    struct models_rep rep = {.has = 0};

    digest_of("secret", digest);
    assert_int_equal(admission_models(&w->a, &env, &req, &rep, NULL), ST_OK);
    assert_int_equal(rep.data.n, 0);
    digest_of("made up", digest);
    assert_int_equal(admission_models(&w->a, &env, &req, &rep, NULL), ST_UNAUTHENTICATED);
}

static void models_are_listed_as_far_as_the_key_may_use_them(void **state)
{
    struct world *w = *state;
    unsigned char digest[LIMIT_DIGEST];
    struct models_req req = {.key_digest = {(const char *)digest, sizeof(digest)}};
    struct admission_env env = {.wall_s = WALL, .arena = &w->arena};
    struct models_rep rep = {.has = 0};

    digest_of("secret", digest);
    feed_price(w, "zz", "openai", 1);
    feed_price(w, "aa", "openai", 1);
    feed_price(w, "hidden", "absent", 1);
    assert_int_equal(admission_models(&w->a, &env, &req, &rep, NULL), ST_OK);
    assert_int_equal(rep.data.n, 3);
    assert_true(slice_is(rep.data.items[0].id, "aa"));
    assert_true(slice_is(rep.data.items[1].id, "m"));
    assert_true(slice_is(rep.data.items[2].id, "zz"));
    assert_true(slice_is(rep.data.items[0].owned_by, "openai"));
    assert_int_equal(rep.data.items[0].created, WALL);
    req.model = slice_of("hidden");
    assert_int_equal(admission_models(&w->a, &env, &req, &rep, NULL), ST_NOT_FOUND);
    req.model = slice_of("zz");
    assert_int_equal(admission_models(&w->a, &env, &req, &rep, NULL), ST_OK);
    assert_int_equal(rep.data.n, 1);
    digest[0] ^= 1;
    assert_int_equal(admission_models(&w->a, &env, &req, &rep, NULL), ST_UNAUTHENTICATED);
}

/* ---- rates --------------------------------------------------------------------------------------------------------
 */

static void requests_per_minute_are_exact(void **state)
{
    struct world *w = *state;
    unsigned i;

    feed_plan(w, 30, 0, 0);
    for (i = 0; i < 30; i++) {
        assert_int_equal(ask_new(w, 1, 1), ST_OK);
        assert_int_equal(w->rep.limits.items[0].remaining_requests, 29 - i);
        assert_int_equal(w->rep.limits.items[0].limit_requests, 30);
    }
    assert_int_equal(ask_new(w, 1, 1), ST_RATE_REQUESTS);
    assert_int_equal(w->err.retry_after_ms, 2000);
    assert_int_equal(w->limits.remaining_requests, 0);
    assert_int_equal(w->limits.reset_requests_ms, 60000);
    assert_true(w->limits.has != 0);
    assert_non_null(strstr(w->err.text, "Limit 30, Used 30, Requested 1. Please try again in 2.000s."));
    w->now += 1999;
    assert_int_equal(ask_new(w, 1, 1), ST_RATE_REQUESTS);
    w->now += 1;
    assert_int_equal(ask_new(w, 1, 1), ST_OK);
    assert_int_equal(ask_new(w, 1, 1), ST_RATE_REQUESTS);
}

static void the_stricter_of_key_and_plan_holds(void **state)
{
    struct world *w = *state;
    struct api_key key = a_key("key_1", "usr_1");

    key.rpm = 2;
    feed_key(w, "secret", &key);
    feed_plan(w, 100, 0, 0);
    assert_int_equal(ask_new(w, 1, 1), ST_OK);
    assert_int_equal(ask_new(w, 1, 1), ST_OK);
    assert_int_equal(ask_new(w, 1, 1), ST_RATE_REQUESTS);
    feed_key(w, "secret", &key); /* a change of the key gives no new minute */
    assert_int_equal(ask_new(w, 1, 1), ST_RATE_REQUESTS);
    feed_plan(w, 1, 0, 0);
    w->now += 60000;
    assert_int_equal(ask_new(w, 1, 1), ST_OK);
    assert_int_equal(ask_new(w, 1, 1), ST_RATE_REQUESTS);
}

static void tokens_per_minute_are_reserved_and_corrected(void **state)
{
    struct world *w = *state;

    feed_plan(w, 0, 1000, 0);
    assert_int_equal(ask_new(w, 100, 500), ST_OK); /* req_1 */
    assert_int_equal(w->rep.limits.items[0].remaining_tokens, 400);
    assert_int_equal(ask_new(w, 100, 301), ST_RATE_TOKENS);
    assert_int_equal(w->err.retry_after_ms, 60);
    assert_non_null(strstr(w->err.text, "Limit 1000, Used 600, Requested 401"));
    feed_settled(w, "req_1", "usr_1", USD, 150);
    assert_int_equal(ask_new(w, 100, 750), ST_OK); /* req_3: all of the 850 that are left */
    assert_int_equal(w->rep.limits.items[0].remaining_tokens, 0);
    feed_settled(w, "req_3", "usr_1", USD, 1350); /* 500 more than reserved: a debt */
    assert_int_equal(ask_new(w, 1, 1), ST_RATE_TOKENS);
    assert_int_equal(w->err.retry_after_ms, 502 * 60);
}

static void a_request_larger_than_the_limit_is_told_so(void **state)
{
    struct world *w = *state;

    feed_plan(w, 10, 1000, 0);
    assert_int_equal(ask_new(w, 600, 500), ST_RATE_TOKENS);
    assert_int_equal(w->err.retry_after_ms, 0);
    assert_int_equal(strncmp(w->err.text, "Request too large for `m`", 25), 0);
    assert_int_equal(w->limits.remaining_requests, 10); /* a refusal takes nothing */
    assert_int_equal(w->limits.remaining_tokens, 1000);
}

static void an_answer_without_a_limit_reserves_a_usual_length(void **state)
{
    struct world *w = *state;

    feed_price(w, "long", "openai", 128000);
    feed_plan(w, 0, 100000, 0);
    feed_user(w, "usr_1", 10 * USD);
    assert_int_equal(
        ask(w, "r1", "secret", (struct admit_req){.model = slice_of("long"), .prompt_tokens_estimate = 10}), ST_OK);
    assert_int_equal(w->rep.limits.items[0].remaining_tokens, 100000 - 10 - ADMISSION_TPM_OUTPUT);
    assert_int_equal(w->rep.hold_nano, 10 * 1000 + INT64_C(128000) * 10000); /* credit: the whole */
}

static void calls_at_once_are_counted_and_freed_once(void **state)
{
    struct world *w = *state;

    feed_plan(w, 0, 0, 2);
    assert_int_equal(ask_new(w, 1, 1), ST_OK);
    assert_int_equal(ask_new(w, 1, 1), ST_OK);
    assert_int_equal(ask_new(w, 1, 1), ST_RATE_CONCURRENT);
    admission_done(&w->a, slice_of("req_1"));
    admission_done(&w->a, slice_of("req_1"));
    admission_done(&w->a, slice_of("unknown"));
    assert_int_equal(ask_new(w, 1, 1), ST_OK);
    assert_int_equal(ask_new(w, 1, 1), ST_RATE_CONCURRENT);
    feed_settled(w, "req_1", "usr_1", USD, 2); /* its place was free already */
    assert_int_equal(ask_new(w, 1, 1), ST_RATE_CONCURRENT);
    feed_settled(w, "req_2", "usr_1", USD, 2); /* settled is over, also when nobody said done */
    assert_int_equal(ask_new(w, 1, 1), ST_OK);
    assert_int_equal(ask_new(w, 1, 1), ST_RATE_CONCURRENT);
}

/* ---- snapshots ----------------------------------------------------------------------------------------------------
 */

static void a_snapshot_keeps_holds_and_minutes_and_drops_what_it_leaves_out(void **state)
{
    struct world *w = *state;
    struct api_key other = a_key("key_2", "usr_2");
    const int64_t one = 1000 * 10000;

    feed_plan(w, 3, 0, 0);
    feed_user(w, "usr_1", 2 * one);
    feed_user(w, "usr_2", USD);
    feed_key(w, "secret2", &other);
    assert_int_equal(ask_new(w, 0, 0), ST_OK);
    assert_int_equal(ask(w, "of2", "secret2", (struct admit_req){.max_output_tokens = 1}), ST_OK);
    admission_reset(&w->a);
    assert_int_equal(ask(w, "meanwhile", "secret2", (struct admit_req){.max_output_tokens = 1}), ST_OK);
    feed_all(w);
    feed_plan(w, 3, 0, 0);
    feed_user(w, "usr_1", 2 * one);
    admission_applied(&w->a);
    assert_int_equal(ask(w, "of2-late", "secret2", (struct admit_req){.max_output_tokens = 1}), ST_UNAUTHENTICATED);
    assert_int_equal(ask_new(w, 0, 0), ST_OK);
    assert_int_equal(ask_new(w, 0, 0), ST_NO_FUNDS); /* two holds of one are all there is */
    assert_int_equal(ask_new(w, 0, 16), ST_NO_FUNDS);
    feed_settled(w, "req_1", "usr_1", USD, 1);
    assert_int_equal(ask_new(w, 0, 16), ST_OK);
    assert_int_equal(ask_new(w, 0, 16), ST_RATE_REQUESTS); /* the minute went on */
    feed_settled(w, "of2", "usr_2", USD, 1);
    feed_user(w, "usr_2", 5); /* he is back */
    assert_int_equal(figures(w).users, 2);
}

static void nothing_is_admitted_before_the_state_is_there(void **state)
{
    struct world *w = *state;
    struct admission fresh;
    struct admission_env env = {.now_ms = w->now, .wall_s = WALL, .arena = &w->arena};
    struct admit_req req = {.request_id = slice_of("r"), .key_digest = slice_of("abc"), .model = slice_of("m")};

    admission_init(&fresh, false, GRACE);
    assert_int_equal(admission_admit(&fresh, &env, &req, &w->rep, &w->err), ST_UNAVAILABLE);
    assert_true(w->err.retry_after_ms > 0);
    admission_fini(&fresh);
}

static void bad_records_change_nothing(void **state)
{
    struct world *w = *state;
    struct state_change change = {.revision = 99, .kind = user_desc.type, .record = slice_of("\xff\xff")};
    struct key_state no_key = {.digest = slice_of("01234567890123456789012345678901")};

    assert_int_equal(admission_change(&w->a, w->now, &change, &w->scratch, &w->err), ST_BAD_MESSAGE);
    change.kind = 0x7777;
    assert_int_equal(admission_change(&w->a, w->now, &change, &w->scratch, &w->err), ST_OK);
    change.kind = key_state_desc.type;
    {
        struct buf b;

        buf_init(&b, 1024);
        assert_int_equal(wire_encode(&key_state_desc, &no_key, &b, NULL), ST_OK);
        change.record = (struct slice){b.p, b.n};
        assert_int_equal(admission_change(&w->a, w->now, &change, &w->scratch, &w->err), ST_BAD_MESSAGE);
        buf_fini(&b);
    }
    assert_int_equal(ask_new(w, 1, 1), ST_OK);
}

static void limits_of_a_new_key_stay_within_the_plan(void **state)
{
    struct world *w = *state;
    struct key_limits limits = {.rpm = 11};
    struct slice user = slice_of("usr_1");

    feed_plan(w, 10, 1000, 0);
    assert_int_equal(admission_key_limits(&w->a, user, &limits, &w->err), ST_BAD_REQUEST);
    assert_string_equal(w->err.param, "rpm");
    limits.rpm = 10;
    limits.tpm = 1001;
    assert_int_equal(admission_key_limits(&w->a, user, &limits, &w->err), ST_BAD_REQUEST);
    assert_string_equal(w->err.param, "tpm");
    limits.tpm = 1000;
    limits.concurrency = 1000000; /* the plan's is unlimited */
    assert_int_equal(admission_key_limits(&w->a, user, &limits, &w->err), ST_OK);
    user = slice_of("nobody");
    assert_int_equal(admission_key_limits(&w->a, user, &limits, &w->err), ST_FORBIDDEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_call_is_admitted_with_the_highest_cost_it_can_have),
        T(keys_and_users_that_may_not_are_refused),
        T(a_short_digest_is_nobodys),
        T(a_name_leads_to_a_provider_and_a_price),
        T(unpriced_models_are_free_only_when_the_operator_says_so),
        T(lists_of_models_hold_for_key_and_plan),
        T(a_key_is_good_or_not),
        T(models_are_listed_as_far_as_the_key_may_use_them),
        T(requests_per_minute_are_exact),
        T(the_stricter_of_key_and_plan_holds),
        T(tokens_per_minute_are_reserved_and_corrected),
        T(a_request_larger_than_the_limit_is_told_so),
        T(an_answer_without_a_limit_reserves_a_usual_length),
        T(calls_at_once_are_counted_and_freed_once),
        T(a_snapshot_keeps_holds_and_minutes_and_drops_what_it_leaves_out),
        T(nothing_is_admitted_before_the_state_is_there),
        T(bad_records_change_nothing),
        T(limits_of_a_new_key_stay_within_the_plan),
    };

    return cmocka_run_group_tests(tests, prepare, NULL);
}
