/*
 * asserted: what this gateway tells an authsvc that it has reached: the credit held for every call that it has admitted
 * and that has not ended. So an authsvc that was restarted spends none of it again.
 */
#ifndef GATEWAY_ASSERTED_H
#define GATEWAY_ASSERTED_H

#include "services/svc.h"

bool gateway_joined(struct svc *svc, enum svc_peer peer, struct xchg_join *to); /* for svc_def */

#endif
