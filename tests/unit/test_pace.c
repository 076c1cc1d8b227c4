/* What the writer takes first from its mailbox, and how it yields while it makes up for a backlog. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "meterd/idle.h"
#include "meterd/mailbox.h"
#include "meterd/pace.h"
#include "services/clock.h"

#define MS UINT64_C(1000000)
#define NOW UINT64_C(1000000) /* some monotonic time, ms */

static struct svc_call somebody;

static int make(void **state)
{
    static struct mailbox box;

    *state = &box;
    return mailbox_init(&box) == ST_OK ? 0 : -1;
}

static int unmake(void **state)
{
    mailbox_fini(*state);
    return 0;
}

static void put(struct mailbox *m, enum lane lane, size_t usage, uint64_t mark)
{
    struct mail_item item = {.lane = lane, .usage = usage, .at_ms = mark};

    if (lane != LANE_INGEST)
        item.call = &somebody;
    assert_true(mailbox_put(m, &item));
}

static size_t take(struct mailbox *m, struct mail_item *to, size_t max, size_t most_usage)
{
    struct mailbox_wait wait = {.enough = 1, .most_usage = most_usage};
    bool closed = false;

    return mailbox_take(m, &wait, to, max, &closed);
}

static void commands_go_before_usage_and_each_line_keeps_its_order(void **state)
{
    struct mail_item got[8];

    put(*state, LANE_INGEST, 10, 1);
    put(*state, LANE_WRITE, 0, 2);
    put(*state, LANE_INGEST, 20, 3);
    put(*state, LANE_WRITE, 0, 4);
    assert_int_equal(mailbox_usage(*state), 30);
    assert_int_equal(take(*state, got, 8, 0), 4);
    assert_int_equal(got[0].at_ms, 2);
    assert_int_equal(got[1].at_ms, 4);
    assert_int_equal(got[2].at_ms, 1);
    assert_int_equal(got[3].at_ms, 3);
    assert_int_equal(mailbox_usage(*state), 0);
}

static void a_take_has_so_much_usage_and_one_item_at_least(void **state)
{
    struct mail_item got[8];
    int i;

    for (i = 0; i < 4; i++)
        put(*state, LANE_INGEST, 300, (uint64_t)i);
    assert_int_equal(take(*state, got, 8, 500), 2);
    assert_int_equal(take(*state, got, 8, 100), 1);
    for (i = 0; i < 8; i++)
        put(*state, LANE_WRITE, 0, 9);
    assert_int_equal(take(*state, got, 4, 100), 4); /* commands without end do not keep usage out */
    assert_int_equal(got[2].lane, LANE_WRITE);
    assert_int_equal(got[3].lane, LANE_INGEST);
    assert_int_equal(take(*state, got, 8, 100), 5);
}

static void a_command_is_seen_without_a_lock(void **state)
{
    struct mail_item got[8];

    assert_false(mailbox_wanted(*state));
    put(*state, LANE_INGEST, 1, 1);
    assert_false(mailbox_wanted(*state)); /* usage can wait */
    put(*state, LANE_WRITE, 0, 1);
    assert_true(mailbox_wanted(*state));
    assert_int_equal(take(*state, got, 8, 0), 2);
    assert_false(mailbox_wanted(*state));
    mailbox_close(*state);
    assert_true(mailbox_wanted(*state));
}

/* ---- the pace
 * ---------------------------------------------------------------------------------------------------------- */

static void only_a_backlog_is_paced(void **state)
{
    struct pace p = {.box = *state};
    struct mail_item item = {.lane = LANE_INGEST, .usage = 60};

    pace_look(&p, &item, 1, NOW);
    assert_false(p.on);
    put(*state, LANE_INGEST, PACE_BEHIND_EVENTS - 1, 1);
    pace_look(&p, &item, 1, NOW);
    assert_false(p.on);
    put(*state, LANE_INGEST, 1, 1);
    pace_look(&p, &item, 1, NOW);
    assert_true(p.on);
    assert_true(p.hurried); /* it is live usage that waits */
}

static void what_comes_by_a_call_is_a_backlog(void **state)
{
    struct pace p = {.box = *state};
    struct mail_item items[2] = {{.lane = LANE_WRITE, .call = &somebody},
                                 {.lane = LANE_INGEST, .call = &somebody, .usage = 60}};

    pace_look(&p, items, 1, NOW);
    assert_false(p.on);
    pace_look(&p, items, 2, NOW);
    assert_true(p.on);
    assert_false(p.hurried);
}

static void a_backlog_is_over_when_there_was_no_sign_of_it_for_a_while(void **state)
{
    struct pace p = {.box = *state};
    struct mail_item item = {.lane = LANE_INGEST, .call = &somebody};

    pace_look(&p, &item, 1, NOW);
    pace_look(&p, &item, 0, NOW + 1);
    assert_false(p.on);
    pace_look(&p, &item, 1, NOW + PACE_OVER_MS);
    assert_int_equal(p.began_ms, NOW);
    pace_look(&p, &item, 1, NOW + 2 * PACE_OVER_MS + 1);
    assert_int_equal(p.began_ms, NOW + 2 * PACE_OVER_MS + 1);
}

/* ---- the idle thread -----------------------------------------------------------------------------------------------
 */

struct done {
    pthread_t by;
    int policy;
    unsigned times;
};

static void note_who(void *ctx)
{
    struct done *d = ctx;
    struct sched_param param;

    d->by = pthread_self();
    d->times++;
    assert_int_equal(pthread_getschedparam(d->by, &d->policy, &param), 0);
}

static void work_that_yields_is_done_by_a_thread_that_gives_way(void **state)
{
    struct done d = {.times = 0};
    struct idle i;
    unsigned n;

    (void)state;
    idle_start(&i);
    for (n = 1; n <= 1000; n++) {
        idle_run(&i, note_who, &d);
        assert_int_equal(d.times, n); /* when it returns it is done */
    }
    if (i.runs) { /* not everywhere there is such a policy */
        assert_false(pthread_equal(d.by, pthread_self()));
        assert_int_equal(d.policy, SCHED_IDLE);
    }
    idle_stop(&i);
    idle_run(&i, note_who, &d);
    assert_true(pthread_equal(d.by, pthread_self()));
    assert_int_equal(d.times, 1001);
}

static void use_cpu(uint64_t ns)
{
    uint64_t began = clock_thread_ns();

    while (clock_thread_ns() - began < ns)
        continue;
}

/* How long it rests after a piece of work, or after it told something, for a backlog that is so old. */
static uint64_t rested(struct mailbox *m, uint64_t age_ms, bool told)
{
    struct pace p = {.box = m, .on = true, .began_ms = clock_ms() - age_ms};
    uint64_t began;

    pace_begin(&p);
    if (!told)
        use_cpu(PACE_RUN_NS);
    began = clock_ns();
    if (told)
        pace_told(&p);
    else
        pace_step(&p);
    return clock_ns() - began;
}

static void it_rests_in_proportion_and_less_the_longer_it_takes(void **state)
{
    struct pace p = {.box = *state, .on = true, .began_ms = clock_ms()};
    uint64_t from;

    pace_step(NULL);
    pace_begin(&p);
    from = p.ran_from_ns;
    pace_step(&p); /* has hardly run: no rest */
    assert_int_equal(p.ran_from_ns, from);
    assert_true(rested(*state, 0, false) >= PACE_RUN_NS * PACE_REST * 9 / 10);
    assert_true(rested(*state, PACE_PATIENCE_MS / 2, false) >= PACE_RUN_NS * PACE_REST * 4 / 10);
    assert_true(rested(*state, 0, true) >= PACE_TOLD_NS * 9 / 10);
    assert_true(rested(*state, PACE_PATIENCE_MS / 2, true) >= PACE_TOLD_NS * 4 / 10);
}

static void a_rest_ends_when_a_command_waits(void **state)
{
    uint64_t began = clock_ns();
    unsigned i;

    put(*state, LANE_WRITE, 0, 1);
    for (i = 0; i < 1000; i++)
        rested(*state, 0, true);
    assert_true(clock_ns() - began < 500 * (uint64_t)PACE_TOLD_NS);
}

static void work_yields_during_a_backlog_until_patience_ends(void **state)
{
    struct done d = {.times = 0};
    struct pace p;

    pace_init(&p, *state);
    pace_work(&p, note_who, &d);
    assert_true(pthread_equal(d.by, pthread_self()));
    p.on = true;
    p.began_ms = clock_ms();
    pace_work(&p, note_who, &d);
    assert_true(!pthread_equal(d.by, pthread_self()) || !p.idle.runs);
    p.began_ms -= PACE_PATIENCE_MS;
    pace_work(&p, note_who, &d);
    assert_true(pthread_equal(d.by, pthread_self()));
    assert_int_equal(d.times, 3);
    pace_fini(&p);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make, unmake)
    const struct CMUnitTest tests[] = {
        T(commands_go_before_usage_and_each_line_keeps_its_order),
        T(a_take_has_so_much_usage_and_one_item_at_least),
        T(a_command_is_seen_without_a_lock),
        T(only_a_backlog_is_paced),
        T(what_comes_by_a_call_is_a_backlog),
        T(a_backlog_is_over_when_there_was_no_sign_of_it_for_a_while),
        T(it_rests_in_proportion_and_less_the_longer_it_takes),
        T(a_rest_ends_when_a_command_waits),
        T(work_yields_during_a_backlog_until_patience_ends),
        T(work_that_yields_is_done_by_a_thread_that_gives_way),
    };
#undef T

    return cmocka_run_group_tests(tests, NULL, NULL);
}
