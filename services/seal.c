#include "services/seal.h"

#include <sodium.h>
#include <string.h>

#include "services/arena.h"

#define VERSION 1
#define NONCE_BYTES crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_BYTES crypto_aead_xchacha20poly1305_ietf_ABYTES
#define PERSONAL "router.upstream." /* 16 bytes: a key for another use would have another */
#define PLACE_MAX (LIMIT_NAME + 1 + LIMIT_ID_TEXT)

_Static_assert(1 + NONCE_BYTES + TAG_BYTES == SEAL_OVERHEAD, "the header says how long a sealed secret is");
_Static_assert(LIMIT_SECRET + SEAL_OVERHEAD <= LIMIT_SEALED, "a sealed secret fits its field");
_Static_assert(sizeof(PERSONAL) - 1 == crypto_generichash_blake2b_PERSONALBYTES, "BLAKE2b's own length");
_Static_assert(SEAL_KEY_BYTES == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "the cipher's own length");

enum status seal_key_init(struct seal_key *key, const char *master, struct err *err)
{
    static const unsigned char no_salt[crypto_generichash_blake2b_SALTBYTES] = {0};
    unsigned char personal[crypto_generichash_blake2b_PERSONALBYTES];

    memset(key, 0, sizeof(*key));
    if (!master)
        return ST_OK;
    memcpy(personal, PERSONAL, sizeof(personal));
    if (sodium_init() < 0 ||
        crypto_generichash_blake2b_salt_personal(key->bytes, sizeof(key->bytes), (const unsigned char *)master,
                                                 strlen(master), NULL, 0, no_salt, personal) != 0)
        return err_set(err, ST_INTERNAL, "libsodium could not be started");
    key->set = true;
    return ST_OK;
}

void seal_key_fini(struct seal_key *key)
{
    sodium_memzero(key, sizeof(*key));
}

static enum status no_key(struct err *err)
{
    return err_set(err, ST_UNAVAILABLE, "MASTER_KEY is not set: secrets cannot be sealed or opened");
}

/* owner NUL id: names have no NUL, so no two places look the same. */
static enum status place_bytes(const struct seal_place *place, unsigned char to[PLACE_MAX], size_t *ret_n,
                               struct err *err)
{
    if (place->owner.n == 0 || place->owner.n > LIMIT_NAME || place->id.n == 0 || place->id.n > LIMIT_ID_TEXT)
        return err_set(err, ST_INTERNAL, "a secret is sealed for a name and an id");
    memcpy(to, place->owner.p, place->owner.n);
    to[place->owner.n] = '\0';
    memcpy(to + place->owner.n + 1, place->id.p, place->id.n);
    *ret_n = place->owner.n + 1 + place->id.n;
    return ST_OK;
}

enum status seal_close(const struct seal_key *key, const struct seal_place *place, struct slice secret, struct arena *a,
                       struct slice *ret, struct err *err)
{
    unsigned char bound[PLACE_MAX];
    unsigned char *sealed;
    size_t bound_n = 0;
    enum status st;

    if (!key->set)
        return no_key(err);
    if (secret.n == 0 || secret.n > LIMIT_SECRET)
        return err_set(err, ST_TOO_LARGE, "a secret has 1 to %d bytes", LIMIT_SECRET);
    st = place_bytes(place, bound, &bound_n, err);
    if (st != ST_OK)
        return st;
    sealed = arena_alloc(a, secret.n + SEAL_OVERHEAD);
    if (!sealed)
        return err_set(err, ST_NO_MEMORY, "no memory to seal a secret");
    sealed[0] = VERSION;
    randombytes_buf(sealed + 1, NONCE_BYTES);
    crypto_aead_xchacha20poly1305_ietf_encrypt(sealed + 1 + NONCE_BYTES, NULL, (const unsigned char *)secret.p,
                                               secret.n, bound, bound_n, NULL, sealed + 1, key->bytes);
    *ret = (struct slice){(const char *)sealed, secret.n + SEAL_OVERHEAD};
    return ST_OK;
}

enum status seal_open(const struct seal_key *key, const struct seal_place *place, struct slice sealed,
                      char to[LIMIT_SECRET], struct slice *ret, struct err *err)
{
    const unsigned char *p = (const unsigned char *)sealed.p;
    unsigned char bound[PLACE_MAX];
    unsigned long long n = 0;
    size_t bound_n = 0;
    enum status st;

    if (!key->set)
        return no_key(err);
    st = place_bytes(place, bound, &bound_n, err);
    if (st != ST_OK)
        return st;
    if (sealed.n <= SEAL_OVERHEAD || sealed.n > LIMIT_SECRET + SEAL_OVERHEAD || p[0] != VERSION ||
        crypto_aead_xchacha20poly1305_ietf_decrypt((unsigned char *)to, &n, NULL, p + 1 + NONCE_BYTES,
                                                   sealed.n - 1 - NONCE_BYTES, bound, bound_n, p + 1, key->bytes) != 0)
        return err_set(err, ST_FORBIDDEN,
                       "the secret does not open: it was sealed with another MASTER_KEY, or changed");
    *ret = (struct slice){to, (size_t)n};
    return ST_OK;
}
