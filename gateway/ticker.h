/*
 * ticker: one thread that wakes once a second for what is due: comments on silent streams, voids to deliver again,
 * what was seen of attacks.
 */
#ifndef GATEWAY_TICKER_H
#define GATEWAY_TICKER_H

#include "gateway/gateway.h"

#define TICKER_MS 1000

enum status ticker_new(struct gateway *gw, void (*tick)(struct gateway *gw), struct ticker **ret, struct err *err);
void ticker_free(struct ticker *t); /* NULL is fine; tick is not called afterwards */

#endif
