/* What a batch's input file is worth: its lines however they are cut and ended, every reason why one is none, the
 * sums. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/batch_file.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LINE_MAX 2000u
#define LINE(url, body) "{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"" url "\",\"body\":" body "}"
#define CHAT(more) LINE("/v1/chat/completions", "{\"model\":\"m\",\"messages\":[{\"role\":\"user\"}]" more "}")
#define CHAT_TOKENS 9u /* of that prompt: framing and the role */

static _Atomic uint64_t held;

struct file {
    struct arena arena;
    struct batch_file b;
};

static int set_up(void **state)
{
    struct file *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    arena_init(&f->arena, 1 << 20);
    held = 0;
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct file *f = *state;

    batch_file_fini(&f->b);
    arena_fini(&f->arena);
    free(f);
    return held != 0;
}

static void feed(struct batch_file *b, const char *p, size_t n)
{
    char *copy = malloc(n ? n : 1); /* exact, so that a byte too far is seen; and nothing may point into it */

    assert_non_null(copy);
    memcpy(copy, p, n);
    batch_file_feed(b, (struct slice){copy, n});
    free(copy);
}

static const struct batch_worth *read_bytes(struct file *f, const char *p, size_t n, size_t cut)
{
    batch_file_fini(&f->b);
    arena_reset(&f->arena);
    batch_file_begin(&f->b, &f->arena, LINE_MAX, &held);
    feed(&f->b, p, cut);
    feed(&f->b, p + cut, n - cut);
    batch_file_end(&f->b);
    assert_int_equal(held, 0);
    return &f->b.worth;
}

static const struct batch_worth *read_text(struct file *f, const char *text)
{
    return read_bytes(f, text, strlen(text), 0);
}

#define WORTH(w, requests_, prompt, output, without)                                                                   \
    do {                                                                                                               \
        assert_int_equal((w)->requests, requests_);                                                                    \
        assert_int_equal((w)->prompt_tokens, prompt);                                                                  \
        assert_int_equal((w)->output_tokens, output);                                                                  \
        assert_int_equal((w)->unlimited, without);                                                                     \
    } while (0)

static void lines_end_as_they_like(void **state)
{
    static const char *const files[] = {
        CHAT("") "\n" CHAT(",\"max_tokens\":5") "\n",
        CHAT("") "\n" CHAT(",\"max_tokens\":5"),
        CHAT("") "\r\n" CHAT(",\"max_tokens\":5") "\r\n",
        CHAT("") "\r\n" CHAT(",\"max_tokens\":5"),
        "\n\r\n  \t\n" CHAT("") " \r\n\n \t" CHAT(",\"max_tokens\":5") "\n\n\r",
    };
    struct file *f = *state;
    size_t i, cut;

    for (i = 0; i < COUNT(files); i++)
        for (cut = 0; cut <= strlen(files[i]); cut++) {
            const struct batch_worth *w = read_bytes(f, files[i], strlen(files[i]), cut);

            assert_int_equal(f->b.err.status, ST_OK);
            WORTH(w, 2, 2 * CHAT_TOKENS, 5, 1);
            assert_true(slice_is(w->model, "m"));
        }
}

static void single_bytes_do_as_well(void **state)
{
    static const char text[] = CHAT("") "\n" CHAT(",\"n\":3") "\n";
    struct file *f = *state;
    size_t i;

    batch_file_begin(&f->b, &f->arena, LINE_MAX, &held);
    for (i = 0; i < sizeof(text) - 1; i++)
        feed(&f->b, text + i, 1);
    assert_int_equal(held, sizeof(CHAT(",\"n\":3")) - 1);
    batch_file_end(&f->b);
    assert_int_equal(f->b.err.status, ST_OK);
    WORTH(&f->b.worth, 2, 2 * CHAT_TOKENS, 0, 4);
}

static void every_surface_is_read_in_its_way(void **state)
{
    static const struct {
        const char *line;
        uint64_t prompt, output, unlimited;
    } cases[] = {
        {CHAT(""), CHAT_TOKENS, 0, 1},
        {CHAT(",\"n\":3,\"max_tokens\":10"), CHAT_TOKENS, 30, 0},
        {CHAT(",\"n\":3"), CHAT_TOKENS, 0, 3},
        {CHAT(",\"max_tokens\":10,\"max_completion_tokens\":20"), CHAT_TOKENS, 20, 0},
        {CHAT(",\"stream\":false"), CHAT_TOKENS, 0, 1},
        {LINE("/v1/completions", "{\"model\":\"m\",\"prompt\":[1,2,3]}"), 3, 16, 0},
        {LINE("/v1/completions", "{\"model\":\"m\",\"prompt\":[1,2],\"max_tokens\":5,\"best_of\":4}"), 2, 20, 0},
        {LINE("/v1/completions", "{\"model\":\"m\",\"prompt\":[[1,2],[3]],\"max_tokens\":5,\"n\":4}"), 3, 40, 0},
        {LINE("/v1/responses", "{\"model\":\"m\",\"input\":[],\"max_output_tokens\":50}"), 3, 50, 0},
        {LINE("/v1/responses", "{\"model\":\"m\",\"input\":[]}"), 3, 0, 1},
        {LINE("/v1/embeddings", "{\"model\":\"m\",\"input\":[[1,2],[3]]}"), 3, 0, 0},
        {LINE("/v1/moderations", "{\"model\":\"m\",\"input\":\"abcdefgh\"}"), 0, 0, 0},
    };
    struct file *f = *state;
    size_t i;

    for (i = 0; i < COUNT(cases); i++) {
        const struct batch_worth *w = read_text(f, cases[i].line);

        assert_int_equal(f->b.err.status, ST_OK);
        WORTH(w, 1, cases[i].prompt, cases[i].output, cases[i].unlimited);
    }
    assert_true(slice_is(read_text(f, LINE("/v1/moderations", "{\"input\":\"x\"}"))->model, "omni-moderation-latest"));
    assert_int_equal(f->b.worth.contexts, 0);
    assert_int_equal(
        read_text(f,
                  LINE("/v1/responses", "{\"model\":\"m\",\"previous_response_id\":\"resp_1\"}") "\n" LINE(
                      "/v1/responses",
                      "{\"model\":\"m\",\"input\":[{\"type\":\"input_file\",\"file_id\":\"f\"}]}") "\n" CHAT("") "\n")
            ->contexts,
        2);
}

static void what_is_wrong_is_said_with_its_line(void **state)
{
    static const struct {
        const char *line, *text;
    } cases[] = {
        {"x", "It is not a JSON object."},
        {"[]", "It is not a JSON object."},
        {"{", "It is not a JSON object."},
        {"{} {}", "It is not a JSON object."},
        {"\xef\xbb\xbf{}", "It is not a JSON object."},
        {"{\"a\":\"\xff\"}", "It is not a JSON object."},
        {"{}", "Missing required parameter: 'custom_id'."},
        {"{\"custom_id\":5,\"method\":\"POST\",\"url\":\"/v1/responses\",\"body\":{}}", "Invalid type for 'custom_id'"},
        {"{\"custom_id\":null,\"method\":\"POST\",\"url\":\"/v1/responses\",\"body\":{}}", "parameter: 'custom_id'."},
        {"{\"custom_id\":\"a\",\"url\":\"/v1/responses\",\"body\":{}}", "Missing required parameter: 'method'."},
        {"{\"custom_id\":\"a\",\"method\":\"GET\",\"url\":\"/v1/responses\",\"body\":{}}", "Invalid 'method'"},
        {"{\"custom_id\":\"a\",\"method\":\"POST\",\"body\":{}}", "Missing required parameter: 'url'."},
        {"{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"/v1/responses\"}", "Missing required parameter: 'body'."},
        {"{\"method\":\"POST\",\"method\":\"POST\"}", "Parameter given more than once: 'method'."},
        {LINE("/v1/responses", "[]"), "must be a JSON object, but it is an array."},
        {LINE("/v1/responses", "{\"input\":\"x\"}"), "Missing required parameter: 'model'."},
        {LINE("/v1/responses", "{\"model\":\"n\",\"input\":\"x\"}"), "must name the same model"},
        {LINE("/v1/chat/completions", "{\"messages\":[{\"role\":\"user\"}]}"), "Missing required parameter: 'model'."},
        {LINE("/v1/chat/completions", "{\"model\":\"m\"}"), "Missing required parameter: 'messages'."},
        {LINE("/v1/images/generations", "{\"model\":\"m\",\"prompt\":\"x\"}"), "Invalid 'url'"},
        {LINE("/v1/messages", "{\"model\":\"m\"}"), "Invalid 'url'"},
        {LINE("/v1/chat/completions?a=b", "{\"model\":\"m\"}"), "Invalid 'url'"},
        {LINE("https://x/v1/responses", "{\"model\":\"m\"}"), "Invalid 'url'"},
        {CHAT(",\"stream\":true"), "Invalid 'stream'"},
        {LINE("/v1/embeddings", "{\"model\":\"m\",\"input\":\"x\",\"stream\":true}"), "Invalid 'stream'"},
        {CHAT(",\"n\":0"), "Invalid 'n'"},
        {LINE("/v1/completions", "{\"model\":\"m\",\"prompt\":\"a\",\"best_of\":129}"), "Invalid 'best_of'"},
        {CHAT(",\"max_tokens\":1000000001"), "Invalid 'max_tokens'"},
        {LINE("/v1/responses", "{\"model\":\"m\",\"previous_response_id\":\"\"}"), "Invalid 'previous_response_id'"},
    };
    struct file *f = *state;
    char text[1000];
    size_t i;

    for (i = 0; i < COUNT(cases); i++) {
        snprintf(text, sizeof(text), "%s\n\n%s\n%s\n", CHAT(""), cases[i].line, CHAT(""));
        read_text(f, text);
        assert_int_equal(f->b.err.status, ST_BAD_REQUEST);
        assert_string_equal(f->b.err.param, "file");
        assert_string_equal(f->b.err.code, "invalid_value");
        if (strncmp(f->b.err.text, "Invalid 'file': line 3: ", 24) != 0 || !strstr(f->b.err.text, cases[i].text))
            fail_msg("%s: %s", cases[i].line, f->b.err.text);
        WORTH(&f->b.worth, 0, 0, 0, 0);
    }
}

static void one_without_requests_is_none(void **state)
{
    static const char *const files[] = {"", "\n", " \r\n\t\n"};
    struct file *f = *state;
    size_t i;

    for (i = 0; i < COUNT(files); i++) {
        read_text(f, files[i]);
        assert_int_equal(f->b.err.status, ST_BAD_REQUEST);
        assert_string_equal(f->b.err.text, "Invalid 'file': it holds no request of a batch.");
    }
}

static void errors_do_not_depend_on_the_cut(void **state)
{
    static const char text[] = CHAT("") "\r\n{\"custom_id\":7}\n" CHAT("") "\n";
    struct file *f = *state;
    struct err whole;
    size_t cut;

    read_text(f, text);
    whole = f->b.err;
    assert_int_equal(whole.status, ST_BAD_REQUEST);
    for (cut = 0; cut < sizeof(text); cut++) {
        read_bytes(f, text, sizeof(text) - 1, cut);
        assert_string_equal(f->b.err.text, whole.text);
    }
}

/* A line of so many bytes. */
static void long_line(char *to, size_t n)
{
    static const char begin[] = LINE("/v1/chat/completions", "{\"model\":\"m\",\"messages\":[{\"role\":\"user\"}]}");

    memcpy(to, begin, sizeof(begin) - 1);
    memset(to + sizeof(begin) - 2, ' ', n - (sizeof(begin) - 1));
    to[n - 1] = '}';
    to[n] = '\n';
}

static void lines_are_bounded(void **state)
{
    struct file *f = *state;
    char line[LINE_MAX + 2];
    size_t cut;

    long_line(line, LINE_MAX);
    for (cut = 0; cut <= LINE_MAX + 1; cut += 50) {
        read_bytes(f, line, LINE_MAX + 1, cut);
        assert_int_equal(f->b.err.status, ST_OK);
    }
    long_line(line, LINE_MAX + 1);
    for (cut = 0; cut <= LINE_MAX + 1; cut += 50) {
        read_bytes(f, line, LINE_MAX + 1, cut); /* without its end */
        assert_int_equal(f->b.err.status, ST_BAD_REQUEST);
        assert_string_equal(f->b.err.text, "Invalid 'file': line 1: It is longer than 2000 bytes.");
    }
    batch_file_begin(&f->b, &f->arena, LINE_MAX, &held);
    held = BATCH_HELD_MAX - 5; /* others' */
    feed(&f->b, "{     ", 6);
    assert_int_equal(f->b.err.status, ST_UNAVAILABLE);
    assert_int_equal(held, BATCH_HELD_MAX - 5);
    held = 0;
}

static void what_is_no_batch_is_not_kept(void **state)
{
    struct file *f = *state;
    char bytes[256];
    size_t i;

    for (i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)i;
    batch_file_begin(&f->b, &f->arena, LINE_MAX, &held);
    feed(&f->b, bytes, sizeof(bytes));
    assert_int_equal(f->b.err.status, ST_BAD_REQUEST);
    assert_null(f->b.line.p);
    assert_int_equal(f->arena.used, 0);
    feed(&f->b, CHAT("") "\n", sizeof(CHAT("")));
    batch_file_end(&f->b);
    assert_string_equal(f->b.err.text, "Invalid 'file': line 1: It is not a JSON object.");
}

static void requests_are_bounded(void **state)
{
    static const char line[] = CHAT("") "\n";
    struct file *f = *state;
    unsigned i;

    batch_file_begin(&f->b, &f->arena, LINE_MAX, &held);
    for (i = 0; i < BATCH_LINES_MAX; i++)
        batch_file_feed(&f->b, (struct slice){line, sizeof(line) - 1});
    assert_int_equal(f->b.err.status, ST_OK);
    WORTH(&f->b.worth, BATCH_LINES_MAX, BATCH_LINES_MAX * CHAT_TOKENS, 0, BATCH_LINES_MAX);
    assert_true(f->arena.used < 100);
    batch_file_feed(&f->b, (struct slice){line, sizeof(line) - 1});
    assert_int_equal(f->b.err.status, ST_BAD_REQUEST);
    assert_string_equal(f->b.err.text, "Invalid 'file': line 50001: A batch has 50000 requests at most.");
}

static void sums_are_bounded(void **state)
{
    struct file *f = *state;

    WORTH(read_text(f, CHAT(",\"max_tokens\":500000000") "\n" CHAT(",\"n\":2,\"max_tokens\":250000000")), 2,
          2 * CHAT_TOKENS, LIMIT_TOKENS, 0);
    assert_int_equal(f->b.err.status, ST_OK);
    read_text(f, CHAT(",\"max_tokens\":1000000000") "\n" CHAT(",\"max_tokens\":1"));
    assert_int_equal(f->b.err.status, ST_BAD_REQUEST);
    assert_string_equal(f->b.err.text,
                        "Invalid 'file': line 2: Up to this line the requests may use more than 1000000000 tokens.");
    read_text(f, CHAT(",\"n\":128,\"max_tokens\":1000000000"));
    assert_int_equal(f->b.err.status, ST_BAD_REQUEST);
}

static void objects_of_all_lines_are_known(void **state)
{
    struct file *f = *state;
    char text[8000] = "", line[400];
    unsigned i;

    read_text(f, LINE("/v1/responses", "{\"model\":\"m\",\"input\":[{\"file_id\":\"file-1\"}]}") "\n" LINE(
                     "/v1/responses",
                     "{\"model\":\"m\",\"previous_response_id\":\"resp_1\"}") "\n" LINE("/v1/responses",
                                                                                        "{\"model\":\"m\",\"input\":[{"
                                                                                        "\"file_id\":\"file-1\"}]}"));
    assert_int_equal(f->b.err.status, ST_OK);
    assert_int_equal(f->b.named.n_objects, 2);
    assert_true(slice_is(f->b.named.objects[0].id, "file-1"));
    assert_string_equal(f->b.named.objects[0].param, "file_id");
    assert_true(slice_is(f->b.named.objects[1].id, "resp_1"));
    for (i = 0; i <= CALL_OBJECTS_MAX; i++) {
        snprintf(line, sizeof(line), LINE("/v1/responses", "{\"model\":\"m\",\"previous_response_id\":\"r%u\"}") "\n",
                 i);
        strncat(text, line, sizeof(text) - strlen(text) - 1);
    }
    read_text(f, text);
    assert_int_equal(f->b.err.status, ST_BAD_REQUEST);
    assert_non_null(strstr(f->b.err.text, "line 17: A request may name 16 files"));
    assert_int_equal(f->b.named.n_objects, 0);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(lines_end_as_they_like),
        CASE(single_bytes_do_as_well),
        CASE(every_surface_is_read_in_its_way),
        CASE(what_is_wrong_is_said_with_its_line),
        CASE(one_without_requests_is_none),
        CASE(errors_do_not_depend_on_the_cut),
        CASE(lines_are_bounded),
        CASE(what_is_no_batch_is_not_kept),
        CASE(requests_are_bounded),
        CASE(sums_are_bounded),
        CASE(objects_of_all_lines_are_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
