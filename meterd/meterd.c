#include "meterd/meterd.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "meterd/catalog.h"
#include "meterd/config.h"
#include "meterd/ops.h"
#include "meterd/seed.h"
#include "services/clock.h"

#define DRAIN_STEP_MS 5

/* ---- work comes in -------------------------------------------------------------------------------------------------
 */

static enum status submit(struct svc_call *call, enum lane lane, meterd_op *op, const void *in, void *out)
{
    struct meterd *self = svc_state(call->svc);
    struct mail_item item = {.call = call, .lane = lane, .op = op, .in = in, .out = out, .at_ms = clock_ms()};
    struct mailbox *box;

    if (op == op_answer_put)
        item.bytes = ((const struct answer_put_req *)in)->body.n;
    if (op == op_usage_deliver)
        item.usage = ((const struct usage_deliver_req *)in)->events.n;
    if (lane == LANE_QUICK)
        box = reader_mailbox(self->quick);
    else if (lane == LANE_SLOW)
        box = reader_mailbox(self->slow);
    else if (lane == LANE_COPY)
        box = reader_mailbox(self->copy);
    else
        box = writer_mailbox(self->writer);
    if (mailbox_put(box, &item))
        return ST_PENDING;
    metric_add(self->refused, 1);
    return err_set(&call->err, ST_UNAVAILABLE, "meterd has too much to do");
}

/* A message of the usage feed. What is dropped here is not acknowledged, so it comes again as a call. */
static void on_events(void *ctx, struct slice bytes)
{
    struct meterd *self = ctx;
    struct mail_item item = {.lane = LANE_INGEST, .at_ms = clock_ms()};
    struct err err = {0};

    if (mail_events_new(bytes, &item.events, &err) != ST_OK) {
        metric_add(self->bad_events, 1);
        log_event(svc_log(self->svc), LOG_WARN, LOG_NO_REQ, "bad_usage_batch", LOG_C("why", err.text));
        return;
    }
    item.usage = item.events->batch.events.n;
    if (mailbox_put(writer_mailbox(self->writer), &item))
        return;
    metric_add(self->dropped, 1);
    mail_events_free(item.events);
}

/* ---- and goes out --------------------------------------------------------------------------------------------------
 */

static void publish(void *ctx, struct slice bytes)
{
    struct meterd *self = ctx;

    (void)feed_publish(self->pub, bytes); /* may be lost: followers see the gap and ask */
}

/* A failed sync may have thrown the pages away: asking again would answer "done". Only the log, read at the next start,
 * says what is true, so the process ends here and at once. */
static void dead(void *ctx, const struct err *why)
{
    (void)ctx;
    (void)why;
    _exit(METERD_EXIT_STORE);
}

/* ---- what is wrong -------------------------------------------------------------------------------------------------
 */

static void facts(void *ctx, struct alert_facts *to)
{
    struct meterd *self = ctx;
    struct writer_state state = writer_state(self->writer);
    struct disk_space space;

    to->disk_low = disk_space(svc_settings(self->svc)->db_path, &space) && space.free_bytes < METERD_DISK_LOW_BYTES;
    to->full = state.full;
    to->behind = state.depth >= MAILBOX_ITEMS / 2;
    to->ledger_wrong = reader_ledger_wrong(self->slow);
}

/* ---- life ----------------------------------------------------------------------------------------------------------
 */

static void tell_first_start(struct svc *svc, const struct settings *settings, const struct seed_report *r)
{
    if (r->prices > 0)
        log_event(svc_log(svc), LOG_INFO, LOG_NO_REQ, "prices_added", LOG_N("n", r->prices));
    if (r->first)
        log_event(svc_log(svc), LOG_INFO, LOG_NO_REQ, "first_start", LOG_C("db", settings->db_path),
                  LOG_C("admin", settings->admin_email));
    if (r->password[0])
        dprintf(STDERR_FILENO, "Administrator: %s  password: %s  (shown this once; kept in %s)\n",
                settings->admin_email, r->password, r->file);
}

static enum status open_store(struct svc *svc, struct meterd *self, struct err *err)
{
    const struct settings *settings = svc_settings(svc);
    struct seed_options options = {settings->db_path, settings->admin_email, settings->admin_password};
    struct seed_report report;
    enum status st = store_open(settings->db_path, &self->store, err);

    if (st == ST_OK)
        st = seed_run(self->store, &options, &report, err);
    if (st == ST_OK)
        tell_first_start(svc, settings, &report);
    if (st == ST_OK)
        st = seal_key_init(&self->store->seal, settings->master_key, err);
    if (st == ST_OK && settings->config)
        st = config_seed(self->store, settings->config, svc_log(svc), err);
    if (st == ST_OK)
        st = catalog_check_seals(self->store, svc_log(svc), err);
    if (st == ST_OK)
        self->store->answers_kept_ms = (uint64_t)settings->idempotency_hours * 3600 * 1000;
    if (st == ST_OK)
        self->store->security_kept_s = (uint64_t)settings->security_days * 24 * 3600;
    sodium_memzero(report.password, sizeof(report.password));
    return st;
}

static enum status start_threads(struct svc *svc, struct meterd *self, struct err *err)
{
    const struct settings *settings = svc_settings(svc);
    struct writer_options options = {.store = self->store,
                                     .log = svc_log(svc),
                                     .metrics = svc_metrics(svc),
                                     .publish = publish,
                                     .dead = dead,
                                     .ctx = self};
    struct watch_options watch = {settings, svc_log(svc), svc_metrics(svc), facts, self};
    struct feed_at state = {
        .url = settings->meterd_feed_url, .listen = true, .topic = CIPHER_STATE, .trust = svc_trust(svc)};
    struct feed_at usage = {
        .url = settings->meterd_events_url, .listen = true, .topic = CIPHER_USAGE, .trust = svc_trust(svc)};
    enum status st = reader_new(settings->db_path, svc_log(svc), &self->quick, err);

    if (st == ST_OK)
        st = reader_new(settings->db_path, svc_log(svc), &self->slow, err);
    if (st == ST_OK)
        st = reader_new(settings->db_path, svc_log(svc), &self->copy, err);
    if (st == ST_OK)
        st = feed_pub_new(&state, &self->pub, err);
    if (st == ST_OK)
        st = watch_new(&watch, &self->watch, err);
    options.watch = self->watch;
    if (st == ST_OK)
        st = writer_new(&options, &self->writer, err);
    if (st == ST_OK)
        st = watch_start(self->watch, err);
    if (st == ST_OK) {
        reader_hand_over_to(self->quick, writer_mailbox(self->writer));
        reader_hand_over_to(self->copy, writer_mailbox(self->writer)); /* a backup is in the audit */
        st = feed_sub_new(&usage, on_events, self, &self->sub, err);
    }
    return st;
}

static enum status meterd_init(struct svc *svc, struct err *err)
{
    struct meterd *self = svc_state(svc);
    struct metrics *m = svc_metrics(svc);
    enum status st;

    self->svc = svc;
    self->dropped =
        metric_counter(m, "router_meter_events_dropped_total", "Messages of events for which there was no room.", NULL);
    self->bad_events =
        metric_counter(m, "router_meter_bad_events_total", "Messages of events that could not be read.", NULL);
    self->refused = metric_counter(m, "router_meter_refused_total", "Calls refused because too many waited.", NULL);
    disk_gauges_make(&self->disk, m, "database");
    st = open_store(svc, self, err);
    return st == ST_OK ? start_threads(svc, self, err) : st;
}

static size_t depth(struct meterd *self)
{
    return mailbox_depth(writer_mailbox(self->writer)) + mailbox_depth(reader_mailbox(self->quick)) +
           mailbox_depth(reader_mailbox(self->slow)) + mailbox_depth(reader_mailbox(self->copy));
}

static void meterd_drain(struct svc *svc, uint64_t deadline_ms)
{
    struct timespec step = {0, DRAIN_STEP_MS * 1000000L};
    struct meterd *self = svc_state(svc);
    uint64_t until = clock_ms() + deadline_ms;

    while (depth(self) > 0 && clock_ms() < until)
        nanosleep(&step, NULL);
}

static void meterd_fini(struct svc *svc)
{
    struct meterd *self = svc_state(svc);

    feed_sub_free(self->sub);
    watch_stop(self->watch);
    reader_free(self->quick);
    reader_free(self->slow);
    reader_free(self->copy);
    writer_free(self->writer);
    watch_free(self->watch);
    feed_pub_free(self->pub);
    store_close(self->store);
    memset(self, 0, sizeof(*self));
}

/* ---- health --------------------------------------------------------------------------------------------------------
 */

static void disk_health(const char *path, void (*add)(void *ctx, const char *name, bool ok, const char *detail),
                        void *ctx)
{
    struct disk_space space;
    char text[96];

    if (!disk_space(path, &space)) {
        add(ctx, "disk", false, "the database's file cannot be looked at");
        return;
    }
    snprintf(text, sizeof(text), "%" PRIu64 " MB free", space.free_bytes / 1000000);
    add(ctx, "disk", space.free_bytes >= METERD_DISK_LOW_BYTES, text);
}

static void meterd_gauges(struct svc *svc)
{
    struct meterd *self = svc_state(svc);

    disk_gauges_set(&self->disk, svc_settings(svc)->db_path);
}

static void meterd_health(struct svc *svc, void (*add)(void *ctx, const char *name, bool ok, const char *detail),
                          void *ctx)
{
    struct meterd *self = svc_state(svc);
    struct writer_state state;
    char text[160];

    if (!self->writer)
        return;
    state = writer_state(self->writer);
    snprintf(text, sizeof(text), "revision %" PRIu64 "%s", state.revision, state.full ? ", cannot write now" : "");
    add(ctx, "database", !state.full, text);
    snprintf(text, sizeof(text), "%" PRIu64 " kB", state.wal_bytes / 1000);
    add(ctx, "wal", true, text);
    snprintf(text, sizeof(text), "%zu waiting", state.depth);
    add(ctx, "mailbox", state.depth < MAILBOX_ITEMS / 2, text);
    snprintf(text, sizeof(text), "%" PRIu64 " sources", state.positions);
    add(ctx, "positions", true, text);
    disk_health(svc_settings(svc)->db_path, add, ctx);
}

/* ---- routes --------------------------------------------------------------------------------------------------------
 */

#define METERD_HANDLER(lane, name, req, rep)                                                                           \
    static enum status on_##name(struct svc_call *call, const void *in, void *out)                                     \
    {                                                                                                                  \
        return submit(call, LANE_##lane, op_##name, in, out);                                                          \
    }
METERD_OPS(METERD_HANDLER)

#define METERD_ROUTE(lane, name, req, rep) {&req##_desc, &rep##_desc, on_##name},
static const struct svc_route routes[] = {METERD_OPS(METERD_ROUTE)};

const struct svc_def meterd_def = {
    .name = "meterd",
    .settings = SET_M,
    .state_size = sizeof(struct meterd),
    .self = SVC_METERD,
    .routes = routes,
    .n_routes = sizeof(routes) / sizeof(routes[0]),
    .init = meterd_init,
    .drain = meterd_drain,
    .fini = meterd_fini,
    .health = meterd_health,
    .gauges = meterd_gauges,
};
