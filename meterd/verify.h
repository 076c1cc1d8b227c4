/*
 * verify: what the parts of ledger_verify share. verify.c reads entries, calls and accounts as sorted streams;
 * verify_transfers.c compares one transfer with what caused it; verify_holds.c looks at every hold's end.
 */
#ifndef METERD_VERIFY_H
#define METERD_VERIFY_H

#include "meterd/store.h"

#define VERIFY_PROBLEMS_MAX 100 /* of ledger_verify_rep */
#define VERIFY_LINES_MAX 8 /* a transfer has two to four; more are told and not compared */
#define VERIFY_LEASE_GRACE_MS 60000 /* an open hold whose lease is over for longer has been forgotten */

struct tally { /* of one account */
    int64_t sum, spent;
    int64_t held_account; /* of an available one: the same user's */
    int64_t open; /* of a held one: what open holds say */
};

struct transfer {
    uint64_t id;
    char kind[CHAIN_KIND_MAX + 1];
    size_t n;
    struct {
        int64_t account, amount, balance;
        uint64_t entry;
    } lines[VERIFY_LINES_MAX];
};

struct call_row {
    uint64_t revision;
    int64_t account; /* 0 = nobody's */
    int64_t cost, overage, balance; /* as it ended */
    int64_t cost_now; /* with what a correction changed */
    char request_id[LIMIT_ID_TEXT + 1];
};

struct verify {
    struct work *w;
    struct ledger_verify_rep *rep;
    struct ledger_problem *problems;
    struct tally *tallies; /* by account id */
    uint64_t n_tallies;
    uint64_t grants, holds, late; /* transfers of these kinds */
    struct chain chain; /* as it stands in the entry read last */
    sqlite3_stmt *calls; /* the stream of calls; NULL at its end */
    struct call_row call; /* the one that is due */
};

enum status __attribute__((format(printf, 3, 4)))
verify_problem(struct verify *v, const char *account, const char *format, ...);
struct tally *verify_tally(struct verify *v, int64_t account); /* NULL: there is no such account */
/* What the user whose available account this is has, as of the last entry read. */
int64_t verify_balance(struct verify *v, int64_t account);

/* Goes on to the call with this revision, and beyond the one that is due. */
enum status verify_calls_up_to(struct verify *v, uint64_t revision);
enum status verify_next_call(struct verify *v);

enum status verify_transfer(struct verify *v, const struct transfer *t);
enum status verify_counts(struct verify *v); /* as many transfers as there is what causes them */
enum status verify_holds(struct verify *v);

#endif
