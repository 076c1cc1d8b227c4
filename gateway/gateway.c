/* The gateway as a service: its state, its metrics, its life. Routes: routes.c. A request's way: server.c. A call's:
 * call.c. */
#include "gateway/gateway.h"

#include <sodium.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "gateway/asserted.h"
#include "gateway/call.h"
#include "gateway/routes.h"
#include "gateway/server.h"
#include "gateway/ticker.h"
#include "services/clock.h"
#include "services/sightings.h"
#include "services/voids.h"

#define FILES_SPARE 512 /* descriptors beside the clients': bus, logs */
#define DRAIN_POLL_US 5000

/* ---- metrics ----------------------------------------------------------------------------------------------------- */

static void make_route_metrics(struct gateway *gw, struct metrics *m)
{
    char labels[METRIC_LABELS_MAX];
    size_t i;
    int class;

    for (i = 0; i <= n_routes; i++) {
        const char *method = i < n_routes ? routes[i].method : "any", *path = i < n_routes ? routes[i].path : "none";

        for (class = 1; class <= GATEWAY_CLASSES; class ++) {
            snprintf(labels, sizeof(labels), "method=\"%s\",route=\"%s\",status=\"%dxx\"", method, path, class);
            gw->metrics.requests[i][class - 1] = metric_counter(
                m, "router_requests_total", "HTTP requests answered, by route and class of status.", labels);
        }
        snprintf(labels, sizeof(labels), "method=\"%s\",route=\"%s\"", method, path);
        gw->metrics.seconds[i] =
            metric_histogram(m, "router_request_seconds", "Time from a request's header to the end of its answer.",
                             labels, METRIC_LATENCY_BOUNDS);
    }
}

static void make_metrics(struct gateway *gw)
{
    struct metrics *m = svc_metrics(gw->svc);
    struct gateway_metrics *g = &gw->metrics;

    make_route_metrics(gw, m);
    g->in_flight = metric_gauge(m, "router_requests_in_flight", "HTTP requests being answered.", NULL);
    g->streams = metric_gauge(m, "router_streams", "Streamed calls that run.", NULL);
    g->connections = metric_gauge(m, "router_connections", "Client connections that are open.", NULL);
    g->malformed = metric_counter(m, "router_malformed_requests_total", "Requests refused by the framing guard.", NULL);
    g->client_gone = metric_counter(m, "router_client_gone_total", "Calls whose client left before the end.", NULL);
    g->refused_connections = metric_counter(m, "router_connections_refused_total",
                                            "Requests refused because MAX_CONNECTIONS are open.", NULL);
    g->slow_streams =
        metric_counter(m, "router_slow_streams_total", "Times a stream's client did not take its bytes at once.", NULL);
    g->first_byte = metric_histogram(m, "router_call_first_byte_seconds", "Time to the first byte of a call's answer.",
                                     NULL, METRIC_LATENCY_BOUNDS);
    g->replayed = metric_counter(m, "router_replayed_total", "Answers given again for an Idempotency-Key.", NULL);
    g->answers_lost = metric_counter(m, "router_answers_not_kept_total",
                                     "Answers to calls with an Idempotency-Key that could not be kept.", NULL);
    g->voids = metric_counter(m, "router_calls_void_total", "Admitted calls that no providersvc took.", NULL);
    g->voids_waiting = metric_gauge(m, "router_calls_void_waiting", "Of them not yet acknowledged by meterd.", NULL);
    disk_gauges_make(&g->disk, m, "uploads");
}

static void gauges(struct svc *svc)
{
    struct gateway *gw = svc_state(svc);

    disk_gauges_set(&gw->metrics.disk, gw->settings->upload_dir);
}

/* ---- once a second ----------------------------------------------------------------------------------------------- */

static void on_tick(struct gateway *gw)
{
    uint64_t now = clock_ms();
    unsigned i, n = atomic_load(&gw->conns_made);

    for (i = 0; i < n && i < gw->n_conns; i++) {
        uint64_t since = atomic_load_explicit(&gw->conns[i]->quiet_since_ms, memory_order_relaxed);

        if (since && now > since && now - since >= CALL_KEEP_ALIVE_MS)
            call_keep_alive(gw->conns[i], now);
    }
    voids_tick(gw->voids);
    sightings_tick(gw->sightings);
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static void raise_file_limit(struct gateway *gw)
{
    rlim_t want = (rlim_t)gw->settings->max_connections + GATEWAY_SPARE_THREADS + FILES_SPARE;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= want)
        return;
    limit.rlim_cur = limit.rlim_max == RLIM_INFINITY || limit.rlim_max >= want ? want : limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur < want)
        log_event(svc_log(gw->svc), LOG_WARN, LOG_NO_REQ, "few_descriptors", LOG_N("allowed", limit.rlim_cur),
                  LOG_N("wanted", want));
}

static enum status init(struct svc *svc, struct err *err)
{
    struct gateway *gw = svc_state(svc);
    enum status st;

    gw->svc = svc;
    gw->settings = svc_settings(svc);
    gate_init(&gw->parsing, GATEWAY_PARSING_MAX);
    if (sodium_init() < 0)
        return err_set(err, ST_INTERNAL, "libsodium does not start");
    st = proxies_parse(&gw->proxies, gw->settings->trusted_proxies, err);
    if (st != ST_OK)
        return st;
    make_metrics(gw);
    raise_file_limit(gw);
    st = voids_new(svc, gw->metrics.voids, gw->metrics.voids_waiting, &gw->voids, err);
    return st == ST_OK ? sightings_new(svc, &gw->sightings, err) : st;
}

static enum status start(struct svc *svc, struct err *err)
{
    struct gateway *gw = svc_state(svc);
    enum status st = server_prepare(gw, err);

    if (st == ST_OK)
        st = ticker_new(gw, on_tick, &gw->ticker, err);
    if (st == ST_OK)
        st = server_start(gw, err);
    return st;
}

/* Readiness says no from now on, answers close their connections; what runs may end. */
static void drain(struct svc *svc, uint64_t deadline_ms)
{
    struct gateway *gw = svc_state(svc);
    uint64_t end = clock_ms() + deadline_ms;

    while ((atomic_load(&gw->in_flight) || voids_waiting(gw->voids)) && clock_ms() < end)
        usleep(DRAIN_POLL_US);
    atomic_store(&gw->closing, true);
    sightings_flush(gw->sightings, SIGHTINGS_CALL_MS);
}

static void fini(struct svc *svc)
{
    struct gateway *gw = svc_state(svc);

    atomic_store(&gw->closing, true);
    if (gw->http)
        call_cancel_all(gw);
    server_stop(gw);
    ticker_free(gw->ticker);
    server_free(gw);
    voids_free(gw->voids);
    sightings_free(gw->sightings);
    gate_fini(&gw->parsing);
}

static void health(struct svc *svc, void (*add)(void *ctx, const char *name, bool ok, const char *detail), void *ctx)
{
    struct gateway *gw = svc_state(svc);
    unsigned open = atomic_load(&gw->connections);
    char text[80];

    snprintf(text, sizeof(text), "%u of %lld", open, (long long)gw->settings->max_connections);
    add(ctx, "connections", open < (unsigned)gw->settings->max_connections, text);
    snprintf(text, sizeof(text), "%u in flight", atomic_load(&gw->in_flight));
    add(ctx, "requests", true, text);
}

const struct svc_def gateway_def = {
    .name = "gateway",
    .settings = SET_G,
    .state_size = sizeof(struct gateway),
    .self = SVC_PEERS,
    .peers = 1u << SVC_AUTHSVC | 1u << SVC_PROVIDERSVC | 1u << SVC_METERD,
    .init = init,
    .start = start,
    .drain = drain,
    .fini = fini,
    .health = health,
    .gauges = gauges,
    .joined = gateway_joined,
};
