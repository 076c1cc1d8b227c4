/*
 * Cuts a byte stream into Server-Sent Events (WHATWG HTML, "Server-sent events") without losing a byte: the raw events
 * put together are the stream. Cut at other places the same bytes give the same events. Pure: no JSON, no sockets.
 *
 * Owner: whoever called sse_init. An event borrows from the input or from the splitter and lives until take returns.
 */
#ifndef PROVIDERSVC_SSE_H
#define PROVIDERSVC_SSE_H

#include <stdbool.h>

#include "proto/wire.h"

#define SSE_EVENT_MAX (8u * 1024u * 1024u) /* bytes of one event */

struct sse_event {
    struct slice raw; /* all its lines, the blank one included */
    struct slice data; /* value of `data`; several lines are joined by LF */
    bool has_field; /* any field at all: false = only comments, or a blank line alone */
    bool one_line; /* data lies in raw as it is */
};

/* Gets one event; anything but ST_OK stops the feeding and is returned by it. */
typedef enum status sse_take(void *ctx, const struct sse_event *event);

struct sse {
    struct buf carry; /* the unfinished event */
    struct buf joined; /* data of several lines */
    size_t line; /* where its current line begins */
    size_t seen; /* how far that line was searched */
    bool begun; /* past a byte order mark */
    bool broken; /* out of memory or too large: nothing more comes out */
};

void sse_init(struct sse *s);
void sse_fini(struct sse *s); /* safe on a zeroed one */
enum status sse_feed(struct sse *s, struct slice bytes, sse_take *take, void *ctx);
/* The stream ended: what is left, if any, is the last event although its blank line is missing. */
enum status sse_end(struct sse *s, sse_take *take, void *ctx);

#endif
