#include "gateway/call.h"

#include "services/clock.h"
#include "services/voids.h"

static void open_completion(struct call *c);

static void lock(struct call *c)
{
    pthread_mutex_lock(&c->conn->lock);
}

/* Lets go, and wakes the thread if there is something for it to do. */
static void unlock(struct call *c, bool help)
{
    if (help || (c->over && c->openers == 0 && (!c->settled || c->wake_me)))
        conn_wake(c->conn);
    pthread_mutex_unlock(&c->conn->lock);
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

/* The call's place among the concurrent ones is free before the client can know that the call has ended. */
static void free_place(const struct call *c)
{
    struct admit_done_req done = {.request_id = slice_of(c->r->id)};

    call_tell(svc_peer(c->gw->svc, SVC_AUTHSVC), &admit_done_req_desc, &done);
}

static void settle_void(struct call *c, enum status st)
{
    struct usage_event e = {.request_id = slice_of(c->r->id),
                            .user_id = c->admitted.user_id,
                            .key_id = c->admitted.key_id,
                            .model = c->ask.model,
                            .provider = c->admitted.routes.items[0].provider,
                            .upstream_model = c->admitted.routes.items[0].upstream_model,
                            .endpoint = slice_of(c->surface->endpoint),
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
static bool abandoned(const struct call *c)
{
    return c->gone && !c->runs_on;
}

uint64_t call_remaining_ms(const struct call *c)
{
    uint64_t used = clock_ms() - c->began_ms, all = (uint64_t)c->gw->settings->call_timeout_ms;

    return all > used ? all - used : 1;
}

static void let_go(struct call *c)
{
    lock(c);
    c->holding = false;
    pthread_mutex_unlock(&c->conn->lock);
}

/* Others are under way: this one may wait a moment, to travel with them. */
static bool among_many(const struct call *c)
{
    return atomic_load_explicit(&c->gw->in_flight, memory_order_relaxed) >= CALL_MANY;
}

/* Under the lock. */
static void give_up(struct call *c, enum status st, const struct err *err)
{
    c->st = st;
    c->err = *err;
    c->err.status = st;
    c->over = true;
}

/* An admitted call that nobody will run. Ends the callback's part: the thread goes on. */
static void give_up_admitted(struct call *c, enum status st, const struct err *err)
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
static enum status take_admission(struct call *c, enum status st, struct slice payload, struct err *err)
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
    if (st == ST_OK && c->surface->flags & SURFACE_BATCH) {
        if (c->admitted.prompt_tokens_held)
            c->worth.prompt_tokens = c->admitted.prompt_tokens_held;
        c->worth.output_tokens = c->admitted.batch_output;
        c->worth.unlimited = c->worth.contexts = 0;
    }
    if (st == ST_PEER_LOST || st == ST_TIMEOUT) { /* nothing has gone upstream: the client may well try again */
        free_place(c);
        return err_set(err, ST_UNAVAILABLE, "Admission did not answer. Try again.");
    }
    return st;
}

static enum status ask_admission(struct call *c, struct err *err);

/* Did authsvc go away with the question? Nothing has gone upstream, and it knows the id again if it did decide. */
static bool ask_again(const struct call *c, enum status st)
{
    return (st == ST_PEER_LOST || st == ST_DRAINING) && c->admissions < CALL_ADMISSIONS &&
           clock_ms() - c->began_ms < CALL_ADMIT_MS;
}

static void on_admitted(void *ctx, enum status st, struct slice payload)
{
    struct call *c = ctx;
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

static enum status ask_admission(struct call *c, struct err *err)
{
    uint64_t used = clock_ms() - c->began_ms;
    struct xchg_open open = {.deadline_ms = used < CALL_ADMIT_MS ? CALL_ADMIT_MS - used : 1,
                             .patient = among_many(c),
                             .events = &admission_events,
                             .ctx = c};
    struct admit_req req = {.request_id = slice_of(c->r->id),
                            .key_digest = {(const char *)c->digest, sizeof(c->digest)},
                            .model = c->ask.model,
                            .endpoint = slice_of(c->surface->endpoint),
                            .prompt_tokens_estimate = c->ask.tokens_upper,
                            .max_output_tokens = c->ask.output_limit,
                            .choices = c->ask.choices,
                            .price_percent = c->ask.price_percent,
                            .deadline_ms = (uint64_t)c->gw->settings->call_timeout_ms,
                            .client_ip = c->r->client_ip,
                            .provider = c->provider,
                            .free =
                                (c->surface->flags & SURFACE_FREE) != 0, /* what needs no model is authsvc's to say */
                            .has = c->max_price_has,
                            .max_input_pico = c->max_input_pico,
                            .max_output_pico = c->max_output_pico};
    struct xchg_id id = {0, 0};

    if (c->ask.context) {
        req.context = slice_of(c->ask.context);
        req.context_tokens = c->ask.context_tokens;
    }
    if (c->surface->flags & SURFACE_BATCH) {
        req.batch.items = &c->worth;
        req.batch.n = 1;
    }
    c->admissions++;
    return call_open(svc_peer(c->gw->svc, SVC_AUTHSVC), &admit_req_desc, &req, &open, &id, err);
}

enum status call_begin(struct call *c, struct err *err)
{
    return ask_admission(c, err);
}

/* ---- the provider's answer --------------------------------------------------------------------------------------- */

static void on_data(void *ctx, uint16_t type, struct slice bytes)
{
    struct call *c = ctx;
    struct xchg_client *provider = svc_peer(c->gw->svc, SVC_PROVIDERSVC);
    bool clear = true, stop;
    struct xchg_id id = {0, 0};
    uint32_t credit;

    lock(c);
    id = c->ids[c->attempt - 1];
    if (type == response_head_desc.type)
        call_take_head(c, bytes);
    else if (type == 0)
        clear = call_take_bytes(c, bytes);
    else if (type == upload_want_desc.type)
        call_want_upload(c, bytes);
    credit = call_credit(c);
    stop = c->st != ST_OK || (c->stream.broken && !c->gone && !c->runs_on);
    c->gone |= c->stream.broken;
    unlock(c, !clear || c->n_wants);
    if (stop)
        xchg_cancel(provider, id);
    else if (credit)
        xchg_window(provider, id, credit);
}

/* ---- the provider's end ------------------------------------------------------------------------------------------ */

static void take_result(struct call *c, enum status st, struct slice payload)
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

static bool try_again(const struct call *c, enum status st)
{
    return never_began(st) && st != ST_NO_MEMORY && !c->has_head && !abandoned(c) && c->attempt < CALL_ATTEMPTS;
}

static void on_completed(void *ctx, enum status st, struct slice payload)
{
    struct call *c = ctx;
    bool clear = true, settled, again, gone;
    struct call_note note;

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
    if (c->mode != CALL_WHOLE)
        clear = call_end_stream(c);
    else if (c->st == ST_OK && !c->gone && !call_keeps_back(c))
        clear = call_answer_plain(c);
    settled = clear && call_can_settle(c);
    if (settled) {
        call_take_note(c, &note);
        buf_fini(&c->answer);
        c->settled_ms = clock_ms();
    }
    c->settled = c->r->settled = settled;
    c->over = true;
    unlock(c, !clear); /* the client may ask again from now on: the call may be gone */
    if (settled) {
        call_log(&note);
        request_count(note.gw, note.route, note.status, note.began_ns);
    }
}

static const struct xchg_events completion_events = {.data = on_data, .end = on_completed};

static void fill_request(const struct call *c, struct completion_req *req)
{
    const struct admit_rep *a = &c->admitted;

    *req = (struct completion_req){.request_id = slice_of(c->r->id),
                                   .user_id = a->user_id,
                                   .key_id = a->key_id,
                                   .model = c->ask.model,
                                   .routes = {a->routes.items, a->routes.n},
                                   .by_latency = a->by_latency,
                                   .endpoint = slice_of(c->surface->endpoint),
                                   .stream = c->ask.stream,
                                   .usage_asked = c->ask.usage_asked,
                                   .hold_nano = a->hold_nano,
                                   .output_limit = a->output_limit,
                                   .credit_limited = a->credit_limited,
                                   .background = c->ask.background,
                                   .price_percent = a->price_percent,
                                   .prompt_tokens_estimate = c->ask.tokens,
                                   .prompt_tokens_held = a->prompt_tokens_held,
                                   .key_digest = {(const char *)c->digest, sizeof(c->digest)},
                                   .path = c->path,
                                   .headers = {c->headers, c->n_headers},
                                   .body = c->r->body};
    if (!slice_is(c->r->method, "POST"))
        req->method = c->r->method;
    if (c->worth.requests) {
        req->batch.items = &c->worth;
        req->batch.n = 1;
    }
    if (c->surface->flags & SURFACE_BATCH)
        req->output_limit = 0; /* the lines have theirs */
    if (c->upload) {
        req->content_type = c->r->content_type;
        req->upload_bytes = c->upload->spool.bytes;
        req->model_at = c->ask.model_at;
        req->model_bytes = c->ask.model_bytes;
    }
}

/* Our hold on `openers` keeps the thread until the call is settled. */
static void give_up_opening(struct call *c, enum status st, const struct err *err)
{
    bool clear = true;

    let_go(c);
    settle_void(c, st);
    free_place(c);
    lock(c);
    c->openers--;
    give_up(c, st, err);
    if (c->early)
        clear = call_end_stream(c);
    unlock(c, !clear);
}

/* Runs in a callback: admission's end, or the end of an attempt that nobody took. */
static void open_completion(struct call *c)
{
    struct xchg_client *provider = svc_peer(c->gw->svc, SVC_PROVIDERSVC);
    struct xchg_open open = {.deadline_ms = call_remaining_ms(c),
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

    if (c->ask.stream) /* from now on it may be silent */
        atomic_store_explicit(&c->conn->quiet_since_ms, clock_ms(), memory_order_relaxed);
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
static bool mark_gone(struct call *c, struct xchg_id *ret_id)
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

void call_left(struct call *c)
{
    struct xchg_id id = {0, 0};

    if (!mark_gone(c, &id))
        return;
    pthread_mutex_unlock(&c->conn->lock);
    xchg_cancel(svc_peer(c->gw->svc, SVC_PROVIDERSVC), id);
    lock(c);
}

void call_cancel_all(struct gateway *gw)
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
