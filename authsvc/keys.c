/* API keys are made and changed here: only authsvc sees a secret and knows the plan's limits; meterd stores the digest
 * and the rest. */
#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "authsvc/authsvc.h"
#include "authsvc/tokens.h"
#include "services/clock.h"
#include "services/ids.h"
#include "services/net.h"

#define KEY_ID_BYTES 12

#define KEYS_GRACE_S (UINT64_C(24) * 3600) /* of a rotation that says nothing of it */

enum { TAG_GRACE = 3 }; /* of struct key_rotate_req (proto/fields_authsvc.h) */

/* A secret that is made; lives in the call's arena until meterd has answered. */
struct new_key {
    char id[ID_TEXT_SIZE];
    char secret[TOKENS_KEY_SIZE];
    struct api_key row;
};

/* ---- what is asked for --------------------------------------------------------------------------------------------
 */

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

/* The ranges as they are written here, into the arena. */
static enum status read_ranges(const struct wire_strs *from, struct arena *arena, struct wire_strs *ret,
                               struct err *err)
{
    struct slice *items = from->n ? arena_alloc(arena, from->n * sizeof(*items)) : NULL;
    enum status st = ST_OK;
    size_t i;

    *ret = (struct wire_strs){items, 0};
    if (from->n && !items)
        return ST_NO_MEMORY;
    for (i = 0; i < from->n && st == ST_OK; i++) {
        char text[NET_TEXT_MAX], param[ERR_PARAM_MAX];
        struct net net;

        snprintf(param, sizeof(param), "ip_allow[%zu]", i);
        if (!net_read(from->items[i], &net))
            return err_set_field(err, ST_BAD_REQUEST, "invalid_value", param,
                                 "Invalid '%s': expected an IPv4 or IPv6 address or a range of them, such as "
                                 "192.0.2.0/24 or 2001:db8::/32.",
                                 param);
        net_write(&net, text);
        items[i] = arena_copy(arena, slice_of(text), &st);
    }
    ret->n = from->n;
    return st;
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

/* ---- making -------------------------------------------------------------------------------------------------------
 */

static void make_secret(struct new_key *key, unsigned char digest[LIMIT_DIGEST])
{
    tokens_key(key->secret);
    tokens_digest(slice_of(key->secret), digest);
}

static void show(const struct new_key *key, const struct api_key *row, uint64_t revision, struct key_created_rep *rep)
{
    *rep = (struct key_created_rep){
        .id = row->id,
        .key = slice_of(key->secret),
        .name = row->name,
        .prefix = {key->secret, TOKENS_KEY_SHOWN},
        .rpm = row->rpm,
        .tpm = row->tpm,
        .concurrency = row->concurrency,
        .models = row->models,
        .expires_at = row->expires_at,
        .budget_nano = row->budget_nano,
        .budget_period = row->budget_period,
        .created = row->created,
        .revision = revision,
        .ip_allow = row->ip_allow,
        .previous_until = row->previous_until,
    };
}

static enum status made(struct svc_call *call, enum status st, const void *reply, void *ctx)
{
    const struct empty *stored = reply;
    struct new_key *key = ctx;

    if (st == ST_OK)
        show(key, &key->row, stored->revision, svc_out(call));
    else
        sodium_memzero(key->secret, sizeof(key->secret));
    return st;
}

enum status authsvc_key_create(struct svc_call *call, const void *in, void *out)
{
    const struct key_create_req *req = in;
    struct new_key *key = arena_alloc(call->arena, sizeof(*key));
    unsigned char digest[LIMIT_DIGEST];
    struct wire_strs ranges = {NULL, 0};
    struct key_put_req put = {.digest = {(const char *)digest, sizeof(digest)}};
    struct authsvc_ask ask = {&key_put_req_desc, &empty_desc, &put, made, key};
    enum status st = key ? check(call, req) : ST_NO_MEMORY;

    (void)out;
    if (st == ST_OK)
        st = read_ranges(&req->ip_allow, call->arena, &ranges, &call->err);
    if (st != ST_OK)
        return st;
    id_make(key->id, "key_", KEY_ID_BYTES);
    make_secret(key, digest);
    key->row = (struct api_key){
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
        .budget_period = req->budget_nano > 0 && req->budget_period.n == 0 ? slice_of("total") : req->budget_period,
        .status = slice_of("active"),
        .created = clock_wall_ms() / 1000,
        .ip_allow = ranges,
    };
    put.key.items = &key->row;
    put.key.n = 1;
    return authsvc_ask(call, &ask);
}

/* ---- another secret -----------------------------------------------------------------------------------------------
 */

static enum status rotated(struct svc_call *call, enum status st, const void *reply, void *ctx)
{
    const struct key_rep *stored = reply;
    struct new_key *key = ctx;

    if (st == ST_OK && stored->key.n == 0)
        st = err_set(&call->err, ST_INTERNAL, "the key was not changed");
    if (st != ST_OK) {
        sodium_memzero(key->secret, sizeof(key->secret));
        return st;
    }
    show(key, &stored->key.items[0], stored->revision, svc_out(call));
    log_event(svc_log(call->svc), LOG_INFO, LOG_NO_REQ, "key_rotated", LOG_S("key_id", stored->key.items[0].id),
              LOG_N("previous_until", stored->key.items[0].previous_until));
    return ST_OK;
}

enum status authsvc_key_rotate(struct svc_call *call, const void *in, void *out)
{
    const struct key_rotate_req *req = in;
    struct new_key *key = arena_alloc(call->arena, sizeof(*key));
    unsigned char digest[LIMIT_DIGEST];
    struct key_secret_req put = {.actor_id = req->actor_id,
                                 .id = req->id,
                                 .digest = {(const char *)digest, sizeof(digest)},
                                 .grace_s = WIRE_HAS(req, TAG_GRACE) || req->grace_s ? req->grace_s : KEYS_GRACE_S};
    struct authsvc_ask ask = {&key_secret_req_desc, &key_rep_desc, &put, rotated, key};

    (void)out;
    if (!key)
        return ST_NO_MEMORY;
    make_secret(key, digest);
    put.prefix = (struct slice){key->secret, TOKENS_KEY_SHOWN};
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
    struct key_update_req put = *req;
    struct authsvc_ask ask = {&key_update_req_desc, &key_rep_desc, &put, changed, NULL};
    enum status st = check_models(&req->models, &call->err);

    (void)out;
    if (st == ST_OK)
        st = check_expiry(req->expires_at, &call->err);
    if (st == ST_OK)
        st = read_ranges(&req->ip_allow, call->arena, &put.ip_allow, &call->err);
    if (st == ST_OK)
        st = admission_key_limits(&authsvc_of(call)->admission, req->actor_id, &limits, &call->err);
    return st == ST_OK ? authsvc_ask(call, &ask) : st;
}
