/*
 * An adapter speaks one kind of provider. A provider of another kind is one file in adapters/ and one row in adapter.c.
 * They share their driving functions, RELAY (relay.h), and say only what is particular to
 * them: which dialect they speak for an endpoint, below which path, and how they are shown a key.
 *
 * All driving functions run on the thread of the completion's loop and never block. An attempt begins with start and is
 * over when the adapter calls completion_end, completion_fail or a completion_elsewhere that says true, or when stop is
 * called; afterwards it does nothing more to the completion.
 */
#ifndef PROVIDERSVC_ADAPTER_H
#define PROVIDERSVC_ADAPTER_H

#include "providersvc/dialects/translate.h"

struct completion;
struct local_source;
struct upstream;

#define PLAN_STEPS_MAX 2
#define ADAPTER_OWN_PATHS 2
#define PLAN_PATH_MAX (LIMIT_URL + LIMIT_MODEL * 3 + 64)

/* How a provider serves one call. */
struct call_plan {
    const struct dialect *client, *upstream; /* whose errors, events and usage */
    const struct translator *steps[PLAN_STEPS_MAX]; /* from the client's to upstream's; none = bytes pass as they are */
    size_t n_steps;
    const struct local_source *local; /* who answers in upstream's place (relay.h); NULL = nobody: path, auth … */
    const char *auth; /* header line with one %s for the key */
    const char *limit_member; /* of a body that passes: where an output limit goes; NULL = chat's two names */
    const char *extra_line; /* a header line that upstream demands unless the client said it; NULL = none */
    bool old_limit; /* chat's limit, where we name it, is max_tokens: upstream is not OpenAI, and may know no other */
    bool json; /* the body is an object in which the model's name may be replaced */
    bool usage_option; /* upstream gives usage in streams only when stream_options asks for it */
    bool pass_headers; /* the client's headers mean something to this upstream */
    char path[PLAN_PATH_MAX]; /* below the base URL */
};

struct adapter {
    const char *kind;
    const char *base_url; /* its own; NULL = must be given */
    /* What a given one may end with, longest first: people copy it, the plan's paths begin with it. */
    const char *own_paths[ADAPTER_OWN_PATHS];
    bool network; /* needs a URL */
    size_t state_size; /* bytes of c->state, zeroed before the first attempt with this adapter */
    /* Begins an attempt. ST_NOT_FOUND: this provider does not serve the endpoint; another failure ends the call. Both
     * with c->call->err set. */
    enum status (*start)(struct completion *c);
    void (*stop)(struct completion *c); /* the attempt is of no use any more; harmless when there is none */
    void (*resume)(struct completion *c); /* the client has taken enough: go on */
    void (*wake)(struct completion *c); /* the time of completion_wake_at has come; optional */
    void (*pushed)(struct completion *c); /* c->pushed has bytes of an upload; optional */
    void (*fini)(struct completion *c); /* no more attempts with it: free what state holds */
    /* Of those driven by RELAY. ST_NOT_FOUND: it does not serve this endpoint. */
    enum status (*plan)(const struct completion *c, struct call_plan *ret);
};

extern const struct adapter adapter_openai, adapter_azure, adapter_anthropic, adapter_gemini, adapter_echo;
const struct adapter *adapter_find(const char *kind); /* NULL = none */

#endif
