#include "services/metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_S 1e9
#define METRICS_OWN_MAX 64

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metric {
    const char *name, *help;
    char labels[METRIC_LABELS_MAX];
    enum metric_type type;
    atomic_uint_fast64_t value; /* a gauge's is signed; a histogram's is the count */
    atomic_uint_fast64_t sum_ns;
    const double *bounds;
    size_t n_bounds;
    atomic_uint_fast64_t buckets[METRIC_BUCKETS_MAX];
};

struct metrics {
    char own[METRICS_OWN_MAX]; /* labels of every sample */
    pthread_mutex_t lock; /* guards the making of series, their labels and showing them; updates need none */
    atomic_size_t n;
    struct metric *series[METRICS_MAX];
};

const double METRIC_LATENCY_BOUNDS[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                        0.5,   1,      2.5,   5,    10,    30,   60,  0};

struct metrics *metrics_new(const char *service, const char *replica)
{
    struct metrics *m = calloc(1, sizeof(*m));

    if (!m)
        return NULL;
    if (replica)
        snprintf(m->own, sizeof(m->own), "service=\"%s\",replica=\"%s\"", service, replica);
    else
        snprintf(m->own, sizeof(m->own), "service=\"%s\"", service);
    pthread_mutex_init(&m->lock, NULL);
    return m;
}

void metrics_free(struct metrics *m)
{
    size_t i;

    if (!m)
        return;
    for (i = 0; i < m->n; i++)
        free(m->series[i]);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

static struct metric *find(struct metrics *m, const char *name, const char *labels)
{
    size_t i;

    for (i = 0; i < m->n; i++)
        if (!strcmp(m->series[i]->name, name) && !strcmp(m->series[i]->labels, labels))
            return m->series[i];
    return NULL;
}

static struct metric *make(struct metrics *m, enum metric_type type, const char *name, const char *help,
                           const char *labels)
{
    struct metric *s;

    if (!labels)
        labels = "";
    pthread_mutex_lock(&m->lock);
    s = find(m, name, labels);
    if (!s && m->n < METRICS_MAX && strlen(labels) < METRIC_LABELS_MAX) {
        s = calloc(1, sizeof(*s));
        if (s) {
            s->name = name;
            s->help = help;
            s->type = type;
            memcpy(s->labels, labels, strlen(labels) + 1);
            m->series[m->n] = s;
            m->n++;
        }
    }
    pthread_mutex_unlock(&m->lock);
    return s;
}

struct metric *metric_counter(struct metrics *m, const char *name, const char *help, const char *labels)
{
    return make(m, METRIC_COUNTER, name, help, labels);
}

struct metric *metric_gauge(struct metrics *m, const char *name, const char *help, const char *labels)
{
    return make(m, METRIC_GAUGE, name, help, labels);
}

struct metric *metric_histogram(struct metrics *m, const char *name, const char *help, const char *labels,
                                const double *bounds)
{
    struct metric *s = make(m, METRIC_HISTOGRAM, name, help, labels);

    if (s && !s->bounds) {
        size_t n = 0;

        while (n < METRIC_BUCKETS_MAX - 1 && bounds[n] > 0)
            n++;
        s->n_bounds = n;
        s->bounds = bounds;
    }
    return s;
}

void metric_relabel(struct metrics *m, struct metric *s, const char *labels)
{
    if (!s || strlen(labels) >= METRIC_LABELS_MAX)
        return;
    pthread_mutex_lock(&m->lock);
    memcpy(s->labels, labels, strlen(labels) + 1);
    atomic_store_explicit(&s->value, 0, memory_order_relaxed);
    atomic_store_explicit(&s->sum_ns, 0, memory_order_relaxed);
    for (size_t i = 0; i < METRIC_BUCKETS_MAX; i++)
        atomic_store_explicit(&s->buckets[i], 0, memory_order_relaxed);
    pthread_mutex_unlock(&m->lock);
}

void metric_add(struct metric *c, uint64_t n)
{
    if (c)
        atomic_fetch_add_explicit(&c->value, n, memory_order_relaxed);
}

void metric_set(struct metric *g, int64_t value)
{
    if (g)
        atomic_store_explicit(&g->value, (uint64_t)value, memory_order_relaxed);
}

void metric_move(struct metric *g, int64_t by)
{
    metric_add(g, (uint64_t)by);
}

void metric_observe_ns(struct metric *h, uint64_t ns)
{
    double seconds = (double)ns / NS_PER_S;
    size_t i = 0;

    if (!h)
        return;
    while (i < h->n_bounds && seconds > h->bounds[i])
        i++;
    atomic_fetch_add_explicit(&h->buckets[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->value, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->sum_ns, ns, memory_order_relaxed);
}

void metric_observe(struct metric *h, double value)
{
    if (value >= 0)
        metric_observe_ns(h, (uint64_t)(value * NS_PER_S));
}

uint64_t metric_value(const struct metric *m)
{
    return m ? atomic_load_explicit(&m->value, memory_order_relaxed) : 0;
}

/* ---- text -----------------------------------------------------------------------------------------------------------
 */

static enum status render_histogram(const struct metrics *m, struct metric *s, struct buf *out)
{
    const char *comma = s->labels[0] ? "," : "";
    uint64_t below = 0;
    enum status st = ST_OK;
    size_t i;

    for (i = 0; i <= s->n_bounds && st == ST_OK; i++) {
        below += atomic_load_explicit(&s->buckets[i], memory_order_relaxed);
        if (i < s->n_bounds)
            st = buf_addf(out, "%s_bucket{%s%s%s,le=\"%g\"} %llu\n", s->name, m->own, comma, s->labels, s->bounds[i],
                          (unsigned long long)below);
        else
            st = buf_addf(out, "%s_bucket{%s%s%s,le=\"+Inf\"} %llu\n", s->name, m->own, comma, s->labels,
                          (unsigned long long)below);
    }
    if (st != ST_OK)
        return st;
    return buf_addf(out, "%s_sum{%s%s%s} %.9f\n%s_count{%s%s%s} %llu\n", s->name, m->own, comma, s->labels,
                    (double)s->sum_ns / NS_PER_S, s->name, m->own, comma, s->labels, (unsigned long long)below);
}

static enum status render_one(const struct metrics *m, struct metric *s, struct buf *out)
{
    const char *comma = s->labels[0] ? "," : "";

    if (s->type == METRIC_HISTOGRAM)
        return render_histogram(m, s, out);
    if (s->type == METRIC_GAUGE)
        return buf_addf(out, "%s{%s%s%s} %lld\n", s->name, m->own, comma, s->labels,
                        (long long)(int64_t)metric_value(s));
    return buf_addf(out, "%s{%s%s%s} %llu\n", s->name, m->own, comma, s->labels, (unsigned long long)metric_value(s));
}

/* All series of the name of series[first], under one HELP and TYPE, as the format asks. */
static enum status render_name(struct metrics *m, size_t first, size_t n, struct buf *out)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    struct metric *head = m->series[first];
    enum status st;
    size_t i;

    st = buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", head->name, head->help, head->name, types[head->type]);
    for (i = first; i < n && st == ST_OK; i++)
        if (!strcmp(m->series[i]->name, head->name))
            st = render_one(m, m->series[i], out);
    return st;
}

static bool is_first_of_name(const struct metrics *m, size_t k)
{
    size_t i;

    for (i = 0; i < k; i++)
        if (!strcmp(m->series[i]->name, m->series[k]->name))
            return false;
    return true;
}

enum status metrics_render(struct metrics *m, struct buf *out)
{
    enum status st = ST_OK;
    size_t i, n;

    pthread_mutex_lock(&m->lock);
    n = m->n;
    for (i = 0; i < n && st == ST_OK; i++)
        if (is_first_of_name(m, i))
            st = render_name(m, i, n, out);
    pthread_mutex_unlock(&m->lock);
    return st;
}
