/* entries: looking at the ledger, for lists and receipts. Only reads. The operations stand in meterd/ops.h. */
#ifndef METERD_ENTRIES_H
#define METERD_ENTRIES_H

#include "meterd/record.h"

/* The entries of one transfer (a revision, see meterd/ledger.h): struct ledger_row, in order, in the arena. */
enum status entries_of_transfer(struct work *w, uint64_t transfer, struct ledger_row **ret, size_t *ret_n);

#endif
