/* The usage feed: published, delivered by calls, acknowledged; against a meterd without a store. */

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

#include "services/arena.h"
#include "services/bus/feed.h"
#include "services/clock.h"
#include "tests/lib/bus_peer.h"
#include "tests/unit/feed_meter.h"

#define WAIT_MS 15000 /* the machine may have other things to do */

struct outbox {
    struct feed_meter *meter;
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

static void outbox_new(struct outbox *o, struct feed_meter *m, uint64_t last_acked, uint64_t last_seq)
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
    struct feed_meter *m = o->meter;
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

#define FAST_TRIES 5 /* of a machine that has other things to do */

/* How often what was published had to be delivered by a call. */
static unsigned delivered(void)
{
    struct feed_meter *m = feed_meter_new("ipc");
    struct outbox o;
    unsigned i, n;

    feed_meter_open(m);
    outbox_new(&o, m, 0, 0);
    usleep(400000);
    for (i = 0; i < 500; i++) {
        produce(&o, 1 + i % 3);
        usleep(100);
    }
    produce(&o, 2500); /* more than fits into one message */
    all_applied_once(&o, WAIT_MS);
    n = atomic_load(&m->delivers);
    feed_sub_free(m->sub); /* before the source it acknowledges to */
    m->sub = NULL;
    outbox_free(&o);
    feed_meter_close(m);
    feed_meter_free(m);
    return n;
}

static void usage_goes_the_fast_way(void **state)
{
    unsigned tries = 0;

    (void)state;
    while (delivered())
        assert_true(++tries < FAST_TRIES);
}

/* Returns how long it took until a gap that shows was repaired. */
static uint64_t repair(struct outbox *o)
{
    unsigned heard = atomic_load(&o->meter->batches);
    uint64_t began;

    atomic_store(&o->meter->deaf, true);
    produce(o, 1000); /* two messages, the second one a little later */
    BUS_UNTIL(atomic_load(&o->meter->batches) == heard + 2, WAIT_MS);
    assert_int_equal(atomic_load(&o->meter->batches), heard + 2);
    atomic_store(&o->meter->deaf, false);
    began = clock_ms();
    produce(o, 1);
    all_applied_once(o, WAIT_MS);
    return clock_ms() - began;
}

/* Returns how long it took until what nothing shows was delivered. */
static uint64_t deliver_anyway(struct outbox *o)
{
    uint64_t began = clock_ms();
    unsigned i;

    for (i = 0; i < 5; i++)
        produce(o, 3);
    all_applied_once(o, WAIT_MS);
    return clock_ms() - began;
}

static void what_pub_sub_loses_is_delivered_by_calls(void **state)
{
    struct feed_meter *m = feed_meter_new("inproc");
    struct outbox o;
    unsigned tries = 0;

    (void)state;
    feed_meter_open(m);
    outbox_new(&o, m, 0, 0);
    usleep(400000);
    produce(&o, 10);
    all_applied_once(&o, WAIT_MS);
    while (repair(&o) >= FEED_REDELIVER_MS) /* the gap shows at once, and is repaired at once */
        assert_true(++tries < FAST_TRIES);
    assert_int_equal(atomic_load(&m->delivers) > 0, true);
    atomic_store(&m->deaf, true); /* nothing shows it: after a while it is delivered anyway */
    while (deliver_anyway(&o) < FEED_REDELIVER_MS - 100) /* at once when a gap showed during the last delivery */
        assert_true(++tries < FAST_TRIES);
    feed_sub_free(m->sub);
    m->sub = NULL;
    outbox_free(&o);
    feed_meter_close(m);
    feed_meter_free(m);
}

static void an_outbox_found_at_start_is_delivered_first(void **state)
{
    struct feed_meter *m = feed_meter_new("inproc");
    struct outbox o;

    (void)state;
    m->position = 100;
    for (unsigned i = 1; i <= 100; i++)
        m->applied[i] = 1;
    outbox_new(&o, m, 90, 5000); /* meterd is not there yet, and knows more than the outbox */
    usleep(300000);
    assert_int_equal(atomic_load(&o.acked), 90);
    feed_meter_open(m);
    all_applied_once(&o, WAIT_MS);
    feed_sub_free(m->sub);
    m->sub = NULL;
    outbox_free(&o);
    feed_meter_close(m);
    feed_meter_free(m);
}

static void acks_for_others_and_from_the_future_do_no_harm(void **state)
{
    struct feed_meter *m = feed_meter_new("inproc");
    struct ack ack = {.source = slice_of("somebody"), .acked_seq = 5};
    struct outbox o;

    (void)state;
    outbox_new(&o, m, 0, 0); /* no meterd is there: nothing else is acknowledged, however long it takes */
    produce(&o, 10);
    feed_source_ack(o.source, &ack);
    usleep(50000);
    assert_int_equal(atomic_load(&o.acked), 0);
    ack.source = slice_of("src_1");
    feed_source_ack(o.source, &ack);
    BUS_UNTIL(atomic_load(&o.acked) == 5, WAIT_MS);
    assert_int_equal(atomic_load(&o.acked), 5);
    ack.acked_seq = 3;
    feed_source_ack(o.source, &ack);
    ack.acked_seq = 99;
    feed_source_ack(o.source, &ack);
    BUS_UNTIL(atomic_load(&o.acked) == 10, WAIT_MS);
    assert_int_equal(atomic_load(&o.acked), 10); /* what was never given out is not acknowledged */
    outbox_free(&o);
    feed_meter_free(m);
}

static void restore(struct feed_meter *m, uint64_t position)
{
    pthread_mutex_lock(&m->lock);
    m->position = position;
    memset(m->applied + position + 1, 0, (FEED_METER_LOG - position - 1) * sizeof(m->applied[0]));
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
    all_applied_once(o, WAIT_MS);
}

/* By a snapshot, by an ack that tells of a gap, by the answer to a call: each shows that the database was set back. */
static void a_meterd_that_was_restored_hears_it_again(void **state)
{
    struct feed_meter *m = feed_meter_new("inproc");
    struct ack ack = {.source = slice_of("src_1"), .acked_seq = 7};
    struct outbox o;

    (void)state;
    feed_meter_open(m);
    outbox_new(&o, m, 0, 0);
    produce(&o, 100);
    all_applied_once(&o, WAIT_MS);
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
    feed_meter_close(m);
    feed_meter_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usage_goes_the_fast_way),
        cmocka_unit_test(what_pub_sub_loses_is_delivered_by_calls),
        cmocka_unit_test(an_outbox_found_at_start_is_delivered_first),
        cmocka_unit_test(acks_for_others_and_from_the_future_do_no_harm),
        cmocka_unit_test(a_meterd_that_was_restored_hears_it_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
