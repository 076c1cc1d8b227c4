/* What is read of Anthropic's Messages, and what its models take. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "providersvc/dialects/claude.h"
#include "tests/lib/translating.h"

/* ---- usage --------------------------------------------------------------------------------------------------------
 */

static struct facts read_json(const char *json, const struct usage *before)
{
    static struct facts_scratch scratch;
    struct facts f;

    assert_int_equal(dialect_messages.read(slice_of(json), before, &scratch, &f), ST_OK);
    return f;
}

static void assert_usage(const struct usage *u, const struct usage *is)
{
    assert_int_equal(u->known, is->known);
    assert_int_equal(u->prompt, is->prompt);
    assert_int_equal(u->cached, is->cached);
    assert_int_equal(u->write, is->write);
    assert_int_equal(u->write_long, is->write_long);
    assert_int_equal(u->completion, is->completion);
    assert_int_equal(u->reasoning, is->reasoning);
}

struct usage_case {
    const char *usage;
    struct usage is;
};

static const struct usage_case usages[] = {
    {"{\"input_tokens\":12,\"output_tokens\":5}", {.known = true, .prompt = 12, .completion = 5}},
    {"{\"input_tokens\":12,\"cache_creation_input_tokens\":30,\"cache_read_input_tokens\":1800,\"cache_creation\":{"
     "\"ephemeral_5m_input_tokens\":10,\"ephemeral_1h_input_tokens\":20},\"output_tokens\":5,"
     "\"output_tokens_details\":{\"thinking_tokens\":4}}",
     {.known = true, .prompt = 1842, .cached = 1800, .write = 10, .write_long = 20, .completion = 5, .reasoning = 4}},
    /* without the split all writes are short; what the split leaves out, too; what it has beyond the sum counts */
    {"{\"input_tokens\":1,\"cache_creation_input_tokens\":30,\"output_tokens\":5}",
     {.known = true, .prompt = 31, .write = 30, .completion = 5}},
    {"{\"input_tokens\":1,\"cache_creation_input_tokens\":30,\"cache_creation\":{\"ephemeral_1h_input_tokens\":20},"
     "\"output_tokens\":5}",
     {.known = true, .prompt = 31, .write = 10, .write_long = 20, .completion = 5}},
    {"{\"input_tokens\":1,\"cache_creation_input_tokens\":3,\"cache_creation\":{\"ephemeral_5m_input_tokens\":9},"
     "\"output_tokens\":5}",
     {.known = true, .prompt = 10, .write = 9, .completion = 5}},
    {"{\"input_tokens\":1,\"output_tokens\":5,\"output_tokens_details\":{\"thinking_tokens\":9}}",
     {.known = true, .prompt = 1, .completion = 14, .reasoning = 9}},
    /* not believed */
    {"{\"input_tokens\":-1,\"output_tokens\":5}", {.completion = 5}},
    {"{\"input_tokens\":1.5,\"output_tokens\":5}", {.completion = 5}},
    {"{\"input_tokens\":0,\"output_tokens\":5}", {.completion = 5}},
    {"{\"input_tokens\":1}", {.prompt = 1}},
    {"{\"input_tokens\":99999999999999,\"cache_read_input_tokens\":null,\"output_tokens\":\"5\"}", {.known = false}},
    {"{\"input_tokens\":1,\"cache_creation_input_tokens\":1000000000,\"cache_read_input_tokens\":1000000000,"
     "\"output_tokens\":1}",
     {.completion = 1}},
    {"{\"input_tokens\":1000000000,\"cache_read_input_tokens\":5,\"output_tokens\":1}",
     {.known = true, .prompt = 1000000000, .cached = 5, .completion = 1}},
    {"[]", {.known = false}},
};

static void usage_is_read_of_whole_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(usages) / sizeof(usages[0]); i++) {
        struct facts f;
        struct buf json;

        buf_init(&json, 4096);
        assert_int_equal(buf_addf(&json,
                                  "{\"type\":\"message\",\"content\":[],\"stop_reason\":\"end_turn\",\"usage\":%s}",
                                  usages[i].usage),
                         ST_OK);
        assert_int_equal(buf_add(&json, "", 1), ST_OK);
        f = read_json(json.p, NULL);
        assert_usage(&f.usage, &usages[i].is);
        assert_true(f.has_answer && !f.failed && !f.final && !f.length && f.seen == 1 && f.finished == 1);
        buf_fini(&json);
    }
}

#define START(usage) "{\"type\":\"message_start\",\"message\":{\"content\":[],\"usage\":" usage "}}"
#define MORE(usage) "{\"type\":\"message_delta\",\"delta\":{},\"usage\":" usage "}"

/* Every event adds to what is known: what it does not say stays, what it says again is overwritten. */
/* What an event does not say stays as an earlier one said it (completion_tier). */
static void speed_and_place_have_their_part_of_the_price(void **state)
{
    static const struct {
        const char *json;
        uint64_t percent;
    } rows[] = {
        {"{\"content\":[],\"usage\":{\"output_tokens\":1}}", 0},
        {"{\"content\":[],\"usage\":{\"speed\":\"standard\",\"inference_geo\":\"global\"}}", 100},
        {"{\"content\":[],\"usage\":{\"speed\":\"fast\"}}", 200},
        {"{\"content\":[],\"usage\":{\"inference_geo\":\"us\"}}", 110},
        {"{\"content\":[],\"usage\":{\"speed\":\"fast\",\"inference_geo\":\"us\"}}", 220},
        {"{\"content\":[],\"usage\":{\"speed\":2,\"inference_geo\":null}}", 0},
        {START("{\"speed\":\"fast\"}"), 200},
        {MORE("{\"output_tokens\":1,\"inference_geo\":\"us\"}"), 110},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        print_message("%s\n", rows[i].json);
        assert_int_equal(read_json(rows[i].json, NULL).price_percent, rows[i].percent);
    }
}

static void usage_of_a_stream_is_cumulative(void **state)
{
    static const struct usage_case events[] = {
        {START("{\"input_tokens\":25,\"cache_creation_input_tokens\":30,\"cache_read_input_tokens\":100,"
               "\"cache_creation\":{\"ephemeral_5m_input_tokens\":10,\"ephemeral_1h_input_tokens\":20},"
               "\"output_tokens\":1}"),
         {.prompt = 155, .cached = 100, .write = 10, .write_long = 20, .completion = 1}},
        {"{\"type\":\"ping\"}", {.prompt = 155, .cached = 100, .write = 10, .write_long = 20, .completion = 1}},
        {MORE("{\"output_tokens\":7}"),
         {.known = true, .prompt = 155, .cached = 100, .write = 10, .write_long = 20, .completion = 7}},
        {MORE("{\"input_tokens\":40,\"cache_creation_input_tokens\":35,\"cache_read_input_tokens\":100,"
              "\"output_tokens\":9,\"output_tokens_details\":{\"thinking_tokens\":3}}"),
         {.known = true, .prompt = 175, .cached = 100, .write = 15, .write_long = 20, .completion = 9, .reasoning = 3}},
        {MORE("{\"input_tokens\":40,\"cache_creation_input_tokens\":15,\"output_tokens\":9}"),
         {.known = true, .prompt = 155, .cached = 100, .write = 0, .write_long = 15, .completion = 9, .reasoning = 3}},
        {MORE("{\"input_tokens\":0,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,"
              "\"output_tokens\":11}"),
         {.known = true, .prompt = 155, .cached = 100, .write = 0, .write_long = 15, .completion = 11, .reasoning = 3}},
        {"{\"type\":\"message_stop\"}",
         {.known = true, .prompt = 155, .cached = 100, .write = 0, .write_long = 15, .completion = 11, .reasoning = 3}},
    };
    struct usage u = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
        struct facts f = read_json(events[i].usage, i > 0 ? &u : NULL);

        u = f.usage;
        assert_usage(&u, &events[i].is);
        assert_int_equal(f.final, i + 1 == sizeof(events) / sizeof(events[0]));
    }
}

/* ---- text and ends ------------------------------------------------------------------------------------------------
 */

static void text_is_counted_wherever_it_is(void **state)
{
    struct facts f = read_json("{\"content\":[{\"type\":\"text\",\"text\":\"abcd\"},{\"type\":\"thinking\","
                               "\"thinking\":\"ef\",\"signature\":\"gggg\"},{\"type\":\"tool_use\",\"name\":\"hi\","
                               "\"input\":{\"j\": 1}},\"\",null]}",
                               NULL);

    (void)state;
    assert_int_equal(f.text.ascii, 15);
    f = read_json("{\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"\xc3\xa9\"}}", NULL);
    assert_int_equal(f.text.other, 1);
    assert_true(f.has_answer);
    f = read_json(
        "{\"type\":\"content_block_delta\",\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{}\"}}", NULL);
    assert_int_equal(f.text.ascii, 2);
    f = read_json("{\"type\":\"content_block_start\",\"content_block\":{\"type\":\"tool_use\",\"name\":\"hi\","
                  "\"input\":{}}}",
                  NULL);
    assert_int_equal(f.text.ascii, 2);
    f = read_json("{\"type\":\"content_block_delta\",\"delta\":{\"type\":\"signature_delta\",\"signature\":\"x\"}}",
                  NULL);
    assert_int_equal(f.text.ascii, 0);
}

static void ends_are_told_apart(void **state)
{
    (void)state;
    assert_true(read_json("{\"content\":[],\"stop_reason\":\"max_tokens\"}", NULL).length);
    assert_true(read_json("{\"content\":[],\"stop_reason\":\"model_context_window_exceeded\"}", NULL).length);
    assert_true(read_json("{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"max_tokens\"}}", NULL).length);
    assert_false(read_json("{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"refusal\"}}", NULL).length);
    assert_int_equal(read_json("{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":null}}", NULL).finished, 0);
    assert_false(read_json("{}", NULL).has_answer);
    assert_false(read_json("{\"content\":\"x\"}", NULL).has_answer);
}

static void what_is_no_object_is_refused(void **state)
{
    static const char *const bad[] = {"", "[]", "null", "{", "{\"a\":}", "\"x\"", "{} {}"};
    struct facts f;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(dialect_messages.read(slice_of(bad[i]), NULL, NULL, &f), ST_BAD_REQUEST);
}

/* ---- errors -------------------------------------------------------------------------------------------------------
 */

#define ERROR(type, message)                                                                                           \
    "{\"type\":\"error\",\"error\":{\"type\":\"" type "\",\"message\":\"" message "\"},\"request_id\":\"r\"}"

struct error_case {
    unsigned status;
    const char *json;
    unsigned client;
    const char *type, *code, *message;
};

static const struct error_case errors[] = {
    {400, ERROR("invalid_request_error", "m"), 400, "invalid_request_error", "", "m"},
    {400, ERROR("invalid_request_error", "prompt is too long: 2 tokens > 1 maximum"), 400, "invalid_request_error",
     "context_length_exceeded", "prompt is too long: 2 tokens > 1 maximum"},
    {404, ERROR("not_found_error", "model: x"), 404, "invalid_request_error", "model_not_found", "model: x"},
    {409, ERROR("conflict_error", "m"), 409, "invalid_request_error", "conflict", "m"},
    {413, "<html>", 413, "invalid_request_error", "request_too_large", ""},
    {422, "{\"error\":\"m\"}", 400, "invalid_request_error", "", "m"},
    {429, ERROR("rate_limit_error", "50 requests per minute"), 429, "requests", "rate_limit_exceeded",
     "50 requests per minute"},
    {429, ERROR("rate_limit_error", "9 input tokens per minute"), 429, "tokens", "rate_limit_exceeded",
     "9 input tokens per minute"},
    {500, ERROR("api_error", "m"), 502, "server_error", "upstream_error", "m"},
    {500, ERROR("overloaded_error", "m"), 503, "service_unavailable_error", "server_is_overloaded", "m"},
    {529, "", 503, "service_unavailable_error", "server_is_overloaded", ""},
    {503, "", 503, "service_unavailable_error", "server_is_overloaded", ""},
    {504, ERROR("timeout_error", "m"), 504, "server_error", "upstream_timeout", "m"},
    {408, "{}", 504, "server_error", "upstream_timeout", ""},
    {502, "{\"message\":\"flat\"}", 502, "server_error", "upstream_error", "flat"},
    {418, "{\"error\":{\"type\":7,\"message\":7}}", 400, "invalid_request_error", "", "7"},
};

static void errors_are_as_clients_of_openai_know_them(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        const struct error_case *c = &errors[i];
        struct upstream_error e;

        dialect_messages.read_error(c->status, slice_of(c->json), &e);
        assert_int_equal(e.status, c->client);
        assert_string_equal(e.type, c->type);
        assert_string_equal(e.code, c->code);
        assert_string_equal(e.message, c->message);
        assert_string_equal(e.param, strcmp(c->code, "context_length_exceeded") == 0 ? "messages" : "");
        assert_false(e.bad_key || e.no_credit || e.shaped);
    }
}

static void what_is_the_operators_is_told_apart(void **state)
{
    struct upstream_error e;

    (void)state;
    dialect_messages.read_error(401, slice_of(ERROR("authentication_error", "m")), &e);
    assert_true(e.bad_key && !e.no_credit);
    dialect_messages.read_error(403, slice_of("no"), &e);
    assert_true(e.bad_key && !e.no_credit);
    dialect_messages.read_error(402, slice_of(ERROR("billing_error", "m")), &e);
    assert_true(!e.bad_key && e.no_credit);
    dialect_messages.read_error(400, slice_of(ERROR("invalid_request_error", "Your credit balance is too low to …")),
                                &e);
    assert_true(!e.bad_key && e.no_credit && e.status == 502);
}

static void errors_come_within_streams(void **state)
{
    struct facts f = read_json(ERROR("overloaded_error", "Overloaded"), NULL);

    (void)state;
    assert_true(f.failed && !f.has_answer && !f.final);
    assert_int_equal(f.error.status, 503);
    assert_string_equal(f.error.code, "server_is_overloaded");
    f = read_json("{\"error\":{\"message\":\"m\"}}", NULL);
    assert_true(f.failed);
    assert_int_equal(f.error.status, 502);
}

struct written_case {
    unsigned status;
    const char *type, *written;
};

static void errors_are_written_as_anthropics(void **state)
{
    static const struct written_case cases[] = {
        {400, "invalid_request_error", "invalid_request_error"},
        {401, "invalid_request_error", "authentication_error"},
        {402, "invalid_request_error", "billing_error"},
        {403, "invalid_request_error", "permission_error"},
        {404, "invalid_request_error", "not_found_error"},
        {405, "invalid_request_error", "invalid_request_error"},
        {409, "invalid_request_error", "conflict_error"},
        {413, "invalid_request_error", "request_too_large"},
        {422, "invalid_request_error", "invalid_request_error"},
        {429, "requests", "rate_limit_error"},
        {429, "insufficient_quota", "billing_error"},
        {500, "server_error", "api_error"},
        {502, "server_error", "api_error"},
        {503, "service_unavailable_error", "overloaded_error"},
        {504, "server_error", "timeout_error"},
        {529, "server_error", "overloaded_error"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct upstream_error e = {.status = cases[i].status, .message = "say \"a\"\n"};
        struct buf out, wanted;

        assert_true(slice_copy(slice_of(cases[i].type), e.type, sizeof(e.type)));
        buf_init(&out, 4096);
        buf_init(&wanted, 4096);
        assert_int_equal(dialect_messages.write_error(&e, slice_of("req_1"), &out), ST_OK);
        assert_int_equal(buf_addf(&wanted,
                                  "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":\"say \\\"a\\\"\\n\"},"
                                  "\"request_id\":\"req_1\"}",
                                  cases[i].written),
                         ST_OK);
        assert_true(json_alike((struct slice){out.p, out.n}, (struct slice){wanted.p, wanted.n}));
        buf_fini(&out);
        buf_fini(&wanted);
    }
}

/* ---- models -------------------------------------------------------------------------------------------------------
 */

struct model_case {
    const char *name;
    struct claude is;
};

#define NOT CLAUDE_THINKS_NOT
#define BUDGET CLAUDE_THINKS_BUDGET
#define ADAPTIVE CLAUDE_THINKS_ADAPTIVE
#define NO_EFFORT CLAUDE_EFFORT_NOT
#define HIGH CLAUDE_EFFORT_HIGH
#define MAX CLAUDE_EFFORT_MAX
#define XHIGH CLAUDE_EFFORT_XHIGH

static void models_are_known_by_their_names(void **state)
{
    /* thinking, effort, thinks always, sampling, one sampler, forced tools, prefill, schemas */
    static const struct model_case models[] = {
        {"claude-2.1", {NOT, NO_EFFORT, false, true, false, true, true, false}},
        {"claude-3-haiku-20240307", {NOT, NO_EFFORT, false, true, false, true, true, false}},
        {"claude-3-5-sonnet-v2@20241022", {NOT, NO_EFFORT, false, true, false, true, true, false}},
        {"anthropic/claude-3.7-sonnet", {BUDGET, NO_EFFORT, false, true, false, true, true, false}},
        {"claude-opus-4-20250514", {BUDGET, NO_EFFORT, false, true, false, true, true, false}},
        {"claude-opus-4-1", {BUDGET, NO_EFFORT, false, true, true, true, true, false}},
        {"us.anthropic.claude-haiku-4-5-20251001-v1:0", {BUDGET, NO_EFFORT, false, true, true, true, true, true}},
        {"claude-opus-4-5", {BUDGET, HIGH, false, true, true, true, true, true}},
        {"claude-sonnet-4-6", {ADAPTIVE, MAX, false, true, true, true, false, true}},
        {"claude-opus-4-7", {ADAPTIVE, XHIGH, false, false, true, true, false, true}},
        {"claude-sonnet-5", {ADAPTIVE, XHIGH, false, false, true, true, false, true}},
        {"claude-fable-5", {ADAPTIVE, XHIGH, true, false, true, true, false, true}},
        {"claude-fable-5-2-20261001", {ADAPTIVE, XHIGH, true, false, true, false, false, true}},
        {"claude-mythos-preview", {ADAPTIVE, XHIGH, true, false, true, true, false, true}},
        {"claude-opus-5-5", {ADAPTIVE, XHIGH, true, false, true, false, false, true}},
        {"claude-haiku-5-5", {ADAPTIVE, XHIGH, false, false, true, true, false, true}},
        {"claude", {ADAPTIVE, XHIGH, true, false, true, false, false, true}},
        {"glm-6", {BUDGET, NO_EFFORT, false, true, false, true, true, true}},
        {"", {BUDGET, NO_EFFORT, false, true, false, true, true, true}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
        const struct claude *is = &models[i].is;
        struct claude can;

        claude_traits(slice_of(models[i].name), &can);
        if (can.thinking != is->thinking || can.effort != is->effort || can.thinks_always != is->thinks_always ||
            can.sampling != is->sampling || can.one_sampler != is->one_sampler ||
            can.forced_tools != is->forced_tools || can.prefill != is->prefill || can.schemas != is->schemas)
            fail_msg("%s: %d %d %d %d %d %d %d %d", models[i].name, can.thinking, can.effort, can.thinks_always,
                     can.sampling, can.one_sampler, can.forced_tools, can.prefill, can.schemas);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usage_is_read_of_whole_answers),
        cmocka_unit_test(speed_and_place_have_their_part_of_the_price),
        cmocka_unit_test(usage_of_a_stream_is_cumulative),
        cmocka_unit_test(text_is_counted_wherever_it_is),
        cmocka_unit_test(ends_are_told_apart),
        cmocka_unit_test(what_is_no_object_is_refused),
        cmocka_unit_test(errors_are_as_clients_of_openai_know_them),
        cmocka_unit_test(what_is_the_operators_is_told_apart),
        cmocka_unit_test(errors_come_within_streams),
        cmocka_unit_test(errors_are_written_as_anthropics),
        cmocka_unit_test(models_are_known_by_their_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
