#include "services/clock.h"

#include <time.h>

static uint64_t now_ns(clockid_t id)
{
    struct timespec t = {0};

    (void)clock_gettime(id, &t); /* cannot fail for the clocks below */
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

uint64_t clock_ns(void)
{
    return now_ns(CLOCK_MONOTONIC);
}

uint64_t clock_ms(void)
{
    return now_ns(CLOCK_MONOTONIC) / 1000000;
}

uint64_t clock_thread_ns(void)
{
    return now_ns(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t clock_wall_ms(void)
{
    return now_ns(CLOCK_REALTIME) / 1000000;
}
