/*
 * Credit held for calls that run, one hold a request id; and a short memory of ids that were refused or are settled, so
 * that an id that comes twice gets the same answer and never a second hold. Knows nothing of balances or limits. No
 * locks: the owner (admission) has one.
 */
#ifndef AUTHSVC_HOLDS_H
#define AUTHSVC_HOLDS_H

#include "authsvc/projection.h"

#define HOLDS_MAX 262144u /* calls admitted and not settled */
#define HOLDS_MEMORY 16384u /* ids remembered after their end */

struct hold {
    struct table_node node; /* by request id */
    struct hold *older, *newer;
    struct slice user_id, key_id, endpoint;
    struct proj_model *model; /* a reference: of the catalog; NULL = none. Its memory has the names of the routes */
    struct proj_route *routes; /* as answered, each with a reference to its price */
    size_t n_routes; /* 0 = not known: asserted */
    bool by_latency;
    int64_t amount_nano;
    uint64_t output_limit; /* as answered */
    uint64_t prompt_held; /* input that amount_nano bears, where that is more than was said; 0 = it is not */
    bool credit_limited; /* what the credit bears, not what was asked for */
    uint64_t batch_percent, batch_output; /* of a batch: of the prices, and all its answers at most; 0 = it is none */
    uint64_t tokens_reserved; /* of the key's tokens per minute; 0 = no limit then */
    uint64_t began_ms, expires_ms;
    bool running; /* takes one of the key's concurrent places */
    bool placed; /* has taken one */
    bool asserted; /* a peer told us of it after a restart: what was answered is not known */
    struct proj_key *key; /* what key_id finds, while the projection has dropped so many; NULL = look for it */
    uint64_t keys_dropped;
    bool of_key; /* it counts in the key's budget: who told us of it knows the key */
};

/* What a call was told that got no hold. */
struct hold_refusal {
    struct err err;
    struct rate_limits limits;
};

/* An id that has ended. */
struct hold_memory {
    struct table_node node;
    struct hold_memory *next; /* younger */
    const struct hold_refusal *refusal; /* NULL = settled */
};

struct holds {
    struct table open, ended;
    struct hold *oldest, *newest;
    struct hold_memory *first, *last; /* of ended, oldest first */
    size_t cursor; /* of the expiry round */
    int64_t total_nano;
    size_t asserted; /* of the open ones */
    int64_t asserted_nano; /* in them */
};

void holds_init(struct holds *h);
void holds_fini(struct holds *h);
/* A copy of *from (its slices and routes too) for the request id; takes references to its model and prices. NULL = no
 * memory. In no table yet. */
struct hold *hold_new(struct slice request_id, const struct hold *from);
void hold_free(struct hold *hold); /* one that is in no table; NULL is fine */
/* The holds' own from now on, also when it fails. ST_UNAVAILABLE when HOLDS_MAX are open. */
enum status holds_join(struct holds *h, struct hold *hold);
enum status holds_add(struct holds *h, struct slice request_id, const struct hold *from); /* both in one */
struct hold *holds_find(const struct holds *h, struct slice request_id);
void holds_remove(struct holds *h, struct hold *hold); /* frees it */
void holds_grow(struct holds *h, struct hold *hold, int64_t by_nano);
/* The next hold that has expired, looking at no more than *budget slots (which is counted down); NULL = none in them.
 */
struct hold *holds_expired(struct holds *h, uint64_t now_ms, size_t *budget);

/* err NULL = settled. Without memory for it nothing is remembered. */
void holds_remember(struct holds *h, struct slice request_id, const struct err *err, const struct rate_limits *limits);
const struct hold_memory *holds_ended(const struct holds *h, struct slice request_id);

#endif
