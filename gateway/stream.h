/*
 * stream: the writing side of one answer of a call, plain or streamed. Whoever has bytes puts them straight into the
 * socket without waiting; what the socket does not take waits in a backlog that the connection's thread empties. One
 * batch is one HTTP chunk and one system call.
 *
 * Not thread-safe: its owner's lock guards it. Bounded by the window that its owner grants: bytes are returned as
 * credit only when the socket has taken them.
 */
#ifndef GATEWAY_STREAM_H
#define GATEWAY_STREAM_H

#include "proto/wire.h"

#define STREAM_WINDOW (128u * 1024u) /* bytes that may be on their way to a slow client */
#define STREAM_BACKLOG_MAX (1024u * 1024u) /* window, one message beyond it, framing */
#define STREAM_CREDIT_STEP (32u * 1024u) /* credit is returned in steps of this */

struct stream {
    int fd;
    bool chunked; /* HTTP/1.1 */
    bool began; /* the head is on its way */
    bool broken; /* the client is gone; what comes is thrown away */
    bool boundary; /* what was put last ends an event: a comment may follow */
    struct buf backlog;
    uint64_t owed; /* bytes in the backlog that count against the window */
    uint64_t credit; /* bytes of the window that are free again and not yet returned */
    uint64_t sent;
};

void stream_init(struct stream *s, int fd, bool chunked, size_t backlog_max);
void stream_fini(struct stream *s);

/* Puts head (may be empty), then data as one chunk (may be empty), then the end of the body if last. Never waits.
 * false: the thread must help (stream_flush) before everything is out. counted: data counts against the window. */
bool stream_put(struct stream *s, struct slice head, struct slice data, bool last, bool counted);
bool stream_flush(struct stream *s); /* tries again; true = the backlog is empty */
uint32_t stream_credit(struct stream *s); /* what to return now; 0 = not yet worth it */

#endif
