/*
 * shared: limits, places and holds where several authsvc see them: in Redis, which decides with one script
 * (authsvc/shared.lua) whether what a call takes fits, and takes it in the same step. So the sum over all replicas is
 * exact, and what one of them took outlives it.
 *
 * A Redis that restarted is another one: its keys begin with its run_id, so what an older one kept is never believed.
 * It is empty, and knows no hold. Whoever reaches it tells it of all the holds that it knows; until everybody had the
 * time to do so it admits nothing (SHARED_FILLING). The same when it was emptied.
 *
 * What only tells (settled, done, ...) is never lost: while Redis is away it waits here, bounded, and goes first. Each
 * may come twice, or from each of several authsvc. Any thread; nothing here blocks.
 */
#ifndef AUTHSVC_SHARED_H
#define AUTHSVC_SHARED_H

#include "authsvc/admission.h"
#include "services/metrics.h"

#define SHARED_FILL_MS 1500u /* who lost the connection tries again within a second */
#define SHARED_LATE_MAX 65536u /* told while Redis is away; what is more has to expire */
#define SHARED_EXPIRE_MAX 100u /* holds ended in one step */

struct shared;

enum shared_state {
    SHARED_AWAY, /* no connection */
    SHARED_FILLING, /* the holds are being told */
    SHARED_ON,
};

enum shared_answer { SHARED_FITS, SHARED_SHORT, SHARED_EMPTY, SHARED_OVER, SHARED_OTHERS }; /* as in the script */

struct shared_options {
    const char *url; /* checked by redis_url_check */
    const struct log *log;
    struct metrics *metrics;
    struct admission *admission; /* whose holds are told */
    void (*changed)(void *ctx, enum shared_state state); /* one at a time */
    void *ctx;
};

enum status shared_new(const struct shared_options *options, struct shared **ret, struct err *err);
void shared_close(struct shared *s); /* all that waits is ended; harmless twice and on NULL */
void shared_free(struct shared *s); /* NULL is fine */
enum shared_state shared_state(struct shared *s);
void shared_missed(struct shared *s); /* somebody needed it and could not have it: counted */
void shared_tick(struct shared *s, uint64_t now_ms); /* ten times a second or more */

/* Questions. ST_OK: done will be called once, maybe at once, on the thread of Redis; else it is not called. st of done:
 * ST_OK, or ST_UNAVAILABLE (it was not done), ST_TIMEOUT (maybe it was). SHARED_EMPTY: it has to be filled first. */
typedef void shared_admitted(void *ctx, enum status st, enum shared_answer answer, const struct counters *c);
enum status shared_admit(struct shared *s, const struct taking *t, bool take, uint64_t wall_s, shared_admitted *done,
                         void *ctx);
typedef void shared_amount(void *ctx, enum status st, enum shared_answer answer, int64_t nano);
enum status shared_extend(struct shared *s, const struct hold_extend_req *req, uint64_t wall_s, shared_amount *done,
                          void *ctx);
enum status shared_held(struct shared *s, struct slice user_id, shared_amount *done, void *ctx);
typedef void shared_listed(void *ctx, enum status st, const struct holds_list_rep *rep); /* rep: during the call */
enum status shared_list(struct shared *s, const struct holds_list_req *req, shared_listed *done, void *ctx);
/* Ends holds whose lease is over. done for each of them: routes has one of model, provider, price id. */
struct shared_lapsed {
    struct slice request_id, user_id, key_id, endpoint, model, provider;
    int64_t amount_nano;
    uint64_t age_ms, price_id;
};
typedef void shared_expired(void *ctx, const struct shared_lapsed *lapsed);
void shared_expire(struct shared *s, shared_expired *done, void *ctx);

/* What is told. */
void shared_settled(struct shared *s, const struct settled *settled, struct slice key_id, uint64_t revision);
void shared_credited(struct shared *s, const struct user *user, uint64_t revision);
void shared_done(struct shared *s, struct slice request_id);
void shared_undo(struct shared *s, struct slice request_id); /* taken, but not answered */
void shared_assert(struct shared *s, const struct hold_state *told, uint64_t lease_ms, bool place);

#endif
