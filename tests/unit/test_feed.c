/* The state feed: snapshot, changes, gaps; against a meterd without a store. */

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "services/bus/feed.h"
#include "services/clock.h"
#include "tests/lib/bus_peer.h"
#include "tests/unit/feed_meter.h"

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
    struct feed_meter *meter;
    struct xchg_client *client;
    struct feed_follow *follow;
    struct projection p;
};

static void following_new(struct following *f, struct feed_meter *m)
{
    struct feed_follow_options options;

    memset(f, 0, sizeof(*f));
    f->meter = m;
    pthread_mutex_init(&f->p.lock, NULL);
    f->client = bus_client(m->url);
    options = (struct feed_follow_options){
        .feed_url = m->feed_url, .meterd = f->client, .events = &projection_events, .ctx = &f->p};
    assert_int_equal(feed_follow_new(&options, &f->follow, NULL), ST_OK);
}

static void following_free(struct following *f)
{
    feed_follow_free(f->follow);
    xchg_client_free(f->client);
    pthread_mutex_destroy(&f->p.lock);
}

#define WAIT_MS 15000 /* the machine may have other things to do */

static void reaches(struct following *f, uint64_t revision)
{
    BUS_UNTIL(feed_follow_revision(f->follow) == revision, WAIT_MS);
    assert_int_equal(feed_follow_revision(f->follow), revision);
    pthread_mutex_lock(&f->p.lock);
    assert_int_equal(f->p.wrong, 0);
    assert_int_equal(f->p.last, revision);
    pthread_mutex_unlock(&f->p.lock);
}

/* Whether it knows of what has just changed within ms; it does in the end. */
static bool knows_within(struct following *f, unsigned ms)
{
    bool soon;

    BUS_UNTIL(feed_follow_revision(f->follow) == f->meter->revision, ms);
    soon = feed_follow_revision(f->follow) == f->meter->revision;
    reaches(f, f->meter->revision);
    return soon;
}

static void snapshot_then_changes(const char *transport)
{
    struct feed_meter *m = feed_meter_new(transport);
    struct following f;
    unsigned i;

    m->revision = 100;
    feed_meter_open(m);
    following_new(&f, m);
    reaches(&f, 100);
    assert_int_equal(f.p.resets, 1);
    usleep(300000); /* the subscription is there */
    for (i = 0; i < 200; i++)
        feed_meter_change(m, 1 + i % 5, true);
    reaches(&f, m->revision);
    assert_int_equal(f.p.resets, 1);
    assert_int_equal(atomic_load(&m->snapshots), 1);
    following_free(&f);
    feed_meter_close(m);
    feed_meter_free(m);
}

static void the_state_is_read_and_then_followed(void **state)
{
    (void)state;
    snapshot_then_changes("inproc");
    snapshot_then_changes("ipc");
}

static void what_changes_during_the_snapshot_is_not_lost(void **state)
{
    struct feed_meter *m = feed_meter_new("inproc");
    struct following f;
    unsigned i;

    (void)state;
    m->revision = 2000; /* almost 300 pages */
    feed_meter_open(m);
    following_new(&f, m);
    for (i = 0; i < 300; i++) {
        feed_meter_change(m, 1, true);
        usleep(200);
    }
    reaches(&f, 2300);
    following_free(&f);
    feed_meter_close(m);
    feed_meter_free(m);
}

#define SOON_MS 2000 /* before silence makes it ask */

static bool hears(struct following *f)
{
    feed_meter_change(f->meter, 3, true);
    return knows_within(f, SOON_MS);
}

static bool repairs(struct following *f)
{
    unsigned i;

    for (i = 0; i < 50; i++)
        feed_meter_change(f->meter, 2, i % 3 != 0); /* every third batch is lost */
    return knows_within(f, SOON_MS);
}

static void a_gap_is_repaired_by_a_call(void **state)
{
    struct feed_meter *m = feed_meter_new("inproc");
    struct following f;
    unsigned reads, tries = 0;

    (void)state;
    m->revision = 10;
    feed_meter_open(m);
    following_new(&f, m);
    reaches(&f, 10);
    usleep(300000);
    while (!hears(&f))
        assert_true(++tries < SLOW_TRIES);
    reads = atomic_load(&m->reads);
    while (!repairs(&f))
        assert_true(++tries < SLOW_TRIES);
    assert_true(atomic_load(&m->reads) > reads);
    assert_int_equal(f.p.resets, 1); /* repaired, not begun anew */
    feed_meter_publish(m, m->revision - 63, m->revision - 53); /* an old one changes nothing */
    feed_meter_publish(m, m->revision, m->revision);
    usleep(50000);
    reaches(&f, m->revision);
    following_free(&f);
    feed_meter_close(m);
    feed_meter_free(m);
}

static bool asks(struct following *f)
{
    usleep(200000);
    feed_meter_change(f->meter, 5, false); /* nobody hears of it, and no heartbeat either */
    return knows_within(f, 3 * FEED_HEARTBEAT_MS + 1500);
}

static void silence_makes_it_ask(void **state)
{
    struct feed_meter *m = feed_meter_new("inproc");
    struct following f;
    unsigned tries = 0;

    (void)state;
    m->revision = 10;
    feed_meter_open(m);
    following_new(&f, m);
    reaches(&f, 10);
    while (!asks(&f))
        assert_true(++tries < SLOW_TRIES);
    assert_int_equal(f.p.resets, 1);
    following_free(&f);
    feed_meter_close(m);
    feed_meter_free(m);
}

static void a_database_set_back_makes_it_begin_anew(void **state)
{
    struct feed_meter *m = feed_meter_new("inproc");
    struct following f;
    unsigned i;

    (void)state;
    m->revision = 50;
    feed_meter_open(m);
    following_new(&f, m);
    reaches(&f, 50);
    feed_meter_close(m);
    m->revision = 20;
    feed_meter_open(m);
    for (i = 0; i < 400 && feed_follow_revision(f.follow) != 20; i++) {
        feed_meter_publish(m, 20, 20); /* heartbeats */
        usleep(50000);
    }
    reaches(&f, 20);
    assert_int_equal(f.p.resets, 2);
    following_free(&f);
    feed_meter_close(m);
    feed_meter_free(m);
}

static void a_snapshot_that_fails_half_way_forgets_nothing(void **state)
{
    struct feed_meter *m = feed_meter_new("inproc");
    struct following f;

    (void)state;
    m->revision = 50;
    feed_meter_open(m);
    following_new(&f, m);
    reaches(&f, 50);
    atomic_store(&m->fail_later, true);
    pthread_mutex_lock(&m->lock);
    m->revision = 100;
    m->log_from = 90; /* the gap is too large for the log */
    pthread_mutex_unlock(&m->lock);
    usleep(300000);
    feed_meter_publish(m, 99, 100);
    BUS_UNTIL(atomic_load(&m->snapshots) >= 3, WAIT_MS); /* tried again and again */
    assert_int_equal(f.p.resets, 1);
    assert_int_equal(f.p.last, 50);
    atomic_store(&m->fail_later, false);
    reaches(&f, 100);
    assert_int_equal(f.p.resets, 2);
    following_free(&f);
    feed_meter_close(m);
    feed_meter_free(m);
}

/* Returns how long it took to stop who waits for a meterd. */
static uint64_t stop_waiting(struct feed_meter *m)
{
    struct following f;
    uint64_t began;

    following_new(&f, m);
    usleep(100000);
    assert_int_equal(feed_follow_revision(f.follow), 0);
    began = clock_ms();
    following_free(&f);
    return clock_ms() - began;
}

static void it_waits_for_a_meterd_and_can_be_stopped_meanwhile(void **state)
{
    struct feed_meter *m = feed_meter_new("inproc");
    struct following f;
    unsigned tries = 0;

    (void)state;
    while (stop_waiting(m) > slow_ms(500))
        assert_true(++tries < SLOW_TRIES);
    following_new(&f, m);
    usleep(200000);
    m->revision = 5;
    feed_meter_open(m);
    reaches(&f, 5);
    following_free(&f);
    feed_meter_close(m);
    feed_meter_free(m);
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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
