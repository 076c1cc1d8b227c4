/* The ledger's side of batches and of responses in the background: their call is parked with its hold, and settled once
 * when somebody learns the end. */
#include "tests/unit/meter_fixture.h"

#include "meterd/calls.h"
#include "meterd/ops.h"

#define IN_PICO 1000001 /* odd: half of it is no whole number of pico-USD */
#define OUT_PICO 2000000
#define PROMPT 10000
#define OUTPUT 4000
#define REQUESTS 5
#define HOLD 9000006 /* ceil((10000 * 1000001 + 4000 * 2000000) / 1000 / 2) + 1 */
#define LEASE 60000

struct world {
    struct meter *m;
    struct slice user;
    uint64_t price, seq;
    size_t holds_told; /* to authsvc, by the last event */
};

static struct world make_world(void **state, int64_t credit)
{
    struct world w = {.m = *state};

    w.user = meter_user(w.m, "a@x.test", credit);
    w.price = meter_price(w.m, "test-model", IN_PICO, OUT_PICO);
    return w;
}

static void deliver(struct world *w, const struct usage_event *e)
{
    const struct changes *c = &w->m->store->changes;
    size_t i;

    w->seq++;
    assert_int_equal(meter_deliver(w->m, "out1", w->seq, e, 1), w->seq);
    w->holds_told = 0;
    for (i = 0; i < c->n; i++)
        w->holds_told += c->items[i].kind == hold_state_desc.type;
    meter_assert_clean(w->m);
}

static struct usage_event parked(const char *id, struct world *w)
{
    struct usage_event e = meter_event(w->user, id, w->price);

    e.endpoint = slice_of("batches");
    e.status = slice_of("running");
    e.parked = true;
    e.estimated = true;
    e.lease_ms = LEASE;
    e.price_percent = 50;
    e.hold_nano = HOLD;
    e.prompt_tokens = PROMPT;
    e.completion_tokens = OUTPUT;
    return e;
}

static void park_as(struct world *w, const char *id, const char *batch)
{
    struct usage_event e = parked(id, w);
    struct slice object = slice_of(batch);

    e.object_ids.items = &object;
    e.object_ids.n = 1;
    deliver(w, &e);
}

static struct object_end end_of(const char *batch, const char *status, uint64_t completed)
{
    return (struct object_end){
        .object_id = slice_of(batch), .status = slice_of(status), .requests = REQUESTS, .completed = completed};
}

static void tell(struct world *w, struct slice user, const char *id, const struct object_end *end)
{
    struct slice object = end->object_id;
    struct usage_event e = meter_event(user, id, 0);

    e.endpoint = slice_of("batches.object");
    e.prompt_tokens = e.completion_tokens = 0;
    e.object_ids.items = &object;
    e.object_ids.n = 1;
    e.object_ends.items = end;
    e.object_ends.n = 1;
    deliver(w, &e);
}

static int64_t spent(struct world *w)
{
    return meter_credits(w->m, w->user).spent_nano;
}

static int64_t row(struct world *w, const char *column, const char *id)
{
    char sql[160];

    snprintf(sql, sizeof(sql), "SELECT %s FROM usage WHERE request_id = '%s'", column, id);
    return meter_number(w->m, sql);
}

static int64_t held(struct world *w)
{
    return meter_number(w->m, "SELECT coalesce(sum(balance_nano), 0) FROM account WHERE kind = 'held'");
}

/* (1000 in + 7 out) at half the price: ceil((1000 * 1000001 + 7 * 2000000) * 50 / 100 / 1000). */
#define KNOWN_COST 507001

static void it_is_held_for_and_settled_once(void **state)
{
    struct world w = make_world(state, METER_USD);
    struct object_end end = end_of("batch_1", "completed", REQUESTS);

    park_as(&w, "req_1", "batch_1");
    assert_int_equal(w.holds_told, 1);
    assert_int_equal(held(&w), HOLD);
    assert_int_equal(meter_verify(w.m).holds_open, 1);
    end.known = true;
    end.prompt_tokens = 1000;
    end.completion_tokens = 7;
    tell(&w, w.user, "req_2", &end);
    assert_int_equal(held(&w), 0);
    assert_int_equal(spent(&w), KNOWN_COST);
    assert_int_equal(row(&w, "cost_nano", "req_1"), KNOWN_COST);
    assert_int_equal(row(&w, "price_percent", "req_1"), 50);
    assert_int_equal(row(&w, "prompt_tokens", "req_1"), 1000);
    assert_int_equal(row(&w, "completion_tokens", "req_1"), 7);
    assert_int_equal(row(&w, "estimated", "req_1"), 0);
    assert_int_equal(row(&w, "status = 'ok'", "req_1"), 1);
    assert_int_equal(row(&w, "cost_nano", "req_2"), 0);
    tell(&w, w.user, "req_3", &end); /* whoever asks again */
    end.prompt_tokens = 999999;
    tell(&w, w.user, "req_4", &end);
    park_as(&w, "req_1", "batch_1"); /* and what comes late */
    assert_int_equal(spent(&w), KNOWN_COST);
    assert_int_equal(held(&w), 0);
}

/* A receipt lists every attempt: the one that made the batch has its true tokens, one that came to nothing has none. */
static void the_attempt_that_made_it_has_its_tokens(void **state)
{
    struct usage_attempt log[] = {{.number = 1, .outcome = slice_of("error"), .http_status = 429},
                                  {.number = 2, .outcome = slice_of("ok"), .http_status = 200, .answered = true}};
    struct world w = make_world(state, METER_USD);
    struct object_end end = end_of("batch_1", "completed", REQUESTS);
    struct usage_event e = parked("req_1", &w);
    struct slice object = end.object_id;
    size_t i;

    for (i = 0; i < 2; i++) {
        log[i].provider = log[i].upstream_model = slice_of("echo");
        log[i].price_id = w.price;
    }
    log[1].prompt_tokens = PROMPT;
    log[1].completion_tokens = OUTPUT;
    log[1].estimated = true;
    e.attempts = e.attempt_log.n = 2;
    e.attempt_log.items = log;
    e.object_ids.items = &object;
    e.object_ids.n = 1;
    deliver(&w, &e);
    end.known = true;
    end.prompt_tokens = 1000;
    end.completion_tokens = 7;
    tell(&w, w.user, "req_2", &end);
    assert_int_equal(spent(&w), KNOWN_COST);
    assert_int_equal(meter_number(w.m, "SELECT count(*) FROM attempt WHERE request_id = 'req_1'"), 2);
    assert_int_equal(meter_number(w.m, "SELECT cost_nano FROM attempt WHERE answered = 1"), KNOWN_COST);
    assert_int_equal(meter_number(w.m, "SELECT estimated FROM attempt WHERE answered = 1"), 0);
    assert_int_equal(meter_number(w.m, "SELECT cost_nano FROM attempt WHERE answered = 0"), 0);
}

/* The call took longer than a second: it had a hold already. */
static void a_running_call_is_parked(void **state)
{
    struct world w = make_world(state, METER_USD);
    struct usage_event e = meter_event(w.user, "req_1", w.price);
    struct object_end end = end_of("batch_1", "failed", 0);

    e.status = slice_of("running");
    e.lease_ms = 1000;
    e.hold_nano = HOLD;
    e.prompt_tokens = e.completion_tokens = 0;
    deliver(&w, &e);
    park_as(&w, "req_1", "batch_1");
    assert_int_equal(w.holds_told, 1);
    assert_int_equal(meter_number(w.m, "SELECT lease_ms FROM hold"), LEASE);
    assert_int_equal(meter_number(w.m, "SELECT parked > revision FROM hold"), 1);
    tell(&w, w.user, "req_2", &end);
    assert_int_equal(spent(&w), 0);
    assert_int_equal(held(&w), 0);
    assert_int_equal(row(&w, "status = 'error'", "req_1"), 1);
    assert_int_equal(row(&w, "estimated", "req_1"), 0);
}

/* A response in the background: of it the client has got `seen` tokens. */
static void park_response(struct world *w, const char *id, const char *response, uint64_t seen)
{
    struct usage_event e = parked(id, w);
    struct slice object = slice_of(response);

    e.endpoint = slice_of("responses");
    e.price_percent = 0;
    e.hold_nano = 2 * HOLD;
    e.seen_tokens = seen;
    e.object_ids.items = &object;
    e.object_ids.n = 1;
    deliver(w, &e);
    assert_int_equal(w->holds_told, 1);
}

static void a_response_is_settled_once_with_all_that_it_used(void **state)
{
    struct world w = make_world(state, METER_USD);
    struct object_end end = end_of("resp_1", "completed", 0);

    park_response(&w, "req_1", "resp_1", 0);
    assert_int_equal(held(&w), 2 * HOLD);
    end.known = true;
    end.prompt_tokens = 1000;
    end.cached_tokens = 100;
    end.cache_write_tokens = 20;
    end.cache_write_long_tokens = 3;
    end.audio_input_tokens = 4;
    end.image_input_tokens = 5;
    end.completion_tokens = 70;
    end.reasoning_tokens = 6;
    end.audio_output_tokens = 7;
    end.image_output_tokens = 8;
    tell(&w, w.user, "req_2", &end);
    assert_int_equal(spent(&w), 1140001); /* ceil((1000 * 1000001 + 70 * 2000000) / 1000) */
    assert_int_equal(held(&w), 0);
    assert_int_equal(
        row(&w, "status = 'ok' AND NOT estimated AND prompt_tokens = 1000 AND cached_tokens = 100", "req_1"), 1);
    assert_int_equal(row(&w, "cache_write_tokens * 100 + cache_write_long_tokens * 10 + audio_input_tokens", "req_1"),
                     2034);
    assert_int_equal(row(&w, "image_input_tokens * 100 + audio_output_tokens * 10 + image_output_tokens", "req_1"),
                     578);
    assert_int_equal(row(&w, "completion_tokens * 100 + reasoning_tokens", "req_1"), 7006);
    end.completion_tokens = 7000;
    tell(&w, w.user, "req_3", &end);
    end.status = slice_of("in_progress");
    tell(&w, w.user, "req_4", &end);
    end.status = slice_of("deleted");
    end.known = false;
    tell(&w, w.user, "req_5", &end);
    assert_int_equal(spent(&w), 1140001);
}

static void a_response_without_usage_costs_its_prompt_and_what_was_got_of_it(void **state)
{
    static const struct {
        const char *status;
        uint64_t seen, later, shown, prompt, output; /* later: told twice, by who read it again */
        const char *row;
    } cases[] = {
        {"cancelled", 0, 0, 0, PROMPT, 0, "cancelled"},
        {"cancelled", 30, 0, 0, PROMPT, 30, "cancelled"},
        {"cancelled", 30, 0, 50, PROMPT, 50, "cancelled"},
        {"cancelled", 30, 10, 40, PROMPT, 50, "cancelled"},
        {"cancelled", 0, 3000, 0, PROMPT, OUTPUT, "cancelled"}, /* no more than was held for */
        {"completed", 0, 0, 60, PROMPT, 60, "ok"},
        {"incomplete", 0, 7, 0, PROMPT, 14, "ok"},
        {"failed", 0, 0, 0, 0, 0, "error"},
        {"failed", 3, 0, 0, PROMPT, 3, "error"},
        {"deleted", 0, 0, 0, PROMPT, OUTPUT, "cancelled"},
        {"deleted", 5, 5, 0, PROMPT, OUTPUT, "cancelled"},
    };
    struct world w = make_world(state, METER_USD);
    char id[16], response[16], asked[16], is[40];
    size_t i, k;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct object_end end;

        snprintf(id, sizeof(id), "req_%zu", i);
        snprintf(response, sizeof(response), "resp_%zu", i);
        snprintf(is, sizeof(is), "status = '%s'", cases[i].row);
        park_response(&w, id, response, cases[i].seen);
        end = end_of(response, "in_progress", 0);
        end.completion_tokens = cases[i].later;
        for (k = 0; k < 2; k++) {
            snprintf(asked, sizeof(asked), "req_%zu_%zu", i, k);
            tell(&w, w.user, asked, &end);
            assert_int_equal(held(&w), 2 * HOLD);
        }
        end.status = slice_of(cases[i].status);
        end.completion_tokens = cases[i].shown;
        snprintf(asked, sizeof(asked), "req_%zu_end", i);
        tell(&w, w.user, asked, &end);
        assert_int_equal(held(&w), 0);
        assert_int_equal(row(&w, "prompt_tokens", id), cases[i].prompt);
        assert_int_equal(row(&w, "completion_tokens", id), cases[i].output);
        assert_int_equal(row(&w, "estimated", id), cases[i].prompt > 0);
        assert_int_equal(row(&w, is, id), 1);
    }
}

/* Somebody who missed the record reads it with the changes after it, and in a snapshot. */
static void its_hold_is_in_the_log_of_changes(void **state)
{
    struct world w = make_world(state, METER_USD);
    struct state_read_req req = {0};
    struct state_read_rep rep = {0};
    size_t i, n;

    park_as(&w, "req_1", "batch_1");
    req.after_revision = (uint64_t)meter_number(w.m, "SELECT parked - 1 FROM hold");
    METER_OK(w.m, op_state_read, &req, &rep);
    for (i = n = 0; i < rep.changes.n; i++)
        n += rep.changes.items[i].kind == hold_state_desc.type;
    assert_int_equal(n, 1);
    assert_false(rep.snapshot);
    req.after_revision = 0;
    METER_OK(w.m, op_state_read, &req, &rep);
    for (i = n = 0; i < rep.changes.n; i++)
        n += rep.changes.items[i].kind == hold_state_desc.type;
    assert_int_equal(n, 1);
    assert_true(rep.snapshot);
}

static void without_usage_its_estimate_is_shared(void **state)
{
    static const struct {
        const char *status;
        uint64_t requests, completed, prompt, output;
        const char *row;
    } cases[] = {
        {"completed", 5, 5, 10000, 4000, "ok"},     {"cancelled", 5, 2, 4000, 1600, "cancelled"},
        {"expired", 3, 1, 3334, 1334, "cancelled"}, {"cancelled", 5, 0, 0, 0, "cancelled"},
        {"completed", 0, 0, 10000, 4000, "ok"},     {"failed", 0, 0, 0, 0, "error"},
        {"completed", 5, 9, 10000, 4000, "ok"},
    };
    struct world w = make_world(state, METER_USD);
    char id[16], batch[16], asked[16], is[40];
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct object_end end;

        snprintf(id, sizeof(id), "req_%zu", i);
        snprintf(batch, sizeof(batch), "batch_%zu", i);
        snprintf(asked, sizeof(asked), "req_ask_%zu", i);
        snprintf(is, sizeof(is), "status = '%s'", cases[i].row);
        park_as(&w, id, batch);
        end = end_of(batch, cases[i].status, cases[i].completed);
        end.requests = cases[i].requests;
        tell(&w, w.user, asked, &end);
        assert_int_equal(row(&w, "prompt_tokens", id), cases[i].prompt);
        assert_int_equal(row(&w, "completion_tokens", id), cases[i].output);
        assert_int_equal(row(&w, "estimated", id), cases[i].prompt > 0);
        assert_int_equal(row(&w, is, id), 1);
    }
    assert_int_equal(held(&w), 0);
}

static void another_user_cannot_end_it(void **state)
{
    struct world w = make_world(state, METER_USD);
    struct slice other = meter_user(w.m, "b@x.test", METER_USD);
    struct object_end end = end_of("batch_1", "failed", 0);

    park_as(&w, "req_1", "batch_1");
    tell(&w, other, "req_2", &end);
    tell(&w, slice_of("usr_nobody"), "req_3", &end);
    assert_int_equal(held(&w), HOLD);
    end.object_id = slice_of("batch_2");
    tell(&w, w.user, "req_4", &end);
    assert_int_equal(held(&w), HOLD);
}

static void expire(struct world *w)
{
    assert_int_equal(meter_expire(w->m, (uint64_t)meter_number(w->m, "SELECT due_ms FROM hold")), 1);
}

/* Nobody asked: billed at its estimate; asked after all: corrected. */
static void what_nobody_asks_about_is_billed_at_its_estimate(void **state)
{
    struct world w = make_world(state, METER_USD);
    struct object_end end = end_of("batch_1", "completed", REQUESTS);

    park_as(&w, "req_1", "batch_1");
    expire(&w);
    assert_int_equal(spent(&w), HOLD - 1);
    assert_int_equal(row(&w, "estimated", "req_1"), 1);
    end.known = true;
    end.prompt_tokens = 1000;
    end.completion_tokens = 7;
    tell(&w, w.user, "req_2", &end);
    assert_int_equal(spent(&w), KNOWN_COST);
    tell(&w, w.user, "req_3", &end);
    assert_int_equal(spent(&w), KNOWN_COST);
    assert_int_equal(row(&w, "price_percent", "req_1"), 50);
}

/* Its providersvc was cut off for so long that the call was given up: void, or expired, before its note came. */
static void a_call_that_was_given_up_is_parked_after_all(void **state)
{
    static const char *const given_up[] = {"void", "expired"};
    struct world w = make_world(state, METER_USD);
    int64_t cost = 0;

    for (size_t i = 0; i < sizeof(given_up) / sizeof(given_up[0]); i++) {
        char call[16], batch[16], asked[16];
        struct usage_event e;
        struct object_end end;

        snprintf(call, sizeof(call), "req_%zu", i);
        snprintf(batch, sizeof(batch), "batch_%zu", i);
        snprintf(asked, sizeof(asked), "ask_%zu", i);
        e = meter_event(w.user, call, w.price);
        e.endpoint = slice_of("batches");
        e.status = slice_of("void");
        e.prompt_tokens = e.completion_tokens = 0;
        if (i == 1) {
            e.status = slice_of("running");
            e.hold_nano = HOLD;
            e.lease_ms = LEASE;
            deliver(&w, &e);
            expire(&w);
        } else {
            deliver(&w, &e);
        }
        park_as(&w, call, batch);
        park_as(&w, call, batch);
        assert_int_equal(held(&w), 0);
        assert_int_equal(spent(&w), cost);
        end = end_of(batch, "completed", REQUESTS);
        end.known = true;
        end.prompt_tokens = 1000;
        end.completion_tokens = 7;
        tell(&w, w.user, asked, &end);
        cost += KNOWN_COST;
        if (spent(&w) != cost)
            fail_msg("%s: %lld", given_up[i], (long long)spent(&w));
        tell(&w, w.user, asked, &end);
        assert_int_equal(spent(&w), cost);
    }
}

/* What a file is worth is its owner's to find, also after the file was seen again. */
static void the_worth_stays_with_its_file(void **state)
{
    struct world w = make_world(state, METER_USD);
    struct batch_worth worth = {
        .model = slice_of("m"), .requests = 3, .prompt_tokens = 30, .output_tokens = 20, .unlimited = 1};
    char bytes[LIMIT_DIGEST];
    struct api_key key = {.id = slice_of("key_x"),
                          .user_id = w.user,
                          .name = slice_of("k"),
                          .prefix = slice_of("sk-or-x"),
                          .status = slice_of("active"),
                          .created = 1};
    struct key_put_req put = {.digest = {bytes, sizeof(bytes)}, .key = {&key, 1}};
    struct slice file = slice_of("file_1");
    struct empty none = {0};
    struct usage_event e = meter_event(w.user, "req_1", 0);
    struct object_find_req req = {.object_id = file};
    struct object_find_rep rep = {0};

    memset(bytes, 7, sizeof(bytes));
    METER_OK(w.m, op_key_put, &put, &none);
    e.object_ids.items = &file;
    e.object_ids.n = 1;
    e.worth.items = &worth;
    e.worth.n = 1;
    deliver(&w, &e);
    e = meter_event(w.user, "req_2", 0);
    e.object_ids.items = &file;
    e.object_ids.n = 1;
    deliver(&w, &e);
    req.key_digest = put.digest;
    METER_OK(w.m, op_object_find, &req, &rep);
    assert_int_equal(rep.worth.n, 1);
    assert_true(slice_is(rep.provider, "echo"));
    assert_true(slice_is(rep.worth.items[0].model, "m"));
    assert_int_equal(rep.worth.items[0].requests, 3);
    assert_int_equal(rep.worth.items[0].prompt_tokens, 30);
    assert_int_equal(rep.worth.items[0].output_tokens, 20);
    assert_int_equal(rep.worth.items[0].unlimited, 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, meter_setup, meter_teardown)
    const struct CMUnitTest tests[] = {
        T(it_is_held_for_and_settled_once),
        T(the_attempt_that_made_it_has_its_tokens),
        T(a_running_call_is_parked),
        T(a_response_is_settled_once_with_all_that_it_used),
        T(a_response_without_usage_costs_its_prompt_and_what_was_got_of_it),
        T(its_hold_is_in_the_log_of_changes),
        T(without_usage_its_estimate_is_shared),
        T(another_user_cannot_end_it),
        T(what_nobody_asks_about_is_billed_at_its_estimate),
        T(a_call_that_was_given_up_is_parked_after_all),
        T(the_worth_stays_with_its_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
