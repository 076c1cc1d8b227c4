#include "providersvc/budget.h"

static void advance(struct budget *b, uint64_t now_ms)
{
    uint64_t second = now_ms / 1000;
    uint64_t steps = second > b->second ? second - b->second : 0;

    if (steps > BUDGET_SECONDS)
        steps = BUDGET_SECONDS;
    for (uint64_t i = 0; i < steps; i++) {
        uint64_t slot = (second - i) % BUDGET_SECONDS;

        b->calls[slot] = 0;
        b->retries[slot] = 0;
    }
    if (second > b->second)
        b->second = second;
}

void budget_call(struct budget *b, uint64_t now_ms)
{
    advance(b, now_ms);
    b->calls[b->second % BUDGET_SECONDS]++;
}

bool budget_has(struct budget *b, uint64_t now_ms, unsigned share)
{
    uint64_t calls = 0, retries = 0;

    advance(b, now_ms);
    for (unsigned i = 0; i < BUDGET_SECONDS; i++) {
        calls += b->calls[i];
        retries += b->retries[i];
    }
    return retries < BUDGET_FREE + calls / share;
}

void budget_take(struct budget *b, uint64_t now_ms)
{
    advance(b, now_ms);
    b->retries[b->second % BUDGET_SECONDS]++;
}
