/*
 * chain: the hash chain over the ledger's entries. The hash of an entry covers the hash before it and every field, so
 * that nobody who keeps the newest hash can be shown another past. Knows neither accounts nor SQL.
 */
#ifndef METERD_CHAIN_H
#define METERD_CHAIN_H

#include <stdint.h>

#include "proto/wire.h"

#define CHAIN_BYTES 32 /* BLAKE2b-256 */
#define CHAIN_KIND_MAX 32 /* of a kind of entry; the rest would not be covered, so there is none */

struct chain { /* the newest entry; all zero before the first */
    uint64_t id;
    unsigned char hash[CHAIN_BYTES];
};

struct chain_entry {
    uint64_t id, transfer;
    int64_t account;
    struct slice kind;
    int64_t amount_nano, balance_nano;
    uint64_t created_ms;
};

/* *c becomes the entry that follows it. */
void chain_add(struct chain *c, const struct chain_entry *e);

#endif
