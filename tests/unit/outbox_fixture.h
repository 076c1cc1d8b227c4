/* A spool of its own for each test of the outbox, and calls that are written into it. */
#ifndef TESTS_UNIT_OUTBOX_FIXTURE_H
#define TESTS_UNIT_OUTBOX_FIXTURE_H

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "providersvc/outbox.h"
#include "providersvc/outbox_file.h"
#include "services/clock.h"

struct place {
    char spool[64];
    struct log log;
    struct outbox_options options;
};

static inline int setup(void **state)
{
    struct place *p = calloc(1, sizeof(*p));

    if (p == NULL)
        return -1;
    snprintf(p->spool, sizeof(p->spool), "/tmp/router-outbox-XXXXXX");
    if (mkdtemp(p->spool) == NULL)
        return -1;
    p->log = (struct log){.service = "test", .level = LOG_ERROR, .fd = open("/dev/null", O_WRONLY)};
    p->options = (struct outbox_options){
        .spool_dir = p->spool, .max_bytes = 1u << 20, .segment_bytes = 1u << 16, .log = &p->log};
    *state = p;
    return 0;
}

static inline int teardown(void **state)
{
    struct place *p = *state;
    char command[128];

    snprintf(command, sizeof(command), "rm -rf '%s'", p->spool);
    close(p->log.fd);
    free(p);
    return system(command);
}

static inline struct outbox *open_it(struct place *p)
{
    struct outbox *o = NULL;
    struct err err = {0};

    if (outbox_open(&p->options, &o, &err) != ST_OK)
        fail_msg("%s", err.text);
    return o;
}

static inline struct usage_event event_of(char id[32], int n)
{
    snprintf(id, 32, "req_%08d", n);
    return (struct usage_event){.request_id = slice_of(id),
                                .user_id = slice_of("usr_1"),
                                .key_id = slice_of("key_1"),
                                .model = slice_of("m"),
                                .provider = slice_of("p"),
                                .upstream_model = slice_of("m"),
                                .endpoint = slice_of("chat.completions"),
                                .status = slice_of("ok"),
                                .created_ms = 1,
                                .completion_tokens = (uint64_t)n};
}

static inline struct outbox_mark *start_one(struct outbox *o, struct outbox_batch *b, int n)
{
    struct outbox_mark *m = NULL;
    struct outbox_wrote w;
    char id[32];
    struct usage_event ev = event_of(id, n);

    ev.status = slice_of("error");
    assert_int_equal(outbox_add_started(b, &ev, &m, NULL), ST_OK);
    outbox_write(o, b, &w);
    return w.started == ST_OK ? m : NULL;
}

static inline void finish_one(struct outbox *o, struct outbox_batch *b, struct outbox_mark *m, int n)
{
    struct outbox_wrote w;
    char id[32];
    struct usage_event ev = event_of(id, n);

    assert_int_equal(outbox_add_finished(b, &ev, m, NULL), ST_OK);
    outbox_write(o, b, &w);
    assert_int_equal(w.finished, ST_OK);
    assert_int_equal(w.n_finished, 1);
}

static inline void write_calls(struct outbox *o, int from, int to)
{
    struct outbox_batch b;

    outbox_batch_init(&b);
    for (int i = from; i <= to; i++) {
        struct outbox_mark *m = start_one(o, &b, i);

        assert_non_null(m);
        finish_one(o, &b, m, i);
    }
    outbox_batch_fini(&b);
}

#define PARKED 77 /* the call that made a batch */

static inline void finish_parked(struct outbox *o, struct outbox_batch *b, struct outbox_mark *m)
{
    const struct slice id = slice_of("batch_1");
    struct outbox_wrote w;
    char text[32];
    struct usage_event ev = event_of(text, PARKED);

    ev.status = slice_of("running");
    ev.parked = ev.estimated = true;
    ev.lease_ms = LIMIT_MS;
    ev.price_percent = 50;
    ev.completion_tokens = 700;
    ev.http_status = 200;
    ev.object_ids.items = &id;
    ev.object_ids.n = 1;
    assert_int_equal(outbox_add_finished(b, &ev, m, NULL), ST_OK);
    outbox_write(o, b, &w);
    assert_int_equal(w.finished, ST_OK);
    assert_int_equal(w.n_finished, 1);
}

/* Reads the only record from seq on: a call that has ended though its batch has not, exactly as it was written. */
static inline void assert_parked(struct outbox *o, uint64_t seq)
{
    struct usage_event *events = NULL;
    struct arena a;
    size_t n = 0;

    arena_init(&a, 1u << 20);
    assert_int_equal(outbox_read(o, seq, 10, &a, &events, &n), ST_OK);
    assert_int_equal(n, 1);
    assert_true(slice_is(events[0].request_id, "req_00000077"));
    assert_true(slice_is(events[0].status, "running"));
    assert_true(events[0].parked && events[0].estimated);
    assert_int_equal(events[0].lease_ms, LIMIT_MS);
    assert_int_equal(events[0].price_percent, 50);
    assert_int_equal(events[0].completion_tokens, 700);
    assert_int_equal(events[0].http_status, 200);
    assert_int_equal(events[0].object_ids.n, 1);
    assert_true(slice_is(events[0].object_ids.items[0], "batch_1"));
    arena_fini(&a);
}

/* How many events from first_seq on, in pieces; checks that they are numbered from `number` on. */
static inline size_t read_all(struct outbox *o, uint64_t first_seq, uint64_t number, size_t step)
{
    size_t total = 0, n = 0;

    do {
        struct usage_event *events = NULL;
        struct arena a;

        arena_init(&a, 1u << 26);
        assert_int_equal(outbox_read(o, first_seq + total, step, &a, &events, &n), ST_OK);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(events[i].completion_tokens, number + total + i);
        total += n;
        arena_fini(&a);
    } while (n > 0);
    return total;
}

static inline unsigned count_entries(const char *path, const char *ending)
{
    DIR *d = opendir(path);
    unsigned n = 0;

    assert_non_null(d);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d))
        if (e->d_name[0] != '.' && strlen(e->d_name) >= strlen(ending) &&
            strcmp(e->d_name + strlen(e->d_name) - strlen(ending), ending) == 0)
            n++;
    closedir(d);
    return n;
}

static inline void wait_acked(struct place *p, const char *source, unsigned most)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%s", p->spool, source);
    for (int i = 0; i < 1500 && count_entries(path, ".log") > most; i++)
        usleep(10000);
    assert_true(count_entries(path, ".log") <= most);
}

#endif
