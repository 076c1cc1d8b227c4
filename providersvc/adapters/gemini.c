/* Google's Gemini API (contract, section 5.1). Embeddings go to its OpenAI-like side, for it has the same words. */
#include <stdio.h>
#include <string.h>

#include "providersvc/adapters/plans.h"
#include "providersvc/completion.h"
#include "providersvc/relay.h"

static enum status generate_path(const struct completion *c, struct call_plan *ret)
{
    char model[LIMIT_MODEL * 3 + 1];
    int n;

    plan_encode(c->route->upstream_model, model, sizeof(model));
    n = snprintf(ret->path, sizeof(ret->path), "/v1beta/models/%s:%s", model,
                 c->req->stream ? "streamGenerateContent?alt=sse" : "generateContent");
    return n > 0 && (size_t)n < sizeof(ret->path) ? ST_OK : plan_refuses(c);
}

static enum status gemini_plan(const struct completion *c, struct call_plan *ret)
{
    struct slice endpoint = c->req->endpoint;

    if (slice_is(endpoint, ENDPOINT_COUNT_TOKENS))
        return plan_count_here(ret);
    *ret = (struct call_plan){
        .auth = "x-goog-api-key: %s", .client = &dialect_gemini, .upstream = &dialect_gemini, .json = true};
    if (slice_is(endpoint, ENDPOINT_EMBEDDINGS)) {
        ret->auth = "Authorization: Bearer %s";
        ret->client = ret->upstream = &dialect_chat;
        return plan_path(ret, "/v1beta/openai/embeddings");
    }
    if (slice_is(endpoint, ENDPOINT_RESPONSES))
        plan_step(ret, &responses_to_chat);
    else if (slice_is(endpoint, ENDPOINT_MESSAGES))
        plan_step(ret, &messages_to_chat);
    else if (!slice_is(endpoint, ENDPOINT_CHAT))
        return plan_refuses(c);
    plan_step(ret, &chat_to_gemini);
    return generate_path(c, ret);
}

const struct adapter adapter_gemini = {.kind = "gemini",
                                       .base_url = "https://generativelanguage.googleapis.com",
                                       .own_paths = {"/v1beta/openai", "/v1beta"},
                                       .network = true,
                                       RELAY,
                                       .plan = gemini_plan};
