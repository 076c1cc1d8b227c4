#include "gateway/routes.h"

#include <stdio.h>
#include <string.h>

/* clang-format off */
#define PLAIN(method, path, who, handler) {method, path, who, handler, 200, SVC_PEERS, NULL, NULL, 0}
#define CALL(method, path, who, success, peer, req, rep, flags)                                                        \
    {method, path, who, account_handle, success, peer, &req##_desc, &rep##_desc, flags}

const struct route routes[] = {
    PLAIN("POST", "/v1/chat/completions", ROUTE_KEY,      chat_handle),
    PLAIN("GET",  "/v1/models",           ROUTE_KEY,      models_handle),
    PLAIN("GET",  "/v1/models/{model*}",  ROUTE_KEY,      models_handle),
    PLAIN("GET",  "/",                    ROUTE_ANYBODY,  page_root),
    PLAIN("GET",  "/health",              ROUTE_ANYBODY,  page_health),
    PLAIN("GET",  "/health/live",         ROUTE_ANYBODY,  page_live),
    PLAIN("GET",  "/health/ready",        ROUTE_ANYBODY,  page_ready),
    PLAIN("GET",  "/health/detailed",     ROUTE_OPERATOR, page_detailed),
    PLAIN("GET",  "/metrics",             ROUTE_OPERATOR, page_metrics),

    CALL("POST",   "/auth/register", ROUTE_ANYBODY, 201, SVC_AUTHSVC, register_req, session_rep, 0),
    CALL("POST",   "/auth/login",    ROUTE_ANYBODY, 200, SVC_AUTHSVC, login_req,    session_rep, 0),
    CALL("POST",   "/auth/refresh",  ROUTE_ANYBODY, 200, SVC_AUTHSVC, refresh_req,  session_rep, 0),
    CALL("POST",   "/auth/logout",   ROUTE_USER,    204, SVC_AUTHSVC, logout_req,   empty,       ROUTE_NO_BODY),
    CALL("GET",    "/auth/me",       ROUTE_USER,    200, SVC_METERD,  user_get_req, user_rep,    ROUTE_SELF | ROUTE_UNWRAP),

    CALL("POST",   "/api/keys",           ROUTE_USER, 201, SVC_AUTHSVC, key_create_req, key_created_rep, 0),
    CALL("GET",    "/api/keys",           ROUTE_USER, 200, SVC_METERD,  key_list_req,   key_list_rep,    0),
    CALL("GET",    "/api/keys/{id}",      ROUTE_USER, 200, SVC_METERD,  key_list_req,   key_list_rep,    ROUTE_FIRST),
    CALL("PATCH",  "/api/keys/{id}",      ROUTE_USER, 200, SVC_AUTHSVC, key_update_req, key_rep,         ROUTE_UNWRAP),
    CALL("DELETE", "/api/keys/{id}",      ROUTE_USER, 204, SVC_METERD,  key_revoke_req, empty,           ROUTE_NO_BODY),
    CALL("GET",    "/api/usage",          ROUTE_USER, 200, SVC_METERD,  usage_summary_req, usage_summary_rep, 0),
    CALL("GET",    "/api/usage/requests", ROUTE_USER, 200, SVC_METERD,  usage_list_req, usage_list_rep,  0),
    CALL("GET",    "/api/usage/requests/{request_id}", ROUTE_USER, 200, SVC_METERD, usage_list_req, usage_list_rep, ROUTE_FIRST),
    CALL("GET",    "/api/credits",        ROUTE_USER, 200, SVC_AUTHSVC, credits_req,    credits_rep,     0),
    CALL("GET",    "/api/credits/ledger", ROUTE_USER, 200, SVC_METERD,  ledger_list_req, ledger_list_rep, 0),
    CALL("POST",   "/api/credits/redeem", ROUTE_USER, 201, SVC_METERD,  code_redeem_req, credit_grant_rep, 0),

    CALL("GET",    "/api/admin/users",              ROUTE_ADMIN, 200, SVC_METERD,  user_list_req,         user_list_rep, 0),
    CALL("POST",   "/api/admin/users",              ROUTE_ADMIN, 201, SVC_AUTHSVC, admin_user_create_req, user_rep, ROUTE_UNWRAP),
    CALL("GET",    "/api/admin/users/{id}",         ROUTE_ADMIN, 200, SVC_METERD,  user_get_req,          user_rep, ROUTE_UNWRAP),
    CALL("PATCH",  "/api/admin/users/{id}",         ROUTE_ADMIN, 200, SVC_METERD,  user_update_req,       user_rep, ROUTE_UNWRAP),
    CALL("POST",   "/api/admin/users/{id}/credits", ROUTE_ADMIN, 201, SVC_METERD,  credit_grant_req, credit_grant_rep, ROUTE_IDEMPOTENT),
    CALL("GET",    "/api/admin/ledger",             ROUTE_ADMIN, 200, SVC_METERD,  ledger_list_req,       ledger_list_rep, ROUTE_EVERYBODY),
    CALL("GET",    "/api/admin/codes",              ROUTE_ADMIN, 200, SVC_METERD,  code_list_req,         code_list_rep, 0),
    CALL("POST",   "/api/admin/codes",              ROUTE_ADMIN, 201, SVC_METERD,  code_create_req,       code_list_rep, 0),
    CALL("DELETE", "/api/admin/codes/{id}",         ROUTE_ADMIN, 204, SVC_METERD,  code_revoke_req,       empty, ROUTE_NO_BODY),
    CALL("GET",    "/api/admin/plans",              ROUTE_ADMIN, 200, SVC_METERD,  plan_list_req,         plan_list_rep, 0),
    CALL("PATCH",  "/api/admin/plans",              ROUTE_ADMIN, 200, SVC_METERD,  plan_update_req,       plan_rep, ROUTE_UNWRAP),
    CALL("GET",    "/api/admin/prices",             ROUTE_ADMIN, 200, SVC_METERD,  price_list_req,        price_list_rep, 0),
    CALL("POST",   "/api/admin/prices",             ROUTE_ADMIN, 201, SVC_METERD,  price_put_req,         price_rep, ROUTE_UNWRAP),
    CALL("GET",    "/api/admin/providers",          ROUTE_ADMIN, 200, SVC_METERD,  provider_list_req,     provider_list_rep, 0),
    CALL("POST",   "/api/admin/providers",          ROUTE_ADMIN, 201, SVC_METERD,  provider_put_req,      provider_rep, ROUTE_UNWRAP | ROUTE_NEW),
    CALL("GET",    "/api/admin/providers/{name}",   ROUTE_ADMIN, 200, SVC_METERD,  provider_list_req,     provider_list_rep, ROUTE_FIRST),
    CALL("PATCH",  "/api/admin/providers/{name}",   ROUTE_ADMIN, 200, SVC_METERD,  provider_put_req,      provider_rep, ROUTE_UNWRAP),
    CALL("DELETE", "/api/admin/providers/{name}",   ROUTE_ADMIN, 204, SVC_METERD,  provider_drop_req,     empty, ROUTE_NO_BODY),
    CALL("POST",   "/api/admin/providers/{name}/test", ROUTE_ADMIN, 200, SVC_PROVIDERSVC, provider_test_req, provider_test_rep, ROUTE_SLOW),
    CALL("GET",    "/api/admin/models",             ROUTE_ADMIN, 200, SVC_METERD,  model_list_req,        model_list_rep, 0),
    CALL("POST",   "/api/admin/models",             ROUTE_ADMIN, 201, SVC_METERD,  model_put_req,         model_rep, ROUTE_UNWRAP | ROUTE_NEW),
    CALL("GET",    "/api/admin/models/{name}",      ROUTE_ADMIN, 200, SVC_METERD,  model_list_req,        model_list_rep, ROUTE_FIRST),
    CALL("PATCH",  "/api/admin/models/{name}",      ROUTE_ADMIN, 200, SVC_METERD,  model_put_req,         model_rep, ROUTE_UNWRAP),
    CALL("DELETE", "/api/admin/models/{name}",      ROUTE_ADMIN, 204, SVC_METERD,  model_drop_req,        empty, ROUTE_NO_BODY),
    CALL("GET",    "/api/admin/config",             ROUTE_ADMIN, 200, SVC_METERD,  config_export_req,     config_export_rep, 0),
    CALL("POST",   "/api/admin/config",             ROUTE_ADMIN, 200, SVC_METERD,  config_apply_req,      config_apply_rep, ROUTE_LARGE),
    CALL("GET",    "/api/admin/audit",              ROUTE_ADMIN, 200, SVC_METERD,  audit_list_req,        audit_list_rep, 0),
    CALL("GET",    "/api/admin/usage",              ROUTE_ADMIN, 200, SVC_METERD,  usage_summary_req,     usage_summary_rep, ROUTE_EVERYBODY),
    CALL("GET",    "/api/admin/requests",           ROUTE_ADMIN, 200, SVC_METERD,  usage_list_req,        usage_list_rep, ROUTE_EVERYBODY),
    CALL("GET",    "/api/admin/requests/{request_id}", ROUTE_ADMIN, 200, SVC_METERD, usage_list_req,      usage_list_rep, ROUTE_EVERYBODY | ROUTE_FIRST),
    CALL("GET",    "/api/admin/system/ledger",      ROUTE_ADMIN, 200, SVC_METERD,  ledger_verify_req,     ledger_verify_rep, 0),
    CALL("POST",   "/api/admin/system/backup",      ROUTE_ADMIN, 201, SVC_METERD,  backup_req,            backup_rep, ROUTE_SLOW),
    CALL("GET",    "/api/admin/system/holds",       ROUTE_ADMIN, 200, SVC_AUTHSVC, holds_list_req,        holds_list_rep, ROUTE_EVERYBODY),
    PLAIN("GET",   "/api/admin/system",             ROUTE_ADMIN, page_system),
};
/* clang-format on */

const size_t n_routes = sizeof(routes) / sizeof(routes[0]);

_Static_assert(sizeof(routes) / sizeof(routes[0]) < GATEWAY_ROUTES_MAX, "one metric slot per route and one for none");

bool route_match(const char *pattern, struct slice path, struct slice *ret_param)
{
    size_t i = 0;

    while (*pattern) {
        if (*pattern == '{') {
            const char *close = strchr(pattern, '}');
            bool rest = close[-1] == '*';
            size_t from = i;

            while (i < path.n && (rest || path.p[i] != '/'))
                i++;
            if (i == from)
                return false;
            *ret_param = (struct slice){path.p + from, i - from};
            pattern = close + 1;
        } else if (i < path.n && path.p[i] == *pattern) {
            i++;
            pattern++;
        } else {
            return false;
        }
    }
    return i == path.n;
}

static bool read_param(struct request *r, struct slice raw)
{
    char *to;

    if (!raw.n)
        return true;
    if (raw.n > REQUEST_PARAM_MAX)
        return false;
    to = arena_alloc(r->arena, raw.n);
    return to && request_decode(raw, false, to, raw.n, &r->param);
}

const struct route *route_find(struct request *r, bool *ret_path_known, char *allow, size_t allow_size)
{
    struct slice method = r->head ? slice_of("GET") : r->method;
    size_t i, used = 0;

    *ret_path_known = false;
    allow[0] = '\0';
    for (i = 0; i < n_routes; i++) {
        struct slice raw = {NULL, 0};
        int n;

        if (!route_match(routes[i].path, r->path, &raw))
            continue;
        if (slice_is(method, routes[i].method))
            return read_param(r, raw) ? &routes[i] : NULL;
        *ret_path_known = true;
        n = snprintf(allow + used, allow_size - used, "%s%s", used ? ", " : "", routes[i].method);
        if (n > 0 && (size_t)n < allow_size - used)
            used += (size_t)n;
    }
    return NULL;
}
