/*
 * Typed calls over exchange: a declared request out, a declared reply or a fault back.
 */
#ifndef SERVICES_CALL_H
#define SERVICES_CALL_H

#include "proto/messages.h"
#include "services/arena.h"
#include "services/bus/exchange.h"

/* Calls and waits. The reply is decoded into rep (its bytes and lists live in a). Not from a callback. A failure's
 * fault is in err. */
enum status call_wait(struct xchg_client *c, const struct wire_desc *req_desc, const void *req,
                      const struct wire_desc *rep_desc, void *rep, struct arena *a, uint64_t deadline_ms,
                      struct err *err);

/* The same with one instance of several: ST_UNAVAILABLE when it is gone. instance 0: any. */
struct call_to {
    struct xchg_client *client;
    uint64_t instance, deadline_ms;
};
enum status call_wait_at(const struct call_to *to, const struct wire_desc *req_desc, const void *req,
                         const struct wire_desc *rep_desc, void *rep, struct arena *a, struct err *err);

/* Encodes req and opens the call; `open` says the rest (method and payload are filled in here). */
enum status call_open(struct xchg_client *c, const struct wire_desc *req_desc, const void *req, struct xchg_open *open,
                      struct xchg_id *ret_id, struct err *err);

/* One way. */
enum status call_tell(struct xchg_client *c, const struct wire_desc *req_desc, const void *req);

/* One way, to the instance that was just reached (xchg_client_options.joined). */
enum status call_join_tell(struct xchg_join *to, const struct wire_desc *req_desc, const void *req);

/* What an end callback got: for ST_OK decodes the payload into rep (borrowing from it), else fills err (and
 * *ret_limits, if not NULL, with the rate limits of a refusal; zeroed when there are none). Returns st, or
 * ST_BAD_MESSAGE. */
enum status call_result(enum status st, struct slice payload, const struct wire_desc *rep_desc, void *rep,
                        const struct wire_alloc *mem, struct err *err, struct rate_limits *ret_limits);

/* A fault's bytes for xchg_end, from err. */
enum status call_fault(const struct err *err, const struct rate_limits *limits, struct buf *out);

#endif
