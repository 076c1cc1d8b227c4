/* Calls about what one account upstream keeps: they go there, and only its owner's go at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "services/clock.h"
#include "tests/lib/slow.h"
#include "tests/unit/gateway_world.h"

static const char *ask(struct world *w, const char *method, const char *path, const char *body)
{
    int fd = connect_to(w, 0);
    char text[2048];

    snprintf(text, sizeof(text),
             "%s %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " KEY "\r\nContent-Length: %zu\r\n\r\n%s", method,
             path, strlen(body), body);
    say(fd, text);
    hear(w, fd, NULL);
    close(fd);
    return w->answer;
}

static void calls_go_where_their_objects_are(void **state)
{
    static const struct {
        const char *method, *path, *body;
        unsigned objects;
    } cases[] = {
        {"GET", "/v1/responses/resp_mine?stream=true", "", 1},
        {"DELETE", "/v1/responses/resp_mine", "", 1},
        {"POST", "/v1/responses/resp_mine/cancel", "", 1},
        {"GET", "/v1/responses/resp_mine/input_items", "", 1},
        {"GET", "/v1/files/file-mine/content", "", 1},
        {"DELETE", "/v1/files/file-mine", "", 1},
        {"GET", "/v1/batches/batch_mine", "", 1},
        {"POST", "/v1/batches/batch_mine/cancel", "", 1},
        {"POST", "/v1/responses", "{\"model\":\"m\",\"previous_response_id\":\"resp_mine\"}", 1},
        {"POST", "/v1/responses", "{\"model\":\"m\",\"conversation\":\"conv_mine\"}", 1},
        {"POST", "/v1/responses", "{\"model\":\"m\",\"conversation\":{\"id\":\"conv_mine\"}}", 1},
        {"POST", "/v1/responses",
         "{\"model\":\"m\",\"previous_response_id\":\"resp_mine\",\"input\":[{\"role\":\"user\",\"content\":[{\"type\":"
         "\"input_file\",\"file_id\":\"file-mine\"},{\"type\":\"input_file\",\"file_id\":\"file-mine\"}]}]}",
         2},
        {"POST", "/v1/chat/completions",
         "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"file\",\"file\":{\"file_id\":"
         "\"file-"
         "mine\"}}]}]}",
         1},
        {"POST", "/v1/responses",
         "{\"model\":\"m\",\"tools\":[{\"type\":\"code_interpreter\",\"container\":{\"type\":\"auto\",\"file_ids\":["
         "\"file-1-mine\",\"file-2-mine\",\"file-1-mine\"]}},{\"type\":\"image_generation\",\"input_image_mask\":{"
         "\"file_id\":\"file-3-mine\"}}]}",
         3},
        {"POST", "/v1/responses", /* a schema names no file */
         "{\"model\":\"m\",\"previous_response_id\":\"resp_mine\",\"tools\":[{\"type\":\"function\",\"name\":\"f\","
         "\"parameters\":{\"default\":{\"file_id\":\"x\"}}}]}",
         1},
        {"POST", "/v1/responses", /* nor does the name of a variable */
         "{\"model\":\"m\",\"prompt\":{\"id\":\"p\",\"variables\":{\"file_id\":\"x\",\"a\":{\"type\":\"input_file\","
         "\"file_id\":\"file-1-mine\"}},\"variables\":{\"b\":{\"file_id\":\"file-2-mine\"}}}}",
         2},
        {"POST", "/v1/images/edits",
         "{\"model\":\"m\",\"prompt\":\"p\",\"images\":[{\"file_id\":\"file-1-mine\"}],\"mask\":{\"file_id\":"
         "\"file-2-mine\"}}",
         2},
        {"POST", "/v1/messages",
         "{\"model\":\"m\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image\","
         "\"source\":{\"type\":\"file\",\"file_id\":\"file-1-mine\"}},{\"type\":\"document\",\"source\":{\"type\":"
         "\"file\",\"file_id\":\"file-2-mine\"}}]}]}",
         2},
        {"POST", "/v1/vector_stores", "{\"file_ids\":[\"file-1-mine\",\"file-2-mine\"]}", 2},
        {"POST", "/v1/fine_tuning/jobs",
         "{\"model\":\"m\",\"training_file\":\"file-1-mine\",\"validation_file\":\"file-2-mine\"}", 2},
    };
    struct world *w = *state;
    unsigned asked = 0;
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ask(w, cases[i].method, cases[i].path, cases[i].body);
        HAS(w, "HTTP/1.1 200 OK\r\n");
        assert_string_equal(look()->provider, "keeper");
        asked += cases[i].objects;
        assert_int_equal(look()->objects_asked, asked);
    }
    ask(w, "POST", "/v1/chat/completions", BODY);
    assert_string_equal(look()->provider, "");
    assert_int_equal(look()->objects_asked, asked);
}

/* Input that upstream keeps is named to admission; how much it is only where it is known. */
static void what_upstream_keeps_is_input_too(void **state)
{
#define RESPONSE(more) "{\"model\":\"m\",\"input\":\"abcdefgh\"" more "}"
#define CHAT(part) "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[" part "]}]}"
#define MESSAGE(part) "{\"model\":\"m\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":[" part "]}]}"
#define PREVIOUS ",\"previous_response_id\":\"resp_mine\""
    static const struct {
        const char *path, *body, *context;
        uint64_t known, tokens; /* what meterd says of the object; what admission hears of it */
        bool added;
    } cases[] = {
        {"/v1/responses", RESPONSE(""), "", 7000, 0, false},
        {"/v1/responses", RESPONSE(PREVIOUS), "previous_response_id", 7000, 7000, true},
        {"/v1/responses", RESPONSE(PREVIOUS), "previous_response_id", 0, 0, false},
        {"/v1/responses", RESPONSE(PREVIOUS ",\"prompt\":{\"id\":\"pmpt_1\"}"), "prompt", 7000, 0, true},
        {"/v1/responses", RESPONSE(",\"prompt\":{\"id\":\"pmpt_1\"}"), "prompt", 7000, 0, false},
        {"/v1/responses", RESPONSE(",\"conversation\":\"conv_mine\""), "conversation", 7000, 0, false},
        {"/v1/responses/compact", RESPONSE(PREVIOUS), "previous_response_id", 7000, 7000, true},
        {"/v1/responses", "{\"model\":\"m\",\"input\":[{\"type\":\"item_reference\",\"id\":\"msg_1\"}]}",
         "item_reference", 0, 0, false},
        {"/v1/chat/completions", CHAT("{\"type\":\"file\",\"file\":{\"file_id\":\"file-mine\"}}"), "file_id", 7000, 0,
         false},
        {"/v1/chat/completions", CHAT("{\"type\":\"input_file\",\"file_url\":\"https://h/x.pdf\"}"), "file_url", 0, 0,
         false},
        {"/v1/chat/completions", CHAT("{\"type\":\"input_image\",\"file_id\":\"file-mine\"}"), "", 7000, 0, false},
        {"/v1/chat/completions",
         CHAT("{\"type\":\"output_text\",\"text\":\"x\",\"annotations\":[{\"file_id\":\"file-mine\"}]}"), "", 7000, 0,
         false},
        {"/v1/messages", MESSAGE("{\"type\":\"document\",\"source\":{\"type\":\"url\",\"url\":\"https://h/x.pdf\"}}"),
         "source", 0, 0, false},
        {"/v1/messages", MESSAGE("{\"type\":\"document\",\"source\":{\"type\":\"file\",\"file_id\":\"file-mine\"}}"),
         "file_id", 0, 0, false},
        {"/v1/messages", MESSAGE("{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":\"https://h/x.png\"}}"), "",
         0, 0, false},
    };
    struct world *w = *state;
    size_t i;

    SET(prompt_held, 9999);
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        SET(object_tokens, cases[i].known);
        ask(w, "POST", cases[i].path, cases[i].body);
        HAS(w, "HTTP/1.1 200 OK\r\n");
        assert_string_equal(look()->context, cases[i].context);
        assert_int_equal(look()->context_tokens, cases[i].tokens);
        assert_int_equal(look()->estimate >= 7000, cases[i].added);
        assert_int_equal(look()->prompt_tokens >= 7000, cases[i].added);
        assert_int_equal(look()->provider_held, 9999);
    }
    SET(object_tokens, LIMIT_TOKENS);
    ask(w, "POST", "/v1/responses", RESPONSE(PREVIOUS));
    HAS(w, "HTTP/1.1 200 OK\r\n");
    assert_int_equal(look()->estimate, LIMIT_TOKENS);
}

static void anothers_object_is_not_found(void **state)
{
    static const struct {
        const char *method, *path, *body, *status, *text;
    } cases[] = {
        {"GET", "/v1/responses/resp_x", "", "404",
         "Response with id 'resp_x' not found.\",\"type\":\"invalid_request_"
         "error\",\"param\":\"response_id\",\"code\":null"},
        {"GET", "/v1/files/file-x", "", "404", "No such File object: file-x\""},
        {"GET", "/v1/batches/b", "", "404", "No batch found with id 'b'."},
        {"POST", "/v1/batches", "{\"input_file_id\":\"file-x\"}", "404", "\"param\":\"input_file_id\""},
        {"POST", "/v1/responses", "{\"model\":\"m\",\"conversation\":\"conv_x\"}", "404",
         "Conversation with id 'conv_x' not found."},
        {"POST", "/v1/responses", "{\"model\":\"m\",\"previous_response_id\":\"resp_x\"}", "400",
         "\"param\":\"previous_response_id\",\"code\":\"previous_response_not_found\""},
        {"POST", "/v1/responses", "{\"model\":\"m\",\"previous_response_id\":\"\"}", "400", "expected an id of 1 to"},
        {"POST", "/v1/responses",
         "{\"model\":\"m\",\"previous_response_id\":\"resp_mine\",\"conversation\":\"conv_else\"}", "400",
         "kept by different providers"},
    };
    struct world *w = *state;
    char line[64], path[600] = "/v1/files/";
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ask(w, cases[i].method, cases[i].path, cases[i].body);
        snprintf(line, sizeof(line), "HTTP/1.1 %s ", cases[i].status);
        HAS(w, line);
        HAS(w, cases[i].text);
    }
    memset(path + strlen(path), 'f', 300);
    ask(w, "GET", path, "");
    HAS(w, "HTTP/1.1 404 Not Found\r\n");
    assert_int_equal(look()->admitted, 0);
}

/* n different files, each of them so often. */
static void name_files(struct world *w, unsigned n, unsigned often)
{
    char body[2000] = "{\"model\":\"m\",\"input\":[{\"role\":\"user\",\"content\":[";
    size_t at = strlen(body);
    unsigned i;

    for (i = 0; i < n * often; i++)
        at += (size_t)snprintf(body + at, sizeof(body) - at, "%s{\"file_id\":\"f%u-mine\"}", i ? "," : "", i / often);
    snprintf(body + at, sizeof(body) - at, "]}]}");
    ask(w, "POST", "/v1/responses", body);
}

static void a_request_names_only_so_many(void **state)
{
    struct world *w = *state;

    name_files(w, 17, 1);
    HAS(w, "HTTP/1.1 400 Bad Request\r\n");
    HAS(w, "may name 16 files");
    name_files(w, 18, 2); /* that it repeats some hides none */
    HAS(w, "HTTP/1.1 400 Bad Request\r\n");
    HAS(w, "may name 16 files");
    assert_int_equal(look()->objects_asked, 0);
    name_files(w, 16, 3);
    HAS(w, "HTTP/1.1 200 OK\r\n");
    assert_int_equal(look()->objects_asked, 16);
}

static void what_was_made_a_moment_ago_is_waited_for(void **state)
{
    struct world *w = *state;
    unsigned tries = 0;
    uint64_t began;

    SET(objects_late, 3);
    do { /* time is what it waits for: a busy machine may not ask often enough */
        assert_true(tries++ < SLOW_TRIES);
        SET(objects_asked, 0);
        ask(w, "GET", "/v1/responses/resp_mine", "");
    } while (look()->objects_asked < 4);
    HAS(w, "HTTP/1.1 200 OK\r\n");
    assert_int_equal(look()->objects_asked, 4);
    began = clock_ms();
    ask(w, "GET", "/v1/responses/resp_none", "");
    HAS(w, "HTTP/1.1 404 Not Found\r\n");
    assert_in_range(clock_ms() - began, 300, slow_ms(8000));
    SET(objects_down, true);
    ask(w, "GET", "/v1/responses/resp_mine", "");
    HAS(w, "HTTP/1.1 503 Service Unavailable\r\n");
}

int main(void)
{
#define WORLD(test) cmocka_unit_test_setup_teardown(test, gateway_world_start, gateway_world_stop)
    const struct CMUnitTest tests[] = {
        WORLD(calls_go_where_their_objects_are),
        WORLD(what_upstream_keeps_is_input_too),
        WORLD(anothers_object_is_not_found),
        WORLD(a_request_names_only_so_many),
        WORLD(what_was_made_a_moment_ago_is_waited_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
