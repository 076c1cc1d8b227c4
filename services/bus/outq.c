#include "services/bus/outq.h"

#include <stdlib.h>
#include <string.h>

#include "services/bus/exchange.h"

#define FIRST_RESERVE 1024u /* bytes of a new batch; doubled when full */
#define BATCH_MAX (XCHG_MESSAGE_MAX - 1024u) /* leaves room for what nng's own header takes */

struct outq_node {
    struct outq_node *next;
    nng_msg *msg;
    size_t frames;
};

_Static_assert(OUTQ_TRAILER >= CIPHER_HELLO && OUTQ_TRAILER >= CIPHER_PUBLIC + CIPHER_TAG, "what follows the frames");

/* With room behind it: what is appended there needs no memory. */
nng_msg *outq_empty_batch(void)
{
    nng_msg *msg = NULL;

    if (nng_msg_alloc(&msg, FRAME_BATCH_SIZE + OUTQ_TRAILER) != 0)
        return NULL;
    (void)nng_msg_chop(msg, OUTQ_TRAILER);
    return msg;
}

void outq_head(nng_msg *batch, const struct frame_batch *head)
{
    frame_batch_write(nng_msg_body(batch), head);
}

void outq_seal(nng_msg *batch, const unsigned char key[CIPHER_KEY], uint64_t number, const unsigned char *greeting)
{
    unsigned char *head = nng_msg_body(batch), tag[CIPHER_TAG];

    cipher_seal(key, number, head, head + FRAME_BATCH_SIZE, nng_msg_len(batch) - FRAME_BATCH_SIZE, tag);
    if (greeting)
        (void)nng_msg_append(batch, greeting, CIPHER_PUBLIC); /* cannot fail: the room is reserved */
    (void)nng_msg_append(batch, tag, sizeof(tag));
}

bool outq_open(nng_msg *batch, const unsigned char key[CIPHER_KEY], uint64_t number, size_t trailer,
               struct slice *ret_frames)
{
    unsigned char *head = nng_msg_body(batch);
    size_t n = nng_msg_len(batch), around = FRAME_BATCH_SIZE + trailer + CIPHER_TAG;

    if (n < around || !cipher_open(key, number, head, head + FRAME_BATCH_SIZE, n - around, head + n - CIPHER_TAG))
        return false;
    *ret_frames = (struct slice){(const char *)head + FRAME_BATCH_SIZE, n - around};
    return true;
}

static enum status close_open(struct outq *q)
{
    struct outq_node *node = malloc(sizeof(*node));

    if (!node)
        return ST_NO_MEMORY;
    *node = (struct outq_node){.msg = q->open, .frames = q->open_frames};
    if (q->last)
        q->last->next = node;
    else
        q->first = node;
    q->last = node;
    q->open = NULL;
    q->open_frames = 0;
    return ST_OK;
}

static enum status begin_open(struct outq *q)
{
    q->open = outq_empty_batch();
    if (!q->open)
        return ST_NO_MEMORY;
    q->open_cap = nng_msg_capacity(q->open);
    q->n++;
    return ST_OK;
}

/* nng_msg_append alone would allocate and copy for every frame. */
static enum status reserve(struct outq *q, size_t need)
{
    size_t cap = q->open_cap < FIRST_RESERVE ? FIRST_RESERVE : q->open_cap;

    need += OUTQ_TRAILER;
    if (need <= q->open_cap)
        return ST_OK;
    while (cap < need)
        cap *= 2;
    if (nng_msg_reserve(q->open, cap) != 0)
        return ST_NO_MEMORY;
    q->open_cap = cap;
    return ST_OK;
}

enum status outq_add(struct outq *q, const struct frame *f)
{
    size_t size = FRAME_HEAD_SIZE + f->payload.n;
    unsigned char head[FRAME_HEAD_SIZE];
    enum status st = ST_OK;

    if (f->payload.n > BATCH_MAX - FRAME_BATCH_SIZE - FRAME_HEAD_SIZE)
        return ST_TOO_LARGE;
    if (q->bytes + size > OUTQ_MAX + (f->payload.n ? 0 : OUTQ_SPARE))
        return ST_UNAVAILABLE;
    if (q->open && (nng_msg_len(q->open) >= OUTQ_BATCH || nng_msg_len(q->open) + size > BATCH_MAX))
        st = close_open(q);
    if (st == ST_OK && !q->open)
        st = begin_open(q);
    if (st == ST_OK)
        st = reserve(q, nng_msg_len(q->open) + size);
    if (st != ST_OK)
        return st;
    frame_head_write(head, f);
    if (nng_msg_append(q->open, head, sizeof(head)) != 0 || nng_msg_append(q->open, f->payload.p, f->payload.n) != 0)
        return ST_NO_MEMORY; /* cannot happen: the room is reserved */
    q->open_frames++;
    q->bytes += size;
    return ST_OK;
}

nng_msg *outq_take(struct outq *q, size_t *ret_frames)
{
    struct outq_node *node = q->first;
    nng_msg *msg;

    if (node) {
        msg = node->msg;
        *ret_frames = node->frames;
        q->first = node->next;
        if (!q->first)
            q->last = NULL;
        free(node);
    } else {
        msg = q->open;
        *ret_frames = q->open_frames;
        q->open = NULL;
        q->open_frames = 0;
        if (!msg)
            return NULL;
    }
    q->bytes -= nng_msg_len(msg) - FRAME_BATCH_SIZE;
    q->n--;
    return msg;
}

void outq_clear(struct outq *q)
{
    size_t frames;
    nng_msg *msg = outq_take(q, &frames);

    while (msg) {
        nng_msg_free(msg);
        msg = outq_take(q, &frames);
    }
}
