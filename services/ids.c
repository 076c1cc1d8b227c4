#include "services/ids.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "services/clock.h"

/* sodium_init may be called any number of times from any thread; after the first it only looks at a flag. */
static void random_bytes(void *to, size_t n)
{
    if (sodium_init() < 0)
        abort(); /* no randomness: an identifier that can be guessed is worse than no service */
    randombytes_buf(to, n);
}

void id_make(char to[ID_TEXT_SIZE], const char *prefix, size_t n)
{
    unsigned char bytes[ID_TEXT_SIZE / 2];
    size_t prefix_n = strlen(prefix);

    assert(n <= sizeof(bytes) && prefix_n + 2 * n < ID_TEXT_SIZE);
    random_bytes(bytes, n);
    memcpy(to, prefix, prefix_n);
    (void)sodium_bin2hex(to + prefix_n, ID_TEXT_SIZE - prefix_n, bytes, n);
}

void id_request(char to[ID_TEXT_SIZE])
{
    char prefix[sizeof("req_") + ID_TIME_DIGITS];

    snprintf(prefix, sizeof(prefix), "req_%0*llx", ID_TIME_DIGITS,
             (unsigned long long)clock_wall_ms() & ((UINT64_C(1) << (4 * ID_TIME_DIGITS)) - 1));
    id_make(to, prefix, ID_REQUEST_BYTES);
}

uint64_t id_number(void)
{
    uint64_t number = 0;

    while (number == 0)
        random_bytes(&number, sizeof(number));
    return number;
}
