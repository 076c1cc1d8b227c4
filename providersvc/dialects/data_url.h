/* data: URLs with base64 in them (RFC 2397): data:TYPE[;name=value]…;base64,DATA. Pure. */
#ifndef PROVIDERSVC_DIALECTS_DATA_URL_H
#define PROVIDERSVC_DIALECTS_DATA_URL_H

#include <stdbool.h>

#include "proto/wire.h"

struct data_url {
    struct slice type; /* "image/png", as it is written; borrowed, as data is */
    struct slice base64; /* not checked */
};

bool data_url_read(struct slice url, struct data_url *ret); /* false: none, or one without a type or without data */
bool is_base64(struct slice s); /* letters of the usual alphabet, at least one, and padding */
/* What picture begins so: "image/png", …; PNG where nothing tells, which is what image models give. */
const char *picture_type(struct slice base64);
bool slice_starts(struct slice s, const char *with); /* letters of either case are the same */

#endif
