/*
 * slow: time bounds of tests that say "soon enough". tests/run-sanitized.sh sets TIME_SCALE, because a program under a
 * sanitizer takes several times as long; a bound that says "not too early" is not scaled.
 */
#ifndef TESTS_LIB_SLOW_H
#define TESTS_LIB_SLOW_H

#include <stdint.h>
#include <stdlib.h>

#define SLOW_SCALE_MAX 20
/* "At once" is shown by one try of so many: a busy machine is late now and then, who waits for a tick is late every
 * time. */
#define SLOW_TRIES 5u

static inline uint64_t slow_ms(uint64_t ms)
{
    const char *text = getenv("TIME_SCALE");
    unsigned long scale = text ? strtoul(text, NULL, 10) : 1;

    return ms * (scale < 1 ? 1 : scale > SLOW_SCALE_MAX ? SLOW_SCALE_MAX : scale);
}

#endif
