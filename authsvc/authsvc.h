/*
 * authsvc: who may make a call and who pays for it. It owns admission (keys, limits, credit holds), passwords and
 * tokens; it keeps nothing on disk. What it knows comes from meterd's state feed, what it changes goes to meterd as
 * calls.
 *
 * Threads: bus threads run the handlers, which never block; one worker hashes passwords; one ticker ends what nobody
 * ended. Without meterd, calls go on from what is known; sign-ins fail.
 */
#ifndef AUTHSVC_AUTHSVC_H
#define AUTHSVC_AUTHSVC_H

#include <stdatomic.h>

#include "authsvc/admission.h"
#include "authsvc/ended.h"
#include "authsvc/recent.h"
#include "authsvc/shared.h"
#include "authsvc/sync.h"
#include "authsvc/throttle.h"
#include "authsvc/window.h"
#include "authsvc/worker.h"
#include "services/sightings.h"
#include "services/svc.h"

#define AUTHSVC_METERD_MS 5000u /* a question to meterd */
#define AUTHSVC_OUTCOMES 10

enum login_outcome { LOGIN_OK, LOGIN_REFUSED, LOGIN_THROTTLED, LOGIN_OUTCOMES };

struct authsvc {
    struct svc *svc;
    struct admission admission;
    struct window window;
    struct recent recent;
    struct shared *shared; /* NULL = this authsvc is the only one */
    struct window filling; /* admissions wait here while it is filled */
    bool alone_when_away; /* without it we go on by ourselves */
    struct throttle throttle;
    struct ended ended;
    _Atomic uint64_t current_ms; /* when the state that is followed last was all there is; 0 = never */
    struct sync sync;
    struct worker *worker;
    struct sightings *sightings;
    struct voids *lapsed; /* holds that nobody settled: meterd makes their rows */
    struct arena scratch; /* of the feed's thread */
    bool signup_open;
    bool signup_invite; /* with a code only */
    int64_t signup_credit_nano;
    atomic_bool stopped; /* the bus is gone: calls still open are not to be touched */

    pthread_t ticker;
    pthread_mutex_t tick_lock;
    pthread_cond_t tick;
    bool tick_running, tick_stop;

    struct metric *admissions[AUTHSVC_OUTCOMES], *admit_seconds;
    struct metric *holds_open, *hold_oldest, *holds_expired, *holds_asserted, *held_nano, *lapsed_waiting;
    struct metric *logins[LOGIN_OUTCOMES];
};

struct authsvc *authsvc_of(struct svc_call *call);
void authsvc_finish(struct svc_call *call, enum status st); /* svc_finish, unless the bus is gone */
/* A security event (services/sightings.h). */
void authsvc_saw(struct svc_call *call, enum security_kind kind, struct slice subject, struct slice client_ip);

/* A question to meterd whose answer ends the call. */
struct authsvc_ask {
    const struct wire_desc *req, *rep;
    const void *in;
    /* Fills svc_out(call) from the reply (a struct of rep) and says how the call ends. NULL in `reply`: st failed; may
     * change it. */
    enum status (*done)(struct svc_call *call, enum status st, const void *reply, void *ctx);
    void *ctx;
};
enum status authsvc_ask(struct svc_call *call, const struct authsvc_ask *ask); /* ST_PENDING or a failure */

/* accounts.c, sessions.c, keys.c, credits.c, held.c: a handler for each request. */
svc_handler authsvc_register, authsvc_login, authsvc_admin_user_create;
svc_handler authsvc_password_change, authsvc_admin_password;
svc_handler authsvc_refresh, authsvc_logout, authsvc_session_check;
svc_handler authsvc_key_create, authsvc_key_update, authsvc_key_rotate;
svc_handler authsvc_credits;
svc_handler authsvc_holds_assert, authsvc_hold_extend, authsvc_holds_list;
void authsvc_hold_lapsed(void *ctx, const struct hold *hold, uint64_t now_ms); /* see admission.h */

/* sharing.c: for several authsvc */
enum sharing {
    SHARING_NOT, /* we are alone, or go on as if we were */
    SHARING_ON,
    SHARING_SOON, /* holds are being told: to be parked */
    SHARING_AWAY, /* to be refused */
};
enum sharing authsvc_sharing(struct authsvc *self);
enum status authsvc_share(struct authsvc *self, const char *url, struct err *err);
const char *authsvc_sharing_text(struct authsvc *self);
enum status authsvc_away(struct svc_call *call); /* ST_UNAVAILABLE, with its words */
enum status authsvc_admit_shared(struct svc_call *call, const struct admit_req *req, uint64_t began_ns);
enum status authsvc_extend_shared(struct svc_call *call, const struct hold_extend_req *req);
enum status authsvc_held_shared(struct svc_call *call, struct slice user_id); /* into its credits_rep */
enum status authsvc_holds_shared(struct svc_call *call, const struct holds_list_req *req);
void authsvc_expire_shared(struct authsvc *self);
/* authsvc.c and held.c, for it */
enum status authsvc_decide(struct svc_call *call, const struct admit_req *req,
                           uint64_t began_ns); /* the way it goes now */
void authsvc_admitted(struct svc_call *call, enum status st, uint64_t began_ns); /* ends a call that was pending */
void authsvc_note_suspect(struct svc_call *call, const struct suspect_key *key, const struct admit_req *req);
void authsvc_lapsed(struct authsvc *self, const struct shared_lapsed *l);

/* sessions.c: tokens for a user, into rep. */
struct token_pair {
    char session_id[65], refresh[64];
    unsigned char digest[LIMIT_DIGEST];
    uint64_t refresh_expires_at;
};
void authsvc_token_pair(struct token_pair *pair, bool with_session_id);
enum status authsvc_answer_tokens(struct svc_call *call, const struct user *user, const struct token_pair *pair,
                                  struct session_rep *rep);

#endif
