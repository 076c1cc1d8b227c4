/* What admission.c, admit.c and asserted.c share. Nobody else includes this. Everything here runs under the admission's
 * lock. */
#ifndef AUTHSVC_ADMISSION_PRIVATE_H
#define AUTHSVC_ADMISSION_PRIVATE_H

#include "authsvc/admission.h"

struct caller {
    struct proj_key *key;
    struct proj_user *user;
    struct proj_plan *plan;
};

enum status admission_ready(const struct admission *a, struct err *err);
struct shown { /* by a client: its secret, and from where */
    struct slice digest, client_ip;
};
/* ST_UNAUTHENTICATED, ST_FORBIDDEN: this secret, from there, is none to make calls with; err says why. */
enum status admission_caller(const struct admission *a, const struct admission_env *env, const struct shown *shown,
                             struct caller *ret, struct err *err);
struct proj_key *admission_key_of(const struct admission *a, const struct hold *hold); /* NULL = not known */
void admission_release(struct admission *a, struct hold *hold); /* gives back what it takes, and frees it */
enum status admission_take_over(struct admission *a, uint64_t now_ms, const struct hold_state *told);
bool admission_by_counters(enum status st); /* a refusal that other counters might not have led to */
/* What a hold is answered with. */
enum status admission_answer(const struct hold *hold, const struct admission_env *env, struct admit_rep *rep);
/* For the headers; limits NULL = not wanted. */
void admission_limits(const struct bucket *requests, const struct bucket *tokens, uint64_t rpm, uint64_t tpm,
                      struct rate_limits *limits);
/* An id that was here before: true when that decides it. */
bool admission_seen(struct admission *a, const struct admission_env *env, const struct admit_req *req, struct err *err,
                    enum status *ret);
/* Takes what it needs; or, with t, only says what that would be. */
enum status admission_decide(struct admission *a, const struct admission_env *env, const struct admit_req *req,
                             struct taking *t, struct err *err);

#endif
