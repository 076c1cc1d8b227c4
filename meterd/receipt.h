/*
 * receipt: what one call cost and why: the version of the price, every call upstream with its cost, the ledger entries.
 * Only reads.
 */
#ifndef METERD_RECEIPT_H
#define METERD_RECEIPT_H

#include "meterd/record.h"

/* A call as the receipt shows it. */
struct receipt_call {
    struct usage_row row;
    uint64_t revision; /* of the call: the id of its transfer */
};

/* Fills what only a receipt shows into the row. */
enum status receipt_fill(struct work *w, struct receipt_call *call);

#endif
