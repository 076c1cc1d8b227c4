#include "providersvc/model_metrics.h"

#include <stdio.h>
#include <string.h>

#define NS_PER_MS UINT64_C(1000000)

/* A call that goes on upstream when its client has its answer ("running") is a good one. */
static const char *const outcomes[MODEL_OUTCOMES] = {"ok", "error", "cancelled", "truncated"};

static void make_series(struct model_series *to, struct metrics *m)
{
    char labels[METRIC_LABELS_MAX];

    for (int i = 0; i < MODEL_OUTCOMES; i++) {
        snprintf(labels, sizeof(labels), "model=\"%s\",outcome=\"%s\"", to->name, outcomes[i]);
        to->calls[i] = metric_counter(m, "router_model_calls_total", "Calls that ended, by model.", labels);
    }
    snprintf(labels, sizeof(labels), "model=\"%s\",kind=\"prompt\"", to->name);
    to->prompt = metric_counter(m, "router_model_tokens_total", "Their tokens, as billed at that time.", labels);
    snprintf(labels, sizeof(labels), "model=\"%s\",kind=\"completion\"", to->name);
    to->completion = metric_counter(m, "router_model_tokens_total", "Their tokens, as billed at that time.", labels);
    snprintf(labels, sizeof(labels), "model=\"%s\"", to->name);
    to->latency = metric_histogram(m, "router_model_latency_seconds", "Whole calls, all attempts together.", labels,
                                   METRIC_LATENCY_BOUNDS);
    to->ttft = metric_histogram(m, "router_model_ttft_seconds", "From the call to the first byte of its answer.",
                                labels, METRIC_LATENCY_BOUNDS);
}

void model_metrics_init(struct model_metrics *s, struct metrics *m)
{
    pthread_mutex_init(&s->lock, NULL);
    s->metrics = m;
    memcpy(s->series[0].name, "other", sizeof("other"));
    make_series(&s->series[0], m);
    s->n = 1;
}

void model_metrics_fini(struct model_metrics *s)
{
    if (s->metrics != NULL)
        pthread_mutex_destroy(&s->lock);
}

/* No quotes, no backslashes, no control characters, nothing that is cut in the middle of a letter. */
static bool is_label(struct slice name)
{
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] <= ' ' || name.p[i] > '~' || name.p[i] == '"' || name.p[i] == '\\')
            return false;
    return name.n > 0 && name.n <= MODEL_NAME_MAX;
}

static struct model_series *find(struct model_metrics *s, struct slice name)
{
    struct model_series *found = &s->series[0];

    if (!is_label(name))
        return found;
    pthread_mutex_lock(&s->lock);
    for (unsigned i = 1; i < s->n && found == &s->series[0]; i++)
        if (slice_is(name, s->series[i].name))
            found = &s->series[i];
    if (found == &s->series[0] && s->n <= MODEL_METRICS_MAX && !slice_is(name, s->series[0].name)) {
        found = &s->series[s->n];
        (void)slice_copy(name, found->name, sizeof(found->name));
        make_series(found, s->metrics);
        s->n++;
    }
    pthread_mutex_unlock(&s->lock);
    return found;
}

static struct metric *calls_of(const struct model_series *s, struct slice status)
{
    for (int i = 1; i < MODEL_OUTCOMES; i++)
        if (slice_is(status, outcomes[i]))
            return s->calls[i];
    return s->calls[0];
}

void model_metrics_add(struct model_metrics *s, const struct usage_event *ev)
{
    struct model_series *to = find(s, ev->model);

    metric_add(calls_of(to, ev->status), 1);
    metric_observe_ns(to->latency, ev->latency_ms * NS_PER_MS);
    if (ev->ttft_ms > 0)
        metric_observe_ns(to->ttft, ev->ttft_ms * NS_PER_MS);
    if (ev->parked) /* its bill comes later */
        return;
    metric_add(to->prompt, ev->prompt_tokens);
    metric_add(to->completion, ev->completion_tokens);
}
