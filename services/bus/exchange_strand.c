#include "services/bus/exchange_client.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "services/clock.h"

#define COUNT(l, what, n) atomic_fetch_add_explicit(&(l)->client->stats.what, n, memory_order_relaxed)

/* ---- answers come in
 * ---------------------------------------------------------------------------------------------------- */

static void context_back(struct xlink *l, struct lctx *x)
{
    x->state = LCTX_FREE;
    l->in_flight--;
}

/* Locked. The first answer of a connection brings what its keys are made of. */
static bool open_answer(struct xlink *l, struct lctx *x, nng_msg *msg, uint64_t number)
{
    const unsigned char *end = (const unsigned char *)nng_msg_body(msg) + nng_msg_len(msg);
    bool first = l->state == LINK_HELLO;

    if (!l->cipher) {
        x->frames =
            (struct slice){(const char *)nng_msg_body(msg) + FRAME_BATCH_SIZE, nng_msg_len(msg) - FRAME_BATCH_SIZE};
        return true;
    }
    if (first && (number != 0 || nng_msg_len(msg) < FRAME_BATCH_SIZE + CIPHER_PUBLIC + CIPHER_TAG ||
                  !cipher_agree(l->cipher, &l->pair, end - CIPHER_TAG - CIPHER_PUBLIC, &l->keys)))
        return false;
    if (first) /* with it the past could be read */
        sodium_memzero(l->pair.secret, sizeof(l->pair.secret));
    return outq_open(msg, l->keys.to_client, number, first ? CIPHER_PUBLIC : 0, &x->frames);
}

/* Locked. What was answered to the hello when it is not what we can read: a server that does not speak with us says why
 * (here the same seen from this side), one of another kind shows it. */
static enum frame_refusal why_unread(const struct xlink *l, nng_msg *msg)
{
    static const enum frame_refusal mirrored[FRAME_REFUSALS] = {
        [FRAME_REFUSED_PLAIN] = FRAME_REFUSED_SEALED,
        [FRAME_REFUSED_SEALED] = FRAME_REFUSED_PLAIN,
        [FRAME_REFUSED_SECRET] = FRAME_REFUSED_SECRET,
        [FRAME_REFUSED_VERSION] = FRAME_REFUSED_VERSION,
    };
    struct slice bytes = {nng_msg_body(msg), nng_msg_len(msg)};
    enum frame_refusal said = mirrored[frame_refusal_read(bytes)];

    if (said != FRAME_ACCEPTED)
        return said;
    said = frame_stranger(bytes, l->cipher != NULL);
    if (said == FRAME_ACCEPTED && l->cipher)
        said = FRAME_REFUSED_SECRET; /* it does not open */
    return said;
}

/* Locked. Calls need not wait for such a one. */
static void note_refusal(struct xlink *l, enum frame_refusal why)
{
    if (why == FRAME_ACCEPTED)
        return;
    atomic_store(&l->refused, (int)why);
    atomic_store(&l->refused_ms, clock_ms());
    trust_refuse(l->client->options.trust, l->url, why);
}

/* Whatever does not fit costs the peer the connection: bytes that cannot be trusted once cannot be trusted at all. */
static bool fits(struct xlink *l, struct lctx *x, nng_msg *msg)
{
    struct slice bytes = {nng_msg_body(msg), nng_msg_len(msg)};
    size_t frames = 0;
    uint32_t ahead;

    if (!frame_head_read(bytes, &x->head) || x->head.sealed != (l->cipher != NULL))
        return false;
    ahead = x->head.seq - (uint32_t)l->recv_seq;
    if (ahead >= LINK_REORDER || l->answered[x->head.seq % LINK_REORDER])
        return false;
    if (!open_answer(l, x, msg, l->recv_seq + ahead) || !frame_frames_check(x->frames, FRAME_BY_SERVER, &frames))
        return false;
    COUNT(l, batches_received, 1);
    COUNT(l, frames_received, frames);
    return true;
}

static void accept_answer(struct xlink *l, struct lctx *x, nng_msg *msg)
{
    context_back(l, x);
    if (l->state != LINK_HELLO && l->state != LINK_UP) {
        nng_msg_free(msg);
        return;
    }
    if (!fits(l, x, msg)) {
        if (l->state == LINK_HELLO)
            note_refusal(l, why_unread(l, msg));
        COUNT(l, malformed, 1);
        nng_msg_free(msg);
        link_lose(l);
        return;
    }
    x->state = LCTX_ANSWERED;
    x->answer = msg;
    l->answered[x->head.seq % LINK_REORDER] = x;
}

static void accept_failure(struct xlink *l, struct lctx *x, nng_msg *unsent)
{
    context_back(l, x);
    if (unsent && l->unsent.n < XCHG_CONTEXTS)
        l->unsent.msg[l->unsent.n++] = unsent;
    if (l->state == LINK_HELLO && ++l->cut_hellos >= LINK_CUT_HELLOS) /* as a release that knows no refusals does */
        trust_refuse(l->client->options.trust, l->url, FRAME_REFUSED_VERSION);
    link_lose(l);
}

void link_answered(void *arg)
{
    struct lctx *x = arg;
    struct xlink *l = x->link;
    nng_msg *msg = nng_aio_get_msg(x->recv), *unsent = NULL;
    int rv = nng_aio_result(x->recv);

    nng_aio_set_msg(x->recv, NULL);
    if (rv != 0) {
        nng_aio_wait(x->send);
        unsent = nng_aio_get_msg(x->send); /* what nng still has there was never sent */
        nng_aio_set_msg(x->send, NULL);
    }
    pthread_mutex_lock(&l->lock);
    if (rv == 0)
        accept_answer(l, x, msg);
    else
        accept_failure(l, x, unsent);
    link_strand(l);
    pthread_mutex_unlock(&l->lock);
    link_promise(l);
}

/* ---- what is in them
 * ---------------------------------------------------------------------------------------------------- */

static void data_frame(struct xlink *l, const struct frame *f)
{
    struct xcall *x = calls_find(&l->client->calls, f->call);

    /* Without the lock: a call of this link ends in this strand only. */
    if (x && atomic_load(&x->owner) == l && x->events->data)
        x->events->data(x->ctx, f->type, f->payload);
}

static void end_frame(struct xlink *l, const struct frame *f)
{
    struct xcall *x;

    pthread_mutex_lock(&l->lock);
    x = calls_find(&l->client->calls, f->call);
    if (x && (atomic_load(&x->owner) != l || x->ending != ST_OK))
        x = NULL; /* not of this server, or already ending otherwise */
    if (x)
        link_detach(l, x);
    pthread_mutex_unlock(&l->lock);
    if (x)
        call_finish(l->client, x, (enum status)f->type, f->payload);
}

static void tell_peer(struct xlink *l, bool up)
{
    const struct xchg_client_options *o = &l->client->options;

    if (o->peer)
        o->peer(o->ctx, atomic_load(&l->instance), atomic_load(&l->boot), up);
}

/* Locked. Returns whether the server was reached just now. */
static bool read_head(struct xlink *l, const struct frame_batch *head)
{
    bool reached = l->state == LINK_HELLO;

    l->draining = (head->flags & FRAME_DRAINING) != 0;
    l->taken = head->ack;
    if (reached) {
        l->state = LINK_UP;
        atomic_store(&l->boot, head->mark);
        atomic_store(&l->refused, FRAME_ACCEPTED);
        l->cut_hellos = 0;
        atomic_store(&l->instance, head->instance);
    }
    link_set_ready(l);
    return reached;
}

/* Locked. nng may report the end of a connection that broke at once before its beginning; the answer says which one it
 * is. */
static void know_pipe(struct xlink *l, const nng_msg *hello)
{
    l->pipe = (uint32_t)nng_pipe_id(nng_msg_get_pipe(hello));
    if (l->next_pipe == l->pipe)
        l->next_pipe = 0;
}

struct xchg_join {
    struct xlink *link;
    bool failed; /* something that was to be told is not on its way */
};

enum status xchg_join_tell(struct xchg_join *to, uint16_t method, struct slice payload)
{
    enum status st = payload.n > WIRE_MESSAGE_MAX ? ST_TOO_LARGE : link_tell(to->link, method, payload);

    to->failed |= st != ST_OK;
    return st;
}

uint64_t xchg_join_instance(const struct xchg_join *to)
{
    return atomic_load(&to->link->instance);
}

uint64_t xchg_join_boot(const struct xchg_join *to)
{
    return atomic_load(&to->link->boot); /* changes in the strand only, where we are */
}

static bool brief(struct xlink *l)
{
    const struct xchg_client_options *o = &l->client->options;
    struct xchg_join join = {.link = l};

    return !o->joined || (o->joined(o->ctx, &join) && !join.failed);
}

/* The service hears of the server before any call goes there: what it tells a server that has restarted comes first. A
 * server that could not be told all of it must not decide anything: better no connection. */
static void introduce(struct xlink *l)
{
    bool briefed;

    tell_peer(l, true);
    briefed = brief(l);
    pthread_mutex_lock(&l->lock);
    l->told_up = true;
    if (!briefed)
        link_lose(l);
    link_set_ready(l);
    pthread_mutex_unlock(&l->lock);
    client_wake(l->client); /* calls may wait for it */
}

static void take_answer(struct xlink *l, struct lctx *x)
{
    nng_msg *msg = x->answer;
    struct slice frames = x->frames;
    struct frame f;
    bool reached = read_head(l, &x->head);

    if (reached)
        know_pipe(l, msg);
    x->answer = NULL;
    x->state = LCTX_FREE;
    pthread_mutex_unlock(&l->lock);
    if (reached)
        introduce(l);
    xchg_gather_begin(); /* what the callbacks send to other services */
    while (frame_next(&frames, &f)) {
        if (f.kind == FRAME_DATA)
            data_frame(l, &f);
        else
            end_frame(l, &f);
    }
    nng_msg_free(msg);
    xchg_gather_end();
    pthread_mutex_lock(&l->lock);
}

/* ---- the end of a connection
 * -------------------------------------------------------------------------------------------- */

/* Locked. Breaks it off at nng, so that every context comes back. */
static void cut(struct xlink *l)
{
    nng_pipe p = NNG_PIPE_INITIALIZER;
    unsigned i;

    l->abort = false;
    p.id = l->pipe;
    for (i = 0; i < XCHG_CONTEXTS; i++)
        if (l->ctx[i].state == LCTX_SENT)
            nng_aio_cancel(l->ctx[i].recv);
    pthread_mutex_unlock(&l->lock);
    (void)nng_pipe_close(p);
    pthread_mutex_lock(&l->lock);
}

static bool keep_payload(struct xcall *x, struct slice payload)
{
    x->payload = malloc(payload.n + 1);
    if (!x->payload)
        return false;
    if (payload.n)
        memcpy(x->payload, payload.p, payload.n);
    x->payload_n = payload.n;
    return true;
}

/* Locked. The calls that a batch would have opened, had it been sent, go back to the client: no server has seen a byte
 * of them. */
static void take_back(struct xlink *l, nng_msg *msg, struct slice bytes, struct xcall ***tail)
{
    struct frame f;

    while (frame_next(&bytes, &f)) {
        struct xcall *x = f.kind == FRAME_OPEN ? calls_find(&l->client->calls, f.call) : NULL;

        if (!x || !keep_payload(x, f.payload))
            continue;
        wheel_remove(&l->wheel, &x->timer);
        atomic_fetch_sub(&l->outstanding, 1);
        atomic_store(&x->owner, NULL);
        x->next = NULL;
        **tail = x;
        *tail = &x->next;
    }
    nng_msg_free(msg);
}

/* A batch that nng gave back is sealed already. */
static struct slice unsent_frames(struct xlink *l, nng_msg *msg)
{
    struct slice bytes = {nng_msg_body(msg), nng_msg_len(msg)}, frames = {NULL, 0};
    struct frame_batch head;

    if (!frame_head_read(bytes, &head) || head.flags & FRAME_HELLO)
        return frames;
    if (head.sealed) {
        (void)outq_open(msg, l->keys.to_server, l->send_seq - (uint32_t)((uint32_t)l->send_seq - head.seq), 0, &frames);
        return frames;
    }
    return (struct slice){bytes.p + FRAME_BATCH_SIZE, bytes.n - FRAME_BATCH_SIZE};
}

static struct xcall *take_unsent(struct xlink *l)
{
    struct xcall *moved = NULL, **tail = &moved;
    size_t frames;
    nng_msg *msg;
    unsigned i;

    for (i = 0; i < l->unsent.n; i++)
        take_back(l, l->unsent.msg[i], unsent_frames(l, l->unsent.msg[i]), &tail);
    l->unsent.n = 0;
    while ((msg = outq_take(&l->out, &frames)) != NULL)
        take_back(
            l, msg,
            (struct slice){(const char *)nng_msg_body(msg) + FRAME_BATCH_SIZE, nng_msg_len(msg) - FRAME_BATCH_SIZE},
            &tail);
    return moved;
}

static struct xcall *take_all(struct xlink *l)
{
    struct xcall *all = NULL;
    struct wheel_item *item;

    while ((item = wheel_take_any(&l->wheel)) != NULL) {
        struct xcall *x = (struct xcall *)(void *)item;

        link_detach(l, x);
        x->next = all;
        all = x;
    }
    return all;
}

static void end_list(struct xlink *l, struct xcall *list, enum status st)
{
    while (list) {
        struct xcall *next = list->next;

        call_finish(l->client, list, st, (struct slice){NULL, 0});
        list = next;
    }
}

static void drop_answers(struct xlink *l)
{
    unsigned i;

    for (i = 0; i < LINK_REORDER; i++) {
        if (!l->answered[i])
            continue;
        nng_msg_free(l->answered[i]->answer);
        l->answered[i]->answer = NULL;
        l->answered[i]->state = LCTX_FREE;
        l->answered[i] = NULL;
    }
}

/* Locked. Every context is back, so what was sent and what was not is known for good. */
static void bury(struct xlink *l)
{
    struct xcall *moved = take_unsent(l), *lost = take_all(l), *next;
    bool told = l->told_up;

    drop_answers(l);
    l->told_up = false;
    l->state = l->next_pipe ? LINK_ARRIVED : LINK_DOWN;
    l->pipe = l->next_pipe;
    l->next_pipe = 0;
    pthread_mutex_unlock(&l->lock);
    end_list(l, lost, ST_PEER_LOST);
    for (; moved; moved = next) {
        next = moved->next;
        client_wait_call(l->client, moved);
    }
    if (told)
        tell_peer(l, false);
    client_wake(l->client);
    pthread_mutex_lock(&l->lock);
}

/* ---- the strand
 * --------------------------------------------------------------------------------------------------------- */

static struct xcall *pop_ending(struct xlink *l)
{
    struct xcall *x = l->endings;

    if (!x)
        return NULL;
    l->endings = x->next;
    if (!l->endings)
        l->endings_tail = &l->endings;
    link_detach(l, x);
    return x;
}

static bool step(struct xlink *l)
{
    struct lctx *answered = l->answered[l->recv_seq % LINK_REORDER];
    struct xcall *ending;

    if (answered) {
        l->answered[l->recv_seq % LINK_REORDER] = NULL;
        l->recv_seq++;
        take_answer(l, answered);
        return true;
    }
    ending = pop_ending(l);
    if (ending) {
        enum status st = ending->ending;

        pthread_mutex_unlock(&l->lock);
        call_finish(l->client, ending, st, (struct slice){NULL, 0});
        pthread_mutex_lock(&l->lock);
        return true;
    }
    if (l->abort) {
        cut(l);
        return true;
    }
    if (l->state == LINK_LOST && l->in_flight == 0) {
        bury(l);
        return true;
    }
    return false;
}

/* While it runs, frames to send only queue up: what the callbacks and the threads they wake want to send then travels
 * together. */
void link_strand(struct xlink *l)
{
    if (l->running)
        return;
    l->running = true;
    while (step(l))
        link_pump(l);
    l->running = false;
    link_pump(l);
}

void link_end_all(struct xlink *l, enum status st)
{
    struct xcall *unsent, *all, *ending;
    bool told;

    pthread_mutex_lock(&l->lock);
    while ((ending = pop_ending(l)) != NULL) {
        pthread_mutex_unlock(&l->lock);
        call_finish(l->client, ending, ending->ending, (struct slice){NULL, 0});
        pthread_mutex_lock(&l->lock);
    }
    drop_answers(l);
    unsent = take_unsent(l);
    all = take_all(l);
    told = l->told_up;
    l->told_up = false;
    pthread_mutex_unlock(&l->lock);
    for (ending = unsent; ending; ending = ending->next)
        atomic_store(&ending->id, 0);
    end_list(l, unsent, st);
    end_list(l, all, st);
    if (told)
        tell_peer(l, false);
}
