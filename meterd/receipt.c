#include "meterd/receipt.h"

#include "meterd/entries.h"

#define ATTEMPTS_MAX 16 /* of usage_row */
#define TAG_ATTEMPTS 31 /* of usage_row */
#define TAG_ENTRIES 32

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

/* Of a call that was billed without a log of its attempts the row itself says everything about the only one; a call
 * that was never sent made none. */
static void only_attempt(const struct usage_row *row, struct usage_attempt *to, size_t *ret_n)
{
    if (row->attempts == 0)
        return;
    *to = (struct usage_attempt){
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
        .audio_input_tokens = row->audio_input_tokens,
        .audio_output_tokens = row->audio_output_tokens,
        .image_input_tokens = row->image_input_tokens,
        .image_output_tokens = row->image_output_tokens,
        .estimated = row->estimated,
        .price_id = row->price_id,
        .cost_nano = row->cost_nano + row->overage_nano,
        .latency_ms = row->latency_ms,
    };
    *ret_n = 1;
}

static enum status fill_attempt(struct work *w, sqlite3_stmt *q, void *to)
{
    struct usage_attempt *a = to;
    enum status st = col_text(q, 1, w->a, &a->provider, w->err);

    a->number = col_u64(q, 0);
    a->http_status = col_u64(q, 4);
    a->answered = col_i64(q, 5) != 0;
    a->prompt_tokens = col_u64(q, 6);
    a->cached_tokens = col_u64(q, 7);
    a->cache_write_tokens = col_u64(q, 8);
    a->cache_write_long_tokens = col_u64(q, 9);
    a->completion_tokens = col_u64(q, 10);
    a->reasoning_tokens = col_u64(q, 11);
    a->estimated = col_i64(q, 12) != 0;
    a->price_id = col_u64(q, 13);
    a->cost_nano = col_i64(q, 14);
    a->latency_ms = col_u64(q, 15);
    a->audio_input_tokens = col_u64(q, 16);
    a->audio_output_tokens = col_u64(q, 17);
    a->image_input_tokens = col_u64(q, 18);
    a->image_output_tokens = col_u64(q, 19);
    if (st == ST_OK)
        st = col_text(q, 2, w->a, &a->upstream_model, w->err);
    return st == ST_OK ? col_text(q, 3, w->a, &a->outcome, w->err) : st;
}

static enum status add_attempts(struct work *w, struct usage_row *row)
{
    struct record_page page = {.sql = SQL_ATTEMPTS,
                               .binds = BINDS(B_S(row->request_id), B_I(ATTEMPTS_MAX)),
                               .fill = fill_attempt,
                               .size = sizeof(struct usage_attempt),
                               .limit = ATTEMPTS_MAX};
    enum status st = record_list(w, &page);

    if (st == ST_OK && page.n == 0)
        only_attempt(row, page.items, &page.n);
    row->attempt_log.items = page.items;
    row->attempt_log.n = page.n;
    return st;
}

static enum status add_entries(struct work *w, struct receipt_call *call)
{
    struct ledger_row *list = NULL;
    size_t n = 0;
    enum status st = entries_of_call(w, call->row.request_id, call->revision, &list, &n);

    call->row.entries.items = list;
    call->row.entries.n = n;
    return st;
}

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
