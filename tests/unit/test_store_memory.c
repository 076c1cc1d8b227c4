/*
 * No memory: the 1st, 2nd, … allocation fails, SQLite's or our own, while meterd's store is opened and works. Nothing
 * crashes, nothing is acknowledged that is not stored, the same step succeeds when there is memory again.
 *
 * SQLite is given an allocator that counts; ours are wrapped by the linker (see the Makefile).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/crash_work.h"

#define LOOK_EVERY 200u /* the whole database is looked at after so many steps */

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

struct trap {
    uint64_t left; /* allocations until one fails; 0 = none does */
    bool sprung;
};
static struct trap ours, sqlites;

static bool springs(struct trap *t)
{
    if (t->left == 0 || --t->left > 0)
        return false;
    t->sprung = true;
    return true;
}

void *__wrap_malloc(size_t n)
{
    return springs(&ours) ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return springs(&ours) ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return springs(&ours) ? NULL : __real_realloc(p, n);
}

/* ---- SQLite's ---------------------------------------------------------------------------------------------------- */

static sqlite3_mem_methods plain;

static void *counted_malloc(int n)
{
    return springs(&sqlites) ? NULL : plain.xMalloc(n);
}

static void *counted_realloc(void *p, int n)
{
    return springs(&sqlites) ? NULL : plain.xRealloc(p, n);
}

static int count_sqlites(void)
{
    sqlite3_mem_methods counting;

    if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &plain) != SQLITE_OK)
        return -1;
    counting = plain;
    counting.xMalloc = counted_malloc;
    counting.xRealloc = counted_realloc;
    if (sqlite3_config(SQLITE_CONFIG_MALLOC, &counting) != SQLITE_OK ||
        sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0) != SQLITE_OK) /* which would hide most of them */
        return -1;
    return sqlite3_initialize() == SQLITE_OK ? 0 : -1;
}

/* ---- work -------------------------------------------------------------------------------------------------------- */

static void look(struct crash_work *w)
{
    struct crash_tally found;
    char text[256];
    const char *bad = crash_work_look(w->path, NULL, &found, text);

    if (bad)
        fail_msg("%s", bad);
    if (!crash_tally_equal(&found, &w->done))
        fail_msg("acknowledged %lld calls, %lld grants; found %lld, %lld", (long long)w->done.calls[0],
                 (long long)w->done.grants, (long long)found.calls[0], (long long)found.grants);
}

static enum status open_quickly(struct crash_work *w)
{
    enum status st = store_open_on(w->path, NULL, &w->store, &w->err);

    if (st == ST_OK)
        sqlite3_exec(w->store->db, "PRAGMA synchronous=OFF", NULL, NULL, NULL); /* not what is looked at here */
    return st;
}

/* Opens and works with an allocation that fails on the way. */
static void one_round(struct crash_work *w, struct trap *t, uint64_t nth)
{
    enum status st;

    memset(&w->err, 0, sizeof(w->err));
    *t = (struct trap){.left = nth};
    st = open_quickly(w);
    if (st == ST_OK)
        st = crash_work_step(w);
    t->left = 0;
    if (st != ST_OK) {
        assert_true(t->sprung);
        if (w->store) {
            assert_int_not_equal(w->store->broken, STORE_DEAD);
            store_rollback(w->store);
            w->store->broken = STORE_WELL;
        } else {
            assert_int_equal(open_quickly(w), ST_OK);
        }
        st = crash_work_step(w);
        if (st != ST_OK)
            fail_msg("allocation %llu: it does not go on: %s", (unsigned long long)nth, w->err.text);
    }
    crash_work_close(w);
}

static void each_fails_in_turn(struct trap *t)
{
    struct crash_work w;
    uint64_t nth = 0;

    assert_int_equal(crash_work_new(&w, NULL, NULL), ST_OK);
    assert_int_equal(crash_work_open(&w), ST_OK);
    assert_int_equal(crash_work_step(&w), ST_OK);
    crash_work_close(&w);
    do {
        one_round(&w, t, ++nth);
        if (nth % LOOK_EVERY == 0)
            look(&w);
    } while (t->sprung);
    look(&w);
    print_message("# %llu allocations\n", (unsigned long long)(nth - 1));
    assert_true(nth > 3);
    crash_work_free(&w);
}

static void sqlites_allocations_fail(void **state)
{
    (void)state;
    each_fails_in_turn(&sqlites);
}

static void our_allocations_fail(void **state)
{
    (void)state;
    each_fails_in_turn(&ours);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sqlites_allocations_fail),
        cmocka_unit_test(our_allocations_fail),
    };

    if (count_sqlites() != 0)
        return 1;
    return cmocka_run_group_tests_name("store_memory", tests, NULL, NULL);
}
