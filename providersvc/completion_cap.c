/*
 * The cap: a stream never owes more than is held for it. Before its cost gets there a larger hold is asked for; where
 * the credit does not bear that, the answer ends as if it had reached its output limit: finish_reason "length", usage
 * if it was asked for, a comment that says why, the closing event. Its status is `ok`, its tokens are estimated, its
 * attempt is `cancelled`, because it was we who stopped upstream.
 */
#include <stdlib.h>

#include "proto/tariff.h"
#include "providersvc/adapter.h"
#include "providersvc/completion_private.h"
#include "providersvc/providersvc.h"

#define CAP_NEAR 8 /* with less than this part of the hold left more is asked for */
#define CAP_MORE 2 /* by this part of it, or … */
#define CAP_MORE_TOKENS 1024 /* … by what so much output costs: whichever is more */
#define CAP_OUTPUT_MAX UINT64_C(1000000) /* tokens: no single answer is longer */
#define CAP_LOST_MAX 3 /* questions in a row that are asked again at once because they were lost; then it is a no */

static const struct price *price_of(const struct completion *c)
{
    return c->route->price.n > 0 ? c->route->price.items : NULL;
}

/* At the pinned price; the bill itself is meterd's. What is beyond all bounds costs more than any hold bears. */
static int64_t cost_nano(const struct completion *c, const struct usage *u)
{
    struct token_prices prices = tariff_prices(price_of(c));
    struct usage_event ev = {.price_percent = bill_percent(c)};
    struct token_counts tokens;
    int64_t nano = 0;

    bill_put_usage(&ev, u);
    tokens = tariff_event(&ev);
    return money_cost(&prices, &tokens, &nano, NULL) == ST_OK ? nano : MONEY_NANO_MAX;
}

static int64_t cost_with(const struct completion *c, const struct tally *more)
{
    struct tally text = {c->text.ascii + more->ascii, c->text.other + more->other};
    struct usage u = c->usage;
    uint64_t counted = tally_tokens(&text);

    if (!u.known)
        u = (struct usage){.prompt = c->req->prompt_tokens_held};
    (void)completion_fill(c, &u);
    if (counted > u.completion)
        u.completion = counted;
    return cost_nano(c, &u);
}

uint64_t cap_output(const struct completion *c)
{
    uint64_t low = 0, high = c->cap.hold_nano > 0 && price_of(c) != NULL ? CAP_OUTPUT_MAX : 0;

    while (low < high) {
        uint64_t middle = (low + high + 1) / 2;
        struct usage u = {.prompt = c->req->prompt_tokens_estimate, .completion = middle};

        if (cost_nano(c, &u) <= c->cap.hold_nano)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

/* ---- asking for more -----------------------------------------------------------------------------------------------
 */

/* A question outlives its call when need be. */
struct question {
    struct loop *loop;
    uint64_t tag;
};

static void on_answer(void *ctx, enum status st, struct slice payload)
{
    struct question *q = ctx;
    struct hold_extend_rep rep = {.amount_nano = 0};

    st = call_result(st, payload, &hold_extend_rep_desc, &rep, NULL, NULL, NULL);
    if (st == ST_PEER_LOST || st == ST_DRAINING)
        rep.amount_nano = COMPLETION_GRANT_LOST;
    else if (st != ST_OK)
        rep.amount_nano = 0;
    loop_granted(q->loop, q->tag, rep.amount_nano);
    free(q);
}

static const struct xchg_events answer_events = {.end = on_answer};

static int64_t wanted(const struct completion *c)
{
    struct usage some = {.completion = CAP_MORE_TOKENS};
    int64_t tokens = cost_nano(c, &some), part = c->cap.hold_nano / CAP_MORE, sum = 0;

    if (!money_add(c->cap.hold_nano, tokens > part ? tokens : part, &sum) || sum > MONEY_NANO_MAX)
        return MONEY_NANO_MAX;
    return sum;
}

/* At once after a yes; after a no only when some time has passed: credit may have come. */
static bool may_ask(const struct completion *c)
{
    const struct cap *cap = &c->cap;

    return !cap->asking && !c->left && (!cap->refused || c->loop->now_ms - cap->asked_ms >= COMPLETION_ASK_MS);
}

static void ask(struct completion *c)
{
    struct hold_extend_req req = {.request_id = c->req->request_id, .amount_nano = wanted(c)};
    struct question *q = malloc(sizeof(*q));
    struct xchg_open open = {.deadline_ms = COMPLETION_ASK_MS, .events = &answer_events, .ctx = q};
    struct xchg_id id;

    c->cap.asked_ms = c->loop->now_ms;
    c->cap.asked_nano = req.amount_nano;
    c->cap.refused = true; /* until we hear otherwise */
    if (q == NULL)
        return;
    *q = (struct question){c->loop, c->tag};
    loop_asks(c->loop);
    c->cap.asking = true;
    if (call_open(svc_peer(c->loop->self->svc, SVC_AUTHSVC), &hold_extend_req_desc, &req, &open, &id, NULL) != ST_OK)
        on_answer(q, ST_UNAVAILABLE, (struct slice){NULL, 0});
}

void completion_granted(struct completion *c, int64_t amount_nano)
{
    struct cap *cap = &c->cap;
    bool waited = cap->waiting, lost = amount_nano == COMPLETION_GRANT_LOST && cap->lost < CAP_LOST_MAX;

    cap->asking = false;
    cap->lost = lost ? cap->lost + 1 : 0;
    cap->refused = !lost && amount_nano < cap->asked_nano;
    if (lost && waited && c->running && may_ask(c))
        ask(c);
    if (cap->asking)
        return;
    cap->waiting = false;
    if (amount_nano > cap->hold_nano)
        cap->hold_nano = amount_nano;
    if (!waited || !c->running)
        return;
    c->starved = false;
    c->adapter->resume(c);
}

/* ---- the cap -------------------------------------------------------------------------------------------------------
 */

enum bearing completion_bears(struct completion *c, const struct tally *more)
{
    struct cap *cap = &c->cap;
    int64_t cost;

    if (cap->hold_nano <= 0 || price_of(c) == NULL)
        return CAP_BEARS;
    cost = cost_with(c, more);
    if (cost <= cap->hold_nano - cap->hold_nano / CAP_NEAR)
        return CAP_BEARS;
    if (may_ask(c))
        ask(c);
    if (cost <= cap->hold_nano)
        return CAP_BEARS;
    if (!cap->asking)
        return CAP_REACHED;
    cap->waiting = true;
    completion_quiet_off(c); /* it is we who wait */
    return CAP_ASKS;
}

void completion_capped(struct completion *c)
{
    log_event(svc_log(c->loop->self->svc), LOG_INFO, c->req->request_id, "credit_reached",
              LOG_C("provider", c->upstream->name), LOG_N("hold_nano", (uint64_t)c->cap.hold_nano));
    metric_add(c->loop->self->capped, 1);
    c->cap.reached = true;
    completion_count(c, ATTEMPT_CANCELLED);
    completion_end(c, OUTCOME_OK, ST_OK);
}

enum status completion_tell_limit(struct completion *c, uint64_t tokens)
{
    char line[128];
    int n = snprintf(line, sizeof(line), ": the answer was limited to %llu tokens by the account's credit\n\n",
                     (unsigned long long)tokens);

    return completion_write(c, (struct slice){line, (size_t)n});
}
