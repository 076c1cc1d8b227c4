/*
 * JSON out of and into declared messages, and small cuts into JSON that is already known to be valid.
 *
 * A message's JSON is its declaration: member names are keys; NANO members appear without _nano as …_usd decimal
 * strings, PICO members without _pico as decimal strings (USD per 1,000,000 tokens; numbers are accepted on input);
 * SECRET as the string; BIN is never shown or read. Optional members that are zero and not in `has` are shown as their
 * zero ("" , 0, false, []); a price as null. A list of messages that is empty and not in `has` is absent and left out:
 * rows of a list do not show the members that only one of them, looked at closely, has.
 */
#ifndef SERVICES_JSON_H
#define SERVICES_JSON_H

#include "proto/wire.h"
#include "services/arena.h"

#define JSON_DEPTH_MAX 64 /* nesting accepted from clients */

/* Parses text (any bytes from outside) as one JSON object into msg (a struct of desc, not cleared: the caller may have
 * set members). Unknown members are refused by name, so are nulls in required ones; a null optional member counts as
 * absent. Strings are copied to the arena. Required members that are still absent afterwards are NOT checked here:
 * wire_encode names them. ST_BAD_REQUEST, code and param set: invalid_type, invalid_value, unknown_parameter, or no
 * code for text that is not JSON. skip: names that a client may not set ("actor_id"). */
enum status json_decode(const struct wire_desc *desc, struct slice text, const char *const *skip, void *msg,
                        struct arena *a, struct err *err);

/* One member from text such as a query string's value: numbers, booleans and comma-separated lists are read from the
 * text. */
enum status json_set_text(const struct wire_desc *desc, struct slice name, struct slice value, void *msg,
                          struct arena *a, struct err *err);

/* First required member that is absent (has bit clear and zero): ST_BAD_REQUEST, code missing_required_parameter. */
enum status json_check_required(const struct wire_desc *desc, const void *msg, struct err *err);

/* Appends the object. A WIRE_LIST of at most one (L(m, 1, user, user, 1, …)) appears as the object itself, or null when
 * it is empty and in `has`. Other lists are arrays. The member `revision` of replies is internal and not shown. */
enum status json_encode(const struct wire_desc *desc, const void *msg, struct buf *out);
enum status json_encode_member(const struct wire_field *f, const void *msg, struct buf *out); /* "name":value */
enum status json_add_string(struct buf *out, struct slice s); /* quoted and escaped; invalid UTF-8 becomes U+FFFD */

/* --- cuts: text must be valid JSON (checked by a parser before), else the result is unspecified but in bounds -------
 */

struct json_cut {
    size_t key, key_end; /* the quoted key, quotes included */
    size_t value, value_end; /* the value's bytes */
};

/* Finds a member of the top-level object. false when there is none. The last one wins, as in every parser we know of.
 */
bool json_find(struct slice object, const char *key, struct json_cut *ret);
/* Appends object with the member's value replaced by raw JSON, or added before the closing brace. All other bytes stay
 * as they are. */
enum status json_splice(struct slice object, const char *key, struct slice raw, struct buf *out);
/* Appends object without the member and one comma; of several of that name every one goes, or an earlier would come
 * into force. All other bytes stay as they are. Both: ST_BAD_REQUEST when object is not an object, ST_TOO_LARGE,
 * ST_NO_MEMORY; out is then as it was. */
enum status json_remove(struct slice object, const char *key, struct buf *out);

#endif
