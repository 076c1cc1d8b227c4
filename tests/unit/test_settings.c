/* Settings: defaults, values, and the one clear line for each wrong value. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "services/settings.h"

static const char *const *given; /* NAME, value, NAME, value …, NULL: what the test's environment holds */

static char *env(const char *name)
{
    size_t i;

    for (i = 0; given && given[i]; i += 2)
        if (!strcmp(given[i], name))
            return (char *)(uintptr_t)given[i + 1];
    return NULL;
}

static void defaults_are_the_seeds(void **state)
{
    struct settings s;

    (void)state;
    given = NULL;
    assert_int_equal(settings_load(&s, SET_ALL, env, NULL), ST_OK);
    assert_int_equal(s.port, 3000);
    assert_string_equal(s.db_path, "./database/app.db");
    assert_string_equal(s.log_level, "info");
    assert_string_equal(s.host, "127.0.0.1");
    assert_null(s.jwt_secret);
    assert_null(s.openai_api_key);
    assert_true(s.signup_credits == SETTINGS_USD_AUTO);
    settings_fini(&s);
}

static void values_are_taken(void **state)
{
    static const char *const set[] = {"PORT", "8080",          "LOG_LEVEL", "debug", "SIGNUP_CREDITS_USD",
                                      "2.5",  "METRICS_TOKEN", "",          NULL};
    struct settings s;

    (void)state;
    given = set;
    assert_int_equal(settings_load(&s, SET_ALL, env, NULL), ST_OK);
    assert_int_equal(s.port, 8080);
    assert_string_equal(s.log_level, "debug");
    assert_true(s.signup_credits == INT64_C(2500000000));
    assert_null(s.metrics_token); /* empty counts as unset */
    settings_fini(&s);
}

static void others_settings_are_not_read(void **state)
{
    static const char *const set[] = {"PORT", "nonsense", NULL};
    struct settings s;

    (void)state;
    given = set;
    assert_int_equal(settings_load(&s, SET_M, env, NULL), ST_OK); /* PORT is not meterd's */
    settings_fini(&s);
}

static void a_wrong_value_says_which_why_and_what_is_allowed(void **state)
{
    static const struct {
        const char *name, *value, *text;
    } wrong[] = {
        {"PORT", "http", "PORT: 'http' is not an integer from 0 to 65535"},
        {"PORT", "65536", "PORT: '65536' is not an integer from 0 to 65535"},
        {"PORT", "80 ", "PORT: '80 ' is not an integer from 0 to 65535"},
        {"LOG_LEVEL", "verbose", "LOG_LEVEL: 'verbose' is not one of info|error|warn|debug"},
        {"LOG_LEVEL", "info|error", "LOG_LEVEL: 'info|error' is not one of info|error|warn|debug"},
        {"JWT_SECRET", "short", "JWT_SECRET: has 5 characters; allowed are 32 to 1024"},
        {"SIGNUP_CREDITS_USD", "-1", "SIGNUP_CREDITS_USD: '-1' is not an amount of USD like 5 or 0.25, or auto"},
        {"SIGNUP_CREDITS_USD", "1e3", "SIGNUP_CREDITS_USD: '1e3' is not an amount of USD like 5 or 0.25, or auto"},
        {"MAX_CONNECTIONS", "99999999999999999999",
         "MAX_CONNECTIONS: '99999999999999999999' is not an integer from 8 to 20000"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        const char *set[] = {wrong[i].name, wrong[i].value, NULL};
        struct err err = {.status = ST_OK};
        struct settings s;

        given = set;
        assert_int_equal(settings_load(&s, SET_ALL, env, &err), ST_BAD_REQUEST);
        assert_string_equal(err.text, wrong[i].text);
    }
}

static void help_names_every_setting_of_a_program(void **state)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);

    (void)state;
    assert_non_null(f);
    settings_help(f, "meterd", SET_M);
    fclose(f);
    assert_non_null(strstr(text, "DB_PATH"));
    assert_non_null(strstr(text, "METERD_EVENTS_URL"));
    assert_null(strstr(text, "MAX_CONNECTIONS"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_the_seeds),
        cmocka_unit_test(values_are_taken),
        cmocka_unit_test(others_settings_are_not_read),
        cmocka_unit_test(a_wrong_value_says_which_why_and_what_is_allowed),
        cmocka_unit_test(help_names_every_setting_of_a_program),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
