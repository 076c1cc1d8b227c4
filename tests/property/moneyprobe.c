/*
 * moneyprobe: proto/money.h for a test in another language. Reads lines, answers each with one; `-` = refused.
 *
 *   C 16 prices 12 counts   cost of a report (order of struct token_prices and struct token_report) in nano-USD
 *   M 16 prices in out      the most that it may cost
 *   U text | P text | T text   an amount, a price per million tokens, a price per token, as an integer
 *   u n | p n               an amount, a price, as text
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/money.h"

#define LINE_MAX_BYTES 1024
#define N_PRICES (sizeof(struct token_prices) / sizeof(int64_t))
#define N_COUNTS (sizeof(struct token_report) / sizeof(uint64_t))

/* By address: st is made by a call that fills it, and arguments are in no order. */
static void answer(enum status st, const int64_t *n)
{
    if (st == ST_OK)
        printf("%" PRId64 "\n", *n);
    else
        puts("-");
}

/* Prices are signed; the threshold among them is not, but fits. */
static struct token_prices read_prices(char **at)
{
    struct token_prices p;
    int64_t *to = (int64_t *)(void *)&p;
    size_t i;

    for (i = 0; i < N_PRICES; i++)
        to[i] = strtoll(*at, at, 10);
    return p;
}

static void cost(char *at)
{
    struct token_prices p = read_prices(&at);
    struct token_report r;
    struct token_counts t;
    uint64_t *to = (uint64_t *)(void *)&r;
    int64_t nano = 0;
    size_t i;

    for (i = 0; i < N_COUNTS; i++)
        to[i] = strtoull(at, &at, 10);
    t = money_split(&r);
    answer(money_cost(&p, &t, &nano, NULL), &nano);
}

static void cost_most(char *at)
{
    struct token_prices p = read_prices(&at);
    uint64_t in = strtoull(at, &at, 10), out = strtoull(at, &at, 10);
    int64_t nano = 0;

    answer(money_cost_most(&p, in, out, &nano, NULL), &nano);
}

static bool text(char what, const char *line)
{
    struct slice s = slice_of(line);
    char out[MONEY_TEXT_MAX];
    int64_t n = 0;

    switch (what) {
    case 'U': answer(money_parse_usd(s, &n, NULL), &n); return true;
    case 'P': answer(money_parse_price(s, &n, NULL), &n); return true;
    case 'T': answer(money_parse_token_price(s, &n, NULL), &n); return true;
    case 'u': money_format_usd(strtoll(line, NULL, 10), out); break;
    case 'p': money_format_price(strtoll(line, NULL, 10), out); break;
    default: return false;
    }
    puts(out);
    return true;
}

int main(void)
{
    static char line[LINE_MAX_BYTES];

    while (fgets(line, sizeof(line), stdin)) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '\0' || line[1] != ' ')
            return 2;
        if (line[0] == 'C')
            cost(line + 2);
        else if (line[0] == 'M')
            cost_most(line + 2);
        else if (!text(line[0], line + 2))
            return 2;
    }
    return 0;
}
