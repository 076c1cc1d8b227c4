/* What several authsvc share: the script, with a real Redis. Two of them, whose views of the state differ. */
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
#include <hiredis/hiredis.h>

#include "authsvc/bucket.h"
#include "authsvc/shared.h"
#include "proto/money.h"
#include "services/clock.h"
#include "services/log.h"
#include "tests/lib/redis_server.h"
#include "tests/lib/slow.h"

#define SOON_MS 10000
#define USD MONEY_NANO_PER_USD
#define WALL UINT64_C(1800000000)
#define GRACE 30000u
#define LEASE 60000u

struct replica {
    struct admission admission;
    struct metrics *metrics;
    struct shared *shared;
};

struct world {
    struct redis_server server;
    struct replica a, b;
    struct log log;
    FILE *log_file;
};

struct result {
    atomic_uint ended;
    enum status st;
    enum shared_answer answer;
    struct counters c;
    int64_t nano;
    uint64_t open;
    unsigned lapsed;
    char id[LIMIT_ID_TEXT + 1];
};

/* ---- waiting ------------------------------------------------------------------------------------------------------
 */

static void admitted(void *ctx, enum status st, enum shared_answer answer, const struct counters *c)
{
    struct result *r = ctx;

    r->st = st;
    r->answer = answer;
    r->c = *c;
    atomic_fetch_add(&r->ended, 1);
}

static void amount(void *ctx, enum status st, enum shared_answer answer, int64_t nano)
{
    struct result *r = ctx;

    r->st = st;
    r->answer = answer;
    r->nano = nano;
    atomic_fetch_add(&r->ended, 1);
}

static void listed(void *ctx, enum status st, const struct holds_list_rep *rep)
{
    struct result *r = ctx;

    r->st = st;
    r->open = rep->open;
    r->nano = rep->held_nano;
    atomic_fetch_add(&r->ended, 1);
}

static void lapsed(void *ctx, const struct shared_lapsed *l)
{
    struct result *r = ctx;

    r->lapsed++;
    r->nano = l->amount_nano;
    (void)slice_copy(l->request_id, r->id, sizeof(r->id));
    atomic_fetch_add(&r->ended, 1);
}

static void until_ended(struct result *r)
{
    uint64_t due = clock_ms() + slow_ms(SOON_MS);

    while (!atomic_load(&r->ended) && clock_ms() < due)
        usleep(200);
    assert_int_equal(r->ended, 1);
}

static void until_on(struct replica *r)
{
    uint64_t due = clock_ms() + slow_ms(SOON_MS);

    while (shared_state(r->shared) != SHARED_ON && clock_ms() < due) {
        shared_tick(r->shared, clock_ms());
        usleep(2000);
    }
    assert_int_equal(shared_state(r->shared), SHARED_ON);
}

/* ---- asking -------------------------------------------------------------------------------------------------------
 */

static struct taking a_taking(const char *id, int64_t nano)
{
    return (struct taking){.request_id = slice_of(id),
                           .user_id = slice_of("usr_1"),
                           .key_id = slice_of("key_1"),
                           .endpoint = slice_of("chat.completions"),
                           .model = slice_of("m"),
                           .provider = slice_of("p"),
                           .amount_nano = nano,
                           .balance_nano = USD,
                           .revision = 10,
                           .key_revision = 10,
                           .lease_ms = LEASE};
}

static struct result ask(struct replica *r, const struct taking *t, bool take)
{
    struct result got = {.ended = 0};

    assert_int_equal(shared_admit(r->shared, t, take, WALL, admitted, &got), ST_OK);
    until_ended(&got);
    assert_int_equal(got.st, ST_OK);
    return got;
}

static enum shared_answer take(struct replica *r, const char *id, int64_t nano)
{
    struct taking t = a_taking(id, nano);

    return ask(r, &t, true).answer;
}

static int64_t held(struct replica *r)
{
    struct result got = {.ended = 0};

    assert_int_equal(shared_held(r->shared, slice_of("usr_1"), amount, &got), ST_OK);
    until_ended(&got);
    assert_int_equal(got.st, ST_OK);
    return got.nano;
}

static uint64_t open_holds(struct replica *r, int64_t *ret_nano)
{
    struct result got = {.ended = 0};

    assert_int_equal(shared_list(r->shared, &(struct holds_list_req){.limit = 10}, listed, &got), ST_OK);
    until_ended(&got);
    assert_int_equal(got.st, ST_OK);
    if (ret_nano)
        *ret_nano = got.nano;
    return got.open;
}

static int64_t extend(struct replica *r, const char *id, int64_t nano)
{
    struct result got = {.ended = 0};

    assert_int_equal(shared_extend(r->shared,
                                   &(struct hold_extend_req){.request_id = slice_of(id), .amount_nano = nano}, WALL,
                                   amount, &got),
                     ST_OK);
    until_ended(&got);
    return got.answer == SHARED_FITS ? got.nano : -1;
}

static void settle(struct replica *r, const char *id, int64_t balance, uint64_t tokens, uint64_t revision)
{
    struct settled s = {
        .request_id = slice_of(id), .user_id = slice_of("usr_1"), .balance_nano = balance, .tokens = tokens};

    shared_settled(r->shared, &s, slice_of("key_1"), revision);
}

/* ---- the world ----------------------------------------------------------------------------------------------------
 */

static void ignore(void *ctx, enum shared_state state)
{
    (void)ctx;
    (void)state;
}

static void make(struct world *w, struct replica *r)
{
    struct shared_options o = {.url = w->server.url, .log = &w->log, .admission = &r->admission, .changed = ignore};
    struct err err;

    admission_init(&r->admission, false, GRACE);
    admission_share(&r->admission, true);
    r->metrics = metrics_new("authsvc", "0");
    o.metrics = r->metrics;
    assert_int_equal(shared_new(&o, &r->shared, &err), ST_OK);
}

static int start(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    w->log_file = tmpfile();
    w->log = (struct log){.service = "test", .level = LOG_INFO, .fd = fileno(w->log_file)};
    redis_server_start(&w->server, false, NULL);
    make(w, &w->a);
    make(w, &w->b);
    until_on(&w->a);
    until_on(&w->b);
    *state = w;
    return 0;
}

static void unmake(struct replica *r)
{
    shared_free(r->shared);
    admission_fini(&r->admission);
    metrics_free(r->metrics);
}

static int stop(void **state)
{
    struct world *w = *state;

    unmake(&w->a);
    unmake(&w->b);
    redis_server_free(&w->server);
    fclose(w->log_file);
    free(w);
    return 0;
}

/* ---- credit -------------------------------------------------------------------------------------------------------
 */

static void credit_is_one_for_all(void **state)
{
    struct world *w = *state;

    assert_int_equal(take(&w->a, "req_1", USD - 1), SHARED_FITS);
    assert_int_equal(take(&w->b, "req_2", 2), SHARED_SHORT);
    assert_int_equal(take(&w->b, "req_3", 1), SHARED_FITS);
    assert_int_equal(held(&w->a), USD);
    settle(&w->b, "req_1", USD / 2, 0, 11);
    assert_int_equal(held(&w->b), 1);
    assert_int_equal(take(&w->a, "req_4", USD / 2 - 1), SHARED_FITS); /* although it has not heard of the new balance */
    assert_int_equal(take(&w->a, "req_5", 1), SHARED_SHORT);
}

static void a_settlement_counts_once_whoever_tells_it(void **state)
{
    struct world *w = *state;
    struct taking late = a_taking("req_9", 0);

    assert_int_equal(take(&w->a, "req_1", 100), SHARED_FITS);
    assert_int_equal(take(&w->a, "req_2", 100), SHARED_FITS);
    settle(&w->a, "req_1", USD - 50, 0, 11);
    settle(&w->a, "req_2", USD - 90, 0, 12);
    assert_int_equal(held(&w->a), 0);
    settle(&w->b, "req_1", USD - 50, 0, 11); /* is behind */
    settle(&w->b, "req_2", USD - 90, 0, 12);
    assert_int_equal(held(&w->b), 0);
    assert_int_equal(ask(&w->b, &late, false).c.balance_nano, USD - 90);
    assert_int_equal(take(&w->b, "req_1", 1), SHARED_OVER);
    shared_assert(w->b.shared,
                  &(struct hold_state){.request_id = slice_of("req_1"),
                                       .user_id = slice_of("usr_1"),
                                       .key_id = slice_of("key_1"),
                                       .amount_nano = 100},
                  LEASE, true);
    assert_int_equal(held(&w->b), 0);
}

/* A nano-USD more or less beyond what a double can tell. */
static void large_amounts_are_exact(void **state)
{
    struct world *w = *state;
    struct taking t = a_taking("req_1", MONEY_NANO_MAX - 1);

    t.balance_nano = MONEY_NANO_MAX;
    assert_int_equal(ask(&w->a, &t, true).answer, SHARED_FITS);
    t.request_id = slice_of("req_2");
    t.amount_nano = 2;
    assert_int_equal(ask(&w->b, &t, true).answer, SHARED_SHORT);
    t.amount_nano = 1;
    assert_int_equal(ask(&w->b, &t, true).answer, SHARED_FITS);
    assert_int_equal(held(&w->a), MONEY_NANO_MAX);
    settle(&w->a, "req_1", MONEY_NANO_MAX - 3, 0, 11);
    assert_int_equal(ask(&w->b,
                         &(struct taking){.request_id = slice_of("req_3"),
                                          .user_id = slice_of("usr_1"),
                                          .key_id = slice_of("key_1"),
                                          .amount_nano = MONEY_NANO_MAX - 3,
                                          .revision = 1},
                         true)
                         .answer,
                     SHARED_SHORT);
    settle(&w->b, "req_2", MONEY_NANO_MAX - 3, 0, 12);
    assert_int_equal(take(&w->b, "req_3", MONEY_NANO_MAX - 3), SHARED_FITS);
}

static void a_credit_reaches_who_has_calls(void **state)
{
    struct world *w = *state;
    struct user u = {.id = slice_of("usr_1"), .status = slice_of("active"), .balance_nano = 5};

    assert_int_equal(take(&w->a, "req_1", 5), SHARED_FITS);
    shared_credited(w->b.shared, &u, 20); /* taken back by an administrator */
    assert_int_equal(held(&w->b), 5); /* it is there: a connection keeps its order */
    assert_int_equal(extend(&w->a, "req_1", 10), 5);
    u.balance_nano = 8;
    shared_credited(w->b.shared, &u, 21);
    assert_int_equal(held(&w->b), 5);
    assert_int_equal(extend(&w->a, "req_1", 10), 8);
    u.balance_nano = 100;
    u.status = slice_of("disabled");
    shared_credited(w->a.shared, &u, 22);
    assert_int_equal(held(&w->a), 8);
    assert_int_equal(extend(&w->b, "req_1", 10), 8);
    assert_int_equal(extend(&w->b, "req_none", 10), -1);
}

static void a_budget_is_one_for_all(void **state)
{
    struct world *w = *state;
    struct taking t = a_taking("req_1", 60);

    t.budget_nano = 100;
    t.spent_nano = 20;
    t.period_end = WALL + 100;
    assert_int_equal(ask(&w->a, &t, true).answer, SHARED_FITS);
    t.request_id = slice_of("req_2");
    t.amount_nano = 21;
    assert_int_equal(ask(&w->b, &t, true).answer, SHARED_SHORT);
    t.amount_nano = 20;
    assert_int_equal(ask(&w->b, &t, true).answer, SHARED_FITS);
    assert_int_equal(extend(&w->a, "req_1", 61), 60);
    t.request_id = slice_of("req_3");
    t.period_end = WALL; /* over: what was spent in it counts no more */
    t.key_revision = 11;
    t.amount_nano = 20;
    assert_int_equal(ask(&w->a, &t, true).answer, SHARED_FITS);
}

/* ---- rates --------------------------------------------------------------------------------------------------------
 */

static void rates_and_places_are_one_for_all(void **state)
{
    struct world *w = *state;
    struct taking t = a_taking("req_1", 0);
    struct result got;

    t.rpm = 2;
    t.tpm = 1000;
    t.tokens = 400;
    t.concurrency = 2;
    got = ask(&w->a, &t, true);
    assert_int_equal(got.answer, SHARED_FITS);
    assert_int_equal(got.c.requests_level, BUCKET_MINUTE_MS);
    assert_int_equal(got.c.tokens_level, 600 * BUCKET_MINUTE_MS);
    assert_int_equal(got.c.running, 1);
    t.request_id = slice_of("req_2");
    t.tokens = 700;
    assert_int_equal(ask(&w->b, &t, true).answer, SHARED_SHORT);
    settle(&w->b, "req_1", USD, 100, 11); /* 300 tokens less than reserved, and a place */
    assert_int_equal(ask(&w->b, &t, true).answer, SHARED_FITS);
    t.request_id = slice_of("req_3");
    t.tokens = 1;
    assert_int_equal(ask(&w->a, &t, true).answer, SHARED_SHORT); /* no third request */
    t.rpm = 0;
    assert_int_equal(ask(&w->a, &t, true).answer, SHARED_FITS);
    t.request_id = slice_of("req_4");
    assert_int_equal(ask(&w->a, &t, true).answer, SHARED_SHORT); /* no third place */
    shared_done(w->b.shared, slice_of("req_3"));
    shared_done(w->a.shared, slice_of("req_3"));
    assert_int_equal(ask(&w->b, &t, true).answer, SHARED_FITS);
    assert_int_equal(ask(&w->b, &t, false).c.running, 2);
}

static void what_is_undone_has_never_been(void **state)
{
    struct world *w = *state;
    struct taking t = a_taking("req_1", 7);

    t.rpm = 3;
    t.tpm = 1000;
    t.tokens = 10;
    assert_int_equal(ask(&w->a, &t, true).answer, SHARED_FITS);
    assert_int_equal(ask(&w->b, &t, true).answer, SHARED_FITS); /* asked again, of another */
    assert_int_equal(held(&w->a), 7);
    shared_undo(w->a.shared, slice_of("req_1"));
    t.request_id = slice_of("req_2");
    assert_int_equal(ask(&w->a, &t, false).c.requests_level, 3 * BUCKET_MINUTE_MS);
    assert_int_equal(ask(&w->a, &t, false).c.tokens_level, 1000 * BUCKET_MINUTE_MS);
    assert_int_equal(ask(&w->a, &t, false).c.running, 0);
    assert_int_equal(held(&w->a), 0);
    assert_int_equal(open_holds(&w->b, NULL), 0);
    t.key_id = slice_of("key_2");
    assert_int_equal(ask(&w->a, &t, true).answer, SHARED_FITS);
    assert_int_equal(take(&w->b, "req_2", 1), SHARED_OTHERS);
}

/* ---- holds --------------------------------------------------------------------------------------------------------
 */

static void a_lease_that_is_over_ends_for_one(void **state)
{
    struct world *w = *state;
    struct taking t = a_taking("req_1", 7);
    struct result a = {.ended = 0}, b = {.ended = 0};
    uint64_t due = clock_ms() + slow_ms(SOON_MS);
    int64_t nano = 0;

    t.lease_ms = 50;
    assert_int_equal(ask(&w->a, &t, true).answer, SHARED_FITS);
    assert_int_equal(take(&w->b, "req_2", 9), SHARED_FITS);
    assert_int_equal(open_holds(&w->b, &nano), 2);
    assert_int_equal(nano, 16);
    usleep(60000);
    while (atomic_load(&a.ended) + atomic_load(&b.ended) == 0 && clock_ms() < due) {
        shared_expire(w->a.shared, lapsed, &a);
        shared_expire(w->b.shared, lapsed, &b);
        usleep(5000);
    }
    assert_int_equal(a.lapsed + b.lapsed, 1);
    assert_string_equal(a.lapsed ? a.id : b.id, "req_1");
    assert_int_equal(a.lapsed ? a.nano : b.nano, 7);
    assert_int_equal(held(&w->a), 9);
    assert_int_equal(take(&w->a, "req_1", 1), SHARED_OVER);
}

static void told(struct replica *r, const char *id, int64_t nano)
{
    struct hold_state h = {.request_id = slice_of(id),
                           .user_id = slice_of("usr_1"),
                           .key_id = slice_of("key_1"),
                           .amount_nano = nano,
                           .lease_ms = LEASE};

    assert_int_equal(admission_assert(&r->admission, clock_ms(), &h), ST_OK);
}

static void who_was_emptied_hears_of_all_holds(void **state)
{
    struct world *w = *state;
    redisContext *c = redisConnectUnix(w->server.socket);

    told(&w->a, "req_1", 40);
    told(&w->b, "req_1", 30); /* the larger counts */
    told(&w->b, "req_2", 5);
    freeReplyObject(redisCommand(c, "FLUSHALL"));
    redisFree(c);
    assert_int_equal(take(&w->a, "req_3", 1), SHARED_EMPTY);
    assert_int_equal(shared_state(w->a.shared), SHARED_FILLING);
    assert_int_equal(take(&w->b, "req_3", 1), SHARED_EMPTY);
    until_on(&w->a);
    until_on(&w->b);
    assert_int_equal(held(&w->a), 45);
    assert_int_equal(take(&w->b, "req_3", USD - 44), SHARED_SHORT);
    assert_int_equal(take(&w->b, "req_3", USD - 45), SHARED_FITS);
}

static void what_was_told_while_it_was_away_comes_first(void **state)
{
    struct world *w = *state;
    uint64_t due = clock_ms() + slow_ms(SOON_MS);

    told(&w->a, "req_1", 40);
    told(&w->a, "req_2", 50);
    redis_server_kill(&w->server);
    while (shared_state(w->a.shared) != SHARED_AWAY && clock_ms() < due)
        usleep(2000);
    settle(&w->a, "req_1", USD - 3, 0, 30);
    assert_int_equal(shared_admit(w->a.shared, &(struct taking){.amount_nano = 1}, true, WALL, admitted, NULL),
                     ST_UNAVAILABLE);
    redis_server_restart(&w->server);
    until_on(&w->a);
    until_on(&w->b);
    assert_int_equal(held(&w->b), 50); /* another server: what the last one knew is not believed, what was told is */
    assert_int_equal(take(&w->b, "req_1", 1), SHARED_OVER);
    assert_int_equal(take(&w->b, "req_3", USD - 52), SHARED_SHORT);
    assert_int_equal(take(&w->b, "req_3", USD - 53), SHARED_FITS);
}

#define T(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(credit_is_one_for_all),
        T(a_settlement_counts_once_whoever_tells_it),
        T(large_amounts_are_exact),
        T(a_credit_reaches_who_has_calls),
        T(a_budget_is_one_for_all),
        T(rates_and_places_are_one_for_all),
        T(what_is_undone_has_never_been),
        T(a_lease_that_is_over_ends_for_one),
        T(who_was_emptied_hears_of_all_holds),
        T(what_was_told_while_it_was_away_comes_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
