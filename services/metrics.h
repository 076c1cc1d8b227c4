/*
 * Metrics of one service: counters, gauges and histograms, made once at start-up, updated with one atomic operation,
 * shown as Prometheus text 0.0.4. Names begin with router_. The labels service="…" and, of
 * a service's instance, replica="…" are added to every sample by metrics_render. A registry belongs to one service;
 * metrics live as long as it.
 */
#ifndef SERVICES_METRICS_H
#define SERVICES_METRICS_H

#include <stdint.h>

#include "proto/wire.h"

#define METRICS_MAX 4096 /* series of one service */
#define METRIC_BUCKETS_MAX 24
#define METRIC_LABELS_MAX 256 /* bytes of a label set */

struct metrics;
struct metric; /* one series */

/* replica: the instance's id, as it stands in logs, or NULL. NULL = no memory. */
struct metrics *metrics_new(const char *service, const char *replica);
void metrics_free(struct metrics *m);

/* labels: Prometheus label pairs without braces, "outcome=\"ok\"", or NULL; copied. The same name and labels give the
 * same series. NULL only when METRICS_MAX is reached or memory is gone; every operation accepts NULL, so callers need
 * not check. */
struct metric *metric_counter(struct metrics *m, const char *name, const char *help, const char *labels);
struct metric *metric_gauge(struct metrics *m, const char *name, const char *help, const char *labels);
/* bounds: rising upper bounds, ended by 0; in seconds for names ending in _seconds. Observations are in nanoseconds
 * then. */
struct metric *metric_histogram(struct metrics *m, const char *name, const char *help, const char *labels,
                                const double *bounds);
extern const double METRIC_LATENCY_BOUNDS[]; /* 0.001 … 60 s, for any latency */

/* A series gets other labels, as above, and begins anew. Nobody updates it meanwhile. */
void metric_relabel(struct metrics *m, struct metric *s, const char *labels);

void metric_add(struct metric *c, uint64_t n);
void metric_set(struct metric *g, int64_t value);
void metric_move(struct metric *g, int64_t by);
void metric_observe_ns(struct metric *h, uint64_t ns);
void metric_observe(struct metric *h, double value);
uint64_t metric_value(const struct metric *m); /* of a counter or gauge, for tests */

enum status metrics_render(struct metrics *m, struct buf *out);

#endif
