/* Where in a message the codec is, for errors that name the field: "usage_batch.events[3].model". Inside proto/ only.
 */
#ifndef PROTO_WIRE_PATH_H
#define PROTO_WIRE_PATH_H

#include "proto/wire.h"

/* A message being coded. Lives on the stack of the function that codes it; up is the message that contains it. */
struct wire_path {
    const struct wire_path *up;
    const struct wire_desc *desc;
    const struct wire_field *field; /* of up: the list that this message is an item of; NULL at the top */
    size_t index; /* in that list */
    unsigned depth; /* 1 at the top */
};

/* Sets err to st with the field's path (at itself when f is NULL) in param and before the formatted text. Returns st.
 */
enum status wire_fail(const struct wire_path *at, const struct wire_field *f, enum status st, struct err *err,
                      const char *format, ...) __attribute__((cold, format(printf, 5, 6)));

#endif
