/*
 * A token bucket in integers: holds at most a minute's worth, refills continuously, never gains or loses a fraction.
 * The level is counted in tokens times 60,000, so that `limit` units flow in with every millisecond exactly.
 * The clock is a parameter. No locks: the owner has one.
 */
#ifndef AUTHSVC_BUCKET_H
#define AUTHSVC_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

#define BUCKET_MINUTE_MS UINT64_C(60000)

/* All zero = full, whatever the limit turns out to be. */
struct bucket {
    int64_t level; /* tokens * BUCKET_MINUTE_MS; below zero after a correction */
    uint64_t limit; /* per minute; 0 = never used */
    uint64_t at_ms; /* when level was right */
};

void bucket_refill(struct bucket *b, uint64_t limit, uint64_t now_ms); /* limit > 0, at most LIMIT_COUNT */
bool bucket_has(const struct bucket *b, uint64_t tokens);
void bucket_take(struct bucket *b, uint64_t tokens);
/* A reservation turns out otherwise: gives back (or takes) the difference. A debt is at most one minute's worth. */
void bucket_correct(struct bucket *b, uint64_t reserved, uint64_t used);
uint64_t bucket_remaining(const struct bucket *b); /* whole tokens */
uint64_t bucket_wait_ms(const struct bucket *b, uint64_t tokens); /* until so many are there; tokens <= limit */

#endif
