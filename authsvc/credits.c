/* A user's credit: the ledger's figures are meterd's, what is held for running calls is known here. */
#include "authsvc/authsvc.h"

static enum status told(struct svc_call *call, enum status st, const void *reply, void *ctx)
{
    const struct credits_req *req = ctx;
    struct credits_rep *rep = svc_out(call);

    if (st != ST_OK)
        return st;
    *rep = *(const struct credits_rep *)reply;
    if (authsvc_sharing(authsvc_of(call)) != SHARING_NOT)
        return authsvc_held_shared(call, req->actor_id);
    rep->held_nano = admission_held(&authsvc_of(call)->admission, req->actor_id);
    return ST_OK;
}

enum status authsvc_credits(struct svc_call *call, const void *in, void *out)
{
    union {
        const void *in;
        void *ctx;
    } req = {.in = in}; /* the call's own, until it ends */
    struct authsvc_ask ask = {&credits_req_desc, &credits_rep_desc, in, told, req.ctx};

    (void)out;
    return authsvc_ask(call, &ask);
}
