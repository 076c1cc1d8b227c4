/* What a providersvc owes is told to every authsvc that it reaches, and again as long as it is owed. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "providersvc/asserter.h"
#include "services/clock.h"
#include "services/ids.h"
#include "services/svc.h"
#include "tests/lib/slow.h"

#define WAIT_MS 10000u
#define MANY 700
#define HOLD 1000

/* ---- an authsvc that listens --------------------------------------------------------------------------------------
 */

struct heard {
    pthread_mutex_t lock;
    unsigned messages, lasts, holds, running;
    int64_t nano;
    uint64_t lease_ms;
    unsigned times[2 * MANY]; /* by call number */
    char from[80];
    bool last_was_last, first_was_begin;
};
static struct heard heard = {.lock = PTHREAD_MUTEX_INITIALIZER};

static enum status asserted(struct svc_call *call, const void *in, void *out)
{
    const struct holds_assert_req *req = in;
    const struct hold_state *h = req->holds.items;
    size_t i;

    (void)call;
    (void)out;
    pthread_mutex_lock(&heard.lock);
    if (heard.messages++ == 0)
        heard.first_was_begin = req->holds.n == 0 && !req->last;
    heard.lasts += req->last;
    heard.last_was_last = req->last;
    heard.holds += (unsigned)req->holds.n;
    slice_copy(req->instance, heard.from, sizeof(heard.from));
    for (i = 0; i < req->holds.n; i++) {
        unsigned number = 0;
        char id[32];

        assert_true(slice_copy(h[i].request_id, id, sizeof(id)));
        assert_int_equal(sscanf(id, "req_%u", &number), 1);
        assert_in_range(number, 0, 2 * MANY - 1);
        heard.times[number]++;
        heard.running += h[i].running;
        heard.nano += h[i].amount_nano;
        heard.lease_ms = h[i].lease_ms;
        assert_true(slice_is(h[i].user_id, "usr_1") && slice_is(h[i].key_id, "key_1") && h[i].key_digest.n == 0);
    }
    pthread_mutex_unlock(&heard.lock);
    return ST_OK;
}

static const struct svc_route routes[] = {{&holds_assert_req_desc, &empty_desc, asserted}};
static const struct svc_def fake_auth = {
    .name = "fake", .settings = SET_G, .self = SVC_AUTHSVC, .routes = routes, .n_routes = 1};

static struct heard hear(void)
{
    struct heard copy;

    pthread_mutex_lock(&heard.lock);
    memcpy(&copy, &heard, sizeof(copy));
    pthread_mutex_unlock(&heard.lock);
    return copy;
}

static void forget(void)
{
    pthread_mutex_lock(&heard.lock);
    memset((char *)&heard + sizeof(heard.lock), 0, sizeof(heard) - sizeof(heard.lock));
    pthread_mutex_unlock(&heard.lock);
}

/* ---- the world -----------------------------------------------------------------------------------------------------
 */

struct world {
    struct settings settings;
    struct svc *auth;
    struct outbox *outbox;
    struct outbox_batch batch;
    struct outbox_mark *marks[2 * MANY];
    struct xchg_client *client;
    struct asserter asserter;
    struct log log;
    char spool[64];
};

static char *no_env(const char *name)
{
    (void)name;
    return NULL;
}

static bool joined(void *ctx, struct xchg_join *to)
{
    struct world *w = ctx;

    return asserter_joined(&w->asserter, to);
}

static int start(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    struct outbox_options options = {.spool_dir = w->spool, .max_bytes = 64u << 20, .segment_bytes = 1u << 16};
    struct xchg_client_options client = {
        .url = "inproc://asserter-auth", .instance = id_number(), .joined = joined, .ctx = w, .idle = true};

    assert_non_null(w);
    *state = w;
    forget();
    snprintf(w->spool, sizeof(w->spool), "/tmp/router-asserter-XXXXXX");
    assert_non_null(mkdtemp(w->spool));
    w->log = (struct log){.service = "test", .level = LOG_ERROR, .fd = open("/dev/null", O_WRONLY)};
    options.spool_dir = w->spool;
    options.log = &w->log;
    assert_int_equal(outbox_open(&options, &w->outbox, NULL), ST_OK);
    outbox_batch_init(&w->batch);
    assert_int_equal(settings_load(&w->settings, SET_G, no_env, NULL), ST_OK);
    settings_set(&w->settings.authsvc_url, "inproc://asserter-auth");
    settings_set(&w->settings.log_level, "error");
    assert_int_equal(xchg_client_new(&client, &w->client, NULL), ST_OK);
    w->asserter =
        (struct asserter){.outbox = w->outbox, .authsvc = w->client, .log = &w->log, .again_ms = slow_ms(300)};
    return 0;
}

static void start_auth(struct world *w)
{
    assert_int_equal(svc_start(&fake_auth, &w->settings, &w->auth, NULL), ST_OK);
}

static void begin(struct world *w)
{
    assert_int_equal(asserter_start(&w->asserter, "me", NULL), ST_OK);
    start_auth(w);
    assert_int_equal(xchg_client_start(w->client, NULL), ST_OK);
}

static int stop(void **state)
{
    struct world *w = *state;
    char command[128];

    asserter_stop(&w->asserter);
    xchg_client_free(w->client);
    svc_stop(w->auth);
    outbox_batch_fini(&w->batch);
    outbox_close(w->outbox);
    settings_fini(&w->settings);
    close(w->log.fd);
    snprintf(command, sizeof(command), "rm -rf '%s'", w->spool);
    free(w);
    return system(command);
}

static struct usage_event event_of(char id[32], unsigned n, int64_t hold)
{
    snprintf(id, 32, "req_%u", n);
    return (struct usage_event){.request_id = slice_of(id),
                                .user_id = slice_of("usr_1"),
                                .key_id = slice_of("key_1"),
                                .model = slice_of("m"),
                                .provider = slice_of("p"),
                                .upstream_model = slice_of("m"),
                                .endpoint = slice_of("chat.completions"),
                                .status = slice_of("ok"),
                                .hold_nano = hold,
                                .created_ms = 1};
}

static void write_all(struct world *w)
{
    struct outbox_wrote wrote;

    outbox_write(w->outbox, &w->batch, &wrote);
    assert_int_equal(wrote.started, ST_OK);
    assert_int_equal(wrote.finished, ST_OK);
}

static void call_begins(struct world *w, unsigned n, int64_t hold)
{
    char id[32];
    struct usage_event e = event_of(id, n, hold);

    assert_int_equal(outbox_add_started(&w->batch, &e, &w->marks[n], NULL), ST_OK);
    write_all(w);
}

static void call_ends(struct world *w, unsigned n)
{
    char id[32];
    struct usage_event e = event_of(id, n, HOLD);

    assert_int_equal(outbox_add_finished(&w->batch, &e, w->marks[n], NULL), ST_OK);
    write_all(w);
}

static struct heard hear_lasts(unsigned lasts)
{
    uint64_t end = clock_ms() + WAIT_MS;
    struct heard h = hear();

    while (h.lasts < lasts && clock_ms() < end) {
        usleep(2000);
        h = hear();
    }
    assert_true(h.lasts >= lasts);
    return h;
}

/* ---- tests ---------------------------------------------------------------------------------------------------------
 */

static void everything_owed_is_told_to_who_was_reached(void **state)
{
    struct world *w = *state;
    struct heard h;
    unsigned i;

    w->asserter.again_ms = 60000;
    for (i = 0; i < 6; i++)
        call_begins(w, i, i == 5 ? 0 : HOLD); /* 5 is free of charge */
    call_ends(w, 0);
    call_ends(w, 1);
    call_ends(w, 2);
    outbox_ack(w->outbox, 1);
    begin(w);
    h = hear_lasts(1);
    assert_true(h.first_was_begin); /* authsvc knows at once that more is to come */
    assert_true(h.last_was_last);
    assert_string_equal(h.from, "providersvc:me");
    assert_int_equal(h.holds, 4); /* 3 and 4 run; 1 and 2 are not committed */
    assert_int_equal(h.running, 2);
    assert_int_equal(h.nano, 4 * HOLD);
    assert_int_equal(h.lease_ms, ASSERTER_LEASE_MS);
    assert_int_equal(h.times[0] + h.times[5], 0);
    assert_int_equal(h.times[1] * h.times[2] * h.times[3] * h.times[4], 1);
    svc_stop(w->auth);
    forget();
    call_ends(w, 3);
    outbox_ack(w->outbox, 3);
    start_auth(w);
    h = hear_lasts(1);
    assert_int_equal(h.holds, 2);
    assert_int_equal(h.times[3] * h.times[4], 1);
    assert_int_equal(h.running, 1);
}

/* Until meterd has it in the ledger its credit is held by our word; but it takes no place among those that run. */
static void a_parked_call_is_held_but_does_not_run(void **state)
{
    struct world *w = *state;
    struct usage_event e;
    struct heard h;
    char id[32];

    w->asserter.again_ms = 60000;
    call_begins(w, 0, HOLD);
    e = event_of(id, 0, HOLD);
    e.status = slice_of("running");
    e.parked = true;
    e.lease_ms = LIMIT_MS;
    assert_int_equal(outbox_add_finished(&w->batch, &e, w->marks[0], NULL), ST_OK);
    write_all(w);
    begin(w);
    h = hear_lasts(1);
    assert_int_equal(h.holds, 1);
    assert_int_equal(h.running, 0);
    assert_int_equal(h.times[0], 1);
    assert_int_equal(h.lease_ms, ASSERTER_LEASE_MS);
    svc_stop(w->auth);
    forget();
    outbox_ack(w->outbox, 1);
    start_auth(w);
    assert_int_equal(hear_lasts(1).holds, 0); /* the ledger's from now on */
}

static void many_take_several_messages(void **state)
{
    struct world *w = *state;
    struct heard h;
    unsigned i;

    w->asserter.again_ms = 60000;
    for (i = 0; i < 2 * MANY; i++) /* over several segments */
        call_begins(w, i, HOLD);
    for (i = 0; i < 2 * MANY; i += 2)
        call_ends(w, i);
    begin(w);
    h = hear_lasts(1);
    assert_int_equal(h.lasts, 1);
    assert_true(h.last_was_last);
    assert_true(h.messages >= 6);
    assert_int_equal(h.holds, 2 * MANY);
    assert_int_equal(h.running, MANY);
    for (i = 0; i < 2 * MANY; i++)
        assert_int_equal(h.times[i], 1);
}

static void what_stays_owed_is_told_again(void **state)
{
    struct world *w = *state;
    unsigned tries = 0;
    struct heard h;

    call_begins(w, 0, HOLD);
    call_begins(w, 1, HOLD);
    call_ends(w, 0);
    begin(w);
    h = hear_lasts(4);
    assert_true(h.times[0] >= 3);
    assert_true(h.times[1] >= 3);
    call_ends(w, 1);
    outbox_ack(w->outbox, 2);
    do { /* what was on its way has come: nothing is owed, nothing is said */
        assert_true(tries++ < SLOW_TRIES);
        forget();
        usleep(1000 * 3 * (useconds_t)w->asserter.again_ms);
    } while (hear().messages > 0);
}

/* Calls begin and end while it reads: each that is open or owed the whole time is told. */
static void none_is_missed_while_calls_go_on(void **state)
{
    struct world *w = *state;
    unsigned i, round;

    w->asserter.again_ms = 60000;
    call_begins(w, 0, HOLD);
    call_begins(w, 1, HOLD);
    call_ends(w, 1);
    begin(w);
    (void)hear_lasts(1);
    for (round = 0; round < 10; round++) {
        struct heard h;

        svc_stop(w->auth);
        forget();
        start_auth(w);
        for (i = 2; hear().lasts == 0 && i < 2 * MANY; i++) {
            call_begins(w, i, HOLD);
            call_ends(w, i);
        }
        h = hear_lasts(1);
        assert_int_equal(h.times[0], 1);
        assert_int_equal(h.times[1], 1);
    }
}

#define W(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        W(everything_owed_is_told_to_who_was_reached),
        W(a_parked_call_is_held_but_does_not_run),
        W(many_take_several_messages),
        W(what_stays_owed_is_told_again),
        W(none_is_missed_while_calls_go_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
