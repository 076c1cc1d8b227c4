#include "loadgen.h"

#include <sys/resource.h>
#include <time.h>

/* Below HIST_SUB a row is exact; above, each power of two has HIST_SUB / 2 steps. */
static size_t slot_of(uint64_t v)
{
    unsigned shift = 0;

    while (v >> shift >= HIST_SUB)
        shift++;
    if (shift >= HIST_ROWS)
        return HIST_ROWS * HIST_SUB - 1;
    return shift * HIST_SUB + (size_t)(v >> shift);
}

void hist_add(struct hist *h, uint64_t v)
{
    h->n++;
    h->count[slot_of(v)]++;
    if (v > h->max)
        h->max = v;
}

uint64_t hist_at(const struct hist *h, double quantile)
{
    uint64_t rank = (uint64_t)(quantile * (double)h->n);
    uint64_t seen = 0;

    if (rank >= h->n)
        return h->max;
    for (size_t i = 0; i < HIST_ROWS * HIST_SUB; i++) {
        uint64_t low = (uint64_t)(i % HIST_SUB) << (i / HIST_SUB);

        seen += h->count[i];
        if (seen > rank)
            return low < h->max ? low : h->max;
    }
    return h->max;
}

uint64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t cpu_us(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
           (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}
