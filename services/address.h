/*
 * Which addresses the name of an upstream, or of a receiver of alerts, may lead to. An address is judged when the
 * connection is made, not when the name is looked up, so that no second answer of the DNS can lead inside. Pure.
 */
#ifndef SERVICES_ADDRESS_H
#define SERVICES_ADDRESS_H

#include <stdbool.h>

#include "proto/wire.h"

struct sockaddr;

enum address_reach {
    ADDRESS_PUBLIC, /* anybody may be sent there */
    ADDRESS_PRIVATE, /* this machine and networks of one's own: only for a base URL that names such a place itself */
    ADDRESS_NEVER, /* link-local (cloud metadata), multicast, unspecified, reserved: only when named literally */
};

enum address_reach address_reach(const struct sockaddr *address);

/* What a base URL's host asks for. A literal address: its own reach. localhost, names without a dot and those of local
 * domains
 * (.localhost, .local, .internal, .home.arpa) can only mean a place of one's own: ADDRESS_PRIVATE. Else ADDRESS_PUBLIC.
 */
enum address_reach address_host_reach(struct slice host);

#endif
