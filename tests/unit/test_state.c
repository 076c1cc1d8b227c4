/* The log of changes: a follower that reads pages and batches ends with the truth, whatever is written meanwhile. */
#include "tests/unit/meter_fixture.h"

#include "meterd/change.h"
#include "meterd/sessions.h"
#include "meterd/state.h"

static struct state_read_rep read_state(struct meter *m, uint64_t after, struct slice cursor)
{
    struct state_read_req req = {.after_revision = after, .cursor = cursor};
    struct state_read_rep rep = {0};

    METER_OK(m, op_state_read, &req, &rep);
    return rep;
}

static size_t count_kind(const struct state_read_rep *rep, uint16_t kind)
{
    size_t i, n = 0;

    for (i = 0; i < rep->changes.n; i++)
        n += rep->changes.items[i].kind == kind;
    return n;
}

static struct slice put_key(struct meter *m, struct slice user, const char *id, char fill)
{
    static char digest[LIMIT_DIGEST];
    struct api_key key = {.id = slice_of(id), .user_id = user, .name = slice_of("k"), .prefix = slice_of("sk-or-")};
    struct key_put_req req = {.digest = {digest, sizeof(digest)}, .key = {&key, 1}};
    struct empty rep = {0};

    memset(digest, fill, sizeof(digest));
    METER_OK(m, op_key_put, &req, &rep);
    assert_int_equal(rep.revision, m->store->revision);
    return slice_of(id);
}

static void a_snapshot_has_everything_but_calls_and_revoked_keys(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", METER_USD);
    uint64_t price = meter_price(m, "test-model", 1000000, 2000000);
    struct usage_event e = meter_event(user, "req_1", price);
    struct provider echo = {.name = slice_of("echo"), .kind = slice_of("echo")};
    struct provider_announce_req announce = {.instance = slice_of("i1"), .providers = {&echo, 1}};
    struct key_revoke_req revoke = {.actor_id = user};
    struct state_read_rep rep;
    struct empty empty = {0};
    uint64_t last = 0, revision;
    size_t i;

    put_key(m, user, "key_1", 'a');
    revoke.id = put_key(m, user, "key_2", 'b');
    METER_OK(m, op_key_revoke, &revoke, &empty);
    METER_OK(m, op_provider_announce, &announce, &empty);
    meter_deliver(m, "out1", 1, &e, 1);
    revision = m->store->revision;
    METER_OK(m, op_provider_announce, &announce, &empty);
    assert_int_equal(m->store->revision, revision); /* nothing new was said */

    rep = read_state(m, 0, slice_of(NULL));
    assert_true(rep.snapshot);
    assert_int_equal(rep.cursor.n, 0);
    assert_int_equal(rep.revision, revision);
    assert_int_equal(count_kind(&rep, user_desc.type), 2);
    assert_int_equal(count_kind(&rep, key_state_desc.type), 1);
    assert_int_equal(count_kind(&rep, plan_desc.type), 3);
    assert_int_equal(count_kind(&rep, provider_desc.type), 1);
    assert_int_equal(count_kind(&rep, ack_desc.type), 1);
    assert_int_equal(count_kind(&rep, settled_desc.type), 0);
    assert_int_equal(count_kind(&rep, price_desc.type),
                     meter_number(m, "SELECT count(*) FROM price WHERE in_force = 1"));
    for (i = 0; i < rep.changes.n; i++) {
        assert_true(rep.changes.items[i].revision > last);
        last = rep.changes.items[i].revision;
    }
}

static void end_session(struct meter *m, struct slice user, const char *id, char fill)
{
    char digest[LIMIT_DIGEST];
    struct session_put_req put = {.session_id = slice_of(id),
                                  .user_id = user,
                                  .refresh_digest = {digest, sizeof(digest)},
                                  .expires_at = UINT64_C(4000000000)};
    struct session_end_req end = {.session_id = slice_of(id)};
    struct empty empty = {0};

    memset(digest, fill, sizeof(digest));
    METER_OK(m, op_session_put, &put, &empty);
    METER_OK(m, op_session_end, &end, &empty);
    METER_OK(m, op_session_end, &end, &empty); /* once more changes nothing */
}

static void the_end_of_a_session_is_told_for_as_long_as_its_tokens_last(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", 0);
    struct work w = {.s = m->store, .a = &m->arena, .err = &m->err};
    uint64_t before = m->store->revision;
    struct state_read_rep rep;

    end_session(m, user, "ses_1", 'a');
    assert_int_equal(m->store->revision, before + 1);
    end_session(m, user, "ses_2", 'b');
    rep = read_state(m, before, slice_of(NULL));
    assert_false(rep.snapshot);
    assert_int_equal(count_kind(&rep, session_ended_desc.type), 2);
    rep = read_state(m, 0, slice_of(NULL));
    assert_int_equal(count_kind(&rep, session_ended_desc.type), 2);

    meter_sql(m, "UPDATE session SET ended = ended - 3601 WHERE id = 'ses_1'");
    rep = read_state(m, 0, slice_of(NULL));
    assert_int_equal(count_kind(&rep, session_ended_desc.type), 1);

    meter_sql(m, "UPDATE session SET expires_at = 1000");
    assert_int_equal(batch_begin(m->store, &m->err), ST_OK);
    assert_int_equal(sessions_forget(&w), ST_OK);
    assert_int_equal(batch_commit(m->store, &m->err), ST_OK);
    rep = read_state(m, 0, slice_of(NULL));
    assert_int_equal(rep.revision, before + 2); /* no revision is given twice, though whose it was is gone */
    assert_int_equal(meter_number(m, "SELECT count(*) FROM session"), 1);
}

static void a_snapshot_says_what_the_ledger_holds(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", METER_USD);
    uint64_t price = meter_price(m, "test-model", 1000000, 2000000), from = m->store->revision;
    struct usage_event events[] = {meter_event(user, "req_1", price), meter_event(user, "req_2", price),
                                   meter_event(slice_of("usr_nobody"), "req_3", price),
                                   meter_event(user, "req_2", price)};
    struct wire_alloc mem = arena_wire(&m->arena);
    struct state_read_rep rep;
    struct hold_state hold;
    size_t i;

    put_key(m, user, "key_of_hold", 'h');
    for (i = 0; i < 3; i++) {
        events[i].status = slice_of("running");
        events[i].key_id = slice_of(i == 0 ? "key_of_hold" : "key_unknown");
        events[i].hold_nano = 1000;
        events[i].lease_ms = 5000;
    }
    meter_deliver(m, "out1", 1, events, 4);
    rep = read_state(m, 0, slice_of(NULL));
    assert_int_equal(count_kind(&rep, hold_state_desc.type), 1); /* req_2 has ended, req_3 is nobody's */
    for (i = 0; rep.changes.items[i].kind != hold_state_desc.type; i++)
        ;
    assert_int_equal(
        wire_decode(&hold_state_desc, rep.changes.items[i].record.p, rep.changes.items[i].record.n, &hold, &mem, NULL),
        ST_OK);
    assert_true(slice_is(hold.request_id, "req_1"));
    assert_true(slice_eq(hold.user_id, user));
    assert_true(slice_is(hold.key_id, "key_of_hold"));
    assert_true(hold.key_digest.n == LIMIT_DIGEST && hold.key_digest.p[0] == 'h');
    assert_int_equal(hold.amount_nano, 1000);
    assert_int_equal(hold.lease_ms, 5000);
    rep = read_state(m, from, slice_of(NULL));
    assert_int_equal(count_kind(&rep, hold_state_desc.type), 0);
}

/* As after a restore of a backup that is older than the user. */
static void what_is_parked_for_nobody_is_no_change(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", METER_USD), poor = meter_user(m, "b@x.test", 0);
    uint64_t price = meter_price(m, "test-model", 1000000, 2000000), from = m->store->revision;
    struct usage_event events[] = {meter_event(slice_of("usr_nobody"), "req_1", price),
                                   meter_event(poor, "req_2", price), meter_event(user, "req_3", price)};
    struct state_read_rep rep;
    size_t i;

    for (i = 0; i < 3; i++) {
        events[i].status = slice_of("running");
        events[i].parked = true;
        events[i].hold_nano = 1000;
    }
    meter_deliver(m, "out1", 1, events, 3);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM hold WHERE state = 'open' AND parked > 0"), 3);
    rep = read_state(m, from, slice_of(NULL));
    assert_false(rep.snapshot);
    assert_int_equal(count_kind(&rep, hold_state_desc.type), 1); /* req_3 */
    rep = read_state(m, 0, slice_of(NULL));
    assert_int_equal(count_kind(&rep, hold_state_desc.type), 1);
}

static void records_never_carry_a_password(void **state)
{
    struct meter *m = *state;
    struct state_read_rep rep;
    size_t i;

    meter_user(m, "a@x.test", 0);
    rep = read_state(m, 0, slice_of(NULL));
    for (i = 0; i < rep.changes.n; i++)
        assert_null(memmem(rep.changes.items[i].record.p, rep.changes.items[i].record.n, "argon2", 6));
}

static void what_came_after_a_revision_includes_calls_and_revocations(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", METER_USD);
    uint64_t price = meter_price(m, "test-model", 1000000, 2000000), from;
    struct usage_event e = meter_event(user, "req_1", price);
    struct key_revoke_req revoke = {.actor_id = user};
    struct state_read_rep rep;
    struct settled settled;
    struct empty empty = {0};
    struct key_state key;
    struct wire_alloc mem = arena_wire(&m->arena);

    revoke.id = put_key(m, user, "key_1", 'a');
    from = m->store->revision;
    METER_OK(m, op_key_revoke, &revoke, &empty);
    meter_deliver(m, "out1", 1, &e, 1);
    rep = read_state(m, from, slice_of(NULL));
    assert_false(rep.snapshot);
    assert_int_equal(rep.revision, m->store->revision);
    assert_int_equal(rep.changes.n, 3);
    assert_int_equal(rep.changes.items[0].kind, key_state_desc.type);
    assert_int_equal(
        wire_decode(&key_state_desc, rep.changes.items[0].record.p, rep.changes.items[0].record.n, &key, &mem, NULL),
        ST_OK);
    assert_true(slice_is(key.key.items[0].status, "revoked"));
    assert_int_equal(rep.changes.items[1].kind, settled_desc.type);
    assert_int_equal(
        wire_decode(&settled_desc, rep.changes.items[1].record.p, rep.changes.items[1].record.n, &settled, &mem, NULL),
        ST_OK);
    assert_int_equal(settled.cost_nano, 1200000);
    assert_int_equal(settled.balance_nano, METER_USD - 1200000);
    assert_int_equal(settled.tokens, 1100);
    assert_true(slice_eq(settled.user_id, user));
    assert_int_equal(rep.changes.items[2].kind, ack_desc.type);
    rep = read_state(m, m->store->revision, slice_of(NULL));
    assert_int_equal(rep.changes.n, 0);
    assert_false(rep.snapshot);
}

static void too_far_behind_or_ahead_gets_a_snapshot(void **state)
{
    struct meter *m = *state;
    struct state_read_rep rep = read_state(m, m->store->revision + 5, slice_of(NULL));

    assert_true(rep.snapshot);
    meter_sql(m, "UPDATE plan SET revision = 500000 WHERE name = 'free'");
    rep = read_state(m, 300000, slice_of(NULL));
    assert_true(rep.snapshot);
    rep = read_state(m, 450000, slice_of(NULL));
    assert_false(rep.snapshot);
    assert_int_equal(rep.changes.n, 1);
}

static void a_wrong_cursor_is_refused(void **state)
{
    static const char *const wrong[] = {"x",      "s",
                                        "s.1",    "s.1.",
                                        "q.1.1",  "s.1.1x",
                                        "s.1.1.", "s.99999999999999999999.1",
                                        "d.-1.1", "s.9223372036854775808.0"};
    struct meter *m = *state;
    size_t i;

    for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct state_read_req req = {.cursor = slice_of(wrong[i])};
        struct state_read_rep rep = {0};

        if (meter_run(m, op_state_read, &req, &rep) != ST_BAD_REQUEST)
            fail_msg("taken: %s", wrong[i]);
    }
}

/* ---- a follower, as feed_follow is one
 * -------------------------------------------------------------------------------- */

#define FOLLOW_USERS 64
#define FOLLOW_MAX 6000

struct follower {
    uint64_t revision;
    struct {
        char id[LIMIT_ID_TEXT + 1];
        int64_t balance;
    } users[FOLLOW_MAX];
    size_t n;
    struct arena arena;
};

static void set_balance(struct follower *f, struct slice id, int64_t balance)
{
    size_t i;

    for (i = 0; i < f->n && !slice_is(id, f->users[i].id); i++)
        continue;
    assert_true(i < FOLLOW_MAX);
    slice_copy(id, f->users[i].id, sizeof(f->users[i].id));
    f->users[i].balance = balance;
    f->n += i == f->n;
}

static void apply_change(struct follower *f, const struct state_change *c)
{
    struct wire_alloc mem = arena_wire(&f->arena);
    struct settled settled;
    struct user user;

    if (c->kind == user_desc.type) {
        assert_int_equal(wire_decode(&user_desc, c->record.p, c->record.n, &user, &mem, NULL), ST_OK);
        set_balance(f, user.id, user.balance_nano);
    } else if (c->kind == settled_desc.type) {
        assert_int_equal(wire_decode(&settled_desc, c->record.p, c->record.n, &settled, &mem, NULL), ST_OK);
        set_balance(f, settled.user_id, settled.balance_nano);
    }
}

static void compare_balances(struct meter *m, const struct follower *f)
{
    sqlite3_stmt *q = NULL;
    size_t i;

    assert_int_equal(f->n, meter_number(m, "SELECT count(*) FROM user"));
    assert_int_equal(
        sqlite3_prepare_v2(m->store->db,
                           "SELECT a.balance_nano FROM user u JOIN account a ON a.user_num = u.num WHERE u.id = ?1", -1,
                           &q, NULL),
        SQLITE_OK);
    for (i = 0; i < f->n; i++) {
        sqlite3_bind_text(q, 1, f->users[i].id, -1, SQLITE_STATIC);
        assert_int_equal(sqlite3_step(q), SQLITE_ROW);
        assert_int_equal(sqlite3_column_int64(q, 0), f->users[i].balance);
        sqlite3_reset(q);
    }
    sqlite3_finalize(q);
}

/* Something happens between two pages. */
static void disturb(struct meter *m, struct slice *users, uint64_t price, unsigned *seed, uint64_t *seq)
{
    int i;

    for (i = 0; i < 20; i++) {
        struct slice user = users[rand_r(seed) % FOLLOW_USERS];
        struct credit_grant_req grant = {
            .actor_id = slice_of("usr_admin"), .id = user, .amount_nano = 1 + rand_r(seed) % 1000};
        struct credit_grant_rep rep = {0};
        char id[32];

        if (rand_r(seed) % 3 == 0) {
            METER_OK(m, op_credit_grant, &grant, &rep);
        } else {
            struct usage_event e;

            snprintf(id, sizeof(id), "req_%llu", (unsigned long long)*seq);
            e = meter_event(user, id, price);
            meter_deliver(m, "out1", (*seq)++, &e, 1);
        }
    }
}

static void follow_to_the_end(struct meter *m, struct follower *f, struct slice *users, uint64_t price, unsigned *seed,
                              uint64_t *seq)
{
    struct slice cursor = {NULL, 0};
    uint64_t claim = 0;
    unsigned pages = 0;

    do {
        struct state_read_rep rep = read_state(m, f->revision, cursor);
        size_t i;

        if (rep.snapshot && pages == 0)
            f->n = 0;
        if (rep.snapshot && pages > 0)
            assert_int_equal(rep.revision, claim);
        claim = rep.revision;
        for (i = 0; i < rep.changes.n; i++)
            apply_change(f, &rep.changes.items[i]);
        cursor = rep.cursor;
        if (cursor.n > 0 || pages == 0)
            disturb(m, users, price, seed, seq);
        pages++;
    } while (cursor.n > 0);
    f->revision = claim;
}

static void pages_are_safe_while_writes_go_on(void **state)
{
    struct meter *m = *state;
    struct follower *f = calloc(1, sizeof(*f));
    struct slice users[FOLLOW_USERS];
    uint64_t price = meter_price(m, "test-model", 1000000, 2000000), seq = 1;
    unsigned seed = 11;
    int i;

    arena_init(&f->arena, METER_ARENA);
    for (i = 0; i < FOLLOW_USERS; i++) {
        char email[32];

        snprintf(email, sizeof(email), "u%d@x.test", i);
        users[i] = meter_user(m, email, METER_USD);
    }
    /* More users than a page holds, so that the snapshot takes several. */
    meter_sql(m, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4500) INSERT INTO user(id, "
                 "email, name, role, plan, "
                 "status, password_hash, created, revision) SELECT 'usr_x' || i, 'x' || i, '', 'user', 'free', "
                 "'active', '-', 1, "
                 "1000 + i FROM n; INSERT INTO account(user_num, kind) SELECT num, 'available' FROM user WHERE id LIKE "
                 "'usr_x%'");
    m->store->revision = 6000;
    disturb(m, users, price, &seed, &seq);
    for (i = 0; i < 6; i++)
        follow_to_the_end(m, f, users, price, &seed, &seq);
    /* The last one without disturbance is what the feed's heartbeat would lead to. */
    {
        struct state_read_rep rep = read_state(m, f->revision, slice_of(NULL));
        size_t k;

        assert_false(rep.snapshot);
        for (k = 0; k < rep.changes.n; k++)
            apply_change(f, &rep.changes.items[k]);
        assert_int_equal(rep.cursor.n, 0);
    }
    compare_balances(m, f);
    meter_assert_clean(m);
    arena_fini(&f->arena);
    free(f);
}

/* ---- batches
 * ----------------------------------------------------------------------------------------------------------- */

struct published {
    uint64_t revision;
    size_t batches, changes;
    struct arena arena;
};

static void on_publish(void *ctx, struct slice bytes)
{
    struct published *p = ctx;
    struct wire_alloc mem = arena_wire(&p->arena);
    struct state_batch batch;
    size_t i;

    assert_true(bytes.n < 8u * 1024u * 1024u);
    assert_int_equal(wire_decode(&state_batch_desc, bytes.p, bytes.n, &batch, &mem, NULL), ST_OK);
    assert_int_equal(batch.previous_revision, p->revision);
    for (i = 0; i < batch.changes.n; i++) {
        assert_true(batch.changes.items[i].revision > p->revision);
        p->revision = batch.changes.items[i].revision;
    }
    assert_true(batch.revision >= p->revision);
    p->revision = batch.revision;
    p->batches++;
    p->changes += batch.changes.n;
}

static void large_transactions_are_published_in_several_batches(void **state)
{
    struct published p = {.revision = 7};
    struct settled settled = {.request_id = slice_of("req_1"), .user_id = slice_of("usr_1")};
    struct changes c;
    uint64_t i;

    (void)state;
    arena_init(&p.arena, METER_ARENA);
    changes_init(&c);
    assert_int_equal(changes_publish(&c, 7, 7, CHANGE_BATCH_ITEMS, on_publish, &p), ST_OK);
    assert_int_equal(p.batches, 1); /* a heartbeat */
    for (i = 0; i < 10000; i++)
        assert_int_equal(changes_add(&c, &settled_desc, &settled, 8 + i, NULL), ST_OK);
    assert_int_equal(changes_publish(&c, 7, 8 + 10010, CHANGE_BATCH_ITEMS, on_publish, &p), ST_OK);
    assert_int_equal(p.batches, 4);
    assert_int_equal(p.changes, 10000);
    assert_int_equal(p.revision, 8 + 10010);
    p.revision = 7;
    p.batches = p.changes = 0;
    assert_int_equal(changes_publish(&c, 7, 8 + 10010, 64, on_publish, &p), ST_OK);
    assert_int_equal(p.batches, 157);
    assert_int_equal(p.changes, 10000);
    assert_int_equal(p.revision, 8 + 10010);
    changes_fini(&c);
    arena_fini(&p.arena);
}

static void a_failed_command_leaves_no_change_behind(void **state)
{
    struct meter *m = *state;
    struct user_put_req req = {.email = slice_of("a@x.test"),
                               .password_hash = slice_of("h"),
                               .role = slice_of("user"),
                               .plan = slice_of("free")};
    struct work w = {.s = m->store, .a = &m->arena, .err = &m->err};
    struct user_rep rep = {0};
    uint64_t before = m->store->revision;

    assert_int_equal(batch_begin(m->store, &m->err), ST_OK);
    assert_int_equal(batch_run(&w, LANE_WRITE, op_user_put, &req, &rep), ST_OK);
    assert_int_equal(batch_run(&w, LANE_WRITE, op_user_put, &req, &rep), ST_CONFLICT);
    req.email = slice_of("b@x.test");
    req.credit_nano = -1;
    assert_int_equal(batch_run(&w, LANE_WRITE, op_user_put, &req, &rep), ST_BAD_REQUEST);
    req.credit_nano = 0;
    assert_int_equal(batch_run(&w, LANE_WRITE, op_user_put, &req, &rep), ST_OK);
    assert_int_equal(batch_commit(m->store, &m->err), ST_OK);
    assert_int_equal(m->store->changes.n, 2);
    assert_int_equal(m->store->revision, before + 2);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM user"), 3);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, meter_setup, meter_teardown)
    const struct CMUnitTest tests[] = {
        T(a_snapshot_has_everything_but_calls_and_revoked_keys),
        T(the_end_of_a_session_is_told_for_as_long_as_its_tokens_last),
        T(a_snapshot_says_what_the_ledger_holds),
        T(what_is_parked_for_nobody_is_no_change),
        T(records_never_carry_a_password),
        T(what_came_after_a_revision_includes_calls_and_revocations),
        T(too_far_behind_or_ahead_gets_a_snapshot),
        T(a_wrong_cursor_is_refused),
        T(pages_are_safe_while_writes_go_on),
        cmocka_unit_test(large_transactions_are_published_in_several_batches),
        T(a_failed_command_leaves_no_change_behind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
