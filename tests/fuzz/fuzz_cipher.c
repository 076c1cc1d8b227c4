/* Any bytes where a sealed batch, a hello or a sealed feed message is expected: nothing opens, nothing is read out of
 * bounds; what was sealed and then changed by the fuzzer does not open either. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "services/bus/cipher.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

#define SECRETS "0123456789abcdef0123456789abcdef,fedcba9876543210fedcba9876543210"

static void as_feed(const struct cipher *c, const uint8_t *bytes, size_t n)
{
    static const unsigned char magic[] = {0x4f, 0x52, 0x46, 0x31}; /* CIPHER_FEED_MAGIC */
    unsigned char *copy = malloc(n + sizeof(magic)); /* exact size: one byte too far is seen */
    struct cipher_place place;

    if (!copy)
        return;
    memcpy(copy, magic, sizeof(magic));
    if (n)
        memcpy(copy + sizeof(magic), bytes, n);
    if (cipher_feed_open(c, CIPHER_STATE, copy, n + sizeof(magic), &place))
        abort();
    free(copy);
}

static void as_handshake(const struct cipher *c, const uint8_t *bytes, size_t n)
{
    struct slice all = {(const char *)bytes, n};
    struct cipher_session s;
    struct cipher_pair pair;
    struct frame_batch head;
    unsigned char hello[CIPHER_HELLO], first[FRAME_BATCH_SIZE] = {0};

    (void)frame_stranger(all, true);
    (void)frame_refusal_read(all);
    if (n < FRAME_BATCH_SIZE + CIPHER_HELLO)
        return;
    (void)frame_head_read(all, &head);
    if (cipher_welcome(c, bytes, bytes + FRAME_BATCH_SIZE, &s))
        abort();
    cipher_hello(c, first, &pair, hello);
    (void)cipher_agree(c, &pair, bytes, &s);
}

/* Sealed bytes, of which the fuzzer changes one: where, and how. */
static void changed(const struct cipher *c, const uint8_t *bytes, size_t n)
{
    size_t inside = n - 2, size = FRAME_BATCH_SIZE + inside + CIPHER_TAG, at = bytes[0] % size;
    unsigned char *all = calloc(1, size);

    if (!all)
        return;
    if (inside)
        memcpy(all + FRAME_BATCH_SIZE, bytes + 2, inside);
    cipher_seal(c->keys[0].session, 1, all, all + FRAME_BATCH_SIZE, inside, all + FRAME_BATCH_SIZE + inside);
    all[at] ^= bytes[1];
    if (cipher_open(c->keys[0].session, 1, all, all + FRAME_BATCH_SIZE, inside, all + FRAME_BATCH_SIZE + inside) !=
        (bytes[1] == 0))
        abort();
    free(all);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct cipher c;

    if (cipher_init(&c, SECRETS, NULL) != ST_OK)
        abort();
    as_feed(&c, bytes, n);
    as_handshake(&c, bytes, n);
    if (n >= 2)
        changed(&c, bytes, n);
    cipher_fini(&c);
    return 0;
}
