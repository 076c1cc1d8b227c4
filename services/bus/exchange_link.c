#include "services/bus/exchange_client.h"

#include <stdio.h>
#include <stdlib.h>

#include <nng/protocol/reqrep0/req.h>
#include <sodium.h>

#include "services/bus/exchange_gather.h"
#include "services/clock.h"
#include "services/ids.h"

#define COUNT(l, what, n) atomic_fetch_add_explicit(&(l)->client->stats.what, n, memory_order_relaxed)

/* ---- batches out
 * -------------------------------------------------------------------------------------------------------- */

static struct lctx *free_ctx(struct xlink *l)
{
    unsigned i;

    for (i = 0; i < XCHG_CONTEXTS; i++)
        if (l->ctx[i].state == LCTX_FREE)
            return &l->ctx[i];
    return NULL;
}

static void add_hello(struct xlink *l, nng_msg *msg)
{
    unsigned char hello[CIPHER_HELLO];

    cipher_hello(l->cipher, nng_msg_body(msg), &l->pair, hello);
    (void)nng_msg_append(msg, hello, sizeof(hello)); /* cannot fail: every batch has room for it */
}

/* Locked, but not while nng works. The receive is started although the send may still wait for the pipe: that saves the
 * wake-up of a thread for each batch, and nng (1.10.1, req0_ctx_cancel_recv) gives an unsent message back when the
 * receive is cancelled. */
static void send_batch(struct xlink *l, struct lctx *x, nng_msg *msg, uint32_t flags)
{
    const struct cipher *cipher = l->cipher;
    uint64_t number = l->send_seq++;
    struct frame_batch head = {.sealed = cipher != NULL,
                               .flags = flags,
                               .seq = (uint32_t)number,
                               .ack = (uint32_t)l->recv_seq,
                               .instance = l->client->options.instance,
                               .mark = l->mark};

    outq_head(msg, &head);
    x->state = LCTX_SENT;
    x->sent_ms = clock_ms();
    l->in_flight++;
    COUNT(l, batches_sent, 1);
    pthread_mutex_unlock(&l->lock);
    if (cipher && flags & FRAME_HELLO)
        add_hello(l, msg);
    else if (cipher) /* the keys stay as long as a context is out */
        outq_seal(msg, l->keys.to_server, number, NULL);
    nng_aio_wait(x->send); /* nng may still be leaving the completion of this context's last send */
    nng_aio_set_msg(x->send, msg);
    nng_ctx_send(x->ctx, x->send);
    nng_ctx_recv(x->ctx, x->recv);
    pthread_mutex_lock(&l->lock);
    if (l->state == LINK_LOST && x->state == LCTX_SENT) /* lost meanwhile: nobody else knows of this one */
        nng_aio_cancel(x->recv);
}

/* Of who has many calls under way, frames wait a moment for each other: a batch costs both ends the same whatever is in
 * it. Only while the server has something of ours to answer on. */
static bool can_wait(const struct xlink *l)
{
    return l->out.n == 1 && l->out.open_frames < GATHER_FRAMES && !l->urgent && l->in_flight > 0 &&
           clock_ns() < l->sent_ns + XCHG_PATIENCE_US * 1000;
}

static void note_sent(struct xlink *l)
{
    l->content_seq = (uint32_t)(l->send_seq + 1);
    l->sent_ns = clock_ns();
    l->urgent = l->out.n > 0;
    atomic_store(&l->deferred, false);
}

void link_pump(struct xlink *l)
{
    while (l->state == LINK_UP) {
        struct lctx *x = free_ctx(l);
        size_t frames = 0;
        nng_msg *msg;

        if (!x)
            return;
        if (can_wait(l)) {
            atomic_store(&l->deferred, true);
            return;
        }
        msg = outq_take(&l->out, &frames);
        if (!msg && l->in_flight == 0)
            msg = outq_empty_batch(); /* the server can only answer what we asked */
        if (!msg)
            return;
        COUNT(l, frames_sent, frames);
        if (frames)
            note_sent(l);
        send_batch(l, x, msg, 0);
    }
}

void link_promise(struct xlink *l)
{
    if (atomic_load(&l->deferred) && client_note_deadline(l->client, clock_ms() + 1))
        client_wake(l->client);
}

void link_pump_soon(struct xlink *l)
{
    if (!l->running && !gather_link(l))
        link_pump(l);
}

/* A further batch makes the server answer the one that it keeps waiting, and its answer says how far it is. */
bool link_owes(struct xlink *l)
{
    bool owes;

    pthread_mutex_lock(&l->lock);
    owes = l->state == LINK_UP && (l->out.n > 0 || l->content_seq - l->taken - 1 < UINT32_MAX / 2);
    if (owes && !l->running && free_ctx(l)) {
        nng_msg *msg = l->out.n == 0 ? outq_empty_batch() : NULL;

        if (msg)
            send_batch(l, free_ctx(l), msg, 0);
        else
            link_pump(l);
    }
    pthread_mutex_unlock(&l->lock);
    return owes;
}

void link_send_control(struct xlink *l, uint8_t kind, uint64_t call, uint32_t a)
{
    struct frame f = {.kind = kind, .call = call, .a = a};

    l->urgent = true;
    if (l->state == LINK_UP && outq_add(&l->out, &f) != ST_OK)
        link_lose(l); /* a call that the server is not told of would never move again */
}

/* ---- calls
 * -------------------------------------------------------------------------------------------------------------- */

void link_set_ready(struct xlink *l)
{
    atomic_store(&l->ready, l->state == LINK_UP && l->told_up && !l->draining && atomic_load(&l->wanted));
}

void link_detach(struct xlink *l, struct xcall *x)
{
    wheel_remove(&l->wheel, &x->timer);
    atomic_store(&x->id, 0);
    atomic_fetch_sub(&l->outstanding, 1);
}

static uint32_t remaining(const struct xcall *x)
{
    uint64_t now = clock_ms();

    return x->deadline_ms > now ? (uint32_t)(x->deadline_ms - now) : 1;
}

enum status link_take_call(struct xlink *l, struct xcall *x, struct slice payload)
{
    struct frame f = {.kind = FRAME_OPEN, .type = x->method, .call = calls_id(x), .b = x->window, .payload = payload};
    enum status st = ST_DRAINING;

    f.a = remaining(x);
    pthread_mutex_lock(&l->lock);
    if (atomic_load(&l->ready))
        st = outq_add(&l->out, &f);
    if (st == ST_OK) {
        atomic_store(&x->owner, l);
        wheel_add(&l->wheel, &x->timer, x->deadline_ms);
        atomic_fetch_add(&l->outstanding, 1);
        atomic_store(&x->id, f.call);
        l->urgent |= !x->patient;
        link_pump_soon(l);
    }
    pthread_mutex_unlock(&l->lock);
    return st;
}

enum status link_tell(struct xlink *l, uint16_t method, struct slice payload)
{
    struct frame f = {.kind = FRAME_TELL, .type = method, .payload = payload};
    enum status st = ST_DRAINING;

    pthread_mutex_lock(&l->lock);
    if (l->state == LINK_UP) /* a draining server still hears what its open calls need */
        st = outq_add(&l->out, &f);
    if (st == ST_OK)
        link_pump_soon(l);
    pthread_mutex_unlock(&l->lock);
    return st;
}

void link_end_call(struct xlink *l, struct xcall *x, enum status st)
{
    if (x->ending != ST_OK)
        return;
    x->ending = st;
    x->next = NULL;
    wheel_remove(&l->wheel, &x->timer);
    *l->endings_tail = x;
    l->endings_tail = &x->next;
    link_send_control(l, FRAME_CANCEL, atomic_load(&x->id), 0);
}

/* ---- coming and going of the connection
 * --------------------------------------------------------------------------------- */

void link_lose(struct xlink *l)
{
    if (l->state == LINK_ARRIVED)
        l->state = LINK_DOWN;
    if (l->state != LINK_HELLO && l->state != LINK_UP)
        return;
    l->state = LINK_LOST;
    l->abort = true;
    link_set_ready(l);
    COUNT(l, lost, 1);
}

/* On nng's threads: no blocking, so the worker does what follows. */
static void pipe_event(nng_pipe p, nng_pipe_ev event, void *arg)
{
    struct xlink *l = arg;
    uint32_t id = (uint32_t)nng_pipe_id(p);

    pthread_mutex_lock(&l->lock);
    if (event == NNG_PIPE_EV_ADD_POST) {
        if (l->state == LINK_DOWN) {
            l->state = LINK_ARRIVED;
            l->pipe = id;
        } else {
            l->next_pipe = id;
        }
    } else if (id == l->next_pipe) {
        l->next_pipe = 0;
    } else if (id == l->pipe) {
        link_lose(l);
    }
    pthread_mutex_unlock(&l->lock);
    client_wake(l->client);
}

static void greet(struct xlink *l)
{
    nng_msg *hello = outq_empty_batch();
    struct lctx *x = free_ctx(l);

    if (!hello || !x) { /* tried again at the worker's next round */
        nng_msg_free(hello);
        return;
    }
    l->state = LINK_HELLO;
    l->mark = id_number();
    l->send_seq = 0;
    l->recv_seq = 0;
    l->taken = 0;
    l->content_seq = 0;
    l->urgent = false;
    l->draining = false;
    send_batch(l, x, hello, FRAME_HELLO);
}

static bool silent(const struct xlink *l, uint64_t now_ms)
{
    unsigned i;

    for (i = 0; i < XCHG_CONTEXTS; i++)
        if (l->ctx[i].state == LCTX_SENT && now_ms > l->ctx[i].sent_ms + XCHG_LOST_MS)
            return true;
    return false;
}

void link_check(struct xlink *l, uint64_t now_ms, uint64_t *next_ms)
{
    struct wheel_item *due;
    uint64_t next;

    pthread_mutex_lock(&l->lock);
    if (l->state == LINK_ARRIVED)
        greet(l);
    if (silent(l, now_ms))
        link_lose(l);
    wheel_advance(&l->wheel, now_ms);
    while ((due = wheel_take_due(&l->wheel)) != NULL)
        link_end_call(l, (struct xcall *)(void *)due, ST_TIMEOUT);
    link_strand(l);
    next = wheel_next_ms(&l->wheel);
    if (atomic_load(&l->deferred) && next > now_ms + 1)
        next = now_ms + 1;
    pthread_mutex_unlock(&l->lock);
    if (next < *next_ms)
        *next_ms = next;
}

bool link_retire(struct xlink *l)
{
    bool idle;

    pthread_mutex_lock(&l->lock);
    atomic_store(&l->wanted, false);
    link_set_ready(l);
    idle = atomic_load(&l->outstanding) == 0 && !l->running;
    pthread_mutex_unlock(&l->lock);
    return idle;
}

/* ---- opening and closing
 * ------------------------------------------------------------------------------------------------ */

enum status link_new(struct xchg_client *c, struct xlink **ret, struct err *err)
{
    struct xlink *l = calloc(1, sizeof(*l));
    unsigned i;
    int rv = 0;

    if (!l)
        return err_set(err, ST_NO_MEMORY, "no memory for a bus connection");
    l->client = c;
    l->endings_tail = &l->endings;
    pthread_mutex_init(&l->lock, NULL);
    wheel_init(&l->wheel, clock_ms());
    for (i = 0; rv == 0 && i < XCHG_CONTEXTS; i++) {
        l->ctx[i].link = l;
        rv = nng_aio_alloc(&l->ctx[i].send, NULL, NULL);
        if (rv == 0)
            rv = nng_aio_alloc(&l->ctx[i].recv, link_answered, &l->ctx[i]);
    }
    if (rv != 0) {
        link_free(l);
        return err_set(err, transport_status(rv), "bus: %s", nng_strerror(rv));
    }
    *ret = l;
    return ST_OK;
}

void link_free(struct xlink *l)
{
    unsigned i;

    for (i = 0; i < XCHG_CONTEXTS; i++) {
        nng_aio_free(l->ctx[i].recv);
        nng_aio_free(l->ctx[i].send);
    }
    pthread_mutex_destroy(&l->lock);
    sodium_memzero(&l->pair, sizeof(l->pair));
    sodium_memzero(&l->keys, sizeof(l->keys));
    free(l);
}

static enum status open_socket(struct xlink *l)
{
    unsigned i;
    int rv = nng_req0_open(&l->sock);

    if (rv != 0)
        return transport_status(rv);
    l->open = true;
    rv =
        nng_socket_set_ms(l->sock, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE); /* contexts copy it when they open */
    if (rv == 0)
        rv = (int)transport_options(l->sock, XCHG_MESSAGE_MAX);
    for (i = 0; rv == 0 && i < XCHG_CONTEXTS; i++)
        rv = nng_ctx_open(&l->ctx[i].ctx, l->sock);
    if (rv == 0)
        rv = nng_pipe_notify(l->sock, NNG_PIPE_EV_ADD_POST, pipe_event, l);
    if (rv == 0)
        rv = nng_pipe_notify(l->sock, NNG_PIPE_EV_REM_POST, pipe_event, l);
    return rv == 0 ? ST_OK : ST_UNAVAILABLE;
}

enum status link_open(struct xlink *l, const char *url, struct err *err)
{
    enum status st;

    snprintf(l->url, sizeof(l->url), "%s", url);
    l->cipher = trust_cipher(l->client->options.trust, url);
    st = open_socket(l);
    if (st != ST_OK) {
        link_close(l);
        return err_set(err, st, "cannot open a bus socket for %s", url);
    }
    atomic_store(&l->boot, 0); /* of another address */
    atomic_store(&l->refused, FRAME_ACCEPTED);
    atomic_store(&l->wanted, true);
    st = transport_dial(l->sock, url, err);
    if (st != ST_OK)
        link_close(l);
    return st;
}

void link_close(struct xlink *l)
{
    if (!l->open)
        return;
    pthread_mutex_lock(&l->lock);
    l->state = LINK_DOWN;
    atomic_store(&l->wanted, false);
    link_set_ready(l);
    pthread_mutex_unlock(&l->lock);
    nng_close(l->sock); /* ends what is in flight; its callbacks are over when all contexts are back */
    l->open = false;
    pthread_mutex_lock(&l->lock);
    while (l->in_flight || l->running || l->gathered) {
        pthread_mutex_unlock(&l->lock);
        nng_msleep(1);
        pthread_mutex_lock(&l->lock);
    }
    l->state = LINK_DOWN; /* a connection may have arrived before the socket was closed */
    l->next_pipe = 0;
    outq_clear(&l->out);
    pthread_mutex_unlock(&l->lock);
}
