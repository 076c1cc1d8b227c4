/* Clocks. Durations and deadlines come from the monotonic one, only timestamps for people from the wall. */
#ifndef SERVICES_CLOCK_H
#define SERVICES_CLOCK_H

#include <stdint.h>

uint64_t clock_ms(void); /* CLOCK_MONOTONIC, milliseconds */
uint64_t clock_ns(void); /* CLOCK_MONOTONIC, nanoseconds */
uint64_t clock_thread_ns(void); /* CPU time that the calling thread has had; a system call, not free */
uint64_t clock_wall_ms(void); /* Unix milliseconds */

#endif
