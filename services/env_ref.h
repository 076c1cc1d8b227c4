/*
 * env_ref: ${NAME} in what an administrator writes stands for a variable of the environment. The router's own secrets
 * can never be named so: who may name an upstream's address and its key could else have them sent there.
 */
#ifndef SERVICES_ENV_REF_H
#define SERVICES_ENV_REF_H

#include "proto/wire.h"

/* Is text wholly one ${…}? Then *ret_name is what stands between the braces, unchecked. */
bool env_ref_is(struct slice text, struct slice *ret_name);

/* A name of A-Z, 0-9 and _ that is none of the router's own secrets. ST_BAD_REQUEST, with field as err's param. */
enum status env_ref_check(struct slice name, const char *field, struct err *err);

/* Appends text with every ${NAME} replaced by its value. env maps a name to its value or NULL (getenv, or a test's
 * table). ST_BAD_REQUEST for a name that env_ref_check refuses, one that is not set and for ${ without an end. */
enum status env_ref_expand(struct slice text, char *(*env)(const char *name), const char *field, struct buf *out,
                           struct err *err);

#endif
