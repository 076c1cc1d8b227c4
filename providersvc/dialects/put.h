/* Writing JSON piece by piece: the first failure stays, and nothing is written after it. */
#ifndef PROVIDERSVC_DIALECTS_PUT_H
#define PROVIDERSVC_DIALECTS_PUT_H

#include "providersvc/dialects/dialect.h"

struct put {
    struct buf *out;
    enum status st; /* ST_OK, ST_TOO_LARGE, ST_NO_MEMORY */
};

void put_raw(struct put *p, const char *json); /* as it is */
void put_bytes(struct put *p, const void *json, size_t n); /* likewise */
void put_string(struct put *p, struct slice text); /* quoted */
void put_count(struct put *p, uint64_t n);
void put_value(struct put *p, struct yyjson_val *v);
void put_chat_usage(struct put *p, const struct usage *u); /* the object, as chat completions have it */

#endif
