/* What the gateway reads of a chat completion: every wrong field by name, everything unknown untouched, the estimate by
 * its rule. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/surfaces.h"
#include "providersvc/dialects/messages_count.h"
#include "services/json.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MESSAGES "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"
#define USAGE "stream_options.include_usage"
#define BASE "\"model\":\"m\"," MESSAGES

static int set_up(void **state)
{
    struct arena *a = calloc(1, sizeof(*a));

    assert_non_null(a);
    arena_init(a, 1 << 20);
    *state = a;
    return 0;
}

static int tear_down(void **state)
{
    arena_fini(*state);
    free(*state);
    return 0;
}

static enum status read_text(struct arena *a, const char *text, struct call_request *r, struct err *err)
{
    size_t n = strlen(text);
    char *copy = malloc(n ? n : 1); /* exact, so that a byte too far is seen */
    enum status st;

    assert_non_null(copy);
    memcpy(copy, text, n);
    *err = (struct err){.status = ST_OK};
    *r = (struct call_request){.choices = 0};
    st = call_request_read(&surfaces[SURFACE_CHAT], (struct slice){copy, n}, a, r, err);
    free(copy); /* nothing may point into it */
    return st;
}

static void wrong_fields_are_named(void **state)
{
    static const struct {
        const char *text, *param, *code;
    } cases[] = {
        {"{" MESSAGES "}", "model", "missing_required_parameter"},
        {"{\"model\":null," MESSAGES "}", "model", "missing_required_parameter"},
        {"{\"model\":5," MESSAGES "}", "model", "invalid_type"},
        {"{\"model\":\"\"," MESSAGES "}", "model", "invalid_value"},
        {"{\"model\":\"a\\u0000b\"," MESSAGES "}", "model", "invalid_value"},
        {"{\"model\":\"m\"}", "messages", "missing_required_parameter"},
        {"{\"model\":\"m\",\"messages\":{}}", "messages", "invalid_type"},
        {"{\"model\":\"m\",\"messages\":[]}", "messages", "empty_array"},
        {"{\"model\":\"m\",\"messages\":[null]}", "messages[0]", "invalid_type"},
        {"{\"model\":\"m\",\"messages\":[{\"role\":\"user\"},5]}", "messages[1]", "invalid_type"},
        {"{\"model\":\"m\",\"messages\":[{}]}", "messages[0].role", "missing_required_parameter"},
        {"{\"model\":\"m\",\"messages\":[{\"role\":1}]}", "messages[0].role", "invalid_type"},
        {"{" BASE ",\"stream\":\"yes\"}", "stream", "invalid_type"},
        {"{" BASE ",\"stream\":1}", "stream", "invalid_type"},
        {"{" BASE ",\"stream_options\":5}", "stream_options", "invalid_type"},
        {"{" BASE ",\"stream_options\":{\"include_usage\":\"x\"}}", "stream_options.include_usage", "invalid_type"},
        {"{" BASE ",\"max_tokens\":\"5\"}", "max_tokens", "invalid_type"},
        {"{" BASE ",\"max_tokens\":5.0}", "max_tokens", "invalid_type"},
        {"{" BASE ",\"max_tokens\":-1}", "max_tokens", "integer_below_min_value"},
        {"{" BASE ",\"max_completion_tokens\":-1}", "max_completion_tokens", "integer_below_min_value"},
        {"{" BASE ",\"max_tokens\":1000000001}", "max_tokens", "integer_above_max_value"},
        {"{" BASE ",\"max_tokens\":18446744073709551615}", "max_tokens", "integer_above_max_value"},
        {"{" BASE ",\"n\":0}", "n", "integer_below_min_value"},
        {"{" BASE ",\"n\":129}", "n", "integer_above_max_value"},
        {"{" BASE ",\"model\":\"other\"}", "model", "invalid_value"},
        {"{" BASE ",\"mod\\u0065l\":\"other\"}", "model", "invalid_value"},
        {"{" BASE ",\"stream\":true,\"stream\":false}", "stream", "invalid_value"},
        {"{" BASE ",\"max_tokens\":1,\"max_tokens\":9}", "max_tokens", "invalid_value"},
        {"{" BASE ",\"stream_options\":{\"include_usage\":true,\"include_usage\":false}}", USAGE, "invalid_value"},
        {"{" BASE ",\"stream_options\":{\"include_usage\":false,\"include_usage\":true}}", USAGE, "invalid_value"},
        {"{" BASE ",\"stream_options\":{\"include_usage\":true,\"include_us\\u0061ge\":false}}", USAGE,
         "invalid_value"},
        {"{" BASE ",\"stream_options\":{\"Include_usage\":false}}", "stream_options.Include_usage", "invalid_value"},
        {"{" BASE ",\"Model\":\"other\"}", "Model", "invalid_value"},
        {"{\"Model\":\"m\"," MESSAGES "}", "Model", "invalid_value"},
        {"{" BASE ",\"MAX_t\\u006fkens\":9}", "MAX_tokens", "invalid_value"},
    };
    struct call_request r;
    struct err err;
    size_t i;

    for (i = 0; i < COUNT(cases); i++) {
        if (read_text(*state, cases[i].text, &r, &err) != ST_BAD_REQUEST)
            fail_msg("taken: %s", cases[i].text);
        assert_string_equal(err.param, cases[i].param);
        assert_string_equal(err.code, cases[i].code);
    }
}

static void what_is_not_a_json_object_is_refused(void **state)
{
    static const char *const texts[] = {"",
                                        " ",
                                        "{",
                                        "[]",
                                        "5",
                                        "null",
                                        "\"x\"",
                                        "{" BASE "} x",
                                        "{" BASE ",}",
                                        "{'model':'m'}",
                                        "{\"model\":\"\xff\"," MESSAGES "}",
                                        "{\"model\":\"\\ud800\"," MESSAGES "}"};
    struct call_request r;
    struct err err;
    size_t i;

    for (i = 0; i < COUNT(texts); i++) {
        assert_int_equal(read_text(*state, texts[i], &r, &err), ST_BAD_REQUEST);
        assert_string_equal(err.param, "");
        assert_string_equal(err.code, "");
        assert_true(err.text[0] != '\0');
    }
}

static enum status nested(struct arena *a, unsigned depth, struct err *err)
{
    char text[4096];
    size_t n = (size_t)snprintf(text, sizeof(text), "{" BASE ",\"x\":");
    struct call_request r;
    unsigned i;

    for (i = 1; i < depth; i++)
        text[n++] = '[';
    for (i = 1; i < depth; i++)
        text[n++] = ']';
    text[n++] = '}';
    text[n] = '\0';
    return read_text(a, text, &r, err);
}

static void depth_is_bounded(void **state)
{
    struct err err;

    assert_int_equal(nested(*state, JSON_DEPTH_MAX, &err), ST_OK);
    assert_int_equal(nested(*state, JSON_DEPTH_MAX + 1, &err), ST_BAD_REQUEST);
    assert_int_equal(nested(*state, 1500, &err), ST_BAD_REQUEST);
}

static void what_is_needed_is_read(void **state)
{
    struct call_request r;
    struct err err;

    assert_int_equal(read_text(*state, "{" BASE "}", &r, &err), ST_OK);
    assert_true(slice_is(r.model, "m"));
    assert_false(r.stream);
    assert_false(r.usage_asked);
    assert_int_equal(r.choices, 1);
    assert_int_equal(r.output_limit, 0);
    assert_int_equal(
        read_text(
            *state,
            "{\"unknown\":{\"model\":7},\"model\":\"a/b\",\"stream\":true,\"stream_options\":{\"include_usage\":true,"
            "\"include_obfuscation\":false},\"max_tokens\":7,\"max_completion_tokens\":9,\"n\":3,\"tools\":"
            "null," MESSAGES "}",
            &r, &err),
        ST_OK);
    assert_true(slice_is(r.model, "a/b"));
    assert_true(r.stream);
    assert_true(r.usage_asked);
    assert_int_equal(r.choices, 3);
    assert_int_equal(r.output_limit, 9);
    assert_int_equal(
        read_text(*state, "{" BASE ",\"max_tokens\":11,\"max_completion_tokens\":9,\"stream\":null}", &r, &err), ST_OK);
    assert_int_equal(r.output_limit, 11);
    assert_int_equal(read_text(*state, "{" BASE ",\"max_tokens\":0,\"max_completion_tokens\":0}", &r, &err), ST_OK);
    assert_int_equal(r.output_limit, 0); /* none: upstream says what it makes of it */
}

static uint64_t tokens_of(struct arena *a, const char *text, uint64_t *ret_upper)
{
    struct call_request r;
    struct err err;

    if (read_text(a, text, &r, &err) != ST_OK)
        fail_msg("%s: %s", text, err.text);
    if (ret_upper)
        *ret_upper = r.tokens_upper;
    assert_true(r.tokens_upper >= r.tokens);
    return r.tokens;
}

#define SAY(content) "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":" content "}]}"
#define FRAME 7 /* 4 a message, 3 for the reply */

/* The hold bears the dearest that it may cost; what is cheaper, or the provider's to choose, is held for as ever. */
static void a_dearer_tier_is_read(void **state)
{
    static const struct {
        const char *value;
        uint64_t percent;
    } cases[] = {
        {"\"priority\"", 200}, {"\"fast\"", 200},   {"\"auto\"", 0}, {"\"default\"", 0}, {"\"flex\"", 0},
        {"\"scale\"", 0},      {"\"Priority\"", 0}, {"null", 0},     {"5", 0},           {"[\"priority\"]", 0}};
    char text[256];

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct call_request r;
        struct err err;

        snprintf(text, sizeof(text), "{" BASE ",\"service_tier\":%s}", cases[i].value);
        assert_int_equal(read_text(*state, text, &r, &err), ST_OK);
        assert_int_equal(r.price_percent, cases[i].percent);
        snprintf(text, sizeof(text), "{\"model\":\"m\",\"input\":\"hi\",\"service_tier\":%s}", cases[i].value);
        r = (struct call_request){.choices = 0};
        assert_int_equal(call_request_read(&surfaces[SURFACE_RESPONSES], slice_of(text), *state, &r, &err), ST_OK);
        assert_int_equal(r.price_percent, cases[i].percent);
    }
}

static void what_anthropic_asks_more_for_is_read(void **state)
{
    static const struct {
        const char *more;
        uint64_t percent;
    } cases[] = {
        {"", 0},
        {",\"speed\":\"standard\",\"inference_geo\":\"global\"", 0},
        {",\"speed\":\"fast\"", 200},
        {",\"inference_geo\":\"us\"", 110},
        {",\"speed\":\"fast\",\"inference_geo\":\"us\"", 220},
    };
    char text[256];

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct call_request r = {.choices = 0};
        struct err err;

        snprintf(text, sizeof(text), "{" BASE ",\"max_tokens\":9%s}", cases[i].more);
        assert_int_equal(call_request_read(&surfaces[SURFACE_MESSAGES], slice_of(text), *state, &r, &err), ST_OK);
        assert_int_equal(r.price_percent, cases[i].percent);
    }
}

static void text_is_estimated_by_the_rule(void **state)
{
    /* "user" is text, too: 4 bytes, a token */
    assert_int_equal(tokens_of(*state, SAY("\"\""), NULL), FRAME + 1);
    assert_int_equal(tokens_of(*state, SAY("\"12345678\""), NULL), FRAME + 3);
    assert_int_equal(tokens_of(*state, SAY("\"123456789\""), NULL), FRAME + 4);
    assert_int_equal(tokens_of(*state, SAY("\"\xe4\xbd\xa0\xe5\xa5\xbd\""), NULL), FRAME + 3); /* 1 + 2 * 0.9, up */
    assert_int_equal(tokens_of(*state, SAY("[{\"type\":\"text\",\"text\":\"12345678\"}]"), NULL), FRAME + 4);
    assert_int_equal(tokens_of(*state, "{" BASE ",\"tools\":[{\"type\":\"function\"}]}", NULL) -
                         tokens_of(*state, "{" BASE "}", NULL),
                     6); /* its JSON, 21 bytes, a little more */
}

static void images_are_not_text(void **state)
{
    char *text = malloc(400000);
    uint64_t upper;
    size_t n;

    assert_non_null(text);
    n = (size_t)snprintf(text, 400000,
                         "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\","
                         "\"image_url\":{\"url\":\"data:image/png;base64,");
    memset(text + n, 'A', 300000);
    snprintf(text + n + 300000, 1000, "\"}}]}]}");
    assert_in_range(tokens_of(*state, text, &upper), 765, 800);
    assert_true(upper < 2000);
    snprintf(text + n + 300000, 1000, "\",\"detail\":\"low\"}}]}]}");
    assert_in_range(tokens_of(*state, text, &upper), 85, 120);
    assert_true(upper < 200);
    free(text);
    assert_in_range(
        tokens_of(*state, SAY("[{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://a.example/x.png\"}}]"), NULL),
        765, 800);
    /* a data URL in plain text is text */
    assert_true(
        tokens_of(*state,
                  SAY("\"data:image/png;base64,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\""),
                  NULL) > 20);
}

/* ---- what is text ------------------------------------------------------------------------------------------------ */

#define LETTERS 4000u
#define LETTERS_TOKENS (LETTERS / 4)
#define AROUND 80u /* tokens of what is around them */
#define TURN(blocks) "{\"model\":\"m\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":[" blocks "]}]}"
#define DOCUMENT(source, more) TURN("{\"type\":\"document\",\"source\":{" source "}" more "}")
#define SENT "\"type\":\"text\",\"media_type\":\"text/plain\",\"data\":\"%s\""
#define PDF "\"type\":\"base64\",\"media_type\":\"application/pdf\",\"data\":\"JVBERi0%s\""
#define CALLS(input) TURN("{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":" input "}")

/* The text with letters for each %s. The caller ends *ret. */
static void with_letters(const char *text, struct buf *ret)
{
    char letters[LETTERS];

    memset(letters, 'a', sizeof(letters));
    buf_init(ret, 1 << 20);
    for (const char *at; (at = strstr(text, "%s")) != NULL; text = at + 2) {
        assert_int_equal(buf_add(ret, text, (size_t)(at - text)), ST_OK);
        assert_int_equal(buf_add(ret, letters, sizeof(letters)), ST_OK);
    }
    assert_int_equal(buf_add(ret, text, strlen(text)), ST_OK);
}

/* No member's name makes text cheaper, but of the parts that are known to be none. */
static void text_is_text_wherever_it_stands(void **state)
{
    static const struct {
        enum surface_kind surface;
        const char *text;
        uint64_t tokens;
    } cases[] = {
        {SURFACE_MESSAGES, DOCUMENT(SENT, ""), LETTERS_TOKENS},
        {SURFACE_MESSAGES, DOCUMENT(SENT, ",\"title\":\"%s\",\"context\":\"%s\""), 3 * LETTERS_TOKENS},
        {SURFACE_MESSAGES, DOCUMENT(PDF, ""), LETTERS / 16},
        {SURFACE_MESSAGES, DOCUMENT(PDF, ",\"context\":\"%s\""), LETTERS / 16 + LETTERS_TOKENS},
        {SURFACE_MESSAGES, DOCUMENT("\"type\":\"content\",\"content\":\"%s\"", ""), LETTERS_TOKENS},
        {SURFACE_MESSAGES,
         DOCUMENT("\"type\":\"content\",\"content\":[{\"type\":\"text\",\"text\":\"%s\"},{\"type\":\"image\","
                  "\"source\":{" PDF "}}]",
                  ""),
         LETTERS_TOKENS + 765},
        {SURFACE_MESSAGES,
         TURN("{\"type\":\"tool_result\",\"content\":[{\"type\":\"document\",\"source\":{" SENT "}}]}"),
         LETTERS_TOKENS},
        {SURFACE_MESSAGES, CALLS("{\"data\":\"%s\"}"), LETTERS_TOKENS},
        {SURFACE_MESSAGES, CALLS("{\"file_data\":\"%s\"}"), LETTERS_TOKENS},
        {SURFACE_MESSAGES, CALLS("{\"file_id\":\"%s\"}"), LETTERS_TOKENS},
        {SURFACE_MESSAGES, CALLS("{\"url\":\"data:%s\"}"), LETTERS_TOKENS},
        {SURFACE_MESSAGES, CALLS("{\"%s\":1}"), LETTERS_TOKENS},
        {SURFACE_MESSAGES, CALLS("{\"source\":{" PDF "}}"), LETTERS_TOKENS},
        {SURFACE_CHAT, SAY("[{\"type\":\"text\",\"text\":\"a\",\"data\":\"%s\"}]"), LETTERS_TOKENS},
        {SURFACE_CHAT, SAY("[{\"type\":\"input_audio\",\"data\":\"%s\"}]"), LETTERS_TOKENS},
        {SURFACE_CHAT, SAY("[{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"%s\",\"format\":\"mp3\"}}]"),
         LETTERS / 1000},
        {SURFACE_CHAT, SAY("[{\"type\":\"file\",\"file\":{\"file_data\":\"JVBERi0%s\"}}]"), LETTERS / 16},
        {SURFACE_UNKNOWN, "{\"model\":\"m\",\"data\":\"%s\"}", LETTERS_TOKENS},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct call_request r = {.choices = 0};
        uint64_t counted = 0;
        struct slice body;
        struct buf text;
        struct err err;

        with_letters(cases[i].text, &text);
        body = (struct slice){text.p, text.n};
        assert_int_equal(call_request_read(&surfaces[cases[i].surface], body, *state, &r, &err), ST_OK);
        if (r.tokens < cases[i].tokens || r.tokens > cases[i].tokens + AROUND)
            fail_msg("%llu tokens, not %llu: %s", (unsigned long long)r.tokens, (unsigned long long)cases[i].tokens,
                     cases[i].text);
        assert_int_equal(r.n_objects, 0);
        if (cases[i].surface == SURFACE_MESSAGES) { /* who counts them for the client agrees */
            assert_int_equal(messages_count_tokens(body, &counted, &err), ST_OK);
            assert_in_range(counted, cases[i].tokens, r.tokens);
        }
        buf_fini(&text);
    }
}

/* ---- what two readers read in two ways --------------------------------------------------------------------------- */

static enum status read_as(struct arena *a, enum surface_kind surface, const char *text, struct call_request *r,
                           struct err *err)
{
    *err = (struct err){.status = ST_OK};
    *r = (struct call_request){.choices = 0};
    return call_request_read(&surfaces[surface], slice_of(text), a, r, err);
}

#define IMAGE(more) "{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://h/x.png\"" more "}}"

/* Whichever of two an upstream takes, it costs no more than was thought: what says it stands there once. */
static void what_a_part_costs_is_said_once(void **state)
{
    static const struct {
        enum surface_kind surface;
        const char *text, *param;
    } cases[] = {
        {SURFACE_CHAT, SAY("[{\"type\":\"text\",\"type\":\"image_url\",\"text\":\"x\"}]"), "type"},
        {SURFACE_CHAT, SAY("[{\"type\":\"input_image\",\"Type\":\"input_file\",\"text\":\"x\"}]"), "type"},
        {SURFACE_CHAT, SAY("[{\"type\":\"input_image\",\"t\\u0079pe\":\"input_file\",\"text\":\"x\"}]"), "type"},
        {SURFACE_CHAT, SAY("[{\"type\":null,\"type\":\"item_reference\"}]"), "type"},
        {SURFACE_CHAT, SAY("[" IMAGE(",\"detail\":\"low\",\"detail\":\"high\"") "]"), "detail"},
        {SURFACE_CHAT, SAY("[" IMAGE(",\"Detail\":\"high\",\"detail\":\"low\"") "]"), "detail"},
        {SURFACE_CHAT, SAY("[{\"type\":\"image_url\",\"image_url\":\"a\",\"image_url\":{\"detail\":\"low\"}}]"),
         "image_url"},
        {SURFACE_RESPONSES, "{\"model\":\"m\",\"input\":[{\"type\":\"message\",\"type\":\"item_reference\"}]}", "type"},
        {SURFACE_MESSAGES, TURN("{\"type\":\"image\",\"type\":\"document\",\"source\":{" PDF "}}"), "type"},
        {SURFACE_MESSAGES, DOCUMENT("\"type\":\"text\"," PDF, ""), "type"},
        {SURFACE_MESSAGES, DOCUMENT(PDF ",\"type\":\"text\"", ""), "type"},
        {SURFACE_MESSAGES, DOCUMENT(PDF ",\"data\":\"x\"", ""), "data"},
        {SURFACE_MESSAGES, DOCUMENT(PDF ",\"Data\":\"x\"", ""), "data"},
        {SURFACE_MESSAGES, DOCUMENT(PDF ",\"media_type\":\"text/plain\"", ""), "media_type"},
        {SURFACE_MESSAGES, TURN("{\"type\":\"tool_result\",\"content\":[{\"type\":\"a\",\"type\":\"b\"}]}"), "type"},
    };
    struct call_request r;
    struct err err;

    for (size_t i = 0; i < COUNT(cases); i++) {
        if (read_as(*state, cases[i].surface, cases[i].text, &r, &err) != ST_BAD_REQUEST)
            fail_msg("taken: %s", cases[i].text);
        assert_string_equal(err.param, cases[i].param);
        assert_string_equal(err.code, "invalid_value");
    }
    /* elsewhere a name says nothing: parameters of a tool, what it was called with, text */
    assert_int_equal(read_as(*state, SURFACE_MESSAGES, CALLS("{\"type\":1,\"type\":2}"), &r, &err), ST_OK);
    assert_int_equal(read_text(*state, "{" BASE ",\"tools\":[{\"type\":1,\"Type\":2}]}", &r, &err), ST_OK);
    assert_int_equal(read_text(*state, SAY("[{\"type\":\"text\",\"text\":\"a\",\"text\":\"b\"}]"), &r, &err), ST_OK);
}

/* A list has a length and no text. */
static void other_types_are_no_text(void **state)
{
#define LIST "[1,2,3,4,5,6]"
    static const struct {
        enum surface_kind surface;
        const char *text;
    } cases[] = {
        {SURFACE_MESSAGES,
         DOCUMENT("\"type\":\"base64\",\"media_type\":" LIST ",\"data\":\"JVBERi0x\",\"url\":" LIST, "")},
        {SURFACE_MESSAGES, DOCUMENT("\"type\":" LIST ",\"data\":" LIST, "")},
        {SURFACE_CHAT, SAY("[{\"type\":" LIST ",\"detail\":" LIST ",\"id\":" LIST ",\"image_url\":{\"url\":" LIST
                           ",\"detail\":" LIST "}},{\"file_data\":" LIST "},{\"url\":" LIST "},{\"video_url\":" LIST
                           "},{\"audio\":" LIST "},{\"input_audio\":{\"data\":" LIST "}},{\"file_id\":" LIST "}]")},
        {SURFACE_IMAGES, "{\"prompt\":\"a\",\"images\":[1],\"input_fidelity\":[1,2,3]}"},
        {SURFACE_RESPONSES, "{\"model\":\"m\",\"input\":" LIST ",\"prompt\":{\"variables\":" LIST "}}"},
        {SURFACE_SPEECH, "{\"model\":\"m\",\"input\":\"a\",\"instructions\":" LIST "}"},
    };
    struct call_request r;
    struct err err;

    for (size_t i = 0; i < COUNT(cases); i++)
        if (read_as(*state, cases[i].surface, cases[i].text, &r, &err) != ST_OK)
            fail_msg("%s: %s", err.text, cases[i].text);
}

static void only_what_is_surely_cheap_is_cheap(void **state)
{
    static const struct {
        enum surface_kind surface;
        const char *text;
        uint64_t upper; /* at least */
    } cases[] = {
        {SURFACE_CHAT, SAY("[" IMAGE(",\"detail\":\"low\"") "]"), 85},
        {SURFACE_CHAT, SAY("[" IMAGE(",\"Detail\":\"low\"") "]"), 1445},
        {SURFACE_CHAT, SAY("[{\"image_url\":{\"url\":\"https://h/x.png\"},\"detail\":\"low\"}]"), 1445},
        {SURFACE_CHAT, SAY("[{\"image_url\":{\"url\":\"https://h/x.png\",\"detail\":\"low\"},\"detail\":\"high\"}]"),
         1445},
        {SURFACE_CHAT, SAY("[{\"type\":\"input_image\",\"image_url\":\"https://h/x.png\",\"detail\":\"low\"}]"), 85},
        {SURFACE_CHAT, SAY("[{\"image_url\":{\"url\":\"data:image/png;base64,%s\",\"more\":\"%s\"}}]"),
         1445 + LETTERS / 3},
        {SURFACE_CHAT, SAY("[{\"image_url\":[\"data:image/png;base64,%s\"]}]"), 1445 + LETTERS / 3},
        {SURFACE_CHAT, SAY("[{\"type\":\"video_url\",\"video_url\":{\"url\":\"data:video/mp4;base64,%s\"}}]"),
         LETTERS / 16},
        {SURFACE_CHAT, SAY("[{\"type\":\"image\",\"image\":{\"url\":\"data:image/png;base64,%s\"}}]"), 1445},
        {SURFACE_MESSAGES, DOCUMENT("\"type\":\"base64\",\"media_type\":\"application/pdf\",\"Data\":\"%s\"", ""),
         LETTERS / 3},
        {SURFACE_MESSAGES, TURN("{\"type\":\"image\",\"source\":{\"type\":\"text\",\"text\":\"%s\"}}"),
         1445 + LETTERS / 3},
        {SURFACE_EMBEDDINGS, "{\"model\":\"m\",\"input\":[1,\"%s\"]}", LETTERS / 3},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct call_request r;
        struct buf text;
        struct err err;

        with_letters(cases[i].text, &text);
        assert_int_equal(buf_add(&text, "", 1), ST_OK);
        assert_int_equal(read_as(*state, cases[i].surface, text.p, &r, &err), ST_OK);
        if (r.tokens_upper < cases[i].upper || r.tokens_upper > cases[i].upper + AROUND)
            fail_msg("%llu tokens, not %llu: %s", (unsigned long long)r.tokens_upper,
                     (unsigned long long)cases[i].upper, cases[i].text);
        buf_fini(&text);
    }
}

/* Files are text unless both their type and their first bytes say that they are not. */
static void text_in_base64_is_text(void **state)
{
#define FILE(data) SAY("[{\"type\":\"file\",\"file\":{\"filename\":\"x\",\"file_data\":\"" data "\"}}]")
#define SOURCE(type, data) DOCUMENT("\"type\":\"base64\",\"media_type\":\"" type "\",\"data\":\"" data "\"", "")
    static const struct {
        enum surface_kind surface;
        const char *text;
        uint64_t tokens, upper; /* of a thousand times what is at the star */
    } cases[] = {
        /* "abc", three bytes of ASCII */
        {SURFACE_CHAT, FILE("data:text/plain;base64,*YWJj"), 750, 1000},
        {SURFACE_CHAT, FILE("data:text/plain;charset=utf-8;base64,*YWJj"), 750, 1000},
        {SURFACE_CHAT, FILE("data:TEXT/CSV;BASE64,*YWJj"), 750, 1000},
        {SURFACE_CHAT, FILE("data:application/json;base64,*YWJj"), 750, 1000},
        {SURFACE_CHAT, FILE("data:application/x-new;base64,*YWJj"), 750, 1000},
        {SURFACE_CHAT, FILE("data:;base64,*YWJj"), 750, 1000},
        {SURFACE_CHAT, FILE("*YWJj"), 750, 1000},
        {SURFACE_CHAT, FILE("data:text/plain,*abcd"), 1000, 1333},
        {SURFACE_CHAT, FILE("data:application/pdf;base64,*YWJj"), 750, 1000}, /* but it is none */
        {SURFACE_CHAT, FILE("data:text/plain;base64,JVBERi0x*YWJj"), 750, 1000},
        {SURFACE_CHAT, FILE("data:image/svg+xml;base64,*YWJj"), 750, 1000},
        {SURFACE_MESSAGES, SOURCE("text/plain", "*YWJj"), 750, 1000},
        {SURFACE_MESSAGES, SOURCE("application/json", "*YWJj"), 750, 1000},
        /* others than ASCII: one character of two bytes and a half; of three; no UTF-8 */
        {SURFACE_CHAT, FILE("data:text/plain;base64,*w6nDqcOp"), 2700, 4500},
        {SURFACE_CHAT, FILE("data:text/plain;base64,*5L2g"), 900, 1500},
        {SURFACE_CHAT, FILE("data:text/plain;base64,*gICA"), 2700, 4500},
        {SURFACE_CHAT, FILE("data:text/plain;base64,*YW\\r\\nJj"), 750, 1000},
        {SURFACE_CHAT, FILE("data:text/plain;base64,*-_-_"), 2700, 4500},
        /* no text: a token for 16 bytes */
        {SURFACE_CHAT, FILE("data:application/pdf;base64,JVBERi0x*YWJj"), 250, 250},
        {SURFACE_CHAT, FILE("JVBERi0x*YWJj"), 250, 250},
        {SURFACE_CHAT, FILE("data:application/vnd.ms-excel;base64,UEsDBBQA*YWJj"), 250, 250},
        {SURFACE_CHAT, FILE("data:image/png;base64,*YWJj"), 250, 250},
        {SURFACE_MESSAGES, SOURCE("application/pdf", "JVBERi0x*YWJj"), 250, 250},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *star = strchr(cases[i].text, '*'), *end = strchr(star, '"');
        struct call_request r, without;
        struct buf text;
        struct err err;

        buf_init(&text, 1 << 20);
        for (unsigned n = 0; n <= 1000; n += 1000) {
            text.n = 0;
            assert_int_equal(buf_add(&text, cases[i].text, (size_t)(star - cases[i].text)), ST_OK);
            for (unsigned k = 0; k < n; k++)
                assert_int_equal(buf_add(&text, star + 1, (size_t)(end - star) - 1), ST_OK);
            assert_int_equal(buf_add(&text, end, strlen(end) + 1), ST_OK);
            assert_int_equal(read_as(*state, cases[i].surface, text.p, n ? &r : &without, &err), ST_OK);
        }
        if (r.tokens - without.tokens + 3 < cases[i].tokens || r.tokens - without.tokens > cases[i].tokens + 3 ||
            r.tokens_upper - without.tokens_upper + 3 < cases[i].upper ||
            r.tokens_upper - without.tokens_upper > cases[i].upper + 3)
            fail_msg("%llu tokens, %llu at most: %s", (unsigned long long)(r.tokens - without.tokens),
                     (unsigned long long)(r.tokens_upper - without.tokens_upper), cases[i].text);
        buf_fini(&text);
    }
}

/* Whose they are is asked of every one, in whatever case it is written. */
static void no_file_hides_behind_another(void **state)
{
#define INPUT(part) "{\"model\":\"m\",\"input\":[{\"role\":\"user\",\"content\":[" part "]}]}"
    static const struct {
        const char *text;
        unsigned objects;
    } cases[] = {
        {INPUT("{\"type\":\"input_file\",\"file_id\":\"a\",\"file_id\":\"b\"}"), 2},
        {INPUT("{\"type\":\"input_file\",\"file_id\":\"a\",\"File_Id\":\"b\"}"), 2},
        {INPUT("{\"type\":\"input_file\",\"FILE_ID\":\"b\"}"), 1},
        {INPUT("{\"type\":\"input_file\",\"file_ids\":[\"a\"],\"File_Ids\":[\"b\"]}"), 2},
        {"{\"model\":\"m\",\"input\":\"x\",\"tools\":[{\"container\":{\"File_ids\":[\"a\",\"b\"]}}]}", 2},
        {"{\"data_source\":{\"source\":{\"type\":\"file_id\",\"id\":\"a\"}}}", 1},
        {"{\"model\":\"m\",\"prompt\":{\"Variables\":{\"x\":{\"file_id\":\"a\"}}}}", 1},
    };
    struct call_request r;
    struct err err;

    for (size_t i = 0; i < COUNT(cases); i++) {
        enum surface_kind surface = strstr(cases[i].text, "data_source") ? SURFACE_UNKNOWN : SURFACE_RESPONSES;

        assert_int_equal(read_as(*state, surface, cases[i].text, &r, &err), ST_OK);
        if (r.n_objects != cases[i].objects)
            fail_msg("%u objects: %s", r.n_objects, cases[i].text);
    }
}

/* What upstream keeps is input of a size that nobody knows, however it is named. */
static void what_is_kept_upstream_is_seen(void **state)
{
    static const struct {
        enum surface_kind surface;
        const char *text, *context;
    } cases[] = {
        {SURFACE_RESPONSES, "{\"model\":\"m\",\"input\":[{\"id\":\"msg_1\"}]}", "item_reference"},
        {SURFACE_RESPONSES, "{\"model\":\"m\",\"input\":[{\"type\":null,\"id\":\"msg_1\"}]}", "item_reference"},
        {SURFACE_RESPONSES, "{\"model\":\"m\",\"input\":[{\"type\":\"message\",\"id\":\"msg_1\",\"content\":\"\"}]}",
         NULL},
        {SURFACE_RESPONSES, "{\"model\":\"m\",\"input\":[{\"role\":\"user\",\"id\":\"msg_1\",\"content\":\"\"}]}",
         NULL},
        {SURFACE_CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"audio\":{\"id\":\"audio_1\"}}]}",
         "audio"},
        {SURFACE_CHAT, SAY("[{\"type\":\"video_url\",\"video_url\":{\"url\":\"https://h/x.mp4\"}}]"), "video_url"},
        {SURFACE_CHAT, SAY("[{\"type\":\"audio_url\",\"audio_url\":\"https://h/x.mp3\"}]"), "audio_url"},
        {SURFACE_CHAT, SAY("[{\"type\":\"video_url\",\"video_url\":{\"url\":\"data:video/mp4;base64,AAAA\"}}]"), NULL},
        {SURFACE_CHAT, SAY("[{\"type\":\"file\",\"file\":{\"file_data\":\"https://h/x.pdf\"}}]"), "file_data"},
        {SURFACE_CHAT, "{\"model\":\"m\",\"audio\":{\"voice\":\"x\"},\"messages\":[{\"role\":\"user\"}]}", NULL},
    };
    struct call_request r;
    struct err err;

    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(read_as(*state, cases[i].surface, cases[i].text, &r, &err), ST_OK);
        if (!r.context != !cases[i].context || (r.context && strcmp(r.context, cases[i].context) != 0))
            fail_msg("%s: %s", r.context ? r.context : "none", cases[i].text);
    }
    /* a list that begins with a token may hold more than tokens */
    assert_int_equal(read_as(*state, SURFACE_COMPLETIONS, "{\"model\":\"m\",\"prompt\":[1,\"a\",\"b\"]}", &r, &err),
                     ST_OK);
    assert_int_equal(r.choices, 2);
    assert_int_equal(read_as(*state, SURFACE_COMPLETIONS, "{\"model\":\"m\",\"prompt\":[1,2,3]}", &r, &err), ST_OK);
    assert_int_equal(r.choices, 1);
    assert_int_equal(r.tokens_upper, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(wrong_fields_are_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_a_json_object_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(depth_is_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_needed_is_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_dearer_tier_is_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_anthropic_asks_more_for_is_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(text_is_estimated_by_the_rule, set_up, tear_down),
        cmocka_unit_test_setup_teardown(images_are_not_text, set_up, tear_down),
        cmocka_unit_test_setup_teardown(text_is_text_wherever_it_stands, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_a_part_costs_is_said_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_types_are_no_text, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_what_is_surely_cheap_is_cheap, set_up, tear_down),
        cmocka_unit_test_setup_teardown(text_in_base64_is_text, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_file_hides_behind_another, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_kept_upstream_is_seen, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
