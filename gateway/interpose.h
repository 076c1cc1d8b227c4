/*
 * interpose: puts the guard between the socket and civetweb. The library reads requests with recv() through the dynamic
 * linker, so a recv() in the executable itself is what it gets. It touches only the client's socket of the thread that
 * asked for it with interpose_set(); every other socket of the process (the bus, upstream connections) passes through
 * untouched.
 *
 * The one mutable thing at file scope is a pointer per thread: recv() has no context argument. A tap belongs to its
 * thread.
 */
#ifndef GATEWAY_INTERPOSE_H
#define GATEWAY_INTERPOSE_H

#include "gateway/guard.h"

#define TAP_BODY_GRACE_MS 10000u /* a body may take this long at any speed … */
#define TAP_BODY_RATE 4096u /* … and afterwards must have come at this many bytes a second */
#define TAP_BODY_MAX_MS 600000u /* and never takes longer than this */

/* One connection as its thread reads it. */
struct tap {
    int fd; /* -1 = the next descriptor that is read from is the connection */
    struct guard guard;
    bool refused; /* the client has been told; what follows reads as end of file */
    bool ended; /* the client closed, or its connection broke */
    bool slow; /* a body came too slowly: reads as end of file */
    uint64_t body_began_ms; /* 0 = no body is being read */
    uint64_t body_bytes; /* since then */
    void (*refuse)(void *ctx, const struct guard *g); /* answers the client; runs in recv() */
    void *ctx;
};

void interpose_set(struct tap *tap); /* of the calling thread; NULL = none */
void tap_connect(struct tap *tap); /* another connection begins */
void tap_body_begin(struct tap *tap);
void tap_body_end(struct tap *tap);

#endif
