/* Admission by the catalog: how long an answer may get, as a call's routes are told it. */
#include <pthread.h>
#include <stdatomic.h>

#include "tests/unit/admission_fixture.h"

static void feed_model(struct world *w, const struct catalog_model *m)
{
    feed(w, &catalog_model_desc, m);
}

static enum status ask_model(struct world *w, const char *id, const char *model)
{
    return ask(w, id, "secret", (struct admit_req){.model = slice_of(model), .max_output_tokens = 100});
}

static uint64_t longest(const struct world *w, size_t i)
{
    const struct call_route *r = &w->rep.routes.items[i];

    assert_true(i < w->rep.routes.n && r->price.n == 1);
    return r->price.items[0].max_output;
}

static const struct catalog_route two[] = {{.provider = {"openai", 6}, .model = {"m", 1}},
                                           {.provider = {"openai", 6}, .model = {"n", 1}}};

/* A price of the model's own says nothing of it; providers that demand a limit get it from there. */
static void a_model_with_its_own_price_has_the_catalogs_on_every_route(void **state)
{
    struct world *w = *state;
    struct price own = {.id = 91, .model = slice_of("own"), .output_pico = 1000000, .created = WALL};
    struct catalog_model m = {.name = slice_of("own"), .routes = {two, 2}, .own_price = true, .max_output = 64000};

    feed(w, &price_desc, &own);
    feed_model(w, &m);
    for (unsigned i = 0; i < 2; i++) { /* asked again: the call keeps what it was admitted with */
        assert_int_equal(ask_model(w, "first", "own"), ST_OK);
        assert_int_equal(w->rep.routes.n, 2);
        assert_true(longest(w, 0) == 64000 && longest(w, 1) == 64000);
        m.max_output = 7;
        feed_model(w, &m);
    }
    m.max_output = 0; /* nobody knows */
    feed_model(w, &m);
    assert_int_equal(ask_model(w, "second", "own"), ST_OK);
    assert_int_equal(longest(w, 0), 0);
}

static void the_catalogs_goes_before_the_prices(void **state)
{
    struct world *w = *state;
    struct catalog_model m = {.name = slice_of("short"), .routes = {two, 1}, .max_output = 500};

    feed_model(w, &m);
    assert_int_equal(ask_model(w, "first", "short"), ST_OK);
    assert_int_equal(longest(w, 0), 500);
    assert_int_equal(ask_model(w, "second", "m"), ST_OK); /* by its own name it has its price's */
    assert_int_equal(longest(w, 0), 1000);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        T(a_model_with_its_own_price_has_the_catalogs_on_every_route),
        T(the_catalogs_goes_before_the_prices),
    };

    return cmocka_run_group_tests(tests, prepare, NULL);
}
