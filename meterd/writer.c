#include "meterd/writer.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "meterd/anomaly.h"
#include "meterd/answers.h"
#include "meterd/calls.h"
#include "meterd/hold_rows.h"
#include "meterd/ingest.h"
#include "meterd/monthly.h"
#include "meterd/pace.h"
#include "meterd/prices.h"
#include "meterd/security.h"
#include "meterd/sessions.h"
#include "meterd/watch.h"
#include "services/clock.h"

#define PAGE_BYTES 4096u

struct writer_metrics {
    struct metric *commit_seconds, *batch_size, *settled, *duplicates, *overage, *cost, *strays, *unpriced, *gaps,
        *lost, *holds, *expired, *corrected, *failed, *wal_bytes, *revision, *depth;
    struct metric *security[SECURITY_N];
};

enum chore_number {
    CHORE_PRICES,
    CHORE_HEARTBEAT,
    CHORE_SESSIONS,
    CHORE_MONTHLY,
    CHORE_ANSWERS,
    CHORE_LEASES,
    CHORE_SECURITY,
    CHORE_ALERTS,
    CHORE_LOG,
    CHORES
};

struct writer {
    struct writer_options o;
    struct mailbox box;
    struct pace pace;
    pthread_t thread;
    bool started;
    struct writer_metrics m;
    uint64_t published; /* revision that the feed has come to */
    uint64_t published_ms, worked_ms; /* monotonic times */
    uint64_t due_ms[CHORES]; /* monotonic; UINT64_MAX = not before there was work */
    bool restart; /* leases are due to be counted anew: at the start, and after a time without writing */
    uint64_t monthly_ms; /* after a failure: not before this */
    atomic_uint_fast64_t revision, wal_bytes, positions;
    atomic_bool full;
    struct mail_item items[MAILBOX_TAKE];
};

static const double batch_bounds[] = {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 0};

static void make_metrics(struct writer *w)
{
    struct metrics *m = w->o.metrics;
    char label[METRIC_LABELS_MAX];
    size_t i;

    w->m = (struct writer_metrics){
        .commit_seconds = metric_histogram(m, "router_meter_commit_seconds", "Time of a transaction, sync included.",
                                           NULL, METRIC_LATENCY_BOUNDS),
        .batch_size =
            metric_histogram(m, "router_meter_batch_size", "Commands and events of a transaction.", NULL, batch_bounds),
        .settled = metric_counter(m, "router_meter_settled_total", "Calls billed.", NULL),
        .duplicates =
            metric_counter(m, "router_meter_duplicates_total", "Events of calls that were billed before.", NULL),
        .overage =
            metric_counter(m, "router_meter_overage_nano_total", "Cost that no credit could bear, nano-USD.", NULL),
        .cost = metric_counter(m, "router_meter_cost_nano_total", "Billed to users, nano-USD.", NULL),
        .strays = metric_counter(m, "router_meter_strays_total", "Events of users that do not exist.", NULL),
        .unpriced =
            metric_counter(m, "router_meter_unpriced_total", "Events whose pinned price could not be used.", NULL),
        .gaps = metric_counter(m, "router_meter_gaps_total", "Batches of events that came too early.", NULL),
        .lost = metric_counter(
            m, "router_meter_lost_records_total",
            "Records that neither this database nor their outbox has: a restored backup was too old.", NULL),
        .holds = metric_counter(m, "router_meter_holds_total", "Calls that got a hold in the ledger.", NULL),
        .expired = metric_counter(m, "router_meter_expired_total", "Calls that ended because nothing was heard.", NULL),
        .corrected = metric_counter(m, "router_meter_corrected_total", "Calls whose truth came after their end.", NULL),
        .failed = metric_counter(m, "router_meter_failed_batches_total", "Transactions taken back.", NULL),
        .wal_bytes = metric_gauge(m, "router_meter_wal_bytes", "Log not yet copied into the database.", NULL),
        .revision = metric_gauge(m, "router_meter_revision", "Newest revision of the state.", NULL),
        .depth = metric_gauge(m, "router_meter_mailbox_depth", "Commands and messages that wait for the writer.", NULL),
    };
    for (i = 0; i < SECURITY_N; i++) {
        snprintf(label, sizeof(label), "kind=\"%s\"", security_names[i]);
        w->m.security[i] =
            metric_counter(m, "router_security_events_total", "What was seen of attacks, by kind.", label);
    }
}

static void note_counts(struct writer *w, const struct store_counts *c)
{
    size_t i;

    metric_add(w->m.settled, c->settled);
    metric_add(w->m.duplicates, c->duplicates);
    metric_add(w->m.overage, (uint64_t)c->overage_nano);
    metric_add(w->m.cost, (uint64_t)c->cost_nano);
    metric_add(w->m.strays, c->strays);
    metric_add(w->m.unpriced, c->unpriced);
    metric_add(w->m.gaps, c->gaps);
    metric_add(w->m.lost, c->lost);
    if (c->lost > 0)
        log_event(w->o.log, LOG_ERROR, LOG_NO_REQ, "usage_lost", LOG_N("records", c->lost));
    metric_add(w->m.holds, c->holds);
    metric_add(w->m.expired, c->expired);
    metric_add(w->m.corrected, c->corrected);
    for (i = 0; i < SECURITY_N; i++)
        metric_add(w->m.security[i], c->security[i]);
    if (c->strays > 0 || c->unpriced > 0)
        log_event(w->o.log, LOG_ERROR, LOG_NO_REQ, "usage_not_billable", LOG_N("unknown_users", c->strays),
                  LOG_N("unusable_prices", c->unpriced));
}

static void note_state(struct writer *w)
{
    uint64_t wal = (uint64_t)(w->o.store->wal_pages > 0 ? w->o.store->wal_pages : 0) * PAGE_BYTES;

    atomic_store(&w->revision, w->o.store->revision);
    atomic_store(&w->wal_bytes, wal);
    metric_set(w->m.wal_bytes, (int64_t)wal);
    metric_set(w->m.revision, (int64_t)w->o.store->revision);
    metric_set(w->m.depth, (int64_t)mailbox_depth(&w->box));
}

static void die_if_dead(struct writer *w, const struct err *why)
{
    if (w->o.store->broken != STORE_DEAD)
        return;
    log_event(w->o.log, LOG_ERROR, LOG_NO_REQ, "store_dead", LOG_C("why", why->text));
    w->o.dead(w->o.ctx, why);
}

/* ---- one transaction -----------------------------------------------------------------------------------------------
 */

static size_t units_of(const struct mail_item *item)
{
    if (item->usage)
        return item->usage;
    return 1 + (item->bytes < ANSWERS_PIECE_BYTES ? item->bytes : ANSWERS_PIECE_BYTES) / WRITER_UNIT_BYTES;
}

static void run_item(struct writer *w, struct mail_item *item, struct err *err)
{
    struct work work = {.s = w->o.store, .err = err, .pace = &w->pace};

    if (item->events) {
        const struct usage_batch *b = &item->events->batch;
        struct ingest_batch batch = {b->source, b->first_seq, b->events.items, b->events.n, 0};
        uint64_t seq = 0;

        work.a = &item->events->arena;
        item->st = ingest_apply(&work, &batch, &seq);
        /* As batch_run does: only the whole transaction can be taken back. */
        if (item->st != ST_OK && item->st != ST_BAD_REQUEST && w->o.store->broken == STORE_WELL)
            w->o.store->broken = STORE_RETRY;
        return;
    }
    work.a = item->call->arena;
    work.err = &item->call->err;
    item->st = batch_run(&work, item->lane, item->op, item->in, item->out);
    if (w->o.store->broken != STORE_WELL)
        *err = item->call->err;
}

static void tell(void *ctx, struct slice state_batch)
{
    struct writer *w = ctx;

    w->o.publish(w->o.ctx, state_batch);
    pace_told(&w->pace);
}

static void publish(struct writer *w)
{
    const struct store *s = w->o.store;
    size_t most = w->pace.on ? PACE_TOLD : CHANGE_BATCH_ITEMS;

    if (changes_publish(&s->changes, w->published, s->revision, most, tell, w) != ST_OK)
        log_event(w->o.log, LOG_WARN, LOG_NO_REQ, "state_not_published", LOG_N("revision", s->revision));
    /* Also when it was not: the followers see the gap and ask. */
    w->published = s->revision;
    w->published_ms = clock_ms();
}

static void answer(struct writer *w, struct mail_item *item, enum status batch, const struct err *why)
{
    enum status st = item->st;

    if (item->events) {
        mail_events_free(item->events);
        return;
    }
    if (st == ST_PENDING && batch == ST_OK) { /* there is more to do, behind what waits */
        if (mailbox_put(&w->box, item))
            return;
        st = err_set(&item->call->err, ST_UNAVAILABLE, "meterd has too much to do");
    } else if ((st == ST_OK || st == ST_PENDING) && batch != ST_OK) {
        st = batch;
        item->call->err = *why;
    }
    svc_finish(item->call, st);
}

static enum status commit(struct writer *w, enum status st, struct err *err)
{
    struct store *s = w->o.store;

    if (st == ST_OK && s->broken == STORE_WELL)
        st = batch_commit(s, err);
    else if (st == ST_OK)
        st = err->status != ST_OK ? err->status : ST_UNAVAILABLE;
    if (st == ST_OK)
        return ST_OK;
    die_if_dead(w, err);
    batch_abandon(s);
    w->restart = true;
    metric_add(w->m.failed, 1);
    if (!atomic_exchange(&w->full, true))
        log_event(w->o.log, LOG_ERROR, LOG_NO_REQ, "batch_failed", LOG_C("why", err->text));
    /* What is not on disk was not done: the caller may try again. */
    return ST_UNAVAILABLE;
}

/* A command does not wait for the end of a backlog's transaction. */
static bool ends_batch(const struct writer *w, const struct mail_item *next)
{
    return w->pace.on && next[-1].lane != LANE_INGEST && next->lane == LANE_INGEST;
}

struct transaction {
    struct writer *w;
    struct mail_item *items;
    size_t n; /* of items that there are */
    size_t done, units; /* taken into it */
    enum status st;
    struct err err;
};

/* Applies items from the front until it is large enough, and commits it. */
static void run_transaction(void *ctx)
{
    struct transaction *t = ctx;
    struct writer *w = t->w;
    struct store *s = w->o.store;

    pace_begin(&w->pace);
    t->st = batch_begin(s, &t->err);
    while (t->done < t->n && t->units < WRITER_UNITS && !(t->done > 0 && ends_batch(w, &t->items[t->done]))) {
        struct mail_item *item = &t->items[t->done++];

        item->st = ST_OK;
        if (t->st == ST_OK && s->broken == STORE_WELL)
            run_item(w, item, &t->err);
        t->units += units_of(item);
    }
    t->st = commit(w, t->st, &t->err);
}

/* One transaction, what it tells and its answers. Returns how many items were in it. */
static size_t run_batch(struct writer *w, struct mail_item *items, size_t n)
{
    struct transaction t = {.w = w, .items = items, .n = n};
    struct store *s = w->o.store;
    uint64_t began = clock_ns();
    size_t i;

    if (items[0].lane == LANE_INGEST)
        pace_work(&w->pace, run_transaction, &t);
    else
        run_transaction(&t);
    metric_observe_ns(w->m.commit_seconds, clock_ns() - began);
    metric_observe(w->m.batch_size, (double)t.units);
    if (t.st == ST_OK) {
        if (atomic_exchange(&w->full, false))
            log_event(w->o.log, LOG_INFO, LOG_NO_REQ, "batches_succeed_again", LOG_N("revision", s->revision));
        if (s->revision != w->published)
            publish(w);
        note_counts(w, &s->counts);
    }
    for (i = 0; i < t.done; i++)
        answer(w, &items[i], t.st, &t.err);
    return t.done;
}

/* ---- chores: what is done between transactions ---------------------------------------------------------------------
 * Each returns when it is due again.
 */

static uint64_t forget_sessions(struct writer *w, uint64_t now)
{
    struct err err = {0};
    struct work work = {.s = w->o.store, .err = &err};
    int64_t positions = 0;
    enum status st = batch_begin(w->o.store, &err);

    if (st == ST_OK)
        st = sessions_forget(&work);
    if (st == ST_OK)
        st = store_number(w->o.store, SQL_POSITION_COUNT, NO_BINDS, 0, &positions, &err);
    if (st == ST_OK)
        st = batch_commit(w->o.store, &err);
    atomic_store(&w->positions, (uint64_t)positions);
    if (st != ST_OK) {
        die_if_dead(w, &err);
        batch_abandon(w->o.store);
    }
    return now + WRITER_HOUSEKEEPING_MS;
}

static uint64_t forget_answers(struct writer *w, uint64_t now)
{
    struct err err = {0};
    struct work work = {.s = w->o.store, .err = &err};
    bool more = false;
    enum status st = batch_begin(w->o.store, &err);

    if (st == ST_OK)
        st = answers_forget(&work, &more);
    if (st == ST_OK)
        st = batch_commit(w->o.store, &err);
    if (st != ST_OK) {
        die_if_dead(w, &err);
        batch_abandon(w->o.store);
    }
    return now + (st == ST_OK && more ? ANSWERS_FORGET_MORE_MS : ANSWERS_FORGET_MS);
}

/* What keys do in an hour is summed up; security events that are too old or too many are forgotten. */
static uint64_t look_at_security(struct writer *w, uint64_t now)
{
    struct err err = {0};
    struct arena arena;
    struct work work = {.s = w->o.store, .a = &arena, .err = &err};
    bool rows = false, more = false;
    enum status st = batch_begin(w->o.store, &err);

    arena_init(&arena, WRITER_SECURITY_BYTES);
    if (st == ST_OK)
        st = anomaly_sum(&work, &rows);
    if (st == ST_OK)
        st = security_forget(&work, &more);
    if (st == ST_OK)
        st = batch_commit(w->o.store, &err);
    arena_fini(&arena);
    if (st == ST_OK) {
        note_counts(w, &w->o.store->counts);
        return now + (rows || more ? SECURITY_MORE_MS : SECURITY_LOOK_MS);
    }
    die_if_dead(w, &err);
    batch_abandon(w->o.store);
    return now + SECURITY_LOOK_MS;
}

static uint64_t write_alerts(struct writer *w, uint64_t now)
{
    const struct alerts_report *report = watch_take(w->o.watch);
    struct err err = {0};
    struct arena arena;
    struct work work = {.s = w->o.store, .a = &arena, .err = &err};
    enum status st;

    if (!report)
        return now + WRITER_ALERTS_MS;
    arena_init(&arena, WRITER_ALERTS_BYTES);
    st = batch_begin(w->o.store, &err);
    if (st == ST_OK)
        st = alerts_apply(&work, report);
    if (st == ST_OK)
        st = batch_commit(w->o.store, &err);
    arena_fini(&arena);
    watch_done(w->o.watch); /* what could not be written is found, or told, again */
    if (st == ST_OK) {
        note_counts(w, &w->o.store->counts);
    } else {
        die_if_dead(w, &err);
        batch_abandon(w->o.store);
    }
    return now + WRITER_ALERTS_MS;
}

/* Holds are leased: what nobody speaks of any more is billed as far as it was heard. */
static void expire(struct writer *w, uint64_t now)
{
    struct store *s = w->o.store;
    struct err err = {0};
    struct arena arena;
    struct work work = {.s = s, .a = &arena, .err = &err};
    size_t n = 0;
    enum status st = batch_begin(s, &err);

    arena_init(&arena, WRITER_EXPIRE_BYTES);
    if (st == ST_OK)
        st = calls_expire(&work, now, &n);
    if (st == ST_OK)
        st = batch_commit(s, &err);
    if (st != ST_OK) {
        die_if_dead(w, &err);
        batch_abandon(s);
        log_event(w->o.log, LOG_ERROR, LOG_NO_REQ, "holds_not_expired", LOG_C("why", err.text));
    } else if (n > 0) {
        publish(w);
        note_counts(w, &s->counts);
        log_event(w->o.log, LOG_WARN, LOG_NO_REQ, "holds_expired", LOG_N("calls", n));
    }
    arena_fini(&arena);
}

static void restart_leases(struct writer *w)
{
    struct err err = {0};
    struct work work = {.s = w->o.store, .err = &err};
    enum status st = batch_begin(w->o.store, &err);

    if (st == ST_OK)
        st = hold_rows_restart(&work, clock_ms());
    if (st == ST_OK)
        st = answers_restart(&work);
    if (st == ST_OK)
        st = batch_commit(w->o.store, &err);
    w->restart = st != ST_OK;
    if (st == ST_OK)
        return;
    die_if_dead(w, &err);
    batch_abandon(w->o.store);
}

static uint64_t look_at_leases(struct writer *w, uint64_t now)
{
    if (w->restart)
        restart_leases(w);
    if (!w->restart)
        expire(w, now);
    return now + WRITER_EXPIRE_MS;
}

/* Prices whose time has come take force, with the change published as any other. Done on its own, a fault included: the
 * next try comes in a moment. */
static enum status change_prices(struct writer *w, struct err *err)
{
    struct work work = {.s = w->o.store, .err = err};
    struct arena arena;
    enum status st;

    arena_init(&arena, WRITER_PRICES_BYTES);
    work.a = &arena;
    st = batch_begin(w->o.store, err);
    if (st == ST_OK)
        st = prices_take_force(&work);
    if (st == ST_OK)
        st = batch_commit(w->o.store, err);
    arena_fini(&arena);
    if (st == ST_OK && w->o.store->revision != w->published)
        publish(w);
    if (st == ST_OK)
        return st;
    die_if_dead(w, err);
    batch_abandon(w->o.store);
    log_event(w->o.log, LOG_WARN, LOG_NO_REQ, "prices_wait", LOG_C("why", err->text));
    return st;
}

static enum status next_price(struct writer *w, uint64_t *ret_s, struct err *err)
{
    struct work work = {.s = w->o.store, .err = err};
    enum status st = prices_next(&work, ret_s);

    if (st == ST_OK)
        return st;
    die_if_dead(w, err);
    w->o.store->broken = STORE_WELL; /* only read: nothing is half done */
    return st;
}

/* The wall clock says when a price takes force, and it may be set at any time: while one waits it is asked again every
 * WRITER_PRICES_MS at the latest. */
static uint64_t look_at_prices(struct writer *w, uint64_t now)
{
    uint64_t wall = clock_wall_ms(), next_s = 0, left;
    struct err err = {0};
    enum status st = next_price(w, &next_s, &err);

    if (st == ST_OK && next_s != 0 && next_s * 1000 <= wall) {
        st = change_prices(w, &err);
        if (st == ST_OK)
            st = next_price(w, &next_s, &err);
    }
    left = next_s * 1000 > wall ? next_s * 1000 - wall : WRITER_PRICES_MS;
    if (next_s == 0 && st == ST_OK)
        return UINT64_MAX;
    return now + (left < WRITER_PRICES_MS ? left : WRITER_PRICES_MS);
}

static void monthly(struct writer *w)
{
    struct store *s = w->o.store;
    struct err err = {0};
    struct arena arena;
    struct work work = {.s = s, .a = &arena, .err = &err};
    struct store_months now = {0};
    enum status st = batch_begin(s, &err);

    arena_init(&arena, WRITER_MONTHLY_BYTES);
    if (st == ST_OK)
        st = monthly_step(&work, &now);
    if (st == ST_OK)
        st = batch_commit(s, &err);
    arena_fini(&arena);
    if (st == ST_OK) {
        monthly_stepped(s, &now);
        if (s->revision != w->published)
            publish(w);
        return;
    }
    w->monthly_ms = clock_ms() + WRITER_MONTHLY_RETRY_MS;
    log_event(w->o.log, LOG_ERROR, LOG_NO_REQ, "monthly_credit_failed", LOG_C("why", err.text));
    die_if_dead(w, &err);
    batch_abandon(s);
}

/* One step of the round that gives plans' monthly credit; calls that wait come between two steps. */
static uint64_t look_at_monthly(struct writer *w, uint64_t now)
{
    if (now < w->monthly_ms)
        return w->monthly_ms;
    if (!monthly_due(w->o.store, clock_wall_ms()))
        return now + WRITER_MONTHLY_LOOK_MS;
    monthly(w);
    return w->monthly_ms > now ? w->monthly_ms : now;
}

static uint64_t heartbeat(struct writer *w, uint64_t now)
{
    if (now - w->published_ms >= FEED_HEARTBEAT_MS) {
        store_forget_changes(w->o.store);
        publish(w);
    }
    return w->published_ms + FEED_HEARTBEAT_MS;
}

struct log_copy {
    struct store *store;
    bool all;
    enum status st;
    struct err err;
};

static void run_log_copy(void *ctx)
{
    struct log_copy *c = ctx;

    c->st = store_checkpoint(c->store, c->all, &c->err);
}

static uint64_t copy_log(struct writer *w, uint64_t now)
{
    bool idle = now - w->worked_ms >= WRITER_IDLE_MS;
    struct log_copy copy = {.store = w->o.store, .all = idle};

    pace_work(&w->pace, run_log_copy, &copy);
    if (copy.st != ST_OK) {
        die_if_dead(w, &copy.err);
        w->o.store->broken = STORE_WELL; /* no space for the copy: the log is still whole */
    }
    return idle ? now + WRITER_IDLE_MS : w->worked_ms + WRITER_IDLE_MS;
}

/* clang-format off */
static const struct chore {
    const char *name;
    bool after_work; /* also after each transaction, whenever it is due */
    uint64_t (*run)(struct writer *w, uint64_t now);
} chores[CHORES] = {
    [CHORE_PRICES] = {"prices", true, look_at_prices},
    [CHORE_HEARTBEAT] = {"heartbeat", false, heartbeat},
    [CHORE_SESSIONS] = {"sessions", false, forget_sessions},
    [CHORE_MONTHLY] = {"monthly", true, look_at_monthly},
    [CHORE_ANSWERS] = {"answers", false, forget_answers},
    [CHORE_LEASES] = {"leases", false, look_at_leases},
    [CHORE_SECURITY] = {"security", false, look_at_security},
    [CHORE_ALERTS] = {"alerts", false, write_alerts},
    [CHORE_LOG] = {"log", true, copy_log},
};
/* clang-format on */

static void between(struct writer *w, bool worked)
{
    uint64_t now = clock_ms();
    size_t i;

    if (worked)
        w->worked_ms = now;
    for (i = 0; i < CHORES; i++) {
        uint64_t began = clock_ms(), took;

        if (now < w->due_ms[i] && !(worked && chores[i].after_work))
            continue;
        w->due_ms[i] = chores[i].run(w, now);
        took = clock_ms() - began;
        if (took >= WRITER_SLOW_MS)
            log_event(w->o.log, LOG_WARN, LOG_NO_REQ, "chore_slow", LOG_C("chore", chores[i].name), LOG_N("ms", took));
    }
    note_state(w);
}

static uint64_t next_due(const struct writer *w)
{
    uint64_t due = UINT64_MAX;
    size_t i;

    for (i = 0; i < CHORES; i++)
        due = w->due_ms[i] < due ? w->due_ms[i] : due;
    return due;
}

static void *run(void *arg)
{
    struct writer *w = arg;
    bool closed = false;
    size_t n = 1;

    while (!closed || n > 0) {
        struct mailbox_wait wait = {
            .until_ms = next_due(w), .gather_ms = WRITER_GATHER_MS, .enough = MAILBOX_TAKE, .most_usage = WRITER_UNITS};
        size_t done = 0;

        n = mailbox_take(&w->box, &wait, w->items, MAILBOX_TAKE, &closed);
        pace_look(&w->pace, w->items, n, clock_ms());
        while (done < n)
            done += run_batch(w, w->items + done, n - done);
        between(w, n > 0);
    }
    return NULL;
}

/* ---- life ----------------------------------------------------------------------------------------------------------
 */

enum status writer_new(const struct writer_options *options, struct writer **ret, struct err *err)
{
    struct writer *w = calloc(1, sizeof(*w));

    if (!w || mailbox_init(&w->box) != ST_OK) {
        free(w);
        return err_set(err, ST_NO_MEMORY, "no memory for the writer");
    }
    w->o = *options;
    pace_init(&w->pace, &w->box);
    w->published = options->store->revision;
    w->published_ms = clock_ms();
    w->worked_ms = w->published_ms;
    w->restart = true;
    make_metrics(w);
    w->due_ms[CHORE_SESSIONS] = forget_sessions(w, w->published_ms);
    restart_leases(w);
    w->due_ms[CHORE_PRICES] = look_at_prices(w, w->published_ms); /* before anybody asks for the state */
    note_state(w);
    if (pthread_create(&w->thread, NULL, run, w) != 0) {
        writer_free(w);
        return err_set(err, ST_INTERNAL, "cannot start the writer's thread");
    }
    w->started = true;
    *ret = w;
    return ST_OK;
}

void writer_free(struct writer *w)
{
    if (!w)
        return;
    mailbox_close(&w->box);
    if (w->started)
        pthread_join(w->thread, NULL);
    pace_fini(&w->pace);
    mailbox_fini(&w->box);
    free(w);
}

struct mailbox *writer_mailbox(struct writer *w)
{
    return &w->box;
}

struct writer_state writer_state(struct writer *w)
{
    return (struct writer_state){.revision = atomic_load(&w->revision),
                                 .wal_bytes = atomic_load(&w->wal_bytes),
                                 .positions = atomic_load(&w->positions),
                                 .depth = mailbox_depth(&w->box),
                                 .full = atomic_load(&w->full)};
}
