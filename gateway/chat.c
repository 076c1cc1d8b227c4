#include "gateway/chat.h"

#include <poll.h>
#include <sodium.h>

#include "gateway/answer.h"
#include "gateway/routes.h"
#include "services/clock.h"

#define NO_KEY_TEXT                                                                                                    \
    "You didn't provide an API key. Send it in an Authorization header using Bearer auth (Authorization: Bearer "      \
    "YOUR_KEY)."

static void answer_no_key(struct request *r)
{
    struct problem p = {.http = 401, .type = "invalid_request_error", .message = NO_KEY_TEXT, .should_retry = -1};

    answer_problem(r, &p, (struct slice){NULL, 0});
}

static void attach(struct chat *c)
{
    pthread_mutex_lock(&c->conn->lock);
    c->conn->call = c;
    pthread_mutex_unlock(&c->conn->lock);
}

static void detach(struct chat *c)
{
    pthread_mutex_lock(&c->conn->lock);
    c->conn->call = NULL;
    pthread_mutex_unlock(&c->conn->lock);
    atomic_store_explicit(&c->conn->quiet_since_ms, 0, memory_order_relaxed);
}

/* ---- waiting ----------------------------------------------------------------------------------------------------- */

#define LEFT (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)

/* What the thread knows while it waits. */
struct waiting {
    short events; /* to look for on the socket; 0 = it has nothing more to say */
    bool seen; /* the client's next request, or its end, or the connection has been idle for too long */
    uint64_t stalled_since; /* the socket has taken nothing since; 0 = nothing waits */
};

/* The client takes less than there is: the slow path. Under the lock, which it lets go while it waits. */
static void help_stream(struct chat *c, struct waiting *w)
{
    struct conn *conn = c->conn;
    struct xchg_client *provider = svc_peer(c->gw->svc, SVC_PROVIDERSVC);
    size_t before = c->stream.backlog.n;
    short events = c->over ? POLLOUT : POLLOUT | POLLRDHUP; /* a client that only stopped talking gets the rest */
    bool stop = false;
    struct xchg_id id = {0, 0};
    uint32_t credit;
    int shown;

    if (!w->stalled_since) {
        metric_add(c->gw->metrics.slow_streams, 1);
        w->stalled_since = clock_ms();
    }
    pthread_mutex_unlock(&conn->lock);
    shown = conn_sleep(conn, events, CHAT_STALL_MS);
    pthread_mutex_lock(&conn->lock);
    if (stream_flush(&c->stream) || c->stream.backlog.n < before)
        w->stalled_since = c->stream.backlog.n ? clock_ms() : 0;
    if (c->stream.broken || c->gone || (shown > 0 && shown & (LEFT & events)) ||
        (w->stalled_since && clock_ms() - w->stalled_since > CHAT_STALL_MS)) {
        c->stream.broken = true;
        stream_flush(&c->stream); /* nothing waits any more; what the provider is owed for it comes back */
        stop = !c->gone && !c->over && !c->runs_on;
        c->gone = true;
    }
    credit = stream_credit(&c->stream);
    id = c->ids[c->attempt - 1];
    pthread_mutex_unlock(&conn->lock);
    if (stop)
        xchg_cancel(provider, id);
    else if (credit)
        xchg_window(provider, id, credit);
    pthread_mutex_lock(&conn->lock);
}

/* How long a connection that has its answer may stay idle. */
static uint64_t patience(const struct chat *c)
{
    uint64_t idle = c->settled ? clock_ms() - c->settled_ms : 0;

    return idle < CHAT_IDLE_MS ? CHAT_IDLE_MS - idle : 0;
}

/* Under the lock, which it lets go while it sleeps. */
static void sleep_on_socket(struct chat *c, struct waiting *w)
{
    uint64_t ms = patience(c);
    int shown;

    c->wake_me = !(w->events & POLLIN);
    pthread_mutex_unlock(&c->conn->lock);
    shown = conn_sleep(c->conn, w->events, ms);
    pthread_mutex_lock(&c->conn->lock);
    if (shown < 0) {
        if (c->settled && patience(c) == 0) {
            c->r->keep_alive = false;
            w->seen = true;
        }
    } else if (shown & LEFT) {
        chat_left(c);
        w->events = 0;
        w->seen = true;
    } else if (shown & POLLIN) { /* the next request: later, if this one is still running */
        w->events = POLLRDHUP;
        w->seen = true;
    }
}

static void wait_until_over(struct chat *c)
{
    struct waiting w = {.events = POLLIN | POLLRDHUP};

    if (conn_has_more(c->conn))
        w = (struct waiting){.events = POLLRDHUP, .seen = true};
    pthread_mutex_lock(&c->conn->lock);
    for (;;) {
        if (c->runs_on && c->over && c->openers == 0) {
            c->runs_on = false;
            pthread_mutex_unlock(&c->conn->lock);
            chat_keep(c);
            pthread_mutex_lock(&c->conn->lock);
            if (chat_keeps_back(c) && !c->gone)
                chat_answer_plain(c);
        } else if (c->stream.backlog.n)
            help_stream(c, &w);
        else if (c->over && c->openers == 0 && (!c->settled || w.seen))
            break;
        else
            sleep_on_socket(c, &w);
    }
    pthread_mutex_unlock(&c->conn->lock);
}

/* ---- the answer -------------------------------------------------------------------------------------------------- */

static void answer_refused(struct chat *c)
{
    struct problem p = problem_of(&c->err);
    struct buf lines;

    buf_init(&lines, LIMIT_HEADER);
    chat_limit_lines(&c->limits, &lines);
    answer_problem(c->r, &p, (struct slice){lines.p, lines.n});
    buf_fini(&lines);
}

static void finish(struct chat *c)
{
    struct request *r = c->r;

    if (c->stream.began) {
        r->sent_bytes = c->stream.sent;
        if (c->gone)
            r->keep_alive = false;
    } else if (c->gone) {
        r->quiet = true;
    } else {
        answer_refused(c);
    }
    if (c->gone || r->quiet) {
        r->status = status_http(ST_CANCELLED);
        r->quiet = true;
        r->keep_alive = false;
        metric_add(c->gw->metrics.client_gone, 1);
    }
}

static void run(struct chat *c)
{
    struct chat_note note;
    enum status st;

    attach(c);
    metric_move(c->gw->metrics.streams, c->ask.stream);
    st = chat_begin(c, &c->err);
    if (st == ST_OK) {
        wait_until_over(c);
    } else {
        c->st = c->err.status = st;
        chat_keep(c);
    }
    detach(c);
    if (!c->settled) {
        finish(c);
        chat_take_note(c, &note);
        chat_log(&note);
    }
    idempotency_fini(&c->keep);
    stream_fini(&c->stream);
    buf_fini(&c->answer);
}

void chat_handle(struct request *r)
{
    struct slice key = request_key(r);
    struct chat *c = arena_alloc(r->arena, sizeof(*c));
    struct err err = {.status = ST_OK};
    enum status st;

    if (!key.n) {
        answer_no_key(r);
        return;
    }
    st = c ? idempotency_check(r, &err) : ST_NO_MEMORY;
    if (st == ST_OK)
        st = request_read_body(r, (size_t)r->gw->settings->max_body_bytes, &err);
    if (st == ST_OK)
        st = chat_request_read(r->body, r->arena, &c->ask, &err);
    if (st != ST_OK) {
        err.status = st;
        answer_error(r, &err);
        return;
    }
    c->gw = r->gw;
    c->conn = r->conn;
    c->r = r;
    buf_init(&c->answer, CHAT_ANSWER_MAX);
    crypto_hash_sha256(c->digest, (const unsigned char *)key.p, key.n);
    if (!idempotency_begin(&c->keep, r, c->digest))
        return;
    c->created_ms = clock_wall_ms(); /* who waited for another's answer begins only now */
    c->began_ms = clock_ms();
    c->runs_on = c->keep.key.n > 0;
    run(c);
}
