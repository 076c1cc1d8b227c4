/*
 * ledger_step: every decision of the ledger about a call, as a pure function: what is known (the view) and what is
 * asked (the command) give what is posted to each account, what becomes of the call's hold and how the call stands
 * afterwards. No SQL, no clock, no memory of its own; meterd/calls.c feeds it from the database and the simulator
 * (tests/sim) from models. Amounts are nano-USD.
 *
 * A call:   NEW --progress--> OPEN --settle--> SETTLED         an ordinary short call goes NEW --settle--> SETTLED
 *                              |---void-----> VOIDED  --settle--> SETTLED     (corrected, once)
 *                              `---expire---> EXPIRED --settle--> SETTLED     (corrected, once)
 *
 * - Whatever the order and however often: a call ends once, and what has ended is corrected once at most.
 * - A settlement after a void or an expiry says what was truly used, so the difference is posted: a void that was wrong
 *   is billed after all, and what refunds gave back meanwhile is not given back again. A void says "never started": it
 *   loses against everything that says otherwise, so it does not end a hold whose progress already costs something, nor
 *   an expired call.
 * - available and held of a user never go below zero: what credit cannot bear goes to the operator's overage.
 * - The postings sum to zero.
 */
#ifndef METERD_LEDGER_STEP_H
#define METERD_LEDGER_STEP_H

#include <stdbool.h>
#include <stdint.h>

enum call_state { CALL_NEW, CALL_OPEN, CALL_SETTLED, CALL_VOIDED, CALL_EXPIRED };

struct ledger_view {
    int64_t available_nano, held_nano; /* the payer's accounts; of a payer who does not exist: 0 */
    enum call_state state;
    int64_t hold_nano; /* OPEN: what this call holds of held_nano */
    int64_t heard_nano; /* OPEN: what its progress costs as far as it was heard */
    uint64_t heard_tokens;
    int64_t taken_nano, overage_nano; /* VOIDED, EXPIRED: what was billed for it */
    int64_t refunded_nano; /* VOIDED, EXPIRED: what was given back of taken_nano since, as credit; 0..taken_nano */
};

enum ledger_verb { LEDGER_PROGRESS, LEDGER_SETTLE, LEDGER_VOID, LEDGER_EXPIRE, LEDGER_GIVE };

struct ledger_command {
    enum ledger_verb verb;
    int64_t amount_nano; /* PROGRESS: the hold of admission. GIVE: credit, below zero = taken back */
    int64_t cost_nano; /* PROGRESS: so far. SETTLE: of the call */
    uint64_t tokens; /* PROGRESS: so far */
};

enum ledger_outcome {
    LEDGER_NOTHING, /* known already, or overruled: nothing changes */
    LEDGER_OPENED, /* the call has a hold now */
    LEDGER_RENEWED, /* it had one; heard_* are the newest */
    LEDGER_ENDED, /* settled, voided or expired: `state` says which */
    LEDGER_CORRECTED, /* it had ended otherwise; taken_nano and overage_nano are its true bill */
    LEDGER_GIVEN,
    LEDGER_REFUSED, /* more would be taken back than is available */
};

struct ledger_posts { /* what is added to each account */
    int64_t available_nano, held_nano; /* the payer's */
    int64_t revenue_nano, overage_nano, grants_nano; /* the operator's */
};

struct ledger_effect {
    enum ledger_outcome outcome;
    enum call_state state; /* the call's, afterwards */
    struct ledger_posts posts;
    bool newer; /* PROGRESS: this event is the newest known of the call */
    int64_t hold_nano, heard_nano; /* OPEN: as in the view, afterwards */
    uint64_t heard_tokens;
    int64_t taken_nano, overage_nano; /* ended: the call's whole bill, what its user pays and what the operator bears */
};

struct ledger_effect ledger_step(const struct ledger_view *view, const struct ledger_command *command);

#endif
