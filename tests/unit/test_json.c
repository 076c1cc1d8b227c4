/* JSON into and out of declared messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/messages.h"
#include "services/json.h"
#include "services/json_field.h"
#include "tests/unit/fill.h"

static const char *const set_by_us[] = {"actor_id", NULL};

static void key_create_is_read(void **state)
{
    struct key_create_req req = {.actor_id = slice_of("usr_1")};
    struct arena a;
    struct err err = {0};

    (void)state;
    arena_init(&a, 65536);
    if (json_decode(&key_create_req_desc,
                    slice_of(" { \"name\" : \"laptop \\u00e9\\n\" , \"rpm\":60,\"tpm\":0,\"concurrency\":null,"
                             "\"models\":[\"gpt-4o*\",\"echo\"],\"expires_at\":253402300799}\n"),
                    set_by_us, &req, &a, &err) != ST_OK)
        fail_msg("%s", err.text);
    assert_true(slice_is(req.actor_id, "usr_1"));
    assert_true(slice_is(req.name, "laptop \xc3\xa9\n"));
    assert_int_equal(req.rpm, 60);
    assert_true(WIRE_HAS(&req, 3) && WIRE_HAS(&req, 4) && !WIRE_HAS(&req, 5));
    assert_int_equal(req.models.n, 2);
    assert_true(slice_is(req.models.items[1], "echo"));
    assert_int_equal(req.expires_at, LIMIT_TIME);
    assert_int_equal(json_check_required(&key_create_req_desc, &req, &err), ST_OK);
    arena_fini(&a);
}

static void amounts_are_exact(void **state)
{
    struct credit_grant_req grant = {0};
    struct price_put_req price = {0};
    struct arena a;
    struct err err = {0};

    (void)state;
    arena_init(&a, 65536);
    assert_int_equal(
        json_decode(&credit_grant_req_desc, slice_of("{\"amount_usd\":\"-0.000000001\"}"), NULL, &grant, &a, &err),
        ST_OK);
    assert_int_equal(grant.amount_nano, -1);
    assert_int_equal(
        json_decode(&credit_grant_req_desc, slice_of("{\"amount_usd\":123456789.123456789}"), NULL, &grant, &a, &err),
        ST_OK);
    assert_int_equal(grant.amount_nano, INT64_C(123456789123456789)); /* a double would have lost it */
    assert_int_equal(json_decode(&price_put_req_desc,
                                 slice_of("{\"input\":0.15,\"output\":\"0.6\",\"cached_input\":0}"), NULL, &price, &a,
                                 &err),
                     ST_OK);
    assert_int_equal(price.input_pico, 150000);
    assert_int_equal(price.output_pico, 600000);
    assert_true(WIRE_HAS(&price, 5) && !WIRE_HAS(&price, 6));
    arena_fini(&a);
}

struct refusal {
    const struct wire_desc *desc;
    const char *json, *code, *param, *text;
};

static void check_refusal(const struct refusal *r)
{
    struct arena a;
    struct err err = {0};
    char *copy = exact_copy(r->json, strlen(r->json));
    void *msg;

    arena_init(&a, 1024 * 1024);
    msg = fill_alloc(&a, r->desc->size);
    if (json_decode(r->desc, (struct slice){copy, strlen(r->json)}, set_by_us, msg, &a, &err) != ST_BAD_REQUEST)
        fail_msg("%s was accepted", r->json);
    assert_string_equal(err.text, r->text);
    assert_string_equal(err.code, r->code);
    assert_string_equal(err.param, r->param);
    arena_fini(&a);
    exact_free(copy);
}

#define NOT_JSON "", "", "We could not parse the JSON body of your request."
static const struct refusal refusals[] = {
    {&key_create_req_desc, "", NOT_JSON},
    {&key_create_req_desc, "{", NOT_JSON},
    {&key_create_req_desc, "{\"name\":\"a\",}", NOT_JSON},
    {&key_create_req_desc, "{\"name\":\"a\"} x", NOT_JSON},
    {&key_create_req_desc, "{\"name\":\"\xff\"}", NOT_JSON},
    {&key_create_req_desc, "{\"name\":\"\\ud800\"}", NOT_JSON},
    {&key_create_req_desc, "{\"rpm\":NaN}", NOT_JSON},
    {&key_create_req_desc, "{\"rpm\":01}", NOT_JSON},
    {&key_create_req_desc, "{'rpm':1}", NOT_JSON},
    {&key_create_req_desc, "[1]", "invalid_type", "",
     "Invalid type for the body: expected an object, but got an array instead."},
    {&key_create_req_desc, "null", "invalid_type", "",
     "Invalid type for the body: expected an object, but got null instead."},
    {&key_create_req_desc, "{\"foo\":1}", "unknown_parameter", "foo", "Unknown parameter: 'foo'."},
    {&key_create_req_desc, "{\"actor_id\":\"usr_2\"}", "unknown_parameter", "actor_id",
     "Unknown parameter: 'actor_id'."},
    {&key_create_req_desc, "{\"actor\\u005fid\":\"usr_2\"}", "unknown_parameter", "actor_id",
     "Unknown parameter: 'actor_id'."},
    {&admit_req_desc, "{\"key_digest\":\"x\"}", "unknown_parameter", "key_digest", "Unknown parameter: 'key_digest'."},
    {&credit_grant_req_desc, "{\"amount_nano\":5}", "unknown_parameter", "amount_nano",
     "Unknown parameter: 'amount_nano'."},
    {&key_create_req_desc, "{\"\":1}", "unknown_parameter", "", "Unknown parameter: ''."},
    {&key_create_req_desc, "{\"rpm\":\"60\"}", "invalid_type", "rpm",
     "Invalid type for 'rpm': expected an integer, but got a string instead."},
    {&key_create_req_desc, "{\"rpm\":1.5}", "invalid_type", "rpm",
     "Invalid type for 'rpm': expected an integer, but got a decimal number instead."},
    {&key_create_req_desc, "{\"rpm\":1e2}", "invalid_type", "rpm",
     "Invalid type for 'rpm': expected an integer, but got a decimal number instead."},
    {&key_create_req_desc, "{\"rpm\":true}", "invalid_type", "rpm",
     "Invalid type for 'rpm': expected an integer, but got a boolean instead."},
    {&key_create_req_desc, "{\"rpm\":[]}", "invalid_type", "rpm",
     "Invalid type for 'rpm': expected an integer, but got an array instead."},
    {&key_create_req_desc, "{\"rpm\":-1}", "integer_below_min_value", "rpm",
     "Invalid 'rpm': integer below minimum value. Expected a value >= 0, but got -1 instead."},
    {&key_create_req_desc, "{\"rpm\":1000000001}", "integer_above_max_value", "rpm",
     "Invalid 'rpm': integer above maximum value. Expected a value <= 1000000000, but got 1000000001 instead."},
    {&key_create_req_desc, "{\"rpm\":99999999999999999999999999999999999999999999}", "integer_above_max_value", "rpm",
     "Invalid 'rpm': integer above maximum value. Expected a value <= 1000000000, but got "
     "9999999999999999999999999999999999999999 instead."},
    {&key_create_req_desc, "{\"rpm\":18446744073709551617}", "integer_above_max_value", "rpm",
     "Invalid 'rpm': integer above maximum value. Expected a value <= 1000000000, but got 18446744073709551617 "
     "instead."},
    {&key_create_req_desc, "{\"name\":5}", "invalid_type", "name",
     "Invalid type for 'name': expected a string, but got a number instead."},
    {&key_create_req_desc, "{\"name\":null}", "invalid_type", "name",
     "Invalid type for 'name': expected a string, but got null instead."},
    {&key_create_req_desc, "{\"name\":\"a\\u0000b\"}", "invalid_value", "name",
     "Invalid 'name': the string holds a NUL character or is not UTF-8."},
    {&key_create_req_desc, "{\"models\":\"echo\"}", "invalid_type", "models",
     "Invalid type for 'models': expected an array of strings, but got a string instead."},
    {&key_create_req_desc, "{\"models\":[\"echo\",{}]}", "invalid_type", "models",
     "Invalid type for 'models': expected an array of strings, but item 1 is an object."},
    {&health_req_desc, "{\"ready_only\":1}", "invalid_type", "ready_only",
     "Invalid type for 'ready_only': expected a boolean, but got a number instead."},
    {&health_req_desc, "{\"ready_only\":\"true\"}", "invalid_type", "ready_only",
     "Invalid type for 'ready_only': expected a boolean, but got a string instead."},
    {&credit_grant_req_desc, "{\"amount_usd\":\"five\"}", "invalid_value", "amount_usd",
     "Invalid 'amount_usd': 'five' is not an amount in USD: it is not a decimal number. Expected a decimal number "
     "such as "
     "\"0.25\", at most 9 decimals, at most 1000000000."},
    {&credit_grant_req_desc, "{\"amount_usd\":1e3}", "invalid_value", "amount_usd",
     "Invalid 'amount_usd': '1e3' is not an amount in USD: it is not a decimal number. Expected a decimal number "
     "such as "
     "\"0.25\", at most 9 decimals, at most 1000000000."},
    {&credit_grant_req_desc, "{\"amount_usd\":true}", "invalid_type", "amount_usd",
     "Invalid type for 'amount_usd': expected a decimal string, but got a boolean instead."},
    {&user_rep_desc, "{\"user\":[]}", "invalid_type", "user",
     "Invalid type for 'user': expected an object, but got an array instead."},
    {&user_rep_desc, "{\"user\":{\"balance_usd\":false}}", "invalid_type", "user.balance_usd",
     "Invalid type for 'user.balance_usd': expected a decimal string, but got a boolean instead."},
    {&user_list_rep_desc, "{\"data\":{}}", "invalid_type", "data",
     "Invalid type for 'data': expected an array of objects, but got an object instead."},
    {&user_list_rep_desc, "{\"data\":[{},{\"role\":1}]}", "invalid_type", "data[1].role",
     "Invalid type for 'data[1].role': expected a string, but got a number instead."},
    {&user_list_rep_desc, "{\"data\":[{},{\"rule\":1}]}", "unknown_parameter", "data[1].rule",
     "Unknown parameter: 'data[1].rule'."},
    {&user_list_rep_desc, "{\"data\":[{},7]}", "invalid_type", "data[1]",
     "Invalid type for 'data[1]': expected an object, but got a number instead."},
};

static void refusals_name_the_field(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
        check_refusal(&refusals[i]);
}

static void sizes_are_bounded(void **state)
{
    struct key_create_req req = {0};
    struct arena a;
    struct buf json;
    struct err err = {0};
    size_t i;

    (void)state;
    arena_init(&a, 1024 * 1024);
    buf_init(&json, 1024 * 1024);
    assert_int_equal(buf_addf(&json, "{\"name\":\"%0*d\"}", LIMIT_TITLE + 1, 0), ST_OK);
    assert_int_equal(json_decode(&key_create_req_desc, (struct slice){json.p, json.n}, NULL, &req, &a, &err),
                     ST_BAD_REQUEST);
    assert_string_equal(err.code, "string_above_max_length");
    assert_string_equal(err.text,
                        "Invalid 'name': string too long. Expected a string with maximum length 512, but got a string "
                        "with length 513 instead.");
    json.n = 0;
    for (i = 0; i <= LIMIT_MODELS; i++)
        assert_int_equal(buf_addf(&json, i ? ",\"m\"" : "{\"models\":[\"m\""), ST_OK);
    assert_int_equal(buf_addf(&json, "]}"), ST_OK);
    assert_int_equal(json_decode(&key_create_req_desc, (struct slice){json.p, json.n}, NULL, &req, &a, &err),
                     ST_BAD_REQUEST);
    assert_string_equal(err.code, "array_above_max_length");
    json.n = 0;
    assert_int_equal(buf_addf(&json, "{\"models\":[\"%0*d\"]}", WIRE_STRS_ITEM_MAX + 1, 0), ST_OK);
    assert_int_equal(json_decode(&key_create_req_desc, (struct slice){json.p, json.n}, NULL, &req, &a, &err),
                     ST_BAD_REQUEST);
    assert_string_equal(err.code, "string_above_max_length");
    arena_fini(&a);
    arena_init(&a, 8);
    assert_int_equal(
        json_decode(&key_create_req_desc, slice_of("{\"name\":\"longer than eight bytes\"}"), NULL, &req, &a, &err),
        ST_NO_MEMORY);
    arena_fini(&a);
    buf_fini(&json);
}

/* No declared message has a signed count today; the first that will has this test already. */
static void signed_numbers_have_two_bounds(void **state)
{
    struct counter {
        uint64_t has;
        int64_t n;
    } msg = {0};
    static const struct wire_field field = {"n", "",       100,     NULL, (uint32_t)offsetof(struct counter, n),
                                            1,   WIRE_I64, WIRE_OPT};
    static const struct wire_desc desc = {"counter", "", &field, 1, (uint32_t)sizeof(struct counter), 1};
    struct arena a;
    struct buf out;
    struct err err = {0};

    (void)state;
    arena_init(&a, 1024);
    buf_init(&out, 1024);
    assert_int_equal(json_decode(&desc, slice_of("{\"n\":-100}"), NULL, &msg, &a, &err), ST_OK);
    assert_int_equal(msg.n, -100);
    assert_int_equal(json_encode(&desc, &msg, &out), ST_OK);
    assert_true(slice_is((struct slice){out.p, out.n}, "{\"n\":-100}"));
    assert_int_equal(json_decode(&desc, slice_of("{\"n\":100}"), NULL, &msg, &a, &err), ST_OK);
    assert_int_equal(msg.n, 100);
    assert_int_equal(json_decode(&desc, slice_of("{\"n\":-101}"), NULL, &msg, &a, &err), ST_BAD_REQUEST);
    assert_string_equal(err.text,
                        "Invalid 'n': integer below minimum value. Expected a value >= -100, but got -101 instead.");
    assert_int_equal(json_decode(&desc, slice_of("{\"n\":101}"), NULL, &msg, &a, &err), ST_BAD_REQUEST);
    assert_int_equal(msg.n, 100);
    buf_fini(&out);
    arena_fini(&a);
}

/* A name of a megabyte is not repeated to the client, and lists stop at their limits before memory is spent on them. */
static void long_names_and_lists_are_cut_short(void **state)
{
    enum { NAME = 1024 * 1024 };
    struct user_list_rep list = {0};
    struct arena a;
    struct buf json;
    struct err err = {0};
    size_t i;

    (void)state;
    arena_init(&a, 1024);
    buf_init(&json, 4 * NAME);
    assert_int_equal(buf_addf(&json, "{\"data\":[{\"%0*d\":1}]}", NAME, 0), ST_OK);
    assert_int_equal(json_decode(&user_list_rep_desc, (struct slice){json.p, json.n}, NULL, &list, &a, &err),
                     ST_BAD_REQUEST);
    assert_int_equal(strlen(err.param), ERR_PARAM_MAX - 1);
    json.n = 0;
    for (i = 0; i <= LIMIT_PAGE; i++)
        assert_int_equal(buf_addf(&json, i ? ",{}" : "{\"data\":[{}"), ST_OK);
    assert_int_equal(buf_addf(&json, "]}"), ST_OK);
    assert_int_equal(json_decode(&user_list_rep_desc, (struct slice){json.p, json.n}, NULL, &list, &a, &err),
                     ST_BAD_REQUEST);
    assert_string_equal(err.code, "array_above_max_length");
    assert_int_equal(json_decode(&user_list_rep_desc, slice_of("{\"data\":[{},{},{},{},{},{},{},{},{},{},{}]}"), NULL,
                                 &list, &a, &err),
                     ST_NO_MEMORY);
    buf_fini(&json);
    arena_fini(&a);
}

static void nesting_is_bounded(void **state)
{
    struct key_create_req req = {0};
    struct arena a;
    struct buf json;
    struct err err = {0};
    size_t depth, i;

    (void)state;
    arena_init(&a, 65536);
    buf_init(&json, 16 * 1024 * 1024);
    for (depth = JSON_DEPTH_MAX - 1; depth <= JSON_DEPTH_MAX; depth++) {
        json.n = 0;
        assert_int_equal(buf_addf(&json, "{\"x]}\\\"[[\":"), ST_OK);
        for (i = 0; i < depth; i++)
            assert_int_equal(buf_add(&json, "[", 1), ST_OK);
        for (i = 0; i < depth; i++)
            assert_int_equal(buf_add(&json, "]", 1), ST_OK);
        assert_int_equal(buf_add(&json, "}", 1), ST_OK);
        assert_int_equal(json_decode(&key_create_req_desc, (struct slice){json.p, json.n}, NULL, &req, &a, &err),
                         ST_BAD_REQUEST);
        assert_string_equal(err.text, depth < JSON_DEPTH_MAX ? "Unknown parameter: 'x]}\"[['."
                                                             : "The JSON body is nested deeper than 64 levels.");
    }
    for (i = 0; i < 10000000; i++)
        assert_int_equal(buf_add(&json, "[", 1), ST_OK);
    assert_int_equal(json_decode(&key_create_req_desc, (struct slice){json.p, json.n}, NULL, &req, &a, &err),
                     ST_BAD_REQUEST);
    arena_fini(&a);
    buf_fini(&json);
}

static void a_missing_member_is_named(void **state)
{
    struct key_create_req req = {.actor_id = slice_of("usr_1")};
    struct credit_grant_req grant = {.actor_id = slice_of("usr_1"), .id = slice_of("usr_2")};
    struct err err = {0};

    (void)state;
    assert_int_equal(json_check_required(&key_create_req_desc, &req, &err), ST_BAD_REQUEST);
    assert_string_equal(err.code, "missing_required_parameter");
    assert_string_equal(err.param, "name");
    assert_string_equal(err.text, "Missing required parameter: 'name'.");
    req.has = UINT64_C(1) << 2; /* there, though empty: for the handler to judge */
    assert_int_equal(json_check_required(&key_create_req_desc, &req, &err), ST_OK);
    assert_int_equal(json_check_required(&credit_grant_req_desc, &grant, &err), ST_BAD_REQUEST);
    assert_string_equal(err.param, "amount_usd");
}

static void members_are_set_from_text(void **state)
{
    struct usage_list_req list = {0};
    struct key_create_req key = {0};
    struct health_req health = {0};
    struct price_put_req price = {0};
    struct arena a;
    struct err err = {0};

    (void)state;
    arena_init(&a, 65536);
#define SET(m, name, value) json_set_text(&m##_desc, slice_of(name), slice_of(value), target, &a, &err)
    {
        void *target = &list;

        assert_int_equal(SET(usage_list_req, "limit", "500"), ST_OK);
        assert_int_equal(SET(usage_list_req, "model", "gpt-4o"), ST_OK);
        assert_true(list.limit == 500 && slice_is(list.model, "gpt-4o") && WIRE_HAS(&list, 2));
        assert_int_equal(SET(usage_list_req, "limit", "501"), ST_BAD_REQUEST);
        assert_string_equal(err.code, "integer_above_max_value");
        assert_int_equal(SET(usage_list_req, "limit", ""), ST_BAD_REQUEST);
        assert_int_equal(SET(usage_list_req, "limit", "ten"), ST_BAD_REQUEST);
        assert_string_equal(err.text, "Invalid type for 'limit': expected an integer, but got a string instead.");
        assert_int_equal(SET(usage_list_req, "limit", "-1"), ST_BAD_REQUEST);
        assert_int_equal(SET(usage_list_req, "limit", "+1"), ST_BAD_REQUEST);
        assert_int_equal(SET(usage_list_req, "limit", "1 "), ST_BAD_REQUEST);
        assert_int_equal(SET(usage_list_req, "nothing", "1"), ST_BAD_REQUEST);
        assert_string_equal(err.code, "unknown_parameter");
        assert_int_equal(SET(usage_list_req, "model", "\xff"), ST_BAD_REQUEST);
    }
    {
        void *target = &key;

        assert_int_equal(SET(key_create_req, "models", "a,,bc"), ST_OK);
        assert_true(key.models.n == 3 && key.models.items[1].n == 0 && slice_is(key.models.items[2], "bc"));
        assert_int_equal(SET(key_create_req, "models", ""), ST_OK);
        assert_int_equal(key.models.n, 0);
    }
    {
        void *target = &health;

        assert_int_equal(SET(health_req, "ready_only", "true"), ST_OK);
        assert_true(health.ready_only);
        assert_int_equal(SET(health_req, "ready_only", "0"), ST_OK);
        assert_false(health.ready_only);
        assert_int_equal(SET(health_req, "ready_only", "yes"), ST_BAD_REQUEST);
        assert_int_equal(
            json_set_text(&user_rep_desc, slice_of("user"), slice_of("x"), &(struct user_rep){0}, &a, &err),
            ST_BAD_REQUEST);
    }
    {
        void *target = &price;

        assert_int_equal(SET(price_put_req, "input", "0.15"), ST_OK);
        assert_int_equal(price.input_pico, 150000);
    }
    arena_fini(&a);
}

/* --- out -------------------------------------------------------------------------------------------------------------
 */

static void objects_look_as_the_api_says(void **state)
{
    const struct slice models[] = {{"a", 1}, {"b\"", 2}};
    struct user user = {.id = slice_of("usr_1"), .email = slice_of("a@b"), .balance_nano = -1500000000};
    struct user_rep rep = {.user = {&user, 1}, .revision = 7};
    struct user_rep none = {0};
    struct key_list_rep list = {0};
    struct api_key key = {.id = slice_of("key_1"), .models = {models, 2}, .created = UINT64_MAX};
    struct price price = {.input_pico = 150000, .builtin = true};
    struct key_state hidden = {.digest = slice_of("12345678")};
    struct usage_list_rep said = {.has = UINT64_C(1) << 1};
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    assert_int_equal(json_encode(&user_rep_desc, &rep, &out), ST_OK);
    assert_int_equal(buf_add(&out, "\n", 1), ST_OK);
    assert_int_equal(json_encode(&user_rep_desc, &none, &out), ST_OK);
    assert_int_equal(buf_add(&out, "", 1), ST_OK);
    assert_string_equal(out.p,
                        "{\"user\":{\"id\":\"usr_1\",\"email\":\"a@b\",\"name\":\"\",\"role\":\"\",\"plan\":\"\","
                        "\"status\":\"\",\"balance_usd\":\"-1.5\",\"created\":0}}\n{}");
    list.data.items = &key;
    list.data.n = 1;
    out.n = 0;
    assert_int_equal(json_encode(&key_list_rep_desc, &list, &out), ST_OK);
    assert_int_equal(buf_add(&out, "", 1), ST_OK);
    assert_string_equal(
        out.p, "{\"data\":[{\"id\":\"key_1\",\"user_id\":\"\",\"name\":\"\",\"prefix\":\"\",\"rpm\":0,\"tpm\":0,"
               "\"concurrency\":0,\"models\":[\"a\",\"b\\\"\"],\"expires_at\":0,\"status\":\"\","
               "\"created\":18446744073709551615,\"budget_usd\":\"0\",\"budget_period\":\"\",\"budget_spent_usd\":"
               "\"0\",\"ip_allow\":[],\"previous_until\":0}],\"next\":\"\"}");
    out.n = 0;
    assert_int_equal(json_encode(&price_desc, &price, &out), ST_OK);
    assert_int_equal(buf_add(&out, "", 1), ST_OK);
    assert_non_null(strstr(out.p, "\"input\":\"0.15\",\"cached_input\":null"));
    assert_non_null(strstr(out.p, "\"builtin\":true"));
    out.n = 0;
    assert_int_equal(json_encode(&key_state_desc, &hidden, &out), ST_OK);
    assert_int_equal(buf_add(&out, "", 1), ST_OK);
    assert_string_equal(out.p, "{\"period_spent_usd\":\"0\",\"period_end\":0}");
    out.n = 0;
    hidden.has = UINT64_C(1) << 2; /* there is none, and that is said */
    assert_int_equal(json_encode(&key_state_desc, &hidden, &out), ST_OK);
    assert_int_equal(json_encode(&usage_list_rep_desc, &said, &out), ST_OK);
    assert_int_equal(buf_add(&out, "", 1), ST_OK);
    assert_string_equal(out.p, "{\"key\":null,\"period_spent_usd\":\"0\",\"period_end\":0}{\"data\":[],\"next\":\"\"}");
    buf_fini(&out);
    buf_init(&out, 10);
    assert_int_equal(json_encode(&user_rep_desc, &rep, &out), ST_TOO_LARGE);
    assert_int_equal(out.n, 0);
    buf_fini(&out);
}

static void strings_are_escaped(void **state)
{
    const struct {
        struct slice in;
        const char *out;
    } rows[] = {
        {{"", 0}, "\"\""},
        {{NULL, 0}, "\"\""},
        {{"plain \xc3\xa9 \xf0\x9f\x98\x80", 13}, "\"plain \xc3\xa9 \xf0\x9f\x98\x80\""},
        {{"\"\\/\b\f\n\r\t\x01\x1f\x7f", 11}, "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\""},
        {{"a\0b", 3}, "\"a\\u0000b\""},
        {{"\xff", 1}, "\"\xef\xbf\xbd\""},
        {{"a\xc3", 2}, "\"a\xef\xbf\xbd\""},
        {{"\xed\xa0\x80z", 4}, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\""},
    };
    struct buf out;
    size_t i;

    (void)state;
    buf_init(&out, 4096);
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        out.n = 0;
        assert_int_equal(json_add_string(&out, rows[i].in), ST_OK);
        assert_int_equal(buf_add(&out, "", 1), ST_OK);
        assert_string_equal(out.p, rows[i].out);
    }
    buf_fini(&out);
}

/* What a message shows of itself it reads again, except what only ever goes out. */
static void every_message_is_read_as_it_is_shown(void **state)
{
    struct arena a;
    struct buf one, two;
    size_t i;

    (void)state;
    arena_init(&a, 64 * 1024 * 1024);
    buf_init(&one, 1024 * 1024);
    buf_init(&two, 1024 * 1024);
    for (i = 0; proto_messages[i]; i++) {
        const struct wire_desc *desc = proto_messages[i];
        void *msg = fill_alloc(&a, desc->size), *back = fill_alloc(&a, desc->size);
        struct err err = {0};

        fill_message(desc, msg, &a, FILL_SMALL);
        one.n = two.n = 0;
        assert_int_equal(json_encode(desc, msg, &one), ST_OK);
        if (json_decode(desc, (struct slice){one.p, one.n}, NULL, back, &a, &err) != ST_OK)
            fail_msg("%s: %s", desc->name, err.text);
        assert_int_equal(json_encode(desc, back, &two), ST_OK);
        assert_int_equal(one.n, two.n);
        assert_memory_equal(one.p, two.p, one.n);
        arena_reset(&a);
    }
    buf_fini(&one);
    buf_fini(&two);
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key_create_is_read),
        cmocka_unit_test(amounts_are_exact),
        cmocka_unit_test(refusals_name_the_field),
        cmocka_unit_test(sizes_are_bounded),
        cmocka_unit_test(signed_numbers_have_two_bounds),
        cmocka_unit_test(long_names_and_lists_are_cut_short),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(a_missing_member_is_named),
        cmocka_unit_test(members_are_set_from_text),
        cmocka_unit_test(objects_look_as_the_api_says),
        cmocka_unit_test(strings_are_escaped),
        cmocka_unit_test(every_message_is_read_as_it_is_shown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
