/* authsvc on the bus with a real meterd behind it, over inproc: accounts, sessions, keys, sync, admission up to the
 * bill. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sodium.h>

#include "authsvc/authsvc.h"
#include "services/clock.h"
#include "services/ids.h"
#include "tests/lib/slow.h"

#define CALL_MS 8000
#define GRACE_MS 1000 /* of a hold after its call's deadline */
#define STALE_MS 3500 /* a state of which nothing was heard for so long is not current */
#define DIR_TEMPLATE "/tmp/test_authsvc.XXXXXX"
#define DIR_SIZE sizeof(DIR_TEMPLATE)
#define PASSWORD "correct horse battery"

struct world {
    char dir[DIR_SIZE];
    struct settings settings;
    struct svc *meterd, *authsvc;
    struct xchg_client *auth, *meter;
    struct arena arena;
    struct err err;
};

static char *no_env(const char *name)
{
    (void)name;
    return NULL;
}

static void use(struct world *w)
{
    struct settings *s = &w->settings;
    char path[DIR_SIZE + 16];

    assert_int_equal(settings_load(s, SET_L, no_env, NULL), ST_OK);
    snprintf(path, sizeof(path), "%s/app.db", w->dir);
    settings_set(&s->db_path, path);
    settings_set(&s->log_level, "error");
    s->hold_grace_ms = GRACE_MS;
    settings_set(&s->jwt_secret, "0123456789abcdef0123456789abcdef");
    settings_set(&s->admin_password, PASSWORD);
    settings_set(&s->authsvc_url, "inproc://ta-authsvc");
    settings_set(&s->meterd_url, "inproc://ta-meterd");
    settings_set(&s->meterd_feed_url, "inproc://ta-meterd-feed");
    settings_set(&s->meterd_events_url, "inproc://ta-meterd-events");
}

static void start_authsvc(struct world *w)
{
    uint64_t end = clock_ms() + CALL_MS;

    assert_int_equal(svc_start(&authsvc_def, &w->settings, &w->authsvc, &w->err), ST_OK);
    while (!svc_ready(w->authsvc) && clock_ms() < end)
        usleep(2000);
    assert_true(svc_ready(w->authsvc));
}

static int start(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    struct xchg_client_options auth = {.url = "inproc://ta-authsvc", .instance = id_number()};
    struct xchg_client_options meter = {.url = "inproc://ta-meterd", .instance = id_number()};

    assert_non_null(w);
    assert_true(sodium_init() >= 0);
    memcpy(w->dir, DIR_TEMPLATE, DIR_SIZE);
    assert_non_null(mkdtemp(w->dir));
    arena_init(&w->arena, 4 << 20);
    use(w);
    assert_int_equal(svc_start(&meterd_def, &w->settings, &w->meterd, &w->err), ST_OK);
    start_authsvc(w);
    assert_int_equal(xchg_client_new(&auth, &w->auth, NULL), ST_OK);
    assert_int_equal(xchg_client_new(&meter, &w->meter, NULL), ST_OK);
    *state = w;
    return 0;
}

static void remove_files(const char *dir)
{
    static const char *const names[] = {"app.db", "app.db-wal", "app.db-shm", "app.db.lock", "admin_password"};
    char path[DIR_SIZE + 32];
    size_t i;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
}

static int stop(void **state)
{
    struct world *w = *state;

    xchg_client_free(w->auth);
    xchg_client_free(w->meter);
    svc_drain(w->authsvc, 5000);
    svc_stop(w->authsvc);
    svc_drain(w->meterd, 5000);
    svc_stop(w->meterd);
    settings_fini(&w->settings);
    arena_fini(&w->arena);
    remove_files(w->dir);
    free(w);
    return 0;
}

#define ASK(w, name, reply, req, rep)                                                                                  \
    (memset(&(w)->err, 0, sizeof((w)->err)),                                                                           \
     call_wait((w)->auth, &name##_desc, req, &reply##_desc, rep, &(w)->arena, CALL_MS, &(w)->err))

static void in_force(struct world *w, uint64_t revision)
{
    struct state_sync_req req = {.revision = revision};
    struct empty rep;

    assert_int_equal(ASK(w, state_sync_req, empty, &req, &rep), ST_OK);
}

static struct session_rep sign_in(struct world *w, const char *email, const char *password, const char *ip,
                                  enum status expected)
{
    struct login_req req = {.email = slice_of(email), .password = slice_of(password), .client_ip = slice_of(ip)};
    struct session_rep rep = {.has = 0};

    assert_int_equal(ASK(w, login_req, session_rep, &req, &rep), expected);
    return rep;
}

static enum status check(struct world *w, struct slice token, struct session_check_rep *rep)
{
    struct session_check_req req = {.access_token = token};

    return ASK(w, session_check_req, session_check_rep, &req, rep);
}

static void a_new_account_is_signed_in_and_can_sign_in_again(void **state)
{
    struct world *w = *state;
    struct register_req req = {.email = slice_of("New.User@Example.com"), .password = slice_of(PASSWORD)};
    struct session_rep rep;
    struct session_check_rep who;

    assert_int_equal(ASK(w, register_req, session_rep, &req, &rep), ST_OK);
    assert_true(slice_is(rep.user.items[0].email, "new.user@example.com"));
    assert_int_equal(rep.user.items[0].balance_nano, INT64_C(5000000000));
    assert_true(slice_is(rep.token_type, "Bearer"));
    in_force(w, rep.revision);
    assert_int_equal(check(w, rep.access_token, &who), ST_OK);
    assert_true(slice_is(who.role, "user"));
    assert_true(slice_eq(who.user_id, rep.user.items[0].id));
    assert_int_equal(ASK(w, register_req, session_rep, &req, &rep), ST_CONFLICT);
    assert_string_equal(w->err.code, "email_taken");
    rep = sign_in(w, "NEW.user@example.com", PASSWORD, "192.0.2.1", ST_OK);
    assert_int_equal(check(w, rep.access_token, &who), ST_OK);
    sign_in(w, "new.user@example.com", "wrong password", "192.0.2.1", ST_UNAUTHENTICATED);
    assert_string_equal(w->err.code, "invalid_credentials");
    sign_in(w, "nobody@example.com", "wrong password", "192.0.2.1", ST_UNAUTHENTICATED);
    assert_string_equal(w->err.code, "invalid_credentials");
}

static void a_refresh_token_is_good_once(void **state)
{
    struct world *w = *state;
    struct session_rep first = sign_in(w, "admin@localhost", PASSWORD, "192.0.2.2", ST_OK), second, third;
    struct refresh_req req = {.refresh_token = first.refresh_token};
    struct session_check_rep who;

    assert_int_equal(ASK(w, refresh_req, session_rep, &req, &second), ST_OK);
    assert_false(slice_eq(first.refresh_token, second.refresh_token));
    assert_int_equal(check(w, first.access_token, &who), ST_OK);
    assert_int_equal(ASK(w, refresh_req, session_rep, &req, &third), ST_UNAUTHENTICATED);
    assert_int_equal(check(w, first.access_token, &who), ST_UNAUTHENTICATED);
    assert_int_equal(check(w, second.access_token, &who), ST_UNAUTHENTICATED);
    req.refresh_token = second.refresh_token; /* the reuse ended the family */
    assert_int_equal(ASK(w, refresh_req, session_rep, &req, &third), ST_UNAUTHENTICATED);
    req.refresh_token = slice_of("not a token");
    assert_int_equal(ASK(w, refresh_req, session_rep, &req, &third), ST_UNAUTHENTICATED);
}

static void a_session_ends_at_once(void **state)
{
    struct world *w = *state;
    struct session_rep rep = sign_in(w, "admin@localhost", PASSWORD, "192.0.2.2", ST_OK);
    struct session_check_rep who;
    struct logout_req req;
    struct refresh_req refresh = {.refresh_token = rep.refresh_token};
    struct empty done;

    assert_int_equal(check(w, rep.access_token, &who), ST_OK);
    assert_true(slice_is(who.role, "admin"));
    req = (struct logout_req){.actor_id = who.user_id, .session_id = who.session_id};
    assert_int_equal(ASK(w, logout_req, empty, &req, &done), ST_OK);
    assert_int_equal(check(w, rep.access_token, &who), ST_UNAUTHENTICATED);
    assert_int_equal(ASK(w, refresh_req, session_rep, &refresh, &rep), ST_UNAUTHENTICATED);
}

static void ten_wrong_passwords_stop_the_next_right_one_from_there_only(void **state)
{
    struct world *w = *state;
    unsigned i;

    for (i = 0; i < THROTTLE_FAILURES; i++)
        sign_in(w, "admin@localhost", "wrong password", "198.51.100.1", ST_UNAUTHENTICATED);
    sign_in(w, "admin@localhost", PASSWORD, "198.51.100.1", ST_SLOW_DOWN);
    assert_true(w->err.retry_after_ms > 0);
    sign_in(w, "admin@localhost", PASSWORD, "198.51.100.2", ST_OK);
}

/* ---- new passwords -------------------------------------------------------------------------------------------------
 */

#define OTHER_PASSWORD "staple battery horse"

static enum status change(struct world *w, struct slice token, const char *current, const char *wanted, const char *ip)
{
    struct session_check_rep who;
    struct password_change_req req = {
        .client_ip = slice_of(ip), .current_password = slice_of(current), .new_password = slice_of(wanted)};
    struct empty done;

    assert_int_equal(check(w, token, &who), ST_OK);
    req.actor_id = who.user_id;
    req.session_id = who.session_id;
    return ASK(w, password_change_req, empty, &req, &done);
}

static enum status renew(struct world *w, struct slice refresh_token)
{
    struct refresh_req req = {.refresh_token = refresh_token};
    struct session_rep rep;

    return ASK(w, refresh_req, session_rep, &req, &rep);
}

static struct session_rep sign_up(struct world *w, const char *email)
{
    struct register_req req = {.email = slice_of(email), .password = slice_of(PASSWORD)};
    struct session_rep rep;

    assert_int_equal(ASK(w, register_req, session_rep, &req, &rep), ST_OK);
    in_force(w, rep.revision);
    return rep;
}

static void a_new_password_ends_all_sessions_but_its_own(void **state)
{
    struct world *w = *state;
    struct session_rep own = sign_up(w, "changes@example.com"), other;
    struct session_check_rep who;

    other = sign_in(w, "changes@example.com", PASSWORD, "192.0.2.7", ST_OK);
    assert_int_equal(change(w, own.access_token, "not the password", OTHER_PASSWORD, "192.0.2.7"), ST_UNAUTHENTICATED);
    assert_string_equal(w->err.code, "invalid_credentials");
    assert_string_equal(w->err.param, "current_password");
    assert_int_equal(change(w, own.access_token, PASSWORD, "short", "192.0.2.7"), ST_BAD_REQUEST);
    assert_string_equal(w->err.param, "new_password");
    assert_int_equal(check(w, other.access_token, &who), ST_OK); /* nothing has happened yet */
    assert_int_equal(change(w, own.access_token, PASSWORD, OTHER_PASSWORD, "192.0.2.7"), ST_OK);
    assert_int_equal(check(w, other.access_token, &who), ST_UNAUTHENTICATED);
    assert_int_equal(renew(w, other.refresh_token), ST_UNAUTHENTICATED);
    assert_int_equal(check(w, own.access_token, &who), ST_OK);
    assert_int_equal(renew(w, own.refresh_token), ST_OK);
    sign_in(w, "changes@example.com", PASSWORD, "192.0.2.7", ST_UNAUTHENTICATED);
    sign_in(w, "changes@example.com", OTHER_PASSWORD, "192.0.2.7", ST_OK);
}

/* Whoever has only a session guesses no faster than one who has none. */
static void guesses_at_the_current_password_are_failed_sign_ins(void **state)
{
    struct world *w = *state;
    struct session_rep own = sign_up(w, "guessed@example.com");
    struct session_check_rep who;
    unsigned i;

    for (i = 0; i < THROTTLE_FAILURES - 1; i++)
        assert_int_equal(change(w, own.access_token, "a guess", OTHER_PASSWORD, "192.0.2.8"), ST_UNAUTHENTICATED);
    sign_in(w, "guessed@example.com", "a guess", "192.0.2.8", ST_UNAUTHENTICATED);
    assert_int_equal(change(w, own.access_token, PASSWORD, OTHER_PASSWORD, "192.0.2.8"), ST_SLOW_DOWN);
    assert_true(w->err.retry_after_ms > 0);
    sign_in(w, "guessed@example.com", PASSWORD, "192.0.2.8", ST_SLOW_DOWN);
    assert_int_equal(check(w, own.access_token, &who), ST_OK);
    assert_int_equal(change(w, own.access_token, PASSWORD, OTHER_PASSWORD, "192.0.2.9"), ST_OK);
}

static enum status reset(struct world *w, struct slice actor, struct slice user, const char *password)
{
    struct admin_password_req req = {.actor_id = actor, .id = user, .password = slice_of(password)};
    struct empty done;

    return ASK(w, admin_password_req, empty, &req, &done);
}

static void an_administrator_sets_a_password_and_nobody_else_does(void **state)
{
    struct world *w = *state;
    struct slice admin = sign_in(w, "admin@localhost", PASSWORD, "192.0.2.3", ST_OK).user.items[0].id;
    struct session_rep own = sign_up(w, "forgets@example.com");
    struct slice user = own.user.items[0].id;
    struct session_check_rep who;

    assert_int_equal(reset(w, user, admin, OTHER_PASSWORD), ST_FORBIDDEN);
    assert_int_equal(reset(w, admin, user, "short"), ST_BAD_REQUEST);
    assert_string_equal(w->err.param, "password");
    assert_int_equal(reset(w, admin, slice_of("usr_none"), OTHER_PASSWORD), ST_NOT_FOUND);
    assert_int_equal(check(w, own.access_token, &who), ST_OK);
    assert_int_equal(reset(w, admin, user, OTHER_PASSWORD), ST_OK);
    assert_int_equal(check(w, own.access_token, &who), ST_UNAUTHENTICATED);
    assert_int_equal(renew(w, own.refresh_token), ST_UNAUTHENTICATED);
    sign_in(w, "forgets@example.com", PASSWORD, "192.0.2.7", ST_UNAUTHENTICATED);
    sign_in(w, "forgets@example.com", OTHER_PASSWORD, "192.0.2.7", ST_OK);
}

static void the_disabled_change_nothing(void **state)
{
    struct world *w = *state;
    struct session_rep own = sign_up(w, "disabled@example.com");
    struct slice user = own.user.items[0].id;
    struct user_update_req disable = {.actor_id = user, .id = user, .status = slice_of("disabled")};
    struct password_change_req req = {.actor_id = user,
                                      .session_id = slice_of("ses_any"),
                                      .client_ip = slice_of("192.0.2.7"),
                                      .current_password = slice_of(PASSWORD),
                                      .new_password = slice_of(OTHER_PASSWORD)};
    struct user_rep rep;
    struct empty done;

    assert_int_equal(
        call_wait(w->meter, &user_update_req_desc, &disable, &user_rep_desc, &rep, &w->arena, CALL_MS, &w->err), ST_OK);
    in_force(w, rep.revision);
    assert_int_equal(ASK(w, password_change_req, empty, &req, &done), ST_FORBIDDEN);
    assert_string_equal(w->err.code, "account_deactivated");
    req.actor_id = slice_of("usr_none");
    assert_int_equal(ASK(w, password_change_req, empty, &req, &done), ST_NOT_FOUND);
}

static struct key_created_rep make_key(struct world *w, struct slice user)
{
    struct key_create_req req = {.actor_id = user, .name = slice_of("k")};
    struct key_created_rep rep;

    assert_int_equal(ASK(w, key_create_req, key_created_rep, &req, &rep), ST_OK);
    in_force(w, rep.revision);
    return rep;
}

static enum status admit_for(struct world *w, uint64_t deadline_ms, const char *id, struct slice key,
                             struct admit_rep *rep)
{
    unsigned char digest[LIMIT_DIGEST];
    struct admit_req req = {.request_id = slice_of(id),
                            .key_digest = {(const char *)digest, sizeof(digest)},
                            .model = slice_of("echo"),
                            .endpoint = slice_of("chat.completions"),
                            .prompt_tokens_estimate = 10,
                            .max_output_tokens = 20,
                            .deadline_ms = deadline_ms};

    crypto_hash_sha256(digest, (const unsigned char *)key.p, key.n);
    return ASK(w, admit_req, admit_rep, &req, rep);
}

static enum status admit(struct world *w, const char *id, struct slice key, struct admit_rep *rep)
{
    return admit_for(w, 60000, id, key, rep);
}

static void announce(struct world *w)
{
    struct provider p = {.name = slice_of("echo"), .kind = slice_of("echo")};
    struct provider_announce_req req = {.instance = slice_of("i1"), .providers = {&p, 1}};
    struct empty rep;

    assert_int_equal(
        call_wait(w->meter, &provider_announce_req_desc, &req, &empty_desc, &rep, &w->arena, CALL_MS, &w->err), ST_OK);
    in_force(w, rep.revision);
}

static uint64_t holds(struct world *w)
{
    struct authsvc *self = svc_state(w->authsvc);
    struct admission_figures f;

    admission_figures(&self->admission, clock_ms(), &f);
    return f.holds;
}

static void settle(struct world *w, const char *id, const struct admit_rep *rep)
{
    struct usage_event e = {.request_id = slice_of(id),
                            .user_id = rep->user_id,
                            .key_id = rep->key_id,
                            .model = slice_of("echo"),
                            .provider = rep->routes.items[0].provider,
                            .upstream_model = rep->routes.items[0].upstream_model,
                            .endpoint = slice_of("chat.completions"),
                            .status = slice_of("ok"),
                            .prompt_tokens = 10,
                            .completion_tokens = 5,
                            .price_id = rep->routes.items[0].price.n ? rep->routes.items[0].price.items[0].id : 0,
                            .hold_nano = rep->hold_nano,
                            .created_ms = clock_wall_ms()};
    struct usage_deliver_req req = {.source = slice_of(id), .first_seq = 1, .events = {&e, 1}};
    struct usage_deliver_rep done;

    assert_int_equal(
        call_wait(w->meter, &usage_deliver_req_desc, &req, &usage_deliver_rep_desc, &done, &w->arena, CALL_MS, &w->err),
        ST_OK);
}

static enum status update_key(struct world *w, struct key_update_req req, struct key_rep *rep)
{
    enum status st = ASK(w, key_update_req, key_rep, &req, rep);

    if (st == ST_OK)
        in_force(w, rep->revision);
    return st;
}

/* echo costs more than nothing; a call of the test holds the same each time. */
static void a_keys_budget_holds_from_its_making_to_the_bill(void **state)
{
    struct world *w = *state;
    struct session_rep admin = sign_in(w, "admin@localhost", PASSWORD, "192.0.2.3", ST_OK);
    struct slice user = admin.user.items[0].id;
    struct key_create_req create = {.actor_id = user, .name = slice_of("k"), .budget_nano = 1};
    struct key_created_rep made;
    struct key_rep key;
    struct admit_rep rep;
    uint64_t end = clock_ms() + CALL_MS;

    announce(w);
    create.budget_period = slice_of("year");
    assert_int_equal(ASK(w, key_create_req, key_created_rep, &create, &made), ST_BAD_REQUEST);
    assert_string_equal(w->err.param, "budget_period");
    create.budget_period = slice_of("month");
    assert_int_equal(ASK(w, key_create_req, key_created_rep, &create, &made), ST_OK);
    assert_true(made.budget_nano == 1 && slice_is(made.budget_period, "month"));
    in_force(w, made.revision);
    assert_int_equal(admit(w, "req_b1", made.key, &rep), ST_NO_FUNDS);
    assert_non_null(strstr(w->err.text, "budget of this API key"));
    assert_int_equal(
        update_key(w, (struct key_update_req){.actor_id = user, .id = made.id, .budget_nano = 1000000000}, &key),
        ST_OK);
    assert_int_equal(key.key.items[0].budget_nano, 1000000000);
    assert_int_equal(admit(w, "req_b2", made.key, &rep), ST_OK);
    assert_int_equal(
        update_key(w, (struct key_update_req){.actor_id = user, .id = made.id, .budget_nano = rep.hold_nano}, &key),
        ST_OK);
    assert_int_equal(admit(w, "req_b3", made.key, &rep), ST_NO_FUNDS); /* all of it is held */
    assert_int_equal(admit(w, "req_b2", made.key, &rep), ST_OK);
    settle(w, "req_b2", &rep);
    while (holds(w) && clock_ms() < end)
        usleep(2000);
    assert_int_equal(holds(w), 0);
    assert_int_equal(admit(w, "req_b4", made.key, &rep), ST_NO_FUNDS); /* a part is spent, the rest is too little */
    assert_int_equal(
        update_key(w, (struct key_update_req){.actor_id = user, .id = made.id, .rpm = 1000000000 + 1}, &key),
        ST_BAD_MESSAGE);
    assert_int_equal(
        update_key(w, (struct key_update_req){.actor_id = user, .id = made.id, .has = UINT64_C(1) << 9}, &key), ST_OK);
    assert_int_equal(admit(w, "req_b5", made.key, &rep), ST_OK); /* no budget any more */
    settle(w, "req_b5", &rep);
    while (holds(w) && clock_ms() < end)
        usleep(2000);
}

static struct key_created_rep rotate_key(struct world *w, struct key_rotate_req req)
{
    struct key_created_rep rep;

    assert_int_equal(ASK(w, key_rotate_req, key_created_rep, &req, &rep), ST_OK);
    in_force(w, rep.revision);
    return rep;
}

static void a_rotated_key_has_two_secrets_for_a_time(void **state)
{
    struct world *w = *state;
    struct session_rep admin = sign_in(w, "admin@localhost", PASSWORD, "192.0.2.3", ST_OK);
    struct slice user = admin.user.items[0].id;
    struct key_created_rep made = make_key(w, user), rotated;
    struct key_rotate_req req = {.actor_id = user, .id = made.id};
    uint64_t now_s = clock_wall_ms() / 1000, end = clock_ms() + CALL_MS;
    struct admit_rep rep;

    announce(w);
    rotated = rotate_key(w, req); /* a day, when nothing is said */
    assert_in_range(rotated.previous_until, now_s + 86400, now_s + 86400 + 10);
    assert_true(slice_eq(rotated.id, made.id) && !slice_eq(rotated.key, made.key) && rotated.key.n == 49);
    assert_memory_equal(rotated.prefix.p, rotated.key.p, rotated.prefix.n);
    assert_int_equal(admit(w, "req_r1", made.key, &rep), ST_OK);
    assert_int_equal(admit(w, "req_r2", rotated.key, &rep), ST_OK);
    assert_true(slice_eq(rep.key_id, made.id));
    req.has = UINT64_C(1) << 3; /* none */
    made = rotated;
    rotated = rotate_key(w, req);
    assert_int_equal(rotated.previous_until, 0);
    assert_int_equal(admit(w, "req_r3", made.key, &rep), ST_UNAUTHENTICATED);
    assert_int_equal(admit(w, "req_r4", rotated.key, &rep), ST_OK);
    assert_int_equal(holds(w), 3);
    settle(w, "req_r1", &rep);
    settle(w, "req_r2", &rep);
    settle(w, "req_r4", &rep);
    while (holds(w) && clock_ms() < end)
        usleep(2000);
    assert_int_equal(holds(w), 0);
    req.id = slice_of("key_of_nobody");
    assert_int_equal(ASK(w, key_rotate_req, key_created_rep, &req, &rotated), ST_NOT_FOUND);
}

static void addresses_of_a_key_are_checked_and_written_one_way(void **state)
{
    struct world *w = *state;
    struct session_rep admin = sign_in(w, "admin@localhost", PASSWORD, "192.0.2.3", ST_OK);
    struct slice ranges[] = {slice_of("10.1.2.3/8"), slice_of("::ffff:192.0.2.1"), slice_of("example.com")};
    struct key_create_req req = {.actor_id = admin.user.items[0].id, .name = slice_of("k"), .ip_allow = {ranges, 3}};
    struct key_created_rep made;
    struct key_rep key;
    struct admit_rep rep;

    announce(w);
    assert_int_equal(ASK(w, key_create_req, key_created_rep, &req, &made), ST_BAD_REQUEST);
    assert_string_equal(w->err.param, "ip_allow[2]");
    req.ip_allow.n = 2;
    assert_int_equal(ASK(w, key_create_req, key_created_rep, &req, &made), ST_OK);
    in_force(w, made.revision);
    assert_int_equal(made.ip_allow.n, 2);
    assert_true(slice_is(made.ip_allow.items[0], "10.0.0.0/8") && slice_is(made.ip_allow.items[1], "192.0.2.1"));
    assert_int_equal(admit(w, "req_i1", made.key, &rep), ST_FORBIDDEN); /* from nowhere */
    assert_string_equal(w->err.code, "ip_not_allowed");
    assert_int_equal(holds(w), 0);
    assert_int_equal(
        update_key(w, (struct key_update_req){.actor_id = req.actor_id, .id = made.id, .ip_allow = {&ranges[2], 1}},
                   &key),
        ST_BAD_REQUEST);
    assert_string_equal(w->err.param, "ip_allow[0]");
    assert_int_equal(
        update_key(w, (struct key_update_req){.actor_id = req.actor_id, .id = made.id, .name = slice_of("n")}, &key),
        ST_OK);
    assert_int_equal(key.key.items[0].ip_allow.n, 2);
}

static void a_key_is_made_used_and_its_call_settled(void **state)
{
    struct world *w = *state;
    struct session_rep admin = sign_in(w, "admin@localhost", PASSWORD, "192.0.2.3", ST_OK);
    struct key_created_rep key = make_key(w, admin.user.items[0].id);
    struct admit_rep rep;
    uint64_t end = clock_ms() + CALL_MS;

    announce(w);
    assert_int_equal(key.key.n, 49);
    assert_int_equal(key.prefix.n, 12);
    assert_int_equal(admit(w, "req_flow", key.key, &rep), ST_OK);
    assert_true(rep.hold_nano > 0);
    assert_int_equal(rep.limits.n, 1);
    assert_int_equal(holds(w), 1);
    settle(w, "req_flow", &rep);
    while (holds(w) && clock_ms() < end)
        usleep(2000);
    assert_int_equal(holds(w), 0);
    assert_int_equal(admit(w, "req_other", slice_of("sk-or-wrong"), &rep), ST_UNAUTHENTICATED);
}

static void an_administrator_makes_users_and_nobody_else_does(void **state)
{
    struct world *w = *state;
    struct session_rep admin = sign_in(w, "admin@localhost", PASSWORD, "192.0.2.3", ST_OK);
    struct admin_user_create_req req = {
        .actor_id = admin.user.items[0].id, .email = slice_of("made@example.com"), .password = slice_of(PASSWORD)};
    struct user_rep rep;

    assert_int_equal(ASK(w, admin_user_create_req, user_rep, &req, &rep), ST_OK);
    assert_true(slice_is(rep.user.items[0].role, "user"));
    assert_true(slice_is(rep.user.items[0].plan, "free"));
    in_force(w, rep.revision);
    req.actor_id = rep.user.items[0].id;
    req.email = slice_of("other@example.com");
    assert_int_equal(ASK(w, admin_user_create_req, user_rep, &req, &rep), ST_FORBIDDEN);
    req.actor_id = admin.user.items[0].id;
    req.role = slice_of("root");
    assert_int_equal(ASK(w, admin_user_create_req, user_rep, &req, &rep), ST_BAD_REQUEST);
    req.role = slice_of("user");
    req.password = slice_of("short");
    assert_int_equal(ASK(w, admin_user_create_req, user_rep, &req, &rep), ST_BAD_REQUEST);
}

static void a_key_beyond_its_plan_or_with_odd_patterns_is_refused(void **state)
{
    struct world *w = *state;
    struct register_req sign_up = {.email = slice_of("limited@example.com"), .password = slice_of(PASSWORD)};
    struct slice bad = slice_of("gpt-*-mini");
    struct session_rep user;
    struct key_create_req req = {.name = slice_of("k"), .rpm = 61};
    struct key_created_rep rep;
    unsigned i;

    assert_int_equal(ASK(w, register_req, session_rep, &sign_up, &user), ST_OK);
    in_force(w, user.revision);
    req.actor_id = user.user.items[0].id;
    assert_int_equal(ASK(w, key_create_req, key_created_rep, &req, &rep), ST_BAD_REQUEST);
    assert_string_equal(w->err.param, "rpm");
    req.rpm = 60;
    req.models = (struct wire_strs){&bad, 1};
    assert_int_equal(ASK(w, key_create_req, key_created_rep, &req, &rep), ST_BAD_REQUEST);
    assert_string_equal(w->err.param, "models");
    req.models.n = 0;
    req.expires_at = 1;
    assert_int_equal(ASK(w, key_create_req, key_created_rep, &req, &rep), ST_BAD_REQUEST);
    req.expires_at = 0;
    for (i = 0; i < 5; i++)
        assert_int_equal(ASK(w, key_create_req, key_created_rep, &req, &rep), ST_OK);
    assert_int_equal(ASK(w, key_create_req, key_created_rep, &req, &rep), ST_FORBIDDEN);
}

static void a_revision_that_does_not_come_times_out(void **state)
{
    struct world *w = *state;
    struct state_sync_req req = {.revision = LIMIT_ID};
    struct empty rep;
    uint64_t took = UINT64_MAX;
    unsigned tries;

    for (tries = 0; took > SYNC_WAIT_MS + slow_ms(1500) && tries < SLOW_TRIES; tries++) {
        uint64_t began = clock_ms();

        assert_int_equal(ASK(w, state_sync_req, empty, &req, &rep), ST_TIMEOUT);
        took = clock_ms() - began;
        assert_true(took >= SYNC_WAIT_MS - 50);
    }
    assert_in_range(took, SYNC_WAIT_MS - 50, SYNC_WAIT_MS + slow_ms(1500));
}

/* More sign-ins at once than can be hashed: the rest is refused at once, and everybody gets exactly one answer. */
struct flood {
    atomic_uint refused, other;
};

static void flood_end(void *ctx, enum status st, struct slice payload)
{
    struct flood *f = ctx;

    (void)payload;
    atomic_fetch_add(st == ST_SLOW_DOWN ? &f->refused : &f->other, 1);
}

#define FLOOD 100u

static void a_flood_of_sign_ins_is_refused_before_hashing(void **state)
{
    static const struct xchg_events events = {.end = flood_end};
    struct world *w = *state;
    struct flood f;
    char email[32];
    unsigned i;
    uint64_t end = clock_ms() + 20000;

    atomic_init(&f.refused, 0);
    atomic_init(&f.other, 0);
    for (i = 0; i < FLOOD; i++) {
        struct login_req req = {.email = slice_of(email), .password = slice_of("flood flood")};
        struct xchg_open open = {.deadline_ms = 20000, .events = &events, .ctx = &f};
        char ip[32];
        struct xchg_id id;

        snprintf(email, sizeof(email), "flood%u@x", i);
        snprintf(ip, sizeof(ip), "203.0.113.%u", i);
        req.client_ip = slice_of(ip);
        assert_int_equal(call_open(w->auth, &login_req_desc, &req, &open, &id, NULL), ST_OK);
    }
    while (atomic_load(&f.refused) + atomic_load(&f.other) < FLOOD && clock_ms() < end)
        usleep(5000);
    assert_int_equal(atomic_load(&f.refused) + atomic_load(&f.other), FLOOD);
    assert_true(atomic_load(&f.refused) >= FLOOD / 2);
    assert_true(atomic_load(&f.other) >= WORKER_QUEUE);
}

static void a_restart_knows_everything_again(void **state)
{
    struct world *w = *state;
    struct session_rep admin = sign_in(w, "admin@localhost", PASSWORD, "192.0.2.4", ST_OK);
    struct key_created_rep key = make_key(w, admin.user.items[0].id);
    struct admit_rep rep;
    struct session_check_rep who;

    svc_drain(w->authsvc, 5000);
    svc_stop(w->authsvc);
    start_authsvc(w);
    assert_int_equal(admit(w, "req_after", key.key, &rep), ST_OK);
    assert_int_equal(check(w, admin.access_token, &who), ST_OK);
}

static void without_meterd_calls_go_on_and_sign_ins_fail(void **state)
{
    struct world *w = *state;
    struct session_rep admin = sign_in(w, "admin@localhost", PASSWORD, "192.0.2.5", ST_OK);
    struct key_created_rep key = make_key(w, admin.user.items[0].id);
    struct admit_rep rep;
    struct login_req req = {.email = slice_of("admin@localhost"), .password = slice_of(PASSWORD)};
    struct session_rep session;

    svc_drain(w->meterd, 1000);
    svc_stop(w->meterd);
    w->meterd = NULL;
    assert_int_equal(admit(w, "req_alone", key.key, &rep), ST_OK);
    assert_int_not_equal(ASK(w, login_req, session_rep, &req, &session), ST_OK);
    assert_int_not_equal(w->err.status, ST_UNAUTHENTICATED);
    assert_int_equal(svc_start(&meterd_def, &w->settings, &w->meterd, &w->err), ST_OK);
}

/* A call that was billed while we hear nothing of it must not give its credit back. */
static void a_hold_does_not_lapse_unheard(void **state)
{
    struct world *w = *state;
    struct session_rep admin = sign_in(w, "admin@localhost", PASSWORD, "192.0.2.6", ST_OK);
    struct key_created_rep key = make_key(w, admin.user.items[0].id);
    struct admit_rep rep;
    uint64_t end, others;

    announce(w);
    others = holds(w);
    svc_drain(w->meterd, 1000);
    svc_stop(w->meterd);
    w->meterd = NULL;
    usleep(STALE_MS * 1000); /* nothing is current any more */
    assert_int_equal(admit_for(w, 1, "req_unheard", key.key, &rep), ST_OK);
    usleep((GRACE_MS + 500) * 1000);
    assert_int_equal(holds(w), others + 1);
    assert_int_equal(svc_start(&meterd_def, &w->settings, &w->meterd, &w->err), ST_OK);
    end = clock_ms() + 2 * CALL_MS;
    while (holds(w) > others && clock_ms() < end)
        usleep(2000);
    assert_int_equal(holds(w), others);
}

static void no_secret_no_start(void **state)
{
    struct world *w = *state;
    struct settings s;
    struct svc *svc = NULL;
    struct err err = {.status = ST_OK};

    (void)w;
    assert_int_equal(settings_load(&s, SET_A, no_env, NULL), ST_OK);
    settings_set(&s.authsvc_url, "inproc://ta-none");
    settings_set(&s.meterd_url, "inproc://ta-none-m");
    settings_set(&s.meterd_feed_url, "inproc://ta-none-f");
    assert_int_equal(svc_start(&authsvc_def, &s, &svc, &err), ST_BAD_REQUEST);
    assert_non_null(strstr(err.text, "JWT_SECRET"));
    settings_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_account_is_signed_in_and_can_sign_in_again),
        cmocka_unit_test(a_refresh_token_is_good_once),
        cmocka_unit_test(a_session_ends_at_once),
        cmocka_unit_test(ten_wrong_passwords_stop_the_next_right_one_from_there_only),
        cmocka_unit_test(a_new_password_ends_all_sessions_but_its_own),
        cmocka_unit_test(guesses_at_the_current_password_are_failed_sign_ins),
        cmocka_unit_test(an_administrator_sets_a_password_and_nobody_else_does),
        cmocka_unit_test(the_disabled_change_nothing),
        cmocka_unit_test(a_keys_budget_holds_from_its_making_to_the_bill),
        cmocka_unit_test(a_key_is_made_used_and_its_call_settled),
        cmocka_unit_test(a_rotated_key_has_two_secrets_for_a_time),
        cmocka_unit_test(addresses_of_a_key_are_checked_and_written_one_way),
        cmocka_unit_test(an_administrator_makes_users_and_nobody_else_does),
        cmocka_unit_test(a_key_beyond_its_plan_or_with_odd_patterns_is_refused),
        cmocka_unit_test(a_revision_that_does_not_come_times_out),
        cmocka_unit_test(a_flood_of_sign_ins_is_refused_before_hashing),
        cmocka_unit_test(a_restart_knows_everything_again),
        cmocka_unit_test(without_meterd_calls_go_on_and_sign_ins_fail),
        cmocka_unit_test(a_hold_does_not_lapse_unheard),
        cmocka_unit_test(no_secret_no_start),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
