#include "services/bus/frame.h"

#include <string.h>

#include "proto/status.h"

static void put16(unsigned char *p, uint16_t v)
{
    p[0] = (unsigned char)(v & 0xff);
    p[1] = (unsigned char)(v >> 8);
}

static void put32(unsigned char *p, uint32_t v)
{
    put16(p, (uint16_t)(v & 0xffff));
    put16(p + 2, (uint16_t)(v >> 16));
}

static void put64(unsigned char *p, uint64_t v)
{
    put32(p, (uint32_t)(v & 0xffffffffu));
    put32(p + 4, (uint32_t)(v >> 32));
}

static uint16_t get16(const unsigned char *p)
{
    return (uint16_t)(p[0] | (unsigned)p[1] << 8);
}

static uint32_t get32(const unsigned char *p)
{
    return get16(p) | (uint32_t)get16(p + 2) << 16;
}

static uint64_t get64(const unsigned char *p)
{
    return get32(p) | (uint64_t)get32(p + 4) << 32;
}

/* magic 4, flags 4, seq 4, ack 4, instance 8, mark 8 */
void frame_batch_write(unsigned char to[FRAME_BATCH_SIZE], const struct frame_batch *b)
{
    put32(to, b->sealed ? FRAME_MAGIC_SEALED : FRAME_MAGIC);
    put32(to + 4, b->flags);
    put32(to + 8, b->seq);
    put32(to + 12, b->ack);
    put64(to + 16, b->instance);
    put64(to + 24, b->mark);
}

/* kind 1, reserved 1, type 2, length 4, call 8, a 4, b 4, reserved 4 */
void frame_head_write(unsigned char to[FRAME_HEAD_SIZE], const struct frame *f)
{
    to[0] = f->kind;
    to[1] = 0;
    put16(to + 2, f->type);
    put32(to + 4, (uint32_t)f->payload.n);
    put64(to + 8, f->call);
    put32(to + 16, f->a);
    put32(to + 20, f->b);
    put32(to + 24, 0);
}

static void head_read(const unsigned char *p, struct frame *f, size_t *ret_length)
{
    f->kind = p[0];
    f->type = get16(p + 2);
    f->call = get64(p + 8);
    f->a = get32(p + 16);
    f->b = get32(p + 20);
    *ret_length = get32(p + 4);
}

static bool kind_fits(const struct frame *f, size_t length, enum frame_side side)
{
    switch (f->kind) {
    case FRAME_OPEN:
    case FRAME_PUSH: return side == FRAME_BY_CLIENT && f->call != 0;
    case FRAME_TELL: return side == FRAME_BY_CLIENT && f->call == 0;
    case FRAME_CANCEL:
    case FRAME_WINDOW: return side == FRAME_BY_CLIENT && f->call != 0 && length == 0;
    case FRAME_DATA: return side == FRAME_BY_SERVER && f->call != 0;
    case FRAME_END: return side == FRAME_BY_SERVER && f->call != 0 && status_known(f->type) && f->type != ST_PENDING;
    default: return false;
    }
}

/* Reserved bytes must be zero, so that they can mean something in a later version without being misread by this one. */
static bool reserved_zero(const unsigned char *head)
{
    return head[1] == 0 && get32(head + 24) == 0;
}

bool frame_frames_check(struct slice frames, enum frame_side side, size_t *ret_n)
{
    const unsigned char *p = (const unsigned char *)frames.p;
    size_t left = frames.n, n = 0;

    while (left > 0) {
        struct frame f;
        size_t length;

        if (left < FRAME_HEAD_SIZE)
            return false;
        head_read(p, &f, &length);
        if (length > left - FRAME_HEAD_SIZE || !reserved_zero(p) || !kind_fits(&f, length, side))
            return false;
        p += FRAME_HEAD_SIZE + length;
        left -= FRAME_HEAD_SIZE + length;
        n++;
    }
    *ret_n = n;
    return true;
}

bool frame_head_read(struct slice bytes, struct frame_batch *ret)
{
    const unsigned char *p = (const unsigned char *)bytes.p;

    if (bytes.n < FRAME_BATCH_SIZE || (get32(p) != FRAME_MAGIC && get32(p) != FRAME_MAGIC_SEALED))
        return false;
    *ret = (struct frame_batch){.sealed = get32(p) == FRAME_MAGIC_SEALED,
                                .flags = get32(p + 4),
                                .seq = get32(p + 8),
                                .ack = get32(p + 12),
                                .instance = get64(p + 16),
                                .mark = get64(p + 24)};
    return (ret->flags & ~(uint32_t)FRAME_FLAGS) == 0;
}

bool frame_check(struct slice bytes, enum frame_side side, struct frame_batch *ret_batch, struct slice *ret_frames,
                 size_t *ret_n)
{
    struct slice frames;

    if (!frame_head_read(bytes, ret_batch) || ret_batch->sealed)
        return false;
    frames = (struct slice){bytes.p + FRAME_BATCH_SIZE, bytes.n - FRAME_BATCH_SIZE};
    if (!frame_frames_check(frames, side, ret_n))
        return false;
    *ret_frames = frames;
    return true;
}

void frame_refusal_write(unsigned char to[FRAME_BATCH_SIZE], enum frame_refusal why)
{
    memset(to, 0, FRAME_BATCH_SIZE);
    put32(to, FRAME_MAGIC_REFUSED);
    put32(to + 4, (uint32_t)why);
}

enum frame_refusal frame_refusal_read(struct slice bytes)
{
    const unsigned char *p = (const unsigned char *)bytes.p;
    uint32_t why;

    if (bytes.n != FRAME_BATCH_SIZE || get32(p) != FRAME_MAGIC_REFUSED)
        return FRAME_ACCEPTED;
    why = get32(p + 4);
    return why < FRAME_REFUSALS ? (enum frame_refusal)why : FRAME_REFUSED_VERSION;
}

/* The first three bytes of a magic are the layout, the last is its version. */
static bool same_layout(uint32_t a, uint32_t b)
{
    return (a & 0xffffffu) == (b & 0xffffffu);
}

enum frame_refusal frame_stranger(struct slice bytes, bool sealed)
{
    const unsigned char *p = (const unsigned char *)bytes.p;
    uint32_t magic;

    if (bytes.n < FRAME_BATCH_SIZE)
        return FRAME_ACCEPTED;
    magic = get32(p);
    if (magic == FRAME_MAGIC)
        return sealed ? FRAME_REFUSED_PLAIN : FRAME_ACCEPTED;
    if (magic == FRAME_MAGIC_SEALED)
        return sealed ? FRAME_ACCEPTED : FRAME_REFUSED_SEALED;
    return same_layout(magic, FRAME_MAGIC) || same_layout(magic, FRAME_MAGIC_SEALED) ? FRAME_REFUSED_VERSION
                                                                                     : FRAME_ACCEPTED;
}

bool frame_next(struct slice *frames, struct frame *ret)
{
    size_t length;

    if (frames->n < FRAME_HEAD_SIZE)
        return false;
    head_read((const unsigned char *)frames->p, ret, &length);
    if (length > frames->n - FRAME_HEAD_SIZE)
        return false;
    ret->payload = (struct slice){frames->p + FRAME_HEAD_SIZE, length};
    frames->p += FRAME_HEAD_SIZE + length;
    frames->n -= FRAME_HEAD_SIZE + length;
    return true;
}
