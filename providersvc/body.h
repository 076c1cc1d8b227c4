/*
 * The request body for an upstream of OpenAI's dialect: the client's own bytes, with exact cuts where a member must
 * differ and nowhere else. When nothing must differ there is no copy at all. Pure.
 */
#ifndef PROVIDERSVC_BODY_H
#define PROVIDERSVC_BODY_H

#include "proto/messages.h"

struct body_cuts {
    struct slice model; /* empty = as the client said it */
    bool force_usage; /* stream_options.include_usage = true */
    uint64_t output_limit; /* 0 = as the client said it */
    const char *limit_member; /* where that goes; NULL = chat's two names; empty = nowhere */
    bool old_limit; /* of chat's two names max_tokens is added where the client used neither */
    const struct wire_strs *drop; /* members that are left out; NULL = none */
    bool no_stream_options; /* that one is, too */
};

/* Bodies may grow by the cuts: the model's name, twice over for escapes, and the fixed members. */
#define BODY_GROWTH_MAX 4096u
#define BODY_MAX (LIMIT_BODY + BODY_GROWTH_MAX)

/* What must be cut out of or into the client's body of this call. no_stream_options: this upstream refuses them. */
struct body_cuts body_cuts_for(const struct completion_req *req, const struct call_route *route,
                               bool no_stream_options);

/* *ret is the body to send: the client's bytes themselves, or out's. out is overwritten; the caller owns it. */
enum status body_make(struct slice client, const struct body_cuts *cuts, struct buf *out, struct slice *ret);

#endif
