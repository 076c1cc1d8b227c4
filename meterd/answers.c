#include "meterd/answers.h"

#include <string.h>

#include "meterd/ops.h"
#include "meterd/record.h"
#include "services/clock.h"
#include "services/net.h"

struct caller {
    int64_t user_num;
    bool known, may_call; /* may_call: neither secret, key nor user is out of force */
    struct wire_strs ip_allow; /* none = any address */
};

/* A row without its body. */
struct kept {
    bool found, same_body, stored;
    int64_t id, bytes;
    uint64_t lease_end_ms, expires_ms, http_status;
    struct slice request_id, content_type;
};

/* ---- looking ------------------------------------------------------------------------------------------------------
 */

static enum status find_caller(struct work *w, struct slice key_digest, struct caller *ret)
{
    struct slice ranges = {NULL, 0};
    sqlite3_stmt *q = NULL;
    enum status st = store_row(w->s, SQL_ANSWER_CALLER, BINDS(B_B(key_digest), B_I(w->s->now_ms / 1000)), &q, w->err);

    *ret = (struct caller){.known = q != NULL};
    if (q) {
        ret->user_num = col_i64(q, 0);
        ret->may_call = col_i64(q, 1) != 0;
        st = col_text(q, 2, w->a, &ranges, w->err);
    }
    store_reset(&q);
    return st == ST_OK ? record_split(w, ranges, &ret->ip_allow) : st;
}

static enum status find_kept(struct work *w, int64_t user_num, struct slice key, struct slice body_digest,
                             struct kept *ret)
{
    sqlite3_stmt *q = NULL;
    enum status st = store_row(w->s, SQL_ANSWER_FIND, BINDS(B_I(user_num), B_S(key), B_B(body_digest)), &q, w->err);

    *ret = (struct kept){.found = q != NULL};
    if (q) {
        ret->id = col_i64(q, 0);
        ret->same_body = col_i64(q, 1) != 0;
        ret->stored = col_i64(q, 2) != 0;
        ret->lease_end_ms = col_u64(q, 3);
        ret->expires_ms = col_u64(q, 4);
        ret->http_status = col_u64(q, 5);
        st = col_text(q, 6, w->a, &ret->request_id, w->err);
        if (st == ST_OK)
            st = col_text(q, 7, w->a, &ret->content_type, w->err);
        ret->bytes = col_i64(q, 8);
    }
    store_reset(&q);
    return st;
}

/* Does the call still run, as far as its hold says? */
static enum status find_hold(struct work *w, struct slice request_id, bool *ret)
{
    int64_t open = 0;
    enum status st = store_number(w->s, SQL_ANSWER_HOLD, BINDS(B_S(request_id)), 0, &open, w->err);

    *ret = open != 0;
    return st;
}

/* What the call cost; -1 = it has not been billed, not even at nothing. One that expired may still be billed late, so
 * may one that is void because whoever ran it was lost, and one that is parked is over, but what it made is not: they
 * count as if they had cost something. A gateway's own void says that nobody began it. */
static enum status find_cost(struct work *w, struct slice request_id, int64_t *ret)
{
    return store_number(w->s, SQL_ANSWER_COST, BINDS(B_S(request_id), B_I(status_http(ST_PEER_LOST))), -1, ret, w->err);
}

/* ---- beginning ----------------------------------------------------------------------------------------------------
 */

/* The call is this request's to make. What was there before is not in force any more. */
static enum status begin(struct work *w, const struct answer_begin_req *req, int64_t user_num, const struct kept *old,
                         struct answer_begin_rep *rep)
{
    uint64_t kept_ms = w->s->answers_kept_ms ? w->s->answers_kept_ms : ANSWERS_KEPT_MS;
    enum status st = ST_OK;

    if (!w->s->writer)
        return ST_PENDING;
    if (old->found)
        st = store_run(w->s, SQL_ANSWER_DROP, BINDS(B_I(old->id)), w->err);
    if (st == ST_OK)
        st = store_run(w->s, SQL_ANSWER_INSERT,
                       BINDS(B_I(user_num), B_S(req->idempotency_key), B_B(req->body_digest), B_S(req->request_id),
                             B_I(w->s->now_ms), B_I(w->s->now_ms + kept_ms), B_I(req->lease_ms),
                             B_I(clock_ms() + req->lease_ms)),
                       w->err);
    rep->state = slice_of("begun");
    rep->request_id = req->request_id;
    return st;
}

/* Appends the rows' first columns. */
static enum status gather(struct work *w, enum sql sql, int64_t id, char *to, size_t size, size_t *used)
{
    sqlite3_stmt *q = NULL;
    enum status st = store_row(w->s, sql, BINDS(B_I(id)), &q, w->err);

    while (st == ST_OK && q) {
        const void *p = sqlite3_column_blob(q, 0);
        size_t n = (size_t)sqlite3_column_bytes(q, 0);

        if (n > size - *used)
            st = err_set(w->err, ST_INTERNAL, "a kept answer is longer than its row says");
        else if (p)
            memcpy(to + *used, p, n);
        if (st == ST_OK) {
            *used += n;
            st = store_next(w->s, &q, w->err);
        }
    }
    store_reset(&q);
    return st;
}

static enum status replay(struct work *w, const struct kept *k, struct answer_begin_rep *rep)
{
    size_t size = k->bytes > ANSWERS_ROW_BYTES ? (size_t)k->bytes - ANSWERS_ROW_BYTES : 0, used = 0;
    char *body = arena_alloc(w->a, size + 1);
    enum status st;

    if (!body)
        return err_set(w->err, ST_NO_MEMORY, "no memory for a kept answer");
    st = gather(w, SQL_ANSWER_PIECES, k->id, body, size, &used);
    if (st == ST_OK)
        st = gather(w, SQL_ANSWER_BODY, k->id, body, size, &used);
    if (st == ST_OK && used != size)
        st = err_set(w->err, ST_INTERNAL, "a kept answer is shorter than its row says");
    rep->state = slice_of("stored");
    rep->request_id = k->request_id;
    rep->http_status = k->http_status;
    rep->content_type = k->content_type;
    rep->body = (struct slice){body, used};
    return st;
}

/* Another request began it and has not brought its answer: is it still to come, was it paid for, or is the key free? */
static enum status judge(struct work *w, const struct answer_begin_req *req, int64_t user_num, const struct kept *k,
                         struct answer_begin_rep *rep)
{
    uint64_t now = clock_ms();
    bool over = now >= k->lease_end_ms, held = false;
    int64_t cost = -1;
    enum status st = find_cost(w, k->request_id, &cost);

    if (st == ST_OK && cost < 0)
        st = find_hold(w, k->request_id, &held);
    if (st != ST_OK)
        return st;
    over &= !held; /* its bill is still to come, whatever the lease says */
    if (over && cost <= 0)
        return begin(w, req, user_num, k, rep);
    rep->state = slice_of(over ? "interrupted" : "running");
    rep->request_id = k->request_id;
    if (over || cost < 0 || k->lease_end_ms <= now + ANSWERS_SETTLE_MS)
        return ST_OK;
    if (!w->s->writer) /* the bill is there: the answer is on its way, or lost */
        return ST_PENDING;
    return store_run(w->s, SQL_ANSWER_LEASE, BINDS(B_I(k->id), B_I(now + ANSWERS_SETTLE_MS)), w->err);
}

static bool out_of_date(const struct work *w, const struct kept *k)
{
    return w->s->now_ms >= k->expires_ms && (k->stored || clock_ms() >= k->lease_end_ms);
}

static enum status check_begin(struct work *w, const struct answer_begin_req *req)
{
    if (req->key_digest.n != LIMIT_DIGEST || req->body_digest.n != LIMIT_DIGEST || req->idempotency_key.n == 0)
        return err_set(w->err, ST_BAD_MESSAGE, "answer_begin_req: two digests of %d bytes and a key are due",
                       LIMIT_DIGEST);
    return ST_OK;
}

enum status op_answer_begin(struct work *w, const void *in, void *out)
{
    const struct answer_begin_req *req = in;
    struct answer_begin_rep *rep = out;
    struct caller caller = {.known = false};
    struct kept kept = {.found = false};
    enum status st = check_begin(w, req);

    if (st == ST_OK)
        st = find_caller(w, req->key_digest, &caller);
    if (st == ST_OK && (!caller.may_call || (caller.ip_allow.n && !net_listed(caller.ip_allow, req->client_ip))))
        st = err_set(w->err, ST_NOT_FOUND, "There is no API key in force here with this digest.");
    if (st == ST_OK)
        st = find_kept(w, caller.user_num, req->idempotency_key, req->body_digest, &kept);
    if (st != ST_OK)
        return st;
    if (!kept.found || out_of_date(w, &kept))
        return begin(w, req, caller.user_num, &kept, rep);
    if (!kept.same_body)
        return err_set_field(w->err, ST_CONFLICT, "idempotency_key_reused", NULL,
                             "This Idempotency-Key was used with another request body or URL. Repeat that request "
                             "unchanged, or send this one with a new key.");
    if (kept.stored)
        return replay(w, &kept, rep);
    if (!slice_eq(kept.request_id, req->request_id))
        return judge(w, req, caller.user_num, &kept, rep);
    rep->state = slice_of("begun"); /* told twice */
    rep->request_id = req->request_id;
    return ST_OK;
}

/* ---- keeping ------------------------------------------------------------------------------------------------------
 */

/* The body goes, the row stays: that the call was paid for is still known, so nobody pays for it twice. */
static enum status make_room(struct work *w, int64_t user_num, int64_t bytes)
{
    int64_t taken = 0, last = 0, freed = 0;
    sqlite3_stmt *q = NULL;
    enum status st = store_number(w->s, SQL_ANSWER_SPACE, BINDS(B_I(user_num)), 0, &taken, w->err);

    if (st != ST_OK || taken + bytes <= ANSWERS_USER_BYTES)
        return st;
    st = store_row(w->s, SQL_ANSWER_OLDEST, BINDS(B_I(user_num), B_I(ANSWERS_EVICT_MAX)), &q, w->err);
    while (st == ST_OK && q && taken - freed + bytes > ANSWERS_USER_BYTES) {
        last = col_i64(q, 0);
        freed += col_i64(q, 1);
        st = store_next(w->s, &q, w->err);
    }
    store_reset(&q);
    if (st == ST_OK && taken - freed + bytes > 2 * ANSWERS_USER_BYTES)
        st = err_set(w->err, ST_TOO_LARGE, "too many answers are kept for this user");
    return st == ST_OK ? store_run(w->s, SQL_ANSWER_EVICT, BINDS(B_I(user_num), B_I(last)), w->err) : st;
}

/* A large body comes in pieces, so that no transaction grows by it: what the ledger has to write goes in between. */
static enum status store_answer(struct work *w, int64_t user_num, int64_t id, const struct answer_put_req *req)
{
    int64_t bytes = (int64_t)req->body.n + ANSWERS_ROW_BYTES, pieces = 0;
    struct slice rest = req->body;
    enum status st = make_room(w, user_num, bytes);

    if (st == ST_OK)
        st = store_number(w->s, SQL_ANSWER_PIECE_COUNT, BINDS(B_I(id)), 0, &pieces, w->err);
    if (st != ST_OK)
        return st;
    rest.p += (size_t)pieces * ANSWERS_PIECE_BYTES;
    rest.n -= (size_t)pieces * ANSWERS_PIECE_BYTES;
    if (rest.n <= ANSWERS_PIECE_BYTES)
        return store_run(w->s, SQL_ANSWER_STORE,
                         BINDS(B_I(id), B_I(req->http_status), B_S(req->content_type), B_I(bytes), B_B(rest)), w->err);
    rest.n = ANSWERS_PIECE_BYTES;
    st = store_run(w->s, SQL_ANSWER_PIECE_ADD, BINDS(B_I(id), B_I(pieces), B_B(rest)), w->err);
    w->keep = st == ST_OK;
    return st == ST_OK ? ST_PENDING : st;
}

/* Only a call that cost nothing is forgotten, whatever its gateway thought. */
static enum status forget_one(struct work *w, const struct kept *k)
{
    int64_t cost = -1;
    enum status st = find_cost(w, k->request_id, &cost);

    if (st != ST_OK)
        return st;
    if (cost > 0)
        return store_run(w->s, SQL_ANSWER_LEASE, BINDS(B_I(k->id), B_I(0)), w->err);
    return store_run(w->s, SQL_ANSWER_DROP, BINDS(B_I(k->id)), w->err);
}

enum status op_answer_put(struct work *w, const void *in, void *out)
{
    const struct answer_put_req *req = in;
    struct slice none = {NULL, 0};
    struct caller caller = {.known = false};
    struct kept kept = {.found = false};
    enum status st = find_caller(w, req->key_digest, &caller);

    (void)out; /* answers are nobody's projection: the revision stays */
    if (st == ST_OK && !caller.known) /* out of force is fine: it was in force when the call began */
        st = err_set(w->err, ST_NOT_FOUND, "There is no API key with this digest.");
    if (st == ST_OK)
        st = find_kept(w, caller.user_num, req->idempotency_key, none, &kept);
    if (st == ST_OK && (!kept.found || !slice_eq(kept.request_id, req->request_id)))
        st = err_set(w->err, ST_CONFLICT, "This Idempotency-Key belongs to another request by now.");
    if (st != ST_OK || kept.stored) /* told twice */
        return st;
    return req->http_status ? store_answer(w, caller.user_num, kept.id, req) : forget_one(w, &kept);
}

/* ---- time passes --------------------------------------------------------------------------------------------------
 */

enum status answers_restart(struct work *w)
{
    return store_run(w->s, SQL_ANSWERS_RESTART, BINDS(B_I(clock_ms())), w->err);
}

enum status answers_forget(struct work *w, bool *ret_more)
{
    int64_t ids[ANSWERS_FORGET_ROWS] = {0}, bytes = 0;
    size_t n = 0, i;
    sqlite3_stmt *q = NULL;
    enum status st = store_row(w->s, SQL_ANSWERS_OLD,
                               BINDS(B_I(w->s->now_ms), B_I(clock_ms()), B_I(ANSWERS_FORGET_ROWS)), &q, w->err);

    while (st == ST_OK && q && n < ANSWERS_FORGET_ROWS && bytes < ANSWERS_FORGET_BYTES) {
        ids[n++] = col_i64(q, 0);
        bytes += col_i64(q, 1);
        st = store_next(w->s, &q, w->err);
    }
    *ret_more = q != NULL || n == ANSWERS_FORGET_ROWS;
    store_reset(&q);
    for (i = 0; st == ST_OK && i < n; i++)
        st = store_run(w->s, SQL_ANSWER_DROP, BINDS(B_I(ids[i])), w->err);
    return st;
}
