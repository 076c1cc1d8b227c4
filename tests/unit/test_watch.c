/* The thread of alerts against a real receiver: what it posts, and what it does not post again. */
#include "tests/unit/meter_fixture.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "meterd/watch.h"
#include "services/clock.h"

#define REQUEST_MAX 16384
#define WAIT_MS 20000

struct receiver {
    int fd;
    unsigned port;
    pthread_t thread;
    atomic_uint got;
    const char *answer;
};

static void answer_one(struct receiver *r, int fd)
{
    char request[REQUEST_MAX];
    size_t n = 0;
    ssize_t more;

    while (n < sizeof(request) - 1 && (more = recv(fd, request + n, sizeof(request) - 1 - n, 0)) > 0) {
        n += (size_t)more;
        request[n] = '\0';
        if (strstr(request, "\r\n\r\n") && request[n - 1] == '}')
            break;
    }
    if (send(fd, r->answer, strlen(r->answer), MSG_NOSIGNAL) > 0)
        atomic_fetch_add(&r->got, 1);
    close(fd);
}

static void *receive(void *ctx)
{
    struct receiver *r = ctx;
    int fd;

    while ((fd = accept(r->fd, NULL, NULL)) >= 0)
        answer_one(r, fd);
    return NULL;
}

static void receiver_start(struct receiver *r, const char *answer)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(at);

    memset(r, 0, sizeof(*r));
    r->answer = answer;
    r->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(r->fd, (struct sockaddr *)&at, size), 0);
    assert_int_equal(listen(r->fd, 8), 0);
    assert_int_equal(getsockname(r->fd, (struct sockaddr *)&at, &size), 0);
    r->port = ntohs(at.sin_port);
    assert_int_equal(pthread_create(&r->thread, NULL, receive, r), 0);
}

static void receiver_stop(struct receiver *r)
{
    shutdown(r->fd, SHUT_RDWR);
    pthread_join(r->thread, NULL);
    close(r->fd);
}

static void no_facts(void *ctx, struct alert_facts *facts)
{
    (void)ctx;
    (void)facts;
}

static char *no_env(const char *name)
{
    (void)name;
    return NULL;
}

struct bench {
    struct settings settings;
    struct log log;
    struct metrics *metrics;
    struct receiver receiver;
    struct watch *watch;
};

static void begin(struct meter *m, struct bench *b, const char *answer)
{
    struct watch_options options = {&b->settings, &b->log, NULL, no_facts, NULL};
    char url[64];

    memset(b, 0, sizeof(*b));
    b->log = (struct log){.service = "meterd", .level = LOG_ERROR, .fd = STDERR_FILENO};
    receiver_start(&b->receiver, answer);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/", b->receiver.port);
    assert_int_equal(settings_load(&b->settings, SET_M, no_env, NULL), ST_OK);
    settings_set(&b->settings.db_path, m->path);
    settings_set(&b->settings.alert_webhook_url, url);
    options.metrics = b->metrics = metrics_new("meterd", NULL);
    meter_sql(m, "INSERT INTO delivery(body, due, born) VALUES ('{\"n\":1}', 0, 1), ('{\"n\":2}', 0, unixepoch())");
    if (watch_new(&options, &b->watch, &m->err) != ST_OK || watch_start(b->watch, &m->err) != ST_OK)
        fail_msg("%s", m->err.text);
}

static void end(struct bench *b)
{
    watch_stop(b->watch);
    watch_free(b->watch);
    receiver_stop(&b->receiver);
    metrics_free(b->metrics);
    settings_fini(&b->settings);
}

/* The next report that says something of this delivery; nothing is written of it. */
static struct alerts_report next(struct bench *b, uint64_t id)
{
    uint64_t until = clock_ms() + WAIT_MS;
    struct alerts_report said = {0};

    while (said.delivered != id && said.again != id && clock_ms() < until) {
        const struct alerts_report *report = watch_take(b->watch);

        if (report) {
            said = *report;
            watch_done(b->watch);
        }
        usleep(5000);
    }
    return said;
}

static void what_was_taken_is_not_posted_again_while_nothing_can_be_written(void **state)
{
    struct meter *m = *state;
    struct bench b;
    int i;

    begin(m, &b, "HTTP/1.1 204 No Content\r\n\r\n");
    for (i = 0; i < 3; i++)
        assert_int_equal(next(&b, 1).delivered, 1); /* the writer hears of it until it has written it */
    assert_int_equal(atomic_load(&b.receiver.got), 1);
    meter_sql(m, "DELETE FROM delivery WHERE id = 1");
    assert_int_equal(next(&b, 2).delivered, 2);
    assert_int_equal(atomic_load(&b.receiver.got), 2);
    end(&b);
}

static void what_failed_rests_and_what_is_too_old_is_given_up(void **state)
{
    struct meter *m = *state;
    struct alerts_report said;
    struct bench b;

    begin(m, &b, "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n");
    assert_int_equal(next(&b, 1).delivered, 1); /* of the year 1970 */
    meter_sql(m, "UPDATE delivery SET tries = 4 WHERE id = 2; DELETE FROM delivery WHERE id = 1");
    said = next(&b, 2);
    assert_int_equal(said.again, 2);
    assert_true(said.again_s >= clock_wall_ms() / 1000 + 13); /* sixteen seconds, less what the test took */
    assert_int_equal(atomic_load(&b.receiver.got), 2);
    usleep(1500000);
    assert_int_equal(atomic_load(&b.receiver.got), 2); /* though it could not be written down that it is to rest */
    end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_taken_is_not_posted_again_while_nothing_can_be_written, meter_setup,
                                        meter_teardown),
        cmocka_unit_test_setup_teardown(what_failed_rests_and_what_is_too_old_is_given_up, meter_setup, meter_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
