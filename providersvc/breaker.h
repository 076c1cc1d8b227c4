/*
 * A circuit breaker: calls stop going to a provider that fails, and one probe at a time finds out when it is well
 * again. Opens after BREAKER_RUN failures in a row, or when half of the last ten seconds' attempts failed.
 *
 * A provider that answers, if only with errors, may be answering bad requests of one client: such an opening is soft.
 * Calls then go to other providers, but where there is none they go to this one all the same, so that nobody can shut
 * others out. One that cannot be reached, is silent or breaks off is not waited for: that opening is hard. Pure;
 * whoever owns it locks.
 */
#ifndef PROVIDERSVC_BREAKER_H
#define PROVIDERSVC_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#define BREAKER_RUN 5 /* failures in a row */
#define BREAKER_SECONDS 10
#define BREAKER_LEAST 20 /* attempts in that time before their share of failures means anything */
#define BREAKER_POOR 10 /* one failure in so many is more than retries can make good, unless … */
#define BREAKER_WELL 5 /* … the last so many went well */
#define BREAKER_POOR_MS UINT64_C(500) /* a poor one gets a call this often, to find out */
#define BREAKER_OPEN_MS UINT64_C(1000) /* before the first probe; doubles with each that fails … */
#define BREAKER_OPEN_MAX_MS UINT64_C(4000) /* … up to this: so soon a provider that has healed is used again */
#define BREAKER_PROBE_MS UINT64_C(4000) /* a probe of which nothing is heard for so long: another one is sent */

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_PROBING };

struct breaker {
    enum breaker_state state;
    uint64_t until_ms; /* open: until then; probing: when the probe is given up */
    uint64_t open_ms; /* how long the next opening lasts */
    unsigned run, hard_run; /* failures since the last success; those of them without an answer */
    unsigned well; /* successes since the last failure */
    uint64_t second; /* of the newest slot */
    uint32_t good[BREAKER_SECONDS], bad[BREAKER_SECONDS];
};

bool breaker_allows(const struct breaker *b, uint64_t now_ms); /* looks only */
bool breaker_take(struct breaker *b, uint64_t now_ms); /* an attempt begins; true: it is the probe */
void breaker_release(struct breaker *b, uint64_t now_ms); /* the probe has found out nothing: the next one may */
void breaker_alive(struct breaker *b); /* an attempt is being answered; it may still end badly */
void breaker_good(struct breaker *b, uint64_t now_ms);
bool breaker_bad(struct breaker *b, uint64_t now_ms, bool hard); /* true: it has just opened */
bool breaker_soft(const struct breaker *b); /* it answers */
bool breaker_poor(struct breaker *b, uint64_t now_ms); /* allows calls, but too many of the last fail */
uint64_t breaker_wait_ms(const struct breaker *b, uint64_t now_ms); /* until it allows one; 0 = it does */

#endif
