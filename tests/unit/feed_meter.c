#include "tests/unit/feed_meter.h"

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

#include "services/call.h"
#include "services/ids.h"
#include "tests/lib/bus_peer.h"

#define PAGE 7u

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
static void state_read(struct feed_meter *m, struct xchg_call *call, const struct state_read_req *req)
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
static bool apply_usage(struct feed_meter *m, uint64_t first, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++) {
        uint64_t seq = first + i;

        if (seq > m->position + 1)
            return true;
        if (seq <= m->position)
            continue;
        m->position = seq;
        if (seq < FEED_METER_LOG && m->applied[seq]++)
            m->twice++;
    }
    return false;
}

static void usage_deliver(struct feed_meter *m, struct xchg_call *call, const struct usage_deliver_req *req)
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
    struct feed_meter *m = ctx;
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
    struct feed_meter *m = ctx;
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

void feed_meter_open(struct feed_meter *m)
{
    struct xchg_server_options options = {
        .url = m->url, .instance = 1, .boot = id_number(), .handler = meter_handle, .ctx = m};
    struct feed_at state = {.url = m->feed_url, .listen = true, .topic = CIPHER_STATE, .trust = m->trust};
    struct feed_at usage = {.url = m->events_url, .listen = true, .topic = CIPHER_USAGE, .trust = m->trust};

    options.trust = m->trust;
    if (m->trust)
        options.boot = trust_boot(m->trust);

    assert_int_equal(xchg_server_new(&options, &m->server, NULL), ST_OK);
    assert_int_equal(feed_pub_new(&state, &m->pub, NULL), ST_OK);
    assert_int_equal(feed_sub_new(&usage, meter_hears, m, &m->sub, NULL), ST_OK);
}

void feed_meter_close(struct feed_meter *m)
{
    feed_sub_free(m->sub);
    feed_pub_free(m->pub);
    xchg_server_free(m->server);
    m->sub = NULL;
    m->pub = NULL;
    m->server = NULL;
}

struct feed_meter *feed_meter_new(const char *transport)
{
    struct feed_meter *m = calloc(1, sizeof(*m));
    unsigned long long n = (unsigned long long)id_number();
    const char *prefix = strcmp(transport, "ipc") == 0 ? "ipc:///tmp" : "inproc:/";

    snprintf(m->url, FEED_METER_URL, "%s/test_feed.m.%016llx", prefix, n);
    snprintf(m->feed_url, FEED_METER_URL, "%s/test_feed.f.%016llx", prefix, n);
    snprintf(m->events_url, FEED_METER_URL, "%s/test_feed.e.%016llx", prefix, n);
    pthread_mutex_init(&m->lock, NULL);
    atomic_store(&m->ack, true);
    return m;
}

void feed_meter_free(struct feed_meter *m)
{
    pthread_mutex_destroy(&m->lock);
    free(m);
}

void feed_meter_publish(struct feed_meter *m, uint64_t previous, uint64_t revision)
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

void feed_meter_change(struct feed_meter *m, unsigned n, bool heard)
{
    uint64_t before;

    pthread_mutex_lock(&m->lock);
    before = m->revision;
    m->revision += n;
    pthread_mutex_unlock(&m->lock);
    if (heard)
        feed_meter_publish(m, before, before + n);
}
