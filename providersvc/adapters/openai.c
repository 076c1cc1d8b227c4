/* OpenAI, and every host that speaks its API: the client's bytes go out as they came and upstream's come back as they
 * are. Only what such a host cannot say is translated. */
#include <stdio.h>
#include <string.h>

#include "providersvc/adapters/plans.h"
#include "providersvc/completion.h"
#include "providersvc/relay.h"

static const char bearer[] = "Authorization: Bearer %s";

/* Chat with function tools is refused for these unless they do not reason (contract, section 1.9): such a call is made
 * as a Response. */
static bool needs_responses(const struct completion *c)
{
    static const char *const families[] = {"gpt-5.6", "gpt-6"};
    struct slice model = c->route->upstream_model;

    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        size_t n = strlen(families[i]);

        if (model.n >= n && memcmp(model.p, families[i], n) == 0)
            return plan_has_tools(c->req->body) && !plan_effort_none(c->req->body);
    }
    return false;
}

static enum status openai_plan(const struct completion *c, struct call_plan *ret)
{
    const struct plan_row *row = plan_row_of(c->req->endpoint);

    if (slice_is(c->req->endpoint, ENDPOINT_COUNT_TOKENS))
        return plan_count_here(ret);
    *ret = (struct call_plan){.auth = bearer, .pass_headers = true};
    if (row == NULL || (c->upstream->chat_only && slice_is(c->req->endpoint, ENDPOINT_RESPONSES_COMPACT)))
        return plan_refuses(c);
    plan_take_row(row, ret);
    ret->old_limit = c->upstream->chat_only;
    if (slice_is(c->req->endpoint, ENDPOINT_MESSAGES))
        plan_step(ret, &messages_to_chat);
    if (slice_is(c->req->endpoint, ENDPOINT_RESPONSES) && c->upstream->chat_only)
        plan_step(ret, &responses_to_chat);
    if ((slice_is(c->req->endpoint, ENDPOINT_CHAT) || slice_is(c->req->endpoint, ENDPOINT_MESSAGES)) &&
        !c->upstream->chat_only && needs_responses(c)) {
        plan_step(ret, &chat_to_responses);
        return plan_path(ret, "/responses");
    }
    if (ret->n_steps > 0)
        return plan_path(ret, "/chat/completions");
    return plan_own_path(c, row, ret);
}

const struct adapter adapter_openai = {
    .kind = "openai", .base_url = "https://api.openai.com/v1", .network = true, RELAY, .plan = openai_plan};
