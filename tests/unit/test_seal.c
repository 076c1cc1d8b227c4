/* Sealed secrets open with their key and in their place, and in no other way; and what ${NAME} may stand for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "services/arena.h"
#include "services/env_ref.h"
#include "services/seal.h"

#define MASTER "0123456789abcdef0123456789abcdef"
#define SECRET "sk-a-secret-of-a-provider"

struct fixture {
    struct arena a;
    struct seal_key key;
    struct err err;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    arena_init(&f->a, 1 << 20);
    assert_int_equal(seal_key_init(&f->key, MASTER, &f->err), ST_OK);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    seal_key_fini(&f->key);
    arena_fini(&f->a);
    free(f);
    return 0;
}

static struct seal_place place(const char *owner, const char *id)
{
    return (struct seal_place){slice_of(owner), slice_of(id)};
}

static struct slice sealed(struct fixture *f, struct slice secret)
{
    struct seal_place at = place("openai", "ukey_1");
    struct slice to = {NULL, 0};

    assert_int_equal(seal_close(&f->key, &at, secret, &f->a, &to, &f->err), ST_OK);
    return to;
}

static enum status open_at(const struct seal_key *key, const char *owner, const char *id, struct slice bytes)
{
    struct seal_place at = place(owner, id);
    char to[LIMIT_SECRET];
    struct slice got = {NULL, 0};
    enum status st = seal_open(key, &at, bytes, to, &got, NULL);

    if (st == ST_OK)
        assert_true(slice_is(got, SECRET));
    return st;
}

static void a_secret_opens_where_it_was_sealed(void **state)
{
    struct fixture *f = *state;
    struct slice one = sealed(f, slice_of(SECRET)), two = sealed(f, slice_of(SECRET));
    struct seal_key again;

    assert_int_equal(one.n, strlen(SECRET) + SEAL_OVERHEAD);
    assert_false(slice_eq(one, two)); /* a nonce of its own */
    assert_null(memmem(one.p, one.n, SECRET, strlen(SECRET)));
    assert_int_equal(open_at(&f->key, "openai", "ukey_1", one), ST_OK);
    assert_int_equal(seal_key_init(&again, MASTER, NULL), ST_OK);
    assert_int_equal(open_at(&again, "openai", "ukey_1", two), ST_OK);
}

static void it_opens_in_no_other_place_and_with_no_other_key(void **state)
{
    struct fixture *f = *state;
    struct slice one = sealed(f, slice_of(SECRET));
    struct seal_key other, none;

    assert_int_equal(open_at(&f->key, "azure", "ukey_1", one), ST_FORBIDDEN);
    assert_int_equal(open_at(&f->key, "openai", "ukey_2", one), ST_FORBIDDEN);
    assert_int_equal(open_at(&f->key, "openaiu", "key_1", one), ST_FORBIDDEN);
    assert_int_equal(seal_key_init(&other, MASTER "x", NULL), ST_OK);
    assert_int_equal(open_at(&other, "openai", "ukey_1", one), ST_FORBIDDEN);
    assert_int_equal(seal_key_init(&none, NULL, NULL), ST_OK);
    assert_int_equal(open_at(&none, "openai", "ukey_1", one), ST_UNAVAILABLE);
}

static void every_changed_bit_and_every_truncation_is_noticed(void **state)
{
    struct fixture *f = *state;
    struct slice one = sealed(f, slice_of(SECRET));
    char copy[256];
    size_t i;

    for (i = 0; i < one.n * 8; i++) {
        memcpy(copy, one.p, one.n);
        copy[i / 8] = (char)(copy[i / 8] ^ (1 << i % 8));
        assert_int_equal(open_at(&f->key, "openai", "ukey_1", (struct slice){copy, one.n}), ST_FORBIDDEN);
    }
    for (i = 0; i < one.n; i++) {
        char *exact = malloc(i + 1); /* so that the address sanitizer sees a byte too far */

        memcpy(exact, one.p, i);
        assert_int_equal(open_at(&f->key, "openai", "ukey_1", (struct slice){exact, i}), ST_FORBIDDEN);
        free(exact);
    }
}

static void secrets_have_bounds(void **state)
{
    struct fixture *f = *state;
    char most[LIMIT_SECRET + 1];
    struct seal_place at = place("openai", "ukey_1"), nowhere = place("", "ukey_1");
    struct slice to = {NULL, 0}, got = {NULL, 0};
    char opened[LIMIT_SECRET];
    struct seal_key none = {.set = false};

    memset(most, 'k', sizeof(most));
    to = sealed(f, (struct slice){most, LIMIT_SECRET});
    assert_true(to.n <= LIMIT_SEALED);
    assert_int_equal(seal_open(&f->key, &at, to, opened, &got, NULL), ST_OK);
    assert_int_equal(got.n, LIMIT_SECRET);
    assert_int_equal(seal_close(&f->key, &at, (struct slice){most, LIMIT_SECRET + 1}, &f->a, &to, NULL), ST_TOO_LARGE);
    assert_int_equal(seal_close(&f->key, &at, (struct slice){NULL, 0}, &f->a, &to, NULL), ST_TOO_LARGE);
    assert_int_equal(seal_close(&f->key, &nowhere, slice_of(SECRET), &f->a, &to, NULL), ST_INTERNAL);
    assert_int_equal(seal_close(&none, &at, slice_of(SECRET), &f->a, &to, NULL), ST_UNAVAILABLE);
}

/* ---- ${NAME} -------------------------------------------------------------------------------------------------------
 */

static char *env(const char *name)
{
    static char value[] = "value";

    return strcmp(name, "A_1") == 0 ? value : NULL;
}

static void references_are_wholly_one_name(void **state)
{
    static const char *const others[] = {"", "$", "${", "${}", "$A", "${A", "A}", "x${A}", "${A}x", "${A}${B}", "{A}"};
    struct slice name;
    size_t i;

    (void)state;
    assert_true(env_ref_is(slice_of("${A_1}"), &name));
    assert_true(slice_is(name, "A_1"));
    for (i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (env_ref_is(slice_of(others[i]), &name) && name.n > 0)
            fail_msg("%s", others[i]);
}

static void the_routers_own_secrets_have_no_name(void **state)
{
    static const char *const wrong[] = {"MASTER_KEY",    "JWT_SECRET", "BUS_SECRET",   "ADMIN_PASSWORD",
                                        "METRICS_TOKEN", "REDIS_URL",  "ROUTER_TOKEN", "",
                                        "lower",         "A-B",        "A B",          "1A"};
    struct err err;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        memset(&err, 0, sizeof(err));
        assert_int_equal(env_ref_check(slice_of(wrong[i]), "api_keys[0]", &err), ST_BAD_REQUEST);
        assert_string_equal(err.param, "api_keys[0]");
    }
    assert_int_equal(env_ref_check(slice_of("OPENAI_API_KEY"), "x", NULL), ST_OK);
    assert_int_equal(env_ref_check(slice_of("MASTER_KEY_2"), "x", NULL), ST_OK);
}

static void references_in_a_text_become_values(void **state)
{
    static const struct {
        const char *text, *becomes; /* NULL = refused */
    } rows[] = {{"", ""},
                {"plain $ { }", "plain $ { }"},
                {"${A_1}", "value"},
                {"a${A_1}b${A_1}c", "avaluebvaluec"},
                {"$${A_1}", "$value"},
                {"${A_1", NULL},
                {"${NOT_SET}", NULL},
                {"${JWT_SECRET}", NULL},
                {"${a}", NULL},
                {"x${}", NULL}};
    struct buf b;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        enum status st;

        buf_init(&b, 64);
        st = env_ref_expand(slice_of(rows[i].text), env, "f", &b, NULL);
        assert_int_equal(st, rows[i].becomes ? ST_OK : ST_BAD_REQUEST);
        if (rows[i].becomes && !slice_is((struct slice){b.p, b.n}, rows[i].becomes))
            fail_msg("%s", rows[i].text);
        buf_fini(&b);
    }
    buf_init(&b, 4);
    assert_int_equal(env_ref_expand(slice_of("${A_1}"), env, "f", &b, NULL), ST_TOO_LARGE);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_secret_opens_where_it_was_sealed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_opens_in_no_other_place_and_with_no_other_key, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_changed_bit_and_every_truncation_is_noticed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(secrets_have_bounds, set_up, tear_down),
        cmocka_unit_test(references_are_wholly_one_name),
        cmocka_unit_test(the_routers_own_secrets_have_no_name),
        cmocka_unit_test(references_in_a_text_become_values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
