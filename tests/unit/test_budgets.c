/* Budgets of keys as meterd keeps them: periods, the count in the transaction of the bill, what others are told. */
#include "tests/unit/meter_fixture.h"

#include "meterd/budgets.h"
#include "meterd/calls.h"

#define DAY_S UINT64_C(86400)
#define COST INT64_C(1200000) /* of meter_event at the test price */

/* ---- periods --------------------------------------------------------------------------------------------------------
 */

struct period_row {
    const char *period;
    uint64_t now, end;
};

static void periods_end_when_the_calendar_says(void **state)
{
    static const struct period_row table[] = {
        {"day", 0, 86400},
        {"day", 86399, 86400},
        {"day", 86400, 172800},
        {"week", 0, 4 * 86400}, /* the epoch is a Thursday */
        {"week", 4 * 86400 - 1, 4 * 86400},
        {"week", 4 * 86400, 11 * 86400},
        {"week", 1794873600, 1795392000}, /* Tuesday 2026-11-17 to Monday 23 */
        {"month", 0, 31 * 86400},
        {"month", 1794873600, 1796083200}, /* November 2026 */
        {"month", 1798761599, 1798761600}, /* the last second of 2026 */
        {"month", 1798761600, 1801440000}, /* January 2027 */
        {"month", 1832976000, 1835481600}, /* February 2028 has 29 days */
        {"month", 1801440000, 1803859200}, /* February 2027 has 28 */
        {"month", UINT64_C(4105123200), UINT64_C(4107542400)}, /* February 2100 has 28 */
        {"total", 1794873600, 0},
        {"", 1794873600, 0},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (budgets_end(slice_of(table[i].period), table[i].now) != table[i].end)
            fail_msg("row %zu: %llu", i, (unsigned long long)budgets_end(slice_of(table[i].period), table[i].now));
    assert_false(budgets_over(0, UINT64_MAX));
    assert_false(budgets_over(10, 9999));
    assert_true(budgets_over(10, 10000));
}

/* ---- keys -----------------------------------------------------------------------------------------------------------
 */

static enum status put_key(struct meter *m, struct slice user, const char *id, int64_t budget, const char *period)
{
    char bytes[LIMIT_DIGEST] = {0};
    struct api_key key = {.id = slice_of(id),
                          .user_id = user,
                          .name = slice_of("k"),
                          .prefix = slice_of("sk-or-"),
                          .budget_nano = budget,
                          .budget_period = slice_of(period)};
    struct key_put_req req = {.digest = {bytes, sizeof(bytes)}, .key = {&key, 1}};
    struct empty rep = {0};

    memcpy(bytes, id, strlen(id));
    return meter_run(m, op_key_put, &req, &rep);
}

static struct api_key key_of(struct meter *m, struct slice user, const char *id)
{
    struct key_list_req req = {.actor_id = user, .id = slice_of(id)};
    struct key_list_rep rep = {0};

    METER_OK(m, op_key_list, &req, &rep);
    assert_int_equal(rep.data.n, 1);
    return rep.data.items[0];
}

static enum status update(struct meter *m, struct slice user, const char *id, struct key_update_req req)
{
    struct key_rep rep = {0};
    enum status st;

    req.actor_id = user;
    req.id = slice_of(id);
    st = meter_run(m, op_key_update, &req, &rep);
    if (st == ST_OK)
        assert_int_equal(rep.revision, m->store->revision);
    return st;
}

static uint64_t price_of(struct meter *m)
{
    return meter_price(m, "test-model", 1000000, 2000000);
}

/* A call of this key at this wall clock; what is told about it stays in the store's changes. */
static void call_at(struct meter *m, struct slice user, const char *key, const char *request, uint64_t price,
                    uint64_t now_s)
{
    struct work w = {.s = m->store, .a = &m->arena, .err = &m->err};
    struct usage_event e = meter_event(user, request, price);
    struct ingest_batch batch = {.source = slice_of(request), .first_seq = 1, .events = &e, .n = 1};
    uint64_t seq = 0;

    e.key_id = slice_of(key);
    assert_int_equal(batch_begin(m->store, &m->err), ST_OK);
    m->store->now_ms = now_s * 1000;
    meter_must(m, ingest_apply(&w, &batch, &seq), "ingest_apply");
    assert_int_equal(batch_commit(m->store, &m->err), ST_OK);
}

static int64_t spent(struct meter *m)
{
    return meter_number(m, "SELECT budget_spent_nano FROM api_key WHERE id = 'key_1'");
}

static int64_t until(struct meter *m)
{
    return meter_number(m, "SELECT budget_until FROM api_key WHERE id = 'key_1'");
}

static const struct state_change *change_of(const struct state_read_rep *rep, const struct wire_desc *desc)
{
    const struct state_change *found = NULL;
    size_t i;

    for (i = 0; i < rep->changes.n; i++)
        if (rep->changes.items[i].kind == desc->type)
            found = &rep->changes.items[i];
    if (!found)
        fail_msg("no %s", desc->name);
    return found;
}

static void decode(struct meter *m, const struct state_read_rep *rep, const struct wire_desc *desc, void *to)
{
    const struct state_change *c = change_of(rep, desc);
    struct wire_alloc mem = arena_wire(&m->arena);

    if (c)
        meter_must(m, wire_decode(desc, c->record.p, c->record.n, to, &mem, &m->err), desc->name);
}

static void only_sensible_budgets_are_taken(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", 0);
    struct api_key key;

    assert_int_equal(put_key(m, user, "key_1", -1, NULL), ST_BAD_REQUEST);
    assert_string_equal(m->err.param, "budget_usd");
    assert_int_equal(put_key(m, user, "key_1", 5, "year"), ST_BAD_REQUEST);
    assert_string_equal(m->err.param, "budget_period");
    assert_int_equal(put_key(m, user, "key_1", 0, "day"), ST_BAD_REQUEST);
    assert_int_equal(put_key(m, user, "key_1", 5, NULL), ST_OK);
    key = key_of(m, user, "key_1");
    assert_true(key.budget_nano == 5 && slice_is(key.budget_period, "total"));
    assert_int_equal(put_key(m, user, "key_2", 0, NULL), ST_OK);
    assert_int_equal(key_of(m, user, "key_2").budget_period.n, 0);
}

static void the_count_moves_with_the_bill(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", 2 * COST + 5);
    uint64_t price = price_of(m), now = m->store->now_ms / 1000;

    assert_int_equal(put_key(m, user, "key_1", METER_USD, "total"), ST_OK);
    assert_int_equal(put_key(m, user, "key_2", 0, NULL), ST_OK);
    call_at(m, user, "key_1", "req_1", price, now);
    call_at(m, user, "key_2", "req_2", price, now); /* has no budget */
    call_at(m, user, "key_none", "req_3", 0, now); /* does not exist, costs nothing */
    assert_int_equal(spent(m), COST);
    call_at(m, user, "key_1", "req_4", price, now); /* the operator bears the rest, not the budget */
    assert_int_equal(spent(m), COST + 5);
    call_at(m, user, "key_1", "req_4", price, now); /* a call that was billed before */
    assert_int_equal(spent(m), COST + 5);
    assert_int_equal(meter_number(m, "SELECT sum(budget_spent_nano) FROM api_key"), COST + 5);
    assert_int_equal(key_of(m, user, "key_1").budget_spent_nano, COST + 5);
    meter_assert_clean(m);
}

static void a_new_period_begins_at_zero(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", METER_USD);
    uint64_t price = price_of(m), day = m->store->now_ms / 1000 / DAY_S * DAY_S;

    assert_int_equal(put_key(m, user, "key_1", METER_USD, "day"), ST_OK);
    assert_int_equal(until(m), day + DAY_S);
    call_at(m, user, "key_1", "req_1", price, day + 10);
    call_at(m, user, "key_1", "req_2", price, day + DAY_S - 1);
    assert_int_equal(spent(m), 2 * COST);
    call_at(m, user, "key_1", "req_3", price, day + DAY_S);
    assert_int_equal(spent(m), COST);
    assert_int_equal(until(m), day + 2 * DAY_S);
    call_at(m, user, "key_1", "req_4", price, day + 10); /* the clock jumped back: the day does not begin again */
    assert_int_equal(spent(m), 2 * COST);
    assert_int_equal(until(m), day + 2 * DAY_S);
    meter_sql(m, "UPDATE api_key SET budget_until = 1000");
    assert_int_equal(key_of(m, user, "key_1").budget_spent_nano, 0); /* nothing, in the period that runs */
}

static void a_key_is_changed_in_parts(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", METER_USD), other = meter_user(m, "b@x.test", 0);
    struct key_revoke_req revoke = {.actor_id = user, .id = slice_of("key_1")};
    uint64_t price = price_of(m), now = m->store->now_ms / 1000;
    struct api_key key;
    struct empty empty = {0};

    assert_int_equal(put_key(m, user, "key_1", 0, NULL), ST_OK);
    call_at(m, user, "key_1", "req_0", price, now); /* remembered as a key without budget */
    assert_int_equal(update(m, user, "key_1", (struct key_update_req){.budget_nano = METER_USD, .rpm = 9}), ST_OK);
    call_at(m, user, "key_1", "req_1", price, now);
    assert_int_equal(spent(m), COST); /* what it spent before it had a budget does not count */
    assert_int_equal(update(m, user, "key_1", (struct key_update_req){.budget_nano = 2 * METER_USD}), ST_OK);
    assert_int_equal(spent(m), COST);
    assert_int_equal(update(m, user, "key_1", (struct key_update_req){.budget_period = slice_of("week")}), ST_OK);
    assert_int_equal(spent(m), 0);
    call_at(m, user, "key_1", "req_2", price, now);
    key = key_of(m, user, "key_1");
    assert_true(key.rpm == 9 && key.budget_nano == 2 * METER_USD && key.budget_spent_nano == COST);
    assert_true(slice_is(key.name, "k") && slice_is(key.budget_period, "week"));
    assert_int_equal(update(m, user, "key_1", (struct key_update_req){.has = UINT64_C(1) << 9}), ST_OK);
    key = key_of(m, user, "key_1");
    assert_true(key.budget_nano == 0 && key.budget_period.n == 0 && key.budget_spent_nano == 0);
    assert_int_equal(update(m, other, "key_1", (struct key_update_req){.rpm = 1}), ST_NOT_FOUND);
    assert_int_equal(update(m, user, "key_1", (struct key_update_req){.has = UINT64_C(1) << 3}), ST_BAD_REQUEST);
    assert_string_equal(m->err.param, "name");
    assert_int_equal(update(m, user, "key_1", (struct key_update_req){.budget_nano = -1}), ST_BAD_REQUEST);
    METER_OK(m, op_key_revoke, &revoke, &empty);
    assert_int_equal(update(m, user, "key_1", (struct key_update_req){.rpm = 1}), ST_CONFLICT);
}

/* A transaction that is taken back leaves neither a count nor a memory of a key. */
static void what_is_taken_back_is_not_counted(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", METER_USD);
    struct work w = {.s = m->store, .a = &m->arena, .err = &m->err};
    uint64_t price = price_of(m), seq = 0;
    struct usage_event e = meter_event(user, "req_1", price);
    struct ingest_batch batch = {.source = slice_of("out1"), .first_seq = 1, .events = &e, .n = 1};

    e.key_id = slice_of("key_1");
    assert_int_equal(put_key(m, user, "key_1", METER_USD, "month"), ST_OK);
    assert_int_equal(batch_begin(m->store, &m->err), ST_OK);
    assert_int_equal(ingest_apply(&w, &batch, &seq), ST_OK);
    batch_abandon(m->store);
    assert_int_equal(spent(m), 0);
    assert_int_equal(batch_begin(m->store, &m->err), ST_OK);
    assert_int_equal(ingest_apply(&w, &batch, &seq), ST_OK);
    assert_int_equal(batch_commit(m->store, &m->err), ST_OK);
    assert_int_equal(spent(m), COST);
}

/* A call whose hold ran out and whose truth costs less: the user gets it back, and so does the budget. */
static void what_is_given_back_is_not_spent(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", METER_USD);
    uint64_t price = price_of(m), before;
    struct usage_event e[3] = {meter_event(user, "req_1", price), meter_event(user, "req_2", price),
                               meter_event(user, "req_1", price)};
    struct work w = {.s = m->store, .a = &m->arena, .err = &m->err};
    struct state_read_req req;
    struct state_read_rep rep = {0};
    struct key_state key = {.has = 0};
    size_t n = 0;
    int i;

    assert_int_equal(put_key(m, user, "key_1", METER_USD, "day"), ST_OK);
    for (i = 0; i < 3; i++)
        e[i].key_id = slice_of("key_1");
    e[0].status = slice_of("running");
    e[0].hold_nano = 2 * COST;
    e[0].lease_ms = 1000;
    e[2].completion_tokens = 0; /* costs 200000 less than what was heard */
    assert_int_equal(meter_deliver(m, "out1", 1, e, 2), 2);
    assert_int_equal(spent(m), COST); /* what is held is not spent */
    assert_int_equal(batch_begin(m->store, &m->err), ST_OK);
    assert_int_equal(calls_expire(&w, UINT64_C(1) << 60, &n), ST_OK);
    assert_int_equal(batch_commit(m->store, &m->err), ST_OK);
    assert_int_equal(n, 1);
    assert_int_equal(spent(m), 2 * COST);
    before = m->store->revision;
    assert_int_equal(meter_deliver(m, "out1", 3, &e[2], 1), 3);
    assert_int_equal(spent(m), 2 * COST - 200000);
    req = (struct state_read_req){.after_revision = before};
    METER_OK(m, op_state_read, &req, &rep);
    decode(m, &rep, &key_state_desc, &key); /* a bill's count is not believed when it falls: the key's own is */
    assert_int_equal(key.period_spent_nano, 2 * COST - 200000);
    meter_assert_clean(m);
}

static void a_correction_of_an_earlier_period_does_not_go_below_zero(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", METER_USD);
    struct work w = {.s = m->store, .a = &m->arena, .err = &m->err};
    struct settled settled = {.has = 0};

    assert_int_equal(put_key(m, user, "key_1", METER_USD, "day"), ST_OK);
    assert_int_equal(batch_begin(m->store, &m->err), ST_OK);
    assert_int_equal(budgets_spend(&w, slice_of("key_1"), -5, &settled), ST_OK);
    assert_int_equal(batch_commit(m->store, &m->err), ST_OK);
    assert_int_equal(settled.key_spent_nano, 0);
    assert_int_equal(spent(m), 0);
}

/* ---- what others are told -------------------------------------------------------------------------------------------
 */

static void followers_learn_what_is_spent(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", METER_USD);
    uint64_t price = price_of(m), now = m->store->now_ms / 1000, before;
    struct state_read_req req = {.after_revision = 0};
    struct state_read_rep rep = {0};
    struct settled settled = {.has = 0};
    struct key_state key = {.has = 0};

    assert_int_equal(put_key(m, user, "key_1", METER_USD, "day"), ST_OK);
    call_at(m, user, "key_1", "req_1", price, now);
    before = m->store->revision;
    METER_OK(m, op_state_read, &req, &rep);
    decode(m, &rep, &key_state_desc, &key);
    assert_int_equal(key.period_spent_nano, COST);
    assert_int_equal(key.period_end, until(m));
    assert_true(key.key.n == 1 && key.key.items && key.key.items[0].budget_nano == METER_USD);
    call_at(m, user, "key_1", "req_2", price, now);
    req.after_revision = before;
    memset(&rep, 0, sizeof(rep));
    METER_OK(m, op_state_read, &req, &rep);
    decode(m, &rep, &settled_desc, &settled);
    assert_true(slice_is(settled.request_id, "req_2") && slice_eq(settled.user_id, user));
    assert_int_equal(settled.cost_nano, COST);
    assert_int_equal(settled.balance_nano, METER_USD - 2 * COST);
    assert_int_equal(settled.tokens, 1100);
    assert_int_equal(settled.key_digest.n, LIMIT_DIGEST);
    assert_int_equal(settled.key_spent_nano, 2 * COST);
    assert_int_equal(settled.key_period_end, until(m));
    assert_int_equal(update(m, user, "key_1", (struct key_update_req){.has = UINT64_C(1) << 9}), ST_OK);
    memset(&rep, 0, sizeof(rep));
    METER_OK(m, op_state_read, &req, &rep);
    decode(m, &rep, &settled_desc, &settled);
    assert_int_equal(settled.key_digest.n, 0); /* it has none any more */
}

struct heard {
    struct meter *m;
    struct settled settled;
    unsigned n;
};

static void hear(void *ctx, struct slice bytes)
{
    struct heard *h = ctx;
    struct wire_alloc mem = arena_wire(&h->m->arena);
    struct state_batch batch = {.has = 0};
    size_t i;

    meter_must(h->m, wire_decode(&state_batch_desc, bytes.p, bytes.n, &batch, &mem, &h->m->err), "state_batch");
    for (i = 0; i < batch.changes.n; i++) {
        const struct state_change *c = &batch.changes.items[i];

        if (c->kind != settled_desc.type)
            continue;
        h->n++;
        meter_must(h->m, wire_decode(&settled_desc, c->record.p, c->record.n, &h->settled, &mem, &h->m->err),
                   "settled");
    }
}

/* The fast path says the same as a read of the state. */
static void the_feed_says_what_is_spent(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", METER_USD);
    uint64_t price = price_of(m), now = m->store->now_ms / 1000;
    struct heard heard = {.m = m};

    assert_int_equal(put_key(m, user, "key_1", METER_USD, "month"), ST_OK);
    assert_int_equal(put_key(m, user, "key_2", 0, NULL), ST_OK);
    call_at(m, user, "key_1", "req_1", price, now);
    assert_int_equal(changes_publish(&m->store->changes, 1, m->store->revision, CHANGE_BATCH_ITEMS, hear, &heard),
                     ST_OK);
    assert_int_equal(heard.n, 1);
    assert_int_equal(heard.settled.key_spent_nano, COST);
    assert_int_equal(heard.settled.key_digest.n, LIMIT_DIGEST);
    assert_memory_equal(heard.settled.key_digest.p, "key_1", 5);
    assert_int_equal(heard.settled.key_period_end, until(m));
    call_at(m, user, "key_2", "req_2", price, now);
    assert_int_equal(changes_publish(&m->store->changes, 1, m->store->revision, CHANGE_BATCH_ITEMS, hear, &heard),
                     ST_OK);
    assert_int_equal(heard.n, 2);
    assert_int_equal(heard.settled.key_digest.n, 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, meter_setup, meter_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(periods_end_when_the_calendar_says),
        T(only_sensible_budgets_are_taken),
        T(the_count_moves_with_the_bill),
        T(a_new_period_begins_at_zero),
        T(a_key_is_changed_in_parts),
        T(what_is_taken_back_is_not_counted),
        T(what_is_given_back_is_not_spent),
        T(a_correction_of_an_earlier_period_does_not_go_below_zero),
        T(followers_learn_what_is_spent),
        T(the_feed_says_what_is_spent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
