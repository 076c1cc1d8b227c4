/*
 * model_metrics: calls, tokens and times by model. The names are clients' words, so that they are bounded: the first
 * MODEL_METRICS_MAX that are plain text get series of their own, all others are counted as "other".
 */
#ifndef PROVIDERSVC_MODEL_METRICS_H
#define PROVIDERSVC_MODEL_METRICS_H

#include <pthread.h>

#include "proto/messages.h"
#include "services/metrics.h"

#define MODEL_METRICS_MAX 64
#define MODEL_OUTCOMES 4 /* as bills say them: ok, error, cancelled, truncated */
#define MODEL_NAME_MAX 100 /* bytes of a name that is a label */

struct model_series {
    char name[MODEL_NAME_MAX + 1];
    struct metric *calls[MODEL_OUTCOMES], *prompt, *completion, *latency, *ttft;
};

struct model_metrics {
    pthread_mutex_t lock; /* of n and the names; series stay where they are */
    struct metrics *metrics;
    struct model_series series[MODEL_METRICS_MAX + 1]; /* the first is "other" */
    unsigned n;
};

void model_metrics_init(struct model_metrics *s, struct metrics *m);
void model_metrics_fini(struct model_metrics *s); /* safe on a zeroed one */
/* A call that has ended: its time to the first byte counts when it has one. Any thread. */
void model_metrics_add(struct model_metrics *s, const struct usage_event *ev);

#endif
