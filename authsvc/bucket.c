#include "authsvc/bucket.h"

static int64_t units(uint64_t tokens)
{
    return (int64_t)(tokens * BUCKET_MINUTE_MS);
}

void bucket_refill(struct bucket *b, uint64_t limit, uint64_t now_ms)
{
    uint64_t elapsed = now_ms > b->at_ms ? now_ms - b->at_ms : 0;
    int64_t full = units(limit);

    if (b->limit == 0) {
        b->level = full;
    } else {
        /* two minutes fill it from the deepest debt */
        if (elapsed > 2 * BUCKET_MINUTE_MS)
            elapsed = 2 * BUCKET_MINUTE_MS;
        b->level += (int64_t)(elapsed * limit);
        if (b->level > full)
            b->level = full;
        if (b->level < -full) /* the limit was lowered */
            b->level = -full;
    }
    b->limit = limit;
    if (now_ms > b->at_ms)
        b->at_ms = now_ms;
}

bool bucket_has(const struct bucket *b, uint64_t tokens)
{
    return b->level >= units(tokens);
}

void bucket_take(struct bucket *b, uint64_t tokens)
{
    b->level -= units(tokens);
}

void bucket_correct(struct bucket *b, uint64_t reserved, uint64_t used)
{
    int64_t full = units(b->limit);

    if (b->limit == 0)
        return;
    b->level += units(reserved) - units(used);
    if (b->level > full)
        b->level = full;
    if (b->level < -full)
        b->level = -full;
}

uint64_t bucket_remaining(const struct bucket *b)
{
    return b->level > 0 ? (uint64_t)b->level / BUCKET_MINUTE_MS : 0;
}

uint64_t bucket_wait_ms(const struct bucket *b, uint64_t tokens)
{
    int64_t missing = units(tokens) - b->level;

    if (missing <= 0 || b->limit == 0)
        return 0;
    return ((uint64_t)missing + b->limit - 1) / b->limit;
}
