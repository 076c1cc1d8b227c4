/* The estimate of a request's tokens: no crash, and a number within its bounds or an error that says nothing else. */
#include <stdint.h>
#include <stdlib.h>

#include "proto/limits.h"
#include "providersvc/dialects/messages_count.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = {.status = ST_OK};
    uint64_t n = 0;
    enum status st = messages_count_tokens((struct slice){(const char *)data, size}, &n, &err);

    if (st == ST_OK ? n == 0 || n > LIMIT_TOKENS : n != 0 || err.status != st)
        abort();
    return 0;
}
