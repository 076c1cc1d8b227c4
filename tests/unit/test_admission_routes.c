/* Admission by the catalog: which routes a call gets, at which prices, and what is held for it. */
#include <pthread.h>
#include <stdatomic.h>

#include "proto/endpoints.h"
#include "services/clock.h"
#include "tests/unit/admission_fixture.h"

/* ---- the catalog --------------------------------------------------------------------------------------------------
 */

#define NAMES(...)                                                                                                     \
    {                                                                                                                  \
        (const struct slice[]){__VA_ARGS__}, sizeof((const struct slice[]){__VA_ARGS__}) / sizeof(struct slice)        \
    }
#define ROUTES(...)                                                                                                    \
    {                                                                                                                  \
        (const struct catalog_route[]){__VA_ARGS__},                                                                   \
            sizeof((const struct catalog_route[]){__VA_ARGS__}) / sizeof(struct catalog_route)                         \
    }
#define S(text)                                                                                                        \
    {                                                                                                                  \
        text, sizeof(text) - 1                                                                                         \
    }

static void feed_model(struct world *w, const struct catalog_model *m)
{
    feed(w, &catalog_model_desc, m);
}

static void feed_gone(struct world *w, const char *name)
{
    struct catalog_model m = {.name = slice_of(name)};

    feed_model(w, &m);
}

/* USD per million tokens. */
static void feed_cost(struct world *w, const char *model, const char *provider, unsigned input, unsigned output)
{
    struct price p = {.id = w->revision + 1,
                      .model = slice_of(model),
                      .provider = slice_of(provider),
                      .input_pico = (int64_t)input * 1000000,
                      .output_pico = (int64_t)output * 1000000,
                      .max_output = 1000,
                      .created = WALL};

    feed(w, &price_desc, &p);
}

/* team-chat (chat, default): at openai for 1 and 10 USD, at spare for 2 and 20. */
static void feed_team(struct world *w)
{
    struct catalog_model m = {.name = S("team-chat"),
                              .aliases = NAMES(S("chat"), S("default")),
                              .routes = ROUTES({.provider = S("openai"), .model = S("m"), .tier = 1, .weight = 3},
                                               {.provider = S("spare"), .model = S("large"), .tier = 2, .weight = 1}),
                              .routing = S("weighted"),
                              .created = WALL + 5};

    feed_provider(w, "spare");
    feed_cost(w, "large", "spare", 2, 20);
    feed_model(w, &m);
}

static enum status ask_for(struct world *w, const char *model, struct admit_req req)
{
    char id[32];

    snprintf(id, sizeof(id), "for_%u", ++w->ids);
    req.model = slice_of(model);
    return ask(w, id, "secret", req);
}

static enum status ask_model(struct world *w, const char *model)
{
    return ask_for(w, model, (struct admit_req){.max_output_tokens = 100});
}

/* Everything of a request as it is, also a model that is empty. */
static enum status ask_at(struct world *w, const char *endpoint, struct admit_req req)
{
    unsigned char digest[LIMIT_DIGEST];
    struct admission_env env = {.now_ms = w->now, .wall_s = WALL, .arena = &w->arena, .limits = &w->limits};
    char id[32];

    snprintf(id, sizeof(id), "at_%u", ++w->ids);
    digest_of("secret", digest);
    req.request_id = slice_of(id);
    req.key_digest = (struct slice){(const char *)digest, sizeof(digest)};
    req.endpoint = slice_of(endpoint);
    req.deadline_ms = DEADLINE;
    arena_reset(&w->arena);
    memset(&w->rep, 0, sizeof(w->rep));
    memset(&w->limits, 0, sizeof(w->limits));
    memset(&w->err, 0, sizeof(w->err));
    return admission_admit(&w->a, &env, &req, &w->rep, &w->err);
}

static bool route_is(const struct world *w, size_t i, const char *provider, const char *model)
{
    const struct call_route *r = &w->rep.routes.items[i];

    return i < w->rep.routes.n && slice_is(r->provider, provider) && slice_is(r->upstream_model, model);
}

static int64_t output_usd(const struct world *w, size_t i)
{
    const struct call_route *r = &w->rep.routes.items[i];

    return r->price.n ? r->price.items[0].output_pico / 1000000 : -1;
}

/* ---- names --------------------------------------------------------------------------------------------------------
 */

static void a_model_of_the_catalog_has_its_routes_with_their_prices(void **state)
{
    struct world *w = *state;

    feed_team(w);
    assert_int_equal(ask_for(w, "team-chat", (struct admit_req){.prompt_tokens_estimate = 7, .max_output_tokens = 50}),
                     ST_OK);
    assert_int_equal(w->rep.routes.n, 2);
    assert_true(route_is(w, 0, "openai", "m") && output_usd(w, 0) == 10);
    assert_true(route_is(w, 1, "spare", "large") && output_usd(w, 1) == 20);
    assert_int_equal(w->rep.routes.items[0].tier, 1);
    assert_int_equal(w->rep.routes.items[0].weight, 3);
    assert_int_equal(w->rep.routes.items[1].tier, 2);
    assert_false(w->rep.by_latency);
    assert_int_equal(w->rep.hold_nano, 7 * 2000 + 50 * 20000); /* the dearest */
    assert_int_equal(ask_model(w, "chat"), ST_OK);
    assert_true(route_is(w, 1, "spare", "large"));
    assert_int_equal(ask_model(w, "default"), ST_OK);
    assert_int_equal(w->rep.routes.n, 2);
    assert_int_equal(ask_model(w, "m"), ST_OK); /* any other name as ever */
    assert_int_equal(w->rep.routes.n, 1);
    assert_int_equal(ask_model(w, "spare/large"), ST_OK);
    assert_true(route_is(w, 0, "spare", "large"));
    assert_int_equal(ask_model(w, "spare/team-chat"), ST_NOT_FOUND);
}

static void a_model_of_the_catalog_goes_before_a_price_of_its_name(void **state)
{
    struct world *w = *state;
    struct catalog_model m = {.name = S("m"), .routes = ROUTES({.provider = S("spare"), .model = S("large")})};
    struct catalog_model alias = {
        .name = S("x"), .aliases = NAMES(S("n")), .routes = ROUTES({.provider = S("spare"), .model = S("large")})};

    feed_cost(w, "n", "openai", 1, 10);
    feed_cost(w, "large", "spare", 2, 20);
    feed_provider(w, "spare");
    assert_int_equal(ask_model(w, "n"), ST_OK);
    assert_true(route_is(w, 0, "openai", "n"));
    feed_model(w, &m);
    feed_model(w, &alias);
    assert_int_equal(ask_model(w, "m"), ST_OK);
    assert_true(route_is(w, 0, "spare", "large"));
    assert_int_equal(ask_model(w, "n"), ST_OK);
    assert_true(route_is(w, 0, "spare", "large"));
    assert_int_equal(ask_model(w, "openai/m"), ST_OK); /* outright */
    assert_true(route_is(w, 0, "openai", "m"));
    feed_gone(w, "m");
    feed_gone(w, "x");
    feed_gone(w, "never-there");
    assert_int_equal(ask_model(w, "m"), ST_OK);
    assert_true(route_is(w, 0, "openai", "m"));
    assert_int_equal(ask_model(w, "n"), ST_OK);
    assert_true(route_is(w, 0, "openai", "n"));
}

/* An alias leads to a model and no further, whatever names stand where: there is nothing that could go round. */
static void aliases_lead_to_models_only(void **state)
{
    struct world *w = *state;
    struct catalog_model a = {
        .name = S("a"), .aliases = NAMES(S("b"), S("a")), .routes = ROUTES({.provider = S("openai"), .model = S("b")})};
    struct catalog_model b = {
        .name = S("b"), .aliases = NAMES(S("a"), S("a")), .routes = ROUTES({.provider = S("openai"), .model = S("a")})};

    feed_model(w, &a);
    feed_cost(w, "a", "openai", 1, 11);
    feed_cost(w, "b", "openai", 1, 12);
    assert_int_equal(ask_model(w, "b"), ST_OK);
    assert_true(route_is(w, 0, "openai", "b"));
    feed_model(w, &b); /* names go before aliases, and upstream's names are not ours */
    assert_int_equal(ask_model(w, "b"), ST_OK);
    assert_true(route_is(w, 0, "openai", "a") && output_usd(w, 0) == 11);
    assert_int_equal(ask_model(w, "a"), ST_OK);
    assert_true(route_is(w, 0, "openai", "b") && output_usd(w, 0) == 12);
    feed_gone(w, "a");
    assert_int_equal(ask_model(w, "a"), ST_OK); /* b's alias now */
    assert_true(route_is(w, 0, "openai", "a"));
    feed_gone(w, "b");
    assert_int_equal(ask_model(w, "a"), ST_OK); /* the price */
    assert_true(route_is(w, 0, "openai", "a"));
}

static void an_alias_moves_with_the_newest_record(void **state)
{
    struct world *w = *state;
    struct catalog_model one = {
        .name = S("one"), .aliases = NAMES(S("best")), .routes = ROUTES({.provider = S("openai"), .model = S("m")})};
    struct catalog_model two = {
        .name = S("two"), .aliases = NAMES(S("best")), .routes = ROUTES({.provider = S("openai"), .model = S("n")})};

    feed_cost(w, "n", "openai", 1, 10);
    feed_model(w, &one);
    feed_model(w, &two); /* a repaired gap tells the newest state of each, so this comes before one's */
    assert_int_equal(ask_model(w, "best"), ST_OK);
    assert_true(route_is(w, 0, "openai", "n"));
    one.aliases.n = 0;
    feed_model(w, &one);
    assert_int_equal(ask_model(w, "best"), ST_OK);
    assert_true(route_is(w, 0, "openai", "n"));
    two.aliases.n = 0;
    feed_model(w, &two);
    assert_int_equal(ask_model(w, "best"), ST_NOT_FOUND);
}

static void providers_that_nobody_announces_are_left_out(void **state)
{
    struct world *w = *state;
    struct catalog_model m = {
        .name = S("wide"),
        .routes = ROUTES({.provider = S("far"), .model = S("m")}, {.provider = S("openai"), .model = S("m")},
                         {.provider = S("far"), .model = S("m2")}, {.provider = S("near"), .model = S("m")})};

    feed_model(w, &m);
    assert_int_equal(ask_model(w, "wide"), ST_OK);
    assert_int_equal(w->rep.routes.n, 1);
    assert_true(route_is(w, 0, "openai", "m"));
    feed_provider(w, "near");
    assert_int_equal(ask_model(w, "wide"), ST_OK);
    assert_int_equal(w->rep.routes.n, 2);
    assert_true(route_is(w, 1, "near", "m"));
    assert_int_equal(ask_model(w, "far/m"), ST_NOT_FOUND); /* the catalog names it, nobody announces it */
    assert_non_null(strstr(w->err.text, "(Its provider `far` is not configured here.)"));
    m = (struct catalog_model){.name = S("wide"),
                               .routes = ROUTES({.provider = S("far"), .model = S("m")},
                                                {.provider = S("farther"), .model = S("m")},
                                                {.provider = S("far"), .model = S("n")})};
    feed_model(w, &m);
    assert_int_equal(ask_model(w, "wide"), ST_NOT_FOUND);
    assert_string_equal(w->err.code, "model_not_found");
    assert_non_null(strstr(w->err.text, "(Its provider `far`, `farther` is not configured here.)"));
    feed_gone(w, "wide");
    w->a.unpriced_free = true;
    assert_int_equal(ask_model(w, "far/m"), ST_OK); /* no provider's name any more */
    assert_true(route_is(w, 0, "openai", "far/m"));
    feed_model(w, &m);
    assert_int_equal(ask_model(w, "far/m"), ST_NOT_FOUND);
}

/* ---- prices -------------------------------------------------------------------------------------------------------
 */

static void a_model_with_its_own_price_has_it_on_every_route(void **state)
{
    struct world *w = *state;
    struct catalog_model m = {
        .name = S("own"),
        .routes = ROUTES({.provider = S("openai"), .model = S("m")}, {.provider = S("openai"), .model = S("unpriced")}),
        .own_price = true};

    feed_model(w, &m);
    assert_int_equal(ask_model(w, "own"), ST_NOT_FOUND);
    assert_non_null(strstr(w->err.text, "`routerctl price set own INPUT OUTPUT`"));
    feed_cost(w, "own", "", 3, 5);
    assert_int_equal(ask_model(w, "own"), ST_OK);
    assert_int_equal(w->rep.routes.n, 2);
    assert_true(output_usd(w, 0) == 5 && output_usd(w, 1) == 5);
    assert_true(slice_is(w->rep.routes.items[1].price.items[0].model, "own"));
    assert_int_equal(w->rep.hold_nano, 100 * 5000);
}

static void routes_without_a_price_are_left_out(void **state)
{
    struct world *w = *state;
    struct catalog_model m = {.name = S("mixed"),
                              .routes = ROUTES({.provider = S("openai"), .model = S("secret-weights")},
                                               {.provider = S("openai"), .model = S("m")})};

    feed_model(w, &m);
    assert_int_equal(ask_model(w, "mixed"), ST_OK);
    assert_int_equal(w->rep.routes.n, 1);
    assert_true(route_is(w, 0, "openai", "m"));
    feed_cost(w, "openai/secret-weights", "openai", 1, 30); /* this provider's alone */
    assert_int_equal(ask_model(w, "mixed"), ST_OK);
    assert_int_equal(w->rep.routes.n, 2);
    assert_int_equal(output_usd(w, 0), 30);
    m = (struct catalog_model){.name = S("dark"), .routes = ROUTES({.provider = S("openai"), .model = S("hidden")})};
    feed_model(w, &m);
    assert_int_equal(ask_model(w, "dark"), ST_NOT_FOUND);
    assert_non_null(strstr(w->err.text, "The model `dark` does not exist"));
    assert_non_null(strstr(w->err.text, "`routerctl price set hidden INPUT OUTPUT`"));
    w->a.unpriced_free = true;
    assert_int_equal(ask_model(w, "dark"), ST_OK);
    assert_int_equal(output_usd(w, 0), -1);
    assert_int_equal(w->rep.hold_nano, 0);
}

static void limits_of_the_catalog_go_before_those_of_a_price(void **state)
{
    struct world *w = *state;
    struct catalog_model m = {
        .name = S("short"), .routes = ROUTES({.provider = S("openai"), .model = S("m")}), .max_output = 40};

    feed_model(w, &m);
    assert_int_equal(ask_for(w, "short", (struct admit_req){.max_output_tokens = 0}), ST_OK);
    assert_int_equal(w->rep.hold_nano, 40 * 10000);
    m.max_output = 0;
    m.context_window = 70; /* the price's maximum of an answer is nearer to the truth */
    feed_model(w, &m);
    assert_int_equal(ask_for(w, "short", (struct admit_req){.max_output_tokens = 0}), ST_OK);
    assert_int_equal(w->rep.hold_nano, 1000 * 10000);
    feed_price(w, "m", "openai", 0);
    assert_int_equal(ask_for(w, "short", (struct admit_req){.max_output_tokens = 0}), ST_OK);
    assert_int_equal(w->rep.hold_nano, 70 * 10000);
    m.routing = slice_of("latency");
    feed_model(w, &m);
    assert_int_equal(ask_model(w, "short"), ST_OK);
    assert_true(w->rep.by_latency);
}

static void the_hold_is_that_of_the_dearest_route(void **state)
{
    struct world *w = *state;
    struct catalog_model m = {.name = S("two"),
                              .routes = ROUTES({.provider = S("openai"), .model = S("dear-short")},
                                               {.provider = S("openai"), .model = S("cheap-long")})};
    struct price dear = {.id = 91,
                         .model = S("dear-short"),
                         .provider = S("openai"),
                         .input_pico = 1000000,
                         .output_pico = 100000000,
                         .max_output = 50,
                         .created = WALL};
    struct price cheap = dear;

    cheap.id = 92;
    cheap.model = slice_of("cheap-long");
    cheap.output_pico = 1000000;
    cheap.max_output = 10000;
    feed(w, &price_desc, &dear);
    feed(w, &price_desc, &cheap);
    feed_model(w, &m);
    assert_int_equal(ask_for(w, "two", (struct admit_req){.prompt_tokens_estimate = 10}), ST_OK);
    assert_int_equal(w->rep.hold_nano, 10 * 1000 + 10000 * 1000); /* each as long as it can get */
    assert_int_equal(ask_for(w, "two", (struct admit_req){.max_output_tokens = 40}), ST_OK);
    assert_int_equal(w->rep.hold_nano, 40 * 100000);
    feed_user(w, "usr_1", figures(w).held_nano + 20 * 100000);
    assert_int_equal(ask_for(w, "two", (struct admit_req){.max_output_tokens = 40}), ST_OK);
    assert_int_equal(w->rep.output_limit, 20); /* what the credit bears by any route */
    assert_true(w->rep.credit_limited);
    assert_int_equal(w->rep.hold_nano, 20 * 100000);
}

static void a_call_keeps_the_version_that_it_was_admitted_with(void **state)
{
    struct world *w = *state;
    struct catalog_model m = {.name = S("team-chat"), .routes = ROUTES({.provider = S("openai"), .model = S("n")})};
    const struct admit_req req = {.model = S("chat"), .max_output_tokens = 100};
    unsigned i;

    feed_team(w);
    assert_int_equal(ask(w, "old", "secret", req), ST_OK);
    feed_cost(w, "m", "openai", 7, 70);
    feed_cost(w, "n", "openai", 3, 30);
    feed_model(w, &m);
    for (i = 0; i < 2; i++) { /* again when all of it is gone from the state */
        assert_int_equal(ask(w, "old", "secret", req), ST_OK);
        assert_int_equal(w->rep.routes.n, 2);
        assert_true(route_is(w, 0, "openai", "m") && output_usd(w, 0) == 10);
        assert_true(route_is(w, 1, "spare", "large") && output_usd(w, 1) == 20);
        assert_int_equal(w->rep.routes.items[1].tier, 2);
        assert_int_equal(w->rep.hold_nano, 100 * 20000);
        admission_reset(&w->a);
        feed_all(w);
        admission_applied(&w->a);
    }
    assert_int_equal(ask(w, "new", "secret", req), ST_NOT_FOUND);
    feed_settled(w, "old", "usr_1", USD, 1);
    assert_int_equal(figures(w).holds, 0);
}

/* ---- wishes -------------------------------------------------------------------------------------------------------
 */

static void routes_dearer_than_the_caller_wants_are_left_out(void **state)
{
    struct world *w = *state;
    const int64_t usd = 1000000;

    feed_team(w);
    assert_int_equal(ask_for(w, "chat", (struct admit_req){.max_output_tokens = 10, .max_output_pico = 10 * usd}),
                     ST_OK);
    assert_int_equal(w->rep.routes.n, 1);
    assert_true(route_is(w, 0, "openai", "m"));
    assert_int_equal(w->rep.hold_nano, 10 * 10000);
    assert_int_equal(ask_for(w, "chat", (struct admit_req){.max_output_tokens = 10, .max_input_pico = 2 * usd}), ST_OK);
    assert_int_equal(w->rep.routes.n, 2);
    assert_int_equal(ask_for(w, "chat", (struct admit_req){.max_output_pico = 10 * usd - 1}), ST_BAD_REQUEST);
    assert_string_equal(w->err.code, "invalid_value");
    assert_string_equal(w->err.param, "x-router-max-price");
    assert_non_null(strstr(w->err.text, "the cheapest costs 1 USD per 1,000,000 input tokens and 10 per"));
    assert_int_equal(ask_for(w, "chat", (struct admit_req){.has = 1u << 10}), ST_BAD_REQUEST); /* free, nothing else */
    assert_int_equal(ask_for(w, "m", (struct admit_req){.has = 1u << 11}), ST_BAD_REQUEST);
    w->a.unpriced_free = true;
    assert_int_equal(ask_for(w, "gpt-new", (struct admit_req){.has = 1u << 11}), ST_OK);
}

static void a_tier_counts_when_the_prompt_may_reach_it(void **state)
{
    struct world *w = *state;
    struct price p = {.id = 9,
                      .model = S("tiered"),
                      .provider = S("openai"),
                      .input_pico = 1000000,
                      .output_pico = 2000000,
                      .tier_above_tokens = 1000,
                      .tier_input_pico = 5000000,
                      .max_output = 10,
                      .created = WALL};
    struct admit_req req = {.prompt_tokens_estimate = 1000, .max_input_pico = 1000000, .max_output_pico = 2000000};

    feed(w, &price_desc, &p);
    assert_int_equal(ask_for(w, "tiered", req), ST_OK);
    req.prompt_tokens_estimate = 1001;
    assert_int_equal(ask_for(w, "tiered", req), ST_BAD_REQUEST);
    assert_non_null(strstr(w->err.text, "the cheapest costs 5 USD"));
}

static void a_call_about_an_object_goes_to_who_keeps_it(void **state)
{
    struct world *w = *state;

    feed_team(w);
    assert_int_equal(ask_for(w, "chat", (struct admit_req){.max_output_tokens = 10, .provider = S("spare")}), ST_OK);
    assert_int_equal(w->rep.routes.n, 1);
    assert_true(route_is(w, 0, "spare", "large"));
    assert_int_equal(ask_for(w, "chat", (struct admit_req){.provider = S("other")}), ST_BAD_REQUEST);
    assert_string_equal(w->err.param, "model");
    assert_non_null(strstr(w->err.text, "must go to the provider `other`"));
    assert_int_equal(ask_for(w, "m", (struct admit_req){.provider = S("spare")}), ST_BAD_REQUEST);
    assert_int_equal(ask_for(w, "m", (struct admit_req){.max_output_tokens = 10, .provider = S("openai")}), ST_OK);
}

/* ---- what costs nothing -------------------------------------------------------------------------------------------
 */

static void free_calls_need_a_key_and_keep_its_limits_only(void **state)
{
    struct world *w = *state;
    struct admit_req req = {.prompt_tokens_estimate = 5000, .free = true};

    feed_user(w, "usr_1", 0);
    feed_plan(w, 2, 10, 0);
    assert_int_equal(ask_at(w, ENDPOINT_MODERATIONS, req), ST_OK);
    assert_int_equal(w->rep.routes.n, 1);
    assert_true(route_is(w, 0, "openai", "") && output_usd(w, 0) == -1);
    assert_int_equal(w->rep.hold_nano, 0);
    assert_int_equal(w->rep.output_limit, 0);
    assert_int_equal(w->rep.limits.items[0].remaining_tokens, 10);
    req.model = slice_of("omni-moderation-latest");
    assert_int_equal(ask_at(w, ENDPOINT_MODERATIONS, req), ST_OK);
    assert_true(route_is(w, 0, "openai", "omni-moderation-latest"));
    assert_int_equal(ask_at(w, ENDPOINT_MODERATIONS, req), ST_RATE_REQUESTS);
    feed_plan(w, 0, 0, 1);
    assert_int_equal(ask_at(w, ENDPOINT_MODERATIONS, req), ST_RATE_CONCURRENT);
    feed_plan(w, 0, 0, 0);
    feed_settled(w, "at_1", "usr_1", 0, 5000);
    assert_int_equal(ask_at(w, ENDPOINT_MODERATIONS, req), ST_OK);
}

static void a_free_call_for_a_model_takes_its_routes_without_prices(void **state)
{
    struct world *w = *state;
    struct slice allowed[] = {S("m")};
    struct plan plan = {.name = S("free"), .models = {allowed, 1}};

    feed_team(w);
    feed_user(w, "usr_1", 0);
    assert_int_equal(ask_at(w, ENDPOINT_COUNT_TOKENS, (struct admit_req){.model = S("chat"), .free = true}), ST_OK);
    assert_int_equal(w->rep.routes.n, 2);
    assert_true(route_is(w, 1, "spare", "large"));
    assert_true(output_usd(w, 0) == -1 && output_usd(w, 1) == -1);
    assert_int_equal(ask_at(w, ENDPOINT_RESPONSES_TOKENS,
                            (struct admit_req){.model = S("chat"), .provider = S("spare"), .free = true}),
                     ST_OK);
    assert_int_equal(w->rep.routes.n, 1);
    assert_true(route_is(w, 0, "spare", "large"));
    feed(w, &plan_desc, &plan);
    assert_int_equal(ask_at(w, ENDPOINT_COUNT_TOKENS, (struct admit_req){.model = S("chat"), .free = true}),
                     ST_FORBIDDEN);
    assert_int_equal(ask_at(w, ENDPOINT_COUNT_TOKENS, (struct admit_req){.model = S("m"), .free = true}), ST_OK);
    assert_int_equal(ask_at(w, ENDPOINT_FILES, (struct admit_req){.free = true}), ST_OK);
}

static void without_a_model_a_call_goes_to_a_provider_of_the_openai_kind(void **state)
{
    struct world *w = *state;
    struct provider p = {.name = S("claude"), .kind = S("anthropic")};

    feed(w, &provider_desc, &p);
    feed_provider(w, "azure");
    assert_int_equal(ask_at(w, ENDPOINT_FILES, (struct admit_req){.has = 0}),
                     ST_OK); /* as if it were said to be free */
    assert_true(route_is(w, 0, "openai", ""));
    assert_int_equal(ask_at(w, ENDPOINT_RESPONSES_OBJECT, (struct admit_req){.provider = S("claude")}), ST_OK);
    assert_true(route_is(w, 0, "claude", ""));
    assert_int_equal(ask_at(w, ENDPOINT_BATCHES, (struct admit_req){.provider = S("nobody"), .free = true}),
                     ST_NOT_FOUND);
    assert_non_null(strstr(w->err.text, "The provider `nobody` is not configured here."));
    assert_int_equal(ask_at(w, ENDPOINT_OTHER, (struct admit_req){.model = S("m")}), ST_OK); /* priced: not free */
    assert_int_equal(output_usd(w, 0), 10);
    assert_true(w->rep.hold_nano > 0);
    assert_int_equal(ask_at(w, ENDPOINT_IMAGES, (struct admit_req){.has = 0}), ST_BAD_REQUEST);
    assert_string_equal(w->err.param, "model");
    assert_int_equal(ask_at(w, ENDPOINT_RESPONSES, (struct admit_req){.has = 0}), ST_BAD_REQUEST);
    w->a.unpriced_free = true; /* a stored prompt may name its model, and nothing has to be billed */
    assert_int_equal(ask_at(w, ENDPOINT_RESPONSES, (struct admit_req){.has = 0}), ST_OK);
    assert_int_equal(ask_at(w, ENDPOINT_CHAT, (struct admit_req){.has = 0}), ST_BAD_REQUEST);
    w->a.unpriced_free = false;
    admission_reset(&w->a);
    feed_all(w);
    p = (struct provider){.name = S("openai"), .kind = S("echo")};
    feed(w, &provider_desc, &p);
    feed_provider(w, "zz");
    feed_provider(w, "aa");
    admission_applied(&w->a);
    assert_int_equal(ask_at(w, ENDPOINT_FILES, (struct admit_req){.free = true}), ST_OK);
    assert_true(route_is(w, 0, "aa", ""));
}

/* ---- rights and the list ------------------------------------------------------------------------------------------
 */

static void who_may_use_a_model_may_use_its_aliases(void **state)
{
    struct world *w = *state;
    struct slice names[1];
    struct plan plan = {.name = S("free"), .models = {names, 1}};
    static const struct {
        const char *allowed, *asked;
        enum status st;
    } rows[] = {
        {"team-chat", "team-chat", ST_OK}, {"team-chat", "chat", ST_OK},    {"team-*", "default", ST_OK},
        {"chat", "chat", ST_OK},           {"chat", "default", ST_OK},      {"chat", "team-chat", ST_OK},
        {"m", "chat", ST_FORBIDDEN},       {"large", "chat", ST_FORBIDDEN}, {"team-chat", "m", ST_FORBIDDEN},
    };
    size_t i;

    feed_team(w);
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        names[0] = slice_of(rows[i].allowed);
        feed(w, &plan_desc, &plan);
        assert_int_equal(ask_model(w, rows[i].asked), rows[i].st);
    }
}

static void the_list_has_models_once_and_no_aliases(void **state)
{
    struct world *w = *state;
    unsigned char digest[LIMIT_DIGEST];
    struct models_req req = {.key_digest = {(const char *)digest, sizeof(digest)}};
    struct admission_env env = {.wall_s = WALL, .arena = &w->arena};
    struct models_rep rep = {.has = 0};
    struct catalog_model m = {.name = S("m"), .routes = ROUTES({.provider = S("spare"), .model = S("large")})};
    struct catalog_model far = {.name = S("far"), .routes = ROUTES({.provider = S("nobody"), .model = S("large")})};

    digest_of("secret", digest);
    feed_team(w);
    feed_cost(w, "chat", "openai", 1, 1); /* an alias goes before it */
    feed_model(w, &m);
    feed_model(w, &far);
    assert_int_equal(admission_models(&w->a, &env, &req, &rep, NULL), ST_OK);
    assert_int_equal(rep.data.n, 3);
    assert_true(slice_is(rep.data.items[0].id, "large"));
    assert_true(slice_is(rep.data.items[1].id, "m"));
    assert_true(slice_is(rep.data.items[1].owned_by, "spare"));
    assert_true(slice_is(rep.data.items[2].id, "team-chat"));
    assert_true(slice_is(rep.data.items[2].owned_by, "openai"));
    assert_int_equal(rep.data.items[2].created, WALL + 5);
    req.model = slice_of("default");
    assert_int_equal(admission_models(&w->a, &env, &req, &rep, NULL), ST_OK);
    assert_true(slice_is(rep.data.items[0].id, "default"));
    assert_int_equal(rep.data.items[0].created, WALL + 5);
    req.model = slice_of("far");
    assert_int_equal(admission_models(&w->a, &env, &req, &rep, NULL), ST_NOT_FOUND);
}

/* ---- snapshots and races ------------------------------------------------------------------------------------------
 */

static void a_snapshot_drops_models_that_it_leaves_out(void **state)
{
    struct world *w = *state;
    struct catalog_model keep = {.name = S("keep"), .routes = ROUTES({.provider = S("openai"), .model = S("m")})};
    char name[32], alias[32];
    unsigned i;

    feed_team(w);
    for (i = 0; i < 300; i++) {
        struct slice aliases[1];
        struct catalog_model m = {.aliases = {aliases, 1}, .routes = ROUTES({.provider = S("far"), .model = S("m")})};

        snprintf(name, sizeof(name), "model-%u", i);
        snprintf(alias, sizeof(alias), "alias-%u", i);
        m.name = slice_of(name);
        aliases[0] = slice_of(alias);
        feed_model(w, &m);
    }
    feed_model(w, &keep);
    assert_int_equal(figures(w).models, 302);
    assert_int_equal(figures(w).providers, 3);
    assert_int_equal(ask(w, "before", "secret", (struct admit_req){.model = S("chat"), .max_output_tokens = 1}), ST_OK);
    admission_reset(&w->a);
    feed_all(w);
    assert_int_equal(ask_model(w, "chat"), ST_OK); /* until the snapshot is whole */
    feed_model(w, &keep);
    admission_applied(&w->a);
    assert_int_equal(figures(w).models, 1);
    assert_int_equal(figures(w).providers, 1);
    assert_int_equal(ask_model(w, "chat"), ST_NOT_FOUND);
    assert_int_equal(ask_model(w, "alias-7"), ST_NOT_FOUND);
    assert_int_equal(ask_model(w, "keep"), ST_OK);
    assert_int_equal(ask(w, "before", "secret", (struct admit_req){.model = S("chat"), .max_output_tokens = 1}), ST_OK);
    assert_int_equal(w->rep.routes.n, 2);
    admission_reset(&w->a); /* the provider is gone, the model that names it is not */
    feed_plan(w, 0, 0, 0);
    feed_user(w, "usr_1", USD);
    feed_key(w, "secret",
             &(struct api_key){.id = S("key_1"),
                               .user_id = S("usr_1"),
                               .name = S("k"),
                               .prefix = S("p"),
                               .status = S("active"),
                               .created = WALL});
    feed_model(w, &keep);
    admission_applied(&w->a);
    assert_int_equal(ask_model(w, "keep"), ST_NOT_FOUND);
    assert_non_null(strstr(w->err.text, "provider `openai` is not configured"));
    feed_gone(w, "keep");
    assert_int_equal(figures(w).providers, 0);
}

#define RACERS 4
#define RACER_CALLS 3000u

struct racer {
    struct world *w;
    atomic_bool *stop;
    atomic_uint *changes;
    unsigned number, calls, torn, failed;
};

/* Either version is right, a mixture is not. */
static bool whole(const struct admit_rep *rep)
{
    const struct call_route *r = rep->routes.items;

    if (rep->routes.n == 1)
        return slice_is(r[0].provider, "openai") && r[0].price.items[0].output_pico == 10000000 && !rep->by_latency &&
               rep->hold_nano == 10 * 10000;
    return rep->routes.n == 2 && slice_is(r[0].provider, "spare") && slice_is(r[1].upstream_model, "large") &&
           r[0].price.items[0].output_pico == 20000000 && rep->by_latency && rep->hold_nano == 10 * 20000;
}

static void *race(void *ctx)
{
    struct racer *r = ctx;
    unsigned char digest[LIMIT_DIGEST];
    struct arena arena;
    unsigned i;

    digest_of("secret", digest);
    arena_init(&arena, 1 << 20);
    for (i = 0; i < RACER_CALLS || atomic_load(r->changes) < 2; i++) { /* however the lock favours us */
        char id[32];
        struct admission_env env = {.now_ms = r->w->now, .wall_s = WALL, .arena = &arena};
        struct admit_req req = {.key_digest = {(const char *)digest, sizeof(digest)},
                                .model = slice_of(i & 1 ? "alias" : "model"),
                                .endpoint = slice_of(ENDPOINT_CHAT),
                                .max_output_tokens = 10,
                                .deadline_ms = DEADLINE};
        struct admit_rep rep = {.has = 0};

        snprintf(id, sizeof(id), "race_%u_%u", r->number, i);
        req.request_id = slice_of(id);
        arena_reset(&arena);
        if (admission_admit(&r->w->a, &env, &req, &rep, NULL) != ST_OK)
            r->failed++;
        else if (!whole(&rep))
            r->torn++;
    }
    r->calls = i;
    arena_fini(&arena);
    atomic_store(r->stop, true);
    return NULL;
}

static void a_change_of_the_catalog_is_seen_whole(void **state)
{
    struct world *w = *state;
    struct catalog_model one = {
        .name = S("model"), .aliases = NAMES(S("alias")), .routes = ROUTES({.provider = S("openai"), .model = S("m")})};
    struct catalog_model two = {.name = S("model"),
                                .aliases = NAMES(S("alias"), S("other")),
                                .routes = ROUTES({.provider = S("spare"), .model = S("large")},
                                                 {.provider = S("spare"), .model = S("large"), .tier = 2}),
                                .routing = S("latency")};
    struct racer racers[RACERS];
    pthread_t threads[RACERS];
    atomic_bool stop = false;
    atomic_uint changes = 0;
    unsigned i, calls = 0;

    feed_provider(w, "spare");
    feed_cost(w, "large", "spare", 2, 20);
    feed_user(w, "usr_1", 1000 * USD);
    feed_model(w, &one);
    for (i = 0; i < RACERS; i++) {
        racers[i] = (struct racer){.w = w, .stop = &stop, .changes = &changes, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    }
    while (!atomic_load(&stop))
        feed_model(w, atomic_fetch_add(&changes, 1) % 2 == 0 ? &two : &one);
    for (i = 0; i < RACERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(racers[i].torn + racers[i].failed, 0);
        calls += racers[i].calls;
    }
    feed_gone(w, "model");
    assert_int_equal(figures(w).holds, calls);
}

#define MEASURED 20000u

static uint64_t measure(struct world *w, const char *model)
{
    uint64_t began = clock_thread_ns();
    unsigned i;

    for (i = 0; i < MEASURED; i++)
        assert_int_equal(ask_for(w, model, (struct admit_req){.max_output_tokens = 10}), ST_OK);
    return (clock_thread_ns() - began) / MEASURED;
}

/* Not a test of speed (machines differ): it prints what a decision costs, and fails when that is absurd. */
static void a_decision_about_many_routes_is_cheap(void **state)
{
    struct world *w = *state;
    struct catalog_route routes[LIMIT_ROUTES];
    struct catalog_model one = {.name = S("one"), .routes = {routes, 1}};
    struct catalog_model many = {.name = S("many"), .routes = {routes, LIMIT_ROUTES}};
    uint64_t alone, at_most;
    size_t i;

    for (i = 0; i < LIMIT_ROUTES; i++)
        routes[i] = (struct catalog_route){.provider = S("openai"), .model = S("m"), .tier = i + 1};
    feed_user(w, "usr_1", 1000000 * USD);
    feed_model(w, &one);
    feed_model(w, &many);
    alone = measure(w, "one");
    at_most = measure(w, "many");
    print_message("admit: %llu ns each with one route, %llu ns with %d\n", (unsigned long long)alone,
                  (unsigned long long)at_most, LIMIT_ROUTES);
    assert_true(alone < 500000 && at_most < 1000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_model_of_the_catalog_has_its_routes_with_their_prices),
        T(a_model_of_the_catalog_goes_before_a_price_of_its_name),
        T(aliases_lead_to_models_only),
        T(an_alias_moves_with_the_newest_record),
        T(providers_that_nobody_announces_are_left_out),
        T(a_model_with_its_own_price_has_it_on_every_route),
        T(routes_without_a_price_are_left_out),
        T(limits_of_the_catalog_go_before_those_of_a_price),
        T(the_hold_is_that_of_the_dearest_route),
        T(a_call_keeps_the_version_that_it_was_admitted_with),
        T(routes_dearer_than_the_caller_wants_are_left_out),
        T(a_tier_counts_when_the_prompt_may_reach_it),
        T(a_call_about_an_object_goes_to_who_keeps_it),
        T(free_calls_need_a_key_and_keep_its_limits_only),
        T(a_free_call_for_a_model_takes_its_routes_without_prices),
        T(without_a_model_a_call_goes_to_a_provider_of_the_openai_kind),
        T(who_may_use_a_model_may_use_its_aliases),
        T(the_list_has_models_once_and_no_aliases),
        T(a_snapshot_drops_models_that_it_leaves_out),
        T(a_change_of_the_catalog_is_seen_whole),
        T(a_decision_about_many_routes_is_cheap),
    };

    return cmocka_run_group_tests(tests, prepare, NULL);
}
