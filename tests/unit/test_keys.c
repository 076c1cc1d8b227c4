/* Keys in the database: what a rotation changes, whose a call is afterwards, what a snapshot says of them. */
#include "tests/unit/meter_fixture.h"

#include "meterd/state.h"

#define LEASE_MS 60000

/* So many bytes of one letter. */
static struct slice digest(struct meter *m, char letter)
{
    char *p = arena_alloc(&m->arena, LIMIT_DIGEST);

    assert_non_null(p);
    memset(p, letter, LIMIT_DIGEST);
    return (struct slice){p, LIMIT_DIGEST};
}

static enum status put_key(struct meter *m, struct slice user, const char *id, char letter)
{
    struct api_key key = {
        .id = slice_of(id), .user_id = user, .name = slice_of("laptop"), .prefix = slice_of("sk-or-old"), .rpm = 7};
    struct key_put_req req = {.digest = digest(m, letter), .key = {&key, 1}};
    struct empty rep = {0};

    return meter_run(m, op_key_put, &req, &rep);
}

static enum status rotate(struct meter *m, struct slice user, const char *id, char letter, uint64_t grace_s,
                          struct key_rep *rep)
{
    struct key_secret_req req = {.actor_id = user,
                                 .id = slice_of(id),
                                 .digest = digest(m, letter),
                                 .prefix = slice_of("sk-or-new"),
                                 .grace_s = grace_s};

    memset(rep, 0, sizeof(*rep));
    return meter_run(m, op_key_secret, &req, rep);
}

static void must_rotate(struct meter *m, struct slice user, const char *id, char letter, uint64_t grace_s)
{
    struct key_rep rep;

    meter_must(m, rotate(m, user, id, letter, grace_s, &rep), "rotate");
}

/* The newest record of the key, as the feed tells it. */
static struct key_state told(struct meter *m, uint64_t after)
{
    struct state_read_req req = {.after_revision = after};
    struct state_read_rep rep = {0};
    struct wire_alloc mem = arena_wire(&m->arena);
    struct key_state key = {.has = 0};
    size_t i;

    METER_OK(m, op_state_read, &req, &rep);
    for (i = 0; i < rep.changes.n; i++)
        if (rep.changes.items[i].kind == key_state_desc.type)
            assert_int_equal(wire_decode(&key_state_desc, rep.changes.items[i].record.p, rep.changes.items[i].record.n,
                                         &key, &mem, NULL),
                             ST_OK);
    return key;
}

static void a_rotation_changes_the_secret_and_nothing_else(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", METER_USD);
    struct key_list_req list = {.actor_id = user};
    struct key_list_rep before = {0}, after = {0};
    struct key_rep rep;
    struct key_state key;
    uint64_t from, now_s;

    meter_must(m, put_key(m, user, "key_1", 'a'), "put");
    METER_OK(m, op_key_list, &list, &before);
    assert_int_equal(before.data.items[0].previous_until, 0);
    from = m->store->revision;
    meter_must(m, rotate(m, user, "key_1", 'b', 3600, &rep), "rotate");
    now_s = m->store->now_ms / 1000;
    assert_int_equal(rep.revision, m->store->revision);
    assert_in_range(rep.key.items[0].previous_until, now_s + 3600, now_s + 3601);
    METER_OK(m, op_key_list, &list, &after);
    assert_int_equal(after.data.n, 1);
    assert_true(slice_is(after.data.items[0].prefix, "sk-or-new"));
    assert_true(slice_is(after.data.items[0].id, "key_1") && slice_is(after.data.items[0].name, "laptop"));
    assert_int_equal(after.data.items[0].rpm, 7);
    assert_int_equal(after.data.items[0].created, before.data.items[0].created);
    assert_int_equal(after.data.items[0].previous_until, rep.key.items[0].previous_until);
    key = told(m, from);
    assert_true(key.digest.n == LIMIT_DIGEST && key.digest.p[0] == 'b');
    assert_true(key.previous_digest.n == LIMIT_DIGEST && key.previous_digest.p[0] == 'a');
    assert_int_equal(key.key.items[0].previous_until, rep.key.items[0].previous_until);
    key = told(m, 0); /* a snapshot: whoever starts now knows both */
    assert_int_equal(key.previous_digest.n, LIMIT_DIGEST);
}

static void a_secret_whose_grace_is_over_is_told_to_nobody(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", METER_USD);
    struct key_state key;
    uint64_t from;

    meter_must(m, put_key(m, user, "key_1", 'a'), "put");
    from = m->store->revision;
    must_rotate(m, user, "key_1", 'b', 0);
    key = told(m, from);
    assert_true(key.digest.p[0] == 'b' && key.previous_digest.n == 0);
    assert_int_equal(key.key.items[0].previous_until, 0);
    must_rotate(m, user, "key_1", 'c', 3600);
    meter_sql(m, "UPDATE api_key SET prev_until = 1000");
    key = told(m, 0);
    assert_true(key.digest.p[0] == 'c' && key.previous_digest.n == 0);
    must_rotate(m, user, "key_1", 'd', 3600); /* the oldest is forgotten */
    key = told(m, 0);
    assert_true(key.digest.p[0] == 'd' && key.previous_digest.p[0] == 'c');
}

static void what_cannot_be_rotated_is_not(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", METER_USD), other = meter_user(m, "b@x.test", METER_USD);
    struct key_revoke_req revoke = {.actor_id = user, .id = slice_of("key_1")};
    struct key_secret_req bad = {.actor_id = user, .id = slice_of("key_1"), .digest = slice_of("short")};
    struct empty empty = {0};
    struct key_rep rep;

    meter_must(m, put_key(m, user, "key_1", 'a'), "put");
    assert_int_equal(rotate(m, other, "key_1", 'b', 0, &rep), ST_NOT_FOUND);
    assert_int_equal(rotate(m, user, "key_9", 'b', 0, &rep), ST_NOT_FOUND);
    assert_int_equal(rotate(m, user, "key_1", 'a', 0, &rep), ST_CONFLICT); /* its own */
    assert_int_equal(meter_run(m, op_key_secret, &bad, &rep), ST_BAD_MESSAGE);
    must_rotate(m, user, "key_1", 'b', 3600);
    assert_int_equal(rotate(m, user, "key_1", 'a', 0, &rep), ST_CONFLICT);
    assert_int_equal(put_key(m, other, "key_2", 'a'), ST_CONFLICT); /* a former secret is nobody else's */
    meter_sql(m, "UPDATE api_key SET expires_at = 1000");
    assert_int_equal(rotate(m, user, "key_1", 'c', 0, &rep), ST_CONFLICT);
    assert_string_equal(m->err.code, "key_expired");
    METER_OK(m, op_key_revoke, &revoke, &empty);
    assert_int_equal(rotate(m, user, "key_1", 'c', 0, &rep), ST_CONFLICT);
    assert_string_equal(m->err.code, "key_revoked");
    assert_int_equal(meter_number(m, "SELECT count(*) FROM api_key WHERE digest = CAST(printf('%.32c', 'b') AS BLOB)"),
                     1);
}

/* ---- whose a call is ----------------------------------------------------------------------------------------------
 */

static enum status begin_from(struct meter *m, char key, const char *request, const char *ip,
                              struct answer_begin_rep *rep)
{
    struct answer_begin_req req = {.key_digest = digest(m, key),
                                   .idempotency_key = slice_of("once"),
                                   .body_digest = digest(m, 'B'),
                                   .request_id = slice_of(request),
                                   .lease_ms = LEASE_MS,
                                   .client_ip = slice_of(ip)};

    memset(rep, 0, sizeof(*rep));
    return meter_run(m, op_answer_begin, &req, rep);
}

static enum status put_answer(struct meter *m, char key, const char *request)
{
    struct answer_put_req req = {.key_digest = digest(m, key),
                                 .idempotency_key = slice_of("once"),
                                 .request_id = slice_of(request),
                                 .http_status = 200,
                                 .content_type = slice_of("text/plain"),
                                 .body = slice_of("hello")};
    struct empty rep = {0};

    return meter_run(m, op_answer_put, &req, &rep);
}

static void an_answer_is_kept_over_a_rotation_and_repeated_to_both(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", METER_USD);
    struct answer_begin_rep rep;

    meter_must(m, put_key(m, user, "key_1", 'a'), "put");
    meter_must(m, begin_from(m, 'a', "req_1", "", &rep), "begin");
    must_rotate(m, user, "key_1", 'b', 3600);
    meter_must(m, put_answer(m, 'a', "req_1"), "answer");
    meter_must(m, begin_from(m, 'b', "req_2", "", &rep), "again");
    assert_true(slice_is(rep.state, "stored") && slice_is(rep.body, "hello"));
    meter_must(m, begin_from(m, 'a', "req_3", "", &rep), "again");
    assert_true(slice_is(rep.state, "stored"));
    meter_sql(m, "UPDATE api_key SET prev_until = 1000");
    assert_int_equal(begin_from(m, 'a', "req_4", "", &rep), ST_NOT_FOUND);
    meter_must(m, begin_from(m, 'b', "req_5", "", &rep), "again");
    assert_true(slice_is(rep.state, "stored"));
}

/* Its secret has ended meanwhile: it was in force when the call began. */
static void an_answer_is_kept_though_its_secret_has_ended(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", METER_USD);
    struct answer_begin_rep rep;

    meter_must(m, put_key(m, user, "key_1", 'a'), "put");
    meter_must(m, begin_from(m, 'a', "req_1", "", &rep), "begin");
    must_rotate(m, user, "key_1", 'b', 0);
    assert_int_equal(begin_from(m, 'a', "req_2", "", &rep), ST_NOT_FOUND);
    meter_must(m, put_answer(m, 'a', "req_1"), "answer");
    meter_must(m, begin_from(m, 'b', "req_3", "", &rep), "again");
    assert_true(slice_is(rep.state, "stored"));
}

static void answers_go_to_allowed_addresses_only(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", METER_USD), range = slice_of("192.0.2.0/24");
    struct key_update_req update = {.actor_id = user, .id = slice_of("key_1"), .ip_allow = {&range, 1}};
    struct answer_begin_rep rep;
    struct key_rep key = {0};

    meter_must(m, put_key(m, user, "key_1", 'a'), "put");
    METER_OK(m, op_key_update, &update, &key);
    assert_int_equal(key.key.items[0].ip_allow.n, 1);
    assert_int_equal(begin_from(m, 'a', "req_1", "192.0.3.1", &rep), ST_NOT_FOUND);
    assert_int_equal(begin_from(m, 'a', "req_1", "", &rep), ST_NOT_FOUND);
    meter_must(m, begin_from(m, 'a', "req_1", "192.0.2.1", &rep), "begin");
    meter_must(m, put_answer(m, 'a', "req_1"), "answer");
    assert_int_equal(begin_from(m, 'a', "req_2", "192.0.3.1", &rep), ST_NOT_FOUND);
    meter_must(m, begin_from(m, 'a', "req_2", "::ffff:192.0.2.7", &rep), "begin");
    assert_true(slice_is(rep.state, "stored"));
    update.ip_allow.n = 0;
    update.name = slice_of("renamed"); /* absent: as it is */
    METER_OK(m, op_key_update, &update, &key);
    assert_int_equal(key.key.items[0].ip_allow.n, 1);
    update.has = UINT64_C(1) << 11;
    METER_OK(m, op_key_update, &update, &key);
    assert_int_equal(key.key.items[0].ip_allow.n, 0);
    meter_must(m, begin_from(m, 'a', "req_3", "192.0.3.1", &rep), "begin");
}

static enum status find_object(struct meter *m, char letter)
{
    struct object_find_req req = {.object_id = slice_of("file-1"), .key_digest = digest(m, letter)};
    struct object_find_rep rep = {0};

    return meter_run(m, op_object_find, &req, &rep);
}

static void objects_and_usage_stay_the_keys(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", METER_USD), object = slice_of("file-1");
    struct usage_event e = meter_event(user, "req_1", meter_price(m, "test-model", 1000000, 2000000));

    meter_must(m, put_key(m, user, "key_1", 'a'), "put");
    e.key_id = slice_of("key_1");
    e.object_ids = (struct wire_strs){&object, 1};
    meter_deliver(m, "out1", 1, &e, 1);
    must_rotate(m, user, "key_1", 'b', 3600);
    meter_must(m, find_object(m, 'a'), "by the former secret");
    meter_must(m, find_object(m, 'b'), "by the new one");
    assert_int_equal(find_object(m, 'c'), ST_NOT_FOUND);
    must_rotate(m, user, "key_1", 'c', 3600);
    assert_int_equal(find_object(m, 'a'), ST_NOT_FOUND);
    meter_must(m, find_object(m, 'c'), "by the newest");
    assert_int_equal(meter_number(m, "SELECT count(*) FROM usage WHERE key_id = 'key_1'"), 1);
    meter_assert_clean(m);
}

/* No way may read all keys to find one. */
static void secrets_are_found_by_their_index(void **state)
{
    static const enum sql statements[] = {SQL_ANSWER_CALLER, SQL_OBJECT_FIND};
    struct meter *m = *state;
    sqlite3_stmt *plan = NULL;
    size_t i;

    for (i = 0; i < sizeof(statements) / sizeof(statements[0]); i++) {
        struct work w = {.s = m->store, .a = &m->arena, .err = &m->err};
        sqlite3_stmt *q = NULL;
        char text[2048];

        meter_must(m, store_row(w.s, statements[i], BINDS(B_B(digest(m, 'a')), B_I(1)), &q, w.err), "prepare");
        store_reset(&q);
        snprintf(text, sizeof(text), "EXPLAIN QUERY PLAN %s", sqlite3_sql(m->store->stmts[statements[i]]));
        assert_int_equal(sqlite3_prepare_v2(m->store->db, text, -1, &plan, NULL), SQLITE_OK);
        while (sqlite3_step(plan) == SQLITE_ROW)
            if (!strncmp((const char *)sqlite3_column_text(plan, 3), "SCAN api_key", 12) ||
                !strncmp((const char *)sqlite3_column_text(plan, 3), "SCAN k", 6))
                fail_msg("%s: %s", text, (const char *)sqlite3_column_text(plan, 3));
        sqlite3_finalize(plan);
    }
}

/* ---- time passes --------------------------------------------------------------------------------------------------
 */

static size_t keys_in_snapshot(struct meter *m)
{
    struct state_read_req req = {0};
    struct state_read_rep rep = {0};
    size_t i, n = 0;

    METER_OK(m, op_state_read, &req, &rep);
    assert_true(rep.snapshot);
    for (i = 0; i < rep.changes.n; i++)
        n += rep.changes.items[i].kind == key_state_desc.type;
    return n;
}

static void a_snapshot_leaves_out_keys_that_expired_long_ago(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", METER_USD);
    struct key_update_req update = {.actor_id = user, .id = slice_of("key_1"), .has = UINT64_C(1) << 8};
    struct key_rep rep = {0};
    unsigned long long gone_s = m->store->now_ms / 1000 - STATE_EXPIRED_S;
    uint64_t from;
    char sql[128];

    meter_must(m, put_key(m, user, "key_1", 'a'), "put");
    assert_int_equal(keys_in_snapshot(m), 1);
    snprintf(sql, sizeof(sql), "UPDATE api_key SET expires_at = %llu", gone_s + 60);
    meter_sql(m, sql);
    assert_int_equal(keys_in_snapshot(m), 1); /* not so long: it is told that it has expired */
    snprintf(sql, sizeof(sql), "UPDATE api_key SET expires_at = %llu", gone_s - 1);
    meter_sql(m, sql);
    assert_int_equal(keys_in_snapshot(m), 0);
    from = m->store->revision;
    METER_OK(m, op_key_update, &update, &rep); /* never, from now on: everybody hears of it */
    assert_true(told(m, from).digest.n == LIMIT_DIGEST);
    assert_int_equal(keys_in_snapshot(m), 1);
}

static void a_key_that_comes_back_wants_a_place(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", METER_USD);
    struct key_update_req update = {.actor_id = user, .id = slice_of("key_1"), .has = UINT64_C(1) << 8};
    struct key_rep rep = {0};

    meter_sql(m, "UPDATE plan SET max_keys = 1");
    meter_must(m, put_key(m, user, "key_1", 'a'), "put");
    meter_sql(m, "UPDATE api_key SET expires_at = 1000"); /* fresh: it has its place */
    assert_int_equal(put_key(m, user, "key_2", 'b'), ST_FORBIDDEN);
    METER_OK(m, op_key_update, &update, &rep);
    meter_sql(m, "UPDATE api_key SET expires_at = 1000, created = 900");
    METER_OK(m, op_key_update, &update, &rep);
    meter_sql(m, "UPDATE api_key SET expires_at = 1000");
    meter_must(m, put_key(m, user, "key_2", 'b'), "put");
    assert_int_equal(meter_run(m, op_key_update, &update, &rep), ST_FORBIDDEN);
    assert_string_equal(m->err.code, "too_many_keys");
    update.has = 0;
    update.name = slice_of("renamed"); /* it stays expired */
    METER_OK(m, op_key_update, &update, &rep);
    must_rotate(m, user, "key_2", 'c', 3600); /* takes no place of its own */
}

#define T(name) cmocka_unit_test_setup_teardown(name, meter_setup, meter_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_rotation_changes_the_secret_and_nothing_else),
        T(a_secret_whose_grace_is_over_is_told_to_nobody),
        T(what_cannot_be_rotated_is_not),
        T(an_answer_is_kept_over_a_rotation_and_repeated_to_both),
        T(an_answer_is_kept_though_its_secret_has_ended),
        T(answers_go_to_allowed_addresses_only),
        T(objects_and_usage_stay_the_keys),
        T(secrets_are_found_by_their_index),
        T(a_snapshot_leaves_out_keys_that_expired_long_ago),
        T(a_key_that_comes_back_wants_a_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
