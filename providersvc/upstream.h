/*
 * A provider: somebody who answers calls, and how he is spoken to. Made from the settings at start, constant afterwards
 * except for what has been learned about him (atomic).
 */
#ifndef PROVIDERSVC_UPSTREAM_H
#define PROVIDERSVC_UPSTREAM_H

#include <stdatomic.h>
#include <stdbool.h>

#include "proto/limits.h"
#include "providersvc/address.h"
#include "services/metrics.h"

#define UPSTREAMS_MAX 16
#define UPSTREAM_URL_MAX 1200

struct adapter;

/* A call made to a provider, and what became of it. */
enum attempt_outcome {
    ATTEMPT_OK,
    ATTEMPT_ERROR,
    ATTEMPT_CONNECT,
    ATTEMPT_TIMEOUT,
    ATTEMPT_BROKEN,
    ATTEMPT_CANCELLED,
    ATTEMPT_OUTCOMES
};
const char *attempt_outcome_name(enum attempt_outcome outcome);

struct upstream {
    const char *name;
    const struct adapter *adapter;
    unsigned index; /* in the service's table */
    char base_url[UPSTREAM_URL_MAX]; /* without a slash at the end; empty = no network */
    const char *key;
    bool https;
    enum address_reach reach; /* the widest that its base URL allows */
    bool drains; /* a client that leaves: read on to the true usage; else stop at once */
    atomic_bool no_stream_options; /* refused them once */
    struct metric *attempts[ATTEMPT_OUTCOMES], *retries, *latency, *ttft;
};

/* The endpoint's path below a base URL ("/chat/completions"); NULL = we do not know this endpoint. */
const char *upstream_path(struct slice endpoint);

/* Checks and takes over a base URL: http or https, a host, no user, no query; nothing that could end a header line. */
enum status upstream_set_url(struct upstream *p, const char *base_url, struct err *err);
bool upstream_header_safe(struct slice value); /* no CR, LF or NUL */
void upstream_make_metrics(struct upstream *p, struct metrics *m);

#endif
