/*
 * payers: whose credit a call moves. Ids that were found once are remembered, because a user's number and accounts
 * never change; balances come from the ledger's memory. Runs inside the caller's transaction.
 */
#ifndef METERD_PAYERS_H
#define METERD_PAYERS_H

#include "meterd/store.h"

struct payer {
    bool known; /* else: of nobody, all that follows is zero */
    int64_t num;
    int64_t account, available_nano;
    int64_t held_account, held_nano; /* account 0: there is none yet */
    struct slice user_id; /* lives until the next payer is looked for */
};

enum status payer_find(struct work *w, struct slice user_id, struct payer *ret);
enum status payer_by_num(struct work *w, int64_t num, struct payer *ret); /* num 0 = nobody */
/* Makes the account of what is held, when there is none. */
enum status payer_need_held(struct work *w, struct payer *p);

#endif
