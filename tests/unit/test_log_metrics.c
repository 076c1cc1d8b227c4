/* Log lines are JSON whatever is in them; metrics are valid Prometheus text and exact under threads. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <yyjson.h>

#include "services/disk.h"
#include "services/log.h"
#include "services/metrics.h"

#define HOSTILE_BYTES 20000

static yyjson_doc *logged(const struct log *log, int from, char *text, size_t size)
{
    ssize_t n;

    (void)log;
    n = read(from, text, size);
    assert_true(n > 0 && text[n - 1] == '\n');
    assert_null(memchr(text, '\n', (size_t)n - 1));
    return yyjson_read(text, (size_t)n, YYJSON_READ_ALLOW_INVALID_UNICODE);
}

static void a_line_is_one_json_object(void **state)
{
    char hostile[HOSTILE_BYTES], text[LOG_LINE_MAX + 1];
    struct log log = {.service = "gateway", .instance = "i1", .level = LOG_INFO};
    yyjson_doc *doc;
    yyjson_val *root;
    int fds[2];
    size_t i;

    (void)state;
    assert_int_equal(pipe(fds), 0);
    log.fd = fds[1];
    log_event(&log, LOG_WARN, slice_of("req_1"), "call", LOG_N("status", 200), LOG_C("model", "a\"b\\c\n\x1b[31m"),
              LOG_B("stream", true));
    doc = logged(&log, fds[0], text, sizeof(text));
    root = yyjson_doc_get_root(doc);
    assert_string_equal(yyjson_get_str(yyjson_obj_get(root, "level")), "warn");
    assert_string_equal(yyjson_get_str(yyjson_obj_get(root, "req")), "req_1");
    assert_string_equal(yyjson_get_str(yyjson_obj_get(root, "model")), "a\"b\\c\n\x1b[31m");
    assert_int_equal(yyjson_get_int(yyjson_obj_get(root, "status")), 200);
    assert_true(yyjson_get_bool(yyjson_obj_get(root, "stream")));
    yyjson_doc_free(doc);

    for (i = 0; i < sizeof(hostile); i++)
        hostile[i] = (char)(i % 128);
    log_event(&log, LOG_ERROR, LOG_NO_REQ, "big", LOG_S("x", ((struct slice){hostile, sizeof(hostile)})),
              LOG_N("after", 1));
    doc = logged(&log, fds[0], text, sizeof(text)); /* cut, and still JSON */
    assert_non_null(doc);
    yyjson_doc_free(doc);
    close(fds[0]);
    close(fds[1]);
}

static void levels_below_are_not_written(void **state)
{
    struct log log = {.service = "gateway", .instance = "i1", .level = LOG_WARN};
    char text[16];
    int fds[2];

    (void)state;
    assert_int_equal(pipe(fds), 0);
    log.fd = fds[1];
    log_event(&log, LOG_INFO, LOG_NO_REQ, "quiet", LOG_N("n", 1));
    close(fds[1]);
    assert_int_equal(read(fds[0], text, sizeof(text)), 0);
    close(fds[0]);
}

#define THREADS 4
#define ADDS 100000

static void *add_many(void *ctx)
{
    int i;

    for (i = 0; i < ADDS; i++)
        metric_add(ctx, 1);
    return NULL;
}

static void counters_are_exact_under_threads(void **state)
{
    struct metrics *m = metrics_new("gateway", NULL);
    struct metric *c = metric_counter(m, "router_x_total", "x.", NULL);
    pthread_t t[THREADS];
    int i;

    (void)state;
    for (i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, add_many, c), 0);
    for (i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    assert_int_equal(metric_value(c), THREADS * ADDS);
    metrics_free(m);
}

static void text_groups_series_under_one_help(void **state)
{
    struct metrics *m = metrics_new("gateway", NULL);
    struct buf out;

    (void)state;
    buf_init(&out, 65536);
    metric_add(metric_counter(m, "router_a_total", "a.", "k=\"1\""), 3);
    metric_set(metric_gauge(m, "router_g", "g.", NULL), -5);
    metric_add(metric_counter(m, "router_a_total", "a.", "k=\"2\""), 4);
    metric_observe_ns(metric_histogram(m, "router_h_seconds", "h.", NULL, METRIC_LATENCY_BOUNDS), 2000000);
    assert_ptr_equal(metric_counter(m, "router_a_total", "a.", "k=\"1\""),
                     metric_counter(m, "router_a_total", "a.", "k=\"1\""));
    assert_int_equal(metrics_render(m, &out), ST_OK);
    assert_int_equal(buf_add(&out, "", 1), ST_OK);
    assert_non_null(strstr(
        out.p, "# HELP router_a_total a.\n# TYPE router_a_total counter\n"
               "router_a_total{service=\"gateway\",k=\"1\"} 3\nrouter_a_total{service=\"gateway\",k=\"2\"} 4\n"));
    assert_non_null(strstr(out.p, "router_g{service=\"gateway\"} -5\n"));
    assert_non_null(strstr(out.p, "router_h_seconds_bucket{service=\"gateway\",le=\"0.001\"} 0\n"));
    assert_non_null(strstr(out.p, "router_h_seconds_bucket{service=\"gateway\",le=\"0.0025\"} 1\n"));
    assert_non_null(strstr(out.p, "router_h_seconds_bucket{service=\"gateway\",le=\"+Inf\"} 1\n"));
    assert_non_null(strstr(out.p, "router_h_seconds_sum{service=\"gateway\"} 0.002000000\n"));
    buf_fini(&out);
    metrics_free(m);
}

/* Its old labels are gone, its counts are those of the new ones. */
static void a_series_begins_anew_with_other_labels(void **state)
{
    struct metrics *m = metrics_new("gateway", NULL);
    struct metric *c = metric_counter(m, "router_a_total", "a.", "k=\"1\"");
    struct metric *h = metric_histogram(m, "router_h_seconds", "h.", "k=\"1\"", METRIC_LATENCY_BOUNDS);
    struct buf out;

    (void)state;
    buf_init(&out, 65536);
    metric_add(c, 3);
    metric_observe_ns(h, 2000000);
    metric_relabel(m, c, "k=\"2\"");
    metric_relabel(m, h, "k=\"2\"");
    metric_relabel(m, NULL, "k=\"2\"");
    assert_int_equal(metric_value(c), 0);
    metric_add(c, 1);
    assert_ptr_equal(metric_counter(m, "router_a_total", "a.", "k=\"2\""), c);
    assert_int_equal(metrics_render(m, &out), ST_OK);
    assert_int_equal(buf_add(&out, "", 1), ST_OK);
    assert_null(strstr(out.p, "k=\"1\""));
    assert_non_null(strstr(out.p, "router_a_total{service=\"gateway\",k=\"2\"} 1\n"));
    assert_non_null(strstr(out.p, "router_h_seconds_bucket{service=\"gateway\",k=\"2\",le=\"+Inf\"} 0\n"));
    assert_non_null(strstr(out.p, "router_h_seconds_sum{service=\"gateway\",k=\"2\"} 0.000000000\n"));
    buf_fini(&out);
    metrics_free(m);
}

static void assert_line(struct metrics *m, const char *line)
{
    struct buf out;

    buf_init(&out, 65536);
    assert_int_equal(metrics_render(m, &out), ST_OK);
    assert_int_equal(buf_add(&out, "", 1), ST_OK);
    if (!strstr(out.p, line))
        fail_msg("no '%s' in:\n%s", line, out.p);
    buf_fini(&out);
}

static void instances_are_told_apart(void **state)
{
    struct metrics *m = metrics_new("gateway", "00000000000000ab");

    (void)state;
    metric_add(metric_counter(m, "router_a_total", "a.", "k=\"1\""), 3);
    assert_line(m, "\nrouter_a_total{service=\"gateway\",replica=\"00000000000000ab\",k=\"1\"} 3\n");
    metrics_free(m);
}

static void a_disk_says_its_room(void **state)
{
    struct metrics *m = metrics_new("meterd", NULL);
    struct disk_space space = {0, 0};
    struct disk_gauges g;

    (void)state;
    assert_true(disk_space(".", &space));
    assert_true(space.size_bytes > 0 && space.free_bytes <= space.size_bytes);
    disk_gauges_make(&g, m, "database");
    disk_gauges_set(&g, ".");
    assert_int_equal(metric_value(g.size_bytes), space.size_bytes);
    assert_true(metric_value(g.free_bytes) > 0);
    assert_line(m, "\nrouter_disk_free_bytes{service=\"meterd\",path=\"database\"} ");
    disk_gauges_set(&g, "./there/is/no/such/folder");
    assert_int_equal(metric_value(g.free_bytes), 0);
    assert_int_equal(metric_value(g.size_bytes), space.size_bytes);
    metrics_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_one_json_object),
        cmocka_unit_test(levels_below_are_not_written),
        cmocka_unit_test(counters_are_exact_under_threads),
        cmocka_unit_test(text_groups_series_under_one_help),
        cmocka_unit_test(a_series_begins_anew_with_other_labels),
        cmocka_unit_test(instances_are_told_apart),
        cmocka_unit_test(a_disk_says_its_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
