#include "gateway/call.h"

/* A stream that says of itself that it is through. */
static bool ends_well(const struct call *c)
{
    return c->mode != CALL_EVENTS || closing_whole(c->surface, (struct slice){c->keep.record.p, c->keep.record.n});
}

/* Only a whole answer is kept: what broke off is never shown again as if it were the answer, nor is what became an
 * event of a stream. */
static bool whole(const struct call *c)
{
    return c->st == ST_OK && c->has_head && c->head.http_status < 400 && c->has_result && !c->folded &&
           slice_is(c->result.outcome, "ok") && !(c->mode != CALL_WHOLE && c->keep.incomplete) && ends_well(c);
}

/* It cannot have been billed: nobody began it, or nothing of an answer came. Of what else failed the bill will tell. */
static bool for_nothing(const struct call *c)
{
    if (c->attempt == 0 || c->voided)
        return true;
    if (c->st == ST_OK)
        return c->head.http_status >= 400;
    return !c->has_head && (c->st == ST_UPSTREAM || c->st == ST_UPSTREAM_CONNECT);
}

bool call_keeps_back(const struct call *c)
{
    return c->keep.key.n && c->st == ST_OK && c->mode == CALL_WHOLE && c->head.http_status >= 400;
}

void call_keep(struct call *c)
{
    const struct buf *bytes = c->mode != CALL_WHOLE ? &c->keep.record : &c->answer;

    if (whole(c))
        idempotency_store(&c->keep, (unsigned)c->head.http_status, c->head.content_type,
                          (struct slice){bytes->p, bytes->n});
    else if (for_nothing(c))
        idempotency_forget(&c->keep);
}
