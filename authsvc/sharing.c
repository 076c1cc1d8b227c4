/* Calls where several authsvc share what is counted: decided here, taken in Redis, answered when it has. */
#include "authsvc/authsvc.h"
#include "services/clock.h"
#include "services/voids.h"

#define TRIES_MAX 8u /* of one admission: others may take in between what it saw */
#define AWAY_RETRY_MS 1000u

/* ---- which way ----------------------------------------------------------------------------------------------------
 */

enum status authsvc_away(struct svc_call *call)
{
    shared_missed(authsvc_of(call)->shared);
    (void)err_set(&call->err, ST_UNAVAILABLE, "The router cannot see its limits at the moment. Try again.");
    call->err.retry_after_ms = AWAY_RETRY_MS;
    return ST_UNAVAILABLE;
}

enum sharing authsvc_sharing(struct authsvc *self)
{
    if (!self->shared)
        return SHARING_NOT;
    switch (shared_state(self->shared)) {
    case SHARED_ON: return SHARING_ON;
    case SHARED_FILLING: return SHARING_SOON;
    default: return self->alone_when_away ? SHARING_NOT : SHARING_AWAY;
    }
}

const char *authsvc_sharing_text(struct authsvc *self)
{
    switch (authsvc_sharing(self)) {
    case SHARING_ON: return "limits and holds are shared";
    case SHARING_SOON: return "holds are being told";
    case SHARING_AWAY: return "away: calls are refused";
    default: return "away: this authsvc goes on alone";
    }
}

/* On the thread of Redis. */
static void changed(void *ctx, enum shared_state state)
{
    struct authsvc *self = ctx;

    if (state == SHARED_FILLING) {
        admission_share(&self->admission, true);
        window_open(&self->filling);
        return;
    }
    if (state == SHARED_AWAY && self->alone_when_away)
        admission_share(&self->admission, false);
    (void)window_close(&self->filling, ST_OK); /* each looks again which way to go */
}

/* ---- admission ----------------------------------------------------------------------------------------------------
 */

/* In the call's arena. */
struct admitting {
    struct svc_call *call;
    const struct admit_req *req;
    uint64_t began_ns;
    struct taking taking;
    unsigned tries;
    bool true_counters; /* have been seen */
};

static struct admission_env env_of(struct svc_call *call, struct suspect_key *suspect)
{
    return (struct admission_env){.now_ms = clock_ms(),
                                  .wall_s = clock_wall_ms() / 1000,
                                  .arena = call->arena,
                                  .limits = &call->limits,
                                  .suspect = suspect};
}

static void on_admitted(void *ctx, enum status st, enum shared_answer answer, const struct counters *c);

static enum status ask(struct admitting *a, bool take)
{
    struct authsvc *self = authsvc_of(a->call);
    enum status st = shared_admit(self->shared, &a->taking, take, clock_wall_ms() / 1000, on_admitted, a);

    if (st == ST_OK)
        return ST_PENDING;
    admission_withdraw(&self->admission, &a->taking);
    return authsvc_sharing(self) == SHARING_ON ? authsvc_away(a->call) : authsvc_decide(a->call, a->req, a->began_ns);
}

/* A yes is asked for at once, by counters that may be old: where they are kept is decided. A no, or less than was asked
 * for, is believed only of true ones. */
static enum status step(struct admitting *a)
{
    struct authsvc *self = authsvc_of(a->call);
    struct suspect_key suspect = {.found = false};
    struct admission_env env = env_of(a->call, &suspect);
    enum status st;

    st = admission_propose(&self->admission, &env, a->req, &a->taking, svc_out(a->call), &a->call->err);
    authsvc_note_suspect(a->call, &suspect, a->req);
    if (a->taking.by_counters && !a->true_counters) {
        admission_withdraw(&self->admission, &a->taking);
        return ask(a, false);
    }
    if (a->taking.hold)
        return ask(a, true);
    if (st != ST_OK)
        admission_refused(&self->admission, a->req->request_id, &a->call->err, &a->call->limits);
    return st;
}

static enum status taken(struct admitting *a)
{
    struct authsvc *self = authsvc_of(a->call);
    struct admission_env env = env_of(a->call, NULL);
    enum status st = admission_conclude(&self->admission, &env, &a->taking, svc_out(a->call), &a->call->err);

    if (st != ST_OK)
        shared_undo(self->shared, a->req->request_id);
    return st;
}

static enum status not_fitting(struct admitting *a)
{
    bool took = a->taking.hold != NULL;

    admission_withdraw(&authsvc_of(a->call)->admission, &a->taking);
    a->true_counters = true;
    if (took && ++a->tries >= TRIES_MAX)
        return authsvc_away(a->call);
    return step(a);
}

static enum status answer(struct admitting *a, enum shared_answer what, const struct counters *c)
{
    struct authsvc *self = authsvc_of(a->call);

    if (what == SHARED_FITS || what == SHARED_SHORT)
        admission_learn(&self->admission, clock_ms(), &a->taking, c);
    if (what == SHARED_FITS)
        return taken(a);
    if (what == SHARED_SHORT)
        return not_fitting(a);
    admission_withdraw(&self->admission, &a->taking);
    if (what == SHARED_EMPTY)
        return authsvc_decide(a->call, a->req, a->began_ns);
    return err_set(&a->call->err, ST_CONFLICT, "%s",
                   what == SHARED_OVER ? "The request id was used before." : "The request id belongs to another key.");
}

static void on_admitted(void *ctx, enum status st, enum shared_answer what, const struct counters *c)
{
    struct admitting *a = ctx;
    struct authsvc *self = authsvc_of(a->call);

    if (st == ST_OK) {
        st = answer(a, what, c);
    } else {
        if (a->taking.hold && st == ST_TIMEOUT) /* maybe it was taken */
            shared_undo(self->shared, a->req->request_id);
        admission_withdraw(&self->admission, &a->taking);
        st =
            authsvc_sharing(self) == SHARING_NOT ? authsvc_decide(a->call, a->req, a->began_ns) : authsvc_away(a->call);
    }
    if (st != ST_PENDING)
        authsvc_admitted(a->call, st, a->began_ns);
}

enum status authsvc_admit_shared(struct svc_call *call, const struct admit_req *req, uint64_t began_ns)
{
    struct admitting *a = arena_alloc(call->arena, sizeof(*a));

    if (!a)
        return ST_NO_MEMORY;
    *a = (struct admitting){.call = call, .req = req, .began_ns = began_ns};
    return step(a);
}

/* ---- other questions ----------------------------------------------------------------------------------------------
 */

static void on_extended(void *ctx, enum status st, enum shared_answer what, int64_t nano)
{
    struct svc_call *call = ctx;
    struct hold_extend_rep *rep = svc_out(call);

    if (st != ST_OK || what == SHARED_EMPTY)
        st = authsvc_away(call);
    else if (what != SHARED_FITS)
        st = err_set(&call->err, ST_NOT_FOUND, "No credit is held for this request.");
    else
        rep->amount_nano = nano;
    authsvc_finish(call, st);
}

enum status authsvc_extend_shared(struct svc_call *call, const struct hold_extend_req *req)
{
    enum status st = shared_extend(authsvc_of(call)->shared, req, clock_wall_ms() / 1000, on_extended, call);

    return st == ST_OK ? ST_PENDING : authsvc_away(call);
}

static void on_held(void *ctx, enum status st, enum shared_answer what, int64_t nano)
{
    struct svc_call *call = ctx;
    struct credits_rep *rep = svc_out(call);

    if (st == ST_OK && what == SHARED_FITS)
        rep->held_nano = nano;
    else
        st = authsvc_away(call);
    authsvc_finish(call, st);
}

enum status authsvc_held_shared(struct svc_call *call, struct slice user_id)
{
    enum status st = shared_held(authsvc_of(call)->shared, user_id, on_held, call);

    return st == ST_OK ? ST_PENDING : authsvc_away(call);
}

static void on_listed(void *ctx, enum status st, const struct holds_list_rep *from)
{
    struct svc_call *call = ctx;
    struct holds_list_rep *rep = svc_out(call);
    struct hold_state *items = st == ST_OK ? arena_alloc(call->arena, (from->data.n + 1) * sizeof(*items)) : NULL;
    size_t i;

    if (st == ST_OK && !items)
        st = ST_NO_MEMORY;
    for (i = 0; st == ST_OK && i < from->data.n; i++) {
        items[i] = from->data.items[i];
        items[i].request_id = arena_copy(call->arena, items[i].request_id, &st);
        if (st == ST_OK)
            items[i].user_id = arena_copy(call->arena, items[i].user_id, &st);
        if (st == ST_OK)
            items[i].key_id = arena_copy(call->arena, items[i].key_id, &st);
    }
    if (st == ST_OK) {
        *rep = *from;
        rep->data.items = items;
    } else if (st != ST_NO_MEMORY) {
        st = authsvc_away(call);
    }
    authsvc_finish(call, st);
}

enum status authsvc_holds_shared(struct svc_call *call, const struct holds_list_req *req)
{
    enum status st = shared_list(authsvc_of(call)->shared, req, on_listed, call);

    return st == ST_OK ? ST_PENDING : authsvc_away(call);
}

/* ---- what is told -------------------------------------------------------------------------------------------------
 */

static void settled(void *ctx, const struct settled *s, struct slice key_id, uint64_t revision)
{
    struct authsvc *self = ctx;

    shared_settled(self->shared, s, key_id, revision);
}

static void credited(void *ctx, const struct user *user, uint64_t revision)
{
    struct authsvc *self = ctx;

    shared_credited(self->shared, user, revision);
}

static void asserted(void *ctx, const struct hold_state *told, uint64_t lease_ms)
{
    struct authsvc *self = ctx;

    shared_assert(self->shared, told, lease_ms, told->running && told->key_digest.n == LIMIT_DIGEST);
}

static void expired(void *ctx, const struct shared_lapsed *l)
{
    struct authsvc *self = ctx;

    authsvc_lapsed(self, l);
}

void authsvc_expire_shared(struct authsvc *self)
{
    shared_expire(self->shared, expired, self);
}

enum status authsvc_share(struct authsvc *self, const char *url, struct err *err)
{
    struct shared_options options = {.url = url,
                                     .log = svc_log(self->svc),
                                     .metrics = svc_metrics(self->svc),
                                     .admission = &self->admission,
                                     .changed = changed,
                                     .ctx = self};

    self->admission.ears.settled = settled;
    self->admission.ears.credited = credited;
    self->admission.ears.asserted = asserted;
    admission_share(&self->admission, !self->alone_when_away);
    return shared_new(&options, &self->shared, err);
}
