/*
 * Settings: read from the environment into one struct, checked against the one table. A wrong value stops the start
 * with one line that says which, why and what is allowed. Immutable after the start; strings belong to the struct.
 */
#ifndef SERVICES_SETTINGS_H
#define SERVICES_SETTINGS_H

#include <stdint.h>
#include <stdio.h>

#include "proto/status.h"
#include "services/settings_table.h"

/* An unset STR or SECRET is NULL. A CHOICE is the chosen word. A USD of "auto" is SETTINGS_USD_AUTO. */
#define SETTINGS_USD_AUTO INT64_MIN
#define SETTINGS_CTYPE_STR char *
#define SETTINGS_CTYPE_SECRET char *
#define SETTINGS_CTYPE_CHOICE char *
#define SETTINGS_CTYPE_INT int64_t
#define SETTINGS_CTYPE_USD int64_t
#define SETTINGS_MEMBER(NAME, member, KIND, def, min, max, services, help) SETTINGS_CTYPE_##KIND member;

struct settings {
    SETTINGS(SETTINGS_MEMBER)
};

/* Reads what the programs in `services` (SET_* bits) need; the others keep their defaults. env maps a name to its value
 * or NULL (getenv, or a test's table); an empty value counts as unset. ST_BAD_REQUEST with the line for the user in
 * err->text. */
enum status settings_load(struct settings *s, unsigned services, char *(*env)(const char *name), struct err *err);
void settings_fini(struct settings *s);
enum status settings_set(char **member, const char *value); /* replaces a string member; frees the old one */
void settings_help(FILE *out, const char *program,
                   unsigned services); /* --help: every setting with type, default, bounds */

#endif
