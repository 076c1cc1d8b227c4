/*
 * The machine dies: at every write, truncation, sync and deletion that meterd's store makes, from its very first start
 * to its end, with three ideas of what a disk does with writes that no sync has confirmed. Whatever was acknowledged is
 * there afterwards, everything is there wholly or not at all, and the ledger agrees.
 *
 * CRASH_STEPS: transactions of the run. CRASH_SEEDS: disks that are made for each point and mode.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "services/clock.h"
#include "tests/unit/crash_work.h"

#define STEPS 32u
#define SEEDS 2u
#define AFTER "crash-after"
#define BEFORE "crash-before"

struct acked { /* what is true from this operation on */
    size_t point;
    struct crash_tally tally;
};

struct run {
    struct crash_vfs *before, *after;
    struct crash_work work;
    struct acked acks[CRASH_WORK_STEPS_MAX + 2];
    size_t n_acks;
};

static const char *const mode_names[CRASH_MODES] = {"drop", "reorder", "tear"};

static unsigned setting(const char *name, unsigned fallback, unsigned most)
{
    const char *text = getenv(name);
    unsigned long n = text ? strtoul(text, NULL, 10) : 0;

    if (n == 0)
        return fallback;
    return n < most ? (unsigned)n : most;
}

static void note_ack(struct run *r)
{
    r->acks[r->n_acks++] = (struct acked){crash_vfs_points(r->before), r->work.done};
}

static void must(struct run *r, enum status st, const char *what)
{
    if (st != ST_OK)
        fail_msg("%s: %s", what, r->work.err.text);
}

/* From an empty disk to a clean end. */
static struct run *record(unsigned steps, const char *pragma)
{
    struct run *r = calloc(1, sizeof(*r));

    assert_non_null(r);
    r->before = crash_vfs_new(BEFORE);
    r->after = crash_vfs_new(AFTER);
    assert_true(r->before && r->after);
    must(r, crash_work_new(&r->work, r->before, BEFORE), "a folder");
    note_ack(r);
    must(r, crash_work_open(&r->work), "open");
    note_ack(r);
    if (pragma)
        assert_int_equal(sqlite3_exec(r->work.store->db, pragma, NULL, NULL, NULL), SQLITE_OK);
    while (r->work.step < steps) {
        must(r, crash_work_step(&r->work), "a step");
        note_ack(r);
    }
    crash_work_close(&r->work);
    return r;
}

static void run_free(struct run *r)
{
    crash_work_free(&r->work);
    crash_vfs_free(r->before);
    crash_vfs_free(r->after);
    free(r);
}

/* NULL, or what is wrong with the disk found after a death at this point. */
static const char *find_wrong(struct run *r, size_t point, char text[256])
{
    const struct crash_tally *last = &r->acks[0].tally, *next = NULL;
    struct crash_tally found;
    const char *bad = crash_work_look(r->work.path, AFTER, &found, text);
    size_t i;

    for (i = 0; i < r->n_acks && r->acks[i].point <= point; i++)
        last = &r->acks[i].tally;
    if (i < r->n_acks)
        next = &r->acks[i].tally;
    if (bad)
        return bad;
    if (crash_tally_equal(&found, last) || (next && crash_tally_equal(&found, next)))
        return NULL;
    snprintf(text, 256, "calls %lld+%lld of %lld+%lld, grants %lld of %lld, keys %lld of %lld, users %lld of %lld",
             (long long)found.calls[0], (long long)found.calls[1], (long long)last->calls[0], (long long)last->calls[1],
             (long long)found.grants, (long long)last->grants, (long long)found.keys, (long long)last->keys,
             (long long)found.users, (long long)last->users);
    return text;
}

static size_t try_all(struct run *r, enum crash_mode mode, unsigned seeds, bool stop_at_wrong)
{
    struct crash_replay *replay = crash_replay_new(r->before);
    size_t tried = 0, wrong = 0;
    uint64_t began = clock_ms();
    bool more;

    assert_non_null(replay);
    do {
        unsigned seed;

        for (seed = 0; seed < (mode == CRASH_DROP ? 1 : seeds); seed++) {
            size_t point = crash_replay_point(replay);
            char text[256];
            const char *bad;

            assert_true(crash_replay_image(replay, mode, seed, r->after));
            bad = find_wrong(r, point, text);
            tried++;
            wrong += bad != NULL;
            if (bad && stop_at_wrong)
                fail_msg("%s, operation %zu of %zu, seed %u: %s", mode_names[mode], point, crash_vfs_points(r->before),
                         seed, bad);
        }
        more = crash_replay_point(replay) < crash_vfs_points(r->before);
        (void)crash_replay_next(replay);
    } while (more && (stop_at_wrong || wrong == 0)); /* where one has to be found, one is enough */
    crash_replay_free(replay);
    print_message("# %s: %zu disks, %zu wrong, %llu ms\n", mode_names[mode], tried, wrong,
                  (unsigned long long)(clock_ms() - began));
    return wrong;
}

static void nothing_acknowledged_is_lost(void **state)
{
    struct run *r = record(setting("CRASH_STEPS", STEPS, CRASH_WORK_STEPS_MAX), NULL);
    unsigned seeds = setting("CRASH_SEEDS", SEEDS, 1000);
    int mode;

    (void)state;
    print_message("# %zu operations\n", crash_vfs_points(r->before));
    for (mode = 0; mode < CRASH_MODES; mode++)
        assert_int_equal(try_all(r, (enum crash_mode)mode, seeds, true), 0);
    run_free(r);
}

/* A test that cannot fail proves nothing. */
static void without_syncs_the_loss_is_found(void **state)
{
    static const char *const weaker[] = {"PRAGMA synchronous=OFF", "PRAGMA synchronous=NORMAL"};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(weaker) / sizeof(weaker[0]); i++) {
        struct run *r = record(6, weaker[i]);
        int mode;

        for (mode = 0; mode < CRASH_MODES; mode++)
            assert_true(try_all(r, (enum crash_mode)mode, 1, false) > 0);
        run_free(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_acknowledged_is_lost),
        cmocka_unit_test(without_syncs_the_loss_is_found),
    };

    return cmocka_run_group_tests_name("crash", tests, NULL, NULL);
}
