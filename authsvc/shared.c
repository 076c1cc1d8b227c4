#include "authsvc/shared.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "authsvc/redis.h"
#include "services/clock.h"

#define ARGS_MAX 24
#define NUMBER_MAX 24
#define RUN_ID 12 /* hex digits of it that the keys begin with */
#define PREFIX_MAX 24
#define EXPIRE_MS 100u
#define HOLDS_LISTED 100u /* where nobody says how many */

extern const char shared_script[]; /* made of shared.lua */

static const double bounds[] = {1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 1e-1, 1, 0};

/* What was told and could not be sent. Its text follows it. */
struct late {
    struct late *next;
    size_t n;
    struct slice args[ARGS_MAX];
};

struct shared {
    struct shared_options o;
    struct redis *redis;
    pthread_mutex_t lock; /* guards what follows up to `state` */
    struct late *first, **last;
    size_t n_late, lost;
    char prefix[PREFIX_MAX]; /* written before anybody may send */
    _Atomic enum shared_state state;
    _Atomic uint64_t join_ms; /* when to ask whether it is filled; 0 = not to be asked */
    atomic_bool expiring;
    _Atomic uint64_t expired_ms;
    struct metric *up, *seconds, *errors;
};

/* ---- what is sent ------------------------------------------------------------------------------------------------ */

struct args {
    struct slice items[ARGS_MAX];
    char numbers[ARGS_MAX][NUMBER_MAX];
    size_t n;
};

/* The first is the prefix, put in when it is sent: what waits goes to another Redis, maybe. */
static void begin(struct args *a, const char *op)
{
    a->n = 2;
    a->items[1] = slice_of(op);
}

static void add(struct args *a, struct slice s)
{
    a->items[a->n++] = s;
}

static void add_u64(struct args *a, uint64_t v)
{
    int n = snprintf(a->numbers[a->n], NUMBER_MAX, "%" PRIu64, v);

    add(a, (struct slice){a->numbers[a->n], (size_t)n});
}

static void add_i64(struct args *a, int64_t v)
{
    int n = snprintf(a->numbers[a->n], NUMBER_MAX, "%" PRId64, v);

    add(a, (struct slice){a->numbers[a->n], (size_t)n});
}

static enum status eval(struct shared *s, struct slice *items, size_t n, redis_done *done, void *ctx)
{
    items[0] = slice_of(s->prefix);
    return redis_eval(s->redis, items, n, done, ctx);
}

static void set_state(struct shared *s, enum shared_state state)
{
    if (atomic_exchange(&s->state, state) == state)
        return;
    metric_set(s->up, state == SHARED_ON);
    s->o.changed(s->o.ctx, state);
}

/* ---- what is told ------------------------------------------------------------------------------------------------ */

static struct late *late_new(const struct slice *items, size_t n)
{
    size_t size = sizeof(struct late), i;
    struct late *l;
    char *at;

    for (i = 1; i < n; i++)
        size += items[i].n;
    l = malloc(size);
    if (!l)
        return NULL;
    l->next = NULL;
    l->n = n;
    l->args[0] = (struct slice){NULL, 0};
    at = (char *)(l + 1);
    for (i = 1; i < n; i++) {
        if (items[i].n)
            memcpy(at, items[i].p, items[i].n);
        l->args[i] = (struct slice){at, items[i].n};
        at += items[i].n;
    }
    return l;
}

struct told {
    struct shared *shared;
    struct late *late;
};

static void wait_for_redis(struct shared *s, struct late *l)
{
    pthread_mutex_lock(&s->lock);
    if (s->n_late < SHARED_LATE_MAX) {
        *s->last = l;
        s->last = &l->next;
        s->n_late++;
        l = NULL;
    } else {
        s->lost++;
    }
    pthread_mutex_unlock(&s->lock);
    free(l);
}

static void on_told(void *ctx, enum status st, const struct redisReply *reply)
{
    struct told *t = ctx;

    (void)reply;
    if (st == ST_UNAVAILABLE || st == ST_TIMEOUT)
        wait_for_redis(t->shared, t->late);
    else
        free(t->late);
    free(t);
}

static void send_late(struct shared *s, struct late *l)
{
    struct told *t = malloc(sizeof(*t));

    if (t)
        *t = (struct told){s, l};
    l->next = NULL;
    if (t && eval(s, l->args, l->n, on_told, t) == ST_OK)
        return;
    free(t);
    wait_for_redis(s, l);
}

static void tell(struct shared *s, struct args *a)
{
    struct late *l = late_new(a->items, a->n);

    if (!l)
        return; /* its hold ends with its lease */
    if (redis_is_up(s->redis))
        send_late(s, l);
    else
        wait_for_redis(s, l);
}

void shared_settled(struct shared *s, const struct settled *settled, struct slice key_id, uint64_t revision)
{
    struct args a;

    begin(&a, "settled");
    add(&a, settled->request_id);
    add_u64(&a, settled->tokens);
    add(&a, settled->user_id);
    add_i64(&a, settled->balance_nano);
    add_u64(&a, revision);
    add(&a, key_id);
    add_i64(&a, settled->key_spent_nano);
    add_u64(&a, settled->key_period_end);
    tell(s, &a);
}

void shared_credited(struct shared *s, const struct user *user, uint64_t revision)
{
    struct args a;

    begin(&a, "user");
    add(&a, user->id);
    add_i64(&a, user->balance_nano);
    add_u64(&a, revision);
    add_u64(&a, slice_is(user->status, "active"));
    tell(s, &a);
}

static void tell_id(struct shared *s, const char *op, struct slice request_id)
{
    struct args a;

    begin(&a, op);
    add(&a, request_id);
    tell(s, &a);
}

void shared_done(struct shared *s, struct slice request_id)
{
    tell_id(s, "done", request_id);
}

void shared_undo(struct shared *s, struct slice request_id)
{
    tell_id(s, "undo", request_id);
}

/* Not kept when it cannot be sent: whoever comes back tells of all holds anyway. */
void shared_assert(struct shared *s, const struct hold_state *told, uint64_t lease_ms, bool place)
{
    struct args a;

    if (!redis_is_up(s->redis))
        return;
    begin(&a, "assert");
    add(&a, told->request_id);
    add(&a, told->user_id);
    add(&a, told->key_id);
    add_i64(&a, told->amount_nano);
    add_u64(&a, lease_ms);
    add_u64(&a, place);
    tell(s, &a);
}

/* ---- coming and going -------------------------------------------------------------------------------------------- */

static void assert_one(void *ctx, const struct hold_state *hold)
{
    shared_assert(ctx, hold, hold->lease_ms, hold->running);
}

static void fill(struct shared *s)
{
    struct late *l, *next;

    pthread_mutex_lock(&s->lock);
    l = s->first;
    s->first = NULL;
    s->last = &s->first;
    s->n_late = 0;
    pthread_mutex_unlock(&s->lock);
    for (; l; l = next) {
        next = l->next;
        send_late(s, l);
    }
    admission_each_hold(s->o.admission, clock_ms(), assert_one, s);
    atomic_store(&s->join_ms, 1);
}

static void on_up(void *ctx, const char *run_id)
{
    struct shared *s = ctx;

    snprintf(s->prefix, sizeof(s->prefix), "or:%.*s:", RUN_ID, run_id);
    set_state(s, SHARED_FILLING);
    fill(s);
}

static void on_down(void *ctx)
{
    struct shared *s = ctx;

    atomic_store(&s->join_ms, 0);
    set_state(s, SHARED_AWAY);
}

/* Somebody emptied it. */
static void refill(struct shared *s)
{
    enum shared_state on = SHARED_ON;

    if (!atomic_compare_exchange_strong(&s->state, &on, SHARED_FILLING))
        return;
    metric_set(s->up, 0);
    s->o.changed(s->o.ctx, SHARED_FILLING);
    fill(s);
}

static bool is_array(const struct redisReply *reply, size_t n)
{
    return reply->type == REDIS_REPLY_ARRAY && reply->elements >= n;
}

static int64_t number(const struct redisReply *array, size_t i)
{
    const struct redisReply *e = i < array->elements ? array->element[i] : NULL;

    if (!e)
        return 0;
    if (e->type == REDIS_REPLY_INTEGER)
        return e->integer;
    return e->type == REDIS_REPLY_STRING ? strtoll(e->str, NULL, 10) : 0;
}

static struct slice text(const struct redisReply *array, size_t i)
{
    const struct redisReply *e = i < array->elements ? array->element[i] : NULL;

    if (!e || e->type != REDIS_REPLY_STRING)
        return (struct slice){NULL, 0};
    return (struct slice){e->str, e->len};
}

static enum shared_answer answer_of(struct shared *s, const struct redisReply *reply)
{
    enum shared_answer answer = is_array(reply, 1) ? (enum shared_answer)number(reply, 0) : SHARED_EMPTY;

    if (answer == SHARED_EMPTY)
        refill(s);
    return answer;
}

static void on_joined(void *ctx, enum status st, const struct redisReply *reply)
{
    struct shared *s = ctx;
    int64_t left = st == ST_OK && is_array(reply, 2) ? number(reply, 1) : -1;

    if (left == 0)
        set_state(s, SHARED_ON);
    else if (atomic_load(&s->state) == SHARED_FILLING)
        atomic_store(&s->join_ms, clock_ms() + (left > 0 ? (uint64_t)left : EXPIRE_MS));
}

void shared_tick(struct shared *s, uint64_t now_ms)
{
    uint64_t due = atomic_load(&s->join_ms);
    struct args a;

    if (due == 0 || now_ms < due || !atomic_compare_exchange_strong(&s->join_ms, &due, 0))
        return;
    begin(&a, "join");
    add_u64(&a, SHARED_FILL_MS);
    if (eval(s, a.items, a.n, on_joined, s) != ST_OK)
        atomic_store(&s->join_ms, now_ms + EXPIRE_MS);
}

/* ---- questions --------------------------------------------------------------------------------------------------- */

struct question {
    struct shared *shared;
    union {
        shared_admitted *admitted;
        shared_amount *amount;
        shared_listed *listed;
        shared_expired *expired;
    } done;
    void *ctx;
    uint64_t asked_ns;
};

static enum status ask(struct shared *s, struct args *a, struct question *q, redis_done *done)
{
    struct question *kept = malloc(sizeof(*kept));
    enum status st;

    if (!kept)
        return ST_NO_MEMORY;
    *kept = *q;
    kept->shared = s;
    kept->asked_ns = clock_ns();
    st = eval(s, a->items, a->n, done, kept);
    if (st != ST_OK)
        free(kept);
    return st;
}

/* What Redis could not do is as if it were away, except that it may have done a part. */
static enum status noted(const struct question *q, enum status st)
{
    metric_observe_ns(q->shared->seconds, clock_ns() - q->asked_ns);
    if (st != ST_OK)
        metric_add(q->shared->errors, 1);
    return st == ST_INTERNAL ? ST_TIMEOUT : st;
}

static void on_admitted(void *ctx, enum status st, const struct redisReply *reply)
{
    struct question *q = ctx;
    struct counters c = {.balance_nano = 0};
    enum shared_answer answer = SHARED_EMPTY;

    st = noted(q, st);
    if (st == ST_OK)
        answer = answer_of(q->shared, reply);
    if (st == ST_OK && is_array(reply, 10))
        c = (struct counters){.balance_nano = number(reply, 1),
                              .revision = (uint64_t)number(reply, 2),
                              .held_nano = number(reply, 3),
                              .key_held_nano = number(reply, 4),
                              .spent_nano = number(reply, 5),
                              .period_end = (uint64_t)number(reply, 6),
                              .running = (uint64_t)number(reply, 7),
                              .requests_level = number(reply, 8),
                              .tokens_level = number(reply, 9)};
    q->done.admitted(q->ctx, st, answer, &c);
    free(q);
}

enum status shared_admit(struct shared *s, const struct taking *t, bool take, uint64_t wall_s, shared_admitted *done,
                         void *ctx)
{
    struct question q = {.done.admitted = done, .ctx = ctx};
    struct args a;

    begin(&a, "admit");
    add(&a, t->request_id);
    add_u64(&a, take);
    add(&a, t->user_id);
    add(&a, t->key_id);
    add_i64(&a, t->amount_nano);
    add_u64(&a, t->tokens);
    add_u64(&a, t->rpm);
    add_u64(&a, t->tpm);
    add_u64(&a, t->concurrency);
    add_i64(&a, t->balance_nano);
    add_u64(&a, t->revision);
    add_i64(&a, t->budget_nano);
    add_i64(&a, t->spent_nano);
    add_u64(&a, t->period_end);
    add_u64(&a, t->key_revision);
    add_u64(&a, wall_s);
    add_u64(&a, t->lease_ms);
    add(&a, t->endpoint);
    add(&a, t->model);
    add(&a, t->provider);
    add_u64(&a, t->price_id);
    return ask(s, &a, &q, on_admitted);
}

static void on_amount(void *ctx, enum status st, const struct redisReply *reply)
{
    struct question *q = ctx;
    enum shared_answer answer = SHARED_EMPTY;

    st = noted(q, st);
    if (st == ST_OK)
        answer = answer_of(q->shared, reply);
    q->done.amount(q->ctx, st, answer, st == ST_OK && answer == SHARED_FITS ? number(reply, 1) : 0);
    free(q);
}

enum status shared_extend(struct shared *s, const struct hold_extend_req *req, uint64_t wall_s, shared_amount *done,
                          void *ctx)
{
    struct question q = {.done.amount = done, .ctx = ctx};
    struct args a;

    begin(&a, "extend");
    add(&a, req->request_id);
    add_i64(&a, req->amount_nano);
    add_u64(&a, wall_s);
    return ask(s, &a, &q, on_amount);
}

enum status shared_held(struct shared *s, struct slice user_id, shared_amount *done, void *ctx)
{
    struct question q = {.done.amount = done, .ctx = ctx};
    struct args a;

    begin(&a, "held");
    add(&a, user_id);
    return ask(s, &a, &q, on_amount);
}

static void on_listed(void *ctx, enum status st, const struct redisReply *reply)
{
    struct question *q = ctx;
    struct holds_list_rep rep = {.open = 0};
    struct hold_state *items;
    size_t i, n = 0;

    st = noted(q, st);
    if (st == ST_OK && is_array(reply, 3)) {
        items = calloc(reply->elements, sizeof(*items));
        for (i = 3; items && i < reply->elements; i++) {
            const struct redisReply *e = reply->element[i];

            items[n++] = (struct hold_state){.request_id = text(e, 0),
                                             .user_id = text(e, 1),
                                             .key_id = text(e, 2),
                                             .amount_nano = number(e, 3),
                                             .lease_ms = (uint64_t)number(e, 4),
                                             .running = number(e, 5) != 0};
        }
        rep = (struct holds_list_rep){.open = (uint64_t)number(reply, 1), .held_nano = number(reply, 2)};
        rep.data.items = items;
        rep.data.n = n;
        q->done.listed(q->ctx, items ? ST_OK : ST_NO_MEMORY, &rep);
        free(items);
    } else {
        q->done.listed(q->ctx, st == ST_OK ? ST_BAD_MESSAGE : st, &rep);
    }
    free(q);
}

enum status shared_list(struct shared *s, const struct holds_list_req *req, shared_listed *done, void *ctx)
{
    struct question q = {.done.listed = done, .ctx = ctx};
    struct args a;

    begin(&a, "list");
    add(&a, req->actor_id);
    add_u64(&a, req->limit ? req->limit : HOLDS_LISTED);
    return ask(s, &a, &q, on_listed);
}

static void on_expired(void *ctx, enum status st, const struct redisReply *reply)
{
    struct question *q = ctx;
    size_t i;

    atomic_store(&q->shared->expiring, false);
    if (noted(q, st) == ST_OK && answer_of(q->shared, reply) == SHARED_FITS) {
        for (i = 1; i < reply->elements; i++) {
            const struct redisReply *e = reply->element[i];
            struct shared_lapsed lapsed = {.request_id = text(e, 0),
                                           .user_id = text(e, 1),
                                           .key_id = text(e, 2),
                                           .amount_nano = number(e, 3),
                                           .age_ms = (uint64_t)number(e, 4),
                                           .endpoint = text(e, 5),
                                           .model = text(e, 6),
                                           .provider = text(e, 7),
                                           .price_id = (uint64_t)number(e, 8)};

            q->done.expired(q->ctx, &lapsed);
        }
    }
    free(q);
}

void shared_expire(struct shared *s, shared_expired *done, void *ctx)
{
    struct question q = {.done.expired = done, .ctx = ctx};
    struct args a;

    if (atomic_load(&s->state) != SHARED_ON || atomic_exchange(&s->expiring, true))
        return;
    begin(&a, "expire");
    add_u64(&a, SHARED_EXPIRE_MAX);
    if (ask(s, &a, &q, on_expired) != ST_OK)
        atomic_store(&s->expiring, false);
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

enum status shared_new(const struct shared_options *options, struct shared **ret, struct err *err)
{
    struct shared *s = calloc(1, sizeof(*s));
    struct redis_options redis = {
        .url = options->url, .script = shared_script, .log = options->log, .up = on_up, .down = on_down, .ctx = s};
    enum status st;

    if (!s)
        return err_set(err, ST_NO_MEMORY, "no memory for what is shared");
    s->o = *options;
    s->last = &s->first;
    pthread_mutex_init(&s->lock, NULL);
    s->up =
        metric_gauge(options->metrics, "router_redis_up", "1 while limits and holds are shared through Redis.", NULL);
    s->seconds = metric_histogram(options->metrics, "router_redis_seconds", "Time of a step in Redis.", NULL, bounds);
    s->errors =
        metric_counter(options->metrics, "router_redis_errors_total", "What needed Redis and could not have it.", NULL);
    st = redis_new(&redis, &s->redis, err);
    if (st != ST_OK) {
        shared_free(s);
        return st;
    }
    *ret = s;
    return ST_OK;
}

enum shared_state shared_state(struct shared *s)
{
    return atomic_load(&s->state);
}

void shared_missed(struct shared *s)
{
    metric_add(s->errors, 1);
}

void shared_close(struct shared *s)
{
    if (s)
        redis_close(s->redis);
}

void shared_free(struct shared *s)
{
    struct late *l, *next;

    if (!s)
        return;
    redis_free(s->redis);
    for (l = s->first; l; l = next) {
        next = l->next;
        free(l);
    }
    pthread_mutex_destroy(&s->lock);
    free(s);
}
