/*
 * Session tokens. Access: a JWT, HS256, good for ACCESS_S seconds, checked without asking anybody. Refresh: 32 random
 * bytes, only their SHA-256 is ever stored. API keys are made here too. Knows nothing of users beyond an id.
 *
 * libjwt takes the algorithm from the token and never looks at its times, so both are checked here: the algorithm is
 * exactly HS256, exp, iat and nbf are integers of ours, iss, aud and typ are exactly ours. Any thread.
 */
#ifndef AUTHSVC_TOKENS_H
#define AUTHSVC_TOKENS_H

#include "proto/limits.h"
#include "proto/status.h"
#include "proto/wire.h"

#define TOKENS_ACCESS_S UINT64_C(900)
#define TOKENS_REFRESH_S (UINT64_C(30) * 24 * 3600)
#define TOKENS_ISSUER "openai-router"
#define TOKENS_AUDIENCE "openai-router"
#define TOKENS_TYPE "access"
#define TOKENS_SECRET_MIN 32u
#define TOKENS_ACCESS_MAX 2048u /* bytes of a token that we look at: ours have some 350 */
#define TOKENS_RANDOM 32u
#define TOKENS_RANDOM_TEXT 43u /* base64url of TOKENS_RANDOM bytes without padding */
#define TOKENS_KEY_PREFIX "sk-or-"
#define TOKENS_KEY_SHOWN 12u /* characters of a key that lists show */
#define TOKENS_KEY_SIZE (sizeof(TOKENS_KEY_PREFIX) + TOKENS_RANDOM_TEXT)

struct token_claims {
    char user_id[LIMIT_ID_TEXT + 1];
    char session_id[LIMIT_ID_TEXT + 1];
};

/* *ret is malloc'd text: tokens_free. */
enum status tokens_sign(const char *secret, const struct token_claims *claims, uint64_t wall_s, char **ret,
                        struct err *err);
/* ST_UNAUTHENTICATED, code invalid_token or token_expired. */
enum status tokens_verify(const char *secret, struct slice token, uint64_t wall_s, struct token_claims *ret,
                          struct err *err);
void tokens_free(char *token);

void tokens_random(char to[TOKENS_RANDOM_TEXT + 1]); /* a refresh token */
void tokens_key(char to[TOKENS_KEY_SIZE]); /* an API key */
void tokens_digest(struct slice token, unsigned char to[LIMIT_DIGEST]);

#endif
