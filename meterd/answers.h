/*
 * answers: what calls with an Idempotency-Key were answered, for a time, so that the same call made again costs nothing
 * and gets the same bytes. Who calls is the user of the API key. An answer belongs to the request that began it. What
 * became of a call whose answer never came is read from its bill: a row in `usage` with a cost means that it must not
 * be made again. Leases are monotonic and counted anew from meterd's start.
 *
 * op_answer_begin looks on a reader's connection first and asks for the writer (ST_PENDING) only when it must write:
 * repeats, however large and however many, never stand in the ledger's way. op_answer_put writes one piece of a large
 * body and returns ST_PENDING: it is to be run again, in a later transaction, until it returns something else.
 */
#ifndef METERD_ANSWERS_H
#define METERD_ANSWERS_H

#include "meterd/store.h"

#define ANSWERS_KEPT_MS (UINT64_C(24) * 3600 * 1000) /* when IDEMPOTENCY_HOURS is not said */
#define ANSWERS_SETTLE_MS 2000 /* a call whose bill is there gets so long to bring its answer */
#define ANSWERS_USER_BYTES (64 * 1024 * 1024) /* kept for one user; beyond it the oldest bodies go */
#define ANSWERS_ROW_BYTES 512 /* what an answer counts beside its body */
#define ANSWERS_PIECE_BYTES (512u * 1024u) /* of a body that one transaction writes */
#define ANSWERS_EVICT_MAX 2000 /* bodies that go for one that comes */
#define ANSWERS_FORGET_ROWS 500 /* forgotten in one transaction, at most … */
#define ANSWERS_FORGET_BYTES (16 * 1024 * 1024) /* … and with bodies of so many bytes, and one more */
#define ANSWERS_FORGET_MS 10000 /* the writer looks for what is too old this often … */
#define ANSWERS_FORGET_MORE_MS 100 /* … and sooner when it did not come to the end */

/* Leases are counted anew: at the start, and after a time in which nothing could be written. */
enum status answers_restart(struct work *w);
/* Forgets what is too old, within bounds; *ret_more: there is more. Inside a transaction of the writer. */
enum status answers_forget(struct work *w, bool *ret_more);

#endif
