/* What administrators change besides the catalog, as the audit tells it. */
#include "tests/unit/meter_fixture.h"

#define ADMIN "usr_admin"

static struct audit_list_rep audit(struct meter *m)
{
    struct audit_list_req req = {.limit = LIMIT_PAGE};
    struct audit_list_rep rep = {0};

    METER_OK(m, op_audit_list, &req, &rep);
    return rep;
}

static void expect(const struct audit_entry *e, const char *action, struct slice object, const char *detail)
{
    if (!slice_is(e->action, action) || !slice_eq(e->object, object) || !slice_is(e->detail, detail))
        fail_msg(SLICE_FMT " of " SLICE_FMT ": " SLICE_FMT, SLICE_ARG(e->action), SLICE_ARG(e->object),
                 SLICE_ARG(e->detail));
}

/* The newest entry, by the administrator. */
static void expect_newest(struct meter *m, const char *action, struct slice object, const char *detail)
{
    struct audit_list_rep rep = audit(m);

    assert_true(rep.data.n > 0);
    expect(&rep.data.items[0], action, object, detail);
    assert_true(slice_is(rep.data.items[0].actor_id, ADMIN));
}

static struct slice make_user(struct meter *m, const char *actor, const char *email)
{
    struct user_put_req req = {.actor_id = slice_of(actor),
                               .email = slice_of(email),
                               .password_hash = slice_of("$argon2id$secret"),
                               .role = slice_of("user"),
                               .plan = slice_of("free"),
                               .credit_nano = METER_USD};
    struct user_rep rep = {0};

    METER_OK(m, op_user_put, &req, &rep);
    return rep.user.items[0].id;
}

static void users_are_made_and_changed(void **state)
{
    struct meter *m = *state;
    struct slice id;
    struct user_update_req update = {.actor_id = slice_of(ADMIN), .plan = slice_of("pro"), .role = slice_of("admin")};
    struct user_password_req password = {.actor_id = slice_of(ADMIN), .password_hash = slice_of("$argon2id$other")};
    struct user_password_rep ended = {0};
    struct user_rep rep = {0};

    make_user(m, "", "stranger@x.test");
    assert_int_equal(audit(m).data.n, 0); /* whoever signs up is no administrator */
    id = make_user(m, ADMIN, "a@x.test");
    expect_newest(m, "user.create", id,
                  "{\"email\":\"a@x.test\",\"role\":\"user\",\"plan\":\"free\",\"status\":\"active\"}");
    update.id = password.id = id;
    METER_OK(m, op_user_update, &update, &rep);
    expect_newest(m, "user.update", id, "{\"role\":\"admin\",\"plan\":\"pro\"}");
    METER_OK(m, op_user_update, &update, &rep);
    assert_int_equal(audit(m).data.n, 2); /* nothing changed */
    update.plan = slice_of("gold");
    assert_int_equal(meter_run(m, op_user_update, &update, &rep), ST_BAD_REQUEST);
    assert_int_equal(audit(m).data.n, 2);
    METER_OK(m, op_user_password, &password, &ended);
    expect_newest(m, "user.password", id, "");
    assert_int_equal(meter_number(m, "SELECT count(*) FROM audit WHERE instr(detail || object, 'argon') > 0"), 0);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM user WHERE password_hash = '$argon2id$other'"), 1);
}

static void a_grant_is_one_entry(void **state)
{
    struct meter *m = *state;
    struct slice id = meter_user(m, "a@x.test", 0);
    struct credit_grant_req req = {.actor_id = slice_of(ADMIN),
                                   .id = id,
                                   .amount_nano = 3 * METER_USD,
                                   .note = slice_of("for \"tests\""),
                                   .idempotency_key = slice_of("once")};
    struct credit_grant_rep rep = {0};

    METER_OK(m, op_credit_grant, &req, &rep);
    METER_OK(m, op_credit_grant, &req, &rep); /* a replay */
    assert_int_equal(audit(m).data.n, 1);
    expect_newest(m, "credit.grant", id, "{\"amount_usd\":\"3\",\"note\":\"for \\\"tests\\\"\",\"kind\":\"grant\"}");
    req.amount_nano = 4 * METER_USD;
    assert_int_equal(meter_run(m, op_credit_grant, &req, &rep), ST_CONFLICT);
    req = (struct credit_grant_req){.actor_id = slice_of(ADMIN), .id = id, .amount_nano = -METER_USD};
    METER_OK(m, op_credit_grant, &req, &rep);
    expect_newest(m, "credit.grant", id, "{\"amount_usd\":\"-1\",\"kind\":\"adjustment\"}");
    assert_int_equal(audit(m).data.n, 2);
}

static void codes_are_named_by_their_ids_alone(void **state)
{
    struct meter *m = *state;
    struct code_create_req make = {
        .actor_id = slice_of(ADMIN), .amount_nano = 2 * METER_USD, .count = 3, .note = slice_of("fair")};
    struct code_revoke_req revoke = {.actor_id = slice_of(ADMIN)};
    struct code_list_rep made = {0};
    struct audit_list_rep rep;
    struct empty empty = {0};
    char sql[128];
    size_t i;

    METER_OK(m, op_code_create, &make, &made);
    rep = audit(m);
    assert_int_equal(rep.data.n, 3);
    for (i = 0; i < 3; i++) {
        expect(&rep.data.items[2 - i], "code.create", made.data.items[i].id,
               "{\"amount_usd\":\"2\",\"note\":\"fair\"}");
        snprintf(sql, sizeof(sql), "SELECT count(*) FROM audit WHERE instr(detail || object, '" SLICE_FMT "') > 0",
                 SLICE_ARG(made.data.items[i].prefix));
        assert_int_equal(meter_number(m, sql), 0);
    }
    revoke.id = made.data.items[1].id;
    METER_OK(m, op_code_revoke, &revoke, &empty);
    expect_newest(m, "code.revoke", revoke.id, "");
    METER_OK(m, op_code_revoke, &revoke, &empty);
    assert_int_equal(audit(m).data.n, 4); /* it was revoked */
}

static void plans_and_prices(void **state)
{
    struct meter *m = *state;
    struct plan_update_req plan = {.actor_id = slice_of(ADMIN), .name = slice_of("team"), .rpm = 7};
    struct price_put_req price = {.actor_id = slice_of(ADMIN), .model = slice_of("free-of-charge")};
    struct plan_rep plan_rep = {0};
    struct price_rep price_rep = {0};

    METER_OK(m, op_plan_update, &plan, &plan_rep);
    expect_newest(m, "plan.create", plan.name, "{\"name\":\"team\",\"rpm\":7}");
    plan.rpm = 8;
    METER_OK(m, op_plan_update, &plan, &plan_rep);
    expect_newest(m, "plan.update", plan.name, "{\"rpm\":8}");
    METER_OK(m, op_plan_update, &plan, &plan_rep);
    assert_int_equal(audit(m).data.n, 2);
    METER_OK(m, op_price_put, &price, &price_rep);
    expect_newest(m, "price.put", price.model, "{\"input\":\"0\",\"output\":\"0\"}");
    price.input_pico = 1000000;
    price.cached_input_pico = 0;
    price.has = UINT64_C(1) << 5;
    price.valid_from = UINT64_C(4000000000);
    METER_OK(m, op_price_put, &price, &price_rep);
    expect_newest(m, "price.put", price.model,
                  "{\"input\":\"1\",\"cached_input\":\"0\",\"output\":\"0\",\"valid_from\":4000000000}");
}

/* The copy is a reader's work, its entry the writer's. */
static void a_backup_is_made_by_a_reader_and_noted_by_the_writer(void **state)
{
    struct meter *m = *state;
    struct backup_req req = {.actor_id = slice_of(ADMIN), .name = slice_of("a.db")};
    struct backup_rep rep = {0};
    struct store *s = NULL;
    struct work w = {.a = &m->arena, .err = &m->err};
    char path[LIMIT_TITLE + 1], detail[128];

    assert_int_equal(store_open_reader(m->path, &s, &m->err), ST_OK);
    w.s = s;
    assert_int_equal(batch_single(&w, op_backup, &req, &rep), ST_PENDING);
    store_close(s);
    assert_int_equal(audit(m).data.n, 0);
    METER_OK(m, op_backup, &req, &rep);
    snprintf(detail, sizeof(detail), "{\"bytes\":%llu,\"revision\":%llu}", (unsigned long long)rep.bytes,
             (unsigned long long)rep.revision);
    expect_newest(m, "backup.create", slice_of("a.db"), detail);
    assert_true(slice_copy(rep.path, path, sizeof(path)));
    assert_int_equal(unlink(path), 0);
    snprintf(path, sizeof(path), "%s/backups", m->folder);
    assert_int_equal(rmdir(path), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, meter_setup, meter_teardown)
    const struct CMUnitTest tests[] = {
        T(users_are_made_and_changed),
        T(a_grant_is_one_entry),
        T(codes_are_named_by_their_ids_alone),
        T(plans_and_prices),
        T(a_backup_is_made_by_a_reader_and_noted_by_the_writer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
