#include "providersvc/outbox_file.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CRC_POLYNOMIAL 0x82f63b78u /* Castagnoli, reflected */

void outbox_crc_init(struct outbox_crc *c)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t v = i;

        for (int bit = 0; bit < 8; bit++)
            v = (v >> 1) ^ ((v & 1) != 0 ? CRC_POLYNOMIAL : 0);
        c->table[0][i] = v;
    }
    for (unsigned k = 1; k < OUTBOX_CRC_AT_ONCE; k++)
        for (uint32_t i = 0; i < 256; i++)
            c->table[k][i] = c->table[0][c->table[k - 1][i] & 0xff] ^ (c->table[k - 1][i] >> 8);
}

uint32_t outbox_crc(const struct outbox_crc *c, const void *p, size_t n)
{
    const unsigned char *at = p;
    uint32_t v = 0xffffffffu;

    for (; n >= OUTBOX_CRC_AT_ONCE; n -= OUTBOX_CRC_AT_ONCE, at += OUTBOX_CRC_AT_ONCE) {
        v ^= (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
        v = c->table[7][v & 0xff] ^ c->table[6][(v >> 8) & 0xff] ^ c->table[5][(v >> 16) & 0xff] ^
            c->table[4][v >> 24] ^ c->table[3][at[4]] ^ c->table[2][at[5]] ^ c->table[1][at[6]] ^ c->table[0][at[7]];
    }
    for (size_t i = 0; i < n; i++)
        v = c->table[0][(v ^ at[i]) & 0xff] ^ (v >> 8);
    return ~v;
}

static void put(char *to, uint64_t v, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        to[i] = (char)(unsigned char)(v >> (8 * i));
}

static uint64_t get(const char *from, unsigned bytes)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < bytes; i++)
        v |= (uint64_t)(unsigned char)from[i] << (8 * i);
    return v;
}

enum status outbox_record_add(struct buf *out, const struct wire_desc *desc, const void *msg, struct err *err)
{
    size_t at = out->n;
    char head[OUTBOX_RECORD_HEAD] = {0};
    enum status st = buf_add(out, head, sizeof(head));

    if (st == ST_OK)
        st = wire_encode(desc, msg, out, err);
    if (st == ST_OK && out->n - at > OUTBOX_RECORD_MAX)
        st = err_set(err, ST_TOO_LARGE, "a record of the outbox is too large");
    if (st != ST_OK) {
        out->n = at;
        return st;
    }
    put(out->p + at, out->n - at - OUTBOX_RECORD_HEAD, 4);
    put(out->p + at + 16, desc->type, 2);
    return ST_OK;
}

size_t outbox_record_seal(const struct outbox_crc *c, char *record, uint64_t seq)
{
    size_t bytes = OUTBOX_RECORD_HEAD + (size_t)get(record, 4);

    put(record + 8, seq, 8);
    put(record + 4, outbox_crc(c, record + 8, bytes - 8), 4);
    return bytes;
}

bool outbox_record_read(const struct outbox_crc *c, const char *p, size_t n, struct outbox_record *ret)
{
    size_t bytes;

    if (n < OUTBOX_RECORD_HEAD)
        return false;
    bytes = OUTBOX_RECORD_HEAD + (size_t)get(p, 4);
    if (bytes > OUTBOX_RECORD_MAX || bytes > n || outbox_crc(c, p + 8, bytes - 8) != (uint32_t)get(p + 4, 4))
        return false;
    ret->seq = get(p + 8, 8);
    ret->type = (uint16_t)get(p + 16, 2);
    ret->payload = (struct slice){p + OUTBOX_RECORD_HEAD, bytes - OUTBOX_RECORD_HEAD};
    ret->bytes = bytes;
    return true;
}

/* The payload is copied: the event outlives the bytes it was read from. */
enum status outbox_event_decode(const struct outbox_record *r, struct arena *a, struct usage_event *ret)
{
    struct wire_alloc mem = arena_wire(a);
    struct usage_started started;
    enum status st = ST_OK;
    struct slice copy = arena_copy(a, r->payload, &st);

    if (st != ST_OK)
        return st;
    if (r->type == usage_event_desc.type)
        return wire_decode(&usage_event_desc, copy.p, copy.n, ret, &mem, NULL);
    if (r->type != usage_started_desc.type)
        return ST_BAD_MESSAGE;
    st = wire_decode(&usage_started_desc, copy.p, copy.n, &started, &mem, NULL);
    if (st != ST_OK)
        return st;
    if (started.event.n != 1)
        return ST_BAD_MESSAGE;
    *ret = started.event.items[0];
    return ST_OK;
}

void outbox_segment_name(uint64_t id, char to[OUTBOX_FILE_NAME])
{
    snprintf(to, OUTBOX_FILE_NAME, "%016" PRIx64 ".log", id);
}

bool outbox_segment_id(const char *name, uint64_t *ret)
{
    char *end = NULL;

    if (strlen(name) != 20 || strcmp(name + 16, ".log") != 0)
        return false;
    *ret = strtoull(name, &end, 16);
    return end == name + 16;
}

size_t outbox_scan(const struct outbox_crc *c, const char *p, size_t n,
                   enum status (*each)(void *ctx, const struct outbox_record *r, size_t at), void *ctx)
{
    size_t at = OUTBOX_MAGIC_BYTES;
    struct outbox_record r;

    if (n < OUTBOX_MAGIC_BYTES || memcmp(p, OUTBOX_MAGIC, OUTBOX_MAGIC_BYTES) != 0)
        return 0;
    while (outbox_record_read(c, p + at, n - at, &r) && each(ctx, &r, at) == ST_OK)
        at += r.bytes;
    return at;
}

enum status outbox_read_file(int dir, const char *name, struct buf *out)
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    enum status st = ST_OK;
    struct stat info;

    if (fd < 0)
        return ST_NOT_FOUND;
    out->n = 0;
    if (fstat(fd, &info) != 0 || info.st_size < 0)
        st = ST_UNAVAILABLE;
    if (st == ST_OK)
        st = buf_reserve(out, (size_t)info.st_size);
    while (st == ST_OK && out->n < (size_t)info.st_size) {
        ssize_t got = read(fd, out->p + out->n, (size_t)info.st_size - out->n);

        if (got < 0)
            st = ST_UNAVAILABLE;
        if (got <= 0)
            break;
        out->n += (size_t)got;
    }
    close(fd);
    return st;
}
