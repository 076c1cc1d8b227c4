/* The feeds with a BUS_SECRET: somebody between meterd and who follows it makes nothing true by what he recorded,
 * changed or invented. */
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
#include <nng/nng.h>
#include <nng/protocol/pubsub0/pub.h>
#include <nng/protocol/pubsub0/sub.h>

#include "services/bus/feed.h"
#include "services/clock.h"
#include "services/ids.h"
#include "tests/lib/bus_peer.h"
#include "tests/unit/feed_meter.h"

#define SECRET "0123456789abcdef0123456789abcdef"
#define OTHER "fedcba9876543210fedcba9876543210"
#define WAIT_MS 10000
#define SETTLE_US 300000 /* what was published has arrived, or never will */
#define RECORDED_MAX 256

static atomic_uint refused[FRAME_REFUSALS];

static void on_refused(void *ctx, const char *peer, enum frame_refusal why, bool tell)
{
    (void)ctx;
    (void)peer;
    (void)tell;
    atomic_fetch_add(&refused[why], 1);
}

static struct trust *admit(const char *secret)
{
    struct trust_options options = {.secret = secret, .boot = id_number(), .refused = on_refused};
    struct trust *a = NULL;

    assert_int_equal(trust_new(&options, &a, NULL), ST_OK);
    return a;
}

/* ---- somebody in between: he publishes what meterd does, and keeps it
 * ------------------------------------------------ */

struct middle {
    char url[FEED_METER_URL];
    nng_socket from, to;
    pthread_t thread;
    atomic_bool held; /* passes nothing on */
    nng_msg *recorded[RECORDED_MAX];
    atomic_uint n;
};

static void publish(struct middle *m, const nng_msg *msg)
{
    nng_msg *copy = NULL;

    assert_int_equal(nng_msg_dup(&copy, msg), 0);
    if (nng_sendmsg(m->to, copy, 0) != 0)
        nng_msg_free(copy);
}

static void *listen_in(void *arg)
{
    struct middle *m = arg;
    nng_msg *msg;

    while (nng_recvmsg(m->from, &msg, 0) == 0) {
        if (!atomic_load(&m->held))
            publish(m, msg);
        if (atomic_load(&m->n) < RECORDED_MAX) {
            m->recorded[atomic_load(&m->n)] = msg;
            atomic_fetch_add(&m->n, 1);
        } else {
            nng_msg_free(msg);
        }
    }
    return NULL;
}

static void middle_init(struct middle *m, const char *meter)
{
    memset(m, 0, sizeof(*m));
    snprintf(m->url, sizeof(m->url), "ipc:///tmp/test_feed_secret.%016llx", (unsigned long long)id_number());
    assert_int_equal(nng_sub0_open(&m->from), 0);
    assert_int_equal(nng_sub0_socket_subscribe(m->from, "", 0), 0);
    nng_socket_set_ms(m->from, NNG_OPT_RECONNMINT, 20);
    assert_int_equal(nng_pub0_open(&m->to), 0);
    assert_int_equal(nng_dial(m->from, meter, NULL, 0), 0);
    assert_int_equal(nng_listen(m->to, m->url, NULL, 0), 0);
    assert_int_equal(pthread_create(&m->thread, NULL, listen_in, m), 0);
}

static void middle_fini(struct middle *m)
{
    unsigned i;

    nng_close(m->from);
    nng_close(m->to);
    pthread_join(m->thread, NULL);
    for (i = 0; i < atomic_load(&m->n); i++)
        nng_msg_free(m->recorded[i]);
}

/* ---- who follows
 * ----------------------------------------------------------------------------------------------------- */

struct seen {
    atomic_uint changes;
    _Atomic uint64_t last;
};

static void on_change(void *ctx, const struct state_change *c)
{
    struct seen *s = ctx;

    atomic_fetch_add(&s->changes, 1);
    atomic_store(&s->last, c->revision);
}

static const struct feed_follow_events events = {.change = on_change};

struct world {
    struct trust *at_meter, *at_follower;
    struct feed_meter *meter;
    struct middle middle;
    struct xchg_client *client;
    struct feed_follow *follow;
    struct seen seen;
};

static void follow(struct world *w)
{
    struct feed_follow_options options = {
        .feed_url = w->middle.url, .meterd = w->client, .trust = w->at_follower, .events = &events, .ctx = &w->seen};

    assert_int_equal(feed_follow_new(&options, &w->follow, NULL), ST_OK);
    BUS_UNTIL(feed_follow_revision(w->follow) == w->meter->revision, WAIT_MS);
    assert_int_equal(feed_follow_revision(w->follow), w->meter->revision);
    usleep(SETTLE_US); /* the subscription is there */
}

static void world_init(struct world *w, const char *secret)
{
    unsigned i;

    memset(w, 0, sizeof(*w));
    for (i = 0; i < FRAME_REFUSALS; i++)
        atomic_store(&refused[i], 0);
    w->at_meter = admit(secret);
    w->at_follower = admit(secret);
    w->meter = feed_meter_new("ipc");
    w->meter->trust = w->at_meter;
    w->meter->revision = 100;
    w->meter->log_from = 1; /* a reader that knows anything is told what it misses */
    feed_meter_open(w->meter);
    middle_init(&w->middle, w->meter->feed_url);
    w->client = bus_client_trusting(w->meter->url, w->at_follower);
    follow(w);
}

static void world_fini(struct world *w)
{
    feed_follow_free(w->follow);
    xchg_client_free(w->client);
    middle_fini(&w->middle);
    feed_meter_close(w->meter);
    feed_meter_free(w->meter);
    trust_free(w->at_meter);
    trust_free(w->at_follower);
}

static bool readable(const struct middle *m)
{
    bool seen = false;
    unsigned i;

    for (i = 0; i < atomic_load(&m->n); i++) /* a message in the clear begins with a small map */
        seen |= nng_msg_len(m->recorded[i]) > 0 && (*(unsigned char *)nng_msg_body(m->recorded[i]) & 0xf0) == 0x80;
    return seen;
}

static void changes_come_by_the_feed(void **state)
{
    struct world w;
    unsigned i, reads;

    (void)state;
    world_init(&w, SECRET);
    reads = atomic_load(&w.meter->reads);
    for (i = 0; i < 10; i++)
        feed_meter_change(w.meter, 1, true);
    BUS_UNTIL(feed_follow_revision(w.follow) == 110, WAIT_MS);
    assert_int_equal(feed_follow_revision(w.follow), 110);
    assert_int_equal(atomic_load(&w.meter->reads), reads); /* and not because it asked */
    assert_false(readable(&w.middle));
    world_fini(&w);
}

/* meterd's database is restored from a backup: its revisions begin again at 100, and what was published before must not
 * be taken for what comes now. */
static void what_was_recorded_before_a_restart_is_not_taken(void **state)
{
    const char *secrets[] = {NULL, SECRET}; /* without one it is: so the test sees something */
    unsigned i, k;

    (void)state;
    for (k = 0; k < 2; k++) {
        struct trust *before;
        struct world w;

        world_init(&w, secrets[k]);
        for (i = 0; i < 10; i++)
            feed_meter_change(w.meter, 1, true);
        BUS_UNTIL(atomic_load(&w.middle.n) == 10, WAIT_MS);
        assert_int_equal(atomic_load(&w.middle.n), 10);
        assert_int_equal(readable(&w.middle), k == 0);
        feed_follow_free(w.follow);
        feed_meter_close(w.meter);
        before = w.at_meter;
        w.at_meter = admit(secrets[k]);
        w.meter->trust = w.at_meter;
        w.meter->revision = 100;
        feed_meter_open(w.meter);
        xchg_client_free(w.client);
        w.client = bus_client_trusting(w.meter->url, w.at_follower);
        follow(&w);
        atomic_store(&w.seen.changes, 0);
        for (i = 0; i < 10; i++)
            publish(&w.middle, w.middle.recorded[i]);
        usleep(SETTLE_US);
        assert_int_equal(atomic_load(&w.seen.changes), k == 0 ? 10 : 0);
        assert_int_equal(feed_follow_revision(w.follow), k == 0 ? 110 : 100);
        trust_free(before);
        world_fini(&w);
    }
}

/* Of the same meterd: once each, and in their order. A heartbeat that is repeated does not hide that meterd is gone. */
static void what_was_taken_already_is_not_taken_again(void **state)
{
    const char *secrets[] = {NULL, SECRET};
    unsigned i, k;

    (void)state;
    for (k = 0; k < 2; k++) {
        unsigned reads;
        struct world w;

        world_init(&w, secrets[k]);
        feed_meter_change(w.meter, 1, true);
        BUS_UNTIL(feed_follow_revision(w.follow) == 101 && atomic_load(&w.middle.n) == 1, WAIT_MS);
        assert_int_equal(atomic_load(&w.middle.n), 1);
        reads = atomic_load(&w.meter->reads);
        for (i = 0; i < 80; i++) { /* longer than meterd may be silent before it is asked */
            publish(&w.middle, w.middle.recorded[0]);
            usleep(50000);
        }
        assert_int_equal(atomic_load(&w.meter->reads) > reads, k == 1);
        world_fini(&w);
    }
}

static void what_was_changed_or_made_up_is_not_taken(void **state)
{
    struct world w;
    nng_msg *msg;
    unsigned i;

    (void)state;
    world_init(&w, SECRET);
    atomic_store(&w.middle.held, true);
    feed_meter_change(w.meter, 1, true);
    BUS_UNTIL(atomic_load(&w.middle.n) == 1, WAIT_MS);
    for (i = 0; i < nng_msg_len(w.middle.recorded[0]); i++) {
        assert_int_equal(nng_msg_dup(&msg, w.middle.recorded[0]), 0);
        ((unsigned char *)nng_msg_body(msg))[i] ^= 1;
        publish(&w.middle, msg);
        nng_msg_free(msg);
    }
    usleep(SETTLE_US);
    assert_int_equal(feed_follow_revision(w.follow), 100);
    assert_true(atomic_load(&refused[FRAME_REFUSED_SECRET]) > 0);
    publish(&w.middle, w.middle.recorded[0]); /* as it was: it is only late */
    BUS_UNTIL(feed_follow_revision(w.follow) == 101, WAIT_MS);
    assert_int_equal(feed_follow_revision(w.follow), 101);
    world_fini(&w);
}

/* ---- usage
 * ----------------------------------------------------------------------------------------------------------- */

static atomic_uint heard;

static void on_message(void *ctx, struct slice bytes)
{
    (void)ctx;
    assert_int_equal(bytes.n, 5);
    assert_memory_equal(bytes.p, "event", 5);
    atomic_fetch_add(&heard, 1);
}

/* So many of three messages arrive, of one who publishes `topic` with `secret`. */
static void publishes(struct feed_at at, struct trust *a, unsigned arrive, enum frame_refusal why)
{
    struct feed_pub *p = NULL;
    unsigned i;

    at.listen = false;
    at.trust = a;
    atomic_store(&heard, 0);
    for (i = 0; i < FRAME_REFUSALS; i++)
        atomic_store(&refused[i], 0);
    assert_int_equal(feed_pub_new(&at, &p, NULL), ST_OK);
    usleep(SETTLE_US);
    for (i = 0; i < 3; i++)
        assert_int_equal(feed_publish(p, slice_of("event")), ST_OK);
    BUS_UNTIL(atomic_load(&heard) + atomic_load(&refused[why]) == 3, WAIT_MS);
    assert_int_equal(atomic_load(&heard), arrive);
    assert_int_equal(atomic_load(&refused[why]), 3 - arrive);
    feed_pub_free(p);
    trust_free(a);
}

static void only_who_has_the_secret_publishes(void **state)
{
    struct feed_at at = {.listen = true, .topic = CIPHER_USAGE};
    struct trust *ours = admit(SECRET), *none = admit(NULL);
    struct feed_sub *sub = NULL;
    char url[FEED_METER_URL];

    (void)state;
    snprintf(url, sizeof(url), "ipc:///tmp/test_feed_secret.u.%016llx", (unsigned long long)id_number());
    at.url = url;
    at.trust = ours;
    assert_int_equal(feed_sub_new(&at, on_message, NULL, &sub, NULL), ST_OK);
    publishes(at, admit(SECRET), 3, FRAME_REFUSED_SECRET);
    publishes(at, admit(SECRET "," OTHER), 3, FRAME_REFUSED_SECRET);
    publishes(at, admit(OTHER), 0, FRAME_REFUSED_SECRET);
    publishes(at, admit(NULL), 0, FRAME_REFUSED_PLAIN);
    at.topic = CIPHER_STATE; /* what is sealed for one feed is of no use on the other */
    publishes(at, admit(SECRET), 0, FRAME_REFUSED_SECRET);
    feed_sub_free(sub);
    at.topic = CIPHER_USAGE;
    at.trust = none;
    assert_int_equal(feed_sub_new(&at, on_message, NULL, &sub, NULL), ST_OK);
    publishes(at, admit(NULL), 3, FRAME_REFUSED_SEALED);
    publishes(at, admit(SECRET), 0, FRAME_REFUSED_SEALED);
    feed_sub_free(sub);
    trust_free(ours);
    trust_free(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_come_by_the_feed),
        cmocka_unit_test(what_was_recorded_before_a_restart_is_not_taken),
        cmocka_unit_test(what_was_taken_already_is_not_taken_again),
        cmocka_unit_test(what_was_changed_or_made_up_is_not_taken),
        cmocka_unit_test(only_who_has_the_secret_publishes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
