#include "meterd/pricing.h"

#include <string.h>

#include "meterd/store.h"
#include "proto/tariff.h"

void pricing_forget(struct pricing_cache *c)
{
    memset(c, 0, sizeof(*c));
}

static int64_t column(sqlite3_stmt *q, int at)
{
    return col_is_null(q, at) ? -1 : col_i64(q, at);
}

/* Columns as SQL_PRICE has them. */
static struct token_prices read_prices(sqlite3_stmt *q)
{
    return (struct token_prices){
        .input = col_i64(q, 4),
        .cached = column(q, 5),
        .write_short = column(q, 6),
        .write_long = column(q, 7),
        .output = col_i64(q, 8),
        .tier_above_tokens = col_u64(q, 9),
        .tier_input = column(q, 10),
        .tier_cached = column(q, 11),
        .tier_write_short = column(q, 12),
        .tier_write_long = column(q, 13),
        .tier_output = column(q, 14),
        .audio_in = column(q, 19),
        .image_in = column(q, 20),
        .audio_out = column(q, 21),
        .image_out = column(q, 22),
        .reasoning = column(q, 23),
    };
}

/* By version; when that is not there (a database that was set back), by what the model costs now. */
static enum status find(struct store *s, const struct usage_event *e, struct token_prices *ret, bool *ret_exact,
                        bool *ret_found, struct err *err)
{
    sqlite3_stmt *q = NULL;
    enum status st = store_row(s, SQL_PRICE_BY_ID, BINDS(B_I(e->price_id)), &q, err);

    *ret_exact = q != NULL;
    if (st == ST_OK && !q)
        st = store_row(s, SQL_PRICE_OF_MODEL, BINDS(B_S(e->model)), &q, err);
    *ret_found = q != NULL;
    if (q)
        *ret = read_prices(q);
    store_reset(&q);
    return st;
}

enum status pricing_cost(struct store *s, const struct usage_event *e, int64_t *ret_nano, bool *ret_known,
                         struct err *err)
{
    struct pricing_slot *slot = &s->prices.slots[e->price_id % PRICING_CACHE];
    struct token_counts tokens = tariff_event(e);
    bool exact = true, found = true;
    enum status st = ST_OK;

    *ret_nano = 0;
    *ret_known = true;
    if (e->price_id == 0)
        return ST_OK;
    if (slot->id != e->price_id) {
        slot->id = 0;
        st = find(s, e, &slot->prices, &exact, &found, err);
        if (st == ST_OK && exact)
            slot->id = e->price_id;
    }
    if (st != ST_OK)
        return st;
    *ret_known = exact && found && money_cost(&slot->prices, &tokens, ret_nano, NULL) == ST_OK && *ret_nano >= 0;
    if (found && !exact)
        (void)money_cost(&slot->prices, &tokens, ret_nano, NULL);
    if (*ret_nano < 0 || *ret_nano > MONEY_NANO_MAX)
        *ret_nano = 0;
    return ST_OK;
}
