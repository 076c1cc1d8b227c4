#include "providersvc/providersvc.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <curl/curl.h>

#include "providersvc/adapter.h"
#include "providersvc/trial.h"
#include "services/bus/feed.h"
#include "services/clock.h"

#define START_WAIT_MS 1000 /* start waits so long for meterd to hear of us; afterwards we go on trying */
#define ABORT_WAIT_MS 3000 /* what is ended by force may take so long */
#define OUTBOX_OLD_MS 60000
#define HOUR_MS UINT64_C(3600000)

/* ---- the call -------------------------------------------------------------------------------------------------------
 */

/* On a bus thread: hands the call to a loop and is gone. */
static enum status completion(struct svc_call *call, const void *in, void *out)
{
    struct providersvc *self = svc_state(call->svc);
    struct completion *c = arena_alloc(call->arena, sizeof(*c));
    unsigned turn = atomic_fetch_add_explicit(&self->turn, 1, memory_order_relaxed);

    (void)out;
    if (c == NULL)
        return err_set(&call->err, ST_UNAVAILABLE, "No memory for another call.");
    c->loop = self->loops[turn % self->n_loops];
    c->call = call;
    c->req = in;
    if (loop_take(c->loop, c) != ST_OK)
        return err_set(&call->err, ST_UNAVAILABLE, "Too many calls are running.");
    return ST_PENDING;
}

/* ---- what meterd says
 * ------------------------------------------------------------------------------------------------- */

/* Of the state only providers and positions of outboxes are looked at. A snapshot is the whole truth: a position that
 * it does not have is zero, a provider that it does not name is gone. */
static void state_reset(void *ctx)
{
    struct providersvc *self = svc_state((struct svc *)ctx);

    self->snapshot = true;
    self->position = 0;
    outbox_snapshot(self->outbox);
    catalog_reset(&self->catalog);
}

/* Of providers: the catalog's records say how they are reached, the announcement says that they are. */
static void announce_all(struct providersvc *self)
{
    struct upstream *all[UPSTREAMS_MAX];
    struct provider served[UPSTREAMS_MAX];
    unsigned n = upstreams_all(&self->upstreams, all), served_n = 0;

    for (unsigned i = 0; i < n; i++)
        if (all[i]->n_keys > 0)
            served[served_n++] =
                (struct provider){.name = slice_of(all[i]->name), .kind = slice_of(all[i]->adapter->kind)};
    announce_these(&self->announce, served, served_n);
    for (unsigned i = 0; i < n; i++)
        upstream_unref(all[i]);
    for (unsigned i = 0; i < self->n_loops; i++)
        loop_sweep(self->loops[i]);
}

static void state_change(void *ctx, const struct state_change *change)
{
    struct providersvc *self = svc_state((struct svc *)ctx);
    struct ack ack;

    if (change->kind == provider_state_desc.type && catalog_change(&self->catalog, change->record) && !self->snapshot)
        announce_all(self);
    if (change->kind != ack_desc.type || self->feed == NULL)
        return;
    if (wire_decode(&ack_desc, change->record.p, change->record.n, &ack, NULL, NULL) != ST_OK)
        return;
    if (!slice_is(ack.source, outbox_source(self->outbox))) {
        if (self->snapshot)
            outbox_snapshot_position(self->outbox, ack.source, ack.acked_seq);
    } else if (self->snapshot) {
        self->position = ack.acked_seq;
    } else {
        feed_source_ack(self->feed, &ack);
    }
}

static void state_applied(void *ctx, uint64_t revision)
{
    struct providersvc *self = svc_state((struct svc *)ctx);

    (void)revision;
    if (self->snapshot && self->feed != NULL) {
        feed_source_position(self->feed, self->position);
        outbox_snapshot_end(self->outbox);
        (void)catalog_snapshot_end(&self->catalog);
        announce_all(self);
    }
    self->snapshot = false;
}

static const struct feed_follow_events follow = {
    .reset = state_reset, .change = state_change, .applied = state_applied};

/* ---- the usage feed
 * ---------------------------------------------------------------------------------------------------- */

static enum status feed_read(void *ctx, uint64_t first_seq, size_t max, struct arena *a,
                             struct usage_event **ret_events, size_t *ret_n)
{
    return outbox_read(ctx, first_seq, max, a, ret_events, ret_n);
}

static void feed_acked(void *ctx, uint64_t seq)
{
    outbox_ack(ctx, seq);
}

static void feed_set_back(void *ctx, uint64_t seq)
{
    outbox_set_back(ctx, seq);
}

static uint64_t feed_oldest(void *ctx)
{
    return outbox_oldest(ctx);
}

static void publish_adopted(void *ctx, uint64_t first_seq, const struct usage_event *events, size_t n)
{
    (void)feed_source_publish(ctx, first_seq, events, n);
}

static enum status open_feed(struct providersvc *self, struct err *err)
{
    struct feed_source_options options = {.events_url = svc_settings(self->svc)->meterd_events_url,
                                          .meterd = svc_peer(self->svc, SVC_METERD),
                                          .trust = svc_trust(self->svc),
                                          .read = feed_read,
                                          .acked = feed_acked,
                                          .set_back = feed_set_back,
                                          .oldest = feed_oldest,
                                          .ctx = self->outbox};
    enum status st;

    snprintf(options.source, sizeof(options.source), "%s", outbox_source(self->outbox));
    st = feed_source_new(&options, outbox_acked(self->outbox), outbox_last(self->outbox), &self->feed, err);
    if (st == ST_OK)
        outbox_on_adopted(self->outbox, publish_adopted, self->feed);
    return st;
}

/* ---- start and end
 * ----------------------------------------------------------------------------------------------------- */

static enum status make_upstreams(struct providersvc *self, struct err *err)
{
    const struct settings *s = svc_settings(self->svc);

    upstreams_init(&self->upstreams, svc_metrics(self->svc));
    announce_init(&self->announce);
    self->ignore_health = strcmp(s->upstream_health, "ignore") == 0;
    self->drop_unsupported = strcmp(s->drop_unsupported, "on") == 0;
    self->catalog.settings = s;
    self->catalog.log = svc_log(self->svc);
    self->catalog.upstreams = &self->upstreams;
    self->catalog.defaults = (struct upstream_defaults){.connect_ms = (uint64_t)s->upstream_connect_ms,
                                                        .first_byte_ms = (uint64_t)s->upstream_first_byte_ms,
                                                        .answer_ms = (uint64_t)s->upstream_answer_ms,
                                                        .idle_ms = (uint64_t)s->upstream_idle_ms,
                                                        .drains = strcmp(s->disconnect, "drain") == 0};
    return catalog_init(&self->catalog, err);
}

/* ---- what authsvc must know
 * --------------------------------------------------------------------------------------------- */

static enum status start_asserter(struct providersvc *self, struct err *err)
{
    self->asserter.outbox = self->outbox;
    self->asserter.authsvc = svc_peer(self->svc, SVC_AUTHSVC);
    self->asserter.log = svc_log(self->svc);
    return asserter_start(&self->asserter, svc_instance(self->svc), err);
}

static bool providersvc_joined(struct svc *svc, enum svc_peer peer, struct xchg_join *to)
{
    struct providersvc *self = svc_state(svc);

    return peer != SVC_AUTHSVC || asserter_joined(&self->asserter, to);
}

static enum status open_outbox(struct providersvc *self, struct err *err)
{
    struct outbox_options options = {.spool_dir = svc_settings(self->svc)->spool_dir,
                                     .max_bytes = OUTBOX_MAX_BYTES,
                                     .segment_bytes = OUTBOX_SEGMENT_BYTES,
                                     .keep_ms = (uint64_t)svc_settings(self->svc)->spool_keep_hours * HOUR_MS,
                                     .keep_bytes = OUTBOX_KEEP_BYTES,
                                     .disk_room_bytes = OUTBOX_DISK_ROOM_BYTES,
                                     .log = svc_log(self->svc)};

    return outbox_open(&options, &self->outbox, err);
}

static void make_metrics(struct providersvc *self)
{
    struct metrics *m = svc_metrics(self->svc);

    self->streams = metric_gauge(m, "router_upstream_streams_open", "Streamed calls under way.", NULL);
    self->refused = metric_counter(m, "router_upstream_refused_total", "Calls refused before anything was sent.", NULL);
    self->capped =
        metric_counter(m, "router_upstream_capped_total", "Streams ended because the credit did not bear more.", NULL);
    self->outbox_bytes = metric_gauge(m, "router_outbox_bytes", "Size of the usage outbox.", NULL);
    self->outbox_unacked =
        metric_gauge(m, "router_outbox_unacknowledged", "Usage events that meterd has not committed.", NULL);
    self->outbox_oldest =
        metric_gauge(m, "router_outbox_oldest_age_seconds", "Age of the oldest of them, 0 = there is none.", NULL);
    disk_gauges_make(&self->disk, m, "spool");
    model_metrics_init(&self->models, m);
}

static enum status providersvc_init(struct svc *svc, struct err *err)
{
    struct providersvc *self = svc_state(svc);
    const struct settings *s = svc_settings(svc);
    enum status st;

    self->svc = svc;
    self->drain_ms = (uint64_t)s->disconnect_drain_ms;
    self->hold_grace_ms = (uint64_t)s->hold_grace_ms;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return err_set(err, ST_NO_MEMORY, "libcurl could not be set up");
    make_metrics(self);
    st = make_upstreams(self, err);
    if (st == ST_OK)
        st = open_outbox(self, err);
    if (st == ST_OK)
        st = start_asserter(self, err);
    if (st == ST_OK)
        st = open_feed(self, err);
    for (unsigned i = 0; st == ST_OK && i < (unsigned)s->upstream_loops && i < PROVIDERSVC_LOOPS_MAX; i++) {
        st = loop_new(self, i, &self->loops[i], err);
        if (st == ST_OK)
            self->n_loops++;
    }
    return st;
}

static enum status providersvc_start(struct svc *svc, struct err *err)
{
    struct providersvc *self = svc_state(svc);
    struct announce *a = &self->announce;
    enum status st;

    a->instance = slice_of(svc_instance(svc));
    a->meterd = svc_peer(svc, SVC_METERD);
    a->log = svc_log(svc);
    announce_all(self);
    st = announce_start(a, err);
    if (st == ST_OK)
        (void)announce_wait(a, START_WAIT_MS);
    return st;
}

static void providersvc_drain(struct svc *svc, uint64_t deadline_ms)
{
    struct providersvc *self = svc_state(svc);
    uint64_t until = clock_ms() + deadline_ms;
    bool idle = true;

    for (unsigned i = 0; i < self->n_loops; i++)
        idle = loop_wait_idle(self->loops[i], until) && idle;
    if (idle)
        return;
    log_event(svc_log(svc), LOG_WARN, LOG_NO_REQ, "calls_cut_off", LOG_N("after_ms", deadline_ms));
    for (unsigned i = 0; i < self->n_loops; i++)
        loop_abort_all(self->loops[i]);
    until = clock_ms() + ABORT_WAIT_MS;
    for (unsigned i = 0; i < self->n_loops; i++)
        (void)loop_wait_idle(self->loops[i], until);
}

static void providersvc_fini(struct svc *svc)
{
    struct providersvc *self = svc_state(svc);

    announce_stop(&self->announce);
    asserter_stop(&self->asserter);
    for (unsigned i = 0; i < self->n_loops; i++)
        loop_free(self->loops[i]);
    if (self->outbox != NULL)
        outbox_stop(self->outbox);
    feed_source_free(self->feed);
    outbox_close(self->outbox);
    upstreams_fini(&self->upstreams);
    model_metrics_fini(&self->models);
    catalog_fini(&self->catalog);
    announce_fini(&self->announce);
    if (self->svc != NULL)
        curl_global_cleanup();
}

static void providersvc_gauges(struct svc *svc)
{
    struct providersvc *self = svc_state(svc);
    struct outbox_state state;

    outbox_state(self->outbox, &state);
    metric_set(self->outbox_bytes, (int64_t)state.bytes);
    metric_set(self->outbox_unacked, (int64_t)state.unacked);
    metric_set(self->outbox_oldest, (int64_t)(state.oldest_unacked_ms / 1000));
    disk_gauges_set(&self->disk, svc_settings(svc)->spool_dir);
}

static void providersvc_health(struct svc *svc, void (*add)(void *ctx, const char *name, bool ok, const char *detail),
                               void *ctx)
{
    struct providersvc *self = svc_state(svc);
    struct upstream *all[UPSTREAMS_MAX];
    struct outbox_state state;
    char text[LIMIT_NAME];
    unsigned n;

    n = upstreams_all(&self->upstreams, all);
    for (unsigned i = 0; i < n; i++) {
        uint64_t wait_ms;
        bool soft, well = seat_allows(all[i]->seat, clock_ms(), &wait_ms, &soft);
        bool key = upstream_has_key(all[i], clock_ms(), &wait_ms);
        const char *how = !well                ? "failing: calls go to other routes"
                          : all[i]->n_keys < 1 ? "no key"
                          : !key               ? "its keys have reached their limits"
                                               : all[i]->adapter->kind;

        snprintf(text, sizeof(text), "provider:%.100s", all[i]->name);
        add(ctx, text, well && key, how);
        upstream_unref(all[i]);
    }
    outbox_state(self->outbox, &state);
    snprintf(text, sizeof(text),
             "%" PRIu64 " unacknowledged, oldest %" PRIu64 " ms, %" PRIu64 " bytes, %" PRIu64 " kept%s%s",
             state.unacked, state.oldest_unacked_ms, state.bytes, state.kept_bytes, state.full ? ", full" : "",
             state.failed ? ", failed" : "");
    add(ctx, "outbox", !state.failed && !state.full && state.oldest_unacked_ms < OUTBOX_OLD_MS, text);
    add(ctx, "announced", announce_heard(&self->announce),
        announce_heard(&self->announce) ? "" : "meterd has not heard of us");
}

static const struct svc_route routes[] = {
    {&provider_test_req_desc, &provider_test_rep_desc, providersvc_trial},
    {&completion_req_desc, &completion_rep_desc, completion},
};

const struct svc_def providersvc_def = {
    .name = "providersvc",
    .settings = SET_P,
    .state_size = sizeof(struct providersvc),
    .self = SVC_PROVIDERSVC,
    .peers = 1u << SVC_METERD | 1u << SVC_AUTHSVC,
    .routes = routes,
    .n_routes = sizeof(routes) / sizeof(routes[0]),
    .init = providersvc_init,
    .start = providersvc_start,
    .drain = providersvc_drain,
    .fini = providersvc_fini,
    .follow = &follow,
    .health = providersvc_health,
    .gauges = providersvc_gauges,
    .joined = providersvc_joined,
};
