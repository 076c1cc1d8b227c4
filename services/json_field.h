/* How a declared field appears in JSON, and putting values into it. Shared by the json_*.c files only. */
#ifndef SERVICES_JSON_FIELD_H
#define SERVICES_JSON_FIELD_H

#include "services/json.h"

#define JSON_NAME_MAX 64 /* of a member, closing NUL included */

/* The object being read. Lives on the stack of the function that reads it. */
struct json_at {
    const struct json_at *up;
    const struct wire_field *list; /* of up: what this object is in; NULL at the top */
    size_t index;
    const struct wire_desc *desc;
    struct arena *arena;
    struct err *err;
};

/* Is it a member of the JSON at all? */
bool json_field_public(const struct wire_field *f);
/* A list that stands for one object. */
bool json_field_single(const struct wire_field *f);
/* Its name in JSON: balance_nano is balance_usd, input_pico is input. */
struct slice json_field_name(const struct wire_field *f, char to[JSON_NAME_MAX]);
const struct wire_field *json_field_named(const struct wire_desc *desc, struct slice name);

/* ST_BAD_REQUEST with the code and the path of f (NULL = the object itself): "Invalid 'name': …". */
enum status json_fail(const struct json_at *at, const struct wire_field *f, const char *code, const char *format, ...)
    __attribute__((cold, format(printf, 4, 5)));
enum status json_fail_type(const struct json_at *at, const struct wire_field *f, const char *got);
enum status json_fail_unknown(const struct json_at *at, struct slice name);

/* Put a value into the member of msg, in the bounds of its declaration, and set its has bit. */
enum status json_put_bool(const struct wire_field *f, bool value, void *msg);
enum status json_put_text(const struct json_at *at, const struct wire_field *f, struct slice text, void *msg);
/* number: digits as they stood in the text, exact; for integers and amounts. */
enum status json_put_number(const struct json_at *at, const struct wire_field *f, struct slice number, void *msg);
/* An array of n texts is to be filled by the caller through *ret. */
enum status json_put_strs(const struct json_at *at, const struct wire_field *f, size_t n, void *msg,
                          struct slice **ret);
enum status json_copy_str(const struct json_at *at, const struct wire_field *f, uint64_t limit, struct slice text,
                          struct slice *to);

#endif
