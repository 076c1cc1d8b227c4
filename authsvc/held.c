/* What is held, as others see it: they assert it after a restart of ours, let it grow, look at it. */
#include "authsvc/authsvc.h"
#include "proto/endpoints.h"
#include "services/clock.h"
#include "services/voids.h"

enum status authsvc_holds_assert(struct svc_call *call, const void *in, void *out)
{
    const struct holds_assert_req *req = in;
    struct authsvc *self = authsvc_of(call);
    const struct hold_state *holds = req->holds.items;
    uint64_t now_ms = clock_ms();
    size_t i, lost = 0;

    (void)out;
    for (i = 0; i < req->holds.n; i++)
        lost += admission_assert(&self->admission, now_ms, &holds[i]) != ST_OK;
    window_heard(&self->window, req->instance, req->last);
    metric_add(self->holds_asserted, req->holds.n);
    if (lost)
        log_event(svc_log(call->svc), LOG_ERROR, LOG_NO_REQ, "holds_lost", LOG_S("from", req->instance),
                  LOG_N("holds", lost));
    if (req->holds.n || req->last)
        log_event(svc_log(call->svc), LOG_INFO, LOG_NO_REQ, "holds_asserted", LOG_S("from", req->instance),
                  LOG_N("holds", req->holds.n), LOG_B("last", req->last));
    return ST_OK;
}

static enum status extend(struct svc_call *call, const void *in, void *out)
{
    return admission_extend(&authsvc_of(call)->admission, clock_wall_ms() / 1000, in, out, &call->err);
}

enum status authsvc_hold_extend(struct svc_call *call, const void *in, void *out)
{
    enum status st = window_park(&authsvc_of(call)->window, call, in, extend);

    return st == ST_OK ? extend(call, in, out) : st;
}

/* Nobody settled it: its gateway died with it, or whoever ran it has been away for longer than the lease. The call gets
 * its row now; should usage come after all, it corrects it. */
void authsvc_hold_lapsed(void *ctx, const struct hold *hold, uint64_t now_ms)
{
    struct authsvc *self = ctx;
    const struct proj_route none = {.tier = 0}, *first = hold->n_routes ? &hold->routes[0] : &none;
    struct usage_event e = {.request_id = hold->node.key,
                            .user_id = hold->user_id,
                            .key_id = hold->key_id,
                            .model = first->model, /* what the client called it is not kept, nor who served it known */
                            .provider = first->provider,
                            .upstream_model = first->model,
                            .endpoint = hold->endpoint.n ? hold->endpoint : slice_of(ENDPOINT_CHAT),
                            .status = slice_of("void"),
                            .http_status = (uint64_t)status_http(ST_PEER_LOST),
                            .hold_nano = hold->amount_nano,
                            .created_ms = clock_wall_ms() - (now_ms - hold->began_ms)};

    if (first->price)
        e.price_id = first->price->price.id;
    voids_add_later(self->lapsed, &e);
}

enum status authsvc_holds_list(struct svc_call *call, const void *in, void *out)
{
    struct admission_env env = {.now_ms = clock_ms(), .arena = call->arena};

    return admission_holds(&authsvc_of(call)->admission, &env, in, out);
}
