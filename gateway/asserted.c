#include "gateway/asserted.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/call.h"

#define ASSERTED_AT_ONCE 128u /* holds of one message */

struct asserted_text {
    char request_id[LIMIT_ID_TEXT + 1], user_id[LIMIT_ID_TEXT + 1], key_id[LIMIT_ID_TEXT + 1];
    uint8_t digest[LIMIT_DIGEST];
};

/* Copied, because a call's memory is only there while its connection's lock is held. */
struct assertion {
    struct gateway *gw;
    struct xchg_join *to;
    char instance[LIMIT_NAME];
    size_t n, all;
    struct hold_state holds[ASSERTED_AT_ONCE];
    struct asserted_text texts[ASSERTED_AT_ONCE];
};

static bool send(struct assertion *a, bool last)
{
    struct holds_assert_req req = {.instance = slice_of(a->instance), .last = last};

    req.holds.items = a->holds;
    req.holds.n = a->n;
    a->all += a->n;
    a->n = 0;
    return call_join_tell(a->to, &holds_assert_req_desc, &req) == ST_OK;
}

/* Under the connection's lock. */
static void add(struct assertion *a, const struct call *c)
{
    struct asserted_text *t = &a->texts[a->n];

    slice_copy(slice_of(c->r->id), t->request_id, sizeof(t->request_id));
    slice_copy(c->admitted.user_id, t->user_id, sizeof(t->user_id));
    slice_copy(c->admitted.key_id, t->key_id, sizeof(t->key_id));
    memcpy(t->digest, c->digest, sizeof(t->digest));
    a->holds[a->n++] = (struct hold_state){.request_id = slice_of(t->request_id),
                                           .user_id = slice_of(t->user_id),
                                           .key_id = slice_of(t->key_id),
                                           .key_digest = {(const char *)t->digest, sizeof(t->digest)},
                                           .amount_nano = c->admitted.hold_nano,
                                           .lease_ms = call_remaining_ms(c),
                                           .running = true};
}

static bool assert_all(struct assertion *a)
{
    unsigned i, n = atomic_load(&a->gw->conns_made);
    bool told = true;

    for (i = 0; i < n && told; i++) {
        struct conn *conn = a->gw->conns[i];

        pthread_mutex_lock(&conn->lock);
        if (conn->call && conn->call->holding)
            add(a, conn->call);
        pthread_mutex_unlock(&conn->lock);
        if (a->n == ASSERTED_AT_ONCE)
            told = send(a, false);
    }
    return told && send(a, true);
}

bool gateway_joined(struct svc *svc, enum svc_peer peer, struct xchg_join *to)
{
    struct assertion *a;
    bool told;

    if (peer != SVC_AUTHSVC)
        return true;
    a = calloc(1, sizeof(*a));
    if (!a)
        return false;
    a->gw = svc_state(svc);
    a->to = to;
    snprintf(a->instance, sizeof(a->instance), "gateway:%s", svc_instance(svc));
    told = assert_all(a);
    if (a->all)
        log_event(svc_log(svc), LOG_INFO, LOG_NO_REQ, "holds_asserted", LOG_N("holds", a->all), LOG_B("told", told));
    free(a);
    return told;
}
