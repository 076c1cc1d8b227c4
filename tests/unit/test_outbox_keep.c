/* What meterd has acknowledged and may want again: read again, gone with time, in nobody's way. */
#include "tests/unit/outbox_fixture.h"

/* ---- what is kept for a meterd that is restored -------------------------------------------------------------------
 */

static unsigned count_kept(struct place *p, struct outbox *o)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%s", p->spool, outbox_source(o));
    return count_entries(path, ".kept");
}

static void keep(struct place *p)
{
    p->options.keep_ms = 3600000;
    p->options.keep_bytes = 1u << 20;
}

static void acknowledged_records_can_be_delivered_again(void **state)
{
    struct place *p = *state;
    struct outbox_state s;
    struct outbox *o;

    keep(p);
    o = open_it(p);
    write_calls(o, 1, 1000);
    outbox_ack(o, 1000);
    wait_acked(p, outbox_source(o), 1);
    assert_true(count_kept(p, o) >= 2);
    outbox_state(o, &s);
    assert_int_equal(s.unacked, 0);
    assert_true(s.kept_bytes > 100000);
    assert_int_equal(outbox_oldest(o), 1);
    assert_int_equal(read_all(o, 1, 1, 33), 1000); /* from kept files into the segment that is written */
    outbox_set_back(o, 300);
    assert_int_equal(outbox_acked(o), 300);
    outbox_set_back(o, 900); /* not back */
    assert_int_equal(outbox_acked(o), 300);
    assert_int_equal(read_all(o, 301, 301, 500), 700);
    write_calls(o, 1001, 1010);
    outbox_close(o);
    o = open_it(p); /* and after a restart */
    assert_int_equal(outbox_oldest(o), 1);
    assert_int_equal(outbox_last(o), 1010);
    assert_int_equal(read_all(o, 1, 1, 100), 1010);
    outbox_close(o);
}

#define KEPT_MS 4000 /* a busy disk may take its time before anybody looks */

static void kept_records_go_with_time(void **state)
{
    struct place *p = *state;
    struct outbox *o;
    int i;

    keep(p);
    p->options.keep_ms = KEPT_MS;
    o = open_it(p);
    write_calls(o, 1, 1000);
    outbox_ack(o, 1000);
    wait_acked(p, outbox_source(o), 1);
    assert_true(count_kept(p, o) >= 2);
    usleep(KEPT_MS * 1000 + 20000);
    for (i = 1; i <= 1000 && count_kept(p, o) > 0; i++) {
        write_calls(o, 1000 + i, 1000 + i);
        outbox_ack(o, outbox_last(o));
        usleep(10000);
    }
    assert_int_equal(count_kept(p, o), 0);
    assert_true(outbox_oldest(o) > 700);
    outbox_close(o);
}

/* Ten times the outbox' size goes through it, all of it kept as long as there is room: no call is refused for that. */
static void kept_records_take_no_room_from_calls(void **state)
{
    struct place *p = *state;
    struct outbox_state s;
    struct outbox *o;
    int round;

    keep(p);
    p->options.max_bytes = 400000;
    p->options.keep_bytes = UINT64_MAX;
    o = open_it(p);
    for (round = 0; round < 40; round++) {
        write_calls(o, 1 + round * 300, (round + 1) * 300); /* it checks that every call is taken */
        outbox_ack(o, outbox_last(o));
        wait_acked(p, outbox_source(o), 1);
        outbox_state(o, &s);
        assert_true(s.bytes + s.kept_bytes <= p->options.max_bytes);
    }
    assert_true(s.kept_bytes > 100000);
    assert_true(outbox_oldest(o) > 1);
    assert_int_equal(read_all(o, outbox_oldest(o), outbox_oldest(o), 500), outbox_last(o) - outbox_oldest(o) + 1);
    outbox_close(o);
}

/* meterd was set back: what it has to hear again is owed, and an outbox that is full of it refuses. */
static void what_is_owed_again_stays(void **state)
{
    struct place *p = *state;
    struct outbox_batch b;
    struct outbox *o;
    int n = 0;

    keep(p);
    p->options.max_bytes = 400000;
    p->options.keep_bytes = UINT64_MAX;
    o = open_it(p);
    write_calls(o, 1, 300);
    outbox_ack(o, 300);
    wait_acked(p, outbox_source(o), 1);
    outbox_set_back(o, 0);
    outbox_batch_init(&b);
    for (n = 0; n < 10000; n++) {
        struct outbox_mark *m = start_one(o, &b, 301 + n);

        if (m == NULL)
            break;
        finish_one(o, &b, m, 301 + n);
    }
    assert_true(n < 10000);
    assert_int_equal(outbox_oldest(o), 1);
    assert_int_equal(read_all(o, 1, 1, 500), outbox_last(o));
    outbox_ack(o, outbox_last(o));
    for (n = 0; n < 1500 && outbox_oldest(o) == 1; n++) {
        struct outbox_mark *m = start_one(o, &b, 0);

        if (m != NULL)
            finish_one(o, &b, m, 0);
        usleep(10000);
    }
    assert_true(outbox_oldest(o) > 1);
    outbox_batch_fini(&b);
    outbox_close(o);
}

static void another_boot(struct place *p, const char *source)
{
    char path[256];
    int fd;

    snprintf(path, sizeof(path), "%s/%s/lock", p->spool, source);
    fd = open(path, O_WRONLY | O_TRUNC);
    assert_int_equal(write(fd, "another boot", 12), 12);
    close(fd);
}

static void say_position(struct outbox *o, const char *source, uint64_t seq)
{
    outbox_snapshot(o);
    outbox_snapshot_position(o, slice_of("src_somebody"), 7);
    if (seq > 0)
        outbox_snapshot_position(o, slice_of(source), seq);
    outbox_snapshot_end(o);
}

static void wait_last(struct outbox *o, uint64_t last)
{
    for (int i = 0; i < 1500 && outbox_last(o) < last; i++)
        usleep(10000);
    assert_int_equal(outbox_last(o), last);
}

/* The machine died with the database; the backup is older than what the dead source had delivered. */
static void a_source_that_is_no_more_is_heard_again(void **state)
{
    struct place *p = *state;
    char source[64];
    struct outbox *o;

    keep(p);
    o = open_it(p);
    snprintf(source, sizeof(source), "%s", outbox_source(o));
    write_calls(o, 1, 1000);
    outbox_ack(o, 980);
    outbox_close(o);
    another_boot(p, source);
    o = open_it(p);
    assert_string_not_equal(outbox_source(o), source);
    assert_int_equal(outbox_last(o), 20); /* what was owed */
    assert_int_equal(read_all(o, 1, 981, 100), 20);
    assert_int_equal(count_entries(p->spool, ""), 2);
    say_position(o, source, 1000);
    usleep(200000);
    assert_int_equal(outbox_last(o), 20); /* meterd knows it all */
    say_position(o, source, 800);
    wait_last(o, 220);
    assert_int_equal(read_all(o, 21, 801, 100), 200);
    say_position(o, source, 800); /* once: now they are ours */
    usleep(200000);
    assert_int_equal(outbox_last(o), 220);
    say_position(o, source, 0);
    for (int i = 0; i < 1500 && count_entries(p->spool, "") > 1; i++)
        usleep(10000);
    assert_int_equal(count_entries(p->spool, ""), 1);
    assert_true(outbox_last(o) >= 500); /* files that had nothing after 800 */
    outbox_close(o);
}

/* It was acknowledged, and meterd has forgotten it with its backup: the progress before it is not told, itself is. */
static void a_parked_call_is_heard_again(void **state)
{
    struct place *p = *state;
    struct outbox_batch b;
    char source[64], id[32];
    struct outbox_wrote w;
    struct outbox_mark *m;
    struct outbox *o;
    struct usage_event running = event_of(id, PARKED);

    keep(p);
    outbox_batch_init(&b);
    o = open_it(p);
    snprintf(source, sizeof(source), "%s", outbox_source(o));
    m = start_one(o, &b, PARKED);
    running.status = slice_of("running");
    assert_int_equal(outbox_add_progress(&b, &running, m, true, NULL), ST_OK);
    outbox_write(o, &b, &w);
    assert_int_equal(w.n_progress, 1);
    finish_parked(o, &b, m);
    outbox_ack(o, 2);
    outbox_close(o);
    outbox_batch_fini(&b);
    another_boot(p, source);
    o = open_it(p);
    assert_int_equal(outbox_last(o), 0);
    say_position(o, source, 0);
    wait_last(o, 1);
    assert_parked(o, 1);
    outbox_close(o);
}

/* Without keeping, as without a backup: nothing of a dead source stays. */
static void kept_records_of_others_go_with_time(void **state)
{
    struct place *p = *state;
    char source[64];
    struct outbox *o;

    keep(p);
    p->options.keep_ms = KEPT_MS;
    o = open_it(p);
    snprintf(source, sizeof(source), "%s", outbox_source(o));
    write_calls(o, 1, 300);
    outbox_ack(o, 300);
    outbox_close(o);
    another_boot(p, source);
    o = open_it(p);
    assert_int_equal(outbox_last(o), 0);
    assert_int_equal(count_entries(p->spool, ""), 2);
    usleep(KEPT_MS * 1000 + 500000);
    say_position(o, source, 300); /* folders are looked at now */
    for (int i = 0; i < 1500 && count_entries(p->spool, "") > 1; i++)
        usleep(10000);
    assert_int_equal(count_entries(p->spool, ""), 1);
    outbox_close(o);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(acknowledged_records_can_be_delivered_again),
        TEST(kept_records_go_with_time),
        TEST(kept_records_take_no_room_from_calls),
        TEST(what_is_owed_again_stays),
        TEST(a_source_that_is_no_more_is_heard_again),
        TEST(kept_records_of_others_go_with_time),
        TEST(a_parked_call_is_heard_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
