/* Every surface of the gateway, with the other services faked: what is read of its requests, what goes upstream, whose
 * words its errors are in, how its streams begin, stay alive and end. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/call.h"
#include "proto/endpoints.h"
#include "services/clock.h"
#include "tests/unit/answer_fake.h"
#include "tests/unit/gateway_world.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MESSAGES "{\"model\":\"m\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"
#define MESSAGES_STREAM                                                                                                \
    "{\"model\":\"m\",\"stream\":true,\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"

static const char *ask(struct world *w, const char *method, const char *path, const char *more, const char *body)
{
    int fd = connect_to(w, 0);
    char text[4096];

    snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " KEY "\r\n%s", method, path,
             more);
    say(fd, text);
    if (body)
        snprintf(text, sizeof(text), "Content-Length: %zu\r\n\r\n%s", strlen(body), body);
    say(fd, body ? text : "\r\n");
    hear(w, fd, NULL);
    close(fd);
    return w->answer;
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

static void each_surface_says_what_it_is(void **state)
{
    static const struct {
        const char *method, *path, *body, *endpoint, *upstream, *model;
        uint64_t output_limit, choices;
        bool free, stream;
    } cases[] = {
        {"POST", "/v1/chat/completions", BODY, ENDPOINT_CHAT, "", "m", 0, 1, false, false},
        {"POST", "/v1/chat/completions?a=b", BODY, ENDPOINT_CHAT, "/chat/completions?a=b", "m", 0, 1, false, false},
        {"POST", "/v1/completions", "{\"model\":\"m\",\"prompt\":[\"a\",\"b\"],\"best_of\":3}", ENDPOINT_COMPLETIONS,
         "", "m", 16, 6, false, false},
        {"POST", "/v1/completions", "{\"model\":\"m\",\"prompt\":[[1,2],[3]],\"max_tokens\":5,\"n\":2}",
         ENDPOINT_COMPLETIONS, "", "m", 5, 4, false, false},
        {"POST", "/v1/completions", "{\"model\":\"m\",\"prompt\":[1,2,3],\"n\":2}", ENDPOINT_COMPLETIONS, "", "m", 16,
         2, false, false},
        {"POST", "/v1/completions", "{\"model\":\"m\",\"prompt\":[]}", ENDPOINT_COMPLETIONS, "", "m", 16, 1, false,
         false},
        {"POST", "/v1/embeddings", "{\"model\":\"m\",\"input\":[\"a\",\"b\"]}", ENDPOINT_EMBEDDINGS, "", "m", 0, 1,
         false, false},
        {"POST", "/v1/responses", "{\"model\":\"m\",\"input\":\"hi\",\"max_output_tokens\":20}", ENDPOINT_RESPONSES, "",
         "m", 20, 1, false, false},
        {"POST", "/v1/responses/compact", "{\"model\":\"m\"}", ENDPOINT_RESPONSES_COMPACT, "", "m", 0, 1, false, false},
        {"POST", "/v1/responses/input_tokens", "{\"input\":\"hi\"}", ENDPOINT_RESPONSES_TOKENS, "", "", 0, 1, true,
         false},
        {"POST", "/v1/embeddings", "{\"model\":\"m\",\"input\":[1,2,3]}", ENDPOINT_EMBEDDINGS, "", "m", 0, 1, false,
         false},
        {"POST", "/v1/completions", "{\"model\":\"m\",\"prompt\":\"x\",\"best_of\":0,\"max_tokens\":0}",
         ENDPOINT_COMPLETIONS, "", "m", 16, 1, false, false},
        {"POST", "/v1/moderations", "{\"input\":\"hi\"}", ENDPOINT_MODERATIONS, "", "omni-moderation-latest", 0, 1,
         true, false},
        {"POST", "/v1/images/generations", "{\"prompt\":\"a cat\",\"n\":2}", ENDPOINT_IMAGES, "/images/generations",
         "gpt-image-1", 6240, 2, false, false},
        {"POST", "/v1/images/edits", "{\"model\":\"m\",\"prompt\":\"a cat\",\"images\":[]}", ENDPOINT_IMAGES,
         "/images/edits", "m", 6240, 1, false, false},
        {"POST", "/v1/audio/speech", "{\"model\":\"m\",\"input\":\"hello\",\"voice\":\"v\",\"stream_format\":\"sse\"}",
         ENDPOINT_SPEECH, "/audio/speech", "m", 0, 1, false, true},
        {"GET", "/v1/files?limit=2&after=f%2F1", NULL, ENDPOINT_FILES, "/files?limit=2&after=f%2F1", "", 0, 1, true,
         false},
        {"POST", "/v1/messages?beta=true", MESSAGES, ENDPOINT_MESSAGES, "/messages?beta=true", "m", 9, 1, false, false},
        {"POST", "/v1/messages/count_tokens", MESSAGES, ENDPOINT_COUNT_TOKENS, "", "m", 9, 1, true, false},
        {"PATCH", "/v1/vector_stores/vs%20_1?x=1", "{\"name\":\"n\"}", ENDPOINT_OTHER, "/vector_stores/vs%20_1?x=1", "",
         0, 1, false, false},
        /* a stored prompt has a model that nobody here knows: it is never we who say that it costs nothing */
        {"POST", "/v1/responses", "{\"prompt\":{\"id\":\"pmpt_1\"}}", ENDPOINT_RESPONSES, "", "", 0, 1, false, false},
        {"POST", "/v1/rerank", "{\"model\":\"m\",\"stream\":true}", ENDPOINT_OTHER, "/rerank", "m", 0, 1, false, true},
        {"POST", "/openai/deployments/d%2F1/chat/completions?api-version=2024-10-21",
         "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}", ENDPOINT_CHAT, "", "d/1", 0, 1, false, false},
        {"POST", "/openai/deployments/d/images/generations?api-version=1&x=2", "{\"model\":\"m\",\"prompt\":\"p\"}",
         ENDPOINT_IMAGES, "/images/generations?x=2", "m", 6240, 1, false, false},
        {"POST", "/openai/v1/embeddings", "{\"model\":\"m\",\"input\":\"x\"}", ENDPOINT_EMBEDDINGS, "", "m", 0, 1,
         false, false},
    };
    struct world *w = *state;
    size_t i;

    for (i = 0; i < COUNT(cases); i++) {
        const struct script *s;

        ask(w, cases[i].method, cases[i].path, "", cases[i].body);
        HAS(w, "HTTP/1.1 200 OK\r\n");
        s = look();
        assert_string_equal(s->endpoint, cases[i].endpoint);
        assert_string_equal(s->path, cases[i].upstream);
        assert_string_equal(s->model, cases[i].model);
        assert_string_equal(s->method, strcmp(cases[i].method, "POST") != 0 ? cases[i].method : "");
        assert_string_equal(s->body, cases[i].body ? cases[i].body : "");
        assert_int_equal(s->output_limit, cases[i].output_limit);
        assert_int_equal(s->choices, cases[i].choices);
        assert_int_equal(s->free, cases[i].free);
        assert_int_equal(s->stream, cases[i].stream);
    }
}

static void inputs_are_estimated(void **state)
{
    static const struct {
        const char *path, *body;
        uint64_t least, most;
    } cases[] = {
        {"/v1/embeddings", "{\"model\":\"m\",\"input\":[1,2,3]}", 3, 3},
        {"/v1/embeddings", "{\"model\":\"m\",\"input\":[[1,2,3],[4]]}", 4, 4},
        {"/v1/embeddings", "{\"model\":\"m\",\"input\":[\"abcdefgh\",\"abcdefgh\"]}", 4, 6},
        {"/v1/completions", "{\"model\":\"m\",\"prompt\":\"abcdefgh\",\"suffix\":\"abcdefgh\"}", 4, 6},
        {"/v1/audio/speech", "{\"model\":\"m\",\"input\":\"0123456789\"}", 10, 10},
        {"/v1/audio/speech", "{\"model\":\"m\",\"input\":\"0123456789\",\"instructions\":\"abcdef\"}", 12, 12},
        {"/v1/responses",
         "{\"model\":\"m\",\"instructions\":\"abcdefgh\",\"input\":[{\"role\":\"user\",\"content\":[{\"type\":"
         "\"input_text\",\"text\":\"abcdefgh\"},{\"type\":\"input_image\",\"image_url\":\"data:image/png;base64,"
         "AAAAAAAAAAAAAAAA\"}]}]}",
         1450, 1500},
        {"/v1/messages",
         "{\"model\":\"m\",\"max_tokens\":1,\"system\":[{\"type\":\"text\",\"text\":\"abcdefgh\"}],\"messages\":[{"
         "\"role\":\"user\",\"content\":[{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/"
         "png\",\"data\":\"AAAA\"}}]}]}",
         1450, 1500},
        {"/v1/images/generations", "{\"prompt\":\"abcdefgh\"}", 2, 4},
        {"/v1/images/edits",
         "{\"prompt\":\"abcdefgh\",\"input_fidelity\":\"high\",\"images\":[{\"image_url\":\"https://h/x.png\"}]}",
         6240 + 1445, 6240 + 1445 + 16},
    };
    struct world *w = *state;
    size_t i;

    for (i = 0; i < COUNT(cases); i++) {
        ask(w, "POST", cases[i].path, "", cases[i].body);
        HAS(w, "HTTP/1.1 200 OK\r\n");
        assert_in_range(look()->estimate, cases[i].least, cases[i].most);
        assert_true(look()->prompt_tokens <= look()->estimate);
    }
}

static void wrong_fields_are_named(void **state)
{
    static const struct {
        const char *path, *body, *param, *code;
    } cases[] = {
        {"/v1/completions", "{\"prompt\":\"x\"}", "model", "missing_required_parameter"},
        {"/v1/completions", "{\"model\":\"m\",\"prompt\":5}", "prompt", "invalid_type"},
        {"/v1/completions", "{\"model\":\"m\",\"best_of\":129}", "best_of", "integer_above_max_value"},
        {"/v1/responses", "{\"model\":\"m\",\"input\":{}}", "input", "invalid_type"},
        {"/v1/responses", "{\"model\":\"m\",\"max_output_tokens\":0}", "max_output_tokens", "integer_below_min_value"},
        {"/v1/responses", "{\"model\":\"m\",\"stream\":1}", "stream", "invalid_type"},
        {"/v1/responses", "{\"model\":\"m\",\"previous_response_id\":7}", "previous_response_id", "invalid_type"},
        {"/v1/responses", "{\"model\":\"m\",\"conversation\":{\"id\":[]}}", "conversation", "invalid_type"},
        {"/v1/responses", "{\"model\":\"m\",\"conversation\":{\"id\":\"conv_a\",\"id\":\"conv_b\"}}", "conversation.id",
         "invalid_value"},
        {"/v1/embeddings", "{\"model\":\"m\"}", "input", "missing_required_parameter"},
        {"/v1/embeddings", "{\"model\":\"m\",\"input\":true}", "input", "invalid_type"},
        {"/v1/embeddings", "{\"model\":\"m\",\"model\":\"n\",\"input\":\"x\"}", "model", "invalid_value"},
        {"/v1/moderations", "{\"model\":1,\"input\":\"x\"}", "model", "invalid_type"},
        {"/v1/images/generations", "{}", "prompt", "missing_required_parameter"},
        {"/v1/images/generations", "{\"prompt\":\"x\",\"n\":0}", "n", "integer_below_min_value"},
        {"/v1/audio/speech", "{\"model\":\"m\"}", "input", "missing_required_parameter"},
    };
    struct world *w = *state;
    char text[256];
    size_t i;

    for (i = 0; i < COUNT(cases); i++) {
        ask(w, "POST", cases[i].path, "", cases[i].body);
        HAS(w, "HTTP/1.1 400 Bad Request\r\n");
        snprintf(text, sizeof(text), "\"param\":\"%s\",\"code\":\"%s\"", cases[i].param, cases[i].code);
        HAS(w, text);
    }
    assert_int_equal(look()->admitted, 0);
}

/* Each prompt of a list has its answers: what is asked for is held for, or refused. */
static void prompts_are_counted(void **state)
{
    struct world *w = *state;
    const unsigned each = CALL_CHOICES_MAX, full = LIMIT_CHOICES / each;
    unsigned most;

    for (most = full; most <= full + 1; most++) {
        char body[1024];
        size_t n = (size_t)snprintf(body, sizeof(body), "{\"model\":\"m\",\"best_of\":%u,\"prompt\":[", each);
        unsigned i;

        for (i = 0; i < most; i++)
            n += (size_t)snprintf(body + n, sizeof(body) - n, "\"a\",");
        snprintf(body + n - 1, sizeof(body) - n + 1, "]}");
        ask(w, "POST", "/v1/completions", "", body);
        if (most == full) {
            HAS(w, "HTTP/1.1 200 OK\r\n");
            assert_int_equal(look()->choices, LIMIT_CHOICES);
        } else {
            HAS(w, "HTTP/1.1 400 Bad Request\r\n");
            HAS(w, "\"param\":\"prompt\",\"code\":\"array_above_max_length\"");
        }
    }
}

static void of_headers_few_go_upstream(void **state)
{
    static const char more[] = "Anthropic-Version: 2023-06-01\r\nanthropic-beta: a,b\r\nOpenAI-Beta: c\r\n"
                               "X-Client-Request-Id: d\r\nX-Claude-Code-Session-Id: e\r\nAccept: text/x\r\n"
                               "Cookie: no\r\nX-Stainless-Lang: no\r\nOpenAI-Organization: no\r\n"
                               "OpenAI-Project: no\r\nX-Api-Key: no\r\nUser-Agent: no\r\nTE: no\r\n";
    struct world *w = *state;

    ask(w, "POST", "/v1/messages", more, MESSAGES);
    HAS(w, "HTTP/1.1 200 OK\r\n");
    assert_string_equal(look()->headers, "anthropic-version=2023-06-01;anthropic-beta=a,b;openai-beta=c;"
                                         "x-client-request-id=d;x-claude-code-session-id=e;");
    ask(w, "GET", "/v1/files/f_mine", "Accept: text/x\r\nopenai-beta: \xff\r\n", NULL);
    HAS(w, "HTTP/1.1 200 OK\r\n");
    assert_string_equal(look()->headers, "accept=text/x;");
    ask(w, "POST", "/v1/chat/completions", "Accept: text/x\r\n", BODY);
    assert_string_equal(look()->headers, "");
}

static void a_price_may_be_too_high(void **state)
{
    static const struct {
        const char *header;
        int64_t input, output; /* -2 = refused */
    } cases[] = {
        {"", -1, -1},
        {"X-Router-Max-Price: input=0.50,output=1.50\r\n", 500000, 1500000},
        {"X-Router-Max-Price:  output = 2 \r\n", -1, 2000000},
        {"X-Router-Max-Price: input=0\r\n", 0, -1},
        {"X-Router-Max-Price: \r\n", -2, 0},
        {"X-Router-Max-Price: input\r\n", -2, 0},
        {"X-Router-Max-Price: input=\r\n", -2, 0},
        {"X-Router-Max-Price: input=1,\r\n", -2, 0},
        {"X-Router-Max-Price: input=1,input=2\r\n", -2, 0},
        {"X-Router-Max-Price: cached=1\r\n", -2, 0},
        {"X-Router-Max-Price: input=-1\r\n", -2, 0},
        {"X-Router-Max-Price: input=1e3\r\n", -2, 0},
        {"X-Router-Max-Price: input=99999999999999999999\r\n", -2, 0},
    };
    struct world *w = *state;
    size_t i;

    for (i = 0; i < COUNT(cases); i++) {
        ask(w, "POST", "/v1/chat/completions", cases[i].header, BODY);
        if (cases[i].input == -2) {
            HAS(w, "HTTP/1.1 400 Bad Request\r\n");
            HAS(w, "\"param\":\"x-router-max-price\"");
            continue;
        }
        HAS(w, "HTTP/1.1 200 OK\r\n");
        assert_int_equal(look()->max_input_pico, cases[i].input);
        assert_int_equal(look()->max_output_pico, cases[i].output);
    }
}

static void paths_do_not_climb(void **state)
{
    static const char *const paths[] = {
        "/v1/files/..", "/v1/x/../y",           "/v1/x/%2e%2e/y", "/v1/files/%2e.%2fx", "/v1/x/./y",
        "/v1/x/..%5cy", "/v1/files/a%2F..%2Fb", "/v1/x/%zz",      "/v1/x/%00",
    };
    struct world *w = *state;
    size_t i;

    for (i = 0; i < COUNT(paths); i++) {
        ask(w, "GET", paths[i], "", NULL);
        HAS(w, "HTTP/1.1 404 Not Found\r\n");
        HAS(w, "\"code\":\"unknown_url\"");
    }
    assert_int_equal(look()->admitted, 0);
    ask(w, "GET", "/v1/files/..mine", "", NULL);
    HAS(w, "HTTP/1.1 200 OK\r\n");
}

static void another_spelling_of_a_known_path_goes_nowhere(void **state)
{
    static const char *const paths[] = {
        "/v1/%62atches",
        "/v1/%2562atches",
        "/v1/batches/",
        "/v1//batches",
        "/v1/batches;v=1",
        "/v1/batches%3Bv=1",
        "/v1/batches%3Fv=1",
        "/v1/batches%23",
        "/v1/Batches",
        "/v1/%66iles/file-1/content",
        "/v1/files%2Ffile-1/content",
        "/v1/files%5cfile-1/content",
        "/v1/Files/File-1/Content",
        "/v1/files/file-1//content",
        "/v1/files/file-1/content/",
        "/v1/chat/completion%73",
        "/v1/responses/",
        "/v1/%72esponses",
        "/v1/MODELS/m",
        "/openai/deployments/d/chat//completions",
        "/openai/deployments/d/Chat/completions",
        "/openai/v1/batches/?api-version=1",
        "/v1/vector_stores/",
    };
    static const char *const passed[] = {
        "/v1/fine_tuning/checkpoints/ft%3Agpt-4o%3Aorg%3A%3AaB1/permissions",
        "/v1/vector_stores/VS_1/files",
        "/v1/batchesx",
        "/v1/x/%C3%A9%20",
    };
    struct world *w = *state;
    size_t i, m;

    for (i = 0; i < COUNT(paths); i++)
        for (m = 0; m < 2; m++) {
            ask(w, m ? "POST" : "GET", paths[i], "", m ? "{}" : NULL);
            HAS(w, "HTTP/1.1 404 Not Found\r\n");
            HAS(w, "\"code\":\"unknown_url\"");
            HAS(w, "another way to write a URL that is known: write it in small letters");
        }
    assert_int_equal(look()->admitted, 0);
    for (i = 0; i < COUNT(passed); i++) {
        ask(w, "GET", passed[i], "", NULL);
        HAS(w, "HTTP/1.1 200 OK\r\n");
        assert_string_equal(look()->path, passed[i] + 3);
    }
    /* what is known keeps its ids as they are written */
    ask(w, "GET", "/v1/files/file%2Dmine/content", "", NULL);
    HAS(w, "HTTP/1.1 200 OK\r\n");
    assert_string_equal(look()->path, "/files/file%2Dmine/content");
    ask(w, "DELETE", "/v1/models/org%2Fm", "", NULL);
    HAS(w, "HTTP/1.1 200 OK\r\n");
}

static void an_unknown_path_is_unknown_when_nobody_serves_it(void **state)
{
    struct world *w = *state;
    int fd = connect_to(w, 0);

    SET(admit_with, ST_NOT_FOUND);
    post(fd, "/v1/_stainless_unknown_path", "{\"a\":\"b\"}", "");
    hear(w, fd, NULL);
    HAS(w, "HTTP/1.1 404 Not Found\r\n");
    HAS(w, "Unknown request URL: POST /v1/_stainless_unknown_path.");
    post(fd, "/v1/rerank", "{\"model\":\"nope\"}", ""); /* the model is what is not known */
    hear(w, fd, NULL);
    HAS(w, "HTTP/1.1 404 Not Found\r\n");
    HAS_NOT(w, "unknown_url");
    close(fd);
}

static void unknown_paths_may_be_refused(void **state)
{
    struct world *w = *state;

    settings_set(&w->settings.other_endpoints, "refuse");
    ask(w, "POST", "/v1/rerank", "", "{\"model\":\"m\"}");
    HAS(w, "HTTP/1.1 404 Not Found\r\n");
    HAS(w, "\"code\":\"unknown_url\"");
    ask(w, "GET", "/v1/files", "", NULL);
    HAS(w, "\"code\":\"unknown_url\"");
    ask(w, "GET", "/v1/batches", "", NULL);
    HAS(w, "\"code\":\"unknown_url\"");
    ask(w, "POST", "/v1/chat/completions", "", BODY);
    HAS(w, "HTTP/1.1 200 OK\r\n");
}

/* ---- Anthropic's words ------------------------------------------------------------------------------------------- */

static void errors_are_in_anthropics_words(void **state)
{
    static const struct {
        enum status st;
        const char *line, *type;
    } cases[] = {
        {ST_BAD_REQUEST, "400 Bad Request", "invalid_request_error"},
        {ST_UNAUTHENTICATED, "401 Unauthorized", "authentication_error"},
        {ST_FORBIDDEN, "403 Forbidden", "permission_error"},
        {ST_NOT_FOUND, "404 Not Found", "not_found_error"},
        {ST_RATE_REQUESTS, "429 Too Many Requests", "rate_limit_error"},
        {ST_NO_FUNDS, "402 Payment Required", "billing_error"},
        {ST_INTERNAL, "500 Internal Server Error", "api_error"},
        {ST_UNAVAILABLE, "529 Overloaded", "overloaded_error"},
    };
    struct world *w = *state;
    char text[160];
    size_t i;

    for (i = 0; i < COUNT(cases); i++) {
        SET(admit_with, cases[i].st);
        ask(w, "POST", "/v1/messages", "", MESSAGES);
        snprintf(text, sizeof(text), "HTTP/1.1 %s\r\n", cases[i].line);
        HAS(w, text);
        HAS(w, "\r\nrequest-id: req_");
        snprintf(text, sizeof(text), "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":\"", cases[i].type);
        HAS(w, text);
        HAS(w, "\"},\"request_id\":\"req_");
    }
    ask(w, "POST", "/v1/messages", "", "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}");
    HAS(w, "HTTP/1.1 400 Bad Request\r\n");
    HAS(w, "Missing required parameter: 'max_tokens'.");
    ask(w, "PUT", "/v1/messages", "", "");
    HAS(w, "HTTP/1.1 405");
    HAS(w, "{\"type\":\"error\"");
}

static void models_are_of_both_kinds_when_asked_so(void **state)
{
    static const char both[] = "anthropic-version: 2023-06-01\r\n";
    struct world *w = *state;

    ask(w, "GET", "/v1/models", "", NULL);
    HAS(w,
        "{\"object\":\"list\",\"data\":[{\"id\":\"a/one\",\"object\":\"model\",\"created\":86400,\"owned_by\":\"a\"},");
    HAS(w, "}],\"has_more\":false}\n");
    HAS_NOT(w, "display_name");
    ask(w, "GET", "/v1/models?limit=1000", both, NULL);
    HAS(w, "{\"id\":\"a/"
           "one\",\"object\":\"model\",\"created\":86400,\"owned_by\":\"a\",\"type\":\"model\",\"display_name\":\"a/"
           "one\",\"created_at\":\"1970-01-02T00:00:00Z\"},");
    HAS(w, "],\"has_more\":false,\"first_id\":\"a/one\",\"last_id\":\"b/two\"}\n");
    ask(w, "GET", "/v1/models/a%2Fone", both, NULL);
    HAS(w, "\"created_at\":\"1970-01-02T00:00:00Z\"}\n");
    ask(w, "GET", "/v1/models/none", both, NULL);
    HAS(w, "HTTP/1.1 404 Not Found\r\n");
    HAS(w, "{\"type\":\"error\",\"error\":{\"type\":\"not_found_error\"");
}

static void anybody_may_say_hello(void **state)
{
    struct world *w = *state;
    int fd = connect_to(w, 0);

    say(fd, "HEAD /api/hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    hear(w, fd, "never");
    HAS(w, "HTTP/1.1 200 OK\r\n");
    close(fd);
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

static void tell(const char *type, const char *one, const char *two, const char *three, enum status end)
{
    SET(act, SAY);
    SET(say_type, type);
    SET(say[0], one);
    SET(say[1], one ? two : NULL);
    SET(say[2], two ? three : NULL);
    SET(say_end, end);
}

static void bytes_pass_as_they_come(void **state)
{
    struct world *w = *state;

    tell("audio/mpeg", "ID3", "\x01\x02", NULL, ST_OK);
    ask(w, "POST", "/v1/audio/speech", "", "{\"model\":\"m\",\"input\":\"x\"}");
    HAS(w, "HTTP/1.1 200 OK\r\n");
    HAS(w, "content-type: audio/mpeg\r\n");
    HAS(w, "transfer-encoding: chunked\r\n");
    HAS(w, "\r\n\r\n3\r\nID3\r\n2\r\n\x01\x02\r\n0\r\n\r\n");
    tell("text/plain", "hello", NULL, NULL, ST_OK);
    ask(w, "GET", "/v1/files/f_mine/content", "", NULL);
    HAS(w, "content-type: text/plain\r\n");
    HAS(w, "\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    tell("application/jsonl", "{}\n{}\n", NULL, NULL, ST_OK);
    ask(w, "GET", "/v1/files/f_mine/content", "", NULL);
    HAS(w, "\r\n\r\n6\r\n{}\n{}\n\r\n0\r\n\r\n");
}

static void bytes_that_break_off_are_not_ended(void **state)
{
    struct world *w = *state;
    int fd = connect_to(w, 0);

    tell("audio/mpeg", "ID3", NULL, NULL, ST_UPSTREAM);
    post(fd, "/v1/audio/speech", "{\"model\":\"m\",\"input\":\"x\"}", "");
    hear(w, fd, "never"); /* to the end of the connection */
    HAS(w, "\r\n\r\n3\r\nID3\r\n");
    HAS_NOT(w, "0\r\n\r\n");
    HAS_NOT(w, "error");
    close(fd);
    tell("audio/mpeg", NULL, NULL, NULL, ST_UPSTREAM);
    ask(w, "POST", "/v1/audio/speech", "", "{\"model\":\"m\",\"input\":\"x\"}");
    HAS(w, "HTTP/1.1 502 Bad Gateway\r\n");
    HAS(w, "{\"error\":{");
}

static void streams_end_after_the_call(void **state)
{
    static const struct {
        const char *path, *body, *one, *two, *three, *wanted;
    } cases[] = {
        {"/v1/messages", MESSAGES, "event: a\ndata: {}\n\n", "event: message_stop\ndata: {}\n\n", NULL,
         "event: message_stop\ndata: {}\n\r\n1\r\n\n\r\n0\r\n\r\n"},
        {"/v1/responses", "{\"model\":\"m\",\"stream\":true}", "event: response.completed\ndata: {", "}\n\n", NULL,
         "event: response.completed\ndata: {\r\n2\r\n}\n\r\n1\r\n\n\r\n0\r\n\r\n"},
        {"/v1/responses", "{\"model\":\"m\",\"stream\":true}", "event: response.failed\r\ndata: {}\r\n\r\n", NULL, NULL,
         "data: {}\r\n\r\r\n1\r\n\n\r\n0\r\n\r\n"},
        {"/v1/responses", "{\"model\":\"m\",\"stream\":true}", "event: response.completed\ndata: {}\n\n",
         "event: more\n", "data: 1\n\n", "1\r\n\n\r\nc\r\nevent: more\n\r\n9\r\ndata: 1\n\n\r\n0\r\n\r\n"},
        {"/v1/responses", "{\"model\":\"m\",\"stream\":true}", "event: x\ndata: 1\n\n", NULL, NULL,
         "event: x\ndata: 1\n\n\r\n0\r\n\r\n"},
    };
    struct world *w = *state;
    size_t i;

    for (i = 0; i < COUNT(cases); i++) {
        tell("text/event-stream", cases[i].one, cases[i].two, cases[i].three, ST_OK);
        ask(w, "POST", cases[i].path, "", cases[i].body);
        HAS(w, "content-type: text/event-stream\r\n");
        HAS(w, cases[i].wanted);
    }
}

static void closing_events_are_known_at_every_cut(void **state)
{
    static const char text[] = "event: response.created\ndata: {}\n\nevent: response.completed\ndata: {\"a\":1}\n\n";
    const struct surface *s = &surfaces[SURFACE_RESPONSES];
    const size_t n = sizeof(text) - 1, named = 62; /* bytes up to the end of its name */
    size_t i, j;

    (void)state;
    for (i = 1; i < n; i++)
        for (j = i; j < n; j++) {
            struct closing c = {.inside = false};
            size_t held = closing_take(&c, s, (struct slice){text, i});

            assert_int_equal(held, 0);
            if (j > i)
                assert_int_equal(closing_take(&c, s, (struct slice){text + i, j - i}), 0);
            held = closing_take(&c, s, (struct slice){text + j, n - j});
            if (!(i > 34 && i < named) && !(j > 34 && j < named) && held != 1)
                fail_msg("not seen when cut at %zu and %zu", i, j);
        }
    assert_true(closing_whole(s, slice_of(text)));
    assert_false(closing_whole(s, (struct slice){text, n - 1}));
    assert_false(closing_whole(s, slice_of("event: response.completedx\ndata: {}\n\n")));
    assert_true(closing_whole(&surfaces[SURFACE_CHAT], slice_of("data: [DONE]\n\n")));
    assert_false(closing_whole(&surfaces[SURFACE_CHAT], slice_of("data: {}\n\n")));
    assert_true(closing_whole(&surfaces[SURFACE_SPEECH], slice_of("x")));
}

static void a_stream_that_breaks_says_so_in_its_words(void **state)
{
    struct world *w = *state;

    tell("text/event-stream", "event: a\ndata: {}\n\n", NULL, NULL, ST_UPSTREAM);
    ask(w, "POST", "/v1/messages", "", MESSAGES_STREAM);
    HAS(w, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"it failed\"},"
           "\"request_id\":\"req_");
    ask(w, "POST", "/v1/responses", "", "{\"model\":\"m\",\"stream\":true}");
    HAS(w, "event: error\ndata: {\"type\":\"error\",\"error\":{\"message\":\"it failed\",\"type\":\"server_error\","
           "\"param\":null,\"code\":\"upstream_error\"}}\n\n");
    tell("text/event-stream", "event: a\ndata: {", NULL, NULL, ST_UPSTREAM);
    ask(w, "POST", "/v1/responses", "", "{\"model\":\"m\",\"stream\":true}");
    HAS(w, "\n\nevent: error\n");
}

/* ---- silence ----------------------------------------------------------------------------------------------------- */

/* As the ticker does after ten seconds. */
static void ten_seconds_pass(const struct world *w)
{
    const struct gateway *gw = svc_state(w->gateway);
    unsigned i;

    for (i = 0; i < gw->n_conns; i++)
        call_keep_alive(gw->conns[i], clock_ms());
}

static struct svc_call *wait_for_call(unsigned n)
{
    struct svc_call *call = NULL;

    assert_true(reached(&script.begun, n));
    while (!call)
        call = take_hung();
    return call;
}

static void say_head(struct svc_call *call, unsigned status, const char *type)
{
    struct response_head head = {.http_status = status, .content_type = slice_of(type), .provider = slice_of("late")};

    svc_send_message(call, &response_head_desc, &head, NULL);
}

static bool heard_something(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, 50) > 0;
}

#define EARLY "HTTP/1.1 200 OK\r\n"

static int begin_silence_with(struct world *w, const char *more, const char *path, const char *body, unsigned n,
                              const char *comment, struct svc_call **ret)
{
    uint64_t end = clock_ms() + WAIT_MS;
    int fd = connect_to(w, 0);

    SET(act, SILENT);
    post(fd, path, body, more);
    *ret = wait_for_call(n);
    do /* until the gateway knows that it is open */
        ten_seconds_pass(w);
    while (!heard_something(fd) && clock_ms() < end);
    hear(w, fd, comment);
    HAS(w, EARLY);
    HAS(w, "content-type: text/event-stream\r\n");
    HAS_NOT(w, "x-router-provider");
    return fd;
}

static int begin_silence(struct world *w, const char *path, const char *body, unsigned n, const char *comment,
                         struct svc_call **ret)
{
    return begin_silence_with(w, "", path, body, n, comment, ret);
}

static void a_silent_provider_does_not_silence_us(void **state)
{
    struct world *w = *state;
    struct svc_call *call;
    int fd = begin_silence(w, "/v1/chat/completions", STREAM, 1, ": keep-alive\n\n", &call);

    ten_seconds_pass(w);
    hear(w, fd, ": keep-alive\n\n");
    say_head(call, 200, "text/event-stream");
    svc_send(call, slice_of(EVENT DONE), NULL);
    finish(call, ST_OK);
    hear(w, fd, "\r\n0\r\n\r\n");
    HAS_NOT(w, "HTTP/1.1");
    HAS(w, EVENT);
    HAS(w, DONE);
    SET(act, PLAIN);
    post(fd, "/v1/chat/completions", BODY, ""); /* the connection goes on */
    hear(w, fd, NULL);
    HAS(w, "HTTP/1.1 200 OK\r\n");
    close(fd);
}

static void an_error_after_the_first_comment_is_an_event(void **state)
{
    struct world *w = *state;
    struct svc_call *call;
    int fd = begin_silence(w, "/v1/chat/completions", STREAM, 1, ": keep-alive\n\n", &call);

    finish(call, ST_UPSTREAM);
    hear(w, fd, "never");
    HAS(w, "data: {\"error\":{\"message\":\"it failed\",");
    HAS(w, "\r\n0\r\n\r\n");
    close(fd);

    fd = begin_silence(w, "/v1/chat/completions", STREAM, 2, ": keep-alive\n\n", &call);
    say_head(call, 429, "application/json");
    svc_send(call, slice_of("{\"error\":\n{}}\n"), NULL);
    finish(call, ST_OK);
    hear(w, fd, "never");
    HAS(w, "data: {\"error\":\ndata: {}}\n\n");
    close(fd);

    fd = begin_silence(w, "/v1/messages", MESSAGES_STREAM, 3, "event: ping\ndata: {\"type\":\"ping\"}\n\n", &call);
    say_head(call, 400, "application/json");
    svc_send(call, slice_of("{\"type\":\"error\"}"), NULL);
    finish(call, ST_OK);
    hear(w, fd, "never");
    HAS(w, "event: error\ndata: {\"type\":\"error\"}\n\n");
    close(fd);

    fd = begin_silence(w, "/v1/responses", "{\"model\":\"m\",\"stream\":true}", 4, ": keep-alive\n\n", &call);
    say_head(call, 200, "application/json");
    svc_send(call, slice_of("{}"), NULL);
    finish(call, ST_OK);
    hear(w, fd, "never");
    HAS(w,
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"message\":\"The provider did not stream its answer.\"");
    close(fd);
}

/* The client left a stream that had been begun for it, and the provider's answer is none: nothing of it was recorded.
 */
static void what_is_no_stream_after_all_is_not_kept(void **state)
{
    static const char *const paths[] = {"/v1/images/generations", "/v1/rerank"};
    static const char body[] = "{\"model\":\"m\",\"prompt\":\"a cat\",\"stream\":true}";
    struct world *w = *state;
    unsigned i;

    for (i = 0; i < COUNT(paths); i++) {
        char key[] = "k 0", header[40];
        struct svc_call *call;
        int fd;

        key[2] = (char)('0' + i);
        snprintf(header, sizeof(header), "Idempotency-Key: %s\r\n", key);
        KEPT_SET(interrupted, false);
        fd = begin_silence_with(w, header, paths[i], body, i + 1, ": keep-alive\n\n", &call);
        close(fd);
        usleep(200000); /* until it is noticed */
        say_head(call, 200, "application/json");
        svc_send(call, slice_of("{\"data\":[]}"), NULL);
        finish(call, ST_OK);
        assert_true(reached(&script.done, i + 1));
        usleep(100000);
        assert_true(answer_fake_holds(key, 0)); /* its bill decides */
        KEPT_SET(interrupted, true);
        fd = connect_to(w, 0);
        post(fd, paths[i], body, header);
        hear(w, fd, NULL);
        HAS(w, "HTTP/1.1 409 ");
        HAS_NOT(w, "x-router-replayed");
        close(fd);
        assert_int_equal(look()->begun, i + 1);
    }
}

static void a_plain_call_stays_silent(void **state)
{
    struct world *w = *state;
    struct svc_call *call;
    int fd = connect_to(w, 0);

    SET(act, SILENT);
    post(fd, "/v1/chat/completions", BODY, "");
    call = wait_for_call(1);
    usleep(20000);
    ten_seconds_pass(w);
    say_head(call, 200, "application/json");
    finish(call, ST_OK);
    hear(w, fd, NULL);
    HAS(w, "content-type: application/json\r\n");
    HAS_NOT(w, "keep-alive\n");
    close(fd);
}

int main(void)
{
#define WORLD(test) cmocka_unit_test_setup_teardown(test, gateway_world_start, gateway_world_stop)
    const struct CMUnitTest tests[] = {
        WORLD(each_surface_says_what_it_is),
        WORLD(inputs_are_estimated),
        WORLD(wrong_fields_are_named),
        WORLD(prompts_are_counted),
        WORLD(of_headers_few_go_upstream),
        WORLD(a_price_may_be_too_high),
        WORLD(paths_do_not_climb),
        WORLD(another_spelling_of_a_known_path_goes_nowhere),
        WORLD(an_unknown_path_is_unknown_when_nobody_serves_it),
        WORLD(unknown_paths_may_be_refused),
        WORLD(errors_are_in_anthropics_words),
        WORLD(models_are_of_both_kinds_when_asked_so),
        WORLD(anybody_may_say_hello),
        WORLD(bytes_pass_as_they_come),
        WORLD(bytes_that_break_off_are_not_ended),
        WORLD(streams_end_after_the_call),
        cmocka_unit_test(closing_events_are_known_at_every_cut),
        WORLD(a_stream_that_breaks_says_so_in_its_words),
        WORLD(a_silent_provider_does_not_silence_us),
        WORLD(an_error_after_the_first_comment_is_an_event),
        WORLD(what_is_no_stream_after_all_is_not_kept),
        WORLD(a_plain_call_stays_silent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
