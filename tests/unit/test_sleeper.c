/* sleeper: the thread that works now and then. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "services/clock.h"
#include "services/sleeper.h"

#define STACK (64u * 1024u)
#define LONG_MS 60000
#define SOON_MS 5000 /* what does not wait for LONG_MS ends long before this */

struct worker {
    struct sleeper sleeper;
    unsigned asked, done;
};

static void *work(void *ctx)
{
    struct worker *w = ctx;

    pthread_mutex_lock(&w->sleeper.lock);
    while (!w->sleeper.closing) {
        if (w->done == w->asked) {
            sleeper_wait(&w->sleeper, clock_ms() + LONG_MS);
            continue;
        }
        w->done++;
        sleeper_ring(&w->sleeper);
    }
    pthread_mutex_unlock(&w->sleeper.lock);
    return NULL;
}

static void the_bell_wakes_it_and_stop_ends_it(void **state)
{
    struct worker w = {.asked = 0};
    uint64_t began = clock_ms();
    struct err err = {0};

    (void)state;
    assert_false(sleeper_runs(&w.sleeper));
    sleeper_stop(&w.sleeper); /* never started: nothing */
    assert_int_equal(sleeper_start(&w.sleeper, "a test", work, &w, STACK, &err), ST_OK);
    assert_true(sleeper_runs(&w.sleeper));
    pthread_mutex_lock(&w.sleeper.lock);
    w.asked = 3;
    sleeper_ring(&w.sleeper);
    while (w.done < 3 && clock_ms() - began < SOON_MS)
        sleeper_wait(&w.sleeper, began + SOON_MS);
    pthread_mutex_unlock(&w.sleeper.lock);
    assert_int_equal(w.done, 3);
    sleeper_stop(&w.sleeper);
    assert_false(sleeper_runs(&w.sleeper));
    assert_true(clock_ms() - began < SOON_MS);
}

static void *rest(void *ctx)
{
    struct worker *w = ctx;

    sleeper_rest(&w->sleeper, 20);
    pthread_mutex_lock(&w->sleeper.lock);
    w->done = 1;
    sleeper_ring(&w->sleeper);
    pthread_mutex_unlock(&w->sleeper.lock);
    sleeper_rest(&w->sleeper, LONG_MS);
    return NULL;
}

static void a_rest_has_its_time_unless_it_is_stopped(void **state)
{
    struct worker w = {.asked = 0};
    uint64_t began = clock_ms();

    (void)state;
    assert_int_equal(sleeper_start(&w.sleeper, "a test", rest, &w, STACK, NULL), ST_OK);
    pthread_mutex_lock(&w.sleeper.lock);
    while (w.done == 0 && clock_ms() - began < SOON_MS)
        sleeper_wait(&w.sleeper, began + SOON_MS);
    pthread_mutex_unlock(&w.sleeper.lock);
    assert_true(clock_ms() - began >= 20);
    sleeper_stop(&w.sleeper);
    assert_true(clock_ms() - began < SOON_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bell_wakes_it_and_stop_ends_it),
        cmocka_unit_test(a_rest_has_its_time_unless_it_is_stopped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
