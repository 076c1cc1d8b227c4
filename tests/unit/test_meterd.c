/* meterd as a service, over inproc: calls from many threads, the state feed, the usage feed, its end under load. */
#include "tests/lib/slow.h"
#include "tests/unit/meter_fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "meterd/mailbox.h"
#include "meterd/pace.h"
#include "services/clock.h"
#include "services/svc.h"

#define CALL_MS 10000
#define CALLERS 8
#define CALLS_EACH 40
#define EVENTS 3000

struct house {
    struct meter m;
    struct settings settings;
    struct svc *svc;
    struct xchg_client *client;
};

static char *env_of(const char *name)
{
    static char on_loopback[] = "a password for tests", mail[] = "admin@localhost", quiet[] = "error";

    if (!strcmp(name, "ADMIN_PASSWORD"))
        return on_loopback;
    if (!strcmp(name, "ADMIN_EMAIL"))
        return mail;
    return strcmp(name, "LOG_LEVEL") ? NULL : quiet;
}

static void start(struct house *h)
{
    struct xchg_client_options options = {.url = h->settings.meterd_url, .instance = 77};
    struct err err = {0};

    if (svc_start(&meterd_def, &h->settings, &h->svc, &err) != ST_OK)
        fail_msg("svc_start: %s", err.text);
    assert_int_equal(xchg_client_new(&options, &h->client, &err), ST_OK);
}

static void stop(struct house *h)
{
    xchg_client_free(h->client);
    svc_drain(h->svc, 2000);
    svc_stop(h->svc);
    h->svc = NULL;
}

static int setup(void **state)
{
    struct house *h = calloc(1, sizeof(*h));
    char url[128];

    meter_folder(&h->m);
    assert_int_equal(settings_load(&h->settings, SET_M, env_of, NULL), ST_OK);
    assert_int_equal(settings_set(&h->settings.db_path, h->m.path), ST_OK);
    snprintf(url, sizeof(url), "inproc://meterd%s", h->m.folder);
    assert_int_equal(settings_set(&h->settings.meterd_url, url), ST_OK);
    snprintf(url, sizeof(url), "inproc://feed%s", h->m.folder);
    assert_int_equal(settings_set(&h->settings.meterd_feed_url, url), ST_OK);
    snprintf(url, sizeof(url), "inproc://events%s", h->m.folder);
    assert_int_equal(settings_set(&h->settings.meterd_events_url, url), ST_OK);
    start(h);
    *state = h;
    return 0;
}

static int teardown(void **state)
{
    struct house *h = *state;

    stop(h);
    settings_fini(&h->settings);
    arena_fini(&h->m.arena);
    meter_remove(&h->m);
    free(h);
    return 0;
}

static enum status ask(struct house *h, const struct wire_desc *req_desc, const void *req,
                       const struct wire_desc *rep_desc, void *rep, struct arena *a)
{
    return call_wait(h->client, req_desc, req, rep_desc, rep, a, CALL_MS, NULL);
}

#define ASK(h, name, rep_name, req, rep, a) ask(h, &name##_desc, req, &rep_name##_desc, rep, a)

static void make_user(struct house *h, const char *email, int64_t credit, char id[LIMIT_ID_TEXT + 1])
{
    struct user_put_req req = {.email = slice_of(email),
                               .password_hash = slice_of("$argon2id$"),
                               .role = slice_of("user"),
                               .plan = slice_of("free"),
                               .credit_nano = credit};
    struct user_rep rep;
    struct arena a = {0};

    arena_init(&a, METER_ARENA);
    assert_int_equal(ASK(h, user_put_req, user_rep, &req, &rep, &a), ST_OK);
    assert_true(slice_copy(rep.user.items[0].id, id, LIMIT_ID_TEXT + 1));
    arena_fini(&a);
}

/* ---- callers
 * ----------------------------------------------------------------------------------------------------------- */

struct caller {
    struct house *h;
    pthread_t thread;
    int number, bad;
    char user[LIMIT_ID_TEXT + 1];
};

static void *call_often(void *arg)
{
    struct caller *c = arg;
    struct arena a = {0};
    int i;

    arena_init(&a, METER_ARENA);
    for (i = 0; i < CALLS_EACH; i++) {
        struct credit_grant_req grant = {.actor_id = slice_of("usr_t"), .id = slice_of(c->user), .amount_nano = 10 + i};
        struct credits_req credits = {.actor_id = slice_of(c->user)};
        struct credit_grant_rep granted;
        struct credits_rep seen;

        arena_reset(&a);
        if (ASK(c->h, credit_grant_req, credit_grant_rep, &grant, &granted, &a) != ST_OK ||
            ASK(c->h, credits_req, credits_rep, &credits, &seen, &a) != ST_OK ||
            seen.balance_nano != granted.balance_nano)
            c->bad++; /* what was answered must be what is read next */
    }
    arena_fini(&a);
    return NULL;
}

static void many_callers_read_what_they_wrote(void **state)
{
    struct house *h = *state;
    struct caller callers[CALLERS];
    struct ledger_verify_req verify = {0};
    struct ledger_verify_rep rep;
    struct arena a = {0};
    int i;

    arena_init(&a, METER_ARENA);
    for (i = 0; i < CALLERS; i++) {
        char email[32];

        snprintf(email, sizeof(email), "u%d@x.test", i);
        callers[i] = (struct caller){.h = h, .number = i};
        make_user(h, email, 0, callers[i].user);
    }
    for (i = 0; i < CALLERS; i++)
        assert_int_equal(pthread_create(&callers[i].thread, NULL, call_often, &callers[i]), 0);
    for (i = 0; i < CALLERS; i++) {
        pthread_join(callers[i].thread, NULL);
        assert_int_equal(callers[i].bad, 0);
    }
    assert_int_equal(ASK(h, ledger_verify_req, ledger_verify_rep, &verify, &rep, &a), ST_OK);
    assert_true(rep.ok);
    assert_int_equal(rep.entries, 2 * (CALLERS * CALLS_EACH + 1));
    arena_fini(&a);
}

/* ---- one code, many hands ------------------------------------------------------------------------------------------
 */

#define HANDS 64
#define CODES 8

struct hand {
    struct house *h;
    pthread_barrier_t *start;
    pthread_t thread;
    const struct code_list_rep *codes;
    char user[LIMIT_ID_TEXT + 1];
    unsigned won[CODES], refused, other;
};

static void *redeem_all(void *arg)
{
    struct hand *c = arg;
    struct arena a = {0};
    size_t i;

    arena_init(&a, METER_ARENA);
    pthread_barrier_wait(c->start);
    for (i = 0; i < CODES; i++) {
        struct code_redeem_req req = {.actor_id = slice_of(c->user), .code = c->codes->data.items[i].code};
        struct credit_grant_rep rep;
        enum status st = ASK(c->h, code_redeem_req, credit_grant_rep, &req, &rep, &a);

        c->won[i] += st == ST_OK;
        c->refused += st == ST_CONFLICT;
        c->other += st != ST_OK && st != ST_CONFLICT;
    }
    arena_fini(&a);
    return NULL;
}

static void a_code_that_many_redeem_at_once_is_one_persons(void **state)
{
    struct house *h = *state;
    static struct hand hands[HANDS];
    struct code_create_req create = {.actor_id = slice_of("usr_t"), .amount_nano = METER_USD, .count = CODES};
    struct ledger_verify_req verify = {0};
    struct ledger_verify_rep report;
    struct code_list_rep codes;
    pthread_barrier_t start;
    struct arena a = {0};
    unsigned i, k;
    char email[32];

    arena_init(&a, METER_ARENA);
    assert_int_equal(ASK(h, code_create_req, code_list_rep, &create, &codes, &a), ST_OK);
    assert_int_equal(codes.data.n, CODES);
    pthread_barrier_init(&start, NULL, HANDS);
    for (i = 0; i < HANDS; i++) {
        hands[i] = (struct hand){.h = h, .start = &start, .codes = &codes};
        snprintf(email, sizeof(email), "h%u@x.test", i);
        make_user(h, email, 0, hands[i].user);
    }
    for (i = 0; i < HANDS; i++)
        assert_int_equal(pthread_create(&hands[i].thread, NULL, redeem_all, &hands[i]), 0);
    for (i = 0; i < HANDS; i++)
        pthread_join(hands[i].thread, NULL);
    for (k = 0; k < CODES; k++) {
        unsigned winners = 0;

        for (i = 0; i < HANDS; i++)
            winners += hands[i].won[k];
        assert_int_equal(winners, 1);
    }
    for (i = 0; i < HANDS; i++) {
        struct credits_req req = {.actor_id = slice_of(hands[i].user)};
        struct credits_rep rep;
        unsigned won = 0;

        for (k = 0; k < CODES; k++)
            won += hands[i].won[k];
        assert_int_equal(hands[i].other, 0);
        assert_int_equal(won + hands[i].refused, CODES);
        assert_int_equal(ASK(h, credits_req, credits_rep, &req, &rep, &a), ST_OK);
        assert_int_equal(rep.balance_nano, won * METER_USD);
    }
    assert_int_equal(ASK(h, ledger_verify_req, ledger_verify_rep, &verify, &report, &a), ST_OK);
    assert_true(report.ok);
    pthread_barrier_destroy(&start);
    arena_fini(&a);
}

/* The writer's own round, without anybody asking: within seconds of the change, in steps, and once. */
static void a_plans_monthly_credit_comes_by_itself(void **state)
{
    struct house *h = *state;
    struct plan_update_req plan = {.actor_id = slice_of("usr_t"), .name = slice_of("free"), .monthly_credit_nano = 77};
    struct credits_req req;
    struct credits_rep credits = {0};
    struct plan_rep rep;
    struct arena a = {0};
    uint64_t end = clock_ms() + CALL_MS;
    char user[LIMIT_ID_TEXT + 1];
    int i;

    arena_init(&a, METER_ARENA);
    make_user(h, "m@x.test", 0, user);
    req = (struct credits_req){.actor_id = slice_of(user)};
    assert_int_equal(ASK(h, plan_update_req, plan_rep, &plan, &rep, &a), ST_OK);
    do {
        assert_int_equal(ASK(h, credits_req, credits_rep, &req, &credits, &a), ST_OK);
        usleep(2000);
    } while (credits.balance_nano == 0 && clock_ms() < end);
    assert_int_equal(credits.balance_nano, 77);
    for (i = 0; i < 3; i++) { /* each change makes it look at everybody again */
        plan.rpm = 100 + (uint64_t)i;
        assert_int_equal(ASK(h, plan_update_req, plan_rep, &plan, &rep, &a), ST_OK);
        usleep(20000);
    }
    assert_int_equal(ASK(h, credits_req, credits_rep, &req, &credits, &a), ST_OK);
    assert_int_equal(credits.balance_nano, 77);
    arena_fini(&a);
}

static void a_refusal_carries_its_code(void **state)
{
    struct house *h = *state;
    struct user_put_req req = {.email = slice_of("a@x.test"),
                               .password_hash = slice_of("h"),
                               .role = slice_of("user"),
                               .plan = slice_of("free")};
    struct user_rep rep;
    struct err err = {0};
    struct arena a = {0};
    char id[LIMIT_ID_TEXT + 1];

    arena_init(&a, METER_ARENA);
    make_user(h, "a@x.test", 0, id);
    assert_int_equal(call_wait(h->client, &user_put_req_desc, &req, &user_rep_desc, &rep, &a, CALL_MS, &err),
                     ST_CONFLICT);
    assert_string_equal(err.code, "email_taken");
    arena_fini(&a);
}

/* ---- answers
 * ----------------------------------------------------------------------------------------------------------- */

struct putting {
    struct house *h;
    pthread_t thread;
    const char *key;
    struct slice body;
    enum status st;
    atomic_bool done;
};

static struct answer_begin_req asking(const char *key, const char *request_id)
{
    static const char digest[LIMIT_DIGEST + 1] = "0123456789abcdef0123456789abcdef";

    return (struct answer_begin_req){.key_digest = {digest, LIMIT_DIGEST},
                                     .idempotency_key = slice_of(key),
                                     .body_digest = {digest, LIMIT_DIGEST},
                                     .request_id = slice_of(request_id),
                                     .lease_ms = 60000};
}

static void *put_large(void *arg)
{
    struct putting *p = arg;
    struct answer_begin_req begun = asking(p->key, "req_1");
    struct answer_put_req req = {.key_digest = begun.key_digest,
                                 .idempotency_key = begun.idempotency_key,
                                 .request_id = begun.request_id,
                                 .http_status = 200,
                                 .content_type = slice_of("text/event-stream"),
                                 .body = p->body};
    struct empty rep;
    struct arena a = {0};

    arena_init(&a, METER_ARENA);
    p->st = ASK(p->h, answer_put_req, empty, &req, &rep, &a);
    atomic_store(&p->done, true);
    arena_fini(&a);
    return NULL;
}

/* Returns how many others wrote meanwhile. */
static int write_beside_an_answer(struct house *h, const char *user, const char *key, struct slice body)
{
    struct putting p = {.h = h, .key = key, .body = body};
    struct answer_begin_req first = asking(key, "req_1"), second = asking(key, "req_2");
    struct answer_begin_rep rep;
    struct arena a = {0};
    int written = 0;

    arena_init(&a, METER_ARENA);
    assert_int_equal(ASK(h, answer_begin_req, answer_begin_rep, &first, &rep, &a), ST_OK);
    assert_true(slice_is(rep.state, "begun"));
    assert_int_equal(pthread_create(&p.thread, NULL, put_large, &p), 0);
    while (!atomic_load(&p.done)) {
        struct credit_grant_req grant = {
            .actor_id = slice_of("usr_t"), .id = slice_of(user), .amount_nano = 1 + written};
        struct credit_grant_rep granted;

        arena_reset(&a);
        assert_int_equal(ASK(h, credit_grant_req, credit_grant_rep, &grant, &granted, &a), ST_OK);
        written += !atomic_load(&p.done);
    }
    pthread_join(p.thread, NULL);
    assert_int_equal(p.st, ST_OK);
    assert_int_equal(ASK(h, answer_begin_req, answer_begin_rep, &second, &rep, &a), ST_OK);
    assert_true(slice_is(rep.state, "stored"));
    assert_true(slice_eq(rep.body, p.body));
    arena_fini(&a);
    return written;
}

static void others_write_while_a_large_answer_comes(void **state)
{
    static const char *const keys[SLOW_TRIES] = {"k1", "k2", "k3", "k4", "k5"};
    struct house *h = *state;
    struct slice body = {calloc(1, LIMIT_BODY), LIMIT_BODY}, digest = asking("", "").key_digest;
    struct api_key key = {.id = slice_of("key_1"), .name = slice_of("n"), .prefix = slice_of("sk-or-")};
    struct key_put_req made = {.digest = digest, .key = {&key, 1}};
    struct empty none;
    struct arena a = {0};
    char user[LIMIT_ID_TEXT + 1];
    unsigned tries = 0;

    arena_init(&a, METER_ARENA);
    make_user(h, "a@x.test", 0, user);
    key.user_id = slice_of(user);
    assert_int_equal(ASK(h, key_put_req, empty, &made, &none, &a), ST_OK);
    while (write_beside_an_answer(h, user, keys[tries], body) < 8) /* between its 32 pieces; we may not get the CPU */
        assert_true(++tries < SLOW_TRIES);
    arena_fini(&a);
    free((void *)(uintptr_t)body.p);
}

/* ---- feeds
 * ------------------------------------------------------------------------------------------------------------- */

struct follower {
    atomic_int settled, resets;
    atomic_uint_fast64_t acked, revision, balance;
    struct feed_source *source;
};

static void on_reset(void *ctx)
{
    struct follower *f = ctx;

    atomic_fetch_add(&f->resets, 1);
}

static void on_change(void *ctx, const struct state_change *c)
{
    struct follower *f = ctx;
    struct settled settled;
    struct ack ack;

    if (c->kind == settled_desc.type &&
        wire_decode(&settled_desc, c->record.p, c->record.n, &settled, NULL, NULL) == ST_OK) {
        atomic_fetch_add(&f->settled, 1);
        atomic_store(&f->balance, (uint64_t)settled.balance_nano);
    }
    if (c->kind == ack_desc.type && wire_decode(&ack_desc, c->record.p, c->record.n, &ack, NULL, NULL) == ST_OK) {
        atomic_store(&f->acked, ack.acked_seq);
        feed_source_ack(f->source, &ack);
    }
}

static void on_applied(void *ctx, uint64_t revision)
{
    struct follower *f = ctx;

    atomic_store(&f->revision, revision);
}

struct outbox {
    struct usage_event events[EVENTS];
    char ids[EVENTS][16];
    size_t n;
};

static enum status read_outbox(void *ctx, uint64_t first_seq, size_t max, struct arena *a, struct usage_event **ret,
                               size_t *ret_n)
{
    struct outbox *box = ctx;
    size_t at = (size_t)first_seq - 1, n = at < box->n ? box->n - at : 0;

    n = n < max ? n : max;
    *ret = arena_alloc(a, (n + 1) * sizeof(**ret));
    if (!*ret)
        return ST_NO_MEMORY;
    memcpy(*ret, box->events + at, n * sizeof(**ret));
    *ret_n = n;
    return ST_OK;
}

static void nobody_waits(void *ctx, uint64_t seq)
{
    (void)ctx;
    (void)seq;
}

static bool wait_for(atomic_uint_fast64_t *what, uint64_t value)
{
    struct timespec step = {0, 2000000};
    uint64_t end = clock_ms() + PACE_PATIENCE_MS + 20000; /* a backlog gives way to whatever else runs */

    while (atomic_load(what) != value && clock_ms() < end)
        nanosleep(&step, NULL);
    return atomic_load(what) == value;
}

static void usage_goes_in_and_settlements_come_out(void **state)
{
    static const struct feed_follow_events events = {on_reset, on_change, on_applied};
    struct house *h = *state;
    struct outbox *box = calloc(1, sizeof(*box));
    struct follower f = {0};
    struct feed_follow *follow = NULL;
    struct feed_follow_options following;
    struct feed_source_options options = {.events_url = h->settings.meterd_events_url,
                                          .meterd = h->client,
                                          .source = "out1",
                                          .read = read_outbox,
                                          .acked = nobody_waits,
                                          .ctx = box};
    char user[LIMIT_ID_TEXT + 1];
    size_t i;

    make_user(h, "a@x.test", METER_USD, user);
    for (i = 0; i < EVENTS; i++) {
        snprintf(box->ids[i], sizeof(box->ids[i]), "req_%zu", i);
        box->events[i] = meter_event(slice_of(user), box->ids[i], 1); /* version 1 is echo's */
    }
    assert_int_equal(feed_source_new(&options, 0, 0, &f.source, NULL), ST_OK);
    following = (struct feed_follow_options){
        .feed_url = h->settings.meterd_feed_url, .meterd = h->client, .events = &events, .ctx = &f};
    assert_int_equal(feed_follow_new(&following, &follow, NULL), ST_OK);
    for (i = 0; i < EVENTS; i += 3) {
        box->n = i + 3;
        assert_int_equal(feed_source_publish(f.source, i + 1, box->events + i, 3), ST_OK);
    }
    assert_true(wait_for(&f.acked, EVENTS));
    assert_int_equal(atomic_load(&f.resets), 1);
    /* 1000 in, 100 out at 0.5 and 1.5 USD per 1M: 650,000 nano a call; the last ones go beyond the credit of 1 USD. */
    assert_int_equal(atomic_load(&f.balance), 0);
    feed_follow_free(follow);
    feed_source_free(f.source);
    stop(h);
    meter_open(&h->m);
    assert_int_equal(meter_number(&h->m, "SELECT count(*) FROM usage"), EVENTS);
    assert_int_equal(meter_number(&h->m, "SELECT sum(cost_nano) FROM usage"), METER_USD);
    assert_int_equal(meter_number(&h->m, "SELECT sum(cost_nano + overage_nano) FROM usage"), EVENTS * INT64_C(650000));
    meter_assert_clean(&h->m);
    meter_close(&h->m);
    start(h);
    free(box);
}

static void nonsense_on_the_usage_feed_is_dropped(void **state)
{
    struct house *h = *state;
    struct timespec settle = {0, 50000000};
    struct feed_at at = {.topic = CIPHER_USAGE};
    struct feed_pub *pub = NULL;
    struct credits_req req = {.actor_id = slice_of("usr_nobody")};
    struct credits_rep rep;
    struct arena a = {0};
    int i;

    arena_init(&a, METER_ARENA);
    at.url = h->settings.meterd_events_url;
    assert_int_equal(feed_pub_new(&at, &pub, NULL), ST_OK);
    for (i = 0; i < 20; i++) {
        feed_publish(pub, (struct slice){"\xdd\xff\xff\xff\xff garbage", 13});
        feed_publish(pub, (struct slice){"", 0});
        nanosleep(&settle, NULL);
    }
    assert_int_equal(ASK(h, credits_req, credits_rep, &req, &rep, &a), ST_NOT_FOUND);
    feed_pub_free(pub);
    arena_fini(&a);
}

static void a_second_service_on_the_file_does_not_start(void **state)
{
    struct house *h = *state;
    struct svc *second = NULL;
    struct err err = {0};

    assert_int_equal(svc_start(&meterd_def, &h->settings, &second, &err), ST_CONFLICT);
    assert_non_null(strstr(err.text, "another meterd"));
}

static void health_says_how_the_store_is(void **state)
{
    struct house *h = *state;
    struct health_rep rep = {0};
    struct arena a = {0};
    size_t i, n = 0;

    arena_init(&a, METER_ARENA);
    assert_int_equal(svc_health(h->svc, &a, &rep), ST_OK);
    assert_true(rep.ready);
    for (i = 0; i < rep.checks.n; i++)
        n += slice_is(rep.checks.items[i].name, "database") || slice_is(rep.checks.items[i].name, "disk") ||
             slice_is(rep.checks.items[i].name, "wal") || slice_is(rep.checks.items[i].name, "mailbox");
    assert_int_equal(n, 4);
    arena_fini(&a);
}

/* ---- holds
 * ---------------------------------------------------------------------------------------------------------------- */

static void deliver_running(struct house *h, const char *user, uint64_t seq, const char *id, uint64_t lease_ms)
{
    struct usage_event e = meter_event(slice_of(user), id, 1);
    struct usage_deliver_req req = {.source = slice_of("out1"), .first_seq = seq, .events = {&e, 1}};
    struct usage_deliver_rep rep;
    struct arena a = {0};

    e.status = slice_of("running");
    e.hold_nano = 100;
    e.lease_ms = lease_ms;
    arena_init(&a, METER_ARENA);
    assert_int_equal(ASK(h, usage_deliver_req, usage_deliver_rep, &req, &rep, &a), ST_OK);
    assert_int_equal(rep.acked_seq, seq);
    arena_fini(&a);
}

static size_t rows_with(struct house *h, const char *status)
{
    struct usage_list_req req = {.status = slice_of(status)};
    struct usage_list_rep rep;
    struct arena a = {0};
    size_t n;

    arena_init(&a, METER_ARENA);
    assert_int_equal(ASK(h, usage_list_req, usage_list_rep, &req, &rep, &a), ST_OK);
    n = rep.data.n;
    arena_fini(&a);
    return n;
}

static uint64_t open_holds(struct house *h)
{
    struct ledger_verify_req req = {0};
    struct ledger_verify_rep rep;
    struct arena a = {0};
    uint64_t n;

    arena_init(&a, METER_ARENA);
    assert_int_equal(ASK(h, ledger_verify_req, ledger_verify_rep, &req, &rep, &a), ST_OK);
    if (!rep.ok)
        fail_msg("ledger: " SLICE_FMT, SLICE_ARG(rep.problems.items[0].problem));
    n = rep.holds_open;
    arena_fini(&a);
    return n;
}

static void a_call_of_which_nothing_is_heard_expires_by_itself(void **state)
{
    struct house *h = *state;
    char user[LIMIT_ID_TEXT + 1];
    uint64_t began = clock_ms();

    make_user(h, "h@x.test", METER_USD, user);
    deliver_running(h, user, 1, "req_short", 200);
    deliver_running(h, user, 2, "req_long", 60000);
    /* The short one's lease begins anew with this process: its end comes later, but it comes. */
    stop(h);
    start(h);
    assert_true(open_holds(h) > 0);
    while (rows_with(h, "expired") == 0 && clock_ms() - began < CALL_MS)
        nanosleep(&(struct timespec){0, 20000000}, NULL);
    assert_int_equal(rows_with(h, "expired"), 1);
    assert_int_equal(open_holds(h), 1);
}

/* ---- the mailbox alone
 * ---------------------------------------------------------------------------------------------------- */

static void a_full_mailbox_refuses_and_a_closed_one_is_emptied(void **state)
{
    static struct mail_item taken[MAILBOX_ITEMS];
    struct mailbox_wait wait = {.until_ms = 0, .enough = 1};
    struct mail_events large = {.n_bytes = MAILBOX_BYTES};
    struct mail_item item = {.events = &large};
    struct mailbox m;
    bool closed = false;
    size_t n;

    (void)state;
    assert_int_equal(mailbox_init(&m), ST_OK);
    assert_true(mailbox_put(&m, &item));
    item.events->n_bytes = MAILBOX_BYTES;
    assert_false(mailbox_put(&m, &item)); /* full in bytes */
    item.events = NULL;
    for (n = 1; mailbox_put(&m, &item); n++)
        continue;
    assert_int_equal(n, MAILBOX_ITEMS);
    assert_int_equal(mailbox_depth(&m), MAILBOX_ITEMS);
    assert_int_equal(mailbox_take(&m, &wait, taken, 500, &closed), 500);
    assert_true(mailbox_put(&m, &item));
    mailbox_close(&m);
    assert_false(mailbox_put(&m, &item));
    assert_int_equal(mailbox_take(&m, &wait, taken, MAILBOX_ITEMS, &closed), MAILBOX_ITEMS - 499);
    assert_true(closed);
    assert_int_equal(mailbox_take(&m, &wait, taken, 1, &closed), 0);
    mailbox_fini(&m);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(many_callers_read_what_they_wrote),
        T(a_code_that_many_redeem_at_once_is_one_persons),
        T(a_plans_monthly_credit_comes_by_itself),
        T(a_refusal_carries_its_code),
        T(others_write_while_a_large_answer_comes),
        T(usage_goes_in_and_settlements_come_out),
        T(nonsense_on_the_usage_feed_is_dropped),
        T(a_second_service_on_the_file_does_not_start),
        T(health_says_how_the_store_is),
        T(a_call_of_which_nothing_is_heard_expires_by_itself),
        cmocka_unit_test(a_full_mailbox_refuses_and_a_closed_one_is_emptied),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
