/*
 * How many attempts beyond their first all calls of a loop may cost, whatever provider they go to: a tenth of the calls
 * of the last ten seconds, and three. Keeps retries from becoming the load that a failing upstream dies of. One thread;
 * pure.
 */
#ifndef PROVIDERSVC_BUDGET_H
#define PROVIDERSVC_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#define BUDGET_SECONDS 10
#define BUDGET_SHARE 10 /* one retry for so many calls … */
#define BUDGET_SAME_SHARE 20 /* … that asks the same provider again: it may not use up what leads to better ones */
#define BUDGET_FREE 3

struct budget {
    uint64_t second; /* of the newest slot */
    uint32_t calls[BUDGET_SECONDS], retries[BUDGET_SECONDS];
};

void budget_call(struct budget *b, uint64_t now_ms);
bool budget_has(struct budget *b, uint64_t now_ms, unsigned share); /* is one more allowed? */
void budget_take(struct budget *b, uint64_t now_ms);

#endif
