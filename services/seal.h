/*
 * seal: a secret that lies in a database can be read only by who has MASTER_KEY, and only in the row that it was made
 * for. XChaCha20-Poly1305 (libsodium, crypto_aead_xchacha20poly1305_ietf) under a key derived from MASTER_KEY by
 * BLAKE2b, with a random nonce for each record; the owner's name and the record's id are authenticated with it, so that
 * a sealed secret does not open in another row. No threads of its own: a seal_key is read-only once made.
 *
 * Sealed: one byte of version, 24 of nonce, the secret's bytes enciphered, 16 of tag.
 */
#ifndef SERVICES_SEAL_H
#define SERVICES_SEAL_H

#include "proto/limits.h"

#define SEAL_KEY_BYTES 32
#define SEAL_OVERHEAD 41 /* bytes that a sealed secret is longer than the secret */

struct seal_key {
    bool set; /* there is a MASTER_KEY */
    unsigned char bytes[SEAL_KEY_BYTES];
};

/* Whose secret it is: bound to it. */
struct seal_place {
    struct slice owner; /* name of the provider */
    struct slice id; /* ukey_… */
};

/* From MASTER_KEY; NULL = there is none, then nothing is sealed or opened. ST_INTERNAL when libsodium does not start.
 */
enum status seal_key_init(struct seal_key *key, const char *master, struct err *err);
void seal_key_fini(struct seal_key *key); /* wipes it */

/* Seals 1 to LIMIT_SECRET bytes into the arena. ST_UNAVAILABLE without a MASTER_KEY, ST_TOO_LARGE, ST_NO_MEMORY. */
enum status seal_close(const struct seal_key *key, const struct seal_place *place, struct slice secret, struct arena *a,
                       struct slice *ret, struct err *err);

/* Opens it into `to`; *ret points there. Wipe `to` (LIMIT_SECRET bytes) when done. ST_UNAVAILABLE without a MASTER_KEY,
 * ST_FORBIDDEN when it was sealed with another one or for another place, or was changed. */
enum status seal_open(const struct seal_key *key, const struct seal_place *place, struct slice sealed,
                      char to[LIMIT_SECRET], struct slice *ret, struct err *err);

#endif
