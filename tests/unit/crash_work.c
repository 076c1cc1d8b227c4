#include "tests/unit/crash_work.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "meterd/ops.h"
#include "meterd/seed.h"

#define ARENA_MAX (16u * 1024u * 1024u)
#define EVENTS_MAX 24u
#define CHECKPOINT_EVERY 7u
#define KEY_EVERY 3u
#define PRICE_EVERY 4u
#define USER_EVERY 9u
#define CREDIT_NANO 1000000000

static const char *const sources[] = {"src_crash0", "src_crash1"};

/* ---- one step ---------------------------------------------------------------------------------------------------- */

static struct slice name_of(struct crash_work *w, const char *what, int64_t number)
{
    char text[64];
    int n = snprintf(text, sizeof(text), "%s%08lld", what, (long long)number);
    char *copy = arena_strndup(&w->arena, text, (size_t)n);

    return (struct slice){copy, copy ? (size_t)n : 0};
}

static enum status run(struct crash_work *w, enum lane lane, meterd_op *op, const void *in, void *out)
{
    struct work work = {.s = w->store, .a = &w->arena, .err = &w->err};

    return batch_run(&work, lane, op, in, out);
}

static enum status deliver(struct crash_work *w, size_t source, size_t n)
{
    struct usage_event *events = arena_alloc(&w->arena, EVENTS_MAX * sizeof(*events));
    struct usage_deliver_req req = {.source = slice_of(sources[source]),
                                    .first_seq = (uint64_t)w->next.calls[source] + 1};
    struct usage_deliver_rep rep = {0};
    size_t i;

    if (!events)
        return ST_NO_MEMORY;
    for (i = 0; i < n; i++) {
        events[i] = (struct usage_event){.request_id = name_of(w, source ? "req_b" : "req_a", ++w->next.calls[source]),
                                         .user_id = slice_of(w->user),
                                         .key_id = slice_of("key_crash"),
                                         .model = slice_of("crash-base"),
                                         .provider = slice_of("echo"),
                                         .upstream_model = slice_of("crash-base"),
                                         .endpoint = slice_of("chat.completions"),
                                         .status = slice_of("ok"),
                                         .http_status = 200,
                                         .prompt_tokens = 1000 + i,
                                         .completion_tokens = 100,
                                         .price_id = (uint64_t)w->price,
                                         .created_ms = UINT64_C(1800000000000),
                                         .attempts = 1};
        if (!events[i].request_id.p)
            return ST_NO_MEMORY;
    }
    w->next.positions[source] = w->next.calls[source];
    req.events.items = events;
    req.events.n = n;
    return run(w, LANE_INGEST, op_usage_deliver, &req, &rep);
}

static enum status grant(struct crash_work *w)
{
    struct credit_grant_req req = {.actor_id = slice_of("usr_operator"),
                                   .id = slice_of(w->user),
                                   .amount_nano = CREDIT_NANO,
                                   .idempotency_key = name_of(w, "crash", ++w->next.grants)};
    struct credit_grant_rep rep = {0};

    return run(w, LANE_WRITE, op_credit_grant, &req, &rep);
}

static enum status put_key(struct crash_work *w)
{
    struct slice id = name_of(w, "key_crash", ++w->next.keys);
    struct api_key key = {
        .id = id, .user_id = slice_of(w->user), .name = slice_of("crash"), .prefix = slice_of("sk-crash")};
    char digest[LIMIT_DIGEST] = {0};
    struct key_put_req req = {.digest = {digest, sizeof(digest)}, .key = {&key, 1}};
    struct empty rep = {0};

    memcpy(digest, &w->next.keys, sizeof(w->next.keys));
    return run(w, LANE_WRITE, op_key_put, &req, &rep);
}

static enum status put_price(struct crash_work *w)
{
    struct price_put_req req = {.actor_id = slice_of("usr_operator"),
                                .model = name_of(w, "crash-", ++w->next.prices),
                                .input_pico = 1000,
                                .output_pico = 2000};
    struct price_rep rep = {0};
    enum status st = run(w, LANE_WRITE, op_price_put, &req, &rep);

    if (st == ST_OK)
        w->price = (int64_t)rep.price.items[0].id;
    return st;
}

static enum status put_user(struct crash_work *w, char ret_id[LIMIT_ID_TEXT + 1])
{
    char email[64];
    struct user_put_req req = {.password_hash = slice_of("$argon2id$test"),
                               .name = slice_of("Crash"),
                               .role = slice_of("user"),
                               .plan = slice_of("unlimited"),
                               .credit_nano = CREDIT_NANO};
    struct user_rep rep = {0};
    enum status st;

    snprintf(email, sizeof(email), "crash%lld@example.com", (long long)++w->next.users);
    req.email = slice_of(email);
    st = run(w, LANE_WRITE, op_user_put, &req, &rep);
    if (st == ST_OK)
        slice_copy(rep.user.items[0].id, ret_id, LIMIT_ID_TEXT + 1);
    return st;
}

/* The first one makes what the others need. */
static enum status commands(struct crash_work *w)
{
    char id[LIMIT_ID_TEXT + 1] = "";
    enum status st = ST_OK;

    if (w->step == 0) {
        st = put_user(w, id);
        if (st == ST_OK)
            memcpy(w->user, id, sizeof(id));
        return st == ST_OK ? put_price(w) : st;
    }
    st = deliver(w, 0, 1 + w->step * 5 % EVENTS_MAX);
    if (st == ST_OK)
        st = grant(w);
    if (st == ST_OK && w->step % KEY_EVERY == 0)
        st = put_key(w);
    if (st == ST_OK && w->step % PRICE_EVERY == 0)
        st = put_price(w);
    if (st == ST_OK && w->step % USER_EVERY == 0)
        st = put_user(w, id);
    return st == ST_OK ? deliver(w, 1, 1 + w->step % 3) : st;
}

static enum status transaction(struct crash_work *w)
{
    struct crash_work before = *w;
    enum status st = batch_begin(w->store, &w->err);

    w->next = w->done;
    if (st == ST_OK)
        st = commands(w);
    if (st == ST_OK && w->store->broken != STORE_WELL)
        st = ST_UNAVAILABLE;
    if (st == ST_OK)
        st = batch_commit(w->store, &w->err);
    if (st == ST_OK) {
        w->done = w->next;
        w->step++;
        return ST_OK;
    }
    memcpy(w->user, before.user, sizeof(w->user));
    w->price = before.price;
    if (w->store->broken != STORE_DEAD)
        store_rollback(w->store);
    return st;
}

enum status crash_work_step(struct crash_work *w)
{
    enum status st;

    memset(&w->err, 0, sizeof(w->err));
    if (w->step > 0 && w->step % CHECKPOINT_EVERY == 0 && w->store->wal_pages > 0) {
        st = store_checkpoint(w->store, true, &w->err);
        if (st != ST_OK)
            return st;
        w->store->wal_pages = 0; /* also when somebody was in the way */
    }
    st = transaction(w);
    arena_reset(&w->arena);
    return st;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

enum status crash_work_new(struct crash_work *w, struct crash_vfs *vfs, const char *vfs_name)
{
    memset(w, 0, sizeof(*w));
    w->vfs = vfs;
    w->vfs_name = vfs_name;
    arena_init(&w->arena, ARENA_MAX);
    snprintf(w->folder, sizeof(w->folder), "/tmp/router-crash-XXXXXX");
    if (!mkdtemp(w->folder))
        return ST_UNAVAILABLE;
    snprintf(w->path, sizeof(w->path), "%s/app.db", w->folder);
    return ST_OK;
}

void crash_work_free(struct crash_work *w)
{
    char lock[160];

    crash_work_close(w);
    snprintf(lock, sizeof(lock), "%s.lock", w->path);
    unlink(lock);
    unlink(w->path);
    rmdir(w->folder);
    arena_fini(&w->arena);
}

enum status crash_work_open(struct crash_work *w)
{
    struct seed_options options = {w->path, "admin@example.com", "a password for tests"};
    struct seed_report report;
    enum status st;

    memset(&w->err, 0, sizeof(w->err));
    st = store_open_on(w->path, w->vfs_name, &w->store, &w->err);
    return st == ST_OK ? seed_run(w->store, &options, &report, &w->err) : st;
}

void crash_work_close(struct crash_work *w)
{
    store_close(w->store);
    w->store = NULL;
}

/* ---- looking ----------------------------------------------------------------------------------------------------- */

bool crash_tally_equal(const struct crash_tally *a, const struct crash_tally *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

static bool count(struct store *s, const char *sql, int64_t *ret)
{
    sqlite3_stmt *q = NULL;
    bool ok = sqlite3_prepare_v2(s->db, sql, -1, &q, NULL) == SQLITE_OK && sqlite3_step(q) == SQLITE_ROW;

    if (ok)
        *ret = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    return ok;
}

static bool tally(struct store *s, struct crash_tally *t)
{
    return count(s, "SELECT count(*) FROM user WHERE email GLOB 'crash*'", &t->users) &&
           count(s, "SELECT count(*) FROM api_key WHERE id GLOB 'key_crash*'", &t->keys) &&
           count(s, "SELECT count(*) FROM price WHERE model GLOB 'crash-*'", &t->prices) &&
           count(s, "SELECT count(*) FROM credit_grant WHERE idempotency_key GLOB 'crash*'", &t->grants) &&
           count(s, "SELECT count(*) FROM usage WHERE request_id GLOB 'req_a*'", &t->calls[0]) &&
           count(s, "SELECT count(*) FROM usage WHERE request_id GLOB 'req_b*'", &t->calls[1]) &&
           count(s, "SELECT coalesce(max(seq), 0) FROM position WHERE source = 'src_crash0'", &t->positions[0]) &&
           count(s, "SELECT coalesce(max(seq), 0) FROM position WHERE source = 'src_crash1'", &t->positions[1]);
}

static bool sound(struct store *s)
{
    sqlite3_stmt *q = NULL;
    bool ok = sqlite3_prepare_v2(s->db, "PRAGMA integrity_check", -1, &q, NULL) == SQLITE_OK &&
              sqlite3_step(q) == SQLITE_ROW && strcmp((const char *)sqlite3_column_text(q, 0), "ok") == 0;

    sqlite3_finalize(q);
    return ok;
}

static enum status verify(struct store *s, struct err *err)
{
    struct ledger_verify_req req = {0};
    struct ledger_verify_rep rep = {0};
    struct arena arena;
    struct work w = {.s = s, .a = &arena, .err = err};
    enum status st;

    arena_init(&arena, ARENA_MAX);
    st = batch_single(&w, op_ledger_verify, &req, &rep);
    if (st == ST_OK && !rep.ok)
        st = err_set(err, ST_CONFLICT, SLICE_FMT ": " SLICE_FMT, SLICE_ARG(rep.problems.items[0].account),
                     SLICE_ARG(rep.problems.items[0].problem));
    arena_fini(&arena);
    return st;
}

const char *crash_work_look(const char *path, const char *vfs_name, struct crash_tally *ret, char text[256])
{
    struct store *s = NULL;
    struct err err = {0};
    const char *bad = NULL;

    memset(ret, 0, sizeof(*ret));
    if (store_open_on(path, vfs_name, &s, &err) != ST_OK || !s) {
        snprintf(text, 256, "it does not open: %.200s", err.text);
        return text;
    }
    if (!sound(s))
        bad = "SQLite's integrity check";
    else if (verify(s, &err) != ST_OK)
        bad = "the ledger";
    else if (!tally(s, ret))
        bad = "it cannot be counted";
    else if (ret->calls[0] != ret->positions[0] || ret->calls[1] != ret->positions[1])
        bad = "positions and calls differ";
    if (bad)
        snprintf(text, 256, "%s %.200s", bad, err.text);
    store_close(s);
    return bad ? text : NULL;
}
