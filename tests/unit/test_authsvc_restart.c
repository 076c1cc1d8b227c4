/* authsvc is killed and comes back, over ipc with a real meterd: what is parked, what is decided, what is forgotten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sodium.h>

#include "authsvc/authsvc.h"
#include "services/clock.h"
#include "services/ids.h"
#include "tests/lib/slow.h"

#define CALL_MS 8000
#define CREDIT INT64_C(5000000000) /* of a new account on a loopback HOST */

struct world {
    char dir[64], url[96];
    struct settings settings;
    struct svc *meterd, *authsvc;
    struct xchg_client *auth, *meter;
    struct arena arena;
    struct err err;
    char user[LIMIT_ID_TEXT + 1], key_id[LIMIT_ID_TEXT + 1];
    unsigned char digest[LIMIT_DIGEST];
    uint64_t started_ms;
};

static char *no_env(const char *name)
{
    (void)name;
    return NULL;
}

static void use(struct world *w)
{
    struct settings *s = &w->settings;
    char path[96];

    assert_int_equal(settings_load(s, SET_L, no_env, NULL), ST_OK);
    snprintf(path, sizeof(path), "%s/app.db", w->dir);
    snprintf(w->url, sizeof(w->url), "ipc://%s/authsvc", w->dir);
    settings_set(&s->db_path, path);
    settings_set(&s->log_level, "error");
    settings_set(&s->jwt_secret, "0123456789abcdef0123456789abcdef");
    settings_set(&s->admin_password, "correct horse battery");
    settings_set(&s->authsvc_url, w->url);
    settings_set(&s->meterd_url, "inproc://tr-meterd");
    settings_set(&s->meterd_feed_url, "inproc://tr-meterd-feed");
    settings_set(&s->meterd_events_url, "inproc://tr-meterd-events");
}

static void start_authsvc(struct world *w)
{
    struct xchg_client_options options = {.url = w->url, .instance = id_number()};

    w->started_ms = clock_ms();
    assert_int_equal(svc_start(&authsvc_def, &w->settings, &w->authsvc, &w->err), ST_OK);
    assert_int_equal(xchg_client_new(&options, &w->auth, NULL), ST_OK);
    while (!xchg_client_ready(w->auth) && clock_ms() < w->started_ms + CALL_MS)
        usleep(500);
}

static void stop_authsvc(struct world *w)
{
    xchg_client_free(w->auth);
    svc_stop(w->authsvc); /* without a drain */
}

#define ASK(w, peer, name, reply, req, rep)                                                                            \
    (memset(&(w)->err, 0, sizeof((w)->err)),                                                                           \
     call_wait((w)->peer, &name##_desc, req, &reply##_desc, rep, &(w)->arena, CALL_MS, &(w)->err))

static void wait_in_force(struct world *w, uint64_t revision)
{
    struct state_sync_req sync = {.revision = revision};
    struct empty none;

    assert_int_equal(ASK(w, auth, state_sync_req, empty, &sync, &none), ST_OK);
}

static void make_caller(struct world *w)
{
    struct provider p = {.name = slice_of("echo"), .kind = slice_of("echo")};
    struct provider_announce_req announce = {.instance = slice_of("i1"), .providers = {&p, 1}};
    struct register_req account = {.email = slice_of("a@example.com"), .password = slice_of("correct horse battery")};
    struct key_create_req key = {.name = slice_of("k")};
    struct key_created_rep made;
    struct session_rep session;
    struct empty none;

    assert_int_equal(ASK(w, meter, provider_announce_req, empty, &announce, &none), ST_OK);
    assert_int_equal(ASK(w, auth, register_req, session_rep, &account, &session), ST_OK);
    wait_in_force(w, session.revision);
    key.actor_id = session.user.items[0].id;
    slice_copy(key.actor_id, w->user, sizeof(w->user));
    assert_int_equal(ASK(w, auth, key_create_req, key_created_rep, &key, &made), ST_OK);
    slice_copy(made.id, w->key_id, sizeof(w->key_id));
    crypto_hash_sha256(w->digest, (const unsigned char *)made.key.p, made.key.n);
    wait_in_force(w, made.revision);
}

static int start(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    struct xchg_client_options meter = {.url = "inproc://tr-meterd", .instance = id_number()};

    assert_non_null(w);
    *state = w;
    assert_true(sodium_init() >= 0);
    snprintf(w->dir, sizeof(w->dir), "/tmp/test_authsvc_restart.XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    arena_init(&w->arena, 4 << 20);
    use(w);
    assert_int_equal(svc_start(&meterd_def, &w->settings, &w->meterd, &w->err), ST_OK);
    assert_int_equal(xchg_client_new(&meter, &w->meter, NULL), ST_OK);
    start_authsvc(w);
    make_caller(w);
    stop_authsvc(w);
    return 0;
}

static int stop(void **state)
{
    struct world *w = *state;
    char command[128];

    xchg_client_free(w->meter);
    svc_stop(w->meterd);
    settings_fini(&w->settings);
    arena_fini(&w->arena);
    snprintf(command, sizeof(command), "rm -rf '%s'", w->dir);
    free(w);
    return system(command);
}

/* ---- calls that are not waited for ---------------------------------------------------------------------------------
 */

struct later {
    pthread_mutex_t lock;
    bool ended;
    enum status st;
    uint64_t ended_ms;
};

static void on_end(void *ctx, enum status st, struct slice payload)
{
    struct later *l = ctx;

    (void)payload;
    pthread_mutex_lock(&l->lock);
    l->ended = true;
    l->st = st;
    l->ended_ms = clock_ms();
    pthread_mutex_unlock(&l->lock);
}

static const struct xchg_events events = {.end = on_end};

static void ask_admission(struct world *w, const char *id, uint64_t output, struct later *l)
{
    struct admit_req req = {.request_id = slice_of(id),
                            .key_digest = {(const char *)w->digest, sizeof(w->digest)},
                            .model = slice_of("echo"),
                            .endpoint = slice_of("chat.completions"),
                            .prompt_tokens_estimate = 10,
                            .max_output_tokens = output,
                            .deadline_ms = 60000};
    struct xchg_open open = {.deadline_ms = CALL_MS, .events = &events, .ctx = l};
    struct xchg_id xid;

    *l = (struct later){.lock = PTHREAD_MUTEX_INITIALIZER};
    assert_int_equal(call_open(w->auth, &admit_req_desc, &req, &open, &xid, NULL), ST_OK);
}

static enum status outcome(struct later *l)
{
    uint64_t end = clock_ms() + CALL_MS;
    bool ended = false;

    while (!ended && clock_ms() < end) {
        usleep(1000);
        pthread_mutex_lock(&l->lock);
        ended = l->ended;
        pthread_mutex_unlock(&l->lock);
    }
    assert_true(ended);
    return l->st;
}

static void assert_hold(struct world *w, const char *from, const char *id, int64_t amount, bool last)
{
    struct hold_state h = {.request_id = slice_of(id),
                           .user_id = slice_of(w->user),
                           .key_id = slice_of(w->key_id),
                           .amount_nano = amount,
                           .lease_ms = 60000,
                           .running = true};
    struct holds_assert_req req = {.instance = slice_of(from), .holds = {&h, amount ? 1 : 0}, .last = last};

    assert_int_equal(call_tell(w->auth, &holds_assert_req_desc, &req), ST_OK);
}

static struct holds_list_rep list(struct world *w)
{
    struct holds_list_req req = {.limit = 10};
    struct holds_list_rep rep;

    assert_int_equal(ASK(w, auth, holds_list_req, holds_list_rep, &req, &rep), ST_OK);
    return rep;
}

/* ---- tests ---------------------------------------------------------------------------------------------------------
 */

/* Returns how long it took from the start until the first question was answered. */
static uint64_t ask_first(struct world *w)
{
    struct hold_extend_req more = {.request_id = slice_of("old"), .amount_nano = CREDIT};
    struct hold_extend_rep grown;
    struct later early, late;

    start_authsvc(w);
    ask_admission(w, "req_early", 20, &early); /* the question is there before anybody has asserted anything */
    usleep(50000);
    assert_hold(w, "gateway:1", "old", CREDIT, true);
    assert_hold(w, "providersvc:1", "", 0, true);
    assert_int_equal(outcome(&early), ST_NO_FUNDS);
    assert_true(early.ended_ms >= w->started_ms + WINDOW_MS);
    ask_admission(w, "req_late", 20, &late);
    assert_int_equal(outcome(&late), ST_NO_FUNDS);
    assert_int_equal(list(w).held_nano, CREDIT);
    assert_int_equal(ASK(w, auth, hold_extend_req, hold_extend_rep, &more, &grown), ST_OK);
    assert_int_equal(grown.amount_nano, CREDIT);
    stop_authsvc(w);
    return early.ended_ms - w->started_ms;
}

static void what_comes_first_waits_for_what_is_held(void **state)
{
    unsigned tries = 0;

    while (ask_first(*state) > slow_ms(1000)) /* recovery takes less than a second */
        assert_true(++tries < SLOW_TRIES);
}

static void a_hold_is_extended_once_it_is_known(void **state)
{
    struct world *w = *state;
    struct hold_extend_req more = {.request_id = slice_of("old"), .amount_nano = 2 * CREDIT};
    struct hold_extend_rep grown = {.amount_nano = 0};
    struct later l = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct xchg_open open = {.deadline_ms = CALL_MS, .events = &events, .ctx = &l};
    struct xchg_id id;

    start_authsvc(w);
    assert_int_equal(call_open(w->auth, &hold_extend_req_desc, &more, &open, &id, NULL), ST_OK);
    usleep(50000);
    assert_hold(w, "providersvc:1", "old", 1000, true);
    assert_int_equal(outcome(&l), ST_OK); /* not "there is none" */
    more.amount_nano = 1;
    assert_int_equal(ASK(w, auth, hold_extend_req, hold_extend_rep, &more, &grown), ST_OK);
    assert_int_equal(grown.amount_nano, CREDIT);
    stop_authsvc(w);
}

/* Returns how long it took from the start until the question was answered, although somebody never ended. */
static uint64_t ask_beside_one_that_never_ends(struct world *w)
{
    struct later early;

    start_authsvc(w);
    assert_hold(w, "providersvc:1", "", 0, false);
    ask_admission(w, "req_slow", 20, &early);
    assert_int_equal(outcome(&early), ST_OK);
    stop_authsvc(w);
    assert_true(early.ended_ms >= w->started_ms + WINDOW_MAX_MS);
    return early.ended_ms - w->started_ms;
}

static void who_has_begun_to_assert_is_waited_for(void **state)
{
    struct world *w = *state;
    struct later early;
    unsigned tries = 0;

    start_authsvc(w);
    assert_hold(w, "providersvc:1", "", 0, false);
    ask_admission(w, "req_slow", 20, &early);
    usleep((WINDOW_MS + 300) * 1000);
    assert_hold(w, "providersvc:1", "old", CREDIT, true);
    assert_int_equal(outcome(&early), ST_NO_FUNDS);
    stop_authsvc(w);
    while (ask_beside_one_that_never_ends(w) > slow_ms(WINDOW_MAX_MS + 500))
        assert_true(++tries < SLOW_TRIES);
}

static void a_call_that_settled_meanwhile_holds_nothing(void **state)
{
    struct world *w = *state;
    struct usage_event e = {.request_id = slice_of("req_meanwhile"),
                            .user_id = slice_of(w->user),
                            .key_id = slice_of(w->key_id),
                            .model = slice_of("echo"),
                            .provider = slice_of("echo"),
                            .upstream_model = slice_of("echo"),
                            .endpoint = slice_of("chat.completions"),
                            .status = slice_of("ok"),
                            .hold_nano = CREDIT,
                            .created_ms = clock_wall_ms()};
    struct usage_deliver_req deliver = {.source = slice_of("test"), .first_seq = 1, .events = {&e, 1}};
    struct usage_deliver_rep done;
    struct later early;

    assert_int_equal(ASK(w, meter, usage_deliver_req, usage_deliver_rep, &deliver, &done), ST_OK);
    start_authsvc(w);
    ask_admission(w, "req_next", 20, &early);
    assert_hold(w, "providersvc:1", "req_meanwhile", CREDIT, true); /* he has not heard of it */
    assert_int_equal(outcome(&early), ST_OK);
    assert_int_equal(list(w).open, 1);
    stop_authsvc(w);
}

static void deliver(struct world *w, const char *source, uint64_t seq, const char *status)
{
    struct usage_event e = {.request_id = slice_of("req_long"),
                            .user_id = slice_of(w->user),
                            .key_id = slice_of(w->key_id),
                            .model = slice_of("echo"),
                            .provider = slice_of("echo"),
                            .upstream_model = slice_of("echo"),
                            .endpoint = slice_of("chat.completions"),
                            .status = slice_of(status),
                            .hold_nano = CREDIT,
                            .lease_ms = 60000,
                            .created_ms = clock_wall_ms()};
    struct usage_deliver_req deliver = {.source = slice_of(source), .first_seq = seq, .events = {&e, 1}};
    struct usage_deliver_rep done;

    assert_int_equal(ASK(w, meter, usage_deliver_req, usage_deliver_rep, &deliver, &done), ST_OK);
}

/* Returns how long it took from the start until the question was answered. */
static uint64_t ask_while_the_ledger_holds(struct world *w)
{
    struct later early;

    start_authsvc(w);
    ask_admission(w, "req_early2", 20, &early);
    assert_int_equal(outcome(&early), ST_NO_FUNDS);
    assert_true(early.ended_ms >= w->started_ms + WINDOW_MAX_MS);
    assert_int_equal(list(w).held_nano, CREDIT);
    return early.ended_ms - w->started_ms;
}

/* A call that runs longer than a second, and nobody is left who could assert it. */
static void what_the_ledger_holds_is_held_though_nobody_asserts_it(void **state)
{
    struct world *w = *state;
    struct later late;
    unsigned tries = 0;
    uint64_t end;

    deliver(w, "long", 1, "running");
    while (ask_while_the_ledger_holds(w) > slow_ms(WINDOW_MAX_MS + 500)) {
        assert_true(++tries < SLOW_TRIES);
        stop_authsvc(w);
    }
    assert_hold(w, "providersvc:1", "req_long", CREDIT, true); /* late */
    assert_int_equal(list(w).held_nano, CREDIT);
    deliver(w, "long", 2, "ok");
    for (end = clock_ms() + CALL_MS; list(w).open && clock_ms() < end;)
        usleep(1000);
    ask_admission(w, "req_late2", 20, &late);
    assert_int_equal(outcome(&late), ST_OK);
    stop_authsvc(w);
}

static void wait_until_parked(struct world *w)
{
    struct authsvc *self = svc_state(w->authsvc);
    uint64_t end = clock_ms() + CALL_MS;
    size_t n = 0;

    while (n == 0 && clock_ms() < end) {
        usleep(1000);
        pthread_mutex_lock(&self->window.lock);
        n = self->window.n_parked;
        pthread_mutex_unlock(&self->window.lock);
    }
    assert_int_equal(n, 1);
}

static void what_is_parked_is_sent_elsewhere_by_a_drain(void **state)
{
    struct world *w = *state;
    struct later l;

    start_authsvc(w);
    ask_admission(w, "req_drained", 20, &l);
    wait_until_parked(w);
    svc_drain(w->authsvc, 1000);
    assert_int_equal(outcome(&l), ST_DRAINING);
    stop_authsvc(w);
    start_authsvc(w); /* one that is stopped at once drops them, and nothing is lost or touched afterwards */
    ask_admission(w, "req_dropped", 20, &l);
    wait_until_parked(w);
    svc_stop(w->authsvc);
    assert_int_equal(outcome(&l), ST_PEER_LOST);
    xchg_client_free(w->auth);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_comes_first_waits_for_what_is_held),
        cmocka_unit_test(a_hold_is_extended_once_it_is_known),
        cmocka_unit_test(who_has_begun_to_assert_is_waited_for),
        cmocka_unit_test(a_call_that_settled_meanwhile_holds_nothing),
        cmocka_unit_test(what_the_ledger_holds_is_held_though_nobody_asserts_it),
        cmocka_unit_test(what_is_parked_is_sent_elsewhere_by_a_drain),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
