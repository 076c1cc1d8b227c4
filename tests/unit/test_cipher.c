/* cipher: what was changed, cut, replayed, reflected or made with another secret does not open. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "services/bus/cipher.h"

#define SECRET "0123456789abcdef0123456789abcdef"
#define OTHER "fedcba9876543210fedcba9876543210"
#define BYTES 100u

struct both { /* the two ends of one connection */
    struct cipher client, server;
    unsigned char head[FRAME_BATCH_SIZE], hello[CIPHER_HELLO];
    struct cipher_pair pair;
    struct cipher_session at_server, at_client;
};

static void make(struct cipher *c, const char *secret)
{
    assert_int_equal(cipher_init(c, secret, NULL), ST_OK);
}

static void greet(struct both *b, const char *client, const char *server)
{
    struct frame_batch head = {.sealed = true, .flags = FRAME_HELLO, .instance = 7, .mark = 9};

    make(&b->client, client);
    make(&b->server, server);
    frame_batch_write(b->head, &head);
    cipher_hello(&b->client, b->head, &b->pair, b->hello);
}

static bool meet(struct both *b, const char *client, const char *server)
{
    greet(b, client, server);
    return cipher_welcome(&b->server, b->head, b->hello, &b->at_server) &&
           cipher_agree(&b->client, &b->pair, b->at_server.answer, &b->at_client);
}

static void a_secret_is_long_or_refused(void **state)
{
    static const char *const wrong[] = {"",         "short",         SECRET ",",
                                        "," SECRET, SECRET ",short", SECRET "," OTHER "," SECRET};
    struct err err = {.status = ST_OK};
    struct cipher c;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(cipher_init(&c, wrong[i], &err), ST_BAD_REQUEST);
        assert_non_null(strstr(err.text, "BUS_SECRET"));
    }
    make(&c, SECRET);
    assert_int_equal(c.n, 1);
    make(&c, SECRET "," OTHER);
    assert_int_equal(c.n, 2);
}

static void keys_have_one_use_each(void **state)
{
    const unsigned char *all[4];
    struct cipher c;
    unsigned i, k;

    (void)state;
    make(&c, SECRET);
    all[0] = c.keys[0].hello;
    all[1] = c.keys[0].session;
    all[2] = c.keys[0].feed[CIPHER_STATE];
    all[3] = c.keys[0].feed[CIPHER_USAGE];
    for (i = 0; i < 4; i++)
        for (k = i + 1; k < 4; k++)
            assert_memory_not_equal(all[i], all[k], CIPHER_KEY);
}

static void both_ends_agree_and_no_two_sessions_do(void **state)
{
    struct both a, b;

    (void)state;
    assert_true(meet(&a, SECRET, SECRET));
    assert_true(meet(&b, SECRET, SECRET));
    assert_memory_equal(&a.at_client, &a.at_server, sizeof(a.at_client));
    assert_memory_not_equal(a.at_client.to_server, a.at_client.to_client, CIPHER_KEY);
    assert_memory_not_equal(a.at_client.to_server, b.at_client.to_server, CIPHER_KEY);
    assert_memory_not_equal(a.at_client.to_client, b.at_client.to_client, CIPHER_KEY);
    /* a recorded hello gets a key of the server's that is new, so what follows it does not open again */
    assert_true(cipher_welcome(&a.server, a.head, a.hello, &b.at_server));
    assert_memory_not_equal(a.at_server.to_server, b.at_server.to_server, CIPHER_KEY);
    assert_memory_not_equal(a.at_server.to_client, b.at_server.to_client, CIPHER_KEY);
}

static void another_secret_is_not_welcome(void **state)
{
    struct both b;

    (void)state;
    assert_false(meet(&b, SECRET, OTHER));
    /* while a secret is changed: each side speaks its first and understands both */
    assert_true(meet(&b, SECRET, OTHER "," SECRET));
    assert_memory_equal(&b.at_client, &b.at_server, sizeof(b.at_client));
    assert_true(meet(&b, OTHER "," SECRET, SECRET "," OTHER));
    assert_memory_equal(&b.at_client, &b.at_server, sizeof(b.at_client));
    assert_false(meet(&b, OTHER "," SECRET, SECRET));
}

static void a_changed_hello_is_not_welcome(void **state)
{
    unsigned char zero[CIPHER_PUBLIC] = {0};
    struct cipher_session s;
    struct both b;
    unsigned i;

    (void)state;
    greet(&b, SECRET, SECRET);
    for (i = 0; i < sizeof(b.head); i++) {
        b.head[i] ^= 1;
        assert_false(cipher_welcome(&b.server, b.head, b.hello, &s));
        b.head[i] ^= 1;
    }
    for (i = 0; i < sizeof(b.hello); i++) {
        b.hello[i] ^= 1;
        assert_false(cipher_welcome(&b.server, b.head, b.hello, &s));
        b.hello[i] ^= 1;
    }
    assert_true(cipher_welcome(&b.server, b.head, b.hello, &s));
    assert_false(cipher_agree(&b.client, &b.pair, zero, &s)); /* a point that makes the shared one known */
}

static void nobody_without_the_secret_answers(void **state)
{
    unsigned char head[FRAME_BATCH_SIZE] = {1}, bytes[BYTES] = {0}, tag[CIPHER_TAG];
    struct cipher_session false_one;
    struct cipher other;
    struct both b;

    (void)state;
    greet(&b, SECRET, SECRET);
    make(&other, OTHER);
    /* somebody in between has seen the hello and makes an answer of his own */
    assert_true(cipher_agree(&other, &b.pair, b.pair.public, &false_one));
    assert_true(cipher_agree(&b.client, &b.pair, b.pair.public, &b.at_client));
    cipher_seal(false_one.to_client, 0, head, bytes, BYTES, tag);
    assert_false(cipher_open(b.at_client.to_client, 0, head, bytes, BYTES, tag));
}

static void seal(const unsigned char *key, uint64_t number, unsigned char all[FRAME_BATCH_SIZE + BYTES + CIPHER_TAG])
{
    unsigned i;

    for (i = 0; i < FRAME_BATCH_SIZE + BYTES; i++)
        all[i] = (unsigned char)i;
    cipher_seal(key, number, all, all + FRAME_BATCH_SIZE, BYTES, all + FRAME_BATCH_SIZE + BYTES);
}

static bool opens(const unsigned char *key, uint64_t number, const unsigned char *all, size_t n)
{
    unsigned char copy[FRAME_BATCH_SIZE + BYTES + CIPHER_TAG];
    unsigned i;

    memcpy(copy, all, sizeof(copy));
    if (!cipher_open(key, number, copy, copy + FRAME_BATCH_SIZE, n, copy + FRAME_BATCH_SIZE + n))
        return false;
    for (i = 0; i < FRAME_BATCH_SIZE + BYTES; i++)
        assert_int_equal(copy[i], (unsigned char)i);
    return true;
}

static void a_batch_opens_once_where_it_belongs(void **state)
{
    unsigned char all[FRAME_BATCH_SIZE + BYTES + CIPHER_TAG];
    struct both b, other;
    unsigned i;

    (void)state;
    assert_true(meet(&b, SECRET, SECRET));
    assert_true(meet(&other, SECRET, SECRET));
    seal(b.at_client.to_server, UINT64_C(1) << 32, all);
    assert_true(opens(b.at_server.to_server, UINT64_C(1) << 32, all, BYTES));
    assert_false(opens(b.at_server.to_server, 0, all, BYTES)); /* not as the one 2^32 before, nor as the next */
    assert_false(opens(b.at_server.to_server, (UINT64_C(1) << 32) + 1, all, BYTES));
    assert_false(opens(b.at_server.to_client, UINT64_C(1) << 32, all, BYTES)); /* not to its sender */
    assert_false(opens(other.at_server.to_server, UINT64_C(1) << 32, all, BYTES)); /* not on another connection */
    for (i = 0; i < BYTES; i++)
        assert_false(opens(b.at_server.to_server, UINT64_C(1) << 32, all, i)); /* not cut */
    for (i = 0; i < sizeof(all); i++) {
        all[i] ^= 0x80;
        assert_false(opens(b.at_server.to_server, UINT64_C(1) << 32, all, BYTES));
        all[i] ^= 0x80;
    }
}

#define MESSAGE (CIPHER_FEED_OVERHEAD + BYTES)

static bool feed_opens(const struct cipher *c, enum cipher_topic topic, const unsigned char *message, size_t n,
                       struct cipher_place *ret)
{
    unsigned char *copy = malloc(n + 1);
    bool fine;

    assert_non_null(copy);
    memcpy(copy, message, n);
    fine = cipher_feed_open(c, topic, copy, n, ret);
    if (fine)
        assert_int_equal(copy[CIPHER_FEED_HEAD], 'p');
    free(copy);
    return fine;
}

static void a_feed_message_opens_on_its_topic_and_says_its_place(void **state)
{
    struct cipher_place place = {.boot = 1, .stream = UINT64_MAX, .number = 3}, got = {0};
    unsigned char message[MESSAGE];
    struct cipher c, other, changing;
    unsigned i;

    (void)state;
    make(&c, SECRET);
    make(&other, OTHER);
    make(&changing, OTHER "," SECRET);
    memset(message + CIPHER_FEED_HEAD, 'p', BYTES);
    cipher_feed_seal(&c, CIPHER_STATE, &place, message, BYTES);
    assert_true(cipher_is_feed(message, MESSAGE));
    assert_null(memmem(message, MESSAGE, "pppp", 4));
    assert_true(feed_opens(&c, CIPHER_STATE, message, MESSAGE, &got));
    assert_memory_equal(&place, &got, sizeof(got));
    assert_true(feed_opens(&changing, CIPHER_STATE, message, MESSAGE, &got));
    assert_false(feed_opens(&c, CIPHER_USAGE, message, MESSAGE, &got));
    assert_false(feed_opens(&other, CIPHER_STATE, message, MESSAGE, &got));
    for (i = 0; i < MESSAGE; i++)
        assert_false(feed_opens(&c, CIPHER_STATE, message, i, &got));
    for (i = 0; i < MESSAGE; i++) {
        message[i] ^= 4;
        assert_false(feed_opens(&c, CIPHER_STATE, message, MESSAGE, &got));
        assert_false(feed_opens(&changing, CIPHER_STATE, message, MESSAGE, &got));
        message[i] ^= 4;
    }
}

static void strangers_are_known_by_their_first_bytes(void **state)
{
    unsigned char bytes[FRAME_BATCH_SIZE];
    struct slice all = {(const char *)bytes, sizeof(bytes)};
    struct frame_batch plain = {.flags = FRAME_HELLO}, sealed = {.sealed = true};

    (void)state;
    frame_batch_write(bytes, &plain);
    assert_int_equal(frame_stranger(all, false), FRAME_ACCEPTED);
    assert_int_equal(frame_stranger(all, true), FRAME_REFUSED_PLAIN);
    bytes[3]++; /* of the next version */
    assert_int_equal(frame_stranger(all, false), FRAME_REFUSED_VERSION);
    assert_int_equal(frame_stranger(all, true), FRAME_REFUSED_VERSION);
    frame_batch_write(bytes, &sealed);
    assert_int_equal(frame_stranger(all, true), FRAME_ACCEPTED);
    assert_int_equal(frame_stranger(all, false), FRAME_REFUSED_SEALED);
    bytes[0]++; /* of somebody else */
    assert_int_equal(frame_stranger(all, true), FRAME_ACCEPTED);
    assert_int_equal(frame_refusal_read(all), FRAME_ACCEPTED);
    frame_refusal_write(bytes, FRAME_REFUSED_SECRET);
    assert_int_equal(frame_refusal_read(all), FRAME_REFUSED_SECRET);
    bytes[4] = 200; /* a reason that this version does not know */
    assert_int_equal(frame_refusal_read(all), FRAME_REFUSED_VERSION);
    assert_int_equal(frame_refusal_read((struct slice){all.p, all.n - 1}), FRAME_ACCEPTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_secret_is_long_or_refused),
        cmocka_unit_test(keys_have_one_use_each),
        cmocka_unit_test(both_ends_agree_and_no_two_sessions_do),
        cmocka_unit_test(another_secret_is_not_welcome),
        cmocka_unit_test(a_changed_hello_is_not_welcome),
        cmocka_unit_test(nobody_without_the_secret_answers),
        cmocka_unit_test(a_batch_opens_once_where_it_belongs),
        cmocka_unit_test(a_feed_message_opens_on_its_topic_and_says_its_place),
        cmocka_unit_test(strangers_are_known_by_their_first_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
