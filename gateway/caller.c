#include "gateway/caller.h"

#include <sodium.h>
#include <string.h>

#include "services/sightings.h"

enum status caller_check_session(struct request *r, bool admin, struct err *err)
{
    struct session_check_req req = {.access_token = request_bearer(r)};
    struct session_check_rep rep;
    enum status st;

    if (!req.access_token.n || req.access_token.n > LIMIT_TOKEN)
        return err_set_field(err, ST_UNAUTHENTICATED, "invalid_token", NULL,
                             "Send the access token of a session: Authorization: Bearer …");
    st = call_wait(svc_peer(r->gw->svc, SVC_AUTHSVC), &session_check_req_desc, &req, &session_check_rep_desc, &rep,
                   r->arena, CALLER_CHECK_MS, err);
    if (st != ST_OK)
        return st;
    r->user_id = rep.user_id;
    r->role = rep.role;
    r->session_id = rep.session_id;
    if (!admin || slice_is(rep.role, "admin"))
        return ST_OK;
    sightings_note(r->gw->sightings, &(struct sighting){SECURITY_ADMIN_DENIED, rep.user_id, r->client_ip, 0});
    return err_set(err, ST_FORBIDDEN, "This is for administrators.");
}

enum status caller_check_key(struct request *r, struct err *err)
{
    unsigned char digest[crypto_hash_sha256_BYTES];
    struct models_req req = {
        .key_digest = {(const char *)digest, sizeof(digest)}, .key_only = true, .client_ip = r->client_ip};
    struct slice key = request_key(r);
    struct err local = {.status = ST_OK};
    struct models_rep rep;
    enum status st;

    crypto_hash_sha256(digest, (const unsigned char *)key.p, key.n);
    st = call_wait(svc_peer(r->gw->svc, SVC_AUTHSVC), &models_req_desc, &req, &models_rep_desc, &rep, r->arena,
                   CALLER_CHECK_MS, &local);
    if (st != ST_UNAUTHENTICATED && st != ST_FORBIDDEN)
        return ST_OK;
    *err = local;
    return err->status = st;
}

static bool on_loopback(struct slice ip)
{
    return (ip.n >= 4 && !memcmp(ip.p, "127.", 4)) || slice_is(ip, "::1") ||
           (ip.n >= 11 && !memcmp(ip.p, "::ffff:127.", 11));
}

bool caller_is_operator(const struct request *r)
{
    const char *token = r->gw->settings->metrics_token;
    struct slice given = request_bearer(r);

    if (!token)
        return on_loopback(r->client_ip) && !r->forwarded.p && !r->forwarded_for.p;
    return given.n == strlen(token) && sodium_memcmp(given.p, token, given.n) == 0;
}
