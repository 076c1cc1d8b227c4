/* caller: who makes a request: whose access token came with a request, asked of authsvc. */
#ifndef GATEWAY_CALLER_H
#define GATEWAY_CALLER_H

#include "gateway/request.h"

#define CALLER_CHECK_MS 5000u

/* Fills r->user_id, role and session_id. ST_UNAUTHENTICATED without a good token, ST_FORBIDDEN when an administrator is
 * asked for. */
enum status caller_check_session(struct request *r, bool admin, struct err *err);

/* METRICS_TOKEN as bearer; without that setting a client on loopback that no proxy speaks for. */
bool caller_is_operator(const struct request *r);

#endif
