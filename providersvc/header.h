/* Lines of an answer's header (RFC 9110, section 5). Pure but for the clock that an HTTP date needs. */
#ifndef PROVIDERSVC_HEADER_H
#define PROVIDERSVC_HEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/wire.h"

/* Is it the line of this name, in any case? Its value, without the space around it. */
bool header_named(struct slice line, const char *name, struct slice *ret_value);
/* How long a Retry-After asks to wait (RFC 9110, section 10.2.3): digits with a fraction, times unit milliseconds, or
 * an HTTP date; at most a day. 0 = nonsense, or the past. */
uint64_t header_wait_ms(struct slice v, double unit_ms);

#endif
