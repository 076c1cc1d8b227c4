#include "meterd/calls.h"

#include "meterd/budgets.h"
#include "meterd/hold_rows.h"
#include "meterd/ledger.h"
#include "meterd/objects.h"
#include "meterd/parked.h"
#include "meterd/payers.h"
#include "meterd/state.h"

#define STATUS_RUNNING "running"
#define STATUS_VOID "void"
#define STATUS_EXPIRED "expired"

struct call { /* one event on its way into the ledger */
    struct work *w;
    const struct usage_event *e;
    struct payer payer;
    struct hold_row hold;
    struct ledger_view view;
    struct ledger_command command;
    struct ledger_effect effect;
    uint64_t revision; /* of what is written */
    uint64_t row; /* revision of the call's row, when there was one */
    struct slice row_status;
};

/* What this changes in what the payer has paid for the call; below zero: he gets it back. */
static int64_t spent_now(const struct call *c)
{
    return c->effect.outcome == LEDGER_OPENED ? 0 : c->effect.taken_nano - c->view.taken_nano;
}

static int64_t balance_after(const struct call *c)
{
    return c->payer.available_nano + c->payer.held_nano + c->effect.posts.available_nano + c->effect.posts.held_nano;
}

/* ---- what is known -------------------------------------------------------------------------------------------------
 */

/* What the first event of a call said holds: a later one cannot make somebody else pay. */
static enum status same_payer(struct call *c, int64_t num)
{
    return num == c->payer.num ? ST_OK : payer_by_num(c->w, num, &c->payer);
}

static void view_payer(struct call *c)
{
    c->view.available_nano = c->payer.available_nano;
    c->view.held_nano = c->payer.held_nano;
}

static enum status view_hold(struct call *c)
{
    bool maybe = false;
    enum status st = hold_rows_maybe_open(c->w, c->e->request_id, &maybe);

    if (st == ST_OK && maybe)
        st = hold_rows_find(c->w, c->e->request_id, &c->hold);
    if (st != ST_OK || c->hold.state != CALL_OPEN)
        return st;
    st = same_payer(c, c->hold.user_num);
    view_payer(c);
    c->view.state = CALL_OPEN;
    c->view.hold_nano = c->hold.amount_nano;
    c->view.heard_nano = c->hold.cost_nano;
    c->view.heard_tokens = c->hold.tokens;
    return st;
}

/* The call's row, when it has ended before. */
static enum status view_row(struct call *c)
{
    sqlite3_stmt *q = NULL;
    int64_t payer = 0;
    enum status st = store_row(c->w->s, SQL_CALL_STATE, BINDS(B_S(c->e->request_id)), &q, c->w->err);

    if (q) {
        c->row = col_u64(q, 0);
        st = col_text(q, 1, c->w->a, &c->row_status, c->w->err);
        payer = col_i64(q, 2);
        c->view.taken_nano = col_i64(q, 3);
        c->view.overage_nano = col_i64(q, 4);
        c->view.refunded_nano = col_i64(q, 6);
        c->view.state = CALL_SETTLED;
        if (slice_is(c->row_status, STATUS_VOID) && col_i64(q, 5) == 0)
            c->view.state = CALL_VOIDED;
        if (slice_is(c->row_status, STATUS_EXPIRED) && col_i64(q, 5) == 0)
            c->view.state = CALL_EXPIRED;
    }
    store_reset(&q);
    if (st == ST_OK && c->row != 0)
        st = same_payer(c, payer);
    view_payer(c);
    return st;
}

static enum status price_event(struct work *w, const struct usage_event *e, int64_t *ret_nano)
{
    bool known = true;
    enum status st = pricing_cost(w->s, e, ret_nano, &known, w->err);

    w->s->counts.unpriced += !known;
    return st;
}

static enum status look(struct call *c)
{
    enum status st = payer_find(c->w, c->e->user_id, &c->payer);

    view_payer(c);
    if (st == ST_OK)
        st = view_hold(c);
    if (st == ST_OK && (c->command.verb == LEDGER_PROGRESS || c->command.verb == LEDGER_SETTLE))
        st = price_event(c->w, c->e, &c->command.cost_nano);
    return st;
}

static void decide(struct call *c)
{
    c->effect = ledger_step(&c->view, &c->command);
}

/* ---- what is written -----------------------------------------------------------------------------------------------
 */

static enum status post(struct call *c, const char *kind)
{
    const struct ledger_posts *p = &c->effect.posts;
    struct ledger_line lines[] = {
        {.account = c->payer.account, .amount_nano = p->available_nano, .spent_nano = spent_now(c)},
        {.account = c->payer.held_account, .amount_nano = p->held_nano},
        {.account = LEDGER_OVERAGE, .amount_nano = p->overage_nano},
        {.account = LEDGER_REVENUE, .amount_nano = p->revenue_nano},
    };

    return ledger_post(c->w, c->revision, kind, lines, sizeof(lines) / sizeof(lines[0]));
}

static enum status tell_settled(struct call *c)
{
    uint64_t tokens = c->e->prompt_tokens + c->e->completion_tokens;
    struct settled settled = {
        .request_id = c->e->request_id,
        .user_id = c->payer.known ? c->payer.user_id : c->e->user_id,
        .cost_nano = c->effect.taken_nano,
        .balance_nano = balance_after(c),
        .tokens = tokens > LIMIT_TOKENS ? LIMIT_TOKENS : tokens,
    };
    enum status st = budgets_spend(c->w, c->e->key_id, spent_now(c), &settled);

    if (st == ST_OK)
        st = changes_add(&c->w->s->changes, &settled_desc, &settled, c->revision, c->w->err);
    if (st == ST_OK && spent_now(c) < 0 && settled.key_digest.n > 0)
        st = budgets_tell(c->w, c->e->key_id);
    return st;
}

static enum status write_attempt(struct work *w, const struct usage_event *e, const struct usage_attempt *a)
{
    struct usage_event alone = {.model = e->model,
                                .endpoint = e->endpoint,
                                .price_percent = e->price_percent,
                                .price_id = a->price_id,
                                .prompt_tokens = a->prompt_tokens,
                                .cached_tokens = a->cached_tokens,
                                .cache_write_tokens = a->cache_write_tokens,
                                .cache_write_long_tokens = a->cache_write_long_tokens,
                                .completion_tokens = a->completion_tokens,
                                .reasoning_tokens = a->reasoning_tokens,
                                .audio_input_tokens = a->audio_input_tokens,
                                .audio_output_tokens = a->audio_output_tokens,
                                .image_input_tokens = a->image_input_tokens,
                                .image_output_tokens = a->image_output_tokens};
    int64_t cost = 0;
    enum status st = price_event(w, &alone, &cost);

    if (st != ST_OK)
        return st;
    return store_run(w->s, SQL_ATTEMPT_PUT,
                     BINDS(B_S(e->request_id), B_I(a->number), B_S(a->provider), B_S(a->upstream_model),
                           B_S(a->outcome), B_I(a->http_status), B_I(a->answered), B_I(a->prompt_tokens),
                           B_I(a->cached_tokens), B_I(a->cache_write_tokens), B_I(a->cache_write_long_tokens),
                           B_I(a->completion_tokens), B_I(a->reasoning_tokens), B_I(a->estimated), B_I(a->price_id),
                           B_I(cost), B_I(a->latency_ms), B_I(a->audio_input_tokens), B_I(a->audio_output_tokens),
                           B_I(a->image_input_tokens), B_I(a->image_output_tokens)),
                     w->err);
}

static enum status write_attempts(struct call *c)
{
    enum status st = ST_OK;
    size_t i;

    for (i = 0; i < c->e->attempt_log.n && st == ST_OK; i++)
        st = write_attempt(c->w, c->e, &c->e->attempt_log.items[i]);
    return st;
}

static enum status insert_row(struct call *c)
{
    const struct usage_event *e = c->e;
    struct bind user = c->payer.known ? B_I(c->payer.num) : B_NULL;

    return store_run(c->w->s, SQL_USAGE_INSERT,
                     BINDS(B_I(c->revision), B_S(e->request_id), user, B_S(e->key_id), B_S(e->model), B_S(e->provider),
                           B_S(e->upstream_model), B_S(e->endpoint), B_I(e->stream), B_S(e->status),
                           B_I(e->http_status), B_I(e->prompt_tokens), B_I(e->cached_tokens),
                           B_I(e->cache_write_tokens), B_I(e->cache_write_long_tokens), B_I(e->completion_tokens),
                           B_I(e->reasoning_tokens), B_I(e->estimated), B_I(e->price_id), B_I(c->effect.taken_nano),
                           B_I(c->effect.overage_nano), B_I(balance_after(c)), B_I(e->hold_nano), B_I(e->created_ms),
                           B_I(e->latency_ms), B_I(e->ttft_ms), B_I(e->attempts), B_I(e->audio_input_tokens),
                           B_I(e->audio_output_tokens), B_I(e->image_input_tokens), B_I(e->image_output_tokens),
                           B_I(e->price_percent)),
                     c->w->err);
}

static const char *end_kind(const struct call *c)
{
    if (c->hold.state != CALL_OPEN)
        return LEDGER_USAGE;
    if (c->effect.state == CALL_VOIDED)
        return LEDGER_HOLD_VOIDED;
    return c->effect.state == CALL_EXPIRED ? LEDGER_HOLD_EXPIRED : LEDGER_HOLD_SETTLED;
}

static void count_end(struct store *s, const struct call *c)
{
    s->counts.settled++;
    s->counts.strays += !c->payer.known;
    s->counts.expired += c->effect.state == CALL_EXPIRED;
    s->counts.cost_nano += c->effect.taken_nano;
    s->counts.overage_nano += c->effect.overage_nano;
}

/* The row is in place. */
static enum status write_end(struct call *c)
{
    struct work *w = c->w;
    enum status st = ST_OK;

    store_next_revision(w->s);
    if (!c->payer.known)
        st = store_run(w->s, SQL_STRAY_INSERT, BINDS(B_I(c->revision), B_S(c->e->user_id)), w->err);
    if (st == ST_OK)
        st = post(c, end_kind(c));
    if (st == ST_OK && c->hold.state == CALL_OPEN)
        st = hold_rows_end(w, &c->hold, c->e->request_id, c->effect.state, c->revision);
    if (st == ST_OK)
        st = write_attempts(c);
    if (st == ST_OK)
        st = objects_keep(w, c->e, c->payer.num);
    if (st == ST_OK)
        st = tell_settled(c);
    count_end(w->s, c);
    return st == ST_OK ? parked_end(w, c->e, c->payer.num) : st;
}

static enum status correct_row(struct call *c)
{
    const struct usage_event *e = c->e;

    return store_run(c->w->s, SQL_USAGE_CORRECT,
                     BINDS(B_I(c->row), B_S(e->provider), B_S(e->upstream_model), B_S(e->status), B_I(e->http_status),
                           B_I(e->prompt_tokens), B_I(e->cached_tokens), B_I(e->cache_write_tokens),
                           B_I(e->cache_write_long_tokens), B_I(e->completion_tokens), B_I(e->reasoning_tokens),
                           B_I(e->estimated), B_I(e->price_id), B_I(c->effect.taken_nano), B_I(c->effect.overage_nano),
                           B_I(e->latency_ms), B_I(e->ttft_ms), B_I(e->attempts), B_I(e->audio_input_tokens),
                           B_I(e->audio_output_tokens), B_I(e->image_input_tokens), B_I(e->image_output_tokens),
                           B_I(e->price_percent)),
                     c->w->err);
}

/* The row stays where it is in the log of changes; the correction is a change of its own behind it. */
static enum status write_correction(struct call *c)
{
    int64_t taken = c->effect.taken_nano - c->view.taken_nano;
    int64_t overage = c->effect.overage_nano - c->view.overage_nano;
    struct store *s = c->w->s;
    enum status st;

    c->revision = store_next_revision(s);
    st = store_run(s, SQL_CORRECTION_INSERT,
                   BINDS(B_I(c->revision), B_I(c->row), B_S(c->row_status), B_I(taken), B_I(overage),
                         B_I(balance_after(c)), B_I(s->now_ms)),
                   c->w->err);
    if (st == ST_OK)
        st = correct_row(c);
    if (st == ST_OK)
        st = post(c, LEDGER_LATE);
    if (st == ST_OK)
        st = write_attempts(c);
    if (st == ST_OK)
        st = objects_keep(c->w, c->e, c->payer.num);
    if (st == ST_OK)
        st = tell_settled(c);
    s->counts.corrected++;
    s->counts.cost_nano += taken > 0 ? taken : 0;
    s->counts.overage_nano += overage > 0 ? overage : 0;
    return st == ST_OK ? parked_end(c->w, c->e, c->payer.num) : st;
}

/* ---- progress ------------------------------------------------------------------------------------------------------
 */

static enum status write_hold(struct call *c)
{
    struct work *w = c->w;
    enum status st = ST_OK;

    c->revision = store_next_revision(w->s);
    c->hold = (struct hold_row){.revision = c->revision,
                                .user_num = c->payer.num,
                                .amount_nano = c->effect.hold_nano,
                                .cost_nano = c->effect.heard_nano,
                                .tokens = c->effect.heard_tokens};
    if (c->effect.hold_nano > 0)
        st = payer_need_held(w, &c->payer);
    if (st == ST_OK)
        st = post(c, LEDGER_HOLD);
    w->s->counts.holds++;
    return st == ST_OK ? hold_rows_open(w, c->e, &c->hold) : st;
}

static enum status keep_parked(struct call *c)
{
    enum status st = objects_keep(c->w, c->e, c->payer.num);

    if (st == ST_OK)
        st = parked_keep(c->w, c->e, c->payer.num);
    return st == ST_OK ? parked_end(c->w, c->e, c->payer.num) : st; /* what was over when it was made */
}

/* What the call made will say what it uses. authsvc hears that its credit stays held. */
static enum status park(struct call *c)
{
    struct work *w = c->w;
    uint64_t revision = store_next_revision(w->s);
    enum status st = hold_rows_park(w, &c->hold, revision);

    if (st == ST_OK && c->payer.known && c->hold.amount_nano > 0)
        st = state_changed(w, &hold_state_desc, revision);
    return st == ST_OK ? keep_parked(c) : st;
}

static enum status apply_progress(struct call *c)
{
    enum status st = c->view.state == CALL_NEW ? view_row(c) : ST_OK;

    if (st != ST_OK)
        return st;
    decide(c);
    if (c->effect.outcome == LEDGER_OPENED) {
        st = write_hold(c);
    } else if (c->effect.outcome == LEDGER_RENEWED) {
        c->hold.cost_nano = c->effect.heard_nano;
        c->hold.tokens = c->effect.heard_tokens;
        st = hold_rows_renew(c->w, c->e, &c->hold, c->effect.newer);
    } else if (c->e->parked && (c->view.state == CALL_VOIDED || c->view.state == CALL_EXPIRED)) {
        /* It was given up too early: what it made is the user's, and its end corrects the bill. */
        return keep_parked(c);
    } else {
        c->w->s->counts.duplicates++;
        return ST_OK;
    }
    return st == ST_OK && c->e->parked ? park(c) : st;
}

/* ---- ends ----------------------------------------------------------------------------------------------------------
 */

/* Almost every call is a new one, so its row is written first: only when there is one already it is looked at. */
static enum status apply_end(struct call *c)
{
    enum status st = ST_OK;

    decide(c);
    if (c->effect.outcome == LEDGER_ENDED) {
        c->revision = c->w->s->revision + 1;
        st = insert_row(c);
        if (st == ST_OK && store_changed(c->w->s) == 1)
            return write_end(c);
        if (st == ST_OK)
            st = view_row(c);
        decide(c);
    }
    if (st != ST_OK)
        return st;
    if (c->effect.outcome == LEDGER_CORRECTED)
        return write_correction(c);
    c->w->s->counts.duplicates++;
    return ST_OK;
}

static enum ledger_verb verb_of(const struct usage_event *e)
{
    if (slice_is(e->status, STATUS_RUNNING))
        return LEDGER_PROGRESS;
    return slice_is(e->status, STATUS_VOID) ? LEDGER_VOID : LEDGER_SETTLE;
}

enum status calls_apply(struct work *w, const struct usage_event *e)
{
    struct call c = {.w = w, .e = e};
    enum status st;

    c.command = (struct ledger_command){
        .verb = verb_of(e), .amount_nano = e->hold_nano, .tokens = e->prompt_tokens + e->completion_tokens};
    st = look(&c);
    if (st != ST_OK)
        return st;
    return c.command.verb == LEDGER_PROGRESS ? apply_progress(&c) : apply_end(&c);
}

static enum status expire_one(struct work *w, struct usage_event *e)
{
    struct call c = {.w = w, .e = e, .command = {.verb = LEDGER_EXPIRE}};
    enum status st = look(&c);

    e->status = slice_of(STATUS_EXPIRED);
    e->estimated = true;
    return st == ST_OK ? apply_end(&c) : st;
}

enum status calls_expire(struct work *w, uint64_t clock_ms, size_t *ret_n)
{
    struct usage_event *events = arena_alloc(w->a, CALLS_EXPIRE_MAX * sizeof(*events));
    enum status st;
    size_t i, n = 0;

    *ret_n = 0;
    if (!events)
        return err_set(w->err, ST_NO_MEMORY, "no memory for calls that expire");
    st = hold_rows_due(w, clock_ms, CALLS_EXPIRE_MAX, events, &n);
    for (i = 0; i < n && st == ST_OK; i++)
        st = expire_one(w, &events[i]);
    *ret_n = n;
    return st;
}
