#include "authsvc/tokens.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <jwt.h>
#include <sodium.h>

static enum status refused(const char *code, const char *why, struct err *err)
{
    return err_set_field(err, ST_UNAUTHENTICATED, code, NULL, "The access token is not valid: %s.", why);
}

static int add_claims(jwt_t *jwt, const struct token_claims *claims, uint64_t wall_s)
{
    return jwt_add_grant(jwt, "iss", TOKENS_ISSUER) || jwt_add_grant(jwt, "aud", TOKENS_AUDIENCE) ||
           jwt_add_grant(jwt, "typ", TOKENS_TYPE) || jwt_add_grant(jwt, "sub", claims->user_id) ||
           jwt_add_grant(jwt, "sid", claims->session_id) || jwt_add_grant_int(jwt, "iat", (long)wall_s) ||
           jwt_add_grant_int(jwt, "exp", (long)(wall_s + TOKENS_ACCESS_S));
}

enum status tokens_sign(const char *secret, const struct token_claims *claims, uint64_t wall_s, char **ret,
                        struct err *err)
{
    jwt_t *jwt = NULL;
    char *text = NULL;

    if (jwt_new(&jwt))
        return err_set(err, ST_NO_MEMORY, "no memory for a token");
    if (!add_claims(jwt, claims, wall_s) &&
        !jwt_set_alg(jwt, JWT_ALG_HS256, (const unsigned char *)secret, (int)strlen(secret)))
        text = jwt_encode_str(jwt);
    jwt_free(jwt);
    if (!text)
        return err_set(err, ST_NO_MEMORY, "no memory for a token");
    *ret = text;
    return ST_OK;
}

void tokens_free(char *token)
{
    free(token);
}

static bool is(jwt_t *jwt, const char *claim, const char *value)
{
    const char *got = jwt_get_grant(jwt, claim);

    return got && !strcmp(got, value);
}

/* A whole number above zero. libjwt gives 0 for another kind and -1 with ENOENT for none. */
static bool number(jwt_t *jwt, const char *claim, uint64_t *ret)
{
    long n;

    errno = 0;
    n = jwt_get_grant_int(jwt, claim);
    if (n <= 0)
        return false;
    *ret = (uint64_t)n;
    return true;
}

static bool absent(jwt_t *jwt, const char *claim)
{
    long n;

    errno = 0;
    n = jwt_get_grant_int(jwt, claim);
    return n <= 0 && errno == ENOENT;
}

static bool copy_id(jwt_t *jwt, const char *claim, char to[LIMIT_ID_TEXT + 1])
{
    const char *got = jwt_get_grant(jwt, claim);

    return got && *got && slice_copy(slice_of(got), to, LIMIT_ID_TEXT + 1);
}

static enum status check_claims(jwt_t *jwt, uint64_t wall_s, struct token_claims *ret, struct err *err)
{
    uint64_t exp = 0, iat = 0, nbf = 0;

    if (jwt_get_alg(jwt) != JWT_ALG_HS256)
        return refused("invalid_token", "its algorithm is not the one used here", err);
    if (!is(jwt, "iss", TOKENS_ISSUER) || !is(jwt, "aud", TOKENS_AUDIENCE) || !is(jwt, "typ", TOKENS_TYPE))
        return refused("invalid_token", "it was not made for this use", err);
    if (!number(jwt, "exp", &exp) || !number(jwt, "iat", &iat) || exp > iat + TOKENS_ACCESS_S || iat > exp)
        return refused("invalid_token", "its times are wrong", err);
    if (!absent(jwt, "nbf") && (!number(jwt, "nbf", &nbf) || nbf > wall_s))
        return refused("invalid_token", "it does not hold yet", err);
    if (exp <= wall_s)
        return refused("token_expired", "it has expired", err);
    /* a clock that was set back gives nobody a longer session */
    if (exp - wall_s > TOKENS_ACCESS_S)
        return refused("invalid_token", "its times are wrong", err);
    if (!copy_id(jwt, "sub", ret->user_id) || !copy_id(jwt, "sid", ret->session_id))
        return refused("invalid_token", "it names nobody", err);
    return ST_OK;
}

enum status tokens_verify(const char *secret, struct slice token, uint64_t wall_s, struct token_claims *ret,
                          struct err *err)
{
    char text[TOKENS_ACCESS_MAX + 1];
    size_t n = secret ? strlen(secret) : 0, prefix = sizeof(TOKENS_KEY_PREFIX) - 1;
    struct token_claims claims;
    jwt_t *jwt = NULL;
    enum status st;

    /* without a key libjwt takes unsigned tokens */
    if (n < TOKENS_SECRET_MIN)
        return err_set(err, ST_INTERNAL, "JWT_SECRET is not set");
    if (token.n >= prefix && memcmp(token.p, TOKENS_KEY_PREFIX, prefix) == 0)
        return refused("invalid_token", "it is an API key, and this route wants the access token of POST /auth/login",
                       err);
    if (token.n == 0 || !slice_copy(token, text, sizeof(text)))
        return refused("invalid_token", "it is not one of ours", err);
    if (jwt_decode(&jwt, text, (const unsigned char *)secret, (int)n) || !jwt)
        return refused("invalid_token", "its signature is wrong", err);
    st = check_claims(jwt, wall_s, &claims, err);
    jwt_free(jwt);
    if (st == ST_OK)
        *ret = claims;
    return st;
}

void tokens_random(char to[TOKENS_RANDOM_TEXT + 1])
{
    unsigned char bytes[TOKENS_RANDOM];

    randombytes_buf(bytes, sizeof(bytes));
    sodium_bin2base64(to, TOKENS_RANDOM_TEXT + 1, bytes, sizeof(bytes), sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    sodium_memzero(bytes, sizeof(bytes));
}

void tokens_key(char to[TOKENS_KEY_SIZE])
{
    size_t n = sizeof(TOKENS_KEY_PREFIX) - 1;

    memcpy(to, TOKENS_KEY_PREFIX, n);
    tokens_random(to + n);
}

void tokens_digest(struct slice token, unsigned char to[LIMIT_DIGEST])
{
    crypto_hash_sha256(to, (const unsigned char *)(token.p ? token.p : ""), token.n);
}
