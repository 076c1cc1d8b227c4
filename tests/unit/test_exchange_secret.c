/* exchange with a BUS_SECRET: somebody on the network who reads, records, repeats, reflects and changes what goes by
 * has nothing executed; peers with another secret, none, or another version are told why they are turned away. */
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
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>

#include "services/bus/frame.h"
#include "services/clock.h"
#include "services/ids.h"
#include "tests/lib/bus_peer.h"

#define URL_SIZE 96
#define SECRET "0123456789abcdef0123456789abcdef"
#define OTHER "fedcba9876543210fedcba9876543210"
#define NONE ((struct slice){NULL, 0})
#define TEXT "a prompt that nobody else may read"
#define SETTLE_US 300000 /* what was sent has arrived, or never will */
#define WAIT_MS 10000

static void make_url(char url[URL_SIZE], const char *what)
{
    snprintf(url, URL_SIZE, "ipc:///tmp/test_exchange_secret.%s.%016llx", what, (unsigned long long)id_number());
}

/* What one side heard of the other. */
struct heard {
    struct trust *trust;
    atomic_uint times[FRAME_REFUSALS], told[FRAME_REFUSALS];
};

static void on_refused(void *ctx, const char *peer, enum frame_refusal why, bool tell)
{
    struct heard *h = ctx;

    assert_non_null(peer);
    assert_true(strlen(peer) > 0);
    atomic_fetch_add(&h->times[why], 1);
    if (tell)
        atomic_fetch_add(&h->told[why], 1);
}

static void heard_init(struct heard *h, const char *secret)
{
    struct trust_options options = {.secret = secret, .boot = id_number(), .refused = on_refused, .ctx = h};

    memset(h, 0, sizeof(*h));
    assert_int_equal(trust_new(&options, &h->trust, NULL), ST_OK);
}

/* ---- somebody in between
 * ------------------------------------------------------------------------------------------------ */

#define RECORDED_MAX 512

enum tamper { FAITHFUL, REPEAT, REFLECT, CHANGE };

/* A server to the client, a client to the server: passes on what comes, keeps a copy, and does what it is told to. */
struct middle {
    nng_socket front, back;
    pthread_t threads[2];
    atomic_int tamper;
    pthread_mutex_t lock;
    nng_msg *recorded[RECORDED_MAX]; /* requests */
    unsigned n;
};

static void keep(struct middle *m, nng_msg *msg)
{
    nng_msg *copy = NULL;

    pthread_mutex_lock(&m->lock);
    if (m->n < RECORDED_MAX && nng_msg_dup(&copy, msg) == 0)
        m->recorded[m->n++] = copy;
    pthread_mutex_unlock(&m->lock);
}

static void pass(nng_socket to, nng_msg *msg)
{
    if (nng_sendmsg(to, msg, 0) != 0)
        nng_msg_free(msg);
}

static void *requests(void *arg)
{
    struct middle *m = arg;
    nng_msg *msg, *again;

    while (nng_recvmsg(m->front, &msg, 0) == 0) {
        enum tamper tamper = (enum tamper)atomic_load(&m->tamper);

        keep(m, msg);
        again = NULL;
        if (tamper == REPEAT)
            (void)nng_msg_dup(&again, msg);
        if (tamper == CHANGE)
            ((unsigned char *)nng_msg_body(msg))[nng_msg_len(msg) - 20] ^= 1;
        pass(tamper == REFLECT ? m->front : m->back, msg);
        if (again)
            pass(m->back, again);
    }
    return NULL;
}

static void *answers(void *arg)
{
    struct middle *m = arg;
    nng_msg *msg;

    while (nng_recvmsg(m->back, &msg, 0) == 0)
        pass(m->front, msg);
    return NULL;
}

static void middle_init(struct middle *m, const char *front, const char *back)
{
    memset(m, 0, sizeof(*m));
    pthread_mutex_init(&m->lock, NULL);
    assert_int_equal(nng_rep0_open_raw(&m->front), 0);
    assert_int_equal(nng_req0_open_raw(&m->back), 0);
    assert_int_equal(nng_listen(m->front, front, NULL, 0), 0);
    assert_int_equal(nng_dial(m->back, back, NULL, 0), 0);
    assert_int_equal(pthread_create(&m->threads[0], NULL, requests, m), 0);
    assert_int_equal(pthread_create(&m->threads[1], NULL, answers, m), 0);
}

static void middle_fini(struct middle *m)
{
    unsigned i;

    nng_close(m->front);
    nng_close(m->back);
    for (i = 0; i < 2; i++)
        pthread_join(m->threads[i], NULL);
    for (i = 0; i < m->n; i++)
        nng_msg_free(m->recorded[i]);
    pthread_mutex_destroy(&m->lock);
}

static bool was_readable(struct middle *m)
{
    bool seen = false;
    unsigned i;

    pthread_mutex_lock(&m->lock);
    for (i = 0; i < m->n; i++)
        seen |= memmem(nng_msg_body(m->recorded[i]), nng_msg_len(m->recorded[i]), TEXT, strlen(TEXT)) != NULL;
    pthread_mutex_unlock(&m->lock);
    return seen;
}

/* Everything that was recorded, from the hello on, to a server on a connection of its own. */
static void replay(struct middle *m, const char *url)
{
    nng_socket s;
    unsigned i;

    assert_int_equal(nng_req0_open_raw(&s), 0);
    assert_int_equal(nng_dial(s, url, NULL, 0), 0);
    for (i = 0; i < m->n; i++) {
        nng_msg *msg = NULL;

        assert_int_equal(nng_msg_dup(&msg, m->recorded[i]), 0);
        nng_socket_set_ms(s, NNG_OPT_SENDTIMEO, 200);
        pass(s, msg); /* the server may have closed it already */
        usleep(2000); /* in their order */
    }
    usleep(SETTLE_US);
    nng_close(s);
}

struct line { /* a client, somebody in between, a server */
    char front[URL_SIZE], back[URL_SIZE];
    struct heard at_client, at_server;
    struct bus_peer *server;
    struct middle middle;
    struct xchg_client *client;
};

static void line_init(struct line *l, const char *secret)
{
    make_url(l->front, "front");
    make_url(l->back, "back");
    heard_init(&l->at_client, secret);
    heard_init(&l->at_server, secret);
    l->server = bus_peer_trusting(l->back, l->at_server.trust);
    assert_non_null(l->server);
    middle_init(&l->middle, l->front, l->back);
    l->client = bus_client_trusting(l->front, l->at_client.trust);
    assert_true(bus_ready(l->client, 1, WAIT_MS));
}

static void line_fini(struct line *l)
{
    xchg_client_free(l->client);
    middle_fini(&l->middle);
    bus_peer_free(l->server);
    trust_free(l->at_client.trust);
    trust_free(l->at_server.trust);
}

static void what_goes_by_is_of_no_use_to_who_records_it(void **state)
{
    const char *secrets[] = {NULL, SECRET}; /* without one it is: so the test sees something */
    struct line l;
    unsigned i, k;

    (void)state;
    for (i = 0; i < 2; i++) {
        struct bus_wait w;
        unsigned before;

        line_init(&l, secrets[i]);
        for (k = 0; k < 20; k++) {
            assert_int_equal(bus_call(l.client, PEER_ECHO, slice_of(TEXT), WAIT_MS, &w), ST_OK);
            assert_memory_equal(w.payload, TEXT, strlen(TEXT));
        }
        assert_int_equal(atomic_load(&l.server->handled), 20);
        assert_int_equal(was_readable(&l.middle), i == 0);
        before = atomic_load(&l.server->handled);
        replay(&l.middle, l.back);
        assert_int_equal(atomic_load(&l.server->handled) > before, i == 0);
        assert_int_equal(bus_call(l.client, PEER_ECHO, NONE, WAIT_MS, NULL), ST_OK); /* nobody else was disturbed */
        /* a server that has restarted knows the secret and nothing else of what it was told */
        bus_peer_free(l.server);
        l.server = bus_peer_trusting(l.back, l.at_server.trust);
        assert_non_null(l.server);
        before = atomic_load(&l.server->handled);
        replay(&l.middle, l.back);
        assert_int_equal(atomic_load(&l.server->handled) > before, i == 0);
        line_fini(&l);
    }
}

static void a_message_that_comes_twice_runs_once(void **state)
{
    struct line l;
    enum status st;

    (void)state;
    line_init(&l, SECRET);
    assert_int_equal(bus_call(l.client, PEER_ECHO, NONE, WAIT_MS, NULL), ST_OK);
    atomic_store(&l.middle.tamper, REPEAT);
    st = bus_call(l.client, PEER_ECHO, NONE, 2000, NULL);
    assert_true(st == ST_OK || st == ST_PEER_LOST || st == ST_TIMEOUT); /* as a connection that is cut */
    usleep(SETTLE_US);
    assert_int_equal(atomic_load(&l.server->handled), 2);
    line_fini(&l);
}

static void what_is_changed_or_reflected_is_not_taken(void **state)
{
    static const enum tamper how[] = {CHANGE, REFLECT};
    struct xchg_stats stats;
    struct line l;
    unsigned i;

    (void)state;
    for (i = 0; i < 2; i++) {
        line_init(&l, SECRET);
        assert_int_equal(bus_call(l.client, PEER_ECHO, NONE, WAIT_MS, NULL), ST_OK);
        atomic_store(&l.middle.tamper, how[i]);
        assert_int_not_equal(bus_call(l.client, PEER_ECHO, slice_of(TEXT), 1500, NULL), ST_OK);
        assert_int_equal(atomic_load(&l.server->handled), 1);
        if (how[i] == CHANGE)
            xchg_server_stats(l.server->server, &stats);
        else
            xchg_client_stats(l.client, &stats);
        assert_true(stats.malformed > 0);
        line_fini(&l);
    }
}

/* ---- who is turned away
 * -------------------------------------------------------------------------------------------------- */

#define QUICK_MS (XCHG_CONNECT_WAIT_MS - 500u)

static void meet(const char *client, const char *server, enum frame_refusal client_hears,
                 enum frame_refusal server_hears)
{
    struct heard c, s;
    struct xchg_client *x;
    struct bus_peer *p;
    char url[URL_SIZE];
    uint64_t began;

    make_url(url, "meet");
    heard_init(&c, client);
    heard_init(&s, server);
    p = bus_peer_trusting(url, s.trust);
    x = bus_client_trusting(url, c.trust);
    BUS_UNTIL(atomic_load(&c.times[client_hears]) > 2 && atomic_load(&s.times[server_hears]) > 2, WAIT_MS);
    assert_true(atomic_load(&c.times[client_hears]) > 2); /* it goes on trying … */
    assert_int_equal(atomic_load(&c.told[client_hears]), 1); /* … and says so once */
    assert_true(atomic_load(&s.times[server_hears]) > 2);
    assert_int_equal(atomic_load(&s.told[server_hears]), 1);
    assert_int_equal(xchg_client_refused(x), client_hears);
    began = clock_ms();
    assert_int_equal(bus_call(x, PEER_ECHO, slice_of(TEXT), 60000, NULL), ST_UNAVAILABLE);
    assert_true(clock_ms() - began < slow_ms(QUICK_MS));
    assert_int_equal(atomic_load(&p->handled), 0);
    assert_int_equal(xchg_client_ready(x), 0);
    bus_peer_free(p);
    p = bus_peer_trusting(url, c.trust); /* comes back with what the client has */
    assert_true(bus_ready(x, 1, WAIT_MS));
    assert_int_equal(xchg_client_refused(x), FRAME_ACCEPTED);
    assert_int_equal(bus_call(x, PEER_ECHO, NONE, WAIT_MS, NULL), ST_OK);
    xchg_client_free(x);
    bus_peer_free(p);
    trust_free(c.trust);
    trust_free(s.trust);
}

static void peers_with_another_secret_hear_why(void **state)
{
    (void)state;
    meet(SECRET, OTHER, FRAME_REFUSED_SECRET, FRAME_REFUSED_SECRET);
    meet(NULL, SECRET, FRAME_REFUSED_SEALED, FRAME_REFUSED_PLAIN);
    meet(SECRET, NULL, FRAME_REFUSED_PLAIN, FRAME_REFUSED_SEALED);
}

/* Says `bytes` on a new connection. Returns what is answered, within a second. */
static enum frame_refusal say(const char *url, const unsigned char *bytes, size_t n)
{
    enum frame_refusal why = FRAME_ACCEPTED;
    nng_msg *msg = NULL;
    nng_socket s;

    assert_int_equal(nng_req0_open(&s), 0);
    nng_socket_set_ms(s, NNG_OPT_RECVTIMEO, 1000);
    assert_int_equal(nng_dial(s, url, NULL, 0), 0);
    assert_int_equal(nng_msg_alloc(&msg, 0), 0);
    assert_int_equal(nng_msg_append(msg, bytes, n), 0);
    assert_int_equal(nng_sendmsg(s, msg, 0), 0);
    if (nng_recvmsg(s, &msg, 0) == 0) {
        why = frame_refusal_read((struct slice){nng_msg_body(msg), nng_msg_len(msg)});
        nng_msg_free(msg);
    }
    nng_close(s);
    return why;
}

static void another_version_hears_why(void **state)
{
    const char *secrets[] = {NULL, SECRET};
    struct frame_batch head = {.flags = FRAME_HELLO, .instance = 1, .mark = 2};
    unsigned char bytes[FRAME_BATCH_SIZE];
    struct bus_peer *p;
    char url[URL_SIZE];
    struct heard s;
    unsigned i, k;

    (void)state;
    for (i = 0; i < 2; i++) {
        make_url(url, "version");
        heard_init(&s, secrets[i]);
        p = bus_peer_trusting(url, s.trust);
        frame_batch_write(bytes, &head);
        bytes[3]++;
        for (k = 0; k < 3; k++)
            assert_int_equal(say(url, bytes, sizeof(bytes)), FRAME_REFUSED_VERSION);
        assert_int_equal(atomic_load(&s.times[FRAME_REFUSED_VERSION]), 3);
        assert_int_equal(atomic_load(&s.told[FRAME_REFUSED_VERSION]), 1);
        bus_peer_free(p);
        trust_free(s.trust);
    }
}

static void *close_what_greets(void *arg)
{
    nng_socket *s = arg;
    nng_msg *msg;

    while (nng_recvmsg(*s, &msg, 0) == 0) {
        (void)nng_pipe_close(nng_msg_get_pipe(msg));
        nng_msg_free(msg);
    }
    return NULL;
}

static void *answer_without_a_secret(void *arg)
{
    struct frame_batch head = {.sealed = true, .instance = 5, .mark = 6};
    nng_socket *s = arg;
    nng_msg *msg;

    while (nng_recvmsg(*s, &msg, 0) == 0) { /* the client's own key is a point that fits */
        frame_batch_write(nng_msg_body(msg), &head);
        pass(*s, msg);
    }
    return NULL;
}

/* A client with a secret meets somebody on the server's address. */
static void meet_false(void *(*answer_hellos)(void *), enum frame_refusal why)
{
    char url[URL_SIZE];
    struct xchg_client *x;
    pthread_t thread;
    struct heard c;
    nng_socket s;

    make_url(url, "false");
    heard_init(&c, SECRET);
    assert_int_equal(nng_rep0_open_raw(&s), 0);
    assert_int_equal(nng_listen(s, url, NULL, 0), 0);
    assert_int_equal(pthread_create(&thread, NULL, answer_hellos, &s), 0);
    x = bus_client_trusting(url, c.trust);
    BUS_UNTIL(atomic_load(&c.times[why]) > 2, WAIT_MS);
    assert_true(atomic_load(&c.times[why]) > 2);
    assert_int_equal(atomic_load(&c.told[why]), 1);
    assert_int_equal(bus_call(x, PEER_ECHO, slice_of(TEXT), 60000, NULL), ST_UNAVAILABLE);
    assert_int_equal(xchg_client_ready(x), 0);
    xchg_client_free(x);
    nng_close(s);
    pthread_join(thread, NULL);
    trust_free(c.trust);
}

/* A release from before there were refusals only closes the connection. */
static void a_server_that_does_not_understand_is_told_of(void **state)
{
    (void)state;
    meet_false(close_what_greets, FRAME_REFUSED_VERSION);
}

static void who_answers_without_the_secret_gets_no_call(void **state)
{
    (void)state;
    meet_false(answer_without_a_secret, FRAME_REFUSED_SECRET);
}

/* A batch with a call in it, for every way to begin without the secret. */
static void a_raw_client_has_nothing_executed(void **state)
{
    static const struct frame_batch heads[] = {
        {.flags = 0, .instance = 1, .mark = 2},
        {.flags = FRAME_HELLO, .instance = 1, .mark = 2},
        {.sealed = true, .flags = 0, .instance = 1, .mark = 2},
        {.sealed = true, .flags = FRAME_HELLO, .instance = 1, .mark = 2},
    };
    struct frame open = {.kind = FRAME_OPEN, .type = PEER_ECHO, .a = 1000, .call = 1};
    unsigned char bytes[FRAME_BATCH_SIZE + FRAME_HEAD_SIZE + CIPHER_HELLO];
    struct bus_peer *p;
    char url[URL_SIZE];
    struct heard s;
    size_t i, extra;

    (void)state;
    make_url(url, "raw");
    heard_init(&s, SECRET);
    p = bus_peer_trusting(url, s.trust);
    for (i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        memset(bytes, 0, sizeof(bytes));
        frame_batch_write(bytes, &heads[i]);
        frame_head_write(bytes + FRAME_BATCH_SIZE, &open);
        for (extra = 0; extra <= CIPHER_HELLO; extra += CIPHER_HELLO / 4)
            (void)say(url, bytes, FRAME_BATCH_SIZE + FRAME_HEAD_SIZE + extra);
        (void)say(url, bytes, FRAME_BATCH_SIZE + CIPHER_HELLO);
    }
    assert_int_equal(atomic_load(&p->handled), 0);
    assert_true(atomic_load(&s.times[FRAME_REFUSED_PLAIN]) > 0);
    assert_true(atomic_load(&s.times[FRAME_REFUSED_SECRET]) > 0);
    bus_peer_free(p);
    trust_free(s.trust);
}

/* ---- work under a secret
 * ------------------------------------------------------------------------------------------------- */

static void a_secret_is_changed_without_a_stop(void **state)
{
    static const char *const steps[][2] = {
        {SECRET, SECRET "," OTHER},
        {SECRET "," OTHER, SECRET "," OTHER},
        {OTHER "," SECRET, SECRET "," OTHER},
        {OTHER "," SECRET, OTHER},
        {OTHER, OTHER "," SECRET},
    };
    char url[URL_SIZE];
    unsigned i;

    (void)state;
    for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        struct heard c, s;
        struct xchg_client *x;
        struct bus_peer *p;

        make_url(url, "change");
        heard_init(&c, steps[i][0]);
        heard_init(&s, steps[i][1]);
        p = bus_peer_trusting(url, s.trust);
        x = bus_client_trusting(url, c.trust);
        assert_int_equal(bus_call(x, PEER_ECHO, NONE, WAIT_MS, NULL), ST_OK);
        xchg_client_free(x);
        bus_peer_free(p);
        trust_free(c.trust);
        trust_free(s.trust);
    }
}

#define LARGE (3u * 1024u * 1024u)
#define THREADS 8
#define CALLS 300u

struct load {
    struct xchg_client *client;
    atomic_uint failed, lost;
};

static void *call_much(void *arg)
{
    struct load *l = arg;
    unsigned i;

    for (i = 0; i < CALLS; i++) {
        enum status st = bus_call(l->client, i % 30 ? PEER_ECHO : PEER_SLOW, slice_of(TEXT), 60000, NULL);

        if (st == ST_PEER_LOST)
            atomic_fetch_add(&l->lost, 1);
        else if (st != ST_OK && st != ST_DRAINING && st != ST_UNAVAILABLE)
            atomic_fetch_add(&l->failed, 1);
    }
    return NULL;
}

/* Sizes from nothing to several batches, many calls at once, and a server that restarts under them: what nng gives back
 * unsent is sealed and must be read again, to be called elsewhere. */
static void calls_of_all_sizes_through_restarts(void **state)
{
    char url[URL_SIZE], *large = malloc(LARGE);
    pthread_t threads[THREADS];
    struct load load = {0};
    struct heard both;
    struct bus_peer *p;
    struct bus_wait w;
    unsigned i;

    (void)state;
    make_url(url, "load");
    heard_init(&both, SECRET);
    p = bus_peer_trusting(url, both.trust);
    load.client = bus_client_trusting(url, both.trust);
    assert_non_null(large);
    memset(large, 'x', LARGE);
    assert_int_equal(bus_call(load.client, PEER_ECHO, (struct slice){large, LARGE}, WAIT_MS, &w), ST_OK);
    assert_int_equal(w.n, LARGE);
    for (i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, call_much, &load), 0);
    for (i = 0; i < 3; i++) {
        usleep(100000);
        bus_peer_free(p);
        p = bus_peer_trusting(url, both.trust);
        assert_non_null(p);
    }
    for (i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&load.failed), 0);
    assert_int_equal(bus_call(load.client, PEER_ECHO, NONE, WAIT_MS, NULL), ST_OK);
    assert_int_equal(atomic_load(&both.times[FRAME_REFUSED_SECRET]), 0);
    xchg_client_free(load.client);
    bus_peer_free(p);
    trust_free(both.trust);
    free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_by_is_of_no_use_to_who_records_it),
        cmocka_unit_test(a_message_that_comes_twice_runs_once),
        cmocka_unit_test(what_is_changed_or_reflected_is_not_taken),
        cmocka_unit_test(peers_with_another_secret_hear_why),
        cmocka_unit_test(another_version_hears_why),
        cmocka_unit_test(a_server_that_does_not_understand_is_told_of),
        cmocka_unit_test(who_answers_without_the_secret_gets_no_call),
        cmocka_unit_test(a_raw_client_has_nothing_executed),
        cmocka_unit_test(a_secret_is_changed_without_a_stop),
        cmocka_unit_test(calls_of_all_sizes_through_restarts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
