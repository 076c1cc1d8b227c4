/* POST /v1/messages/count_tokens where upstream has nothing like it: an estimate, free of charge. */
#include "providersvc/adapters/plans.h"
#include "providersvc/dialects/messages_count.h"
#include "providersvc/dialects/put.h"
#include "providersvc/relay.h"

struct counted {
    uint64_t tokens;
};

static enum status count_begin(const struct completion *c, void *state, struct slice body, struct err *err)
{
    struct counted *counted = state;

    (void)c;
    return messages_count_tokens(body, &counted->tokens, err);
}

static enum status count_next(void *state, struct buf *out, struct local_piece *ret)
{
    const struct counted *counted = state;
    struct put p = {out, ST_OK};

    put_raw(&p, "{\"input_tokens\":");
    put_count(&p, counted->tokens);
    put_raw(&p, "}");
    ret->last = true;
    return p.st;
}

static void count_fini(void *state)
{
    (void)state; /* holds no memory */
}

static const struct local_source count_source = {
    .state_size = sizeof(struct counted), .begin = count_begin, .next = count_next, .fini = count_fini};

enum status plan_count_here(struct call_plan *ret)
{
    *ret = (struct call_plan){.local = &count_source,
                              .client = &dialect_messages,
                              .upstream = &dialect_messages,
                              .limit_member = "",
                              .json = true};
    return ST_OK;
}
