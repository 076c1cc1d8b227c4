/*
 * meterbench [CALLS [MESSAGE [UNITS [FOLDER [LONG]]]]]: what a settled call costs meterd, without the bus: batches of
 * usage events of MESSAGE calls each go through ingest in transactions of up to UNITS (500), as the writer's thread
 * does it. LONG percent of the calls run long: a progress event, and so a hold in the ledger, comes before their end.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "meterd/batch.h"
#include "meterd/ingest.h"
#include "meterd/seed.h"
#include "services/clock.h"
#include "services/ids.h"

#define USERS 64
#define UNITS_MAX 500

struct bench {
    struct store *store;
    struct arena arena;
    struct work work;
    struct err err;
    char users[USERS][ID_TEXT_SIZE];
    uint64_t seq, commits, published, ends;
    size_t units;
    unsigned long_percent;
    char running[ID_TEXT_SIZE]; /* the long call whose end is due */
};

static void die(struct bench *b, const char *what)
{
    fprintf(stderr, "%s: %s\n", what, b->err.text);
    exit(1);
}

static void on_publish(void *ctx, struct slice bytes)
{
    struct bench *b = ctx;

    b->published += bytes.n;
}

static void make_users(struct bench *b)
{
    int i;

    for (i = 0; i < USERS; i++) {
        char email[64];
        struct user_put_req req = {.password_hash = slice_of("h"),
                                   .role = slice_of("user"),
                                   .plan = slice_of("pro"),
                                   .credit_nano = 1000 * MONEY_NANO_PER_USD};
        struct user_rep rep = {0};

        snprintf(email, sizeof(email), "u%d@bench.test", i);
        req.email = slice_of(email);
        if (batch_single(&b->work, op_user_put, &req, &rep) != ST_OK)
            die(b, "user");
        slice_copy(rep.user.items[0].id, b->users[i], ID_TEXT_SIZE);
    }
}

static void fill(struct bench *b, struct usage_event *e, char (*ids)[ID_TEXT_SIZE], size_t n)
{
    size_t i;

    for (i = 0; i < n; i++) {
        bool begins = b->running[0] == '\0' && (b->seq + i) * 37 % 100 < b->long_percent;

        if (b->running[0])
            memcpy(ids[i], b->running, sizeof(b->running));
        else
            id_make(ids[i], "req_", 16);
        e[i] = (struct usage_event){.request_id = slice_of(ids[i]),
                                    .user_id = slice_of(b->users[(b->seq + i - (b->running[0] != '\0')) % USERS]),
                                    .key_id = slice_of("key_0123456789abcdef01234567"),
                                    .model = slice_of("gpt-4o-mini"),
                                    .provider = slice_of("openai"),
                                    .upstream_model = slice_of("gpt-4o-mini"),
                                    .endpoint = slice_of("chat.completions"),
                                    .status = slice_of(begins ? "running" : "ok"),
                                    .http_status = 200,
                                    .prompt_tokens = 1200,
                                    .cached_tokens = 800,
                                    .completion_tokens = 300,
                                    .price_id = 5,
                                    .hold_nano = 1000000,
                                    .created_ms = clock_wall_ms(),
                                    .latency_ms = 900,
                                    .ttft_ms = 200,
                                    .attempts = 1};
        memcpy(b->running, begins ? ids[i] : "", begins ? sizeof(b->running) : 1);
        b->ends += !begins;
    }
}

/* One transaction of several messages, as the writer makes it; returns how many calls. */
static size_t transaction(struct bench *b, struct usage_event *e, size_t message)
{
    uint64_t previous = b->store->revision, seq;
    size_t done;

    if (batch_begin(b->store, &b->err) != ST_OK)
        die(b, "begin");
    for (done = 0; done < b->units; done += message) {
        struct ingest_batch batch = {slice_of("bench"), b->seq + done + 1, e + done, message, 0};

        if (ingest_apply(&b->work, &batch, &seq) != ST_OK)
            die(b, "ingest");
    }
    if (batch_commit(b->store, &b->err) != ST_OK)
        die(b, "commit");
    changes_publish(&b->store->changes, previous, b->store->revision, CHANGE_BATCH_ITEMS, on_publish, b);
    if (store_checkpoint(b->store, false, &b->err) != ST_OK)
        die(b, "checkpoint");
    b->seq += done;
    b->commits++;
    return done;
}

static double cpu_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void measure(struct bench *b, size_t calls, size_t message)
{
    struct usage_event *e = calloc(UNITS_MAX + message, sizeof(*e));
    char(*ids)[ID_TEXT_SIZE] = calloc(UNITS_MAX + message, sizeof(*ids));
    double cpu = 0, wall = 0, ends = 0;
    size_t done = 0;

    if (!e || !ids)
        die(b, "memory");
    while (done < calls) {
        double cpu0;
        uint64_t wall0;

        fill(b, e, ids, (b->units + message - 1) / message * message);
        cpu0 = cpu_s();
        wall0 = clock_ns();
        done += transaction(b, e, message);
        cpu += cpu_s() - cpu0;
        wall += (double)(clock_ns() - wall0) / 1e9;
    }
    ends = (double)b->ends;
    printf("%zu calls, %zu a message, %llu commits: %.0f calls/s, %.2f us CPU and %.2f us wall a call, %.0f bytes "
           "published a call\n",
           (size_t)ends, message, (unsigned long long)b->commits, ends / wall, cpu * 1e6 / ends, wall * 1e6 / ends,
           (double)b->published / ends);
    free(e);
    free(ids);
}

static void verify(struct bench *b)
{
    struct ledger_verify_req req = {0};
    struct ledger_verify_rep rep = {0};
    uint64_t began = clock_ns();

    if (batch_single(&b->work, op_ledger_verify, &req, &rep) != ST_OK)
        die(b, "verify");
    printf("ledger verify: %s, %llu entries in %.0f ms\n", rep.ok ? "clean" : "DIFFERENCES",
           (unsigned long long)rep.entries, (double)(clock_ns() - began) / 1e6);
}

int main(int argc, char **argv)
{
    size_t calls = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000, message = argc > 2 ? strtoul(argv[2], NULL, 10) : 10;
    char folder[256], path[300], other[320];
    struct seed_report report;
    struct bench b = {.units = argc > 3 ? strtoul(argv[3], NULL, 10) : UNITS_MAX,
                      .long_percent = argc > 5 ? (unsigned)strtoul(argv[5], NULL, 10) : 0};
    struct seed_options options = {path, "admin@localhost", "a password for the bench"};

    if (message == 0 || message > UNITS_MAX)
        message = 10;
    if (b.units == 0 || b.units > UNITS_MAX)
        b.units = UNITS_MAX;
    snprintf(folder, sizeof(folder), "%s/meterbench-XXXXXX", argc > 4 ? argv[4] : "/tmp");
    if (!mkdtemp(folder))
        die(&b, "folder");
    snprintf(path, sizeof(path), "%s/app.db", folder);
    arena_init(&b.arena, 256u * 1024u * 1024u);
    if (store_open(path, &b.store, &b.err) != ST_OK || seed_run(b.store, &options, &report, &b.err) != ST_OK)
        die(&b, "store");
    b.work = (struct work){.s = b.store, .a = &b.arena, .err = &b.err};
    make_users(&b);
    measure(&b, calls, message);
    verify(&b);
    store_close(b.store);
    arena_fini(&b.arena);
    snprintf(other, sizeof(other), "%s.lock", path);
    unlink(other);
    unlink(path);
    return rmdir(folder) != 0;
}
