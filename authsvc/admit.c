/* The decision itself: steps that only look, and one that takes. */
#include <stdio.h>
#include <string.h>

#include "authsvc/admission_private.h"
#include "proto/endpoints.h"
#include "proto/tariff.h"

#define LIMITS_ALL_PRESENT UINT64_C(0x7e) /* bits of tags 1..6 */
#define TEXT_MODEL_MAX 200
#define CONTEXT_TEXT_MAX 256

enum { TAG_MAX_INPUT = 10, TAG_MAX_OUTPUT = 11 }; /* of struct admit_req (proto/fields_authsvc.h) */

/* Endpoints whose calls need name no model: they are about objects, or not ours to understand. */
static const char *const without_model[] = {
    ENDPOINT_RESPONSES_OBJECT, ENDPOINT_FILES, ENDPOINT_FILES_OBJECT, ENDPOINT_BATCHES_OBJECT, ENDPOINT_OTHER,
};

struct decision {
    struct caller caller;
    struct model_routes routes;
    uint64_t longest[LIMIT_ROUTES]; /* output of one choice by each route at most */
    bool free; /* no price, no hold, no tokens of a minute */
    uint64_t batch_percent, tier_percent; /* of the prices; 0 = all of them */
    uint64_t rpm, tpm, concurrency; /* 0 = unlimited */
    const struct batch_worth *batch; /* of the file that a batch is to be made of; NULL = it is to be none */
    uint64_t input; /* of all routes at most; of a batch all there is */
    uint64_t choices, output; /* output of one choice at most, by any route; of a batch all there is */
    uint64_t output_limit; /* to send upstream; 0 = none: the credit bears the longest answer */
    uint64_t tokens; /* to reserve of TPM */
    int64_t amount_nano;
};

/* For a text. */
static struct slice subject(const struct admit_req *req)
{
    struct slice s = req->model.n ? req->model : req->endpoint;

    return (struct slice){s.p, s.n > TEXT_MODEL_MAX ? TEXT_MODEL_MAX : s.n};
}

static uint64_t stricter(uint64_t key, uint64_t plan)
{
    if (key == 0 || plan == 0)
        return key ? key : plan;
    return key < plan ? key : plan;
}

/* ---- rates --------------------------------------------------------------------------------------------------------
 */

void admission_limits(const struct bucket *requests, const struct bucket *tokens, uint64_t rpm, uint64_t tpm,
                      struct rate_limits *limits)
{
    if (!limits)
        return;
    memset(limits, 0, sizeof(*limits));
    limits->has = LIMITS_ALL_PRESENT;
    if (rpm) {
        limits->limit_requests = rpm;
        limits->remaining_requests = bucket_remaining(requests);
        limits->reset_requests_ms = bucket_wait_ms(requests, rpm);
    }
    if (tpm) {
        limits->limit_tokens = tpm;
        limits->remaining_tokens = bucket_remaining(tokens);
        limits->reset_tokens_ms = bucket_wait_ms(tokens, tpm);
    }
}

static void fill_limits(const struct decision *d, struct rate_limits *limits)
{
    admission_limits(&d->caller.key->requests, &d->caller.key->tokens, d->rpm, d->tpm, limits);
}

static enum status wait(struct err *err, enum status st, uint64_t ms)
{
    if (err)
        err->retry_after_ms = ms;
    return st;
}

static enum status check_requests(const struct decision *d, struct slice model, struct err *err)
{
    const struct bucket *b = &d->caller.key->requests;
    uint64_t ms;

    if (d->rpm == 0 || bucket_has(b, 1))
        return ST_OK;
    ms = bucket_wait_ms(b, 1);
    err_set(err, ST_RATE_REQUESTS,
            "Rate limit reached for `" SLICE_FMT "` on requests per min (RPM): Limit %llu, Used %llu, Requested 1. "
            "Please try again in %llu.%03llus.",
            SLICE_ARG(model), (unsigned long long)d->rpm, (unsigned long long)(d->rpm - bucket_remaining(b)),
            (unsigned long long)(ms / 1000), (unsigned long long)(ms % 1000));
    return wait(err, ST_RATE_REQUESTS, ms);
}

static enum status check_tokens(const struct decision *d, struct slice model, struct err *err)
{
    const struct bucket *b = &d->caller.key->tokens;
    uint64_t ms;

    if (d->tpm == 0 || d->free || bucket_has(b, d->tokens))
        return ST_OK;
    if (d->tokens > d->tpm)
        return err_set(err, ST_RATE_TOKENS,
                       "Request too large for `" SLICE_FMT "` on tokens per min (TPM): Limit %llu, Requested %llu. "
                       "The input or output tokens must be reduced in order to run successfully.",
                       SLICE_ARG(model), (unsigned long long)d->tpm, (unsigned long long)d->tokens);
    ms = bucket_wait_ms(b, d->tokens);
    err_set(err, ST_RATE_TOKENS,
            "Rate limit reached for `" SLICE_FMT "` on tokens per min (TPM): Limit %llu, Used %llu, Requested %llu. "
            "Please try again in %llu.%03llus.",
            SLICE_ARG(model), (unsigned long long)d->tpm, (unsigned long long)(d->tpm - bucket_remaining(b)),
            (unsigned long long)d->tokens, (unsigned long long)(ms / 1000), (unsigned long long)(ms % 1000));
    return wait(err, ST_RATE_TOKENS, ms);
}

static enum status check_rates(struct decision *d, const struct admission_env *env, struct slice model, struct err *err)
{
    struct proj_key *key = d->caller.key;
    enum status st;

    d->rpm = stricter(key->rpm, d->caller.plan->rpm);
    d->tpm = stricter(key->tpm, d->caller.plan->tpm);
    d->concurrency = stricter(key->concurrency, d->caller.plan->concurrency);
    if (d->rpm)
        bucket_refill(&key->requests, d->rpm, env->now_ms);
    if (d->tpm)
        bucket_refill(&key->tokens, d->tpm, env->now_ms);
    fill_limits(d, env->limits);
    st = check_requests(d, model, err);
    if (st == ST_OK)
        st = check_tokens(d, model, err);
    if (st == ST_OK && d->concurrency && key->running >= d->concurrency) {
        err_set(err, ST_RATE_CONCURRENT, "Too many requests at once: this key may run %llu, and so many are running.",
                (unsigned long long)d->concurrency);
        st = wait(err, ST_RATE_CONCURRENT, ADMISSION_CONCURRENT_RETRY_MS);
    }
    return st;
}

/* ---- sizes --------------------------------------------------------------------------------------------------------
 */

/* All answers of a batch. Lines that ask for more than the model can give do not make it longer, but who asks so is
 * believed. */
static uint64_t batch_output(const struct decision *d, const struct proj_route *route)
{
    uint64_t max = models_longest(&d->routes, route);

    return d->batch->output_tokens + d->batch->unlimited * (max ? max : ADMISSION_OUTPUT_UNKNOWN);
}

/* How long one answer can get. For a model whose maximum nobody knows so much is held as a long answer costs; the hold
 * of a longer one grows while it runs. */
static void bound_output(struct decision *d, const struct admit_req *req)
{
    size_t i;

    d->choices = req->choices ? req->choices : 1;
    d->output = 0;
    for (i = 0; i < d->routes.n; i++) {
        uint64_t max = models_longest(&d->routes, &d->routes.items[i]), output = req->max_output_tokens;

        if (max && (output == 0 || output > max))
            output = max;
        if (output == 0 && d->routes.items[i].price)
            output = ADMISSION_OUTPUT_UNKNOWN;
        if (d->batch)
            output = batch_output(d, &d->routes.items[i]);
        d->longest[i] = output;
        if (d->output < output)
            d->output = output;
    }
}

/* Of input that upstream keeps nobody here may know how much it is: it is held for as if it filled the model's window.
 */
static void bound_input(struct decision *d, const struct admit_req *req)
{
    uint64_t known = req->prompt_tokens_estimate, window = 1;
    size_t i;

    for (i = 0; i < d->routes.n; i++) {
        uint64_t of = models_window(&d->routes, &d->routes.items[i]);

        if (of == 0)
            of = ADMISSION_INPUT_UNKNOWN;
        if (window < of)
            window = of;
    }
    d->input = known;
    if (d->batch)
        d->input = d->batch->contexts > LIMIT_TOKENS / window ? LIMIT_TOKENS : known + d->batch->contexts * window;
    else if (req->context.n && req->context_tokens == 0 && window > known)
        d->input = window;
    if (d->input > LIMIT_TOKENS)
        d->input = LIMIT_TOKENS;
}

/* Without a limit in the request the model's maximum would fill a small plan's minute with one call, so a usual length
 * is reserved; the true count corrects it when the call is settled. */
static void bound_tokens(struct decision *d, const struct admit_req *req)
{
    uint64_t output = d->output;

    d->tokens = 0;
    if (d->free || d->batch) /* a batch is worked off when its provider has time */
        return;
    if (req->max_output_tokens == 0 && (output == 0 || output > ADMISSION_TPM_OUTPUT))
        output = ADMISSION_TPM_OUTPUT;
    else if (output == 0)
        output = req->max_output_tokens;
    d->tokens = req->prompt_tokens_estimate + output * d->choices;
    if (d->tokens > LIMIT_COUNT)
        d->tokens = LIMIT_COUNT;
}

/* ---- credit -------------------------------------------------------------------------------------------------------
 */

/* What the call costs at most with `out` tokens in each answer: nobody knows yet which route serves it, what the prompt
 * is made of and what the answer will be, so all of it counts as the dearest that there is a price for. */
static enum status worst_case(const struct decision *d, uint64_t out, int64_t *ret_nano, struct err *err)
{
    const struct proj_route *routes = d->routes.items;
    uint64_t percent = d->batch ? d->batch_percent : d->tier_percent;
    enum status st = ST_OK;
    int64_t most = 0;
    size_t i;

    for (i = 0; i < d->routes.n && st == ST_OK; i++) {
        struct token_prices prices;
        int64_t cost = 0;

        if (!routes[i].price || (i && routes[i].price == routes[i - 1].price && d->longest[i] == d->longest[i - 1]))
            continue;
        prices = tariff_prices(&routes[i].price->price);
        if (d->batch)
            prices.tier_above_tokens = 0; /* of many requests none says how long its prompt is */
        st = money_cost_most(&prices, d->input, (out < d->longest[i] ? out : d->longest[i]) * d->choices, &cost, err);
        if (most < cost)
            most = cost;
    }
    *ret_nano = percent > 0 ? money_part(most, percent) : most;
    return st;
}

/* What a call may take: of the user's credit and of the key's budget what is left, whichever is less. */
struct means {
    int64_t available_nano;
    bool budget; /* it is the key's budget that bounds it */
};

static enum status find_means(const struct caller *c, uint64_t wall_s, struct means *ret, struct err *err)
{
    int64_t credit = 0, left = proj_key_left(c->key, wall_s);

    if (!money_add(c->user->balance_nano, -c->user->held_nano, &credit))
        return err_set(err, ST_INTERNAL, "credit overflows");
    *ret = (struct means){.available_nano = left < credit ? left : credit, .budget = left < credit};
    return ST_OK;
}

/* Why so much is held: what the request does not show. */
static void held_for(const struct decision *d, const struct admit_req *req, char text[CONTEXT_TEXT_MAX])
{
    text[0] = '\0';
    if (req->context.n && req->context_tokens)
        snprintf(text, CONTEXT_TEXT_MAX, " '" SLICE_FMT "' brings %llu tokens of its input.", SLICE_ARG(req->context),
                 (unsigned long long)req->context_tokens);
    else if (req->context.n)
        snprintf(text, CONTEXT_TEXT_MAX,
                 " How much input '" SLICE_FMT "' brings is not known here: it may be %llu tokens, the model's window.",
                 SLICE_ARG(req->context), (unsigned long long)d->input);
}

static enum status no_funds(const struct decision *d, const struct admit_req *req, const struct means *means,
                            struct err *err)
{
    const char *shorter = endpoint_bears_limit(req->endpoint) ? ", or lower the output limit" : "";
    char have[MONEY_TEXT_MAX], need[MONEY_TEXT_MAX], why[CONTEXT_TEXT_MAX], param[ERR_PARAM_MAX];

    money_format_usd(means->available_nano > 0 ? means->available_nano : 0, have);
    money_format_usd(d->amount_nano, need);
    held_for(d, req, why);
    snprintf(param, sizeof(param), SLICE_FMT, SLICE_ARG(req->context));
    if (means->budget)
        return err_set_field(
            err, ST_NO_FUNDS, NULL, why[0] ? param : NULL,
            "You exceeded the budget of this API key: %s USD of it are left, this request may cost up to %s "
            "USD. Raise the key's budget or wait for its next period%s.%s",
            have, need, shorter, why);
    return err_set_field(
        err, ST_NO_FUNDS, NULL, why[0] ? param : NULL,
        "You exceeded your current credits: %s USD are available, this request may cost up to %s USD. Ask your "
        "administrator for credit%s.%s",
        have, need, shorter, why);
}

/* The longest answer that the means bear; cost rises with length, so a search by halves finds it. */
static uint64_t affordable(const struct decision *d, int64_t available)
{
    uint64_t low = 0, high = d->output;

    while (low < high) {
        uint64_t mid = low + (high - low + 1) / 2;
        int64_t cost = 0;

        if (worst_case(d, mid, &cost, NULL) == ST_OK && cost <= available)
            low = mid;
        else
            high = mid - 1;
    }
    return low;
}

static bool any_price(const struct model_routes *routes)
{
    size_t i;

    for (i = 0; i < routes->n; i++)
        if (routes->items[i].price)
            return true;
    return false;
}

static enum status check_credit(struct decision *d, const struct admit_req *req, uint64_t wall_s, struct err *err)
{
    struct means means = {0};
    enum status st;

    if (!any_price(&d->routes))
        return ST_OK;
    if (d->batch && d->output > MONEY_TOKENS_MAX)
        return err_set_field(err, ST_BAD_REQUEST, "invalid_value", "input_file_id",
                             "The batch may give more output than is counted: give its lines an output limit, or make "
                             "it smaller.");
    if (d->output * d->choices > MONEY_TOKENS_MAX)
        return err_set_field(err, ST_BAD_REQUEST, "integer_above_max_value", "n",
                             "The output limit times the number of choices is too large.");
    st = worst_case(d, d->output, &d->amount_nano, err);
    if (st != ST_OK)
        return st;
    if (d->amount_nano == 0)
        return ST_OK;
    st = find_means(&d->caller, wall_s, &means, err);
    if (st != ST_OK || d->amount_nano <= means.available_nano)
        return st;
    if (endpoint_bears_limit(req->endpoint)) /* else nothing would keep the answer to it */
        d->output_limit = affordable(d, means.available_nano);
    if (d->output_limit < ADMISSION_OUTPUT_MIN)
        return no_funds(d, req, &means, err);
    d->output = d->output_limit;
    return worst_case(d, d->output, &d->amount_nano, err);
}

/* ---- the decision -------------------------------------------------------------------------------------------------
 */

static struct hold hold_for(const struct admission *a, const struct admission_env *env, const struct admit_req *req,
                            struct decision *d)
{
    struct proj_key *key = d->caller.key;

    return (struct hold){
        .user_id = d->caller.user->at.node.key,
        .key_id = key->at.node.key,
        .endpoint = req->endpoint,
        .model = d->routes.model,
        .routes = d->routes.items,
        .n_routes = d->routes.n,
        .by_latency = d->routes.model && d->routes.model->by_latency,
        .amount_nano = d->amount_nano,
        .output_limit = d->output_limit,
        .prompt_held = d->input > req->prompt_tokens_estimate ? d->input : 0,
        .credit_limited = d->output_limit > 0,
        .batch_percent = d->batch ? d->batch_percent : 0,
        .batch_output = d->batch ? d->output : 0,
        .tokens_reserved = d->tpm ? d->tokens : 0,
        .began_ms = env->now_ms,
        .expires_ms = env->now_ms + req->deadline_ms + a->grace_ms,
        .running = true,
        .placed = true,
        .key = key,
        .keys_dropped = a->state.keys_dropped,
        .of_key = true,
    };
}

static enum status take(struct admission *a, const struct admission_env *env, const struct admit_req *req,
                        struct decision *d, struct err *err)
{
    struct hold hold = hold_for(a, env, req, d);
    struct proj_key *key = d->caller.key;
    enum status st = holds_add(&a->holds, req->request_id, &hold);

    if (st != ST_OK)
        return err_set(err, st, "Too many calls are running.");
    d->caller.user->held_nano += d->amount_nano;
    key->held_nano += d->amount_nano;
    key->running++;
    if (d->rpm)
        bucket_take(&key->requests, 1);
    if (d->tpm)
        bucket_take(&key->tokens, d->tokens);
    return ST_OK;
}

/* What counters led to is there also when it is a refusal: they may be other ones where they are kept. */
static enum status propose(struct admission *a, const struct admission_env *env, const struct admit_req *req,
                           struct decision *d, struct taking *t)
{
    const struct proj_key *key = d->caller.key;
    const struct proj_route *first = &d->routes.items[0];
    enum status st = ST_OK;

    *t = (struct taking){
        .request_id = req->request_id,
        .endpoint = req->endpoint,
        .amount_nano = d->amount_nano,
        .tokens = d->tokens,
        .rpm = d->rpm,
        .tpm = d->tpm,
        .concurrency = d->concurrency,
        .balance_nano = d->caller.user->balance_nano,
        .budget_nano = key->budget_nano,
        .spent_nano = key->spent_nano,
        .revision = d->caller.user->revision,
        .key_revision = key->revision,
        .period_end = key->period_end,
        .lease_ms = req->deadline_ms + a->grace_ms,
        .price_id = first->price ? first->price->price.id : 0,
        .by_counters = d->output_limit > 0,
    };
    t->user_id = arena_copy(env->arena, d->caller.user->at.node.key, &st);
    if (st == ST_OK)
        t->key_id = arena_copy(env->arena, key->at.node.key, &st);
    if (st == ST_OK)
        t->model = arena_copy(env->arena, first->model, &st);
    if (st == ST_OK)
        t->provider = arena_copy(env->arena, first->provider, &st);
    return st;
}

static enum status propose_hold(struct admission *a, const struct admission_env *env, const struct admit_req *req,
                                struct decision *d, struct taking *t)
{
    struct hold hold = hold_for(a, env, req, d);

    t->hold = hold_new(req->request_id, &hold);
    return t->hold ? ST_OK : ST_NO_MEMORY;
}

/* A call without a model is free of charge where it may be without one. A response may take its model from a stored
 * prompt: nobody here knows which, so nobody can bill it. */
static bool needs_model(const struct admission *a, const struct admit_req *req)
{
    size_t i;

    if (a->unpriced_free && slice_is(req->endpoint, ENDPOINT_RESPONSES))
        return false;
    for (i = 0; i < sizeof(without_model) / sizeof(without_model[0]); i++)
        if (slice_is(req->endpoint, without_model[i]))
            return false;
    return true;
}

/* The routes that this call may take. What names no model is nobody's to allow or not. */
static enum status find_routes(const struct admission *a, const struct admit_req *req, struct decision *d,
                               struct err *err)
{
    const struct model_rights rights = {&d->caller.key->models, &d->caller.plan->models};
    const struct model_wish wish = {
        .provider = req->provider,
        .max_input_pico = WIRE_HAS(req, TAG_MAX_INPUT) || req->max_input_pico ? req->max_input_pico : -1,
        .max_output_pico = WIRE_HAS(req, TAG_MAX_OUTPUT) || req->max_output_pico ? req->max_output_pico : -1,
        .prompt_tokens = req->prompt_tokens_estimate,
    };
    enum status st;

    if (d->batch && d->batch->prompt_tokens + d->batch->output_tokens + d->batch->unlimited + d->batch->contexts == 0)
        d->batch = NULL; /* of lines that cost nothing */
    d->free = req->free || (req->batch.n && !d->batch) || (req->model.n == 0 && !needs_model(a, req));
    if (!d->free && req->model.n == 0)
        return err_set_field(err, ST_BAD_REQUEST, "missing_required_parameter", "model",
                             "Missing required parameter: 'model'.");
    if (d->free)
        st = models_resolve_free(&a->state, req->model, req->provider, &d->routes, err);
    else
        st = models_resolve(&a->state, req->model, a->unpriced_free, &d->routes, err);
    if (st == ST_OK && req->model.n)
        st = models_allowed(&rights, req->model, &d->routes, err);
    if (st == ST_OK && !d->free)
        st = models_narrow(&d->routes, req->model, &wish, err);
    if (st == ST_OK && d->batch)
        st = models_as_named(&d->routes, req->model, err);
    return st;
}

bool admission_by_counters(enum status st)
{
    return st == ST_RATE_REQUESTS || st == ST_RATE_TOKENS || st == ST_RATE_CONCURRENT || st == ST_NO_FUNDS;
}

enum status admission_decide(struct admission *a, const struct admission_env *env, const struct admit_req *req,
                             struct taking *t, struct err *err)
{
    struct decision d; /* large: each step fills what is its own */
    struct shown shown = {req->key_digest, req->client_ip};
    enum status st;

    d.output_limit = 0;
    d.amount_nano = 0;
    d.batch = req->batch.n ? &req->batch.items[0] : NULL;
    d.batch_percent = a->batch_percent;
    d.tier_percent = req->price_percent;

    st = admission_caller(a, env, &shown, &d.caller, err);
    if (st == ST_OK)
        st = find_routes(a, req, &d, err);
    if (st != ST_OK)
        return st;
    bound_input(&d, req);
    bound_output(&d, req);
    bound_tokens(&d, req);
    st = check_rates(&d, env, subject(req), err);
    if (st == ST_OK)
        st = check_credit(&d, req, env->wall_s, err);
    if (t && (st == ST_OK || admission_by_counters(st))) {
        enum status said = propose(a, env, req, &d, t);

        t->by_counters |= st != ST_OK;
        if (said != ST_OK)
            return said;
        return st == ST_OK ? propose_hold(a, env, req, &d, t) : st;
    }
    if (st == ST_OK)
        st = take(a, env, req, &d, err);
    if (st == ST_OK)
        fill_limits(&d, env->limits);
    return st;
}
