/*
 * server: civetweb, and how a request gets from it to its handler: the guard must have seen it, the route must exist,
 * the caller must be who the route asks for. Everything an HTTP client can get back when there is no handler is
 * answered here.
 *
 * A connection's thread has 100 KB of stack (the distribution's packages fix it): no frame of ours is above 16 KB.
 */
#ifndef GATEWAY_SERVER_H
#define GATEWAY_SERVER_H

#include "gateway/gateway.h"

enum status server_prepare(struct gateway *gw, struct err *err); /* a slot for every connection */
enum status server_start(struct gateway *gw, struct err *err); /* listens; gw->port is the real port afterwards */
void server_stop(
    struct gateway *gw); /* ends idle connections at once, waits for running requests; safe when never started */
void server_free(struct gateway *gw); /* the slots, when nobody looks at them any more */

#endif
