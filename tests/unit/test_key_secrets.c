/* A key's secrets and addresses in admission: what a rotation changes and what it leaves as it was. */
#include "tests/unit/admission_fixture.h"

#define ONE (10 * INT64_C(1000000)) /* nano-USD: 1000 tokens of output */

static const struct admit_req call_of_one = {.max_output_tokens = 1000};

/* The key as meterd tells of it after a rotation. former NULL = there is none. */
static void feed_rotated(struct world *w, const char *secret, const char *former, uint64_t until, struct api_key key)
{
    unsigned char digest[LIMIT_DIGEST], before[LIMIT_DIGEST];
    struct key_state state = {.digest = {(const char *)digest, sizeof(digest)}, .key = {&key, 1}};

    digest_of(secret, digest);
    if (former) {
        digest_of(former, before);
        state.previous_digest = (struct slice){(const char *)before, sizeof(before)};
        key.previous_until = until;
    }
    feed(w, &key_state_desc, &state);
}

static void must_refuse(struct world *w, const char *id, const char *secret, const char *why)
{
    assert_int_equal(ask(w, id, secret, call_of_one), ST_UNAUTHENTICATED);
    if (!strstr(w->err.text, why))
        fail_msg("%s: %s", secret, w->err.text);
}

static void both_secrets_are_the_key_until_the_grace_is_over(void **state)
{
    struct world *w = *state;

    feed_rotated(w, "second", "secret", WALL + 10, a_key("key_1", "usr_1"));
    assert_int_equal(ask(w, "r1", "secret", call_of_one), ST_OK);
    assert_true(slice_is(w->rep.key_id, "key_1"));
    assert_int_equal(ask(w, "r2", "second", call_of_one), ST_OK);
    assert_true(slice_is(w->rep.key_id, "key_1"));
    assert_int_equal(figures(w).keys, 1);
    w->wall_s = WALL + 9;
    assert_int_equal(ask(w, "r3", "secret", call_of_one), ST_OK);
    w->wall_s = WALL + 10; /* nobody has told anything: time does it */
    must_refuse(w, "r4", "secret", "replaced by a rotation");
    assert_int_equal(ask(w, "r5", "second", call_of_one), ST_OK);
}

static void without_grace_the_former_secret_ends_at_once(void **state)
{
    struct world *w = *state;

    feed_rotated(w, "second", NULL, 0, a_key("key_1", "usr_1"));
    must_refuse(w, "r1", "secret", "Incorrect");
    assert_int_equal(ask(w, "r2", "second", call_of_one), ST_OK);
    assert_int_equal(w->a.state.secrets.n, 1);
}

static void another_rotation_ends_the_oldest_secret(void **state)
{
    struct world *w = *state;

    feed_rotated(w, "second", "secret", WALL + 100, a_key("key_1", "usr_1"));
    feed_rotated(w, "third", "second", WALL + 100, a_key("key_1", "usr_1"));
    must_refuse(w, "r1", "secret", "Incorrect");
    assert_int_equal(ask(w, "r2", "second", call_of_one), ST_OK);
    assert_int_equal(ask(w, "r3", "third", call_of_one), ST_OK);
    assert_int_equal(w->a.state.secrets.n, 2);
    assert_int_equal(figures(w).keys, 1);
}

static void revoking_the_key_ends_both(void **state)
{
    struct world *w = *state;
    struct api_key key = a_key("key_1", "usr_1");

    key.status = slice_of("revoked");
    feed_rotated(w, "second", "secret", WALL + 100, key);
    must_refuse(w, "r1", "secret", "revoked");
    must_refuse(w, "r2", "second", "revoked");
}

static void a_rotation_gives_no_new_limits(void **state)
{
    struct world *w = *state;
    struct api_key key = a_key("key_1", "usr_1");

    key.rpm = 3;
    key.concurrency = 2;
    key.budget_nano = 10 * USD;
    feed_key(w, "secret", &key);
    assert_int_equal(ask(w, "r1", "secret", call_of_one), ST_OK);
    feed_rotated(w, "second", "secret", WALL + 100, key);
    assert_int_equal(ask(w, "r2", "second", call_of_one), ST_OK);
    assert_int_equal(w->limits.remaining_requests, 1);
    assert_int_equal(ask(w, "r3", "second", call_of_one), ST_RATE_CONCURRENT);
    assert_int_equal(ask(w, "r4", "secret", call_of_one), ST_RATE_CONCURRENT);
    admission_done(&w->a, slice_of("r1"));
    admission_done(&w->a, slice_of("r2"));
    assert_int_equal(ask(w, "r5", "secret", call_of_one), ST_OK); /* the third of the minute */
    assert_int_equal(ask(w, "r6", "second", call_of_one), ST_RATE_REQUESTS);
    assert_int_equal(ask(w, "r7", "secret", call_of_one), ST_RATE_REQUESTS);
}

static void the_budget_is_the_keys(void **state)
{
    struct world *w = *state;
    struct api_key key = a_key("key_1", "usr_1");
    unsigned char digest[LIMIT_DIGEST];
    struct settled s = {.request_id = slice_of("r1"),
                        .user_id = slice_of("usr_1"),
                        .balance_nano = USD,
                        .key_digest = {(const char *)digest, sizeof(digest)},
                        .key_spent_nano = ONE};

    key.budget_nano = 2 * ONE;
    feed_key(w, "secret", &key);
    assert_int_equal(ask(w, "r1", "secret", call_of_one), ST_OK);
    feed_rotated(w, "second", "secret", WALL + 100, key);
    assert_int_equal(ask(w, "r2", "second", call_of_one), ST_OK);
    assert_int_equal(ask(w, "r3", "second", call_of_one), ST_NO_FUNDS);
    digest_of("second", digest); /* meterd names the key by the secret of now, whatever the call came with */
    feed(w, &settled_desc, &s);
    assert_int_equal(ask(w, "r4", "secret", call_of_one), ST_NO_FUNDS); /* spent, or held by r2 */
    feed_settled(w, "r2", "usr_1", USD, 0);
    assert_int_equal(ask(w, "r5", "secret", call_of_one), ST_OK);
    assert_int_equal(ask(w, "r6", "second", call_of_one), ST_NO_FUNDS);
}

/* Its secret is in no table any more when it ends: it was the key's call all the same. */
static void a_call_that_outlives_two_rotations_gives_back_what_it_took(void **state)
{
    struct world *w = *state;
    struct api_key key = a_key("key_1", "usr_1");

    key.concurrency = 1;
    key.budget_nano = ONE;
    feed_key(w, "secret", &key);
    assert_int_equal(ask(w, "r1", "secret", call_of_one), ST_OK);
    feed_rotated(w, "second", "secret", WALL + 100, key);
    feed_rotated(w, "third", "second", WALL + 100, key);
    assert_int_equal(ask(w, "r2", "third", call_of_one), ST_RATE_CONCURRENT);
    admission_done(&w->a, slice_of("r1"));
    assert_int_equal(ask(w, "r3", "third", call_of_one), ST_NO_FUNDS);
    feed_settled(w, "r1", "usr_1", USD, 0);
    assert_int_equal(ask(w, "r4", "third", call_of_one), ST_OK);
    assert_int_equal(figures(w).held_nano, ONE);
}

/* A gateway asserts it by the secret that it came with. */
static void what_is_asserted_by_a_former_secret_is_the_keys(void **state)
{
    struct world *w = *state;
    struct api_key key = a_key("key_1", "usr_1");
    unsigned char digest[LIMIT_DIGEST];
    struct hold_state told = {.request_id = slice_of("old"),
                              .user_id = slice_of("usr_1"),
                              .key_id = slice_of("key_1"),
                              .key_digest = {(const char *)digest, sizeof(digest)},
                              .amount_nano = ONE,
                              .lease_ms = DEADLINE,
                              .running = true};

    key.concurrency = 1;
    digest_of("secret", digest);
    admission_fini(&w->a);
    admission_init(&w->a, false, GRACE);
    assert_int_equal(admission_assert(&w->a, w->now, &told), ST_OK); /* before the key is loaded */
    admission_reset(&w->a);
    feed_all(w);
    feed_rotated(w, "third", "second", WALL + 100, key);
    admission_applied(&w->a);
    assert_int_equal(ask(w, "r1", "third", call_of_one), ST_RATE_CONCURRENT);
    admission_done(&w->a, slice_of("old"));
    assert_int_equal(ask(w, "r2", "second", call_of_one), ST_OK);
    must_refuse(w, "r3", "secret", "Incorrect");
}

static void the_same_call_may_be_asked_for_again_over_a_rotation(void **state)
{
    struct world *w = *state;
    struct api_key other = a_key("key_2", "usr_1");

    feed_key(w, "another", &other);
    assert_int_equal(ask(w, "r1", "secret", call_of_one), ST_OK);
    feed_rotated(w, "second", "secret", WALL + 100, a_key("key_1", "usr_1"));
    assert_int_equal(ask(w, "r1", "secret", call_of_one), ST_OK);
    assert_int_equal(figures(w).holds, 1);
    assert_int_equal(ask(w, "r1", "another", call_of_one), ST_CONFLICT);
    assert_int_equal(ask(w, "r1", "nobody's", call_of_one), ST_CONFLICT);
}

static void a_snapshot_forgets_secrets_with_their_key(void **state)
{
    struct world *w = *state;
    struct api_key other = a_key("key_2", "usr_1");

    feed_rotated(w, "b2", "b1", WALL + 100, other);
    assert_int_equal(w->a.state.secrets.n, 3);
    admission_reset(&w->a);
    feed_all(w); /* key_1 without a former secret, key_2 not at all */
    assert_int_equal(ask(w, "r1", "b1", call_of_one), ST_OK); /* until it is whole */
    admission_done(&w->a, slice_of("r1"));
    feed_settled(w, "r1", "usr_1", USD, 0);
    admission_applied(&w->a);
    must_refuse(w, "r2", "b1", "Incorrect");
    must_refuse(w, "r3", "b2", "Incorrect");
    assert_int_equal(w->a.state.secrets.n, 1);
    assert_int_equal(figures(w).keys, 1);
}

/* Rotations without end leave nothing behind. */
static void a_key_has_two_secrets_at_most(void **state)
{
    struct world *w = *state;
    unsigned i;

    for (i = 1; i <= 1000; i++) {
        char now[32], before[32];

        snprintf(now, sizeof(now), "secret_%u", i);
        snprintf(before, sizeof(before), "secret_%u", i - 1);
        feed_rotated(w, now, i > 1 ? before : "secret", WALL + 100, a_key("key_1", "usr_1"));
    }
    assert_int_equal(w->a.state.secrets.n, 2);
    assert_int_equal(ask(w, "r1", "secret_1000", call_of_one), ST_OK);
    assert_int_equal(ask(w, "r2", "secret_999", call_of_one), ST_OK);
    must_refuse(w, "r3", "secret_998", "Incorrect");
}

/* ---- addresses ----------------------------------------------------------------------------------------------------
 */

static enum status ask_from(struct world *w, const char *id, const char *ip)
{
    struct admit_req req = call_of_one;

    req.client_ip = slice_of(ip);
    return ask(w, id, "secret", req);
}

static void a_key_is_used_from_its_addresses_only(void **state)
{
    struct slice ranges[] = {slice_of("192.0.2.0/24"), slice_of("2001:db8::/32")};
    struct world *w = *state;
    struct api_key key = a_key("key_1", "usr_1");

    assert_int_equal(ask_from(w, "r1", "198.51.100.1"), ST_OK);
    assert_int_equal(ask_from(w, "r2", ""), ST_OK);
    key.ip_allow = (struct wire_strs){ranges, 2};
    feed_key(w, "secret", &key);
    assert_int_equal(ask_from(w, "r3", "192.0.2.9"), ST_OK);
    assert_string_equal(w->suspect.id, "");
    assert_int_equal(ask_from(w, "r4", "::ffff:192.0.2.9"), ST_OK);
    assert_int_equal(ask_from(w, "r5", "2001:db8::9"), ST_OK);
    assert_int_equal(figures(w).holds, 5);
    assert_int_equal(ask_from(w, "r6", "192.0.3.9"), ST_FORBIDDEN);
    assert_string_equal(w->err.code, "ip_not_allowed");
    assert_string_equal(w->suspect.id, "key_1");
    assert_int_equal(ask_from(w, "r7", "2001:db9::9"), ST_FORBIDDEN);
    assert_int_equal(ask_from(w, "r8", ""), ST_FORBIDDEN);
    assert_int_equal(ask_from(w, "r9", "unknown"), ST_FORBIDDEN);
    assert_int_equal(figures(w).holds, 5); /* nothing is held for them */
    assert_int_equal(w->limits.has, 0);
    key.ip_allow.n = 0;
    feed_key(w, "secret", &key);
    assert_int_equal(ask_from(w, "r6", "192.0.3.9"), ST_OK); /* a refusal for its place is not remembered */
}

static void a_range_that_cannot_be_read_lets_nobody_in(void **state)
{
    struct slice ranges[] = {slice_of("nonsense"), slice_of("192.0.2.1")};
    struct world *w = *state;
    struct api_key key = a_key("key_1", "usr_1");

    key.ip_allow = (struct wire_strs){ranges, 1};
    feed_key(w, "secret", &key);
    assert_int_equal(ask_from(w, "r1", "192.0.2.1"), ST_FORBIDDEN);
    key.ip_allow.n = 2;
    feed_key(w, "secret", &key);
    assert_int_equal(ask_from(w, "r2", "192.0.2.1"), ST_OK);
}

static void models_are_shown_there_only(void **state)
{
    struct slice range = slice_of("192.0.2.1");
    struct world *w = *state;
    struct api_key key = a_key("key_1", "usr_1");
    unsigned char digest[LIMIT_DIGEST];
    struct models_req req = {.key_digest = {(const char *)digest, sizeof(digest)}, .client_ip = slice_of("192.0.2.2")};
    struct admission_env env = {.wall_s = WALL, .arena = &w->arena, .suspect = &w->suspect};
    struct models_rep rep = {.has = 0};

    key.ip_allow = (struct wire_strs){&range, 1};
    feed_key(w, "secret", &key);
    digest_of("secret", digest);
    assert_int_equal(admission_models(&w->a, &env, &req, &rep, &w->err), ST_FORBIDDEN);
    assert_string_equal(w->suspect.id, "key_1");
    req.key_only = true;
    assert_int_equal(admission_models(&w->a, &env, &req, &rep, &w->err), ST_FORBIDDEN);
    req.client_ip = slice_of("192.0.2.1");
    assert_int_equal(admission_models(&w->a, &env, &req, &rep, &w->err), ST_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(both_secrets_are_the_key_until_the_grace_is_over),
        T(without_grace_the_former_secret_ends_at_once),
        T(another_rotation_ends_the_oldest_secret),
        T(revoking_the_key_ends_both),
        T(a_rotation_gives_no_new_limits),
        T(the_budget_is_the_keys),
        T(a_call_that_outlives_two_rotations_gives_back_what_it_took),
        T(what_is_asserted_by_a_former_secret_is_the_keys),
        T(the_same_call_may_be_asked_for_again_over_a_rotation),
        T(a_snapshot_forgets_secrets_with_their_key),
        T(a_key_has_two_secrets_at_most),
        T(a_key_is_used_from_its_addresses_only),
        T(a_range_that_cannot_be_read_lets_nobody_in),
        T(models_are_shown_there_only),
    };

    return cmocka_run_group_tests(tests, prepare, NULL);
}
