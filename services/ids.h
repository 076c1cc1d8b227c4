/* Identifiers, from libsodium's random generator. All are unguessable and unique for ever. */
#ifndef SERVICES_IDS_H
#define SERVICES_IDS_H

#include <stddef.h>
#include <stdint.h>

#define ID_TEXT_SIZE 65 /* of the buffers below, closing NUL included */
#define ID_TIME_DIGITS 12 /* hex digits of a request id that are Unix milliseconds: until the year 10889 */
#define ID_REQUEST_BYTES 10 /* random bytes of a request id */

/* prefix + 2 * random_bytes hex digits; prefix + digits fit ID_TEXT_SIZE. */
void id_make(char to[ID_TEXT_SIZE], const char *prefix, size_t random_bytes);
/* "req_", the time, random digits. Younger ids sort behind older ones, so that the database's index of them grows at
 * its end: one page is written for many calls, not one for each. */
void id_request(char to[ID_TEXT_SIZE]);
uint64_t id_number(void); /* random, not zero: instance and boot ids */

#endif
