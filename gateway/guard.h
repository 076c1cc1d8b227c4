/*
 * guard: a strict reader of HTTP/1.x framing (RFC 9112) that stands before the HTTP library. It sees every byte of a
 * client's connection first and refuses what two parsers could read differently: the raw material of request smuggling.
 *
 * Pure and incremental: no I/O, no allocation, the same verdict however the bytes are cut. It knows nothing of routes
 * or of what headers mean beyond framing. Bytes it passes are passed unchanged, but for a tab in a header's value,
 * which RFC 9110 (section 5.5) allows and the HTTP library refuses: it becomes a space. A refused connection stays
 * refused.
 */
#ifndef GATEWAY_GUARD_H
#define GATEWAY_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUARD_BLOCK_MAX 16384u /* bytes of request line and headers together */
#define GUARD_HEADERS_MAX 63u /* civetweb keeps 64 and drops the rest without a word */
#define GUARD_METHOD_MAX 32u
#define GUARD_VALUE_KEEP 24u /* a Content-Length or Transfer-Encoding that we accept is shorter */

enum guard_verdict {
    GUARD_OK,
    GUARD_BAD, /* 400 */
    GUARD_LARGE, /* 431 */
};

struct guard {
    uint8_t state; /* enum state of guard.c */
    uint8_t field; /* which header is being read */
    uint8_t verdict;
    bool old; /* HTTP/1.0 */
    bool has_length, has_chunked, has_host;
    uint8_t kept; /* bytes in keep */
    uint16_t matched;
    uint16_t headers;
    uint32_t block; /* bytes of this header block so far */
    uint32_t whole; /* requests that have passed from end to end; wraps */
    uint64_t left; /* of the body or of the chunk */
    char keep[GUARD_VALUE_KEEP];
    const char *why; /* of a refusal, for the client */
};

void guard_init(struct guard *g);

/* Looks at the next n bytes. Returns n when all is well. When something is wrong the verdict is set and the bytes of
 * whole requests that precede it are counted: only they may be passed on (0 when there are none). Afterwards always 0.
 */
size_t guard_feed(struct guard *g, char *bytes, size_t n);

/* Nothing of a next request has been seen since the last whole one. */
bool guard_between(const struct guard *g);

#endif
