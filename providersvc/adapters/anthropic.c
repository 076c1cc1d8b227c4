/* Anthropic's Messages API: its own clients' bytes pass as they are; chats and Responses are translated. */
#include "providersvc/adapters/plans.h"
#include "providersvc/completion.h"
#include "providersvc/relay.h"

static enum status anthropic_plan(const struct completion *c, struct call_plan *ret)
{
    struct slice endpoint = c->req->endpoint;

    *ret = (struct call_plan){.auth = "x-api-key: %s",
                              .extra_line = "anthropic-version: 2023-06-01",
                              .limit_member = endpoint_limit_member(slice_of(ENDPOINT_MESSAGES)),
                              .client = &dialect_messages,
                              .upstream = &dialect_messages,
                              .json = true};
    if (slice_is(endpoint, ENDPOINT_MESSAGES) || slice_is(endpoint, ENDPOINT_COUNT_TOKENS)) {
        ret->pass_headers = true;
        return plan_path(ret, slice_is(endpoint, ENDPOINT_MESSAGES) ? "/v1/messages" : "/v1/messages/count_tokens");
    }
    if (slice_is(endpoint, ENDPOINT_RESPONSES))
        plan_step(ret, &responses_to_chat);
    else if (!slice_is(endpoint, ENDPOINT_CHAT))
        return plan_refuses(c);
    plan_step(ret, &chat_to_messages);
    return plan_path(ret, "/v1/messages");
}

const struct adapter adapter_anthropic = {.kind = "anthropic",
                                          .base_url = "https://api.anthropic.com",
                                          .own_paths = {"/v1"},
                                          .network = true,
                                          RELAY,
                                          .plan = anthropic_plan};
