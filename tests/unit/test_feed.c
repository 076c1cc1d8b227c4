/* feed: following meterd's state without a gap whatever PUB/SUB drops, and delivering usage until it is acknowledged.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "services/bus/feed.h"
#include "services/call.h"
#include "services/clock.h"
#include "services/ids.h"
#include "tests/lib/bus_peer.h"

#define URL_SIZE 96
#define LOG_MAX 20000u
#define PAGE 7u

/* ---- a meterd
 * ----------------------------------------------------------------------------------------------------------- */

/* Its state is a number of changes; change r has revision r and kind r % 100 + 1. Its usage is one source's position.
 */
struct meter {
    char url[URL_SIZE], feed_url[URL_SIZE], events_url[URL_SIZE];
    struct xchg_server *server;
    struct feed_pub *pub;
    struct feed_sub *sub;
    pthread_mutex_t lock;
    uint64_t revision, log_from; /* the log begins after log_from: older readers get a snapshot */
    atomic_uint reads, snapshots, delivers, batches;
    atomic_bool deaf; /* loses usage batches */
    atomic_bool fail_later; /* answers only first pages */
    uint64_t position; /* of the source */
    uint64_t applied[LOG_MAX];
    unsigned twice;
    struct feed_source *source; /* gets acks at once */
    atomic_bool ack;
};

static void fill_changes(struct state_change *to, uint64_t first, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++)
        to[i] = (struct state_change){.revision = first + i, .kind = (first + i) % 100 + 1, .record = {"r", 1}};
}

static void end_with(struct xchg_call *call, const struct wire_desc *desc, const void *msg)
{
    struct buf b;

    buf_init(&b, WIRE_MESSAGE_MAX);
    if (wire_encode(desc, msg, &b, NULL) == ST_OK)
        xchg_end(call, ST_OK, (struct slice){b.p, b.n});
    else
        xchg_end(call, ST_BAD_MESSAGE, (struct slice){NULL, 0});
    buf_fini(&b);
}

/* A snapshot is all changes from 1 on; pages of PAGE; the cursor is the revision that the pages show and the one before
 * the next page. */
static void state_read(struct meter *m, struct xchg_call *call, const struct state_read_req *req)
{
    unsigned long long shown = 0, after = req->after_revision;
    struct state_read_rep rep = {.snapshot = false};
    struct state_change changes[PAGE];
    char cursor[64] = "";

    atomic_fetch_add(&m->reads, 1);
    if (req->cursor.n) {
        slice_copy(req->cursor, cursor, sizeof(cursor));
        assert_int_equal(sscanf(cursor, "%llu %llu", &shown, &after), 2);
    } else {
        pthread_mutex_lock(&m->lock);
        shown = m->revision;
        rep.snapshot = after < m->log_from || after > shown || after == 0;
        pthread_mutex_unlock(&m->lock);
    }
    if (rep.snapshot) {
        after = 0;
        atomic_fetch_add(&m->snapshots, 1);
    }
    rep.revision = shown;
    rep.changes.n = shown - after < PAGE ? shown - after : PAGE;
    fill_changes(changes, after + 1, rep.changes.n);
    rep.changes.items = changes;
    snprintf(cursor, sizeof(cursor), "%llu %llu", shown, after + rep.changes.n);
    if (after + rep.changes.n < shown)
        rep.cursor = slice_of(cursor);
    if (atomic_load(&m->fail_later) && req->cursor.n)
        xchg_end(call, ST_INTERNAL, (struct slice){NULL, 0});
    else
        end_with(call, &state_read_rep_desc, &rep);
}

/* Locked. Takes what follows its position; returns whether there was a gap. */
static bool apply_usage(struct meter *m, uint64_t first, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++) {
        uint64_t seq = first + i;

        if (seq > m->position + 1)
            return true;
        if (seq <= m->position)
            continue;
        m->position = seq;
        if (seq < LOG_MAX && m->applied[seq]++)
            m->twice++;
    }
    return false;
}

static void usage_deliver(struct meter *m, struct xchg_call *call, const struct usage_deliver_req *req)
{
    struct usage_deliver_rep rep = {.acked_seq = 0};

    atomic_fetch_add(&m->delivers, 1);
    pthread_mutex_lock(&m->lock);
    apply_usage(m, req->first_seq, req->events.n);
    rep.acked_seq = m->position;
    pthread_mutex_unlock(&m->lock);
    end_with(call, &usage_deliver_rep_desc, &rep);
}

static void meter_handle(void *ctx, struct xchg_call *call, uint16_t method, struct slice payload)
{
    struct meter *m = ctx;
    struct usage_deliver_req deliver;
    struct state_read_req read;
    struct wire_alloc mem;
    struct arena a;

    arena_init(&a, 64u * 1024u * 1024u);
    mem = arena_wire(&a);
    if (method == state_read_req_desc.type &&
        wire_decode(&state_read_req_desc, payload.p, payload.n, &read, &mem, NULL) == ST_OK)
        state_read(m, call, &read);
    else if (method == usage_deliver_req_desc.type &&
             wire_decode(&usage_deliver_req_desc, payload.p, payload.n, &deliver, &mem, NULL) == ST_OK)
        usage_deliver(m, call, &deliver);
    else
        xchg_end(call, ST_BAD_MESSAGE, (struct slice){NULL, 0});
    arena_fini(&a);
}

static void meter_hears(void *ctx, struct slice bytes)
{
    struct meter *m = ctx;
    struct usage_batch batch;
    struct wire_alloc mem;
    struct ack ack;
    struct arena a;

    atomic_fetch_add(&m->batches, 1);
    if (atomic_load(&m->deaf))
        return;
    arena_init(&a, 64u * 1024u * 1024u);
    mem = arena_wire(&a);
    if (wire_decode(&usage_batch_desc, bytes.p, bytes.n, &batch, &mem, NULL) == ST_OK) {
        pthread_mutex_lock(&m->lock);
        ack = (struct ack){.source = batch.source, .gap = apply_usage(m, batch.first_seq, batch.events.n)};
        ack.acked_seq = m->position;
        pthread_mutex_unlock(&m->lock);
        if (atomic_load(&m->ack))
            feed_source_ack(m->source, &ack);
    }
    arena_fini(&a);
}

static void meter_open(struct meter *m)
{
    struct xchg_server_options options = {
        .url = m->url, .instance = 1, .boot = id_number(), .handler = meter_handle, .ctx = m};

    assert_int_equal(xchg_server_new(&options, &m->server, NULL), ST_OK);
    assert_int_equal(feed_pub_new(m->feed_url, true, &m->pub, NULL), ST_OK);
    assert_int_equal(feed_sub_new(m->events_url, true, meter_hears, m, &m->sub, NULL), ST_OK);
}

static void meter_close(struct meter *m)
{
    feed_sub_free(m->sub);
    feed_pub_free(m->pub);
    xchg_server_free(m->server);
    m->sub = NULL;
    m->pub = NULL;
    m->server = NULL;
}

static struct meter *meter_new(const char *transport)
{
    struct meter *m = calloc(1, sizeof(*m));
    unsigned long long n = (unsigned long long)id_number();
    const char *prefix = strcmp(transport, "ipc") == 0 ? "ipc:///tmp" : "inproc:/";

    snprintf(m->url, URL_SIZE, "%s/test_feed.m.%016llx", prefix, n);
    snprintf(m->feed_url, URL_SIZE, "%s/test_feed.f.%016llx", prefix, n);
    snprintf(m->events_url, URL_SIZE, "%s/test_feed.e.%016llx", prefix, n);
    pthread_mutex_init(&m->lock, NULL);
    atomic_store(&m->ack, true);
    return m;
}

static void meter_free(struct meter *m)
{
    pthread_mutex_destroy(&m->lock);
    free(m);
}

static void publish(struct meter *m, uint64_t previous, uint64_t revision)
{
    struct state_change changes[64];
    struct state_batch b = {.previous_revision = previous, .revision = revision};
    struct buf out;

    b.changes.n = revision - previous;
    b.changes.items = changes;
    fill_changes(changes, previous + 1, b.changes.n);
    buf_init(&out, FEED_MESSAGE_MAX);
    assert_int_equal(wire_encode(&state_batch_desc, &b, &out, NULL), ST_OK);
    assert_int_equal(feed_publish(m->pub, (struct slice){out.p, out.n}), ST_OK);
    buf_fini(&out);
}

/* n changes in one batch; heard = published as well. */
static void change(struct meter *m, unsigned n, bool heard)
{
    uint64_t before;

    pthread_mutex_lock(&m->lock);
    before = m->revision;
    m->revision += n;
    pthread_mutex_unlock(&m->lock);
    if (heard)
        publish(m, before, before + n);
}

/* ---- a follower
 * --------------------------------------------------------------------------------------------------------- */

struct projection {
    pthread_mutex_t lock;
    uint64_t last, revision; /* last: revision of the newest change */
    unsigned resets, applied, wrong;
};

static void on_reset(void *ctx)
{
    struct projection *p = ctx;

    pthread_mutex_lock(&p->lock);
    p->resets++;
    p->last = 0;
    pthread_mutex_unlock(&p->lock);
}

static void on_change(void *ctx, const struct state_change *c)
{
    struct projection *p = ctx;

    pthread_mutex_lock(&p->lock);
    if (c->revision != p->last + 1 || c->kind != c->revision % 100 + 1 || !slice_is(c->record, "r"))
        p->wrong++; /* in order, each once, nothing left out */
    p->last = c->revision;
    pthread_mutex_unlock(&p->lock);
}

static void on_applied(void *ctx, uint64_t revision)
{
    struct projection *p = ctx;

    pthread_mutex_lock(&p->lock);
    if (revision != p->last)
        p->wrong++;
    p->revision = revision;
    p->applied++;
    pthread_mutex_unlock(&p->lock);
}

static const struct feed_follow_events projection_events = {
    .reset = on_reset, .change = on_change, .applied = on_applied};

struct following {
    struct meter *meter;
    struct xchg_client *client;
    struct feed_follow *follow;
    struct projection p;
};

static void following_new(struct following *f, struct meter *m)
{
    memset(f, 0, sizeof(*f));
    f->meter = m;
    pthread_mutex_init(&f->p.lock, NULL);
    f->client = bus_client(m->url);
    assert_int_equal(feed_follow_new(m->feed_url, f->client, &projection_events, &f->p, &f->follow, NULL), ST_OK);
}

static void following_free(struct following *f)
{
    feed_follow_free(f->follow);
    xchg_client_free(f->client);
    pthread_mutex_destroy(&f->p.lock);
}

static void reaches(struct following *f, uint64_t revision, unsigned ms)
{
    BUS_UNTIL(feed_follow_revision(f->follow) == revision, ms);
    assert_int_equal(feed_follow_revision(f->follow), revision);
    pthread_mutex_lock(&f->p.lock);
    assert_int_equal(f->p.wrong, 0);
    assert_int_equal(f->p.last, revision);
    pthread_mutex_unlock(&f->p.lock);
}

static void snapshot_then_changes(const char *transport)
{
    struct meter *m = meter_new(transport);
    struct following f;
    unsigned i;

    m->revision = 100;
    meter_open(m);
    following_new(&f, m);
    reaches(&f, 100, 5000);
    assert_int_equal(f.p.resets, 1);
    usleep(300000); /* the subscription is there */
    for (i = 0; i < 200; i++)
        change(m, 1 + i % 5, true);
    reaches(&f, m->revision, 5000);
    assert_int_equal(f.p.resets, 1);
    assert_int_equal(atomic_load(&m->snapshots), 1);
    following_free(&f);
    meter_close(m);
    meter_free(m);
}

static void the_state_is_read_and_then_followed(void **state)
{
    (void)state;
    snapshot_then_changes("inproc");
    snapshot_then_changes("ipc");
}

static void what_changes_during_the_snapshot_is_not_lost(void **state)
{
    struct meter *m = meter_new("inproc");
    struct following f;
    unsigned i;

    (void)state;
    m->revision = 2000; /* almost 300 pages */
    meter_open(m);
    following_new(&f, m);
    for (i = 0; i < 300; i++) {
        change(m, 1, true);
        usleep(200);
    }
    reaches(&f, 2300, 5000);
    following_free(&f);
    meter_close(m);
    meter_free(m);
}

static void a_gap_is_repaired_by_a_call(void **state)
{
    struct meter *m = meter_new("inproc");
    struct following f;
    unsigned i, reads;

    (void)state;
    m->revision = 10;
    meter_open(m);
    following_new(&f, m);
    reaches(&f, 10, 5000);
    usleep(300000);
    change(m, 3, true);
    reaches(&f, 13, 2000);
    reads = atomic_load(&m->reads);
    for (i = 0; i < 50; i++)
        change(m, 2, i % 3 != 0); /* every third batch is lost */
    reaches(&f, 113, 2000);
    assert_true(atomic_load(&m->reads) > reads);
    assert_int_equal(f.p.resets, 1); /* repaired, not begun anew */
    publish(m, 50, 60); /* an old one changes nothing */
    publish(m, 113, 113);
    usleep(50000);
    reaches(&f, 113, 100);
    following_free(&f);
    meter_close(m);
    meter_free(m);
}

static void silence_makes_it_ask(void **state)
{
    struct meter *m = meter_new("inproc");
    struct following f;

    (void)state;
    m->revision = 10;
    meter_open(m);
    following_new(&f, m);
    reaches(&f, 10, 5000);
    usleep(200000);
    change(m, 5, false); /* nobody hears of it, and no heartbeat either */
    reaches(&f, 15, 3 * FEED_HEARTBEAT_MS + 1500);
    assert_int_equal(f.p.resets, 1);
    following_free(&f);
    meter_close(m);
    meter_free(m);
}

static void a_database_set_back_makes_it_begin_anew(void **state)
{
    struct meter *m = meter_new("inproc");
    struct following f;
    unsigned i;

    (void)state;
    m->revision = 50;
    meter_open(m);
    following_new(&f, m);
    reaches(&f, 50, 5000);
    meter_close(m);
    m->revision = 20;
    meter_open(m);
    for (i = 0; i < 100 && feed_follow_revision(f.follow) != 20; i++) {
        publish(m, 20, 20); /* heartbeats */
        usleep(50000);
    }
    reaches(&f, 20, 1000);
    assert_int_equal(f.p.resets, 2);
    following_free(&f);
    meter_close(m);
    meter_free(m);
}

static void a_snapshot_that_fails_half_way_forgets_nothing(void **state)
{
    struct meter *m = meter_new("inproc");
    struct following f;

    (void)state;
    m->revision = 50;
    meter_open(m);
    following_new(&f, m);
    reaches(&f, 50, 5000);
    atomic_store(&m->fail_later, true);
    pthread_mutex_lock(&m->lock);
    m->revision = 100;
    m->log_from = 90; /* the gap is too large for the log */
    pthread_mutex_unlock(&m->lock);
    usleep(300000);
    publish(m, 99, 100);
    BUS_UNTIL(atomic_load(&m->snapshots) >= 3, 5000); /* tried again and again */
    assert_int_equal(f.p.resets, 1);
    assert_int_equal(f.p.last, 50);
    atomic_store(&m->fail_later, false);
    reaches(&f, 100, 5000);
    assert_int_equal(f.p.resets, 2);
    following_free(&f);
    meter_close(m);
    meter_free(m);
}

static void it_waits_for_a_meterd_and_can_be_stopped_meanwhile(void **state)
{
    struct meter *m = meter_new("inproc");
    struct following f;
    uint64_t began;

    (void)state;
    following_new(&f, m);
    usleep(100000);
    assert_int_equal(feed_follow_revision(f.follow), 0);
    began = clock_ms();
    following_free(&f);
    assert_in_range(clock_ms() - began, 0, slow_ms(500));
    following_new(&f, m);
    usleep(200000);
    m->revision = 5;
    meter_open(m);
    reaches(&f, 5, 5000);
    following_free(&f);
    meter_close(m);
    meter_free(m);
}

/* ---- a source
 * ----------------------------------------------------------------------------------------------------------- */

struct outbox {
    struct meter *meter;
    struct xchg_client *client;
    struct feed_source *source;
    pthread_mutex_t lock;
    uint64_t newest;
    _Atomic uint64_t acked;
    atomic_uint reads;
};

static void fill_event(struct usage_event *e, char id[16], uint64_t seq)
{
    snprintf(id, 16, "req_%llu", (unsigned long long)seq);
    *e = (struct usage_event){.request_id = slice_of(id),
                              .user_id = slice_of("usr_1"),
                              .key_id = slice_of("key_1"),
                              .model = slice_of("echo"),
                              .provider = slice_of("echo"),
                              .upstream_model = slice_of("echo"),
                              .endpoint = slice_of("chat.completions"),
                              .status = slice_of("ok")};
}

static enum status outbox_read(void *ctx, uint64_t first_seq, size_t max, struct arena *a,
                               struct usage_event **ret_events, size_t *ret_n)
{
    struct outbox *o = ctx;
    uint64_t newest;
    size_t n, i;

    atomic_fetch_add(&o->reads, 1);
    pthread_mutex_lock(&o->lock);
    newest = o->newest;
    pthread_mutex_unlock(&o->lock);
    n = newest >= first_seq ? newest - first_seq + 1 : 0;
    if (n > max)
        n = max;
    *ret_n = n;
    if (n == 0)
        return ST_OK;
    *ret_events = arena_alloc(a, n * sizeof(**ret_events));
    for (i = 0; i < n; i++)
        fill_event(&(*ret_events)[i], arena_alloc(a, 16), first_seq + i);
    return ST_OK;
}

static void outbox_acked(void *ctx, uint64_t seq)
{
    struct outbox *o = ctx;

    assert_true(seq > atomic_load(&o->acked));
    atomic_store(&o->acked, seq);
}

static void outbox_set_back(void *ctx, uint64_t seq)
{
    atomic_store(&((struct outbox *)ctx)->acked, seq);
}

static void outbox_new(struct outbox *o, struct meter *m, uint64_t last_acked, uint64_t last_seq)
{
    struct feed_source_options options = {
        .events_url = m->events_url, .source = "src_1", .read = outbox_read, .acked = outbox_acked, .ctx = o};

    options.set_back = outbox_set_back;
    memset(o, 0, sizeof(*o));
    o->meter = m;
    o->newest = last_seq;
    atomic_store(&o->acked, last_acked);
    pthread_mutex_init(&o->lock, NULL);
    o->client = bus_client(m->url);
    options.meterd = o->client;
    assert_int_equal(feed_source_new(&options, last_acked, last_seq, &o->source, NULL), ST_OK);
    m->source = o->source;
}

static void outbox_free(struct outbox *o)
{
    feed_source_free(o->source);
    xchg_client_free(o->client);
    pthread_mutex_destroy(&o->lock);
}

static void produce(struct outbox *o, size_t n)
{
    struct usage_event *events = calloc(n, sizeof(*events));
    char(*ids)[16] = calloc(n, 16);
    uint64_t first;
    size_t i;

    pthread_mutex_lock(&o->lock);
    first = o->newest + 1;
    o->newest += n;
    pthread_mutex_unlock(&o->lock);
    for (i = 0; i < n; i++)
        fill_event(&events[i], ids[i], first + i);
    assert_int_equal(feed_source_publish(o->source, first, events, n), ST_OK);
    free(ids);
    free(events);
}

static void all_applied_once(struct outbox *o, unsigned ms)
{
    struct meter *m = o->meter;
    uint64_t seq;

    BUS_UNTIL(atomic_load(&o->acked) == o->newest, ms);
    assert_int_equal(atomic_load(&o->acked), o->newest);
    pthread_mutex_lock(&m->lock);
    assert_int_equal(m->position, o->newest);
    assert_int_equal(m->twice, 0);
    for (seq = 1; seq <= o->newest; seq++)
        assert_int_equal(m->applied[seq], 1);
    pthread_mutex_unlock(&m->lock);
}

static void usage_goes_the_fast_way(void **state)
{
    struct meter *m = meter_new("ipc");
    struct outbox o;
    unsigned i;

    (void)state;
    meter_open(m);
    outbox_new(&o, m, 0, 0);
    usleep(400000);
    for (i = 0; i < 500; i++) {
        produce(&o, 1 + i % 3);
        usleep(100);
    }
    produce(&o, 2500); /* more than fits into one message */
    all_applied_once(&o, 1500);
    assert_int_equal(atomic_load(&m->delivers), 0);
    feed_sub_free(m->sub); /* before the source it acknowledges to */
    m->sub = NULL;
    outbox_free(&o);
    meter_close(m);
    meter_free(m);
}

static void what_pub_sub_loses_is_delivered_by_calls(void **state)
{
    struct meter *m = meter_new("inproc");
    struct outbox o;
    uint64_t began;
    unsigned i;

    (void)state;
    meter_open(m);
    outbox_new(&o, m, 0, 0);
    usleep(400000);
    produce(&o, 10);
    all_applied_once(&o, 1500);
    atomic_store(&m->deaf, true);
    produce(&o, 1000);
    BUS_UNTIL(atomic_load(&m->batches) == 2, 1000);
    assert_int_equal(atomic_load(&m->batches), 2);
    atomic_store(&m->deaf, false);
    began = clock_ms();
    produce(&o, 1); /* the gap shows at once, and is repaired at once */
    all_applied_once(&o, 1500);
    assert_true(clock_ms() - began < FEED_REDELIVER_MS / 2);
    assert_int_equal(atomic_load(&m->delivers) > 0, true);
    atomic_store(&m->deaf, true); /* nothing shows it: after a while it is delivered anyway */
    began = clock_ms();
    for (i = 0; i < 5; i++)
        produce(&o, 3);
    all_applied_once(&o, FEED_REDELIVER_MS + 2000);
    assert_true(clock_ms() - began >= FEED_REDELIVER_MS - 100);
    feed_sub_free(m->sub);
    m->sub = NULL;
    outbox_free(&o);
    meter_close(m);
    meter_free(m);
}

static void an_outbox_found_at_start_is_delivered_first(void **state)
{
    struct meter *m = meter_new("inproc");
    struct outbox o;

    (void)state;
    m->position = 100;
    for (unsigned i = 1; i <= 100; i++)
        m->applied[i] = 1;
    outbox_new(&o, m, 90, 5000); /* meterd is not there yet, and knows more than the outbox */
    usleep(300000);
    assert_int_equal(atomic_load(&o.acked), 90);
    meter_open(m);
    all_applied_once(&o, 8000);
    feed_sub_free(m->sub);
    m->sub = NULL;
    outbox_free(&o);
    meter_close(m);
    meter_free(m);
}

static void acks_for_others_and_from_the_future_do_no_harm(void **state)
{
    struct meter *m = meter_new("inproc");
    struct ack ack = {.source = slice_of("somebody"), .acked_seq = 5};
    struct outbox o;

    (void)state;
    atomic_store(&m->ack, false);
    meter_open(m);
    outbox_new(&o, m, 0, 0);
    usleep(300000);
    atomic_store(&m->deaf, true);
    produce(&o, 10);
    feed_source_ack(o.source, &ack);
    usleep(50000);
    assert_int_equal(atomic_load(&o.acked), 0);
    ack.source = slice_of("src_1");
    feed_source_ack(o.source, &ack);
    BUS_UNTIL(atomic_load(&o.acked) == 5, 1000);
    assert_int_equal(atomic_load(&o.acked), 5);
    ack.acked_seq = 3;
    feed_source_ack(o.source, &ack);
    ack.acked_seq = 99;
    feed_source_ack(o.source, &ack);
    BUS_UNTIL(atomic_load(&o.acked) == 10, 1000);
    assert_int_equal(atomic_load(&o.acked), 10); /* what was never given out is not acknowledged */
    outbox_free(&o);
    meter_close(m);
    meter_free(m);
}

static void restore(struct meter *m, uint64_t position)
{
    pthread_mutex_lock(&m->lock);
    m->position = position;
    memset(m->applied + position + 1, 0, (LOG_MAX - position - 1) * sizeof(m->applied[0]));
    pthread_mutex_unlock(&m->lock);
}

static void heard_again(struct outbox *o)
{
    uint64_t at = 0;

    for (int i = 0; i < 1000 && at != o->newest; i++) {
        usleep(10000);
        pthread_mutex_lock(&o->meter->lock);
        at = o->meter->position;
        pthread_mutex_unlock(&o->meter->lock);
    }
    all_applied_once(o, 8000);
}

/* By a snapshot, by an ack that tells of a gap, by the answer to a call: each shows that the database was set back. */
static void a_meterd_that_was_restored_hears_it_again(void **state)
{
    struct meter *m = meter_new("inproc");
    struct ack ack = {.source = slice_of("src_1"), .acked_seq = 7};
    struct outbox o;

    (void)state;
    meter_open(m);
    outbox_new(&o, m, 0, 0);
    produce(&o, 100);
    all_applied_once(&o, 8000);
    feed_source_ack(o.source, &ack); /* late, and no gap: nothing happens */
    usleep(100000);
    assert_int_equal(atomic_load(&o.acked), 100);
    restore(m, 20);
    feed_source_position(o.source, 20);
    heard_again(&o);
    restore(m, 7);
    ack.gap = true;
    feed_source_ack(o.source, &ack);
    heard_again(&o);
    restore(m, 3);
    atomic_store(&m->deaf, true); /* only calls arrive */
    produce(&o, 5);
    heard_again(&o);
    outbox_free(&o);
    meter_close(m);
    meter_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_state_is_read_and_then_followed),
        cmocka_unit_test(what_changes_during_the_snapshot_is_not_lost),
        cmocka_unit_test(a_gap_is_repaired_by_a_call),
        cmocka_unit_test(silence_makes_it_ask),
        cmocka_unit_test(a_database_set_back_makes_it_begin_anew),
        cmocka_unit_test(a_snapshot_that_fails_half_way_forgets_nothing),
        cmocka_unit_test(it_waits_for_a_meterd_and_can_be_stopped_meanwhile),
        cmocka_unit_test(usage_goes_the_fast_way),
        cmocka_unit_test(what_pub_sub_loses_is_delivered_by_calls),
        cmocka_unit_test(an_outbox_found_at_start_is_delivered_first),
        cmocka_unit_test(acks_for_others_and_from_the_future_do_no_harm),
        cmocka_unit_test(a_meterd_that_was_restored_hears_it_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
