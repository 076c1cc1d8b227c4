#include "meterd/watch.h"

#include <stdlib.h>
#include <string.h>

#include "meterd/anomaly.h"
#include "meterd/batch.h"
#include "meterd/ledger.h"
#include "meterd/webhook.h"
#include "services/clock.h"
#include "services/sleeper.h"

#define STACK_BYTES (512u * 1024u) /* TLS */

enum outcome { OUTCOME_OK, OUTCOME_FAILED, OUTCOME_GIVEN_UP, OUTCOMES };

struct watch {
    struct watch_options o;
    struct store *store; /* only reads */
    struct webhook *webhook; /* NULL = alerts are posted nowhere */
    struct sleeper thread;
    struct arena arena; /* of the report */
    struct alerts_report report;
    atomic_bool ready; /* the report is the writer's; else it is the thread's */
    uint64_t look_ms, anomalies_ms; /* monotonic: the next look */
    uint64_t done, tried,
        again_s; /* deliveries: taken; failed, and not due before. Holds while nothing can be written. */
    int64_t overage_nano; /* as of the look before; -1 = there was none */
    struct metric *warnings, *criticals, *deliveries[OUTCOMES];
};

static void make_metrics(struct watch *w, struct metrics *m)
{
    static const char *const labels[OUTCOMES] = {"outcome=\"ok\"", "outcome=\"failed\"", "outcome=\"given_up\""};
    size_t i;

    w->warnings = metric_gauge(m, "router_alerts_firing", "Alerts that fire, by severity.", "severity=\"warning\"");
    w->criticals = metric_gauge(m, "router_alerts_firing", "Alerts that fire, by severity.", "severity=\"critical\"");
    for (i = 0; i < OUTCOMES; i++)
        w->deliveries[i] =
            metric_counter(m, "router_webhook_deliveries_total", "Tries to post an alert, by outcome.", labels[i]);
}

enum status watch_new(const struct watch_options *options, struct watch **ret, struct err *err)
{
    const struct settings *s = options->settings;
    struct watch *w = calloc(1, sizeof(*w));
    enum status st;

    if (!w)
        return err_set(err, ST_NO_MEMORY, "no memory for alerts");
    w->o = *options;
    w->overage_nano = -1;
    arena_init(&w->arena, WATCH_BYTES);
    make_metrics(w, options->metrics);
    st = store_open_reader(s->db_path, &w->store, err);
    if (st == ST_OK && s->alert_webhook_url)
        st = webhook_new(s->alert_webhook_url, s->alert_webhook_secret, &w->webhook, err);
    if (st == ST_OK)
        *ret = w;
    else
        watch_free(w);
    return st;
}

void watch_free(struct watch *w)
{
    if (!w)
        return;
    webhook_free(w->webhook);
    store_close(w->store);
    arena_fini(&w->arena);
    free(w);
}

/* ---- looking -------------------------------------------------------------------------------------------------------
 */

static enum status count_firing(struct work *work, const char *severity, struct metric *gauge)
{
    int64_t n = 0;
    enum status st = store_number(work->s, SQL_ALERTS_FIRING, BINDS(B_C(severity)), 0, &n, work->err);

    if (st == ST_OK)
        metric_set(gauge, n);
    return st;
}

static enum status overage_grew(struct watch *w, struct work *work, int64_t *ret)
{
    int64_t now = 0, before = w->overage_nano;
    enum status st = store_number(work->s, SQL_OVERAGE, BINDS(B_I(LEDGER_OVERAGE)), 0, &now, work->err);

    if (st != ST_OK)
        return st;
    w->overage_nano = now;
    *ret = before >= 0 ? now - before : 0;
    return ST_OK;
}

static void look(struct watch *w, struct work *work)
{
    int64_t below = w->o.settings->alert_balance;
    struct alert_facts facts = {.balance_below_nano = below == SETTINGS_USD_AUTO ? 0 : below};
    struct finding *found = NULL;
    size_t n = 0;
    enum status st = overage_grew(w, work, &facts.overage_grew_nano);

    w->o.facts(w->o.ctx, &facts);
    if (st == ST_OK)
        st = alert_rules_look(work, &facts, &found, &n);
    if (st == ST_OK)
        st = count_firing(work, ALERT_WARNING, w->warnings);
    if (st == ST_OK)
        st = count_firing(work, ALERT_CRITICAL, w->criticals);
    if (st != ST_OK) {
        log_event(w->o.log, LOG_ERROR, LOG_NO_REQ, "alerts_not_looked_at", LOG_C("why", work->err->text));
        return;
    }
    w->report.looked = true;
    w->report.findings = found;
    w->report.n = n;
}

/* Takes its own time, and is nobody's fault when that is over. */
static void look_for_anomalies(struct watch *w, struct work *work)
{
    struct security_event *events = NULL;
    size_t n = 0;

    w->store->interrupt_at_ms = clock_ms() + WATCH_QUERY_MS;
    if (anomaly_look(work, &events, &n) == ST_OK) {
        w->report.events = events;
        w->report.n_events = n;
    } else {
        log_event(w->o.log, LOG_ERROR, LOG_NO_REQ, "anomalies_not_looked_for", LOG_C("why", work->err->text));
    }
    w->store->broken = STORE_WELL;
    w->store->interrupt_at_ms = clock_ms() + WATCH_QUERY_MS;
}

/* ---- posting -------------------------------------------------------------------------------------------------------
 */

struct waiting {
    uint64_t id, tries, due, born;
    struct slice body;
};

static enum status fill_waiting(struct work *w, sqlite3_stmt *q, void *to)
{
    struct waiting *d = to;

    d->id = col_u64(q, 0);
    d->tries = col_u64(q, 2);
    d->due = col_u64(q, 3);
    d->born = col_u64(q, 4);
    return col_text(q, 1, w->a, &d->body, w->err);
}

/* Outside of any transaction: a reader that waits for somebody's server would hold the log. */
static void deliver(struct watch *w, const struct waiting *d)
{
    uint64_t now = clock_wall_ms() / 1000;
    struct err err = {0};
    enum outcome outcome = OUTCOME_OK;

    if (d->id != 0 && d->id == w->done)
        w->report.delivered = d->id;
    if (d->id == 0 || d->id == w->done || d->due > now || (d->id == w->tried && w->again_s > now))
        return;
    if (webhook_post(w->webhook, d->id, d->body, &err) != ST_OK)
        outcome = now >= d->born + WEBHOOK_GIVE_UP_S ? OUTCOME_GIVEN_UP : OUTCOME_FAILED;
    if (outcome == OUTCOME_FAILED) {
        w->report.again = w->tried = d->id;
        w->report.again_s = w->again_s = now + webhook_backoff_s(d->tries + 1);
    } else {
        w->report.delivered = w->done = d->id;
    }
    metric_add(w->deliveries[outcome], 1);
    if (outcome != OUTCOME_OK)
        log_event(w->o.log, LOG_WARN, LOG_NO_REQ, outcome == OUTCOME_FAILED ? "alert_not_posted" : "alert_given_up",
                  LOG_N("delivery", d->id), LOG_N("tries", d->tries + 1), LOG_C("why", err.text));
}

/* ---- the thread ----------------------------------------------------------------------------------------------------
 */

static void step(struct watch *w)
{
    uint64_t now = clock_ms();
    struct waiting next = {0};
    struct err err = {0};
    struct work work = {.s = w->store, .a = &w->arena, .err = &err};
    enum status st;

    arena_reset(&w->arena);
    w->report = (struct alerts_report){.post = w->webhook != NULL};
    w->store->interrupt_at_ms = now + WATCH_QUERY_MS;
    st = batch_begin(w->store, &err);
    if (st == ST_OK && now >= w->look_ms) {
        look(w, &work);
        w->look_ms = now + WATCH_LOOK_MS;
    }
    if (st == ST_OK && now >= w->anomalies_ms) {
        look_for_anomalies(w, &work);
        w->anomalies_ms = now + WATCH_ANOMALIES_MS;
    }
    if (st == ST_OK && w->webhook)
        st = record_get(&work, SQL_DELIVERY_NEXT, NO_BINDS, fill_waiting, &next);
    batch_abandon(w->store);
    w->store->broken = STORE_WELL; /* it only reads */
    if (st == ST_OK && w->webhook)
        deliver(w, &next);
    if (w->report.looked || w->report.n_events || w->report.delivered || w->report.again)
        atomic_store(&w->ready, true);
}

static void *run(void *ctx)
{
    struct watch *w = ctx;
    bool closing = false;

    while (!closing) {
        if (!atomic_load(&w->ready))
            step(w);
        sleeper_rest(&w->thread, WATCH_STEP_MS);
        pthread_mutex_lock(&w->thread.lock);
        closing = w->thread.closing;
        pthread_mutex_unlock(&w->thread.lock);
    }
    return NULL;
}

enum status watch_start(struct watch *w, struct err *err)
{
    return sleeper_start(&w->thread, "alerts", run, w, STACK_BYTES, err);
}

void watch_stop(struct watch *w)
{
    if (!w)
        return;
    if (w->webhook)
        webhook_abort(w->webhook);
    sleeper_stop(&w->thread);
}

const struct alerts_report *watch_take(struct watch *w)
{
    return w && atomic_load(&w->ready) ? &w->report : NULL;
}

void watch_done(struct watch *w)
{
    atomic_store(&w->ready, false);
}
