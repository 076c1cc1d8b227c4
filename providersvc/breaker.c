#include "providersvc/breaker.h"

static void advance(struct breaker *b, uint64_t now_ms)
{
    uint64_t second = now_ms / 1000;
    uint64_t steps = second > b->second ? second - b->second : 0;

    if (steps > BREAKER_SECONDS)
        steps = BREAKER_SECONDS;
    for (uint64_t i = 0; i < steps; i++) {
        uint64_t slot = (second - i) % BREAKER_SECONDS;

        b->good[slot] = 0;
        b->bad[slot] = 0;
    }
    if (second > b->second)
        b->second = second;
}

/* Did one in `part` of the last ten seconds' attempts fail? */
static bool failed(const struct breaker *b, uint64_t part)
{
    uint64_t all = 0, bad = 0;

    for (unsigned i = 0; i < BREAKER_SECONDS; i++) {
        all += b->good[i] + b->bad[i];
        bad += b->bad[i];
    }
    return all >= BREAKER_LEAST && bad * part >= all;
}

static void forget(struct breaker *b)
{
    for (unsigned i = 0; i < BREAKER_SECONDS; i++) {
        b->good[i] = 0;
        b->bad[i] = 0;
    }
}

uint64_t breaker_wait_ms(const struct breaker *b, uint64_t now_ms)
{
    return b->state == BREAKER_CLOSED || now_ms >= b->until_ms ? 0 : b->until_ms - now_ms;
}

bool breaker_allows(const struct breaker *b, uint64_t now_ms)
{
    return breaker_wait_ms(b, now_ms) == 0;
}

bool breaker_poor(struct breaker *b, uint64_t now_ms)
{
    advance(b, now_ms);
    return b->well < BREAKER_WELL && failed(b, BREAKER_POOR);
}

bool breaker_take(struct breaker *b, uint64_t now_ms)
{
    if (b->state == BREAKER_CLOSED)
        return false;
    b->state = BREAKER_PROBING;
    b->until_ms = now_ms + BREAKER_PROBE_MS;
    return true;
}

void breaker_release(struct breaker *b, uint64_t now_ms)
{
    if (b->state != BREAKER_PROBING)
        return;
    b->state = BREAKER_OPEN;
    b->until_ms = now_ms;
}

static void close_it(struct breaker *b)
{
    if (b->state != BREAKER_CLOSED)
        forget(b); /* what failed before says nothing about how it is now */
    b->state = BREAKER_CLOSED;
    b->run = b->hard_run = 0;
    b->open_ms = 0;
}

void breaker_alive(struct breaker *b)
{
    if (b->state != BREAKER_CLOSED)
        close_it(b);
}

void breaker_good(struct breaker *b, uint64_t now_ms)
{
    close_it(b);
    advance(b, now_ms);
    b->good[b->second % BREAKER_SECONDS]++;
    b->well++;
}

bool breaker_soft(const struct breaker *b)
{
    return b->hard_run < BREAKER_RUN;
}

bool breaker_bad(struct breaker *b, uint64_t now_ms, bool hard)
{
    advance(b, now_ms);
    b->bad[b->second % BREAKER_SECONDS]++;
    b->run++;
    b->hard_run += hard;
    b->well = 0;
    if (b->state == BREAKER_OPEN || (b->state == BREAKER_CLOSED && b->run < BREAKER_RUN && !failed(b, 2)))
        return false; /* open: a call that began before it opened */
    b->open_ms = b->open_ms == 0 ? BREAKER_OPEN_MS : b->open_ms * 2;
    if (b->open_ms > BREAKER_OPEN_MAX_MS)
        b->open_ms = BREAKER_OPEN_MAX_MS;
    b->state = BREAKER_OPEN;
    b->until_ms = now_ms + b->open_ms;
    return true;
}
