/* The outbox: what is written is there after any death, what is acknowledged goes, and its room is bounded. */
#include "providersvc/outbox_file.h"
#include "tests/unit/outbox_fixture.h"

static void what_is_written_can_be_read(void **state)
{
    struct outbox *o = open_it(*state);

    assert_int_equal(outbox_last(o), 0);
    write_calls(o, 1, 500); /* several segments */
    assert_int_equal(outbox_last(o), 500);
    assert_int_equal(read_all(o, 1, 1, 7), 500);
    assert_int_equal(read_all(o, 1, 1, 1000), 500);
    assert_int_equal(read_all(o, 400, 400, 3), 101);
    assert_int_equal(read_all(o, 501, 1, 3), 0);
    outbox_close(o);
}

static void it_goes_on_after_a_restart(void **state)
{
    struct outbox *o = open_it(*state);
    char source[64];

    snprintf(source, sizeof(source), "%s", outbox_source(o));
    write_calls(o, 1, 100);
    outbox_ack(o, 40);
    outbox_close(o);
    o = open_it(*state);
    assert_string_equal(outbox_source(o), source);
    assert_int_equal(outbox_last(o), 100);
    assert_int_equal(outbox_acked(o), 40);
    write_calls(o, 101, 150);
    assert_int_equal(outbox_last(o), 150);
    assert_int_equal(read_all(o, 41, 41, 16), 110);
    outbox_close(o);
}

static void acknowledged_segments_go(void **state)
{
    struct place *p = *state;
    struct outbox *o = open_it(p);
    struct outbox_state s;

    write_calls(o, 1, 1000);
    outbox_state(o, &s);
    assert_int_equal(s.unacked, 1000);
    assert_true(s.bytes > 150000);
    outbox_ack(o, 1000);
    wait_acked(p, outbox_source(o), 1);
    outbox_state(o, &s);
    assert_int_equal(s.unacked, 0);
    assert_true(s.bytes < 1u << 16);
    assert_int_equal(s.open_calls, 0);
    outbox_ack(o, 5); /* late */
    outbox_ack(o, 999999); /* nonsense */
    assert_int_equal(outbox_acked(o), 1000);
    write_calls(o, 1001, 1010);
    assert_int_equal(read_all(o, 1001, 1001, 100), 10);
    outbox_close(o);
}

static void a_call_that_never_finished_is_settled(void **state)
{
    struct outbox *o = open_it(*state);
    struct usage_event *events = NULL;
    struct outbox_batch b;
    struct arena a;
    size_t n = 0;

    outbox_batch_init(&b);
    write_calls(o, 1, 3);
    assert_non_null(start_one(o, &b, 77)); /* and the process dies */
    outbox_close(o);
    outbox_batch_fini(&b);
    o = open_it(*state);
    assert_int_equal(outbox_last(o), 4);
    arena_init(&a, 1u << 20);
    assert_int_equal(outbox_read(o, 4, 10, &a, &events, &n), ST_OK);
    assert_int_equal(n, 1);
    assert_true(slice_is(events[0].request_id, "req_00000077"));
    assert_true(slice_is(events[0].status, "error"));
    arena_fini(&a);
    outbox_close(o);
    o = open_it(*state); /* once */
    assert_int_equal(outbox_last(o), 4);
    outbox_close(o);
}

static void a_long_call_does_not_keep_old_segments(void **state)
{
    struct place *p = *state;
    struct outbox *o = open_it(p);
    struct outbox_mark *m;
    struct outbox_batch b;

    outbox_batch_init(&b);
    m = start_one(o, &b, 5000);
    assert_non_null(m);
    write_calls(o, 1, 1500);
    outbox_ack(o, 1500);
    wait_acked(p, outbox_source(o), 2);
    outbox_close(o); /* dies with the call open: its record has moved on */
    outbox_batch_fini(&b);
    o = open_it(p);
    assert_int_equal(outbox_last(o), 1501);
    outbox_close(o);
}

static void newest_segment(struct place *p, const char *source, char to[512])
{
    char folder[256], best[300] = "";
    DIR *d;

    snprintf(folder, sizeof(folder), "%s/%s", p->spool, source);
    d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d))
        if (strstr(e->d_name, ".log") != NULL && strcmp(e->d_name, best) > 0)
            snprintf(best, sizeof(best), "%s", e->d_name);
    closedir(d);
    snprintf(to, 512, "%.200s/%.250s", folder, best);
}

/* Whatever byte the last write stopped at, whole records before it stay and it goes on. */
static void a_torn_tail_is_cut_off(void **state)
{
    struct place *p = *state;
    char path[512], source[64];
    struct stat info;
    struct outbox *o = open_it(p);

    snprintf(source, sizeof(source), "%s", outbox_source(o));
    write_calls(o, 1, 4);
    outbox_close(o);
    newest_segment(p, source, path);
    assert_int_equal(stat(path, &info), 0);
    for (off_t cut = 1; cut < 200; cut += 7) {
        uint64_t last;

        assert_int_equal(truncate(path, info.st_size - cut), 0);
        o = open_it(p);
        assert_string_equal(outbox_source(o), source);
        last = outbox_last(o);
        assert_true(last == 3 || last == 4); /* the fourth is lost, or settled from its start */
        assert_int_equal(read_all(o, 1, 1, 10) >= 3, 1);
        outbox_close(o);
        newest_segment(p, source, path);
        assert_int_equal(stat(path, &info), 0);
        if (info.st_size < 400)
            break;
    }
}

static void damage_in_the_middle_moves_the_rest_to_a_new_source(void **state)
{
    struct place *p = *state;
    struct outbox *o = open_it(p);
    char path[512], source[64];
    int fd;

    snprintf(source, sizeof(source), "%s", outbox_source(o));
    write_calls(o, 1, 1000);
    outbox_close(o);
    snprintf(path, sizeof(path), "%s/%s/%016x.log", p->spool, source, 2);
    fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "\xff\xff\xff\xff", 4, 3000), 4);
    close(fd);
    o = open_it(p);
    assert_string_not_equal(outbox_source(o), source);
    assert_true(outbox_last(o) > 500 && outbox_last(o) < 1000);
    assert_int_equal(count_entries(p->spool, ""), 2); /* the damaged one is kept for the operator */
    outbox_close(o);
}

static void two_share_a_spool_and_one_inherits(void **state)
{
    struct place *p = *state;
    struct outbox *a = open_it(p), *b = open_it(p);

    assert_string_not_equal(outbox_source(a), outbox_source(b));
    write_calls(a, 1, 20);
    write_calls(b, 1, 30);
    outbox_ack(b, 10);
    outbox_close(b);
    outbox_close(a);
    a = open_it(p); /* goes on with one, takes over the other */
    assert_int_equal(count_entries(p->spool, ""), 1);
    assert_true(outbox_last(a) == 20 + 20 || outbox_last(a) == 30 + 20);
    outbox_close(a);
}

static void a_new_machine_means_a_new_source(void **state)
{
    struct place *p = *state;
    struct outbox *o = open_it(p);
    char path[256], source[64];
    int fd;

    snprintf(source, sizeof(source), "%s", outbox_source(o));
    write_calls(o, 1, 20);
    outbox_ack(o, 5);
    outbox_close(o);
    snprintf(path, sizeof(path), "%s/%s/lock", p->spool, source);
    fd = open(path, O_WRONLY | O_TRUNC);
    assert_int_equal(write(fd, "another boot", 12), 12);
    close(fd);
    o = open_it(p);
    assert_string_not_equal(outbox_source(o), source);
    assert_int_equal(outbox_last(o), 15); /* what was owed, under new numbers */
    assert_int_equal(read_all(o, 1, 6, 4), 15);
    assert_int_equal(count_entries(p->spool, ""), 1);
    outbox_close(o);
}

/* Full: no new call, but every call that began can be finished. */
static void a_full_outbox_refuses_beginnings_only(void **state)
{
    struct place *p = *state;
    struct outbox_mark *marks[8192];
    struct outbox_state s;
    struct outbox_batch b;
    struct outbox *o;
    int n = 0;

    p->options.max_bytes = 300000;
    o = open_it(p);
    outbox_batch_init(&b);
    while (n < 8192) {
        marks[n] = start_one(o, &b, n);
        if (marks[n] == NULL)
            break;
        n++;
    }
    assert_true(n > 100 && n < 8192);
    outbox_state(o, &s);
    assert_true(s.full);
    assert_int_equal(s.open_calls, n);
    for (int i = 0; i < n; i++)
        finish_one(o, &b, marks[i], i);
    outbox_state(o, &s);
    assert_int_equal(s.open_calls, 0);
    assert_int_equal(outbox_last(o), n);
    outbox_ack(o, (uint64_t)n);
    for (int i = 0; i < 1500; i++) {
        struct outbox_mark *m = start_one(o, &b, 1);

        if (m != NULL) {
            finish_one(o, &b, m, 1);
            break;
        }
        usleep(10000);
    }
    assert_int_equal(outbox_last(o), n + 1);
    outbox_batch_fini(&b);
    outbox_close(o);
}

static void a_batch_is_all_or_nothing(void **state)
{
    struct outbox *o = open_it(*state);
    struct outbox_mark *marks[10];
    struct outbox_batch b;
    struct outbox_wrote w;

    outbox_batch_init(&b);
    for (int i = 0; i < 10; i++) {
        char id[32];
        struct usage_event ev = event_of(id, i);

        assert_int_equal(outbox_add_started(&b, &ev, &marks[i], NULL), ST_OK);
    }
    outbox_write(o, &b, &w);
    assert_int_equal(w.started, ST_OK);
    for (int i = 9; i >= 0; i--) {
        char id[32];
        struct usage_event ev = event_of(id, 10 - i);

        assert_int_equal(outbox_add_finished(&b, &ev, marks[i], NULL), ST_OK);
    }
    outbox_write(o, &b, &w);
    assert_int_equal(w.finished, ST_OK);
    assert_int_equal(w.first_seq, 1);
    assert_int_equal(w.n_finished, 10);
    assert_int_equal(read_all(o, 1, 1, 4), 10);
    outbox_batch_fini(&b);
    outbox_close(o);
}

static void a_spool_that_cannot_be_written_stops_the_start(void **state)
{
    struct place *p = *state;
    struct outbox *o = NULL;
    struct err err = {0};

    p->options.spool_dir = "/proc/nothing/here";
    assert_int_not_equal(outbox_open(&p->options, &o, &err), ST_OK);
    assert_non_null(strstr(err.text, "SPOOL_DIR"));
}

/* A process that writes calls as fast as it can is killed at any moment; nothing that it was told was written is
 * missing. */
static void a_kill_loses_nothing(void **state)
{
    struct place *p = *state;
    uint64_t told = 0;

    for (int round = 0; round < 12; round++) {
        int pipes[2];
        char byte;
        pid_t child;
        struct outbox *o;

        assert_int_equal(pipe(pipes), 0);
        child = fork();
        if (child == 0) {
            struct outbox_batch b;
            struct outbox *mine = open_it(p);

            outbox_batch_init(&b);
            for (int i = (int)outbox_last(mine) + 1;; i++) {
                struct outbox_mark *m = start_one(mine, &b, i);

                if (m == NULL)
                    _exit(3);
                finish_one(mine, &b, m, i);
                if (write(pipes[1], "x", 1) != 1)
                    _exit(4);
            }
        }
        close(pipes[1]);
        for (int i = 0; i < 20 + round * 13 && read(pipes[0], &byte, 1) == 1; i++)
            told++;
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        while (read(pipes[0], &byte, 1) == 1)
            told++;
        close(pipes[0]);
        o = open_it(p);
        assert_true(outbox_last(o) >= told);
        assert_true(outbox_last(o) <= told + 2);
        told = outbox_last(o);
        outbox_ack(o, told);
        outbox_close(o);
    }
}

/* ---- progress ------------------------------------------------------------------------------------------------------
 */

static size_t progress_one(struct outbox *o, struct outbox_batch *b, struct outbox_mark *m, int n, uint64_t tokens,
                           bool numbered)
{
    struct outbox_wrote w;
    char id[32];
    struct usage_event ev = event_of(id, n);

    ev.status = slice_of("running");
    ev.completion_tokens = tokens;
    ev.http_status = 200;
    ev.lease_ms = 60000;
    assert_int_equal(outbox_add_progress(b, &ev, m, numbered, NULL), ST_OK);
    assert_int_equal(outbox_add_progress(b, &ev, m, numbered, NULL), ST_UNAVAILABLE); /* one of a call in a batch */
    outbox_write(o, b, &w);
    assert_int_equal(w.finished, ST_OK);
    assert_int_equal(w.n_finished, 0);
    return w.n_progress;
}

static void assert_owed(struct outbox *o, uint64_t seq, const char *status, uint64_t tokens)
{
    struct usage_event *events = NULL;
    struct arena a;
    size_t n = 0;

    arena_init(&a, 1u << 20);
    assert_int_equal(outbox_read(o, seq, 10, &a, &events, &n), ST_OK);
    assert_int_equal(n, 1);
    assert_true(slice_is(events[0].request_id, "req_00000077"));
    assert_true(slice_is(events[0].status, status));
    assert_int_equal(events[0].completion_tokens, tokens);
    assert_int_equal(events[0].lease_ms, 0);
    assert_true(events[0].estimated);
    assert_int_equal(events[0].http_status, tokens > 0 ? 200 : status_http(ST_PEER_LOST));
    arena_fini(&a);
}

static void progress_is_numbered_when_meterd_is_to_know(void **state)
{
    struct outbox *o = open_it(*state);
    struct outbox_mark *m;
    struct outbox_batch b;

    outbox_batch_init(&b);
    write_calls(o, 1, 3);
    m = start_one(o, &b, 4);
    assert_int_equal(progress_one(o, &b, m, 4, 4, true), 1);
    assert_int_equal(outbox_last(o), 4);
    assert_int_equal(progress_one(o, &b, m, 4, 99, false), 0);
    assert_int_equal(outbox_last(o), 4);
    finish_one(o, &b, m, 5);
    assert_int_equal(read_all(o, 1, 1, 10), 5); /* in order, without what nobody is told */
    outbox_batch_fini(&b);
    outbox_close(o);
}

/* Whoever dies in the middle of a call leaves a bill for what he had delivered, as far as he had said. */
static void what_a_call_said_last_is_on_its_bill(void **state)
{
    for (int told = 0; told < 2; told++)
        for (uint64_t tokens = 0; tokens < 10; tokens += 9) {
            struct outbox *o = open_it(*state);
            uint64_t before = outbox_last(o);
            struct outbox_batch b;
            struct outbox_mark *m;

            outbox_batch_init(&b);
            m = start_one(o, &b, 77);
            (void)progress_one(o, &b, m, 77, tokens / 3, told);
            (void)progress_one(o, &b, m, 77, tokens, told);
            outbox_close(o);
            outbox_batch_fini(&b);
            o = open_it(*state);
            assert_int_equal(outbox_last(o), before + 2u * (unsigned)told + 1);
            assert_owed(o, outbox_last(o), tokens > 0 ? "truncated" : "error", tokens);
            outbox_close(o);
            o = open_it(*state); /* once */
            assert_int_equal(outbox_last(o), before + 2u * (unsigned)told + 1);
            outbox_ack(o, outbox_last(o));
            outbox_close(o);
        }
}

static void progress_of_a_call_that_ended_owes_nothing(void **state)
{
    struct outbox *o = open_it(*state);
    struct outbox_batch b;
    struct outbox_mark *m;

    outbox_batch_init(&b);
    m = start_one(o, &b, 1);
    (void)progress_one(o, &b, m, 1, 50, true);
    finish_one(o, &b, m, 1);
    outbox_close(o);
    outbox_batch_fini(&b);
    o = open_it(*state);
    assert_int_equal(outbox_last(o), 2);
    outbox_close(o);
}

/* progress: how often its call said before what it owes. */
static void park_one(struct outbox *o, unsigned progress)
{
    struct outbox_batch b;
    struct outbox_mark *m;
    struct outbox_state s;

    outbox_batch_init(&b);
    m = start_one(o, &b, PARKED);
    for (unsigned i = 0; i < progress; i++)
        (void)progress_one(o, &b, m, PARKED, 0, i % 2 == 0);
    finish_parked(o, &b, m);
    outbox_state(o, &s);
    assert_int_equal(s.open_calls, 0);
    outbox_batch_fini(&b);
}

static void a_parked_call_is_told_as_it_is(void **state)
{
    for (unsigned progress = 0; progress < 3; progress++) {
        struct outbox *o = open_it(*state);

        park_one(o, progress);
        assert_parked(o, outbox_last(o));
        for (int again = 0; again < 2; again++) { /* dies right afterwards */
            uint64_t last = outbox_last(o);

            outbox_close(o);
            o = open_it(*state);
            assert_int_equal(outbox_last(o), last);
            assert_parked(o, last);
        }
        outbox_ack(o, outbox_last(o));
        outbox_close(o);
    }
}

/* Its folder is taken over by another one: under a new number, else as it was. */
static void an_heir_tells_a_parked_call_as_it_is(void **state)
{
    struct outbox *a = open_it(*state), *b = open_it(*state);
    uint64_t before = outbox_last(b);

    park_one(a, 1);
    outbox_ack(a, 1); /* of its progress */
    outbox_close(a);
    for (int i = 0; i < 3000 && outbox_last(b) == before; i++)
        usleep(10000);
    assert_int_equal(outbox_last(b), before + 1);
    assert_parked(b, before + 1);
    outbox_close(b);
}

/* Its last progress was committed by meterd long ago and its segment is gone: who inherits still knows it. */
static void an_heir_knows_progress_that_was_acknowledged(void **state)
{
    struct place *p = *state;
    struct outbox *a = open_it(p), *b = open_it(p);
    struct outbox_batch batch;
    struct outbox_mark *m;
    uint64_t before = outbox_last(b);

    outbox_batch_init(&batch);
    m = start_one(a, &batch, 77);
    assert_int_equal(progress_one(a, &batch, m, 77, 42, true), 1);
    write_calls(a, 2, 1501); /* several segments */
    outbox_ack(a, 1501);
    wait_acked(p, outbox_source(a), 2);
    outbox_close(a); /* dies with the call open */
    outbox_batch_fini(&batch);
    for (int i = 0; i < 3000 && outbox_last(b) == before; i++)
        usleep(10000);
    assert_int_equal(outbox_last(b), before + 1);
    assert_owed(b, before + 1, "truncated", 42);
    outbox_close(b);
}

/* Where room gets scarce progress is left out, and every call still ends. */
static void progress_leaves_room_for_the_ends(void **state)
{
    struct place *p = *state;
    struct outbox_mark *marks[100];
    struct outbox_batch b;
    struct outbox_state s;
    uint64_t told = 0;
    struct outbox *o;

    p->options.max_bytes = 400000;
    o = open_it(p);
    outbox_batch_init(&b);
    for (int i = 0; i < 100; i++) {
        marks[i] = start_one(o, &b, i);
        assert_non_null(marks[i]);
    }
    for (int round = 0; round < 50; round++)
        for (int i = 0; i < 100; i++)
            told += progress_one(o, &b, marks[i], i, 1, true);
    assert_true(told > 100 && told < 5000);
    assert_int_equal(outbox_last(o), told);
    outbox_state(o, &s);
    assert_true(s.bytes <= p->options.max_bytes);
    for (int i = 0; i < 100; i++)
        finish_one(o, &b, marks[i], i);
    assert_int_equal(outbox_last(o), told + 100);
    assert_non_null(start_one(o, &b, 500)); /* and another may begin */
    outbox_batch_fini(&b);
    outbox_close(o);
}

static void a_list_of_attempts_fits_into_what_was_set_aside(void **state)
{
    struct place *p = *state;
    struct usage_attempt log[4];
    struct outbox_batch b;
    struct outbox_wrote w;
    struct outbox_mark *marks[2000];
    struct outbox_state s;
    struct outbox *o;
    int n = 0;

    p->options.max_bytes = 300000;
    o = open_it(p);
    outbox_batch_init(&b);
    while (n < 2000 && (marks[n] = start_one(o, &b, n)) != NULL)
        n++;
    assert_true(n < 2000);
    for (int i = 0; i < n; i++) {
        char id[32];
        struct usage_event ev = event_of(id, i);

        for (unsigned k = 0; k < 4; k++)
            log[k] = (struct usage_attempt){.number = k + 1,
                                            .provider = slice_of("p"),
                                            .upstream_model = slice_of("m"),
                                            .outcome = slice_of("cancelled"),
                                            .http_status = 500,
                                            .prompt_tokens = LIMIT_TOKENS,
                                            .completion_tokens = LIMIT_TOKENS,
                                            .price_id = LIMIT_ID,
                                            .latency_ms = LIMIT_MS};
        ev.attempt_log.items = log;
        ev.attempt_log.n = 4;
        assert_int_equal(outbox_add_finished(&b, &ev, marks[i], NULL), ST_OK);
        outbox_write(o, &b, &w);
        assert_int_equal(w.finished, ST_OK);
    }
    outbox_state(o, &s);
    assert_true(s.bytes <= p->options.max_bytes);
    outbox_batch_fini(&b);
    outbox_close(o);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* The check value of CRC-32C and the zeros of RFC 3720, appendix B.4: lengths around the eight bytes of a step. */
static void the_checksum_is_crc32c(void **state)
{
    static const unsigned char zeros[32] = {0};
    struct outbox_crc c;

    (void)state;
    outbox_crc_init(&c);
    assert_int_equal(outbox_crc(&c, "123456789", 9), 0xe3069283u);
    assert_int_equal(outbox_crc(&c, zeros, sizeof(zeros)), 0x8a9136aau);
    assert_int_equal(outbox_crc(&c, "", 0), 0);
    assert_int_equal(outbox_crc(&c, "a", 1), 0xc1d04330u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_written_can_be_read),
        TEST(the_checksum_is_crc32c),
        TEST(it_goes_on_after_a_restart),
        TEST(acknowledged_segments_go),
        TEST(a_call_that_never_finished_is_settled),
        TEST(a_long_call_does_not_keep_old_segments),
        TEST(a_torn_tail_is_cut_off),
        TEST(damage_in_the_middle_moves_the_rest_to_a_new_source),
        TEST(two_share_a_spool_and_one_inherits),
        TEST(a_new_machine_means_a_new_source),
        TEST(a_full_outbox_refuses_beginnings_only),
        TEST(a_batch_is_all_or_nothing),
        TEST(a_spool_that_cannot_be_written_stops_the_start),
        TEST(a_kill_loses_nothing),
        TEST(progress_is_numbered_when_meterd_is_to_know),
        TEST(what_a_call_said_last_is_on_its_bill),
        TEST(progress_of_a_call_that_ended_owes_nothing),
        TEST(a_parked_call_is_told_as_it_is),
        TEST(an_heir_tells_a_parked_call_as_it_is),
        TEST(an_heir_knows_progress_that_was_acknowledged),
        TEST(progress_leaves_room_for_the_ends),
        TEST(a_list_of_attempts_fits_into_what_was_set_aside),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
