/* Azure OpenAI (contract, section 5.2): OpenAI's dialect under other paths and another header. With an api_version the
 * older paths by deployment, without one its v1 API, which is OpenAI's own below /openai/v1. */
#include <stdio.h>
#include <string.h>

#include "providersvc/adapters/plans.h"
#include "providersvc/completion.h"
#include "providersvc/relay.h"

static enum status deployment_path(const struct completion *c, const struct plan_row *row, struct call_plan *ret)
{
    char model[LIMIT_MODEL * 3 + 1], own[PLAN_PATH_MAX];
    const char *query;
    int n;

    if (plan_own_path(c, row, ret) != ST_OK)
        return plan_refuses(c);
    memcpy(own, ret->path, sizeof(own));
    query = strchr(own, '?');
    plan_encode(c->route->upstream_model, model, sizeof(model));
    n = snprintf(ret->path, sizeof(ret->path), "/openai/deployments/%s%s%capi-version=%s", model, own,
                 query != NULL ? '&' : '?', c->upstream->api_version);
    if (n < 0 || (size_t)n >= sizeof(ret->path) || !plan_path_safe(slice_of(ret->path))) /* a model named ".." */
        return plan_refuses(c);
    return ST_OK;
}

static enum status v1_path(const struct completion *c, const struct plan_row *row, struct call_plan *ret)
{
    char own[PLAN_PATH_MAX];
    int n;

    if (plan_own_path(c, row, ret) != ST_OK)
        return plan_refuses(c);
    memcpy(own, ret->path, sizeof(own));
    n = snprintf(ret->path, sizeof(ret->path), "/openai/v1%s", own);
    return n > 0 && (size_t)n < sizeof(ret->path) ? ST_OK : plan_refuses(c);
}

static enum status azure_plan(const struct completion *c, struct call_plan *ret)
{
    const struct plan_row *row = plan_row_of(c->req->endpoint);

    if (slice_is(c->req->endpoint, ENDPOINT_COUNT_TOKENS))
        return plan_count_here(ret);
    *ret = (struct call_plan){.auth = "api-key: %s", .pass_headers = true};
    if (row == NULL)
        return plan_refuses(c);
    plan_take_row(row, ret);
    if (slice_is(c->req->endpoint, ENDPOINT_MESSAGES)) {
        plan_step(ret, &messages_to_chat);
        row = plan_row_of(slice_of(ENDPOINT_CHAT));
    }
    return c->upstream->api_version != NULL ? deployment_path(c, row, ret) : v1_path(c, row, ret);
}

const struct adapter adapter_azure = {
    .kind = "azure", .own_paths = {"/openai/v1", "/openai"}, .network = true, RELAY, .plan = azure_plan};
