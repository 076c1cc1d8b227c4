/* Random identifiers, from libsodium's generator. All are unguessable and unique for ever. */
#ifndef SERVICES_IDS_H
#define SERVICES_IDS_H

#include <stddef.h>
#include <stdint.h>

#define ID_TEXT_SIZE 65 /* of the buffers below, closing NUL included */

/* prefix + 2 * random_bytes hex digits; prefix + digits fit ID_TEXT_SIZE. "req_" and 16 bytes make a request id. */
void id_make(char to[ID_TEXT_SIZE], const char *prefix, size_t random_bytes);
uint64_t id_number(void); /* random, not zero: instance and boot ids */

#endif
