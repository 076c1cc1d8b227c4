/* Batches through the gateway, with the other services faked: what the file of one is worth is read while it passes and
 * told to the provider; a batch is made of a file that is worth something, at what admission says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/upload.h"
#include "proto/endpoints.h"
#include "tests/unit/gateway_world.h"
#include "tests/unit/upload_fake.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PART(name) "--xYz\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n"
#define FILE_PART(name) "--xYz\r\nContent-Disposition: form-data; name=\"" name "\"; filename=\"a.jsonl\"\r\n\r\n"
#define PURPOSE(text) PART("purpose") text "\r\n"
#define END "\r\n--xYz--\r\n"
#define LINE(url, body) "{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"" url "\",\"body\":" body "}\n"
#define CHAT LINE("/v1/chat/completions", "{\"model\":\"m\",\"messages\":[{\"role\":\"user\"}],\"max_tokens\":5}")
#define UNLIMITED LINE("/v1/chat/completions", "{\"model\":\"m\",\"messages\":[{\"role\":\"user\"}],\"n\":2}")
#define CHAT_TOKENS 9u
#define CREATE "{\"input_file_id\":\"file-mine\",\"endpoint\":\"/v1/chat/completions\",\"completion_window\":\"24h\"}"

static int begin(void **state)
{
    upload_fake_reset();
    if (gateway_world_start(state))
        return 1;
    SET(act, UPLOAD);
    return 0;
}

static int end(void **state)
{
    const struct world *w = *state;
    const struct gateway *gw = svc_state(w->gateway);
    bool held = atomic_load(&gw->line_bytes) != 0;
    int rv = gateway_world_stop(state);

    upload_fake_reset();
    return rv || held;
}

static void upload(struct world *w, const char *form, size_t n)
{
    int fd = connect_to(w, 0);
    char head[512];

    upload_fake_reset();
    snprintf(head, sizeof(head),
             "POST /v1/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " KEY "\r\n"
             "Content-Type: multipart/form-data; boundary=xYz\r\nContent-Length: %zu\r\n\r\n",
             n);
    say(fd, head);
    assert_int_equal(send(fd, form, n, MSG_NOSIGNAL), (ssize_t)n);
    hear(w, fd, NULL);
    close(fd);
}

static void create(struct world *w, const char *body, const char *more)
{
    int fd = connect_to(w, 0);

    post(fd, "/v1/batches", body, more);
    hear(w, fd, NULL);
    close(fd);
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

static void the_purpose_may_come_first_or_last(void **state)
{
    static const char *const forms[] = {
        PURPOSE("batch") FILE_PART("file") CHAT UNLIMITED END,
        FILE_PART("file") CHAT UNLIMITED "\r\n" PURPOSE("batch") "--xYz--\r\n",
        PART("expires_after[anchor]") "created_at\r\n" FILE_PART("file") CHAT UNLIMITED
        "\r\n" PURPOSE("batch") "--xYz--\r\n",
    };
    struct world *w = *state;
    size_t i;

    for (i = 0; i < COUNT(forms); i++) {
        upload(w, forms[i], strlen(forms[i]));
        HAS(w, "HTTP/1.1 200 OK\r\n");
        assert_int_equal(upload_fake.n, strlen(forms[i]));
        assert_memory_equal(upload_fake.bytes, forms[i], upload_fake.n);
        assert_int_equal(look()->batch.requests, 2);
        assert_int_equal(look()->batch.prompt_tokens, 2 * CHAT_TOKENS);
        assert_int_equal(look()->batch.output_tokens, 5);
        assert_int_equal(look()->batch.unlimited, 2);
        assert_string_equal(look()->batch_model, "m");
        assert_int_equal(look()->admit_batch.requests, 0); /* a file costs nothing */
        assert_true(look()->free);
        assert_string_equal(look()->admit_model, "");
        assert_string_equal(look()->model, "");
    }
}

static void of_another_purpose_it_is_nobodys_concern(void **state)
{
    static const char binary[] = PURPOSE("user_data") FILE_PART("file") "\x00\xff{\n\r\n\x01\x02 no boundary --xYz" END;
    static const char lines[] = FILE_PART("file") CHAT "\r\n" PURPOSE("fine-tune") "--xYz--\r\n";
    static const char other_part[] = PURPOSE("user_data") FILE_PART("image") "PNG" END;
    struct world *w = *state;

    upload(w, binary, sizeof(binary) - 1);
    HAS(w, "HTTP/1.1 200 OK\r\n");
    assert_int_equal(upload_fake.n, sizeof(binary) - 1);
    assert_memory_equal(upload_fake.bytes, binary, upload_fake.n);
    assert_int_equal(look()->batch.requests, 0);
    upload(w, lines, sizeof(lines) - 1);
    HAS(w, "HTTP/1.1 200 OK\r\n");
    assert_int_equal(look()->batch.requests, 0);
    upload(w, other_part, sizeof(other_part) - 1);
    HAS(w, "HTTP/1.1 200 OK\r\n");
}

static void a_file_that_makes_no_batch_is_refused(void **state)
{
    static const struct {
        const char *form, *text;
    } cases[] = {
        {PURPOSE("batch") FILE_PART("file") "x" END, "Invalid 'file': line 1: It is not a JSON object."},
        {FILE_PART("file") CHAT "{}\r\n" PURPOSE("batch") "--xYz--\r\n",
         "Invalid 'file': line 2: Missing required parameter: 'custom_id'."},
        {PURPOSE("batch") FILE_PART("file") "\n\n" END, "Invalid 'file': it holds no request of a batch."},
        {PURPOSE("batch") FILE_PART("file") END, "Invalid 'file': it holds no request of a batch."},
        {PURPOSE("batch") FILE_PART("document") CHAT END, "made of one file, in the part of that name."},
        {PURPOSE("batch") FILE_PART("file") CHAT "\r\n" FILE_PART("file") CHAT END, "made of one file"},
        {PURPOSE("batch") FILE_PART("file") CHAT "\r\n" FILE_PART("more") CHAT END, "made of one file"},
        {PURPOSE("batch") FILE_PART("file") CHAT "\r\n" PART("file") CHAT END, "made of one file"},
        {PURPOSE("batch") FILE_PART("more") CHAT "\r\n" PART("file") CHAT END,
         "Invalid 'file': it holds no request of a batch."},
    };
    struct world *w = *state;
    size_t i;

    for (i = 0; i < COUNT(cases); i++) {
        upload(w, cases[i].form, strlen(cases[i].form));
        HAS(w, "HTTP/1.1 400 Bad Request\r\n");
        HAS(w, cases[i].text);
        HAS(w, "\"type\":\"invalid_request_error\",\"param\":\"file\",\"code\":\"invalid_value\"");
    }
    assert_int_equal(look()->admitted, 0);
    assert_int_equal(look()->begun, 0);
}

/* Larger than the pieces that it is read in: lines go over their ends. */
static void a_long_file_is_read_to_its_end(void **state)
{
    static const char head[] = PURPOSE("batch") FILE_PART("file");
    const size_t lines = 2000, n = sizeof(head) - 1 + lines * (sizeof(CHAT) - 1) + sizeof(END) - 1;
    struct world *w = *state;
    char *form = malloc(n + 1), *to = form;
    size_t i;

    assert_non_null(form);
    to = stpcpy(to, head);
    for (i = 0; i < lines; i++)
        to = stpcpy(to, CHAT);
    stpcpy(to, END);
    upload(w, form, n);
    HAS(w, "HTTP/1.1 200 OK\r\n");
    assert_int_equal(upload_fake.n, n);
    assert_int_equal(look()->batch.requests, lines);
    assert_int_equal(look()->batch.output_tokens, 5 * lines);
    form[sizeof(head) - 1 + 1234 * (sizeof(CHAT) - 1)] = '[';
    upload(w, form, n);
    HAS(w, "Invalid 'file': line 1235: It is not a JSON object.");
    free(form);
}

static void lines_may_not_name_what_is_anothers(void **state)
{
    static const char mine[] = PURPOSE("batch") FILE_PART("file")
        LINE("/v1/responses", "{\"model\":\"m\",\"previous_response_id\":\"resp_mine\"}") END;
    static const char others[] = PURPOSE("batch") FILE_PART("file")
        LINE("/v1/responses", "{\"model\":\"m\",\"input\":[{\"file_id\":\"file-x\"}]}") END;
    struct world *w = *state;

    upload(w, mine, sizeof(mine) - 1);
    HAS(w, "HTTP/1.1 200 OK\r\n");
    assert_string_equal(look()->provider, "keeper");
    assert_int_equal(look()->batch.unlimited, 1);
    upload(w, others, sizeof(others) - 1);
    HAS(w, "HTTP/1.1 404 Not Found\r\n");
    HAS(w, "No such File object: file-x");
    assert_int_equal(look()->begun, 1);
}

/* ---- the batch --------------------------------------------------------------------------------------------------- */

static void one_costs_what_its_file_is_worth(void **state)
{
    struct world *w = *state;
    const struct script *s;

    SET(act, PLAIN);
    SET(worth,
        ((struct batch_worth){
            .model = slice_of("gpt-x"), .requests = 3, .prompt_tokens = 700, .output_tokens = 60, .unlimited = 2}));
    create(w, CREATE, "");
    HAS(w, "HTTP/1.1 200 OK\r\n");
    HAS_NOT(w, "x-router-cost-usd");
    s = look();
    assert_string_equal(s->provider, "keeper");
    assert_string_equal(s->admit_model, "gpt-x");
    assert_false(s->free);
    assert_int_equal(s->estimate, 700);
    assert_int_equal(s->output_limit, 0);
    assert_int_equal(s->choices, 1);
    assert_int_equal(s->admit_batch.requests, 3);
    assert_int_equal(s->admit_batch.prompt_tokens, 700);
    assert_int_equal(s->admit_batch.output_tokens, 60);
    assert_int_equal(s->admit_batch.unlimited, 2);
    assert_string_equal(s->endpoint, ENDPOINT_BATCHES);
    assert_string_equal(s->path, "/batches");
    assert_string_equal(s->body, CREATE);
    assert_string_equal(s->model, "gpt-x");
    assert_string_equal(s->batch_model, "gpt-x");
    assert_int_equal(s->batch.requests, 3);
    assert_int_equal(s->batch.prompt_tokens, 700);
    assert_int_equal(s->batch.output_tokens, 1234);
    assert_int_equal(s->batch.unlimited, 0);
    assert_int_equal(s->price_percent, 50);
    assert_int_equal(s->provider_output_limit, 0);
}

static void without_a_worth_there_is_none(void **state)
{
    static const struct {
        const char *body, *text;
    } cases[] = {
        {CREATE, "Invalid 'input_file_id': 'file-mine' is no file for a batch. Upload it through this router with "
                 "purpose \\\"batch\\\"."},
        {"{}", "Missing required parameter: 'input_file_id'."},
        {"", "Missing required parameter: 'input_file_id'."},
        {"{\"input_file_id\":null}", "Missing required parameter: 'input_file_id'."},
        {"{\"file_id\":\"file-mine\"}", "Missing required parameter: 'input_file_id'."},
        {"{\"input_file_id\":7}", "Invalid type for 'input_file_id'"},
    };
    struct world *w = *state;
    size_t i;

    SET(act, PLAIN);
    for (i = 0; i < COUNT(cases); i++) {
        create(w, cases[i].body, "");
        HAS(w, "HTTP/1.1 400 Bad Request\r\n");
        HAS(w, cases[i].text);
        HAS(w, "\"param\":\"input_file_id\"");
    }
    create(w, "{\"input_file_id\":\"file-another\"}", "");
    HAS(w, "HTTP/1.1 404 Not Found\r\n");
    HAS(w, "No such File object: file-another");
    assert_int_equal(look()->admitted, 0);
    SET(worth, ((struct batch_worth){.model = slice_of("m"), .requests = 1}));
    create(w, "{\"file_id\":\"file-mine\"}", ""); /* another object's worth does not count */
    HAS(w, "Missing required parameter: 'input_file_id'.");
    assert_int_equal(look()->admitted, 0);
}

static void admission_may_refuse_it(void **state)
{
    struct world *w = *state;

    SET(act, PLAIN);
    SET(worth, ((struct batch_worth){.model = slice_of("m"), .requests = 1, .prompt_tokens = 9}));
    SET(admit_with, ST_NO_FUNDS);
    create(w, CREATE, "");
    HAS(w, "HTTP/1.1 429 ");
    HAS(w, "insufficient_quota");
    assert_int_equal(look()->begun, 0);
}

static void nobody_makes_one_twice(void **state)
{
    struct world *w = *state;

    SET(act, PLAIN);
    SET(worth, ((struct batch_worth){.model = slice_of("m"), .requests = 1, .prompt_tokens = 9}));
    create(w, CREATE, "Idempotency-Key: k\r\n");
    HAS(w, "HTTP/1.1 200 OK\r\n");
    usleep(100000);
    create(w, CREATE, "Idempotency-Key: k\r\n");
    HAS(w, "HTTP/1.1 200 OK\r\n");
    HAS(w, "x-router-replayed: true\r\n");
    assert_int_equal(look()->begun, 1);
}

static void the_others_of_a_batch_are_free(void **state)
{
    struct world *w = *state;
    int fd = connect_to(w, 0);

    SET(act, PLAIN);
    SET(worth, ((struct batch_worth){.model = slice_of("m"), .requests = 1, .prompt_tokens = 9}));
    post(fd, "/v1/batches/batch_mine/cancel", "", "");
    hear(w, fd, NULL);
    close(fd);
    HAS(w, "HTTP/1.1 200 OK\r\n");
    assert_true(look()->free);
    assert_int_equal(look()->batch.requests, 0);
    assert_int_equal(look()->price_percent, 0);
}

int main(void)
{
#define WORLD(test) cmocka_unit_test_setup_teardown(test, begin, end)
    const struct CMUnitTest tests[] = {
        WORLD(the_purpose_may_come_first_or_last),
        WORLD(of_another_purpose_it_is_nobodys_concern),
        WORLD(a_file_that_makes_no_batch_is_refused),
        WORLD(a_long_file_is_read_to_its_end),
        WORLD(lines_may_not_name_what_is_anothers),
        WORLD(one_costs_what_its_file_is_worth),
        WORLD(without_a_worth_there_is_none),
        WORLD(admission_may_refuse_it),
        WORLD(nobody_makes_one_twice),
        WORLD(the_others_of_a_batch_are_free),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
