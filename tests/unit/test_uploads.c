/* Uploads through the gateway: off the socket into the spool, to the provider in the stretches that it asks for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/upload.h"
#include "services/clock.h"
#include "tests/unit/answer_fake.h"
#include "tests/unit/gateway_world.h"
#include "tests/unit/upload_fake.h"

#define TYPE "Content-Type: multipart/form-data; boundary=xYz\r\n"
#define MODEL "--xYz\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n"
#define FILE_HEAD "--xYz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.mp3\"\r\n\r\n"
#define END "\r\n--xYz--\r\n"
#define TRANSCRIBE "/v1/audio/transcriptions"

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
    int rv = gateway_world_stop(state);

    upload_fake_reset();
    return rv;
}

/* A form with a file of so many bytes and then the model. */
static char *make_form(size_t file, const char *rest, size_t *ret_n)
{
    size_t n = strlen(FILE_HEAD) + file + strlen(rest), i;
    char *form = malloc(n);

    assert_non_null(form);
    memcpy(form, FILE_HEAD, strlen(FILE_HEAD));
    for (i = 0; i < file; i++)
        form[strlen(FILE_HEAD) + i] = (char)(i * 31 % 251);
    memcpy(form + n - strlen(rest), rest, strlen(rest));
    *ret_n = n;
    return form;
}

static void send_all(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);

        if (sent <= 0)
            return; /* the gateway has refused it */
        p += sent;
        n -= (size_t)sent;
    }
}

static void post_form(int fd, const char *path, const char *more, const char *form, size_t n)
{
    char text[512];

    snprintf(text, sizeof(text),
             "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " KEY "\r\n%sContent-Length: %zu\r\n\r\n", path,
             more, n);
    say(fd, text);
    send_all(fd, form, n);
}

static const char *upload(struct world *w, const char *path, const char *more, const char *form, size_t n)
{
    int fd = connect_to(w, 0);

    post_form(fd, path, more, form, n);
    hear(w, fd, NULL);
    close(fd);
    return w->answer;
}

static void wait_for_cancel(void)
{
    uint64_t until = clock_ms() + WAIT_MS;
    bool cancelled = false;

    while (!cancelled && clock_ms() < until) {
        pthread_mutex_lock(&upload_fake.lock);
        cancelled = upload_fake.cancelled;
        pthread_mutex_unlock(&upload_fake.lock);
        usleep(1000);
    }
    assert_true(cancelled);
}

/* The client may have its answer a moment earlier. */
static void all_is_given_back(const struct world *w)
{
    struct gateway *gw = svc_state(w->gateway);
    uint64_t until = clock_ms() + WAIT_MS;

    while (atomic_load(&gw->upload_bytes) && clock_ms() < until)
        usleep(1000);
    assert_int_equal(gw->upload_bytes, 0);
}

static void it_comes_to_the_byte(void **state)
{
    static const size_t sizes[] = {10, SPOOL_MEMORY - 200, SPOOL_MEMORY, 3000000};
    static const size_t steps[] = {65536, 1000000, 262144};
    struct world *w = *state;
    size_t i, n = 0;

    w->settings.max_upload_bytes = 4000000;
    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char *form = make_form(sizes[i], "\r\n" MODEL "--xYz--\r\n", &n);

        upload_fake_reset();
        upload_fake.step = steps[i % 3] < UPLOAD_WANT_MAX ? steps[i % 3] : UPLOAD_WANT_MAX;
        upload(w, TRANSCRIBE, TYPE, form, n);
        HAS(w, "HTTP/1.1 200 OK\r\n");
        HAS(w, "{\"ok\":1}");
        assert_int_equal(upload_fake.total, n);
        assert_int_equal(upload_fake.n, n);
        assert_memory_equal(upload_fake.bytes, form, n);
        assert_true(upload_fake.largest <= SPOOL_PIECE);
        assert_int_equal(upload_fake.model_bytes, 9);
        assert_memory_equal(form + upload_fake.model_at, "whisper-1", 9);
        assert_string_equal(look()->model, "whisper-1");
        assert_string_equal(look()->path, "/audio/transcriptions");
        assert_string_equal(look()->type, "multipart/form-data; boundary=xYz");
        assert_string_equal(look()->body, "");
        assert_in_range(look()->estimate, sizes[i] / 1000, sizes[i] / 1000 + 2);
        free(form);
    }
    all_is_given_back(w);
}

static void a_chunked_one_comes_too(void **state)
{
    struct world *w = *state;
    int fd = connect_to(w, 0);
    char text[1024];

    say(fd, "POST " TRANSCRIBE " HTTP/1.1\r\nHost: x\r\nx-api-key: k\r\n" TYPE "Transfer-Encoding: chunked\r\n\r\n");
    snprintf(text, sizeof(text), "%zx\r\n%s\r\n", strlen(MODEL FILE_HEAD), MODEL FILE_HEAD);
    say(fd, text);
    usleep(20000);
    snprintf(text, sizeof(text), "%zx\r\n%s\r\n0\r\n\r\n", strlen("mp3" END), "mp3" END);
    say(fd, text);
    hear(w, fd, NULL);
    HAS(w, "HTTP/1.1 200 OK\r\n");
    assert_int_equal(upload_fake.n, strlen(MODEL FILE_HEAD "mp3" END));
    assert_memory_equal(upload_fake.bytes, MODEL FILE_HEAD "mp3" END, upload_fake.n);
    SET(act, PLAIN);
    post(fd, "/v1/chat/completions", BODY, ""); /* the connection goes on */
    hear(w, fd, NULL);
    HAS(w, "HTTP/1.1 200 OK\r\n");
    close(fd);
}

static void what_is_no_form_is_passed_where_nobody_knows_it(void **state)
{
    struct world *w = *state;

    upload(w, "/v1/some/blob", "Content-Type: application/octet-stream\r\n", "\x00\x01\x02", 3);
    HAS(w, "HTTP/1.1 200 OK\r\n");
    assert_int_equal(upload_fake.n, 3);
    assert_int_equal(upload_fake.model_bytes, 0);
    assert_string_equal(look()->type, "application/octet-stream");
    assert_string_equal(look()->model, "");
    assert_false(look()->free); /* what such a path may cost is authsvc's to say */
}

/* Who reads it all the same would find a model or a file there that nobody has looked at. */
static void json_of_another_type_is_refused(void **state)
{
    static const struct {
        const char *type, *body;
        bool passes;
    } cases[] = {
        {"text/plain", "{\"model\":\"m\"}", false},
        {"text/json", " \r\n\t{\"file_id\":\"file-else\"}", false},
        {"application/octet-stream", "\xef\xbb\xbf{}", false},
        {"text/plain", "[{}]", false},
        {"application/sdp", "v=0\r\n{", true},
        {"application/sdp", " ", true},
        {"application/octet-stream", "", true},
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char type[64];

        snprintf(type, sizeof(type), "Content-Type: %s\r\n", cases[i].type);
        upload_fake_reset();
        upload(w, "/v1/some/blob", type, cases[i].body, strlen(cases[i].body));
        HAS(w, cases[i].passes ? "HTTP/1.1 200 OK\r\n" : "HTTP/1.1 400 ");
        if (!cases[i].passes)
            HAS(w, "\"param\":\"content-type\",\"code\":\"invalid_value\"");
    }
}

static void a_file_that_a_form_names_is_looked_up(void **state)
{
    static const char form[] = "--xYz\r\nContent-Disposition: form-data; name=\"file_id\"\r\n\r\nfile-mine" END;
    static const char two[] = "--xYz\r\nContent-Disposition: form-data; name=\"file_id\"\r\n\r\nfile-mine\r\n"
                              "--xYz\r\nContent-Disposition: form-data; name=\"file_id\"\r\n\r\nfile-else" END;
    struct world *w = *state;

    upload(w, "/v1/containers/c/files", TYPE, form, sizeof(form) - 1);
    assert_int_equal(look()->objects_asked, 1);
    upload_fake_reset();
    upload(w, "/v1/containers/c/files", TYPE, two, sizeof(two) - 1);
    HAS(w, "HTTP/1.1 400 ");
    HAS(w, "\"param\":\"file_id\"");
}

static void surfaces_read_their_parts(void **state)
{
    static const char image[] = "--xYz\r\nContent-Disposition: form-data; name=\"image\"; filename=\"i\"\r\n\r\nPNG\r\n"
                                "--xYz\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\nabcdefgh\r\n"
                                "--xYz\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\n3\r\n"
                                "--xYz\r\nContent-Disposition: form-data; name=\"input_fidelity\"\r\n\r\nhigh\r\n"
                                "--xYz\r\nContent-Disposition: form-data; name=\"stream\"\r\n\r\ntrue" END;
    static const char file[] =
        "--xYz\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nuser_data\r\n" FILE_HEAD "{}" END;
    struct world *w = *state;

    upload(w, "/v1/images/edits", TYPE, image, sizeof(image) - 1);
    HAS(w, "HTTP/1.1 200 OK\r\n");
    assert_string_equal(look()->model, "gpt-image-1");
    assert_int_equal(look()->choices, 3);
    assert_int_equal(look()->output_limit, 6240);
    assert_true(look()->stream);
    assert_in_range(look()->estimate, 1446 + 6240, 1450 + 6240);
    upload_fake_reset();
    upload(w, "/v1/files", TYPE, file, sizeof(file) - 1);
    HAS(w, "HTTP/1.1 200 OK\r\n");
    assert_true(look()->free);
    assert_string_equal(look()->model, "");
}

static void what_is_wrong_is_said_before_admission(void **state)
{
    static const struct {
        const char *path, *more, *form, *status, *text;
    } cases[] = {
        {TRANSCRIBE, TYPE, FILE_HEAD "mp3" END, "400", "\"param\":\"model\",\"code\":\"missing_required_parameter\""},
        {TRANSCRIBE, TYPE, MODEL MODEL "--xYz--", "400", "Parameter given more than once: 'model'."},
        {TRANSCRIBE, TYPE, MODEL, "400", "ends before its last boundary"},
        {TRANSCRIBE, "Content-Type: multipart/form-data\r\n", MODEL, "400", "\"param\":\"content-type\""},
        {TRANSCRIBE, "", "{\"model\":\"m\"}", "400", "expected multipart/form-data"},
        {TRANSCRIBE, "Content-Type: multipart/form-data; boundary=x; y=\"\xff\"\r\n", "--x--", "400",
         "printable ASCII"},
        {"/v1/files", TYPE, FILE_HEAD "x" END, "400", "\"param\":\"purpose\""},
        {"/v1/files", TYPE, "--xYz\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch" END, "400",
         "\"param\":\"file\""},
        {"/v1/images/variations", TYPE, "--xYz\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\n-1" END, "400",
         "\"param\":\"n\""},
        {"/v1/images/variations", TYPE, "--xYz\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\n129" END, "400",
         "\"param\":\"n\""},
        {TRANSCRIBE, TYPE, "--xYz\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n\xff" END, "400", "UTF-8"},
    };
    struct world *w = *state;
    char line[64];
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        upload(w, cases[i].path, cases[i].more, cases[i].form, strlen(cases[i].form));
        snprintf(line, sizeof(line), "HTTP/1.1 %s ", cases[i].status);
        HAS(w, line);
        HAS(w, cases[i].text);
    }
    assert_int_equal(look()->admitted, 0);
}

static void one_too_large_is_refused(void **state)
{
    struct world *w = *state;
    size_t n = 0, chunk;
    char *form = make_form(200000, END, &n), text[32];
    int fd;

    w->settings.max_upload_bytes = 100000;
    upload(w, TRANSCRIBE, TYPE, form, n);
    HAS(w, "HTTP/1.1 413 Content Too Large\r\n");
    HAS(w, "The upload is larger than 100000 bytes.");
    fd = connect_to(w, 0);
    say(fd, "POST " TRANSCRIBE " HTTP/1.1\r\nHost: x\r\nx-api-key: k\r\n" TYPE "Transfer-Encoding: chunked\r\n\r\n");
    for (chunk = 0; chunk < 20; chunk++) {
        snprintf(text, sizeof(text), "2710\r\n");
        send_all(fd, text, strlen(text));
        send_all(fd, form, 10000);
        send_all(fd, "\r\n", 2);
    }
    send_all(fd, "0\r\n\r\n", 5);
    hear(w, fd, NULL);
    HAS(w, "HTTP/1.1 413 Content Too Large\r\n");
    close(fd);
    free(form);
    assert_int_equal(look()->admitted, 0);
    all_is_given_back(w);
}

static void a_folder_that_is_full_is_said(void **state)
{
    struct world *w = *state;
    size_t n = 0;
    char *form = make_form(SPOOL_MEMORY, "\r\n" MODEL "--xYz--\r\n", &n);

    settings_set(&w->settings.upload_dir, "/nonexistent");
    w->settings.max_upload_bytes = 4000000;
    upload(w, TRANSCRIBE, TYPE, form, n);
    HAS(w, "HTTP/1.1 503 Service Unavailable\r\n");
    HAS(w, "cannot keep the upload");
    free(form);
}

static void providers_may_begin_again_and_may_not_ask_for_more(void **state)
{
    struct world *w = *state;
    size_t n = 0;
    char *form = make_form(300000, "\r\n" MODEL "--xYz--\r\n", &n);

    upload_fake.fault = UPLOAD_TWICE;
    upload(w, TRANSCRIBE, TYPE, form, n);
    HAS(w, "HTTP/1.1 200 OK\r\n");
    assert_int_equal(upload_fake.n, n);
    assert_memory_equal(upload_fake.bytes, form, n);

    upload_fake_reset();
    upload_fake.fault = UPLOAD_REFUSES;
    upload(w, TRANSCRIBE, TYPE, form, n);
    HAS(w, "HTTP/1.1 400 Bad Request\r\n");
    HAS(w, "{\"ok\":1}");

    upload_fake_reset();
    upload_fake.fault = UPLOAD_GREEDY;
    upload(w, TRANSCRIBE, TYPE, form, n);
    HAS(w, "HTTP/1.1 500 Internal Server Error\r\n");
    wait_for_cancel();

    upload_fake_reset();
    upload_fake.fault = UPLOAD_BEYOND;
    upload(w, TRANSCRIBE, TYPE, form, n);
    HAS(w, "HTTP/1.1 500 Internal Server Error\r\n");
    free(form);
}

static void a_client_that_leaves_ends_it(void **state)
{
    struct world *w = *state;
    size_t n = 0;
    char *form = make_form(300000, "\r\n" MODEL "--xYz--\r\n", &n);
    int fd = connect_to(w, 0);

    upload_fake.fault = UPLOAD_WAITS;
    post_form(fd, TRANSCRIBE, TYPE, form, n);
    assert_true(reached(&script.begun, 1));
    usleep(50000);
    close(fd);
    wait_for_cancel();

    fd = connect_to(w, 0); /* in the middle of the body */
    post_form(fd, TRANSCRIBE, TYPE, form, n / 2);
    close(fd);
    fd = connect_to(w, 0);
    say(fd, "POST " TRANSCRIBE " HTTP/1.1\r\nHost: x\r\nx-api-key: k\r\n" TYPE "Content-Length: 1000\r\n\r\n--xYz");
    close(fd);
    usleep(100000);
    assert_int_equal(look()->begun, 1);
    all_is_given_back(w);
    free(form);
}

static void a_repeat_is_known_by_what_it_says(void **state)
{
    static const char other[] =
        "--other\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--other\r\nContent-Disposition: "
        "form-data; name=\"file\"; filename=\"a.mp3\"\r\n\r\nmp3\r\n--other--\r\n";
    struct world *w = *state;

    upload(w, TRANSCRIBE, TYPE "Idempotency-Key: k\r\n", MODEL FILE_HEAD "mp3" END, strlen(MODEL FILE_HEAD "mp3" END));
    HAS(w, "HTTP/1.1 200 OK\r\n");
    HAS_NOT(w, "x-router-replayed");
    usleep(100000);
    upload(w, TRANSCRIBE, "Content-Type: multipart/form-data; boundary=other\r\nIdempotency-Key: k\r\n", other,
           sizeof(other) - 1);
    HAS(w, "HTTP/1.1 200 OK\r\n");
    HAS(w, "x-router-replayed: true\r\n");
    assert_int_equal(look()->begun, 1);
    upload(w, TRANSCRIBE, TYPE "Idempotency-Key: k\r\n", MODEL FILE_HEAD "mp4" END, strlen(MODEL FILE_HEAD "mp4" END));
    HAS(w, "HTTP/1.1 409 Conflict\r\n");
}

int main(void)
{
#define WORLD(test) cmocka_unit_test_setup_teardown(test, begin, end)
    const struct CMUnitTest tests[] = {
        WORLD(it_comes_to_the_byte),
        WORLD(a_chunked_one_comes_too),
        WORLD(what_is_no_form_is_passed_where_nobody_knows_it),
        WORLD(json_of_another_type_is_refused),
        WORLD(a_file_that_a_form_names_is_looked_up),
        WORLD(surfaces_read_their_parts),
        WORLD(what_is_wrong_is_said_before_admission),
        WORLD(one_too_large_is_refused),
        WORLD(a_folder_that_is_full_is_said),
        WORLD(providers_may_begin_again_and_may_not_ask_for_more),
        WORLD(a_client_that_leaves_ends_it),
        WORLD(a_repeat_is_known_by_what_it_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
