/* E-mail and password rules, Argon2id, and the worker that hashes. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "authsvc/password.h"
#include "authsvc/worker.h"
#include "services/clock.h"

static void addresses_are_checked_and_lowered(void **state)
{
    static const char *const bad[] = {"",
                                      "a",
                                      "@",
                                      "a@",
                                      "@b",
                                      "a@@b",
                                      "a@b@c",
                                      "a b@c.d",
                                      "a@b c",
                                      "a\n@b.c",
                                      "a@b.c\r\n",
                                      "a@b\x7f",
                                      "a@.b",
                                      "a@b.",
                                      "<a>@b",
                                      "a,b@c.de",
                                      "\xc3\xa4@b",
                                      "a@b\"c",
                                      "a@b;DROP TABLE"};
    char to[LIMIT_EMAIL + 1], longest[LIMIT_EMAIL + 2];
    struct err err = {0};
    size_t i;

    (void)state;
    assert_int_equal(password_email(slice_of("Some.Body+x@Example.COM"), to, NULL), ST_OK);
    assert_string_equal(to, "some.body+x@example.com");
    assert_int_equal(password_email(slice_of("admin@localhost"), to, NULL), ST_OK);
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (password_email(slice_of(bad[i]), to, &err) != ST_BAD_REQUEST)
            fail_msg("accepted: %s", bad[i]);
    assert_string_equal(err.param, "email");
    memset(longest, 'a', sizeof(longest));
    longest[64] = '@';
    longest[LIMIT_EMAIL] = '\0';
    assert_int_equal(password_email(slice_of(longest), to, NULL), ST_OK);
    longest[LIMIT_EMAIL] = 'a';
    assert_int_equal(password_email((struct slice){longest, LIMIT_EMAIL + 1}, to, NULL), ST_BAD_REQUEST);
    longest[64] = 'a';
    longest[65] = '@';
    assert_int_equal(password_email((struct slice){longest, LIMIT_EMAIL}, to, NULL), ST_BAD_REQUEST);
}

static void passwords_have_bounds(void **state)
{
    static char text[LIMIT_PASSWORD + 1];

    (void)state;
    memset(text, 'x', sizeof(text));
    assert_int_equal(password_rules((struct slice){text, 7}, "password", NULL), ST_BAD_REQUEST);
    assert_int_equal(password_rules((struct slice){text, 8}, "password", NULL), ST_OK);
    assert_int_equal(password_rules((struct slice){text, LIMIT_PASSWORD}, "password", NULL), ST_OK);
    assert_int_equal(password_rules((struct slice){text, LIMIT_PASSWORD + 1}, "password", NULL), ST_BAD_REQUEST);
}

static void a_hash_matches_its_password_only(void **state)
{
    char hash[PASSWORD_HASH_SIZE];
    char longer[72 + 2];

    (void)state;
    memset(longer, 'p', sizeof(longer));
    assert_int_equal(password_hash((struct slice){longer, 73}, hash, NULL), ST_OK);
    assert_int_equal(strncmp(hash, "$argon2id$", 10), 0);
    assert_true(password_verify(slice_of(hash), (struct slice){longer, 73}));
    assert_false(password_verify(slice_of(hash), (struct slice){longer, 72})); /* nothing is cut off, unlike bcrypt */
    assert_false(password_verify(slice_of(hash), (struct slice){longer, 74}));
    assert_false(password_verify(slice_of("$argon2id$nonsense"), slice_of("password")));
    assert_false(password_verify((struct slice){hash, 40}, (struct slice){longer, 73}));
}

/* Whoever does not exist must not be told apart by time: the dummy has to be a hash that is really computed. */
static void an_unknown_account_takes_as_long(void **state)
{
    char hash[PASSWORD_HASH_SIZE];
    uint64_t began, known, unknown;

    (void)state;
    assert_int_equal(password_hash(slice_of("correct horse"), hash, NULL), ST_OK);
    began = clock_thread_ns();
    assert_false(password_verify(slice_of(hash), slice_of("wrong horse")));
    known = clock_thread_ns() - began;
    began = clock_thread_ns();
    assert_false(password_verify((struct slice){NULL, 0}, slice_of("wrong horse")));
    unknown = clock_thread_ns() - began;
    assert_true(unknown > known / 4); /* a refused record would take no time at all */
    assert_true(unknown < known * 4);
}

/* ---- the worker ---------------------------------------------------------------------------------------------------
 */

struct test_job {
    struct worker_job job;
    pthread_mutex_t *gate; /* held by the test while the worker is to be busy */
    int runs, closed;
};

static void run(struct worker_job *job, bool closing)
{
    struct test_job *j = (struct test_job *)(void *)job;

    if (j->gate) {
        pthread_mutex_lock(j->gate);
        pthread_mutex_unlock(j->gate);
    }
    j->runs++;
    j->closed += closing;
}

static void a_full_queue_refuses_and_every_job_runs_once(void **state)
{
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    struct test_job jobs[WORKER_QUEUE + 3];
    struct worker *w = NULL;
    struct err err = {0};
    size_t i, taken = 0, ran = 0;

    (void)state;
    memset(jobs, 0, sizeof(jobs));
    assert_int_equal(worker_new(NULL, &w, NULL), ST_OK);
    pthread_mutex_lock(&gate);
    for (i = 0; i < WORKER_QUEUE + 3; i++) {
        jobs[i].job.run = run;
        jobs[i].gate = &gate;
        if (worker_add(w, &jobs[i].job, &err) == ST_OK)
            taken++;
    }
    /* one may be at work already; all others wait in the queue */
    assert_in_range(taken, WORKER_QUEUE, WORKER_QUEUE + 1);
    assert_int_equal(err.status, ST_SLOW_DOWN);
    assert_int_equal(err.retry_after_ms, WORKER_RETRY_MS);
    pthread_mutex_unlock(&gate);
    worker_close(w);
    for (i = 0; i < WORKER_QUEUE + 3; i++) {
        assert_in_range(jobs[i].runs, 0, 1);
        ran += (size_t)jobs[i].runs;
    }
    assert_int_equal(ran, taken);
    assert_int_equal(worker_add(w, &jobs[0].job, NULL), ST_DRAINING);
    worker_free(w);
    worker_free(NULL);
}

static int prepare(void **state)
{
    (void)state;
    return sodium_init() < 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_checked_and_lowered),
        cmocka_unit_test(passwords_have_bounds),
        cmocka_unit_test(a_hash_matches_its_password_only),
        cmocka_unit_test(an_unknown_account_takes_as_long),
        cmocka_unit_test(a_full_queue_refuses_and_every_job_runs_once),
    };

    return cmocka_run_group_tests(tests, prepare, NULL);
}
