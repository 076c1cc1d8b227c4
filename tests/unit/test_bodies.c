/* Bodies of requests: what is taken from whom, and what is counted of it. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/request.h"
#include "services/clock.h"
#include "tests/lib/slow.h"
#include "tests/unit/gateway_world.h"

#define CHAT "/v1/chat/completions"
#define LARGE 90000u /* bytes of a body; the world takes 100000 at most */
#define SILENT_CONNECTIONS 10
#define AT_ONCE_MS 3000u /* long before a silent body is given up */
#define FORM "Content-Type: multipart/form-data; boundary=xYz\r\n"
#define FORM_HEAD "--xYz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.mp3\"\r\n\r\n"

/* Of so many bytes; static. */
static const char *body_of(size_t n)
{
    static const char head[] = "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"", tail[] = "\"}]}";
    static char text[LARGE + 1];

    assert_in_range(n, sizeof(head) + sizeof(tail), LARGE);
    memset(text, 'x', n);
    memcpy(text, head, sizeof(head) - 1);
    memcpy(text + n - (sizeof(tail) - 1), tail, sizeof(tail));
    return text;
}

/* Ends when the gateway has had enough. */
static void send_all(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);

        if (sent <= 0)
            return;
        p += sent;
        n -= (size_t)sent;
    }
}

static void begin(int fd, const char *path, const char *lines)
{
    char text[512];

    snprintf(text, sizeof(text), "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " KEY "\r\n%s\r\n", path, lines);
    say(fd, text);
}

static void begin_counted(int fd, const char *path, const char *more, size_t n)
{
    char lines[256];

    snprintf(lines, sizeof(lines), "%sContent-Length: %zu\r\n", more, n);
    begin(fd, path, lines);
}

static void begin_chunked(int fd, const char *path, const char *more, size_t first)
{
    char lines[256];

    snprintf(lines, sizeof(lines), "%sTransfer-Encoding: chunked\r\n", more);
    begin(fd, path, lines);
    snprintf(lines, sizeof(lines), "%zx\r\n", first);
    say(fd, lines);
}

static void hear_and_close(struct world *w, int fd)
{
    hear(w, fd, NULL);
    close(fd);
}

static void call_counted(struct world *w, size_t n)
{
    int fd = connect_to(w, 0);

    begin_counted(fd, CHAT, "", n);
    send_all(fd, body_of(n), n);
    hear_and_close(w, fd);
}

static void call_chunked(struct world *w, size_t n)
{
    int fd = connect_to(w, 0);

    begin_chunked(fd, CHAT, "", n);
    send_all(fd, body_of(n), n);
    say(fd, "\r\n0\r\n\r\n");
    hear_and_close(w, fd);
}

static uint64_t held(const struct world *w)
{
    const struct gateway *gw = svc_state(w->gateway);

    return atomic_load(&gw->body_bytes);
}

static bool holds(const struct world *w, uint64_t bytes)
{
    uint64_t until = clock_ms() + slow_ms(WAIT_MS);

    while (held(w) != bytes && clock_ms() < until)
        usleep(1000);
    return held(w) == bytes;
}

/* ---- keys -------------------------------------------------------------------------------------------------------- */

static void a_small_body_costs_no_question(void **state)
{
    struct world *w = *state;

    call_counted(w, REQUEST_SMALL);
    HAS(w, "HTTP/1.1 200");
    call_chunked(w, 60000);
    HAS(w, "HTTP/1.1 200");
    assert_int_equal(look()->admitted, 2);
    assert_int_equal(look()->keys_asked, 0);
}

static void a_large_one_costs_one(void **state)
{
    struct world *w = *state;

    call_counted(w, REQUEST_SMALL + 1);
    HAS(w, "HTTP/1.1 200");
    assert_int_equal(look()->keys_asked, 1);
    call_counted(w, LARGE);
    HAS(w, "HTTP/1.1 200");
    assert_int_equal(look()->keys_asked, 2);
    call_chunked(w, LARGE);
    HAS(w, "HTTP/1.1 200");
    assert_int_equal(look()->keys_asked, 3);
    assert_int_equal(look()->admitted, 3);
    assert_true(holds(w, 0));
}

static void says_401_at_once(struct world *w, int fd, uint64_t began)
{
    hear(w, fd, NULL);
    assert_true(clock_ms() - began < slow_ms(AT_ONCE_MS));
    HAS(w, "HTTP/1.1 401");
    HAS(w, "who is that?");
    HAS(w, "connection: close\r\n");
    HAS_NOT(w, "100 Continue");
    assert_int_equal(look()->admitted, 0);
    assert_true(holds(w, 0));
}

static void of_a_made_up_key_no_large_body_is_read(void **state)
{
    struct world *w = *state;
    uint64_t began = clock_ms();
    int fd = connect_to(w, 0);

    SET(key_with, ST_UNAUTHENTICATED);
    begin_counted(fd, CHAT, "", LARGE); /* and not a byte of it */
    says_401_at_once(w, fd, began);
    close(fd);
    fd = connect_to(w, 0);
    begin_counted(fd, CHAT, "Expect: 100-continue\r\n", LARGE);
    says_401_at_once(w, fd, clock_ms());
    close(fd);
    fd = connect_to(w, 0); /* who sends it all the same gets to see the answer */
    begin_counted(fd, CHAT, "", LARGE);
    send_all(fd, body_of(LARGE), LARGE);
    says_401_at_once(w, fd, clock_ms());
    close(fd);
    fd = connect_to(w, 0); /* no more of it is taken than anybody may send */
    begin_chunked(fd, CHAT, "", LARGE);
    send_all(fd, body_of(LARGE), REQUEST_SMALL);
    says_401_at_once(w, fd, clock_ms());
    close(fd);
}

static void nor_a_large_upload(void **state)
{
    struct world *w = *state;
    const struct gateway *gw = svc_state(w->gateway);
    uint64_t until = clock_ms() + slow_ms(WAIT_MS);
    int fd = connect_to(w, 0);

    SET(key_with, ST_UNAUTHENTICATED);
    begin_counted(fd, "/v1/audio/transcriptions", FORM, 3000000);
    says_401_at_once(w, fd, clock_ms());
    close(fd);
    fd = connect_to(w, 0);
    begin_chunked(fd, "/v1/audio/transcriptions", FORM, 3000000);
    say(fd, FORM_HEAD);
    send_all(fd, body_of(LARGE), LARGE);
    says_401_at_once(w, fd, clock_ms());
    close(fd);
    while (atomic_load(&gw->upload_bytes) && clock_ms() < until) /* the client may have its answer a moment earlier */
        usleep(1000);
    assert_int_equal(atomic_load(&gw->upload_bytes), 0);
}

static void without_a_key_it_is_the_same(void **state)
{
    struct world *w = *state;
    int fd = connect_to(w, 0);
    uint64_t began = clock_ms();

    say(fd, "POST " CHAT " HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\n");
    hear_and_close(w, fd);
    assert_true(clock_ms() - began < slow_ms(AT_ONCE_MS));
    HAS(w, "HTTP/1.1 401");
    HAS(w, "connection: close\r\n");
}

static void when_nobody_can_say_admission_decides(void **state)
{
    struct world *w = *state;

    SET(key_with, ST_UNAVAILABLE);
    call_counted(w, LARGE);
    HAS(w, "HTTP/1.1 200");
    assert_int_equal(look()->admitted, 1);
}

/* ---- room -------------------------------------------------------------------------------------------------------- */

static void a_promise_takes_no_room(void **state)
{
    struct world *w = *state;
    int fds[SILENT_CONNECTIONS];
    unsigned i;

    for (i = 0; i < SILENT_CONNECTIONS; i++) {
        fds[i] = connect_to(w, 0);
        begin_counted(fds[i], CHAT, "", LARGE);
    }
    assert_true(reached(&script.keys_asked, SILENT_CONNECTIONS));
    for (i = 0; i < SILENT_CONNECTIONS; i++)
        send_all(fds[i], body_of(LARGE), 1000);
    call_counted(w, 1000);
    HAS(w, "HTTP/1.1 200");
    assert_int_equal(held(w), 0);
    send_all(fds[0], body_of(LARGE) + 1000, REQUEST_SMALL - 1000); /* more is to come: this one is large indeed */
    assert_true(holds(w, LARGE));
    send_all(fds[0], body_of(LARGE) + REQUEST_SMALL, LARGE - REQUEST_SMALL);
    hear(w, fds[0], NULL);
    HAS(w, "HTTP/1.1 200");
    for (i = 0; i < SILENT_CONNECTIONS; i++)
        close(fds[i]);
    assert_true(holds(w, 0));
}

/* Each size that the room for a body passes through, and those beside it. */
static void every_length_comes_whole(void **state)
{
    static const size_t sizes[] = {100, REQUEST_SMALL - 1, REQUEST_SMALL, REQUEST_SMALL + 1, LARGE};
    struct world *w = *state;
    size_t i;

    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        call_counted(w, sizes[i]);
        HAS(w, "HTTP/1.1 200");
        assert_int_equal(look()->body_bytes, sizes[i]);
        call_chunked(w, sizes[i]);
        HAS(w, "HTTP/1.1 200");
        assert_int_equal(look()->body_bytes, sizes[i]);
    }
    assert_true(holds(w, 0));
}

/* The most is taken, one byte more is not. */
static void a_body_has_a_limit(void **state)
{
    struct world *w = *state;

    w->settings.max_body_bytes = LARGE - 1;
    call_counted(w, LARGE - 1);
    HAS(w, "HTTP/1.1 200");
    call_chunked(w, LARGE - 1);
    HAS(w, "HTTP/1.1 200");
    call_counted(w, LARGE);
    HAS(w, "HTTP/1.1 413");
    call_chunked(w, LARGE);
    HAS(w, "HTTP/1.1 413");
    assert_true(holds(w, 0));
}

/* ---- parsing ----------------------------------------------------------------------------------------------------- */

#define PASS_MS 200u /* what is not through by then waits */

struct passing {
    struct gate *gate;
    size_t n;
    atomic_bool through;
    pthread_t thread;
};

static void *pass(void *ctx)
{
    struct passing *p = ctx;

    gate_enter(p->gate, p->n);
    atomic_store(&p->through, true);
    gate_leave(p->gate, p->n);
    return NULL;
}

static void begin_to_pass(struct passing *p)
{
    assert_int_equal(pthread_create(&p->thread, NULL, pass, p), 0);
}

static void a_gate_lets_through_what_fits(void **state)
{
    struct gate gate;
    struct passing small = {.gate = &gate, .n = 4}, large = {.gate = &gate, .n = 5}, all = {.gate = &gate, .n = 100};

    (void)state;
    gate_init(&gate, 10);
    gate_enter(&gate, 6);
    begin_to_pass(&small);
    pthread_join(small.thread, NULL);
    begin_to_pass(&large);
    begin_to_pass(&all);
    usleep(PASS_MS * 1000);
    assert_false(atomic_load(&large.through));
    assert_false(atomic_load(&all.through));
    gate_leave(&gate, 6);
    pthread_join(large.thread, NULL);
    pthread_join(all.thread, NULL); /* alone */
    assert_int_equal(gate.inside, 0);
    gate_fini(&gate);
}

static void large_bodies_wait_to_be_parsed(void **state)
{
    struct world *w = *state;
    struct gateway *gw = svc_state(w->gateway);
    int fd = connect_to(w, 0);

    gate_enter(&gw->parsing, GATEWAY_PARSING_MAX);
    begin_counted(fd, CHAT, "", LARGE);
    send_all(fd, body_of(LARGE), LARGE);
    assert_true(holds(w, LARGE));
    call_counted(w, REQUEST_SMALL);
    HAS(w, "HTTP/1.1 200");
    usleep(PASS_MS * 1000);
    assert_int_equal(look()->admitted, 1); /* the small one */
    gate_leave(&gw->parsing, GATEWAY_PARSING_MAX);
    hear_and_close(w, fd);
    HAS(w, "HTTP/1.1 200");
    assert_int_equal(gw->parsing.inside, 0);
}

static void large_lines_of_a_batch_too(void **state)
{
    static const char head[] = "--xYz\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n"
                               "--xYz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n"
                               "{\"custom_id\":\"1\",\"method\":\"POST\",\"url\":\"" CHAT "\",\"body\":";
    static const char tail[] = "}\r\n--xYz--\r\n";
    struct world *w = *state;
    struct gateway *gw = svc_state(w->gateway);
    int fd = connect_to(w, 0);

    gate_enter(&gw->parsing, GATEWAY_PARSING_MAX);
    begin_counted(fd, "/v1/files", FORM, sizeof(head) - 1 + LARGE + sizeof(tail) - 1);
    say(fd, head);
    send_all(fd, body_of(LARGE), LARGE);
    say(fd, tail);
    usleep(PASS_MS * 1000);
    assert_int_equal(look()->admitted, 0);
    gate_leave(&gw->parsing, GATEWAY_PARSING_MAX);
    hear_and_close(w, fd);
    HAS(w, "HTTP/1.1 200");
    assert_int_equal(look()->admitted, 1);
    assert_int_equal(gw->parsing.inside, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, gateway_world_start, gateway_world_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_small_body_costs_no_question),
        TEST(a_large_one_costs_one),
        TEST(of_a_made_up_key_no_large_body_is_read),
        TEST(nor_a_large_upload),
        TEST(without_a_key_it_is_the_same),
        TEST(when_nobody_can_say_admission_decides),
        TEST(a_promise_takes_no_room),
        TEST(every_length_comes_whole),
        TEST(a_body_has_a_limit),
        cmocka_unit_test(a_gate_lets_through_what_fits),
        TEST(large_bodies_wait_to_be_parsed),
        TEST(large_lines_of_a_batch_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
