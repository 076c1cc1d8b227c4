/*
 * The files of an outbox: segments of records. All integers little-endian.
 *   segment  "ORTOUT1\n", then records
 *   record   u32 payload bytes, u32 CRC-32C of all that follows it, u64 seq (0 = started), u16 type, payload
 * A segment ends where its records stop being whole. Knows no locks and no policy.
 */
#ifndef PROVIDERSVC_OUTBOX_FILE_H
#define PROVIDERSVC_OUTBOX_FILE_H

#include <stdbool.h>

#include "proto/messages.h"
#include "services/arena.h"

#define OUTBOX_MAGIC "ORTOUT1\n"
#define OUTBOX_MAGIC_BYTES 8u
#define OUTBOX_RECORD_HEAD 18u
#define OUTBOX_RECORD_MAX 16384u /* a usage event has less than half of it */
#define OUTBOX_FILE_NAME 32

#define OUTBOX_CRC_AT_ONCE 8 /* bytes taken in one step, each with a table of its own */
struct outbox_crc {
    uint32_t table[OUTBOX_CRC_AT_ONCE][256];
};
void outbox_crc_init(struct outbox_crc *c);
uint32_t outbox_crc(const struct outbox_crc *c, const void *p, size_t n);

struct outbox_record {
    uint64_t seq; /* 0 = started */
    uint16_t type;
    struct slice payload;
    size_t bytes; /* head and payload */
};

/* Appends a record; its seq and CRC come with outbox_record_seal. */
enum status outbox_record_add(struct buf *out, const struct wire_desc *desc, const void *msg, struct err *err);
size_t outbox_record_seal(const struct outbox_crc *c, char *record, uint64_t seq); /* returns its bytes */
/* false: no whole record at p. */
bool outbox_record_read(const struct outbox_crc *c, const char *p, size_t n, struct outbox_record *ret);
enum status outbox_event_decode(const struct outbox_record *r, struct arena *a, struct usage_event *ret);

void outbox_segment_name(uint64_t id, char to[OUTBOX_FILE_NAME]);
bool outbox_segment_id(const char *name, uint64_t *ret);

/* Calls each for every record of p[0..n), whole segment from its magic on; returns how many bytes were good. */
size_t outbox_scan(const struct outbox_crc *c, const char *p, size_t n,
                   enum status (*each)(void *ctx, const struct outbox_record *r, size_t at), void *ctx);

enum status outbox_read_file(int dir, const char *name, struct buf *out);

#endif
