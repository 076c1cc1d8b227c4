/*
 * E-mail addresses and passwords: what is accepted, and Argon2id by libsodium. Slow on purpose: password_hash and
 * password_verify belong on the worker only. Keeps no copy of a password.
 */
#ifndef AUTHSVC_PASSWORD_H
#define AUTHSVC_PASSWORD_H

#include "proto/limits.h"
#include "proto/status.h"
#include "proto/wire.h"

#define PASSWORD_MIN 8u
#define PASSWORD_HASH_SIZE 128 /* crypto_pwhash_STRBYTES */

/* The address in lower case, ended by NUL. ST_BAD_REQUEST, param email. */
enum status password_email(struct slice email, char to[LIMIT_EMAIL + 1], struct err *err);
/* ST_BAD_REQUEST, param `field`: where it stands in the request. */
enum status password_rules(struct slice password, const char *field, struct err *err);
enum status password_hash(struct slice password, char to[PASSWORD_HASH_SIZE], struct err *err);
bool password_verify(struct slice hash, struct slice password); /* an empty hash takes as long and never matches */

#endif
