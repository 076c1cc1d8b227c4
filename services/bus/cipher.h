/*
 * cipher: the bus's own authenticated encryption, for a network that others can reach (BUS_SECRET). Keys, the handshake
 * of a connection, sealed batches and sealed feed messages, with libsodium alone; docs/architecture.md, "BUS_SECRET",
 * says what it protects against. Functions over bytes: it knows nothing of nng or of who may speak. A struct cipher is
 * read-only once made, so any thread may use it.
 *
 * Handshake: each side sends a fresh X25519 public key, the client's authenticated under the secret (BLAKE2b). Session
 * keys, one for each direction, are BLAKE2b of the shared point and both public keys under the secret: who has not the
 * secret cannot make them, and no two sessions have the same. The server proves itself with its first sealed batch, the
 * client with its first one after that. Batches are ChaCha20-Poly1305 (IETF) with the batch's number as the nonce.
 */
#ifndef SERVICES_BUS_CIPHER_H
#define SERVICES_BUS_CIPHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/status.h"
#include "services/bus/frame.h"

#define CIPHER_SECRETS_MAX 2u /* BUS_SECRET=new,old: the first is spoken, each is understood */
#define CIPHER_SECRET_MIN 32u /* characters of each */
#define CIPHER_KEY 32u
#define CIPHER_TAG 16u /* bytes after everything sealed */
#define CIPHER_PUBLIC 32u
#define CIPHER_MAC 32u
#define CIPHER_HELLO (CIPHER_PUBLIC + CIPHER_MAC) /* after the head of a client's hello, which has no frames */
#define CIPHER_FEED_NONCE 24u

enum cipher_topic { CIPHER_STATE, CIPHER_USAGE, CIPHER_TOPICS };

struct cipher_keys { /* of one secret; each has one use */
    unsigned char hello[CIPHER_KEY], session[CIPHER_KEY], feed[CIPHER_TOPICS][CIPHER_KEY];
};

struct cipher {
    unsigned n;
    struct cipher_keys keys[CIPHER_SECRETS_MAX];
};

struct cipher_pair { /* made for one connection */
    unsigned char secret[CIPHER_KEY], public[CIPHER_PUBLIC];
};

struct cipher_session {
    unsigned char to_server[CIPHER_KEY], to_client[CIPHER_KEY];
    unsigned char answer[CIPHER_PUBLIC]; /* the server's public key */
};

/* ST_BAD_REQUEST: not one or two secrets of CIPHER_SECRET_MIN characters or more. ST_INTERNAL: libsodium does not
 * start.
 */
enum status cipher_init(struct cipher *c, const char *secret, struct err *err);
void cipher_fini(struct cipher *c); /* wipes it */

/* The client begins: *ret is its key pair, `to` what follows the hello's head. */
void cipher_hello(const struct cipher *c, const unsigned char head[FRAME_BATCH_SIZE], struct cipher_pair *ret,
                  unsigned char to[CIPHER_HELLO]);
/* The server answers. false: it was made with another secret, or changed; *ret is not written. */
bool cipher_welcome(const struct cipher *c, const unsigned char head[FRAME_BATCH_SIZE],
                    const unsigned char hello[CIPHER_HELLO], struct cipher_session *ret);
/* The client has the server's public key. false: it is none. Whether it is the server's shows when its batch opens. */
bool cipher_agree(const struct cipher *c, const struct cipher_pair *mine, const unsigned char answer[CIPHER_PUBLIC],
                  struct cipher_session *ret);

/* In place: n bytes, bound to the head before them. A number is never used twice with one key. */
void cipher_seal(const unsigned char key[CIPHER_KEY], uint64_t number, const unsigned char head[FRAME_BATCH_SIZE],
                 unsigned char *bytes, size_t n, unsigned char tag[CIPHER_TAG]);
bool cipher_open(const unsigned char key[CIPHER_KEY], uint64_t number, const unsigned char head[FRAME_BATCH_SIZE],
                 unsigned char *bytes, size_t n, const unsigned char tag[CIPHER_TAG]);

/* ---- feed messages: head, sealed bytes, tag -------------------------------------------------------------------------
 */

#define CIPHER_FEED_MAGIC 0x3146524fu /* "ORF1" */
#define CIPHER_FEED_HEAD (4u + CIPHER_FEED_NONCE)
#define CIPHER_FEED_OVERHEAD (CIPHER_FEED_HEAD + CIPHER_TAG)

/* Who published it, and which of its messages it is: the nonce, so that no two messages have the same. */
struct cipher_place {
    uint64_t boot; /* of the service that publishes */
    uint64_t stream; /* random, of this publisher */
    uint64_t number; /* from 1 */
};

bool cipher_is_feed(const unsigned char *message, size_t n); /* does it look sealed? A plain one never does */
/* XChaCha20-Poly1305. `message`: room for the head, n bytes to seal, room for the tag. */
void cipher_feed_seal(const struct cipher *c, enum cipher_topic topic, const struct cipher_place *place,
                      unsigned char *message, size_t n);
/* n: of the whole message. false: it was not sealed with one of our secrets for this topic, or was changed; its bytes
 * are then of no use. */
bool cipher_feed_open(const struct cipher *c, enum cipher_topic topic, unsigned char *message, size_t n,
                      struct cipher_place *ret_place);

#endif
