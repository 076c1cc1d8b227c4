/* What is read of Gemini's answers and errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/translating.h"

static enum status read_text(const char *json, const struct usage *before, struct facts *ret)
{
    return dialect_gemini.read(slice_of(json), before, NULL, ret);
}

static struct facts facts_of(const char *json)
{
    struct facts f;

    assert_int_equal(read_text(json, NULL, &f), ST_OK);
    return f;
}

static void a_whole_answer_is_read(void **state)
{
    struct slice json = fixture("gemini/generate_tools.response.json");
    struct facts f;

    (void)state;
    assert_int_equal(dialect_gemini.read(json, NULL, NULL, &f), ST_OK);
    assert_true(f.has_answer && f.final && !f.failed && !f.length);
    assert_int_equal(f.seen, 1);
    assert_int_equal(f.finished, 1);
    assert_true(f.usage.known);
    assert_int_equal(f.usage.prompt, 120);
    assert_int_equal(f.usage.cached, 64);
    assert_int_equal(f.usage.image_in, 64);
    assert_int_equal(f.usage.completion, 45);
    assert_int_equal(f.usage.reasoning, 30);
    assert_int_equal(f.text.ascii, strlen("get_weather") + strlen("{\"city\":\"Lima\"}"));
    free((char *)(uintptr_t)json.p);
}

struct usage_row {
    const char *json; /* of usageMetadata */
    struct usage want;
};

static void usage_is_read(void **state)
{
    static const struct usage_row rows[] = {
        {"{\"promptTokenCount\":5}", {.known = true, .prompt = 5}},
        {"{}", {.known = false}},
        {"{\"promptTokenCount\":-5}", {.known = false}},
        {"{\"promptTokenCount\":1.5}", {.known = false}},
        {"{\"promptTokenCount\":\"5\"}", {.known = false}},
        {"[]", {.known = false}},
        {"{\"promptTokenCount\":5,\"toolUsePromptTokenCount\":7}", {.known = true, .prompt = 12}},
        {"{\"promptTokenCount\":5,\"cachedContentTokenCount\":9}", {.known = true, .prompt = 14, .cached = 9}},
        {"{\"promptTokenCount\":5,\"candidatesTokenCount\":2,\"thoughtsTokenCount\":9}",
         {.known = true, .prompt = 5, .completion = 11, .reasoning = 9}},
        {"{\"promptTokenCount\":9,\"promptTokensDetails\":[{\"modality\":\"AUDIO\",\"tokenCount\":4},{\"modality\":"
         "\"IMAGE\",\"tokenCount\":3},{\"modality\":\"AUDIO\",\"tokenCount\":1},{},7]}",
         {.known = true, .prompt = 9, .audio_in = 5, .image_in = 3}},
        {"{\"promptTokenCount\":9,\"candidatesTokenCount\":8,\"candidatesTokensDetails\":[{\"modality\":\"IMAGE\","
         "\"tokenCount\":7}],\"thoughtsTokenCount\":3}",
         {.known = true, .prompt = 9, .completion = 11, .image_out = 7, .reasoning = 3}},
    };
    char text[512];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct facts f;

        snprintf(text, sizeof(text), "{\"usageMetadata\":%s}", rows[i].json);
        f = facts_of(text);
        print_message("%s\n", text);
        assert_int_equal(f.usage.known, rows[i].want.known);
        assert_int_equal(f.usage.prompt, rows[i].want.prompt);
        assert_int_equal(f.usage.cached, rows[i].want.cached);
        assert_int_equal(f.usage.audio_in, rows[i].want.audio_in);
        assert_int_equal(f.usage.image_in, rows[i].want.image_in);
        assert_int_equal(f.usage.completion, rows[i].want.completion);
        assert_int_equal(f.usage.reasoning, rows[i].want.reasoning);
        assert_int_equal(f.usage.image_out, rows[i].want.image_out);
    }
}

static void the_last_usage_of_a_stream_holds(void **state)
{
    struct usage before = {.known = true, .prompt = 5, .completion = 9};
    struct facts f;

    (void)state;
    assert_int_equal(read_text("{\"candidates\":[]}", &before, &f), ST_OK);
    assert_int_equal(f.usage.completion, 9);
    assert_false(f.has_answer);
    assert_int_equal(read_text("{\"usageMetadata\":{\"promptTokenCount\":6,\"candidatesTokenCount\":2}}", &before, &f),
                     ST_OK);
    assert_int_equal(f.usage.prompt, 6);
    assert_int_equal(f.usage.completion, 2);
}

static void ends_are_seen(void **state)
{
    struct facts f =
        facts_of("{\"candidates\":[{\"index\":0,\"content\":{\"parts\":[{\"text\":\"a\"}]}},"
                 "{\"index\":2,\"finishReason\":\"MAX_TOKENS\"},{\"index\":99,\"finishReason\":\"STOP\"}]}");

    (void)state;
    assert_int_equal(f.seen, UINT64_C(5) | UINT64_C(1) << 63);
    assert_int_equal(f.finished, UINT64_C(4) | UINT64_C(1) << 63);
    assert_true(f.final && f.length);
    f = facts_of("{\"candidates\":[{\"finishReason\":\"FINISH_REASON_UNSPECIFIED\"}]}");
    assert_false(f.final);
    f = facts_of("{\"promptFeedback\":{\"blockReason\":\"SAFETY\"}}");
    assert_true(f.final && f.has_answer);
    assert_int_equal(f.seen & f.finished, 1);
    f = facts_of("{\"promptFeedback\":{\"safetyRatings\":[]}}");
    assert_false(f.final || f.has_answer);
}

static void an_error_in_a_stream_has_its_status(void **state)
{
    struct facts f = facts_of("{\"error\":{\"code\":503,\"message\":\"overloaded\",\"status\":\"UNAVAILABLE\"}}");

    (void)state;
    assert_true(f.failed);
    assert_int_equal(f.error.status, 503);
    assert_string_equal(f.error.code, "server_is_overloaded");
    assert_string_equal(f.error.message, "overloaded");
}

struct error_row {
    unsigned status;
    const char *json;
    struct upstream_error want;
};

#define ERROR_OF(status, message, more) "{\"error\":{\"status\":\"" status "\",\"message\":\"" message "\"" more "}}"
#define DETAIL(text) ",\"details\":[" text "]"

static const struct error_row error_rows[] = {
    {400, ERROR_OF("INVALID_ARGUMENT", "bad", ""), {.message = "bad"}},
    {400,
     ERROR_OF("INVALID_ARGUMENT", "key", DETAIL("{\"reason\":\"API_KEY_INVALID\"}")),
     {.message = "key", .bad_key = true}},
    {400,
     ERROR_OF("INVALID_ARGUMENT",
              "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).", ""),
     {.code = "context_length_exceeded",
      .param = "messages",
      .message = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."}},
    {400,
     ERROR_OF("FAILED_PRECONDITION", "Please enable billing.", ""),
     {.message = "Please enable billing.", .no_credit = true}},
    {400,
     ERROR_OF("FAILED_PRECONDITION", "User location is not supported for the API use.", ""),
     {.message = "User location is not supported for the API use.", .bad_key = true}},
    {400, ERROR_OF("FAILED_PRECONDITION", "file", ""), {.message = "file"}},
    {403, ERROR_OF("PERMISSION_DENIED", "no", ""), {.message = "no", .bad_key = true}},
    {403,
     ERROR_OF("PERMISSION_DENIED", "no", DETAIL("{\"reason\":\"BILLING_DISABLED\"}")),
     {.message = "no", .bad_key = true, .no_credit = true}},
    {404, ERROR_OF("NOT_FOUND", "m", ""), {.message = "m", .code = "model_not_found"}},
    {429,
     ERROR_OF("RESOURCE_EXHAUSTED", "q", DETAIL("{\"retryDelay\":\"0.2504s\"}")),
     {.message = "q", .type = "rate_limit_error", .code = "rate_limit_exceeded", .retry_after_ms = 251}},
    {429,
     ERROR_OF("RESOURCE_EXHAUSTED", "q",
              DETAIL("{\"violations\":[{\"quotaId\":\"RequestsPerDayPerProject\"}]},{\"retryDelay\":\"46s\"}")),
     {.message = "q", .type = "rate_limit_error", .code = "rate_limit_exceeded", .retry_after_ms = 3600000}},
    {429,
     ERROR_OF("RESOURCE_EXHAUSTED", "q", DETAIL("{\"retryDelay\":\"99999999999999999999s\"},{\"retryDelay\":7},3")),
     {.message = "q", .type = "rate_limit_error", .code = "rate_limit_exceeded"}},
    {503,
     ERROR_OF("UNAVAILABLE", "busy", ""),
     {.message = "busy", .type = "service_unavailable_error", .code = "server_is_overloaded"}},
    {504, ERROR_OF("DEADLINE_EXCEEDED", "late", ""), {.message = "late", .code = "upstream_timeout"}},
    {500, "[" ERROR_OF("INTERNAL", "in a list", "") "]", {.message = "in a list"}},
    {500, "{\"error\":\"text\"}", {.message = "text"}},
    {502, "<html>", {.message = ""}},
    {502, "", {.message = ""}},
    {502, "[]", {.message = ""}},
    {200, "[{\"error\":{\"code\":429,\"message\":\"m\"}}]", {.message = "m", .status = 429}},
};

static void errors_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(error_rows) / sizeof(error_rows[0]); i++) {
        const struct error_row *row = &error_rows[i];
        struct upstream_error e;

        print_message("%s\n", row->json);
        dialect_gemini.read_error(row->status, slice_of(row->json), &e);
        assert_string_equal(e.message, row->want.message);
        assert_string_equal(e.code, row->want.code);
        assert_string_equal(e.type, row->want.type);
        assert_string_equal(e.param, row->want.param);
        assert_int_equal(e.status, row->want.status);
        assert_int_equal(e.retry_after_ms, row->want.retry_after_ms);
        assert_int_equal(e.bad_key, row->want.bad_key);
        assert_int_equal(e.no_credit, row->want.no_credit);
        assert_false(e.shaped);
    }
}

static void the_fixtures_of_errors_are_read(void **state)
{
    struct slice quota = fixture("gemini/error_429.response.json");
    struct slice key = fixture("gemini/error_bad_key_400.response.json");
    struct upstream_error e;

    (void)state;
    dialect_gemini.read_error(429, quota, &e);
    assert_int_equal(e.retry_after_ms, 46000);
    assert_string_equal(e.message, "You exceeded your current quota.");
    dialect_gemini.read_error(400, key, &e);
    assert_true(e.bad_key);
    free((char *)(uintptr_t)quota.p);
    free((char *)(uintptr_t)key.p);
}

/* Every cut of a body, in memory of its exact size. */
static void broken_bodies_are_refused(void **state)
{
    struct slice json = fixture("gemini/generate_tools.response.json");

    (void)state;
    for (size_t n = 0; n < json.n; n++) {
        char *copy = malloc(n > 0 ? n : 1);
        struct upstream_error e;
        struct facts f;

        assert_non_null(copy);
        memcpy(copy, json.p, n);
        if (dialect_gemini.read((struct slice){copy, n}, NULL, NULL, &f) == ST_OK)
            assert_true(n + 1 >= json.n); /* the fixture ends with a newline */
        dialect_gemini.read_error(500, (struct slice){copy, n}, &e);
        free(copy);
    }
    free((char *)(uintptr_t)json.p);
}

static void an_error_is_written(void **state)
{
    static const struct {
        unsigned status;
        const char *word;
    } rows[] = {{400, "INVALID_ARGUMENT"}, {401, "UNAUTHENTICATED"},  {403, "PERMISSION_DENIED"},  {404, "NOT_FOUND"},
                {409, "ABORTED"},          {413, "INVALID_ARGUMENT"}, {429, "RESOURCE_EXHAUSTED"}, {499, "CANCELLED"},
                {500, "INTERNAL"},         {501, "UNIMPLEMENTED"},    {502, "INTERNAL"},           {503, "UNAVAILABLE"},
                {504, "DEADLINE_EXCEEDED"}};
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct upstream_error e = {
            .status = rows[i].status, .message = "say \"no\"", .retry_after_ms = i == 6 ? 46050 : 0};
        char want[512];

        snprintf(want, sizeof(want), "{\"error\":{\"code\":%u,\"message\":\"say \\\"no\\\"\",\"status\":\"%s\"%s}}",
                 rows[i].status, rows[i].word,
                 i == 6 ? ",\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\",\"retryDelay\":"
                          "\"46.050s\"}]"
                        : "");
        out.n = 0;
        assert_int_equal(dialect_gemini.write_error(&e, slice_of("req_1"), &out), ST_OK);
        assert_true(json_alike((struct slice){out.p, out.n}, slice_of(want)));
    }
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_answer_is_read),
        cmocka_unit_test(usage_is_read),
        cmocka_unit_test(the_last_usage_of_a_stream_holds),
        cmocka_unit_test(ends_are_seen),
        cmocka_unit_test(an_error_in_a_stream_has_its_status),
        cmocka_unit_test(errors_are_read),
        cmocka_unit_test(the_fixtures_of_errors_are_read),
        cmocka_unit_test(broken_bodies_are_refused),
        cmocka_unit_test(an_error_is_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
