/* A moment as people and scripts write it on the command line. */
#ifndef CLI_TIMES_H
#define CLI_TIMES_H

#include <stdbool.h>
#include <stdint.h>

#define TIMES_FORMS "Unix seconds or YYYY-MM-DD[THH:MM:SSZ]"

/* text: Unix seconds, or a day (its beginning) or second in UTC that the calendar has. Sets *ret to Unix seconds;
 * false, and *ret as it was, for anything else. */
bool times_read(const char *text, uint64_t *ret);

#endif
