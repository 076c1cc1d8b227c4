#include "meterd/receipt.h"

#include "meterd/entries.h"

static enum status no_memory(struct work *w)
{
    return err_set(w->err, ST_NO_MEMORY, "no memory for a receipt");
}

static enum status add_price(struct work *w, struct usage_row *row)
{
    struct price *price = arena_alloc(w->a, sizeof(*price));
    enum status st;

    if (!price)
        return no_memory(w);
    if (row->price_id == 0)
        return ST_OK; /* free of charge */
    st = record_get(w, SQL_PRICE_BY_ID, BINDS(B_I(row->price_id)), record_price, price);
    if (st == ST_OK) {
        row->price.items = price;
        row->price.n = 1;
    }
    return st == ST_NOT_FOUND ? ST_OK : st;
}

/* An attempt ends in other words than a call. */
static struct slice outcome_of(const struct usage_row *row)
{
    return slice_is(row->status, "truncated") ? slice_of("broken") : row->status;
}

/* The calls upstream. Of a call that made one attempt (and of those that were billed before attempts were kept) the row
 * itself says everything about it; a call that was never sent made none. */
static enum status add_attempts(struct work *w, struct usage_row *row)
{
    struct usage_attempt *attempt = arena_alloc(w->a, sizeof(*attempt));

    if (!attempt)
        return no_memory(w);
    if (row->attempts == 0)
        return ST_OK;
    *attempt = (struct usage_attempt){
        .number = row->attempts,
        .provider = row->provider,
        .upstream_model = row->upstream_model,
        .outcome = outcome_of(row),
        .http_status = row->http_status,
        .answered = !slice_is(row->status, "error"),
        .prompt_tokens = row->prompt_tokens,
        .cached_tokens = row->cached_tokens,
        .cache_write_tokens = row->cache_write_tokens,
        .cache_write_long_tokens = row->cache_write_long_tokens,
        .completion_tokens = row->completion_tokens,
        .reasoning_tokens = row->reasoning_tokens,
        .estimated = row->estimated,
        .price_id = row->price_id,
        .cost_nano = row->cost_nano + row->overage_nano,
        .latency_ms = row->latency_ms,
    };
    row->attempt_log.items = attempt;
    row->attempt_log.n = 1;
    return ST_OK;
}

static enum status add_entries(struct work *w, struct receipt_call *call)
{
    struct ledger_row *list = NULL;
    size_t n = 0;
    enum status st = entries_of_transfer(w, call->revision, &list, &n);

    call->row.entries.items = list;
    call->row.entries.n = n;
    return st;
}

#define TAG_ATTEMPTS 31
#define TAG_ENTRIES 32

enum status receipt_fill(struct work *w, struct receipt_call *call)
{
    enum status st = add_price(w, &call->row);

    if (st == ST_OK)
        st = add_attempts(w, &call->row);
    if (st == ST_OK)
        st = add_entries(w, call);
    /* There, even when empty: a call that cost nothing has a receipt without entries. */
    call->row.has |= UINT64_C(1) << TAG_ATTEMPTS | UINT64_C(1) << TAG_ENTRIES;
    return st;
}
