/*
 * ledger: double entry. A transfer is two to four entries that sum to zero, under one id that is the revision of what
 * caused it (a hold, a usage row, a correction, a credit grant). Each entry is hashed with the one before it. Entries
 * are never changed. Each account keeps its balance, which the entries prove. A user's account never goes below zero: a
 * transfer that would make it so is refused as a whole. It knows accounts and amounts, not calls or prices. Runs inside
 * the caller's transaction.
 */
#ifndef METERD_LEDGER_H
#define METERD_LEDGER_H

#include "meterd/store.h"

/* The operator's accounts, made by the first migration. A user's account is made with the user. */
#define LEDGER_REVENUE 1 /* what calls cost */
#define LEDGER_OVERAGE 2 /* what of it nobody's credit could bear: zero or below */
#define LEDGER_GRANTS 3 /* credit given away: zero or below */

/* Kinds of a user's accounts. held: credit that running calls hold, made with the first hold. */
#define LEDGER_AVAILABLE "available"
#define LEDGER_HELD "held"

/* Kinds of entries of a call; every other kind is a grant of credit. transfer = revision of the hold, of the call's
 * row, of the correction. */
#define LEDGER_USAGE "usage" /* a call without hold was settled */
#define LEDGER_HOLD "hold" /* a hold was opened */
#define LEDGER_HOLD_SETTLED "settle" /* a hold's ends */
#define LEDGER_HOLD_VOIDED "void"
#define LEDGER_HOLD_EXPIRED "expire"
#define LEDGER_LATE "late" /* the difference, once a call had been voided or expired and its truth came */

struct ledger_line {
    int64_t account, amount_nano;
    int64_t spent_nano; /* how much of it counts as spent by the account's owner */
    int64_t balance_nano; /* answer: the account's balance after it */
    uint64_t entry; /* answer: the entry's id */
};

/* What an account holds now. Balances are kept in memory while a transaction runs: ledger_flush is due before anything
 * else reads or writes the account's row, and before the commit. */
enum status ledger_balance(struct work *w, int64_t account, int64_t *ret_nano);
enum status ledger_flush(struct work *w);

/* Posts the lines; those of amount 0 are left out. ST_CONFLICT: a user's account would go below zero. */
enum status ledger_post(struct work *w, uint64_t transfer, const char *kind, struct ledger_line *lines, size_t n);

/* A grant of credit to a user's account (or, below zero, its taking back). */
struct ledger_grant {
    int64_t user_num, account;
    const char *kind; /* start, signup, grant, topup, refund, adjustment, code, monthly */
    struct slice actor, idempotency_key, note;
    struct slice request_id; /* refund: of the call that is paid back */
    int64_t amount_nano;
    int64_t balance_nano; /* answer */
    uint64_t entry; /* answer */
    uint64_t revision; /* answer */
};
/* Posts it and gives the user's record a new revision. */
enum status ledger_give(struct work *w, struct ledger_grant *grant);

#endif
