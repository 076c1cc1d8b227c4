/* The ledger's decision, exhaustively: every order and repetition of what may be said of a call ends it once, at its
 * truth, with accounts that never go below zero and always sum to zero. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "meterd/ledger_step.h"

#define HOLD 1000
#define HEARD 300
#define HEARD_MORE 400
#define TRUTH 700

struct world { /* one user, one call */
    struct ledger_view view;
    struct ledger_posts sum; /* of all that was posted; available and held are in the view */
    int ends, corrections;
};

static int64_t total(const struct ledger_posts *p)
{
    return p->available_nano + p->held_nano + p->revenue_nano + p->overage_nano + p->grants_nano;
}

static void check_bill(const struct ledger_effect *e)
{
    assert_true(e->taken_nano >= 0);
    assert_true(e->overage_nano >= 0);
}

static struct ledger_effect step(struct world *w, struct ledger_command c)
{
    struct ledger_effect e = ledger_step(&w->view, &c);

    assert_int_equal(total(&e.posts), 0);
    check_bill(&e);
    if (e.outcome == LEDGER_NOTHING || e.outcome == LEDGER_REFUSED) {
        assert_int_equal(e.posts.available_nano, 0);
        assert_int_equal(e.posts.revenue_nano, 0);
        assert_int_equal(e.posts.held_nano, 0);
        assert_int_equal(e.state, w->view.state);
    }
    w->ends += e.outcome == LEDGER_ENDED;
    w->corrections += e.outcome == LEDGER_CORRECTED;
    w->view.available_nano += e.posts.available_nano;
    w->view.held_nano += e.posts.held_nano;
    w->sum.revenue_nano += e.posts.revenue_nano;
    w->sum.overage_nano += e.posts.overage_nano;
    w->sum.grants_nano += e.posts.grants_nano;
    w->view.state = e.state;
    w->view.hold_nano = e.hold_nano;
    w->view.heard_nano = e.heard_nano;
    w->view.heard_tokens = e.heard_tokens;
    w->view.taken_nano = e.taken_nano;
    w->view.overage_nano = e.overage_nano;
    assert_true(w->view.available_nano >= 0);
    assert_true(w->view.held_nano >= 0);
    assert_int_equal(w->sum.revenue_nano, e.taken_nano + e.overage_nano);
    assert_int_equal(w->sum.overage_nano, -e.overage_nano);
    assert_true(w->ends <= 1);
    assert_true(w->corrections <= w->ends);
    return e;
}

static const struct ledger_command progress = {LEDGER_PROGRESS, HOLD, HEARD, 30};
static const struct ledger_command progress_more = {LEDGER_PROGRESS, HOLD, HEARD_MORE, 40};
static const struct ledger_command settle = {LEDGER_SETTLE, 0, TRUTH, 0};
static const struct ledger_command make_void = {LEDGER_VOID, 0, 0, 0};
static const struct ledger_command expire = {LEDGER_EXPIRE, 0, 0, 0};

static struct ledger_command command_of(char c)
{
    switch (c) {
    case 'p': return progress;
    case 'P': return progress_more;
    case 's': return settle;
    case 'v': return make_void;
    default: return expire;
    }
}

static struct world world_with(int64_t credit)
{
    return (struct world){.view = {.available_nano = credit}};
}

/* ---- every order ---------------------------------------------------------------------------------------------------
 */

struct order {
    const char *text;
    enum call_state state;
    int64_t bill;
    int corrections;
};

/* The 24 orders of all four: the settlement always wins. 0 or 1 corrections: was there another end before it? */
static const struct order orders[] = {
    {"psve", CALL_SETTLED, TRUTH, 0},
    {"psev", CALL_SETTLED, TRUTH, 0},
    {"pvse", CALL_SETTLED, TRUTH, 0},
    {"pves", CALL_SETTLED, TRUTH, 1},
    {"pesv", CALL_SETTLED, TRUTH, 1},
    {"pevs", CALL_SETTLED, TRUTH, 1},
    {"spve", CALL_SETTLED, TRUTH, 0},
    {"spev", CALL_SETTLED, TRUTH, 0},
    {"svpe", CALL_SETTLED, TRUTH, 0},
    {"svep", CALL_SETTLED, TRUTH, 0},
    {"sepv", CALL_SETTLED, TRUTH, 0},
    {"sevp", CALL_SETTLED, TRUTH, 0},
    {"vpse", CALL_SETTLED, TRUTH, 1},
    {"vpes", CALL_SETTLED, TRUTH, 1},
    {"vspe", CALL_SETTLED, TRUTH, 1},
    {"vsep", CALL_SETTLED, TRUTH, 1},
    {"veps", CALL_SETTLED, TRUTH, 1},
    {"vesp", CALL_SETTLED, TRUTH, 1},
    {"epsv", CALL_SETTLED, TRUTH, 0},
    {"epvs", CALL_SETTLED, TRUTH, 0},
    {"espv", CALL_SETTLED, TRUTH, 0},
    {"esvp", CALL_SETTLED, TRUTH, 0},
    {"evps", CALL_SETTLED, TRUTH, 1},
    {"evsp", CALL_SETTLED, TRUTH, 1},
    /* and without a settlement: a void does not end what has cost something, an expiry only what is open */
    {"pve", CALL_EXPIRED, HEARD, 0},
    {"pev", CALL_EXPIRED, HEARD, 0},
    {"vpe", CALL_VOIDED, 0, 0},
    {"vep", CALL_VOIDED, 0, 0},
    {"epv", CALL_OPEN, 0, 0},
    {"evp", CALL_VOIDED, 0, 0},
};

static void every_order_ends_at_the_truth(void **state)
{
    size_t i, k;

    (void)state;
    for (i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
        struct world w = world_with(10 * HOLD);

        for (k = 0; orders[i].text[k]; k++)
            step(&w, command_of(orders[i].text[k]));
        if (w.view.state != orders[i].state || w.sum.revenue_nano != orders[i].bill ||
            w.corrections != orders[i].corrections)
            fail_msg("%s: state %d, bill %lld, %d corrections", orders[i].text, (int)w.view.state,
                     (long long)w.sum.revenue_nano, w.corrections);
        if (w.view.state != CALL_OPEN)
            assert_int_equal(w.view.held_nano, 0);
        assert_int_equal(w.view.available_nano + w.view.held_nano, 10 * HOLD - orders[i].bill);
    }
}

/* What any sequence must come to, told without the machine: the first settlement if there is one; else what was heard
 * before the expiry, unless a void came before all progress. */
static int64_t bill_of(const char *text)
{
    int64_t heard = 0;
    bool open = false;

    if (strchr(text, 's'))
        return TRUTH;
    for (; *text; text++) {
        if (*text == 'v' && !open)
            return 0;
        if (*text == 'e' && open)
            return heard;
        if (*text == 'p' || *text == 'P') {
            open = true;
            heard = *text == 'P' || heard == HEARD_MORE ? HEARD_MORE : HEARD;
        }
    }
    return 0;
}

static void run_sequence(const char *text, int64_t credit)
{
    struct world w = world_with(credit);
    int64_t bill = bill_of(text);
    size_t k;

    for (k = 0; text[k]; k++)
        step(&w, command_of(text[k]));
    if (w.sum.revenue_nano != bill)
        fail_msg("%s with credit %lld: bill %lld, not %lld", text, (long long)credit, (long long)w.sum.revenue_nano,
                 (long long)bill);
    if (strchr(text, 's'))
        assert_int_equal(w.view.state, CALL_SETTLED);
    assert_int_equal(w.view.available_nano + w.view.held_nano, credit - w.view.taken_nano);
    /* All of it while credit lasts, whatever the way there. */
    if (w.view.state != CALL_OPEN && w.view.state != CALL_NEW)
        assert_int_equal(w.view.taken_nano, bill < credit ? bill : credit);
}

static void every_sequence_of_seven(void **state)
{
    static const char letters[] = "pPsve";
    static const int64_t credits[] = {0, 1, HEARD, HEARD_MORE - 1, TRUTH - 1, TRUTH, HOLD, 5 * HOLD};
    char text[8] = "";
    size_t i, k, n;

    (void)state;
    for (n = 0; n < 5 * 5 * 5 * 5 * 5 * 5 * 5; n++) {
        size_t rest = n;

        for (k = 0; k < 7; k++, rest /= 5)
            text[k] = letters[rest % 5];
        for (i = 0; i < sizeof(credits) / sizeof(credits[0]); i++)
            run_sequence(text, credits[i]);
    }
}

/* ---- amounts -------------------------------------------------------------------------------------------------------
 */

static void a_hold_takes_no_more_than_is_available(void **state)
{
    struct world w = world_with(HOLD - 1);

    (void)state;
    step(&w, progress);
    assert_int_equal(w.view.hold_nano, HOLD - 1);
    assert_int_equal(w.view.available_nano, 0);
    step(&w, progress);
    assert_int_equal(w.view.held_nano, HOLD - 1);
}

static void cost_above_the_hold_is_taken_from_what_is_available_then_from_the_operator(void **state)
{
    struct world w = world_with(HOLD + 50);

    (void)state;
    step(&w, progress);
    w.view.held_nano += 7777; /* another call's: not this one's to take */
    step(&w, (struct ledger_command){LEDGER_SETTLE, 0, HOLD + 200, 0});
    assert_int_equal(w.view.taken_nano, HOLD + 50);
    assert_int_equal(w.view.overage_nano, 150);
    assert_int_equal(w.view.available_nano, 0);
    assert_int_equal(w.view.held_nano, 7777);
}

static void progress_never_goes_backwards(void **state)
{
    struct world w = world_with(10 * HOLD);
    struct ledger_effect e;

    (void)state;
    step(&w, progress_more);
    e = step(&w, progress);
    assert_int_equal(e.outcome, LEDGER_RENEWED);
    assert_false(e.newer);
    assert_int_equal(w.view.heard_nano, HEARD_MORE);
    e = step(&w, (struct ledger_command){LEDGER_PROGRESS, 1, HEARD_MORE, 41});
    assert_true(e.newer);
    assert_int_equal(w.view.hold_nano, HOLD);
    step(&w, expire);
    assert_int_equal(w.view.taken_nano, HEARD_MORE);
}

/* Late usage: the difference, in both directions; what the operator bore goes first. */
static void a_correction_posts_the_difference(void **state)
{
    struct world w = world_with(HEARD - 100);

    (void)state;
    step(&w, progress);
    step(&w, expire);
    assert_int_equal(w.view.taken_nano, HEARD - 100);
    assert_int_equal(w.view.overage_nano, 100);
    w.view.available_nano = 150; /* credit that came since */
    step(&w, settle);
    assert_int_equal(w.view.taken_nano, HEARD - 100 + 150);
    assert_int_equal(w.view.overage_nano, TRUTH - (HEARD + 50));

    w = world_with(HEARD - 100);
    step(&w, progress);
    step(&w, expire);
    step(&w, (struct ledger_command){LEDGER_SETTLE, 0, HEARD - 60, 0});
    assert_int_equal(w.view.taken_nano, HEARD - 100);
    assert_int_equal(w.view.overage_nano, 40);

    w = world_with(HEARD - 100);
    step(&w, progress);
    step(&w, expire);
    step(&w, (struct ledger_command){LEDGER_SETTLE, 0, 5, 0});
    assert_int_equal(w.view.taken_nano, 5);
    assert_int_equal(w.view.overage_nano, 0);
    assert_int_equal(w.view.available_nano, HEARD - 105);
}

/* A call was billed with overage, and of what its user paid so much was refunded. */
static struct world refunded_world(int64_t refunded)
{
    struct world w = world_with(HEARD - 100);

    step(&w, progress);
    step(&w, expire);
    assert_int_equal(w.view.taken_nano, HEARD - 100);
    w.view.refunded_nano = refunded;
    w.view.available_nano = refunded;
    return w;
}

static void what_was_refunded_is_not_given_back_again(void **state)
{
    static const struct {
        int64_t refunded, truth, taken, overage, available;
    } cases[] = {
        {HEARD - 100, 5, HEARD - 100, 0, HEARD - 100}, /* all that was paid: the operator's part is all that goes */
        {HEARD - 100, 0, HEARD - 100, 0, HEARD - 100},
        {150, 5, 150, 0, HEARD - 100},
        {150, 160, 160, 0, HEARD - 110},
        {150, HEARD - 60, HEARD - 100, 40, 150}, /* less overage, nothing of the user's */
        {150, HEARD, HEARD - 100, 100, 150},
        {150, TRUTH, HEARD + 50, TRUTH - HEARD - 50, 0}, /* more: what was refunded pays, too */
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world w = refunded_world(cases[i].refunded);

        step(&w, (struct ledger_command){LEDGER_SETTLE, 0, cases[i].truth, 0});
        assert_int_equal(w.view.state, CALL_SETTLED);
        assert_int_equal(w.view.taken_nano, cases[i].taken);
        assert_int_equal(w.view.overage_nano, cases[i].overage);
        assert_int_equal(w.view.available_nano, cases[i].available);
    }
}

static void a_void_ends_a_hold_that_has_cost_nothing(void **state)
{
    struct world w = world_with(HOLD);

    (void)state;
    step(&w, (struct ledger_command){LEDGER_PROGRESS, HOLD, 0, 0});
    step(&w, make_void);
    assert_int_equal(w.view.state, CALL_VOIDED);
    assert_int_equal(w.view.available_nano, HOLD);
    step(&w, settle);
    assert_int_equal(w.view.state, CALL_SETTLED);
    assert_int_equal(w.view.taken_nano, TRUTH);
}

static void credit_is_taken_back_only_as_far_as_it_is_available(void **state)
{
    struct world w = world_with(HOLD + 100);

    (void)state;
    step(&w, progress);
    assert_int_equal(step(&w, (struct ledger_command){LEDGER_GIVE, -101, 0, 0}).outcome, LEDGER_REFUSED);
    assert_int_equal(step(&w, (struct ledger_command){LEDGER_GIVE, -100, 0, 0}).outcome, LEDGER_GIVEN);
    assert_int_equal(w.view.available_nano, 0);
    assert_int_equal(step(&w, (struct ledger_command){LEDGER_GIVE, 5, 0, 0}).outcome, LEDGER_GIVEN);
    assert_int_equal(w.sum.grants_nano, 95);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_order_ends_at_the_truth),
        cmocka_unit_test(every_sequence_of_seven),
        cmocka_unit_test(a_hold_takes_no_more_than_is_available),
        cmocka_unit_test(cost_above_the_hold_is_taken_from_what_is_available_then_from_the_operator),
        cmocka_unit_test(progress_never_goes_backwards),
        cmocka_unit_test(a_correction_posts_the_difference),
        cmocka_unit_test(what_was_refunded_is_not_given_back_again),
        cmocka_unit_test(a_void_ends_a_hold_that_has_cost_nothing),
        cmocka_unit_test(credit_is_taken_back_only_as_far_as_it_is_available),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
