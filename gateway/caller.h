/* caller: who makes a request: whose access token came with a request, asked of authsvc. */
#ifndef GATEWAY_CALLER_H
#define GATEWAY_CALLER_H

#include "gateway/request.h"

#define CALLER_CHECK_MS 5000u

/* Fills r->user_id, role and session_id. ST_UNAUTHENTICATED without a good token, ST_FORBIDDEN when an administrator is
 * asked for. */
enum status caller_check_session(struct request *r, bool admin, struct err *err);

/* Is the request's API key one that may make calls? For request.vouch. ST_UNAUTHENTICATED, ST_FORBIDDEN: it is not, and
 * err says why. When authsvc cannot say it is ST_OK: admission, which waits for it, is asked anyway. */
enum status caller_check_key(struct request *r, struct err *err);

/* METRICS_TOKEN as bearer; without that setting a client on loopback that no proxy speaks for. */
bool caller_is_operator(const struct request *r);

#endif
