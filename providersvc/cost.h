/* What a call costs at its pinned price, to compare with its hold while it runs; the bill itself is meterd's. Pure. */
#ifndef PROVIDERSVC_COST_H
#define PROVIDERSVC_COST_H

#include "proto/messages.h"
#include "providersvc/chat.h"

void usage_put(const struct usage *usage, struct completion_rep *to); /* its token members */
int64_t cost_nano(const struct price *price, const struct usage *usage); /* beyond all bounds: MONEY_NANO_MAX */

#endif
