/*
 * Admission: may this call be made, and who pays? One atomic decision under one lock: key, user, model, requests and
 * tokens per minute, calls at once, credit. A yes takes its place in all of them and holds the highest cost the call
 * can have. The hold ends when meterd's `settled` arrives, in the same step in which the new balance is taken over; so
 * credit available = balance - holds is never more than what is really there.
 *
 * Pure: no bus, no clock of its own (monotonic milliseconds and wall seconds are parameters), no log. Any thread.
 */
#ifndef AUTHSVC_ADMISSION_H
#define AUTHSVC_ADMISSION_H

#include <pthread.h>

#include "authsvc/holds.h"
#include "authsvc/models.h"
#include "proto/security.h"
#include "services/arena.h"

#define ADMISSION_OUTPUT_MIN 16u /* an answer shorter than this is of no use: refused instead of cut */
#define ADMISSION_OUTPUT_UNKNOWN 32768u /* output that is held for where nobody knows a model's maximum */
#define ADMISSION_INPUT_UNKNOWN 131072u /* context that is held for where nobody knows it nor the model's window */
#define ADMISSION_TPM_OUTPUT 4096u /* reserved of TPM for an answer without a limit; corrected when settled */
#define ADMISSION_BATCH_PERCENT 50u /* of a price, where nobody says otherwise: what OpenAI and Azure take */
#define ADMISSION_CONCURRENT_RETRY_MS 500u
#define ADMISSION_LOADING_RETRY_MS 1000u

/* Who else wants to know. All optional; run under the lock, so they only copy. */
struct admission_ears {
    void (*lapsed)(void *ctx, const struct hold *hold, uint64_t now_ms); /* nobody settled it in time */
    void (*settled)(void *ctx, const struct settled *s, struct slice key_id, uint64_t revision);
    void (*credited)(void *ctx, const struct user *user, uint64_t revision); /* a balance, not of a snapshot */
    void (*asserted)(void *ctx, const struct hold_state *told, uint64_t lease_ms); /* amount and lease as kept here */
    void *ctx;
};

struct admission {
    pthread_mutex_t lock;
    struct projection state;
    struct holds holds;
    bool unpriced_free;
    uint64_t batch_percent; /* of a model's prices; may be set before the first call */
    uint64_t grace_ms; /* after a call's deadline: for its settlement to arrive */
    struct admission_ears ears; /* set before the first call */
    bool loaded; /* a whole state has been there */
    bool shared; /* the counters are kept elsewhere, where several authsvc see them: those here are what was heard last
                  */
    bool broken; /* a record could not be kept: nothing is admitted until a snapshot repairs it */
};

/* A key that was shown, but not by who may. */
struct suspect_key {
    bool found;
    enum security_kind kind; /* SECURITY_KEY_GUESSING (nobody has it), KEY_REVOKED_USED, IP_NOT_ALLOWED */
    char id[LIMIT_ID_TEXT + 1]; /* empty for one that nobody has */
};

/* What a question stands on. */
struct admission_env {
    uint64_t now_ms; /* monotonic */
    uint64_t wall_s; /* Unix */
    struct arena *arena; /* answers point into it */
    struct rate_limits
        *limits; /* filled (has set) when the key's limits are known, also on a refusal; NULL = not wanted */
    struct suspect_key *suspect; /* filled when the key is refused for what it is; NULL = not wanted */
};

struct admission_figures {
    size_t holds;
    int64_t held_nano;
    uint64_t oldest_ms; /* age */
    bool broken;
    size_t users, keys, prices, providers, models;
};

void admission_init(struct admission *a, bool unpriced_free, uint64_t grace_ms);
void admission_fini(struct admission *a);

/* The state feed, from one thread. now_ms: a hold's lease in a record begins then. */
void admission_reset(struct admission *a);
enum status admission_change(struct admission *a, uint64_t now_ms, const struct state_change *change,
                             struct arena *scratch, struct err *err);
void admission_applied(struct admission *a);

enum status admission_admit(struct admission *a, const struct admission_env *env, const struct admit_req *req,
                            struct admit_rep *rep, struct err *err);
bool admission_loaded(struct admission *a); /* a whole state has been there */

/* Where counters are shared a call is admitted in two steps: what it would take is proposed by what is known here, then
 * taken where the counters are (authsvc/shared.h), if it fits there. If not, their true values come back, and it is
 * proposed again. */

/* What a call takes and what it stands on. Text lives in env's arena. */
struct taking {
    struct slice request_id, user_id, key_id, endpoint, model, provider; /* user_id empty = refused without counters */
    int64_t amount_nano;
    uint64_t tokens, rpm, tpm, concurrency; /* limits: 0 = none */
    int64_t balance_nano, budget_nano, spent_nano;
    uint64_t revision, key_revision, period_end;
    uint64_t lease_ms, price_id;
    bool by_counters; /* other counters may have led to another answer */
    struct hold *hold; /* to be concluded or withdrawn; NULL = refused, or answered already */
};

/* Their true values. */
struct counters {
    int64_t balance_nano, held_nano, key_held_nano, spent_nano;
    uint64_t revision, period_end, running;
    int64_t requests_level, tokens_level; /* as in a bucket */
};

/* Counters are kept elsewhere from now on, or here: then they begin with the holds that are known here, and full
 * buckets. */
void admission_share(struct admission *a, bool shared);
/* ST_OK: t->hold is what is proposed; without one the id was here before and rep is its answer. Else a refusal, with t
 * filled as far as it was decided by counters. */
enum status admission_propose(struct admission *a, const struct admission_env *env, const struct admit_req *req,
                              struct taking *t, struct admit_rep *rep, struct err *err);
void admission_learn(struct admission *a, uint64_t now_ms, const struct taking *t, const struct counters *c);
/* It was taken: the hold is open, rep its answer. When this fails it is to be undone where it was taken. */
enum status admission_conclude(struct admission *a, const struct admission_env *env, struct taking *t,
                               struct admit_rep *rep, struct err *err);
void admission_withdraw(struct admission *a, struct taking *t); /* harmless without a hold */
/* A refusal that stands: whoever asks with the same id again gets it. */
void admission_refused(struct admission *a, struct slice request_id, const struct err *err,
                       const struct rate_limits *limits);
/* Every open hold, oldest first, under the lock. */
void admission_each_hold(struct admission *a, uint64_t now_ms, void (*each)(void *ctx, const struct hold_state *hold),
                         void *ctx);

void admission_done(struct admission *a, struct slice request_id);
/* Ends holds that nobody settled in time, and says so to `lapsed`; looks at `slots` places of the table a call. Returns
 * how many. */
size_t admission_expire(struct admission *a, uint64_t now_ms, size_t slots);

/* asserted.c */

/* A peer says that this hold is open. Unknown: it is made, unless the id is remembered as ended; also for a user who is
 * not known yet. Known: it gets the longer of both leases and the larger of both amounts. A lease of a call that runs
 * is longer by the grace: its end is still to come. */
enum status admission_assert(struct admission *a, uint64_t now_ms, const struct hold_state *told);
/* The call was settled before the state that we have: an asserted hold for it ends. */
void admission_settled_before(struct admission *a, const struct settled *s, uint64_t revision);
/* Lets a hold grow as far as the user's credit and the key's budget bear. ST_NOT_FOUND: there is none. */
enum status admission_extend(struct admission *a, uint64_t wall_s, const struct hold_extend_req *req,
                             struct hold_extend_rep *rep, struct err *err);
/* The oldest holds, into env's arena; of one user or of all. */
enum status admission_holds(struct admission *a, const struct admission_env *env, const struct holds_list_req *req,
                            struct holds_list_rep *rep);

enum status admission_models(struct admission *a, const struct admission_env *env, const struct models_req *req,
                             struct models_rep *rep, struct err *err);
/* The user as of now: ST_UNAUTHENTICATED when there is none or he is disabled. */
enum status admission_user(struct admission *a, struct slice user_id, bool *ret_admin, struct err *err);
struct key_limits { /* that a key is to have; 0 = the plan's */
    uint64_t rpm, tpm, concurrency;
};
/* Are these limits within the user's plan? (How many keys it allows is counted by meterd.) */
enum status admission_key_limits(struct admission *a, struct slice user_id, const struct key_limits *limits,
                                 struct err *err);
int64_t admission_held(struct admission *a, struct slice user_id); /* nano-USD in the user's open holds */
void admission_figures(struct admission *a, uint64_t now_ms, struct admission_figures *ret);

#endif
