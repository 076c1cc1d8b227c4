/*
 * net: addresses and ranges of addresses, IPv4 and IPv6, as bytes. An IPv4 address is the IPv6 address ::ffff:a.b.c.d
 * (RFC 4291, section 2.5.5.2), whichever way it was written. No names are looked up. Pure.
 */
#ifndef SERVICES_NET_H
#define SERVICES_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/wire.h"

#define NET_ADDRESS 16 /* bytes */
#define NET_TEXT_MAX 64 /* of a range, its NUL included: INET6_ADDRSTRLEN and "/128" fit */

struct net {
    uint8_t address[NET_ADDRESS];
    uint8_t bits; /* of the address that count: 0 to 128; of an IPv4 range 96 and more */
};

bool net_address(struct slice text, uint8_t to[NET_ADDRESS]); /* 192.0.2.1, 2001:db8::1; no zone, no port */
/* An address, or a range such as 10.0.0.0/8 or fd00::/8. Bits behind its length do not count. */
bool net_read(struct slice text, struct net *ret);
/* The one way to write a range: bits that do not count are zero, an IPv4 one is dotted, no length where all count. */
void net_write(const struct net *net, char to[NET_TEXT_MAX]);
/* Is the address in the range? An IPv6 range holds no IPv4 addresses, even ::/0: those are 0.0.0.0/0. */
bool net_has(const struct net *net, const uint8_t address[NET_ADDRESS]);
/* Is the address, as text, in one of the ranges? What cannot be read is in none, and holds none. */
bool net_listed(struct wire_strs ranges, struct slice address);

#endif
