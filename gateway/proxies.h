/*
 * Who a client is behind a proxy that ends TLS: TRUSTED_PROXIES names the proxies, X-Forwarded-For the client. A header
 * from anybody else says nothing. Pure.
 */
#ifndef GATEWAY_PROXIES_H
#define GATEWAY_PROXIES_H

#include "proto/status.h"
#include "services/net.h"

#define PROXIES_MAX 64u

struct proxies {
    unsigned n;
    struct net nets[PROXIES_MAX];
};

/* text: addresses and networks (10.0.0.0/8, fd00::/8) with commas between them; NULL or empty = none. ST_BAD_REQUEST:
 * err names TRUSTED_PROXIES and what is wrong. */
enum status proxies_parse(struct proxies *ret, const char *text, struct err *err);

/* peer: of the connection. forwarded_for: the last X-Forwarded-For line, each proxy having added at its end whom it
 * heard (nginx's $proxy_add_x_forwarded_for, HAProxy's forwardfor); ports are left out. The nearest that is no trusted
 * proxy; where the line has no address, the one before. It lies in what was given. */
struct slice proxies_client(const struct proxies *p, struct slice peer, struct slice forwarded_for);

#endif
