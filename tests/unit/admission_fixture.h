/*
 * Admission as a pure unit: state records in, decisions out, on a clock that the test owns. One user (usr_1, 1 USD,
 * plan `free` without limits), one key ("secret"), one model (`m` of provider openai, 1000 tokens of output at most).
 */
#ifndef TESTS_UNIT_ADMISSION_FIXTURE_H
#define TESTS_UNIT_ADMISSION_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "authsvc/admission.h"
#include "proto/money.h"

#define USD MONEY_NANO_PER_USD
#define WALL UINT64_C(1800000000)
#define DEADLINE 60000u
#define GRACE 30000u

struct world {
    struct admission a;
    struct arena arena, scratch;
    struct admit_rep rep;
    struct rate_limits limits;
    struct err err;
    uint64_t now, revision;
    uint64_t wall_s; /* later than WALL when set */
    struct suspect_key suspect; /* the key that the last question was refused for */
    unsigned ids;
};

/* ---- the state ----------------------------------------------------------------------------------------------------
 */

static inline void feed(struct world *w, const struct wire_desc *desc, const void *record)
{
    struct state_change change = {.revision = ++w->revision, .kind = desc->type};
    struct buf b;

    buf_init(&b, LIMIT_RECORD);
    assert_int_equal(wire_encode(desc, record, &b, &w->err), ST_OK);
    change.record = (struct slice){b.p, b.n};
    arena_reset(&w->scratch);
    assert_int_equal(admission_change(&w->a, w->now, &change, &w->scratch, &w->err), ST_OK);
    buf_fini(&b);
}

static inline struct user a_user(const char *id, int64_t balance)
{
    return (struct user){.id = slice_of(id),
                         .email = slice_of("a@b"),
                         .role = slice_of("user"),
                         .plan = slice_of("free"),
                         .status = slice_of("active"),
                         .balance_nano = balance,
                         .created = WALL};
}

static inline void digest_of(const char *secret, unsigned char to[LIMIT_DIGEST])
{
    crypto_hash_sha256(to, (const unsigned char *)secret, strlen(secret));
}

static inline struct api_key a_key(const char *id, const char *user)
{
    return (struct api_key){.id = slice_of(id),
                            .user_id = slice_of(user),
                            .name = slice_of("k"),
                            .prefix = slice_of("sk-or-x"),
                            .status = slice_of("active"),
                            .created = WALL};
}

static inline void feed_key(struct world *w, const char *secret, const struct api_key *key)
{
    unsigned char digest[LIMIT_DIGEST];
    struct key_state state = {.digest = {(const char *)digest, sizeof(digest)}, .key = {key, 1}};

    digest_of(secret, digest);
    feed(w, &key_state_desc, &state);
}

static inline void feed_user(struct world *w, const char *id, int64_t balance)
{
    struct user u = a_user(id, balance);

    feed(w, &user_desc, &u);
}

static inline void feed_plan(struct world *w, uint64_t rpm, uint64_t tpm, uint64_t concurrency)
{
    struct plan p = {.name = slice_of("free"), .rpm = rpm, .tpm = tpm, .concurrency = concurrency};

    feed(w, &plan_desc, &p);
}

/* 1 USD per million input tokens, 10 per million output tokens: 1,000 and 10,000 nano-USD a token. */
static inline void feed_price(struct world *w, const char *model, const char *provider, uint64_t max_output)
{
    struct price p = {.id = w->revision + 1,
                      .model = slice_of(model),
                      .provider = slice_of(provider),
                      .input_pico = 1000000,
                      .output_pico = 10000000,
                      .max_output = max_output,
                      .created = WALL};

    feed(w, &price_desc, &p);
}

static inline void feed_provider(struct world *w, const char *name)
{
    struct provider p = {.name = slice_of(name), .kind = slice_of("openai")};

    feed(w, &provider_desc, &p);
}

static inline void feed_settled(struct world *w, const char *request, const char *user, int64_t balance,
                                uint64_t tokens)
{
    struct settled s = {.request_id = slice_of(request),
                        .user_id = slice_of(user),
                        .cost_nano = 1,
                        .balance_nano = balance,
                        .tokens = tokens};

    feed(w, &settled_desc, &s);
}

static inline void feed_all(struct world *w)
{
    struct api_key key = a_key("key_1", "usr_1");

    feed_plan(w, 0, 0, 0);
    feed_user(w, "usr_1", USD);
    feed_key(w, "secret", &key);
    feed_price(w, "m", "openai", 1000);
    feed_provider(w, "openai");
}

static inline int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    if (!w)
        return 1;
    admission_init(&w->a, false, GRACE);
    arena_init(&w->arena, 1 << 20);
    arena_init(&w->scratch, 1 << 20);
    w->now = 1000000;
    admission_reset(&w->a);
    feed_all(w);
    admission_applied(&w->a);
    *state = w;
    return 0;
}

static inline int teardown(void **state)
{
    struct world *w = *state;

    admission_fini(&w->a);
    arena_fini(&w->arena);
    arena_fini(&w->scratch);
    free(w);
    return 0;
}

/* ---- asking -------------------------------------------------------------------------------------------------------
 */

static inline enum status ask(struct world *w, const char *id, const char *secret, struct admit_req req)
{
    unsigned char digest[LIMIT_DIGEST];
    struct admission_env env = {.now_ms = w->now,
                                .wall_s = w->wall_s ? w->wall_s : WALL,
                                .arena = &w->arena,
                                .limits = &w->limits,
                                .suspect = &w->suspect};

    digest_of(secret, digest);
    req.request_id = slice_of(id);
    req.key_digest = (struct slice){(const char *)digest, sizeof(digest)};
    if (req.model.n == 0)
        req.model = slice_of("m");
    if (req.endpoint.n == 0)
        req.endpoint = slice_of("chat.completions");
    req.deadline_ms = DEADLINE;
    arena_reset(&w->arena);
    memset(&w->rep, 0, sizeof(w->rep));
    memset(&w->limits, 0, sizeof(w->limits));
    memset(&w->err, 0, sizeof(w->err));
    memset(&w->suspect, 0, sizeof(w->suspect));
    return admission_admit(&w->a, &env, &req, &w->rep, &w->err);
}

static inline enum status ask_new(struct world *w, uint64_t prompt, uint64_t output)
{
    char id[32];

    snprintf(id, sizeof(id), "req_%u", ++w->ids);
    return ask(w, id, "secret", (struct admit_req){.prompt_tokens_estimate = prompt, .max_output_tokens = output});
}

static inline struct admission_figures figures(struct world *w)
{
    struct admission_figures f;

    admission_figures(&w->a, w->now, &f);
    return f;
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static inline int prepare(void **state)
{
    (void)state;
    return sodium_init() < 0;
}

#endif
