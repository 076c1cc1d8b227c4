/*
 * A real database in a folder of its own, without bus and threads, for the tests of meterd. Header only, so that only
 * the tests that use it need meterd's objects.
 */
#ifndef TESTS_UNIT_METER_FIXTURE_H
#define TESTS_UNIT_METER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "meterd/batch.h"
#include "meterd/calls.h"
#include "meterd/ingest.h"
#include "meterd/ledger.h"
#include "meterd/schema/schema.h"
#include "meterd/seed.h"

#define METER_USD MONEY_NANO_PER_USD
#define METER_ARENA (64u * 1024u * 1024u)

struct meter {
    char folder[64], path[128];
    struct store *store;
    struct arena arena;
    struct err err;
};

static inline void meter_remove(struct meter *m)
{
    static const char *const files[] = {"app.db",         "app.db-wal",  "app.db-shm",
                                        "app.db-journal", "app.db.lock", "admin_password"};
    char path[160];
    size_t i;

    for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", m->folder, files[i]);
        unlink(path);
    }
    rmdir(m->folder);
}

static inline void meter_folder(struct meter *m)
{
    memset(m, 0, sizeof(*m));
    snprintf(m->folder, sizeof(m->folder), "/tmp/meter-XXXXXX");
    assert_non_null(mkdtemp(m->folder));
    snprintf(m->path, sizeof(m->path), "%s/app.db", m->folder);
    arena_init(&m->arena, METER_ARENA);
}

static inline void meter_open(struct meter *m)
{
    enum status st = store_open(m->path, &m->store, &m->err);

    if (st != ST_OK || !m->store)
        fail_msg("store_open: %s", m->err.text);
}

/* Plans, administrator and prices; the administrator's password is given, so none is made up. */
static inline void meter_seed(struct meter *m)
{
    struct seed_options options = {m->path, "Admin@Example.com", "a password for tests"};
    struct seed_report report;

    if (seed_run(m->store, &options, &report, &m->err) != ST_OK)
        fail_msg("seed_run: %s", m->err.text);
}

static inline void meter_close(struct meter *m)
{
    store_close(m->store);
    m->store = NULL;
}

static inline int meter_setup(void **state)
{
    struct meter *m = calloc(1, sizeof(*m));

    meter_folder(m);
    meter_open(m);
    meter_seed(m);
    *state = m;
    return 0;
}

static inline int meter_teardown(void **state)
{
    struct meter *m = *state;

    meter_close(m);
    arena_fini(&m->arena);
    meter_remove(m);
    free(m);
    return 0;
}

static inline enum status meter_run(struct meter *m, meterd_op *op, const void *in, void *out)
{
    struct work w = {.s = m->store, .a = &m->arena, .err = &m->err};

    memset(&m->err, 0, sizeof(m->err));
    return batch_single(&w, op, in, out);
}

static inline void meter_must(struct meter *m, enum status st, const char *what)
{
    if (st != ST_OK)
        fail_msg("%s: %s", what, m->err.text);
}

#define METER_OK(m, op, in, out) meter_must(m, meter_run(m, op, in, out), #op)

static inline void meter_sql(struct meter *m, const char *sql)
{
    char *why = NULL;

    if (sqlite3_exec(m->store->db, sql, NULL, NULL, &why) != SQLITE_OK)
        fail_msg("%s: %s", sql, why);
}

static inline int64_t meter_number(struct meter *m, const char *sql)
{
    sqlite3_stmt *q = NULL;
    int64_t n;

    if (!m->store) {
        fail();
        return -1;
    }
    assert_int_equal(sqlite3_prepare_v2(m->store->db, sql, -1, &q, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    n = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    return n;
}

/* A user with so much credit; the id lives in the arena. */
static inline struct slice meter_user(struct meter *m, const char *email, int64_t credit_nano)
{
    struct user_put_req req = {.email = slice_of(email),
                               .password_hash = slice_of("$argon2id$test"),
                               .name = slice_of("Test"),
                               .role = slice_of("user"),
                               .plan = slice_of("free"),
                               .credit_nano = credit_nano};
    struct user_rep rep = {0};

    METER_OK(m, op_user_put, &req, &rep);
    assert_int_equal(rep.user.n, 1);
    return rep.user.items[0].id;
}

static inline struct credits_rep meter_credits(struct meter *m, struct slice user)
{
    struct credits_req req = {.actor_id = user};
    struct credits_rep rep = {0};

    METER_OK(m, op_credits, &req, &rep);
    return rep;
}

static inline uint64_t meter_price(struct meter *m, const char *model, int64_t in_pico, int64_t out_pico)
{
    struct price_put_req req = {
        .actor_id = slice_of("usr_test"), .model = slice_of(model), .input_pico = in_pico, .output_pico = out_pico};
    struct price_rep rep = {0};

    METER_OK(m, op_price_put, &req, &rep);
    return rep.price.items[0].id;
}

/* A call of 1000 tokens in and 100 out. */
static inline struct usage_event meter_event(struct slice user, const char *request_id, uint64_t price_id)
{
    return (struct usage_event){.request_id = slice_of(request_id),
                                .user_id = user,
                                .key_id = slice_of("key_test"),
                                .model = slice_of("test-model"),
                                .provider = slice_of("echo"),
                                .upstream_model = slice_of("test-model"),
                                .endpoint = slice_of("chat.completions"),
                                .status = slice_of("ok"),
                                .http_status = 200,
                                .prompt_tokens = 1000,
                                .completion_tokens = 100,
                                .price_id = price_id,
                                .created_ms = UINT64_C(1800000000000),
                                .latency_ms = 100,
                                .attempts = 1};
}

static inline uint64_t meter_deliver(struct meter *m, const char *source, uint64_t first,
                                     const struct usage_event *events, size_t n)
{
    struct usage_deliver_req req = {.source = slice_of(source), .first_seq = first, .events = {events, n}};
    struct usage_deliver_rep rep = {0};

    METER_OK(m, op_usage_deliver, &req, &rep);
    return rep.acked_seq;
}

/* What expires at this time of the monotonic clock; returns how many calls that are. */
static inline size_t meter_expire(struct meter *m, uint64_t clock_ms)
{
    struct work w = {.s = m->store, .a = &m->arena, .err = &m->err};
    size_t n = 0;

    meter_must(m, batch_begin(m->store, &m->err), "begin");
    meter_must(m, calls_expire(&w, clock_ms, &n), "calls_expire");
    meter_must(m, batch_commit(m->store, &m->err), "commit");
    return n;
}

static inline struct ledger_verify_rep meter_verify(struct meter *m)
{
    struct ledger_verify_req req = {0};
    struct ledger_verify_rep rep = {0};

    METER_OK(m, op_ledger_verify, &req, &rep);
    return rep;
}

static inline void meter_assert_clean(struct meter *m)
{
    struct ledger_verify_rep rep = meter_verify(m);

    if (!rep.ok)
        fail_msg("ledger: " SLICE_FMT ": " SLICE_FMT, SLICE_ARG(rep.problems.items[0].account),
                 SLICE_ARG(rep.problems.items[0].problem));
    assert_int_equal(rep.sum_nano, 0);
}

#endif
