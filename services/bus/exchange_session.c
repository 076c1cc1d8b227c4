#include "services/bus/exchange_server.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "services/clock.h"

struct session *session_new(struct xchg_server *srv, uint32_t pipe)
{
    struct session *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    s->buckets = calloc(SESSION_BUCKETS_FIRST, sizeof(struct xchg_call *));
    if (!s->buckets) {
        free(s);
        return NULL;
    }
    s->n_buckets = SESSION_BUCKETS_FIRST;
    s->server = srv;
    s->pipe = pipe;
    s->heard_ms = clock_ms();
    atomic_store(&s->refs, 1);
    pthread_mutex_init(&s->lock, NULL);
    wheel_init(&s->wheel, s->heard_ms);
    return s;
}

void session_unref(struct session *s)
{
    if (atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    outq_clear(&s->out);
    pthread_mutex_destroy(&s->lock);
    sodium_memzero(&s->keys, sizeof(s->keys));
    free(s->buckets);
    free(s);
}

/* ---- answers out
 * -------------------------------------------------------------------------------------------------------- */

/* Locked, but not while nng works, nor while it is sealed. */
static void send_answer(struct session *s, struct sctx *x, nng_msg *msg, const uint64_t *number)
{
    struct cipher_session keys = {.answer = {0}};

    if (number)
        keys = s->keys; /* a client may begin anew meanwhile */
    s->sending++;
    SERVER_COUNT(s->server, batches_sent, 1);
    pthread_mutex_unlock(&s->lock);
    if (number)
        outq_seal(msg, keys.to_client, *number, *number == 0 ? keys.answer : NULL);
    nng_aio_set_msg(x->send, msg);
    nng_ctx_send(x->ctx, x->send);
    if (nng_aio_busy(x->send)) {
        server_unsent(x);
    } else {
        nng_msg_free(nng_aio_get_msg(x->send)); /* still there only when the socket is closed */
        nng_aio_set_msg(x->send, NULL);
        server_receive(x);
    }
    pthread_mutex_lock(&s->lock);
    s->sending--;
}

/* Locked, but not while nng works. */
static void answer(struct session *s, struct sctx *x, nng_msg *msg)
{
    struct xchg_server *srv = s->server;
    uint64_t number = s->send_seq++;
    struct frame_batch head = {.sealed = srv->cipher != NULL,
                               .seq = (uint32_t)number,
                               .ack = (uint32_t)s->recv_seq,
                               .instance = srv->options.instance,
                               .mark = srv->options.boot};

    if (atomic_load(&srv->draining)) {
        head.flags = FRAME_DRAINING;
        if (!s->told_drain)
            s->told_seq = (uint32_t)s->send_seq;
        s->told_drain = true;
    }
    outq_head(msg, &head);
    send_answer(s, x, msg, srv->cipher ? &number : NULL);
}

static struct sctx *unhold(struct session *s)
{
    struct sctx *x = s->held[0];

    s->n_held--;
    memmove(&s->held[0], &s->held[1], s->n_held * sizeof(s->held[0]));
    return x;
}

void session_flush(struct session *s)
{
    while (s->n_held > 0 && !s->lost) {
        size_t frames = 0;
        nng_msg *msg = outq_take(&s->out, &frames);

        if (!msg && s->n_held <= SESSION_HOLD && !s->answer_now)
            return;
        if (!msg)
            msg = outq_empty_batch();
        if (!msg)
            return; /* no memory: the worker tries again */
        s->answer_now = false;
        s->out_frames = 0;
        SERVER_COUNT(s->server, frames_sent, frames);
        answer(s, unhold(s), msg);
    }
}

/* ---- requests in
 * -------------------------------------------------------------------------------------------------------- */

enum verdict { VERDICT_TAKE, VERDICT_DROP, VERDICT_MALFORMED, VERDICT_REFUSE };

/* Does the batch belong to this connection? nng may deliver on a new connection what a client had handed to it for the
 * last one; the client has given those calls up, so they must not run. A batch that came before is not taken again:
 * each number is, once, and no further ahead than a client may have in flight. */
static enum verdict place(const struct session *s, const struct frame_batch *head)
{
    bool hello = (head->flags & FRAME_HELLO) != 0;

    if (head->flags & FRAME_DRAINING)
        return VERDICT_MALFORMED;
    if (hello && head->seq != 0)
        return VERDICT_MALFORMED;
    if (!s->begun || head->mark != s->mark) {
        if (!hello)
            return VERDICT_DROP;
        return s->begun && (s->recv_seq > 1 || s->n_calls || s->got[0]) ? VERDICT_MALFORMED : VERDICT_TAKE;
    }
    if (hello || head->seq - (uint32_t)s->recv_seq >= XCHG_CONTEXTS || s->got[head->seq % XCHG_CONTEXTS])
        return VERDICT_MALFORMED;
    return VERDICT_TAKE;
}

static void begin(struct session *s, const struct frame_batch *head)
{
    s->begun = true;
    s->mark = head->mark;
    s->instance = head->instance;
    s->recv_seq = 0;
    s->send_seq = 0;
    s->taken = 0;
    s->told_drain = false;
    s->closing = false;
}

/* A hello has no frames. */
static enum verdict read_hello(struct session *s, struct sctx *x, struct slice rest)
{
    const struct cipher *cipher = s->server->cipher;

    if (rest.n != (cipher ? CIPHER_HELLO : 0))
        return VERDICT_MALFORMED;
    if (cipher && !cipher_welcome(cipher, nng_msg_body(x->msg), (const unsigned char *)rest.p, &s->keys))
        return s->begun ? VERDICT_MALFORMED : VERDICT_REFUSE;
    x->frames = (struct slice){rest.p, 0};
    begin(s, &x->head);
    return VERDICT_TAKE;
}

static enum verdict judge(struct session *s, struct sctx *x)
{
    struct slice bytes = {nng_msg_body(x->msg), nng_msg_len(x->msg)};
    const struct cipher *cipher = s->server->cipher;
    size_t frames = 0;
    enum verdict v;

    if (s->lost)
        return VERDICT_DROP;
    if (!s->begun && !s->refused && frame_stranger(bytes, cipher != NULL) != FRAME_ACCEPTED)
        return VERDICT_REFUSE;
    if (!frame_head_read(bytes, &x->head) || x->head.sealed != (cipher != NULL))
        return VERDICT_MALFORMED;
    v = place(s, &x->head);
    if (v != VERDICT_TAKE)
        return v;
    x->frames = (struct slice){bytes.p + FRAME_BATCH_SIZE, bytes.n - FRAME_BATCH_SIZE};
    if (x->head.flags & FRAME_HELLO)
        v = read_hello(s, x, x->frames);
    else if (cipher && !outq_open(x->msg, s->keys.to_server,
                                  s->recv_seq + (uint32_t)(x->head.seq - (uint32_t)s->recv_seq), 0, &x->frames))
        v = VERDICT_MALFORMED;
    if (v == VERDICT_TAKE && !frame_frames_check(x->frames, FRAME_BY_CLIENT, &frames))
        v = VERDICT_MALFORMED;
    if (v == VERDICT_TAKE) {
        SERVER_COUNT(s->server, batches_received, 1);
        SERVER_COUNT(s->server, frames_received, frames);
    }
    return v;
}

/* Locked, but not while nng works. Says why, once: a client that hears it need not wait to be told by a clock. false:
 * no memory to say it; x has its request still. */
static bool turn_away(struct session *s, struct sctx *x)
{
    struct slice bytes = {nng_msg_body(x->msg), nng_msg_len(x->msg)};
    enum frame_refusal why = frame_stranger(bytes, s->server->cipher != NULL);
    nng_msg *refusal = outq_empty_batch();
    char peer[TRUST_PEER_TEXT];

    if (why == FRAME_ACCEPTED)
        why = FRAME_REFUSED_SECRET;
    transport_peer(nng_msg_get_pipe(x->msg), peer);
    trust_refuse(s->server->options.trust, peer, why);
    s->refused = true;
    if (!refusal)
        return false;
    nng_msg_free(x->msg);
    x->msg = NULL;
    frame_refusal_write(nng_msg_body(refusal), why);
    send_answer(s, x, refusal, NULL);
    return true;
}

void session_request(struct session *s, struct sctx *x)
{
    enum verdict v;

    pthread_mutex_lock(&s->lock);
    v = s->server ? judge(s, x) : VERDICT_DROP;
    if (v == VERDICT_REFUSE && (s->refused || !turn_away(s, x)))
        v = VERDICT_MALFORMED;
    if (v == VERDICT_TAKE) {
        s->got[x->head.seq % XCHG_CONTEXTS] = x;
    } else if (v == VERDICT_MALFORMED) {
        SERVER_COUNT(s->server, malformed, 1);
        session_lose(s);
    }
    session_strand(s);
    pthread_mutex_unlock(&s->lock);
    if (v == VERDICT_TAKE || v == VERDICT_REFUSE)
        return;
    nng_msg_free(x->msg);
    x->msg = NULL;
    server_receive(x);
}

/* ---- frames
 * ------------------------------------------------------------------------------------------------------------- */

static void refuse(struct session *s, uint64_t call, enum status st)
{
    struct frame f = {.kind = FRAME_END, .type = (uint16_t)st, .call = call};

    if (outq_add(&s->out, &f) != ST_OK)
        session_lose(s);
}

static void open_frame(struct session *s, const struct frame *f)
{
    struct xchg_server *srv = s->server;
    struct xchg_call *x = NULL;
    enum status st;

    pthread_mutex_lock(&s->lock);
    st = s->lost && f->kind == FRAME_OPEN ? ST_CANCELLED : call_new(s, f, &x);
    if (st == ST_BAD_MESSAGE) {
        SERVER_COUNT(srv, malformed, 1);
        session_lose(s);
    } else if (st != ST_OK && f->call && !s->lost) {
        refuse(s, f->call, st);
    }
    pthread_mutex_unlock(&s->lock);
    if (st == ST_OK)
        srv->options.handler(srv->options.ctx, x, f->type, f->payload);
}

/* Locked on entry, not on exit: tells the service that nobody waits for x any more. */
static void tell_cancelled(struct session *s, struct xchg_call *x)
{
    struct xchg_call_events events = x->events;
    void *ctx = x->ctx;
    uint64_t tag = x->tag;
    bool before = x->cancelled;

    x->cancelled = true;
    pthread_mutex_unlock(&s->lock);
    if (!before && events.cancel)
        events.cancel(ctx, tag);
}

static void cancel_frame(struct session *s, const struct frame *f)
{
    struct xchg_call *x;

    pthread_mutex_lock(&s->lock);
    x = call_find(s, f->call);
    if (!x) { /* ended a moment ago */
        pthread_mutex_unlock(&s->lock);
        return;
    }
    x->unread = true;
    tell_cancelled(s, x);
}

static void window_frame(struct session *s, const struct frame *f)
{
    struct xchg_call_events events = {.window = NULL};
    struct xchg_call *x;
    void *ctx = NULL;
    uint64_t tag = 0;

    pthread_mutex_lock(&s->lock);
    x = call_find(s, f->call);
    if (x) {
        x->room += f->a;
        if (x->room > x->window)
            x->room = x->window;
        if (x->starved && x->room > 0 && !x->cancelled) {
            x->starved = false;
            events = x->events;
            ctx = x->ctx;
            tag = x->tag;
        }
    }
    pthread_mutex_unlock(&s->lock);
    if (events.window)
        events.window(ctx, tag);
}

static void push_frame(struct session *s, const struct frame *f)
{
    struct xchg_call_events events = {.data = NULL};
    struct xchg_call *x;
    void *ctx = NULL;
    uint64_t tag = 0;

    pthread_mutex_lock(&s->lock);
    x = call_find(s, f->call);
    if (x && !x->cancelled) {
        events = x->events;
        ctx = x->ctx;
        tag = x->tag;
    }
    pthread_mutex_unlock(&s->lock);
    if (events.data)
        events.data(ctx, tag, f->type, f->payload);
}

static void take_request(struct session *s, struct sctx *x)
{
    struct slice frames = x->frames;
    struct frame f;

    s->heard_ms = clock_ms();
    s->taken = x->head.ack;
    if (x->head.flags & FRAME_HELLO)
        s->answer_now = true;
    pthread_mutex_unlock(&s->lock);
    xchg_gather_begin(); /* what the handlers send to other services, and end for other clients */
    while (frame_next(&frames, &f)) {
        if (f.kind == FRAME_CANCEL)
            cancel_frame(s, &f);
        else if (f.kind == FRAME_WINDOW)
            window_frame(s, &f);
        else if (f.kind == FRAME_PUSH)
            push_frame(s, &f);
        else
            open_frame(s, &f);
    }
    nng_msg_free(x->msg);
    x->msg = NULL;
    xchg_gather_end();
    pthread_mutex_lock(&s->lock);
    x->held_ms = s->heard_ms;
    s->held[s->n_held++] = x; /* there is room: the flush that follows leaves SESSION_HOLD at most */
    session_flush(s);
}

/* ---- the end of a connection
 * -------------------------------------------------------------------------------------------- */

void session_lose(struct session *s)
{
    if (s->lost)
        return;
    s->lost = true;
    if (s->server)
        SERVER_COUNT(s->server, lost, 1);
}

/* Locked. Its calls stay until their xchg_end, but nobody will hear it. */
static void bury(struct session *s)
{
    struct sctx *back[2 * XCHG_CONTEXTS + 1];
    nng_pipe p = NNG_PIPE_INITIALIZER;
    struct wheel_item *item;
    unsigned i, n = 0;

    p.id = s->pipe;
    s->buried = true;
    for (i = 0; i < XCHG_CONTEXTS; i++) {
        if (s->got[i])
            back[n++] = s->got[i];
        s->got[i] = NULL;
    }
    while (s->n_held)
        back[n++] = unhold(s);
    outq_clear(&s->out);
    pthread_mutex_unlock(&s->lock);
    (void)nng_pipe_close(p);
    for (i = 0; i < n; i++) {
        nng_msg_free(back[i]->msg);
        back[i]->msg = NULL;
        server_receive(back[i]);
    }
    pthread_mutex_lock(&s->lock);
    while ((item = wheel_take_any(&s->wheel)) != NULL) {
        struct xchg_call *x = (struct xchg_call *)(void *)item;

        x->unread = true;
        tell_cancelled(s, x);
        pthread_mutex_lock(&s->lock);
    }
}

/* ---- the strand
 * --------------------------------------------------------------------------------------------------------- */

/* What arrived before a client was lost is still read, for what it tells; its calls are not begun any more. */
static bool step(struct session *s)
{
    struct sctx *x = s->got[s->recv_seq % XCHG_CONTEXTS];
    struct wheel_item *due;

    if (x) {
        s->got[s->recv_seq % XCHG_CONTEXTS] = NULL;
        s->recv_seq++;
        take_request(s, x);
        return true;
    }
    if (s->lost && !s->buried) {
        bury(s);
        return true;
    }
    due = wheel_take_due(&s->wheel);
    if (due) {
        tell_cancelled(s, (struct xchg_call *)(void *)due);
        pthread_mutex_lock(&s->lock);
        return true;
    }
    return false;
}

/* While it runs, what handlers answer gathers, and leaves together when the batch is through. */
void session_strand(struct session *s)
{
    if (s->running || !s->server)
        return;
    s->running = true;
    while (step(s))
        ;
    s->running = false;
    session_flush(s);
}

void session_check(struct session *s, uint64_t now_ms, uint64_t *next_ms)
{
    pthread_mutex_lock(&s->lock);
    wheel_advance(&s->wheel, now_ms);
    if (s->n_held > 0 && now_ms >= s->held[0]->held_ms + XCHG_WAIT_MS)
        s->answer_now = true;
    if (s->n_held == 0 && now_ms > s->heard_ms + XCHG_LOST_MS)
        session_lose(s);
    session_strand(s);
    if (s->n_calls && *next_ms > now_ms + SERVER_TICK_MS)
        *next_ms = now_ms + SERVER_TICK_MS;
    pthread_mutex_unlock(&s->lock);
}

static bool reached(uint32_t seq, uint32_t target)
{
    return seq - target < UINT32_MAX / 2; /* they wrap */
}

/* nng_close drops what is on its way. So first every client takes what it is due and learns that we drain; if it has
 * nothing more to ask, an empty answer makes it ask again, and say how far it is. */
bool session_owes(struct session *s)
{
    bool owes;

    pthread_mutex_lock(&s->lock);
    owes = s->begun && !s->lost;
    if (owes && s->out.n == 0 && s->told_drain) {
        if (!s->closing)
            s->close_seq = (uint32_t)s->send_seq;
        s->closing = true;
        owes = !reached(s->taken, s->close_seq) || !reached(s->taken, s->told_seq);
    }
    if (owes && !s->running) {
        s->answer_now = true;
        session_flush(s);
    }
    pthread_mutex_unlock(&s->lock);
    return owes;
}

void session_detach(struct session *s)
{
    unsigned i;

    pthread_mutex_lock(&s->lock);
    s->lost = true;
    while (s->running || s->sending) { /* a service's own threads may be ending calls at this moment */
        pthread_mutex_unlock(&s->lock);
        nng_msleep(1);
        pthread_mutex_lock(&s->lock);
    }
    s->server = NULL;
    for (i = 0; i < XCHG_CONTEXTS; i++)
        s->got[i] = NULL; /* the server frees its contexts and what they hold */
    s->n_held = 0;
    outq_clear(&s->out);
    pthread_mutex_unlock(&s->lock);
}
