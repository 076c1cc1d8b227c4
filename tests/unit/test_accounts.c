/* Users, sessions, keys, plans and prices as meterd keeps them. */
#include "tests/unit/meter_fixture.h"

#include <sys/stat.h>

#include <sodium.h>

#include "meterd/price_table.h"
#include "meterd/prices.h"
#include "meterd/sessions.h"

/* ---- first start ----------------------------------------------------------------------------------------------------
 */

static void the_first_start_makes_plans_prices_and_an_administrator(void **state)
{
    struct meter *m = *state;
    struct user_auth_req auth = {.email = slice_of("ADMIN@example.com")};
    struct user_auth_rep rep = {0};
    struct plan_list_rep plans = {0};
    struct plan_list_req none = {0};
    char hash[128];

    METER_OK(m, op_user_auth, &auth, &rep);
    assert_true(slice_is(rep.user.items[0].email, "admin@example.com"));
    assert_true(slice_is(rep.user.items[0].role, "admin"));
    assert_true(slice_is(rep.user.items[0].plan, "unlimited"));
    assert_int_equal(rep.user.items[0].balance_nano, SEED_ADMIN_CREDIT);
    assert_true(slice_copy(rep.password_hash, hash, sizeof(hash)));
    assert_int_equal(crypto_pwhash_str_verify(hash, "a password for tests", 20), 0);
    METER_OK(m, op_plan_list, &none, &plans);
    assert_int_equal(plans.data.n, 3);
    assert_true(slice_is(plans.data.items[0].name, "free"));
    assert_int_equal(plans.data.items[0].rpm, 60);
    assert_int_equal(plans.data.items[0].max_keys, 5);
    assert_int_equal(plans.data.items[2].rpm, 0);
    meter_assert_clean(m);
}

static void a_random_password_is_kept_in_a_private_file(void **state)
{
    struct meter m;
    struct seed_options options;
    struct seed_report report;
    struct stat st;
    char path[160], line[128] = "";
    FILE *f;

    (void)state;
    meter_folder(&m);
    meter_open(&m);
    assert_int_equal(stat(m.path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    options = (struct seed_options){m.path, "admin@localhost", NULL};
    assert_int_equal(seed_run(m.store, &options, &report, &m.err), ST_OK);
    assert_true(report.first && strlen(report.password) >= 20);
    snprintf(path, sizeof(path), "%s/admin_password", m.folder);
    assert_string_equal(report.file, path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    f = fopen(path, "r");
    assert_non_null(fgets(line, sizeof(line), f));
    fclose(f);
    assert_memory_equal(line, report.password, strlen(report.password));
    /* The second start shows and changes nothing. */
    assert_int_equal(seed_run(m.store, &options, &report, &m.err), ST_OK);
    assert_true(!report.first && report.prices == 0 && report.password[0] == '\0');
    assert_int_equal(meter_number(&m, "SELECT count(*) FROM user"), 1);
    meter_close(&m);
    arena_fini(&m.arena);
    meter_remove(&m);
}

static void built_in_prices_follow_the_program_but_never_the_administrator(void **state)
{
    struct meter *m = *state;
    struct seed_options options = {m->path, "admin@localhost", NULL};
    struct seed_report report;
    uint64_t rows = 0;

    while (price_table[rows].model)
        rows++;
    assert_int_equal(meter_number(m, "SELECT count(*) FROM price WHERE builtin = 1"), rows);
    meter_price(m, "gpt-4o", 1, 2);
    meter_sql(m, "UPDATE price SET input = 77 WHERE model = 'echo'; DELETE FROM price WHERE model = 'gpt-4o-mini'");
    assert_int_equal(seed_run(m->store, &options, &report, &m->err), ST_OK);
    assert_int_equal(report.prices, 2);
    assert_int_equal(meter_number(m, "SELECT input FROM price WHERE model = 'gpt-4o' AND in_force = 1"), 1);
    assert_int_equal(meter_number(m, "SELECT input FROM price WHERE model = 'echo' AND in_force = 1"), 500000);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM price WHERE model = 'echo'"), 2);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM price WHERE model = 'gpt-4o-mini'"), 1);
}

static void the_table_of_prices_is_in_bounds_and_without_doubles(void **state)
{
    const struct price_table_row *a, *b;
    struct token_counts one = {.in_uncached = 1000, .out = 1000};
    int64_t cost;

    (void)state;
    for (a = price_table; a->model; a++) {
        assert_int_equal(money_cost(&a->prices, &one, &cost, NULL), ST_OK);
        assert_true(cost > 0);
        assert_true(a->prices.cached <= a->prices.input);
        for (b = a + 1; b->model; b++)
            assert_string_not_equal(a->model, b->model);
    }
}

/* ---- users
 * ------------------------------------------------------------------------------------------------------------ */

static void an_address_has_one_account_in_any_case(void **state)
{
    struct meter *m = *state;
    struct user_put_req req = {.email = slice_of("A@X.test"),
                               .password_hash = slice_of("h"),
                               .role = slice_of("user"),
                               .plan = slice_of("free")};
    struct user_rep rep = {0};

    meter_user(m, "a@x.test", 0);
    assert_int_equal(meter_run(m, op_user_put, &req, &rep), ST_CONFLICT);
    assert_string_equal(m->err.code, "email_taken");
    req.email = slice_of("b@x.test");
    req.plan = slice_of("gold");
    assert_int_equal(meter_run(m, op_user_put, &req, &rep), ST_BAD_REQUEST);
    assert_string_equal(m->err.param, "plan");
    req.plan = slice_of("free");
    req.role = slice_of("root");
    assert_int_equal(meter_run(m, op_user_put, &req, &rep), ST_BAD_REQUEST);
    assert_string_equal(m->err.param, "role");
}

static void users_come_in_pages(void **state)
{
    struct meter *m = *state;
    struct user_list_req req = {.limit = 4};
    struct user_list_rep rep = {0};
    size_t seen = 0, pages = 0;
    int i;

    for (i = 0; i < 10; i++) {
        char email[32];

        snprintf(email, sizeof(email), "u%d@x.test", i);
        meter_user(m, email, 0);
    }
    do {
        memset(&rep, 0, sizeof(rep));
        METER_OK(m, op_user_list, &req, &rep);
        seen += rep.data.n;
        pages++;
        req.cursor = rep.next;
    } while (rep.next.n > 0);
    assert_int_equal(seen, 11);
    assert_int_equal(pages, 3);
    req = (struct user_list_req){.email = slice_of("U3@x.test")};
    METER_OK(m, op_user_list, &req, &rep);
    assert_int_equal(rep.data.n, 1);
    req.email = slice_of("nobody@x.test");
    memset(&rep, 0, sizeof(rep));
    METER_OK(m, op_user_list, &req, &rep);
    assert_int_equal(rep.data.n, 0);
    req = (struct user_list_req){.cursor = slice_of("1; DROP TABLE user")};
    assert_int_equal(meter_run(m, op_user_list, &req, &rep), ST_BAD_REQUEST);
}

static void the_last_administrator_stays(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", 0);
    struct user_update_req req = {
        .actor_id = user, .id = user, .role = slice_of("admin"), .plan = slice_of("pro"), .name = slice_of("New")};
    struct user_auth_req auth = {.email = slice_of("admin@example.com")};
    struct user_auth_rep admin = {0};
    struct user_rep rep = {0};

    METER_OK(m, op_user_auth, &auth, &admin);
    req = (struct user_update_req){.id = admin.user.items[0].id, .status = slice_of("disabled")};
    assert_int_equal(meter_run(m, op_user_update, &req, &rep), ST_CONFLICT);
    req = (struct user_update_req){.id = admin.user.items[0].id, .role = slice_of("user")};
    assert_int_equal(meter_run(m, op_user_update, &req, &rep), ST_CONFLICT);
    req = (struct user_update_req){
        .id = user, .role = slice_of("admin"), .plan = slice_of("pro"), .name = slice_of("New")};
    METER_OK(m, op_user_update, &req, &rep);
    assert_true(slice_is(rep.user.items[0].role, "admin") && slice_is(rep.user.items[0].name, "New"));
    assert_int_equal(rep.revision, m->store->revision);
    req = (struct user_update_req){.id = admin.user.items[0].id, .status = slice_of("disabled")};
    METER_OK(m, op_user_update, &req, &rep);
    req = (struct user_update_req){.id = user, .status = slice_of("frozen")};
    assert_int_equal(meter_run(m, op_user_update, &req, &rep), ST_BAD_REQUEST);
    req = (struct user_update_req){.id = slice_of("usr_nobody")};
    assert_int_equal(meter_run(m, op_user_update, &req, &rep), ST_NOT_FOUND);
}

/* ---- keys
 * -------------------------------------------------------------------------------------------------------------- */

static enum status put_key(struct meter *m, struct slice user, const char *id, int digest)
{
    char bytes[LIMIT_DIGEST] = {0};
    struct slice models[2] = {{"gpt-*", 5}, {"echo", 4}};
    struct api_key key = {.id = slice_of(id),
                          .user_id = user,
                          .name = slice_of("k"),
                          .prefix = slice_of("sk-or-"),
                          .models = {models, 2},
                          .rpm = 7};
    struct key_put_req req = {.digest = {bytes, sizeof(bytes)}, .key = {&key, 1}};
    struct empty rep = {0};

    memcpy(bytes, &digest, sizeof(digest));
    return meter_run(m, op_key_put, &req, &rep);
}

static void a_plan_bounds_the_number_of_active_keys(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", 0);
    struct key_revoke_req revoke = {.actor_id = user, .id = slice_of("key_2")};
    struct plan_update_req plan = {.actor_id = user, .name = slice_of("free"), .max_keys = 6};
    struct plan_rep plan_rep = {0};
    struct empty empty = {0};
    char id[16];
    int i;

    for (i = 0; i < 5; i++) {
        snprintf(id, sizeof(id), "key_%d", i);
        assert_int_equal(put_key(m, user, id, i + 1), ST_OK);
    }
    assert_int_equal(put_key(m, user, "key_5", 6), ST_FORBIDDEN);
    assert_non_null(strstr(m->err.text, "allows 5"));
    METER_OK(m, op_key_revoke, &revoke, &empty);
    assert_int_equal(put_key(m, user, "key_5", 6), ST_FORBIDDEN); /* or whoever wants more than its limits makes keys */
    meter_sql(m, "UPDATE api_key SET created = created - 500 WHERE id = 'key_2'");
    assert_int_equal(put_key(m, user, "key_5", 6), ST_FORBIDDEN);
    meter_sql(m, "UPDATE api_key SET created = created - 100 WHERE id = 'key_2'"); /* ten minutes in all */
    assert_int_equal(put_key(m, user, "key_5", 6), ST_OK);
    METER_OK(m, op_plan_update, &plan, &plan_rep);
    assert_int_equal(put_key(m, user, "key_6", 7), ST_OK);
    assert_int_equal(put_key(m, user, "key_7", 8), ST_FORBIDDEN);
    assert_int_equal(put_key(m, user, "key_6", 9), ST_CONFLICT);
    assert_int_equal(put_key(m, user, "key_9", 7), ST_CONFLICT);
}

static void a_key_is_its_owners(void **state)
{
    struct meter *m = *state;
    struct slice a = meter_user(m, "a@x.test", 0), b = meter_user(m, "b@x.test", 0);
    struct key_revoke_req revoke = {.actor_id = b, .id = slice_of("key_1")};
    struct key_list_req list = {.actor_id = a, .limit = 1};
    struct key_list_rep rep = {0};
    struct empty empty = {0};

    assert_int_equal(put_key(m, a, "key_1", 1), ST_OK);
    assert_int_equal(put_key(m, a, "key_2", 2), ST_OK);
    assert_int_equal(meter_run(m, op_key_revoke, &revoke, &empty), ST_NOT_FOUND);
    revoke.actor_id = a;
    METER_OK(m, op_key_revoke, &revoke, &empty);
    assert_true(empty.revision > 0);
    empty.revision = 0;
    METER_OK(m, op_key_revoke, &revoke, &empty); /* again: nothing changes */
    assert_int_equal(empty.revision, 0);
    METER_OK(m, op_key_list, &list, &rep);
    assert_int_equal(rep.data.n, 1);
    assert_true(slice_is(rep.data.items[0].id, "key_2"));
    assert_int_equal(rep.data.items[0].models.n, 2);
    assert_true(slice_is(rep.data.items[0].models.items[0], "gpt-*"));
    assert_int_equal(rep.data.items[0].rpm, 7);
    list.cursor = rep.next;
    METER_OK(m, op_key_list, &list, &rep);
    assert_true(slice_is(rep.data.items[0].id, "key_1"));
    assert_true(slice_is(rep.data.items[0].status, "revoked"));
    assert_int_equal(rep.next.n, 0);
    list = (struct key_list_req){.actor_id = b};
    METER_OK(m, op_key_list, &list, &rep);
    assert_int_equal(rep.data.n, 0);
}

/* ---- sessions
 * ------------------------------------------------------------------------------------------------------------ */

static struct slice digest_of(struct meter *m, char fill)
{
    char *bytes = arena_alloc(&m->arena, LIMIT_DIGEST);

    memset(bytes, fill, LIMIT_DIGEST);
    return (struct slice){bytes, LIMIT_DIGEST};
}

static enum status rotate(struct meter *m, char from, char to)
{
    struct session_rotate_req req = {
        .refresh_digest = digest_of(m, from), .new_digest = digest_of(m, to), .expires_at = UINT64_C(4000000000)};
    struct session_rotate_rep rep = {0};
    enum status st = meter_run(m, op_session_rotate, &req, &rep);

    if (st == ST_OK && rep.reused) {
        assert_int_equal(rep.user.n, 1);
        assert_true(slice_is(rep.session_id, "ses_1"));
        return ST_CONFLICT;
    }
    return st;
}

static void begin_session(struct meter *m, struct slice user, const char *id, char fill, uint64_t expires_at)
{
    struct session_put_req req = {
        .session_id = slice_of(id), .user_id = user, .refresh_digest = digest_of(m, fill), .expires_at = expires_at};
    struct empty rep = {0};

    METER_OK(m, op_session_put, &req, &rep);
}

static void a_stolen_refresh_token_ends_its_family(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", 0);

    begin_session(m, user, "ses_1", 'a', UINT64_C(4000000000));
    begin_session(m, user, "ses_2", 'z', UINT64_C(4000000000));
    assert_int_equal(rotate(m, 'a', 'b'), ST_OK);
    assert_int_equal(rotate(m, 'b', 'c'), ST_OK);
    assert_int_equal(rotate(m, 'x', 'y'), ST_UNAUTHENTICATED); /* never seen: ends nothing */
    assert_int_equal(rotate(m, 'c', 'd'), ST_OK);
    assert_int_equal(rotate(m, 'a', 'e'), ST_CONFLICT); /* seen before: theft */
    assert_int_equal(rotate(m, 'a', 'e'), ST_UNAUTHENTICATED); /* which is told once */
    assert_int_equal(rotate(m, 'd', 'f'), ST_UNAUTHENTICATED);
    assert_int_equal(rotate(m, 'z', 'g'), ST_OK); /* another session goes on */
    assert_int_equal(meter_number(m, "SELECT count(*) FROM session WHERE status = 'ended'"), 1);
}

static void the_end_of_a_stolen_session_survives_in_a_batch(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", 0);
    struct session_rotate_req req = {
        .refresh_digest = digest_of(m, 'a'), .new_digest = digest_of(m, 'q'), .expires_at = UINT64_C(4000000000)};
    struct work w = {.s = m->store, .a = &m->arena, .err = &m->err};
    struct session_rotate_rep rep = {0};

    begin_session(m, user, "ses_1", 'a', UINT64_C(4000000000));
    assert_int_equal(rotate(m, 'a', 'b'), ST_OK);
    assert_int_equal(batch_begin(m->store, &m->err), ST_OK);
    assert_int_equal(batch_run(&w, LANE_WRITE, op_session_rotate, &req, &rep), ST_OK);
    assert_true(rep.reused);
    assert_int_equal(batch_commit(m->store, &m->err), ST_OK);
    assert_int_equal(rotate(m, 'b', 'c'), ST_UNAUTHENTICATED);
}

static void expired_ended_and_disabled_sessions_do_not_rotate(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", 0);
    struct session_end_req end = {.session_id = slice_of("ses_2")};
    struct user_update_req disable = {.id = user, .status = slice_of("disabled")};
    struct work w = {.s = m->store, .a = &m->arena, .err = &m->err};
    struct user_rep user_rep = {0};
    struct empty empty = {0};

    begin_session(m, user, "ses_1", 'a', 1000);
    assert_int_equal(rotate(m, 'a', 'b'), ST_UNAUTHENTICATED);
    begin_session(m, user, "ses_2", 'c', UINT64_C(4000000000));
    METER_OK(m, op_session_end, &end, &empty);
    assert_int_equal(rotate(m, 'c', 'd'), ST_UNAUTHENTICATED);
    begin_session(m, user, "ses_3", 'e', UINT64_C(4000000000));
    METER_OK(m, op_user_update, &disable, &user_rep);
    assert_int_equal(rotate(m, 'e', 'f'), ST_UNAUTHENTICATED);
    assert_int_equal(batch_begin(m->store, &m->err), ST_OK);
    assert_int_equal(sessions_forget(&w), ST_OK);
    assert_int_equal(batch_commit(m->store, &m->err), ST_OK);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM session"), 2);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM refresh_token"), 2);
}

static struct user_password_rep new_password(struct meter *m, struct slice user, const char *keep)
{
    struct user_password_req req = {
        .actor_id = user, .id = user, .password_hash = slice_of("$argon2id$new"), .session_id = slice_of(keep)};
    struct user_password_rep rep = {0};

    METER_OK(m, op_user_password, &req, &rep);
    return rep;
}

static void a_new_password_ends_the_users_other_sessions(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", 0), other = meter_user(m, "b@x.test", 0);
    struct user_password_req nobody = {.actor_id = user, .id = slice_of("usr_none"), .password_hash = slice_of("h")};
    struct user_password_rep rep;

    begin_session(m, user, "ses_1", 'a', UINT64_C(4000000000));
    begin_session(m, user, "ses_2", 'b', UINT64_C(4000000001));
    begin_session(m, user, "ses_3", 'c', UINT64_C(4000000002));
    begin_session(m, other, "ses_4", 'd', UINT64_C(4000000000));
    rep = new_password(m, user, "ses_2");
    assert_int_equal(rep.sessions.n, 2);
    assert_true(slice_is(rep.sessions.items[0], "ses_3") && slice_is(rep.sessions.items[1], "ses_1"));
    assert_int_equal(rotate(m, 'a', 'e'), ST_UNAUTHENTICATED);
    assert_int_equal(rotate(m, 'c', 'e'), ST_UNAUTHENTICATED);
    assert_int_equal(rotate(m, 'b', 'f'), ST_OK);
    assert_int_equal(rotate(m, 'd', 'g'), ST_OK);
    rep = new_password(m, user, "");
    assert_int_equal(rep.sessions.n, 1);
    assert_int_equal(rotate(m, 'f', 'h'), ST_UNAUTHENTICATED);
    assert_int_equal(new_password(m, user, "").sessions.n, 0);
    assert_int_equal(meter_run(m, op_user_password, &nobody, &rep), ST_NOT_FOUND);
    nobody = (struct user_password_req){.actor_id = user, .id = user};
    assert_int_equal(meter_run(m, op_user_password, &nobody, &rep), ST_BAD_REQUEST);
    assert_string_equal(m->err.param, "password_hash");
    assert_int_equal(meter_number(m, "SELECT count(*) FROM user WHERE password_hash = '$argon2id$new'"), 1);
}

/* More than an answer names: all of them end, those that were renewed last are named. */
static void a_user_with_too_many_sessions_loses_them_all(void **state)
{
    struct meter *m = *state;
    struct slice user = meter_user(m, "a@x.test", 0);
    struct user_password_rep rep;

    meter_sql(m, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10500) "
                 "INSERT INTO session(id, user_num, status, expires_at, created) "
                 "SELECT 'ses_' || i, (SELECT max(num) FROM user), 'active', 4000000000 + i, 0 FROM n");
    rep = new_password(m, user, "ses_10499");
    assert_int_equal(rep.sessions.n, LIMIT_LIST);
    assert_true(slice_is(rep.sessions.items[0], "ses_10500"));
    assert_true(slice_is(rep.sessions.items[1], "ses_10498"));
    assert_int_equal(meter_number(m, "SELECT count(*) FROM session WHERE status = 'active'"), 1);
}

/* ---- plans and prices
 * ------------------------------------------------------------------------------------------------------ */

static void a_plan_keeps_what_is_not_said_and_zero_can_be_said(void **state)
{
    struct meter *m = *state;
    struct plan_update_req req = {.name = slice_of("pro"), .tpm = 5};
    struct plan_rep rep = {0};
    struct slice bad = {"a\nb", 3};

    METER_OK(m, op_plan_update, &req, &rep);
    assert_int_equal(rep.plan.items[0].rpm, 3000);
    assert_int_equal(rep.plan.items[0].tpm, 5);
    req = (struct plan_update_req){.name = slice_of("pro"), .has = UINT64_C(1) << 3};
    METER_OK(m, op_plan_update, &req, &rep);
    assert_int_equal(rep.plan.items[0].rpm, 0);
    req = (struct plan_update_req){.name = slice_of("gold"), .rpm = 9};
    METER_OK(m, op_plan_update, &req, &rep);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM plan"), 4);
    req = (struct plan_update_req){.name = slice_of("has space")};
    assert_int_equal(meter_run(m, op_plan_update, &req, &rep), ST_BAD_REQUEST);
    req = (struct plan_update_req){.name = slice_of("gold"), .models = {&bad, 1}};
    assert_int_equal(meter_run(m, op_plan_update, &req, &rep), ST_BAD_REQUEST);
}

static void a_price_change_is_a_new_version(void **state)
{
    struct meter *m = *state;
    struct price_put_req req = {
        .model = slice_of("gpt-5.4"), .input_pico = 10, .output_pico = 20, .has = UINT64_C(1) << 5};
    struct price_list_req list = {.model = slice_of("gpt-5.4")};
    struct price_list_rep before = {0}, after = {0};
    struct price_rep rep = {0};
    const struct price *p;

    METER_OK(m, op_price_list, &list, &before);
    assert_int_equal(before.data.items[0].tier_above_tokens, 272000);
    METER_OK(m, op_price_put, &req, &rep);
    METER_OK(m, op_price_list, &list, &after);
    assert_int_equal(after.data.n, 1);
    p = &after.data.items[0];
    assert_true(p->id > before.data.items[0].id);
    assert_int_equal(p->id, rep.price.items[0].id);
    assert_int_equal(p->context_window, before.data.items[0].context_window);
    assert_true(slice_is(p->provider, "openai") && slice_is(p->mode, "chat"));
    assert_int_equal(p->tier_above_tokens, 0);
    assert_true(WIRE_HAS(p, 5)); /* cached input is free, which is not the same as not said */
    assert_int_equal(p->cached_input_pico, 0);
    assert_false(WIRE_HAS(p, 6));
    assert_false(p->builtin);
    req.input_pico = -1;
    assert_int_equal(meter_run(m, op_price_put, &req, &rep), ST_BAD_REQUEST);
}

static void prices_come_in_pages(void **state)
{
    struct meter *m = *state;
    struct price_list_req req = {.limit = 30};
    struct price_list_rep rep = {0};
    size_t seen = 0;

    do {
        memset(&rep, 0, sizeof(rep));
        METER_OK(m, op_price_list, &req, &rep);
        seen += rep.data.n;
        req.cursor = rep.next;
    } while (rep.next.n > 0);
    assert_int_equal(seen, meter_number(m, "SELECT count(*) FROM price WHERE in_force = 1"));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, meter_setup, meter_teardown)
    const struct CMUnitTest tests[] = {
        T(the_first_start_makes_plans_prices_and_an_administrator),
        cmocka_unit_test(a_random_password_is_kept_in_a_private_file),
        T(built_in_prices_follow_the_program_but_never_the_administrator),
        cmocka_unit_test(the_table_of_prices_is_in_bounds_and_without_doubles),
        T(an_address_has_one_account_in_any_case),
        T(users_come_in_pages),
        T(the_last_administrator_stays),
        T(a_plan_bounds_the_number_of_active_keys),
        T(a_key_is_its_owners),
        T(a_stolen_refresh_token_ends_its_family),
        T(the_end_of_a_stolen_session_survives_in_a_batch),
        T(a_new_password_ends_the_users_other_sessions),
        T(a_user_with_too_many_sessions_loses_them_all),
        T(expired_ended_and_disabled_sessions_do_not_rotate),
        T(a_plan_keeps_what_is_not_said_and_zero_can_be_said),
        T(a_price_change_is_a_new_version),
        T(prices_come_in_pages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
