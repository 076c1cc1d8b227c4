#include "gateway/chat.h"

/* Only a whole answer is kept: what broke off is never shown again as if it were the answer. */
static bool whole(const struct chat *c)
{
    return c->st == ST_OK && c->has_head && c->head.http_status < 400 && c->has_result &&
           slice_is(c->result.outcome, "ok") && !(c->streaming && c->keep.incomplete);
}

/* It cannot have been billed: nobody began it, or nothing of an answer came. Of what else failed the bill will tell. */
static bool for_nothing(const struct chat *c)
{
    if (c->attempt == 0 || c->voided)
        return true;
    if (c->st == ST_OK)
        return c->head.http_status >= 400;
    return !c->has_head && (c->st == ST_UPSTREAM || c->st == ST_UPSTREAM_CONNECT);
}

bool chat_keeps_back(const struct chat *c)
{
    return c->keep.key.n && c->st == ST_OK && !c->streaming && c->head.http_status >= 400;
}

void chat_keep(struct chat *c)
{
    const struct buf *bytes = c->streaming ? &c->keep.record : &c->answer;

    if (whole(c))
        idempotency_store(&c->keep, (unsigned)c->head.http_status, c->head.content_type,
                          (struct slice){bytes->p, bytes->n});
    else if (for_nothing(c))
        idempotency_forget(&c->keep);
}
