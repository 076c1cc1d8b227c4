#include "services/bus/cipher.h"

#include <sodium.h>
#include <string.h>

#define PERSONAL "router.bus.key.1" /* 16 bytes: a key for another use would have another */
#define CONTEXT "routrbus" /* crypto_kdf's own length */
#define MAGIC_BYTES 4u

_Static_assert(sizeof(PERSONAL) - 1 == crypto_generichash_blake2b_PERSONALBYTES, "BLAKE2b's own length");
_Static_assert(sizeof(CONTEXT) - 1 == crypto_kdf_CONTEXTBYTES, "the derivation's own length");
_Static_assert(CIPHER_KEY == crypto_aead_chacha20poly1305_ietf_KEYBYTES, "the cipher's own length");
_Static_assert(CIPHER_KEY == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "the cipher's own length");
_Static_assert(CIPHER_KEY == crypto_kdf_KEYBYTES, "the derivation's own length");
_Static_assert(CIPHER_KEY == crypto_scalarmult_SCALARBYTES && CIPHER_PUBLIC == crypto_scalarmult_BYTES, "X25519's");
_Static_assert(CIPHER_TAG == crypto_aead_chacha20poly1305_ietf_ABYTES, "the cipher's own length");
_Static_assert(CIPHER_TAG == crypto_aead_xchacha20poly1305_ietf_ABYTES, "the cipher's own length");
_Static_assert(CIPHER_FEED_NONCE == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "the cipher's own length");

/* Which key is which: a number that is used once is never used for something else. */
enum subkey { SUBKEY_HELLO = 1, SUBKEY_SESSION = 2, SUBKEY_FEED = 3 };

static void put64(unsigned char *p, uint64_t v)
{
    unsigned i;

    for (i = 0; i < 8; i++)
        p[i] = (unsigned char)(v >> (8 * i));
}

static uint64_t get64(const unsigned char *p)
{
    uint64_t v = 0;
    unsigned i;

    for (i = 0; i < 8; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

/* ---- keys
 * --------------------------------------------------------------------------------------------------------------- */

static void derive(struct cipher_keys *to, const char *secret, size_t n)
{
    static const unsigned char no_salt[crypto_generichash_blake2b_SALTBYTES] = {0};
    unsigned char master[CIPHER_KEY], personal[crypto_generichash_blake2b_PERSONALBYTES];
    unsigned t;

    memcpy(personal, PERSONAL, sizeof(personal));
    crypto_generichash_blake2b_salt_personal(master, sizeof(master), (const unsigned char *)secret, n, NULL, 0, no_salt,
                                             personal);
    crypto_kdf_derive_from_key(to->hello, CIPHER_KEY, SUBKEY_HELLO, CONTEXT, master);
    crypto_kdf_derive_from_key(to->session, CIPHER_KEY, SUBKEY_SESSION, CONTEXT, master);
    for (t = 0; t < CIPHER_TOPICS; t++)
        crypto_kdf_derive_from_key(to->feed[t], CIPHER_KEY, SUBKEY_FEED + t, CONTEXT, master);
    sodium_memzero(master, sizeof(master));
}

enum status cipher_init(struct cipher *c, const char *secret, struct err *err)
{
    memset(c, 0, sizeof(*c));
    if (sodium_init() < 0)
        return err_set(err, ST_INTERNAL, "libsodium could not be started");
    for (;;) {
        size_t n = strcspn(secret, ",");

        if (n < CIPHER_SECRET_MIN || c->n == CIPHER_SECRETS_MAX) {
            cipher_fini(c);
            return err_set(err, ST_BAD_REQUEST,
                           "BUS_SECRET: expected one secret of %u characters or more, or two with a comma: the new one "
                           "and the old one",
                           CIPHER_SECRET_MIN);
        }
        derive(&c->keys[c->n++], secret, n);
        if (!secret[n])
            return ST_OK;
        secret += n + 1;
    }
}

void cipher_fini(struct cipher *c)
{
    sodium_memzero(c, sizeof(*c));
}

/* ---- the handshake
 * ------------------------------------------------------------------------------------------------------ */

static void pair_new(struct cipher_pair *p)
{
    randombytes_buf(p->secret, sizeof(p->secret));
    crypto_scalarmult_base(p->public, p->secret);
}

static void hello_mac(const struct cipher_keys *k, const unsigned char head[FRAME_BATCH_SIZE],
                      const unsigned char public[CIPHER_PUBLIC], unsigned char to[CIPHER_MAC])
{
    crypto_generichash_state h;

    crypto_generichash_init(&h, k->hello, CIPHER_KEY, CIPHER_MAC);
    crypto_generichash_update(&h, head, FRAME_BATCH_SIZE);
    crypto_generichash_update(&h, public, CIPHER_PUBLIC);
    crypto_generichash_final(&h, to, CIPHER_MAC);
}

void cipher_hello(const struct cipher *c, const unsigned char head[FRAME_BATCH_SIZE], struct cipher_pair *ret,
                  unsigned char to[CIPHER_HELLO])
{
    pair_new(ret);
    memcpy(to, ret->public, CIPHER_PUBLIC);
    hello_mac(&c->keys[0], head, ret->public, to + CIPHER_PUBLIC);
}

/* false: the other's key is none (a point of small order), so that what is shared would be known to all. */
static bool session_keys(const struct cipher_keys *k, const unsigned char shared_by[2][CIPHER_PUBLIC],
                         const unsigned char secret[CIPHER_KEY], const unsigned char theirs[CIPHER_PUBLIC],
                         struct cipher_session *ret)
{
    unsigned char shared[crypto_scalarmult_BYTES], both[2 * CIPHER_KEY];
    crypto_generichash_state h;

    if (crypto_scalarmult(shared, secret, theirs) != 0)
        return false;
    crypto_generichash_init(&h, k->session, CIPHER_KEY, sizeof(both));
    crypto_generichash_update(&h, shared, sizeof(shared));
    crypto_generichash_update(&h, shared_by[0], CIPHER_PUBLIC);
    crypto_generichash_update(&h, shared_by[1], CIPHER_PUBLIC);
    crypto_generichash_final(&h, both, sizeof(both));
    memcpy(ret->to_server, both, CIPHER_KEY);
    memcpy(ret->to_client, both + CIPHER_KEY, CIPHER_KEY);
    memcpy(ret->answer, shared_by[1], CIPHER_PUBLIC);
    sodium_memzero(shared, sizeof(shared));
    sodium_memzero(both, sizeof(both));
    return true;
}

bool cipher_welcome(const struct cipher *c, const unsigned char head[FRAME_BATCH_SIZE],
                    const unsigned char hello[CIPHER_HELLO], struct cipher_session *ret)
{
    unsigned char mac[CIPHER_MAC], publics[2][CIPHER_PUBLIC];
    struct cipher_pair mine;
    bool fine = false;
    unsigned i;

    for (i = 0; i < c->n && !fine; i++) {
        hello_mac(&c->keys[i], head, hello, mac);
        fine = sodium_memcmp(mac, hello + CIPHER_PUBLIC, CIPHER_MAC) == 0;
    }
    if (!fine)
        return false;
    pair_new(&mine);
    memcpy(publics[0], hello, CIPHER_PUBLIC);
    memcpy(publics[1], mine.public, CIPHER_PUBLIC);
    fine = session_keys(&c->keys[i - 1], (const unsigned char(*)[CIPHER_PUBLIC])publics, mine.secret, hello, ret);
    sodium_memzero(&mine, sizeof(mine));
    return fine;
}

bool cipher_agree(const struct cipher *c, const struct cipher_pair *mine, const unsigned char answer[CIPHER_PUBLIC],
                  struct cipher_session *ret)
{
    unsigned char publics[2][CIPHER_PUBLIC];

    memcpy(publics[0], mine->public, CIPHER_PUBLIC);
    memcpy(publics[1], answer, CIPHER_PUBLIC);
    return session_keys(&c->keys[0], (const unsigned char(*)[CIPHER_PUBLIC])publics, mine->secret, answer, ret);
}

/* ---- batches
 * ------------------------------------------------------------------------------------------------------------ */

static void nonce_of(uint64_t number, unsigned char to[crypto_aead_chacha20poly1305_ietf_NPUBBYTES])
{
    memset(to, 0, crypto_aead_chacha20poly1305_ietf_NPUBBYTES);
    put64(to + crypto_aead_chacha20poly1305_ietf_NPUBBYTES - 8, number);
}

void cipher_seal(const unsigned char key[CIPHER_KEY], uint64_t number, const unsigned char head[FRAME_BATCH_SIZE],
                 unsigned char *bytes, size_t n, unsigned char tag[CIPHER_TAG])
{
    unsigned char nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];

    nonce_of(number, nonce);
    crypto_aead_chacha20poly1305_ietf_encrypt_detached(bytes, tag, NULL, bytes, n, head, FRAME_BATCH_SIZE, NULL, nonce,
                                                       key);
}

bool cipher_open(const unsigned char key[CIPHER_KEY], uint64_t number, const unsigned char head[FRAME_BATCH_SIZE],
                 unsigned char *bytes, size_t n, const unsigned char tag[CIPHER_TAG])
{
    unsigned char nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];

    nonce_of(number, nonce);
    return crypto_aead_chacha20poly1305_ietf_decrypt_detached(bytes, NULL, bytes, n, tag, head, FRAME_BATCH_SIZE, nonce,
                                                              key) == 0;
}

/* ---- feed messages
 * ------------------------------------------------------------------------------------------------------ */

static const unsigned char feed_magic[MAGIC_BYTES] = {CIPHER_FEED_MAGIC & 0xff, CIPHER_FEED_MAGIC >> 8 & 0xff,
                                                      CIPHER_FEED_MAGIC >> 16 & 0xff, CIPHER_FEED_MAGIC >> 24};

bool cipher_is_feed(const unsigned char *message, size_t n)
{
    return n >= MAGIC_BYTES && memcmp(message, feed_magic, MAGIC_BYTES) == 0;
}

void cipher_feed_seal(const struct cipher *c, enum cipher_topic topic, const struct cipher_place *place,
                      unsigned char *message, size_t n)
{
    unsigned char *nonce = message + MAGIC_BYTES, *bytes = message + CIPHER_FEED_HEAD;

    memcpy(message, feed_magic, MAGIC_BYTES);
    put64(nonce, place->boot);
    put64(nonce + 8, place->stream);
    put64(nonce + 16, place->number);
    crypto_aead_xchacha20poly1305_ietf_encrypt_detached(bytes, bytes + n, NULL, bytes, n, feed_magic, MAGIC_BYTES, NULL,
                                                        nonce, c->keys[0].feed[topic]);
}

/* to: NULL only looks whether it would open. */
static bool feed_decrypt(const struct cipher_keys *k, enum cipher_topic topic, unsigned char *to,
                         const unsigned char *message, size_t n)
{
    const unsigned char *bytes = message + CIPHER_FEED_HEAD;

    return crypto_aead_xchacha20poly1305_ietf_decrypt_detached(to, NULL, bytes, n, bytes + n, message, MAGIC_BYTES,
                                                               message + MAGIC_BYTES, k->feed[topic]) == 0;
}

bool cipher_feed_open(const struct cipher *c, enum cipher_topic topic, unsigned char *message, size_t n,
                      struct cipher_place *ret_place)
{
    unsigned char *nonce = message + MAGIC_BYTES, *bytes = message + CIPHER_FEED_HEAD;
    unsigned i;

    if (n < CIPHER_FEED_OVERHEAD || !cipher_is_feed(message, n))
        return false;
    n -= CIPHER_FEED_OVERHEAD;
    *ret_place = (struct cipher_place){.boot = get64(nonce), .stream = get64(nonce + 8), .number = get64(nonce + 16)};
    for (i = 0; i < c->n;
         i++) /* bytes that do not open are wiped, so as long as there is a further secret: look first */
        if ((i + 1 == c->n || feed_decrypt(&c->keys[i], topic, NULL, message, n)) &&
            feed_decrypt(&c->keys[i], topic, bytes, message, n))
            return true;
    return false;
}
