/*
 * Errors of the disk under meterd's store: each read, write, sync and truncation of a piece of work fails once, the
 * disk is full for a while. What was acknowledged is stored, both when the process is killed and when the power goes;
 * the store says what is due as meterd/store.h declares it; the writer stops at the first error that only a restart
 * can judge, and the restart heals.
 */
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

#include "meterd/writer.h"
#include "services/clock.h"
#include "tests/unit/crash_work.h"

#define BASE "faults-base"
#define NOW "faults-now"
#define KILLED "faults-killed"
#define AFTER "faults-after"
#define BASE_STEPS 5u /* the sixth step of a run checkpoints */
#define RUN_STEPS 5u
#define TRIES 12u /* of one step while the disk is full */

static struct crash_vfs *base, *now;
static struct crash_vfs *killed, *after; /* what is left when the process dies, and when the power goes */
static struct crash_work begin; /* as the base has it */

static int setup(void **state)
{
    (void)state;
    base = crash_vfs_new(BASE);
    now = crash_vfs_new(NOW);
    killed = crash_vfs_new(KILLED);
    after = crash_vfs_new(AFTER);
    assert_true(base && now && killed && after);
    assert_int_equal(crash_work_new(&begin, base, BASE), ST_OK);
    assert_int_equal(crash_work_open(&begin), ST_OK);
    while (begin.step < BASE_STEPS)
        assert_int_equal(crash_work_step(&begin), ST_OK);
    crash_work_close(&begin);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    crash_work_free(&begin);
    crash_vfs_free(base);
    crash_vfs_free(now);
    crash_vfs_free(killed);
    crash_vfs_free(after);
    return 0;
}

static void start(struct crash_work *w)
{
    *w = begin;
    w->vfs = now;
    w->vfs_name = NOW;
    arena_init(&w->arena, 1u << 24);
    crash_vfs_fault(now, NULL);
    assert_true(crash_vfs_copy(base, now));
}

static void end(struct crash_work *w)
{
    crash_vfs_fault(now, NULL);
    crash_work_close(w);
    arena_fini(&w->arena);
}

/* ---- what is left ------------------------------------------------------------------------------------------------ */

static void look(const struct crash_work *w, const char *vfs, const char *what, uint64_t nth)
{
    struct crash_tally found;
    char text[256];
    const char *bad = crash_work_look(w->path, vfs, &found, text);

    if (bad)
        fail_msg("%s %llu: %s", what, (unsigned long long)nth, bad);
    if (!crash_tally_equal(&found, &w->done) && !crash_tally_equal(&found, &w->next))
        fail_msg("%s %llu: acknowledged %lld+%lld calls, found %lld+%lld", what, (unsigned long long)nth,
                 (long long)w->done.calls[0], (long long)w->done.calls[1], (long long)found.calls[0],
                 (long long)found.calls[1]);
}

static void power_off(void)
{
    struct crash_replay *r = crash_replay_new(now);

    assert_non_null(r);
    while (crash_replay_next(r)) {
    }
    assert_true(crash_replay_image(r, CRASH_DROP, 0, after));
    crash_replay_free(r);
}

/* ---- one error --------------------------------------------------------------------------------------------------- */

struct kind {
    const char *what;
    unsigned ops;
    int rc;
    uint64_t times;
    enum store_broken due;
};

/* Works as the writer does. Returns false when the process would have ended. */
static bool run_steps(struct crash_work *w, const struct kind *k, uint64_t nth)
{
    unsigned tries = 0;

    while (w->step < BASE_STEPS + RUN_STEPS) {
        enum status st = crash_work_step(w);

        if (st == ST_OK) {
            tries = 0;
            continue;
        }
        if (w->store->broken != k->due)
            fail_msg("%s %llu: %s, but the store says %d", k->what, (unsigned long long)nth, w->err.text,
                     (int)w->store->broken);
        if (w->store->broken == STORE_DEAD)
            return false;
        w->store->broken = STORE_WELL;
        if (++tries > TRIES)
            fail_msg("%s %llu: it does not go on: %s", k->what, (unsigned long long)nth, w->err.text);
    }
    return true;
}

/* Returns how often the error was met. */
static uint64_t run_with(const struct kind *k, uint64_t nth, bool *ret_ended)
{
    struct crash_fault fault = {.ops = k->ops, .nth = nth, .times = k->times, .rc = k->rc};
    struct crash_work w;
    uint64_t struck;

    start(&w);
    assert_int_equal(store_open_on(w.path, NOW, &w.store, &w.err), ST_OK);
    if (k->ops & (1u << CRASH_READ))
        sqlite3_exec(w.store->db, "PRAGMA cache_size=10", NULL, NULL, NULL);
    crash_vfs_fault(now, &fault);
    *ret_ended = !run_steps(&w, k, nth);
    struck = crash_vfs_struck(now);
    assert_true(crash_vfs_copy(now, killed));
    power_off();
    end(&w);
    look(&w, KILLED, k->what, nth);
    look(&w, AFTER, k->what, nth);
    return struck;
}

static void every_error_is_survived(void **state)
{
    static const struct kind kinds[] = {
        {"write error", 1u << CRASH_WRITE, SQLITE_IOERR_WRITE, 1, STORE_DEAD},
        {"read error", 1u << CRASH_READ, SQLITE_IOERR_READ, 1, STORE_DEAD},
        {"sync error", 1u << CRASH_SYNC, SQLITE_IOERR_FSYNC, 1, STORE_DEAD},
        {"truncation error", 1u << CRASH_TRUNCATE, SQLITE_IOERR_TRUNCATE, 1, STORE_DEAD},
        {"full disk", 1u << CRASH_WRITE, SQLITE_FULL, 1, STORE_RETRY},
        {"long full disk", 1u << CRASH_WRITE, SQLITE_FULL, 7, STORE_RETRY},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        uint64_t nth = 0, ended = 0, struck;
        bool over;

        do {
            nth++;
            struck = run_with(&kinds[i], nth, &over);
            ended += over;
        } while (struck > 0);
        print_message("# %s: %llu places, %llu of them end the process\n", kinds[i].what, (unsigned long long)(nth - 1),
                      (unsigned long long)ended);
        assert_true(nth > 1);
        assert_true((ended > 0) == (kinds[i].due == STORE_DEAD));
    }
}

/* A start that fails says so, and the next one begins again. */
static void a_start_fails_and_the_next_one_does_not(void **state)
{
    static const struct kind kinds[] = {
        {"write error", 1u << CRASH_WRITE, SQLITE_IOERR_WRITE, 1, STORE_DEAD},
        {"sync error", 1u << CRASH_SYNC, SQLITE_IOERR_FSYNC, 1, STORE_DEAD},
        {"full disk", 1u << CRASH_WRITE, SQLITE_FULL, 1, STORE_RETRY},
        {"read error", 1u << CRASH_READ, SQLITE_IOERR_READ, 1, STORE_DEAD},
        {"no room for the log's index", 1u << CRASH_MAP, SQLITE_IOERR_SHMSIZE, 1, STORE_RETRY},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct crash_fault fault = {.ops = kinds[i].ops, .rc = kinds[i].rc, .times = 1};
        uint64_t struck;

        do {
            struct crash_vfs *empty = crash_vfs_new("faults-empty");
            struct store *s = NULL;
            struct err err = {0};
            enum status st;

            assert_non_null(empty);
            fault.nth++;
            crash_vfs_fault(empty, &fault);
            st = store_open_on(begin.path, "faults-empty", &s, &err);
            struck = crash_vfs_struck(empty);
            crash_vfs_fault(empty, NULL);
            assert_true(st == ST_OK || (struck > 0 && err.text[0]));
            if (st != ST_OK && store_open_on(begin.path, "faults-empty", &s, &err) != ST_OK)
                fail_msg("%s %llu: %s", kinds[i].what, (unsigned long long)fault.nth, err.text);
            store_close(s);
            crash_vfs_free(empty);
        } while (struck > 0);
        assert_true(fault.nth > 1);
    }
}

/* ---- the writer ---------------------------------------------------------------------------------------------------
 */

struct watch {
    atomic_int dead;
    atomic_uint_fast64_t acked;
};

static void on_publish(void *ctx, struct slice bytes)
{
    struct watch *w = ctx;
    struct state_batch batch;
    struct arena a;
    struct wire_alloc mem;
    size_t i;

    arena_init(&a, 1u << 20);
    mem = arena_wire(&a);
    assert_int_equal(wire_decode(&state_batch_desc, bytes.p, bytes.n, &batch, &mem, NULL), ST_OK);
    for (i = 0; i < batch.changes.n; i++) {
        const struct state_change *c = &batch.changes.items[i];
        struct ack ack;

        if (c->kind == ack_desc.type && wire_decode(&ack_desc, c->record.p, c->record.n, &ack, &mem, NULL) == ST_OK)
            atomic_store(&w->acked, ack.acked_seq);
    }
    arena_fini(&a);
}

/* Here the process ends, and the power with it. The test's writer lives on, and must not do anything any more. */
static void on_dead(void *ctx, const struct err *why)
{
    struct watch *w = ctx;

    (void)why;
    if (atomic_fetch_add(&w->dead, 1) == 0)
        power_off();
}

static void put_events(struct writer *w, const struct crash_work *work, uint64_t seq)
{
    char id[32];
    struct usage_event e = {.request_id = slice_of(""),
                            .user_id = slice_of(work->user),
                            .model = slice_of("m"),
                            .status = slice_of("ok"),
                            .prompt_tokens = 10,
                            .price_id = (uint64_t)work->price,
                            .created_ms = 1};
    struct usage_batch batch = {.source = slice_of("src_writer"), .first_seq = seq, .events = {&e, 1}};
    struct mail_item item = {.lane = LANE_INGEST, .at_ms = clock_ms()};
    struct buf b;

    snprintf(id, sizeof(id), "req_w%llu", (unsigned long long)seq);
    e.request_id = slice_of(id);
    buf_init(&b, 1u << 16);
    assert_int_equal(wire_encode(&usage_batch_desc, &batch, &b, NULL), ST_OK);
    assert_int_equal(mail_events_new((struct slice){b.p, b.n}, &item.events, NULL), ST_OK);
    assert_true(mailbox_put(writer_mailbox(w), &item));
    buf_fini(&b);
}

static int64_t number(struct store *s, const char *sql)
{
    sqlite3_stmt *q = NULL;
    int64_t n = -1;

    if (sqlite3_prepare_v2(s->db, sql, -1, &q, NULL) == SQLITE_OK && sqlite3_step(q) == SQLITE_ROW)
        n = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    return n;
}

static void let_the_writer_meet(struct crash_work *w, uint64_t nth, struct watch *watch)
{
    struct crash_fault fault = {.ops = 1u << CRASH_SYNC, .nth = nth, .times = 1, .rc = SQLITE_IOERR_FSYNC};
    struct log log = {.service = "test", .level = LOG_ERROR, .fd = -1};
    struct metrics *metrics = metrics_new("test", NULL);
    struct writer_options options = {
        .store = w->store, .log = &log, .metrics = metrics, .publish = on_publish, .dead = on_dead, .ctx = watch};
    struct writer *writer = NULL;
    struct err err = {0};
    uint64_t seq, acked;

    assert_int_equal(writer_new(&options, &writer, &err), ST_OK);
    crash_vfs_fault(now, &fault);
    for (seq = 1; seq <= 40 && atomic_load(&watch->dead) == 0; seq++) {
        uint64_t until = clock_ms() + 5000;

        put_events(writer, w, seq);
        while (atomic_load(&watch->acked) < seq && atomic_load(&watch->dead) == 0 && clock_ms() < until)
            usleep(200);
    }
    assert_true(atomic_load(&watch->dead) > 0);
    acked = atomic_load(&watch->acked);
    put_events(writer, w, acked + 1); /* the disk works again, but it is too late */
    put_events(writer, w, acked + 2);
    writer_free(writer);
    metrics_free(metrics);
    assert_int_equal(atomic_load(&watch->acked), acked);
}

static void a_failed_sync_ends_the_process_and_a_restart_heals(void **state)
{
    uint64_t nth;

    (void)state;
    for (nth = 1; nth <= 4; nth++) {
        struct watch watch;
        struct crash_work w;
        struct crash_tally found;
        struct store *healed = NULL;
        struct err err = {0};
        char text[256];

        atomic_init(&watch.dead, 0);
        atomic_init(&watch.acked, 0);
        start(&w);
        assert_int_equal(store_open_on(w.path, NOW, &w.store, &w.err), ST_OK);
        let_the_writer_meet(&w, nth, &watch);
        end(&w);
        if (crash_work_look(w.path, AFTER, &found, text))
            fail_msg("%s", text);
        assert_int_equal(store_open_on(w.path, AFTER, &healed, &err), ST_OK);
        assert_true(number(healed, "SELECT coalesce(max(seq), 0) FROM position WHERE source = 'src_writer'") >=
                    (int64_t)atomic_load(&watch.acked));
        assert_int_equal(number(healed, "SELECT count(*) FROM usage WHERE request_id GLOB 'req_w*'"),
                         number(healed, "SELECT coalesce(max(seq), 0) FROM position WHERE source = 'src_writer'"));
        store_close(healed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_is_survived),
        cmocka_unit_test(a_start_fails_and_the_next_one_does_not),
        cmocka_unit_test(a_failed_sync_ends_the_process_and_a_restart_heals),
    };

    return cmocka_run_group_tests_name("store_faults", tests, setup, teardown);
}
