/*
 * trust: with whom a service speaks on the bus. It holds the keys made of BUS_SECRET and hears of every peer that
 * is turned away, so that this is told once a minute for each peer and not at every attempt. One for each service,
 * shared by its sockets; any thread.
 *
 * inproc:// stays in the clear: who could read it is in the process, and has the secret as well.
 */
#ifndef SERVICES_BUS_TRUST_H
#define SERVICES_BUS_TRUST_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/status.h"
#include "services/bus/cipher.h"
#include "services/bus/frame.h"

#define TRUST_TELL_MS 60000u /* a peer that goes on trying is told of again after this */
#define TRUST_PEERS_MAX 32u /* so many peers are told of in that time */
#define TRUST_PEER_TEXT 128

struct trust;
struct trust_options {
    const char *secret; /* BUS_SECRET; NULL = everything is in the clear */
    uint64_t boot; /* random, of this start of the service: what it publishes names it */
    /* A peer was turned away, or turned us away. tell: it is time to say so. Optional; must not block. */
    void (*refused)(void *ctx, const char *peer, enum frame_refusal why, bool tell);
    void *ctx;
};

/* ST_BAD_REQUEST: the secret is too short. */
enum status trust_new(const struct trust_options *options, struct trust **ret, struct err *err);
void trust_free(struct trust *a); /* after all that use it */

/* For services/bus. a may be NULL: in the clear, nobody is told. */
const struct cipher *trust_cipher(const struct trust *a, const char *url); /* one address; NULL = in the clear */
uint64_t trust_boot(const struct trust *a);
void trust_refuse(struct trust *a, const char *peer, enum frame_refusal why);

const char *trust_word(enum frame_refusal why); /* for a metric: "secret" … */
const char *trust_advice(enum frame_refusal why); /* for an operator: what is wrong, and what to do */

#endif
