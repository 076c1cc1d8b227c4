/*
 * idempotency: a POST with an Idempotency-Key is made once for its caller, key and body. meterd says who makes it; who
 * repeats it waits, and then gets the first one's answer to the byte. Knows nothing of what routes do: a route begins
 * before its work, hands over the bytes that its client gets, and says at the end what became of the call. A route that
 * says nothing leaves it to the bill: paid for means that the key is spent, else the next one makes the call.
 *
 * Everything but idempotency_record is for the connection's thread, which waits in it.
 */
#ifndef GATEWAY_IDEMPOTENCY_H
#define GATEWAY_IDEMPOTENCY_H

#include "gateway/request.h"

#define IDEMPOTENCY_KEY_MAX 255 /* printable ASCII */
#define IDEMPOTENCY_GRACE_MS 60000u /* so long after a call's deadline its bill and its answer may come */
#define IDEMPOTENCY_ASK_MS 5000u /* meterd may be away for so long, to begin … */
#define IDEMPOTENCY_TELL_MS 10000u /* … and to take an answer */
#define IDEMPOTENCY_POLL_MIN_MS 25u /* a repeat looks so soon whether the first one is over … */
#define IDEMPOTENCY_POLL_MAX_MS 500u /* … and later on this often */
#define IDEMPOTENCY_RECORDS_MAX (256u * 1024u * 1024u) /* bytes of streams being recorded, all calls together */
#define IDEMPOTENCY_REPLY_MAX (64u * 1024u * 1024u) /* memory for an answer of meterd */

struct idempotency {
    struct request *r;
    struct slice key; /* empty: the call has none, and everything below does nothing */
    uint8_t key_digest[LIMIT_DIGEST], body_digest[LIMIT_DIGEST];
    struct buf record; /* of a stream: what its client gets */
    size_t counted; /* of it in gateway.record_bytes */
    bool incomplete; /* the record: it had no room */
    bool told; /* meterd knows what became of it */
};

/* Is the request's header, if it has one, a key? Before the body is read. */
enum status idempotency_check(const struct request *r, struct err *err);

/* true: make the call. false: the request is answered, or its client left. The request's body must be there. */
bool idempotency_begin(struct idempotency *i, struct request *r, const uint8_t key_digest[LIMIT_DIGEST]);

/* What the client of a stream gets, piece by piece. Any thread, one at a time. */
void idempotency_record(struct idempotency *i, struct slice bytes);

/* The answer, whole: repeats get it. */
void idempotency_store(struct idempotency *i, unsigned http, struct slice type, struct slice body);
/* Nothing was billed: the next one with this key makes the call. */
void idempotency_forget(struct idempotency *i);
void idempotency_fini(struct idempotency *i); /* zeroed is fine */

#endif
