/* entries: looking at the ledger, for lists and receipts. Only reads. The operations stand in meterd/ops.h. */
#ifndef METERD_ENTRIES_H
#define METERD_ENTRIES_H

#include "meterd/record.h"

#define ENTRIES_OF_CALL 64 /* of usage_row */

/* All entries of a call in their order: of its hold, of its end, of its correction. In the arena. `revision` is that of
 * the call's row. */
enum status entries_of_call(struct work *w, struct slice request_id, uint64_t revision, struct ledger_row **ret,
                            size_t *ret_n);

#endif
