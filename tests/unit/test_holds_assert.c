/* Holds that survive a restart: asserted by those who know of them, before and after the accounts are loaded. */
#include <unistd.h>

#include "authsvc/window.h"
#include "tests/unit/admission_fixture.h"

#include "services/clock.h"
#include "services/ids.h"

#define ONE (1000 * 10000) /* a call of model m without a limit */

/* ---- pure ---------------------------------------------------------------------------------------------------------
 */

static struct hold_state a_hold(const char *request, const char *user, int64_t amount)
{
    return (struct hold_state){.request_id = slice_of(request),
                               .user_id = slice_of(user),
                               .key_id = slice_of("key_1"),
                               .amount_nano = amount,
                               .lease_ms = DEADLINE,
                               .running = true};
}

static void tell(struct world *w, struct hold_state h)
{
    assert_int_equal(admission_assert(&w->a, w->now, &h), ST_OK);
}

/* As a gateway says it. */
static void tell_with_key(struct world *w, struct hold_state h)
{
    unsigned char digest[LIMIT_DIGEST];

    digest_of("secret", digest);
    h.key_digest = (struct slice){(const char *)digest, sizeof(digest)};
    tell(w, h);
}

static void load(struct world *w)
{
    admission_reset(&w->a);
    feed_all(w);
    admission_applied(&w->a);
}

/* authsvc was killed and is back: nothing is known. */
static void restart(struct world *w)
{
    admission_fini(&w->a);
    admission_init(&w->a, false, GRACE);
}

static void what_is_asserted_is_not_spent_again(void **state)
{
    struct world *w = *state;

    feed_user(w, "usr_1", 3 * ONE);
    tell(w, a_hold("old_1", "usr_1", 2 * ONE));
    assert_int_equal(figures(w).held_nano, 2 * ONE);
    assert_int_equal(ask_new(w, 0, 1000), ST_OK);
    assert_int_equal(ask_new(w, 0, 1000), ST_NO_FUNDS);
    feed_settled(w, "old_1", "usr_1", 2 * ONE, 0); /* it cost half of what was held */
    assert_int_equal(ask_new(w, 0, 1000), ST_OK);
    assert_int_equal(ask_new(w, 0, 1000), ST_NO_FUNDS);
}

static void it_is_counted_once_however_often_it_is_said(void **state)
{
    struct world *w = *state;

    tell(w, a_hold("old_1", "usr_1", ONE));
    tell_with_key(w, a_hold("old_1", "usr_1", ONE));
    tell(w, a_hold("old_1", "usr_1", ONE));
    assert_int_equal(figures(w).holds, 1);
    assert_int_equal(figures(w).held_nano, ONE);
    tell(w, a_hold("old_1", "usr_1", 3 * ONE)); /* it was extended before the restart: who carries the call knows */
    tell_with_key(w, a_hold("old_1", "usr_1", ONE));
    assert_int_equal(figures(w).held_nano, 3 * ONE);
    assert_int_equal(admission_held(&w->a, slice_of("usr_1")), 3 * ONE);
}

static void it_counts_for_users_who_are_not_loaded_yet(void **state)
{
    struct world *w = *state;

    restart(w);
    tell(w, a_hold("early", "usr_1", USD - ONE)); /* before anything is known */
    admission_reset(&w->a);
    tell(w, a_hold("midway", "usr_1", ONE - 1)); /* while it is loaded */
    feed_all(w);
    tell(w, a_hold("nobody's", "usr_9", 5)); /* of somebody who does not exist any more */
    admission_applied(&w->a);
    assert_int_equal(admission_held(&w->a, slice_of("usr_1")), USD - 1);
    assert_int_equal(ask_new(w, 0, 1000), ST_NO_FUNDS);
    feed_settled(w, "early", "usr_1", USD, 0);
    assert_int_equal(ask_new(w, 0, 1000), ST_OK);
    feed_settled(w, "nobody's", "usr_9", 0, 0);
    feed_settled(w, "midway", "usr_1", USD, 0);
    feed_settled(w, "req_2", "usr_1", USD, 0);
    assert_int_equal(figures(w).held_nano, 0);
    assert_int_equal(admission_held(&w->a, slice_of("usr_1")), 0);
    assert_int_equal(admission_held(&w->a, slice_of("usr_9")), 0);
    load(w); /* and a further snapshot forgets whoever is in none */
    assert_int_equal(figures(w).users, 1);
}

static void somebody_unknown_may_not_call(void **state)
{
    struct world *w = *state;
    unsigned char digest[LIMIT_DIGEST];
    struct hold_state h = a_hold("old_1", "usr_9", 1);
    bool admin = false;

    restart(w);
    digest_of("other", digest);
    h.key_digest = (struct slice){(const char *)digest, sizeof(digest)};
    tell(w, h);
    load(w);
    assert_int_equal(ask(w, "r1", "other", (struct admit_req){.choices = 1}), ST_UNAUTHENTICATED);
    assert_non_null(strstr(w->err.text, "Incorrect API key"));
    assert_int_equal(admission_user(&w->a, slice_of("usr_9"), &admin, NULL), ST_UNAUTHENTICATED);
    assert_int_equal(figures(w).keys, 1);
}

/* As the snapshot says it. */
static void feed_hold(struct world *w, struct hold_state h, const char *secret)
{
    unsigned char digest[LIMIT_DIGEST];

    if (secret) {
        digest_of(secret, digest);
        h.key_digest = (struct slice){(const char *)digest, sizeof(digest)};
    }
    h.running = false;
    feed(w, &hold_state_desc, &h);
}

/* Its providersvc died with us, or comes later than anybody waits: the ledger knows. */
static void what_the_ledger_holds_is_held_before_anybody_asserts_it(void **state)
{
    struct world *w = *state;

    restart(w);
    admission_reset(&w->a);
    feed_hold(w, a_hold("long", "usr_1", USD - ONE), "secret"); /* its user and key come later */
    feed_hold(w, a_hold("other", "usr_9", 7), NULL);
    feed_all(w);
    admission_applied(&w->a);
    assert_int_equal(admission_held(&w->a, slice_of("usr_1")), USD - ONE);
    assert_int_equal(ask_new(w, 0, 1000), ST_OK);
    assert_int_equal(ask_new(w, 0, 1000), ST_NO_FUNDS);
    tell(w, a_hold("long", "usr_1", USD - ONE)); /* late, and nothing new */
    assert_int_equal(admission_held(&w->a, slice_of("usr_1")), USD);
    feed_settled(w, "long", "usr_1", ONE, 0); /* it used up all that it held */
    assert_int_equal(admission_held(&w->a, slice_of("usr_1")), ONE);
    assert_int_equal(ask_new(w, 0, 1000), ST_NO_FUNDS);
    feed_hold(w, a_hold("long", "usr_1", USD - ONE), "secret"); /* from a page that was read before it ended */
    feed_settled(w, "other", "usr_9", 0, 0);
    assert_int_equal(figures(w).holds, 1);
}

static void it_lasts_longer_than_the_ledgers_lease(void **state)
{
    struct world *w = *state;

    feed_hold(w, a_hold("long", "usr_1", ONE), "secret");
    w->now += DEADLINE + GRACE - 1;
    assert_int_equal(admission_expire(&w->a, w->now, 1000), 0);
    assert_int_equal(admission_expire(&w->a, w->now + 1, 1000), 1);
    assert_int_equal(figures(w).held_nano, 0);
}

/* The ledger knows the key and its budget, but not whether the call still runs: that the gateway says. */
static void it_counts_in_the_budget_and_takes_a_place_when_its_gateway_says_so(void **state)
{
    struct world *w = *state;
    struct api_key key = a_key("key_1", "usr_1");

    key.budget_nano = 3 * ONE;
    feed_key(w, "secret", &key);
    feed_plan(w, 0, 0, 1);
    feed_hold(w, a_hold("long", "usr_1", 2 * ONE), "secret");
    assert_int_equal(ask_new(w, 0, 1000), ST_OK); /* takes the place */
    assert_int_equal(ask_new(w, 0, 1000), ST_RATE_CONCURRENT);
    admission_done(&w->a, slice_of("req_1"));
    assert_int_equal(ask_new(w, 0, 1000), ST_NO_FUNDS); /* the place is free, the budget is not */
    tell_with_key(w, a_hold("long", "usr_1", 2 * ONE));
    tell_with_key(w, a_hold("long", "usr_1", 2 * ONE)); /* once */
    assert_int_equal(ask_new(w, 0, 1000), ST_RATE_CONCURRENT);
    admission_done(&w->a, slice_of("long"));
    tell_with_key(w, a_hold("long", "usr_1", 2 * ONE)); /* said before it ended, heard after */
    assert_int_equal(ask_new(w, 0, 1000), ST_NO_FUNDS);
    feed_settled(w, "long", "usr_1", USD, 0);
    assert_int_equal(ask_new(w, 0, 1000), ST_OK);
}

static void what_has_ended_stays_ended(void **state)
{
    struct world *w = *state;

    assert_int_equal(ask_new(w, 0, 1000), ST_OK);
    feed_settled(w, "req_1", "usr_1", USD, 0);
    tell(w, a_hold("req_1", "usr_1", ONE));
    feed_settled(w, "unseen", "usr_1", USD, 0); /* settled after our restart, asserted by who has yet to hear of it */
    tell(w, a_hold("unseen", "usr_1", ONE));
    feed_user(w, "usr_1", 0);
    assert_int_equal(ask(w, "refused", "secret", (struct admit_req){.choices = 1}), ST_NO_FUNDS);
    tell(w, a_hold("refused", "usr_1", ONE));
    assert_int_equal(figures(w).holds, 0);
    assert_int_equal(figures(w).held_nano, 0);
}

/* Asserted by somebody who had not heard of it, before a snapshot that shows its cost already. */
static void what_was_settled_before_the_load_ends(void **state)
{
    struct world *w = *state;

    restart(w);
    tell_with_key(w, a_hold("over", "usr_1", USD));
    load(w);
    assert_int_equal(ask_new(w, 0, 1), ST_NO_FUNDS);
    admission_settled_before(&w->a, &(struct settled){.request_id = slice_of("over")}, 1);
    admission_settled_before(&w->a, &(struct settled){.request_id = slice_of("also")}, 1);
    tell(w, a_hold("also", "usr_1", USD));
    tell(w, a_hold("over", "usr_1", USD));
    assert_int_equal(figures(w).held_nano, 0);
    assert_int_equal(ask_new(w, 0, 1), ST_OK);
    admission_settled_before(&w->a, &(struct settled){.request_id = slice_of("req_2")},
                             1); /* one of our own ends with its settlement only */
    assert_int_equal(figures(w).holds, 1);
}

static void places_at_once_are_taken_by_who_knows_the_key(void **state)
{
    struct world *w = *state;

    restart(w);
    tell_with_key(w, a_hold("early", "usr_1", 1)); /* before the key is loaded */
    load(w);
    feed_plan(w, 0, 0, 3);
    tell(w, a_hold("old_1", "usr_1", 1)); /* a providersvc does not know it */
    assert_int_equal(ask_new(w, 0, 1), ST_OK);
    assert_int_equal(ask_new(w, 0, 1), ST_OK);
    assert_int_equal(ask_new(w, 0, 1), ST_RATE_CONCURRENT);
    admission_done(&w->a, slice_of("early"));
    tell_with_key(w, a_hold("early", "usr_1", 1)); /* said before it ended: it stays ended */
    tell_with_key(w, a_hold("old_1", "usr_1", 1));
    assert_int_equal(ask_new(w, 0, 1), ST_RATE_CONCURRENT);
    admission_done(&w->a, slice_of("old_1"));
    assert_int_equal(ask_new(w, 0, 1), ST_OK);
    assert_int_equal(ask_new(w, 0, 1), ST_RATE_CONCURRENT);
}

static void leases_are_renewed_and_never_shortened(void **state)
{
    struct world *w = *state;
    struct hold_state kept = a_hold("kept", "usr_1", ONE), ended = a_hold("ended", "usr_1", ONE);

    kept.lease_ms = ended.lease_ms = 45000;
    ended.running = false; /* its end is known: no grace */
    tell(w, kept);
    tell(w, ended);
    assert_int_equal(ask_new(w, 0, 1000), ST_OK);
    w->now += 45000;
    assert_int_equal(admission_expire(&w->a, w->now, 100000), 1);
    assert_null(holds_find(&w->a.holds, slice_of("ended")));
    tell(w, kept);
    w->now += 45000 + GRACE - 1;
    tell(w, a_hold("req_1", "usr_1", ONE)); /* at its deadline and grace, minus nothing: renewed */
    assert_int_equal(admission_expire(&w->a, w->now, 100000), 0);
    w->now += 1;
    assert_int_equal(admission_expire(&w->a, w->now, 100000), 1);
    assert_null(holds_find(&w->a.holds, slice_of("kept")));
    kept.lease_ms = 1;
    kept.request_id = slice_of("req_1");
    tell(w, kept); /* shorter: means nothing */
    w->now += DEADLINE + GRACE - 2;
    assert_int_equal(admission_expire(&w->a, w->now, 100000), 0);
    w->now += 1;
    assert_int_equal(admission_expire(&w->a, w->now, 100000), 1);
    assert_int_equal(figures(w).held_nano, 0);
}

static void an_id_that_was_asserted_is_not_admitted_again(void **state)
{
    struct world *w = *state;

    tell_with_key(w, a_hold("old_1", "usr_1", ONE));
    assert_int_equal(ask(w, "old_1", "secret", (struct admit_req){.choices = 1}), ST_CONFLICT); /* at which price? */
    assert_int_equal(figures(w).holds, 1);
}

static void amounts_beyond_all_bounds_do_not_wrap(void **state)
{
    struct world *w = *state;
    unsigned i, refused = 0;

    for (i = 0; i < 100; i++) {
        char id[32];
        struct hold_state h;

        snprintf(id, sizeof(id), "vast_%u", i);
        h = a_hold(id, "usr_1", MONEY_NANO_MAX);
        refused += admission_assert(&w->a, w->now, &h) != ST_OK;
    }
    assert_true(admission_held(&w->a, slice_of("usr_1")) > 0);
    assert_true(MONEY_NANO_MAX < INT64_MAX / 100 || refused > 0);
    assert_int_equal(ask_new(w, 0, 1), ST_NO_FUNDS);
}

/* ---- growth -------------------------------------------------------------------------------------------------------
 */

static enum status extend(struct world *w, const char *id, int64_t to, int64_t *ret)
{
    struct hold_extend_req req = {.request_id = slice_of(id), .amount_nano = to};
    struct hold_extend_rep rep = {.amount_nano = -1};
    enum status st = admission_extend(&w->a, w->wall_s ? w->wall_s : WALL, &req, &rep, &w->err);

    *ret = rep.amount_nano;
    return st;
}

static void a_hold_grows_as_far_as_the_credit_bears(void **state)
{
    struct world *w = *state;
    struct user u;
    int64_t now = 0;

    feed_user(w, "usr_1", 3 * ONE);
    assert_int_equal(ask_new(w, 0, 1000), ST_OK);
    assert_int_equal(extend(w, "req_1", 2 * ONE, &now), ST_OK);
    assert_int_equal(now, 2 * ONE);
    assert_int_equal(extend(w, "req_1", ONE, &now), ST_OK); /* never smaller */
    assert_int_equal(now, 2 * ONE);
    assert_int_equal(extend(w, "req_1", 9 * ONE, &now), ST_OK);
    assert_int_equal(now, 3 * ONE);
    assert_int_equal(figures(w).held_nano, 3 * ONE);
    assert_int_equal(ask_new(w, 0, 1), ST_NO_FUNDS);
    assert_int_equal(extend(w, "nobody", ONE, &now), ST_NOT_FOUND);
    feed_settled(w, "req_1", "usr_1", ONE, 0);
    assert_int_equal(extend(w, "req_1", ONE, &now), ST_NOT_FOUND);
    assert_int_equal(figures(w).held_nano, 0);
    assert_int_equal(ask(w, "r2", "secret", (struct admit_req){.max_output_tokens = 10}), ST_OK);
    u = a_user("usr_1", ONE);
    u.status = slice_of("disabled");
    feed(w, &user_desc, &u);
    assert_int_equal(extend(w, "r2", ONE, &now), ST_OK);
    assert_int_equal(now, 10 * 10000);
}

/* ---- budgets of keys ----------------------------------------------------------------------------------------------
 */

static void feed_budget(struct world *w, int64_t budget)
{
    struct api_key key = a_key("key_1", "usr_1");

    key.budget_nano = budget;
    key.budget_period = slice_of("total");
    feed_key(w, "secret", &key);
}

static void a_hold_grows_as_far_as_the_budget_bears(void **state)
{
    struct world *w = *state;
    int64_t now = 0;

    feed_user(w, "usr_1", 100 * ONE);
    feed_budget(w, 3 * ONE);
    assert_int_equal(ask_new(w, 0, 1000), ST_OK);
    assert_int_equal(extend(w, "req_1", 9 * ONE, &now), ST_OK);
    assert_int_equal(now, 3 * ONE);
    assert_int_equal(ask_new(w, 0, 16), ST_NO_FUNDS);
    feed_settled(w, "req_1", "usr_1", 99 * ONE, 0);
    assert_int_equal(ask_new(w, 0, 1000), ST_OK);
}

static void what_is_asserted_counts_in_the_budget(void **state)
{
    struct world *w = *state;

    restart(w);
    tell_with_key(w, a_hold("old_1", "usr_1", ONE)); /* before anything is known */
    admission_reset(&w->a);
    tell_with_key(w, a_hold("old_2", "usr_1", ONE)); /* and while it is loaded */
    feed_all(w);
    feed_user(w, "usr_1", 100 * ONE);
    feed_budget(w, 4 * ONE);
    admission_applied(&w->a);
    tell(w, a_hold("old_3", "usr_1", ONE)); /* a providersvc knows no digest */
    tell_with_key(w, a_hold("old_3", "usr_1", ONE)); /* the gateway does */
    tell_with_key(w, a_hold("old_3", "usr_1", ONE)); /* again: nothing more */
    assert_int_equal(ask_new(w, 0, 1000), ST_OK);
    assert_int_equal(ask_new(w, 0, 16), ST_NO_FUNDS);
    feed_settled(w, "old_1", "usr_1", 99 * ONE, 0);
    assert_int_equal(ask_new(w, 0, 1000), ST_OK);
    feed_settled(w, "old_3", "usr_1", 98 * ONE, 0);
    feed_settled(w, "old_2", "usr_1", 97 * ONE, 0);
    assert_int_equal(ask_new(w, 0, 1000), ST_OK);
    assert_int_equal(ask_new(w, 0, 1000), ST_OK);
    assert_int_equal(ask_new(w, 0, 16), ST_NO_FUNDS);
}

static void a_list_shows_the_oldest(void **state)
{
    struct world *w = *state;
    struct admission_env env = {.now_ms = w->now, .wall_s = WALL, .arena = &w->arena};
    struct holds_list_req req = {.limit = 2};
    struct holds_list_rep rep = {.open = 0};
    const struct hold_state *items;

    tell_with_key(w, a_hold("old_1", "usr_1", 1));
    tell(w, a_hold("old_2", "usr_2", 2));
    tell(w, a_hold("old_3", "usr_1", 3));
    assert_int_equal(admission_holds(&w->a, &env, &req, &rep), ST_OK);
    assert_int_equal(rep.data.n, 2);
    assert_int_equal(rep.open, 3);
    assert_int_equal(rep.held_nano, 6);
    items = rep.data.items;
    assert_true(slice_is(items[0].request_id, "old_1") && slice_is(items[0].key_id, "key_1"));
    assert_true(items[0].running && !items[1].running);
    assert_int_equal(items[1].amount_nano, 2);
    assert_int_equal(items[1].lease_ms, DEADLINE + GRACE);
    req = (struct holds_list_req){.actor_id = slice_of("usr_1")};
    assert_int_equal(admission_holds(&w->a, &env, &req, &rep), ST_OK);
    assert_int_equal(rep.data.n, 2);
    items = rep.data.items;
    assert_true(slice_is(items[1].request_id, "old_3"));
}

/* ---- the window ---------------------------------------------------------------------------------------------------
 */

static void the_window_closes_when_all_has_been_said(void **state)
{
    static struct window w;

    (void)state;
    window_init(&w, true);
    assert_false(window_due(&w, 1000000, true)); /* nobody could reach us */
    window_begin(&w, 1000);
    window_heard(&w, slice_of("gateway:1"), true);
    assert_false(window_due(&w, 1000 + WINDOW_MS - 1, true)); /* others may have yet to come */
    assert_false(window_due(&w, 1000 + WINDOW_MS, true)); /* no providersvc has */
    window_heard(&w, slice_of("providersvc:1"), false);
    window_heard(&w, slice_of("providersvc:2"), true);
    assert_false(window_due(&w, 1000 + WINDOW_MS, true)); /* one has more to say */
    window_heard(&w, slice_of("providersvc:1"), false);
    window_heard(&w, slice_of("providersvc:1"), true);
    assert_false(window_due(&w, 1000 + WINDOW_MS, false)); /* the accounts are not loaded */
    assert_true(window_due(&w, 1000 + WINDOW_MS, true));
    window_heard(&w, slice_of("providersvc:3"), false);
    assert_false(window_due(&w, 1000 + WINDOW_MAX_MS - 1, true));
    window_late(&w, 1000 + WINDOW_MAX_MS - 1, false);
    assert_false(atomic_load(&w.late));
    window_late(&w, 1000 + WINDOW_MAX_MS, false); /* no accounts: calls are let through, to be refused … */
    assert_true(atomic_load(&w.late));
    assert_false(window_due(&w, 1000 + WINDOW_MAX_MS, false));
    window_late(&w, 1000 + WINDOW_MAX_MS, true); /* … until they are there */
    assert_false(atomic_load(&w.late));
    assert_true(window_due(&w, 1000 + WINDOW_MAX_MS, true)); /* not for ever */
    assert_int_equal(window_close(&w, ST_OK), 0);
    assert_false(window_due(&w, 1000 + WINDOW_MAX_MS, true));
    window_fini(&w);
    window_init(&w, false);
    assert_false(window_due(&w, 1000000, true));
    window_fini(&w);
}

static void more_peers_than_are_counted_are_not_waited_for(void **state)
{
    static struct window w;
    char name[32];
    unsigned i;

    (void)state;
    window_init(&w, true);
    window_begin(&w, 1000);
    for (i = 0; i < WINDOW_PEERS_MAX + 5; i++) {
        snprintf(name, sizeof(name), "providersvc:%u", i);
        window_heard(&w, slice_of(name), false);
    }
    assert_int_equal(w.n_peers, WINDOW_PEERS_MAX);
    for (i = 0; i < WINDOW_PEERS_MAX + 5; i++) {
        snprintf(name, sizeof(name), "providersvc:%u", i);
        window_heard(&w, slice_of(name), true);
    }
    assert_true(window_due(&w, 1000 + WINDOW_MS, true));
    window_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(what_is_asserted_is_not_spent_again),
        T(it_is_counted_once_however_often_it_is_said),
        T(it_counts_for_users_who_are_not_loaded_yet),
        T(somebody_unknown_may_not_call),
        T(what_the_ledger_holds_is_held_before_anybody_asserts_it),
        T(it_lasts_longer_than_the_ledgers_lease),
        T(it_counts_in_the_budget_and_takes_a_place_when_its_gateway_says_so),
        T(what_has_ended_stays_ended),
        T(what_was_settled_before_the_load_ends),
        T(places_at_once_are_taken_by_who_knows_the_key),
        T(leases_are_renewed_and_never_shortened),
        T(an_id_that_was_asserted_is_not_admitted_again),
        T(amounts_beyond_all_bounds_do_not_wrap),
        T(a_hold_grows_as_far_as_the_credit_bears),
        T(a_hold_grows_as_far_as_the_budget_bears),
        T(what_is_asserted_counts_in_the_budget),
        T(a_list_shows_the_oldest),
        cmocka_unit_test(the_window_closes_when_all_has_been_said),
        cmocka_unit_test(more_peers_than_are_counted_are_not_waited_for),
    };

    return cmocka_run_group_tests(tests, prepare, NULL);
}
