/* Calls are counted by model whatever its name is, and however many there are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "providersvc/model_metrics.h"

struct world {
    struct metrics *metrics;
    struct model_metrics models;
};

static int start(void **state)
{
    static struct world w;

    w.metrics = metrics_new("providersvc", NULL);
    assert_non_null(w.metrics);
    memset(&w.models, 0, sizeof(w.models));
    model_metrics_init(&w.models, w.metrics);
    *state = &w;
    return 0;
}

static int stop(void **state)
{
    struct world *w = *state;

    model_metrics_fini(&w->models);
    metrics_free(w->metrics);
    return 0;
}

static void add(struct world *w, const char *model, const char *status)
{
    struct usage_event ev = {.model = slice_of(model),
                             .status = slice_of(status),
                             .prompt_tokens = 3,
                             .completion_tokens = 5,
                             .latency_ms = 20,
                             .ttft_ms = 10};

    ev.parked = !strcmp(status, "running");
    model_metrics_add(&w->models, &ev);
}

static void assert_shows(struct world *w, const char *line, bool wanted)
{
    struct buf out;

    buf_init(&out, 1 << 20);
    assert_int_equal(metrics_render(w->metrics, &out), ST_OK);
    assert_int_equal(buf_add(&out, "", 1), ST_OK);
    if ((strstr(out.p, line) != NULL) != wanted)
        fail_msg("%s '%s' in:\n%s", wanted ? "no" : "a", line, out.p);
    buf_fini(&out);
}

static void a_call_is_counted_by_its_model(void **state)
{
    struct world *w = *state;

    add(w, "gpt-4o-mini", "ok");
    add(w, "gpt-4o-mini", "error");
    add(w, "gpt-4o-mini", "running");
    add(w, "o3", "truncated");
    assert_shows(w, "router_model_calls_total{service=\"providersvc\",model=\"gpt-4o-mini\",outcome=\"ok\"} 2\n", true);
    assert_shows(w, "router_model_calls_total{service=\"providersvc\",model=\"gpt-4o-mini\",outcome=\"error\"} 1\n",
                 true);
    assert_shows(w, "router_model_calls_total{service=\"providersvc\",model=\"o3\",outcome=\"truncated\"} 1\n", true);
    /* what goes on upstream has used nothing yet that is known */
    assert_shows(w, "router_model_tokens_total{service=\"providersvc\",model=\"gpt-4o-mini\",kind=\"prompt\"} 6\n",
                 true);
    assert_shows(w, "router_model_tokens_total{service=\"providersvc\",model=\"o3\",kind=\"completion\"} 5\n", true);
    assert_shows(w, "router_model_ttft_seconds_bucket{service=\"providersvc\",model=\"o3\",le=\"0.01\"} 1\n", true);
    assert_shows(w, "router_model_latency_seconds_bucket{service=\"providersvc\",model=\"o3\",le=\"0.01\"} 0\n", true);
}

static void a_name_that_is_no_label_is_other(void **state)
{
    static const char *const names[] = {"a\"} 1\nb", "a\\", "", "m\xc3\xbc", "a b", "other"};
    struct world *w = *state;
    char longest[MODEL_NAME_MAX + 1] = "", line[MODEL_NAME_MAX + 100];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        add(w, names[i], "ok");
    assert_shows(w, "router_model_calls_total{service=\"providersvc\",model=\"other\",outcome=\"ok\"} 6\n", true);
    memset(longest, 'x', MODEL_NAME_MAX);
    add(w, longest, "ok");
    snprintf(line, sizeof(line), "model=\"%s\",outcome=\"ok\"} 1\n", longest);
    assert_shows(w, line, true);
    assert_int_equal(w->models.n, 2);
}

static void models_beyond_the_limit_are_other(void **state)
{
    struct world *w = *state;
    char name[32];

    for (int i = 0; i < MODEL_METRICS_MAX + 5; i++) {
        snprintf(name, sizeof(name), "model-%d", i);
        add(w, name, "ok");
        add(w, "model-0", "ok");
    }
    assert_shows(w, "router_model_calls_total{service=\"providersvc\",model=\"other\",outcome=\"ok\"} 5\n", true);
    snprintf(name, sizeof(name), "\"model-%d\"", MODEL_METRICS_MAX - 1);
    assert_shows(w, name, true);
    snprintf(name, sizeof(name), "\"model-%d\"", MODEL_METRICS_MAX);
    assert_shows(w, name, false);
    assert_shows(w, "model=\"model-0\",outcome=\"ok\"} 70\n", true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_call_is_counted_by_its_model, start, stop),
        cmocka_unit_test_setup_teardown(a_name_that_is_no_label_is_other, start, stop),
        cmocka_unit_test_setup_teardown(models_beyond_the_limit_are_other, start, stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
