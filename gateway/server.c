#include "gateway/server.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <civetweb.h>

#include "gateway/answer.h"
#include "gateway/caller.h"
#include "gateway/routes.h"
#include "services/clock.h"
#include "services/sightings.h"

#define REQUEST_TIMEOUT_MS "15000" /* to send a header, and between two pieces of a body */
#define KEEP_ALIVE_TIMEOUT_MS "60000" /* an idle connection */
#define HEADER_BYTES "20480" /* more than the guard lets through: civetweb never has to complain */
#define LISTEN_BACKLOG "1024"
#define CONNECTION_QUEUE "128"
#define WORKER_THREAD 1
#define KNOCK_US 10000
#define CLIENT_CLOSED 499

/* ---- connections ------------------------------------------------------------------------------------------------- */

/* The descriptor is known since the connection's first bytes were read. */
static void take_fd(struct conn *c)
{
    if (c->fd >= 0)
        return;
    pthread_mutex_lock(&c->lock);
    c->fd = c->tap.fd;
    pthread_mutex_unlock(&c->lock);
}

/* By the connection's own address: what it says of another was not fit to be read. Too large is no attack. */
static void note_hostile(struct conn *c, const struct guard *g)
{
    struct sighting seen = {.kind = SECURITY_HOSTILE_REQUEST, .subject = slice_of(g->why)};
    struct sockaddr_storage from;
    socklen_t size = sizeof(from);
    char host[NI_MAXHOST];

    if (g->verdict != GUARD_BAD)
        return;
    if (getpeername(c->fd, (struct sockaddr *)&from, &size) == 0 &&
        getnameinfo((struct sockaddr *)&from, size, host, sizeof(host), NULL, 0, NI_NUMERICHOST) == 0)
        seen.address = slice_of(host);
    sightings_note(c->gw->sightings, &seen);
}

static void on_malformed(void *ctx, const struct guard *g)
{
    struct conn *c = ctx;

    metric_add(c->gw->metrics.malformed, 1);
    log_event(svc_log(c->gw->svc), LOG_DEBUG, LOG_NO_REQ, "malformed_request", LOG_C("why", g->why));
    take_fd(c);
    note_hostile(c, g);
    answer_refusal(c, g->verdict == GUARD_LARGE ? 431 : 400, g->why);
}

static void *on_thread(const struct mg_context *http, int type)
{
    struct gateway *gw = mg_get_user_data(http);
    struct conn *c;
    uint32_t index;

    if (type != WORKER_THREAD)
        return NULL;
    index = atomic_fetch_add(&gw->conns_made, 1);
    c = index < gw->n_conns ? gw->conns[index] : NULL;
    if (!c || !conn_prepare_sleep(c))
        return NULL;
    c->tap.refuse = on_malformed;
    c->tap.ctx = c;
    interpose_set(&c->tap);
    return c;
}

static void off_thread(const struct mg_context *http, int type, void *slot)
{
    (void)http;
    (void)type;
    (void)slot;
    interpose_set(NULL);
}

static int on_connect(const struct mg_connection *http, void **data)
{
    struct conn *c = mg_get_thread_pointer(http);
    struct gateway *gw;
    unsigned n;

    (void)data;
    if (!c)
        return 0;
    gw = c->gw;
    n = atomic_fetch_add(&gw->connections, 1) + 1;
    metric_set(gw->metrics.connections, n);
    tap_connect(&c->tap);
    c->served = 0;
    c->over_limit = n > (unsigned)gw->settings->max_connections;
    return 0;
}

/* Before the descriptor is closed. */
static void on_disconnect(const struct mg_connection *http)
{
    struct conn *c = mg_get_thread_pointer(http);

    if (!c)
        return;
    if (c->fd >= 0 && c->tap.guard.verdict != GUARD_OK && !c->tap.refused)
        conn_linger(c); /* requests were answered, what followed them was not fit to be read */
    pthread_mutex_lock(&c->lock);
    c->fd = -1;
    pthread_mutex_unlock(&c->lock);
    c->tap.fd = -1;
    metric_set(c->gw->metrics.connections, (int64_t)atomic_fetch_sub(&c->gw->connections, 1) - 1);
}

/* ---- one request ------------------------------------------------------------------------------------------------- */

static void answer_preflight(struct request *r)
{
    struct buf lines;

    buf_init(&lines, LIMIT_HEADER + ANSWER_ERROR_MAX);
    buf_addf(&lines,
             "access-control-allow-methods: GET, POST, DELETE, PATCH, OPTIONS\r\naccess-control-max-age: 86400\r\n");
    if (r->cors_headers.n && r->cors_headers.n < LIMIT_HEADER)
        buf_addf(&lines, "access-control-allow-headers: " SLICE_FMT "\r\n", SLICE_ARG(r->cors_headers));
    answer_send(r, 204, "", (struct slice){lines.p, lines.n}, (struct slice){NULL, 0});
    buf_fini(&lines);
}

static void answer_unknown(struct request *r, bool path_known, const char *allow)
{
    struct err err = {.status = ST_OK};
    struct problem p;
    char line[160];

    if (!path_known)
        err_set_field(&err, ST_NOT_FOUND, "unknown_url", NULL, "Unknown request URL: " SLICE_FMT " " SLICE_FMT ".",
                      SLICE_ARG(r->method), SLICE_ARG(r->path));
    else
        err_set(&err, ST_METHOD, "Not allowed to " SLICE_FMT " on " SLICE_FMT ".", SLICE_ARG(r->method),
                SLICE_ARG(r->path));
    p = problem_of(&err);
    snprintf(line, sizeof(line), path_known ? "allow: %s\r\n" : "%s", allow);
    answer_problem(r, &p, path_known ? slice_of(line) : (struct slice){NULL, 0});
}

static enum status check_caller(struct request *r, struct err *err)
{
    switch (r->route->who) {
    case ROUTE_USER: return caller_check_session(r, false, err);
    case ROUTE_ADMIN: return caller_check_session(r, true, err);
    case ROUTE_OPERATOR:
        if (caller_is_operator(r))
            return ST_OK;
        if (r->gw->settings->metrics_token)
            return err_set_field(err, ST_UNAUTHENTICATED, "invalid_token", NULL,
                                 "Send METRICS_TOKEN as the bearer token.");
        return err_set(err, ST_FORBIDDEN, "Without METRICS_TOKEN this answers loopback only.");
    case ROUTE_ANYBODY:
    case ROUTE_KEY: break;
    }
    return ST_OK;
}

static void dispatch(struct request *r)
{
    struct err err = {.status = ST_OK};
    bool path_known = false;
    char allow[64];

    if (r->conn->over_limit || atomic_load(&r->gw->closing)) {
        metric_add(r->gw->metrics.refused_connections, 1);
        err_set(&err, ST_UNAVAILABLE, "The router has as many connections as it takes.");
        r->keep_alive = false;
        answer_error(r, &err);
        return;
    }
    if (slice_is(r->method, "OPTIONS")) {
        answer_preflight(r);
        return;
    }
    r->route = route_find(r, &path_known, allow, sizeof(allow));
    if (!r->route)
        answer_unknown(r, path_known, allow);
    else if (check_caller(r, &err) != ST_OK)
        answer_error(r, &err);
    else
        r->route->handler(r);
}

void request_count(struct gateway *gw, const struct route *of, int status, uint64_t began_ns)
{
    size_t route = of ? (size_t)(of - routes) : n_routes;
    unsigned class = status >= 100 && status < 600 ? (unsigned)status / 100 - 1 : GATEWAY_CLASSES - 1;

    metric_set(gw->metrics.in_flight, (int64_t)atomic_fetch_sub(&gw->in_flight, 1) - 1);
    metric_add(gw->metrics.requests[route][class], 1);
    metric_observe_ns(gw->metrics.seconds[route], clock_ns() - began_ns);
}

static void settle(struct request *r)
{
    if (r->settled)
        return;
    r->settled = true;
    request_count(r->gw, r->route, r->status, r->began_ns);
    if (r->status >= 500)
        log_event(svc_log(r->gw->svc), LOG_WARN, slice_of(r->id), "request_failed", LOG_S("method", r->method),
                  LOG_S("path", r->path), LOG_N("status", r->status));
}

static int on_request(struct mg_connection *http)
{
    struct conn *c = mg_get_thread_pointer(http);
    struct request r;
    int status;

    if (!c || c->tap.fd < 0) { /* recv() is not ours: without the guard nothing is served */
        mg_disable_connection_keep_alive(http);
        mg_send_http_error(http, 500, "%s", "The request guard is not in place.");
        return 500;
    }
    take_fd(c);
    c->served++;
    request_init(&r, c, http);
    metric_set(c->gw->metrics.in_flight, (int64_t)atomic_fetch_add(&c->gw->in_flight, 1) + 1);
    dispatch(&r);
    settle(&r);
    status = r.status ? r.status : CLIENT_CLOSED;
    if (!r.keep_alive || r.quiet || !r.body_read || svc_draining(c->gw->svc)) {
        mg_disable_connection_keep_alive(http);
        if (!r.quiet && !r.body_read)
            (r.stranger ? conn_linger_long : conn_linger)(c);
    }
    request_fini(&r);
    return status;
}

/* What civetweb itself finds wrong, in our shape. Its own words name nothing that helps a client. */
static int on_http_error(struct mg_connection *http, int status, const char *message)
{
    struct conn *c = mg_get_thread_pointer(http);

    (void)message;
    if (!c || c->tap.fd < 0)
        return 0;
    take_fd(c);
    if (!c->tap.refused && !c->tap.ended)
        answer_refusal(c, status,
                       status == 408 ? "The request did not come in time." : "The request could not be read.");
    return 0;
}

static int on_log(const struct mg_connection *http, const char *message)
{
    struct gateway *gw = http ? mg_get_user_data(mg_get_context(http)) : NULL;

    if (!gw)
        return 1;
    if (!atomic_load(&gw->listening) && !gw->start_error[0]) /* the first says why, the next ones that it failed */
        snprintf(gw->start_error, sizeof(gw->start_error), "%s", message);
    log_event(svc_log(gw->svc), LOG_DEBUG, LOG_NO_REQ, "civetweb", LOG_C("message", message));
    return 1;
}

/* ---- start and stop ---------------------------------------------------------------------------------------------- */

enum status server_prepare(struct gateway *gw, struct err *err)
{
    unsigned i;

    gw->n_conns = (unsigned)gw->settings->max_connections + GATEWAY_SPARE_THREADS;
    gw->conns = calloc(gw->n_conns, sizeof(struct conn *));
    for (i = 0; gw->conns && i < gw->n_conns; i++) {
        gw->conns[i] = conn_new(gw);
        if (!gw->conns[i])
            break;
    }
    if (!gw->conns || i < gw->n_conns)
        return err_set(err, ST_NO_MEMORY, "no memory for %u connections", gw->n_conns);
    return ST_OK;
}

static struct mg_context *start_http(struct gateway *gw)
{
    char ports[300], threads[16];
    const char *options[] = {"listening_ports",
                             ports,
                             "num_threads",
                             threads,
                             "tcp_nodelay",
                             "1",
                             "enable_keep_alive",
                             "yes",
                             "keep_alive_timeout_ms",
                             KEEP_ALIVE_TIMEOUT_MS,
                             "request_timeout_ms",
                             REQUEST_TIMEOUT_MS,
                             "max_request_size",
                             HEADER_BYTES,
                             "listen_backlog",
                             LISTEN_BACKLOG,
                             "connection_queue",
                             CONNECTION_QUEUE,
                             "decode_url",
                             "no",
                             "enable_auth_domain_check",
                             "no",
                             "access_control_allow_origin",
                             "",
                             "access_control_allow_methods",
                             "",
                             "enable_directory_listing",
                             "no",
                             NULL};
    const struct mg_callbacks callbacks = {.begin_request = on_request,
                                           .log_message = on_log,
                                           .http_error = on_http_error,
                                           .init_thread = on_thread,
                                           .exit_thread = off_thread,
                                           .init_connection = on_connect,
                                           .connection_close = on_disconnect};

    snprintf(ports, sizeof(ports), strchr(gw->settings->host, ':') ? "[%s]:%lld" : "%s:%lld", gw->settings->host,
             (long long)gw->settings->port);
    snprintf(threads, sizeof(threads), "%u", gw->n_conns);
    mg_init_library(0);
    return mg_start(&callbacks, gw, options);
}

enum status server_start(struct gateway *gw, struct err *err)
{
    struct mg_server_port port;
    struct mg_context *http;

    if (strchr(gw->settings->host, ':') && !mg_check_feature(MG_FEATURES_IPV6))
        return err_set(
            err, ST_INTERNAL,
            "HOST '%s': the civetweb installed here has no IPv6. Listen on an IPv4 address; a proxy in front "
            "of it can speak IPv6",
            gw->settings->host);
    http = start_http(gw);
    if (!http)
        return err_set(err, ST_INTERNAL, "cannot listen on HOST %s, PORT %lld with %u threads: %s", gw->settings->host,
                       (long long)gw->settings->port, gw->n_conns,
                       gw->start_error[0] ? gw->start_error : "no reason given");
    gw->http = http;
    atomic_store(&gw->listening, true);
    if (mg_get_server_ports(http, 1, &port) == 1)
        gw->port = port.port;
    log_event(svc_log(gw->svc), LOG_INFO, LOG_NO_REQ, "listening", LOG_C("host", gw->settings->host),
              LOG_N("port", gw->port), LOG_N("threads", gw->n_conns));
    return ST_OK;
}

/* civetweb looks at its stop flag every two seconds; a connection that is shut is noticed at once. */
static void shut_connections(struct gateway *gw)
{
    unsigned i;

    for (i = 0; i < gw->n_conns; i++) {
        struct conn *c = gw->conns[i];

        pthread_mutex_lock(&c->lock);
        if (c->fd >= 0)
            shutdown(c->fd, SHUT_RD);
        pthread_mutex_unlock(&c->lock);
    }
}

/* Its listener sees the flag when somebody knocks. */
static void knock(const struct gateway *gw)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | AI_PASSIVE};
    struct addrinfo *to = NULL;
    char port[8];
    int fd;

    snprintf(port, sizeof(port), "%d", gw->port);
    if (getaddrinfo(gw->settings->host, port, &hints, &to) != 0)
        return;
    fd = socket(to->ai_family, to->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, to->ai_protocol);
    if (fd >= 0) {
        (void)connect(fd, to->ai_addr, to->ai_addrlen);
        close(fd);
    }
    freeaddrinfo(to);
}

struct stopper {
    struct mg_context *http;
    atomic_bool stopped;
};

static void *stop_http(void *ctx)
{
    struct stopper *s = ctx;

    mg_stop(s->http);
    atomic_store(&s->stopped, true);
    return NULL;
}

void server_stop(struct gateway *gw)
{
    struct stopper s = {.http = gw->http};
    pthread_t thread;

    if (!gw->http)
        return;
    shut_connections(gw);
    if (pthread_create(&thread, NULL, stop_http, &s) == 0) {
        while (!atomic_load(&s.stopped)) {
            knock(gw);
            usleep(KNOCK_US);
        }
        pthread_join(thread, NULL);
    } else {
        mg_stop(gw->http);
    }
    mg_exit_library();
    gw->http = NULL;
}

void server_free(struct gateway *gw)
{
    unsigned i;

    for (i = 0; gw->conns && i < gw->n_conns; i++)
        conn_free(gw->conns[i]);
    free(gw->conns);
    gw->conns = NULL;
    gw->n_conns = 0;
}
