/*
 * A JSON document in the making: an object that grows member by member. Memory that is missing is remembered and said
 * once, by making_write; until then every value may be given on, NULL as well.
 */
#ifndef PROVIDERSVC_DIALECTS_MAKING_H
#define PROVIDERSVC_DIALECTS_MAKING_H

#include <stdbool.h>
#include <stdint.h>

#include <yyjson.h>

#include "proto/status.h"
#include "proto/wire.h"

struct making {
    yyjson_mut_doc *doc;
    yyjson_mut_val *root; /* an object */
    bool lost; /* memory ran out: something is missing */
};

void making_begin(struct making *m);
void making_end(struct making *m); /* frees; safe on a zeroed one */
/* Appends v, or with NULL the root. ST_NO_MEMORY, ST_TOO_LARGE: err is set. */
enum status making_write(const struct making *m, const yyjson_mut_val *v, struct buf *out, struct err *err);

/* New values. Words and keys are constants; texts are borrowed, those of making_copy not. */
yyjson_mut_val *making_object(struct making *m);
yyjson_mut_val *making_array(struct making *m);
yyjson_mut_val *making_word(struct making *m, const char *word);
yyjson_mut_val *making_text(struct making *m, struct slice text);
yyjson_mut_val *making_copy(struct making *m, struct slice text);
yyjson_mut_val *making_value(struct making *m, yyjson_val *v); /* a string is borrowed, anything else a deep copy */
yyjson_mut_val *making_count(struct making *m, uint64_t n);
yyjson_mut_val *making_bool(struct making *m, bool b);
yyjson_mut_val *making_null(struct making *m);

/* To an object or an array; return v. */
yyjson_mut_val *making_put(struct making *m, yyjson_mut_val *object, const char *key, yyjson_mut_val *v);
yyjson_mut_val *making_push(struct making *m, yyjson_mut_val *array, yyjson_mut_val *v);
/* Both steps in one, for what is made most often. */
yyjson_mut_val *making_put_object(struct making *m, yyjson_mut_val *object, const char *key);
yyjson_mut_val *making_put_array(struct making *m, yyjson_mut_val *object, const char *key);
yyjson_mut_val *making_put_word(struct making *m, yyjson_mut_val *object, const char *key, const char *word);
yyjson_mut_val *making_put_text(struct making *m, yyjson_mut_val *object, const char *key, struct slice text);
yyjson_mut_val *making_put_copy(struct making *m, yyjson_mut_val *object, const char *key, struct slice text);
yyjson_mut_val *making_put_value(struct making *m, yyjson_mut_val *object, const char *key, yyjson_val *v);
yyjson_mut_val *making_push_object(struct making *m, yyjson_mut_val *array);

struct slice making_text_of(yyjson_mut_val *v); /* of a string; else empty */

#endif
