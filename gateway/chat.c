#include "gateway/chat.h"

#include <poll.h>
#include <sodium.h>

#include "gateway/answer.h"
#include "gateway/routes.h"
#include "gateway/watch.h"
#include "services/clock.h"

#define NO_KEY_TEXT                                                                                                    \
    "You didn't provide an API key. Send it in an Authorization header using Bearer auth (Authorization: Bearer "      \
    "YOUR_KEY)."

static void answer_no_key(struct request *r)
{
    struct problem p = {.http = 401, .type = "invalid_request_error", .message = NO_KEY_TEXT, .should_retry = -1};

    answer_problem(r, &p, (struct slice){NULL, 0});
}

/* Connects the call with its connection. false: the client has already left. */
static bool attach(struct chat *c)
{
    struct conn *conn = c->conn;
    bool here;

    if (!conn->watched) /* once a connection; without the watcher a lost client is noticed when we write to it */
        conn->watched = watch_add(c->gw->watch, conn);
    pthread_mutex_lock(&conn->lock);
    here = !conn->gone;
    if (here)
        conn->call = c;
    pthread_mutex_unlock(&conn->lock);
    return here;
}

static void detach(struct chat *c)
{
    pthread_mutex_lock(&c->conn->lock);
    c->conn->call = NULL;
    pthread_mutex_unlock(&c->conn->lock);
    atomic_store_explicit(&c->conn->quiet_since_ms, 0, memory_order_relaxed);
}

/* The slow path of a stream. Under the lock, which it lets go while it waits. */
static void help_stream(struct chat *c, uint64_t *stalled_since)
{
    struct conn *conn = c->conn;
    struct xchg_client *provider = svc_peer(c->gw->svc, SVC_PROVIDERSVC);
    struct pollfd wait = {.fd = conn->fd, .events = POLLOUT};
    size_t before = c->stream.backlog.n;
    bool stop = false;
    struct xchg_id id;
    uint32_t credit;

    pthread_mutex_unlock(&conn->lock);
    poll(&wait, 1, 1000);
    pthread_mutex_lock(&conn->lock);
    if (stream_flush(&c->stream) || c->stream.backlog.n < before)
        *stalled_since = clock_ms();
    if (c->stream.broken || clock_ms() - *stalled_since > CHAT_STALL_MS || c->gone) {
        c->stream.broken = true;
        c->stream.backlog.n = 0;
        stop = !c->gone && !c->over;
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

static void wait_until_over(struct chat *c)
{
    struct conn *conn = c->conn;
    uint64_t stalled_since = 0;

    pthread_mutex_lock(&conn->lock);
    for (;;) {
        if (c->streaming && c->stream.backlog.n) {
            if (!stalled_since) {
                metric_add(c->gw->metrics.slow_streams, 1);
                stalled_since = clock_ms();
            }
            help_stream(c, &stalled_since);
        } else if (c->over && c->openers == 0) {
            break;
        } else {
            stalled_since = 0;
            pthread_cond_wait(&conn->wake, &conn->lock);
        }
    }
    pthread_mutex_unlock(&conn->lock);
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

static void answer_whole(struct chat *c)
{
    char type[LIMIT_NAME + 1];
    struct buf lines;

    if (!slice_copy(c->head.content_type, type, sizeof(type)))
        type[0] = '\0';
    buf_init(&lines, ANSWER_ERROR_MAX * 16);
    chat_answer_lines(c, &lines);
    answer_send(c->r, (int)c->head.http_status, type, (struct slice){lines.p, lines.n},
                (struct slice){c->answer.p, c->answer.n});
    buf_fini(&lines);
}

static void finish(struct chat *c)
{
    struct request *r = c->r;

    if (c->streaming && c->stream.began) {
        r->sent_bytes = c->stream.sent;
        if (c->gone)
            r->keep_alive = false;
    } else if (c->gone) {
        r->quiet = true;
    } else if (c->st == ST_OK && c->has_head) {
        answer_whole(c);
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

static void log_call(const struct chat *c)
{
    uint64_t now = clock_ms(), first = c->first_ms ? c->first_ms - c->began_ms : 0;

    if (c->first_ms)
        metric_observe_ns(c->gw->metrics.first_byte, first * 1000000);
    log_event(svc_log(c->gw->svc), LOG_INFO, slice_of(c->r->id), "call", LOG_N("status", c->r->status),
              LOG_S("model", c->ask.model), LOG_B("stream", c->ask.stream), LOG_N("ms", now - c->began_ms),
              LOG_N("ttft_ms", first), LOG_N("bytes", c->r->sent_bytes), LOG_C("outcome", status_name(c->st)));
}

static void run(struct chat *c)
{
    enum status st = ST_CANCELLED;

    if (attach(c)) {
        metric_move(c->gw->metrics.streams, c->ask.stream);
        st = chat_begin(c, &c->err);
        if (st == ST_OK)
            wait_until_over(c);
        else
            c->st = c->err.status = st;
        metric_move(c->gw->metrics.streams, -(int64_t)c->ask.stream);
    } else {
        c->gone = true;
    }
    detach(c);
    finish(c);
    log_call(c);
    if (c->streaming)
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
    st = c ? request_read_body(r, (size_t)r->gw->settings->max_body_bytes, &err) : ST_NO_MEMORY;
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
    c->created_ms = clock_wall_ms();
    c->began_ms = clock_ms();
    buf_init(&c->answer, CHAT_ANSWER_MAX);
    crypto_hash_sha256(c->digest, (const unsigned char *)key.p, key.n);
    run(c);
}
