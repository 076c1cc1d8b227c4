/* Access tokens: ours pass, and nothing that resembles them does. Bad ones are signed with the right key where that is
 * the point. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jwt.h>
#include <sodium.h>

#include "authsvc/ended.h"
#include "authsvc/tokens.h"

#define SECRET "0123456789abcdef0123456789abcdef"
#define NOW UINT64_C(1800000000)
#define TOKEN_MAX 4096
#define HS256 "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define GOOD_BUT_TIMES                                                                                                 \
    "\"iss\":\"openai-router\",\"aud\":\"openai-router\",\"typ\":\"access\",\"sub\":\"usr_1\",\"sid\":\"ses_1\""

static void add_base64(char *to, const void *bytes, size_t n)
{
    size_t at = strlen(to);

    sodium_bin2base64(to + at, TOKEN_MAX - at, bytes, n, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

/* header.claims.signature with HMAC-SHA-256 of any key, made without libjwt. */
static void forge(char to[TOKEN_MAX], const char *header, const char *claims, const char *key)
{
    unsigned char mac[crypto_auth_hmacsha256_BYTES];
    crypto_auth_hmacsha256_state s;

    to[0] = '\0';
    add_base64(to, header, strlen(header));
    to[strlen(to) + 1] = '\0';
    to[strlen(to)] = '.';
    add_base64(to, claims, strlen(claims));
    crypto_auth_hmacsha256_init(&s, (const unsigned char *)key, strlen(key));
    crypto_auth_hmacsha256_update(&s, (const unsigned char *)to, strlen(to));
    crypto_auth_hmacsha256_final(&s, mac);
    to[strlen(to) + 1] = '\0';
    to[strlen(to)] = '.';
    add_base64(to, mac, sizeof(mac));
}

static enum status verify(const char *token, uint64_t now, struct err *err)
{
    struct token_claims claims;

    return tokens_verify(SECRET, slice_of(token), now, &claims, err);
}

static char *good(void)
{
    struct token_claims claims = {"usr_1", "ses_1"};
    char *token = NULL;

    assert_int_equal(tokens_sign(SECRET, &claims, NOW, &token, NULL), ST_OK);
    return token;
}

static void ours_pass_until_they_expire(void **state)
{
    struct token_claims claims;
    struct err err = {0};
    char *token = good();

    (void)state;
    assert_int_equal(tokens_verify(SECRET, slice_of(token), NOW, &claims, NULL), ST_OK);
    assert_string_equal(claims.user_id, "usr_1");
    assert_string_equal(claims.session_id, "ses_1");
    assert_int_equal(verify(token, NOW + TOKENS_ACCESS_S - 1, NULL), ST_OK);
    assert_int_equal(verify(token, NOW + TOKENS_ACCESS_S, &err), ST_UNAUTHENTICATED);
    assert_string_equal(err.code, "token_expired");
    assert_int_equal(verify(token, NOW - 1, NULL), ST_UNAUTHENTICATED); /* the clock was set back: no longer session */
    tokens_free(token);
}

static void a_forged_one_of_the_right_shape_passes(void **state) /* so that the rows below fail for their own reason */
{
    char token[TOKEN_MAX];

    (void)state;
    forge(token, HS256, "{" GOOD_BUT_TIMES ",\"iat\":1800000000,\"exp\":1800000900}", SECRET);
    assert_int_equal(verify(token, NOW, NULL), ST_OK);
}

static void an_api_key_is_told_what_it_is(void **state)
{
    char key[TOKENS_KEY_SIZE];
    struct err err = {0};

    (void)state;
    tokens_key(key);
    assert_int_equal(verify(key, NOW, &err), ST_UNAUTHENTICATED);
    assert_string_equal(err.code, "invalid_token");
    assert_non_null(strstr(err.text, "it is an API key, and this route wants the access token of POST /auth/login"));
    assert_null(strstr(err.text, key));
    assert_int_equal(verify(TOKENS_KEY_PREFIX, NOW, &err), ST_UNAUTHENTICATED);
    assert_non_null(strstr(err.text, "API key"));
    assert_int_equal(verify("sk-", NOW, &err), ST_UNAUTHENTICATED);
    assert_null(strstr(err.text, "API key"));
}

static void bad_headers_are_refused(void **state)
{
    static const char *const headers[] = {
        "{\"alg\":\"none\",\"typ\":\"JWT\"}",
        "{\"alg\":\"None\",\"typ\":\"JWT\"}",
        "{\"alg\":\"HS512\",\"typ\":\"JWT\"}",
        "{\"alg\":\"HS384\",\"typ\":\"JWT\"}",
        "{\"alg\":\"RS256\",\"typ\":\"JWT\"}",
        "{\"alg\":\"ES256\",\"typ\":\"JWT\"}",
        "{\"typ\":\"JWT\"}",
        "{\"alg\":256,\"typ\":\"JWT\"}",
        "{\"alg\":[\"HS256\"]}",
        "[]",
        "",
        "{\"alg\":\"HS256\"",
    };
    char token[TOKEN_MAX];
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        forge(token, headers[i], "{" GOOD_BUT_TIMES ",\"iat\":1800000000,\"exp\":1800000900}", SECRET);
        if (verify(token, NOW, NULL) != ST_UNAUTHENTICATED)
            fail_msg("accepted with the header %s", headers[i]);
    }
}

/* libjwt alone takes these: the token's own algorithm decides there. */
static void a_token_truly_signed_with_another_algorithm_is_refused(void **state)
{
    static const jwt_alg_t algs[] = {JWT_ALG_HS384, JWT_ALG_HS512, JWT_ALG_NONE};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(algs) / sizeof(algs[0]); i++) {
        jwt_t *jwt = NULL;
        char *token;
        int keyed = algs[i] != JWT_ALG_NONE;

        assert_int_equal(jwt_new(&jwt), 0);
        jwt_add_grants_json(jwt, "{" GOOD_BUT_TIMES ",\"iat\":1800000000,\"exp\":1800000900}");
        assert_int_equal(
            jwt_set_alg(jwt, algs[i], keyed ? (const unsigned char *)SECRET : NULL, keyed ? (int)strlen(SECRET) : 0),
            0);
        token = jwt_encode_str(jwt);
        assert_non_null(token);
        assert_int_equal(verify(token, NOW, NULL), ST_UNAUTHENTICATED);
        free(token);
        jwt_free(jwt);
    }
}

static void wrong_claims_are_refused(void **state)
{
    static const char *const claims[] = {
        "{" GOOD_BUT_TIMES ",\"iat\":1800000000}",
        "{" GOOD_BUT_TIMES ",\"exp\":1800000900}",
        "{" GOOD_BUT_TIMES ",\"iat\":1800000000,\"exp\":\"1800000900\"}",
        "{" GOOD_BUT_TIMES ",\"iat\":1800000000,\"exp\":1800000900.0}",
        "{" GOOD_BUT_TIMES ",\"iat\":1800000000,\"exp\":1e99}",
        "{" GOOD_BUT_TIMES ",\"iat\":1800000000,\"exp\":null}",
        "{" GOOD_BUT_TIMES ",\"iat\":1800000000,\"exp\":true}",
        "{" GOOD_BUT_TIMES ",\"iat\":1800000000,\"exp\":-1}",
        "{" GOOD_BUT_TIMES ",\"iat\":1800000000,\"exp\":0}",
        "{" GOOD_BUT_TIMES ",\"iat\":1800000000,\"exp\":9223372036854775807}",
        "{" GOOD_BUT_TIMES ",\"iat\":9223372036854775800,\"exp\":9223372036854775807}",
        "{" GOOD_BUT_TIMES ",\"iat\":1800000000,\"exp\":99999999999999999999999}",
        "{" GOOD_BUT_TIMES ",\"iat\":1800000000,\"exp\":1800000901}",
        "{" GOOD_BUT_TIMES ",\"iat\":\"1800000000\",\"exp\":1800000900}",
        "{" GOOD_BUT_TIMES ",\"iat\":1800000000,\"exp\":1800000900,\"nbf\":1800000001}",
        "{" GOOD_BUT_TIMES ",\"iat\":1800000000,\"exp\":1800000900,\"nbf\":\"1\"}",
        "{\"iss\":\"other\",\"aud\":\"openai-router\",\"typ\":\"access\",\"sub\":\"u\",\"sid\":\"s\",\"iat\":"
        "1800000000,\"exp\":1800000900}",
        "{\"iss\":\"openai-router\",\"aud\":\"other\",\"typ\":\"access\",\"sub\":\"u\",\"sid\":\"s\",\"iat\":"
        "1800000000,\"exp\":1800000900}",
        "{\"iss\":\"openai-router\",\"aud\":[\"openai-router\"],\"typ\":\"access\",\"sub\":\"u\",\"sid\":\"s\",\"iat\":"
        "1800000000,\"exp\":1800000900}",
        "{\"iss\":\"openai-router\",\"typ\":\"access\",\"sub\":\"u\",\"sid\":\"s\",\"iat\":1800000000,\"exp\":"
        "1800000900}",
        "{\"iss\":\"openai-router\",\"aud\":\"openai-router\",\"typ\":\"refresh\",\"sub\":\"u\",\"sid\":\"s\",\"iat\":"
        "1800000000,\"exp\":1800000900}",
        "{\"iss\":\"openai-router\",\"aud\":\"openai-router\",\"typ\":\"access\",\"sub\":\"\",\"sid\":\"s\",\"iat\":"
        "1800000000,\"exp\":1800000900}",
        "{\"iss\":\"openai-router\",\"aud\":\"openai-router\",\"typ\":\"access\",\"sub\":7,\"sid\":\"s\",\"iat\":"
        "1800000000,\"exp\":1800000900}",
        "{\"iss\":\"openai-router\",\"aud\":\"openai-router\",\"typ\":\"access\",\"sub\":\"u\",\"iat\":1800000000,"
        "\"exp\":1800000900}",
        "{\"iss\":\"openai-router\",\"aud\":\"openai-router\",\"typ\":\"access\",\"sid\":\"s\",\"sub\":"
        "\"0123456789012345678901234567890123456789012345678901234567890123456789\",\"iat\":1800000000,\"exp\":"
        "1800000900}",
        "[]",
        "null",
        "",
    };
    char token[TOKEN_MAX];
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(claims) / sizeof(claims[0]); i++) {
        forge(token, HS256, claims[i], SECRET);
        if (verify(token, NOW, NULL) != ST_UNAUTHENTICATED)
            fail_msg("accepted: %s", claims[i]);
    }
}

static void another_key_is_refused(void **state)
{
    static const char pem[] =
        "-----BEGIN PUBLIC KEY-----\nMFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAK\n-----END PUBLIC KEY-----\n";
    char token[TOKEN_MAX];
    struct token_claims claims;
    char *ours = good();

    (void)state;
    forge(token, HS256, "{" GOOD_BUT_TIMES ",\"iat\":1800000000,\"exp\":1800000900}", pem);
    assert_int_equal(verify(token, NOW, NULL), ST_UNAUTHENTICATED);
    forge(token, HS256, "{" GOOD_BUT_TIMES ",\"iat\":1800000000,\"exp\":1800000900}", "");
    assert_int_equal(verify(token, NOW, NULL), ST_UNAUTHENTICATED);
    /* no key of ours, no trust: libjwt would take unsigned tokens then */
    assert_int_equal(tokens_verify(NULL, slice_of(ours), NOW, &claims, NULL), ST_INTERNAL);
    assert_int_equal(tokens_verify("", slice_of(ours), NOW, &claims, NULL), ST_INTERNAL);
    assert_int_equal(tokens_verify(pem, slice_of(ours), NOW, &claims, NULL), ST_UNAUTHENTICATED);
    tokens_free(ours);
}

static void every_truncation_and_every_changed_byte_is_refused(void **state)
{
    char *token = good();
    size_t n = strlen(token), i;
    const char *dot = strrchr(token, '.');

    (void)state;
    for (i = 0; i < n; i++) {
        char *cut = strndup(token, i);

        assert_non_null(cut);
        assert_int_equal(verify(cut, NOW, NULL), ST_UNAUTHENTICATED);
        free(cut);
    }
    for (i = 0; token + i < dot; i++) {
        char was = token[i];

        token[i] = was == 'A' ? 'B' : 'A';
        assert_int_equal(verify(token, NOW, NULL), ST_UNAUTHENTICATED);
        token[i] = was;
    }
    assert_int_equal(verify(token, NOW, NULL), ST_OK);
    tokens_free(token);
}

static void a_megabyte_and_a_nul_are_refused_at_once(void **state)
{
    size_t n = 1024 * 1024;
    char *huge = malloc(n + 1);
    char *token = good();
    struct token_claims claims;

    (void)state;
    assert_non_null(huge);
    memset(huge, 'A', n);
    huge[n] = '\0';
    assert_int_equal(verify(huge, NOW, NULL), ST_UNAUTHENTICATED);
    memcpy(huge, token, strlen(token));
    huge[strlen(token)] = '\0';
    assert_int_equal(tokens_verify(SECRET, (struct slice){huge, strlen(token) + 1}, NOW, &claims, NULL),
                     ST_UNAUTHENTICATED);
    tokens_free(token);
    free(huge);
}

static void keys_and_refresh_tokens_are_random_and_have_their_shape(void **state)
{
    char a[TOKENS_KEY_SIZE], b[TOKENS_KEY_SIZE], refresh[TOKENS_RANDOM_TEXT + 1];
    unsigned char d1[LIMIT_DIGEST], d2[LIMIT_DIGEST];

    (void)state;
    tokens_key(a);
    tokens_key(b);
    tokens_random(refresh);
    assert_int_equal(strlen(a), 6 + 43);
    assert_int_equal(strlen(refresh), 43);
    assert_int_equal(strncmp(a, "sk-or-", 6), 0);
    assert_string_not_equal(a, b);
    assert_int_equal(strspn(a, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), strlen(a));
    tokens_digest(slice_of(a), d1);
    tokens_digest(slice_of(b), d2);
    assert_memory_not_equal(d1, d2, sizeof(d1));
    tokens_digest(slice_of("abc"), d1);
    assert_int_equal(d1[0], 0xba); /* SHA-256("abc"), FIPS 180-4 */
    assert_int_equal(d1[31], 0xad);
}

static void ended_sessions_are_known_for_as_long_as_their_tokens_live(void **state)
{
    struct ended e;
    char id[32];
    unsigned i;

    (void)state;
    ended_init(&e);
    ended_add(&e, slice_of("ses_1"), 0);
    ended_add(&e, slice_of("ses_1"), 5);
    assert_true(ended_has(&e, slice_of("ses_1")));
    assert_false(ended_has(&e, slice_of("ses_2")));
    ended_expire(&e, TOKENS_ACCESS_S * 1000 - 1);
    assert_true(ended_has(&e, slice_of("ses_1")));
    ended_expire(&e, TOKENS_ACCESS_S * 1000);
    assert_false(ended_has(&e, slice_of("ses_1")));
    for (i = 0; i < ENDED_MAX + 10; i++) {
        snprintf(id, sizeof(id), "ses_%u", i);
        ended_add(&e, slice_of(id), 0);
    }
    assert_int_equal(e.table.n, ENDED_MAX);
    assert_false(ended_has(&e, slice_of("ses_9")));
    assert_true(ended_has(&e, slice_of("ses_10")));
    ended_fini(&e);
}

static int prepare(void **state)
{
    (void)state;
    return sodium_init() < 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ours_pass_until_they_expire),
        cmocka_unit_test(a_forged_one_of_the_right_shape_passes),
        cmocka_unit_test(an_api_key_is_told_what_it_is),
        cmocka_unit_test(bad_headers_are_refused),
        cmocka_unit_test(a_token_truly_signed_with_another_algorithm_is_refused),
        cmocka_unit_test(wrong_claims_are_refused),
        cmocka_unit_test(another_key_is_refused),
        cmocka_unit_test(every_truncation_and_every_changed_byte_is_refused),
        cmocka_unit_test(a_megabyte_and_a_nul_are_refused_at_once),
        cmocka_unit_test(keys_and_refresh_tokens_are_random_and_have_their_shape),
        cmocka_unit_test(ended_sessions_are_known_for_as_long_as_their_tokens_live),
    };

    return cmocka_run_group_tests(tests, prepare, NULL);
}
