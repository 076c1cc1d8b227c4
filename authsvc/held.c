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
    if (authsvc_sharing(authsvc_of(call)) != SHARING_NOT)
        return authsvc_extend_shared(call, in);
    return admission_extend(&authsvc_of(call)->admission, clock_wall_ms() / 1000, in, out, &call->err);
}

enum status authsvc_hold_extend(struct svc_call *call, const void *in, void *out)
{
    enum status st = window_park(&authsvc_of(call)->window, call, in, extend);

    return st == ST_OK ? extend(call, in, out) : st;
}

/* Nobody settled it: its gateway died with it, or whoever ran it has been away for longer than the lease. The call gets
 * its row now; should usage come after all, it corrects it. */
void authsvc_lapsed(struct authsvc *self, const struct shared_lapsed *l)
{
    struct usage_event e = {.request_id = l->request_id,
                            .user_id = l->user_id,
                            .key_id = l->key_id,
                            .model = l->model, /* what the client called it is not kept, nor who served it known */
                            .provider = l->provider,
                            .upstream_model = l->model,
                            .endpoint = l->endpoint.n ? l->endpoint : slice_of(ENDPOINT_CHAT),
                            .status = slice_of("void"),
                            .http_status = (uint64_t)status_http(ST_PEER_LOST),
                            .hold_nano = l->amount_nano,
                            .price_id = l->price_id,
                            .created_ms = clock_wall_ms() - l->age_ms};

    voids_add_later(self->lapsed, &e);
}

void authsvc_hold_lapsed(void *ctx, const struct hold *hold, uint64_t now_ms)
{
    const struct proj_route none = {.tier = 0}, *first = hold->n_routes ? &hold->routes[0] : &none;

    authsvc_lapsed(ctx, &(struct shared_lapsed){.request_id = hold->node.key,
                                                .user_id = hold->user_id,
                                                .key_id = hold->key_id,
                                                .endpoint = hold->endpoint,
                                                .model = first->model,
                                                .provider = first->provider,
                                                .amount_nano = hold->amount_nano,
                                                .age_ms = now_ms - hold->began_ms,
                                                .price_id = first->price ? first->price->price.id : 0});
}

enum status authsvc_holds_list(struct svc_call *call, const void *in, void *out)
{
    struct admission_env env = {.now_ms = clock_ms(), .arena = call->arena};

    if (authsvc_sharing(authsvc_of(call)) != SHARING_NOT)
        return authsvc_holds_shared(call, in);
    return admission_holds(&authsvc_of(call)->admission, &env, in, out);
}
