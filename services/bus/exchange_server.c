#include "services/bus/exchange_server.h"

#include <stdlib.h>
#include <string.h>

#include <nng/protocol/reqrep0/rep.h>

#include "services/clock.h"

/* ---- contexts
 * ----------------------------------------------------------------------------------------------------------- */

void server_receive(struct sctx *x)
{
    if (atomic_load(&x->server->closing))
        return;
    atomic_fetch_add(&x->server->receiving, 1);
    nng_ctx_recv(x->ctx, x->recv);
}

void server_unsent(struct sctx *x)
{
    struct xchg_server *srv = x->server;

    pthread_mutex_lock(&srv->lock);
    x->next_unsent = srv->unsent;
    srv->unsent = x;
    pthread_mutex_unlock(&srv->lock);
}

/* A second send on a context whose first is still queued would corrupt nng's queue, so such a context rests until nng
 * is done. */
static void look_at_unsent(struct xchg_server *srv)
{
    struct sctx *x, *next, *still = NULL, *done = NULL;

    pthread_mutex_lock(&srv->lock);
    for (x = srv->unsent; x; x = next) {
        struct sctx **list = nng_aio_busy(x->send) ? &still : &done;

        next = x->next_unsent;
        x->next_unsent = *list;
        *list = x;
    }
    srv->unsent = still;
    pthread_mutex_unlock(&srv->lock);
    for (x = done; x; x = next) {
        next = x->next_unsent;
        nng_msg_free(nng_aio_get_msg(x->send)); /* NULL when it was sent */
        nng_aio_set_msg(x->send, NULL);
        server_receive(x);
    }
}

static void request(void *arg);

static struct sctx *context_new(struct xchg_server *srv)
{
    struct sctx *x = calloc(1, sizeof(*x));
    int rv;

    if (!x)
        return NULL;
    x->server = srv;
    rv = nng_ctx_open(&x->ctx, srv->sock);
    if (rv == 0)
        rv = nng_aio_alloc(&x->recv, request, x);
    if (rv == 0)
        rv = nng_aio_alloc(&x->send, NULL, NULL);
    if (rv == 0)
        return x;
    nng_aio_free(x->recv);
    (void)nng_ctx_close(x->ctx);
    free(x);
    return NULL;
}

/* Without a context that receives, a request would wait in its pipe unseen. */
static void keep_spare(struct xchg_server *srv, unsigned spare)
{
    while (atomic_load(&srv->receiving) < spare && !atomic_load(&srv->closing)) {
        struct sctx *x = NULL;

        pthread_mutex_lock(&srv->lock);
        if (srv->n_contexts < SERVER_CONTEXTS_MAX)
            x = context_new(srv);
        if (x) {
            x->next = srv->contexts;
            srv->contexts = x;
            srv->n_contexts++;
        }
        pthread_mutex_unlock(&srv->lock);
        if (!x)
            return;
        server_receive(x);
    }
}

/* nng: a context has a request. */
static void request(void *arg)
{
    struct sctx *x = arg;
    struct xchg_server *srv = x->server;
    int rv = nng_aio_result(x->recv);
    struct session *s;

    atomic_fetch_sub(&srv->receiving, 1);
    if (rv != 0) {
        if (rv != NNG_ECLOSED && !atomic_load(&srv->closing))
            server_unsent(x); /* the worker lets it receive again */
        return;
    }
    x->msg = nng_aio_get_msg(x->recv);
    nng_aio_set_msg(x->recv, NULL);
    keep_spare(srv, SERVER_CONTEXTS_SPARE);
    look_at_unsent(srv);
    s = server_find(srv, (uint32_t)nng_pipe_id(nng_msg_get_pipe(x->msg)));
    if (!s) { /* gone already */
        nng_msg_free(x->msg);
        x->msg = NULL;
        server_receive(x);
        return;
    }
    session_request(s, x);
    session_unref(s);
}

/* ---- sessions
 * ----------------------------------------------------------------------------------------------------------- */

struct session *server_find(struct xchg_server *srv, uint32_t pipe)
{
    struct session *s;

    pthread_mutex_lock(&srv->lock);
    s = srv->by_pipe[pipe % SERVER_PIPE_BUCKETS];
    while (s && s->pipe != pipe)
        s = s->hash_next;
    if (s)
        atomic_fetch_add(&s->refs, 1);
    pthread_mutex_unlock(&srv->lock);
    return s;
}

static bool add_session(struct xchg_server *srv, uint32_t pipe)
{
    struct session *s = NULL;

    pthread_mutex_lock(&srv->lock);
    if (srv->n_sessions < SERVER_SESSIONS_MAX)
        s = session_new(srv, pipe);
    if (s) {
        s->hash_next = srv->by_pipe[pipe % SERVER_PIPE_BUCKETS];
        srv->by_pipe[pipe % SERVER_PIPE_BUCKETS] = s;
        s->next = srv->sessions;
        if (s->next)
            s->next->prev = s;
        srv->sessions = s;
        s->listed = true;
        srv->n_sessions++;
    }
    pthread_mutex_unlock(&srv->lock);
    return s != NULL;
}

/* Locked. */
static void remove_session(struct xchg_server *srv, struct session *s)
{
    struct session **at = &srv->by_pipe[s->pipe % SERVER_PIPE_BUCKETS];

    while (*at != s)
        at = &(*at)->hash_next;
    *at = s->hash_next;
    if (s->next)
        s->next->prev = s->prev;
    if (s->prev)
        s->prev->next = s->next;
    else
        srv->sessions = s->next;
    s->listed = false;
    srv->n_sessions--;
}

/* nng, before the first and after the last message of a connection. */
static void pipe_event(nng_pipe p, nng_pipe_ev event, void *arg)
{
    struct xchg_server *srv = arg;
    struct session *s;

    if (event == NNG_PIPE_EV_ADD_PRE) {
        if (atomic_load(&srv->closing) || !add_session(srv, (uint32_t)nng_pipe_id(p)))
            (void)nng_pipe_close(p);
        return;
    }
    s = server_find(srv, (uint32_t)nng_pipe_id(p));
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    session_lose(s);
    pthread_mutex_unlock(&s->lock);
    session_unref(s);
    server_wake(srv);
}

/* ---- the worker
 * --------------------------------------------------------------------------------------------------------- */

void server_wake(struct xchg_server *srv)
{
    pthread_mutex_lock(&srv->lock);
    srv->work = true;
    pthread_cond_signal(&srv->wake);
    pthread_mutex_unlock(&srv->lock);
}

/* Locked on entry and exit. */
static void check_sessions(struct xchg_server *srv, uint64_t now, uint64_t *next_ms)
{
    struct session *s = srv->sessions, *next;

    for (; s; s = next) {
        bool buried, busy;

        pthread_mutex_unlock(&srv->lock);
        session_check(s, now, next_ms);
        pthread_mutex_lock(&s->lock);
        busy = s->running || s->sending;
        /* Until then it stays in the list: whoever frees the server waits for what is listed, and tells it. */
        buried = s->buried && !busy && s->n_calls == 0;
        if (s->buried && busy && *next_ms > now + 1)
            *next_ms = now + 1;
        pthread_mutex_unlock(&s->lock);
        pthread_mutex_lock(&srv->lock);
        next = s->next;
        if (!buried)
            continue;
        remove_session(srv, s);
        session_unref(s);
    }
}

static void *work(void *arg)
{
    struct xchg_server *srv = arg;

    pthread_mutex_lock(&srv->lock);
    while (!atomic_load(&srv->closing)) {
        uint64_t now = clock_ms(), next = now + SERVER_IDLE_TICK_MS;

        srv->work = false;
        pthread_mutex_unlock(&srv->lock);
        look_at_unsent(srv);
        keep_spare(srv, SERVER_CONTEXTS_SPARE);
        pthread_mutex_lock(&srv->lock);
        check_sessions(srv, now, &next);
        if (srv->unsent && next > now + SERVER_TICK_MS)
            next = now + SERVER_TICK_MS;
        if (!srv->work && !atomic_load(&srv->closing))
            transport_cond_wait_until(&srv->wake, &srv->lock, next);
    }
    pthread_mutex_unlock(&srv->lock);
    return NULL;
}

/* ---- the server itself
 * -------------------------------------------------------------------------------------------------- */

static enum status open_socket(struct xchg_server *srv, struct err *err)
{
    int rv = nng_rep0_open(&srv->sock);
    enum status st;

    if (rv != 0)
        return err_set(err, transport_status(rv), "cannot open a bus socket: %s", nng_strerror(rv));
    srv->open = true;
    st = transport_options(srv->sock, XCHG_MESSAGE_MAX);
    if (st == ST_OK)
        st = transport_status(nng_pipe_notify(srv->sock, NNG_PIPE_EV_ADD_PRE, pipe_event, srv));
    if (st == ST_OK)
        st = transport_status(nng_pipe_notify(srv->sock, NNG_PIPE_EV_REM_POST, pipe_event, srv));
    if (st != ST_OK)
        return err_set(err, st, "cannot set up a bus socket");
    keep_spare(srv, SERVER_CONTEXTS_FIRST);
    if (atomic_load(&srv->receiving) == 0)
        return err_set(err, ST_NO_MEMORY, "no memory for a bus server");
    return transport_listen(srv->sock, srv->options.url, err);
}

enum status xchg_server_new(const struct xchg_server_options *options, struct xchg_server **ret, struct err *err)
{
    struct xchg_server *srv = calloc(1, sizeof(*srv));
    enum status st;

    if (!srv)
        return err_set(err, ST_NO_MEMORY, "no memory for a bus server");
    transport_start();
    srv->options = *options;
    srv->options.url = strdup(options->url);
    srv->cipher = trust_cipher(options->trust, options->url);
    pthread_mutex_init(&srv->lock, NULL);
    transport_cond_init(&srv->wake);
    st = srv->options.url ? open_socket(srv, err) : err_set(err, ST_NO_MEMORY, "no memory for a bus server");
    if (st == ST_OK) {
        st = transport_thread(&srv->worker, work, srv);
        srv->has_worker = st == ST_OK;
        if (st != ST_OK)
            err_set(err, st, "no thread for the bus");
    }
    if (st != ST_OK) {
        xchg_server_free(srv);
        return st;
    }
    *ret = srv;
    return ST_OK;
}

void xchg_server_drain(struct xchg_server *srv)
{
    struct session *s;

    atomic_store(&srv->draining, true);
    pthread_mutex_lock(&srv->lock);
    for (s = srv->sessions; s; s = s->next) {
        pthread_mutex_lock(&s->lock);
        s->answer_now = true; /* the worker flushes it */
        pthread_mutex_unlock(&s->lock);
    }
    pthread_mutex_unlock(&srv->lock);
    server_wake(srv);
}

unsigned xchg_server_open_calls(struct xchg_server *srv)
{
    return atomic_load(&srv->open_calls);
}

static void free_contexts(struct xchg_server *srv)
{
    struct sctx *x, *next;

    for (x = srv->contexts; x; x = x->next) {
        nng_aio_stop(x->recv);
        nng_aio_stop(x->send);
    }
    for (x = srv->contexts; x; x = next) {
        next = x->next;
        nng_msg_free(x->msg);
        nng_msg_free(nng_aio_get_msg(x->send));
        nng_aio_free(x->recv);
        nng_aio_free(x->send);
        free(x);
    }
}

/* Only the worker takes sessions out of the list, and this one is referenced while the lock is away. */
static bool owes(struct xchg_server *srv)
{
    struct session *s, *next;
    bool any = false;

    pthread_mutex_lock(&srv->lock);
    for (s = srv->sessions; s; s = next) {
        atomic_fetch_add(&s->refs, 1);
        pthread_mutex_unlock(&srv->lock);
        any = session_owes(s) || any;
        pthread_mutex_lock(&srv->lock);
        next = s->listed ? s->next : NULL; /* the round is cut short; there is another */
        any = any || !s->listed;
        session_unref(s);
    }
    pthread_mutex_unlock(&srv->lock);
    return any;
}

static void linger(struct xchg_server *srv)
{
    uint64_t until = clock_ms() + SERVER_LINGER_MS;

    atomic_store(&srv->draining, true);
    while (srv->has_worker && owes(srv) && clock_ms() < until)
        nng_msleep(1);
}

/* Without the lock over a session's: the list only grows at its head now that the worker is gone. */
static void detach_all(struct xchg_server *srv)
{
    struct session *s;

    pthread_mutex_lock(&srv->lock);
    s = srv->sessions;
    pthread_mutex_unlock(&srv->lock);
    for (; s; s = s->next)
        session_detach(s);
}

void xchg_server_free(struct xchg_server *srv)
{
    struct session *s, *next;
    char *url;

    if (!srv)
        return;
    linger(srv);
    pthread_mutex_lock(&srv->lock);
    atomic_store(&srv->closing, true);
    pthread_cond_signal(&srv->wake);
    pthread_mutex_unlock(&srv->lock);
    if (srv->has_worker)
        pthread_join(srv->worker, NULL);
    detach_all(srv); /* no thread may be handing nng an answer while the socket closes */
    if (srv->open)
        nng_close(srv->sock);
    detach_all(srv); /* those that connected meanwhile */
    free_contexts(srv);
    for (s = srv->sessions; s; s = next) {
        next = s->next;
        session_unref(s);
    }
    memcpy(&url, &srv->options.url, sizeof(url)); /* ours, although the options call it const */
    free(url);
    pthread_cond_destroy(&srv->wake);
    pthread_mutex_destroy(&srv->lock);
    free(srv);
}

void xchg_server_stats(struct xchg_server *srv, struct xchg_stats *ret)
{
    *ret = (struct xchg_stats){.batches_sent = atomic_load(&srv->stats.batches_sent),
                               .frames_sent = atomic_load(&srv->stats.frames_sent),
                               .batches_received = atomic_load(&srv->stats.batches_received),
                               .frames_received = atomic_load(&srv->stats.frames_received),
                               .malformed = atomic_load(&srv->stats.malformed),
                               .lost = atomic_load(&srv->stats.lost)};
}
