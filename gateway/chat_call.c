#include <string.h>

#include "gateway/answer.h"
#include "gateway/chat.h"
#include "services/clock.h"
#include "services/voids.h"

static const char done_event[] = "data: [DONE]\n\n";
#define DONE_N (sizeof(done_event) - 1)

static void open_completion(struct chat *c);

static void lock(struct chat *c)
{
    pthread_mutex_lock(&c->conn->lock);
}

/* Lets go, and wakes the thread if there is something for it to do. */
static void unlock(struct chat *c, bool help)
{
    if (help || (c->over && c->openers == 0 && (!c->settled || c->wake_me)))
        conn_wake(c->conn);
    pthread_mutex_unlock(&c->conn->lock);
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

/* The call's place among the concurrent ones is free before the client can know that the call has ended. */
static void free_place(const struct chat *c)
{
    struct admit_done_req done = {.request_id = slice_of(c->r->id)};

    call_tell(svc_peer(c->gw->svc, SVC_AUTHSVC), &admit_done_req_desc, &done);
}

static void settle_void(struct chat *c, enum status st)
{
    struct usage_event e = {.request_id = slice_of(c->r->id),
                            .user_id = c->admitted.user_id,
                            .key_id = c->admitted.key_id,
                            .model = c->ask.model,
                            .provider = c->admitted.routes.items[0].provider,
                            .upstream_model = c->admitted.routes.items[0].upstream_model,
                            .endpoint = slice_of(CHAT_ENDPOINT),
                            .stream = c->ask.stream,
                            .status = slice_of("void"),
                            .http_status = (uint64_t)status_http(st),
                            .hold_nano = c->admitted.hold_nano,
                            .created_ms = c->created_ms,
                            .latency_ms = clock_ms() - c->began_ms};

    if (c->admitted.routes.items[0].price.n)
        e.price_id = c->admitted.routes.items[0].price.items[0].id;
    c->voided = true;
    voids_add(c->gw->voids, &e);
}

/* Nobody began it: no instance took it, or one refused before it wrote anything down. Whoever says so knows. */
static bool never_began(enum status st)
{
    return st == ST_UNAVAILABLE || st == ST_DRAINING || st == ST_NO_MEMORY;
}

/* Under the lock: nobody waits for it. Of a call that runs on somebody may: who repeats it. */
static bool abandoned(const struct chat *c)
{
    return c->gone && !c->runs_on;
}

uint64_t chat_remaining_ms(const struct chat *c)
{
    uint64_t used = clock_ms() - c->began_ms, all = (uint64_t)c->gw->settings->call_timeout_ms;

    return all > used ? all - used : 1;
}

static void let_go(struct chat *c)
{
    lock(c);
    c->holding = false;
    pthread_mutex_unlock(&c->conn->lock);
}

/* Others are under way: this one may wait a moment, to travel with them. */
static bool among_many(const struct chat *c)
{
    return atomic_load_explicit(&c->gw->in_flight, memory_order_relaxed) >= CHAT_MANY;
}

/* Under the lock. */
static void give_up(struct chat *c, enum status st, const struct err *err)
{
    c->st = st;
    c->err = *err;
    c->err.status = st;
    c->over = true;
}

/* An admitted call that nobody will run. Ends the callback's part: the thread goes on. */
static void give_up_admitted(struct chat *c, enum status st, const struct err *err)
{
    let_go(c);
    settle_void(c, st);
    free_place(c);
    lock(c);
    give_up(c, st, err);
    unlock(c, false);
}

/* ---- admission --------------------------------------------------------------------------------------------------- */

/* What is kept lives in the request's arena: the bytes of a callback end with it. */
static enum status take_admission(struct chat *c, enum status st, struct slice payload, struct err *err)
{
    struct wire_alloc mem = arena_wire(c->r->arena);
    enum status copied;

    if (st == ST_OK) {
        payload = arena_copy(c->r->arena, payload, &copied);
        if (copied != ST_OK)
            return err_set(err, copied, "%s", status_text(copied));
    }
    st = call_result(st, payload, &admit_rep_desc, &c->admitted, &mem, err, &c->limits);
    if (st == ST_OK && c->admitted.routes.n == 0)
        st = err_set(err, ST_BAD_MESSAGE, "Admission named no route.");
    if (st == ST_OK && c->admitted.limits.n)
        c->limits = c->admitted.limits.items[0];
    c->limits.has |= st == ST_OK && c->admitted.limits.n; /* so that it shows even when all are zero */
    if (st == ST_PEER_LOST || st == ST_TIMEOUT) { /* nothing has gone upstream: the client may well try again */
        free_place(c);
        return err_set(err, ST_UNAVAILABLE, "Admission did not answer. Try again.");
    }
    return st;
}

static enum status ask_admission(struct chat *c, struct err *err);

/* Did authsvc go away with the question? Nothing has gone upstream, and it knows the id again if it did decide. */
static bool ask_again(const struct chat *c, enum status st)
{
    return (st == ST_PEER_LOST || st == ST_DRAINING) && c->admissions < CHAT_ADMISSIONS &&
           clock_ms() - c->began_ms < CHAT_ADMIT_MS;
}

static void on_admitted(void *ctx, enum status st, struct slice payload)
{
    struct chat *c = ctx;
    struct err err = {.status = ST_OK};
    bool gone;

    if (ask_again(c, st)) {
        st = ask_admission(c, &err);
        if (st == ST_OK)
            return; /* the call may be another one by now */
        payload = (struct slice){NULL, 0};
    }
    st = take_admission(c, st, payload, &err);
    lock(c);
    c->holding = st == ST_OK;
    if (st != ST_OK) {
        give_up(c, st, &err);
        unlock(c, false);
        return;
    }
    gone = abandoned(c);
    pthread_mutex_unlock(&c->conn->lock);
    if (gone)
        give_up_admitted(c, ST_CANCELLED, &err);
    else
        open_completion(c);
}

static const struct xchg_events admission_events = {.end = on_admitted};

static enum status ask_admission(struct chat *c, struct err *err)
{
    uint64_t used = clock_ms() - c->began_ms;
    struct xchg_open open = {.deadline_ms = used < CHAT_ADMIT_MS ? CHAT_ADMIT_MS - used : 1,
                             .patient = among_many(c),
                             .events = &admission_events,
                             .ctx = c};
    struct admit_req req = {.request_id = slice_of(c->r->id),
                            .key_digest = {(const char *)c->digest, sizeof(c->digest)},
                            .model = c->ask.model,
                            .endpoint = slice_of(CHAT_ENDPOINT),
                            .prompt_tokens_estimate = c->ask.tokens_upper,
                            .max_output_tokens = c->ask.output_limit,
                            .choices = c->ask.choices,
                            .deadline_ms = (uint64_t)c->gw->settings->call_timeout_ms,
                            .client_ip = c->r->client_ip};
    struct xchg_id id = {0, 0};

    c->admissions++;
    return call_open(svc_peer(c->gw->svc, SVC_AUTHSVC), &admit_req_desc, &req, &open, &id, err);
}

enum status chat_begin(struct chat *c, struct err *err)
{
    return ask_admission(c, err);
}

/* ---- the provider's answer --------------------------------------------------------------------------------------- */

static void take_head(struct chat *c, struct slice bytes)
{
    struct wire_alloc mem = arena_wire(c->r->arena);
    enum status st;

    if (c->has_head)
        return;
    bytes = arena_copy(c->r->arena, bytes, &st);
    if (st != ST_OK || wire_decode(&response_head_desc, bytes.p, bytes.n, &c->head, &mem, NULL) != ST_OK)
        return; /* without a head there is no answer: the end will say so */
    c->has_head = true;
    request_forget_body(c->r); /* it is upstream's now: nobody tries again after a head */
    c->streaming = c->ask.stream && c->head.http_status == 200 && c->head.content_type.n >= 17 &&
                   !memcmp(c->head.content_type.p, "text/event-stream", 17);
    if (c->streaming)
        stream_init(&c->stream, c->conn->fd, !c->r->http10, STREAM_BACKLOG_MAX);
}

/* The head of a stream, which leaves with its first bytes. */
static struct slice stream_head(struct chat *c)
{
    struct buf *out = &c->conn->out;

    if (c->stream.began)
        return (struct slice){NULL, 0};
    if (c->r->http10)
        c->r->keep_alive = false;
    c->first_ms = clock_ms();
    out->n = 0;
    answer_head(c->r, out, (int)c->head.http_status, c->head.content_type, -1);
    buf_addf(out, "cache-control: no-cache\r\nx-accel-buffering: no\r\n");
    chat_answer_lines(c, out);
    if (buf_addf(out, "\r\n") != ST_OK) {
        c->stream.broken = true;
        return (struct slice){NULL, 0};
    }
    c->r->status = (int)c->head.http_status;
    return (struct slice){out->p, out->n};
}

/* The closing event is held back until the call has ended, so that a client that has seen it may call again at once. */
static bool take_stream(struct chat *c, struct slice bytes)
{
    struct slice rest = bytes;
    bool clear = true;

    idempotency_record(&c->keep, bytes);
    if (c->held_done) { /* something follows what looked like the end */
        clear = stream_put(&c->stream, stream_head(c), (struct slice){done_event, DONE_N}, false, true);
        c->held_done = false;
    }
    if (rest.n >= DONE_N && !memcmp(rest.p + rest.n - DONE_N, done_event, DONE_N)) {
        c->held_done = true;
        rest.n -= DONE_N;
    }
    if (rest.n)
        clear = stream_put(&c->stream, stream_head(c), rest, false, true) && clear;
    atomic_store_explicit(&c->conn->quiet_since_ms, clock_ms(), memory_order_relaxed);
    return clear;
}

static void take_body(struct chat *c, struct slice bytes)
{
    if (!c->first_ms)
        c->first_ms = clock_ms();
    if (buf_add(&c->answer, bytes.p, bytes.n) != ST_OK && c->st == ST_OK) {
        c->st = ST_UPSTREAM;
        err_set(&c->err, ST_UPSTREAM, "The provider's answer is larger than %u bytes.", CHAT_ANSWER_MAX);
    }
    c->window += bytes.n;
}

/* Under the lock: what of the window can be returned now. */
static uint32_t credit_of(struct chat *c)
{
    uint32_t credit = 0;

    if (c->streaming)
        return stream_credit(&c->stream);
    if (c->window >= STREAM_CREDIT_STEP) {
        credit = (uint32_t)c->window;
        c->window = 0;
    }
    return credit;
}

static void on_data(void *ctx, uint16_t type, struct slice bytes)
{
    struct chat *c = ctx;
    struct xchg_client *provider = svc_peer(c->gw->svc, SVC_PROVIDERSVC);
    bool clear = true, stop;
    struct xchg_id id = {0, 0};
    uint32_t credit;

    lock(c);
    id = c->ids[c->attempt - 1];
    if (type == response_head_desc.type)
        take_head(c, bytes);
    else if (type == 0 && c->streaming)
        clear = take_stream(c, bytes);
    else if (type == 0)
        take_body(c, bytes);
    credit = credit_of(c);
    stop = c->st != ST_OK || (c->streaming && c->stream.broken && !c->gone && !c->runs_on);
    c->gone |= c->streaming && c->stream.broken;
    unlock(c, !clear);
    if (stop)
        xchg_cancel(provider, id);
    else if (credit)
        xchg_window(provider, id, credit);
}

/* ---- the provider's end ------------------------------------------------------------------------------------------ */

static void take_result(struct chat *c, enum status st, struct slice payload)
{
    struct wire_alloc mem = arena_wire(c->r->arena);
    struct err err = {.status = ST_OK};
    enum status copied = ST_OK;

    if (st == ST_OK)
        payload = arena_copy(c->r->arena, payload, &copied);
    st = copied != ST_OK ? copied : call_result(st, payload, &completion_rep_desc, &c->result, &mem, &err, NULL);
    c->has_result = st == ST_OK;
    if (c->st != ST_OK) /* we stopped it ourselves, and said why */
        return;
    if (st == ST_OK && !c->has_head)
        st = err_set(&err, ST_INTERNAL, "The provider's answer had no head.");
    c->st = st;
    c->err = err;
    c->err.status = st;
}

/* A stream that has begun ends with its closing event, or with an error event and without one. */
static bool end_stream(struct chat *c)
{
    struct slice tail = {NULL, 0}, none = {NULL, 0};
    struct problem p = problem_of(&c->err);
    bool clear;

    if (c->gone || (c->st != ST_OK && !c->stream.began && !c->held_done))
        return true;
    if (c->held_done)
        tail = (struct slice){done_event, DONE_N};
    if (c->st != ST_OK && !c->held_done) {
        c->answer.n = 0;
        c->r->keep_alive = false;
        buf_addf(&c->answer, "%sdata: ", c->stream.boundary ? "" : "\n\n");
        problem_body(&p, &c->answer);
        if (buf_addf(&c->answer, "\n\n") == ST_OK)
            tail = (struct slice){c->answer.p, c->answer.n};
    }
    if (!c->stream.began)
        clear = stream_put(&c->stream, stream_head(c), tail, true, false);
    else
        clear = stream_put(&c->stream, none, tail, true, false);
    c->gone |= c->stream.broken;
    return clear;
}

static bool try_again(const struct chat *c, enum status st)
{
    return never_began(st) && st != ST_NO_MEMORY && !c->has_head && !abandoned(c) && c->attempt < CHAT_ATTEMPTS;
}

static void on_completed(void *ctx, enum status st, struct slice payload)
{
    struct chat *c = ctx;
    bool clear = true, settled, again, gone;
    struct chat_note note;

    lock(c);
    again = try_again(c, st);
    c->holding &= again; /* else providersvc owes the bill, and asserts the hold until meterd has it */
    gone = c->gone;
    pthread_mutex_unlock(&c->conn->lock);
    if (again) {
        open_completion(c);
        return;
    }
    if (never_began(st) && !c->has_head)
        settle_void(c, gone ? ST_CANCELLED : st);
    free_place(c);
    lock(c);
    take_result(c, st, payload);
    atomic_store_explicit(&c->conn->quiet_since_ms, 0, memory_order_relaxed);
    if (c->streaming)
        clear = end_stream(c);
    else if (c->st == ST_OK && !c->gone && !chat_keeps_back(c))
        clear = chat_answer_plain(c);
    settled = clear && chat_can_settle(c);
    if (settled) {
        chat_take_note(c, &note);
        buf_fini(&c->answer);
        c->settled_ms = clock_ms();
    }
    c->settled = c->r->settled = settled;
    c->over = true;
    unlock(c, !clear); /* the client may ask again from now on: the call may be gone */
    if (settled) {
        chat_log(&note);
        request_count(note.gw, note.route, note.status, note.began_ns);
    }
}

static const struct xchg_events completion_events = {.data = on_data, .end = on_completed};

static void fill_request(const struct chat *c, struct completion_req *req)
{
    const struct admit_rep *a = &c->admitted;

    *req = (struct completion_req){.request_id = slice_of(c->r->id),
                                   .user_id = a->user_id,
                                   .key_id = a->key_id,
                                   .model = c->ask.model,
                                   .routes = {a->routes.items, a->routes.n},
                                   .by_latency = a->by_latency,
                                   .endpoint = slice_of(CHAT_ENDPOINT),
                                   .stream = c->ask.stream,
                                   .usage_asked = c->ask.usage_asked,
                                   .hold_nano = a->hold_nano,
                                   .output_limit = a->output_limit,
                                   .credit_limited = a->credit_limited,
                                   .prompt_tokens_estimate = c->ask.tokens,
                                   .key_digest = {(const char *)c->digest, sizeof(c->digest)},
                                   .body = c->r->body};
}

/* Our hold on `openers` keeps the thread until the call is settled. */
static void give_up_opening(struct chat *c, enum status st, const struct err *err)
{
    let_go(c);
    settle_void(c, st);
    free_place(c);
    lock(c);
    c->openers--;
    give_up(c, st, err);
    unlock(c, false);
}

/* Runs in a callback: admission's end, or the end of an attempt that nobody took. */
static void open_completion(struct chat *c)
{
    struct xchg_client *provider = svc_peer(c->gw->svc, SVC_PROVIDERSVC);
    struct xchg_open open = {.deadline_ms = chat_remaining_ms(c),
                             .window = STREAM_WINDOW,
                             .patient = among_many(c),
                             .events = &completion_events,
                             .ctx = c};
    struct err err = {.status = ST_OK};
    struct completion_req req;
    unsigned attempt;
    bool cancel = false;
    struct xchg_id id = {0, 0};
    enum status st;

    lock(c);
    c->openers++;
    attempt = ++c->attempt;
    pthread_mutex_unlock(&c->conn->lock);

    fill_request(c, &req);
    st = call_open(provider, &completion_req_desc, &req, &open, &c->ids[attempt - 1], &err);

    lock(c);
    if (st == ST_OK)
        c->openers--;
    if (st == ST_OK && c->attempt == attempt && !c->over) {
        c->opened = attempt;
        cancel = abandoned(c); /* it left while we were opening */
        id = c->ids[attempt - 1];
    }
    unlock(c, false); /* afterwards the call may be another one */
    if (cancel)
        xchg_cancel(provider, id);
    if (st != ST_OK)
        give_up_opening(c, st, &err);
}

/* ---- from outside the call --------------------------------------------------------------------------------------- */

/* Under the connection's lock. true: *ret_id is to be cancelled once the lock is free. */
static bool mark_gone(struct chat *c, struct xchg_id *ret_id)
{
    if (!c || c->over || c->gone)
        return false;
    c->gone = true;
    if (c->runs_on)
        return false;
    if (!c->opened)
        return false; /* admission is not cancelled: its answer says whether there is a hold to release */
    *ret_id = c->ids[c->opened - 1];
    return true;
}

void chat_left(struct chat *c)
{
    struct xchg_id id = {0, 0};

    if (!mark_gone(c, &id))
        return;
    pthread_mutex_unlock(&c->conn->lock);
    xchg_cancel(svc_peer(c->gw->svc, SVC_PROVIDERSVC), id);
    lock(c);
}

void chat_cancel_all(struct gateway *gw)
{
    unsigned i, n = atomic_load(&gw->conns_made);

    for (i = 0; i < n; i++) {
        struct conn *conn = gw->conns[i];
        struct xchg_id id = {0, 0};
        bool cancel;

        pthread_mutex_lock(&conn->lock);
        if (conn->call && conn->call->runs_on && !conn->call->over)
            conn->call->runs_on = conn->call->gone = false; /* not any more */
        cancel = mark_gone(conn->call, &id);
        pthread_mutex_unlock(&conn->lock);
        if (cancel)
            xchg_cancel(svc_peer(gw->svc, SVC_PROVIDERSVC), id);
    }
}

void chat_keep_alive(struct conn *conn, uint64_t now_ms)
{
    static const char comment[] = ": keep-alive\n\n";
    struct chat *c;
    bool clear = true;

    pthread_mutex_lock(&conn->lock);
    c = conn->call;
    if (c && c->streaming && !c->over && c->stream.began && c->stream.boundary && !c->stream.backlog.n) {
        clear =
            stream_put(&c->stream, (struct slice){NULL, 0}, (struct slice){comment, sizeof(comment) - 1}, false, false);
        atomic_store_explicit(&conn->quiet_since_ms, now_ms, memory_order_relaxed);
    }
    if (!clear)
        conn_wake(conn);
    pthread_mutex_unlock(&conn->lock);
}
