#include "providersvc/upstream.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

struct endpoint {
    const char *name, *path;
};

static const struct endpoint endpoints[] = {
    {"chat.completions", "/chat/completions"},
};

const char *upstream_path(struct slice endpoint)
{
    for (size_t i = 0; i < sizeof(endpoints) / sizeof(endpoints[0]); i++)
        if (slice_is(endpoint, endpoints[i].name))
            return endpoints[i].path;
    return NULL;
}

bool upstream_header_safe(struct slice value)
{
    for (size_t i = 0; i < value.n; i++)
        if (value.p[i] == '\r' || value.p[i] == '\n' || value.p[i] == '\0')
            return false;
    return true;
}

/* What stands between "//" and the next "/", without a port. */
static struct slice host_of(const char *rest)
{
    size_t n = strcspn(rest, "/");
    size_t colon;

    if (rest[0] == '[') {
        const char *end = memchr(rest, ']', n);

        return (struct slice){rest, end != NULL ? (size_t)(end - rest) + 1 : 0};
    }
    colon = strcspn(rest, ":");
    return (struct slice){rest, colon < n ? colon : n};
}

enum status upstream_set_url(struct upstream *p, const char *base_url, struct err *err)
{
    size_t n = strlen(base_url);
    const char *rest;
    struct slice host;

    p->https = strncasecmp(base_url, "https://", 8) == 0;
    if (!p->https && strncasecmp(base_url, "http://", 7) != 0)
        return err_set(err, ST_BAD_REQUEST, "the base URL of provider %s must begin with https:// or http://", p->name);
    rest = base_url + (p->https ? 8 : 7);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)base_url[i] <= ' ' || base_url[i] == 0x7f || strchr("@?#\\", base_url[i]) != NULL)
            return err_set(err, ST_BAD_REQUEST, "the base URL of provider %s may not hold spaces, \\, @, ? or #",
                           p->name);
    host = host_of(rest);
    if (host.n == 0)
        return err_set(err, ST_BAD_REQUEST, "the base URL of provider %s names no host", p->name);
    while (n > 0 && base_url[n - 1] == '/')
        n--;
    if (n >= sizeof(p->base_url))
        return err_set(err, ST_BAD_REQUEST, "the base URL of provider %s is too long", p->name);
    memcpy(p->base_url, base_url, n);
    p->base_url[n] = '\0';
    p->reach = address_host_reach(host);
    return ST_OK;
}

const char *attempt_outcome_name(enum attempt_outcome outcome)
{
    static const char *const names[ATTEMPT_OUTCOMES] = {"ok", "error", "connect", "timeout", "broken", "cancelled"};

    return names[outcome];
}

void upstream_make_metrics(struct upstream *p, struct metrics *m)
{
    char labels[METRIC_LABELS_MAX];

    for (int i = 0; i < ATTEMPT_OUTCOMES; i++) {
        snprintf(labels, sizeof(labels), "provider=\"%s\",outcome=\"%s\"", p->name,
                 attempt_outcome_name((enum attempt_outcome)i));
        p->attempts[i] = metric_counter(m, "router_upstream_attempts_total", "Calls made to providers.", labels);
    }
    snprintf(labels, sizeof(labels), "provider=\"%s\"", p->name);
    p->retries =
        metric_counter(m, "router_upstream_retries_total", "Calls made again because nothing had been sent.", labels);
    p->latency = metric_histogram(m, "router_upstream_latency_seconds", "Whole calls, as providersvc sees them.",
                                  labels, METRIC_LATENCY_BOUNDS);
    p->ttft = metric_histogram(m, "router_upstream_ttft_seconds", "To the first byte of a good answer.", labels,
                               METRIC_LATENCY_BOUNDS);
}
