/*
 * The built-in prices and limits of well-known models, as a table in the program: what a newcomer's calls cost before
 * anybody has set a price. Data only; meterd/prices.c puts it into the database. The rows come from the vendors' price
 * pages and two public collections; the head of meterd/price_table.c says as of when. An administrator's price always
 * wins.
 */
#ifndef METERD_PRICE_TABLE_H
#define METERD_PRICE_TABLE_H

#include "proto/money.h"

struct price_table_row {
    const char *model, *provider, *mode;
    struct token_prices prices; /* pico-USD per token; -1 = as input */
    uint64_t context_window, max_output; /* 0 = not known */
};

extern const struct price_table_row price_table[]; /* ended by a row without model */

#endif
