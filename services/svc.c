#include "services/svc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "services/clock.h"
#include "services/ids.h"
#include "services/svc_private.h"

const char *svc_url(const struct settings *settings, enum svc_peer peer)
{
    switch (peer) {
    case SVC_AUTHSVC: return settings->authsvc_url;
    case SVC_PROVIDERSVC: return settings->providersvc_url;
    case SVC_METERD: return settings->meterd_url;
    case SVC_PEERS: break;
    }
    return NULL;
}

/* ---- what services ask
 * ------------------------------------------------------------------------------------------------ */

void *svc_state(struct svc *svc)
{
    return svc->state;
}

const struct settings *svc_settings(struct svc *svc)
{
    return svc->settings;
}

struct log *svc_log(struct svc *svc)
{
    return &svc->log;
}

struct metrics *svc_metrics(struct svc *svc)
{
    return svc->metrics;
}

struct xchg_client *svc_peer(struct svc *svc, enum svc_peer peer)
{
    return svc->peers[peer];
}

struct trust *svc_trust(struct svc *svc)
{
    return svc->trust;
}

const char *svc_instance(struct svc *svc)
{
    return svc->instance_text;
}

uint64_t svc_revision(struct svc *svc)
{
    struct feed_follow *follow = atomic_load(&svc->follow);

    return follow ? feed_follow_revision(follow) : 0;
}

bool svc_draining(struct svc *svc)
{
    return atomic_load(&svc->draining);
}

bool svc_ready(struct svc *svc)
{
    if (!atomic_load(&svc->started) || svc_draining(svc))
        return false;
    return !svc->def->follow || svc_revision(svc) > 0;
}

/* ---- start and stop
 * ----------------------------------------------------------------------------------------------------- */

static enum log_level level_of(const char *word)
{
    static const char *const words[] = {"error", "warn", "info", "debug"};
    int i;

    for (i = 0; i < 4; i++)
        if (!strcmp(word, words[i]))
            return (enum log_level)i;
    return LOG_INFO;
}

static void make_refused(struct svc *svc)
{
    char label[32];
    int why;

    for (why = FRAME_REFUSED_PLAIN; why < FRAME_REFUSALS; why++) {
        snprintf(label, sizeof(label), "why=\"%s\"", trust_word((enum frame_refusal)why));
        svc->refused[why] = metric_counter(
            svc->metrics, "router_bus_refused_total",
            "Attempts of peers on the bus to connect or to publish with another BUS_SECRET or version.", label);
    }
}

static enum status make(const struct svc_def *def, const struct settings *settings, struct svc **ret)
{
    struct svc *svc = calloc(1, sizeof(*svc));

    if (!svc)
        return ST_NO_MEMORY;
    svc->def = def;
    svc->settings = settings;
    svc->instance = id_number();
    svc->boot = id_number();
    svc->started_ms = clock_ms();
    snprintf(svc->instance_text, sizeof(svc->instance_text), "%016llx", (unsigned long long)svc->instance);
    svc->log = (struct log){.service = def->name, .level = level_of(settings->log_level), .fd = STDERR_FILENO};
    snprintf(svc->log.instance, sizeof(svc->log.instance), "%s", svc->instance_text);
    pthread_mutex_init(&svc->pool_lock, NULL);
    pthread_mutex_init(&svc->join_lock, NULL);
    svc->state = calloc(1, def->state_size ? def->state_size : 1);
    svc->metrics = metrics_new(def->name, svc->instance_text);
    if (!svc->state || !svc->metrics) {
        svc_stop(svc);
        return ST_NO_MEMORY;
    }
    vitals_make(svc);
    svc->calls_ok =
        metric_counter(svc->metrics, "router_bus_calls_total", "Calls answered on the bus.", "outcome=\"ok\"");
    svc->calls_failed =
        metric_counter(svc->metrics, "router_bus_calls_total", "Calls answered on the bus.", "outcome=\"failed\"");
    svc->bad_messages = metric_counter(svc->metrics, "router_bus_bad_messages_total",
                                       "Messages refused because they do not match their declaration.", NULL);
    svc->call_seconds = metric_histogram(svc->metrics, "router_bus_call_seconds", "Time of a call at the server.", NULL,
                                         METRIC_LATENCY_BOUNDS);
    make_refused(svc);
    *ret = svc;
    return ST_OK;
}

static void on_refused(void *ctx, const char *peer, enum frame_refusal why, bool tell)
{
    struct svc *svc = ctx;

    metric_add(svc->refused[why], 1);
    if (tell)
        log_event(&svc->log, LOG_ERROR, LOG_NO_REQ, "bus_peer_refused", LOG_C("peer", peer),
                  LOG_C("why", trust_advice(why)));
}

static enum status make_trust(struct svc *svc, struct err *err)
{
    struct trust_options options = {
        .secret = svc->settings->bus_secret, .boot = svc->boot, .refused = on_refused, .ctx = svc};

    return trust_new(&options, &svc->trust, err);
}

static bool on_joined(void *ctx, struct xchg_join *to)
{
    struct svc_link *link = ctx;
    struct svc *svc = link->svc;
    bool briefed = false;

    pthread_mutex_lock(&svc->join_lock);
    if (!svc->deaf)
        briefed = svc->def->joined(svc, link->peer, to);
    pthread_mutex_unlock(&svc->join_lock);
    return briefed;
}

static enum status make_peers(struct svc *svc, struct err *err)
{
    unsigned p;

    for (p = 0; p < SVC_PEERS; p++) {
        struct xchg_client_options options = {.url = svc_url(svc->settings, (enum svc_peer)p),
                                              .instance = svc->instance,
                                              .joined = svc->def->joined ? on_joined : NULL,
                                              .ctx = &svc->links[p],
                                              .trust = svc->trust,
                                              .idle = true};
        enum status st;

        if (!(svc->def->peers & (1u << p)))
            continue;
        svc->links[p] = (struct svc_link){svc, (enum svc_peer)p};
        st = xchg_client_new(&options, &svc->peers[p], err);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

static enum status connect_peers(struct svc *svc, struct err *err)
{
    enum status st = ST_OK;
    unsigned p;

    for (p = 0; p < SVC_PEERS && st == ST_OK; p++)
        if (svc->peers[p])
            st = xchg_client_start(svc->peers[p], err);
    return st;
}

static enum status listen_on_bus(struct svc *svc, struct err *err)
{
    struct xchg_server_options options = {.url = svc_url(svc->settings, svc->def->self),
                                          .instance = svc->instance,
                                          .boot = svc->boot,
                                          .handler = svc_dispatch,
                                          .ctx = svc,
                                          .trust = svc->trust};

    if (svc->def->self == SVC_PEERS)
        return ST_OK;
    return xchg_server_new(&options, &svc->server, err);
}

/* Peers are there before init, so that what init makes may hold them, and are reached after it, so that they can be
 * briefed; nobody can call us before init is through. */
static enum status bring_up(struct svc *svc, struct err *err)
{
    struct feed_follow_options following = {
        .feed_url = svc->settings->meterd_feed_url, .events = svc->def->follow, .ctx = svc};
    struct feed_follow *follow = NULL;
    enum status st = make_trust(svc, err);

    if (st == ST_OK)
        st = make_peers(svc, err);
    following.meterd = svc->peers[SVC_METERD];
    following.trust = svc->trust;

    if (st == ST_OK && svc->def->init)
        st = svc->def->init(svc, err);
    if (st == ST_OK)
        st = connect_peers(svc, err);
    if (st == ST_OK)
        st = listen_on_bus(svc, err);
    if (st == ST_OK && svc->def->follow)
        st = feed_follow_new(&following, &follow, err);
    atomic_store(&svc->follow, follow);
    if (st == ST_OK && svc->def->start)
        st = svc->def->start(svc, err);
    return st;
}

enum status svc_start(const struct svc_def *def, const struct settings *settings, struct svc **ret, struct err *err)
{
    struct svc *svc = NULL;
    enum status st = make(def, settings, &svc);

    if (st != ST_OK)
        return err_set(err, st, "%s: no memory to start", def->name);
    st = bring_up(svc, err);
    if (st != ST_OK) {
        svc_stop(svc);
        return st;
    }
    atomic_store(&svc->started, true);
    log_event(&svc->log, LOG_INFO, LOG_NO_REQ, "started", LOG_N("pid", getpid()),
              LOG_C("listen", def->self == SVC_PEERS ? "" : svc_url(settings, def->self)));
    *ret = svc;
    return ST_OK;
}

#define DRAIN_POLL_US 5000
#define LATE_POLL_US 500

void svc_drain(struct svc *svc, uint64_t deadline_ms)
{
    uint64_t end = clock_ms() + deadline_ms;

    atomic_store(&svc->draining, true);
    log_event(&svc->log, LOG_INFO, LOG_NO_REQ, "draining", LOG_N("deadline_ms", deadline_ms));
    if (svc->server)
        xchg_server_drain(svc->server);
    if (svc->def->drain)
        svc->def->drain(svc, deadline_ms);
    while (svc->server && xchg_server_open_calls(svc->server) && clock_ms() < end)
        usleep(DRAIN_POLL_US);
}

/* The bus is through with a call as soon as it is answered; the thread that answered may still be putting it back. */
static bool calls_are_back(struct svc *svc)
{
    uint64_t end = clock_ms() + SVC_LATE_MS;
    unsigned n;

    while ((n = svc_pool_in_use(svc)) > 0 && clock_ms() < end)
        usleep(LATE_POLL_US);
    if (n)
        log_event(&svc->log, LOG_ERROR, LOG_NO_REQ, "calls_never_finished", LOG_N("calls", n));
    return n == 0;
}

void svc_stop(struct svc *svc)
{
    unsigned p;

    if (!svc)
        return;
    atomic_store(&svc->draining, true);
    xchg_server_free(svc->server); /* first: its calls ask how far the state is */
    svc->server = NULL;
    feed_follow_free(atomic_exchange(&svc->follow, NULL));
    pthread_mutex_lock(&svc->join_lock);
    svc->deaf = true;
    pthread_mutex_unlock(&svc->join_lock);
    if (svc->def->fini && svc->state)
        svc->def->fini(svc);
    for (p = 0; p < SVC_PEERS; p++)
        xchg_client_free(svc->peers[p]);
    if (atomic_load(&svc->started))
        log_event(&svc->log, LOG_INFO, LOG_NO_REQ, "stopped", LOG_N("uptime_ms", clock_ms() - svc->started_ms));
    if (!calls_are_back(svc))
        return; /* lost memory is better than a late svc_finish in memory of somebody else */
    svc_pool_free(svc);
    trust_free(svc->trust);
    pthread_mutex_destroy(&svc->join_lock);
    pthread_mutex_destroy(&svc->pool_lock);
    metrics_free(svc->metrics);
    free(svc->state);
    free(svc);
}
