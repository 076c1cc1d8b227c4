/* API keys are made and changed here: only authsvc sees a secret and knows the plan's limits; meterd stores the digest
 * and the rest. */
#include <string.h>

#include <sodium.h>

#include "authsvc/authsvc.h"
#include "authsvc/tokens.h"
#include "services/clock.h"
#include "services/ids.h"

#define KEY_ID_BYTES 12

/* Lives in the call's arena until meterd has answered. */
struct new_key {
    char id[ID_TEXT_SIZE];
    char secret[TOKENS_KEY_SIZE];
    struct slice budget_period;
    const struct key_create_req *req;
};

static enum status check_models(const struct wire_strs *models, struct err *err)
{
    size_t i;

    for (i = 0; i < models->n; i++) {
        const struct slice *m = &models->items[i];
        const char *star = m->n ? memchr(m->p, '*', m->n) : NULL;

        if (m->n == 0 || (star && star != m->p + m->n - 1))
            return err_set_field(err, ST_BAD_REQUEST, "invalid_value", "models",
                                 "Invalid 'models': expected model names, where * may stand at the end only.");
    }
    return ST_OK;
}

static enum status check_expiry(uint64_t expires_at, struct err *err)
{
    if (expires_at == 0 || expires_at > clock_wall_ms() / 1000)
        return ST_OK;
    return err_set_field(err, ST_BAD_REQUEST, "invalid_value", "expires_at",
                         "Invalid 'expires_at': expected a time to come, in Unix seconds.");
}

static enum status check(struct svc_call *call, const struct key_create_req *req)
{
    struct key_limits limits = {req->rpm, req->tpm, req->concurrency};
    enum status st = check_models(&req->models, &call->err);

    if (st == ST_OK)
        st = check_expiry(req->expires_at, &call->err);
    if (st != ST_OK)
        return st;
    if (req->name.n == 0)
        return err_set_field(&call->err, ST_BAD_REQUEST, "invalid_value", "name", "Invalid 'name': it is empty.");
    return admission_key_limits(&authsvc_of(call)->admission, req->actor_id, &limits, &call->err);
}

static enum status made(struct svc_call *call, enum status st, const void *reply, void *ctx)
{
    const struct empty *stored = reply;
    struct key_created_rep *rep = svc_out(call);
    struct new_key *key = ctx;

    if (st != ST_OK) {
        sodium_memzero(key->secret, sizeof(key->secret));
        return st;
    }
    *rep = (struct key_created_rep){
        .id = slice_of(key->id),
        .key = slice_of(key->secret),
        .name = key->req->name,
        .prefix = (struct slice){key->secret, TOKENS_KEY_SHOWN},
        .rpm = key->req->rpm,
        .tpm = key->req->tpm,
        .concurrency = key->req->concurrency,
        .models = key->req->models,
        .expires_at = key->req->expires_at,
        .budget_nano = key->req->budget_nano,
        .budget_period = key->budget_period,
        .created = clock_wall_ms() / 1000,
        .revision = stored->revision,
    };
    return ST_OK;
}

enum status authsvc_key_create(struct svc_call *call, const void *in, void *out)
{
    const struct key_create_req *req = in;
    struct new_key *key = arena_alloc(call->arena, sizeof(*key));
    unsigned char digest[LIMIT_DIGEST];
    struct api_key row;
    struct key_put_req put = {.digest = {(const char *)digest, sizeof(digest)}, .key = {&row, 1}};
    struct authsvc_ask ask = {&key_put_req_desc, &empty_desc, &put, made, key};
    enum status st = key ? check(call, req) : ST_NO_MEMORY;

    (void)out;
    if (st != ST_OK)
        return st;
    key->req = req;
    key->budget_period = req->budget_period;
    if (req->budget_nano > 0 && key->budget_period.n == 0)
        key->budget_period = slice_of("total");
    id_make(key->id, "key_", KEY_ID_BYTES);
    tokens_key(key->secret);
    tokens_digest(slice_of(key->secret), digest);
    row = (struct api_key){
        .id = slice_of(key->id),
        .user_id = req->actor_id,
        .name = req->name,
        .prefix = {key->secret, TOKENS_KEY_SHOWN},
        .rpm = req->rpm,
        .tpm = req->tpm,
        .concurrency = req->concurrency,
        .models = req->models,
        .expires_at = req->expires_at,
        .budget_nano = req->budget_nano,
        .budget_period = key->budget_period,
        .status = slice_of("active"),
        .created = clock_wall_ms() / 1000,
    };
    return authsvc_ask(call, &ask);
}

/* ---- changing -----------------------------------------------------------------------------------------------------
 */

static enum status changed(struct svc_call *call, enum status st, const void *reply, void *ctx)
{
    struct key_rep *rep = svc_out(call);

    (void)ctx;
    if (st == ST_OK)
        *rep = *(const struct key_rep *)reply;
    return st;
}

/* The same limits as for a new key; whose it is and what else is wrong says meterd. */
enum status authsvc_key_update(struct svc_call *call, const void *in, void *out)
{
    const struct key_update_req *req = in;
    struct key_limits limits = {req->rpm, req->tpm, req->concurrency};
    struct authsvc_ask ask = {&key_update_req_desc, &key_rep_desc, in, changed, NULL};
    enum status st = check_models(&req->models, &call->err);

    (void)out;
    if (st == ST_OK)
        st = check_expiry(req->expires_at, &call->err);
    if (st == ST_OK)
        st = admission_key_limits(&authsvc_of(call)->admission, req->actor_id, &limits, &call->err);
    return st == ST_OK ? authsvc_ask(call, &ask) : st;
}
