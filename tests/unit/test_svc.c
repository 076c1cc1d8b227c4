/* A service made of a description: calls, faults, late answers, streams, hostile bytes, health, drain. Over inproc. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "services/clock.h"
#include "services/ids.h"
#include "services/svc.h"
#include "services/version.h"

#define CALL_MS 5000

struct toy {
    int answered;
    struct metric *looked;
};

static atomic_int late_begun, late_ended;

static enum status check(struct svc_call *call, const void *in, void *out)
{
    const struct session_check_req *req = in;
    struct session_check_rep *rep = out;
    struct toy *toy = svc_state(call->svc);

    toy->answered++;
    if (!slice_is(req->access_token, "good")) {
        call->limits = (struct rate_limits){.has = 1, .limit_requests = 60, .remaining_requests = 7};
        err_set_field(&call->err, ST_RATE_REQUESTS, "my_code", "token", "no entry for '" SLICE_FMT "'",
                      SLICE_ARG(req->access_token));
        call->err.retry_after_ms = 1500;
        return ST_RATE_REQUESTS;
    }
    rep->user_id = slice_of("usr_1");
    rep->role = slice_of("user");
    rep->session_id = slice_of("ses_1");
    return ST_OK;
}

static void *answer_later(void *ctx)
{
    struct svc_call *call = ctx;
    struct key_list_rep *rep = svc_out(call);

    atomic_fetch_add(&late_begun, 1);
    usleep(20000);
    atomic_fetch_add(&late_ended, 1);
    rep->next = slice_of("late");
    svc_finish(call, ST_OK);
    return NULL;
}

static enum status later(struct svc_call *call, const void *in, void *out)
{
    pthread_t t;

    (void)in;
    (void)out;
    if (pthread_create(&t, NULL, answer_later, call))
        return ST_NO_MEMORY;
    pthread_detach(t);
    return ST_PENDING;
}

static const struct svc_route routes[] = {
    {&session_check_req_desc, &session_check_rep_desc, check},
    {&key_list_req_desc, &key_list_rep_desc, later},
};

/* It has nothing before its metrics are asked for. */
static void look(struct svc *svc)
{
    struct toy *toy = svc_state(svc);

    toy->looked = metric_gauge(svc_metrics(svc), "router_looked", "How often.", NULL);
    metric_move(toy->looked, 1);
}

static const struct svc_def toy_def = {
    .name = "toy",
    .settings = SET_A,
    .state_size = sizeof(struct toy),
    .self = SVC_AUTHSVC,
    .routes = routes,
    .n_routes = sizeof(routes) / sizeof(routes[0]),
    .gauges = look,
};

struct world {
    struct settings settings;
    struct svc *svc;
    struct xchg_client *client;
    struct arena arena;
};

static char *no_env(const char *name)
{
    (void)name;
    return NULL;
}

static int start(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    struct xchg_client_options options = {.url = "inproc://toy", .instance = id_number()};

    assert_non_null(w);
    arena_init(&w->arena, 1 << 20);
    assert_int_equal(settings_load(&w->settings, SET_A, no_env, NULL), ST_OK);
    assert_int_equal(settings_set(&w->settings.authsvc_url, "inproc://toy"), ST_OK);
    assert_int_equal(settings_set(&w->settings.log_level, "error"), ST_OK);
    assert_int_equal(svc_start(&toy_def, &w->settings, &w->svc, NULL), ST_OK);
    assert_int_equal(xchg_client_new(&options, &w->client, NULL), ST_OK);
    *state = w;
    return 0;
}

static int stop(void **state)
{
    struct world *w = *state;

    xchg_client_free(w->client);
    svc_stop(w->svc);
    settings_fini(&w->settings);
    arena_fini(&w->arena);
    free(w);
    return 0;
}

static void a_call_is_answered(void **state)
{
    struct world *w = *state;
    struct session_check_req req = {.access_token = slice_of("good")};
    struct session_check_rep rep;

    assert_int_equal(
        call_wait(w->client, &session_check_req_desc, &req, &session_check_rep_desc, &rep, &w->arena, CALL_MS, NULL),
        ST_OK);
    assert_true(slice_is(rep.user_id, "usr_1"));
}

static void a_refusal_says_why(void **state)
{
    struct world *w = *state;
    struct session_check_req req = {.access_token = slice_of("bad")};
    struct session_check_rep rep;
    struct err err = {.status = ST_OK};

    assert_int_equal(
        call_wait(w->client, &session_check_req_desc, &req, &session_check_rep_desc, &rep, &w->arena, CALL_MS, &err),
        ST_RATE_REQUESTS);
    assert_int_equal(err.status, ST_RATE_REQUESTS);
    assert_string_equal(err.code, "my_code");
    assert_string_equal(err.param, "token");
    assert_string_equal(err.text, "no entry for 'bad'");
    assert_int_equal(err.retry_after_ms, 1500);
}

static void an_answer_may_come_later(void **state)
{
    struct world *w = *state;
    struct key_list_req req = {.actor_id = slice_of("usr_1")};
    struct key_list_rep rep;

    assert_int_equal(call_wait(w->client, &key_list_req_desc, &req, &key_list_rep_desc, &rep, &w->arena, CALL_MS, NULL),
                     ST_OK);
    assert_true(slice_is(rep.next, "late"));
}

struct raw_end {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool done;
    enum status st;
};

static void raw_ended(void *ctx, enum status st, struct slice payload)
{
    struct raw_end *r = ctx;

    (void)payload;
    pthread_mutex_lock(&r->lock);
    r->st = st;
    r->done = true;
    pthread_cond_signal(&r->ended);
    pthread_mutex_unlock(&r->lock);
}

static enum status send_raw(struct world *w, uint16_t method, struct slice bytes)
{
    static const struct xchg_events events = {.end = raw_ended};
    struct raw_end r = {.lock = PTHREAD_MUTEX_INITIALIZER, .ended = PTHREAD_COND_INITIALIZER};
    struct xchg_open open = {.method = method, .payload = bytes, .deadline_ms = CALL_MS, .events = &events, .ctx = &r};
    struct xchg_id id;

    assert_int_equal(xchg_open(w->client, &open, &id), ST_OK);
    pthread_mutex_lock(&r.lock);
    while (!r.done)
        pthread_cond_wait(&r.ended, &r.lock);
    pthread_mutex_unlock(&r.lock);
    return r.st;
}

static void hostile_bytes_are_refused(void **state)
{
    struct world *w = *state;

    assert_int_equal(send_raw(w, session_check_req_desc.type, slice_of("\xdd\xff\xff\xff\xff")), ST_BAD_MESSAGE);
    assert_int_equal(send_raw(w, session_check_req_desc.type, (struct slice){NULL, 0}), ST_BAD_MESSAGE);
    assert_int_equal(send_raw(w, 0x7777, slice_of("x")), ST_BAD_MESSAGE);
    a_call_is_answered(state);
}

static void health_and_metrics_are_every_services(void **state)
{
    struct world *w = *state;
    struct health_req req = {.has = 0};
    struct metrics_req mreq = {.has = 0};
    struct health_rep rep;
    struct metrics_rep mrep;

    a_call_is_answered(state);
    assert_int_equal(call_wait(w->client, &health_req_desc, &req, &health_rep_desc, &rep, &w->arena, CALL_MS, NULL),
                     ST_OK);
    assert_true(slice_is(rep.service, "toy"));
    assert_true(rep.ready);
    assert_true(rep.rss_bytes > 0);
    assert_int_equal(call_wait(w->client, &metrics_req_desc, &mreq, &metrics_rep_desc, &mrep, &w->arena, CALL_MS, NULL),
                     ST_OK);
    assert_non_null(memmem(mrep.text.p, mrep.text.n, "router_bus_calls_total{service=\"toy\",", 37));
}

static void a_draining_service_takes_no_new_calls(void **state)
{
    struct world *w = *state;
    struct session_check_req req = {.access_token = slice_of("good")};
    struct session_check_rep rep;
    enum status st;

    a_call_is_answered(state);
    svc_drain(w->svc, 1000);
    st = call_wait(w->client, &session_check_req_desc, &req, &session_check_rep_desc, &rep, &w->arena, CALL_MS, NULL);
    assert_true(st == ST_DRAINING || st == ST_UNAVAILABLE);
    assert_int_equal(((struct toy *)svc_state(w->svc))->answered, 1);
}

/* The value of a sample whose line begins so; -1: there is none. */
static double sample(struct slice text, const char *start)
{
    const char *at = memmem(text.p, text.n, start, strlen(start));

    return at ? strtod(at + strlen(start), NULL) : -1;
}

static void metrics_are_of_the_moment(void **state)
{
    struct world *w = *state;
    struct metrics_req req = {.unused = false};
    struct metrics_rep rep;
    char start[128];
    int fd, i;

    for (i = 0; i < 2; i++)
        assert_int_equal(
            call_wait(w->client, &metrics_req_desc, &req, &metrics_rep_desc, &rep, &w->arena, CALL_MS, NULL), ST_OK);
#define SAMPLE(name, more)                                                                                             \
    (snprintf(start, sizeof(start), name "{service=\"toy\",replica=\"%s\"" more "} ", svc_instance(w->svc)),           \
     sample(rep.text, start))
    assert_true(SAMPLE("router_looked", "") == 2);
    assert_true(SAMPLE("router_ready", "") == 1);
    assert_true(SAMPLE("router_build_info", ",version=\"" ROUTER_VERSION "\"") == 1);
    assert_true(SAMPLE("router_start_time_seconds", "") > 1.6e9);
    assert_true(SAMPLE("router_process_resident_bytes", "") > 1e6);
    assert_true(SAMPLE("router_process_cpu_milliseconds_total", "") > 0);
    assert_true(SAMPLE("router_process_max_fds", "") >= SAMPLE("router_process_open_fds", ""));
    i = (int)SAMPLE("router_process_open_fds", "");
    assert_true(i > 3);
    fd = dup(STDERR_FILENO);
    assert_int_equal(call_wait(w->client, &metrics_req_desc, &req, &metrics_rep_desc, &rep, &w->arena, CALL_MS, NULL),
                     ST_OK);
    assert_true(SAMPLE("router_process_open_fds", "") == i + 1);
    close(fd);
#undef SAMPLE
}

static void late_end(void *ctx, enum status st, struct slice payload)
{
    (void)ctx;
    (void)st;
    (void)payload;
}

/* The thread that answers owns its call until svc_finish returns, whatever became of the bus. */
static void a_stop_waits_for_calls_that_finish_late(void **state)
{
    static const struct xchg_events events = {.end = late_end};
    struct world *w = *state;
    struct key_list_req req = {.actor_id = slice_of("usr_1")};
    struct xchg_open open = {.deadline_ms = CALL_MS, .events = &events};
    struct xchg_id id;
    unsigned round;

    a_call_is_answered(state);
    atomic_store(&late_begun, 0);
    atomic_store(&late_ended, 0);
    for (round = 0; round < 3; round++)
        assert_int_equal(call_open(w->client, &key_list_req_desc, &req, &open, &id, NULL), ST_OK);
    while (atomic_load(&late_begun) < 3)
        usleep(500);
    svc_stop(w->svc);
    w->svc = NULL;
    assert_int_equal(atomic_load(&late_ended), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_call_is_answered, start, stop),
        cmocka_unit_test_setup_teardown(metrics_are_of_the_moment, start, stop),
        cmocka_unit_test_setup_teardown(a_refusal_says_why, start, stop),
        cmocka_unit_test_setup_teardown(an_answer_may_come_later, start, stop),
        cmocka_unit_test_setup_teardown(hostile_bytes_are_refused, start, stop),
        cmocka_unit_test_setup_teardown(health_and_metrics_are_every_services, start, stop),
        cmocka_unit_test_setup_teardown(a_draining_service_takes_no_new_calls, start, stop),
        cmocka_unit_test_setup_teardown(a_stop_waits_for_calls_that_finish_late, start, stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
