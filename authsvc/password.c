#include "authsvc/password.h"

#include <string.h>

#include <sodium.h>

_Static_assert(PASSWORD_HASH_SIZE == crypto_pwhash_STRBYTES, "libsodium's own size");

/* Argon2id of random bytes that nobody kept, with the parameters of INTERACTIVE: verified for accounts that do not
 * exist. */
#define PASSWORD_NOBODY                                                                                                \
    "$argon2id$v=19$m=65536,t=2,p=1$1zDk3C1mY4n7Yk0r2o3m9A$Vq3m6m3h2tq0ZpJmJ8mVbWk6r7y0r1s2uX0m1b3c4d4"

static enum status bad_email(struct err *err)
{
    return err_set_field(err, ST_BAD_REQUEST, "invalid_value", "email",
                         "Invalid 'email': expected an address like name@example.com.");
}

enum status password_email(struct slice email, char to[LIMIT_EMAIL + 1], struct err *err)
{
    size_t i, at = 0, ats = 0;

    if (email.n < 3 || email.n > LIMIT_EMAIL)
        return bad_email(err);
    for (i = 0; i < email.n; i++) {
        unsigned char c = (unsigned char)email.p[i];

        if (c <= ' ' || c >= 0x7f || strchr("<>()[],;:\\\"", c))
            return bad_email(err);
        if (c == '@') {
            at = i;
            ats++;
        }
        to[i] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    }
    to[email.n] = '\0';
    if (ats != 1 || at == 0 || at > 64 || at + 1 == email.n || to[at + 1] == '.' || to[email.n - 1] == '.')
        return bad_email(err);
    return ST_OK;
}

enum status password_rules(struct slice password, const char *field, struct err *err)
{
    if (password.n >= PASSWORD_MIN && password.n <= LIMIT_PASSWORD)
        return ST_OK;
    return err_set_field(err, ST_BAD_REQUEST, "invalid_value", field, "Invalid '%s': expected %u to %u bytes.", field,
                         PASSWORD_MIN, (unsigned)LIMIT_PASSWORD);
}

enum status password_hash(struct slice password, char to[PASSWORD_HASH_SIZE], struct err *err)
{
    if (crypto_pwhash_str(to, password.p, password.n, crypto_pwhash_OPSLIMIT_INTERACTIVE,
                          crypto_pwhash_MEMLIMIT_INTERACTIVE))
        return err_set(err, ST_NO_MEMORY, "no memory to hash a password");
    return ST_OK;
}

bool password_verify(struct slice hash, struct slice password)
{
    char text[PASSWORD_HASH_SIZE];
    bool nobody = hash.n == 0 || !slice_copy(hash, text, sizeof(text));
    int bad;

    memset(text + (nobody ? 0 : hash.n), 0, sizeof(text) - (nobody ? 0 : hash.n));
    if (nobody)
        slice_copy(slice_of(PASSWORD_NOBODY), text, sizeof(text));
    bad = crypto_pwhash_str_verify(text, password.p ? password.p : "", password.n);
    return !bad && !nobody;
}
