/* The connection to Redis, with a real server: each call is ended once and with its own answer, whatever happens to the
 * server in the meantime. */
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
#include <hiredis/hiredis.h>

#include "authsvc/redis.h"
#include "services/clock.h"
#include "tests/lib/redis_server.h"
#include "tests/lib/slow.h"

#define SOON_MS 10000
#define LOOK_US 1000
#define THREADS 8u
#define CALLS 10000u
#define TIMEOUT_MS 500u
#define LOG_MAX 65536

/* What is asked for is the first word. "count" counts in the server: what was done can be told from what was answered.
 */
static const char script[] = "local what = ARGV[1]\n"
                             "if what == 'echo' then return ARGV[2] end\n"
                             "if what == 'count' then redis.call('INCR', 'n') return ARGV[2] end\n"
                             "if what == 'n' then return redis.call('GET', 'n') end\n"
                             "if what == 'fill' then redis.call('SET', ARGV[2], ARGV[3]) return 'ok' end\n"
                             "return redis.error_reply('WRONG no such word')\n";

struct world {
    struct redis_server server;
    struct redis *redis;
    struct log log;
    FILE *log_file;
    atomic_uint ups, downs;
    char run_id[64]; /* of the last up; read once ups says so */
};

struct result {
    bool refused; /* not taken: it never ends */
    atomic_uint ended;
    enum status st;
    size_t n;
    char text[64];
};

static void note(void *ctx, enum status st, const struct redisReply *reply)
{
    struct result *to = ctx;

    to->st = st;
    if (st == ST_OK && reply->str) {
        to->n = reply->len;
        memcpy(to->text, reply->str, reply->len < sizeof(to->text) ? reply->len : sizeof(to->text));
    }
    assert_true((st == ST_OK) == (reply != NULL));
    atomic_fetch_add(&to->ended, 1);
}

static void up(void *ctx, const char *run_id)
{
    struct world *w = ctx;

    snprintf(w->run_id, sizeof(w->run_id), "%s", run_id);
    atomic_fetch_add(&w->ups, 1);
}

static void down(void *ctx)
{
    struct world *w = ctx;

    atomic_fetch_add(&w->downs, 1);
}

static bool eventually(bool (*is)(void *ctx), void *ctx)
{
    uint64_t due_ms = clock_ms() + slow_ms(SOON_MS);

    while (!is(ctx)) {
        if (clock_ms() > due_ms)
            return false;
        usleep(LOOK_US);
    }
    return true;
}

static bool is_up(void *ctx)
{
    return redis_is_up(((struct world *)ctx)->redis);
}

static bool is_down(void *ctx)
{
    return !is_up(ctx);
}

static bool has_ended(void *ctx)
{
    return atomic_load(&((struct result *)ctx)->ended) > 0;
}

static bool was_down(void *ctx)
{
    return atomic_load(&((struct world *)ctx)->downs) > 0;
}

static void open_url(struct world *w, const char *url, unsigned timeout_ms)
{
    struct redis_options o = {.url = url, .script = script, .timeout_ms = timeout_ms, .log = &w->log};
    struct err err = {.status = ST_OK};

    o.up = up;
    o.down = down;
    o.ctx = w;
    if (redis_new(&o, &w->redis, &err) != ST_OK)
        fail_msg("%s", err.text);
}

static void begin(struct world *w, bool tcp, const char *const *more)
{
    redis_server_start(&w->server, tcp, more);
    open_url(w, w->server.url, 0);
    assert_true(eventually(is_up, w));
}

static int start(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    w->log_file = tmpfile();
    w->log = (struct log){.service = "test", .level = LOG_INFO, .fd = fileno(w->log_file)};
    *state = w;
    return 0;
}

static int stop(void **state)
{
    struct world *w = *state;

    redis_free(w->redis);
    redis_server_free(&w->server);
    fclose(w->log_file);
    free(w);
    return 0;
}

static bool logged(struct world *w, const char *what)
{
    char *text = calloc(1, LOG_MAX);
    ssize_t n = pread(fileno(w->log_file), text, LOG_MAX - 1, 0);
    bool yes = n > 0 && strstr(text, what) != NULL;

    free(text);
    return yes;
}

static enum status eval(struct world *w, const char *what, struct slice arg, struct result *to)
{
    struct slice args[] = {slice_of(what), arg};

    return redis_eval(w->redis, args, 2, note, to);
}

/* With an answer, or the status that it ends with at once. */
static enum status ask(struct world *w, const char *what, const char *arg, struct result *to)
{
    enum status st;

    *to = (struct result){.n = 0};
    st = eval(w, what, slice_of(arg), to);
    if (st != ST_OK)
        return st;
    assert_true(eventually(has_ended, to));
    return to->st;
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

static void urls_are_judged(void **state)
{
    static const char *const good[] = {"redis://h",
                                       "redis://h:1/0",
                                       "redis://:p@h",
                                       "redis://u:p%40%2F@1.2.3.4:6379/15",
                                       "redis://[::1]",
                                       "redis://[fd00::1]:6380/3",
                                       "redis://a-b_c.example/",
                                       "unix:///a",
                                       "unix:///run/redis.sock?db=3",
                                       "redis://u:a@b@h"};
    static const struct {
        const char *url, *says;
    } bad[] = {
        {"redis://", "no host"},
        {"redis://hidden@h", "user:password"},
        {"redis://u:@h", "user:password"},
        {"redis://u:hidden@", "no host"},
        {"redis://u:hidden@h:0", "port"},
        {"redis://u:hidden@h:65536", "port"},
        {"redis://u:hidden@h:", "port"},
        {"redis://u:hidden@h:6379x", "port"},
        {"redis://u:hidden@h/x", "database"},
        {"redis://u:hidden/more@h", "%2F"},
        {"redis://u:hidden%4@h", "hex"},
        {"redis://u:hidden%00@h", "hex"},
        {"redis://u:hidden@h h", "host"},
        {"redis://u:hidden@[::1", "IPv6"},
        {"redis://u:hidden@[::1]6379", "IPv6"},
        {"redis://u:hidden@h/1?x", "database"},
        {"rediss://u:hidden@h", "stunnel"},
        {"unix://relative", "root"},
        {"unix:///a?hidden", "db="},
        {"http://u:hidden@h", "redis://"},
    };
    struct err err;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        if (redis_url_check(good[i], &err) != ST_OK)
            fail_msg("%s: %s", good[i], err.text);
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (redis_url_check(bad[i].url, &err) != ST_BAD_REQUEST)
            fail_msg("%s was taken", bad[i].url);
        if (strncmp(err.text, "REDIS_URL: ", 11) != 0 || !strstr(err.text, bad[i].says) || strstr(err.text, "hidden"))
            fail_msg("%s: %s", bad[i].url, err.text);
    }
}

static void bytes_come_back_as_they_were(void **state)
{
    struct world *w = *state;
    const struct slice any = {"\0a\r\n$\xff\0", 7};
    struct result got = {.n = 0};

    begin(w, true, NULL);
    assert_int_equal(eval(w, "echo", any, &got), ST_OK);
    assert_true(eventually(has_ended, &got));
    assert_int_equal(got.st, ST_OK);
    assert_int_equal(got.n, any.n);
    assert_memory_equal(got.text, any.p, any.n);
    assert_int_equal(ask(w, "echo", "", &got), ST_OK);
    assert_int_equal(got.n, 0);
    assert_int_equal(strlen(w->run_id), 40);
    assert_true(logged(w, "redis_up"));
}

struct caller {
    struct world *w;
    struct result *results;
    unsigned first, n, taken;
    pthread_t thread;
};

static void *call_many(void *ctx)
{
    struct caller *c = ctx;
    unsigned i;

    for (i = c->first; i < c->first + c->n; i++) {
        char text[16];

        snprintf(text, sizeof(text), "%u", i);
        if (eval(c->w, "count", slice_of(text), &c->results[i]) == ST_OK)
            c->taken++;
        else
            c->results[i].refused = true;
    }
    return NULL;
}

static unsigned start_callers(struct world *w, struct caller callers[THREADS], struct result *results)
{
    unsigned i;

    for (i = 0; i < THREADS; i++) {
        callers[i] = (struct caller){.w = w, .results = results, .first = i * (CALLS / THREADS), .n = CALLS / THREADS};
        assert_int_equal(pthread_create(&callers[i].thread, NULL, call_many, &callers[i]), 0);
    }
    return CALLS;
}

/* Returns how many were answered ST_OK; each call that was taken has ended once. */
static unsigned settle(struct caller callers[THREADS], struct result *results, unsigned *ret_unknown)
{
    unsigned i, ok = 0;

    for (i = 0; i < THREADS; i++)
        pthread_join(callers[i].thread, NULL);
    for (i = 0; i < CALLS; i++) {
        char text[16];

        if (results[i].refused)
            continue;
        assert_true(eventually(has_ended, &results[i]));
        assert_int_equal(atomic_load(&results[i].ended), 1);
        snprintf(text, sizeof(text), "%u", i);
        if (results[i].st == ST_OK) {
            assert_string_equal(results[i].text, text);
            ok++;
        } else if (results[i].st == ST_TIMEOUT) {
            (*ret_unknown)++;
        } else {
            assert_int_equal(results[i].st, ST_UNAVAILABLE);
        }
    }
    return ok;
}

static void each_of_many_gets_its_own_answer(void **state)
{
    struct world *w = *state;
    struct result *results = calloc(CALLS, sizeof(*results)), n;
    struct caller callers[THREADS];
    unsigned unknown = 0;

    begin(w, false, NULL);
    start_callers(w, callers, results);
    assert_int_equal(settle(callers, results, &unknown), CALLS);
    assert_int_equal(ask(w, "n", "", &n), ST_OK);
    assert_string_equal(n.text, "10000");
    free(results);
}

static void server_command(struct world *w, const char *command)
{
    redisContext *c = redisConnectUnix(w->server.socket);
    redisReply *reply;

    assert_true(c && !c->err);
    reply = redisCommand(c, command);
    assert_non_null(reply);
    assert_int_not_equal(reply->type, REDIS_REPLY_ERROR);
    freeReplyObject(reply);
    redisFree(c);
}

static void flushed_scripts_are_loaded_again(void **state)
{
    struct world *w = *state;
    struct result *results = calloc(CALLS, sizeof(*results)), n;
    struct caller callers[THREADS];
    unsigned unknown = 0;

    begin(w, true, NULL);
    server_command(w, "SCRIPT FLUSH");
    assert_int_equal(ask(w, "count", "x", &n), ST_OK);
    start_callers(w, callers, results);
    server_command(w, "SCRIPT FLUSH");
    assert_int_equal(settle(callers, results, &unknown), CALLS);
    assert_int_equal(ask(w, "n", "", &n), ST_OK);
    assert_string_equal(n.text, "10001");
    assert_int_equal(atomic_load(&w->downs), 0);
    free(results);
}

static void a_killed_server_ends_every_call_once(void **state)
{
    struct world *w = *state;
    struct result *results = calloc(CALLS, sizeof(*results)), got;
    struct caller callers[THREADS];
    unsigned unknown = 0;
    char before[64];

    begin(w, true, NULL);
    memcpy(before, w->run_id, sizeof(before));
    start_callers(w, callers, results);
    assert_true(eventually(has_ended, &results[0]));
    redis_server_kill(&w->server);
    settle(callers, results, &unknown);
    assert_true(eventually(was_down, w));
    assert_int_equal(ask(w, "echo", "x", &got), ST_UNAVAILABLE);
    assert_true(logged(w, "redis_down"));
    redis_server_restart(&w->server);
    assert_true(eventually(is_up, w));
    assert_int_equal(atomic_load(&w->ups), 2);
    assert_string_not_equal(w->run_id, before);
    assert_int_equal(ask(w, "echo", "y", &got), ST_OK);
    free(results);
}

/* Nobody calls: the loss is seen all the same, so that the next call is not one whose fate is unknown. */
static void a_loss_is_seen_without_a_call(void **state)
{
    struct world *w = *state;

    begin(w, false, NULL);
    redis_server_kill(&w->server);
    assert_true(eventually(is_down, w));
    assert_true(eventually(was_down, w));
}

static void a_server_that_hangs_times_out(void **state)
{
    struct world *w = *state;
    struct result got = {.n = 0};
    uint64_t began;

    redis_server_start(&w->server, true, NULL);
    open_url(w, w->server.url, TIMEOUT_MS);
    assert_true(eventually(is_up, w));
    redis_server_stop(&w->server);
    began = clock_ms();
    assert_int_equal(ask(w, "echo", "x", &got), ST_TIMEOUT);
    assert_in_range(clock_ms() - began, TIMEOUT_MS - 1, slow_ms(3u * TIMEOUT_MS));
    assert_true(eventually(was_down, w));
    redis_server_cont(&w->server);
    assert_true(eventually(is_up, w));
    assert_int_equal(ask(w, "echo", "x", &got), ST_OK);
}

static void passwords_and_databases_are_used(void **state)
{
    struct world *w = *state;
    static const char *const more[] = {"--requirepass", "p@ss/w", NULL};
    char url[REDIS_SERVER_URL_MAX];
    struct result got;
    uint64_t due_ms = clock_ms() + slow_ms(SOON_MS);

    redis_server_start(&w->server, true, more);
    snprintf(url, sizeof(url), "redis://:wr0ng@127.0.0.1:%d", w->server.port);
    open_url(w, url, 0);
    while (!logged(w, "redis_refused") && clock_ms() < due_ms)
        usleep(LOOK_US);
    assert_true(logged(w, "redis_refused"));
    assert_false(logged(w, "wr0ng"));
    assert_false(redis_is_up(w->redis));
    redis_free(w->redis);
    w->redis = NULL;
    snprintf(url, sizeof(url), "redis://default:p%%40ss%%2Fw@127.0.0.1:%d/3", w->server.port);
    open_url(w, url, 0);
    assert_true(eventually(is_up, w));
    assert_int_equal(ask(w, "count", "x", &got), ST_OK);
    redis_free(w->redis);
    snprintf(url, sizeof(url), "redis://:p%%40ss%%2Fw@127.0.0.1:%d", w->server.port);
    open_url(w, url, 0);
    assert_true(eventually(is_up, w));
    assert_int_equal(ask(w, "n", "", &got), ST_OK);
    assert_int_equal(got.n, 0); /* in database 0 nothing was counted */
    assert_false(logged(w, "p@ss"));
}

static void a_full_memory_refuses(void **state)
{
    struct world *w = *state;
    static const char *const more[] = {"--maxmemory", "3mb", "--maxmemory-policy", "noeviction", NULL};
    char *big = calloc(1, 4u << 20);
    struct slice args[] = {slice_of("fill"), slice_of("k"), {big, 4u << 20}};
    struct result got = {.n = 0};

    begin(w, false, more);
    assert_false(logged(w, "redis_evicts"));
    assert_int_equal(redis_eval(w->redis, args, 3, note, &got), ST_OK);
    assert_true(eventually(has_ended, &got));
    /* one that is too big for the memory is either refused or the last */
    assert_int_equal(ask(w, "count", "x", &got), ST_UNAVAILABLE);
    assert_int_equal(ask(w, "echo", "x", &got), ST_OK);
    assert_true(logged(w, "OOM"));
    assert_int_equal(atomic_load(&w->downs), 0);
    free(big);
}

static void who_evicts_is_warned_of(void **state)
{
    static const char *const more[] = {"--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru", NULL};

    begin(*state, false, more);
    assert_true(logged(*state, "redis_evicts"));
}

static void a_cluster_is_refused(void **state)
{
    struct world *w = *state;
    static const char *const more[] = {"--cluster-enabled", "yes", NULL};
    uint64_t due_ms = clock_ms() + slow_ms(SOON_MS);
    char path[64];

    redis_server_start(&w->server, true, more);
    open_url(w, w->server.url, 0);
    while (!logged(w, "Cluster") && clock_ms() < due_ms)
        usleep(LOOK_US);
    assert_true(logged(w, "redis_refused") && logged(w, "Cluster"));
    assert_int_equal(atomic_load(&w->ups), 0);
    redis_server_kill(&w->server);
    snprintf(path, sizeof(path), "%s/nodes.conf", w->server.dir);
    unlink(path);
}

/* Also one that becomes a replica under a connection: it does not run the script. */
static void a_replica_is_refused(void **state)
{
    struct world *w = *state;
    struct result got;

    begin(w, true, NULL);
    server_command(w, "REPLICAOF 127.0.0.1 1");
    assert_int_equal(ask(w, "count", "x", &got), ST_UNAVAILABLE);
    assert_true(eventually(was_down, w));
    server_command(w, "REPLICAOF NO ONE");
    assert_true(eventually(is_up, w));
    assert_int_equal(ask(w, "n", "", &got), ST_OK);
    assert_int_equal(got.n, 0);
}

static void an_error_of_the_script_is_told(void **state)
{
    struct world *w = *state;
    struct result got;

    begin(w, false, NULL);
    assert_int_equal(ask(w, "nonsense", "x", &got), ST_INTERNAL);
    assert_true(logged(w, "WRONG no such word"));
    assert_int_equal(ask(w, "echo", "x", &got), ST_OK);
    assert_int_equal(atomic_load(&w->downs), 0);
}

static void the_queue_is_bounded_and_a_close_ends_it(void **state)
{
    struct world *w = *state;
    const unsigned max = REDIS_QUEUE_MAX + REDIS_BATCH_MAX + 1;
    struct result *results = calloc(max, sizeof(*results));
    unsigned taken = 0, i;

    redis_server_start(&w->server, false, NULL);
    open_url(w, w->server.url, 60000);
    assert_true(eventually(is_up, w));
    redis_server_stop(&w->server);
    while (taken < max && eval(w, "echo", slice_of("x"), &results[taken]) == ST_OK)
        taken++;
    assert_in_range(taken, REDIS_QUEUE_MAX, max - 1);
    assert_int_equal(atomic_load(&results[0].ended), 0);
    redis_server_kill(&w->server);
    redis_close(w->redis);
    redis_close(w->redis);
    for (i = 0; i < taken; i++) {
        assert_int_equal(atomic_load(&results[i].ended), 1);
        assert_true(results[i].st == ST_UNAVAILABLE || results[i].st == ST_TIMEOUT);
    }
    assert_int_equal(results[0].st, ST_TIMEOUT);
    assert_int_equal(results[taken - 1].st, ST_UNAVAILABLE);
    assert_int_equal(eval(w, "echo", slice_of("x"), &results[0]), ST_UNAVAILABLE);
    free(results);
    redis_close(NULL);
    redis_free(NULL);
}

static void a_close_does_not_wait_for_who_is_away(void **state)
{
    struct world *w = *state;
    uint64_t began;

    open_url(w, "unix:///tmp/test_redis-no-such-socket", 0);
    assert_false(redis_is_up(w->redis));
    began = clock_ms();
    redis_close(w->redis);
    assert_in_range(clock_ms() - began, 0, slow_ms(900));
    assert_int_equal(atomic_load(&w->downs), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(urls_are_judged),
        T(bytes_come_back_as_they_were),
        T(each_of_many_gets_its_own_answer),
        T(flushed_scripts_are_loaded_again),
        T(a_killed_server_ends_every_call_once),
        T(a_loss_is_seen_without_a_call),
        T(a_server_that_hangs_times_out),
        T(passwords_and_databases_are_used),
        T(a_full_memory_refuses),
        T(who_evicts_is_warned_of),
        T(a_cluster_is_refused),
        T(a_replica_is_refused),
        T(an_error_of_the_script_is_told),
        T(the_queue_is_bounded_and_a_close_ends_it),
        T(a_close_does_not_wait_for_who_is_away),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
