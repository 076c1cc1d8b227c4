#include "gateway/routes.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "gateway/surfaces.h"

#define REST "/v1/{rest*}" /* what no other route under /v1 matches */

/* clang-format off */
#define PLAIN(method, path, who, handler) {method, path, who, handler, 200, SVC_PEERS, NULL, NULL, 0, NULL}
#define CALL(method, path, who, success, peer, req, rep, flags)                                                        \
    {method, path, who, account_handle, success, peer, &req##_desc, &rep##_desc, flags, NULL}
#define SERVE(method, path, kind)                                                                                      \
    {method, path, ROUTE_KEY, call_handle, 200, SVC_PEERS, NULL, NULL, 0, &surfaces[kind]}

const struct route routes[] = {
    SERVE("POST",   "/v1/chat/completions",       SURFACE_CHAT),
    SERVE("GET",    "/v1/chat/completions",       SURFACE_UNKNOWN),
    SERVE("POST",   "/v1/messages",               SURFACE_MESSAGES),
    SERVE("POST",   "/v1/messages/count_tokens",  SURFACE_COUNT_TOKENS),
    SERVE("POST",   "/v1/responses",              SURFACE_RESPONSES),
    SERVE("POST",   "/v1/responses/input_tokens", SURFACE_RESPONSES_TOKENS),
    SERVE("POST",   "/v1/responses/compact",      SURFACE_RESPONSES_COMPACT),
    SERVE("GET",    "/v1/responses/{id}",         SURFACE_RESPONSES_OBJECT),
    SERVE("DELETE", "/v1/responses/{id}",         SURFACE_RESPONSES_OBJECT),
    SERVE("POST",   "/v1/responses/{id}/cancel",  SURFACE_RESPONSES_OBJECT),
    SERVE("GET",    "/v1/responses/{id}/input_items", SURFACE_RESPONSES_OBJECT),
    SERVE("POST",   "/v1/completions",            SURFACE_COMPLETIONS),
    SERVE("POST",   "/v1/embeddings",             SURFACE_EMBEDDINGS),
    SERVE("POST",   "/v1/moderations",            SURFACE_MODERATIONS),
    SERVE("POST",   "/v1/images/generations",     SURFACE_IMAGES),
    SERVE("POST",   "/v1/images/edits",           SURFACE_IMAGE_EDITS),
    SERVE("POST",   "/v1/images/variations",      SURFACE_IMAGE_VARIATIONS),
    SERVE("POST",   "/v1/audio/speech",           SURFACE_SPEECH),
    SERVE("POST",   "/v1/audio/transcriptions",   SURFACE_TRANSCRIPTIONS),
    SERVE("POST",   "/v1/audio/translations",     SURFACE_TRANSCRIPTIONS),
    SERVE("POST",   "/v1/files",                  SURFACE_FILES),
    SERVE("GET",    "/v1/files",                  SURFACE_FILES_LIST),
    SERVE("GET",    "/v1/files/{id}",             SURFACE_FILES_OBJECT),
    SERVE("DELETE", "/v1/files/{id}",             SURFACE_FILES_OBJECT),
    SERVE("GET",    "/v1/files/{id}/content",     SURFACE_FILES_OBJECT),
    SERVE("POST",   "/v1/batches",                SURFACE_BATCHES),
    SERVE("GET",    "/v1/batches",                SURFACE_BATCHES_LIST),
    SERVE("GET",    "/v1/batches/{id}",           SURFACE_BATCHES_OBJECT),
    SERVE("POST",   "/v1/batches/{id}/cancel",    SURFACE_BATCHES_OBJECT),
    PLAIN("GET",  "/v1/models",           ROUTE_KEY,      models_handle),
    PLAIN("GET",  "/v1/models/{model*}",  ROUTE_KEY,      models_handle),
    SERVE("DELETE", "/v1/models/{model*}",        SURFACE_UNKNOWN),
    SERVE("*",      REST,                         SURFACE_UNKNOWN), /* after all others under /v1 */
    PLAIN("GET",  "/api/hello",           ROUTE_ANYBODY,  page_live),
    PLAIN("GET",  "/",                    ROUTE_ANYBODY,  page_root),
    PLAIN("GET",  "/console",             ROUTE_ANYBODY,  page_to_console),
    PLAIN("GET",  "/console/",            ROUTE_ANYBODY,  page_console),
    PLAIN("GET",  "/console/{file*}",     ROUTE_ANYBODY,  page_console),
    PLAIN("GET",  "/docs",                ROUTE_ANYBODY,  page_docs),
    PLAIN("GET",  "/docs/openapi.yaml",   ROUTE_ANYBODY,  page_openapi),
    PLAIN("GET",  "/health",              ROUTE_ANYBODY,  page_health),
    PLAIN("GET",  "/health/live",         ROUTE_ANYBODY,  page_live),
    PLAIN("GET",  "/health/ready",        ROUTE_ANYBODY,  page_ready),
    PLAIN("GET",  "/health/detailed",     ROUTE_OPERATOR, page_detailed),
    PLAIN("GET",  "/metrics",             ROUTE_OPERATOR, page_metrics),

    CALL("POST",   "/auth/register", ROUTE_ANYBODY, 201, SVC_AUTHSVC, register_req, session_rep, 0),
    CALL("POST",   "/auth/login",    ROUTE_ANYBODY, 200, SVC_AUTHSVC, login_req,    session_rep, 0),
    CALL("POST",   "/auth/refresh",  ROUTE_ANYBODY, 200, SVC_AUTHSVC, refresh_req,  session_rep, 0),
    CALL("POST",   "/auth/logout",   ROUTE_USER,    204, SVC_AUTHSVC, logout_req,   empty,       ROUTE_NO_BODY),
    CALL("POST",   "/auth/password", ROUTE_USER,    204, SVC_AUTHSVC, password_change_req, empty,  0),
    CALL("GET",    "/auth/me",       ROUTE_USER,    200, SVC_METERD,  user_get_req, user_rep,    ROUTE_SELF | ROUTE_UNWRAP),

    CALL("POST",   "/api/keys",           ROUTE_USER, 201, SVC_AUTHSVC, key_create_req, key_created_rep, 0),
    CALL("GET",    "/api/keys",           ROUTE_USER, 200, SVC_METERD,  key_list_req,   key_list_rep,    0),
    CALL("GET",    "/api/keys/{id}",      ROUTE_USER, 200, SVC_METERD,  key_list_req,   key_list_rep,    ROUTE_FIRST),
    CALL("PATCH",  "/api/keys/{id}",      ROUTE_USER, 200, SVC_AUTHSVC, key_update_req, key_rep,         ROUTE_UNWRAP),
    CALL("POST",   "/api/keys/{id}/rotate", ROUTE_USER, 200, SVC_AUTHSVC, key_rotate_req, key_created_rep, 0),
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
    CALL("POST",   "/api/admin/users/{id}/password", ROUTE_ADMIN, 204, SVC_AUTHSVC, admin_password_req,   empty, 0),
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

/* Escaped, a character that needs no escape, or one that ends a segment or the path for whoever decodes once more. */
static bool hides(char c)
{
    return isalnum((unsigned char)c) || (c && strchr("-._~/\\%?#;", c));
}

static bool known_in_small_letters(struct slice path)
{
    char small[sizeof("/v1/") + REQUEST_PARAM_MAX];
    struct slice param;
    size_t i;

    if (path.n > sizeof(small))
        return true; /* nobody has such a path: route_find() refuses its rest */
    for (i = 0; i < path.n; i++)
        small[i] = (char)tolower((unsigned char)path.p[i]);
    for (i = 0; i < n_routes; i++)
        if (strcmp(routes[i].path, REST) != 0 && route_match(routes[i].path, (struct slice){small, path.n}, &param))
            return true;
    return false;
}

bool route_plain(const struct request *r)
{
    struct slice path = r->api_path, one;
    size_t i;

    if (strcmp(r->route->path, REST) != 0)
        return true;
    for (i = 0; i < path.n; i++) {
        char c = path.p[i];

        if (c == ';' || c == '\\' || (c == '/' && (i + 1 == path.n || path.p[i + 1] == '/')))
            return false;
        if (c == '%' && path.n - i > 2 && request_decode((struct slice){path.p + i, 3}, false, &c, 1, &one) && hides(c))
            return false;
    }
    return !known_in_small_letters(path);
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

static bool begins(struct slice s, const char *with)
{
    size_t n = strlen(with);

    return s.n >= n && !memcmp(s.p, with, n);
}

/* false: no such path. */
static bool read_azure(struct request *r)
{
    static const char root[] = "/openai", deployments[] = "/openai/deployments/";
    struct slice rest = {r->path.p + sizeof(root) - 1, r->path.n - (sizeof(root) - 1)}, model;
    const char *slash;
    char *to;

    if (begins(rest, "/v1/")) {
        r->api_path = rest;
        return true;
    }
    if (begins(r->path, deployments)) {
        rest = (struct slice){r->path.p + sizeof(deployments) - 1, r->path.n - (sizeof(deployments) - 1)};
        slash = rest.n ? memchr(rest.p, '/', rest.n) : NULL;
        if (!slash || slash == rest.p)
            return false;
        model = (struct slice){rest.p, (size_t)(slash - rest.p)};
        rest = (struct slice){slash, rest.n - model.n};
        to = arena_alloc(r->arena, model.n);
        if (!to || !request_decode(model, false, to, model.n, &r->deployment))
            return false;
    } else {
        r->deployment = slice_of("");
    }
    to = arena_alloc(r->arena, rest.n + 3);
    if (!to)
        return false;
    memcpy(to, "/v1", 3);
    memcpy(to + 3, rest.p, rest.n);
    r->api_path = (struct slice){to, rest.n + 3};
    return true;
}

const struct route *route_find(struct request *r, bool *ret_path_known, char *allow, size_t allow_size)
{
    struct slice method = r->head ? slice_of("GET") : r->method;
    size_t i, used = 0;

    *ret_path_known = false;
    allow[0] = '\0';
    r->api_path = r->path;
    if (begins(r->path, "/openai/") && !read_azure(r))
        return NULL;
    for (i = 0; i < n_routes; i++) {
        bool any = routes[i].method[0] == '*';
        struct slice raw = {NULL, 0};
        int n;

        if ((any && *ret_path_known) || !route_match(routes[i].path, r->api_path, &raw))
            continue;
        if ((any || slice_is(method, routes[i].method)) && !(r->head && routes[i].surface))
            return read_param(r, raw) ? &routes[i] : NULL;
        if (any)
            continue;
        *ret_path_known = true;
        n = snprintf(allow + used, allow_size - used, "%s%s", used ? ", " : "", routes[i].method);
        if (n > 0 && (size_t)n < allow_size - used)
            used += (size_t)n;
    }
    return NULL;
}
